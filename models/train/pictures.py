"""What makes a drawn scene look like a photograph: paper, ink, light, lens and file format.

Pictures are float32 [H, W, 3] in 0..1 until `to_bytes`. Every function draws its
randomness from the generator that it is given, so a seed fixes the picture.
"""

import io

import numpy as np
from PIL import Image

LUMA = np.array([0.299, 0.587, 0.114], np.float32)
FILTERS = [
    Image.Resampling.BILINEAR,
    Image.Resampling.BICUBIC,
    Image.Resampling.LANCZOS,
    Image.Resampling.BOX,
    Image.Resampling.HAMMING,
]


def resize_map(values, height, width, how=Image.Resampling.BICUBIC):
    """Resizes one float32 [H, W] map."""
    picture = Image.fromarray(np.ascontiguousarray(values, np.float32), "F")
    return np.asarray(picture.resize((width, height), how), np.float32)


def cloud(rng, height, width, cells, octaves=1):
    """Smooth noise of about zero mean and unit spread, with features of 1/`cells` of the picture."""
    total = np.zeros((height, width), np.float32)
    for octave in range(octaves):
        n = max(2, min(int(cells * 2**octave), height, width))
        total += resize_map(rng.standard_normal((n + 1, n + 1)), height, width) / 1.6**octave
    return total / max(total.std(), 1e-3)


def colour(rng):
    """Any colour, the grey ones more often than chance has it."""
    value = rng.uniform(0, 1, 3)
    if rng.random() < 0.35:
        value = value.mean() + rng.uniform(-0.06, 0.06, 3)
    return np.clip(value, 0, 1).astype(np.float32)


def contrasting_colour(rng, other, least):
    """A colour whose brightness differs by at least `least` from that of `other`."""
    base = float(other @ LUMA)
    for _ in range(50):
        value = colour(rng)
        if abs(float(value @ LUMA) - base) >= least:
            return value
    far = 0.0 if base > 0.5 else 1.0
    return np.full(3, far, np.float32)


def paper(rng, height, width, base, strength=0.05):
    """A sheet of colour `base` [3] with grain, stains, ruling or a pattern of weak contrast."""
    sheet = np.empty((height, width, 3), np.float32)
    sheet[:] = base
    kind = rng.integers(6)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    if kind == 1:
        sheet += cloud(rng, height, width, rng.integers(2, 9), 3)[..., None] * strength * 0.7
    elif kind == 2:
        tint = rng.uniform(-1, 1, 3).astype(np.float32)
        sheet += cloud(rng, height, width, rng.integers(2, 30))[..., None] * tint * strength
    elif kind == 3:
        angle, period = rng.uniform(0, np.pi), rng.uniform(0.03, 0.2) * height
        wave = np.sin((x * np.cos(angle) + y * np.sin(angle)) * 2 * np.pi / period)
        sheet += wave[..., None] * strength * rng.uniform(0.3, 1.0)
    elif kind == 4:
        period = rng.uniform(0.08, 0.25) * height
        line = ((y + rng.uniform(0, period)) % period) < max(1.0, height / 160)
        if rng.random() < 0.5:
            line |= ((x + rng.uniform(0, period)) % period) < max(1.0, height / 160)
        sheet += line[..., None] * rng.uniform(-2, 2, 3).astype(np.float32) * strength
    elif kind == 5:
        cell = rng.uniform(0.05, 0.2) * height
        board = (np.floor(x / cell) + np.floor(y / cell)) % 2
        sheet += (board[..., None] - 0.5) * strength * rng.uniform(0.4, 1.2)
    return np.clip(sheet, 0, 1)


def stroke_map(rng, digit, height, width, centre, size, turn=12.0):
    """Coverage by ink, float32 [H, W] in 0..1, of one 8 x 8 digit.

    `centre` is (x, y) in pixels, `size` the height of the 8 rows in pixels,
    `turn` the largest rotation in degrees.
    """
    angle = np.deg2rad(rng.uniform(-turn, turn))
    shear = rng.uniform(-0.12, 0.12)
    stretch = rng.uniform(0.85, 1.15)
    scale = 8.0 / size
    cos, sin = np.cos(angle), np.sin(angle)
    # Output pixel -> place in the digit, which lies in the middle of 12 x 12.
    matrix = np.array([[1, shear], [0, 1]]) @ np.array([[cos, sin], [-sin, cos]]) * scale
    matrix[0] *= stretch
    shift = np.array([6.0, 6.0]) - matrix @ np.array(centre)
    source = Image.fromarray(np.pad(digit, 2), "F")
    data = (matrix[0, 0], matrix[0, 1], shift[0], matrix[1, 0], matrix[1, 1], shift[1])
    values = np.asarray(
        source.transform((width, height), Image.Transform.AFFINE, data, Image.Resampling.BICUBIC), np.float32
    )
    # A pen has harder edges than eight pixels can show.
    middle = rng.uniform(0.42, 0.58)
    soft = rng.uniform(0.3, 2 * middle)
    return np.clip((values - middle) / soft + 0.5, 0, 1)


def light(rng, picture, strength=1.0):
    """Uneven lighting, a shadow, vignetting, a colour cast and gamma."""
    height, width = picture.shape[:2]
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
    gain = np.ones((height, width), np.float32)
    if rng.random() < 0.6:
        angle = rng.uniform(0, 2 * np.pi)
        gain += (x * np.cos(angle) + y * np.sin(angle)) * rng.uniform(0, 0.22) * strength
    if rng.random() < 0.3:
        gain -= (x * x + y * y) * rng.uniform(0, 0.2) * strength
    if rng.random() < 0.25:
        angle, soft = rng.uniform(0, 2 * np.pi), rng.uniform(3, 20)
        edge = (x * np.cos(angle) + y * np.sin(angle) - rng.uniform(-0.6, 0.6)) * soft
        gain *= 1 - rng.uniform(0.1, 0.35) * strength / (1 + np.exp(-np.clip(edge, -30, 30)))
    picture = picture * gain[..., None]
    if rng.random() < 0.4:
        picture = picture * rng.uniform(0.88, 1.08, 3).astype(np.float32)
    if rng.random() < 0.4:
        picture = np.clip(picture, 0, 1) ** np.float32(rng.uniform(0.75, 1.35))
    return np.clip(picture, 0, 1)


def blur(picture, sigma):
    """Gaussian blur of `sigma` pixels."""
    radius = int(np.ceil(3 * sigma))
    if radius < 1:
        return picture
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2).astype(np.float32)
    weights /= weights.sum()
    for axis in (0, 1):
        border = [(0, 0)] * 3
        border[axis] = (radius, radius)
        padded = np.pad(picture, border, mode="edge")
        length = picture.shape[axis]
        picture = sum(w * np.take(padded, range(i, i + length), axis) for i, w in enumerate(weights))
    return picture


def noise(rng, picture, sigma):
    """Sensor noise of spread `sigma`, in brightness or in every channel by itself."""
    height, width = picture.shape[:2]
    channels = 3 if rng.random() < 0.5 else 1
    grain = rng.standard_normal((height, width, channels), dtype=np.float32)
    return np.clip(picture + grain * np.float32(sigma), 0, 1)


def to_bytes(picture):
    """uint8 [H, W, 3] of a float picture."""
    return (np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8)


def jpeg(pixels, quality):
    """uint8 pixels after a round trip through JPEG."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=int(quality))
    return np.asarray(Image.open(stream).convert("RGB"))


def few_colours(pixels, count, rare=True):
    """uint8 pixels with at most `count` colours, as in a GIF or a palette PNG; `rare` keeps those of small things."""
    how = Image.Quantize.MAXCOVERAGE if rare else Image.Quantize.MEDIANCUT
    palette = Image.fromarray(pixels).quantize(int(count), how, dither=Image.Dither.NONE)
    return np.asarray(palette.convert("RGB"))


def photograph(rng, picture, strength=1.0):
    """Light, lens, sensor and file: uint8 [H, W, 3] of a drawn scene."""
    picture = light(rng, picture, strength)
    size = min(picture.shape[:2])
    if rng.random() < 0.4:
        picture = blur(picture, rng.uniform(0.2, 0.8) * size / 160 * strength)
    if rng.random() < 0.6:
        picture = noise(rng, picture, rng.uniform(0.005, 0.06) * strength)
    pixels = to_bytes(picture)
    fate = rng.random()
    if fate < 0.5:
        pixels = jpeg(pixels, rng.integers(30, 96))
    elif fate < 0.65:
        pixels = few_colours(pixels, rng.integers(12, 65), rng.random() < 0.5)
    return pixels


def resample(rng, pixels, height, width):
    """Resizes uint8 pixels by some filter, with and without smoothing, at times through a smaller size.

    A model must not depend on the filter of one library, so training sees them all.
    """
    picture = Image.fromarray(pixels)
    if rng.random() < 0.35:
        part = rng.uniform(0.25, 0.9)
        small = (max(32, int(picture.width * part)), max(32, int(picture.height * part)))
        picture = picture.resize(small, FILTERS[rng.integers(len(FILTERS))])
    if (picture.width, picture.height) == (width, height):
        return np.asarray(picture)
    fate = rng.random()
    if fate < 0.12:
        picture = picture.resize((width, height), Image.Resampling.NEAREST)
    elif fate < 0.3:
        # `transform` looks at four neighbours only: bilinear without smoothing.
        data = (picture.width / width, 0, 0, 0, picture.height / height, 0)
        picture = picture.transform((width, height), Image.Transform.AFFINE, data, Image.Resampling.BILINEAR)
    else:
        picture = picture.resize((width, height), FILTERS[rng.integers(len(FILTERS))])
    return np.asarray(picture)
