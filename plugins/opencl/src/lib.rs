//! The opencl plugin: matrix and vector operations on an OpenCL device, and kernels
//! that the caller brings.

mod api;
mod context;
mod device;
mod kernel;
mod operations;

use crate::api::Api;
use crate::context::Context;
use crate::device::Found;
use std::ffi::CStr;
use std::sync::{Mutex, OnceLock, PoisonError};
use vaccel_plugin::abi::plugin::{PLUGIN_FPGA, PLUGIN_GPU, PluginType};
use vaccel_plugin::{
    Args, ArgsMut, Description, Minmax, Op, Plugin, Resource, Result, Session, Sgemm, Variable,
    bail,
};

const VARIABLES: &[Variable] = &[
    Variable {
        name: "VACCEL_OPENCL_DEVICE",
        meaning: "Which device: `PLATFORM:DEVICE` as `vaccel info` numbers them, `gpu`, `accelerator`, `cpu`, or a part of its name; default: the first of the first kind there is, in this order",
    },
    Variable {
        name: "VACCEL_OPENCL_LIBRARY",
        meaning: "The OpenCL loader; default: libOpenCL.so.1",
    },
    Variable {
        name: "VACCEL_OPENCL_KERNELS",
        meaning: "`deny` refuses kernels of the caller's own; default: `allow`",
    },
];

/// The loader, once for the process: drivers do not survive being unloaded.
static API: OnceLock<Result<Api>> = OnceLock::new();

struct OpenCl {
    /// Made by the first operation: opening a driver takes its time.
    context: Mutex<Option<Context>>,
    kernels: bool,
}

fn api() -> Result<&'static Api> {
    let opened = API.get_or_init(|| {
        let library = std::env::var("VACCEL_OPENCL_LIBRARY").ok();
        Api::open(library.as_deref().filter(|name| !name.is_empty()))
    });
    opened.as_ref().map_err(Clone::clone)
}

/// The devices, once for the process: PoCL 3.1 crashes when two threads start it.
static DEVICES: OnceLock<Result<Vec<Found>>> = OnceLock::new();

/// All devices, and which of them is used.
fn devices() -> Result<(Vec<Found>, Result<Found>)> {
    let all = DEVICES
        .get_or_init(|| device::list(api()?))
        .as_ref()
        .map_err(Clone::clone)?;
    let wanted = std::env::var("VACCEL_OPENCL_DEVICE").unwrap_or_default();
    let wanted = Some(wanted.trim()).filter(|text| !text.is_empty());
    let chosen = device::choose(all.clone(), wanted);
    Ok((all.clone(), chosen))
}

impl OpenCl {
    fn with<R>(&self, f: impl FnOnce(&mut Context) -> Result<R>) -> Result<R> {
        // What a panic leaves behind is a context in order: it has no state in between.
        let mut context = self.context.lock().unwrap_or_else(PoisonError::into_inner);
        let context = match &mut *context {
            Some(context) => context,
            empty => empty.insert(Context::new(api()?, devices()?.1?)?),
        };
        f(context)
    }
}

impl Plugin for OpenCl {
    const NAME: &'static CStr = c"opencl";
    const VERSION: &'static CStr = vaccel_plugin::version!();
    const TYPES: PluginType = PLUGIN_GPU | PLUGIN_FPGA;
    const OPS: &'static [Op] = &[
        Op::Noop,
        Op::ExecWithResource,
        Op::Sgemm,
        Op::FpgaArraycopy,
        Op::FpgaMmult,
        Op::FpgaParallel,
        Op::FpgaVectoradd,
        Op::Minmax,
    ];

    fn new() -> Result<Self> {
        let kernels = match std::env::var("VACCEL_OPENCL_KERNELS").as_deref() {
            Err(_) | Ok("" | "allow") => true,
            Ok("deny") => false,
            Ok(other) => bail!(
                EINVAL,
                "VACCEL_OPENCL_KERNELS is `{other}`; there are: allow, deny"
            ),
        };
        Ok(Self {
            context: Mutex::new(None),
            kernels,
        })
    }

    fn describe(&self) -> Description {
        const SUMMARY: &str =
            "Matrix and vector operations on OpenCL devices, and kernels of the caller's";
        let about = match devices() {
            Ok((all, Ok(chosen))) => Description {
                devices: all.iter().map(Found::describe).collect(),
                runtime: Some(format!("{}, {}", chosen.version, chosen.name)),
                ..Description::ready(SUMMARY)
            },
            Ok((all, Err(error))) => Description {
                devices: all.iter().map(Found::describe).collect(),
                ..Description::missing(
                    SUMMARY,
                    error.message(),
                    "set VACCEL_OPENCL_DEVICE to one of the devices, or unset it",
                )
            },
            Err(error) if error.code() == vaccel_plugin::code::ENOENT => {
                Description::missing(SUMMARY, error.message(), api::INSTALL_LOADER)
            }
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

    fn exec_with_resource(
        &self,
        _: &Session<'_>,
        library: &Resource<'_>,
        symbol: &CStr,
        read: &Args<'_>,
        write: &mut ArgsMut<'_>,
    ) -> Result<()> {
        if !self.kernels {
            bail!(
                EACCES,
                "kernels of the caller's are refused here: VACCEL_OPENCL_KERNELS is `deny`"
            );
        }
        let program = library.first_blob()?.bytes()?;
        self.with(|context| kernel::call(context, &program, symbol, read, write))
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

vaccel_plugin::export_plugin!(OpenCl);
