"""Writes the small digits in other formats than ONNX, from the weights of its ONNX file.

    pip install onnx==1.17.0 tensorflow-cpu==2.21.0     (for tflite, tflite-int8)
    python models/train/formats.py

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
    """The description of the ONNX file, for another file and the name of its input."""
    text = (MODEL / "model.toml").read_text().replace('file = "model.onnx"', f'file = "{file}"')
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


def main():
    model = keras(weights())
    check("keras", lambda x: model(x).numpy(), EXACT)
    tflite(model, quantised=False)
    tflite(model, quantised=True)


if __name__ == "__main__":
    sys.exit(main())
