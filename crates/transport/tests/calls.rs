//! Calls over a connection.
#![allow(clippy::unwrap_used)]

mod common;
use common::{ADD, Agent, ECHO, FAIL, GATED_ECHO, NOOP, SOON, ZEROS, ended_by_its_deadline, until};
use std::time::{Duration, Instant};
use vaccel_transport::{CallError, Collect, Connection, Destination, Options, Outputs};
use vaccel_wire::{Arg, FrameBuffer};

/// One output in memory of the caller's.
struct Into<'o>(&'o mut [u8]);

impl Outputs for Into<'_> {
    fn place(&mut self, arg: &Arg<'_>) -> Result<Destination, vaccel_transport::PlaceError> {
        assert_eq!(arg.index, 0);
        // SAFETY: borrowed for as long as this lives, which is over the call.
        Ok(unsafe { Destination::new(self.0.as_mut_ptr(), self.0.len()) })
    }
}

fn echo(
    connection: &Connection,
    operation: u16,
    data: &[&[u8]],
    timeout: Option<Duration>,
) -> Result<Vec<Vec<u8>>, CallError> {
    let mut buffer = FrameBuffer::new();
    let mut builder = buffer.request(operation);
    for bytes in data {
        builder.read_buffer(bytes);
    }
    for bytes in data {
        builder.write_capacity(28, 0, bytes.len());
    }
    let mut collect = Collect::default();
    connection.call(&mut builder.finish().unwrap(), 7, timeout, &mut collect)?;
    Ok(collect.outputs)
}

fn noop(connection: &Connection) -> Result<(), CallError> {
    let mut buffer = FrameBuffer::new();
    connection.call(
        &mut buffer.request(NOOP).finish().unwrap(),
        0,
        None,
        &mut (),
    )
}

fn pattern(n: usize) -> Vec<u8> {
    (0..n).map(|i| (i * 7 + i / 251) as u8).collect()
}

#[test]
fn calls_return_what_the_agent_computed() {
    let (agent, connection) = Agent::start(16, &Options::default());
    noop(&connection).unwrap();
    let a: Vec<u8> = (0..1000_u16)
        .flat_map(|i| f32::from(i).to_le_bytes())
        .collect();
    let mut sum = vec![0; 4000];
    let mut buffer = FrameBuffer::new();
    let mut builder = buffer.request(ADD);
    builder
        .read_bytes(18, 0, &a)
        .read_bytes(18, 0, &a)
        .write_capacity(18, 0, 4000);
    let mut frame = builder.finish().unwrap();
    connection
        .call(&mut frame, 1, None, &mut Into(&mut sum))
        .unwrap();
    for (i, c) in sum.chunks(4).enumerate() {
        assert_eq!(f32::from_le_bytes(c.try_into().unwrap()), 2.0 * i as f32);
    }
    connection.ping(SOON).unwrap();
    drop(connection);
    agent.join();
}

#[test]
fn data_of_every_size_comes_back() {
    let (_agent, connection) = Agent::start(16, &Options::default());
    for n in [
        0, 1, 63, 64, 65, 511, 513, 4096, 16_000, 16_384, 16_400, 40_000, 300_000, 5_000_000,
    ] {
        let (a, b) = (pattern(n), pattern(n / 3));
        let got = echo(&connection, ECHO, &[&a, &b, b"end"], None).unwrap();
        assert!(got == [a, b, b"end".to_vec()], "{n}");
    }
}

#[test]
fn an_echo_of_64_mib_goes_straight_into_the_callers_memory() {
    let (_agent, connection) = Agent::start(16, &Options::default());
    let data = pattern(64 << 20);
    let mut out = vec![0; data.len()];
    let mut buffer = FrameBuffer::new();
    let start = Instant::now();
    let mut builder = buffer.request(ECHO);
    builder.read_buffer(&data).write_capacity(28, 0, data.len());
    let mut frame = builder.finish().unwrap();
    connection
        .call(&mut frame, 0, None, &mut Into(&mut out))
        .unwrap();
    let time = start.elapsed();
    assert!(out == data);
    println!("64 MiB there and back: {time:?}");
}

#[test]
fn an_error_carries_code_and_message() {
    let (_agent, connection) = Agent::start(16, &Options::default());
    let error = echo(&connection, FAIL, &[b"x"], None).unwrap_err();
    assert_eq!(
        (error.code(), error.to_string().as_str()),
        (22, "that is no good")
    );
    noop(&connection).unwrap();
}

#[test]
fn eight_threads_share_a_connection() {
    let (agent, connection) = Agent::start(64, &Options::default());
    std::thread::scope(|scope| {
        for thread in 0..8_usize {
            let connection = &connection;
            scope.spawn(move || {
                for round in 0..300 {
                    let data = pattern((thread * 3001 + round * 97) % 40_000);
                    let tag = (thread * 1000 + round).to_le_bytes();
                    let got = echo(connection, ECHO, &[&tag, &data], None).unwrap();
                    assert!(got[0] == tag && got[1] == data);
                }
            });
        }
    });
    assert_eq!(agent.seen.requests.lock().unwrap().len(), 2400);
    assert!(agent.seen.cancelled.lock().unwrap().is_empty());
}

#[test]
fn large_payloads_of_many_threads_do_not_block_each_other_for_ever() {
    // Requests and replies together are far more than the sockets hold, and the
    // agent reads nothing while it writes a reply.
    let (_agent, connection) = Agent::start(64, &Options::default());
    std::thread::scope(|scope| {
        for thread in 0..6_usize {
            let connection = &connection;
            scope.spawn(move || {
                let data = pattern((1 << 20) + thread);
                for _ in 0..10 {
                    let got = echo(connection, ECHO, &[&data], Some(SOON)).unwrap();
                    assert!(got[0] == data);
                }
            });
        }
    });
}

#[test]
fn requests_begun_without_anybody_waiting_do_not_block_for_ever() {
    // One thread begins many calls with large replies before it waits for any.
    let (_agent, connection) = Agent::start(64, &Options::default());
    let data = pattern(200_000);
    let mut buffer = FrameBuffer::new();
    let mut pending = Vec::new();
    for _ in 0..40 {
        let mut builder = buffer.request(ECHO);
        builder.read_buffer(&data).write_capacity(28, 0, data.len());
        let mut frame = builder.finish().unwrap();
        pending.push(connection.begin(&mut frame, 0, Some(SOON)).unwrap());
    }
    for call in pending {
        let mut collect = Collect::default();
        call.wait(&mut collect).unwrap();
        assert!(collect.outputs[0] == data);
    }
}

#[test]
fn a_slow_reply_does_not_hold_up_others() {
    let (agent, connection) = Agent::start(16, &Options::default());
    std::thread::scope(|scope| {
        let slow = scope.spawn(|| echo(&connection, GATED_ECHO, &[b"slow"], None));
        until("the slow request arrives", || {
            agent.seen.requests.lock().unwrap().len() == 1
        });
        for _ in 0..100 {
            let got = echo(&connection, ECHO, &[b"fast"], None).unwrap();
            assert_eq!(got, [b"fast"]);
        }
        assert!(!slow.is_finished());
        agent.gate.open();
        assert_eq!(slow.join().unwrap().unwrap(), [b"slow"]);
    });
}

#[test]
fn a_call_ends_at_its_deadline_and_is_cancelled() {
    let (agent, connection) = Agent::start(16, &Options::default());
    for millis in [10, 200, 30, 60, 100] {
        let timeout = Duration::from_millis(millis);
        let start = Instant::now();
        let error = echo(&connection, GATED_ECHO, &[b"x"], Some(timeout)).unwrap_err();
        ended_by_its_deadline(timeout, start.elapsed());
        assert_eq!(error.code(), 110, "{error}");
    }
    // The connection's own deadline, and then a short one again.
    noop(&connection).unwrap();
    assert_eq!(
        *agent.seen.cancelled.lock().unwrap(),
        *agent.seen.requests.lock().unwrap()[..5].to_vec()
    );
    agent.gate.open();
    // The late replies are dropped.
    for _ in 0..10 {
        noop(&connection).unwrap();
    }
    assert_eq!(
        echo(&connection, ECHO, &[b"still right"], None).unwrap(),
        [b"still right"]
    );
}

#[test]
fn a_follower_ends_at_its_deadline_while_another_reads() {
    let (agent, connection) = Agent::start(16, &Options::default());
    std::thread::scope(|scope| {
        let leader = scope.spawn(|| echo(&connection, GATED_ECHO, &[b"lead"], None));
        until("the leader's request arrives", || {
            !agent.seen.requests.lock().unwrap().is_empty()
        });
        let timeout = Duration::from_millis(60);
        let start = Instant::now();
        let error = echo(&connection, GATED_ECHO, &[b"x"], Some(timeout)).unwrap_err();
        assert_eq!(error.code(), 110);
        assert!(start.elapsed() < SOON / 2);
        agent.gate.open();
        assert_eq!(leader.join().unwrap().unwrap(), [b"lead"]);
    });
}

#[test]
fn a_leader_that_gives_up_passes_the_reading_on() {
    let (agent, connection) = Agent::start(16, &Options::default());
    std::thread::scope(|scope| {
        let leader = scope.spawn(|| {
            echo(
                &connection,
                GATED_ECHO,
                &[b"x"],
                Some(Duration::from_millis(100)),
            )
        });
        until("the leader's request arrives", || {
            !agent.seen.requests.lock().unwrap().is_empty()
        });
        let follower = scope.spawn(|| echo(&connection, GATED_ECHO, &[b"follow"], Some(SOON)));
        until("the follower's request arrives", || {
            agent.seen.requests.lock().unwrap().len() == 2
        });
        assert_eq!(leader.join().unwrap().unwrap_err().code(), 110);
        agent.gate.open();
        assert_eq!(follower.join().unwrap().unwrap(), [b"follow"]);
    });
}

#[test]
fn no_more_requests_are_in_flight_than_the_agent_grants() {
    let (agent, connection) = Agent::start(2, &Options::default());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| echo(&connection, GATED_ECHO, &[b"x"], None).unwrap());
        }
        until("both requests arrive", || {
            agent.seen.requests.lock().unwrap().len() == 2
        });
        let start = Instant::now();
        let error = echo(&connection, ECHO, &[b"y"], Some(Duration::from_millis(50))).unwrap_err();
        assert_eq!(error.code(), 110);
        assert!(start.elapsed() < SOON / 2);
        let third = scope.spawn(|| echo(&connection, ECHO, &[b"z"], None));
        agent.gate.open();
        assert_eq!(third.join().unwrap().unwrap(), [b"z"]);
    });
    assert_eq!(agent.seen.requests.lock().unwrap().len(), 3);
}

#[test]
fn a_place_that_was_given_up_comes_back_when_the_agent_answers() {
    let (agent, connection) = Agent::start(1, &Options::default());
    let short = Some(Duration::from_millis(20));
    assert_eq!(
        echo(&connection, GATED_ECHO, &[b"x"], short)
            .unwrap_err()
            .code(),
        110
    );
    assert_eq!(
        echo(&connection, ECHO, &[b"x"], short).unwrap_err().code(),
        110
    );
    agent.gate.open();
    assert_eq!(
        echo(&connection, ECHO, &[b"now"], Some(SOON)).unwrap(),
        [b"now"]
    );
    assert_eq!(agent.seen.requests.lock().unwrap().len(), 2);
}

#[test]
fn a_request_that_is_not_waited_for_is_taken_back() {
    let (agent, connection) = Agent::start(4, &Options::default());
    let mut buffer = FrameBuffer::new();
    let mut builder = buffer.request(GATED_ECHO);
    builder.read_buffer(b"x").write_capacity(28, 0, 1);
    let mut frame = builder.finish().unwrap();
    drop(connection.begin(&mut frame, 0, None).unwrap());
    until("the request is cancelled", || {
        agent.seen.cancelled.lock().unwrap().len() == 1
    });
    agent.gate.open();
    noop(&connection).unwrap();
}

#[test]
fn requests_beyond_what_the_agent_takes_are_refused_here() {
    let (agent, connection) = Agent::start(4, &Options::default());
    let data = vec![0; 1 << 29];
    let error = echo(&connection, ECHO, &[&data, &data], None).unwrap_err();
    assert_eq!(error.code(), vaccel_abi::error::ERANGE);
    assert!(
        error.to_string().contains("the limit is 1073741824"),
        "{error}"
    );
    assert!(agent.seen.requests.lock().unwrap().is_empty());
}

#[test]
fn an_output_larger_than_its_room_is_an_error_of_that_call_alone() {
    let (_agent, connection) = Agent::start(4, &Options::default());
    // Small and large: both ways of delivering.
    for n in [100_u64, 1 << 20] {
        let mut buffer = FrameBuffer::new();
        let mut builder = buffer.request(ZEROS);
        builder.read_scalar(n).write_capacity(28, 0, 10);
        let mut out = [1; 10];
        let mut frame = builder.finish().unwrap();
        let error = connection
            .call(&mut frame, 0, None, &mut Into(&mut out))
            .unwrap_err();
        assert_eq!(error.code(), vaccel_abi::error::EREMOTEIO);
        assert!(error.to_string().contains("room for 10"), "{error}");
        assert_eq!(out, [1; 10]);
        noop(&connection).unwrap();
    }
}

#[test]
fn a_short_deadline_in_the_middle_of_a_large_request_loses_nothing_else() {
    // The agent answers one gated request per thread, so it keeps reading; the
    // deadline strikes while the payload is being sent.
    let (agent, connection) = Agent::start(16, &Options::default());
    let data = pattern(4 << 20);
    let mut struck = 0;
    for micros in [50, 100, 200, 400, 800, 1600] {
        let result = echo(
            &connection,
            ECHO,
            &[&data],
            Some(Duration::from_micros(micros)),
        );
        if let Err(error) = result {
            assert_eq!(error.code(), 110, "{error}");
            struck += 1;
        }
        let got = echo(&connection, ECHO, &[b"whole"], Some(SOON)).unwrap();
        assert_eq!(got, [b"whole"]);
    }
    assert!(struck > 0);
    drop(connection);
    agent.join();
}
