//! Resources of every origin, and their comings and goings.

use crate::arguments::exec;
use crate::case::{Case, expect, noise};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use vaccel::{Input, Output, Resource, ResourceType, Result, Session};

/// What the library says while memory is sent; for transports only.
pub(crate) fn progress() -> Vec<Case> {
    vec![Case::new("resource/progress", |s| {
        let resource = Resource::from_bytes(noise(5_000_000, 4), ResourceType::Data, "sent")?;
        let mut said: Vec<(String, u64, u64)> = Vec::new();
        vaccel::with_progress(
            |name, done, total| said.push((name.to_owned(), done, total)),
            || resource.register(s),
        )?;
        let grows = said.windows(2).all(|two| two[0].1 < two[1].1);
        let last = said.last().cloned().unwrap_or_default();
        // Nobody is told afterwards.
        let other = Resource::from_bytes(noise(3_000_000, 5), ResourceType::Data, "other")?;
        let count = said.len();
        other.register(s)?;
        expect(&(grows, said.len()), &(true, count))?;
        Ok(json!([count, last.0, last.1, last.2]))
    })]
}

/// The file that `LARGE_FILE` names, as the plugin sees it.
pub(crate) fn large_file() -> Vec<Case> {
    vec![Case::new("resource/large file", |s| {
        let path = std::env::var_os("LARGE_FILE").unwrap_or_default();
        listed(s, &[Resource::open(path, ResourceType::Data)?])
    })]
}

/// Memory that is worth keeping, in one piece and in several.
pub(crate) fn large_memory() -> Vec<Case> {
    vec![Case::new("resource/large memory", |s| {
        let pieces = (0..3)
            .map(|i| (format!("piece-{i}"), noise(2_000_000, i)))
            .collect();
        listed(
            s,
            &[
                Resource::from_bytes(noise(8_000_000, 9), ResourceType::Data, "whole")?,
                Resource::from_pieces(pieces, ResourceType::Model)?,
            ],
        )
    })]
}

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("resource/file", |s| {
            let folder = folder()?;
            write(folder.path(), "data.bin", 1000, 1);
            let file = folder.path().join("data.bin");
            listed(s, &[Resource::open(file, ResourceType::Data)?])
        }),
        Case::new("resource/several files", |s| {
            let folder = folder()?;
            let files: Vec<_> = (0..5)
                .map(|i| {
                    write(folder.path(), &format!("part-{i}"), 10_000 * i, i as u64);
                    folder.path().join(format!("part-{i}"))
                })
                .collect();
            // An empty file is a file, too.
            listed(s, &[Resource::open_all(&files, ResourceType::Data)?])
        }),
        Case::new("resource/folder", |s| {
            let folder = folder()?;
            fs::create_dir_all(folder.path().join("a/b")).ok();
            for (i, name) in ["top", "a/middle", "a/b/deep"].iter().enumerate() {
                write(folder.path(), name, 5000 + i, i as u64);
            }
            listed(s, &[Resource::open(folder.path(), ResourceType::Model)?])
        }),
        Case::new("resource/memory", |s| {
            let data = noise(123_457, 2);
            listed(
                s,
                &[Resource::from_bytes(data, ResourceType::Data, "bytes")?],
            )
        }),
        Case::new("resource/pieces of memory", |s| {
            let pieces = (0..4)
                .map(|i| (format!("piece-{i}"), noise(1 << (5 * i), i)))
                .collect();
            listed(s, &[Resource::from_pieces(pieces, ResourceType::Model)?])
        }),
        Case::new("resource/40 MB", |s| {
            let data = noise(40_000_000, 3);
            listed(
                s,
                &[Resource::from_bytes(data, ResourceType::Model, "large")?],
            )
        }),
        Case::new("resource/several at once", |s| {
            let made = (0..20)
                .map(|i| Resource::from_bytes(noise(500, i), ResourceType::Data, &format!("r{i}")))
                .collect::<Result<Vec<_>>>()?;
            listed(s, &made)
        }),
        Case::new("resource/library", library),
        Case::new("resource/library of another session", |s| {
            let made = Resource::from_bytes(noise(9, 1), ResourceType::Library, "lib.so")?;
            made.register(&Session::new()?)?;
            // SAFETY: as in `library`.
            unsafe { s.exec_with_resource(&made, "library", &[], &mut []) }?;
            Ok(json!(null))
        }),
        Case::new("resource/registered and taken back 200 times", |s| {
            let made = Resource::from_bytes(noise(100_000, 4), ResourceType::Data, "again")?;
            for _ in 0..200 {
                made.register(s)?;
                made.register(s)?;
                made.unregister(s)?;
            }
            Ok(json!(list(s)?))
        }),
        Case::new("resource/taken back without having been given", |s| {
            let made = Resource::from_bytes(noise(10, 4), ResourceType::Data, "never")?;
            made.unregister(s)?;
            Ok(json!(null))
        }),
        Case::new("resource/sync", |s| {
            let data = noise(300_000, 5);
            let made = Resource::from_bytes(data.clone(), ResourceType::Data, "synced")?;
            made.register(s)?;
            let back = made.sync(s)?;
            made.unregister(s)?;
            expect(&(back == data), &true)?;
            Ok(json!(back.len()))
        }),
    ]
}

fn folder() -> Result<tempfile::TempDir> {
    tempfile::tempdir().map_err(|e| vaccel::Error::new(vaccel::code::EIO, format!("WRONG: {e}")))
}

fn write(folder: &Path, name: &str, size: usize, seed: u64) {
    // What cannot be written will be missed.
    let _ = fs::write(folder.join(name), noise(size, seed));
}

/// What the plugin sees of the session's resources.
fn list(session: &Session) -> Result<String> {
    let mut text = vec![0u8; 16 << 10];
    let used = {
        let mut write = [Output::buffer(&mut text)];
        exec(session, "resources", &[], &mut write)?;
        write[0].size()
    };
    Ok(String::from_utf8_lossy(&text[..used]).into_owned())
}

/// Registers, lists, and takes back: then there must be none.
fn listed(session: &Session, resources: &[Resource]) -> Result<Value> {
    for resource in resources {
        resource.register(session)?;
    }
    let seen = list(session)?;
    for resource in resources {
        resource.unregister(session)?;
    }
    expect(&list(session)?, &String::new())?;
    Ok(json!(seen))
}

fn library(session: &Session) -> Result<Value> {
    let data = noise(5000, 6);
    let made = Resource::from_bytes(data.clone(), ResourceType::Library, "lib.so")?;
    made.register(session)?;
    let (mut sum, mut back) = ([0u8; 8], [0u8; 3]);
    // SAFETY: the functions of the reference plugin keep to the sizes of the arguments.
    unsafe {
        session.exec_with_resource(&made, "library", &[], &mut [Output::buffer(&mut sum)])?;
        session.exec_with_resource(
            &made,
            "echo",
            &[Input::buffer(b"abc")],
            &mut [Output::buffer(&mut back)],
        )?;
    }
    made.unregister(session)?;
    expect(&u64::from_le_bytes(sum), &vaccel_reference::digest(&data))?;
    Ok(json!(back))
}
