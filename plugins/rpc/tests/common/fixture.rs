//! The plugin and an agent, and arguments as C makes them.

use super::agent::Agent;
use super::{Rpc, Session};
use std::ffi::{CStr, c_void};
use std::ptr::null_mut;
use vaccel_plugin::abi::arg::vaccel_arg;
use vaccel_plugin::abi::op::ExecFn;
use vaccel_plugin::testing::TestResource;
use vaccel_plugin::{Op, ResourceType};

pub(crate) struct Fixture {
    pub(crate) agent: Agent,
    pub(crate) rpc: Rpc,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        let agent = Agent::start();
        let rpc = Rpc::start(&agent.address, &[]);
        Self { agent, rpc }
    }

    pub(crate) fn exec(
        &self,
        session: &Session<'_>,
        symbol: &CStr,
        read: &mut [vaccel_arg],
        write: &mut [vaccel_arg],
    ) -> i32 {
        let exec: ExecFn = self.rpc.plugin.op(Op::Exec);
        // SAFETY: C strings and lists of live arguments.
        unsafe {
            exec(
                session.as_ptr(),
                c"/lib/math.so".as_ptr(),
                symbol.as_ptr(),
                read.as_mut_ptr(),
                read.len(),
                write.as_mut_ptr(),
                write.len(),
            )
        }
    }
}

pub(crate) fn arg(type_: u32, bytes: &mut [u8]) -> vaccel_arg {
    vaccel_arg {
        buf: bytes.as_mut_ptr().cast(),
        size: bytes.len(),
        type_,
        custom_type_id: 0,
        owned: false,
    }
}

pub(crate) fn no_arg(type_: u32) -> vaccel_arg {
    vaccel_arg {
        buf: null_mut(),
        ..arg(type_, &mut [])
    }
}

pub(crate) fn model(id: i64, bytes: &[u8]) -> TestResource {
    TestResource::from_memory(id, ResourceType::Model, "m", bytes)
}

pub(crate) fn f32s(bytes: *const c_void, n: usize) -> Vec<f32> {
    // SAFETY: the callers pass as many numbers.
    unsafe { std::slice::from_raw_parts(bytes.cast::<f32>(), n) }.to_vec()
}
