//! The agent of the tests: sessions and resources are real, operations compute.

use super::SOON;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::Instant;
use vaccel_plugin::abi::arg::{ARG_BUFFER, ARG_CHAR_ARRAY, ARG_UCHAR_ARRAY};
use vaccel_plugin::abi::op as ops;
use vaccel_plugin::code;
use vaccel_transport::{
    Address, FrameReader, FrameWriter, Listener, ListenerOptions, Message, Stream, handshake,
};
use vaccel_wire::control::{self, ResourceBegin, ResourceData};
use vaccel_wire::{
    ArgReader, Args, Frame, FrameBuffer, FrameBuilder, Header, Kind, Limits, Scalar, TensorMeta,
    Welcome,
};

/// A resource as it arrived.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) type_: u32,
    pub(crate) path_type: u32,
    /// Type, name and bytes.
    pub(crate) blobs: Vec<(u32, String, Vec<u8>)>,
    sizes: Vec<u64>,
    pub(crate) sessions: Vec<i64>,
    committed: bool,
}

/// What the agent has seen and has, over all connections.
#[derive(Debug, Default)]
pub(crate) struct World {
    pub(crate) connections: AtomicUsize,
    pub(crate) requests: Mutex<HashMap<u16, usize>>,
    pub(crate) sessions: Mutex<Vec<(i64, u32)>>,
    pub(crate) resources: Mutex<HashMap<i64, Stored>>,
    pub(crate) flying: AtomicUsize,
    pub(crate) most_flying: AtomicUsize,
    next: AtomicI64,
    streams: Mutex<Vec<Arc<Stream>>>,
    open: Mutex<bool>,
    opened: Condvar,
    stopping: AtomicBool,
    token: Option<Vec<u8>>,
}

impl World {
    pub(crate) fn new(token: Option<&str>) -> Self {
        Self {
            token: token.map(|t| t.as_bytes().to_vec()),
            next: AtomicI64::new(100),
            ..Self::default()
        }
    }

    pub(crate) fn count(&self, operation: u32) -> usize {
        let requests = self.requests.lock().unwrap();
        requests.get(&(operation as u16)).copied().unwrap_or(0)
    }

    /// Lets `exec` of the symbol `gate` go on.
    pub(crate) fn open_gate(&self) {
        *self.open.lock().unwrap() = true;
        self.opened.notify_all();
    }

    fn wait_at_gate(&self) {
        let open = self.open.lock().unwrap();
        let (open, _) = self.opened.wait_timeout_while(open, SOON, |o| !*o).unwrap();
        assert!(*open, "the gate was never opened");
    }
}

pub(crate) struct Agent {
    pub(crate) world: Arc<World>,
    pub(crate) address: String,
    thread: Option<JoinHandle<()>>,
}

impl Agent {
    pub(crate) fn start() -> Self {
        Self::at(&"tcp://127.0.0.1:0".parse().unwrap(), None)
    }

    pub(crate) fn at(address: &Address, token: Option<&str>) -> Self {
        let listener = Listener::bind(address, &ListenerOptions::default()).unwrap();
        let address = listener.address().to_string();
        let world = Arc::new(World::new(token));
        let shared = Arc::clone(&world);
        let thread = std::thread::spawn(move || {
            std::thread::scope(|scope| {
                while let Ok(stream) = listener.accept() {
                    if shared.stopping.load(Ordering::SeqCst) {
                        return;
                    }
                    let world = &shared;
                    scope.spawn(move || serve(stream, world));
                }
            });
        });
        Self {
            world,
            address,
            thread: Some(thread),
        }
    }

    /// Cuts all connections, as an agent does that is killed.
    pub(crate) fn cut(&self) {
        for stream in self.world.streams.lock().unwrap().drain(..) {
            stream.shutdown();
        }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.world.stopping.store(true, Ordering::SeqCst);
        self.world.open_gate();
        self.cut();
        // Wakes the listener.
        let address = self.address.parse().unwrap();
        let last = Stream::connect(&address, SOON);
        if let Some(thread) = self.thread.take() {
            let result = thread.join();
            if !std::thread::panicking() {
                result.unwrap();
            }
        }
        drop(last);
    }
}

fn serve(stream: Stream, world: &World) {
    let Ok(opening) = handshake::receive_hello(&stream, SOON) else {
        return;
    };
    let hello = opening.hello().unwrap();
    if hello.token != world.token.as_deref() {
        let welcome = Welcome::refusal(code::EACCES, "the token is not the right one");
        let _ = handshake::send_welcome(&stream, &welcome, SOON);
        return;
    }
    let welcome = Welcome {
        in_flight: 32,
        max_frame: 1 << 30,
        ..Welcome::refusal(0, "")
    };
    handshake::send_welcome(&stream, &welcome, SOON).unwrap();
    world.connections.fetch_add(1, Ordering::SeqCst);
    let stream = Arc::new(stream);
    world.streams.lock().unwrap().push(Arc::clone(&stream));
    let writer = FrameWriter::new(Arc::clone(&stream));
    let mut reader = FrameReader::new(Limits::default());
    let mut mine = Vec::new();
    std::thread::scope(|scope| {
        while let Ok(message) = reader.read(&stream) {
            if message.header.kind != Kind::Request {
                continue;
            }
            let header = message.header;
            *world
                .requests
                .lock()
                .unwrap()
                .entry(header.operation)
                .or_default() += 1;
            // Operations run beside each other; what manages sessions and
            // resources runs in order.
            if header.operation == ops::OP_EXEC as u16 {
                let writer = &writer;
                scope.spawn(move || answer(&message, world, writer, &mut Vec::new()));
            } else {
                answer(&message, world, &writer, &mut mine);
            }
        }
    });
    world
        .sessions
        .lock()
        .unwrap()
        .retain(|(s, _)| !mine.contains(s));
    world.resources.lock().unwrap().retain(|_, r| {
        r.sessions.retain(|s| !mine.contains(s));
        !r.sessions.is_empty()
    });
}

type Failure = (i32, String);

fn answer(message: &Message, world: &World, writer: &FrameWriter, mine: &mut Vec<i64>) {
    let mut buffer = FrameBuffer::new();
    let mut store = Vec::new();
    let frame = build(message, world, mine, &mut store, &mut buffer);
    let _ = writer.send(&frame, Some(Instant::now() + SOON));
}

/// The right answer to a request.
pub(crate) fn build<'b>(
    message: &Message,
    world: &World,
    mine: &mut Vec<i64>,
    store: &'b mut Vec<Out>,
    buffer: &'b mut FrameBuffer,
) -> Frame<'b, 'b> {
    let header = &message.header;
    let result = run(message, world, mine, store);
    let store = &*store;
    match result {
        Ok(()) => {
            let mut builder = buffer.reply(header);
            for out in store {
                out.add(&mut builder);
            }
            builder.finish().unwrap()
        }
        Err((status, text)) => {
            let mut builder = buffer.error_reply_with(header, status, &text);
            // All outputs or none.
            if store.len() == usize::from(header.nr_write) {
                for out in store {
                    out.add(&mut builder);
                }
            }
            builder.finish().unwrap()
        }
    }
}

/// One output.
pub(crate) enum Out {
    Bytes(u32, Vec<u8>),
    Null(u32),
    /// Type, dimensions, bytes.
    Tensor(u16, Vec<i64>, Vec<u8>),
    /// What a tensor would have needed.
    Needs(u16, Vec<i64>, usize),
}

impl Out {
    fn scalar<T: Scalar>(value: T) -> Self {
        Self::Bytes(T::TYPE, value.to_bytes()[..T::SIZE].to_vec())
    }

    fn add<'a>(&'a self, builder: &mut FrameBuilder<'_, 'a>) {
        match self {
            Self::Bytes(type_, bytes) => builder.write_bytes(*type_, 0, bytes),
            Self::Null(type_) => builder.write_null(*type_),
            Self::Tensor(dtype, dims, bytes) => {
                let meta = TensorMeta {
                    dtype: *dtype,
                    dims,
                    name: None,
                };
                builder.write_tensor_data(&meta, bytes)
            }
            Self::Needs(dtype, dims, size) => {
                let meta = TensorMeta {
                    dtype: *dtype,
                    dims,
                    name: None,
                };
                builder.write_tensor(&meta, Some(*size))
            }
        };
    }
}

fn fail<T>(status: i32, text: impl Into<String>) -> Result<T, Failure> {
    Err((status, text.into()))
}

fn wire(error: vaccel_wire::WireError) -> Failure {
    (error.code(), error.to_string())
}

fn run(
    message: &Message,
    world: &World,
    mine: &mut Vec<i64>,
    out: &mut Vec<Out>,
) -> Result<(), Failure> {
    let header = &message.header;
    let args = message.args(&Limits::default()).map_err(wire)?;
    let payload = message.payload();
    if header.operation >= 256 {
        return manage(header, &args, payload, world, mine, out);
    }
    if !world
        .sessions
        .lock()
        .unwrap()
        .iter()
        .any(|(s, _)| *s == header.session)
    {
        return fail(
            code::ESESS,
            format!("there is no session {}", header.session),
        );
    }
    operate(header, &args, payload, world, out)
}

fn manage(
    header: &Header,
    args: &Args<'_>,
    payload: &[u8],
    world: &World,
    mine: &mut Vec<i64>,
    out: &mut Vec<Out>,
) -> Result<(), Failure> {
    let session = header.session;
    let mut resources = world.resources.lock().unwrap();
    let number = || control::only::<i64>(args, payload).map_err(wire);
    let unknown = |id: i64| (code::ENOENT, format!("there is no resource {id}"));
    match header.operation {
        control::SESSION_OPEN => {
            let flags = control::only::<u32>(args, payload).map_err(wire)?;
            let session = world.next.fetch_add(1, Ordering::SeqCst);
            mine.push(session);
            world.sessions.lock().unwrap().push((session, flags));
            out.push(Out::scalar(session));
        }
        control::SESSION_UPDATE => {
            let flags = control::only::<u32>(args, payload).map_err(wire)?;
            for (s, f) in world.sessions.lock().unwrap().iter_mut() {
                if *s == session {
                    *f = flags;
                }
            }
        }
        control::SESSION_CLOSE => {
            world
                .sessions
                .lock()
                .unwrap()
                .retain(|(s, _)| *s != session);
        }
        control::RESOURCE_BEGIN => {
            let begin = ResourceBegin::decode(args, payload).map_err(wire)?;
            let id = world.next.fetch_add(1, Ordering::SeqCst);
            let stored = Stored {
                type_: begin.type_,
                path_type: begin.path_type,
                blobs: begin
                    .blobs()
                    .map(|b| (b.type_, b.name.to_str().unwrap().to_owned(), Vec::new()))
                    .collect(),
                sizes: begin.blobs().map(|b| b.size).collect(),
                sessions: vec![session],
                committed: false,
            };
            resources.insert(id, stored);
            out.push(Out::scalar(id));
            out.push(Out::scalar(0_u8));
        }
        control::RESOURCE_DATA => {
            let data = ResourceData::decode(args, payload).map_err(wire)?;
            let stored = resources
                .get_mut(&data.resource)
                .ok_or_else(|| unknown(data.resource))?;
            let blob = &mut stored.blobs[data.blob as usize];
            if blob.2.len() as u64 != data.offset {
                return fail(code::EINVAL, "out of order");
            }
            if data.bytes.starts_with(b"poison") {
                return fail(code::ENOSPC, "the disk is full");
            }
            blob.2.extend_from_slice(data.bytes);
        }
        control::RESOURCE_COMMIT => {
            let id = number()?;
            let stored = resources.get_mut(&id).ok_or_else(|| unknown(id))?;
            for (blob, size) in stored.blobs.iter().zip(&stored.sizes) {
                assert_eq!(blob.2.len() as u64, *size);
            }
            stored.committed = true;
        }
        control::RESOURCE_ATTACH => {
            let id = number()?;
            let stored = resources.get_mut(&id).ok_or_else(|| unknown(id))?;
            assert!(stored.committed);
            stored.sessions.push(session);
        }
        control::RESOURCE_DETACH => {
            let id = number()?;
            let stored = resources.get_mut(&id).ok_or_else(|| unknown(id))?;
            stored.sessions.retain(|s| *s != session);
            if stored.sessions.is_empty() {
                resources.remove(&id);
            }
        }
        control::RESOURCE_SYNC => {
            let id = number()?;
            let stored = resources.get(&id).ok_or_else(|| unknown(id))?;
            let bytes = stored.blobs[0]
                .2
                .iter()
                .map(|b| b.wrapping_add(1))
                .collect();
            out.push(Out::Bytes(ARG_BUFFER, bytes));
        }
        control::DESCRIBE => {
            out.push(Out::Bytes(
                ARG_BUFFER,
                br#"{"version":"test","plugins":[]}"#.to_vec(),
            ));
        }
        other => return fail(code::ENOTSUP, format!("no operation {other}")),
    }
    Ok(())
}

fn numbers<T: Scalar>(bytes: &[u8]) -> Vec<T> {
    bytes
        .chunks(T::SIZE)
        .map(|c| T::from_bytes(c).unwrap())
        .collect()
}

fn bytes<T: Scalar>(numbers: impl IntoIterator<Item = T>) -> Vec<u8> {
    let pieces = numbers
        .into_iter()
        .map(|n| n.to_bytes()[..T::SIZE].to_vec());
    pieces.flatten().collect()
}

fn operate(
    header: &Header,
    args: &Args<'_>,
    payload: &[u8],
    world: &World,
    out: &mut Vec<Out>,
) -> Result<(), Failure> {
    let operation = u32::from(header.operation);
    let mut read = ArgReader::new(args.reads(), payload);
    let mut writes = args.writes();
    let arrays = |i: usize| args.reads().nth(i).unwrap().bytes(payload).to_vec();
    let f32s = |i: usize| numbers::<f32>(&arrays(i));
    match operation {
        ops::OP_NOOP => {}
        ops::OP_EXEC => exec(args, payload, world, out)?,
        ops::OP_EXEC_WITH_RESOURCE => {
            let id = read.scalar::<i64>().map_err(wire)?;
            let resources = world.resources.lock().unwrap();
            let Some(stored) = resources.get(&id) else {
                return fail(code::ENOENT, "there is no such library");
            };
            // The "function" is the library's first byte, added to each argument.
            let add = stored.blobs[0].2[0];
            for arg in args.reads().skip(2) {
                let sum = arg.bytes(payload).iter().map(|b| b.wrapping_add(add));
                out.push(Out::Bytes(arg.type_, sum.collect()));
            }
        }
        ops::OP_OPENCV => {
            for arg in args.reads() {
                out.push(Out::Bytes(arg.type_, arg.bytes(payload).to_vec()));
            }
        }
        ops::OP_IMAGE_CLASSIFY..=ops::OP_IMAGE_DEPTH => {
            let image = read.buffer().map_err(wire)?;
            let sum: u64 = image.iter().map(|&b| u64::from(b)).sum();
            for (i, text) in [format!("image-{operation}"), format!("sum {sum}")]
                .iter()
                .enumerate()
            {
                let Some(write) = writes.next() else { break };
                if write.is_null() {
                    out.push(Out::Null(ARG_UCHAR_ARRAY));
                    continue;
                }
                let mut text = text.clone().into_bytes();
                text.push(0);
                if text.len() > write.size {
                    return fail(code::ERANGE, format!("text {i} needs {} bytes", text.len()));
                }
                text.resize(write.size, 0);
                out.push(Out::Bytes(ARG_UCHAR_ARRAY, text));
            }
        }
        ops::OP_BLAS_SGEMM => {
            let [m, n, k] = [0; 3].map(|_: i32| read.scalar::<i64>().unwrap() as usize);
            let alpha = read.scalar::<f32>().map_err(wire)?;
            let a = f32s(4);
            let b = f32s(6);
            let scalar = |i: usize| numbers::<i64>(&arrays(i))[0] as usize;
            let (lda, ldb, ldc) = (scalar(5), scalar(7), scalar(9));
            let beta = f32s(8)[0];
            let write = writes.next().unwrap();
            let mut c = if write.has_data() {
                numbers::<f32>(write.bytes(payload))
            } else {
                assert_eq!(beta, 0.0);
                vec![0.0; write.size / 4]
            };
            for i in 0..m {
                for j in 0..n {
                    let sum: f32 = (0..k).map(|l| a[i * lda + l] * b[l * ldb + j]).sum();
                    c[i * ldc + j] = alpha * sum
                        + if beta == 0.0 {
                            0.0
                        } else {
                            beta * c[i * ldc + j]
                        };
                }
            }
            out.push(Out::Bytes(write.type_, bytes(c)));
        }
        ops::OP_FPGA_ARRAYCOPY => out.push(Out::Bytes(writes.next().unwrap().type_, arrays(0))),
        ops::OP_FPGA_MMULT => {
            let (a, b) = (f32s(0), f32s(1));
            let n = a.len().isqrt();
            let c = (0..n * n).map(|i| {
                (0..n)
                    .map(|l| a[i / n * n + l] * b[l * n + i % n])
                    .sum::<f32>()
            });
            out.push(Out::Bytes(18, bytes(c)));
        }
        ops::OP_FPGA_PARALLEL => {
            let (a, b) = (f32s(0), f32s(1));
            out.push(Out::Bytes(18, bytes(a.iter().zip(&b).map(|(x, y)| x + y))));
            out.push(Out::Bytes(18, bytes(a.iter().zip(&b).map(|(x, y)| x * y))));
        }
        ops::OP_FPGA_VECTORADD => {
            let (a, b) = (f32s(0), f32s(1));
            out.push(Out::Bytes(18, bytes(a.iter().zip(&b).map(|(x, y)| x + y))));
        }
        ops::OP_MINMAX => {
            let data = numbers::<f64>(&arrays(0));
            let [n, low, high] = [1, 2, 3].map(|i| numbers::<i32>(&arrays(i))[0]);
            assert_eq!(n as usize, data.len());
            out.push(Out::Bytes(
                20,
                bytes(data.iter().map(|x| x.clamp(low.into(), high.into()))),
            ));
            out.push(Out::scalar(
                data.iter().copied().fold(f64::INFINITY, f64::min),
            ));
            out.push(Out::scalar(
                data.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            ));
        }
        _ => return model(header, args, payload, world, out),
    }
    Ok(())
}

fn exec(args: &Args<'_>, payload: &[u8], world: &World, out: &mut Vec<Out>) -> Result<(), Failure> {
    let mut read = ArgReader::new(args.reads(), payload);
    let library = read.text().map_err(wire)?;
    let symbol = read.text().map_err(wire)?.to_str().unwrap();
    assert_eq!(library, c"/lib/math.so");
    match symbol {
        "gate" => world.wait_at_gate(),
        "fail" => return fail(code::ENOEXEC, "the function failed: no luck"),
        "echo" | "short" => {
            for (arg, write) in args.reads().skip(2).zip(args.writes()) {
                let mut bytes = arg.bytes(payload).to_vec();
                if symbol == "short" {
                    bytes.truncate(bytes.len() / 2);
                }
                out.push(Out::Bytes(write.type_, bytes));
            }
        }
        "count" => {
            let flags: Vec<u8> = args.reads().chain(args.writes()).map(|a| a.flags).collect();
            out.push(Out::Bytes(args.writes().next().unwrap().type_, flags));
        }
        other => return fail(code::ENOENT, format!("there is no function {other}")),
    }
    Ok(())
}

/// Models: run gives every input back, numbers doubled.
fn model(
    header: &Header,
    args: &Args<'_>,
    payload: &[u8],
    world: &World,
    out: &mut Vec<Out>,
) -> Result<(), Failure> {
    let operation = u32::from(header.operation);
    if operation == ops::OP_TORCH_SGEMM {
        return torch_sgemm(args, payload, out);
    }
    let id = ArgReader::new(args.reads(), payload)
        .scalar::<i64>()
        .map_err(wire)?;
    let resources = world.resources.lock().unwrap();
    let Some(stored) = resources
        .get(&id)
        .filter(|r| r.sessions.contains(&header.session))
    else {
        return fail(
            code::EPERM,
            format!("no resource {id} in session {}", header.session),
        );
    };
    let broken = stored.blobs[0].2.starts_with(b"broken");
    let tf = (ops::OP_TF_MODEL_LOAD..=ops::OP_TF_MODEL_RUN).contains(&operation);
    if tf && broken {
        out.push(Out::scalar(3_u8));
        out.push(Out::Bytes(ARG_CHAR_ARRAY, b"bad graph\0".to_vec()));
        for _ in args.writes().skip(2) {
            out.push(Out::Needs(0, vec![], 0));
        }
        return fail(code::EIO, "TensorFlow says no");
    }
    if broken {
        return fail(code::EINVAL, "the model is broken");
    }
    if tf {
        out.push(Out::scalar(0_u8));
        out.push(Out::Bytes(ARG_CHAR_ARRAY, b"fine\0".to_vec()));
    }
    match operation {
        ops::OP_TFLITE_MODEL_RUN => out.push(Out::scalar(7_u8)),
        ops::OP_MODEL_INFO => {
            let json = br#"{"format":"onnx","backend":"test","metadata":{"a":1},
                "inputs":[{"name":"x","dtype":"f32","dims":[-1,3]}],
                "outputs":[{"name":"y","dtype":"i64","dims":[]},{"name":null,"dtype":"odd","dims":[2]}]}"#;
            out.push(Out::Tensor(6, vec![json.len() as i64], json.to_vec()));
            return Ok(());
        }
        ops::OP_MODEL_LOAD => {
            let mut read = ArgReader::new(args.reads(), payload);
            read.any().map_err(wire)?;
            if read.left() > 0 && read.text().map_err(wire)? != c"device=cpu" {
                return fail(code::EINVAL, "unknown option");
            }
        }
        _ => {}
    }
    run_model(args, payload, out)
}

fn run_model(args: &Args<'_>, payload: &[u8], out: &mut Vec<Out>) -> Result<(), Failure> {
    let inputs: Vec<_> = args.reads().filter(|a| a.tensor.is_some()).collect();
    let outputs: Vec<_> = args.writes().filter(|a| a.tensor.is_some()).collect();
    let mut short = false;
    for (i, write) in outputs.iter().enumerate() {
        let name = write.tensor.unwrap().name;
        // A name chooses the input, else the position does.
        let chosen =
            name.and_then(|name| inputs.iter().find(|a| a.tensor.unwrap().name == Some(name)));
        let Some(input) = chosen.or_else(|| inputs.get(i)) else {
            return fail(code::EINVAL, format!("there is no output {i}"));
        };
        let tensor = input.tensor.unwrap();
        let doubled = bytes(
            numbers::<f32>(input.bytes(payload))
                .into_iter()
                .map(|x| 2.0 * x),
        );
        short |= !write.is_allocate() && doubled.len() > write.size;
        out.push(Out::Tensor(tensor.dtype, tensor.dims().collect(), doubled));
    }
    if short {
        for o in out.iter_mut() {
            if let Out::Tensor(dtype, dims, bytes) = o {
                *o = Out::Needs(*dtype, dims.clone(), bytes.len());
            }
        }
        return fail(code::ERANGE, "an output does not fit");
    }
    Ok(())
}

fn torch_sgemm(args: &Args<'_>, payload: &[u8], out: &mut Vec<Out>) -> Result<(), Failure> {
    let mut read = ArgReader::new(args.reads(), payload);
    let [m, n, k] = [0; 3].map(|_: i32| read.scalar::<i32>().unwrap() as usize);
    let [a, b, c] = [3, 4, 5].map(|i| numbers::<f32>(args.reads().nth(i).unwrap().bytes(payload)));
    let result = (0..m * n).map(|i| {
        c[i] + (0..k)
            .map(|l| a[i / n * k + l] * b[l * n + i % n])
            .sum::<f32>()
    });
    let dtype = args.reads().nth(3).unwrap().tensor.unwrap().dtype;
    out.push(Out::Tensor(dtype, vec![m as i64, n as i64], bytes(result)));
    Ok(())
}
