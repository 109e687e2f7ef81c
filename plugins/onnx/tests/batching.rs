//! What only this backend's small models can show of requests that run together: a value, not a
//! shape, that makes a run fail; models of which the rows are not rows.
#![allow(clippy::unwrap_used)]

mod support;

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

use support::{Sent, Session, Tensor, data, trained};
use vaccel_plugin::code::ERANGE;

const OPTIONS: &str = "max_batch=64,batch_window_us=1000000,threads=1";
const PATIENCE: Duration = Duration::from_secs(120);

fn with(name: &str) -> Session {
    let mut session = Session::new();
    session.add_files(&[&data(name)]);
    session.load(0, OPTIONS).unwrap();
    session
}

fn count(session: &Session, what: &str) -> u64 {
    let metadata = session.info(0).unwrap().metadata;
    metadata["batching"][what].as_u64().unwrap()
}

#[test]
fn one_whose_values_make_the_run_of_a_batch_fail_fails_alone() {
    let watch = with("identity-i64.onnx");
    let (over, begun) = (AtomicBool::new(false), Instant::now());
    std::thread::scope(|scope| {
        for thread in 0..6_i64 {
            let sent = Sent(with("identity-i64.onnx"));
            let over = &over;
            scope.spawn(move || {
                let whole = sent;
                for round in 0_i64.. {
                    // The engine has no numbers of 64 bits.
                    let bad = thread == 0;
                    let values = [thread, if bad { 1 << 40 } else { round }];
                    let x = Tensor::of("x", &[1, 2], &values);
                    match whole.0.run(0, &[x], &["y"]) {
                        Ok(y) => {
                            assert!(!bad);
                            assert_eq!(
                                (&*y[0].shape, y[0].values()),
                                (&[1, 2][..], values.to_vec())
                            );
                        }
                        Err((code, text)) => {
                            assert!(bad && code == ERANGE, "{thread}: {text}");
                            assert!(text.contains("1099511627776"), "{text}");
                        }
                    }
                    if round >= 50 && over.load(SeqCst) {
                        return;
                    }
                }
            });
        }
        while count(&watch, "failed") < 3 && begun.elapsed() < PATIENCE {
            std::thread::yield_now();
        }
        over.store(true, SeqCst);
    });
    assert!(
        count(&watch, "failed") >= 3,
        "no batch had the bad one in it"
    );
}

#[test]
fn several_rows_of_a_request_stay_together() {
    let watch = with("identity-f32.onnx");
    let (over, begun) = (AtomicBool::new(false), Instant::now());
    std::thread::scope(|scope| {
        for thread in 1..=5_i64 {
            let sent = Sent(with("identity-f32.onnx"));
            let over = &over;
            scope.spawn(move || {
                let whole = sent;
                for round in 0.. {
                    let values: Vec<f32> = (0..thread * 2)
                        .map(|i| (round * 100 + thread * 10 + i) as f32)
                        .collect();
                    let x = Tensor::of("x", &[thread, 2], &values);
                    let y = whole.0.run(0, &[x], &["y"]).unwrap();
                    assert_eq!((&*y[0].shape, y[0].values()), (&[thread, 2][..], values));
                    if round >= 50 && over.load(SeqCst) {
                        return;
                    }
                }
            });
        }
        while count(&watch, "joined") < 20 && begun.elapsed() < PATIENCE {
            std::thread::yield_now();
        }
        over.store(true, SeqCst);
    });
    assert!(count(&watch, "joined") >= 20, "nobody ran together");
    assert!(count(&watch, "runs") < count(&watch, "requests"));
}

#[test]
fn a_description_asks_for_batches_and_a_call_overrides_it() {
    let folder = tempfile::tempdir().unwrap();
    let from = trained("digits-8x8");
    std::fs::copy(from.join("model.onnx"), folder.path().join("model.onnx")).unwrap();
    let toml = std::fs::read_to_string(from.join("model.toml")).unwrap();
    let toml = format!("{toml}\n[run]\nmax_batch = 8\nbatch_window_us = 300\n");
    std::fs::write(folder.path().join("model.toml"), toml).unwrap();
    let mut session = Session::new();
    session.add_folder(folder.path());
    session.load(0, "").unwrap();
    assert_eq!(count(&session, "max_batch"), 8);
    assert_eq!(count(&session, "window_us"), 300);
    session.unload(0).unwrap();
    session.load(0, "max_batch=3").unwrap();
    assert_eq!(count(&session, "max_batch"), 3);
    // Off unless somebody asks for it.
    let mut plain = Session::new();
    plain.add_folder(&from);
    plain.load(0, "").unwrap();
    assert!(plain.info(0).unwrap().metadata["batching"].is_null());
}
