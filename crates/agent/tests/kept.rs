//! Tensors that a worker keeps, and clients that mean harm.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::{Agent, Client};
use vaccel_abi::error::{EINVAL, ENOENT, ENOSPC, ENOTSUP, EPERM, ESESS};
use vaccel_abi::model::DTYPE_F32;
use vaccel_transport::{CallError, Destination, Outputs, PlaceError};
use vaccel_wire::control::{SESSION_CLOSE, TENSOR_FETCH, TENSOR_FREE, TENSOR_KEEP};
use vaccel_wire::{Arg, FrameBuffer, TensorMeta};

/// Takes the number of one kept tensor.
#[derive(Default)]
struct Number(i64, usize);

impl Outputs for Number {
    fn place(&mut self, arg: &Arg<'_>) -> Result<Destination, PlaceError> {
        self.0 = arg.kept.ok_or_else(|| "it was not kept".to_owned())?;
        self.1 = arg.size;
        Ok(Destination::none())
    }

    fn takes_kept(&self) -> bool {
        true
    }
}

fn meta(dims: &[i64]) -> TensorMeta<'_> {
    TensorMeta {
        dtype: u16::try_from(DTYPE_F32).unwrap(),
        dims,
        name: None,
    }
}

fn keep(client: &Client, session: i64, bytes: &[u8]) -> Result<i64, CallError> {
    let dims = [i64::try_from(bytes.len() / 4).unwrap()];
    let mut buffer = FrameBuffer::new();
    let mut builder = buffer.request(TENSOR_KEEP);
    builder
        .read_tensor(&meta(&dims), bytes)
        .write_tensor_keep(&meta(&[]));
    let mut frame = builder.finish().unwrap();
    let mut number = Number::default();
    client
        .connection
        .call(&mut frame, session, None, &mut number)?;
    assert_eq!(number.1, bytes.len());
    Ok(number.0)
}

fn fetch(client: &Client, session: i64, number: i64) -> Result<Vec<u8>, CallError> {
    let outputs = client.call(TENSOR_FETCH, session, |b| {
        b.read_scalar(number).write_tensor(&meta(&[]), None);
    })?;
    Ok(outputs.into_iter().next().unwrap())
}

fn free(client: &Client, session: i64, number: i64) -> Result<(), CallError> {
    client
        .call(TENSOR_FREE, session, |b| {
            b.read_scalar(number);
        })
        .map(drop)
}

fn status<T: std::fmt::Debug>(result: Result<T, CallError>) -> i32 {
    match result {
        Err(CallError::Remote { status, .. }) => status,
        other => panic!("{other:?}"),
    }
}

#[test]
fn only_their_session_has_them_and_only_while_they_are_kept() {
    let agent = Agent::start(&[]);
    let client = Client::to(agent.address()).unwrap();
    let stranger = Client::to(agent.address()).unwrap();
    let (session, other) = (client.open_session(0), client.open_session(0));
    let theirs = stranger.open_session(0);
    let bytes: Vec<u8> = (0..40_000u32).flat_map(u32::to_le_bytes).collect();
    let number = keep(&client, session, &bytes).unwrap();
    assert_eq!(fetch(&client, session, number).unwrap(), bytes);
    // Another session of the connection, another connection, and numbers made up.
    assert_eq!(status(fetch(&client, other, number)), EPERM);
    assert_eq!(status(free(&client, other, number)), EPERM);
    assert_eq!(status(fetch(&stranger, theirs, number)), ENOENT);
    assert_eq!(status(fetch(&stranger, session, number)), ESESS);
    for odd in [0, -1, 1, i64::MIN, i64::MAX, number ^ 1, !number] {
        assert_eq!(status(fetch(&client, session, odd)), ENOENT, "{odd}");
        assert_eq!(status(free(&client, session, odd)), ENOENT, "{odd}");
    }
    free(&client, session, number).unwrap();
    assert_eq!(status(fetch(&client, session, number)), ENOENT);
    assert_eq!(status(free(&client, session, number)), ENOENT);
    // A session takes its own along, and no others.
    let (mine, stays) = (
        keep(&client, session, &bytes).unwrap(),
        keep(&client, other, &bytes).unwrap(),
    );
    client.call(SESSION_CLOSE, session, |_| {}).unwrap();
    assert_eq!(status(fetch(&client, other, mine)), ENOENT);
    assert_eq!(fetch(&client, other, stays).unwrap(), bytes);
}

#[test]
fn what_is_malformed_is_refused_and_the_connection_goes_on() {
    let agent = Agent::start(&[]);
    let client = Client::to(agent.address()).unwrap();
    let session = client.open_session(0);
    let (dims, wrong) = ([2], [3]);
    let (two, three) = (meta(&dims), meta(&wrong));
    let fails = |operation, build: &dyn Fn(&mut vaccel_wire::FrameBuilder<'_, 'static>)| {
        client.fails(operation, session, build).0
    };
    // Bytes that do not suit the shape, no tensor, two tensors, no place, a negative length.
    let keep = |b: &mut vaccel_wire::FrameBuilder<'_, 'static>| {
        b.read_tensor(&three, &[0; 8]).write_tensor_keep(&two);
    };
    assert_eq!(fails(TENSOR_KEEP, &keep), EINVAL);
    assert_eq!(fails(TENSOR_KEEP, &|_| {}), EINVAL);
    assert_eq!(
        fails(TENSOR_KEEP, &|b| {
            b.read_tensor(&two, &[0; 8])
                .read_tensor(&two, &[0; 8])
                .write_tensor_keep(&two);
        }),
        EINVAL
    );
    assert_eq!(
        fails(TENSOR_KEEP, &|b| {
            b.read_tensor(&two, &[0; 8]);
        }),
        EINVAL
    );
    assert_eq!(
        fails(TENSOR_KEEP, &|b| {
            b.read_tensor(&meta(&[-2]), &[0; 8]).write_tensor_keep(&two);
        }),
        EINVAL
    );
    // A number where elements are wanted, and an operation that takes no kept tensors.
    assert_eq!(
        fails(TENSOR_KEEP, &|b| {
            b.read_tensor_kept(&two, 7).write_tensor_keep(&two);
        }),
        EINVAL
    );
    let exec = u16::try_from(vaccel_abi::op::OP_EXEC).unwrap();
    assert_eq!(
        fails(exec, &|b| {
            b.read_text("library")
                .read_text("symbol")
                .read_tensor_kept(&two, 7);
        }),
        ENOTSUP
    );
    client.noop(session).unwrap();
}

#[test]
fn they_count_with_what_resources_take_and_give_it_back() {
    let agent = Agent::start(&["--max-resources", "64K"]);
    let client = Client::to(agent.address()).unwrap();
    let session = client.open_session(0);
    let bytes = vec![1; 40_000];
    let first = keep(&client, session, &bytes).unwrap();
    assert_eq!(status(keep(&client, session, &bytes)), ENOSPC);
    // Refused, and nothing of it is counted.
    keep(&client, session, &bytes[..20_000]).unwrap();
    free(&client, session, first).unwrap();
    keep(&client, session, &bytes).unwrap();
    // A closed session gives everything back.
    client.call(SESSION_CLOSE, session, |_| {}).unwrap();
    let session = client.open_session(0);
    keep(&client, session, &vec![1; 64 << 10]).unwrap();
}
