//! The native protocol: opening, headers, descriptors, managing operations.

use vaccel_wire::changes::ResourceChanges;
use vaccel_wire::control::{self, ResourceBegin, ResourceData};
use vaccel_wire::{
    ArgReader, Args, HEADER_LEN, Header, Hello, Kind, Limits, Progress, Share, Shared, Welcome,
};

/// Limits as an agent has them, with and without shared memory.
pub(crate) fn limits(shared: bool) -> Limits {
    Limits {
        shared,
        ..Limits::for_frame(1 << 20)
    }
}

/// HELLO, WELCOME, SHARE and SHARED; the first byte says which.
pub fn hello(data: &[u8]) {
    let Some((which, bytes)) = data.split_first() else {
        return;
    };
    match which % 4 {
        0 => {
            if let Ok(progress) = Hello::decode(bytes) {
                let Some((hello, used)) = done(progress, bytes) else {
                    return;
                };
                let mut again = Vec::new();
                hello.encode(&mut again).expect("what was read fits");
                let read = Hello::decode(&again).expect("what was written can be read");
                assert_eq!(read, Progress::Done(hello, again.len()));
                assert!(
                    again.len() <= used,
                    "unknown tags are dropped, none is added"
                );
                let _ = hello.version();
            }
        }
        1 => {
            if let Ok(progress) = Welcome::decode(bytes) {
                let Some((welcome, used)) = done(progress, bytes) else {
                    return;
                };
                let mut again = Vec::new();
                welcome.encode(&mut again);
                let read = Welcome::decode(&again).expect("what was written can be read");
                assert_eq!(read, Progress::Done(welcome, used));
            }
        }
        2 => {
            if let Some(head) = bytes.first_chunk()
                && let Ok(share) = Share::decode(head)
            {
                assert_eq!(Share::decode(&share.encode()).ok(), Some(share));
                assert!(u64::from(share.arena) <= share.size);
            }
        }
        _ => {
            if let Ok(progress) = Shared::decode(bytes) {
                let Some((shared, used)) = done(progress, bytes) else {
                    return;
                };
                let mut again = Vec::new();
                shared.encode(&mut again);
                assert_eq!(
                    Shared::decode(&again).ok(),
                    Some(Progress::Done(shared, used))
                );
            }
        }
    }
}

/// The message, when it is complete; a wish for more must be for more than there is.
fn done<T>(progress: Progress<T>, bytes: &[u8]) -> Option<(T, usize)> {
    match progress {
        Progress::More(needed) => {
            assert!(needed > bytes.len() && needed <= 8 << 10, "{needed} bytes");
            None
        }
        Progress::Done(message, used) => {
            assert!(used <= bytes.len());
            Some((message, used))
        }
    }
}

/// Whole frames, one after the other, as they lie in a stream.
pub fn frames(data: &[u8]) {
    let Some((first, mut rest)) = data.split_first() else {
        return;
    };
    let limits = limits(first & 1 == 1);
    while let Some((head, after)) = rest.split_first_chunk::<HEADER_LEN>() {
        let Ok(header) = Header::decode(head) else {
            return;
        };
        let again = Header::decode(&header.encode()).expect("what was written can be read");
        assert_eq!(again, header);
        if header.check(&limits).is_err() {
            return;
        }
        assert!(header.frame_len() <= limits.frame);
        let Some((meta, after)) = after.split_at_checked(header.meta_len as usize) else {
            return;
        };
        let there = usize::try_from(header.payload_len)
            .ok()
            .and_then(|len| after.split_at_checked(len));
        let Some((payload, after)) = there else {
            return;
        };
        look(&header, meta, payload, &limits);
        rest = after;
    }
}

/// Descriptors: the header is made to fit the bytes, so that they are what is looked at.
pub fn args(data: &[u8]) {
    let Some((&[flags, reads, writes, operation], rest)) = data.split_first_chunk() else {
        return;
    };
    let mut header = Header::bare(Kind::Request, 256 + u16::from(operation % 32), 1, 1);
    if flags & 2 != 0 {
        header.kind = Kind::Reply;
        header.word = u32::from(flags >> 4);
    }
    header.nr_read = u16::from(reads % 16);
    header.nr_write = u16::from(writes % 8);
    let split = rest.len() * usize::from(flags >> 2 & 3) / 3;
    // All of it may be meta; the payload is as long as the descriptors ask for, if it can be.
    let (meta, payload) = rest.split_at(rest.len() - split);
    header.meta_len = meta.len() as u32;
    let limits = limits(flags & 1 != 0);
    for len in [payload.len() as u64, wanted(&header, meta)] {
        header.payload_len = len;
        if len <= 1 << 16 {
            let mut whole = payload.to_vec();
            whole.resize(len as usize, 0);
            look(&header, meta, &whole, &limits);
        }
    }
}

/// The bytes of payload that the read descriptors ask for, about.
fn wanted(header: &Header, meta: &[u8]) -> u64 {
    let mut layout = vaccel_wire::Layout::new();
    let table = meta.chunks_exact(vaccel_wire::DESCRIPTOR_LEN);
    for descriptor in table.take(header.nr_args()) {
        let size = descriptor[8..16].try_into().map_or(0, u64::from_le_bytes);
        let there = descriptor[1] & vaccel_wire::FLAG_DATA != 0
            && descriptor[1] & vaccel_wire::FLAG_SHARED == 0;
        if there && layout.place(size).is_err() {
            return 0;
        }
    }
    layout.end() as u64
}

/// Looks at everything that a frame has, as the agent and the client do.
pub(crate) fn look(header: &Header, meta: &[u8], payload: &[u8], limits: &Limits) {
    let Ok(args) = Args::decode(header, meta, limits) else {
        return;
    };
    let (mut end, mut capacity, mut shared) = (0, 0_u64, 0_u64);
    for arg in args.reads().chain(args.writes()) {
        assert!(arg.range.end <= payload.len(), "{arg:?}");
        if arg.has_data() && arg.size > 0 {
            assert!(arg.range.start >= end, "ranges overlap: {arg:?}");
            end = arg.range.end;
        }
        assert_eq!(arg.bytes(payload).len(), arg.range.len());
        let _ = arg.type_name();
        if let Some(tensor) = arg.tensor {
            assert!(tensor.rank() <= vaccel_wire::MAX_RANK);
            let (shape, rank) = tensor.shape();
            assert!(tensor.dims().eq(shape[..rank].iter().copied()));
        }
    }
    for arg in args.writes() {
        capacity = capacity.saturating_add(arg.size as u64);
    }
    for arg in args.reads().filter(|arg| arg.shared.is_some()) {
        shared = shared.saturating_add(arg.size as u64);
    }
    assert_eq!((args.capacity(), args.shared()), (capacity, shared));
    assert!(args.message(payload).len() <= 3 * 4096);
    let mut read = ArgReader::new(args.reads(), payload);
    while read.left() > 0 {
        let mut other = read.clone();
        let _ = (other.scalar::<i64>(), other.text(), other.buffer());
        if read.any().is_err() {
            break;
        }
    }
    let _ = control::only::<i64>(&args, payload);
    if let Ok(begin) = ResourceBegin::decode(&args, payload) {
        assert_eq!(begin.blobs().count(), begin.nr_blobs());
        for blob in begin.blobs() {
            let name = blob.name.to_bytes();
            assert!(!name.starts_with(b"/"));
            assert!(name.split(|b| *b == b'/').all(|part| part != b".."));
        }
    }
    if let Ok(data) = ResourceData::decode(&args, payload) {
        assert!(data.bytes.len() <= control::MAX_PIECE);
    }
    let _ = ResourceChanges::decode(&args, payload);
}
