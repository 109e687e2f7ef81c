//! The floor of every call through shared memory: a number there and back.

use crate::bench::sample::bounded;
use anyhow::{Context, Result};
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use rustix::thread::futex;
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// How a side waits for the other.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wait {
    Spin,
    Futex,
}

const LEN: usize = 4096;
/// The number that ends the other side.
const END: u32 = u32::MAX;
/// Longest wait for the other side.
const LIMIT: Duration = Duration::from_secs(20);

/// Two numbers on cache lines of their own: what was asked, and what was answered.
struct Page(*mut u8);

impl Page {
    fn map(file: impl AsFd) -> Result<Self> {
        // SAFETY: a new shared mapping wherever the kernel likes.
        let at = unsafe {
            mmap(
                std::ptr::null_mut(),
                LEN,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED,
                file,
                0,
            )
        }
        .context("cannot map shared memory")?;
        Ok(Self(at.cast()))
    }

    fn asked(&self) -> &AtomicU32 {
        // SAFETY: mapped while this lives, aligned to a page, and only used as an atomic.
        unsafe { AtomicU32::from_ptr(self.0.cast()) }
    }

    fn answered(&self) -> &AtomicU32 {
        // SAFETY: as above; within the page.
        unsafe { AtomicU32::from_ptr(self.0.add(256).cast()) }
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // SAFETY: mapped by `map`, unmapped once.
        let _ = unsafe { munmap(self.0.cast(), LEN) };
    }
}

/// A second process that answers through memory; it ends when this is dropped.
pub(crate) struct Memory {
    page: Page,
    wait: Wait,
    last: u32,
    peer: Child,
}

impl Memory {
    /// Starts the other end; it inherits the processors of this thread.
    pub(crate) fn start(wait: Wait) -> Result<Self> {
        let file = memfd_create("floor", MemfdFlags::CLOEXEC)?;
        ftruncate(&file, LEN as u64)?;
        let page = Page::map(&file)?;
        let name = match wait {
            Wait::Spin => "spin",
            Wait::Futex => "futex",
        };
        let place = format!(
            "{name}:/proc/{}/fd/{}",
            std::process::id(),
            file.as_raw_fd()
        );
        let peer = Command::new(crate::process::OWN)
            .args(["bench-peer", &place])
            .stdin(Stdio::null())
            .spawn()
            .context("cannot start the other end of a floor")?;
        let mut memory = Self {
            page,
            wait,
            last: 0,
            peer,
        };
        // The first answer says that it has the memory open.
        memory.round()?;
        Ok(memory)
    }

    /// One round trip.
    pub(crate) fn round(&mut self) -> Result<()> {
        // END is far away: a run makes some hundred thousand rounds.
        self.last += 1;
        tell(self.page.asked(), self.last, self.wait);
        let last = self.last;
        until(self.page.answered(), self.wait, |seen| seen == last)
            .context("the other end of a floor does not answer")?;
        Ok(())
    }

    /// Microseconds of each round trip, sorted.
    pub(crate) fn measure(&mut self, calls: usize) -> Result<Vec<f64>> {
        bounded(calls, || self.round())
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        tell(self.page.asked(), END, self.wait);
        let _ = self.peer.wait();
    }
}

fn tell(place: &AtomicU32, value: u32, wait: Wait) {
    place.store(value, Ordering::Release);
    if wait == Wait::Futex {
        let _ = futex::wake(place, futex::Flags::empty(), 1);
    }
}

/// Waits until the number is as wanted; `None` when that takes too long.
fn until(place: &AtomicU32, wait: Wait, wanted: impl Fn(u32) -> bool) -> Option<u32> {
    let mut begun = None;
    for turn in 1_u64.. {
        let seen = place.load(Ordering::Acquire);
        if wanted(seen) {
            return Some(seen);
        }
        match wait {
            Wait::Spin => std::hint::spin_loop(),
            Wait::Futex => {
                let second = rustix::thread::Timespec {
                    tv_sec: 1,
                    tv_nsec: 0,
                };
                let _ = futex::wait(place, futex::Flags::empty(), seen, Some(&second));
            }
        }
        // The clock is looked at seldom: it would be part of the floor.
        if (wait == Wait::Futex || turn % (1 << 16) == 0)
            && begun.get_or_insert_with(Instant::now).elapsed() > LIMIT
        {
            return None;
        }
    }
    None
}

/// What the second process does.
pub(crate) fn peer(file: &Path, wait: Wait) -> Result<()> {
    let file = File::options().read(true).write(true).open(file)?;
    let page = Page::map(&file)?;
    let mut last = 0;
    while let Some(seen) = until(page.asked(), wait, |seen| seen != last) {
        if seen == END {
            break;
        }
        last = seen;
        tell(page.answered(), seen, wait);
    }
    Ok(())
}
