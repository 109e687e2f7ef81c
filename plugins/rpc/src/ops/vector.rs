//! Operations on plain arrays.

use super::count;
use crate::call::op;
use libc::{c_double, c_float, c_int, size_t};
use vaccel_plugin::abi::CResult;
use vaccel_plugin::abi::arg::{
    ARG_FLOAT32_ARRAY as F32S, ARG_FLOAT64, ARG_FLOAT64_ARRAY as F64S, ARG_INT32_ARRAY as I32S,
};
use vaccel_plugin::abi::op::{
    OP_BLAS_SGEMM, OP_FPGA_ARRAYCOPY, OP_FPGA_MMULT, OP_FPGA_PARALLEL, OP_FPGA_VECTORADD, OP_MINMAX,
};
use vaccel_plugin::abi::session::vaccel_session;
use vaccel_plugin::{Result, bail};

/// Elements that a matrix reaches: its last row may be shorter than the others.
fn extent(matrix: &str, rows: i64, columns: i64, stride: i64) -> Result<usize> {
    let elements = || {
        if rows < 0 || columns < 0 || stride < columns {
            return None;
        }
        if rows == 0 || columns == 0 {
            return Some(0);
        }
        let last_row = (rows - 1).checked_mul(stride)?;
        usize::try_from(last_row.checked_add(columns)?).ok()
    };
    let Some(elements) = elements() else {
        bail!(
            EINVAL,
            "{matrix} cannot have {rows} rows of {columns} columns, {stride} apart"
        );
    };
    Ok(elements)
}

pub(crate) unsafe extern "C" fn sgemm(
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
    op("sgemm", session, OP_BLAS_SGEMM, |call| {
        let len_a = extent("A", m, k, lda)?;
        let len_b = extent("B", k, n, ldb)?;
        let len_c = extent("C", m, n, ldc)?;
        call.scalar(m);
        call.scalar(n);
        call.scalar(k);
        call.scalar(alpha);
        // SAFETY: matrices of that many elements, by the ABI.
        unsafe { call.array(F32S, a, len_a, "a") }?;
        call.scalar(lda);
        // SAFETY: as above.
        unsafe { call.array(F32S, b, len_b, "b") }?;
        call.scalar(ldb);
        call.scalar(beta);
        call.scalar(ldc);
        // C is read when it is scaled; and what lies between its rows must come
        // back as it was.
        if beta == 0.0 && (ldc == n || m <= 1) {
            call.out_array(F32S, c, len_c, "c")
        } else {
            // SAFETY: as above.
            unsafe { call.update_array(F32S, c, len_c, "c") }
        }
    })
}

pub(crate) unsafe extern "C" fn arraycopy(
    session: *mut vaccel_session,
    a: *mut c_int,
    out: *mut c_int,
    n: size_t,
) -> CResult {
    op("fpga_arraycopy", session, OP_FPGA_ARRAYCOPY, |call| {
        // SAFETY: arrays of that many elements, by the ABI.
        unsafe { call.array(I32S, a, n, "a") }?;
        call.out_array(I32S, out, n, "out")
    })
}

pub(crate) unsafe extern "C" fn mmult(
    session: *mut vaccel_session,
    a: *mut c_float,
    b: *mut c_float,
    c: *mut c_float,
    n: size_t,
) -> CResult {
    op("fpga_mmult", session, OP_FPGA_MMULT, |call| {
        // SAFETY: arrays of that many elements, by the ABI.
        unsafe {
            call.array(F32S, a, n, "a")?;
            call.array(F32S, b, n, "b")?;
        }
        call.out_array(F32S, c, n, "c")
    })
}

pub(crate) unsafe extern "C" fn parallel(
    session: *mut vaccel_session,
    a: *mut c_float,
    b: *mut c_float,
    add_out: *mut c_float,
    mult_out: *mut c_float,
    n: size_t,
) -> CResult {
    op("fpga_parallel", session, OP_FPGA_PARALLEL, |call| {
        // SAFETY: arrays of that many elements, by the ABI.
        unsafe {
            call.array(F32S, a, n, "a")?;
            call.array(F32S, b, n, "b")?;
        }
        call.out_array(F32S, add_out, n, "add_out")?;
        call.out_array(F32S, mult_out, n, "mult_out")
    })
}

pub(crate) unsafe extern "C" fn vectoradd(
    session: *mut vaccel_session,
    a: *mut c_float,
    b: *mut c_float,
    c: *mut c_float,
    len_a: size_t,
    len_b: size_t,
) -> CResult {
    op("fpga_vadd", session, OP_FPGA_VECTORADD, |call| {
        // SAFETY: arrays of that many elements, by the ABI.
        unsafe {
            call.array(F32S, a, len_a, "a")?;
            call.array(F32S, b, len_b, "b")?;
        }
        call.out_array(F32S, c, len_a, "c")
    })
}

pub(crate) unsafe extern "C" fn minmax(
    session: *mut vaccel_session,
    indata: *const c_double,
    ndata: c_int,
    low_threshold: c_int,
    high_threshold: c_int,
    outdata: *mut c_double,
    min: *mut c_double,
    max: *mut c_double,
) -> CResult {
    op("minmax", session, OP_MINMAX, |call| {
        let n = count(ndata, "ndata")?;
        // SAFETY: an array of that many elements, by the ABI.
        unsafe { call.array(F64S, indata, n, "indata") }?;
        call.scalar(ndata);
        call.scalar(low_threshold);
        call.scalar(high_threshold);
        call.out_array(F64S, outdata, n, "outdata")?;
        call.out_array(ARG_FLOAT64, min, 1, "min")?;
        call.out_array(ARG_FLOAT64, max, 1, "max")
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn extents_of_matrices_are_exact_and_do_not_overflow() {
        assert_eq!(extent("A", 3, 4, 4).unwrap(), 12);
        assert_eq!(extent("A", 3, 4, 10).unwrap(), 24);
        assert_eq!(extent("A", 0, 4, 4).unwrap(), 0);
        assert_eq!(extent("A", 1, 1, i64::MAX).unwrap(), 1);
        for (rows, columns, stride) in [
            (-1, 1, 1),
            (1, -1, 1),
            (2, 3, 2),
            (i64::MAX, 2, 3),
            (3, i64::MAX, i64::MAX),
        ] {
            assert!(extent("A", rows, columns, stride).is_err());
        }
    }
}
