"""Scenes of one to six digits on a cluttered ground: the data of `detect` and `segment`."""

import numpy as np
from PIL import Image, ImageDraw

import digits
import pictures


def clutter(rng, picture, most=7, gap=0.25):
    """Draws filled shapes and long thin lines that are no digits."""
    height, width = picture.shape[:2]
    canvas = Image.fromarray(pictures.to_bytes(picture))
    pen = ImageDraw.Draw(canvas)
    ground = picture.mean((0, 1))
    for _ in range(rng.integers(0, most + 1)):
        tone = np.clip(ground + rng.uniform(-gap, gap) + rng.uniform(-0.1, 0.1, 3), 0, 1)
        fill = tuple(int(v * 255) for v in tone)
        x, y = rng.uniform(0, width), rng.uniform(0, height)
        kind = rng.integers(4)
        if kind == 0:
            w, h = rng.uniform(0.1, 0.5, 2) * (width, height)
            pen.rectangle([x - w / 2, y - h / 2, x + w / 2, y + h / 2], fill)
        elif kind == 1:
            radius = rng.uniform(0.03, 0.2) * height
            pen.ellipse([x - radius, y - radius, x + radius, y + radius], fill)
        elif kind == 2:
            radius = rng.uniform(0.08, 0.35) * height
            turns = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(3, 6)))
            pen.polygon([(x + radius * np.cos(a), y + radius * np.sin(a)) for a in turns], fill)
        else:
            angle, reach = rng.uniform(0, np.pi), height + width
            dx, dy = np.cos(angle) * reach, np.sin(angle) * reach
            pen.line([x - dx, y - dy, x + dx, y + dy], fill, max(1, int(height / rng.uniform(60, 200))))
    return np.asarray(canvas, np.float32) / 255


def places(rng, height, width, count, least, most):
    """Up to `count` squares (x, y, size) around centres that keep clear of each other."""
    side, found = min(height, width), []
    for _ in range(count):
        for _ in range(30):
            size = side * np.exp(rng.uniform(np.log(least), np.log(most)))
            x = rng.uniform(size * 0.52, width - size * 0.52)
            y = rng.uniform(size * 0.52, height - size * 0.52)
            if all(max(abs(x - a), abs(y - b)) > (size + s) * 0.5 for a, b, s in found):
                found.append((x, y, size))
                break
    return found


def ink_for(rng, ground):
    """A colour that stands out from all of a patch [H, W, 3]."""
    luma = (ground.reshape(-1, 3) @ pictures.LUMA).astype(np.float32)
    low, high = np.quantile(luma, [0.05, 0.95])
    for _ in range(40):
        value = pictures.colour(rng)
        brightness = float(value @ pictures.LUMA)
        if brightness > high + 0.25 or brightness < low - 0.25:
            return value
    return np.full(3, 0.0 if low > 1 - high else 1.0, np.float32)


def draw(rng, part, height, width, strength=1.0, least=0.18, most=0.5):
    """One scene: uint8 [H, W, 3], boxes float32 [n, 5] (class, x, y, w, h) and a mask uint8 [H, W].

    A box holds the pixels that are covered by ink for more than half; the mask
    has 0 for the ground and 1 + digit for ink.
    """
    images, labels = digits.split(part)
    ground = pictures.colour(rng) * 0.8 + 0.1
    picture = pictures.paper(rng, height, width, ground, 0.1 * strength)
    picture = clutter(rng, picture, gap=0.25 * strength)
    mask = np.zeros((height, width), np.uint8)
    boxes = []
    for x, y, size in places(rng, height, width, rng.integers(1, 7), least, most):
        which = rng.integers(len(labels))
        digit, label = images[which], int(labels[which])
        left, top = max(0, int(x - size * 0.6)), max(0, int(y - size * 0.6))
        right, bottom = min(width, int(x + size * 0.6) + 1), min(height, int(y + size * 0.6) + 1)
        patch = picture[top:bottom, left:right]
        centre = (x - left, y - top)
        cover = pictures.stroke_map(rng, digit, bottom - top, right - left, centre, size * 0.95, turn=10)
        inside = cover > 0.5
        if inside.sum() < 12:
            continue
        rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
        if rng.random() < 0.3:
            # A card under the digit.
            edge = int(size * 0.06)
            card = np.s_[max(0, rows[0] - edge) : rows[-1] + edge, max(0, columns[0] - edge) : columns[-1] + edge]
            patch[card] = pictures.contrasting_colour(rng, patch.mean((0, 1)), 0.1)
        ink = ink_for(rng, patch)
        patch[:] = patch * (1 - cover[..., None]) + ink * cover[..., None]
        mask[top:bottom, left:right][inside] = label + 1
        boxes.append(
            (label, left + columns[0], top + rows[0], columns[-1] - columns[0] + 1, rows[-1] - rows[0] + 1)
        )
    pixels = pictures.photograph(rng, np.clip(picture, 0, 1), strength * 0.8)
    return pixels, np.array(boxes, np.float32).reshape(-1, 5), mask


def any_size(rng, least=112, most=260):
    """Height and width with aspect ratios from 3:4 to 4:3."""
    long = int(rng.integers(least, most))
    short = int(long * rng.uniform(0.75, 1.0))
    return (long, short) if rng.random() < 0.3 else (short, long)
