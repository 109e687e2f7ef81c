"""Writes the small digits in other formats than ONNX, from the weights of its ONNX file.

    pip install onnx==1.17.0 tensorflow-cpu==2.21.0 torch==2.7.1
    python models/train/formats.py [tensorflow] [torch]

Every format is compared with NumPy's own computation before it is kept.
"""

import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

MODEL = Path(__file__).parent.parent / "digits-8x8"
# How far logits may be from the reference: rounding, or 8 bit (TensorFlow's own interpreter is off
# by 0.271).
EXACT, QUANTISED = 2e-4, 0.3


def weights():
    """Kernels and biases in the order of the layers: three convolutions, one matrix."""
    graph = onnx.load(MODEL / "model.onnx").graph
    arrays = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    layers = []
    for node in graph.node:
        if node.op_type in ("Conv", "Gemm"):
            layers.append([arrays[name] for name in node.input[1:]])
    print([node.op_type for node in graph.node], [layer[0].shape for layer in layers])
    return layers


def keras(layers):
    """The same net with a picture of [1, 1, 8, 8] in front, as the ONNX file takes it."""
    import tensorflow as tf

    x = given = tf.keras.Input(batch_shape=(1, 1, 8, 8), name="input")
    x = tf.keras.layers.Permute((2, 3, 1))(x)
    for at, (kernel, bias) in enumerate(layers[:3]):
        layer = tf.keras.layers.Conv2D(kernel.shape[0], kernel.shape[2], padding="same", activation="relu")
        x = layer(x)
        layer.set_weights([kernel.transpose(2, 3, 1, 0), bias])
        if at == 1:
            x = tf.keras.layers.MaxPooling2D(2)(x)
    # Flattened with the channels in front, as the matrix expects.
    x = tf.keras.layers.Flatten()(tf.keras.layers.Permute((3, 1, 2))(x))
    layer = tf.keras.layers.Dense(10, name="logits")
    x = layer(x)
    layer.set_weights([layers[3][0].T, layers[3][1]])
    return tf.keras.Model(given, x)


def digits():
    """The test pictures and what the reference gave for each."""
    images = np.load(MODEL / "test.npz")["images"][..., 0].astype(np.float32) / 255
    reference = MODEL.parent.parent / "tests/backends/reference-digits-8x8.npz"
    return images[:, None, None], np.load(reference)["logits"]


def check(name, run, tolerance):
    """Compares all test pictures with the reference."""
    worst = max(float(np.abs(run(x)[0] - y).max()) for x, y in zip(*digits()))
    print(f"{name}: off by {worst:.1e} at most")
    if worst > tolerance:
        raise SystemExit(f"{name} is off by more than {tolerance}")


def describe(folder, file):
    """The description of the ONNX file for another one, without names of tensors; no file is the folder itself."""
    line = f'file = "{file}"\n' if file else ""
    text = (MODEL / "model.toml").read_text().replace('file = "model.onnx"\n', line)
    lines = [line for line in text.splitlines() if line not in ('name = "input"', 'name = "logits"')]
    (folder / "model.toml").write_text("\n".join(lines) + "\n")


def tflite(model, quantised):
    """Writes and checks a TFLite file; weights and arithmetic of 8 bit when it is quantised."""
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    name = "tflite-int8" if quantised else "tflite"
    if quantised:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([x] for x in digits()[0][:200])
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        # Runtimes as old as 2.9 take the scales of a dense layer's first channel for all of them,
        # without an error: 36 of 360 digits were right.
        converter._experimental_disable_per_channel_quantization_for_dense_layers = True
    data = converter.convert()
    interpreter = tf.lite.Interpreter(model_content=data)
    interpreter.allocate_tensors()
    given, wanted = interpreter.get_input_details()[0], interpreter.get_output_details()[0]

    def run(x):
        interpreter.set_tensor(given["index"], x)
        interpreter.invoke()
        return interpreter.get_tensor(wanted["index"])

    check(name, run, QUANTISED if quantised else EXACT)
    folder = MODEL / name
    folder.mkdir(exist_ok=True)
    (folder / "model.tflite").write_bytes(data)
    describe(folder, "model.tflite")


def graphs(layers):
    """Writes and checks a SavedModel and a frozen graph, both with an open batch."""
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    # Variables of TensorFlow's own: those of Keras 3 are not restored by the C interface.
    module = tf.Module()
    module.kernels = [tf.Variable(kernel.transpose(2, 3, 1, 0)) for kernel, _ in layers[:3]]
    module.kernels.append(tf.Variable(layers[3][0].T))
    module.biases = [tf.Variable(bias) for _, bias in layers]

    @tf.function(input_signature=[tf.TensorSpec([None, 1, 8, 8], tf.float32, name="input")])
    def serve(input):
        x = tf.transpose(input, [0, 2, 3, 1])
        for at in range(3):
            x = tf.nn.relu(tf.nn.conv2d(x, module.kernels[at], 1, "SAME") + module.biases[at])
            if at == 1:
                x = tf.nn.max_pool2d(x, 2, 2, "VALID")
        # Flattened with the channels in front, as the matrix expects.
        x = tf.reshape(tf.transpose(x, [0, 3, 1, 2]), [-1, layers[3][0].shape[1]])
        return {"logits": tf.matmul(x, module.kernels[3]) + module.biases[3]}

    module.serve = serve
    folder = MODEL / "savedmodel"
    tf.saved_model.save(module, str(folder), signatures=serve)
    (folder / "fingerprint.pb").unlink(missing_ok=True)
    read = tf.saved_model.load(str(folder)).signatures["serving_default"]
    check("savedmodel", lambda x: read(tf.constant(x))["logits"].numpy(), EXACT)

    frozen = convert_variables_to_constants_v2(serve.get_concrete_function())
    folder = MODEL / "graphdef"
    folder.mkdir(exist_ok=True)
    check("graphdef", lambda x: frozen(tf.constant(x))[0].numpy(), EXACT)
    (folder / "model.pb").write_bytes(frozen.graph.as_graph_def().SerializeToString(deterministic=True))
    describe(folder, "model.pb")
    # A SavedModel is its folder.
    describe(MODEL / "savedmodel", None)


def torchscript(layers):
    """Writes and checks a TorchScript file."""
    import torch

    modules = []
    for at, (kernel, bias) in enumerate(layers[:3]):
        modules += [torch.nn.Conv2d(kernel.shape[1], kernel.shape[0], kernel.shape[2], padding="same"), torch.nn.ReLU()]
        modules[-2].weight.data, modules[-2].bias.data = map(torch.tensor, (kernel, bias))
        if at == 1:
            modules.append(torch.nn.MaxPool2d(2))
    modules += [torch.nn.Flatten(), torch.nn.Linear(layers[3][0].shape[1], 10)]
    modules[-1].weight.data, modules[-1].bias.data = map(torch.tensor, layers[3])
    script = torch.jit.script(torch.nn.Sequential(*modules).eval())
    check("torchscript", lambda x: script(torch.tensor(x)).detach().numpy(), EXACT)
    folder = MODEL / "torchscript"
    folder.mkdir(exist_ok=True)
    script.save(str(folder / "model.pt"))
    describe(folder, "model.pt")


def main(wanted):
    layers = weights()
    if "tensorflow" in wanted:
        model = keras(layers)
        check("keras", lambda x: model(x).numpy(), EXACT)
        tflite(model, quantised=False)
        tflite(model, quantised=True)
        graphs(layers)
    if "torch" in wanted:
        torchscript(layers)


if __name__ == "__main__":
    main(sys.argv[1:] or ["tensorflow", "torch"])
