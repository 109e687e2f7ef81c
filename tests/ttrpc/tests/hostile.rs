//! Bytes that no client would send, against our agent.
#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;
use vaccel_tests::{Agent, reference_plugin, stage};
use vaccel_ttrpc_tests::Client;

const PATIENCE: Duration = Duration::from_secs(30);

fn agent(options: &[&str]) -> Agent {
    let plugin = reference_plugin().unwrap();
    Agent::start(&stage().unwrap(), plugin.to_str().unwrap(), &[], options).unwrap()
}

fn connect(agent: &Agent) -> UnixStream {
    let stream = UnixStream::connect(agent.socket()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn frame(stream: u32, kind: u8, flags: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = u32::try_from(body.len()).unwrap().to_be_bytes().to_vec();
    bytes.extend(stream.to_be_bytes());
    bytes.extend([kind, flags]);
    bytes.extend(body);
    bytes
}

/// A call of a method, with a payload of less than 128 bytes.
fn request(service: &str, method: &str, payload: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    for (tag, bytes) in [
        (1, service.as_bytes()),
        (2, method.as_bytes()),
        (3, payload),
    ] {
        body.push(tag << 3 | 2);
        body.push(u8::try_from(bytes.len()).unwrap());
        body.extend(bytes);
    }
    body
}

const SERVICE: &str = "vaccel.sync.agent.AgentService";

/// Stream id and body of the next answer.
fn answer(stream: &mut UnixStream) -> (u32, Vec<u8>) {
    let mut head = [0; 10];
    stream.read_exact(&mut head).unwrap();
    let mut body = vec![0; u32::from_be_bytes(head[..4].try_into().unwrap()) as usize];
    stream.read_exact(&mut body).unwrap();
    assert_eq!(head[8], 2, "a response");
    (u32::from_be_bytes(head[4..8].try_into().unwrap()), body)
}

/// The status code in the body of an answer that failed.
fn code(body: &[u8]) -> u8 {
    // Field 1, its length, then field 1 of the status.
    let at = if body[1] < 128 { 2 } else { 3 };
    assert_eq!((body[0], body[at]), (0x0a, 0x08), "{body:?}");
    body[at + 1]
}

/// True when the agent hangs up without another word.
fn is_hung_up_on(mut stream: UnixStream) -> bool {
    match stream.read(&mut [0; 64]) {
        Ok(n) => n == 0,
        Err(e) => e.kind() == std::io::ErrorKind::ConnectionReset,
    }
}

#[test]
fn methods_that_do_not_exist_are_refused_one_by_one() {
    let agent = agent(&[]);
    let mut stream = connect(&agent);
    for (i, (service, method)) in [
        (SERVICE, "Hello"),
        (SERVICE, "genop"),
        (SERVICE, ""),
        ("vaccel.agent", "Genop"),
        ("", ""),
    ]
    .into_iter()
    .enumerate()
    {
        let id = 2 * u32::try_from(i).unwrap() + 1;
        let bytes = frame(id, 1, 0, &request(service, method, b""));
        stream.write_all(&bytes).unwrap();
        let (stream_id, body) = answer(&mut stream);
        assert_eq!((stream_id, code(&body)), (id, 12), "{service}/{method}");
    }
    // The service of clients that do not wait has the same methods, but no streams.
    let service = "vaccel.asynchronous.agent.AgentService";
    let open = request(service, "CreateSession", b"");
    stream.write_all(&frame(101, 1, 0, &open)).unwrap();
    let (id, body) = answer(&mut stream);
    assert_eq!((id, body[0]), (101, 0x12), "a payload: {body:?}");
    let genop = request(service, "Genop", b"");
    stream.write_all(&frame(103, 1, 2, &genop)).unwrap();
    stream.write_all(&frame(103, 3, 1, b"piece")).unwrap();
    stream.write_all(&frame(105, 1, 0, &open)).unwrap();
    let (id, body) = answer(&mut stream);
    assert_eq!((id, code(&body)), (103, 12));
    assert_eq!(answer(&mut stream).0, 105);
}

#[test]
fn bodies_that_are_no_messages_are_refused_and_the_connection_goes_on() {
    let agent = agent(&[]);
    let mut stream = connect(&agent);
    let bad = [
        b"\xff".to_vec(),
        b"\x0a\x7f".to_vec(),
        vec![0x3b; 4096],
        request(SERVICE, "CreateSession", b"\x0a\x01x"),
        request(SERVICE, "Genop", b"\x12\xff\xff\xff\xff\x0f"),
    ];
    for (body, id) in bad.iter().zip((1..).step_by(2)) {
        stream.write_all(&frame(id, 1, 0, body)).unwrap();
        let (stream_id, answered) = answer(&mut stream);
        assert_eq!((stream_id, code(&answered)), (id, 3), "{body:?}");
    }
    let open = request(SERVICE, "CreateSession", b"");
    stream.write_all(&frame(99, 1, 0, &open)).unwrap();
    assert_eq!(answer(&mut stream).0, 99);
}

#[test]
fn frames_that_cannot_be_end_the_connection_and_no_other() {
    let agent = agent(&["--max-frame", "1M"]);
    let witness = Client::new(&agent.address()).unwrap();
    let open = request(SERVICE, "CreateSession", b"");
    for bytes in [
        // Even, zero and repeated stream ids.
        frame(2, 1, 0, &open),
        frame(0, 1, 0, &open),
        // Types that do not exist, and one that clients must not send.
        frame(1, 0, 0, b""),
        frame(1, 9, 0, b""),
        frame(1, 2, 0, b""),
    ] {
        let mut stream = connect(&agent);
        stream.write_all(&bytes).unwrap();
        assert!(is_hung_up_on(stream), "{:?}", &bytes[..10]);
    }
    let mut stream = connect(&agent);
    stream.write_all(&frame(3, 1, 0, &open)).unwrap();
    assert_eq!(answer(&mut stream).0, 3);
    stream.write_all(&frame(3, 1, 0, &open)).unwrap();
    assert!(is_hung_up_on(stream));

    // A length that is not taken is answered at once, without its bytes.
    let mut stream = connect(&agent);
    let mut giant = frame(1, 1, 0, b"");
    giant[..4].copy_from_slice(&0x4000_0000_u32.to_be_bytes());
    stream.write_all(&giant).unwrap();
    let (id, body) = answer(&mut stream);
    assert_eq!((id, code(&body)), (1, 8));
    assert!(is_hung_up_on(stream));

    // Half a header, half a body: the client hangs up.
    for part in [&giant[..5], &frame(1, 1, 0, &open)[..20]] {
        let mut stream = connect(&agent);
        stream.write_all(part).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        assert!(is_hung_up_on(stream));
    }
    witness.genop(0, vec![], vec![]).unwrap();
}

#[test]
fn what_a_client_leaves_behind_goes_with_its_connection() {
    let agent = agent(&["--isolation", "shared", "--max-connections", "8"]);
    // More than there are places, each with a session and a resource.
    for _ in 0..40 {
        let client = loop {
            // The place of the one before may not be free yet.
            match Client::new(&agent.address()) {
                Ok(client) => break client,
                Err(_) => std::thread::yield_now(),
            }
        };
        let request = vaccel_ttrpc_tests::vaccel::RegisterResourceRequest {
            session_id: client.session,
            blobs: vec![vaccel_ttrpc_tests::vaccel::Blob {
                name: "left".into(),
                data: vec![1; 1000],
                ..Default::default()
            }],
            ..Default::default()
        };
        client
            .service
            .register_resource(Client::time(), &request)
            .unwrap();
    }
}
