"""A net as its ONNX file has it: operations in order, with their constants. No torch, no TensorFlow."""

from dataclasses import dataclass

import onnx
from onnx import helper, numpy_helper


@dataclass
class Node:
    """One operation; `inputs` are names of values or constants, "" for one that is left out."""

    op: str
    inputs: list
    output: str
    attributes: dict


@dataclass
class Net:
    """`constants` are arrays by name; `dims` those of the input, 0 for the open batch."""

    nodes: list
    constants: dict
    input: str
    dims: list
    output: str


def read(path):
    """The net of an ONNX file with one input and one output."""
    graph = onnx.load(path).graph
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    nodes = []
    for node in graph.node:
        attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        if node.op_type == "Constant":
            constants[node.output[0]] = numpy_helper.to_array(attributes["value"])
        else:
            nodes.append(Node(node.op_type, list(node.input), node.output[0], attributes))
    (given,), (wanted,) = graph.input, graph.output
    dims = [d.dim_value for d in given.type.tensor_type.shape.dim]
    return Net(nodes, constants, given.name, dims, wanted.name)
