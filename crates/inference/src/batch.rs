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
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};
use vaccel_plugin::{Dtype, Result, Shape, TensorOut, bail, err};

use crate::gather::{Kind, Rows};
use crate::graph::{Graph, Input, Output};
use crate::port::Port;

/// Batches whose memory is kept: one runs while the next is gathered.
const SPARE: usize = 2;

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
    /// Memory of batches that are over, for the next of the same kind.
    spare: Vec<(Arc<Kind>, Rows)>,
    /// Set for good when results did not have as many rows as there were in.
    not_rows: bool,
}

/// A batch while it is gathered.
#[derive(Debug)]
struct Open {
    kind: Arc<Kind>,
    batch: Arc<Batch>,
    /// Rows that have a place, and the requests that they are of.
    rows: usize,
    requests: usize,
    /// Where each request writes its own.
    memory: Arc<Rows>,
}

/// A place in a batch.
struct Place {
    batch: Arc<Batch>,
    memory: Arc<Rows>,
    first: usize,
}

/// What callers wait for.
#[derive(Debug, Default)]
struct Batch {
    /// Requests whose rows are where they belong; changed under the lock.
    written: AtomicUsize,
    /// The leader's: that the batch is full, that nothing is running any more, or that rows were
    /// written.
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
        let Some((kind, rows)) = Kind::of(inputs, outputs) else {
            return self.alone(self.lock(), inputs, outputs, run);
        };
        let mut state = self.lock();
        if state.not_rows || rows >= self.settings.max_batch {
            return self.alone(state, inputs, outputs, run);
        }
        if let Some(place) = self.join(&mut state, &kind, rows) {
            drop(state);
            let (batch, first) = (Arc::clone(&place.batch), place.first);
            let state = self.wait(self.write(place, inputs), &batch);
            if let Some(Some(whole)) = batch.outcome.get() {
                drop(state);
                return take_rows(whole, first, rows, outputs);
            }
            return self.alone(state, inputs, outputs, run);
        }
        if state.running == 0 {
            return self.alone(state, inputs, outputs, run);
        }
        match self.open(&mut state, kind, rows) {
            Some(place) => {
                drop(state);
                self.lead(place, rows, inputs, outputs, run)
            }
            None => self.alone(state, inputs, outputs, run),
        }
    }

    /// Gives a request a place in a batch that takes it.
    fn join(&self, state: &mut State, kind: &Kind, rows: usize) -> Option<Place> {
        let fits = |open: &&mut Open| *open.kind == *kind && open.rows + rows <= self.most(open);
        let open = state.open.iter_mut().find(fits)?;
        let first = open.rows;
        open.rows += rows;
        open.requests += 1;
        if open.rows == self.most(open) {
            open.batch.go.notify_one();
        }
        Some(Place {
            batch: Arc::clone(&open.batch),
            memory: Arc::clone(&open.memory),
            first,
        })
    }

    /// Rows that a batch takes at most.
    fn most(&self, open: &Open) -> usize {
        self.settings.max_batch.min(open.memory.capacity())
    }

    /// Opens a batch with a first request; `None` without memory for it.
    fn open(&self, state: &mut State, kind: Kind, rows: usize) -> Option<Place> {
        let memory = match state.spare.iter().position(|(of, _)| **of == kind) {
            Some(at) => state.spare.swap_remove(at).1,
            None => Rows::new(&kind.row_bytes()?, self.settings.max_batch, rows + 1)?,
        };
        let (batch, memory) = (Arc::<Batch>::default(), Arc::new(memory));
        state.open.push(Open {
            kind: Arc::new(kind),
            batch: Arc::clone(&batch),
            rows,
            requests: 1,
            memory: Arc::clone(&memory),
        });
        let first = 0;
        Some(Place {
            batch,
            memory,
            first,
        })
    }

    /// Copies a request's rows to their place, beside others who do the same.
    fn write(&self, place: Place, inputs: &[Input<'_>]) -> MutexGuard<'_, State> {
        for (at, input) in inputs.iter().enumerate() {
            // SAFETY: the place is this request's alone, and its leader reads it when all have written.
            let fits = unsafe { place.memory.write(at, place.first, input.bytes) };
            debug_assert!(fits, "places are given within the capacity");
        }
        let Place { batch, memory, .. } = place;
        // Before the leader may want it for itself.
        drop(memory);
        let state = self.lock();
        batch.written.fetch_add(1, Relaxed);
        batch.go.notify_one();
        state
    }

    /// Gathers others, and runs for all of them.
    fn lead(
        &self,
        place: Place,
        rows: usize,
        inputs: &[Input<'_>],
        outputs: &mut [Output<'_, '_>],
        run: Run<'_>,
    ) -> Result<()> {
        let until = Instant::now() + self.settings.window;
        let batch = Arc::clone(&place.batch);
        let mut state = self.write(place, inputs);
        let wait = |state, left| {
            let waited = batch.go.wait_timeout(state, left);
            waited.unwrap_or_else(PoisonError::into_inner).0
        };
        let open = loop {
            let of_ours = |open: &Open| Arc::ptr_eq(&open.batch, &batch);
            let Some(at) = state.open.iter().position(of_ours) else {
                // Only its leader takes it away.
                bail!(EIO, "a batch was lost");
            };
            let left = until.saturating_duration_since(Instant::now());
            let full = state.open[at].rows >= self.most(&state.open[at]);
            if full || state.running == 0 || left.is_zero() {
                break state.open.swap_remove(at);
            }
            state = wait(state, left);
        };
        if open.rows == rows {
            keep(&mut state, open.kind, open.memory);
            return self.alone(state, inputs, outputs, run);
        }
        state.running += 1;
        // Whoever got a place is about to write: that takes no longer than a copy.
        while batch.written.load(Relaxed) < open.requests {
            state = wait(state, self.settings.window.max(Duration::from_millis(1)));
        }
        drop(state);
        // However this ends: those who joined get an outcome, and who waits for the run goes on.
        let mut ending = Ending {
            queue: self,
            batch: &batch,
            outcome: None,
            memory: Some((Arc::clone(&open.kind), Arc::clone(&open.memory))),
        };
        self.runs.fetch_add(1, Relaxed);
        let ran = catch_unwind(AssertUnwindSafe(|| together(inputs, open, run)));
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
    memory: Option<(Arc<Kind>, Arc<Rows>)>,
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        let mut state = self.queue.lock();
        if let Some((kind, memory)) = self.memory.take() {
            keep(&mut state, kind, memory);
        }
        // Set here alone, and so once.
        let _ = self.batch.outcome.set(self.outcome.take());
        self.batch.done.notify_all();
        self.queue.ended(&mut state);
    }
}

/// Keeps the memory of a batch that is over, unless somebody has it still.
fn keep(state: &mut State, kind: Arc<Kind>, memory: Arc<Rows>) {
    if let Some(memory) = Arc::into_inner(memory) {
        state.spare.insert(0, (kind, memory));
        state.spare.truncate(SPARE);
    }
}

/// Runs a batch; `None` when its results are not as many rows as it has.
fn together(inputs: &[Input<'_>], open: Open, run: Run<'_>) -> Result<Option<Vec<Whole>>> {
    let rows = i64::try_from(open.rows).map_err(|_| err!(ERANGE, "{} rows", open.rows))?;
    let mut batched = Vec::with_capacity(inputs.len());
    for (at, input) in inputs.iter().enumerate() {
        let mut dims = input.shape.dims().to_vec();
        if let Some(first) = dims.first_mut() {
            *first = rows;
        }
        batched.push(Input {
            port: input.port,
            dtype: input.dtype,
            shape: Shape::new(&dims)?,
            // SAFETY: every request has written its rows, and nobody gets a place in a closed batch.
            bytes: unsafe { open.memory.read(at, open.rows) },
        });
    }
    let mut tensors: Vec<TensorOut<'static>> = Vec::new();
    tensors.resize_with(open.kind.outputs.len(), || TensorOut::allocating(None));
    let mut wanted: Vec<Output<'_, '_>> = open
        .kind
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
