//! Calls that are sent off, with real agents: stopped, killed, and cancelled against.
#![allow(clippy::unwrap_used)]

mod common;

use common::process::{Process, signal, workers_of};
use common::{Rpc, SOON, Session, until};
use std::ffi::{CStr, c_char};
use std::sync::Mutex;
use std::time::{Duration, Instant};
use vaccel_plugin::abi::completion::{CALL_WATCHED, vaccel_call};
use vaccel_plugin::abi::op::SgemmFn;
use vaccel_plugin::abi::session::vaccel_session;
use vaccel_plugin::{Op, code};

/// One product of two numbers, submitted; the library's part is played here.
#[repr(C)]
struct Product {
    call: vaccel_call,
    session: *mut vaccel_session,
    sgemm: SgemmFn,
    a: f32,
    b: f32,
    c: f32,
    over: Mutex<Vec<(i32, String)>>,
}

unsafe extern "C" fn run(call: *mut vaccel_call) -> i32 {
    let p = call.cast::<Product>();
    // SAFETY: the call is the first field of a product that lives until it is over.
    unsafe {
        let [a, b, c] = [&raw mut (*p).a, &raw mut (*p).b, &raw mut (*p).c];
        ((*p).sgemm)((*p).session, 1, 1, 1, 1.0, a, 1, b, 1, 0.0, c, 1)
    }
}

unsafe extern "C" fn done(call: *mut vaccel_call, code: i32, text: *const c_char) {
    let text = if text.is_null() {
        String::new()
    } else {
        // SAFETY: a C string.
        unsafe { CStr::from_ptr(text) }
            .to_string_lossy()
            .into_owned()
    };
    // SAFETY: as in `run`.
    let over = unsafe { &(*call.cast::<Product>()).over };
    over.lock().unwrap().push((code, text));
}

/// Calls in flight, at addresses that stay.
struct Flight<'s> {
    rpc: &'s Rpc,
    // The library keeps the address of each, which growing a list would change.
    #[allow(clippy::vec_box)]
    all: Vec<Box<Product>>,
}

impl<'s> Flight<'s> {
    fn start(rpc: &'s Rpc, session: &'s Session<'_>, n: usize, ms: u64, flags: u32) -> Self {
        let submit = rpc.plugin.ext().call_submit.unwrap();
        let mut all = Vec::new();
        for i in 0..n {
            let mut product = Box::new(Product {
                call: vaccel_call {
                    size: size_of::<vaccel_call>(),
                    timeout_ms: ms,
                    flags,
                    run: Some(run),
                    done: Some(done),
                    priv_: std::ptr::null_mut(),
                },
                session: session.as_ptr(),
                sgemm: rpc.plugin.op(Op::Sgemm),
                a: i as f32,
                b: 2.0,
                c: -1.0,
                over: Mutex::default(),
            });
            // SAFETY: a live session and a call that stays.
            let code = unsafe { submit(session.as_ptr(), (&raw mut *product).cast()) };
            assert_eq!(code, 0);
            all.push(product);
        }
        Self { rpc, all }
    }

    fn call(&mut self, i: usize) -> *mut vaccel_call {
        (&raw mut *self.all[i]).cast()
    }

    fn drive(&mut self, i: usize, time: Duration) -> i32 {
        let drive = self.rpc.plugin.ext().call_drive.unwrap();
        // SAFETY: submitted and not forgotten.
        unsafe { drive(self.call(i), time.as_millis() as u64) }
    }

    fn cancel(&mut self, i: usize) {
        let cancel = self.rpc.plugin.ext().call_cancel.unwrap();
        // SAFETY: as above.
        assert_eq!(unsafe { cancel(self.call(i)) }, 0);
    }

    /// How each ended: exactly once.
    fn code(&self, i: usize) -> Option<i32> {
        let over = self.all[i].over.lock().unwrap();
        assert!(over.len() <= 1, "{over:?}");
        over.first().map(|(code, _)| *code)
    }

    fn all_have(&self, wanted: i32) {
        for i in 0..self.all.len() {
            assert_eq!(self.code(i), Some(wanted), "{:?}", self.all[i].over);
        }
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        for i in 0..self.all.len() {
            // SAFETY: as in `drive`; it is over, or ends here.
            unsafe {
                self.rpc.plugin.ext().call_cancel.unwrap()(self.call(i));
                self.rpc.plugin.ext().call_forget.unwrap()(self.call(i));
            }
        }
    }
}

/// Stops agent and workers until dropped.
struct Stopped(Vec<u32>);

impl Stopped {
    fn new(agent: &Process) -> Self {
        let all = [vec![agent.id()], workers_of(agent, 1)].concat();
        all.iter().for_each(|&p| signal(p, libc::SIGSTOP));
        let is_stopped = |process: &u32| {
            let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
            let state = stat.rsplit(')').next().unwrap().trim_start();
            state.starts_with('T')
        };
        until("all have stopped", || all.iter().all(is_stopped));
        Self(all)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        for &process in &self.0 {
            // SAFETY: a plain system call. One that was killed may be gone.
            unsafe { libc::kill(process.cast_signed(), libc::SIGCONT) };
        }
    }
}

fn each_way(test: impl Fn(&Rpc, &Process)) {
    for shared in ["1", "0"] {
        let mut agent = Process::start("blas,noop");
        let rpc = Rpc::start(&agent.address(), &[("VACCEL_RPC_SHARED", shared)]);
        test(&rpc, &agent);
        drop(rpc);
        agent.kill();
    }
}

#[test]
fn a_thousand_in_flight_give_each_its_own_result_in_any_order() {
    each_way(|rpc, _agent| {
        let session = rpc.session();
        let mut flight = Flight::start(rpc, &session, 1000, 0, 0);
        for i in (0..1000).rev() {
            assert_eq!(flight.drive(i, SOON), 0);
            assert_eq!(flight.all[i].c, 2.0 * i as f32);
        }
        flight.all_have(0);
    });
}

#[test]
fn watched_calls_end_although_nobody_asks() {
    each_way(|rpc, _agent| {
        let session = rpc.session();
        let flight = Flight::start(rpc, &session, 100, 0, CALL_WATCHED);
        until("all are over", || {
            (0..100).all(|i| flight.code(i).is_some())
        });
        flight.all_have(0);
    });
}

#[test]
fn what_is_cancelled_is_over_at_once_and_its_memory_is_left_alone() {
    each_way(|rpc, agent| {
        let session = rpc.session();
        let mut flight = {
            let _stopped = Stopped::new(agent);
            let mut flight = Flight::start(rpc, &session, 32, 0, 0);
            assert_eq!(flight.drive(0, Duration::from_millis(1)), code::ETIMEDOUT);
            let begun = Instant::now();
            (0..32).for_each(|i| flight.cancel(i));
            assert!(begun.elapsed() < SOON / 4);
            flight.all_have(code::ECANCELED);
            flight
        };
        // The late replies come before this one.
        assert_eq!(session.noop(), 0);
        assert!(flight.all.iter().all(|product| product.c == -1.0));
        flight.cancel(3);
        flight.all_have(code::ECANCELED);
        let mut next = Flight::start(rpc, &session, 8, 0, 0);
        assert_eq!((next.drive(7, SOON), next.all[7].c), (0, 14.0));
        next.cancel(7);
        assert_eq!(next.code(7), Some(0), "it was over before");
    });
}

#[test]
fn calls_to_a_stopped_agent_end_at_their_deadlines() {
    each_way(|rpc, agent| {
        let session = rpc.session();
        let stopped = Stopped::new(agent);
        let begun = Instant::now();
        let mut asked = Flight::start(rpc, &session, 8, 200, 0);
        let watched = Flight::start(rpc, &session, 8, 300, CALL_WATCHED);
        assert_eq!(asked.drive(7, SOON), 0);
        assert!(begun.elapsed() >= Duration::from_millis(200));
        until("all are over", || (0..8).all(|i| watched.code(i).is_some()));
        assert!(begun.elapsed() < SOON / 2, "{:?}", begun.elapsed());
        watched.all_have(code::ETIMEDOUT);
        asked.all_have(code::ETIMEDOUT);
        drop(stopped);
        assert_eq!(session.noop(), 0);
    });
}

#[test]
fn calls_of_a_killed_worker_end_with_errors_and_later_ones_work() {
    each_way(|rpc, agent| {
        let session = rpc.session();
        let mut flight = {
            let stopped = Stopped::new(agent);
            let flight = Flight::start(rpc, &session, 32, 0, 0);
            stopped.0[1..]
                .iter()
                .for_each(|&w| signal(w, libc::SIGKILL));
            flight
        };
        assert_eq!(flight.drive(31, SOON), 0);
        flight.all_have(code::EREMOTEIO);
        let mut next = Flight::start(rpc, &session, 4, 0, 0);
        assert_eq!((next.drive(3, SOON), next.all[3].c), (0, 6.0));
    });
}

#[test]
fn a_plugin_ends_with_calls_in_flight() {
    let agent = Process::start("blas,noop");
    let rpc = Rpc::start(&agent.address(), &[]);
    let session = rpc.session();
    let _stopped = Stopped::new(&agent);
    let flight = Flight::start(&rpc, &session, 8, 0, CALL_WATCHED);
    // It was initialised, and nobody calls an operation.
    let fini = rpc.plugin.info().fini.unwrap();
    // SAFETY: as above.
    assert_eq!(unsafe { fini() }, 0);
    flight.all_have(code::EREMOTEIO);
}
