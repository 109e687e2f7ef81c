//! Where `libvaccel.so.0` is looked for.

use crate::error::{Error, Result};
use libloading::os::unix::{Library as Handle, RTLD_GLOBAL, RTLD_NOW};
use std::error::Error as _;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use vaccel_abi::error as code;

/// The name programs are linked against.
pub(crate) const SONAME: &str = "libvaccel.so.0";
/// The name cargo gives the library in its target folder.
const CARGO_NAME: &str = "libvaccel.so";
/// The variable that overrides the search.
pub(crate) const VARIABLE: &str = "VACCEL_LIBRARY";

/// The value of `VACCEL_LIBRARY`, unless empty.
///
/// A program that runs with more rights than its caller (set-uid) ignores the
/// caller's environment here, as the dynamic linker does.
pub(crate) fn from_environment() -> Option<OsString> {
    // SAFETY: `getauxval` only reads the process's own auxiliary vector.
    let secure = unsafe { libc::getauxval(libc::AT_SECURE) } != 0;
    if secure {
        return None;
    }
    std::env::var_os(VARIABLE).filter(|value| !value.is_empty())
}

/// Files to try, in order, for a program at `executable`; the system's own
/// search path comes after them.
pub(crate) fn candidates(executable: &Path) -> Vec<PathBuf> {
    let Some(folder) = executable.parent() else {
        return Vec::new();
    };
    let mut found = vec![folder.join(SONAME)];
    if let Some(prefix) = folder.parent() {
        found.push(prefix.join("lib").join(SONAME));
        found.push(prefix.join("lib64").join(SONAME));
    }
    found.push(folder.join(CARGO_NAME));
    // Cargo puts tests and examples one folder below the library.
    if let (Some("deps" | "examples"), Some(target)) = (
        folder.file_name().and_then(|name| name.to_str()),
        folder.parent(),
    ) {
        found.push(target.join(CARGO_NAME));
    }
    found
}

/// Opens the library that the process has, or the first that is found.
///
/// # Errors
/// `ENOENT` with every place that was tried.
pub(crate) fn open() -> Result<(Handle, PathBuf)> {
    // One runtime for each process: what is loaded already is used.
    // SAFETY: RTLD_NOLOAD runs no code of the library.
    let loaded = unsafe { Handle::open(Some(SONAME), libc::RTLD_NOLOAD | RTLD_NOW) };
    if let Ok(handle) = loaded {
        return Ok((handle, SONAME.into()));
    }
    if let Some(path) = from_environment() {
        return match dlopen(&path) {
            Ok(handle) => Ok((handle, path.into())),
            Err(reason) => Err(Error::new(
                code::ENOENT,
                format!("cannot open {}={}: {reason}", VARIABLE, path.display()),
            )),
        };
    }
    let mut tried = Vec::new();
    let executable = std::env::current_exe().unwrap_or_default();
    for path in candidates(&executable) {
        // A file that is there and cannot be opened is worth more words than one that is not there.
        if !path.exists() {
            tried.push(path.display().to_string());
            continue;
        }
        match dlopen(path.as_os_str()) {
            Ok(handle) => return Ok((handle, path)),
            Err(reason) => tried.push(reason),
        }
    }
    match dlopen(OsStr::new(SONAME)) {
        Ok(handle) => Ok((handle, SONAME.into())),
        Err(reason) => {
            tried.push(reason);
            Err(Error::new(
                code::ENOENT,
                format!(
                    "{} was not found; install vaccel, or set {} to the file. Tried: {}",
                    SONAME,
                    VARIABLE,
                    tried.join("; ")
                ),
            ))
        }
    }
}

fn dlopen(path: &OsStr) -> Result<Handle, String> {
    // RTLD_GLOBAL: plugins written in C may count on the symbols of the library
    // without naming it among the libraries they need.
    // SAFETY: opening libvaccel runs its constructor, which is made for it.
    // The source holds what the loader said.
    unsafe { Handle::open(Some(path), RTLD_NOW | RTLD_GLOBAL) }.map_err(|e| {
        e.source()
            .map_or_else(|| e.to_string(), ToString::to_string)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_installed_program_finds_the_library_beside_it_and_then_in_lib() {
        let found = candidates(Path::new("/opt/vaccel/bin/vaccel"));
        assert_eq!(
            found[..2],
            [
                PathBuf::from("/opt/vaccel/bin/libvaccel.so.0"),
                PathBuf::from("/opt/vaccel/lib/libvaccel.so.0"),
            ]
        );
    }

    #[test]
    fn a_program_in_the_target_folder_finds_what_cargo_built() {
        let debug = Path::new("/src/target/debug/libvaccel.so");
        for program in ["vaccel", "deps/test-0123", "examples/sgemm"] {
            let found = candidates(&Path::new("/src/target/debug").join(program));
            assert!(found.iter().any(|path| path == debug), "{program}");
        }
    }
}
