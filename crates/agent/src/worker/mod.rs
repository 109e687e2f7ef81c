//! `vaccel-worker`: loads the library and serves connections.
//!
//! The agent starts workers ahead of time. A worker loads the library and its
//! plugins at once, then says READY and waits: loading takes longer than
//! anything else, and is over before a client comes. (Backends load their
//! runtimes, which are large, at first use.)
//!
//! * [`jail`]: what the process gives up first.
//! * [`service`]: all connections. [`crew`]: threads; [`watch`]: looks after those that
//!   run something long, as [`pace`] expects; [`lot`]: where quiet connections wait, without a thread.
//! * [`connection`]: one connection. `opening`: how it begins. [`serve`]: its life.
//!   `requests`: what runs for it, and for how long. [`lead`]: which thread reads.
//! * [`compatible`]: connections of clients of the C implementation; [`served`]: either kind.
//! * [`tenant`]: what each tenant may, and has. [`turns`]: their turns in a worker that they share.
//!   [`clock`]: answers requests whose time is over.
//! * [`changes`]: parts of buffers. [`content`]: what the agent keeps.
//! * [`control`]: sessions and resources. [`generic`]: operations of the library.

pub mod changes;
pub mod clock;
pub mod compatible;
pub mod connection;
pub mod content;
pub mod control;
pub mod crew;
pub mod failure;
pub mod flights;
pub mod generic;
pub mod jail;
pub mod lead;
pub mod lot;
mod opening;
pub mod options;
pub mod pace;
mod requests;
pub mod resources;
pub mod serve;
pub mod served;
pub mod service;
pub mod sessions;
pub mod shared;
pub mod tenant;
pub mod tensors;
pub mod turns;
pub mod upload;
pub mod watch;

use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result};
use clap::Parser;
use rustix::event::{PollFd, PollFlags, poll};

use crate::handoff::{ToAgent, ToWorker, receive_from_agent, send_to_agent};
use crate::log;
use crate::{error, warn};
use connection::Settings;
use content::Contents;
use options::Options;
use service::Service;

/// Exit code of a worker that could not start.
const NOT_STARTED: u8 = 2;
/// Exit code of a worker that gave up on an operation which did not end.
const STUCK: i32 = 3;

/// The program.
#[must_use]
pub fn main() -> ExitCode {
    let options = Options::parse();
    let format = if options.json {
        log::Format::Json
    } else {
        log::Format::Text
    };
    log::init("vaccel-worker", options.log_level, format);
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
    if let Some(number) = options.counts
        && let Err(e) = count_in(number)
    {
        // What it would have told is lost, and nothing else.
        warn!("--counts {number}: {e}");
    }
    let about = match jail::enter(channel.as_fd(), &options).and_then(|()| start_library(&options))
    {
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

/// Counts in memory that the agent gave it, whose descriptor is closed.
fn count_in(number: i32) -> std::io::Result<()> {
    // SAFETY: F_GETFD on any number is harmless.
    if unsafe { libc::fcntl(number, libc::F_GETFD) } < 0 {
        return Err(std::io::Error::last_os_error());
    }
    // SAFETY: it is open, and was given to this program by its agent.
    let memory = unsafe { OwnedFd::from_raw_fd(number) };
    crate::counts::shared::adopt(&memory)
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

fn serve(options: &Options, channel: OwnedFd, about: String) -> Result<()> {
    let contents = match options.content {
        true => {
            let channel = channel.try_clone().context("cannot ask the agent")?;
            Some(Arc::new(Contents::new(channel)))
        }
        false => None,
    };
    let service = Service::new(
        channel,
        Settings {
            contents: contents.clone(),
            mode: options.mode,
            park_after: options.park_after,
            folder: options.dir.clone(),
            traces: options.traces,
        },
    )?;
    send_to_agent(&service.channel, &ToAgent::Ready { about }).context("the agent has gone")?;
    let mut running = 0usize;
    let mut draining = false;
    loop {
        let mut fds = [
            PollFd::new(&service.ended, PollFlags::IN),
            PollFd::new(&service.lot, PollFlags::IN),
            PollFd::new(&service.channel, PollFlags::IN),
        ];
        let watched = if draining { 2 } else { 3 };
        match poll(&mut fds[..watched], None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(e).context("cannot wait for events"),
        }
        let [ended, called, told] = fds.map(|fd| !fd.revents().is_empty());
        if called {
            service.call()?;
        }
        if ended {
            let mut count = [0; 8];
            if rustix::io::read(&service.ended, &mut count).is_ok() {
                let count = usize::try_from(u64::from_ne_bytes(count)).unwrap_or(usize::MAX);
                running = running.saturating_sub(count);
            }
            if running == 0 && draining {
                return Ok(());
            }
        }
        if !told {
            continue;
        }
        match receive_from_agent(&service.channel)? {
            Some((ToWorker::Tenant { tenant, row, terms }, ledger)) => {
                service.know(tenant, row, &terms, ledger)?;
            }
            Some((
                ToWorker::Connection {
                    number,
                    tenant,
                    origin,
                },
                descriptor,
            )) => {
                send_to_agent(&service.channel, &ToAgent::Taken { number })?;
                running += 1;
                service.begin(number, tenant, origin, descriptor);
            }
            Some((ToWorker::Content { request, content }, file)) => {
                if let Some(contents) = &contents {
                    contents.hear(request, content, file);
                }
            }
            Some((ToWorker::Leave, _)) => service.leave(),
            // Without an agent there is nobody to serve for.
            gone_or_drain @ (Some((ToWorker::Drain, _)) | None) => {
                if let (None, Some(contents)) = (gone_or_drain, &contents) {
                    contents.close();
                }
                draining = true;
                service.drain();
                if running == 0 {
                    return Ok(());
                }
            }
        }
    }
}

/// Ends the process although an operation runs: its time is over.
fn give_up(connection: u64) -> ! {
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
