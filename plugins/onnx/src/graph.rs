//! A look at the nodes of a model before the engine sees them.
//!
//! The engine follows a graph by recursion, computes what depends on constants
//! alone while it loads, and ends the process when memory runs out. So graphs that
//! are too deep for its stack, and constants of absurd size, are refused here. It
//! also has a few operators whose results are not those of the ONNX standard; they
//! are listed, so that nobody gets wrong numbers unknowingly.

use std::collections::{BTreeSet, HashMap};

use vaccel_plugin::{Result, bail, err};

use vaccel_inference::proto::{Damage, Fields, Value, varint};

/// Nodes in a row; the stack of the loading thread is made for it.
pub(crate) const MAX_DEPTH: usize = 50_000;
/// Nodes in a row inside of `If`, `Loop` and the like: those run on the stacks of
/// the pool, whose size is not ours to choose.
const MAX_INNER_DEPTH: usize = 2_000;
/// Elements of a tensor that the model itself asks for: 4 GiB of f32.
pub(crate) const MAX_ELEMENTS: u64 = 1 << 30;
/// Shapes have at most so many numbers.
const MAX_NUMBERS: usize = 64;

/// What there is to know of the nodes.
#[derive(Debug, Default)]
pub(crate) struct Survey<'a> {
    /// Longest row of nodes of which each needs the one before.
    pub(crate) depth: usize,
    /// Operators whose results differ from the standard's, and how.
    pub(crate) differing: BTreeSet<&'static str>,
    /// Names of the values that the outermost nodes make.
    pub(crate) values: Vec<&'a str>,
}

#[derive(Default)]
struct Node<'a> {
    op: &'a [u8],
    inputs: Vec<&'a [u8]>,
    outputs: Vec<&'a [u8]>,
    attributes: Vec<&'a [u8]>,
}

/// Small constants of a graph, by name.
type Constants<'a> = HashMap<&'a [u8], Vec<f64>>;
/// Name and numbers.
type Constant<'a> = (&'a [u8], Vec<f64>);

impl<'a> Survey<'a> {
    /// Walks through all graphs of a model that [`Header`](crate::header::Header) has
    /// found to be sound; `what` is the file in errors.
    ///
    /// # Errors
    /// `EINVAL` for a graph that goes in circles, `ERANGE` for one that is too deep
    /// or asks for tensors beyond all measure.
    pub(crate) fn of(model: &'a [u8], what: &str) -> Result<Self> {
        let mut survey = Self::default();
        for field in Fields::new(model) {
            if let (7, Value::Bytes(graph)) = field.map_err(|e| damaged(&e, what))? {
                survey.graph(graph, what, true)?;
            }
        }
        Ok(survey)
    }

    fn graph(&mut self, graph: &'a [u8], what: &str, outermost: bool) -> Result<()> {
        let (nodes, constants) = read_graph(graph).map_err(|e| damaged(&e, what))?;
        let depth = depth(&nodes).map_err(|name| {
            let name = String::from_utf8_lossy(name);
            err!(
                EINVAL,
                "{what} is damaged: `{name}` is computed from itself"
            )
        })?;
        let limit = if outermost {
            MAX_DEPTH
        } else {
            MAX_INNER_DEPTH
        };
        if depth > limit {
            bail!(
                ERANGE,
                "{what} has {depth} nodes in a row, more than {limit}"
            );
        }
        self.depth = self.depth.max(depth);
        for node in &nodes {
            self.differing.extend(difference(node));
            if let Some(count) = asked_for(node, &constants)
                && count > MAX_ELEMENTS as f64
            {
                bail!(
                    ERANGE,
                    "{what} asks for a tensor of {count:.0} elements ({}), more than {MAX_ELEMENTS}",
                    String::from_utf8_lossy(node.op)
                );
            }
            if outermost {
                let names = node.outputs.iter();
                self.values
                    .extend(names.filter_map(|name| std::str::from_utf8(name).ok()));
            }
            for attribute in &node.attributes {
                for field in Fields::new(attribute) {
                    if let (6 | 11, Value::Bytes(inner)) = field.map_err(|e| damaged(&e, what))? {
                        self.graph(inner, what, false)?;
                    }
                }
            }
        }
        Ok(())
    }
}

fn damaged(damage: &Damage, what: &str) -> vaccel_plugin::Error {
    err!(EINVAL, "{what} is damaged: {damage}")
}

fn read_graph(graph: &[u8]) -> Result<(Vec<Node<'_>>, Constants<'_>), Damage> {
    let mut nodes = Vec::new();
    let mut constants = Constants::new();
    for field in Fields::new(graph) {
        match field? {
            (1, Value::Bytes(bytes)) => {
                let node = read_node(bytes)?;
                if let (b"Constant", Some(name)) = (node.op, node.outputs.first()) {
                    for attribute in &node.attributes {
                        for field in Fields::new(attribute) {
                            if let (5, Value::Bytes(tensor)) = field? {
                                constants.extend(read_numbers(tensor)?.map(|(_, n)| (*name, n)));
                            }
                        }
                    }
                }
                nodes.push(node);
            }
            (5, Value::Bytes(tensor)) => constants.extend(read_numbers(tensor)?),
            _ => {}
        }
    }
    Ok((nodes, constants))
}

fn read_node(bytes: &[u8]) -> Result<Node<'_>, Damage> {
    let mut node = Node::default();
    for field in Fields::new(bytes) {
        match field? {
            (1, Value::Bytes(name)) => node.inputs.push(name),
            (2, Value::Bytes(name)) => node.outputs.push(name),
            (4, Value::Bytes(op)) => node.op = op,
            (5, Value::Bytes(attribute)) => node.attributes.push(attribute),
            _ => {}
        }
    }
    Ok(node)
}

/// Name and numbers of a tensor that may be a shape; `None` for all others.
fn read_numbers(tensor: &[u8]) -> Result<Option<Constant<'_>>, Damage> {
    let (mut name, mut elem, mut raw) = (&b""[..], 0, &b""[..]);
    let mut numbers = Vec::new();
    for field in Fields::new(tensor) {
        match field? {
            (2, Value::Number(n)) => elem = n,
            (8, Value::Bytes(b)) => name = b,
            (9, Value::Bytes(b)) => raw = b,
            (5 | 7, Value::Number(n)) => numbers.push(n.cast_signed() as f64),
            (5 | 7, Value::Bytes(mut packed)) => {
                while !packed.is_empty() && numbers.len() <= MAX_NUMBERS {
                    numbers.push(varint(&mut packed)?.cast_signed() as f64);
                }
            }
            (4, Value::Bytes(packed)) => numbers.extend(floats(packed)),
            _ => {}
        }
    }
    if raw.len() <= 8 * MAX_NUMBERS {
        match elem {
            1 => numbers.extend(floats(raw)),
            6 => numbers.extend(
                raw.as_chunks()
                    .0
                    .iter()
                    .map(|&b| f64::from(i32::from_le_bytes(b))),
            ),
            7 => numbers.extend(
                raw.as_chunks()
                    .0
                    .iter()
                    .map(|&b| i64::from_le_bytes(b) as f64),
            ),
            11 => numbers.extend(raw.as_chunks().0.iter().map(|&b| f64::from_le_bytes(b))),
            _ => {}
        }
    }
    Ok((1..=MAX_NUMBERS)
        .contains(&numbers.len())
        .then_some((name, numbers)))
}

fn floats(bytes: &[u8]) -> impl Iterator<Item = f64> {
    let chunks = bytes.as_chunks().0.iter().take(MAX_NUMBERS + 1);
    chunks.map(|&b| f64::from(f32::from_le_bytes(b)))
}

/// Longest row of nodes, or a name that is part of a circle.
fn depth<'a>(nodes: &[Node<'a>]) -> Result<usize, &'a [u8]> {
    let mut maker: HashMap<&[u8], usize> = HashMap::new();
    for (index, node) in nodes.iter().enumerate() {
        maker.extend(
            node.outputs
                .iter()
                .filter(|name| !name.is_empty())
                .map(|name| (*name, index)),
        );
    }
    let mut users: Vec<Vec<usize>> = vec![Vec::new(); nodes.len()];
    let mut waiting = vec![0_usize; nodes.len()];
    for (index, node) in nodes.iter().enumerate() {
        for from in node.inputs.iter().filter_map(|name| maker.get(name)) {
            users[*from].push(index);
            waiting[index] += 1;
        }
    }
    let mut ready: Vec<usize> = (0..nodes.len())
        .filter(|index| waiting[*index] == 0)
        .collect();
    let mut depths = vec![1_usize; nodes.len()];
    let mut done = 0;
    while let Some(index) = ready.pop() {
        done += 1;
        for &user in &users[index] {
            depths[user] = depths[user].max(depths[index] + 1);
            waiting[user] -= 1;
            if waiting[user] == 0 {
                ready.push(user);
            }
        }
    }
    if done < nodes.len() {
        let stuck = nodes
            .iter()
            .zip(&waiting)
            .find(|(_, waiting)| **waiting > 0);
        let name = stuck.and_then(|(node, _)| node.outputs.first());
        return Err(name.copied().unwrap_or_default());
    }
    Ok(depths.into_iter().max().unwrap_or(0))
}

/// Elements of the result of an operator that takes its size from constants.
fn asked_for(node: &Node, constants: &Constants) -> Option<f64> {
    let input = |at: usize| constants.get(node.inputs.get(at)?);
    let product = |at: usize| Some(input(at)?.iter().map(|n| n.abs().max(1.0)).product());
    match node.op {
        b"ConstantOfShape" => product(0),
        b"Expand" | b"Tile" => product(1),
        // Factors (1 in old opsets, 2), or lengths (3), of at least one element each.
        b"Resize" | b"Upsample" => product(3).or_else(|| product(2)).or_else(|| product(1)),
        b"Range" => {
            let number = |at| input(at)?.first().copied();
            Some(((number(1)? - number(0)?) / number(2)?).max(0.0))
        }
        _ => None,
    }
}

/// In what an operator of the engine differs from the standard.
fn difference(node: &Node) -> Option<&'static str> {
    match node.op {
        b"Resize" if attribute_is(node, b"mode", b"cubic") => {
            Some("Resize in cubic mode interpolates linearly")
        }
        b"NonMaxSuppression" => Some(
            "NonMaxSuppression compares boxes across classes and measures their overlap otherwise",
        ),
        b"Sign" => Some("Sign of 0.0 is 1"),
        _ => None,
    }
}

fn attribute_is(node: &Node, name: &[u8], text: &[u8]) -> bool {
    node.attributes.iter().any(|attribute| {
        let has = |wanted| Fields::new(attribute).any(|field| field == Ok(wanted));
        has((1, Value::Bytes(name))) && has((4, Value::Bytes(text)))
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn node<'a>(inputs: &[&'a str], outputs: &[&'a str]) -> Node<'a> {
        Node {
            op: b"Add",
            inputs: inputs.iter().map(|name| name.as_bytes()).collect(),
            outputs: outputs.iter().map(|name| name.as_bytes()).collect(),
            attributes: Vec::new(),
        }
    }

    #[test]
    fn depth_is_that_of_the_longest_row_whatever_the_order_of_nodes() {
        let nodes = [
            node(&["c", "x"], &["d"]),
            node(&["b", "a"], &["c"]),
            node(&["x"], &["a"]),
            node(&["a"], &["b"]),
        ];
        assert_eq!(depth(&nodes), Ok(4));
        assert_eq!(depth(&[]), Ok(0));
    }

    #[test]
    fn a_circle_is_found() {
        let nodes = [
            node(&["x"], &["a"]),
            node(&["a", "c"], &["b"]),
            node(&["b"], &["c"]),
        ];
        assert_eq!(depth(&nodes), Err(&b"b"[..]));
        assert_eq!(depth(&[node(&["y"], &["y"])]), Err(&b"y"[..]));
    }

    #[test]
    fn sizes_that_constants_ask_for_are_counted() {
        let mut constants = Constants::new();
        constants.insert(b"shape", vec![1e6, 1e6]);
        constants.insert(b"end", vec![1e12]);
        constants.insert(b"start", vec![0.0]);
        constants.insert(b"step", vec![2.0]);
        let mut fill = node(&["shape"], &["y"]);
        fill.op = b"ConstantOfShape";
        assert_eq!(asked_for(&fill, &constants), Some(1e12));
        let mut range = node(&["start", "end", "step"], &["y"]);
        range.op = b"Range";
        assert_eq!(asked_for(&range, &constants), Some(5e11));
        range.inputs.pop();
        assert_eq!(asked_for(&range, &constants), None);
    }
}
