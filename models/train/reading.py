"""How an output tensor is read: one function for each `format` of docs/model-description.md."""

import numpy as np
from PIL import Image


def boxes_yolov8(model, value, picture):
    """float32 [n, 6]: class, score, x, y, w, h in pixels of the picture, best score first."""
    rows = value[0].T
    best = rows[:, 4:].argmax(1)
    scores = rows[np.arange(len(rows)), 4 + best]
    keep = scores >= model.output.get("score_threshold", 0.25)
    rows, best, scores = rows[keep], best[keep], scores[keep]
    order = np.argsort(-scores, kind="stable")
    scale_x, scale_y, left, top = model.place(picture)
    found = []
    for i in order:
        cx, cy, w, h = rows[i, :4]
        x0 = np.clip((cx - w / 2 - left) / scale_x, 0, picture.width)
        y0 = np.clip((cy - h / 2 - top) / scale_y, 0, picture.height)
        x1 = np.clip((cx + w / 2 - left) / scale_x, 0, picture.width)
        y1 = np.clip((cy + h / 2 - top) / scale_y, 0, picture.height)
        box = (best[i], scores[i], x0, y0, x1 - x0, y1 - y0)
        limit = model.output.get("iou_threshold", 0.45)
        if all(other[0] != best[i] or overlap(other[2:], box[2:]) <= limit for other in found):
            found.append(box)
        if len(found) == model.output.get("max_detections", 300):
            break
    return np.array(found, np.float32).reshape(-1, 6)


def overlap(a, b):
    """Intersection over union of two boxes (x, y, w, h)."""
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    shared = max(0.0, width) * max(0.0, height)
    whole = a[2] * a[3] + b[2] * b[3] - shared
    return shared / whole if whole > 0 else 0.0


def class_map(value, picture):
    """uint8 [H, W] class numbers at the size of the picture: arg max, then the nearest value."""
    classes = value[0].argmax(0).astype(np.uint8)
    return np.asarray(Image.fromarray(classes).resize(picture.size, Image.Resampling.NEAREST))


def points_heatmap(model, value, picture):
    """float32 [K, 3]: x, y in pixels of the picture and the height of the maximum."""
    maps = value[0]
    rows, columns = maps.shape[1:]
    scale_x, scale_y, left, top = model.place(picture)
    points = []
    for one in maps:
        y, x = np.unravel_index(one.argmax(), one.shape)
        fine_x, fine_y = x + 0.5, y + 0.5
        if 0 < x < columns - 1:
            fine_x += 0.25 * np.sign(one[y, x + 1] - one[y, x - 1])
        if 0 < y < rows - 1:
            fine_y += 0.25 * np.sign(one[y + 1, x] - one[y - 1, x])
        in_x, in_y = fine_x * model.input["width"] / columns, fine_y * model.input["height"] / rows
        points.append(((in_x - left) / scale_x, (in_y - top) / scale_y, one[y, x]))
    return np.array(points, np.float32)


def depth_map(value, picture):
    """float32 [H, W]: one value a pixel, resized to the picture by bilinear interpolation."""
    plane = Image.fromarray(np.ascontiguousarray(value.reshape(value.shape[-2:])), "F")
    return np.asarray(plane.resize(picture.size, Image.Resampling.BILINEAR), np.float32)
