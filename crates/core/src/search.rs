//! Where plugins are looked for.

use crate::{Result, builtin, choice, err, fail};
use std::ffi::{CStr, CString, OsStr, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// A shared library that `dlopen` accepted.
#[derive(Debug)]
pub struct Library {
    /// What `dlopen` returned.
    pub handle: *mut c_void,
    /// What it was given.
    pub path: PathBuf,
}

impl Library {
    /// The address of a symbol, or `None`.
    #[must_use]
    pub fn symbol(&self, name: &CStr) -> Option<*mut c_void> {
        // SAFETY: the handle is open and the name is zero-terminated.
        let p = unsafe { libc::dlsym(self.handle, name.as_ptr()) };
        (!p.is_null()).then_some(p)
    }

    /// Gives the library back to the loader.
    pub fn close(self) {
        // SAFETY: opened by `open` and closed once, because `self` is consumed.
        unsafe { libc::dlclose(self.handle) };
    }
}

/// Opens a plugin by what `VACCEL_PLUGINS` says of it: a path when there is a
/// `/` in it, the name of a library, or a bare word such as `noop`.
///
/// Names are tried with the loader's own rules first, then beside this library,
/// in `vaccel/` there, and in the folders of `VACCEL_PLUGIN_PATH`, each also
/// under the name that Cargo gives (`libvaccel_noop.so`).
///
/// # Errors
/// `ENOENT`, naming every place and what the loader said about it.
pub fn open(entry: &str) -> Result<Library> {
    if is_static_program() {
        // A file would bring a second C library into the process.
        fail!(
            ENOENT,
            "cannot load plugin `{entry}`: this program is linked statically and loads no files; \
             part of it are: {}",
            match &*builtin::names() {
                [] => "none".to_owned(),
                names => names.join(", "),
            }
        );
    }
    let mut refused = Vec::new();
    let mut absent: Vec<PathBuf> = Vec::new();
    for candidate in candidates(entry) {
        let path = match candidate {
            Candidate::Loader(path) => path,
            Candidate::File(path) if path.exists() => path,
            Candidate::File(path) => {
                absent.push(path);
                continue;
            }
        };
        match dlopen(&path) {
            Ok(handle) => return Ok(Library { handle, path }),
            Err(why) => refused.push(why),
        }
    }
    Err(err!(
        ENOENT,
        "cannot load plugin `{entry}`: {}{}; install it, write its path, or put its folder \
         into VACCEL_PLUGIN_PATH",
        // A file that is there and cannot be loaded is the likelier cause.
        refused.into_iter().rev().collect::<Vec<_>>().join("; "),
        not_in(&absent)
    ))
}

/// Opens a plugin by its path.
///
/// # Errors
/// `ENOENT` with what the loader says.
pub(crate) fn open_file(path: &Path) -> Result<Library> {
    match dlopen(path) {
        Ok(handle) => Ok(Library {
            handle,
            path: path.to_owned(),
        }),
        Err(why) => Err(err!(ENOENT, "{why}")),
    }
}

/// A plugin that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Installed {
    /// Its name, by the file's.
    pub(crate) name: String,
    /// The file.
    pub(crate) path: PathBuf,
}

/// The plugins beside this library, in `vaccel/` there and in the folders of
/// `VACCEL_PLUGIN_PATH`, each once: those of this project in the order of
/// [`choice::names`], then others by name. A static program loads no files.
pub(crate) fn installed() -> Vec<Installed> {
    if is_static_program() {
        return Vec::new();
    }
    let known = choice::names();
    let mut found: Vec<Installed> = Vec::new();
    for folder in folders() {
        let mut here: Vec<Installed> = std::fs::read_dir(&folder)
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| Installed::of(entry.path(), &known))
            .collect();
        here.retain(|one| found.iter().all(|other| other.name != one.name));
        // The installed form before Cargo's.
        here.sort_by(|a, b| a.path.cmp(&b.path));
        here.dedup_by(|a, b| a.name == b.name);
        found.append(&mut here);
    }
    let place = |one: &Installed| known.iter().position(|name| *name == one.name);
    found.sort_by_key(|one| (place(one).unwrap_or(known.len()), one.name.clone()));
    found
}

impl Installed {
    fn of(path: PathBuf, known: &[&str]) -> Option<Self> {
        let file = path.file_name()?.to_str()?.strip_suffix(".so")?;
        let name = match (
            file.strip_prefix("libvaccel-"),
            file.strip_prefix("libvaccel_"),
        ) {
            (Some(name), _) => name.to_owned(),
            (None, Some(name)) => name.replace('_', "-"),
            (None, None) => return None,
        };
        let is_plugin = known.contains(&name.as_str())
            || file.starts_with("libvaccel-") && exports_a_plugin(&path);
        is_plugin.then_some(Self { name, path })
    }
}

/// Whether a library has the symbol of a plugin: what is none is not to be loaded only to
/// find that out, since loading runs its code.
fn exports_a_plugin(path: &Path) -> bool {
    /// Larger than any plugin.
    const MOST: u64 = 256 << 20;
    let symbol = b"\0vaccel_plugin\0";
    let small = std::fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.len() <= MOST);
    small
        && std::fs::read(path)
            .is_ok_and(|bytes| bytes.windows(symbol.len()).any(|part| part == symbol))
}

/// True when no dynamic loader started this program.
fn is_static_program() -> bool {
    unsafe extern "C" fn visit(
        info: *mut libc::dl_phdr_info,
        _size: usize,
        found: *mut c_void,
    ) -> libc::c_int {
        // SAFETY: the C library passes a description of the program with as many
        // headers as it says, and `found` is the variable below.
        unsafe {
            let info = &*info;
            let headers = std::slice::from_raw_parts(info.dlpi_phdr, info.dlpi_phnum.into());
            *found.cast::<bool>() = headers.iter().any(|h| h.p_type == libc::PT_INTERP);
        }
        1 // the first is the program itself
    }
    let mut interpreted = true;
    // SAFETY: a callback of the right type and a variable that outlives the call.
    unsafe { libc::dl_iterate_phdr(Some(visit), (&raw mut interpreted).cast()) };
    !interpreted
}

/// "; not in /a or /b (x.so, y.so)".
fn not_in(absent: &[PathBuf]) -> String {
    let list = |part: fn(&Path) -> Option<&OsStr>, between: &str| {
        let mut parts: Vec<_> = Vec::new();
        for part in absent.iter().filter_map(|path| part(path)) {
            let part = part.to_string_lossy();
            if !parts.contains(&part) {
                parts.push(part);
            }
        }
        parts.join(between)
    };
    if absent.is_empty() {
        return String::new();
    }
    let folders = list(|path| path.parent().map(Path::as_os_str), " or ");
    format!("; not in {folders} ({})", list(Path::file_name, ", "))
}

#[derive(Debug, PartialEq)]
enum Candidate {
    /// Handed to `dlopen` as it is.
    Loader(PathBuf),
    /// Handed to `dlopen` if it exists.
    File(PathBuf),
}

fn candidates(entry: &str) -> Vec<Candidate> {
    if entry.contains('/') {
        return vec![Candidate::Loader(entry.into())];
    }
    let name = if entry.contains(".so") {
        entry.to_owned()
    } else {
        format!("libvaccel-{entry}.so")
    };
    let cargo = name
        .strip_prefix("libvaccel-")
        .and_then(|rest| rest.split(".so").next())
        .map(|word| format!("libvaccel_{}.so", word.replace('-', "_")));
    let mut all = vec![Candidate::Loader(name.clone().into())];
    for folder in folders() {
        all.push(Candidate::File(folder.join(&name)));
        all.extend(cargo.iter().map(|name| Candidate::File(folder.join(name))));
    }
    all
}

/// Where plugins are looked for, beside the loader's own places.
fn folders() -> Vec<PathBuf> {
    let mut folders = Vec::new();
    if let Some(own) = own_folder() {
        folders.push(own.join("vaccel"));
        folders.insert(0, own);
    }
    if let Some(path) = std::env::var_os("VACCEL_PLUGIN_PATH") {
        folders.extend(std::env::split_paths(&path).filter(|p| !p.as_os_str().is_empty()));
    }
    folders
}

fn dlopen(path: &Path) -> std::result::Result<*mut c_void, String> {
    let Ok(c_path) = CString::new(path.as_os_str().as_bytes()) else {
        return Err(format!("{}: zero in the path", path.display()));
    };
    // SAFETY: a zero-terminated path; what the library's constructors do is the
    // responsibility of whoever asked for it to be loaded.
    let handle = unsafe { libc::dlopen(c_path.as_ptr(), libc::RTLD_LAZY | libc::RTLD_LOCAL) };
    if !handle.is_null() {
        return Ok(handle);
    }
    // SAFETY: dlerror returns null or a string of this thread.
    let why = unsafe {
        let text = libc::dlerror();
        if text.is_null() {
            "unknown error of dlopen".into()
        } else {
            CStr::from_ptr(text).to_string_lossy().into_owned()
        }
    };
    // The loader's text names the file already, most of the time.
    Err(if why.contains(&*path.to_string_lossy()) {
        why
    } else {
        format!("{}: {why}", path.display())
    })
}

/// The folder of this very library.
fn own_folder() -> Option<PathBuf> {
    // SAFETY: all-zero is a valid `Dl_info`, and the address is one of our functions.
    let info = unsafe {
        let mut info: libc::Dl_info = std::mem::zeroed();
        let address = own_folder as fn() -> Option<PathBuf> as *const c_void;
        if libc::dladdr(address, &raw mut info) == 0 || info.dli_fname.is_null() {
            return None;
        }
        CStr::from_ptr(info.dli_fname)
    };
    let path = Path::new(OsStr::from_bytes(info.to_bytes()));
    Some(path.canonicalize().ok()?.parent()?.to_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_taken_as_it_is() {
        assert_eq!(candidates("./x.so"), [Candidate::Loader("./x.so".into())]);
    }

    #[test]
    fn a_word_means_the_library_of_that_name() {
        let all = candidates("noop");
        assert_eq!(all[0], Candidate::Loader("libvaccel-noop.so".into()));
        let own = own_folder().unwrap();
        for name in [
            "libvaccel-noop.so",
            "libvaccel_noop.so",
            "vaccel/libvaccel-noop.so",
        ] {
            assert!(all.contains(&Candidate::File(own.join(name))), "{name}");
        }
    }

    #[test]
    fn a_missing_plugin_is_explained_with_every_place() {
        let e = open("no-such-plugin").unwrap_err();
        assert_eq!(e.code(), vaccel_abi::error::ENOENT);
        for part in [
            "`no-such-plugin`",
            "libvaccel-no-such-plugin.so",
            "libvaccel_no_such_plugin.so",
            "/vaccel (",
            "VACCEL_PLUGIN_PATH",
        ] {
            assert!(e.message().contains(part), "{part} in {e}");
        }
    }

    #[test]
    fn a_file_that_is_no_library_is_explained() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.so");
        std::fs::write(&path, "not a library").unwrap();
        let e = open(path.to_str().unwrap()).unwrap_err();
        assert!(e.message().contains("x.so"), "{e}");
    }
}
