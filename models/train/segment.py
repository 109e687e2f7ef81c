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
SMALLEST, LARGEST = 0.25, 0.6  # of the shorter side; see scenes.draw
WEIGHTS = torch.tensor([0.4] + [1.0] * 10)  # nine of ten pixels are ground


def training_picture(rng, index):
    """One scene behind the first layer of the network, and its mask uint8 [112, 112]."""
    drawn, _, mask = scenes.draw(
        rng, "train", *scenes.any_size(rng), least=SMALLEST, most=LARGEST
    )
    drawn = pictures.resample(rng, drawn, pixels.SIZE, pixels.SIZE)
    mask = Image.fromarray(mask).resize((CELLS, CELLS), Image.Resampling.NEAREST)
    return pixels.average(drawn, nets.Segmenter.reduce), np.asarray(mask)


def full_picture(rng, index):
    """One held-out scene at its own size, and its mask."""
    drawn, _, mask = scenes.draw(
        rng, "test", *scenes.any_size(rng, 140, 300), least=SMALLEST, most=LARGEST
    )
    return drawn, mask


def compact_picture(rng, index):
    """One held-out scene, small and with few colours so that the file stays small."""
    drawn, _, mask = scenes.draw(
        rng, "test", 2 * TEST_SIDE, 2 * TEST_SIDE, strength=0.8, least=SMALLEST, most=LARGEST
    )
    small = Image.fromarray(drawn).resize((TEST_SIDE, TEST_SIDE), Image.Resampling.BOX)
    mask = Image.fromarray(mask).resize((TEST_SIDE, TEST_SIDE), Image.Resampling.NEAREST)
    return pictures.few_colours(np.asarray(small), TEST_COLOURS), np.asarray(mask)


def test_set(function, count, seed):
    """Held-out scenes as metrics.miou wants them."""
    images, masks = batch.generate(function, count, seed)
    return {"images": images, "masks": masks}


def loss(model, rows):
    """Cross entropy and overlap (Dice) of the digits, and the shares of the classes in coarse cells."""
    x = pixels.imagenet(learn.recolour(rows[0].float() / 255))
    truth = rows[1].long()
    fine, coarse = model.from_small(x)
    entropy = F.cross_entropy(fine, truth, WEIGHTS)
    share = fine.softmax(1)
    flat = truth.reshape(-1)
    right = torch.zeros(11).index_add(0, flat, share.gather(1, truth[:, None]).reshape(-1))
    dice = 1 - (2 * right + 1) / (share.sum((0, 2, 3)) + torch.bincount(flat, minlength=11) + 1)
    wanted = F.avg_pool2d(F.one_hot(truth, 11).permute(0, 3, 1, 2).float(), CELLS // coarse.shape[-1])
    rough = -(coarse.log_softmax(1) * wanted * WEIGHTS.view(1, 11, 1, 1)).sum(1).mean()
    return entropy + 0.5 * dice[1:].mean() + rough


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
