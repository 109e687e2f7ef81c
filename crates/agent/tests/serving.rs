//! What a client can do: sessions, operations, resources.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::{Agent, Client, EXEC, Hold, PATIENCE, float_bytes, floats, wait_until};
use std::time::{Duration, Instant};
use vaccel_abi::arg::{
    ARG_BUFFER, ARG_FLOAT32_ARRAY, ARG_FLOAT64, ARG_FLOAT64_ARRAY, ARG_UCHAR_ARRAY, CUSTOM_TENSOR,
};
use vaccel_abi::blob::BLOB_FILE;
use vaccel_abi::error::{EACCES, EINVAL, ENOTSUP, ERANGE, ESESS, ETIMEDOUT};
use vaccel_abi::model::DTYPE_F32;
use vaccel_abi::op::{OP_BLAS_SGEMM, OP_IMAGE_CLASSIFY, OP_MINMAX, OP_MODEL_LOAD, OP_MODEL_RUN};
use vaccel_abi::resource::PATH_LOCAL_FILE;
use vaccel_transport::CallError;
use vaccel_wire::{FrameBuffer, TensorMeta, control};

fn op(code: u32) -> u16 {
    u16::try_from(code).unwrap()
}

#[test]
fn a_session_is_opened_used_updated_and_closed() {
    let agent = Agent::start(&[]);
    let client = agent.connect();
    let session = client.open_session(0);
    client.noop(session).unwrap();
    client
        .call(control::SESSION_UPDATE, session, |b| {
            b.read_scalar(EXEC);
        })
        .unwrap();
    client.noop(session).unwrap();
    client
        .call(control::SESSION_CLOSE, session, |_| {})
        .unwrap();
    assert_eq!(client.fails(0, session, |_| {}).0, ESESS);
    client.connection.ping(PATIENCE).unwrap();
    agent.stop();
}

#[test]
fn operations_get_their_arguments_and_give_their_results() {
    let agent = Agent::start(&[]);
    let client = agent.connect();
    let session = client.open_session(0);

    let data: Vec<u8> = [1.0f64, 5.0, -3.0]
        .iter()
        .flat_map(|v| v.to_le_bytes())
        .collect();
    let outputs = client
        .call(op(OP_MINMAX), session, |b| {
            b.read_bytes(ARG_FLOAT64_ARRAY, 0, &data)
                .read_scalar(3i32)
                .read_scalar(-10i32)
                .read_scalar(10i32)
                .write_capacity(ARG_FLOAT64_ARRAY, 0, data.len())
                .write_capacity(ARG_FLOAT64, 0, 8)
                .write_capacity(ARG_FLOAT64, 0, 8);
        })
        .unwrap();
    assert_eq!(outputs[0], data);
    assert_eq!(outputs[1], (-10f64).to_le_bytes());
    assert_eq!(outputs[2], 10f64.to_le_bytes());

    // Matrices of 300 x 300: too large for one packet, aligned to 64 in the worker.
    let n = 300i64;
    let a = float_bytes(&vec![1.0; 90_000]);
    let sgemm = |beta: f32, c: Option<&[u8]>| {
        let mut buffer = FrameBuffer::new();
        let mut builder = buffer.request(op(OP_BLAS_SGEMM));
        builder
            .read_scalar(n)
            .read_scalar(n)
            .read_scalar(n)
            .read_scalar(1.0f32)
            .read_bytes(ARG_FLOAT32_ARRAY, 0, &a)
            .read_scalar(n)
            .read_bytes(ARG_FLOAT32_ARRAY, 0, &a)
            .read_scalar(n)
            .read_scalar(beta)
            .read_scalar(n);
        match c {
            Some(c) => builder.write_bytes(ARG_FLOAT32_ARRAY, 0, c),
            None => builder.write_capacity(ARG_FLOAT32_ARRAY, 0, a.len()),
        };
        let mut outputs = vaccel_transport::Collect::default();
        let mut frame = builder.finish().unwrap();
        client
            .connection
            .call(&mut frame, session, None, &mut outputs)
            .map(|()| outputs.outputs)
    };
    assert_eq!(floats(&sgemm(0.0, None).unwrap()[0]), vec![0.0; 90_000]);
    let c = float_bytes(&vec![7.0; 90_000]);
    assert_eq!(sgemm(1.0, Some(&c)).unwrap()[0].len(), c.len());

    let outputs = client
        .call(op(OP_IMAGE_CLASSIFY), session, |b| {
            b.read_buffer(b"not really a picture")
                .write_capacity(ARG_UCHAR_ARRAY, 0, 100)
                .write_capacity(ARG_UCHAR_ARRAY, 0, 100);
        })
        .unwrap();
    assert!(String::from_utf8_lossy(&outputs[1]).contains("classification tag"));
    agent.stop();
}

#[test]
fn tensors_go_through_a_model_unchanged() {
    let agent = Agent::start(&[]);
    let client = agent.connect();
    let session = client.open_session(0);
    let model = client
        .resource(
            session,
            PATH_LOCAL_FILE,
            &[(BLOB_FILE, "model.onnx", b"bytes")],
        )
        .unwrap();
    client
        .call(op(OP_MODEL_LOAD), session, |b| {
            b.read_scalar(model);
        })
        .unwrap();
    let data = float_bytes(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    let dtype = u16::try_from(DTYPE_F32).unwrap();
    let input = TensorMeta {
        dtype,
        dims: &[2, 3],
        name: Some(b"input"),
    };
    let unset = TensorMeta {
        dtype: 0,
        dims: &[],
        name: None,
    };
    let run = |capacity: Option<usize>| {
        client.call(op(OP_MODEL_RUN), session, |b| {
            b.read_scalar(model)
                .read_tensor(&input, &data)
                .write_tensor(&unset, capacity);
        })
    };
    assert_eq!(run(None).unwrap()[0], data, "the agent allocates");
    assert_eq!(
        run(Some(100)).unwrap()[0],
        data,
        "the client has room to spare"
    );
    match run(Some(8)) {
        Err(CallError::Remote { status, .. }) => assert_eq!(status, ERANGE),
        other => panic!("{other:?}"),
    }
    agent.stop();
}

#[test]
fn what_a_client_must_not_send_is_refused_and_the_connection_goes_on() {
    let agent = Agent::start(&[]);
    let client = agent.connect();
    let session = client.open_session(EXEC);
    // The structure behind a tensor argument holds pointers; a client must not bring one.
    let forged = [0x41; 152];
    let refused = client.fails(op(vaccel_abi::op::OP_EXEC), session, |b| {
        b.read_text("libc.so.6")
            .read_text("sched_yield")
            .read_bytes(vaccel_abi::arg::ARG_CUSTOM, CUSTOM_TENSOR, &forged);
    });
    assert_eq!(refused.0, EINVAL, "{}", refused.1);
    let unterminated = client.fails(op(vaccel_abi::op::OP_EXEC), session, |b| {
        b.read_bytes(vaccel_abi::arg::ARG_STRING, 0, b"libc.so.6")
            .read_text("sched_yield");
    });
    assert_eq!(unterminated.0, EINVAL, "{}", unterminated.1);
    assert_eq!(client.fails(200, session, |_| {}).0, ENOTSUP);
    assert_eq!(client.fails(9999, session, |_| {}).0, ENOTSUP);
    // Too few arguments, wrong types.
    assert_eq!(client.fails(op(OP_BLAS_SGEMM), session, |_| {}).0, EINVAL);
    assert_eq!(client.fails(control::SESSION_OPEN, 0, |_| {}).0, EINVAL);
    // Room for outputs beyond the limit.
    let greedy = client.fails(op(OP_IMAGE_CLASSIFY), session, |b| {
        b.read_buffer(b"x").write_capacity(ARG_BUFFER, 0, 1 << 40);
    });
    assert_eq!(greedy.0, ERANGE, "{}", greedy.1);
    client
        .exec(session, "allocate", &[], Some(0), None)
        .unwrap();
    let missing = client.exec(session, "no_such_function", &[], None, None);
    assert!(
        matches!(missing, Err(CallError::Remote { .. })),
        "{missing:?}"
    );
    agent.stop();
}

#[test]
fn the_agent_describes_itself_and_its_plugins() {
    let agent = Agent::start(&[]);
    let client = agent.connect();
    let outputs = client.call(control::DESCRIBE, 0, |b| {
        b.write_allocate(ARG_BUFFER);
    });
    let about: serde_json::Value = serde_json::from_slice(&outputs.unwrap()[0]).unwrap();
    assert_eq!(about["agent"], env!("CARGO_PKG_VERSION"));
    let plugins: Vec<_> = about["plugins"].as_array().unwrap().iter().collect();
    assert!(plugins.iter().any(|p| p["name"] == "noop"), "{about}");
    agent.stop();
}

#[test]
fn an_operation_that_runs_long_does_not_hold_up_others_of_its_connection() {
    let agent = Agent::start(&[]);
    let client = agent.connect();
    let (long, short) = (client.open_session(EXEC), client.open_session(0));
    let hold = Hold::new();
    std::thread::scope(|scope| {
        let held = scope.spawn(|| hold.run(&client, long, None));
        hold.wait_until_begun();
        for _ in 0..1000 {
            client.noop(short).unwrap();
        }
        hold.release();
        held.join().unwrap().unwrap();
    });
    agent.stop();
}

#[test]
fn as_many_requests_run_at_the_same_time_as_were_granted_and_no_more() {
    let agent = Agent::start(&["--max-in-flight", "3"]);
    let client = agent.connect();
    assert_eq!(client.connection.granted().in_flight, 3);
    let session = client.open_session(EXEC);
    let worker = agent.worker_of(&client);
    let holds = [Hold::new(), Hold::new(), Hold::new()];
    std::thread::scope(|scope| {
        let held = holds.each_ref().map(|hold| {
            let client = &client;
            let running = scope.spawn(move || hold.run(client, session, None));
            hold.wait_until_begun();
            running
        });
        // main, the watcher, the clock, and three that hold.
        let threads = std::fs::read_dir(format!("/proc/{worker}/task")).unwrap();
        assert_eq!(threads.count(), 6);
        // The client knows the limit and sends no fourth one before a place is free.
        let fourth = scope.spawn(|| client.noop(session));
        holds.iter().for_each(Hold::release);
        fourth.join().unwrap().unwrap();
        held.into_iter()
            .for_each(|held| held.join().unwrap().unwrap());
    });
    agent.stop();
}

#[test]
fn a_request_whose_time_is_over_before_there_is_memory_for_it_is_not_begun() {
    // Frames of 1 MiB, so 2 MiB in flight.
    let agent = Agent::start(&["--max-frame", "1M"]);
    let client = agent.connect();
    let session = client.open_session(EXEC);
    let large = vec![0; 1_000_000];
    let holds = [Hold::new(), Hold::new()];
    let marker = agent.dir().join("must-not-begin");
    std::thread::scope(|scope| {
        let held = holds.each_ref().map(|hold| {
            let (client, large) = (&client, &large);
            let running = scope.spawn(move || hold.run_with(client, session, large));
            hold.wait_until_begun();
            running
        });
        let mut buffer = FrameBuffer::new();
        let mut builder = buffer.request(op(vaccel_abi::op::OP_EXEC));
        builder
            .read_text(common::helper().to_str().unwrap())
            .read_text("hold")
            .read_text(marker.to_str().unwrap())
            .read_text("/")
            .read_buffer(&large);
        let mut frame = builder.finish().unwrap();
        let third = client
            .connection
            .begin(&mut frame, session, Some(Duration::from_millis(100)))
            .unwrap();
        let sent = Instant::now();
        // By the client's clock or the worker's.
        match third.wait(&mut ()) {
            Err(CallError::TimedOut { .. }) => {}
            Err(CallError::Remote { status, .. }) => assert_eq!(status, ETIMEDOUT),
            other => panic!("{other:?}"),
        }
        // In the worker, time counts from when the request arrives.
        wait_until("its time is over there too", || {
            sent.elapsed() > Duration::from_secs(3)
        });
        holds.iter().for_each(Hold::release);
        held.into_iter()
            .for_each(|held| held.join().unwrap().unwrap());
    });
    // Answered after the third one was: it has not begun and never will.
    client.connection.ping(PATIENCE).unwrap();
    client.call(0, session, |_| {}).unwrap();
    assert!(!marker.exists());
    agent.stop();
}

#[test]
fn a_request_that_is_cancelled_is_answered_when_it_ends() {
    let agent = Agent::start(&[]);
    let client = agent.connect();
    let session = client.open_session(EXEC);
    let hold = Hold::new();
    // The client gives up at its deadline, sends CANCEL, and expects one answer.
    let given_up = hold.run(&client, session, Some(Duration::from_millis(200)));
    match given_up {
        Err(CallError::TimedOut { .. }) => {}
        Err(CallError::Remote { status, .. }) => assert_eq!(status, ETIMEDOUT),
        other => panic!("{other:?}"),
    }
    client.noop(session).unwrap();
    hold.release();
    client.noop(session).unwrap();
    agent.stop();
}

#[test]
fn outputs_that_an_operation_allocates_arrive_and_false_sizes_are_refused() {
    let agent = Agent::start(&[]);
    let client = agent.connect();
    let session = client.open_session(EXEC);
    let outputs = client
        .exec(session, "allocate", &[], Some(0), None)
        .unwrap();
    assert_eq!(outputs[0], b"allocated");
    match client.exec(session, "overclaim", &[], Some(8), None) {
        Err(CallError::Remote { status, .. }) => assert_eq!(status, ERANGE),
        other => panic!("{other:?}"),
    }
    client.noop(session).unwrap();
    agent.stop();
}

#[test]
fn clients_may_come_by_tcp_too() {
    let agent = Agent::start(&["-a", "tcp://127.0.0.1:0"]);
    assert_ne!(
        agent.addresses[1].to_string(),
        "tcp://127.0.0.1:0",
        "the real port is told"
    );
    let client = Client::to(&agent.addresses[1]).unwrap();
    let session = client.open_session(0);
    client.noop(session).unwrap();
    agent.stop();
}

#[test]
fn variables_of_plugins_reach_the_workers() {
    let agent = Agent::start_with("exec", &[("VACCEL_EXEC_ALLOW", "/nowhere")], &[]);
    let client = agent.connect();
    let session = client.open_session(0);
    match client.exec(session, "allocate", &[], Some(0), None) {
        Err(CallError::Remote { status, .. }) => assert_eq!(status, EACCES),
        other => panic!("{other:?}"),
    }
    agent.stop();
}
