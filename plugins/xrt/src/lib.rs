//! The xrt plugin: vector and matrix operations, and kernels that the caller brings, on FPGAs
//! of Xilinx by way of XRT, which runs in a process of its own.

mod api;
mod child;
mod library;
mod mapping;
mod process;
mod settings;
mod wire;
mod xclbin;

use crate::mapping::Mapping;
use crate::process::Process;
use crate::settings::{Settings, VARIABLES};
use crate::wire::{Argument, Request, Run};
use crate::xclbin::Identity;
use std::ffi::CStr;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use vaccel_plugin::abi::arg::{self, ARG_FLOAT32, ARG_FLOAT64};
use vaccel_plugin::abi::plugin::{PLUGIN_FPGA, PluginType};
use vaccel_plugin::device::equally_long;
use vaccel_plugin::{
    Args, ArgsMut, Description, Device, Element, Op, Plugin, Resource, Result, Session, bail,
    bytes_of, code, err,
};

/// Where the next argument begins: no kernel asks for more than a cache line.
const ALIGNMENT: usize = 64;
/// How long loading an xclbin may take.
const LOADING: Duration = Duration::from_secs(60);

struct Xrt {
    settings: Settings,
    /// Made by the first operation.
    host: Mutex<Option<Host>>,
}

/// The process with the device, and which xclbin the device has.
#[derive(Debug)]
struct Host {
    process: Process,
    loaded: Option<Identity>,
    /// The file of the settings, while that is what is loaded.
    own: Option<PathBuf>,
}

/// What a kernel is given, in order.
enum Given<'a> {
    /// An array that it reads.
    In(&'a [u8]),
    /// One that it may read, and writes.
    Out(&'a mut [u8]),
    /// A number.
    Value(Argument),
}

impl Xrt {
    /// Does something with the device. A process that does not work any more is ended, and
    /// the next call begins anew.
    fn with<R>(&self, f: impl FnOnce(&mut Host) -> Result<R>) -> Result<R> {
        let mut host = self.host.lock().unwrap_or_else(PoisonError::into_inner);
        let there = match &mut *host {
            Some(there) => there,
            empty => empty.insert(Host {
                process: Process::start(&library::find()?, self.settings.device)?,
                loaded: None,
                own: None,
            }),
        };
        let result = f(there);
        if let Err(error) = &result
            && [code::EIO, code::ETIMEDOUT].contains(&error.code())
        {
            *host = None;
        }
        result
    }

    /// Runs the kernel of an operation on arrays, of which the last `outputs` are written.
    fn operation(&self, mapping: &Mapping, mut arrays: Vec<Given<'_>>, n: usize) -> Result<()> {
        let Some(file) = &self.settings.xclbin else {
            bail!(
                ENOTSUP,
                "there is no kernel for this operation: set VACCEL_XRT_XCLBIN to a file that has `{}`",
                mapping.kernel
            );
        };
        self.with(|host| {
            if host.own.as_ref() != Some(file) {
                let bytes = std::fs::read(file)
                    .map_err(|e| err!(ENOENT, "VACCEL_XRT_XCLBIN: {}: {e}", file.display()))?;
                host.load(&bytes).map_err(|e| {
                    e.context(format_args!("VACCEL_XRT_XCLBIN: {}", file.display()))
                })?;
                host.own = Some(file.clone());
            }
            let placed = host.place(&arrays)?;
            let arguments = mapping.arguments(&placed, n)?;
            host.run(&mapping.kernel, arguments, self.settings.limit)?;
            host.take(&placed, &mut arrays)
        })
    }
}

impl Host {
    /// Brings an xclbin to the device, unless it is there.
    fn load(&mut self, bytes: &[u8]) -> Result<()> {
        let identity = xclbin::identity(bytes)?;
        if self.loaded == Some(identity) {
            return Ok(());
        }
        (self.loaded, self.own) = (None, None);
        self.process.memory(bytes.len())?.copy_from_slice(bytes);
        self.process
            .ask(&Request::Load(bytes.len() as u64), LOADING)?;
        self.loaded = Some(identity);
        Ok(())
    }

    /// Puts arrays into the memory that the process sees.
    fn place(&mut self, given: &[Given<'_>]) -> Result<Vec<Argument>> {
        let too_large = || err!(ERANGE, "the arguments are too large together");
        let mut end = 0_usize;
        let mut placed = Vec::with_capacity(given.len());
        for (i, one) in given.iter().enumerate() {
            let (size, back) = match one {
                Given::Value(value) => {
                    placed.push(*value);
                    continue;
                }
                Given::In(bytes) => (bytes.len(), false),
                Given::Out(bytes) => (bytes.len(), true),
            };
            if size == 0 {
                bail!(EINVAL, "argument {i} is an array of nothing");
            }
            let at = end
                .checked_next_multiple_of(ALIGNMENT)
                .ok_or_else(too_large)?;
            end = at.checked_add(size).ok_or_else(too_large)?;
            placed.push(Argument::Memory {
                at: at as u64,
                size: size as u64,
                back,
            });
        }
        let memory = self.process.memory(end)?;
        for (one, place) in given.iter().zip(&placed) {
            if let (Some(bytes), Some(range)) = (one.bytes(), range(place)) {
                memory[range].copy_from_slice(bytes);
            }
        }
        Ok(placed)
    }

    fn run(&mut self, kernel: &str, arguments: Vec<Argument>, limit: u32) -> Result<()> {
        let run = Run {
            kernel: kernel.to_owned(),
            limit,
            arguments,
        };
        self.process
            .ask(&Request::Run(run), Duration::from_millis(u64::from(limit)))
    }

    /// Takes what the kernel has written.
    fn take(&mut self, placed: &[Argument], given: &mut [Given<'_>]) -> Result<()> {
        let end = placed.iter().filter_map(range).map(|r| r.end).max();
        let memory = self.process.memory(end.unwrap_or(0))?;
        for (one, place) in given.iter_mut().zip(placed) {
            if let (Given::Out(bytes), Some(range)) = (one, range(place)) {
                bytes.copy_from_slice(&memory[range]);
            }
        }
        Ok(())
    }
}

/// Where an argument lies, which was measured here.
fn range(argument: &Argument) -> Option<std::ops::Range<usize>> {
    match *argument {
        Argument::Memory { at, size, .. } => Some(at as usize..at as usize + size as usize),
        _ => None,
    }
}

impl Given<'_> {
    fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::In(bytes) => Some(bytes),
            Self::Out(bytes) => Some(bytes),
            Self::Value(_) => None,
        }
    }
}

/// Numbers as bytes that are written.
fn bytes_of_mut<T: Element>(values: &mut [T]) -> &mut [u8] {
    let size = size_of_val(values);
    // SAFETY: as many bytes, none of them padding, and every pattern is a number.
    unsafe { std::slice::from_raw_parts_mut(values.as_mut_ptr().cast(), size) }
}

/// An argument of a caller's kernel: types of one number go by value, everything else is
/// memory.
fn given<'a>(read: &Args<'a>, i: usize) -> Result<Given<'a>> {
    let bytes = read.bytes(i)?;
    let type_ = read.arg_type(i)?;
    if !arg::is_scalar(type_) {
        return Ok(Given::In(bytes));
    }
    let value = match (type_, bytes.len()) {
        (ARG_FLOAT32, 4) => Argument::Float(read.scalar(i)?),
        (ARG_FLOAT64, 8) => Argument::Double(read.scalar(i)?),
        (_, 1) => Argument::Word(u32::from(bytes[0])),
        (_, 2) => Argument::Word(u32::from(read.scalar::<u16>(i)?)),
        (_, 4) => Argument::Word(read.scalar(i)?),
        (_, 8) => Argument::Long(read.scalar(i)?),
        (_, size) => bail!(EINVAL, "read argument {i}: no number has {size} bytes"),
    };
    Ok(Given::Value(value))
}

impl Plugin for Xrt {
    const NAME: &'static CStr = c"xrt";
    const VERSION: &'static CStr = vaccel_plugin::version!();
    const TYPES: PluginType = PLUGIN_FPGA;
    const OPS: &'static [Op] = &[
        Op::Noop,
        Op::ExecWithResource,
        Op::FpgaArraycopy,
        Op::FpgaMmult,
        Op::FpgaParallel,
        Op::FpgaVectoradd,
    ];

    fn new() -> Result<Self> {
        Ok(Self {
            settings: Settings::read()?,
            host: Mutex::new(None),
        })
    }

    fn describe(&self) -> Description {
        const SUMMARY: &str =
            "Vector and matrix operations on FPGAs of Xilinx, and kernels of the caller's";
        let about = match self.with(|_| library::find()) {
            Ok(found) => {
                let mode = std::env::var("XCL_EMULATION_MODE").unwrap_or_default();
                let name = match mode.as_str() {
                    "" => "a device of Xilinx".to_owned(),
                    "noop" => "XRT's device that computes nothing (XCL_EMULATION_MODE=noop)".into(),
                    mode => format!("emulation of a device (XCL_EMULATION_MODE={mode})"),
                };
                let version = library::version(&found.file).unwrap_or_default();
                Description {
                    devices: vec![Device {
                        id: self.settings.device.to_string(),
                        name,
                        memory: None,
                    }],
                    runtime: Some(format!("XRT {version} ({})", found.file.display())),
                    ..Description::ready(SUMMARY)
                }
            }
            Err(error) if error.code() == code::ENODEV => Description::missing(
                SUMMARY,
                error.message(),
                "install the card and its driver, or set VACCEL_XRT_DEVICE to the number of one",
            ),
            Err(error) => Description::missing(SUMMARY, error.message(), library::SPEC.remedy),
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
        if !self.settings.kernels {
            bail!(
                EACCES,
                "xclbins of the caller's are refused here: VACCEL_XRT_KERNELS is `deny`"
            );
        }
        let Ok(kernel) = symbol.to_str() else {
            bail!(EINVAL, "the name of the kernel is not UTF-8");
        };
        let program = library.first_blob()?.bytes()?;
        let mut arguments = (0..read.len())
            .map(|i| given(read, i))
            .collect::<Result<Vec<_>>>()?;
        // One at a time is what the list of those that are written gives.
        let mut written = (0..write.len())
            .map(|i| write.bytes_mut(i).map(|bytes| bytes.to_vec()))
            .collect::<Result<Vec<_>>>()?;
        arguments.extend(written.iter_mut().map(|bytes| Given::Out(bytes)));
        self.with(|host| {
            host.load(&program)?;
            let placed = host.place(&arguments)?;
            host.run(kernel, placed.clone(), self.settings.limit)?;
            host.take(&placed, &mut arguments)
        })?;
        drop(arguments);
        for (i, bytes) in written.iter().enumerate() {
            write.write(i, bytes)?;
        }
        Ok(())
    }

    fn fpga_arraycopy(&self, _: &Session<'_>, a: &[i32], out: &mut [i32]) -> Result<()> {
        equally_long(&[a.len(), out.len()])?;
        let arrays = vec![Given::In(bytes_of(a)), Given::Out(bytes_of_mut(out))];
        nothing_or(a.len(), || {
            self.operation(&self.settings.arraycopy, arrays, a.len())
        })
    }

    fn fpga_mmult(&self, _: &Session<'_>, a: &[f32], b: &[f32], c: &mut [f32]) -> Result<()> {
        equally_long(&[a.len(), b.len(), c.len()])?;
        let rows = a.len().isqrt();
        if rows * rows != a.len() {
            bail!(EINVAL, "a matrix of {} elements is not square", a.len());
        }
        let arrays = vec![
            Given::In(bytes_of(a)),
            Given::In(bytes_of(b)),
            Given::Out(bytes_of_mut(c)),
        ];
        nothing_or(rows, || self.operation(&self.settings.mmult, arrays, rows))
    }

    fn fpga_parallel(
        &self,
        _: &Session<'_>,
        a: &[f32],
        b: &[f32],
        add: &mut [f32],
        mult: &mut [f32],
    ) -> Result<()> {
        equally_long(&[a.len(), b.len(), add.len(), mult.len()])?;
        let arrays = vec![
            Given::In(bytes_of(a)),
            Given::In(bytes_of(b)),
            Given::Out(bytes_of_mut(add)),
            Given::Out(bytes_of_mut(mult)),
        ];
        nothing_or(a.len(), || {
            self.operation(&self.settings.parallel, arrays, a.len())
        })
    }

    fn fpga_vectoradd(&self, _: &Session<'_>, a: &[f32], b: &[f32], c: &mut [f32]) -> Result<()> {
        equally_long(&[a.len(), b.len(), c.len()])?;
        let arrays = vec![
            Given::In(bytes_of(a)),
            Given::In(bytes_of(b)),
            Given::Out(bytes_of_mut(c)),
        ];
        nothing_or(a.len(), || {
            self.operation(&self.settings.vectoradd, arrays, a.len())
        })
    }
}

/// Arrays of nothing need no device.
fn nothing_or(count: usize, work: impl FnOnce() -> Result<()>) -> Result<()> {
    if count == 0 { Ok(()) } else { work() }
}

vaccel_plugin::export_plugin!(Xrt);
