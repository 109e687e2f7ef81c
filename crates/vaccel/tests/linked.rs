//! The API with the library and its transport linked into the program.
#![allow(clippy::unwrap_used)]

use vaccel::{Library, Session, code};

#[test]
fn the_library_is_part_of_the_program_and_its_only_plugin_is_the_transport() {
    let library = Library::get().unwrap();
    assert_eq!(library.version(), Some(env!("CARGO_PKG_VERSION")));
    assert_eq!(library.path().to_str(), Some("(part of the program)"));
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    assert!(!maps.contains("libvaccel"), "{maps}");
    let about = vaccel::describe().unwrap();
    let plugins = about["plugins"].as_array().unwrap();
    assert_eq!(plugins.len(), 1, "{about}");
    assert_eq!(plugins[0]["name"], "rpc");
    assert_eq!(plugins[0]["transport"], true);
    assert!(
        plugins[0]["ops"]
            .as_array()
            .unwrap()
            .contains(&"model_run".into()),
        "its operations beyond the fixed table are known: {about}"
    );
}

#[test]
fn without_an_agent_a_session_says_what_to_do() {
    let error = Session::new().unwrap_err();
    assert_eq!(error.code, code::EREMOTEIO, "{error}");
    assert!(error.to_string().contains("vaccel-agent"), "{error}");
}
