//! Resources on their way to the agent.
#![allow(clippy::unwrap_used)]

mod common;
use common::agent::Agent;
use common::{Rpc, last_error, remote_id};
use std::fs;
use vaccel_plugin::abi::blob::{BLOB_BUFFER, BLOB_FILE};
use vaccel_plugin::abi::resource::{
    PATH_LOCAL_DIR, PATH_LOCAL_FILE, PATH_MAX, PATH_REMOTE_FILE, RESOURCE_DATA as DATA,
    RESOURCE_MODEL,
};
use vaccel_plugin::testing::TestResource;
use vaccel_plugin::{ResourceType, code};
use vaccel_wire::control::{
    MAX_PIECE, RESOURCE_ATTACH, RESOURCE_BEGIN, RESOURCE_DATA, RESOURCE_DETACH,
};

fn pattern(n: usize) -> Vec<u8> {
    (0..n).map(|i| (i * 17 + i / 253) as u8).collect()
}

#[test]
fn files_are_sent_in_pieces_and_arrive_whole() {
    let agent = Agent::start();
    let rpc = Rpc::start(&agent.address, &[]);
    let session = rpc.session();
    let folder = tempfile::tempdir().unwrap();
    let (large, empty) = (folder.path().join("large.bin"), folder.path().join("empty"));
    let data = pattern(5 * MAX_PIECE + 12_345);
    fs::write(&large, &data).unwrap();
    fs::write(&empty, b"").unwrap();
    let resource = TestResource::from_files(9, ResourceType::Model, &[&large, &empty]);
    assert_eq!(session.register(&resource), 0, "{}", last_error());
    let stored = agent.world.resources.lock().unwrap()[&remote_id(&resource)].clone();
    assert_eq!(
        (stored.type_, stored.path_type),
        (RESOURCE_MODEL, PATH_LOCAL_FILE)
    );
    assert!(stored.blobs[0] == (BLOB_FILE, "large.bin".into(), data));
    assert!(stored.blobs[1] == (BLOB_FILE, "empty".into(), vec![]));
    assert_eq!(agent.world.count(RESOURCE_DATA.into()), 6);
}

#[test]
fn memory_is_sent_as_a_buffer() {
    let agent = Agent::start();
    let rpc = Rpc::start(&agent.address, &[]);
    let session = rpc.session();
    let data = pattern(3000);
    let resource = TestResource::from_memory(9, ResourceType::Data, "d", &data);
    assert_eq!(session.register(&resource), 0);
    let stored = agent.world.resources.lock().unwrap()[&remote_id(&resource)].clone();
    assert_eq!((stored.type_, stored.path_type), (DATA, PATH_MAX));
    assert!(stored.blobs == [(BLOB_BUFFER, "d".into(), data)]);
}

/// All files below a folder, as the library lists them.
fn files(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}

#[test]
fn folders_keep_the_names_below_them() {
    let agent = Agent::start();
    let rpc = Rpc::start(&agent.address, &[]);
    let session = rpc.session();
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("model");
    fs::create_dir_all(root.join("variables/deep")).unwrap();
    for (name, data) in [
        ("saved_model.pb", "graph"),
        ("variables/variables.index", "index"),
        ("variables/deep/x", "x"),
        ("x", "another x"),
    ] {
        fs::write(root.join(name), data).unwrap();
    }
    let list = files(&root);
    let paths: Vec<_> = list.iter().map(|p| p.as_path()).collect();
    let resource = TestResource::from_files(9, ResourceType::Model, &paths);
    // What the library makes of a folder: blobs of all files, one path.
    let text = std::ffi::CString::new(root.to_str().unwrap()).unwrap();
    // SAFETY: the structure is ours, and has a place for the path.
    unsafe {
        let raw = resource.as_ptr();
        (*raw).path_type = PATH_LOCAL_DIR;
        (*raw).nr_paths = 1;
        *(*raw).paths = text.as_ptr().cast_mut();
    }
    assert_eq!(session.register(&resource), 0, "{}", last_error());
    let stored = agent.world.resources.lock().unwrap()[&remote_id(&resource)].clone();
    assert_eq!(stored.path_type, PATH_LOCAL_DIR);
    let names: Vec<_> = stored.blobs.iter().map(|b| b.1.as_str()).collect();
    let expected = [
        "saved_model.pb",
        "variables/deep/x",
        "variables/variables.index",
        "x",
    ];
    assert_eq!(names, expected);
    assert_eq!(stored.blobs[3].2, b"another x");
}

#[test]
fn files_of_one_name_do_not_clash() {
    let agent = Agent::start();
    let rpc = Rpc::start(&agent.address, &[]);
    let session = rpc.session();
    let folder = tempfile::tempdir().unwrap();
    let paths = ["a", "b"].map(|d| {
        fs::create_dir(folder.path().join(d)).unwrap();
        let path = folder.path().join(d).join("weights");
        fs::write(&path, d).unwrap();
        path
    });
    let resource = TestResource::from_files(9, ResourceType::Model, &[&paths[0], &paths[1]]);
    assert_eq!(session.register(&resource), 0, "{}", last_error());
    let stored = agent.world.resources.lock().unwrap()[&remote_id(&resource)].clone();
    let names: Vec<_> = stored.blobs.iter().map(|b| b.1.as_str()).collect();
    assert_eq!(names, ["weights", "1/weights"]);
}

#[test]
fn a_resource_is_sent_once_and_attached_to_further_sessions() {
    let agent = Agent::start();
    let rpc = Rpc::start(&agent.address, &[]);
    let (a, b) = (rpc.session(), rpc.open(2).unwrap());
    let resource = TestResource::from_memory(9, ResourceType::Data, "d", b"data");
    assert_eq!((a.register(&resource), b.register(&resource)), (0, 0));
    // A second time is a no-op.
    assert_eq!(b.register(&resource), 0);
    let id = remote_id(&resource);
    let sessions = || {
        let resources = agent.world.resources.lock().unwrap();
        resources.get(&id).map(|r| r.sessions.clone())
    };
    assert_eq!(sessions(), Some(vec![a.remote_id(), b.remote_id()]));
    assert_eq!(agent.world.count(RESOURCE_BEGIN.into()), 1);
    assert_eq!(agent.world.count(RESOURCE_ATTACH.into()), 1);
    assert_eq!(a.unregister(&resource), 0);
    assert_eq!(sessions(), Some(vec![b.remote_id()]));
    assert_eq!(b.unregister(&resource), 0);
    assert_eq!(sessions(), None);
    // The agent has freed it: it is sent again.
    assert_eq!(a.register(&resource), 0);
    assert_ne!(remote_id(&resource), id);
    assert_eq!(agent.world.count(RESOURCE_BEGIN.into()), 2);
    assert_eq!(b.unregister(&resource), code::EPERM);
}

#[test]
fn a_session_that_ends_takes_its_resources_along() {
    let agent = Agent::start();
    let rpc = Rpc::start(&agent.address, &[]);
    let resource = TestResource::from_memory(9, ResourceType::Data, "d", b"data");
    let session = rpc.session();
    assert_eq!(session.register(&resource), 0);
    assert_eq!(session.release(), 0);
    let again = rpc.open(2).unwrap();
    assert_eq!(again.register(&resource), 0);
    // Not attached to what the agent may have freed.
    assert_eq!(agent.world.count(RESOURCE_ATTACH.into()), 0);
    assert_eq!(agent.world.count(RESOURCE_BEGIN.into()), 2);
}

#[test]
fn threads_that_register_the_same_resource_send_it_once() {
    let agent = Agent::start();
    let rpc = Rpc::start(&agent.address, &[]);
    let sessions: Vec<_> = (1..=8).map(|i| rpc.open(i).unwrap()).collect();
    let resource = TestResource::from_memory(9, ResourceType::Data, "d", &pattern(100_000));
    struct Shared<'r>(&'r TestResource);
    // SAFETY: the plugin guards what it writes; the test only hands it on.
    unsafe impl Sync for Shared<'_> {}
    let shared = Shared(&resource);
    std::thread::scope(|scope| {
        for session in &sessions {
            let shared = &shared;
            scope.spawn(move || assert_eq!(session.register(shared.0), 0));
        }
    });
    assert_eq!(agent.world.count(RESOURCE_BEGIN.into()), 1);
    assert_eq!(agent.world.count(RESOURCE_ATTACH.into()), 7);
}

#[test]
fn after_a_loss_a_resource_is_sent_to_the_new_session() {
    let agent = Agent::start();
    let rpc = Rpc::start(&agent.address, &[]);
    let old = rpc.session();
    let resource = TestResource::from_memory(9, ResourceType::Data, "d", b"data");
    assert_eq!(old.register(&resource), 0);
    agent.cut();
    let new = rpc.open(2).unwrap();
    assert_eq!(new.register(&resource), 0);
    assert_eq!(agent.world.count(RESOURCE_BEGIN.into()), 2);
    // Nothing is left of the old one, here or there.
    assert_eq!(old.unregister(&resource), 0);
    assert_eq!(new.unregister(&resource), 0);
}

#[test]
fn a_buffer_is_brought_up_to_date() {
    let agent = Agent::start();
    let rpc = Rpc::start(&agent.address, &[]);
    let session = rpc.session();
    let resource = TestResource::from_memory(9, ResourceType::Data, "d", &[1, 2, 3]);
    assert_eq!(session.sync(&resource), code::EPERM);
    assert_eq!(session.register(&resource), 0);
    assert_eq!(session.sync(&resource), 0, "{}", last_error());
    // SAFETY: one blob of three bytes.
    let bytes = unsafe {
        let blob = *(*resource.as_ptr()).blobs;
        std::slice::from_raw_parts((*blob).data, (*blob).size).to_vec()
    };
    assert_eq!(bytes, [2, 3, 4]);
}

#[test]
fn an_upload_that_fails_leaves_nothing_behind() {
    let agent = Agent::start();
    let rpc = Rpc::start(&agent.address, &[]);
    let session = rpc.session();
    let mut data = pattern(10 * MAX_PIECE);
    data[2 * MAX_PIECE..2 * MAX_PIECE + 6].copy_from_slice(b"poison");
    let resource = TestResource::from_memory(9, ResourceType::Data, "d", &data);
    assert_eq!(session.register(&resource), code::ENOSPC);
    let error = last_error();
    assert!(
        error.contains("cannot send resource 9: the disk is full"),
        "{error}"
    );
    assert!(agent.world.resources.lock().unwrap().is_empty());
    assert_eq!(agent.world.count(RESOURCE_DETACH.into()), 1);
    assert_eq!(session.noop(), 0);
    let resource = TestResource::from_memory(9, ResourceType::Data, "d", b"fine");
    assert_eq!(session.register(&resource), 0);
}

#[test]
fn resources_that_cannot_be_sent_are_refused() {
    let agent = Agent::start();
    let rpc = Rpc::start(&agent.address, &[]);
    let session = rpc.session();
    let gone = std::path::Path::new("/nonexistent/file");
    let resource = TestResource::from_files(9, ResourceType::Data, &[gone]);
    assert_eq!(session.register(&resource), code::ENOENT);
    assert!(
        last_error().contains("/nonexistent/file"),
        "{}",
        last_error()
    );
    let resource = TestResource::from_files(9, ResourceType::Data, &[]);
    assert_eq!(session.register(&resource), code::EINVAL);
    // SAFETY: our own structure.
    unsafe { (*resource.as_ptr()).path_type = PATH_REMOTE_FILE };
    assert_eq!(session.register(&resource), code::ENOTSUP);
    assert!(last_error().contains("use its path"), "{}", last_error());
    assert_eq!(agent.world.count(RESOURCE_BEGIN.into()), 0);
}
