//! `vaccel agent`: becomes `vaccel-agent`.

use crate::options::Agent;
use anyhow::{Context, Result};
use std::os::unix::process::CommandExt;

pub(crate) fn run(options: &Agent) -> Result<()> {
    let own = std::env::current_exe().context("cannot tell where this program is")?;
    let program = own.with_file_name("vaccel-agent");
    let error = std::process::Command::new(&program)
        .args(&options.arguments)
        .exec();
    Err(error).with_context(|| {
        format!(
            "cannot start {}; it is installed beside this program",
            program.display()
        )
    })
}
