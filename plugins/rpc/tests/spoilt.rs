//! Replies with a few bytes changed: hundreds of them, of several operations.
#![allow(clippy::unwrap_used)]

mod common;
use common::liar::{Liar, honest, torch_sgemm};
use common::{Rpc, Session, last_error};
use std::ffi::c_void;
use std::ptr::null_mut;
use vaccel_plugin::abi::arg::{ARG_BUFFER, vaccel_arg};
use vaccel_plugin::abi::model::{DTYPE_F32, vaccel_tensor};
use vaccel_plugin::abi::op::*;
use vaccel_plugin::abi::tensor::{TORCH_FLOAT, vaccel_torch_tensor};
use vaccel_plugin::testing::{TestResource, free_torch_tensor};
use vaccel_plugin::{Op, ResourceType, code};

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
