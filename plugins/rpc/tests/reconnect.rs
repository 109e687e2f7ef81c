//! What happens when the agent, a worker or the connection goes away: with real
//! agents, and with one that counts what it is asked.
#![allow(clippy::unwrap_used)]

mod common;

use common::agent::Agent;
use common::fixture::model;
use common::process::{Process, signal, workers_of};
use common::{Rpc, SOON, Session, last_error, remote_id, until};
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use vaccel_plugin::abi::op::{OP_MODEL_LOAD, OP_NOOP};
use vaccel_plugin::testing::TestResource;
use vaccel_plugin::{ResourceType, code};
use vaccel_wire::control::{RESOURCE_BEGIN, SESSION_OPEN};

const PLUGINS: &str = "noop,exec";

fn load(
    session: &Session<'_>,
    resource: &TestResource,
    rpc: &Rpc,
    options: &std::ffi::CStr,
) -> i32 {
    let load = rpc.plugin.ext().model_load.unwrap();
    // SAFETY: live structures and a C string.
    unsafe { load(session.as_ptr(), resource.as_ptr(), options.as_ptr()) }
}

/// Calls until one succeeds; how many failed, each with the code of a lost connection.
fn until_it_works(session: &Session<'_>) -> usize {
    let mut failed = 0;
    let end = Instant::now() + SOON;
    loop {
        match session.noop() {
            0 => return failed,
            code::EREMOTEIO => failed += 1,
            other => panic!("{other}: {}", last_error()),
        }
        assert!(Instant::now() < end, "{}", last_error());
    }
}

#[test]
fn resources_and_models_are_back_before_the_next_call() {
    let agent = Agent::start();
    let rpc = Rpc::start(&agent.address, &[]);
    let (one, two) = (rpc.session(), rpc.open(2).unwrap());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data");
    std::fs::write(&path, b"from a file").unwrap();
    let memory = model(1, b"from memory");
    let file = TestResource::from_files(2, ResourceType::Data, &[&path]);
    let dropped = model(3, b"not any more");
    assert_eq!((one.register(&memory), two.register(&memory)), (0, 0));
    assert_eq!((one.register(&file), one.register(&dropped)), (0, 0));
    assert_eq!(one.unregister(&dropped), 0);
    assert_eq!(load(&one, &memory, &rpc, c"device=cpu"), 0);
    let loads = agent.world.count(OP_MODEL_LOAD);
    let begun = agent.world.count(u32::from(RESOURCE_BEGIN));
    agent.cut();
    until("the agent has forgotten", || {
        agent.world.resources.lock().unwrap().is_empty()
    });
    until_it_works(&one);
    assert_eq!(two.noop(), 0);
    assert_eq!(agent.world.connections.load(Ordering::SeqCst), 2);
    // Each is sent once, although two sessions have the first.
    assert_eq!(agent.world.count(u32::from(RESOURCE_BEGIN)), begun + 2);
    assert_eq!(agent.world.count(OP_MODEL_LOAD), loads + 1);
    let stored = agent.world.resources.lock().unwrap().clone();
    assert_eq!(stored.len(), 2);
    let first = &stored[&remote_id(&memory)];
    assert_eq!(first.blobs[0].2, b"from memory");
    assert_eq!(first.sessions, [one.remote_id(), two.remote_id()]);
    assert_eq!(stored[&remote_id(&file)].blobs[0].2, b"from a file");
    // And can be taken back.
    assert_eq!((one.unregister(&memory), two.unregister(&memory)), (0, 0));
    assert_eq!(one.unregister(&file), 0);
}

#[test]
fn a_resource_that_cannot_be_brought_back_is_named() {
    let agent = Agent::start();
    let rpc = Rpc::start(&agent.address, &[]);
    let session = rpc.session();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gone.bin");
    std::fs::write(&path, b"x").unwrap();
    let file = TestResource::from_files(7, ResourceType::Data, &[&path]);
    assert_eq!(session.register(&file), 0);
    std::fs::remove_file(&path).unwrap();
    agent.cut();
    until("the loss is told with its reason", || {
        session.noop() != 0 && last_error().contains("gone.bin")
    });
    assert!(last_error().contains("resource 7"), "{}", last_error());
    // Other sessions go on, and this one does without the resource.
    assert_eq!(rpc.open(2).unwrap().noop(), 0);
    assert_eq!(session.unregister(&file), 0);
    assert_eq!(session.noop(), 0);
}

#[test]
fn many_threads_restore_a_session_once() {
    let agent = Agent::start();
    let rpc = Rpc::start(&agent.address, &[]);
    let session = rpc.session();
    let opened = agent.world.count(u32::from(SESSION_OPEN));
    agent.cut();
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| until_it_works(&session));
        }
    });
    assert_eq!(agent.world.count(u32::from(SESSION_OPEN)), opened + 1);
    assert_eq!(agent.world.connections.load(Ordering::SeqCst), 2);
}

#[test]
fn a_worker_that_is_killed_costs_at_most_the_calls_in_flight() {
    let agent = Process::start(PLUGINS);
    let rpc = Rpc::start(&agent.address(), &[]);
    let session = rpc.session();
    assert_eq!(session.noop(), 0);
    for _ in 0..5 {
        for worker in workers_of(&agent, 1) {
            signal(worker, libc::SIGKILL);
        }
        assert!(until_it_works(&session) <= 1);
        assert_eq!(session.noop(), 0);
    }
}

#[test]
fn an_agent_that_is_killed_and_started_again_is_found_by_the_next_call() {
    let mut agent = Process::start(PLUGINS);
    let rpc = Rpc::start(&agent.address(), &[]);
    let session = rpc.session();
    assert_eq!(session.noop(), 0);
    agent.kill();
    std::thread::scope(|scope| {
        // Waits with growing pauses while nobody listens.
        let waiting = scope.spawn(|| until_it_works(&session));
        agent.start_again(PLUGINS);
        assert!(waiting.join().unwrap() <= 1);
    });
}

#[test]
fn calls_while_no_agent_is_there_end_at_their_deadline() {
    let mut agent = Process::start(PLUGINS);
    let rpc = Rpc::start(&agent.address(), &[("VACCEL_RPC_TIMEOUT", "0.3")]);
    let session = rpc.session();
    agent.kill();
    // The first may find out only by failing.
    session.noop();
    let begun = Instant::now();
    assert_ne!(session.noop(), 0);
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    assert!(last_error().contains("agent.sock"), "{}", last_error());
    agent.start_again(PLUGINS);
    until_it_works(&session);
}

#[test]
fn a_stopped_agent_makes_calls_end_at_their_deadline_and_goes_on_afterwards() {
    let agent = Process::start(PLUGINS);
    let rpc = Rpc::start(&agent.address(), &[("VACCEL_RPC_TIMEOUT", "0.3")]);
    let session = rpc.session();
    assert_eq!(session.noop(), 0);
    let number = session.remote_id();
    let all: Vec<u32> = [vec![agent.id()], workers_of(&agent, 1)].concat();
    all.iter()
        .for_each(|&process| signal(process, libc::SIGSTOP));
    // The signal is sent at once; the process stops a moment later.
    let stopped = |process: &u32| {
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
        stat.rsplit(')')
            .next()
            .unwrap()
            .trim_start()
            .starts_with('T')
    };
    until("all have stopped", || all.iter().all(stopped));
    for _ in 0..3 {
        let begun = Instant::now();
        assert_eq!(session.noop(), code::ETIMEDOUT);
        let took = begun.elapsed();
        assert!(
            took >= Duration::from_millis(300) && took < SOON,
            "{took:?}"
        );
    }
    all.iter()
        .for_each(|&process| signal(process, libc::SIGCONT));
    assert_eq!(session.noop(), 0);
    assert_eq!(session.remote_id(), number, "the connection was never lost");
}

/// Stands between plugin and agent. Of each connection it passes on so many bytes
/// of what the agent sends, the next time more; then it cuts.
fn cutting_proxy(
    folder: &Path,
    to: PathBuf,
    first: usize,
    step: usize,
) -> (PathBuf, Arc<AtomicUsize>) {
    let path = folder.join("proxy.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let cuts = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&cuts);
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let (Ok(mut client), Ok(mut agent)) = (client, UnixStream::connect(&to)) else {
                return;
            };
            let (mut from, mut into) = (client.try_clone().unwrap(), agent.try_clone().unwrap());
            std::thread::spawn(move || std::io::copy(&mut from, &mut into));
            let mut left = first + step * counted.load(Ordering::SeqCst);
            let mut chunk = [0; 4096];
            while left > 0 {
                let most = left.min(chunk.len());
                match agent.read(&mut chunk[..most]) {
                    Ok(n) if n > 0 && client.write_all(&chunk[..n]).is_ok() => left -= n,
                    _ => break,
                }
            }
            counted.fetch_add(1, Ordering::SeqCst);
            for stream in [client, agent] {
                let _ = stream.shutdown(std::net::Shutdown::Both);
            }
        }
    });
    (path, cuts)
}

#[test]
fn a_connection_cut_in_the_middle_of_a_frame_is_an_error_and_then_restored() {
    let agent = Process::start(PLUGINS);
    let folder = tempfile::tempdir().unwrap();
    // WELCOME and two replies; then each connection ends one byte later in a frame.
    let (path, cuts) = cutting_proxy(folder.path(), agent.socket(), 300, 1);
    let rpc = Rpc::start(&format!("unix://{}", path.display()), &[]);
    let session = rpc.session();
    let mut failed = 0;
    while cuts.load(Ordering::SeqCst) < 40 {
        failed += until_it_works(&session);
    }
    // Each cut within a reply fails one call, and no call more than that.
    let cuts = cuts.load(Ordering::SeqCst);
    assert!(failed > 0 && failed <= cuts, "{failed} of {cuts}");
}

#[test]
fn idempotent_calls_are_made_again_when_that_is_asked_for() {
    let agent = Process::start(PLUGINS);
    let folder = tempfile::tempdir().unwrap();
    let (path, cuts) = cutting_proxy(folder.path(), agent.socket(), 300, 1);
    let retry = [("VACCEL_RPC_RETRY", "idempotent")];
    let rpc = Rpc::start(&format!("unix://{}", path.display()), &retry);
    let session = rpc.session();
    while cuts.load(Ordering::SeqCst) < 20 {
        assert_eq!(session.noop(), 0, "{}", last_error());
    }
}

#[test]
fn a_call_with_consequences_is_never_made_twice() {
    let fixture = common::fixture::Fixture::new();
    let retry = [("VACCEL_RPC_RETRY", "idempotent")];
    let rpc = Rpc::start(&fixture.agent.address, &retry);
    let exec: vaccel_plugin::abi::op::ExecFn = rpc.plugin.op(vaccel_plugin::Op::Exec);
    let session = rpc.session();
    let (session, agent) = (&session, &fixture.agent);
    let exec_code = vaccel_plugin::abi::op::OP_EXEC;
    std::thread::scope(|scope| {
        let none = std::ptr::null_mut;
        // SAFETY: C strings and no arguments.
        let call = scope.spawn(move || unsafe {
            exec(
                session.as_ptr(),
                c"/lib/math.so".as_ptr(),
                c"gate".as_ptr(),
                none(),
                0,
                none(),
                0,
            )
        });
        until("it runs", || agent.world.count(exec_code) == 1);
        agent.cut();
        assert_eq!(call.join().unwrap(), code::EREMOTEIO);
    });
    agent.world.open_gate();
    assert_eq!(session.noop(), 0);
    assert_eq!(agent.world.count(exec_code), 1);
    assert!(agent.world.count(OP_NOOP) >= 1);
}

#[test]
fn a_child_of_fork_neither_uses_nor_disturbs_its_parents_session() {
    let agent = Process::start(PLUGINS);
    let rpc = Rpc::start(&agent.address(), &[]);
    let session = rpc.session();
    assert_eq!(session.noop(), 0);
    // SAFETY: the child makes one call, and leaves without running anything else.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let code = session.noop();
        // SAFETY: as above.
        unsafe { libc::_exit(i32::from(code != code::ESESS)) };
    }
    let mut status = 0;
    // SAFETY: our own child.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0);
    let number = session.remote_id();
    assert_eq!((session.noop(), session.remote_id()), (0, number));
}
