//! How long to look for something before sleeping for it.

use std::str::FromStr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// What a connection through shared memory spends to answer sooner.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Mode {
    /// Looks for up to 100 us before it sleeps, unless others want the processor.
    Latency,
    /// Looks for up to 20 us, and less the less often that was long enough.
    #[default]
    Balanced,
    /// Sleeps at once.
    LowCpu,
}

impl FromStr for Mode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "latency" => Ok(Self::Latency),
            "balanced" => Ok(Self::Balanced),
            "low-cpu" => Ok(Self::LowCpu),
            other => Err(format!(
                "`{other}` is no mode: write latency, balanced or low-cpu"
            )),
        }
    }
}

impl std::fmt::Display for Mode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Latency => "latency",
            Self::Balanced => "balanced",
            Self::LowCpu => "low-cpu",
        })
    }
}

/// How often one looks all the same after spinning has proved useless.
const PROBE: u32 = 64;
/// So often a spin offers the processor to others.
const COURTESY: Duration = Duration::from_micros(3);
/// After so many waits there is an offer even if none took long: two who always find
/// each other at once would leave nothing to others.
const WAITS: u32 = 32;
/// An offer that took longer was accepted.
const ACCEPTED: Duration = Duration::from_micros(2);
/// A spin that stood still for so long has lost its processor.
const LOST: Duration = Duration::from_micros(50);
/// How many waits pass without a spin after others have wanted the processor: at first,
/// and at most.
const REST: (u32, u32) = (8, 1024);

/// Spins before a wait, and learns whether it is worth while.
#[derive(Debug)]
pub(crate) struct Spin {
    mode: Mode,
    /// Nanoseconds of the next spin.
    budget: AtomicU32,
    /// Waits since the budget came to nothing.
    idle: AtomicU32,
    /// Waits with a spin.
    waits: AtomicU32,
    /// Waits that are to pass without a spin.
    rest: AtomicU32,
    /// Waits after those in which the processor is not offered: in a crowd an offer
    /// costs much more than sleeping.
    crowd: AtomicU32,
    /// What both begin with when others want the processor again.
    peak: AtomicU32,
}

impl Spin {
    /// Does not spin at all where the other side could not run meanwhile, or where what
    /// is spent would be missing afterwards.
    pub(crate) fn new(mode: Mode) -> Self {
        let mode = if may_spin() { mode } else { Mode::LowCpu };
        Self {
            mode,
            budget: AtomicU32::new(Self::most(mode)),
            idle: AtomicU32::new(0),
            waits: AtomicU32::new(0),
            rest: AtomicU32::new(0),
            crowd: AtomicU32::new(0),
            peak: AtomicU32::new(0),
        }
    }

    fn most(mode: Mode) -> u32 {
        match mode {
            Mode::Latency => 100_000,
            Mode::Balanced => 20_000,
            Mode::LowCpu => 0,
        }
    }

    /// True as soon as `ready` says so; false when that took too long.
    pub(crate) fn wait(&self, ready: impl Fn() -> bool) -> bool {
        if ready() {
            return true;
        }
        // Where others want the processor, the one that is waited for may be among them.
        let rest = self.rest.load(Ordering::Relaxed);
        if rest > 0 {
            self.rest.store(rest - 1, Ordering::Relaxed);
            return false;
        }
        let budget = match self.mode {
            Mode::LowCpu => return false,
            Mode::Latency => Self::most(self.mode),
            Mode::Balanced => match self.budget.load(Ordering::Relaxed) {
                0 => {
                    // Things change: now and then it is tried again.
                    if self.idle.fetch_add(1, Ordering::Relaxed) % PROBE != PROBE - 1 {
                        return false;
                    }
                    Self::most(self.mode)
                }
                budget => budget,
            },
        };
        let until = Duration::from_nanos(budget.into());
        let waits = self.waits.load(Ordering::Relaxed).wrapping_add(1);
        self.waits.store(waits, Ordering::Relaxed);
        let due = waits.is_multiple_of(WAITS);
        let crowd = self.crowd.load(Ordering::Relaxed);
        if crowd > 0 {
            // Sleeping makes room as well.
            return !due && self.look(&ready, COURTESY, crowd);
        }
        if due && self.offer() {
            return ready();
        }
        let begin = Instant::now();
        let (mut last, mut next) = (Duration::ZERO, COURTESY);
        loop {
            if spin(&ready) {
                self.learn(true);
                return true;
            }
            let now = begin.elapsed();
            let lost = now - last >= LOST;
            if lost {
                self.make_room();
            }
            if lost || now >= until || (now >= next && self.offer()) {
                let ready = ready();
                self.learn(ready);
                return ready;
            }
            if now >= next {
                next = now + COURTESY;
            }
            last = now;
        }
    }

    /// Looks for a moment, among others who want the processor.
    fn look(&self, ready: &impl Fn() -> bool, time: Duration, crowd: u32) -> bool {
        let begin = Instant::now();
        while begin.elapsed() < time {
            if spin(ready) {
                self.crowd.store(crowd - 1, Ordering::Relaxed);
                self.learn(true);
                return true;
            }
        }
        // It does not help here. Later it is tried again as if there were nobody.
        self.crowd.store(0, Ordering::Relaxed);
        let rest = self.peak.load(Ordering::Relaxed);
        self.rest.store(rest, Ordering::Relaxed);
        false
    }

    /// Offers the processor to others. True when it was wanted.
    fn offer(&self) -> bool {
        let begin = Instant::now();
        std::thread::yield_now();
        if begin.elapsed() >= ACCEPTED {
            self.make_room();
            return true;
        }
        let peak = self.peak.load(Ordering::Relaxed);
        if peak > 0 {
            self.peak.store(peak / 2, Ordering::Relaxed);
        }
        false
    }

    /// Others want the processor: the next waits do not spin, and each time it happens
    /// again they are more.
    fn make_room(&self) {
        let peak = self.peak.load(Ordering::Relaxed);
        let next = (peak * 2).clamp(REST.0, REST.1);
        for count in [&self.peak, &self.crowd, &self.rest] {
            count.store(next, Ordering::Relaxed);
        }
    }

    fn learn(&self, worth: bool) {
        if self.mode != Mode::Balanced {
            return;
        }
        let now = self.budget.load(Ordering::Relaxed);
        let most = Self::most(self.mode);
        let next = match (worth, now) {
            (true, _) => (now * 2).clamp(most / 8, most),
            (false, _) if now < most / 8 => 0,
            (false, _) => now / 2,
        };
        if next != now {
            self.budget.store(next, Ordering::Relaxed);
        }
    }
}

/// Some looks without asking for the time.
fn spin(ready: &impl Fn() -> bool) -> bool {
    (0..32).any(|_| {
        std::hint::spin_loop();
        ready()
    })
}

/// False on a machine with one processor, and where a quota leaves less than two of
/// several. A process that is bound to one of several may spin: the other side may run
/// on another, and when it does not, the first offers of the processor tell.
fn may_spin() -> bool {
    let parallel = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    if parallel > 1 {
        return true;
    }
    // SAFETY: a plain C structure for which zeros are valid, filled by the call.
    let allowed = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        match libc::sched_getaffinity(0, size_of_val(&set), &raw mut set) {
            0 => libc::CPU_COUNT(&set),
            _ => return false,
        }
    };
    // SAFETY: a plain question.
    let online = unsafe { libc::sysconf(libc::_SC_NPROCESSORS_ONLN) };
    allowed == 1 && online > 1
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn spin(mode: Mode) -> Spin {
        Spin {
            mode,
            budget: AtomicU32::new(Spin::most(mode)),
            idle: AtomicU32::new(0),
            waits: AtomicU32::new(0),
            rest: AtomicU32::new(0),
            crowd: AtomicU32::new(0),
            peak: AtomicU32::new(0),
        }
    }

    #[test]
    fn a_spin_is_bounded_and_useless_ones_become_rare() {
        let spin = spin(Mode::Balanced);
        let count = std::cell::Cell::new(0_u64);
        let never = || {
            count.set(count.get() + 1);
            false
        };
        for _ in 0..10 {
            // Where the machine is busy, too.
            spin.rest.store(0, Ordering::Relaxed);
            assert!(!spin.wait(never));
        }
        assert_eq!(spin.budget.load(Ordering::Relaxed), 0);
        count.set(0);
        spin.idle.store(0, Ordering::Relaxed);
        spin.rest.store(0, Ordering::Relaxed);
        for _ in 1..PROBE {
            assert!(!spin.wait(never));
        }
        assert_eq!(count.get(), u64::from(PROBE) - 1, "it still spins");
        // The next one tries, and succeeds: spinning is worth while again.
        let looks = std::cell::Cell::new(0);
        let third = || {
            looks.set(looks.get() + 1);
            looks.get() > 2
        };
        while spin.budget.load(Ordering::Relaxed) == 0 {
            spin.rest.store(0, Ordering::Relaxed);
            looks.set(0);
            spin.wait(third);
        }
        assert!(spin.budget.load(Ordering::Relaxed) > 0);
    }

    #[test]
    fn where_others_want_the_processor_waits_pass_without_a_spin_and_more_each_time() {
        let spin = spin(Mode::Latency);
        let looks = |spin: &Spin| {
            let looks = std::cell::Cell::new(0_u64);
            assert!(!spin.wait(|| {
                looks.set(looks.get() + 1);
                false
            }));
            looks.get()
        };
        for rest in [8, 16, 32, 64, 128, 256, 512, 1024, 1024] {
            spin.make_room();
            spin.waits.store(0, Ordering::Relaxed);
            for _ in 0..rest {
                assert_eq!(looks(&spin), 1, "it spins");
            }
            // Then it looks for a moment, and rests again when that was for nothing.
            assert!(looks(&spin) > 1, "it does not look again");
            assert_eq!(spin.rest.load(Ordering::Relaxed), rest);
        }
        // Where looking helps, that goes on as long, but for the waits that sleep to
        // make room. A test that loses its processor in the middle of a look has it given
        // up, and begins again.
        let sleeps = || {
            spin.make_room();
            spin.rest.store(0, Ordering::Relaxed);
            spin.waits.store(0, Ordering::Relaxed);
            let asked = std::cell::Cell::new(0);
            let soon = || {
                asked.set(asked.get() + 1);
                asked.get() > 3
            };
            let mut slept = 0;
            while spin.crowd.load(Ordering::Relaxed) > 0 {
                asked.set(0);
                slept += u32::from(!spin.wait(soon));
            }
            slept
        };
        assert!((0..100).any(|_| sleeps() == 1024 / (WAITS - 1)));
    }

    #[test]
    fn low_cpu_looks_once() {
        let spin = spin(Mode::LowCpu);
        let looks = std::cell::Cell::new(0);
        assert!(!spin.wait(|| {
            looks.set(looks.get() + 1);
            false
        }));
        assert_eq!(looks.get(), 1);
    }

    #[test]
    fn modes_are_read_as_they_are_written() {
        for mode in [Mode::Latency, Mode::Balanced, Mode::LowCpu] {
            assert_eq!(mode.to_string().parse::<Mode>().unwrap(), mode);
        }
        let error = "fast".parse::<Mode>().unwrap_err();
        assert!(
            error.contains("fast") && error.contains("low-cpu"),
            "{error}"
        );
    }
}
