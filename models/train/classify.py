"""classify: which digit is on a photograph-like picture."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F

import batch
import digit_pictures
import digits
import evaluate
import export
import learn
import nets
import pictures

SEED = 2240
SIZE = 224
TRAIN_PICTURES = 14370
TEST_SIDE = 48
TEST_COLOURS = 16
MEAN = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
STD = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)


def training_picture(rng, index):
    """One training picture at the size of the network, and its class."""
    pixels, label = digit_pictures.draw(rng, "train", index, *digit_pictures.any_size(rng))
    return pictures.resample(rng, pixels, SIZE, SIZE), label


def full_picture(rng, index):
    """One held-out picture at its own size, and its class."""
    return digit_pictures.draw(rng, "test", index, *digit_pictures.any_size(rng))


def compact_picture(rng, index):
    """One held-out picture, small and with few colours so that the file stays small."""
    pixels, label = digit_pictures.draw(rng, "test", index, *digit_pictures.any_size(rng), strength=0.8)
    small = Image.fromarray(pixels).resize((TEST_SIDE, TEST_SIDE), Image.Resampling.BOX)
    return pictures.few_colours(np.asarray(small), TEST_COLOURS), label


def test_set():
    """Every held-out digit once."""
    images, labels = batch.generate(compact_picture, digits.TEST_DIGITS, SEED + 1)
    return {"images": images, "labels": labels.astype(np.int64)}


def full_test_set():
    """Every held-out digit four times, on pictures of 140 to 300 pixels."""
    images, labels = batch.generate(full_picture, 4 * digits.TEST_DIGITS, SEED + 2)
    return {"images": images, "labels": labels}


def train(folder, epochs=10):
    """Trains, exports and measures; writes into `folder`."""
    learn.seed_everything(SEED)
    images, labels = batch.generate(training_picture, TRAIN_PICTURES, SEED)
    print(f"classify: {len(images)} training pictures", flush=True)
    model = nets.Classifier()

    def loss(model, rows):
        x = learn.recolour(rows[0].float() / 255)
        return F.cross_entropy(model((x - MEAN) / STD), rows[1], label_smoothing=0.05)

    columns = [learn.channels_first(images), torch.from_numpy(labels.astype(np.int64))]
    learn.fit(model, columns, loss, epochs=epochs, rate=6e-3, batch=48, name="classify")
    folder = Path(folder)
    sha256 = export.to_onnx(model, folder / "model.onnx", torch.zeros(1, 3, SIZE, SIZE), "logits")
    test = test_set()
    export.save_test_set(folder / "test.npz", **test)
    ready = evaluate.Model(folder)
    full = full_test_set()
    generated = {"pictures": len(full["labels"]), "value": round(evaluate.accuracy(ready, full), 4)}
    export.save_metrics(
        folder, "classify", "accuracy", evaluate.accuracy(ready, test), False, 0.006,
        "python models/train/train.py classify", sha256, learn.parameters(model), generated,
    )  # fmt: skip
