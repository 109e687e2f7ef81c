//! rten, which the plugin `onnx` has built in; this program has it built in as well.

use super::{Direct, Plan};
use anyhow::{Context, Result, bail};
use rten::{Model, ModelOptions, NodeId, RunOptions, ThreadPool, Value};
use rten_tensor::Tensor;
use rten_tensor::prelude::*;
use std::sync::Arc;

pub(super) struct Onnx {
    model: Model,
    pool: Arc<ThreadPool>,
    input: (NodeId, Tensor<f32>),
    output: NodeId,
    last: Option<Value>,
}

impl Onnx {
    pub(super) fn open(plan: &Plan<'_>) -> Result<Self> {
        let mut options = ModelOptions::with_all_ops();
        options.enable_optimization(true);
        let model = options.load_file(plan.model)?;
        let (&[input], &[output]) = (model.input_ids(), model.output_ids()) else {
            bail!("a model with one input and one output is needed");
        };
        Ok(Self {
            pool: Arc::new(ThreadPool::with_num_threads(plan.threads)),
            input: (input, Tensor::from_data(plan.shape, plan.input.to_vec())),
            output,
            model,
            last: None,
        })
    }
}

impl Direct for Onnx {
    fn run(&mut self) -> Result<()> {
        let options = RunOptions::default().with_thread_pool(Some(Arc::clone(&self.pool)));
        let input = vec![(self.input.0, self.input.1.view().into())];
        let mut outputs = self.model.run(input, &[self.output], Some(options))?;
        self.last = outputs.pop();
        Ok(())
    }

    fn output(&mut self) -> Result<Vec<f32>> {
        let Some(Value::FloatTensor(tensor)) = &self.last else {
            bail!("the model gave no f32");
        };
        Ok(tensor.data().context("the output has gaps")?.to_vec())
    }
}
