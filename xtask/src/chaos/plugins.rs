//! Plugins that misbehave in every way.

use super::{Chaos, Scene, wait};
use crate::bench::figure::Figure;
use crate::bench::sample::percentile;
use anyhow::{Context, Result, bail, ensure};
use std::time::{Duration, Instant};
use vaccel_tests::hostile::{Honest, Random};

/// The function ends its worker, again and again: an error for its caller each time, and
/// nothing for others.
fn ends_its_worker(chaos: &mut Chaos, function: &str) -> Result<()> {
    let scene = chaos.scene(&[])?;
    for _ in 0..chaos.rounds(20, 3) {
        let victim = Honest::connect(&scene.host.address(), 0, true)?;
        let begin = Instant::now();
        let limit = Some(Duration::from_secs(10));
        match victim.exec(function, b"x", 64, limit) {
            Ok(_) => bail!("{function} succeeded"),
            Err(error) => {
                let took = begin.elapsed();
                ensure!(
                    took < Duration::from_secs(5),
                    "{function}: {error:#} came after {took:?}"
                );
            }
        }
    }
    scene.ends().map(drop)
}

pub(super) fn abort(chaos: &mut Chaos) -> Result<()> {
    ends_its_worker(chaos, "abort_now")
}

pub(super) fn exit(chaos: &mut Chaos) -> Result<()> {
    ends_its_worker(chaos, "end_now")
}

pub(super) fn throw(chaos: &mut Chaos) -> Result<()> {
    ends_its_worker(chaos, "throw_it")
}

pub(super) fn stack(chaos: &mut Chaos) -> Result<()> {
    ends_its_worker(chaos, "overflow_the_stack")
}

pub(super) fn writes(chaos: &mut Chaos) -> Result<()> {
    ends_its_worker(chaos, "write_beyond")
}

pub(super) fn claims(chaos: &mut Chaos) -> Result<()> {
    let scene = chaos.scene(&[])?;
    let client = Honest::connect(&scene.host.address(), 0, true)?;
    let claimed = client.exec("overclaim", b"x", 64, None);
    ensure!(claimed.is_err(), "an output of 1 TiB came in 64 bytes");
    // It was an error of that call only.
    client.check(4000, &mut Random(1))?;
    drop(client);
    scene.ends().map(drop)
}

pub(super) fn closes(chaos: &mut Chaos) -> Result<()> {
    let scene = chaos.scene(&[])?;
    for _ in 0..chaos.rounds(10, 2) {
        let client = Honest::connect(&scene.host.address(), 0, true)?;
        // Whether an answer still comes is not promised; that none is waited for is.
        let begin = Instant::now();
        let _ = client.exec("close_all", b"x", 64, Some(Duration::from_secs(2)));
        let took = begin.elapsed();
        ensure!(took < Duration::from_secs(3), "the call took {took:?}");
    }
    scene.ends().map(drop)
}

pub(super) fn leaks(chaos: &mut Chaos) -> Result<()> {
    let scene = chaos.scene(&[])?;
    let client = Honest::connect(&scene.host.address(), 0, true)?;
    let worker = scene.host.worker_of(client.number())?;
    let before = super::memory_of(worker);
    for _ in 0..20 {
        client.exec("leak", b"x", 8, None)?;
    }
    let grown = super::memory_of(worker).saturating_sub(before);
    ensure!(
        grown > 60 << 10,
        "the plugin leaks only {grown} KiB; it proves nothing"
    );
    drop(client);
    wait("what leaked is given back with its worker", || {
        !scene.host.workers().contains(&worker)
    })?;
    scene.ends().map(drop)
}

pub(super) fn loops(chaos: &mut Chaos) -> Result<()> {
    let scene = chaos.scene(&[])?;
    for _ in 0..chaos.rounds(5, 1) {
        let client = Honest::connect(&scene.host.address(), 0, true)?;
        let worker = scene.host.worker_of(client.number())?;
        let limit = Duration::from_millis(300);
        let begin = Instant::now();
        let result = client.exec("loop_forever", b"x", 8, Some(limit));
        let took = begin.elapsed();
        ensure!(result.is_err(), "an endless loop ended");
        ensure!(
            took < limit + Duration::from_millis(200),
            "the error came after {took:?}"
        );
        drop(client);
        wait("the worker that loops is ended", || {
            !scene.host.workers().contains(&worker)
        })?;
    }
    scene.ends().map(drop)
}

/// Crashes, one after the other, and how soon there is a worker again.
pub(super) fn crashes(chaos: &mut Chaos) -> Result<()> {
    let rounds = chaos.rounds(1000, 30);
    let scene = chaos.scene(&["--pool", "2"])?;
    let (mut survived, mut times) = (0, Vec::with_capacity(rounds));
    for round in 0..rounds {
        let victim = connect(&scene).with_context(|| format!("before crash {round}"))?;
        let crashed = victim.exec("crash", b"x", 8, Some(Duration::from_secs(10)));
        ensure!(crashed.is_err(), "a crash succeeded");
        let begin = Instant::now();
        // A new connection, served by a worker that computes for it.
        let next = connect(&scene).with_context(|| format!("after crash {round}"))?;
        next.check(64, &mut Random(round as u64))?;
        times.push(begin.elapsed().as_secs_f64() * 1e3);
        survived += 1;
    }
    let calls = scene.watch.calls();
    scene.ends()?;
    chaos.figures.push(
        Figure::plain("plugin crashes survived", f64::from(survived), "")
            .wanted(format!("= {rounds}"), survived as usize == rounds)
            .with_note(format!(
                "{calls} calls of another tenant meanwhile, 0 failed"
            )),
    );
    let p99 = percentile(&mut times, 99);
    chaos.figures.push(
        Figure::at_most(
            "after a crash, until a new client is served: p99",
            p99,
            "ms",
            100.0,
        )
        .with_note(format!("p50 {:.1} ms", percentile(&mut times, 50))),
    );
    Ok(())
}

fn connect(scene: &Scene) -> Result<Honest> {
    Honest::connect(&scene.host.address(), 0, true)
}
