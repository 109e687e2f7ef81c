"""A net in Torch, as its ONNX file has it."""

import torch
from torch import nn
from torch.nn import functional as F


def attribute(name):
    """The name of a weight as Python takes it."""
    return "".join(letter if letter.isalnum() else "_" for letter in name)


def tensor(value):
    """A value, or a constant of the net."""
    return value if isinstance(value, torch.Tensor) else torch.tensor(value)


class Module(nn.Module):
    """Runs a net; its weights are parameters."""

    def __init__(self, net):
        super().__init__()
        self.net = net
        for node in net.nodes:
            for name in node.inputs if node.op in ("Conv", "Gemm") else []:
                if name in net.constants:
                    weight = nn.Parameter(tensor(net.constants[name]), requires_grad=False)
                    self.register_parameter(attribute(name), weight)

    def forward(self, input):
        values = {self.net.input: input}
        for node in self.net.nodes:
            weighted = node.op in ("Conv", "Gemm")
            inputs = []
            for name in node.inputs:
                if name in values:
                    inputs.append(values[name])
                elif weighted:
                    inputs.append(getattr(self, attribute(name)))
                else:
                    inputs.append(self.net.constants[name] if name else None)
            values[node.output] = getattr(self, node.op)(node.attributes, *inputs)
        return values[self.net.output]

    def Conv(self, has, x, kernel, bias):
        top, left, bottom, right = has["pads"]
        assert (top, left) == (bottom, right)
        return F.conv2d(x, kernel, bias, has["strides"], (top, left))

    def Gemm(self, has, x, matrix, bias):
        return F.linear(x, matrix, bias)

    def AveragePool(self, has, x):
        return F.avg_pool2d(x, has["kernel_shape"], has["strides"])

    def MaxPool(self, has, x):
        return F.max_pool2d(x, has["kernel_shape"], has["strides"])

    def Resize(self, has, x, _, scales):
        return F.interpolate(x, scale_factor=[float(s) for s in scales[2:]], mode="nearest")

    def DepthToSpace(self, has, x):
        return F.pixel_shuffle(x, has["blocksize"])

    def Flatten(self, has, x):
        return torch.flatten(x, 1)

    def Reshape(self, has, x, shape):
        return x.reshape([int(side) for side in shape])

    def Slice(self, has, x, starts, ends, axes, steps):
        assert list(axes) == [1] and list(steps) == [1], "channels alone are cut"
        return x[:, int(starts[0]) : int(ends[0])]

    def Concat(self, has, *parts):
        return torch.cat(parts, has["axis"])

    def Clip(self, has, x, low, high):
        return torch.clamp(x, float(low), float(high))

    def Relu(self, has, x):
        return torch.relu(x)

    def Sigmoid(self, has, x):
        return torch.sigmoid(x)

    def Exp(self, has, x):
        return torch.exp(x)

    def Add(self, has, a, b):
        return tensor(a) + tensor(b)

    def Mul(self, has, a, b):
        return tensor(a) * tensor(b)


def script(net):
    """The net as TorchScript, for any number of pictures."""
    module = Module(net).eval()
    with torch.no_grad():
        return torch.jit.trace(module, torch.zeros([2, *net.dims[1:]]))
