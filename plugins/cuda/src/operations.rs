//! The operations of the library on a GPU.

use crate::api;
use crate::context::Context;
use std::ffi::c_void;
use vaccel_plugin::device::{Pieces, equally_long};
use vaccel_plugin::{Minmax, Result, Sgemm, err};

/// `CUBLAS_OP_N` of cublas_api.h.
const NO_TRANSPOSE: i32 = 0;

/// The memory of an operation, which this thread works with.
fn pieces(context: &mut Context) -> Result<Pieces<'_, Context>> {
    context.enter()?;
    Ok(Pieces::new(context))
}

/// Address of a parameter's value.
fn at<T>(value: &mut T) -> *mut c_void {
    (&raw mut *value).cast()
}

/// C = alpha A B + beta C.
pub(crate) fn sgemm(context: &mut Context, call: Sgemm<'_>) -> Result<()> {
    if call.m == 0 || call.n == 0 {
        return Ok(());
    }
    let mut pieces = pieces(context)?;
    // What lies between the rows comes back as it was.
    let c = if call.beta != 0.0 || call.ldc != call.n {
        pieces.with(call.c)?
    } else {
        pieces.empty(size_of_val(call.c))?
    };
    // As BLAS has it, A and B are not read when alpha is 0.
    if call.k == 0 || call.alpha == 0.0 {
        let mut address = pieces.handle(c);
        let (mut rows, mut columns, mut stride) = (call.m as u64, call.n as u64, call.ldc as u64);
        let mut beta = call.beta;
        let mut arguments = [
            at(&mut address),
            at(&mut rows),
            at(&mut columns),
            at(&mut stride),
            at(&mut beta),
        ];
        // SAFETY: the parameters of `scale`; C has that many rows.
        unsafe {
            pieces
                .device()
                .launch(c"scale", call.m * call.n, &mut arguments)?;
        }
        return pieces.read(c, call.c);
    }
    let size = |value: usize| {
        i32::try_from(value).map_err(|_| err!(ERANGE, "cuBLAS counts in 32 bits, not to {value}"))
    };
    let (m, n, k) = (size(call.m)?, size(call.n)?, size(call.k)?);
    let (lda, ldb, ldc) = (size(call.lda)?, size(call.ldb)?, size(call.ldc)?);
    let a = pieces.with(call.a)?;
    let b = pieces.with(call.b)?;
    let (pa, pb, pc) = (pieces.handle(a), pieces.handle(b), pieces.handle(c));
    let (blas, handle) = pieces.device().blas()?;
    // cuBLAS counts by columns: what is C there is C transposed here, B' A'.
    // SAFETY: a live handle; matrices that lie within their buffers, checked by the SDK.
    let status = unsafe {
        (blas.sgemm)(
            *handle,
            NO_TRANSPOSE,
            NO_TRANSPOSE,
            n,
            m,
            k,
            &raw const call.alpha,
            pb,
            ldb,
            pa,
            lda,
            &raw const call.beta,
            pc,
            ldc,
        )
    };
    if status != 0 {
        return Err(api::failed("cublasSgemm", status));
    }
    pieces.device().wait()?;
    pieces.read(c, call.c)
}

/// `to` = `from`, through the GPU.
pub(crate) fn copy(context: &mut Context, from: &[i32], to: &mut [i32]) -> Result<()> {
    equally_long(&[from.len(), to.len()])?;
    if from.is_empty() {
        return Ok(());
    }
    let mut pieces = pieces(context)?;
    let (f, t) = (pieces.with(from)?, pieces.empty(size_of_val(to))?);
    let (source, target) = (pieces.handle(f), pieces.handle(t));
    // SAFETY: both have as many bytes as the array.
    unsafe {
        pieces.device().copy(source, target, size_of_val(from))?;
    }
    pieces.read(t, to)
}

/// `c` = `a` + `b`.
pub(crate) fn add(context: &mut Context, a: &[f32], b: &[f32], c: &mut [f32]) -> Result<()> {
    equally_long(&[a.len(), b.len(), c.len()])?;
    if a.is_empty() {
        return Ok(());
    }
    let mut pieces = pieces(context)?;
    let (x, y) = (pieces.with(a)?, pieces.with(b)?);
    let sum = pieces.empty(size_of_val(c))?;
    let mut addresses = [x, y, sum].map(|n| pieces.handle(n));
    let mut count = a.len() as u64;
    let [x, y, s] = &mut addresses;
    let mut arguments = [at(x), at(y), at(s), at(&mut count)];
    // SAFETY: the parameters of `add`; the pieces have that many elements.
    unsafe { pieces.device().launch(c"add", a.len(), &mut arguments)? };
    pieces.read(sum, c)
}

/// `sum` = `a` + `b` and `product` = `a` `b`, element by element.
pub(crate) fn add_multiply(
    context: &mut Context,
    a: &[f32],
    b: &[f32],
    sum: &mut [f32],
    product: &mut [f32],
) -> Result<()> {
    equally_long(&[a.len(), b.len(), sum.len(), product.len()])?;
    if a.is_empty() {
        return Ok(());
    }
    let mut pieces = pieces(context)?;
    let (x, y) = (pieces.with(a)?, pieces.with(b)?);
    let s = pieces.empty(size_of_val(sum))?;
    let p = pieces.empty(size_of_val(product))?;
    let mut addresses = [x, y, s, p].map(|n| pieces.handle(n));
    let mut count = a.len() as u64;
    let [px, py, ps, pp] = &mut addresses;
    let mut arguments = [at(px), at(py), at(ps), at(pp), at(&mut count)];
    // SAFETY: the parameters of `add_multiply`; the pieces have that many elements.
    unsafe {
        pieces
            .device()
            .launch(c"add_multiply", a.len(), &mut arguments)?;
    }
    pieces.read(s, sum)?;
    pieces.read(p, product)
}

/// The extremes, and the elements clipped; infinities the wrong way round when there
/// are no numbers.
pub(crate) fn minmax(context: &mut Context, call: Minmax<'_>) -> Result<(f64, f64)> {
    let (mut low, mut high) = call.thresholds()?;
    if call.input.is_empty() {
        return Ok(Minmax::extremes_of(&[]));
    }
    let mut extremes = vec![0.0_f64; 2 * Context::threads(call.input.len())];
    let mut pieces = pieces(context)?;
    let input = pieces.with(call.input)?;
    let clipped = pieces.empty(size_of_val(call.clipped))?;
    let found = pieces.empty(size_of_val(&extremes[..]))?;
    let mut addresses = [input, clipped, found].map(|n| pieces.handle(n));
    let mut count = call.input.len() as u64;
    let [pi, pc, pf] = &mut addresses;
    let mut arguments = [
        at(pi),
        at(&mut count),
        at(&mut low),
        at(&mut high),
        at(pc),
        at(pf),
    ];
    // SAFETY: the parameters of `minmax`; two extremes for each thread.
    unsafe {
        pieces
            .device()
            .launch(c"minmax", call.input.len(), &mut arguments)?;
    }
    pieces.read(clipped, call.clipped)?;
    pieces.read(found, &mut extremes)?;
    Ok(Minmax::extremes_of(&extremes))
}
