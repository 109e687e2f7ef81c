//! The client: offers memory after WELCOME.

use super::arena::Arena;
use super::region::{PAGE, Region, send_fds};
use super::ring::{DATA, REPLIES, REQUESTS, Rx, Tx};
use super::spin::Spin;
use super::{Mode, ShareError};
use crate::{Stream, sys};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use vaccel_wire::{Progress, Share, Shared};

/// Bytes of each ring: large enough that a writer seldom waits.
const RING: u32 = 128 << 10;

/// Bytes of the first region. Only what is touched takes memory.
const FIRST: usize = if cfg!(target_pointer_width = "64") {
    64 << 20
} else {
    4 << 20
};

/// What a client has when memory is shared.
#[derive(Debug)]
pub struct Client {
    /// Where arguments lie.
    pub arena: Arc<Arena>,
    /// Later regions go through it.
    side: Side,
}

/// The channel for descriptors of further regions.
#[derive(Debug)]
pub struct Side {
    socket: OwnedFd,
    /// Held while a region is added, so that the worker counts as this side does.
    next: Mutex<u16>,
}

/// Offers memory on a stream whose WELCOME has granted it, and waits for the answer.
///
/// # Errors
/// [`ShareError::Refused`] when the worker does not want it: then the connection goes
/// on without. Other errors leave the stream in a state that nobody knows.
pub fn offer(stream: &Stream, mode: Mode, end: Instant) -> Result<(Client, Tx, Rx), ShareError> {
    let arena_from = DATA + 2 * RING as usize;
    let (region, fd) = Region::create(arena_from + FIRST).map_err(ShareError::System)?;
    let (ours, theirs) =
        socket2::Socket::pair(socket2::Domain::UNIX, socket2::Type::SEQPACKET, None)
            .map_err(ShareError::System)?;
    let share = Share {
        size: region.len() as u64,
        ring: RING,
        arena: arena_from as u32,
    };
    let bytes = share.encode();
    let sent = send_fds(stream.sender(), &bytes, &[fd.as_fd(), theirs.as_fd()], 0)
        .map_err(ShareError::System)?;
    stream
        .send_until(&bytes[sent..], end)
        .map_err(ShareError::System)?;
    let answer = receive(stream, end)?;
    if answer.status != 0 {
        return Err(ShareError::Refused {
            status: answer.status,
            text: answer.text,
        });
    }
    let region = Arc::new(region);
    let arena = Arena::new(answer.limit);
    // The worker has taken it, so it is within the limit.
    let _ = arena.reserve(region.len() as u64);
    arena.add(0, Arc::clone(&region), arena_from);
    let spin = Arc::new(Spin::new(mode));
    let replies = DATA + RING as usize;
    let tx = Tx::new(&region, REQUESTS, DATA, RING, Arc::clone(&spin));
    let rx = Rx::new(&region, REPLIES, replies, RING, spin);
    let (Some(tx), Some(rx)) = (tx, rx) else {
        return Err(ShareError::Size(region.len() as u64));
    };
    let client = Client {
        arena,
        side: Side {
            socket: ours.into(),
            next: Mutex::new(1),
        },
    };
    Ok((client, tx, rx))
}

fn receive(stream: &Stream, end: Instant) -> Result<Shared, ShareError> {
    let mut bytes = Vec::new();
    loop {
        let total = match Shared::decode(&bytes)? {
            Progress::Done(shared, _) => return Ok(shared),
            Progress::More(total) => total,
        };
        let there = bytes.len();
        bytes.resize(total, 0);
        let n = stream
            .recv_until(&mut bytes[there..], end)
            .map_err(ShareError::System)?;
        if n == 0 {
            return Err(ShareError::System(io::ErrorKind::ConnectionReset.into()));
        }
        bytes.truncate(there + n);
    }
}

impl Client {
    /// Makes a further region with room for `len` bytes. `announce` tells the worker
    /// its size, once its descriptor is on the way, and returns the worker's number
    /// for it.
    ///
    /// # Errors
    /// What the system or the worker says; [`ShareError::Quota`] beyond the limit.
    pub fn grow(
        &self,
        len: usize,
        announce: impl FnOnce(u64) -> Result<u32, ShareError>,
    ) -> Result<(), ShareError> {
        let mut next = self
            .side
            .next
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let asked = len.checked_next_multiple_of(PAGE).unwrap_or(usize::MAX) as u64;
        // Larger than needed, so that it is not needed again soon.
        let wanted = asked.max(FIRST as u64).checked_next_power_of_two();
        let size = match wanted {
            Some(wanted) if self.arena.reserve(wanted) => wanted,
            _ if self.arena.reserve(asked) => asked,
            _ => {
                return Err(ShareError::Quota {
                    asked,
                    left: self.arena.left(),
                    limit: self.arena.left(),
                });
            }
        };
        let added = self.add(size, *next, announce);
        match added {
            Ok(region) => {
                self.arena.add(*next, Arc::new(region), 0);
                *next += 1;
                Ok(())
            }
            Err(e) => {
                self.arena.unreserve(size);
                Err(e)
            }
        }
    }

    fn add(
        &self,
        size: u64,
        number: u16,
        announce: impl FnOnce(u64) -> Result<u32, ShareError>,
    ) -> Result<Region, ShareError> {
        if usize::from(number) >= super::host::MAX_REGIONS {
            return Err(ShareError::Regions);
        }
        let len = usize::try_from(size).map_err(|_| ShareError::Size(size))?;
        let (region, fd) = Region::create(len).map_err(ShareError::System)?;
        match send_fds(
            self.side.socket.as_fd(),
            &[1],
            &[fd.as_fd()],
            libc::MSG_DONTWAIT,
        ) {
            Err(e) if sys::is_would_block(&e) => return Err(ShareError::Regions),
            other => other.map_err(ShareError::System)?,
        };
        let given = announce(size)?;
        if given != u32::from(number) {
            return Err(ShareError::Refused {
                status: vaccel_abi::error::EREMOTEIO,
                text: format!("it counts the region {number} as {given}"),
            });
        }
        Ok(region)
    }
}
