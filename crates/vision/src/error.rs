//! Everything that can go wrong between a picture and an answer.

use std::path::PathBuf;

/// An error of this crate; its message names the thing and the way out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file that a description needs cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The text is not TOML, or has a key, type or value that the reference does not know.
    #[error("{file}{}: {reason}", line.map(|n| format!(":{n}")).unwrap_or_default())]
    Syntax {
        /// The description's file name, or `model.toml` for text from memory.
        file: String,
        /// Line in the file, from 1, where known.
        line: Option<usize>,
        /// What is wrong there.
        reason: String,
    },
    /// A key has a value that makes no sense.
    #[error("{file}: `{key}` {reason}")]
    Key {
        /// The description's file name.
        file: String,
        /// Section and key, such as `input.std`.
        key: &'static str,
        /// What is wrong with it, as the rest of a sentence.
        reason: String,
    },
    /// The labels do not go with the model.
    #[error("labels: {0}")]
    Labels(String),
    /// The description and the model's own input tensor contradict each other.
    #[error("input tensor: {0}")]
    Input(String),
    /// The bytes are not a picture that can be read.
    #[error("picture: {0}")]
    Picture(String),
    /// An output tensor that the description names, or the format needs, is not there.
    #[error("format `{format}` needs output tensor {wanted}, the model gave: {available}")]
    MissingOutput {
        /// The format of the description.
        format: &'static str,
        /// Name or role of the tensor.
        wanted: String,
        /// Names and shapes of the tensors there are.
        available: String,
    },
    /// An output tensor has a shape that the format does not have.
    #[error("tensor `{tensor}`: format `{format}` expects {expected}, got {actual:?}")]
    Shape {
        /// Name of the tensor.
        tensor: String,
        /// The format of the description.
        format: &'static str,
        /// The shape in the words of the reference.
        expected: String,
        /// The shape that came.
        actual: Vec<usize>,
    },
    /// Number of elements and shape of a tensor disagree.
    #[error("tensor `{tensor}` of shape {shape:?} holds {elements} elements")]
    Elements {
        /// Name of the tensor.
        tensor: String,
        /// Its shape.
        shape: Vec<usize>,
        /// Number of elements in its data.
        elements: usize,
    },
    /// An output tensor holds integers where scores are needed.
    #[error("tensor `{tensor}`: format `{format}` reads floating point values, got integers")]
    Integers {
        /// Name of the tensor.
        tensor: String,
        /// The format of the description.
        format: &'static str,
    },
    /// An output tensor holds nothing but NaN and infinity.
    #[error(
        "tensor `{tensor}` has no finite value; does the model want another `scale`, `mean` or `std`?"
    )]
    NotFinite {
        /// Name of the tensor.
        tensor: String,
    },
    /// A class number does not fit a map of bytes.
    #[error("class number {class} does not fit a class map of bytes (0..=255)")]
    ClassNumber {
        /// The number.
        class: i64,
    },
    /// The annotated picture cannot be encoded.
    #[error("cannot encode the annotated picture: {0}")]
    Encode(String),
}

/// What functions of this crate return.
pub type Result<T, E = Error> = std::result::Result<T, E>;
