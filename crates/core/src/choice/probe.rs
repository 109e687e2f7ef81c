//! Whether a backend can work here: what it says of itself.

use crate::describe;
use crate::plugin::Plugin;
use serde_json::Value;

/// What a backend says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum State {
    Ready,
    Missing { what: String, remedy: String },
}

impl State {
    /// Of a description; one that says nothing of it is ready.
    pub(super) fn of(about: &Value) -> Self {
        if about["ready"].as_bool().unwrap_or(true) && about["error"].is_null() {
            return Self::Ready;
        }
        let text = |key: &str| about[key].as_str().map(str::to_owned);
        Self::Missing {
            what: text("missing")
                .or_else(|| text("error"))
                .unwrap_or_else(|| "it says that it is not ready".to_owned()),
            remedy: text("remedy").unwrap_or_default(),
        }
    }
}

/// Asks a backend. It opens its runtime for that, as it would to run; one that was ready
/// once stays so, since runtimes are never closed, and is not asked again.
pub(super) fn state(plugin: &Plugin) -> State {
    if plugin.was_ready() {
        return State::Ready;
    }
    let state = State::of(&describe::ext(plugin));
    if state == State::Ready {
        plugin.set_ready();
    }
    state
}

/// True when it says that it reads a format.
pub(super) fn reads(plugin: &Plugin, format: &str) -> bool {
    formats(&describe::ext(plugin)).any(|name| name == format)
}

pub(super) fn formats(about: &Value) -> impl Iterator<Item = &str> {
    about["formats"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
}
