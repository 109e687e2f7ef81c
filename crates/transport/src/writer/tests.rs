//! One frame after the other, as sockets take them.
#![allow(clippy::unwrap_used)]
use super::*;
use crate::Family;
use socket2::{Domain, Socket, Type};
use std::io::Read;
use vaccel_wire::FrameBuffer;

#[test]
fn writes_to_a_vsock_are_at_most_32_kib() {
    // A socket that keeps the bounds of writes stands in for a vsock.
    let (ours, mut theirs) = Socket::pair(Domain::UNIX, Type::SEQPACKET, None).unwrap();
    let writer = FrameWriter::new(Arc::new(Stream::new(ours.into(), Family::Vsock)));
    let data: Vec<u8> = (0..200_000).map(|i| (i % 253) as u8).collect();
    let mut buffer = FrameBuffer::new();
    let mut builder = buffer.request(1);
    builder.read_buffer(&data[..1000]).read_buffer(&data);
    let frame = builder.finish().unwrap();
    let expected: Vec<u8> = frame.slices().flatten().copied().collect();
    let mut got = Vec::new();
    std::thread::scope(|scope| {
        scope.spawn(|| writer.send(&frame, None).unwrap());
        let mut packet = vec![0; 1 << 20];
        while got.len() < expected.len() {
            let n = theirs.read(&mut packet).unwrap();
            assert!(n > 0 && n <= 32 << 10, "{n}");
            got.extend_from_slice(&packet[..n]);
        }
    });
    assert!(got == expected);
    writer
        .send(
            &FrameBuffer::new().error_reply(
                &vaccel_wire::Header::bare(vaccel_wire::Kind::Request, 0, 1, 0),
                5,
                "small frames are one write",
            ),
            None,
        )
        .unwrap();
    let mut packet = [0; 200];
    assert_eq!(theirs.read(&mut packet).unwrap(), 40 + 24 + 27);
}

#[test]
fn a_frame_that_is_partly_on_the_socket_is_counted_until_it_is_there_as_a_whole() {
    static MIDWAY: AtomicU64 = AtomicU64::new(0);
    let midway = || MIDWAY.load(Ordering::Relaxed);
    let (ours, theirs) = Stream::pair().unwrap();
    let writer = FrameWriter::new(Arc::new(ours)).counting(&MIDWAY);
    let mut buffer = FrameBuffer::new();
    writer
        .send(&buffer.bare(vaccel_wire::Kind::Ping, 1), None)
        .unwrap();
    assert_eq!(midway(), 0);
    // More than the socket takes, and less than what is kept of it.
    let data = vec![7; 6 << 20];
    let mut large = FrameBuffer::new();
    let mut builder = large.request(1);
    builder.read_buffer(&data);
    let frame = builder.finish().unwrap();
    let soon = Some(Instant::now() + Duration::from_millis(20));
    let sent = writer.send(&frame, soon);
    assert!(matches!(sent, Err(SendError::TimedOut { begun: true })));
    assert_eq!(midway(), 1, "the rest goes before the next frame");
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut reader = crate::FrameReader::new(vaccel_wire::Limits::default());
            let read = [(); 3].map(|()| reader.read(&theirs).unwrap().header.kind);
            read.len()
        });
        let ping = writer.send(&buffer.bare(vaccel_wire::Kind::Ping, 2), None);
        ping.unwrap();
        assert_eq!(reader.join().unwrap(), 3);
    });
    assert_eq!(midway(), 0);
}
