"""Writes the nets in other formats than ONNX, from the weights of their ONNX files.

    pip install numpy pillow onnx==1.17.0 onnxruntime==1.20.1 tensorflow-cpu==2.21.0 torch==2.7.1
    python models/train/formats.py [tensorflow] [torch] [reference] [TASK ...]

Every format is compared with the ONNX file on pictures of the test set, and measured on all of it, before
it is kept. `reference` writes what the tests of the backends compare with. TensorFlow and Torch can be
installed apart: name the one that is there.
"""

import argparse
import json
import shutil
from pathlib import Path

import numpy as np

import evaluate
import graph
import metrics
from check import MODELS, TASKS, passes

# How far numbers may be from those of the ONNX file, as a part of the largest of them: rounding.
EXACT = 2e-5
# 8 bit: what a metric may lose.
LOSS = {"digits-8x8": 0.01, "classify": 0.01, "detect": 0.02, "segment": 0.02, "pose": 0.02, "depth": 0.03}
# Operators that stay in f32 in a file of 8 bit: boxes of 0 to 224 and scores of 0 to 1 have no scale in
# common, and what follows an exponential has too few steps.
KEPT = {
    "detect": ["EXP", "LOGISTIC", "CONCATENATION", "MUL", "MINIMUM", "MAXIMUM", "RESHAPE", "STRIDED_SLICE"],
    "depth": ["EXP", "MUL", "MINIMUM", "MAXIMUM", "RESHAPE"],
}
# Pictures that scales are taken from, and that numbers are compared on.
EXAMPLES, COMPARED = 100, 8
REFERENCE = MODELS.parent / "tests/backends"


class Other(evaluate.Model):
    """A model folder whose net is run by something else."""

    def __init__(self, task, last, run):
        super().__init__(MODELS / task)
        self.last, self.other = last, run

    def run(self, pixels):
        picture = evaluate.Image.fromarray(pixels)
        x = self.tensor(picture)
        value = np.asarray(self.other(np.ascontiguousarray(x.transpose(0, 2, 3, 1)) if self.last else x))
        return (value.transpose(0, 3, 1, 2) if self.last and value.ndim == 4 else value), picture


class Export:
    """One model on its way into other formats."""

    def __init__(self, task):
        self.task = task
        self.folder = MODELS / task
        self.net = graph.read(self.folder / "model.onnx")
        self.model = evaluate.Model(self.folder)
        self.rule = json.loads((self.folder / "metrics.json").read_text())
        with np.load(self.folder / self.rule["test_set"]) as test:
            self.test = dict(test)

    def check(self, name, run, last, quantised=False):
        """Compares with the ONNX file, and measures on the test set."""
        other = Other(self.task, last, run)
        off = largest = 0.0
        for pixels in self.test["images"][:COMPARED]:
            expected, got = self.model.run(pixels)[0], other.run(pixels)[0]
            assert expected.shape == got.shape, f"{name}: {got.shape} instead of {expected.shape}"
            off, largest = max(off, float(np.abs(got - expected).max())), max(largest, float(np.abs(expected).max()))
        value = metrics.measure(self.rule["metric"], other, self.test)
        print(f"{self.task}, {name}: off by {off:.1e} of {largest:.1e}, {self.rule['metric']} {value:.5f}", flush=True)
        rule = dict(self.rule)
        if quantised:
            rule["threshold"] += LOSS[self.task] * (1 if rule["lower_is_better"] else -1)
        if not passes(value, rule) or off > EXACT * largest and not quantised:
            raise SystemExit(f"{self.task}: {name} is not what the ONNX file is")

    def describe(self, name, file, last):
        """The description of the ONNX file for another one, without names of tensors; no file is the
        folder itself."""
        section, lines = "", []
        for line in (self.folder / "model.toml").read_text().splitlines():
            section = line if line.startswith("[") else section
            key = line.split("=")[0].strip()
            if key == "name" and section != "[model]":
                continue
            if key == "file":
                line = f'file = "{file}"' if file else None
            elif key == "layout" and last:
                line = 'layout = "nhwc"'
            elif key == "labels" and ".txt" in line:
                # Nothing of a description lies outside its folder.
                line = f"labels = {json.dumps(self.model.labels())}"
            if last and line:
                line = line.replace("[N, 3, 224, 224]", "[N, 224, 224, 3]")
                for maps in ("[N, 11, 112, 112]", "[N, 14, 56, 56]"):
                    n, channels, height, width = maps.split(", ")
                    line = line.replace(maps, f"{n}, {height}, {width[:-1]}, {channels}]")
            lines += [line] if line is not None else []
        (self.folder / name / "model.toml").write_text("\n".join(lines) + "\n")

    def keep(self, name, file, data, last):
        """Writes a file and its description."""
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        (folder / file).write_bytes(data)
        self.describe(name, file, last)

    def tensorflow(self):
        import tensorflow as tf

        import to_tensorflow as to

        # The small digits take what the ONNX file takes; pictures come as TensorFlow has them.
        last = self.task != "digits-8x8"
        module = to.Module(self.net, last)
        saved = module.function(None)
        module.serve = saved
        folder = self.folder / "savedmodel"
        shutil.rmtree(folder, ignore_errors=True)
        tf.saved_model.save(module, str(folder), signatures=saved)
        (folder / "fingerprint.pb").unlink(missing_ok=True)
        shutil.rmtree(folder / "assets", ignore_errors=True)
        read = tf.saved_model.load(str(folder)).signatures["serving_default"]
        self.check("savedmodel", lambda x: read(tf.constant(x))[self.net.output].numpy(), last)
        self.describe("savedmodel", None, last)

        frozen = to.frozen(module, None)
        self.check("graphdef", lambda x: frozen(tf.constant(x))[0].numpy(), last)
        data = frozen.graph.as_graph_def().SerializeToString(deterministic=True)
        self.keep("graphdef", "model.pb", data, last)

        data = to.lite(module)
        self.check("tflite", to.lite_runner(data), last)
        self.keep("tflite", "model.tflite", data, last)
        pictures = [self.model.tensor(evaluate.Image.fromarray(p)) for p in self.test["images"][:EXAMPLES]]
        examples = [np.ascontiguousarray(x.transpose(0, 2, 3, 1)) if last else x for x in pictures]
        data = to.lite(module, examples, KEPT.get(self.task, ()))
        self.check("tflite-int8", to.lite_runner(data), last, quantised=True)
        self.keep("tflite-int8", "model.tflite", data, last)

    def torch(self):
        import torch

        import to_torch as to

        script = to.script(self.net)
        folder = self.folder / "torchscript"
        folder.mkdir(exist_ok=True)
        script.save(str(folder / "model.pt"))
        read = torch.jit.load(str(folder / "model.pt"))
        self.check("torchscript", lambda x: read(torch.tensor(x)).detach().numpy(), False)
        self.describe("torchscript", "model.pt", False)


def picture(test, dims, mean, std):
    """The first picture of a test set as numbers that any language makes alike: [1, C, H, W]."""
    channels, height, width = dims
    pixels = test["images"][0]
    rows = np.arange(height) * pixels.shape[0] // height
    columns = np.arange(width) * pixels.shape[1] // width
    values = (pixels[rows][:, columns, :channels].astype(np.float32) / 255 - mean) / std
    return np.ascontiguousarray(values.transpose(2, 0, 1)[None])


def reference(export):
    """What the ONNX file gives for that picture: every so many of the numbers."""
    session, path = export.model.session, REFERENCE / f"reference-{export.task}.npz"
    mean, std = (np.float32(export.model.input.get(key, usual)) for key, usual in (("mean", 0), ("std", 1)))
    mean, std = (np.broadcast_to(values, [3]).astype(np.float32) for values in (mean, std))
    (value,) = session.run(None, {export.net.input: picture(export.test, export.net.dims[1:], mean, std)})
    stride = max(1, value.size // 500) | 1
    np.savez_compressed(path, values=value.reshape(-1)[::stride], stride=np.int64([stride]), mean=mean, std=std)
    print(f"{path.name}: every {stride}th of {value.shape}, {value.min():.3f} to {value.max():.3f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", nargs="*", choices=[[], "tensorflow", "torch", "reference", *TASKS], help="all")
    named = parser.parse_args().what
    kinds = [n for n in named if n not in TASKS] or ["tensorflow", "torch", "reference"]
    tasks = [n for n in named if n in TASKS] or TASKS
    for task in tasks:
        export = Export(task)
        for kind in ("tensorflow", "torch"):
            if kind in kinds:
                getattr(export, kind)()
        # The small digits have theirs for each of their pictures.
        if "reference" in kinds and task != "digits-8x8":
            reference(export)


if __name__ == "__main__":
    main()
