//! Start and end of the library.

use crate::config::Config;
use crate::ptr::Ptr;
use crate::rundir::Rundir;
use crate::{
    Error, Result, builtin, config, env, err, fail, flags, lock, log, log_debug, log_error, plugin,
    pool, prof, resource, session, tracefile,
};
use std::cell::UnsafeCell;
use std::ffi::CStr;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread::ThreadId;
use vaccel_abi::config::{LOG_ERROR, vaccel_config};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Down,
    /// This thread is starting or stopping the library.
    Busy(ThreadId),
    Up,
}

struct State {
    phase: Phase,
    /// Why the library is down, when that is not what the program wanted.
    why: Option<Error>,
}

static STATE: Mutex<State> = Mutex::new(State {
    phase: Phase::Down,
    why: None,
});
static CHANGED: Condvar = Condvar::new();
static RUNDIR: AtomicPtr<Rundir> = AtomicPtr::new(std::ptr::null_mut());
/// Run folders of the past: what `vaccel_rundir` returned stays readable, and leak
/// checkers see that somebody still knows them.
static PAST: Mutex<Vec<&'static Rundir>> = Mutex::new(Vec::new());
/// Set when the library tried to start by itself, or the program took that over.
static STARTED_BY_ITSELF: AtomicBool = AtomicBool::new(false);

/// The configuration in force, at an address that never changes.
struct Active(UnsafeCell<vaccel_config>);
// SAFETY: written only while the library is starting.
unsafe impl Sync for Active {}
static ACTIVE: Active = Active(UnsafeCell::new(vaccel_config {
    plugins: std::ptr::null_mut(),
    log_level: LOG_ERROR,
    log_file: std::ptr::null_mut(),
    profiling_enabled: false,
    version_ignore: false,
}));

/// Waits until no other thread starts or stops the library, then marks it busy.
/// `None` when this very thread is in the middle of that.
fn begin() -> Option<Phase> {
    STARTED_BY_ITSELF.store(true, Ordering::Release);
    let me = std::thread::current().id();
    let mut state = lock(&STATE);
    loop {
        match state.phase {
            Phase::Busy(thread) if thread == me => return None,
            Phase::Busy(_) => {
                state = CHANGED.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            before => {
                state.phase = Phase::Busy(me);
                return Some(before);
            }
        }
    }
}

fn end(phase: Phase, why: Option<Error>) {
    let mut state = lock(&STATE);
    flags::set(flags::UP, if phase == Phase::Up { flags::UP } else { 0 });
    state.phase = phase;
    state.why = why;
    CHANGED.notify_all();
}

/// Starts the library with the configuration of the environment, unless it runs.
///
/// # Errors
/// Those of [`bootstrap_with`].
pub fn bootstrap() -> Result {
    if flags::is_up() {
        return Ok(());
    }
    bootstrap_with(Config::from_env())
}

/// Starts the library. When it runs already and nothing is in use, it is
/// restarted; else the log and profiling settings are applied and the plugins
/// that are missing are loaded.
///
/// # Errors
/// `EINVAL` for a bad configuration; no folder for run-time files; those of
/// [`plugin::load`]. The library is down then, and later calls say why.
pub fn bootstrap_with(config: Config) -> Result {
    config.check()?;
    let Some(before) = begin() else {
        return Ok(());
    };
    let in_use = !session::nobody() || !resource::nobody();
    if before == Phase::Up && in_use {
        let result = apply(&config).and_then(|()| {
            let list = plugin_list(&config);
            plugin::load_missing(&list, config.version_ignore)
        });
        end(Phase::Up, None);
        return result;
    }
    if before == Phase::Up {
        stop(false);
    }
    match start(&config) {
        Ok(()) => {
            end(Phase::Up, None);
            Ok(())
        }
        Err(e) => {
            stop(false);
            end(Phase::Down, Some(e.clone()));
            Err(e)
        }
    }
}

fn plugin_list(config: &Config) -> String {
    config
        .plugins
        .as_ref()
        .map(|p| p.to_string_lossy().into_owned())
        .unwrap_or_default()
}

fn apply(config: &Config) -> Result {
    log::configure(config.log_level, config.log_file.as_deref())?;
    prof::enable(config.profiling);
    tracefile::begin();
    // SAFETY: only the thread that starts the library comes here.
    let active = unsafe { Ptr::new(ACTIVE.0.get(), "config")? };
    config::release(active);
    config.write_to(active)
}

fn start(config: &Config) -> Result {
    apply(config)?;
    log_debug!("vaccel {}", crate::version::VERSION);
    config.print_debug();
    let rundir = Rundir::create()?;
    if let Ok(path) = rundir.path() {
        log_debug!("run-time files are in {}", path.to_string_lossy());
    }
    RUNDIR.store(Box::into_raw(Box::new(rundir)), Ordering::Release);
    plugin::parse_and_load(&plugin_list(config), config.version_ignore)?;
    builtin::load_rest(config.version_ignore)
}

/// Undoes [`start`], however far it got. `at_exit`: nothing is unmapped.
fn stop(at_exit: bool) {
    flags::set(flags::UP, 0);
    pool::stop();
    prof::report();
    tracefile::end();
    plugin::unload_all(at_exit);
    let rundir = RUNDIR.swap(std::ptr::null_mut(), Ordering::AcqRel);
    if !rundir.is_null() {
        // SAFETY: from `Box::into_raw`. It is not freed, because the program may
        // hold the pointer that `vaccel_rundir` returned.
        let rundir: &'static Rundir = unsafe { &*rundir };
        rundir.remove();
        lock(&PAST).push(rundir);
    }
}

/// `vaccel_cleanup`: unloads all plugins and removes the run-time files. Does
/// nothing when the library is down.
pub fn cleanup() {
    cleanup_as(false);
}

fn cleanup_as(at_exit: bool) {
    match begin() {
        Some(Phase::Up) => {
            log_debug!("cleaning up");
            stop(at_exit);
            end(Phase::Down, None);
        }
        Some(before) => {
            let why = lock(&STATE).why.take();
            end(before, why);
        }
        None => {}
    }
}

/// `vaccel_is_initialized`.
#[must_use]
pub fn is_up() -> bool {
    flags::is_up()
}

/// Checks that the library is up.
///
/// # Errors
/// `ESESS`, with the reason why it is down.
#[inline]
pub fn require_up() -> Result {
    if flags::is_up() {
        Ok(())
    } else {
        start_or_explain()
    }
}

/// A static library may have lost its constructor; then the first call starts it.
#[cold]
fn start_or_explain() -> Result {
    by_itself();
    if flags::is_up() {
        return Ok(());
    }
    Err(why_down())
}

/// The error of calls that come while the library is down.
#[cold]
#[must_use]
pub fn why_down() -> Error {
    match &lock(&STATE).why {
        Some(e) => err!(ESESS, "vaccel is not initialised: {}", e.message()),
        None => err!(ESESS, "vaccel is not initialised; call vaccel_bootstrap()"),
    }
}

/// Why the last start failed, if it did.
#[must_use]
pub fn failure() -> Option<String> {
    lock(&STATE).why.as_ref().map(|e| e.message().to_owned())
}

/// What the constructor does: starts the library from the environment unless
/// `VACCEL_BOOTSTRAP_ENABLED=0`. A failure is logged and kept; the process lives on.
pub fn by_itself() {
    if STARTED_BY_ITSELF.swap(true, Ordering::AcqRel) {
        return;
    }
    if !env::switch("VACCEL_BOOTSTRAP_ENABLED", None, true) {
        return;
    }
    if let Err(e) = bootstrap() {
        log_error!("vaccel could not be initialised: {e}");
    }
}

/// What the destructor does: [`cleanup`] unless `VACCEL_CLEANUP_ENABLED=0`, and
/// without unmapping anything, since other threads may still run.
pub fn at_exit() {
    if flags::is_up() && env::switch("VACCEL_CLEANUP_ENABLED", None, true) {
        cleanup_as(true);
    }
}

extern "C" fn at_exit_handler() {
    // A panic must not cross into C.
    let _ = std::panic::catch_unwind(at_exit);
}

/// Makes sure that [`at_exit`] runs before the destructors of the plugins'
/// libraries: what is registered after the program's start runs before them.
pub(crate) fn register_at_exit() {
    static ONCE: AtomicBool = AtomicBool::new(false);
    if !ONCE.load(Ordering::Relaxed) && !ONCE.swap(true, Ordering::AcqRel) {
        // SAFETY: a function that lives as long as this library, which is never unloaded.
        unsafe { libc::atexit(at_exit_handler) };
    }
}

/// The configuration in force; the address never changes.
#[must_use]
pub fn active_config() -> *const vaccel_config {
    ACTIVE.0.get()
}

/// The run folder; a child made by fork gets one of its own.
///
/// # Errors
/// `ESESS` when the library is down; where nothing can be written to, the error
/// of the attempt.
pub fn rundir() -> Result<&'static CStr> {
    own_rundir()?.path()
}

/// True where there is a place for files.
///
/// # Errors
/// `ESESS` when the library is down.
pub fn has_rundir() -> Result<bool> {
    Ok(own_rundir()?.exists())
}

fn own_rundir() -> Result<&'static Rundir> {
    let current = RUNDIR.load(Ordering::Acquire);
    if current.is_null() {
        return Err(why_down());
    }
    // SAFETY: from `Box::into_raw`, never freed.
    let rundir: &'static Rundir = unsafe { &*current };
    if rundir.is_ours() {
        return Ok(rundir);
    }
    let own = Box::into_raw(Box::new(Rundir::create()?));
    // The parent's folder is not ours to remove; two threads of a child may come
    // here at once, then the second one's folder stays unused until the end.
    RUNDIR.store(own, Ordering::Release);
    // SAFETY: just made, never freed.
    Ok(unsafe { &*own })
}

/// Loads further plugins while the library is up or starting.
///
/// # Errors
/// `EBACKEND` when the library is down; those of [`plugin::load`].
pub fn load_plugins(list: &str, several: bool) -> Result {
    if RUNDIR.load(Ordering::Acquire).is_null() {
        fail!(EBACKEND, "{}", why_down().message());
    }
    // SAFETY: written only while the library is starting.
    let version_ignore = unsafe { (*ACTIVE.0.get()).version_ignore };
    if several {
        plugin::parse_and_load(list, version_ignore)
    } else {
        plugin::load(list, version_ignore).map(drop)
    }
}
