//! The command line of `vaccel-agent`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};

use crate::cache::Scope;
use vaccel_transport::Address;

use crate::listen::Named;
use crate::log::{Format, Level};
use crate::vaccel_config::{self, VaccelConfig};

const EXAMPLES: &str = "\
Examples:
  vaccel-agent --plugins onnx
      Serve image operations and models to local programs.
  vaccel-agent --plugins auto
      Serve models of all formats with the best backend that is installed for each.
  vaccel-agent -a unix:///run/vaccel/vm.sock_2048 --plugins onnx,blas
      Serve the guest of a Firecracker or Cloud Hypervisor machine whose vsock is
      at /run/vaccel/vm.sock; the guest connects to vsock://2:2048.
  vaccel-agent -a vsock://any:2048 -a tcp://127.0.0.1:65500
      Serve QEMU guests (vhost-vsock) and local programs by TCP.
  vaccel-agent -a tls://0.0.0.0:65500 --tls-cert server.pem --tls-key server.key \
      --tls-client-ca ca.pem
      Serve other machines whose certificates ca.pem has signed (`vaccel certs DIR`).
  vaccel-agent --policy agent.toml -a vm1=unix:///run/vaccel/vm1.sock_2048
      Serve a guest as the policy says for the listener `vm1`; `--check agent.toml`
      tells beforehand what the policy means.
  vaccel-agent -a tcp://127.0.0.1:0 --ready-fd 3 3>ready
      Take any free port and write it to the file `ready` as soon as clients may come.

Clients load the rpc plugin:
  VACCEL_PLUGINS=rpc VACCEL_RPC_ADDRESS=unix:///run/vaccel/agent.sock program

SIGTERM and SIGINT: finish what runs, then end. SIGHUP: start idle workers anew, so
that new connections see plugins and models installed since, and read certificates and
the policy again.";

/// Runs operations for programs in virtual machines, containers and on this machine.
///
/// The agent listens and hands each connection to a worker process, which loads
/// the plugins and does the work. It needs no configuration file.
#[derive(Debug, Parser)]
#[command(name = "vaccel-agent", version, after_help = EXAMPLES)]
pub struct Options {
    /// Address to listen on; may be given several times.
    ///
    /// unix:///PATH, tcp://HOST:PORT, tls://HOST:PORT or vsock://CID:PORT (CID may be
    /// `any`); tcp+insecure://HOST:PORT for TCP beyond this machine without TLS. Without
    /// one: unix:///run/vaccel/agent.sock as root, else
    /// unix://$XDG_RUNTIME_DIR/vaccel/agent.sock. NAME=ADDRESS gives it a name that the
    /// policy can refer to.
    #[arg(short, long = "address", value_name = "ADDRESS")]
    pub addresses: Vec<Named>,

    /// Plugins to load, by name or file, separated by commas [default: onnx].
    ///
    /// `auto` loads every backend that is installed; each model is run by the best one that
    /// is ready for its format. `vaccel info` shows which. Workers are then locked in as
    /// loosely as the backends together need.
    #[arg(
        short,
        long,
        value_name = "NAME,...",
        value_delimiter = ',',
        env = "VACCEL_AGENT_PLUGINS"
    )]
    pub plugins: Vec<String>,

    /// Settings of the library, `key=value,...`.
    ///
    /// Keys: plugins (separated by `:`), log_level, log_file, profiling_enabled,
    /// version_ignore. The form of earlier agents; --plugins goes before it.
    #[arg(long, value_name = "SETTINGS", value_parser = vaccel_config::parse, default_value = "")]
    pub vaccel_config: VaccelConfig,

    /// The policy: who may connect, what may run, how much. `none` for no policy
    /// [default: /etc/vaccel/agent.toml, where it is there].
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,

    /// Check the policy, print what it means, and end: code 0 when it is valid.
    ///
    /// Of the file, or of the one that the agent would use.
    #[arg(long, value_name = "FILE", num_args = 0..=1)]
    pub check: Option<Option<PathBuf>>,

    /// One worker process for each connection, or one for all; a policy says so by tenant.
    #[arg(long, value_enum, default_value_t = Isolation::Connection)]
    pub isolation: Isolation,

    /// Idle workers that are kept ready.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(0..=256))]
    pub pool: u16,

    /// Connections that are served at the same time; further ones are told to come again.
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=65536))]
    pub max_connections: u32,

    /// Requests that a connection may have in flight.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub max_in_flight: u16,

    /// Time that a request has when it names none, for example 30s.
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = duration)]
    pub deadline: Duration,

    /// Largest frame that is taken, and room for the outputs of one request.
    #[arg(long, value_name = "BYTES", default_value = "1025M", value_parser = bytes)]
    pub max_frame: u64,

    /// What the resources of one connection may take, all together.
    #[arg(long, value_name = "BYTES", default_value = "8G", value_parser = bytes)]
    pub max_resources: u64,

    /// Memory that a connection on a Unix socket may share with its worker; 0 for none.
    #[arg(long, value_name = "BYTES", default_value = "4G", value_parser = bytes_or_none)]
    pub max_shared: u64,

    /// What workers spend to see requests in shared memory sooner: latency, balanced
    /// or low-cpu.
    #[arg(long, value_name = "MODE", default_value_t)]
    pub mode: vaccel_transport::shm::Mode,

    /// How long a connection is quiet before it gives up its thread and its buffers in
    /// the worker, until something comes again.
    #[arg(long, value_name = "TIME", default_value = "200ms", value_parser = duration)]
    pub park_after: Duration,

    /// Folder that keeps what clients have sent, so that they need not send it again;
    /// `none` for no such folder.
    ///
    /// Default: /var/cache/vaccel-agent as root, else $XDG_CACHE_HOME/vaccel-agent or
    /// ~/.cache/vaccel-agent; with --run-dir, the folder `cache` there.
    #[arg(long, value_name = "DIR")]
    pub cache: Option<PathBuf>,

    /// The most that is kept there; what was used longest ago goes first.
    #[arg(long, value_name = "BYTES", default_value = "16G", value_parser = bytes)]
    pub cache_limit: u64,

    /// Who is spared to send what has been sent before.
    #[arg(long, value_enum, default_value_t = Scope::Peer)]
    pub cache_scope: Scope,

    /// Permissions of the socket file, octal.
    #[arg(long, value_name = "MODE", default_value = "600", value_parser = mode)]
    pub socket_mode: u32,

    /// Folders with default models, separated by `:`.
    #[arg(long, value_name = "DIR", env = "VACCEL_MODELS")]
    pub models: Option<String>,

    /// Environment variable to pass on to workers, beside those that backends are
    /// known to read; may be given several times.
    #[arg(long = "env", value_name = "NAME")]
    pub pass_env: Vec<String>,

    /// Folder for the private files of workers [default: beside the default socket].
    #[arg(long, value_name = "DIR")]
    pub run_dir: Option<PathBuf>,

    /// The worker program [default: vaccel-worker beside this one].
    #[arg(long, value_name = "FILE")]
    pub worker: Option<PathBuf>,

    /// How workers are locked in.
    #[command(flatten)]
    pub jail: crate::jail::JailArguments,

    /// How long workers may take to finish what runs when the agent is told to end.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    pub drain_timeout: Duration,

    /// Listen on TCP beyond this machine although nothing is encrypted and nobody
    /// is asked who they are.
    #[arg(long)]
    pub allow_insecure_tcp: bool,

    /// PEM file with the agent's certificate, and those that lead to its authority, for
    /// tls:// addresses. Read again when it changes.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,

    /// PEM file with the private key of the agent's certificate.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,

    /// PEM file with the authorities whose clients are let in.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_client_ca: Option<PathBuf>,

    /// Let in TLS clients of other machines without a certificate.
    #[arg(long, conflicts_with = "tls_client_ca")]
    pub tls_no_client_auth: bool,

    /// Where figures are served by HTTP (/metrics for Prometheus, /healthz, /readyz,
    /// /status); `none` for nowhere.
    ///
    /// unix:///PATH or tcp://127.0.0.1:PORT; tcp+insecure://HOST:PORT beyond this machine.
    /// Without it: a socket in the agent's private folder, which `vaccel top` finds.
    #[arg(long, value_name = "ADDRESS", default_value = "default", value_parser = metrics)]
    pub metrics: Metrics,

    /// Where spans of requests that belong to a trace are sent (OpenTelemetry, OTLP/HTTP with
    /// protobuf): a URL to which `/v1/traces` is added, such as http://127.0.0.1:4318.
    #[arg(
        long,
        value_name = "URL",
        env = "OTEL_EXPORTER_OTLP_ENDPOINT",
        value_parser = crate::traces::endpoint
    )]
    pub otlp_endpoint: Option<String>,

    /// What is logged: error, warn, info or debug.
    #[arg(
        long,
        value_name = "LEVEL",
        default_value = "info",
        env = "VACCEL_AGENT_LOG_LEVEL"
    )]
    pub log_level: Level,

    /// How log lines look.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub log_format: Format,

    /// The same as --log-format json.
    #[arg(long, conflicts_with = "log_format")]
    pub json: bool,

    /// Write `listening on ADDRESS` lines to this descriptor, and close it, as soon as
    /// clients may connect [default: standard output].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
    pub ready_fd: Option<i32>,
}

/// Where figures are served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Metrics {
    /// Nowhere.
    None,
    /// A socket in the agent's private folder.
    Default,
    /// There.
    At(Address),
}

/// How many connections share a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Isolation {
    /// A worker process for each.
    Connection,
    /// One worker process for all.
    Shared,
}

impl Options {
    /// The folder of the cache; `None` for no cache.
    #[must_use]
    pub fn cache_folder(&self) -> Option<PathBuf> {
        if let Some(folder) = &self.cache {
            return (folder.as_os_str() != "none").then(|| folder.clone());
        }
        if let Some(folder) = &self.run_dir {
            return Some(folder.join("cache"));
        }
        if rustix::process::geteuid().is_root() {
            return Some("/var/cache/vaccel-agent".into());
        }
        let absolute = |name, below| {
            let folder = std::env::var_os(name).map(PathBuf::from)?;
            folder.is_absolute().then(|| folder.join(below))
        };
        absolute("XDG_CACHE_HOME", "vaccel-agent")
            .or_else(|| absolute("HOME", ".cache/vaccel-agent"))
    }

    /// How log lines look.
    #[must_use]
    pub fn format(&self) -> Format {
        if self.json {
            Format::Json
        } else {
            self.log_format
        }
    }

    /// The plugins that workers load.
    #[must_use]
    pub fn plugins(&self) -> Vec<String> {
        if !self.plugins.is_empty() {
            return self.plugins.clone();
        }
        self.vaccel_config
            .plugins
            .clone()
            .or_else(|| {
                let list = std::env::var("VACCEL_PLUGINS").ok()?;
                Some(vaccel_config::names(&list, ':')).filter(|names| !names.is_empty())
            })
            .unwrap_or_else(|| vec!["onnx".to_owned()])
    }
}

/// A time: a number with `ms`, `s`, `m` or `h`; seconds without.
///
/// # Errors
/// Says what a time looks like.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not a time; examples: 500ms, 30s, 5m, 1h");
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    let millis = match &text[digits.len()..] {
        "ms" => 1,
        "" | "s" => 1000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        _ => return Err(wrong()),
    };
    let total = number.checked_mul(millis).ok_or_else(wrong)?;
    // The protocol counts deadlines in 32 bits of milliseconds.
    if total == 0 || total > u64::from(u32::MAX) {
        return Err(format!("`{text}` is not between 1 ms and 49 days"));
    }
    Ok(Duration::from_millis(total))
}

/// A size: a number of bytes, or with `K`, `M`, `G` or `T` (powers of 1024).
///
/// # Errors
/// Says what a size looks like.
pub fn bytes(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is not a size; examples: 65536, 64K, 512M, 2G");
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    let shift = match text[digits.len()..].to_ascii_uppercase().as_str() {
        "" | "B" => 0,
        "K" | "KB" | "KIB" => 10,
        "M" | "MB" | "MIB" => 20,
        "G" | "GB" | "GIB" => 30,
        "T" | "TB" | "TIB" => 40,
        _ => return Err(wrong()),
    };
    let total = number.checked_mul(1 << shift).ok_or_else(wrong)?;
    if total < 4096 {
        return Err(format!("`{text}` is less than 4096 bytes"));
    }
    Ok(total)
}

/// As [`bytes`], or `0` for none.
///
/// # Errors
/// As [`bytes`].
pub fn bytes_or_none(text: &str) -> Result<u64, String> {
    if text == "0" { Ok(0) } else { bytes(text) }
}

fn metrics(text: &str) -> Result<Metrics, String> {
    match text {
        "none" => Ok(Metrics::None),
        "default" => Ok(Metrics::Default),
        _ => text.parse().map(Metrics::At).map_err(|e| format!("{e}")),
    }
}

fn mode(text: &str) -> Result<u32, String> {
    match u32::from_str_radix(text, 8) {
        Ok(mode) if mode <= 0o777 => Ok(mode),
        _ => Err(format!(
            "`{text}` is not a file mode; examples: 600, 660, 666"
        )),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn parse(arguments: &[&str]) -> Result<Options, String> {
        Options::try_parse_from([&["vaccel-agent"], arguments].concat()).map_err(|e| e.to_string())
    }

    #[test]
    fn the_command_line_is_well_formed() {
        Options::command().debug_assert();
    }

    #[test]
    fn the_command_line_of_the_c_implementations_agent_is_understood() {
        let options = parse(&[
            "-a",
            "unix:///tmp/a.sock",
            "--vaccel-config",
            "plugins=noop:exec,log_level=4",
        ])
        .unwrap();
        assert_eq!(options.addresses.len(), 1);
        assert_eq!(options.plugins(), ["noop", "exec"]);
    }

    #[test]
    fn several_addresses_and_plugins_may_be_given() {
        let options = parse(&[
            "-a",
            "tcp://127.0.0.1:0",
            "--address",
            "vsock://any:2048",
            "--plugins",
            "noop,exec",
        ])
        .unwrap();
        assert_eq!(options.addresses.len(), 2);
        assert_eq!(options.plugins(), ["noop", "exec"]);
    }

    #[test]
    fn mistakes_are_named() {
        for (arguments, needle) in [
            (&["-a", "http://x"][..], "http://x"),
            (&["--vaccel-config", "plugin=a"], "unknown key `plugin`"),
            (&["--deadline", "soon"], "`soon` is not a time"),
            (&["--max-frame", "1Q"], "`1Q` is not a size"),
            (&["--socket-mode", "999"], "`999` is not a file mode"),
            (&["--log-level", "loud"], "`loud`"),
            (&["--max-connections", "0"], "0 is not in"),
        ] {
            let error = parse(arguments).unwrap_err();
            assert!(error.contains(needle), "{arguments:?}: {error}");
        }
    }

    #[test]
    fn times_and_sizes_have_units() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("2"), Ok(Duration::from_secs(2)));
        assert_eq!(duration("5m"), Ok(Duration::from_secs(300)));
        assert!(duration("0").is_err() && duration("9999h").is_err());
        assert_eq!(bytes("64k"), Ok(65_536));
        assert_eq!(bytes("2G"), Ok(2 << 30));
        assert!(bytes("1").is_err() && bytes("99999999T").is_err() && bytes("-1").is_err());
    }
}
