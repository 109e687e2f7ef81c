//! How the agent starts, and what it says when it cannot.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::{AGENT, Agent, WORKER, build_library, kill, wait_until};
use std::io::Read;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Output};

fn output(arguments: &[&str]) -> Output {
    Command::new(AGENT).args(arguments).output().unwrap()
}

/// Runs an agent that cannot start, and returns what it says.
fn fails(plugins: &str, arguments: &[&str]) -> String {
    build_library();
    let dir = tempfile::tempdir().unwrap();
    let output = Agent::command(&dir, plugins, arguments).output().unwrap();
    let log = std::fs::read_to_string(dir.path().join("log")).unwrap();
    assert_eq!(output.status.code(), Some(1), "{log}");
    assert!(output.stdout.is_empty(), "no client may come");
    assert!(!dir.path().join("agent.sock").exists());
    log
}

#[test]
fn help_has_examples_and_the_version_is_told() {
    let help = output(&["--help"]);
    assert!(help.status.success());
    let text = String::from_utf8(help.stdout).unwrap();
    assert!(
        text.contains("vsock://any:2048") && text.contains("SIGHUP"),
        "{text}"
    );
    let version = String::from_utf8(output(&["--version"]).stdout).unwrap();
    assert_eq!(
        version.trim(),
        concat!("vaccel-agent ", env!("CARGO_PKG_VERSION"))
    );
    // What is wrong with a command line is code 2, as usual.
    assert_eq!(output(&["--no-such-option"]).status.code(), Some(2));
}

#[test]
fn the_name_of_the_agent_of_the_c_implementation_works() {
    build_library();
    let dir = tempfile::tempdir().unwrap();
    let link = dir.path().join("vaccel-rpc-agent");
    std::os::unix::fs::symlink(AGENT, &link).unwrap();
    let version = Command::new(&link).arg("--version").output().unwrap();
    assert!(version.status.success());
    let mut agent = Agent::command(&dir, "noop", &[]);
    let agent = agent.arg0(&link).spawn().unwrap();
    wait_until("it listens", || {
        let log = std::fs::read_to_string(dir.path().join("log")).unwrap();
        log.contains("listening on")
    });
    kill(agent.id(), libc::SIGTERM);
    assert!(agent.wait_with_output().unwrap().status.success());
}

#[test]
fn a_plugin_that_is_not_there_is_named_before_any_client_comes() {
    let log = fails("noop,no-such-plugin", &[]);
    assert!(log.contains("no-such-plugin"), "{log}");
}

#[test]
fn a_worker_that_is_not_there_or_does_not_start_is_an_error() {
    let log = fails("noop", &["--worker", "/nowhere/vaccel-worker"]);
    assert!(log.contains("/nowhere/vaccel-worker"), "{log}");
    let log = fails("noop", &["--worker", "/bin/false"]);
    assert!(log.contains("no worker can be started"), "{log}");
}

#[test]
fn tcp_that_others_can_reach_must_be_asked_for() {
    let log = fails("noop", &["-a", "tcp://0.0.0.0:0"]);
    assert!(log.contains("--allow-insecure-tcp"), "{log}");
    Agent::start(&["-a", "tcp://0.0.0.0:0", "--allow-insecure-tcp"]).stop();
}

#[test]
fn a_socket_that_is_in_use_is_left_alone() {
    let agent = Agent::start(&[]);
    let address = agent.address().to_string();
    let log = fails("noop", &["-a", &address]);
    assert!(log.contains("another process answers"), "{log}");
    agent.connect();
    agent.stop();
}

#[test]
fn the_socket_has_the_mode_that_was_asked_for() {
    let agent = Agent::start(&["--socket-mode", "660"]);
    let mode = |agent: &Agent| {
        let file = std::fs::metadata(agent.dir().join("agent.sock")).unwrap();
        file.permissions().mode() & 0o777
    };
    assert_eq!(mode(&agent), 0o660);
    agent.stop();
    let agent = Agent::start(&[]);
    assert_eq!(mode(&agent), 0o600);
    agent.stop();
}

#[test]
fn who_waits_on_a_descriptor_is_told_there() {
    build_library();
    let dir = tempfile::tempdir().unwrap();
    let (mut read, write) = std::io::pipe().unwrap();
    let number = write.as_raw_fd();
    let mut command = Agent::command(&dir, "noop", &["--ready-fd", &number.to_string()]);
    // SAFETY: only calls that may be made between fork and exec.
    unsafe {
        command.pre_exec(move || {
            if libc::fcntl(number, libc::F_SETFD, 0) < 0 {
                return Err(std::io::Error::last_os_error());
            }
            Ok(())
        });
    }
    let mut agent = command.spawn().unwrap();
    drop(write);
    let mut text = String::new();
    // Ends because the agent closes it.
    read.read_to_string(&mut text).unwrap();
    let socket = dir.path().join("agent.sock");
    assert_eq!(text, format!("listening on unix://{}\n", socket.display()));
    kill(agent.id(), libc::SIGTERM);
    assert!(agent.wait().unwrap().success());
}

#[test]
fn settings_in_the_form_of_the_c_implementation_are_taken() {
    build_library();
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new(AGENT);
    let socket = format!("unix://{}", dir.path().join("a.sock").display());
    command
        .args([
            "-a",
            &socket,
            "--vaccel-config",
            "plugins=noop:exec,log_level=4",
            "--jail-read",
            common::OPEN,
            "--run-dir",
        ])
        .arg(dir.path().join("run"))
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null());
    let mut agent = command.spawn().unwrap();
    let address = socket.parse().unwrap();
    let mut client = None;
    wait_until("clients may come", || {
        client = common::Client::to(&address).ok();
        client.is_some()
    });
    let client = client.unwrap();
    let session = client.open_session(common::EXEC);
    client
        .exec(session, "allocate", &[], Some(0), None)
        .unwrap();
    kill(agent.id(), libc::SIGTERM);
    assert!(agent.wait().unwrap().success());
}

#[test]
fn clients_are_told_when_no_worker_starts_and_served_when_one_does_again() {
    let dir = tempfile::tempdir().unwrap();
    let broken = dir.path().join("broken");
    let worker = dir.path().join("worker.sh");
    let script = format!(
        "#!/bin/sh\nif [ -e '{}' ]; then exit 9; fi\nexec '{WORKER}' \"$@\"\n",
        broken.display()
    );
    std::fs::write(&worker, script).unwrap();
    std::fs::set_permissions(&worker, std::fs::Permissions::from_mode(0o755)).unwrap();
    // No workers ahead of time, so that each client needs a new one.
    let agent = Agent::start(&["--worker", worker.to_str().unwrap(), "--pool", "0"]);
    // The first one was started to see whether it can be.
    let first = agent.connect();
    std::fs::write(&broken, "").unwrap();
    let refused = agent.try_connect().err().unwrap();
    assert_eq!(refused.code(), vaccel_abi::error::EREMOTEIO);
    let text = refused.to_string();
    assert!(text.contains("no worker can be started"), "{text}");
    assert!(
        text.contains("ended with code 9") || text.contains("ended while it started"),
        "{text}"
    );
    std::fs::remove_file(&broken).unwrap();
    let mut second = None;
    wait_until("it recovers", || {
        second = agent.try_connect().ok();
        second.is_some()
    });
    first.noop(first.open_session(0)).unwrap();
    agent.stop();
}

#[test]
fn log_lines_are_json_when_asked_for() {
    let agent = Agent::start(&["--json"]);
    let client = agent.connect();
    client.open_session(0);
    drop(client);
    let log = agent.stop();
    let mut connections = 0;
    for line in log.lines() {
        let line: serde_json::Value =
            serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        assert!(line["time"].is_string() && line["message"].is_string());
        connections += usize::from(line["connection"].is_u64());
    }
    assert!(connections >= 2, "{log}");
}
