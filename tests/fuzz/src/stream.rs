//! Whole connections: an agent's bytes to a client, a client's to an agent's reader.

use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;
use vaccel_transport::{Collect, Connection, FrameReader, Options, Stream};
use vaccel_wire::{FrameBuffer, Welcome};

/// A stream from which the bytes come, and then its end.
fn saying(data: &[u8]) -> Option<(Stream, UnixStream)> {
    let (ours, theirs) = Stream::pair().ok()?;
    let mut theirs = UnixStream::from(OwnedFd::from(theirs));
    // More than fits waits for a reader that does not come.
    theirs.set_nonblocking(true).ok()?;
    let _ = theirs.write(data);
    theirs.shutdown(std::net::Shutdown::Write).ok()?;
    Some((ours, theirs))
}

/// What the agent's reader makes of a client's bytes.
pub fn stream(data: &[u8]) {
    let Some((first, bytes)) = data.split_first() else {
        return;
    };
    let Some((ours, _theirs)) = saying(bytes) else {
        return;
    };
    let limits = crate::wire::limits(first & 1 != 0);
    let mut reader = FrameReader::new(limits);
    let mut taken = 0;
    // Every frame takes bytes, so that this ends.
    while let Ok(mut message) = reader.read(&ours) {
        taken += message.header.frame_len();
        assert!(taken <= bytes.len() as u64);
        assert_eq!(message.payload().as_ptr() as usize % 64, 0);
        assert_eq!(message.meta().len(), message.header.meta_len as usize);
        assert_eq!(message.payload().len() as u64, message.header.payload_len);
        crate::wire::look(&message.header, message.meta(), message.payload(), &limits);
        message.payload_mut().fill(0);
    }
}

/// What a client makes of an agent's bytes. When the first byte is even a WELCOME comes before them.
pub fn client(data: &[u8]) {
    let Some((first, bytes)) = data.split_first() else {
        return;
    };
    let mut whole = Vec::new();
    if first & 1 == 0 {
        let welcome = Welcome {
            status: 0,
            version: vaccel_wire::VERSION,
            in_flight: 8,
            features: 0,
            default_deadline_ms: 1000,
            max_frame: 1 << 20,
            connection: 1,
            text: "",
        };
        welcome.encode(&mut whole);
    }
    whole.extend_from_slice(bytes);
    let Some((ours, _theirs)) = saying(&whole) else {
        return;
    };
    let options = Options {
        connect_timeout: Duration::from_secs(5),
        timeout: Duration::from_secs(5),
        max_frame: 1 << 20,
        share_memory: false,
        ..Options::default()
    };
    let Ok(connection) = Connection::open(ours, "the fuzzer", &options) else {
        return;
    };
    for round in 0..4 {
        let mut buffer = FrameBuffer::new();
        let mut builder = buffer.request(0);
        if round % 2 == 1 {
            builder.write_capacity(vaccel_abi::arg::ARG_INT64, 0, 8);
            builder.write_allocate(vaccel_abi::arg::ARG_BUFFER);
        }
        let mut frame = builder.finish().expect("it is valid");
        let mut outputs = Collect::default();
        if connection.call(&mut frame, 1, None, &mut outputs).is_ok() && round % 2 == 1 {
            assert_eq!(outputs.outputs.len(), 2);
            assert!(outputs.outputs[0].len() <= 8);
        }
    }
}
