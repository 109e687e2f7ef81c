//! Megabytes in: a tensor of floats to a model that does nothing with it.
//!
//! The model is the noop plugin's, which hands an input back as an output. It gets two inputs, of
//! which the first has one number, and is asked for one output: that number. So the large
//! one goes in, in the way that tensors go to any backend, and nobody works on it.

use super::{Placement, ROUNDS, Way};
use crate::bench::figure::Figure;
use crate::bench::floor::{self, Kind, PingPong};
use crate::bench::sample::{Summary, bounded, median};
use anyhow::{Context, Result, ensure};
use std::path::Path;
use vaccel::{Library, Model, Resource, ResourceType, Session};
use vaccel_abi::model::{DTYPE_F32, vaccel_tensor};
use vaccel_tests::Agent;

pub(super) const MB: usize = 1 << 20;
/// Calls of a round with 1 MB, and with 64.
const CALLS: (usize, usize) = (2000, 20);

pub(super) fn run(prefix: &Path) -> Result<Vec<Figure>> {
    let placement = Placement::apart()?;
    let mut figures = shared(prefix, &placement)?;
    let agent = placement.start(|| Agent::start(prefix, "noop", &["tcp://127.0.0.1:0"], &[]))?;
    let [unix, tcp] = agent.addresses() else {
        anyhow::bail!("the agent has other addresses than it was told");
    };
    for (way, kind) in [
        (Way::unix(unix), Kind::Unix),
        (Way::new("tcp", tcp), Kind::Tcp),
    ] {
        for (name, bytes, calls) in [("1 MB", MB, CALLS.0), ("64 MB", 64 * MB, CALLS.1)] {
            let mut floor = placement.start(|| PingPong::start(kind, bytes))?;
            let input = Input::new(&way, bytes)?;
            let (mut floors, mut times) = (Vec::new(), Vec::new());
            for _ in 0..ROUNDS {
                floors.push(floor.measure(calls)?);
                times.push(bounded(calls, || input.send())?);
            }
            let (call, floor) = (Summary::of(&times), Summary::of(&floors));
            let title = format!("{name} in, {}", way.name);
            let figure = if kind == Kind::Tcp && bytes == MB {
                Figure::ratio(&title, call.p50, "us", floor.p50, 1.3)
            } else {
                Figure::plain(&title, call.p50, "us").with_floor(floor.p50)
            };
            figures.push(figure.with_p99(call.p99));
        }
    }
    Ok(figures)
}

fn shared(prefix: &Path, placement: &Placement) -> Result<Vec<Figure>> {
    let agent =
        placement.start_free(|| Agent::start(prefix, "noop", &[], &["--mode", "latency"]))?;
    let (small, large) = (MB, 64 * MB);
    let (mut empty, mut copies, mut large_copies) = (Vec::new(), Vec::new(), Vec::new());
    let (mut copied, mut in_place, mut large_times) = (Vec::new(), Vec::new(), Vec::new());
    let any = Input::new(&Way::shared("unix+shm", &agent.address(), "latency"), small)?;
    placement.settle(&agent)?;
    let buffer = Input::in_buffer(any.session.clone(), small)?;
    let big = Input::of(any.session.clone(), large)?;
    for _ in 0..ROUNDS {
        empty.push(bounded(CALLS.0, || Ok(any.session.noop()?))?);
        copies.push(floor::copy(small, CALLS.0)?);
        copied.push(bounded(CALLS.0, || any.send())?);
        in_place.push(bounded(CALLS.0, || buffer.send())?);
        large_copies.push(floor::copy(large, CALLS.1)?);
        large_times.push(bounded(CALLS.1, || big.send())?);
    }
    let round_trip = Summary::of(&empty).p50;
    let (copy, large_copy) = (median(&mut copies), median(&mut large_copies));
    let (copied, in_place) = (Summary::of(&copied), Summary::of(&in_place));
    let large = Summary::of(&large_times);
    let parts = format!("round trip {round_trip:.2} us, warm copy of 1 MB {copy:.2} us");
    let limit = round_trip + 1.5 * copy;
    let buffer_limit = round_trip + 5.0;
    Ok(vec![
        Figure::plain("1 MB in, unix+shm", copied.p50, "us")
            .with_floor(round_trip + copy)
            .wanted(
                format!("<= round trip + 1.5 x copy = {limit:.2} us"),
                copied.p50 <= limit,
            )
            .with_p99(copied.p99)
            .with_note(parts),
        Figure::plain(
            "1 MB in, unix+shm, from vaccel_buffer_alloc",
            in_place.p50,
            "us",
        )
        .with_floor(round_trip)
        .wanted(
            format!("<= round trip + 5 us = {buffer_limit:.2} us"),
            in_place.p50 <= buffer_limit,
        )
        .with_p99(in_place.p99),
        Figure::ratio("64 MB in, unix+shm", large.p50, "us", large_copy, 1.3).with_p99(large.p99),
    ])
}

/// Memory of either kind.
enum Memory {
    Any(Vec<f32>),
    Buffer(vaccel::Buffer),
}

/// A tensor on its way in.
pub(super) struct Input {
    // First: it goes before the session that it belongs to.
    memory: Memory,
    _model: Model,
    resource: Resource,
    session: Session,
}

impl Input {
    fn new(way: &Way, bytes: usize) -> Result<Self> {
        Self::of(way.open()?, bytes)
    }

    fn of(session: Session, bytes: usize) -> Result<Self> {
        let values = vec![1.5; bytes / size_of::<f32>()];
        Self::with(session, Memory::Any(values))
    }

    fn in_buffer(session: Session, bytes: usize) -> Result<Self> {
        let mut buffer = session.buffer(bytes)?;
        buffer.fill(1);
        Self::with(session, Memory::Buffer(buffer))
    }

    fn with(session: Session, memory: Memory) -> Result<Self> {
        let resource = Resource::from_bytes(vec![0; 16], ResourceType::Model, "model.bin")?;
        let model = Model::load(&session, &resource, "")?;
        let input = Self {
            memory,
            _model: model,
            resource,
            session,
        };
        // An answer that is not the first input would mean that something else is measured.
        ensure!(
            input.call()?.to_bits() == 0.25_f32.to_bits(),
            "the model gave something else back"
        );
        Ok(input)
    }

    fn send(&self) -> Result<()> {
        self.call().map(drop)
    }

    fn call(&self) -> Result<f32> {
        let (data, size) = match &self.memory {
            Memory::Any(values) => (values.as_ptr().cast_mut().cast(), size_of_val(&values[..])),
            Memory::Buffer(buffer) => (buffer.as_ptr().cast_mut().cast(), buffer.len()),
        };
        let mut first = 0.25_f32;
        let mut result = 0_f32;
        let tensor = |data, size: usize| {
            let mut dims = vaccel_tensor::empty().dims;
            dims[0] = (size / size_of::<f32>()) as i64;
            vaccel_tensor {
                dtype: DTYPE_F32,
                rank: 1,
                dims,
                data,
                size,
                ..vaccel_tensor::empty()
            }
        };
        let inputs = [
            tensor((&raw mut first).cast(), size_of::<f32>()),
            tensor(data, size),
        ];
        let mut output = vaccel_tensor {
            data: (&raw mut result).cast(),
            size: size_of::<f32>(),
            ..vaccel_tensor::empty()
        };
        let library = Library::get()?;
        let run = library
            .functions()
            .model_run
            .context("the library has no vaccel_model_run")?;
        // SAFETY: session, resource, inputs and the output's memory live; inputs are only read.
        let code = unsafe {
            run(
                self.session.as_ptr(),
                self.resource.as_ptr(),
                inputs.as_ptr(),
                inputs.len(),
                &raw mut output,
                1,
            )
        };
        ensure!(code == 0, "vaccel_model_run failed with {code}");
        Ok(result)
    }
}
