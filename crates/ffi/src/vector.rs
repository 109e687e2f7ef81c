//! Operations on arrays of numbers, and the generic OpenCV call.

use std::ffi::c_int;
use vaccel_abi::arg::vaccel_arg;
use vaccel_abi::session::vaccel_session;
use vaccel_core::exec::Args;
use vaccel_core::vector::{self, Sgemm};
use vaccel_core::{Result, err};

/// A number of arguments.
fn count(n: c_int) -> Result<usize> {
    usize::try_from(n).map_err(|_| err!(EINVAL, "{n} arguments"))
}

export! {
    /// C = alpha A B + beta C, row-major.
    fn vaccel_sgemm(
        sess: *mut vaccel_session,
        m: i64,
        n: i64,
        k: i64,
        alpha: f32,
        a: *mut f32,
        lda: i64,
        b: *mut f32,
        ldb: i64,
        beta: f32,
        c: *mut f32,
        ldc: i64,
    ) {
        let (sess, a, b, c) = (ptr!(sess), ptr!(a), ptr!(b), ptr!(c));
        vector::sgemm(sess, Sgemm { m, n, k, alpha, a, lda, b, ldb, beta, c, ldc })
    }

    /// Copies an array of int.
    fn vaccel_fpga_arraycopy(
        sess: *mut vaccel_session,
        array: *mut c_int,
        out_array: *mut c_int,
        len_array: usize,
    ) {
        vector::arraycopy(ptr!(sess), ptr!(array), ptr!(out_array), len_array)
    }

    /// Multiplies two square matrices.
    fn vaccel_fpga_mmult(
        sess: *mut vaccel_session,
        a: *mut f32,
        b: *mut f32,
        c: *mut f32,
        len_a: usize,
    ) {
        vector::mmult(ptr!(sess), ptr!(a), ptr!(b), ptr!(c), len_a)
    }

    /// Adds and multiplies two arrays.
    fn vaccel_fpga_parallel(
        sess: *mut vaccel_session,
        a: *mut f32,
        b: *mut f32,
        add_output: *mut f32,
        mult_output: *mut f32,
        len_a: usize,
    ) {
        let out = [ptr!(add_output), ptr!(mult_output)];
        vector::parallel(ptr!(sess), [ptr!(a), ptr!(b)], out, len_a)
    }

    /// Adds two arrays.
    fn vaccel_fpga_vadd(
        sess: *mut vaccel_session,
        a: *mut f32,
        b: *mut f32,
        c: *mut f32,
        len_a: usize,
        len_b: usize,
    ) {
        vector::vadd(ptr!(sess), [ptr!(a), ptr!(b)], ptr!(c), [len_a, len_b])
    }

    /// Smallest and largest element, and all elements clipped to thresholds.
    fn vaccel_minmax(
        sess: *mut vaccel_session,
        indata: *const f64,
        ndata: c_int,
        low_threshold: c_int,
        high_threshold: c_int,
        outdata: *mut f64,
        min: *mut f64,
        max: *mut f64,
    ) {
        vector::minmax(
            ptr!(sess),
            ptr!(indata),
            ndata,
            [low_threshold, high_threshold],
            ptr!(outdata),
            [ptr!(min), ptr!(max)],
        )
    }

    /// Calls an OpenCV function.
    fn vaccel_opencv_unpack(
        sess: *mut vaccel_session,
        read: *mut vaccel_arg,
        nr_read: c_int,
        write: *mut vaccel_arg,
        nr_write: c_int,
    ) {
        let read = Args { first: read, count: count(nr_read)? };
        let write = Args { first: write, count: count(nr_write)? };
        vector::opencv(ptr!(sess), read, write)
    }
}
