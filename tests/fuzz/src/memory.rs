//! Shared memory in which a hostile client has written.

use rustix::net::{AddressFamily, SocketType, sendmsg, socketpair};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags};
use std::io::IoSlice;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};
use vaccel_transport::shm::{Mode, Region, host};
use vaccel_transport::{FrameReader, FrameWriter, Stream};
use vaccel_wire::{FrameBuffer, Place, Share};

const RING: u32 = 4096;
const ARENA: u32 = 4096 + 2 * RING;
const SIZE: usize = ARENA as usize + 8192;
/// The words of both control blocks.
const WORDS: [usize; 6] = [0, 64, 128, 256, 320, 384];

/// Rings and control words: first how many words are written (5 bytes each: which, value),
/// then what lies in the ring of requests.
///
/// The worker reads frames until nothing is left, looks up every place that they name, and
/// answers through the other ring, whose words are as hostile.
pub fn rings(data: &[u8]) {
    let Some((&count, mut rest)) = data.split_first() else {
        return;
    };
    let mut words = Vec::new();
    for _ in 0..count % 8 {
        let Some((entry, after)) = rest.split_first_chunk::<5>() else {
            return;
        };
        let [which, a, b, c, d] = *entry;
        words.push((
            usize::from(which) % WORDS.len(),
            u32::from_le_bytes([a, b, c, d]),
        ));
        rest = after;
    }
    let ring = &rest[..rest.len().min(RING as usize)];
    let Ok((region, memfd)) = Region::create(SIZE) else {
        return;
    };
    write(&region, 4096, ring);
    write(&region, WORDS[0], &(ring.len() as u32).to_le_bytes());
    for (which, value) in words {
        write(&region, WORDS[which], &value.to_le_bytes());
    }
    let Some((host, stream)) = accepted(&memfd) else {
        return;
    };
    let (Some(tx), Some(rx)) = (host.tx, host.rx) else {
        return;
    };
    let limits = crate::wire::limits(true);
    let stream = Arc::new(stream);
    let writer = FrameWriter::with_ring(Arc::clone(&stream), Some(tx));
    let mut reader = FrameReader::new(limits);
    reader.use_ring(rx);
    let mut buffer = FrameBuffer::new();
    let mut frames = 0;
    // What is between the client's tail and head is at most one ring of bytes.
    while let Ok(message) = reader.read(&stream) {
        frames += 1;
        assert!(frames <= RING / 40 + 1, "a ring holds no more headers");
        let Ok(args) = message.args(&limits) else {
            continue;
        };
        for arg in args.reads().chain(args.writes()) {
            let Some(place) = arg.shared else { continue };
            if let Ok(at) = host.memory.at(place, arg.size) {
                touch(at.as_ptr(), arg.size);
            }
        }
        let reply = buffer.error_reply(&message.header, 22, "no");
        let soon = Instant::now() + Duration::from_millis(50);
        let _ = writer.send(&reply, Some(soon));
    }
    for offset in [0, u64::from(ARENA), SIZE as u64, (1 << 48) - 8] {
        for len in [0, 8, 64, 8192, usize::MAX] {
            let place = Place { region: 0, offset };
            if let Ok(at) = host.memory.at(place, len) {
                touch(at.as_ptr(), len);
            }
        }
    }
    writer.rest();
    host.memory.rest();
}

/// Reads the ends of what the worker was told is there.
fn touch(at: *mut u8, len: usize) {
    assert!(len <= SIZE - ARENA as usize);
    if len > 0 {
        // SAFETY: the worker relies on these bytes being mapped; that is what is tried.
        unsafe { (at.read_volatile(), at.add(len - 1).read_volatile()) };
    }
}

fn write(region: &Region, at: usize, bytes: &[u8]) {
    if let Some(to) = region.at(at, bytes.len()) {
        // SAFETY: so many bytes are there, and nobody else has them yet.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), to.as_ptr(), bytes.len()) };
    }
}

/// Offers the memory as a client does; the client then hangs up.
fn accepted(memfd: &OwnedFd) -> Option<(host::Host, Stream)> {
    let (client, worker) = Stream::pair().ok()?;
    let client = UnixStream::from(OwnedFd::from(client));
    let flags = SocketFlags::CLOEXEC;
    let (_ours, theirs) =
        socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).ok()?;
    let share = Share {
        size: SIZE as u64,
        ring: RING,
        arena: ARENA,
    };
    let fds = [memfd.as_fd(), theirs.as_fd()];
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(&fds)) {
        return None;
    }
    let bytes = share.encode();
    sendmsg(
        &client,
        &[IoSlice::new(&bytes)],
        &mut control,
        SendFlags::empty(),
    )
    .ok()?;
    let end = Instant::now() + Duration::from_secs(5);
    let host = host::accept(&worker, 1 << 20, Mode::LowCpu, end)
        .ok()?
        .ok()?;
    client.shutdown(std::net::Shutdown::Both).ok()?;
    Some((host, worker))
}
