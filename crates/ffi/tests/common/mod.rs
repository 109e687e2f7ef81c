//! The built library, called through its symbols, and plugins compiled from C.
#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::not_unsafe_ptr_arg_deref,
    clippy::too_many_arguments
)]

pub mod model;
pub mod resource;

use std::ffi::{CStr, CString, c_char, c_double, c_float, c_int, c_long, c_uchar, c_void};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use vaccel_abi::arg::*;
use vaccel_abi::blob::vaccel_blob;
use vaccel_abi::config::vaccel_config;
use vaccel_abi::model::*;
use vaccel_abi::op::vaccel_op;
use vaccel_abi::prof::vaccel_prof_region;
use vaccel_abi::resource::vaccel_resource;
use vaccel_abi::session::vaccel_session;
use vaccel_abi::tensor::*;

/// Folder of the test or example that runs: `target/<profile>/deps` or `examples`.
pub fn profile_dir() -> PathBuf {
    let exe = std::env::current_exe().unwrap();
    exe.parent().unwrap().parent().unwrap().to_owned()
}

/// A folder of this program's own.
pub fn folder() -> &'static Path {
    static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
        let exe = std::env::current_exe().unwrap();
        let name = exe.file_name().unwrap();
        let folder = profile_dir().parent().unwrap().join("tmp").join(name);
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        folder
    });
    &FOLDER
}

/// The library, built now and copied to where nobody replaces it meanwhile.
///
/// A C library is no dependency of its tests in Cargo's eyes, so it is built here.
pub fn library() -> &'static Path {
    static LIBRARY: LazyLock<PathBuf> = LazyLock::new(|| {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut build = Command::new(cargo);
        build.args(["build", "--quiet", "-p", "vaccel-ffi", "--lib"]);
        build.current_dir(env!("CARGO_MANIFEST_DIR"));
        if profile_dir().file_name().unwrap() == "release" {
            build.arg("--release");
        }
        let status = build.status().unwrap();
        assert!(status.success(), "building libvaccel.so: {status}");
        let path = folder().join("libvaccel.so.0");
        std::fs::copy(profile_dir().join("libvaccel.so"), &path).unwrap();
        let link = folder().join("libvaccel.so");
        std::os::unix::fs::symlink("libvaccel.so.0", link).unwrap();
        path
    });
    &LIBRARY
}

fn handle() -> *mut c_void {
    static HANDLE: LazyLock<usize> = LazyLock::new(|| {
        let path = CString::new(library().to_str().unwrap()).unwrap();
        // SAFETY: a path to our own library.
        let handle = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        assert!(!handle.is_null(), "{}", path.to_string_lossy());
        // SAFETY: an open handle, a C string and the function of that name.
        unsafe {
            let address = libc::dlsym(handle, c"slog_disable".as_ptr());
            assert!(!address.is_null());
            let disable: unsafe extern "C" fn(u32) = std::mem::transmute(address);
            // Hundreds of expected errors; messages are checked instead.
            disable(0xff);
        }
        handle.expose_provenance()
    });
    std::ptr::with_exposed_provenance_mut(*HANDLE)
}

/// The address of an exported function.
pub fn symbol(name: &CStr) -> *mut c_void {
    // SAFETY: an open handle and a C string.
    let address = unsafe { libc::dlsym(handle(), name.as_ptr()) };
    assert!(!address.is_null(), "{name:?} is not exported");
    address
}

macro_rules! api {
    ($(fn $name:ident($($arg:ident: $type:ty),*) $(-> $result:ty)?;)*) => {$(
        pub fn $name($($arg: $type),*) $(-> $result)? {
            type Function = unsafe extern "C" fn($($type),*) $(-> $result)?;
            static ADDRESS: LazyLock<usize> = LazyLock::new(|| {
                let name = CString::new(stringify!($name)).unwrap();
                symbol(&name).expose_provenance()
            });
            let address = std::ptr::with_exposed_provenance::<c_void>(*ADDRESS);
            // SAFETY: the function has this type by the ABI.
            let function: Function = unsafe { std::mem::transmute(address) };
            // SAFETY: tests pass null or what the function asks for.
            unsafe { function($($arg),*) }
        }
    )*};
}

type Session = *mut vaccel_session;
type Resource = *mut vaccel_resource;

api! {
    fn slog_disable(flag: u32);
    fn vaccel_bootstrap() -> c_int;
    fn vaccel_bootstrap_with_config(config: *mut vaccel_config) -> c_int;
    fn vaccel_cleanup() -> c_int;
    fn vaccel_is_initialized() -> bool;
    fn vaccel_rundir() -> *const c_char;
    fn vaccel_error_message() -> *const c_char;
    fn vaccel_config_init(config: *mut vaccel_config, plugins: *const c_char, level: u32, file: *const c_char, profiling: bool, ignore: bool) -> c_int;
    fn vaccel_config_release(config: *mut vaccel_config) -> c_int;
    fn vaccel_plugin_load(lib: *const c_char) -> c_int;
    fn vaccel_plugin_register_ops(ops: *mut vaccel_op, count: usize) -> c_int;
    fn vaccel_describe(json: *mut *mut c_char) -> c_int;
    fn vaccel_session_init(sess: Session, flags: u32) -> c_int;
    fn vaccel_session_release(sess: Session) -> c_int;
    fn vaccel_session_update(sess: Session, flags: u32) -> c_int;
    fn vaccel_session_get_by_id(sess: *mut Session, id: i64) -> c_int;
    fn vaccel_session_has_resource(sess: Session, res: Resource) -> bool;
    fn vaccel_session_resource_by_type(sess: Session, res: *mut Resource, r#type: u32) -> c_int;
    fn vaccel_resource_init(res: Resource, path: *const c_char, r#type: u32) -> c_int;
    fn vaccel_resource_init_from_buf(res: Resource, buf: *const c_void, size: usize, r#type: u32, name: *const c_char, mem_only: bool) -> c_int;
    fn vaccel_resource_release(res: Resource) -> c_int;
    fn vaccel_resource_register(res: Resource, sess: Session) -> c_int;
    fn vaccel_resource_unregister(res: Resource, sess: Session) -> c_int;
    fn vaccel_resource_sync(res: Resource, sess: Session) -> c_int;
    fn vaccel_resource_refcount(res: *const vaccel_resource) -> c_long;
    fn vaccel_resource_get_by_id(res: *mut Resource, id: i64) -> c_int;
    fn vaccel_blob_init(blob: *mut vaccel_blob, path: *const c_char) -> c_int;
    fn vaccel_blob_data(blob: *mut vaccel_blob, size: *mut usize) -> *mut u8;
    fn vaccel_blob_read(blob: *mut vaccel_blob) -> c_int;
    fn vaccel_blob_release(blob: *mut vaccel_blob) -> c_int;
    fn vaccel_noop(sess: Session) -> c_int;
    fn vaccel_exec(sess: Session, library: *const c_char, symbol: *const c_char, read: *mut vaccel_arg, nr_read: usize, write: *mut vaccel_arg, nr_write: usize) -> c_int;
    fn vaccel_exec_with_resource(sess: Session, res: Resource, symbol: *const c_char, read: *mut vaccel_arg, nr_read: usize, write: *mut vaccel_arg, nr_write: usize) -> c_int;
    fn vaccel_image_classification(sess: Session, img: *const c_void, text: *mut c_uchar, name: *mut c_uchar, len_img: usize, len_text: usize, len_name: usize) -> c_int;
    fn vaccel_sgemm(sess: Session, m: i64, n: i64, k: i64, alpha: c_float, a: *mut f32, lda: i64, b: *mut f32, ldb: i64, beta: c_float, c: *mut f32, ldc: i64) -> c_int;
    fn vaccel_minmax(sess: Session, indata: *const c_double, ndata: c_int, low: c_int, high: c_int, out: *mut c_double, min: *mut c_double, max: *mut c_double) -> c_int;
    fn vaccel_genop(sess: Session, read: *mut vaccel_arg, nr_read: c_int, write: *mut vaccel_arg, nr_write: c_int) -> c_int;
    fn vaccel_model_load(sess: Session, res: Resource, options: *const c_char) -> c_int;
    fn vaccel_model_unload(sess: Session, res: Resource) -> c_int;
    fn vaccel_model_run(sess: Session, res: Resource, inputs: *const vaccel_tensor, nr_inputs: usize, outputs: *mut vaccel_tensor, nr_outputs: usize) -> c_int;
    fn vaccel_model_info(sess: Session, res: Resource, info: *mut vaccel_model_info) -> c_int;
    fn vaccel_model_info_release(info: *mut vaccel_model_info) -> c_int;
    fn vaccel_tensor_release(tensor: *mut vaccel_tensor) -> c_int;
    fn vaccel_tf_model_load(sess: Session, res: Resource, status: *mut vaccel_tf_status) -> c_int;
    fn vaccel_tf_model_unload(sess: Session, res: Resource, status: *mut vaccel_tf_status) -> c_int;
    fn vaccel_tf_model_run(sess: Session, res: Resource, options: *const vaccel_tf_buffer, in_nodes: *const vaccel_tf_node, inputs: *const *mut vaccel_tf_tensor, nr_inputs: c_int, out_nodes: *const vaccel_tf_node, outputs: *mut *mut vaccel_tf_tensor, nr_outputs: c_int, status: *mut vaccel_tf_status) -> c_int;
    fn vaccel_tf_status_release(status: *mut vaccel_tf_status) -> c_int;
    fn vaccel_tf_tensor_allocate(tensor: *mut *mut vaccel_tf_tensor, rank: c_int, dims: *const i64, dtype: u32, size: usize) -> c_int;
    fn vaccel_tf_tensor_delete(tensor: *mut vaccel_tf_tensor) -> c_int;
    fn vaccel_tflite_model_run(sess: Session, res: Resource, inputs: *const *mut vaccel_tflite_tensor, nr_inputs: c_int, outputs: *mut *mut vaccel_tflite_tensor, nr_outputs: c_int, status: *mut u8) -> c_int;
    fn vaccel_tflite_model_load(sess: Session, res: Resource) -> c_int;
    fn vaccel_tflite_tensor_allocate(tensor: *mut *mut vaccel_tflite_tensor, rank: c_int, dims: *const i32, dtype: u32, size: usize) -> c_int;
    fn vaccel_tflite_tensor_delete(tensor: *mut vaccel_tflite_tensor) -> c_int;
    fn vaccel_torch_model_load(sess: Session, res: Resource) -> c_int;
    fn vaccel_torch_model_run(sess: Session, res: Resource, options: *const vaccel_torch_buffer, inputs: *const *mut vaccel_torch_tensor, nr_inputs: c_int, outputs: *mut *mut vaccel_torch_tensor, nr_outputs: c_int) -> c_int;
    fn vaccel_torch_tensor_allocate(tensor: *mut *mut vaccel_torch_tensor, rank: i64, dims: *const i64, dtype: u32, size: usize) -> c_int;
    fn vaccel_torch_tensor_delete(tensor: *mut vaccel_torch_tensor) -> c_int;
    fn vaccel_arg_array_init(array: *mut vaccel_arg_array, capacity: usize) -> c_int;
    fn vaccel_arg_array_release(array: *mut vaccel_arg_array) -> c_int;
    fn vaccel_arg_array_add_int64_array(array: *mut vaccel_arg_array, values: *mut i64, count: usize) -> c_int;
    fn vaccel_arg_array_set_int64_array(array: *mut vaccel_arg_array, values: *mut i64, count: usize) -> c_int;
    fn vaccel_arg_array_add_range(array: *mut vaccel_arg_array, from: *const vaccel_arg_array, start: usize, count: usize, copy: bool) -> c_int;
    fn vaccel_prof_region_init(region: *mut vaccel_prof_region, name: *const c_char) -> c_int;
    fn vaccel_prof_region_start(region: *mut vaccel_prof_region) -> c_int;
    fn vaccel_prof_region_stop(region: *const vaccel_prof_region) -> c_int;
    fn vaccel_prof_region_release(region: *mut vaccel_prof_region) -> c_int;
}

/// The text of this thread's last failure.
pub fn message() -> String {
    // SAFETY: a C string until the next failure of this thread.
    unsafe { CStr::from_ptr(vaccel_error_message()) }
        .to_string_lossy()
        .into_owned()
}

/// Checks a code and, when it differs, shows the message.
#[track_caller]
pub fn expect(code: c_int, result: c_int) {
    assert_eq!(
        vaccel_abi::error::name(result),
        vaccel_abi::error::name(code),
        "{}",
        message()
    );
}

/// Compiles C into a shared library or a program that uses this library.
pub fn compile(source: &str, output: &str, options: &[&str]) -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = folder().join(output);
    let library_dir = library().parent().unwrap();
    let status = Command::new("cc")
        .args([
            "-O2",
            "-std=c11",
            "-D_GNU_SOURCE",
            "-Wall",
            "-Wno-unused-function",
            "-Werror",
            "-o",
        ])
        .arg(&path)
        .args(options)
        .arg("-I")
        .arg(manifest.join("../../include"))
        .arg(manifest.join("tests/c").join(source))
        .arg("-L")
        .arg(library_dir)
        .args(["-Wl,--no-as-needed", "-lvaccel", "-ldl", "-lpthread"])
        .arg(format!("-Wl,-rpath,{}", library_dir.display()))
        .status()
        .unwrap();
    assert!(status.success(), "compiling {source}");
    path
}

/// Compiles `tests/c/plugin.c` under a name, with `-D` options, and tells its path.
pub fn plugin(name: &str, defines: &[&str]) -> PathBuf {
    let name_define = format!("-DNAME=\"{name}\"");
    let mut options = vec!["-shared", "-fPIC", name_define.as_str()];
    options.extend(defines);
    compile("plugin.c", &format!("libvaccel-{name}.so"), &options)
}

/// Loads a plugin by path.
#[track_caller]
pub fn load(path: &Path) {
    let path = CString::new(path.to_str().unwrap()).unwrap();
    expect(0, vaccel_plugin_load(path.as_ptr()));
}

/// A counter of a loaded plugin.
#[track_caller]
pub fn counter(plugin: &Path, name: &CStr) -> c_int {
    let path = CString::new(plugin.to_str().unwrap()).unwrap();
    // SAFETY: the plugin is loaded, so nothing runs; the counters are atomic ints.
    unsafe {
        let handle = libc::dlopen(path.as_ptr(), libc::RTLD_NOLOAD | libc::RTLD_LAZY);
        assert!(!handle.is_null());
        let address = libc::dlsym(handle, name.as_ptr()).cast::<c_int>();
        let value = AtomicI32::from_ptr(address).load(Ordering::Relaxed);
        libc::dlclose(handle);
        value
    }
}

/// Tests that start and stop the library have it for themselves.
pub fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts the library anew with these plugins.
#[track_caller]
pub fn start(plugins: &[&Path]) {
    let list: Vec<_> = plugins.iter().map(|p| p.to_str().unwrap()).collect();
    let list = CString::new(list.join(":")).unwrap();
    expect(0, vaccel_cleanup());
    let mut config = std::mem::MaybeUninit::uninit();
    let config = config.as_mut_ptr();
    expect(
        0,
        vaccel_config_init(config, list.as_ptr(), 1, std::ptr::null(), false, false),
    );
    expect(0, vaccel_bootstrap_with_config(config));
    slog_disable(0xff);
    expect(0, vaccel_config_release(config));
}

/// Memory for a structure of C, full of garbage, as a C program's stack is.
pub fn garbage<T>() -> Box<T> {
    let mut place = Box::<T>::new_uninit();
    // SAFETY: bytes for as long as the structure; C structures have no invalid
    // bytes that are read before they are written.
    unsafe {
        std::ptr::write_bytes(place.as_mut_ptr().cast::<u8>(), 0xa5, size_of::<T>());
        place.assume_init()
    }
}

/// An open session.
#[track_caller]
pub fn session(flags: u32) -> Box<vaccel_session> {
    let mut sess = garbage::<vaccel_session>();
    expect(0, vaccel_session_init(&mut *sess, flags));
    sess
}

/// An argument that refers to a value.
pub fn arg<T: ?Sized>(type_: ArgType, value: &mut T) -> vaccel_arg {
    vaccel_arg {
        size: size_of_val(value),
        buf: std::ptr::from_mut(value).cast(),
        type_,
        custom_type_id: 0,
        owned: false,
    }
}

/// An argument that holds a tensor structure.
pub fn tensor_arg(tensor: &mut vaccel_tensor) -> vaccel_arg {
    vaccel_arg {
        custom_type_id: CUSTOM_TENSOR,
        ..arg(ARG_CUSTOM, tensor)
    }
}

/// Calls an operation in generic form.
pub fn genop(sess: Session, code: u32, read: &[vaccel_arg], write: &mut [vaccel_arg]) -> c_int {
    let mut code = u8::try_from(code).unwrap();
    let mut all = vec![arg(ARG_UINT8, &mut code)];
    all.extend_from_slice(read);
    let (nr_read, nr_write) = (all.len(), write.len());
    vaccel_genop(
        sess,
        all.as_mut_ptr(),
        c_int::try_from(nr_read).unwrap(),
        write.as_mut_ptr(),
        c_int::try_from(nr_write).unwrap(),
    )
}
