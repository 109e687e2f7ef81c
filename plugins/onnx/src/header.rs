//! What an ONNX file says of itself: the names, types and shapes that the
//! program sees, and whether the file is sound enough to be loaded.
//!
//! The engine has a reader of its own, which maps i64 to i32, f16 to f32 and so
//! on, and trusts the file more than it should. So the file is walked through
//! here first, without copying: nesting, ranks and the sizes of weights are
//! checked, and types are kept as they are declared.

use std::collections::{BTreeMap, BTreeSet};

use vaccel_plugin::{Result, err};

use crate::dtype::Elem;
use vaccel_inference::proto::{Damage, Fields, Value, varint};

/// Graphs inside of graphs (`If`, `Loop`, `Scan`); the engine reads them by recursion.
const MAX_DEPTH: u32 = 16;
/// Types inside of types (sequences of sequences).
const MAX_TYPE_DEPTH: u32 = 8;

/// Name, declared type and shape of an input or output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Port {
    pub(crate) name: String,
    /// `None` where the file does not say.
    pub(crate) elem: Option<Elem>,
    /// Each length is `None` where any will do; the whole is `None` where even
    /// the rank is open.
    pub(crate) dims: Option<Vec<Option<usize>>>,
    /// Names of open dimensions, such as `batch`; as long as `dims`.
    pub(crate) symbols: Vec<Option<String>>,
}

/// Facts of a file. Empty strings where the file does not say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) ir_version: u64,
    pub(crate) producer: String,
    pub(crate) producer_version: String,
    pub(crate) graph: String,
    /// Version of each operator set by domain; the standard one is `ai.onnx`.
    pub(crate) opsets: BTreeMap<String, u64>,
    pub(crate) inputs: Vec<Port>,
    pub(crate) outputs: Vec<Port>,
    /// Nodes, those of inner graphs included.
    pub(crate) nodes: u64,
    /// Elements of all weights.
    pub(crate) parameters: u64,
    /// Files with weights, as the model names them.
    pub(crate) external: BTreeSet<String>,
    /// `metadata_props`.
    pub(crate) metadata: BTreeMap<String, String>,
}

impl Header {
    /// Walks through a model; `what` is the file in errors.
    ///
    /// # Errors
    /// `EINVAL` for a damaged file, `ENOTSUP` for what no tensor of this library can hold.
    pub(crate) fn read(bytes: &[u8], what: &str) -> Result<Self> {
        let mut walk = Walk::default();
        walk.model(bytes).map_err(|fault| match fault {
            Fault::Damage(damage) => err!(EINVAL, "{what} is damaged: {damage}"),
            Fault::Rule(rule) => err!(EINVAL, "{what} is damaged: {rule}"),
            Fault::Unsupported(text) => err!(ENOTSUP, "{what}: {text}"),
        })?;
        Ok(walk.finish())
    }
}

enum Fault {
    Damage(Damage),
    Rule(String),
    Unsupported(String),
}

impl From<Damage> for Fault {
    fn from(damage: Damage) -> Self {
        Self::Damage(damage)
    }
}

type Step<T = ()> = std::result::Result<T, Fault>;

fn rule<T>(text: String) -> Step<T> {
    Err(Fault::Rule(text))
}

#[derive(Default)]
struct Walk {
    header: Header,
    /// Weights that the outermost graph names among its inputs as well.
    initializers: BTreeSet<String>,
}

impl Walk {
    /// Inputs that have a value already are no inputs.
    fn finish(mut self) -> Header {
        let given = &self.initializers;
        self.header
            .inputs
            .retain(|port| !given.contains(&port.name));
        self.header
    }

    fn model(&mut self, bytes: &[u8]) -> Step {
        for field in Fields::new(bytes) {
            match field? {
                (1, Value::Number(version)) => self.header.ir_version = version,
                (2, Value::Bytes(b)) => self.header.producer = text(b, "producer_name")?,
                (3, Value::Bytes(b)) => self.header.producer_version = text(b, "producer_version")?,
                (7, Value::Bytes(b)) => self.graph(b, 0)?,
                (8, Value::Bytes(b)) => self.opset(b)?,
                (14, Value::Bytes(b)) => {
                    let (key, value) = entry(b)?;
                    self.header.metadata.insert(key, value);
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn opset(&mut self, bytes: &[u8]) -> Step {
        let (mut domain, mut version) = (String::new(), 0);
        for field in Fields::new(bytes) {
            match field? {
                (1, Value::Bytes(b)) => domain = text(b, "opset domain")?,
                (2, Value::Number(n)) => version = n,
                _ => {}
            }
        }
        if domain.is_empty() {
            domain = "ai.onnx".to_owned();
        }
        self.header.opsets.insert(domain, version);
        Ok(())
    }

    fn graph(&mut self, bytes: &[u8], depth: u32) -> Step {
        if depth > MAX_DEPTH {
            return rule(format!("graphs nested more than {MAX_DEPTH} deep"));
        }
        for field in Fields::new(bytes) {
            match field? {
                (1, Value::Bytes(b)) => self.node(b, depth)?,
                (2, Value::Bytes(b)) if depth == 0 => self.header.graph = text(b, "graph name")?,
                (5, Value::Bytes(b)) => {
                    let name = self.tensor(b)?;
                    if depth == 0 {
                        self.initializers.insert(name);
                    }
                }
                (number @ (11..=13), Value::Bytes(b)) => {
                    let port = port(b)?;
                    match (number, depth) {
                        (11, 0) => self.header.inputs.push(port),
                        (12, 0) => self.header.outputs.push(port),
                        _ => {}
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn node(&mut self, bytes: &[u8], depth: u32) -> Step {
        self.header.nodes += 1;
        for field in Fields::new(bytes) {
            if let (5, Value::Bytes(b)) = field? {
                self.attribute(b, depth)?;
            }
        }
        Ok(())
    }

    fn attribute(&mut self, bytes: &[u8], depth: u32) -> Step {
        for field in Fields::new(bytes) {
            match field? {
                (5 | 10, Value::Bytes(b)) => drop(self.tensor(b)?),
                (6 | 11, Value::Bytes(b)) => self.graph(b, depth + 1)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// Checks a weight and gives its name.
    fn tensor(&mut self, bytes: &[u8]) -> Step<String> {
        let (mut name, mut elem, mut raw, mut external) = (String::new(), 0, None, false);
        let mut dims = Vec::new();
        let mut location = None;
        for field in Fields::new(bytes) {
            match field? {
                (1, value) => numbers(value, &mut dims)?,
                (2, Value::Number(n)) => elem = n,
                (8, Value::Bytes(b)) => name = text(b, "name of a weight")?,
                (9, Value::Bytes(b)) => raw = Some(b.len()),
                (13, Value::Bytes(b)) => {
                    let (key, value) = entry(b)?;
                    if key == "location" {
                        location = Some(value);
                    }
                }
                (14, Value::Number(n)) => external = n == 1,
                _ => {}
            }
        }
        let count = elements(&dims)
            .ok_or_else(|| Fault::Rule(format!("weight `{name}` has the shape {dims:?}")))?;
        if let (Some(raw), Some(bits), false) = (raw, bits_of(elem), external) {
            let wanted = count.checked_mul(bits).map(|bits| bits.div_ceil(8));
            if wanted != Some(raw as u64) {
                return rule(format!(
                    "weight `{name}` of the shape {dims:?} has {raw} bytes of data"
                ));
            }
        }
        if external {
            match location {
                Some(location) => drop(self.header.external.insert(location)),
                None => return rule(format!("weight `{name}` is in a file without a name")),
            }
        }
        self.header.parameters = self.header.parameters.saturating_add(count);
        Ok(name)
    }
}

/// Reads a `ValueInfoProto`.
fn port(bytes: &[u8]) -> Step<Port> {
    let mut port = Port {
        name: String::new(),
        elem: None,
        dims: None,
        symbols: Vec::new(),
    };
    let mut kind = None;
    for field in Fields::new(bytes) {
        match field? {
            (1, Value::Bytes(b)) => port.name = text(b, "name of a tensor")?,
            (2, Value::Bytes(b)) => kind = Some(b),
            _ => {}
        }
    }
    if let Some(kind) = kind {
        type_proto(kind, &mut port, 0)?;
    }
    Ok(port)
}

fn type_proto(bytes: &[u8], port: &mut Port, depth: u32) -> Step {
    if depth > MAX_TYPE_DEPTH {
        return rule(format!("`{}` has types nested too deep", port.name));
    }
    for field in Fields::new(bytes) {
        match field? {
            (1, Value::Bytes(b)) if depth == 0 => tensor_type(b, port)?,
            // A sequence (4), map (5), sparse tensor (8) or optional (9).
            (number @ (4 | 5 | 8 | 9), Value::Bytes(b)) => {
                if depth == 0 {
                    port.elem = Some(Elem::Other(match number {
                        4 => "a sequence",
                        5 => "a map",
                        8 => "a sparse tensor",
                        _ => "an optional value",
                    }));
                }
                for inner in Fields::new(b) {
                    if let (1 | 2, Value::Bytes(b)) = inner? {
                        type_proto(b, port, depth + 1)?;
                    }
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn tensor_type(bytes: &[u8], port: &mut Port) -> Step {
    for field in Fields::new(bytes) {
        match field? {
            (1, Value::Number(n)) => port.elem = Elem::from_onnx(n),
            (2, Value::Bytes(b)) => shape(b, port)?,
            _ => {}
        }
    }
    Ok(())
}

fn shape(bytes: &[u8], port: &mut Port) -> Step {
    let mut dims = Vec::new();
    for field in Fields::new(bytes) {
        let (1, Value::Bytes(dim)) = field? else {
            continue;
        };
        let (mut length, mut symbol) = (None, None);
        for field in Fields::new(dim) {
            match field? {
                // A negative number stands for an open length in some exports.
                (1, Value::Number(n)) => length = i64::try_from(n).ok(),
                (2, Value::Bytes(b)) => symbol = Some(text(b, "name of a dimension")?),
                _ => {}
            }
        }
        dims.push(match length.map(usize::try_from) {
            Some(Ok(length)) => Some(length),
            Some(Err(_)) => {
                return Err(Fault::Unsupported(format!(
                    "`{}` has a dimension of {} elements",
                    port.name,
                    length.unwrap_or_default()
                )));
            }
            None => None,
        });
        port.symbols.push(symbol.filter(|s| !s.is_empty()));
    }
    port.dims = Some(dims);
    Ok(())
}

/// Numbers, packed or one by one.
fn numbers(value: Value, into: &mut Vec<u64>) -> Step {
    match value {
        Value::Number(n) => into.push(n),
        Value::Bytes(mut packed) => {
            while !packed.is_empty() {
                into.push(varint(&mut packed)?);
            }
        }
        Value::Fixed => {}
    }
    Ok(())
}

/// Product of dimensions; `None` where one is negative or the product overflows.
fn elements(dims: &[u64]) -> Option<u64> {
    let mut count = 1_u64;
    for &dim in dims {
        count = count.checked_mul(u64::try_from(i64::try_from(dim).ok()?).ok()?)?;
    }
    // An element needs no more than 16 bytes; their number must fit the address space.
    usize::try_from(count.checked_mul(16)?).ok()?;
    Some(count)
}

/// Bits of an element of an ONNX type number; `None` where the size is not fixed.
fn bits_of(onnx: u64) -> Option<u64> {
    Some(match onnx {
        1 | 6 | 12 => 32,
        2 | 3 | 9 | 17..=20 | 24 => 8,
        4 | 5 | 10 | 16 => 16,
        7 | 11 | 13 | 14 => 64,
        15 => 128,
        21..=23 => 4,
        _ => return None,
    })
}

/// Reads a `StringStringEntryProto`.
fn entry(bytes: &[u8]) -> Step<(String, String)> {
    let (mut key, mut value) = (String::new(), String::new());
    for field in Fields::new(bytes) {
        match field? {
            (1, Value::Bytes(b)) => key = text(b, "key of an entry")?,
            (2, Value::Bytes(b)) => value = text(b, "value of an entry")?,
            _ => {}
        }
    }
    Ok((key, value))
}

fn text(bytes: &[u8], what: &str) -> Step<String> {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.contains('\0') => Ok(text.to_owned()),
        _ => rule(format!("the {what} is not text")),
    }
}
