//! The bytes of messages, written down once: they must never change.
#![allow(clippy::unwrap_used)]

mod common;
use common::bytes;
use vaccel_abi::arg::{ARG_BUFFER, ARG_FLOAT32_ARRAY, ARG_UCHAR_ARRAY};
use vaccel_abi::error::{EINVAL, ERANGE};
use vaccel_wire::{FrameBuffer, Header, Hello, Kind, TensorMeta, Welcome};

/// Reads hexadecimal digits; everything else is for the eye.
fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .lines()
        .map(|l| l.split('#').next().unwrap())
        .flat_map(|l| l.bytes().filter(u8::is_ascii_hexdigit))
        .collect();
    digits
        .chunks(2)
        .map(|p| u8::from_str_radix(std::str::from_utf8(p).unwrap(), 16).unwrap())
        .collect()
}

#[test]
fn hello_has_these_bytes() {
    let mut hello = Hello::new(0x1234_5678);
    hello.features = 1;
    hello.token = Some(b"key");
    hello.client = Some("vm7");
    let mut out = Vec::new();
    hello.encode(&mut out).unwrap();
    let expected = hex("
        76 61 63 63 65 6c 2f 31   # vaccel/1
        01 00 01 00               # versions
        01 00 00 00               # features
        78 56 34 12 00 00 00 00   # largest frame
        0e 00 00 00 00 00 00 00   # length of the extra
        01 00 03 00 6b 65 79      # token
        02 00 03 00 76 6d 37      # name
    ");
    assert_eq!(out, expected);
}

#[test]
fn welcome_has_these_bytes() {
    let welcome = Welcome {
        status: 0,
        version: 1,
        in_flight: 64,
        features: 0,
        default_deadline_ms: 60_000,
        max_frame: 1 << 30,
        connection: 7,
        text: "hi",
    };
    let mut out = Vec::new();
    welcome.encode(&mut out);
    let expected = hex("
        76 61 63 63 65 6c 2f 31
        00 00 00 00               # status
        01 00 40 00               # version, requests in flight
        00 00 00 00 60 ea 00 00   # features, deadline
        00 00 00 40 00 00 00 00   # largest frame
        07 00 00 00 00 00 00 00   # connection
        02 00 00 00 00 00 00 00   # length of the text
        68 69
    ");
    assert_eq!(out, expected);
}

#[test]
fn a_request_has_these_bytes() {
    let image = [0xaa; 70];
    let mut buffer = FrameBuffer::new();
    let mut builder = buffer.request(3);
    builder
        .read_scalar(5_u8)
        .read_text("ab")
        .read_buffer(&image)
        .read_null(ARG_BUFFER)
        .write_capacity(ARG_UCHAR_ARRAY, 0, 100)
        .write_allocate(ARG_BUFFER)
        .write_null(ARG_FLOAT32_ARRAY);
    let mut frame = builder.finish().unwrap();
    frame.address(0x0102, 9, 250);
    let mut expected = hex("
        01 00 03 00 fa 00 00 00   # REQUEST, operation 3, 250 ms
        02 01 00 00 00 00 00 00   # number
        09 00 00 00 00 00 00 00   # session
        04 00 03 00               # four read, three write
        a8 00 00 00               # meta: 7 descriptors
        86 00 00 00 00 00 00 00   # payload: 64 + 70
        09 02 0000 00000000 0100000000000000 0000000000000000
        1b 02 0000 00000000 0300000000000000 0000000000000000
        1c 02 0000 00000000 4600000000000000 0000000000000000
        1c 01 0000 00000000 0000000000000000 0000000000000000
        14 00 0000 00000000 6400000000000000 0000000000000000
        1c 04 0000 00000000 0000000000000000 0000000000000000
        12 01 0000 00000000 0000000000000000 0000000000000000
        05 00000000000000         # the u8, gap to 8
        61 62 00 0000000000
    ");
    // The type of an UCHAR_ARRAY is 26.
    expected[40 + 4 * 24] = 26;
    expected.resize(40 + 7 * 24 + 64, 0);
    expected.extend_from_slice(&image);
    assert_eq!(bytes(&frame), expected);
}

#[test]
fn a_request_with_tensors_has_these_bytes() {
    let data = [1, 2, 3, 4];
    let mut buffer = FrameBuffer::new();
    let mut builder = buffer.request(130);
    builder
        .read_scalar(2_i64)
        .read_tensor(
            &TensorMeta {
                dtype: 6,
                dims: &[1, 4],
                name: Some(b"in"),
            },
            &data,
        )
        .write_tensor(
            &TensorMeta {
                dtype: 0,
                dims: &[],
                name: None,
            },
            None,
        );
    let frame = builder.finish().unwrap();
    let expected = hex("
        01 00 82 00 00 00 00 00
        00 00 00 00 00 00 00 00
        00 00 00 00 00 00 00 00
        02 00 01 00
        5a 00 00 00               # 3 descriptors, 16 + 2 of shape and name
        0c 00 00 00 00 00 00 00
        07 02 0000 00000000 0800000000000000 0000000000000000
        1e 02 0600 0200 0200 0400000000000000 0000000000000000
        1e 04 0000 0000 ffff 0000000000000000 0000000000000000
        01 00 00 00 00 00 00 00 04 00 00 00 00 00 00 00
        69 6e
        02 00 00 00 00 00 00 00   # model 2
        01 02 03 04
    ");
    assert_eq!(bytes(&frame), expected);
}

#[test]
fn replies_have_these_bytes() {
    let request = Header::bare(Kind::Request, 22, 3, 4);
    let mut buffer = FrameBuffer::new();
    let mut builder = buffer.reply(&request);
    builder.write_scalar(1.0_f64);
    let expected = hex("
        02 00 16 00 00 00 00 00
        03 00 00 00 00 00 00 00
        04 00 00 00 00 00 00 00
        00 00 01 00 18 00 00 00
        08 00 00 00 00 00 00 00
        13 02 0000 00000000 0800000000000000 0000000000000000
        00 00 00 00 00 00 f0 3f
    ");
    assert_eq!(bytes(&builder.finish().unwrap()), expected);

    let expected = hex("
        02 00 16 00 16 00 00 00   # status 22
        03 00 00 00 00 00 00 00
        04 00 00 00 00 00 00 00
        01 00 00 00 18 00 00 00
        03 00 00 00 00 00 00 00
        1b 02 0000 00000000 0300000000000000 0000000000000000
        6e 6f 00
    ");
    let frame = request.error_reply(&mut buffer, EINVAL, "no");
    assert_eq!(bytes(&frame), expected);

    let mut builder = buffer.error_reply_with(&request, ERANGE, "");
    builder.write_capacity(ARG_FLOAT32_ARRAY, 0, 256);
    let expected = hex("
        02 00 16 00 22 00 00 00
        03 00 00 00 00 00 00 00
        04 00 00 00 00 00 00 00
        01 00 01 00 30 00 00 00
        01 00 00 00 00 00 00 00
        1b 02 0000 00000000 0100000000000000 0000000000000000
        12 00 0000 00000000 0001000000000000 0000000000000000
        00
    ");
    assert_eq!(bytes(&builder.finish().unwrap()), expected);
}

#[test]
fn bare_frames_have_these_bytes() {
    let mut buffer = FrameBuffer::new();
    for (kind, number) in [(Kind::Cancel, 3), (Kind::Ping, 4), (Kind::Pong, 5)] {
        let mut expected = vec![0; 40];
        expected[0] = number;
        expected[8] = 77;
        assert_eq!(bytes(&buffer.bare(kind, 77)), expected);
    }
}
