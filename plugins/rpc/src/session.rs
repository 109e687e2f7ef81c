//! Sessions: each has one of the agent's.

use crate::call;
use crate::held::Held;
use crate::link::{self, Link};
use crate::{NAME, error};
use std::ffi::{CStr, c_char};
use std::sync::Arc;
use vaccel_plugin::abi::CResult;
use vaccel_plugin::abi::arg::ARG_INT64;
use vaccel_plugin::abi::error::ETIMEDOUT;
use vaccel_plugin::abi::session::vaccel_session;
use vaccel_plugin::raw::guard;
use vaccel_plugin::{Error, Result, bail, err};
use vaccel_wire::Trace;
use vaccel_wire::control::{SESSION_CLOSE, SESSION_OPEN, SESSION_UPDATE};

/// A session of the agent's, on one connection.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) link: Arc<Link>,
    /// The agent's number.
    pub(crate) number: i64,
}

impl Session {
    pub(crate) fn open(flags: u32) -> Result<Self> {
        let link = link::get()?;
        match Self::open_on(&link, flags) {
            // The agent went away while nothing was asked of it: once more.
            Err(_) if !link.connection.is_usable() => {
                link::lose(&link);
                Self::open_on(&link::get()?, flags)
            }
            // A connection on which an agent does not even open a session may be
            // stuck: the next session gets another.
            Err(e) if e.code() == ETIMEDOUT => {
                link::lose(&link);
                Err(e)
            }
            result => result,
        }
    }

    fn open_on(link: &Arc<Link>, flags: u32) -> Result<Self> {
        let mut number = 0_i64;
        call::run(link, 0, SESSION_OPEN, |call| {
            call.scalar(flags);
            call.out_exact(ARG_INT64, &raw mut number);
            Ok(())
        })?;
        if number <= 0 {
            return Err(odd_number("session", number));
        }
        Ok(Self {
            link: Arc::clone(link),
            number,
        })
    }
}

/// The error for a number that the library cannot use.
pub(crate) fn odd_number(what: &str, number: i64) -> Error {
    err!(
        EREMOTEIO,
        "the agent gave the number {number} to a {what}; numbers are positive"
    )
}

/// Opens a session of the agent; sets `remote_id`.
pub(crate) unsafe extern "C" fn init(session: *mut vaccel_session, flags: u32) -> CResult {
    guard(NAME, "session", || {
        if session.is_null() {
            bail!(EINVAL, "the session is null");
        }
        let opened = Session::open(flags)?;
        // SAFETY: the caller's structure, which may hold anything before.
        unsafe {
            (&raw mut (*session).remote_id).write(opened.number);
            let held = Box::new(Held::new(opened, flags));
            (&raw mut (*session).priv_).write(Box::into_raw(held).cast());
        }
        Ok(())
    })
}

/// Closes it. Whatever the agent says, nothing is left here.
pub(crate) unsafe extern "C" fn release(session: *mut vaccel_session) -> CResult {
    guard(NAME, "session", || {
        if session.is_null() {
            bail!(EINVAL, "the session is null");
        }
        // SAFETY: a live session.
        let at = unsafe { (&raw mut (*session).priv_).replace(std::ptr::null_mut()) };
        if at.is_null() {
            return Ok(());
        }
        // SAFETY: made by `init` and taken out once.
        let held = unsafe { Box::from_raw(at.cast::<Held>()) };
        // Else the agent's session went with the connection. In a child of fork
        // the rest belongs to the parent.
        let Some(own) = held.now() else {
            return Ok(());
        };
        let result = call::run(&own.link, own.number, SESSION_CLOSE, |_| Ok(()));
        own.link.forget_session(own.number);
        if own.link.connection.is_usable() {
            result
        } else {
            Ok(())
        }
    })
}

/// Changes its flags.
pub(crate) unsafe extern "C" fn update(session: *mut vaccel_session, flags: u32) -> CResult {
    guard(NAME, "session", || {
        // SAFETY: the library passes live sessions.
        let held = unsafe { Held::of(session) }?;
        // SAFETY: as above.
        let own = unsafe { held.live(session) }?;
        call::run(&own.link, own.number, SESSION_UPDATE, |call| {
            call.scalar(flags);
            Ok(())
        })?;
        held.set_flags(flags);
        Ok(())
    })
}

/// Sets how long its calls may take.
pub(crate) unsafe extern "C" fn timeout(session: *mut vaccel_session, timeout_ms: u64) -> CResult {
    guard(NAME, "session", || {
        // SAFETY: the library passes live sessions.
        unsafe { Held::of(session) }?.set_timeout(timeout_ms);
        Ok(())
    })
}

/// Sets the span that its calls are made in.
pub(crate) unsafe extern "C" fn trace(
    session: *mut vaccel_session,
    traceparent: *const c_char,
) -> CResult {
    guard(NAME, "session", || {
        // SAFETY: the library passes live sessions.
        let held = unsafe { Held::of(session) }?;
        if traceparent.is_null() {
            held.set_trace(None);
            return Ok(());
        }
        // SAFETY: the library passes a text or null.
        let text = unsafe { CStr::from_ptr(traceparent) };
        let trace = text.to_str().ok().and_then(Trace::parse);
        let Some(trace) = trace else {
            bail!(EINVAL, "{text:?} is no traceparent");
        };
        held.set_trace(Some(trace));
        Ok(())
    })
}

/// What the agent says of itself, as JSON text.
pub(crate) fn ask_about(link: &Arc<Link>) -> Result<Vec<u8>> {
    let mut collect = vaccel_transport::Collect::default();
    let mut buffer = vaccel_wire::FrameBuffer::new();
    let mut builder = buffer.request(vaccel_wire::control::DESCRIBE);
    builder.write_allocate(vaccel_plugin::abi::arg::ARG_BUFFER);
    let mut frame = builder
        .finish()
        .map_err(|e| Error::new(e.code(), e.to_string()))?;
    let timeout = link::settings()?.options.connect_timeout;
    link.connection
        .call(&mut frame, 0, Some(timeout), &mut collect)
        .map_err(|e| error::call(&e))?;
    Ok(collect.outputs.pop().unwrap_or_default())
}
