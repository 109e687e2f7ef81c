//! What happens to one connection does not happen to another.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::{
    Agent, Client, EXEC, Hold, PATIENCE, assert_lost, helper, is_alive, kill, kill_at_rest,
    reads_how_its_worker_ended, wait_until,
};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};
use vaccel_transport::{Address, Connection, Options, handshake};
use vaccel_wire::{FrameBuffer, FrameBuilder, HEADER_LEN, Header, Hello, control};

/// As [`Agent::connect`], without shared memory.
fn plain(address: &Address) -> Client {
    let options = Options {
        share_memory: false,
        timeout: PATIENCE,
        ..Options::default()
    };
    let connection = Connection::connect(address, &options).unwrap();
    Client { connection }
}

#[test]
fn a_killed_worker_ends_its_own_connection_at_once_and_no_other() {
    let agent = Agent::start(&[]);
    let (one, two) = (agent.connect(), agent.connect());
    let (session_one, session_two) = (one.open_session(EXEC), two.open_session(0));
    let (worker_one, worker_two) = (agent.worker_of(&one), agent.worker_of(&two));
    assert_ne!(worker_one, worker_two);
    let hold = Hold::new();
    std::thread::scope(|scope| {
        let call = scope.spawn(|| {
            let result = hold.run(&one, session_one, None);
            (result, Instant::now())
        });
        hold.wait_until_begun();
        let killed = Instant::now();
        kill_at_rest(worker_one);
        let (result, seen) = call.join().unwrap();
        assert_lost(&result, "killed by signal 9 (SIGKILL)");
        assert!(
            seen - killed < Duration::from_secs(10),
            "{:?}",
            seen - killed
        );
    });
    two.noop(session_two).unwrap();
    let three = agent.connect();
    three.noop(three.open_session(0)).unwrap();
    assert!(is_alive(worker_two));
    let log = agent.stop();
    assert!(
        log.contains("killed by signal 9 (SIGKILL) while it served it"),
        "{log}"
    );
}

#[test]
fn a_crash_in_an_operation_ends_its_own_connection_and_no_other() {
    let agent = Agent::start(&[]);
    let (one, two) = (agent.connect(), agent.connect());
    let (session_one, session_two) = (one.open_session(EXEC), two.open_session(EXEC));
    let result = one.exec(session_one, "crash", &[], None, None);
    assert_lost(&result, "killed by signal 11 (SIGSEGV)");
    two.exec(session_two, "allocate", &[], Some(0), None)
        .unwrap();
    agent.connect().connection.ping(PATIENCE).unwrap();
    let log = agent.stop();
    assert!(log.contains("killed by signal 11 (SIGSEGV)"), "{log}");
}

#[test]
fn a_shared_worker_that_dies_is_replaced() {
    let agent = Agent::start(&["--isolation", "shared"]);
    let client = agent.connect();
    let worker = agent.worker_of(&client);
    kill(worker, libc::SIGKILL);
    wait_until("the connection ends", || {
        client.connection.ping(PATIENCE).is_err()
    });
    let again = agent.connect();
    again.noop(again.open_session(0)).unwrap();
    assert_ne!(agent.worker_of(&again), worker);
    agent.stop();
}

#[test]
fn processes_that_an_operation_started_end_with_its_connection() {
    let agent = Agent::start(&["--jail-spawn"]);
    let client = agent.connect();
    let session = client.open_session(EXEC);
    let outputs = client
        .exec(session, "leave_child", &[], Some(4), None)
        .unwrap();
    let child = i32::from_le_bytes(outputs[0][..].try_into().unwrap());
    let child = u32::try_from(child).unwrap();
    assert!(is_alive(child));
    drop(client);
    wait_until("the child ends", || !is_alive(child));
    agent.stop();
}

#[test]
fn a_worker_cannot_gain_privileges_or_leave_a_core_file() {
    let agent = Agent::start(&[]);
    let client = agent.connect();
    let worker = agent.worker_of(&client);
    let status = std::fs::read_to_string(format!("/proc/{worker}/status")).unwrap();
    assert!(
        status.lines().any(|line| line == "NoNewPrivs:\t1"),
        "{status}"
    );
    let limits = std::fs::read_to_string(format!("/proc/{worker}/limits")).unwrap();
    let core = limits
        .lines()
        .find(|line| line.starts_with("Max core"))
        .unwrap();
    let numbers: Vec<&str> = core.split_whitespace().collect();
    assert_eq!(numbers[4..6], ["0", "0"], "{core}");
    agent.stop();
}

#[test]
fn workers_do_not_outlive_an_agent_that_is_killed() {
    let mut agent = Agent::start(&["--pool", "2"]);
    let client = agent.connect();
    let busy = agent.worker_of(&client);
    let mut workers = Vec::new();
    wait_until("two idle workers", || {
        workers = agent.workers();
        workers.len() == 3
    });
    assert!(workers.contains(&busy));
    agent.signal(libc::SIGKILL);
    agent.wait();
    wait_until("the workers end", || !workers.iter().any(|&w| is_alive(w)));
}

#[test]
fn a_client_reads_how_its_worker_ended_whatever_lies_between_them() {
    let agent = Agent::start(&["-a", "tcp://127.0.0.1:0"]);
    let clients: [(&str, &dyn Fn() -> Client); 3] = [
        ("shared memory", &|| agent.connect()),
        ("a socket", &|| plain(agent.address())),
        ("tcp", &|| plain(&agent.addresses[1])),
    ];
    for (way, connect) in clients {
        println!("{way}");
        reads_how_its_worker_ended(&agent, connect);
    }
    agent.stop();
}

/// Sends a request, and returns the header of the reply.
fn ask(
    stream: &mut UnixStream,
    request: u64,
    session: i64,
    builder: FrameBuilder<'_, '_>,
) -> Header {
    let mut frame = builder.finish().unwrap();
    frame.address(request, session, 0);
    for slice in frame.slices() {
        stream.write_all(slice).unwrap();
    }
    let mut head = [0; HEADER_LEN];
    stream.read_exact(&mut head).unwrap();
    Header::decode(&head).unwrap()
}

#[test]
fn nothing_is_put_into_a_reply_that_was_sent_in_part() {
    let agent = Agent::start(&[]);
    let stream = agent.stream();
    let hello = Hello::new(1 << 30);
    let granted = handshake::open(&stream, &hello, "the agent", PATIENCE).unwrap();
    let mut stream = UnixStream::from(OwnedFd::from(stream));
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut buffer = FrameBuffer::new();
    let mut open = buffer.request(control::SESSION_OPEN);
    open.read_scalar(EXEC)
        .write_capacity(vaccel_abi::arg::ARG_INT64, 0, 8);
    let header = ask(&mut stream, 1, 0, open);
    let mut rest = vec![0; usize::try_from(header.frame_len()).unwrap() - HEADER_LEN];
    stream.read_exact(&mut rest).unwrap();
    let session = header.meta_len as usize;
    let session = i64::from_le_bytes(rest[session..session + 8].try_into().unwrap());
    // A reply that is larger than what the socket holds, and is not read.
    let mut buffer = FrameBuffer::new();
    let mut exec = buffer.request(u16::try_from(vaccel_abi::op::OP_EXEC).unwrap());
    exec.read_text(helper().to_str().unwrap())
        .read_text("compute")
        .read_text("0")
        .write_capacity(vaccel_abi::arg::ARG_BUFFER, 0, 64 << 20);
    let header = ask(&mut stream, 2, session, exec);
    let all = usize::try_from(header.frame_len()).unwrap();
    assert!(header.request == 2 && header.status() == 0 && all > 64 << 20);
    kill(agent.worker_numbered(granted.connection), libc::SIGKILL);
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    assert!(HEADER_LEN + rest.len() < all, "{} of {all}", rest.len());
    let payload = &rest[header.meta_len as usize..];
    assert!(payload.iter().all(|&byte| byte == 0));
    agent.stop();
}

#[test]
fn a_client_reads_how_its_worker_ended_over_vsock_where_this_machine_has_a_loopback() {
    // Connecting without it takes seconds to fail.
    if !std::path::Path::new("/sys/module/vsock_loopback").exists() {
        println!("no loopback for vsock here");
        return;
    }
    let agent = Agent::start(&["-a", "vsock://any:0"]);
    // The agent says `any`; this machine itself is 1.
    let address = agent.addresses[1].to_string().replace("any", "1");
    let client = plain(&address.parse().unwrap());
    let session = client.open_session(EXEC);
    let result = client.exec(session, "crash", &[], None, None);
    assert_lost(&result, "killed by signal 11 (SIGSEGV)");
    agent.stop();
}
