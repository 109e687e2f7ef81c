//! Models that are URLs, from a web server on loopback.
#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use vaccel_tests::{Program, stage};

/// Serves one file to everybody who asks; ends with the test's process.
fn serve(body: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let lines = BufReader::new(&stream).lines();
            lines
                .map_while(Result::ok)
                .take_while(|line| !line.is_empty())
                .for_each(drop);
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            );
            let _ = stream.write_all(head.as_bytes());
            let _ = stream.write_all(&body);
        }
    });
    format!("http://{address}/model.onnx")
}

fn vaccel(url: &str) -> Program {
    // No cache: nothing of one test may help another.
    Program::new(&stage().unwrap(), "vaccel")
        .env("VACCEL_CACHE", "")
        .args(["run", "--info", url])
}

#[test]
fn a_model_comes_from_a_url_and_is_bounded_checked_and_refused_where_switched_off() {
    let model = stage()
        .unwrap()
        .join("share/vaccel/models/digits-8x8/model.onnx");
    let url = serve(std::fs::read(model).unwrap());
    let info = vaccel(&url).output().unwrap();
    assert!(info.contains("input: f32 [?, 1, 8, 8]"), "{info}");

    let cases = [
        (
            "VACCEL_DOWNLOAD_LIMIT",
            "1000",
            url.clone(),
            "VACCEL_DOWNLOAD_LIMIT",
        ),
        ("VACCEL_DOWNLOAD_ENABLED", "0", url.clone(), "VACCEL_EPERM"),
        (
            "VACCEL_CACHE",
            "",
            format!("{url}#sha256={}", "0".repeat(64)),
            "SHA-256",
        ),
        (
            "VACCEL_CACHE",
            "",
            url.replace("http:", "ftp:"),
            "only http and https",
        ),
    ];
    for (variable, value, url, words) in cases {
        let run = vaccel(&url).env(variable, value).run().unwrap();
        assert_eq!(run.code, Some(1), "{variable}: {}", run.stderr);
        assert!(run.stderr.contains(words), "{variable}: {}", run.stderr);
    }
}
