//! Plugins: loading, what they offer, choosing one for a session.

use crate::link::{self, Marker};
use crate::ptr::Ptr;
use crate::{
    Error, Result, err, fail, get, last_error, lock, log_debug, log_info, log_warn, ptr, set,
    version,
};
use std::ffi::c_void;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use vaccel_abi::error as code;
use vaccel_abi::op::{OP_MAX, OpType, vaccel_op};
use vaccel_abi::plugin::{
    PLUGIN_REMOTE, PluginType, vaccel_plugin, vaccel_plugin_ext, vaccel_plugin_info,
};

/// A plugin that was loaded at some time. Never freed: a session that outlives
/// its plugin can still ask what became of it.
#[derive(Debug)]
pub struct Plugin {
    raw: AtomicPtr<vaccel_plugin>,
    name: String,
    version: String,
    path: String,
    handle: AtomicPtr<c_void>,
    info: vaccel_plugin_info,
    ext: OnceLock<vaccel_plugin_ext>,
    loaded: AtomicBool,
    /// Its `fini` was called, or is to be called by nobody else any more.
    ended: AtomicBool,
    sessions: AtomicUsize,
    /// It said once that it can work.
    ready: AtomicBool,
    marker: Marker,
}

// SAFETY: `info` and `ext` hold addresses of functions and strings of a shared
// library that stays mapped while `loaded` is set; the rest is atomic.
unsafe impl Sync for Plugin {}
// SAFETY: as above.
unsafe impl Send for Plugin {}

static PLUGINS: RwLock<Vec<&'static Plugin>> = RwLock::new(Vec::new());
/// All that were ever loaded, so that leak checkers see that somebody knows them.
static EVER: Mutex<Vec<&'static Plugin>> = Mutex::new(Vec::new());

fn read() -> RwLockReadGuard<'static, Vec<&'static Plugin>> {
    PLUGINS.read().unwrap_or_else(PoisonError::into_inner)
}

fn write() -> RwLockWriteGuard<'static, Vec<&'static Plugin>> {
    PLUGINS.write().unwrap_or_else(PoisonError::into_inner)
}

impl Plugin {
    /// The structure that the plugin exports.
    #[must_use]
    pub fn raw(&self) -> *mut vaccel_plugin {
        self.raw.load(Ordering::Relaxed)
    }

    /// Short name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The plugin's own version.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Where it was loaded from.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What the plugin says of itself.
    #[must_use]
    pub fn info(&self) -> &vaccel_plugin_info {
        &self.info
    }

    /// Operations beyond the fixed table; all slots null when there is no such table.
    #[must_use]
    pub fn ext(&self) -> &vaccel_plugin_ext {
        static NOTHING: vaccel_plugin_ext = EMPTY_EXT;
        self.ext.get().unwrap_or(&NOTHING)
    }

    /// Takes the operations beyond the fixed table from the plugin's own table.
    pub(crate) fn offer(&self, table: *const vaccel_plugin_ext) {
        let _ = self.ext.set(read_ext(table));
    }

    /// True for a transport.
    #[must_use]
    pub fn is_transport(&self) -> bool {
        self.info.is_virtio
    }

    /// False once the plugin was unloaded: none of its functions may be called.
    #[must_use]
    pub fn is_loaded(&self) -> bool {
        self.loaded.load(Ordering::Acquire)
    }

    /// The operations of the fixed table that it offers.
    #[must_use]
    pub fn ops(&self) -> Vec<OpType> {
        (0..OP_MAX).filter(|&op| self.offers(op)).collect()
    }

    /// True when a slot of the fixed table is filled.
    #[must_use]
    pub fn offers(&self, op: OpType) -> bool {
        if !self.is_loaded() || op >= OP_MAX {
            return false;
        }
        // SAFETY: a loaded plugin's structure is mapped.
        unsafe { !(*self.raw()).ops[op as usize].is_null() }
    }

    /// True when it said once that it can work.
    pub(crate) fn was_ready(&self) -> bool {
        self.ready.load(Ordering::Relaxed)
    }

    /// Notes that it can work.
    pub(crate) fn set_ready(&self) {
        self.ready.store(true, Ordering::Relaxed);
    }

    /// Counts a session that uses this plugin.
    pub(crate) fn enter(&self) {
        self.sessions.fetch_add(1, Ordering::AcqRel);
    }

    /// Counts a session that no longer does. The last one ends a plugin that was
    /// unloaded meanwhile.
    pub(crate) fn leave(&self) {
        if self.sessions.fetch_sub(1, Ordering::SeqCst) == 1 && !self.loaded.load(Ordering::SeqCst)
        {
            self.end();
        }
    }

    /// True once its `fini` ran: not even sessions can be taken from it any more.
    /// Between [`is_loaded`](Self::is_loaded) and this, open sessions can be
    /// released and do nothing else.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// Calls `fini`, once.
    fn end(&self) {
        if !self.ended.swap(true, Ordering::SeqCst) {
            self.fini();
        }
    }

    /// The error for a code that one of the plugin's functions returned.
    #[cold]
    pub fn error(&self, what: &str, returned: i32) -> Error {
        let known = if returned != 0 && code::is_known(returned) {
            returned
        } else {
            code::EIO
        };
        match last_error::take_from_plugin() {
            Some(text) => Error::new(known, format!("{what}: {text}")),
            None => Error::new(
                known,
                format!(
                    "{what}: plugin `{}` failed with {returned} ({}, {})",
                    self.name,
                    code::name(returned),
                    code::describe(returned)
                ),
            ),
        }
    }

    fn fini(&self) {
        if let Some(fini) = self.info.fini {
            // SAFETY: the plugin is still mapped and offers this for the purpose.
            let result = unsafe { fini() };
            if result != 0 {
                log_warn!("plugin `{}` did not end cleanly: {result}", self.name);
            }
        }
    }
}

const EMPTY_EXT: vaccel_plugin_ext = vaccel_plugin_ext {
    size: 0,
    version: 0,
    model_load: None,
    model_unload: None,
    model_run: None,
    model_info: None,
    describe: None,
    buffer_alloc: None,
    buffer_free: None,
    tensor_keep: None,
    tensor_fetch: None,
    tensor_free: None,
    call_submit: None,
    call_cancel: None,
    call_drive: None,
    call_watch: None,
    call_forget: None,
    session_timeout: None,
    model_judge: None,
    session_trace: None,
};

/// Copies as much of a table as it says there is.
fn read_ext(table: *const vaccel_plugin_ext) -> vaccel_plugin_ext {
    let mut ext = EMPTY_EXT;
    if table.is_null() {
        return ext;
    }
    // SAFETY: the first field of every version is the size; as many bytes are
    // there, and null is a valid value of every slot.
    unsafe {
        let size = (&raw const (*table).size).read();
        let size = size.min(size_of::<vaccel_plugin_ext>());
        std::ptr::copy_nonoverlapping(table.cast::<u8>(), (&raw mut ext).cast::<u8>(), size);
    }
    ext
}

/// Takes a plugin that is in memory already: checks it, lists it, starts it.
///
/// # Errors
/// As [`load`], without those about files.
pub fn register(
    raw: Ptr<vaccel_plugin>,
    path: String,
    handle: *mut c_void,
    version_ignore: bool,
) -> Result<&'static Plugin> {
    let plugin = check(raw, path, handle, version_ignore)?;
    // An earlier life of it that waited for its sessions ends before the next begins.
    let before = lock(&EVER).clone();
    for earlier in before {
        if !std::ptr::eq(earlier, plugin) && earlier.raw() == raw.as_ptr() && !earlier.is_loaded() {
            earlier.end();
        }
    }
    {
        let mut plugins = write();
        if plugins.iter().any(|p| p.raw() == raw.as_ptr()) {
            fail!(EEXIST, "plugin `{}` is loaded already", plugin.name);
        }
        plugins.push(plugin);
        // SAFETY: the plugin's structure is mapped and ours to link.
        unsafe { plugin.marker.fill(&raw mut (*raw.as_ptr()).entry) };
        set!(raw.dl_handle = handle);
    }
    let result = match plugin.info.init {
        // SAFETY: the plugin offers this function for the purpose.
        Some(init) => unsafe { init() },
        None => code::EINVAL,
    };
    if result != 0 {
        let e = plugin.error("init", result);
        forget(plugin);
        plugin.end();
        return Err(e);
    }
    log_info!("loaded plugin {} {}", plugin.name, plugin.version);
    Ok(plugin)
}

fn check(
    raw: Ptr<vaccel_plugin>,
    path: String,
    handle: *mut c_void,
    version_ignore: bool,
) -> Result<&'static Plugin> {
    // SAFETY: the structure of a plugin points at its description.
    let info = unsafe { Ptr::new(get!(raw.info), "vaccel_plugin->info")? };
    // SAFETY: strings of the plugin, zero-terminated and constant.
    let text = |p| unsafe { ptr::optional_text(p) }.map(|t| t.to_string_lossy().into_owned());
    let Some(name) = text(get!(info.name)) else {
        fail!(EINVAL, "it has no name");
    };
    let Some(version) = text(get!(info.version)) else {
        fail!(EINVAL, "plugin `{name}` has no version");
    };
    if get!(info.init).is_none() || get!(info.fini).is_none() {
        fail!(EINVAL, "plugin `{name}` lacks its init or fini function");
    }
    if !version_ignore {
        let wanted = text(get!(info.vaccel_version));
        if !version::check(wanted.as_deref(), version::VERSION)? {
            log_warn!(
                "plugin `{name}` was made for vaccel {}, this is {}",
                wanted.unwrap_or_default(),
                version::VERSION
            );
        }
    }
    let plugin: &'static Plugin = Box::leak(Box::new(Plugin {
        raw: AtomicPtr::new(raw.as_ptr()),
        name,
        version,
        path,
        handle: AtomicPtr::new(handle),
        info: info.read(),
        ext: OnceLock::new(),
        loaded: AtomicBool::new(true),
        ended: AtomicBool::new(false),
        sessions: AtomicUsize::new(0),
        ready: AtomicBool::new(false),
        marker: Marker::default(),
    }));
    lock(&EVER).push(plugin);
    Ok(plugin)
}

/// Takes a plugin off the list; its operations are gone from then on.
fn forget(plugin: &'static Plugin) {
    plugin.loaded.store(false, Ordering::SeqCst);
    write().retain(|p| !std::ptr::eq(*p, plugin));
    let raw = plugin.raw();
    // SAFETY: still mapped; the structure is the library's to fill and clear.
    unsafe {
        for op in 0..OP_MAX as usize {
            let slot = AtomicPtr::from_ptr(&raw mut (*raw).ops[op]);
            slot.store(std::ptr::null_mut(), Ordering::Release);
        }
        link::clear(&raw mut (*raw).entry);
    }
}

/// Unloads all plugins. One that sessions still use stays mapped, without
/// operations, and ends when the last of them is released; when the process is
/// ending, all stay mapped and end now.
pub fn unload_all(at_exit: bool) {
    let plugins: Vec<_> = read().clone();
    for plugin in plugins {
        forget(plugin);
        let sessions = plugin.sessions.load(Ordering::SeqCst);
        if sessions == 0 || at_exit {
            plugin.end();
        }
        if sessions > 0 {
            log_debug!(
                "plugin `{}` stays mapped: {sessions} sessions are still open",
                plugin.name
            );
        } else if !at_exit {
            let handle = plugin.handle.swap(std::ptr::null_mut(), Ordering::AcqRel);
            plugin.raw.store(std::ptr::null_mut(), Ordering::Release);
            if !handle.is_null() {
                // SAFETY: ours since `load`, and nothing refers to it any more.
                unsafe { libc::dlclose(handle) };
            }
        }
    }
}

/// `vaccel_plugin_register_ops`: fills the slots of the plugin that owns them.
///
/// # Errors
/// `EINVAL` for a number of operations out of range, an unknown operation, a
/// null function, and an owner that is not a loaded plugin.
pub fn register_ops(ops: Ptr<vaccel_op>, count: usize) -> Result {
    if count == 0 || count > OP_MAX as usize {
        fail!(EINVAL, "{count} operations; a plugin has 1 to {OP_MAX}");
    }
    // SAFETY: the plugin vouches for `count` operations, which live as long as it.
    let list = unsafe { std::slice::from_raw_parts(ops.as_ptr(), count) };
    let owner = list[0].owner;
    let plugins = write();
    let Some(plugin) = plugins.iter().find(|p| p.raw() == owner) else {
        fail!(EINVAL, "the owner of the operations is not a loaded plugin");
    };
    for op in list {
        if op.type_ >= OP_MAX {
            fail!(
                EINVAL,
                "plugin `{}` registers operation {}, the last is {}",
                plugin.name,
                op.type_,
                OP_MAX - 1
            );
        }
        if op.func.is_null() || op.owner != owner {
            fail!(
                EINVAL,
                "plugin `{}`: operation {} has no function or another owner",
                plugin.name,
                op.type_
            );
        }
    }
    for (i, op) in list.iter().enumerate() {
        // SAFETY: the owner is a listed plugin, its structure is mapped and the
        // index was checked above.
        unsafe {
            let slot = AtomicPtr::from_ptr(&raw mut (*owner).ops[op.type_ as usize]);
            slot.store(ops.as_ptr().add(i), Ordering::Release);
        }
    }
    Ok(())
}

/// The plugin for a session with these flags: with `PLUGIN_REMOTE` the first
/// transport, else the first whose type has one of the bits, else the first
/// that is no transport, else the only one.
#[must_use]
pub fn find(hint: PluginType) -> Option<&'static Plugin> {
    let plugins = read();
    if hint & PLUGIN_REMOTE != 0 {
        return plugins.iter().copied().find(|p| p.is_transport());
    }
    plugins
        .iter()
        .copied()
        .find(|p| p.info.type_ & hint != 0)
        .or_else(|| plugins.iter().copied().find(|p| !p.is_transport()))
        .or_else(|| match plugins.as_slice() {
            [only] => Some(*only),
            _ => None,
        })
}

/// All loaded plugins, in the order of loading.
#[must_use]
pub fn all() -> Vec<&'static Plugin> {
    read().clone()
}

/// The loaded plugin behind a pointer.
#[must_use]
pub fn by_raw(raw: *const vaccel_plugin) -> Option<&'static Plugin> {
    read().iter().copied().find(|p| p.raw().cast_const() == raw)
}

/// The names of the loaded plugins that satisfy a condition, for messages.
#[must_use]
pub fn names(condition: impl Fn(&Plugin) -> bool) -> String {
    let plugins = read();
    let names: Vec<_> = plugins
        .iter()
        .filter(|p| condition(p))
        .map(|p| format!("`{}`", p.name))
        .collect();
    names.join(", ")
}

/// The error when no plugin fits a session's flags.
#[cold]
#[must_use]
pub fn none_fits(hint: PluginType) -> Error {
    let loaded = names(|_| true);
    if loaded.is_empty() {
        return err!(
            ENOTSUP,
            "no plugin is loaded; name one in VACCEL_PLUGINS, for example VACCEL_PLUGINS=noop"
        );
    }
    if hint & PLUGIN_REMOTE != 0 {
        return err!(
            ENOTSUP,
            "no transport plugin is loaded (loaded: {loaded}); add `rpc` to VACCEL_PLUGINS"
        );
    }
    err!(
        ENOTSUP,
        "no plugin fits the session's flags {hint:#x} (loaded: {loaded})"
    )
}

pub use crate::load::{load, load_missing, parse_and_load};
