//! Sessions and resources belong to their connection, and nothing leaves its folder.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::Agent;
use vaccel_abi::arg::ARG_BUFFER;
use vaccel_abi::blob::{BLOB_BUFFER, BLOB_FILE};
use vaccel_abi::error::{EBUSY, EINVAL, ENOENT, ENOSPC, ENOTSUP, EPERM, ESESS};
use vaccel_abi::op::OP_MODEL_LOAD;
use vaccel_abi::resource::{PATH_LOCAL_DIR, PATH_LOCAL_FILE, PATH_MAX, PATH_REMOTE_FILE};
use vaccel_transport::CallError;
use vaccel_wire::{FrameBuffer, control};

fn op(code: u32) -> u16 {
    u16::try_from(code).unwrap()
}

/// What a call was refused with.
fn status(result: Result<i64, CallError>) -> i32 {
    match result {
        Err(CallError::Remote { status, .. }) => status,
        other => panic!("{other:?}"),
    }
}

#[test]
fn numbers_of_another_connection_mean_nothing() {
    let agent = Agent::start(&["--isolation", "shared"]);
    let (one, two) = (agent.connect(), agent.connect());
    let session = one.open_session(0);
    let resource = one
        .resource(session, PATH_LOCAL_FILE, &[(BLOB_FILE, "m", b"x")])
        .unwrap();
    let other = two.open_session(0);
    assert_eq!(
        agent.worker_of(&one),
        agent.worker_of(&two),
        "both in one process"
    );

    assert_eq!(two.fails(0, session, |_| {}).0, ESESS);
    assert_eq!(two.fails(control::SESSION_CLOSE, session, |_| {}).0, ESESS);
    for operation in [
        control::RESOURCE_COMMIT,
        control::RESOURCE_ATTACH,
        control::RESOURCE_DETACH,
        control::RESOURCE_SYNC,
    ] {
        let refused = two.fails(operation, other, |b| {
            b.read_scalar(resource);
        });
        assert_eq!(refused.0, ENOENT, "{operation}: {}", refused.1);
    }
    // Small numbers are those that the library itself gives out.
    for resource in [resource, 1, 2, -1] {
        let refused = two.fails(op(OP_MODEL_LOAD), other, |b| {
            b.read_scalar(resource);
        });
        assert_eq!(refused.0, ENOENT, "{}", refused.1);
    }
    for session in [0, 1, 2, -1, i64::MIN] {
        assert_eq!(two.fails(0, session, |_| {}).0, ESESS);
    }
    one.noop(session).unwrap();
    agent.stop();
}

#[test]
fn resources_are_attached_detached_and_go_with_the_last() {
    let agent = Agent::start(&[]);
    let client = agent.connect();
    let (first, second) = (client.open_session(0), client.open_session(0));
    let resource = client
        .resource(first, PATH_LOCAL_FILE, &[(BLOB_FILE, "model", b"x")])
        .unwrap();
    let load = |session| {
        client.call(op(OP_MODEL_LOAD), session, |b| {
            b.read_scalar(resource);
        })
    };
    load(first).unwrap();
    match load(second) {
        Err(CallError::Remote { status, .. }) => assert_eq!(status, EPERM),
        other => panic!("{other:?}"),
    }
    client
        .of_resource(control::RESOURCE_ATTACH, second, resource)
        .unwrap();
    load(second).unwrap();
    client
        .of_resource(control::RESOURCE_DETACH, first, resource)
        .unwrap();
    load(second).unwrap();
    client
        .of_resource(control::RESOURCE_DETACH, second, resource)
        .unwrap();
    match load(second) {
        Err(CallError::Remote { status, .. }) => assert_eq!(status, ENOENT),
        other => panic!("{other:?}"),
    }
    agent.stop();
}

#[test]
fn a_file_resource_lies_in_a_private_folder_that_goes_with_it() {
    let agent = Agent::start(&[]);
    let client = agent.connect();
    let session = client.open_session(0);
    let uploads = |name: &str| {
        let mut found = Vec::new();
        let mut left = agent.folders();
        while let Some(path) = left.pop() {
            let Ok(inside) = std::fs::read_dir(&path) else {
                found.extend(path.ends_with(name).then_some(path));
                continue;
            };
            left.extend(inside.flatten().map(|entry| entry.path()));
        }
        found
    };
    let blobs: [(u32, &str, &[u8]); 3] = [
        (BLOB_FILE, "saved_model.pb", b"graph"),
        (BLOB_FILE, "variables/variables.index", b"index"),
        (BLOB_FILE, "empty", b""),
    ];
    let resource = client.resource(session, PATH_LOCAL_DIR, &blobs).unwrap();
    let found = uploads("variables/variables.index");
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(std::fs::read(&found[0]).unwrap(), b"index");
    client
        .of_resource(control::RESOURCE_DETACH, session, resource)
        .unwrap();
    assert!(uploads("variables/variables.index").is_empty());

    // Closing a session has the same effect, and an unfinished upload goes too.
    client.resource(session, PATH_LOCAL_DIR, &blobs).unwrap();
    client
        .begin_resource(session, PATH_LOCAL_FILE, &[(BLOB_FILE, "half", b"x")])
        .unwrap();
    client
        .call(control::SESSION_CLOSE, session, |_| {})
        .unwrap();
    assert!(uploads("variables/variables.index").is_empty());
    assert!(uploads("half").is_empty());
    agent.stop();
}

#[test]
fn pieces_may_be_sent_without_waiting_for_their_answers() {
    let agent = Agent::start(&[]);
    let client = agent.connect();
    let session = client.open_session(0);
    let bytes: Vec<u8> = (0..16u32 << 20).map(|i| (i >> 12) as u8).collect();
    let blob = [(BLOB_FILE, "large", &bytes[..])];
    let resource = client
        .announce_resource(session, PATH_LOCAL_FILE, &blob)
        .unwrap();
    let mut flying = std::collections::VecDeque::new();
    let mut buffer = FrameBuffer::new();
    for (i, piece) in bytes.chunks(control::MAX_PIECE).enumerate() {
        let mut builder = buffer.request(control::RESOURCE_DATA);
        control::ResourceData {
            resource,
            blob: 0,
            offset: (i * control::MAX_PIECE) as u64,
            bytes: piece,
        }
        .encode(&mut builder);
        let mut frame = builder.finish().unwrap();
        flying.push_back(client.connection.begin(&mut frame, session, None).unwrap());
        if flying.len() == 6 {
            flying.pop_front().unwrap().wait(&mut ()).unwrap();
        }
    }
    for piece in flying {
        piece.wait(&mut ()).unwrap();
    }
    client
        .of_resource(control::RESOURCE_COMMIT, session, resource)
        .unwrap();
    agent.stop();
}

#[test]
fn names_that_leave_the_folder_and_pieces_that_do_not_fit_are_refused() {
    let agent = Agent::start(&["--max-resources", "8K"]);
    let client = agent.connect();
    let session = client.open_session(0);
    for name in ["../escape", "/tmp/escape", "a/../../b", "", ".", "a//b"] {
        let result = client.resource(session, PATH_LOCAL_FILE, &[(BLOB_FILE, name, b"x")]);
        assert_eq!(status(result), EINVAL, "{name}");
    }
    // The same name twice, and a name that is a file and a folder.
    let twice = [(BLOB_FILE, "a", &b"x"[..]), (BLOB_FILE, "a", b"x")];
    assert_eq!(
        status(client.resource(session, PATH_LOCAL_FILE, &twice)),
        EINVAL
    );
    let both = [(BLOB_FILE, "a", &b"x"[..]), (BLOB_FILE, "a/b", b"x")];
    assert_eq!(
        status(client.resource(session, PATH_LOCAL_FILE, &both)),
        EINVAL
    );
    assert_eq!(
        status(client.resource(session, PATH_LOCAL_FILE, &[])),
        EINVAL
    );
    let download = [(BLOB_FILE, "x", &b"x"[..])];
    assert_eq!(
        status(client.resource(session, PATH_REMOTE_FILE, &download)),
        ENOTSUP
    );
    assert_eq!(
        status(client.resource(session, PATH_LOCAL_FILE, &[(77, "x", b"x")])),
        EINVAL
    );
    // More than the connection may have.
    let large = vec![0; 9 << 10];
    let result = client.resource(session, PATH_MAX, &[(BLOB_BUFFER, "large", &large)]);
    assert_eq!(status(result), ENOSPC);

    let resource = client
        .begin_resource(session, PATH_LOCAL_FILE, &[(BLOB_FILE, "a", b"12345")])
        .unwrap();
    let piece = |blob, offset, bytes: &[u8]| {
        let result = client.send_piece(session, resource, blob, offset, bytes);
        status(result.map(|()| 0))
    };
    assert_eq!(piece(0, 5, b"6"), EINVAL, "beyond its size");
    assert_eq!(piece(0, 0, b"1"), EINVAL, "out of order");
    assert_eq!(piece(1, 0, b"1"), EINVAL, "no such file");
    let early = client.fails(op(OP_MODEL_LOAD), session, |b| {
        b.read_scalar(resource);
    });
    assert_eq!(early.0, EBUSY, "{}", early.1);
    client
        .of_resource(control::RESOURCE_COMMIT, session, resource)
        .unwrap();
    assert_eq!(piece(0, 5, b""), EINVAL, "complete already");
    agent.stop();
}

#[test]
fn a_buffer_resource_is_read_back_as_it_is() {
    let agent = Agent::start(&[]);
    let client = agent.connect();
    let session = client.open_session(0);
    let resource = client
        .resource(session, PATH_MAX, &[(BLOB_BUFFER, "data", b"hello")])
        .unwrap();
    let outputs = client.call(control::RESOURCE_SYNC, session, |b| {
        b.read_scalar(resource).write_allocate(ARG_BUFFER);
    });
    assert_eq!(outputs.unwrap()[0], b"hello");
    agent.stop();
}

#[test]
fn only_the_parts_of_a_buffer_that_differ_are_sent() {
    use vaccel_wire::changes::{CHUNK, CHUNK_HASH};
    let agent = Agent::start(&[]);
    let client = agent.connect();
    let session = client.open_session(0);
    let there: Vec<u8> = (0..5 * CHUNK + 9).map(|i| (i / 100) as u8).collect();
    let resource = client
        .resource(session, PATH_MAX, &[(BLOB_BUFFER, "b", &there)])
        .unwrap();
    let mut here = there.clone();
    here[CHUNK + 3] ^= 1;
    here[5 * CHUNK] ^= 1;
    let hashes: Vec<u8> = here
        .chunks(CHUNK)
        .flat_map(|chunk| blake3::hash(chunk).as_bytes()[..CHUNK_HASH].to_vec())
        .collect();
    let ask = |size: usize, hashes: &[u8]| {
        client.call(control::RESOURCE_CHANGES, session, |b| {
            b.read_scalar(resource)
                .read_scalar(size as u64)
                .read_copy(ARG_BUFFER, 0, hashes)
                .write_allocate(ARG_BUFFER)
                .write_allocate(ARG_BUFFER);
        })
    };
    let outputs = ask(here.len(), &hashes).unwrap();
    assert_eq!(outputs[0], [1, 0, 0, 0, 5, 0, 0, 0]);
    assert!(outputs[1] == [&there[CHUNK..2 * CHUNK], &there[5 * CHUNK..]].concat());
    for (size, hashes) in [
        (here.len() - 1, &hashes[..]),
        (here.len(), &hashes[1..]),
        (usize::MAX, &hashes),
    ] {
        match ask(size, hashes) {
            Err(CallError::Remote { status, .. }) => assert_eq!(status, EINVAL),
            other => panic!("{other:?}"),
        }
    }
    agent.stop();
}

#[test]
fn an_agent_fetches_nothing_and_opens_no_file_that_a_client_names() {
    let agent = Agent::start(&[]);
    let client = agent.connect();
    let session = client.open_session(0);
    let inside = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/model.onnx", inside.local_addr().unwrap());
    let secret = agent.dir().join("secret");
    std::fs::write(&secret, "of the host").unwrap();
    let secret = secret.to_str().unwrap();
    let file = format!("file://{secret}");
    for name in [
        &url[..],
        "https://localhost/x",
        "ftp://localhost/x",
        &file,
        secret,
        "x",
    ] {
        for bytes in [&b""[..], b"x"] {
            let named = [(BLOB_FILE, name, bytes)];
            let refused = status(client.resource(session, PATH_REMOTE_FILE, &named));
            // Some are no names of files, besides.
            assert!([ENOTSUP, EINVAL].contains(&refused), "{name}: {refused}");
        }
    }
    // Nor is what a client sends mistaken for a name of something here.
    for name in [&url[..], &file, secret, "../agent.sock"] {
        let named = [(BLOB_FILE, name, &b"x"[..])];
        let refused = status(client.resource(session, PATH_LOCAL_FILE, &named));
        assert_eq!(refused, EINVAL, "{name}");
    }
    drop(client);
    agent.stop();
    inside.set_nonblocking(true).unwrap();
    let nobody = inside.accept().unwrap_err();
    assert_eq!(nobody.kind(), std::io::ErrorKind::WouldBlock);
}
