//! `cargo xtask docs`: pages that follow from the code.

use crate::process::root;
use anyhow::{Context, Result, bail};
use std::fmt::Write;
use vaccel_abi::arg;
use vaccel_abi::op::OP_MAX;
use vaccel_abi::table::{Direction, Kind, OPS, Param};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Fail when a page is out of date instead of writing it.
    #[arg(long)]
    check: bool,
}

const PAGE: &str = "docs/operations.md";

pub(crate) fn run(options: &Options) -> Result<()> {
    let path = root().join(PAGE);
    let page = operations()?;
    if options.check {
        let old = std::fs::read_to_string(&path).unwrap_or_default();
        if old != page {
            bail!("{PAGE} is out of date; run `cargo xtask docs`");
        }
        return Ok(());
    }
    std::fs::write(&path, page).with_context(|| format!("cannot write {PAGE}"))?;
    crate::matrix::write()
}

/// The table of operations as Markdown.
fn operations() -> Result<String> {
    let mut page = String::from(
        "# Operations\n\n\
         Made by `cargo xtask docs` from the table in `crates/abi/src/table.rs`, which also drives\n\
         `vaccel_genop`, its validation, the transport plugin and the profiling regions.\n\n\
         The *generic form* of an operation is what `vaccel_genop` takes after one leading `UINT8`\n\
         with the code: a list of read arguments and a list of write arguments. An argument in\n\
         brackets may be left out. `tensors` and `arguments` stand for all that remain.\n\n\
         | code | operation | function | read | write |\n\
         | --- | --- | --- | --- | --- |\n",
    );
    for spec in OPS {
        writeln!(
            page,
            "| {} | {} | `{}` | {} | {} |",
            spec.code,
            spec.name,
            spec.function,
            list(spec.read),
            list(spec.write)
        )?;
    }
    page.push_str("\n## In words\n\n");
    for spec in OPS {
        let mut notes = Vec::new();
        if spec.untyped {
            notes.push("Sizes are checked, argument types are not.");
        }
        if !spec.idempotent {
            notes.push("Never repeated by itself after a lost connection.");
        }
        if spec.code >= OP_MAX {
            notes.push("Offered by plugins through `vaccel_plugin_ext`.");
        }
        writeln!(
            page,
            "- **{}**: {} {}",
            spec.name,
            spec.summary,
            notes.join(" ")
        )?;
    }
    // A line with nothing behind it ends without a blank.
    Ok(page
        .lines()
        .map(str::trim_end)
        .collect::<Vec<_>>()
        .join("\n")
        + "\n")
}

fn list(params: &[Param]) -> String {
    params.iter().map(param).collect::<Vec<_>>().join(", ")
}

fn param(param: &Param) -> String {
    let kind = match param.kind {
        Kind::Scalar(t) | Kind::Array(t) => {
            arg::name(t).trim_start_matches("VACCEL_ARG_").to_string()
        }
        Kind::Text => "STRING".into(),
        Kind::Bytes => "BUFFER".into(),
        Kind::Resource => "INT64 resource".into(),
        Kind::Tensors => "tensors".into(),
        Kind::Rest => "arguments".into(),
    };
    let both = if param.direction == Direction::InOut {
        " (read too when beta is not 0)"
    } else {
        ""
    };
    let text = format!("`{}` {kind}{both}", param.name);
    if param.optional {
        format!("[{text}]")
    } else {
        text
    }
}
