//! Gives a checked file to the engine.

use std::panic::{AssertUnwindSafe, catch_unwind};

use rten::{Dimension, LoadError, LoadErrorKind, Model, ModelOptions, ShapeInferenceMode};
use vaccel_inference::Item;
use vaccel_plugin::{Error, Result, bail, err, log};

use crate::graph::MAX_ELEMENTS;

/// Files with weights: the model's names for them, and their bytes.
pub(crate) type Weights = Vec<(String, Vec<u8>)>;

/// True when the engine can read the file itself, which takes half the memory: it
/// wants a name that ends in `.onnx`.
pub(crate) fn reads_file(model: &Item, weights: &Weights) -> bool {
    let extension = model.path().and_then(|path| path.extension());
    extension.is_some_and(|e| e.eq_ignore_ascii_case("onnx")) && weights.is_empty()
}

/// Loads a model. `bytes` are those of the file, for when the engine cannot
/// [read it](reads_file) itself.
///
/// The engine's inference of shapes and its optimisations stumble over a few sound
/// models, which then run without them.
///
/// # Errors
/// `ENOTSUP` for operators that the engine lacks, `EINVAL` for what it finds wrong.
pub(crate) fn load(model: &Item, bytes: Option<Vec<u8>>, weights: Weights) -> Result<Model> {
    let name = &model.name;
    let path = model.path().filter(|_| reads_file(model, &weights));
    let mut options = ModelOptions::with_all_ops();
    for (file, bytes) in weights {
        options.external_data(&file, bytes);
    }
    let mut bytes = bytes;
    let mut first = None;
    for (optimise, infer) in [
        (true, ShapeInferenceMode::On),
        (true, ShapeInferenceMode::Off),
        (false, ShapeInferenceMode::Off),
    ] {
        options.enable_optimization(optimise).shape_inference(infer);
        let again = match (path, bytes.take()) {
            (Some(_), _) => Vec::new(),
            (None, Some(bytes)) => bytes,
            (None, None) => model.bytes()?.into_owned(),
        };
        let attempt = || match path {
            Some(path) => options.load_file(path),
            None => options.load(again),
        };
        let (error, last_word) = match catch_unwind(AssertUnwindSafe(attempt)) {
            Ok(Ok(graph)) => return Ok(graph),
            Ok(Err(e)) => refusal(&e, name),
            Err(_) => {
                let text = format!("{name} cannot be loaded: the engine gave up on its graph");
                (Error::invalid(text), false)
            }
        };
        let first = first.get_or_insert(error);
        if last_word {
            return Err(first.clone());
        }
        log::debug!("{}", first.message());
    }
    Err(first.unwrap_or_else(|| err!(EINVAL, "{name} cannot be loaded")))
}

/// What the engine says, and whether that is its last word.
fn refusal(error: &LoadError, name: &str) -> (Error, bool) {
    match error.kind() {
        LoadErrorKind::OperatorInvalid => (
            err!(
                ENOTSUP,
                "{name}: {error}; the README of the onnx plugin lists what there is"
            ),
            true,
        ),
        LoadErrorKind::OptimizeError | LoadErrorKind::ShapeInferenceFailed => {
            (err!(EINVAL, "{name} cannot be loaded: {error}"), false)
        }
        _ => (err!(EINVAL, "{name} cannot be loaded: {error}"), true),
    }
}

/// Refuses tensors beyond all measure, as far as their shapes are known before a run:
/// the engine ends the process when there is no memory for them.
///
/// # Errors
/// `ERANGE` with the name of the value.
pub(crate) fn check_sizes(graph: &Model, values: &[String], name: &str) -> Result<()> {
    for value in values {
        let info = graph
            .find_node(value)
            .and_then(|node| graph.node_info(node));
        let Some(dims) = info.and_then(|info| info.shape()) else {
            continue;
        };
        let count = dims.iter().try_fold(1_u64, |count, dim| match dim {
            Dimension::Fixed(length) => Some(count.saturating_mul(*length as u64)),
            Dimension::Symbolic(_) => None,
        });
        if let Some(count) = count.filter(|count| *count > MAX_ELEMENTS) {
            bail!(
                ERANGE,
                "{name} makes a tensor of {count} elements (`{value}`), more than {MAX_ELEMENTS}"
            );
        }
    }
    Ok(())
}
