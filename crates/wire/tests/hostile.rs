//! Bytes from a peer that is broken or means harm.
#![allow(clippy::unwrap_used)]

mod common;
use common::{Counting, Random, bytes, counted, split};
use vaccel_abi::arg::{ARG_BUFFER, ARG_INT64};
use vaccel_wire::control::{ResourceBegin, ResourceData};
use vaccel_wire::{
    ArgReader, Args, FLAG_ALLOCATE, FLAG_DATA, FLAG_KEPT, FLAG_NULL, FrameBuffer, HEADER_LEN,
    Header, Hello, Kind, Limits, MAX_META, Progress, TENSOR, TensorMeta, Welcome, WireError,
};

#[global_allocator]
static COUNTING: Counting = Counting;

/// Reads everything that can be read from bytes that claim to be a frame.
fn read_frame(bytes: &[u8], limits: &Limits) -> Result<usize, WireError> {
    let Some((head, rest)) = bytes.split_first_chunk::<HEADER_LEN>() else {
        return Ok(0);
    };
    let header = Header::decode(head)?;
    header.check(limits)?;
    let Some((meta, rest)) = rest.split_at_checked(header.meta_len as usize) else {
        return Ok(0);
    };
    let payload = &rest[..rest.len().min(header.payload_len as usize)];
    let args = Args::decode(&header, meta, limits)?;
    let mut sum = 0;
    for arg in args.reads().chain(args.writes()) {
        assert!(arg.range.end as u64 <= header.payload_len);
        assert!(arg.range.len() == arg.size || !arg.has_data());
        sum += arg.bytes(payload).len();
        if let Some(tensor) = arg.tensor {
            sum += tensor.shape().1 + tensor.dims().count();
        }
    }
    assert_eq!(args.reads().len() + args.writes().len(), header.nr_args());
    if payload.len() as u64 == header.payload_len {
        sum += args.message(payload).len();
        if let Ok(begin) = ResourceBegin::decode(&args, payload) {
            sum += begin.blobs().count();
        }
        let _ = ResourceData::decode(&args, payload);
        let mut read = ArgReader::new(args.reads(), payload);
        while read.left() > 0 {
            let _ = read.clone().scalar::<i64>();
            let _ = read.clone().text();
            let _ = read.any();
        }
    }
    Ok(sum)
}

fn samples() -> Vec<Vec<u8>> {
    let data: Vec<u8> = (0..700).map(|i| i as u8).collect();
    let mut buffer = FrameBuffer::new();
    let mut out = Vec::new();
    let mut builder = buffer.request(259);
    builder.read_scalar(2_u32).read_scalar(1_u32);
    for name in [c"a", c"b/c"] {
        builder
            .read_scalar(0_u32)
            .read_c_str(name)
            .read_scalar(9_u64)
            .read_buffer(&data[..32]);
    }
    out.push(bytes(&builder.finish().unwrap()));
    let mut builder = buffer.request(130);
    let tensor = TensorMeta {
        dtype: 1,
        dims: &[2, 3, 4],
        name: Some(b"input"),
    };
    builder
        .read_scalar(1_i64)
        .read_tensor(&tensor, &data)
        .read_null(ARG_BUFFER)
        .write_tensor(&tensor, Some(50))
        .write_tensor(&tensor, None)
        .write_bytes(18, 0, &data[..100]);
    out.push(bytes(&builder.finish().unwrap()));
    let request = Header::bare(Kind::Request, 3, 4, 5);
    out.push(bytes(&request.error_reply(&mut buffer, 22, "it is wrong")));
    let mut builder = buffer.reply(&request);
    builder
        .write_scalar(5_u8)
        .write_bytes(26, 0, &data)
        .write_tensor_data(&tensor, &data[..64]);
    out.push(bytes(&builder.finish().unwrap()));
    out.push(bytes(&buffer.bare(Kind::Cancel, 6)));
    out
}

#[test]
fn a_frame_cut_at_any_byte_is_incomplete_or_an_error() {
    for frame in samples() {
        for n in 0..frame.len() {
            read_frame(&frame[..n], &Limits::default()).unwrap();
        }
        read_frame(&frame, &Limits::default()).unwrap();
        // A meta that is shorter than the header says must not be taken.
        let (header, meta, _) = split(&frame);
        for n in 0..meta.len() {
            Args::decode(&header, &meta[..n], &Limits::default()).unwrap_err();
            let shorter = Header {
                meta_len: n as u32,
                ..header
            };
            Args::decode(&shorter, &meta[..n], &Limits::default()).unwrap_err();
        }
    }
}

#[test]
fn openings_cut_at_any_byte_ask_for_more() {
    let mut hello = Hello::new(9);
    hello.token = Some(b"secret");
    let mut out = Vec::new();
    hello.encode(&mut out).unwrap();
    for n in 0..out.len() {
        let more = Hello::decode(&out[..n]).unwrap();
        assert!(
            matches!(more, Progress::More(m) if m > n && m <= out.len()),
            "{n}"
        );
    }
    let mut out = Vec::new();
    Welcome::refusal(13, "no").encode(&mut out);
    for n in 0..out.len() {
        let more = Welcome::decode(&out[..n]).unwrap();
        assert!(
            matches!(more, Progress::More(m) if m > n && m <= out.len()),
            "{n}"
        );
    }
}

#[test]
fn a_wrong_first_byte_is_told_at_once() {
    for n in 0..8 {
        let mut first = *b"vaccel/1";
        first[n] ^= 1;
        assert!(matches!(
            Hello::decode(&first[..=n]),
            Err(WireError::Magic(_))
        ));
        assert!(matches!(Welcome::decode(&first), Err(WireError::Magic(_))));
    }
    assert!(
        matches!(Hello::decode(b"GET / HTTP/1.1"), Err(WireError::Magic(m)) if &m == b"GET / HT")
    );
}

#[test]
fn mutated_bytes_never_panic_nor_allocate_much() {
    let limits = Limits::for_frame(1 << 16);
    let samples = samples();
    let mut openings = vec![Vec::new(), Vec::new()];
    let mut hello = Hello::new(9);
    hello.token = Some(b"secret");
    hello.client = Some("name");
    hello.encode(&mut openings[0]).unwrap();
    Welcome::refusal(13, "a text").encode(&mut openings[1]);
    let mut random = Random(2);
    let mut bytes = Vec::with_capacity(8192);
    let mut taken = 0_usize;
    for _ in 0..100_000 {
        let list = if random.below(4) == 0 {
            &openings
        } else {
            &samples
        };
        bytes.clear();
        bytes.extend_from_slice(&list[random.below(list.len())]);
        for _ in 0..1 + random.below(4) {
            // Most of what matters is in the first bytes.
            let span = if random.below(2) == 0 {
                bytes.len().min(200)
            } else {
                bytes.len()
            };
            let at = random.below(span.max(1));
            match random.below(6) {
                0 => bytes[at] ^= 1 << random.below(8),
                1 => bytes[at] = random.next() as u8,
                2 => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][random.below(5)],
                3 => bytes.truncate(at),
                4 => bytes.insert(at, random.next() as u8),
                _ => {
                    let n = random.below(8).min(bytes.len() - at);
                    bytes[at..at + n].fill(0xff);
                }
            }
            if bytes.is_empty() {
                bytes.push(1);
            }
        }
        let (sum, _, largest) = counted(|| {
            let _ = Hello::decode(&bytes);
            let _ = Welcome::decode(&bytes);
            read_frame(&bytes, &limits).unwrap_or(0)
        });
        taken += usize::from(sum > 0);
        assert!(
            largest <= 64 << 10,
            "{largest} bytes for a frame of {}",
            bytes.len()
        );
    }
    // The loop is no use when everything is refused at once.
    assert!(taken > 10_000, "{taken}");
}

#[test]
fn random_bytes_never_panic() {
    let mut random = Random(3);
    for _ in 0..20_000 {
        let n = random.below(400);
        let mut bytes = random.bytes(n);
        if n > HEADER_LEN && random.below(2) == 0 {
            // A header that passes, so that the rest is looked at.
            let nr = random.below((n - HEADER_LEN) / 24 + 1) as u16;
            let header = Header {
                nr_read: nr,
                meta_len: (n - HEADER_LEN) as u32,
                ..Header::bare(Kind::Request, 1, 2, 3)
            };
            bytes[..HEADER_LEN].copy_from_slice(&header.encode());
        }
        let _ = read_frame(&bytes, &Limits::default());
        let _ = Hello::decode(&bytes);
    }
}

#[test]
fn lengths_beyond_the_limits_are_refused_before_anything_is_read() {
    let limits = Limits {
        frame: 1000,
        meta: 500,
        outputs: 100,
        ..Limits::default()
    };
    let good = Header {
        meta_len: 48,
        nr_read: 2,
        ..Header::bare(Kind::Request, 0, 1, 0)
    };
    good.check(&limits).unwrap();
    for payload_len in [913, u64::MAX, u64::MAX - 88, 1 << 63] {
        let header = Header {
            payload_len,
            ..good
        };
        assert!(matches!(
            header.check(&limits),
            Err(WireError::TooLarge { limit: 1000, .. })
        ));
    }
    let header = Header {
        payload_len: 912,
        ..good
    };
    header.check(&limits).unwrap();
    let header = Header {
        meta_len: 501,
        ..good
    };
    assert!(matches!(
        header.check(&limits),
        Err(WireError::TooLarge { limit: 500, .. })
    ));
    let header = Header {
        nr_write: 1,
        ..good
    };
    assert!(matches!(
        header.check(&limits),
        Err(WireError::Length { needed: 72, .. })
    ));
    let header = Header {
        nr_read: 65535,
        nr_write: 65535,
        ..good
    };
    assert!(matches!(
        header.check(&limits),
        Err(WireError::Length { .. })
    ));
    let unlimited = Limits {
        frame: u64::MAX,
        meta: u32::MAX,
        outputs: u64::MAX,
        ..Limits::default()
    };
    let header = Header {
        meta_len: MAX_META + 1,
        ..good
    };
    assert!(header.check(&unlimited).is_err());
    let header = Header {
        payload_len: u64::MAX,
        ..good
    };
    assert_eq!(header.check(&unlimited), Err(WireError::Overflow));
    for kind in [Kind::Cancel, Kind::Ping, Kind::Pong] {
        let header = Header { kind, ..good };
        assert!(matches!(
            header.check(&unlimited),
            Err(WireError::Field { .. })
        ));
    }
}

#[test]
fn more_room_for_outputs_than_allowed_is_refused() {
    let limits = Limits {
        outputs: 100,
        ..Limits::default()
    };
    let mut buffer = FrameBuffer::new();
    for (sizes, fits) in [
        ([50, 50], true),
        ([51, 50], false),
        ([usize::MAX, usize::MAX], false),
    ] {
        let mut builder = buffer.request(0);
        for size in sizes {
            builder.write_capacity(ARG_BUFFER, 0, size);
        }
        let frame = bytes(&builder.finish().unwrap());
        let (header, meta, _) = split(&frame);
        assert_eq!(Args::decode(&header, meta, &limits).is_ok(), fits);
    }
}

/// A descriptor by hand.
fn descriptor(type_: u32, flags: u8, dtype: u16, word: u32, size: u64, offset: u64) -> Vec<u8> {
    let mut d = vec![type_ as u8, flags];
    d.extend_from_slice(&dtype.to_le_bytes());
    d.extend_from_slice(&word.to_le_bytes());
    d.extend_from_slice(&size.to_le_bytes());
    d.extend_from_slice(&offset.to_le_bytes());
    d
}

#[test]
fn descriptors_that_make_no_sense_are_refused() {
    let header = |kind, status: u32, read: u16, write: u16, meta: &[u8], payload_len| Header {
        word: status,
        nr_read: read,
        nr_write: write,
        meta_len: meta.len() as u32,
        payload_len,
        ..Header::bare(kind, 0, 1, 0)
    };
    let read = |d: Vec<u8>, payload| {
        Args::decode(
            &header(Kind::Request, 0, 1, 0, &d, payload),
            &d,
            &Limits::default(),
        )
        .map(drop)
    };
    read(descriptor(ARG_INT64, FLAG_DATA, 0, 0, 8, 0), 8).unwrap();
    read(descriptor(ARG_INT64, FLAG_DATA, 0, 0, 8, 0), 9).unwrap_err();
    read(descriptor(ARG_INT64, FLAG_DATA, 0, 0, 8, 0), 7).unwrap_err();
    read(descriptor(ARG_INT64, FLAG_DATA, 0, 0, 8, 64), 8).unwrap_err();
    read(descriptor(ARG_INT64, FLAG_DATA, 1, 0, 8, 0), 8).unwrap_err();
    read(descriptor(ARG_INT64, FLAG_NULL, 0, 0, 8, 0), 0).unwrap_err();
    read(descriptor(31, FLAG_NULL, 0, 0, 0, 0), 0).unwrap_err();
    read(descriptor(ARG_INT64, FLAG_DATA, 0, 0, u64::MAX, 0), 8).unwrap_err();
    for flags in [0, FLAG_ALLOCATE, FLAG_NULL | FLAG_DATA, 8, 0x80] {
        read(descriptor(ARG_INT64, flags, 0, 0, 0, 0), 0).unwrap_err();
    }
    let shape = |rank: u32, name: u32, rest: &[u8]| {
        let mut d = descriptor(TENSOR, FLAG_DATA, 1, rank | name << 16, 0, 0);
        d.extend_from_slice(rest);
        read(d, 0)
    };
    shape(2, 0xffff, &[0; 16]).unwrap();
    shape(1, 2, b"\0\0\0\0\0\0\0\0ab").unwrap();
    shape(2, 0xffff, &[0; 15]).unwrap_err();
    shape(2, 0xffff, &[0; 17]).unwrap_err();
    shape(9, 0xffff, &[0; 72]).unwrap_err();
    shape(0xffff, 0xffff, &[]).unwrap_err();
    shape(0, 0xfffe, b"ab").unwrap_err();
    shape(0, 2, b"a\0").unwrap_err();

    let write = |kind, status, d: Vec<u8>, payload| {
        Args::decode(
            &header(kind, status, 0, 1, &d, payload),
            &d,
            &Limits::default(),
        )
        .map(drop)
    };
    let one = |flags, size| descriptor(ARG_BUFFER, flags, 0, 0, size, 0);
    write(Kind::Request, 0, one(0, 9), 0).unwrap();
    write(Kind::Request, 0, one(FLAG_DATA, 9), 9).unwrap();
    write(Kind::Request, 0, one(FLAG_ALLOCATE, 0), 0).unwrap();
    write(Kind::Request, 0, one(FLAG_ALLOCATE, 1), 0).unwrap_err();
    write(Kind::Request, 0, one(FLAG_ALLOCATE | FLAG_DATA, 1), 1).unwrap_err();
    write(Kind::Reply, 0, one(FLAG_DATA, 9), 9).unwrap();
    write(Kind::Reply, 0, one(FLAG_NULL, 0), 0).unwrap();
    write(Kind::Reply, 0, one(0, 9), 0).unwrap_err();
    write(Kind::Reply, 34, one(0, 9), 0).unwrap();
    write(Kind::Reply, 0, one(FLAG_ALLOCATE, 0), 0).unwrap_err();

    // Kept tensors: no bytes travel, and only a tensor with a number counts.
    let kept = |type_, flags, size, number| descriptor(type_, flags, 1, 0xffff << 16, size, number);
    read(kept(TENSOR, FLAG_KEPT, 0, 7), 0).unwrap();
    read(kept(TENSOR, FLAG_KEPT, 0, 0), 0).unwrap_err();
    read(kept(TENSOR, FLAG_KEPT, 4, 7), 0).unwrap_err();
    read(kept(TENSOR, FLAG_KEPT, 4, 7), 4).unwrap_err();
    read(kept(TENSOR, FLAG_KEPT, 0, u64::MAX), 0).unwrap_err();
    read(kept(TENSOR, FLAG_KEPT | FLAG_DATA, 4, 7), 4).unwrap_err();
    read(kept(TENSOR, FLAG_KEPT | FLAG_NULL, 0, 7), 0).unwrap_err();
    read(descriptor(ARG_BUFFER, FLAG_KEPT, 0, 0, 0, 7), 0).unwrap_err();
    write(Kind::Request, 0, kept(TENSOR, FLAG_KEPT, 0, 0), 0).unwrap();
    write(Kind::Request, 0, kept(TENSOR, FLAG_KEPT, 0, 7), 0).unwrap_err();
    write(Kind::Request, 0, kept(TENSOR, FLAG_KEPT, 9, 0), 0).unwrap_err();
    write(Kind::Reply, 0, kept(TENSOR, FLAG_KEPT, 9, 7), 0).unwrap();
    write(Kind::Reply, 0, kept(TENSOR, FLAG_KEPT, 9, 0), 0).unwrap_err();
    write(Kind::Reply, 34, kept(TENSOR, FLAG_KEPT, 9, 7), 0).unwrap_err();
}

#[test]
fn messages_for_logs_have_no_control_characters() {
    let request = Header::bare(Kind::Request, 3, 4, 5);
    let mut buffer = FrameBuffer::new();
    let frame = bytes(&request.error_reply(&mut buffer, 5, "a\u{1b}[31mb\nc"));
    let (header, meta, payload) = split(&frame);
    let args = Args::decode(&header, meta, &Limits::default()).unwrap();
    assert_eq!(args.message(payload), "a\u{fffd}[31mb\nc");
}
