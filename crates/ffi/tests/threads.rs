//! Many threads at once, and more objects than the C implementation could hold.
#![allow(clippy::unwrap_used)]

mod common;

use common::resource::from_memory;
use common::*;
use std::ffi::CString;
use std::sync::Barrier;
use vaccel_abi::error::OK;
use vaccel_abi::resource::{RESOURCE_DATA, RESOURCE_MODEL, vaccel_resource};
use vaccel_abi::session::vaccel_session;

/// The whole number in an optimised build, fewer where each step is slow.
const CYCLES: usize = if cfg!(debug_assertions) { 1000 } else { 10_000 };

#[test]
fn eight_threads_open_and_close_sessions_with_resources() {
    let _alone = alone();
    start(&[&plugin("cycles", &[])]);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..CYCLES {
                    let mut sess = session(0);
                    let mut res = from_memory(RESOURCE_DATA, None);
                    expect(OK, vaccel_resource_register(&mut *res, &mut *sess));
                    expect(OK, vaccel_noop(&mut *sess));
                    let mut found = std::ptr::null_mut();
                    expect(OK, vaccel_session_get_by_id(&mut found, sess.id));
                    assert!(std::ptr::eq(found, &*sess));
                    let mut found = std::ptr::null_mut();
                    expect(OK, vaccel_resource_get_by_id(&mut found, res.id));
                    assert!(std::ptr::eq(found, &*res));
                    assert!(vaccel_session_has_resource(&mut *sess, &mut *res));
                    expect(OK, vaccel_session_release(&mut *sess));
                    assert_eq!(vaccel_resource_refcount(&raw const *res), 0);
                    expect(OK, vaccel_resource_release(&mut *res));
                }
            });
        }
    });
    // Everything was given back: numbers start small again.
    let mut sess = session(0);
    assert!(sess.id <= 8, "{}", sess.id);
    expect(OK, vaccel_session_release(&mut *sess));
}

#[test]
fn one_file_is_registered_first_by_four_threads_at_once() {
    let _alone = alone();
    start(&[&plugin("first", &[])]);
    let path = folder().join("first");
    std::fs::write(&path, "content").unwrap();
    let path = CString::new(path.to_str().unwrap()).unwrap();
    for round in 0..200 {
        let mut res = garbage::<vaccel_resource>();
        expect(
            OK,
            vaccel_resource_init(&mut *res, path.as_ptr(), RESOURCE_MODEL),
        );
        let mut shared = session(0);
        let res_address = (&raw mut *res).expose_provenance();
        let shared_address = (&raw mut *shared).expose_provenance();
        let barrier = Barrier::new(4);
        std::thread::scope(|scope| {
            for i in 0..4 {
                let barrier = &barrier;
                scope.spawn(move || {
                    let res = std::ptr::with_exposed_provenance_mut(res_address);
                    // Half of the rounds with one session, half with one each.
                    let mut own = (round % 2 == 0).then(|| session(0));
                    let sess: *mut vaccel_session = match &mut own {
                        Some(own) => &raw mut **own,
                        None => std::ptr::with_exposed_provenance_mut(shared_address),
                    };
                    barrier.wait();
                    let result = vaccel_resource_register(res, sess);
                    assert_eq!(result, OK, "thread {i}: {}", message());
                    barrier.wait();
                    if let Some(mut own) = own {
                        expect(OK, vaccel_session_release(&mut *own));
                    }
                });
            }
        });
        assert_eq!(res.nr_blobs, 1);
        assert_eq!(
            vaccel_resource_refcount(&raw const *res),
            (round % 2).into()
        );
        expect(OK, vaccel_resource_release(&mut *res));
        expect(OK, vaccel_session_release(&mut *shared));
    }
}

#[test]
fn thousands_of_sessions_and_resources_are_alive_at_once() {
    let _alone = alone();
    start(&[&plugin("crowd", &["-DBARE"])]);
    let mut sessions: Vec<_> = (0..3000).map(|_| session(0)).collect();
    let mut resources: Vec<_> = (0..5000)
        .map(|_| from_memory(RESOURCE_DATA, None))
        .collect();
    // One resource in all sessions, all resources in one session.
    for sess in &mut sessions {
        expect(
            OK,
            vaccel_resource_register(&mut *resources[0], &mut **sess),
        );
    }
    for res in &mut resources {
        expect(OK, vaccel_resource_register(&mut **res, &mut *sessions[0]));
    }
    assert_eq!(vaccel_resource_refcount(&raw const *resources[0]), 3000);
    assert_eq!(sessions[0].resource_counts, [0, 5000, 0]);
    for res in resources.iter_mut().rev().step_by(2) {
        expect(
            OK,
            vaccel_resource_unregister(&mut **res, &mut *sessions[0]),
        );
    }
    assert_eq!(sessions[0].resource_counts, [0, 2500, 0]);
    let mut first = std::ptr::null_mut();
    expect(
        OK,
        vaccel_session_resource_by_type(&mut *sessions[0], &mut first, RESOURCE_DATA),
    );
    assert!(std::ptr::eq(first, &*resources[0]));
    for res in &mut resources {
        expect(OK, vaccel_resource_release(&mut **res));
    }
    assert!(sessions.iter().all(|s| s.resource_counts == [0; 3]));
    for sess in &mut sessions {
        expect(OK, vaccel_session_release(&mut **sess));
    }
}
