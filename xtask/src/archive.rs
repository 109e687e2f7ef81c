//! `libvaccel-static.a`: one object that shows only the C interface.
//!
//! A Rust static library brings its standard library and all of its symbols with
//! it: two of them in one program meet, and so would the plugin entry of the
//! transport with another's. Here everything is linked into one relocatable
//! object, in which only the public functions stay global.

use crate::process::{command, root, run, target_dir};
use anyhow::{Context, Result};
use std::fs;
use std::path::Path;

/// The functions that stay global, one in a line.
const EXPORTS: &str = "crates/ffi/abi/exports.txt";

/// Makes the archive `to` of the static library that cargo built.
pub(crate) fn make(built: &Path, to: &Path) -> Result<()> {
    let folder = target_dir().join("static");
    fs::create_dir_all(&folder)?;
    let object = folder.join("vaccel.o");
    let local = folder.join("vaccel-public.o");
    run(command("ld")
        .args(["-r", "--whole-archive", "-o"])
        .arg(&object)
        .arg(built))?;
    run(command("objcopy")
        // Bitcode of the Rust standard library: no use, and spoilt by joining.
        .args(["--remove-section=.llvmbc", "--remove-section=.llvmcmd"])
        .arg(format!(
            "--keep-global-symbols={}",
            root().join(EXPORTS).display()
        ))
        .arg(&object)
        .arg(&local))?;
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent)?;
    }
    let _ = fs::remove_file(to);
    run(command("ar").args(["rcsD"]).arg(to).arg(&local))
        .with_context(|| format!("cannot make {}", to.display()))
}
