//! What a tenant uses, counted by all of its workers together.
//!
//! Each tenant has a small piece of shared memory: a row of counters for each worker that
//! serves it, and a few words for all of them. A worker adds to its own row and looks at the
//! sum. When a worker has ended, however, the agent wipes its row: nothing stays counted.
//!
//! A worker that a tenant has taken over may write what it likes here. That is its own
//! tenant's ledger, and no other's: what it evades so is bounded by what the agent and the
//! kernel hold it to.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{
    MemfdFlags, SealFlags, fcntl_add_seals, fcntl_get_seals, ftruncate, memfd_create,
};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// Workers that may serve a tenant at the same time.
pub const ROWS: usize = 512;
/// Words of a row: a line of the processor's cache.
const WORDS: usize = 8;
/// Words before the first row.
const HEAD: usize = 32;
/// Where refusals are counted, among those words.
const REFUSED: usize = 8;
const BYTES: usize = (HEAD + ROWS * WORDS) * size_of::<AtomicU64>();

/// What is counted and bounded, for a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum Quota {
    /// Sessions that are open.
    Sessions = 0,
    /// Resources.
    Resources = 1,
    /// Bytes of resources and kept tensors.
    ModelBytes = 2,
    /// Operations that have been read and not been answered.
    InFlight = 3,
    /// Bytes of those, their outputs included.
    Memory = 4,
    /// Requests by time; not in a row.
    Rate = 5,
    /// Connections; counted by the agent.
    Connections = 6,
    /// What the tenant is not allowed to do: operations, libraries, uploads.
    Allowed = 7,
    /// Requests that took longer than they may.
    Deadline = 8,
    /// Workers that crashed one after the other; counted by the agent.
    Crashes = 9,
}

impl Quota {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Sessions,
        Self::Resources,
        Self::ModelBytes,
        Self::InFlight,
        Self::Memory,
        Self::Rate,
        Self::Connections,
        Self::Allowed,
        Self::Deadline,
        Self::Crashes,
    ];

    /// Its name, as in the policy file where it has one.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Sessions => "sessions",
            Self::Resources => "resources",
            Self::ModelBytes => "model_bytes",
            Self::InFlight => "in_flight",
            Self::Memory => "memory",
            Self::Rate => "rate",
            Self::Connections => "connections",
            Self::Allowed => "allow",
            Self::Deadline => "deadline",
            Self::Crashes => "crashes",
        }
    }
}

/// A tenant's counters, in this process and in others.
#[derive(Debug)]
pub struct Ledger {
    words: NonNull<AtomicU64>,
}

// SAFETY: the memory stays mapped until the ledger goes, and is only reached as atomics.
unsafe impl Send for Ledger {}
// SAFETY: as above.
unsafe impl Sync for Ledger {}

impl Ledger {
    /// A new one, and the descriptor by which workers open it.
    ///
    /// # Errors
    /// What the system says.
    pub fn create() -> io::Result<(Self, OwnedFd)> {
        let fd = memfd_create(
            "vaccel-tenant",
            MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING,
        )?;
        ftruncate(&fd, BYTES as u64)?;
        // Whoever cut it off would end the others by a signal.
        fcntl_add_seals(&fd, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
        let ledger = Self::map(&fd)?;
        Ok((ledger, fd))
    }

    /// One that another process has made.
    ///
    /// # Errors
    /// `InvalidData` when it is none; what the system says.
    pub fn open(fd: &OwnedFd) -> io::Result<Self> {
        let none = || io::Error::new(io::ErrorKind::InvalidData, "that is no ledger");
        let seals = fcntl_get_seals(fd)?;
        if !seals.contains(SealFlags::SHRINK) || rustix::fs::fstat(fd)?.st_size != BYTES as i64 {
            return Err(none());
        }
        Self::map(fd)
    }

    fn map(fd: impl AsFd) -> io::Result<Self> {
        let prot = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new mapping, of a file that cannot become shorter.
        let at = unsafe { mmap(std::ptr::null_mut(), BYTES, prot, MapFlags::SHARED, fd, 0) }?;
        let words = NonNull::new(at.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { words })
    }

    /// Adds to what a row uses, when the sum of all stays within a limit.
    ///
    /// # Errors
    /// What all use already.
    pub fn take(&self, row: usize, what: Quota, amount: u64, limit: u64) -> Result<(), u64> {
        let own = self.cell(row, what);
        // First added, then looked at: of two who come at the same time, none is let in
        // beyond the limit.
        own.fetch_add(amount, Ordering::Relaxed);
        let sum = self.used(what);
        if sum <= limit {
            return Ok(());
        }
        own.fetch_sub(amount, Ordering::Relaxed);
        Err(sum.saturating_sub(amount))
    }

    /// Gives back what was taken.
    pub fn give(&self, row: usize, what: Quota, amount: u64) {
        let _ = self
            .cell(row, what)
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                Some(used.saturating_sub(amount))
            });
    }

    /// What all workers use of something that rows count.
    #[must_use]
    pub fn used(&self, what: Quota) -> u64 {
        (0..self.rows()).fold(0, |sum, row| {
            sum.saturating_add(self.cell(row, what).load(Ordering::Relaxed))
        })
    }

    /// Forgets what a row uses: its worker has ended. To be called by the agent.
    pub fn wipe(&self, row: usize) {
        for word in 0..WORDS {
            self.word(HEAD + row * WORDS + word)
                .store(0, Ordering::Relaxed);
        }
    }

    /// So many rows may be in use. To be called by the agent.
    pub fn set_rows(&self, rows: usize) {
        self.word(0).store(rows as u64, Ordering::Relaxed);
    }

    /// Lets a request pass, or says for how many nanoseconds it would have to wait: `rate`
    /// requests a second, and `burst` at once. `now` is in nanoseconds of a clock that all
    /// processes share.
    ///
    /// # Errors
    /// How long to wait.
    pub fn pass(&self, now: u64, rate: u64, burst: u64) -> Result<(), u64> {
        // The time at which the bucket is full again (the "generic cell rate algorithm"):
        // one word, so that no process that ends half-way leaves it undone.
        let each = 1_000_000_000 / rate.max(1);
        let most = each.saturating_mul(burst.max(1));
        let full = self.word(1);
        let mut wait = 0;
        let next = |at: u64| {
            // A time far away is none of ours.
            let at = if at > now.saturating_add(most) {
                now
            } else {
                at
            };
            let next = at.max(now).saturating_add(each);
            wait = next.saturating_sub(now.saturating_add(most));
            (wait == 0).then_some(next)
        };
        match full.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next) {
            Ok(_) => Ok(()),
            Err(_) => Err(wait),
        }
    }

    /// Counts a refusal.
    pub fn refuse(&self, what: Quota) {
        self.word(REFUSED + what as usize)
            .fetch_add(1, Ordering::Relaxed);
    }

    /// How often something was refused, since the agent knows the tenant.
    #[must_use]
    pub fn refused(&self, what: Quota) -> u64 {
        self.word(REFUSED + what as usize).load(Ordering::Relaxed)
    }

    fn rows(&self) -> usize {
        let rows = self.word(0).load(Ordering::Relaxed);
        usize::try_from(rows).unwrap_or(ROWS).min(ROWS)
    }

    fn cell(&self, row: usize, what: Quota) -> &AtomicU64 {
        self.word(HEAD + row.min(ROWS - 1) * WORDS + (what as usize).min(WORDS - 1))
    }

    fn word(&self, index: usize) -> &AtomicU64 {
        debug_assert!(index < HEAD + ROWS * WORDS);
        // SAFETY: within the mapping: rows and quotas are bounded by those who call, and
        // the mapping is aligned to a page.
        unsafe { &*self.words.as_ptr().add(index) }
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        // SAFETY: it was mapped with this size, and nobody has it any more.
        let _ = unsafe { munmap(self.words.as_ptr().cast(), BYTES) };
    }
}

/// Nanoseconds of a clock that all processes of the machine share.
#[must_use]
pub fn now() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    seconds
        .saturating_mul(1_000_000_000)
        .saturating_add(u64::try_from(now.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn workers_count_together_and_what_one_used_is_free_when_it_has_ended() {
        let (agent, fd) = Ledger::create().unwrap();
        agent.set_rows(2);
        let (one, two) = (Ledger::open(&fd).unwrap(), Ledger::open(&fd).unwrap());
        assert_eq!(one.take(0, Quota::Sessions, 6, 10), Ok(()));
        assert_eq!(two.take(1, Quota::Sessions, 5, 10), Err(6));
        assert_eq!(two.take(1, Quota::Sessions, 4, 10), Ok(()));
        assert_eq!(two.take(1, Quota::Resources, 4, 10), Ok(()));
        assert_eq!(agent.used(Quota::Sessions), 10);
        agent.wipe(0);
        assert_eq!(agent.used(Quota::Sessions), 4);
        two.give(1, Quota::Sessions, 4);
        assert_eq!(
            (agent.used(Quota::Sessions), agent.used(Quota::Resources)),
            (0, 4)
        );
        two.give(1, Quota::Sessions, 1);
        assert_eq!(agent.used(Quota::Sessions), 0, "never below nothing");
    }

    #[test]
    fn a_rate_lets_a_burst_pass_and_then_so_many_a_second() {
        let (ledger, _fd) = Ledger::create().unwrap();
        let start = 1_000_000_000_000;
        let passed = |at: u64| {
            (0..100)
                .filter(|_| ledger.pass(at, 1000, 10).is_ok())
                .count()
        };
        assert_eq!(passed(start), 10);
        // A millisecond each.
        assert_eq!(passed(start + 5_000_000), 5);
        let wait = ledger.pass(start + 5_000_000, 1000, 10).unwrap_err();
        assert!(wait <= 1_000_000, "{wait}");
        assert_eq!(
            passed(start + 3_600_000_000_000),
            10,
            "no more than a burst is saved up"
        );
    }

    #[test]
    fn refusals_are_counted_by_what_was_refused() {
        let (ledger, fd) = Ledger::create().unwrap();
        let worker = Ledger::open(&fd).unwrap();
        for (i, what) in Quota::ALL.into_iter().enumerate() {
            (0..=i).for_each(|_| worker.refuse(what));
        }
        for (i, what) in Quota::ALL.into_iter().enumerate() {
            assert_eq!(ledger.refused(what), i as u64 + 1, "{}", what.name());
        }
    }

    #[test]
    fn what_can_be_cut_off_is_no_ledger() {
        let fd = memfd_create("x", MemfdFlags::CLOEXEC).unwrap();
        ftruncate(&fd, BYTES as u64).unwrap();
        assert!(Ledger::open(&fd).is_err());
        let (_ledger, fd) = Ledger::create().unwrap();
        assert!(ftruncate(&fd, 0).is_err());
    }
}
