//! The worker: takes the memory that a client offers, and looks up places in it.

use super::region::{Region, receive_fds};
use super::ring::{DATA, REPLIES, REQUESTS, Rx, Tx};
use super::spin::Spin;
use super::{Mode, ShareError};
use crate::Stream;
use crate::sys::{self, Ready};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;
use vaccel_wire::{Place, SHARE_LEN, Share, Shared};

/// Regions of one connection.
pub const MAX_REGIONS: usize = 64;

/// The memory that a client shares.
#[derive(Debug)]
pub struct Memory {
    regions: RwLock<Vec<Arc<Region>>>,
    /// Where arguments may begin in the first region.
    arena: usize,
    side: OwnedFd,
    limit: u64,
}

/// What a worker has when memory is shared.
#[derive(Debug)]
pub struct Host {
    /// Where arguments lie.
    pub memory: Memory,
    /// Replies, when there are rings.
    pub tx: Option<Tx>,
    /// Requests, when there are rings.
    pub rx: Option<Rx>,
}

/// Waits for a client's offer and answers it. `limit` is how many bytes of memory a
/// connection may share.
///
/// The inner error is why nothing is shared; the client knows, and goes on without.
///
/// # Errors
/// `TimedOut`, an end of the stream, or what the system says.
pub fn accept(
    stream: &Stream,
    limit: u64,
    mode: Mode,
    end: Instant,
) -> io::Result<Result<Host, ShareError>> {
    let (bytes, fds) = receive(stream, end)?;
    let taken = take(&bytes, fds, limit, mode);
    let answer = match &taken {
        Ok(_) => Shared {
            status: 0,
            limit,
            text: String::new(),
        },
        Err(e) => Shared {
            status: e.code(),
            limit: 0,
            text: e.to_string(),
        },
    };
    let mut out = Vec::new();
    answer.encode(&mut out);
    stream.send_until(&out, end)?;
    Ok(taken)
}

fn receive(stream: &Stream, end: Instant) -> io::Result<([u8; SHARE_LEN], Vec<OwnedFd>)> {
    let mut bytes = [0; SHARE_LEN];
    let mut there = 0;
    let mut fds = Vec::new();
    while there < SHARE_LEN {
        match receive_fds(stream.as_fd(), &mut bytes[there..], libc::MSG_DONTWAIT) {
            Ok((0, _)) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok((n, more)) => {
                there += n;
                fds.extend(more);
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) if sys::is_would_block(&e) => {
                let left = end.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return Err(io::ErrorKind::TimedOut.into());
                }
                sys::wait(stream.as_fd(), Ready::Read, Some(left))?;
            }
            Err(e) => return Err(e),
        }
    }
    Ok((bytes, fds))
}

fn take(
    bytes: &[u8; SHARE_LEN],
    fds: Vec<OwnedFd>,
    limit: u64,
    mode: Mode,
) -> Result<Host, ShareError> {
    let share = Share::decode(bytes)?;
    let found = fds.len();
    let [memfd, side] =
        <[OwnedFd; 2]>::try_from(fds).map_err(|_| ShareError::Descriptors { found, wanted: 2 })?;
    if share.size > limit {
        return Err(ShareError::Quota {
            asked: share.size,
            left: limit,
            limit,
        });
    }
    let region = Arc::new(Region::adopt(&memfd, share.size)?);
    let (mut tx, mut rx) = (None, None);
    if share.ring > 0 {
        let spin = Arc::new(Spin::new(mode));
        let replies = DATA + share.ring as usize;
        tx = Tx::new(&region, REPLIES, replies, share.ring, Arc::clone(&spin));
        rx = Rx::new(&region, REQUESTS, DATA, share.ring, spin);
        if tx.is_none() || rx.is_none() {
            return Err(ShareError::Size(share.size));
        }
    }
    Ok(Host {
        memory: Memory {
            regions: RwLock::new(vec![region]),
            arena: share.arena as usize,
            side,
            limit,
        },
        tx,
        rx,
    })
}

impl Memory {
    /// The bytes of an argument. They stay mapped as long as this, but the client may
    /// change them at any time: what is parsed must be copied first.
    ///
    /// # Errors
    /// Says why there is no such place.
    pub fn at(&self, place: Place, len: usize) -> Result<NonNull<u8>, String> {
        let regions = self.regions.read().unwrap_or_else(PoisonError::into_inner);
        let no = |why: &str| {
            format!(
                "{len} bytes at {} of region {} of shared memory {why}",
                place.offset, place.region
            )
        };
        let Some(region) = regions.get(usize::from(place.region)) else {
            return Err(no("cannot be: there is no such region"));
        };
        let offset = usize::try_from(place.offset).unwrap_or(usize::MAX);
        if place.region == 0 && offset < self.arena {
            return Err(no("lie in the rings, not in the arena"));
        }
        if offset % 8 != 0 || (len >= 64 && offset % 64 != 0) {
            return Err(no(
                "are not aligned: large arguments begin at multiples of 64, others of 8",
            ));
        }
        region
            .at(offset, len)
            .ok_or_else(|| no("reach beyond its end"))
    }

    /// Lets this process have no page of the regions until the next access. What is in
    /// them stays: it is the client's.
    pub fn rest(&self) {
        let regions = self.regions.read().unwrap_or_else(PoisonError::into_inner);
        regions.iter().for_each(|region| region.rest());
    }

    /// Takes a further region, whose descriptor is in the channel; its number.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn add(&self, size: u64) -> Result<u32, ShareError> {
        let mut byte = [0];
        let (n, mut fds) =
            receive_fds(self.side.as_fd(), &mut byte, libc::MSG_DONTWAIT).map_err(|e| {
                if sys::is_would_block(&e) {
                    ShareError::Descriptors {
                        found: 0,
                        wanted: 1,
                    }
                } else {
                    ShareError::System(e)
                }
            })?;
        let found = fds.len();
        let (Some(fd), 1, 1) = (fds.pop(), found, n) else {
            return Err(ShareError::Descriptors { found, wanted: 1 });
        };
        let mut regions = self.regions.write().unwrap_or_else(PoisonError::into_inner);
        if regions.len() >= MAX_REGIONS {
            return Err(ShareError::Regions);
        }
        let used: u64 = regions.iter().map(|r| r.len() as u64).sum();
        let left = self.limit.saturating_sub(used);
        if size > left {
            return Err(ShareError::Quota {
                asked: size,
                left,
                limit: self.limit,
            });
        }
        let region = Region::adopt(&fd, size)?;
        regions.push(Arc::new(region));
        // At most MAX_REGIONS.
        Ok(regions.len() as u32 - 1)
    }
}
