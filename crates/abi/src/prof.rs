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
