//! Every program of `examples/c`, as installed: right answers from the backend that
//! does the work, in process and through an agent over Unix sockets and TCP.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use vaccel_tests::{Agent, Program, Run, reference_plugin, repository, sample, stage};

/// How operations reach their backend.
struct Way {
    name: String,
    plugins: String,
    address: String,
}

/// In process with this plugin, and through an agent that has it.
struct Ways {
    all: Vec<Way>,
    _agent: Agent,
}

fn ways(plugin: &str) -> Ways {
    let agent = Agent::start(&stage().unwrap(), plugin, &["tcp://127.0.0.1:0"], &[]).unwrap();
    let local = Way {
        name: "here".into(),
        plugins: plugin.into(),
        address: String::new(),
    };
    let remote = agent.addresses().iter().map(|address| Way {
        name: address.clone(),
        plugins: "rpc".into(),
        address: address.clone(),
    });
    let all: Vec<Way> = std::iter::once(local).chain(remote).collect();
    assert_eq!(all.len(), 3);
    Ways { all, _agent: agent }
}

fn run(way: &Way, program: &str, args: &[&str]) -> Run {
    Program::new(&stage().unwrap(), program)
        .env("VACCEL_PLUGINS", &way.plugins)
        .env("VACCEL_RPC_ADDRESS", &way.address)
        .args(args)
        .run()
        .unwrap()
}

/// Runs a program in every way: it must succeed and print this text; what it
/// prints beside times and paths must be the same each time, and is returned.
fn gives(ways: &Ways, program: &str, args: &[&str], text: &str) -> Vec<String> {
    let mut first: Option<Vec<String>> = None;
    for way in &ways.all {
        let what = format!("{program} {args:?} {}", way.name);
        let output = run(way, program, args)
            .success()
            .unwrap_or_else(|error| panic!("{what}: {error:#}"));
        assert!(output.contains(text), "{what}: {output}");
        let lines: Vec<String> = output
            .lines()
            .filter(|line| {
                !["/", " us ", " ms", " ns "]
                    .iter()
                    .any(|w| line.contains(w))
            })
            .map(String::from)
            .collect();
        let first = first.get_or_insert_with(|| lines.clone());
        assert_eq!(&lines, first, "{what}");
    }
    first.unwrap_or_default()
}

fn out(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

fn library() -> String {
    let library = stage().unwrap().join("bin/libmytestlib.so");
    library.to_str().unwrap().to_owned()
}

#[test]
fn pictures_are_classified_as_what_they_show() {
    let onnx = ways("onnx");
    let folder = sample("classify").unwrap().parent().unwrap().to_owned();
    let truth = std::fs::read_to_string(folder.join("truth.json")).unwrap();
    let truth: serde_json::Value = serde_json::from_str(&truth).unwrap();
    for file in &truth["files"].as_array().unwrap()[..3] {
        let path = folder.join(file["file"].as_str().unwrap());
        let label = format!("classification: {}: ", file["label"].as_str().unwrap());
        let path = path.to_str().unwrap();
        let typed = gives(&onnx, "classify", &[path], &label);
        let generic = gives(&onnx, "classify_generic", &[path], &label);
        assert_eq!(typed, generic);
    }
}

#[test]
fn annotated_pictures_have_the_size_of_the_input_and_are_the_same_everywhere() {
    let onnx = ways("onnx");
    for task in ["detect", "segment", "pose", "depth"] {
        let input = sample(task).unwrap();
        let model = stage().unwrap().join("share/vaccel/models").join(task);
        let original = image::open(&input).unwrap().to_rgb8();
        let mut first: Option<image::RgbImage> = None;
        for (i, way) in onnx.all.iter().enumerate() {
            for program in [task.to_owned(), format!("{task}_generic")] {
                let picture = out("annotated").join(format!("{program}-{i}.png"));
                let _ = std::fs::remove_file(&picture);
                run(
                    way,
                    &program,
                    &[
                        input.to_str().unwrap(),
                        model.to_str().unwrap(),
                        "1",
                        picture.to_str().unwrap(),
                    ],
                )
                .success()
                .unwrap_or_else(|error| panic!("{program} {}: {error:#}", way.name));
                let annotated = image::open(&picture).unwrap().to_rgb8();
                assert_eq!(annotated.dimensions(), original.dimensions(), "{program}");
                assert_ne!(annotated, original, "{program}: nothing is drawn");
                let first = first.get_or_insert_with(|| annotated.clone());
                assert!(*first == annotated, "{program} {}", way.name);
            }
        }
    }
}

#[test]
fn one_model_gives_the_same_values_through_all_four_interfaces() {
    let onnx = ways("onnx");
    let model = stage()
        .unwrap()
        .join("share/vaccel/models/digits-8x8/model.onnx");
    let model = model.to_str().unwrap();
    // What ONNX Runtime gives for this model and 0, 1/64, 2/64, ...
    let values = "values: -1.35988 -1.64762 -0.646061 -1.31796 0.813122 -1.4171 0.597828 -2.8923 \
                  -1.1321 -2.12947";
    let wanted: Vec<f64> = numbers(values);
    let shape = "1x1x8x8";
    for (program, args, kind) in [
        ("model", vec![model], "logits: VACCEL_DTYPE_F32, 40 bytes"),
        ("model_chain", vec![shape, model], "values: -1.35988"),
        (
            "tf",
            vec![model, "input", "logits", shape],
            "output: VACCEL_TF_FLOAT, 2 dimensions, 40 bytes",
        ),
        (
            "tflite",
            vec![model, shape, "3"],
            "output: VACCEL_TFLITE_FLOAT32, 2 dimensions, 40 bytes",
        ),
        (
            "torch",
            vec![model, shape, "3"],
            "output: VACCEL_TORCH_FLOAT, 2 dimensions, 40 bytes",
        ),
    ] {
        let lines = gives(&onnx, program, &args, kind);
        let line = lines.iter().find(|line| line.starts_with("values:"));
        let got = numbers(line.unwrap());
        assert_eq!(got.len(), wanted.len(), "{program}");
        for (got, wanted) in got.iter().zip(&wanted) {
            assert!((got - wanted).abs() < 1e-4, "{program}: {got} {wanted}");
        }
    }
}

#[test]
fn what_stays_between_the_models_of_a_chain_is_what_came_out_of_them() {
    let plugin = reference_plugin().unwrap();
    // Its models give back what they are given, whatever the file.
    let echo = ways(plugin.to_str().unwrap());
    let file = repository().join("README.md");
    let file = file.to_str().unwrap();
    let values = "values: 0 0.125 0.25 0.375 0.5 0.625 0.75 0.875";
    gives(&echo, "model_chain", &["2x4", file, file, file], values);
}

fn numbers(line: &str) -> Vec<f64> {
    line.split_whitespace()
        .filter_map(|word| word.parse().ok())
        .collect()
}

#[test]
fn matrix_products_are_right() {
    let blas = ways("blas");
    // The programs compare with a product of their own.
    for program in ["sgemm", "sgemm_generic", "torch_sgemm"] {
        for size in [["1", "1", "1"], ["3", "4", "5"], ["65", "33", "17"]] {
            gives(&blas, program, &size, "is right");
        }
    }
}

#[test]
fn functions_of_a_library_give_what_they_give_when_called() {
    let exec = ways("exec");
    let library = library();
    for program in [
        "exec",
        "exec_generic",
        "exec_with_resource",
        "exec_with_resource_generic",
    ] {
        gives(&exec, program, &[&library, "3"], "mytestfunc(10) = 20");
    }
    gives(&exec, "exec_serialized", &[&library], "8 -> 16");
}

#[test]
fn work_takes_as_long_as_asked_for_and_the_caller_waits_a_little_longer() {
    let mbench = ways("mbench");
    for way in &mbench.all {
        let text = run(way, "mbench", &["5", "3"]).success().unwrap();
        let numbers = numbers(&text.replace(',', " "));
        let (worked, waited) = (numbers[0], numbers[1]);
        assert!((5.0..1000.0).contains(&worked), "{}: {text}", way.name);
        assert!(waited >= worked, "{}: {text}", way.name);
    }
}

#[test]
fn one_program_works_here_and_remotely_at_once() {
    let prefix = stage().unwrap();
    let picture = sample("classify").unwrap();
    for (plugin, args, answers) in [
        ("noop", vec!["10"], 0),
        ("onnx", vec!["2", picture.to_str().unwrap()], 2),
    ] {
        let agent = Agent::start(&prefix, plugin, &["tcp://127.0.0.1:0"], &[]).unwrap();
        for address in agent.addresses() {
            let way = Way {
                name: address.clone(),
                plugins: format!("{plugin}:rpc"),
                address: address.clone(),
            };
            let text = run(&way, "local_and_remote", &args).success().unwrap();
            assert!(text.contains(&format!("here (plugin {plugin})")), "{text}");
            assert!(text.contains("remote (plugin rpc)"), "{text}");
            let labels: Vec<&str> = text
                .lines()
                .filter_map(|line| Some(line.split_once("us each, ")?.1))
                .collect();
            assert_eq!(labels.len(), answers, "{text}");
            assert!(labels.windows(2).all(|w| w[0] == w[1]), "{text}");
        }
    }
}

#[test]
fn operations_without_a_backend_of_ours_reach_another_plugin_here_and_remotely() {
    let folder = out("recorder");
    Program::at(Path::new("make"))
        .args(["--no-print-directory", "-s", "-C"])
        .arg(repository().join("tests/c"))
        .arg(format!("PREFIX={}", stage().unwrap().display()))
        .arg(format!("OUT={}", folder.display()))
        .arg(folder.join("libvaccel-recorder.so"))
        .output()
        .unwrap();
    let recorder = ways(folder.join("libvaccel-recorder.so").to_str().unwrap());
    for form in ["", "_generic"] {
        for (program, args, text) in [
            ("fpga_arraycopy", vec![], "ints are copied"),
            ("fpga_mmult", vec!["5"], "C: "),
            ("fpga_parallel", vec![], "products: "),
            ("fpga_vadd", vec!["100"], "sums: "),
            (
                "minmax",
                vec!["2", "8", "1", "5.5", "9", "-3"],
                "min -3, max 9, clipped: 2 5.5 8 2",
            ),
        ] {
            gives(&recorder, &format!("{program}{form}"), &args, text);
        }
    }
}

#[test]
fn every_program_says_what_the_noop_plugin_answered_here_and_remotely() {
    let noop = ways("noop");
    let library = library();
    let picture = sample("classify").unwrap();
    let picture = picture.to_str().unwrap();
    for (program, args, text) in [
        ("noop", vec!["2"], "noop: 2 calls"),
        ("noop_generic", vec!["2"], "noop: 2 calls"),
        ("async", vec!["500"], "async: 500 calls"),
        ("mbench", vec!["1"], "worked 0.000 ms"),
        ("model", vec![picture], "format noop, backend noop"),
        ("tf", vec![picture, "x", "y", "2x3"], "VACCEL_TF_FLOAT, 2"),
        ("tflite", vec![picture, "2x3"], "VACCEL_TFLITE_FLOAT32, 2"),
        ("torch", vec![picture, "2x3"], "VACCEL_TORCH_FLOAT, 2"),
    ] {
        gives(&noop, program, &args, text);
    }
    for form in ["", "_generic"] {
        let program = |name: &str| format!("{name}{form}");
        let dummy = "This is a dummy classification tag!";
        gives(&noop, &program("classify"), &[picture], dummy);
        for task in ["detect", "segment", "pose", "depth"] {
            gives(
                &noop,
                &program(task),
                &[picture],
                "This is a dummy imgname!",
            );
        }
        gives(&noop, &program("fpga_arraycopy"), &[], "ints are copied");
        // It answers with zeros, which these programs notice.
        for (name, args) in [
            ("sgemm", &["2", "2", "2"][..]),
            ("fpga_mmult", &[]),
            ("fpga_parallel", &[]),
            ("fpga_vadd", &[]),
            ("minmax", &["1", "2", "3", "4"]),
            ("exec", &[&library]),
            ("exec_with_resource", &[&library]),
        ] {
            for way in &noop.all {
                let run = run(way, &program(name), args);
                assert_eq!(run.code, Some(1), "{name}{form} {}: {run:?}", way.name);
                let text = format!("{}{}", run.stdout, run.stderr);
                assert!(
                    [
                        "] is 0, not ",
                        "sum 1 is 0, not ",
                        "product 1 is 0, not ",
                        "the result is wrong",
                        "mytestfunc(10) = 0"
                    ]
                    .iter()
                    .any(|words| text.contains(words)),
                    "{name}{form} {}: {run:?}",
                    way.name
                );
            }
        }
    }
}

#[test]
fn every_program_is_installed_and_run_by_a_test() {
    let here = include_str!("examples.rs");
    for entry in std::fs::read_dir(repository().join("examples/c")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "c") {
            continue;
        }
        let name = path.file_stem().unwrap().to_str().unwrap();
        let file = if name == "mytestlib" {
            "libmytestlib.so"
        } else {
            name
        };
        assert!(stage().unwrap().join("bin").join(file).exists(), "{file}");
        let plain = name.trim_end_matches("_generic");
        assert!(
            here.contains(&format!("\"{plain}\"")) || name == "mytestlib",
            "{name}"
        );
    }
}
