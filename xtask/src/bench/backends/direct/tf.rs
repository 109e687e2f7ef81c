//! TensorFlow through its C interface, for frozen graphs.

use super::{Direct, Plan, function};
use anyhow::{Context, Result, bail, ensure};
use libloading::os::unix::Library;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr;

/// `TF_FLOAT` of tf_datatype.h.
const F32: c_int = 1;

type Handle = *mut c_void;

/// `TF_Output`: an output of a node.
#[repr(C)]
#[derive(Clone, Copy)]
struct Output {
    operation: Handle,
    index: c_int,
}

type Run = unsafe extern "C" fn(
    Handle,
    *const c_void,
    *const Output,
    *const Handle,
    c_int,
    *const Output,
    *mut Handle,
    c_int,
    *const Handle,
    c_int,
    Handle,
    Handle,
);

/// Everything lives until the process ends, but the last output.
pub(super) struct Tf {
    run: Run,
    delete: unsafe extern "C" fn(Handle),
    data: unsafe extern "C" fn(Handle) -> *mut c_void,
    size: unsafe extern "C" fn(Handle) -> usize,
    status: Status,
    session: Handle,
    nodes: [Output; 2],
    input: Handle,
    output: Handle,
}

struct Status {
    code: unsafe extern "C" fn(Handle) -> c_int,
    message: unsafe extern "C" fn(Handle) -> *const c_char,
    raw: Handle,
}

impl Status {
    fn new(library: &Library) -> Result<Self> {
        // SAFETY: the types of these functions in tf_status.h.
        let (new, code, message) = unsafe {
            (
                function::<unsafe extern "C" fn() -> Handle>(library, "TF_NewStatus")?,
                function(library, "TF_GetCode")?,
                function(library, "TF_Message")?,
            )
        };
        Ok(Self {
            code,
            message,
            // SAFETY: takes nothing.
            raw: unsafe { new() },
        })
    }

    fn check(&self) -> Result<()> {
        // SAFETY: a live status; its text is copied.
        unsafe {
            if (self.code)(self.raw) == 0 {
                return Ok(());
            }
            bail!(
                "TensorFlow: {}",
                CStr::from_ptr((self.message)(self.raw)).to_string_lossy()
            )
        }
    }
}

impl Tf {
    pub(super) fn open(plan: &Plan<'_>) -> Result<Self> {
        type New = unsafe extern "C" fn() -> Handle;
        type Bytes = unsafe extern "C" fn(*const c_void, usize) -> Handle;
        type Import = unsafe extern "C" fn(Handle, Handle, Handle, Handle);
        type Next = unsafe extern "C" fn(Handle, *mut usize) -> Handle;
        type Text = unsafe extern "C" fn(Handle) -> *const c_char;
        type Count = unsafe extern "C" fn(Handle) -> c_int;
        type Consumers = unsafe extern "C" fn(Output) -> c_int;
        type Config = unsafe extern "C" fn(Handle, *const c_void, usize, Handle);
        type Session = unsafe extern "C" fn(Handle, Handle, Handle) -> Handle;
        type Allocate = unsafe extern "C" fn(c_int, *const i64, c_int, usize) -> Handle;
        type Data = unsafe extern "C" fn(Handle) -> *mut c_void;
        let library = plan.library()?;
        let status = Status::new(library)?;
        let bytes = std::fs::read(plan.model)?;
        // SAFETY: the types of these functions in tensorflow/c/c_api.h; live bytes, whose lengths are
        // said; what is made is used in the order in which it was made, and lives on.
        unsafe {
            let new_graph = function::<New>(library, "TF_NewGraph")?;
            let new_import = function::<New>(library, "TF_NewImportGraphDefOptions")?;
            let new_options = function::<New>(library, "TF_NewSessionOptions")?;
            let buffer = function::<Bytes>(library, "TF_NewBufferFromString")?;
            let import = function::<Import>(library, "TF_GraphImportGraphDef")?;
            let graph = new_graph();
            let content = buffer(bytes.as_ptr().cast(), bytes.len());
            import(graph, content, new_import(), status.raw);
            status.check()?;

            // The only placeholder, and the last node that nobody reads.
            let next = function::<Next>(library, "TF_GraphNextOperation")?;
            let type_of = function::<Text>(library, "TF_OperationOpType")?;
            let outputs = function::<Count>(library, "TF_OperationNumOutputs")?;
            let consumers = function::<Consumers>(library, "TF_OperationOutputNumConsumers")?;
            let (mut input, mut output, mut at) = (None, None, 0);
            loop {
                let operation = next(graph, &raw mut at);
                if operation.is_null() {
                    break;
                }
                let node = Output {
                    operation,
                    index: 0,
                };
                if CStr::from_ptr(type_of(operation)) == c"Placeholder" {
                    input = Some(node);
                } else if outputs(operation) == 1 && consumers(node) == 0 {
                    output = Some(node);
                }
            }

            let options = new_options();
            let set = function::<Config>(library, "TF_SetConfig")?;
            let threads = u8::try_from(plan.threads).ok().filter(|n| *n < 128);
            // ConfigProto: threads within an operation, one between them, both of this session.
            let config = [0x10, threads.context("too many threads")?, 0x28, 1, 0x48, 1];
            set(options, config.as_ptr().cast(), config.len(), status.raw);
            status.check()?;
            let new_session = function::<Session>(library, "TF_NewSession")?;
            let session = new_session(graph, options, status.raw);
            status.check()?;

            let allocate = function::<Allocate>(library, "TF_AllocateTensor")?;
            let data = function::<Data>(library, "TF_TensorData")?;
            let dims = plan.dims();
            let rank = c_int::try_from(dims.len())?;
            let tensor = allocate(F32, dims.as_ptr(), rank, size_of_val(plan.input));
            ensure!(!tensor.is_null(), "no memory for the input");
            data(tensor)
                .cast::<f32>()
                .copy_from_nonoverlapping(plan.input.as_ptr(), plan.input.len());
            Ok(Self {
                run: function(library, "TF_SessionRun")?,
                delete: function(library, "TF_DeleteTensor")?,
                size: function(library, "TF_TensorByteSize")?,
                data,
                status,
                session,
                nodes: [
                    input.context("the graph has no placeholder")?,
                    output.context("the graph has no output")?,
                ],
                input: tensor,
                output: ptr::null_mut(),
            })
        }
    }
}

impl Direct for Tf {
    fn run(&mut self) -> Result<()> {
        // SAFETY: a live session, one input and one output; the last output is nobody's any more.
        unsafe {
            if !self.output.is_null() {
                (self.delete)(self.output);
                self.output = ptr::null_mut();
            }
            (self.run)(
                self.session,
                ptr::null(),
                &raw const self.nodes[0],
                &raw const self.input,
                1,
                &raw const self.nodes[1],
                &raw mut self.output,
                1,
                ptr::null(),
                0,
                ptr::null_mut(),
                self.status.raw,
            );
        }
        self.status.check()
    }

    fn output(&mut self) -> Result<Vec<f32>> {
        ensure!(!self.output.is_null(), "nothing was run");
        // SAFETY: a live tensor of f32, as long as it says.
        let values = unsafe {
            let elements = (self.size)(self.output) / size_of::<f32>();
            std::slice::from_raw_parts((self.data)(self.output).cast::<f32>(), elements)
        };
        Ok(values.to_vec())
    }
}
