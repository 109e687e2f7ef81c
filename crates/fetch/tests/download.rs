//! Downloads from servers on loopback, friendly and hostile.
#![allow(clippy::unwrap_used)]

mod server;

use server::{Server, reply};
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use vaccel_fetch::{Error, Fetcher, Limits};

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn quick() -> Limits {
    Limits {
        timeout: Duration::from_secs(10),
        stall: Duration::from_millis(500),
        ..Limits::default()
    }
}

fn get(limits: Limits, url: &str, to: &TempDir) -> Result<PathBuf, Error> {
    Fetcher::new(limits).download(url, to.path())
}

/// Nothing may be left of a download that failed.
fn assert_empty(folder: &TempDir) {
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_file_arrives_whole_and_tells_its_progress() {
    let body: Vec<u8> = (0..1_000_000_u32).map(|i| (i % 251) as u8).collect();
    let sent = body.clone();
    let server = Server::start(move |_, stream| reply(stream, "200 OK", "", &sent));
    let to = folder();
    let seen = Mutex::new((0, None));
    let file = Fetcher::new(quick())
        .on_progress(|now, total| *seen.lock().unwrap() = (now, total))
        .download(
            &format!("http://{}/a/model.onnx", server.address),
            to.path(),
        )
        .unwrap();
    assert_eq!(file, to.path().join("model.onnx"));
    assert_eq!(fs::read(file).unwrap(), body);
    assert_eq!(*seen.lock().unwrap(), (1_000_000, Some(1_000_000)));
}

#[test]
fn an_unchanged_file_comes_from_the_cache_and_a_changed_one_does_not() {
    let version = Arc::new(Mutex::new(1));
    let current = version.clone();
    let server = Server::start(move |request, stream| {
        let etag = format!("\"v{}\"", current.lock().unwrap());
        if request
            .headers
            .iter()
            .any(|h| h.to_lowercase() == format!("if-none-match: {etag}"))
        {
            reply(
                stream,
                "304 Not Modified",
                &format!("ETag: {etag}\r\n"),
                b"",
            );
        } else {
            reply(
                stream,
                "200 OK",
                &format!("ETag: {etag}\r\n"),
                etag.as_bytes(),
            );
        }
    });
    let (to, cache) = (folder(), folder());
    let limits = || Limits {
        cache: Some(cache.path().into()),
        ..quick()
    };
    let url = format!("http://{}/file", server.address);
    for (set, wanted) in [(1, "\"v1\""), (1, "\"v1\""), (2, "\"v2\""), (2, "\"v2\"")] {
        *version.lock().unwrap() = set;
        let file = get(limits(), &url, &to).unwrap();
        assert_eq!(fs::read_to_string(file).unwrap(), wanted);
    }
    assert_eq!(server.count(), 4);
    // A copy that was tampered with is not used.
    for entry in fs::read_dir(cache.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "data") {
            fs::write(path, "tampered").unwrap();
        }
    }
    assert_eq!(
        fs::read_to_string(get(limits(), &url, &to).unwrap()).unwrap(),
        "\"v2\""
    );
}

#[test]
fn the_hash_in_the_url_is_checked() {
    let server = Server::start(|_, stream| reply(stream, "200 OK", "", b"abc"));
    let to = folder();
    // FIPS 180-2, appendix B.1: the hash of "abc".
    let right = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    get(
        quick(),
        &format!("http://{}/f#sha256={right}", server.address),
        &to,
    )
    .unwrap();
    let wrong = right.replace('b', "c");
    let to = folder();
    let error = get(
        quick(),
        &format!("http://{}/f#sha256={wrong}", server.address),
        &to,
    );
    assert!(matches!(error, Err(Error::WrongHash { .. })), "{error:?}");
    assert_empty(&to);
}

#[test]
fn too_many_bytes_are_refused_whether_announced_or_not() {
    let server = Server::start(|request, stream| {
        if request.path == "/announced" {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n");
        } else {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
            while stream.write_all(&[0; 4096]).is_ok() {}
        }
    });
    let to = folder();
    for path in ["announced", "endless"] {
        let limits = Limits {
            max_bytes: 100_000,
            ..quick()
        };
        let error = get(limits, &format!("http://{}/{path}", server.address), &to);
        assert!(
            matches!(error, Err(Error::TooLarge { limit: 100_000, .. })),
            "{error:?}"
        );
        assert_empty(&to);
    }
}

#[test]
fn a_server_that_stalls_or_drips_or_breaks_off_ends_the_download() {
    let server = Server::start(|request, stream| match request.path.as_str() {
        "/stalls" => {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc");
            let _ = stream.flush();
            std::thread::sleep(Duration::from_secs(20));
        }
        "/drips" => {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
            while stream.write_all(b"x").is_ok() && stream.flush().is_ok() {
                std::thread::sleep(Duration::from_millis(100));
            }
        }
        _ => {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nabc");
        }
    });
    let to = folder();
    for path in ["stalls", "drips", "breaks"] {
        let begin = Instant::now();
        let limits = Limits {
            timeout: Duration::from_secs(1),
            ..quick()
        };
        let error = get(limits, &format!("http://{}/{path}", server.address), &to).unwrap_err();
        assert!(
            begin.elapsed() < Duration::from_secs(10),
            "{path}: {:?}",
            begin.elapsed()
        );
        assert!(
            matches!(error, Error::Transfer { .. } | Error::TimedOut { .. }),
            "{path}: {error}"
        );
        assert_empty(&to);
    }
}

#[test]
fn redirections_are_followed_to_a_limit() {
    let server = Server::start(|request, stream| {
        let n: u32 = request.path[1..].parse().unwrap();
        if n == 0 {
            reply(stream, "200 OK", "", b"there");
        } else {
            reply(
                stream,
                "302 Found",
                &format!("Location: /{}\r\n", n - 1),
                b"",
            );
        }
    });
    let to = folder();
    let url = |n| format!("http://{}/{n}", server.address);
    assert_eq!(
        fs::read(get(quick(), &url(5), &to).unwrap()).unwrap(),
        b"there"
    );
    let error = get(quick(), &url(6), &to);
    assert!(
        matches!(error, Err(Error::TooManyRedirects { limit: 5, .. })),
        "{error:?}"
    );
}

#[test]
fn missing_files_and_servers_are_named() {
    let server = Server::start(|_, stream| reply(stream, "404 Not Found", "", b"no"));
    let to = folder();
    let error = get(quick(), &format!("http://{}/gone", server.address), &to).unwrap_err();
    assert!(
        error.to_string().contains("/gone") && error.to_string().contains("404"),
        "{error}"
    );
    // A port that was free a moment ago.
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let error = get(quick(), &format!("http://me:secret@{free}/x"), &to).unwrap_err();
    assert!(matches!(error, Error::Transfer { .. }), "{error:?}");
    assert!(!error.to_string().contains("secret"), "{error}");
    assert_empty(&to);
}

#[test]
fn https_needs_a_certificate_that_is_trusted() {
    let key = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![key.cert.der().clone()],
            rustls::pki_types::PrivateKeyDer::try_from(key.signing_key.serialize_der()).unwrap(),
        )
        .unwrap();
    let server = Server::start_with(Some(Arc::new(config)), |_, stream| {
        reply(stream, "200 OK", "", b"secret");
    });
    let to = folder();
    let port = server.address.rsplit(':').next().unwrap();
    let url = format!("https://localhost:{port}/file");
    assert!(get(quick(), &url, &to).is_err());
    assert_empty(&to);

    let ca = folder();
    let file = ca.path().join("ca.pem");
    fs::write(&file, key.cert.pem()).unwrap();
    let limits = Limits {
        ca_file: Some(file.clone()),
        ..quick()
    };
    assert_eq!(
        fs::read(get(limits, &url, &to).unwrap()).unwrap(),
        b"secret"
    );

    fs::write(&file, "no certificate").unwrap();
    let limits = Limits {
        ca_file: Some(file),
        ..quick()
    };
    assert!(matches!(
        get(limits, &url, &to),
        Err(Error::Certificates { .. })
    ));
}
