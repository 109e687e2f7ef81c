//! The operations of the library on a device.

use crate::api::Handle;
use crate::context::{Context, Setting};
use std::ffi::{CStr, CString};
use vaccel_plugin::device::{Pieces, equally_long};
use vaccel_plugin::{Minmax, Result, Sgemm, bail, err};

const SOURCE: &[u8] = include_bytes!("kernels.cl");
/// Work items of `minmax`, and so extremes that the host brings together.
const ITEMS: usize = 1024;

/// How a kernel takes a piece of memory.
fn memory(pieces: &Pieces<'_, Context>, at: usize) -> Setting<'static> {
    Setting::Memory(pieces.handle(at))
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
    let mut pieces = Pieces::new(context);
    let a = pieces.with(if k == 0 { &[] } else { call.a })?;
    let b = pieces.with(if k == 0 { &[] } else { call.b })?;
    // What lies between the rows comes back as it was.
    let c = if call.beta != 0.0 || call.ldc != call.n {
        pieces.with(call.c)?
    } else {
        pieces.empty(size_of_val(call.c))?
    };
    let settings = [
        Setting::Value(&m),
        Setting::Value(&n),
        Setting::Value(&depth),
        Setting::Value(&alpha),
        memory(&pieces, a),
        Setting::Value(&lda),
        memory(&pieces, b),
        Setting::Value(&ldb),
        Setting::Value(&beta),
        memory(&pieces, c),
        Setting::Value(&ldc),
    ];
    let items = |elements: usize| elements.div_ceil(4 * side) * side;
    let global = [items(call.n), items(call.m)];
    pieces
        .device()
        .launch(kernel, &settings, &global, &[side, side])?;
    pieces.read(c, call.c)
}

/// `to` = `from`, through the device.
pub(crate) fn copy(context: &mut Context, from: &[i32], to: &mut [i32]) -> Result<()> {
    equally_long(&[from.len(), to.len()])?;
    if from.is_empty() {
        return Ok(());
    }
    let kernel = kernel(context, c"copy")?;
    let mut pieces = Pieces::new(context);
    let (f, t) = (pieces.with(from)?, pieces.empty(size_of_val(to))?);
    let settings = [memory(&pieces, f), memory(&pieces, t)];
    pieces
        .device()
        .launch(kernel, &settings, &[from.len()], &[])?;
    pieces.read(t, to)
}

/// `c` = `a` + `b`.
pub(crate) fn add(context: &mut Context, a: &[f32], b: &[f32], c: &mut [f32]) -> Result<()> {
    equally_long(&[a.len(), b.len(), c.len()])?;
    if a.is_empty() {
        return Ok(());
    }
    let kernel = kernel(context, c"add")?;
    let mut pieces = Pieces::new(context);
    let (x, y) = (pieces.with(a)?, pieces.with(b)?);
    let sum = pieces.empty(size_of_val(c))?;
    let settings = [x, y, sum].map(|at| memory(&pieces, at));
    pieces.device().launch(kernel, &settings, &[a.len()], &[])?;
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
    let kernel = kernel(context, c"add_multiply")?;
    let mut pieces = Pieces::new(context);
    let (x, y) = (pieces.with(a)?, pieces.with(b)?);
    let s = pieces.empty(size_of_val(sum))?;
    let p = pieces.empty(size_of_val(product))?;
    let settings = [x, y, s, p].map(|at| memory(&pieces, at));
    pieces.device().launch(kernel, &settings, &[a.len()], &[])?;
    pieces.read(s, sum)?;
    pieces.read(p, product)
}

/// The extremes, and the elements clipped; infinities the wrong way round when there
/// are no numbers.
pub(crate) fn minmax(context: &mut Context, call: Minmax<'_>) -> Result<(f64, f64)> {
    let (low, high) = call.thresholds()?;
    if call.input.is_empty() {
        return Ok(Minmax::extremes_of(&[]));
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
    let mut pieces = Pieces::new(context);
    let input = pieces.with(call.input)?;
    let clipped = pieces.empty(size_of_val(call.clipped))?;
    let found = pieces.empty(size_of_val(&extremes[..]))?;
    let count = (call.input.len() as u64).to_ne_bytes();
    let (low, high) = (low.to_ne_bytes(), high.to_ne_bytes());
    let settings = [
        memory(&pieces, input),
        Setting::Value(&count),
        Setting::Value(&low),
        Setting::Value(&high),
        memory(&pieces, clipped),
        memory(&pieces, found),
    ];
    pieces.device().launch(kernel, &settings, &[items], &[])?;
    pieces.read(clipped, call.clipped)?;
    pieces.read(found, &mut extremes)?;
    Ok(Minmax::extremes_of(&extremes))
}
