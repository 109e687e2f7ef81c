//! OpenVINO through its C interface.

use super::{Direct, Plan, function};
use anyhow::{Result, ensure};
use std::ffi::{CString, c_char, c_void};
use std::os::unix::ffi::OsStrExt;
use std::ptr;

/// Number of f32 among the types of 2026 and later.
const F32: i32 = 4;

type Handle = *mut c_void;

/// `ov_shape_t`.
#[repr(C)]
struct Shape {
    rank: i64,
    dims: *const i64,
}

/// Everything lives until the process ends.
pub(super) struct Openvino {
    infer: unsafe extern "C" fn(Handle) -> i32,
    request: Handle,
    /// What the two tensors lie over.
    memory: (Vec<f32>, Vec<f32>),
}

impl Openvino {
    pub(super) fn open(plan: &Plan<'_>) -> Result<Self> {
        type Create = unsafe extern "C" fn(*mut Handle) -> i32;
        type Read = unsafe extern "C" fn(Handle, *const c_char, *const c_char, *mut Handle) -> i32;
        type Compile =
            unsafe extern "C" fn(Handle, Handle, *const c_char, usize, *mut Handle, ...) -> i32;
        type Request = unsafe extern "C" fn(Handle, *mut Handle) -> i32;
        type Wrap = unsafe extern "C" fn(i32, Shape, *mut c_void, *mut Handle) -> i32;
        type Set = unsafe extern "C" fn(Handle, usize, Handle) -> i32;
        let library = plan.library()?;
        // SAFETY: the types of these functions in openvino/c.
        let (create, read, compile, new_request, wrap, set_input, set_output, infer) = unsafe {
            (
                function::<Create>(library, "ov_core_create")?,
                function::<Read>(library, "ov_core_read_model")?,
                function::<Compile>(library, "ov_core_compile_model")?,
                function::<Request>(library, "ov_compiled_model_create_infer_request")?,
                function::<Wrap>(library, "ov_tensor_create_from_host_ptr")?,
                function::<Set>(library, "ov_infer_request_set_input_tensor_by_index")?,
                function::<Set>(library, "ov_infer_request_set_output_tensor_by_index")?,
                function(library, "ov_infer_request_infer")?,
            )
        };
        let path = CString::new(plan.model.as_os_str().as_bytes())?;
        let threads = CString::new(plan.threads.to_string())?;
        let (mut core, mut model, mut compiled, mut request) = (
            ptr::null_mut(),
            ptr::null_mut(),
            ptr::null_mut(),
            ptr::null_mut(),
        );
        let mut memory = (plan.input.to_vec(), plan.zeros());
        // SAFETY: live places and texts, six of which are properties; what is made is used in the order
        // in which it was made.
        unsafe {
            check("create", create(&raw mut core))?;
            let read = read(core, path.as_ptr(), ptr::null(), &raw mut model);
            check("read", read)?;
            let compiled_to = compile(
                core,
                model,
                c"CPU".as_ptr(),
                6,
                &raw mut compiled,
                c"PERFORMANCE_HINT".as_ptr(),
                c"LATENCY".as_ptr(),
                c"INFERENCE_PRECISION_HINT".as_ptr(),
                c"f32".as_ptr(),
                c"INFERENCE_NUM_THREADS".as_ptr(),
                threads.as_ptr(),
            );
            check("compile", compiled_to)?;
            check("request", new_request(compiled, &raw mut request))?;
        }
        let tensor = |data: &mut Vec<f32>, dims: &[i64]| {
            let shape = Shape {
                rank: dims.len() as i64,
                dims: dims.as_ptr(),
            };
            let mut tensor = ptr::null_mut();
            // SAFETY: memory that lives beside the tensor and does not move, as long as its shape says.
            let made = unsafe { wrap(F32, shape, data.as_mut_ptr().cast(), &raw mut tensor) };
            check("tensor", made).map(|()| tensor)
        };
        let input = tensor(&mut memory.0, &plan.dims())?;
        let output = tensor(&mut memory.1, &plan.output_dims())?;
        // SAFETY: a live request and tensors.
        unsafe {
            check("input", set_input(request, 0, input))?;
            check("output", set_output(request, 0, output))?;
        }
        Ok(Self {
            infer,
            request,
            memory,
        })
    }
}

impl Direct for Openvino {
    fn run(&mut self) -> Result<()> {
        // SAFETY: a live request with both tensors.
        check("run", unsafe { (self.infer)(self.request) })
    }

    fn output(&mut self) -> Result<Vec<f32>> {
        Ok(self.memory.1.clone())
    }
}

fn check(what: &str, status: i32) -> Result<()> {
    ensure!(status == 0, "OpenVINO: {what}: status {status}");
    Ok(())
}
