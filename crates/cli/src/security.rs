//! `vaccel info --security`: what workers of an agent on this machine are locked in by.

use std::io::Write;

use anyhow::Result;
use serde_json::json;
use vaccel_jail::{files, probe};

/// Tries every part in a child and says what holds, and why the others do not. Called with
/// one thread.
pub(crate) fn run(as_json: bool) -> Result<()> {
    let report = probe::report();
    let lacks = report.lacks();
    let mut out = std::io::stdout().lock();
    if as_json {
        let about = json!({
            "parts": report.parts,
            "strict": lacks.is_none(),
            "landlock": files::version(),
        });
        writeln!(out, "{}", serde_json::to_string_pretty(&about)?)?;
        return Ok(());
    }
    for held in &report.parts {
        let holds = if held.holds { "yes" } else { "NO" };
        writeln!(out, "{:<18} {holds:<4} {}", held.part, held.detail)?;
    }
    match lacks {
        None => writeln!(out, "\nvaccel-agent --jail strict serves here.")?,
        Some(lacks) => writeln!(
            out,
            "\nvaccel-agent --jail strict does not serve here: {lacks}"
        )?,
    }
    Ok(())
}
