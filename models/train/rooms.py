"""Halls with a tiled floor, boxes, balls and digit boards at known distances: the data of `depth`.

A small ray caster. The camera looks straight ahead, 1.5 m above the floor; x goes
right, y down, z away from it; distance means z in metres, as depth cameras give it.
"""

import numpy as np

import digits
import pictures

EYE = 1.5
FOCAL = 0.9  # in picture widths
ASPECT = 3 / 4
NEAREST, FARTHEST = 1.2, 14.0
BOARD = 1.1  # side of a digit board


def rays(height, width, horizon):
    """Directions with z = 1 for every pixel: x and y, float32 [H, W]."""
    focal = FOCAL * width
    x = (np.arange(width, dtype=np.float32) + 0.5 - width / 2) / focal
    y = (np.arange(height, dtype=np.float32) + 0.5 - horizon * height) / focal
    return np.broadcast_to(x, (height, width)), np.broadcast_to(y[:, None], (height, width))


def box(dx, dy, low, high):
    """Distance to a box from `low` to `high` (inf where it is missed) and the axis of the face that is hit."""
    enter = np.full(dx.shape, -np.inf, np.float32)
    leave = np.full(dx.shape, np.inf, np.float32)
    axis = np.zeros(dx.shape, np.int8)
    for number, direction in enumerate((dx, dy, np.float32(1.0))):
        with np.errstate(divide="ignore", invalid="ignore"):
            a, b = low[number] / direction, high[number] / direction
        first, last = np.minimum(a, b), np.maximum(a, b)
        later = first > enter
        axis = np.where(later, number, axis).astype(np.int8)
        enter, leave = np.maximum(enter, first), np.minimum(leave, last)
    return np.where((enter < leave) & (enter > 0), enter, np.inf), axis


def ball(dx, dy, centre, radius):
    """Distance z to a ball, inf where it is missed."""
    a = dx * dx + dy * dy + 1
    b = dx * centre[0] + dy * centre[1] + centre[2]
    under = b * b - a * (float(np.dot(centre, centre)) - radius * radius)
    return np.where(under > 0, (b - np.sqrt(np.maximum(under, 0))) / a, np.inf)


def floor_pattern(rng, x, z):
    """Brightness -1..1 of the floor at places in metres; finer than a pixel fades to grey."""
    kind = rng.integers(3)
    turn = rng.uniform(-0.6, 0.6)
    u, v = x * np.cos(turn) + z * np.sin(turn), z * np.cos(turn) - x * np.sin(turn)
    tile = 0.5
    fade = np.clip(1.6 - z / 9, 0, 1)
    if kind == 0:
        return (((np.floor(u / tile) + np.floor(v / tile)) % 2) * 2 - 1) * fade
    if kind == 1:
        line = (np.abs((u / tile) % 1 - 0.5) > 0.44) | (np.abs((v / tile) % 1 - 0.5) > 0.44)
        return np.where(line, 1.0, -0.2) * fade
    return np.where((u / tile) % 2 < 1, 1.0, -1.0) * fade


def things(rng):
    """Positions (x, z) of up to five things that stand apart."""
    found = []
    for _ in range(rng.integers(1, 6)):
        for _ in range(20):
            z = np.exp(rng.uniform(np.log(NEAREST + 0.6), np.log(8.0)))
            x = rng.uniform(-0.5, 0.5) * z
            if all(abs(z - b) > 1.0 or abs(x - a) > 1.3 for a, b in found):
                found.append((x, z))
                break
    return found


def draw(rng, part, height, width, strength=1.0):
    """uint8 [H, W, 3] and distances in metres, float32 [H, W]; H / W must be 3 / 4."""
    images, _ = digits.split(part)
    horizon = rng.uniform(0.4, 0.46)
    dx, dy = rays(height, width, horizon)
    wall = rng.uniform(7.0, FARTHEST)
    depth = np.full((height, width), wall, np.float32)
    wall_tone, floor_tone = pictures.colour(rng) * 0.7 + 0.2, pictures.colour(rng) * 0.7 + 0.15
    picture = np.empty((height, width, 3), np.float32)
    picture[:] = pictures.paper(rng, height, width, wall_tone, 0.05)
    with np.errstate(divide="ignore"):
        down = np.where(dy > 0, EYE / np.maximum(dy, 1e-6), np.inf).astype(np.float32)
    on_floor = down < depth
    depth = np.minimum(depth, down)
    pattern = floor_pattern(rng, dx * depth, depth) * rng.uniform(0.06, 0.2)
    floor = np.clip(floor_tone + pattern[..., None], 0, 1)
    shade = np.ones((height, width), np.float32)
    layout = things(rng)
    for x, z in layout:
        # A soft shadow tells where a thing stands.
        far = ((dx * depth - x) / 0.7) ** 2 + ((depth - z) / 0.5) ** 2
        shade *= 1 - 0.45 * np.exp(-far)
    picture = np.where(on_floor[..., None], floor * shade[..., None], picture)
    for x, z in layout:
        tone = pictures.contrasting_colour(rng, floor_tone, 0.12)
        kind = rng.integers(3)
        if kind == 0:
            w, h, d = rng.uniform(0.4, 1.0), rng.uniform(0.4, 1.3), rng.uniform(0.3, 0.9)
            hit, axis = box(dx, dy, (x - w / 2, EYE - h, z), (x + w / 2, EYE, z + d))
            light = np.array([0.72, 1.12, 0.95], np.float32)[axis]
            surface = tone * light[..., None]
        elif kind == 1:
            radius = rng.uniform(0.25, 0.55)
            hit = ball(dx, dy, (x, EYE - radius, z), radius)
            reach = np.where(np.isfinite(hit), hit, 0)
            up = np.clip((EYE - radius - dy * reach) / radius, -1, 1)
            surface = tone * (0.85 + 0.3 * up)[..., None]
        else:
            hit, _ = box(dx, dy, (x - BOARD / 2, EYE - BOARD, z), (x + BOARD / 2, EYE, z + 0.05))
            u, v = (dx * z - x) / BOARD + 0.5, (dy * z - EYE) / BOARD + 1
            side = 64
            cover = pictures.stroke_map(rng, images[rng.integers(len(images))], side, side, (32, 32), 52)
            row = np.clip(np.nan_to_num(v * side), 0, side - 1).astype(int)
            column = np.clip(np.nan_to_num(u * side), 0, side - 1).astype(int)
            ink = pictures.contrasting_colour(rng, tone, 0.3)
            share = cover[row, column][..., None]
            surface = tone * (1 - share) + ink * share
        seen = hit < depth
        picture = np.where(seen[..., None], surface, picture)
        depth = np.where(seen, hit, depth).astype(np.float32)
    fog, thickness = pictures.colour(rng) * 0.5 + 0.4, rng.uniform(12, 40)
    clear = np.exp(-depth / thickness)[..., None]
    picture = np.clip(picture * clear + fog * (1 - clear), 0, 1).astype(np.float32)
    return pictures.photograph(rng, picture, strength * 0.8), depth.astype(np.float32)


def any_size(rng, least=112, most=260):
    """Height and width with the aspect ratio 3:4."""
    width = int(rng.integers(least, most)) // 4 * 4
    return width * 3 // 4, width
