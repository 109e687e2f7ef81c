//! `cargo xtask runtimes`: runtimes of backends, pinned, in `target/runtimes`.
//!
//! They come through the ordinary clients (pip, npm, apt) with whatever sources those are
//! set up for, are compared with the checksums below, and only what a backend opens is
//! kept.

use crate::process::{command, exists, root, run as run_command, target_dir};
use anyhow::{Context, Result, bail};
use serde_json::json;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
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
    /// Install packages of the system (apt) too, where they are the better way.
    #[arg(long)]
    system: bool,
    /// Say what there is and what is installed; install nothing.
    #[arg(long)]
    list: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Where a package comes from.
#[derive(Clone, Copy)]
enum Client {
    Pip,
    Npm,
}

/// A package of one version, and what is kept of it.
struct Package {
    client: Client,
    /// As the client wants it: `name==version`, `name@version`.
    what: &'static str,
    /// SHA-256 of the archive for x86-64.
    sha256: &'static str,
    /// File names that are kept (those that begin so), from these folders of the archive.
    keep: &'static [(&'static str, &'static str)],
}

/// What a runtime without a C interface is called through, built of C++ beside it.
struct Shim {
    /// In the source tree.
    source: &'static str,
    file: &'static str,
    /// Where the headers are in the first package; they are not kept.
    headers: &'static str,
    /// Folders among them that the compiler looks into.
    include: &'static [&'static str],
    libraries: &'static [&'static str],
}

struct Runtime {
    name: &'static str,
    about: &'static str,
    packages: &'static [Package],
    shim: Option<Shim>,
    /// Debian packages that `--system` installs.
    system: &'static [&'static str],
}

const RUNTIMES: &[Runtime] = &[
    Runtime {
        name: "onnxruntime",
        about: "ONNX Runtime 1.31.1 for the processor",
        packages: &[Package {
            client: Client::Pip,
            what: "onnxruntime==1.31.1",
            sha256: "5752bd508126ae7c49894d3b9d2e83f0c3d487319246d04c444b393308d7ad7f",
            keep: &[
                ("onnxruntime/capi/", "libonnxruntime.so."),
                ("onnxruntime/", "LICENSE"),
            ],
        }],
        shim: None,
        system: &[],
    },
    Runtime {
        name: "tflite",
        about: "TensorFlow Lite 2.9 with XNNPACK and its C interface",
        packages: &[Package {
            client: Client::Npm,
            what: "tfjs-tflite-node@0.0.2",
            sha256: "3be1632328a76a2475e5b6833253763c802c859433becb4d879ee1860e3b5284",
            keep: &[(
                if cfg!(target_arch = "aarch64") {
                    "package/cc_deps/linux_arm64/"
                } else {
                    "package/cc_deps/linux_amd64/"
                },
                "lib",
            )],
        }],
        shim: None,
        system: &[],
    },
    Runtime {
        name: "openvino",
        about: "OpenVINO 2026.4.1 with its C interface, devices CPU, GPU, NPU, AUTO",
        packages: &[Package {
            client: Client::Pip,
            what: "openvino==2026.4.1",
            sha256: "2d22b1da03f7caf74df30e9f6417d0ab2f637e4a38e08e1dcd294d2c37407aaf",
            keep: &[
                ("openvino/libs/", ""),
                ("openvino-2026.4.1.dist-info/licenses/", "LICENSE"),
            ],
        }],
        shim: None,
        system: &[],
    },
    Runtime {
        name: "tf",
        about: "TensorFlow 2.21 for the processor, with its C interface",
        packages: &[Package {
            client: Client::Pip,
            what: "tensorflow-cpu==2.21.0",
            sha256: "2b847d217b02ee7731ed91431daf3250daa0196c3c94614d23be27232e6e5b6c",
            keep: &[
                ("tensorflow/", "libtensorflow_cc.so."),
                ("tensorflow/", "libtensorflow_framework.so."),
            ],
        }],
        shim: None,
        system: &[],
    },
    Runtime {
        name: "torch",
        about: "libtorch 2.7 for the processor, with the shim that it is called through",
        packages: &[
            Package {
                client: Client::Pip,
                what: "torch==2.7.1",
                sha256: "06eea61f859436622e78dd0cdd51dbc8f8c6d76917a9cf0555a333f9eac31ec1",
                keep: &[
                    ("torch/lib/", "libtorch_cpu.so"),
                    ("torch/lib/", "libc10.so"),
                    ("torch/lib/", "libgomp"),
                ],
            },
            // Needed by what is linked, also where there is no GPU.
            Package {
                client: Client::Pip,
                what: "nvidia-cuda-runtime-cu12==12.6.77",
                sha256: "ba3b56a4f896141e25e19ab287cd71e52a6a0f4b29d0d31609f60e3b4d5219b7",
                keep: &[("nvidia/cuda_runtime/lib/", "libcudart.so.")],
            },
            Package {
                client: Client::Pip,
                what: "nvidia-cuda-cupti-cu12==12.6.80",
                sha256: "6768bad6cab4f19e8292125e5f1ac8aa7d1718704012a0e3272a6f61c4bce132",
                keep: &[("nvidia/cuda_cupti/lib/", "libcupti.so.")],
            },
        ],
        shim: Some(Shim {
            source: "plugins/torch/shim/torch.cpp",
            file: "libvaccel-torch-shim.so",
            headers: "torch/include/",
            include: &["", "torch/csrc/api/include"],
            libraries: &["torch_cpu", "c10"],
        }),
        system: &[],
    },
];

pub(crate) fn run(options: &Options) -> Result<()> {
    let chosen = choose(&options.names)?;
    let mut report = Vec::new();
    for runtime in chosen {
        let folder = folder(runtime.name);
        if !options.list {
            install(runtime, &folder, options)
                .with_context(|| format!("cannot install {}", runtime.name))?;
        }
        let size = size_of(&folder);
        report.push(json!({
            "name": runtime.name,
            "about": runtime.about,
            "installed": is_complete(runtime, &folder),
            "folder": folder,
            "bytes": size,
        }));
        if !options.json {
            let state = if is_complete(runtime, &folder) {
                format!("{} MiB in {}", size >> 20, folder.display())
            } else {
                format!("not installed: cargo xtask runtimes {}", runtime.name)
            };
            println!("{:<12} {}\n{:12} {state}", runtime.name, runtime.about, "");
        }
    }
    if options.json {
        println!("{:#}", serde_json::Value::Array(report));
    }
    Ok(())
}

/// One line for each runtime without which tests of its backend are skipped, unless the
/// system has it.
pub(crate) fn say_what_is_missing() {
    for runtime in RUNTIMES {
        if !is_complete(runtime, &folder(runtime.name)) {
            eprintln!(
                "{}: not in target/runtimes; unless the system has it, its tests are skipped \
                 (cargo xtask runtimes {})",
                runtime.name, runtime.name
            );
        }
    }
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
    let mut mark: String = runtime.packages.iter().map(line).collect();
    if let Some(shim) = &runtime.shim {
        // A shim of another source is another one.
        let source = fs::read_to_string(root().join(shim.source)).unwrap_or_default();
        let mut hash = DefaultHasher::new();
        source.hash(&mut hash);
        mark += &format!("{} {:016x}\n", shim.source, hash.finish());
    }
    mark
}

fn is_complete(runtime: &Runtime, folder: &Path) -> bool {
    fs::read_to_string(folder.join("installed")).is_ok_and(|text| text == mark(runtime))
}

fn install(runtime: &Runtime, folder: &Path, options: &Options) -> Result<()> {
    if options.system && !runtime.system.is_empty() {
        run_command(
            command("apt-get")
                .env("DEBIAN_FRONTEND", "noninteractive")
                .args(["-qq", "install", "--no-install-recommends", "--yes"])
                .args(runtime.system),
        )?;
    }
    if is_complete(runtime, folder) {
        return Ok(());
    }
    let begin = Instant::now();
    let parent = target_dir().join("runtimes");
    fs::create_dir_all(&parent)?;
    // In a folder of its own until it is complete: what is interrupted is made again.
    let work = tempfile::Builder::new()
        .prefix(".installing-")
        .tempdir_in(&parent)?;
    let made = work.path().join("made");
    fs::create_dir(&made)?;
    let headers = work.path().join("headers");
    for (at, package) in runtime.packages.iter().enumerate() {
        eprintln!("{}: fetching {}", runtime.name, package.what);
        let archive = fetch(package, work.path())?;
        eprintln!(
            "{}: unpacking {} MiB",
            runtime.name,
            fs::metadata(&archive)?.len() >> 20
        );
        unpack(package, &archive, &made)?;
        if let (0, Some(shim)) = (at, &runtime.shim) {
            unpack_tree(&archive, shim.headers, &headers)?;
        }
        fs::remove_file(&archive)?;
    }
    if let Some(shim) = &runtime.shim {
        eprintln!("{}: building {}", runtime.name, shim.file);
        build(shim, &headers, &made)?;
    }
    fs::write(made.join("installed"), mark(runtime))?;
    let _ = fs::remove_dir_all(folder);
    fs::rename(&made, folder)?;
    eprintln!("{}: {} s", runtime.name, begin.elapsed().as_secs());
    Ok(())
}

/// Downloads the archive of a package and checks it.
fn fetch(package: &Package, work: &Path) -> Result<PathBuf> {
    let into = work.join("fetched");
    fs::create_dir_all(&into)?;
    match package.client {
        Client::Pip => {
            if !exists("python3") {
                bail!("python3 with pip is needed to fetch {}", package.what);
            }
            run_command(
                command("python3")
                    .args(["-m", "pip", "download", "--quiet", "--no-deps"])
                    // The same archive whatever Python is here: nothing of Python is used.
                    .args(["--only-binary=:all:", "--python-version", "3.11"])
                    .args(["--disable-pip-version-check", "--dest"])
                    .arg(&into)
                    .arg(package.what),
            )?;
        }
        Client::Npm => {
            if !exists("npm") {
                bail!("npm is needed to fetch {}", package.what);
            }
            run_command(
                command("npm")
                    .args(["pack", "--silent", "--pack-destination"])
                    .arg(&into)
                    .arg(package.what),
            )?;
        }
    }
    let mut entries = fs::read_dir(&into)?;
    let archive = entries
        .next()
        .with_context(|| format!("{} brought no archive", package.what))??
        .path();
    let sum = crate::process::output(command("sha256sum").arg(&archive))?;
    let sum = sum.split_whitespace().next().unwrap_or_default();
    if cfg!(target_arch = "x86_64") && sum != package.sha256 {
        bail!(
            "{} has the checksum {sum}, not {}: it is not the package that was pinned",
            archive.display(),
            package.sha256
        );
    }
    Ok(archive)
}

/// Puts the wanted files into `to`, without the folders that they are in.
fn unpack(package: &Package, archive: &Path, to: &Path) -> Result<()> {
    let mut kept = 0;
    match package.client {
        Client::Pip => {
            let mut zip = zip::ZipArchive::new(fs::File::open(archive)?)?;
            for i in 0..zip.len() {
                let mut entry = zip.by_index(i)?;
                let Some(name) = wanted(package, &entry.name()?) else {
                    continue;
                };
                let mut file = fs::File::create(to.join(name))?;
                std::io::copy(&mut entry, &mut file)?;
                kept += 1;
            }
        }
        Client::Npm => {
            let list = crate::process::output(command("tar").arg("-tzf").arg(archive))?;
            for path in list.lines() {
                let Some(name) = wanted(package, path) else {
                    continue;
                };
                let out = fs::File::create(to.join(name))?;
                let status = command("tar")
                    .args(["-xzOf"])
                    .arg(archive)
                    .arg(path)
                    .stdout(out)
                    .status()?;
                if !status.success() {
                    bail!("cannot unpack {path}: {status}");
                }
                kept += 1;
            }
        }
    }
    if kept < package.keep.len() {
        bail!(
            "{} does not hold what it should: {kept} files were found",
            package.what
        );
    }
    Ok(())
}

/// Puts the files below a folder of a wheel into `to`, with the folders that they are in.
fn unpack_tree(archive: &Path, folder: &str, to: &Path) -> Result<()> {
    let mut zip = zip::ZipArchive::new(fs::File::open(archive)?)?;
    for i in 0..zip.len() {
        let mut entry = zip.by_index(i)?;
        let name = entry.name()?.into_owned();
        let Some(inside) = name.strip_prefix(folder) else {
            continue;
        };
        let normal =
            |part: std::path::Component<'_>| matches!(part, std::path::Component::Normal(_));
        if inside.is_empty() || inside.ends_with('/') || !Path::new(inside).components().all(normal)
        {
            continue;
        }
        let path = to.join(inside);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        std::io::copy(&mut entry, &mut fs::File::create(path)?)?;
    }
    Ok(())
}

/// Builds a shim beside the libraries that it needs.
fn build(shim: &Shim, headers: &Path, to: &Path) -> Result<()> {
    if !exists("c++") {
        bail!("a C++ compiler is needed to build {}", shim.file);
    }
    let mut compiler = command("c++");
    compiler.args(["-std=c++17", "-O2", "-fPIC", "-shared"]);
    for folder in shim.include {
        compiler.arg("-I").arg(headers.join(folder));
    }
    compiler.arg(root().join(shim.source));
    compiler.arg("-o").arg(to.join(shim.file));
    compiler.arg("-L").arg(to).arg("-Wl,-rpath,$ORIGIN");
    // Libraries of libraries are found when it is opened.
    compiler.arg("-Wl,--allow-shlib-undefined");
    for library in shim.libraries {
        compiler.arg(format!("-l{library}"));
    }
    run_command(&mut compiler)
}

/// The file name of a path in an archive, where it is to be kept.
fn wanted(package: &Package, path: &str) -> Option<String> {
    package.keep.iter().find_map(|(folder, begin)| {
        let name = path.strip_prefix(folder)?;
        let fits = name.starts_with(begin) && !name.is_empty() && !name.contains('/');
        fits.then(|| name.to_owned())
    })
}

fn size_of(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.metadata().ok())
        .map(|meta| meta.len())
        .sum()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn only_files_of_the_named_folders_are_kept_and_none_leads_out() {
        let package = &RUNTIMES[0].packages[0];
        let kept = |path| wanted(package, path);
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
}
