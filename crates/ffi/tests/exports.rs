//! The library exports exactly the functions of `abi/exports.txt`.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeSet;
use std::process::Command;

fn exported(path: &std::path::Path) -> BTreeSet<String> {
    let output = Command::new("nm")
        .args(["-D", "--defined-only", "--format=posix"])
        .arg(path)
        .output()
        .unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines()
        .map(|line| line.split(' ').next().unwrap().to_owned())
        .collect()
}

#[test]
fn exactly_the_public_functions_are_exported() {
    let list = include_str!("../abi/exports.txt");
    let wanted: BTreeSet<String> = list.lines().map(str::to_owned).collect();
    assert_eq!(wanted.len(), 317);
    let have = exported(common::library());
    let missing: Vec<_> = wanted.difference(&have).collect();
    let stray: Vec<_> = have.difference(&wanted).collect();
    assert!(missing.is_empty(), "missing: {missing:?}");
    assert!(stray.is_empty(), "stray: {stray:?}");
}

#[test]
fn the_library_has_the_name_that_programs_look_for() {
    let output = Command::new("readelf")
        .arg("-d")
        .arg(common::library())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("soname: [libvaccel.so.0]"), "{text}");
    assert!(text.contains("NODELETE"), "{text}");
    assert!(!text.contains("TEXTREL"), "{text}");
}
