//! Writes TorchScript archives, as `torch.jit.save` does: a ZIP archive of the net's code, a pickle
//! of its object, and the tensors that the object has.

use super::{CLASSES, Conv, Layers, Weights, little_endian};
use anyhow::Result;
use std::fmt::Write as _;
use std::io::{Cursor, Write as _};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// Version of archives that every libtorch from 1.0 on reads.
const VERSION: &str = "3\n";
/// Opcodes of pickle, protocol 2.
const HEAD: &[u8] = b"\x80\x02";
const EMPTY_TUPLE: &[u8] = b")";
const NEW_OBJECT: &[u8] = b"\x81";
const EMPTY_DICT: &[u8] = b"}";
const MARK: &[u8] = b"(";
const TUPLE: &[u8] = b"t";
const SET_ITEMS: &[u8] = b"u";
const PERSISTENT: &[u8] = b"Q";
const CALL: &[u8] = b"R";
const BUILD: &[u8] = b"b";
const FALSE: &[u8] = b"\x89";
const STOP: &[u8] = b".";

/// A net in the making: lines of its function, and what it has.
pub(super) struct Writer {
    lines: String,
    values: usize,
    tensors: Vec<(Vec<i64>, Vec<u8>)>,
}

impl Writer {
    pub(super) fn new() -> Self {
        Self {
            lines: String::new(),
            values: 0,
            tensors: Vec::new(),
        }
    }

    /// One more line, and the value that it gives.
    fn line(&mut self, call: &str) -> String {
        self.values += 1;
        let value = self.last();
        // Writing to a text does not fail.
        let _ = writeln!(self.lines, "    {value} = torch.{call}");
        value
    }

    /// The value of the last line.
    fn last(&self) -> String {
        format!("v{}", self.values)
    }

    fn tensor(&mut self, dims: &[i64], values: &[f32]) -> String {
        self.tensors.push((dims.to_vec(), little_endian(values)));
        format!("self.{}", name(self.tensors.len() - 1))
    }

    fn code(&self) -> String {
        let attributes: String = (0..self.tensors.len())
            .map(|place| format!("  {} : Tensor\n", name(place)))
            .collect();
        format!(
            "class Net(Module):\n  __parameters__ = []\n  __buffers__ = []\n  training : bool\n{attributes}  \
             def forward(self: __torch__.Net,\n    x: Tensor) -> Tensor:\n{}    return {}\n",
            self.lines,
            self.last()
        )
    }

    /// The object: nothing but its attributes.
    fn object(&self) -> Vec<u8> {
        let mut pickle = HEAD.to_vec();
        pickle.extend(global("__torch__", "Net"));
        pickle.extend([EMPTY_TUPLE, NEW_OBJECT, EMPTY_DICT, MARK].concat());
        pickle.extend([&text("training")[..], FALSE].concat());
        for (place, (dims, data)) in self.tensors.iter().enumerate() {
            pickle.extend(text(&name(place)));
            pickle.extend(tensor(place, dims, data.len() / size_of::<f32>()));
        }
        pickle.extend([SET_ITEMS, BUILD, STOP].concat());
        pickle
    }

    fn archive(&self) -> Result<Vec<u8>> {
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        let plain = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
        let mut file = |name: &str, content: &[u8]| -> Result<()> {
            zip.start_file(format!("net/{name}"), plain)?;
            Ok(zip.write_all(content)?)
        };
        file("data.pkl", &self.object())?;
        file("constants.pkl", &[HEAD, EMPTY_TUPLE, STOP].concat())?;
        file("code/__torch__.py", self.code().as_bytes())?;
        for (place, (_, data)) in self.tensors.iter().enumerate() {
            file(&format!("data/{place}"), data)?;
        }
        file("version", VERSION.as_bytes())?;
        Ok(zip.finish()?.into_inner())
    }
}

/// Attribute of a tensor.
fn name(place: usize) -> String {
    format!("t{place}")
}

/// A thing of a module.
fn global(module: &str, name: &str) -> Vec<u8> {
    format!("c{module}\n{name}\n").into_bytes()
}

fn text(text: &str) -> Vec<u8> {
    [
        b"X",
        &(text.len() as u32).to_le_bytes()[..],
        text.as_bytes(),
    ]
    .concat()
}

fn int(n: i64) -> Vec<u8> {
    [b"J", &(n as i32).to_le_bytes()[..]].concat()
}

fn ints(numbers: &[i64]) -> Vec<u8> {
    let numbers: Vec<u8> = numbers.iter().flat_map(|&n| int(n)).collect();
    [MARK, &numbers, TUPLE].concat()
}

/// A tensor of f32 whose elements are in the file of its place, in the order of its dimensions.
fn tensor(place: usize, dims: &[i64], elements: usize) -> Vec<u8> {
    let mut strides = vec![1; dims.len()];
    for i in (1..dims.len()).rev() {
        strides[i - 1] = strides[i] * dims[i];
    }
    let storage = [
        MARK,
        &text("storage"),
        &global("torch", "FloatStorage"),
        &text(&place.to_string()),
        &text("cpu"),
        &int(elements as i64),
        TUPLE,
        PERSISTENT,
    ]
    .concat();
    let hooks = [&global("collections", "OrderedDict"), EMPTY_TUPLE, CALL].concat();
    [
        &global("torch._utils", "_rebuild_tensor_v2"),
        MARK,
        &storage,
        &int(0),
        &ints(dims),
        &ints(&strides),
        FALSE,
        &hooks,
        TUPLE,
        CALL,
    ]
    .concat()
}

impl Layers for Writer {
    fn input(&mut self) -> String {
        "x".to_owned()
    }

    fn conv(&mut self, x: &str, conv: &Conv, weights: &mut Weights) -> String {
        let (kernel, bias) = conv.draw(weights);
        let kernel = self.tensor(&conv.dims(), &kernel);
        let bias = self.tensor(&[conv.to], &bias);
        let (stride, pad, groups) = (conv.stride, conv.padding(), conv.groups);
        self.line(&format!(
            "conv2d({x}, {kernel}, {bias}, [{stride}, {stride}], [{pad}, {pad}], [1, 1], {groups})"
        ))
    }

    fn relu(&mut self, x: &str) -> String {
        self.line(&format!("relu({x})"))
    }

    fn relu6(&mut self, x: &str) -> String {
        self.line(&format!("hardtanh({x}, 0., 6.)"))
    }

    fn max_pool(&mut self, x: &str) -> String {
        self.line(&format!(
            "max_pool2d({x}, [3, 3], [2, 2], [1, 1], [1, 1], False)"
        ))
    }

    fn add(&mut self, a: &str, b: &str) -> String {
        self.line(&format!("add({a}, {b})"))
    }

    fn head(&mut self, x: &str, channels: i64, weights: &mut Weights) {
        let (matrix, bias) = weights.head(channels);
        let mean = self.line(&format!("mean({x}, [2, 3])"));
        let matrix = self.tensor(&[CLASSES, channels], &matrix);
        let bias = self.tensor(&[CLASSES], &bias);
        self.line(&format!("linear({mean}, {matrix}, {bias})"));
    }

    fn finish(self) -> Result<Vec<u8>> {
        self.archive()
    }
}
