//! Sessions.

mod registered;

use crate::choice::{self, Choices};
use crate::completion::Calls;
use crate::link::{self, Marker};
use crate::ordered::OrderedSet;
use crate::plugin::{self, Plugin};
use crate::ptr::Ptr;
use crate::registrations::{Registrations, TYPES};
use crate::slab::Slab;
use crate::stats::{self, Stats};
use crate::{
    Result, alloc, err, fail, get, kept, last_error, log_debug, log_warn, resource, rundir,
    runtime, set,
};
use std::ffi::CStr;
use std::io::Write as _;
use std::sync::atomic::{AtomicPtr, Ordering};
use vaccel_abi::plugin::{PLUGIN_REMOTE, PluginType};
use vaccel_abi::resource::RESOURCE_MAX;
use vaccel_abi::session::{RUNDIR_MAX, vaccel_session};
use vaccel_abi::vaccel_id_t;

pub(crate) use registered::show;
pub use registered::{has_resource, resource_by_id, resource_by_type, resources_by_type};

const _: () = assert!(TYPES == RESOURCE_MAX as usize);

/// What the library keeps of a session.
#[derive(Default)]
pub(crate) struct Slot {
    /// The program's structure; null when the slot is free.
    pub(crate) session: AtomicPtr<vaccel_session>,
    /// The plugin that serves it: a `&'static Plugin`, or null.
    plugin: AtomicPtr<Plugin>,
    pub(crate) registered: Registrations,
    markers: [Marker; TYPES],
    entry: Marker,
    /// What its operations took.
    pub(crate) stats: Stats,
    /// Its calls that are under way and not waited for.
    pub(crate) calls: Calls,
    /// The backends of its operations, where they are chosen.
    pub(crate) choices: Choices,
}

impl Slot {
    /// The plugin that serves the session.
    pub(crate) fn plugin(&self) -> Option<&'static Plugin> {
        // SAFETY: null or a plugin, which are never freed.
        unsafe { self.plugin.load(Ordering::Acquire).as_ref() }
    }

    fn set_plugin(&self, plugin: Option<&'static Plugin>) {
        let p = plugin.map_or(std::ptr::null_mut(), |p| std::ptr::from_ref(p).cast_mut());
        self.plugin.store(p, Ordering::Release);
    }
}

static SESSIONS: Slab<Slot> = Slab::new();

/// True when no session is open.
#[must_use]
pub fn nobody() -> bool {
    SESSIONS.is_empty()
}

pub(crate) fn slot_by_id(id: vaccel_id_t) -> Option<&'static Slot> {
    SESSIONS.get(id)
}

/// The slot of an open session.
pub(crate) fn slot(sess: Ptr<vaccel_session>) -> Result<&'static Slot> {
    let id = get!(sess.id);
    if id > 0
        && let Some(slot) = SESSIONS.get(id)
        && slot.session.load(Ordering::Acquire) == sess.as_ptr()
    {
        return Ok(slot);
    }
    Err(not_open(id))
}

#[cold]
fn not_open(id: vaccel_id_t) -> crate::Error {
    if !runtime::is_up() {
        return runtime::why_down();
    }
    err!(
        EINVAL,
        "the session (id {id}) is not open: it was not initialised, or released already"
    )
}

/// `vaccel_session_init`: opens a session with `PLUGIN_*` flags. What the
/// structure holds before is not looked at.
///
/// # Errors
/// `ESESS` when the library is down, `ENOTSUP` when no plugin fits, `EUSERS`
/// when there are too many sessions, and those of the plugin.
pub fn init(sess: Ptr<vaccel_session>, flags: PluginType) -> Result {
    // A program that ignores the error must not run into leftovers.
    clear(sess);
    runtime::require_up()?;
    runtime::register_at_exit();
    let Some(plugin) = plugin::find(flags) else {
        return Err(plugin::none_fits(flags));
    };
    let (id, slot) = SESSIONS.take(0)?;
    let result = open(sess, id, plugin, flags);
    if let Err(e) = result {
        clear(sess);
        SESSIONS.give_back(id);
        return Err(e);
    }
    plugin.enter();
    if choice::plugin::is_it(plugin) {
        choice::open_session(sess, slot, flags);
    }
    slot.stats.reset();
    slot.calls.reset();
    slot.set_plugin(Some(plugin));
    // SAFETY: the structure's own list head; no other thread knows the slot yet.
    unsafe { slot.entry.fill(&raw mut (*sess.as_ptr()).entry) };
    slot.session.store(sess.as_ptr(), Ordering::Release);
    log_debug!("session {id}: plugin `{}`", plugin.name());
    Ok(())
}

fn open(
    sess: Ptr<vaccel_session>,
    id: vaccel_id_t,
    plugin: &'static Plugin,
    flags: PluginType,
) -> Result {
    make_rundir(sess, id)?;
    // Never used by the library; programs of old may.
    set!(sess.resources_lock = libc::PTHREAD_MUTEX_INITIALIZER);
    set!(sess.id = id);
    set!(sess.hint = flags);
    set!(sess.is_virtio = plugin.is_transport());
    set!(sess.plugin = plugin.raw());
    attach(sess, plugin, flags).inspect_err(|_| {
        remove_rundir(sess);
    })
}

/// Tells the plugin of a new session.
fn attach(sess: Ptr<vaccel_session>, plugin: &Plugin, flags: PluginType) -> Result {
    let Some(callback) = plugin.info().session_init else {
        if plugin.is_transport() {
            fail!(
                ENOTSUP,
                "transport plugin `{}` cannot open sessions",
                plugin.name()
            );
        }
        return Ok(());
    };
    last_error::begin_call();
    // SAFETY: a function of a loaded plugin, called with an initialised session.
    let result = unsafe { callback(sess.as_ptr(), flags & !PLUGIN_REMOTE) };
    if result != 0 {
        return Err(plugin.error("opening a session", result));
    }
    Ok(())
}

/// Tells the plugin that a session is over.
pub(crate) fn detach(sess: Ptr<vaccel_session>, plugin: &Plugin) {
    if let Some(callback) = plugin.info().session_release
        && !plugin.has_ended()
    {
        last_error::begin_call();
        // SAFETY: a function of a plugin that did not end, called with an open session.
        let result = unsafe { callback(sess.as_ptr()) };
        if result != 0 {
            log_warn!("{}", plugin.error("closing a session", result));
        }
    }
}

/// Sets everything but the run folder's bytes to "nothing".
fn clear(sess: Ptr<vaccel_session>) {
    set!(sess.id = 0);
    set!(sess.remote_id = 0);
    set!(sess.hint = 0);
    set!(sess.is_virtio = false);
    set!(sess.plugin = std::ptr::null_mut());
    set!(sess.priv_ = std::ptr::null_mut());
    set!(sess.resource_counts = [0; TYPES]);
    let p = sess.as_ptr();
    // SAFETY: fields of the structure, which the caller vouches for.
    unsafe {
        (&raw mut (*p).rundir).cast::<u8>().write(0);
        link::clear(&raw mut (*p).entry);
        for t in 0..TYPES {
            link::clear(&raw mut (*p).resources[t]);
        }
    }
}

fn make_rundir(sess: Ptr<vaccel_session>, id: vaccel_id_t) -> Result {
    if !runtime::has_rundir()? {
        return Ok(()); // the field stays empty
    }
    let base = runtime::rundir()?.to_bytes();
    let p = sess.as_ptr();
    // SAFETY: the caller vouches for the structure; bytes need no initialisation
    // to be written, and only what was written is read below.
    let field =
        unsafe { std::slice::from_raw_parts_mut((&raw mut (*p).rundir).cast::<u8>(), RUNDIR_MAX) };
    let mut rest = &mut field[..];
    if rest
        .write_all(base)
        .and_then(|()| write!(rest, "/session.{id}\0"))
        .is_err()
    {
        fail!(
            ENAMETOOLONG,
            "the path of the run folder is longer than {RUNDIR_MAX} bytes"
        );
    }
    rundir::make(rundir::as_path(rundir_of(sess)))
}

/// The private folder of a session; "" when there is none.
#[must_use]
pub fn rundir_of<'a>(sess: Ptr<vaccel_session>) -> &'a CStr {
    let p = sess.as_ptr();
    // SAFETY: the field is zero-terminated since `clear` and stays so.
    unsafe { CStr::from_ptr((&raw const (*p).rundir).cast()) }
}

fn remove_rundir(sess: Ptr<vaccel_session>) {
    let path = rundir_of(sess);
    if !path.is_empty() {
        rundir::remove_all(rundir::as_path(path));
    }
}

/// `vaccel_session_new`: a malloc'ed session.
///
/// # Errors
/// `ENOMEM`, and those of [`init`].
pub fn new(flags: PluginType) -> Result<*mut vaccel_session> {
    let p = alloc::array::<vaccel_session>(1)?;
    // SAFETY: just allocated with the size and alignment of the structure.
    let result = unsafe { Ptr::new(p, "session") }.and_then(|sess| init(sess, flags));
    match result {
        Ok(()) => Ok(p),
        Err(e) => {
            // SAFETY: made above.
            unsafe { alloc::free(p) };
            Err(e)
        }
    }
}

/// `vaccel_session_release`: takes the session's resources from it and closes it.
///
/// # Errors
/// `EINVAL` when the session is not open.
pub fn release(sess: Ptr<vaccel_session>) -> Result {
    let id = get!(sess.id);
    if id <= 0 {
        fail!(
            EINVAL,
            "the session is not open: it was not initialised, or released already"
        );
    }
    let slot = slot(sess)?;
    slot.calls.end();
    let registered: Vec<_> = {
        let inner = slot.registered.lock();
        inner.resources.iter().flat_map(OrderedSet::iter).collect()
    };
    for res in registered {
        if let Some(res) = resource::by_id(vaccel_id_t::from(res))
            && let Err(e) = resource::unregister(res, sess)
        {
            log_warn!("releasing session {id}: {e}");
        }
    }
    kept::end_session(id);
    remove_rundir(sess);
    stats::report_session(sess, &slot.stats);
    let plugin = slot.plugin();
    slot.set_plugin(None);
    if let Some(plugin) = plugin {
        choice::close_session(sess, slot, plugin);
        detach(sess, plugin);
        plugin.leave();
    }
    slot.session.store(std::ptr::null_mut(), Ordering::Release);
    clear(sess);
    SESSIONS.give_back(id);
    Ok(())
}

/// `vaccel_session_delete`: releases and frees what [`new`] made.
///
/// # Errors
/// Those of [`release`]; the memory is not freed then.
pub fn delete(sess: Ptr<vaccel_session>) -> Result {
    release(sess)?;
    // SAFETY: malloc'ed, by contract of `vaccel_session_delete`.
    unsafe { alloc::free(sess.as_ptr()) };
    Ok(())
}

/// `vaccel_session_update`: new flags. A local session is given the plugin that
/// fits them, if it has no resources.
///
/// # Errors
/// `ENOTSUP` with resources registered or when no plugin fits; those of the
/// transport plugin.
pub fn update(sess: Ptr<vaccel_session>, flags: PluginType) -> Result {
    let slot = slot(sess)?;
    runtime::require_up()?;
    let Some(current) = slot.plugin() else {
        return Err(not_open(get!(sess.id)));
    };
    if current.is_transport() {
        let Some(callback) = current.info().session_update else {
            fail!(
                ENOTSUP,
                "transport plugin `{}` cannot update sessions",
                current.name()
            );
        };
        if !current.is_loaded() {
            fail!(ENODEV, "plugin `{}` was unloaded", current.name());
        }
        last_error::begin_call();
        // SAFETY: a function of a loaded plugin, called with an open session.
        let result = unsafe { callback(sess.as_ptr(), flags & !PLUGIN_REMOTE) };
        if result != 0 {
            return Err(current.error("updating a session", result));
        }
        set!(sess.hint = flags);
        return Ok(());
    }
    if slot
        .registered
        .lock()
        .resources
        .iter()
        .any(|r| !r.is_empty())
    {
        fail!(
            ENOTSUP,
            "a session with registered resources cannot change its plugin; unregister them first"
        );
    }
    let Some(next) = plugin::find(flags) else {
        return Err(plugin::none_fits(flags));
    };
    if next.is_transport() {
        fail!(
            ENOTSUP,
            "a local session cannot become a remote one; open a new session"
        );
    }
    if !std::ptr::eq(next, current) {
        kept::end_session(get!(sess.id));
        choice::close_session(sess, slot, current);
        detach(sess, current);
        set!(sess.priv_ = std::ptr::null_mut());
        set!(sess.plugin = next.raw());
        next.enter();
        slot.set_plugin(Some(next));
        current.leave();
        attach(sess, next, flags)?;
        if choice::plugin::is_it(next) {
            choice::open_session(sess, slot, flags);
        }
    }
    if choice::plugin::is_on() {
        slot.choices.forget();
    }
    set!(sess.hint = flags);
    Ok(())
}

/// `vaccel_session_set_timeout`: milliseconds, 0 for the default.
///
/// # Errors
/// `EINVAL` when the session is not open; those of the plugin.
pub fn set_timeout(sess: Ptr<vaccel_session>, milliseconds: u64) -> Result {
    let slot = slot(sess)?;
    if let Some(plugin) = slot.plugin().filter(|plugin| plugin.is_loaded())
        && let Some(callback) = plugin.ext().session_timeout
    {
        last_error::begin_call();
        // SAFETY: a function of a loaded plugin, called with an open session.
        let result = unsafe { callback(sess.as_ptr(), milliseconds) };
        if result != 0 {
            return Err(plugin.error("setting the time of a session", result));
        }
    }
    slot.calls.set_timeout(milliseconds);
    Ok(())
}

/// `vaccel_session_set_trace`: a `traceparent`, or nothing for that of the process.
///
/// # Errors
/// `EINVAL` for what is no `traceparent`, and when the session is not open; those of the plugin.
pub fn set_trace(sess: Ptr<vaccel_session>, traceparent: Option<&CStr>) -> Result {
    let slot = slot(sess)?;
    if let Some(text) = traceparent
        && !is_traceparent(text.to_bytes())
    {
        fail!(
            EINVAL,
            "`{}` is no traceparent, such as \
             00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            text.to_string_lossy().escape_debug()
        );
    }
    // One that runs calls in this process tells nobody of them.
    if let Some(plugin) = slot.plugin().filter(|plugin| plugin.is_loaded())
        && let Some(callback) = plugin.ext().session_trace
    {
        last_error::begin_call();
        let text = traceparent.map_or(std::ptr::null(), CStr::as_ptr);
        // SAFETY: a function of a loaded plugin, called with an open session and a text or null.
        let result = unsafe { callback(sess.as_ptr(), text) };
        if result != 0 {
            return Err(plugin.error("setting the trace of a session", result));
        }
    }
    Ok(())
}

/// Whether a text is what W3C Trace Context calls a `traceparent`: of version 0 in full, of later
/// ones what this has of it. Source: <https://www.w3.org/TR/trace-context/#traceparent-header>.
fn is_traceparent(text: &[u8]) -> bool {
    const LENGTH: usize = 55;
    let Some((known, rest)) = text.split_at_checked(LENGTH) else {
        return false;
    };
    let digits = |part: &[u8]| part.iter().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'));
    let parts: Vec<&[u8]> = known.split(|c| *c == b'-').collect();
    let [version, trace, span, flags] = parts[..] else {
        return false;
    };
    let lengths = [version.len(), trace.len(), span.len(), flags.len()];
    let some = |part: &[u8]| part.iter().any(|c| *c != b'0');
    let ends = rest.is_empty() || (version != b"00" && rest.starts_with(b"-"));
    lengths == [2, 32, 16, 2]
        && parts.iter().all(|part| digits(part))
        && version != b"ff"
        && some(trace)
        && some(span)
        && ends
}

/// `vaccel_session_get_by_id`.
///
/// # Errors
/// `ENOENT` when no session has this number.
pub fn get_by_id(id: vaccel_id_t) -> Result<*mut vaccel_session> {
    let found = SESSIONS
        .get(id)
        .map(|slot| slot.session.load(Ordering::Acquire));
    match found {
        Some(p) if !p.is_null() => Ok(p),
        _ => Err(err!(ENOENT, "there is no session {id}").quiet()),
    }
}
