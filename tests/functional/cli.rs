//! The `vaccel` command on this machine, without an agent.
#![allow(clippy::unwrap_used)]

use serde_json::Value;
use std::fs;
use vaccel_tests::{Program, Run, sample, stage};

const TASKS: [&str; 5] = ["classify", "detect", "segment", "pose", "depth"];
const MISSING: Option<i32> = Some(3);
const FAILED: Option<i32> = Some(1);

fn vaccel(args: &[&str]) -> Run {
    Program::new(&stage().unwrap(), "vaccel")
        .args(args)
        .run()
        .unwrap()
}

fn text(path: &std::path::Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn every_image_operation_answers_in_json() {
    for task in TASKS {
        let picture = sample(task).unwrap();
        let answer = vaccel(&[task, "--json", text(&picture)]).success().unwrap();
        let answer: Value = serde_json::from_str(&answer).unwrap();
        let result = &answer["files"][0]["result"];
        assert_eq!(result["task"], task);
        let (width, height) = image::image_dimensions(&picture).unwrap();
        assert_eq!(result["image"]["width"], width, "{task}");
        assert_eq!(result["image"]["height"], height, "{task}");
    }
}

#[test]
fn pictures_and_maps_have_the_size_of_the_input() {
    let folder = tempfile::tempdir().unwrap();
    for task in TASKS {
        let picture = sample(task).unwrap();
        vaccel(&[
            task,
            text(&picture),
            "--output",
            text(folder.path()),
            "--map",
        ])
        .success()
        .map_err(|e| format!("{task}: {e}"))
        .unwrap_or_else(|e| {
            // Only segment and depth have a map.
            assert!(!["segment", "depth"].contains(&task), "{e}");
            vaccel(&[task, text(&picture), "--output", text(folder.path())])
                .success()
                .unwrap()
        });
        let drawn = folder
            .path()
            .join(picture.file_stem().unwrap())
            .with_extension("png");
        assert_eq!(
            image::image_dimensions(drawn).unwrap(),
            image::image_dimensions(&picture).unwrap(),
            "{task}"
        );
    }
}

#[test]
fn any_model_runs_on_tensors_from_files() {
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("x.npy");
    // One 8 x 8 picture of f32 zeros in NumPy's format, version 1.
    let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1, 8, 8), }";
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    let padded = format!("{header:<117}\n");
    bytes.extend(u16::try_from(padded.len()).unwrap().to_le_bytes());
    bytes.extend(padded.as_bytes());
    bytes.extend([0; 64 * 4]);
    fs::write(&input, bytes).unwrap();
    let model = stage()
        .unwrap()
        .join("share/vaccel/models/digits-8x8/model.onnx");

    let argument = format!("input={}", text(&input));
    let answer = vaccel(&[
        "run",
        text(&model),
        "--input",
        &argument,
        "--output",
        text(folder.path()),
        "--json",
    ])
    .success()
    .unwrap();
    let answer: Value = serde_json::from_str(&answer).unwrap();
    let output = &answer["outputs"][0];
    assert_eq!(output["dtype"], "f32");
    assert_eq!(output["shape"], serde_json::json!([1, 10]));
    assert!(
        fs::metadata(output["file"].as_str().unwrap())
            .unwrap()
            .len()
            >= 40
    );

    // The wrong shape: a message that names the input, what it takes and what it got.
    let digits = stage()
        .unwrap()
        .join("share/vaccel/models/classify/model.onnx");
    let run = vaccel(&["run", text(&digits), "--input", &argument]);
    assert_eq!(run.code, FAILED, "{}", run.stderr);
    assert!(
        run.stderr.contains("input") && run.stderr.contains("224"),
        "{}",
        run.stderr
    );
}

#[test]
fn a_model_tells_its_inputs_and_outputs() {
    let model = stage()
        .unwrap()
        .join("share/vaccel/models/digits-8x8/model.onnx");
    let run = vaccel(&["run", text(&model), "--info"]).success().unwrap();
    assert!(run.contains("input: f32 [?, 1, 8, 8]"), "{run}");
}

#[test]
fn what_is_missing_is_named_with_the_way_out() {
    let picture = sample("classify").unwrap();
    let picture = text(&picture);
    for (args, words, code) in [
        (
            vec!["classify", "/nowhere/cat.jpg"],
            vec!["/nowhere/cat.jpg"],
            FAILED,
        ),
        (
            vec!["classify", picture, "--model", "/nowhere/model.onnx"],
            vec!["/nowhere/model.onnx"],
            FAILED,
        ),
        (
            vec!["--plugins", "nonesuch", "classify", picture],
            vec!["nonesuch", "VACCEL_PLUGIN_PATH"],
            MISSING,
        ),
        (
            vec![
                "--remote",
                "unix:///nowhere/agent.sock",
                "classify",
                picture,
            ],
            vec!["/nowhere/agent.sock", "vaccel-agent"],
            MISSING,
        ),
        (
            vec!["--remote", "carrier-pigeon://x", "classify", picture],
            vec!["carrier-pigeon", "unix://"],
            FAILED,
        ),
    ] {
        let run = vaccel(&args);
        assert!(
            run.code == code || run.code == MISSING,
            "{args:?}: {:?} {}",
            run.code,
            run.stderr
        );
        for word in words {
            assert!(
                run.stderr.contains(word),
                "{args:?}: no `{word}` in {}",
                run.stderr
            );
        }
        assert!(!run.stderr.contains("panicked"), "{}", run.stderr);
    }
}

#[test]
fn broken_pictures_and_models_are_errors_not_crashes() {
    let folder = tempfile::tempdir().unwrap();
    let picture = sample("classify").unwrap();
    let bytes = fs::read(&picture).unwrap();
    let broken = folder.path().join("broken.jpg");
    for length in [0, 1, 2, 10, bytes.len() / 2, bytes.len() - 20] {
        fs::write(&broken, &bytes[..length]).unwrap();
        let run = vaccel(&["classify", text(&broken)]);
        assert_eq!(run.code, FAILED, "{length} bytes: {}", run.stderr);
        assert!(run.stderr.contains("broken.jpg"), "{}", run.stderr);
    }
    let model = folder.path().join("model.onnx");
    fs::write(&model, b"this is no model").unwrap();
    let run = vaccel(&["classify", text(&picture), "--model", text(&model)]);
    assert_eq!(run.code, FAILED, "{}", run.stderr);
    assert!(run.stderr.contains("model"), "{}", run.stderr);
}

#[test]
fn a_model_of_another_task_is_refused() {
    let model = stage().unwrap().join("share/vaccel/models/detect");
    let picture = sample("classify").unwrap();
    let run = vaccel(&["classify", text(&picture), "--model", text(&model)]);
    assert_eq!(run.code, FAILED, "{}", run.stderr);
    assert!(run.stderr.contains("detect"), "{}", run.stderr);
}

#[test]
fn sgemm_is_computed_and_checked() {
    let run = vaccel(&["sgemm", "--m", "33", "--n", "65", "--k", "17", "--json"])
        .success()
        .unwrap();
    let answer: Value = serde_json::from_str(&run).unwrap();
    assert!(answer["max_relative_error"].as_f64().unwrap() < 1e-4);
    // A plugin that does no arithmetic is found out.
    let run = vaccel(&["--plugins", "noop", "sgemm"]);
    assert_eq!(run.code, FAILED);
    assert!(run.stderr.contains("wrong"), "{}", run.stderr);
}

#[test]
fn info_tells_what_workers_are_locked_in_by() {
    let about = vaccel(&["info", "--security", "--json"]).success().unwrap();
    let about: Value = serde_json::from_str(&about).unwrap();
    let parts = about["parts"].as_array().unwrap();
    let readable = vaccel(&["info", "--security"]).success().unwrap();
    for part in parts {
        let name = part["part"].as_str().unwrap();
        let line = readable
            .lines()
            .find(|line| line.starts_with(name))
            .unwrap();
        let holds = part["holds"].as_bool().unwrap();
        assert_eq!(line.contains(" yes "), holds, "{line}");
        assert!(!part["detail"].as_str().unwrap().is_empty(), "{name}");
    }
    // These no kernel of the last ten years lacks.
    for name in [
        "no-new-privileges",
        "not-dumpable",
        "limits",
        "capabilities",
    ] {
        let part = parts.iter().find(|part| part["part"] == name).unwrap();
        assert_eq!(part["holds"], true, "{part}");
    }
}

#[test]
fn info_lists_plugins_and_what_is_missing() {
    let about = vaccel(&["info", "--json"]).success().unwrap();
    let about: Value = serde_json::from_str(&about).unwrap();
    let names: Vec<&str> = about["plugins"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| p["name"].as_str().unwrap())
        .collect();
    for name in [
        "noop", "onnx", "exec", "mbench", "blas", "opencl", "opencv", "cuda", "xrt",
    ] {
        assert!(names.contains(&name), "{names:?}");
    }
    let readable = vaccel(&["info"]).success().unwrap();
    assert!(readable.contains("onnx"), "{readable}");
}

#[test]
fn help_shows_examples_and_completions_are_printed() {
    assert!(
        vaccel(&["--help"])
            .success()
            .unwrap()
            .contains("vaccel classify cat.jpg")
    );
    assert_eq!(vaccel(&["frobnicate"]).code, Some(2));
    for shell in ["bash", "zsh", "fish"] {
        assert!(
            vaccel(&["completions", shell])
                .success()
                .unwrap()
                .contains("classify"),
            "{shell}"
        );
    }
}
