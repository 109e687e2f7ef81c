//! Writes frozen graphs of TensorFlow (`GraphDef`): pictures have their channels last there.

use super::wire::{bytes, int, number};
use super::{CLASSES, Conv, Layers, SIDE, Weights, channels_last, little_endian};
use anyhow::Result;

/// `DT_FLOAT` and `DT_INT32` of types.proto.
const F32: u64 = 1;
const I32: u64 = 3;
/// Version of the graphs that TensorFlow 2 makes.
const PRODUCER: u64 = 1087;

/// A graph in the making: nodes in order.
pub(super) struct Writer {
    graph: Vec<u8>,
    names: usize,
}

/// An attribute of a node.
enum Value<'a> {
    Type(u64),
    Text(&'a str),
    Flag(bool),
    Numbers(&'a [i64]),
    Shape(&'a [i64]),
    Tensor(u64, &'a [i64], &'a [u8]),
}

use Value::{Flag, Numbers, Shape, Tensor, Text, Type};

impl Value<'_> {
    /// `AttrValue`.
    fn encode(&self) -> Vec<u8> {
        match self {
            Type(number) => int(6, *number),
            Text(text) => bytes(2, text.as_bytes()),
            Flag(flag) => int(5, u64::from(*flag)),
            Numbers(numbers) => {
                let mut packed = Vec::new();
                for n in *numbers {
                    number(&mut packed, n.cast_unsigned());
                }
                bytes(1, &bytes(3, &packed))
            }
            Shape(dims) => bytes(7, &shape(dims)),
            Tensor(type_, dims, data) => {
                let tensor = [int(1, *type_), bytes(2, &shape(dims)), bytes(4, data)].concat();
                bytes(8, &tensor)
            }
        }
    }
}

/// `TensorShapeProto`.
fn shape(dims: &[i64]) -> Vec<u8> {
    let dim = |d: &i64| bytes(2, &int(1, d.cast_unsigned()));
    dims.iter().flat_map(dim).collect()
}

impl Writer {
    pub(super) fn new() -> Self {
        Self {
            graph: Vec::new(),
            names: 0,
        }
    }

    fn node(&mut self, op: &str, inputs: &[&str], with: &[(&str, Value<'_>)]) -> String {
        self.names += 1;
        let name = format!("n{}", self.names);
        self.named_node(&name, op, inputs, with);
        name
    }

    fn named_node(&mut self, name: &str, op: &str, inputs: &[&str], with: &[(&str, Value<'_>)]) {
        let mut node = [bytes(1, name.as_bytes()), bytes(2, op.as_bytes())].concat();
        node.extend(inputs.iter().flat_map(|i| bytes(3, i.as_bytes())));
        for (key, value) in with {
            let entry = [bytes(1, key.as_bytes()), bytes(2, &value.encode())].concat();
            node.extend(bytes(5, &entry));
        }
        self.graph.extend(bytes(1, &node));
    }

    fn floats(&mut self, dims: &[i64], values: &[f32]) -> String {
        self.constant(F32, dims, &little_endian(values))
    }

    fn integers(&mut self, dims: &[i64], values: &[i32]) -> String {
        let data: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.constant(I32, dims, &data)
    }

    fn constant(&mut self, type_: u64, dims: &[i64], data: &[u8]) -> String {
        let with = [("dtype", Type(type_)), ("value", Tensor(type_, dims, data))];
        self.node("Const", &[], &with)
    }

    /// Puts zeros around each picture.
    fn padded(&mut self, x: &str, by: i32) -> String {
        let pads = self.integers(&[4, 2], &[0, 0, by, by, by, by, 0, 0]);
        let with = [("T", Type(F32)), ("Tpaddings", Type(I32))];
        self.node("Pad", &[x, &pads], &with)
    }

    /// Adds a bias to each channel.
    fn biased(&mut self, x: &str, bias: &[f32]) -> String {
        let bias = self.floats(&[bias.len() as i64], bias);
        self.node("BiasAdd", &[x, &bias], &[("T", Type(F32))])
    }
}

impl Layers for Writer {
    fn input(&mut self) -> String {
        let with = [("dtype", Type(F32)), ("shape", Shape(&[1, SIDE, SIDE, 3]))];
        self.named_node("input", "Placeholder", &[], &with);
        "input".to_owned()
    }

    fn conv(&mut self, x: &str, conv: &Conv, weights: &mut Weights) -> String {
        let (kernel, bias) = conv.draw(weights);
        let (height, stride, pad) = (conv.kernel, conv.stride, conv.padding());
        let turned = channels_last(conv.dims(), &kernel);
        // Depthwise: one kernel for each channel, which come in the same order there.
        let (op, dims) = if conv.groups == 1 {
            ("Conv2D", [height, height, conv.from, conv.to])
        } else {
            ("DepthwiseConv2dNative", [height, height, conv.from, 1])
        };
        let kernel = self.floats(&dims, &turned);
        let strides = [1, stride, stride, 1];
        let pads = [0, 0, pad, pad, pad, pad, 0, 0];
        let mut with = vec![("T", Type(F32)), ("strides", Numbers(&strides))];
        let mut x = x.to_owned();
        if pad == 0 {
            with.push(("padding", Text("VALID")));
        } else if conv.groups == 1 {
            with.push(("padding", Text("EXPLICIT")));
            with.push(("explicit_paddings", Numbers(&pads)));
        } else {
            // TensorFlow 2.21 ends the process at depthwise ones with padding of their own.
            x = self.padded(&x, pad as i32);
            with.push(("padding", Text("VALID")));
        }
        let y = self.node(op, &[&x, &kernel], &with);
        self.biased(&y, &bias)
    }

    fn relu(&mut self, x: &str) -> String {
        self.node("Relu", &[x], &[("T", Type(F32))])
    }

    fn relu6(&mut self, x: &str) -> String {
        self.node("Relu6", &[x], &[("T", Type(F32))])
    }

    fn max_pool(&mut self, x: &str) -> String {
        // Zeros around change nothing where nothing is below 0.
        let wide = self.padded(x, 1);
        self.node(
            "MaxPool",
            &[&wide],
            &[
                ("T", Type(F32)),
                ("ksize", Numbers(&[1, 3, 3, 1])),
                ("strides", Numbers(&[1, 2, 2, 1])),
                ("padding", Text("VALID")),
            ],
        )
    }

    fn add(&mut self, a: &str, b: &str) -> String {
        self.node("AddV2", &[a, b], &[("T", Type(F32))])
    }

    fn head(&mut self, x: &str, channels: i64, weights: &mut Weights) {
        let (matrix, bias) = weights.head(channels);
        let axes = self.integers(&[2], &[1, 2]);
        let mean = self.node(
            "Mean",
            &[x, &axes],
            &[
                ("T", Type(F32)),
                ("Tidx", Type(I32)),
                ("keep_dims", Flag(false)),
            ],
        );
        let matrix = self.floats(&[CLASSES, channels], &matrix);
        let product = self.node(
            "MatMul",
            &[&mean, &matrix],
            &[("T", Type(F32)), ("transpose_b", Flag(true))],
        );
        let bias = self.floats(&[CLASSES], &bias);
        let with = [("T", Type(F32))];
        self.named_node("logits", "BiasAdd", &[&product, &bias], &with);
    }

    fn finish(mut self) -> Result<Vec<u8>> {
        self.graph.extend(bytes(4, &int(1, PRODUCER)));
        Ok(self.graph)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_are_turned_so_that_channels_come_last() {
        // Two outputs, three inputs, 1 x 2: numbered in the order they come.
        let kernel: Vec<f32> = (0..12).map(|v| v as f32).collect();
        let turned = channels_last([2, 3, 1, 2], &kernel);
        // First place: input 0 of outputs 0 and 1, then input 1, then 2.
        assert_eq!(turned[..6], [0.0, 6.0, 2.0, 8.0, 4.0, 10.0]);
        assert_eq!(turned[6..], [1.0, 7.0, 3.0, 9.0, 5.0, 11.0]);
    }
}
