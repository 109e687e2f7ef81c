//! A network with the threads of one session.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use rten::{NodeId, RunErrorKind, RunOptions, ThreadPool, Value, ValueOrView};
use serde_json::{Value as Json, json};
use vaccel_inference::{Graph, Input, Output, Port, Settings};
use vaccel_plugin::{Dtype, Result, TensorOut, bail, err};

use crate::deep_stack::with_stack_for;
use crate::dtype::{from_engine, of_output, to_engine};
use crate::network::Network;
use crate::threads;

/// A model as a session has it: the shared network and the session's own threads.
pub struct OnnxModel {
    network: Arc<Network>,
    pool: Arc<ThreadPool>,
    /// The network's, with the batch that the session asked for.
    inputs: Vec<Port>,
}

impl OnnxModel {
    /// Runs a network on so many threads, and with so many pictures at once.
    pub(crate) fn new(network: Arc<Network>, settings: &Settings) -> Self {
        let mut inputs = network.inputs.clone();
        for port in &mut inputs {
            port.set_batch(settings.batch);
        }
        Self {
            pool: threads::pool(settings.threads),
            network,
            inputs,
        }
    }

    /// Runs the graph; the outputs come in the order asked for, each once.
    fn compute(
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

    /// Writes an output in the type that the file declares.
    fn write(&self, port: usize, value: &Value, out: &mut TensorOut<'_>) -> Result<()> {
        use rten_tensor::Layout;
        let (declared, port) = (
            &self.network.header.outputs[port],
            &self.network.outputs[port],
        );
        let name = &port.name;
        let dtype: Option<Dtype> = match declared.elem {
            Some(elem) => elem.computable(),
            None => of_output(None, value),
        };
        let Some(dtype) = dtype else {
            bail!(
                ENOTSUP,
                "output `{name}` is {}, which no tensor holds; ask for the others by name",
                port.signature()
            );
        };
        let dims: Result<Vec<i64>, _> = value.shape().iter().map(|&d| i64::try_from(d)).collect();
        let dims = dims.map_err(|_| err!(ERANGE, "output `{name}` is too large"))?;
        from_engine(name, value, dtype, out.reserve(dtype, &dims)?)
    }
}

impl Graph for OnnxModel {
    fn inputs(&self) -> &[Port] {
        &self.inputs
    }

    fn outputs(&self) -> &[Port] {
        &self.network.outputs
    }

    fn run(&self, inputs: &[Input<'_>], outputs: &mut [Output<'_, '_>]) -> Result<()> {
        let network = &self.network;
        let mut bound = Vec::with_capacity(inputs.len());
        for input in inputs {
            let name = &network.inputs[input.port].name;
            let shape = input.shape.dims().iter().map(|&d| usize::try_from(d));
            let shape: Vec<usize> = shape
                .collect::<Result<_, _>>()
                .map_err(|_| err!(ERANGE, "input `{name}` is too large"))?;
            let value = to_engine(name, input.dtype, &shape, input.bytes)?;
            bound.push((network.input_nodes[input.port], value));
        }
        // Outputs of two names may be one node.
        let mut nodes: Vec<NodeId> = Vec::with_capacity(outputs.len());
        for output in outputs.iter() {
            let node = network.output_nodes[output.port];
            if !nodes.contains(&node) {
                nodes.push(node);
            }
        }
        let values = self.compute(bound, &nodes)?;
        for output in outputs {
            let node = network.output_nodes[output.port];
            let at = nodes.iter().position(|n| *n == node);
            // Each node was put into the list above.
            if let Some(value) = at.and_then(|at| values.get(at)) {
                self.write(output.port, value, output.to)?;
            }
        }
        Ok(())
    }

    fn format(&self) -> &'static str {
        "onnx"
    }

    fn properties(&self) -> BTreeMap<String, String> {
        self.network.header.metadata.clone()
    }

    fn facts(&self) -> Json {
        let header = &self.network.header;
        json!({
            "producer": header.producer,
            "producer_version": header.producer_version,
            "ir_version": header.ir_version,
            "opset": header.opsets.get("ai.onnx"),
            "opsets": header.opsets,
            "graph": header.graph,
            "nodes": header.nodes,
            "parameters": header.parameters,
            "properties": header.metadata,
            "differs": self.network.differing(),
        })
    }

    fn is_current(&self) -> bool {
        self.network.is_current()
    }

    fn shared(&self) -> Option<usize> {
        Some(Arc::as_ptr(&self.network).addr())
    }
}
