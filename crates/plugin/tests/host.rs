//! Plugins in the real library, opened as Python opens it: with `RTLD_LOCAL`,
//! so that none of its symbols are in the global scope.
//!
//! One test, for the library starts once in a process.
#![allow(clippy::unwrap_used)]

mod common;

use std::ffi::{CStr, CString, c_char, c_void};
use vaccel_plugin::abi::model::{DTYPE_F32, vaccel_tensor};
use vaccel_plugin::abi::resource::vaccel_resource;
use vaccel_plugin::abi::session::vaccel_session;
use vaccel_plugin::testing::built_example;
use vaccel_plugin::{ResourceType, code};

/// The library: functions by name.
struct Library(*mut c_void);

impl Library {
    fn open() -> Self {
        let path = common::libvaccel().join("libvaccel.so");
        let path = CString::new(path.to_str().unwrap()).unwrap();
        // SAFETY: a C string; the library's constructor runs.
        let handle = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        assert!(!handle.is_null(), "{path:?}");
        Self(handle)
    }

    fn get<F: Copy>(&self, name: &CStr) -> F {
        // SAFETY: an open handle and a C string.
        let f = unsafe { libc::dlsym(self.0, name.as_ptr()) };
        assert!(!f.is_null(), "{name:?}");
        assert_eq!(size_of::<F>(), size_of::<*mut c_void>());
        // SAFETY: `F` is the type of the function; the calls below say so.
        unsafe { std::mem::transmute_copy(&f) }
    }

    fn error(&self) -> String {
        let f: unsafe extern "C" fn() -> *const c_char = self.get(c"vaccel_error_message");
        // SAFETY: takes nothing; the text lives until the next call.
        unsafe { CStr::from_ptr(f()) }
            .to_string_lossy()
            .into_owned()
    }
}

type SessionInit = unsafe extern "C" fn(*mut vaccel_session, u32) -> i32;
type SessionCall = unsafe extern "C" fn(*mut vaccel_session) -> i32;
type FromBuf = unsafe extern "C" fn(
    *mut *mut vaccel_resource,
    *const c_void,
    usize,
    u32,
    *const c_char,
    bool,
) -> i32;
type Both = unsafe extern "C" fn(*mut vaccel_resource, *mut vaccel_session) -> i32;
type Segment =
    unsafe extern "C" fn(*mut vaccel_session, *const c_void, *mut u8, usize, usize) -> i32;
type ModelLoad =
    unsafe extern "C" fn(*mut vaccel_session, *mut vaccel_resource, *const c_char) -> i32;
type ModelRun = unsafe extern "C" fn(
    *mut vaccel_session,
    *mut vaccel_resource,
    *const vaccel_tensor,
    usize,
    *mut vaccel_tensor,
    usize,
) -> i32;
type TensorRelease = unsafe extern "C" fn(*mut vaccel_tensor) -> i32;
type ResourceDelete = unsafe extern "C" fn(*mut vaccel_resource) -> i32;

#[test]
fn a_plugin_finds_its_host_and_its_errors_reach_the_program() {
    let plugin = built_example("misbehaves");
    // SAFETY: no other thread of this test reads the environment yet.
    unsafe {
        std::env::set_var("VACCEL_PLUGINS", &plugin);
        std::env::remove_var("VACCEL_BACKENDS");
    }
    let library = Library::open();
    // SAFETY: nothing global has that name, which is what this test is about.
    let global = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"slog_print".as_ptr()) };
    assert!(global.is_null(), "the library is in the global scope");

    // SAFETY: all zeros are memory that the library fills.
    let mut session: Box<vaccel_session> = Box::new(unsafe { std::mem::zeroed() });
    let s = &raw mut *session;
    // SAFETY: functions of the library with their types, live structures.
    unsafe {
        assert_eq!(
            library.get::<SessionInit>(c"vaccel_session_init")(s, 0),
            0,
            "{}",
            library.error()
        );
        let noop: SessionCall = library.get(c"vaccel_noop");
        // The first sessions of a process have the numbers that make it panic.
        assert_eq!((*s).id, 1);
        assert_eq!(noop(s), code::EFAULT);
        let text = library.error();
        assert!(
            text.contains("misbehaves: the plugin panicked: a static text"),
            "{text}"
        );

        let segment: Segment = library.get(c"vaccel_image_segmentation");
        let mut out = [0_u8; 64];
        let mut names = || {
            let image = c"jpeg".as_ptr().cast();
            assert_eq!(
                segment(s, image, out.as_mut_ptr(), 4, 64),
                0,
                "{}",
                library.error()
            );
            CStr::from_bytes_until_nul(&out)
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned()
        };
        assert_eq!(names(), " false true");
        let mut model: *mut vaccel_resource = std::ptr::null_mut();
        let new: FromBuf = library.get(c"vaccel_resource_from_buf");
        let data = c"12345".as_ptr().cast();
        let code = new(
            &raw mut model,
            data,
            5,
            ResourceType::Model as u32,
            c"m.bin".as_ptr(),
            true,
        );
        assert_eq!(code, 0, "{}", library.error());
        assert_eq!(
            library.get::<Both>(c"vaccel_resource_register")(model, s),
            0
        );
        assert_eq!(names(), "m.bin false true");

        let load: ModelLoad = library.get(c"vaccel_model_load");
        let run: ModelRun = library.get(c"vaccel_model_run");
        let values = [1.0_f32, 2.0];
        let mut input = vaccel_tensor::empty();
        input.dtype = DTYPE_F32;
        input.rank = 1;
        input.dims[0] = 2;
        input.data = values.as_ptr().cast_mut().cast();
        input.size = 8;
        let mut out = vaccel_tensor::empty();
        let mut go = || run(s, model, &raw const input, 1, &raw mut out, 1);
        assert_eq!(go(), code::ENOENT);
        assert!(
            library.error().contains("load the model first"),
            "{}",
            library.error()
        );
        assert_eq!(load(s, model, c"colour=blue".as_ptr()), code::EINVAL);
        assert!(library.error().contains("`colour`"), "{}", library.error());
        assert_eq!(load(s, model, std::ptr::null()), 0);
        assert_eq!(go(), 0, "{}", library.error());
        assert_eq!(out.data.cast::<[f32; 2]>().read(), [2.0, 4.0]);
        library.get::<TensorRelease>(c"vaccel_tensor_release")(&raw mut out);

        assert_eq!(
            library.get::<Both>(c"vaccel_resource_unregister")(model, s),
            0
        );
        assert_eq!(
            library.get::<Both>(c"vaccel_resource_register")(model, s),
            0
        );
        let mut out = vaccel_tensor::empty();
        let code = run(s, model, &raw const input, 1, &raw mut out, 1);
        assert_eq!(code, code::ENOENT, "the model went with its registration");
        assert_eq!(library.get::<SessionCall>(c"vaccel_session_release")(s), 0);
        assert_eq!(
            library.get::<ResourceDelete>(c"vaccel_resource_delete")(model),
            0
        );
    }
}
