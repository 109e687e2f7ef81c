//! TensorFlow Lite through its C interface, with XNNPACK where the library has it.

use super::{Direct, Plan, function};
use anyhow::{Result, ensure};
use std::ffi::{CString, c_char, c_int, c_void};
use std::os::unix::ffi::OsStrExt;

type Handle = *mut c_void;

/// The head of `TfLiteXNNPackDelegateOptions`, with room for what later versions have behind it.
#[repr(C)]
struct XnnpackOptions {
    threads: i32,
    /// Signed and unsigned models of 8 bits, too.
    flags: u32,
    rest: [u64; 30],
}

/// Everything lives until the process ends.
pub(super) struct Tflite {
    invoke: unsafe extern "C" fn(Handle) -> c_int,
    interpreter: Handle,
    /// The runtime's own memory for the output.
    output: *const f32,
    elements: usize,
}

impl Tflite {
    pub(super) fn open(plan: &Plan<'_>) -> Result<Self> {
        type Read = unsafe extern "C" fn(*const c_char) -> Handle;
        type New = unsafe extern "C" fn() -> Handle;
        type SetThreads = unsafe extern "C" fn(Handle, i32);
        type Add = unsafe extern "C" fn(Handle, Handle);
        type Make = unsafe extern "C" fn(Handle, Handle) -> Handle;
        type Call = unsafe extern "C" fn(Handle) -> c_int;
        type Tensor = unsafe extern "C" fn(Handle, i32) -> Handle;
        type Size = unsafe extern "C" fn(Handle) -> usize;
        type Data = unsafe extern "C" fn(Handle) -> *mut c_void;
        type Delegate = unsafe extern "C" fn(*const XnnpackOptions) -> Handle;
        let library = plan.library()?;
        // SAFETY: the types of these functions in tensorflow/lite/c/c_api.h.
        let (read, new_options, set_threads, add, make, allocate, invoke) = unsafe {
            (
                function::<Read>(library, "TfLiteModelCreateFromFile")?,
                function::<New>(library, "TfLiteInterpreterOptionsCreate")?,
                function::<SetThreads>(library, "TfLiteInterpreterOptionsSetNumThreads")?,
                function::<Add>(library, "TfLiteInterpreterOptionsAddDelegate")?,
                function::<Make>(library, "TfLiteInterpreterCreate")?,
                function::<Call>(library, "TfLiteInterpreterAllocateTensors")?,
                function::<Call>(library, "TfLiteInterpreterInvoke")?,
            )
        };
        // SAFETY: as above.
        let (input_tensor, output_tensor, size, data) = unsafe {
            (
                function::<Tensor>(library, "TfLiteInterpreterGetInputTensor")?,
                function::<Tensor>(library, "TfLiteInterpreterGetOutputTensor")?,
                function::<Size>(library, "TfLiteTensorByteSize")?,
                function::<Data>(library, "TfLiteTensorData")?,
            )
        };
        // SAFETY: as above, of xnnpack_delegate.h; a library may be without it.
        let delegate = unsafe { function::<Delegate>(library, "TfLiteXNNPackDelegateCreate") };
        let path = CString::new(plan.model.as_os_str().as_bytes())?;
        let threads = i32::try_from(plan.threads)?;
        // SAFETY: live texts and options; what is made is used in the order in which it was made. The
        // runtime's memory for a tensor is as long as it says.
        unsafe {
            let model = read(path.as_ptr());
            ensure!(!model.is_null(), "TFLite does not read the model");
            let options = new_options();
            set_threads(options, threads);
            if let Ok(delegate) = delegate {
                let xnnpack = XnnpackOptions {
                    threads,
                    flags: 1 | 2,
                    rest: [0; 30],
                };
                add(options, delegate(&raw const xnnpack));
            }
            let interpreter = make(model, options);
            ensure!(!interpreter.is_null(), "TFLite refuses the model");
            ensure!(allocate(interpreter) == 0, "TFLite has no memory for it");
            let (input, output) = (input_tensor(interpreter, 0), output_tensor(interpreter, 0));
            ensure!(
                size(input) == size_of_val(plan.input),
                "the input has {} bytes, not {}",
                size(input),
                size_of_val(plan.input)
            );
            data(input)
                .cast::<f32>()
                .copy_from_nonoverlapping(plan.input.as_ptr(), plan.input.len());
            let elements = plan.zeros().len();
            ensure!(size(output) == elements * 4, "another output");
            Ok(Self {
                invoke,
                interpreter,
                output: data(output).cast::<f32>().cast_const(),
                elements,
            })
        }
    }
}

impl Direct for Tflite {
    fn run(&mut self) -> Result<()> {
        // SAFETY: a live interpreter with all its memory.
        let status = unsafe { (self.invoke)(self.interpreter) };
        ensure!(status == 0, "TFLite: status {status}");
        Ok(())
    }

    fn output(&mut self) -> Result<Vec<f32>> {
        // SAFETY: the runtime's memory, as long as was compared, not written between runs.
        let values = unsafe { std::slice::from_raw_parts(self.output, self.elements) };
        Ok(values.to_vec())
    }
}
