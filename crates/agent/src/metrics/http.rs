//! A small HTTP server: the metrics page, health checks, the status.
//!
//! It takes GET and HEAD without a body, answers one request for each connection, and
//! holds every client to limits of size, number and time. It runs on threads of its own, so that no
//! client of it is ever in the way of the agent's loop.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::net::{Shutdown, shutdown};
use vaccel_transport::{Address, Listener, Stream};

use super::{page, status};
use crate::board::Board;
use crate::{debug, warn};

/// The largest request: its line and its headers.
const MAX_REQUEST: usize = 8 << 10;
/// Connections at the same time; further ones are hung up on.
const MAX_CONNECTIONS: usize = 16;
/// How long a client may take to send its request, and to take the answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long the loop may take to turn for the agent to be healthy.
const TURN: Duration = Duration::from_secs(2);
/// Pause after a connection could not be accepted.
const PAUSE: Duration = Duration::from_millis(100);

/// The server; it ends, and its socket file goes, when this goes.
#[derive(Debug)]
pub struct Server {
    stop: Arc<OwnedFd>,
    thread: Option<JoinHandle<()>>,
    listener: Arc<Listener>,
    /// What a successor is told that it is; `None` when it is to have one of its own.
    kind: Option<&'static str>,
}

impl Server {
    /// Serves what a board knows.
    ///
    /// # Errors
    /// When the system gives no descriptor or no thread.
    pub fn start(listener: Listener, board: Arc<Board>) -> Result<Self> {
        listener.set_nonblocking(true)?;
        let listener = Arc::new(listener);
        let heard = Arc::clone(&listener);
        let stop = Arc::new(eventfd(0, EventfdFlags::CLOEXEC)?);
        let own = Arc::clone(&stop);
        let thread = std::thread::Builder::new()
            .name("http".into())
            .spawn(move || accept_all(&heard, &board, &own))
            .context("cannot start a thread")?;
        Ok(Self {
            stop,
            thread: Some(thread),
            listener,
            kind: None,
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> &Address {
        self.listener.address()
    }

    /// Says that a successor is to serve the same address, and whether the socket is the
    /// service manager's.
    pub fn share(&mut self, activated: bool) {
        self.kind = Some(if activated {
            "activated-metrics"
        } else {
            "metrics"
        });
    }

    /// What a successor is told that it is; `None` when it is to have one of its own.
    #[must_use]
    pub fn kind(&self) -> Option<&'static str> {
        self.kind
    }

    /// From now on the socket's file goes with this server, unless it is the service manager's.
    pub fn own_file(&self) {
        if self.kind != Some("activated-metrics") {
            self.listener.own_file();
        }
    }

    /// A successor has the socket: its file stays.
    pub fn leave_file(&self) {
        if self.kind.is_some() {
            // The file goes with the last owner, which now never goes.
            std::mem::forget(Arc::clone(&self.listener));
        }
    }
}

impl AsFd for Server {
    fn as_fd(&self) -> BorrowedFd<'_> {
        (*self.listener).as_fd()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let told = rustix::io::write(&*self.stop, &1u64.to_ne_bytes());
        if let (Ok(_), Some(thread)) = (told, self.thread.take()) {
            let _ = thread.join();
        }
    }
}

fn accept_all(listener: &Listener, board: &Arc<Board>, stop: &OwnedFd) {
    let active = Arc::new(AtomicUsize::new(0));
    loop {
        let mut fds = [
            PollFd::new(stop, PollFlags::IN),
            PollFd::from_borrowed_fd(listener.as_fd(), PollFlags::IN),
        ];
        match poll(&mut fds, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(e) => {
                warn!("no more metrics: {e}");
                return;
            }
        }
        if !fds[0].revents().is_empty() {
            return;
        }
        match listener.accept() {
            Ok(stream) => begin(stream, board, &active),
            Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(e) => {
                warn!("cannot accept a connection for metrics: {e}");
                std::thread::sleep(PAUSE);
            }
        }
    }
}

fn begin(stream: Stream, board: &Arc<Board>, active: &Arc<AtomicUsize>) {
    if active.fetch_add(1, Ordering::Relaxed) >= MAX_CONNECTIONS {
        active.fetch_sub(1, Ordering::Relaxed);
        return;
    }
    let board = Arc::clone(board);
    let count = Arc::clone(active);
    let spawned = std::thread::Builder::new()
        .name("http client".into())
        .stack_size(512 << 10)
        .spawn(move || {
            if let Err(e) = serve(&stream, &board) {
                debug!("a client of the metrics: {e}");
            }
            count.fetch_sub(1, Ordering::Relaxed);
        });
    if spawned.is_err() {
        active.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Reads one request and answers it.
fn serve(stream: &Stream, board: &Board) -> std::io::Result<()> {
    let until = Instant::now() + PATIENCE;
    let (answer, with_body) = match read_head(stream, until)? {
        Head::Request(head) => respond(&head, board),
        Head::Gone => return Ok(()),
        Head::TooLarge => (Answer::text(431, "the request is too large"), true),
        Head::TooSlow => (Answer::text(408, "the request took too long"), true),
    };
    let bytes = answer.encode(with_body);
    stream.send_until(&bytes, Instant::now() + PATIENCE)?;
    // What is left unread when a TCP connection is closed becomes a reset, which could
    // overtake the answer.
    let _ = shutdown(stream.as_fd(), Shutdown::Write);
    let mut rest = [0; 1024];
    while stream.recv_until(&mut rest, until).is_ok_and(|n| n > 0) {}
    Ok(())
}

enum Head {
    Request(Vec<u8>),
    /// The client has hung up.
    Gone,
    TooLarge,
    TooSlow,
}

fn read_head(stream: &Stream, until: Instant) -> std::io::Result<Head> {
    let mut head = Vec::new();
    let mut piece = [0; 1024];
    loop {
        let n = match stream.recv_until(&mut piece, until) {
            Ok(0) => return Ok(Head::Gone),
            Ok(n) => n,
            Err(e) if e.kind() == std::io::ErrorKind::TimedOut => return Ok(Head::TooSlow),
            Err(e) => return Err(e),
        };
        // The end may lie across two pieces.
        let from = head.len().saturating_sub(3);
        head.extend_from_slice(&piece[..n]);
        if head[from..].windows(4).any(|w| w == b"\r\n\r\n") {
            return Ok(Head::Request(head));
        }
        if head.len() > MAX_REQUEST {
            return Ok(Head::TooLarge);
        }
    }
}

/// The answer to a request, and whether its body is wanted.
fn respond(head: &[u8], board: &Board) -> (Answer, bool) {
    let Some((method, path)) = request_line(head) else {
        return (Answer::text(400, "this is not a request of HTTP/1"), true);
    };
    let with_body = method != "HEAD";
    if method != "GET" && with_body {
        let mut answer = Answer::text(405, "only GET and HEAD are taken");
        answer.allow = true;
        return (answer, true);
    }
    (answer(path, board), with_body)
}

fn answer(path: &str, board: &Board) -> Answer {
    match path {
        "/metrics" => Answer {
            status: 200,
            kind: page::CONTENT_TYPE,
            body: page::render(&board.facts()),
            allow: false,
        },
        "/status" => Answer {
            status: 200,
            kind: "application/json",
            body: status::render(&board.facts()).to_string(),
            allow: false,
        },
        "/healthz" => match board.is_alive(TURN) {
            true => Answer::text(200, "ok"),
            false => Answer::text(503, "the agent's loop does not turn"),
        },
        "/readyz" => match board.facts().not_ready() {
            None => Answer::text(200, "ok"),
            Some(reason) => Answer::text(503, &reason),
        },
        _ => Answer::text(404, "there are /metrics, /healthz, /readyz and /status"),
    }
}

/// Method and path; `None` for what is not HTTP/1.
fn request_line(head: &[u8]) -> Option<(&str, &str)> {
    let end = head.windows(2).position(|w| w == b"\r\n")?;
    let line = std::str::from_utf8(&head[..end]).ok()?;
    let mut words = line.split(' ');
    let (method, target, version) = (words.next()?, words.next()?, words.next()?);
    let plain = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic());
    if words.next().is_some() || !version.starts_with("HTTP/1.") || !plain(method) || !plain(target)
    {
        return None;
    }
    let path = target.split('?').next()?;
    path.starts_with('/').then_some((method, path))
}

struct Answer {
    status: u16,
    kind: &'static str,
    body: String,
    allow: bool,
}

impl Answer {
    fn text(status: u16, text: &str) -> Self {
        Self {
            status,
            kind: "text/plain; charset=utf-8",
            body: format!("{text}\n"),
            allow: false,
        }
    }

    fn encode(&self, with_body: bool) -> Vec<u8> {
        let reason = match self.status {
            200 => "OK",
            400 => "Bad Request",
            404 => "Not Found",
            405 => "Method Not Allowed",
            408 => "Request Timeout",
            431 => "Request Header Fields Too Large",
            _ => "Service Unavailable",
        };
        let allow = if self.allow {
            "Allow: GET, HEAD\r\n"
        } else {
            ""
        };
        let mut bytes = format!(
            "HTTP/1.1 {} {reason}\r\nContent-Type: {}\r\nContent-Length: {}\r\n\
             Cache-Control: no-store\r\n{allow}Connection: close\r\n\r\n",
            self.status,
            self.kind,
            self.body.len()
        )
        .into_bytes();
        if with_body {
            bytes.extend_from_slice(self.body.as_bytes());
        }
        bytes
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    struct Served {
        server: Option<Server>,
        _dir: tempfile::TempDir,
        path: std::path::PathBuf,
        board: Arc<Board>,
    }

    fn served() -> Served {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("http.sock");
        let listener = Listener::bind(&Address::Unix(path.clone()), &Default::default()).unwrap();
        let board = Board::new().unwrap();
        Served {
            server: Some(Server::start(listener, Arc::clone(&board)).unwrap()),
            _dir: dir,
            path,
            board,
        }
    }

    impl Served {
        fn send(&self, request: &[u8]) -> String {
            let mut stream = UnixStream::connect(&self.path).unwrap();
            // It may answer and hang up before it has read all.
            let _ = stream.write_all(request);
            let mut answer = String::new();
            let _ = stream.read_to_string(&mut answer);
            answer
        }

        fn status(&self, request: &[u8]) -> String {
            let answer = self.send(request);
            let status = answer.split(' ').nth(1);
            status.unwrap_or_default().to_owned()
        }
    }

    #[test]
    fn requests_that_are_none_are_refused_by_their_kind() {
        let served = served();
        for (request, status) in [
            (&b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n"[..], "200"),
            (b"GET /metrics?x=1 HTTP/1.0\r\n\r\n", "200"),
            (b"GET /status HTTP/1.1\r\n\r\n", "200"),
            (b"GET /nothing HTTP/1.1\r\n\r\n", "404"),
            (b"GET /../etc/passwd HTTP/1.1\r\n\r\n", "404"),
            (b"POST /metrics HTTP/1.1\r\n\r\n", "405"),
            (b"GET /metrics HTTP/2\r\n\r\n", "400"),
            (b"GET metrics HTTP/1.1\r\n\r\n", "400"),
            (b"\x16\x03\x01 \xff\r\n\r\n", "400"),
            (b"\r\n\r\n", "400"),
            (b"GET /metrics HTTP/1.1 x\r\n\r\n", "400"),
        ] {
            assert_eq!(served.status(request), status, "{request:?}");
        }
        let large = [b'x'; MAX_REQUEST * 2];
        assert_eq!(served.status(&large), "431");
    }

    #[test]
    fn head_is_answered_without_a_body() {
        let served = served();
        let answer = served.send(b"HEAD /metrics HTTP/1.1\r\n\r\n");
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.ends_with("\r\n\r\n"), "{answer}");
    }

    #[test]
    fn ready_and_healthy_are_two_things() {
        use crate::board::Phase;
        let served = served();
        assert_eq!(served.status(b"GET /readyz HTTP/1.1\r\n\r\n"), "503");
        served.board.note(|facts| facts.phase = Phase::Serving);
        assert_eq!(served.status(b"GET /readyz HTTP/1.1\r\n\r\n"), "200");
        // Nobody turns the loop of this board.
        assert_eq!(served.status(b"GET /healthz HTTP/1.1\r\n\r\n"), "503");
    }

    #[test]
    fn clients_that_say_nothing_keep_nobody_else_out() {
        let served = served();
        let quiet: Vec<_> = (0..MAX_CONNECTIONS - 1)
            .map(|_| UnixStream::connect(&served.path).unwrap())
            .collect();
        assert_eq!(served.status(b"GET /metrics HTTP/1.1\r\n\r\n"), "200");
        // And beyond the limit they are hung up on.
        let further: Vec<_> = (0..4)
            .map(|_| UnixStream::connect(&served.path).unwrap())
            .collect();
        let closed = further.into_iter().filter_map(|mut stream| {
            stream.set_read_timeout(Some(PATIENCE / 5)).unwrap();
            matches!(stream.read(&mut [0; 1]), Ok(0)).then_some(())
        });
        assert!(closed.count() >= 2);
        drop(quiet);
    }

    #[test]
    fn the_socket_goes_with_the_server() {
        let mut served = served();
        assert!(served.path.exists());
        served.server = None;
        assert!(!served.path.exists());
    }
}
