//! `vaccel top`: what an agent does at this moment.

mod fetch;
mod rates;
mod screen;
mod status;
mod table;

use crate::options::Top;
use anyhow::{Result, bail};
use std::io::{IsTerminal, Write};

pub(crate) fn run(options: &Top) -> Result<()> {
    let agent = fetch::find(options.agent.as_deref())?;
    if options.once {
        let text = if options.json {
            format!("{:#}\n", fetch::json(&agent)?)
        } else {
            let before = fetch::status(&agent)?;
            std::thread::sleep(options.interval);
            let after = fetch::status(&agent)?;
            table::text(&rates::View::between(&before, &after))
        };
        return Ok(std::io::stdout().write_all(text.as_bytes())?);
    }
    if !std::io::stdout().is_terminal() || !std::io::stdin().is_terminal() {
        bail!("this is no terminal; say --once, or --once --json for scripts");
    }
    screen::run(&agent, options.interval)
}
