//! One word of switches, so that a call tests all of them with one relaxed load.

use std::sync::atomic::{AtomicU32, Ordering};

/// The enabled `SLOG_*` kinds, in their own bits.
pub const LOG_MASK: u32 = 0xff;
/// Profiling is on.
pub const PROFILING: u32 = 1 << 8;
/// Calls are kept for a trace file.
pub const TRACE: u32 = 1 << 10;
/// The library is initialised.
pub const UP: u32 = 1 << 9;

static FLAGS: AtomicU32 = AtomicU32::new(0);

/// All switches.
#[inline]
#[must_use]
pub fn get() -> u32 {
    FLAGS.load(Ordering::Relaxed)
}

/// Sets the switches in `mask` to those in `value`.
pub fn set(mask: u32, value: u32) {
    // AcqRel: who sees UP also sees what was written before it was set.
    let _ = FLAGS.fetch_update(Ordering::AcqRel, Ordering::Acquire, |old| {
        Some((old & !mask) | (value & mask))
    });
}

/// True when the library is initialised; what it wrote before is visible then.
#[inline]
#[must_use]
pub fn is_up() -> bool {
    FLAGS.load(Ordering::Acquire) & UP != 0
}
