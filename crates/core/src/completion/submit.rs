//! How calls get under way.

use super::{Callback, Completion, Job, Phase, State};
use crate::ptr::Ptr;
use crate::{Error, Result, err, lock, log_warn, op, pool};
use std::cell::{Cell, UnsafeCell};
use std::ffi::{CStr, c_char};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};
use vaccel_abi::CResult;
use vaccel_abi::completion::{CALL_WATCHED, vaccel_call, vaccel_completion};
use vaccel_abi::error as code;
use vaccel_abi::op::OpType;
use vaccel_abi::plugin::vaccel_plugin_ext;
use vaccel_abi::session::vaccel_session;

thread_local! {
    /// The call that this thread is submitting.
    static SUBMITTING: Cell<*const Completion> = const { Cell::new(std::ptr::null()) };
}

/// Notes what a call moves, when this thread is submitting one: then it is measured
/// when it is over.
pub(crate) fn measure(index: Option<usize>, bytes: impl FnOnce() -> (usize, usize)) -> bool {
    let at = SUBMITTING.with(Cell::get);
    // SAFETY: null, or alive as long as it is set; see `submit`.
    let Some(completion) = (unsafe { at.as_ref() }) else {
        return false;
    };
    if let Some(index) = index {
        let (read, written) = bytes();
        lock(&completion.state).measured = Some((index, read, written));
    }
    true
}

/// What the program says of a call.
#[derive(Debug, Default)]
pub struct Options {
    /// Milliseconds; 0 for the session's default.
    pub timeout_ms: u64,
    /// Called when it is over.
    pub callback: Option<Callback>,
}

/// Milliseconds that calls may take by the environment; 0 without a word.
fn default_timeout() -> u64 {
    static VALUE: std::sync::OnceLock<u64> = std::sync::OnceLock::new();
    *VALUE.get_or_init(|| {
        let text = std::env::var("VACCEL_TIMEOUT").unwrap_or_default();
        if text.is_empty() {
            return 0;
        }
        match text.trim().parse::<f64>() {
            Ok(seconds) if seconds > 0.0 && seconds.is_finite() => (seconds * 1000.0).ceil() as u64,
            _ => {
                log_warn!("VACCEL_TIMEOUT is ignored: `{text}` is not a number of seconds");
                0
            }
        }
    })
}

/// Submits a call. `job` is all of it. `direct` says that nothing is left to be done
/// once the plugin's function has what it was called with.
///
/// `out` has the handle before anything happens. What is wrong with the call itself is
/// its result, wherever it is noticed.
///
/// # Errors
/// `EINVAL` when the session is not open.
pub fn submit(
    sess: Ptr<vaccel_session>,
    op: OpType,
    direct: bool,
    options: Options,
    out: Ptr<*mut vaccel_completion>,
    job: impl FnOnce() -> Result + 'static,
) -> Result {
    static NUMBER: AtomicU64 = AtomicU64::new(1);
    out.write(std::ptr::null_mut());
    let slot = crate::session::slot(sess)?;
    let timeout_ms = [
        options.timeout_ms,
        slot.calls.timeout_ms.load(Ordering::Relaxed),
        default_timeout(),
    ];
    let timeout_ms = timeout_ms.into_iter().find(|&ms| ms > 0).unwrap_or(0);
    let completion = Arc::new(Completion {
        call: UnsafeCell::new(vaccel_call {
            size: size_of::<vaccel_call>(),
            timeout_ms,
            flags: if options.callback.is_some() {
                CALL_WATCHED
            } else {
                0
            },
            run: Some(run),
            done: Some(done),
            priv_: std::ptr::null_mut(),
        }),
        op,
        sess,
        calls: &slot.calls,
        number: NUMBER.fetch_add(1, Ordering::Relaxed),
        epoch: pool::epoch(),
        begun: Instant::now(),
        timeout: Duration::from_millis(timeout_ms),
        over: AtomicBool::new(false),
        state: Mutex::new(State {
            phase: Phase::Waiting(Some(Box::new(job))),
            callback: options.callback,
            event: None,
            waiters: Vec::new(),
            measured: None,
            in_plugin: 0,
            forgotten: false,
        }),
        changed: Condvar::new(),
    });
    slot.calls.enter(&completion);
    out.write(Arc::into_raw(Arc::clone(&completion)).cast_mut().cast());
    let ext = slot.plugin().filter(|p| direct && op::offered_by(p, op));
    match ext.map(|plugin| plugin.ext()) {
        Some(ext) if ext.call_cancel.is_some() && ext.call_drive.is_some() => {
            match ext.call_submit {
                Some(submit) => completion.send(ext, submit),
                None => pool::push(completion),
            }
        }
        _ => pool::push(completion),
    }
    Ok(())
}

/// `run` of a call: what the program called, up to the plugin's function.
unsafe extern "C" fn run(call: *mut vaccel_call) -> CResult {
    // SAFETY: the first field of a completion that is being submitted.
    let completion = unsafe { &*call.cast_const().cast::<Completion>() };
    let job = match &mut lock(&completion.state).phase {
        Phase::Sent(_) => SUBMITTED_JOB.with(Cell::take),
        _ => None,
    };
    let Some(job) = job else {
        return code::EINVAL;
    };
    match pool::catch(job) {
        Ok(()) => code::OK,
        Err(e) => {
            let code = e.code();
            SUBMIT_ERROR.with(|cell| cell.set(Some(e)));
            code
        }
    }
}

thread_local! {
    static SUBMITTED_JOB: Cell<Option<Job>> = const { Cell::new(None) };
    static SUBMIT_ERROR: Cell<Option<Error>> = const { Cell::new(None) };
}

/// `done` of a call.
unsafe extern "C" fn done(call: *mut vaccel_call, code: CResult, message: *const c_char) {
    // SAFETY: one count was given to the plugin, which calls this once.
    let completion = unsafe { Arc::from_raw(call.cast_const().cast::<Completion>()) };
    let result = if code == code::OK {
        Ok(())
    } else {
        let known = if code::is_known(code) {
            code
        } else {
            code::EIO
        };
        // SAFETY: a C string or null, by contract.
        let text = unsafe { crate::ptr::optional_text(message) };
        let text = text.map_or(code::describe(known).into(), CStr::to_string_lossy);
        Err(Error::new(
            known,
            format!("{}: {text}", op::name(completion.op)),
        ))
    };
    completion.finish(result);
}

impl Completion {
    /// Hands it to a plugin.
    fn send(
        self: &Arc<Self>,
        ext: &'static vaccel_plugin_ext,
        submit: vaccel_abi::completion::CallSubmitFn,
    ) {
        {
            let mut state = lock(&self.state);
            if let Phase::Waiting(job) = std::mem::replace(&mut state.phase, Phase::Sent(ext)) {
                SUBMITTED_JOB.with(|cell| cell.set(job));
            }
            state.in_plugin = 1;
        }
        let before = SUBMITTING.with(|cell| cell.replace(Arc::as_ptr(self)));
        let call: *mut vaccel_call = Arc::into_raw(Arc::clone(self)).cast_mut().cast();
        // SAFETY: a function of a loaded plugin; the session is open; the call lives until
        // it is forgotten.
        let returned = unsafe { submit(self.sess.as_ptr(), call) };
        SUBMITTING.with(|cell| cell.set(before));
        drop(SUBMITTED_JOB.with(Cell::take));
        let error = SUBMIT_ERROR.with(Cell::take);
        if returned != code::OK {
            // SAFETY: the count given above; by contract `done` is not called.
            drop(unsafe { Arc::from_raw(call.cast_const().cast::<Self>()) });
            self.finish(Err(error.unwrap_or_else(|| {
                err!(
                    EIO,
                    "{}: the plugin failed with {returned}",
                    op::name(self.op)
                )
            })));
        }
        self.leave_plugin();
    }
}
