//! A loaded model: the engine's graph, and what a program may know of it.

use std::path::PathBuf;

use rten::{Model, NodeId};
use vaccel_plugin::abi::model::TENSOR_MAX_RANK;
use vaccel_plugin::{Dtype, Error, Result, TensorInfo, bail, err};
use vaccel_vision::{Description, ElementType, TensorShape, Vision};

use crate::deep_stack::with_stack_for;
use crate::dtype::Elem;
use crate::engine::{self, Weights};
use crate::format;
use crate::graph::Survey;
use crate::header::{Header, Port};
use crate::item::{Identity, Item};
use crate::source::Source;

/// A model in memory. It holds no settings of a session: all that load the same
/// file share it.
pub(crate) struct Network {
    pub(crate) graph: Model,
    pub(crate) header: Header,
    /// What the errors call it.
    pub(crate) name: String,
    pub(crate) inputs: Vec<Slot>,
    pub(crate) outputs: Vec<Slot>,
    /// How it takes pictures, where it is described.
    pub(crate) vision: Result<Option<Vision>>,
    /// Longest row of nodes.
    pub(crate) depth: usize,
    /// Operators whose results differ from the standard's, and how.
    differing: Vec<&'static str>,
    /// Files with weights, as they were when they were read.
    external: Vec<(PathBuf, Identity)>,
}

/// An input or output.
pub(crate) struct Slot {
    pub(crate) port: Port,
    /// Type that programs see; `None` for outputs of types that no tensor has.
    pub(crate) dtype: Option<Dtype>,
    pub(crate) node: NodeId,
}

impl std::fmt::Debug for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Network({})", self.name)
    }
}

impl Network {
    /// Reads, checks and loads a model.
    ///
    /// # Errors
    /// `ENOTSUP` for another format, operators or types that the engine lacks;
    /// `EINVAL` for a damaged file; what the system says for files out of reach.
    pub(crate) fn load(source: &Source) -> Result<Self> {
        let name = source.model.name.clone();
        let bytes = source.model.bytes()?;
        format::require_onnx(&bytes, &name)?;
        let header = Header::read(&bytes, &name)?;
        let survey = Survey::of(&bytes, &name)?;
        let depth = survey.depth;
        let differing = survey.differing.into_iter().collect();
        let values: Vec<String> = survey.values.into_iter().map(str::to_owned).collect();
        let mut weights = Weights::new();
        let mut external = Vec::new();
        for file in &header.external {
            let item = source.external(file)?;
            if let Some(path) = item.path() {
                external.push((path.to_owned(), item.identity()?));
            }
            weights.push((file.clone(), item.bytes()?.into_owned()));
        }
        // Only one copy of the file at a time.
        let bytes = (!engine::reads_file(&source.model, &weights)).then(|| bytes.into_owned());
        let graph = with_stack_for(depth, || engine::load(&source.model, bytes, weights))??;
        engine::check_sizes(&graph, &values, &name)?;
        let slots = |ports: &[Port], kind, must| -> Result<Vec<Slot>> {
            let slot = |port: &Port| Slot::new(port, kind, must, &graph);
            let slots = ports.iter().map(slot).collect::<Result<_>>();
            slots.map_err(|e| e.context(&name))
        };
        let inputs = slots(&header.inputs, "input", true)?;
        let outputs = slots(&header.outputs, "output", false)?;
        let vision = make_vision(source, &header, &inputs, &outputs);
        Ok(Self {
            graph,
            header,
            name,
            inputs,
            outputs,
            vision,
            depth,
            differing,
            external,
        })
    }

    /// False when a file with weights was changed after it was read.
    pub(crate) fn is_current(&self) -> bool {
        self.external
            .iter()
            .all(|(path, then)| Item::file(path).identity().is_ok_and(|now| now == *then))
    }

    /// Operators whose results differ from the standard's, and how.
    pub(crate) fn differing(&self) -> &[&'static str] {
        &self.differing
    }

    /// Refuses a model with operators that give other results here than elsewhere.
    ///
    /// # Errors
    /// `ENOTSUP` with the operators and the way to run it all the same.
    pub(crate) fn require_exact(&self) -> Result<()> {
        if self.differing.is_empty() {
            return Ok(());
        }
        Err(err!(
            ENOTSUP,
            "{}: in this backend, {}; use another ONNX backend, or load it with the option \
             approximate=1 if that does not matter",
            self.name,
            self.differing.join(", and ")
        ))
    }

    /// How it takes pictures.
    ///
    /// # Errors
    /// `EINVAL` without a description, or with one that is of no use.
    pub(crate) fn vision(&self) -> Result<&Vision> {
        match &self.vision {
            Ok(Some(vision)) => Ok(vision),
            Ok(None) => Err(err!(
                EINVAL,
                "{} has no description, so it is not known how it takes a picture; put a model.toml \
                 beside it (docs/model-description.md)",
                self.name
            )),
            Err(e) => Err(e.clone()),
        }
    }
}

impl Slot {
    fn new(port: &Port, kind: &str, must: bool, graph: &Model) -> Result<Self> {
        let name = &port.name;
        let rank = port.dims.as_ref().map_or(0, Vec::len);
        if rank > TENSOR_MAX_RANK {
            bail!(
                ENOTSUP,
                "{kind} `{name}` has {rank} dimensions, more than {TENSOR_MAX_RANK}"
            );
        }
        let dtype = match port.elem.map(|elem| (elem, elem.computable())) {
            Some((_, Some(dtype))) => Some(dtype),
            Some((elem, None)) if must => bail!(
                ENOTSUP,
                "{kind} `{name}` is {}; this backend takes f32, f64, f16, i64, i32, i8, u8 and bool",
                elem.name()
            ),
            None if must => bail!(EINVAL, "{kind} `{name}` has no type"),
            _ => None,
        };
        let node = graph
            .find_node(name)
            .ok_or_else(|| err!(EINVAL, "{kind} `{name}` is not in the graph"))?;
        Ok(Self {
            port: port.clone(),
            dtype,
            node,
        })
    }

    /// Name, type and shape for programs; no shape at all counts as rank 0.
    pub(crate) fn info(&self) -> TensorInfo {
        let length = |dim: &Option<usize>| dim.and_then(|d| i64::try_from(d).ok()).unwrap_or(-1);
        TensorInfo {
            name: self.port.name.clone(),
            dtype: self.dtype,
            shape: self.port.dims.iter().flatten().map(length).collect(),
        }
    }

    /// Type and shape as errors show them: `f32 [N,1,8,8]`.
    pub(crate) fn signature(&self) -> String {
        let elem = self.port.elem.map_or("a tensor", Elem::name);
        let Some(dims) = &self.port.dims else {
            return format!("{elem} of any shape");
        };
        let dim = |(dim, symbol): (&Option<usize>, &Option<String>)| match (dim, symbol) {
            (Some(length), _) => length.to_string(),
            (None, Some(symbol)) => symbol.clone(),
            (None, None) => "?".to_owned(),
        };
        let dims: Vec<String> = dims.iter().zip(&self.port.symbols).map(dim).collect();
        format!("{elem} [{}]", dims.join(","))
    }

    fn shape(&self) -> TensorShape {
        TensorShape {
            name: self.port.name.clone(),
            dims: self.port.dims.clone().unwrap_or_default(),
            element: match self.dtype {
                Some(Dtype::F32) => ElementType::F32,
                Some(Dtype::F16) => ElementType::F16,
                Some(Dtype::U8) => ElementType::U8,
                _ => ElementType::Other,
            },
        }
    }
}

/// The description, else what the file says of itself.
fn make_vision(
    source: &Source,
    header: &Header,
    inputs: &[Slot],
    outputs: &[Slot],
) -> Result<Option<Vision>> {
    let shapes = |slots: &[Slot]| slots.iter().map(Slot::shape).collect::<Vec<_>>();
    let inputs = shapes(inputs);
    let description = match source.description.clone()? {
        Some(description) => Some(description),
        None => Description::infer(&header.metadata, &inputs, &shapes(outputs)),
    };
    let Some(description) = description else {
        return Ok(None);
    };
    let described_by = source
        .described_by
        .first()
        .map_or(&source.model, |item| item);
    let failed = |e| Error::invalid(format!("{}: {e}", described_by.name));
    Vision::new(description, &inputs).map(Some).map_err(failed)
}
