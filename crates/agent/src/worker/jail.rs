//! What a worker gives up before it serves anybody.
//!
//! Here the code of tenants runs. The process holds no descriptor but its own, makes files
//! that nobody else can read, and enters the [`Jail`] that its agent asks for. Which files it
//! keeps is decided here: its folder, the library, plugins, models, and what variables name.

use std::os::fd::{AsRawFd, BorrowedFd};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rustix::process::{Resource, Rlimit, setrlimit};
use vaccel_jail::{Jail, JailOptions, Mode};

use super::options::Options;
use crate::debug;

/// Variables whose paths are no business of a worker's.
const NOT_READ: &[&str] = &["PATH", "HOME", "TMPDIR", "XDG_CACHE_HOME", "VACCEL_RUNDIR"];

/// Locks the process in. Called first, with one thread and nothing opened yet.
///
/// # Errors
/// When a step is refused: a worker that is not locked in as it should be serves nobody.
pub fn enter(channel: BorrowedFd<'_>, options: &Options) -> Result<()> {
    close_all_but(channel);
    rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
    if options.jail.mode == Mode::Off {
        rustix::thread::set_no_new_privs(true).context("cannot give up new privileges")?;
        let none = Rlimit {
            current: Some(0),
            maximum: Some(0),
        };
        return setrlimit(Resource::Core, none).context("cannot forbid core files");
    }
    let asked = with_files(options)?;
    let names = options.plugins.iter().map(|plugin| plugin_name(plugin));
    let report = Jail::new(&asked, names).enter()?;
    for held in report.missing() {
        debug!("jail: without {}: {}", held.part, held.detail);
    }
    if let (Mode::Strict, Some(lacks)) = (asked.mode, report.lacks()) {
        bail!("the worker cannot be locked in: {lacks}");
    }
    Ok(())
}

/// A plugin's name, also where its file is given.
#[must_use]
pub fn plugin_name(plugin: &str) -> &str {
    let name = plugin.rsplit('/').next().unwrap_or(plugin);
    let name = name.split(".so").next().unwrap_or(name);
    let name = name.strip_prefix("libvaccel").unwrap_or(name);
    name.trim_start_matches(['-', '_'])
}

/// What is asked for, with the files that this worker needs.
fn with_files(options: &Options) -> Result<JailOptions> {
    let mut asked = options.jail.clone();
    asked.write.push(options.dir.clone());
    if let Some(file) = &options.vaccel_config.log_file {
        asked.write.push(made(Path::new(file))?);
    }
    if let Some(file) = std::env::var_os("VACCEL_TRACE").filter(|file| !file.is_empty()) {
        // Written beside it first, then renamed.
        let file = std::path::absolute(file)?;
        asked.write.extend(file.parent().map(Path::to_owned));
    }
    let own = std::env::current_exe().context("cannot tell where this program is")?;
    if let Some(folder) = own.parent() {
        asked.read.push(folder.to_owned());
        for near in ["lib", "lib64", "share"] {
            asked.read.push(folder.join("..").join(near));
        }
    }
    let files = options.plugins.iter().filter(|plugin| plugin.contains('/'));
    asked
        .read
        .extend(files.filter_map(|file| Some(Path::new(file).parent()?.to_owned())));
    asked.read.extend(runtimes_beside(&own));
    asked.read.extend(named_by_variables());
    Ok(asked)
}

/// Where `cargo xtask runtimes` puts runtimes, for a program that was built in the source
/// tree: plugins look there, too.
fn runtimes_beside(own: &Path) -> Option<PathBuf> {
    let own = own.canonicalize().ok()?;
    let mut above = own.ancestors().skip(1).take(6);
    Some(
        above
            .find(|folder| folder.ends_with("target"))?
            .join("runtimes"),
    )
}

/// Files and folders that variables name: libraries of runtimes, folders of models.
fn named_by_variables() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for (name, value) in std::env::vars_os() {
        if name.to_str().is_none_or(|name| NOT_READ.contains(&name)) {
            continue;
        }
        // Never everything, whatever a variable says.
        let paths = std::env::split_paths(&value)
            .filter(|path| path.is_absolute() && path.components().count() > 1 && path.exists());
        found.extend(paths);
    }
    found
}

/// A file that is to be written to is there before nothing can be made any more.
fn made(file: &Path) -> Result<PathBuf> {
    std::fs::File::options()
        .create(true)
        .append(true)
        .open(file)
        .with_context(|| format!("cannot write to {}", file.display()))?;
    Ok(std::path::absolute(file)?)
}

/// Closes every descriptor but the standard ones and the channel to the agent.
///
/// The agent marks what it has as close-on-exec; this is for the case that some
/// other parent does not.
fn close_all_but(channel: BorrowedFd<'_>) {
    let channel = channel.as_raw_fd();
    let close = |first: i32, last: i32| {
        if first <= last {
            // SAFETY: called before anything but the standard descriptors and the
            // channel is in use; kernels before 5.9 do not know the call and close nothing.
            unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
        }
    };
    close(3, channel - 1);
    close(channel + 1, i32::MAX);
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_program_of_the_source_tree_reads_the_runtimes_that_were_installed_there() {
        let folder = tempfile::tempdir().unwrap();
        let bin = folder.path().join("target/stage/debug/bin");
        std::fs::create_dir_all(&bin).unwrap();
        let program = bin.join("vaccel-worker");
        std::fs::write(&program, "").unwrap();
        let runtimes = folder
            .path()
            .canonicalize()
            .unwrap()
            .join("target/runtimes");
        assert_eq!(runtimes_beside(&program), Some(runtimes));
        assert_eq!(runtimes_beside(Path::new("/usr/bin/env")), None);
    }

    #[test]
    fn plugins_are_known_by_name_and_by_file() {
        for (plugin, name) in [
            ("onnx", "onnx"),
            ("libvaccel-torch.so", "torch"),
            ("/usr/lib/vaccel/libvaccel_opencl.so.0", "opencl"),
        ] {
            assert_eq!(plugin_name(plugin), name);
        }
    }
}
