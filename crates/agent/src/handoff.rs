//! What agent and worker say to each other, over a `SOCK_SEQPACKET` pair.
//!
//! One packet is one message: a byte that says which, then its fields. The agent
//! passes a connection as a file descriptor; from then on its bytes
//! never go through the agent.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::cache::Hash;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

/// The longest message; texts are cut to fit, but for [`ToWorker::Tenant`], whose text is bounded.
const MAX: usize = 64 << 10;

/// From the agent to a worker.
#[derive(Debug, PartialEq, Eq)]
pub enum ToWorker {
    /// What a tenant may, before its first connection and each time that changes; the
    /// descriptor of its ledger comes along.
    Tenant {
        /// The agent's number for it.
        tenant: u64,
        /// The worker's row in the ledger.
        row: u32,
        /// [`Terms`](crate::terms::Terms) as text.
        terms: String,
    },
    /// Serve this connection; its descriptor comes along.
    Connection {
        /// Its number, for logs and WELCOME.
        number: u64,
        /// The tenant's.
        tenant: u64,
        /// Where it comes from, for logs.
        origin: String,
    },
    /// Tell clients to go elsewhere with what comes next; serve on.
    Leave,
    /// Take no new requests, finish what runs, end.
    Drain,
    /// What became of a [`Wanted`]; a descriptor comes along where there is one.
    Content {
        /// The number of the request.
        request: u64,
        /// The answer.
        content: Content,
    },
}

/// Where content is that a worker asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// In the cache; the descriptor is for reading.
    Here,
    /// To be sent, and written to the descriptor, from this offset on.
    Send {
        /// Bytes that are there already.
        offset: u64,
    },
    /// The cache does not keep it.
    NotKept,
    /// It cannot be had.
    Failed {
        /// An error code.
        code: i32,
        /// Why.
        reason: String,
    },
}

impl Content {
    /// It cannot be had.
    #[must_use]
    pub fn failed(code: i32, reason: impl Into<String>) -> Self {
        Self::Failed {
            code,
            reason: reason.into(),
        }
    }
}

/// What a worker wants of the agent's cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// Content, or a place to write it to.
    Find {
        /// The worker's number for the question.
        request: u64,
        /// Its BLAKE3 hash.
        hash: Hash,
        /// Its bytes.
        size: u64,
    },
    /// To have what was written checked and kept.
    Keep {
        /// The worker's number for the question.
        request: u64,
        /// Its BLAKE3 hash.
        hash: Hash,
    },
    /// Nothing more of this content.
    Release {
        /// Its BLAKE3 hash.
        hash: Hash,
    },
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
    /// Something of the cache, for a connection.
    Content {
        /// The connection's number.
        number: u64,
        /// What.
        wanted: Wanted,
    },
    /// An operation of a connection does not end. The worker ends at once, or, when it has
    /// other tenants, should get no further connections.
    Stuck {
        /// The connection's number.
        number: u64,
        /// What does not end.
        reason: String,
    },
}

impl ToWorker {
    fn encode(&self) -> Vec<u8> {
        match self {
            Self::Connection {
                number,
                tenant,
                origin,
            } => {
                let fields = [&tenant.to_le_bytes()[..], origin.as_bytes()].concat();
                packet_of(1, Some(*number), &fields)
            }
            Self::Tenant { tenant, row, terms } => {
                let fields = [&row.to_le_bytes()[..], terms.as_bytes()].concat();
                packet_of(4, Some(*tenant), &fields)
            }
            Self::Drain => packet(2, None, ""),
            Self::Leave => packet(5, None, ""),
            Self::Content { request, content } => {
                let (which, value, text) = match content {
                    Content::Here => (0, 0, ""),
                    Content::Send { offset } => (1, *offset, ""),
                    Content::NotKept => (2, 0, ""),
                    // The bits of a code, not its value, and back below.
                    Content::Failed { code, reason } => {
                        (3, u64::from(code.cast_unsigned()), &reason[..])
                    }
                };
                let fields = [&[which], &value.to_le_bytes()[..], text.as_bytes()].concat();
                packet_of(3, Some(*request), &fields)
            }
        }
    }

    /// A descriptor belongs to it.
    fn has_descriptor(&self) -> bool {
        match self {
            Self::Connection { .. } | Self::Tenant { .. } => true,
            Self::Leave | Self::Drain => false,
            Self::Content { content, .. } => {
                matches!(content, Content::Here | Content::Send { .. })
            }
        }
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (&kind, rest) = bytes.split_first()?;
        match kind {
            1 => {
                let (number, rest) = rest.split_first_chunk::<8>()?;
                let (tenant, origin) = numbered(rest)?;
                Some(Self::Connection {
                    number: u64::from_le_bytes(*number),
                    tenant,
                    origin,
                })
            }
            4 => {
                let (tenant, rest) = rest.split_first_chunk::<8>()?;
                let (row, rest) = rest.split_first_chunk::<4>()?;
                Some(Self::Tenant {
                    tenant: u64::from_le_bytes(*tenant),
                    row: u32::from_le_bytes(*row),
                    terms: text(rest),
                })
            }
            2 if rest.is_empty() => Some(Self::Drain),
            5 if rest.is_empty() => Some(Self::Leave),
            3 => {
                let (request, rest) = rest.split_first_chunk::<8>()?;
                let (which, rest) = rest.split_first()?;
                let (value, rest) = rest.split_first_chunk::<8>()?;
                let value = u64::from_le_bytes(*value);
                let content = match which {
                    0 => Content::Here,
                    1 => Content::Send { offset: value },
                    2 => Content::NotKept,
                    3 => Content::Failed {
                        code: u32::try_from(value).ok()?.cast_signed(),
                        reason: text(rest),
                    },
                    _ => return None,
                };
                let request = u64::from_le_bytes(*request);
                Some(Self::Content { request, content })
            }
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
            Self::Stuck { number, reason } => packet(8, Some(*number), reason),
            Self::Content { number, wanted } => {
                let (kind, request, hash, size) = match wanted {
                    Wanted::Find {
                        request,
                        hash,
                        size,
                    } => (5, *request, hash, *size),
                    Wanted::Keep { request, hash } => (6, *request, hash, 0),
                    Wanted::Release { hash } => (7, 0, hash, 0),
                };
                let fields = [&request.to_le_bytes()[..], hash, &size.to_le_bytes()].concat();
                packet_of(kind, Some(*number), &fields)
            }
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
            8 => {
                let (number, reason) = numbered(rest)?;
                Some(Self::Stuck { number, reason })
            }
            5..=7 => {
                let (number, rest) = rest.split_first_chunk::<8>()?;
                let (request, rest) = rest.split_first_chunk::<8>()?;
                let (hash, rest) = rest.split_first_chunk::<32>()?;
                let size = u64::from_le_bytes(rest.try_into().ok()?);
                let (request, hash) = (u64::from_le_bytes(*request), *hash);
                let wanted = match kind {
                    5 => Wanted::Find {
                        request,
                        hash,
                        size,
                    },
                    6 => Wanted::Keep { request, hash },
                    _ => Wanted::Release { hash },
                };
                let number = u64::from_le_bytes(*number);
                Some(Self::Content { number, wanted })
            }
            _ => None,
        }
    }
}

fn packet(kind: u8, number: Option<u64>, text: &str) -> Vec<u8> {
    packet_of(kind, number, text.as_bytes())
}

fn packet_of(kind: u8, number: Option<u64>, fields: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind];
    if let Some(number) = number {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    bytes.extend_from_slice(fields);
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
    let mut bytes = vec![0; MAX];
    let Some((length, fd)) = receive(channel, &mut bytes, RecvFlags::empty())? else {
        return Ok(None);
    };
    let message = ToWorker::decode(&bytes[..length]).ok_or_else(not_a_message)?;
    if message.has_descriptor() != fd.is_some() {
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
    fn answers_about_content_come_with_their_descriptor_or_not_at_all() {
        let (agent, worker) = pair();
        let file = std::fs::File::open("/dev/null").unwrap();
        for (content, fd) in [
            (Content::Here, true),
            (Content::Send { offset: 5 << 32 }, true),
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
        let content = Content::Here;
        let message = ToWorker::Content {
            request: 4,
            content,
        };
        send_to_worker(&agent, &message, None).unwrap();
        assert!(receive_from_agent(&worker).is_err());
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
