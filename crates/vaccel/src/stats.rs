//! What operations took, while profiling is on (`VACCEL_PROFILING_ENABLED=1`).

use std::ptr;
use std::time::Duration;

use vaccel_abi::prof::vaccel_prof_stats;
use vaccel_abi::session::vaccel_session;
use vaccel_abi::table;

use crate::error::{Error, Result};
use crate::library::Library;
use crate::session::Session;

/// What calls of an operation took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct OpStats {
    /// Calls.
    pub count: u64,
    /// Calls that failed; their times count, too.
    pub errors: u64,
    /// All of them together.
    pub total: Duration,
    /// Median, to 1 in 32.
    pub p50: Duration,
    /// 99 of 100 took at most so long, to 1 in 32.
    pub p99: Duration,
    /// The longest.
    pub max: Duration,
    /// Bytes of the arguments.
    pub bytes_in: u64,
    /// Bytes of the results, or of the room for them.
    pub bytes_out: u64,
}

impl Session {
    /// What an operation took in this session, by its name (`sgemm`, `model_run`).
    ///
    /// # Errors
    /// As [`op_stats`].
    pub fn op_stats(&self, operation: &str) -> Result<OpStats> {
        ask(self.library(), self.as_ptr(), operation)
    }
}

/// What an operation took in all sessions of the process.
///
/// # Errors
/// `EINVAL` for an operation that does not exist; `ENOTSUP` on the C implementation's
/// library.
pub fn op_stats(operation: &str) -> Result<OpStats> {
    ask(Library::get()?, ptr::null_mut(), operation)
}

fn ask(library: &Library, session: *mut vaccel_session, operation: &str) -> Result<OpStats> {
    let stats = library.extension(library.functions().prof_op_stats, "vaccel_prof_op_stats")?;
    let spec = table::find_by_name(operation)
        .ok_or_else(|| Error::invalid(format!("there is no operation `{operation}`")))?;
    let mut raw = vaccel_prof_stats::default();
    // SAFETY: the session is null or open; `raw` has room.
    let code = unsafe { stats(session, spec.code, &raw mut raw) };
    library.check("statistics", code)?;
    Ok(OpStats {
        count: raw.count,
        errors: raw.errors,
        total: Duration::from_nanos(raw.total),
        p50: Duration::from_nanos(raw.p50),
        p99: Duration::from_nanos(raw.p99),
        max: Duration::from_nanos(raw.max),
        bytes_in: raw.bytes_in,
        bytes_out: raw.bytes_out,
    })
}
