//! For the tests of a plugin: loads the built library and calls it as C would.
//!
//! ```no_run
//! use vaccel_plugin::{Op, abi::op::NoopFn, testing::{Loaded, TestSession}};
//!
//! let plugin = Loaded::built("vaccel_noop");
//! let session = TestSession::new(1);
//! let noop: NoopFn = plugin.op(Op::Noop);
//! assert_eq!(unsafe { noop(session.as_ptr()) }, 0);
//! ```
//!
//! Everything here panics when something is wrong: it is for tests alone.
#![allow(clippy::unwrap_used)]

pub mod compute;

use crate::op::Op;
use crate::resource::ResourceType;
use std::ffi::{CStr, CString, c_char};
use std::path::{Path, PathBuf};
use vaccel_abi::CResult;
use vaccel_abi::blob::{BLOB_BUFFER, BLOB_FILE, vaccel_blob};
use vaccel_abi::plugin::{PlainFn, vaccel_plugin, vaccel_plugin_ext, vaccel_plugin_info};
use vaccel_abi::resource::{PATH_LOCAL_DIR, PATH_LOCAL_FILE, PATH_MAX, vaccel_resource};
use vaccel_abi::session::vaccel_session;
use vaccel_abi::tensor::{vaccel_tf_tensor, vaccel_tflite_tensor, vaccel_torch_tensor};

/// A plugin in memory, its `init` done; `fini` and unloading follow its drop.
#[derive(Debug)]
pub struct Loaded {
    handle: *mut libc::c_void,
    plugin: *mut vaccel_plugin,
    ext: *const vaccel_plugin_ext,
}

// SAFETY: the tables are only read after `init`.
unsafe impl Send for Loaded {}
// SAFETY: as above.
unsafe impl Sync for Loaded {}

/// Path of a library that cargo built for the running test: `crate_name` as in
/// `[lib] name`, for example `vaccel_noop`.
#[must_use]
pub fn built_library(crate_name: &str) -> PathBuf {
    let exe = std::env::current_exe().unwrap();
    exe.with_file_name(format!("lib{crate_name}.so"))
}

/// Path of an example of type cdylib that cargo built with the running test.
#[must_use]
pub fn built_example(name: &str) -> PathBuf {
    let exe = std::env::current_exe().unwrap();
    let target = exe.parent().and_then(Path::parent).unwrap();
    target.join("examples").join(format!("lib{name}.so"))
}

impl Loaded {
    /// Loads [`built_library`] and calls `init`.
    #[must_use]
    pub fn built(crate_name: &str) -> Self {
        let loaded = Self::open(&built_library(crate_name));
        assert_eq!(loaded.init(), 0, "init of {crate_name}");
        loaded
    }

    /// Loads a library with local symbols and lazy binding, as the library
    /// does, without calling `init`.
    #[must_use]
    pub fn open(path: &Path) -> Self {
        let name = CString::new(path.to_str().unwrap()).unwrap();
        // SAFETY: a C string; constructors of our own plugins do nothing odd.
        let handle = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_LAZY | libc::RTLD_LOCAL) };
        if handle.is_null() {
            // SAFETY: set by the failed dlopen.
            panic!("{:?}", unsafe { CStr::from_ptr(libc::dlerror()) });
        }
        // SAFETY: data symbols of the plugin ABI: each is a pointer.
        unsafe {
            let plugin = libc::dlsym(handle, c"vaccel_plugin".as_ptr());
            let ext = libc::dlsym(handle, c"vaccel_plugin_ext".as_ptr());
            assert!(!plugin.is_null(), "no symbol vaccel_plugin");
            assert!(!ext.is_null(), "no symbol vaccel_plugin_ext");
            Self {
                handle,
                plugin: plugin.cast::<*mut vaccel_plugin>().read(),
                ext: ext.cast::<*const vaccel_plugin_ext>().read(),
            }
        }
    }

    /// Calls `init` (again).
    pub fn init(&self) -> CResult {
        let f: PlainFn = self.info().init.unwrap();
        // SAFETY: takes nothing; no operation runs meanwhile.
        unsafe { f() }
    }

    /// Calls `fini`, as it also happens on drop.
    pub fn fini(&self) -> CResult {
        let f: PlainFn = self.info().fini.unwrap();
        // SAFETY: as in `init`.
        unsafe { f() }
    }

    /// What the plugin says of itself to the library.
    #[must_use]
    pub fn info(&self) -> &vaccel_plugin_info {
        // SAFETY: static in the plugin.
        unsafe { &*(*self.plugin).info }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        // SAFETY: a static C string.
        unsafe { CStr::from_ptr(self.info().name) }
            .to_str()
            .unwrap()
    }

    /// Its extension table.
    #[must_use]
    pub fn ext(&self) -> &vaccel_plugin_ext {
        // SAFETY: static in the plugin.
        unsafe { &*self.ext }
    }

    /// True when it offers an operation.
    #[must_use]
    pub fn offers(&self, op: Op) -> bool {
        // SAFETY: the table is static in the plugin.
        !unsafe { (*self.plugin).ops[op.code() as usize] }.is_null()
    }

    /// Function of an operation; `F` must be its type in `abi::op`.
    #[must_use]
    pub fn op<F: Copy>(&self, op: Op) -> F {
        assert!(self.offers(op), "{} does not offer {op:?}", self.name());
        assert_eq!(size_of::<F>(), size_of::<*mut libc::c_void>());
        // SAFETY: a filled slot of the table, whose function has the type of
        // the operation.
        unsafe {
            let entry = &*(*self.plugin).ops[op.code() as usize];
            assert_eq!((entry.type_, entry.owner), (op.code(), self.plugin));
            std::mem::transmute_copy(&entry.func)
        }
    }

    /// What `describe` writes.
    #[must_use]
    pub fn describe(&self) -> serde_json::Value {
        let mut text: *mut c_char = std::ptr::null_mut();
        // SAFETY: the place is live; the text is a C string from malloc.
        unsafe {
            assert_eq!(self.ext().describe.unwrap()(&raw mut text), 0);
            let json = serde_json::from_slice(CStr::from_ptr(text).to_bytes()).unwrap();
            libc::free(text.cast());
            json
        }
    }
}

/// What it means that what a plugin needs is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// Its tests are skipped; nobody has to have it.
    MayBe,
    /// Its tests are skipped, but fail where [`is_required`].
    FailsWhereAllIsTested,
}

impl Loaded {
    /// True when the plugin says that it is ready. Otherwise it has to say what to install, and
    /// the test that asks says loudly that it is skipped.
    #[must_use]
    pub fn is_ready(&self, missing: Missing) -> bool {
        let about = self.describe();
        if about["ready"] == true {
            return true;
        }
        let remedy = about["remedy"].as_str().unwrap();
        assert!(remedy.contains("install"), "{remedy}");
        let reason = format!("{}; {remedy}", about["missing"]);
        assert!(
            missing == Missing::MayBe || !is_required(self.name()),
            "{} must not be skipped here: {reason}",
            self.name()
        );
        skipped(self.name(), &reason);
        false
    }
}

/// True where the tests of a backend must not be skipped: `VACCEL_REQUIRE_RUNTIMES` names it
/// (`opencl,tf`), or is `1` for all of them.
#[must_use]
pub fn is_required(backend: &str) -> bool {
    std::env::var("VACCEL_REQUIRE_RUNTIMES")
        .is_ok_and(|named| named == "1" || named.split(',').any(|name| name == backend))
}

/// Says loudly that this test is skipped because of what is missing. `cargo xtask test`
/// collects that in the file `VACCEL_SKIPPED`, and shows it at its end.
pub fn skipped(what: &str, reason: &str) {
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    eprintln!("SKIPPED: {what}: {test}: {reason}");
    let Some(file) = std::env::var_os("VACCEL_SKIPPED").filter(|file| !file.is_empty()) else {
        return;
    };
    let line = format!("{what}\t{test}\t{}\n", reason.replace(['\n', '\t'], " "));
    let mut list = std::fs::File::options()
        .create(true)
        .append(true)
        .open(file)
        .unwrap();
    // One write a line: several tests do this at once.
    std::io::Write::write_all(&mut list, line.as_bytes()).unwrap();
}

impl Drop for Loaded {
    fn drop(&mut self) {
        self.fini();
        // SAFETY: opened once; nothing of it is used any more.
        unsafe { libc::dlclose(self.handle) };
    }
}

/// A session as the library would pass it.
#[derive(Debug)]
pub struct TestSession(*mut vaccel_session);

impl TestSession {
    /// A session of that number.
    #[must_use]
    pub fn new(id: i64) -> Self {
        // SAFETY: all zeros are a valid (empty) session.
        let mut session: Box<vaccel_session> = Box::new(unsafe { std::mem::zeroed() });
        session.id = id;
        Self(Box::into_raw(session))
    }

    /// The C structure.
    #[must_use]
    pub fn as_ptr(&self) -> *mut vaccel_session {
        self.0
    }
}

impl Drop for TestSession {
    fn drop(&mut self) {
        // SAFETY: from `Box::into_raw`.
        drop(unsafe { Box::from_raw(self.0) });
    }
}

/// A registered resource as the library would pass it.
#[derive(Debug)]
pub struct TestResource {
    raw: *mut vaccel_resource,
    /// What the structure points at, kept alive.
    _strings: Vec<CString>,
    _memory: Vec<Vec<u8>>,
    _blobs: Vec<vaccel_blob>,
    _lists: (Vec<*mut c_char>, Vec<*mut vaccel_blob>),
}

/// What a resource is made of.
enum Part<'a> {
    File(&'a Path),
    Memory(&'a str, &'a [u8]),
}

impl TestResource {
    /// A resource of files, each to be read on demand.
    #[must_use]
    pub fn from_files(id: i64, type_: ResourceType, files: &[&Path]) -> Self {
        let parts: Vec<Part<'_>> = files.iter().map(|f| Part::File(f)).collect();
        Self::new(id, type_, PATH_LOCAL_FILE, files, &parts)
    }

    /// A resource of a folder with the files in it.
    #[must_use]
    pub fn from_folder(id: i64, type_: ResourceType, folder: &Path) -> Self {
        let entries = std::fs::read_dir(folder).unwrap();
        let files: Vec<PathBuf> = entries.map(|e| e.unwrap().path()).collect();
        let parts: Vec<Part<'_>> = files.iter().map(|f| Part::File(f)).collect();
        Self::new(id, type_, PATH_LOCAL_DIR, &[folder], &parts)
    }

    /// A resource of one buffer that has no file.
    #[must_use]
    pub fn from_memory(id: i64, type_: ResourceType, name: &str, bytes: &[u8]) -> Self {
        Self::new(id, type_, PATH_MAX, &[], &[Part::Memory(name, bytes)])
    }

    fn new(
        id: i64,
        type_: ResourceType,
        path_type: u32,
        paths: &[&Path],
        parts: &[Part<'_>],
    ) -> Self {
        let mut strings = Vec::new();
        let mut keep = |text: &str| {
            let text = CString::new(text).unwrap();
            let at = text.as_ptr().cast_mut();
            strings.push(text);
            at
        };
        let mut memory = Vec::new();
        let mut blobs = Vec::new();
        for part in parts {
            // SAFETY: all zeros are a valid blob.
            let mut blob: vaccel_blob = unsafe { std::mem::zeroed() };
            match part {
                Part::File(path) => {
                    blob.type_ = BLOB_FILE;
                    blob.name = keep(path.file_name().unwrap().to_str().unwrap());
                    blob.path = keep(path.to_str().unwrap());
                }
                Part::Memory(name, bytes) => {
                    let mut bytes = bytes.to_vec();
                    blob.type_ = BLOB_BUFFER;
                    blob.name = keep(name);
                    blob.data = bytes.as_mut_ptr();
                    blob.size = bytes.len();
                    memory.push(bytes);
                }
            }
            blobs.push(blob);
        }
        let mut path_list: Vec<*mut c_char> =
            paths.iter().map(|p| keep(p.to_str().unwrap())).collect();
        let mut blob_list: Vec<*mut vaccel_blob> = blobs.iter_mut().map(|b| &raw mut *b).collect();
        // SAFETY: all zeros are a valid (empty) resource.
        let mut raw: Box<vaccel_resource> = Box::new(unsafe { std::mem::zeroed() });
        raw.id = id;
        raw.type_ = type_ as u32;
        raw.path_type = path_type;
        raw.paths = path_list.as_mut_ptr();
        raw.nr_paths = path_list.len();
        raw.blobs = blob_list.as_mut_ptr();
        raw.nr_blobs = blob_list.len();
        raw.refcount = 1;
        Self {
            raw: Box::into_raw(raw),
            _strings: strings,
            _memory: memory,
            _blobs: blobs,
            _lists: (path_list, blob_list),
        }
    }

    /// The C structure.
    #[must_use]
    pub fn as_ptr(&self) -> *mut vaccel_resource {
        self.raw
    }
}

impl Drop for TestResource {
    fn drop(&mut self) {
        // SAFETY: from `Box::into_raw`.
        drop(unsafe { Box::from_raw(self.raw) });
    }
}

macro_rules! free_tensor {
    ($($function:ident($type:ty);)*) => {
        $(
            /// Frees a tensor that a plugin made, as the library does.
            ///
            /// # Safety
            /// An output of a plugin that was not freed yet.
            pub unsafe fn $function(tensor: *mut $type) {
                // SAFETY: promised by the caller: all three from malloc.
                unsafe {
                    assert!((*tensor).owned);
                    libc::free((*tensor).data);
                    libc::free((*tensor).dims.cast());
                    libc::free(tensor.cast());
                }
            }
        )*
    };
}

free_tensor! {
    free_tf_tensor(vaccel_tf_tensor);
    free_tflite_tensor(vaccel_tflite_tensor);
    free_torch_tensor(vaccel_torch_tensor);
}
