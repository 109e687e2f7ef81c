//! The arguments of a call: what is read of C memory, and room for what is written.

use std::ffi::{CStr, c_char, c_void};
use std::sync::Arc;

use vaccel_plugin::abi::arg::{ARG_BUFFER, ARG_STRING, ArgType, vaccel_arg};
use vaccel_plugin::abi::resource::vaccel_resource;
use vaccel_plugin::{Result, bail};
use vaccel_transport::shm::Lent;
use vaccel_wire::control::BlobHead;
use vaccel_wire::{Scalar, TENSOR, TensorMeta};

use super::Call;
use super::neutral::{only_elements, tensor_of};
use crate::link;
use crate::outputs::{self, What};

impl<'a> Call<'_, 'a> {
    /// A number.
    pub(crate) fn scalar<T: Scalar>(&mut self, value: T) {
        self.builder.read_scalar(value);
    }

    /// Where bytes lie in shared memory, if they are to go there.
    fn lend(&mut self, bytes: &[u8]) -> Option<Lent> {
        let lent = self.link.connection.lend(bytes)?;
        self.blocks.push(Arc::clone(&lent.block));
        Some(lent)
    }

    /// Where an output may be written in shared memory, if it is to be.
    pub(super) fn lend_room(&mut self, at: *const u8, room: usize) -> Option<Lent> {
        let connection = &self.link.connection;
        let lent = if self.detached {
            connection.lend_other_room(room)?
        } else {
            connection.lend_room(at, room)?
        };
        self.blocks.push(Arc::clone(&lent.block));
        Some(lent)
    }

    /// Bytes of any type.
    fn read(&mut self, type_: ArgType, custom_type: u32, bytes: &'a [u8]) {
        match self.lend(bytes) {
            Some(lent) => {
                let size = bytes.len();
                self.builder
                    .read_shared(type_, custom_type, size, lent.place)
            }
            None => self.builder.read_bytes(type_, custom_type, bytes),
        };
    }

    /// An array.
    ///
    /// # Safety
    /// `at` is null, or points at `len` elements that stay until the call is over.
    pub(crate) unsafe fn array<T>(
        &mut self,
        type_: ArgType,
        at: *const T,
        len: usize,
        name: &str,
    ) -> Result<()> {
        // SAFETY: as promised by the caller.
        let bytes = unsafe { bytes(at, len, name) }?;
        self.read(type_, 0, bytes);
        Ok(())
    }

    /// Bytes.
    ///
    /// # Safety
    /// As [`array`](Self::array).
    pub(crate) unsafe fn buffer(
        &mut self,
        at: *const c_void,
        len: usize,
        name: &str,
    ) -> Result<()> {
        // SAFETY: as promised by the caller.
        unsafe { self.array(ARG_BUFFER, at.cast::<u8>(), len, name) }
    }

    /// Bytes, or a null pointer.
    ///
    /// # Safety
    /// As [`array`](Self::array).
    pub(crate) unsafe fn optional_buffer(
        &mut self,
        at: *const c_void,
        len: usize,
        name: &str,
    ) -> Result<()> {
        if at.is_null() {
            self.builder.read_null(ARG_BUFFER);
            return Ok(());
        }
        // SAFETY: as promised by the caller.
        unsafe { self.buffer(at, len, name) }
    }

    /// What is said of a file before it is sent.
    pub(crate) fn blob(&mut self, head: &BlobHead<'_>) {
        self.builder
            .read_scalar(head.type_)
            .read_copy(ARG_STRING, 0, head.name.to_bytes_with_nul())
            .read_scalar(head.size)
            .read_copy(ARG_BUFFER, 0, head.hash);
    }

    /// A string.
    ///
    /// # Safety
    /// `at` is null, or a C string that stays until the call is over.
    pub(crate) unsafe fn text(&mut self, at: *const c_char, name: &str) -> Result<()> {
        if at.is_null() {
            bail!(EINVAL, "`{name}` is null");
        }
        // SAFETY: as promised by the caller.
        let text: &'a CStr = unsafe { CStr::from_ptr(at) };
        self.builder.read_c_str(text);
        Ok(())
    }

    /// The agent's number of a resource.
    pub(crate) fn resource(&mut self, resource: *mut vaccel_resource) -> Result<()> {
        if resource.is_null() {
            bail!(EINVAL, "the resource is null");
        }
        // SAFETY: the library passes live resources.
        let id = unsafe { (&raw const (*resource).id).read() };
        let number = self
            .link
            .number(id)
            .ok_or_else(|| link::not_registered(id))?;
        self.scalar(number);
        Ok(())
    }

    /// A tensor.
    pub(crate) fn tensor(&mut self, meta: &TensorMeta<'_>, bytes: &'a [u8]) {
        match self.lend(bytes) {
            Some(lent) => {
                let size = bytes.len();
                self.builder.read_tensor_shared(meta, size, lent.place)
            }
            None => self.builder.read_tensor(meta, bytes),
        };
    }

    /// An argument as the application made it.
    ///
    /// # Safety
    /// `buf` is null or points at `size` bytes that stay until the call is over.
    pub(crate) unsafe fn argument(&mut self, arg: &vaccel_arg) -> Result<()> {
        if let Some(tensor) = tensor_of(arg) {
            // SAFETY: an argument of this type holds one tensor.
            let tensor = unsafe { tensor.read_unaligned() };
            only_elements(&tensor)?;
            // SAFETY: as above.
            return unsafe { self.neutral_tensor(&tensor) };
        }
        if arg.buf.is_null() && arg.size == 0 {
            self.builder.read_null(arg.type_);
            return Ok(());
        }
        // SAFETY: as promised by the caller.
        let bytes = unsafe { bytes(arg.buf.cast::<u8>().cast_const(), arg.size, "buf") }?;
        if arg.type_ == ARG_STRING && bytes.last() != Some(&0) {
            bail!(EINVAL, "a string argument does not end with a zero");
        }
        self.read(arg.type_, arg.custom_type_id, bytes);
        Ok(())
    }

    /// An output that the agent must fill completely: one number.
    pub(crate) fn out_exact<T>(&mut self, type_: ArgType, at: *mut T) {
        self.out_bytes(type_, at.cast(), size_of::<T>(), true);
    }

    fn out_bytes(&mut self, type_: ArgType, at: *mut u8, room: usize, exact: bool) {
        let lent = self.lend_room(at, room);
        self.capacity(type_, 0, room, lent.as_ref());
        self.outputs
            .push_lent(type_, What::Memory { at, room, exact }, lent);
    }

    /// Room for an output.
    fn capacity(&mut self, type_: ArgType, custom_type: u32, room: usize, lent: Option<&Lent>) {
        match lent {
            Some(lent) => {
                let place = lent.place;
                self.builder
                    .write_capacity_shared(type_, custom_type, room, place)
            }
            None => self.builder.write_capacity(type_, custom_type, room),
        };
    }

    /// Memory for bytes whose number is known and must be the agent's, too.
    pub(crate) fn out_sync(&mut self, type_: ArgType, at: *mut u8, size: usize) {
        self.builder.write_allocate(type_);
        let what = What::Memory {
            at,
            room: size,
            exact: true,
        };
        self.outputs.push(type_, what);
    }

    /// Bytes for the plugin itself, as many as the agent has.
    pub(crate) fn out_collected(&mut self, to: &mut Vec<u8>) {
        self.out_tensor(None, What::Collected(to));
    }

    /// An array that the agent must fill completely.
    pub(crate) fn out_array<T>(
        &mut self,
        type_: ArgType,
        at: *mut T,
        len: usize,
        name: &str,
    ) -> Result<()> {
        // SAFETY: only the size is looked at.
        let room = unsafe { bytes(at.cast_const(), len, name) }?.len();
        self.out_bytes(type_, at.cast(), room, true);
        Ok(())
    }

    /// An array that is read, too.
    ///
    /// # Safety
    /// As [`array`](Self::array).
    pub(crate) unsafe fn update_array<T>(
        &mut self,
        type_: ArgType,
        at: *mut T,
        len: usize,
        name: &str,
    ) -> Result<()> {
        // SAFETY: as promised by the caller.
        let bytes = unsafe { bytes(at.cast_const(), len, name) }?;
        let lent = self.lend(bytes);
        match &lent {
            Some(lent) => self.builder.write_shared(type_, 0, bytes.len(), lent.place),
            None => self.builder.write_bytes(type_, 0, bytes),
        };
        let what = What::Memory {
            at: at.cast(),
            room: bytes.len(),
            exact: true,
        };
        self.outputs.push_lent(type_, what, lent);
        Ok(())
    }

    /// Room for a text that may be shorter, or null when it is not wanted.
    pub(crate) fn out_text(&mut self, type_: ArgType, at: *mut u8, room: usize) {
        if at.is_null() || room == 0 {
            self.builder.write_null(type_);
            self.outputs.push(type_, What::Null);
        } else {
            self.out_bytes(type_, at, room, false);
        }
    }

    /// Status and message of a TensorFlow call.
    pub(crate) fn out_status(&mut self, code: ArgType, message: ArgType) {
        self.builder.write_capacity(code, 0, 1);
        self.outputs.push(code, What::StatusCode);
        self.builder
            .write_capacity(message, 0, outputs::STATUS_MESSAGE);
        self.outputs.push(message, What::StatusMessage);
    }

    /// A code that nobody wants.
    pub(crate) fn out_code(&mut self, code: ArgType) {
        self.builder.write_capacity(code, 0, 1);
        self.outputs.push(code, What::StatusCode);
    }

    /// A tensor that the agent sizes and the plugin allocates.
    pub(crate) fn out_tensor(&mut self, name: Option<&[u8]>, what: What) {
        let meta = TensorMeta {
            dtype: 0,
            dims: &[],
            name,
        };
        self.builder.write_tensor(&meta, None);
        self.outputs.push(TENSOR, what);
    }

    /// An output argument as the application made it. One without memory is
    /// allocated if the operation has something for it.
    ///
    /// # Safety
    /// `arg` is valid until the call is over.
    pub(crate) unsafe fn out_argument(&mut self, arg: *mut vaccel_arg) -> Result<()> {
        // SAFETY: as promised by the caller.
        let value = unsafe { arg.read() };
        if let Some(tensor) = tensor_of(&value) {
            // SAFETY: an argument of this type holds one tensor.
            let value = unsafe { tensor.read_unaligned() };
            only_elements(&value)?;
            // SAFETY: as above.
            return unsafe { self.out_neutral_tensor(tensor) };
        }
        let mut lent = None;
        if value.buf.is_null() {
            if value.size != 0 {
                bail!(EINVAL, "an output of {} bytes is null", value.size);
            }
            self.builder.write_allocate(value.type_);
        } else {
            lent = self.lend_room(value.buf.cast(), value.size);
            self.capacity(value.type_, value.custom_type_id, value.size, lent.as_ref());
        }
        self.outputs
            .push_lent(value.type_, What::Argument(arg), lent);
        Ok(())
    }
}

/// Bytes that C passed as pointer and number of elements.
///
/// # Safety
/// `at` is null, or points at `len` elements that stay as they are during `'a`.
pub(super) unsafe fn bytes<'a, T>(at: *const T, len: usize, name: &str) -> Result<&'a [u8]> {
    let Some(size) = len
        .checked_mul(size_of::<T>())
        .filter(|&size| size <= isize::MAX as usize)
    else {
        bail!(EINVAL, "`{name}` cannot have {len} elements");
    };
    if size == 0 {
        return Ok(&[]);
    }
    if at.is_null() {
        bail!(EINVAL, "`{name}` is null");
    }
    // SAFETY: checked above and promised by the caller.
    Ok(unsafe { std::slice::from_raw_parts(at.cast(), size) })
}
