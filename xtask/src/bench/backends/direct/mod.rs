//! Runtimes called directly, as a program that knows only one of them would: the floor of what vaccel
//! takes for the same model. Tensors are made once, and no run copies any.

mod onnx;
mod onnxruntime;
mod openvino;
mod tf;
mod tflite;
mod torch;

use anyhow::{Context, Result, bail};
use libloading::os::unix::Library;
use std::path::Path;

/// A model in a runtime, with memory for its input and output.
pub(super) trait Direct {
    /// Runs it once.
    fn run(&mut self) -> Result<()>;

    /// What the last run computed.
    fn output(&mut self) -> Result<Vec<f32>>;
}

/// What to load.
pub(super) struct Plan<'a> {
    pub(super) model: &'a Path,
    /// Name, version and file of the runtime, as the plugin tells them.
    pub(super) runtime: &'a str,
    pub(super) threads: usize,
    pub(super) shape: &'a [usize],
    pub(super) input: &'a [f32],
    /// Shape of the output.
    pub(super) output: &'a [usize],
}

impl Plan<'_> {
    /// Opens the file that the plugin uses; a library is never closed.
    fn library(&self) -> Result<&'static Library> {
        let file = self
            .runtime
            .rsplit_once('(')
            .and_then(|(_, file)| file.strip_suffix(')'))
            .with_context(|| format!("no file is named in `{}`", self.runtime))?;
        // SAFETY: the plugin has opened it already: no code of it runs once more.
        let library = unsafe { Library::new(file) }?;
        Ok(Box::leak(Box::new(library)))
    }

    fn dims(&self) -> Vec<i64> {
        self.shape.iter().map(|&d| d as i64).collect()
    }

    fn output_dims(&self) -> Vec<i64> {
        self.output.iter().map(|&d| d as i64).collect()
    }

    fn zeros(&self) -> Vec<f32> {
        vec![0.0; self.output.iter().product()]
    }
}

/// Loads a model into the runtime of a backend.
pub(super) fn open(backend: &str, plan: &Plan<'_>) -> Result<Box<dyn Direct>> {
    Ok(match backend {
        "onnx" => Box::new(onnx::Onnx::open(plan)?),
        "onnxruntime" => Box::new(onnxruntime::OnnxRuntime::open(plan)?),
        "openvino" => Box::new(openvino::Openvino::open(plan)?),
        "tflite" => Box::new(tflite::Tflite::open(plan)?),
        "tf" => Box::new(tf::Tf::open(plan)?),
        "torch" => Box::new(torch::Torch::open(plan)?),
        other => bail!("it is not known how to call the runtime of {other}"),
    })
}

/// A function of a library.
///
/// # Safety
/// `F` must be the type of the function, a function pointer.
unsafe fn function<F: Copy>(library: &Library, name: &str) -> Result<F> {
    // SAFETY: promised by the caller.
    let found = unsafe { library.get::<F>(name.as_bytes()) };
    Ok(*found.with_context(|| format!("no function `{name}`"))?)
}
