"""Measures the committed models on their test sets: python models/train/check.py [TASK ...] [--json]

Needs numpy, pillow and onnxruntime, not torch. Exits with 1 when a model is worse
than its threshold or its file is not the one that metrics.json names.
"""

import argparse
import hashlib
import json
import sys
import time
from pathlib import Path

import numpy as np

import metrics
import truth
from evaluate import Model

MODELS = Path(__file__).resolve().parent.parent
TASKS = ["digits-8x8", "classify", "detect", "segment", "pose", "depth"]


def passes(value, rule):
    """Whether a value meets a rule with `threshold` and, where it applies, `lower_is_better`."""
    return value <= rule["threshold"] if rule.get("lower_is_better") else value >= rule["threshold"]


def check(folder):
    """One row of the table for a model folder."""
    model = Model(folder)
    rule = json.loads((folder / "metrics.json").read_text())
    with np.load(folder / rule["test_set"]) as test:
        test = dict(test)
    began = time.perf_counter()
    value = metrics.measure(rule["metric"], model, test)
    seconds = time.perf_counter() - began
    same = hashlib.sha256(model.path.read_bytes()).hexdigest() == rule["onnx_sha256"]
    row = {
        "model": folder.name,
        "metric": rule["metric"],
        "value": round(value, 5),
        "threshold": rule["threshold"],
        "pictures": len(test["images"]),
        "ms_a_picture": round(1000 * seconds / len(test["images"]), 2),
        "sha256_matches": same,
        "passed": passes(value, rule) and same,
    }
    if (folder / "samples" / "truth.json").exists():
        value, rule = truth.measure(model)
        row["samples"], row["samples_threshold"] = round(value, 5), rule["threshold"]
        row["passed"] = row["passed"] and passes(value, rule)
    return row


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("task", nargs="*", choices=[[], *TASKS], help="all by default")
    parser.add_argument("--models", type=Path, default=MODELS, help="folder of the model folders")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    arguments = parser.parse_args()
    rows = [check(arguments.models / task) for task in arguments.task or TASKS]
    if arguments.json:
        for row in rows:
            print(json.dumps(row))
    else:
        head = f"{'model':<12}{'metric':<12}{'value':>9}{'limit':>9}{'samples':>9}{'limit':>9}{'ms':>8}  result"
        print(head)
        for row in rows:
            result = "ok" if row["passed"] else "FAILED" if row["sha256_matches"] else "FAILED: model.onnx changed"
            sample, limit = row.get("samples", "-"), row.get("samples_threshold", "-")
            print(
                f"{row['model']:<12}{row['metric']:<12}{row['value']:>9}{row['threshold']:>9}"
                f"{sample:>9}{limit:>9}{row['ms_a_picture']:>8}  {result}"
            )
    sys.exit(0 if all(row["passed"] for row in rows) else 1)


if __name__ == "__main__":
    main()
