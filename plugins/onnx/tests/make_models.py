#!/usr/bin/env python3
"""Writes the small ONNX files in data/ that the tests read.

Needs `onnx` and `numpy` only: pip install onnx==1.17.0 numpy==1.26.4
The files are the same on every run, so that a change shows in the diff.
"""

import pathlib

import numpy as np
import onnx
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper as nh

DATA = pathlib.Path(__file__).parent / "data"
DTYPES = {
    "f32": T.FLOAT, "f64": T.DOUBLE, "f16": T.FLOAT16, "i8": T.INT8, "u8": T.UINT8,
    "i32": T.INT32, "i64": T.INT64, "bool": T.BOOL,
}


def save(name, nodes, inputs, outputs, initializers=(), metadata=None, opset=17, **kwargs):
    graph = h.make_graph(nodes, name, inputs, outputs, initializer=list(initializers))
    model = h.make_model(
        graph,
        opset_imports=[h.make_opsetid("", opset)],
        producer_name="make_models.py",
        producer_version="1",
        ir_version=8,
    )
    if metadata:
        h.set_model_props(model, metadata)
    path = DATA / f"{name}.onnx"
    onnx.save_model(model, str(path), **kwargs)
    print(f"{path.stat().st_size:6} {path.name}")


def value(name, dtype, shape):
    return h.make_tensor_value_info(name, dtype, shape)


def constant(name, array):
    return nh.from_array(np.asarray(array), name)


def types():
    for name, dtype in DTYPES.items():
        save(f"identity-{name}", [h.make_node("Identity", ["x"], ["y"])],
             [value("x", dtype, ["N", 2])], [value("y", dtype, ["N", 2])])
    for name in ("f32", "i32", "i64", "u8"):
        save(f"add-{name}", [h.make_node("Add", ["a", "b"], ["sum"])],
             [value("a", DTYPES[name], ["N"]), value("b", DTYPES[name], ["N"])],
             [value("sum", DTYPES[name], ["N"])])
    # f16 weights and arithmetic: y = 2 x + 0.5
    save("affine-f16",
         [h.make_node("Mul", ["x", "two"], ["m"]), h.make_node("Add", ["m", "half"], ["y"])],
         [value("x", T.FLOAT16, ["N", 3])], [value("y", T.FLOAT16, ["N", 3])],
         [constant("two", np.float16(2)), constant("half", np.full(3, 0.5, np.float16))])
    save("not", [h.make_node("Not", ["x"], ["y"])],
         [value("x", T.BOOL, ["N"])], [value("y", T.BOOL, ["N"])])
    for name, dtype in (("string", T.STRING), ("u16", T.UINT16), ("bf16", T.BFLOAT16)):
        save(f"identity-{name}", [h.make_node("Identity", ["x"], ["y"])],
             [value("x", dtype, ["N"])], [value("y", dtype, ["N"])])


def shapes():
    # Two inputs, three outputs of different types; one output is an input's shape.
    save("many",
         [h.make_node("MatMul", ["left", "right"], ["product"]),
          h.make_node("ReduceSum", ["product"], ["total"], keepdims=0),
          h.make_node("Shape", ["product"], ["size"])],
         [value("left", T.FLOAT, ["rows", 3]), value("right", T.FLOAT, [3, "columns"])],
         [value("product", T.FLOAT, ["rows", "columns"]), value("total", T.FLOAT, []),
          value("size", T.INT64, [2])])
    # The last step is a view of other strides.
    save("transpose", [h.make_node("Transpose", ["x"], ["y"], perm=[1, 0])],
         [value("x", T.FLOAT, ["rows", "columns"])], [value("y", T.FLOAT, ["columns", "rows"])])
    # Output that is an input, and one that is a weight.
    save("through", [h.make_node("Neg", ["x"], ["y"])],
         [value("x", T.FLOAT, [2])],
         [value("y", T.FLOAT, [2]), value("x", T.FLOAT, [2]), value("w", T.FLOAT, [3])],
         [constant("w", np.float32([1, 2, 3]))])
    # A weight that is listed as an input too, as old exports do.
    save("weight-as-input", [h.make_node("Add", ["x", "w"], ["y"])],
         [value("x", T.FLOAT, [3]), value("w", T.FLOAT, [3])], [value("y", T.FLOAT, [3])],
         [constant("w", np.float32([1, 2, 3]))])
    # An image input of fixed size, for the texts of errors.
    save("fixed", [h.make_node("Relu", ["x"], ["y"])],
         [value("x", T.FLOAT, ["N", 1, 8, 8])], [value("y", T.FLOAT, ["N", 1, 8, 8])])
    # Shapes that go wrong only while it runs.
    save("broadcast", [h.make_node("Add", ["a", "b"], ["y"])],
         [value("a", T.FLOAT, ["M"]), value("b", T.FLOAT, ["N"])], [value("y", T.FLOAT, ["K"])])
    save("no-such-operator", [h.make_node("Frobnicate", ["x"], ["y"], domain="example.com")],
         [value("x", T.FLOAT, [1])], [value("y", T.FLOAT, [1])])
    then = h.make_graph([h.make_node("Neg", ["x"], ["t"])], "then", [], [value("t", T.FLOAT, [2])])
    orelse = h.make_graph([h.make_node("Abs", ["x"], ["e"])], "else", [], [value("e", T.FLOAT, [2])])
    save("if", [h.make_node("If", ["c"], ["y"], then_branch=then, else_branch=orelse)],
         [value("c", T.BOOL, []), value("x", T.FLOAT, [2])], [value("y", T.FLOAT, [2])])
    # Weights in a file of their own.
    (DATA / "external.onnx.data").unlink(missing_ok=True)
    save("external", [h.make_node("Add", ["x", "w"], ["y"])],
         [value("x", T.FLOAT, [64])], [value("y", T.FLOAT, [64])],
         [constant("w", np.arange(64, dtype=np.float32))],
         save_as_external_data=True, location="external.onnx.data", size_threshold=0)


def hostile():
    """Small files that ask for what no machine has."""
    huge = constant("s", np.int64([1 << 20, 1 << 20]))
    x, y = [value("x", T.FLOAT, [1])], [value("y", T.FLOAT, None)]
    save("huge-fill", [h.make_node("ConstantOfShape", ["s"], ["y"])], x, y, [huge])
    save("huge-tile", [h.make_node("Expand", ["x", "s"], ["y"])], x, y, [huge])
    save("huge-range", [h.make_node("Range", ["a", "b", "c"], ["y"])], x, y,
         [constant("a", np.float32(0)), constant("b", np.float32(1e12)), constant("c", np.float32(0.01))])
    save("huge-resize", [h.make_node("Resize", ["p", "", "f"], ["y"], mode="nearest")],
         [value("p", T.FLOAT, [1, 1, 8, 8])], y, [constant("f", np.float32([1, 1, 1e5, 1e5]))])
    save("huge-random", [h.make_node("RandomNormal", [], ["y"], shape=[1 << 20, 1 << 20])], x, y)
    save("circle", [h.make_node("Add", ["x", "b"], ["a"]), h.make_node("Neg", ["a"], ["b"]),
                    h.make_node("Identity", ["a"], ["y"])], x, y)


def differing():
    """Operators whose results differ from the standard's in this backend."""
    save("resize-cubic", [h.make_node("Resize", ["x", "", "f"], ["y"], mode="cubic")],
         [value("x", T.FLOAT, [1, 1, 4, 4])], [value("y", T.FLOAT, None)],
         [constant("f", np.float32([1, 1, 2, 2]))])
    save("sign", [h.make_node("Sign", ["x"], ["y"])],
         [value("x", T.FLOAT, ["N"])], [value("y", T.FLOAT, ["N"])])


def head(name, outputs, metadata=None, height=32, width=32, element=T.FLOAT):
    """A model whose answer does not depend on the picture: constants, plus 0 x the input."""
    nodes = []
    if element != T.FLOAT:
        nodes.append(h.make_node("Cast", ["image"], ["pixels"], to=T.FLOAT))
    source = "image" if element == T.FLOAT else "pixels"
    nodes += [h.make_node("ReduceMean", [source], ["mean"], keepdims=0),
              h.make_node("Mul", ["mean", "zero"], ["nothing"])]
    weights = [constant("zero", np.float32(0))]
    infos = []
    for key, array in outputs.items():
        array = np.asarray(array)
        weights.append(constant(f"{key}_value", array))
        if array.dtype == np.float32:
            nodes.append(h.make_node("Add", [f"{key}_value", "nothing"], [key]))
            infos.append(value(key, T.FLOAT, array.shape))
        else:
            nodes += [h.make_node("Cast", ["nothing"], [f"{key}_zero"], to=T.INT64),
                      h.make_node("Add", [f"{key}_value", f"{key}_zero"], [key])]
            infos.append(value(key, T.INT64, array.shape))
    save(name, nodes, [value("image", element, [1, 3, height, width])], infos, weights, metadata)


def yolo(rows, boxes):
    """[1, rows, N]: columns are given, the rest of the candidates is empty."""
    out = np.zeros((1, rows, 21), np.float32)
    out[0, 0:4] = [[16], [16], [8], [8]]
    for at, column in boxes:
        out[0, :len(column), at] = column
    return out


def heads():
    names = "{0: 'cat', 1: 'dog'}"
    common = {"stride": "32", "names": names, "imgsz": "[32, 32]", "batch": "1"}
    # Two candidates of the same dog (the weaker one goes), a cat.
    boxes = [(3, [8, 8, 8, 8, 0.1, 0.9]), (4, [8.5, 8, 8, 8, 0.1, 0.8]), (9, [24, 20, 12, 16, 0.7, 0.1])]
    head("yolov8-detect", {"output0": yolo(6, boxes)}, {**common, "task": "detect"})
    # Masks: prototype 0 is 1 on the left half, -1 on the right, prototype 1 the opposite.
    protos = np.ones((1, 2, 8, 8), np.float32)
    protos[0, 0, :, 4:] = -1
    protos[0, 1, :, :4] = -1
    seg = [(3, [8, 8, 8, 8, 0.1, 0.9, 5, 0]), (9, [24, 20, 12, 16, 0.7, 0.1, 0, 5])]
    head("yolov8-segment", {"output0": yolo(8, seg), "output1": protos}, {**common, "task": "segment"})
    pose = [(5, [16, 16, 20, 28, 0.9, 16, 6, 0.95, 10, 20, 0.9, 22, 20, 0.2])]
    head("yolov8-pose", {"output0": yolo(14, pose)},
         {**common, "task": "pose", "names": "{0: 'person'}", "kpt_shape": "[3, 3]"})
    head("yolov8-classify", {"output0": np.float32([[0.25, 0.75]])}, {**common, "task": "classify"})
    # DeepLab: scores for background, road and car; the lower half is road, with a car on it.
    scores = np.zeros((1, 3, 8, 8), np.float32)
    scores[0, 0, :4] = 5
    scores[0, 1, 4:] = 5
    scores[0, 2, 5:7, 2:4] = 9
    head("deeplab", {"out": scores, "aux": scores[:, :1]})
    # The same as class numbers.
    head("class-numbers", {"classes": scores.argmax(1).astype(np.int64)})
    # MiDaS: inverse depth, nearer at the bottom.
    depth = np.repeat(np.linspace(1, 8, 8, dtype=np.float32)[None, :, None], 8, axis=2)
    head("midas", {"depth": depth})
    # A picture as bytes, and as halves.
    head("bytes-in", {"output0": np.float32([[0.25, 0.75]])}, {**common, "task": "classify"}, element=T.UINT8)
    head("halves-in", {"output0": np.float32([[0.25, 0.75]])}, {**common, "task": "classify"}, element=T.FLOAT16)


if __name__ == "__main__":
    DATA.mkdir(exist_ok=True)
    types()
    shapes()
    hostile()
    differing()
    heads()
