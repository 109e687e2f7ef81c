//! TLS from the user's side: certificates of `vaccel certs`, and the same answers.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use vaccel_tests::{Agent, Program, sample, stage};

fn remote(certs: &Path, address: &str) -> Program {
    Program::new(&stage().unwrap(), "vaccel")
        .env("VACCEL_RPC_TLS_CA", certs.join("ca.pem"))
        .env("VACCEL_RPC_TLS_CERT", certs.join("client.pem"))
        .env("VACCEL_RPC_TLS_KEY", certs.join("client.key"))
        .args(["--remote", address])
}

#[test]
fn every_image_operation_answers_by_tls_as_it_does_here() {
    let prefix = stage().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let certs = folder.path().join("certs");
    Program::new(&prefix, "vaccel")
        .arg("certs")
        .arg(&certs)
        .output()
        .unwrap();
    let file = |name: &str| certs.join(name).to_str().unwrap().to_owned();
    let (certificate, key, ca) = (file("server.pem"), file("server.key"), file("ca.pem"));
    let options = [
        ["--tls-cert", &certificate],
        ["--tls-key", &key],
        ["--tls-client-ca", &ca],
    ];
    let addresses = ["tls://127.0.0.1:0"];
    let agent = Agent::start(&prefix, "onnx,exec", &addresses, &options.concat()).unwrap();
    let address = &agent.addresses()[1];
    for task in ["classify", "detect", "segment", "pose", "depth"] {
        let picture = sample(task).unwrap();
        let args = [task, "--json", picture.to_str().unwrap()];
        let local = Program::new(&prefix, "vaccel").args(args).output().unwrap();
        let answer = remote(&certs, address).args(args).output().unwrap();
        let result = |text: &str| {
            let json: serde_json::Value = serde_json::from_str(text).unwrap();
            json["files"][0]["result"].clone()
        };
        assert_eq!(result(&answer), result(&local), "{task}");
    }
    // And errors: without a certificate nobody comes in.
    let run = remote(&certs, address)
        .env("VACCEL_RPC_TLS_CERT", "")
        .env("VACCEL_RPC_TLS_KEY", "")
        .arg("info")
        .run()
        .unwrap();
    assert!(
        run.stdout.contains("asks for a certificate")
            || run.stderr.contains("asks for a certificate"),
        "{run:?}"
    );
}
