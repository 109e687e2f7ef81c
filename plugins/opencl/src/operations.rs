//! The operations of the library on a device.

use crate::api::Handle;
use crate::context::{Buffer, Context, Setting};
use std::ffi::{CStr, CString};
use vaccel_plugin::{Minmax, Result, Sgemm, bail, err};

const SOURCE: &[u8] = include_bytes!("kernels.cl");
/// Work items of `minmax`, and so extremes that the host brings together.
const ITEMS: usize = 1024;

/// Gives buffers back when an operation is through, also when it fails.
struct Buffers<'a> {
    context: &'a mut Context,
    taken: Vec<Buffer>,
}

impl Buffers<'_> {
    fn new(context: &mut Context) -> Buffers<'_> {
        Buffers {
            context,
            taken: Vec::new(),
        }
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

    fn memory(&self, at: usize) -> Setting<'static> {
        Setting::Memory(self.taken[at].handle())
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

/// Side of a work group of `sgemm`: the largest that the device has room for.
fn side(context: &Context) -> usize {
    let device = &context.device;
    [16, 8, 4, 2]
        .into_iter()
        .find(|side| {
            let tiles = (2 * 4 * side * side * size_of::<f32>()) as u64;
            side * side <= device.work_group && tiles <= device.local_memory
        })
        .unwrap_or(1)
}

fn kernel(context: &mut Context, name: &CStr) -> Result<Handle> {
    let doubles = if context.device.doubles {
        " -DDOUBLES"
    } else {
        ""
    };
    let options = CString::new(format!("-DWG={}{doubles}", side(context)))
        .map_err(|error| err!(EIO, "{error}"))?;
    context.kernel(SOURCE, &options, name)
}

/// C = alpha A B + beta C.
pub(crate) fn sgemm(context: &mut Context, call: Sgemm<'_>) -> Result<()> {
    if call.m == 0 || call.n == 0 {
        return Ok(());
    }
    let size = |value: usize| match i32::try_from(value) {
        Ok(value) => Ok((value as u32).to_ne_bytes()),
        Err(_) => bail!(ERANGE, "a matrix of {value} rows or columns is too large"),
    };
    // As BLAS has it, A and B are not read when alpha is 0.
    let k = if call.alpha == 0.0 { 0 } else { call.k };
    let (m, n, depth) = (size(call.m)?, size(call.n)?, size(k)?);
    let stride = |value: usize| (value as u64).to_ne_bytes();
    let (lda, ldb, ldc) = (stride(call.lda), stride(call.ldb), stride(call.ldc));
    let (alpha, beta) = (call.alpha.to_ne_bytes(), call.beta.to_ne_bytes());
    let side = side(context);
    let kernel = kernel(context, c"sgemm")?;
    let mut buffers = Buffers::new(context);
    let a = buffers.with(if k == 0 { &[] } else { call.a })?;
    let b = buffers.with(if k == 0 { &[] } else { call.b })?;
    // What lies between the rows comes back as it was.
    let c = if call.beta != 0.0 || call.ldc != call.n {
        buffers.with(call.c)?
    } else {
        buffers.empty(size_of_val(call.c))?
    };
    let settings = [
        Setting::Value(&m),
        Setting::Value(&n),
        Setting::Value(&depth),
        Setting::Value(&alpha),
        buffers.memory(a),
        Setting::Value(&lda),
        buffers.memory(b),
        Setting::Value(&ldb),
        Setting::Value(&beta),
        buffers.memory(c),
        Setting::Value(&ldc),
    ];
    let items = |elements: usize| elements.div_ceil(4 * side) * side;
    let global = [items(call.n), items(call.m)];
    buffers
        .context
        .launch(kernel, &settings, &global, &[side, side])?;
    buffers.read(c, call.c)
}

/// The product of two square matrices.
pub(crate) fn mmult(context: &mut Context, a: &[f32], b: &[f32], c: &mut [f32]) -> Result<()> {
    let n = a.len().isqrt();
    if n * n != a.len() || b.len() != a.len() || c.len() != a.len() {
        bail!(
            EINVAL,
            "matrices of {}, {} and {} elements are not square and of one size",
            a.len(),
            b.len(),
            c.len()
        );
    }
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

/// `to` = `from`, through the device.
pub(crate) fn copy(context: &mut Context, from: &[i32], to: &mut [i32]) -> Result<()> {
    equal(&[from.len(), to.len()])?;
    if from.is_empty() {
        return Ok(());
    }
    let kernel = kernel(context, c"copy")?;
    let mut buffers = Buffers::new(context);
    let (f, t) = (buffers.with(from)?, buffers.empty(size_of_val(to))?);
    let settings = [buffers.memory(f), buffers.memory(t)];
    buffers
        .context
        .launch(kernel, &settings, &[from.len()], &[])?;
    buffers.read(t, to)
}

/// `c` = `a` + `b`.
pub(crate) fn add(context: &mut Context, a: &[f32], b: &[f32], c: &mut [f32]) -> Result<()> {
    equal(&[a.len(), b.len(), c.len()])?;
    if a.is_empty() {
        return Ok(());
    }
    let kernel = kernel(context, c"add")?;
    let mut buffers = Buffers::new(context);
    let (x, y) = (buffers.with(a)?, buffers.with(b)?);
    let sum = buffers.empty(size_of_val(c))?;
    let settings = [x, y, sum].map(|at| buffers.memory(at));
    buffers.context.launch(kernel, &settings, &[a.len()], &[])?;
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
    let kernel = kernel(context, c"add_multiply")?;
    let mut buffers = Buffers::new(context);
    let (x, y) = (buffers.with(a)?, buffers.with(b)?);
    let s = buffers.empty(size_of_val(sum))?;
    let p = buffers.empty(size_of_val(product))?;
    let settings = [x, y, s, p].map(|at| buffers.memory(at));
    buffers.context.launch(kernel, &settings, &[a.len()], &[])?;
    buffers.read(s, sum)?;
    buffers.read(p, product)
}

/// The extremes, and the elements clipped; infinities the wrong way round when there
/// are no numbers.
pub(crate) fn minmax(context: &mut Context, call: Minmax<'_>) -> Result<(f64, f64)> {
    let (low, high) = (f64::from(call.low), f64::from(call.high));
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
    if !context.device.doubles {
        bail!(
            ENOTSUP,
            "{} has no numbers of double precision; choose another device with VACCEL_OPENCL_DEVICE",
            context.device.name
        );
    }
    let kernel = kernel(context, c"minmax")?;
    let items = ITEMS.min(call.input.len());
    let mut extremes = vec![0.0_f64; 2 * items];
    let mut buffers = Buffers::new(context);
    let input = buffers.with(call.input)?;
    let clipped = buffers.empty(size_of_val(call.clipped))?;
    let found = buffers.empty(size_of_val(&extremes[..]))?;
    let count = (call.input.len() as u64).to_ne_bytes();
    let (low, high) = (low.to_ne_bytes(), high.to_ne_bytes());
    let settings = [
        buffers.memory(input),
        Setting::Value(&count),
        Setting::Value(&low),
        Setting::Value(&high),
        buffers.memory(clipped),
        buffers.memory(found),
    ];
    buffers.context.launch(kernel, &settings, &[items], &[])?;
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
