//! Hashes of files, so that what the agent has need not be sent.
//!
//! Hashing a file takes as long as reading it. A hash is kept, in the process and in the
//! folder `hashes` of `VACCEL_CACHE`, beside what the file system says of the file:
//! device, number, size and both times. A file that was changed a moment ago is hashed
//! anew, because times are coarse.

use std::collections::HashMap;
use std::fs::{self, DirBuilder, File, Metadata};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex};
use std::time::{Duration, SystemTime};

/// A BLAKE3 hash.
pub(crate) type Hash = [u8; 32];

/// Smaller content is sent each time, as agents do not keep it.
pub(crate) const SMALLEST: u64 = 64 << 10;

/// Bytes that are read at a time.
const STEP: usize = 256 << 10;

/// How long a file must have been left alone before its times tell that it is the same.
const SETTLED: Duration = Duration::from_secs(2);

/// Hashes that a process keeps.
const MAX: usize = 4096;

/// Hashes in the folder, above which it is emptied.
const MAX_FILES: usize = 4096;

static KNOWN: LazyLock<Mutex<HashMap<String, Hash>>> = LazyLock::new(Mutex::default);

/// The hash of a file, from memory, from the disk, or computed.
///
/// # Errors
/// When it cannot be read, or is changed meanwhile.
pub(crate) fn of_file(file: &File) -> io::Result<Hash> {
    let before = file.metadata()?;
    let key = identity(&before);
    if let Some(hash) = known(|known| known.get(&key).copied()).flatten() {
        return Ok(hash);
    }
    let folder = folder();
    if let Some(hash) = folder.as_deref().and_then(|at| read(at, &key)) {
        remember(key, hash);
        return Ok(hash);
    }
    let hash = compute(file, before.len())?;
    if identity(&file.metadata()?) != key {
        return Err(io::Error::other("the file is changed while it is read"));
    }
    if is_settled(&before) {
        if let Some(folder) = folder {
            // Only time is lost when it cannot be kept.
            let _ = write(&folder, &key, &hash);
        }
        remember(key, hash);
    }
    Ok(hash)
}

/// Forgets the hash of a file: the agent says that it is another one.
pub(crate) fn forget(file: &File) {
    let Ok(meta) = file.metadata() else {
        return;
    };
    let key = identity(&meta);
    known(|known| known.remove(&key));
    if let Some(folder) = folder() {
        // It may never have been there.
        let _ = fs::remove_file(place(&folder, &key));
    }
}

fn remember(key: String, hash: Hash) {
    known(|known| {
        if known.len() >= MAX {
            known.clear();
        }
        known.insert(key, hash)
    });
}

/// Does something with the hashes in memory; nothing when another thread is at them, which
/// after a fork may be one that does not exist here.
fn known<T>(act: impl FnOnce(&mut HashMap<String, Hash>) -> T) -> Option<T> {
    KNOWN.try_lock().ok().map(|mut known| act(&mut known))
}

fn compute(file: &File, size: u64) -> io::Result<Hash> {
    let mut hasher = blake3::Hasher::new();
    let mut space = vec![0; STEP];
    let mut at = 0;
    while at < size {
        let step = usize::try_from(size - at).map_or(STEP, |left| left.min(STEP));
        file.read_exact_at(&mut space[..step], at)?;
        hasher.update(&space[..step]);
        at += step as u64;
    }
    Ok(*hasher.finalize().as_bytes())
}

fn identity(meta: &Metadata) -> String {
    format!(
        "{}:{} {} {}.{:09} {}.{:09}",
        meta.dev(),
        meta.ino(),
        meta.len(),
        meta.mtime(),
        meta.mtime_nsec(),
        meta.ctime(),
        meta.ctime_nsec()
    )
}

fn is_settled(meta: &Metadata) -> bool {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let limit = now.map_or(0, |now| now.saturating_sub(SETTLED).as_secs());
    let settled = |time: i64| u64::try_from(time).is_ok_and(|time| time < limit);
    settled(meta.mtime()) && settled(meta.ctime())
}

/// The folder of hashes: below `VACCEL_CACHE`, or where the library keeps what it downloads.
fn folder() -> Option<PathBuf> {
    let set = |name: &str, below: &str| {
        let value = std::env::var_os(name).filter(|value| !value.is_empty())?;
        Some(Path::new(&value).join(below))
    };
    let folder = set("VACCEL_CACHE", "hashes")
        .or_else(|| set("XDG_CACHE_HOME", "vaccel/hashes"))
        .or_else(|| set("HOME", ".cache/vaccel/hashes"))?;
    folder.is_absolute().then_some(folder)
}

fn place(folder: &Path, key: &str) -> PathBuf {
    folder.join(&blake3::hash(key.as_bytes()).to_hex()[..32])
}

fn read(folder: &Path, key: &str) -> Option<Hash> {
    let file = File::open(place(folder, key)).ok()?;
    // Whoever can write here says which content this process uses.
    let (own, meta) = (effective_user(), file.metadata().ok()?);
    if meta.uid() != own || meta.mode() & 0o022 != 0 {
        return None;
    }
    let mut text = String::new();
    file.take(1024).read_to_string(&mut text).ok()?;
    let (hash, of) = text.trim_end().split_once(' ')?;
    let hash = blake3::Hash::from_hex(hash).ok()?;
    (of == key).then(|| *hash.as_bytes())
}

fn write(folder: &Path, key: &str, hash: &Hash) -> io::Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)?;
    if fs::read_dir(folder)?.count() >= MAX_FILES {
        for entry in fs::read_dir(folder)?.flatten() {
            let _ = fs::remove_file(entry.path());
        }
    }
    let path = place(folder, key);
    let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
    let mut file = File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)?;
    writeln!(file, "{} {key}", blake3::Hash::from(*hash).to_hex())?;
    drop(file);
    fs::rename(&temporary, &path)
}

fn effective_user() -> u32 {
    // SAFETY: a plain system call.
    unsafe { libc::geteuid() }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn old(path: &Path) {
        let long_ago = SystemTime::now() - Duration::from_secs(3600);
        let file = File::options().write(true).open(path).unwrap();
        file.set_modified(long_ago).unwrap();
    }

    #[test]
    fn the_hash_is_that_of_the_content() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let data: Vec<u8> = (0..STEP * 2 + 77).map(|i| (i / 7) as u8).collect();
        fs::write(&path, &data).unwrap();
        let hash = of_file(&File::open(&path).unwrap()).unwrap();
        assert_eq!(hash, *blake3::hash(&data).as_bytes());
    }

    #[test]
    fn a_file_that_changes_has_another_hash_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        for text in ["one", "two", "six"] {
            fs::write(&path, text).unwrap();
            let hash = of_file(&File::open(&path).unwrap()).unwrap();
            assert_eq!(hash, *blake3::hash(text.as_bytes()).as_bytes());
        }
    }

    #[test]
    fn what_was_written_a_moment_ago_is_not_settled() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "x").unwrap();
        assert!(!is_settled(&path.metadata().unwrap()));
        // Its times can be set back, but not all of them.
        old(&path);
        assert!(!is_settled(&path.metadata().unwrap()));
    }

    #[test]
    fn a_kept_hash_counts_for_its_file_alone_and_from_its_user_alone() {
        let folder = tempfile::tempdir().unwrap();
        let hash = *blake3::hash(b"x").as_bytes();
        write(folder.path(), "key", &hash).unwrap();
        assert_eq!(read(folder.path(), "key"), Some(hash));
        assert_eq!(read(folder.path(), "other"), None);
        let path = place(folder.path(), "key");
        fs::copy(&path, place(folder.path(), "other")).unwrap();
        assert_eq!(read(folder.path(), "other"), None);
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
        assert_eq!(read(folder.path(), "key"), None);
    }
}
