//! The functions of `openvino/c/openvino.h` that are used here, and its errors.

use std::ffi::{CStr, c_char, c_void};
use std::ptr;

use vaccel_inference::runtime::{Opened, symbol};
use vaccel_plugin::{Error, Result, bail, code};

/// What reads and compiles models.
#[repr(C)]
pub(crate) struct Core([u8; 0]);
/// A model as it was read.
#[repr(C)]
pub(crate) struct Model([u8; 0]);
/// A model for a device.
#[repr(C)]
pub(crate) struct Compiled([u8; 0]);
/// One run of a model at a time, with its tensors.
#[repr(C)]
pub(crate) struct Request([u8; 0]);
/// An input or output of a model.
#[repr(C)]
pub(crate) struct Node([u8; 0]);
/// A tensor of the runtime, over memory of ours or its own.
#[repr(C)]
pub(crate) struct Tensor([u8; 0]);

/// `ov_dimension_t`: a length between two; equal ones for a length that is known.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Dimension {
    pub(crate) min: i64,
    pub(crate) max: i64,
}

/// `ov_shape_t`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) rank: i64,
    pub(crate) dims: *mut i64,
}

/// `ov_partial_shape_t`: the rank is a dimension too.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct PartialShape {
    pub(crate) rank: Dimension,
    pub(crate) dims: *mut Dimension,
}

/// `ov_version_t`.
#[repr(C)]
pub(crate) struct Version {
    build: *const c_char,
    description: *const c_char,
}

/// `ov_available_devices_t`.
#[repr(C)]
pub(crate) struct Devices {
    names: *mut *mut c_char,
    size: usize,
}

vaccel_inference::functions! {
    /// OpenVINO's functions.
    pub(crate) struct Functions {
        ov_get_openvino_version: fn(*mut Version) -> i32;
        ov_version_free: fn(*mut Version);
        ov_get_error_info: fn(i32) -> *const c_char;
        ov_get_last_err_msg: fn() -> *const c_char;
        ov_free: fn(*const c_char);
        ov_core_create: fn(*mut *mut Core) -> i32;
        ov_core_get_available_devices: fn(*const Core, *mut Devices) -> i32;
        ov_available_devices_free: fn(*mut Devices);
        ov_core_read_model: fn(*const Core, *const c_char, *const c_char, *mut *mut Model) -> i32;
        ov_core_read_model_from_memory_buffer:
            fn(*const Core, *const c_char, usize, *const Tensor, *mut *mut Model) -> i32;
        ov_model_free: fn(*mut Model);
        ov_model_inputs_size: fn(*const Model, *mut usize) -> i32;
        ov_model_outputs_size: fn(*const Model, *mut usize) -> i32;
        ov_model_const_input_by_index: fn(*const Model, usize, *mut *mut Node) -> i32;
        ov_model_const_output_by_index: fn(*const Model, usize, *mut *mut Node) -> i32;
        ov_model_reshape_by_port_indexes:
            fn(*const Model, *const usize, *const PartialShape, usize) -> i32;
        ov_output_const_port_free: fn(*mut Node);
        ov_port_get_any_name: fn(*const Node, *mut *mut c_char) -> i32;
        ov_port_get_partial_shape: fn(*const Node, *mut PartialShape) -> i32;
        ov_partial_shape_free: fn(*mut PartialShape);
        ov_port_get_element_type: fn(*const Node, *mut i32) -> i32;
        ov_compiled_model_free: fn(*mut Compiled);
        ov_compiled_model_create_infer_request: fn(*const Compiled, *mut *mut Request) -> i32;
        ov_infer_request_free: fn(*mut Request);
        ov_infer_request_set_input_tensor_by_index: fn(*mut Request, usize, *const Tensor) -> i32;
        ov_infer_request_set_output_tensor_by_index: fn(*mut Request, usize, *const Tensor) -> i32;
        ov_infer_request_get_output_tensor_by_index:
            fn(*const Request, usize, *mut *mut Tensor) -> i32;
        ov_infer_request_infer: fn(*mut Request) -> i32;
        ov_tensor_create: fn(i32, Shape, *mut *mut Tensor) -> i32;
        ov_tensor_create_from_host_ptr: fn(i32, Shape, *mut c_void, *mut *mut Tensor) -> i32;
        ov_tensor_free: fn(*mut Tensor);
        ov_tensor_get_shape: fn(*const Tensor, *mut Shape) -> i32;
        ov_shape_free: fn(*mut Shape) -> i32;
        ov_tensor_get_element_type: fn(*const Tensor, *mut i32) -> i32;
        ov_tensor_get_byte_size: fn(*const Tensor, *mut usize) -> i32;
        ov_tensor_data: fn(*const Tensor, *mut *mut c_void) -> i32;
    }
    optional {}
}

/// Compiles a model; names and values of properties follow, as many texts as are said.
type Compile = unsafe extern "C" fn(
    *const Core,
    *const Model,
    *const c_char,
    usize,
    *mut *mut Compiled,
    ...
) -> i32;

/// The functions, and the core that all models share.
pub(crate) struct Api {
    pub(crate) f: Functions,
    pub(crate) compile: Compile,
    pub(crate) core: *mut Core,
    version: String,
}

// SAFETY: the core is made once, never released, and may be used from any thread by its
// contract.
unsafe impl Send for Api {}
// SAFETY: as above.
unsafe impl Sync for Api {}

impl Api {
    /// Looks the functions up and makes the core.
    ///
    /// # Errors
    /// `ENOTSUP` for a runtime that is too old.
    pub(crate) fn bind(library: &Opened) -> Result<Self> {
        let f = Functions::bind(library)?;
        // SAFETY: the type of this function in ov_core.h.
        let compile: Compile = unsafe { symbol(library, "ov_core_compile_model") }?;
        let mut api = Self {
            f,
            compile,
            core: ptr::null_mut(),
            version: String::new(),
        };
        let mut version = Version {
            build: ptr::null(),
            description: ptr::null(),
        };
        // SAFETY: a live place, whose texts are read before they are freed.
        unsafe {
            api.check((api.f.ov_get_openvino_version)(&raw mut version))?;
            if !version.build.is_null() {
                api.version = CStr::from_ptr(version.build).to_string_lossy().into_owned();
            }
            (api.f.ov_version_free)(&raw mut version);
        }
        // The numbers of the element types are others in versions before.
        let year = api.version.split('.').next().map(str::parse::<u32>);
        if !matches!(year, Some(Ok(2026..))) {
            bail!(
                ENOTSUP,
                "it is version {}, and 2026.0 or newer is needed",
                api.version
            );
        }
        let mut core = ptr::null_mut();
        // SAFETY: a live place.
        api.check(unsafe { (api.f.ov_core_create)(&raw mut core) })?;
        api.core = core;
        Ok(api)
    }

    /// Version of the runtime.
    pub(crate) fn version(&self) -> String {
        // 2026.4.1-1234-0123abcd: the number of the build tells nobody anything.
        let version = self.version.split('-').next().unwrap_or_default();
        version.to_owned()
    }

    /// Names of the devices that the runtime can use: `CPU`, `GPU.0`, ...
    pub(crate) fn devices(&self) -> Vec<String> {
        let mut devices = Devices {
            names: ptr::null_mut(),
            size: 0,
        };
        // SAFETY: a live core and place; the list is read before it is freed.
        unsafe {
            let got = (self.f.ov_core_get_available_devices)(self.core, &raw mut devices);
            if self.check(got).is_err() || devices.names.is_null() {
                return Vec::new();
            }
            let names = (0..devices.size)
                .map(|at| {
                    CStr::from_ptr(*devices.names.add(at))
                        .to_string_lossy()
                        .into_owned()
                })
                .collect();
            (self.f.ov_available_devices_free)(&raw mut devices);
            names
        }
    }

    /// An error of a status.
    pub(crate) fn check(&self, status: i32) -> Result<()> {
        if status == 0 {
            return Ok(());
        }
        // SAFETY: the first text is the runtime's own, the second ours to free.
        let (kind, text) = unsafe {
            let kind = CStr::from_ptr((self.f.ov_get_error_info)(status)).to_string_lossy();
            let last = (self.f.ov_get_last_err_msg)();
            let text = if last.is_null() {
                String::new()
            } else {
                let text = CStr::from_ptr(last).to_string_lossy().into_owned();
                (self.f.ov_free)(last);
                text
            };
            (kind, text)
        };
        let text = tidy(&text);
        let code = match status {
            -2 | -16 => code::ENOTSUP,
            _ if text.contains("bad_alloc") => code::ENOMEM,
            _ => code::EINVAL,
        };
        if text.is_empty() {
            Err(Error::new(code, kind.into_owned()))
        } else {
            Err(Error::new(code, text))
        }
    }

    /// A text that the runtime allocated, copied and freed.
    ///
    /// # Safety
    /// A string that the runtime says is the caller's to free, not freed yet.
    pub(crate) unsafe fn take_text(&self, text: *mut c_char) -> String {
        // SAFETY: promised by the caller.
        unsafe {
            let copy = CStr::from_ptr(text).to_string_lossy().into_owned();
            (self.f.ov_free)(text);
            copy
        }
    }
}

/// The runtime's message in one line, without the places in its source code.
fn tidy(text: &str) -> String {
    let lines = text.lines().map(str::trim).filter(|line| {
        let place = line.starts_with("Exception from ") || line.starts_with("Check '");
        !line.is_empty() && !place
    });
    let said = lines.collect::<Vec<_>>().join("; ");
    if said.is_empty() {
        // All of it was such lines.
        text.trim().replace('\n', "; ")
    } else {
        said
    }
}

#[cfg(test)]
mod tests {
    use super::tidy;

    #[test]
    fn messages_are_one_line_without_places_in_source_code() {
        let text =
            "Exception from src/inference/src/cpp/core.cpp:93:\nUnable to read the model\n\n";
        assert_eq!(tidy(text), "Unable to read the model");
        let only = "Check 'x' failed at a.cpp:1\n";
        assert_eq!(tidy(only), "Check 'x' failed at a.cpp:1");
    }
}
