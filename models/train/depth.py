"""depth: metres to every pixel of a hall."""

import numpy as np
import torch
from PIL import Image

import batch
import export
import learn
import nets
import pictures
import pixels
import rooms

SEED = 2244
TRAIN_PICTURES = 6000
TEST_PICTURES = 60
TEST_WIDTH = 112
TEST_COLOURS = 32
CELLS = 112


def to_cells(depth, width, height):
    """Distances at another size: the nearest value, so that no edge is smeared."""
    return np.asarray(Image.fromarray(depth, "F").resize((width, height), Image.Resampling.NEAREST), np.float32)


def training_picture(rng, index):
    """One picture behind the first layer of the network, and its distances float16 [112, 112]."""
    drawn, depth = rooms.draw(rng, "train", *rooms.any_size(rng))
    drawn = pictures.resample(rng, drawn, pixels.SIZE, pixels.SIZE)
    return pixels.average(drawn, nets.DepthNet.reduce), to_cells(depth, CELLS, CELLS).astype(np.float16)


def full_picture(rng, index):
    """One held-out picture at its own size, and its distances."""
    return rooms.draw(rng, "test", *rooms.any_size(rng, 140, 300))


def compact_picture(rng, index):
    """One held-out picture, small and with few colours so that the file stays small."""
    width, height = TEST_WIDTH, TEST_WIDTH * 3 // 4
    drawn, depth = rooms.draw(rng, "test", 2 * height, 2 * width, strength=0.8)
    small = Image.fromarray(drawn).resize((width, height), Image.Resampling.BOX)
    # Steps of a centimetre pack better than the last bits of a float.
    depth = np.round(to_cells(depth, width, height), 2)
    return pictures.few_colours(np.asarray(small), TEST_COLOURS), depth.astype(np.float16)


def test_set(function, count, seed):
    """Held-out pictures as metrics.abs_rel wants them."""
    images, depth = batch.generate(function, count, seed)
    return {"images": images, "depth": depth}


def loss(model, rows):
    """Mean absolute error of the logarithm of distance."""
    x = rows[0].float() / 255
    x = pixels.imagenet(x[:, torch.randperm(3)])
    wanted = (rows[1].float() / model.typical).log()
    return (model.from_small(x) - wanted).abs().mean()


def train(folder, epochs=8):
    """Trains, exports and measures; writes into `folder`."""
    learn.seed_everything(SEED)
    images, distances = batch.generate(training_picture, TRAIN_PICTURES, SEED)
    print(f"depth: {len(images)} training pictures", flush=True)
    model = nets.DepthNet()
    columns = [learn.channels_first(images), torch.from_numpy(distances)]
    learn.fit(model, columns, loss, epochs=epochs, rate=4e-3, batch=16, name="depth")
    compact = test_set(compact_picture, TEST_PICTURES, SEED + 1)
    full = test_set(full_picture, 300, SEED + 2)
    export.finish("depth", folder, model, "depth", "abs_rel", 0.004, compact, full)
