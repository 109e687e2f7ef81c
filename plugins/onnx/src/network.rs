//! A loaded model: the engine's graph, and what a program may know of it.

use std::path::{Path, PathBuf};

use rten::{Model, NodeId};
use vaccel_inference::{Identity, Item, Port, Source};
use vaccel_plugin::abi::model::TENSOR_MAX_RANK;
use vaccel_plugin::{Result, bail, err};

use crate::deep_stack::with_stack_for;
use crate::dtype::Elem;
use crate::engine::{self, Weights};
use crate::graph::Survey;
use crate::header::{self, Header};

/// A model in memory. It holds no settings of a session: all that load the same
/// file share it.
pub(crate) struct Network {
    pub(crate) graph: Model,
    pub(crate) header: Header,
    /// What the errors call it.
    pub(crate) name: String,
    pub(crate) inputs: Vec<Port>,
    pub(crate) outputs: Vec<Port>,
    /// Where inputs and outputs are in the graph, in the same order.
    pub(crate) input_nodes: Vec<NodeId>,
    pub(crate) output_nodes: Vec<NodeId>,
    /// Longest row of nodes.
    pub(crate) depth: usize,
    /// Operators whose results differ from the standard's, and how.
    differing: Vec<&'static str>,
    /// Files with weights, as they were when they were read.
    external: Vec<(PathBuf, Identity)>,
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
        vaccel_inference::format::require_onnx(&bytes, &name)?;
        let header = Header::read(&bytes, &name)?;
        let survey = Survey::of(&bytes, &name)?;
        let depth = survey.depth;
        let differing = survey.differing.into_iter().collect();
        let values: Vec<String> = survey.values.into_iter().map(str::to_owned).collect();
        let mut weights = Weights::new();
        let mut external = Vec::new();
        for file in &header.external {
            let item = weights_file(source, file)?;
            if let Some(path) = item.path() {
                external.push((path.to_owned(), item.identity()?));
            }
            weights.push((file.clone(), item.bytes()?.into_owned()));
        }
        // Only one copy of the file at a time.
        let bytes = (!engine::reads_file(&source.model, &weights)).then(|| bytes.into_owned());
        let graph = with_stack_for(depth, || engine::load(&source.model, bytes, weights))??;
        engine::check_sizes(&graph, &values, &name)?;
        let ports = |declared: &[header::Port], kind, must| -> Result<(Vec<Port>, Vec<NodeId>)> {
            let ports = declared.iter().map(|d| port(d, kind, must, &graph));
            ports.collect::<Result<_>>().map_err(|e| e.context(&name))
        };
        let (inputs, input_nodes) = ports(&header.inputs, "input", true)?;
        let (outputs, output_nodes) = ports(&header.outputs, "output", false)?;
        Ok(Self {
            graph,
            header,
            name,
            inputs,
            outputs,
            input_nodes,
            output_nodes,
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
}

/// Joins what the file declares with what the engine can do.
///
/// # Errors
/// `ENOTSUP` for a type or rank that cannot be had, `EINVAL` for an input without one.
fn port(declared: &header::Port, kind: &str, must: bool, graph: &Model) -> Result<(Port, NodeId)> {
    let name = &declared.name;
    let rank = declared.dims.as_ref().map_or(0, Vec::len);
    if rank > TENSOR_MAX_RANK {
        bail!(
            ENOTSUP,
            "{kind} `{name}` has {rank} dimensions, more than {TENSOR_MAX_RANK}"
        );
    }
    let dtype = match declared.elem.map(|elem| (elem, elem.computable())) {
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
    let port = Port {
        name: name.clone(),
        dtype,
        type_name: declared.elem.map_or("a tensor", Elem::name).into(),
        dims: declared.dims.clone(),
        symbols: declared.symbols.clone(),
        optional: false,
    };
    Ok((port, node))
}

/// A file with weights, by the name the model gives it.
///
/// # Errors
/// `ENOENT` when it is not there, `ENOTSUP` for names that the engine refuses.
fn weights_file<'a>(source: &Source<'a>, name: &str) -> Result<Item<'a>> {
    let extension = Path::new(name).extension().and_then(|e| e.to_str());
    let known = extension.is_some_and(|e| e.starts_with("data") || e.starts_with("onnx_data"));
    if !known || name.contains('/') {
        bail!(
            ENOTSUP,
            "{} keeps weights in `{name}`; only files beside the model and named *.data or \
             *.onnx_data are read: save it anew with onnx.save_model(..., location=\"model.data\")",
            source.model.name
        );
    }
    source.find(name).ok_or_else(|| {
        err!(
            ENOENT,
            "{} keeps weights in `{name}`, which is not beside it; register both files, or the folder",
            source.model.name
        )
    })
}
