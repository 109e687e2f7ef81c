"""detect: boxes around digits on a cluttered ground."""

import numpy as np
import torch
from PIL import Image

import batch
import export
import learn
import nets
import pictures
import pixels
import scenes

SEED = 2241
TRAIN_PICTURES = 7000
MOST = 6
PAD = 114
TEST_PICTURES = 90
TEST_SIDE = 112
TEST_COLOURS = 32
CELLS = nets.Detector.cells
STRIDE = nets.Detector.stride


def letterbox(rng, drawn, boxes):
    """uint8 [224, 224, 3] and the boxes on it."""
    height, width = drawn.shape[:2]
    scale = min(pixels.SIZE / width, pixels.SIZE / height)
    new_height, new_width = round(height * scale), round(width * scale)
    left, top = (pixels.SIZE - new_width) // 2, (pixels.SIZE - new_height) // 2
    canvas = np.full((pixels.SIZE, pixels.SIZE, 3), PAD, np.uint8)
    canvas[top : top + new_height, left : left + new_width] = pictures.resample(rng, drawn, new_height, new_width)
    boxes = boxes.copy()
    boxes[:, 1:] *= scale
    boxes[:, 1:3] += left, top
    return canvas, boxes


def training_picture(rng, index):
    """One scene behind the first layer of the network, and its boxes [6, 5], class -1 where there is none."""
    drawn, boxes, _ = scenes.draw(rng, "train", *scenes.any_size(rng))
    canvas, boxes = letterbox(rng, drawn, boxes)
    table = np.full((MOST, 5), -1, np.float32)
    table[: len(boxes)] = boxes
    return pixels.average(canvas, nets.Detector.reduce), table


def full_picture(rng, index):
    """One held-out scene at its own size: pixels, and boxes [n, 6] with the picture's number."""
    drawn, boxes, _ = scenes.draw(rng, "test", *scenes.any_size(rng, 140, 300))
    return drawn, np.insert(boxes, 0, index, axis=1)


def compact_picture(rng, index):
    """One held-out scene, small and with few colours so that the file stays small."""
    drawn, boxes, _ = scenes.draw(rng, "test", 2 * TEST_SIDE, 2 * TEST_SIDE, strength=0.8, least=0.2)
    small = Image.fromarray(drawn).resize((TEST_SIDE, TEST_SIDE), Image.Resampling.BOX)
    boxes[:, 1:] /= 2
    return pictures.few_colours(np.asarray(small), TEST_COLOURS), np.insert(boxes, 0, index, axis=1)


def test_set(function, count, seed):
    """Held-out scenes as metrics.f1 wants them."""
    images, boxes = batch.generate(function, count, seed)
    return {"images": images, "boxes": np.concatenate(boxes).astype(np.float32)}


def targets(boxes):
    """Heat [N, 10, 28, 28], the box of each cell [N, 4, 28, 28] and its weight [N, 28, 28]."""
    count = len(boxes)
    place = (torch.arange(CELLS).float() + 0.5) * STRIDE
    heat = torch.zeros(count, 10, CELLS, CELLS)
    wanted = torch.zeros(count, 4, CELLS, CELLS)
    weight = torch.zeros(count, CELLS, CELLS)
    for slot in range(boxes.shape[1]):
        some = torch.nonzero(boxes[:, slot, 0] >= 0)[:, 0]
        label, x, y, w, h = boxes[some, slot].unbind(1)
        cx, cy = x + w / 2, y + h / 2
        spread_x, spread_y = (w * 0.14).clamp(min=4.0), (h * 0.14).clamp(min=4.0)
        bell = torch.exp(
            -0.5 * ((place[None, None] - cx[:, None, None]) / spread_x[:, None, None]) ** 2
            - 0.5 * ((place[None, :, None] - cy[:, None, None]) / spread_y[:, None, None]) ** 2
        )
        # The cell nearest to the centre is the centre.
        column = (cx / STRIDE).long().clamp(0, CELLS - 1)
        row = (cy / STRIDE).long().clamp(0, CELLS - 1)
        bell[torch.arange(len(some)), row, column] = 1.0
        heat[some, label.long()] = torch.maximum(heat[some, label.long()], bell)
        near = bell > torch.maximum(weight[some], torch.tensor(0.3))
        box = torch.stack([cx, cy, w, h], 1)[:, :, None, None]
        wanted[some] = torch.where(near[:, None], box, wanted[some])
        weight[some] = torch.where(near, bell, weight[some])
    return heat, wanted, weight


def iou(a, b):
    """Overlap of boxes cx, cy, w, h along dimension 1."""
    low = torch.maximum(a[:, :2] - a[:, 2:] / 2, b[:, :2] - b[:, 2:] / 2)
    high = torch.minimum(a[:, :2] + a[:, 2:] / 2, b[:, :2] + b[:, 2:] / 2)
    shared = (high - low).clamp(min=0).prod(1)
    return shared / (a[:, 2:].prod(1) + b[:, 2:].prod(1) - shared + 1e-6)


def loss(model, rows):
    """Focal loss on the heat (CenterNet), overlap and distance on the boxes."""
    x = learn.recolour(rows[0].float() / 255)
    heat, wanted, weight = targets(rows[1])
    logits, boxes = model.from_small(x)
    score = torch.sigmoid(logits).clamp(1e-5, 1 - 1e-5)
    centre = heat == 1
    hit = torch.log(score) * (1 - score) ** 2
    miss = torch.log(1 - score) * score**2 * (1 - heat) ** 4
    focal = -torch.where(centre, hit, miss).sum() / centre.sum().clamp(min=1)
    size = torch.where(weight[:, None] > 0, wanted[:, 2:], torch.ones(()))
    apart = (boxes[:, :2] - wanted[:, :2]).abs() / size + (boxes[:, 2:] / size).log().abs()
    shape = ((1 - iou(boxes, wanted)) * 1.5 + apart.sum(1)) * weight
    return focal + shape.sum() / weight.sum().clamp(min=1)


def train(folder, epochs=10):
    """Trains, exports and measures; writes into `folder`."""
    learn.seed_everything(SEED)
    images, boxes = batch.generate(training_picture, TRAIN_PICTURES, SEED)
    print(f"detect: {len(images)} training pictures", flush=True)
    model = nets.Detector()
    columns = [learn.channels_first(images), torch.from_numpy(boxes)]
    learn.fit(model, columns, loss, epochs=epochs, rate=4e-3, batch=16, name="detect")
    compact = test_set(compact_picture, TEST_PICTURES, SEED + 1)
    full = test_set(full_picture, 300, SEED + 2)
    export.finish("detect", folder, model, "output", "f1@iou0.5", 0.01, compact, full)
