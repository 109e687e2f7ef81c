//! Memory shared with a worker, and clients that misuse it.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::{Agent, PATIENCE, wait_until};
use std::ffi::CStr;
use std::io::{IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};
use rustix::net::{
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType, sendmsg,
    socketpair,
};
use vaccel_abi::arg::ARG_UINT32;
use vaccel_abi::error::{EINVAL, ENOSPC};
use vaccel_transport::shm::Region;
use vaccel_wire::control::REGION_ADD;
use vaccel_wire::{
    FEATURE_SHARED_MEMORY, FrameBuffer, HEADER_LEN, Header, Hello, Progress, Share, Shared, Welcome,
};

/// A Unix stream on which memory has been granted, and nothing offered yet.
fn granted(agent: &Agent) -> UnixStream {
    let mut stream = UnixStream::from(OwnedFd::from(agent.stream()));
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut hello = Vec::new();
    Hello {
        features: FEATURE_SHARED_MEMORY,
        ..Hello::new(1 << 20)
    }
    .encode(&mut hello)
    .unwrap();
    stream.write_all(&hello).unwrap();
    let mut bytes = Vec::new();
    loop {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        bytes.push(byte[0]);
        if let Progress::Done(welcome, _) = Welcome::decode(&bytes).unwrap() {
            assert_eq!(welcome.features, FEATURE_SHARED_MEMORY);
            return stream;
        }
    }
}

fn offer(stream: &mut UnixStream, share: &[u8], fds: &[BorrowedFd<'_>]) -> Shared {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() {
        assert!(control.push(SendAncillaryMessage::ScmRights(fds)));
    }
    let sent = sendmsg(
        &*stream,
        &[IoSlice::new(share)],
        &mut control,
        SendFlags::empty(),
    );
    assert_eq!(sent.unwrap(), share.len());
    let mut bytes = Vec::new();
    loop {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        bytes.push(byte[0]);
        if let Progress::Done(shared, _) = Shared::decode(&bytes).unwrap() {
            return shared;
        }
    }
}

const SHARE: Share = Share {
    size: 1 << 20,
    ring: 4096,
    arena: 3 * 4096,
};

fn memfd(name: &CStr, size: u64, seals: SealFlags) -> OwnedFd {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let fd = memfd_create(name, flags).unwrap();
    ftruncate(&fd, size).unwrap();
    fcntl_add_seals(&fd, seals).unwrap();
    fd
}

fn all() -> SealFlags {
    SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL
}

fn side() -> (OwnedFd, OwnedFd) {
    socketpair(
        rustix::net::AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )
    .unwrap()
}

#[test]
fn offers_that_could_do_harm_are_refused_and_the_connection_goes_on() {
    let agent = Agent::start(&[]);
    let file: OwnedFd = tempfile::tempfile().unwrap().into();
    ftruncate(&file, 1 << 20).unwrap();
    let (pipe, _other) = rustix::pipe::pipe().unwrap();
    let null: OwnedFd = std::fs::File::open("/dev/zero").unwrap().into();
    let unsealed = memfd(c"unsealed", 1 << 20, SealFlags::empty());
    let growing = memfd(c"growing", 1 << 20, SealFlags::SHRINK | SealFlags::SEAL);
    let open = memfd(c"open", 1 << 20, SealFlags::SHRINK | SealFlags::GROW);
    let short = memfd(c"short", 4096, all());
    let closed = memfd(c"closed", 1 << 20, all() - SealFlags::SEAL);
    fcntl_add_seals(&closed, SealFlags::WRITE | SealFlags::SEAL).unwrap();
    let good = memfd(c"good", 1 << 20, all());
    let huge = Share {
        size: 1 << 60,
        ..SHARE
    };
    let odd = Share {
        size: (1 << 20) - 1,
        ..SHARE
    };
    let wrong = Share {
        ring: 5000,
        ..SHARE
    };
    let (_ours, theirs) = side();
    for (share, fd, hint) in [
        (SHARE, Some(&file), "not a memfd"),
        (SHARE, Some(&pipe), "not a memfd"),
        (SHARE, Some(&null), "not a memfd"),
        (SHARE, Some(&theirs), "not a memfd"),
        (SHARE, Some(&unsealed), "lacks the seals 0x7"),
        (SHARE, Some(&growing), "lacks the seals 0x4"),
        (SHARE, Some(&open), "lacks the seals 0x1"),
        (SHARE, Some(&short), "has 4096 bytes, not the 1048576"),
        (SHARE, Some(&closed), "cannot be shared"),
        (SHARE, None, "0 descriptors came"),
        (huge, Some(&good), "more than the"),
        (odd, Some(&good), "multiples of 4096"),
        (wrong, Some(&good), "size of the rings"),
    ] {
        let mut stream = granted(&agent);
        let fds: Vec<_> = fd
            .map(|fd| [fd.as_fd(), theirs.as_fd()])
            .into_iter()
            .flatten()
            .collect();
        let answer = offer(&mut stream, &share.encode(), &fds);
        assert!(
            answer.status != 0 && answer.text.contains(hint),
            "{answer:?} without {hint}"
        );
        ping(&mut stream);
    }
    // One, and three.
    for fds in [
        &[good.as_fd()][..],
        &[good.as_fd(), good.as_fd(), good.as_fd()],
    ] {
        let mut stream = granted(&agent);
        let answer = offer(&mut stream, &SHARE.encode(), fds);
        assert_ne!(answer.status, 0);
        ping(&mut stream);
    }
}

/// Asks for a sign of life on the socket, and gets it.
fn ping(stream: &mut UnixStream) {
    let mut buffer = FrameBuffer::new();
    let frame = buffer.bare(vaccel_wire::Kind::Ping, 5);
    stream
        .write_all(&frame.slices().collect::<Vec<_>>().concat())
        .unwrap();
    let mut pong = [0; HEADER_LEN];
    stream.read_exact(&mut pong).unwrap();
    assert_eq!(Header::decode(&pong).unwrap().kind, vaccel_wire::Kind::Pong);
}

/// An offer that is taken: the stream, the memory, the other end of the channel.
fn shared(agent: &Agent) -> (UnixStream, Region, OwnedFd) {
    let (region, fd) = Region::create(1 << 20).unwrap();
    let (ours, theirs) = side();
    let mut stream = granted(agent);
    let answer = offer(&mut stream, &SHARE.encode(), &[fd.as_fd(), theirs.as_fd()]);
    assert_eq!((answer.status, answer.text.as_str()), (0, ""));
    // What is sealed cannot be cut off under the worker.
    assert!(ftruncate(&fd, 4096).is_err());
    (stream, region, ours)
}

fn cell(region: &Region, offset: usize) -> &AtomicU32 {
    // SAFETY: inside the region, aligned, and used as an atomic by both.
    unsafe { region.at(offset, 4).unwrap().cast().as_ref() }
}

#[test]
fn positions_that_cannot_be_end_the_connection_and_nothing_else() {
    let agent = Agent::start(&["--isolation", "shared"]);
    let other = agent.connect();
    let session = other.open_session(0);
    for (offset, value) in [(0, 5000), (0, u32::MAX), (0, 1 << 31), (64, 77), (320, 9)] {
        let (mut stream, region, _side) = shared(&agent);
        // The head of the requests is the worker's own, and what is written there
        // means nothing to it.
        cell(&region, offset).store(value, Ordering::SeqCst);
        stream.write_all(&[0]).unwrap();
        if offset == 0 {
            let mut rest = Vec::new();
            // A reset when the worker had not read the byte yet: ended all the same.
            if let Err(error) = stream.read_to_end(&mut rest) {
                assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
            }
        } else {
            assert!(cell(&region, 0).load(Ordering::SeqCst) == 0);
        }
        other.noop(session).unwrap();
    }
    // A frame that lies, in the ring.
    let (mut stream, region, _side) = shared(&agent);
    for i in 0..1024 {
        cell(&region, 4096 + 4 * i).store(0xdead_beef, Ordering::Relaxed);
    }
    cell(&region, 0).store(4096, Ordering::SeqCst);
    stream.write_all(&[0]).unwrap();
    // Ended, with a reset or without.
    let _ = stream.read_to_end(&mut Vec::new());
    other.noop(session).unwrap();
}

#[test]
fn further_regions_are_checked_like_the_first() {
    let agent = Agent::start(&["--max-shared", "100M"]);
    let client = agent.connect();
    let add = |size: u64| {
        client.fails(REGION_ADD, 0, |b| {
            b.read_scalar(size).write_capacity(ARG_UINT32, 0, 4);
        })
    };
    let (status, text) = add(4096);
    assert!(status == EINVAL && text.contains("0 descriptors"), "{text}");
    assert!(client.connection.block(90 << 20).is_none());
    client.connection.ping(PATIENCE).unwrap();
    let without = Agent::start(&["--max-shared", "0"]);
    let (status, text) = without.connect().fails(REGION_ADD, 0, |b| {
        b.read_scalar(4096_u64).write_capacity(ARG_UINT32, 0, 4);
    });
    assert!(
        status == EINVAL && text.contains("no memory is shared"),
        "{text}"
    );
    assert_ne!(ENOSPC, status);
}

#[test]
fn flags_that_are_scribbled_on_while_a_connection_is_parked_harm_nobody_else() {
    let agent = Agent::start(&["--isolation", "shared", "--park-after", "10ms"]);
    let other = agent.connect();
    let session = other.open_session(0);
    let (mut stream, region, _side) = shared(&agent);
    let asleep = cell(&region, 128);
    let (tail, replies) = (cell(&region, 0), cell(&region, 256));
    let mut buffer = FrameBuffer::new();
    let ping = buffer.bare(vaccel_wire::Kind::Ping, 5);
    let ping = ping.slices().collect::<Vec<_>>().concat();
    for (round, scribble) in (0_u32..).zip([0, 1, 7, u32::MAX]) {
        wait_until("the worker sleeps", || asleep.load(Ordering::SeqCst) != 0);
        // The worker said that it sleeps; now its word says something else.
        asleep.store(scribble, Ordering::SeqCst);
        let at = tail.load(Ordering::SeqCst);
        // SAFETY: inside the ring, which has room for a hundred such frames.
        unsafe {
            let to = region.at(4096 + at as usize, ping.len()).unwrap();
            std::ptr::copy_nonoverlapping(ping.as_ptr(), to.as_ptr(), ping.len());
        }
        tail.store(at + ping.len() as u32, Ordering::SeqCst);
        other.noop(session).unwrap();
        // A bell is heard whatever the word says, and many are as good as one.
        stream
            .write_all(&[0; 1000][..=(round * 300) as usize])
            .unwrap();
        wait_until("the answer comes", || {
            replies.load(Ordering::SeqCst) as usize == (round as usize + 1) * HEADER_LEN
        });
    }
    wait_until("the worker sleeps", || asleep.load(Ordering::SeqCst) != 0);
    tail.store(u32::MAX / 2, Ordering::SeqCst);
    stream.write_all(&[0]).unwrap();
    // Ended, with a reset or without.
    let _ = stream.read_to_end(&mut Vec::new());
    other.noop(session).unwrap();
}
