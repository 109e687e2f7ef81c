//! Reading and writing frames on a stream.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::{Duration, Instant};
use vaccel_transport::{FrameReader, FrameWriter, Message, ReadError, SendError, Stream};
use vaccel_wire::{FrameBuffer, Header, Kind, Limits};

const SOON: Duration = Duration::from_secs(10);

fn frame(operation: u16, data: &[&[u8]]) -> Vec<u8> {
    let mut buffer = FrameBuffer::new();
    let mut builder = buffer.request(operation);
    for bytes in data {
        builder.read_buffer(bytes);
    }
    builder
        .finish()
        .unwrap()
        .slices()
        .flatten()
        .copied()
        .collect()
}

fn check(message: &Message, operation: u16, data: &[&[u8]]) {
    assert_eq!(message.header.operation, operation);
    let args = message.args(&Limits::default()).unwrap();
    assert_eq!(message.payload().as_ptr() as usize % 64, 0);
    let got: Vec<&[u8]> = args.reads().map(|a| a.bytes(message.payload())).collect();
    assert!(got == data);
}

fn send(stream: &Stream, bytes: &[u8]) {
    stream.send_until(bytes, Instant::now() + SOON).unwrap();
}

fn pattern(n: usize) -> Vec<u8> {
    (0..n).map(|i| (i * 31 + i / 255) as u8).collect()
}

#[test]
fn frames_in_any_pieces_come_whole() {
    let large = pattern(50_000);
    let medium = pattern(15_000);
    let all: [&[&[u8]]; 6] = [
        &[],
        &[b"a"],
        &[&medium],
        &[&large, b"b", &medium],
        &[b""],
        &[&large],
    ];
    let bytes: Vec<u8> = (0..)
        .zip(all)
        .flat_map(|(i, data)| frame(i, data))
        .collect();
    for piece in [1, 7, 40, 41, 1000, 16_384, 30_000, bytes.len()] {
        let (a, b) = Stream::pair().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for part in bytes.chunks(piece) {
                    send(&a, part);
                }
                a.shutdown();
            });
            let mut reader = FrameReader::new(Limits::default());
            for (i, data) in (0..).zip(all) {
                check(&reader.read(&b).unwrap(), i, data);
            }
            assert!(!reader.is_mid_frame());
            assert!(matches!(reader.read(&b), Err(ReadError::Closed)));
        });
    }
}

#[test]
fn reading_goes_on_after_a_timeout() {
    let (a, b) = Stream::pair().unwrap();
    b.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
    let data = pattern(40_000);
    let bytes = frame(3, &[&data]);
    let mut reader = FrameReader::new(Limits::default());
    assert!(matches!(reader.read(&b), Err(ReadError::TimedOut)));
    assert!(!reader.is_mid_frame());
    for part in [
        &bytes[..10],
        &bytes[10..50],
        &bytes[50..70],
        &bytes[70..20_000],
        &bytes[20_000..39_999],
    ] {
        send(&a, part);
        assert!(matches!(reader.read(&b), Err(ReadError::TimedOut)));
        assert!(reader.is_mid_frame());
    }
    send(&a, &bytes[39_999..]);
    check(&reader.read(&b).unwrap(), 3, &[&data]);
    assert!(!reader.is_mid_frame());
}

#[test]
fn a_frame_that_ends_too_early_is_told_from_a_hang_up() {
    let bytes = frame(3, &[&pattern(20_000)]);
    for n in [1, 39, 40, 60, 100, 19_999] {
        let (a, b) = Stream::pair().unwrap();
        send(&a, &bytes[..n]);
        drop(a);
        let mut reader = FrameReader::new(Limits::default());
        assert!(matches!(reader.read(&b), Err(ReadError::Truncated)), "{n}");
    }
}

#[test]
fn a_meta_larger_than_the_buffer_is_taken() {
    let (a, b) = Stream::pair().unwrap();
    let args: Vec<Vec<u8>> = (0..5000_usize).map(|i| pattern(i % 5)).collect();
    let args: Vec<&[u8]> = args.iter().map(Vec::as_slice).collect();
    let bytes = frame(9, &args);
    std::thread::scope(|scope| {
        scope.spawn(|| send(&a, &bytes));
        let mut reader = FrameReader::new(Limits::default());
        check(&reader.read(&b).unwrap(), 9, &args);
    });
}

#[test]
fn a_frame_beyond_the_limits_is_refused_with_its_header() {
    let (a, b) = Stream::pair().unwrap();
    let mut reader = FrameReader::new(Limits::for_frame(1000));
    let header = Header {
        payload_len: 2000,
        ..Header::bare(Kind::Request, 1, 55, 0)
    };
    send(&a, &header.encode());
    for _ in 0..2 {
        match reader.read(&b) {
            Err(ReadError::Frame {
                header: Some(h),
                error,
            }) => {
                assert_eq!(h.request, 55);
                assert_eq!(error.code(), vaccel_abi::error::ERANGE);
            }
            other => panic!("{other:?}"),
        }
    }
    let (a, b) = Stream::pair().unwrap();
    send(&a, &[9; 40]);
    let mut reader = FrameReader::new(Limits::default());
    assert!(matches!(
        reader.read(&b),
        Err(ReadError::Frame { header: None, .. })
    ));
}

/// Bytes of memory that this process really has.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

#[test]
fn promises_of_large_frames_hold_no_memory() {
    let before = resident();
    let mut held = Vec::new();
    // A 32-bit process can hold the addresses of two such buffers only.
    let frames = if usize::BITS == 32 { 2 } else { 50 };
    for _ in 0..frames {
        let (a, b) = Stream::pair().unwrap();
        b.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        let mut head = frame(3, &[&[0; 70]]);
        head.truncate(40 + 24);
        // A buffer of 900 MiB, of which 10 000 bytes arrive.
        head[40 + 8..40 + 16].copy_from_slice(&(900_u64 << 20).to_le_bytes());
        head[32..40].copy_from_slice(&(900_u64 << 20).to_le_bytes());
        send(&a, &head);
        send(&a, &[1; 10_000]);
        let mut reader = FrameReader::new(Limits::default());
        assert!(matches!(reader.read(&b), Err(ReadError::TimedOut)));
        held.push((a, b, reader));
    }
    // Other tests of this file run beside this one; 2 x 900 MiB would show.
    let grown = resident().saturating_sub(before);
    assert!(grown < 400 << 20, "{grown} bytes");
}

#[test]
fn frames_of_many_threads_are_not_mixed() {
    let (a, b) = Stream::pair().unwrap();
    let writer = FrameWriter::new(Arc::new(a));
    let sizes = [0, 100, 5000, 100_000, 400_000];
    std::thread::scope(|scope| {
        for thread in 0..5_u16 {
            let writer = &writer;
            scope.spawn(move || {
                let mut buffer = FrameBuffer::new();
                for round in 0..40 {
                    let data = pattern(sizes[(usize::from(thread) + round) % sizes.len()]);
                    let mut builder = buffer.request(thread);
                    builder.read_buffer(&data).read_scalar(round as u64);
                    writer.send(&builder.finish().unwrap(), None).unwrap();
                    if round % 10 == 0 {
                        writer.post(&FrameBuffer::new().bare(Kind::Cancel, round as u64));
                    }
                }
            });
        }
        let mut reader = FrameReader::new(Limits::default());
        let mut rounds = [0_usize; 5];
        let mut cancels = 0;
        while rounds != [40; 5] || cancels < 20 {
            let message = reader.read(&b).unwrap();
            if message.header.kind == Kind::Cancel {
                cancels += 1;
                continue;
            }
            let thread = usize::from(message.header.operation);
            let round = rounds[thread];
            rounds[thread] += 1;
            let data = pattern(sizes[(thread + round) % sizes.len()]);
            let number = (round as u64).to_le_bytes();
            check(&message, thread as u16, &[&data, &number]);
        }
    });
}

#[test]
fn a_frame_of_very_many_pieces_is_sent() {
    let (a, b) = Stream::pair().unwrap();
    let writer = FrameWriter::new(Arc::new(a));
    let args: Vec<Vec<u8>> = (0..500).map(|i| pattern(600 + i)).collect();
    let args: Vec<&[u8]> = args.iter().map(Vec::as_slice).collect();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut buffer = FrameBuffer::new();
            let mut builder = buffer.request(1);
            for bytes in &args {
                builder.read_buffer(bytes);
            }
            writer.send(&builder.finish().unwrap(), None).unwrap();
        });
        check(
            &FrameReader::new(Limits::default()).read(&b).unwrap(),
            1,
            &args,
        );
    });
}

#[test]
fn a_frame_that_ran_out_of_time_is_finished_before_the_next_one() {
    let (a, b) = Stream::pair().unwrap();
    let writer = FrameWriter::new(Arc::new(a));
    let data = pattern(2 << 20);
    let mut buffer = FrameBuffer::new();
    let mut builder = buffer.request(1);
    builder.read_buffer(&data);
    let large = builder.finish().unwrap();
    let start = Instant::now();
    let deadline = start + Duration::from_millis(50);
    let error = writer.send(&large, Some(deadline)).unwrap_err();
    assert!(
        matches!(error, SendError::TimedOut { begun: true }),
        "{error}"
    );
    assert!(start.elapsed() < SOON / 2);
    // One that has not begun leaves nothing behind.
    let mut other = FrameBuffer::new();
    let small = other.bare(Kind::Ping, 1);
    let error = writer.send(&small, Some(deadline)).unwrap_err();
    assert!(
        matches!(error, SendError::TimedOut { begun: false }),
        "{error}"
    );
    writer.post(&other.bare(Kind::Cancel, 7));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut buffer = FrameBuffer::new();
            writer.send(&buffer.bare(Kind::Ping, 2), None).unwrap();
        });
        let mut reader = FrameReader::new(Limits::default());
        check(&reader.read(&b).unwrap(), 1, &[&data]);
        assert_eq!(reader.read(&b).unwrap().header.kind, Kind::Cancel);
        let ping = reader.read(&b).unwrap().header;
        assert_eq!((ping.kind, ping.request), (Kind::Ping, 2));
    });
}

#[test]
fn a_writer_whose_peer_is_gone_says_so_from_then_on() {
    let (a, b) = Stream::pair().unwrap();
    drop(b);
    let writer = FrameWriter::new(Arc::new(a));
    for _ in 0..2 {
        let error = writer
            .send(&FrameBuffer::new().bare(Kind::Ping, 1), None)
            .unwrap_err();
        assert_eq!(error.to_string(), "the peer hung up");
    }
}
