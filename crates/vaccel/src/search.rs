//! Where `libvaccel.so.0` is looked for.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

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
