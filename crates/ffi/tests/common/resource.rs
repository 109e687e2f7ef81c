//! Resources, and plugins that take them.

use super::{expect, garbage, plugin, vaccel_resource_init, vaccel_resource_init_from_buf};
use std::ffi::{CStr, CString};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use vaccel_abi::error::OK;
use vaccel_abi::resource::vaccel_resource;

/// A plugin that does the work itself.
pub static LOCAL: LazyLock<PathBuf> = LazyLock::new(|| plugin("local", &[]));
/// A transport.
pub static TRANSPORT: LazyLock<PathBuf> = LazyLock::new(|| {
    plugin(
        "transport",
        &["-DTRANSPORT", "-DTYPE=VACCEL_PLUGIN_GENERIC"],
    )
});
/// What resources from memory hold.
pub static DATA: [u8; 16] = *b"sixteen bytes ..";

/// A resource of [`DATA`].
#[track_caller]
pub fn from_memory(type_: u32, name: Option<&CStr>) -> Box<vaccel_resource> {
    let mut res = garbage::<vaccel_resource>();
    let name = name.map_or(std::ptr::null(), CStr::as_ptr);
    let data = DATA.as_ptr().cast();
    expect(
        OK,
        vaccel_resource_init_from_buf(&mut *res, data, 16, type_, name, true),
    );
    res
}

/// A resource of a file or folder.
#[track_caller]
pub fn from_path(path: &Path, type_: u32) -> Box<vaccel_resource> {
    let mut res = garbage::<vaccel_resource>();
    let path = CString::new(path.to_str().unwrap()).unwrap();
    expect(OK, vaccel_resource_init(&mut *res, path.as_ptr(), type_));
    res
}
