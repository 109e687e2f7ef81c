//! the onnx plugin
