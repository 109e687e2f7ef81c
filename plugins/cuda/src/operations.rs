//! The operations of the library on a GPU.

use crate::api;
use crate::context::{Buffer, Context};
use std::ffi::c_void;
use vaccel_plugin::{Minmax, Result, Sgemm, bail, err};

/// `CUBLAS_OP_N` of cublas_api.h.
const NO_TRANSPOSE: i32 = 0;

/// Gives buffers back when an operation is through, also when it fails.
struct Buffers<'a> {
    context: &'a mut Context,
    taken: Vec<Buffer>,
}

impl<'a> Buffers<'a> {
    fn new(context: &'a mut Context) -> Result<Self> {
        context.enter()?;
        Ok(Self {
            context,
            taken: Vec::new(),
        })
    }

    /// A new buffer of this size; its number.
    fn empty(&mut self, size: usize) -> Result<usize> {
        self.taken.push(self.context.take(size)?);
        Ok(self.taken.len() - 1)
    }

    /// A new buffer with these numbers.
    fn with<T: Copy>(&mut self, numbers: &[T]) -> Result<usize> {
        let at = self.empty(size_of_val(numbers))?;
        self.context.write(&self.taken[at], numbers)?;
        Ok(at)
    }

    fn address(&self, at: usize) -> u64 {
        self.taken[at].address
    }

    fn read<T: Copy>(&mut self, at: usize, to: &mut [T]) -> Result<()> {
        self.context.read(&self.taken[at], to)
    }
}

impl Drop for Buffers<'_> {
    fn drop(&mut self) {
        for buffer in self.taken.drain(..) {
            self.context.put(buffer);
        }
    }
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
    let mut buffers = Buffers::new(context)?;
    // What lies between the rows comes back as it was.
    let c = if call.beta != 0.0 || call.ldc != call.n {
        buffers.with(call.c)?
    } else {
        buffers.empty(size_of_val(call.c))?
    };
    // As BLAS has it, A and B are not read when alpha is 0.
    if call.k == 0 || call.alpha == 0.0 {
        let mut address = buffers.address(c);
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
            buffers
                .context
                .launch(c"scale", call.m * call.n, &mut arguments)?;
        }
        return buffers.read(c, call.c);
    }
    let size = |value: usize| {
        i32::try_from(value).map_err(|_| err!(ERANGE, "cuBLAS counts in 32 bits, not to {value}"))
    };
    let (m, n, k) = (size(call.m)?, size(call.n)?, size(call.k)?);
    let (lda, ldb, ldc) = (size(call.lda)?, size(call.ldb)?, size(call.ldc)?);
    let a = buffers.with(call.a)?;
    let b = buffers.with(call.b)?;
    let (pa, pb, pc) = (buffers.address(a), buffers.address(b), buffers.address(c));
    let (blas, handle) = buffers.context.blas()?;
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
    buffers.context.wait()?;
    buffers.read(c, call.c)
}

/// The product of two square matrices.
pub(crate) fn mmult(context: &mut Context, a: &[f32], b: &[f32], c: &mut [f32]) -> Result<()> {
    let n = a.len().isqrt();
    if n * n != a.len() {
        bail!(EINVAL, "a matrix of {} elements is not square", a.len());
    }
    equal(&[a.len(), b.len(), c.len()])?;
    sgemm(
        context,
        Sgemm {
            m: n,
            n,
            k: n,
            alpha: 1.0,
            a,
            lda: n,
            b,
            ldb: n,
            beta: 0.0,
            c,
            ldc: n,
        },
    )
}

/// `to` = `from`, through the GPU.
pub(crate) fn copy(context: &mut Context, from: &[i32], to: &mut [i32]) -> Result<()> {
    equal(&[from.len(), to.len()])?;
    if from.is_empty() {
        return Ok(());
    }
    let mut buffers = Buffers::new(context)?;
    let (f, t) = (buffers.with(from)?, buffers.empty(size_of_val(to))?);
    let (first, second) = buffers.taken.split_at(t);
    buffers
        .context
        .copy(&first[f], &second[0], size_of_val(from))?;
    buffers.read(t, to)
}

/// `c` = `a` + `b`.
pub(crate) fn add(context: &mut Context, a: &[f32], b: &[f32], c: &mut [f32]) -> Result<()> {
    equal(&[a.len(), b.len(), c.len()])?;
    if a.is_empty() {
        return Ok(());
    }
    let mut buffers = Buffers::new(context)?;
    let (x, y) = (buffers.with(a)?, buffers.with(b)?);
    let sum = buffers.empty(size_of_val(c))?;
    let mut addresses = [x, y, sum].map(|n| buffers.address(n));
    let mut count = a.len() as u64;
    let [x, y, s] = &mut addresses;
    let mut arguments = [at(x), at(y), at(s), at(&mut count)];
    // SAFETY: the parameters of `add`; the buffers have that many elements.
    unsafe { buffers.context.launch(c"add", a.len(), &mut arguments)? };
    buffers.read(sum, c)
}

/// `sum` = `a` + `b` and `product` = `a` `b`, element by element.
pub(crate) fn add_multiply(
    context: &mut Context,
    a: &[f32],
    b: &[f32],
    sum: &mut [f32],
    product: &mut [f32],
) -> Result<()> {
    equal(&[a.len(), b.len(), sum.len(), product.len()])?;
    if a.is_empty() {
        return Ok(());
    }
    let mut buffers = Buffers::new(context)?;
    let (x, y) = (buffers.with(a)?, buffers.with(b)?);
    let s = buffers.empty(size_of_val(sum))?;
    let p = buffers.empty(size_of_val(product))?;
    let mut addresses = [x, y, s, p].map(|n| buffers.address(n));
    let mut count = a.len() as u64;
    let [px, py, ps, pp] = &mut addresses;
    let mut arguments = [at(px), at(py), at(ps), at(pp), at(&mut count)];
    // SAFETY: the parameters of `add_multiply`; the buffers have that many elements.
    unsafe {
        buffers
            .context
            .launch(c"add_multiply", a.len(), &mut arguments)?;
    }
    buffers.read(s, sum)?;
    buffers.read(p, product)
}

/// The extremes, and the elements clipped; infinities the wrong way round when there
/// are no numbers.
pub(crate) fn minmax(context: &mut Context, call: Minmax<'_>) -> Result<(f64, f64)> {
    let (mut low, mut high) = (f64::from(call.low), f64::from(call.high));
    if low > high {
        bail!(
            EINVAL,
            "the low threshold {low} is above the high one {high}"
        );
    }
    equal(&[call.input.len(), call.clipped.len()])?;
    if call.input.is_empty() {
        return Ok((f64::INFINITY, f64::NEG_INFINITY));
    }
    let mut extremes = vec![0.0_f64; 2 * Context::threads(call.input.len())];
    let mut buffers = Buffers::new(context)?;
    let input = buffers.with(call.input)?;
    let clipped = buffers.empty(size_of_val(call.clipped))?;
    let found = buffers.empty(size_of_val(&extremes[..]))?;
    let mut addresses = [input, clipped, found].map(|n| buffers.address(n));
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
        buffers
            .context
            .launch(c"minmax", call.input.len(), &mut arguments)?;
    }
    buffers.read(clipped, call.clipped)?;
    buffers.read(found, &mut extremes)?;
    Ok(extremes
        .chunks_exact(2)
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), pair| {
            (low.min(pair[0]), high.max(pair[1]))
        }))
}

fn equal(lengths: &[usize]) -> Result<()> {
    if lengths.windows(2).any(|pair| pair[0] != pair[1]) {
        bail!(
            EINVAL,
            "arrays of {lengths:?} elements; all must be equally long"
        );
    }
    Ok(())
}
