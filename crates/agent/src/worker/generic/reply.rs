//! What a call wrote, as a reply.

use vaccel_abi::error::ERANGE;
use vaccel_abi::model::TENSOR_OWNED;
use vaccel_wire::{Frame, FrameBuffer, FrameBuilder, Header, TENSOR};

use super::memory::{meta, slice, written};
use super::{Call, Slot};
use crate::worker::failure::{Failure, Result};

impl Call {
    /// Bytes of outputs that the operation wrote to shared memory.
    #[must_use]
    pub fn written_shared(&self) -> u64 {
        self.sizes(|slot| slot.shared.is_some())
    }

    /// Bytes of all outputs.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.sizes(|_| true)
    }

    fn sizes(&self, of: impl Fn(&Slot) -> bool) -> u64 {
        let sizes = self
            .slots
            .iter()
            .zip(&self.write)
            .filter(|(slot, _)| of(slot));
        let sizes = sizes.map(|(slot, arg)| match slot.type_ == TENSOR && !slot.null {
            true => self.tensors[slot.tensor].size as u64,
            false => arg.size as u64,
        });
        // What an operation says of its outputs is checked elsewhere.
        sizes.fold(0, u64::saturating_add)
    }

    /// Builds the reply to a call that succeeded.
    ///
    /// # Errors
    /// When what the operation wrote cannot be sent.
    pub fn reply<'b>(
        &'b self,
        header: &Header,
        payload: &'b [u8],
        buffer: &'b mut FrameBuffer,
    ) -> Result<Frame<'b, 'b>> {
        // The payload is only named so that it stays while outputs lie in it.
        let _ = payload;
        let mut builder = buffer.reply(header);
        for (slot, arg) in self.slots.iter().zip(&self.write) {
            if slot.null {
                builder.write_null(slot.type_);
            } else if let Some(number) = slot.kept {
                let tensor = &self.tensors[slot.tensor];
                builder.write_tensor_kept(&meta(tensor), tensor.size, number);
            } else if slot.type_ == TENSOR {
                self.add_tensor(&mut builder, slot)?;
            } else if let Some(shared) = slot.shared.filter(|s| s.holds(arg.buf.cast())) {
                let written = written(slot, arg.buf, arg.size, arg.owned)?;
                if shared.deliver(written.size) {
                    let place = shared.place;
                    builder.write_shared(slot.type_, slot.custom_type, written.size, place);
                } else {
                    builder.write_bytes(slot.type_, slot.custom_type, &[]);
                }
            } else {
                let written = written(slot, arg.buf, arg.size, arg.owned)?;
                // SAFETY: `written` has checked that so many bytes are there; they
                // stay until the next call or the end of `self`.
                let bytes = unsafe { slice(&written) };
                builder.write_bytes(slot.type_, slot.custom_type, bytes);
            }
        }
        Ok(builder.finish()?)
    }

    /// Builds the reply to a call that failed and has more to say than why: the size that
    /// a tensor would have needed, or the status of TensorFlow. `None` for other failures.
    pub fn failure_reply<'b>(
        &'b self,
        header: &Header,
        failure: &Failure,
        buffer: &'b mut FrameBuffer,
    ) -> Option<Frame<'b, 'b>> {
        let too_small = |slot: &Slot| failure.code == ERANGE && slot.type_ == TENSOR;
        let says = |slot: &Slot| !slot.null && (slot.status || too_small(slot));
        if !self.called || !self.slots.iter().any(says) {
            return None;
        }
        let mut builder = buffer.error_reply_with(header, failure.code, &failure.message);
        for (slot, arg) in self.slots.iter().zip(&self.write) {
            if slot.null {
                builder.write_null(slot.type_);
            } else if slot.type_ == TENSOR {
                let tensor = &self.tensors[slot.tensor];
                builder.write_tensor(&meta(tensor), Some(tensor.size));
            } else if slot.status {
                let written = written(slot, arg.buf, arg.size, arg.owned).ok()?;
                // SAFETY: as in `reply`.
                let bytes = unsafe { slice(&written) };
                builder.write_bytes(slot.type_, slot.custom_type, bytes);
            } else {
                builder.write_capacity(slot.type_, slot.custom_type, slot.capacity);
            }
        }
        builder.finish().ok()
    }

    fn add_tensor<'b>(&'b self, builder: &mut FrameBuilder<'_, 'b>, slot: &Slot) -> Result<()> {
        let tensor = &self.tensors[slot.tensor];
        let owned = tensor.flags & TENSOR_OWNED != 0;
        let written = written(slot, tensor.data, tensor.size, owned)?;
        if let Some(shared) = slot.shared.filter(|s| s.holds(tensor.data.cast()))
            && shared.deliver(written.size)
        {
            builder.write_tensor_shared(&meta(tensor), written.size, shared.place);
            return Ok(());
        }
        // SAFETY: as in `reply`.
        let bytes = unsafe { slice(&written) };
        builder.write_tensor_data(&meta(tensor), bytes);
        Ok(())
    }
}
