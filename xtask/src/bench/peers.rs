//! What other libraries take for the same calls; see `benches/peers`.

use super::figure::PeerFigure;
use crate::process::{command, output, root, target_dir};
use anyhow::{Context, Result};
use std::process::Command;

/// Each is a package, and a program, of its own: one that cannot be built does not hold up the others.
const PEERS: [&str; 3] = ["ttrpc", "tonic", "iceoryx2"];

/// Builds and runs all of them; says which cannot be had.
pub(super) fn run() -> Result<Vec<PeerFigure>> {
    let target = target_dir().join("peers");
    let mut figures = Vec::new();
    for peer in PEERS {
        eprintln!("peer: {peer}");
        let build = output(
            cargo()
                .args(["build", "--quiet", "--release", "--locked"])
                .args(["--package", &format!("peer-{peer}")])
                .arg("--target-dir")
                .arg(&target),
        );
        if let Err(error) = build {
            eprintln!("peer {peer} cannot be built, and is left out: {error:#}");
            continue;
        }
        let program = target.join(format!("release/peer-{peer}"));
        match output(&mut command(&program)).and_then(|text| read(peer, &text)) {
            Ok(found) => figures.extend(found),
            Err(error) => eprintln!("peer {peer} failed, and is left out: {error:#}"),
        }
    }
    Ok(figures)
}

/// Its workspace has a lock file of its own.
fn cargo() -> Command {
    let mut cargo = crate::process::cargo();
    cargo.current_dir(root().join("benches/peers"));
    cargo
}

/// Lines of JSON: {name, value, unit, p99}.
fn read(peer: &str, text: &str) -> Result<Vec<PeerFigure>> {
    #[derive(serde::Deserialize)]
    struct Figure {
        name: String,
        value: f64,
        unit: String,
        p99: Option<f64>,
    }
    text.lines()
        .map(|line| {
            let figure: Figure = serde_json::from_str(line)
                .with_context(|| format!("peer {peer} printed `{line}`"))?;
            Ok(PeerFigure {
                name: figure.name,
                peer: peer.into(),
                value: figure.value,
                unit: figure.unit,
                p99: figure.p99,
            })
        })
        .collect()
}
