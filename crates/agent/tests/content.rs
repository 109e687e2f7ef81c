//! What has been sent once is not sent again, and nobody is given what is not theirs.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::ffi::CString;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use common::{Agent, Client, number, wait_until};
use vaccel_abi::arg::{ARG_BUFFER, ARG_INT64, ARG_UINT8};
use vaccel_abi::blob::BLOB_FILE;
use vaccel_abi::error::{EINVAL, ENOENT, ENOSPC};
use vaccel_abi::resource::{PATH_LOCAL_FILE, RESOURCE_MODEL};
use vaccel_transport::{Address, CallError};
use vaccel_wire::control;

const PIECE: usize = control::MAX_PIECE;

fn pattern(seed: usize, len: usize) -> Vec<u8> {
    (0..len)
        .map(|i| (i * 31 + i / 977 + seed * 7 + seed / 256 * (i / 3)) as u8)
        .collect()
}

fn hash(data: &[u8]) -> [u8; 32] {
    *blake3::hash(data).as_bytes()
}

/// An open connection with a session.
struct User {
    client: Client,
    session: i64,
}

impl User {
    fn of(agent: &Agent) -> Self {
        Self::at(agent.address())
    }

    fn at(address: &Address) -> Self {
        let client = Client::to(address).unwrap();
        let session = client.open_session(0);
        Self { client, session }
    }

    /// The number of a resource, and whether nothing need be sent.
    fn announce(&self, name: &str, size: usize, hash: &[u8]) -> (i64, bool) {
        let name = CString::new(name).unwrap();
        let outputs = self
            .client
            .call(control::RESOURCE_BEGIN, self.session, |b| {
                b.read_scalar(RESOURCE_MODEL).read_scalar(PATH_LOCAL_FILE);
                b.read_scalar(BLOB_FILE)
                    .read_copy(vaccel_abi::arg::ARG_STRING, 0, name.as_bytes_with_nul())
                    .read_scalar(size as u64)
                    .read_copy(ARG_BUFFER, 0, hash);
                b.write_capacity(ARG_INT64, 0, 8)
                    .write_capacity(ARG_UINT8, 0, 1);
            });
        let outputs = outputs.unwrap();
        (number(&outputs[0]), outputs[1][0] != 0)
    }

    fn offset(&self, resource: i64) -> u64 {
        let outputs = self
            .client
            .call(control::RESOURCE_OFFSETS, self.session, |b| {
                b.read_scalar(resource).write_allocate(ARG_BUFFER);
            });
        u64::from_le_bytes(outputs.unwrap()[0][..].try_into().unwrap())
    }

    fn send(&self, resource: i64, data: &[u8], from: usize) {
        for (i, piece) in data[from..].chunks(PIECE).enumerate() {
            let at = (from + i * PIECE) as u64;
            self.client
                .send_piece(self.session, resource, 0, at, piece)
                .unwrap();
        }
    }

    fn commit(&self, resource: i64) {
        self.client
            .of_resource(control::RESOURCE_COMMIT, self.session, resource)
            .unwrap();
    }

    /// Announces, sends what is missing, and commits; how much was sent.
    fn upload(&self, name: &str, data: &[u8]) -> (i64, usize) {
        let (resource, complete) = self.announce(name, data.len(), &hash(data));
        let mut sent = 0;
        if !complete {
            let from = usize::try_from(self.offset(resource)).unwrap();
            self.send(resource, data, from);
            sent = data.len() - from;
        }
        self.commit(resource);
        (resource, sent)
    }

    fn detach(&self, resource: i64) {
        self.client
            .of_resource(control::RESOURCE_DETACH, self.session, resource)
            .unwrap();
    }
}

fn cache(agent: &Agent) -> PathBuf {
    agent.dir().join("run/cache")
}

fn names(folder: &Path) -> Vec<PathBuf> {
    let mut names: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    names.sort();
    names
}

fn objects(agent: &Agent) -> Vec<PathBuf> {
    names(&cache(agent).join("objects"))
}

/// What a worker sees as the file of a name, through its own folder.
fn seen(agent: &Agent, user: &User, name: &str) -> (u64, Vec<u8>) {
    let worker = agent.worker_of(&user.client);
    let mut left = agent.folders();
    while let Some(path) = left.pop() {
        if path.is_dir() {
            left.extend(names(&path));
        } else if path.ends_with(name) {
            let link = std::fs::read_link(&path).unwrap();
            // A link to a descriptor of the worker.
            let own = link.to_str().unwrap().replace("self", &worker.to_string());
            let (meta, data) = (std::fs::metadata(&own), std::fs::read(&own));
            if let (Ok(meta), Ok(data)) = (meta, data) {
                return (meta.ino(), data);
            }
        }
    }
    panic!("no worker has a link named {name}");
}

#[test]
fn content_is_sent_once_and_the_next_connection_is_given_the_file_itself() {
    let agent = Agent::start(&[]);
    let data = pattern(1, 3 * PIECE + 77);
    let first = User::of(&agent);
    assert_eq!(first.upload("model.onnx", &data).1, data.len());
    let kept = objects(&agent);
    assert_eq!(kept.len(), 1);
    let second = User::of(&agent);
    assert_ne!(
        agent.worker_of(&first.client),
        agent.worker_of(&second.client)
    );
    assert_eq!(second.upload("other.onnx", &data).1, 0, "nothing is sent");
    let (inode, bytes) = seen(&agent, &second, "other.onnx");
    assert!(bytes == data);
    assert_eq!(inode, kept[0].join("data").metadata().unwrap().ino());
    assert!(seen(&agent, &first, "model.onnx").1 == data);
    // Nothing is left on the way.
    assert!(names(&cache(&agent).join("partial")).is_empty());
    assert!(names(&cache(&agent).join("tmp")).is_empty());
    agent.stop();
}

#[test]
fn an_upload_goes_on_where_the_connection_broke() {
    let agent = Agent::start(&[]);
    let data = pattern(2, 4 * PIECE + 5);
    let broken = User::of(&agent);
    let (resource, complete) = broken.announce("m", data.len(), &hash(&data));
    assert!(!complete);
    broken.send(resource, &data[..3 * PIECE], 0);
    // The worker dies in the middle, and the connection with it.
    let worker = agent.worker_of(&broken.client);
    common::kill(worker, libc::SIGKILL);
    wait_until("the worker is gone", || !common::is_alive(worker));
    drop(broken);
    let mut sent = 0;
    wait_until("the agent has noticed", || {
        let again = User::of(&agent);
        let (resource, _) = again.announce("m", data.len(), &hash(&data));
        let from = usize::try_from(again.offset(resource)).unwrap();
        if from == 0 {
            return false;
        }
        again.send(resource, &data, from);
        again.commit(resource);
        assert!(seen(&agent, &again, "m").1 == data);
        sent = data.len() - from;
        true
    });
    assert_eq!(sent, PIECE + 5);
    agent.stop();
}

#[test]
fn what_does_not_have_its_hash_is_refused_and_never_seen() {
    let agent = Agent::start(&[]);
    let user = User::of(&agent);
    let (good, bad) = (pattern(3, 2 * PIECE), pattern(4, 2 * PIECE));
    let (resource, _) = user.announce("m", good.len(), &hash(&good));
    user.send(resource, &bad, 0);
    let refused = user
        .client
        .fails(control::RESOURCE_COMMIT, user.session, |b| {
            b.read_scalar(resource);
        });
    assert_eq!(refused.0, EINVAL, "{}", refused.1);
    assert!(
        refused.1.contains("does not have the hash"),
        "{}",
        refused.1
    );
    assert!(objects(&agent).is_empty());
    // And does not stand in the way of the right content.
    assert_eq!(user.upload("m", &good).1, good.len());
    // Less and more than announced.
    let (resource, _) = user.announce("n", bad.len(), &hash(&bad));
    user.send(resource, &bad[..PIECE], 0);
    let refused = user
        .client
        .fails(control::RESOURCE_COMMIT, user.session, |b| {
            b.read_scalar(resource);
        });
    assert_eq!(refused.0, EINVAL, "{}", refused.1);
    let (resource, _) = user.announce("o", PIECE, &hash(&bad));
    let from = user.offset(resource);
    let result = user
        .client
        .send_piece(user.session, resource, 0, from + 1, &bad[..PIECE]);
    assert!(result.is_err(), "out of order");
    assert_eq!(objects(&agent).len(), 1);
    let unknown = user
        .client
        .fails(control::RESOURCE_OFFSETS, user.session, |b| {
            b.read_scalar(resource + 1).write_allocate(ARG_BUFFER);
        });
    assert_eq!(unknown.0, ENOENT);
    agent.stop();
}

#[test]
fn one_client_does_not_learn_what_another_one_has_sent() {
    let agent = Agent::start(&["-a", "tcp://127.0.0.1:0"]);
    let data = pattern(5, 2 * PIECE);
    let (user, stranger) = (User::of(&agent), User::at(&agent.addresses[1]));
    assert_eq!(user.upload("m", &data).1, data.len());
    // Whoever comes by another way has to show that the content is theirs.
    let (resource, complete) = stranger.announce("m", data.len(), &hash(&data));
    assert!(!complete);
    assert_eq!(stranger.offset(resource), 0);
    stranger.send(resource, &data, 0);
    stranger.commit(resource);
    // Stored once all the same, and from now on both need not send it.
    assert_eq!(objects(&agent).len(), 1);
    assert_eq!(User::at(&agent.addresses[1]).upload("m", &data).1, 0);
    assert_eq!(User::of(&agent).upload("m", &data).1, 0);
    agent.stop();
}

#[test]
fn the_scope_may_be_the_whole_host_or_one_connection() {
    let data = pattern(6, 2 * PIECE);
    let agent = Agent::start(&["-a", "tcp://127.0.0.1:0", "--cache-scope", "host"]);
    assert_eq!(User::of(&agent).upload("m", &data).1, data.len());
    assert_eq!(User::at(&agent.addresses[1]).upload("m", &data).1, 0);
    agent.stop();
    let agent = Agent::start(&["--cache-scope", "connection"]);
    let user = User::of(&agent);
    assert_eq!(user.upload("m", &data).1, data.len());
    assert_eq!(user.upload("n", &data).1, 0);
    assert_eq!(User::of(&agent).upload("m", &data).1, data.len());
    agent.stop();
}

#[test]
fn what_was_used_longest_ago_goes_first_and_what_is_in_use_stays() {
    let agent = Agent::start(&["--cache-limit", "1M"]);
    let data: Vec<_> = (0..4).map(|i| pattern(10 + i, 400 << 10)).collect();
    let user = User::of(&agent);
    let (first, _) = user.upload("a", &data[0]);
    let (second, _) = user.upload("b", &data[1]);
    user.detach(second);
    // The first is older, but in use.
    let (third, _) = user.upload("c", &data[2]);
    assert_eq!(User::of(&agent).upload("a", &data[0]).1, 0);
    assert_eq!(objects(&agent).len(), 2);
    // Both are in use: the next is served, but not kept.
    let (fourth, sent) = user.upload("d", &data[3]);
    assert_eq!(sent, data[3].len());
    assert!(seen(&agent, &user, "d").1 == data[3]);
    assert_eq!(objects(&agent).len(), 2);
    for resource in [first, third, fourth] {
        user.detach(resource);
    }
    wait_until("there is room once they are given back", || {
        user.upload("d", &data[3]);
        User::of(&agent).upload("d", &data[3]).1 == 0
    });
    agent.stop();
}

#[test]
fn the_cache_survives_a_restart_and_notices_damage() {
    let mut agent = Agent::start(&[]);
    let data = pattern(20, 2 * PIECE);
    User::of(&agent).upload("m", &data);
    agent.signal(libc::SIGKILL);
    agent.wait();
    let agent = agent.start_again();
    assert_eq!(User::of(&agent).upload("m", &data).1, 0);
    let file = objects(&agent)[0].join("data");
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[PIECE] ^= 1;
    let mut mode = file.metadata().unwrap().permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut mode, 0o600);
    std::fs::set_permissions(&file, mode).unwrap();
    std::fs::write(&file, &bytes).unwrap();
    let user = User::of(&agent);
    assert_eq!(user.upload("m", &data).1, data.len(), "it is sent anew");
    assert!(seen(&agent, &user, "m").1 == data);
    assert!(agent.stop().contains("is damaged"));
}

#[test]
fn two_agents_share_a_cache() {
    let folder = tempfile::tempdir().unwrap();
    let option = ["--cache", folder.path().to_str().unwrap()];
    let agents = [Agent::start(&option), Agent::start(&option)];
    let data = pattern(21, 3 * PIECE);
    std::thread::scope(|scope| {
        for i in 0..8 {
            let (agent, data) = (&agents[i % 2], &data);
            scope.spawn(move || {
                let user = User::of(agent);
                user.upload("m", data);
                assert!(seen(agent, &user, "m").1 == *data);
            });
        }
    });
    assert_eq!(names(&folder.path().join("objects")).len(), 1);
    for agent in &agents {
        assert_eq!(User::of(agent).upload("m", &data).1, 0);
    }
    agents.into_iter().for_each(|agent| drop(agent.stop()));
}

#[test]
fn half_uploads_take_a_bounded_number_of_files() {
    let agent = Agent::start(&[]);
    for round in 0..3 {
        let user = User::of(&agent);
        for i in 0..200 {
            let data = pattern(round * 200 + i, 70_000);
            let (resource, _) = user.announce("m", data.len(), &hash(&data));
            user.send(resource, &data[..1000], 0);
        }
        let files = names(&cache(&agent).join("partial")).len();
        assert!(files <= 16 * (round + 1), "{files}");
    }
    let user = User::of(&agent);
    let data = pattern(9999, 70_000);
    assert_eq!(user.upload("m", &data).1, data.len());
    agent.stop();
}

/// A disk of one megabyte, where this user may mount one.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mount = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=1m", "none"])
            .arg(folder.path())
            .output();
        mount
            .is_ok_and(|run| run.status.success())
            .then_some(Self(folder))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount")
            .arg("-l")
            .arg(self.0.path())
            .status();
    }
}

#[test]
fn a_full_disk_is_an_error_that_says_so_and_leaves_nothing() {
    let Some(disk) = SmallDisk::mount() else {
        eprintln!("skipped: this user may not mount a file system");
        return;
    };
    let folder = disk.0.path().join("cache");
    let agent = Agent::start(&["--cache", folder.to_str().unwrap()]);
    let user = User::of(&agent);
    // The upload fits, but not the copy that is checked.
    let data = pattern(30, 700 << 10);
    let (resource, _) = user.announce("m", data.len(), &hash(&data));
    user.send(resource, &data, 0);
    let refused = user
        .client
        .fails(control::RESOURCE_COMMIT, user.session, |b| {
            b.read_scalar(resource);
        });
    assert_eq!(refused.0, ENOSPC, "{}", refused.1);
    for part in ["objects", "partial", "tmp"] {
        assert!(names(&folder.join(part)).is_empty(), "{part}");
    }
    // Nor does the upload fit.
    let data = pattern(31, 2 * PIECE);
    let (resource, _) = user.announce("m", data.len(), &hash(&data));
    let full = (0..2).find_map(|i| {
        let at = i * PIECE;
        let piece = &data[at..at + PIECE];
        user.client
            .send_piece(user.session, resource, 0, at as u64, piece)
            .err()
    });
    assert!(
        matches!(full, Some(CallError::Remote { status: ENOSPC, .. })),
        "{full:?}"
    );
    user.detach(resource);
    let small = pattern(32, 100 << 10);
    wait_until("there is room again", || {
        let (resource, _) = user.announce("s", small.len(), &hash(&small));
        let sent = user.client.send_piece(user.session, resource, 0, 0, &small);
        let kept = sent.and_then(|()| {
            user.client
                .of_resource(control::RESOURCE_COMMIT, user.session, resource)
        });
        kept.is_ok()
    });
    agent.stop();
}

#[test]
fn without_a_cache_everything_is_sent_each_time() {
    let agent = Agent::start(&["--cache", "none"]);
    let data = pattern(22, 2 * PIECE);
    for _ in 0..2 {
        assert_eq!(User::of(&agent).upload("m", &data).1, data.len());
    }
    assert!(!cache(&agent).exists());
    agent.stop();
}
