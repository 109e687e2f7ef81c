//! TLS streams: both ends in this process, and faults in between.
#![allow(clippy::unwrap_used)]

#[path = "common/certs.rs"]
mod certs;

use certs::{Authority, Signed};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use vaccel_transport::tls::{AcceptError, Acceptor, Relay, Security, ServerFiles};
use vaccel_transport::{Address, Connection, Listener, ListenerOptions, Options, Stream};

const SOON: Duration = Duration::from_secs(10);

struct Fixture {
    listener: Listener,
    acceptor: Acceptor,
    security: Security,
}

impl Fixture {
    fn new() -> Self {
        let authority = Authority::new("test");
        let server = authority.server("server", &["localhost", "127.0.0.1"]);
        let client = authority.client("client");
        Self::with(&authority, server, Some(client))
    }

    fn with(authority: &Authority, server: Signed, client: Option<Signed>) -> Self {
        let address = "tls://127.0.0.1:0".parse().unwrap();
        let files = ServerFiles {
            certificate: server.certificate,
            key: server.key,
            client_ca: Some(authority.ca()),
        };
        // The client's files are read once more at each connection.
        let kept = tempfile::tempdir().unwrap().keep();
        let keep = |from: &std::path::Path, name: &str| {
            std::fs::copy(from, kept.join(name)).unwrap();
            Some(kept.join(name))
        };
        Self {
            listener: Listener::bind(&address, &ListenerOptions::default()).unwrap(),
            acceptor: Acceptor::new(files).unwrap(),
            security: Security {
                ca: keep(&authority.ca(), "ca.pem"),
                certificate: client.as_ref().and_then(|c| keep(&c.certificate, "c.pem")),
                key: client.as_ref().and_then(|c| keep(&c.key, "c.key")),
                ..Security::default()
            },
        }
    }

    fn accept(&self) -> Result<(Stream, Relay), AcceptError> {
        let accepted = self
            .acceptor
            .accept(self.listener.accept().unwrap(), SOON)?;
        Ok((Stream::from_fd(accepted.plain).unwrap(), accepted.relay))
    }

    /// Both ends of a connection; `between` may give the client another address.
    fn open(&self, address: &Address) -> (Stream, Stream, Relay) {
        std::thread::scope(|scope| {
            let server = scope.spawn(|| self.accept().unwrap());
            let client = Stream::connect_with(address, SOON, &self.security).unwrap();
            let (server, relay) = server.join().unwrap();
            (client, server, relay)
        })
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        if let Some(folder) = self.security.ca.as_ref().and_then(|ca| ca.parent()) {
            std::fs::remove_dir_all(folder).unwrap();
        }
    }
}

fn bytes(n: usize, seed: u8) -> Vec<u8> {
    (0..n).map(|i| (i % 251) as u8 ^ seed).collect()
}

fn receive(stream: &Stream, n: usize) -> Vec<u8> {
    let mut got = vec![0; n];
    let mut there = 0;
    let end = Instant::now() + SOON;
    while there < n {
        match stream.recv_until(&mut got[there..], end).unwrap() {
            0 => panic!("the end came after {there} of {n} bytes"),
            more => there += more,
        }
    }
    got
}

#[test]
fn bytes_arrive_as_they_were_sent_in_both_directions_at_once() {
    let fixture = Fixture::new();
    let (client, server, relay) = fixture.open(fixture.listener.address());
    assert!(client.is_encrypted());
    let (there, back) = (bytes(5_000_001, 1), bytes(3_000_003, 2));
    let end = Instant::now() + SOON;
    std::thread::scope(|scope| {
        let relay = scope.spawn(|| relay.run());
        scope.spawn(|| client.send_until(&there, end).unwrap());
        scope.spawn(|| server.send_until(&back, end).unwrap());
        let got = scope.spawn(|| receive(&server, there.len()));
        assert!(receive(&client, back.len()) == back);
        assert!(got.join().unwrap() == there);
        // A hang-up is told with a goodbye, and is no fault.
        client.shutdown();
        assert_eq!(server.recv_until(&mut [0], end).unwrap(), 0);
        server.shutdown();
        assert_eq!(relay.join().unwrap(), Ok(()));
    });
}

#[test]
fn a_side_that_has_finished_sending_can_still_be_answered() {
    let fixture = Fixture::new();
    let (client, server, relay) = fixture.open(fixture.listener.address());
    let end = Instant::now() + SOON;
    std::thread::scope(|scope| {
        let relay = scope.spawn(|| relay.run());
        server.send_until(b"last words", end).unwrap();
        socket2::SockRef::from(&server)
            .shutdown(std::net::Shutdown::Write)
            .unwrap();
        assert_eq!(receive(&client, 10), b"last words");
        assert_eq!(client.recv_until(&mut [0], end).unwrap(), 0);
        client.send_until(b"understood", end).unwrap();
        assert_eq!(receive(&server, 10), b"understood");
        drop((client, server));
        assert_eq!(relay.join().unwrap(), Ok(()));
    });
}

#[test]
fn a_handshake_that_drips_ends_at_its_deadline() {
    let fixture = Fixture::new();
    let Some((_, port)) = fixture.listener.address().host_and_port() else {
        panic!("no port")
    };
    let mut drip = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let stream = fixture.listener.accept().unwrap();
    let patience = Duration::from_millis(300);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            // The beginning of a long ClientHello, a byte at a time.
            for byte in [0x16, 3, 1, 0x10, 0]
                .into_iter()
                .chain(std::iter::repeat(1))
            {
                if drip.write_all(&[byte]).is_err() {
                    return;
                }
                std::thread::park_timeout(Duration::from_millis(10));
            }
        });
        let begun = Instant::now();
        let error = fixture.acceptor.accept(stream, patience).unwrap_err();
        assert!(error.to_string().contains("no TLS handshake"), "{error}");
        assert!(begun.elapsed() >= patience && begun.elapsed() < patience + SOON / 2);
    });
}

/// Passes bytes on between a client and the agent, as `change` says, which is
/// given what the agent sends; `None` cuts both.
fn proxy(to: &Address, change: impl Fn(&mut Vec<u8>) -> Option<()> + Send + 'static) -> Address {
    let (_, port) = to.host_and_port().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("tls://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        let mut agent = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let (mut from, mut to) = (client.try_clone().unwrap(), agent.try_clone().unwrap());
        std::thread::spawn(move || std::io::copy(&mut from, &mut to));
        let mut chunk = vec![0; 64 << 10];
        while let Ok(n) = agent.read(&mut chunk) {
            let mut bytes = chunk[..n].to_vec();
            if n == 0 || change(&mut bytes).is_none() || client.write_all(&bytes).is_err() {
                break;
            }
        }
        for stream in [client, agent] {
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
    });
    address.parse().unwrap()
}

/// Why a call over a proxy fails, after the handshake went through.
fn fault(change: fn(&mut Vec<u8>) -> Option<()>) -> (String, Result<(), String>) {
    let fixture = Fixture::new();
    let handshake_over = Arc::new(AtomicUsize::new(0));
    let over = Arc::clone(&handshake_over);
    let address = proxy(fixture.listener.address(), move |bytes| {
        if over.load(Ordering::SeqCst) == 0 {
            return Some(());
        }
        change(bytes)
    });
    let (client, server, relay) = fixture.open(&address);
    handshake_over.store(1, Ordering::SeqCst);
    std::thread::scope(|scope| {
        let relay = scope.spawn(|| relay.run());
        let end = Instant::now() + SOON;
        server.send_until(&bytes(100, 0), end).unwrap();
        let error = match Connection::open(client, "there", &Options::default()) {
            Ok(_) => panic!("that was no WELCOME"),
            Err(e) => e.to_string(),
        };
        (error, relay.join().unwrap())
    })
}

#[test]
fn a_stream_that_is_cut_without_goodbye_is_a_fault_on_both_sides() {
    let (client, server) = fault(|_| None);
    assert!(client.contains("without TLS's goodbye"), "{client}");
    let server = server.unwrap_err();
    assert!(server.contains("cut"), "{server}");
}

#[test]
fn a_bit_that_is_changed_on_the_way_is_noticed() {
    let (client, server) = fault(|bytes| {
        *bytes.last_mut().unwrap() ^= 1;
        Some(())
    });
    assert!(client.contains("decrypt"), "{client}");
    assert!(server.is_err());
}

#[test]
fn connections_leave_no_thread_and_no_descriptor() {
    let fixture = Fixture::new();
    let count = || {
        let of = |what: &str| {
            std::fs::read_dir(format!("/proc/self/{what}"))
                .unwrap()
                .count()
        };
        // Other tests run beside this one: only ours have this name.
        let threads = std::fs::read_dir("/proc/self/task").unwrap().flatten();
        let ours = threads.filter(|task| {
            std::fs::read_to_string(task.path().join("comm"))
                .is_ok_and(|name| name.starts_with("vaccel-tls"))
        });
        (of("fd"), ours.count())
    };
    let mut least = (usize::MAX, usize::MAX);
    for round in 0..30 {
        let (client, server, relay) = fixture.open(fixture.listener.address());
        if round == 0 {
            least = count();
        }
        drop(client);
        drop(server);
        let _ = relay.run();
    }
    let end = Instant::now() + SOON;
    while count() > (least.0 + 8, least.1 + 4) {
        assert!(Instant::now() < end, "{:?} and before {least:?}", count());
        std::thread::yield_now();
    }
}

#[test]
fn a_peer_that_takes_nothing_does_not_hold_up_the_end_of_a_stream() {
    let fixture = Fixture::new();
    let (client, _server, relay) = fixture.open(fixture.listener.address());
    // Nobody runs the relay: the socket fills up.
    let full = client.send_until(
        &bytes(64 << 20, 0),
        Instant::now() + Duration::from_millis(300),
    );
    assert!(full.is_err());
    let begun = Instant::now();
    drop(client);
    assert!(begun.elapsed() < SOON / 2, "{:?}", begun.elapsed());
    drop(relay);
}

#[test]
fn plain_tcp_to_another_machine_is_refused_unless_asked_for() {
    // Documentation addresses: nobody is there, and nobody must be called.
    for (address, security, refused) in [
        ("tcp://192.0.2.1:1", Security::default(), true),
        ("tcp://[2001:db8::1]:1", Security::default(), true),
        ("tcp+insecure://192.0.2.1:1", Security::default(), false),
        (
            "tcp://192.0.2.1:1",
            Security {
                allow_plaintext: true,
                ..Security::default()
            },
            false,
        ),
    ] {
        let address: Address = address.parse().unwrap();
        let time = Duration::from_millis(50);
        let error = Stream::connect_with(&address, time, &security).unwrap_err();
        let named = error.to_string().contains("VACCEL_RPC_ALLOW_PLAINTEXT");
        assert_eq!(named, refused, "{error}");
    }
}

#[test]
fn what_is_missing_for_tls_is_named_before_anybody_is_called() {
    let address: Address = "tls://127.0.0.1:1".parse().unwrap();
    let authority = Authority::new("test");
    let client = authority.client("client");
    let with = |change: fn(&mut Security, &Signed)| {
        let mut security = Security {
            ca: Some(authority.ca()),
            ..Security::default()
        };
        change(&mut security, &client);
        let error = Stream::connect_with(&address, SOON, &security).unwrap_err();
        error.to_string()
    };
    for (error, part) in [
        (with(|s, _| s.ca = None), "VACCEL_RPC_TLS_CA"),
        (
            with(|s, _| s.ca = Some("/nowhere.pem".into())),
            "/nowhere.pem",
        ),
        (with(|s, _| s.name = Some("no name".into())), "no name"),
        (
            with(|s, c| s.certificate = Some(c.certificate.clone())),
            "VACCEL_RPC_TLS_KEY",
        ),
        (
            with(|s, c| {
                s.certificate = Some(c.certificate.clone());
                s.key = Some(c.certificate.clone());
            }),
            "client.pem",
        ),
    ] {
        assert!(error.contains(part), "{part}: {error}");
    }
}

#[test]
fn certificates_that_change_are_read_again_and_bad_ones_are_not_taken() {
    let authority = Authority::new("test");
    let server = authority.server("server", &["127.0.0.1"]);
    let files = ServerFiles {
        certificate: server.certificate.clone(),
        key: server.key.clone(),
        client_ca: None,
    };
    let acceptor = Acceptor::new(files).unwrap();
    assert_eq!(acceptor.refresh(), Ok(false));
    // A key of another certificate: half of a change.
    let other = authority.server("other", &["127.0.0.1"]);
    std::fs::copy(&other.key, &server.key).unwrap();
    let error = acceptor.refresh().unwrap_err().to_string();
    assert!(error.contains("server.pem"), "{error}");
    // Told once; and the other half completes it.
    assert_eq!(acceptor.refresh(), Ok(false));
    std::fs::copy(&other.certificate, &server.certificate).unwrap();
    assert_eq!(acceptor.refresh(), Ok(true));
}

#[test]
fn a_stream_without_a_name_is_not_taken_for_tcp() {
    let (a, _b) = Stream::pair().unwrap();
    assert!(!a.is_encrypted());
    let _fd: OwnedFd = a.into();
}
