//! Finds the shim, or builds it where OpenCV's headers and a C++ compiler are.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use vaccel_plugin::{Result, bail, err};

/// The C++ that is built: the plugin carries it, so that it is always the right one.
pub(crate) const SOURCE: &str = include_str!("../shim/opencv.cpp");

/// What to install, for messages.
pub(crate) const REMEDY: &str = "install OpenCV and a compiler with `apt-get install g++ libopencv-objdetect-dev libopencv-video-dev libopencv-imgcodecs-dev`, or name a shim that was built elsewhere with VACCEL_OPENCV_SHIM";

/// Where the headers are.
const INCLUDE: &[&str] = &["/usr/include/opencv4", "/usr/local/include/opencv4"];

/// How it is compiled, and OpenCV's libraries that it needs: for installations as well, which
/// bring it built.
const FLAGS: &str = include_str!("../shim/flags");
const LIBRARIES: &str = include_str!("../shim/libraries");

/// Path of the shim in the user's cache, built when it is not there.
///
/// # Errors
/// `ENOENT` when there is no compiler or no OpenCV, with what the compiler said.
pub(crate) fn cached() -> Result<PathBuf> {
    let (path, include) = place()?;
    if !path.exists() {
        build(&path, &include)?;
    }
    Ok(path)
}

/// Where the shim is or will be, and the headers that it is built with.
pub(crate) fn place() -> Result<(PathBuf, PathBuf)> {
    let (include, version) = headers()?;
    let mut hash = DefaultHasher::new();
    (SOURCE, std::env::consts::ARCH, version).hash(&mut hash);
    let path = folder()?.join(format!("opencv-{:016x}.so", hash.finish()));
    Ok((path, include))
}

/// What the first operation will build, said without building it.
///
/// # Errors
/// As [`cached`], but for what only the compiler knows.
pub(crate) fn possible() -> Result<String> {
    let (_, include) = place()?;
    let compiler = compiler();
    let run = Command::new(&compiler)
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    match run {
        Ok(status) if status.success() => Ok(format!(
            "the OpenCV of {}, for which the first operation builds a shim",
            include.display()
        )),
        _ => bail!(ENOENT, "`{compiler}` does not run; {REMEDY}"),
    }
}

fn compiler() -> String {
    std::env::var("CXX").unwrap_or_else(|_| "c++".into())
}

/// Folder with OpenCV's headers, and the text that says their version: a shim is of one
/// version.
fn headers() -> Result<(PathBuf, String)> {
    let mut folders: Vec<PathBuf> = INCLUDE.iter().map(PathBuf::from).collect();
    if let Some(folder) = std::env::var_os("VACCEL_OPENCV_INCLUDE").filter(|v| !v.is_empty()) {
        folders = vec![folder.into()];
    }
    for folder in folders {
        let version = std::fs::read_to_string(folder.join("opencv2/core/version.hpp"));
        if let Ok(version) = version
            && folder.join("opencv2/objdetect.hpp").exists()
        {
            return Ok((folder, version));
        }
    }
    bail!(ENOENT, "OpenCV's headers are not installed; {REMEDY}")
}

/// The folder that the shim is kept in. It is the user's and nobody else may write to it:
/// what lies there is run.
fn folder() -> Result<PathBuf> {
    let from = |name| {
        std::env::var_os(name)
            .filter(|v| !v.is_empty())
            .map(PathBuf::from)
    };
    let Some(base) =
        from("XDG_CACHE_HOME").or_else(|| from("HOME").map(|home| home.join(".cache")))
    else {
        bail!(ENOENT, "neither XDG_CACHE_HOME nor HOME is set; {REMEDY}");
    };
    let folder = base.join("vaccel");
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&folder)
        .map_err(|error| err!(ENOENT, "no folder {} ({error}); {REMEDY}", folder.display()))?;
    let about = std::fs::metadata(&folder)?;
    // The owner of this process, without another crate: what it makes is its own.
    let own = std::fs::metadata("/proc/self")?.uid();
    if about.uid() != own || about.mode() & 0o022 != 0 {
        bail!(
            EACCES,
            "others may write to {}, and what lies there is run; `chmod go-w` it",
            folder.display()
        );
    }
    Ok(folder)
}

fn build(path: &Path, include: &Path) -> Result<()> {
    // Two processes may build at once: each in files of its own, the last one stays.
    let own = |end: &str| path.with_extension(format!("{}.{end}", std::process::id()));
    let (source, object) = (own("cpp"), own("so"));
    std::fs::write(&source, SOURCE)?;
    let compiler = compiler();
    let run = Command::new(&compiler)
        .args(FLAGS.split_whitespace())
        .arg("-I")
        .arg(include)
        .arg(&source)
        .arg("-o")
        .arg(&object)
        .args(LIBRARIES.split_whitespace())
        .stdin(Stdio::null())
        .output();
    let _ = std::fs::remove_file(&source);
    let output =
        run.map_err(|error| err!(ENOENT, "`{compiler}` does not run ({error}); {REMEDY}"))?;
    if !output.status.success() {
        let _ = std::fs::remove_file(&object);
        let said = String::from_utf8_lossy(&output.stderr);
        let first: Vec<&str> = said.lines().take(4).collect();
        bail!(
            ENOENT,
            "the shim for OpenCV cannot be built: {}; {REMEDY}",
            first.join(" | ")
        );
    }
    std::fs::rename(&object, path)?;
    Ok(())
}
