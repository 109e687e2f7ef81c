//! Openings that fail.
#![allow(clippy::unwrap_used)]

mod common;
use common::SOON;
use std::time::{Duration, Instant};
use vaccel_abi::error::{EREMOTEIO, ETIMEDOUT};
use vaccel_transport::{ConnectError, Connection, Options, Stream, handshake};
use vaccel_wire::Welcome;

fn send(stream: &Stream, bytes: &[u8]) {
    // The client may have hung up already; that is its right.
    let _ = stream.send_until(bytes, Instant::now() + SOON);
}

fn opening(f: impl FnOnce(Stream) + Send + 'static) -> ConnectError {
    let (ours, theirs) = Stream::pair().unwrap();
    let thread = std::thread::spawn(move || f(theirs));
    let options = Options {
        connect_timeout: Duration::from_millis(300),
        token: Some(b"t".to_vec()),
        ..Options::default()
    };
    let start = Instant::now();
    let error = Connection::open(ours, "unix:///test", &options).unwrap_err();
    assert!(start.elapsed() < SOON / 2);
    thread.join().unwrap();
    error
}

#[test]
fn openings_that_fail_say_why() {
    let error = opening(|stream| {
        let opening = handshake::receive_hello(&stream, SOON).unwrap();
        assert_eq!(opening.hello().unwrap().token, Some(&b"t"[..]));
        let welcome = Welcome::refusal(13, "the token is not known");
        handshake::send_welcome(&stream, &welcome, SOON).unwrap();
    });
    assert_eq!(error.code(), 13);
    assert_eq!(
        error.to_string(),
        "the agent at unix:///test refuses the connection: the token is not known"
    );

    let error = opening(|stream| send(&stream, b"SSH-2.0-OpenSSH_9.2\r\n"));
    assert!(matches!(error, ConnectError::Protocol { .. }), "{error}");

    let error = opening(|stream| {
        let _ = handshake::receive_hello(&stream, SOON);
    });
    assert!(matches!(error, ConnectError::HungUp { .. }), "{error}");

    // Silent, and byte by byte: both end in time.
    let error =
        opening(
            |stream| while let Ok(1..) = stream.recv_until(&mut [0; 100], Instant::now() + SOON) {},
        );
    assert_eq!(error.code(), ETIMEDOUT);
    let error = opening(|stream| {
        let mut welcome = Vec::new();
        Welcome::refusal(1, "x").encode(&mut welcome);
        for byte in &welcome[..10] {
            send(&stream, &[*byte]);
            let _ = stream.recv_until(&mut [0; 100], Instant::now() + Duration::from_millis(40));
        }
    });
    assert!(matches!(error.code(), ETIMEDOUT | EREMOTEIO), "{error}");
}
