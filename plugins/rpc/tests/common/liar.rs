//! An agent that spoils its answers.

use super::SOON;
use super::agent::{World, build};
use super::{Rpc, Session};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Instant;
use vaccel_plugin::Op;
use vaccel_plugin::abi::op::TorchSgemmFn;
use vaccel_plugin::abi::tensor::{TORCH_FLOAT, vaccel_torch_tensor};
use vaccel_transport::{FrameReader, Listener, ListenerOptions, Message, Stream, handshake};
use vaccel_wire::{FrameBuffer, Header, Kind, Limits, Welcome};

/// What is done to the right answer to a request; true hangs up afterwards.
pub(crate) type Spoil = dyn FnMut(&Message, &mut Vec<u8>) -> bool + Send;

/// An agent that spoils its answers.
pub(crate) struct Liar {
    pub(crate) address: String,
    spoil: Arc<Mutex<Box<Spoil>>>,
    stopping: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Liar {
    pub(crate) fn start(spoil: Box<Spoil>) -> Self {
        let any = "tcp://127.0.0.1:0".parse().unwrap();
        let listener = Listener::bind(&any, &ListenerOptions::default()).unwrap();
        let address = listener.address().to_string();
        let spoil = Arc::new(Mutex::new(spoil));
        let stopping = Arc::new(AtomicBool::new(false));
        let (spoil_too, stopping_too) = (Arc::clone(&spoil), Arc::clone(&stopping));
        let thread = std::thread::spawn(move || {
            while let Ok(stream) = listener.accept() {
                if stopping_too.load(Ordering::SeqCst) {
                    return;
                }
                lie(&stream, &spoil_too, &stopping_too);
            }
        });
        Self {
            address,
            spoil,
            stopping,
            thread: Some(thread),
        }
    }

    pub(crate) fn now(&self, spoil: impl FnMut(&Message, &mut Vec<u8>) -> bool + Send + 'static) {
        *self.spoil.lock().unwrap() = Box::new(spoil);
    }
}

impl Drop for Liar {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::SeqCst);
        let _ = Stream::connect(&self.address.parse().unwrap(), SOON);
        if let Some(thread) = self.thread.take() {
            let result = thread.join();
            assert!(result.is_ok() || std::thread::panicking());
        }
    }
}

/// Serves one client at a time, until it hangs up or is hung up on.
fn lie(stream: &Stream, spoil: &Mutex<Box<Spoil>>, stopping: &AtomicBool) {
    if handshake::receive_hello(stream, SOON).is_err() {
        return;
    }
    let welcome = Welcome {
        in_flight: 8,
        max_frame: 1 << 30,
        ..Welcome::refusal(0, "")
    };
    let _ = handshake::send_welcome(stream, &welcome, SOON);
    stream
        .set_read_timeout(Some(std::time::Duration::from_millis(20)))
        .unwrap();
    let world = World::new(None);
    let mut reader = FrameReader::new(Limits::default());
    let mut mine = Vec::new();
    loop {
        let message = match reader.read(stream) {
            Ok(message) => message,
            Err(vaccel_transport::ReadError::TimedOut) if !stopping.load(Ordering::SeqCst) => {
                continue;
            }
            Err(_) => return,
        };
        if message.header.kind != Kind::Request {
            continue;
        }
        let (mut store, mut buffer) = (Vec::new(), FrameBuffer::new());
        let frame = build(&message, &world, &mut mine, &mut store, &mut buffer);
        let mut bytes: Vec<u8> = frame.slices().flatten().copied().collect();
        let hang_up = spoil.lock().unwrap()(&message, &mut bytes);
        let sent = stream.send_until(&bytes, Instant::now() + SOON);
        if hang_up || sent.is_err() {
            return;
        }
    }
}

/// Answers one operation with a reply of its own making.
pub(crate) fn answer(
    operation: u32,
    make: impl Fn(&Header, &mut FrameBuffer) -> Vec<u8> + Send + 'static,
) -> impl FnMut(&Message, &mut Vec<u8>) -> bool + Send {
    move |message, bytes| {
        if u32::from(message.header.operation) == operation {
            *bytes = make(&message.header, &mut FrameBuffer::new());
        }
        false
    }
}

pub(crate) fn honest() -> Box<Spoil> {
    Box::new(|_, _| false)
}

pub(crate) fn flat(frame: &vaccel_wire::Frame<'_, '_>) -> Vec<u8> {
    frame.slices().flatten().copied().collect()
}

fn torch(data: &mut [f32], dims: &mut [i64]) -> vaccel_torch_tensor {
    vaccel_torch_tensor {
        data: data.as_mut_ptr().cast(),
        size: size_of_val(data),
        owned: false,
        nr_dims: dims.len() as i64,
        dims: dims.as_mut_ptr(),
        data_type: TORCH_FLOAT,
    }
}

pub(crate) fn torch_sgemm(
    rpc: &Rpc,
    session: &Session<'_>,
    out: &mut *mut vaccel_torch_tensor,
) -> i32 {
    let sgemm: TorchSgemmFn = rpc.plugin.op(Op::TorchSgemm);
    let (mut data, mut dims) = ([1.0, 2.0, 3.0, 4.0], [2, 2]);
    let mut tensor = torch(&mut data, &mut dims);
    let mut at = &raw mut tensor;
    let at = &raw mut at;
    // SAFETY: live tensors.
    unsafe { sgemm(session.as_ptr(), at, at, at, 2, 2, 2, out) }
}
