//! A client that says whatever it likes, and searches all that it receives.

use super::frames::{Ids, request};
use super::scan::Scanner;
use super::{Host, Random};
use anyhow::{Context, Result, bail};
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
    sendmsg, socketpair,
};
use std::io::{ErrorKind, IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};
use vaccel_transport::shm::Region;
use vaccel_wire::{
    FEATURE_KEPT_TENSORS, FEATURE_SHARED_MEMORY, HEADER_LEN, Header, Hello, Progress, Share,
    Shared, Welcome,
};

/// Where arguments begin in its shared memory, and how large that is.
const ARENA: u32 = 4096 + 2 * 4096;
const SIZE: usize = ARENA as usize + (64 << 10);

/// Longest that it waits for anything.
const PATIENCE: Duration = Duration::from_secs(20);

/// A client that behaves as it is told, however bad.
pub struct Raw {
    stream: UnixStream,
    /// Memory that it shares with the worker, and its end of the channel for more.
    memory: Option<(Region, OwnedFd)>,
    /// Its session, when one was opened.
    pub session: i64,
    number: u64,
    tail: u32,
}

impl Raw {
    /// Opens a connection as the protocol says. With `rings` it shares memory and its
    /// frames go through rings; with `memory` alone only arguments lie there.
    ///
    /// # Errors
    /// When the agent does not let it.
    pub fn open(host: &Host, memory: bool, rings: bool) -> Result<Self> {
        let stream = UnixStream::connect(host.socket())?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut raw = Self {
            stream,
            memory: None,
            session: 0,
            number: 1,
            tail: 0,
        };
        let mut hello = Hello::new(1 << 22);
        hello.features = FEATURE_KEPT_TENSORS;
        if memory || rings {
            hello.features |= FEATURE_SHARED_MEMORY;
        }
        let mut bytes = Vec::new();
        hello.encode(&mut bytes)?;
        raw.stream.write_all(&bytes)?;
        let granted = raw.receive(|bytes| {
            Ok(match Welcome::decode(bytes)? {
                Progress::More(_) => None,
                Progress::Done(welcome, _) => Some((welcome.status, welcome.features)),
            })
        })?;
        if granted.0 != 0 {
            bail!("the agent refuses: error {}", granted.0);
        }
        if granted.1 & FEATURE_SHARED_MEMORY != 0 {
            raw.share(rings)?;
        }
        Ok(raw)
    }

    /// Reads byte by byte until `done` has what it wants.
    fn receive<T>(&mut self, mut done: impl FnMut(&[u8]) -> Result<Option<T>>) -> Result<T> {
        let mut bytes = Vec::new();
        loop {
            let mut byte = [0];
            self.stream.read_exact(&mut byte)?;
            bytes.extend(byte);
            if let Some(value) = done(&bytes)? {
                return Ok(value);
            }
        }
    }

    fn share(&mut self, rings: bool) -> Result<()> {
        let (region, memfd) = Region::create(SIZE)?;
        let flags = SocketFlags::CLOEXEC;
        let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        let share = Share {
            size: SIZE as u64,
            ring: if rings { 4096 } else { 0 },
            arena: ARENA,
        };
        let fds = [memfd.as_fd(), theirs.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        control.push(SendAncillaryMessage::ScmRights(&fds));
        let bytes = share.encode();
        sendmsg(
            &self.stream,
            &[IoSlice::new(&bytes)],
            &mut control,
            SendFlags::empty(),
        )?;
        let status = self.receive(|bytes| {
            Ok(match Shared::decode(bytes)? {
                Progress::More(_) => None,
                Progress::Done(shared, _) => Some(shared.status),
            })
        })?;
        if status == 0 {
            self.memory = Some((region, ours));
        }
        Ok(())
    }

    /// Opens a session, and waits for its number.
    ///
    /// # Errors
    /// When there is no valid answer.
    pub fn open_session(&mut self, tenant: usize) -> Result<()> {
        let ids = Ids {
            tenant,
            ..Ids::default()
        };
        // No random choice is in this one but the deadline.
        let mut bytes = request(1, 0, ids, &mut Random(0));
        bytes[4..8].fill(0);
        bytes[8..16].copy_from_slice(&u64::MAX.to_le_bytes());
        self.stream.write_all(&bytes)?;
        let mut head = [0; HEADER_LEN];
        self.stream.read_exact(&mut head)?;
        let header = Header::decode(&head)?;
        let mut rest = vec![0; header.meta_len as usize + header.payload_len as usize];
        self.stream.read_exact(&mut rest)?;
        if header.status() != 0 {
            bail!("no session: error {}", header.status());
        }
        let number = rest
            .get(header.meta_len as usize..)
            .and_then(|b| b.first_chunk());
        self.session = i64::from_le_bytes(*number.context("no number came")?);
        Ok(())
    }

    /// The number of the next request.
    pub fn next_request(&mut self) -> u64 {
        self.number += 1;
        self.number
    }

    /// True when it shares memory.
    #[must_use]
    pub fn has_memory(&self) -> bool {
        self.memory.is_some()
    }

    /// Sends bytes; the agent may have hung up, which is no error.
    pub fn say(&mut self, bytes: &[u8]) {
        let _ = self.stream.set_nonblocking(true);
        let deadline = Instant::now() + Duration::from_secs(2);
        let mut rest = bytes;
        while !rest.is_empty() && Instant::now() < deadline {
            match self.stream.write(rest) {
                Ok(n) => rest = &rest[n..],
                Err(e) if e.kind() == ErrorKind::WouldBlock => std::thread::yield_now(),
                Err(_) => break,
            }
        }
        let _ = self.stream.set_nonblocking(false);
    }

    /// Puts bytes into the ring of requests, and rings.
    pub fn say_in_ring(&mut self, bytes: &[u8]) {
        for (i, byte) in bytes.iter().enumerate() {
            let at = (self.tail.wrapping_add(i as u32) & 4095) as usize;
            self.scribble(4096 + at, &[*byte]);
        }
        self.tail = self.tail.wrapping_add(bytes.len() as u32);
        self.scribble(0, &self.tail.to_le_bytes());
        self.say(&[0]);
    }

    /// Writes into shared memory, wherever, whoever uses it.
    pub fn scribble(&self, at: usize, bytes: &[u8]) {
        let Some((region, _)) = &self.memory else {
            return;
        };
        let Some(to) = region.at(at, bytes.len()) else {
            return;
        };
        for (i, byte) in bytes.iter().enumerate() {
            // SAFETY: so many bytes are mapped. The worker uses them at the same time; that is
            // what is tried, and no reference points there.
            unsafe { to.as_ptr().add(i).write_volatile(*byte) };
        }
    }

    /// Searches what has come, without waiting for more than `wait`. False when the agent has
    /// hung up.
    pub fn drain(&mut self, scanner: &mut Scanner, wait: Duration) -> bool {
        if let Some((region, _)) = &self.memory
            && let Some(at) = region.at(0, SIZE)
        {
            let mut copy = vec![0; SIZE];
            // SAFETY: so many bytes are mapped, and are copied before anybody looks at them.
            unsafe { std::ptr::copy_nonoverlapping(at.as_ptr(), copy.as_mut_ptr(), SIZE) };
            scanner.take(&copy);
        }
        let _ = self
            .stream
            .set_read_timeout(Some(wait.max(Duration::from_micros(100))));
        let mut buffer = vec![0; 64 << 10];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return false,
                Ok(n) => scanner.take(&buffer[..n]),
                Err(e) => return matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
            }
        }
    }

    /// Says that no more bytes come.
    pub fn half_close(&self) {
        let _ = self.stream.shutdown(std::net::Shutdown::Write);
    }

    /// Waits until the agent hangs up. False when it does not within `limit`.
    #[must_use]
    pub fn is_hung_up_within(&mut self, limit: Duration) -> bool {
        let mut scanner = Scanner::new(0, 1);
        let deadline = Instant::now() + limit;
        while Instant::now() < deadline {
            if !self.drain(&mut scanner, Duration::from_millis(20)) {
                return true;
            }
        }
        false
    }

    /// Its stream, for what nobody has thought of.
    #[must_use]
    pub fn stream(&self) -> &UnixStream {
        &self.stream
    }
}
