//! The agent's policy.

use clap::Parser;
use std::sync::OnceLock;
use vaccel_agent::options::Options;
use vaccel_agent::policy::{Policy, check};

/// `agent.toml`. What `--check` prints of a valid one is valid, and means the same.
pub fn agent_toml(data: &[u8]) {
    static OPTIONS: OnceLock<Options> = OnceLock::new();
    let options = OPTIONS
        .get_or_init(|| Options::parse_from(["vaccel-agent", "--plugins", "noop,exec,onnx"]));
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    match Policy::parse(text, None, options) {
        Ok(policy) => {
            assert!(!policy.tenants.is_empty());
            let unknown = policy.unknown.map(|i| &policy.tenants[i].name);
            assert!(unknown.is_none_or(|name| name != "refuse"));
            for tenant in &policy.tenants {
                let _ = tenant.terms(options);
            }
            let printed = check::print(&policy);
            if policy.asks_for_tokens() {
                // How many hashes there are is printed, not which.
                return;
            }
            let again = Policy::parse(&printed, None, options)
                .unwrap_or_else(|e| panic!("what was printed is no policy: {e}\n{printed}"));
            assert_eq!(check::print(&again), printed);
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}
