//! Arguments of `exec`: borrowed values with a type.

use std::ffi::{CStr, c_void};
use std::marker::PhantomData;

use vaccel_abi::arg::{
    ARG_BUFFER, ARG_CUSTOM, ARG_FLOAT32, ARG_FLOAT32_ARRAY, ARG_FLOAT64, ARG_FLOAT64_ARRAY,
    ARG_INT8, ARG_INT8_ARRAY, ARG_INT16, ARG_INT16_ARRAY, ARG_INT32, ARG_INT32_ARRAY, ARG_INT64,
    ARG_INT64_ARRAY, ARG_RAW, ARG_STRING, ARG_UINT8, ARG_UINT8_ARRAY, ARG_UINT16, ARG_UINT16_ARRAY,
    ARG_UINT32, ARG_UINT32_ARRAY, ARG_UINT64, ARG_UINT64_ARRAY, ArgType, vaccel_arg,
};

/// Types an argument may hold one or many of.
///
/// # Safety
/// Any bytes must be a valid value, and the two type numbers must be those of C.
pub unsafe trait Element: Copy {
    /// Type of an argument that holds one.
    const SCALAR: ArgType;
    /// Type of an argument that holds several.
    const ARRAY: ArgType;
}

macro_rules! elements {
    ($($t:ty: $scalar:ident $array:ident;)*) => {
        $(
            // SAFETY: a plain number; the constants are those of its type.
            unsafe impl Element for $t {
                const SCALAR: ArgType = $scalar;
                const ARRAY: ArgType = $array;
            }
        )*
    };
}

elements! {
    i8: ARG_INT8 ARG_INT8_ARRAY;
    i16: ARG_INT16 ARG_INT16_ARRAY;
    i32: ARG_INT32 ARG_INT32_ARRAY;
    i64: ARG_INT64 ARG_INT64_ARRAY;
    u8: ARG_UINT8 ARG_UINT8_ARRAY;
    u16: ARG_UINT16 ARG_UINT16_ARRAY;
    u32: ARG_UINT32 ARG_UINT32_ARRAY;
    u64: ARG_UINT64 ARG_UINT64_ARRAY;
    f32: ARG_FLOAT32 ARG_FLOAT32_ARRAY;
    f64: ARG_FLOAT64 ARG_FLOAT64_ARRAY;
}

/// An argument that the operation reads.
#[derive(Debug, Clone, Copy)]
#[repr(transparent)]
pub struct Input<'a> {
    raw: vaccel_arg,
    data: PhantomData<&'a [u8]>,
}

// SAFETY: a shared borrow of plain bytes.
unsafe impl Send for Input<'_> {}
// SAFETY: as above.
unsafe impl Sync for Input<'_> {}

impl<'a> Input<'a> {
    fn new(buf: *const c_void, size: usize, type_: ArgType, custom_type_id: u32) -> Self {
        Self {
            raw: raw(buf.cast_mut(), size, type_, custom_type_id),
            data: PhantomData,
        }
    }

    /// One number.
    #[must_use]
    pub fn scalar<T: Element>(value: &'a T) -> Self {
        Self::new((&raw const *value).cast(), size_of::<T>(), T::SCALAR, 0)
    }

    /// Several numbers.
    #[must_use]
    pub fn array<T: Element>(values: &'a [T]) -> Self {
        Self::new(values.as_ptr().cast(), size_of_val(values), T::ARRAY, 0)
    }

    /// A string.
    #[must_use]
    pub fn string(text: &'a CStr) -> Self {
        Self::new(text.as_ptr().cast(), text.count_bytes() + 1, ARG_STRING, 0)
    }

    /// Bytes that mean something to the operation alone.
    #[must_use]
    pub fn buffer(bytes: &'a [u8]) -> Self {
        Self::new(bytes.as_ptr().cast(), bytes.len(), ARG_BUFFER, 0)
    }

    /// Bytes without a type.
    #[must_use]
    pub fn raw(bytes: &'a [u8]) -> Self {
        Self::new(bytes.as_ptr().cast(), bytes.len(), ARG_RAW, 0)
    }

    /// Bytes of a type with a number of the application's own.
    #[must_use]
    pub fn custom(type_id: u32, bytes: &'a [u8]) -> Self {
        Self::new(bytes.as_ptr().cast(), bytes.len(), ARG_CUSTOM, type_id)
    }
}

/// An argument that the operation writes.
#[derive(Debug)]
#[repr(transparent)]
pub struct Output<'a> {
    raw: vaccel_arg,
    data: PhantomData<&'a mut [u8]>,
}

// SAFETY: an exclusive borrow of plain bytes.
unsafe impl Send for Output<'_> {}
// SAFETY: as above.
unsafe impl Sync for Output<'_> {}

impl<'a> Output<'a> {
    fn new(buf: *mut c_void, size: usize, type_: ArgType, custom_type_id: u32) -> Self {
        Self {
            raw: raw(buf, size, type_, custom_type_id),
            data: PhantomData,
        }
    }

    /// One number.
    #[must_use]
    pub fn scalar<T: Element>(value: &'a mut T) -> Self {
        Self::new((&raw mut *value).cast(), size_of::<T>(), T::SCALAR, 0)
    }

    /// Several numbers.
    #[must_use]
    pub fn array<T: Element>(values: &'a mut [T]) -> Self {
        let size = size_of_val(values);
        Self::new(values.as_mut_ptr().cast(), size, T::ARRAY, 0)
    }

    /// Bytes that mean something to the operation alone.
    #[must_use]
    pub fn buffer(bytes: &'a mut [u8]) -> Self {
        Self::new(bytes.as_mut_ptr().cast(), bytes.len(), ARG_BUFFER, 0)
    }

    /// Bytes without a type.
    #[must_use]
    pub fn raw(bytes: &'a mut [u8]) -> Self {
        Self::new(bytes.as_mut_ptr().cast(), bytes.len(), ARG_RAW, 0)
    }

    /// Bytes of a type with a number of the application's own.
    #[must_use]
    pub fn custom(type_id: u32, bytes: &'a mut [u8]) -> Self {
        Self::new(bytes.as_mut_ptr().cast(), bytes.len(), ARG_CUSTOM, type_id)
    }

    /// Bytes of the argument: its capacity before a call, what was written after it.
    #[must_use]
    pub fn size(&self) -> usize {
        self.raw.size
    }
}

pub(crate) fn raw(
    buf: *mut c_void,
    size: usize,
    type_: ArgType,
    custom_type_id: u32,
) -> vaccel_arg {
    vaccel_arg {
        buf,
        size,
        type_,
        custom_type_id,
        owned: false,
    }
}

/// Copies of the C structures, for a call that may write to the structures themselves.
pub(crate) fn inputs(list: &[Input<'_>]) -> Vec<vaccel_arg> {
    list.iter().map(|input| input.raw).collect()
}

/// As [`inputs`].
pub(crate) fn outputs(list: &[Output<'_>]) -> Vec<vaccel_arg> {
    list.iter().map(|output| output.raw).collect()
}

/// Takes over the sizes that a call wrote, never more than there is room for.
pub(crate) fn take_sizes(list: &mut [Output<'_>], written: &[vaccel_arg]) {
    for (output, arg) in list.iter_mut().zip(written) {
        output.raw.size = output.raw.size.min(arg.size);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_argument_has_the_type_and_the_size_of_its_value() {
        let numbers = [1.5f32, 2.5];
        let input = Input::array(&numbers);
        assert_eq!((input.raw.type_, input.raw.size), (ARG_FLOAT32_ARRAY, 8));
        let one = 7i64;
        let input = Input::scalar(&one);
        assert_eq!((input.raw.type_, input.raw.size), (ARG_INT64, 8));
    }

    #[test]
    fn a_string_counts_its_terminating_zero() {
        assert_eq!(Input::string(c"abc").raw.size, 4);
    }

    #[test]
    fn a_size_larger_than_the_room_is_not_believed() {
        let mut bytes = [0u8; 4];
        let mut list = [Output::buffer(&mut bytes)];
        let mut written = outputs(&list);
        written[0].size = 100;
        take_sizes(&mut list, &written);
        assert_eq!(list[0].size(), 4);
    }
}
