"""classify: which digit is on a photograph-like picture."""

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F

import batch
import digit_pictures
import digits
import export
import learn
import nets
import pictures
import pixels

SEED = 2240
TRAIN_PICTURES = 21555
TEST_SIDE = 48
TEST_COLOURS = 24


def training_picture(rng, index):
    """One training picture behind the first layer of the network, and its class."""
    drawn, label = digit_pictures.draw(rng, "train", index, *digit_pictures.any_size(rng))
    drawn = pictures.resample(rng, drawn, pixels.SIZE, pixels.SIZE)
    return pixels.average(drawn, nets.Classifier.reduce), label


def full_picture(rng, index):
    """One held-out picture at its own size, and its class."""
    return digit_pictures.draw(rng, "test", index, *digit_pictures.any_size(rng, 140, 300))


def compact_picture(rng, index):
    """One held-out picture, small and with few colours so that the file stays small."""
    drawn, label = digit_pictures.draw(rng, "test", index, *digit_pictures.any_size(rng), strength=0.8)
    small = Image.fromarray(drawn).resize((TEST_SIDE, TEST_SIDE), Image.Resampling.BOX)
    return pictures.few_colours(np.asarray(small), TEST_COLOURS), label


def test_set():
    """Every held-out digit once."""
    images, labels = batch.generate(compact_picture, digits.TEST_DIGITS, SEED + 1)
    return {"images": images, "labels": labels.astype(np.int64)}


def full_test_set():
    """Every held-out digit four times, on pictures of 140 to 299 pixels."""
    images, labels = batch.generate(full_picture, 4 * digits.TEST_DIGITS, SEED + 2)
    return {"images": images, "labels": labels}


def train(folder, epochs=11):
    """Trains, exports and measures; writes into `folder`."""
    learn.seed_everything(SEED)
    images, labels = batch.generate(training_picture, TRAIN_PICTURES, SEED)
    print(f"classify: {len(images)} training pictures", flush=True)
    model = nets.Classifier()

    def loss(model, rows):
        x = pixels.imagenet(learn.recolour(rows[0].float() / 255))
        return F.cross_entropy(model.from_small(x), rows[1], label_smoothing=0.05)

    columns = [learn.channels_first(images), torch.from_numpy(labels.astype(np.int64))]
    learn.fit(model, columns, loss, epochs=epochs, rate=4e-3, batch=32, name="classify")
    export.finish("classify", folder, model, "logits", "accuracy", 0.006, test_set(), full_test_set())
