"""Compiles ONNX models with TVM into shared libraries for the processor that it runs on.

    pip install apache-tvm==0.27.0 apache-tvm-ffi==0.1.15.post2 onnx==1.23.2
    python models/train/compile_tvm.py target/tvm-models models/*/model.onnx

writes `target/tvm-models/<model>/model.so`, and beside it `features.so`, which also gives what goes into
the last layer, where that is a matrix. What was compiled is run once, so that what cannot run is not kept.
"""

import os
import sys
from pathlib import Path

import numpy as np
import onnx
import tvm
from onnx import TensorProto, helper
from tvm import relax
from tvm.relax.frontend.onnx import from_onnx


def compile_model(model, target):
    """Compiles a model, and runs it."""
    new = target.with_suffix(".new.so")
    relax.build(from_onnx(model), target="llvm").export_library(str(new))
    machine = relax.VirtualMachine(tvm.runtime.load_module(str(new)), tvm.cpu())
    # Whatever length is open is 1.
    dims = [d.dim_value or 1 for d in model.graph.input[0].type.tensor_type.shape.dim]
    found = machine["main"](tvm.runtime.tensor(np.zeros(dims, "float32"), tvm.cpu()))
    shapes = [one.shape for one in ([found] if hasattr(found, "shape") else found)]
    print(f"{target}: {dims} gives {shapes}", flush=True)
    os.replace(new, target)


def main(folder, *sources):
    for source in map(Path, sources):
        target = Path(folder) / source.parent.name / "model.so"
        target.parent.mkdir(parents=True, exist_ok=True)
        model = onnx.load(source)
        last = model.graph.node[-1]
        if last.op_type == "Gemm":
            model.graph.output.append(helper.make_tensor_value_info(last.input[0], TensorProto.FLOAT, None))
            compile_model(model, target.with_name("features.so"))
            model.graph.output.pop()
        # The last to be written: by it others see that all is there.
        compile_model(model, target)


main(*sys.argv[1:])
