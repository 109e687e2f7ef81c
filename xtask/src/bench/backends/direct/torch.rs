//! libtorch through the shim in C++, without which Rust cannot call it: it copies inputs, whoever calls.

use super::{Direct, Plan, function};
use anyhow::{Result, bail, ensure};
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::os::unix::ffi::OsStrExt;
use std::ptr;

/// `c10::ScalarType::Float`.
const F32: i32 = 6;

type Handle = *mut c_void;

/// `vaccel_torch_shim_tensor`.
#[repr(C)]
struct Tensor {
    type_: i32,
    rank: i32,
    dims: *const i64,
    data: *const c_void,
    size: usize,
}

/// Everything lives until the process ends, but the last result.
pub(super) struct Torch {
    run: unsafe extern "C" fn(Handle, *const Tensor, usize, *mut Handle) -> *mut c_char,
    result: unsafe extern "C" fn(Handle, usize, *mut Tensor) -> c_int,
    free: unsafe extern "C" fn(Handle),
    model: Handle,
    dims: Vec<i64>,
    input: Vec<f32>,
    last: Handle,
}

impl Torch {
    pub(super) fn open(plan: &Plan<'_>) -> Result<Self> {
        type Load = unsafe extern "C" fn(
            *const c_char,
            *const c_char,
            usize,
            *const c_char,
            c_int,
            *mut Handle,
        ) -> *mut c_char;
        let library = plan.library()?;
        let path = CString::new(plan.model.as_os_str().as_bytes())?;
        let threads = c_int::try_from(plan.threads)?;
        let mut model = ptr::null_mut();
        // SAFETY: the types of these functions in plugins/torch/shim/torch.cpp; live texts and place.
        unsafe {
            let load = function::<Load>(library, "vaccel_torch_shim_load")?;
            check(load(
                path.as_ptr(),
                ptr::null(),
                0,
                c"cpu".as_ptr(),
                threads,
                &raw mut model,
            ))?;
            Ok(Self {
                run: function(library, "vaccel_torch_shim_run")?,
                result: function(library, "vaccel_torch_shim_result")?,
                free: function(library, "vaccel_torch_shim_result_free")?,
                model,
                dims: plan.dims(),
                input: plan.input.to_vec(),
                last: ptr::null_mut(),
            })
        }
    }
}

impl Direct for Torch {
    fn run(&mut self) -> Result<()> {
        let tensor = Tensor {
            type_: F32,
            rank: i32::try_from(self.dims.len())?,
            dims: self.dims.as_ptr(),
            data: self.input.as_ptr().cast(),
            size: size_of_val(&self.input[..]),
        };
        // SAFETY: a live model and tensor; the last result is nobody's any more.
        unsafe {
            if !self.last.is_null() {
                (self.free)(self.last);
                self.last = ptr::null_mut();
            }
            check((self.run)(
                self.model,
                &raw const tensor,
                1,
                &raw mut self.last,
            ))
        }
    }

    fn output(&mut self) -> Result<Vec<f32>> {
        let mut tensor = Tensor {
            type_: 0,
            rank: 0,
            dims: ptr::null(),
            data: ptr::null(),
            size: 0,
        };
        ensure!(!self.last.is_null(), "nothing was run");
        // SAFETY: a live result, whose tensor is as long as it says.
        unsafe {
            ensure!(
                (self.result)(self.last, 0, &raw mut tensor) != 0 && tensor.type_ == F32,
                "the model gave no f32"
            );
            let elements = tensor.size / size_of::<f32>();
            Ok(std::slice::from_raw_parts(tensor.data.cast::<f32>(), elements).to_vec())
        }
    }
}

/// # Safety
/// Null or a text of malloc.
unsafe fn check(error: *mut c_char) -> Result<()> {
    if error.is_null() {
        return Ok(());
    }
    // SAFETY: promised by the caller; freed once.
    let text = unsafe {
        let text = CStr::from_ptr(error).to_string_lossy().into_owned();
        libc::free(error.cast());
        text
    };
    bail!("torch: {text}")
}
