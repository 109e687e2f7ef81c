//! A model whose outputs are its inputs.

use vaccel_plugin::{
    Model, ModelInfo, ModelSource, Options, Result, TensorInfo, TensorOut, TensorView, bail,
};

/// How many inputs and outputs a model has unless the option `count` says.
const COUNT: usize = 1;

pub(crate) struct Echo {
    tensors: Vec<TensorInfo>,
    metadata: String,
}

impl Echo {
    /// Any file will do, except one that begins with "broken".
    pub(crate) fn load(source: &ModelSource<'_>, options: &Options) -> Result<Self> {
        options.expect_only(&["count"])?;
        let bytes = source.resource().first_blob()?.bytes()?;
        if bytes.starts_with(b"broken") {
            bail!(EINVAL, "the model of {} bytes is broken", bytes.len());
        }
        let count = options.get_parsed("count")?.unwrap_or(COUNT);
        Ok(Self {
            tensors: (0..count)
                .map(|i| TensorInfo {
                    name: format!("t{i}"),
                    dtype: None,
                    shape: vec![-1],
                })
                .collect(),
            metadata: format!("{{\"bytes\":{}}}", bytes.len()),
        })
    }
}

impl Model for Echo {
    fn info(&self) -> ModelInfo {
        ModelInfo {
            format: "echo".into(),
            metadata: Some(self.metadata.clone()),
            inputs: self.tensors.clone(),
            outputs: self.tensors.clone(),
        }
    }

    fn run(&self, inputs: &[TensorView<'_>], outputs: &mut [TensorOut<'_>]) -> Result<()> {
        for (i, out) in outputs.iter_mut().enumerate() {
            let wanted = out.name().map(str::to_owned);
            let found = match wanted.as_deref() {
                Some(name) => inputs.iter().find(|input| input.name() == Some(name)),
                None => inputs.get(i),
            };
            // Names of the frameworks' own calls end in ":0" and differ.
            let Some(input) = found.or_else(|| inputs.get(i)) else {
                bail!(
                    EINVAL,
                    "output {i} has no input; there are {}",
                    inputs.len()
                );
            };
            out.write(input.dtype(), input.shape(), input.bytes())?;
        }
        Ok(())
    }
}
