//! Processors, divided among tenants whose workers are processes of their own.
//!
//! Each worker is a session of its own, which the kernel's autogroups take for one group:
//! groups get equal parts however many threads they have. The nice value of a group weighs
//! it; here it follows from the weight of the tenant, divided among its workers. So a
//! tenant gains nothing by more connections. Where autogroups are switched off, nice
//! values of threads are all there is.

use std::fs;
use std::io;

use crate::debug;

/// Weight of nice value 0, in this file and the policy.
const USUAL: f64 = 100.0;
/// Each step of nice is so much in weight (`sched_prio_to_weight` in the kernel).
const STEP: f64 = 1.25;

/// The nice value of a group with this weight, shared by so many workers.
#[must_use]
pub fn nice_of(weight: u32, workers: usize) -> i32 {
    let part = f64::from(weight.max(1)) / workers.max(1) as f64;
    let steps = (USUAL / part).ln() / STEP.ln();
    // Within -20 and 19, so that it fits.
    steps.round().clamp(-20.0, 19.0) as i32
}

/// Weighs the group of a worker, and the nice value of its threads.
pub fn weigh(process: u32, group: i32, nice: i32) {
    if let Err(e) = fs::write(format!("/proc/{process}/autogroup"), group.to_string()) {
        // Not there, or not allowed to be raised: then groups are equal.
        debug!("process {process} is not weighed: {e}");
    }
    if nice == 0 {
        return;
    }
    if let Err(e) = set_nice(process, nice) {
        debug!("process {process} keeps its priority: {e}");
    }
}

/// The kernel has a nice value for each thread; those to come inherit it.
fn set_nice(process: u32, nice: i32) -> io::Result<()> {
    for entry in fs::read_dir(format!("/proc/{process}/task"))? {
        let name = entry?.file_name();
        let Some(thread) = name.to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // SAFETY: a plain system call on a number.
        if unsafe { libc::setpriority(libc::PRIO_PROCESS, thread, nice) } < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Memory of a process that is its own and not of files, in bytes.
#[must_use]
pub fn memory_of(process: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{process}/statm")).ok()?;
    let mut pages = text.split(' ').skip(1).map(str::parse::<u64>);
    let (resident, shared) = (pages.next()?.ok()?, pages.next()?.ok()?);
    // SAFETY: asks for a number.
    let page = u64::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).ok()?;
    Some(resident.saturating_sub(shared).saturating_mul(page))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_group_has_its_weight_however_many_workers_share_it() {
        let weight = |nice: i32| USUAL / STEP.powi(nice);
        assert_eq!(nice_of(100, 1), 0);
        for workers in [1, 2, 4, 8, 16, 64] {
            let all = weight(nice_of(100, workers)) * workers as f64;
            assert!((85.0..=115.0).contains(&all), "{workers}: {all}");
        }
        assert!(nice_of(1000, 1) < 0 && nice_of(10, 1) > 0);
        assert_eq!((nice_of(1, 1000), nice_of(10_000, 1)), (19, -20));
    }

    #[test]
    fn memory_that_a_process_fills_is_seen() {
        let own = std::process::id();
        let before = memory_of(own).unwrap();
        let bytes = std::hint::black_box(vec![1u8; 32 << 20]);
        let after = memory_of(own).unwrap();
        assert!(after >= before + (24 << 20), "{before} {after}");
        drop(bytes);
        assert_eq!(memory_of(0), None);
    }
}
