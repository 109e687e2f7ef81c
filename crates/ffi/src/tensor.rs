//! Tensors of TensorFlow, TFLite and Torch.

use std::ffi::{c_int, c_void};
use vaccel_abi::tensor::{vaccel_tf_tensor, vaccel_tflite_tensor, vaccel_torch_tensor};
use vaccel_core::tensor;

/// The seven functions of a tensor type.
macro_rules! functions {
    ($tensor:ty, $rank:ty, $dim:ty =>
     $init:ident $new:ident $allocate:ident $set_data:ident $take_data:ident $release:ident $delete:ident) => {
        export! {
            /// Fills a tensor that has no data yet.
            fn $init(
                tensor: *mut $tensor,
                nr_dims: $rank,
                dims: *const $dim,
                r#type: u32,
            ) {
                // SAFETY: the contract of the exported function.
                unsafe { tensor::init(ptr!(tensor), i64::from(nr_dims), dims, r#type) }
            }

            /// Makes a tensor that has no data yet.
            fn $new(
                tensor: *mut *mut $tensor,
                nr_dims: $rank,
                dims: *const $dim,
                r#type: u32,
            ) {
                let out = ptr!(tensor);
                // SAFETY: the contract of the exported function.
                out.write(unsafe { tensor::new(i64::from(nr_dims), dims, r#type, 0)? });
                Ok(())
            }

            /// Makes a tensor with room for data.
            fn $allocate(
                tensor: *mut *mut $tensor,
                nr_dims: $rank,
                dims: *const $dim,
                r#type: u32,
                total_size: usize,
            ) {
                let out = ptr!(tensor);
                // SAFETY: the contract of the exported function.
                out.write(unsafe { tensor::new(i64::from(nr_dims), dims, r#type, total_size)? });
                Ok(())
            }

            /// Gives a tensor data that stay the caller's.
            fn $set_data(tensor: *mut $tensor, data: *mut c_void, size: usize) {
                tensor::set_data(ptr!(tensor), data, size)
            }

            /// Takes the data out of a tensor; they are the caller's to free then.
            fn $take_data(tensor: *mut $tensor, data: *mut *mut c_void, size: *mut usize) {
                let (out, out_size) = (ptr!(data), ptr!(size));
                let (bytes, length) = tensor::take_data(ptr!(tensor))?;
                out.write(bytes);
                out_size.write(length);
                Ok(())
            }

            /// Frees what a tensor holds.
            fn $release(tensor: *mut $tensor) { tensor::release(ptr!(tensor)) }

            /// Frees a tensor that was made.
            fn $delete(tensor: *mut $tensor) { tensor::delete(ptr!(tensor)) }
        }
    };
}

functions! {
    vaccel_tf_tensor, c_int, i64 =>
    vaccel_tf_tensor_init vaccel_tf_tensor_new vaccel_tf_tensor_allocate
    vaccel_tf_tensor_set_data vaccel_tf_tensor_take_data vaccel_tf_tensor_release
    vaccel_tf_tensor_delete
}
functions! {
    vaccel_tflite_tensor, c_int, i32 =>
    vaccel_tflite_tensor_init vaccel_tflite_tensor_new vaccel_tflite_tensor_allocate
    vaccel_tflite_tensor_set_data vaccel_tflite_tensor_take_data vaccel_tflite_tensor_release
    vaccel_tflite_tensor_delete
}
functions! {
    vaccel_torch_tensor, i64, i64 =>
    vaccel_torch_tensor_init vaccel_torch_tensor_new vaccel_torch_tensor_allocate
    vaccel_torch_tensor_set_data vaccel_torch_tensor_take_data vaccel_torch_tensor_release
    vaccel_torch_tensor_delete
}
