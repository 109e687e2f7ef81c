//! C libraries built for the tests, and calls of the plugin as C makes them.
#![allow(clippy::unwrap_used, dead_code)]

use std::ffi::{CString, c_char};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use vaccel_plugin::Op;
use vaccel_plugin::abi::arg::{ARG_RAW, vaccel_arg};
use vaccel_plugin::abi::op::{ExecFn, ExecWithResourceFn};
use vaccel_plugin::testing::{Loaded, TestResource, TestSession};

/// Compiles `tests/c/<name>.c` to `<folder>/lib<name>.so`, linked with `needed`
/// libraries of the same folder.
pub(crate) fn compile(folder: &Path, name: &str, needed: &[&str]) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let library = folder.join(format!("lib{name}.so"));
    let mut cc = Command::new("cc");
    cc.args(["-shared", "-fPIC", "-Wall", "-Werror", "-o"])
        .arg(&library)
        .arg(root.join(format!("tests/c/{name}.c")))
        .arg("-I")
        .arg(root.join("../../include"))
        .arg(format!("-Wl,-soname,lib{name}.so"))
        .arg("-L")
        .arg(folder);
    for other in needed {
        cc.arg(format!("-l{other}"));
    }
    assert!(cc.status().unwrap().success(), "cc {name}.c");
    library
}

pub(crate) fn arg<T>(values: &mut [T]) -> vaccel_arg {
    vaccel_arg {
        buf: values.as_mut_ptr().cast(),
        size: size_of_val(values),
        type_: ARG_RAW,
        custom_type_id: 0,
        owned: false,
    }
}

/// What is loaded and open is counted for the whole process.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// The plugin and a session; one at a time.
pub(crate) struct Exec {
    pub(crate) plugin: Loaded,
    pub(crate) session: TestSession,
    _alone: MutexGuard<'static, ()>,
}

impl Exec {
    pub(crate) fn new() -> Self {
        let alone = ONE_AT_A_TIME.lock();
        Self {
            plugin: Loaded::built("vaccel_exec"),
            session: TestSession::new(1),
            _alone: alone.unwrap_or_else(PoisonError::into_inner),
        }
    }

    /// `vaccel_exec`; null strings for `None`.
    pub(crate) fn exec(
        &self,
        library: Option<&str>,
        symbol: Option<&str>,
        read: &mut [vaccel_arg],
        write: &mut [vaccel_arg],
    ) -> i32 {
        let f: ExecFn = self.plugin.op(Op::Exec);
        let text = |t: Option<&str>| t.map(|t| CString::new(t).unwrap());
        let (library, symbol) = (text(library), text(symbol));
        let at = |t: &Option<CString>| {
            t.as_ref()
                .map_or(std::ptr::null::<c_char>(), |t| t.as_ptr())
        };
        // SAFETY: live session, strings or null, and lists with their lengths.
        unsafe {
            f(
                self.session.as_ptr(),
                at(&library),
                at(&symbol),
                read.as_mut_ptr(),
                read.len(),
                write.as_mut_ptr(),
                write.len(),
            )
        }
    }

    /// A function that writes one number.
    pub(crate) fn number(&self, library: &str, symbol: &str) -> Result<u32, i32> {
        let mut number = [0_u32];
        let mut write = [arg(&mut number)];
        match self.exec(Some(library), Some(symbol), &mut [], &mut write) {
            0 => Ok(number[0]),
            code => Err(code),
        }
    }

    /// The same of a resource.
    pub(crate) fn resource_number(
        &self,
        resource: &TestResource,
        symbol: &str,
    ) -> Result<u32, i32> {
        let f: ExecWithResourceFn = self.plugin.op(Op::ExecWithResource);
        let mut number = [0_u32];
        let mut write = [arg(&mut number)];
        let symbol = CString::new(symbol).unwrap();
        // SAFETY: as in `exec`.
        let code = unsafe {
            f(
                self.session.as_ptr(),
                resource.as_ptr(),
                symbol.as_ptr(),
                std::ptr::null_mut(),
                0,
                write.as_mut_ptr(),
                1,
            )
        };
        match code {
            0 => Ok(number[0]),
            code => Err(code),
        }
    }

    pub(crate) fn unregister(&self, resource: &TestResource) {
        let f = self.plugin.info().resource_unregister.unwrap();
        // SAFETY: live ones.
        assert_eq!(unsafe { f(resource.as_ptr(), self.session.as_ptr()) }, 0);
    }
}

/// True while a file of this name is mapped into the process.
pub(crate) fn is_mapped(part_of_path: &str) -> bool {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    maps.contains(part_of_path)
}

/// Open files of this process that are files in memory of the plugin.
pub(crate) fn open_memory_files() -> usize {
    let fds = std::fs::read_dir("/proc/self/fd").unwrap();
    fds.filter_map(|fd| std::fs::read_link(fd.ok()?.path()).ok())
        .filter(|target| target.to_string_lossy().contains("vaccel-exec"))
        .count()
}
