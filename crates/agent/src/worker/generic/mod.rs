//! Operations of the library: descriptors of a frame become arguments of `vaccel_genop`,
//! and what it wrote becomes the reply.
//!
//! Read arguments point into the payload as it was received, outputs into one
//! zeroed buffer from which they are sent; nothing is copied on the way. What lies in
//! shared memory is looked up by [`Room`].
//!
//! `memory`: what arguments point at. `reply`: what goes back.

mod memory;
mod reply;

use std::ffi::{CString, c_void};
use std::ptr;
use std::sync::Arc;

use vaccel::{KeptTensor, Resource, Session};
use vaccel_abi::arg::{ARG_UINT8, vaccel_arg};
use vaccel_abi::error::ENOTSUP;
use vaccel_abi::model::{TENSOR_KEEP, TENSOR_OWNED, vaccel_tensor};
use vaccel_abi::table::{self, Kind, OpSpec};
use vaccel_transport::Buffer;
use vaccel_wire::{Arg, Args, Header, Layout, TENSOR, Tensor};

use self::memory::{bytes, check, no_memory, only_model_run, place, release, tensor_arg};
use super::failure::{Failure, Result};
use super::resources::Resources;
use super::shared::{Room, SharedOut};
use super::tensors::{Tensors, adopt};

/// One call: its arguments, and the memory that they point at.
///
/// Kept by a thread from call to call, so that the lists need not be made anew.
#[derive(Default)]
pub struct Call {
    /// The code of the operation, which the first read argument points at.
    code: Box<u8>,
    read: Vec<vaccel_arg>,
    write: Vec<vaccel_arg>,
    /// Tensors of read, then of write arguments; never grown while arguments point into it.
    tensors: Vec<vaccel_tensor>,
    /// Names of tensors with their zeros; likewise.
    names: Vec<u8>,
    /// Numbers of resources in this process, in place of those that the client knows; likewise.
    ids: Vec<i64>,
    /// Keeps those resources until the call is over.
    resources: Vec<Resource>,
    /// What each write argument was before the call.
    slots: Vec<Slot>,
    /// Memory of the outputs.
    outputs: Option<Buffer>,
    /// Kept tensors among the arguments.
    kept: Vec<Arc<KeptTensor>>,
    /// Numbers of outputs that the call kept, for the client.
    adopted: Vec<i64>,
    /// Copies of what lies in shared memory and must not change.
    copies: Vec<Buffer>,
    /// The path of a library in place of the one that the client names.
    library: Option<CString>,
    /// The operation has been called, so that what it wrote is there.
    called: bool,
}

/// What a write argument was before the call.
#[derive(Debug, Clone, Copy)]
struct Slot {
    /// The type in the request, [`TENSOR`] included.
    type_: u32,
    custom_type: u32,
    null: bool,
    data: *mut c_void,
    capacity: usize,
    /// Index of the tensor, for a tensor.
    tensor: usize,
    /// Says how a call of TensorFlow went, and is written also when it failed.
    status: bool,
    /// Where it is to go in shared memory.
    shared: Option<SharedOut>,
    /// The tensor stays here, under this number once the operation has ended.
    kept: Option<i64>,
}

// SAFETY: all pointers lead into memory that the call itself owns, or into the
// payload of the frame that is being answered, and are used by one thread at a time.
unsafe impl Send for Call {}

impl Call {
    /// Runs an operation.
    ///
    /// # Errors
    /// `EINVAL` for arguments that do not fit; `ENOENT` for a resource the connection
    /// does not have; what the operation returns.
    pub fn run(
        &mut self,
        header: &Header,
        args: &Args<'_>,
        payload: &mut [u8],
        (session, tensors): (&Session, &Tensors),
        resources: &Resources,
        room: &mut Room<'_>,
    ) -> Result<()> {
        self.clear();
        let spec = table::find(header.operation.into()).ok_or_else(|| {
            Failure::new(
                ENOTSUP,
                format!("the agent knows no operation {}", header.operation),
            )
        })?;
        resources.tenant().may_run(spec)?;
        self.reserve(args)?;
        // The table holds operations below 256 only.
        *self.code = u8::try_from(header.operation).unwrap_or(u8::MAX);
        self.read.push(vaccel_arg {
            buf: (&raw mut *self.code).cast(),
            size: 1,
            type_: ARG_UINT8,
            custom_type_id: 0,
            owned: false,
        });
        for arg in args.reads() {
            if let Some(number) = arg.kept {
                only_model_run(spec)?;
                let tensor = tensors.get(header.session, number)?;
                self.add_kept(&arg, tensor);
                continue;
            }
            self.add_read(spec, &arg, payload, resources, room)?;
        }
        self.add_writes(spec, args, payload, room)?;
        room.check()?;
        self.called = true;
        // SAFETY: every argument points to as many bytes as it says: into the payload,
        // the outputs or lists of `self`, none of which moves before the call is over.
        // All bytes are initialised, and aligned to 8, or to 64 from 64 bytes on.
        let result = unsafe { session.genop(&mut self.read, &mut self.write) };
        // Not at the next call: they may be freed, and their session closed, before that.
        self.kept.clear();
        result?;
        for slot in self.slots.iter_mut().filter(|slot| slot.kept.is_some()) {
            let raw = &mut self.tensors[slot.tensor];
            let number = adopt(tensors, (header.session, session), raw)?;
            self.adopted.push(number);
            slot.kept = Some(number);
        }
        Ok(())
    }

    /// Frees what the call kept, when the client does not learn of it.
    pub fn take_back(&mut self, session: i64, tensors: &Tensors) {
        for number in self.adopted.drain(..) {
            // Gone already when the session was closed meanwhile.
            let _ = tensors.remove(session, number);
        }
    }

    /// Frees what the operation allocated and lets go of everything else.
    pub fn clear(&mut self) {
        for (slot, arg) in self.slots.iter().zip(&self.write) {
            if slot.type_ != TENSOR && arg.owned && arg.buf != slot.data {
                // SAFETY: the operation allocated it with malloc and gave it to the caller.
                unsafe { libc::free(arg.buf) };
            }
        }
        for slot in self
            .slots
            .iter()
            .filter(|slot| slot.type_ == TENSOR && !slot.null)
        {
            let tensor = &self.tensors[slot.tensor];
            if tensor.flags & TENSOR_OWNED != 0 && tensor.data != slot.data {
                // SAFETY: as above.
                unsafe { libc::free(tensor.data) };
            }
            if tensor.flags & TENSOR_KEEP != 0 && tensor.handle != 0 {
                release(tensor);
            }
        }
        self.read.clear();
        self.write.clear();
        self.tensors.clear();
        self.names.clear();
        self.ids.clear();
        self.resources.clear();
        self.slots.clear();
        self.outputs = None;
        self.copies.clear();
        self.library = None;
        self.kept.clear();
        self.adopted.clear();
        self.called = false;
    }

    /// Makes room for everything that arguments will point at.
    fn reserve(&mut self, args: &Args<'_>) -> Result<()> {
        let mut tensors = 0;
        let mut names = 0;
        for tensor in args
            .reads()
            .chain(args.writes())
            .filter_map(|arg| arg.tensor)
        {
            tensors += 1;
            names += tensor.name.map_or(0, |name| name.len() + 1);
        }
        let reads = args.reads().len();
        let enough = self.tensors.try_reserve(tensors).is_ok()
            && self.names.try_reserve(names).is_ok()
            && self.ids.try_reserve(reads).is_ok()
            && self.read.try_reserve(reads + 1).is_ok()
            && self.write.try_reserve(args.writes().len()).is_ok();
        if enough { Ok(()) } else { Err(no_memory()) }
    }

    fn add_read(
        &mut self,
        spec: &OpSpec,
        arg: &Arg<'_>,
        payload: &mut [u8],
        resources: &Resources,
        room: &mut Room<'_>,
    ) -> Result<()> {
        let (at, length) = match arg.shared {
            Some(shared) => room.input(spec, arg, shared, &mut self.copies)?,
            None => place(payload, &arg.range),
        };
        // SAFETY: as many bytes are there; nobody writes to them before the call.
        check(arg, unsafe { bytes(at, length) })?;
        let library = if arg.index == 0 {
            // SAFETY: as above; what lies in shared memory has been copied.
            let name = unsafe { bytes(at, length) };
            resources.tenant().library(spec, name)?
        } else {
            None
        };
        let (at, length) = match library {
            Some(path) => {
                let path = self.library.insert(path);
                let length = path.as_bytes_with_nul().len();
                (path.as_ptr().cast_mut().cast(), length)
            }
            None => (at, length),
        };
        if let Some(tensor) = &arg.tensor {
            let (data, size) = (at, length);
            let index = self.add_tensor_struct(tensor, data, size);
            self.read.push(tensor_arg(&mut self.tensors[index]));
            return Ok(());
        }
        let is_resource = spec
            .read
            .get(arg.index)
            .is_some_and(|param| param.kind == Kind::Resource);
        let (buf, size) = if is_resource {
            let bytes: [u8; 8] = arg.bytes(payload).try_into().map_err(|_| {
                Failure::invalid(format!(
                    "argument {} must be the number of a resource",
                    arg.index
                ))
            })?;
            let resource = resources.resource(i64::from_le_bytes(bytes))?;
            // Room was made by `reserve`, so that what was pushed before does not move.
            self.ids.push(resource.id());
            self.resources.push(resource);
            let last = self.ids.len() - 1;
            ((&raw mut self.ids[last]).cast(), size_of::<i64>())
        } else {
            (at, length)
        };
        self.read.push(vaccel_arg {
            buf,
            size,
            type_: arg.type_,
            custom_type_id: arg.custom_type,
            owned: false,
        });
        Ok(())
    }

    /// Adds a tensor that is here already.
    fn add_kept(&mut self, arg: &Arg<'_>, kept: Arc<KeptTensor>) {
        let Some(tensor) = &arg.tensor else {
            return;
        };
        let index = self.add_tensor_struct(tensor, ptr::null_mut(), 0);
        self.tensors[index].handle = kept.handle();
        self.kept.push(kept);
        self.read.push(tensor_arg(&mut self.tensors[index]));
    }

    fn add_writes(
        &mut self,
        spec: &OpSpec,
        args: &Args<'_>,
        payload: &mut [u8],
        room: &mut Room<'_>,
    ) -> Result<()> {
        let has_room = |arg: &Arg<'_>| {
            arg.shared.is_none() && !arg.is_null() && !arg.is_allocate() && !arg.has_data()
        };
        let mut layout = Layout::new();
        for arg in args.writes().filter(has_room) {
            layout.place(arg.size as u64)?;
        }
        let outputs = match layout.end() {
            0 => &mut [][..],
            total => {
                let buffer = room.pool.take_zeroed(total).ok_or_else(no_memory)?;
                &mut self.outputs.insert(buffer)[..]
            }
        };
        let (outputs, length): (*mut u8, usize) = (outputs.as_mut_ptr(), outputs.len());
        let mut layout = Layout::new();
        for arg in args.writes() {
            let mut shared = None;
            let (data, size) = if let Some(place) = arg.shared {
                let out = room.output(spec, &arg, place, &mut self.copies)?;
                shared = Some(out);
                (out.data.cast(), arg.size)
            } else if has_room(&arg) {
                let range = layout.place(arg.size as u64)?;
                if range.is_empty() {
                    (ptr::null_mut(), 0)
                } else {
                    debug_assert!(range.end <= length);
                    // SAFETY: the same walk as above, which gave the buffer its length.
                    (unsafe { outputs.add(range.start) }.cast(), range.len())
                }
            } else {
                place(payload, &arg.range)
            };
            let mut slot = Slot {
                type_: arg.type_,
                custom_type: arg.custom_type,
                null: arg.is_null(),
                data,
                capacity: size,
                tensor: 0,
                status: spec
                    .write
                    .get(arg.index)
                    .is_some_and(|param| param.name.starts_with("status")),
                shared,
                kept: arg.kept,
            };
            if arg.has_bytes() {
                // SAFETY: as for read arguments.
                check(&arg, unsafe { bytes(data, size) })?;
            } else {
                check(&arg, &[])?;
            }
            if arg.kept.is_some() {
                only_model_run(spec)?;
            }
            let arg = match &arg.tensor {
                Some(tensor) => {
                    slot.tensor = self.add_tensor_struct(tensor, data, size);
                    if slot.kept.is_some() {
                        self.tensors[slot.tensor].flags = TENSOR_KEEP;
                    }
                    tensor_arg(&mut self.tensors[slot.tensor])
                }
                None => vaccel_arg {
                    buf: data,
                    size,
                    type_: arg.type_,
                    custom_type_id: arg.custom_type,
                    owned: false,
                },
            };
            self.write.push(arg);
            self.slots.push(slot);
        }
        Ok(())
    }

    /// Adds the C structure of a tensor and returns its index.
    fn add_tensor_struct(&mut self, tensor: &Tensor<'_>, data: *mut c_void, size: usize) -> usize {
        let mut raw = vaccel_tensor::empty();
        if let Some(name) = tensor.name {
            let start = self.names.len();
            // Room was made by `reserve`.
            self.names.extend_from_slice(name);
            self.names.push(0);
            raw.name = self.names[start..].as_ptr().cast();
        }
        let (dims, rank) = tensor.shape();
        raw.dims = dims;
        // At most 8.
        raw.rank = rank as u32;
        raw.dtype = tensor.dtype.into();
        raw.data = data;
        raw.size = size;
        self.tensors.push(raw);
        self.tensors.len() - 1
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.clear();
    }
}
