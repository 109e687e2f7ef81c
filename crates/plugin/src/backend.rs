//! The contract of a backend that runs models: load one, describe it, run it.

use crate::dtype::Dtype;
use crate::error::Result;
use crate::resource::Resource;
use crate::tensor::{TensorOut, TensorView};
use std::any::Any;

/// A loaded model. Runs of one model may overlap, from several threads; what
/// cannot bear that is the model's own to lock.
///
/// It is dropped when it is unloaded, or its resource unregistered, or its
/// session closed, after the last run is through.
pub trait Model: Any + Send + Sync {
    /// Format, and names, types and shapes of inputs and outputs.
    fn info(&self) -> ModelInfo;

    /// Runs it once. Inputs and outputs name what they are for, or count by
    /// position ([`find_tensor`] resolves both); every output must be written.
    ///
    /// Tensors that a program keeps from one run to the next are memory of the library
    /// here, and inputs point into it. A backend whose tensors are to stay on a device
    /// fills `tensor_keep`, `tensor_fetch` and `tensor_free` of the extension table
    /// ([`RawPlugin`](crate::raw::RawPlugin)).
    fn run(&self, inputs: &[TensorView<'_>], outputs: &mut [TensorOut<'_>]) -> Result<()>;

    /// [`run`](Self::run) with the run options of the framework's own calls
    /// (TensorFlow's serialised `RunOptions`, say), which are ignored unless
    /// this is implemented.
    fn run_with(
        &self,
        options: &[u8],
        inputs: &[TensorView<'_>],
        outputs: &mut [TensorOut<'_>],
    ) -> Result<()> {
        let _ = options;
        self.run(inputs, outputs)
    }
}

/// What to load: a registered resource of type model, and the calls it was
/// asked for with.
#[derive(Debug, Clone, Copy)]
pub struct ModelSource<'a> {
    resource: Resource<'a>,
    api: ModelApi,
}

impl<'a> ModelSource<'a> {
    /// A model to be loaded from a resource.
    #[must_use]
    pub fn new(resource: Resource<'a>, api: ModelApi) -> Self {
        Self { resource, api }
    }

    /// The resource: its files, folder and number.
    #[must_use]
    pub fn resource(&self) -> Resource<'a> {
        self.resource
    }

    /// The calls it was loaded with: a hint at its format.
    #[must_use]
    pub fn api(&self) -> ModelApi {
        self.api
    }
}

/// The four families of calls that load and run models.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ModelApi {
    /// `vaccel_model_*`: any format.
    Neutral,
    /// `vaccel_tf_model_*`.
    Tf,
    /// `vaccel_tflite_model_*`.
    Tflite,
    /// `vaccel_torch_model_*`.
    Torch,
}

/// Options of a load: `key=value,...`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options(Vec<(String, String)>);

impl Options {
    /// Parses `key=value,...`; spaces around keys and values do not count, a
    /// key alone has an empty value, the last of equal keys wins. `EINVAL` when
    /// a key is missing.
    pub fn parse(text: &str) -> Result<Self> {
        let mut options = Vec::new();
        for part in text.split(',').map(str::trim).filter(|p| !p.is_empty()) {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            if key.trim().is_empty() {
                crate::bail!(EINVAL, "option `{part}`: write it as key=value");
            }
            options.push((key.trim().to_owned(), value.trim().to_owned()));
        }
        Ok(Self(options))
    }

    /// The value of a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        let found = self.0.iter().rev().find(|(k, _)| k == key);
        found.map(|(_, value)| value.as_str())
    }

    /// The value of a key as a number or the like. `EINVAL` names key and value.
    pub fn get_parsed<T: std::str::FromStr>(&self, key: &str) -> Result<Option<T>> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        let parsed = value.parse().map_err(|_| {
            crate::err!(
                EINVAL,
                "option `{key}`: `{value}` is not a {}",
                std::any::type_name::<T>()
            )
        });
        parsed.map(Some)
    }

    /// `EINVAL` when there is a key that is not among these.
    pub fn expect_only(&self, known: &[&str]) -> Result<()> {
        match self.0.iter().find(|(k, _)| !known.contains(&k.as_str())) {
            None => Ok(()),
            Some((key, _)) => Err(crate::err!(
                EINVAL,
                "option `{key}` is not known; there are: {}",
                known.join(", ")
            )),
        }
    }

    /// All pairs, in the order given.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(k, v)| (k.as_str(), v.as_str()))
    }
}

/// What a backend knows of a loaded model.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ModelInfo {
    /// Format: `onnx`, `torchscript`, `savedmodel`, `graphdef`, `tflite`, ...
    pub format: String,
    /// Further facts as a JSON object.
    pub metadata: Option<String>,
    /// Inputs, in the model's order.
    pub inputs: Vec<TensorInfo>,
    /// Outputs, in the model's order.
    pub outputs: Vec<TensorInfo>,
}

/// Name, type and shape of an input or output.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TensorInfo {
    /// Name.
    pub name: String,
    /// Type; `None` when not known before a run.
    pub dtype: Option<Dtype>,
    /// Lengths of the dimensions, -1 where any length will do; at most 8.
    pub shape: Vec<i64>,
}

/// Index of the tensor that a caller means: by name, else by position. `EINVAL`
/// lists the names there are; `kind` is `input` or `output`.
pub fn find_tensor(
    kind: &str,
    tensors: &[TensorInfo],
    name: Option<&str>,
    position: usize,
) -> Result<usize> {
    let Some(name) = name else {
        if position < tensors.len() {
            return Ok(position);
        }
        return Err(crate::err!(
            EINVAL,
            "{kind} number {position}: the model has {} of them",
            tensors.len()
        ));
    };
    tensors.iter().position(|t| t.name == name).ok_or_else(|| {
        let names: Vec<&str> = tensors.iter().map(|t| t.name.as_str()).collect();
        crate::err!(
            EINVAL,
            "the model has no {kind} `{name}`; there are: {}",
            names.join(", ")
        )
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn options_are_pairs_and_the_last_one_wins() {
        let o = Options::parse(" threads = 4 ,device=cpu,, fast, threads=8").unwrap();
        assert_eq!(o.get("threads"), Some("8"));
        assert_eq!(o.get_parsed::<u32>("threads").unwrap(), Some(8));
        assert_eq!(o.get("fast"), Some(""));
        assert_eq!(o.get("none"), None);
        assert!(o.get_parsed::<u32>("device").is_err());
        assert!(o.expect_only(&["threads", "device"]).is_err());
        assert!(o.expect_only(&["threads", "device", "fast"]).is_ok());
        assert!(Options::parse("=4").is_err());
        assert_eq!(Options::parse("").unwrap(), Options::default());
    }

    #[test]
    fn tensors_are_found_by_name_or_position() {
        let tensors = ["x", "y"].map(|n| TensorInfo {
            name: n.into(),
            ..TensorInfo::default()
        });
        assert_eq!(find_tensor("input", &tensors, Some("y"), 0).unwrap(), 1);
        assert_eq!(find_tensor("input", &tensors, None, 1).unwrap(), 1);
        assert!(find_tensor("input", &tensors, None, 2).is_err());
        let e = find_tensor("input", &tensors, Some("z"), 0).unwrap_err();
        assert!(e.message().contains("x, y"));
    }
}
