//! A TorchScript model.

use std::ffi::{CStr, CString, c_int};
use std::os::unix::ffi::OsStrExt;
use std::{ptr, slice};

use serde_json::{Value as Json, json};
use vaccel_inference::{Graph, Input, Output, Port, Settings, Source};
use vaccel_plugin::{Error, Result, TensorOut, bail, err};

use crate::api::{self, Api};
use crate::dtype;

/// Torch's name of a device.
///
/// # Errors
/// `ENOTSUP` for one that this backend does not know.
pub(crate) fn device(asked: &str) -> Result<CString> {
    let (kind, number) = asked.split_once(':').unwrap_or((asked, ""));
    let plain = number.len() < 3 && number.bytes().all(|b| b.is_ascii_digit());
    let name = match (kind, number) {
        ("" | "cpu", "") => "cpu".to_owned(),
        ("cuda" | "gpu", "") => "cuda".to_owned(),
        ("cuda" | "gpu", number) if plain => format!("cuda:{number}"),
        _ => bail!(
            ENOTSUP,
            "option `device`: this backend runs on cpu and cuda[:N], not on `{asked}`"
        ),
    };
    CString::new(name).map_err(|_| err!(EINVAL, "a zero byte in `device`"))
}

/// A loaded model, which any number of threads may run at once.
pub struct TorchGraph {
    module: Module,
    inputs: Vec<Port>,
    outputs: Vec<Port>,
    device: String,
    name: String,
}

/// The shim's model; released with this.
struct Module(&'static Api, *mut api::Model);

// SAFETY: a module is not tied to a thread.
unsafe impl Send for Module {}
// SAFETY: `forward` may be called from several threads at once; nothing else changes it.
unsafe impl Sync for Module {}

impl Drop for Module {
    fn drop(&mut self) {
        // SAFETY: made by the shim, released once.
        unsafe { (self.0.f.vaccel_torch_shim_free)(self.1) }
    }
}

/// The shim's results; released with this.
struct Outcome(&'static Api, *mut api::Outcome);

impl Drop for Outcome {
    fn drop(&mut self) {
        // SAFETY: made by the shim, released once.
        unsafe { (self.0.f.vaccel_torch_shim_result_free)(self.1) }
    }
}

impl TorchGraph {
    /// Loads a model.
    ///
    /// # Errors
    /// `EINVAL` for what libtorch finds wrong with the file, `ENODEV` without a GPU.
    pub(crate) fn load(
        api: &'static Api,
        source: &Source<'_>,
        settings: &Settings,
        device: &CStr,
    ) -> Result<Self> {
        let name = source.model.name.clone();
        let failed = |e: Error| e.context(format_args!("{name} cannot be loaded"));
        let device_name = device.to_string_lossy().into_owned();
        if device_name != "cpu" && !api.has_cuda() {
            bail!(ENODEV, "option `device`: libtorch finds no CUDA");
        }
        if settings.batch > 0 {
            bail!(
                ENOTSUP,
                "option `batch`: TorchScript models do not say what their inputs look like"
            );
        }
        let threads = c_int::try_from(settings.threads).unwrap_or(1);
        let mut raw = ptr::null_mut();
        let load = |path: *const _, bytes: &[u8], to| {
            // SAFETY: live texts and bytes, and a live place.
            unsafe {
                api.check((api.f.vaccel_torch_shim_load)(
                    path,
                    bytes.as_ptr().cast(),
                    bytes.len(),
                    device.as_ptr(),
                    threads,
                    to,
                ))
            }
        };
        match source.model.path() {
            Some(path) if path.is_file() => {
                let path = CString::new(path.as_os_str().as_bytes())
                    .map_err(|_| err!(EINVAL, "{name}: a zero byte in the path"))?;
                load(path.as_ptr(), &[], &raw mut raw).map_err(failed)?;
            }
            // Memory; or it says which file it is and why it cannot be read.
            _ => {
                let bytes = source.model.bytes()?;
                load(ptr::null(), &bytes, &raw mut raw).map_err(failed)?;
            }
        }
        let module = Module(api, raw);
        let (inputs, outputs) = (module.ports(true), module.ports(false));
        Ok(Self {
            module,
            inputs,
            outputs,
            device: device_name,
            name,
        })
    }
}

impl Module {
    /// Inputs or outputs: names alone.
    fn ports(&self, input: bool) -> Vec<Port> {
        let mut ports = Vec::new();
        loop {
            // SAFETY: a live model; the text lives as long, and is null behind the last one.
            let name = unsafe {
                let name =
                    (self.0.f.vaccel_torch_shim_name)(self.1, c_int::from(input), ports.len());
                if name.is_null() {
                    return ports;
                }
                CStr::from_ptr(name).to_string_lossy().into_owned()
            };
            ports.push(Port {
                name,
                dtype: None,
                type_name: "a tensor".into(),
                dims: None,
                symbols: Vec::new(),
                optional: false,
            });
        }
    }
}

impl Outcome {
    /// Copies a tensor into the caller's memory.
    fn copy_out(&self, at: usize, port: &Port, to: &mut TensorOut<'_>) -> Result<()> {
        let mut tensor = api::Tensor {
            number: 0,
            rank: 0,
            dims: ptr::null(),
            data: ptr::null_mut(),
            size: 0,
        };
        // SAFETY: a live result and place.
        let found = unsafe { (self.0.f.vaccel_torch_shim_result)(self.1, at, &raw mut tensor) };
        if found == 0 {
            bail!(EINVAL, "the model gave no output `{}`", port.name);
        }
        let Some(dtype) = dtype::from_number(tensor.number) else {
            bail!(
                ENOTSUP,
                "output `{}` is {}, which no tensor holds; ask for the others by name",
                port.name,
                dtype::name_of(tensor.number)
            );
        };
        let rank = usize::try_from(tensor.rank).unwrap_or(0);
        // SAFETY: lengths and elements of a tensor that lives as long as the result; a rank or
        // size of 0 may come with null.
        let (dims, bytes) = unsafe {
            let dims: &[i64] = match rank {
                0 => &[],
                rank => slice::from_raw_parts(tensor.dims, rank),
            };
            let bytes: &[u8] = match tensor.size {
                0 => &[],
                size => slice::from_raw_parts(tensor.data.cast::<u8>(), size),
            };
            (dims, bytes)
        };
        to.write(dtype, dims, bytes)
    }
}

impl Graph for TorchGraph {
    fn inputs(&self) -> &[Port] {
        &self.inputs
    }

    fn outputs(&self) -> &[Port] {
        &self.outputs
    }

    fn run(&self, inputs: &[Input<'_>], outputs: &mut [Output<'_, '_>]) -> Result<()> {
        let api = self.module.0;
        // In the order of the arguments; all of them are there.
        let mut ordered: Vec<&Input<'_>> = inputs.iter().collect();
        ordered.sort_by_key(|input| input.port);
        let mut tensors = Vec::with_capacity(ordered.len());
        for input in ordered {
            let Some(number) = dtype::to_number(input.dtype) else {
                bail!(
                    ENOTSUP,
                    "{}: torch has no tensors of {}",
                    self.name,
                    input.dtype
                );
            };
            let dims = input.shape.dims();
            tensors.push(api::Tensor {
                number,
                rank: i32::try_from(dims.len()).unwrap_or(0),
                dims: dims.as_ptr(),
                // The shim only reads it.
                data: input.bytes.as_ptr().cast_mut().cast(),
                size: input.bytes.len(),
            });
        }
        let mut raw = ptr::null_mut();
        // SAFETY: a live model, tensors over live memory, a live place.
        unsafe {
            let error = (api.f.vaccel_torch_shim_run)(
                self.module.1,
                tensors.as_ptr(),
                tensors.len(),
                &raw mut raw,
            );
            api.check(error).map_err(|e| e.context(&self.name))?;
        }
        let outcome = Outcome(api, raw);
        for output in outputs {
            outcome.copy_out(output.port, &self.outputs[output.port], output.to)?;
        }
        Ok(())
    }

    fn format(&self) -> &'static str {
        "torchscript"
    }

    fn facts(&self) -> Json {
        json!({
            "runtime": format!("libtorch {}", self.module.0.version()),
            "device": self.device,
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_named_as_elsewhere_and_others_are_refused() {
        assert_eq!(device("").unwrap().as_c_str(), c"cpu");
        assert_eq!(device("gpu:1").unwrap().as_c_str(), c"cuda:1");
        for odd in ["moon", "cpu:1", "cuda:x", "cuda:1234"] {
            assert!(device(odd).unwrap_err().message().contains(odd));
        }
    }
}
