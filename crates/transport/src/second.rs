//! A second Unix socket, so that each direction has one of its own.
//!
//! Whoever reads from a Unix socket wakes all that sleep on the other end, also those who
//! wait for an answer there: the memory that the bytes took is given back, and they might
//! want to send. With one socket each message costs one such wake-up for nothing, which is
//! an eighth of a round trip. So the client makes a pair, passes one end after WELCOME with
//! a byte, and from then on the agent sends there what it sends; it goes on to read from the
//! socket that it has accepted.
//!
//! The agent that handed the connection to a worker still has the first socket. What it says
//! there when the worker has gone is alone there: see `words`.

use crate::Stream;
use crate::shm::region::{receive_fds, send_fds};
use crate::stream::Second;
use crate::sys::{self, Ready};
use socket2::{Domain, SockRef, Socket, Type};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

/// What comes along with the descriptor.
const BYTE: u8 = 2;

/// The most that is looked at of what is said on the first socket.
const MAX_WORDS: usize = 8 << 10;

/// The client: makes the pair and gives the agent one end.
///
/// # Errors
/// `TimedOut` at `end`, or what the system says.
pub(crate) fn offer(stream: &mut Stream, end: Instant) -> io::Result<()> {
    let (ours, theirs) = Socket::pair(Domain::UNIX, Type::STREAM, None)?;
    loop {
        let sent = send_fds(
            stream.first(),
            &[BYTE],
            &[theirs.as_fd()],
            libc::MSG_DONTWAIT,
        );
        match sent {
            Ok(_) => break,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) if sys::is_would_block(&e) => stream.wait_until(Ready::Write, end)?,
            Err(e) => return Err(e),
        }
    }
    stream.split(Second::Reads(ours.into()));
    Ok(())
}

/// The agent: takes the end that a client gives, after a WELCOME that says so.
///
/// # Errors
/// `TimedOut` at `end`, `InvalidData` for anything but one connected Unix stream socket, or
/// what the system says.
pub fn accept(stream: &mut Stream, end: Instant) -> io::Result<()> {
    let mut byte = [0];
    let (count, fds) = loop {
        match receive_fds(stream.first(), &mut byte, libc::MSG_DONTWAIT) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) if sys::is_would_block(&e) => stream.wait_until(Ready::Read, end)?,
            other => break other?,
        }
    };
    if count == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let found = fds.len();
    let [fd] = <[OwnedFd; 1]>::try_from(fds)
        .map_err(|_| invalid(format!("{found} descriptors came instead of one")))?;
    let socket = SockRef::from(&fd);
    let is_fit = byte == [BYTE]
        && socket.domain().is_ok_and(|domain| domain == Domain::UNIX)
        && socket.r#type().is_ok_and(|kind| kind == Type::STREAM)
        && socket.peer_addr().is_ok();
    if !is_fit {
        return Err(invalid("it is no connected Unix stream socket".to_owned()));
    }
    stream.split(Second::Writes(fd));
    Ok(())
}

fn invalid(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}

/// The client, when nothing more comes on the second socket: what comes on the first one
/// until its end. Empty where there is no second.
pub(crate) fn words(stream: &Stream, within: Duration) -> Vec<u8> {
    let mut words = Vec::new();
    if !stream.is_split() {
        return words;
    }
    let end = Instant::now() + within;
    let mut bytes = [0; 1024];
    while words.len() < MAX_WORDS {
        match sys::recv(stream.first(), &mut bytes, libc::MSG_DONTWAIT) {
            Ok(0) => break,
            Ok(n) => words.extend_from_slice(&bytes[..n]),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) if sys::is_would_block(&e) => {
                let left = end.saturating_duration_since(Instant::now());
                // Whatever goes wrong here, there are no words then.
                if left.is_zero() || sys::wait(stream.first(), Ready::Read, Some(left)).is_err() {
                    break;
                }
            }
            Err(_) => break,
        }
    }
    words
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(10)
    }

    #[test]
    fn each_direction_has_a_socket_of_its_own() {
        let (mut client, mut agent) = Stream::pair().unwrap();
        offer(&mut client, soon()).unwrap();
        accept(&mut agent, soon()).unwrap();
        let mut bytes = [0; 8];
        for (from, to) in [(&client, &agent), (&agent, &client)] {
            from.send_until(b"hello", soon()).unwrap();
            assert_eq!(to.recv_until(&mut bytes, soon()).unwrap(), 5);
            assert_eq!(&bytes[..5], b"hello");
        }
        assert_eq!(client.peer().unwrap(), agent.peer().unwrap());
        // What is said on the first socket after the end of the second.
        sys::send(agent.first(), b"farewell", 0).unwrap();
        drop(agent);
        assert_eq!(client.recv_until(&mut bytes, soon()).unwrap(), 0);
        assert_eq!(words(&client, Duration::from_secs(10)), b"farewell");
    }

    #[test]
    fn an_end_of_one_side_is_seen_by_the_other() {
        for of_client in [true, false] {
            let (mut client, mut agent) = Stream::pair().unwrap();
            offer(&mut client, soon()).unwrap();
            accept(&mut agent, soon()).unwrap();
            let (ends, sees) = if of_client {
                (&client, &agent)
            } else {
                (&agent, &client)
            };
            ends.shutdown();
            assert_eq!(sees.recv_until(&mut [0], soon()).unwrap(), 0);
            sees.send_until(b"x", soon()).unwrap_err();
        }
    }

    #[test]
    fn what_is_no_connected_stream_socket_is_refused() {
        let null = std::fs::File::open("/dev/null").unwrap();
        let alone = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        let (packets, _other) = Socket::pair(Domain::UNIX, Type::SEQPACKET, None).unwrap();
        let (fit, _peer) = Socket::pair(Domain::UNIX, Type::STREAM, None).unwrap();
        let cases: [(u8, &[std::os::fd::BorrowedFd<'_>]); 6] = [
            (BYTE, &[]),
            (BYTE, &[null.as_fd()]),
            (BYTE, &[alone.as_fd()]),
            (BYTE, &[packets.as_fd()]),
            (BYTE, &[fit.as_fd(), fit.as_fd()]),
            (7, &[fit.as_fd()]),
        ];
        for (byte, fds) in cases {
            let (client, mut agent) = Stream::pair().unwrap();
            send_fds(client.first(), &[byte], fds, 0).unwrap();
            let error = accept(&mut agent, soon()).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{error}");
        }
        let (client, mut agent) = Stream::pair().unwrap();
        let now = Instant::now();
        let error = accept(&mut agent, now).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        drop(client);
        let error = accept(&mut agent, soon()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}
