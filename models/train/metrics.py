"""What is measured: one number for each task over a mapping of arrays such as an open test.npz.

`images` is uint8 [N, H, W, 3] or a list of pictures of any size.
"""

import numpy as np

import reading


def accuracy(model, test):
    """Share of the pictures whose best class is right. Truth: labels [N]."""
    right = [
        int(model.run(pixels)[0].reshape(-1).argmax()) == int(label)
        for pixels, label in zip(test["images"], test["labels"])
    ]
    return float(np.mean(right))


def f1(model, test, least=0.5):
    """F1 of all boxes together. Truth: boxes [M, 6] (picture, class, x, y, w, h).

    A found box counts when its class is right and it overlaps a box of the truth
    that no better box has taken by at least `least`.
    """
    truth = np.asarray(test["boxes"])
    hits = found_count = 0
    for index, pixels in enumerate(test["images"]):
        value, picture = model.run(pixels)
        found = reading.boxes_yolov8(model, value, picture)
        open_boxes = [row[1:] for row in truth[truth[:, 0] == index]]
        found_count += len(found)
        for box in found:
            fits = [reading.overlap(box[2:], row[1:]) if row[0] == box[0] else 0.0 for row in open_boxes]
            if fits and max(fits) >= least:
                hits += 1
                open_boxes.pop(int(np.argmax(fits)))
    return 2 * hits / max(1, found_count + len(truth))


def miou(model, test):
    """Mean over the classes of intersection over union of all pixels. Truth: masks [N, H, W]."""
    classes = len(model.labels())
    table = np.zeros((classes, classes), np.int64)
    for pixels, mask in zip(test["images"], test["masks"]):
        value, picture = model.run(pixels)
        found = reading.class_map(value, picture)
        pairs = mask.astype(np.int64) * classes + found
        table += np.bincount(pairs.reshape(-1), minlength=classes * classes).reshape(classes, classes)
    shared, whole = np.diag(table), table.sum(0) + table.sum(1) - np.diag(table)
    return float((shared[whole > 0] / whole[whole > 0]).mean())


def pck(model, test, part=0.05):
    """Share of the points that lie within `part` of the picture's diagonal. Truth: points [N, K, 2]."""
    near = []
    for pixels, points in zip(test["images"], test["points"]):
        value, picture = model.run(pixels)
        found = reading.points_heatmap(model, value, picture)[:, :2]
        limit = part * np.hypot(picture.width, picture.height)
        near.append(np.hypot(*(found - points).T) <= limit)
    return float(np.mean(near))


def abs_rel(model, test):
    """Mean of |found - true| / true over all pixels; lower is better. Truth: depth [N, H, W]."""
    errors = []
    for pixels, depth in zip(test["images"], test["depth"]):
        value, picture = model.run(pixels)
        depth = np.asarray(depth, np.float32)
        errors.append(float((np.abs(reading.depth_map(value, picture) - depth) / depth).mean()))
    return float(np.mean(errors))


METRICS = {"accuracy": accuracy, "f1@iou0.5": f1, "miou": miou, "pck@0.05": pck, "abs_rel": abs_rel}
LOWER_IS_BETTER = {"abs_rel"}


def measure(metric, model, test):
    """The value of a metric by its name in metrics.json."""
    return METRICS[metric](model, test)
