//! Writes ONNX files: as much of the format as the nets of the benches need.

use super::wire::{bytes, int};
use super::{CLASSES, Conv, Layers, SIDE, Weights, little_endian};
use anyhow::Result;

const INPUT: (&str, &[i64]) = ("input", &[1, 3, SIDE, SIDE]);
const OUTPUT: (&str, &[i64]) = ("logits", &[1, CLASSES]);

/// A net in the making: nodes in order.
pub(super) struct Writer {
    graph: Vec<u8>,
    names: usize,
    /// 0 and 6, once they are there.
    limits: Option<(String, String)>,
}

/// An attribute of a node.
enum Attribute<'a> {
    Int(&'a str, i64),
    Ints(&'a str, &'a [i64]),
}

use Attribute::{Int, Ints};

impl Writer {
    pub(super) fn new() -> Self {
        Self {
            graph: Vec::new(),
            names: 0,
            limits: None,
        }
    }

    /// Adds a node with one output and gives the output's name.
    fn node(&mut self, op: &str, inputs: &[&str], with: &[Attribute<'_>]) -> String {
        self.names += 1;
        let output = format!("v{}", self.names);
        self.named_node(op, inputs, with, &output);
        output
    }

    /// Adds a node whose output has a name.
    fn named_node(&mut self, op: &str, inputs: &[&str], with: &[Attribute<'_>], output: &str) {
        let mut node: Vec<u8> = inputs.iter().flat_map(|i| bytes(1, i.as_bytes())).collect();
        node.extend(bytes(2, output.as_bytes()));
        node.extend(bytes(4, op.as_bytes()));
        for attribute in with {
            let content = match attribute {
                Int(name, value) => [
                    bytes(1, name.as_bytes()),
                    int(3, value.cast_unsigned()),
                    int(20, 2),
                ]
                .concat(),
                Ints(name, values) => {
                    let mut content = bytes(1, name.as_bytes());
                    for value in *values {
                        content.extend(int(8, value.cast_unsigned()));
                    }
                    content.extend(int(20, 7));
                    content
                }
            };
            node.extend(bytes(5, &content));
        }
        self.graph.extend(bytes(1, &node));
    }

    /// Adds a tensor of f32 and gives its name.
    fn tensor(&mut self, dims: &[i64], values: &[f32]) -> String {
        self.names += 1;
        let name = format!("w{}", self.names);
        let mut tensor: Vec<u8> = dims
            .iter()
            .flat_map(|d| int(1, d.cast_unsigned()))
            .collect();
        tensor.extend(int(2, 1));
        tensor.extend(bytes(8, name.as_bytes()));
        tensor.extend(bytes(9, &little_endian(values)));
        self.graph.extend(bytes(5, &tensor));
        name
    }
}

impl Layers for Writer {
    fn input(&mut self) -> String {
        INPUT.0.to_owned()
    }

    fn conv(&mut self, x: &str, conv: &Conv, weights: &mut Weights) -> String {
        let (kernel, bias) = conv.draw(weights);
        let kernel = self.tensor(&conv.dims(), &kernel);
        let bias = self.tensor(&[conv.to], &bias);
        self.node(
            "Conv",
            &[x, &kernel, &bias],
            &[
                Ints("kernel_shape", &[conv.kernel; 2]),
                Ints("strides", &[conv.stride; 2]),
                Ints("pads", &[conv.padding(); 4]),
                Int("group", conv.groups),
            ],
        )
    }

    fn relu(&mut self, x: &str) -> String {
        self.node("Relu", &[x], &[])
    }

    fn relu6(&mut self, x: &str) -> String {
        let (low, high) = match self.limits.take() {
            Some(limits) => limits,
            None => (self.tensor(&[], &[0.0]), self.tensor(&[], &[6.0])),
        };
        let cut = self.node("Clip", &[x, &low, &high], &[]);
        self.limits = Some((low, high));
        cut
    }

    fn max_pool(&mut self, x: &str) -> String {
        self.node(
            "MaxPool",
            &[x],
            &[
                Ints("kernel_shape", &[3; 2]),
                Ints("strides", &[2; 2]),
                Ints("pads", &[1; 4]),
            ],
        )
    }

    fn add(&mut self, a: &str, b: &str) -> String {
        self.node("Add", &[a, b], &[])
    }

    fn head(&mut self, x: &str, channels: i64, weights: &mut Weights) {
        let (matrix, bias) = weights.head(channels);
        let mean = self.node("GlobalAveragePool", &[x], &[]);
        let flat = self.node("Flatten", &[&mean], &[Int("axis", 1)]);
        let matrix = self.tensor(&[CLASSES, channels], &matrix);
        let bias = self.tensor(&[CLASSES], &bias);
        let inputs = [&*flat, &matrix, &bias];
        self.named_node("Gemm", &inputs, &[Int("transB", 1)], OUTPUT.0);
    }

    fn finish(mut self) -> Result<Vec<u8>> {
        self.graph.extend(bytes(2, b"net"));
        self.graph.extend(bytes(11, &port(INPUT.0, INPUT.1)));
        self.graph.extend(bytes(12, &port(OUTPUT.0, OUTPUT.1)));
        let opset = [bytes(1, b""), int(2, 17)].concat();
        Ok([int(1, 8), bytes(8, &opset), bytes(7, &self.graph)].concat())
    }
}

/// An input or output of f32.
fn port(name: &str, dims: &[i64]) -> Vec<u8> {
    let dims: Vec<u8> = dims
        .iter()
        .flat_map(|d| bytes(1, &int(1, d.cast_unsigned())))
        .collect();
    let tensor = bytes(1, &[int(1, 1), bytes(2, &dims)].concat());
    [bytes(1, name.as_bytes()), bytes(2, &tensor)].concat()
}
