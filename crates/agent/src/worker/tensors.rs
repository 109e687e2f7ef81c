//! The tensors that the sessions of one connection keep.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use vaccel::{KeptTensor, Session};
use vaccel_abi::error::{EINVAL, ENOENT, EPERM, ERANGE, EUSERS};
use vaccel_abi::model::{TENSOR_KEEP, TENSOR_MAX_RANK, TENSOR_OWNED, vaccel_tensor};
use vaccel_transport::shm::Memory;
use vaccel_wire::control::only;
use vaccel_wire::{Arg, Args, FrameBuilder, TENSOR, TensorMeta};

use super::failure::{Failure, Result};
use super::resources::{Quota, Share};

/// Tensors that a connection may keep.
const MAX: usize = 65_536;

/// The kept tensors of one connection, by the numbers that the client knows.
///
/// A number is drawn at random, so that one of another connection means nothing here.
#[derive(Debug)]
pub struct Tensors {
    known: Mutex<HashMap<i64, Entry>>,
    quota: Arc<Quota>,
}

#[derive(Debug)]
struct Entry {
    session: i64,
    tensor: Arc<KeptTensor>,
    _share: Share,
}

impl Tensors {
    /// No tensors; they count with what resources take.
    #[must_use]
    pub fn new(quota: Arc<Quota>) -> Self {
        Self {
            known: Mutex::default(),
            quota,
        }
    }

    /// Takes over what the library keeps, and returns the number for the client.
    ///
    /// # Errors
    /// `ENOSPC` when it is too large; `EUSERS` when there are too many. It is freed then.
    pub fn add(&self, session: i64, tensor: KeptTensor) -> Result<i64> {
        let share = Share::take(&self.quota, "the tensor", tensor.size() as u64)?;
        let number = super::random_id()?;
        let entry = Entry {
            session,
            tensor: Arc::new(tensor),
            _share: share,
        };
        let mut known = self.lock();
        if known.len() >= MAX {
            return Err(Failure::new(
                EUSERS,
                format!("a connection may keep {MAX} tensors"),
            ));
        }
        known.insert(number, entry);
        Ok(number)
    }

    /// The tensor of a number; it stays for as long as the result lives.
    ///
    /// # Errors
    /// `ENOENT` for an unknown number; `EPERM` for one of another session.
    pub fn get(&self, session: i64, number: i64) -> Result<Arc<KeptTensor>> {
        match self.lock().get(&number) {
            Some(entry) if entry.session == session => Ok(Arc::clone(&entry.tensor)),
            Some(_) => Err(Failure::new(
                EPERM,
                format!("the kept tensor {number} belongs to another session"),
            )),
            None => Err(unknown(number)),
        }
    }

    /// Frees a tensor, once no call uses it.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn remove(&self, session: i64, number: i64) -> Result<()> {
        self.get(session, number)?;
        let entry = self.lock().remove(&number);
        // Without the lock: it may be large.
        drop(entry);
        Ok(())
    }

    /// Forgets a session that has been closed.
    pub fn forget_session(&self, session: i64) {
        let mut gone = Vec::new();
        let mut known = self.lock();
        let numbers: Vec<i64> = known
            .iter()
            .filter(|(_, entry)| entry.session == session)
            .map(|(number, _)| *number)
            .collect();
        for number in numbers {
            gone.extend(known.remove(&number));
        }
        drop(known);
        drop(gone);
    }

    /// Lets go of everything.
    pub fn clear(&self) {
        let all: Vec<_> = self.lock().drain().collect();
        drop(all);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<i64, Entry>> {
        // No operation on the map can be left half done.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `TENSOR_KEEP`: keeps a copy of a tensor that the client sends.
    ///
    /// # Errors
    /// `EINVAL` for arguments that are not those of the operation; those of [`add`](Self::add).
    pub fn keep(
        &self,
        (number, session): (i64, &Session),
        args: &Args<'_>,
        payload: &[u8],
        memory: Option<&Memory>,
        builder: &mut FrameBuilder<'_, '_>,
    ) -> Result<()> {
        let arg = one(args.reads(), "the tensor")?;
        let out = one(args.writes(), "the place for the kept tensor")?;
        if out.kept.is_none() || !arg.has_bytes() {
            return Err(Failure::invalid(
                "a tensor with its bytes is kept, and its number returned",
            ));
        }
        // Refused before its memory is taken.
        drop(Share::take(&self.quota, "the tensor", arg.size as u64)?);
        let copy;
        let bytes = match arg.shared {
            None => arg.bytes(payload),
            Some(place) => {
                copy = copy_of(memory, &arg, place)?;
                &copy
            }
        };
        let mut raw = vaccel_tensor::empty();
        describe(&mut raw, &arg);
        raw.data = bytes.as_ptr().cast_mut().cast();
        raw.size = bytes.len();
        // SAFETY: the tensor has as many bytes as it says, and they are only read.
        let kept = unsafe { KeptTensor::of_raw(session, &raw) }?;
        let size = kept.size();
        let added = self.add(number, kept)?;
        builder.write_tensor_kept(&meta(&raw), size, added);
        Ok(())
    }

    /// `TENSOR_FETCH`: sends the elements of a kept tensor.
    ///
    /// # Errors
    /// Those of [`get`](Self::get); `ERANGE` when the client's memory is too small.
    pub fn fetch(
        &self,
        session: i64,
        args: &Args<'_>,
        payload: &[u8],
        memory: Option<&Memory>,
        builder: &mut FrameBuilder<'_, '_>,
    ) -> Result<()> {
        let tensor = self.get(session, only(args, payload)?)?;
        let out = one(args.writes(), "the place for the tensor")?;
        if !out.is_allocate() && out.size < tensor.size() {
            let (size, room) = (tensor.size(), out.size);
            return Err(Failure::new(
                ERANGE,
                format!("the tensor has {size} bytes, and there is room for {room}"),
            ));
        }
        let mut raw = vaccel_tensor::empty();
        if let Some(place) = out.shared
            && tensor.size() > 0
        {
            let memory = memory.ok_or_else(no_memory_shared)?;
            let at = memory.at(place, out.size).map_err(Failure::invalid)?;
            (raw.data, raw.size) = (at.as_ptr().cast(), out.size);
            // SAFETY: so many bytes are mapped there; the library only writes them.
            unsafe { tensor.fetch_raw(&mut raw)? };
            builder.write_tensor_shared(&meta(&raw), raw.size.min(out.size), place);
            return Ok(());
        }
        // SAFETY: an output without memory.
        unsafe { tensor.fetch_raw(&mut raw)? };
        let bytes: &[u8] = if raw.data.is_null() {
            &[]
        } else {
            // SAFETY: the call succeeded and wrote so many bytes.
            unsafe { std::slice::from_raw_parts(raw.data.cast(), raw.size) }
        };
        builder.write_tensor_copy(&meta(&raw), bytes);
        if raw.flags & TENSOR_OWNED != 0 {
            // SAFETY: from malloc by the flag, and the bytes were copied.
            unsafe { libc::free(raw.data) };
        }
        Ok(())
    }
}

/// Takes what a call kept from the structure of an output.
///
/// # Errors
/// Those of [`Tensors::add`].
pub fn adopt(
    tensors: &Tensors,
    (number, session): (i64, &Session),
    raw: &mut vaccel_tensor,
) -> Result<i64> {
    // SAFETY: the library kept it for this structure alone, which lets go of it here.
    let kept = unsafe { KeptTensor::from_raw(session, *raw) }?;
    (raw.handle, raw.flags) = (0, raw.flags & !TENSOR_KEEP);
    tensors.add(number, kept)
}

/// The only argument of a list, a tensor.
fn one<'m>(mut list: vaccel_wire::ArgIter<'m>, what: &str) -> Result<Arg<'m>> {
    match (list.next(), list.next()) {
        (Some(arg), None) if arg.type_ == TENSOR && !arg.is_null() => Ok(arg),
        _ => Err(Failure::new(EINVAL, format!("{what} is missing"))),
    }
}

fn copy_of(memory: Option<&Memory>, arg: &Arg<'_>, place: vaccel_wire::Place) -> Result<Vec<u8>> {
    let memory = memory.ok_or_else(no_memory_shared)?;
    let at = memory.at(place, arg.size).map_err(Failure::invalid)?;
    let mut copy = Vec::new();
    copy.try_reserve_exact(arg.size)
        .map_err(|_| std::io::Error::from(std::io::ErrorKind::OutOfMemory))?;
    // SAFETY: so many bytes are mapped there, and as many were reserved; what they are
    // does not matter.
    unsafe {
        std::ptr::copy_nonoverlapping(at.as_ptr(), copy.as_mut_ptr(), arg.size);
        copy.set_len(arg.size);
    }
    Ok(copy)
}

/// Type and shape of an argument.
fn describe(raw: &mut vaccel_tensor, arg: &Arg<'_>) {
    if let Some(tensor) = &arg.tensor {
        let (dims, rank) = tensor.shape();
        // At most 8.
        (raw.dims, raw.rank) = (dims, rank as u32);
        raw.dtype = tensor.dtype.into();
    }
}

fn meta(tensor: &vaccel_tensor) -> TensorMeta<'_> {
    TensorMeta {
        // Numbers of types are small; one that is not becomes one that nobody knows.
        dtype: u16::try_from(tensor.dtype).unwrap_or(u16::MAX),
        dims: &tensor.dims[..(tensor.rank as usize).min(TENSOR_MAX_RANK)],
        name: None,
    }
}

fn no_memory_shared() -> Failure {
    Failure::invalid("no memory is shared on this connection")
}

fn unknown(number: i64) -> Failure {
    Failure::new(
        ENOENT,
        format!("this connection keeps no tensor {number}: it was freed, or is of another one"),
    )
}
