//! `vaccel-agent --check`: what follows from the policy, for people.

use std::fmt::Write;
use std::time::Duration;

use super::{Match, Policy, Tenant};
use crate::cache::hex;

/// The whole policy, in the form of a file that says everything.
#[must_use]
pub fn print(policy: &Policy) -> String {
    let mut out = String::new();
    match &policy.file {
        Some(file) => line(
            &mut out,
            &format!("# {} is valid; this is what it means", file.display()),
        ),
        None => line(&mut out, "# no policy file: everybody is one tenant"),
    }
    let unknown = policy.unknown.and_then(|i| policy.tenants.get(i));
    let unknown = unknown.map_or("refuse", |tenant| &tenant.name);
    line(&mut out, &format!("unknown = {unknown:?}"));
    for tenant in &policy.tenants {
        print_tenant(&mut out, tenant);
    }
    out
}

fn print_tenant(out: &mut String, tenant: &Tenant) {
    line(out, "\n[[tenant]]");
    line(out, &format!("name = {:?}", tenant.name));
    if !tenant.matches.is_empty() {
        let matches: Vec<String> = tenant.matches.iter().map(print_match).collect();
        line(out, &format!("match = [{}]", matches.join(", ")));
    }
    let worker = format!("{:?}", tenant.worker).to_lowercase();
    line(out, &format!("worker = {worker:?}"));
    line(out, &format!("weight = {}", tenant.weight));
    line(out, "[tenant.allow]");
    line(out, &format!("plugins = {:?}", tenant.plugins));
    match &tenant.ops {
        Some(ops) => line(out, &format!("ops = {:?}", ops.iter().collect::<Vec<_>>())),
        None => line(out, "ops = [\"*\"]"),
    }
    match &tenant.exec {
        None => line(out, "# exec: any library"),
        Some(list) => {
            let entry = |l: &crate::terms::Library| match &l.blake3 {
                Some(hash) => format!("{{ path = {}, blake3 = {hash:?} }}", quoted(&l.path)),
                None => format!("{{ path = {} }}", quoted(&l.path)),
            };
            let list: Vec<String> = list.iter().map(entry).collect();
            line(out, &format!("exec = [{}]", list.join(", ")));
        }
    }
    line(out, &format!("client_code = {}", tenant.client_code));
    line(out, &format!("uploads = {}", tenant.uploads));
    line(out, "[tenant.quota]");
    let limits = &tenant.limits;
    for (key, value) in [
        ("connections", tenant.connections),
        ("sessions", limits.sessions),
        ("resources", limits.resources),
        ("model_bytes", limits.model_bytes),
        ("memory", limits.memory),
        ("in_flight", limits.in_flight),
        ("rate", limits.rate),
        ("burst", limits.rate.map(|_| limits.burst)),
        ("crashes", tenant.crashes),
    ] {
        match value {
            // Numbers of TOML have a sign; what is larger is a size, which may be a text.
            Some(value) if i64::try_from(value).is_err() => {
                line(out, &format!("{key} = \"{value}\""));
            }
            Some(value) => line(out, &format!("{key} = {value}")),
            None if key == "burst" => {}
            None => line(
                out,
                &format!("# {key}: no limit but that of the command line"),
            ),
        }
    }
    line(out, &format!("nice = {}", tenant.nice));
    if let Some(deadline) = tenant.deadline {
        line(out, &format!("deadline = {:?}", time(deadline)));
    }
    line(out, &format!("grace = {:?}", time(tenant.grace)));
}

fn print_match(from: &Match) -> String {
    let mut keys = Vec::new();
    let mut number = |key: &str, value: Option<u32>| {
        if let Some(value) = value {
            keys.push(format!("{key} = {value}"));
        }
    };
    number("uid", from.uid);
    number("gid", from.gid);
    number("cid", from.cid);
    let address = from.address.map(|address| address.to_string());
    let fingerprint = from.fingerprint.map(|digest| hex(&digest));
    for (key, value) in [
        ("listener", &from.listener),
        ("address", &address),
        ("subject", &from.subject),
        ("common_name", &from.common_name),
        ("fingerprint", &fingerprint),
    ] {
        if let Some(value) = value {
            keys.push(format!("{key} = {}", quoted(value)));
        }
    }
    if !from.tokens.is_empty() {
        // Hashes of tokens are nobody's business but the file's.
        keys.push(format!("token_sha256 = \"({} known)\"", from.tokens.len()));
    }
    format!("{{ {} }}", keys.join(", "))
}

/// A basic string of TOML, which knows other escapes than Rust does.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

fn time(time: Duration) -> String {
    format!("{}ms", time.as_millis())
}

fn line(out: &mut String, text: &str) {
    // Writing to a string does not fail.
    let _ = writeln!(out, "{text}");
}
