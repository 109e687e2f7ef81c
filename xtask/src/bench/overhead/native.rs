//! The same work without vaccel.

use anyhow::{Context, Result, bail};
use rten::{Model, ModelOptions, NodeId, RunOptions, ThreadPool, Value};
use rten_tensor::{AsView, Layout, NdTensor};
use std::path::Path;
use std::sync::Arc;
use vaccel_vision::{Description, InputData, TensorShape, TensorView, Vision};

/// A classifier: decoder, preprocessing, engine.
pub(crate) struct Native {
    vision: Vision,
    model: Model,
    pool: Arc<ThreadPool>,
    input: NodeId,
    output: NodeId,
}

impl Native {
    pub(crate) fn load(folder: &Path) -> Result<Self> {
        let mut description = Description::from_file(folder.join("model.toml"))?;
        if let Some(file) = description.label_file().map(str::to_owned) {
            description.set_labels(&std::fs::read(folder.join(file))?)?;
        }
        let mut options = ModelOptions::with_all_ops();
        options.enable_optimization(true);
        let model = options.load_file(folder.join("model.onnx"))?;
        let (input, output) = match (model.input_ids(), model.output_ids()) {
            ([input], [output]) => (*input, *output),
            _ => bail!("a model with one input and one output is needed"),
        };
        let shape = TensorShape::f32(
            description.input.name.as_deref().unwrap_or("input"),
            &[1, 3, 224, 224],
        );
        let threads = std::thread::available_parallelism()?.get();
        Ok(Self {
            vision: Vision::new(description, &[shape])?,
            pool: Arc::new(ThreadPool::with_num_threads(threads)),
            model,
            input,
            output,
        })
    }

    /// The lines that vaccel gives as text.
    pub(crate) fn classify(&self, jpeg: &[u8]) -> Result<String> {
        let prepared = self.vision.prepare(jpeg)?;
        let InputData::F32(data) = prepared.input.data else {
            bail!("a model of f32 is needed");
        };
        let tensor = NdTensor::from_data([1, 3, 224, 224], data);
        let options = RunOptions::default().with_thread_pool(Some(Arc::clone(&self.pool)));
        let mut outputs = self.model.run(
            vec![(self.input, tensor.view().into())],
            &[self.output],
            Some(options),
        )?;
        let Some(Value::FloatTensor(output)) = outputs.pop() else {
            bail!("the model gave no f32");
        };
        let shape = output.shape().to_vec();
        let data = output.data().context("the output has gaps")?;
        let answer = self
            .vision
            .finish(prepared.frame, &[TensorView::f32("logits", &shape, data)])?;
        Ok(answer.outcome().to_text())
    }
}
