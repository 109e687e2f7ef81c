//! Telling systemd, or whoever else listens at `$NOTIFY_SOCKET`, how the agent is.
//!
//! The protocol is that of `sd_notify(3)`: one datagram, lines of `NAME=VALUE`.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::{Duration, Instant};

use crate::debug;

/// Who is told.
#[derive(Debug, Default)]
pub struct Notifier {
    to: Option<(UnixDatagram, SocketAddr)>,
    /// How often a sign of life is sent, and when the next one is due.
    watchdog: Option<(Duration, Instant)>,
}

impl Notifier {
    /// Whom the environment names; nobody when it names none. `own` is false when the
    /// environment was made for another process that this one takes the place of.
    #[must_use]
    pub fn from_env(own: bool) -> Self {
        let Some(path) = std::env::var_os("NOTIFY_SOCKET") else {
            return Self::default();
        };
        let text = |name| std::env::var(name).ok();
        let pid = text("WATCHDOG_PID").filter(|_| own);
        let is_ours = pid.is_none_or(|pid| pid == std::process::id().to_string());
        let every = text("WATCHDOG_USEC").and_then(|usec| usec.parse().ok());
        let every = every.filter(|&usec: &u64| is_ours && usec > 0);
        Self::to(path.as_bytes(), every.map(Duration::from_micros))
    }

    fn to(path: &[u8], limit: Option<Duration>) -> Self {
        let address = match path.strip_prefix(b"@") {
            Some(name) => SocketAddr::from_abstract_name(name),
            None => SocketAddr::from_pathname(std::ffi::OsStr::from_bytes(path)),
        };
        let socket = UnixDatagram::unbound().and_then(|socket| {
            // A listener that does not read is not waited for.
            socket.set_nonblocking(true)?;
            Ok((socket, address?))
        });
        match socket {
            // Twice as often as asked for, as sd_watchdog_enabled(3) recommends.
            Ok(to) => Self {
                to: Some(to),
                watchdog: limit.map(|limit| (limit / 2, Instant::now())),
            },
            Err(e) => {
                debug!("nobody can be told by NOTIFY_SOCKET: {e}");
                Self::default()
            }
        }
    }

    fn tell(&self, state: &str) {
        if let Some((socket, address)) = &self.to
            && let Err(e) = socket.send_to_addr(state.as_bytes(), address)
        {
            debug!("NOTIFY_SOCKET: {e}");
        }
    }

    /// Clients may come.
    pub fn ready(&self, status: &str) {
        self.tell(&format!("READY=1\nSTATUS={status}"));
    }

    /// Settings are read again; [`ready`](Self::ready) says that they have been.
    pub fn reloading(&self) {
        let mut now = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // SAFETY: a live structure.
        unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
        // Since the machine started: not negative.
        let micros = now.tv_sec as u64 * 1_000_000 + now.tv_nsec as u64 / 1000;
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={micros}"));
    }

    /// The agent ends.
    pub fn stopping(&self, status: &str) {
        self.tell(&format!("STOPPING=1\nSTATUS={status}"));
    }

    /// Another process is the agent from now on.
    pub fn replaced_by(&self, process: u32) {
        self.tell(&format!("MAINPID={process}\nREADY=1"));
    }

    /// Gives a sign of life when one is due, and returns when the next one is.
    pub fn beat(&mut self, now: Instant) -> Option<Instant> {
        let (every, due) = self.watchdog?;
        if due > now {
            return Some(due);
        }
        self.tell("WATCHDOG=1");
        let next = now + every;
        self.watchdog = Some((every, next));
        Some(next)
    }

    /// When the next sign of life is due.
    #[must_use]
    pub fn due(&self) -> Option<Instant> {
        self.watchdog.map(|(_, due)| due)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn heard(socket: &UnixDatagram) -> String {
        let mut bytes = [0; 256];
        let n = socket.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..n].to_vec()).unwrap()
    }

    #[test]
    fn states_arrive_at_paths_and_at_abstract_names() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let by_path = UnixDatagram::bind(&path).unwrap();
        let name = format!("vaccel-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let by_name = UnixDatagram::bind_addr(&address).unwrap();
        for (socket, to) in [
            (by_path, path.as_os_str().as_bytes().to_vec()),
            (by_name, format!("@{name}").into_bytes()),
        ] {
            let notifier = Notifier::to(&to, None);
            notifier.ready("up");
            assert_eq!(heard(&socket), "READY=1\nSTATUS=up");
            notifier.reloading();
            let text = heard(&socket);
            let (_, micros) = text.split_once("MONOTONIC_USEC=").unwrap();
            assert!(micros.parse::<u64>().unwrap() > 0, "{text}");
            notifier.replaced_by(7);
            assert_eq!(heard(&socket), "MAINPID=7\nREADY=1");
        }
    }

    #[test]
    fn signs_of_life_come_twice_as_often_as_they_are_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        let limit = Duration::from_secs(10);
        let mut notifier = Notifier::to(path.as_os_str().as_bytes(), Some(limit));
        let now = Instant::now();
        assert_eq!(notifier.beat(now), Some(now + limit / 2));
        assert_eq!(heard(&socket), "WATCHDOG=1");
        assert_eq!(notifier.beat(now + limit / 4), Some(now + limit / 2));
        socket.set_nonblocking(true).unwrap();
        assert!(socket.recv(&mut [0; 8]).is_err(), "too early");
        assert_eq!(Notifier::default().beat(now), None);
    }
}
