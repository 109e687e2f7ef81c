"""Writes the sample pictures of the model folders: python models/train/samples.py TASK|all [--out DIR]

Samples are drawn by seed from held-out digits, not chosen by looking at results.
"""

import argparse
import json
import shutil
from pathlib import Path

import numpy as np
from PIL import Image

import digit_pictures
import digits
import figures
import pictures
import rooms
import scenes

MODELS = Path(__file__).resolve().parent.parent
SEED = 4040
QUALITY = 90


def classify_picture(rng, index, number):
    """One picture: draws digit `index` in the manner of file `number`."""
    if number % 8 == 7:
        long = int(rng.integers(620, 1001))
    elif number % 8 in (3, 5):
        long = int(rng.integers(400, 620))
    else:
        long = int(rng.integers(200, 340))
    short = max(200, int(long * rng.uniform(0.75, 1.0)))
    height, width = (long, short) if rng.random() < 0.4 else (short, long)
    drawn_at = min(1.0, 260 / max(height, width))
    size = (round(height * drawn_at), round(width * drawn_at))
    drawn, label = digit_pictures.draw(rng, "test", index, *size, strength=0.7 if long < 400 else 0.45)
    picture = Image.fromarray(drawn).resize((width, height), Image.Resampling.BICUBIC)
    return picture, label


def classify(folder):
    """Forty pictures, four of each digit, as colour and grey JPEG and as PNG of several kinds."""
    rng = np.random.default_rng([SEED, 0])
    _, labels = digits.split("test")
    order = [int(i) for d in range(10) for i in rng.choice(np.flatnonzero(labels == d), 4, replace=False)]
    rng.shuffle(order)
    files = []
    for number, index in enumerate(order):
        picture, label = classify_picture(np.random.default_rng([SEED, 1, number]), index, number)
        kind = number % 5
        if kind in (1, 4) and max(picture.size) <= 400:
            name = f"{number + 1:02}.png"
            picture = Image.fromarray(pictures.few_colours(np.asarray(picture), 24))
            if number % 3 == 0:
                picture = picture.quantize(24)
            elif number % 3 == 1:
                picture = picture.convert("RGBA")
            picture.save(folder / name, optimize=True)
        else:
            name = f"{number + 1:02}.jpg"
            if number % 11 == 6:
                picture = picture.convert("L")
            picture.save(folder / name, quality=QUALITY, optimize=True)
        files.append({"file": name, "label": digits.NAMES[label]})
    return {"metric": "accuracy", "threshold": 0.97, "files": files}


def save(folder, number, pixels):
    """Writes a sample as JPEG, every third as PNG; returns its name."""
    name = f"{number + 1}.png" if number % 3 == 2 else f"{number + 1}.jpg"
    if name.endswith("png"):
        Image.fromarray(pictures.few_colours(pixels, 48)).save(folder / name, optimize=True)
    else:
        Image.fromarray(pixels).save(folder / name, quality=QUALITY, optimize=True)
    return name


SIZES = [(240, 320), (320, 240), (200, 266), (224, 224), (180, 320), (240, 300)]


def detect(folder):
    """Six scenes with their boxes."""
    files = []
    for number, (height, width) in enumerate(SIZES):
        rng = np.random.default_rng([SEED, 2, number])
        drawn, boxes, _ = scenes.draw(rng, "test", height, width, strength=0.8)
        keys = ("x", "y", "width", "height")
        table = [dict(zip(keys, map(float, box[1:]))) | {"label": digits.NAMES[int(box[0])]} for box in boxes]
        files.append({"file": save(folder, number, drawn), "boxes": table})
    return {"metric": "f1@iou0.5", "threshold": 0.9, "files": files}


def segment(folder):
    """Six scenes with a mask of class numbers each."""
    files = []
    for number, (height, width) in enumerate(SIZES):
        rng = np.random.default_rng([SEED, 3, number])
        drawn, _, mask = scenes.draw(rng, "test", height, width, strength=0.8)
        name = save(folder, number, drawn)
        mask_name = f"{number + 1}-mask.png"
        Image.fromarray(mask).save(folder / mask_name, optimize=True)
        files.append({"file": name, "mask": mask_name})
    return {"metric": "miou", "threshold": 0.6, "files": files}


def pose(folder):
    """Six figures with their points."""
    files = []
    for number, (height, width) in enumerate(SIZES):
        rng = np.random.default_rng([SEED, 4, number])
        drawn, points = figures.draw(rng, "test", height, width, strength=0.8)
        points = [[round(float(x), 2), round(float(y), 2)] for x, y in points]
        files.append({"file": save(folder, number, drawn), "points": points})
    return {"metric": "pck@0.05", "threshold": 0.95, "files": files}


def depth(folder):
    """Six halls with the distance of every pixel."""
    files = []
    for number in range(6):
        rng = np.random.default_rng([SEED, 5, number])
        drawn, distances = rooms.draw(rng, "test", 96, 128, strength=0.8)
        name = save(folder, number, drawn)
        depth_name = f"{number + 1}-depth.npy"
        np.save(folder / depth_name, distances.astype("<f4"))
        files.append({"file": name, "depth": depth_name})
    return {"metric": "abs_rel", "threshold": 0.13, "lower_is_better": True, "files": files}


WRITERS = {"classify": classify, "detect": detect, "segment": segment, "pose": pose, "depth": depth}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("task", choices=[*WRITERS, "all"])
    parser.add_argument("--out", type=Path, default=MODELS, help="folder of the model folders")
    arguments = parser.parse_args()
    for task in WRITERS if arguments.task == "all" else [arguments.task]:
        folder = arguments.out / task / "samples"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        record = WRITERS[task](folder)
        (folder / "truth.json").write_text(json.dumps(record, indent=1) + "\n")
        size = sum(path.stat().st_size for path in folder.iterdir())
        print(f"{folder}: {len(record['files'])} pictures, {size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
