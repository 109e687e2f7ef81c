//! Requests of several sessions as one run, in every backend whose models leave the first
//! dimension open: everybody gets its own rows, and what is wrong with one is its alone.
//!
//! Nothing here depends on a clock: windows are as long as they may be, and threads call until what is
//! waited for has come.
#![allow(clippy::unwrap_used)]

#[path = "../../plugins/onnx/tests/support/mod.rs"]
mod support;

#[allow(dead_code)]
mod models;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use models::{digits, first_output, forms, loaded, open, ports};
use support::{PLUGIN, Sent, Session, Tensor};
use vaccel_plugin::Dtype;
use vaccel_plugin::code::EINVAL;

/// One that waited so long without need would not come to its end.
const OPTIONS: &str = "max_batch=16,batch_window_us=1000000";
/// What is waited for comes long before.
const PATIENCE: Duration = Duration::from_secs(120);

/// The digits in a format whose first dimension is open; `None`, with a line that says so, without.
fn batchable() -> Option<PathBuf> {
    if PLUGIN.describe()["ready"] != true {
        vaccel_plugin::testing::skipped(PLUGIN.name(), "its runtime is missing");
        return None;
    }
    let open_first = |path: &PathBuf| {
        let (input, output) = ports(&loaded(path));
        let first = |shape: &[i64]| shape.first() == Some(&-1);
        first(&input.shape) && first(&output.shape)
    };
    let found = forms("digits-8x8").into_iter().map(|(_, path)| path);
    let found = found.into_iter().find(open_first);
    if found.is_none() {
        println!(
            "{}: none of its models has an open first dimension",
            PLUGIN.name()
        );
    }
    found
}

fn with(path: &std::path::Path, options: &str) -> Session {
    let session = open(path);
    session.load(0, options).unwrap();
    session
}

fn count(session: &Session, what: &str) -> u64 {
    let metadata = session.info(0).unwrap().metadata;
    metadata["batching"][what].as_u64().unwrap()
}

#[test]
fn sessions_run_together_and_everybody_gets_its_own_answer() {
    let Some(path) = batchable() else { return };
    let digits = &digits()[..40];
    let alone = loaded(&path);
    let reference: Vec<Vec<f32>> = digits
        .iter()
        .map(|(pixels, _)| first_output(&alone, pixels))
        .collect();
    let watch = with(&path, OPTIONS);
    let (over, begun) = (AtomicBool::new(false), Instant::now());
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let sent = Sent(with(&path, OPTIONS));
            let (reference, over) = (&reference, &over);
            scope.spawn(move || {
                let whole = sent;
                for round in 0.. {
                    let at = (round * 7 + thread * 11) % digits.len();
                    let got = first_output(&whole.0, &digits[at].0);
                    assert_eq!(got.len(), reference[at].len());
                    for (a, b) in got.iter().zip(&reference[at]) {
                        assert!((a - b).abs() <= 1e-4, "digit {at}: {a}, alone {b}");
                    }
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
    let (requests, runs) = (count(&watch, "requests"), count(&watch, "runs"));
    println!("{}: {requests} requests in {runs} runs", PLUGIN.name());
    assert!(
        requests >= 8 * 50 && runs < requests,
        "{runs} of {requests}"
    );
    assert_eq!(count(&watch, "failed"), 0);
}

#[test]
fn a_lone_client_runs_at_once_each_time() {
    let Some(path) = batchable() else { return };
    let digits = digits();
    // Options of its own: those of other tests do not meet it.
    let session = with(&path, "max_batch=15,batch_window_us=1000000");
    for (pixels, _) in &digits[..100] {
        first_output(&session, pixels);
    }
    // As many runs as requests, and nobody was waited for: there was nobody.
    assert_eq!(count(&session, "requests"), 100);
    assert_eq!(count(&session, "runs"), 100);
    assert_eq!(count(&session, "joined"), 0);
}

#[test]
fn a_wrong_shape_fails_alone_while_others_run_together() {
    let Some(path) = batchable() else { return };
    let digits = digits();
    let (input, output) = ports(&loaded(&path));
    let right = first_output(&loaded(&path), &digits[0].0);
    let mut wrong = input.shape.clone();
    wrong[0] = 1;
    *wrong.last_mut().unwrap() += 1;
    let elements: i64 = wrong.iter().product();
    let wrong = Tensor::of(&input.name, &wrong, &vec![0.0_f32; elements as usize]);
    let rounds = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for thread in 0..6 {
            let sent = Sent(with(&path, OPTIONS));
            let (digits, right, rounds) = (&digits, &right, &rounds);
            let (wrong, output) = (&wrong, &output);
            scope.spawn(move || {
                let whole = sent;
                for _ in 0..60 {
                    if thread == 0 {
                        let refused = whole.0.run(0, std::slice::from_ref(wrong), &[&output.name]);
                        let (code, text) = refused.unwrap_err();
                        assert_eq!(code, EINVAL, "{text}");
                    } else {
                        let got = first_output(&whole.0, &digits[0].0);
                        assert!(got.iter().zip(right).all(|(a, b)| (a - b).abs() <= 1e-4));
                    }
                    rounds.fetch_add(1, SeqCst);
                }
            });
        }
    });
    assert_eq!(rounds.into_inner(), 360);
}

#[test]
fn a_model_of_fixed_shape_says_why_its_requests_run_alone() {
    let Some(path) = batchable() else { return };
    let session = with(&path, "max_batch=4,batch=2");
    let metadata = session.info(0).unwrap().metadata;
    let why = metadata["batching"]["off"].as_str().unwrap();
    assert!(why.contains("its first dimension is not open"), "{why}");
    let (input, output) = ports(&session);
    assert_eq!((input.shape[0], output.shape.len()), (2, 2));
    let pixels: Vec<f32> = [&*digits()[0].0, &digits()[1].0].concat();
    let two = Tensor::new(
        &input.name,
        Dtype::F32,
        &input.shape,
        vaccel_plugin::bytes_of(&pixels),
    );
    let got = session.run(0, &[two], &[&output.name]).unwrap();
    assert_eq!(got[0].shape, [2, 10]);
}

#[test]
fn a_window_without_a_batch_is_refused_by_name() {
    let Some(path) = batchable() else { return };
    let session = open(&path);
    for (options, said) in [
        ("batch_window_us=5", "needs `max_batch`"),
        ("max_batch=0", "`max_batch`: 0 is not 1 to"),
        (
            "max_batch=4,batch_window_us=2000000",
            "`batch_window_us`: 2000000 is not",
        ),
    ] {
        let (code, text) = session.load(0, options).unwrap_err();
        assert_eq!(code, EINVAL);
        assert!(text.contains(said), "{text}");
    }
}
