"""A jointed figure that faces the viewer, among clutter: the data of `pose`."""

import numpy as np
from PIL import Image, ImageDraw

import digits
import pictures
import scenes

# Left and right are those of the figure, which looks at us: its right is on the picture's left.
POINTS = [
    "head", "neck",
    "right_shoulder", "right_elbow", "right_wrist",
    "left_shoulder", "left_elbow", "left_wrist",
    "right_hip", "right_knee", "right_ankle",
    "left_hip", "left_knee", "left_ankle",
]  # fmt: skip
SKELETON = [
    (0, 1), (1, 2), (2, 3), (3, 4), (1, 5), (5, 6), (6, 7),
    (2, 8), (5, 11), (8, 11), (8, 9), (9, 10), (11, 12), (12, 13),
]  # fmt: skip
LIMBS = {"sleeve": [(2, 3), (5, 6)], "arm": [(3, 4), (6, 7)], "thigh": [(8, 9), (11, 12)], "shin": [(9, 10), (12, 13)]}


def pose(rng):
    """Points float [14, 2] of a figure that is about one unit tall, y down, neck at the origin."""
    shoulder, hip = rng.uniform(0.09, 0.13), rng.uniform(0.055, 0.085)
    trunk, upper, fore = rng.uniform(0.27, 0.33), rng.uniform(0.14, 0.18), rng.uniform(0.14, 0.17)
    thigh, shin = rng.uniform(0.2, 0.24), rng.uniform(0.2, 0.24)
    p = np.zeros((14, 2))
    nod = rng.uniform(-0.35, 0.35)
    p[0] = np.array([np.sin(nod), -np.cos(nod)]) * 0.125
    for side, first_arm, first_leg in ((-1, 2, 8), (1, 5, 11)):
        # Angles are from straight down, outwards.
        a = rng.uniform(-0.15, 2.9)
        b = a + rng.uniform(-0.3, 2.0) * (1 if rng.random() < 0.7 else -1)
        p[first_arm] = side * shoulder, 0.035
        p[first_arm + 1] = p[first_arm] + upper * np.array([side * np.sin(a), np.cos(a)])
        p[first_arm + 2] = p[first_arm + 1] + fore * np.array([side * np.sin(b), np.cos(b)])
        c = rng.uniform(-0.05, 0.9)
        d = c - rng.uniform(-0.15, 1.1)
        p[first_leg] = side * hip, trunk
        p[first_leg + 1] = p[first_leg] + thigh * np.array([side * np.sin(c), np.cos(c)])
        p[first_leg + 2] = p[first_leg + 1] + shin * np.array([side * np.sin(d), np.cos(d)])
    lean = rng.uniform(-0.3, 0.3)
    turn = np.array([[np.cos(lean), -np.sin(lean)], [np.sin(lean), np.cos(lean)]])
    return p @ turn.T


def place(rng, height, width):
    """A pose in pixels, wholly inside the picture with its flesh around it, and the pixels of one unit."""
    while True:
        p = pose(rng)
        extent = p.max(0) - p.min(0)
        unit = min((width * 0.84) / extent[0], (height * 0.8) / extent[1]) * rng.uniform(0.6, 1.0)
        border = unit * 0.1
        spare = np.array([width, height]) - extent * unit - 2 * border
        if (spare > 0).all():
            return (p - p.min(0)) * unit + border + rng.uniform(0, 1, 2) * spare, unit


def thick_line(pen, start, end, width, fill):
    """A line with round ends."""
    pen.line([*start, *end], fill, max(1, round(width)))
    for x, y in (start, end):
        pen.ellipse([x - width / 2, y - width / 2, x + width / 2, y + width / 2], fill)


def draw(rng, part, height, width, strength=1.0):
    """uint8 [H, W, 3] and the points float32 [14, 2] (x, y) of one figure."""
    fine = 2  # drawn at twice the size, then averaged: smooth edges
    ground = pictures.colour(rng) * 0.8 + 0.1
    picture = pictures.paper(rng, height, width, ground, 0.1 * strength)
    picture = scenes.clutter(rng, picture, most=10, gap=0.2 * strength)
    images, labels = digits.split(part)
    for _ in range(rng.integers(0, 4)):
        size = rng.uniform(0.1, 0.3) * height
        centre = rng.uniform(0, width), rng.uniform(0, height)
        cover = pictures.stroke_map(rng, images[rng.integers(len(labels))], height, width, centre, size)
        tone = np.clip(picture.mean((0, 1)) + rng.uniform(-0.3, 0.3, 3), 0, 1)
        picture = picture * (1 - cover[..., None]) + tone.astype(np.float32) * cover[..., None]
    points, unit = place(rng, height, width)
    canvas = Image.fromarray(pictures.to_bytes(picture)).resize((width * fine, height * fine), Image.Resampling.BICUBIC)
    pen = ImageDraw.Draw(canvas)
    p, u = points * fine, unit * fine

    def tone(least):
        return tuple(int(v * 255) for v in pictures.contrasting_colour(rng, ground, least))

    colours = {name: tone(0.18) for name in ("skin", "shirt", "trousers", "hair", "shoe")}
    colours |= {"sleeve": colours["shirt"], "arm": colours["skin"], "thigh": colours["trousers"]}
    if rng.random() < 0.4:
        colours["arm"] = colours["shirt"]
    colours["shin"] = colours["trousers"] if rng.random() < 0.7 else colours["skin"]
    thick = {"sleeve": 0.06, "arm": 0.05, "thigh": 0.075, "shin": 0.06}
    build = rng.uniform(0.65, 1.25)
    for limb in ("shin", "thigh"):
        for a, b in LIMBS[limb]:
            thick_line(pen, p[a], p[b], thick[limb] * u * build, colours[limb])
    for ankle in (10, 13):
        r = 0.036 * u * build
        pen.ellipse([*(p[ankle] - r), *(p[ankle] + r)], colours["shoe"])
    pen.polygon([tuple(p[i]) for i in (2, 5, 11, 8)], colours["shirt"])
    for a, b in ((2, 5), (5, 11), (11, 8), (8, 2)):
        thick_line(pen, p[a], p[b], 0.05 * u * build, colours["shirt"])
    thick_line(pen, p[8], p[11], 0.07 * u * build, colours["trousers"])
    thick_line(pen, p[0], p[1], 0.045 * u, colours["skin"])
    for limb in ("sleeve", "arm"):
        for a, b in LIMBS[limb]:
            thick_line(pen, p[a], p[b], thick[limb] * u * build, colours[limb])
    for wrist in (4, 7):
        r = 0.032 * u
        pen.ellipse([*(p[wrist] - r), *(p[wrist] + r)], colours["skin"])
    r = np.array([0.062, 0.075]) * u
    pen.ellipse([*(p[0] - r), *(p[0] + r)], colours["skin"])
    pen.chord([*(p[0] - r), *(p[0] + r)], 190, 350, colours["hair"])
    picture = np.asarray(canvas.resize((width, height), Image.Resampling.BOX), np.float32) / 255
    return pictures.photograph(rng, picture, strength * 0.8), points.astype(np.float32)
