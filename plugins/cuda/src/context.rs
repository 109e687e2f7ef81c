//! A GPU at work: its primary context, the compiled kernels, cuBLAS and buffers.

use crate::api::{self, Address, Blas, Compiler, Driver, Handle};
use std::ffi::{CStr, c_int, c_void};
use std::ptr::{null, null_mut};
use vaccel_plugin::device::{Memory, Spares, release_spares};
use vaccel_plugin::{Device, Result, bail, err};

const SOURCE: &CStr =
    match CStr::from_bytes_with_nul(concat!(include_str!("kernels.cu"), "\0").as_bytes()) {
        Ok(source) => source,
        Err(_) => panic!("the kernels have a zero in them"),
    };
/// Threads of a block, and the most blocks that are started: enough for any GPU.
const THREADS: u32 = 256;
const BLOCKS: u32 = 1024;
/// Bytes of the GPU that are kept for the next call.
const SPARE_BYTES: usize = 1 << 30;

/// A GPU. Whoever has it, has its default stream.
pub(crate) struct Context {
    driver: &'static Driver,
    device: c_int,
    context: Handle,
    module: Option<Handle>,
    blas: Option<(Blas, Handle)>,
    spares: Spares<Address>,
}

// SAFETY: handles of CUDA may be used from any thread that makes the context its own,
// which `enter` does; the rest is used through `&mut self` alone.
unsafe impl Send for Context {}

/// The driver's version, and all devices. `ENODEV` when there are none.
pub(crate) fn devices(driver: &Driver) -> Result<(String, Vec<Device>)> {
    let (mut version, mut count) = (0, 0);
    // SAFETY: places for numbers.
    unsafe {
        driver.check("cuInit", (driver.init)(0))?;
        driver.check("cuDriverGetVersion", (driver.version)(&raw mut version))?;
        driver.check("cuDeviceGetCount", (driver.count)(&raw mut count))?;
    }
    if count == 0 {
        bail!(ENODEV, "there is no GPU; {}", api::INSTALL_DRIVER);
    }
    let about = |number: c_int| -> Result<Device> {
        let (mut device, mut name, mut memory) = (0, [0_u8; 256], 0);
        // SAFETY: places for a number, a text of that length and a size.
        unsafe {
            driver.check("cuDeviceGet", (driver.device)(&raw mut device, number))?;
            let at = name.as_mut_ptr().cast();
            driver.check("cuDeviceGetName", (driver.name)(at, 255, device))?;
            driver.check("cuDeviceTotalMem", (driver.memory)(&raw mut memory, device))?;
        }
        let end = name.iter().position(|b| *b == 0).unwrap_or(0);
        Ok(Device {
            id: number.to_string(),
            name: String::from_utf8_lossy(&name[..end]).into_owned(),
            memory: Some(memory as u64),
        })
    };
    let all = (0..count).map(about).collect::<Result<_>>()?;
    let version = format!("CUDA {}.{}", version / 1000, version % 1000 / 10);
    Ok((version, all))
}

impl Context {
    /// The GPU of this number, after [`devices`].
    pub(crate) fn new(driver: &'static Driver, number: c_int) -> Result<Self> {
        let (mut device, mut context) = (0, null_mut());
        // SAFETY: places for a number and a handle.
        unsafe {
            driver.check("cuDeviceGet", (driver.device)(&raw mut device, number))?;
            let status = (driver.retain)(&raw mut context, device);
            driver.check("cuDevicePrimaryCtxRetain", status)?;
        }
        Ok(Self {
            driver,
            device,
            context,
            module: None,
            blas: None,
            spares: Spares::new(SPARE_BYTES),
        })
    }

    /// Makes it the one that this thread works with: before anything else of a call.
    pub(crate) fn enter(&mut self) -> Result<()> {
        // SAFETY: a live context.
        let status = unsafe { (self.driver.set_current)(self.context) };
        self.driver.check("cuCtxSetCurrent", status)
    }

    /// cuBLAS, opened and started by the first product.
    pub(crate) fn blas(&mut self) -> Result<&(Blas, Handle)> {
        if self.blas.is_none() {
            let blas = Blas::open()?;
            let mut handle = null_mut();
            // SAFETY: a place for a handle; the context is current.
            let status = unsafe { (blas.create)(&raw mut handle) };
            if status != 0 {
                return Err(api::failed("cublasCreate", status));
            }
            self.blas = Some((blas, handle));
        }
        self.blas
            .as_ref()
            .ok_or_else(|| err!(EIO, "cuBLAS is not there"))
    }

    /// A kernel of ours, compiled for this GPU by the first call.
    fn kernel(&mut self, name: &CStr) -> Result<Handle> {
        let module = match self.module {
            Some(module) => module,
            None => {
                let ptx = self.compile()?;
                let mut module = null_mut();
                // SAFETY: a text with its zero.
                let status = unsafe { (self.driver.load)(&raw mut module, ptx.as_ptr().cast()) };
                self.driver.check("cuModuleLoadData", status)?;
                *self.module.insert(module)
            }
        };
        let mut kernel = null_mut();
        // SAFETY: a live module and a C string.
        let status = unsafe { (self.driver.function)(&raw mut kernel, module, name.as_ptr()) };
        self.driver.check("cuModuleGetFunction", status)?;
        Ok(kernel)
    }

    /// PTX of the kernels for this GPU.
    fn compile(&self) -> Result<Vec<u8>> {
        let capability = |which| -> Result<c_int> {
            let mut value = 0;
            // SAFETY: a place for a number, and a live device.
            let status = unsafe { (self.driver.attribute)(&raw mut value, which, self.device) };
            self.driver.check("cuDeviceGetAttribute", status)?;
            Ok(value)
        };
        compile(
            &Compiler::open()?,
            capability(api::COMPUTE_CAPABILITY_MAJOR)?,
            capability(api::COMPUTE_CAPABILITY_MINOR)?,
        )
    }

    /// Threads that a kernel of ours is started with for so many elements.
    pub(crate) fn threads(count: usize) -> usize {
        let blocks = count.div_ceil(THREADS as usize).clamp(1, BLOCKS as usize);
        blocks * THREADS as usize
    }

    /// Starts a kernel of ours on that many elements, and waits for it. `arguments` are
    /// the addresses of its parameters' values.
    ///
    /// # Safety
    /// As many arguments, of the types, as the kernel has parameters; the buffers they
    /// name are as large as the kernel takes them to be.
    pub(crate) unsafe fn launch(
        &mut self,
        name: &CStr,
        count: usize,
        arguments: &mut [*mut c_void],
    ) -> Result<()> {
        let kernel = self.kernel(name)?;
        let blocks = (Self::threads(count) / THREADS as usize) as u32;
        // SAFETY: a live kernel; the arguments are the caller's promise.
        unsafe {
            let status = (self.driver.launch)(
                kernel,
                blocks,
                1,
                1,
                THREADS,
                1,
                1,
                0,
                null_mut(),
                arguments.as_mut_ptr(),
                null_mut(),
            );
            self.driver.check("cuLaunchKernel", status)?;
        }
        self.wait()
    }

    /// Copies from one piece of memory to another.
    ///
    /// # Safety
    /// Both have that many bytes.
    pub(crate) unsafe fn copy(&mut self, from: Address, to: Address, size: usize) -> Result<()> {
        // SAFETY: promised by the caller; the context is current.
        let status = unsafe { (self.driver.copy)(to, from, size) };
        self.driver.check("cuMemcpyDtoD", status)
    }

    /// Waits for what was started.
    pub(crate) fn wait(&mut self) -> Result<()> {
        // SAFETY: the context is current.
        let status = unsafe { (self.driver.synchronize)() };
        self.driver.check("cuCtxSynchronize", status)
    }
}

impl Memory for Context {
    type Handle = Address;

    fn spares(&mut self) -> &mut Spares<Address> {
        &mut self.spares
    }

    fn allocate(&mut self, size: usize) -> Result<Address> {
        let mut address = 0;
        // SAFETY: a place for an address; the context is current.
        let status = unsafe { (self.driver.allocate)(&raw mut address, size) };
        self.driver
            .check(&format!("{size} bytes of memory on the GPU"), status)?;
        Ok(address)
    }

    unsafe fn release(&mut self, address: Address) {
        // SAFETY: promised by the caller; every launch was waited for.
        unsafe { (self.driver.free)(address) };
    }

    unsafe fn write(&mut self, to: Address, bytes: &[u8]) -> Result<()> {
        // SAFETY: both have that many bytes, as the caller promises.
        let status = unsafe { (self.driver.write)(to, bytes.as_ptr().cast(), bytes.len()) };
        self.driver.check("cuMemcpyHtoD", status)
    }

    unsafe fn read(&mut self, from: Address, bytes: &mut [u8]) -> Result<()> {
        // SAFETY: both have that many bytes, as the caller promises.
        let status = unsafe { (self.driver.read)(bytes.as_mut_ptr().cast(), from, bytes.len()) };
        self.driver.check("cuMemcpyDtoH", status)
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        if self.enter().is_err() {
            return;
        }
        release_spares(self);
        // SAFETY: made by this context, used by nothing any more.
        unsafe {
            if let Some((blas, handle)) = &self.blas {
                (blas.destroy)(*handle);
            }
            if let Some(module) = self.module {
                (self.driver.unload)(module);
            }
            (self.driver.release)(self.device);
        }
    }
}

/// PTX of the kernels for GPUs of this compute capability, with its zero.
fn compile(compiler: &Compiler, major: c_int, minor: c_int) -> Result<Vec<u8>> {
    let option = format!("--gpu-architecture=compute_{major}{minor}\0");
    let options = [option.as_ptr().cast()];
    let mut program = null_mut();
    // SAFETY: C strings, no headers; every buffer has the size that was asked for.
    unsafe {
        let status = (compiler.create)(
            &raw mut program,
            SOURCE.as_ptr(),
            c"kernels.cu".as_ptr(),
            0,
            null(),
            null(),
        );
        if status != 0 {
            return Err(api::failed("nvrtcCreateProgram", status));
        }
        let status = (compiler.compile)(program, 1, options.as_ptr());
        let compiled = status == 0;
        let (size_of, text_of) = if compiled {
            (compiler.ptx_size, compiler.ptx)
        } else {
            (compiler.log_size, compiler.log)
        };
        let mut size = 0;
        let mut text = Vec::new();
        let mut read = size_of(program, &raw mut size);
        if read == 0 {
            text = vec![0_u8; size];
            read = text_of(program, text.as_mut_ptr().cast());
        }
        (compiler.destroy)(&raw mut program);
        if !compiled {
            let log = String::from_utf8_lossy(&text);
            let log = log.trim_end_matches('\0').trim().to_owned();
            return Err(api::failed("nvrtcCompileProgram", status).context(log));
        }
        if read != 0 || text.last() != Some(&0) {
            return Err(api::failed("nvrtcGetPTX", read));
        }
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    // The compiler needs no GPU.
    #[test]
    fn the_kernels_compile() {
        let compiler = match Compiler::open() {
            Ok(compiler) => compiler,
            Err(error) => {
                assert!(error.message().contains("install"), "{error}");
                vaccel_plugin::testing::skipped("cuda", error.message());
                return;
            }
        };
        for (major, minor) in [(7, 5), (8, 0), (9, 0)] {
            let ptx = String::from_utf8(compile(&compiler, major, minor).unwrap()).unwrap();
            for name in ["add", "add_multiply", "scale", "minmax"] {
                assert!(ptx.contains(&format!(".entry {name}(")), "{name}: {ptx}");
            }
        }
    }
}
