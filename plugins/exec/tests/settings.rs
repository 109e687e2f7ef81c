//! Environment variables. One test, for they belong to the whole process.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Exec, compile, open_memory_files};
use vaccel_plugin::testing::TestResource;
use vaccel_plugin::{ResourceType, code};

fn set(variable: &str, value: Option<&str>) {
    // SAFETY: the only thread of this test that reads or writes the environment.
    unsafe {
        match value {
            Some(value) => std::env::set_var(variable, value),
            None => std::env::remove_var(variable),
        }
    }
}

#[test]
fn the_environment_decides_what_is_loaded_and_how_long_it_stays() {
    let dir = tempfile::tempdir().unwrap();
    let library = compile(dir.path(), "sum", &[]);
    let bytes = std::fs::read(&library).unwrap();
    let path = library.to_str().unwrap();
    let file = TestResource::from_files(1, ResourceType::Library, &[&library]);
    let memory = TestResource::from_memory(2, ResourceType::Library, "m.so", &bytes);

    set("VACCEL_EXEC_DLCLOSE_ENABLED", Some("1"));
    let exec = Exec::new();
    assert_eq!(exec.number(path, "count"), Ok(1));
    assert_eq!(exec.number(path, "count"), Ok(1));
    drop(exec);

    // The deprecated name counts where the new one is not set.
    set("VACCEL_EXEC_DLCLOSE_ENABLED", None);
    set("VACCEL_EXEC_DLCLOSE", Some("0"));
    let exec = Exec::new();
    assert_eq!(exec.resource_number(&memory, "count"), Ok(1));
    assert_eq!(exec.resource_number(&memory, "count"), Ok(2));
    assert_eq!(open_memory_files(), 1);
    exec.unregister(&memory);
    assert_eq!(open_memory_files(), 0, "gone with the resource");
    assert_eq!(exec.resource_number(&memory, "count"), Ok(1));
    drop(exec);
    set("VACCEL_EXEC_DLCLOSE", None);

    set("VACCEL_EXEC_ALLOW", Some("/usr/lib"));
    let exec = Exec::new();
    assert_eq!(exec.number(path, "count"), Err(code::EACCES));
    assert_eq!(exec.resource_number(&file, "count"), Err(code::EACCES));
    assert_eq!(exec.resource_number(&memory, "count"), Err(code::EACCES));
    drop(exec);

    let list = format!("/usr/lib:{}:resources", dir.path().display());
    set("VACCEL_EXEC_ALLOW", Some(&list));
    let exec = Exec::new();
    assert_eq!(exec.number(path, "count"), Ok(1));
    assert_eq!(exec.resource_number(&file, "count"), Ok(2), "the same file");
    assert_eq!(exec.resource_number(&memory, "count"), Ok(1));
    assert_eq!(exec.number("libsum.so", "count"), Err(code::EACCES));
    drop(exec);

    set("VACCEL_EXEC_ALLOW", Some("relative/path"));
    let plugin =
        vaccel_plugin::testing::Loaded::open(&vaccel_plugin::testing::built_library("vaccel_exec"));
    assert_eq!(plugin.init(), code::EINVAL);
    set("VACCEL_EXEC_ALLOW", None);
}
