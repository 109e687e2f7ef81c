//! A second Unix socket, so that each direction has one of its own.
//!
//! Whoever reads from a Unix socket wakes all that sleep on the other end, also those who
//! wait for an answer there: the memory that the bytes took is given back, and they might
//! want to send. With one socket each message costs one such wake-up for nothing, which is
//! an eighth of a round trip. So the client makes a pair, passes one end after WELCOME with
//! a byte, and from then on the agent sends there what it sends; it goes on to read from the
//! socket that it has accepted. Where something between them passes bytes and no descriptors,
//! the agent says so and both directions stay on one socket.
//!
//! The agent that handed the connection to a worker still has the first socket. What it says
//! there when the worker has gone is alone there: see `words`.

use crate::Stream;
use crate::shm::region::{receive_fds, send_fds};
use crate::stream::Second;
use crate::sys::{self, Ready};
use socket2::{Domain, SockRef, Socket, Type};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

/// What comes along with the descriptor, and the answer to it: there when the descriptor was
/// taken.
const BYTE: u8 = 2;

/// The answer on the first socket when no fit descriptor came: something between the two
/// passes bytes only.
const NONE: u8 = 0;

/// The most that is looked at of what is said on the first socket.
const MAX_WORDS: usize = 8 << 10;

/// The client: makes the pair and gives the agent one end. False when the agent did not get
/// it; then the stream is as it was.
///
/// # Errors
/// `TimedOut` at `end`, an end of the stream, or what the system says.
pub(crate) fn offer(stream: &mut Stream, end: Instant) -> io::Result<bool> {
    let (ours, theirs) = Socket::pair(Domain::UNIX, Type::STREAM, None)?;
    loop {
        let fds = [theirs.as_fd()];
        match send_fds(stream.first(), &[BYTE], &fds, libc::MSG_DONTWAIT) {
            Ok(_) => break,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) if sys::is_would_block(&e) => stream.wait_until(Ready::Write, end)?,
            Err(e) => return Err(e),
        }
    }
    // Only the agent has it now: an end means that nobody has.
    drop(theirs);
    let ours = OwnedFd::from(ours);
    let mut open = true;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        // Where there is an end already, only the other one is waited for.
        let second = if open { ours.as_fd() } else { stream.first() };
        let fds = [(second, Ready::Read), (stream.first(), Ready::Read)];
        let [on_second, on_first] = sys::wait_either(fds, Some(left))?;
        let (fd, wanted) = match (open && on_second, on_first) {
            (true, _) => (ours.as_fd(), BYTE),
            (false, true) => (stream.first(), NONE),
            (false, false) => continue,
        };
        match one_byte(fd)? {
            Answer::Nothing => {}
            Answer::Byte(BYTE) if wanted == BYTE => break,
            Answer::Byte(NONE) if wanted == NONE => return Ok(false),
            Answer::Byte(other) => return Err(invalid(other)),
            Answer::End if wanted == BYTE => open = false,
            Answer::End => return Err(io::ErrorKind::ConnectionReset.into()),
        }
    }
    stream.split(Second::Reads(ours));
    Ok(true)
}

/// What there is to read.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Nothing,
    End,
    Byte(u8),
}

fn one_byte(fd: BorrowedFd<'_>) -> io::Result<Answer> {
    let mut byte = [0];
    match sys::recv(fd, &mut byte, libc::MSG_DONTWAIT) {
        Ok(0) => Ok(Answer::End),
        Ok(_) => Ok(Answer::Byte(byte[0])),
        Err(e) if e.kind() == io::ErrorKind::Interrupted || sys::is_would_block(&e) => {
            Ok(Answer::Nothing)
        }
        Err(e) => Err(e),
    }
}

/// The agent: takes the end that a client gives, after a WELCOME that says so. False when no
/// fit descriptor came, which the client is told; then the stream is as it was.
///
/// # Errors
/// `TimedOut` at `end`, `InvalidData` for another byte, an end of the stream, or what the
/// system says.
pub fn accept(stream: &mut Stream, end: Instant) -> io::Result<bool> {
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
    if byte != [BYTE] {
        return Err(invalid(byte[0]));
    }
    let fit = <[OwnedFd; 1]>::try_from(fds).ok().filter(|[fd]| is_fit(fd));
    let answer = match fit {
        Some([fd]) => {
            stream.split(Second::Writes(fd));
            BYTE
        }
        None => NONE,
    };
    stream.send_until(&[answer], end)?;
    Ok(answer == BYTE)
}

/// True for a connected Unix stream socket.
fn is_fit(fd: &OwnedFd) -> bool {
    let socket = SockRef::from(fd);
    socket.domain().is_ok_and(|domain| domain == Domain::UNIX)
        && socket.r#type().is_ok_and(|kind| kind == Type::STREAM)
        && socket.peer_addr().is_ok()
}

fn invalid(byte: u8) -> io::Error {
    let text = format!("the byte {byte} came where a second socket is agreed on");
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

    /// Both sides of an opened stream.
    fn opened() -> (Stream, Stream) {
        let (mut client, mut agent) = Stream::pair().unwrap();
        std::thread::scope(|scope| {
            let accepting = scope.spawn(|| accept(&mut agent, soon()).unwrap());
            assert!(offer(&mut client, soon()).unwrap());
            assert!(accepting.join().unwrap());
        });
        (client, agent)
    }

    #[test]
    fn each_direction_has_a_socket_of_its_own() {
        let (client, agent) = opened();
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
            let (client, agent) = opened();
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
    fn where_descriptors_do_not_pass_the_stream_stays_as_it_is() {
        let (mut client, near) = Stream::pair().unwrap();
        let (far, mut agent) = Stream::pair().unwrap();
        std::thread::scope(|scope| {
            let accepting = scope.spawn(|| accept(&mut agent, soon()).unwrap());
            // What passes bytes only.
            let passing = scope.spawn(|| {
                let mut byte = [0];
                assert_eq!(near.recv_until(&mut byte, soon()).unwrap(), 1);
                far.send_until(&byte, soon()).unwrap();
                assert_eq!(far.recv_until(&mut byte, soon()).unwrap(), 1);
                near.send_until(&byte, soon()).unwrap();
            });
            assert!(!offer(&mut client, soon()).unwrap());
            assert!(!accepting.join().unwrap());
            passing.join().unwrap();
        });
        assert!(!client.is_split() && !agent.is_split());
    }

    #[test]
    fn what_is_no_connected_stream_socket_is_not_taken() {
        let null = std::fs::File::open("/dev/null").unwrap();
        let alone = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        let (packets, _other) = Socket::pair(Domain::UNIX, Type::SEQPACKET, None).unwrap();
        let (fit, _peer) = Socket::pair(Domain::UNIX, Type::STREAM, None).unwrap();
        let cases: [&[BorrowedFd<'_>]; 5] = [
            &[],
            &[null.as_fd()],
            &[alone.as_fd()],
            &[packets.as_fd()],
            &[fit.as_fd(), fit.as_fd()],
        ];
        for fds in cases {
            let (client, mut agent) = Stream::pair().unwrap();
            send_fds(client.first(), &[BYTE], fds, 0).unwrap();
            assert!(!accept(&mut agent, soon()).unwrap());
            assert_eq!(one_byte(client.first()).unwrap(), Answer::Byte(NONE));
        }
    }

    #[test]
    fn an_opening_that_goes_wrong_ends_at_once_or_at_its_time() {
        let (client, mut agent) = Stream::pair().unwrap();
        send_fds(client.first(), &[7], &[], 0).unwrap();
        let error = accept(&mut agent, soon()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        let error = accept(&mut agent, Instant::now()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        drop(client);
        let error = accept(&mut agent, soon()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        let (mut client, agent) = Stream::pair().unwrap();
        let error = offer(&mut client, Instant::now()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        drop(agent);
        offer(&mut client, soon()).unwrap_err();
    }
}
