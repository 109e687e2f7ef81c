//! The functions of `tensorflow/c/c_api.h` that are used here, and its errors.

use std::ffi::{CStr, c_char, c_int, c_void};

use vaccel_inference::runtime::Opened;
use vaccel_plugin::{Error, Result, code};

/// Code and text of an error.
#[repr(C)]
pub(crate) struct Status([u8; 0]);
/// Nodes and what leads from one to another.
#[repr(C)]
pub(crate) struct Graph([u8; 0]);
/// A node.
#[repr(C)]
pub(crate) struct Operation([u8; 0]);
/// A graph ready to run, with its variables.
#[repr(C)]
pub(crate) struct Session([u8; 0]);
/// Options of a session.
#[repr(C)]
pub(crate) struct SessionOptions([u8; 0]);
/// Options of an import.
#[repr(C)]
pub(crate) struct ImportOptions([u8; 0]);
/// A tensor.
#[repr(C)]
pub(crate) struct Tensor([u8; 0]);
/// Devices of a session.
#[repr(C)]
pub(crate) struct DeviceList([u8; 0]);

/// Bytes of a message.
#[repr(C)]
pub(crate) struct Buffer {
    pub(crate) data: *const c_void,
    pub(crate) length: usize,
    free: Option<unsafe extern "C" fn(*mut c_void, usize)>,
}

/// One output of a node: a tensor of the graph.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Node {
    pub(crate) operation: *mut Operation,
    pub(crate) index: c_int,
}

vaccel_inference::functions! {
    /// TensorFlow's functions.
    pub(crate) struct Functions {
        TF_Version: fn() -> *const c_char;
        TF_NewStatus: fn() -> *mut Status;
        TF_DeleteStatus: fn(*mut Status);
        TF_GetCode: fn(*const Status) -> c_int;
        TF_Message: fn(*const Status) -> *const c_char;
        TF_NewBuffer: fn() -> *mut Buffer;
        TF_NewBufferFromString: fn(*const c_void, usize) -> *mut Buffer;
        TF_DeleteBuffer: fn(*mut Buffer);
        TF_NewGraph: fn() -> *mut Graph;
        TF_DeleteGraph: fn(*mut Graph);
        TF_NewImportGraphDefOptions: fn() -> *mut ImportOptions;
        TF_DeleteImportGraphDefOptions: fn(*mut ImportOptions);
        TF_GraphImportGraphDef: fn(*mut Graph, *const Buffer, *const ImportOptions, *mut Status);
        TF_GraphOperationByName: fn(*mut Graph, *const c_char) -> *mut Operation;
        TF_GraphNextOperation: fn(*mut Graph, *mut usize) -> *mut Operation;
        TF_GraphGetTensorNumDims: fn(*mut Graph, Node, *mut Status) -> c_int;
        TF_GraphGetTensorShape: fn(*mut Graph, Node, *mut i64, c_int, *mut Status);
        TF_OperationName: fn(*mut Operation) -> *const c_char;
        TF_OperationOpType: fn(*mut Operation) -> *const c_char;
        TF_OperationNumOutputs: fn(*mut Operation) -> c_int;
        TF_OperationOutputType: fn(Node) -> c_int;
        TF_OperationOutputNumConsumers: fn(Node) -> c_int;
        TF_NewSessionOptions: fn() -> *mut SessionOptions;
        TF_DeleteSessionOptions: fn(*mut SessionOptions);
        TF_SetConfig: fn(*mut SessionOptions, *const c_void, usize, *mut Status);
        TF_NewSession: fn(*mut Graph, *const SessionOptions, *mut Status) -> *mut Session;
        TF_LoadSessionFromSavedModel: fn(
            *const SessionOptions,
            *const Buffer,
            *const c_char,
            *const *const c_char,
            c_int,
            *mut Graph,
            *mut Buffer,
            *mut Status,
        ) -> *mut Session;
        TF_CloseSession: fn(*mut Session, *mut Status);
        TF_DeleteSession: fn(*mut Session, *mut Status);
        TF_SessionListDevices: fn(*mut Session, *mut Status) -> *mut DeviceList;
        TF_DeviceListCount: fn(*const DeviceList) -> c_int;
        TF_DeviceListType: fn(*const DeviceList, c_int, *mut Status) -> *const c_char;
        TF_DeleteDeviceList: fn(*mut DeviceList);
        TF_SessionRun: fn(
            *mut Session,
            *const Buffer,
            *const Node,
            *const *mut Tensor,
            c_int,
            *const Node,
            *mut *mut Tensor,
            c_int,
            *const *const Operation,
            c_int,
            *mut Buffer,
            *mut Status,
        );
        TF_AllocateTensor: fn(c_int, *const i64, c_int, usize) -> *mut Tensor;
        TF_DeleteTensor: fn(*mut Tensor);
        TF_TensorType: fn(*const Tensor) -> c_int;
        TF_NumDims: fn(*const Tensor) -> c_int;
        TF_Dim: fn(*const Tensor, c_int) -> i64;
        TF_TensorByteSize: fn(*const Tensor) -> usize;
        TF_TensorData: fn(*const Tensor) -> *mut c_void;
    }
    optional {}
}

/// The functions.
pub(crate) struct Api {
    pub(crate) f: Functions,
}

/// A buffer of the runtime; released with this.
pub(crate) struct Bytes<'a>(&'a Api, pub(crate) *mut Buffer);

impl Drop for Bytes<'_> {
    fn drop(&mut self) {
        // SAFETY: made by the runtime, released once.
        unsafe { (self.0.f.TF_DeleteBuffer)(self.1) }
    }
}

impl Bytes<'_> {
    /// What is in it.
    pub(crate) fn get(&self) -> &[u8] {
        // SAFETY: a live buffer, whose bytes live as long.
        unsafe {
            let buffer = &*self.1;
            if buffer.data.is_null() || buffer.length == 0 {
                return &[];
            }
            std::slice::from_raw_parts(buffer.data.cast(), buffer.length)
        }
    }
}

impl Api {
    /// Looks the functions up.
    pub(crate) fn bind(library: &Opened) -> Result<Self> {
        Ok(Self {
            f: Functions::bind(library)?,
        })
    }

    /// Version of the runtime.
    pub(crate) fn version(&self) -> String {
        // SAFETY: a string that the runtime keeps.
        let text = unsafe { CStr::from_ptr((self.f.TF_Version)()) };
        text.to_string_lossy().into_owned()
    }

    /// A copy of these bytes in the runtime's hands.
    pub(crate) fn bytes(&self, bytes: &[u8]) -> Bytes<'_> {
        // SAFETY: live bytes of that length.
        let raw = unsafe { (self.f.TF_NewBufferFromString)(bytes.as_ptr().cast(), bytes.len()) };
        Bytes(self, raw)
    }

    /// A buffer for the runtime to fill.
    pub(crate) fn empty(&self) -> Bytes<'_> {
        // SAFETY: no arguments.
        Bytes(self, unsafe { (self.f.TF_NewBuffer)() })
    }

    /// Calls a function with a status, and makes an error of that.
    ///
    /// # Errors
    /// What the status says.
    pub(crate) fn with_status<T>(&self, call: impl FnOnce(*mut Status) -> T) -> Result<T> {
        // SAFETY: a status that is read after the call and released once.
        unsafe {
            let status = (self.f.TF_NewStatus)();
            let result = call(status);
            let number = (self.f.TF_GetCode)(status);
            let text = CStr::from_ptr((self.f.TF_Message)(status));
            let text = text.to_string_lossy().into_owned();
            (self.f.TF_DeleteStatus)(status);
            if number == 0 {
                return Ok(result);
            }
            Err(Error::new(code_of(number), first_lines(&text)))
        }
    }
}

/// Our code of TensorFlow's (`tensorflow/c/tf_status.h`).
fn code_of(number: c_int) -> c_int {
    match number {
        4 => code::ETIMEDOUT,
        5 => code::ENOENT,
        7 | 16 => code::EACCES,
        8 => code::ENOMEM,
        12 => code::ENOTSUP,
        14 => code::ENODEV,
        _ => code::EINVAL,
    }
}

/// Errors of graphs go on for pages.
fn first_lines(text: &str) -> String {
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .take(3)
        .collect();
    lines.join("; ")
}
