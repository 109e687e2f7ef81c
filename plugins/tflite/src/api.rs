//! The functions of `tensorflow/lite/c/c_api.h` that are used here.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::sync::Mutex;

/// A model's flat buffer.
#[repr(C)]
pub(crate) struct Model([u8; 0]);
/// Options of an interpreter.
#[repr(C)]
pub(crate) struct Options([u8; 0]);
/// A model with memory for its tensors.
#[repr(C)]
pub(crate) struct Interpreter([u8; 0]);
/// A tensor of an interpreter.
#[repr(C)]
pub(crate) struct Tensor([u8; 0]);
/// What runs parts of a model elsewhere or otherwise.
#[repr(C)]
pub(crate) struct Delegate([u8; 0]);

/// The variable arguments of C, handed on as they came.
pub(crate) type VaList = *mut c_void;

/// Takes the runtime's messages.
pub(crate) type Reporter = unsafe extern "C" fn(*mut c_void, *const c_char, VaList);

/// The head of `TfLiteXNNPackDelegateOptions`: threads and flags. Later versions have
/// more behind it, for which there is room; zero is "none" for all of it. (The function
/// that gives the defaults returns a structure of another size in each version.)
#[repr(C)]
pub(crate) struct XnnpackOptions {
    pub(crate) num_threads: i32,
    pub(crate) flags: u32,
    pub(crate) rest: [u64; 30],
}

/// Signed and unsigned 8 bit models.
pub(crate) const XNNPACK_QUANTIZED: u32 = 1 | 2;
/// Computes in f16 whatever the model says.
pub(crate) const XNNPACK_FORCE_FP16: u32 = 4;

vaccel_inference::functions! {
    /// TensorFlow Lite's functions.
    pub(crate) struct Functions {
        TfLiteVersion: fn() -> *const c_char;
        TfLiteModelCreate: fn(*const c_void, usize) -> *mut Model;
        TfLiteModelDelete: fn(*mut Model);
        TfLiteInterpreterOptionsCreate: fn() -> *mut Options;
        TfLiteInterpreterOptionsDelete: fn(*mut Options);
        TfLiteInterpreterOptionsSetNumThreads: fn(*mut Options, i32);
        TfLiteInterpreterOptionsAddDelegate: fn(*mut Options, *mut Delegate);
        TfLiteInterpreterOptionsSetErrorReporter: fn(*mut Options, Reporter, *mut c_void);
        TfLiteInterpreterCreate: fn(*const Model, *const Options) -> *mut Interpreter;
        TfLiteInterpreterDelete: fn(*mut Interpreter);
        TfLiteInterpreterGetInputTensorCount: fn(*const Interpreter) -> i32;
        TfLiteInterpreterGetInputTensor: fn(*const Interpreter, i32) -> *mut Tensor;
        TfLiteInterpreterResizeInputTensor: fn(*mut Interpreter, i32, *const c_int, i32) -> c_int;
        TfLiteInterpreterAllocateTensors: fn(*mut Interpreter) -> c_int;
        TfLiteInterpreterInvoke: fn(*mut Interpreter) -> c_int;
        TfLiteInterpreterGetOutputTensorCount: fn(*const Interpreter) -> i32;
        TfLiteInterpreterGetOutputTensor: fn(*const Interpreter, i32) -> *const Tensor;
        TfLiteTensorType: fn(*const Tensor) -> c_int;
        TfLiteTensorNumDims: fn(*const Tensor) -> i32;
        TfLiteTensorDim: fn(*const Tensor, i32) -> i32;
        TfLiteTensorByteSize: fn(*const Tensor) -> usize;
        TfLiteTensorData: fn(*const Tensor) -> *mut c_void;
        TfLiteTensorName: fn(*const Tensor) -> *const c_char;
    }
    optional {
        TfLiteXNNPackDelegateCreate: fn(*const XnnpackOptions) -> *mut Delegate;
        TfLiteXNNPackDelegateDelete: fn(*mut Delegate);
    }
}

/// The functions, and a lock for what the runtime does not bear at once.
pub(crate) struct Api {
    pub(crate) f: Functions,
    /// Making an interpreter with XNNPACK sets up state of the process.
    pub(crate) making: Mutex<()>,
}

impl Api {
    /// Looks the functions up.
    pub(crate) fn bind(library: &vaccel_inference::runtime::Opened) -> vaccel_plugin::Result<Self> {
        Ok(Self {
            f: Functions::bind(library)?,
            making: Mutex::new(()),
        })
    }

    /// True for a runtime of an earlier version; false for one that does not say a number.
    pub(crate) fn is_before(&self, major: u32, minor: u32) -> bool {
        // SAFETY: a string that the runtime keeps.
        let text = unsafe { CStr::from_ptr((self.f.TfLiteVersion)()) }.to_string_lossy();
        let mut numbers = text.split('.').map_while(|part| part.parse::<u32>().ok());
        match (numbers.next(), numbers.next()) {
            (Some(first), Some(second)) => (first, second) < (major, minor),
            _ => false,
        }
    }

    /// Version of the runtime.
    pub(crate) fn version(&self) -> String {
        // SAFETY: a string that the runtime keeps.
        let text = unsafe { CStr::from_ptr((self.f.TfLiteVersion)()) };
        let xnnpack = match self.f.TfLiteXNNPackDelegateCreate {
            Some(_) => "",
            None => ", without XNNPACK",
        };
        format!("{}{xnnpack}", text.to_string_lossy())
    }
}
