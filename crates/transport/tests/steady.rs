//! Small calls allocate nothing once they run.
#![allow(clippy::unwrap_used)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use vaccel_transport::{
    Connection, Destination, FrameReader, FrameWriter, Options, Outputs, Stream, handshake,
};
use vaccel_wire::{Arg, FrameBuffer, Limits, Welcome};

struct Counting;

static COUNT: AtomicUsize = AtomicUsize::new(0);

// SAFETY: hands every request on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.fetch_add(1, Ordering::Relaxed);
        // SAFETY: same contract.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: same contract.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

struct Into([u8; 512]);

impl Outputs for Into {
    fn place(&mut self, _: &Arg<'_>) -> Result<Destination, vaccel_transport::PlaceError> {
        // SAFETY: it stays where it is over the call.
        Ok(unsafe { Destination::new(self.0.as_mut_ptr(), self.0.len()) })
    }
}

#[test]
fn small_calls_allocate_nothing_on_either_side() {
    let (ours, theirs) = Stream::pair().unwrap();
    let agent = std::thread::spawn(move || {
        let soon = Duration::from_secs(5);
        handshake::receive_hello(&theirs, soon).unwrap();
        let welcome = Welcome {
            in_flight: 8,
            max_frame: 1 << 20,
            ..Welcome::refusal(0, "")
        };
        handshake::send_welcome(&theirs, &welcome, soon).unwrap();
        let stream = Arc::new(theirs);
        let limits = Limits::default();
        let mut reader = FrameReader::new(limits);
        let writer = FrameWriter::new(Arc::clone(&stream));
        let mut buffer = FrameBuffer::new();
        while let Ok(message) = reader.read(&stream) {
            let args = message.args(&limits).unwrap();
            let mut builder = buffer.reply(&message.header);
            for arg in args.reads() {
                builder.write_bytes(arg.type_, 0, arg.bytes(message.payload()));
            }
            writer.send(&builder.finish().unwrap(), None).unwrap();
        }
    });
    let connection = Connection::open(ours, "unix:///test", &Options::default()).unwrap();
    let mut buffer = FrameBuffer::new();
    let mut out = Into([0; 512]);
    let mut call = |n: u64| {
        let mut builder = buffer.request(1);
        builder.read_scalar(n).read_bytes(2, 0, &[7; 300]);
        builder.write_capacity(15, 0, 8).write_capacity(2, 0, 512);
        let mut frame = builder.finish().unwrap();
        connection.call(&mut frame, 0, None, &mut out).unwrap();
    };
    (0..100).for_each(&mut call);
    let before = COUNT.load(Ordering::Relaxed);
    (0..1000).for_each(&mut call);
    let count = COUNT.load(Ordering::Relaxed) - before;
    assert_eq!(count, 0);
    drop(connection);
    agent.join().unwrap();
}
