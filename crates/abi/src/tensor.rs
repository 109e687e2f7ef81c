//! Tensors, buffers, nodes and status of the framework-specific calls.
//!
//! The three tensor types differ in the width of the rank and of the
//! dimensions, as they do in C. Everything behind their pointers comes from
//! libc `malloc` when `owned` is set.

use libc::{c_char, c_int, c_void, size_t};

/// `enum vaccel_tf_data_type`; one of the `TF_*` constants.
pub type TfDataType = u32;
/// float.
pub const TF_FLOAT: TfDataType = 1;
/// double.
pub const TF_DOUBLE: TfDataType = 2;
/// int32.
pub const TF_INT32: TfDataType = 3;
/// uint8.
pub const TF_UINT8: TfDataType = 4;
/// int16.
pub const TF_INT16: TfDataType = 5;
/// int8.
pub const TF_INT8: TfDataType = 6;
/// string.
pub const TF_STRING: TfDataType = 7;
/// complex64.
pub const TF_COMPLEX64: TfDataType = 8;
/// complex.
pub const TF_COMPLEX: TfDataType = 8;
/// int64.
pub const TF_INT64: TfDataType = 9;
/// bool.
pub const TF_BOOL: TfDataType = 10;
/// qint8.
pub const TF_QINT8: TfDataType = 11;
/// quint8.
pub const TF_QUINT8: TfDataType = 12;
/// qint32.
pub const TF_QINT32: TfDataType = 13;
/// bfloat16.
pub const TF_BFLOAT16: TfDataType = 14;
/// qint16.
pub const TF_QINT16: TfDataType = 15;
/// quint16.
pub const TF_QUINT16: TfDataType = 16;
/// uint16.
pub const TF_UINT16: TfDataType = 17;
/// complex128.
pub const TF_COMPLEX128: TfDataType = 18;
/// half.
pub const TF_HALF: TfDataType = 19;
/// resource.
pub const TF_RESOURCE: TfDataType = 20;
/// variant.
pub const TF_VARIANT: TfDataType = 21;
/// uint32.
pub const TF_UINT32: TfDataType = 22;
/// uint64.
pub const TF_UINT64: TfDataType = 23;

/// `enum vaccel_tflite_data_type`; one of the `TFLITE_*` constants.
pub type TfliteDataType = u32;
/// notype.
pub const TFLITE_NOTYPE: TfliteDataType = 0;
/// float32.
pub const TFLITE_FLOAT32: TfliteDataType = 1;
/// int32.
pub const TFLITE_INT32: TfliteDataType = 2;
/// uint8.
pub const TFLITE_UINT8: TfliteDataType = 3;
/// int64.
pub const TFLITE_INT64: TfliteDataType = 4;
/// string.
pub const TFLITE_STRING: TfliteDataType = 5;
/// bool.
pub const TFLITE_BOOL: TfliteDataType = 6;
/// int16.
pub const TFLITE_INT16: TfliteDataType = 7;
/// complex64.
pub const TFLITE_COMPLEX64: TfliteDataType = 8;
/// int8.
pub const TFLITE_INT8: TfliteDataType = 9;
/// float16.
pub const TFLITE_FLOAT16: TfliteDataType = 10;
/// float64.
pub const TFLITE_FLOAT64: TfliteDataType = 11;
/// complex128.
pub const TFLITE_COMPLEX128: TfliteDataType = 12;
/// uint64.
pub const TFLITE_UINT64: TfliteDataType = 13;
/// resource.
pub const TFLITE_RESOURCE: TfliteDataType = 14;
/// variant.
pub const TFLITE_VARIANT: TfliteDataType = 15;
/// uint32.
pub const TFLITE_UINT32: TfliteDataType = 16;
/// uint16.
pub const TFLITE_UINT16: TfliteDataType = 17;
/// int4.
pub const TFLITE_INT4: TfliteDataType = 18;

/// `enum vaccel_torch_data_type`; one of the `TORCH_*` constants.
pub type TorchDataType = u32;
/// byte.
pub const TORCH_BYTE: TorchDataType = 1;
/// char.
pub const TORCH_CHAR: TorchDataType = 2;
/// short.
pub const TORCH_SHORT: TorchDataType = 3;
/// int.
pub const TORCH_INT: TorchDataType = 4;
/// long.
pub const TORCH_LONG: TorchDataType = 5;
/// half.
pub const TORCH_HALF: TorchDataType = 6;
/// float.
pub const TORCH_FLOAT: TorchDataType = 7;

/// Dense tensor of the tf calls.
#[repr(C)]
#[derive(Debug)]
#[allow(non_camel_case_types)]
pub struct vaccel_tf_tensor {
    /// Elements in row-major order.
    pub data: *mut c_void,
    /// Bytes at `data`.
    pub size: size_t,
    /// True when `data` is freed with the tensor.
    pub owned: bool,
    /// Number of dimensions.
    pub nr_dims: c_int,
    /// Lengths of the dimensions; malloc'ed.
    pub dims: *mut i64,
    /// Type of the elements.
    pub data_type: TfDataType,
}

/// Dense tensor of the tflite calls.
#[repr(C)]
#[derive(Debug)]
#[allow(non_camel_case_types)]
pub struct vaccel_tflite_tensor {
    /// Elements in row-major order.
    pub data: *mut c_void,
    /// Bytes at `data`.
    pub size: size_t,
    /// True when `data` is freed with the tensor.
    pub owned: bool,
    /// Number of dimensions.
    pub nr_dims: c_int,
    /// Lengths of the dimensions; malloc'ed.
    pub dims: *mut i32,
    /// Type of the elements.
    pub data_type: TfliteDataType,
}

/// Dense tensor of the torch calls.
#[repr(C)]
#[derive(Debug)]
#[allow(non_camel_case_types)]
pub struct vaccel_torch_tensor {
    /// Elements in row-major order.
    pub data: *mut c_void,
    /// Bytes at `data`.
    pub size: size_t,
    /// True when `data` is freed with the tensor.
    pub owned: bool,
    /// Number of dimensions.
    pub nr_dims: i64,
    /// Lengths of the dimensions; malloc'ed.
    pub dims: *mut i64,
    /// Type of the elements.
    pub data_type: TorchDataType,
}

/// Run options or graph bytes of the tf calls.
#[repr(C)]
#[derive(Debug)]
#[allow(non_camel_case_types)]
pub struct vaccel_tf_buffer {
    /// The bytes.
    pub data: *mut c_void,
    /// Their number.
    pub size: size_t,
}

/// Run options or graph bytes of the torch calls.
#[repr(C)]
#[derive(Debug)]
#[allow(non_camel_case_types)]
pub struct vaccel_torch_buffer {
    /// The bytes.
    pub data: *mut c_char,
    /// Their number.
    pub size: size_t,
}

/// A named output of a TensorFlow operation.
#[repr(C)]
#[derive(Debug)]
#[allow(non_camel_case_types)]
pub struct vaccel_tf_node {
    /// Name of the operation; malloc'ed.
    pub name: *mut c_char,
    /// Which of its outputs.
    pub id: c_int,
}

/// What TensorFlow says of a call.
#[repr(C)]
#[derive(Debug)]
#[allow(non_camel_case_types)]
pub struct vaccel_tf_status {
    /// TensorFlow's code; 0 for success.
    pub code: u8,
    /// Text; malloc'ed.
    pub message: *mut c_char,
}
