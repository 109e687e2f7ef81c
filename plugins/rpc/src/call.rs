//! One call: C arguments in, a request out, and the reply into C memory.

mod arguments;
mod neutral;

use crate::NAME;
use crate::error;
use crate::held::Held;
use crate::link::{self, Link};
use crate::outputs::OutputList;
use crate::submit::{self, Scope};
use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;
use vaccel_plugin::abi::CResult;
use vaccel_plugin::abi::error::{EREMOTEIO, ESESS};
use vaccel_plugin::abi::session::vaccel_session;
use vaccel_plugin::raw::guard;
use vaccel_plugin::{Error, Result};
use vaccel_transport::shm::Block;
use vaccel_wire::{Frame, FrameBuffer, FrameBuilder, Trace};

/// How often a call looks for another connection before anything of it was sent.
const UNSENT: u32 = 3;

/// What a thread keeps from one call to the next, so that small calls allocate
/// nothing.
#[derive(Default)]
struct Scratch {
    buffer: FrameBuffer,
    outputs: OutputList,
}

thread_local! {
    static SCRATCH: Cell<Option<Box<Scratch>>> = const { Cell::new(None) };
}

impl Scratch {
    /// That of this thread, or new.
    #[inline]
    fn take() -> Box<Self> {
        let kept = SCRATCH.try_with(Cell::take).ok().flatten();
        kept.unwrap_or_default()
    }

    /// For the next call of this thread. In one that ends there is no place to keep it any more.
    #[inline]
    fn keep(self: Box<Self>) {
        let _ = SCRATCH.try_with(|cell| cell.set(Some(self)));
    }
}

/// A request being built: read arguments first, then outputs, in the order of
/// the table of operations.
pub(crate) struct Call<'b, 'a> {
    builder: FrameBuilder<'b, 'a>,
    pub(crate) outputs: &'b mut OutputList,
    link: &'b Link,
    /// Shared memory that the agent uses until it has answered.
    blocks: Vec<Arc<Block>>,
    /// It may be over before the agent has answered: the agent must not write to
    /// memory of the program.
    detached: bool,
}

/// What the program has said of calls of a session.
#[derive(Debug, Clone, Copy, Default)]
struct How {
    /// How long they may take.
    timeout: Option<Duration>,
    /// The span they are made in.
    trace: Option<Trace>,
}

impl How {
    /// Tells an agent that wants to know which span a request is made in.
    fn mark(&self, link: &Link, frame: &mut Frame<'_, '_>) {
        if let Some(trace) = &self.trace
            && link.connection.takes_traces()
        {
            frame.trace(trace);
        }
    }
}

/// Runs an operation of the library on a session; the body of most C functions.
pub(crate) fn op(
    name: &'static str,
    session: *mut vaccel_session,
    code: u32,
    build: impl for<'b, 'a> FnMut(&mut Call<'b, 'a>) -> Result<()>,
) -> CResult {
    guard(NAME, name, || run_on(session, code, build))
}

/// Runs an operation on a session; again, when the connection had broken before it
/// could be sent, or broke meanwhile and the settings allow it.
pub(crate) fn run_on(
    session: *mut vaccel_session,
    code: u32,
    mut build: impl for<'b, 'a> FnMut(&mut Call<'b, 'a>) -> Result<()>,
) -> Result<()> {
    // SAFETY: the library passes live sessions.
    let held = unsafe { Held::of(session) }?;
    let scope = submit::enter();
    let how = How {
        timeout: scope.and_then(Scope::timeout).or_else(|| held.timeout()),
        trace: held.trace(),
    };
    let mut unsent = 0;
    let mut broken = 0;
    loop {
        // SAFETY: as above.
        let session = unsafe { held.live(session) }?;
        // Codes of operations are below 256.
        let (link, number, code) = (&session.link, session.number, code as u16);
        let result = match scope {
            Some(scope) => submit_on(scope, link, number, code, how, &mut build),
            None => run_within(link, number, code, how, &mut build),
        };
        let Err(error) = result else {
            return Ok(());
        };
        if session.link.connection.is_usable() || held.is_foreign() {
            return Err(error);
        }
        match error.code() {
            // The request has never left.
            ESESS if unsent < UNSENT => unsent += 1,
            EREMOTEIO if scope.is_none() && broken < link::settings()?.retry.times(code.into()) => {
                broken += 1;
            }
            _ => return Err(error),
        }
    }
}

/// Runs any operation.
pub(crate) fn run(
    link: &Arc<Link>,
    session: i64,
    code: u16,
    build: impl for<'b, 'a> FnOnce(&mut Call<'b, 'a>) -> Result<()>,
) -> Result<()> {
    run_within(link, session, code, How::default(), build)
}

/// Sends an operation off, without waiting for its end.
fn submit_on(
    scope: &Scope,
    link: &Arc<Link>,
    session: i64,
    code: u16,
    how: How,
    build: impl for<'b, 'a> FnOnce(&mut Call<'b, 'a>) -> Result<()>,
) -> Result<()> {
    let mut scratch = Scratch::take();
    let mut outputs = OutputList::default();
    let send = || {
        let mut call = Call {
            builder: scratch.buffer.request(code),
            outputs: &mut outputs,
            link,
            blocks: Vec::new(),
            detached: true,
        };
        build(&mut call)?;
        let Call {
            builder,
            blocks,
            outputs,
            ..
        } = call;
        let mut frame = builder
            .finish()
            .map_err(|e| Error::new(e.code(), e.to_string()))?;
        how.mark(link, &mut frame);
        let outputs = std::mem::take(outputs);
        scope
            .send(link, session, how.timeout, &mut frame, outputs, blocks)
            .map_err(|e| error::call(&e))
    };
    let result = send();
    scratch.keep();
    result
}

/// Runs any operation, as the program has said.
fn run_within(
    link: &Arc<Link>,
    session: i64,
    code: u16,
    how: How,
    build: impl for<'b, 'a> FnOnce(&mut Call<'b, 'a>) -> Result<()>,
) -> Result<()> {
    let mut scratch = Scratch::take();
    let Scratch { buffer, outputs } = &mut *scratch;
    outputs.clear();
    let result = send(link, session, code, how, buffer, outputs, build);
    outputs.clear();
    scratch.keep();
    result
}

fn send(
    link: &Arc<Link>,
    session: i64,
    code: u16,
    how: How,
    buffer: &mut FrameBuffer,
    outputs: &mut OutputList,
    build: impl for<'b, 'a> FnOnce(&mut Call<'b, 'a>) -> Result<()>,
) -> Result<()> {
    let mut call = Call {
        builder: buffer.request(code),
        outputs,
        link,
        blocks: Vec::new(),
        detached: false,
    };
    build(&mut call)?;
    let Call {
        builder,
        outputs,
        blocks,
        ..
    } = call;
    let mut frame = builder
        .finish()
        .map_err(|e| Error::new(e.code(), e.to_string()))?;
    how.mark(link, &mut frame);
    let called = link
        .connection
        .call_with(&mut frame, session, how.timeout, outputs, blocks);
    match called {
        Ok(()) => outputs.commit(|number| link.keep_tensor(session, number)),
        Err(e) => {
            let e = error::call(&e);
            outputs.commit_failure(&e);
            Err(e)
        }
    }
}
