//! Matrix products and the FPGA operations.

use super::{Exported, call};
use crate::error::Result;
use crate::memory::{self, count, input, overlap, slice_mut, span};
use crate::plugin::Sgemm;
use libc::{c_float, c_int, size_t};
use vaccel_abi::CResult;
use vaccel_abi::session::vaccel_session;

/// Elements from the first to the last of a row-major matrix.
fn extent(rows: usize, columns: usize, stride: usize, name: &str) -> Result<usize> {
    if rows == 0 || columns == 0 {
        return Ok(0);
    }
    if stride < columns {
        crate::bail!(
            EINVAL,
            "the leading dimension of {name} is {stride}, less than its {columns} columns"
        );
    }
    (rows - 1)
        .checked_mul(stride)
        .and_then(|n| n.checked_add(columns))
        .ok_or_else(|| crate::err!(EINVAL, "{name} is larger than any memory"))
}

#[allow(clippy::too_many_arguments, clippy::many_single_char_names)]
pub(crate) unsafe extern "C" fn sgemm<P: Exported>(
    session: *mut vaccel_session,
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
) -> CResult {
    call::<P>("sgemm", |this| {
        let (m, n, k) = (count(m, "m")?, count(n, "n")?, count(k, "k")?);
        let (lda, ldb, ldc) = (count(lda, "lda")?, count(ldb, "ldb")?, count(ldc, "ldc")?);
        let len_a = extent(m, k, lda, "A")?;
        let len_b = extent(k, n, ldb, "B")?;
        let len_c = extent(m, n, ldc, "C")?;
        let outputs = [span(c, len_c)];
        // SAFETY: the library passes a live session and matrices as large as
        // the dimensions say; an input that lies over C is copied.
        unsafe {
            let session = this.session(session)?;
            let a = input(a.cast_const(), len_a, "A", &outputs)?;
            let b = input(b.cast_const(), len_b, "B", &outputs)?;
            let c = slice_mut(c, len_c, "C")?;
            let (a, b) = (&*a, &*b);
            #[rustfmt::skip]
            let call = Sgemm { m, n, k, alpha, a, lda, b, ldb, beta, c, ldc };
            this.plugin.sgemm(&session, call)
        }
    })
}

pub(crate) unsafe extern "C" fn arraycopy<P: Exported>(
    session: *mut vaccel_session,
    a: *mut c_int,
    out: *mut c_int,
    n: size_t,
) -> CResult {
    call::<P>("fpga_arraycopy", |this| {
        let outputs = [span(out, n)];
        // SAFETY: the library passes a live session and arrays of `n` elements;
        // an input that lies over an output is copied.
        unsafe {
            let session = this.session(session)?;
            let a = input(a.cast_const(), n, "a", &outputs)?;
            let out = slice_mut(out, n, "out")?;
            this.plugin.fpga_arraycopy(&session, &a, out)
        }
    })
}

pub(crate) unsafe extern "C" fn mmult<P: Exported>(
    session: *mut vaccel_session,
    a: *mut c_float,
    b: *mut c_float,
    c: *mut c_float,
    n: size_t,
) -> CResult {
    call::<P>("fpga_mmult", |this| {
        if n.isqrt().pow(2) != n {
            crate::bail!(EINVAL, "a matrix of {n} elements is not square");
        }
        let outputs = [span(c, n)];
        // SAFETY: as in `arraycopy`.
        unsafe {
            let session = this.session(session)?;
            let a = input(a.cast_const(), n, "a", &outputs)?;
            let b = input(b.cast_const(), n, "b", &outputs)?;
            let c = slice_mut(c, n, "c")?;
            this.plugin.fpga_mmult(&session, &a, &b, c)
        }
    })
}

pub(crate) unsafe extern "C" fn parallel<P: Exported>(
    session: *mut vaccel_session,
    a: *mut c_float,
    b: *mut c_float,
    add_out: *mut c_float,
    mult_out: *mut c_float,
    n: size_t,
) -> CResult {
    call::<P>("fpga_parallel", |this| {
        let outputs = [span(add_out, n), span(mult_out, n)];
        if overlap(&outputs[0], &outputs[1]) {
            crate::bail!(EINVAL, "add_out and mult_out share memory");
        }
        // SAFETY: as in `arraycopy`; the outputs are apart.
        unsafe {
            let session = this.session(session)?;
            let a = input(a.cast_const(), n, "a", &outputs)?;
            let b = input(b.cast_const(), n, "b", &outputs)?;
            let add = slice_mut(add_out, n, "add_out")?;
            let mult = slice_mut(mult_out, n, "mult_out")?;
            this.plugin.fpga_parallel(&session, &a, &b, add, mult)
        }
    })
}

pub(crate) unsafe extern "C" fn vectoradd<P: Exported>(
    session: *mut vaccel_session,
    a: *mut c_float,
    b: *mut c_float,
    c: *mut c_float,
    len_a: size_t,
    len_b: size_t,
) -> CResult {
    call::<P>("fpga_vadd", |this| {
        let outputs = [span(c, len_a)];
        // SAFETY: as in `arraycopy`; `c` is as long as `a`.
        unsafe {
            let session = this.session(session)?;
            let a = memory::input(a.cast_const(), len_a, "a", &outputs)?;
            let b = memory::input(b.cast_const(), len_b, "b", &outputs)?;
            let c = slice_mut(c, len_a, "c")?;
            this.plugin.fpga_vectoradd(&session, &a, &b, c)
        }
    })
}
