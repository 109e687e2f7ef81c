//! Which libraries may be loaded: mechanism here, the decision elsewhere.
//!
//! The plugin asks its [`Policy`] before it loads anything. An agent decides by
//! setting `VACCEL_EXEC_ALLOW` for the worker processes that it starts. Another
//! way to decide (signatures, hashes) is another implementation of the trait,
//! chosen in `from_env`.

use std::ffi::{CStr, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use vaccel_plugin::{Result, bail, err, log};

/// Name and meaning of the variable, for the plugin's description.
pub(crate) const VARIABLES: &[(&str, &str)] = &[(
    ALLOW,
    "libraries that may be loaded: absolute paths of files and folders separated by `:`, and the \
     word `resources` for libraries that are sent as resources; unset: all",
)];

const ALLOW: &str = "VACCEL_EXEC_ALLOW";

/// Decides what may be loaded. Asked once for each library before it is loaded,
/// and not again while it stays loaded.
pub trait Policy: Send + Sync {
    /// The path to load for a library named by the caller: a path, or a name
    /// for the dynamic linker to search for. `EACCES` refuses it. What is
    /// returned is what is loaded, so a policy that resolves links should
    /// return the resolved path.
    fn path(&self, name: &CStr) -> Result<PathBuf>;

    /// Whether bytes may be loaded that come from a resource and have no file
    /// of their own. `EACCES` refuses them.
    fn memory(&self, name: &str) -> Result<()>;
}

/// Everything may be loaded.
#[derive(Debug, Clone, Copy)]
pub struct AllowAll;

impl Policy for AllowAll {
    fn path(&self, name: &CStr) -> Result<PathBuf> {
        Ok(OsStr::from_bytes(name.to_bytes()).into())
    }

    fn memory(&self, _: &str) -> Result<()> {
        Ok(())
    }
}

/// Only files of a list may be loaded, and those below its folders. Links are
/// resolved first, of the list and of the library.
///
/// The folders must not be writable by those who are to be kept from loading
/// code: the file is looked at first and loaded afterwards.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowList {
    paths: Vec<PathBuf>,
    resources: bool,
}

impl AllowList {
    /// The list of `VACCEL_EXEC_ALLOW`. An entry that does not exist is
    /// reported and allows nothing; one that is not absolute is `EINVAL`.
    pub fn parse(list: &OsStr) -> Result<Self> {
        let mut allowed = Self::default();
        for entry in list.as_bytes().split(|b| *b == b':') {
            let path = Path::new(OsStr::from_bytes(entry));
            match path.to_str() {
                Some("") => {}
                Some("resources") => allowed.resources = true,
                _ if path.is_relative() => bail!(
                    EINVAL,
                    "{ALLOW}: `{}` is not an absolute path",
                    path.display()
                ),
                _ => match path.canonicalize() {
                    Ok(path) => allowed.paths.push(path),
                    Err(e) => log::warn!("{ALLOW}: `{}` allows nothing: {e}", path.display()),
                },
            }
        }
        Ok(allowed)
    }
}

impl Policy for AllowList {
    fn path(&self, name: &CStr) -> Result<PathBuf> {
        let given = Path::new(OsStr::from_bytes(name.to_bytes()));
        if given.is_relative() {
            bail!(
                EACCES,
                "library `{}`: with {ALLOW} set, give its absolute path",
                given.display()
            );
        }
        let path = given
            .canonicalize()
            .map_err(|e| err!(ENOENT, "library `{}`: {e}", given.display()))?;
        if self.paths.iter().any(|allowed| path.starts_with(allowed)) {
            return Ok(path);
        }
        Err(err!(
            EACCES,
            "library `{}` may not be loaded: it is not in {ALLOW}",
            path.display()
        ))
    }

    fn memory(&self, name: &str) -> Result<()> {
        if self.resources {
            return Ok(());
        }
        Err(err!(
            EACCES,
            "library `{name}` may not be loaded from a resource: `resources` is not in {ALLOW}"
        ))
    }
}

/// The policy of the environment.
pub(crate) fn from_env() -> Result<Box<dyn Policy>> {
    match std::env::var_os(ALLOW) {
        None => Ok(Box::new(AllowAll)),
        Some(list) => Ok(Box::new(AllowList::parse(&list)?)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::ffi::CString;
    use vaccel_plugin::code;

    fn name(path: &Path) -> CString {
        CString::new(path.as_os_str().as_bytes()).unwrap()
    }

    #[test]
    fn links_are_resolved_before_they_are_compared() {
        let dir = tempfile::tempdir().unwrap();
        let (inside, outside) = (dir.path().join("in"), dir.path().join("out"));
        for folder in [&inside, &outside] {
            std::fs::create_dir(folder).unwrap();
            std::fs::write(folder.join("a.so"), b"").unwrap();
        }
        std::os::unix::fs::symlink(outside.join("a.so"), inside.join("link.so")).unwrap();
        let policy = AllowList::parse(inside.as_os_str()).unwrap();
        let resolved = inside.join("a.so").canonicalize().unwrap();
        assert_eq!(policy.path(&name(&inside.join("a.so"))).unwrap(), resolved);
        let dotted = inside.join("../in/./a.so");
        assert_eq!(policy.path(&name(&dotted)).unwrap(), resolved);
        for bad in ["link.so", "../out/a.so"] {
            let e = policy.path(&name(&inside.join(bad))).unwrap_err();
            assert_eq!(e.code(), code::EACCES, "{bad}");
        }
        // A folder of which an allowed one's name is the beginning.
        std::fs::create_dir(dir.path().join("in2")).unwrap();
        std::fs::write(dir.path().join("in2/a.so"), b"").unwrap();
        assert!(policy.path(&name(&dir.path().join("in2/a.so"))).is_err());
        assert_eq!(policy.path(c"a.so").unwrap_err().code(), code::EACCES);
        let gone = policy.path(&name(&inside.join("gone.so"))).unwrap_err();
        assert_eq!(gone.code(), code::ENOENT);
    }

    #[test]
    fn an_empty_list_allows_nothing_and_resources_are_named_apart() {
        let nothing = AllowList::parse(OsStr::new("")).unwrap();
        assert!(nothing.path(c"/bin/sh").is_err());
        assert!(nothing.memory("x").is_err());
        let resources = AllowList::parse(OsStr::new("/nonexistent/x:resources")).unwrap();
        assert!(resources.memory("x").is_ok());
        assert!(resources.path(c"/bin/sh").is_err());
        assert!(AllowList::parse(OsStr::new("lib")).is_err());
    }
}
