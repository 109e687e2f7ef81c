//! The cuda plugin: matrix and vector operations on an NVIDIA GPU, by cuBLAS and by
//! kernels that NVRTC compiles for it.

mod api;
mod context;
mod operations;

use crate::api::Driver;
use crate::context::Context;
use std::ffi::{CStr, c_int};
use std::sync::{Mutex, OnceLock, PoisonError};
use vaccel_plugin::abi::plugin::{PLUGIN_GPU, PluginType};
use vaccel_plugin::{
    Description, Device, Minmax, Op, Plugin, Result, Session, Sgemm, Variable, bail, err,
};

const VARIABLES: &[Variable] = &[Variable {
    name: "VACCEL_CUDA_DEVICE",
    meaning: "Number of the GPU; default: 0",
}];

/// The driver, once for the process.
static DRIVER: OnceLock<Result<Driver>> = OnceLock::new();
/// What [`context::devices`] says, once for the process.
static DEVICES: OnceLock<Result<(String, Vec<Device>)>> = OnceLock::new();

struct Cuda {
    /// Which GPU is meant.
    number: c_int,
    /// Made by the first operation.
    context: Mutex<Option<Context>>,
}

fn driver() -> Result<&'static Driver> {
    let opened = DRIVER.get_or_init(Driver::open);
    opened.as_ref().map_err(Clone::clone)
}

fn devices() -> Result<&'static (String, Vec<Device>)> {
    let found = DEVICES.get_or_init(|| context::devices(driver()?));
    found.as_ref().map_err(Clone::clone)
}

impl Cuda {
    fn with<R>(&self, f: impl FnOnce(&mut Context) -> Result<R>) -> Result<R> {
        // What a panic leaves behind is a context in order: it has no state in between.
        let mut context = self.context.lock().unwrap_or_else(PoisonError::into_inner);
        let context = match &mut *context {
            Some(context) => context,
            empty => {
                let (_, all) = devices()?;
                if usize::try_from(self.number).is_ok_and(|n| n >= all.len()) {
                    bail!(
                        ENODEV,
                        "VACCEL_CUDA_DEVICE is {}, but there are {} GPUs",
                        self.number,
                        all.len()
                    );
                }
                empty.insert(Context::new(driver()?, self.number)?)
            }
        };
        f(context)
    }
}

impl Plugin for Cuda {
    const NAME: &'static CStr = c"cuda";
    const VERSION: &'static CStr = vaccel_plugin::version!();
    const TYPES: PluginType = PLUGIN_GPU;
    const OPS: &'static [Op] = &[
        Op::Noop,
        Op::Sgemm,
        Op::FpgaArraycopy,
        Op::FpgaMmult,
        Op::FpgaParallel,
        Op::FpgaVectoradd,
        Op::Minmax,
    ];

    fn new() -> Result<Self> {
        let number = match std::env::var("VACCEL_CUDA_DEVICE").as_deref() {
            Err(_) | Ok("") => 0,
            Ok(text) => text
                .parse()
                .ok()
                .filter(|number| *number >= 0)
                .ok_or_else(|| {
                    err!(
                        EINVAL,
                        "VACCEL_CUDA_DEVICE is `{text}`, not the number of a GPU"
                    )
                })?,
        };
        Ok(Self {
            number,
            context: Mutex::new(None),
        })
    }

    fn describe(&self) -> Description {
        const SUMMARY: &str = "Matrix and vector operations on NVIDIA GPUs";
        let about = match devices() {
            Ok((version, devices)) => Description {
                runtime: Some(version.clone()),
                devices: devices.clone(),
                ..Description::ready(SUMMARY)
            },
            Err(error) => Description::missing(SUMMARY, error.message(), api::INSTALL_DRIVER),
        };
        Description {
            environment: VARIABLES.to_vec(),
            ..about
        }
    }

    fn noop(&self, _: &Session<'_>) -> Result<()> {
        Ok(())
    }

    fn sgemm(&self, _: &Session<'_>, call: Sgemm<'_>) -> Result<()> {
        self.with(|context| operations::sgemm(context, call))
    }

    fn fpga_arraycopy(&self, _: &Session<'_>, a: &[i32], out: &mut [i32]) -> Result<()> {
        self.with(|context| operations::copy(context, a, out))
    }

    fn fpga_mmult(&self, _: &Session<'_>, a: &[f32], b: &[f32], c: &mut [f32]) -> Result<()> {
        self.with(|context| operations::sgemm(context, Sgemm::square(a, b, c)?))
    }

    fn fpga_parallel(
        &self,
        _: &Session<'_>,
        a: &[f32],
        b: &[f32],
        add: &mut [f32],
        mult: &mut [f32],
    ) -> Result<()> {
        self.with(|context| operations::add_multiply(context, a, b, add, mult))
    }

    fn fpga_vectoradd(&self, _: &Session<'_>, a: &[f32], b: &[f32], c: &mut [f32]) -> Result<()> {
        self.with(|context| operations::add(context, a, b, c))
    }

    fn minmax(&self, _: &Session<'_>, call: Minmax<'_>) -> Result<(f64, f64)> {
        self.with(|context| operations::minmax(context, call))
    }
}

vaccel_plugin::export_plugin!(Cuda);
