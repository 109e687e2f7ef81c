//! The socket pair: packets and the descriptors that come along.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

use super::packet::MAX;
use super::{ToAgent, ToWorker};

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

/// Receives from the agent; `None` when the agent is gone. A message comes without its descriptor
/// where this process has no room for one more.
///
/// # Errors
/// Those of the socket; `InvalidData` for what is not a message.
pub fn receive_from_agent(channel: impl AsFd) -> io::Result<Option<(ToWorker, Option<OwnedFd>)>> {
    let mut bytes = vec![0; MAX];
    let Some((length, fd)) = receive(channel, &mut bytes, RecvFlags::empty())? else {
        return Ok(None);
    };
    let message = ToWorker::decode(&bytes[..length]).ok_or_else(not_a_message)?;
    if fd.is_some() && !message.has_descriptor() {
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

/// Sends to the agent what may be lost: it is, when the agent has too much to read.
pub fn offer_to_agent(channel: impl AsFd, message: &ToAgent) {
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    let _ = rustix::net::send(channel, &message.encode(), flags);
}

/// Receives from a worker without waiting; `None` when the worker is gone.
///
/// # Errors
/// `WouldBlock` when there is nothing; `InvalidData` for what is not a message.
pub fn receive_from_worker(channel: impl AsFd) -> io::Result<Option<ToAgent>> {
    let mut bytes = vec![0; MAX];
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
    bytes: &mut [u8],
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
    // Without its descriptor, for which there is no room in this process, it is a message still.
    if got.flags.contains(ReturnFlags::TRUNC) {
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
    use super::super::{Content, Wanted};
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
            tenant: 3,
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
    fn a_message_whose_descriptors_find_no_room_arrives_all_the_same() {
        let (agent, worker) = pair();
        let message = ToWorker::Connection {
            number: 7,
            tenant: 3,
            origin: "here".into(),
        };
        // The receiver has room for one.
        let fds = [agent.as_fd(), worker.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        assert!(ancillary.push(SendAncillaryMessage::ScmRights(&fds)));
        let bytes = message.encode();
        let bytes = [IoSlice::new(&bytes)];
        sendmsg(&agent, &bytes, &mut ancillary, SendFlags::NOSIGNAL).unwrap();
        let (got, fd) = receive_from_agent(&worker).unwrap().unwrap();
        assert!(got == message && fd.is_some());
        // And none at all.
        send_to_worker(&agent, &message, None).unwrap();
        let (got, fd) = receive_from_agent(&worker).unwrap().unwrap();
        assert!(got == message && fd.is_none());
        // One that nobody asked for is no message.
        send_to_worker(&agent, &ToWorker::Leave, Some(worker.as_fd())).unwrap();
        assert!(receive_from_agent(&worker).is_err());
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
            ToAgent::Opened { number: 2 },
            ToAgent::Span {
                number: 8,
                span: crate::traces::Span::example(),
            },
            ToAgent::Content {
                number: 3,
                wanted: Wanted::Find {
                    request: 9,
                    hash: [7; 32],
                    size: 5 << 32,
                },
            },
            ToAgent::Content {
                number: 3,
                wanted: Wanted::Keep {
                    request: 10,
                    hash: [8; 32],
                },
            },
            ToAgent::Content {
                number: 3,
                wanted: Wanted::Release { hash: [9; 32] },
            },
            ToAgent::Ended {
                number: u64::MAX,
                reason: "bye".into(),
            },
            ToAgent::Stuck {
                number: 5,
                reason: "exec".into(),
            },
        ] {
            send_to_agent(&worker, &message).unwrap();
            assert_eq!(receive_from_worker(&agent).unwrap(), Some(message));
        }
        let nothing = receive_from_worker(&agent).unwrap_err();
        assert_eq!(nothing.kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn terms_of_a_tenant_arrive_with_its_ledger() {
        let (agent, worker) = pair();
        let file = std::fs::File::open("/dev/null").unwrap();
        let message = ToWorker::Tenant {
            tenant: u64::MAX,
            row: 9,
            terms: "x".repeat(crate::terms::MAX),
        };
        send_to_worker(&agent, &message, Some(file.as_fd())).unwrap();
        let (got, fd) = receive_from_agent(&worker).unwrap().unwrap();
        assert_eq!((got, fd.is_some()), (message, true));
    }

    #[test]
    fn answers_about_content_come_with_their_descriptor() {
        let (agent, worker) = pair();
        let file = std::fs::File::open("/dev/null").unwrap();
        for (content, fd) in [
            (Content::Here, true),
            (Content::Send { offset: 5 << 32 }, true),
            // There was no room for it.
            (Content::Here, false),
            (Content::NotKept, false),
            (Content::failed(-5, "no"), false),
        ] {
            let message = ToWorker::Content {
                request: 4,
                content,
            };
            send_to_worker(&agent, &message, fd.then(|| file.as_fd())).unwrap();
            let (got, with) = receive_from_agent(&worker).unwrap().unwrap();
            assert_eq!((got, with.is_some()), (message, fd));
        }
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
            reason: "x".repeat(100_000),
        };
        send_to_agent(&worker, &message).unwrap();
        let Some(ToAgent::Failed { reason }) = receive_from_worker(&agent).unwrap() else {
            panic!("no message");
        };
        assert_eq!(reason.len(), MAX - 1);
    }
}
