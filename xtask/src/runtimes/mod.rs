//! `cargo xtask runtimes`: runtimes of backends, pinned, in `target/runtimes`.
//!
//! They come through the ordinary clients (pip, npm, apt) with whatever sources those are
//! set up for, are compared with the checksums of `list.rs`, and only what a backend opens
//! is kept. Those that only the system can have come with `--system`.

mod fetch;
mod list;
mod shim;

use crate::process::{command, output, run as run_command, target_dir};
use anyhow::{Context, Result, bail};
use list::{Client, Package, RUNTIMES, Runtime};
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

#[derive(clap::Args)]
#[command(
    after_help = "Backends look into target/runtimes by themselves when they are built here; for an \
                        installation, copy its folders to PREFIX/lib/vaccel/runtimes."
)]
pub(crate) struct Options {
    /// Runtimes to install; all that there are packages for when none is named.
    names: Vec<String>,
    /// Install packages of the system (apt) too, for what there is no other way to.
    #[arg(long)]
    system: bool,
    /// Say what there is and what is installed; install nothing.
    #[arg(long)]
    list: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let begin = Instant::now();
    let chosen = choose(&options.names)?;
    let mut report = Vec::new();
    let mut total = 0;
    for runtime in chosen {
        let folder = folder(runtime.name);
        if !options.list {
            install(runtime, &folder, options)
                .with_context(|| format!("cannot install {}", runtime.name))?;
        }
        let size = size_of(&folder);
        total += size;
        let installed = is_complete(runtime, &folder);
        report.push(json!({
            "name": runtime.name,
            "about": runtime.about,
            "installed": installed,
            "folder": folder,
            "bytes": size,
        }));
        if !options.json {
            let state = match installed {
                true if runtime.packages.is_empty() => "the system has it".to_owned(),
                true => format!("{} MiB in {}", size >> 20, folder.display()),
                false => format!("not installed: {}", remedy(runtime)),
            };
            println!("{:<12} {}\n{:12} {state}", runtime.name, runtime.about, "");
        }
    }
    if options.json {
        println!("{:#}", serde_json::Value::Array(report));
    } else {
        println!("{} MiB, {} s", total >> 20, begin.elapsed().as_secs());
    }
    Ok(())
}

/// What installs a runtime.
fn remedy(runtime: &Runtime) -> String {
    let system = if runtime.packages.is_empty() {
        "--system "
    } else {
        ""
    };
    format!("cargo xtask runtimes {system}{}", runtime.name)
}

/// Names of the runtimes that are here, whose tests therefore must not be skipped.
pub(crate) fn installed() -> Vec<&'static str> {
    RUNTIMES
        .iter()
        .filter(|runtime| is_complete(runtime, &folder(runtime.name)))
        .map(|runtime| runtime.name)
        .collect()
}

/// Names of those that are missing, with what installs each.
pub(crate) fn missing() -> Vec<(&'static str, String)> {
    RUNTIMES
        .iter()
        .filter(|runtime| !is_complete(runtime, &folder(runtime.name)))
        .map(|runtime| (runtime.name, remedy(runtime)))
        .collect()
}

/// Debian packages of what the system can have and does not.
pub(crate) fn missing_packages() -> Vec<&'static str> {
    let known = known_libraries();
    RUNTIMES
        .iter()
        .flat_map(|runtime| runtime.system)
        .filter(|(file, _)| !is_there(&known, file))
        .map(|&(_, package)| package)
        .collect()
}

/// What the system's loader knows.
fn known_libraries() -> String {
    output(command("ldconfig").arg("-p")).unwrap_or_default()
}

/// True when the loader knows a library, or a file is at its place.
fn is_there(known: &str, file: &str) -> bool {
    known.contains(file) || (file.starts_with('/') && Path::new(file).exists())
}

/// Where a runtime is installed to.
fn folder(name: &str) -> PathBuf {
    target_dir().join("runtimes").join(name)
}

fn choose(names: &[String]) -> Result<Vec<&'static Runtime>> {
    if names.is_empty() {
        return Ok(RUNTIMES.iter().collect());
    }
    let find = |name: &String| {
        let found = RUNTIMES.iter().find(|runtime| runtime.name == *name);
        found.with_context(|| {
            let known: Vec<&str> = RUNTIMES.iter().map(|r| r.name).collect();
            format!(
                "there is no runtime `{name}`; there are: {}",
                known.join(", ")
            )
        })
    };
    names.iter().map(find).collect()
}

/// The mark of a runtime that was installed to its end, with what it was made of.
fn mark(runtime: &Runtime) -> String {
    let line = |package: &Package| format!("{} {}\n", package.what, package.sha256);
    runtime.packages.iter().map(line).collect()
}

fn is_complete(runtime: &Runtime, folder: &Path) -> bool {
    let system = || {
        let known = known_libraries();
        let mut all = runtime.system.iter();
        all.all(|(file, _)| is_there(&known, file))
    };
    let shim = || {
        let shim = runtime.shim.as_ref();
        shim.is_none_or(|shim| shim::is_built(shim, folder))
    };
    (runtime.system.is_empty() || system())
        && (runtime.packages.is_empty() || is_fetched(runtime, folder))
        && shim()
}

fn is_fetched(runtime: &Runtime, folder: &Path) -> bool {
    fs::read_to_string(folder.join("installed")).is_ok_and(|text| text == mark(runtime))
}

fn install(runtime: &Runtime, folder: &Path, options: &Options) -> Result<()> {
    if is_complete(runtime, folder) {
        return Ok(());
    }
    if options.system && !runtime.system.is_empty() {
        run_command(
            command("apt-get")
                .env("DEBIAN_FRONTEND", "noninteractive")
                .args(["-qq", "install", "--no-install-recommends", "--yes"])
                .args(runtime.system.iter().map(|(_, package)| package)),
        )?;
    }
    if runtime.packages.is_empty() {
        return Ok(());
    }
    let all = options.names.is_empty();
    if let (true, Some(package)) = (all, not_from_here(runtime)) {
        eprintln!(
            "{}: this system's packages are others than {package}",
            runtime.name
        );
        return Ok(());
    }
    let begin = Instant::now();
    let parent = target_dir().join("runtimes");
    fs::create_dir_all(&parent)?;
    let headers = shim::headers(runtime, &parent);
    if !is_fetched(runtime, folder) || (runtime.shim.is_some() && !headers.is_dir()) {
        download(runtime, folder, &parent, &headers)?;
    }
    if let Some(shim) = &runtime.shim
        && !shim::is_built(shim, folder)
    {
        eprintln!("{}: building {}", runtime.name, shim.file);
        shim::build(shim, &headers, folder)?;
    }
    eprintln!("{}: {} s", runtime.name, begin.elapsed().as_secs());
    Ok(())
}

/// A package of Debian that this system's apt does not offer, so that it is another system.
fn not_from_here(runtime: &Runtime) -> Option<&'static str> {
    let debs = runtime.packages.iter();
    let debs = debs.filter(|package| matches!(package.client, Client::Deb));
    let offered = |what: &str| {
        let mut ask = command("apt-cache");
        output(ask.args(["show", "--quiet", what])).is_ok_and(|text| !text.is_empty())
    };
    debs.map(|package| package.what)
        .find(|&what| !cfg!(target_arch = "x86_64") || !offered(what))
}

/// Fetches and unpacks the packages of a runtime.
fn download(runtime: &Runtime, folder: &Path, parent: &Path, headers: &Path) -> Result<()> {
    let disk = rustix::fs::statvfs(parent)?;
    let free = (disk.f_bavail * disk.f_frsize) >> 20;
    if free < runtime.room {
        bail!(
            "{} MiB are needed in {} for a while, and {free} MiB are free",
            runtime.room,
            parent.display()
        );
    }
    // In a folder of its own until it is complete: what is interrupted is made again.
    let work = tempfile::Builder::new()
        .prefix(".installing-")
        .tempdir_in(parent)?;
    let made = work.path().join("made");
    fs::create_dir(&made)?;
    for (at, package) in runtime.packages.iter().enumerate() {
        eprintln!("{}: fetching {}", runtime.name, package.what);
        let archive = fetch::package(package, work.path())?;
        eprintln!(
            "{}: unpacking {} MiB",
            runtime.name,
            fs::metadata(&archive)?.len() >> 20
        );
        fetch::unpack(package, &archive, &made)?;
        if let (0, Some(shim)) = (at, &runtime.shim) {
            let aside = work.path().join("headers");
            fetch::unpack_tree(&archive, shim.headers, &aside)?;
            let _ = fs::remove_dir_all(headers);
            fs::create_dir_all(parent.join(".headers"))?;
            fs::rename(&aside, headers)?;
        }
        fs::remove_file(&archive)?;
    }
    fs::write(made.join("installed"), mark(runtime))?;
    let _ = fs::remove_dir_all(folder);
    Ok(fs::rename(&made, folder)?)
}

/// Bytes of the files in a folder and below; links are not followed.
fn size_of(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let size = |entry: fs::DirEntry| match entry.metadata() {
        Ok(meta) if meta.is_dir() => size_of(&entry.path()),
        Ok(meta) => meta.len(),
        Err(_) => 0,
    };
    entries.map(size).sum()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn only_files_of_the_named_folders_are_kept_and_none_leads_out() {
        let package = &RUNTIMES[0].packages[0];
        let kept = |path| fetch::wanted(package, path);
        assert_eq!(
            kept("onnxruntime/capi/libonnxruntime.so.1.31.1").unwrap(),
            "libonnxruntime.so.1.31.1"
        );
        assert_eq!(kept("onnxruntime/capi/onnxruntime_pybind11_state.so"), None);
        assert_eq!(kept("onnxruntime/LICENSE").unwrap(), "LICENSE");
        assert_eq!(kept("onnxruntime/capi/libonnxruntime.so./../../x"), None);
        assert_eq!(kept("onnxruntime/"), None);
    }

    #[test]
    fn an_unknown_runtime_is_answered_with_those_there_are() {
        let error = choose(&["nothing".to_owned()]).err().unwrap().to_string();
        assert!(error.contains("onnxruntime, tflite"), "{error}");
        assert_eq!(choose(&[]).unwrap().len(), RUNTIMES.len());
    }

    #[test]
    fn a_shim_of_another_source_is_built_anew_and_nothing_is_fetched_for_it() {
        let torch = RUNTIMES.iter().find(|r| r.name == "torch").unwrap();
        let shim = torch.shim.as_ref().unwrap();
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("installed"), mark(torch)).unwrap();
        fs::write(folder.path().join(shim.file), "").unwrap();
        fs::write(folder.path().join("shim"), shim::mark(shim)).unwrap();
        assert!(is_complete(torch, folder.path()));
        fs::write(folder.path().join("shim"), "of another source").unwrap();
        assert!(!is_complete(torch, folder.path()));
        assert!(is_fetched(torch, folder.path()));
    }
}
