//! ONNX Runtime through its C interface.

use super::{Direct, Plan, function};
use anyhow::{Context, Result, bail};
use ort_sys::{
    ONNXTensorElementDataType, OrtAllocatorType, OrtApi, OrtApiBase, OrtLoggingLevel, OrtMemType,
    OrtSession, OrtStatusPtr, OrtValue,
};
use std::ffi::{CStr, CString, c_char};
use std::os::unix::ffi::OsStrExt;
use std::ptr;

/// Version of the table of functions.
const VERSION: u32 = 24;

/// Everything lives until the process ends.
pub(super) struct OnnxRuntime {
    api: &'static OrtApi,
    session: *mut OrtSession,
    names: [*mut c_char; 2],
    input: *mut OrtValue,
    output: *mut OrtValue,
    /// What the two tensors lie over.
    memory: (Vec<f32>, Vec<f32>),
}

impl OnnxRuntime {
    pub(super) fn open(plan: &Plan<'_>) -> Result<Self> {
        type GetBase = unsafe extern "C" fn() -> *const OrtApiBase;
        let library = plan.library()?;
        // SAFETY: the type of this function in onnxruntime_c_api.h.
        let base: GetBase = unsafe { function(library, "OrtGetApiBase") }?;
        // SAFETY: base and table live as long as the library, which is never closed.
        let table = unsafe { ((*base()).GetApi)(VERSION) };
        // SAFETY: as above, or null.
        let api = unsafe { table.as_ref() }.context("the runtime is too old")?;
        let path = CString::new(plan.model.as_os_str().as_bytes())?;
        let (mut env, mut info, mut allocator) =
            (ptr::null_mut(), ptr::null_mut(), ptr::null_mut());
        let (mut options, mut session) = (ptr::null_mut(), ptr::null_mut());
        let mut names = [ptr::null_mut(); 2];
        // SAFETY: live places and texts; what is made is used in the order in which it was made.
        unsafe {
            let level = OrtLoggingLevel::ORT_LOGGING_LEVEL_FATAL;
            check(api, (api.CreateEnv)(level, c"bench".as_ptr(), &raw mut env))?;
            check(api, (api.CreateSessionOptions)(&raw mut options))?;
            check(
                api,
                (api.SetIntraOpNumThreads)(options, plan.threads as i32),
            )?;
            check(api, (api.SetInterOpNumThreads)(options, 1))?;
            check(
                api,
                (api.CreateSession)(env, path.as_ptr(), options, &raw mut session),
            )?;
            check(
                api,
                (api.GetAllocatorWithDefaultOptions)(&raw mut allocator),
            )?;
            let [input, output] = &mut names;
            check(api, (api.SessionGetInputName)(session, 0, allocator, input))?;
            check(
                api,
                (api.SessionGetOutputName)(session, 0, allocator, output),
            )?;
            check(
                api,
                (api.CreateCpuMemoryInfo)(
                    OrtAllocatorType::OrtDeviceAllocator,
                    OrtMemType::OrtMemTypeDefault,
                    &raw mut info,
                ),
            )?;
        }
        let mut memory = (plan.input.to_vec(), plan.zeros());
        let tensor = |data: &mut Vec<f32>, dims: &[i64]| {
            let mut value = ptr::null_mut();
            // SAFETY: memory that lives beside the tensor and does not move, and its length.
            check(api, unsafe {
                (api.CreateTensorWithDataAsOrtValue)(
                    info,
                    data.as_mut_ptr().cast(),
                    size_of_val(&data[..]),
                    dims.as_ptr(),
                    dims.len(),
                    ONNXTensorElementDataType::ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT,
                    &raw mut value,
                )
            })?;
            anyhow::Ok(value)
        };
        Ok(Self {
            input: tensor(&mut memory.0, &plan.dims())?,
            output: tensor(&mut memory.1, &plan.output_dims())?,
            api,
            session,
            names,
            memory,
        })
    }
}

impl Direct for OnnxRuntime {
    fn run(&mut self) -> Result<()> {
        let names = self.names.map(<*mut c_char>::cast_const);
        let input = self.input.cast_const();
        // SAFETY: a live session, one input and one output with their names.
        check(self.api, unsafe {
            (self.api.Run)(
                self.session,
                ptr::null(),
                names.as_ptr(),
                &raw const input,
                1,
                names.as_ptr().add(1),
                1,
                &raw mut self.output,
            )
        })
    }

    fn output(&mut self) -> Result<Vec<f32>> {
        Ok(self.memory.1.clone())
    }
}

fn check(api: &OrtApi, status: OrtStatusPtr) -> Result<()> {
    if status.0.is_null() {
        return Ok(());
    }
    // SAFETY: a status that is not null has a text, and is released once.
    let text = unsafe {
        let text = CStr::from_ptr((api.GetErrorMessage)(status.0));
        let text = text.to_string_lossy().into_owned();
        (api.ReleaseStatus)(status.0);
        text
    };
    bail!("ONNX Runtime: {text}")
}
