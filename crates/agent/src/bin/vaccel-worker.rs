//! `vaccel-worker`: started by `vaccel-agent`, never by hand.

fn main() -> std::process::ExitCode {
    vaccel_agent::worker::main()
}
