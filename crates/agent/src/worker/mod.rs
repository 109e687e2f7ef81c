//! `vaccel-worker`: loads the library and serves connections.
//!
//! The agent starts workers ahead of time. A worker loads the library and its
//! plugins at once, then says READY and waits: loading takes longer than
//! anything else, and is over before a client comes. (Backends load their
//! runtimes, which are large, at first use.)
//!
//! * [`jail`]: what the process gives up first.
//! * [`connection`]: one connection. [`lead`]: which of its threads reads.
//! * [`changes`]: parts of buffers. [`content`]: what the agent keeps.
//! * [`control`]: sessions and resources. [`generic`]: operations of the library.

pub mod changes;
pub mod connection;
pub mod content;
pub mod control;
pub mod failure;
pub mod flights;
pub mod generic;
pub mod jail;
pub mod lead;
pub mod options;
pub mod resources;
pub mod sessions;
pub mod shared;
pub mod upload;

use std::collections::HashMap;
use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use clap::Parser;
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::net::{Shutdown, shutdown};

use crate::handoff::{ToAgent, ToWorker, receive_from_agent, send_to_agent};
use crate::log;
use crate::options::Isolation;
use crate::{debug, error};
use connection::{Connection, Settings};
use content::Contents;
use options::Options;

/// Exit code of a worker that could not start.
const NOT_STARTED: u8 = 2;
/// Exit code of a worker that gave up on an operation which did not end.
const STUCK: i32 = 3;

/// The program.
#[must_use]
pub fn main() -> ExitCode {
    let options = Options::parse();
    log::init("vaccel-worker", options.log_level, options.json);
    // SAFETY: F_GETFD on any number is harmless.
    if unsafe { libc::fcntl(options.fd, libc::F_SETFD, libc::FD_CLOEXEC) } < 0 {
        error!(
            "--fd {}: no such descriptor; vaccel-worker is started by vaccel-agent",
            options.fd
        );
        return NOT_STARTED.into();
    }
    // SAFETY: it is open, and was given to this program by its agent.
    let channel = unsafe { OwnedFd::from_raw_fd(options.fd) };
    let about = match jail::enter(channel.as_fd()).and_then(|()| start_library(&options)) {
        Ok(about) => about,
        Err(e) => {
            let reason = format!("{e:#}");
            if send_to_agent(&channel, &ToAgent::Failed { reason }).is_err() {
                error!("{e:#}");
            }
            return NOT_STARTED.into();
        }
    };
    match serve(&options, channel, about) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            error!("{e:#}");
            ExitCode::FAILURE
        }
    }
}

/// Loads the library and the plugins.
fn start_library(options: &Options) -> Result<String> {
    let config = &options.vaccel_config;
    let level = |level| match level {
        log::Level::Error => vaccel::LogLevel::Error,
        log::Level::Warn => vaccel::LogLevel::Warn,
        log::Level::Info => vaccel::LogLevel::Info,
        log::Level::Debug => vaccel::LogLevel::Debug,
    };
    vaccel::bootstrap_with(&vaccel::Config {
        plugins: options.plugins.clone(),
        log_level: level(config.log_level.unwrap_or(log::Level::Warn)),
        log_file: config.log_file.clone().map(Into::into),
        profiling_enabled: config.profiling_enabled.unwrap_or(false),
        version_ignore: config.version_ignore.unwrap_or(false),
    })?;
    let library = vaccel::Library::get()?;
    Ok(format!(
        "libvaccel {} from {}",
        library.version().unwrap_or("of unknown version"),
        library.path().display()
    ))
}

/// What the threads of a worker share.
struct Shared {
    channel: OwnedFd,
    contents: Option<Arc<Contents>>,
    settings: Settings,
    /// Those that have not ended.
    connections: Mutex<HashMap<u64, Open>>,
    /// Told each time one has ended.
    ended: OwnedFd,
}

/// A connection that has not ended.
struct Open {
    /// A second handle, to hang up before HELLO.
    descriptor: OwnedFd,
    /// It, after HELLO.
    connection: Option<Arc<Connection>>,
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Open>> {
        self.connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

fn serve(options: &Options, channel: OwnedFd, about: String) -> Result<()> {
    let contents = match options.content {
        true => {
            let channel = channel.try_clone().context("cannot ask the agent")?;
            Some(Arc::new(Contents::new(channel)))
        }
        false => None,
    };
    let shared = Arc::new(Shared {
        channel,
        contents: contents.clone(),
        settings: Settings {
            contents,
            max_in_flight: options.max_in_flight,
            deadline: options.deadline,
            max_frame: options.max_frame,
            max_resources: options.max_resources,
            max_shared: options.max_shared,
            mode: options.mode,
            folder: options.dir.clone(),
            stuck: match options.isolation {
                Isolation::Connection => give_up,
                // Others are served by this process.
                Isolation::Shared => |_| {},
            },
        },
        connections: Mutex::default(),
        ended: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
    });
    send_to_agent(&shared.channel, &ToAgent::Ready { about }).context("the agent has gone")?;
    let mut running = 0usize;
    let mut draining = false;
    loop {
        let mut fds = [
            PollFd::new(&shared.ended, PollFlags::IN),
            PollFd::new(&shared.channel, PollFlags::IN),
        ];
        let watched = if draining { 1 } else { 2 };
        match poll(&mut fds[..watched], None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(e).context("cannot wait for events"),
        }
        let [ended, told] = fds.map(|fd| !fd.revents().is_empty());
        if ended {
            let mut count = [0; 8];
            if rustix::io::read(&shared.ended, &mut count).is_ok() {
                let count = usize::try_from(u64::from_ne_bytes(count)).unwrap_or(usize::MAX);
                running = running.saturating_sub(count);
            }
            let over = draining || options.isolation == Isolation::Connection;
            if running == 0 && over {
                return Ok(());
            }
        }
        if !told {
            continue;
        }
        match receive_from_agent(&shared.channel)? {
            Some((ToWorker::Connection { number, origin }, Some(descriptor))) => {
                send_to_agent(&shared.channel, &ToAgent::Taken { number })?;
                start(&shared, number, origin, descriptor)?;
                running += 1;
            }
            Some((ToWorker::Connection { .. }, None)) => {}
            Some((ToWorker::Content { request, content }, file)) => {
                if let Some(contents) = &shared.contents {
                    contents.hear(request, content, file);
                }
            }
            // Without an agent there is nobody to serve for.
            gone_or_drain @ (Some((ToWorker::Drain, _)) | None) => {
                if let (None, Some(contents)) = (gone_or_drain, &shared.contents) {
                    contents.close();
                }
                draining = true;
                for open in shared.lock().values() {
                    match &open.connection {
                        Some(connection) => connection.drain(),
                        // Fails when the client has gone, and then it is over anyway.
                        None => drop(shutdown(&open.descriptor, Shutdown::Both)),
                    }
                }
                if running == 0 {
                    return Ok(());
                }
            }
        }
    }
}

/// Serves a connection on a thread of its own.
fn start(shared: &Arc<Shared>, number: u64, origin: String, descriptor: OwnedFd) -> Result<()> {
    let shared = Arc::clone(shared);
    let open = Open {
        descriptor: descriptor
            .try_clone()
            .context("cannot take the connection")?,
        connection: None,
    };
    shared.lock().insert(number, open);
    std::thread::Builder::new()
        .name(format!("connection {number}"))
        .stack_size(connection::STACK)
        .spawn(move || {
            debug!(connection = number, "from {origin}");
            let reason = match Connection::open(descriptor, number, &shared.settings) {
                Ok(connection) => {
                    let connection = Arc::new(connection);
                    if let Some(open) = shared.lock().get_mut(&number) {
                        open.connection = Some(Arc::clone(&connection));
                    }
                    connection.serve(shared.settings.stuck)
                }
                Err(reason) => reason,
            };
            shared.lock().remove(&number);
            // Without an agent nobody wants to know.
            let _ = send_to_agent(&shared.channel, &ToAgent::Ended { number, reason });
            if rustix::io::write(&shared.ended, &1u64.to_ne_bytes()).is_err() {
                error!(connection = number, "cannot tell that it has ended");
            }
        })
        .context("cannot start a thread")?;
    Ok(())
}

/// Ends the process although an operation runs: its client has gone and its time is over.
fn give_up(connection: u64) {
    error!(
        connection = connection,
        "giving up on an operation that does not end"
    );
    // Not `exit`: what would run then may wait for the same operation.
    // SAFETY: ends the process; the agent removes what it leaves.
    unsafe { libc::_exit(STUCK) }
}

/// A number for a session or a resource: positive, and not to be guessed.
fn random_id() -> failure::Result<i64> {
    let id = crate::random()? >> 1;
    // 63 bits, so that it fits.
    Ok(i64::try_from(id).unwrap_or(i64::MAX).max(1))
}
