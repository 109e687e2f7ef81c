//! The blas plugin: matrix products on the processor, with nothing to install.
//!
//! The products are those of the crate `gemm`, which picks the widest vector
//! instructions the processor has, or those of an installed BLAS that
//! `VACCEL_BLAS` names.

pub mod engine;
mod library;
mod settings;

use crate::engine::Engine;
use crate::settings::Settings;
use std::ffi::CStr;
use std::sync::OnceLock;
use vaccel_plugin::abi::plugin::{PLUGIN_CPU, PLUGIN_SOFTWARE, PluginType};
use vaccel_plugin::{
    Description, Device, Dtype, Op, Plugin, Result, Session, Sgemm, TensorOut, TorchSgemm, bail,
};

pub use crate::settings::Settings as BlasSettings;

struct Blas {
    settings: Settings,
    /// What computes, opened by the first product: a BLAS takes its time to start.
    engine: OnceLock<Result<Engine>>,
}

impl Blas {
    fn engine(&self) -> Result<&Engine> {
        let opened = self.engine.get_or_init(|| Engine::open(&self.settings));
        opened.as_ref().map_err(Clone::clone)
    }
}

impl Plugin for Blas {
    const NAME: &'static CStr = c"blas";
    const VERSION: &'static CStr = vaccel_plugin::version!();
    const TYPES: PluginType = PLUGIN_CPU | PLUGIN_SOFTWARE;
    const OPS: &'static [Op] = &[Op::Noop, Op::Sgemm, Op::TorchSgemm];

    fn new() -> Result<Self> {
        Ok(Self {
            settings: Settings::from_environment()?,
            engine: OnceLock::new(),
        })
    }

    fn describe(&self) -> Description {
        const SUMMARY: &str = "Matrix products in f32 on the processor";
        let about = match self.engine() {
            Ok(engine) => Description {
                runtime: Some(engine.to_string()),
                ..Description::ready(SUMMARY)
            },
            Err(error) => Description::missing(
                SUMMARY,
                error.message(),
                self.settings.choice.remedy().unwrap_or_default(),
            ),
        };
        Description {
            devices: vec![Device {
                id: "cpu".into(),
                name: format!("{} processors", settings::processors()),
                memory: None,
            }],
            environment: settings::VARIABLES.to_vec(),
            ..about
        }
    }

    fn noop(&self, _: &Session<'_>) -> Result<()> {
        Ok(())
    }

    fn sgemm(&self, _: &Session<'_>, call: Sgemm<'_>) -> Result<()> {
        self.engine()?.multiply(call)
    }

    fn torch_sgemm(
        &self,
        _: &Session<'_>,
        call: &TorchSgemm<'_>,
        out: &mut TensorOut<'_>,
    ) -> Result<()> {
        let engine = self.engine()?;
        let (m, n, k) = (call.m, call.n, call.k);
        let a = operand("A", &call.a, m, k)?;
        let b = operand("B", &call.b, k, n)?;
        let shape = [extent(m)?, extent(n)?];
        let c = out.reserve_slice::<f32>(&shape)?;
        let beta = match &call.c {
            Some(old) => {
                c.copy_from_slice(operand("C", old, m, n)?);
                1.0
            }
            None => 0.0,
        };
        engine.multiply(Sgemm {
            m,
            n,
            k,
            alpha: 1.0,
            a,
            lda: k.max(1),
            b,
            ldb: n.max(1),
            beta,
            c,
            ldc: n.max(1),
        })
    }
}

/// The elements of an f32 operand with `rows` x `columns` of them.
fn operand<'a>(
    name: &str,
    tensor: &'a vaccel_plugin::TensorView<'_>,
    rows: usize,
    columns: usize,
) -> Result<&'a [f32]> {
    tensor.expect(Dtype::F32)?;
    let elements = tensor.as_slice::<f32>()?;
    if Some(elements.len()) != rows.checked_mul(columns) {
        bail!(
            EINVAL,
            "{name} has {} elements, not {rows} x {columns}",
            elements.len()
        );
    }
    Ok(elements)
}

fn extent(length: usize) -> Result<i64> {
    match i64::try_from(length) {
        Ok(length) => Ok(length),
        Err(_) => bail!(EINVAL, "{length} is too large for a dimension"),
    }
}

vaccel_plugin::export_plugin!(Blas);
