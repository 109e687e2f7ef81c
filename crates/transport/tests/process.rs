//! What a connection must not do to its process: signals, forks, programs.
#![allow(clippy::unwrap_used)]

mod common;
use common::{SOON, hostile};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;
use vaccel_transport::{CallError, Connection, FrameReader, Options, Stream};
use vaccel_wire::{FrameBuffer, Limits};

fn call(connection: &Connection) -> Result<(), CallError> {
    let mut buffer = FrameBuffer::new();
    let mut frame = buffer.request(0).finish().unwrap();
    connection.call(&mut frame, 0, Some(SOON), &mut ())
}

#[test]
fn a_killed_agent_raises_no_signal_here() {
    static RAISED: AtomicBool = AtomicBool::new(false);
    extern "C" fn note(_: i32) {
        RAISED.store(true, Ordering::SeqCst);
    }
    // SAFETY: the handler only stores to an atomic. The Rust runtime ignores
    // SIGPIPE; programs in C do not.
    unsafe { libc::signal(libc::SIGPIPE, note as *const () as libc::sighandler_t) };
    let (connection, thread) = hostile(&Options::default(), drop);
    thread.join().unwrap();
    let mut buffer = FrameBuffer::new();
    let data = vec![0; 1 << 20];
    for bytes in [&data[..1], &data[..]] {
        let mut builder = buffer.request(1);
        builder.read_buffer(bytes);
        let mut frame = builder.finish().unwrap();
        connection.call(&mut frame, 0, None, &mut ()).unwrap_err();
    }
    let (a, b) = Stream::pair().unwrap();
    drop(b);
    a.send_until(b"x", Instant::now() + SOON).unwrap_err();
    assert!(!RAISED.load(Ordering::SeqCst));
}

#[test]
fn a_child_of_fork_does_not_use_its_parents_connection() {
    let (connection, thread) = hostile(&Options::default(), |stream| {
        let mut reader = FrameReader::new(Limits::default());
        while let Ok(message) = reader.read(&stream) {
            let mut buffer = FrameBuffer::new();
            let reply = buffer.reply(&message.header).finish().unwrap();
            let bytes: Vec<u8> = reply.slices().flatten().copied().collect();
            // The client may have hung up already; that is its right.
            let _ = stream.send_until(&bytes, Instant::now() + SOON);
        }
    });
    call(&connection).unwrap();
    let mut buffer = FrameBuffer::new();
    let mut frame = buffer.request(0).finish().unwrap();
    // SAFETY: the child makes one call that must fail, drops nothing of the
    // parent's, and leaves.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let code = match connection.call(&mut frame, 0, None, &mut ()) {
            Err(CallError::Forked) if !connection.is_usable() => 17,
            _ => 1,
        };
        // In a child this closes its own handle, and only that.
        drop(connection);
        // SAFETY: leaves at once.
        unsafe { libc::_exit(code) };
    }
    let mut status = 0;
    // SAFETY: our own child.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    assert_eq!(libc::WEXITSTATUS(status), 17);
    call(&connection).unwrap();
    drop(connection);
    thread.join().unwrap();
}

#[test]
fn sockets_do_not_pass_to_programs_that_are_executed() {
    let (a, _b) = Stream::pair().unwrap();
    // SAFETY: asks for flags of an open descriptor.
    let flags = unsafe { libc::fcntl(a.as_raw_fd(), libc::F_GETFD) };
    assert_ne!(flags & libc::FD_CLOEXEC, 0);
    let fd = OwnedFd::from(a);
    assert_eq!(
        Stream::from_fd(fd).unwrap().family(),
        vaccel_transport::Family::Unix
    );
}
