//! An agent with a policy, and two sockets that tell its tenants apart.

use super::{Honest, Host};
use anyhow::Result;
use std::path::Path;
use vaccel_transport::Address;

/// An agent whose clients are the tenants `a` and `b`, by the socket that they come to.
pub struct Governed {
    /// The agent.
    pub host: Host,
    folder: tempfile::TempDir,
}

impl Governed {
    /// Starts the agent of a staged installation, with the noop and exec plugins and this kind of
    /// worker for both tenants: `connection`, `tenant`, or `shared`.
    ///
    /// `quota` is what stands between the braces of both tenants' quota.
    ///
    /// # Errors
    /// When it does not start, with its log.
    pub fn start(prefix: &Path, worker: &str, quota: &str, options: &[&str]) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("vaccel-").tempdir()?;
        let policy = folder.path().join("agent.toml");
        let tenant = |name: &str| {
            format!("[[tenant]]\nname = \"{name}\"\nmatch = [{{ listener = \"{name}\" }}]\n")
        };
        std::fs::write(
            &policy,
            format!(
                "[defaults]\nworker = \"{worker}\"\nquota = {{ {quota} }}\n\
                 allow = {{ exec = [{{ path = \"/**\" }}] }}\n{}{}",
                tenant("a"),
                tenant("b")
            ),
        )?;
        let policy = policy.display().to_string();
        let [a, b] =
            ["a", "b"].map(|name| format!("{name}=unix://{}", folder.path().join(name).display()));
        let own = ["--policy", &policy, "--address", &a, "--address", &b];
        let options: Vec<&str> = own.into_iter().chain(options.iter().copied()).collect();
        let host = Host::start(prefix, "noop,exec", &options, "")?;
        Ok(Self { host, folder })
    }

    /// Where clients come who are this tenant.
    ///
    /// # Panics
    /// Never: the path is one that an address can say.
    #[must_use]
    pub fn address(&self, tenant: &str) -> Address {
        let text = format!("unix://{}", self.folder.path().join(tenant).display());
        text.parse().expect("a path without special characters")
    }

    /// A client of this tenant.
    ///
    /// # Errors
    /// When the agent does not let it in.
    pub fn connect(&self, tenant: &str, share_memory: bool) -> Result<Honest> {
        Honest::connect(
            &self.address(tenant),
            usize::from(tenant == "b"),
            share_memory,
        )
    }
}
