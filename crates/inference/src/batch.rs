//! Requests of several callers as one run: batching.
//!
//! It is for models whose rows do not depend on each other, which only their owner knows: it is
//! off unless options ask for it (`max_batch`). Sessions take part that have loaded the same model
//! with the same options.
//!
//! A caller that finds no run of the model under way runs at once and alone, on its own memory. One
//! that comes while there is one gathers those who come after it, until that run is over, `max_batch`
//! rows are there, or `batch_window_us` have passed; then all of them run together. So nobody ever
//! waits but for a run that is under way, at most as long as the window, and a lone client
//! never.
//!
//! When the run of a batch fails, each of its callers runs alone and gets its own answer.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};
use vaccel_plugin::{Dtype, Result, Shape, TensorOut, bail, err};

use crate::graph::{Graph, Input, Output};
use crate::port::Port;

/// How requests are gathered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Batching {
    /// Rows of a batch at most: lengths of the first dimension, added up.
    pub max_batch: usize,
    /// How long a request waits for others at most.
    pub window: Duration,
}

/// The requests for one model, of all sessions that share it.
#[derive(Debug)]
pub(crate) struct Queue {
    settings: Batching,
    state: Mutex<State>,
    requests: AtomicU64,
    runs: AtomicU64,
    /// Requests that ran with others.
    joined: AtomicU64,
    /// Batches that failed, or whose results were not rows.
    failed: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    /// Runs under way, alone or of a batch.
    running: usize,
    /// Batches that still take requests.
    open: Vec<Open>,
    /// Set for good when results did not have as many rows as there were in.
    not_rows: bool,
}

/// A batch while it is gathered.
#[derive(Debug)]
struct Open {
    kind: Arc<Kind>,
    batch: Arc<Batch>,
    rows: usize,
    /// Inputs of those who joined, in the order of the kind's.
    bytes: Vec<Vec<u8>>,
}

/// What callers wait for.
#[derive(Debug, Default)]
struct Batch {
    /// The leader's: that the batch is full, or nothing is running any more.
    go: Condvar,
    /// The others': that there is an outcome.
    done: Condvar,
    outcome: OnceLock<Option<Vec<Whole>>>,
}

/// An output of a whole batch: `None` above where the run failed.
#[derive(Debug)]
struct Whole {
    dtype: Dtype,
    /// Lengths beyond the first.
    rest: Vec<i64>,
    row: usize,
    tensor: TensorOut<'static>,
}

/// Requests of one kind can run together.
#[derive(Debug, PartialEq, Eq)]
struct Kind {
    /// Index, type, lengths beyond the first.
    inputs: Vec<(usize, Dtype, Vec<i64>)>,
    outputs: Vec<usize>,
}

/// One run of a graph.
pub(crate) type Run<'g> = &'g dyn Fn(&[Input<'_>], &mut [Output<'_, '_>]) -> Result<()>;

impl Queue {
    pub(crate) fn new(settings: Batching) -> Self {
        Self {
            settings,
            state: Mutex::default(),
            requests: AtomicU64::new(0),
            runs: AtomicU64::new(0),
            joined: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        }
    }

    /// What it has done so far.
    pub(crate) fn facts(&self) -> Json {
        json!({
            "max_batch": self.settings.max_batch,
            "window_us": self.settings.window.as_micros() as u64,
            "requests": self.requests.load(Relaxed),
            "runs": self.runs.load(Relaxed),
            "joined": self.joined.load(Relaxed),
            "failed": self.failed.load(Relaxed),
        })
    }

    /// Runs a request, with others where that is possible.
    ///
    /// # Errors
    /// Those of the request alone.
    pub(crate) fn run(
        &self,
        inputs: &[Input<'_>],
        outputs: &mut [Output<'_, '_>],
        run: Run<'_>,
    ) -> Result<()> {
        self.requests.fetch_add(1, Relaxed);
        let Some((kind, rows)) = kind_of(inputs, outputs) else {
            return self.alone(self.lock(), inputs, outputs, run);
        };
        let mut state = self.lock();
        if state.not_rows || rows >= self.settings.max_batch {
            return self.alone(state, inputs, outputs, run);
        }
        if let Some((batch, first)) = self.join(&mut state, &kind, rows, inputs) {
            let state = self.wait(state, &batch);
            if let Some(Some(whole)) = batch.outcome.get() {
                drop(state);
                return take_rows(whole, first, rows, outputs);
            }
            return self.alone(state, inputs, outputs, run);
        }
        if state.running == 0 {
            return self.alone(state, inputs, outputs, run);
        }
        self.lead(state, kind, rows, inputs, outputs, run)
    }

    /// Adds a request to a batch that takes it; gives the batch and its first row there.
    fn join(
        &self,
        state: &mut State,
        kind: &Kind,
        rows: usize,
        inputs: &[Input<'_>],
    ) -> Option<(Arc<Batch>, usize)> {
        let fits =
            |open: &&mut Open| *open.kind == *kind && open.rows + rows <= self.settings.max_batch;
        let open = state.open.iter_mut().find(fits)?;
        // All or nothing: without memory for one of them the request runs alone.
        for (bytes, input) in open.bytes.iter_mut().zip(inputs) {
            bytes.try_reserve(input.bytes.len()).ok()?;
        }
        for (bytes, input) in open.bytes.iter_mut().zip(inputs) {
            bytes.extend_from_slice(input.bytes);
        }
        let first = open.rows;
        open.rows += rows;
        if open.rows == self.settings.max_batch {
            open.batch.go.notify_one();
        }
        Some((Arc::clone(&open.batch), first))
    }

    /// Gathers others, and runs for all of them.
    fn lead<'s>(
        &'s self,
        mut state: MutexGuard<'s, State>,
        kind: Kind,
        rows: usize,
        inputs: &[Input<'_>],
        outputs: &mut [Output<'_, '_>],
        run: Run<'_>,
    ) -> Result<()> {
        let batch = Arc::<Batch>::default();
        let kind = Arc::new(kind);
        state.open.push(Open {
            kind: Arc::clone(&kind),
            batch: Arc::clone(&batch),
            rows,
            bytes: inputs.iter().map(|_| Vec::new()).collect(),
        });
        let until = Instant::now() + self.settings.window;
        let (mut state, open) = loop {
            let of_ours = |open: &Open| Arc::ptr_eq(&open.batch, &batch);
            let Some(at) = state.open.iter().position(of_ours) else {
                // Only its leader takes it away.
                bail!(EIO, "a batch was lost");
            };
            let left = until.saturating_duration_since(Instant::now());
            let full = state.open[at].rows >= self.settings.max_batch;
            if full || state.running == 0 || left.is_zero() {
                let open = state.open.swap_remove(at);
                break (state, open);
            }
            let waited = batch.go.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        };
        if open.rows == rows {
            return self.alone(state, inputs, outputs, run);
        }
        state.running += 1;
        drop(state);
        // However this ends: those who joined get an outcome, and who waits for the run goes on.
        let mut ending = Ending {
            queue: self,
            batch: &batch,
            outcome: None,
        };
        self.runs.fetch_add(1, Relaxed);
        let ran = catch_unwind(AssertUnwindSafe(|| together(&kind, inputs, &open, run)));
        let ran = match ran {
            Ok(ran) => ran,
            Err(panic) => {
                drop(ending);
                resume_unwind(panic)
            }
        };
        match ran {
            Ok(Some(whole)) => {
                ending.outcome = Some(whole);
                drop(ending);
                match batch.outcome.get() {
                    Some(Some(whole)) => take_rows(whole, 0, rows, outputs),
                    _ => Err(err!(EIO, "the results of a batch were lost")),
                }
            }
            other => {
                self.failed.fetch_add(1, Relaxed);
                drop(ending);
                let mut state = self.lock();
                // Not the rows of the batch: it will never be otherwise.
                state.not_rows |= other.is_ok();
                self.alone(state, inputs, outputs, run)
            }
        }
    }

    /// Runs a request by itself, on the caller's memory.
    fn alone(
        &self,
        mut state: MutexGuard<'_, State>,
        inputs: &[Input<'_>],
        outputs: &mut [Output<'_, '_>],
        run: Run<'_>,
    ) -> Result<()> {
        state.running += 1;
        drop(state);
        let _running = Running(self);
        self.runs.fetch_add(1, Relaxed);
        run(inputs, outputs)
    }

    /// Waits for the outcome of a batch. Its leader never leaves without one.
    fn wait<'s>(
        &'s self,
        mut state: MutexGuard<'s, State>,
        batch: &Batch,
    ) -> MutexGuard<'s, State> {
        self.joined.fetch_add(1, Relaxed);
        while batch.outcome.get().is_none() {
            let waited = batch.done.wait(state);
            state = waited.unwrap_or_else(PoisonError::into_inner);
        }
        state
    }

    // Nothing panics while it is held.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One run less; with the last one those who gather go.
    fn ended(&self, state: &mut State) {
        state.running -= 1;
        if state.running == 0 {
            for open in &state.open {
                open.batch.go.notify_one();
            }
        }
    }
}

/// A run of one request, until it is dropped.
struct Running<'q>(&'q Queue);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.ended(&mut self.0.lock());
    }
}

/// A run of a batch, until it is dropped.
struct Ending<'q> {
    queue: &'q Queue,
    batch: &'q Batch,
    outcome: Option<Vec<Whole>>,
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        let mut state = self.queue.lock();
        // Set here alone, and so once.
        let _ = self.batch.outcome.set(self.outcome.take());
        self.batch.done.notify_all();
        self.queue.ended(&mut state);
    }
}

/// What a request has to share with others, and its rows; `None` for one that cannot run with
/// others.
fn kind_of(inputs: &[Input<'_>], outputs: &[Output<'_, '_>]) -> Option<(Kind, usize)> {
    let rows = *inputs.first()?.shape.dims().first()?;
    let rows = usize::try_from(rows).ok().filter(|rows| *rows > 0)?;
    let mut kind = Kind {
        inputs: Vec::with_capacity(inputs.len()),
        outputs: outputs.iter().map(|output| output.port).collect(),
    };
    for input in inputs {
        let (first, rest) = input.shape.dims().split_first()?;
        let row = input.dtype.bytes_for(rest)?;
        // Elements of less than a byte may end within one.
        let whole = row.checked_mul(rows) == Some(input.bytes.len());
        if usize::try_from(*first) != Ok(rows) || !whole || row == 0 {
            return None;
        }
        kind.inputs.push((input.port, input.dtype, rest.to_vec()));
    }
    Some((kind, rows))
}

/// Runs a batch; `None` when its results are not as many rows as it has.
fn together(
    kind: &Kind,
    inputs: &[Input<'_>],
    open: &Open,
    run: Run<'_>,
) -> Result<Option<Vec<Whole>>> {
    let mut all: Vec<Vec<u8>> = Vec::with_capacity(inputs.len());
    for (input, joined) in inputs.iter().zip(&open.bytes) {
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(input.bytes.len() + joined.len())?;
        bytes.extend_from_slice(input.bytes);
        bytes.extend_from_slice(joined);
        all.push(bytes);
    }
    let rows = i64::try_from(open.rows).map_err(|_| err!(ERANGE, "{} rows", open.rows))?;
    let mut batched = Vec::with_capacity(inputs.len());
    for (input, bytes) in inputs.iter().zip(&all) {
        let mut dims = input.shape.dims().to_vec();
        if let Some(first) = dims.first_mut() {
            *first = rows;
        }
        batched.push(Input {
            port: input.port,
            dtype: input.dtype,
            shape: Shape::new(&dims)?,
            bytes,
        });
    }
    let mut tensors: Vec<TensorOut<'static>> = Vec::new();
    tensors.resize_with(kind.outputs.len(), || TensorOut::allocating(None));
    let mut wanted: Vec<Output<'_, '_>> = kind
        .outputs
        .iter()
        .zip(&mut tensors)
        .map(|(&port, to)| Output { port, to })
        .collect();
    run(&batched, &mut wanted)?;
    Ok(tensors.into_iter().map(|t| whole(t, rows)).collect())
}

/// A result as rows; `None` when it is something else.
fn whole(tensor: TensorOut<'static>, rows: i64) -> Option<Whole> {
    let dtype = tensor.dtype()?;
    let (first, rest) = tensor.shape().split_first()?;
    let rest = rest.to_vec();
    let row = dtype.bytes_for(&rest)?;
    let length = row.checked_mul(usize::try_from(rows).ok()?)?;
    (*first == rows && tensor.bytes().len() == length).then_some(Whole {
        dtype,
        rest,
        row,
        tensor,
    })
}

/// Writes a caller's rows where it wants them.
fn take_rows(
    whole: &[Whole],
    first: usize,
    rows: usize,
    outputs: &mut [Output<'_, '_>],
) -> Result<()> {
    for (whole, output) in whole.iter().zip(outputs) {
        let mut dims = Vec::with_capacity(whole.rest.len() + 1);
        dims.push(i64::try_from(rows).map_err(|_| err!(ERANGE, "{rows} rows"))?);
        dims.extend_from_slice(&whole.rest);
        let bytes = whole.tensor.bytes();
        let Some(bytes) = bytes.get(first * whole.row..(first + rows) * whole.row) else {
            bail!(EIO, "the results of a batch have too few rows");
        };
        output.to.write(whole.dtype, &dims, bytes)?;
    }
    Ok(())
}

/// Why a model cannot run requests of several callers together; `None` when it can.
pub(crate) fn obstacle(graph: &impl Graph) -> Option<String> {
    let closed = |kind: &str, ports: &[Port]| {
        let is_open = |port: &&Port| {
            let first = port.dims.as_ref().and_then(|dims| dims.first());
            first != Some(&None)
        };
        let port = ports.iter().find(is_open)?;
        Some(format!(
            "{kind} `{}` is {}, its first dimension is not open",
            port.name,
            port.signature()
        ))
    };
    closed("input", graph.inputs())
        .or_else(|| closed("output", graph.outputs()))
        .or_else(|| {
            graph
                .inputs()
                .is_empty()
                .then(|| "it has no inputs".to_owned())
        })
}

#[cfg(test)]
#[path = "batch_tests.rs"]
mod tests;
