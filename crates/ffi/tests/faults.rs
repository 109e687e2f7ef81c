//! Faults of the C implementation that must not come back.
#![allow(clippy::unwrap_used)]

mod common;

use common::resource::*;
use common::*;
use std::ffi::{CStr, CString};
use std::path::Path;
use vaccel_abi::arg::vaccel_arg_array;
use vaccel_abi::error::{EINVAL, ENODEV, ESESS, OK};
use vaccel_abi::plugin::PLUGIN_REMOTE;
use vaccel_abi::prof::vaccel_prof_region;
use vaccel_abi::resource::RESOURCE_DATA;
use vaccel_abi::session::vaccel_session;

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
    let finis = counter(&LOCAL, c"finis");
    let (releases, unregistrations) = (
        counter(&LOCAL, c"session_releases"),
        counter(&LOCAL, c"unregistrations"),
    );
    expect(OK, vaccel_cleanup());
    // What the plugin keeps of the session is still there, but for releasing it only.
    assert_eq!(counter(&LOCAL, c"finis"), finis);
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
    assert_eq!(counter(&LOCAL, c"unregistrations"), unregistrations + 1);
    expect(OK, vaccel_session_release(&mut *sess));
    assert_eq!(counter(&LOCAL, c"session_releases"), releases + 1);
    assert_eq!(counter(&LOCAL, c"finis"), finis + 1);
    start(&[&LOCAL]);
    let mut sess = session(0);
    expect(OK, vaccel_noop(&mut *sess));
    expect(OK, vaccel_session_release(&mut *sess));
}

#[test]
fn a_plugin_ends_before_it_begins_again_although_a_session_is_open() {
    let _alone = alone();
    start(&[&LOCAL]);
    let mut old = session(0);
    let finis = counter(&LOCAL, c"finis");
    let releases = counter(&LOCAL, c"session_releases");
    expect(OK, vaccel_cleanup());
    assert_eq!(counter(&LOCAL, c"finis"), finis);
    start(&[&LOCAL]);
    assert_eq!(counter(&LOCAL, c"finis"), finis + 1);
    let mut new = session(0);
    // The plugin knows nothing of the old session any more, and is not asked.
    expect(OK, vaccel_session_release(&mut *old));
    assert_eq!(counter(&LOCAL, c"session_releases"), releases);
    assert_eq!(counter(&LOCAL, c"finis"), finis + 1);
    expect(OK, vaccel_noop(&mut *new));
    expect(OK, vaccel_session_release(&mut *new));
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
    let id = sess.id;
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
    let noop = format!("<debug> session {id}: noop");
    assert!(text.contains(&noop), "{text}");
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
