//! From a file to a model for a device.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr;

use vaccel_inference::{Port, Settings, Source};
use vaccel_plugin::{Error, Result, bail, err};

use crate::api::{self, Api, Dimension, Node, PartialShape};
use crate::dtype::TYPES;

/// The runtime's name of a device.
///
/// # Errors
/// `ENOTSUP` for one that this backend does not know.
pub(crate) fn device(asked: &str) -> Result<String> {
    let (kind, number) = asked.split_once(['.', ':']).unwrap_or((asked, ""));
    let plain = number.bytes().all(|b| b.is_ascii_digit());
    match (kind.to_ascii_lowercase().as_str(), number) {
        ("" | "cpu", "") => Ok("CPU".to_owned()),
        ("auto", "") => Ok("AUTO".to_owned()),
        (kind @ ("gpu" | "npu"), "") => Ok(kind.to_uppercase()),
        (kind @ ("gpu" | "npu"), number) if plain => {
            Ok(format!("{}.{number}", kind.to_uppercase()))
        }
        _ => bail!(
            ENOTSUP,
            "option `device`: this backend runs on cpu, gpu[:N], npu and auto, not on `{asked}`"
        ),
    }
}

/// Name of the format of a file, and where the runtime reads it: a SavedModel is its folder.
pub(crate) fn format(path: &Path) -> (&'static str, &Path) {
    if path.is_dir() {
        return ("savedmodel", path);
    }
    if path
        .file_name()
        .is_some_and(|name| name == "saved_model.pb")
    {
        return ("savedmodel", path.parent().unwrap_or(path));
    }
    let end = path.extension().and_then(|end| end.to_str());
    let format = match end.unwrap_or_default().to_ascii_lowercase().as_str() {
        "pb" => "graphdef",
        "tflite" => "tflite",
        "xml" => "openvino",
        _ => "onnx",
    };
    (format, path)
}

/// A model as it was read; released with this.
pub(crate) struct Model(&'static Api, *mut api::Model);

impl Drop for Model {
    fn drop(&mut self) {
        // SAFETY: made by the runtime, released once.
        unsafe { (self.0.f.ov_model_free)(self.1) }
    }
}

/// A model for a device; released with this.
pub(crate) struct Compiled(pub(crate) &'static Api, pub(crate) *mut api::Compiled);

// SAFETY: a compiled model is never changed, and requests of it may be made from any thread
// by its contract.
unsafe impl Send for Compiled {}
// SAFETY: as above.
unsafe impl Sync for Compiled {}

impl Drop for Compiled {
    fn drop(&mut self) {
        // SAFETY: made by the runtime, released once; requests hold what they need themselves.
        unsafe { (self.0.f.ov_compiled_model_free)(self.1) }
    }
}

impl Model {
    /// Reads a file, or a model in memory, which must be ONNX.
    ///
    /// # Errors
    /// `EINVAL` for what the runtime finds wrong with it.
    pub(crate) fn read(api: &'static Api, source: &Source<'_>) -> Result<(Self, &'static str)> {
        let mut model = ptr::null_mut();
        let Some(path) = source.model.path() else {
            let bytes = source.model.bytes()?;
            // SAFETY: live bytes, of which the runtime makes its own.
            api.check(unsafe {
                (api.f.ov_core_read_model_from_memory_buffer)(
                    api.core,
                    bytes.as_ptr().cast(),
                    bytes.len(),
                    ptr::null(),
                    &raw mut model,
                )
            })?;
            return Ok((Self(api, model), "onnx"));
        };
        if !path.is_dir() && !path.is_file() {
            // Says which file it is and why it cannot be read.
            source.model.bytes()?;
        }
        let (format, path) = format(path);
        let text = CString::new(path.as_os_str().as_bytes())
            .map_err(|_| err!(EINVAL, "a zero byte in the path"))?;
        // SAFETY: a live text and place; weights are found beside a model of its own kind.
        api.check(unsafe {
            (api.f.ov_core_read_model)(api.core, text.as_ptr(), ptr::null(), &raw mut model)
        })?;
        Ok((Self(api, model), format))
    }

    /// Inputs or outputs.
    ///
    /// # Errors
    /// `ENOTSUP` for inputs that no tensor holds.
    pub(crate) fn ports(&self, inputs: bool) -> Result<Vec<Port>> {
        let (api, f) = (self.0, &self.0.f);
        let mut count = 0;
        // SAFETY: a live model and place.
        api.check(unsafe {
            if inputs {
                (f.ov_model_inputs_size)(self.1, &raw mut count)
            } else {
                (f.ov_model_outputs_size)(self.1, &raw mut count)
            }
        })?;
        (0..count).map(|at| self.port(at, inputs)).collect()
    }

    fn port(&self, at: usize, input: bool) -> Result<Port> {
        let (api, f) = (self.0, &self.0.f);
        let mut node: *mut Node = ptr::null_mut();
        // SAFETY: a live model, an index in range; the node is freed after the last look at it.
        let read = unsafe {
            api.check(if input {
                (f.ov_model_const_input_by_index)(self.1, at, &raw mut node)
            } else {
                (f.ov_model_const_output_by_index)(self.1, at, &raw mut node)
            })?;
            let read = read_node(api, node);
            (f.ov_output_const_port_free)(node);
            read
        };
        let (name, number, dims) = read?;
        let name =
            name.unwrap_or_else(|| format!("{}{at}", if input { "input" } else { "output" }));
        TYPES.port(name, number, dims, input)
    }

    /// Sets the open first dimensions of all inputs.
    ///
    /// # Errors
    /// `EINVAL` for a model that does not bear it.
    pub(crate) fn set_batch(&self, batch: usize) -> Result<()> {
        let mut ports = self.ports(true)?;
        let mut places: Vec<Vec<Dimension>> = Vec::new();
        let mut indexes = Vec::new();
        for (at, port) in ports.iter_mut().enumerate() {
            port.set_batch(batch);
            let Some(dims) = &port.dims else { continue };
            indexes.push(at);
            let length = |dim: &Option<usize>| {
                let known = dim.and_then(|dim| i64::try_from(dim).ok());
                Dimension {
                    min: known.unwrap_or(0),
                    max: known.unwrap_or(-1),
                }
            };
            places.push(dims.iter().map(length).collect());
        }
        let shape = |dims: &mut Vec<Dimension>| {
            let rank = i64::try_from(dims.len()).unwrap_or(0);
            PartialShape {
                rank: Dimension {
                    min: rank,
                    max: rank,
                },
                dims: dims.as_mut_ptr(),
            }
        };
        let shapes: Vec<PartialShape> = places.iter_mut().map(shape).collect();
        // SAFETY: a live model; as many indexes as shapes, whose lengths live in `places`.
        self.0.check(unsafe {
            (self.0.f.ov_model_reshape_by_port_indexes)(
                self.1,
                indexes.as_ptr(),
                shapes.as_ptr(),
                indexes.len(),
            )
        })
    }

    /// Makes it ready for a device.
    ///
    /// # Errors
    /// `EINVAL` for what the device cannot do, `ENODEV` for one that is not there.
    pub(crate) fn compile(&self, device: &str, settings: &Settings) -> Result<Compiled> {
        let api = self.0;
        let name = CString::new(device).map_err(|_| err!(EINVAL, "a zero byte in `device`"))?;
        let threads = CString::new(settings.threads.to_string())
            .map_err(|_| err!(EINVAL, "a zero byte in `threads`"))?;
        let precision = match settings.precision.as_str() {
            "f16" => c"f16",
            "bf16" => c"bf16",
            // Otherwise processors with bf16 compute in it.
            _ => c"f32",
        };
        let mut compiled = ptr::null_mut();
        let (hint, latency) = (c"PERFORMANCE_HINT".as_ptr(), c"LATENCY".as_ptr());
        let (key, threads_key) = (
            c"INFERENCE_PRECISION_HINT".as_ptr(),
            c"INFERENCE_NUM_THREADS",
        );
        // SAFETY: live texts, as many as are said, and a live place.
        let status = unsafe {
            if device == "CPU" {
                (api.compile)(
                    api.core,
                    self.1,
                    name.as_ptr(),
                    6,
                    &raw mut compiled,
                    hint,
                    latency,
                    key,
                    precision.as_ptr(),
                    threads_key.as_ptr(),
                    threads.as_ptr(),
                )
            } else {
                (api.compile)(
                    api.core,
                    self.1,
                    name.as_ptr(),
                    4,
                    &raw mut compiled,
                    hint,
                    latency,
                    key,
                    precision.as_ptr(),
                )
            }
        };
        api.check(status).map_err(|e| {
            let text = e.message().to_owned();
            if text.contains("not registered") || text.contains("No device") {
                return Error::new(vaccel_plugin::code::ENODEV, text)
                    .context(format_args!("option `device`: there is no `{device}`"));
            }
            e
        })?;
        Ok(Compiled(api, compiled))
    }
}

type ReadNode = (Option<String>, i32, Option<Vec<Option<usize>>>);

/// Name, number of the type and lengths.
///
/// # Safety
/// A live node.
unsafe fn read_node(api: &Api, node: *const Node) -> Result<ReadNode> {
    let f = &api.f;
    let mut name = ptr::null_mut();
    let mut number = 0;
    let mut shape = PartialShape {
        rank: Dimension { min: 0, max: -1 },
        dims: ptr::null_mut(),
    };
    // SAFETY: a live node and places; what the runtime allocates is freed once.
    unsafe {
        // One without a name is an error there.
        let named = api.check((f.ov_port_get_any_name)(node, &raw mut name));
        let name = (named.is_ok() && !name.is_null()).then(|| api.take_text(name));
        api.check((f.ov_port_get_element_type)(node, &raw mut number))?;
        api.check((f.ov_port_get_partial_shape)(node, &raw mut shape))?;
        let known = shape.rank.min == shape.rank.max;
        let rank = usize::try_from(shape.rank.max).ok().filter(|_| known);
        let dims = rank.map(|rank| {
            let length = |at| {
                let dim: Dimension = *shape.dims.add(at);
                usize::try_from(dim.max).ok().filter(|_| dim.min == dim.max)
            };
            (0..rank).map(length).collect()
        });
        (f.ov_partial_shape_free)(&raw mut shape);
        Ok((name, number, dims))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_named_as_elsewhere_and_others_are_refused() {
        assert_eq!(device("").unwrap(), "CPU");
        assert_eq!(device("gpu:1").unwrap(), "GPU.1");
        assert_eq!(device("AUTO").unwrap(), "AUTO");
        for odd in ["moon", "cpu:1", "gpu:x", "auto:gpu,cpu"] {
            assert!(device(odd).unwrap_err().message().contains(odd));
        }
    }

    #[test]
    fn a_saved_model_is_its_folder_whichever_way_it_is_named() {
        let by_file = format(Path::new("a/saved_model.pb"));
        assert_eq!(by_file, ("savedmodel", Path::new("a")));
        assert_eq!(format(Path::new("a/model.pb")).0, "graphdef");
        assert_eq!(format(Path::new("a/m.ONNX")).0, "onnx");
    }
}
