//! The agent of the tests: sessions and resources are real, operations compute.

use super::SOON;
use super::compute::operate;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::Instant;
use vaccel_plugin::abi::arg::ARG_BUFFER;
use vaccel_plugin::abi::op as ops;
use vaccel_plugin::code;
use vaccel_transport::{
    Address, FrameReader, FrameWriter, Listener, ListenerOptions, Message, Stream, handshake,
};
use vaccel_wire::control::{self, ResourceBegin, ResourceData};
use vaccel_wire::{
    Args, Frame, FrameBuffer, FrameBuilder, Header, Kind, Limits, Scalar, TensorMeta, Welcome,
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

    pub(crate) fn wait_at_gate(&self) {
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

pub(crate) type Failure = (i32, String);

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
    pub(crate) fn scalar<T: Scalar>(value: T) -> Self {
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

pub(crate) fn fail<T>(status: i32, text: impl Into<String>) -> Result<T, Failure> {
    Err((status, text.into()))
}

pub(crate) fn wire(error: vaccel_wire::WireError) -> Failure {
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
