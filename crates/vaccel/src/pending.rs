//! Calls under way, as futures.

use std::ffi::{CString, c_void};
use std::future::Future;
use std::pin::Pin;
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use vaccel_abi::CResult;
use vaccel_abi::completion::{vaccel_async_options, vaccel_completion};
use vaccel_abi::error;

use crate::compute::{Minmax, Sgemm};
use crate::error::{Error, Result};
use crate::session::Session;

/// A call under way: a future of its result, for any executor, or to be waited for.
///
/// What the call works on is its own: dropping it cancels the call. Over a transport that
/// is at once; what runs in this process already is waited for.
///
/// ```no_run
/// # fn main() -> vaccel::Result<()> {
/// let session = vaccel::Session::new()?;
/// let calls: Vec<_> = (0..64).map(|_| session.noop_async()).collect::<Result<_, _>>()?;
/// for call in calls {
///     call.wait()?;
/// }
/// # Ok(())
/// # }
/// ```
#[must_use = "a call that is dropped is cancelled"]
pub struct Pending<T> {
    handle: NonNull<vaccel_completion>,
    notice: Arc<Notice>,
    /// What the call was given, and what becomes of it; none once that was taken.
    finish: Option<Box<dyn FnOnce() -> Result<T> + Send>>,
    session: Session,
    what: &'static str,
}

// SAFETY: the library's completions may be used from any thread; the rest is `Send`.
unsafe impl<T> Send for Pending<T> {}
// SAFETY: shared access asks the library, which takes calls from any thread.
unsafe impl<T> Sync for Pending<T> {}
// Nothing is pinned: what a call works on lies elsewhere.
impl<T> Unpin for Pending<T> {}

/// Whom to wake.
#[derive(Default)]
struct Notice(Mutex<Option<Waker>>);

impl Notice {
    fn set(&self, waker: Option<Waker>) -> Option<Waker> {
        let mut place = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut place, waker)
    }
}

/// The library says that a call is over: once for each.
unsafe extern "C" fn completed(_completion: *mut vaccel_completion, arg: *mut c_void) {
    // SAFETY: the count that `start` gave away.
    let notice = unsafe { Arc::from_raw(arg.cast_const().cast::<Notice>()) };
    if let Some(waker) = notice.set(None) {
        // A panic must not get into the library.
        let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| waker.wake()));
    }
}

/// Submits a call: `submit` is the C function with its arguments, which `finish` owns.
///
/// # Safety
/// What the arguments point at must stay where it is as long as `finish` lives.
pub(crate) unsafe fn start<T>(
    session: &Session,
    what: &'static str,
    finish: impl FnOnce() -> Result<T> + Send + 'static,
    submit: impl FnOnce(*const vaccel_async_options, *mut *mut vaccel_completion) -> CResult,
) -> Result<Pending<T>> {
    let notice = Arc::new(Notice::default());
    let options = vaccel_async_options {
        size: size_of::<vaccel_async_options>(),
        timeout_ms: 0,
        completed: Some(completed),
        arg: Arc::into_raw(Arc::clone(&notice)).cast_mut().cast(),
    };
    let mut handle = std::ptr::null_mut();
    let code = submit(&raw const options, &raw mut handle);
    let started = session.library().check(what, code);
    let handle = match (started, NonNull::new(handle)) {
        (Ok(()), Some(handle)) => handle,
        (started, _) => {
            // SAFETY: there is no call, so nobody will say that it is over.
            drop(unsafe { Arc::from_raw(options.arg.cast_const().cast::<Notice>()) });
            started?;
            return Err(Error::new(error::EFAULT, "the library gave no completion"));
        }
    };
    Ok(Pending {
        handle,
        notice,
        finish: Some(Box::new(finish)),
        session: session.clone(),
        what,
    })
}

impl<T> Pending<T> {
    /// Calls a function of completions; `ENOTSUP` cannot be, for there is one.
    fn ask(
        &self,
        function: Option<unsafe extern "C" fn(*mut vaccel_completion) -> CResult>,
    ) -> CResult {
        // SAFETY: the completion lives.
        function.map_or(error::ENOTSUP, |ask| unsafe { ask(self.handle.as_ptr()) })
    }

    /// Whether the call is over; lets it go on.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.ask(self.session.library().functions().completion_poll) != error::EINPROGRESS
    }

    /// Ends the call: its result is `ECANCELED`, unless it was over already.
    ///
    /// # Errors
    /// `EBUSY` when it runs in this process and cannot be stopped.
    pub fn cancel(&self) -> Result<()> {
        let library = self.session.library();
        library.check(self.what, self.ask(library.functions().completion_cancel))
    }

    /// Waits for the result.
    ///
    /// # Errors
    /// Those of the operation; `ETIMEDOUT`; `ECANCELED`.
    pub fn wait(mut self) -> Result<T> {
        self.wait_for(None)?;
        self.take()
    }

    /// Waits for the result so long; gives the call back when it is not over.
    ///
    /// # Errors
    /// Those of the operation.
    pub fn wait_timeout(mut self, time: Duration) -> Result<Result<T, Self>> {
        match self.wait_for(Some(time)) {
            Err(e) if e.code == error::ETIMEDOUT => Ok(Err(self)),
            Err(e) => Err(e),
            Ok(()) => self.take().map(Ok),
        }
    }

    fn wait_for(&self, time: Option<Duration>) -> Result<()> {
        let library = self.session.library();
        let wait = library.extension(
            library.functions().completion_wait,
            "vaccel_completion_wait",
        )?;
        let milliseconds = time.map_or(-1, |time| {
            i64::try_from(time.as_nanos().div_ceil(1_000_000)).unwrap_or(i64::MAX)
        });
        // SAFETY: the completion lives.
        let code = unsafe { wait(self.handle.as_ptr(), milliseconds) };
        library.check(self.what, code)
    }

    /// The result of a call that is over.
    fn take(&mut self) -> Result<T> {
        let library = self.session.library();
        library.check(self.what, self.ask(library.functions().completion_result))?;
        match self.finish.take() {
            Some(finish) => finish(),
            None => Err(Error::invalid("the result of the call was taken already")),
        }
    }
}

impl<T> Future for Pending<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<T>> {
        let stale = self.notice.set(Some(context.waker().clone()));
        drop(stale);
        // Looked at after the waker is in place: it is woken, or the end is seen here.
        if self.is_over() {
            return Poll::Ready(self.take());
        }
        Poll::Pending
    }
}

impl<T> Drop for Pending<T> {
    fn drop(&mut self) {
        drop(self.notice.set(None));
        // Only then what the call works on may go.
        self.ask(self.session.library().functions().completion_free);
    }
}

impl<T> std::fmt::Debug for Pending<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pending")
            .field("operation", &self.what)
            .finish_non_exhaustive()
    }
}

impl Session {
    /// Sets how long calls of this session may take; zero for the default.
    ///
    /// # Errors
    /// `ENOTSUP` when the library is too old; what a transport returns.
    pub fn set_timeout(&self, time: Duration) -> Result<()> {
        let library = self.library();
        let set = library.extension(
            library.functions().session_set_timeout,
            "vaccel_session_set_timeout",
        )?;
        let milliseconds = u64::try_from(time.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX);
        // SAFETY: the session is open while `self` lives.
        let code = unsafe { set(self.as_ptr(), milliseconds) };
        library.check("cannot set the time of a session", code)
    }

    /// Says which span of a distributed trace operations of this session are called in from now on:
    /// a W3C `traceparent`, or `None` for that of the environment (`TRACEPARENT`).
    ///
    /// A transport tells it to an agent that records traces.
    ///
    /// # Errors
    /// `EINVAL` for what is no `traceparent`; `ENOTSUP` when the library is too old; what a
    /// transport returns.
    ///
    /// ```no_run
    /// # let session = vaccel::Session::new()?;
    /// session.set_trace(Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"))?;
    /// # Ok::<(), vaccel::Error>(())
    /// ```
    pub fn set_trace(&self, traceparent: Option<&str>) -> Result<()> {
        let library = self.library();
        let set = library.extension(
            library.functions().session_set_trace,
            "vaccel_session_set_trace",
        )?;
        // Where it has a zero inside, the library says that it is none.
        let text = traceparent.map(|text| CString::new(text).unwrap_or_default());
        let pointer = text.as_ref().map_or(std::ptr::null(), |text| text.as_ptr());
        // SAFETY: the session is open while `self` lives; a text or null.
        let code = unsafe { set(self.as_ptr(), pointer) };
        library.check("cannot set the trace of a session", code)
    }

    /// Submits [`noop`](Self::noop).
    ///
    /// # Errors
    /// `ENOTSUP` when the library is too old; what is wrong with the call is its result.
    pub fn noop_async(&self) -> Result<Pending<()>> {
        let library = self.library();
        let noop = library.extension(library.functions().noop_async, "vaccel_noop_async")?;
        // SAFETY: there is nothing that it works on; the session lives with the call.
        unsafe {
            start(
                self,
                "noop",
                || Ok(()),
                |options, out| noop(self.as_ptr(), options, out),
            )
        }
    }

    /// Submits [`sgemm`](Self::sgemm); the result is C.
    ///
    /// # Errors
    /// `EINVAL` when a matrix does not fit; else as [`noop_async`](Self::noop_async).
    pub fn sgemm_async(
        &self,
        sizes: &Sgemm,
        mut a: Vec<f32>,
        mut b: Vec<f32>,
        mut c: Vec<f32>,
    ) -> Result<Pending<Vec<f32>>> {
        let library = self.library();
        let sgemm = library.extension(library.functions().sgemm_async, "vaccel_sgemm_async")?;
        let [m, n, k, lda, ldb, ldc] = sizes.numbers(&a, &b, &c)?;
        let (at_a, at_b, at_c) = (a.as_mut_ptr(), b.as_mut_ptr(), c.as_mut_ptr());
        let (alpha, beta) = (sizes.alpha, sizes.beta);
        let finish = move || {
            drop((a, b));
            Ok(c)
        };
        // SAFETY: the elements of vectors stay where they are when the vectors move.
        unsafe {
            start(self, "sgemm", finish, |options, out| {
                sgemm(
                    self.as_ptr(),
                    m,
                    n,
                    k,
                    alpha,
                    at_a,
                    lda,
                    at_b,
                    ldb,
                    beta,
                    at_c,
                    ldc,
                    options,
                    out,
                )
            })
        }
    }

    /// Submits [`minmax`](Self::minmax).
    ///
    /// # Errors
    /// As [`noop_async`](Self::noop_async).
    pub fn minmax_async(&self, data: Vec<f64>, low: i32, high: i32) -> Result<Pending<Minmax>> {
        let library = self.library();
        let minmax = library.extension(library.functions().minmax_async, "vaccel_minmax_async")?;
        let count = i32::try_from(data.len())
            .map_err(|_| Error::invalid("minmax takes at most 2147483647 elements"))?;
        let mut clipped = vec![0.0; data.len()];
        let mut ends = vec![0.0_f64; 2];
        let (from, to, at) = (data.as_ptr(), clipped.as_mut_ptr(), ends.as_mut_ptr());
        let finish = move || {
            drop(data);
            Ok(Minmax {
                min: ends[0],
                max: ends[1],
                clipped,
            })
        };
        // SAFETY: as in `sgemm_async`; there are two ends.
        unsafe {
            start(self, "minmax", finish, |options, out| {
                let max = at.add(1);
                minmax(
                    self.as_ptr(),
                    from,
                    count,
                    low,
                    high,
                    to,
                    at,
                    max,
                    options,
                    out,
                )
            })
        }
    }
}
