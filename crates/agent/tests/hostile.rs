//! Bytes that are not the protocol, and clients that do not behave.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::{Agent, PATIENCE, wait_until};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;
use vaccel_transport::Connection;
use vaccel_wire::{FrameBuffer, HEADER_LEN, Header, Hello, Kind, Progress, Welcome, control};

/// Numbers that are the same in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        // xorshift64*
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next().to_le_bytes()[7]).collect()
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit as u64).unwrap()
    }
}

fn raw(agent: &Agent) -> UnixStream {
    let stream = UnixStream::from(OwnedFd::from(agent.stream()));
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// A stream on which HELLO and WELCOME have been exchanged.
fn opened(agent: &Agent) -> UnixStream {
    let mut stream = raw(agent);
    let mut hello = Vec::new();
    Hello::new(1 << 20).encode(&mut hello).unwrap();
    stream.write_all(&hello).unwrap();
    let mut bytes = Vec::new();
    loop {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        bytes.extend(byte);
        if let Ok(Progress::Done(welcome, _)) = Welcome::decode(&bytes) {
            assert_eq!(welcome.status, 0);
            return stream;
        }
    }
}

fn read_reply(stream: &mut UnixStream) -> Header {
    let mut bytes = [0; HEADER_LEN];
    stream.read_exact(&mut bytes).unwrap();
    let header = Header::decode(&bytes).unwrap();
    let rest = u64::from(header.meta_len) + header.payload_len;
    std::io::copy(&mut stream.take(rest), &mut std::io::sink()).unwrap();
    header
}

/// Reads until the agent hangs up.
fn reads_end(stream: &mut UnixStream) -> bool {
    let mut sink = Vec::new();
    match stream.read_to_end(&mut sink) {
        Ok(_) => true,
        Err(e) => e.kind() == std::io::ErrorKind::ConnectionReset,
    }
}

/// The agent still serves, and soon there is only the idle worker.
fn still_serves(agent: &mut Agent) {
    assert!(agent.is_running());
    let client = agent.connect();
    client.noop(client.open_session(0)).unwrap();
    drop(client);
    wait_until("only the idle worker is left", || {
        agent.workers().len() == 1 && agent.folders().len() == 1
    });
}

#[test]
fn random_bytes_end_their_own_connection_only() {
    let mut agent = Agent::start(&[]);
    let mut random = Random(0x5eed);
    for round in 0..30 {
        let count = 1 + random.below(3000);
        let bytes = random.bytes(count);
        let mut stream = if round % 2 == 0 {
            raw(&agent)
        } else {
            opened(&agent)
        };
        // The agent may hang up while they are being sent.
        let _ = stream.write_all(&bytes);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        assert!(reads_end(&mut stream));
    }
    still_serves(&mut agent);
    agent.stop();
}

#[test]
fn frames_that_are_changed_at_random_end_at_most_their_own_connection() {
    let mut agent = Agent::start(&["--isolation", "shared"]);
    let watcher = agent.connect();
    let session = watcher.open_session(0);
    let mut random = Random(0xbad);
    let data = [1; 700];
    for _ in 0..300 {
        let mut buffer = FrameBuffer::new();
        let mut builder = buffer.request(u16::try_from(random.below(280)).unwrap());
        for _ in 0..random.below(6) {
            match random.below(4) {
                0 => builder.read_scalar(random.next().cast_signed()),
                1 => builder.read_text("text"),
                2 => builder.read_buffer(&data),
                _ => builder.read_null(1),
            };
        }
        for _ in 0..random.below(4) {
            builder.write_capacity(28, 0, random.below(1000));
        }
        let mut frame = builder.finish().unwrap();
        frame.address(1, 0, 0);
        let mut bytes: Vec<u8> = frame.slices().flatten().copied().collect();
        for _ in 0..=random.below(4) {
            let at = random.below(bytes.len());
            bytes[at] ^= 1 << random.below(8);
        }
        let mut stream = opened(&agent);
        let _ = stream.write_all(&bytes);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        assert!(reads_end(&mut stream));
    }
    watcher.noop(session).unwrap();
    drop(watcher);
    assert!(agent.is_running());
    assert_eq!(agent.workers().len(), 1);
    agent.stop();
}

#[test]
fn a_frame_that_is_too_large_is_answered_before_the_agent_hangs_up() {
    let mut agent = Agent::start(&["--max-frame", "1M"]);
    let mut stream = opened(&agent);
    let mut header = Header::bare(Kind::Request, control::DESCRIBE, 7, 0);
    header.payload_len = u64::MAX / 2;
    stream.write_all(&header.encode()).unwrap();
    let reply = read_reply(&mut stream);
    assert_eq!(
        (reply.request, reply.status()),
        (7, vaccel_abi::error::ERANGE)
    );
    assert!(reads_end(&mut stream));
    still_serves(&mut agent);
    agent.stop();
}

#[test]
fn half_a_frame_and_half_a_hello_take_nothing_with_them() {
    let mut agent = Agent::start(&[]);
    let mut half_hello = raw(&agent);
    half_hello.write_all(b"vaccel/1").unwrap();
    let mut half_frame = opened(&agent);
    let mut header = Header::bare(Kind::Request, 0, 1, 0);
    header.payload_len = 1 << 29;
    half_frame.write_all(&header.encode()).unwrap();
    half_frame.write_all(&[0; 1000]).unwrap();
    // Both are held open while others are served.
    let client = agent.connect();
    client.noop(client.open_session(0)).unwrap();
    drop((client, half_hello, half_frame));
    still_serves(&mut agent);
    agent.stop();
}

#[test]
fn replies_and_requests_in_flight_twice_are_hung_up_on() {
    let mut agent = Agent::start(&[]);
    let mut stream = opened(&agent);
    stream
        .write_all(&Header::bare(Kind::Reply, 0, 1, 0).encode())
        .unwrap();
    assert!(reads_end(&mut stream));
    // A number may be used again once its request has been answered.
    let mut stream = opened(&agent);
    for _ in 0..3 {
        stream
            .write_all(&Header::bare(Kind::Request, 0, 1, 0).encode())
            .unwrap();
        assert_eq!(read_reply(&mut stream).status(), vaccel_abi::error::ESESS);
    }
    drop(stream);
    still_serves(&mut agent);
    agent.stop();
}

#[test]
fn a_client_of_another_version_is_told() {
    let agent = Agent::start(&[]);
    let mut stream = raw(&agent);
    let mut hello = Vec::new();
    let mut future = Hello::new(1 << 20);
    (future.lowest, future.highest) = (2, 9);
    future.encode(&mut hello).unwrap();
    stream.write_all(&hello).unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    let Ok(Progress::Done(welcome, _)) = Welcome::decode(&bytes) else {
        panic!("{bytes:?}");
    };
    assert_eq!(welcome.status, vaccel_abi::error::EREMOTEIO);
    assert!(
        welcome.text.contains("upgrade the older one"),
        "{}",
        welcome.text
    );
    agent.stop();
}

#[test]
fn clients_beyond_the_limit_are_told_and_others_come_when_there_is_room() {
    let agent = Agent::start(&["--max-connections", "2"]);
    let (one, _two) = (agent.connect(), agent.connect());
    let refused = agent.try_connect().err().unwrap().to_string();
    assert!(refused.contains("2 connections already"), "{refused}");
    drop(one);
    let mut three = None;
    wait_until("there is room again", || {
        three = agent.try_connect().ok();
        three.is_some()
    });
    agent.stop();
}

#[test]
fn a_client_that_does_not_read_does_not_hold_up_the_agent() {
    let mut agent = Agent::start(&["--isolation", "shared"]);
    let stalled = agent.stream();
    let options = vaccel_transport::Options {
        timeout: Duration::from_millis(300),
        ..vaccel_transport::Options::default()
    };
    let stalled = Connection::open(stalled, "the agent", &options).unwrap();
    // Requests for a description each, with nobody reading: the replies fill the socket.
    let mut buffer = FrameBuffer::new();
    let mut pending = Vec::new();
    for _ in 0..60 {
        let mut builder = buffer.request(control::DESCRIBE);
        builder.write_allocate(vaccel_abi::arg::ARG_BUFFER);
        let mut frame = builder.finish().unwrap();
        match stalled.begin(&mut frame, 0, None) {
            Ok(call) => pending.push(call),
            Err(_) => break,
        }
    }
    let client = agent.connect();
    let session = client.open_session(0);
    for _ in 0..100 {
        client.noop(session).unwrap();
    }
    assert!(agent.is_running());
    drop(pending);
    drop((client, stalled));
    agent.stop();
}
