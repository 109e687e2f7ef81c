//! The neutral model API over a [`Graph`].

use std::sync::Arc;

use serde_json::{Value as Json, json};
use vaccel_plugin::{
    Error, Model, ModelInfo, Result, Shape, TensorInfo, TensorOut, TensorView, bail, err,
};
use vaccel_vision::{Description, Vision};

use crate::batch::Queue;
use crate::graph::{Graph, Input, Output};
use crate::port::{self, Port};
use crate::settings::Settings;
use crate::source::Source;
use crate::virtual_tensor;

/// Names that begin so are not the model's own.
pub(crate) const VIRTUAL: &str = "vaccel.";

/// A model as a session has it: the graph, how it takes pictures, and the session's own
/// settings.
pub struct Loaded<G> {
    pub(crate) graph: G,
    /// What the errors call it.
    pub(crate) name: String,
    vision: Result<Option<Vision>>,
    settings: Settings,
    /// Where its requests meet those of other sessions, or why they cannot.
    batching: Option<Result<Arc<Queue>, String>>,
}

impl<G: Graph> Loaded<G> {
    /// Joins a graph with the description of its source.
    pub(crate) fn new(
        graph: G,
        source: &Source<'_>,
        settings: Settings,
        batching: Option<Result<Arc<Queue>, String>>,
    ) -> Self {
        let vision = make_vision(source, &graph);
        Self {
            graph,
            name: source.model.name.clone(),
            vision,
            settings,
            batching,
        }
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

    /// Resolves names and positions, checks types and shapes.
    pub(crate) fn bind<'a>(
        &self,
        inputs: impl Iterator<Item = &'a TensorView<'a>>,
    ) -> Result<Vec<Input<'a>>> {
        let ports = self.graph.inputs();
        let mut bound: Vec<Input<'a>> = Vec::with_capacity(ports.len());
        for (position, tensor) in inputs.enumerate() {
            let at = self.find(true, tensor.name(), position)?;
            if bound.iter().any(|input| input.port == at) {
                bail!(EINVAL, "input `{}` is given twice", ports[at].name);
            }
            ports[at].check(tensor)?;
            bound.push(Input {
                port: at,
                dtype: tensor.dtype(),
                shape: Shape::new(tensor.shape())?,
                bytes: tensor.bytes(),
            });
        }
        Ok(bound)
    }

    /// Index of the input or output that a caller means: by name, else by position.
    ///
    /// # Errors
    /// `EINVAL` with the names there are.
    pub(crate) fn find(&self, input: bool, name: Option<&str>, position: usize) -> Result<usize> {
        let (kind, ports) = if input {
            ("input", self.graph.inputs())
        } else {
            ("output", self.graph.outputs())
        };
        port::find(kind, ports, name, position).or_else(|e| {
            name.and_then(|name| self.graph.also_called(input, name))
                .ok_or(e)
        })
    }

    /// `EINVAL` with the name of an input that has no value.
    pub(crate) fn check_complete(&self, bound: &[Input<'_>]) -> Result<()> {
        let missing = |(at, port): &(usize, &Port)| {
            !port.optional && !bound.iter().any(|input| input.port == *at)
        };
        match self.graph.inputs().iter().enumerate().find(missing) {
            None => Ok(()),
            Some((_, port)) => Err(err!(
                EINVAL,
                "input `{}` ({}) is missing",
                port.name,
                port.signature()
            )),
        }
    }

    fn run_own(
        &self,
        options: &[u8],
        inputs: &[TensorView<'_>],
        outputs: &mut [TensorOut<'_>],
    ) -> Result<()> {
        let bound = self.bind(inputs.iter())?;
        self.check_complete(&bound)?;
        let ports = self.graph.outputs();
        let mut wanted = Vec::with_capacity(outputs.len());
        for (position, out) in outputs.iter_mut().enumerate() {
            let port = self.find(false, out.name(), position)?;
            check_room(&ports[port], out)?;
            wanted.push(Output { port, to: out });
        }
        self.compute(options, &bound, &mut wanted)
    }

    /// Runs the graph; an output that is asked for twice is computed once.
    ///
    /// # Errors
    /// What the runtime says.
    pub(crate) fn compute(
        &self,
        options: &[u8],
        inputs: &[Input<'_>],
        outputs: &mut [Output<'_, '_>],
    ) -> Result<()> {
        let first = |outputs: &[Output<'_, '_>], at: usize| {
            outputs[..at]
                .iter()
                .position(|earlier| earlier.port == outputs[at].port)
        };
        let again: Vec<(usize, usize)> = (0..outputs.len())
            .filter_map(|at| Some((at, first(outputs, at)?)))
            .collect();
        if again.is_empty() {
            return self.run_graph(options, inputs, outputs);
        }
        let mut once: Vec<Output<'_, '_>> = Vec::with_capacity(outputs.len());
        for (at, output) in outputs.iter_mut().enumerate() {
            if !again.iter().any(|(repeated, _)| *repeated == at) {
                once.push(Output {
                    port: output.port,
                    to: &mut *output.to,
                });
            }
        }
        self.run_graph(options, inputs, &mut once)?;
        for (at, earlier) in again {
            let (before, rest) = outputs.split_at_mut(at);
            let from = before[earlier].to.view()?;
            let shape = Shape::new(from.shape())?;
            rest[0].to.write(from.dtype(), shape.dims(), from.bytes())?;
        }
        Ok(())
    }

    /// Runs it, with requests of others where they may be joined.
    fn run_graph(
        &self,
        options: &[u8],
        inputs: &[Input<'_>],
        outputs: &mut [Output<'_, '_>],
    ) -> Result<()> {
        match &self.batching {
            Some(Ok(queue)) if options.is_empty() => {
                queue.run(inputs, outputs, &|inputs, outputs| {
                    self.graph.run_with(&[], inputs, outputs)
                })
            }
            _ => self.graph.run_with(options, inputs, outputs),
        }
    }

    /// The facts that have no field of their own in the model info.
    fn metadata(&self) -> Json {
        let mut facts = self.graph.facts();
        facts["threads"] = json!(self.settings.threads);
        match &self.batching {
            Some(Ok(queue)) => facts["batching"] = queue.facts(),
            Some(Err(why)) => facts["batching"] = json!({ "off": why }),
            None => {}
        }
        match &self.vision {
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

impl<G: Graph> Model for Loaded<G> {
    fn info(&self) -> ModelInfo {
        let infos = |ports: &[Port]| -> Vec<TensorInfo> { ports.iter().map(Port::info).collect() };
        ModelInfo {
            format: self.graph.format().to_owned(),
            metadata: Some(self.metadata().to_string()),
            inputs: infos(self.graph.inputs()),
            outputs: infos(self.graph.outputs()),
        }
    }

    fn run(&self, inputs: &[TensorView<'_>], outputs: &mut [TensorOut<'_>]) -> Result<()> {
        self.run_with(&[], inputs, outputs)
    }

    fn run_with(
        &self,
        options: &[u8],
        inputs: &[TensorView<'_>],
        outputs: &mut [TensorOut<'_>],
    ) -> Result<()> {
        let names = inputs
            .iter()
            .map(TensorView::name)
            .chain(outputs.iter().map(TensorOut::name));
        if names.flatten().any(|name| name.starts_with(VIRTUAL)) {
            return virtual_tensor::run(self, inputs, outputs);
        }
        self.run_own(options, inputs, outputs)
    }
}

/// A buffer that is too small for a shape that is known, or another type than the caller
/// wants, is found before the model runs and not after.
pub(crate) fn check_room(port: &Port, out: &mut TensorOut<'_>) -> Result<()> {
    if let (Some(dims), Some(dtype), Some(_)) = (port.fixed_shape(), port.dtype, out.capacity()) {
        out.reserve(dtype, &dims)?;
    }
    Ok(())
}

/// The description, else what the file says of itself.
fn make_vision<G: Graph>(source: &Source<'_>, graph: &G) -> Result<Option<Vision>> {
    let shapes = |ports: &[Port]| ports.iter().map(Port::shape).collect::<Vec<_>>();
    let inputs = shapes(graph.inputs());
    let description = match source.description.clone()? {
        Some(description) => Some(description),
        None => Description::infer(&graph.properties(), &inputs, &shapes(graph.outputs())),
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
