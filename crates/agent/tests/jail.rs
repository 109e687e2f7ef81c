//! What the code of a tenant tries from inside of a real worker, under a real agent.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::{Agent, Client, EXEC, PATIENCE, is_alive};
use libc::{EACCES, EFBIG, EMFILE, ENOMEM, ENOSYS, EPERM};
use vaccel_transport::CallError;

/// A tenant whose code does what it is told.
struct Tenant {
    client: Client,
    session: i64,
}

impl Tenant {
    fn new(agent: &Agent) -> Self {
        let client = agent.connect();
        let session = client.open_session(EXEC);
        Self { client, session }
    }

    /// How an attempt failed: an errno, or 0 when it did not fail.
    fn attempt(&self, what: &str, path: &str, pid: u32) -> Result<i32, CallError> {
        let pid = pid.to_string();
        let arguments = [what, path, &pid];
        let outputs = self
            .client
            .exec(self.session, "attempt", &arguments, Some(4), None)?;
        Ok(i32::from_le_bytes(outputs[0][..].try_into().unwrap()))
    }
}

#[test]
fn what_a_malicious_plugin_tries_is_refused_and_everybody_goes_on() {
    let agent = Agent::start(&["--jail-memory", "256M", "--jail-files", "4096"]);
    let honest = Tenant::new(&agent);
    let evil = Tenant::new(&agent);
    let (victim, own) = (
        agent.worker_of(&honest.client),
        agent.worker_of(&evil.client),
    );
    let theirs = agent
        .folders()
        .into_iter()
        .find(|folder| std::fs::read_link(format!("/proc/{victim}/cwd")).unwrap() == *folder)
        .unwrap();
    std::fs::write(theirs.join("secret"), "of another tenant").unwrap();
    let secret = theirs.join("secret").to_str().unwrap().to_owned();
    let theirs = theirs.to_str().unwrap().to_owned();
    let outside = agent.dir().join("outside").to_str().unwrap().to_owned();
    std::fs::write(&outside, "of the host").unwrap();
    let socket = agent.dir().join("agent.sock").to_str().unwrap().to_owned();
    let of = |name: &str| format!("/proc/{victim}/{name}");
    let made = agent.dir().join("made").to_str().unwrap().to_owned();

    let attempts: &[(&str, &str, u32, i32)] = &[
        // files
        ("open", "/etc/shadow", 0, EACCES),
        ("open", "/etc/passwd", 0, EACCES),
        ("open", &outside, 0, EACCES),
        ("link", &outside, 0, EACCES),
        ("list", "/", 0, EACCES),
        ("list", "/tmp", 0, EACCES),
        ("make", &made, 0, EACCES),
        ("make", "/dev/shm/vaccel-evil", 0, EACCES),
        ("change", &outside, 0, EACCES),
        ("remove", &outside, 0, EACCES),
        ("truncate", &outside, 0, EACCES),
        ("rename", &made, 0, EACCES),
        ("chmod", &outside, 0, EPERM),
        ("chown", &outside, 0, EPERM),
        ("device", "", 0, EPERM),
        ("change", "/dev/urandom", 0, EACCES),
        // other tenants
        ("list", &theirs, 0, EACCES),
        ("open", &secret, 0, EACCES),
        ("open", &of("mem"), 0, EACCES),
        ("open", &of("environ"), 0, EACCES),
        ("open", &of("maps"), 0, EACCES),
        ("list", &of("fd"), 0, EACCES),
        ("memory of", "", victim, EPERM),
        ("kill", "", victim, EPERM),
        ("kill", "", agent.id(), EPERM),
        ("kill all", "", 0, EPERM),
        ("pidfd", "", victim, EPERM),
        ("limits of", "", victim, EPERM),
        ("processor of", "", victim, EPERM),
        ("priority", "", victim, EPERM),
        // the network
        ("inet", "", 0, EPERM),
        ("unix", &socket, 0, EPERM),
        ("packet", "", 0, EPERM),
        ("netlink", "", 0, EPERM),
        ("datagrams", "", 0, EPERM),
        // the kernel
        ("execve", "", 0, EPERM),
        ("fork", "", 0, EPERM),
        ("vfork", "", 0, EPERM),
        ("clone", "", 0, EPERM),
        ("clone3", "", 0, ENOSYS),
        ("mount", "/tmp", 0, EPERM),
        ("unshare", "", 0, EPERM),
        ("chroot", ".", 0, EPERM),
        ("keyctl", "", 0, EPERM),
        ("userfaultfd", "", 0, ENOSYS),
        ("io_uring", "", 0, ENOSYS),
        ("perf", "", 0, EPERM),
        ("dumpable", "", 0, EPERM),
        ("setuid", "", 0, EPERM),
        ("raise", "", 0, EPERM),
        ("written and run", "", 0, EPERM),
        ("writable and executable", "", 0, EPERM),
        ("terminal", "", 0, EPERM),
        // too much of everything
        ("memory bomb", "", 0, ENOMEM),
        ("descriptor bomb", "", 0, EMFILE),
        ("giant file", "", 0, EFBIG),
    ];
    let mut wrong = Vec::new();
    for (what, path, pid, expected) in attempts {
        let got = evil.attempt(what, path, *pid);
        let got = got.unwrap_or_else(|e| panic!("{what} {path}: {e}\n{}", agent.log()));
        if got != *expected {
            wrong.push(format!("{what} {path}: {got} instead of {expected}"));
        }
        honest.client.noop(honest.session).unwrap();
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    // Nothing of it happened, and both are served as before.
    assert_eq!(std::fs::read_to_string(&outside).unwrap(), "of the host");
    assert!(!std::path::Path::new(&made).exists());
    assert!(is_alive(victim) && is_alive(own));
    evil.client
        .exec(evil.session, "allocate", &[], Some(0), None)
        .unwrap();
    agent.stop();
}

#[test]
fn what_no_backend_ever_does_ends_the_worker_that_does_it_and_no_other() {
    let agent = Agent::start(&[]);
    let honest = Tenant::new(&agent);
    let victim = agent.worker_of(&honest.client);
    let mut deeds = vec!["ptrace", "bpf", "module"];
    if cfg!(target_arch = "x86_64") {
        deeds.push("another architecture");
    }
    let count = deeds.len();
    for what in deeds {
        let evil = Tenant::new(&agent);
        let result = evil.attempt(what, "", victim);
        assert!(
            matches!(result, Err(CallError::Lost(..))),
            "{what}: {result:?}"
        );
        honest.client.noop(honest.session).unwrap();
    }
    agent.connect().connection.ping(PATIENCE).unwrap();
    let log = agent.stop();
    assert_eq!(
        log.matches("(SIGSYS) while it served it").count(),
        count,
        "{log}"
    );
}

#[test]
fn a_worker_has_no_right_no_network_and_a_filter() {
    let agent = Agent::start(&["--jail", "strict"]);
    let client = agent.connect();
    let worker = agent.worker_of(&client);
    let status = std::fs::read_to_string(format!("/proc/{worker}/status")).unwrap();
    for line in [
        "NoNewPrivs:\t1",
        "Seccomp:\t2",
        "CapEff:\t0000000000000000",
        "CapPrm:\t0000000000000000",
        "CapInh:\t0000000000000000",
        "CapBnd:\t0000000000000000",
        "CapAmb:\t0000000000000000",
    ] {
        assert!(status.lines().any(|l| l == line), "{line}\n{status}");
    }
    let network = |process: u32| std::fs::read_link(format!("/proc/{process}/ns/net")).unwrap();
    assert_ne!(network(worker), network(agent.id()));
    agent.stop();
}

#[test]
fn an_agent_that_locks_nobody_in_says_so_loudly() {
    let agent = Agent::start(&["--jail", "off"]);
    let tenant = Tenant::new(&agent);
    // Here nothing is in the way, which shows that the attempts would work.
    for what in ["fork", "written and run", "datagrams"] {
        assert_eq!(tenant.attempt(what, "", 0).unwrap(), 0, "{what}");
    }
    assert_eq!(tenant.attempt("open", "/etc/passwd", 0).unwrap(), 0);
    let log = agent.stop();
    assert!(log.contains("workers are NOT locked in"), "{log}");
}

#[test]
fn what_an_operator_allows_is_allowed_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let (read, write) = (folder.path().join("read"), folder.path().join("write"));
    std::fs::create_dir(&read).unwrap();
    std::fs::create_dir(&write).unwrap();
    std::fs::write(read.join("file"), "x").unwrap();
    let agent = Agent::start(&[
        "--jail-read",
        read.to_str().unwrap(),
        "--jail-write",
        write.to_str().unwrap(),
        "--jail-jit",
    ]);
    let tenant = Tenant::new(&agent);
    let path = |folder: &std::path::Path, name| folder.join(name).to_str().unwrap().to_owned();
    for (what, path, expected) in [
        ("open", path(&read, "file"), 0),
        ("change", path(&read, "file"), EACCES),
        ("make", path(&read, "new"), EACCES),
        ("make", path(&write, "new"), 0),
        ("open", path(&write, "new"), 0),
        ("make", path(folder.path(), "new"), EACCES),
        ("written and run", String::new(), 0),
        ("fork", String::new(), EPERM),
        ("inet", String::new(), EPERM),
    ] {
        assert_eq!(
            tenant.attempt(what, &path, 0).unwrap(),
            expected,
            "{what} {path}"
        );
    }
    agent.stop();
}
