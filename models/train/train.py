"""Trains one model or all of them: python models/train/train.py TASK|all [--out DIR]

Writes model.onnx, test.npz and metrics.json into DIR/<task>; DIR is the folder
`models` by default. Seeds are fixed; two threads and two processes are used.
"""

import argparse
import importlib
import shutil
from pathlib import Path

MODELS = Path(__file__).resolve().parent.parent
TASKS = {
    "digits-8x8": "digits_8x8",
    "classify": "classify",
    "detect": "detect",
    "segment": "segment",
    "pose": "pose",
    "depth": "depth",
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("task", choices=[*TASKS, "all"])
    parser.add_argument("--out", type=Path, default=MODELS, help="folder of the model folders")
    arguments = parser.parse_args()
    for task in TASKS if arguments.task == "all" else [arguments.task]:
        folder = arguments.out / task
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("model.toml", "labels.txt"):
            source = MODELS / task / name
            if source.exists() and not (folder / name).exists():
                shutil.copy(source, folder / name)
        importlib.import_module(TASKS[task]).train(folder)


if __name__ == "__main__":
    main()
