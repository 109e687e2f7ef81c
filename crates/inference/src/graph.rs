//! The contract of a loaded model: its tensors, and one way to run it.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};
use vaccel_plugin::{Dtype, Result, Shape, TensorOut};

use crate::port::Port;

/// A model that a runtime has loaded. Runs may overlap, from several threads; what
/// cannot bear that is its own to lock.
pub trait Graph: Send + Sync + 'static {
    /// Inputs, in the model's order.
    fn inputs(&self) -> &[Port];

    /// Outputs, in the model's order.
    fn outputs(&self) -> &[Port];

    /// Runs it once.
    ///
    /// Every input comes once, of the type and shape that its port allows; inputs that
    /// the caller left out are missing only where [`Port::optional`] is set. Every output
    /// is asked for at most once and must be written.
    ///
    /// # Errors
    /// What the runtime says: most often shapes that do not go together.
    fn run(&self, inputs: &[Input<'_>], outputs: &mut [Output<'_, '_>]) -> Result<()>;

    /// [`run`](Self::run) with the run options of the framework's own calls.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    fn run_with(
        &self,
        options: &[u8],
        inputs: &[Input<'_>],
        outputs: &mut [Output<'_, '_>],
    ) -> Result<()> {
        let _ = options;
        self.run(inputs, outputs)
    }

    /// Index of an input, or output, that a name means which is not its port's: what the
    /// framework's own calls name it, say.
    fn also_called(&self, input: bool, name: &str) -> Option<usize> {
        let _ = (input, name);
        None
    }

    /// Format: `onnx`, `tflite`, ...
    fn format(&self) -> &'static str;

    /// What the file says of itself, by key.
    fn properties(&self) -> BTreeMap<String, String> {
        BTreeMap::new()
    }

    /// Further facts as a JSON object, for the model info.
    fn facts(&self) -> Json {
        json!({})
    }

    /// False when a file that it was read from was changed meanwhile.
    fn is_current(&self) -> bool {
        true
    }

    /// Address of what sessions share that have loaded the same model: requests of all whose
    /// address is the same may run together. `None` where each session has its own.
    fn shared(&self) -> Option<usize> {
        None
    }
}

impl<G: Graph> Graph for std::sync::Arc<G> {
    fn inputs(&self) -> &[Port] {
        (**self).inputs()
    }

    fn outputs(&self) -> &[Port] {
        (**self).outputs()
    }

    fn run(&self, inputs: &[Input<'_>], outputs: &mut [Output<'_, '_>]) -> Result<()> {
        (**self).run(inputs, outputs)
    }

    fn run_with(
        &self,
        options: &[u8],
        inputs: &[Input<'_>],
        outputs: &mut [Output<'_, '_>],
    ) -> Result<()> {
        (**self).run_with(options, inputs, outputs)
    }

    fn also_called(&self, input: bool, name: &str) -> Option<usize> {
        (**self).also_called(input, name)
    }

    fn format(&self) -> &'static str {
        (**self).format()
    }

    fn properties(&self) -> BTreeMap<String, String> {
        (**self).properties()
    }

    fn facts(&self) -> Json {
        (**self).facts()
    }

    fn is_current(&self) -> bool {
        (**self).is_current()
    }

    fn shared(&self) -> Option<usize> {
        Some(std::sync::Arc::as_ptr(self).addr())
    }
}

/// A tensor for an input. Its bytes are the caller's memory, or the transport's.
#[derive(Debug, Clone)]
pub struct Input<'a> {
    /// Index of the input.
    pub port: usize,
    /// Type of the elements.
    pub dtype: Dtype,
    /// Lengths of the dimensions.
    pub shape: Shape,
    /// The elements, row-major; of any alignment.
    pub bytes: &'a [u8],
}

/// Where an output goes.
#[derive(Debug)]
pub struct Output<'o, 'a> {
    /// Index of the output.
    pub port: usize,
    /// The place for it.
    pub to: &'o mut TensorOut<'a>,
}
