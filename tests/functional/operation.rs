//! What whoever runs an agent has: restarts that no program notices, and `vaccel top`.
#![allow(clippy::unwrap_used)]

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use serde_json::Value;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;
use vaccel_tests::{Agent, Program, stage, wait_until};

const PATIENCE: Duration = Duration::from_secs(60);

/// An agent with its figures at a path.
fn agent(folder: &Path, options: &[&str]) -> (Agent, String) {
    let address = format!("unix://{}", folder.join("figures.sock").display());
    let options = [&["--metrics", &address][..], options].concat();
    let agent = Agent::start(&stage().unwrap(), "blas,noop", &[], &options).unwrap();
    (agent, address)
}

fn status(address: &str) -> Option<Value> {
    let run = Program::new(&stage().unwrap(), "vaccel")
        .args(["top", "--once", "--json", "--agent", address])
        .run()
        .unwrap();
    serde_json::from_str(&run.success().ok()?).ok()
}

/// How often an operation was asked for.
fn requests(status: &Value, op: &str) -> u64 {
    let operations = status["operations"].as_array().unwrap();
    let of = operations.iter().filter(|o| o["op"] == op);
    of.map(|o| o["requests"].as_u64().unwrap()).sum()
}

fn kill(process: u32, signal: i32) {
    // SAFETY: a plain system call; processes of this test only.
    let code = unsafe { libc::kill(process.cast_signed(), signal) };
    assert_eq!(code, 0);
}

#[test]
fn a_program_in_a_loop_sees_no_failed_call_while_the_agent_is_replaced_twice() {
    let folder = tempfile::tempdir().unwrap();
    let (mut agent, address) = agent(folder.path(), &["--drain-timeout", "30s"]);
    // sgemm is never made again by itself, so that a lost call would end the program. It goes on
    // for as long as the command lets it, and is ended below.
    let program = Program::new(&stage().unwrap(), "vaccel")
        .args(["--remote", &agent.address(), "sgemm", "--json"])
        .args(["--m", "96", "--n", "96", "--k", "96", "--repeat", "100000"])
        .spawn()
        .unwrap();
    let mut process = u64::from(agent.id());
    for round in 0..2 {
        let mut seen = 0;
        wait_until("the program is served", PATIENCE, || {
            let Some(status) = status(&address) else {
                return false;
            };
            seen = requests(&status, "sgemm");
            status["process"] == process && seen > 100
        })
        .unwrap();
        kill(u32::try_from(process).unwrap(), libc::SIGUSR2);
        let before = process;
        wait_until("another process takes over", PATIENCE, || {
            let now = status(&address).filter(|status| status["not_ready"].is_null());
            now.and_then(|status| status["process"].as_u64())
                .is_some_and(|now| {
                    process = now;
                    now != before
                })
        })
        .unwrap();
        if round == 0 {
            wait_until("the first one ends", PATIENCE, || {
                !agent.is_running().unwrap()
            })
            .unwrap();
        }
    }
    wait_until("the third one serves the program", PATIENCE, || {
        status(&address).is_some_and(|status| requests(&status, "sgemm") > 100)
    })
    .unwrap();
    kill(program.id(), libc::SIGTERM);
    let run = program.wait().unwrap();
    // Ended by the signal, and not by a failed call before it.
    assert!(run.code.is_none() && run.stderr.is_empty(), "{run:?}");
    let last = u32::try_from(process).unwrap();
    kill(last, libc::SIGTERM);
    wait_until("the last one ends", PATIENCE, || {
        let stat = std::fs::read_to_string(format!("/proc/{last}/stat"));
        stat.map_or(true, |stat| stat.contains(") Z "))
    })
    .unwrap();
    assert!(!agent.socket().exists(), "the last one removes the socket");
}

#[test]
fn top_prints_once_for_people_and_for_scripts() {
    let folder = tempfile::tempdir().unwrap();
    let (agent, address) = agent(folder.path(), &[]);
    Program::new(&stage().unwrap(), "vaccel")
        .args([
            "--remote",
            &agent.address(),
            "sgemm",
            "--m",
            "8",
            "--n",
            "8",
            "--k",
            "8",
        ])
        .output()
        .unwrap();
    let mut json = Value::Null;
    wait_until("the call is counted", PATIENCE, || {
        json = status(&address).unwrap();
        requests(&json, "sgemm") > 0
    })
    .unwrap();
    assert_eq!(json["process"], agent.id());
    assert_eq!(json["phase"], "serving");
    let text = Program::new(&stage().unwrap(), "vaccel")
        .args(["top", "--once", "--interval", "100ms", "--agent", &address])
        .output()
        .unwrap();
    for needle in ["process", "OPERATION", "sgemm", "WORKER", "ready"] {
        assert!(text.contains(needle), "{needle} is missing:\n{text}");
    }
    let run = Program::new(&stage().unwrap(), "vaccel")
        .args(["top", "--agent", &address])
        .run()
        .unwrap();
    assert!(run.stderr.contains("no terminal"), "{run:?}");
    let run = Program::new(&stage().unwrap(), "vaccel")
        .args(["top", "--once", "--agent", "unix:///nowhere/at/all"])
        .run()
        .unwrap();
    assert!(run.stderr.contains("/nowhere/at/all"), "{run:?}");
}

/// A program on a terminal of 80 columns and 24 lines.
struct Terminal {
    child: Child,
    master: File,
    screen: Arc<Mutex<vt100::Parser>>,
}

impl Terminal {
    fn start(program: PathBuf, arguments: &[&str]) -> Self {
        let size = libc::winsize {
            ws_row: 24,
            ws_col: 80,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        let (mut master, mut slave) = (-1, -1);
        // SAFETY: the numbers and the size are live; a name and settings are not wanted.
        let code = unsafe {
            libc::openpty(
                &raw mut master,
                &raw mut slave,
                std::ptr::null_mut(),
                std::ptr::null(),
                &raw const size,
            )
        };
        assert_eq!(code, 0);
        // SAFETY: both were just opened and are nobody else's.
        let (master, slave) = unsafe { (File::from_raw_fd(master), File::from_raw_fd(slave)) };
        // SAFETY: plain system calls on descriptors of ours.
        unsafe {
            libc::fcntl(master.as_raw_fd(), libc::F_SETFD, libc::FD_CLOEXEC);
        }
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env("TERM", "xterm-256color")
            .stdin(slave.try_clone().unwrap())
            .stdout(slave.try_clone().unwrap())
            .stderr(slave);
        // SAFETY: only calls that may be made between fork and exec.
        unsafe {
            command.pre_exec(|| {
                if libc::setsid() < 0 || libc::ioctl(0, libc::TIOCSCTTY, 0) < 0 {
                    return Err(std::io::Error::last_os_error());
                }
                Ok(())
            });
        }
        let child = command.spawn().unwrap();
        // Ours of the slave's descriptors go with the command.
        drop(command);
        let screen = Arc::new(Mutex::new(vt100::Parser::default()));
        let (mut from, to) = (master.try_clone().unwrap(), Arc::clone(&screen));
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            // It ends with an error when the last one on the other side has gone.
            while let Ok(n @ 1..) = from.read(&mut bytes) {
                to.lock().unwrap().process(&bytes[..n]);
            }
        });
        Self {
            child,
            master,
            screen,
        }
    }

    fn text(&self) -> String {
        self.screen.lock().unwrap().screen().contents()
    }

    fn wait_for(&self, what: &str) {
        let shown = wait_until(what, PATIENCE, || self.text().contains(what));
        assert!(shown.is_ok(), "no {what:?} in:\n{}", self.text());
    }

    fn is_full_screen(&self) -> bool {
        self.screen.lock().unwrap().screen().alternate_screen()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn top_shows_a_live_view_on_a_terminal_and_leaves_it_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let (agent, address) = agent(folder.path(), &[]);
    let vaccel = stage().unwrap().join("bin/vaccel");
    let arguments = ["top", "--interval", "100ms", "--agent", &address];
    let mut terminal = Terminal::start(vaccel, &arguments);
    terminal.wait_for(&format!("process {}", agent.id()));
    assert!(terminal.is_full_screen());
    // What happens meanwhile is seen.
    let calls = Program::new(&stage().unwrap(), "vaccel")
        .args(["--remote", &agent.address(), "sgemm", "--repeat", "100000"])
        .args(["--m", "8", "--n", "8", "--k", "8"])
        .spawn()
        .unwrap();
    terminal.wait_for("sgemm");
    terminal.wait_for("serving");
    kill(calls.id(), libc::SIGTERM);
    let _ = calls.wait();
    terminal.master.write_all(b"q").unwrap();
    let mut status = None;
    wait_until("it ends", PATIENCE, || {
        status = terminal.child.try_wait().unwrap();
        status.is_some()
    })
    .unwrap();
    assert!(status.unwrap().success());
    wait_until("the screen is given back", PATIENCE, || {
        !terminal.is_full_screen()
    })
    .unwrap();
}

/// A collector of spans, as the agent sees one.
struct Collector {
    endpoint: String,
    address: SocketAddr,
    thread: JoinHandle<Vec<Span>>,
}

impl Collector {
    fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let thread = std::thread::spawn(move || {
            let mut spans = Vec::new();
            // Until one comes who says nothing.
            while let Some(body) = body(listener.accept().unwrap().0) {
                let message = ExportTraceServiceRequest::decode(&body[..]).unwrap();
                let resources = message.resource_spans.into_iter();
                let scopes = resources.flat_map(|resource| resource.scope_spans);
                spans.extend(scopes.flat_map(|scope| scope.spans));
            }
            spans
        });
        Self {
            endpoint: format!("http://{address}"),
            address,
            thread,
        }
    }

    /// All that it was sent, by an agent that has ended.
    fn finish(self) -> Vec<Span> {
        drop(TcpStream::connect(self.address).unwrap());
        self.thread.join().unwrap()
    }
}

/// The body of one HTTP request, answered with 200; `None` where there is none.
fn body(stream: TcpStream) -> Option<Vec<u8>> {
    let mut writer = stream.try_clone().unwrap();
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap() == 0 {
            return None;
        }
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line == "\r\n" {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    writer.write_all(answer).unwrap();
    Some(body)
}

#[test]
fn calls_of_a_program_are_spans_below_the_one_that_its_environment_names() {
    let collector = Collector::start();
    let folder = tempfile::tempdir().unwrap();
    let (mut agent, _) = agent(folder.path(), &["--otlp-endpoint", &collector.endpoint]);
    Program::new(&stage().unwrap(), "vaccel")
        .env(
            "TRACEPARENT",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        )
        .args(["--remote", &agent.address(), "sgemm"])
        .args(["--m", "8", "--n", "8", "--k", "8"])
        .output()
        .unwrap();
    agent.stop().unwrap();
    let spans = collector.finish();
    let call = spans.iter().find(|span| span.name == "sgemm").unwrap();
    assert_eq!(call.trace_id[..3], [0x4b, 0xf9, 0x2f]);
    assert_eq!(call.parent_span_id[..3], [0x00, 0xf0, 0x67]);
    let below = spans.iter().filter(|s| s.parent_span_id == call.span_id);
    assert_eq!(below.count(), 4);
}

#[test]
fn calls_of_a_session_are_spans_below_the_one_that_the_program_names() {
    let prefix = stage().unwrap();
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("trace");
    let program = out.join("trace");
    Program::at(Path::new("make"))
        .args(["--no-print-directory", "-s", "-C"])
        .arg(vaccel_tests::repository().join("tests/c"))
        .arg(format!("PREFIX={}", prefix.display()))
        .arg(format!("OUT={}", out.display()))
        .arg(&program)
        .output()
        .unwrap();
    for shared in ["1", "0"] {
        let collector = Collector::start();
        let folder = tempfile::tempdir().unwrap();
        let (mut agent, _) = agent(folder.path(), &["--otlp-endpoint", &collector.endpoint]);
        // It ends with an error unless all holds that it can see.
        Program::at(&program)
            .env("LD_LIBRARY_PATH", prefix.join("lib"))
            .env("VACCEL_PLUGINS", "rpc")
            .env("VACCEL_RPC_ADDRESS", agent.address())
            .env("VACCEL_RPC_SHARED", shared)
            .output()
            .unwrap();
        agent.stop().unwrap();
        let spans = collector.finish();
        // All but those below a call; what is in no span of the program's is not recorded.
        let calls = spans.iter().filter(|span| span.name == "noop");
        let mut parents: Vec<u8> = calls.map(|span| span.parent_span_id[0]).collect();
        parents.sort_unstable();
        assert_eq!(parents, [0x11, 0x11, 0x11, 0x22]);
        assert!(
            spans
                .iter()
                .all(|span| span.trace_id[..3] == [0x4b, 0xf9, 0x2f])
        );
    }
}
