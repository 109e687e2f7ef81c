//! What a runtime without a C interface is called through, built beside it.

use super::list::{Runtime, Shim};
use crate::process::{command, exists, root, run};
use anyhow::{Result, bail};
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

/// Where the headers of a runtime are kept: its shim is built once more when its source
/// changes, and nothing is fetched for that.
pub(super) fn headers(runtime: &Runtime, parent: &Path) -> PathBuf {
    parent.join(".headers").join(runtime.name)
}

/// The mark of a shim of the present source; nothing where there is no shim.
pub(super) fn mark(shim: &Shim) -> String {
    let source = fs::read_to_string(root().join(shim.source)).unwrap_or_default();
    let mut hash = DefaultHasher::new();
    source.hash(&mut hash);
    format!("{} {:016x}\n", shim.source, hash.finish())
}

/// True when the shim in `folder` is of the present source.
pub(super) fn is_built(shim: &Shim, folder: &Path) -> bool {
    fs::read_to_string(folder.join("shim")).is_ok_and(|text| text == mark(shim))
        && folder.join(shim.file).is_file()
}

/// Builds the shim into `to`, where the libraries that it needs are.
pub(super) fn build(shim: &Shim, headers: &Path, to: &Path) -> Result<()> {
    if !exists("c++") {
        bail!("a C++ compiler is needed to build {}", shim.file);
    }
    // Aside first: the old one may be open.
    let made = to.join(format!("{}.new", shim.file));
    let mut compiler = command("c++");
    compiler.args(["-std=c++17", "-O2", "-fPIC", "-shared"]);
    for folder in shim.include {
        compiler.arg("-I").arg(headers.join(folder));
    }
    compiler.arg(root().join(shim.source));
    compiler.arg("-o").arg(&made);
    compiler.arg("-L").arg(to).arg("-Wl,-rpath,$ORIGIN");
    // Libraries of libraries are found when it is opened.
    compiler.arg("-Wl,--allow-shlib-undefined");
    for library in shim.libraries {
        compiler.arg(format!("-l{library}"));
    }
    run(&mut compiler)?;
    fs::rename(&made, to.join(shim.file))?;
    Ok(fs::write(to.join("shim"), mark(shim))?)
}
