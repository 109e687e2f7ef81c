//! The empty operation through TLS, beside the same without.

use super::{CALLS, Placement, ROUNDS, Way};
use crate::bench::figure::Figure;
use crate::bench::sample::{Summary, bounded};
use crate::process::{command, run as run_command};
use anyhow::{Context, Result};
use std::path::Path;
use vaccel_tests::Agent;

pub(super) fn run(prefix: &Path) -> Result<Vec<Figure>> {
    let folder = tempfile::tempdir()?;
    let file = |name: &str| folder.path().join(name).display().to_string();
    run_command(
        command(prefix.join("bin/vaccel"))
            .arg("certs")
            .arg(folder.path())
            .stdout(std::process::Stdio::null()),
    )?;
    let placement = Placement::apart()?;
    let agent = placement.start(|| {
        let (certificate, key) = (file("server.pem"), file("server.key"));
        Agent::start(
            prefix,
            "noop",
            &["tcp://127.0.0.1:0", "tls://127.0.0.1:0"],
            &["--tls-cert", &certificate, "--tls-key", &key],
        )
    })?;
    let address = |scheme: &str| {
        let found = agent.addresses().iter().find(|a| a.starts_with(scheme));
        found.with_context(|| format!("the agent has no address of {scheme}"))
    };
    let tcp = Way::new("tcp", address("tcp:")?);
    let tls = Way::new("tls", address("tls:")?).with("VACCEL_RPC_TLS_CA", &file("ca.pem"));
    let (mut plain, mut secret) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        for (way, times) in [(&tcp, &mut plain), (&tls, &mut secret)] {
            let session = way.open()?;
            times.push(bounded(CALLS, || Ok(session.noop()?))?);
        }
    }
    let (plain, secret) = (Summary::of(&plain), Summary::of(&secret));
    Ok(vec![
        Figure::plain("empty op, tls, two CPUs", secret.p50, "us")
            .with_floor(plain.p50)
            .with_p99(secret.p99)
            .with_note("the floor is the same call over tcp"),
    ])
}
