//! Starts under a service manager, drains, and restarts that no client notices.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use common::{
    AGENT, Agent, Client, EXEC, Hold, PATIENCE, build_library, is_alive, kill, wait_until,
};
use tempfile::TempDir;
use vaccel_transport::Address;

/// A service manager, as far as the agent can tell.
struct Manager {
    dir: TempDir,
    socket: UnixDatagram,
}

impl Manager {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let socket = UnixDatagram::bind(dir.path().join("notify")).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { dir, socket }
    }

    /// The next thing it is told that begins like this; others are passed over.
    fn told(&self, what: &str) -> String {
        let until = Instant::now() + PATIENCE;
        loop {
            let mut bytes = [0; 512];
            let n = self.socket.recv(&mut bytes).unwrap();
            let text = String::from_utf8(bytes[..n].to_vec()).unwrap();
            if text.starts_with(what) {
                return text;
            }
            assert!(Instant::now() < until, "waited in vain for {what}");
        }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Agent::command(&self.dir, "noop,exec", arguments);
        command.env("NOTIFY_SOCKET", self.dir.path().join("notify"));
        command
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }
}

fn end(mut child: Child) {
    kill(child.id(), libc::SIGTERM);
    assert!(child.wait().unwrap().success());
}

#[test]
fn the_service_manager_is_told_of_ready_reloading_and_stopping() {
    build_library();
    let manager = Manager::new();
    let child = manager.command(&[]).spawn().unwrap();
    assert!(manager.told("READY=1").contains("STATUS="));
    kill(child.id(), libc::SIGHUP);
    assert!(manager.told("RELOADING=1").contains("MONOTONIC_USEC="));
    manager.told("READY=1");
    kill(child.id(), libc::SIGTERM);
    manager.told("STOPPING=1");
    assert!(child.wait_with_output().unwrap().status.success());
}

#[test]
fn signs_of_life_come_while_the_loop_turns_and_stop_with_it() {
    build_library();
    let manager = Manager::new();
    let mut command = manager.command(&[]);
    command.env("WATCHDOG_USEC", "100000");
    let child = command.spawn().unwrap();
    for _ in 0..5 {
        manager.told("WATCHDOG=1");
    }
    kill(child.id(), libc::SIGSTOP);
    // What was sent before it stopped; then silence for many times the interval.
    let quiet = Duration::from_millis(500);
    manager.socket.set_read_timeout(Some(quiet)).unwrap();
    let mut left = 0;
    while manager.socket.recv(&mut [0; 64]).is_ok() {
        left += 1;
        assert!(left < 10, "a stopped agent gives signs of life");
    }
    kill(child.id(), libc::SIGCONT);
    manager.socket.set_read_timeout(Some(PATIENCE)).unwrap();
    manager.told("WATCHDOG=1");
    end(child);
}

#[test]
fn sockets_of_the_service_manager_are_served_and_stay_when_the_agent_ends() {
    build_library();
    let manager = Manager::new();
    let path = manager.dir.path().join("given.sock");
    let figures = manager.dir.path().join("figures.sock");
    let sockets = [
        UnixListener::bind(&path).unwrap(),
        UnixListener::bind(&figures).unwrap(),
    ];
    let numbers = sockets.each_ref().map(AsRawFd::as_raw_fd);
    // LISTEN_PID is that of the process that becomes the agent: a shell knows it.
    let mut shell = Command::new("/bin/sh");
    shell
        .args(["-c", r#"LISTEN_PID=$$ exec "$0" "$@""#, AGENT])
        .args(["--plugins", "noop", "--run-dir"])
        .arg(manager.dir.path().join("run"))
        .env("NOTIFY_SOCKET", manager.dir.path().join("notify"))
        .env("LISTEN_FDS", "2")
        .env("LISTEN_FDNAMES", "clients:metrics")
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(manager.dir.path().join("log")).unwrap());
    // SAFETY: only calls that may be made between fork and exec.
    unsafe {
        shell.pre_exec(move || {
            // Away from 3 and 4 first, so that neither overwrites the other.
            let high = numbers.map(|fd| libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 20));
            for (fd, to) in high.into_iter().zip(3..) {
                if libc::dup2(fd, to) < 0 {
                    return Err(std::io::Error::last_os_error());
                }
            }
            Ok(())
        });
    }
    let child = shell.spawn().unwrap();
    manager.told("READY=1");
    let client = Client::to(&Address::Unix(path.clone())).unwrap();
    let session = client.open_session(0);
    client.noop(session).unwrap();
    drop(client);
    let mut stream = std::os::unix::net::UnixStream::connect(&figures).unwrap();
    std::io::Write::write_all(&mut stream, b"GET /readyz HTTP/1.1\r\n\r\n").unwrap();
    let answer = std::io::read_to_string(&mut stream).unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 200"),
        "{answer}\n{}",
        manager.log()
    );
    end(child);
    // They are the manager's.
    assert!(path.exists() && figures.exists());
}

#[test]
fn a_socket_that_is_none_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let output = Command::new("/bin/sh")
        .arg("-c")
        .arg(r#"LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=mine exec "$0" --plugins noop --run-dir "$1" 3</dev/null"#)
        .arg(AGENT)
        .arg(dir.path())
        .output()
        .unwrap();
    let log = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{log}");
    assert!(log.contains("mine") && log.contains("non-socket"), "{log}");
}

#[test]
fn clients_are_told_that_the_agent_goes_and_calls_in_flight_are_answered() {
    let mut agent = Agent::start(&[]);
    let client = agent.connect();
    let session = client.open_session(EXEC);
    let hold = Hold::new();
    std::thread::scope(|scope| {
        let held = scope.spawn(|| hold.run(&client, session, None));
        hold.wait_until_begun();
        assert!(!client.connection.is_leaving());
        agent.signal(libc::SIGTERM);
        wait_until("it is told", || client.connection.is_leaving());
        hold.release();
        held.join().unwrap().unwrap();
    });
    assert!(agent.wait().success());
}

/// The process that listens now, as the log says.
fn successor(agent: &Agent) -> u32 {
    let mut process = None;
    wait_until("another process takes over", || {
        process = agent.log().lines().find_map(|line| {
            let (_, rest) = line.split_once(": process ")?;
            let (number, rest) = rest.split_once(' ')?;
            rest.starts_with("takes new clients")
                .then(|| number.parse().unwrap())
        });
        process.is_some()
    });
    process.unwrap()
}

#[test]
fn a_restart_refuses_no_connection_and_fails_no_call() {
    let mut agent = Agent::start(&["--drain-timeout", "20s"]);
    let address = agent.address().clone();
    let stop = AtomicBool::new(false);
    let calls = AtomicU64::new(0);
    let opened = AtomicU64::new(0);
    let moved = AtomicU64::new(0);
    let next = std::thread::scope(|scope| {
        for _ in 0..2 {
            // A client that leaves when it is told to, as the rpc plugin does.
            scope.spawn(|| {
                let mut client = Client::to(&address).unwrap();
                let mut session = client.open_session(0);
                while !stop.load(Ordering::Relaxed) {
                    client.noop(session).unwrap();
                    calls.fetch_add(1, Ordering::Relaxed);
                    if client.connection.is_leaving() {
                        client = Client::to(&address).unwrap();
                        session = client.open_session(0);
                        moved.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
        // And one that comes anew each time.
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let client = Client::to(&address).unwrap();
                client.open_session(0);
                opened.fetch_add(1, Ordering::Relaxed);
            }
        });
        let some = |count: &AtomicU64| {
            let before = count.load(Ordering::Relaxed);
            wait_until("more is done", || {
                count.load(Ordering::Relaxed) > before + 3
            });
        };
        some(&calls);
        some(&opened);
        agent.signal(libc::SIGUSR2);
        let next = successor(&agent);
        wait_until("both have moved", || moved.load(Ordering::Relaxed) == 2);
        let status = agent.wait();
        assert!(status.success(), "{}", agent.log());
        some(&calls);
        some(&opened);
        stop.store(true, Ordering::Relaxed);
        next
    });
    assert!(is_alive(next));
    assert!(
        agent.dir().join("agent.sock").exists(),
        "the file is the new one's"
    );
    // And the new one can be replaced as well, and ends like any other.
    kill(next, libc::SIGTERM);
    wait_until("it ends", || !is_alive(next));
    assert!(!agent.dir().join("agent.sock").exists());
    assert!(agent.folders().is_empty(), "{:?}", agent.folders());
}

#[test]
fn clients_that_do_not_leave_may_stay_for_the_drain_timeout_and_are_then_hung_up_on() {
    let mut agent = Agent::start(&["--drain-timeout", "1s"]);
    let client = agent.connect();
    let session = client.open_session(0);
    agent.signal(libc::SIGUSR2);
    let next = successor(&agent);
    // It is served by the old process although the new one has taken over.
    client.noop(session).unwrap();
    assert!(agent.wait().success());
    wait_until("it is hung up on", || !client.connection.probe());
    let client = agent.connect();
    client.noop(client.open_session(0)).unwrap();
    kill(next, libc::SIGTERM);
    wait_until("it ends", || !is_alive(next));
}

#[test]
fn an_agent_whose_successor_does_not_start_serves_on() {
    let agent = Agent::start_with("noop", &[], &[]);
    // The successor is started with the same settings, and these are no good any more.
    let run = agent.dir().join("run");
    let elsewhere = agent.dir().join("elsewhere");
    std::fs::rename(&run, &elsewhere).unwrap();
    std::fs::write(&run, "").unwrap();
    agent.signal(libc::SIGUSR2);
    wait_until("it says so", || agent.log().contains("does not take over"));
    std::fs::remove_file(&run).unwrap();
    std::fs::rename(&elsewhere, &run).unwrap();
    let client = agent.connect();
    client.noop(client.open_session(0)).unwrap();
    drop(client);
    agent.stop();
}

#[test]
fn the_units_are_what_systemd_takes() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/systemd");
    let service = std::fs::read_to_string(folder.join("vaccel-agent.service")).unwrap();
    // Every option of the command line is one that the agent has.
    let line = service
        .lines()
        .find_map(|l| l.strip_prefix("ExecStart="))
        .unwrap();
    let help = Command::new(AGENT).arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    for option in line.split(' ').filter(|word| word.starts_with("--")) {
        assert!(help.contains(option), "{option}");
    }
    // The rest is for systemd itself to say, where it is.
    let dir = tempfile::tempdir().unwrap();
    let mut units = Vec::new();
    for name in [
        "vaccel-agent.service",
        "vaccel-agent.socket",
        "vaccel-agent-metrics.socket",
    ] {
        let text = std::fs::read_to_string(folder.join(name)).unwrap();
        let path = dir.path().join(name);
        std::fs::write(&path, text.replace("/usr/bin/vaccel-agent", AGENT)).unwrap();
        units.push(path);
    }
    let verify = Command::new("systemd-analyze")
        .args(["verify", "--man=no", "--recursive-errors=no"])
        .args(&units)
        .output();
    match verify {
        Ok(output) => {
            let text = String::from_utf8_lossy(&output.stderr);
            assert!(
                output.status.success() && !text.contains("vaccel-agent"),
                "{text}"
            );
        }
        Err(e) => eprintln!("not checked by systemd-analyze: {e}"),
    }
}
