//! Names of inputs and outputs in a SavedModel: its `MetaGraphDef`.

use std::collections::BTreeMap;

use vaccel_inference::proto::{Damage, Fields, Value};
use vaccel_plugin::{Error, Result, bail};

/// A tensor: its name in the signature and in the graph (`node:0`), its type's number, its
/// lengths (-1 for open ones; `None` for an open rank).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) tensor: String,
    pub(crate) number: i32,
    pub(crate) dims: Option<Vec<i64>>,
}

/// Inputs and outputs, by the order of their names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Signature {
    pub(crate) inputs: Vec<Entry>,
    pub(crate) outputs: Vec<Entry>,
}

/// The signature of that name.
///
/// # Errors
/// `EINVAL` with the names there are, and for a damaged message.
pub(crate) fn find(meta_graph: &[u8], wanted: &str) -> Result<Signature> {
    let mut found = read(meta_graph).map_err(|e| Error::invalid(format!("its signatures: {e}")))?;
    match found.remove(wanted) {
        Some(signature) => Ok(signature),
        None => {
            // This one tells how variables are initialised.
            found.retain(|name, _| !name.starts_with("__"));
            let names: Vec<String> = found.into_keys().collect();
            bail!(
                EINVAL,
                "it has no signature `{wanted}`; there are: {}; choose with the option `signature`",
                names.join(", ")
            )
        }
    }
}

fn read(meta_graph: &[u8]) -> Result<BTreeMap<String, Signature>, Damage> {
    let mut signatures = BTreeMap::new();
    for field in Fields::new(meta_graph) {
        // signature_def = 5, a map.
        if let (5, Value::Bytes(entry)) = field? {
            let (name, value) = key_value(entry)?;
            signatures.insert(name, signature(value)?);
        }
    }
    Ok(signatures)
}

/// Key and value of an entry of a map.
fn key_value(entry: &[u8]) -> Result<(String, &[u8]), Damage> {
    let (mut key, mut value) = (String::new(), &entry[..0]);
    for field in Fields::new(entry) {
        match field? {
            (1, Value::Bytes(bytes)) => key = String::from_utf8_lossy(bytes).into_owned(),
            (2, Value::Bytes(bytes)) => value = bytes,
            _ => {}
        }
    }
    Ok((key, value))
}

fn signature(message: &[u8]) -> Result<Signature, Damage> {
    let mut read = Signature::default();
    for field in Fields::new(message) {
        // inputs = 1, outputs = 2, both maps.
        let (list, entry) = match field? {
            (1, Value::Bytes(entry)) => (&mut read.inputs, entry),
            (2, Value::Bytes(entry)) => (&mut read.outputs, entry),
            _ => continue,
        };
        let (name, value) = key_value(entry)?;
        list.push(tensor(name, value)?);
    }
    for list in [&mut read.inputs, &mut read.outputs] {
        list.sort_by(|a, b| a.name.cmp(&b.name));
    }
    Ok(read)
}

/// A `TensorInfo`.
fn tensor(name: String, message: &[u8]) -> Result<Entry, Damage> {
    let mut entry = Entry {
        name,
        tensor: String::new(),
        number: 0,
        dims: None,
    };
    for field in Fields::new(message) {
        match field? {
            (1, Value::Bytes(bytes)) => entry.tensor = String::from_utf8_lossy(bytes).into_owned(),
            (2, Value::Number(number)) => entry.number = i32::try_from(number).unwrap_or(0),
            (3, Value::Bytes(shape)) => entry.dims = dims(shape)?,
            _ => {}
        }
    }
    Ok(entry)
}

/// A `TensorShapeProto`; `None` where the rank is open.
fn dims(message: &[u8]) -> Result<Option<Vec<i64>>, Damage> {
    let mut dims = Vec::new();
    for field in Fields::new(message) {
        match field? {
            (2, Value::Bytes(dim)) => {
                let mut size = 0_i64;
                for field in Fields::new(dim) {
                    if let (1, Value::Number(number)) = field? {
                        size = number.cast_signed();
                    }
                }
                dims.push(size);
            }
            (3, Value::Number(1..)) => return Ok(None),
            _ => {}
        }
    }
    Ok(Some(dims))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
        let mut message = vec![number << 3 | 2, u8::try_from(bytes.len()).unwrap()];
        message.extend_from_slice(bytes);
        message
    }

    fn entry(name: &str, value: &[u8]) -> Vec<u8> {
        [field(1, name.as_bytes()), field(2, value)].concat()
    }

    #[test]
    fn names_types_and_shapes_come_out_in_the_order_of_names() {
        let open = [
            0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1,
        ];
        let shape = [field(2, &open), field(2, &[0x08, 8])].concat();
        let input = [field(1, b"serve_x:0"), vec![0x10, 1], field(3, &shape)].concat();
        let signature = [
            field(1, &entry("x", &input)),
            field(2, &entry("b", &field(1, b"call:1"))),
            field(2, &entry("a", &field(1, b"call:0"))),
        ]
        .concat();
        let meta = field(5, &entry("serve", &signature));
        let read = find(&meta, "serve").unwrap();
        assert_eq!(read.inputs[0].tensor, "serve_x:0");
        assert_eq!(
            (read.inputs[0].number, &read.inputs[0].dims),
            (1, &Some(vec![-1, 8]))
        );
        let outputs: Vec<&str> = read.outputs.iter().map(|e| e.name.as_str()).collect();
        assert_eq!(outputs, ["a", "b"]);
        let error = find(&meta, "other").unwrap_err();
        assert!(error.message().contains("there are: serve"), "{error}");
        assert!(find(&meta[..meta.len() - 1], "serve").is_err());
    }
}
