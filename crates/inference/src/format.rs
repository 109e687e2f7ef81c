//! What a model is, judged by its content, never by its name.
//!
//! The one place that tells formats apart: the onnx backend refuses others by it, and the
//! choice among backends (`VACCEL_PLUGINS=auto`) is made by it.

use std::borrow::Cow;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use vaccel_plugin::{Error, Result, err};

use crate::item::{Item, unreadable};
use crate::proto::{Damage, Fields, Value, varint};

/// Makes sure that the bytes are an ONNX model; `what` is the file in errors.
///
/// # Errors
/// `ENOTSUP`, with the name of the format, for other models; `EINVAL` for
/// an ONNX file that was cut off and for bytes of no known kind.
pub fn require_onnx(bytes: &[u8], what: &str) -> Result<()> {
    match judge(&bytes, what)? {
        kind if kind.id == "onnx" => Ok(()),
        kind => Err(other(what, &kind)),
    }
}

/// Says what a folder holds that has no ONNX model in it; `None` for nothing known.
#[must_use]
pub fn folder_error(folder: &Path) -> Option<Error> {
    is_saved_model(folder).then(|| other(&format!("folder {}", folder.display()), &SAVED_MODEL))
}

fn is_saved_model(folder: &Path) -> bool {
    let names = ["saved_model.pb", "saved_model.pbtxt"];
    names.iter().any(|name| folder.join(name).exists())
}

/// The format of a model: `onnx`, `ort`, `tflite`, `torchscript`, `savedmodel`, `graphdef`,
/// `openvino`, `tensorrt`, `elf` (a compiled model).
///
/// Of a file only as much is read as it takes.
///
/// # Errors
/// `ENOTSUP`, with what it is, for files that no backend runs; `EINVAL` for damaged ones and
/// for bytes of no known kind; what the system says for files out of reach.
pub fn format_of(item: &Item<'_>) -> Result<&'static str> {
    let what = &item.name;
    let kind = match item.path() {
        Some(folder) if folder.is_dir() => match is_saved_model(folder) {
            true => SAVED_MODEL,
            false => return Err(err!(EINVAL, "{what} is a folder without a model")),
        },
        Some(path) => {
            let file = File::open(path).map_err(|e| unreadable(what, e))?;
            judge(&file, what)?
        }
        None => judge(&&*item.bytes()?, what)?,
    };
    match kind.id {
        "" => Err(err!(
            ENOTSUP,
            "{what} is {}, which no backend runs; {}",
            kind.name,
            kind.advice
        )),
        id => Ok(id),
    }
}

/// Bytes that are looked at in places.
trait Look {
    fn size(&self) -> io::Result<u64>;
    /// As many bytes as there are from here, and no more than `most`.
    fn at(&self, offset: u64, most: usize) -> io::Result<Cow<'_, [u8]>>;
}

impl Look for &[u8] {
    fn size(&self) -> io::Result<u64> {
        Ok(self.len() as u64)
    }

    fn at(&self, offset: u64, most: usize) -> io::Result<Cow<'_, [u8]>> {
        let from = usize::try_from(offset)
            .unwrap_or(usize::MAX)
            .min(self.len());
        let to = from.saturating_add(most).min(self.len());
        Ok(Cow::Borrowed(&self[from..to]))
    }
}

impl Look for File {
    fn size(&self) -> io::Result<u64> {
        let meta = self.metadata()?;
        match meta.is_file() {
            true => Ok(meta.len()),
            false => Err(io::Error::other("it is not a regular file")),
        }
    }

    fn at(&self, offset: u64, most: usize) -> io::Result<Cow<'_, [u8]>> {
        let mut bytes = vec![0; most];
        let mut got = 0;
        while got < most {
            match self.read_at(&mut bytes[got..], offset + got as u64) {
                Ok(0) => break,
                Ok(n) => got += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        bytes.truncate(got);
        Ok(Cow::Owned(bytes))
    }
}

/// What the bytes are.
fn judge(bytes: &impl Look, what: &str) -> Result<Kind> {
    let failed = |e| unreadable(what, e);
    let head = bytes.at(0, HEAD).map_err(failed)?;
    if head.is_empty() {
        return Err(err!(EINVAL, "{what} is empty"));
    }
    if head.starts_with(b"PK\x03\x04") {
        return zip(bytes, &head).map_err(failed);
    }
    if let Some(kind) = magic(&head, bytes.size().map_err(failed)?) {
        return Ok(kind);
    }
    match protobuf(bytes).map_err(failed)? {
        Protobuf::Known(kind) => Ok(kind),
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

/// Bytes at the beginning that tell most formats.
const HEAD: usize = 1 << 10;

/// A format, and how its models get to the onnx backend all the same.
#[derive(Clone, Copy)]
struct Kind {
    /// What the choice among backends goes by; empty for what no backend runs.
    id: &'static str,
    name: &'static str,
    advice: &'static str,
}

const fn kind(id: &'static str, name: &'static str, advice: &'static str) -> Kind {
    Kind { id, name, advice }
}

fn other(what: &str, kind: &Kind) -> Error {
    let Kind { name, advice, .. } = kind;
    err!(
        ENOTSUP,
        "{what} is {name}, and this backend runs ONNX; {advice}"
    )
}

const TORCH: &str = "use the torch backend, or export it with torch.onnx.export";
const TF: &str = "use the tf backend, or convert it with `python -m tf2onnx.convert`";
const ONNX: Kind = kind("onnx", "an ONNX model", "");
const SAVED_MODEL: Kind = kind("savedmodel", "a TensorFlow SavedModel", TF);
const FROZEN_GRAPH: Kind = kind("graphdef", "a TensorFlow graph (GraphDef)", TF);

fn magic(head: &[u8], size: u64) -> Option<Kind> {
    let starts = |prefix: &[u8]| head.starts_with(prefix);
    Some(match head {
        _ if head.get(4..8) == Some(b"TFL3") => kind(
            "tflite",
            "a TensorFlow Lite model",
            "use the tflite backend, or convert it with `python -m tf2onnx.convert --tflite`",
        ),
        _ if head.get(4..8) == Some(b"ORTM") => kind(
            "ort",
            "a model of ONNX Runtime's own format",
            "use the onnxruntime backend, or give the ONNX file it was made from",
        ),
        _ if starts(b"RTEN") => kind("", "an RTen model", "give the ONNX file it was made from"),
        _ if starts(b"\x89HDF\r\n\x1a\n") => kind("", "a Keras HDF5 file", TF),
        _ if starts(b"GGUF") => kind("", "a GGUF file", "give an ONNX export of the model"),
        _ if starts(b"\x7fELF") => kind(
            "elf",
            "a shared library or program",
            "give an ONNX file (a compiled model needs the backend of its compiler)",
        ),
        _ if starts(b"\x93NUMPY") => kind("", "a NumPy array", "give an ONNX file"),
        _ if starts(b"\x1f\x8b") => kind("", "gzip-compressed", "unpack it first"),
        _ if starts(b"ptrt") || starts(b"ftrt") => kind(
            "tensorrt",
            "a TensorRT engine",
            "use a TensorRT backend, or give the ONNX file it was made from",
        ),
        [0x80, 2..=5, ..] => kind("", "a Python pickle (torch.save)", TORCH),
        _ if safetensors(head, size) => kind(
            "",
            "a safetensors file, weights without a graph",
            "export the model to ONNX",
        ),
        _ => text(head)?,
    })
}

/// Zip archives are told apart by the names in them.
fn zip(bytes: &impl Look, head: &[u8]) -> io::Result<Kind> {
    // The table of contents is at the end; 64 KiB are 600 entries and more.
    const TAIL: usize = 1 << 16;
    let tail = bytes.at(bytes.size()?.saturating_sub(TAIL as u64), TAIL)?;
    let has = |name: &[u8]| [head, &tail].iter().any(|part| find(part, name));
    Ok(if has(b"constants.pkl") {
        kind("torchscript", "a TorchScript archive", TORCH)
    } else if has(b"data.pkl") {
        kind("", "a PyTorch archive (torch.save)", TORCH)
    } else if has(b"model.weights.h5") {
        kind("", "a Keras archive", TF)
    } else if has(b".npy") {
        kind("", "a NumPy archive (.npz)", "give an ONNX file")
    } else {
        kind(
            "",
            "a zip archive",
            "unpack it and give the model file in it",
        )
    })
}

fn find(bytes: &[u8], name: &[u8]) -> bool {
    bytes.windows(name.len()).any(|window| window == name)
}

/// An eight byte length, then JSON of that length.
fn safetensors(head: &[u8], size: u64) -> bool {
    let Some((length, rest)) = head.split_first_chunk::<8>() else {
        return false;
    };
    rest.starts_with(b"{\"") && u64::from_le_bytes(*length) <= size - 8
}

/// Text of any kind; no ONNX file is one (its first bytes are control characters).
fn text(head: &[u8]) -> Option<Kind> {
    let head = &head[..head.len().min(512)];
    let printable = |b: &u8| matches!(b, b'\t' | b'\n' | b'\r' | 0x20..=0x7e | 0x80..);
    if !head.iter().all(printable) || std::str::from_utf8(&head[..head.len().min(4)]).is_err() {
        return None;
    }
    Some(if find(head, b"<net ") {
        kind(
            "openvino",
            "an OpenVINO description (.xml)",
            "use the openvino backend, or give the ONNX file",
        )
    } else if find(head, b"git-lfs") {
        kind(
            "",
            "a Git LFS pointer, not the file it stands for",
            "fetch it with `git lfs pull`",
        )
    } else if find(head, b"[model]") {
        kind(
            "",
            "a model description",
            "give it as a file named *.toml, or with the model beside it",
        )
    } else {
        kind("", "text", "give an ONNX file")
    })
}

enum Protobuf {
    Known(Kind),
    CutOff(Damage),
    No,
}

/// Walks through the outermost message: `ModelProto` has a version (1) and a graph (7),
/// `SavedModel` a version (1) and graphs (2), `GraphDef` nodes (1) and a library (2)
/// or versions (4). What is in the fields is passed over.
fn protobuf(bytes: &impl Look) -> io::Result<Protobuf> {
    /// Bytes of a field that are looked at.
    const PART: usize = 512;
    let size = bytes.size()?;
    let (mut version, mut graph, mut second, mut nodes) = (false, false, false, false);
    let mut at = 0_u64;
    let damage = loop {
        if at >= size {
            break None;
        }
        let head = bytes.at(at, 20)?;
        let field = match Field::read(&head) {
            Ok(field) => field,
            Err(damage) => break Some(damage),
        };
        let begin = at + field.before as u64;
        let left = size - begin;
        if field.length > left {
            break Some(Damage::Truncated {
                wanted: field.length,
                left: usize::try_from(left).unwrap_or(usize::MAX),
            });
        }
        at = begin + field.length;
        let part = usize::try_from(field.length).unwrap_or(PART).min(PART);
        match (field.number, field.is_bytes) {
            (1, false) => version = true,
            (1, true) => nodes |= looks_like_node(&bytes.at(begin, part)?),
            (7, true) => graph = true,
            (2, true) => second = looks_like_message(&bytes.at(begin, part)?, field.length),
            _ => {}
        }
        // Nothing that follows makes it another one, and there may be thousands of nodes.
        if nodes && !version {
            break None;
        }
    };
    Ok(match damage {
        None if version && graph => Protobuf::Known(ONNX),
        None if version && second => Protobuf::Known(SAVED_MODEL),
        _ if nodes && !version => Protobuf::Known(FROZEN_GRAPH),
        // An ONNX file begins with its version, a small number.
        Some(damage) if version && matches!(*bytes.at(0, 2)?, [8, 1..=32]) => {
            Protobuf::CutOff(damage)
        }
        _ => Protobuf::No,
    })
}

/// The beginning of a field.
struct Field {
    number: u64,
    is_bytes: bool,
    /// Bytes before its content, and of it.
    before: usize,
    length: u64,
}

impl Field {
    fn read(head: &[u8]) -> Result<Self, Damage> {
        let mut rest = head;
        let tag = varint(&mut rest)?;
        let (is_bytes, length) = match tag & 7 {
            0 => {
                varint(&mut rest)?;
                (false, 0)
            }
            1 => (false, 8),
            2 => (true, varint(&mut rest)?),
            5 => (false, 4),
            _ => return Err(Damage::Malformed),
        };
        // Field numbers are 1 to 2^29 - 1.
        match tag >> 3 {
            number @ 1..=0x1fff_ffff => Ok(Self {
                number,
                is_bytes,
                before: head.len() - rest.len(),
                length,
            }),
            _ => Err(Damage::Malformed),
        }
    }
}

/// As far as it is there, a message: a text of ONNX's (`producer_name`) is none.
fn looks_like_message(part: &[u8], length: u64) -> bool {
    let mut fields = Fields::new(part);
    if part.len() as u64 == length {
        return fields.all(|field| field.is_ok());
    }
    // Its first field may be longer than what is looked at.
    matches!(fields.next(), Some(Ok(_) | Err(Damage::Truncated { .. })))
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
    fn the_format_of_a_file_is_told_without_its_name_and_without_reading_all_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.tflite");
        // version 8, a producer, a graph of 3 GB that takes no room on disk
        let mut model = vec![8, 8, 0x12, 7];
        model.extend_from_slice(b"pytorch");
        let graph = 3_u64 << 30;
        model.push(0x3a);
        let mut length = graph;
        while length >= 0x80 {
            model.push(length as u8 & 0x7f | 0x80);
            length >>= 7;
        }
        model.push(length as u8);
        std::fs::write(&path, &model).unwrap();
        let file = File::options().write(true).open(&path).unwrap();
        file.set_len(model.len() as u64 + graph).unwrap();
        assert_eq!(format_of(&Item::file(&path)).unwrap(), "onnx");
        file.set_len(model.len() as u64 + graph - 1).unwrap();
        let error = format_of(&Item::file(&path)).unwrap_err();
        assert!(error.message().contains("cut off"), "{error}");
        let error = format_of(&Item::file(folder.path())).unwrap_err();
        assert!(error.message().contains("without a model"), "{error}");
        std::fs::write(folder.path().join("saved_model.pb"), b"").unwrap();
        assert_eq!(format_of(&Item::file(folder.path())).unwrap(), "savedmodel");
        std::fs::write(&path, b"hello").unwrap();
        let error = format_of(&Item::file(&path)).unwrap_err();
        assert!(error.message().contains("which no backend runs"), "{error}");
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
