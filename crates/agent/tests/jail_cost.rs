//! What the jail costs: run with `--nocapture` for the figures.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::{PATIENCE, WORKER, build_library, wait_until};
use std::time::{Duration, Instant};
use vaccel_agent::handoff::ToAgent;
use vaccel_agent::jail::Prepared;
use vaccel_agent::process::{Process, Recipe};
use vaccel_jail::namespaces::Plan;
use vaccel_jail::{JailOptions, Mode};

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

#[test]
fn a_jailed_worker_starts_in_well_under_100_ms() {
    const ROUNDS: usize = 15;
    build_library();
    let base = tempfile::tempdir().unwrap();
    let plan = Plan::find().unwrap_or_default();
    let prepared = |mode| Prepared {
        options: JailOptions {
            mode,
            ..JailOptions::default()
        },
        namespaces: plan.clone(),
    };
    let ways = [
        ("without", prepared(Mode::Off), Plan::None),
        ("in a jail", prepared(Mode::On), Plan::None),
        ("and a network of its own", prepared(Mode::On), plan.clone()),
    ];
    let mut times = ways.each_ref().map(|_| vec![]);
    for round in 0..ROUNDS {
        for (which, (_, jail, namespaces)) in ways.iter().enumerate() {
            let recipe = Recipe {
                program: WORKER.into(),
                arguments: ["--plugins", "noop", "--jail", &jail.to_json()]
                    .map(Into::into)
                    .to_vec(),
                pass_env: vec![],
                set_env: vec![("VACCEL_BOOTSTRAP_ENABLED".into(), "0".into())],
                namespaces: namespaces.clone(),
                counts: false,
                jailed: jail.is_on(),
            };
            let folder = base.path().join(format!("{round}.{which}"));
            std::fs::create_dir(&folder).unwrap();
            let begin = Instant::now();
            let process = Process::start(&recipe, &[], folder).unwrap();
            let mut said = None;
            while said.is_none() {
                assert!(begin.elapsed() < PATIENCE, "the worker does not start");
                match process.receive() {
                    Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => {
                        std::thread::yield_now()
                    }
                    other => said = other.unwrap(),
                }
            }
            times[which].push(begin.elapsed());
            assert!(matches!(said, Some(ToAgent::Ready { .. })), "{said:?}");
            drop(process);
        }
    }
    wait_until("folders go", || {
        std::fs::read_dir(base.path()).unwrap().count() == 0
    });
    for ((name, ..), times) in ways.iter().zip(&times) {
        println!("from start to READY, {name}: {:?}", median(times.clone()));
    }
    let best = times.each_ref().map(|times| *times.iter().min().unwrap());
    assert!(best[2] < Duration::from_millis(100), "{best:?}");
}
