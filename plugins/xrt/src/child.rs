//! The process in which XRT runs: it may throw, crash or hang there.
//!
//! It is a fork of a process that may have had other threads, so it touches nothing that
//! they may have held locked: no environment, no output, no panics of Rust's.

use crate::api::{Api, COMPLETED, FROM_DEVICE, Handle, TIMEOUT, TO_DEVICE};
use crate::wire::{self, Argument, Reply, Request, Run};
use libc::{c_int, c_uint};
use std::ffi::{CStr, CString};
use std::fs::File;
use std::os::fd::{FromRawFd, RawFd};
use std::ptr::null_mut;
use vaccel_plugin::code;

/// Everything that the process needs, made before it begins.
pub(crate) struct Plan {
    pub(crate) library: CString,
    /// Opened before it.
    pub(crate) beside: Vec<CString>,
    /// For `XILINX_XRT`.
    pub(crate) root: CString,
    pub(crate) device: u32,
    pub(crate) channel: RawFd,
    pub(crate) memory: RawFd,
    /// What XRT prints goes there.
    pub(crate) output: RawFd,
}

/// Where the descriptors end up.
const CHANNEL: RawFd = 3;
const MEMORY: RawFd = 4;

type Failure = (vaccel_plugin::abi::CResult, String);

/// Serves requests until the other side is gone, and ends the process.
pub(crate) fn serve(plan: &Plan) -> ! {
    if set_up(plan) {
        // SAFETY: ours since `set_up`.
        let mut channel = unsafe { File::from_raw_fd(CHANNEL) };
        let mut state = State {
            plan,
            open: None,
            kernel: None,
            mapped: (null_mut(), 0),
        };
        while let Ok(bytes) = wire::receive(&mut channel) {
            // SAFETY: XRT appends to it; what was said about the last request is gone.
            unsafe { libc::ftruncate(1, 0) };
            let result = match Request::parse(&bytes) {
                Some(request) => state.answer(&request),
                None => Err((code::EINVAL, "no such request".to_owned())),
            };
            let (code, text) = result.err().unwrap_or_default();
            let reply = Reply { code, text };
            if wire::send(&mut channel, &reply.to_bytes()).is_err() {
                break;
            }
        }
    }
    // Nothing is closed: closing is what crashes. The driver sees to it.
    // SAFETY: ends the process without running what belongs to its parent.
    unsafe { libc::_exit(0) }
}

/// Leaves everything of the parent's behind; false where that is not possible.
fn set_up(plan: &Plan) -> bool {
    // SAFETY: system calls on descriptors that nobody else of this process uses; it has one
    // thread, and nothing that was open is needed any more.
    unsafe {
        // Out of the way first: one may have the number that another one gets.
        let above = [plan.channel, plan.memory, plan.output]
            .map(|fd| libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 16));
        if above.iter().any(|fd| *fd < 0) {
            return false;
        }
        let [channel, memory, output] = above;
        for (from, to) in [
            (output, 0),
            (output, 1),
            (output, 2),
            (channel, CHANNEL),
            (memory, MEMORY),
        ] {
            if libc::dup2(from, to) < 0 {
                return false;
            }
        }
        // What the parent had open is not held open here.
        if libc::syscall(libc::SYS_close_range, MEMORY + 1, c_int::MAX, 0) != 0 {
            (MEMORY + 1..4096).for_each(|fd| {
                libc::close(fd);
            });
        }
        // No file of a crash, and nobody's handlers.
        let none = libc::rlimit {
            rlim_cur: 0,
            rlim_max: 0,
        };
        libc::setrlimit(libc::RLIMIT_CORE, &raw const none);
        for signal in 1..32 {
            libc::signal(signal, libc::SIG_DFL);
        }
        // Ended by the end of the other side, not by keys of a terminal.
        libc::signal(libc::SIGINT, libc::SIG_IGN);
        libc::signal(libc::SIGPIPE, libc::SIG_IGN);
        let mut signals = std::mem::zeroed();
        libc::sigemptyset(&raw mut signals);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const signals, null_mut());
        libc::setenv(c"XILINX_XRT".as_ptr(), plan.root.as_ptr(), 1) == 0
    }
}

/// A device that is open.
#[derive(Clone, Copy)]
struct Open {
    api: Api,
    device: Handle,
}

struct State<'a> {
    plan: &'a Plan,
    open: Option<Open>,
    /// The kernel that ran last.
    kernel: Option<(String, Handle)>,
    /// The memory that the parent shares, as far as it is mapped.
    mapped: (*mut u8, usize),
}

impl State<'_> {
    fn answer(&mut self, request: &Request) -> Result<(), Failure> {
        let open = self.device()?;
        match request {
            Request::Open => Ok(()),
            Request::Load(size) => self.load(open, *size),
            Request::Run(run) => self.run(open, run),
        }
    }

    fn device(&mut self) -> Result<Open, Failure> {
        if let Some(open) = self.open {
            return Ok(open);
        }
        let beside: Vec<&CStr> = self.plan.beside.iter().map(CString::as_c_str).collect();
        let api = Api::open(&self.plan.library, &beside).map_err(|e| (code::ENOTSUP, e))?;
        // SAFETY: takes a number.
        let device = unsafe { (api.xrtDeviceOpen)(self.plan.device as c_uint) };
        if device.is_null() {
            let text = format!("there is no device {}", self.plan.device);
            return Err((code::ENODEV, text));
        }
        Ok(*self.open.insert(Open { api, device }))
    }

    /// The first so many bytes of the memory.
    fn memory(&mut self, size: u64) -> Result<*mut u8, Failure> {
        let size = usize::try_from(size).map_err(|_| (code::ERANGE, "too large".to_owned()))?;
        let (at, mapped) = self.mapped;
        if size <= mapped {
            return Ok(at);
        }
        // SAFETY: unmaps what was mapped here; maps a file that the parent has made as long.
        let at = unsafe {
            if mapped > 0 {
                libc::munmap(at.cast(), mapped);
            }
            self.mapped = (null_mut(), 0);
            let rights = libc::PROT_READ | libc::PROT_WRITE;
            libc::mmap(null_mut(), size, rights, libc::MAP_SHARED, MEMORY, 0)
        };
        if at == libc::MAP_FAILED {
            let text = format!("{size} bytes cannot be mapped");
            return Err((code::ENOMEM, text));
        }
        self.mapped = (at.cast(), size);
        Ok(at.cast())
    }

    fn load(&mut self, open: Open, size: u64) -> Result<(), Failure> {
        let bytes = self.memory(size)?;
        if let Some((_, kernel)) = self.kernel.take() {
            // SAFETY: open, and of no other run.
            unsafe { (open.api.xrtKernelClose)(kernel) };
        }
        // SAFETY: the head of the file says how long it is, which the parent has compared.
        match unsafe { (open.api.xrtDeviceLoadXclbin)(open.device, bytes.cast()) } {
            0 => Ok(()),
            status => Err((
                code::EINVAL,
                format!("the xclbin cannot be loaded ({status})"),
            )),
        }
    }

    fn kernel(&mut self, open: Open, name: &str) -> Result<Handle, Failure> {
        if let Some((known, kernel)) = &self.kernel
            && known == name
        {
            return Ok(*kernel);
        }
        let failed = |what: &str| Err((code::EINVAL, format!("the kernel `{name}` {what}")));
        let Ok(c_name) = CString::new(name) else {
            return failed("has a name with a zero in it");
        };
        if let Some((_, kernel)) = self.kernel.take() {
            // SAFETY: open, and of no other run.
            unsafe { (open.api.xrtKernelClose)(kernel) };
        }
        let mut uuid = [0; 16];
        // SAFETY: room for a UUID.
        if unsafe { (open.api.xrtDeviceGetXclbinUUID)(open.device, uuid.as_mut_ptr()) } != 0 {
            return failed("needs an xclbin, and none is loaded");
        }
        // SAFETY: an open device, a UUID, a text that ends with a zero.
        let kernel =
            unsafe { (open.api.xrtPLKernelOpen)(open.device, uuid.as_ptr(), c_name.as_ptr()) };
        if kernel.is_null() {
            return failed("cannot be opened");
        }
        self.kernel = Some((name.to_owned(), kernel));
        Ok(kernel)
    }

    fn run(&mut self, open: Open, run: &Run) -> Result<(), Failure> {
        let end = |argument: &Argument| match *argument {
            Argument::Memory { at, size, .. } => at.saturating_add(size),
            _ => 0,
        };
        let length = run.arguments.iter().map(end).max().unwrap_or(0);
        let base = self.memory(length)?;
        let kernel = self.kernel(open, &run.kernel)?;
        // SAFETY: an open kernel.
        let handle = unsafe { (open.api.xrtRunOpen)(kernel) };
        if handle.is_null() {
            return Err((code::EIO, format!("`{}` cannot be run", run.kernel)));
        }
        let mut buffers = Vec::new();
        let result = given(&open, (kernel, handle), run, base, &mut buffers)
            .and_then(|()| finished(&open, handle, run))
            .and_then(|()| taken(&open, run, base, &buffers));
        if matches!(result, Err((code::ETIMEDOUT, _))) {
            // It still has its memory; the process is ended for it.
            return result;
        }
        // SAFETY: opened above; the run has ended or has not begun.
        unsafe {
            (open.api.xrtRunClose)(handle);
            for (_, buffer) in buffers {
                (open.api.xrtBOFree)(buffer);
            }
        }
        result
    }
}

/// Sets the parameters of a run, buffers filled and on the device.
fn given(
    open: &Open,
    (kernel, handle): (Handle, Handle),
    run: &Run,
    base: *mut u8,
    buffers: &mut Vec<(usize, Handle)>,
) -> Result<(), Failure> {
    let api = &open.api;
    for (i, argument) in run.arguments.iter().enumerate() {
        let index = i as c_int;
        // SAFETY: an open run; a buffer is given as a handle, numbers as C passes them on.
        let status = unsafe {
            match *argument {
                Argument::Memory { .. } => {
                    let buffer = filled(open, kernel, index, argument, base)?;
                    buffers.push((i, buffer));
                    (api.xrtRunSetArg)(handle, index, buffer)
                }
                Argument::Word(value) => (api.xrtRunSetArg)(handle, index, value as c_uint),
                Argument::Long(value) => (api.xrtRunSetArg)(handle, index, value),
                Argument::Float(value) => (api.xrtRunSetArg)(handle, index, f64::from(value)),
                Argument::Double(value) => (api.xrtRunSetArg)(handle, index, value),
            }
        };
        if status != 0 {
            let text = format!("`{}` does not take its parameter {i} so", run.kernel);
            return Err((code::EINVAL, text));
        }
    }
    Ok(())
}

/// A buffer of the device for a parameter, with what the caller gave.
fn filled(
    open: &Open,
    kernel: Handle,
    index: c_int,
    argument: &Argument,
    base: *mut u8,
) -> Result<Handle, Failure> {
    let Argument::Memory { at, size, .. } = *argument else {
        return Err((code::EINVAL, "no memory".to_owned()));
    };
    let api = &open.api;
    // SAFETY: an open kernel.
    let group = unsafe { (api.xrtKernelArgGroupId)(kernel, index) };
    let Ok(group) = u32::try_from(group) else {
        let text = format!("parameter {index} of the kernel is no memory");
        return Err((code::EINVAL, text));
    };
    let (at, size) = (at as usize, size as usize);
    // SAFETY: an open device.
    let buffer = unsafe { (api.xrtBOAlloc)(open.device, size, 0, group) };
    if buffer.is_null() {
        let text = format!("the device has no {size} bytes for parameter {index}");
        return Err((code::ENOMEM, text));
    }
    // SAFETY: the memory is mapped as far as the end of each argument.
    let status = unsafe {
        match (api.xrtBOWrite)(buffer, base.add(at).cast(), size, 0) {
            0 => (api.xrtBOSync)(buffer, TO_DEVICE, size, 0),
            status => status,
        }
    };
    if status != 0 {
        // SAFETY: just made.
        unsafe { (api.xrtBOFree)(buffer) };
        let text = format!("parameter {index} cannot be brought to the device ({status})");
        return Err((code::EIO, text));
    }
    Ok(buffer)
}

/// Starts the run and waits for its end.
fn finished(open: &Open, handle: Handle, run: &Run) -> Result<(), Failure> {
    // SAFETY: an open run whose parameters are set.
    let state = unsafe {
        if (open.api.xrtRunStart)(handle) != 0 {
            return Err((code::EIO, format!("`{}` cannot be started", run.kernel)));
        }
        (open.api.xrtRunWaitFor)(handle, run.limit)
    };
    match state {
        COMPLETED => Ok(()),
        TIMEOUT => {
            let text = format!("`{}` did not end within {} ms", run.kernel, run.limit);
            Err((code::ETIMEDOUT, text))
        }
        state => {
            let text = format!("`{}` ended in state {state} of `ert_cmd_state`", run.kernel);
            Err((code::EIO, text))
        }
    }
}

/// Brings back what the kernel has written.
fn taken(
    open: &Open,
    run: &Run,
    base: *mut u8,
    buffers: &[(usize, Handle)],
) -> Result<(), Failure> {
    for &(i, buffer) in buffers {
        let Argument::Memory { at, size, back } = run.arguments[i] else {
            continue;
        };
        if !back {
            continue;
        }
        let (at, size) = (at as usize, size as usize);
        // SAFETY: the memory is mapped as far as the end of each argument.
        let status = unsafe {
            match (open.api.xrtBOSync)(buffer, FROM_DEVICE, size, 0) {
                0 => (open.api.xrtBORead)(buffer, base.add(at).cast(), size, 0),
                status => status,
            }
        };
        if status != 0 {
            let text = format!("parameter {i} cannot be brought back ({status})");
            return Err((code::EIO, text));
        }
    }
    Ok(())
}
