//! Finding and opening a runtime that is not part of this project.
//!
//! Looked for, in this order:
//! 1. `VACCEL_<NAME>_LIB`: a file, or a folder with one. When it is set, nothing else counts.
//! 2. `$VACCEL_RUNTIMES/<name>`.
//! 3. `<prefix>/lib/vaccel/runtimes/<name>` of the installation, `target/runtimes/<name>`
//!    of the source tree (`cargo xtask runtimes` puts them there).
//! 4. Wherever the system's loader finds it.
//!
//! A runtime is never unloaded: most of them leave threads behind.

use std::env;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
use vaccel_plugin::host::own_file;
use vaccel_plugin::{Description, Result, Variable, bail, err, log};

/// Where runtimes of several backends are, in a folder each.
const RUNTIMES: &str = "VACCEL_RUNTIMES";

/// A runtime, and what it takes to find it.
#[derive(Debug, Clone)]
pub struct Spec {
    /// Name of the backend and of the folder: `onnxruntime`.
    pub name: &'static str,
    /// What people call it: `ONNX Runtime`.
    pub title: &'static str,
    /// The variable that names the file, with its meaning.
    pub variable: Variable,
    /// File names, the best first.
    pub files: &'static [&'static str],
    /// What to do when it is missing.
    pub remedy: &'static str,
}

/// A runtime that was opened: its functions, for as long as the process lives.
pub struct Runtime<A: 'static> {
    /// Its functions.
    pub api: A,
    /// The file, or the name that the system's loader knew.
    pub file: PathBuf,
}

impl<A> fmt::Debug for Runtime<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Runtime({})", self.file.display())
    }
}

/// A place for a runtime that is opened on first use. A failure is not kept: what is
/// installed meanwhile is found the next time.
#[derive(Debug)]
pub struct Once<A: 'static> {
    opened: Mutex<Option<&'static Runtime<A>>>,
}

impl<A> Once<A> {
    /// Nothing is opened yet.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            opened: Mutex::new(None),
        }
    }
}

impl<A> Default for Once<A> {
    fn default() -> Self {
        Self::new()
    }
}

impl<A: Send + Sync> Once<A> {
    /// The runtime, opened if it is not yet; `bind` looks its functions up.
    ///
    /// # Errors
    /// `ENOTSUP` when it is missing or too old, with the places and what to do.
    pub fn get(
        &self,
        spec: &Spec,
        bind: impl FnOnce(&Library) -> Result<A>,
    ) -> Result<&'static Runtime<A>> {
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(runtime) = *opened {
            return Ok(runtime);
        }
        let (library, file) = spec.open()?;
        // Kept open for ever: see the head of this file.
        let library: &'static Library = Box::leak(Box::new(library));
        let api = bind(library).map_err(|e| {
            e.context(format_args!(
                "{} cannot be used ({}; {})",
                file.display(),
                spec.title,
                spec.remedy
            ))
        })?;
        log::debug!("{}: opened {}", spec.name, file.display());
        let runtime: &'static Runtime<A> = Box::leak(Box::new(Runtime { api, file }));
        *opened = Some(runtime);
        Ok(runtime)
    }
}

impl Spec {
    /// The files that will be tried, in order; those with a folder do exist.
    ///
    /// # Errors
    /// `ENOTSUP` when the variable names what is not there.
    pub fn candidates(&self) -> Result<Vec<PathBuf>> {
        if let Some(said) = env::var_os(self.variable.name).filter(|said| !said.is_empty()) {
            let said = PathBuf::from(said);
            if said.is_dir() {
                let found = self.in_folder(&said);
                return found.map(|file| vec![file]).ok_or_else(|| {
                    err!(
                        ENOTSUP,
                        "{} is {}, where there is no {}; {}",
                        self.variable.name,
                        said.display(),
                        self.files.join(" or "),
                        self.remedy
                    )
                });
            }
            return Ok(vec![said]);
        }
        let mut found: Vec<PathBuf> = self
            .folders()
            .iter()
            .filter_map(|folder| self.in_folder(folder))
            .collect();
        // By name alone: the system's loader looks for it.
        found.extend(self.files.iter().map(PathBuf::from));
        Ok(found)
    }

    /// Folders of this runtime, whether they exist or not.
    fn folders(&self) -> Vec<PathBuf> {
        let mut folders = Vec::new();
        if let Some(all) = env::var_os(RUNTIMES).filter(|all| !all.is_empty()) {
            folders.push(Path::new(&all).join(self.name));
        }
        let own = own_file().and_then(|own| own.canonicalize().ok());
        for above in own.iter().flat_map(|own| own.ancestors().skip(1).take(6)) {
            if above.ends_with("lib") || above.ends_with("lib64") {
                folders.push(above.join("vaccel/runtimes").join(self.name));
            }
            if above.ends_with("target") {
                folders.push(above.join("runtimes").join(self.name));
            }
        }
        folders
    }

    fn in_folder(&self, folder: &Path) -> Option<PathBuf> {
        let places = [folder.to_owned(), folder.join("lib")];
        let mut files = places
            .iter()
            .flat_map(|place| self.files.iter().map(|file| place.join(file)));
        files.find(|file| file.is_file())
    }

    fn open(&self) -> Result<(Library, PathBuf)> {
        let mut reasons = Vec::new();
        for file in self.candidates()? {
            // SAFETY: loading runs the library's own start-up code; which file that is,
            // the one who installed it decided.
            match unsafe { Library::open(Some(&file), RTLD_NOW | RTLD_LOCAL) } {
                Ok(library) => return Ok((library, file)),
                Err(e) => {
                    // One that is there and does not load matters more than one that is not.
                    let exists = file.is_file();
                    reasons.push((exists, format!("{e}")));
                }
            }
        }
        reasons.sort_by_key(|(exists, _)| !exists);
        let reason = reasons.first().map_or("", |(_, text)| text.as_str());
        bail!(
            ENOTSUP,
            "{} is not installed: {} not found ({reason}); {}",
            self.title,
            self.files.first().copied().unwrap_or(self.name),
            self.remedy
        )
    }

    /// What a plugin says of itself: ready, or what is missing.
    pub fn describe<A>(
        &self,
        summary: &str,
        formats: &[&str],
        runtime: &Result<&'static Runtime<A>>,
        version: impl FnOnce(&A) -> String,
    ) -> Description {
        let mut description = match runtime {
            Ok(runtime) => Description {
                runtime: Some(format!(
                    "{} {} ({})",
                    self.title,
                    version(&runtime.api),
                    runtime.file.display()
                )),
                ..Description::ready(summary)
            },
            Err(e) => Description::missing(summary, e.message(), self.remedy),
        };
        description.formats = formats.iter().map(|&format| format.to_owned()).collect();
        description.environment = vec![
            self.variable.clone(),
            Variable {
                name: RUNTIMES,
                meaning: "folder with runtimes of several backends, each in a folder of its \
                          backend's name; default: lib/vaccel/runtimes beside the installation",
            },
            crate::DEFAULT_MODELS,
        ];
        description
    }
}

/// Looks up functions of a library: a structure of function pointers.
///
/// A function that is missing is `ENOTSUP` with its name; one in `optional` is `None`.
#[macro_export]
macro_rules! functions {
    (
        $(#[$meta:meta])*
        $vis:vis struct $api:ident {
            $($name:ident: fn($($arg:ty),* $(,)?) $(-> $ret:ty)?;)*
        }
        optional {
            $($oname:ident: fn($($oarg:ty),* $(,)?) $(-> $oret:ty)?;)*
        }
    ) => {
        $(#[$meta])*
        #[allow(non_snake_case)]
        $vis struct $api {
            $($vis $name: unsafe extern "C" fn($($arg),*) $(-> $ret)?,)*
            $($vis $oname: Option<unsafe extern "C" fn($($oarg),*) $(-> $oret)?>,)*
        }

        impl $api {
            $vis fn bind(
                library: &$crate::runtime::Opened,
            ) -> $crate::vaccel_plugin::Result<Self> {
                Ok(Self {
                    $($name: {
                        // SAFETY: the type is that of the function in the runtime's header.
                        unsafe { $crate::runtime::symbol(library, stringify!($name)) }?
                    },)*
                    $($oname: {
                        // SAFETY: as above.
                        unsafe { $crate::runtime::symbol(library, stringify!($oname)) }.ok()
                    },)*
                })
            }
        }
    };
}

/// An open library.
pub type Opened = Library;

/// A function of a library.
///
/// # Errors
/// `ENOTSUP` with the name of one that is not there.
///
/// # Safety
/// `F` must be the type of the function, a function pointer.
pub unsafe fn symbol<F: Copy>(library: &Library, name: &str) -> Result<F> {
    // SAFETY: promised by the caller.
    match unsafe { library.get::<F>(name.as_bytes()) } {
        Ok(found) => Ok(*found),
        Err(_) => bail!(ENOTSUP, "it has no function `{name}`"),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use vaccel_plugin::code;

    const NONE: Spec = Spec {
        name: "nothing",
        title: "Nothing",
        variable: Variable {
            name: "VACCEL_NOTHING_LIB",
            meaning: "",
        },
        files: &["libvaccel-nothing-there.so"],
        remedy: "run `cargo xtask runtimes nothing`",
    };

    #[test]
    fn a_missing_runtime_is_enotsup_with_the_remedy_and_is_looked_for_again() {
        static ONCE: Once<()> = Once::new();
        for _ in 0..2 {
            let error = ONCE.get(&NONE, |_| Ok(())).unwrap_err();
            assert_eq!(error.code(), code::ENOTSUP);
            assert!(
                error
                    .message()
                    .contains("libvaccel-nothing-there.so not found"),
                "{error}"
            );
            assert!(error.message().contains("cargo xtask runtimes nothing"));
        }
    }

    #[test]
    fn runtimes_of_the_source_tree_are_looked_for_before_those_of_the_system() {
        let candidates = NONE.candidates().unwrap();
        assert_eq!(
            candidates.last().unwrap(),
            Path::new("libvaccel-nothing-there.so")
        );
        let folders = NONE.folders();
        assert!(
            folders
                .iter()
                .any(|folder| folder.ends_with("target/runtimes/nothing")),
            "{folders:?}"
        );
    }
}
