//! The neutral model API over a [`Network`].

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use rten::{NodeId, RunErrorKind, RunOptions, ThreadPool, Value, ValueOrView};
use serde_json::{Value as Json, json};
use vaccel_plugin::{
    Dtype, Model, ModelInfo, Result, TensorInfo, TensorOut, TensorView, bail, err, find_tensor,
};

use crate::deep_stack::with_stack_for;
use crate::dtype::{from_engine, of_output, to_engine};
use crate::network::{Network, Slot};
use crate::{threads, virtual_tensor};

/// Names that begin so are not the model's own.
pub(crate) const VIRTUAL: &str = "vaccel.";

/// A model as a session has it: the shared network and the session's own settings.
pub(crate) struct OnnxModel {
    network: Arc<Network>,
    pool: Arc<ThreadPool>,
    threads: usize,
}

impl OnnxModel {
    /// Runs a network on so many threads.
    ///
    /// # Errors
    /// `EINVAL` for a number of threads that makes no sense.
    pub(crate) fn new(network: Arc<Network>, threads: usize) -> Result<Self> {
        let pool = threads::pool(threads)?;
        Ok(Self {
            network,
            pool,
            threads,
        })
    }

    pub(crate) fn network(&self) -> &Network {
        &self.network
    }

    /// Runs the graph; the outputs come in the order asked for, each once.
    ///
    /// # Errors
    /// `EINVAL` with what the engine says: most often shapes that do not go together.
    pub(crate) fn compute(
        &self,
        inputs: Vec<(NodeId, ValueOrView<'_>)>,
        outputs: &[NodeId],
    ) -> Result<Vec<Value>> {
        let options = RunOptions::default().with_thread_pool(Some(Arc::clone(&self.pool)));
        let run = || self.network.graph.run(inputs, outputs, Some(options));
        let deep = || with_stack_for(self.network.depth, run);
        let name = &self.network.name;
        match catch_unwind(AssertUnwindSafe(deep)) {
            Ok(Ok(Ok(values))) => Ok(values),
            Ok(Ok(Err(e))) if e.kind() == RunErrorKind::PlanningError => {
                Err(err!(EINVAL, "{name} cannot be run: {e}"))
            }
            Ok(Ok(Err(e))) => Err(err!(EINVAL, "{name}: {e}")),
            Ok(Err(no_thread)) => Err(no_thread),
            Err(_) => Err(err!(
                EINVAL,
                "{name}: the engine gave up on these inputs (their shapes, or a damaged file)"
            )),
        }
    }

    /// Resolves names and positions, checks types and shapes, converts.
    pub(crate) fn bind<'a>(
        &self,
        inputs: impl Iterator<Item = &'a TensorView<'a>>,
    ) -> Result<Vec<(NodeId, ValueOrView<'a>)>> {
        let slots = &self.network.inputs;
        let mut bound: Vec<(NodeId, ValueOrView<'a>)> = Vec::with_capacity(slots.len());
        for (position, tensor) in inputs.enumerate() {
            let slot = &slots[find_slot("input", slots, tensor.name(), position)?];
            if bound.iter().any(|(node, _)| *node == slot.node) {
                bail!(EINVAL, "input `{}` is given twice", slot.port.name);
            }
            let shape = check(slot, tensor)?;
            let value = to_engine(&slot.port.name, tensor.dtype(), &shape, tensor.bytes())?;
            bound.push((slot.node, value));
        }
        Ok(bound)
    }

    /// `EINVAL` with the name of an input that has no value.
    pub(crate) fn check_complete(&self, bound: &[(NodeId, ValueOrView<'_>)]) -> Result<()> {
        let given = |slot: &&Slot| bound.iter().any(|(node, _)| *node == slot.node);
        match self.network.inputs.iter().find(|slot| !given(slot)) {
            None => Ok(()),
            Some(slot) => Err(err!(
                EINVAL,
                "input `{}` ({}) is missing",
                slot.port.name,
                slot.signature()
            )),
        }
    }

    fn run_own(&self, inputs: &[TensorView<'_>], outputs: &mut [TensorOut<'_>]) -> Result<()> {
        let bound = self.bind(inputs.iter())?;
        self.check_complete(&bound)?;
        let wanted = self.wanted(outputs)?;
        let mut nodes: Vec<NodeId> = Vec::with_capacity(wanted.len());
        for slot in &wanted {
            if !nodes.contains(&slot.node) {
                nodes.push(slot.node);
            }
        }
        let values = self.compute(bound, &nodes)?;
        for (slot, out) in wanted.iter().zip(outputs) {
            let value = nodes.iter().position(|node| *node == slot.node);
            // Each wanted node was put into the list above.
            if let Some(value) = value.and_then(|at| values.get(at)) {
                write(slot, value, out)?;
            }
        }
        Ok(())
    }

    /// The outputs asked for, and whether they will fit as far as that is known.
    fn wanted(&self, outputs: &mut [TensorOut<'_>]) -> Result<Vec<&Slot>> {
        let slots = &self.network.outputs;
        let mut wanted = Vec::with_capacity(outputs.len());
        for (position, out) in outputs.iter_mut().enumerate() {
            let slot = &slots[find_slot("output", slots, out.name(), position)?];
            self.check_room(slot, out)?;
            wanted.push(slot);
        }
        Ok(wanted)
    }

    /// A buffer that is too small for a shape that is known, or another type than
    /// the caller wants, is found before the model runs and not after.
    pub(crate) fn check_room(&self, slot: &Slot, out: &mut TensorOut<'_>) -> Result<()> {
        let dims: Option<Vec<i64>> = slot.port.dims.as_ref().and_then(|dims| {
            let length = |dim: &Option<usize>| i64::try_from((*dim)?).ok();
            dims.iter().map(length).collect()
        });
        if let (Some(dims), Some(dtype), Some(_)) = (dims, slot.dtype, out.capacity()) {
            out.reserve(dtype, &dims)?;
        }
        Ok(())
    }
}

fn find_slot(kind: &str, slots: &[Slot], name: Option<&str>, position: usize) -> Result<usize> {
    match name {
        Some(name) => match slots.iter().position(|slot| slot.port.name == name) {
            Some(at) => Ok(at),
            None => {
                let infos: Vec<TensorInfo> = slots.iter().map(Slot::info).collect();
                find_tensor(kind, &infos, Some(name), position)
            }
        },
        None if position < slots.len() => Ok(position),
        None => Err(err!(
            EINVAL,
            "{kind} number {position}: the model has {} of them",
            slots.len()
        )),
    }
}

/// Compares a tensor with what the model takes; gives its shape.
fn check(slot: &Slot, tensor: &TensorView<'_>) -> Result<Vec<usize>> {
    let fits = |(dim, want): (&i64, &Option<usize>)| {
        want.is_none_or(|want| usize::try_from(*dim) == Ok(want))
    };
    let shape_fits = slot.port.dims.as_ref().is_none_or(|dims| {
        dims.len() == tensor.shape().len() && tensor.shape().iter().zip(dims).all(fits)
    });
    let shape: Result<Vec<usize>, _> = tensor.shape().iter().map(|&d| usize::try_from(d)).collect();
    match shape {
        Ok(shape) if shape_fits && slot.dtype == Some(tensor.dtype()) => Ok(shape),
        _ => {
            let dims: Vec<String> = tensor.shape().iter().map(i64::to_string).collect();
            Err(err!(
                EINVAL,
                "input `{}`: expected {}, got {} [{}]",
                slot.port.name,
                slot.signature(),
                tensor.dtype(),
                dims.join(",")
            ))
        }
    }
}

/// Writes an output in the type that the file declares.
pub(crate) fn write(slot: &Slot, value: &Value, out: &mut TensorOut<'_>) -> Result<()> {
    use rten_tensor::Layout;
    let name = &slot.port.name;
    let dtype: Option<Dtype> = match slot.port.elem {
        Some(elem) => elem.computable(),
        None => of_output(None, value),
    };
    let Some(dtype) = dtype else {
        bail!(
            ENOTSUP,
            "output `{name}` is {}, which no tensor holds; ask for the others by name",
            slot.signature()
        );
    };
    let dims: Result<Vec<i64>, _> = value.shape().iter().map(|&d| i64::try_from(d)).collect();
    let dims = dims.map_err(|_| err!(ERANGE, "output `{name}` is too large"))?;
    from_engine(name, value, dtype, out.reserve(dtype, &dims)?)
}

impl Model for OnnxModel {
    fn info(&self) -> ModelInfo {
        let infos = |slots: &[Slot]| slots.iter().map(Slot::info).collect();
        ModelInfo {
            format: "onnx".to_owned(),
            metadata: Some(self.metadata().to_string()),
            inputs: infos(&self.network.inputs),
            outputs: infos(&self.network.outputs),
        }
    }

    fn run(&self, inputs: &[TensorView<'_>], outputs: &mut [TensorOut<'_>]) -> Result<()> {
        let names = inputs
            .iter()
            .map(TensorView::name)
            .chain(outputs.iter().map(TensorOut::name));
        if names.flatten().any(|name| name.starts_with(VIRTUAL)) {
            return virtual_tensor::run(self, inputs, outputs);
        }
        self.run_own(inputs, outputs)
    }
}

impl OnnxModel {
    /// The facts that have no field of their own in the model info.
    fn metadata(&self) -> Json {
        let header = &self.network.header;
        let mut facts = json!({
            "producer": header.producer,
            "producer_version": header.producer_version,
            "ir_version": header.ir_version,
            "opset": header.opsets.get("ai.onnx"),
            "opsets": header.opsets,
            "graph": header.graph,
            "nodes": header.nodes,
            "parameters": header.parameters,
            "threads": self.threads,
            "properties": header.metadata,
            "differs": self.network.differing(),
        });
        match &self.network.vision {
            Ok(Some(vision)) => {
                let description = vision.description();
                facts["description"] = json!({
                    "name": description.model.name,
                    "task": description.model.task.as_str(),
                    "description": description.model.description,
                    "license": description.model.license,
                    "format": description.output.format.as_str(),
                    "input_shape": vision.input_shape(),
                });
            }
            Ok(None) => {}
            Err(e) => facts["description_error"] = json!(e.message()),
        }
        facts
    }
}
