//! What the code of a tenant tries from inside of a real worker, under a real agent.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::{Agent, Client, EXEC, PATIENCE, children_of, is_alive, wait_until};
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

/// Numbers of a process, from the outside to the inside.
fn numbers_of(process: u32) -> Vec<u32> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
    let numbers = line.unwrap().split_whitespace();
    numbers.map(|number| number.parse().unwrap()).collect()
}

#[test]
fn a_worker_with_a_pid_namespace_of_its_own_sees_no_others_and_ends_with_all_it_started() {
    let agent = Agent::start(&["--jail-pid-namespace", "--jail-spawn", "--pool", "2"]);
    let outside = numbers_of(std::process::id()).len();
    if agent
        .log()
        .contains("--jail-pid-namespace: workers go without")
    {
        // They are served all the same.
        let client = Tenant::new(&agent);
        let worker = agent.worker_of(&client.client);
        assert_eq!(numbers_of(worker).len(), outside);
        agent.stop();
        return;
    }
    let (one, two) = (Tenant::new(&agent), Tenant::new(&agent));
    let mut left = Vec::new();
    for tenant in [&one, &two] {
        let worker = agent.worker_of(&tenant.client);
        let numbers = numbers_of(worker);
        assert_eq!((numbers.len(), numbers.last()), (outside + 1, Some(&1)));
        let outputs = tenant
            .client
            .exec(tenant.session, "leave_child", &[], Some(4), None)
            .unwrap();
        let inside = i32::from_le_bytes(outputs[0][..].try_into().unwrap());
        let children = children_of(worker);
        let [child] = children[..] else {
            panic!("{children:?}");
        };
        assert_eq!(
            numbers_of(child).last(),
            u32::try_from(inside).ok().as_ref()
        );
        left.push(child);
    }
    // The agent starts others as before.
    let three = Tenant::new(&agent);
    three.client.noop(three.session).unwrap();
    drop(one);
    wait_until("the child of the first ends", || !is_alive(left[0]));
    assert!(is_alive(left[1]));
    let crash = two.client.exec(two.session, "crash", &[], None, None);
    assert!(matches!(crash, Err(CallError::Lost(..))), "{crash:?}");
    wait_until("the child of the second ends", || !is_alive(left[1]));
    drop((two, three));
    agent.stop();
}

#[test]
fn a_worker_has_a_control_group_of_its_own_where_one_is_delegated() {
    let group = |process: u32| {
        let text = std::fs::read_to_string(format!("/proc/{process}/cgroup")).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix("0::"));
        line.unwrap_or_default().to_owned()
    };
    let agent = Agent::start(&["--cgroup", "own"]);
    let client = Tenant::new(&agent);
    client.client.noop(client.session).unwrap();
    let worker = agent.worker_of(&client.client);
    let name = format!("worker.{}.", agent.id());
    let own = group(worker).contains(&name);
    let log = agent.log();
    // What is missing is said, once; where nothing is, it is there.
    let told = log.matches("--cgroup: workers go without").count();
    assert!(told <= 1 && (own || told == 1), "{log}");
    let folder = vaccel_jail::groups::Groups::own();
    drop(client);
    wait_until("the worker ends", || !is_alive(worker));
    agent.stop();
    if let (true, Ok(folder)) = (own, folder) {
        let left = std::fs::read_dir(folder).unwrap().flatten();
        let ours = left.filter(|e| e.file_name().to_string_lossy().starts_with(&name));
        assert_eq!(ours.count(), 0, "groups go with their workers");
    }
    let plain = tempfile::tempdir().unwrap();
    let agent = Agent::start(&["--cgroup", plain.path().to_str().unwrap()]);
    let client = Tenant::new(&agent);
    client.client.noop(client.session).unwrap();
    let log = agent.log();
    assert!(log.contains("it is no group of cgroup v2"), "{log}");
    agent.stop();
}
