//! How a file looked when its hash was computed.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::fd::BorrowedFd;
use std::os::unix::fs::MetadataExt;
use std::sync::OnceLock;

use rustix::fs::{Mode, OFlags, openat};

const NAME: &str = "stamp";

/// The text of a stamp: it differs as soon as anybody has written to the file, and after
/// each start of the machine, because what was not on the disk then is lost.
pub(super) fn text(meta: &Metadata) -> String {
    format!(
        "{} {} {}.{:09} {}.{:09} {}\n",
        meta.len(),
        meta.ino(),
        meta.mtime(),
        meta.mtime_nsec(),
        meta.ctime(),
        meta.ctime_nsec(),
        boot()
    )
}

fn boot() -> &'static str {
    static BOOT: OnceLock<String> = OnceLock::new();
    BOOT.get_or_init(|| {
        std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
            .map_or_else(|_| "unknown".to_owned(), |text| text.trim().to_owned())
    })
}

/// The stamp in a folder; empty when there is none.
pub(super) fn read(folder: BorrowedFd<'_>) -> String {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut text = String::new();
    if let Ok(fd) = openat(folder, NAME, flags, Mode::empty()) {
        // Half a stamp is no stamp.
        let _ = File::from(fd).take(4096).read_to_string(&mut text);
    }
    text
}

/// Writes the stamp of a folder, in the place of an older one.
pub(super) fn write(folder: BorrowedFd<'_>, text: &str) -> io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC;
    let fd = openat(folder, NAME, flags, Mode::RUSR | Mode::WUSR)?;
    io::Write::write_all(&mut File::from(fd), text.as_bytes())
}
