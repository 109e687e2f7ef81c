//! `VACCEL_PLUGINS=auto`: several backends in one process, and which of them serves what.
//!
//! The embedded `onnx`, `blas` and `exec` are always there. What needs a runtime is tried
//! where the runtime is installed, and said to be skipped where it is not.
#![allow(clippy::unwrap_used)]

mod choosing;

use choosing::{
    EEXIST, EINVAL, ENOENT, ENOTSUP, FORMATS, WITHOUT_RUNTIMES, backend, bare, described, digits,
    error, info, numbers, reference, row, session,
};
use serde_json::Value;
use std::path::{Path, PathBuf};
use vaccel_tests::{Agent, Program, reference_plugin, sample, stage};

#[test]
fn several_backends_serve_one_session_each_what_it_is_best_at() {
    let library = stage().unwrap().join("bin/libmytestlib.so");
    let picture = sample("classify").unwrap();
    let loads: Vec<String> = FORMATS
        .iter()
        .map(|(format, file, _)| format!("load:{format}:{}", digits(file)))
        .collect();
    let runs = FORMATS.map(|(format, _, _)| format!("run:{format}"));
    let unloads = FORMATS.map(|(format, _, _)| format!("unload:{format}"));
    let others = [
        "sgemm".to_owned(),
        format!("exec:{}", library.display()),
        "vectors".to_owned(),
        "noop".to_owned(),
    ];
    let uploaded = format!("upload:{}", library.display());
    let picture = format!("classify:{}", picture.display());
    let steps: Vec<&str> = loads
        .iter()
        .chain(&runs)
        .chain(&others)
        .chain(&unloads)
        .chain([&uploaded, &picture])
        .map(String::as_str)
        .collect();
    let answers = session(&[], &steps);
    let about = info(&[]);
    let count = FORMATS.len();
    let logits = numbers(&answers[count]);
    for (at, (format, _, candidates)) in FORMATS.iter().enumerate() {
        let chosen = row(&about, format)["chosen"].as_str();
        let Some(chosen) = chosen else {
            eprintln!("SKIPPED: {format}: none of {candidates:?} is ready");
            let text = error(&answers[at], ENOTSUP);
            for candidate in *candidates {
                assert!(text.contains(&format!("`{candidate}`: ")), "{text}");
                let remedy = format!("cargo xtask runtimes {candidate}");
                assert!(text.contains(&remedy), "{text}");
            }
            continue;
        };
        assert_eq!(backend(&answers[at]), chosen, "{format}");
        eprintln!("{format}: {chosen}");
        let same = numbers(&answers[count + at]);
        assert_eq!(same.len(), logits.len());
        for (a, b) in same.iter().zip(&logits) {
            assert!((a - b).abs() < 1e-3, "{format}: {same:?} {logits:?}");
        }
    }
    let rest = &answers[2 * count..];
    assert_eq!(numbers(&rest[0]), [19.0, 22.0, 43.0, 50.0]);
    assert_eq!(rest[1]["ok"], 20, "{}", rest[1]);
    match row(&about, "fpga_vadd")["chosen"].as_str() {
        Some(_) => assert_eq!(numbers(&rest[2]), [4.0, 6.0]),
        None => {
            let text = error(&rest[2], ENOTSUP);
            assert!(text.contains("`opencl`: "), "{text}");
            eprintln!("SKIPPED: vectors: {text}");
        }
    }
    assert!(rest[3].get("ok").is_some(), "{}", rest[3]);
    assert_eq!(answers[answers.len() - 2]["ok"], 20, "{answers:?}");
    // With no model in the session it is the default one, which is ONNX.
    let text = answers.last().unwrap()["ok"].as_str();
    assert!(text.is_some_and(|text| text.contains('%')), "{answers:?}");
}

#[test]
fn a_backend_whose_runtime_is_missing_is_passed_over() {
    let load = format!("load:a:{}", digits("model.onnx"));
    let answers = bare(&[], &[&load, "run:a", "sgemm"]);
    assert_eq!(backend(&answers[0]), "onnx");
    assert_eq!(numbers(&answers[1]).len(), 10);
    assert_eq!(numbers(&answers[2])[0], 19.0);
}

#[test]
fn when_nobody_can_each_candidate_is_named_with_its_remedy() {
    for (format, file, candidates) in &FORMATS[1..] {
        let answers = bare(&[], &[&format!("load:a:{}", digits(file)), "sgemm"]);
        let text = error(&answers[0], ENOTSUP);
        assert!(text.contains(&format!("({format})")), "{text}");
        for candidate in *candidates {
            assert!(text.contains(&format!("`{candidate}`: ")), "{text}");
            assert!(
                text.contains(&format!("xtask runtimes {candidate}")),
                "{text}"
            );
        }
        assert!(!text.contains("`onnx`"), "it reads no {format}: {text}");
        assert_eq!(numbers(&answers[1])[0], 19.0, "the session goes on");
    }
}

#[test]
fn formats_are_told_by_what_is_in_a_file_and_not_by_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str, bytes: &[u8]| -> String {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        format!("load:a:{}", path.display())
    };
    let onnx = put(
        "model.tflite",
        &std::fs::read(digits("model.onnx")).unwrap(),
    );
    let tflite = std::fs::read(digits("tflite/model.tflite")).unwrap();
    let tflite = put("model.onnx", &tflite);
    let text = put("notes.onnx", b"no model at all");
    let cut = std::fs::read(digits("model.onnx")).unwrap();
    let cut = put("cut.onnx", &cut[..cut.len() / 2]);
    let answers = bare(&[], &[&onnx, &tflite, &text, &cut]);
    assert_eq!(backend(&answers[0]), "onnx");
    assert!(error(&answers[1], ENOTSUP).contains("(tflite)"));
    assert!(error(&answers[2], ENOTSUP).contains("is text"));
    assert!(error(&answers[3], EINVAL).contains("cut off"));
}

#[test]
fn the_program_goes_before_the_environment_and_that_before_the_description() {
    let plugins = reference();
    let plain = format!("load:a:{}", digits("model.onnx"));
    let auto = ("VACCEL_PLUGINS", plugins.as_str());
    let named = |name| ("VACCEL_AUTO_OPTIONS", name);
    // The table, and nobody says anything.
    assert_eq!(backend(&bare(&[auto], &[&plain])[0]), "onnx");
    let (_folder, path) = described("backend = \"reference\"");
    let load = format!("load:a:{path}");
    assert_eq!(backend(&bare(&[auto], &[&load])[0]), "reference");
    let env = [auto, named("backend=onnx")];
    assert_eq!(backend(&bare(&env, &[&load])[0]), "onnx");
    let asked = format!("{load}:backend=reference");
    assert_eq!(backend(&bare(&env, &[&asked])[0]), "reference");
    // One that cannot is no other's turn when the program names it.
    let strict = bare(&env, &[&format!("{load}:backend=openvino")]);
    let text = error(&strict[0], ENOTSUP);
    assert!(
        text.contains("`openvino`: ") && !text.contains("`onnx`"),
        "{text}"
    );
    let unknown = bare(&env, &[&format!("{load}:backend=nosuch")]);
    assert!(error(&unknown[0], ENOTSUP).contains("`nosuch` is not an installed backend"));
    let wrong = bare(&[auto, named("threads=2")], &[&load]);
    assert!(error(&wrong[0], EINVAL).contains("VACCEL_AUTO_OPTIONS"));
}

#[test]
fn threads_that_load_one_model_at_once_get_the_backend_that_they_name_or_an_error() {
    let plugins = reference();
    let auto = ("VACCEL_PLUGINS", plugins.as_str());
    let race = format!("race:{}:onnx:reference", digits("model.onnx"));
    let alike = format!("race:{}:onnx:onnx", digits("model.onnx"));
    let steps: Vec<&str> = [&race[..], &alike].repeat(20);
    let answers = bare(&[auto], &steps);
    for pair in answers.chunks(2) {
        let threads = pair[0]["ok"].as_array();
        let threads = threads.unwrap_or_else(|| panic!("{pair:?}"));
        let (loaded, refused): (Vec<&Value>, Vec<&Value>) =
            threads.iter().partition(|t| t["got"].get("ok").is_some());
        // One of the two has it, for all who asked for it, and the others are told.
        assert!(!loaded.is_empty(), "{threads:?}");
        let winner = &loaded[0]["asked"];
        for thread in &loaded {
            assert_eq!(&thread["got"]["backend"], winner, "{thread}");
            assert_eq!(&thread["asked"], winner, "{thread}");
            assert_eq!(thread["got"]["ok"], loaded[0]["got"]["ok"]);
        }
        for thread in refused {
            assert_ne!(&thread["asked"], winner, "{thread}");
            let text = error(&thread["got"], EEXIST);
            assert!(text.contains("unload it first"), "{text}");
        }
        let alike = pair[1]["ok"].as_array();
        let alike = alike.unwrap_or_else(|| panic!("{pair:?}"));
        assert!(
            alike.iter().all(|t| t["got"]["backend"] == "onnx"),
            "{alike:?}"
        );
    }
}

#[test]
fn a_description_whose_backend_is_missing_is_a_wish_that_is_not_granted() {
    for name in ["openvino", "nosuch"] {
        let (_folder, path) = described(&format!("backend = \"{name}\""));
        let answers = bare(&[], &[&format!("load:a:{path}"), "run:a"]);
        assert_eq!(backend(&answers[0]), "onnx", "{name}");
        assert_eq!(numbers(&answers[1]).len(), 10);
    }
}

#[test]
fn threads_come_from_the_call_else_the_environment_else_the_description() {
    let (_folder, path) = described("threads = 3");
    let load = format!("load:a:{path}");
    let threads = |env: &[(&str, &str)], load: &str| -> u64 {
        let answers = bare(env, &[load]);
        let threads = &answers[0]["ok"]["metadata"]["threads"];
        threads.as_u64().unwrap_or_else(|| panic!("{answers:?}"))
    };
    let env = [("VACCEL_ONNX_OPTIONS", "threads=2")];
    assert_eq!(threads(&[], &load), 3);
    assert_eq!(threads(&env, &load), 2);
    assert_eq!(threads(&env, &format!("{load}:threads=1")), 1);
}

#[test]
fn a_backend_that_cannot_do_what_the_options_say_gives_way() {
    let plugins = reference();
    let auto = ("VACCEL_PLUGINS", plugins.as_str());
    let load = format!("load:a:{}:device=cuda", digits("model.onnx"));
    let answers = bare(&[auto], &[&load]);
    let text = error(&answers[0], ENOTSUP);
    assert!(text.contains("`onnx`: "), "{text}");
    assert!(text.contains("not on `cuda`"), "{text}");
    // What makes no sense is nobody's to do.
    let load = format!("load:a:{}:threads=many", digits("model.onnx"));
    assert!(error(&bare(&[auto], &[&load])[0], EINVAL).contains("`threads`"));
}

#[test]
fn a_model_stays_with_its_backend_until_it_is_unloaded() {
    let plugins = reference();
    let auto = ("VACCEL_PLUGINS", plugins.as_str());
    let (onnx, model) = (digits("model.onnx"), digits("tflite/model.tflite"));
    let steps = [
        format!("load:a:{onnx}"),
        format!("load:b:{onnx}:backend=reference"),
        "info:a".to_owned(),
        "info:b".to_owned(),
        "unload:b".to_owned(),
        "run:a".to_owned(),
        // The number of the resource is used again, for a model of another backend.
        format!("load:c:{onnx}"),
        "info:c".to_owned(),
        "unload:a".to_owned(),
        format!("load:d:{model}:backend=reference"),
        "info:d".to_owned(),
        "run:c".to_owned(),
        "session:0".to_owned(),
        format!("load:e:{onnx}"),
        "run:e".to_owned(),
    ];
    let steps: Vec<&str> = steps.iter().map(String::as_str).collect();
    let answers = bare(&[auto], &steps);
    for (at, name) in [
        (0, "onnx"),
        (1, "reference"),
        (2, "onnx"),
        (3, "reference"),
        (6, "onnx"),
        (7, "onnx"),
        (9, "reference"),
        (10, "reference"),
        (13, "onnx"),
    ] {
        assert_eq!(backend(&answers[at]), name, "step {at}");
    }
    for at in [5, 11, 14] {
        assert_eq!(numbers(&answers[at]).len(), 10);
    }
    let twice = bare(
        &[auto],
        &[steps[0], "again:a:onnx", "again:a:reference", "run:a"],
    );
    assert!(twice[1].get("ok").is_some(), "{twice:?}");
    assert!(error(&twice[2], EEXIST).contains("unload it first"));
    assert_eq!(numbers(&twice[3]).len(), 10);
    let never = bare(&[auto], &[&format!("stale:{onnx}")]);
    assert!(error(&never[0], ENOENT).contains("load the model first"));
}

#[test]
fn flags_of_a_session_put_kinds_of_backends_first() {
    const GPU: &str = "session:2";
    const CPU: &str = "session:1";
    let load = format!("load:a:{}", digits("model.onnx"));
    for flags in [GPU, CPU, "session:65535", "session:48"] {
        let flags = flags.replace("65535", "49151");
        let answers = bare(&[], &[&flags, &load, "run:a", "sgemm"]);
        assert_eq!(answers[0]["ok"], "auto", "{answers:?}");
        assert_eq!(backend(&answers[1]), "onnx");
        assert_eq!(numbers(&answers[3])[0], 19.0);
    }
    let remote = bare(&[], &["session:16384"]);
    assert!(error(&remote[0], ENOTSUP).contains("no transport plugin"));
}

#[test]
fn the_first_plugin_of_the_list_has_the_session_and_auto_does_the_rest() {
    let load = format!("load:a:{}", digits("model.onnx"));
    let plugins = ("VACCEL_PLUGINS", "exec:auto");
    let answers = bare(&[plugins], &["session:0", &load, "run:a", "sgemm"]);
    assert_eq!(answers[0]["ok"], "exec");
    assert_eq!(backend(&answers[1]), "onnx");
    assert_eq!(numbers(&answers[2]).len(), 10);
    assert_eq!(numbers(&answers[3])[0], 19.0);
    let single = bare(
        &[("VACCEL_PLUGINS", "onnx")],
        &[
            &format!("{load}:backend=openvino"),
            &format!("{load}:backend=onnx"),
        ],
    );
    assert!(error(&single[0], EINVAL).contains("VACCEL_PLUGINS=auto"));
    assert_eq!(backend(&single[1]), "onnx");
}

#[test]
fn calls_of_frameworks_reach_the_backend_of_the_model() {
    let prefix = stage().unwrap();
    let run = |program: &str, file: &str, shape: &str| {
        Program::new(&prefix, program)
            .env("VACCEL_PLUGINS", "auto")
            .args([&digits(file), shape])
            .run()
            .unwrap()
    };
    // Through the neutral interface of a backend that is none of theirs.
    for program in ["torch", "tflite"] {
        let text = run(program, "model.onnx", "1x1x8x8").success().unwrap();
        assert!(text.contains("output: "), "{program}: {text}");
    }
    let about = info(&[]);
    for (program, format, file, shape) in [
        ("torch", "torchscript", "torchscript/model.pt", "1x1x8x8"),
        ("tflite", "tflite", "tflite/model.tflite", "1x1x8x8"),
    ] {
        if row(&about, format)["chosen"].is_null() {
            eprintln!("SKIPPED: {format}: no backend is ready");
            continue;
        }
        let text = run(program, file, shape).success().unwrap();
        assert!(text.contains("output: "), "{program}: {text}");
    }
}

#[test]
fn an_agents_workers_choose_within_their_jail() {
    let library = stage().unwrap().join("bin/libmytestlib.so");
    let agent = Agent::start(&stage().unwrap(), "auto", &[], &[]).unwrap();
    let load = format!("load:a:{}", digits("model.onnx"));
    let exec = format!("exec:{}", library.display());
    let tflite = format!("load:b:{}", digits("tflite/model.tflite"));
    let address = agent.address();
    let env = [
        ("VACCEL_PLUGINS", "rpc"),
        ("VACCEL_RPC_ADDRESS", address.as_str()),
    ];
    let answers = session(&env, &[&load, "run:a", "sgemm", &exec, &tflite]);
    let about = info(&[]);
    assert_eq!(backend(&answers[0]), row(&about, "onnx")["chosen"]);
    assert_eq!(numbers(&answers[1]).len(), 10);
    assert_eq!(numbers(&answers[2])[0], 19.0);
    assert_eq!(answers[3]["ok"], 20, "{}", answers[3]);
    match row(&about, "tflite")["chosen"].as_str() {
        Some(name) => assert_eq!(backend(&answers[4]), name),
        None => assert!(error(&answers[4], ENOTSUP).contains("xtask runtimes tflite")),
    }
}

#[test]
fn info_explains_the_choice_for_people_and_programs() {
    let about = info(&WITHOUT_RUNTIMES);
    let onnx = row(&about, "onnx");
    assert_eq!(onnx["kind"], "format");
    assert_eq!(onnx["chosen"], "onnx");
    assert_eq!(onnx["why"], "ready, and without onnxruntime, openvino");
    let others = onnx["alternatives"].as_array().unwrap();
    assert_eq!(others.len(), 2);
    for other in others {
        let name = other["name"].as_str().unwrap();
        assert_eq!(other["ready"], false);
        let remedy = other["remedy"].as_str().unwrap();
        assert!(
            remedy.contains(&format!("xtask runtimes {name}")),
            "{remedy}"
        );
    }
    assert!(row(&about, "tflite")["chosen"].is_null());
    assert_eq!(row(&about, "exec")["chosen"], "exec");
    assert!(["blas", "cuda"].contains(&row(&about, "sgemm")["chosen"].as_str().unwrap()));
    let text = Program::new(&stage().unwrap(), "vaccel")
        .arg("info")
        .envs(&WITHOUT_RUNTIMES)
        .output()
        .unwrap();
    for line in [
        "VACCEL_PLUGINS=auto chooses",
        "onnxruntime (missing), openvino (missing)",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
}

#[test]
fn plugins_that_are_no_backends_are_left_out() {
    let text = Program::new(&stage().unwrap(), "vaccel")
        .args(["--plugins", "auto", "info", "--json"])
        .output()
        .unwrap();
    let about: Value = serde_json::from_str(&text).unwrap();
    let plugins = about["plugins"].as_array().unwrap();
    let names: Vec<&str> = plugins.iter().filter_map(|p| p["name"].as_str()).collect();
    assert_eq!(names[0], "auto");
    for name in [
        "onnx",
        "onnxruntime",
        "blas",
        "exec",
        "opencl",
        "cuda",
        "tf",
    ] {
        assert!(names.contains(&name), "{name}: {names:?}");
    }
    for name in ["rpc", "noop", "mbench", "template"] {
        assert!(!names.contains(&name), "{name}: {names:?}");
    }
    // A folder of plugins is searched too; what is no plugin there is not loaded.
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str, from: &Path| std::fs::copy(from, folder.path().join(name)).unwrap();
    put("libvaccel-reference.so", &reference_plugin().unwrap());
    let other: PathBuf = stage().unwrap().join("bin/libmytestlib.so");
    put("libvaccel-other.so", &other);
    let text = Program::new(&stage().unwrap(), "vaccel")
        .args(["--plugins", "auto", "--verbose", "info", "--json"])
        .env("VACCEL_PLUGIN_PATH", folder.path())
        .run()
        .unwrap();
    assert!(text.stdout.contains("\"name\": \"reference\""), "{text:?}");
    assert!(!text.stderr.contains("libvaccel-other"), "{text:?}");
}
