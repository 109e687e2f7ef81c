//! The command line.

use clap::{Args, Parser, Subcommand};
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

#[derive(Parser)]
#[command(
    name = "vaccel",
    version,
    about = "Classify pictures, run models and call functions, here or through an agent",
    after_help = "Examples:\n  \
        vaccel classify cat.jpg\n  \
        vaccel detect street.jpg --model yolo11n/ --output out --json\n  \
        vaccel run model.onnx --input input=x.npy --output out\n  \
        vaccel --remote unix:///run/vaccel/agent.sock classify cat.jpg\n  \
        vaccel --remote vsock://2:2048 info\n\n\
        Exit codes: 0 done, 1 the operation failed, 2 wrong command line, 3 the library, a plugin, a model or the agent is missing.\n\
        Environment: VACCEL_LIBRARY, VACCEL_MODELS, VACCEL_PLUGIN_PATH, VACCEL_RPC_ADDRESS, VACCEL_RPC_TIMEOUT, VACCEL_LOG_LEVEL."
)]
pub(crate) struct Options {
    /// Run on the agent at this address: unix://PATH, tcp://HOST:PORT, tls://HOST:PORT or vsock://CID:PORT.
    #[arg(long, short, global = true, value_name = "ADDRESS")]
    pub(crate) remote: Option<String>,

    /// Plugins to load, separated by commas [default: the embedded backend, or the transport
    /// with --remote]. `auto`: every backend that is installed, of which the best one that is
    /// ready for it runs each model and operation; `vaccel info` shows which.
    #[arg(
        long,
        short,
        global = true,
        value_name = "NAMES",
        value_delimiter = ','
    )]
    pub(crate) plugins: Vec<String>,

    /// Show the library's log on standard error; twice for debugging.
    #[arg(long, short, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Name what pictures show.
    Classify(Image),
    /// Find objects in pictures.
    Detect(Image),
    /// Tell the class of every pixel.
    Segment(Image),
    /// Find key points of figures.
    Pose(Image),
    /// Estimate distances.
    Depth(Image),
    /// Run any model on tensors from .npy files.
    Run(Run),
    /// Multiply two random matrices, and check the result.
    Sgemm(Sgemm),
    /// Call a function of a shared library.
    Exec(Exec),
    /// Measure latency, throughput and scaling of this way to an accelerator.
    Bench(Bench),
    /// One of the clients of `bench`.
    #[command(hide = true)]
    BenchClient(BenchClient),
    /// Show version, plugins, operations and devices, what is missing, and what `auto` chooses.
    Info(Info),
    /// Run an agent; the same as vaccel-agent.
    Agent(Agent),
    /// Show what an agent does: tenants, operations, workers, live.
    Top(Top),
    /// Make certificates for TLS between machines.
    Certs(Certs),
    /// Print completions for a shell.
    Completions {
        /// bash, zsh, fish, elvish or powershell.
        shell: clap_complete::Shell,
    },
    /// Write manual pages to a folder.
    #[command(hide = true)]
    Man {
        /// Folder; made when missing.
        folder: PathBuf,
    },
}

/// In DIR come: ca.pem (for both sides), server.pem and server.key (for the agent),
/// client.pem and client.key (for the client), and ca.key (for nobody; keep it to sign
/// more). Keys that are there are never replaced: with ca.key in DIR, what is missing is
/// signed by it.
#[derive(Args)]
#[command(after_help = "Example:\n  \
    vaccel certs certs --host gpu.example.org\n  \
    vaccel-agent -a tls://0.0.0.0:65500 --tls-cert certs/server.pem --tls-key certs/server.key --tls-client-ca certs/ca.pem\n  \
    VACCEL_RPC_TLS_CA=certs/ca.pem VACCEL_RPC_TLS_CERT=certs/client.pem VACCEL_RPC_TLS_KEY=certs/client.key vaccel --remote tls://gpu.example.org:65500 info")]
pub(crate) struct Certs {
    /// Folder; made when missing.
    #[arg(value_name = "DIR")]
    pub(crate) folder: PathBuf,

    /// Name or address that clients call the agent by; may be given several times
    /// [default: localhost, 127.0.0.1, ::1].
    #[arg(long = "host", value_name = "NAME")]
    pub(crate) hosts: Vec<String>,

    /// Name of the client, and of its files.
    #[arg(long, value_name = "NAME", default_value = "client")]
    pub(crate) client: String,

    /// How long the certificates are good, in days; that of the authority ten times as long.
    #[arg(long, value_name = "DAYS", default_value_t = 365, value_parser = clap::value_parser!(u32).range(1..=3650))]
    pub(crate) days: u32,
}

#[derive(Args)]
pub(crate) struct Image {
    /// JPEG or PNG files.
    #[arg(required = true, value_name = "IMAGE")]
    pub(crate) images: Vec<PathBuf>,

    /// Model file, model.toml, or folder with one [default: the backend's own for the task].
    #[arg(long, short)]
    pub(crate) model: Option<PathBuf>,

    /// Options for the backend: key=value, several with commas.
    #[arg(long, value_name = "KEY=VALUE,...")]
    pub(crate) options: Option<String>,

    /// Write annotated pictures to this folder.
    #[arg(long, short, value_name = "DIR")]
    pub(crate) output: Option<PathBuf>,

    /// With --output: also write the map of classes or distances as .npy (segment, depth).
    #[arg(long, requires = "output")]
    pub(crate) map: bool,

    /// Print one JSON object.
    #[arg(long)]
    pub(crate) json: bool,

    /// Run each picture this many times, and show the times.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) repeat: u32,
}

#[derive(Args)]
pub(crate) struct Run {
    /// Model file, folder, or http(s) URL; `#sha256=HASH` at its end is checked.
    pub(crate) model: PathBuf,

    /// Input tensor from a .npy file; the name may be left out for inputs in order.
    #[arg(long, short, value_name = "[NAME=]FILE")]
    pub(crate) input: Vec<String>,

    /// Write each output to DIR/NAME.npy.
    #[arg(long, short, value_name = "DIR")]
    pub(crate) output: Option<PathBuf>,

    /// Options for the backend: key=value, several with commas (threads, device, precision,
    /// batch; with `--plugins auto` also backend=NAME).
    #[arg(long, value_name = "KEY=VALUE,...")]
    pub(crate) options: Option<String>,

    /// Only show the model's inputs and outputs.
    #[arg(long)]
    pub(crate) info: bool,

    /// Print one JSON object.
    #[arg(long)]
    pub(crate) json: bool,

    /// Run this many times, and show the times.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) repeat: u32,
}

#[derive(Args)]
pub(crate) struct Sgemm {
    /// Rows of A and C.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=16384))]
    pub(crate) m: u32,
    /// Columns of B and C.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=16384))]
    pub(crate) n: u32,
    /// Columns of A, rows of B.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=16384))]
    pub(crate) k: u32,
    /// Print one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
    /// Run this many times, and show the times.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) repeat: u32,
}

#[derive(Args)]
#[command(
    after_help = "Arguments are TYPE:VALUE in order; TYPE is i32, i64, u32, u64, f32, f64, str or file.\n\n\
    Examples:\n  vaccel exec ./libmytestlib.so mytestfunc --arg i32:10 --out i32\n  \
    vaccel exec --upload ./libmytestlib.so mytestfunc --arg i32:10 --out i32"
)]
pub(crate) struct Exec {
    /// Shared library, as the side that runs it knows it.
    pub(crate) library: String,
    /// Function: int f(struct vaccel_arg *read, size_t nr_read, struct vaccel_arg *write, size_t nr_write).
    pub(crate) symbol: String,
    /// Argument, as TYPE:VALUE.
    #[arg(long, short, value_name = "TYPE:VALUE")]
    pub(crate) arg: Vec<String>,
    /// Result: a number of a type, or a buffer of so many bytes; may be given several times.
    #[arg(long, short, value_name = "TYPE|BYTES")]
    pub(crate) out: Vec<String>,
    /// Send the library as a resource instead of naming a path.
    #[arg(long)]
    pub(crate) upload: bool,
}

/// Latency is that of the empty operation. Throughput is that of tensors to a model that does
/// nothing, where the agent has the plugin `noop`, else that of resources, which any agent takes.
/// Scaling is that of the empty operation from several processes at once.
#[derive(Args)]
#[command(after_help = "Examples:\n  \
    vaccel bench\n  \
    vaccel --remote unix:///run/vaccel/agent.sock bench --plot agent.png\n  \
    vaccel --remote tcp://127.0.0.1:65500 bench --json --time 0.2 --clients 1,4 --sizes 4K,1M\n  \
    VACCEL_RPC_MODE=latency vaccel -r vsock://2:2048 bench")]
pub(crate) struct Bench {
    /// Seconds that each figure is measured for, after a tenth of it to warm up.
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = seconds)]
    pub(crate) time: std::time::Duration,

    /// Bytes a call, with K, M or G; separated by commas.
    #[arg(
        long,
        value_name = "BYTES,...",
        value_delimiter = ',',
        default_value = "1K,16K,256K,1M,4M,16M,64M",
        value_parser = size
    )]
    pub(crate) sizes: Vec<usize>,

    /// Numbers of client processes; separated by commas.
    #[arg(
        long,
        value_name = "N,...",
        value_delimiter = ',',
        default_value = "1,4,16,64",
        value_parser = clap::value_parser!(u32).range(1..=1024)
    )]
    pub(crate) clients: Vec<u32>,

    /// Print one JSON object.
    #[arg(long)]
    pub(crate) json: bool,

    /// Draw the figures to this PNG file.
    #[arg(long, value_name = "FILE.png")]
    pub(crate) plot: Option<PathBuf>,
}

/// Its input says when: see `bench/clients.rs`.
#[derive(Args)]
pub(crate) struct BenchClient {}

fn seconds(text: &str) -> Result<std::time::Duration, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.01..=3600.0).contains(&seconds) => {
            Ok(std::time::Duration::from_secs_f64(seconds))
        }
        _ => Err("write seconds from 0.01 to 3600".into()),
    }
}

fn size(text: &str) -> Result<usize, String> {
    let (digits, unit) = match text.char_indices().find(|(_, c)| !c.is_ascii_digit()) {
        Some((at, _)) => text.split_at(at),
        None => (text, ""),
    };
    let shift = match unit {
        "" => 0,
        "K" | "k" => 10,
        "M" | "m" => 20,
        "G" | "g" => 30,
        _ => return Err(format!("`{unit}` is no unit; write K, M or G")),
    };
    let bytes = digits
        .parse::<usize>()
        .ok()
        .and_then(|number| number.checked_mul(1 << shift));
    match bytes {
        // One element at least; and no more than a frame carries.
        Some(bytes @ 4..=0x4000_0000) => Ok(bytes),
        _ => Err("write a size from 4 to 1G".into()),
    }
}

#[derive(Args)]
pub(crate) struct Info {
    /// Print one JSON object.
    #[arg(long)]
    pub(crate) json: bool,

    /// What workers of an agent on this machine are locked in by: each part is tried.
    #[arg(long)]
    pub(crate) security: bool,
}

/// Without --agent: the only agent of this user (and of root) on this machine.
#[derive(Args)]
#[command(after_help = "Examples:\n  \
    vaccel top\n  \
    vaccel top --agent tcp://127.0.0.1:9464 --interval 500ms\n  \
    vaccel top --once --json")]
pub(crate) struct Top {
    /// Where the agent serves its figures: what its --metrics says.
    #[arg(long, value_name = "ADDRESS", env = "VACCEL_AGENT_METRICS")]
    pub(crate) agent: Option<String>,

    /// Print once and end; rates are those of one interval.
    #[arg(long)]
    pub(crate) once: bool,

    /// As JSON: all that the agent counts, as it is.
    #[arg(long, requires = "once")]
    pub(crate) json: bool,

    /// Time between two looks.
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = interval)]
    pub(crate) interval: Duration,
}

fn interval(text: &str) -> Result<Duration, String> {
    let (digits, unit) = match text.strip_suffix("ms") {
        Some(digits) => (digits, 1),
        None => (text.strip_suffix('s').unwrap_or(text), 1000),
    };
    let millis = digits.parse::<u64>().ok().and_then(|n| n.checked_mul(unit));
    match millis {
        Some(millis @ 50..=3_600_000) => Ok(Duration::from_millis(millis)),
        _ => Err(format!("`{text}` is not between 50ms and 3600s")),
    }
}

#[derive(Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Agent {
    /// Options of vaccel-agent; see `vaccel agent --help`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) arguments: Vec<OsString>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units_and_limits() {
        assert_eq!(size("1K"), Ok(1024));
        assert_eq!(size("4"), Ok(4));
        assert_eq!(size("1G"), Ok(1 << 30));
        for wrong in [
            "",
            "K",
            "3",
            "2G",
            "1T",
            "-1",
            "1.5K",
            "99999999999999999999G",
        ] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn times_are_seconds_within_reason() {
        assert_eq!(seconds("0.5"), Ok(std::time::Duration::from_millis(500)));
        for wrong in ["", "0", "-1", "NaN", "inf", "1h", "1e9"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }
}
