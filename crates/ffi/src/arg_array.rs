//! Arrays of arguments.

use std::ffi::{c_char, c_uchar, c_void};
use vaccel_abi::arg::*;
use vaccel_core::arg_array::{Array, add_in_place};

/// The six functions of a type: add, get and set one element or many.
macro_rules! typed {
    ($($element:ty: $one:ident, $many:ident =>
       $add:ident $get:ident $set:ident $add_many:ident $get_many:ident $set_many:ident;)*) => {
        $(
            /// Appends one element of the caller.
            ///
            /// # Safety
            /// Pointers are null or what the C header says.
            #[unsafe(no_mangle)]
            pub unsafe extern "C" fn $add(
                args: *mut vaccel_arg_array,
                value: *mut $element,
            ) -> std::ffi::c_int {
                // SAFETY: the contract of this function; the size is that of the type.
                if unsafe { add_in_place(args, value.cast(), size_of::<$element>(), $one) } {
                    return vaccel_abi::error::OK;
                }
                add(stringify!($add), args, value.cast(), size_of::<$element>(), $one)
            }
        )*
        export! {$(
            /// Reads one element.
            fn $get(args: *mut vaccel_arg_array, value: *mut $element) {
                // Copied as bytes: what C holds need not be a valid `bool`.
                Array::from(ptr!(args)).get_bytes($one, ptr!(value).cast(), size_of::<$element>())
            }

            /// Writes one element.
            fn $set(args: *mut vaccel_arg_array, value: *mut $element) {
                Array::from(ptr!(args)).set(value.cast(), size_of::<$element>(), $one)
            }

            /// Appends elements of the caller.
            fn $add_many(args: *mut vaccel_arg_array, value: *mut $element, count: usize) {
                Array::from(ptr!(args)).add_elements(value.cast(), count, $many)
            }

            /// Where the elements are, and how many.
            fn $get_many(
                args: *mut vaccel_arg_array,
                value: *mut *mut $element,
                count: *mut usize,
            ) {
                Array::from(ptr!(args)).get_elements($many, ptr!(value), optional!(count))
            }

            /// Writes elements.
            fn $set_many(args: *mut vaccel_arg_array, value: *mut $element, count: usize) {
                Array::from(ptr!(args)).set_elements(value.cast(), count, $many)
            }
        )*}
    };
}

/// Appends one element where there may be something to object to, or no room.
#[cold]
#[inline(never)]
fn add(
    name: &'static str,
    args: *mut vaccel_arg_array,
    value: *mut c_void,
    size: usize,
    type_: ArgType,
) -> std::ffi::c_int {
    crate::guard::code(name, move || {
        Array::from(ptr!(args)).add(value, size, type_, 0)
    })
}

typed! {
    bool: ARG_BOOL, ARG_BOOL_ARRAY =>
        vaccel_arg_array_add_bool vaccel_arg_array_get_bool vaccel_arg_array_set_bool
        vaccel_arg_array_add_bool_array vaccel_arg_array_get_bool_array vaccel_arg_array_set_bool_array;
    c_char: ARG_CHAR, ARG_CHAR_ARRAY =>
        vaccel_arg_array_add_char vaccel_arg_array_get_char vaccel_arg_array_set_char
        vaccel_arg_array_add_char_array vaccel_arg_array_get_char_array vaccel_arg_array_set_char_array;
    c_uchar: ARG_UCHAR, ARG_UCHAR_ARRAY =>
        vaccel_arg_array_add_uchar vaccel_arg_array_get_uchar vaccel_arg_array_set_uchar
        vaccel_arg_array_add_uchar_array vaccel_arg_array_get_uchar_array vaccel_arg_array_set_uchar_array;
    i8: ARG_INT8, ARG_INT8_ARRAY =>
        vaccel_arg_array_add_int8 vaccel_arg_array_get_int8 vaccel_arg_array_set_int8
        vaccel_arg_array_add_int8_array vaccel_arg_array_get_int8_array vaccel_arg_array_set_int8_array;
    i16: ARG_INT16, ARG_INT16_ARRAY =>
        vaccel_arg_array_add_int16 vaccel_arg_array_get_int16 vaccel_arg_array_set_int16
        vaccel_arg_array_add_int16_array vaccel_arg_array_get_int16_array vaccel_arg_array_set_int16_array;
    i32: ARG_INT32, ARG_INT32_ARRAY =>
        vaccel_arg_array_add_int32 vaccel_arg_array_get_int32 vaccel_arg_array_set_int32
        vaccel_arg_array_add_int32_array vaccel_arg_array_get_int32_array vaccel_arg_array_set_int32_array;
    i64: ARG_INT64, ARG_INT64_ARRAY =>
        vaccel_arg_array_add_int64 vaccel_arg_array_get_int64 vaccel_arg_array_set_int64
        vaccel_arg_array_add_int64_array vaccel_arg_array_get_int64_array vaccel_arg_array_set_int64_array;
    u8: ARG_UINT8, ARG_UINT8_ARRAY =>
        vaccel_arg_array_add_uint8 vaccel_arg_array_get_uint8 vaccel_arg_array_set_uint8
        vaccel_arg_array_add_uint8_array vaccel_arg_array_get_uint8_array vaccel_arg_array_set_uint8_array;
    u16: ARG_UINT16, ARG_UINT16_ARRAY =>
        vaccel_arg_array_add_uint16 vaccel_arg_array_get_uint16 vaccel_arg_array_set_uint16
        vaccel_arg_array_add_uint16_array vaccel_arg_array_get_uint16_array vaccel_arg_array_set_uint16_array;
    u32: ARG_UINT32, ARG_UINT32_ARRAY =>
        vaccel_arg_array_add_uint32 vaccel_arg_array_get_uint32 vaccel_arg_array_set_uint32
        vaccel_arg_array_add_uint32_array vaccel_arg_array_get_uint32_array vaccel_arg_array_set_uint32_array;
    u64: ARG_UINT64, ARG_UINT64_ARRAY =>
        vaccel_arg_array_add_uint64 vaccel_arg_array_get_uint64 vaccel_arg_array_set_uint64
        vaccel_arg_array_add_uint64_array vaccel_arg_array_get_uint64_array vaccel_arg_array_set_uint64_array;
    f32: ARG_FLOAT32, ARG_FLOAT32_ARRAY =>
        vaccel_arg_array_add_float vaccel_arg_array_get_float vaccel_arg_array_set_float
        vaccel_arg_array_add_float_array vaccel_arg_array_get_float_array vaccel_arg_array_set_float_array;
    f64: ARG_FLOAT64, ARG_FLOAT64_ARRAY =>
        vaccel_arg_array_add_double vaccel_arg_array_get_double vaccel_arg_array_set_double
        vaccel_arg_array_add_double_array vaccel_arg_array_get_double_array vaccel_arg_array_set_double_array;
}

export! {
    /// Fills an array with room for arguments.
    fn vaccel_arg_array_init(args: *mut vaccel_arg_array, capacity: usize) {
        Array::from(ptr!(args)).init(capacity)
    }

    /// Makes an array with room for arguments.
    fn vaccel_arg_array_new(args: *mut *mut vaccel_arg_array, capacity: usize) {
        let out = ptr!(args);
        out.write(Array::create(capacity)?);
        Ok(())
    }

    /// Makes an array of the caller's own arguments.
    fn vaccel_arg_array_wrap(
        args: *mut vaccel_arg_array,
        raw: *mut vaccel_arg,
        count: usize,
    ) {
        Array::from(ptr!(args)).wrap(raw, count)
    }

    /// Frees what an array holds.
    fn vaccel_arg_array_release(args: *mut vaccel_arg_array) {
        Array::from(ptr!(args)).release();
        Ok(())
    }

    /// Frees an array that was made.
    fn vaccel_arg_array_delete(args: *mut vaccel_arg_array) {
        Array::from(ptr!(args)).delete();
        Ok(())
    }

    /// Removes all arguments.
    fn vaccel_arg_array_clear(args: *mut vaccel_arg_array) -> (), (); {
        Array::from(ptr!(args)).clear();
        Ok(())
    }

    /// The arguments.
    fn vaccel_arg_array_raw(args: *mut vaccel_arg_array) -> *mut vaccel_arg, std::ptr::null_mut(); {
        Ok(Array::from(ptr!(args)).raw())
    }

    /// How many arguments there are.
    fn vaccel_arg_array_count(args: *const vaccel_arg_array) -> usize, 0; {
        Ok(Array::from(ptr!(args)).count())
    }

    /// How many arguments are left from the position on.
    fn vaccel_arg_array_remaining_count(args: *const vaccel_arg_array) -> usize, 0; {
        Ok(Array::from(ptr!(args)).remaining())
    }

    /// Index of the next argument to get or set.
    fn vaccel_arg_array_position(args: *const vaccel_arg_array) -> usize, 0; {
        Ok(Array::from(ptr!(args)).position())
    }

    /// Changes the position.
    fn vaccel_arg_array_set_position(args: *mut vaccel_arg_array, position: usize) -> (), (); {
        Array::from(ptr!(args)).set_position(position);
        Ok(())
    }

    /// Back to the first argument.
    fn vaccel_arg_array_reset_position(args: *mut vaccel_arg_array) -> (), (); {
        Array::from(ptr!(args)).set_position(0);
        Ok(())
    }

    /// Appends all arguments of another array.
    fn vaccel_arg_array_add_all(
        args: *mut vaccel_arg_array,
        src: *const vaccel_arg_array,
        copy: bool,
    ) {
        let from = Array::from(ptr!(src));
        Array::from(ptr!(args)).add_range(from, 0, from.count(), copy)
    }

    /// Appends some arguments of another array.
    fn vaccel_arg_array_add_range(
        args: *mut vaccel_arg_array,
        src: *const vaccel_arg_array,
        start: usize,
        count: usize,
        copy: bool,
    ) {
        Array::from(ptr!(args)).add_range(Array::from(ptr!(src)), start, count, copy)
    }

    /// Appends the arguments of another array from its position on.
    fn vaccel_arg_array_add_remaining(
        args: *mut vaccel_arg_array,
        src: *const vaccel_arg_array,
        copy: bool,
    ) {
        let from = Array::from(ptr!(src));
        Array::from(ptr!(args)).add_range(from, from.position(), from.remaining(), copy)
    }

    /// The arguments from the position on.
    fn vaccel_arg_array_get_remaining(
        args: *mut vaccel_arg_array,
        remaining: *mut *mut vaccel_arg,
        count: *mut usize,
    ) {
        Array::from(ptr!(args)).get_remaining(ptr!(remaining), ptr!(count));
        Ok(())
    }

    /// Appends untyped bytes.
    fn vaccel_arg_array_add_raw(args: *mut vaccel_arg_array, buf: *mut c_void, size: usize) {
        Array::from(ptr!(args)).add(buf, size, ARG_RAW, 0)
    }

    /// Where untyped bytes are, and how many.
    fn vaccel_arg_array_get_raw(
        args: *mut vaccel_arg_array,
        buf: *mut *mut c_void,
        size: *mut usize,
    ) {
        Array::from(ptr!(args)).get_elements(ARG_RAW, ptr!(buf), optional!(size))
    }

    /// Writes untyped bytes.
    fn vaccel_arg_array_set_raw(args: *mut vaccel_arg_array, buf: *mut c_void, size: usize) {
        Array::from(ptr!(args)).set(buf, size, ARG_RAW)
    }

    /// Appends opaque bytes.
    fn vaccel_arg_array_add_buffer(args: *mut vaccel_arg_array, buf: *mut c_void, size: usize) {
        Array::from(ptr!(args)).add(buf, size, ARG_BUFFER, 0)
    }

    /// Where opaque bytes are, and how many.
    fn vaccel_arg_array_get_buffer(
        args: *mut vaccel_arg_array,
        buf: *mut *mut c_void,
        size: *mut usize,
    ) {
        Array::from(ptr!(args)).get_elements(ARG_BUFFER, ptr!(buf), optional!(size))
    }

    /// Writes opaque bytes.
    fn vaccel_arg_array_set_buffer(args: *mut vaccel_arg_array, buf: *mut c_void, size: usize) {
        Array::from(ptr!(args)).set(buf, size, ARG_BUFFER)
    }

    /// Appends a string.
    fn vaccel_arg_array_add_string(args: *mut vaccel_arg_array, value: *mut c_char) {
        // SAFETY: the contract of the exported function.
        unsafe { Array::from(ptr!(args)).add_string(value) }
    }

    /// Where a string is.
    fn vaccel_arg_array_get_string(args: *mut vaccel_arg_array, value: *mut *mut c_char) {
        Array::from(ptr!(args)).get_string(ptr!(value))
    }

    /// Writes a string.
    fn vaccel_arg_array_set_string(args: *mut vaccel_arg_array, value: *mut c_char) {
        // SAFETY: the contract of the exported function.
        unsafe { Array::from(ptr!(args)).set_string(value) }
    }

    /// Appends bytes of a custom type.
    fn vaccel_arg_array_add_custom(
        args: *mut vaccel_arg_array,
        custom_type_id: u32,
        buf: *mut c_void,
        size: usize,
        validator: ArgTypeValidatorFn,
    ) {
        // SAFETY: the contract of the exported function.
        unsafe { Array::from(ptr!(args)).add_custom(custom_type_id, buf, size, validator) }
    }

    /// Where bytes of a custom type are, and how many.
    fn vaccel_arg_array_get_custom(
        args: *mut vaccel_arg_array,
        custom_type_id: u32,
        buf: *mut *mut c_void,
        size: *mut usize,
        validator: ArgTypeValidatorFn,
    ) {
        let array = Array::from(ptr!(args));
        // SAFETY: the contract of the exported function.
        unsafe { array.get_custom(custom_type_id, ptr!(buf), optional!(size), validator) }
    }

    /// Writes bytes of a custom type.
    fn vaccel_arg_array_set_custom(
        args: *mut vaccel_arg_array,
        custom_type_id: u32,
        buf: *mut c_void,
        size: usize,
        validator: ArgTypeValidatorFn,
    ) {
        // SAFETY: the contract of the exported function.
        unsafe { Array::from(ptr!(args)).set_custom(custom_type_id, buf, size, validator) }
    }

    /// Appends what a serialiser makes of a structure.
    fn vaccel_arg_array_add_serialized(
        args: *mut vaccel_arg_array,
        r#type: ArgType,
        custom_type_id: u32,
        data: *const c_void,
        size: usize,
        serializer: ArgSerializerFn,
    ) {
        let array = Array::from(ptr!(args));
        // SAFETY: the contract of the exported function.
        unsafe { array.add_serialized(r#type, custom_type_id, data, size, serializer) }
    }

    /// Reads a structure with a deserialiser.
    fn vaccel_arg_array_get_serialized(
        args: *mut vaccel_arg_array,
        r#type: ArgType,
        custom_type_id: u32,
        data: *mut c_void,
        size: usize,
        deserializer: ArgDeserializerFn,
    ) {
        let array = Array::from(ptr!(args));
        // SAFETY: the contract of the exported function.
        unsafe { array.get_serialized(r#type, custom_type_id, data, size, deserializer) }
    }

    /// Writes what a serialiser makes of a structure.
    fn vaccel_arg_array_set_serialized(
        args: *mut vaccel_arg_array,
        r#type: ArgType,
        custom_type_id: u32,
        data: *mut c_void,
        size: usize,
        serializer: ArgSerializerFn,
    ) {
        let array = Array::from(ptr!(args));
        // SAFETY: the contract of the exported function.
        unsafe { array.set_serialized(r#type, custom_type_id, data, size, serializer) }
    }
}
