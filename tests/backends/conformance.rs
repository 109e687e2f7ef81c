//! One suite for every backend that runs models: the same models in every format that
//! it reads, the same inputs, and the same answers within stated tolerances.
//!
//! Each plugin has this file among its tests. A backend whose runtime is missing is
//! skipped and says so; where `VACCEL_REQUIRE_RUNTIMES` names it, it fails. Results are left in
//! `target/conformance/<backend>.json`, from which `cargo xtask docs` makes the matrix
//! of docs/backends.md.
#![allow(clippy::unwrap_used)]

#[path = "../../plugins/onnx/tests/support/mod.rs"]
mod support;

mod models;
mod pictures;
mod types;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;

use models::{arg_max, digits, first_output, forms, input, loaded, open, ports, says_shapes};
use serde_json::{Value as Json, json};
use support::npz;
use support::{PLUGIN, Sent, Tensor, resident, trained};
use vaccel_plugin::Dtype;
use vaccel_plugin::testing::{is_required, skipped};

/// False, with a line that says so, when the runtime is missing.
fn ready() -> bool {
    let about = PLUGIN.describe();
    let ready = about["ready"] == true;
    if ready && !forms("digits-8x8").is_empty() {
        return true;
    }
    let reason = if ready {
        "its models are not there; `cargo xtask test` makes them".to_owned()
    } else {
        format!(
            "{}; {}",
            about["missing"].as_str().unwrap_or_default(),
            about["remedy"].as_str().unwrap_or_default()
        )
    };
    assert!(!is_required(PLUGIN.name()), "{reason}");
    skipped(PLUGIN.name(), &reason);
    false
}

/// Adds a cell to the matrix of this backend.
fn record(model: &str, form: &str, cell: &str) {
    static CELLS: Mutex<BTreeMap<String, Json>> = Mutex::new(BTreeMap::new());
    let mut cells = CELLS.lock().unwrap();
    let row = cells.entry(model.to_owned()).or_insert_with(|| json!({}));
    row[form] = json!(cell);
    let about = PLUGIN.describe();
    let report = json!({
        "backend": PLUGIN.name(),
        "runtime": about["runtime"],
        "cells": *cells,
    });
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let folder = target.join("conformance");
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join(format!("{}.json", PLUGIN.name()));
    std::fs::write(file, format!("{report:#}\n")).unwrap();
}

#[test]
fn every_format_of_the_digits_gives_the_reference_answers() {
    if !ready() {
        return;
    }
    let digits = digits();
    let reference = reference("digits-8x8");
    let mut compared = 0;
    for (form, path) in forms("digits-8x8") {
        let session = loaded(&path);
        let (mut right, mut worst) = (0, 0.0_f32);
        for ((pixels, label), expected) in digits.iter().zip(&reference) {
            let got = first_output(&session, pixels);
            assert_eq!(got.len(), expected.len(), "{}", path.display());
            right += usize::from(arg_max(&got) == *label);
            for (a, b) in got.iter().zip(expected) {
                worst = worst.max((a - b).abs());
            }
        }
        compared += 1;
        let of = digits.len();
        println!(
            "{}: {right} of {of}, off by {worst:.1e} at most",
            form.shown
        );
        assert!(right * 100 >= of * 97, "{}: {right} of {of}", form.shown);
        assert!(worst <= form.tolerance, "{}: {worst}", form.shown);
        record(
            "digits-8x8",
            form.shown,
            &format!("{right}/{of}, {worst:.0e}"),
        );
    }
    assert!(
        compared > 0,
        "no file of the digits is in a format of this backend"
    );
}

/// What the reference gave for each digit: ten numbers each.
fn reference(model: &str) -> Vec<Vec<f32>> {
    let arrays = npz::read(
        &Path::new(env!("CARGO_MANIFEST_DIR"))
            .join(format!("../../tests/backends/reference-{model}.npz")),
    );
    let floats = arrays["logits"].f32s();
    floats.chunks_exact(10).map(<[f32]>::to_vec).collect()
}

#[test]
fn a_batch_of_any_length_runs_where_the_model_leaves_it_open() {
    if !ready() {
        return;
    }
    let digits = digits();
    for (form, path) in forms("digits-8x8") {
        let session = loaded(&path);
        let (first, out) = ports(&session);
        if first.shape.first() != Some(&-1) {
            continue;
        }
        let one: Vec<Vec<f32>> = digits[..5]
            .iter()
            .map(|(pixels, _)| first_output(&session, pixels))
            .collect();
        for count in [1_usize, 3, 5] {
            let mut shape = first.shape.clone();
            shape[0] = count as i64;
            let pixels: Vec<f32> = digits[..count].iter().flat_map(|d| d.0.clone()).collect();
            let batch = Tensor::of(&first.name, &shape, &pixels);
            let name = &out.name;
            let got = session.run(0, &[batch], &[name]).unwrap().remove(0);
            assert_eq!(got.shape, [count as i64, 10], "{}", form.shown);
            for (a, b) in got.values::<f32>().iter().zip(one.iter().flatten()) {
                assert!((a - b).abs() <= form.tolerance, "{}: {a} {b}", form.shown);
            }
        }
        let fixed = open(&path);
        if fixed.load(0, "batch=2").is_ok() {
            assert_eq!(ports(&fixed).0.shape[0], 2);
            let single = input(&session, &digits[0].0);
            let error = fixed.run(0, &[single], &[&out.name]).unwrap_err();
            assert!(error.1.contains("expected f32 [2,"), "{error:?}");
        }
    }
}

#[test]
fn wrong_shapes_types_and_names_are_named_and_the_model_lives_on() {
    if !ready() {
        return;
    }
    let digits = digits();
    for (form, path) in forms("digits-8x8") {
        let session = loaded(&path);
        let (first, out) = ports(&session);
        let (name, output) = (first.name.as_str(), out.name.as_str());
        let good = input(&session, &digits[0].0);
        let run = |tensor: &Tensor| session.run(0, std::slice::from_ref(tensor), &[output]);
        let wrong_rank = Tensor::of(name, &[64], &digits[0].0);
        let wrong_type = Tensor::new(name, Dtype::I32, &good.shape, &good.bytes);
        let wrong_name = Tensor::of("no-such-tensor", &good.shape, &digits[0].0);
        for tensor in [&wrong_rank, &wrong_type] {
            let (code, text) = run(tensor).unwrap_err();
            assert_eq!(code, vaccel_plugin::code::EINVAL, "{text}");
            let named = text.contains(name) && text.contains("expected f32 [");
            // Without shapes in the file it is the runtime that finds out.
            assert!(named || !says_shapes(), "{}: {text}", form.shown);
        }
        let (_, text) = run(&wrong_name).unwrap_err();
        assert!(
            text.contains("no-such-tensor") && text.contains(name),
            "{text}"
        );
        let (_, text) = session.run(0, &[], &[output]).unwrap_err();
        assert!(text.contains("is missing"), "{text}");
        let twice = [good.clone(), good.clone()];
        let (_, text) = session.run(0, &twice, &[output]).unwrap_err();
        assert!(text.contains("twice"), "{text}");
        let (_, text) = session
            .run(0, std::slice::from_ref(&good), &["nothing"])
            .unwrap_err();
        assert!(text.contains("nothing") && text.contains(output), "{text}");
        // The same output twice is computed once and written twice.
        let both = session
            .run(0, std::slice::from_ref(&good), &[output, output])
            .unwrap();
        assert_eq!(both[0].bytes, both[1].bytes);
        assert_eq!(arg_max(&run(&good).unwrap()[0].values()), digits[0].1);
    }
}

#[test]
fn damaged_files_are_errors_and_the_process_lives_on() {
    if !ready() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for (form, path) in forms("digits-8x8") {
        let single = path.is_file();
        let source = if single {
            path.clone()
        } else {
            path.join("saved_model.pb")
        };
        let bytes = std::fs::read(&source).unwrap();
        let name = source.file_name().unwrap();
        let mut refused = 0;
        let lengths = [
            0,
            1,
            7,
            64,
            bytes.len() / 4,
            bytes.len() / 2,
            bytes.len() - 1,
        ];
        for length in lengths {
            let copy = folder.path().join(form.shown.replace(' ', "-"));
            let _ = std::fs::remove_dir_all(&copy);
            std::fs::create_dir_all(&copy).unwrap();
            std::fs::write(copy.join(name), &bytes[..length]).unwrap();
            let session = if single {
                open(&copy.join(name))
            } else {
                open(&copy)
            };
            match session.load(0, "") {
                Err((code, text)) => {
                    assert!(code != 0 && !text.is_empty());
                    refused += 1;
                }
                // Cut behind the last byte that matters.
                Ok(()) => assert!(
                    length == bytes.len() - 1,
                    "{} of {length} bytes",
                    form.shown
                ),
            }
        }
        assert!(refused >= lengths.len() - 1, "{}", form.shown);
        // What is no model of any kind.
        let noise = folder
            .path()
            .join(format!("noise-{}", name.to_str().unwrap()));
        std::fs::write(&noise, [0xa5_u8; 4096]).unwrap();
        assert!(open(&noise).load(0, "").is_err(), "{}", form.shown);
        // A sound one after all of them.
        assert_eq!(first_output(&loaded(&path), &digits()[0].0).len(), 10);
    }
}

#[test]
fn sessions_run_at_once_and_each_gets_its_own_answer() {
    if !ready() {
        return;
    }
    let digits = digits();
    for (form, path) in forms("digits-8x8") {
        let reference: Vec<Vec<f32>> = {
            let session = loaded(&path);
            digits[..40]
                .iter()
                .map(|(p, _)| first_output(&session, p))
                .collect()
        };
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let sent = Sent(loaded(&path));
                let (digits, reference) = (&digits, &reference);
                scope.spawn(move || {
                    let whole = sent;
                    let session = &whole.0;
                    for round in 0..40 {
                        let at = (round * 7 + thread * 11) % 40;
                        let got = first_output(session, &digits[at].0);
                        for (a, b) in got.iter().zip(&reference[at]) {
                            assert!((a - b).abs() <= 1e-4, "{}: digit {at}", form.shown);
                        }
                    }
                });
            }
        });
    }
}

#[test]
fn a_model_is_loaded_and_unloaded_a_thousand_times_without_growth() {
    if !ready() {
        return;
    }
    // What other tests of this program take meanwhile would count.
    const ALONE: &str = "VACCEL_TEST_ALONE";
    if std::env::var_os(ALONE).is_none() {
        let name = "a_model_is_loaded_and_unloaded_a_thousand_times_without_growth";
        let mut alone = std::process::Command::new(std::env::current_exe().unwrap());
        alone.args(["--exact", name, "--nocapture"]).env(ALONE, "1");
        assert!(alone.status().unwrap().success());
        return;
    }
    let digits = digits();
    for (form, path) in forms("digits-8x8") {
        let session = open(&path);
        let cycle = |count: usize| {
            for _ in 0..count {
                session.load(0, "threads=1").unwrap();
                first_output(&session, &digits[0].0);
                session.unload(0).unwrap();
            }
        };
        // What the runtime keeps for good is there after the first half.
        let slow = ["savedmodel", "graphdef"].contains(&form.format);
        let rounds = if slow || (PLUGIN.name() == "openvino" && form.format != "onnx") {
            100
        } else {
            500
        };
        cycle(rounds);
        let before = resident();
        cycle(rounds);
        let grown = resident().saturating_sub(before);
        println!("{}: {grown} bytes after {rounds} more loads", form.shown);
        assert!(grown < 8 << 20, "{}: {grown} bytes", form.shown);
    }
}

#[test]
fn options_that_make_no_sense_are_refused_by_name() {
    if !ready() {
        return;
    }
    let (_, path) = forms("digits-8x8").remove(0);
    for (options, word) in [
        ("threads=0", "threads"),
        ("threads=many", "threads"),
        ("precision=f7", "precision"),
        ("no-such-option=1", "no-such-option"),
        ("device=moon", "moon"),
    ] {
        let (code, text) = open(&path).load(0, options).unwrap_err();
        assert!(code != 0 && text.contains(word), "{options}: {text}");
    }
}

#[test]
fn the_plugin_says_what_it_is_and_what_it_misses() {
    let about = PLUGIN.describe();
    assert!(!about["formats"].as_array().unwrap().is_empty(), "{about}");
    assert_eq!(about["models"], true);
    if about["ready"] == true {
        assert!(
            about["runtime"].as_str().is_some_and(|r| !r.is_empty()),
            "{about}"
        );
    } else {
        assert!(
            about["missing"].as_str().is_some_and(|m| m.contains("not")),
            "{about}"
        );
        let remedy = about["remedy"].as_str().unwrap();
        assert!(remedy.contains("cargo xtask runtimes"), "{remedy}");
        let (_, text) = open(&trained("digits-8x8").join("model.onnx"))
            .load(0, "")
            .unwrap_err();
        assert!(!text.is_empty());
    }
}
