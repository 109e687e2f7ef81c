//! Connecting, sessions, and what happens when the agent goes away.
#![allow(clippy::unwrap_used)]

mod common;
use common::agent::Agent;
use common::{Rpc, SOON, ended_by_its_deadline, last_error, until};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use vaccel_plugin::abi::op::{OP_EXEC, OP_NOOP};
use vaccel_plugin::abi::plugin::PLUGIN_REMOTE;
use vaccel_plugin::code;
use vaccel_wire::control::{SESSION_CLOSE, SESSION_OPEN};

#[test]
fn the_plugin_is_a_transport_that_offers_everything() {
    let agent = Agent::start();
    let rpc = Rpc::start(&agent.address, &[]);
    assert_eq!(rpc.plugin.name(), "rpc");
    assert!(rpc.plugin.info().is_virtio);
    assert_ne!(rpc.plugin.info().type_ & PLUGIN_REMOTE, 0);
    assert!(
        vaccel_plugin::Op::ALL
            .iter()
            .all(|op| rpc.plugin.offers(*op))
    );
    assert_eq!(vaccel_plugin::Op::ALL.len(), 24);
    let ext = rpc.plugin.ext();
    assert!(ext.model_load.is_some() && ext.model_unload.is_some());
    assert!(ext.model_run.is_some() && ext.model_info.is_some());
    // Nothing is connected before a session is opened.
    assert_eq!(
        agent
            .world
            .connections
            .load(std::sync::atomic::Ordering::SeqCst),
        0
    );
}

#[test]
fn sessions_share_one_connection_and_are_closed() {
    let agent = Agent::start();
    let rpc = Rpc::start(&agent.address, &[]);
    let a = rpc.session();
    let b = rpc.open(2).unwrap();
    assert!(a.remote_id() > 0 && b.remote_id() > 0 && a.remote_id() != b.remote_id());
    assert_eq!((a.noop(), b.noop()), (0, 0));
    let update = rpc.plugin.info().session_update.unwrap();
    // SAFETY: a live session.
    assert_eq!(unsafe { update(a.as_ptr(), 5) }, 0);
    assert_eq!(
        *agent.world.sessions.lock().unwrap(),
        [(a.remote_id(), 5), (b.remote_id(), 0)]
    );
    drop(a);
    drop(b);
    assert!(agent.world.sessions.lock().unwrap().is_empty());
    let connections = &agent.world.connections;
    assert_eq!(connections.load(std::sync::atomic::Ordering::SeqCst), 1);
    assert_eq!(agent.world.count(SESSION_CLOSE.into()), 2);
}

#[test]
fn a_session_that_is_not_open_is_an_error() {
    let agent = Agent::start();
    let rpc = Rpc::start(&agent.address, &[]);
    let session = rpc.session();
    assert_eq!(session.release(), 0);
    assert_eq!(session.noop(), code::ESESS);
    assert_eq!(session.release(), 0);
    // SAFETY: a null session must be refused.
    let init = unsafe { rpc.plugin.info().session_init.unwrap()(std::ptr::null_mut(), 0) };
    assert_eq!(init, code::EINVAL);
}

#[test]
fn all_addresses_work() {
    let folder = tempfile::tempdir().unwrap();
    let unix = format!("unix://{}/a.sock", folder.path().display());
    for address in [unix.as_str(), "tcp://localhost:0"] {
        let agent = Agent::at(&address.parse().unwrap(), None);
        let rpc = Rpc::start(&agent.address, &[]);
        assert_eq!(rpc.session().noop(), 0);
    }
}

#[test]
fn an_agent_that_cannot_be_reached_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let address = format!("unix://{}/none.sock", folder.path().display());
    let rpc = Rpc::start(&address, &[]);
    let start = Instant::now();
    assert_eq!(rpc.open(1).err(), Some(code::EREMOTEIO));
    assert!(start.elapsed() < SOON);
    let error = last_error();
    assert!(
        error.contains(&address) && error.contains("start vaccel-agent"),
        "{error}"
    );
    // It is tried again once it is there.
    let agent = Agent::at(&address.parse().unwrap(), None);
    until("the agent is found", || rpc.open(1).is_ok());
    drop(agent);
}

#[test]
fn wrong_settings_are_told_when_a_session_is_opened() {
    let rpc = Rpc::start("localhost:1", &[]);
    assert_eq!(rpc.open(1).err(), Some(code::EINVAL));
    assert!(
        last_error().contains("VACCEL_RPC_ADDRESS"),
        "{}",
        last_error()
    );
    let agent = Agent::start();
    let rpc = Rpc::start(&agent.address, &[("VACCEL_RPC_TIMEOUT", "soon")]);
    assert_eq!(rpc.open(1).err(), Some(code::EINVAL));
    assert!(last_error().contains("`soon`"), "{}", last_error());
}

#[test]
fn the_token_is_shown_to_the_agent() {
    let agent = Agent::at(&"tcp://127.0.0.1:0".parse().unwrap(), Some("open sesame"));
    let rpc = Rpc::start(&agent.address, &[("VACCEL_RPC_TOKEN", "open sesame")]);
    assert_eq!(rpc.session().noop(), 0);
    let rpc = Rpc::start(&agent.address, &[("VACCEL_RPC_TOKEN", "please")]);
    assert_eq!(rpc.open(1).err(), Some(code::EACCES));
    assert!(
        last_error().contains("the token is not the right one"),
        "{}",
        last_error()
    );
}

#[test]
fn sessions_of_a_lost_connection_are_opened_again() {
    let agent = Agent::start();
    let rpc = Rpc::start(&agent.address, &[]);
    let old = rpc.session();
    assert_eq!(old.noop(), 0);
    let number = old.remote_id();
    agent.cut();
    // Nothing was in flight; whether the loss is seen before the call is a matter of time.
    let code = old.noop();
    assert!(code == code::EREMOTEIO || code == 0, "{code}");
    assert_eq!(old.noop(), 0);
    assert_ne!(old.remote_id(), number);
    let new = rpc.open(2).unwrap();
    assert_eq!((new.noop(), old.noop()), (0, 0));
    assert_eq!(agent.world.connections.load(Ordering::SeqCst), 2);
    assert_eq!(old.release(), 0);
    assert_eq!(new.noop(), 0);
}

#[test]
fn an_agent_that_went_away_unnoticed_is_found_again() {
    let agent = Agent::start();
    let rpc = Rpc::start(&agent.address, &[]);
    let session = rpc.session();
    agent.cut();
    // No call has noticed: opening a session does, and connects anew.
    assert_eq!(rpc.open(2).unwrap().noop(), 0);
    assert_eq!(session.noop(), 0);
}

#[test]
fn an_agent_that_is_starting_again_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let address: vaccel_transport::Address = format!("unix://{}/a.sock", folder.path().display())
        .parse()
        .unwrap();
    let agent = Agent::at(&address, None);
    let rpc = Rpc::start(&agent.address, &[("VACCEL_RPC_TIMEOUT", "0.1")]);
    let first = rpc.session();
    drop(agent);
    assert_ne!(first.noop(), 0);
    drop(first);
    rpc.plugin.fini();
    let agent = Agent::at(&address, None);
    let rpc = Rpc::start(&agent.address, &[]);
    assert_eq!(rpc.session().noop(), 0);
    drop(agent);
    let (rpc, address) = (&rpc, &address);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(move || rpc.open(2).map(|s| s.noop()));
        // The session is being opened while nobody listens.
        let agent = Agent::at(address, None);
        assert_eq!(waiting.join().unwrap(), Ok(0));
        drop(agent);
    });
}

#[test]
fn the_death_of_an_agent_ends_calls_in_flight_at_once() {
    let agent = Agent::start();
    let rpc = Rpc::start(&agent.address, &[]);
    let session = rpc.session();
    let exec: vaccel_plugin::abi::op::ExecFn = rpc.plugin.op(vaccel_plugin::Op::Exec);
    std::thread::scope(|scope| {
        let calls: Vec<_> = (0..8)
            .map(|_| {
                let session = &session;
                scope.spawn(move || {
                    // SAFETY: C strings, no arguments, a live session.
                    let code = unsafe {
                        exec(
                            session.as_ptr(),
                            c"/lib/math.so".as_ptr(),
                            c"gate".as_ptr(),
                            std::ptr::null_mut(),
                            0,
                            std::ptr::null_mut(),
                            0,
                        )
                    };
                    (code, last_error())
                })
            })
            .collect();
        until("all calls arrive", || agent.world.count(OP_EXEC) == 8);
        let start = Instant::now();
        agent.cut();
        for call in calls {
            let (code, error) = call.join().unwrap();
            assert_eq!(code, code::EREMOTEIO);
            assert!(error.contains("lost"), "{error}");
        }
        assert!(start.elapsed() < SOON);
    });
    agent.world.open_gate();
}

#[test]
fn a_call_ends_at_its_deadline() {
    let agent = Agent::start();
    let rpc = Rpc::start(&agent.address, &[("VACCEL_RPC_TIMEOUT", "0.2")]);
    let session = rpc.session();
    let exec: vaccel_plugin::abi::op::ExecFn = rpc.plugin.op(vaccel_plugin::Op::Exec);
    let none = std::ptr::null_mut();
    for _ in 0..5 {
        let start = Instant::now();
        let (library, symbol) = (c"/lib/math.so".as_ptr(), c"gate".as_ptr());
        // SAFETY: C strings, no arguments, a live session.
        let code = unsafe { exec(session.as_ptr(), library, symbol, none, 0, none, 0) };
        ended_by_its_deadline(Duration::from_millis(200), start.elapsed());
        assert_eq!(code, code::ETIMEDOUT);
    }
    assert!(last_error().contains("within 0.2 s"), "{}", last_error());
    // The session is as good as before.
    agent.world.open_gate();
    assert_eq!(session.noop(), 0);
}

#[test]
fn an_agent_that_never_says_welcome_is_left_at_the_connect_timeout() {
    let listener = vaccel_transport::Listener::bind(
        &"tcp://127.0.0.1:0".parse().unwrap(),
        &vaccel_transport::ListenerOptions::default(),
    )
    .unwrap();
    let rpc = Rpc::start(
        &listener.address().to_string(),
        &[("VACCEL_RPC_CONNECT_TIMEOUT", "0.15")],
    );
    let start = Instant::now();
    assert_eq!(rpc.open(1).err(), Some(code::ETIMEDOUT));
    let took = start.elapsed();
    assert!(
        took >= Duration::from_millis(150) && took < SOON / 2,
        "{took:?}"
    );
}

#[test]
fn a_child_of_fork_gets_a_connection_of_its_own() {
    let agent = Agent::start();
    let rpc = Rpc::start(&agent.address, &[]);
    let session = rpc.session();
    assert_eq!(session.noop(), 0);
    // SAFETY: the child uses the plugin, which is what is tested, and leaves.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let inherited = session.noop();
        let released = session.release();
        let own = rpc.open(2).map_or(-1, |s| s.noop());
        let fine = inherited == code::ESESS && released == 0 && own == 0;
        // SAFETY: leaves at once.
        unsafe { libc::_exit(if fine { 17 } else { 1 }) };
    }
    let mut status = 0;
    // SAFETY: our own child.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    assert_eq!(libc::WEXITSTATUS(status), 17);
    // The parent's session has not been touched.
    assert_eq!(session.noop(), 0);
    assert_eq!(agent.world.count(SESSION_OPEN.into()), 2);
}

#[test]
fn after_fini_and_init_the_plugin_works_again() {
    let agent = Agent::start();
    let rpc = Rpc::start(&agent.address, &[]);
    assert_eq!(rpc.session().noop(), 0);
    assert_eq!(rpc.plugin.fini(), 0);
    until("the connection is closed", || {
        agent.world.sessions.lock().unwrap().is_empty()
    });
    assert_eq!(agent.world.count(OP_NOOP), 1);
}

#[test]
fn the_plugin_describes_itself_and_the_agent() {
    let agent = Agent::start();
    let rpc = Rpc::start(&agent.address, &[]);
    let about = rpc.plugin.describe();
    assert_eq!(about["address"], agent.address.as_str());
    assert_eq!(
        (&about["ready"], &about["reachable"]),
        (&true.into(), &true.into())
    );
    assert_eq!(about["agent"]["version"], "test");
    let variables = about["environment"].to_string();
    for name in ["VACCEL_RPC_ADDRESS", "VACCEL_RPC_TLS_CA"] {
        assert!(variables.contains(name), "{variables}");
    }
    agent.cut();
    assert_eq!(rpc.plugin.describe()["reachable"], true);

    let rpc = Rpc::start("unix:///nonexistent/a.sock", &[]);
    let about = rpc.plugin.describe();
    assert_eq!(about["reachable"], false);
    let error = about["error"].as_str().unwrap();
    assert!(error.contains("unix:///nonexistent/a.sock"), "{error}");
    let rpc = Rpc::start("nonsense", &[]);
    let about = rpc.plugin.describe();
    assert!(
        about["error"]
            .as_str()
            .unwrap()
            .contains("VACCEL_RPC_ADDRESS")
    );
}
