"""Reads the sample pictures of a model folder together with what is true of them."""

import json

import numpy as np
from PIL import Image

import metrics


def read(model):
    """The samples as the metrics want them (see metrics.py), and truth.json."""
    folder = model.folder / "samples"
    truth = json.loads((folder / "truth.json").read_text())
    files = truth["files"]
    test = {"images": [np.asarray(Image.open(folder / entry["file"]).convert("RGB")) for entry in files]}
    if model.task == "classify":
        test["labels"] = [model.labels().index(entry["label"]) for entry in files]
    elif model.task == "detect":
        test["boxes"] = np.array(
            [
                (index, model.labels().index(box["label"]), box["x"], box["y"], box["width"], box["height"])
                for index, entry in enumerate(files)
                for box in entry["boxes"]
            ],
            np.float32,
        )
    elif model.task == "segment":
        test["masks"] = [np.asarray(Image.open(folder / entry["mask"])) for entry in files]
    elif model.task == "pose":
        test["points"] = [np.array(entry["points"], np.float32) for entry in files]
    elif model.task == "depth":
        test["depth"] = [np.load(folder / entry["depth"]) for entry in files]
    return test, truth


def measure(model):
    """The value of the samples by their own metric, and truth.json with the rule."""
    test, truth = read(model)
    return metrics.measure(truth["metric"], model, test), truth
