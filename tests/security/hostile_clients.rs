//! Two hostile clients and one honest one, in random scripts, against real workers.
#![allow(clippy::unwrap_used)]

use vaccel_tests::hostile::{Host, blast, model};
use vaccel_tests::stage;

/// More, by `VACCEL_MODEL_SEEDS`.
fn seeds() -> Vec<u64> {
    let count = std::env::var("VACCEL_MODEL_SEEDS").map_or(6, |n| n.parse().unwrap());
    (1..=count).collect()
}

fn holds(isolation: &str) {
    let seen = model::explore(&stage().unwrap(), isolation, &seeds(), 150).unwrap();
    eprintln!("isolation {isolation}: {seen:?}");
    assert_eq!(seen.foreign, 0);
    assert!(seen.honest > 50 && seen.searched > 10_000, "{seen:?}");
}

#[test]
fn honest_clients_get_right_answers_and_hostile_ones_no_foreign_byte_in_a_shared_worker() {
    holds("shared");
}

#[test]
fn honest_clients_get_right_answers_and_hostile_ones_no_foreign_byte_in_workers_of_their_own() {
    holds("connection");
}

#[test]
fn a_hundred_thousand_mutated_frames_end_neither_the_agent_nor_its_worker() {
    let options = ["--isolation", "shared", "--log-level", "error"];
    let mut host = Host::start(&stage().unwrap(), "noop", &options, "").unwrap();
    let workers = host.workers();
    let done = blast::blast(&host, 0, 100_000, 0x5eed, |_| {}).unwrap();
    eprintln!("{done:?}");
    assert!(host.is_running());
    assert_eq!(host.workers(), workers, "{}", host.log());
    assert_eq!(done.foreign, 0);
}
