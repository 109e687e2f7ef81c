"""digits-8x8: the digits as they are, 8 x 8 pixels; small enough for any test."""

import numpy as np
import torch
from torch.nn import functional as F

import digits
import export
import learn
import nets

SEED = 8008


def test_set():
    """The 360 held-out digits as pictures of 8 x 8 pixels."""
    images, labels = digits.split("test")
    grey = np.rint(images * 255).astype(np.uint8)
    return {"images": np.repeat(grey[..., None], 3, axis=3), "labels": labels}


def moved(x):
    """Digits turned, scaled and shifted a little, with noise."""
    count = len(x)
    angle = (torch.rand(count) - 0.5) * 0.45
    scale = 1 + (torch.rand(count) - 0.5) * 0.25
    shift = (torch.rand(count, 2) - 0.5) * 0.3
    cos, sin = angle.cos() * scale, angle.sin() * scale
    matrix = torch.stack(
        [torch.stack([cos, -sin, shift[:, 0]], 1), torch.stack([sin, cos, shift[:, 1]], 1)], 1
    )
    x = F.grid_sample(x, F.affine_grid(matrix, list(x.shape), align_corners=False), align_corners=False)
    return (x + torch.randn_like(x) * 0.04).clamp(0, 1)


def train(folder):
    """Trains, exports and measures; writes into `folder`."""
    learn.seed_everything(SEED)
    images, labels = digits.split("train")
    model = nets.SmallDigits()

    def loss(model, rows):
        x, y = rows
        return F.cross_entropy(model(moved(x)), y, label_smoothing=0.05)

    columns = [torch.from_numpy(images)[:, None], torch.from_numpy(labels)]
    learn.fit(model, columns, loss, epochs=80, rate=4e-3, batch=32, name="digits-8x8")
    export.finish("digits-8x8", folder, model, "logits", "accuracy", 0.003, test_set())
