//! Who may connect, what may run, how much: the agent's policy.
//!
//! The file is read by [`file`]; what follows from it is a [`Policy`], which is all that the
//! rest of the agent sees. Workers are told [`Terms`].
//!
//! Without a file there is one tenant, `default`, with the limits of the command line.

mod build;
pub mod check;
mod file;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::identity::{Digest, Identity};
use crate::options::{Isolation, Options};
use crate::terms::{Library, Limits, Terms};

pub use file::Worker;

/// Where the policy lies when nothing else is said.
pub const DEFAULT_FILE: &str = "/etc/vaccel/agent.toml";

/// Name of the tenant that there is without a file.
pub const DEFAULT_TENANT: &str = "default";

/// Who may do what.
#[derive(Debug, Clone)]
pub struct Policy {
    /// The file it comes from; `None` for the command line alone.
    pub file: Option<PathBuf>,
    /// The first one that matches a client counts.
    pub tenants: Vec<Tenant>,
    /// Index of the tenant that clients are whom none matches; `None` refuses them.
    pub unknown: Option<usize>,
}

/// A tenant.
#[derive(Debug, Clone)]
pub struct Tenant {
    /// Its name, in logs, metrics and messages.
    pub name: String,
    /// One of these must hold.
    pub matches: Vec<Match>,
    /// Who shares its worker process.
    pub worker: Worker,
    /// Its part of the processors beside those of others; 100 is usual.
    pub weight: u32,
    /// What is taken from the priority of its workers, 0 to 19.
    pub nice: i32,
    /// Plugins that its workers load.
    pub plugins: Vec<String>,
    /// Names of operations that are allowed; `None` for all.
    pub ops: Option<BTreeSet<&'static str>>,
    /// Libraries of this machine that may be called; `None` for all.
    pub exec: Option<Vec<Library>>,
    /// It may send code.
    pub client_code: bool,
    /// It may send resources.
    pub uploads: bool,
    /// Connections at the same time; `None` for as many as the agent takes.
    pub connections: Option<u64>,
    /// Crashes of its workers within [`CRASH_WINDOW`]; `None` for any number.
    pub crashes: Option<u64>,
    /// What its connections may have together.
    pub limits: Limits,
    /// The most time that a request may have.
    pub deadline: Option<Duration>,
    /// How long an operation may go on after its time.
    pub grace: Duration,
}

/// Time within which crashes of a tenant's workers are counted.
pub const CRASH_WINDOW: Duration = Duration::from_secs(10);

/// How long an operation may go on after its time, where nothing is said.
pub const GRACE: Duration = Duration::from_secs(10);

/// What a client is known by; all of it must be so, and there is something.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Match {
    /// User, by a Unix socket.
    pub uid: Option<u32>,
    /// Group, by a Unix socket.
    pub gid: Option<u32>,
    /// Name or address of the socket that it came to.
    pub listener: Option<String>,
    /// Machine, by vsock.
    pub cid: Option<u32>,
    /// Address, by TCP or TLS.
    pub address: Option<std::net::IpAddr>,
    /// Subject of its certificate.
    pub subject: Option<String>,
    /// Common name in that subject.
    pub common_name: Option<String>,
    /// SHA-256 of its certificate.
    pub fingerprint: Option<Digest>,
    /// SHA-256 of tokens, one of which it shows; empty when none is asked for.
    pub tokens: Vec<Digest>,
}

impl Match {
    /// True when a client is the one that is meant.
    #[must_use]
    pub fn is(&self, client: &Identity) -> bool {
        fn same<T: PartialEq>(wanted: &Option<T>, has: Option<T>) -> bool {
            wanted.is_none() || *wanted == has
        }
        let certificate = client.certificate.as_ref();
        same(&self.uid, client.uid())
            && same(&self.gid, client.gid())
            && same(&self.cid, client.cid())
            && same(&self.address, client.address())
            && self.listener.as_ref().is_none_or(|l| client.came_to(l))
            && same(&self.subject, certificate.map(|c| c.subject.clone()))
            && same(
                &self.common_name,
                certificate.and_then(|c| c.common_name.clone()),
            )
            && same(&self.fingerprint, certificate.map(|c| c.fingerprint))
            && (self.tokens.is_empty() || client.has_token_of(&self.tokens))
    }
}

impl Policy {
    /// The policy that the command line asks for: `--policy FILE`, or the default file where
    /// it is there, or none.
    ///
    /// # Errors
    /// What is wrong with the file, where, and what would be right.
    pub fn of(options: &Options) -> Result<Self> {
        match Self::path(options) {
            Some(path) => Self::load(&path, options),
            None => Ok(Self::without_file(options)),
        }
    }

    /// The file of the policy; `None` when there is to be none.
    #[must_use]
    pub fn path(options: &Options) -> Option<PathBuf> {
        match &options.policy {
            Some(path) if path.as_os_str() == "none" => None,
            Some(path) => Some(path.clone()),
            None => {
                let path = Path::new(DEFAULT_FILE);
                // One that cannot be looked at is not one that is not there.
                path.try_exists().unwrap_or(true).then(|| path.to_owned())
            }
        }
    }

    /// Reads a file.
    ///
    /// # Errors
    /// As [`of`](Self::of).
    pub fn load(path: &Path, options: &Options) -> Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| {
            format!(
                "cannot read the policy {}; name another one with --policy, or none with \
                 --policy none",
                path.display()
            )
        })?;
        let mut policy = Self::parse(&text, path.parent(), options)
            .with_context(|| format!("{} is not valid", path.display()))?;
        policy.file = Some(path.to_owned());
        Ok(policy)
    }

    /// Reads a policy; files that it names are relative to `folder`.
    ///
    /// # Errors
    /// As [`of`](Self::of).
    pub fn parse(text: &str, folder: Option<&Path>, options: &Options) -> Result<Self> {
        build::policy(text, folder, options).map_err(|e| anyhow::anyhow!("{e}"))
    }

    /// One tenant, with the limits of the command line.
    #[must_use]
    pub fn without_file(options: &Options) -> Self {
        Self {
            file: None,
            tenants: vec![Tenant {
                name: DEFAULT_TENANT.to_owned(),
                matches: Vec::new(),
                worker: options.isolation.into(),
                weight: 100,
                nice: 0,
                plugins: options.plugins(),
                ops: None,
                exec: None,
                client_code: true,
                uploads: true,
                connections: None,
                crashes: None,
                limits: Limits::default(),
                deadline: None,
                grace: GRACE,
            }],
            unknown: Some(0),
        }
    }

    /// The tenant that a client is; `None` when it is to be refused.
    #[must_use]
    pub fn tenant_of(&self, client: &Identity) -> Option<&Tenant> {
        self.tenants
            .iter()
            .find(|tenant| tenant.matches.iter().any(|m| m.is(client)))
            .or_else(|| self.tenants.get(self.unknown?))
    }

    /// True when who a client is may depend on what it shows in HELLO.
    #[must_use]
    pub fn asks_for_tokens(&self) -> bool {
        let mut matches = self.tenants.iter().flat_map(|t| &t.matches);
        matches.any(|m| !m.tokens.is_empty())
    }
}

impl Tenant {
    /// What its workers are told.
    #[must_use]
    pub fn terms(&self, options: &Options) -> Terms {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let most = self.limits.memory.unwrap_or(u64::MAX);
        let mut ops: Option<Vec<u16>> = self.ops.as_ref().map(|names| {
            let specs = names
                .iter()
                .filter_map(|n| vaccel_abi::table::find_by_name(n));
            specs
                .filter_map(|spec| u16::try_from(spec.code).ok())
                .collect()
        });
        if let Some(ops) = &mut ops {
            ops.sort_unstable();
        }
        let threads = self.limits.in_flight.unwrap_or(u64::MAX);
        Terms {
            tenant: self.name.clone(),
            shared: self.worker == Worker::Shared,
            weight: self.weight,
            threads: u16::try_from(threads)
                .unwrap_or(u16::MAX)
                .clamp(1, options.max_in_flight),
            deadline_ms: millis(options.deadline),
            deadline_most_ms: self.deadline.map_or(u64::from(u32::MAX), millis),
            grace_ms: millis(self.grace),
            max_frame: options.max_frame.min(most),
            max_resources: options.max_resources,
            max_shared: options.max_shared.min(most),
            limits: self.limits.clone(),
            ops,
            exec: self.exec.clone(),
            client_code: self.client_code,
            uploads: self.uploads,
        }
    }
}

impl From<Isolation> for Worker {
    fn from(isolation: Isolation) -> Self {
        match isolation {
            Isolation::Connection => Self::Connection,
            Isolation::Shared => Self::Shared,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use clap::Parser;
    use vaccel_transport::Peer;

    fn options() -> Options {
        Options::parse_from(["vaccel-agent", "--plugins", "noop,exec,onnx"])
    }

    fn parse(text: &str) -> Result<Policy> {
        Policy::parse(text, None, &options())
    }

    fn user(uid: u32) -> Identity {
        Identity {
            peer: Some(Peer::Unix {
                pid: 1,
                uid,
                gid: 9,
            }),
            listener: vec!["vm1".into()],
            ..Identity::default()
        }
    }

    #[test]
    fn the_example_is_valid_and_means_what_it_says() {
        let text = include_str!("../../../../deploy/agent.toml");
        let policy = parse(text).unwrap();
        let tenant = |name: &str| policy.tenants.iter().find(|t| t.name == name).unwrap();
        assert_eq!(policy.unknown, None);
        assert_eq!(tenant("vm1").worker, Worker::Tenant);
        assert_eq!(tenant("vm2").limits.model_bytes, Some(8 << 30));
        assert!(!tenant("vm2").client_code && tenant("admin").client_code);
        assert_eq!(tenant("ci").limits.memory, Some(1 << 30));
        assert_eq!(tenant("admin").deadline, Some(Duration::from_secs(3600)));
        let ops = tenant("ci").ops.as_ref().unwrap();
        assert!(ops.contains("image_pose") && !ops.contains("exec"));
        assert!(policy.asks_for_tokens());
        assert_eq!(
            policy.tenant_of(&user(1001)).unwrap().name,
            "vm1",
            "the first one counts"
        );
        // What `--check` prints is a policy, and means the same.
        let printed = check::print(&policy);
        assert!(printed.contains("name = \"admin\""), "{printed}");
    }

    #[test]
    fn all_keys_of_an_entry_must_hold_and_one_of_the_entries() {
        let policy = parse(
            r#"
            unknown = "rest"
            [[tenant]]
            name = "a"
            match = [{ uid = 1, listener = "vm2" }, { uid = 2, gid = 9 }, { cid = 3 }]
            [[tenant]]
            name = "rest"
            "#,
        )
        .unwrap();
        let name = |client: &Identity| policy.tenant_of(client).unwrap().name.clone();
        assert_eq!(name(&user(1)), "rest");
        assert_eq!(name(&user(2)), "a");
        let mut guest = Identity {
            peer: Some(Peer::Vsock { cid: 3, port: 9 }),
            ..Identity::default()
        };
        assert_eq!(name(&guest), "a");
        guest.peer = Some(Peer::Vsock { cid: 4, port: 9 });
        assert_eq!(name(&guest), "rest");
        assert_eq!(
            name(&Identity::default()),
            "rest",
            "nothing known is nothing that matches"
        );
    }

    #[test]
    fn what_a_tenant_does_not_say_is_taken_from_the_defaults_and_then_from_the_command_line() {
        let policy = parse(
            r#"
            [defaults]
            worker = "tenant"
            quota = { sessions = 5, rate = 7 }
            [[tenant]]
            name = "a"
            match = [{ uid = 1 }]
            quota = { sessions = 6, in_flight = 2 }
            allow = { plugins = ["exec", "noop"] }
            "#,
        )
        .unwrap();
        let a = &policy.tenants[0];
        assert_eq!((a.worker, a.limits.sessions), (Worker::Tenant, Some(6)));
        assert_eq!((a.limits.rate, a.limits.burst), (Some(7), 7));
        assert_eq!(
            a.plugins,
            ["noop", "exec"],
            "in the order of the command line"
        );
        let terms = a.terms(&options());
        assert_eq!((terms.threads, terms.shared), (2, false));
        assert_eq!(terms.exec, Some(vec![]));
        assert!(!terms.client_code && terms.uploads && terms.ops.is_none());
    }

    #[test]
    fn without_a_file_everything_is_as_the_command_line_says() {
        let policy = Policy::without_file(&options());
        let tenant = policy.tenant_of(&Identity::default()).unwrap();
        let terms = tenant.terms(&options());
        assert_eq!(tenant.name, DEFAULT_TENANT);
        assert!(terms.client_code && terms.exec.is_none() && terms.ops.is_none());
        assert_eq!(terms.limits, Limits::default());
        assert_eq!(terms.threads, options().max_in_flight);
    }
}
