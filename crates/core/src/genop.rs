//! `vaccel_genop`: any operation in generic form, checked against the table.
//!
//! What comes in here may have been sent by somebody who is not trusted. Every
//! count, type and size is checked before a plugin sees it; only what the memory
//! holds is up to the plugin.

use crate::exec::{self, Args};
use crate::genop_bind::{Bound, at, bind};
use crate::ptr::Ptr;
use crate::vector::{self, Sgemm};
use crate::{Result, err, fail, genop_model, get, image, op, resource};
use std::ffi::c_int;
use vaccel_abi::arg::{ARG_UINT8, name, vaccel_arg};
use vaccel_abi::op::{
    OP_BLAS_SGEMM, OP_EXEC, OP_EXEC_WITH_RESOURCE, OP_FPGA_ARRAYCOPY, OP_FPGA_MMULT,
    OP_FPGA_PARALLEL, OP_FPGA_VECTORADD, OP_IMAGE_CLASSIFY, OP_IMAGE_DEPTH, OP_IMAGE_DETECT,
    OP_MINMAX, OP_NOOP, OP_OPENCV, OpType,
};
use vaccel_abi::resource::vaccel_resource;
use vaccel_abi::session::vaccel_session;
use vaccel_abi::table;

/// `vaccel_genop`: `read[0]` is a `UINT8` with the code of the operation.
///
/// # Errors
/// `EINVAL` when the arguments do not fit the operation; those of the operation.
pub fn genop(
    sess: Ptr<vaccel_session>,
    read: *mut vaccel_arg,
    nr_read: c_int,
    write: *mut vaccel_arg,
    nr_write: c_int,
) -> Result {
    let read = args("read", read, nr_read)?;
    let write = args("write", write, nr_write)?;
    if read.count == 0 {
        fail!(
            EINVAL,
            "the first read argument says which operation to call, and there is none"
        );
    }
    let first = at(read, 0)?;
    let (buf, size, type_) = (get!(first.buf), get!(first.size), get!(first.type_));
    if type_ != ARG_UINT8 || buf.is_null() || size != 1 {
        fail!(
            EINVAL,
            "the first read argument is the code of the operation, a VACCEL_ARG_UINT8, \
             and not {} of {size} bytes",
            name(type_)
        );
    }
    // SAFETY: one byte is there.
    let code = OpType::from(unsafe { buf.cast::<u8>().read() });
    let read = Args {
        first: read.first.wrapping_add(1),
        count: read.count - 1,
    };
    call(sess, code, read, write).map_err(|e| {
        if e.message().starts_with(op::name(code)) {
            e
        } else {
            e.context(op::name(code))
        }
    })
}

/// The operation that generic arguments name, as far as they do.
///
/// # Errors
/// As [`genop`].
pub fn code_of(read: *mut vaccel_arg, nr_read: c_int) -> Result<OpType> {
    let read = args("read", read, nr_read)?;
    if read.count == 0 {
        fail!(
            EINVAL,
            "the first read argument says which operation to call, and there is none"
        );
    }
    let first = at(read, 0)?;
    let (buf, size) = (get!(first.buf).cast::<u8>(), get!(first.size));
    if buf.is_null() || size == 0 {
        fail!(EINVAL, "the first read argument is empty");
    }
    // SAFETY: one byte is there.
    Ok(OpType::from(unsafe { buf.read() }))
}

/// True when the plugin's function has the caller's arguments as they are, and nothing
/// is done after it: not so where tensors are put into another form.
#[must_use]
pub fn is_plain(code: OpType) -> bool {
    matches!(
        code,
        OP_NOOP
            | OP_EXEC
            | OP_EXEC_WITH_RESOURCE
            | OP_IMAGE_CLASSIFY
            | OP_IMAGE_DETECT..=OP_IMAGE_DEPTH
            | OP_BLAS_SGEMM
            | OP_FPGA_ARRAYCOPY..=OP_FPGA_VECTORADD
            | OP_MINMAX
            | OP_OPENCV
    )
}

fn args(side: &'static str, first: *mut vaccel_arg, count: c_int) -> Result<Args> {
    let Ok(count) = usize::try_from(count) else {
        fail!(EINVAL, "{count} {side} arguments");
    };
    if count > 0 {
        // SAFETY: only checked here.
        unsafe { Ptr::new(first, side)? };
    }
    Ok(Args { first, count })
}

/// Arguments to hand on; null when there are none.
fn handed_on(rest: Args) -> Args {
    if rest.count == 0 {
        return Args {
            first: std::ptr::null_mut(),
            count: 0,
        };
    }
    rest
}

/// The live resource with the number that an argument holds.
pub(crate) fn resource_of(bound: &Bound, i: usize) -> Result<Ptr<vaccel_resource>> {
    let id = bound.i64(i);
    resource::by_id(id).ok_or_else(|| err!(EINVAL, "there is no resource {id}"))
}

fn call(sess: Ptr<vaccel_session>, code: OpType, read: Args, write: Args) -> Result {
    let Some(spec) = table::find(code) else {
        fail!(EINVAL, "there is no operation {code}");
    };
    let (mut r, mut w) = (Bound::EMPTY, Bound::EMPTY);
    bind(&mut r, "read", spec.read, read, spec.untyped)?;
    bind(&mut w, "write", spec.write, write, spec.untyped)?;
    match code {
        OP_NOOP => op::noop(sess),
        OP_EXEC => {
            let (library, symbol) = (r.required_text(0)?, r.required_text(1)?);
            exec::exec(sess, library, symbol, handed_on(r.rest), handed_on(w.rest))
        }
        OP_EXEC_WITH_RESOURCE => {
            let (res, symbol) = (resource_of(&r, 0)?, r.required_text(1)?);
            exec::exec_with_resource(sess, res, symbol, handed_on(r.rest), handed_on(w.rest))
        }
        OP_IMAGE_CLASSIFY => image::classify(sess, r.image(0), w.out_text(1), w.out_text(0)),
        OP_IMAGE_DETECT..=OP_IMAGE_DEPTH => image::process(sess, code, r.image(0), w.out_text(0)),
        OP_BLAS_SGEMM => sgemm(sess, &r, &w),
        OP_FPGA_ARRAYCOPY..=OP_FPGA_VECTORADD => fpga(sess, code, &r, &w),
        OP_MINMAX => minmax(sess, &r, &w),
        OP_OPENCV => vector::opencv(sess, handed_on(r.rest), handed_on(w.rest)),
        _ => genop_model::call(sess, code, &r, &w),
    }
}

/// Elements that a matrix reaches: the last row may be shorter than the others.
fn extent(rows: i64, columns: i64, stride: i64) -> Option<usize> {
    if rows == 0 || columns == 0 {
        return Some(0);
    }
    let last_row = (rows - 1).checked_mul(stride)?;
    usize::try_from(last_row.checked_add(columns)?).ok()
}

fn fits(matrix: &str, [rows, columns, stride]: [i64; 3], elements: usize) -> Result {
    if rows < 0 || columns < 0 || stride < 0 {
        fail!(
            EINVAL,
            "{matrix} has {rows} rows, {columns} columns, stride {stride}"
        );
    }
    match extent(rows, columns, stride) {
        Some(needed) if needed <= elements => Ok(()),
        _ => fail!(
            EINVAL,
            "{matrix} with {rows} rows, {columns} columns and stride {stride} does not fit into \
             {elements} elements"
        ),
    }
}

fn sgemm(sess: Ptr<vaccel_session>, r: &Bound, w: &Bound) -> Result {
    let (m, n, k) = (r.i64(0), r.i64(1), r.i64(2));
    let (a, len_a) = r.array::<f32>(4)?;
    let (b, len_b) = r.array::<f32>(6)?;
    let (c, len_c) = w.array::<f32>(0)?;
    let (lda, ldb, ldc) = (r.i64(5), r.i64(7), r.i64(9));
    fits("A", [m, k, lda], len_a)?;
    fits("B", [k, n, ldb], len_b)?;
    fits("C", [m, n, ldc], len_c)?;
    vector::sgemm(
        sess,
        Sgemm {
            m,
            n,
            k,
            alpha: r.f32(3),
            a,
            lda,
            b,
            ldb,
            beta: r.f32(8),
            c,
            ldc,
        },
    )
}

fn at_least(name: &str, have: usize, needed: usize) -> Result {
    if have < needed {
        fail!(EINVAL, "`{name}` has {have} elements, {needed} are needed");
    }
    Ok(())
}

fn fpga(sess: Ptr<vaccel_session>, code: OpType, r: &Bound, w: &Bound) -> Result {
    if code == OP_FPGA_ARRAYCOPY {
        let (a, len) = r.array::<c_int>(0)?;
        let (out, len_out) = w.array::<c_int>(0)?;
        at_least("out", len_out, len)?;
        return vector::arraycopy(sess, a, out, len);
    }
    let (a, len) = r.array::<f32>(0)?;
    let (b, len_b) = r.array::<f32>(1)?;
    let (out, len_out) = w.array::<f32>(0)?;
    at_least("b", len_b, len)?;
    at_least("the result", len_out, len)?;
    match code {
        OP_FPGA_MMULT => vector::mmult(sess, a, b, out, len),
        OP_FPGA_PARALLEL => {
            let (product, len_product) = w.array::<f32>(1)?;
            at_least("mult_out", len_product, len)?;
            vector::parallel(sess, [a, b], [out, product], len)
        }
        OP_FPGA_VECTORADD => {
            if len_b != len {
                fail!(
                    EINVAL,
                    "arrays of {len} and {len_b} elements cannot be added"
                );
            }
            vector::vadd(sess, [a, b], out, [len, len_b])
        }
        _ => fail!(EINVAL, "there is no operation {code}"),
    }
}

fn minmax(sess: Ptr<vaccel_session>, r: &Bound, w: &Bound) -> Result {
    let (indata, len) = r.array::<f64>(0)?;
    let (outdata, len_out) = w.array::<f64>(0)?;
    let (min, _) = w.array::<f64>(1)?;
    let (max, _) = w.array::<f64>(2)?;
    let ndata = r.i32(1)?;
    let Ok(count) = usize::try_from(ndata) else {
        fail!(EINVAL, "{ndata} numbers");
    };
    at_least("indata", len, count)?;
    at_least("outdata", len_out, count)?;
    vector::minmax(
        sess,
        indata,
        ndata,
        [r.i32(2)?, r.i32(3)?],
        outdata,
        [min, max],
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extents_of_matrices_do_not_overflow() {
        assert_eq!(extent(3, 4, 4), Some(12));
        assert_eq!(extent(3, 4, 10), Some(24));
        assert_eq!(extent(0, 4, i64::MAX), Some(0));
        assert_eq!(extent(i64::MAX, 2, 3), None);
        assert_eq!(extent(2, i64::MAX, i64::MAX), None);
        assert!(fits("A", [2, 2, 2], 4).is_ok());
        assert!(fits("A", [2, 2, 2], 3).is_err());
        assert!(fits("A", [-1, 2, 2], 100).is_err());
        assert!(fits("A", [i64::MAX, i64::MAX, i64::MAX], usize::MAX).is_err());
    }
}
