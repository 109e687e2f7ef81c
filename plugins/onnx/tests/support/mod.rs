//! Calls the built plugin as the library does: through its exported C tables.
//!
//! The test program stands in for the library. It exports the two functions that
//! the plugin looks up by name: the list of a session's resources and the last error.
#![allow(clippy::unwrap_used, dead_code, unreachable_pub)]

pub mod builder;
pub mod npz;
mod tensor;

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::{CStr, CString, c_char};
use std::path::{Path, PathBuf};
use std::ptr;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{LazyLock, Mutex};

use vaccel_plugin::abi::CResult;
use vaccel_plugin::abi::model::{vaccel_model_info, vaccel_tensor};
use vaccel_plugin::abi::op::{ImageClassifyFn, ImageFn};
use vaccel_plugin::abi::resource::vaccel_resource;
use vaccel_plugin::abi::session::vaccel_session;
use vaccel_plugin::testing::{Loaded, TestResource, TestSession};
use vaccel_plugin::{Op, ResourceType};

pub use tensor::{Info, Out, Tensor};

/// The plugin of the package under test: several packages have this file among their tests.
pub static PLUGIN: LazyLock<Loaded> =
    LazyLock::new(|| Loaded::built(&env!("CARGO_PKG_NAME").replace("vaccel-plugin-", "vaccel_")));

/// Code and text of a failed call.
pub type Fault = (CResult, String);

thread_local! {
    static LAST_ERROR: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Resources by address of the session.
static RESOURCES: Mutex<Option<HashMap<usize, Vec<usize>>>> = Mutex::new(None);

#[unsafe(no_mangle)]
extern "C" fn vaccel_error_set(text: *const c_char) {
    // SAFETY: the plugin passes a C string.
    let text = unsafe { CStr::from_ptr(text) }
        .to_string_lossy()
        .into_owned();
    LAST_ERROR.with(|last| *last.borrow_mut() = text);
}

#[unsafe(no_mangle)]
extern "C" fn vaccel_session_resources_by_type(
    session: *mut vaccel_session,
    list: *mut *mut *mut vaccel_resource,
    count: *mut usize,
    type_: u32,
) -> CResult {
    let resources = RESOURCES.lock().unwrap();
    let found: Vec<usize> = resources
        .as_ref()
        .and_then(|map| map.get(&session.addr()))
        .cloned()
        .unwrap_or_default()
        .into_iter()
        // SAFETY: registered resources are live.
        .filter(|r| unsafe { (*(*r as *const vaccel_resource)).type_ } == type_)
        .collect();
    // SAFETY: malloc'ed for the plugin, which frees it; both places are live.
    unsafe {
        let array = libc_malloc(found.len() * size_of::<usize>()).cast::<usize>();
        ptr::copy_nonoverlapping(found.as_ptr(), array, found.len());
        *list = array.cast();
        *count = found.len();
    }
    0
}

unsafe extern "C" {
    #[link_name = "malloc"]
    fn libc_malloc(size: usize) -> *mut std::ffi::c_void;
    #[link_name = "free"]
    fn libc_free(at: *mut std::ffi::c_void);
}

/// A session with a folder of its own and registered resources.
pub struct Session {
    pub raw: TestSession,
    pub rundir: tempfile::TempDir,
    pub resources: Vec<TestResource>,
}

impl Session {
    pub fn new() -> Self {
        static NEXT: AtomicI64 = AtomicI64::new(1);
        LazyLock::force(&PLUGIN);
        let raw = TestSession::new(NEXT.fetch_add(1, Ordering::Relaxed));
        let rundir = tempfile::tempdir().unwrap();
        let path = CString::new(rundir.path().to_str().unwrap()).unwrap();
        // SAFETY: the path is shorter than the field.
        unsafe {
            let field = (&raw mut (*raw.as_ptr()).rundir).cast::<c_char>();
            ptr::copy_nonoverlapping(path.as_ptr(), field, path.as_bytes_with_nul().len());
        }
        Self {
            raw,
            rundir,
            resources: Vec::new(),
        }
    }

    pub fn id(&self) -> i64 {
        // SAFETY: a live session.
        unsafe { (*self.raw.as_ptr()).id }
    }

    /// Registers a model of these files; gives its index.
    pub fn add_files(&mut self, files: &[&Path]) -> usize {
        self.add(TestResource::from_files(
            next_id(),
            ResourceType::Model,
            files,
        ))
    }

    pub fn add_memory(&mut self, bytes: &[u8]) -> usize {
        self.add(TestResource::from_memory(
            next_id(),
            ResourceType::Model,
            "m",
            bytes,
        ))
    }

    pub fn add_folder(&mut self, folder: &Path) -> usize {
        self.add(TestResource::from_folder(
            next_id(),
            ResourceType::Model,
            folder,
        ))
    }

    pub fn add(&mut self, resource: TestResource) -> usize {
        let mut all = RESOURCES.lock().unwrap();
        let mine = all.get_or_insert_default().entry(self.raw.as_ptr().addr());
        mine.or_default().push(resource.as_ptr().addr());
        self.resources.push(resource);
        self.resources.len() - 1
    }

    /// Calls a file of a resource by another name than the one it has on disk.
    pub fn rename(&self, model: usize, file: usize, name: &str) {
        // Lives as long as the test program.
        let name = CString::new(name).unwrap().into_raw();
        // SAFETY: a live resource with so many files, and nobody uses it now.
        unsafe { (**(*self.resources[model].as_ptr()).blobs.add(file)).name = name };
    }

    pub fn load(&self, model: usize, options: &str) -> Result<(), Fault> {
        let options = CString::new(options).unwrap();
        let load = PLUGIN.ext().model_load.unwrap();
        // SAFETY: live session, resource and string.
        check(unsafe {
            load(
                self.raw.as_ptr(),
                self.resources[model].as_ptr(),
                options.as_ptr(),
            )
        })
    }

    pub fn unload(&self, model: usize) -> Result<(), Fault> {
        let unload = PLUGIN.ext().model_unload.unwrap();
        // SAFETY: live session and resource.
        check(unsafe { unload(self.raw.as_ptr(), self.resources[model].as_ptr()) })
    }

    pub fn run(
        &self,
        model: usize,
        inputs: &[Tensor],
        wanted: &[&str],
    ) -> Result<Vec<Tensor>, Fault> {
        let mut outputs: Vec<Out> = wanted.iter().map(|name| Out::allocated(name)).collect();
        self.run_into(model, inputs, &mut outputs)?;
        Ok(outputs.iter().map(Out::tensor).collect())
    }

    pub fn run_into(
        &self,
        model: usize,
        inputs: &[Tensor],
        outputs: &mut [Out],
    ) -> Result<(), Fault> {
        let raw_inputs: Vec<vaccel_tensor> = inputs.iter().map(Tensor::raw).collect();
        let mut raw_outputs: Vec<vaccel_tensor> = outputs.iter().map(|out| out.raw).collect();
        let run = PLUGIN.ext().model_run.unwrap();
        // SAFETY: live session and resource; arrays of these lengths.
        let code = unsafe {
            run(
                self.raw.as_ptr(),
                self.resources[model].as_ptr(),
                raw_inputs.as_ptr(),
                raw_inputs.len(),
                raw_outputs.as_mut_ptr(),
                raw_outputs.len(),
            )
        };
        for (out, raw) in outputs.iter_mut().zip(raw_outputs) {
            out.raw = raw;
        }
        check(code)
    }

    pub fn info(&self, model: usize) -> Result<Info, Fault> {
        let mut raw = vaccel_model_info::empty();
        let info = PLUGIN.ext().model_info.unwrap();
        // SAFETY: live session, resource and place.
        check(unsafe {
            info(
                self.raw.as_ptr(),
                self.resources[model].as_ptr(),
                &raw mut raw,
            )
        })?;
        // SAFETY: filled by the plugin; freed once.
        Ok(unsafe { Info::take(&raw) })
    }

    /// Text and path of the picture.
    pub fn classify(&self, image: &[u8], room: (usize, usize)) -> Result<(String, String), Fault> {
        let (mut text, mut name) = (vec![0xee_u8; room.0], vec![0xee_u8; room.1]);
        let classify: ImageClassifyFn = PLUGIN.op(Op::ImageClassify);
        // SAFETY: a live session and buffers of these lengths.
        check(unsafe {
            classify(
                self.raw.as_ptr(),
                image.as_ptr().cast(),
                text.as_mut_ptr(),
                name.as_mut_ptr(),
                image.len(),
                text.len(),
                name.len(),
            )
        })?;
        Ok((until_zero(&text), until_zero(&name)))
    }

    /// Path of the picture that another image operation makes.
    pub fn picture(&self, op: Op, image: &[u8]) -> Result<String, Fault> {
        let mut name = vec![0_u8; 4096];
        let call: ImageFn = PLUGIN.op(op);
        // SAFETY: as in `classify`.
        check(unsafe {
            call(
                self.raw.as_ptr(),
                image.as_ptr().cast(),
                name.as_mut_ptr(),
                image.len(),
                name.len(),
            )
        })?;
        Ok(until_zero(&name))
    }

    /// Unregisters a resource, as the library would.
    pub fn remove(&mut self, model: usize) {
        let resource = self.resources.remove(model);
        let mut all = RESOURCES.lock().unwrap();
        if let Some(mine) = all
            .as_mut()
            .and_then(|map| map.get_mut(&self.raw.as_ptr().addr()))
        {
            mine.retain(|r| *r != resource.as_ptr().addr());
        }
        drop(all);
        if let Some(f) = PLUGIN.info().resource_unregister {
            // SAFETY: live resource and session.
            unsafe { f(resource.as_ptr(), self.raw.as_ptr()) };
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        while !self.resources.is_empty() {
            self.remove(0);
        }
        if let Some(release) = PLUGIN.info().session_release {
            // SAFETY: a live session.
            unsafe { release(self.raw.as_ptr()) };
        }
    }
}

fn next_id() -> i64 {
    static NEXT: AtomicI64 = AtomicI64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

fn check(code: CResult) -> Result<(), Fault> {
    match code {
        0 => Ok(()),
        code => Err((code, LAST_ERROR.with(|last| last.borrow_mut().split_off(0)))),
    }
}

fn until_zero(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|b| *b == 0).unwrap_or(0);
    String::from_utf8(bytes[..end].to_vec()).unwrap()
}

/// A file of `tests/data`.
pub fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data")
        .join(name)
}

/// A folder of the repository's trained models.
pub fn trained(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../models")
        .join(name)
}

/// A session with one model of `tests/data`, loaded.
pub fn loaded(name: &str) -> Session {
    let mut session = Session::new();
    session.add_files(&[&data(name)]);
    session
        .load(0, "")
        .unwrap_or_else(|e| panic!("{name}: {e:?}"));
    session
}

/// A picture file whose pixels a function tells.
pub fn picture(width: u32, height: u32, pixel: impl Fn(u32, u32) -> [u8; 3]) -> Vec<u8> {
    // Binary PNM is a header and the pixels, and the decoder reads it too.
    let mut bytes = format!("P6\n{width} {height}\n255\n").into_bytes();
    for y in 0..height {
        for x in 0..width {
            bytes.extend_from_slice(&pixel(x, y));
        }
    }
    bytes
}

/// Lets a session travel to the thread that goes on with it.
pub struct Sent(pub Session);

// SAFETY: the plugin keeps nothing by thread.
unsafe impl Send for Sent {}

/// Bytes of memory that this process has.
pub fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}
