//! Resources and blobs: faults of the C implementation that must not come back,
//! and downloads.
#![allow(clippy::unwrap_used)]

mod common;

use common::resource::*;
use common::*;
use std::ffi::{CStr, CString, c_void};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use vaccel_abi::blob::vaccel_blob;
use vaccel_abi::error::{EINVAL, ENOENT, ENOMEM, ENOTSUP, EPERM, ERANGE, EREMOTEIO, OK};
use vaccel_abi::list::vaccel_list_entry;
use vaccel_abi::plugin::PLUGIN_REMOTE;
use vaccel_abi::resource::{
    PATH_REMOTE_FILE, RESOURCE_DATA, RESOURCE_LIB, RESOURCE_MODEL, vaccel_resource,
};

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

/// Answers one request after the other with these bytes; the URL.
fn serve(answer: &'static str) -> CString {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 4096];
            let _ = stream.read(&mut request);
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    CString::new(format!("http://{address}/folder/model.bin")).unwrap()
}

#[test]
fn a_local_session_downloads_what_a_url_names() {
    let _alone = alone();
    start(&[&LOCAL]);
    let mut sess = session(0);
    let mut res = garbage::<vaccel_resource>();
    let url = serve("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nbytes");
    expect(
        OK,
        vaccel_resource_init(&mut *res, url.as_ptr(), RESOURCE_MODEL),
    );
    assert_eq!((res.path_type, res.nr_blobs), (PATH_REMOTE_FILE, 0));
    expect(OK, vaccel_resource_register(&mut *res, &mut *sess));
    assert_eq!(res.nr_blobs, 1);
    // SAFETY: one blob with a name and a path.
    let (blob, name, path) = unsafe {
        let blob = *res.blobs;
        (
            blob,
            CStr::from_ptr((*blob).name),
            CStr::from_ptr((*blob).path),
        )
    };
    assert_eq!(name, c"model.bin");
    let path = Path::new(path.to_str().unwrap()).to_owned();
    let mut size = 0;
    assert!(!vaccel_blob_data(blob, &mut size).is_null());
    assert_eq!(size, 5);
    assert_eq!(std::fs::read(&path).unwrap(), b"bytes");
    expect(OK, vaccel_resource_release(&mut *res));
    assert!(!path.exists());
    expect(OK, vaccel_session_release(&mut *sess));
}

#[test]
fn downloads_that_fail_say_why() {
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
    let closed = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        CString::new(format!("http://{address}/x")).unwrap()
    };
    let cases = [
        (closed, EREMOTEIO),
        (c"ftp://127.0.0.1/x".to_owned(), ENOTSUP),
        (
            serve("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"),
            ENOENT,
        ),
        (
            serve("HTTP/1.1 200 OK\r\nContent-Length: 99999999999999\r\n\r\n"),
            ERANGE,
        ),
        (
            serve("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort"),
            EREMOTEIO,
        ),
        (serve("nonsense\r\n\r\n"), EREMOTEIO),
    ];
    for (url, code) in cases {
        expect(
            OK,
            vaccel_resource_init(&mut *res, url.as_ptr(), RESOURCE_MODEL),
        );
        expect(code, vaccel_resource_register(&mut *res, &mut *sess));
        assert!(message().contains(url.to_str().unwrap()), "{}", message());
        assert_eq!(vaccel_resource_refcount(&raw const *res), 0);
        expect(OK, vaccel_resource_release(&mut *res));
    }
    expect(OK, vaccel_session_release(&mut *sess));
}
