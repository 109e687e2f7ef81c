//! Replies that come in pieces, with other frames in between.
#![allow(clippy::unwrap_used)]

mod common;
use common::SOON;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use vaccel_abi::error::{EREMOTEIO, ETIMEDOUT};
use vaccel_transport::{
    CallError, Collect, Connection, FrameReader, FrameWriter, Options, Stream, handshake,
};
use vaccel_wire::{FEATURE_PIECES, FrameBuffer, HEADER_LEN, Header, Kind, Limits, Welcome};

/// A connection to an agent that sends pieces.
fn agent(f: impl FnOnce(Stream) + Send + 'static) -> (Arc<Connection>, JoinHandle<()>) {
    agent_with(FEATURE_PIECES, &Options::default(), f)
}

fn agent_with(
    features: u32,
    options: &Options,
    f: impl FnOnce(Stream) + Send + 'static,
) -> (Arc<Connection>, JoinHandle<()>) {
    let (ours, theirs) = Stream::pair().unwrap();
    let thread = std::thread::spawn(move || {
        handshake::receive_hello(&theirs, SOON).unwrap();
        let welcome = Welcome {
            in_flight: 16,
            max_frame: 1 << 30,
            default_deadline_ms: 60_000,
            features,
            ..Welcome::refusal(0, "")
        };
        handshake::send_welcome(&theirs, &welcome, SOON).unwrap();
        f(theirs);
    });
    let connection = Connection::open(ours, "unix:///test", options).unwrap();
    (Arc::new(connection), thread)
}

/// Asks for `bytes` bytes.
fn call(connection: &Connection, bytes: usize, timeout: Duration) -> Result<Vec<u8>, CallError> {
    let mut buffer = FrameBuffer::new();
    let mut builder = buffer.request(1);
    builder
        .read_scalar(bytes as u64)
        .write_capacity(28, 0, bytes);
    let mut collect = Collect::default();
    connection.call(
        &mut builder.finish().unwrap(),
        0,
        Some(timeout),
        &mut collect,
    )?;
    Ok(collect.outputs.remove(0))
}

/// What a reply of so many bytes holds.
fn content(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|i| (i % 251 + bytes % 7) as u8).collect()
}

fn asked(message: &vaccel_transport::Message) -> usize {
    let args = message.args(&Limits::default()).unwrap();
    let mut reads = vaccel_wire::ArgReader::new(args.reads(), message.payload());
    reads.scalar::<u64>().unwrap() as usize
}

/// The bytes of a reply, whole.
fn reply(header: &Header, bytes: usize) -> Vec<u8> {
    let content = content(bytes);
    let mut buffer = FrameBuffer::new();
    let mut builder = buffer.reply(header);
    builder.write_bytes(28, 0, &content);
    let frame = builder.finish().unwrap();
    frame.slices().flatten().copied().collect()
}

/// The beginning of a reply in pieces, and its pieces.
fn pieces(header: &Header, bytes: usize, piece: usize) -> (Vec<u8>, Vec<Vec<u8>>) {
    cut(reply(header, bytes), header, piece)
}

fn cut(mut whole: Vec<u8>, header: &Header, piece: usize) -> (Vec<u8>, Vec<Vec<u8>>) {
    let meta = u32::from_le_bytes(whole[28..32].try_into().unwrap());
    let payload = whole.split_off(HEADER_LEN + meta as usize);
    whole[0] = Kind::ReplyInPieces as u8;
    let pieces = payload.chunks(piece).map(|chunk| {
        let mut header = Header::bare(Kind::Piece, 0, header.request, 0);
        header.payload_len = chunk.len() as u64;
        [&header.encode()[..], chunk].concat()
    });
    let pieces = pieces.collect();
    (whole, pieces)
}

fn send(stream: &Stream, bytes: &[u8]) {
    // The client may have hung up already; that is its right.
    let _ = stream.send_until(bytes, Instant::now() + SOON);
}

const LARGE: usize = 1_000_003;
const PIECE: usize = 100_000;

/// The large call reads for both, or the small one does.
#[test]
fn a_small_reply_overtakes_a_large_one_whoever_reads() {
    for large_first in [true, false] {
        let (goes_on, may_go_on) = mpsc::channel::<()>();
        let (seen, has_seen) = mpsc::channel::<()>();
        let (connection, thread) = agent(move |stream| {
            let mut reader = FrameReader::new(Limits::default());
            let mut next = || {
                let message = reader.read(&stream).unwrap();
                seen.send(()).unwrap();
                (message.header, asked(&message))
            };
            let mut both = [next(), next()];
            both.sort_by_key(|(_, bytes)| *bytes);
            let [(small, small_bytes), (large, large_bytes)] = both;
            let (first, pieces) = pieces(&large, large_bytes, PIECE);
            send(&stream, &first);
            send(&stream, &pieces[0]);
            send(&stream, &pieces[1][..70_000]);
            send(&stream, &pieces[1][70_000..]);
            send(&stream, &reply(&small, small_bytes));
            may_go_on.recv_timeout(SOON).unwrap();
            for piece in &pieces[2..] {
                send(&stream, piece);
            }
        });
        let spawn = |bytes| {
            let connection = Arc::clone(&connection);
            let call = std::thread::spawn(move || call(&connection, bytes, SOON).unwrap());
            has_seen.recv_timeout(SOON).unwrap();
            call
        };
        let (small, large);
        if large_first {
            large = spawn(LARGE);
            small = spawn(5);
        } else {
            small = spawn(5);
            large = spawn(LARGE);
        }
        assert!(small.join().unwrap() == content(5));
        assert!(!large.is_finished());
        goes_on.send(()).unwrap();
        assert!(large.join().unwrap() == content(LARGE));
        drop(connection);
        thread.join().unwrap();
    }
}

#[test]
fn many_threads_get_what_they_asked_for() {
    let (connection, thread) = agent(|stream| {
        let stream = Arc::new(stream);
        let writer = Arc::new(FrameWriter::new(Arc::clone(&stream)).in_pieces(4 << 20));
        let mut reader = FrameReader::new(Limits::default());
        std::thread::scope(|scope| {
            while let Ok(message) = reader.read(&stream) {
                let writer = Arc::clone(&writer);
                scope.spawn(move || {
                    let content = content(asked(&message));
                    let mut buffer = FrameBuffer::new();
                    let mut builder = buffer.reply(&message.header);
                    builder.write_bytes(28, 0, &content);
                    let frame = builder.finish().unwrap();
                    writer.send(&frame, Some(Instant::now() + SOON)).unwrap();
                });
            }
        });
    });
    std::thread::scope(|scope| {
        for thread in 0..6_usize {
            let connection = &connection;
            scope.spawn(move || {
                for round in 0..12 {
                    let sizes = [1, 300, 262_144, 262_145, 1_500_000, 3_000_001];
                    let bytes = sizes[(thread + round) % sizes.len()];
                    assert!(call(connection, bytes, SOON).unwrap() == content(bytes));
                }
            });
        }
    });
    drop(connection);
    thread.join().unwrap();
}

#[test]
fn a_call_that_gives_up_between_two_pieces_leaves_the_connection_as_it_was() {
    let (given_up, has_given_up) = mpsc::channel::<()>();
    let (connection, thread) = agent(move |stream| {
        let mut reader = FrameReader::new(Limits::default());
        let large = reader.read(&stream).unwrap().header;
        let (first, pieces) = pieces(&large, LARGE, PIECE);
        send(&stream, &first);
        send(&stream, &pieces[0]);
        send(&stream, &pieces[1][..1000]);
        has_given_up.recv_timeout(SOON).unwrap();
        send(&stream, &pieces[1][1000..]);
        loop {
            let message = reader.read(&stream).unwrap();
            if message.header.kind == Kind::Request {
                send(&stream, &pieces[2]);
                send(&stream, &reply(&message.header, asked(&message)));
                break;
            }
            assert_eq!(message.header.kind, Kind::Cancel);
        }
        for piece in &pieces[3..] {
            send(&stream, piece);
        }
        let again = reader.read(&stream).unwrap();
        send(&stream, &reply(&again.header, asked(&again)));
    });
    let error = call(&connection, LARGE, Duration::from_millis(100)).unwrap_err();
    assert_eq!(error.code(), ETIMEDOUT, "{error}");
    given_up.send(()).unwrap();
    for bytes in [10, 20] {
        assert!(call(&connection, bytes, SOON).unwrap() == content(bytes));
    }
    drop(connection);
    thread.join().unwrap();
}

#[test]
fn a_reply_that_does_not_fit_the_request_is_refused_and_nothing_else_is() {
    let (connection, thread) = agent(|stream| {
        let mut reader = FrameReader::new(Limits::default());
        for outputs in [2, 1] {
            let header = reader.read(&stream).unwrap().header;
            let content = content(LARGE);
            let mut buffer = FrameBuffer::new();
            let mut builder = buffer.reply(&header);
            for _ in 0..outputs {
                builder.write_bytes(28, 0, &content);
            }
            let frame = builder.finish().unwrap();
            let whole = frame.slices().flatten().copied().collect();
            let (first, pieces) = cut(whole, &header, PIECE);
            send(&stream, &first);
            pieces.iter().for_each(|piece| send(&stream, piece));
        }
    });
    let error = call(&connection, LARGE, SOON).unwrap_err();
    assert!(error.to_string().contains("2 outputs"), "{error}");
    let right = call(&connection, LARGE, SOON).is_ok_and(|got| got == content(LARGE));
    assert!(right);
    drop(connection);
    thread.join().unwrap();
}

/// The call fails at once, and its message has these words.
fn fails(words: &str, agent: impl FnOnce(&Stream, Header) + Send + 'static) {
    fails_with(FEATURE_PIECES, words, agent);
}

fn fails_with(features: u32, words: &str, agent: impl FnOnce(&Stream, Header) + Send + 'static) {
    let (connection, thread) = agent_with(features, &Options::default(), |stream| {
        let header = FrameReader::new(Limits::default())
            .read(&stream)
            .unwrap()
            .header;
        agent(&stream, header);
        // Whoever is refused is hung up on.
        let _ = FrameReader::new(Limits::default()).read(&stream);
    });
    let error = call(&connection, LARGE, SOON).unwrap_err();
    assert_eq!(error.code(), EREMOTEIO, "{error}");
    assert!(error.to_string().contains(words), "{error}");
    drop(connection);
    thread.join().unwrap();
}

#[test]
fn pieces_that_nobody_can_make_sense_of_end_the_connection() {
    let piece = |request, bytes: usize| {
        let mut header = Header::bare(Kind::Piece, 0, request, 0);
        header.payload_len = bytes as u64;
        [&header.encode()[..], &vec![7; bytes]].concat()
    };
    fails("number of the request", move |stream, header| {
        send(stream, &piece(header.request, 10));
    });
    fails("number of the request", move |stream, header| {
        send(stream, &pieces(&header, LARGE, PIECE).0);
        send(stream, &piece(header.request + 1, 10));
    });
    fails("length", move |stream, header| {
        send(stream, &pieces(&header, LARGE, PIECE).0);
        send(stream, &piece(header.request, LARGE + 1));
    });
    fails("length", move |stream, header| {
        send(stream, &pieces(&header, LARGE, PIECE).0);
        send(stream, &piece(header.request, 0));
    });
    fails("number of the request", move |stream, header| {
        send(stream, &pieces(&header, LARGE, PIECE).0);
        send(stream, &reply(&header, LARGE));
    });
    fails("number of the request", move |stream, header| {
        let (first, _) = pieces(&header, LARGE, PIECE);
        send(stream, &[&first[..], &first].concat());
    });
    fails_with(0, "kind", move |stream, header| {
        send(stream, &pieces(&header, LARGE, PIECE).0);
    });
    fails("what is no frame", move |stream, header| {
        let (mut first, _) = pieces(&header, LARGE, PIECE);
        first[32..40].copy_from_slice(&u64::MAX.to_le_bytes());
        send(stream, &first);
    });
}

#[test]
fn a_hang_up_between_two_pieces_is_told_at_once() {
    for (sent, rest) in [(0, 0), (1, 0), (1, 20), (2, 50_000)] {
        let (connection, thread) = agent(move |stream| {
            let header = FrameReader::new(Limits::default())
                .read(&stream)
                .unwrap()
                .header;
            let (first, pieces) = pieces(&header, LARGE, PIECE);
            send(&stream, &first);
            pieces[..sent].iter().for_each(|piece| send(&stream, piece));
            send(&stream, &pieces[sent][..rest]);
        });
        let error = call(&connection, LARGE, SOON).unwrap_err();
        assert_eq!(error.code(), EREMOTEIO, "{error}");
        assert!(error.to_string().contains("hung up"), "{error}");
        thread.join().unwrap();
    }
}
