//! Memory shared with a worker: what it is for, and clients that misuse it.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::{Agent, Client, EXEC, Hold, PATIENCE, helper, kill, wait_until};
use std::ffi::CStr;
use std::io::{IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};
use rustix::net::{
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType, sendmsg,
    socketpair,
};
use vaccel_abi::arg::{ARG_BUFFER, ARG_INT32_ARRAY, ARG_STRING, ARG_UINT32};
use vaccel_abi::error::{EINVAL, ENOSPC};
use vaccel_abi::op::{OP_EXEC, OP_FPGA_ARRAYCOPY};
use vaccel_transport::shm::{Block, Lent, Region};
use vaccel_transport::{CallError, Destination, Outputs, PlaceError};
use vaccel_wire::control::REGION_ADD;
use vaccel_wire::{
    Arg, FEATURE_SHARED_MEMORY, FrameBuffer, HEADER_LEN, Header, Hello, Place, Progress, Share,
    Shared, Welcome,
};

const ARRAYCOPY: u16 = OP_FPGA_ARRAYCOPY as u16;

/// Outputs in shared memory: notes where they were written.
#[derive(Default)]
struct There(Vec<(Place, usize)>);

impl Outputs for There {
    fn place(&mut self, arg: &Arg<'_>) -> Result<Destination, PlaceError> {
        self.0.push((arg.shared.unwrap(), arg.size));
        Ok(Destination::none())
    }

    fn takes_shared(&self) -> bool {
        true
    }
}

/// Copies `size` bytes of shared memory from one place to another.
fn copy(
    client: &Client,
    session: i64,
    size: usize,
    from: Place,
    to: Place,
    blocks: Vec<Arc<Block>>,
) -> Result<(), CallError> {
    let mut buffer = FrameBuffer::new();
    let mut builder = buffer.request(ARRAYCOPY);
    builder
        .read_shared(ARG_INT32_ARRAY, 0, size, from)
        .write_capacity_shared(ARG_INT32_ARRAY, 0, size, to);
    let mut frame = builder.finish().unwrap();
    let mut there = There::default();
    client
        .connection
        .call_with(&mut frame, session, None, &mut there, blocks)?;
    assert_eq!(there.0, [(to, size)]);
    Ok(())
}

fn bytes(lent: &Lent, size: usize) -> &[u8] {
    // SAFETY: the block has as many, and nobody writes to it now.
    unsafe { std::slice::from_raw_parts(lent.at.as_ptr(), size) }
}

fn pattern(size: usize, seed: u64) -> Vec<u8> {
    (0..size as u64)
        .map(|i| (i * 7 + i / 253 + seed) as u8)
        .collect()
}

fn code(result: Result<(), CallError>) -> (i32, String) {
    match result {
        Err(CallError::Remote { status, message }) => (status, message),
        other => panic!("{other:?}"),
    }
}

#[test]
fn large_arrays_are_neither_sent_nor_received() {
    let agent = Agent::start(&[]);
    let client = agent.connect();
    let session = client.open_session(0);
    let arena = client.connection.arena().expect("no memory is shared");
    let idle = arena.in_use();
    for size in [16 << 10, 1 << 20, (5 << 20) + 4] {
        let data = pattern(size, size as u64);
        let from = client.connection.lend(&data).unwrap();
        let to = client.connection.lend_room(std::ptr::null(), size).unwrap();
        let blocks = vec![Arc::clone(&from.block), Arc::clone(&to.block)];
        copy(&client, session, size, from.place, to.place, blocks).unwrap();
        assert!(bytes(&to, size) == data);
    }
    assert_eq!(arena.in_use(), idle, "blocks have not come back");
    assert!(client.connection.lend(&[0; 1000]).is_none(), "it is small");
}

#[test]
fn memory_grows_by_regions_up_to_the_limit() {
    let agent = Agent::start(&["--max-shared", "300M"]);
    let client = agent.connect();
    let session = client.open_session(0);
    let size = 100 << 20;
    let data = pattern(size, 3);
    // Neither fits in the first region, nor both in one.
    let from = client.connection.lend(&data).unwrap();
    assert!(from.place.region > 0);
    let to = client.connection.lend_room(std::ptr::null(), size).unwrap();
    assert_ne!(from.place.region, to.place.region);
    copy(&client, session, size, from.place, to.place, Vec::new()).unwrap();
    assert!(bytes(&to, size) == data);
    // No more is to be had: such arguments are sent.
    assert!(client.connection.lend(&data).is_none());
    client.noop(session).unwrap();
}

#[test]
fn an_agent_that_shares_nothing_or_too_little_is_used_all_the_same() {
    for (limit, reason) in [("0", None), ("1M", Some("more than the"))] {
        let agent = Agent::start(&["--max-shared", limit]);
        let client = agent.connect();
        assert!(client.connection.arena().is_none());
        let why = client.connection.not_shared();
        assert_eq!(why.is_some(), reason.is_some());
        assert!(why.unwrap_or("").contains(reason.unwrap_or("")), "{why:?}");
        client.noop(client.open_session(0)).unwrap();
    }
}

#[test]
fn places_outside_of_the_memory_are_refused_each_with_its_reason() {
    let agent = Agent::start(&[]);
    let client = agent.connect();
    let session = client.open_session(0);
    let good = client.connection.block(1 << 20).unwrap().lend(0).place;
    let end = client.connection.block(1).unwrap().lend(0).place.offset + (64 << 20);
    let at = |offset| Place { region: 0, offset };
    for (place, hint) in [
        (at(0), "in the rings"),
        (at(4096), "in the rings"),
        (at((1 << 48) - 64), "beyond its end"),
        (at(end), "beyond its end"),
        (at(good.offset + 4), "not aligned"),
        (
            Place {
                region: 1,
                offset: 0,
            },
            "no such region",
        ),
        (
            Place {
                region: u16::MAX,
                offset: 0,
            },
            "no such region",
        ),
    ] {
        for (from, to) in [(place, good), (good, place)] {
            let (status, text) = code(copy(&client, session, 1 << 16, from, to, Vec::new()));
            assert!(status == EINVAL && text.contains(hint), "{status} {text}");
        }
    }
    let (status, text) = code(copy(
        &client,
        session,
        1 << 16,
        good,
        at(good.offset + 4096),
        Vec::new(),
    ));
    assert!(status == EINVAL && text.contains("lies over"), "{text}");
    // The connection is none the worse for it.
    client.noop(session).unwrap();
}

#[test]
fn what_a_request_has_in_shared_memory_counts_like_its_frame() {
    let agent = Agent::start(&["--max-frame", "1M"]);
    let client = agent.connect();
    let session = client.open_session(0);
    let place = client.connection.block(1 << 20).unwrap().lend(0).place;
    // The same bytes many times would be copied many times.
    let mut buffer = FrameBuffer::new();
    let mut builder = buffer.request(OP_EXEC as u16);
    for _ in 0..3 {
        builder.read_shared(ARG_BUFFER, 0, 1 << 19, place);
    }
    let mut frame = builder.finish().unwrap();
    let refused = client.connection.call(&mut frame, session, None, &mut ());
    let (_, text) = code(refused);
    assert!(text.contains("the limit is 1048576"), "{text}");
}

#[test]
fn a_text_that_changes_while_it_is_used_is_still_one_text() {
    let agent = Agent::start(&[]);
    let client = agent.connect();
    let session = client.open_session(EXEC);
    let mut path = helper().to_str().unwrap().as_bytes().to_vec();
    path.push(0);
    let size = path.len();
    let block = client.connection.block(size).unwrap();
    let last = block.at().as_ptr().wrapping_add(size - 1);
    // SAFETY: room for the path, in a block of ours.
    unsafe { std::ptr::copy_nonoverlapping(path.as_ptr(), block.at().as_ptr(), size) };
    let (stop, last) = (AtomicBool::new(false), last as usize);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let last = last as *mut u8;
            while !stop.load(Ordering::Relaxed) {
                // SAFETY: a byte of the block, which outlives the scope.
                unsafe { last.write_volatile(b'x') };
                // SAFETY: as above.
                unsafe { last.write_volatile(0) };
            }
        });
        let mut seen = [0; 2];
        let end = Instant::now() + PATIENCE;
        for round in 0.. {
            let mut buffer = FrameBuffer::new();
            let mut builder = buffer.request(OP_EXEC as u16);
            builder
                .read_shared(ARG_STRING, 0, size, block.lend(0).place)
                .read_text("no_such_function");
            let mut frame = builder.finish().unwrap();
            let result = client.connection.call(&mut frame, session, None, &mut ());
            let (status, text) = code(result);
            let refused = text.contains("terminating zero");
            assert!(
                refused || text.contains("no_such_function"),
                "{status} {text}"
            );
            seen[usize::from(refused)] += 1;
            if (round > 300 && seen[0] > 0 && seen[1] > 0) || Instant::now() > end {
                break;
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    client.noop(session).unwrap();
}

#[test]
fn memory_of_a_call_that_was_given_up_is_not_used_again_before_its_answer() {
    let agent = Agent::start(&[]);
    let client = agent.connect();
    let session = client.open_session(EXEC);
    let arena = client.connection.arena().unwrap();
    let idle = arena.in_use();
    let hold = Hold::new();
    let lent = client.connection.lend(&pattern(1 << 20, 1)).unwrap();
    let mut buffer = FrameBuffer::new();
    let mut builder = buffer.request(OP_EXEC as u16);
    builder
        .read_text(helper().to_str().unwrap())
        .read_text("hold");
    for name in hold.names() {
        builder.read_text(&name);
    }
    builder.read_shared(ARG_BUFFER, 0, 1 << 20, lent.place);
    let mut frame = builder.finish().unwrap();
    let timeout = Some(Duration::from_millis(300));
    let blocks = vec![lent.block];
    let result = client
        .connection
        .call_with(&mut frame, session, timeout, &mut (), blocks);
    assert!(
        matches!(result, Err(CallError::TimedOut { .. })),
        "{result:?}"
    );
    assert_eq!(arena.in_use(), idle + (1 << 20));
    hold.release();
    wait_until("the block is free", || {
        client.noop(session).unwrap();
        arena.in_use() == idle
    });
}

#[test]
fn a_killed_worker_ends_a_call_that_waits_at_the_ring_at_once() {
    let agent = Agent::start(&[]);
    let client = agent.connect();
    let session = client.open_session(EXEC);
    let hold = Hold::new();
    std::thread::scope(|scope| {
        let call = scope.spawn(|| {
            let result = hold.run(&client, session, Some(PATIENCE));
            (result, Instant::now())
        });
        hold.wait_until_begun();
        let killed = Instant::now();
        kill(agent.worker_of(&client), libc::SIGKILL);
        let (result, ended) = call.join().unwrap();
        assert!(matches!(result, Err(CallError::Lost(..))), "{result:?}");
        assert!(ended - killed < Duration::from_secs(10));
    });
}

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
fn frames_larger_than_the_ring_pass_through_it_both_ways() {
    let agent = Agent::start(&["--mode", "low-cpu"]);
    let client = agent.connect();
    let session = client.open_session(0);
    // By value, although it could lie in the arena: many times what the ring holds.
    let data = pattern(3 << 20, 9);
    let outputs = client.call(ARRAYCOPY, session, |b| {
        b.read_bytes(ARG_INT32_ARRAY, 0, &data)
            .write_capacity(ARG_INT32_ARRAY, 0, 3 << 20);
    });
    assert!(outputs.unwrap()[0] == data);
    std::thread::scope(|scope| {
        for seed in 0..4 {
            let client = &client;
            scope.spawn(move || {
                for round in 0..30 {
                    let data = pattern(200_000 + 4 * round, seed);
                    let outputs = client.call(ARRAYCOPY, session, |b| {
                        b.read_bytes(ARG_INT32_ARRAY, 0, &data).write_capacity(
                            ARG_INT32_ARRAY,
                            0,
                            data.len(),
                        );
                    });
                    assert!(outputs.unwrap()[0] == data);
                }
            });
        }
    });
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
