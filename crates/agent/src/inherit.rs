//! Listening sockets that the agent is given instead of opening them: by systemd (socket
//! activation, `sd_listen_fds(3)`), or by the agent that it takes the place of.

use std::collections::HashMap;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use anyhow::{Context, Result, bail};
use vaccel_transport::Address;

use crate::listen::{Listener, Named};

/// What a predecessor says in the environment: lines of `pid N`, `ready FD`,
/// `listen FD ADDRESS`, `metrics FD ADDRESS`, and with `activated-` before them what the
/// service manager opened.
pub const FROM_PREDECESSOR: &str = "VACCEL_AGENT_INHERIT";
/// The first descriptor of systemd.
const FIRST: RawFd = 3;
/// More sockets than anybody has.
const MAX: usize = 1024;

/// What the agent has been given.
#[derive(Debug, Default)]
pub struct Inherited {
    /// For clients.
    pub listeners: Vec<Listener>,
    /// For figures; true where the service manager opened it.
    pub metrics: Option<(vaccel_transport::Listener, bool)>,
    /// Closed or written to when clients may come, for the predecessor.
    pub ready: Option<OwnedFd>,
}

impl Inherited {
    /// What the environment says. To be called once, before anything is opened.
    ///
    /// # Errors
    /// When what it says is not so.
    pub fn take(insecure: bool) -> Result<Self> {
        let parent = rustix::process::getppid().map(|pid| pid.as_raw_nonzero().to_string());
        if let Ok(text) = std::env::var(FROM_PREDECESSOR)
            && text
                .lines()
                .next()
                .and_then(|line| line.strip_prefix("pid "))
                == parent.as_deref()
        {
            return from_predecessor(&text);
        }
        let own = std::process::id().to_string();
        if std::env::var("LISTEN_PID").is_ok_and(|pid| pid == own) {
            let count = std::env::var("LISTEN_FDS").unwrap_or_default();
            let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
            return from_systemd(&count, &names, insecure);
        }
        Ok(Self::default())
    }

    /// True when another agent waits for this one.
    #[must_use]
    pub fn is_successor(&self) -> bool {
        self.ready.is_some()
    }

    /// Those of the addresses that are to be opened, because they were not given.
    #[must_use]
    pub fn without(&self, addresses: &[Named]) -> Vec<Named> {
        let mut given: HashMap<String, usize> = HashMap::new();
        for listener in &self.listeners {
            *given.entry(listener.address().to_string()).or_default() += 1;
        }
        // A predecessor passes on all that it was asked for, with the ports that were chosen.
        let wanted = addresses.iter().filter(|_| !self.is_successor());
        let missing = wanted.filter(|address| {
            match given
                .get_mut(&address.address.to_string())
                .filter(|n| **n > 0)
            {
                Some(left) => {
                    *left -= 1;
                    false
                }
                None => true,
            }
        });
        missing.cloned().collect()
    }
}

fn from_systemd(count: &str, names: &str, insecure: bool) -> Result<Inherited> {
    let count: usize = count
        .parse()
        .ok()
        .filter(|&count| count <= MAX)
        .with_context(|| format!("LISTEN_FDS={count} is no number of sockets"))?;
    let mut names = names.split(':');
    let mut inherited = Inherited::default();
    for fd in (FIRST..).take(count) {
        let name = names.next().unwrap_or_default();
        let taken = take(fd).and_then(|fd| {
            if name == "metrics" {
                inherited.metrics = Some((vaccel_transport::Listener::from_fd(fd)?, true));
                return Ok(());
            }
            let listener = Listener::activated(fd, name)?;
            listener.check(insecure || name == "insecure")?;
            inherited.listeners.push(listener);
            Ok(())
        });
        taken.with_context(|| format!("socket {fd} ({name:?}) of the service manager"))?;
    }
    Ok(inherited)
}

fn from_predecessor(text: &str) -> Result<Inherited> {
    let mut inherited = Inherited::default();
    for line in text.lines().skip(1) {
        // A tab stands before each name that a policy may call it.
        let mut parts = line.split('\t');
        let mut words = parts.next().unwrap_or_default().splitn(3, ' ');
        let (kind, fd) = (words.next().unwrap_or_default(), words.next());
        let fd = fd
            .and_then(|fd| fd.parse().ok())
            .with_context(|| format!("{FROM_PREDECESSOR}: `{line}`"))
            .and_then(take)?;
        let mut address = || -> Result<Address> { Ok(words.next().unwrap_or_default().parse()?) };
        match kind {
            "ready" => inherited.ready = Some(fd),
            "listen" | "activated-listen" => {
                let names = parts.map(str::to_owned).collect();
                let own = kind == "listen";
                let listener = Listener::inherited(fd, &address()?, own, names)?;
                inherited.listeners.push(listener);
            }
            "metrics" | "activated-metrics" => {
                let listener = vaccel_transport::Listener::inherit(fd, address()?)?;
                inherited.metrics = Some((listener, kind != "metrics"));
            }
            _ => bail!("{FROM_PREDECESSOR}: `{line}` is of another version"),
        }
    }
    Ok(inherited)
}

/// Takes over a descriptor that this process was started with.
fn take(fd: RawFd) -> Result<OwnedFd> {
    // SAFETY: F_SETFD on any number is harmless.
    if fd < FIRST || unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) } < 0 {
        return Err(std::io::Error::last_os_error()).with_context(|| format!("descriptor {fd}"));
    }
    // SAFETY: it is open, and was given to this process to be used and closed.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The line by which a successor is given a socket.
#[must_use]
pub fn line(kind: &str, fd: &impl AsRawFd, address: &Address, names: &[String]) -> String {
    // A name with a tab or a line break could not be told from two.
    let plain = names.iter().filter(|name| !name.contains(['\t', '\n']));
    let names: String = plain.map(|name| format!("\t{name}")).collect();
    format!("{kind} {} {address}{names}\n", fd.as_raw_fd())
}
