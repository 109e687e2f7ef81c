//! Name, type and shape of an input or output.

use std::borrow::Cow;

use vaccel_plugin::abi::model::TENSOR_MAX_RANK;
use vaccel_plugin::{Dtype, Result, TensorInfo, TensorView, bail, err, find_tensor};
use vaccel_vision::{ElementType, TensorShape};

/// An input or output of a loaded model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// Its name.
    pub name: String,
    /// Type that programs see; `None` where it is not known or no tensor has it.
    pub dtype: Option<Dtype>,
    /// What errors call the type: `f32`, `string`.
    pub type_name: Cow<'static, str>,
    /// Each length is `None` where any will do; the whole is `None` where even the rank
    /// is open.
    pub dims: Option<Vec<Option<usize>>>,
    /// Names of open dimensions, such as `batch`; may be shorter than `dims`.
    pub symbols: Vec<Option<String>>,
    /// True for an input that a run can do without.
    pub optional: bool,
}

impl Port {
    /// A port of a type that tensors have; a length below 0 is an open one.
    ///
    /// # Errors
    /// `ENOTSUP` for more dimensions than a tensor can have.
    pub fn new(name: impl Into<String>, dtype: Dtype, dims: Option<&[i64]>) -> Result<Self> {
        let port = Self {
            name: name.into(),
            dtype: Some(dtype),
            type_name: dtype.name().into(),
            dims: dims.map(|dims| dims.iter().map(|&d| usize::try_from(d).ok()).collect()),
            symbols: Vec::new(),
            optional: false,
        };
        port.check_rank()?;
        Ok(port)
    }

    /// `ENOTSUP` for more dimensions than a tensor can have.
    ///
    /// # Errors
    /// See above.
    pub fn check_rank(&self) -> Result<()> {
        let rank = self.dims.as_ref().map_or(0, Vec::len);
        if rank > TENSOR_MAX_RANK {
            bail!(
                ENOTSUP,
                "tensor `{}` has {rank} dimensions, more than {TENSOR_MAX_RANK}",
                self.name
            );
        }
        Ok(())
    }

    /// Sets an open first dimension; 0 leaves it open.
    pub fn set_batch(&mut self, batch: usize) {
        if let (Some(first), 1..) = (self.dims.as_mut().and_then(|d| d.first_mut()), batch) {
            first.get_or_insert(batch);
        }
    }

    /// Name, type and shape for programs; no shape at all counts as rank 0.
    #[must_use]
    pub fn info(&self) -> TensorInfo {
        let length = |dim: &Option<usize>| dim.and_then(|d| i64::try_from(d).ok()).unwrap_or(-1);
        TensorInfo {
            name: self.name.clone(),
            dtype: self.dtype,
            shape: self.dims.iter().flatten().map(length).collect(),
        }
    }

    /// Type and shape as errors show them: `f32 [N,1,8,8]`.
    #[must_use]
    pub fn signature(&self) -> String {
        let Some(dims) = &self.dims else {
            return format!("{} of any shape", self.type_name);
        };
        let dim = |(at, dim): (usize, &Option<usize>)| {
            let symbol = self.symbols.get(at).cloned().flatten();
            dim.map_or_else(
                || symbol.unwrap_or_else(|| "?".to_owned()),
                |length| length.to_string(),
            )
        };
        let dims: Vec<String> = dims.iter().enumerate().map(dim).collect();
        format!("{} [{}]", self.type_name, dims.join(","))
    }

    /// The lengths, where all of them are known.
    #[must_use]
    pub fn fixed_shape(&self) -> Option<Vec<i64>> {
        let length = |dim: &Option<usize>| i64::try_from((*dim)?).ok();
        self.dims.as_ref()?.iter().map(length).collect()
    }

    /// What the description of a picture is compared with. Where a file says nothing of a tensor,
    /// the description has the last word, and pictures are f32.
    #[must_use]
    pub fn shape(&self) -> TensorShape {
        TensorShape {
            name: self.name.clone(),
            dims: self.dims.clone().unwrap_or_else(|| vec![None; 4]),
            element: match self.dtype {
                None if self.dims.is_none() => ElementType::F32,
                Some(Dtype::F32) => ElementType::F32,
                Some(Dtype::F16) => ElementType::F16,
                Some(Dtype::U8) => ElementType::U8,
                _ => ElementType::Other,
            },
        }
    }

    /// Compares a tensor with what the model takes.
    ///
    /// # Errors
    /// `EINVAL` with both sides.
    pub(crate) fn check(&self, tensor: &TensorView<'_>) -> Result<()> {
        let fits = |(dim, want): (&i64, &Option<usize>)| {
            want.is_none_or(|want| usize::try_from(*dim) == Ok(want))
        };
        let shape_fits = self.dims.as_ref().is_none_or(|dims| {
            dims.len() == tensor.shape().len() && tensor.shape().iter().zip(dims).all(fits)
        });
        let type_fits = match self.dtype {
            Some(dtype) => dtype == tensor.dtype(),
            None => !matches!(tensor.dtype(), Dtype::Native(_)),
        };
        if shape_fits && type_fits {
            return Ok(());
        }
        let dims: Vec<String> = tensor.shape().iter().map(i64::to_string).collect();
        Err(err!(
            EINVAL,
            "input `{}`: expected {}, got {} [{}]",
            self.name,
            self.signature(),
            tensor.dtype(),
            dims.join(",")
        ))
    }
}

/// Index of the port that a caller means: by name, else by position.
///
/// # Errors
/// `EINVAL` with the names there are.
pub(crate) fn find(
    kind: &str,
    ports: &[Port],
    name: Option<&str>,
    position: usize,
) -> Result<usize> {
    match name {
        Some(name) => match ports.iter().position(|port| port.name == name) {
            Some(at) => Ok(at),
            None => {
                let infos: Vec<TensorInfo> = ports.iter().map(Port::info).collect();
                find_tensor(kind, &infos, Some(name), position)
            }
        },
        None if position < ports.len() => Ok(position),
        None => Err(err!(
            EINVAL,
            "{kind} number {position}: the model has {} of them",
            ports.len()
        )),
    }
}
