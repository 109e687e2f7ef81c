//! A plugin whose every operation has an answer that can be told beforehand.
//!
//! The conformance suite calls it in process and through every transport; what
//! comes back must be the same. It offers all operations, models of any name
//! whose outputs are their inputs, and functions that fail, wait or panic on
//! demand.

mod call;
mod echo;

use std::ffi::CStr;
use vaccel_plugin::{
    Args, ArgsMut, Classified, Description, Minmax, Model, ModelSource, Op, Options, Picture,
    Plugin, Resource, Result, Session, Sgemm, TensorOut, TorchSgemm, abi,
};

struct Reference;

/// The sum that stands for the content of a buffer: FNV-1a.
#[must_use]
pub fn digest(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum, &byte| {
        (sum ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// What an image operation says of the bytes it got.
fn describe_image(what: &str, image: &[u8]) -> String {
    format!("{what} of {} bytes, {:016x}", image.len(), digest(image))
}

impl Plugin for Reference {
    const NAME: &'static CStr = c"reference";
    const VERSION: &'static CStr = vaccel_plugin::version!();
    const TYPES: u32 = abi::plugin::PLUGIN_GENERIC | abi::plugin::PLUGIN_SOFTWARE;
    const OPS: &'static [Op] = Op::ALL;
    const MODELS: bool = true;

    fn new() -> Result<Self> {
        Ok(Self)
    }

    fn describe(&self) -> Description {
        Description::ready("Answers that are known beforehand, for tests.")
    }

    fn noop(&self, _: &Session<'_>) -> Result<()> {
        Ok(())
    }

    fn exec(
        &self,
        session: &Session<'_>,
        library: &CStr,
        symbol: &CStr,
        read: &Args<'_>,
        write: &mut ArgsMut<'_>,
    ) -> Result<()> {
        call::function(session, library.to_bytes(), symbol, read, write)
    }

    fn exec_with_resource(
        &self,
        session: &Session<'_>,
        library: &Resource<'_>,
        symbol: &CStr,
        read: &Args<'_>,
        write: &mut ArgsMut<'_>,
    ) -> Result<()> {
        let bytes = library.first_blob()?.bytes()?;
        call::function(session, &bytes, symbol, read, write)
    }

    fn image_classify(&self, _: &Session<'_>, image: &[u8]) -> Result<Classified> {
        call::refuse_poison(image)?;
        Ok(Classified {
            text: describe_image("classification", image),
            picture: Picture::at("classified.png"),
        })
    }

    fn image_detect(&self, _: &Session<'_>, image: &[u8]) -> Result<Picture> {
        call::refuse_poison(image)?;
        Ok(Picture::at(describe_image("detection", image)))
    }

    fn image_segment(&self, _: &Session<'_>, image: &[u8]) -> Result<Picture> {
        Ok(Picture::at(describe_image("segmentation", image)))
    }

    fn image_pose(&self, _: &Session<'_>, image: &[u8]) -> Result<Picture> {
        Ok(Picture::at(describe_image("pose", image)))
    }

    fn image_depth(&self, _: &Session<'_>, image: &[u8]) -> Result<Picture> {
        Ok(Picture::at(describe_image("depth", image)))
    }

    fn load_model(
        &self,
        _: &Session<'_>,
        source: &ModelSource<'_>,
        options: &Options,
    ) -> Result<Box<dyn Model>> {
        Ok(Box::new(echo::Echo::load(source, options)?))
    }

    fn torch_sgemm(
        &self,
        _: &Session<'_>,
        call: &TorchSgemm<'_>,
        out: &mut TensorOut<'_>,
    ) -> Result<()> {
        let (a, b) = (call.a.to_vec::<f32>()?, call.b.to_vec::<f32>()?);
        let c = call.c.as_ref().map(|c| c.to_vec::<f32>()).transpose()?;
        let mut product = c.unwrap_or_else(|| vec![0.0; call.m * call.n]);
        for (i, row) in product.chunks_mut(call.n).enumerate() {
            for (j, sum) in row.iter_mut().enumerate() {
                for p in 0..call.k {
                    *sum += a[i * call.k + p] * b[p * call.n + j];
                }
            }
        }
        out.write_slice(&[call.m as i64, call.n as i64], &product)
    }

    fn sgemm(&self, _: &Session<'_>, call: Sgemm<'_>) -> Result<()> {
        for i in 0..call.m {
            for j in 0..call.n {
                let dot: f32 = (0..call.k)
                    .map(|p| call.a[i * call.lda + p] * call.b[p * call.ldb + j])
                    .sum();
                let c = &mut call.c[i * call.ldc + j];
                let old = if call.beta == 0.0 {
                    0.0
                } else {
                    call.beta * *c
                };
                *c = call.alpha * dot + old;
            }
        }
        Ok(())
    }

    fn fpga_arraycopy(&self, _: &Session<'_>, a: &[i32], out: &mut [i32]) -> Result<()> {
        out.copy_from_slice(a);
        Ok(())
    }

    fn fpga_mmult(&self, _: &Session<'_>, a: &[f32], b: &[f32], c: &mut [f32]) -> Result<()> {
        let n = c.len().isqrt();
        for i in 0..n {
            for j in 0..n {
                c[i * n + j] = (0..n).map(|p| a[i * n + p] * b[p * n + j]).sum();
            }
        }
        Ok(())
    }

    fn fpga_parallel(
        &self,
        _: &Session<'_>,
        a: &[f32],
        b: &[f32],
        add: &mut [f32],
        mult: &mut [f32],
    ) -> Result<()> {
        for i in 0..a.len() {
            add[i] = a[i] + b[i];
            mult[i] = a[i] * b[i];
        }
        Ok(())
    }

    fn fpga_vectoradd(&self, _: &Session<'_>, a: &[f32], b: &[f32], c: &mut [f32]) -> Result<()> {
        for (i, c) in c.iter_mut().enumerate() {
            *c = a[i] + b[i];
        }
        Ok(())
    }

    fn minmax(&self, _: &Session<'_>, call: Minmax<'_>) -> Result<(f64, f64)> {
        let (low, high) = (f64::from(call.low), f64::from(call.high));
        let (mut min, mut max) = (f64::INFINITY, f64::NEG_INFINITY);
        for (clipped, &x) in call.clipped.iter_mut().zip(call.input) {
            min = min.min(x);
            max = max.max(x);
            *clipped = x.max(low).min(high);
        }
        Ok((min, max))
    }

    fn opencv(
        &self,
        session: &Session<'_>,
        read: &Args<'_>,
        write: &mut ArgsMut<'_>,
    ) -> Result<()> {
        call::function(session, b"opencv", c"echo", read, write)
    }
}

vaccel_plugin::export_plugin!(Reference);
