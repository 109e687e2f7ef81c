"""A net in TensorFlow, whose pictures have their channels last inside, whatever goes in."""

import tensorflow as tf


class Module(tf.Module):
    """Runs a net on pictures whose channels come last (`last`) or first, as in its ONNX file.

    Results of four dimensions have their channels last. Weights are variables of TensorFlow's
    own: those of Keras 3 are not restored by the C interface.
    """

    def __init__(self, net, last):
        super().__init__()
        self.net, self.last = net, last
        self.shuffled = {node.inputs[0] for node in net.nodes if node.op == "DepthToSpace"}
        self.weights = {}
        for node in net.nodes:
            if node.op in ("Conv", "Gemm"):
                self.weights[node.output] = [tf.Variable(array) for array in self.arrays(node)]

    def arrays(self, node):
        """Kernel or matrix and bias as TensorFlow has them."""
        kernel, bias = (self.net.constants[name] for name in node.inputs[1:])
        if node.output in self.shuffled:
            # TensorFlow counts the places of a block before the channels, ONNX the other way.
            (block,) = {n.attributes["blocksize"] for n in self.net.nodes if n.op == "DepthToSpace"}
            order = [c * block**2 + place for place in range(block**2) for c in range(len(bias) // block**2)]
            kernel, bias = kernel[order], bias[order]
        return (kernel.transpose(2, 3, 1, 0) if node.op == "Conv" else kernel.T), bias

    def __call__(self, x):
        x = x if self.last else tf.transpose(x, [0, 2, 3, 1])
        values = {self.net.input: x}
        for node in self.net.nodes:
            inputs = [values[n] if n in values else self.constant(n) for n in node.inputs]
            values[node.output] = getattr(self, node.op)(node, *inputs)
        return values[self.net.output]

    def constant(self, name):
        """An array, with the channels last where it has four dimensions; None for one left out."""
        array = self.net.constants[name] if name else None
        return array.transpose(0, 2, 3, 1) if array is not None and array.ndim == 4 else array

    def function(self, batch):
        """The net as a function with a signature; `batch` is None for an open one."""
        channels, height, width = self.net.dims[1:]
        dims = [height, width, channels] if self.last else [channels, height, width]
        spec = tf.TensorSpec([batch, *dims], tf.float32, name="input")

        @tf.function(input_signature=[spec])
        def serve(input):
            return {self.net.output: tf.identity(self(input), name=self.net.output)}

        return serve

    def Conv(self, node, x, *_):
        (top, left, bottom, right), strides = node.attributes["pads"], node.attributes["strides"]
        same = strides == [1, 1] and top == bottom == left == right == (node.attributes["kernel_shape"][0] - 1) // 2
        if not same and any(node.attributes["pads"]):
            x = tf.pad(x, [[0, 0], [top, bottom], [left, right], [0, 0]])
        kernel, bias = self.weights[node.output]
        return tf.nn.bias_add(tf.nn.conv2d(x, kernel, strides, "SAME" if same else "VALID"), bias)

    def Gemm(self, node, x, *_):
        matrix, bias = self.weights[node.output]
        return tf.matmul(x, matrix) + bias

    def AveragePool(self, node, x):
        return tf.nn.avg_pool2d(x, node.attributes["kernel_shape"], node.attributes["strides"], "VALID")

    def MaxPool(self, node, x):
        return tf.nn.max_pool2d(x, node.attributes["kernel_shape"], node.attributes["strides"], "VALID")

    def Resize(self, node, x, _, scales):
        size = [int(side * scale) for side, scale in zip(x.shape[1:3], scales[2:])]
        return tf.raw_ops.ResizeNearestNeighbor(images=x, size=size, half_pixel_centers=True)

    def DepthToSpace(self, node, x):
        return tf.nn.depth_to_space(x, node.attributes["blocksize"])

    def Flatten(self, node, x):
        # As the matrix behind it expects.
        return tf.reshape(tf.transpose(x, [0, 3, 1, 2]), [-1, x.shape[1] * x.shape[2] * x.shape[3]])

    def Reshape(self, node, x, shape):
        return tf.reshape(tf.transpose(x, [0, 3, 1, 2]), shape)

    def Slice(self, node, x, starts, ends, axes, steps):
        assert list(axes) == [1] and list(steps) == [1], "channels alone are cut"
        return x[..., int(starts[0]) : min(int(ends[0]), x.shape[-1])]

    def Concat(self, node, *parts):
        assert node.attributes["axis"] == 1, "channels alone are joined"
        return tf.concat(parts, -1)

    def Clip(self, node, x, low, high):
        return tf.clip_by_value(x, low, high)

    def Relu(self, node, x):
        return tf.nn.relu(x)

    def Sigmoid(self, node, x):
        return tf.sigmoid(x)

    def Exp(self, node, x):
        return tf.exp(x)

    def Add(self, node, a, b):
        return a + b

    def Mul(self, node, a, b):
        return a * b


def frozen(module, batch):
    """The function of a module with its weights as constants."""
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    return convert_variables_to_constants_v2(module.function(batch).get_concrete_function())


def lite(module, examples=None, keep=()):
    """A TFLite file for one picture at a time; with examples its arithmetic is of 8 bit, except for the
    operators of `keep`."""
    function = module.function(1).get_concrete_function()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function], module)
    if examples is None:
        return converter.convert()
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([x] for x in examples)
    # Runtimes as old as 2.9 take the scales of a dense layer's first channel for all of them,
    # without an error: 36 of 360 digits were right.
    converter._experimental_disable_per_channel_quantization_for_dense_layers = True
    if not keep:
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        return converter.convert()
    options = tf.lite.experimental.QuantizationDebugOptions(denylisted_ops=list(keep))
    debugger = tf.lite.experimental.QuantizationDebugger(
        converter=converter, debug_dataset=converter.representative_dataset, debug_options=options
    )
    return debugger.get_nondebug_quantized_model()


def lite_runner(data):
    """A function that runs a TFLite file."""
    interpreter = tf.lite.Interpreter(model_content=data)
    interpreter.allocate_tensors()
    (given,), (wanted,) = interpreter.get_input_details(), interpreter.get_output_details()

    def run(x):
        interpreter.set_tensor(given["index"], x)
        interpreter.invoke()
        return interpreter.get_tensor(wanted["index"])

    return run
