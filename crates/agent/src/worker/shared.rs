//! Arguments that lie in memory which the client shares.
//!
//! The client can change that memory while an operation runs. So only plain arrays of
//! numbers, which operations compute with and never follow, are handed over as they
//! are; everything else is copied to memory of the worker first, whatever its size:
//! texts, pictures, bytes, counts, and numbers that may be used as indices. Outputs
//! follow the same rule: an operation may read back what it wrote.

use std::ops::Range;
use std::ptr::NonNull;
use std::sync::Arc;

use vaccel_abi::arg::{ARG_FLOAT32_ARRAY, ARG_FLOAT64_ARRAY, ARG_INT32_ARRAY};
use vaccel_abi::error::{EINVAL, ENOMEM};
use vaccel_abi::op::{
    OP_BLAS_SGEMM, OP_FPGA_ARRAYCOPY, OP_FPGA_MMULT, OP_FPGA_PARALLEL, OP_FPGA_VECTORADD,
    OP_MINMAX, OP_MODEL_RUN, OP_TF_MODEL_RUN, OP_TFLITE_MODEL_RUN, OP_TORCH_MODEL_RUN,
    OP_TORCH_SGEMM,
};
use vaccel_abi::table::OpSpec;
use vaccel_abi::{model, tensor};
use vaccel_transport::shm::Memory;
use vaccel_transport::{Buffer, Pool};
use vaccel_wire::{Arg, Place};

use super::failure::{Failure, Result};

/// True for an argument that the operation may have as it lies in shared memory.
fn is_plain(spec: &OpSpec, arg: &Arg<'_>) -> bool {
    if let Some(about) = &arg.tensor {
        let dtype = u32::from(about.dtype);
        return match spec.code {
            OP_MODEL_RUN => [model::DTYPE_F32, model::DTYPE_F64, model::DTYPE_F16].contains(&dtype),
            OP_TF_MODEL_RUN => {
                [tensor::TF_FLOAT, tensor::TF_DOUBLE, tensor::TF_HALF].contains(&dtype)
            }
            OP_TFLITE_MODEL_RUN => {
                [tensor::TFLITE_FLOAT32, tensor::TFLITE_FLOAT64].contains(&dtype)
            }
            OP_TORCH_MODEL_RUN => [tensor::TORCH_FLOAT, tensor::TORCH_HALF].contains(&dtype),
            _ => false,
        };
    }
    match spec.code {
        OP_BLAS_SGEMM | OP_TORCH_SGEMM | OP_FPGA_MMULT | OP_FPGA_PARALLEL | OP_FPGA_VECTORADD => {
            arg.type_ == ARG_FLOAT32_ARRAY
        }
        OP_MINMAX => arg.type_ == ARG_FLOAT64_ARRAY,
        OP_FPGA_ARRAYCOPY => arg.type_ == ARG_INT32_ARRAY,
        _ => false,
    }
}

/// Where an output is to go in shared memory.
#[derive(Debug, Clone, Copy)]
pub struct SharedOut {
    /// As the request says.
    pub place: Place,
    /// What the operation writes to: that place, or a copy.
    pub data: *mut u8,
    /// That place.
    target: NonNull<u8>,
    /// Its size.
    room: usize,
}

impl SharedOut {
    /// True when the operation left its output where it was told to.
    #[must_use]
    pub fn holds(&self, data: *mut u8) -> bool {
        data == self.data
    }

    /// Brings what the operation wrote to its place. False when it is nothing.
    #[must_use]
    pub fn deliver(&self, size: usize) -> bool {
        let size = size.min(self.room);
        if self.data != self.target.as_ptr() {
            // SAFETY: both have room for `room` bytes; one is a buffer of the call.
            unsafe { std::ptr::copy_nonoverlapping(self.data, self.target.as_ptr(), size) };
        }
        size > 0
    }
}

/// Looks up the places of one request.
pub struct Room<'m> {
    memory: Option<&'m Memory>,
    /// For copies and for outputs that are sent.
    pub pool: &'m Arc<Pool>,
    /// What operations read and write in place, by address.
    reads: Vec<Range<usize>>,
    writes: Vec<Range<usize>>,
}

impl<'m> Room<'m> {
    /// For the memory of a connection.
    #[must_use]
    pub fn new(memory: Option<&'m Memory>, pool: &'m Arc<Pool>) -> Self {
        Self {
            memory,
            pool,
            reads: Vec::new(),
            writes: Vec::new(),
        }
    }

    fn at(&self, place: Place, size: usize) -> Result<NonNull<u8>> {
        let memory = self
            .memory
            .ok_or_else(|| Failure::new(EINVAL, "no memory is shared on this connection"))?;
        memory.at(place, size).map_err(Failure::invalid)
    }

    fn copy(&self, from: NonNull<u8>, size: usize, copies: &mut Vec<Buffer>) -> Result<*mut u8> {
        let no_memory = || Failure::new(ENOMEM, "the agent has no memory for this request");
        let mut buffer = self.pool.take(size).ok_or_else(no_memory)?;
        // SAFETY: `size` bytes are mapped there; what they are does not matter, and
        // the buffer is ours alone.
        unsafe { std::ptr::copy_nonoverlapping(from.as_ptr(), buffer.as_mut_ptr(), size) };
        let at = buffer.as_mut_ptr();
        copies.push(buffer);
        Ok(at)
    }

    /// The bytes of a read argument.
    ///
    /// # Errors
    /// `EINVAL` when there is no such place.
    pub fn input(
        &mut self,
        spec: &OpSpec,
        arg: &Arg<'_>,
        place: Place,
        copies: &mut Vec<Buffer>,
    ) -> Result<(*mut libc::c_void, usize)> {
        let at = self.at(place, arg.size)?;
        let at = if is_plain(spec, arg) {
            self.reads.push(range(at, arg.size));
            at.as_ptr()
        } else {
            self.copy(at, arg.size, copies)?
        };
        Ok((at.cast(), arg.size))
    }

    /// The place of a write argument.
    ///
    /// # Errors
    /// As [`input`](Self::input).
    pub fn output(
        &mut self,
        spec: &OpSpec,
        arg: &Arg<'_>,
        place: Place,
        copies: &mut Vec<Buffer>,
    ) -> Result<SharedOut> {
        let target = self.at(place, arg.size)?;
        self.writes.push(range(target, arg.size));
        let data = if is_plain(spec, arg) {
            target.as_ptr()
        } else if arg.has_bytes() {
            self.copy(target, arg.size, copies)?
        } else {
            let mut buffer = self
                .pool
                .take_zeroed(arg.size)
                .ok_or_else(|| Failure::new(ENOMEM, "the agent has no memory for this request"))?;
            let at = buffer.as_mut_ptr();
            copies.push(buffer);
            at
        };
        Ok(SharedOut {
            place,
            data,
            target,
            room: arg.size,
        })
    }

    /// Refuses outputs that lie over other arguments: operations expect them apart.
    ///
    /// # Errors
    /// `EINVAL`.
    pub fn check(&mut self) -> Result<()> {
        let meet = |a: &Range<usize>, b: &Range<usize>| a.start < b.end && b.start < a.end;
        self.writes.sort_unstable_by_key(|r| r.start);
        let over = self.writes.windows(2).any(|w| meet(&w[0], &w[1]))
            || self.reads.iter().any(|r| {
                let after = self.writes.partition_point(|w| w.end <= r.start);
                self.writes.get(after).is_some_and(|w| meet(w, r))
            });
        if over {
            return Err(Failure::invalid(
                "an output lies over another argument in shared memory",
            ));
        }
        Ok(())
    }
}

fn range(at: NonNull<u8>, size: usize) -> Range<usize> {
    let start = at.as_ptr() as usize;
    // Inside a mapping, so that it does not wrap.
    start..start + size
}
