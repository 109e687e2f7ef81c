//! Real messages to begin with: the seeds of the corpora, made from the code that writes them.

use std::path::Path;
use vaccel_compat::message::{
    Arg, CreateSessionRequest, GenopRequest, Tensor, TorchModelRunRequest, TorchModelRunResponse,
};
use vaccel_compat::{Kind, Message, Method, Request, Response, SYNC_SERVICE, encode_frame};
use vaccel_wire::{
    Frame, FrameBuffer, HEADER_LEN, Hello, Share, Shared, TensorMeta, Welcome, control,
};

/// A seed: its target, its name and its bytes.
pub type Seed = (&'static str, &'static str, Vec<u8>);

/// All seeds that follow from code. Those of `model_toml` and `image` are files of the repository
/// beside them.
///
/// # Panics
/// When a message cannot be written, which is a fault of the codec.
pub fn all() -> Vec<Seed> {
    let mut seeds = Vec::new();
    openings(&mut seeds);
    native(&mut seeds);
    compatible(&mut seeds);
    generic(&mut seeds);
    texts(&mut seeds);
    files(&mut seeds);
    seeds
}

fn with(first: u8, bytes: &[u8]) -> Vec<u8> {
    [&[first], bytes].concat()
}

fn openings(seeds: &mut Vec<Seed>) {
    let mut bytes = Vec::new();
    let mut hello = Hello::new(1 << 20);
    (hello.token, hello.client) = (Some(&b"secret"[..]), Some("seed"));
    hello.encode(&mut bytes).expect("it is short");
    seeds.push(("hello", "hello", with(0, &bytes)));
    bytes.clear();
    let mut welcome = Welcome::refusal(5, "no");
    welcome.encode(&mut bytes);
    seeds.push(("hello", "refusal", with(1, &bytes)));
    seeds.push(("client", "refusal", with(1, &bytes)));
    bytes.clear();
    (welcome.status, welcome.version, welcome.in_flight) = (0, vaccel_wire::VERSION, 8);
    welcome.max_frame = 1 << 20;
    welcome.encode(&mut bytes);
    seeds.push(("hello", "welcome", with(1, &bytes)));
    seeds.push(("client", "welcome", with(1, &bytes)));
    let share = Share {
        size: 1 << 20,
        ring: 4096,
        arena: 3 * 4096,
    };
    seeds.push(("hello", "share", with(2, &share.encode())));
    bytes.clear();
    let shared = Shared {
        status: 28,
        limit: 0,
        text: "no room".into(),
    };
    shared.encode(&mut bytes);
    seeds.push(("hello", "shared", with(3, &bytes)));
}

fn bytes_of(mut frame: Frame<'_, '_>) -> Vec<u8> {
    if frame.request() == 0 {
        frame.address(1, 1, 0);
    }
    frame.slices().flatten().copied().collect()
}

/// Requests as clients make them.
fn requests() -> Vec<(&'static str, Vec<u8>)> {
    let mut buffer = FrameBuffer::new();
    let mut found = Vec::new();
    let mut add = |name, frame: Result<Frame<'_, '_>, _>| {
        let frame: Frame<'_, '_> = frame
            .map_err(|_: vaccel_wire::WireError| ())
            .expect("valid");
        found.push((name, bytes_of(frame)));
    };
    let mut b = buffer.request(control::SESSION_OPEN);
    b.read_scalar(0_u32)
        .write_capacity(vaccel_abi::arg::ARG_INT64, 0, 8);
    add("session_open", b.finish());
    let (a, c) = ([1; 64], [2; 64]);
    let mut b = buffer.request(2);
    b.read_scalar(4_i64).read_scalar(4_i64).read_scalar(4_i64);
    b.read_scalar(1_f32);
    b.read_bytes(vaccel_abi::arg::ARG_FLOAT32_ARRAY, 0, &a);
    b.read_scalar(4_i64);
    b.read_bytes(vaccel_abi::arg::ARG_FLOAT32_ARRAY, 0, &c);
    b.read_scalar(4_i64).read_scalar(0_f32).read_scalar(4_i64);
    b.write_capacity(vaccel_abi::arg::ARG_FLOAT32_ARRAY, 0, 64);
    add("sgemm", b.finish());
    let mut b = buffer.request(control::RESOURCE_BEGIN);
    b.read_scalar(2_u32).read_scalar(0_u32);
    let head = control::BlobHead {
        type_: 0,
        name: c"dir/model.onnx",
        size: 5,
        hash: &[7; 32],
    };
    head.encode(&mut b);
    b.write_capacity(vaccel_abi::arg::ARG_INT64, 0, 8)
        .write_capacity(vaccel_abi::arg::ARG_UINT8, 0, 1);
    add("resource_begin", b.finish());
    let mut b = buffer.request(control::RESOURCE_DATA);
    control::ResourceData {
        resource: 1,
        blob: 0,
        offset: 0,
        bytes: b"model",
    }
    .encode(&mut b);
    add("resource_data", b.finish());
    let meta = TensorMeta {
        dtype: 1,
        dims: &[1, 2, 2],
        name: Some(b"input"),
    };
    let mut b = buffer.request(130);
    b.read_scalar(1_i64).read_tensor(&meta, &a[..16]);
    b.read_tensor_kept(&meta, 9).write_tensor(&meta, None);
    b.write_tensor_keep(&meta);
    add("model_run", b.finish());
    let mut b = buffer.request(3);
    b.read_text("a text").read_null(28).write_allocate(28);
    add("texts", b.finish());
    found.push(("ping", bytes_of(buffer.bare(vaccel_wire::Kind::Ping, 3))));
    found
}

fn native(seeds: &mut Vec<Seed>) {
    for (name, bytes) in requests() {
        seeds.push(("frames", name, with(0, &bytes)));
        seeds.push(("stream", name, with(1, &bytes)));
        let header = [&[0], &5_u32.to_le_bytes()[..]].concat();
        seeds.push(("rings", name, [&[0], &bytes[..]].concat()));
        // The tail of requests beyond what is there.
        seeds.push(("rings", "tail", [&[1], &header[..], &bytes].concat()));
        let (reads, writes) = (bytes[24], bytes[26]);
        let rest = &bytes[HEADER_LEN..];
        seeds.push(("args", name, [&[0, reads, writes, 3], rest].concat()));
    }
    let mut buffer = FrameBuffer::new();
    let request = vaccel_wire::Header::bare(vaccel_wire::Kind::Request, 0, 1, 1);
    let reply = bytes_of(buffer.error_reply(&request, 22, "no such thing"));
    seeds.push(("client", "error", with(0, &reply)));
    let mut replies = Vec::new();
    for number in 1..=4 {
        let request = vaccel_wire::Header::bare(vaccel_wire::Kind::Request, 0, number, 1);
        let mut b = buffer.reply(&request);
        if number % 2 == 0 {
            b.write_scalar(5_i64).write_copy(28, 0, b"bytes");
        }
        let frame = b.finish().expect("valid");
        replies.extend(frame.slices().flatten());
    }
    seeds.push(("client", "replies", with(0, &replies)));
}

fn compatible(seeds: &mut Vec<Seed>) {
    let genop = GenopRequest {
        session_id: 1,
        read_args: vec![Arg::default(); 2],
        write_args: vec![Arg::default()],
    };
    let torch = TorchModelRunRequest {
        in_tensors: vec![Tensor {
            dims: vec![1, 2],
            ..Tensor::default()
        }],
        ..TorchModelRunRequest::default()
    };
    let bodies = [
        (
            Method::CreateSession,
            "create_session",
            CreateSessionRequest { flags: 7 }.encode_to_vec(),
        ),
        (Method::Genop, "genop", genop.encode_to_vec()),
        (Method::TorchModelRun, "torch_run", torch.encode_to_vec()),
    ];
    for (method, name, body) in bodies {
        let which = Method::ALL.iter().position(|m| *m == method).unwrap_or(0);
        seeds.push(("messages", name, with(which as u8, &body)));
        let request = Request {
            service: SYNC_SERVICE.into(),
            method: method.name().into(),
            payload: body.into(),
            timeout_nano: 1_000_000,
            ..Request::default()
        };
        let frame = encode_frame(Kind::Request, 1, 0, &request).expect("it is short");
        seeds.push(("compatible", name, with(7, &frame)));
    }
    let response = TorchModelRunResponse::default().encode_to_vec();
    seeds.push(("messages", "torch_response", with(0xfb, &response)));
    let response = Response {
        payload: response.into(),
        ..Response::default()
    };
    let frame = encode_frame(Kind::Response, 1, 0, &response).expect("it is short");
    seeds.push(("compatible", "response", with(0, &frame)));
}

/// One argument of the generic target.
fn argument(type_: u32, bytes: &[u8]) -> Vec<u8> {
    let size = (bytes.len() as u16).to_le_bytes();
    [&[type_ as u8, 0], &size[..], bytes].concat()
}

fn generic(seeds: &mut Vec<Seed>) {
    use vaccel_abi::arg::{ARG_FLOAT32, ARG_FLOAT32_ARRAY, ARG_INT64, ARG_STRING};
    let number = |n: i64| argument(ARG_INT64, &n.to_le_bytes());
    let real = |x: f32| argument(ARG_FLOAT32, &x.to_le_bytes());
    let array = argument(ARG_FLOAT32_ARRAY, &[0; 16]);
    let sgemm = [
        vec![vaccel_abi::op::OP_BLAS_SGEMM as u8, 10],
        [number(2), number(2), number(2), real(1.0)].concat(),
        [array.clone(), number(2), array.clone(), number(2)].concat(),
        [real(0.0), number(2), array.clone()].concat(),
    ];
    seeds.push(("genop", "sgemm", sgemm.concat()));
    let exec = [
        vec![vaccel_abi::op::OP_EXEC as u8, 3],
        argument(ARG_STRING, b"lib.so\0"),
        argument(ARG_STRING, b"function\0"),
        array,
    ];
    seeds.push(("genop", "exec", exec.concat()));
    seeds.push(("genop", "noop", vec![0, 0]));
}

fn texts(seeds: &mut Vec<Seed>) {
    for (name, text) in [
        ("unix", "unix:///run/vaccel/agent.sock"),
        ("tcp", "tcp://[::1]:65500"),
        ("tls", "tcp+tls://host.example:1"),
        ("vsock", "vsock://any:2048"),
        ("https", "https://user@host:8443/a%20b?c#sha256=00"),
        ("file", "file://localhost/tmp/x"),
    ] {
        seeds.push(("address", name, text.as_bytes().to_vec()));
    }
    let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2), }";
    for (name, version) in [("one", 1_u8), ("two", 2)] {
        let mut bytes = b"\x93NUMPY".to_vec();
        bytes.extend([version, 0]);
        let padding = 64 - (if version == 1 { 10 } else { 12 } + header.len() + 1) % 64;
        let len = header.len() + padding + 1;
        match version {
            1 => bytes.extend((len as u16).to_le_bytes()),
            _ => bytes.extend((len as u32).to_le_bytes()),
        }
        bytes.extend(header.bytes());
        bytes.extend(std::iter::repeat_n(b' ', padding));
        bytes.push(b'\n');
        bytes.extend([0; 16]);
        seeds.push(("npy", name, bytes));
    }
    seeds.push(("image", "ppm", b"P6\n2 2\n255\n012345678901".to_vec()));
    seeds.push(("image", "pgm", b"P5 2 1 255 ab".to_vec()));
}

/// A policy that asks for no tokens, so that what is printed of it can be read again.
const POLICY: &str = r#"unknown = "b"
defaults = { worker = "tenant", weight = 7, quota = { memory = "9000000T", rate = 9 } }
[[tenant]]
name = "a"
match = [{ subject = "CN=\u0001\"x\u00ad\\", gid = 4 }, { address = "::1", cid = 3 }]
allow = { ops = ["image_*", "noop"], exec = [{ path = "/\u007f/**" }], plugins = ["noop"] }
quota = { model_bytes = 65536, burst = 0, deadline = "49h", grace = "1ms", nice = 19 }
[[tenant]]
name = "b"
worker = "shared"
"#;

/// Files of the repository.
fn files(seeds: &mut Vec<Seed>) {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    for name in [
        "depth",
        "detect",
        "classify",
        "pose",
        "segment",
        "digits-8x8",
    ] {
        let file = root.join("models").join(name).join("model.toml");
        let bytes = std::fs::read(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        seeds.push(("model_toml", name, bytes));
    }
    let file = root.join("deploy/agent.toml");
    let bytes = std::fs::read(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    seeds.push(("agent_toml", "example", bytes));
    seeds.push(("agent_toml", "plain", POLICY.as_bytes().to_vec()));
    for name in ["cmyk", "progressive", "restart"] {
        let file = root.join(format!("crates/vision/tests/data/{name}.jpg"));
        let bytes = std::fs::read(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        seeds.push(("image", name, bytes));
    }
}
