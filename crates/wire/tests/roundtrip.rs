//! What is written is read back.
#![allow(clippy::unwrap_used)]

mod common;
use common::{Counting, Random, bytes, counted, split};
use std::ffi::{CStr, CString};
use vaccel_abi::arg::{ARG_BUFFER, ARG_CUSTOM, ARG_MAX, ARG_UCHAR_ARRAY};
use vaccel_wire::control::{BlobHead, RESOURCE_BEGIN, ResourceBegin, ResourceData};
use vaccel_wire::{
    ALIGN, ArgReader, Args, FrameBuffer, Hello, Kind, Limits, MAX_EXTRA, Progress, SMALL_ALIGN,
    TENSOR, TensorMeta, Welcome, WireError,
};

#[global_allocator]
static COUNTING: Counting = Counting;

#[derive(Debug, Clone)]
enum Sent {
    Bytes(u32, u32, Vec<u8>),
    Null(u32),
    Capacity(u32, usize),
    Allocate(u32),
    Tensor(u16, Vec<i64>, Option<Vec<u8>>, Option<Vec<u8>>, usize),
}

fn size(random: &mut Random) -> usize {
    match random.below(4) {
        0 => 0,
        1 => random.below(10),
        2 => random.below(700),
        _ => random.below(5000),
    }
}

fn make(random: &mut Random, write: bool) -> Sent {
    let type_ = random.below(ARG_MAX as usize) as u32;
    match random.below(if write { 6 } else { 4 }) {
        0 => Sent::Null(type_),
        1 => {
            let dims = (0..random.below(9)).map(|_| random.next() as i64).collect();
            let name = (random.below(2) == 0).then(|| vec![b'n'; random.below(40)]);
            let n = size(random);
            let data = (!write).then(|| random.bytes(n));
            Sent::Tensor(random.next() as u16, dims, name, data, n)
        }
        2 | 3 => {
            let n = size(random);
            Sent::Bytes(type_, random.next() as u32, random.bytes(n))
        }
        4 => Sent::Capacity(type_, random.below(10_000)),
        _ => Sent::Allocate(type_),
    }
}

#[test]
fn random_requests_come_back_as_they_were() {
    let mut random = Random(1);
    let mut buffer = FrameBuffer::new();
    for round in 0..3000 {
        let (nr_read, nr_write) = (random.below(12), random.below(12));
        let reads: Vec<Sent> = (0..nr_read).map(|_| make(&mut random, false)).collect();
        let writes: Vec<Sent> = (0..nr_write).map(|_| make(&mut random, true)).collect();
        let mut builder = buffer.request(round);
        for sent in &reads {
            match sent {
                Sent::Bytes(t, c, b) => builder.read_bytes(*t, *c, b),
                Sent::Null(t) => builder.read_null(*t),
                Sent::Tensor(dtype, dims, name, data, _) => builder.read_tensor(
                    &TensorMeta {
                        dtype: *dtype,
                        dims,
                        name: name.as_deref(),
                    },
                    data.as_ref().unwrap(),
                ),
                other => panic!("{other:?}"),
            };
        }
        for sent in &writes {
            match sent {
                Sent::Bytes(t, c, b) => builder.write_bytes(*t, *c, b),
                Sent::Null(t) => builder.write_null(*t),
                Sent::Capacity(t, n) => builder.write_capacity(*t, 0, *n),
                Sent::Allocate(t) => builder.write_allocate(*t),
                Sent::Tensor(dtype, dims, name, _, n) => builder.write_tensor(
                    &TensorMeta {
                        dtype: *dtype,
                        dims,
                        name: name.as_deref(),
                    },
                    (n % 2 == 0).then_some(*n),
                ),
            };
        }
        let mut frame = builder.finish().unwrap();
        frame.address(random.next(), -5, 17);
        let number = frame.request();
        let frame = bytes(&frame);
        let (header, meta, payload) = split(&frame);
        assert_eq!(header.kind, Kind::Request);
        assert_eq!(
            (
                header.operation,
                header.request,
                header.session,
                header.deadline_ms()
            ),
            (round, number, -5, 17)
        );
        header.check(&Limits::default()).unwrap();
        let args = Args::decode(&header, meta, &Limits::default()).unwrap();
        assert_eq!(
            (args.reads().len(), args.writes().len()),
            (nr_read, nr_write)
        );

        let mut end = 0;
        for (sent, got) in reads
            .iter()
            .chain(&writes)
            .zip(args.reads().chain(args.writes()))
        {
            if got.has_data() && got.size > 0 {
                let align = if got.size < ALIGN { SMALL_ALIGN } else { ALIGN };
                assert_eq!(got.range.start % align, 0);
                assert!(
                    got.range.start >= end && payload[end..got.range.start].iter().all(|&b| b == 0)
                );
                end = got.range.end;
            }
            match sent {
                Sent::Bytes(t, c, b) => {
                    assert_eq!((got.type_, got.custom_type), (*t, *c));
                    assert_eq!(got.bytes(payload), b);
                    assert!(got.has_data() && !got.is_null());
                }
                Sent::Null(t) => assert!(got.is_null() && got.type_ == *t && got.size == 0),
                Sent::Capacity(t, n) => {
                    assert!(got.type_ == *t && got.size == *n && got.flags == 0);
                }
                Sent::Allocate(t) => assert!(got.is_allocate() && got.type_ == *t),
                Sent::Tensor(dtype, dims, name, data, n) => {
                    assert_eq!(got.type_, TENSOR);
                    let tensor = got.tensor.unwrap();
                    assert_eq!(tensor.dtype, *dtype);
                    assert_eq!(&tensor.dims().collect::<Vec<_>>(), dims);
                    assert_eq!(tensor.shape().1, dims.len());
                    assert_eq!(tensor.name, name.as_deref());
                    match data {
                        Some(data) => assert_eq!(got.bytes(payload), data),
                        None if n % 2 == 0 => assert_eq!(got.size, *n),
                        None => assert!(got.is_allocate()),
                    }
                }
            }
        }
        assert_eq!(end, payload.len());
    }
}

#[test]
fn openings_come_back_as_they_were() {
    let mut hello = Hello::new(u64::MAX);
    hello.token = Some(&[0, 255, 7]);
    hello.client = Some("gu\u{e9}st");
    let mut out = Vec::new();
    hello.encode(&mut out).unwrap();
    let length = out.len();
    out.extend_from_slice(b"more");
    assert_eq!(Hello::decode(&out).unwrap(), Progress::Done(hello, length));

    let welcome = Welcome {
        status: 13,
        text: "token refused",
        ..Welcome::refusal(0, "")
    };
    let mut out = Vec::new();
    welcome.encode(&mut out);
    assert_eq!(
        Welcome::decode(&out).unwrap(),
        Progress::Done(welcome, out.len())
    );
}

#[test]
fn a_token_that_is_too_long_is_refused_and_nothing_is_written() {
    let token = vec![b'x'; MAX_EXTRA];
    let mut hello = Hello::new(0);
    hello.token = Some(&token);
    let mut out = Vec::new();
    assert!(matches!(
        hello.encode(&mut out),
        Err(WireError::TooLarge { .. })
    ));
    assert!(out.is_empty());
    hello.token = Some(&token[4..]);
    hello.encode(&mut out).unwrap();
    assert!(matches!(Hello::decode(&out).unwrap(), Progress::Done(h, _) if h == hello));
}

#[test]
fn long_texts_are_cut_at_a_character() {
    let text = "\u{e9}".repeat(3000);
    let mut out = Vec::new();
    Welcome::refusal(1, &text).encode(&mut out);
    let Progress::Done(welcome, _) = Welcome::decode(&out).unwrap() else {
        panic!("incomplete");
    };
    assert_eq!(welcome.text.len(), 4096);

    let request = vaccel_wire::Header::bare(Kind::Request, 1, 2, 3);
    let mut buffer = FrameBuffer::new();
    let text = "\u{e9}x".repeat(3000);
    let frame = bytes(&request.error_reply(&mut buffer, 0, &text));
    let (header, meta, payload) = split(&frame);
    let args = Args::decode(&header, meta, &Limits::default()).unwrap();
    assert_ne!(header.status(), 0);
    assert!(args.message(payload) == text[..4095]);
}

#[test]
fn versions_are_agreed_on() {
    let mut hello = Hello::new(0);
    assert_eq!(hello.version(), Ok(1));
    hello.highest = 9;
    assert_eq!(hello.version(), Ok(1));
    hello.lowest = 2;
    let message = hello.version().unwrap_err().to_string();
    assert!(message.contains("2 to 9"), "{message}");
}

#[test]
fn resources_come_back_as_they_were() {
    let names: Vec<CString> = (0..5)
        .map(|i| CString::new(format!("d/{i}.pb")).unwrap())
        .collect();
    let mut buffer = FrameBuffer::new();
    let mut builder = buffer.request(RESOURCE_BEGIN);
    builder.read_scalar(2_u32).read_scalar(1_u32);
    let blob = |i: usize| BlobHead {
        type_: 0,
        name: &names[i],
        size: 1 << (i * 10),
        hash: if i.is_multiple_of(2) { &[7; 32] } else { &[] },
    };
    for i in 0..5 {
        blob(i).encode(&mut builder);
    }
    let frame = bytes(&builder.finish().unwrap());
    let (header, meta, payload) = split(&frame);
    let args = Args::decode(&header, meta, &Limits::default()).unwrap();
    let begin = ResourceBegin::decode(&args, payload).unwrap();
    assert_eq!((begin.type_, begin.path_type, begin.nr_blobs()), (2, 1, 5));
    for (i, got) in begin.blobs().enumerate() {
        assert_eq!(got, blob(i));
    }
    assert_eq!(begin.blobs().count(), 5);

    let piece = [9; 1000];
    let data = ResourceData {
        resource: 3,
        blob: 4,
        offset: 1 << 40,
        bytes: &piece,
    };
    let mut builder = buffer.request(260);
    data.encode(&mut builder);
    let frame = bytes(&builder.finish().unwrap());
    let (header, meta, payload) = split(&frame);
    let args = Args::decode(&header, meta, &Limits::default()).unwrap();
    assert_eq!(ResourceData::decode(&args, payload).unwrap(), data);
}

#[test]
fn a_resource_with_a_name_that_leaves_its_folder_is_refused() {
    for (name, hash) in [(c"../x", 0), (c"/x", 0), (c"x", 31)] {
        let hash = vec![0; hash];
        let mut buffer = FrameBuffer::new();
        let mut builder = buffer.request(RESOURCE_BEGIN);
        builder.read_scalar(2_u32).read_scalar(1_u32);
        BlobHead {
            type_: 0,
            name,
            size: 1,
            hash: &hash,
        }
        .encode(&mut builder);
        let frame = bytes(&builder.finish().unwrap());
        let (header, meta, payload) = split(&frame);
        let args = Args::decode(&header, meta, &Limits::default()).unwrap();
        ResourceBegin::decode(&args, payload).unwrap_err();
    }
}

#[test]
fn typed_reading_tells_what_is_wrong() {
    let mut buffer = FrameBuffer::new();
    let mut builder = buffer.request(0);
    builder
        .read_scalar(1_u32)
        .read_bytes(27, 0, b"no zero")
        .read_bytes(27, 0, b"two\0zeros\0")
        .read_bytes(7, 0, b"short")
        .read_null(ARG_BUFFER)
        .read_c_str(c"fine");
    let frame = bytes(&builder.finish().unwrap());
    let (header, meta, payload) = split(&frame);
    let args = Args::decode(&header, meta, &Limits::default()).unwrap();
    let mut read = ArgReader::new(args.reads(), payload);
    let error = read.scalar::<i32>().unwrap_err();
    assert_eq!(
        error.to_string(),
        "argument 0 must be VACCEL_ARG_INT32, not VACCEL_ARG_UINT32 of 4 bytes"
    );
    assert_eq!(read.text(), Err(WireError::Text(1)));
    assert_eq!(read.text(), Err(WireError::Text(2)));
    assert!(matches!(
        read.scalar::<i64>(),
        Err(WireError::Type {
            index: 3,
            size: 5,
            ..
        })
    ));
    assert!(matches!(
        read.buffer(),
        Err(WireError::Type { index: 4, .. })
    ));
    assert_eq!(read.clone().finish(), Err(WireError::Extra(5)));
    assert_eq!(read.text().map(CStr::to_bytes), Ok(&b"fine"[..]));
    assert_eq!(read.scalar::<i64>(), Err(WireError::Missing(6)));
    read.finish().unwrap();
}

#[test]
fn builders_refuse_what_a_frame_cannot_say() {
    let mut buffer = FrameBuffer::new();
    let mut builder = buffer.request(0);
    builder.write_null(1).read_null(1);
    assert_eq!(builder.finish().unwrap_err(), WireError::Order);

    let mut builder = buffer.request(0);
    builder.read_bytes(30, 0, b"");
    assert!(matches!(builder.finish(), Err(WireError::Field { .. })));

    for (dims, name) in [
        (vec![1; 9], vec![]),
        (vec![], vec![b'x'; 0xffff]),
        (vec![], vec![0]),
    ] {
        let mut builder = buffer.request(0);
        let meta = TensorMeta {
            dtype: 1,
            dims: &dims,
            name: Some(&name),
        };
        builder.read_tensor(&meta, b"").read_null(1);
        assert_eq!(builder.finish().unwrap_err(), WireError::Tensor);
    }

    let mut builder = buffer.request(0);
    for _ in 0..=65535 {
        builder.read_null(1);
    }
    assert_eq!(builder.finish().unwrap_err(), WireError::TooManyArguments);

    let name = vec![b'n'; 0xfffe];
    let mut builder = buffer.request(0);
    for _ in 0..257 {
        let meta = TensorMeta {
            dtype: 1,
            dims: &[],
            name: Some(&name),
        };
        builder.write_tensor(&meta, None);
    }
    assert!(matches!(builder.finish(), Err(WireError::TooLarge { .. })));

    // The buffer is as good as new after all that.
    let mut builder = buffer.request(5);
    builder.read_scalar(1_u8);
    assert_eq!(bytes(&builder.finish().unwrap()).len(), 40 + 24 + 1);
}

#[test]
fn large_data_is_not_copied_and_small_frames_are_one_piece() {
    let large = vec![1; 100_000];
    let mut buffer = FrameBuffer::new();
    let mut builder = buffer.request(0);
    builder
        .read_scalar(1_i64)
        .read_buffer(&large)
        .read_scalar(2_i64)
        .read_buffer(&large);
    let frame = builder.finish().unwrap();
    let lent = frame
        .slices()
        .filter(|s| s.as_ptr() == large.as_ptr())
        .count();
    assert_eq!((lent, frame.slices().count()), (2, 4));

    let mut builder = buffer.request(0);
    builder
        .read_scalar(1_i64)
        .read_text("x")
        .read_buffer(&large[..512]);
    assert_eq!(builder.finish().unwrap().slices().count(), 1);
}

#[test]
fn building_and_reading_allocate_nothing_once_the_buffer_has_grown() {
    let a = vec![0; 4096];
    let mut buffer = FrameBuffer::new();
    let mut out = Vec::with_capacity(32 << 10);
    let mut call = || {
        let mut builder = buffer.request(17);
        for i in 0..8_i64 {
            builder.read_scalar(i);
        }
        builder
            .read_text("symbol")
            .read_buffer(&a)
            .read_bytes(ARG_CUSTOM, 3, &a)
            .read_tensor(
                &TensorMeta {
                    dtype: 1,
                    dims: &[1, 2],
                    name: Some(b"x"),
                },
                &a,
            )
            .write_capacity(ARG_UCHAR_ARRAY, 0, 100);
        let mut frame = builder.finish().unwrap();
        frame.address(1, 2, 3);
        out.clear();
        for slice in frame.slices() {
            out.extend_from_slice(slice);
        }
        let (header, meta, payload) = split(&out);
        let args = Args::decode(&header, meta, &Limits::default()).unwrap();
        let mut read = ArgReader::new(args.reads(), payload);
        (0..8).map(|_| read.scalar::<i64>().unwrap()).sum::<i64>() + args.writes().count() as i64
    };
    assert_eq!(call(), 29);
    let (sum, count, _) = counted(call);
    assert_eq!((sum, count), (29, 0));
}

#[test]
fn numbers_of_kept_tensors_go_both_ways() {
    let mut buffer = FrameBuffer::new();
    let meta = TensorMeta {
        dtype: 1,
        dims: &[2, 3],
        name: Some(b"x"),
    };
    let mut builder = buffer.request(130);
    builder.read_tensor_kept(&meta, 17).write_tensor_keep(&meta);
    let frame = bytes(&builder.finish().unwrap());
    let (header, at, payload) = split(&frame);
    let args = Args::decode(&header, at, &Limits::default()).unwrap();
    let (input, output) = (args.reads().next().unwrap(), args.writes().next().unwrap());
    assert_eq!((input.kept, output.kept), (Some(17), Some(0)));
    assert_eq!(input.tensor.unwrap().name, Some(&b"x"[..]));
    assert!(!input.has_bytes() && payload.is_empty());

    let request = header;
    let mut builder = buffer.reply(&request);
    builder
        .write_tensor_kept(&meta, 24, i64::MAX)
        .write_tensor_copy(&meta, &[7; 24]);
    let frame = bytes(&builder.finish().unwrap());
    let (header, at, payload) = split(&frame);
    let args = Args::decode(&header, at, &Limits::default()).unwrap();
    let all: Vec<_> = args.writes().collect();
    assert_eq!((all[0].kept, all[0].size), (Some(i64::MAX), 24));
    assert!(!all[0].has_bytes());
    assert_eq!((all[1].kept, all[1].bytes(payload)), (None, &[7; 24][..]));
}
