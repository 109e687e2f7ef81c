//! Tensors that the agent keeps, when the connection breaks and when it keeps none.
#![allow(clippy::unwrap_used)]

mod common;

use common::agent::Agent;
use common::process::{Process, signal, workers_of};
use common::{Rpc, Session, last_error, until};
use vaccel_plugin::abi::model::{DTYPE_F32, TENSOR_OWNED, vaccel_tensor};
use vaccel_plugin::code;

fn tensor(data: &mut [f32]) -> vaccel_tensor {
    let mut tensor = vaccel_tensor::empty();
    (tensor.dtype, tensor.rank) = (DTYPE_F32, 1);
    tensor.dims[0] = i64::try_from(data.len()).unwrap();
    tensor.data = data.as_mut_ptr().cast();
    tensor.size = size_of_val(data);
    tensor
}

fn keep(rpc: &Rpc, session: &Session<'_>, data: &mut [f32]) -> Result<u64, i32> {
    let mut handle = 0;
    let input = tensor(data);
    // SAFETY: a live session, a tensor with its data, and room for the number.
    let code = unsafe {
        rpc.plugin.ext().tensor_keep.unwrap()(session.as_ptr(), &raw const input, &raw mut handle)
    };
    if code == 0 { Ok(handle) } else { Err(code) }
}

fn fetch(rpc: &Rpc, session: &Session<'_>, handle: u64) -> Result<Vec<f32>, i32> {
    let mut out = vaccel_tensor::empty();
    // SAFETY: a live session and an output without memory.
    let code =
        unsafe { rpc.plugin.ext().tensor_fetch.unwrap()(session.as_ptr(), handle, &raw mut out) };
    if code != 0 {
        return Err(code);
    }
    assert_eq!(
        (out.flags, out.dtype, out.rank),
        (TENSOR_OWNED, DTYPE_F32, 1)
    );
    let count = out.size / size_of::<f32>();
    // SAFETY: the call allocated so many numbers; the caller frees them.
    unsafe {
        let values = std::slice::from_raw_parts(out.data.cast::<f32>(), count).to_vec();
        libc::free(out.data);
        Ok(values)
    }
}

fn free(rpc: &Rpc, session: &Session<'_>, handle: u64) -> i32 {
    // SAFETY: a live session.
    unsafe { rpc.plugin.ext().tensor_free.unwrap()(session.as_ptr(), handle) }
}

#[test]
fn one_of_a_lost_connection_is_stale_and_never_another_one() {
    let agent = Process::start("noop");
    let rpc = Rpc::start(&agent.address(), &[]);
    let session = rpc.session();
    let mut values: Vec<f32> = (0u16..50_000).map(f32::from).collect();
    let old = keep(&rpc, &session, &mut values).unwrap();
    assert_eq!(fetch(&rpc, &session, old).unwrap(), values);
    for worker in workers_of(&agent, 1) {
        signal(worker, libc::SIGKILL);
    }
    until("the session works again", || session.noop() == 0);
    // The new connection keeps tensors of its own, and this is none of them.
    let mut others = [7.0; 3];
    let new = keep(&rpc, &session, &mut others).unwrap();
    assert_ne!(new, old);
    assert_eq!(fetch(&rpc, &session, old), Err(code::ENOENT));
    assert!(last_error().contains("stale"), "{}", last_error());
    assert_eq!(fetch(&rpc, &session, new).unwrap(), others);
    assert_eq!(free(&rpc, &session, old), 0);
    assert_eq!(free(&rpc, &session, new), 0);
    assert_eq!(fetch(&rpc, &session, new), Err(code::ENOENT));
}

#[test]
fn an_agent_that_keeps_none_says_so_and_the_library_keeps_them() {
    // It grants no features, as an older agent.
    let agent = Agent::start();
    let rpc = Rpc::start(&agent.address, &[]);
    let session = rpc.session();
    assert_eq!(keep(&rpc, &session, &mut [1.0]), Err(code::ENOTSUP));
    assert_eq!(session.noop(), 0);
}
