//! Agents whose answers are wrong, by mistake or on purpose.
#![allow(clippy::unwrap_used)]

mod common;
use common::agent::{World, build};
use common::{Rpc, SOON, Session, last_error, remote_id};
use std::ffi::c_void;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Instant;
use vaccel_plugin::abi::arg::{ARG_BUFFER, vaccel_arg};
use vaccel_plugin::abi::model::{DTYPE_F32, vaccel_model_info, vaccel_tensor};
use vaccel_plugin::abi::op::*;
use vaccel_plugin::abi::tensor::{TORCH_FLOAT, vaccel_torch_tensor};
use vaccel_plugin::testing::{TestResource, free_torch_tensor};
use vaccel_plugin::{Op, ResourceType, code};
use vaccel_transport::{FrameReader, Listener, ListenerOptions, Message, Stream, handshake};
use vaccel_wire::{FrameBuffer, Header, Kind, Limits, TensorMeta, Welcome};

/// What is done to the right answer to a request; true hangs up afterwards.
type Spoil = dyn FnMut(&Message, &mut Vec<u8>) -> bool + Send;

/// An agent that spoils its answers.
struct Liar {
    address: String,
    spoil: Arc<Mutex<Box<Spoil>>>,
    stopping: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Liar {
    fn start(spoil: Box<Spoil>) -> Self {
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

    fn now(&self, spoil: impl FnMut(&Message, &mut Vec<u8>) -> bool + Send + 'static) {
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
fn answer(
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

fn honest() -> Box<Spoil> {
    Box::new(|_, _| false)
}

fn flat(frame: &vaccel_wire::Frame<'_, '_>) -> Vec<u8> {
    frame.slices().flatten().copied().collect()
}

#[test]
fn numbers_that_are_not_positive_are_refused() {
    let liar = Liar::start(honest());
    let rpc = Rpc::start(&liar.address, &[]);
    for number in [0_i64, -1, i64::MIN] {
        liar.now(answer(256, move |header, buffer| {
            let mut builder = buffer.reply(header);
            builder.write_scalar(number);
            flat(&builder.finish().unwrap())
        }));
        assert_eq!(rpc.open(1).err(), Some(code::EREMOTEIO));
        assert!(
            last_error().contains("numbers are positive"),
            "{}",
            last_error()
        );
    }
    liar.now(answer(259, |header, buffer| {
        let mut builder = buffer.reply(header);
        builder.write_scalar(0_i64).write_scalar(0_u8);
        flat(&builder.finish().unwrap())
    }));
    let session = rpc.session();
    let resource = TestResource::from_memory(3, ResourceType::Data, "d", b"data");
    assert_eq!(session.register(&resource), code::EREMOTEIO);
    assert_eq!(remote_id(&resource), 0);
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

fn torch_sgemm(rpc: &Rpc, session: &Session<'_>, out: &mut *mut vaccel_torch_tensor) -> i32 {
    let sgemm: TorchSgemmFn = rpc.plugin.op(Op::TorchSgemm);
    let (mut data, mut dims) = ([1.0, 2.0, 3.0, 4.0], [2, 2]);
    let mut tensor = torch(&mut data, &mut dims);
    let mut at = &raw mut tensor;
    let at = &raw mut at;
    // SAFETY: live tensors.
    unsafe { sgemm(session.as_ptr(), at, at, at, 2, 2, 2, out) }
}

#[test]
fn tensors_that_cannot_be_are_refused_and_nothing_is_made() {
    let liar = Liar::start(honest());
    let rpc = Rpc::start(&liar.address, &[]);
    let session = rpc.session();
    let mut out = null_mut();
    assert_eq!(torch_sgemm(&rpc, &session, &mut out), 0, "{}", last_error());
    // SAFETY: made by the plugin.
    unsafe { free_torch_tensor(out) };
    let cases: [(u16, &[i64], usize, &str); 6] = [
        (TORCH_FLOAT as u16, &[2, 2], 12, "instead of 16"),
        (TORCH_FLOAT as u16, &[2, 2], 100_000, "instead of 16"),
        (TORCH_FLOAT as u16, &[2, -2], 16, "negative"),
        (TORCH_FLOAT as u16, &[i64::MAX, i64::MAX], 16, "cannot be"),
        (TORCH_FLOAT as u16, &[], 0, "instead of 4"),
        (TORCH_FLOAT as u16, &[0, i64::MAX], 16, "instead of 0"),
    ];
    for (dtype, dims, size, words) in cases {
        liar.now(answer(OP_TORCH_SGEMM, move |header, buffer| {
            let bytes = vec![7; size];
            let mut builder = buffer.reply(header);
            let meta = TensorMeta {
                dtype,
                dims,
                name: None,
            };
            builder.write_tensor_data(&meta, &bytes);
            flat(&builder.finish().unwrap())
        }));
        let mut out = null_mut();
        assert_eq!(
            torch_sgemm(&rpc, &session, &mut out),
            code::EREMOTEIO,
            "{dims:?}"
        );
        assert!(
            out.is_null() && last_error().contains(words),
            "{}",
            last_error()
        );
    }
    liar.now(answer(OP_TORCH_SGEMM, |header, buffer| {
        let mut builder = buffer.reply(header);
        builder.write_bytes(ARG_BUFFER, 0, &[1; 16]);
        flat(&builder.finish().unwrap())
    }));
    assert_eq!(torch_sgemm(&rpc, &session, &mut out), code::EREMOTEIO);
    assert!(last_error().contains("not a tensor"), "{}", last_error());
    liar.now(|_, _| false);
    assert_eq!(session.noop(), 0);
}

#[test]
fn arrays_of_the_wrong_size_are_refused() {
    let liar = Liar::start(honest());
    let rpc = Rpc::start(&liar.address, &[]);
    let session = rpc.session();
    let copy: FpgaArraycopyFn = rpc.plugin.op(Op::FpgaArraycopy);
    let mut data = [1, 2, 3, 4];
    for size in [0, 12, 20, 200_000] {
        liar.now(answer(OP_FPGA_ARRAYCOPY, move |header, buffer| {
            let bytes = vec![9; size];
            let mut builder = buffer.reply(header);
            builder.write_bytes(6, 0, &bytes);
            flat(&builder.finish().unwrap())
        }));
        let mut out = [5; 4];
        // SAFETY: arrays of that length.
        let code = unsafe { copy(session.as_ptr(), data.as_mut_ptr(), out.as_mut_ptr(), 4) };
        assert_eq!((code, out), (code::EREMOTEIO, [5; 4]), "{size}");
        assert!(last_error().contains("not 16"), "{}", last_error());
    }
}

#[test]
fn descriptions_that_are_no_json_are_refused() {
    let liar = Liar::start(honest());
    let rpc = Rpc::start(&liar.address, &[]);
    let session = rpc.session();
    let model = TestResource::from_memory(3, ResourceType::Model, "m", b"m");
    assert_eq!(session.register(&model), 0);
    let texts = [
        "",
        "{",
        "\u{0}",
        r#"{"inputs":[{"dims":[1,1,1,1,1,1,1,1,1]}]}"#,
        r#"{"inputs":[{"name":"a"},{"name":"b\u0000c"}]}"#,
    ];
    for text in texts {
        liar.now(answer(OP_MODEL_INFO, move |header, buffer| {
            let mut builder = buffer.reply(header);
            let meta = TensorMeta {
                dtype: 6,
                dims: &[text.len() as i64],
                name: None,
            };
            builder.write_tensor_data(&meta, text.as_bytes());
            flat(&builder.finish().unwrap())
        }));
        let mut info = vaccel_model_info::empty();
        let ask = rpc.plugin.ext().model_info.unwrap();
        // SAFETY: live structures.
        let code = unsafe { ask(session.as_ptr(), model.as_ptr(), &raw mut info) };
        assert_eq!(code, code::EREMOTEIO, "{text}");
        assert!(info.inputs.is_null() && info.nr_inputs == 0 && info.format.is_null());
    }
    liar.now(answer(265, |header, buffer| {
        let mut builder = buffer.reply(header);
        builder.write_bytes(ARG_BUFFER, 0, b"not json");
        flat(&builder.finish().unwrap())
    }));
    let about = rpc.plugin.describe();
    assert!(about["error"].as_str().unwrap().contains("bad JSON"));
}

/// Numbers that are the same in every run (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
}

/// Changes a few bytes of a reply, most of them where it hurts.
fn spoil(random: &mut Random, bytes: &mut Vec<u8>) -> bool {
    for _ in 0..1 + random.below(3) {
        let meta = 40 + u32::from_le_bytes(bytes[28..32].try_into().unwrap()) as usize;
        let span = match random.below(4) {
            0 => bytes.len().min(40),
            1 | 2 => bytes.len().min(meta),
            _ => bytes.len(),
        };
        // Kind and number stay as they are for the most part: else nothing
        // behind them is looked at.
        let at = random.below(span);
        let at = if at < 16 && random.below(4) > 0 {
            24 + at
        } else {
            at
        };
        let Some(byte) = bytes.get_mut(at) else {
            continue;
        };
        match random.below(3) {
            0 => *byte ^= 1 << random.below(8),
            1 => *byte = random.next() as u8,
            _ => *byte = [0, 1, 2, 0x7f, 0xff][random.below(5)],
        }
        if bytes.len() < 40 {
            break;
        }
    }
    match random.below(8) {
        0 => {
            let n = random.below(bytes.len());
            bytes.truncate(n);
            true
        }
        1 => {
            bytes.extend_from_slice(&[0x55; 100]);
            false
        }
        _ => false,
    }
}

/// Memory with bytes around it that must stay.
struct Guarded(Vec<u8>);

const GUARD: usize = 256;

impl Guarded {
    fn new(n: usize) -> Self {
        let mut bytes = vec![0xa5; n + 2 * GUARD];
        bytes[GUARD..GUARD + n].fill(0);
        Self(bytes)
    }

    fn at(&mut self) -> *mut u8 {
        self.0[GUARD..].as_mut_ptr()
    }

    fn check(&self) {
        let end = self.0.len() - GUARD;
        assert!(
            self.0[..GUARD]
                .iter()
                .chain(&self.0[end..])
                .all(|&b| b == 0xa5)
        );
    }
}

/// One call of some operation; its outputs must stay within their memory, and
/// what is said of them must be true.
fn call(rpc: &Rpc, session: &Session<'_>, model: &TestResource, which: usize) -> i32 {
    let mut guarded = Guarded::new(1600);
    let mut input = vec![1_u8; 1600];
    let s = session.as_ptr();
    let result = match which {
        0 => {
            let exec: ExecFn = rpc.plugin.op(Op::Exec);
            let arg = |buf: *mut u8, size| vaccel_arg {
                buf: buf.cast(),
                size,
                type_: ARG_BUFFER,
                custom_type_id: 0,
                owned: false,
            };
            let mut read = [arg(input.as_mut_ptr(), 1600), arg(input.as_mut_ptr(), 700)];
            let mut write = [arg(guarded.at(), 1600), arg(null_mut(), 0)];
            let (lib, sym) = (c"/lib/math.so".as_ptr(), c"echo".as_ptr());
            // SAFETY: live arguments; the allocated one comes from malloc.
            unsafe {
                let code = exec(s, lib, sym, read.as_mut_ptr(), 2, write.as_mut_ptr(), 2);
                assert!(write[0].size <= 1600);
                if write[1].owned {
                    assert_eq!(code, 0);
                    std::slice::from_raw_parts(write[1].buf.cast::<u8>(), write[1].size).to_vec();
                    libc::free(write[1].buf);
                }
                code
            }
        }
        1 => {
            let sgemm: SgemmFn = rpc.plugin.op(Op::Sgemm);
            let a: *mut f32 = input.as_mut_ptr().cast();
            // The guard is a multiple of 4, and malloc aligns to more.
            let c: *mut f32 = guarded.at().cast();
            // SAFETY: 400 floats each.
            unsafe { sgemm(s, 20, 20, 20, 1.0, a, 20, a, 20, 0.0, c, 20) }
        }
        2 => {
            let mut out: *mut vaccel_torch_tensor = null_mut();
            let code = torch_sgemm(rpc, session, &mut out);
            assert_eq!(code == 0, !out.is_null());
            if !out.is_null() {
                // SAFETY: what the tensor says must be there.
                unsafe {
                    let t = &*out;
                    let dims = std::slice::from_raw_parts(t.dims, t.nr_dims as usize);
                    let data = std::slice::from_raw_parts(t.data.cast::<u8>(), t.size);
                    assert_eq!(data.to_vec().len(), t.size);
                    if t.data_type == TORCH_FLOAT {
                        assert_eq!(dims.iter().product::<i64>() * 4, t.size as i64);
                    }
                    free_torch_tensor(out);
                }
            }
            code
        }
        3 => {
            let tensor = |data: *mut u8, size| {
                let mut t = vaccel_tensor {
                    dtype: DTYPE_F32,
                    rank: 1,
                    data: data.cast::<c_void>(),
                    size,
                    ..vaccel_tensor::empty()
                };
                t.dims[0] = (size / 4) as i64;
                t
            };
            let inputs = [
                tensor(input.as_mut_ptr(), 1600),
                tensor(input.as_mut_ptr(), 400),
            ];
            let mut outputs = [tensor(guarded.at(), 1600), vaccel_tensor::empty()];
            let run = rpc.plugin.ext().model_run.unwrap();
            // SAFETY: live tensors; the allocated one comes from malloc.
            unsafe {
                let code = run(
                    s,
                    model.as_ptr(),
                    inputs.as_ptr(),
                    2,
                    outputs.as_mut_ptr(),
                    2,
                );
                if code == 0 {
                    assert!(outputs[0].size <= 1600 && outputs[1].rank <= 8);
                    let t = &outputs[1];
                    std::slice::from_raw_parts(t.data.cast::<u8>(), t.size).to_vec();
                    libc::free(t.data);
                } else {
                    assert!(outputs[1].data.is_null());
                }
                code
            }
        }
        _ => {
            let classify: ImageClassifyFn = rpc.plugin.op(Op::ImageClassify);
            let image: *const c_void = input.as_ptr().cast();
            // SAFETY: buffers of the sizes given.
            unsafe { classify(s, image, guarded.at(), null_mut(), 1600, 1600, 0) }
        }
    };
    guarded.check();
    result
}

#[test]
fn spoilt_replies_of_all_kinds_do_no_harm() {
    let liar = Liar::start(honest());
    let rpc = Rpc::start(&liar.address, &[("VACCEL_RPC_TIMEOUT", "0.02")]);
    let mut random = Random(11);
    let (mut fine, mut refused, mut lost, mut late) = (0, 0, 0, 0);
    let mut model = None;
    let mut session: Option<Session<'_>> = None;
    for round in 0..500 {
        // One that is of no use any more is released before another is opened.
        let usable = match session.take().filter(|session| session.noop() == 0) {
            Some(session) => session,
            // The liar serves one after the other, and may still be busy.
            None => loop {
                let Ok(new) = rpc.open(1) else { continue };
                let new_model = TestResource::from_memory(3, ResourceType::Model, "m", b"m");
                if new.register(&new_model) == 0 {
                    model = Some(new_model);
                    break new;
                }
            },
        };
        let mut seed = Random(round * 7919);
        liar.now(move |_, bytes| spoil(&mut seed, bytes));
        let which = random.below(5);
        match call(&rpc, &usable, model.as_ref().unwrap(), which) {
            0 => fine += 1,
            code::ETIMEDOUT => late += 1,
            code::ESESS => panic!("the session was usable"),
            _ if last_error().contains("lost") => lost += 1,
            _ => refused += 1,
        }
        liar.now(|_, _| false);
        session = Some(usable);
    }
    println!("{fine} fine, {refused} refused, {lost} lost, {late} late");
    // All ways of going wrong have been gone.
    assert!(fine > 20 && refused > 20 && lost > 20 && late > 2);
}
