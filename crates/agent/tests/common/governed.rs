//! An agent with a policy, and two sockets that tell tenants apart.
#![allow(dead_code, unreachable_pub)]

use super::common::{Agent, Client, PATIENCE};
use std::path::PathBuf;
use tempfile::TempDir;
use vaccel_transport::{Address, ConnectError, Connection, Options};

/// A token whose hash is in the file `tokens` beside the policy.
pub const TOKEN: &[u8] = b"open sesame";

pub struct Governed {
    pub agent: Agent,
    folder: TempDir,
}

impl Governed {
    /// With the noop and exec plugins, and sockets named `a` and `b`.
    pub fn start(policy: &str) -> Self {
        Self::start_with(policy, &[])
    }

    pub fn start_with(policy: &str, arguments: &[&str]) -> Self {
        Self::start_of("noop,exec", policy, arguments)
    }

    /// With other plugins.
    pub fn start_of(plugins: &str, policy: &str, arguments: &[&str]) -> Self {
        use sha2::Digest;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("agent.toml");
        std::fs::write(&file, policy).unwrap();
        let hash = sha2::Sha256::digest(TOKEN);
        let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        let tokens = format!("# who may come\n{}  other\n{hex}  -\n", "00".repeat(32));
        std::fs::write(folder.path().join("tokens"), tokens).unwrap();
        let socket = |name: &str| {
            let path = folder.path().join(name);
            format!("{name}=unix://{}", path.display())
        };
        let (a, b) = (socket("a"), socket("b"));
        let file = file.to_str().unwrap();
        let own = ["--policy", file, "-a", &a, "-a", &b];
        let agent = Agent::start_with(plugins, &[], &[&own[..], arguments].concat());
        Self { agent, folder }
    }

    /// Writes another policy.
    pub fn write(&self, policy: &str) {
        let new = self.folder.path().join("new");
        std::fs::write(&new, policy).unwrap();
        std::fs::rename(new, self.file()).unwrap();
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("agent.toml")
    }

    /// The socket of a name.
    pub fn address(&self, name: &str) -> &Address {
        let end = format!("/{name}");
        let mut addresses = self.agent.addresses.iter();
        addresses.find(|a| a.to_string().ends_with(&end)).unwrap()
    }

    pub fn try_connect(&self, name: &str) -> Result<Client, ConnectError> {
        Client::to(self.address(name))
    }

    pub fn connect(&self, name: &str) -> Client {
        match self.try_connect(name) {
            Ok(client) => client,
            Err(e) => panic!("{e}\n{}", self.agent.log()),
        }
    }

    /// Without shared memory.
    pub fn connect_plain(&self, name: &str) -> Client {
        let options = Options {
            connect_timeout: PATIENCE,
            timeout: PATIENCE,
            share_memory: false,
            ..Options::default()
        };
        let connection = Connection::connect(self.address(name), &options).unwrap();
        Client { connection }
    }
}
