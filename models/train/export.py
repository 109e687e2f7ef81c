"""From a trained module to the files of a model folder."""

import hashlib
import json
from pathlib import Path

import numpy as np
import onnx
import torch

OPSET = 17
MAX_BYTES = 1_000_000
ALLOWED = {
    "Add", "Clip", "Concat", "Constant", "Conv", "DepthToSpace", "Div", "Exp", "Flatten", "Gemm",
    "GlobalAveragePool", "HardSwish", "MatMul", "MaxPool", "Mul", "Relu", "Reshape", "Resize",
    "Sigmoid", "Slice", "Softmax", "Softplus", "Split", "Squeeze", "Sub", "Transpose",
}  # fmt: skip


def to_onnx(model, path, example, output):
    """Writes `model` with a free batch dimension, checks it, and returns the SHA-256 of the file."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    model = model.to(memory_format=torch.contiguous_format).eval()
    torch.onnx.export(
        model,
        (example,),
        str(path),
        opset_version=OPSET,
        dynamo=False,
        input_names=["input"],
        output_names=[output],
        dynamic_axes={"input": {0: "batch"}, output: {0: "batch"}},
    )
    graph = onnx.load(path)
    onnx.checker.check_model(graph, full_check=True)
    foreign = {node.op_type for node in graph.graph.node} - ALLOWED
    if foreign:
        raise RuntimeError(f"{path}: operations outside the plain set: {sorted(foreign)}")
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise RuntimeError(f"{path}: {size} bytes, the limit is {MAX_BYTES}")
    return hashlib.sha256(path.read_bytes()).hexdigest()


def save_test_set(path, **arrays):
    """A compressed .npz of plain arrays."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, **arrays)
    print(f"{path}: {path.stat().st_size / 1024:.0f} KiB", flush=True)


def save_metrics(folder, task, metric, value, lower_is_better, tolerance, command, sha256, count, generated):
    """Writes metrics.json; `generated` describes the larger test that is made anew for each training."""
    threshold = value + tolerance if lower_is_better else value - tolerance
    record = {
        "task": task,
        "metric": metric,
        "value": round(float(value), 5),
        "lower_is_better": lower_is_better,
        "threshold": round(float(threshold), 5),
        "test_set": "test.npz",
        "command": command,
        "onnx_sha256": sha256,
        "parameters": count,
        "generated": generated,
    }
    (Path(folder) / "metrics.json").write_text(json.dumps(record, indent=2) + "\n")
    print(json.dumps(record, indent=2), flush=True)
