//! Buffers of TensorFlow and Torch: bytes that are freed with the buffer unless
//! they are taken.

use std::ffi::{c_char, c_void};
use vaccel_abi::tensor::{vaccel_tf_buffer, vaccel_torch_buffer};
use vaccel_core::{alloc, buffer};

/// The five functions of a buffer type.
macro_rules! functions {
    ($buffer:ident, $data:ty =>
     $init:ident $new:ident $take_data:ident $release:ident $delete:ident) => {
        export! {
            /// Fills a buffer with malloc'ed bytes, which are its own from then on.
            fn $init(buffer: *mut $buffer, data: *mut $data, size: usize) {
                buffer::check(data.cast(), size)?;
                ptr!(buffer).write($buffer { data, size });
                Ok(())
            }

            /// Makes a buffer of malloc'ed bytes, which are its own from then on.
            fn $new(buffer: *mut *mut $buffer, data: *mut $data, size: usize) {
                let out = ptr!(buffer);
                buffer::check(data.cast(), size)?;
                out.write(alloc::boxed($buffer { data, size })?);
                Ok(())
            }

            /// Takes the bytes out of a buffer; they are the caller's to free then.
            fn $take_data(buffer: *mut $buffer, data: *mut *mut c_void, size: *mut usize) {
                let (buffer, out, out_size) = (ptr!(buffer), ptr!(data), ptr!(size));
                out.write(vaccel_core::get!(buffer.data).cast());
                out_size.write(vaccel_core::get!(buffer.size));
                buffer.write($buffer { data: std::ptr::null_mut(), size: 0 });
                Ok(())
            }

            /// Frees the bytes of a buffer.
            fn $release(buffer: *mut $buffer) {
                let buffer = ptr!(buffer);
                // SAFETY: the bytes of a buffer are malloc'ed or null.
                unsafe { alloc::free(vaccel_core::get!(buffer.data)) };
                buffer.write($buffer { data: std::ptr::null_mut(), size: 0 });
                Ok(())
            }

            /// Frees a buffer that was made.
            fn $delete(buffer: *mut $buffer) {
                let buffer = ptr!(buffer);
                // SAFETY: the buffer and its bytes are malloc'ed, or null.
                unsafe {
                    alloc::free(vaccel_core::get!(buffer.data));
                    alloc::free(buffer.as_ptr());
                }
                Ok(())
            }
        }
    };
}

functions! {
    vaccel_tf_buffer, c_void =>
    vaccel_tf_buffer_init vaccel_tf_buffer_new vaccel_tf_buffer_take_data
    vaccel_tf_buffer_release vaccel_tf_buffer_delete
}
functions! {
    vaccel_torch_buffer, c_char =>
    vaccel_torch_buffer_init vaccel_torch_buffer_new vaccel_torch_buffer_take_data
    vaccel_torch_buffer_release vaccel_torch_buffer_delete
}
