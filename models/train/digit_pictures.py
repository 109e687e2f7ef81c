"""Photograph-like pictures of one digit: the data of the `classify` task."""

import numpy as np

import digits
import pictures


def draw(rng, part, index, height, width, strength=1.0):
    """uint8 [H, W, 3] and the class of one picture; `index` chooses the digit."""
    images, labels = digits.split(part)
    digit, label = images[index % len(labels)], int(labels[index % len(labels)])
    side = min(height, width)
    size = rng.uniform(0.45, 0.92) * side
    spare_x, spare_y = (width - size * 0.8) / 2, (height - size) / 2
    centre = (
        width / 2 + rng.uniform(-0.8, 0.8) * spare_x,
        height / 2 + rng.uniform(-0.8, 0.8) * spare_y,
    )
    base = pictures.colour(rng)
    ink = pictures.contrasting_colour(rng, base, 0.3)
    sheet = pictures.paper(rng, height, width, base, 0.06 * strength)
    cover = pictures.stroke_map(rng, digit, height, width, centre, size)[..., None]
    tone = np.empty_like(sheet)
    tone[:] = ink
    if rng.random() < 0.3:
        tone += pictures.cloud(rng, height, width, rng.integers(3, 40))[..., None] * 0.05
    picture = np.clip(sheet * (1 - cover) + tone * cover, 0, 1)
    return pictures.photograph(rng, picture, strength), label


def any_size(rng, least=110, most=240):
    """Height and width with aspect ratios from 3:4 to 4:3."""
    long = int(rng.integers(least, most))
    short = int(long * rng.uniform(0.75, 1.0))
    return (long, short) if rng.random() < 0.5 else (short, long)
