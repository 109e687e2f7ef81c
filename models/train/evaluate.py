"""Runs a model folder with onnxruntime as docs/model-description.md says, in plain numpy.

Nothing here knows how the models were trained: only model.toml is read.
"""

import tomllib
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image

FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


def describe(folder):
    """The contents of model.toml."""
    return tomllib.loads((Path(folder) / "model.toml").read_text())


class Model:
    """One folder with model.toml and the ONNX file that it names."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.description = describe(folder)
        self.task = self.description["model"]["task"]
        self.input = self.description["input"]
        self.output = self.description["output"]
        self.path = self.folder / self.description["model"]["file"]
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(str(self.path), options, providers=["CPUExecutionProvider"])

    def labels(self):
        """Names of the classes."""
        labels = self.output["labels"]
        return labels if isinstance(labels, list) else (self.folder / labels).read_text().split("\n")[:-1]

    def place(self, picture):
        """Where the picture lies in the input: scale in x and y, offset in x and y."""
        width, height = self.input["width"], self.input["height"]
        if self.input.get("resize", "stretch") == "stretch":
            return width / picture.width, height / picture.height, 0, 0
        scale = min(width / picture.width, height / picture.height)
        new_width, new_height = round(picture.width * scale), round(picture.height * scale)
        return scale, scale, (width - new_width) // 2, (height - new_height) // 2

    def tensor(self, picture):
        """float32 [1, C, H, W] of one picture."""
        width, height = self.input["width"], self.input["height"]
        how = FILTERS[self.input.get("filter", "bilinear")]
        mode = self.input.get("resize", "stretch")
        picture = picture.convert("L" if self.input.get("channels", "rgb") == "gray" else "RGB")
        if mode == "stretch":
            canvas = picture.resize((width, height), how)
        elif mode == "letterbox":
            scale, _, left, top = self.place(picture)
            fill = self.input.get("pad", 114)
            canvas = Image.new(picture.mode, (width, height), (fill,) * len(picture.getbands()))
            size = (round(picture.width * scale), round(picture.height * scale))
            canvas.paste(picture.resize(size, how), (left, top))
        else:
            raise ValueError(f"{self.folder}: resize = {mode!r} is not used by the models here")
        values = np.asarray(canvas, np.float32) * np.float32(self.input.get("scale", 1 / 255))
        mean = np.float32(self.input.get("mean", 0.0))
        std = np.float32(self.input.get("std", 1.0))
        values = (values - mean) / std
        values = values[..., None] if values.ndim == 2 else values
        return np.ascontiguousarray(values.transpose(2, 0, 1)[None], np.float32)

    def run(self, pixels):
        """The output tensor for uint8 pixels [H, W, 3] and the picture they make."""
        picture = Image.fromarray(pixels)
        (value,) = self.session.run([self.output["name"]], {self.input["name"]: self.tensor(picture)})
        return value, picture
