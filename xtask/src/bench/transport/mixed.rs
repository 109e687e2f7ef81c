//! An empty operation while a large reply to another session is on its way on the same connection.
//!
//! It is tried once a millisecond, for a set time: one after the other at full speed, most of them
//! would be done while no reply is on its way, and hide the few that had to wait.
//!
//! The floor is the same operation while the large replies come from another agent by another
//! connection: the processors have as much to do, and nothing is shared.

use super::bulk::MB;
use super::client::Client;
use super::{Placement, ROUNDS, Way};
use crate::bench::figure::Figure;
use crate::bench::sample::{Summary, bind, bounded};
use anyhow::{Context, Result, bail, ensure};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use vaccel::Output;
use vaccel::Session;
use vaccel_tests::Agent;

const LARGE: usize = 64 * MB;
const CALLS: usize = 2000;
/// How often, and for how long.
const EVERY: Duration = Duration::from_millis(1);
const TIME: Duration = Duration::from_secs(2);
/// Microseconds that the operation may take more than beside replies of another agent.
const MORE: f64 = 1000.0;
/// Longest that the large replies may take to begin.
const LIMIT: Duration = Duration::from_secs(30);

pub(super) fn run(prefix: &Path) -> Result<Vec<Figure>> {
    let placement = Placement::apart()?;
    // Two threads here, and two there.
    bind(&placement.all)?;
    let start = || Agent::start(prefix, "noop", &["tcp://127.0.0.1:0"], &[]);
    let (agent, other) = (start()?, start()?);
    let mut figures = Vec::new();
    for (own, others) in ways(&agent)?.iter().zip(&ways(&other)?) {
        figures.push(beside(prefix, own, others)?);
    }
    Ok(figures)
}

fn ways(agent: &Agent) -> Result<[Way; 2]> {
    let [unix, tcp] = agent.addresses() else {
        bail!("the agent has other addresses than it was told");
    };
    Ok([Way::unix(unix), Way::new("tcp", tcp)])
}

fn beside(prefix: &Path, way: &Way, other: &Way) -> Result<Figure> {
    let (empty, large) = (way.open()?, way.session()?);
    let mut alone = Vec::new();
    for _ in 0..ROUNDS {
        alone.push(bounded(CALLS, || Ok(empty.noop()?))?);
    }
    let alone = Summary::of(&alone);
    let mut client = Client::start(prefix, other)?;
    client.tell("stream")?;
    client.answer()?;
    let apart = Summary::of(&rounds(&empty, || false)?);
    drop(client);
    let (busy, (count, time)) = while_streaming(&empty, &large)?;
    let title = format!("empty op beside 64 MB replies, {}", way.name);
    let wanted = format!("p99 <= {MORE} us more than beside those of another agent");
    let each = time.as_secs_f64() * 1e3 / count as f64;
    Ok(Figure::plain(&title, busy.p50, "us")
        .with_floor(apart.p50)
        .wanted(wanted, busy.p99 - apart.p99 <= MORE)
        .with_p99(busy.p99)
        .with_note(format!(
            "{count} replies of 64 MB meanwhile, {each:.0} ms each; beside those of another agent \
             p99 {:.0} us; alone {:.1} us, p99 {:.1} us",
            apart.p99, alone.p50, alone.p99,
        )))
}

/// How long the empty operation takes while large replies come to a session; their number and
/// how long they took.
fn while_streaming(empty: &Session, large: &Session) -> Result<(Summary, (u64, Duration))> {
    let (stop, replies) = (AtomicBool::new(false), AtomicU64::new(0));
    let (busy, streamed) = std::thread::scope(|scope| -> Result<_> {
        let streaming = scope.spawn(|| stream(large, &stop, &replies));
        let busy = busy(empty, &replies, || streaming.is_finished());
        stop.store(true, Ordering::Relaxed);
        let streamed = streaming.join();
        let streamed = streamed.map_err(|_| anyhow::anyhow!("the streaming thread panicked"))?;
        Ok((busy?, streamed?))
    })?;
    Ok((Summary::of(&busy), streamed))
}

/// Fetches large replies, and says when the first has come, until `end` returns.
pub(super) fn until(session: &Session, end: &mut dyn FnMut()) -> Result<()> {
    let (stop, replies) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let streaming = scope.spawn(|| stream(session, &stop, &replies));
        let first = wait_for_first(&replies, || streaming.is_finished());
        if first.is_ok() {
            println!("{}", replies.load(Ordering::Relaxed));
            end();
        }
        stop.store(true, Ordering::Relaxed);
        first
    })
}

/// Fetches large replies until it is told to stop.
fn stream(session: &Session, stop: &AtomicBool, replies: &AtomicU64) -> Result<(u64, Duration)> {
    let mut room = vec![1_u8; LARGE];
    let begun = Instant::now();
    loop {
        let mut output = [Output::buffer(&mut room)];
        // SAFETY: the agent's plugin is noop: no function is called.
        unsafe { session.exec("none", "none", &[], &mut output)? };
        ensure!(
            output[0].size() == LARGE,
            "the reply has {} bytes",
            output[0].size()
        );
        let done = replies.fetch_add(1, Ordering::Relaxed) + 1;
        if stop.load(Ordering::Relaxed) {
            return Ok((done, begun.elapsed()));
        }
    }
}

/// Rounds of the empty operation, from when the replies stream.
fn busy(session: &Session, replies: &AtomicU64, over: impl Fn() -> bool) -> Result<Vec<Vec<f64>>> {
    wait_for_first(replies, &over)?;
    rounds(session, over)
}

fn wait_for_first(replies: &AtomicU64, over: impl Fn() -> bool) -> Result<()> {
    let begun = Instant::now();
    while replies.load(Ordering::Relaxed) == 0 {
        ensure!(!over(), "the large replies failed");
        ensure!(begun.elapsed() < LIMIT, "no large reply within {LIMIT:?}");
        std::thread::park_timeout(Duration::from_millis(1));
    }
    Ok(())
}

fn rounds(session: &Session, over: impl Fn() -> bool) -> Result<Vec<Vec<f64>>> {
    (0..ROUNDS)
        .map(|_| {
            let times = now_and_then(session)?;
            (!over())
                .then_some(times)
                .context("the large replies ended")
        })
        .collect()
}

/// Microseconds that each operation took. One that takes longer than the time between two
/// leaves out those whose time has passed meanwhile.
fn now_and_then(session: &Session) -> Result<Vec<f64>> {
    let begun = Instant::now();
    let mut times = Vec::new();
    let mut due = EVERY;
    while due < TIME {
        std::thread::sleep(due.saturating_sub(begun.elapsed()));
        let begin = Instant::now();
        session.noop()?;
        times.push(begin.elapsed().as_secs_f64() * 1e6);
        while due <= begun.elapsed() {
            due += EVERY;
        }
    }
    times.sort_by(f64::total_cmp);
    Ok(times)
}
