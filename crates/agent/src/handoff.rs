//! What agent and worker say to each other, over a `SOCK_SEQPACKET` pair.
//!
//! One packet is one message: a byte that says which, then its fields. The agent
//! passes a connection as a file descriptor; from then on its bytes
//! never go through the agent.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

/// The longest message; texts are cut to fit.
const MAX: usize = 4096;

/// From the agent to a worker.
#[derive(Debug, PartialEq, Eq)]
pub enum ToWorker {
    /// Serve this connection; its descriptor comes along.
    Connection {
        /// Its number, for logs and WELCOME.
        number: u64,
        /// Where it comes from, for logs.
        origin: String,
    },
    /// Take no new requests, finish what runs, end.
    Drain,
}

/// From a worker to the agent.
#[derive(Debug, PartialEq, Eq)]
pub enum ToAgent {
    /// The library has started; connections may come.
    Ready {
        /// What the library says of itself.
        about: String,
    },
    /// The library could not start; the worker ends.
    Failed {
        /// Why.
        reason: String,
    },
    /// The worker holds the connection.
    Taken {
        /// Its number.
        number: u64,
    },
    /// The connection has ended and everything it had is released.
    Ended {
        /// Its number.
        number: u64,
        /// Why, for the log.
        reason: String,
    },
}

impl ToWorker {
    fn encode(&self) -> Vec<u8> {
        match self {
            Self::Connection { number, origin } => packet(1, Some(*number), origin),
            Self::Drain => packet(2, None, ""),
        }
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (&kind, rest) = bytes.split_first()?;
        match kind {
            1 => {
                let (number, origin) = numbered(rest)?;
                Some(Self::Connection { number, origin })
            }
            2 if rest.is_empty() => Some(Self::Drain),
            _ => None,
        }
    }
}

impl ToAgent {
    fn encode(&self) -> Vec<u8> {
        match self {
            Self::Ready { about } => packet(1, None, about),
            Self::Failed { reason } => packet(2, None, reason),
            Self::Taken { number } => packet(3, Some(*number), ""),
            Self::Ended { number, reason } => packet(4, Some(*number), reason),
        }
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (&kind, rest) = bytes.split_first()?;
        match kind {
            1 => Some(Self::Ready { about: text(rest) }),
            2 => Some(Self::Failed { reason: text(rest) }),
            3 => Some(Self::Taken {
                number: numbered(rest)?.0,
            }),
            4 => {
                let (number, reason) = numbered(rest)?;
                Some(Self::Ended { number, reason })
            }
            _ => None,
        }
    }
}

fn packet(kind: u8, number: Option<u64>, text: &str) -> Vec<u8> {
    let mut bytes = vec![kind];
    if let Some(number) = number {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    bytes.extend_from_slice(text.as_bytes());
    bytes.truncate(MAX);
    bytes
}

fn numbered(bytes: &[u8]) -> Option<(u64, String)> {
    let (number, rest) = bytes.split_first_chunk::<8>()?;
    Some((u64::from_le_bytes(*number), text(rest)))
}

/// A text that may have been cut in the middle of a character.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Sends to a worker, with the connection's descriptor where the message has one.
///
/// # Errors
/// `EPIPE` when the worker is gone; `EAGAIN` when it does not listen.
pub fn send_to_worker(
    channel: impl AsFd,
    message: &ToWorker,
    connection: Option<BorrowedFd<'_>>,
) -> io::Result<()> {
    let bytes = message.encode();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    let fds: Vec<BorrowedFd<'_>> = connection.into_iter().collect();
    if !fds.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(&fds)) {
        return Err(io::ErrorKind::OutOfMemory.into());
    }
    sendmsg(
        channel,
        &[IoSlice::new(&bytes)],
        &mut ancillary,
        SendFlags::NOSIGNAL | SendFlags::DONTWAIT,
    )?;
    Ok(())
}

/// Receives from the agent; `None` when the agent is gone.
///
/// # Errors
/// Those of the socket; `InvalidData` for what is not a message.
pub fn receive_from_agent(channel: impl AsFd) -> io::Result<Option<(ToWorker, Option<OwnedFd>)>> {
    let mut bytes = [0; MAX];
    let Some((length, fd)) = receive(channel, &mut bytes, RecvFlags::empty())? else {
        return Ok(None);
    };
    let message = ToWorker::decode(&bytes[..length]).ok_or_else(not_a_message)?;
    if matches!(message, ToWorker::Connection { .. }) != fd.is_some() {
        return Err(not_a_message());
    }
    Ok(Some((message, fd)))
}

/// Sends to the agent.
///
/// # Errors
/// `EPIPE` when the agent is gone.
pub fn send_to_agent(channel: impl AsFd, message: &ToAgent) -> io::Result<()> {
    rustix::net::send(channel, &message.encode(), SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Receives from a worker without waiting; `None` when the worker is gone.
///
/// # Errors
/// `WouldBlock` when there is nothing; `InvalidData` for what is not a message.
pub fn receive_from_worker(channel: impl AsFd) -> io::Result<Option<ToAgent>> {
    let mut bytes = [0; MAX];
    match receive(channel, &mut bytes, RecvFlags::DONTWAIT)? {
        None => Ok(None),
        // A worker has no reason to send descriptors; what came is closed here.
        Some((length, _fd)) => ToAgent::decode(&bytes[..length])
            .map(Some)
            .ok_or_else(not_a_message),
    }
}

fn receive(
    channel: impl AsFd,
    bytes: &mut [u8; MAX],
    flags: RecvFlags,
) -> io::Result<Option<(usize, Option<OwnedFd>)>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let got = loop {
        let result = recvmsg(
            channel.as_fd(),
            &mut [IoSliceMut::new(bytes)],
            &mut ancillary,
            flags | RecvFlags::CMSG_CLOEXEC,
        );
        match result {
            Err(rustix::io::Errno::INTR) => {}
            // What the other side left unread when it ended.
            Err(rustix::io::Errno::CONNRESET) => return Ok(None),
            other => break other?,
        }
    };
    if got.bytes == 0 {
        return Ok(None);
    }
    if got
        .flags
        .intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC)
    {
        return Err(not_a_message());
    }
    let mut fd = None;
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(fds) = message {
            fd = fds.last().or(fd);
        }
    }
    Ok(Some((got.bytes, fd)))
}

fn not_a_message() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        "agent and worker do not understand each other; are they of one version?",
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    fn pair() -> (OwnedFd, OwnedFd) {
        socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )
        .unwrap()
    }

    #[test]
    fn a_connection_arrives_as_a_descriptor_that_works() {
        let (agent, worker) = pair();
        let (mut client, server) = UnixStream::pair().unwrap();
        let message = ToWorker::Connection {
            number: 7,
            origin: "here".into(),
        };
        send_to_worker(&agent, &message, Some(server.as_fd())).unwrap();
        drop(server);
        let (got, fd) = receive_from_agent(&worker).unwrap().unwrap();
        assert_eq!(got, message);
        let mut server = UnixStream::from(fd.unwrap());
        server.write_all(b"x").unwrap();
        drop(server);
        let mut text = String::new();
        client.read_to_string(&mut text).unwrap();
        assert_eq!(text, "x");
    }

    #[test]
    fn every_message_to_the_agent_comes_back_as_it_was() {
        let (agent, worker) = pair();
        for message in [
            ToAgent::Ready {
                about: "0.8".into(),
            },
            ToAgent::Failed {
                reason: "no plugin".into(),
            },
            ToAgent::Taken { number: 1 },
            ToAgent::Ended {
                number: u64::MAX,
                reason: "bye".into(),
            },
        ] {
            send_to_agent(&worker, &message).unwrap();
            assert_eq!(receive_from_worker(&agent).unwrap(), Some(message));
        }
        let nothing = receive_from_worker(&agent).unwrap_err();
        assert_eq!(nothing.kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn the_end_of_the_other_side_is_seen() {
        let (agent, worker) = pair();
        drop(worker);
        assert_eq!(receive_from_worker(&agent).unwrap(), None);
        assert!(send_to_worker(&agent, &ToWorker::Drain, None).is_err());
    }

    #[test]
    fn bytes_that_are_no_message_are_an_error() {
        let (agent, worker) = pair();
        for bytes in [&[9][..], &[3, 1, 2], &[1]] {
            rustix::net::send(&worker, bytes, SendFlags::empty()).unwrap();
            let result = receive_from_worker(&agent);
            assert!(bytes == [1] || result.is_err(), "{bytes:?}");
            // And the same bytes in the other direction.
            rustix::net::send(&agent, bytes, SendFlags::empty()).unwrap();
            assert!(receive_from_agent(&worker).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn a_long_reason_is_cut_and_still_arrives() {
        let (agent, worker) = pair();
        let message = ToAgent::Failed {
            reason: "x".repeat(10_000),
        };
        send_to_agent(&worker, &message).unwrap();
        let Some(ToAgent::Failed { reason }) = receive_from_worker(&agent).unwrap() else {
            panic!("no message");
        };
        assert_eq!(reason.len(), MAX - 1);
    }
}
