//! The ways that a call can take to an agent.

use std::path::{Path, PathBuf};
use vaccel_tests::{Agent, Program, reference_plugin, stage};

/// The port that clients in a virtual machine connect to.
const PORT: u32 = 2048;

/// One way: its name, and what the environment of a program says of it.
pub(crate) struct Way {
    pub(crate) name: &'static str,
    pub(crate) settings: Vec<(&'static str, String)>,
}

/// An agent with the reference plugin, and all ways that lead to it.
pub(crate) struct Ways {
    pub(crate) all: Vec<Way>,
    _agent: Agent,
    _folder: tempfile::TempDir,
}

impl Ways {
    pub(crate) fn start() -> Self {
        let prefix = stage().unwrap();
        // Not below target/: the path of a socket has at most 107 bytes.
        let folder = tempfile::Builder::new()
            .prefix("vaccel-")
            .tempdir()
            .unwrap();
        let at = |name: &str| folder.path().join(name).display().to_string();
        let certs = folder.path().join("certs");
        Program::new(&prefix, "vaccel")
            .arg("certs")
            .arg(&certs)
            .output()
            .unwrap();
        let file = |name: &str| certs.join(name).to_str().unwrap().to_owned();
        let (certificate, key, ca) = (file("server.pem"), file("server.key"), file("ca.pem"));
        let options = [
            ["--tls-cert", &certificate],
            ["--tls-key", &key],
            ["--tls-client-ca", &ca],
        ]
        .concat();
        let has_vsock = has_vsock();
        let vsock = if has_vsock {
            "vsock://any:0".to_owned()
        } else {
            format!("unix://{}_{PORT}", at("vsock"))
        };
        let addresses = ["tcp://127.0.0.1:0", "tls://127.0.0.1:0", &vsock];
        let plugin = reference_plugin().unwrap();
        let agent = Agent::start(&prefix, plugin.to_str().unwrap(), &addresses, &options).unwrap();
        let [unix, tcp, tls, vsock] = agent.addresses() else {
            panic!("{:?}", agent.addresses());
        };
        let way = |name, address: &str, more: &[(&'static str, String)]| {
            let mut settings = vec![
                ("VACCEL_PLUGINS", "rpc".to_owned()),
                ("VACCEL_RPC_ADDRESS", address.to_owned()),
            ];
            settings.extend_from_slice(more);
            Way { name, settings }
        };
        let over_vsock = if has_vsock {
            // The agent says `any`; this machine itself is 1.
            way("vsock", &vsock.replace("any", "1"), &[])
        } else {
            println!("no vsock loopback here: a Unix socket stands in for it, as in Firecracker");
            let preload = stand_in(folder.path()).display().to_string();
            let stands = [("LD_PRELOAD", preload), ("VSOCK_UDS", at("vsock"))];
            way("vsock", &format!("vsock://2:{PORT}"), &stands)
        };
        let all = vec![
            way("unix", unix, &[]),
            way(
                "unix without shared memory",
                unix,
                &[("VACCEL_RPC_SHARED", "0".to_owned())],
            ),
            way("tcp", tcp, &[]),
            way(
                "tls",
                tls,
                &[
                    ("VACCEL_RPC_TLS_CA", ca.clone()),
                    ("VACCEL_RPC_TLS_CERT", file("client.pem")),
                    ("VACCEL_RPC_TLS_KEY", file("client.key")),
                ],
            ),
            over_vsock,
        ];
        Self {
            all,
            _agent: agent,
            _folder: folder,
        }
    }
}

/// The library that gives a program a vsock where the machine has none.
fn stand_in(folder: &Path) -> PathBuf {
    let library = folder.join("libvsock.so");
    Program::at(Path::new("cc"))
        .args(["-std=c11", "-O1", "-shared", "-fPIC", "-o"])
        .arg(&library)
        .arg(vaccel_tests::repository().join("tests/conformance/vsock.c"))
        .output()
        .unwrap();
    library
}

/// True when this machine can reach itself by vsock, which needs the module `vsock_loopback`.
fn has_vsock() -> bool {
    // Connecting without it takes seconds to fail, so that the kernel is asked first.
    Path::new("/sys/module/vsock_loopback").exists()
}
