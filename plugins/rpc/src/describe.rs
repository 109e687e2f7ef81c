//! What the plugin says of itself, and of the agent behind it.

use crate::NAME;
use crate::link;
use crate::session::ask_about;
use crate::settings::VARIABLES;
use serde_json::{Map, Value, json};
use std::ffi::{CString, c_char};
use vaccel_plugin::abi::CResult;
use vaccel_plugin::raw::guard;
use vaccel_plugin::{Result, bail, err};

/// Writes a malloc'ed JSON object: the address, whether the agent can be
/// reached or why not, and what the agent says of itself.
pub(crate) unsafe extern "C" fn describe(json: *mut *mut c_char) -> CResult {
    guard(NAME, "describe", || {
        if json.is_null() {
            bail!(EINVAL, "the place for the description is null");
        }
        let text = CString::new(about().to_string())
            .map_err(|_| err!(EREMOTEIO, "the agent's description has a zero"))?;
        // SAFETY: a C string; strdup allocates with malloc.
        let copy = unsafe { libc::strdup(text.as_ptr()) };
        if copy.is_null() {
            bail!(ENOMEM, "no memory for the description");
        }
        // SAFETY: not null, and the caller's.
        unsafe { json.write(copy) };
        Ok(())
    })
}

fn about() -> Value {
    let environment: Vec<_> = VARIABLES
        .iter()
        .map(|(name, meaning)| json!({ "name": name, "meaning": meaning }))
        .collect();
    let mut about = Map::new();
    let mut set = |key: &str, value: Value| {
        about.insert(key.to_owned(), value);
    };
    set("name", "rpc".into());
    set("version", env!("CARGO_PKG_VERSION").into());
    set(
        "summary",
        "Carries every operation to an agent on another machine or outside the sandbox.".into(),
    );
    set("formats", json!([]));
    set("devices", json!([]));
    set("environment", environment.into());
    if let Ok(settings) = link::settings() {
        set("address", settings.address.to_string().into());
    }
    match ask() {
        Ok(agent) => {
            set("ready", true.into());
            set("reachable", true.into());
            set("agent", agent);
        }
        Err(e) => {
            set("ready", false.into());
            set("reachable", false.into());
            set("missing", "a reachable agent".into());
            set("error", e.message().into());
            set(
                "remedy",
                "start vaccel-agent, and set VACCEL_RPC_ADDRESS to where it listens".into(),
            );
        }
    }
    about.into()
}

fn ask() -> Result<Value> {
    let mut link = link::get()?;
    let mut answer = ask_about(&link);
    if answer.is_err() && !link.connection.is_usable() {
        // It went away while nothing was asked of it: once more.
        link::lose(&link);
        link = link::get()?;
        answer = ask_about(&link);
    }
    serde_json::from_slice(&answer?)
        .map_err(|e| err!(EREMOTEIO, "the agent describes itself in bad JSON: {e}"))
}
