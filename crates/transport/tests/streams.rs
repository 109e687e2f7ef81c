//! Listening and connecting.
#![allow(clippy::unwrap_used)]

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};
use vaccel_transport::{Address, ConnectError, Family, Listener, ListenerOptions, Peer, Stream};

const SOON: Duration = Duration::from_secs(10);

fn bind(address: &Address) -> Listener {
    Listener::bind(address, &ListenerOptions::default()).unwrap()
}

fn bind_error(address: &Address) -> String {
    Listener::bind(address, &ListenerOptions::default())
        .unwrap_err()
        .to_string()
}

/// Bytes go both ways between a listener and who connects to it.
fn exchange(listener: &Listener) -> (Stream, Stream) {
    let client = Stream::connect(listener.address(), SOON).unwrap();
    let server = listener.accept().unwrap();
    let end = Instant::now() + SOON;
    let mut buf = [0; 16];
    client.send_until(b"question", end).unwrap();
    assert_eq!(server.peek(&mut buf[..1], SOON).unwrap(), 1);
    assert_eq!(server.recv_until(&mut buf, end).unwrap(), 8);
    assert_eq!(&buf[..8], b"question");
    server.send_until(b"answer", end).unwrap();
    assert_eq!(client.recv_until(&mut buf, end).unwrap(), 6);
    (client, server)
}

#[test]
fn a_unix_socket_has_its_mode_and_goes_with_its_listener() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.sock");
    let options = ListenerOptions {
        mode: Some(0o600),
        ..ListenerOptions::default()
    };
    let listener = Listener::bind(&Address::unix(&path), &options).unwrap();
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let (client, server) = exchange(&listener);
    assert_eq!(
        (client.family(), server.family()),
        (Family::Unix, Family::Unix)
    );
    let Peer::Unix { pid, uid, .. } = server.peer().unwrap() else {
        panic!("no credentials");
    };
    assert_eq!(pid, std::process::id().cast_signed());
    // SAFETY: only asks.
    assert_eq!(uid, unsafe { libc::getuid() });
    drop(listener);
    assert!(!path.exists());
}

#[test]
fn a_stale_socket_is_replaced_and_a_live_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.sock");
    let address = Address::unix(&path);
    let mut first = bind(&address);
    assert!(bind_error(&address).contains("another process answers on that socket"));
    // Whoever asked is in the queue, and gone already.
    let asked = first.accept().unwrap();
    assert_eq!(
        asked.recv_until(&mut [0], Instant::now() + SOON).unwrap(),
        0
    );
    exchange(&first);
    first.keep_file();
    drop(first);
    assert!(path.exists());
    let second = bind(&address);
    exchange(&second);
    // A listener removes only its own file.
    std::fs::remove_file(&path).unwrap();
    let third = bind(&address);
    drop(second);
    assert!(path.exists());
    exchange(&third);
}

#[test]
fn a_live_socket_with_a_full_queue_is_not_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let address = Address::unix(folder.path().join("a.sock"));
    let options = ListenerOptions {
        backlog: 1,
        mode: None,
    };
    let listener = Listener::bind(&address, &options).unwrap();
    let mut waiting = Vec::new();
    let error = loop {
        match Stream::connect(&address, Duration::from_millis(100)) {
            Ok(stream) => waiting.push(stream),
            Err(error) => break error,
        }
        assert!(waiting.len() < 100, "the queue never fills");
    };
    // Connecting waits for the queue, and no longer than told.
    assert!(matches!(error, ConnectError::TimedOut { .. }), "{error}");
    assert!(bind_error(&address).contains("another process answers"));
    drop(listener);
}

#[test]
fn what_stands_in_the_way_of_a_listener_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "precious").unwrap();
    assert!(bind_error(&Address::unix(&file)).contains("no socket is at that path"));
    assert_eq!(std::fs::read(&file).unwrap(), b"precious");
    let missing = Address::unix(folder.path().join("no/such/a.sock"));
    assert!(bind_error(&missing).contains("does not exist; create it"));

    let taken = bind(&"tcp://127.0.0.1:0".parse().unwrap());
    let error = bind_error(taken.address());
    assert!(error.contains("the port is in use"), "{error}");
    let error = bind_error(&"tcp://203.0.113.7:0".parse().unwrap());
    assert!(error.contains("does not have that address"), "{error}");
    let error = bind_error(&"tcp://no-such-host.invalid:0".parse().unwrap());
    assert!(error.contains("cannot be resolved"), "{error}");
}

#[test]
fn tcp_works_by_number_and_by_name_and_tells_its_port() {
    for host in ["127.0.0.1", "localhost", "[::1]"] {
        let address: Address = format!("tcp://{host}:0").parse().unwrap();
        let listener = match Listener::bind(&address, &ListenerOptions::default()) {
            Ok(listener) => listener,
            // A machine without IPv6 can test the others.
            Err(error) if host == "[::1]" => {
                println!("no IPv6 here: {error}");
                continue;
            }
            Err(error) => panic!("{error}"),
        };
        let Address::Tcp { port, .. } = listener.address() else {
            panic!("{:?}", listener.address());
        };
        assert_ne!(*port, 0);
        let (client, server) = exchange(&listener);
        assert_eq!(client.family(), Family::Tcp);
        for end in [client, server] {
            assert!(matches!(end.peer().unwrap(), Peer::Tcp(_)));
            let end = std::net::TcpStream::from(OwnedFd::from(end));
            assert!(end.nodelay().unwrap());
        }
    }
}

#[test]
fn a_tcp_port_can_be_listened_on_again_at_once() {
    let first = bind(&"tcp://127.0.0.1:0".parse().unwrap());
    let address = first.address().clone();
    // The side that closes first keeps the port in TIME_WAIT.
    let (client, server) = exchange(&first);
    drop(server);
    drop(client);
    drop(first);
    exchange(&bind(&address));
}

#[test]
fn who_cannot_be_reached_is_named_with_a_way_out() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("none.sock");
    let error = Stream::connect(&Address::unix(&path), SOON)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("no such socket; start vaccel-agent"),
        "{error}"
    );
    let mut listener = bind(&Address::unix(&path));
    listener.keep_file();
    drop(listener);
    let error = Stream::connect(&Address::unix(&path), SOON)
        .unwrap_err()
        .to_string();
    assert!(error.contains("nobody listens on the socket"), "{error}");

    let listener = bind(&"tcp://127.0.0.1:0".parse().unwrap());
    let address = listener.address().clone();
    drop(listener);
    let error = Stream::connect(&address, SOON).unwrap_err().to_string();
    assert!(
        error.contains(&address.to_string()) && error.contains("nobody listens"),
        "{error}"
    );
    let nowhere = "tcp://no-such-host.invalid:1".parse().unwrap();
    let error = Stream::connect(&nowhere, SOON).unwrap_err().to_string();
    assert!(error.contains("cannot be resolved"), "{error}");
}

#[test]
fn vsock_works_or_says_what_is_missing() {
    let listener = match Listener::bind(
        &"vsock://any:0".parse().unwrap(),
        &ListenerOptions::default(),
    ) {
        Ok(listener) => listener,
        Err(error) => {
            assert!(error.to_string().contains("no vsock"), "{error}");
            let error = Stream::connect(&"vsock://1:5".parse().unwrap(), SOON).unwrap_err();
            assert!(error.to_string().contains("no vsock"), "{error}");
            return;
        }
    };
    let Address::Vsock { port, .. } = *listener.address() else {
        panic!("{:?}", listener.address());
    };
    assert_ne!(port, u32::MAX);
    // Context 1 is this machine, where the kernel has a loopback for vsock.
    let here = Address::Vsock { cid: 1, port };
    match Stream::connect(&here, Duration::from_secs(1)) {
        Ok(client) => {
            let server = listener.accept().unwrap();
            assert_eq!(client.family(), Family::Vsock);
            let data: Vec<u8> = (0..200_000).map(|i| i as u8).collect();
            let sent = data.clone();
            let sender = std::thread::spawn(move || {
                client.send_until(&sent, Instant::now() + SOON).unwrap();
            });
            let mut got = Vec::new();
            let mut buf = [0; 4096];
            while got.len() < data.len() {
                let n = server.recv_until(&mut buf, Instant::now() + SOON).unwrap();
                got.extend_from_slice(&buf[..n]);
            }
            sender.join().unwrap();
            assert!(got == data);
        }
        Err(error) => println!("no loopback for vsock here: {error}"),
    }
}

#[test]
fn listeners_that_come_from_elsewhere_are_taken() {
    let std = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = std.local_addr().unwrap().port();
    let listener = Listener::from_fd(std.into()).unwrap();
    assert_eq!(
        listener.address().to_string(),
        format!("tcp://127.0.0.1:{port}")
    );
    exchange(&listener);

    let file = tempfile::tempfile().unwrap();
    assert!(Listener::from_fd(file.into()).is_err());
    let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    assert!(Stream::from_fd(udp.into()).is_err());
    let (a, _b) = std::os::unix::net::UnixStream::pair().unwrap();
    assert!(Listener::from_fd(a.into()).is_err());
}

#[test]
fn a_nonblocking_listener_returns_at_once_and_its_streams_block() {
    let listener = bind(&"tcp://127.0.0.1:0".parse().unwrap());
    listener.set_nonblocking(true).unwrap();
    let error = listener.accept().unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    let _client = Stream::connect(listener.address(), SOON).unwrap();
    let server = loop {
        match listener.accept() {
            Ok(stream) => break stream,
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
        }
    };
    let start = Instant::now();
    let error = server
        .peek(&mut [0], Duration::from_millis(50))
        .unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    assert!(start.elapsed() >= Duration::from_millis(50));
}

#[test]
fn a_shutdown_wakes_who_reads() {
    let (a, b) = Stream::pair().unwrap();
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| b.recv_until(&mut [0], Instant::now() + SOON));
        a.shutdown();
        assert_eq!(reader.join().unwrap().unwrap(), 0);
    });
}
