//! Operations: their codes and the signatures of the plugin functions.

use crate::CResult;
use crate::arg::vaccel_arg;
use crate::plugin::vaccel_plugin;
use crate::resource::vaccel_resource;
use crate::session::vaccel_session;
use crate::tensor::{
    vaccel_tf_buffer, vaccel_tf_node, vaccel_tf_status, vaccel_tf_tensor, vaccel_tflite_tensor,
    vaccel_torch_buffer, vaccel_torch_tensor,
};
use libc::{c_char, c_double, c_float, c_int, c_uchar, c_void, size_t};

/// `vaccel_op_type_t`; one of the `OP_*` constants.
pub type OpType = u32;

/// Does nothing: measures the way there and back.
pub const OP_NOOP: OpType = 0;
/// Calls a function of a shared library by path.
pub const OP_EXEC: OpType = 1;
/// Calls a function of a shared library that is a resource.
pub const OP_EXEC_WITH_RESOURCE: OpType = 2;
/// Names what a picture shows.
pub const OP_IMAGE_CLASSIFY: OpType = 3;
/// Finds objects in a picture.
pub const OP_IMAGE_DETECT: OpType = 4;
/// Tells the class of every pixel.
pub const OP_IMAGE_SEGMENT: OpType = 5;
/// Finds key points.
pub const OP_IMAGE_POSE: OpType = 6;
/// Estimates distance for every pixel.
pub const OP_IMAGE_DEPTH: OpType = 7;
/// Loads a TensorFlow model.
pub const OP_TF_MODEL_LOAD: OpType = 8;
/// Unloads a TensorFlow model.
pub const OP_TF_MODEL_UNLOAD: OpType = 9;
/// Runs a TensorFlow model.
pub const OP_TF_MODEL_RUN: OpType = 10;
/// Loads a TFLite model.
pub const OP_TFLITE_MODEL_LOAD: OpType = 11;
/// Unloads a TFLite model.
pub const OP_TFLITE_MODEL_UNLOAD: OpType = 12;
/// Runs a TFLite model.
pub const OP_TFLITE_MODEL_RUN: OpType = 13;
/// Loads a Torch model.
pub const OP_TORCH_MODEL_LOAD: OpType = 14;
/// Runs a Torch model.
pub const OP_TORCH_MODEL_RUN: OpType = 15;
/// Multiplies matrices with Torch.
pub const OP_TORCH_SGEMM: OpType = 16;
/// Multiplies matrices: C = alpha A B + beta C.
pub const OP_BLAS_SGEMM: OpType = 17;
/// Copies an array of int.
pub const OP_FPGA_ARRAYCOPY: OpType = 18;
/// Multiplies square matrices.
pub const OP_FPGA_MMULT: OpType = 19;
/// Adds and multiplies two arrays.
pub const OP_FPGA_PARALLEL: OpType = 20;
/// Adds two arrays.
pub const OP_FPGA_VECTORADD: OpType = 21;
/// Smallest and largest element, and the elements clipped.
pub const OP_MINMAX: OpType = 22;
/// Calls an OpenCV function.
pub const OP_OPENCV: OpType = 23;
/// Length of the table in `struct vaccel_plugin`. It never changes: later
/// operations live in [`vaccel_plugin_ext`](crate::plugin::vaccel_plugin_ext).
pub const OP_MAX: OpType = 24;

/// First code of the operations of the extension table; in generic form
/// (`vaccel_genop`) and on the wire only.
pub const OP_MODEL_LOAD: OpType = 128;
/// Unloads a model through the neutral API.
pub const OP_MODEL_UNLOAD: OpType = 129;
/// Runs a model through the neutral API.
pub const OP_MODEL_RUN: OpType = 130;
/// Describes a model through the neutral API.
pub const OP_MODEL_INFO: OpType = 131;

/// An operation that a plugin offers.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
#[allow(non_camel_case_types)]
pub struct vaccel_op {
    /// One of the `OP_*` constants below [`OP_MAX`].
    pub type_: OpType,
    /// Function with the signature of the operation.
    pub func: *mut c_void,
    /// The plugin.
    pub owner: *mut vaccel_plugin,
}

type Session = *mut vaccel_session;
type Resource = *mut vaccel_resource;

/// [`OP_NOOP`].
pub type NoopFn = unsafe extern "C" fn(Session) -> CResult;
/// [`OP_EXEC`]: library path, symbol, read and write arguments.
pub type ExecFn = unsafe extern "C" fn(
    Session,
    library: *const c_char,
    symbol: *const c_char,
    read: *mut vaccel_arg,
    nr_read: size_t,
    write: *mut vaccel_arg,
    nr_write: size_t,
) -> CResult;
/// [`OP_EXEC_WITH_RESOURCE`].
pub type ExecWithResourceFn = unsafe extern "C" fn(
    Session,
    Resource,
    symbol: *const c_char,
    read: *mut vaccel_arg,
    nr_read: size_t,
    write: *mut vaccel_arg,
    nr_write: size_t,
) -> CResult;
/// [`OP_IMAGE_CLASSIFY`].
pub type ImageClassifyFn = unsafe extern "C" fn(
    Session,
    img: *const c_void,
    out_text: *mut c_uchar,
    out_imgname: *mut c_uchar,
    len_img: size_t,
    len_out_text: size_t,
    len_out_imgname: size_t,
) -> CResult;
/// [`OP_IMAGE_DETECT`], [`OP_IMAGE_SEGMENT`], [`OP_IMAGE_POSE`], [`OP_IMAGE_DEPTH`].
pub type ImageFn = unsafe extern "C" fn(
    Session,
    img: *const c_void,
    out_imgname: *mut c_uchar,
    len_img: size_t,
    len_out_imgname: size_t,
) -> CResult;
/// [`OP_TF_MODEL_LOAD`] and [`OP_TF_MODEL_UNLOAD`].
pub type TfModelFn = unsafe extern "C" fn(Session, Resource, *mut vaccel_tf_status) -> CResult;
/// [`OP_TF_MODEL_RUN`].
pub type TfModelRunFn = unsafe extern "C" fn(
    Session,
    Resource,
    run_options: *const vaccel_tf_buffer,
    in_nodes: *const vaccel_tf_node,
    in_tensors: *const *mut vaccel_tf_tensor,
    nr_inputs: c_int,
    out_nodes: *const vaccel_tf_node,
    out_tensors: *mut *mut vaccel_tf_tensor,
    nr_outputs: c_int,
    status: *mut vaccel_tf_status,
) -> CResult;
/// [`OP_TFLITE_MODEL_LOAD`], [`OP_TFLITE_MODEL_UNLOAD`], [`OP_TORCH_MODEL_LOAD`].
pub type ModelFn = unsafe extern "C" fn(Session, Resource) -> CResult;
/// [`OP_TFLITE_MODEL_RUN`].
pub type TfliteModelRunFn = unsafe extern "C" fn(
    Session,
    Resource,
    in_tensors: *const *mut vaccel_tflite_tensor,
    nr_inputs: c_int,
    out_tensors: *mut *mut vaccel_tflite_tensor,
    nr_outputs: c_int,
    status: *mut u8,
) -> CResult;
/// [`OP_TORCH_MODEL_RUN`].
pub type TorchModelRunFn = unsafe extern "C" fn(
    Session,
    Resource,
    run_options: *const vaccel_torch_buffer,
    in_tensors: *const *mut vaccel_torch_tensor,
    nr_inputs: c_int,
    out_tensors: *mut *mut vaccel_torch_tensor,
    nr_outputs: c_int,
) -> CResult;
/// [`OP_TORCH_SGEMM`]: A (M x K), B (K x N), C (M x N) and the result.
pub type TorchSgemmFn = unsafe extern "C" fn(
    Session,
    a: *mut *mut vaccel_torch_tensor,
    b: *mut *mut vaccel_torch_tensor,
    c: *mut *mut vaccel_torch_tensor,
    m: c_int,
    n: c_int,
    k: c_int,
    out: *mut *mut vaccel_torch_tensor,
) -> CResult;
/// [`OP_BLAS_SGEMM`]: row-major A (m x k, leading dimension lda), B (k x n), C (m x n).
pub type SgemmFn = unsafe extern "C" fn(
    Session,
    m: i64,
    n: i64,
    k: i64,
    alpha: c_float,
    a: *mut c_float,
    lda: i64,
    b: *mut c_float,
    ldb: i64,
    beta: c_float,
    c: *mut c_float,
    ldc: i64,
) -> CResult;
/// [`OP_FPGA_ARRAYCOPY`]: `n` ints.
pub type FpgaArraycopyFn =
    unsafe extern "C" fn(Session, a: *mut c_int, out: *mut c_int, n: size_t) -> CResult;
/// [`OP_FPGA_MMULT`]: matrices of `n` floats in all.
pub type FpgaMmultFn = unsafe extern "C" fn(
    Session,
    a: *mut c_float,
    b: *mut c_float,
    c: *mut c_float,
    n: size_t,
) -> CResult;
/// [`OP_FPGA_PARALLEL`]: `n` floats each.
pub type FpgaParallelFn = unsafe extern "C" fn(
    Session,
    a: *mut c_float,
    b: *mut c_float,
    add_out: *mut c_float,
    mult_out: *mut c_float,
    n: size_t,
) -> CResult;
/// [`OP_FPGA_VECTORADD`]: arrays of `len_a` and `len_b` floats; the sum has the
/// length of `a`.
pub type FpgaVectoraddFn = unsafe extern "C" fn(
    Session,
    a: *mut c_float,
    b: *mut c_float,
    c: *mut c_float,
    len_a: size_t,
    len_b: size_t,
) -> CResult;
/// [`OP_MINMAX`]: `ndata` doubles, clipped to the thresholds into `outdata`.
pub type MinmaxFn = unsafe extern "C" fn(
    Session,
    indata: *const c_double,
    ndata: c_int,
    low_threshold: c_int,
    high_threshold: c_int,
    outdata: *mut c_double,
    min: *mut c_double,
    max: *mut c_double,
) -> CResult;
/// [`OP_OPENCV`].
pub type OpencvFn = unsafe extern "C" fn(
    Session,
    read: *mut vaccel_arg,
    nr_read: c_int,
    write: *mut vaccel_arg,
    nr_write: c_int,
) -> CResult;
