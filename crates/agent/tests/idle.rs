//! Connections that are quiet: they hold no thread and little memory, and wake at once.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::{Agent, Client, EXEC, Hold, PATIENCE, wait_until};
use std::fs;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::process::{Resource, getrlimit, setrlimit};
use vaccel_wire::{FrameBuffer, HEADER_LEN, Header, Hello, Progress, Welcome};

const SHARED: [&str; 6] = [
    "--isolation",
    "shared",
    "--max-connections",
    "4096",
    "--park-after",
    "50ms",
];

/// Connections of a process that wait in its epoll.
fn parked(process: u32) -> usize {
    let mut count = 0;
    let Ok(descriptors) = fs::read_dir(format!("/proc/{process}/fd")) else {
        return 0;
    };
    for fd in descriptors.flatten() {
        let is_epoll =
            fs::read_link(fd.path()).is_ok_and(|to| to.as_os_str() == "anon_inode:[eventpoll]");
        if !is_epoll {
            continue;
        }
        let number = fd.file_name();
        let info = format!("/proc/{process}/fdinfo/{}", number.to_str().unwrap());
        let info = fs::read_to_string(info).unwrap_or_default();
        // `tfd: 12 events: 40002019 data: ...`; one that has been called waits for nothing.
        count += info
            .lines()
            .filter_map(|line| line.split("events:").nth(1)?.split_whitespace().next())
            .filter(|events| u32::from_str_radix(events, 16).unwrap() & 1 != 0)
            .count();
    }
    count
}

fn all_parked(agent: &Agent) -> usize {
    agent.workers().into_iter().map(parked).sum()
}

fn wait_until_parked(agent: &Agent, count: usize) {
    wait_until("the connections are parked", || all_parked(agent) == count);
}

/// What the agent and its workers have of memory, bytes; shared pages count in part.
fn memory(agent: &Agent) -> u64 {
    let processes = agent.workers().into_iter().chain([agent.id()]);
    let pss = |process| {
        let text = fs::read_to_string(format!("/proc/{process}/smaps_rollup")).unwrap();
        let line = text.lines().find(|line| line.starts_with("Pss:")).unwrap();
        let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
        kib * 1024
    };
    processes.map(pss).sum()
}

/// Threads of the agent and its workers, and how often they have been switched to.
fn threads(agent: &Agent) -> (usize, u64) {
    let (mut count, mut switches) = (0, 0);
    for process in agent.workers().into_iter().chain([agent.id()]) {
        for task in fs::read_dir(format!("/proc/{process}/task"))
            .unwrap()
            .flatten()
        {
            count += 1;
            let text = fs::read_to_string(task.path().join("status")).unwrap_or_default();
            switches += text
                .lines()
                .filter(|line| line.contains("ctxt_switches:"))
                .filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok())
                .sum::<u64>();
        }
    }
    (count, switches)
}

/// Asks for as many descriptors as can be had; how many there are.
fn descriptors() -> u64 {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).unwrap();
    limit.current.unwrap_or(u64::MAX)
}

#[test]
fn two_thousand_idle_connections_hold_no_thread_and_wake_nobody() {
    const COUNT: usize = 2000;
    let there = descriptors();
    assert!(
        there >= 2 * COUNT as u64 + 100,
        "this test needs {COUNT} connections of two descriptors each, and the limit is \
         {there}: raise it with `ulimit -n`"
    );
    let agent = Agent::start(&SHARED);
    let first = agent.connect();
    let session = first.open_session(0);
    first.noop(session).unwrap();
    wait_until_parked(&agent, 1);
    let before = memory(&agent);
    let clients: Vec<_> = (1..COUNT)
        .map(|_| {
            let client = agent.connect();
            client.connection.ping(PATIENCE).unwrap();
            client
        })
        .collect();
    wait_until_parked(&agent, COUNT);
    let each = memory(&agent).saturating_sub(before) / (COUNT as u64 - 1);
    println!("{each} bytes for each of {COUNT} connections");
    assert!(each <= 32 << 10, "{each} bytes for each connection");
    // Those that served them wait a while for others, and then end.
    wait_until("the threads have ended", || threads(&agent).0 < 30);
    let (_, before) = threads(&agent);
    let end = Instant::now() + Duration::from_secs(1);
    while Instant::now() < end {
        std::thread::park_timeout(Duration::from_millis(100));
    }
    let (_, after) = threads(&agent);
    println!("{} wake-ups in a second", after - before);
    assert!(after - before < 100, "{} wake-ups", after - before);
    // All of them are there still.
    for client in &clients {
        client.connection.ping(PATIENCE).unwrap();
    }
    first.noop(session).unwrap();
}

#[test]
fn a_parked_connection_answers_as_before_and_parks_again() {
    for (address, arguments) in [
        (0, &[][..]),
        (0, &["--max-shared", "0"][..]),
        (1, &["-a", "tcp://127.0.0.1:0"][..]),
    ] {
        let agent = Agent::start(&[&SHARED[..], arguments].concat());
        let client = Client::to(&agent.addresses[address]).unwrap();
        let session = client.open_session(0);
        let data: Vec<u8> = (0..200_000_u32).map(|i| (i % 251) as u8).collect();
        for round in 0..3 {
            wait_until_parked(&agent, 1);
            if let Some(lent) = client.connection.lend(&data) {
                // What lies in shared memory is not the worker's to forget.
                wait_until_parked(&agent, 1);
                // SAFETY: the block has as many bytes, and nobody writes to it.
                let there = unsafe { std::slice::from_raw_parts(lent.at.as_ptr(), data.len()) };
                assert!(there == data, "round {round}");
            }
            // Several ring-fulls and larger than a socket's buffer.
            for _ in 0..5 {
                let outputs = client.call(vaccel_wire::control::DESCRIBE, 0, |b| {
                    b.write_allocate(vaccel_abi::arg::ARG_BUFFER);
                });
                assert!(outputs.unwrap()[0].starts_with(b"{"));
                client.noop(session).unwrap();
            }
        }
        wait_until_parked(&agent, 1);
        agent.stop();
    }
}

#[test]
fn a_client_that_goes_while_it_is_parked_is_noticed() {
    let agent = Agent::start(&SHARED);
    let stays = agent.connect();
    let clients: Vec<_> = (0..20).map(|_| agent.connect()).collect();
    wait_until_parked(&agent, 21);
    drop(clients);
    wait_until_parked(&agent, 1);
    wait_until("their ends are told", || {
        agent.log().matches("ended:").count() == 20
    });
    stays.connection.ping(PATIENCE).unwrap();
}

#[test]
fn an_agent_that_is_told_to_end_does_not_wait_for_those_that_are_parked() {
    let agent = Agent::start(&SHARED);
    let clients: Vec<_> = (0..20).map(|_| agent.connect()).collect();
    wait_until_parked(&agent, 20);
    let begin = Instant::now();
    agent.stop();
    assert!(begin.elapsed() < Duration::from_secs(8));
    drop(clients);
}

#[test]
fn connections_that_wake_at_the_same_time_are_all_served() {
    let agent = Agent::start(&SHARED);
    let clients: Vec<_> = (0..100).map(|_| agent.connect()).collect();
    for _ in 0..3 {
        wait_until_parked(&agent, 100);
        std::thread::scope(|scope| {
            for some in clients.chunks(10) {
                scope.spawn(move || {
                    for client in some {
                        client.connection.ping(PATIENCE).unwrap();
                    }
                });
            }
        });
    }
}

#[test]
fn a_connection_does_not_park_while_an_operation_runs() {
    let agent = Agent::start(&SHARED);
    let client = agent.connect();
    let session = client.open_session(EXEC);
    let hold = Hold::new();
    std::thread::scope(|scope| {
        let call = scope.spawn(|| hold.run(&client, session, None));
        hold.wait_until_begun();
        // Longer than it takes to park.
        let end = Instant::now() + Duration::from_millis(200);
        while Instant::now() < end {
            assert_eq!(all_parked(&agent), 0);
            std::thread::park_timeout(Duration::from_millis(10));
        }
        hold.release();
        call.join().unwrap().unwrap();
    });
    wait_until_parked(&agent, 1);
}

/// A stream on which HELLO and WELCOME have been exchanged.
fn opened(agent: &Agent) -> UnixStream {
    let mut stream = UnixStream::from(OwnedFd::from(agent.stream()));
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut hello = Vec::new();
    Hello::new(1 << 20).encode(&mut hello).unwrap();
    stream.write_all(&hello).unwrap();
    let mut bytes = Vec::new();
    loop {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        bytes.extend(byte);
        if let Progress::Done(welcome, _) = Welcome::decode(&bytes).unwrap() {
            assert_eq!(welcome.status, 0);
            return stream;
        }
    }
}

#[test]
fn a_frame_that_comes_in_pieces_is_waited_for() {
    let agent = Agent::start(&SHARED);
    let mut stream = opened(&agent);
    wait_until_parked(&agent, 1);
    let mut buffer = FrameBuffer::new();
    let mut frame = buffer.request(vaccel_wire::control::DESCRIBE);
    frame.write_allocate(vaccel_abi::arg::ARG_BUFFER);
    let mut frame = frame.finish().unwrap();
    frame.address(7, 0, 10_000);
    let bytes: Vec<u8> = frame.slices().flatten().copied().collect();
    for (i, byte) in bytes.iter().enumerate() {
        stream.write_all(&[*byte]).unwrap();
        if i % 16 == 0 {
            // Longer than it takes to park: it must not, and nothing may get lost.
            let end = Instant::now() + Duration::from_millis(120);
            while Instant::now() < end {
                std::thread::park_timeout(Duration::from_millis(20));
            }
            assert_eq!(all_parked(&agent), 0, "after {i} bytes");
        }
    }
    let mut head = [0; HEADER_LEN];
    stream.read_exact(&mut head).unwrap();
    let header = Header::decode(&head).unwrap();
    assert_eq!((header.request, header.status()), (7, 0));
}
