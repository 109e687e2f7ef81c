//! Arguments that a call owns, for calls that are waited for later.

use std::ffi::CStr;

use vaccel_abi::arg::{ARG_BUFFER, ARG_CUSTOM, ARG_RAW, ARG_STRING, ArgType, vaccel_arg};

use crate::arg::{self, Element};
use crate::error::{Error, Result};

/// An argument of [`Session::exec_async`](crate::Session::exec_async): a value with its type,
/// or room for one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Argument {
    /// The bytes; words, so that they lie well for every type.
    words: Vec<u64>,
    size: usize,
    type_: ArgType,
    custom_type_id: u32,
}

impl Argument {
    fn new(bytes: &[u8], type_: ArgType, custom_type_id: u32) -> Self {
        let mut argument = Self::zeros(bytes.len(), type_, custom_type_id);
        argument.bytes_mut().copy_from_slice(bytes);
        argument
    }

    fn zeros(size: usize, type_: ArgType, custom_type_id: u32) -> Self {
        Self {
            words: vec![0; size.div_ceil(8)],
            size,
            type_,
            custom_type_id,
        }
    }

    /// One number.
    #[must_use]
    pub fn scalar<T: Element>(value: T) -> Self {
        Self::new(bytes_of(&[value]), T::SCALAR, 0)
    }

    /// Several numbers.
    #[must_use]
    pub fn array<T: Element>(values: &[T]) -> Self {
        Self::new(bytes_of(values), T::ARRAY, 0)
    }

    /// Room for so many numbers, zeros at first.
    #[must_use]
    pub fn room<T: Element>(count: usize) -> Self {
        Self::zeros(count.saturating_mul(size_of::<T>()), T::ARRAY, 0)
    }

    /// A string.
    #[must_use]
    pub fn string(text: &CStr) -> Self {
        Self::new(text.to_bytes_with_nul(), ARG_STRING, 0)
    }

    /// Bytes that mean something to the operation alone.
    #[must_use]
    pub fn buffer(bytes: &[u8]) -> Self {
        Self::new(bytes, ARG_BUFFER, 0)
    }

    /// Room for so many such bytes, zeros at first.
    #[must_use]
    pub fn room_for_bytes(count: usize) -> Self {
        Self::zeros(count, ARG_BUFFER, 0)
    }

    /// Bytes without a type.
    #[must_use]
    pub fn raw(bytes: &[u8]) -> Self {
        Self::new(bytes, ARG_RAW, 0)
    }

    /// Bytes of a type with a number of the application's own.
    #[must_use]
    pub fn custom(type_id: u32, bytes: &[u8]) -> Self {
        Self::new(bytes, ARG_CUSTOM, type_id)
    }

    /// The bytes: of an output after the call, those that were written.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: the words have at least so many bytes, and any byte may be read.
        unsafe { std::slice::from_raw_parts(self.words.as_ptr().cast(), self.size) }
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `bytes`; any byte may be written.
        unsafe { std::slice::from_raw_parts_mut(self.words.as_mut_ptr().cast(), self.size) }
    }

    /// The numbers of an argument that holds one or several.
    ///
    /// # Errors
    /// `EINVAL` when it holds another type, or half a number.
    pub fn numbers<T: Element>(&self) -> Result<Vec<T>> {
        if ![T::SCALAR, T::ARRAY].contains(&self.type_) || !self.size.is_multiple_of(size_of::<T>())
        {
            return Err(Error::invalid(format!(
                "the argument has {} bytes of type {}, which are no numbers of type {}",
                self.size,
                self.type_,
                T::SCALAR
            )));
        }
        let from = self.words.as_ptr().cast::<T>();
        // SAFETY: so many numbers lie in the words, which are aligned for all of them, and any
        // bytes are a number.
        let numbers = unsafe { std::slice::from_raw_parts(from, self.size / size_of::<T>()) };
        Ok(numbers.to_vec())
    }

    /// What the call is given. It stays valid when `self` moves.
    pub(crate) fn as_c(&mut self) -> vaccel_arg {
        let at = self.words.as_mut_ptr().cast();
        arg::raw(at, self.size, self.type_, self.custom_type_id)
    }

    /// Takes over the size that a call wrote, never more than there was room for.
    pub(crate) fn take_size(&mut self, written: &vaccel_arg) {
        self.size = self.size.min(written.size);
    }
}

fn bytes_of<T: Element>(values: &[T]) -> &[u8] {
    // SAFETY: plain numbers, all of whose bytes may be read.
    unsafe { std::slice::from_raw_parts(values.as_ptr().cast(), size_of_val(values)) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_goes_in_comes_out_as_the_same_type_and_as_no_other() {
        let numbers = Argument::array(&[1.5_f32, -2.0, 4.0]);
        assert_eq!(numbers.numbers::<f32>().unwrap(), [1.5, -2.0, 4.0]);
        assert_eq!(numbers.bytes().len(), 12);
        numbers.numbers::<i32>().unwrap_err();
        assert_eq!(Argument::scalar(-7_i8).numbers::<i8>().unwrap(), [-7]);
        assert_eq!(Argument::string(c"abc").bytes(), b"abc\0");
        assert_eq!(Argument::custom(9, b"xyz").bytes(), b"xyz");
        assert_eq!(Argument::room::<u64>(2).numbers::<u64>().unwrap(), [0, 0]);
    }

    #[test]
    fn an_output_has_what_was_written_and_never_more_than_it_had_room_for() {
        let mut room = Argument::room::<u16>(4);
        let mut written = room.as_c();
        written.size = 100;
        room.take_size(&written);
        assert_eq!(room.bytes().len(), 8);
        written.size = 3;
        room.take_size(&written);
        assert_eq!(room.bytes().len(), 3);
        // Half a number is left.
        room.numbers::<u16>().unwrap_err();
    }
}
