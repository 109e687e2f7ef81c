//! How long to look for something before sleeping for it.

use std::str::FromStr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// What a connection through shared memory spends to answer sooner.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Mode {
    /// Looks for up to 100 us before it sleeps, always.
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

/// Spins before a wait, and learns whether it is worth while.
#[derive(Debug)]
pub(crate) struct Spin {
    mode: Mode,
    /// Nanoseconds of the next spin.
    budget: AtomicU32,
    /// Waits since the budget came to nothing.
    idle: AtomicU32,
}

impl Spin {
    /// Does not spin at all where this process has one processor only: there the
    /// other side cannot run meanwhile.
    pub(crate) fn new(mode: Mode) -> Self {
        let mode = if processors() > 1 { mode } else { Mode::LowCpu };
        Self {
            mode,
            budget: AtomicU32::new(Self::most(mode)),
            idle: AtomicU32::new(0),
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
        let begin = Instant::now();
        loop {
            for _ in 0..32 {
                std::hint::spin_loop();
                if ready() {
                    self.learn(true);
                    return true;
                }
            }
            if begin.elapsed() >= until {
                self.learn(false);
                return false;
            }
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

/// Processors that this process may use.
fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
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
            assert!(!spin.wait(never));
        }
        assert_eq!(spin.budget.load(Ordering::Relaxed), 0);
        count.set(0);
        spin.idle.store(0, Ordering::Relaxed);
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
            looks.set(0);
            spin.wait(third);
        }
        assert!(spin.budget.load(Ordering::Relaxed) > 0);
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
