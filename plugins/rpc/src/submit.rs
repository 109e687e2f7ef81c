//! Calls that are sent off and not waited for: the library's `call_*` functions.
//!
//! The library has the ordinary C function of the operation called in a scope of this
//! thread that says so; `call.rs` then hands the request and its outputs to the
//! connection instead of waiting.

use crate::link::{self, Link};
use crate::outputs::OutputList;
use crate::{NAME, error};
use std::cell::Cell;
use std::ffi::CString;
use std::sync::Arc;
use std::time::Duration;
use vaccel_plugin::abi::CResult;
use vaccel_plugin::abi::completion::{CALL_WATCHED, vaccel_call};
use vaccel_plugin::abi::error::{ECANCELED, EINVAL, ETIMEDOUT, OK};
use vaccel_plugin::abi::session::vaccel_session;
use vaccel_plugin::raw::guard;
use vaccel_plugin::{Result, bail};
use vaccel_transport::shm::Block;
use vaccel_transport::{CallError, Destination, Outputs, PlaceError, Sink};
use vaccel_wire::{Arg, Args, Frame};

/// A call that is being submitted by this thread.
pub(crate) struct Scope {
    call: *mut vaccel_call,
    timeout: Option<Duration>,
    sent: Cell<bool>,
}

thread_local! {
    static SCOPE: Cell<*const Scope> = const { Cell::new(std::ptr::null()) };
}

/// The scope that this thread is in; once, for only the operation itself is sent off.
pub(crate) fn enter<'s>() -> Option<&'s Scope> {
    let scope = SCOPE.with(|cell| cell.replace(std::ptr::null()));
    // SAFETY: null, or on the stack of `submit`, which waits for this thread's operation.
    unsafe { scope.as_ref() }
}

impl Scope {
    /// The time of this call, when it has one of its own.
    pub(crate) fn timeout(&self) -> Option<Duration> {
        self.timeout
    }

    /// Sends a request off; `outputs` take its reply.
    pub(crate) fn send(
        &self,
        link: &Arc<Link>,
        session: i64,
        timeout: Option<Duration>,
        frame: &mut Frame<'_, '_>,
        outputs: OutputList,
        blocks: Vec<Arc<Block>>,
    ) -> std::result::Result<(), CallError> {
        // SAFETY: the library keeps the call while it is being submitted.
        let watched = unsafe { (&raw const (*self.call).flags).read() } & CALL_WATCHED != 0;
        let flight = Box::new(Flight {
            outputs,
            call: self.call,
        });
        let connection = &link.connection;
        let request = connection.submit(frame, session, timeout, flight, blocks, watched)?;
        self.sent.set(true);
        let sent = Box::new(Sent {
            link: Arc::clone(link),
            request,
        });
        // SAFETY: as above; nobody else looks at it before this thread has returned.
        unsafe { (&raw mut (*self.call).priv_).write(Box::into_raw(sent).cast()) };
        if watched && connection.watch(request) {
            link::attend(link);
        }
        Ok(())
    }
}

/// A request in flight, as the library's call knows it.
struct Sent {
    link: Arc<Link>,
    request: u64,
}

/// The outputs of a request in flight, and whom to tell of its end.
#[derive(Debug)]
struct Flight {
    outputs: OutputList,
    call: *mut vaccel_call,
}

// SAFETY: what C promised about the memory of outputs holds for any thread until the
// call is over; `done` may be called by any.
unsafe impl Send for Flight {}

impl Outputs for Flight {
    fn place(&mut self, arg: &Arg<'_>) -> std::result::Result<Destination, PlaceError> {
        self.outputs.place(arg)
    }

    fn takes_shared(&self) -> bool {
        self.outputs.takes_shared()
    }

    fn failed(&mut self, status: i32, args: &Args<'_>, payload: &[u8]) {
        self.outputs.failed(status, args, payload);
    }
}

impl Sink for Flight {
    fn outputs(&mut self) -> &mut dyn Outputs {
        self
    }

    fn finish(mut self: Box<Self>, result: std::result::Result<(), CallError>) {
        let result = match result {
            // What is to be kept is not submitted: the library does something after it.
            Ok(()) => self.outputs.commit(|_| 0),
            Err(e) => {
                let e = error::call(&e);
                self.outputs.commit_failure(&e);
                Err(e)
            }
        };
        let call = self.call;
        // What is freed with it must be gone before the program goes on.
        drop(self);
        match result {
            Ok(()) => done(call, OK, None),
            Err(e) => done(call, e.code(), Some(e.message())),
        }
    }
}

fn done(call: *mut vaccel_call, code: CResult, text: Option<&str>) {
    let text = text.and_then(|text| CString::new(text).ok());
    let text = text.as_ref().map_or(std::ptr::null(), |text| text.as_ptr());
    // SAFETY: the library's function, called once for a call that it keeps until then.
    unsafe {
        if let Some(done) = (&raw const (*call).done).read() {
            done(call, code, text);
        }
    }
}

/// Sends a call off.
pub(crate) unsafe extern "C" fn submit(
    _session: *mut vaccel_session,
    call: *mut vaccel_call,
) -> CResult {
    if call.is_null() {
        return EINVAL;
    }
    // SAFETY: the library passes a call that lives.
    let (run, timeout_ms) = unsafe {
        (
            (&raw const (*call).run).read(),
            (&raw const (*call).timeout_ms).read(),
        )
    };
    let Some(run) = run else {
        return EINVAL;
    };
    let scope = Scope {
        call,
        timeout: (timeout_ms > 0).then(|| Duration::from_millis(timeout_ms)),
        sent: Cell::new(false),
    };
    SCOPE.with(|cell| cell.set(&raw const scope));
    // SAFETY: the library's function, with its own call.
    let code = unsafe { run(call) };
    SCOPE.with(|cell| cell.set(std::ptr::null()));
    if scope.sent.get() {
        return OK;
    }
    if code == OK {
        // It was over at once.
        done(call, OK, None);
    }
    code
}

/// What was sent for a call.
///
/// # Safety
/// The library's call, not forgotten.
unsafe fn sent<'s>(call: *mut vaccel_call) -> Result<&'s Sent> {
    if call.is_null() {
        bail!(EINVAL, "the call is null");
    }
    // SAFETY: made by `send`, and freed by `forget`.
    match unsafe { (&raw const (*call).priv_).read().cast::<Sent>().as_ref() } {
        Some(sent) => Ok(sent),
        None => bail!(EINVAL, "the call was not sent"),
    }
}

/// Ends a call.
pub(crate) unsafe extern "C" fn cancel(call: *mut vaccel_call) -> CResult {
    guard(NAME, "cancel", || {
        // SAFETY: as the library promises.
        let sent = unsafe { sent(call) }?;
        sent.link.connection.cancel(sent.request);
        Ok(())
    })
}

/// Lets calls go on until this one is over.
pub(crate) unsafe extern "C" fn drive(call: *mut vaccel_call, timeout_ms: u64) -> CResult {
    // SAFETY: as the library promises.
    match unsafe { sent(call) } {
        Ok(sent) => {
            let time = Duration::from_millis(timeout_ms);
            if sent.link.connection.drive(sent.request, time) {
                OK
            } else {
                ETIMEDOUT
            }
        }
        Err(_) => ECANCELED,
    }
}

/// The end of a call is to be noticed.
pub(crate) unsafe extern "C" fn watch(call: *mut vaccel_call) -> CResult {
    guard(NAME, "watch", || {
        // SAFETY: as the library promises.
        let sent = unsafe { sent(call) }?;
        if sent.link.connection.watch(sent.request) {
            link::attend(&sent.link);
        }
        Ok(())
    })
}

/// Nobody asks for a call any more.
pub(crate) unsafe extern "C" fn forget(call: *mut vaccel_call) -> CResult {
    if call.is_null() {
        return EINVAL;
    }
    // SAFETY: the library's call; `priv` is null, or was made by `send`.
    unsafe {
        let at = (&raw mut (*call).priv_).replace(std::ptr::null_mut());
        if !at.is_null() {
            drop(Box::from_raw(at.cast::<Sent>()));
        }
    }
    OK
}
