//! Faults of the C implementation that must not come back.
#![allow(clippy::unwrap_used)]

mod common;

use common::*;
use std::ffi::{CStr, CString, c_void};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use vaccel_abi::arg::vaccel_arg_array;
use vaccel_abi::blob::vaccel_blob;
use vaccel_abi::error::{EINVAL, ENODEV, ENOENT, ENOMEM, ENOTSUP, EPERM, EREMOTEIO, ESESS, OK};
use vaccel_abi::list::vaccel_list_entry;
use vaccel_abi::plugin::PLUGIN_REMOTE;
use vaccel_abi::prof::vaccel_prof_region;
use vaccel_abi::resource::{
    PATH_REMOTE_FILE, RESOURCE_DATA, RESOURCE_LIB, RESOURCE_MODEL, vaccel_resource,
};
use vaccel_abi::session::vaccel_session;

static LOCAL: LazyLock<PathBuf> = LazyLock::new(|| plugin("local", &[]));
static TRANSPORT: LazyLock<PathBuf> = LazyLock::new(|| {
    plugin(
        "transport",
        &["-DTRANSPORT", "-DTYPE=VACCEL_PLUGIN_GENERIC"],
    )
});
static FORGETFUL: LazyLock<PathBuf> = LazyLock::new(|| {
    let options = [
        "-DTRANSPORT",
        "-DNO_REMOTE_ID",
        "-DTYPE=VACCEL_PLUGIN_GENERIC",
    ];
    plugin("forgetful", &options)
});

fn is_empty(head: &vaccel_list_entry) -> bool {
    std::ptr::eq(head.next, head) && std::ptr::eq(head.prev, head)
}

static DATA: [u8; 16] = *b"sixteen bytes ..";

#[track_caller]
fn from_memory(type_: u32, name: Option<&CStr>) -> Box<vaccel_resource> {
    let mut res = garbage::<vaccel_resource>();
    let name = name.map_or(std::ptr::null(), CStr::as_ptr);
    let data = DATA.as_ptr().cast();
    expect(
        OK,
        vaccel_resource_init_from_buf(&mut *res, data, 16, type_, name, true),
    );
    res
}

#[track_caller]
fn from_path(path: &Path, type_: u32) -> Box<vaccel_resource> {
    let mut res = garbage::<vaccel_resource>();
    let path = CString::new(path.to_str().unwrap()).unwrap();
    expect(OK, vaccel_resource_init(&mut *res, path.as_ptr(), type_));
    res
}

#[test]
fn classification_without_a_text_passes_all_seven_arguments() {
    let _alone = alone();
    start(&[&LOCAL]);
    let mut sess = session(0);
    let mut name = [0u8; 40];
    let image = DATA.as_ptr().cast();
    let null = std::ptr::null_mut();
    let p = name.as_mut_ptr();
    expect(
        OK,
        vaccel_image_classification(&mut *sess, image, null, p, 16, 7, 40),
    );
    assert!(name.starts_with(b"image 16 0 40\0"), "{name:?}");
    expect(OK, vaccel_session_release(&mut *sess));
}

#[test]
fn the_name_of_a_resource_stays_inside_its_folder() {
    let _alone = alone();
    start(&[&LOCAL]);
    let mut res = garbage::<vaccel_resource>();
    let data: *const c_void = DATA.as_ptr().cast();
    let long = CString::new(vec![b'a'; 256]).unwrap();
    for name in [c"../../x", c"/x", c"a/b", c"..", c".", c"", long.as_c_str()] {
        for mem_only in [true, false] {
            let p = &mut *res;
            let result =
                vaccel_resource_init_from_buf(p, data, 16, RESOURCE_DATA, name.as_ptr(), mem_only);
            assert_ne!(result, OK, "{name:?}");
            assert_eq!(res.id, 0);
        }
    }
    let name = c"fine name";
    expect(
        OK,
        vaccel_resource_init_from_buf(&mut *res, data, 16, RESOURCE_DATA, name.as_ptr(), false),
    );
    // SAFETY: a resource made from memory has one blob, here with a path.
    let path = unsafe { CStr::from_ptr((**res.blobs).path) }
        .to_str()
        .unwrap()
        .to_owned();
    assert!(
        path.ends_with(&format!("/resource.{}/fine name", res.id)),
        "{path}"
    );
    assert_eq!(std::fs::read(&path).unwrap(), DATA);
    expect(OK, vaccel_resource_release(&mut *res));
    assert!(!Path::new(&path).parent().unwrap().exists());
}

#[test]
fn exec_without_a_library_finds_nothing_in_the_process() {
    let _alone = alone();
    start(&[&LOCAL]);
    let mut sess = session(0);
    let null = std::ptr::null_mut();
    for (library, symbol) in [(c"", c"getpid"), (c"/x", c"")] {
        let (library, symbol) = (library.as_ptr(), symbol.as_ptr());
        expect(
            EINVAL,
            vaccel_exec(&mut *sess, library, symbol, null, 0, null, 0),
        );
        expect(
            EINVAL,
            vaccel_exec(&mut *sess, null.cast(), symbol, null, 0, null, 0),
        );
        expect(
            EINVAL,
            vaccel_exec(&mut *sess, c"/x".as_ptr(), symbol, null, 3, null, 0),
        );
    }
    expect(OK, vaccel_session_release(&mut *sess));
}

#[test]
fn a_library_in_memory_is_called_and_replaced_by_another_of_the_same_name() {
    let _alone = alone();
    start(&[&LOCAL]);
    let mut sess = session(0);
    let build = |name: &str, result: &str| {
        let source = folder().join(format!("{name}.c"));
        std::fs::write(
            &source,
            format!("int f(void *r, long n, void *w, long m) {{ return {result}; }}"),
        )
        .unwrap();
        let output = folder().join(format!("{name}.so"));
        let status = std::process::Command::new("cc")
            .args(["-shared", "-fPIC", "-w", "-o"])
            .args([&output, &source])
            .status()
            .unwrap();
        assert!(status.success());
        std::fs::read(output).unwrap()
    };
    // 95 is ENOTSUP, 5 is EIO: the results of the two functions.
    for (bytes, result) in [(build("first", "95"), 95), (build("second", "5"), 5)] {
        let mut res = garbage::<vaccel_resource>();
        let (data, name) = (bytes.as_ptr().cast(), c"lib.so".as_ptr());
        expect(
            OK,
            vaccel_resource_init_from_buf(&mut *res, data, bytes.len(), RESOURCE_LIB, name, true),
        );
        expect(OK, vaccel_resource_register(&mut *res, &mut *sess));
        let null = std::ptr::null_mut();
        for _ in 0..2 {
            let returned =
                vaccel_exec_with_resource(&mut *sess, &mut *res, c"f".as_ptr(), null, 0, null, 0);
            assert_eq!(returned, result, "{}", message());
        }
        expect(OK, vaccel_resource_release(&mut *res));
    }
    let mut data = from_memory(RESOURCE_DATA, None);
    expect(OK, vaccel_resource_register(&mut *data, &mut *sess));
    let (f, null) = (c"f".as_ptr(), std::ptr::null_mut());
    expect(
        EINVAL,
        vaccel_exec_with_resource(&mut *sess, &mut *data, f, null, 0, null, 0),
    );
    expect(OK, vaccel_resource_release(&mut *data));
    expect(OK, vaccel_session_release(&mut *sess));
}

#[test]
fn a_file_too_large_to_map_is_an_error() {
    // SAFETY: a name and flags; the descriptor is ours.
    let file = unsafe {
        let fd = libc::memfd_create(c"large".as_ptr(), libc::MFD_CLOEXEC);
        <std::fs::File as std::os::fd::FromRawFd>::from_raw_fd(fd)
    };
    file.set_len(1 << 56).unwrap();
    let path = CString::new(format!("/proc/self/fd/{}", file.as_raw_fd())).unwrap();
    let mut blob = garbage::<vaccel_blob>();
    expect(OK, vaccel_blob_init(&mut *blob, path.as_ptr()));
    expect(ENOMEM, vaccel_blob_read(&mut *blob));
    let mut size = 7;
    assert!(vaccel_blob_data(&mut *blob, &mut size).is_null());
    assert_eq!((size, blob.data), (0, std::ptr::null_mut()));
    expect(OK, vaccel_blob_release(&mut *blob));
}

#[test]
fn reading_a_blob_again_does_not_map_it_again() {
    let path = folder().join("mapped-once");
    std::fs::write(&path, "some bytes").unwrap();
    let c_path = CString::new(path.to_str().unwrap()).unwrap();
    let mappings = || {
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        maps.lines().filter(|l| l.ends_with("/mapped-once")).count()
    };
    let mut blob = garbage::<vaccel_blob>();
    expect(OK, vaccel_blob_init(&mut *blob, c_path.as_ptr()));
    let mut size = 0;
    let first = vaccel_blob_data(&mut *blob, &mut size);
    assert_eq!(size, 10);
    for _ in 0..100 {
        expect(OK, vaccel_blob_read(&mut *blob));
        assert_eq!(vaccel_blob_data(&mut *blob, &mut size), first);
    }
    assert_eq!(mappings(), 1);
    expect(OK, vaccel_blob_release(&mut *blob));
    assert_eq!(mappings(), 0);
    // Twice is harmless.
    expect(OK, vaccel_blob_release(&mut *blob));
}

#[test]
fn an_empty_folder_is_no_model() {
    let _alone = alone();
    start(&[&LOCAL]);
    let mut sess = session(0);
    let empty = folder().join("empty");
    std::fs::create_dir_all(&empty).unwrap();
    let mut res = from_path(&empty, RESOURCE_MODEL);
    expect(EINVAL, vaccel_resource_register(&mut *res, &mut *sess));
    assert_eq!(vaccel_resource_refcount(&raw const *res), 0);
    // It can be filled and tried again; folders are flattened in order.
    std::fs::create_dir_all(empty.join("b")).unwrap();
    std::fs::write(empty.join("b/2"), "x").unwrap();
    std::fs::write(empty.join("a"), "x").unwrap();
    std::os::unix::fs::symlink("..", empty.join("b/up")).unwrap();
    expect(OK, vaccel_resource_register(&mut *res, &mut *sess));
    assert_eq!(res.nr_blobs, 2);
    // SAFETY: two blobs with names.
    let names = unsafe { [0, 1].map(|i| CStr::from_ptr((**res.blobs.add(i)).name)) };
    assert_eq!(names, [c"a", c"2"]);
    expect(OK, vaccel_resource_release(&mut *res));
    expect(OK, vaccel_session_release(&mut *sess));
    std::fs::remove_dir_all(empty).unwrap();
}

#[test]
fn sync_needs_a_registered_buffer() {
    let _alone = alone();
    start(&[&TRANSPORT]);
    let mut sess = session(PLUGIN_REMOTE);
    let mut url = garbage::<vaccel_resource>();
    let path = c"http://example.com/model".as_ptr();
    expect(OK, vaccel_resource_init(&mut *url, path, RESOURCE_MODEL));
    assert_eq!(url.path_type, PATH_REMOTE_FILE);
    expect(EPERM, vaccel_resource_sync(&mut *url, &mut *sess));
    expect(OK, vaccel_resource_register(&mut *url, &mut *sess));
    assert_eq!(url.nr_blobs, 0);
    // No blobs at all.
    expect(EINVAL, vaccel_resource_sync(&mut *url, &mut *sess));
    // This transport cannot.
    let mut buffer = from_memory(RESOURCE_DATA, None);
    expect(OK, vaccel_resource_register(&mut *buffer, &mut *sess));
    expect(ENOTSUP, vaccel_resource_sync(&mut *buffer, &mut *sess));
    expect(OK, vaccel_resource_release(&mut *buffer));
    expect(OK, vaccel_resource_release(&mut *url));
    expect(OK, vaccel_session_release(&mut *sess));
}

#[test]
fn a_plugin_with_an_operation_past_the_table_is_refused() {
    let _alone = alone();
    start(&[&LOCAL]);
    let bad = plugin("bad-op", &["-DBAD_OP"]);
    let path = CString::new(bad.to_str().unwrap()).unwrap();
    expect(EINVAL, vaccel_plugin_load(path.as_ptr()));
    assert!(message().contains("bad-op"), "{}", message());
    // The others live on, and it can be tried again.
    let mut sess = session(0);
    expect(OK, vaccel_noop(&mut *sess));
    expect(EINVAL, vaccel_plugin_load(path.as_ptr()));
    expect(OK, vaccel_session_release(&mut *sess));
}

#[test]
fn a_session_outlives_its_plugin() {
    let _alone = alone();
    start(&[&LOCAL]);
    let mut sess = session(0);
    let mut res = from_memory(RESOURCE_DATA, None);
    expect(OK, vaccel_resource_register(&mut *res, &mut *sess));
    expect(OK, vaccel_cleanup());
    assert_eq!(counter(&LOCAL, c"finis"), 1);
    expect(ENODEV, vaccel_noop(&mut *sess));
    assert!(message().contains("unloaded"), "{}", message());
    let mut number = 1f64;
    let p = &raw mut number;
    expect(ENODEV, vaccel_minmax(&mut *sess, p, 1, 0, 1, p, p, p));
    let mut other = garbage::<vaccel_session>();
    expect(ESESS, vaccel_session_init(&mut *other, 0));
    // Everything can still be given back.
    expect(OK, vaccel_resource_unregister(&mut *res, &mut *sess));
    expect(OK, vaccel_resource_release(&mut *res));
    expect(OK, vaccel_session_release(&mut *sess));
    start(&[&LOCAL]);
    let mut sess = session(0);
    expect(OK, vaccel_noop(&mut *sess));
    expect(OK, vaccel_session_release(&mut *sess));
}

#[test]
fn sizes_that_overflow_are_refused_by_argument_arrays() {
    let mut array = garbage::<vaccel_arg_array>();
    let array = &raw mut *array;
    expect(OK, vaccel_arg_array_init(array, 0));
    let mut values = [1i64, 2];
    let p = values.as_mut_ptr();
    for count in [
        usize::MAX,
        usize::MAX / 8 + 1,
        1 << (usize::BITS - 3),
        1 << (usize::BITS - 4),
    ] {
        expect(EINVAL, vaccel_arg_array_add_int64_array(array, p, count));
    }
    expect(OK, vaccel_arg_array_add_int64_array(array, p, 2));
    for count in [3, usize::MAX, usize::MAX / 8 + 2] {
        expect(EINVAL, vaccel_arg_array_set_int64_array(array, p, count));
    }
    let mut other = garbage::<vaccel_arg_array>();
    let other = &raw mut *other;
    expect(OK, vaccel_arg_array_init(other, 1));
    for (start, count) in [(1, usize::MAX), (usize::MAX, 1), (usize::MAX, usize::MAX)] {
        expect(
            EINVAL,
            vaccel_arg_array_add_range(other, array, start, count, true),
        );
    }
    expect(
        vaccel_abi::error::ERANGE,
        vaccel_arg_array_add_range(other, array, 0, 2, true),
    );
    expect(OK, vaccel_arg_array_add_range(other, array, 0, 1, true));
    expect(OK, vaccel_arg_array_release(other));
    expect(OK, vaccel_arg_array_release(array));
}

#[test]
fn a_transport_that_gives_no_number_has_not_registered_anything() {
    let _alone = alone();
    start(&[&FORGETFUL]);
    let mut sess = session(PLUGIN_REMOTE);
    assert_eq!(sess.remote_id, 1000 + sess.id);
    let mut res = from_memory(RESOURCE_DATA, None);
    expect(EREMOTEIO, vaccel_resource_register(&mut *res, &mut *sess));
    assert!(!vaccel_session_has_resource(&mut *sess, &mut *res));
    assert_eq!(vaccel_resource_refcount(&raw const *res), 0);
    assert!(is_empty(&res.sessions) && is_empty(&sess.resources[1]));
    expect(OK, vaccel_resource_release(&mut *res));
    expect(OK, vaccel_session_release(&mut *sess));
    assert_eq!(counter(&FORGETFUL, c"session_releases"), 1);
}

#[test]
fn registering_twice_reaches_the_plugin_once_and_the_lists_stay_truthful() {
    let _alone = alone();
    start(&[&LOCAL]);
    let mut sess = session(0);
    let mut res = from_memory(RESOURCE_MODEL, None);
    assert!(!is_empty(&res.entry) && is_empty(&res.sessions));
    assert!(sess.resources.iter().all(is_empty));
    let before = counter(&LOCAL, c"registrations");
    for _ in 0..3 {
        expect(OK, vaccel_resource_register(&mut *res, &mut *sess));
    }
    assert_eq!(counter(&LOCAL, c"registrations"), before + 1);
    assert_eq!((res.refcount, sess.resource_counts), (1, [0, 0, 1]));
    assert!(!is_empty(&res.sessions) && !is_empty(&sess.resources[2]));
    assert!(is_empty(&sess.resources[0]) && is_empty(&sess.resources[1]));
    // A program that walks the list finds its end.
    let head = &raw mut sess.resources[2];
    // SAFETY: the list has one link, which points back.
    unsafe { assert!(std::ptr::eq((*(*head).next).next, head)) };

    let before = counter(&LOCAL, c"unregistrations");
    expect(OK, vaccel_resource_unregister(&mut *res, &mut *sess));
    expect(EINVAL, vaccel_resource_unregister(&mut *res, &mut *sess));
    assert_eq!(counter(&LOCAL, c"unregistrations"), before + 1);
    assert_eq!((res.refcount, sess.resource_counts), (0, [0; 3]));
    assert!(is_empty(&res.sessions) && is_empty(&sess.resources[2]));
    expect(OK, vaccel_resource_release(&mut *res));
    assert!(is_empty(&res.entry) && res.id == 0);
    expect(EINVAL, vaccel_resource_release(&mut *res));
    expect(OK, vaccel_session_release(&mut *sess));
    expect(EINVAL, vaccel_session_release(&mut *sess));
}

#[test]
fn files_left_in_a_session_folder_do_not_block_its_number() {
    let _alone = alone();
    start(&[&LOCAL]);
    let mut sess = session(0);
    let id = sess.id;
    // SAFETY: the folder of an open session is a C string.
    let path = unsafe { CStr::from_ptr(sess.rundir.as_ptr()) }
        .to_str()
        .unwrap()
        .to_owned();
    let path = Path::new(&path);
    let outside = folder().join("outside");
    std::fs::create_dir_all(&outside).unwrap();
    std::fs::write(outside.join("keep"), "x").unwrap();
    std::fs::create_dir(path.join("nested")).unwrap();
    std::fs::write(path.join("nested/left"), "x").unwrap();
    std::os::unix::fs::symlink(&outside, path.join("link")).unwrap();
    expect(OK, vaccel_session_release(&mut *sess));
    assert!(!path.exists());
    assert!(outside.join("keep").exists());
    // Something else in the way.
    std::fs::create_dir(path).unwrap();
    std::fs::write(path.join("left"), "x").unwrap();
    let mut sess = session(0);
    assert_eq!(sess.id, id);
    assert_eq!(std::fs::read_dir(path).unwrap().count(), 0);
    expect(OK, vaccel_session_release(&mut *sess));
}

#[test]
fn a_new_configuration_is_applied_while_sessions_are_open() {
    let _alone = alone();
    start(&[&LOCAL]);
    let mut sess = session(0);
    let prefix = folder().join("reconfigured");
    let prefix = CString::new(prefix.to_str().unwrap()).unwrap();
    let second = CString::new(TRANSPORT.to_str().unwrap()).unwrap();
    let mut config = garbage();
    let config = &raw mut *config;
    expect(
        OK,
        vaccel_config_init(config, second.as_ptr(), 4, prefix.as_ptr(), false, false),
    );
    expect(OK, vaccel_bootstrap_with_config(config));
    expect(OK, vaccel_config_release(config));
    expect(OK, vaccel_noop(&mut *sess));
    // The new plugin is there too.
    let mut remote = session(PLUGIN_REMOTE);
    assert!(remote.is_virtio);
    slog_disable(0xff);
    expect(OK, vaccel_session_release(&mut *remote));
    expect(OK, vaccel_session_release(&mut *sess));
    let log = std::fs::read_dir(folder())
        .unwrap()
        .map(|e| e.unwrap().path())
        .find(|p| p.to_str().unwrap().contains("/reconfigured-2"))
        .unwrap();
    let text = std::fs::read_to_string(log).unwrap();
    assert!(text.contains("<debug> session 1: noop"), "{text}");
}

#[test]
fn profiling_works_from_many_threads() {
    let _alone = alone();
    start(&[&LOCAL]);
    let mut config = garbage();
    let config = &raw mut *config;
    let null = std::ptr::null();
    expect(OK, vaccel_config_init(config, null, 1, null, true, false));
    let mut sess = session(0);
    expect(OK, vaccel_bootstrap_with_config(config));
    expect(OK, vaccel_config_release(config));
    slog_disable(0xff);
    let mut region = garbage::<vaccel_prof_region>();
    expect(
        OK,
        vaccel_prof_region_init(&mut *region, c"shared".as_ptr()),
    );
    let region_address = (&raw mut *region).expose_provenance();
    let session_address = (&raw mut *sess).expose_provenance();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let region = std::ptr::with_exposed_provenance_mut(region_address);
                let sess = std::ptr::with_exposed_provenance_mut(session_address);
                for _ in 0..1000 {
                    expect(OK, vaccel_prof_region_start(region));
                    expect(OK, vaccel_noop(sess));
                    expect(OK, vaccel_prof_region_stop(region));
                }
            });
        }
    });
    assert_eq!(region.nr_entries, 8000);
    expect(EINVAL, vaccel_prof_region_stop(&*region));
    expect(OK, vaccel_prof_region_release(&mut *region));
    expect(OK, vaccel_session_release(&mut *sess));
}

#[test]
fn downloads_are_refused_with_a_reason() {
    let _alone = alone();
    start(&[&LOCAL]);
    let mut sess = session(0);
    let mut res = garbage::<vaccel_resource>();
    for bad in [c"http://", c"http://a b", c"gopher://x/y"] {
        expect(
            EINVAL,
            vaccel_resource_init(&mut *res, bad.as_ptr(), RESOURCE_MODEL),
        );
    }
    expect(
        ENOENT,
        vaccel_resource_init(&mut *res, c"/no/such/file".as_ptr(), RESOURCE_MODEL),
    );
    let url = c"https://example.com/model.onnx";
    expect(
        OK,
        vaccel_resource_init(&mut *res, url.as_ptr(), RESOURCE_MODEL),
    );
    expect(ENOTSUP, vaccel_resource_register(&mut *res, &mut *sess));
    assert!(
        message().contains("https://example.com/model.onnx"),
        "{}",
        message()
    );
    expect(OK, vaccel_resource_release(&mut *res));
    expect(OK, vaccel_session_release(&mut *sess));
}

#[test]
fn structures_that_a_program_forgets_are_never_looked_at_again() {
    let _alone = alone();
    start(&[&LOCAL]);
    // Forgotten without release, and their memory is overwritten.
    let mut sess = session(0);
    let mut res = from_memory(RESOURCE_DATA, None);
    expect(OK, vaccel_resource_register(&mut *res, &mut *sess));
    let (lost_session, lost_resource) = (sess.id, res.id);
    *sess = *garbage();
    *res = *garbage();
    drop((sess, res));
    expect(OK, vaccel_cleanup());
    start(&[&LOCAL]);
    let mut sess = session(0);
    let mut res = from_memory(RESOURCE_DATA, None);
    assert!(sess.id != lost_session && res.id != lost_resource);
    expect(OK, vaccel_resource_register(&mut *res, &mut *sess));
    expect(OK, vaccel_resource_release(&mut *res));
    expect(OK, vaccel_session_release(&mut *sess));
    // Garbage is told from a session.
    let mut never = garbage::<vaccel_session>();
    expect(EINVAL, vaccel_session_release(&mut *never));
    never.id = 1 << 40;
    expect(EINVAL, vaccel_session_release(&mut *never));
}
