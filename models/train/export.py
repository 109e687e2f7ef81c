"""From a trained module to the files of a model folder."""

import hashlib
import json
from pathlib import Path

import numpy as np
import onnx
import torch

import evaluate
import learn
import metrics

OPSET = 17
MAX_BYTES = 1_000_000
ALLOWED = {
    "Add", "AveragePool", "Clip", "Concat", "Constant", "Conv", "DepthToSpace", "Div", "Exp", "Flatten", "Gemm",
    "GlobalAveragePool", "HardSwish", "MatMul", "MaxPool", "Mul", "Relu", "Reshape", "Resize",
    "Sigmoid", "Slice", "Softmax", "Softplus", "Split", "Squeeze", "Sub", "Transpose",
}  # fmt: skip


def to_onnx(model, path, example, output):
    """Writes `model` with a free batch dimension, checks it, and returns the SHA-256 of the file."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    model = model.to(memory_format=torch.contiguous_format).eval()
    torch.onnx.export(
        model,
        (example,),
        str(path),
        opset_version=OPSET,
        dynamo=False,
        input_names=["input"],
        output_names=[output],
        dynamic_axes={"input": {0: "batch"}, output: {0: "batch"}},
    )
    graph = onnx.load(path)
    onnx.checker.check_model(graph, full_check=True)
    foreign = {node.op_type for node in graph.graph.node} - ALLOWED
    if foreign:
        raise RuntimeError(f"{path}: operations outside the plain set: {sorted(foreign)}")
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise RuntimeError(f"{path}: {size} bytes, the limit is {MAX_BYTES}")
    return hashlib.sha256(path.read_bytes()).hexdigest()


def save_test_set(path, **arrays):
    """A compressed .npz of plain arrays."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, **arrays)
    print(f"{path}: {path.stat().st_size / 1024:.0f} KiB", flush=True)


def finish(name, folder, model, output, metric, tolerance, compact, full=None):
    """Exports a trained model, measures the exported file, writes test.npz and metrics.json.

    `compact` is the test set that is committed, `full` a larger one that is made
    anew each time; `tolerance` is what another runtime or resize filter may lose.
    """
    folder = Path(folder)
    description = evaluate.describe(folder)["input"]
    channels = 1 if description["channels"] == "gray" else 3
    example = torch.zeros(1, channels, description["height"], description["width"])
    sha256 = to_onnx(model, folder / "model.onnx", example, output)
    save_test_set(folder / "test.npz", **compact)
    ready = evaluate.Model(folder)
    value = metrics.measure(metric, ready, compact)
    lower = metric in metrics.LOWER_IS_BETTER
    record = {
        "task": ready.task,
        "metric": metric,
        "value": round(value, 5),
        "lower_is_better": lower,
        "threshold": round(value + tolerance if lower else value - tolerance, 5),
        "test_set": "test.npz",
        "command": f"python models/train/train.py {name}",
        "onnx_sha256": sha256,
        "parameters": learn.parameters(model),
    }
    if full is not None:
        measured = metrics.measure(metric, ready, full)
        record["generated"] = {"pictures": len(full["images"]), "value": round(measured, 4)}
    (folder / "metrics.json").write_text(json.dumps(record, indent=2) + "\n")
    print(json.dumps(record, indent=2), flush=True)
