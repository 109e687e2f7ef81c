//! Memory shared with a worker: what it is for. `shared_misuse`: clients that misuse it.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::{Agent, Client, EXEC, Hold, PATIENCE, helper, kill, wait_until};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use vaccel_abi::arg::{ARG_BUFFER, ARG_INT32_ARRAY, ARG_STRING};
use vaccel_abi::error::EINVAL;
use vaccel_abi::op::{OP_EXEC, OP_FPGA_ARRAYCOPY};
use vaccel_transport::shm::{Block, Lent};
use vaccel_transport::{CallError, Destination, Outputs, PlaceError};
use vaccel_wire::{Arg, FrameBuffer, Place};

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
