//! Asking an agent, by HTTP on the socket where it serves its figures.

use super::status::Status;
use anyhow::{Context, Result, bail};
use std::fmt;
use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long an agent may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// More than any agent says of itself.
const MAX_ANSWER: u64 = 64 << 20;
/// The socket in the private folder of each agent.
const SOCKET: &str = "metrics.sock";

/// Where an agent serves its figures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Address {
    Unix(PathBuf),
    Tcp(String),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp(address) => write!(f, "tcp://{address}"),
        }
    }
}

/// The agent that is named, or the only one of this user.
pub(super) fn find(named: Option<&str>) -> Result<Address> {
    if let Some(text) = named {
        return parse(text);
    }
    let mut found: Vec<PathBuf> = folders().iter().flat_map(|f| sockets(f)).collect();
    // What a killed agent left behind does not answer.
    found.retain(|path| UnixStream::connect(path).is_ok());
    match &found[..] {
        [only] => Ok(Address::Unix(only.clone())),
        [] => {
            bail!("no agent of this user is found; name the address of its --metrics with --agent")
        }
        several => {
            let lines: Vec<String> = several
                .iter()
                .map(|path| format!("\n  --agent unix://{}", path.display()))
                .collect();
            bail!("there are several agents; say which:{}", lines.concat())
        }
    }
}

fn parse(text: &str) -> Result<Address> {
    match text.split_once("://") {
        Some(("unix", path)) if !path.is_empty() => Ok(Address::Unix(path.into())),
        Some(("tcp" | "tcp+insecure" | "http", rest)) if rest.contains(':') => {
            Ok(Address::Tcp(rest.trim_end_matches('/').to_owned()))
        }
        _ => bail!("`{text}` is no address of figures: write unix:///PATH or tcp://HOST:PORT"),
    }
}

/// Where agents have their private folders.
fn folders() -> Vec<PathBuf> {
    let absolute = |name| {
        let path = std::env::var_os(name).map(PathBuf::from);
        path.filter(|path| path.is_absolute())
    };
    let user = rustix::process::geteuid().as_raw();
    let temporary = absolute("TMPDIR").unwrap_or_else(|| "/tmp".into());
    [
        Some("/run/vaccel".into()),
        absolute("XDG_RUNTIME_DIR").map(|folder| folder.join("vaccel")),
        Some(temporary.join(format!("vaccel-{user}"))),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn sockets(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let is_agent = |name: &std::ffi::OsStr| name.as_encoded_bytes().starts_with(b"agent.");
    let agents = entries.flatten().filter(|e| is_agent(&e.file_name()));
    let sockets = agents.map(|entry| entry.path().join(SOCKET));
    sockets.filter(|path| path.exists()).collect()
}

/// What the agent says, as it says it.
pub(super) fn json(agent: &Address) -> Result<serde_json::Value> {
    let body = get(agent).with_context(|| format!("the agent at {agent}"))?;
    serde_json::from_str(&body).with_context(|| format!("{agent} serves no figures of an agent"))
}

/// What the agent says.
pub(super) fn status(agent: &Address) -> Result<Status> {
    let value = json(agent)?;
    serde_json::from_value(value).with_context(|| format!("{agent} is an agent of another version"))
}

fn get(agent: &Address) -> Result<String> {
    match agent {
        Address::Unix(path) => {
            let stream = UnixStream::connect(path)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_write_timeout(Some(PATIENCE))?;
            ask(stream)
        }
        Address::Tcp(address) => {
            let to = address.to_socket_addrs()?.next().context("no such host")?;
            let stream = TcpStream::connect_timeout(&to, PATIENCE)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_write_timeout(Some(PATIENCE))?;
            ask(stream)
        }
    }
}

fn ask(mut stream: impl Read + Write) -> Result<String> {
    stream.write_all(b"GET /status HTTP/1.1\r\nHost: agent\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(MAX_ANSWER).read_to_string(&mut answer)?;
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .context("what answers does not speak HTTP")?;
    let status = head.split(' ').nth(1).unwrap_or_default();
    if status != "200" {
        bail!("it answers with {status}: {}", body.trim().escape_debug());
    }
    Ok(body.to_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_those_of_the_agents_option() {
        assert_eq!(parse("unix:///a/b").unwrap(), Address::Unix("/a/b".into()));
        for text in ["tcp://localhost:9464", "http://localhost:9464/"] {
            assert_eq!(parse(text).unwrap(), Address::Tcp("localhost:9464".into()));
        }
        for wrong in ["", "/a/b", "unix://", "tcp://host", "vsock://2:1"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn agents_are_found_by_their_folders() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["agent.1", "agent.2", "other"] {
            std::fs::create_dir(dir.path().join(name)).unwrap();
        }
        for name in ["agent.1", "other"] {
            std::fs::write(dir.path().join(name).join(SOCKET), "").unwrap();
        }
        assert_eq!(
            sockets(dir.path()),
            [dir.path().join("agent.1").join(SOCKET)]
        );
    }
}
