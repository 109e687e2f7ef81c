//! `vaccel-agent`: from the command line to the loop.

use std::ffi::OsString;
use std::fs::File;
use std::io::Write;
use std::os::fd::{FromRawFd, OwnedFd};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result};
use clap::Parser;
use vaccel_transport::Address;

use crate::board::Board;
use crate::cache::desk::Desk;
use crate::inherit::Inherited;
use crate::jail::{self, Prepared};
use crate::listen::{self, Listener, Named};
use crate::metrics::http::Server;
use crate::notify::Notifier;
use crate::options::{Metrics, Options};
use crate::policy::{self, Policy};
use crate::pool::{Pool, Settings};
use crate::process::{Recipe, worker_program};
use crate::rundir::{self, Rundir};
use crate::successor;
use crate::supervisor::{Life, Supervisor};
use crate::tenants::Tenants;
use crate::tls::Tls;
use crate::traces::Exporter;
use crate::vaccel_config::VaccelConfig;
use crate::{error, info, log};

/// The socket for figures in the agent's own folder, where `vaccel top` looks for it.
const METRICS_SOCKET: &str = "metrics.sock";

/// The program.
#[must_use]
pub fn main() -> ExitCode {
    let options = Options::parse();
    if let Some(file) = options.check.clone() {
        return check(options, file);
    }
    log::init("vaccel-agent", options.log_level, options.format());
    match run(options) {
        Ok(()) => {
            info!("ended");
            ExitCode::SUCCESS
        }
        Err(e) => {
            error!("{e:#}");
            ExitCode::FAILURE
        }
    }
}

/// Says what the policy means, or what is wrong with it.
fn check(mut options: Options, file: Option<std::path::PathBuf>) -> ExitCode {
    if file.is_some() {
        options.policy = file;
    }
    let checked = Policy::of(&options).and_then(|policy| {
        // What workers could not be told is wrong as well.
        Tenants::new(policy.clone(), &options).map(|_| policy)
    });
    match checked {
        Ok(policy) => {
            print!("{}", policy::check::print(&policy));
            ExitCode::SUCCESS
        }
        Err(e) => {
            eprintln!("{e:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(mut options: Options) -> Result<()> {
    raise_descriptor_limit();
    // Before there are threads: it is tried by children.
    let jail = jail::prepare(&options)?;
    // The folder that the agent works in may change, and the file is read again.
    if let Some(path) = Policy::path(&options) {
        options.policy = Some(std::path::absolute(path)?);
    }
    let policy = Policy::of(&options)?;
    let base = options
        .run_dir
        .clone()
        .unwrap_or_else(rundir::default_folder);
    // Before anything is opened, so that numbers of descriptors can only be the caller's.
    let inherited = Inherited::take(options.allow_insecure_tcp)?;
    let program = std::env::current_exe().context("cannot tell where this program is")?;
    let given = !inherited.listeners.is_empty();
    let addresses = if options.addresses.is_empty() && given {
        Vec::new()
    } else if options.addresses.is_empty() {
        let folder = rundir::default_folder();
        rundir::prepare(&folder)?;
        vec![Named::from(Address::Unix(folder.join("agent.sock")))]
    } else {
        options.addresses.clone()
    };
    // A successor's caller has been told already.
    let ready_fd = options
        .ready_fd
        .filter(|_| !inherited.is_successor())
        .map(take_descriptor)
        .transpose()?;
    let mut listeners = inherited
        .without(&addresses)
        .iter()
        .map(|address| listen::bind(address, options.socket_mode, options.allow_insecure_tcp))
        .collect::<Result<Vec<_>>>()?;
    let notifier = Notifier::from_env(!inherited.is_successor());
    let Inherited {
        listeners: inherited,
        metrics: given,
        ready: predecessor,
    } = inherited;
    listeners.extend(inherited);
    let addresses: Vec<Address> = listeners.iter().map(|l| l.address().clone()).collect();
    let tls = Tls::new(&options, &addresses)?;
    let rundir = Rundir::create(&base)?;
    let cache = cache(&options)?;
    let mut recipe = recipe(&options, jail)?;
    if cache.is_some() {
        recipe.arguments.push("--content".into());
    }
    let traces = options.otlp_endpoint.as_deref().map(Exporter::start);
    let traces = traces.transpose()?;
    if traces.is_some() {
        recipe.arguments.push("--traces".into());
    }
    let settings = Settings {
        recipe,
        cache,
        traces,
        idle: options.pool.into(),
    };
    if let Some(file) = &policy.file {
        info!(
            "policy {}: {} tenants",
            file.display(),
            policy.tenants.len()
        );
    }
    let board = Board::new().context("cannot make an eventfd")?;
    // It goes with the loop, before the folder that its socket may be in.
    let server = metrics(&options, given, &rundir, &board)?;
    let tenants = Tenants::new(policy, &options)?;
    let pool = Pool::new(settings, tenants, rundir, Arc::clone(&board))?;
    let plugins = options.plugins().join(", ");
    let life = Life {
        notifier,
        program,
        server,
    };
    let supervisor = Supervisor::new(listeners, tls, pool, board, life, options)?;
    supervisor.run(|listeners| {
        for listener in listeners {
            info!("listening on {}, plugins: {plugins}", listener.address());
        }
        match predecessor {
            Some(fd) => tell_predecessor(fd),
            None => announce(listeners, ready_fd),
        }
    })
}

/// Tells the agent that this one takes the place of that clients may come.
fn tell_predecessor(fd: OwnedFd) {
    if let Err(e) = File::from(fd).write_all(successor::READY) {
        // It has been ended meanwhile; this one serves all the same.
        crate::debug!("the predecessor has gone: {e}");
    }
}

/// Serves figures, where that was not declined. An address that was named must be there;
/// without the default one the agent serves all the same.
fn metrics(
    options: &Options,
    given: Option<(vaccel_transport::Listener, bool)>,
    rundir: &Rundir,
    board: &Arc<Board>,
) -> Result<Option<Server>> {
    if let Some((listener, activated)) = given {
        let mut server = Server::start(listener, Arc::clone(board))?;
        server.share(activated);
        info!("metrics at {}", server.address());
        return Ok(Some(server));
    }
    let address = match &options.metrics {
        Metrics::None => return Ok(None),
        Metrics::Default => Address::Unix(rundir.path().join(METRICS_SOCKET)),
        Metrics::At(address) => address.clone(),
    };
    let started = listen::bind_plain(&address, options.socket_mode)
        .and_then(|listener| Server::start(listener, Arc::clone(board)));
    match started {
        Ok(mut server) => {
            if options.metrics != Metrics::Default {
                server.share(false);
            }
            info!("metrics at {}", server.address());
            Ok(Some(server))
        }
        Err(e) if options.metrics == Metrics::Default => {
            crate::warn!("serving without metrics: {e:#}");
            Ok(None)
        }
        Err(e) => Err(e.context("cannot serve metrics")),
    }
}

/// Opens the cache. One that was asked for must be there; without the default one the
/// agent serves all the same.
fn cache(options: &Options) -> Result<Option<Desk>> {
    let Some(folder) = options.cache_folder() else {
        return Ok(None);
    };
    let folder = std::path::absolute(folder)?;
    match Desk::open(&folder, options.cache_limit, options.cache_scope) {
        Ok(desk) => Ok(Some(desk)),
        Err(e) if options.cache.is_none() => {
            crate::warn!("serving without a cache: {e:#}");
            Ok(None)
        }
        Err(e) => Err(e),
    }
}

/// Tells whoever waits that clients may come.
fn announce(listeners: &[Listener], ready_fd: Option<OwnedFd>) {
    let lines: String = listeners
        .iter()
        .map(|listener| format!("listening on {}\n", listener.address()))
        .collect();
    let result = match ready_fd {
        Some(fd) => File::from(fd).write_all(lines.as_bytes()),
        None => {
            let mut stdout = std::io::stdout().lock();
            stdout
                .write_all(lines.as_bytes())
                .and_then(|()| stdout.flush())
        }
    };
    if let Err(e) = result {
        // Whoever waited has gone; clients may come all the same.
        crate::debug!("nobody reads where the agent listens: {e}");
    }
}

/// Takes over a descriptor that the caller opened for this program.
fn take_descriptor(number: i32) -> Result<OwnedFd> {
    // SAFETY: F_GETFD on any number is harmless.
    if unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) } < 0 {
        return Err(std::io::Error::last_os_error())
            .with_context(|| format!("--ready-fd {number}: no such descriptor"));
    }
    // SAFETY: it is open, and was given to this program to be used and closed.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

fn recipe(options: &Options, jail: Prepared) -> Result<Recipe> {
    let program = match &options.worker {
        Some(program) => std::path::absolute(program)?,
        None => worker_program()?,
    };
    let mut arguments: Vec<OsString> = [
        ("--mode", options.mode.to_string()),
        (
            "--park-after",
            format!("{}ms", options.park_after.as_millis()),
        ),
        ("--log-level", options.log_level.name().to_owned()),
        ("--jail", jail.to_json()),
    ]
    .into_iter()
    .flat_map(|(name, value)| [name.into(), value.into()])
    .collect();
    if options.format() == log::Format::Json {
        arguments.push("--json".into());
    }
    let mut library = options.vaccel_config.clone();
    library.log_file = library.log_file.as_deref().map(absolute).transpose()?;
    let library = library_settings(&library);
    if !library.is_empty() {
        arguments.extend(["--vaccel-config".into(), library.into()]);
    }
    let mut set_env = vec![("VACCEL_BOOTSTRAP_ENABLED".to_owned(), "0".into())];
    let plugin_path = std::env::var("VACCEL_PLUGIN_PATH").ok();
    for (name, folders) in [
        ("VACCEL_MODELS", &options.models),
        ("VACCEL_PLUGIN_PATH", &plugin_path),
    ] {
        if let Some(folders) = folders {
            set_env.push((name.to_owned(), absolute_list(folders)?.into()));
        }
    }
    Ok(Recipe {
        program,
        arguments,
        pass_env: options.pass_env.clone(),
        set_env,
        jailed: jail.is_on(),
        namespaces: jail.namespaces,
        pid_namespace: jail.pid_namespace,
        groups: jail.groups,
        counts: true,
    })
}

/// The settings for the worker, without the plugins, which it is told otherwise.
fn library_settings(config: &VaccelConfig) -> String {
    let entries = [
        ("log_level", config.log_level.map(|l| l.name().to_owned())),
        ("log_file", config.log_file.clone()),
        (
            "profiling_enabled",
            config.profiling_enabled.map(|on| on.to_string()),
        ),
        (
            "version_ignore",
            config.version_ignore.map(|on| on.to_string()),
        ),
    ];
    entries
        .into_iter()
        .filter_map(|(key, value)| Some(format!("{key}={}", value?)))
        .collect::<Vec<_>>()
        .join(",")
}

fn absolute(path: &str) -> Result<String> {
    let path = std::path::absolute(path)
        .with_context(|| format!("cannot make {path} an absolute path"))?;
    path.into_os_string()
        .into_string()
        .map_err(|path| anyhow::anyhow!("{} is not UTF-8", path.display()))
}

/// Folders of a list as absolute paths.
fn absolute_list(list: &str) -> Result<String> {
    let folders = list.split(':').filter(|folder| !folder.is_empty());
    let folders = folders.map(absolute).collect::<Result<Vec<_>>>()?;
    Ok(folders.join(":"))
}

/// Each connection takes a descriptor until its worker has it, and each worker one.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(e) = setrlimit(Resource::Nofile, limit) {
        crate::debug!("the limit of descriptors stays as it is: {e}");
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn settings_of_the_library_reach_the_worker_as_they_were_given() {
        let text = "log_level=debug,log_file=/tmp/x,profiling_enabled=true,version_ignore=false";
        let config = crate::vaccel_config::parse(text).unwrap();
        assert_eq!(library_settings(&config), text);
        assert_eq!(library_settings(&VaccelConfig::default()), "");
    }

    #[test]
    fn folders_of_models_become_absolute() {
        let here = std::env::current_dir().unwrap();
        let expected = format!("{}:/usr/share/models", here.join("models").display());
        assert_eq!(
            absolute_list("models::/usr/share/models").unwrap(),
            expected
        );
    }
}
