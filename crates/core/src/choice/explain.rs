//! What would be chosen for each format and operation, and why.

use super::probe::{self, State};
use super::table;
use crate::op;
use crate::plugin::Plugin;
use serde_json::{Value, json};
use vaccel_abi::op::{OP_MODEL_LOAD, OpType};

/// One backend that is asked.
struct Candidate<'a> {
    name: &'a str,
    /// `None`: not loaded.
    state: Option<State>,
}

impl Candidate<'_> {
    fn is_ready(&self) -> bool {
        self.state == Some(State::Ready)
    }

    fn to_json(&self) -> Value {
        match &self.state {
            Some(State::Ready) => json!({"name": self.name, "ready": true}),
            Some(State::Missing { what, remedy }) => {
                json!({"name": self.name, "ready": false, "missing": what, "remedy": remedy})
            }
            None => json!({"name": self.name, "ready": false, "missing": "it is not loaded"}),
        }
    }
}

/// A row for each format and operation. `plugins`: all that are loaded, with what they say
/// of themselves.
pub(crate) fn explain(plugins: &[(&'static Plugin, Value)]) -> Value {
    let backends: Vec<_> = plugins
        .iter()
        .filter(|(plugin, _)| {
            op::is_backend_of_ours(plugin) && !table::LEFT_OUT.contains(&plugin.name())
        })
        .map(|(plugin, about)| (*plugin, about))
        .collect();
    let formats = table::FORMATS.iter().map(|(format, names)| {
        let known = table::all();
        let others = |plugin: &Plugin, about: &Value| {
            op::offered_by(plugin, OP_MODEL_LOAD)
                && !known.contains(&plugin.name())
                && probe::formats(about).any(|name| name == *format)
        };
        row("format", format, names, &backends, others)
    });
    let operations = table::OPERATIONS
        .iter()
        .filter(|(op, _)| !is_on_pictures(*op));
    let operations = operations.map(|(code, names)| {
        let others =
            |plugin: &Plugin, _: &Value| !names.contains(&plugin.name()) && plugin.offers(*code);
        row("operation", op::name(*code), names, &backends, others)
    });
    formats.chain(operations).collect()
}

/// Those go by the format of their model.
fn is_on_pictures(op: OpType) -> bool {
    use vaccel_abi::op::{OP_IMAGE_CLASSIFY, OP_IMAGE_DEPTH};
    (OP_IMAGE_CLASSIFY..=OP_IMAGE_DEPTH).contains(&op)
}

fn row(
    kind: &str,
    what: &str,
    names: &[&str],
    backends: &[(&'static Plugin, &Value)],
    others: impl Fn(&Plugin, &Value) -> bool,
) -> Value {
    let state = |name: &str| {
        let found = backends.iter().find(|(plugin, _)| plugin.name() == name);
        found.map(|(_, about)| State::of(about))
    };
    let mut candidates: Vec<Candidate<'_>> = names
        .iter()
        .map(|&name| Candidate {
            name,
            state: state(name),
        })
        .collect();
    let others = backends
        .iter()
        .filter(|(plugin, about)| others(plugin, about));
    candidates.extend(others.map(|(plugin, about)| Candidate {
        name: plugin.name(),
        state: Some(State::of(about)),
    }));
    let at = candidates.iter().position(Candidate::is_ready);
    let why = match at {
        Some(0) => "preferred, and ready".to_owned(),
        Some(at) => {
            let before: Vec<_> = candidates[..at].iter().map(|c| c.name).collect();
            format!("ready, and without {}", before.join(", "))
        }
        None => "none is ready".to_owned(),
    };
    let alternatives: Vec<_> = candidates
        .iter()
        .enumerate()
        .filter(|(place, _)| Some(*place) != at)
        .map(|(_, candidate)| candidate.to_json())
        .collect();
    json!({
        "kind": kind,
        "for": what,
        "chosen": at.map(|at| candidates[at].name),
        "why": why,
        "alternatives": alternatives,
    })
}
