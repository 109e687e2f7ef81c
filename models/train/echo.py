"""Writes models that give back what they are given, of every type and rank, for the tests of the backends.

    python models/train/echo.py [tensorflow] [torch]

TFLite files are of one type and shape each: `<type>.tflite` takes [2, 3, 4], `f32-<rank>.tflite` as many
elements in that many dimensions; all of them give [6, 4]. A TorchScript file takes anything.
"""

import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent.parent / "tests/backends/echo"
RANKS = {1: [24], 2: [4, 6], 3: [2, 3, 4], 4: [1, 2, 3, 4], 5: [1, 2, 3, 2, 2]}
TYPES = {
    "f32": "float32", "f64": "float64", "f16": "float16", "bf16": "bfloat16", "i8": "int8", "u8": "uint8",
    "i16": "int16", "u16": "uint16", "i32": "int32", "u32": "uint32", "i64": "int64", "u64": "uint64", "bool": "bool",
}  # fmt: skip


def tensorflow():
    import tensorflow as tf

    cases = [(name, TYPES[name], [2, 3, 4]) for name in TYPES]
    cases += [(f"f32-{rank}", "float32", dims) for rank, dims in RANKS.items()]
    for name, dtype, dims in cases:

        @tf.function(input_signature=[tf.TensorSpec(dims, dtype, name="input")])
        def serve(input):
            return {"output": tf.reshape(input, [6, 4])}

        try:
            converter = tf.lite.TFLiteConverter.from_concrete_functions([serve.get_concrete_function()])
            (FOLDER / f"{name}.tflite").write_bytes(converter.convert())
        except Exception as error:
            print(f"{name}: TensorFlow Lite has no file for it: {str(error).splitlines()[0][:100]}")


def torch():
    import torch as t

    class Echo(t.nn.Module):
        def forward(self, input):
            return input.clone()

    t.jit.script(Echo().eval()).save(str(FOLDER / "any.pt"))


FOLDER.mkdir(exist_ok=True)
for kind in sys.argv[1:] or ["tensorflow", "torch"]:
    {"tensorflow": tensorflow, "torch": torch}[kind]()
