//! Calls that are submitted and waited for later.
//!
//! A plugin that can do more than one thing at a time takes a call with `call_submit`
//! and says when it is over; calls of other plugins are made by a few threads of the
//! library (`pool.rs`). A [`Completion`] belongs to the program's handle, to whoever makes
//! the call, and to the list of its session, which a session that is released looks
//! through.
//!
//! Lock order: the list of a session, then a completion. Nothing is locked while a
//! plugin or the program is called.

mod any;
mod submit;

use crate::histogram::Call;
use crate::pool;
use crate::ptr::Ptr;
use crate::{Error, Result, err, fail, flags, lock, op, prof, stats, tracefile};
use std::cell::UnsafeCell;
use std::ffi::c_void;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};
use vaccel_abi::completion::{CompletedFn, vaccel_call, vaccel_completion};
use vaccel_abi::op::OpType;
use vaccel_abi::plugin::vaccel_plugin_ext;
use vaccel_abi::session::vaccel_session;

use any::Signal;
pub use any::wait_any;
pub(crate) use submit::measure;
pub use submit::{Options, submit};

/// What a call does: it is run once.
pub(crate) type Job = Box<dyn FnOnce() -> Result>;

/// Called when a call is over.
#[derive(Debug, Clone, Copy)]
pub struct Callback {
    /// The program's function.
    pub function: CompletedFn,
    /// What it is passed.
    pub arg: *mut c_void,
}

/// One call that was submitted.
#[repr(C)] // a plugin's pointer to `call` is one to all of it
pub struct Completion {
    call: UnsafeCell<vaccel_call>,
    op: OpType,
    sess: Ptr<vaccel_session>,
    calls: &'static Calls,
    number: u64,
    /// The process that submitted it.
    epoch: u64,
    begun: Instant,
    timeout: Duration,
    over: AtomicBool,
    state: Mutex<State>,
    changed: Condvar,
}

// SAFETY: what C promised about the pointers in a job holds until the call is over,
// for any thread; the rest is behind locks, `call` is written before it is shared.
unsafe impl Send for Completion {}
// SAFETY: as above.
unsafe impl Sync for Completion {}

struct State {
    phase: Phase,
    callback: Option<Callback>,
    event: Option<OwnedFd>,
    /// Those who wait for this one or others.
    waiters: Vec<Arc<Signal>>,
    /// Index of the operation in the table, bytes in and out; while somebody wants to know.
    measured: Option<(usize, usize, usize)>,
    /// Threads that are calling the plugin about it.
    in_plugin: u32,
    forgotten: bool,
}

enum Phase {
    /// Waits for a thread, or is being submitted.
    Waiting(Option<Job>),
    /// A thread of the library is at it.
    Running,
    /// A plugin is at it.
    Sent(&'static vaccel_plugin_ext),
    Over(Result, Option<&'static vaccel_plugin_ext>),
}

/// The calls of a session that are under way.
#[derive(Default)]
pub(crate) struct Calls {
    epoch: AtomicU64,
    /// Milliseconds that a call may take; 0 for the default.
    timeout_ms: AtomicU64,
    list: Mutex<std::collections::HashMap<u64, Arc<Completion>>>,
}

impl Calls {
    /// A new session begins.
    pub(crate) fn reset(&self) {
        self.timeout_ms.store(0, Ordering::Relaxed);
    }

    pub(crate) fn set_timeout(&self, milliseconds: u64) {
        self.timeout_ms.store(milliseconds, Ordering::Relaxed);
    }

    fn enter(&self, completion: &Arc<Completion>) {
        self.epoch.store(completion.epoch, Ordering::Relaxed);
        lock(&self.list).insert(completion.number, Arc::clone(completion));
    }

    /// The session ends: so do its calls. Waits for what cannot be stopped.
    pub(crate) fn end(&self) {
        let epoch = self.epoch.load(Ordering::Relaxed);
        if epoch == 0 || epoch != pool::epoch() {
            // None was ever submitted; or they are the parent process's, and so may
            // the lock be.
            return;
        }
        let all: Vec<_> = lock(&self.list).values().cloned().collect();
        for completion in &all {
            let _ = completion.cancel();
        }
        for completion in &all {
            completion.wait_until_forgotten();
        }
    }
}

impl Completion {
    /// Ends it; whoever comes second is too late.
    pub(crate) fn finish(&self, result: Result) {
        let mut state = lock(&self.state);
        if matches!(state.phase, Phase::Over(..)) {
            return;
        }
        if let Some((index, read, written)) = state.measured.take() {
            self.record(index, [read, written], result.is_err());
        }
        let ext = match &state.phase {
            Phase::Sent(ext) => Some(*ext),
            _ => None,
        };
        let last = std::mem::replace(&mut state.phase, Phase::Over(result, ext));
        let callback = state.callback.take();
        let waiters = std::mem::take(&mut state.waiters);
        if let Some(event) = &state.event {
            raise(event);
        }
        let forget = ext.is_some() && state.in_plugin == 0;
        if forget {
            state.in_plugin = 1;
        }
        self.over.store(true, Ordering::Release);
        self.changed.notify_all();
        drop(state);
        // A job that was not run.
        drop(last);
        for waiter in waiters {
            *lock(&waiter.set) = true;
            waiter.changed.notify_all();
        }
        if let Some(Callback { function, arg }) = callback {
            let handle = std::ptr::from_ref(self).cast_mut().cast();
            // SAFETY: the program's function, called once with what it wanted.
            unsafe { function(handle, arg) };
        }
        if forget {
            self.leave_plugin();
        }
        let entry = lock(&self.calls.list).remove(&self.number);
        drop(entry);
    }

    fn record(&self, index: usize, [read, written]: [usize; 2], failed: bool) {
        let nanoseconds = u64::try_from(self.begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let call = Call {
            nanoseconds,
            bytes_in: read as u64,
            bytes_out: written as u64,
            failed,
        };
        let on = flags::get();
        if on & flags::PROFILING != 0 {
            stats::add(self.sess, index, &call);
        }
        if on & flags::TRACE != 0 {
            let sess = self.sess;
            let start = prof::now().saturating_sub(nanoseconds);
            tracefile::add(crate::get!(sess.id), index, start, &call);
        }
    }

    /// The plugin, for a call about this one; to be followed by `leave_plugin`.
    fn enter_plugin(&self) -> Option<&'static vaccel_plugin_ext> {
        let mut state = lock(&self.state);
        match state.phase {
            Phase::Sent(ext) => {
                state.in_plugin += 1;
                Some(ext)
            }
            _ => None,
        }
    }

    /// The last who asks the plugin about a call that is over lets it go.
    fn leave_plugin(&self) {
        let mut state = lock(&self.state);
        if let Phase::Over(_, Some(ext)) = state.phase
            && state.in_plugin == 1
            && !state.forgotten
        {
            state.forgotten = true;
            drop(state);
            if let Some(forget) = ext.call_forget {
                // SAFETY: a function of the plugin that has the call; nobody asks any more.
                unsafe { forget(self.call.get()) };
            }
            state = lock(&self.state);
        }
        state.in_plugin -= 1;
        self.changed.notify_all();
    }

    fn wait_until_forgotten(&self) {
        let mut state = lock(&self.state);
        while !matches!(state.phase, Phase::Over(..)) || state.in_plugin > 0 {
            let waited = self.changed.wait(state);
            state = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Called by a thread of the library: makes the call.
    pub(crate) fn make(self: &Arc<Self>) {
        let job = {
            let mut state = lock(&self.state);
            match &mut state.phase {
                Phase::Waiting(job) if !self.is_late() => {
                    let job = job.take();
                    state.phase = Phase::Running;
                    job
                }
                _ => None,
            }
        };
        match job {
            Some(job) => self.finish(pool::catch(job)),
            None => self.finish(Err(self.late())),
        }
    }

    /// The time for it is over.
    fn is_late(&self) -> bool {
        !self.timeout.is_zero() && self.begun.elapsed() >= self.timeout
    }

    fn late(&self) -> Error {
        err!(
            ETIMEDOUT,
            "{}: it could not begin within {} ms",
            op::name(self.op),
            self.timeout.as_millis()
        )
    }

    fn check_process(&self) -> Result {
        if self.epoch != pool::epoch() {
            fail!(ESESS, "the call belongs to the parent process");
        }
        Ok(())
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }

    /// Lets a call go on that is with a plugin. False when it is with none.
    fn drive(&self, time: Duration) -> bool {
        let Some(ext) = self.enter_plugin() else {
            return false;
        };
        if let Some(drive) = ext.call_drive {
            // Rounded up: who waits for less than a millisecond must not spin.
            let ms = u64::try_from(time.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX);
            // SAFETY: a function of the plugin that has the call, which is not forgotten.
            unsafe { drive(self.call.get(), ms) };
        }
        self.leave_plugin();
        true
    }

    /// Ends a call that waits for a thread longer than it may.
    fn expire(&self) {
        if self.is_late() && matches!(lock(&self.state).phase, Phase::Waiting(Some(_))) {
            let _ = self.withdraw(self.late());
        }
    }

    /// Takes the job of a call that has not begun. False when it has.
    fn withdraw(&self, why: Error) -> bool {
        let job = match &mut lock(&self.state).phase {
            Phase::Waiting(job) => job.take(),
            _ => None,
        };
        if job.is_none() {
            return false;
        }
        self.finish(Err(why));
        true
    }

    /// `vaccel_completion_poll`.
    ///
    /// # Errors
    /// `EINPROGRESS` when it is not over; `ESESS` in a child process.
    pub fn poll(&self) -> Result {
        self.check_process()?;
        if !self.is_over() && !self.drive(Duration::ZERO) {
            self.expire();
        }
        if self.is_over() {
            return Ok(());
        }
        Err(err!(EINPROGRESS, "the call is not over").quiet())
    }

    /// `vaccel_completion_wait`. `None` waits as long as it takes.
    ///
    /// # Errors
    /// `ETIMEDOUT` when it is not over in time; `ESESS` in a child process.
    pub fn wait(&self, time: Option<Duration>) -> Result {
        self.check_process()?;
        let until = time.and_then(|time| Instant::now().checked_add(time));
        loop {
            if self.is_over() {
                return Ok(());
            }
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return Err(err!(ETIMEDOUT, "the call is not over yet").quiet());
            }
            let left = left.unwrap_or(Duration::from_secs(3600));
            if self.drive(left) {
                if !self.is_over() {
                    // Somebody else is about to end it.
                    self.sleep(left.min(Duration::from_millis(1)));
                }
                continue;
            }
            self.expire();
            let left = if self.timeout.is_zero() {
                left
            } else {
                // To see the end of its time while it waits for a thread.
                let own = self.timeout.saturating_sub(self.begun.elapsed());
                left.min(own.max(Duration::from_millis(10)))
            };
            self.sleep(left);
        }
    }

    fn sleep(&self, time: Duration) {
        let state = lock(&self.state);
        if !matches!(state.phase, Phase::Over(..)) {
            let waited = self.changed.wait_timeout(state, time);
            drop(waited.unwrap_or_else(PoisonError::into_inner));
        }
    }

    /// From now on its end is noticed although nobody waits for it.
    fn watch(&self) {
        let Some(ext) = self.enter_plugin() else {
            return;
        };
        if let Some(watch) = ext.call_watch {
            // SAFETY: a function of the plugin that has the call, which is not forgotten.
            unsafe { watch(self.call.get()) };
        }
        self.leave_plugin();
    }

    /// `vaccel_completion_cancel`.
    ///
    /// # Errors
    /// `EBUSY` when it runs in this process and cannot be stopped.
    pub fn cancel(&self) -> Result {
        self.check_process()?;
        if self.is_over() {
            return Ok(());
        }
        let why = err!(ECANCELED, "{}: it was cancelled", op::name(self.op));
        if self.withdraw(why) {
            return Ok(());
        }
        if let Some(ext) = self.enter_plugin() {
            if let Some(cancel) = ext.call_cancel {
                // SAFETY: a function of the plugin that has the call, not forgotten.
                unsafe { cancel(self.call.get()) };
            }
            self.leave_plugin();
            // When it was just ending, that is a matter of moments.
            while !self.is_over() {
                self.sleep(Duration::from_millis(10));
            }
        }
        if self.is_over() {
            return Ok(());
        }
        fail!(
            EBUSY,
            "{}: it runs in this process and cannot be stopped; wait for it",
            op::name(self.op)
        )
    }

    /// `vaccel_completion_result`.
    ///
    /// # Errors
    /// Those of the operation; `EINPROGRESS` when it is not over.
    pub fn result(&self) -> Result {
        if self.is_over()
            && let Phase::Over(result, _) = &lock(&self.state).phase
        {
            return result.clone();
        }
        self.check_process()?;
        Err(err!(EINPROGRESS, "the call is not over").quiet())
    }

    /// `vaccel_completion_fd`: readable once the call is over; the completion's own.
    ///
    /// # Errors
    /// `EIO` when the system gives no descriptor; `ESESS` in a child process.
    pub fn event(&self) -> Result<i32> {
        self.check_process()?;
        let fd = {
            let mut state = lock(&self.state);
            if state.event.is_none() {
                // SAFETY: makes a descriptor.
                let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
                if fd < 0 {
                    let error = std::io::Error::last_os_error();
                    return Err(Error::io("a descriptor for a completion", &error));
                }
                // SAFETY: just made, and nobody else's.
                let event = unsafe { OwnedFd::from_raw_fd(fd) };
                if matches!(state.phase, Phase::Over(..)) {
                    raise(&event);
                }
                state.event = Some(event);
            }
            state.event.as_ref().map_or(-1, AsRawFd::as_raw_fd)
        };
        self.watch();
        Ok(fd)
    }

    /// `vaccel_completion_free`: the handle is given up; the call is cancelled if it is
    /// under way, and waited for where that cannot be.
    pub fn free(self: &Arc<Self>) {
        if !self.is_over() && self.check_process().is_ok() && self.cancel().is_err() {
            let _ = self.wait(None);
        }
    }
}

fn raise(event: &OwnedFd) {
    let one = 1_u64;
    // SAFETY: eight bytes that are there. It cannot fail: nobody else writes.
    unsafe { libc::write(event.as_raw_fd(), (&raw const one).cast(), 8) };
}

/// The completion behind a handle, which stays the program's.
#[must_use]
pub fn of(handle: Ptr<vaccel_completion>) -> Arc<Completion> {
    let at = handle.as_ptr().cast_const().cast::<Completion>();
    // SAFETY: a handle owns one count, and C promises that it was not freed.
    unsafe {
        Arc::increment_strong_count(at);
        Arc::from_raw(at)
    }
}

/// Takes a handle back from the program.
#[must_use]
pub fn take(handle: Ptr<vaccel_completion>) -> Arc<Completion> {
    let at = handle.as_ptr().cast_const().cast::<Completion>();
    // SAFETY: as in `of`; the program has given it up.
    unsafe { Arc::from_raw(at) }
}
