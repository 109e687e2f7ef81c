//! The agent's figures: for Prometheus as a page of text, for `vaccel top` as JSON.
//!
//! [`http`] serves them; [`page`] and [`status`] make them of the [`Facts`](crate::board::Facts).

pub mod http;
pub mod page;
pub mod status;

/// Bytes of memory that a process has resident; 0 when it has gone.
fn resident(process: u32) -> u64 {
    let pages = std::fs::read_to_string(format!("/proc/{process}/statm"))
        .ok()
        .and_then(|text| text.split(' ').nth(1)?.parse::<u64>().ok());
    // SAFETY: a plain call.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    pages.unwrap_or(0) * u64::try_from(page).unwrap_or(4096)
}

/// Who clients are that nobody has named.
const NOBODY: &str = "unknown";
