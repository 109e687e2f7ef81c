//! Agents that are broken, mean harm, or die.
#![allow(clippy::unwrap_used)]

mod common;
use common::{SOON, ended_by_its_deadline, hostile, until};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};
use vaccel_abi::error::{EREMOTEIO, ESESS, ETIMEDOUT};
use vaccel_transport::{CallError, Collect, Connection, FrameReader, FrameWriter, Options, Stream};
use vaccel_wire::{FrameBuffer, Header, Kind, Limits};

fn call(connection: &Connection, timeout: Duration) -> Result<Vec<Vec<u8>>, CallError> {
    let mut buffer = FrameBuffer::new();
    let mut builder = buffer.request(1);
    builder.read_buffer(b"data").write_capacity(28, 0, 64);
    let mut collect = Collect::default();
    connection.call(
        &mut builder.finish().unwrap(),
        0,
        Some(timeout),
        &mut collect,
    )?;
    Ok(collect.outputs)
}

/// Reads one request and gives its header.
fn request(stream: &Stream) -> Header {
    FrameReader::new(Limits::default())
        .read(stream)
        .unwrap()
        .header
}

fn send(stream: &Stream, bytes: &[u8]) {
    // The client may have hung up already; that is its right.
    let _ = stream.send_until(bytes, Instant::now() + SOON);
}

/// The bytes of the right answer.
fn right(header: &Header) -> Vec<u8> {
    let mut buffer = FrameBuffer::new();
    let mut builder = buffer.reply(header);
    builder.write_bytes(28, 0, b"data");
    builder
        .finish()
        .unwrap()
        .slices()
        .flatten()
        .copied()
        .collect()
}

/// The call fails at once with this code, and its message has these words.
fn fails(code: i32, words: &str, agent: impl FnOnce(Stream, Header) + Send + 'static) {
    let (connection, thread) = hostile(&Options::default(), |stream| {
        let header = request(&stream);
        agent(stream, header);
    });
    let start = Instant::now();
    let error = call(&connection, SOON).unwrap_err();
    assert!(
        start.elapsed() < SOON / 2,
        "only after {:?}",
        start.elapsed()
    );
    assert_eq!(error.code(), code, "{error}");
    assert!(error.to_string().contains(words), "{error}");
    drop(connection);
    thread.join().unwrap();
}

#[test]
fn a_hang_up_instead_of_a_reply_is_told_at_once() {
    fails(
        EREMOTEIO,
        "connection to agent unix:///test lost: the agent hung up",
        |_, _| {},
    );
}

#[test]
fn a_hang_up_in_the_middle_of_a_reply_is_told_at_once() {
    for n in [1, 39, 40, 50, 64, 65] {
        fails(
            EREMOTEIO,
            "in the middle of a reply",
            move |stream, header| {
                send(&stream, &right(&header)[..n]);
            },
        );
    }
}

#[test]
fn garbage_is_told_at_once() {
    fails(EREMOTEIO, "what is no frame", |stream, _| {
        send(&stream, &[0xff; 100])
    });
    fails(EREMOTEIO, "what is no frame", |stream, _| {
        send(
            &stream,
            b"HTTP/1.1 400 Bad Request\r\n\r\n.......................",
        )
    });
}

#[test]
fn an_answer_to_what_was_not_asked_ends_the_connection() {
    for request in [0, 7, u64::MAX] {
        fails(EREMOTEIO, "number of the request", move |stream, header| {
            send(&stream, &right(&Header { request, ..header }));
        });
    }
    fails(EREMOTEIO, "kind", |stream, header| {
        send(
            &stream,
            &Header::bare(Kind::Request, 0, header.request, 0).encode(),
        );
    });
}

#[test]
fn answering_twice_ends_the_connection() {
    let (connection, thread) = hostile(&Options::default(), |stream| {
        let header = request(&stream);
        send(&stream, &right(&header));
        send(&stream, &right(&header));
        // Until the client hangs up.
        let _ = stream.recv_until(&mut [0; 200], Instant::now() + SOON);
        let _ = stream.recv_until(&mut [0; 200], Instant::now() + SOON);
    });
    call(&connection, SOON).unwrap();
    assert_eq!(call(&connection, SOON).unwrap_err().code(), EREMOTEIO);
    drop(connection);
    thread.join().unwrap();
}

#[test]
fn replies_that_do_not_fit_are_errors() {
    // More than there is room for.
    fails(EREMOTEIO, "what is no frame", |stream, header| {
        let promise = Header {
            payload_len: 1 << 50,
            meta_len: 24,
            nr_write: 1,
            ..Header::bare(Kind::Reply, 1, header.request, 0)
        };
        send(&stream, &promise.encode());
    });
    // Too few outputs, too many outputs, a sign of life instead.
    fails(EREMOTEIO, "does not fit", |stream, header| {
        let frame = Header::bare(Kind::Reply, 1, header.request, 0).encode();
        send(&stream, &frame);
    });
    fails(
        EREMOTEIO,
        "2 outputs, and 1 were asked for",
        |stream, header| {
            let mut buffer = FrameBuffer::new();
            let mut builder = buffer.reply(&header);
            builder.write_scalar(1_u8).write_scalar(2_u8);
            let frame = builder.finish().unwrap();
            send(
                &stream,
                &frame.slices().flatten().copied().collect::<Vec<_>>(),
            );
        },
    );
    fails(EREMOTEIO, "does not fit", |stream, header| {
        send(
            &stream,
            &Header::bare(Kind::Pong, 1, header.request, 0).encode(),
        );
    });
    // Lengths that contradict each other.
    fails(EREMOTEIO, "does not fit", |stream, header| {
        let mut frame = right(&header);
        frame[32] += 1;
        frame.push(0);
        send(&stream, &frame);
    });
}

#[test]
fn an_agent_that_never_answers_is_left_at_the_deadline() {
    let (connection, thread) = hostile(&Options::default(), |stream| {
        let mut all = Vec::new();
        let mut buf = [0; 4096];
        while let Ok(n @ 1..) = stream.recv_until(&mut buf, Instant::now() + SOON) {
            all.extend_from_slice(&buf[..n]);
        }
        // Request and CANCEL of each of the five calls.
        let request = 40 + 2 * 24 + 4;
        assert_eq!(all.len(), 5 * (request + 40));
        assert_eq!((all[request], all[request + 40]), (3, 1));
    });
    for millis in [20, 300, 60, 150, 10] {
        let timeout = Duration::from_millis(millis);
        let start = Instant::now();
        let error = call(&connection, timeout).unwrap_err();
        ended_by_its_deadline(timeout, start.elapsed());
        assert_eq!(error.code(), ETIMEDOUT);
    }
    drop(connection);
    thread.join().unwrap();
}

#[test]
fn a_reply_byte_by_byte_is_taken_and_one_that_is_too_slow_is_left() {
    let (connection, thread) = hostile(&Options::default(), |stream| {
        let mut reader = FrameReader::new(Limits::default());
        let header = reader.read(&stream).unwrap().header;
        for byte in right(&header) {
            send(&stream, &[byte]);
        }
        let header = reader.read(&stream).unwrap().header;
        let reply = right(&header);
        send(&stream, &reply[..60]);
        // The client gives up, says so, and asks anew.
        assert_eq!(reader.read(&stream).unwrap().header.kind, Kind::Cancel);
        let header = reader.read(&stream).unwrap().header;
        send(&stream, &reply[60..]);
        send(&stream, &right(&header));
    });
    assert_eq!(call(&connection, SOON).unwrap(), [b"data"]);
    let start = Instant::now();
    let error = call(&connection, Duration::from_millis(100)).unwrap_err();
    assert_eq!(error.code(), ETIMEDOUT);
    assert!(start.elapsed() < SOON / 2);
    assert_eq!(call(&connection, SOON).unwrap(), [b"data"]);
    thread.join().unwrap();
}

#[test]
fn a_large_reply_that_stops_half_way_is_left_and_its_rest_is_dropped() {
    let size = 1 << 20;
    let (go, gone) = mpsc::channel();
    let (connection, thread) = hostile(&Options::default(), move |stream| {
        let mut reader = FrameReader::new(Limits::default());
        let header = reader.read(&stream).unwrap().header;
        let data = vec![5; size];
        let mut buffer = FrameBuffer::new();
        let mut builder = buffer.reply(&header);
        builder.write_bytes(28, 0, &data);
        let reply: Vec<u8> = builder
            .finish()
            .unwrap()
            .slices()
            .flatten()
            .copied()
            .collect();
        send(&stream, &reply[..100_000]);
        gone.recv().unwrap();
        // The reply had come as far as the client is concerned: no CANCEL.
        let rest = std::thread::spawn({
            let stream = stream.try_clone().unwrap();
            move || send(&stream, &reply[100_000..])
        });
        let header = reader.read(&stream).unwrap().header;
        assert_eq!(header.kind, Kind::Request);
        rest.join().unwrap();
        send(&stream, &right(&header));
    });
    let mut out = vec![0; size];
    struct Into<'o>(&'o mut [u8]);
    impl vaccel_transport::Outputs for Into<'_> {
        fn place(
            &mut self,
            _: &vaccel_wire::Arg<'_>,
        ) -> Result<vaccel_transport::Destination, vaccel_transport::PlaceError> {
            // SAFETY: borrowed over the call.
            Ok(unsafe { vaccel_transport::Destination::new(self.0.as_mut_ptr(), self.0.len()) })
        }
    }
    let mut buffer = FrameBuffer::new();
    let mut builder = buffer.request(1);
    builder.write_capacity(28, 0, size);
    let mut frame = builder.finish().unwrap();
    let start = Instant::now();
    let timeout = Duration::from_millis(100);
    let error = connection
        .call(&mut frame, 0, Some(timeout), &mut Into(&mut out))
        .unwrap_err();
    assert_eq!(error.code(), ETIMEDOUT);
    assert!(start.elapsed() < SOON / 2);
    out.fill(9);
    go.send(()).unwrap();
    assert_eq!(call(&connection, SOON).unwrap(), [b"data"]);
    assert!(
        out.iter().all(|&b| b == 9),
        "memory was written after the call"
    );
    thread.join().unwrap();
}

#[test]
fn the_death_of_an_agent_ends_all_calls_at_once() {
    let (connection, thread) = hostile(&Options::default(), |stream| {
        let mut reader = FrameReader::new(Limits::default());
        for _ in 0..8 {
            reader.read(&stream).unwrap();
        }
    });
    std::thread::scope(|scope| {
        let start = Instant::now();
        let calls: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| call(&connection, SOON)))
            .collect();
        for call in calls {
            let error = call.join().unwrap().unwrap_err();
            assert_eq!(error.code(), EREMOTEIO);
            assert!(
                error
                    .to_string()
                    .starts_with("connection to agent unix:///test lost: ")
            );
        }
        assert!(start.elapsed() < SOON / 2);
    });
    assert!(!connection.is_usable());
    let error = call(&connection, SOON).unwrap_err();
    assert_eq!(error.code(), ESESS);
    assert!(
        error
            .to_string()
            .contains("lost: the agent hung up; open a new session"),
        "{error}"
    );
    thread.join().unwrap();
}

#[test]
fn closing_ends_the_calls_in_flight() {
    let (connection, thread) = hostile(&Options::default(), |stream| {
        request(&stream);
        assert_eq!(
            stream.recv_until(&mut [0], Instant::now() + SOON).unwrap(),
            0
        );
    });
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| call(&connection, SOON));
        until("the call waits", || !waiting.is_finished());
        connection.close();
        let code = waiting.join().unwrap().unwrap_err().code();
        // It may not have begun when the connection was closed.
        assert!(code == EREMOTEIO || code == ESESS);
    });
    let _ = thread.join();
}

#[test]
fn an_agent_that_takes_nothing_is_left_at_the_deadline() {
    let (done, wait) = mpsc::channel::<()>();
    let (connection, thread) = hostile(&Options::default(), move |stream| {
        wait.recv().unwrap();
        drop(stream);
    });
    let data = vec![0; 64 << 20];
    std::thread::scope(|scope| {
        // One is stuck in the middle of sending; the others wait behind it.
        for millis in [300, 100, 100] {
            let (connection, data) = (&connection, &data);
            scope.spawn(move || {
                let mut buffer = FrameBuffer::new();
                let mut builder = buffer.request(1);
                builder.read_buffer(data);
                let mut frame = builder.finish().unwrap();
                let timeout = Duration::from_millis(millis);
                let start = Instant::now();
                let error = connection
                    .call(&mut frame, 0, Some(timeout), &mut ())
                    .unwrap_err();
                let took = start.elapsed();
                // Too much is left of the one that has begun: the stream is lost.
                assert!(
                    matches!(error.code(), ETIMEDOUT | EREMOTEIO | ESESS),
                    "{error}"
                );
                assert!(took < SOON / 2, "{took:?}");
            });
        }
    });
    done.send(()).unwrap();
    thread.join().unwrap();
}

#[test]
fn memory_that_cannot_be_sent_ends_the_connection_at_once_and_says_so() {
    let (connection, thread) = hostile(&Options::default(), |stream| {
        let mut reader = FrameReader::new(Limits::default());
        while reader.read(&stream).is_ok() {}
    });
    // A program in C may pass a pointer to memory that is not there.
    let len = 1 << 20;
    // SAFETY: a new mapping that may not be read.
    let at = unsafe {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        libc::mmap(std::ptr::null_mut(), len, libc::PROT_NONE, flags, -1, 0)
    };
    assert_ne!(at, libc::MAP_FAILED);
    // SAFETY: never read by this program; the kernel finds out.
    let bytes = unsafe { std::slice::from_raw_parts(at.cast::<u8>(), len) };
    let mut buffer = FrameBuffer::new();
    let mut builder = buffer.request(1);
    builder.read_buffer(bytes);
    let mut frame = builder.finish().unwrap();
    let start = Instant::now();
    let error = connection
        .call(&mut frame, 0, Some(SOON), &mut ())
        .unwrap_err();
    assert!(start.elapsed() < SOON / 2);
    assert_eq!(error.code(), EREMOTEIO);
    assert!(
        error.to_string().contains("cannot send: Bad address"),
        "{error}"
    );
    assert_eq!(call(&connection, SOON).unwrap_err().code(), ESESS);
    drop(connection);
    thread.join().unwrap();
    // SAFETY: mapped above; nothing refers to it any more.
    unsafe { libc::munmap(at, len) };
}

#[test]
fn a_sign_of_life_is_given() {
    let (connection, thread) = hostile(&Options::default(), |stream| {
        let stream = Arc::new(stream);
        let mut reader = FrameReader::new(Limits::default());
        let header = reader.read(&stream).unwrap().header;
        let writer = FrameWriter::new(Arc::clone(&stream));
        writer.post(&FrameBuffer::new().bare(Kind::Ping, 99));
        let pong = reader.read(&stream).unwrap().header;
        assert_eq!((pong.kind, pong.request), (Kind::Pong, 99));
        send(&stream, &right(&header));
    });
    assert_eq!(call(&connection, SOON).unwrap(), [b"data"]);
    thread.join().unwrap();
}

#[test]
fn a_message_of_a_reply_is_fit_for_a_log() {
    let (connection, thread) = hostile(&Options::default(), |stream| {
        let header = request(&stream);
        let mut buffer = FrameBuffer::new();
        let frame = buffer.error_reply(&header, -5, "a\u{7}b");
        send(
            &stream,
            &frame.slices().flatten().copied().collect::<Vec<_>>(),
        );
    });
    let error = call(&connection, SOON).unwrap_err();
    assert_eq!(
        (error.code(), error.to_string().as_str()),
        (EREMOTEIO, "a\u{fffd}b")
    );
    thread.join().unwrap();
}
