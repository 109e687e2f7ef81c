//! The `vaccel` command through an agent: the same answers, and errors that arrive.
#![allow(clippy::unwrap_used)]

use serde_json::Value;
use std::fs;
use vaccel_tests::{Agent, Program, Run, sample, stage};

fn remote(address: &str, args: &[&str]) -> Run {
    Program::new(&stage().unwrap(), "vaccel")
        .args(["--remote", address])
        .args(args)
        .run()
        .unwrap()
}

fn result(run: Run) -> Value {
    let answer: Value = serde_json::from_str(&run.success().unwrap()).unwrap();
    answer["files"][0]["result"].clone()
}

#[test]
fn every_image_operation_answers_as_it_does_here() {
    let prefix = stage().unwrap();
    let agent = Agent::start(&prefix, "onnx", &["tcp://127.0.0.1:0"], &[]).unwrap();
    for task in ["classify", "detect", "segment", "pose", "depth"] {
        let picture = sample(task).unwrap();
        let picture = picture.to_str().unwrap();
        let here = result(
            Program::new(&prefix, "vaccel")
                .args([task, "--json", picture])
                .run()
                .unwrap(),
        );
        for address in agent.addresses() {
            assert_eq!(
                result(remote(address, &[task, "--json", picture])),
                here,
                "{task} {address}"
            );
            let model = prefix.join("share/vaccel/models").join(task);
            let own = remote(
                address,
                &[task, "--json", picture, "--model", model.to_str().unwrap()],
            );
            assert_eq!(
                result(own),
                here,
                "{task} {address}, with the model sent along"
            );
        }
    }
}

#[test]
fn errors_come_with_their_message_and_leave_the_agent_unharmed() {
    let mut agent = Agent::start(&stage().unwrap(), "onnx", &[], &[]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let picture = sample("classify").unwrap();
    let bytes = fs::read(&picture).unwrap();
    let broken = folder.path().join("broken.jpg");
    fs::write(&broken, &bytes[..bytes.len() / 2]).unwrap();
    let model = folder.path().join("model.onnx");
    fs::write(&model, b"this is no model").unwrap();
    let digits = stage().unwrap().join("share/vaccel/models/digits-8x8");
    let cases = [
        vec!["classify", broken.to_str().unwrap()],
        vec![
            "classify",
            picture.to_str().unwrap(),
            "--model",
            model.to_str().unwrap(),
        ],
        vec![
            "detect",
            picture.to_str().unwrap(),
            "--model",
            digits.to_str().unwrap(),
        ],
    ];
    for args in &cases {
        let run = remote(&agent.address(), args);
        assert_eq!(run.code, Some(1), "{args:?}: {}", run.stderr);
        // The same words as without an agent, whatever the path they took.
        let here = Program::new(&stage().unwrap(), "vaccel")
            .args(args)
            .run()
            .unwrap();
        // Paths differ: the agent has its own copy of the file.
        let last = |text: &str| {
            text.trim()
                .rsplit([':', '/'])
                .next()
                .unwrap_or_default()
                .to_string()
        };
        assert_eq!(last(&run.stderr), last(&here.stderr), "{args:?}");
    }
    assert!(agent.is_running().unwrap());
    remote(&agent.address(), &["classify", picture.to_str().unwrap()])
        .success()
        .unwrap();
}

#[test]
fn a_function_of_a_library_runs_on_the_agent() {
    let prefix = stage().unwrap();
    let agent = Agent::start(&prefix, "exec", &[], &[]).unwrap();
    let library = prefix.join("bin/libmytestlib.so");
    let library = library.to_str().unwrap();
    for upload in [&[][..], &["--upload"]] {
        let args = [
            &[
                "exec",
                library,
                "mytestfunc",
                "--arg",
                "i32:10",
                "--out",
                "i32",
            ],
            upload,
        ]
        .concat();
        let here = Program::new(&prefix, "vaccel")
            .args(&args)
            .output()
            .unwrap();
        assert_eq!(remote(&agent.address(), &args).success().unwrap(), here);
    }
}

#[test]
fn sgemm_is_computed_on_the_agent() {
    let agent = Agent::start(&stage().unwrap(), "blas", &["tcp://127.0.0.1:0"], &[]).unwrap();
    for address in agent.addresses() {
        remote(address, &["sgemm", "--m", "120", "--n", "70", "--k", "50"])
            .success()
            .unwrap();
    }
}

#[test]
fn an_agent_that_ends_leaves_no_socket_and_no_worker() {
    let mut agent = Agent::start(&stage().unwrap(), "noop", &[], &[]).unwrap();
    remote(&agent.address(), &["info"]).success().unwrap();
    let workers = agent.workers().unwrap();
    assert!(!workers.is_empty());
    assert!(agent.stop().unwrap().success());
    assert!(!agent.socket().exists());
    vaccel_tests::wait_until("workers end", std::time::Duration::from_secs(5), || {
        workers
            .iter()
            .all(|pid| !std::path::Path::new(&format!("/proc/{pid}")).exists())
    })
    .unwrap();
}
