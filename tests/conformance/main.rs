//! One suite for every way a call can take: what comes back over a transport is what comes back
//! in process, values, errors and their texts.
#![allow(clippy::unwrap_used)]

mod ways;

use serde_json::Value;
use std::collections::BTreeMap;
use vaccel_tests::{Agent, Program, reference_plugin, stage};
use ways::{Way, Ways};

/// Groups of cases that every transport must answer alike.
const GROUPS: [&str; 8] = [
    "async",
    "compute",
    "arguments",
    "frameworks",
    "models",
    "kept",
    "resources",
    "sessions",
];

type Answers = BTreeMap<String, Value>;

fn driver<T: AsRef<std::ffi::OsStr>>(settings: &[(&str, T)], groups: &[&str]) -> Answers {
    let text = Program::driver(env!("CARGO_BIN_EXE_conformance-driver"), groups)
        .unwrap()
        .envs(settings)
        .output()
        .unwrap();
    let answers: Answers = text
        .lines()
        // The others are the library's log.
        .filter(|line| line.starts_with('{'))
        .map(|line| {
            let mut answer: Value = serde_json::from_str(line).unwrap();
            let case = answer["case"].take().as_str().unwrap().to_string();
            (case, answer)
        })
        .collect();
    assert!(!answers.is_empty());
    for (case, answer) in &answers {
        let message = answer["message"].as_str().unwrap_or_default();
        assert!(!message.contains("WRONG"), "{case}: {message}");
    }
    answers
}

fn in_process(groups: &[&str]) -> Answers {
    let plugin = reference_plugin().unwrap();
    driver(&[("VACCEL_PLUGINS", plugin.to_str().unwrap())], groups)
}

fn through(address: &str, groups: &[&str]) -> Answers {
    driver(
        &[("VACCEL_PLUGINS", "rpc"), ("VACCEL_RPC_ADDRESS", address)],
        groups,
    )
}

fn by(way: &Way, groups: &[&str]) -> Answers {
    driver(&way.settings, groups)
}

fn agent(addresses: &[&str]) -> Agent {
    let plugin = reference_plugin().unwrap();
    Agent::start(&stage().unwrap(), plugin.to_str().unwrap(), addresses, &[]).unwrap()
}

/// Through ttrpc, as agents of the C implementation have it.
fn compatible(address: &str, groups: &[&str]) -> Answers {
    driver(
        &[
            ("VACCEL_PLUGINS", "rpc"),
            ("VACCEL_RPC_ADDRESS", address),
            ("VACCEL_RPC_PROTOCOL", "ttrpc"),
        ],
        groups,
    )
}

/// Every case that differs, with both answers.
fn compare(way: &str, here: &Answers, there: &Answers) {
    let names: Vec<_> = here.keys().collect();
    assert_eq!(names, there.keys().collect::<Vec<_>>());
    // A text says that it came through the transport; that is all that may differ.
    let same = |case: &str, answer: &Value| {
        let mut there = there[case].clone();
        if let Some(text) = there["message"].as_str() {
            there["message"] = text.replacen("rpc: ", "", 1).into();
        }
        there["error"] == answer["error"]
            && there["value"] == answer["value"]
            && there["message"] == answer["message"]
    };
    let different: Vec<String> = here
        .iter()
        .filter(|(case, answer)| !same(case, answer))
        .map(|(case, answer)| format!("{case}\n  here:  {answer}\n  there: {}", there[case]))
        .collect();
    assert!(
        different.is_empty(),
        "{way}: {} of {} cases differ:\n{}",
        different.len(),
        here.len(),
        different.join("\n")
    );
}

#[test]
fn every_case_has_an_answer_in_process() {
    let here = in_process(&GROUPS);
    assert!(here.len() > 200, "{}", here.len());
    let errors: Vec<_> = here
        .iter()
        .filter(|(_, a)| a.get("error").is_some())
        .collect();
    // What is meant to fail says so in its name.
    let meant = [
        "fail", "refused", "broken", "unknown", "no ", "panic", "shorter", "another", "without",
    ];
    for (case, answer) in errors {
        assert!(
            meant.iter().any(|word| case.contains(word)),
            "{case}: {answer}"
        );
    }
}

#[test]
fn every_way_to_an_agent_answers_as_in_process() {
    let here = in_process(&GROUPS);
    let ways = Ways::start();
    assert_eq!(ways.all.len(), 5);
    for way in &ways.all {
        compare(way.name, &here, &by(way, &GROUPS));
    }
}

#[test]
fn what_ttrpc_carries_is_answered_as_in_process_and_the_rest_says_so() {
    let here = in_process(&GROUPS);
    let agent = agent(&["tcp://127.0.0.1:0"]);
    for address in agent.addresses() {
        let mut there = compatible(address, &GROUPS);
        let mut here = here.clone();
        let not_carried: Vec<_> = there
            .iter()
            .filter(|(case, answer)| {
                answer["error"] == "VACCEL_ENOTSUP" && here[*case]["error"] != "VACCEL_ENOTSUP"
            })
            .map(|(case, answer)| (case.clone(), answer["message"].to_string()))
            .collect();
        for (case, message) in &not_carried {
            // Models of any framework, folders; tensors of torch_sgemm, which the case calls
            // in C, where an error is a number.
            let group = case.split('/').next().unwrap_or_default();
            let told = ["model", "kept"].contains(&group) || case == "resource/folder";
            let said = told && message.contains("does not carry");
            assert!(said || case == "torch/sgemm", "{case}: {message}");
            here.remove(case);
            there.remove(case);
        }
        assert!(here.len() > 120, "{}", here.len());
        compare(&format!("ttrpc, {address}"), &here, &there);
    }
}

#[test]
fn arguments_of_a_gibibyte_go_both_ways() {
    let groups = ["huge"];
    let here = in_process(&groups);
    let agent = agent(&["tcp://127.0.0.1:0"]);
    for address in agent.addresses() {
        compare(address, &here, &through(address, &groups));
    }
}

#[test]
fn ten_thousand_sessions_are_open_at_once() {
    let groups = ["many-sessions"];
    let here = in_process(&groups);
    let agent = agent(&[]);
    compare("unix", &here, &through(&agent.address(), &groups));
}

#[test]
fn calls_end_at_their_deadline_and_threads_beside_them_go_on() {
    for mut way in Ways::start().all {
        way.settings.push(("VACCEL_RPC_TIMEOUT", "0.5".to_owned()));
        let answers = by(&way, &["deadline", "given-up"]);
        let value = |case: &str| answers[case]["value"].clone();
        let name = way.name;
        assert_eq!(value("deadline/passed"), "VACCEL_ETIMEDOUT", "{name}");
        assert!(
            value("deadline/the session works after it").is_array(),
            "{name}"
        );
        assert_eq!(value("given up/beside others"), 50, "{name}");
        // Calls that were given up do not take the connection's room for good.
        assert_eq!(
            value("given up/more than may be in flight"),
            "all",
            "{name}"
        );
    }
}

#[test]
fn who_sends_a_resource_is_told_how_far_it_has_come() {
    let ways = Ways::start();
    let mut told = 0;
    for way in &ways.all {
        let answers = by(way, &["progress"]);
        let value = answers["resource/progress"]["value"].clone();
        // In pieces of 1 MiB. What the agent has already is not sent.
        if value != serde_json::json!([0, "", 0, 0]) {
            let all = serde_json::json!([5, "sent", 5_000_000, 5_000_000]);
            assert_eq!(value, all, "{}", way.name);
            told += 1;
        }
    }
    assert!(told > 0);
}
