//! Operations on arrays of numbers, and the generic OpenCV call.

use crate::ptr::Ptr;
use crate::{Result, call_op, exec::Args, fail};
use std::ffi::c_int;
use vaccel_abi::op::{
    FpgaArraycopyFn, FpgaMmultFn, FpgaParallelFn, FpgaVectoraddFn, MinmaxFn, OP_BLAS_SGEMM,
    OP_FPGA_ARRAYCOPY, OP_FPGA_MMULT, OP_FPGA_PARALLEL, OP_FPGA_VECTORADD, OP_MINMAX, OP_OPENCV,
    OpencvFn, SgemmFn,
};
use vaccel_abi::session::vaccel_session;

/// The arguments of `vaccel_sgemm`: C = alpha A B + beta C, row-major.
#[derive(Debug, Clone, Copy)]
pub struct Sgemm {
    /// Rows of A and C.
    pub m: i64,
    /// Columns of B and C.
    pub n: i64,
    /// Columns of A, rows of B.
    pub k: i64,
    /// Factor of the product.
    pub alpha: f32,
    /// A.
    pub a: Ptr<f32>,
    /// Elements from one row of A to the next.
    pub lda: i64,
    /// B.
    pub b: Ptr<f32>,
    /// Elements from one row of B to the next.
    pub ldb: i64,
    /// Factor of the old C.
    pub beta: f32,
    /// C.
    pub c: Ptr<f32>,
    /// Elements from one row of C to the next.
    pub ldc: i64,
}

impl Sgemm {
    /// Bytes of A and B, and of C, without the gaps between rows.
    fn bytes(&self) -> (usize, usize) {
        let floats = |rows: i64, columns: i64| {
            let bytes = rows.saturating_mul(columns).saturating_mul(4);
            usize::try_from(bytes).unwrap_or(usize::MAX)
        };
        let read = floats(self.m, self.k).saturating_add(floats(self.k, self.n));
        (read, floats(self.m, self.n))
    }
}

/// Bytes of so many elements of 4, in and out.
fn words(read: usize, written: usize) -> (usize, usize) {
    (read.saturating_mul(4), written.saturating_mul(4))
}

/// `vaccel_sgemm`.
///
/// # Errors
/// `EINVAL` for negative numbers; those of the plugin.
pub fn sgemm(sess: Ptr<vaccel_session>, g: Sgemm) -> Result {
    if [g.m, g.n, g.k, g.lda, g.ldb, g.ldc].iter().any(|&n| n < 0) {
        fail!(
            EINVAL,
            "sgemm with m={} n={} k={} lda={} ldb={} ldc={}",
            g.m,
            g.n,
            g.k,
            g.lda,
            g.ldb,
            g.ldc
        );
    }
    call_op!(
        sess,
        OP_BLAS_SGEMM,
        SgemmFn,
        g.m,
        g.n,
        g.k,
        g.alpha,
        g.a.as_ptr(),
        g.lda,
        g.b.as_ptr(),
        g.ldb,
        g.beta,
        g.c.as_ptr(),
        g.ldc;
        g.bytes()
    )
}

/// `vaccel_fpga_arraycopy`: `len` ints.
///
/// # Errors
/// Those of the plugin.
pub fn arraycopy(sess: Ptr<vaccel_session>, a: Ptr<c_int>, out: Ptr<c_int>, len: usize) -> Result {
    call_op!(
        sess,
        OP_FPGA_ARRAYCOPY,
        FpgaArraycopyFn,
        a.as_ptr(),
        out.as_ptr(),
        len;
        words(len, len)
    )
}

/// `vaccel_fpga_mmult`: matrices of `len` floats in all.
///
/// # Errors
/// Those of the plugin.
pub fn mmult(
    sess: Ptr<vaccel_session>,
    a: Ptr<f32>,
    b: Ptr<f32>,
    c: Ptr<f32>,
    len: usize,
) -> Result {
    call_op!(
        sess,
        OP_FPGA_MMULT,
        FpgaMmultFn,
        a.as_ptr(),
        b.as_ptr(),
        c.as_ptr(),
        len;
        words(len.saturating_mul(2), len)
    )
}

/// `vaccel_fpga_parallel`: `len` floats each.
///
/// # Errors
/// Those of the plugin.
pub fn parallel(
    sess: Ptr<vaccel_session>,
    [a, b]: [Ptr<f32>; 2],
    [sum, product]: [Ptr<f32>; 2],
    len: usize,
) -> Result {
    call_op!(
        sess,
        OP_FPGA_PARALLEL,
        FpgaParallelFn,
        a.as_ptr(),
        b.as_ptr(),
        sum.as_ptr(),
        product.as_ptr(),
        len;
        words(len.saturating_mul(2), len.saturating_mul(2))
    )
}

/// `vaccel_fpga_vadd`: arrays of `len_a` and `len_b` floats.
///
/// # Errors
/// Those of the plugin.
pub fn vadd(
    sess: Ptr<vaccel_session>,
    [a, b]: [Ptr<f32>; 2],
    c: Ptr<f32>,
    [len_a, len_b]: [usize; 2],
) -> Result {
    call_op!(
        sess,
        OP_FPGA_VECTORADD,
        FpgaVectoraddFn,
        a.as_ptr(),
        b.as_ptr(),
        c.as_ptr(),
        len_a,
        len_b;
        words(len_a.saturating_add(len_b), len_a)
    )
}

/// `vaccel_minmax`: `ndata` doubles, clipped to thresholds into `out`.
///
/// # Errors
/// `EINVAL` for a negative number; those of the plugin.
pub fn minmax(
    sess: Ptr<vaccel_session>,
    indata: Ptr<f64>,
    ndata: c_int,
    [low, high]: [c_int; 2],
    outdata: Ptr<f64>,
    [min, max]: [Ptr<f64>; 2],
) -> Result {
    if ndata < 0 {
        fail!(EINVAL, "{ndata} numbers");
    }
    call_op!(
        sess,
        OP_MINMAX,
        MinmaxFn,
        indata.as_ptr(),
        ndata,
        low,
        high,
        outdata.as_ptr(),
        min.as_ptr(),
        max.as_ptr();
        (ndata as usize * size_of::<f64>(), ndata as usize * size_of::<f64>())
    )
}

/// `vaccel_opencv_unpack`: the first argument says which function.
///
/// # Errors
/// `EINVAL` without read arguments; those of the plugin.
pub fn opencv(sess: Ptr<vaccel_session>, read: Args, write: Args) -> Result {
    if read.first.is_null() || read.count == 0 {
        fail!(
            EINVAL,
            "there are no read arguments, and the first says which function to call"
        );
    }
    if write.first.is_null() && write.count > 0 {
        fail!(
            EINVAL,
            "`write` is null and there are {} arguments",
            write.count
        );
    }
    let (Ok(nr_read), Ok(nr_write)) = (c_int::try_from(read.count), c_int::try_from(write.count))
    else {
        fail!(
            EINVAL,
            "{} and {} arguments are too many",
            read.count,
            write.count
        );
    };
    call_op!(
        sess,
        OP_OPENCV,
        OpencvFn,
        read.first,
        nr_read,
        write.first,
        nr_write;
        (read.bytes(), write.bytes())
    )
}
