"""Compiles an ONNX model with TVM into a shared library for the processor that it runs on.

    pip install apache-tvm==0.27.0 apache-tvm-ffi==0.1.15.post2 onnx==1.23.2
    python models/train/compile_tvm.py models/digits-8x8/model.onnx model.so

What was compiled is run once, so that what cannot run is not kept.
"""

import os
import sys

import numpy as np
import onnx
import tvm
from tvm import relax
from tvm.relax.frontend.onnx import from_onnx


def main(source, target):
    model = onnx.load(source)
    library = relax.build(from_onnx(model), target="llvm")
    library.export_library(target + ".new.so")
    machine = relax.VirtualMachine(tvm.runtime.load_module(target + ".new.so"), tvm.cpu())
    # Whatever length is open is 1.
    given = model.graph.input[0]
    dims = [d.dim_value or 1 for d in given.type.tensor_type.shape.dim]
    found = machine["main"](tvm.runtime.tensor(np.zeros(dims, "float32"), tvm.cpu()))
    print(f"{target}: {given.name} {dims} gives {found.shape}")
    os.replace(target + ".new.so", target)


main(*sys.argv[1:])
