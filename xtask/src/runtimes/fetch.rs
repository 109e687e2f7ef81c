//! Packages: fetched, compared with their checksum, unpacked.

use super::list::{Client, Package};
use crate::process::{command, exists, run};
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};

/// Downloads the archive of a package and checks it.
pub(super) fn package(package: &Package, work: &Path) -> Result<PathBuf> {
    let into = work.join("fetched");
    fs::create_dir_all(&into)?;
    match package.client {
        Client::Pip => {
            if !exists("python3") {
                bail!("python3 with pip is needed to fetch {}", package.what);
            }
            run(command("python3")
                .args(["-m", "pip", "download", "--quiet", "--no-deps"])
                // The same archive whatever Python is here: nothing of Python is used.
                .args(["--only-binary=:all:", "--python-version", "3.11"])
                .args(["--disable-pip-version-check", "--dest"])
                .arg(&into)
                .arg(package.what))?;
        }
        Client::Npm => {
            if !exists("npm") {
                bail!("npm is needed to fetch {}", package.what);
            }
            run(command("npm")
                .args(["pack", "--silent", "--pack-destination"])
                .arg(&into)
                .arg(package.what))?;
        }
        Client::Deb => {
            if !exists("apt-get") {
                bail!("apt-get is needed to fetch {}", package.what);
            }
            // Into the folder that it is started in.
            run(command("apt-get")
                .args(["-qq", "download", package.what])
                .current_dir(&into))
            .context("where no lists of packages are: `apt-get update` as root")?;
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
pub(super) fn unpack(package: &Package, archive: &Path, to: &Path) -> Result<()> {
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
        Client::Deb => {
            for (folder, at) in package.keep {
                unpack_deb(archive, folder, &to.join(at))?;
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

/// Puts what is below a folder of Debian's package into `to`, with its links.
fn unpack_deb(archive: &Path, folder: &str, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    let tar = to.with_extension("tar");
    let status = command("dpkg-deb")
        .arg("--fsys-tarfile")
        .arg(archive)
        .stdout(fs::File::create(&tar)?)
        .status()?;
    if !status.success() {
        bail!("dpkg-deb cannot unpack {}: {status}", archive.display());
    }
    // "./usr/lib/" are three names: what is below them is what is wanted.
    let depth = folder.matches('/').count();
    run(command("tar")
        .arg("-xf")
        .arg(&tar)
        .arg("-C")
        .arg(to)
        .arg(format!("--strip-components={depth}"))
        .arg(folder))?;
    Ok(fs::remove_file(&tar)?)
}

/// Puts the files below a folder of a wheel into `to`, with the folders that they are in.
pub(super) fn unpack_tree(archive: &Path, folder: &str, to: &Path) -> Result<()> {
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

/// The file name of a path in an archive, where it is to be kept.
pub(super) fn wanted(package: &Package, path: &str) -> Option<String> {
    package.keep.iter().find_map(|(folder, begin)| {
        let name = path.strip_prefix(folder)?;
        let fits = name.starts_with(begin) && !name.is_empty() && !name.contains('/');
        fits.then(|| name.to_owned())
    })
}
