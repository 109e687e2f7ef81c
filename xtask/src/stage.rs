//! `cargo xtask install`: the tree that a distribution would package.
//!
//! ```text
//! PREFIX/bin        vaccel, vaccel-agent, vaccel-worker, vaccel-rpc-agent, C examples
//! PREFIX/include    vaccel.h, vaccel/*.h, slog.h
//! PREFIX/lib        libvaccel.so{,.0,.0.8.0}, libvaccel.a, libvaccel-static.a, libvaccel-<plugin>.so{,.0,.0.8.0}
//! PREFIX/lib/pkgconfig, PREFIX/lib/cmake/vaccel
//! PREFIX/share/vaccel/models/<task>, PREFIX/share/man/man1, completions for bash, fish, zsh
//! ```

use crate::archive;
use crate::process::{cargo, command, exists, output, root, run, target_dir};
use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};

/// Plugins that are installed; `template` is an example and stays out.
const PLUGINS: &[&str] = &[
    "noop",
    "exec",
    "mbench",
    "onnx",
    "blas",
    "opencl",
    "opencv",
    "cuda",
    "xrt",
    "jetson",
    "rpc",
    "onnxruntime",
    "tflite",
    "openvino",
    "tf",
    "torch",
    "tvm",
];
const PROGRAMS: &[&str] = &["vaccel", "vaccel-agent", "vaccel-worker"];
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Builds with `profile` and stages everything under `prefix`.
pub(crate) fn install(prefix: &Path, profile: &str) -> Result<()> {
    fs::create_dir_all(prefix)
        .with_context(|| format!("cannot make the folder {}", prefix.display()))?;
    let prefix = &fs::canonicalize(prefix)?;
    build(profile)?;

    let built = target_dir().join(if profile == "dev" { "debug" } else { profile });
    let lib = prefix.join("lib");
    shared_library(&built.join("libvaccel.so"), &lib, "libvaccel")?;
    copy(&built.join("libvaccel.a"), &lib.join("libvaccel.a"))?;
    archive::make(
        &built.join("libvaccel_static.a"),
        &lib.join("libvaccel-static.a"),
    )?;
    for plugin in PLUGINS {
        shared_library(
            &built.join(format!("libvaccel_{plugin}.so")),
            &lib,
            &format!("libvaccel-{plugin}"),
        )?;
    }
    opencv_shim(&lib.join("vaccel"))?;
    for program in PROGRAMS {
        copy(&built.join(program), &prefix.join("bin").join(program))?;
    }
    link("vaccel-agent", &prefix.join("bin/vaccel-rpc-agent"))?;

    copy_tree(&root().join("include"), &prefix.join("include"))?;
    let packaging = root().join("packaging");
    for name in ["vaccel.pc", "vaccel-static.pc"] {
        template(
            &packaging.join(format!("{name}.in")),
            &lib.join("pkgconfig").join(name),
            prefix,
        )?;
    }
    for name in ["vaccelConfig.cmake", "vaccelConfigVersion.cmake"] {
        let source = packaging.join(format!("{name}.in"));
        if source.exists() {
            template(&source, &lib.join("cmake/vaccel").join(name), prefix)?;
        }
    }
    models(&prefix.join("share/vaccel/models"))?;
    completions(prefix)?;
    run(command(prefix.join("bin/vaccel"))
        .arg("man")
        .arg(prefix.join("share/man/man1")))?;
    c_examples(prefix)
}

fn build(profile: &str) -> Result<()> {
    let mut cargo = cargo();
    cargo.args(["build", "--profile", profile]);
    for package in ["vaccel-ffi", "vaccel-static", "vaccel-agent", "vaccel-cli"] {
        cargo.args(["--package", package]);
    }
    for plugin in PLUGINS {
        cargo.args(["--package", &format!("vaccel-plugin-{plugin}")]);
    }
    run(&mut cargo)
}

/// What the plugin `opencv` calls OpenCV through, where that is installed: workers of an
/// agent are not let run a compiler.
fn opencv_shim(folder: &Path) -> Result<()> {
    let include = Path::new("/usr/include/opencv4");
    if !include.join("opencv2/objdetect.hpp").exists() || !exists("c++") {
        return Ok(());
    }
    let shims = root().join("plugins/opencv/shim");
    let source = shims.join("opencv.cpp");
    let shim = folder.join("libvaccel-opencv-shim.so");
    let changed = |path: &Path| fs::metadata(path).and_then(|about| about.modified());
    if let (Ok(built), Ok(written)) = (changed(&shim), changed(&source))
        && built > written
    {
        return Ok(());
    }
    fs::create_dir_all(folder)?;
    let flags = fs::read_to_string(shims.join("flags"))?;
    let libraries = fs::read_to_string(shims.join("libraries"))?;
    let mut compiler = command("c++");
    compiler.args(flags.split_whitespace()).arg("-I");
    compiler.arg(include).arg(&source).arg("-o").arg(&shim);
    run(compiler.args(libraries.split_whitespace()))
}

/// Installs `stem.so.<version>` with the two links that linkers and loaders look for.
fn shared_library(from: &Path, folder: &Path, stem: &str) -> Result<()> {
    let full = format!("{stem}.so.{VERSION}");
    let soname = format!("{stem}.so.0");
    copy(from, &folder.join(&full))?;
    link(&full, &folder.join(&soname))?;
    link(&soname, &folder.join(format!("{stem}.so")))
}

/// The models with their descriptions and samples; not what they were trained with.
fn models(to: &Path) -> Result<()> {
    let models = root().join("models");
    for entry in fs::read_dir(&models)? {
        let folder = entry?.path();
        if folder.join("model.toml").exists()
            && let Some(name) = folder.file_name()
        {
            let to = to.join(name);
            for entry in fs::read_dir(&folder)? {
                let path = entry?.path();
                let keep = path
                    .extension()
                    .is_some_and(|e| e == "onnx" || e == "toml" || e == "txt" || e == "md");
                if keep && let Some(name) = path.file_name() {
                    copy(&path, &to.join(name))?;
                }
            }
            let samples = folder.join("samples");
            if samples.is_dir() {
                copy_tree(&samples, &to.join("samples"))?;
            }
        }
    }
    Ok(())
}

/// Shell completions, printed by the installed program itself.
fn completions(prefix: &Path) -> Result<()> {
    let program = prefix.join("bin/vaccel");
    for (shell, file) in [
        ("bash", "share/bash-completion/completions/vaccel"),
        ("fish", "share/fish/vendor_completions.d/vaccel.fish"),
        ("zsh", "share/zsh/site-functions/_vaccel"),
    ] {
        let text = output(command(&program).args(["completions", shell]))?;
        write(&prefix.join(file), text.as_bytes())?;
    }
    Ok(())
}

/// Builds the C examples against the staged prefix, as any user would.
fn c_examples(prefix: &Path) -> Result<()> {
    run(command("make")
        .args(["--no-print-directory", "-s", "-C", "examples/c", "all"])
        .arg(format!("PREFIX={}", prefix.display()))
        .arg(format!("OUT={}", prefix.join("bin").display())))
}

fn template(from: &Path, to: &Path, prefix: &Path) -> Result<()> {
    let text =
        fs::read_to_string(from).with_context(|| format!("cannot read {}", from.display()))?;
    let text = text
        .replace("@PREFIX@", &prefix.display().to_string())
        .replace("@VERSION@", VERSION);
    write(to, text.as_bytes())
}

fn write(to: &Path, bytes: &[u8]) -> Result<()> {
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(to, bytes).with_context(|| format!("cannot write {}", to.display()))
}

/// Copies by way of a new file: the old one may be mapped by a running program.
fn copy(from: &Path, to: &Path) -> Result<()> {
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder)?;
    }
    let _ = fs::remove_file(to);
    fs::copy(from, to)
        .with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))?;
    Ok(())
}

fn copy_tree(from: &Path, to: &Path) -> Result<()> {
    for entry in fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
        let entry = entry?;
        let to: PathBuf = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_tree(&entry.path(), &to)?;
        } else {
            copy(&entry.path(), &to)?;
        }
    }
    Ok(())
}

fn link(target: &str, at: &Path) -> Result<()> {
    let _ = fs::remove_file(at);
    std::os::unix::fs::symlink(target, at)
        .with_context(|| format!("cannot make the link {}", at.display()))
}
