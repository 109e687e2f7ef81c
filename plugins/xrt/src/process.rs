//! The process in which XRT runs, as the plugin sees it.

use crate::child::{self, Plan};
use crate::library::Found;
use crate::wire::{self, Reply, Request};
use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::ptr::null_mut;
use std::time::{Duration, Instant};
use vaccel_plugin::{Result, bail, code, err, log};

/// How long anything but a run may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long the process has to end.
const FAREWELL: Duration = Duration::from_secs(2);
/// How much of what XRT has printed is looked at.
const WORDS: u64 = 4096;

/// A process with XRT in it; ended when dropped.
#[derive(Debug)]
pub(crate) struct Process {
    id: libc::pid_t,
    channel: UnixStream,
    memory: File,
    /// The memory that is shared, as far as it is mapped.
    mapped: (*mut u8, usize),
    output: File,
    /// Made for `XILINX_XRT`, where XRT lies among the system's libraries.
    folder: Option<PathBuf>,
}

// SAFETY: the mapping is this structure's alone, and is reached through it only.
unsafe impl Send for Process {}

impl Process {
    /// Starts it and opens the device.
    ///
    /// # Errors
    /// `ENODEV` without that device, `ENOTSUP` where XRT cannot be used or processes cannot
    /// be started; how it ended and its last words, where it did not survive that.
    pub(crate) fn start(found: &Found, device: u32) -> Result<Self> {
        let (ours, theirs) = UnixStream::pair().map_err(no("a pair of sockets"))?;
        let memory = in_memory(c"vaccel-xrt")?;
        let output = in_memory(c"vaccel-xrt-output")?;
        // Whatever XRT prints goes behind what is there.
        // SAFETY: a descriptor of ours.
        unsafe { libc::fcntl(output.as_raw_fd(), libc::F_SETFL, libc::O_APPEND) };
        let (root, folder) = match &found.root {
            Some(root) => (root.clone(), None),
            None => {
                let folder = folder_for(&found.file)?;
                (folder.clone(), Some(folder))
            }
        };
        let plan = Plan {
            library: c_path(&found.file)?,
            beside: beside(found)?,
            root: c_path(&root)?,
            device,
            channel: theirs.as_raw_fd(),
            memory: memory.as_raw_fd(),
            output: output.as_raw_fd(),
        };
        // SAFETY: the child runs `serve` alone, with the one thread that it has.
        let id = unsafe { libc::fork() };
        if id == 0 {
            child::serve(&plan);
        }
        let mut process = Self {
            id,
            channel: ours,
            memory,
            mapped: (null_mut(), 0),
            output,
            folder,
        };
        if id < 0 {
            let reason = io::Error::last_os_error();
            bail!(
                ENOTSUP,
                "XRT runs in a process of its own, which cannot be started: {reason}"
            );
        }
        drop(theirs);
        process.ask(&Request::Open, PATIENCE)?;
        log::debug!("xrt: {} in process {id}", found.file.display());
        Ok(process)
    }

    /// Sends a request and waits for what comes of it. After `EIO` and `ETIMEDOUT` the
    /// process is of no more use.
    pub(crate) fn ask(&mut self, request: &Request, limit: Duration) -> Result<()> {
        let said = wire::send(&mut self.channel, &request.to_bytes())
            .and_then(|()| self.channel.set_read_timeout(Some(limit + PATIENCE)))
            .and_then(|()| wire::receive(&mut self.channel));
        let reply = match said {
            Ok(bytes) => Reply::parse(&bytes),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let words = self.last_words();
                bail!(ETIMEDOUT, "XRT does not answer{words}");
            }
            Err(_) => {
                let end = self.end();
                bail!(EIO, "XRT did not survive it: {end}{}", self.last_words());
            }
        };
        let reply = reply.ok_or_else(|| err!(EIO, "XRT has spoilt its process"))?;
        if reply.code == code::OK {
            return Ok(());
        }
        let text = format!("{}{}", reply.text, self.last_words());
        Err(vaccel_plugin::Error::new(reply.code, text))
    }

    /// Memory that both see, at least so long.
    pub(crate) fn memory(&mut self, size: usize) -> Result<&mut [u8]> {
        let (at, mapped) = self.mapped;
        if size > mapped {
            let room = || err!(ENOMEM, "{size} bytes for a call of the device");
            self.memory.set_len(size as u64).map_err(|_| room())?;
            // SAFETY: unmaps what was mapped here; maps a file of that length.
            let at = unsafe {
                if mapped > 0 {
                    libc::munmap(at.cast(), mapped);
                }
                self.mapped = (null_mut(), 0);
                let rights = libc::PROT_READ | libc::PROT_WRITE;
                let fd = self.memory.as_raw_fd();
                libc::mmap(null_mut(), size, rights, libc::MAP_SHARED, fd, 0)
            };
            if at == libc::MAP_FAILED {
                return Err(room());
            }
            self.mapped = (at.cast(), size);
        }
        if size == 0 {
            return Ok(&mut []);
        }
        // SAFETY: mapped that far. The other process writes to it between a request and its
        // reply only, while nobody here has this view.
        Ok(unsafe { std::slice::from_raw_parts_mut(self.mapped.0, size) })
    }

    /// What XRT said last, behind a colon.
    fn last_words(&mut self) -> String {
        let length = self.output.metadata().map_or(0, |about| about.len());
        let from = SeekFrom::Start(length.saturating_sub(WORDS));
        let mut bytes = Vec::new();
        let file = &mut self.output;
        let read = file
            .seek(from)
            .and_then(|_| file.take(WORDS).read_to_end(&mut bytes));
        match read {
            Ok(_) => words(&String::from_utf8_lossy(&bytes)),
            Err(_) => String::new(),
        }
    }

    /// How the process ended, which it has or is about to.
    fn end(&mut self) -> String {
        let deadline = Instant::now() + FAREWELL;
        let mut status = 0;
        while self.id > 0 {
            // SAFETY: a child of ours.
            let ended = unsafe { libc::waitpid(self.id, &raw mut status, libc::WNOHANG) };
            if ended == self.id {
                self.id = 0;
                if libc::WIFSIGNALED(status) {
                    return format!("signal {} ended it", libc::WTERMSIG(status));
                }
                return format!("it ended with {}", libc::WEXITSTATUS(status));
            }
            if ended < 0 {
                // Someone who waits for all children was first.
                self.id = 0;
            } else if Instant::now() > deadline {
                // SAFETY: a child that was not waited for: its number is its own.
                if unsafe { libc::kill(self.id, libc::SIGKILL) } != 0 {
                    break;
                }
            } else {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        "nobody knows how it ended".to_owned()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.channel.shutdown(std::net::Shutdown::Both);
        let (at, mapped) = self.mapped;
        if mapped > 0 {
            // SAFETY: mapped here; no view of it is left.
            unsafe { libc::munmap(at.cast(), mapped) };
        }
        self.end();
        if let Some(folder) = &self.folder {
            let _ = std::fs::remove_file(folder.join("lib"));
            let _ = std::fs::remove_dir(folder);
        }
    }
}

fn no(what: &'static str) -> impl Fn(io::Error) -> vaccel_plugin::Error {
    move |error| err!(EIO, "the process of XRT gets no {what}: {error}")
}

fn in_memory(name: &std::ffi::CStr) -> Result<File> {
    // SAFETY: a text that ends with a zero.
    let fd = unsafe { libc::memfd_create(name.as_ptr(), libc::MFD_CLOEXEC) };
    if fd < 0 {
        return Err(no("memory")(io::Error::last_os_error()));
    }
    // SAFETY: just opened.
    Ok(unsafe { File::from_raw_fd(fd) })
}

fn c_path(path: &Path) -> Result<CString> {
    CString::new(path.as_os_str().as_bytes())
        .map_err(|_| err!(EINVAL, "{} has a zero in it", path.display()))
}

/// Libraries that XRT needs and that were unpacked beside it.
fn beside(found: &Found) -> Result<Vec<CString>> {
    let (Some(_), Some(folder)) = (&found.root, found.file.parent()) else {
        return Ok(Vec::new());
    };
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.path()).filter(|path| {
        let name = path.file_name().unwrap_or_default().as_bytes();
        name.starts_with(b"libboost_")
    });
    names.map(|path| c_path(&path)).collect()
}

/// A folder whose `lib` is where XRT lies: it looks for its parts there.
fn folder_for(file: &Path) -> Result<PathBuf> {
    let mut name = std::env::temp_dir()
        .join("vaccel-xrt-XXXXXX")
        .into_os_string();
    name.push("\0");
    let mut name = name.as_bytes().to_vec();
    // SAFETY: a text that ends with a zero, which the call changes.
    if unsafe { libc::mkdtemp(name.as_mut_ptr().cast()) }.is_null() {
        return Err(no("folder")(io::Error::last_os_error()));
    }
    name.pop();
    let folder = PathBuf::from(std::ffi::OsStr::from_bytes(&name));
    let libraries = file.parent().unwrap_or(Path::new("/usr/lib"));
    std::os::unix::fs::symlink(libraries, folder.join("lib")).map_err(no("link"))?;
    Ok(folder)
}

/// The lines that say what went wrong, of all that XRT prints.
fn words(text: &str) -> String {
    let telling = |line: &&str| line.contains("ERROR") || line.contains("what():");
    let lines: Vec<&str> = text.lines().filter(telling).map(str::trim).collect();
    match lines.as_slice() {
        [] => String::new(),
        lines => format!(": {}", lines.join("; ")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn of_all_that_xrt_prints_what_went_wrong_is_kept() {
        let text = "XRT build version: 2.13.0\nPID: 1\n[XRT] ERROR: No such kernel 'x'\n";
        assert_eq!(words(text), ": [XRT] ERROR: No such kernel 'x'");
        assert_eq!(words("XRT build version: 2.13.0\n"), "");
    }

    #[test]
    fn a_library_that_is_none_and_one_that_aborts_are_errors_of_a_process_that_lives_on() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("lib/libxrt_coreutil.so.2");
        std::fs::create_dir(folder.path().join("lib")).unwrap();
        std::fs::write(&file, "no library").unwrap();
        let found = Found {
            file,
            root: Some(folder.path().to_owned()),
        };
        let error = Process::start(&found, 0).unwrap_err();
        assert_eq!(error.code(), code::ENOTSUP, "{error}");
        assert!(error.message().contains("libxrt_coreutil.so.2"), "{error}");
    }
}
