//! `vaccel-agent`; see `vaccel-agent --help` and docs/agent.md.

fn main() -> std::process::ExitCode {
    vaccel_agent::agent::main()
}
