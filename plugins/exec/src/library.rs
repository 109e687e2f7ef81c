//! A loaded shared library and the call of one of its functions.

use libc::{c_int, size_t};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use std::ffi::CStr;
use std::io::Write;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use vaccel_plugin::abi::arg::vaccel_arg;
use vaccel_plugin::{Args, ArgsMut, Error, Result, code, err};

/// What a function of a library looks like.
type Function = unsafe extern "C" fn(
    read: *mut vaccel_arg,
    nr_read: size_t,
    write: *mut vaccel_arg,
    nr_write: size_t,
) -> c_int;

/// A shared library in this process. Dropping it unloads it, unless someone
/// else loaded it too.
#[derive(Debug)]
pub struct Library {
    handle: Option<libloading::os::unix::Library>,
    /// What was given to the dynamic linker.
    path: PathBuf,
    /// What messages call it.
    name: String,
    /// The file in memory that it was loaded from.
    memory: Option<OwnedFd>,
}

impl Library {
    /// Loads a library with local symbols: `mode` is `RTLD_LAZY` or `RTLD_NOW`.
    /// `ENOENT` when there is no such file, `ELIBBAD` when it cannot be loaded,
    /// both with the linker's own words.
    pub fn open(path: &Path, mode: c_int) -> Result<Self> {
        // SAFETY: the constructors of the library run, as the caller asked and
        // the policy allowed.
        let opened =
            unsafe { libloading::os::unix::Library::open(Some(path), mode | libc::RTLD_LOCAL) };
        match opened {
            Ok(handle) => Ok(Self {
                handle: Some(handle),
                path: path.to_owned(),
                name: path.to_string_lossy().into_owned(),
                memory: None,
            }),
            Err(e) => Err(not_opened(path, &e)),
        }
    }

    /// Loads a library from bytes, through a sealed file in memory.
    pub fn from_memory(name: &str, bytes: &[u8], mode: c_int) -> Result<Self> {
        let file = sealed_file(name, bytes)?;
        let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
        let mut library = Self::open(&path, mode).map_err(|e| {
            let text = e.message().replace(&*path.to_string_lossy(), name);
            Error::new(e.code(), format!("from memory: {text}"))
        })?;
        library.memory = Some(file);
        name.clone_into(&mut library.name);
        Ok(library)
    }

    /// Calls a function. `ENOENT` when the library has none of that name. What
    /// the function returns is the result: a code of the C API as it is, any
    /// other number `EIO`.
    pub fn call(&self, symbol: &CStr, read: &Args<'_>, write: &mut ArgsMut<'_>) -> Result<()> {
        let Some(handle) = &self.handle else {
            return Err(Error::invalid("the library is unloaded"));
        };
        // SAFETY: the type is the one that the operation promises its callers
        // to use; a library with another one is beyond what can be checked.
        let function = unsafe { handle.get::<Function>(symbol.to_bytes_with_nul()) };
        let function = function.map_err(|e| {
            err!(
                ENOENT,
                "library `{}` has no function `{}`: {}",
                self.name,
                symbol.to_string_lossy(),
                linker_words(&e)
            )
        })?;
        // SAFETY: the caller's own lists, with their lengths.
        let result =
            unsafe { function(read.as_ptr(), read.len(), write.as_mut_ptr(), write.len()) };
        if result == code::OK {
            return Ok(());
        }
        Err(Error::new(
            result,
            format!("function `{}` returned {result}", symbol.to_string_lossy()),
        ))
    }

    /// True while the linker knows a library by this path.
    fn is_loaded(path: &Path) -> bool {
        let flags = libc::RTLD_NOLOAD | libc::RTLD_LAZY;
        // SAFETY: NOLOAD runs no constructor.
        unsafe { libloading::os::unix::Library::open(Some(path), flags) }.is_ok()
    }
}

impl Drop for Library {
    fn drop(&mut self) {
        drop(self.handle.take());
        // A library may refuse to go (NODELETE, thread-local destructors). The
        // linker then still knows it by `/proc/self/fd/N`, and would take the
        // next library with that number for the same: keep the number in use.
        if let Some(file) = self.memory.take()
            && Self::is_loaded(&self.path)
        {
            std::mem::forget(file);
        }
    }
}

fn not_opened(path: &Path, e: &libloading::Error) -> Error {
    let is_path = path.as_os_str().as_encoded_bytes().contains(&b'/');
    let code = if is_path && !path.exists() {
        code::ENOENT
    } else {
        code::ELIBBAD
    };
    Error::new(
        code,
        format!(
            "cannot load library `{}`: {}",
            path.display(),
            linker_words(e)
        ),
    )
}

/// What `dlerror` said: the error's own text is no more than "dlopen failed".
fn linker_words(e: &libloading::Error) -> String {
    use std::error::Error as _;
    e.source()
        .map_or_else(|| e.to_string(), ToString::to_string)
}

/// A file in memory that nobody can change any more, whoever holds it.
fn sealed_file(name: &str, bytes: &[u8]) -> Result<OwnedFd> {
    let io = |e: std::io::Error| Error::from(e).context(format_args!("library `{name}` in memory"));
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let mut file =
        std::fs::File::from(memfd_create(c"vaccel-exec", flags).map_err(|e| io(e.into()))?);
    file.write_all(bytes).map_err(io)?;
    let seals = SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
    fcntl_add_seals(&file, seals).map_err(|e| io(e.into()))?;
    Ok(file.into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn errors_have_the_name_and_the_words_of_the_linker() {
        let open = |path: &str| Library::open(Path::new(path), libc::RTLD_NOW).unwrap_err();
        let e = open("libnosuch.so");
        assert_eq!(e.code(), code::ELIBBAD);
        assert!(e.message().contains("cannot open shared object"), "{e}");
        assert_eq!(open("/nonexistent/lib.so").code(), code::ENOENT);
        let e = Library::from_memory("sent.so", b"no library at all", libc::RTLD_NOW);
        let e = e.unwrap_err();
        assert_eq!(e.code(), code::ELIBBAD);
        assert!(e.message().contains("`sent.so`"), "{e}");
        assert!(!e.message().contains("/proc/self/fd"), "{e}");
    }
}
