//! Profiling regions: named series of time samples.

use libc::{c_char, size_t};

/// One measured interval.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
#[allow(non_camel_case_types)]
pub struct vaccel_prof_sample {
    /// Start, in nanoseconds of `CLOCK_MONOTONIC_RAW`.
    pub start: u64,
    /// Length, in nanoseconds.
    pub time: u64,
}

/// A named series of intervals.
#[repr(C)]
#[derive(Debug)]
#[allow(non_camel_case_types)]
pub struct vaccel_prof_region {
    /// Name.
    pub name: *const c_char,
    /// True when the name is freed with the region.
    pub name_owned: bool,
    /// Number of samples taken.
    pub nr_entries: size_t,
    /// The samples; malloc'ed.
    pub samples: *mut vaccel_prof_sample,
    /// Room at `samples`.
    pub size: size_t,
}

/// What calls of an operation took.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(non_camel_case_types)]
pub struct vaccel_prof_stats {
    /// Calls.
    pub count: u64,
    /// Calls that failed; their times count, too.
    pub errors: u64,
    /// Nanoseconds of all together.
    pub total: u64,
    /// Median, nanoseconds, to 1 in 32.
    pub p50: u64,
    /// 99 of 100 calls took at most so long, nanoseconds, to 1 in 32.
    pub p99: u64,
    /// The longest, nanoseconds.
    pub max: u64,
    /// Bytes of the arguments.
    pub bytes_in: u64,
    /// Bytes of the results, or of the room for them.
    pub bytes_out: u64,
}
