//! Copies of what was downloaded before, asked for again by their ETag.

use crate::address::Address;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// What is known of a copy.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// The server's mark of this version of the file.
    pub(crate) etag: String,
    /// Hash of the bytes, to notice a copy that was changed or cut off.
    pub(crate) sha256: String,
}

/// Folder of copies. Whatever fails in it counts as "not there".
pub(crate) struct Cache<'a> {
    folder: &'a Path,
}

impl<'a> Cache<'a> {
    pub(crate) fn new(folder: &'a Path) -> Self {
        Self { folder }
    }

    fn path(&self, address: &Address, ending: &str) -> PathBuf {
        let key = hex(&Sha256::digest(address.as_str().as_bytes()));
        self.folder.join(format!("{key}.{ending}"))
    }

    /// What is known of the copy of a URL.
    pub(crate) fn entry(&self, address: &Address) -> Option<Entry> {
        let text = fs::read(self.path(address, "json")).ok()?;
        let entry: Entry = serde_json::from_slice(&text).ok()?;
        self.path(address, "data").is_file().then_some(entry)
    }

    /// Copies the cached bytes to a file; `None` unless they are whole.
    pub(crate) fn copy_to(&self, address: &Address, entry: &Entry, to: &Path) -> Option<()> {
        fs::copy(self.path(address, "data"), to).ok()?;
        let found = hash_file(to).ok()?;
        if found != entry.sha256 {
            let _ = fs::remove_file(self.path(address, "json"));
            return None;
        }
        Some(())
    }

    /// Keeps a copy of a file. A reader sees the old copy or the new one, never a part.
    pub(crate) fn keep(&self, address: &Address, file: &Path, entry: &Entry) -> io::Result<()> {
        fs::create_dir_all(self.folder)?;
        let data = tempfile::NamedTempFile::new_in(self.folder)?;
        fs::copy(file, data.path())?;
        let description = tempfile::NamedTempFile::new_in(self.folder)?;
        fs::write(description.path(), serde_json::to_vec(entry)?)?;
        data.persist(self.path(address, "data"))
            .map_err(|e| e.error)?;
        description
            .persist(self.path(address, "json"))
            .map_err(|e| e.error)?;
        Ok(())
    }
}

/// SHA-256 of a file in hexadecimal digits.
pub(crate) fn hash_file(path: &Path) -> io::Result<String> {
    let mut file = fs::File::open(path)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match io::Read::read(&mut file, &mut buffer)? {
            0 => return Ok(hex(&hash.finalize())),
            n => hash.update(&buffer[..n]),
        }
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
