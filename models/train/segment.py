"""segment: which pixels are ink of which digit, on a cluttered ground."""

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F

import batch
import export
import learn
import nets
import pictures
import pixels
import scenes

SEED = 2242
TRAIN_PICTURES = 6000
TEST_PICTURES = 80
TEST_SIDE = 112
TEST_COLOURS = 32
CELLS = 112


def training_picture(rng, index):
    """One scene behind the first layer of the network, and its mask uint8 [112, 112]."""
    drawn, _, mask = scenes.draw(rng, "train", *scenes.any_size(rng))
    drawn = pictures.resample(rng, drawn, pixels.SIZE, pixels.SIZE)
    mask = Image.fromarray(mask).resize((CELLS, CELLS), Image.Resampling.NEAREST)
    return pixels.average(drawn, nets.Segmenter.reduce), np.asarray(mask)


def full_picture(rng, index):
    """One held-out scene at its own size, and its mask."""
    drawn, _, mask = scenes.draw(rng, "test", *scenes.any_size(rng, 140, 300))
    return drawn, mask


def compact_picture(rng, index):
    """One held-out scene, small and with few colours so that the file stays small."""
    drawn, _, mask = scenes.draw(rng, "test", 2 * TEST_SIDE, 2 * TEST_SIDE, strength=0.8, least=0.2)
    small = Image.fromarray(drawn).resize((TEST_SIDE, TEST_SIDE), Image.Resampling.BOX)
    mask = Image.fromarray(mask).resize((TEST_SIDE, TEST_SIDE), Image.Resampling.NEAREST)
    return pictures.few_colours(np.asarray(small), TEST_COLOURS), np.asarray(mask)


def test_set(function, count, seed):
    """Held-out scenes as metrics.miou wants them."""
    images, masks = batch.generate(function, count, seed)
    return {"images": images, "masks": masks}


def loss(model, rows):
    """Cross entropy and overlap (Dice) of the digits."""
    x = pixels.imagenet(learn.recolour(rows[0].float() / 255))
    truth = rows[1].long()
    logits = model.from_small(x)
    entropy = F.cross_entropy(logits, truth)
    share = logits.softmax(1)[:, 1:]
    wanted = F.one_hot(truth, 11).permute(0, 3, 1, 2)[:, 1:].float()
    dice = 1 - (2 * (share * wanted).sum((0, 2, 3)) + 1) / (share.sum((0, 2, 3)) + wanted.sum((0, 2, 3)) + 1)
    return entropy + 0.5 * dice.mean()


def train(folder, epochs=9):
    """Trains, exports and measures; writes into `folder`."""
    learn.seed_everything(SEED)
    images, masks = batch.generate(training_picture, TRAIN_PICTURES, SEED)
    print(f"segment: {len(images)} training pictures", flush=True)
    model = nets.Segmenter()
    columns = [learn.channels_first(images), torch.from_numpy(masks)]
    learn.fit(model, columns, loss, epochs=epochs, rate=4e-3, batch=16, name="segment")
    compact = test_set(compact_picture, TEST_PICTURES, SEED + 1)
    full = test_set(full_picture, 300, SEED + 2)
    export.finish("segment", folder, model, "classes", "miou", 0.02, compact, full)
