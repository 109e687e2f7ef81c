//! Writes ONNX files, as much of them as the tests need to make themselves.

use std::path::Path;

fn number(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

fn bytes(field: u8, content: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    number(&mut out, u64::from(field) << 3 | 2);
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

/// An input or output of one element; 1 is f32, 7 is i64.
fn port(name: &str, elem: u64) -> Vec<u8> {
    port_of(name, elem, &[1])
}

/// An input or output of a shape.
fn port_of(name: &str, elem: u64, dims: &[i64]) -> Vec<u8> {
    let shape = bytes(2, &lengths(1, dims));
    let tensor = bytes(1, &[int(1, elem), shape].concat());
    [bytes(1, name.as_bytes()), bytes(2, &tensor)].concat()
}

/// A message for each dimension, in this field.
fn lengths(field: u8, dims: &[i64]) -> Vec<u8> {
    let length = |d: &i64| bytes(field, &int(1, d.cast_unsigned()));
    dims.iter().flat_map(length).collect()
}

fn node(op: &str, inputs: &[&str], output: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for input in inputs {
        out.extend(bytes(1, input.as_bytes()));
    }
    out.extend(bytes(2, output.as_bytes()));
    out.extend(bytes(4, op.as_bytes()));
    bytes(1, &out)
}

fn model(graph: &[u8]) -> Vec<u8> {
    let opset = [bytes(1, b""), int(2, 17)].concat();
    [int(1, 8), bytes(8, &opset), bytes(7, graph)].concat()
}

/// Writes `y = w[x]` with `w` of so many f32 in a file of its own.
pub fn write_big_model(path: &Path, weights: &str, count: u64) {
    let entry = |key: &str, value: &str| {
        bytes(
            13,
            &[bytes(1, key.as_bytes()), bytes(2, value.as_bytes())].concat(),
        )
    };
    let tensor = [
        int(1, count),
        int(2, 1),
        bytes(8, b"w"),
        entry("location", weights),
        entry("offset", "0"),
        entry("length", &(4 * count).to_string()),
        int(14, 1),
    ]
    .concat();
    let graph = [
        node("Gather", &["w", "x"], "y"),
        bytes(5, &tensor),
        bytes(11, &port("x", 7)),
        bytes(12, &port("y", 1)),
    ];
    std::fs::write(path, model(&graph.concat())).unwrap();
}

/// `y = -(-(... x))`, so many times.
pub fn chain(length: usize) -> Vec<u8> {
    let mut graph = Vec::new();
    for step in 0..length {
        let from = if step == 0 {
            "x".to_owned()
        } else {
            format!("v{step}")
        };
        let to = if step + 1 == length {
            "y".to_owned()
        } else {
            format!("v{}", step + 1)
        };
        graph.extend(node("Neg", &[&from], &to));
    }
    graph.extend(bytes(11, &port("x", 1)));
    graph.extend(bytes(12, &port("y", 1)));
    model(&graph)
}

/// `If` in `If` in `If`, so many times.
pub fn nested(depth: usize) -> Vec<u8> {
    let branch = |name: &str, graph: &[u8]| {
        bytes(
            5,
            &[bytes(1, name.as_bytes()), bytes(6, graph), int(20, 5)].concat(),
        )
    };
    let leaf = [node("Neg", &["x"], "t"), bytes(12, &port("t", 1))].concat();
    let mut graph = leaf.clone();
    for _ in 0..depth {
        let inner = [
            bytes(1, b"c"),
            bytes(2, b"t"),
            bytes(4, b"If"),
            branch("then_branch", &graph),
            branch("else_branch", &leaf),
        ];
        graph = [bytes(1, &inner.concat()), bytes(12, &port("t", 1))].concat();
    }
    graph.extend(bytes(11, &port("x", 1)));
    graph.extend(bytes(11, &port("c", 9)));
    model(&graph)
}

/// A model that gives back a tensor of this type (`TensorProto.DataType`) and shape.
pub fn echo(elem: u64, dims: &[i64]) -> Vec<u8> {
    let graph = [
        node("Identity", &["input"], "output"),
        bytes(2, b"g"),
        bytes(11, &port_of("input", elem, dims)),
        bytes(12, &port_of("output", elem, dims)),
    ];
    model(&graph.concat())
}

/// The same as a frozen graph of TensorFlow; types are those of `DataType`.
pub fn echo_graph(dtype: u64, dims: &[i64]) -> Vec<u8> {
    let attribute = |key: &str, value: Vec<u8>| {
        bytes(5, &[bytes(1, key.as_bytes()), bytes(2, &value)].concat())
    };
    let input = [
        bytes(1, b"input"),
        bytes(2, b"Placeholder"),
        attribute("dtype", int(6, dtype)),
        attribute("shape", bytes(7, &lengths(2, dims))),
    ];
    let output = [
        bytes(1, b"output"),
        bytes(2, b"Identity"),
        bytes(3, b"input"),
        attribute("T", int(6, dtype)),
    ];
    let version = bytes(4, &int(1, 1087));
    [
        bytes(1, &input.concat()),
        bytes(1, &output.concat()),
        version,
    ]
    .concat()
}
