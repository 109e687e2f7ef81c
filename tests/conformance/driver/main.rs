//! Calls everything there is and prints what came back, a line of JSON for each case.
//!
//! It is run in process and against agents; the suite compares what it prints. Settings come from
//! the environment, as for any program: `VACCEL_PLUGINS`, `VACCEL_RPC_ADDRESS`.
//!
//! usage: conformance-driver GROUP...

mod arguments;
mod case;
mod compute;
mod frameworks;
mod kept;
mod limits;
mod models;
mod pending;
mod profile;
mod resources;
mod sessions;

use case::Case;
use std::process::ExitCode;
use vaccel::Session;

fn main() -> ExitCode {
    let mut cases: Vec<Case> = Vec::new();
    for group in std::env::args().skip(1) {
        cases.extend(match group.as_str() {
            "compute" => compute::cases(),
            "arguments" => arguments::cases(),
            "frameworks" => frameworks::cases(),
            "models" => models::cases(),
            "kept" => kept::cases(),
            "links-1" => kept::links(1),
            "links-9" => kept::links(9),
            "progress" => resources::progress(),
            "large-memory" => resources::large_memory(),
            "large-file" => resources::large_file(),
            "resources" => resources::cases(),
            "sessions" => sessions::cases(),
            "many-sessions" => sessions::many(),
            "async" => pending::cases(),
            "profile" => profile::cases(),
            "huge" => limits::huge(),
            "deadline" => limits::deadline(),
            "given-up" => limits::given_up(),
            other => {
                eprintln!("there is no group `{other}`");
                return ExitCode::from(2);
            }
        });
    }
    let session = match Session::new() {
        Ok(session) => session,
        Err(error) => {
            eprintln!("cannot open a session: {error}");
            return ExitCode::FAILURE;
        }
    };
    for case in &cases {
        println!("{}", case.line(&session));
    }
    ExitCode::SUCCESS
}
