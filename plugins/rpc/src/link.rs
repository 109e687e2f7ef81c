//! The connection of the process, and what lives on it.

use crate::compatible::{self, Gateway};
use crate::error;
use crate::settings::{Settings, program};
use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicPtr, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use vaccel_plugin::abi::error::{EREMOTEIO, EUSERS};
use vaccel_plugin::{Result, err};
use vaccel_transport::{ConnectError, Connection, fork};

/// A failure to connect counts for so long for those who ask meanwhile.
const FRESH: Duration = Duration::from_millis(100);

/// A connection unused for so many milliseconds is looked at before it is used.
const IDLE: u64 = 10;

/// First and longest wait between attempts to reach an agent that was there.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(500));

/// A connection, and the resources that the agent has of this process.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) connection: Connection,
    /// What is between it and an agent that speaks ttrpc. Goes after it.
    gateway: Option<Gateway>,
    /// When it was last used, in milliseconds of a coarse clock.
    used: AtomicU64,
    resources: Mutex<HashMap<i64, Arc<Remote>>>,
    /// What the agent keeps for this process: the number here, then the agent's session
    /// and number. It ends with the connection, so that a number of an
    /// earlier one leads nowhere.
    tensors: Mutex<HashMap<u64, (i64, i64)>>,
}

/// The next number of a kept tensor; none is used again.
static NEXT_TENSOR: AtomicU64 = AtomicU64::new(1);

/// What the agent knows of a resource.
#[derive(Debug, Default)]
pub(crate) struct Remote {
    /// The agent's number for it; 0 while it has none.
    pub(crate) number: AtomicI64,
    /// The agent's numbers of the sessions it is registered with. Locked while
    /// it is on its way.
    pub(crate) sessions: Mutex<Vec<i64>>,
}

impl Link {
    fn new(connection: Connection, gateway: Option<Gateway>) -> Self {
        Self {
            connection,
            gateway,
            used: AtomicU64::new(coarse_millis()),
            resources: Mutex::default(),
            tensors: Mutex::default(),
        }
    }

    /// Notes a tensor that the agent keeps, and returns its number here.
    pub(crate) fn keep_tensor(&self, session: i64, number: i64) -> u64 {
        let handle = NEXT_TENSOR.fetch_add(1, Ordering::Relaxed);
        lock(&self.tensors).insert(handle, (session, number));
        handle
    }

    /// The agent's number of a tensor that it keeps.
    pub(crate) fn tensor(&self, handle: u64) -> Result<i64> {
        let tensors = lock(&self.tensors);
        tensors
            .get(&handle)
            .map(|(_, number)| *number)
            .ok_or_else(|| {
                err!(
                    ENOENT,
                    "the kept tensor is stale: the connection to the agent was lost, and it with \
                 it; compute it again"
                )
            })
    }

    /// Takes a tensor off the list and returns the agent's number.
    pub(crate) fn forget_tensor(&self, handle: u64) -> Option<i64> {
        lock(&self.tensors)
            .remove(&handle)
            .map(|(_, number)| number)
    }

    /// False when the agent has gone or says that it goes, also when that happened while
    /// nothing was asked of it: a connection that was idle is looked at.
    pub(crate) fn is_there(&self) -> bool {
        if !self.connection.is_usable() {
            return false;
        }
        let now = coarse_millis();
        let before = self.used.swap(now, Ordering::Relaxed);
        (now.saturating_sub(before) <= IDLE || self.connection.probe()) && !self.is_to_be_left()
    }

    /// True when the agent goes away, and nothing is kept there that would be lost.
    fn is_to_be_left(&self) -> bool {
        self.connection.is_leaving() && lock(&self.tensors).is_empty()
    }

    /// What the agent knows of the resource with this number here. Entries stay
    /// for the next resource of the same number.
    pub(crate) fn remote(&self, id: i64) -> Arc<Remote> {
        Arc::clone(lock(&self.resources).entry(id).or_default())
    }

    /// The agent's number of a resource that has one.
    pub(crate) fn number(&self, id: i64) -> Option<i64> {
        let resources = lock(&self.resources);
        let number = resources.get(&id)?.number.load(Ordering::Acquire);
        (number > 0).then_some(number)
    }

    /// A session of the agent's is over.
    pub(crate) fn forget_session(&self, session: i64) {
        lock(&self.tensors).retain(|_, (owner, _)| *owner != session);
        let all: Vec<_> = lock(&self.resources).values().cloned().collect();
        for remote in all {
            remote.forget(session, &mut lock(&remote.sessions));
        }
    }
}

impl Remote {
    /// Takes a session off the list; without any, the agent has freed the resource.
    pub(crate) fn forget(&self, session: i64, sessions: &mut Vec<i64>) {
        sessions.retain(|&s| s != session);
        if sessions.is_empty() {
            self.number.store(0, Ordering::Release);
        }
    }
}

/// Milliseconds of a clock that is cheap to read.
fn coarse_millis() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: a live structure. The clock is there since Linux 2.6.32.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC_COARSE, &raw mut time) };
    // Since the machine started: not negative.
    time.tv_sec as u64 * 1000 + time.tv_nsec as u64 / 1_000_000
}

/// A wait that differs from client to client, so that a restarted agent does not
/// meet all of them at once: between half and all of it.
fn jittered(pause: Duration) -> Duration {
    use std::hash::{BuildHasher, RandomState};
    // The standard library's keys are random.
    let random = RandomState::new().hash_one(fork::epoch()) % 1024;
    pause / 2 + pause.mul_f64(random as f64 / 2048.0)
}

/// The state of one process.
#[derive(Debug)]
struct State {
    /// The process that made it; see [`fork`].
    epoch: u64,
    settings: Result<Settings>,
    slot: Mutex<Slot>,
    /// Threads that read for calls which nobody waits for, one for each connection that
    /// has such.
    attendants: Mutex<Vec<(Weak<Link>, JoinHandle<()>)>>,
}

#[derive(Debug, Default)]
struct Slot {
    link: Option<Arc<Link>>,
    /// There was a connection before.
    connected: bool,
    /// The agent has been found to speak ttrpc only.
    compatible: bool,
    failed: Option<(Instant, vaccel_plugin::Error)>,
}

static STATE: AtomicPtr<State> = AtomicPtr::new(std::ptr::null_mut());

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No critical section of this crate leaves anything half done.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The plugin's `init`: reads the environment. What is wrong there is told when
/// a session is opened, for a program that opens none must not fail.
pub(crate) fn start() -> Result<()> {
    stop();
    state();
    Ok(())
}

/// The plugin's `fini`: hangs up.
pub(crate) fn stop() {
    let state = STATE.swap(std::ptr::null_mut(), Ordering::AcqRel);
    if state.is_null() {
        return;
    }
    // SAFETY: made by `state`, taken out once; the library calls `fini` when no
    // operation runs any more.
    let state = unsafe { Box::from_raw(state) };
    if state.epoch != fork::epoch() {
        // Locks of the parent may be held by threads that do not exist here.
        std::mem::forget(state);
        return;
    }
    if let Some(link) = &lock(&state.slot).link {
        link.connection.close();
        if let Some(gateway) = &link.gateway {
            gateway.end();
        }
    }
    let attendants = std::mem::take(&mut *lock(&state.attendants));
    for (link, thread) in attendants {
        if let Some(link) = link.upgrade() {
            link.connection.close();
        }
        // The program may end the library when it is told of the end of a call.
        if thread.thread().id() != std::thread::current().id() {
            let _ = thread.join();
        }
    }
}

/// Has a thread read for calls on a connection that nobody waits for.
pub(crate) fn attend(link: &Arc<Link>) {
    let mut attendants = lock(&state().attendants);
    let (over, going) = std::mem::take(&mut *attendants)
        .into_iter()
        .partition::<Vec<_>, _>(|(_, thread)| thread.is_finished());
    *attendants = going;
    let own = Arc::clone(link);
    let thread = std::thread::Builder::new().name("vaccel-rpc".into());
    match thread.spawn(move || own.connection.attend()) {
        Ok(thread) => attendants.push((Arc::downgrade(link), thread)),
        // Calls go on when somebody asks for them, and at their deadlines.
        Err(_) => link.connection.unattended(),
    }
    drop(attendants);
    for (_, thread) in over {
        let _ = thread.join();
    }
}

fn state() -> &'static State {
    let epoch = fork::epoch();
    loop {
        let current = STATE.load(Ordering::Acquire);
        // SAFETY: null or made below; freed by `stop` alone, see there.
        if let Some(state) = unsafe { current.as_ref() }
            && state.epoch == epoch
        {
            return state;
        }
        // None yet, or it is the parent's, which is left as it is: its locks may
        // be held for ever. Its settings are only read.
        // SAFETY: as above.
        let settings = match unsafe { current.as_ref() } {
            Some(parent) => parent.settings.clone(),
            None => Settings::from_env(),
        };
        let new = Box::into_raw(Box::new(State {
            epoch,
            settings,
            slot: Mutex::default(),
            attendants: Mutex::default(),
        }));
        let swapped = STATE.compare_exchange(current, new, Ordering::AcqRel, Ordering::Acquire);
        if swapped.is_err() {
            // SAFETY: made above, and nobody has seen it.
            drop(unsafe { Box::from_raw(new) });
        }
    }
}

/// What the environment says.
pub(crate) fn settings() -> Result<&'static Settings> {
    state().settings.as_ref().map_err(Clone::clone)
}

/// The connection: the one there is, or a new one.
///
/// An agent that has been there before may be starting again: it is tried
/// until the connect timeout or the time of a call is over, with growing waits. One that has never
/// been there is tried once.
pub(crate) fn get() -> Result<Arc<Link>> {
    let state = state();
    let settings = state.settings.as_ref().map_err(Clone::clone)?;
    let mut slot = lock(&state.slot);
    if let Some(link) = &slot.link {
        if link.connection.is_usable() && !link.is_to_be_left() {
            return Ok(Arc::clone(link));
        }
        slot.link = None;
    }
    if let Some((at, error)) = &slot.failed
        && at.elapsed() < FRESH
    {
        return Err(error.clone());
    }
    let time = settings.options.connect_timeout;
    let until = Instant::now() + time.min(settings.options.timeout);
    let mut pause = BACKOFF.0;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let mut options = settings.options.clone();
        options.client = Some(program());
        options.connect_timeout = left.max(Duration::from_millis(1));
        let protocol = settings.protocol;
        let connected =
            compatible::connect(&settings.address, &options, protocol, &mut slot.compatible);
        let error = match connected {
            Ok((connection, gateway)) => {
                let link = Arc::new(Link::new(connection, gateway));
                slot.link = Some(Arc::clone(&link));
                slot.connected = true;
                slot.failed = None;
                return Ok(link);
            }
            Err(error) => error,
        };
        // An agent whose workers have just died, or that has too much to do, may
        // think otherwise later.
        let refused = matches!(&error, ConnectError::Refused { status, .. }
            if ![EREMOTEIO, EUSERS].contains(status));
        if !slot.connected || refused || left < pause {
            let error = error::connect(&error);
            slot.failed = Some((Instant::now(), error.clone()));
            return Err(error);
        }
        std::thread::sleep(jittered(pause));
        pause = (pause * 2).min(BACKOFF.1);
    }
}

/// A connection is of no use any more: the next who asks gets a new one.
pub(crate) fn lose(link: &Arc<Link>) {
    let mut slot = lock(&state().slot);
    if slot.link.as_ref().is_some_and(|l| Arc::ptr_eq(l, link)) {
        slot.link = None;
    }
}

/// The error for a resource that a session's agent does not have.
pub(crate) fn not_registered(id: i64) -> vaccel_plugin::Error {
    err!(
        EPERM,
        "resource {id} is not registered with this session at the agent: register it first"
    )
}
