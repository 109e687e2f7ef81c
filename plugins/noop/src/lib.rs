//! The noop plugin: every operation, done without a device and without work.
//!
//! It checks what it is given like any plugin, and answers with fixed texts,
//! zeros or its own inputs; the README has the table. It is for testing an
//! installation and for measuring what everything but the work costs.

use std::ffi::CStr;
use vaccel_plugin::{
    Args, ArgsMut, Classified, Description, Dtype, Minmax, Model, ModelInfo, ModelSource, Op,
    Options, Picture, Plugin, Resource, Result, Session, Sgemm, TensorOut, TensorView, TorchSgemm,
    abi,
};

/// What every picture is classified as.
const TAG: &str = "This is a dummy classification tag!";
/// The name of every picture that an operation makes.
const PICTURE: &str = "This is a dummy imgname!";

struct Noop;

impl Plugin for Noop {
    const NAME: &'static CStr = c"noop";
    const VERSION: &'static CStr = vaccel_plugin::version!();
    const TYPES: u32 = abi::plugin::PLUGIN_DEBUG | abi::plugin::PLUGIN_SOFTWARE;
    const OPS: &'static [Op] = Op::ALL;
    const MODELS: bool = true;
    // There is nothing to load.
    const LOAD_ON_RUN: bool = true;

    fn new() -> Result<Self> {
        Ok(Self)
    }

    fn describe(&self) -> Description {
        Description {
            formats: vec!["any".into()],
            ..Description::ready("Answers every operation with fixed results, for tests.")
        }
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
        vaccel_plugin::log::debug!(
            "noop: session {}: exec {} {} with {} and {} arguments",
            session.id(),
            library.to_string_lossy(),
            symbol.to_string_lossy(),
            read.len(),
            write.len()
        );
        Ok(())
    }

    fn exec_with_resource(
        &self,
        session: &Session<'_>,
        library: &Resource<'_>,
        symbol: &CStr,
        read: &Args<'_>,
        write: &mut ArgsMut<'_>,
    ) -> Result<()> {
        vaccel_plugin::log::debug!(
            "noop: session {}: exec resource {} {} with {} and {} arguments",
            session.id(),
            library.id(),
            symbol.to_string_lossy(),
            read.len(),
            write.len()
        );
        Ok(())
    }

    fn image_classify(&self, _: &Session<'_>, _: &[u8]) -> Result<Classified> {
        Ok(Classified {
            text: TAG.into(),
            picture: Picture::at(PICTURE),
        })
    }

    fn image_detect(&self, _: &Session<'_>, _: &[u8]) -> Result<Picture> {
        Ok(Picture::at(PICTURE))
    }

    fn image_segment(&self, _: &Session<'_>, _: &[u8]) -> Result<Picture> {
        Ok(Picture::at(PICTURE))
    }

    fn image_pose(&self, _: &Session<'_>, _: &[u8]) -> Result<Picture> {
        Ok(Picture::at(PICTURE))
    }

    fn image_depth(&self, _: &Session<'_>, _: &[u8]) -> Result<Picture> {
        Ok(Picture::at(PICTURE))
    }

    fn load_model(
        &self,
        _: &Session<'_>,
        _: &ModelSource<'_>,
        _: &Options,
    ) -> Result<Box<dyn Model>> {
        Ok(Box::new(Echo))
    }

    fn torch_sgemm(
        &self,
        _: &Session<'_>,
        call: &TorchSgemm<'_>,
        out: &mut TensorOut<'_>,
    ) -> Result<()> {
        let dims = [call.m, call.n].map(|d| i64::try_from(d).unwrap_or(i64::MAX));
        // Allocated memory is zero.
        out.reserve(Dtype::F32, &dims)?;
        Ok(())
    }

    fn sgemm(&self, _: &Session<'_>, call: Sgemm<'_>) -> Result<()> {
        if call.ldc == 0 {
            return Ok(());
        }
        // Between the rows lies memory that is not part of the matrix.
        for row in call.c.chunks_mut(call.ldc) {
            let columns = call.n.min(row.len());
            row[..columns].fill(0.0);
        }
        Ok(())
    }

    fn fpga_arraycopy(&self, _: &Session<'_>, a: &[i32], out: &mut [i32]) -> Result<()> {
        out.copy_from_slice(a);
        Ok(())
    }

    fn fpga_mmult(&self, _: &Session<'_>, _: &[f32], _: &[f32], c: &mut [f32]) -> Result<()> {
        c.fill(0.0);
        Ok(())
    }

    fn fpga_parallel(
        &self,
        _: &Session<'_>,
        _: &[f32],
        _: &[f32],
        add: &mut [f32],
        mult: &mut [f32],
    ) -> Result<()> {
        add.fill(0.0);
        mult.fill(0.0);
        Ok(())
    }

    fn fpga_vectoradd(&self, _: &Session<'_>, _: &[f32], _: &[f32], c: &mut [f32]) -> Result<()> {
        c.fill(0.0);
        Ok(())
    }

    fn minmax(&self, _: &Session<'_>, call: Minmax<'_>) -> Result<(f64, f64)> {
        call.clipped.copy_from_slice(call.input);
        Ok((f64::from(call.low), f64::from(call.high)))
    }

    fn opencv(&self, _: &Session<'_>, _: &Args<'_>, _: &mut ArgsMut<'_>) -> Result<()> {
        Ok(())
    }
}

/// A model that answers with what it was asked.
struct Echo;

impl Model for Echo {
    fn info(&self) -> ModelInfo {
        ModelInfo {
            format: "noop".into(),
            ..ModelInfo::default()
        }
    }

    fn run(&self, inputs: &[TensorView<'_>], outputs: &mut [TensorOut<'_>]) -> Result<()> {
        for (i, out) in outputs.iter_mut().enumerate() {
            // Names mean nothing here; there may be more outputs than inputs.
            match inputs.get(i % inputs.len().max(1)) {
                Some(input) => out.write(input.dtype(), input.shape(), input.bytes())?,
                None => out.write(Dtype::U8, &[0], &[])?,
            }
        }
        Ok(())
    }
}

vaccel_plugin::export_plugin!(Noop);
