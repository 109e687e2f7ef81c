//! The library that loaded the plugin, found at run time.
//!
//! A plugin never links against `libvaccel.so.0`: a program may have loaded it
//! with `RTLD_LOCAL` (Python does), or carry it inside its executable. So its
//! functions are looked up by name: first in the `libvaccel.so.0` that is
//! already in the process, then among the process's global symbols. Without a
//! host (a unit test), each call here says so or does nothing. A plugin that is
//! linked into the library itself is told where they are ([`provide`]).

use crate::error::Result;
use std::ffi::{CStr, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicPtr, Ordering};
use vaccel_abi::CResult;
use vaccel_abi::config::{LogLevel, vaccel_config};
use vaccel_abi::log::SlogFlag;
use vaccel_abi::resource::{ResourceType, vaccel_resource};
use vaccel_abi::session::vaccel_session;

type SlogPrint = unsafe extern "C" fn(SlogFlag, u8, *const libc::c_char, ...);
type ErrorSet = unsafe extern "C" fn(*const libc::c_char);
type ProgressReport = unsafe extern "C" fn(*const libc::c_char, u64, u64);
type Config = unsafe extern "C" fn() -> *const vaccel_config;
type ResourcesByType = unsafe extern "C" fn(
    *mut vaccel_session,
    *mut *mut *mut vaccel_resource,
    *mut libc::size_t,
    ResourceType,
) -> CResult;

/// One host function: its name, and its address once looked up.
struct Function {
    name: &'static CStr,
    address: AtomicPtr<libc::c_void>,
}

impl Function {
    const fn new(name: &'static CStr) -> Self {
        Self {
            name,
            address: AtomicPtr::new(std::ptr::null_mut()),
        }
    }

    fn get(&self) -> Option<*mut libc::c_void> {
        let address = self.address.load(Ordering::Acquire);
        (!address.is_null()).then_some(address)
    }
}

static SLOG_PRINT: Function = Function::new(c"slog_print");
static ERROR_SET: Function = Function::new(c"vaccel_error_set");
static CONFIG: Function = Function::new(c"vaccel_config");
static RESOURCES_BY_TYPE: Function = Function::new(c"vaccel_session_resources_by_type");
static PROGRESS_REPORT: Function = Function::new(c"vaccel_progress_report");
static FUNCTIONS: [&Function; 5] = [
    &SLOG_PRINT,
    &ERROR_SET,
    &CONFIG,
    &RESOURCES_BY_TYPE,
    &PROGRESS_REPORT,
];

/// What [`provide`] was told: name and address.
static PROVIDED: OnceLock<Vec<(&'static CStr, usize)>> = OnceLock::new();

/// Tells where the host's functions are, for a plugin that is linked into the
/// same program: static programs cannot look them up. Later calls do nothing.
///
/// # Safety
/// Each address is the C function of that name.
pub unsafe fn provide(functions: &[(&'static CStr, *const libc::c_void)]) {
    let list = functions
        .iter()
        .map(|&(name, address)| (name, address.expose_provenance()))
        .collect();
    let _ = PROVIDED.set(list);
}

/// File name of the library.
const LIBRARY: &CStr = c"libvaccel.so.0";

/// Looks the host's functions up again. The plugin's `init` does this, so that
/// a plugin that stays in memory while its host goes and comes back never calls
/// the old one. True when a host was found.
pub fn refresh() -> bool {
    // SAFETY: the name is a C string; NOLOAD runs no constructor.
    let library = unsafe { libc::dlopen(LIBRARY.as_ptr(), libc::RTLD_NOLOAD | libc::RTLD_LAZY) };
    for function in FUNCTIONS {
        function
            .address
            .store(find(library, function.name), Ordering::Release);
    }
    if !library.is_null() {
        // The host outlives its plugins, and must stay free to be unloaded.
        // SAFETY: the handle came from dlopen above and is closed once.
        unsafe { libc::dlclose(library) };
    }
    SLOG_PRINT.get().is_some()
}

/// Address of a host function by name, for what this module has no wrapper for.
/// Null when there is none. The caller casts it to the function's C type.
#[must_use]
pub fn symbol(name: &CStr) -> *mut libc::c_void {
    // SAFETY: as in `refresh`.
    let library = unsafe { libc::dlopen(LIBRARY.as_ptr(), libc::RTLD_NOLOAD | libc::RTLD_LAZY) };
    let address = find(library, name);
    if !library.is_null() {
        // SAFETY: the handle came from dlopen above and is closed once.
        unsafe { libc::dlclose(library) };
    }
    address
}

/// The file that this code was loaded from: the plugin's own, as the loader names it. `None`
/// when the loader does not say.
#[must_use]
pub fn own_file() -> Option<PathBuf> {
    // SAFETY: all zero is a valid Dl_info: null pointers.
    let mut info: libc::Dl_info = unsafe { std::mem::zeroed() };
    let here = own_file as fn() -> Option<PathBuf> as *const libc::c_void;
    // SAFETY: dladdr takes any address and fills the structure on success.
    let found = unsafe { libc::dladdr(here, &raw mut info) };
    if found == 0 || info.dli_fname.is_null() {
        return None;
    }
    // SAFETY: the loader's own string, which stays while the library does.
    let name = unsafe { CStr::from_ptr(info.dli_fname) };
    Some(PathBuf::from(OsStr::from_bytes(name.to_bytes())))
}

fn find(library: *mut libc::c_void, name: &CStr) -> *mut libc::c_void {
    let handle = if library.is_null() {
        libc::RTLD_DEFAULT
    } else {
        library
    };
    let provided = PROVIDED.get().and_then(|list| {
        let known = list.iter().find(|(known, _)| *known == name)?;
        Some(std::ptr::with_exposed_provenance_mut(known.1))
    });
    if let Some(address) = provided {
        return address;
    }
    // SAFETY: the handle is open or RTLD_DEFAULT, the name a C string.
    unsafe { libc::dlsym(handle, name.as_ptr()) }
}

/// Sets the calling thread's last error text. True when a host took it.
pub fn set_error(text: &CStr) -> bool {
    let Some(f) = ERROR_SET.get() else {
        return false;
    };
    // SAFETY: the host's `void vaccel_error_set(const char *)`.
    let f: ErrorSet = unsafe { std::mem::transmute(f) };
    // SAFETY: a C string; the host copies it.
    unsafe { f(text.as_ptr()) };
    true
}

/// Tells the program that makes the call how far something on its way has come: `done` of
/// `total` bytes. Hosts that do not know of it are told nothing.
pub fn report_progress(name: &CStr, done: u64, total: u64) {
    if let Some(f) = PROGRESS_REPORT.get() {
        // SAFETY: the host's `void vaccel_progress_report(const char *, uint64_t, uint64_t)`.
        let f: ProgressReport = unsafe { std::mem::transmute(f) };
        // SAFETY: a C string; the host keeps nothing of it.
        unsafe { f(name.as_ptr(), done, total) };
    }
}

/// Prints one line to the host's log. True when a host took it.
pub fn print(flag: SlogFlag, line: &CStr) -> bool {
    let Some(f) = SLOG_PRINT.get() else {
        return false;
    };
    // SAFETY: the host's `void slog_print(SLOG_FLAGS_E, uint8_t, const char *, ...)`.
    let f: SlogPrint = unsafe { std::mem::transmute(f) };
    // SAFETY: "%s" takes exactly the one C string that follows.
    unsafe { f(flag, 1, c"%s".as_ptr(), line.as_ptr()) };
    true
}

/// The host's log level; `None` without a host.
#[must_use]
pub fn log_level() -> Option<LogLevel> {
    // SAFETY: the host's `const struct vaccel_config *vaccel_config(void)`.
    let f: Config = unsafe { std::mem::transmute(CONFIG.get()?) };
    // SAFETY: takes nothing; the result is null or the host's own structure.
    let config = unsafe { f() };
    // SAFETY: not null, and the host keeps it while it is loaded.
    (!config.is_null()).then(|| unsafe { (&raw const (*config).log_level).read() })
}

/// The resources of a type that are registered with a session, in order of
/// registration. `ENOSYS` without a host.
///
/// # Safety
/// `session` must be a live session of the host.
pub unsafe fn resources_by_type(
    session: *mut vaccel_session,
    type_: ResourceType,
) -> Result<Vec<*mut vaccel_resource>> {
    let Some(f) = RESOURCES_BY_TYPE.get() else {
        crate::bail!(
            ENOSYS,
            "the plugin was not loaded by libvaccel: no function `{}`",
            RESOURCES_BY_TYPE.name.to_string_lossy()
        );
    };
    // SAFETY: the host function of that name and type.
    let f: ResourcesByType = unsafe { std::mem::transmute(f) };
    let mut list = std::ptr::null_mut();
    let mut count = 0;
    // SAFETY: the session is live; both results point at live variables.
    let code = unsafe { f(session, &raw mut list, &raw mut count, type_) };
    if code == crate::code::ENOENT {
        return Ok(Vec::new());
    }
    if code != crate::code::OK {
        return Err(crate::Error::new(
            code,
            format!(
                "cannot list the session's resources: {}",
                crate::code::describe(code)
            ),
        ));
    }
    if list.is_null() {
        return Ok(Vec::new());
    }
    // SAFETY: on success the host returns an array of `count` pointers.
    let resources = unsafe { std::slice::from_raw_parts(list, count) }.to_vec();
    // SAFETY: the array is malloc'ed and now ours.
    unsafe { libc::free(list.cast()) };
    Ok(resources)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_plugin_knows_its_own_file() {
        let own = own_file().unwrap().canonicalize().unwrap();
        let exe = std::env::current_exe().unwrap().canonicalize().unwrap();
        assert_eq!(own, exe);
    }
}
