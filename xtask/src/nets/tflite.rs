//! Writes models of TensorFlow Lite, as its converter would: pictures have their channels last, and
//! what cuts a layer's values belongs to the layer.

use super::{CLASSES, Conv, Layers, SIDE, Weights, channels_last, little_endian};
use anyhow::Result;
use flatbuffers::{FlatBufferBuilder, Vector, WIPOffset};

/// `TensorType` of schema.fbs.
const F32: i8 = 0;
const I32: i8 = 2;
/// `ActivationFunctionType`.
const NONE: i8 = 0;
const RELU: i8 = 1;
const RELU6: i8 = 3;
/// `Padding`.
const SAME: i8 = 0;
const VALID: i8 = 1;
/// Version of the schema, and what its files have behind their first four bytes.
const SCHEMA: u32 = 3;
const IDENTIFIER: &str = "TFL3";

/// A model in the making: operators in order.
pub(super) struct Writer {
    tensors: Vec<Tensor>,
    /// The first is the one of tensors without content.
    buffers: Vec<Vec<u8>>,
    operators: Vec<Operator>,
}

/// A tensor; its name is `t` and its place among them.
struct Tensor {
    type_: i8,
    shape: Vec<i32>,
    buffer: usize,
}

struct Operator {
    kind: Kind,
    inputs: Vec<usize>,
    output: usize,
    activation: i8,
}

/// What operators do.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Conv { stride: i32, padding: i8 },
    Depthwise { stride: i32, padding: i8 },
    MaxPool,
    Add,
    Pad,
    Mean,
    FullyConnected,
}

impl Kind {
    /// `BuiltinOperator`, and the type of its options in the union `BuiltinOptions`.
    fn codes(self) -> (i32, u8) {
        match self {
            Self::Add => (0, 11),
            Self::Conv { .. } => (3, 1),
            Self::Depthwise { .. } => (4, 2),
            Self::FullyConnected => (9, 8),
            Self::MaxPool => (17, 5),
            Self::Pad => (34, 22),
            Self::Mean => (40, 27),
        }
    }
}

impl Writer {
    pub(super) fn new() -> Self {
        Self {
            tensors: Vec::new(),
            buffers: vec![Vec::new()],
            operators: Vec::new(),
        }
    }

    fn tensor(&mut self, type_: i8, shape: &[i64], data: Vec<u8>) -> usize {
        let buffer = if data.is_empty() {
            0
        } else {
            self.buffers.push(data);
            self.buffers.len() - 1
        };
        self.tensors.push(Tensor {
            type_,
            shape: shape.iter().map(|&d| d as i32).collect(),
            buffer,
        });
        self.tensors.len() - 1
    }

    fn floats(&mut self, shape: &[i64], values: &[f32]) -> usize {
        self.tensor(F32, shape, little_endian(values))
    }

    fn integers(&mut self, shape: &[i64], values: &[i32]) -> usize {
        let data = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.tensor(I32, shape, data)
    }

    fn operator(&mut self, kind: Kind, inputs: &[usize], shape: &[i64]) -> usize {
        let output = self.tensor(F32, shape, Vec::new());
        self.operators.push(Operator {
            kind,
            inputs: inputs.to_vec(),
            output,
            activation: NONE,
        });
        output
    }

    /// Batch, height, width, channels.
    fn shape(&self, tensor: usize) -> [i64; 4] {
        let shape = &self.tensors[tensor].shape;
        std::array::from_fn(|i| shape[i].into())
    }

    /// Puts zeros around each picture.
    fn padded(&mut self, x: usize, by: i32) -> usize {
        let [n, height, width, channels] = self.shape(x);
        let around = self.integers(&[4, 2], &[0, 0, by, by, by, by, 0, 0]);
        let more = 2 * i64::from(by);
        let shape = [n, height + more, width + more, channels];
        self.operator(Kind::Pad, &[x, around], &shape)
    }

    /// The operator that makes `x` cuts what it makes.
    fn cut(&mut self, x: &str, activation: i8) -> String {
        let x = index(x);
        for operator in &mut self.operators {
            if operator.output == x {
                operator.activation = activation;
            }
        }
        name(x)
    }
}

fn name(tensor: usize) -> String {
    format!("t{tensor}")
}

/// # Panics
/// If it is no name of [`name`].
fn index(name: &str) -> usize {
    let digits = name.strip_prefix('t').and_then(|n| n.parse().ok());
    digits.unwrap_or_else(|| unreachable!("no tensor is called {name}"))
}

/// Places that a stride visits.
fn visited(length: i64, stride: i64) -> i64 {
    (length + stride - 1) / stride
}

/// From output, input, height, width to output, height, width, input.
fn inputs_last([to, from, height, width]: [i64; 4], kernel: &[f32]) -> Vec<f32> {
    let of_output = kernel.chunks(kernel.len() / to as usize);
    // The inputs of one output are channels of their own.
    let turned = |one: &[f32]| channels_last([from, 1, height, width], one);
    of_output.flat_map(turned).collect()
}

impl Layers for Writer {
    fn input(&mut self) -> String {
        name(self.tensor(F32, &[1, SIDE, SIDE, 3], Vec::new()))
    }

    fn conv(&mut self, x: &str, conv: &Conv, weights: &mut Weights) -> String {
        let (kernel, bias) = conv.draw(weights);
        let side = conv.kernel;
        let depthwise = conv.groups > 1;
        let kernel = if depthwise {
            // One kernel for each channel: channels come last.
            let turned = channels_last(conv.dims(), &kernel);
            self.floats(&[1, side, side, conv.to], &turned)
        } else {
            let turned = inputs_last(conv.dims(), &kernel);
            self.floats(&[conv.to, side, side, conv.from], &turned)
        };
        let bias = self.floats(&[conv.to], &bias);
        let mut x = index(x);
        let [n, height, width, _] = self.shape(x);
        // SAME adds as much on either side only where every place is visited.
        let padding = match conv.padding() {
            0 => VALID,
            _ if conv.stride == 1 => SAME,
            pad => {
                x = self.padded(x, pad as i32);
                VALID
            }
        };
        let stride = conv.stride as i32;
        let kind = if depthwise {
            Kind::Depthwise { stride, padding }
        } else {
            Kind::Conv { stride, padding }
        };
        let [height, width] = [height, width].map(|d| visited(d, conv.stride));
        let shape = [n, height, width, conv.to];
        name(self.operator(kind, &[x, kernel, bias], &shape))
    }

    fn relu(&mut self, x: &str) -> String {
        self.cut(x, RELU)
    }

    fn relu6(&mut self, x: &str) -> String {
        self.cut(x, RELU6)
    }

    fn max_pool(&mut self, x: &str) -> String {
        let x = index(x);
        let [n, height, width, channels] = self.shape(x);
        // Zeros around change nothing where nothing is below 0.
        let wide = self.padded(x, 1);
        let shape = [n, visited(height, 2), visited(width, 2), channels];
        name(self.operator(Kind::MaxPool, &[wide], &shape))
    }

    fn add(&mut self, a: &str, b: &str) -> String {
        let (a, b) = (index(a), index(b));
        let shape = self.shape(a);
        name(self.operator(Kind::Add, &[a, b], &shape))
    }

    fn head(&mut self, x: &str, channels: i64, weights: &mut Weights) {
        let (matrix, bias) = weights.head(channels);
        let axes = self.integers(&[2], &[1, 2]);
        let mean = self.operator(Kind::Mean, &[index(x), axes], &[1, channels]);
        let matrix = self.floats(&[CLASSES, channels], &matrix);
        let bias = self.floats(&[CLASSES], &bias);
        self.operator(Kind::FullyConnected, &[mean, matrix, bias], &[1, CLASSES]);
    }

    fn finish(self) -> Result<Vec<u8>> {
        let mut kinds: Vec<i32> = Vec::new();
        for operator in &self.operators {
            let (code, _) = operator.kind.codes();
            if !kinds.contains(&code) {
                kinds.push(code);
            }
        }
        let size: usize = self.buffers.iter().map(Vec::len).sum();
        let mut file = FlatBufferBuilder::with_capacity(size + (1 << 20));
        let file = &mut file;
        let buffers: Vec<_> = self.buffers.iter().map(|data| buffer(file, data)).collect();
        let buffers = file.create_vector(&buffers);
        let codes: Vec<_> = kinds
            .iter()
            .map(|&code| operator_code(file, code))
            .collect();
        let codes = file.create_vector(&codes);
        let graph = self.graph(file, &kinds);
        let graphs = file.create_vector(&[graph]);
        let model = Table::new(file)
            .number(0, SCHEMA)
            .link(1, codes)
            .link(2, graphs)
            .link(4, buffers)
            .end();
        file.finish(model, Some(IDENTIFIER));
        Ok(file.finished_data().to_vec())
    }
}

type Any = WIPOffset<flatbuffers::TableFinishedWIPOffset>;

impl Writer {
    /// `SubGraph`.
    fn graph(&self, file: &mut FlatBufferBuilder<'_>, kinds: &[i32]) -> Any {
        let mut tensors = Vec::new();
        for (place, tensor) in self.tensors.iter().enumerate() {
            let name = file.create_string(&name(place));
            let shape = file.create_vector(&tensor.shape);
            let table = Table::new(file)
                .link(0, shape)
                .number(1, tensor.type_)
                .number(2, tensor.buffer as u32)
                .link(3, name);
            tensors.push(table.end());
        }
        let tensors = file.create_vector(&tensors);
        let mut operators = Vec::new();
        for operator in &self.operators {
            let (code, type_) = operator.kind.codes();
            let code = kinds.iter().position(|k| *k == code).unwrap_or_default();
            let inputs = numbers(file, &operator.inputs);
            let outputs = numbers(file, &[operator.output]);
            let options = operator.options(file);
            let table = Table::new(file)
                .number(0, code as u32)
                .link(1, inputs)
                .link(2, outputs)
                .number(3, type_)
                .link(4, options);
            operators.push(table.end());
        }
        let operators = file.create_vector(&operators);
        let last = self.operators.last().map_or(0, |o| o.output);
        let (inputs, outputs) = (numbers(file, &[0]), numbers(file, &[last]));
        Table::new(file)
            .link(0, tensors)
            .link(1, inputs)
            .link(2, outputs)
            .link(3, operators)
            .end()
    }
}

impl Operator {
    /// What the union has for it.
    fn options(&self, file: &mut FlatBufferBuilder<'_>) -> Any {
        let table = Table::new(file);
        match self.kind {
            Kind::Conv { stride, padding } => table
                .number(0, padding)
                .number(1, stride)
                .number(2, stride)
                .number(3, self.activation),
            Kind::Depthwise { stride, padding } => table
                .number(0, padding)
                .number(1, stride)
                .number(2, stride)
                .number(3, 1_i32)
                .number(4, self.activation),
            Kind::MaxPool => table
                .number(0, VALID)
                .number(1, 2_i32)
                .number(2, 2_i32)
                .number(3, 3_i32)
                .number(4, 3_i32),
            Kind::Add | Kind::FullyConnected => table.number(0, self.activation),
            Kind::Pad | Kind::Mean => table,
        }
        .end()
    }
}

/// A table whose fields come in their order.
struct Table<'a, 'b> {
    file: &'a mut FlatBufferBuilder<'b>,
    start: WIPOffset<flatbuffers::TableUnfinishedWIPOffset>,
}

impl<'a, 'b> Table<'a, 'b> {
    fn new(file: &'a mut FlatBufferBuilder<'b>) -> Self {
        let start = file.start_table();
        Self { file, start }
    }

    /// Bytes of a field's place among those of the table: the first two have its sizes.
    fn slot(field: u16) -> u16 {
        4 + 2 * field
    }

    fn number<T: flatbuffers::Push>(self, field: u16, value: T) -> Self {
        self.file.push_slot_always(Self::slot(field), value);
        self
    }

    fn link<T>(self, field: u16, to: WIPOffset<T>) -> Self {
        self.file.push_slot_always(Self::slot(field), to);
        self
    }

    fn end(self) -> Any {
        WIPOffset::new(self.file.end_table(self.start).value())
    }
}

/// `Buffer`.
fn buffer(file: &mut FlatBufferBuilder<'_>, data: &[u8]) -> Any {
    if data.is_empty() {
        return Table::new(file).end();
    }
    let data = file.create_vector(data);
    Table::new(file).link(0, data).end()
}

/// `OperatorCode`: small numbers are in the old field as well.
fn operator_code(file: &mut FlatBufferBuilder<'_>, code: i32) -> Any {
    Table::new(file)
        .number(0, code as i8)
        .number(2, 1_i32)
        .number(3, code)
        .end()
}

fn numbers<'b>(file: &mut FlatBufferBuilder<'b>, tensors: &[usize]) -> WIPOffset<Vector<'b, i32>> {
    let tensors: Vec<i32> = tensors.iter().map(|&t| t as i32).collect();
    file.create_vector(&tensors)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_are_turned_so_that_inputs_come_last() {
        // Two outputs, three inputs, 1 x 2: numbered in the order they come.
        let kernel: Vec<f32> = (0..12).map(|v| v as f32).collect();
        let turned = inputs_last([2, 3, 1, 2], &kernel);
        // Output 0: the first place of inputs 0, 1, 2, then the second.
        assert_eq!(turned[..6], [0.0, 2.0, 4.0, 1.0, 3.0, 5.0]);
        assert_eq!(turned[6..], [6.0, 8.0, 10.0, 7.0, 9.0, 11.0]);
    }
}
