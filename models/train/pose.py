"""pose: fourteen points of a jointed figure."""

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F

import batch
import export
import figures
import learn
import nets
import pictures
import pixels
import scenes

SEED = 2243
TRAIN_PICTURES = 6000
TEST_PICTURES = 80
TEST_SIDE = 112
TEST_COLOURS = 32
CELLS = 56
SPREAD = 1.6  # of the bell around a point, in cells


def training_picture(rng, index):
    """One picture behind the first layer of the network, and its points in cells."""
    height, width = scenes.any_size(rng)
    drawn, points = figures.draw(rng, "train", height, width)
    drawn = pictures.resample(rng, drawn, pixels.SIZE, pixels.SIZE)
    return pixels.average(drawn, nets.PoseNet.reduce), points * (CELLS / np.float32([width, height]))


def full_picture(rng, index):
    """One held-out picture at its own size, and its points."""
    return figures.draw(rng, "test", *scenes.any_size(rng, 140, 300))


def compact_picture(rng, index):
    """One held-out picture, small and with few colours so that the file stays small."""
    drawn, points = figures.draw(rng, "test", 2 * TEST_SIDE, 2 * TEST_SIDE, strength=0.8)
    small = Image.fromarray(drawn).resize((TEST_SIDE, TEST_SIDE), Image.Resampling.BOX)
    return pictures.few_colours(np.asarray(small), TEST_COLOURS), points / 2


def test_set(function, count, seed):
    """Held-out pictures as metrics.pck wants them."""
    images, points = batch.generate(function, count, seed)
    return {"images": images, "points": points.astype(np.float32)}


def loss(model, rows):
    """Weighted cross entropy between heat maps."""
    x = learn.recolour(rows[0].float() / 255) * 2 - 1
    place = torch.arange(CELLS).float() + 0.5
    far_x = place[None, None, None] - rows[1][:, :, 0, None, None]
    far_y = place[None, None, :, None] - rows[1][:, :, 1, None, None]
    bell = torch.exp(-0.5 * (far_x**2 + far_y**2) / SPREAD**2)
    each = F.binary_cross_entropy_with_logits(model.from_small(x), bell, reduction="none")
    return (each * (1 + 20 * bell)).mean() * 10


def train(folder, epochs=8):
    """Trains, exports and measures; writes into `folder`."""
    learn.seed_everything(SEED)
    images, points = batch.generate(training_picture, TRAIN_PICTURES, SEED)
    print(f"pose: {len(images)} training pictures", flush=True)
    model = nets.PoseNet(len(figures.POINTS))
    columns = [learn.channels_first(images), torch.from_numpy(points.astype(np.float32))]
    learn.fit(model, columns, loss, epochs=epochs, rate=4e-3, batch=16, name="pose")
    compact = test_set(compact_picture, TEST_PICTURES, SEED + 1)
    full = test_set(full_picture, 300, SEED + 2)
    export.finish("pose", folder, model, "heatmaps", "pck@0.05", 0.01, compact, full)
