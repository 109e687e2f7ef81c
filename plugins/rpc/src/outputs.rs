//! Where the outputs of a call go. Nothing of the caller's structures is changed
//! before the whole reply has been found to fit the request.

mod reply;

use crate::tensors::{Framework, Shape};
use std::ffi::CStr;
use vaccel_plugin::abi::arg::{ArgType, vaccel_arg};
use vaccel_plugin::abi::error::ERANGE;
use vaccel_plugin::abi::model::{TENSOR_MAX_RANK, TENSOR_OWNED, tensor_bytes, vaccel_tensor};
use vaccel_plugin::abi::tensor::vaccel_tf_status;
use vaccel_plugin::{Error, Result, err};
use vaccel_transport::PlaceError;
use vaccel_transport::shm::Lent;
use vaccel_wire::{Arg, Place};

/// Room for the message of a TensorFlow status, its zero included.
pub(crate) const STATUS_MESSAGE: usize = 1024;

/// TensorFlow's code for an error that has none of its own.
const TF_UNKNOWN: u8 = 2;

/// What one output is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum What {
    /// Not wanted.
    Null,
    /// Memory of the caller.
    Memory {
        at: *mut u8,
        room: usize,
        /// It must be filled.
        exact: bool,
    },
    /// An argument of the caller; its size is set.
    Argument(*mut vaccel_arg),
    /// A neutral tensor of the caller.
    Tensor(*mut vaccel_tensor),
    /// One that the agent is to keep.
    Kept(*mut vaccel_tensor),
    /// A pointer of the caller that is to point at a new tensor.
    Made(*mut *mut libc::c_void, Framework),
    /// TensorFlow's code.
    StatusCode,
    /// TensorFlow's message.
    StatusMessage,
    /// Bytes for the plugin itself.
    Collected(*mut Vec<u8>),
}

#[derive(Debug)]
struct Output {
    type_: ArgType,
    what: What,
    /// Memory from malloc that nobody else knows yet.
    data: *mut u8,
    /// A new tensor structure that nobody else knows yet.
    made: *mut libc::c_void,
    size: usize,
    shape: Shape,
    /// Where the agent may write it in shared memory.
    lent: Option<Lent>,
    /// The agent has written so many bytes there, and they belong here.
    copy: Option<(*mut u8, usize)>,
    /// The agent's number of a tensor that it keeps.
    kept: i64,
}

/// The outputs of one call.
#[derive(Debug)]
pub(crate) struct OutputList {
    list: Vec<Output>,
    status_code: u8,
    status_message: Box<[u8; STATUS_MESSAGE]>,
    /// The status of the caller, if it has one.
    pub(crate) status: *mut vaccel_tf_status,
}

impl Default for OutputList {
    fn default() -> Self {
        Self {
            list: Vec::new(),
            status_code: 0,
            status_message: Box::new([0; STATUS_MESSAGE]),
            status: std::ptr::null_mut(),
        }
    }
}

/// The name of a neutral tensor.
///
/// # Safety
/// It is null or a C string that outlives `'a`.
pub(crate) unsafe fn name_of<'a>(tensor: &vaccel_tensor) -> Option<&'a CStr> {
    // SAFETY: as promised by the caller.
    (!tensor.name.is_null()).then(|| unsafe { CStr::from_ptr(tensor.name) })
}

/// Memory for C, at least one byte.
fn malloc(size: usize) -> std::result::Result<*mut u8, PlaceError> {
    // SAFETY: malloc takes any size.
    let at = unsafe { libc::malloc(size.max(1)) };
    if at.is_null() {
        return Err(PlaceError::NoMemory(size));
    }
    Ok(at.cast())
}

impl OutputList {
    pub(crate) fn push(&mut self, type_: ArgType, what: What) {
        self.push_lent(type_, what, None);
    }

    /// As [`push`](Self::push), for an output that may be written to shared memory.
    pub(crate) fn push_lent(&mut self, type_: ArgType, what: What, lent: Option<Lent>) {
        self.list.push(Output {
            lent,
            copy: None,
            kept: 0,
            type_,
            what,
            data: std::ptr::null_mut(),
            made: std::ptr::null_mut(),
            size: 0,
            shape: Shape::default(),
        });
    }

    /// Forgets everything, and frees what nobody has taken.
    pub(crate) fn clear(&mut self) {
        for output in self.list.drain(..) {
            // SAFETY: from malloc, and nobody else knows them.
            unsafe { libc::free(output.data.cast()) };
            if let What::Made(_, framework) = output.what
                && !output.made.is_null()
            {
                framework.free_struct(output.made);
            }
        }
        self.status = std::ptr::null_mut();
        self.status_code = 0;
        self.status_message[0] = 0;
    }

    /// Makes the outputs known to the caller, all or none. `keep` gives a number of
    /// this process for the agent's number of a tensor.
    pub(crate) fn commit(&mut self, mut keep: impl FnMut(i64) -> u64) -> Result<()> {
        for output in &mut self.list {
            if let What::Made(_, framework) = output.what {
                output.made = framework.make_struct(&output.shape)?;
            }
        }
        for output in &mut self.list {
            output.commit(&mut keep);
        }
        let (code, message) = (self.status_code, self.message().to_vec());
        self.write_status(code, &message);
        Ok(())
    }

    /// After a failure: what the caller learns in spite of it.
    pub(crate) fn commit_failure(&mut self, error: &Error) {
        if error.code() == ERANGE {
            for output in &self.list {
                if let What::Tensor(tensor) = output.what
                    && output.size > 0
                {
                    // SAFETY: valid until the call is over.
                    unsafe { output.describe(tensor) };
                }
            }
        }
        if self.status_code == 0 {
            self.write_status(TF_UNKNOWN, error.message().as_bytes());
        } else {
            let (code, message) = (self.status_code, self.message().to_vec());
            self.write_status(code, &message);
        }
    }

    fn message(&self) -> &[u8] {
        let bytes = &self.status_message[..STATUS_MESSAGE - 1];
        bytes.split(|&b| b == 0).next().unwrap_or(&[])
    }

    fn write_status(&self, code: u8, message: &[u8]) {
        if self.status.is_null() {
            return;
        }
        let mut text = std::ptr::null_mut();
        if !message.is_empty()
            && let Ok(at) = malloc(message.len() + 1)
        {
            // SAFETY: room for the message and its zero.
            unsafe {
                std::ptr::copy_nonoverlapping(message.as_ptr(), at, message.len());
                at.add(message.len()).write(0);
            }
            text = at.cast();
        }
        // SAFETY: the caller's status, valid until the call is over.
        unsafe {
            self.status.write(vaccel_tf_status {
                code,
                message: text,
            });
        }
    }
}

impl Output {
    fn commit(&mut self, keep: &mut impl FnMut(i64) -> u64) {
        if let (Some((to, size)), Some(lent)) = (self.copy, &self.lent)
            && to != lent.at.as_ptr()
        {
            // SAFETY: `place` has checked that both have room for so many bytes; the
            // block is this call's alone, the memory the caller's.
            unsafe { std::ptr::copy_nonoverlapping(lent.at.as_ptr(), to, size) };
        }
        match self.what {
            What::Argument(arg) => {
                // SAFETY: valid until the call is over.
                unsafe {
                    (&raw mut (*arg).size).write(self.size);
                    if !self.data.is_null() {
                        (&raw mut (*arg).buf).write(self.data.cast());
                        (&raw mut (*arg).owned).write(true);
                    }
                }
            }
            What::Tensor(tensor) => {
                // SAFETY: valid until the call is over; it need not be aligned.
                unsafe { self.describe(tensor) };
                if !self.data.is_null() {
                    // SAFETY: as above.
                    unsafe {
                        let mut value = tensor.read_unaligned();
                        value.data = self.data.cast();
                        value.flags = TENSOR_OWNED;
                        tensor.write_unaligned(value);
                    }
                }
            }
            What::Kept(tensor) => {
                // SAFETY: valid until the call is over; it need not be aligned.
                unsafe {
                    self.describe(tensor);
                    let mut value = tensor.read_unaligned();
                    value.handle = keep(self.kept);
                    tensor.write_unaligned(value);
                }
            }
            What::Made(slot, framework) => {
                framework.set_data(self.made, self.data, self.size);
                // SAFETY: the caller's pointer, valid until the call is over.
                unsafe { slot.write(self.made) };
                self.made = std::ptr::null_mut();
            }
            _ => {}
        }
        self.data = std::ptr::null_mut();
    }

    /// Writes type, shape and size to a neutral tensor.
    ///
    /// # Safety
    /// `tensor` is valid.
    unsafe fn describe(&self, tensor: *mut vaccel_tensor) {
        // SAFETY: as promised by the caller; it need not be aligned.
        unsafe {
            let mut value = tensor.read_unaligned();
            value.dtype = self.shape.dtype;
            // At most 8.
            value.rank = self.shape.rank as u32;
            value.dims = self.shape.dims;
            value.size = self.size;
            tensor.write_unaligned(value);
        }
    }

    /// Type and shape of a tensor in a reply.
    fn shape_of(&mut self, arg: &Arg<'_>) -> std::result::Result<(), PlaceError> {
        let Some(tensor) = &arg.tensor else {
            return Err(format!("output {} is no tensor", arg.index).into());
        };
        let (dims, rank) = tensor.shape();
        if dims[..rank].iter().any(|&d| d < 0) {
            let text = format!("output {} has a negative dimension", arg.index);
            return Err(text.into());
        }
        self.size = arg.size;
        self.shape = Shape {
            dtype: tensor.dtype.into(),
            dims,
            rank,
        };
        Ok(())
    }

    /// Notes that the agent has written it to shared memory.
    fn written_at(
        &mut self,
        place: Place,
        arg: &Arg<'_>,
        to: *mut u8,
        room: usize,
    ) -> std::result::Result<(), PlaceError> {
        if self.lent.as_ref().map(|lent| lent.place) != Some(place) {
            let text = format!("output {} is not where it was asked for", arg.index);
            return Err(text.into());
        }
        if arg.size > room {
            let text = format!(
                "output {} has {} bytes, and there is room for {room}",
                arg.index, arg.size
            );
            return Err(text.into());
        }
        self.copy = Some((to, arg.size));
        Ok(())
    }

    fn misfit(&self, arg: &Arg<'_>, needed: Option<usize>) -> PlaceError {
        let dims = &self.shape.dims[..self.shape.rank];
        let text = match needed {
            Some(needed) => format!(
                "output {} of shape {dims:?} has {} bytes instead of {needed}",
                arg.index, arg.size
            ),
            None => format!(
                "output {} has the type {} and the shape {dims:?}, which cannot be",
                arg.index, self.shape.dtype
            ),
        };
        PlaceError::Misfit(text)
    }

    fn place(&mut self, arg: &Arg<'_>) -> std::result::Result<(*mut u8, usize), PlaceError> {
        match self.what {
            What::Null => Err(format!("output {} was not asked for", arg.index).into()),
            What::Memory { at, room, exact } => {
                if exact && arg.size != room {
                    let text = format!("output {} has {} bytes, not {room}", arg.index, arg.size);
                    return Err(text.into());
                }
                Ok((at, room))
            }
            What::Argument(at) => {
                // SAFETY: valid until the call is over.
                let value = unsafe { at.read() };
                self.size = arg.size;
                if !value.buf.is_null() {
                    return Ok((value.buf.cast(), value.size));
                }
                if arg.size > 0 {
                    self.data = malloc(arg.size)?;
                }
                Ok((self.data, arg.size))
            }
            What::Tensor(tensor) => {
                self.shape_of(arg)?;
                let dims = &self.shape.dims[..self.shape.rank];
                match tensor_bytes(self.shape.dtype, dims) {
                    Some(needed) if needed == arg.size => {}
                    needed => return Err(self.misfit(arg, needed)),
                }
                // SAFETY: valid until the call is over; it need not be aligned.
                let value = unsafe { tensor.read_unaligned() };
                if !value.data.is_null() {
                    return Ok((value.data.cast(), value.size));
                }
                self.data = malloc(arg.size)?;
                Ok((self.data, arg.size))
            }
            What::Kept(_) => {
                let Some(kept) = arg.kept else {
                    let text = format!("output {} was to be kept, and was sent", arg.index);
                    return Err(text.into());
                };
                self.shape_of(arg)?;
                let dims = &self.shape.dims[..self.shape.rank];
                match tensor_bytes(self.shape.dtype, dims) {
                    Some(needed) if needed == arg.size => {}
                    needed => return Err(self.misfit(arg, needed)),
                }
                self.kept = kept;
                Ok((std::ptr::NonNull::dangling().as_ptr(), 0))
            }
            What::Made(_, framework) => {
                self.shape_of(arg)?;
                match framework.bytes(&self.shape) {
                    Ok(Some(needed)) if needed != arg.size => {
                        return Err(self.misfit(arg, Some(needed)));
                    }
                    Ok(_) => {}
                    Err(()) => return Err(self.misfit(arg, None)),
                }
                self.data = malloc(arg.size)?;
                Ok((self.data, arg.size))
            }
            // Done by the list, which has the memory.
            What::StatusCode | What::StatusMessage | What::Collected(_) => {
                Err(PlaceError::NoMemory(arg.size))
            }
        }
    }
}

impl Drop for OutputList {
    fn drop(&mut self) {
        self.clear();
    }
}

/// The shape of a tensor that has too many dimensions for this interface.
pub(crate) fn too_many_dimensions(rank: i64) -> Error {
    err!(
        EINVAL,
        "a tensor has {rank} dimensions; 0 to {TENSOR_MAX_RANK} can be sent"
    )
}
