//! Writes ONNX files: as much of the format as the nets of the benches need.

use std::path::Path;

/// A net in the making: nodes in order, weights drawn from a seed.
pub(crate) struct Net {
    graph: Vec<u8>,
    random: u64,
    nodes: usize,
}

/// An attribute of a node.
pub(crate) enum Attribute<'a> {
    Int(&'a str, i64),
    Ints(&'a str, &'a [i64]),
}

impl Net {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            graph: Vec::new(),
            random: seed | 1,
            nodes: 0,
        }
    }

    /// Adds a node with one output and gives the output's name.
    pub(crate) fn node(&mut self, op: &str, inputs: &[&str], with: &[Attribute<'_>]) -> String {
        self.nodes += 1;
        let output = format!("v{}", self.nodes);
        self.named_node(op, inputs, with, &output);
        output
    }

    /// Adds a node whose output has a name.
    pub(crate) fn named_node(
        &mut self,
        op: &str,
        inputs: &[&str],
        with: &[Attribute<'_>],
        output: &str,
    ) {
        let mut node: Vec<u8> = inputs.iter().flat_map(|i| bytes(1, i.as_bytes())).collect();
        node.extend(bytes(2, output.as_bytes()));
        node.extend(bytes(4, op.as_bytes()));
        for attribute in with {
            let content = match attribute {
                Attribute::Int(name, value) => [
                    bytes(1, name.as_bytes()),
                    int(3, value.cast_unsigned()),
                    int(20, 2),
                ]
                .concat(),
                Attribute::Ints(name, values) => {
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

    /// Adds weights of a normal distribution around 0 and gives their name.
    pub(crate) fn weights(&mut self, dims: &[i64], deviation: f32) -> String {
        let count: i64 = dims.iter().product();
        let values: Vec<f32> = (0..count).map(|_| self.normal() * deviation).collect();
        self.tensor(dims, &values)
    }

    /// Adds a tensor of f32 and gives its name.
    pub(crate) fn tensor(&mut self, dims: &[i64], values: &[f32]) -> String {
        self.nodes += 1;
        let name = format!("w{}", self.nodes);
        let data: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        let mut tensor: Vec<u8> = dims
            .iter()
            .flat_map(|d| int(1, d.cast_unsigned()))
            .collect();
        tensor.extend(int(2, 1));
        tensor.extend(bytes(8, name.as_bytes()));
        tensor.extend(bytes(9, &data));
        self.graph.extend(bytes(5, &tensor));
        name
    }

    /// Ends the net with its input and output, both f32, and writes it.
    pub(crate) fn write(
        mut self,
        path: &Path,
        input: (&str, &[i64]),
        output: (&str, &[i64]),
    ) -> std::io::Result<()> {
        self.graph.extend(bytes(2, b"net"));
        self.graph.extend(bytes(11, &port(input.0, input.1)));
        self.graph.extend(bytes(12, &port(output.0, output.1)));
        let opset = [bytes(1, b""), int(2, 17)].concat();
        let model = [int(1, 8), bytes(8, &opset), bytes(7, &self.graph)].concat();
        std::fs::write(path, model)
    }

    /// The sum of 12 even numbers of 0 to 1 less 6: near enough to normal, and
    /// the same on every machine.
    fn normal(&mut self) -> f32 {
        let mut sum = -6.0;
        for _ in 0..12 {
            // xorshift64*
            self.random ^= self.random >> 12;
            self.random ^= self.random << 25;
            self.random ^= self.random >> 27;
            let bits = self.random.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 40;
            sum += bits as f32 / (1u32 << 24) as f32;
        }
        sum
    }
}

fn number(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

fn bytes(field: u8, content: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(content.len() + 8);
    number(&mut out, (u64::from(field) << 3) | 2);
    number(&mut out, content.len() as u64);
    out.extend_from_slice(content);
    out
}

fn int(field: u8, n: u64) -> Vec<u8> {
    let mut out = Vec::new();
    number(&mut out, u64::from(field) << 3);
    number(&mut out, n);
    out
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
