//! Libraries that are resources, with the default settings.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Exec, compile, open_memory_files};
use vaccel_plugin::testing::TestResource;
use vaccel_plugin::{ResourceType, code};

#[test]
fn a_resource_is_unloaded_after_each_call() {
    let dir = tempfile::tempdir().unwrap();
    let library = compile(dir.path(), "sum", &[]);
    let exec = Exec::new();
    let r = TestResource::from_files(1, ResourceType::Library, &[&library]);
    assert_eq!(exec.resource_number(&r, "count"), Ok(1));
    assert_eq!(exec.resource_number(&r, "count"), Ok(1));
    assert!(!common::is_mapped(library.to_str().unwrap()));
}

#[test]
fn bytes_without_a_file_are_loaded_from_memory_and_nothing_stays_open() {
    let dir = tempfile::tempdir().unwrap();
    let bytes = std::fs::read(compile(dir.path(), "sum", &[])).unwrap();
    let exec = Exec::new();
    let r = TestResource::from_memory(2, ResourceType::Library, "libsum.so", &bytes);
    for _ in 0..20 {
        assert_eq!(exec.resource_number(&r, "count"), Ok(1));
    }
    assert_eq!(exec.resource_number(&r, "product"), Err(code::ENOENT));
    assert_eq!(open_memory_files(), 0);
}

#[test]
fn two_libraries_in_memory_are_never_taken_for_one() {
    let dir = tempfile::tempdir().unwrap();
    let exec = Exec::new();
    let read = |name| std::fs::read(compile(dir.path(), name, &[])).unwrap();
    let sum = TestResource::from_memory(3, ResourceType::Library, "a.so", &read("sum"));
    let deep = TestResource::from_memory(4, ResourceType::Library, "b.so", &read("deep"));
    for _ in 0..3 {
        assert_eq!(exec.resource_number(&sum, "count"), Ok(1));
        assert_eq!(exec.resource_number(&deep, "count"), Err(code::ENOENT));
    }
}

#[test]
fn needed_libraries_are_loaded_before_in_whatever_order_they_come() {
    let dir = tempfile::tempdir().unwrap();
    let deep = compile(dir.path(), "deep", &[]);
    let middle = compile(dir.path(), "middle", &["deep"]);
    let main = compile(dir.path(), "main", &["middle"]);
    let exec = Exec::new();
    let alone = TestResource::from_files(5, ResourceType::Library, &[&main]);
    assert_eq!(exec.resource_number(&alone, "answer"), Err(code::ELIBBAD));
    for files in [[&main, &middle, &deep], [&main, &deep, &middle]] {
        let files = files.map(std::path::PathBuf::as_path);
        let r = TestResource::from_files(6, ResourceType::Library, &files);
        assert_eq!(exec.resource_number(&r, "answer"), Ok(42));
    }
    assert!(!common::is_mapped("libdeep.so"), "all are unloaded");
}

#[test]
fn resources_that_hold_no_library_are_refused() {
    let exec = Exec::new();
    let no_files = TestResource::from_files(7, ResourceType::Library, &[]);
    let empty = TestResource::from_memory(8, ResourceType::Library, "x.so", b"");
    let text = TestResource::from_memory(9, ResourceType::Library, "x.so", b"no library");
    let model = TestResource::from_memory(10, ResourceType::Model, "x.so", b"no library");
    let count = |r| exec.resource_number(r, "count");
    assert_eq!(count(&no_files), Err(code::EINVAL));
    assert_eq!(count(&empty), Err(code::EINVAL));
    assert_eq!(count(&text), Err(code::ELIBBAD));
    assert_eq!(count(&model), Err(code::EINVAL));
    assert_eq!(exec.resource_number(&text, ""), Err(code::EINVAL));
    assert_eq!(open_memory_files(), 0);
}
