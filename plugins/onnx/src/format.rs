//! What a model file is, judged by its content, never by its name.

use std::path::Path;

use vaccel_plugin::{Error, Result, err};

use vaccel_inference::proto::{Damage, Fields, Value};

/// Makes sure that the bytes are an ONNX model; `what` is the file in errors.
///
/// # Errors
/// `ENOTSUP`, with the name of the format, for other models; `EINVAL` for
/// an ONNX file that was cut off and for bytes of no known kind.
pub(crate) fn require_onnx(bytes: &[u8], what: &str) -> Result<()> {
    if bytes.is_empty() {
        return Err(err!(EINVAL, "{what} is empty"));
    }
    if let Some(kind) = magic(bytes) {
        return Err(other(what, &kind));
    }
    match protobuf(bytes) {
        Protobuf::Onnx => Ok(()),
        Protobuf::Other(kind) => Err(other(what, &kind)),
        Protobuf::CutOff(damage) => Err(err!(
            EINVAL,
            "{what} begins like an ONNX model but is damaged or cut off: {damage}"
        )),
        Protobuf::No => Err(err!(
            EINVAL,
            "{what} is not an ONNX model, nor any other that is known by its first bytes"
        )),
    }
}

/// Says what a folder holds that has no ONNX model in it; `None` for nothing known.
pub(crate) fn folder_error(folder: &Path) -> Option<Error> {
    let what = format!("folder {}", folder.display());
    for name in ["saved_model.pb", "saved_model.pbtxt"] {
        if folder.join(name).exists() {
            return Some(other(&what, &SAVED_MODEL));
        }
    }
    None
}

/// A format and how its models get here all the same.
struct Kind {
    name: &'static str,
    advice: &'static str,
}

const fn kind(name: &'static str, advice: &'static str) -> Kind {
    Kind { name, advice }
}

fn other(what: &str, kind: &Kind) -> Error {
    let Kind { name, advice } = kind;
    err!(
        ENOTSUP,
        "{what} is {name}, and this backend runs ONNX; {advice}"
    )
}

const TORCH: &str = "use the torch backend, or export it with torch.onnx.export";
const TF: &str = "use the tensorflow backend, or convert it with `python -m tf2onnx.convert`";
const SAVED_MODEL: Kind = kind("a TensorFlow SavedModel", TF);
const FROZEN_GRAPH: Kind = kind("a TensorFlow graph (GraphDef)", TF);

fn magic(bytes: &[u8]) -> Option<Kind> {
    let starts = |prefix: &[u8]| bytes.starts_with(prefix);
    Some(match bytes {
        _ if bytes.get(4..8) == Some(b"TFL3") => kind(
            "a TensorFlow Lite model",
            "use the tflite backend, or convert it with `python -m tf2onnx.convert --tflite`",
        ),
        _ if starts(b"PK\x03\x04") => zip(bytes),
        _ if starts(b"RTEN") => kind("an RTen model", "give the ONNX file it was made from"),
        _ if starts(b"\x89HDF\r\n\x1a\n") => kind("a Keras HDF5 file", TF),
        _ if starts(b"GGUF") => kind("a GGUF file", "give an ONNX export of the model"),
        _ if starts(b"\x7fELF") => kind(
            "a shared library or program",
            "give an ONNX file (a compiled model needs the backend of its compiler)",
        ),
        _ if starts(b"\x93NUMPY") => kind("a NumPy array", "give an ONNX file"),
        _ if starts(b"\x1f\x8b") => kind("gzip-compressed", "unpack it first"),
        _ if starts(b"ptrt") || starts(b"ftrt") => kind(
            "a TensorRT engine",
            "use a TensorRT backend, or give the ONNX file it was made from",
        ),
        [0x80, 2..=5, ..] => kind("a Python pickle (torch.save)", TORCH),
        _ if safetensors(bytes) => kind(
            "a safetensors file, weights without a graph",
            "export the model to ONNX",
        ),
        _ => text(bytes)?,
    })
}

/// Zip archives are told apart by the names in them.
fn zip(bytes: &[u8]) -> Kind {
    // The table of contents is at the end; 64 KiB are 600 entries and more.
    let tail = &bytes[bytes.len().saturating_sub(1 << 16)..];
    let head = &bytes[..bytes.len().min(1 << 10)];
    let has = |name: &[u8]| [head, tail].iter().any(|part| find(part, name));
    if has(b"constants.pkl") {
        kind("a TorchScript archive", TORCH)
    } else if has(b"data.pkl") {
        kind("a PyTorch archive (torch.save)", TORCH)
    } else if has(b"model.weights.h5") {
        kind("a Keras archive", TF)
    } else if has(b".npy") {
        kind("a NumPy archive (.npz)", "give an ONNX file")
    } else {
        kind("a zip archive", "unpack it and give the model file in it")
    }
}

fn find(bytes: &[u8], name: &[u8]) -> bool {
    bytes.windows(name.len()).any(|window| window == name)
}

/// An eight byte length, then JSON of that length.
fn safetensors(bytes: &[u8]) -> bool {
    let Some((length, rest)) = bytes.split_first_chunk::<8>() else {
        return false;
    };
    rest.starts_with(b"{\"") && u64::from_le_bytes(*length) <= rest.len() as u64
}

/// Text of any kind; no ONNX file is one (its first bytes are control characters).
fn text(bytes: &[u8]) -> Option<Kind> {
    let head = &bytes[..bytes.len().min(512)];
    let printable = |b: &u8| matches!(b, b'\t' | b'\n' | b'\r' | 0x20..=0x7e | 0x80..);
    if !head.iter().all(printable) || std::str::from_utf8(&head[..head.len().min(4)]).is_err() {
        return None;
    }
    Some(if find(head, b"<net ") {
        kind(
            "an OpenVINO description (.xml)",
            "use the openvino backend, or give the ONNX file",
        )
    } else if find(head, b"git-lfs") {
        kind(
            "a Git LFS pointer, not the file it stands for",
            "fetch it with `git lfs pull`",
        )
    } else if find(head, b"[model]") {
        kind(
            "a model description",
            "give it as a file named *.toml, or with the model beside it",
        )
    } else {
        kind("text", "give an ONNX file")
    })
}

enum Protobuf {
    Onnx,
    Other(Kind),
    CutOff(Damage),
    No,
}

/// Reads the outermost message: `ModelProto` has a version (1) and a graph (7),
/// `SavedModel` a version (1) and graphs (2), `GraphDef` nodes (1) and a library (2)
/// or versions (4).
fn protobuf(bytes: &[u8]) -> Protobuf {
    let (mut version, mut graph, mut second) = (false, false, false);
    let mut nodes = 0_usize;
    let mut fields = Fields::new(bytes);
    let damage = loop {
        match fields.next() {
            Some(Ok((1, Value::Number(_)))) => version = true,
            Some(Ok((1, Value::Bytes(node)))) if looks_like_node(node) => nodes += 1,
            Some(Ok((7, Value::Bytes(_)))) => graph = true,
            Some(Ok((2, Value::Bytes(meta)))) => second = Fields::new(meta).all(|f| f.is_ok()),
            Some(Ok(_)) => {}
            Some(Err(damage)) => break Some(damage),
            None => break None,
        }
    };
    match damage {
        None if version && graph => Protobuf::Onnx,
        None if version && second => Protobuf::Other(SAVED_MODEL),
        _ if nodes > 0 && !version => Protobuf::Other(FROZEN_GRAPH),
        // An ONNX file begins with its version, a small number.
        Some(damage) if version && matches!(bytes, [8, 1..=32, ..]) => Protobuf::CutOff(damage),
        _ => Protobuf::No,
    }
}

/// A `NodeDef` has a name (1) and an operation (2), both strings.
fn looks_like_node(bytes: &[u8]) -> bool {
    let text = |value| matches!(value, Value::Bytes(b) if std::str::from_utf8(b).is_ok());
    let mut fields = Fields::new(bytes);
    matches!(fields.next(), Some(Ok((1, name))) if text(name))
        && matches!(fields.next(), Some(Ok((2, op))) if text(op))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn message(bytes: &[u8]) -> String {
        require_onnx(bytes, "file m").unwrap_err().to_string()
    }

    #[test]
    fn other_model_formats_are_called_by_their_name() {
        let zip = |name: &str| [b"PK\x03\x04", &[0; 26][..], name.as_bytes()].concat();
        let cases: &[(&[u8], &str)] = &[
            (b"\x1c\0\0\0TFL3\x14\0", "a TensorFlow Lite model"),
            (&zip("m/constants.pkl"), "a TorchScript archive"),
            (&zip("m/data.pkl"), "a PyTorch archive"),
            (&zip("model.weights.h5"), "a Keras archive"),
            (&zip("a.npy"), "a NumPy archive"),
            (&zip("readme"), "a zip archive"),
            (b"RTEN\0\0\0\0", "an RTen model"),
            (b"\x89HDF\r\n\x1a\n\0", "a Keras HDF5 file"),
            (b"\x80\x02}q\0", "a Python pickle"),
            (b"\x7fELF\x02", "a shared library"),
            (
                b"<?xml version=\"1.0\"?><net name=\"m\">",
                "an OpenVINO description",
            ),
            (b"\x02\0\0\0\0\0\0\0{\"", "safetensors"),
            (
                b"version https://git-lfs.github.com/spec/v1\n",
                "a Git LFS pointer",
            ),
            (b"hello, I am no model", "text"),
            // SavedModel: version 1, one empty graph
            (&[8, 1, 0x12, 2, 0x0a, 0], "a TensorFlow SavedModel"),
            // GraphDef: one node "x" of the operation "Add"
            (b"\x0a\x08\x0a\x01x\x12\x03Add", "a TensorFlow graph"),
        ];
        for (bytes, name) in cases {
            let error = require_onnx(bytes, "file m").unwrap_err();
            assert_eq!(error.code(), vaccel_plugin::code::ENOTSUP, "{error}");
            assert!(error.to_string().contains(name), "{error} / {name}");
        }
    }

    #[test]
    fn a_damaged_onnx_file_is_told_from_noise() {
        // version 8, a graph of 100 bytes of which two are there
        assert!(message(&[8, 8, 0x3a, 100, 0, 0]).contains("cut off"));
        assert!(message(&[0xff; 40]).contains("not an ONNX model"));
        assert!(message(&[]).contains("is empty"));
        assert!(require_onnx(&[8, 8, 0x3a, 0], "file m").is_ok());
    }

    #[test]
    fn a_saved_model_folder_is_recognised() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(folder_error(folder.path()), None);
        std::fs::write(folder.path().join("saved_model.pb"), b"").unwrap();
        let error = folder_error(folder.path()).unwrap().to_string();
        assert!(error.contains("SavedModel"), "{error}");
    }
}
