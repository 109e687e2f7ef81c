//! Tensors that stay where they were computed: outputs that are inputs of later calls
//! and are read back only when somebody asks for them.
//!
//! The library numbers them. A tensor lives in memory of the library when its plugin
//! computes in this process, and with the plugin when that can keep tensors (a
//! transport, a device). It belongs to one session and goes with it. Numbers are never used
//! again, so that an old one never means another tensor.

use crate::alloc::Block;
use crate::model::{check_shape, deliver};
use crate::plugin::Plugin;
use crate::ptr::Ptr;
use crate::{Result, alloc, err, fail, get, lock, log_warn, op, session};
use std::collections::HashMap;
use std::ffi::c_void;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use vaccel_abi::error::ENOTSUP;
use vaccel_abi::model::{
    DTYPE_UNDEFINED, Dtype, TENSOR_KEEP, TENSOR_MAX_RANK, TENSOR_OWNED, dtype_name, tensor_bytes,
    vaccel_tensor,
};
use vaccel_abi::op::OP_MODEL_RUN;
use vaccel_abi::plugin::{TensorFetchFn, TensorFreeFn, TensorKeepFn};
use vaccel_abi::session::vaccel_session;
use vaccel_abi::vaccel_id_t;

/// One kept tensor.
#[derive(Debug)]
struct Kept {
    session: vaccel_id_t,
    dtype: Dtype,
    rank: u32,
    dims: [i64; TENSOR_MAX_RANK],
    size: usize,
    home: Home,
}

/// Where its elements are.
#[derive(Debug)]
enum Home {
    Here(Memory),
    Plugin(Keeper, u64),
}

#[derive(Debug)]
struct Memory(Block<c_void>);

// SAFETY: memory from libc with one owner, only read until it is freed.
unsafe impl Send for Memory {}
// SAFETY: as above.
unsafe impl Sync for Memory {}

/// The functions of a plugin that keeps tensors.
#[derive(Debug, Clone, Copy)]
struct Keeper {
    plugin: &'static Plugin,
    keep: TensorKeepFn,
    fetch: TensorFetchFn,
    free: TensorFreeFn,
}

impl Keeper {
    fn of(plugin: &'static Plugin) -> Option<Self> {
        let ext = plugin.ext();
        Some(Self {
            plugin,
            keep: ext.tensor_keep?,
            fetch: ext.tensor_fetch?,
            free: ext.tensor_free?,
        })
    }

    fn is(&self, plugin: &Plugin) -> bool {
        std::ptr::eq(self.plugin, plugin)
    }

    fn fetch(&self, sess: Ptr<vaccel_session>, handle: u64, out: &mut vaccel_tensor) -> Result {
        // SAFETY: a function of a plugin that serves the session, which is open.
        match unsafe { (self.fetch)(sess.as_ptr(), handle, out) } {
            0 => Ok(()),
            code => Err(self.plugin.error("fetching a tensor", code)),
        }
    }
}

static KEPT: LazyLock<Mutex<HashMap<u64, Arc<Kept>>>> = LazyLock::new(Mutex::default);
static NEXT: AtomicU64 = AtomicU64::new(1);

/// True when a call has anything to do with kept tensors.
pub(crate) fn concerns(inputs: &[vaccel_tensor], outputs: &[vaccel_tensor]) -> bool {
    inputs.iter().any(|t| t.handle != 0)
        || outputs
            .iter()
            .any(|t| t.handle != 0 || t.flags & TENSOR_KEEP != 0)
}

/// Bytes that a call moves for these tensors.
pub(crate) fn moved(tensors: &[vaccel_tensor]) -> usize {
    let own = |t: &&vaccel_tensor| t.handle == 0;
    tensors
        .iter()
        .filter(own)
        .fold(0, |sum, t| sum.saturating_add(t.size))
}

fn find(sess: Ptr<vaccel_session>, handle: u64) -> Result<Arc<Kept>> {
    let found = lock(&KEPT).get(&handle).cloned();
    match found {
        Some(kept) if kept.session == get!(sess.id) => Ok(kept),
        Some(_) => fail!(
            EPERM,
            "the kept tensor {handle} belongs to another session; fetch it there"
        ),
        None => fail!(
            ENOENT,
            "the kept tensor {handle} is stale: it was released, or its session has ended"
        ),
    }
}

/// The tensors of one run as its plugin gets them.
pub(crate) struct Bound {
    pub(crate) inputs: Vec<vaccel_tensor>,
    pub(crate) outputs: Vec<vaccel_tensor>,
    /// Which outputs are to be kept.
    keep: Vec<bool>,
    keeper: Option<Keeper>,
    // The inputs point into these.
    _kept: Vec<Arc<Kept>>,
    _fetched: Vec<Memory>,
}

impl Bound {
    /// Replaces numbers by what they stand for.
    ///
    /// # Errors
    /// `ENOENT` for a number that means nothing any more, `EPERM` for one of another
    /// session, `EINVAL` for a shape that does not fit or an output that is kept and
    /// has memory.
    pub(crate) fn new(
        sess: Ptr<vaccel_session>,
        plugin: &'static Plugin,
        inputs: &[vaccel_tensor],
        outputs: &[vaccel_tensor],
    ) -> Result<Self> {
        let mut bound = Self {
            inputs: Vec::with_capacity(inputs.len()),
            outputs: outputs.to_vec(),
            keep: Vec::with_capacity(outputs.len()),
            keeper: Keeper::of(plugin),
            _kept: Vec::new(),
            _fetched: Vec::new(),
        };
        for (i, tensor) in inputs.iter().enumerate() {
            let tensor = match tensor.handle {
                0 => *tensor,
                _ => bound
                    .input(sess, plugin, tensor)
                    .map_err(|e| e.context(format!("input {i}")))?,
            };
            bound.inputs.push(tensor);
        }
        for (i, tensor) in bound.outputs.iter_mut().enumerate() {
            let keep = tensor.flags & TENSOR_KEEP != 0;
            bound.keep.push(keep);
            if tensor.handle != 0 {
                fail!(
                    EINVAL,
                    "output {i} holds the kept tensor {}: release it first",
                    tensor.handle
                );
            }
            if keep && !tensor.data.is_null() {
                fail!(
                    EINVAL,
                    "output {i} is to be kept and has memory: choose one"
                );
            }
            if keep && bound.keeper.is_none() {
                tensor.flags &= !TENSOR_KEEP;
            }
        }
        Ok(bound)
    }

    fn input(
        &mut self,
        sess: Ptr<vaccel_session>,
        plugin: &Plugin,
        tensor: &vaccel_tensor,
    ) -> Result<vaccel_tensor> {
        let kept = find(sess, tensor.handle)?;
        let mut bound = kept.describe();
        bound.name = tensor.name;
        if tensor.dtype != DTYPE_UNDEFINED {
            // The same elements may be looked at in another shape.
            let dims = check_shape(tensor)?;
            if tensor.dtype != kept.dtype || tensor_bytes(tensor.dtype, dims) != Some(kept.size) {
                fail!(
                    EINVAL,
                    "{} {dims:?} does not fit the kept tensor {} {:?}",
                    dtype_name(tensor.dtype),
                    dtype_name(kept.dtype),
                    bound.shape()
                );
            }
            (bound.rank, bound.dims) = (tensor.rank, tensor.dims);
        }
        if !tensor.data.is_null() {
            fail!(EINVAL, "a kept tensor has no data; set it to NULL");
        }
        match &kept.home {
            Home::Here(memory) => bound.data = memory.0.as_ptr(),
            Home::Plugin(keeper, handle) if keeper.is(plugin) => bound.handle = *handle,
            // Another backend than the one that has it runs this model.
            Home::Plugin(keeper, handle) => {
                let mut raw = vaccel_tensor::empty();
                keeper.fetch(sess, *handle, &mut raw)?;
                bound.data = raw.data;
                self._fetched.push(memory_of(&raw)?);
            }
        }
        self._kept.push(kept);
        Ok(bound)
    }

    /// Keeps what was to be kept after a run that went well; the other outputs stay as
    /// they are.
    ///
    /// # Errors
    /// `EIO` when the plugin gave nothing, or not what it says; then nothing is kept.
    pub(crate) fn keep(&mut self, sess: Ptr<vaccel_session>) -> Result {
        let mut all = Vec::new();
        for (i, tensor) in self.outputs.iter_mut().enumerate() {
            if !self.keep[i] {
                continue;
            }
            match take(sess, tensor, self.keeper) {
                Ok(kept) => all.push((i, kept)),
                Err(e) => {
                    for (_, kept) in &all {
                        kept.free(sess);
                    }
                    self.fail(sess);
                    return Err(e.context(format!("output {i}")));
                }
            }
        }
        for (i, kept) in all {
            self.outputs[i] = kept.shown(self.outputs[i].name);
        }
        Ok(())
    }

    /// After a run that failed: frees what the plugin left in outputs to be kept.
    pub(crate) fn fail(&mut self, sess: Ptr<vaccel_session>) {
        for (tensor, _) in self.outputs.iter_mut().zip(&self.keep).filter(|(_, k)| **k) {
            discard(sess, tensor, self.keeper);
        }
    }
}

/// Frees what an output to be kept holds, and makes it such an output again.
fn discard(sess: Ptr<vaccel_session>, tensor: &mut vaccel_tensor, keeper: Option<Keeper>) {
    if tensor.handle != 0
        && let Some(keeper) = keeper
    {
        // SAFETY: a function of a plugin that serves the session, which is open.
        unsafe { (keeper.free)(sess.as_ptr(), tensor.handle) };
    }
    if tensor.flags & TENSOR_OWNED != 0 {
        // SAFETY: from libc by the flag, and nobody else has it.
        unsafe { alloc::free(tensor.data) };
    }
    *tensor = vaccel_tensor {
        name: tensor.name,
        flags: TENSOR_KEEP,
        ..vaccel_tensor::empty()
    };
}

/// Takes over what a plugin left in an output: its number, or the elements.
fn take(
    sess: Ptr<vaccel_session>,
    tensor: &mut vaccel_tensor,
    keeper: Option<Keeper>,
) -> Result<Kept> {
    let fits = check_shape(tensor).map(|dims| tensor_bytes(tensor.dtype, dims));
    if !matches!(fits, Ok(Some(bytes)) if bytes == tensor.size) {
        fail!(
            EIO,
            "the plugin gave {} bytes for {} {:?}",
            tensor.size,
            dtype_name(tensor.dtype),
            tensor.shape()
        );
    }
    let home = match (tensor.handle, keeper) {
        (0, _) => Home::Here(memory_of(tensor)?),
        (handle, Some(keeper)) => Home::Plugin(keeper, handle),
        (_, None) => fail!(EIO, "the plugin keeps tensors, and says that it does not"),
    };
    let kept = Kept {
        session: get!(sess.id),
        dtype: tensor.dtype,
        rank: tensor.rank,
        dims: tensor.dims,
        size: tensor.size,
        home,
    };
    (tensor.data, tensor.flags, tensor.handle) = (std::ptr::null_mut(), 0, 0);
    Ok(kept)
}

/// The elements of a tensor that a plugin made: its own memory, or a copy of what is
/// not from libc.
fn memory_of(tensor: &vaccel_tensor) -> Result<Memory> {
    if tensor.data.is_null() && tensor.size > 0 {
        fail!(EIO, "the plugin gave no data");
    }
    let data = if tensor.flags & TENSOR_OWNED != 0 {
        tensor.data
    } else {
        copy_of(tensor)?
    };
    // SAFETY: from libc, by the flag or made above, and nobody else has it.
    Ok(Memory(unsafe { Block::from_raw(data) }))
}

fn copy_of(tensor: &vaccel_tensor) -> Result<*mut c_void> {
    let bytes: &[u8] = if tensor.size == 0 {
        &[]
    } else {
        // SAFETY: a tensor has `size` bytes at `data`, which the callers have checked.
        unsafe { std::slice::from_raw_parts(tensor.data.cast(), tensor.size) }
    };
    Ok(alloc::copy(bytes)?.cast())
}

impl Kept {
    /// Type, shape and size, without data.
    fn describe(&self) -> vaccel_tensor {
        vaccel_tensor {
            dtype: self.dtype,
            rank: self.rank,
            dims: self.dims,
            size: self.size,
            ..vaccel_tensor::empty()
        }
    }

    /// Gives it a number, and what the program sees of it.
    fn shown(self, name: *const std::ffi::c_char) -> vaccel_tensor {
        let shown = vaccel_tensor {
            name,
            flags: TENSOR_KEEP,
            handle: NEXT.fetch_add(1, Ordering::Relaxed),
            ..self.describe()
        };
        lock(&KEPT).insert(shown.handle, Arc::new(self));
        shown
    }

    /// Has the plugin free what it keeps.
    fn free(&self, sess: Ptr<vaccel_session>) {
        if let Home::Plugin(keeper, handle) = &self.home {
            // SAFETY: a function of a plugin that serves the session, which is open.
            let code = unsafe { (keeper.free)(sess.as_ptr(), *handle) };
            if code != 0 {
                log_warn!("{}", keeper.plugin.error("freeing a kept tensor", code));
            }
        }
    }
}

/// `vaccel_tensor_keep`: a copy of a tensor that stays where models run.
///
/// # Errors
/// `ENOTSUP` when the session's plugin runs no models; `EINVAL` for a malformed tensor;
/// `ENOSPC` beyond the agent's quota; `ENOMEM`.
pub fn keep(sess: Ptr<vaccel_session>, tensor: &vaccel_tensor, out: Ptr<vaccel_tensor>) -> Result {
    session::slot(sess)?;
    let plugin = op::serving(sess, OP_MODEL_RUN).ok_or_else(|| op::missing(sess, OP_MODEL_RUN))?;
    if tensor.handle != 0 {
        fail!(EINVAL, "the tensor is kept already, as {}", tensor.handle);
    }
    crate::model::check_input(tensor)?;
    let mut home = None;
    if let Some(keeper) = Keeper::of(plugin) {
        let mut handle = 0;
        // SAFETY: a function of a loaded plugin; the session is open and the tensor checked.
        match unsafe { (keeper.keep)(sess.as_ptr(), tensor, &raw mut handle) } {
            0 if handle != 0 => home = Some(Home::Plugin(keeper, handle)),
            0 => fail!(EIO, "the plugin gave the kept tensor no number"),
            ENOTSUP => {}
            code => return Err(plugin.error("keeping a tensor", code)),
        }
    }
    let home = match home {
        Some(home) => home,
        // SAFETY: a new block.
        None => Home::Here(Memory(unsafe { Block::from_raw(copy_of(tensor)?) })),
    };
    let kept = Kept {
        session: get!(sess.id),
        dtype: tensor.dtype,
        rank: tensor.rank,
        dims: tensor.dims,
        size: tensor.size,
        home,
    };
    out.write(kept.shown(tensor.name));
    Ok(())
}

/// `vaccel_tensor_fetch`: the elements of a kept tensor, which stays kept.
///
/// # Errors
/// `ENOENT` for a number that means nothing any more; `EPERM` for one of another session;
/// `ERANGE` when the caller's memory is too small; those of the plugin.
pub fn fetch(sess: Ptr<vaccel_session>, handle: u64, out: Ptr<vaccel_tensor>) -> Result {
    session::slot(sess)?;
    let kept = find(sess, handle)?;
    if get!(out.handle) != 0 || get!(out.flags) & TENSOR_KEEP != 0 {
        fail!(
            EINVAL,
            "the output is a kept tensor itself; give another one"
        );
    }
    // SAFETY: the program's structure, which nobody else uses during the call.
    let out = unsafe { &mut *out.as_ptr() };
    if out.data.is_null() {
        (out.size, out.flags) = (0, 0);
    }
    match &kept.home {
        Home::Plugin(keeper, handle) => keeper.fetch(sess, *handle, out),
        Home::Here(memory) => {
            let shape = (kept.dims, kept.rank);
            let from = vaccel_tensor {
                data: memory.0.as_ptr(),
                ..kept.describe()
            };
            let room = (!out.data.is_null()).then_some(out.size);
            if room.is_some_and(|room| room < kept.size) {
                // Said before anything is copied.
                (out.dtype, out.rank, out.dims, out.size) =
                    (kept.dtype, kept.rank, kept.dims, kept.size);
                let room = room.unwrap_or(0);
                return Err(err!(
                    ERANGE,
                    "the tensor has {} bytes and the buffer {room}",
                    kept.size
                )
                .quiet());
            }
            // SAFETY: freed unless handed on.
            let copy = unsafe { Block::from_raw(copy_of(&from)?) };
            deliver(out, copy, kept.size, kept.dtype, shape)
        }
    }
}

/// Frees a kept tensor; a number that means nothing any more is fine.
pub(crate) fn forget(handle: u64) {
    let Some(kept) = lock(&KEPT).remove(&handle) else {
        return;
    };
    let Some(slot) = session::slot_by_id(kept.session) else {
        return;
    };
    // SAFETY: a structure whose session is open; the program keeps it until then.
    if let Ok(sess) = unsafe { Ptr::new(slot.session.load(Ordering::Acquire), "session") } {
        kept.free(sess);
    }
}

/// The session ends, or leaves its plugin: its tensors go. What the plugin keeps it
/// frees with the session.
pub(crate) fn end_session(id: vaccel_id_t) {
    let mut gone = Vec::new();
    lock(&KEPT).retain(|_, kept| {
        let stays = kept.session != id;
        if !stays {
            gone.push(Arc::clone(kept));
        }
        stays
    });
    // Freed without the lock: it may be much.
    drop(gone);
}
