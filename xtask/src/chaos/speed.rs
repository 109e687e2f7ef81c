//! Figures: deadlines, scripts, frames, latency.

use super::Chaos;
use crate::bench::figure::Figure;
use anyhow::{Result, ensure};
use std::io::IsTerminal;
use std::time::{Duration, Instant};
use vaccel_tests::hostile::{Honest, Host, blast, model};

pub(super) fn deadlines(chaos: &mut Chaos) -> Result<()> {
    let scene = chaos.scene(&[])?;
    let mut worst: f64 = 0.0;
    for round in 0..chaos.rounds(60, 10) {
        let client = Honest::connect(&scene.host.address(), 0, round % 2 == 0)?;
        let limit = Duration::from_millis([20, 100, 300][round % 3]);
        let function = ["loop_forever", "sleep_for"][round / 3 % 2];
        let begin = Instant::now();
        let result = client.exec(function, &60_000_u32.to_le_bytes(), 8, Some(limit));
        let over = begin.elapsed().saturating_sub(limit).as_secs_f64() * 1e3;
        ensure!(result.is_err(), "a call of a minute ended in {limit:?}");
        worst = worst.max(over);
    }
    scene.ends()?;
    chaos.figures.push(Figure::at_most(
        "longest that a call outlives its deadline",
        worst,
        "ms",
        50.0,
    ));
    Ok(())
}

pub(super) fn foreign_bytes(chaos: &mut Chaos) -> Result<()> {
    let seeds: Vec<u64> = (1..=chaos.rounds(60, 4) as u64).collect();
    let (mut foreign, mut searched, mut honest) = (0, 0, 0);
    for isolation in ["shared", "connection"] {
        let seen = model::explore(&chaos.prefix, isolation, &seeds, 150)?;
        foreign += seen.foreign;
        searched += seen.searched;
        honest += seen.honest;
    }
    chaos.figures.push(
        Figure::plain("bytes of other tenants read", foreign as f64, "")
            .wanted("= 0".into(), foreign == 0)
            .with_note(format!(
                "{searched} bytes searched, {honest} honest answers, all right"
            )),
    );
    Ok(())
}

pub(super) fn mutated_frames(chaos: &mut Chaos) -> Result<()> {
    let options = [
        "--isolation",
        "shared",
        "--log-level",
        "error",
        "--deadline",
        "2s",
    ];
    let mut host = Host::start(&chaos.prefix, "noop", &options, "")?;
    let workers = host.workers();
    let all: u64 = if chaos.quick { 100_000 } else { 10_000_000 };
    let live = std::io::stderr().is_terminal();
    let begin = Instant::now();
    let done = blast::blast(&host, 0, all, 0x5eed, |frames| {
        if live {
            let rate = frames as f64 / begin.elapsed().as_secs_f64();
            eprint!("\r\x1b[K{frames} of {all} frames, {rate:.0} a second");
        }
    })?;
    if live {
        eprint!("\r\x1b[K");
    }
    let exits = u32::from(!host.is_running());
    ensure!(
        host.workers() == workers,
        "the worker has ended:\n{}",
        host.log()
    );
    ensure!(
        done.foreign == 0,
        "{} markers of others were received",
        done.foreign
    );
    let rate = done.frames as f64 / done.time.as_secs_f64();
    chaos.figures.push(
        Figure::plain("agent exits", f64::from(exits), "")
            .wanted("= 0".into(), exits == 0)
            .with_note(format!(
                "{} mutated frames over {} connections, {rate:.0} a second; the worker that served them lives too",
                done.frames, done.connections
            )),
    );
    Ok(())
}
