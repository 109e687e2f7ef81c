//! Telling a client why it is not served, or no more, before hanging up.
//!
//! A client waits for WELCOME. Closing the connection at once would leave it with
//! "connection reset"; so its HELLO is read, and WELCOME carries the reason.

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{RecvFlags, SendFlags, Shutdown, recv, send, shutdown};
use vaccel_abi::error::EREMOTEIO;
use vaccel_compat::{Failure, Header, Kind, encode_frame};
use vaccel_wire::{FrameBuffer, HELLO_LEN, MAX_EXTRA, Welcome};

/// Clients that are told at the same time; further ones are hung up on.
const MAX: usize = 32;
/// How long a client has to say HELLO and to hang up.
const PATIENCE: Duration = Duration::from_secs(2);

/// What last words end with.
pub const SESSIONS_LOST: &str = "its sessions are lost, open new ones";

static RUNNING: AtomicUsize = AtomicUsize::new(0);

/// Answers a client with a status and a text, and hangs up. Does not wait.
pub fn refuse(connection: OwnedFd, status: i32, text: String) {
    in_background("refuse", move || tell(&connection, status, &text));
}

/// Hangs up on a client whose worker is gone, after last words to one that understands them.
/// Does not wait; a client that takes nothing hears nothing.
pub fn farewell(connection: OwnedFd, words: Option<&str>) {
    // The calls fail when the client has gone, and then it is over anyway.
    let Some(words) = words else {
        let _ = shutdown(connection, Shutdown::Both);
        return;
    };
    let mut buffer = FrameBuffer::new();
    let frame = buffer.last_words(EREMOTEIO, words);
    let bytes: Vec<u8> = frame.slices().flatten().copied().collect();
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    let sent = send(&connection, &bytes, flags);
    let _ = shutdown(&connection, Shutdown::Write);
    if sent.is_ok_and(|n| n > 0) {
        in_background("farewell", move || linger(&connection));
    }
}

/// Waits until the client has hung up: what is left unread when a connection is closed becomes
/// a reset, which could overtake what was sent.
fn linger(connection: &OwnedFd) {
    let deadline = Instant::now() + PATIENCE;
    let mut bytes = [0; 4096];
    while read_some(connection, &mut bytes, deadline).is_some() {}
}

/// Has something done beside the agent's loop; with too much of that already, what it holds is
/// dropped instead.
fn in_background(name: &str, job: impl FnOnce() + Send + 'static) {
    if RUNNING.fetch_add(1, Ordering::Relaxed) >= MAX {
        RUNNING.fetch_sub(1, Ordering::Relaxed);
        return;
    }
    let result = std::thread::Builder::new()
        .name(name.into())
        .stack_size(64 * 1024)
        .spawn(move || {
            job();
            RUNNING.fetch_sub(1, Ordering::Relaxed);
        });
    if result.is_err() {
        RUNNING.fetch_sub(1, Ordering::Relaxed);
    }
}

fn tell(connection: &OwnedFd, status: i32, text: &str) {
    let deadline = Instant::now() + PATIENCE;
    let mut bytes = vec![0; HELLO_LEN + MAX_EXTRA];
    // The first bytes of HELLO are enough to know that somebody waits.
    let Some(length) = read_some(connection, &mut bytes, deadline) else {
        return;
    };
    let answer = answer(&bytes[..length], status, text);
    // A new connection has room for it; where not, nobody reads.
    let _ = send(
        connection,
        &answer,
        SendFlags::NOSIGNAL | SendFlags::DONTWAIT,
    );
    let _ = shutdown(connection, Shutdown::Write);
    linger(connection);
}

/// What a client that begins like this understands.
fn answer(first: &[u8], status: i32, text: &str) -> Vec<u8> {
    let header = first
        .first_chunk()
        .and_then(|head| Header::decode(*head).ok());
    if let (Some(header), Some(..=0x40)) = (header, first.first()) {
        // A client of the C implementation, and its first call.
        let response = Failure::ffi(status.unsigned_abs(), text).into_response();
        return encode_frame(Kind::Response, header.stream, 0, &response).unwrap_or_default();
    }
    let mut welcome = Vec::new();
    Welcome::refusal(status, text).encode(&mut welcome);
    welcome
}

fn read_some(connection: &OwnedFd, bytes: &mut [u8], deadline: Instant) -> Option<usize> {
    let left = deadline.checked_duration_since(Instant::now())?;
    let mut fds = [PollFd::new(connection, PollFlags::IN)];
    let timeout = Timespec::try_from(left).ok()?;
    if poll(&mut fds, Some(&timeout)).ok()? == 0 {
        return None;
    }
    let (_, length) = recv(connection, bytes, RecvFlags::DONTWAIT).ok()?;
    (length > 0).then_some(length)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;
    use vaccel_wire::{Hello, Progress};

    #[test]
    fn a_refused_client_reads_why() {
        let (mut client, server) = UnixStream::pair().unwrap();
        refuse(server.into(), 121, "no worker starts".into());
        let mut hello = Vec::new();
        Hello::new(1 << 20).encode(&mut hello).unwrap();
        client.write_all(&hello).unwrap();
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).unwrap();
        let Ok(Progress::Done(welcome, _)) = Welcome::decode(&answer) else {
            panic!("no WELCOME: {answer:?}");
        };
        assert_eq!((welcome.status, welcome.text), (121, "no worker starts"));
    }

    #[test]
    fn a_refused_client_of_the_c_implementation_reads_why_too() {
        use vaccel_compat::{FrameDecoder, Request, Response, decode};
        let (mut client, server) = UnixStream::pair().unwrap();
        refuse(server.into(), 87, "256 connections already".into());
        let call = encode_frame(Kind::Request, 1, 0, &Request::default()).unwrap();
        client.write_all(&call).unwrap();
        let mut bytes = Vec::new();
        client.read_to_end(&mut bytes).unwrap();
        let frame = FrameDecoder::default().take(&mut &bytes[..]);
        let response: Response = decode(frame.unwrap().unwrap().body).unwrap();
        let failure = Failure::from_status(&response.status.unwrap()).unwrap();
        assert_eq!(failure.error.ffi_error, Some(87));
        assert_eq!(failure.message, "256 connections already");
    }
}
