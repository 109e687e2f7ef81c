//! Profiling regions: named series of intervals, in bounded memory, from any thread.

use crate::ptr::Ptr;
use crate::{Result, alloc, fail, flags, get, get_bool, lock, log_info, ptr, set, stats};
use std::cell::RefCell;
use std::ffi::{CStr, c_char};
use std::fmt::Write as _;
use std::sync::Mutex;
use vaccel_abi::prof::{vaccel_prof_region, vaccel_prof_sample};
use vaccel_abi::table::OPS;

/// Most samples a region keeps: the latest ones (256 KiB).
pub const MAX_SAMPLES: usize = 1 << 14;
const FIRST_SAMPLES: usize = 64;

/// A region's structure has no room for totals, so they live in front of its
/// samples, in the same allocation.
#[repr(C)]
struct Header {
    entries: u64,
    total: u64,
}

/// Regions have no lock of their own; each borrows one of these, by address.
static LOCKS: [Mutex<()>; 16] = [const { Mutex::new(()) }; 16];

thread_local! {
    /// What this thread has started and not stopped: region and time.
    static RUNNING: RefCell<Vec<(usize, u64)>> = const { RefCell::new(Vec::new()) };
}

/// Deepest nesting of started regions on a thread; more are not measured.
const MAX_RUNNING: usize = 1024;

/// `vaccel_prof_enabled`.
#[must_use]
pub fn enabled() -> bool {
    flags::get() & flags::PROFILING != 0
}

/// Turns profiling on or off.
pub fn enable(on: bool) {
    flags::set(flags::PROFILING, if on { flags::PROFILING } else { 0 });
}

/// Nanoseconds of a clock that nobody adjusts.
#[must_use]
pub fn now() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: a valid place to write to; this clock exists on every Linux.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC_RAW, &raw mut time) };
    // Both are never negative for this clock.
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// `vaccel_prof_region_init`: an empty region with a copy of the name.
///
/// # Errors
/// `ENOMEM`.
pub fn init(region: Ptr<vaccel_prof_region>, name: &CStr) -> Result {
    region.write(vaccel_prof_region {
        name: alloc::string(name)?,
        name_owned: true,
        nr_entries: 0,
        samples: std::ptr::null_mut(),
        size: 0,
    });
    Ok(())
}

/// `vaccel_prof_regions_init`: an empty region with a copy of the name that it has.
///
/// # Errors
/// `EINVAL` without a name, `ENOMEM`.
pub fn init_named(region: Ptr<vaccel_prof_region>) -> Result {
    // SAFETY: by contract the region has a name, a C string or null.
    match unsafe { ptr::optional_text(get!(region.name)) } {
        Some(name) => init(region, name),
        None => fail!(EINVAL, "a profiling region needs a name"),
    }
}

fn lock_of(region: Ptr<vaccel_prof_region>) -> &'static Mutex<()> {
    &LOCKS[(region.as_ptr().addr() >> 4) % LOCKS.len()]
}

/// `vaccel_prof_region_start`: the interval begins, on this thread. Nothing
/// happens when profiling is off.
pub fn start(region: Ptr<vaccel_prof_region>) {
    if !enabled() {
        return;
    }
    let _ = RUNNING.try_with(|running| {
        if let Ok(mut running) = running.try_borrow_mut()
            && running.len() < MAX_RUNNING
        {
            running.push((region.as_ptr().addr(), now()));
        }
    });
}

/// `vaccel_prof_region_stop`: the interval that this thread began last ends.
///
/// # Errors
/// `EINVAL` when it did not begin, `ENOMEM`.
pub fn stop(region: Ptr<vaccel_prof_region>) -> Result {
    if !enabled() {
        return Ok(());
    }
    let end = now();
    let address = region.as_ptr().addr();
    let started = RUNNING
        .try_with(|running| {
            let mut running = running.try_borrow_mut().ok()?;
            let at = running.iter().rposition(|(region, _)| *region == address)?;
            Some(running.remove(at).1)
        })
        .ok()
        .flatten();
    let Some(start) = started else {
        fail!(
            EINVAL,
            "profiling region `{}` was not started on this thread",
            name(region)
        );
    };
    record(
        region,
        vaccel_prof_sample {
            start,
            time: end.saturating_sub(start),
        },
    )
}

fn record(region: Ptr<vaccel_prof_region>, sample: vaccel_prof_sample) -> Result {
    let _guard = lock(lock_of(region));
    let entries = totals(region).0;
    if get!(region.samples).is_null()
        || (entries >= get!(region.size) as u64 && get!(region.size) < MAX_SAMPLES)
    {
        grow(region)?;
    }
    let (samples, size) = (get!(region.samples), get!(region.size));
    let header = header(samples);
    // SAFETY: allocated by `grow` with a header and `size` samples; locked.
    unsafe {
        (*header).entries += 1;
        (*header).total = (*header).total.saturating_add(sample.time);
        // The remainder is below `size`.
        samples.add((entries % size as u64) as usize).write(sample);
    }
    set!(region.nr_entries = (entries + 1).min(size as u64) as usize);
    Ok(())
}

fn header(samples: *mut vaccel_prof_sample) -> *mut Header {
    samples.cast::<Header>().wrapping_sub(1)
}

fn grow(region: Ptr<vaccel_prof_region>) -> Result {
    let (old, size) = (get!(region.samples), get!(region.size));
    let larger = (size * 2).clamp(FIRST_SAMPLES, MAX_SAMPLES);
    const { assert!(size_of::<Header>() == size_of::<vaccel_prof_sample>()) };
    let block = alloc::zeroed::<vaccel_prof_sample>(larger + 1)?;
    // SAFETY: the new block has room for the header and more samples than the old
    // one, which was made here and is not used any more.
    let samples = unsafe {
        let samples = block.add(1);
        if !old.is_null() {
            std::ptr::copy_nonoverlapping(old.sub(1), block, size + 1);
            alloc::free(header(old));
        }
        samples
    };
    set!(region.samples = samples);
    set!(region.size = larger);
    Ok(())
}

/// How many intervals there were, and nanoseconds in all.
fn totals(region: Ptr<vaccel_prof_region>) -> (u64, u64) {
    let samples = get!(region.samples);
    if samples.is_null() {
        return (0, 0);
    }
    let header = header(samples);
    // SAFETY: samples are made by `grow`, with a header in front.
    unsafe { ((*header).entries, (*header).total) }
}

fn name(region: Ptr<vaccel_prof_region>) -> String {
    // SAFETY: the name of a region is a C string or null.
    unsafe { ptr::optional_text(get!(region.name)) }
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

/// The line that is printed for a region.
#[must_use]
pub fn line(region: Ptr<vaccel_prof_region>) -> String {
    let _guard = lock(lock_of(region));
    let (entries, total) = totals(region);
    format!(
        "[prof] {}: total_time: {total} nsec nr_entries: {entries}",
        name(region)
    )
}

/// `vaccel_prof_region_print`: one line of information in the log.
pub fn print(region: Ptr<vaccel_prof_region>) {
    if enabled() {
        log_info!("{}", line(region));
    }
}

/// `vaccel_prof_region_release`: frees samples and name.
pub fn release(region: Ptr<vaccel_prof_region>) {
    let _guard = lock(lock_of(region));
    let samples = get!(region.samples);
    // SAFETY: made by `grow` and `init`; freed once, because both become null.
    unsafe {
        if !samples.is_null() {
            alloc::free(header(samples));
        }
        if get_bool!(region.name_owned) {
            alloc::free(get!(region.name).cast_mut());
        }
    }
    region.write(vaccel_prof_region {
        name: std::ptr::null(),
        name_owned: false,
        nr_entries: 0,
        samples: std::ptr::null_mut(),
        size: 0,
    });
}

/// The region of an array with a name.
///
/// # Errors
/// `ENOENT` when there is none.
pub fn by_name(
    regions: &[Ptr<vaccel_prof_region>],
    wanted: &CStr,
) -> Result<Ptr<vaccel_prof_region>> {
    let found = regions.iter().copied().find(|region| {
        let region = *region;
        // SAFETY: the name of a region is a C string or null.
        let name = unsafe { ptr::optional_text(get!(region.name)) };
        name == Some(wanted)
    });
    match found {
        Some(region) => Ok(region),
        None => fail!(ENOENT, "there is no profiling region {wanted:?}"),
    }
}

/// `vaccel_prof_regions_print_all_to_buf`: all lines, in the caller's buffer of
/// `size` bytes, or in a malloc'ed one when `*buffer` is null.
///
/// # Errors
/// `ERANGE` when the buffer is too small (it holds the beginning then), `ENOMEM`.
pub fn print_to(
    regions: &[Ptr<vaccel_prof_region>],
    buffer: Ptr<*mut c_char>,
    size: usize,
) -> Result {
    let mut text = String::new();
    for region in regions {
        let _ = writeln!(text, "{}", line(*region));
    }
    if buffer.read().is_null() {
        buffer.write(alloc::string_from(text.as_bytes())?);
        return Ok(());
    }
    let fits = text.len().min(size.saturating_sub(1));
    if size > 0 {
        // SAFETY: the caller vouches for `size` bytes.
        unsafe {
            std::ptr::copy_nonoverlapping(text.as_ptr(), buffer.read().cast(), fits);
            buffer.read().add(fits).write(0);
        }
    }
    if fits < text.len() {
        fail!(
            ERANGE,
            "the buffer has {size} bytes, {} are needed",
            text.len() + 1
        );
    }
    Ok(())
}

/// Prints what the operations took, and starts counting anew.
pub(crate) fn report() {
    if !enabled() {
        return;
    }
    for (index, spec) in OPS.iter().enumerate() {
        let (entries, total) = stats::total(index);
        if entries > 0 {
            log_info!(
                "[prof] {}: total_time: {total} nsec nr_entries: {entries}",
                spec.function
            );
        }
    }
    stats::report();
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::sync::{MutexGuard, PoisonError};

    /// Profiling is one switch for the whole process.
    fn on() -> MutexGuard<'static, ()> {
        static ALONE: Mutex<()> = Mutex::new(());
        let guard = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        enable(true);
        guard
    }

    fn with(f: impl FnOnce(Ptr<vaccel_prof_region>)) {
        let mut place = std::mem::MaybeUninit::uninit();
        // SAFETY: `place` outlives the calls.
        let region = unsafe { Ptr::new(place.as_mut_ptr(), "region") }.unwrap();
        init(region, c"work").unwrap();
        f(region);
        release(region);
    }

    #[test]
    fn memory_is_bounded_and_totals_count_everything() {
        let _on = on();
        with(|region| {
            for _ in 0..MAX_SAMPLES + 1000 {
                start(region);
                stop(region).unwrap();
            }
            assert_eq!(get!(region.nr_entries), MAX_SAMPLES);
            assert_eq!(get!(region.size), MAX_SAMPLES);
            let entries = MAX_SAMPLES + 1000;
            assert!(line(region).ends_with(&format!("nr_entries: {entries}")));
        });
    }

    #[test]
    fn threads_can_share_a_region() {
        let _on = on();
        with(|region| {
            let address = region.as_ptr().addr();
            std::thread::scope(|scope| {
                for _ in 0..8 {
                    scope.spawn(move || {
                        let p = std::ptr::with_exposed_provenance_mut(address);
                        // SAFETY: the region outlives the scope.
                        let region = unsafe { Ptr::new(p, "region") }.unwrap();
                        for _ in 0..2000 {
                            start(region);
                            stop(region).unwrap();
                        }
                    });
                }
            });
            assert_eq!(totals(region).0, 16_000);
        });
    }

    #[test]
    fn stopping_what_was_not_started_is_an_error() {
        let _on = on();
        with(|region| assert!(stop(region).is_err()));
    }
}
