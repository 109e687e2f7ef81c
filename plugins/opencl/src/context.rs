//! A device at work: its context, queue, compiled programs and buffers.

use crate::api::{self, Api, Handle, check};
use crate::device::{self, Found};
use std::ffi::{CStr, CString, c_int};
use std::ptr::{null, null_mut};
use vaccel_plugin::device::{Memory, Spares, release_spares};
use vaccel_plugin::{Result, bail, err};

/// Programs that are kept compiled; the one that was unused for longest goes first.
const PROGRAMS: usize = 32;
/// Bytes of the device that are kept for the next call.
const SPARE_BYTES: usize = 256 << 20;
/// Parameters that a kernel may have: more than any device allows.
const PARAMETERS: u32 = 1024;

/// A context with one queue, which works in order: whoever has it, has the device.
pub(crate) struct Context {
    api: &'static Api,
    pub(crate) device: Found,
    context: Handle,
    queue: Handle,
    /// The most recently used last.
    programs: Vec<Program>,
    spares: Spares<Handle>,
}

// SAFETY: handles of OpenCL may be used from any thread; the buffers and kernels of this
// one are used through `&mut self` alone.
unsafe impl Send for Context {}

/// A compiled program with the kernels that were asked for.
struct Program {
    source: Vec<u8>,
    options: CString,
    program: Handle,
    kernels: Vec<(CString, Handle)>,
}

/// How a kernel takes a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Parameter {
    /// Memory of the device.
    Memory,
    /// So many bytes for each work group.
    Local,
    /// A value.
    Value,
}

/// What a parameter is set to.
#[derive(Clone, Copy)]
pub(crate) enum Setting<'a> {
    Memory(Handle),
    Local(usize),
    Value(&'a [u8]),
}

impl Context {
    pub(crate) fn new(api: &'static Api, device: Found) -> Result<Self> {
        let mut status: c_int = 0;
        // SAFETY: one live device; no callback.
        let context = unsafe {
            (api.create_context)(
                null(),
                1,
                &raw const device.id,
                None,
                null_mut(),
                &raw mut status,
            )
        };
        check("clCreateContext", status)?;
        // SAFETY: the context and its device.
        let queue = unsafe { (api.create_queue)(context, device.id, 0, &raw mut status) };
        if let Err(error) = check("clCreateCommandQueue", status) {
            // SAFETY: made above, used by nothing.
            unsafe { (api.release_context)(context) };
            return Err(error);
        }
        Ok(Self {
            api,
            device,
            context,
            queue,
            programs: Vec::new(),
            spares: Spares::new(SPARE_BYTES),
        })
    }

    /// A kernel of a program, which is compiled when it is not among those that are
    /// kept. `source` is OpenCL C, or what a compiler made of it for this device.
    ///
    /// `EINVAL` has the compiler's messages, or says that there is no such kernel.
    pub(crate) fn kernel(&mut self, source: &[u8], options: &CStr, name: &CStr) -> Result<Handle> {
        let known = self
            .programs
            .iter()
            .position(|p| p.source == source && *p.options == *options);
        let mut program = match known {
            Some(at) => self.programs.remove(at),
            None => self.compile(source, options)?,
        };
        let kernel = self.kernel_of(&mut program, name);
        if self.programs.len() == PROGRAMS {
            let oldest = self.programs.remove(0);
            self.forget(oldest);
        }
        self.programs.push(program);
        kernel
    }

    fn kernel_of(&self, program: &mut Program, name: &CStr) -> Result<Handle> {
        if let Some((_, kernel)) = program.kernels.iter().find(|(n, _)| **n == *name) {
            return Ok(*kernel);
        }
        let mut status = 0;
        // SAFETY: a built program and a C string.
        let kernel =
            unsafe { (self.api.create_kernel)(program.program, name.as_ptr(), &raw mut status) };
        check(
            &format!("the kernel `{}` of the program", name.to_string_lossy()),
            status,
        )?;
        program.kernels.push((name.to_owned(), kernel));
        Ok(kernel)
    }

    fn compile(&self, source: &[u8], options: &CStr) -> Result<Program> {
        // PoCL 3.1 crashes on a program of nothing.
        if source.trim_ascii().is_empty() {
            bail!(EINVAL, "the program is empty");
        }
        let mut status = 0;
        let (start, length) = (source.as_ptr(), source.len());
        let program = if is_source(source) {
            let start = start.cast();
            // SAFETY: one text of that length.
            unsafe {
                (self.api.program_of_source)(
                    self.context,
                    1,
                    &raw const start,
                    &raw const length,
                    &raw mut status,
                )
            }
        } else {
            let mut loaded = 0;
            // SAFETY: one binary of that length for one live device.
            unsafe {
                (self.api.program_of_binary)(
                    self.context,
                    1,
                    &raw const self.device.id,
                    &raw const length,
                    &raw const start,
                    &raw mut loaded,
                    &raw mut status,
                )
            }
        };
        check(
            &format!(
                "cannot make a program for {} of {length} bytes",
                self.device.name
            ),
            status,
        )?;
        // SAFETY: a program, one live device and a C string; no callback.
        let status = unsafe {
            (self.api.build)(
                program,
                1,
                &raw const self.device.id,
                options.as_ptr(),
                None,
                null_mut(),
            )
        };
        if status != 0 {
            let log = device::text("clGetProgramBuildInfo", |room, at, size| {
                // SAFETY: a live program and device, and a buffer of that size.
                unsafe {
                    (self.api.build_info)(
                        program,
                        self.device.id,
                        api::PROGRAM_BUILD_LOG,
                        room,
                        at,
                        size,
                    )
                }
            });
            // SAFETY: made above, used by nothing.
            unsafe { (self.api.release_program)(program) };
            let log = log.unwrap_or_default();
            return Err(api::failed("cannot compile the program", status).context(log.trim()));
        }
        Ok(Program {
            source: source.to_vec(),
            options: options.to_owned(),
            program,
            kernels: Vec::new(),
        })
    }

    fn forget(&self, program: Program) {
        // SAFETY: made by this context; every launch was waited for.
        unsafe {
            for (_, kernel) in program.kernels {
                (self.api.release_kernel)(kernel);
            }
            (self.api.release_program)(program.program);
        }
    }

    /// How a kernel takes its parameters.
    ///
    /// `ENOTSUP` when the program does not say, or for kinds that no argument has.
    pub(crate) fn parameters(&self, kernel: Handle) -> Result<Vec<Parameter>> {
        let mut count = 0_u32;
        // SAFETY: a live kernel; this is a cl_uint.
        let status = unsafe {
            (self.api.kernel_info)(
                kernel,
                api::KERNEL_NUM_ARGS,
                size_of::<u32>(),
                (&raw mut count).cast(),
                null_mut(),
            )
        };
        check("clGetKernelInfo", status)?;
        if count > PARAMETERS {
            bail!(EINVAL, "the kernel has {count} parameters");
        }
        (0..count).map(|i| self.parameter(kernel, i)).collect()
    }

    fn parameter(&self, kernel: Handle, i: u32) -> Result<Parameter> {
        let unknown = |_| {
            err!(
                ENOTSUP,
                "the program does not say what its parameters are, and guessing is not safe; build it with -cl-kernel-arg-info"
            )
        };
        let mut address = 0_u32;
        // SAFETY: a live kernel with that parameter; this is a cl_uint.
        let status = unsafe {
            (self.api.parameter_info)(
                kernel,
                i,
                api::PARAMETER_ADDRESS,
                size_of::<u32>(),
                (&raw mut address).cast(),
                null_mut(),
            )
        };
        check("clGetKernelArgInfo", status).map_err(unknown)?;
        let kind = device::text("clGetKernelArgInfo", |room, at, size| {
            // SAFETY: as above, and a buffer of that size.
            unsafe { (self.api.parameter_info)(kernel, i, api::PARAMETER_TYPE, room, at, size) }
        })
        .map_err(unknown)?;
        // Their values would be read as addresses of objects.
        if ["sampler_t", "queue_t", "event_t", "reserve_id_t"].contains(&kind.as_str())
            || kind.starts_with("image")
            || kind.starts_with("pipe")
        {
            bail!(
                ENOTSUP,
                "parameter {i} of the kernel is a {kind}; memory and values can be given"
            );
        }
        Ok(match address {
            api::ADDRESS_GLOBAL | api::ADDRESS_CONSTANT => Parameter::Memory,
            api::ADDRESS_LOCAL => Parameter::Local,
            _ => Parameter::Value,
        })
    }

    /// Starts a kernel and waits for it. `local` is empty where the driver may choose.
    pub(crate) fn launch(
        &mut self,
        kernel: Handle,
        settings: &[Setting<'_>],
        global: &[usize],
        local: &[usize],
    ) -> Result<()> {
        for (i, setting) in (0_u32..).zip(settings) {
            let (size, at) = match setting {
                Setting::Memory(memory) => (size_of::<Handle>(), (&raw const *memory).cast()),
                Setting::Local(size) => (*size, null()),
                Setting::Value(bytes) => (bytes.len(), bytes.as_ptr().cast()),
            };
            // SAFETY: a live kernel; a value of that many bytes, which is copied.
            let status = unsafe { (self.api.set_argument)(kernel, i, size, at) };
            check(&format!("argument {i} of the kernel"), status)?;
        }
        assert!(
            (1..=3).contains(&global.len()) && (local.is_empty() || local.len() == global.len())
        );
        // SAFETY: a live queue and kernel; as many sizes as dimensions.
        let status = unsafe {
            (self.api.launch)(
                self.queue,
                kernel,
                global.len() as u32,
                null(),
                global.as_ptr(),
                if local.is_empty() {
                    null()
                } else {
                    local.as_ptr()
                },
                0,
                null(),
                null_mut(),
            )
        };
        check("clEnqueueNDRangeKernel", status)?;
        // SAFETY: a live queue.
        check("clFinish", unsafe { (self.api.finish)(self.queue) })
    }
}

impl Memory for Context {
    type Handle = Handle;

    fn spares(&mut self) -> &mut Spares<Handle> {
        &mut self.spares
    }

    fn allocate(&mut self, size: usize) -> Result<Handle> {
        let mut status = 0;
        // SAFETY: a live context; no memory of the host.
        let memory = unsafe {
            (self.api.create_buffer)(
                self.context,
                api::MEM_READ_WRITE,
                size,
                null_mut(),
                &raw mut status,
            )
        };
        let what = || format!("no {size} bytes of memory on {}", self.device.name);
        if status != 0 {
            return Err(api::failed(&what(), status));
        }
        Ok(memory)
    }

    unsafe fn release(&mut self, handle: Handle) {
        // SAFETY: promised by the caller; every launch was waited for.
        unsafe { (self.api.release_buffer)(handle) };
    }

    unsafe fn write(&mut self, to: Handle, bytes: &[u8]) -> Result<()> {
        // SAFETY: both have that many bytes, as the caller promises; the call waits until they are copied.
        let status = unsafe {
            (self.api.write)(
                self.queue,
                to,
                api::TRUE,
                0,
                bytes.len(),
                bytes.as_ptr().cast(),
                0,
                null(),
                null_mut(),
            )
        };
        check("clEnqueueWriteBuffer", status)
    }

    unsafe fn read(&mut self, from: Handle, bytes: &mut [u8]) -> Result<()> {
        // SAFETY: as in `write`; the queue works in order, after what was launched before.
        let status = unsafe {
            (self.api.read)(
                self.queue,
                from,
                api::TRUE,
                0,
                bytes.len(),
                bytes.as_mut_ptr().cast(),
                0,
                null(),
                null_mut(),
            )
        };
        check("clEnqueueReadBuffer", status)
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        release_spares(self);
        for program in std::mem::take(&mut self.programs) {
            self.forget(program);
        }
        // SAFETY: made in `new`; all that was made with them is released.
        unsafe {
            (self.api.release_queue)(self.queue);
            (self.api.release_context)(self.context);
        }
    }
}

/// Text is a source; binaries have zeros or are not UTF-8.
fn is_source(program: &[u8]) -> bool {
    !program.contains(&0) && str::from_utf8(program).is_ok()
}
