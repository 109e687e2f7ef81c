//! What a session of the library has at the agent, and how it gets it back.
//!
//! A connection that breaks takes the agent's session, resources and loaded models with
//! it. The next call notices, connects anew, opens a session, sends the resources
//! again from what is here (files, memory of the program) and loads the models
//! again; then it goes on as if nothing had been.

use crate::call;
use crate::link::{self, lock};
use crate::resource;
use crate::session::Session;
use std::ffi::CString;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use vaccel_plugin::abi::arg::{ARG_CHAR_ARRAY, ARG_UINT8};
use vaccel_plugin::abi::op;
use vaccel_plugin::abi::resource::vaccel_resource;
use vaccel_plugin::abi::session::vaccel_session;
use vaccel_plugin::{Error, Result, bail, err};
use vaccel_transport::fork;
use vaccel_wire::Trace;
use vaccel_wire::control::SESSION_CLOSE;

/// How often a session is opened again for one call when connections keep breaking.
const ATTEMPTS: usize = 3;

/// What the plugin keeps of a session, in its `priv`.
#[derive(Debug)]
pub(crate) struct Held {
    epoch: u64,
    flags: AtomicU32,
    /// Milliseconds that a call may take; 0 for what the environment says.
    timeout_ms: AtomicU64,
    /// The program has said which span calls are made in; only then the next is looked at.
    has_trace: AtomicBool,
    trace: Mutex<Option<Trace>>,
    current: Mutex<Arc<Session>>,
    /// Locked while it is being sent again.
    kept: Mutex<Vec<Kept>>,
}

/// A resource that is registered with the session.
#[derive(Debug)]
struct Kept {
    id: i64,
    /// The library's structure, which is there as long as it is registered.
    resource: Resource,
    loaded: Option<Load>,
}

#[derive(Debug, Clone, Copy)]
struct Resource(*mut vaccel_resource);

// SAFETY: the library's structures may be read from any thread.
unsafe impl Send for Resource {}

/// How a model was loaded.
#[derive(Debug, Clone)]
pub(crate) struct Load {
    code: u32,
    options: Option<CString>,
}

impl Load {
    /// The operation, and the options of the neutral interface.
    pub(crate) fn new(code: u32, options: Option<CString>) -> Self {
        Self { code, options }
    }
}

impl Held {
    pub(crate) fn new(session: Session, flags: u32) -> Self {
        Self {
            epoch: fork::epoch(),
            flags: AtomicU32::new(flags),
            timeout_ms: AtomicU64::new(0),
            has_trace: AtomicBool::new(false),
            trace: Mutex::default(),
            current: Mutex::new(Arc::new(session)),
            kept: Mutex::default(),
        }
    }

    /// The plugin's part of a session.
    ///
    /// # Safety
    /// `session` is null or a session that was opened and not yet released.
    pub(crate) unsafe fn of<'a>(session: *mut vaccel_session) -> Result<&'a Self> {
        if session.is_null() {
            bail!(EINVAL, "the session is null");
        }
        // SAFETY: a live session; its `priv` was set by `init` or is null.
        unsafe { (&raw const (*session).priv_).read().cast::<Self>().as_ref() }
            .ok_or_else(|| err!(ESESS, "the session has no connection to an agent"))
    }

    /// The session belongs to a parent process, whose locks may be held for ever.
    pub(crate) fn is_foreign(&self) -> bool {
        self.epoch != fork::epoch()
    }

    /// The agent's session as it is, where there is one.
    pub(crate) fn now(&self) -> Option<Arc<Session>> {
        if self.is_foreign() {
            return None;
        }
        let session = Arc::clone(&lock(&self.current));
        session.link.connection.is_usable().then_some(session)
    }

    /// The agent's session, opened again when it was lost.
    ///
    /// # Safety
    /// `raw` is the session that this belongs to.
    pub(crate) unsafe fn live(&self, raw: *mut vaccel_session) -> Result<Arc<Session>> {
        if self.is_foreign() {
            bail!(
                ESESS,
                "the session belongs to the parent process: open a new one after fork()"
            );
        }
        let session = Arc::clone(&lock(&self.current));
        if session.link.is_there() {
            return Ok(session);
        }
        let session = self.restore()?;
        // SAFETY: the library's structure, which other threads may read.
        unsafe { AtomicI64::from_ptr(&raw mut (*raw).remote_id) }
            .store(session.number, Ordering::Relaxed);
        Ok(session)
    }

    fn restore(&self) -> Result<Arc<Session>> {
        // Others who need the session wait here, and find it restored.
        let kept = lock(&self.kept);
        let lost = Arc::clone(&lock(&self.current));
        if lost.link.is_there() {
            return Ok(lost);
        }
        link::lose(&lost.link);
        let mut attempt = 1;
        loop {
            let fresh = Session::open(self.flags.load(Ordering::Relaxed))?;
            let Err(error) = send_again(&fresh, &kept) else {
                let fresh = Arc::new(fresh);
                *lock(&self.current) = Arc::clone(&fresh);
                return Ok(fresh);
            };
            if fresh.link.connection.is_usable() {
                // The connection is not to blame, and others may use it.
                let _ = call::run(&fresh.link, fresh.number, SESSION_CLOSE, |_| Ok(()));
                fresh.link.forget_session(fresh.number);
                return Err(error);
            }
            link::lose(&fresh.link);
            if attempt == ATTEMPTS {
                return Err(error);
            }
            attempt += 1;
        }
    }

    /// The time of a call, when the program has set one.
    pub(crate) fn timeout(&self) -> Option<Duration> {
        let milliseconds = self.timeout_ms.load(Ordering::Relaxed);
        (milliseconds > 0).then(|| Duration::from_millis(milliseconds))
    }

    pub(crate) fn set_timeout(&self, milliseconds: u64) {
        self.timeout_ms.store(milliseconds, Ordering::Relaxed);
    }

    /// The span of a call, when the program has set one.
    pub(crate) fn trace(&self) -> Option<Trace> {
        match self.has_trace.load(Ordering::Relaxed) {
            true => *lock(&self.trace),
            false => None,
        }
    }

    pub(crate) fn set_trace(&self, trace: Option<Trace>) {
        let mut own = lock(&self.trace);
        *own = trace;
        self.has_trace.store(trace.is_some(), Ordering::Relaxed);
    }

    pub(crate) fn set_flags(&self, flags: u32) {
        self.flags.store(flags, Ordering::Relaxed);
    }

    /// A resource is registered with the session from now on.
    pub(crate) fn keep(&self, id: i64, resource: *mut vaccel_resource) {
        let mut kept = lock(&self.kept);
        match kept.iter_mut().find(|kept| kept.id == id) {
            Some(known) => known.resource = Resource(resource),
            None => kept.push(Kept {
                id,
                resource: Resource(resource),
                loaded: None,
            }),
        }
    }

    /// A resource is not registered any more.
    pub(crate) fn forget(&self, id: i64) {
        lock(&self.kept).retain(|kept| kept.id != id);
    }

    /// The model of a resource is loaded, or no more.
    pub(crate) fn set_loaded(&self, id: i64, load: Option<Load>) {
        if let Some(kept) = lock(&self.kept).iter_mut().find(|kept| kept.id == id) {
            kept.loaded = load;
        }
    }
}

fn send_again(session: &Session, kept: &[Kept]) -> Result<()> {
    for Kept {
        id,
        resource,
        loaded,
    } in kept
    {
        // SAFETY: it is registered, and so it is live.
        let sent = unsafe { resource::send(session, *id, resource.0) };
        sent.and_then(|()| {
            loaded
                .as_ref()
                .map_or(Ok(()), |load| reload(session, *id, load))
        })
        .map_err(|e: Error| {
            e.context(format!(
                "the connection was lost, and resource {id} cannot be brought back"
            ))
        })?;
    }
    Ok(())
}

fn reload(session: &Session, id: i64, load: &Load) -> Result<()> {
    let number = session
        .link
        .number(id)
        .ok_or_else(|| link::not_registered(id))?;
    // Codes of operations are below 256.
    call::run(&session.link, session.number, load.code as u16, |call| {
        call.scalar(number);
        if load.code == op::OP_TF_MODEL_LOAD {
            call.out_status(ARG_UINT8, ARG_CHAR_ARRAY);
        }
        match &load.options {
            // SAFETY: a C string that outlives the call.
            Some(options) => unsafe { call.text(options.as_ptr(), "options") },
            None => Ok(()),
        }
    })
}
