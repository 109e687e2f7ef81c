//! What is counted: requests, their times, errors, refusals.
//!
//! Each worker counts in memory that its agent gave it, so that what it counted is there
//! when it has crashed. The layout is fixed; all fields are numbers that are added to
//! without order: no lock, no system call and no allocation on the way of a request.
//!
//! * [`shared`]: the memory. [`totals`]: sums of several workers, in the agent.
//!
//! A worker runs tenants' code and may write anything there. The agent reads numbers, and
//! checks names; nothing else can come of it than wrong figures.

pub mod names;
pub mod shared;
pub mod totals;

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

pub use names::{OPS, name_of, op_name};

/// Plugins that are told apart; further ones share the last place.
pub const PLUGINS: usize = 12;
/// Error codes that are told apart: 0 stands for all others.
pub const CODES: usize = 256;
/// Kinds of refusals that there is room for.
pub const REFUSALS: usize = 32;
/// Bounds of a histogram: 1 µs, 2 µs, 4 µs and so on up to 67 s; the last place is for
/// what takes longer.
pub const BUCKETS: usize = 28;
/// Words of a plugin's name, which has at most 32 bytes.
const NAME_WORDS: usize = 4;

/// Places for connections that have a frame partly on their socket.
const MIDWAY: usize = 64;

/// The beginning of the memory, so that agent and worker of two versions do not misread each other.
const MAGIC: u64 = u64::from_ne_bytes(*b"vaccelC2");

/// Why something was refused that another time or another client would have been given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum Refusal {
    /// Connections at the same time.
    Connections,
    /// Who the client is.
    Identity,
    /// Open sessions.
    Sessions,
    /// Resources there are.
    Resources,
    /// Bytes of resources and kept tensors.
    ResourceBytes,
    /// Memory.
    Memory,
    /// Shared memory.
    SharedMemory,
    /// Requests in flight.
    InFlight,
    /// Requests a second.
    Rate,
    /// Time of a request.
    Deadline,
    /// An operation that is not allowed.
    Operation,
    /// A plugin that is not allowed.
    Plugin,
    /// A library, or code of the client's, that is not allowed.
    Code,
    /// A place that resources may not come from.
    Source,
    /// The size of a frame.
    FrameSize,
    /// No worker could be had.
    Worker,
}

impl Refusal {
    /// All of them, in the order of their places.
    pub const ALL: [Self; 16] = [
        Self::Connections,
        Self::Identity,
        Self::Sessions,
        Self::Resources,
        Self::ResourceBytes,
        Self::Memory,
        Self::SharedMemory,
        Self::InFlight,
        Self::Rate,
        Self::Deadline,
        Self::Operation,
        Self::Plugin,
        Self::Code,
        Self::Source,
        Self::FrameSize,
        Self::Worker,
    ];

    /// The word for it on the metrics page.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::Identity => "identity",
            Self::Sessions => "sessions",
            Self::Resources => "resources",
            Self::ResourceBytes => "resource_bytes",
            Self::Memory => "memory",
            Self::SharedMemory => "shared_memory",
            Self::InFlight => "in_flight",
            Self::Rate => "rate",
            Self::Deadline => "deadline",
            Self::Operation => "operation",
            Self::Plugin => "plugin",
            Self::Code => "code",
            Self::Source => "source",
            Self::FrameSize => "frame_size",
            Self::Worker => "worker",
        }
    }
}

/// How long parts of requests took.
#[derive(Debug)]
#[repr(C)]
pub struct Times {
    /// How many took at most the time of each bound and more than that of the one
    /// before. The first is not counted: it is what the others leave of all requests.
    over: [AtomicU64; BUCKETS],
    /// All together, in nanoseconds.
    sum: AtomicU64,
}

/// What is counted of an operation of a plugin.
#[derive(Debug)]
#[repr(C)]
pub struct OpCounts {
    /// Requests that have been answered.
    requests: AtomicU64,
    /// Those among them that failed.
    failed: AtomicU64,
    /// Bytes of requests, with what lies in shared memory.
    bytes_in: AtomicU64,
    /// Bytes of replies, likewise.
    bytes_out: AtomicU64,
    /// From the end of the request's arrival to its beginning.
    queue: Times,
    /// From the header of the request to its last byte; 0 for one that came as a whole.
    transfer_in: Times,
    /// In the library and its plugin.
    compute: Times,
    /// Building and sending the reply.
    transfer_out: Times,
}

/// All that a process counts.
#[derive(Debug)]
#[repr(C)]
pub struct Counts {
    magic: AtomicU64,
    /// Sessions that are open.
    pub sessions: AtomicU64,
    /// Resources that there are.
    pub resources: AtomicU64,
    /// Connections that are parked.
    pub parked: AtomicU64,
    /// Bytes that resources and kept tensors take.
    pub resource_bytes: AtomicU64,
    /// Requests that were cancelled.
    pub cancelled: AtomicU64,
    /// Content that was looked for in the cache and was there.
    pub cache_hits: AtomicU64,
    /// Content that was looked for and was not there.
    pub cache_misses: AtomicU64,
    reserved: [AtomicU64; 8],
    /// How many connections have a frame partly on their socket, each counted in the place
    /// that [`midway`](Self::midway) tells.
    midway: [AtomicU64; MIDWAY],
    refusals: [AtomicU64; REFUSALS],
    errors: [AtomicU64; CODES],
    names: [[AtomicU64; NAME_WORDS]; PLUGINS],
    ops: [[OpCounts; OPS]; PLUGINS],
}

/// A request that has been answered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Request {
    /// Place of the plugin, from [`Counts::plugin`]; 0 for none.
    pub plugin: usize,
    /// Code of the operation.
    pub operation: u16,
    /// Its size.
    pub bytes_in: u64,
    /// Size of the reply.
    pub bytes_out: u64,
    /// Code of its error; 0 for none.
    pub error: i32,
    /// How long it took to arrive.
    pub transfer_in: Duration,
    /// How long it waited.
    pub queue: Duration,
    /// How long it ran.
    pub compute: Duration,
    /// How long its reply took to be sent.
    pub transfer_out: Duration,
}

impl Times {
    const fn zero() -> Self {
        Self {
            over: [const { AtomicU64::new(0) }; BUCKETS],
            sum: AtomicU64::new(0),
        }
    }

    fn note(&self, took: Duration) {
        // More than 584 years do not occur.
        let nanos = took.as_nanos() as u64;
        if nanos == 0 {
            return;
        }
        self.sum.fetch_add(nanos, Relaxed);
        let place = bucket(nanos);
        if place > 0 {
            self.over[place].fetch_add(1, Relaxed);
        }
    }
}

/// The place of a time in a histogram: the first whose bound is not less.
fn bucket(nanos: u64) -> usize {
    let micros = (nanos.saturating_sub(1) / 1000) as usize;
    let place = usize::BITS - micros.leading_zeros();
    (place as usize).min(BUCKETS - 1)
}

/// The bound of a place in nanoseconds; `None` for the last, which has none.
#[must_use]
pub fn bound(place: usize) -> Option<u64> {
    (place + 1 < BUCKETS).then(|| 1000 << place)
}

impl OpCounts {
    const fn zero() -> Self {
        Self {
            requests: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            bytes_in: AtomicU64::new(0),
            bytes_out: AtomicU64::new(0),
            queue: Times::zero(),
            transfer_in: Times::zero(),
            compute: Times::zero(),
            transfer_out: Times::zero(),
        }
    }
}

impl Default for Counts {
    fn default() -> Self {
        Self::new()
    }
}

impl Counts {
    /// Nothing counted yet.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            magic: AtomicU64::new(0),
            sessions: AtomicU64::new(0),
            resources: AtomicU64::new(0),
            parked: AtomicU64::new(0),
            resource_bytes: AtomicU64::new(0),
            cancelled: AtomicU64::new(0),
            cache_hits: AtomicU64::new(0),
            cache_misses: AtomicU64::new(0),
            reserved: [const { AtomicU64::new(0) }; 8],
            midway: [const { AtomicU64::new(0) }; MIDWAY],
            refusals: [const { AtomicU64::new(0) }; REFUSALS],
            errors: [const { AtomicU64::new(0) }; CODES],
            names: [const { [const { AtomicU64::new(0) }; NAME_WORDS] }; PLUGINS],
            ops: [const { [const { OpCounts::zero() }; OPS] }; PLUGINS],
        }
    }

    /// Counts a request that has been answered.
    pub fn note(&self, request: &Request) {
        let op = &self.ops[request.plugin.min(PLUGINS - 1)][names::place(request.operation)];
        op.requests.fetch_add(1, Relaxed);
        op.bytes_in.fetch_add(request.bytes_in, Relaxed);
        op.bytes_out.fetch_add(request.bytes_out, Relaxed);
        op.queue.note(request.queue);
        op.transfer_in.note(request.transfer_in);
        op.compute.note(request.compute);
        op.transfer_out.note(request.transfer_out);
        if request.error != 0 {
            op.failed.fetch_add(1, Relaxed);
            self.error(request.error);
        }
    }

    /// Above 0 while a frame is partly on the socket of a connection, or of another one with
    /// the same place: then nobody else may say anything there.
    #[must_use]
    pub fn midway(&self, connection: u64) -> &AtomicU64 {
        &self.midway[(connection % MIDWAY as u64) as usize]
    }

    /// The plugin of a place; empty where there is none.
    #[must_use]
    pub fn plugin_name(&self, place: usize) -> String {
        let words = self.names.get(place).filter(|_| place > 0);
        let words = words.map(|words| words.each_ref().map(|word| word.load(Relaxed)));
        words
            .filter(|words| *words != [0; NAME_WORDS])
            .map_or_else(String::new, names::unpack)
    }

    /// Counts an error.
    pub fn error(&self, code: i32) {
        let place = usize::try_from(code).ok().filter(|&code| code < CODES);
        self.errors[place.unwrap_or(0)].fetch_add(1, Relaxed);
    }

    /// Counts a refusal.
    pub fn refused(&self, what: Refusal) {
        self.refusals[what as usize].fetch_add(1, Relaxed);
    }

    /// The place of a plugin by its name; taken at the first call. Place 0 is of what no
    /// plugin serves.
    ///
    /// For one thread at a time; rare enough to be called under a lock.
    #[must_use]
    pub fn plugin(&self, name: &str) -> usize {
        let words = names::pack(name);
        let there = |place: &[AtomicU64; NAME_WORDS]| -> [u64; NAME_WORDS] {
            std::array::from_fn(|i| place[i].load(Relaxed))
        };
        for (place, stored) in self.names.iter().enumerate().skip(1) {
            let current = there(stored);
            if current == words {
                return place;
            }
            if current == [0; NAME_WORDS] {
                for (to, word) in stored.iter().zip(words) {
                    to.store(word, Relaxed);
                }
                return place;
            }
        }
        PLUGINS - 1
    }
}

/// One of something that there is, for as long as this lives.
#[derive(Debug)]
pub struct One(&'static AtomicU64);

impl One {
    /// One more.
    #[must_use]
    pub fn of(level: &'static AtomicU64) -> Self {
        level.fetch_add(1, Relaxed);
        Self(level)
    }
}

impl Drop for One {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

static MINE: OnceLock<&'static Counts> = OnceLock::new();
/// Takes memory only where it is written to.
static OWN: Counts = Counts::new();

/// Where this process counts: what its agent gave it, or memory of its own.
#[must_use]
pub fn mine() -> &'static Counts {
    MINE.get_or_init(|| &OWN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_on_a_bound_belongs_to_it() {
        for (nanos, place) in [
            (1, 0),
            (1000, 0),
            (1001, 1),
            (2000, 1),
            (2001, 2),
            (4000, 2),
            (4001, 3),
            (u64::MAX, BUCKETS - 1),
        ] {
            assert_eq!(bucket(nanos), place, "{nanos} ns");
        }
        for place in 0..BUCKETS - 1 {
            let bound = bound(place).unwrap_or_default();
            assert_eq!((bucket(bound), bucket(bound + 1)), (place, place + 1));
        }
        assert_eq!(bound(BUCKETS - 1), None);
    }

    #[test]
    fn names_of_refusals_are_in_the_order_of_their_places() {
        for (place, refusal) in Refusal::ALL.into_iter().enumerate() {
            assert_eq!(refusal as usize, place);
        }
        assert!(Refusal::ALL.len() <= REFUSALS);
    }

    #[test]
    fn plugins_keep_their_places_and_those_that_find_none_share_the_last() {
        let Ok(shared) = shared::Shared::create() else {
            panic!("no memory");
        };
        let counts = shared.counts();
        let first = counts.plugin("noop");
        assert_eq!(
            (first, counts.plugin("exec"), counts.plugin("noop")),
            (1, 2, 1)
        );
        for i in 0..PLUGINS * 2 {
            assert!(counts.plugin(&format!("p{i}")) < PLUGINS);
        }
        assert_eq!(counts.plugin("noop"), first);
    }
}
