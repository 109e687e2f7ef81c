//! What a call costs beyond the system calls it needs.
//!
//! Two processes on a Unix stream socket exchange 64-byte messages in the
//! plainest way, and then noop requests and replies of the protocol. Prints the
//! median of each and their ratio.
//!
//! ```text
//! cargo run --release -p vaccel-transport --example pingpong [ROUNDS]
//! ```

use std::error::Error;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};
use vaccel_transport::{
    Address, Connection, FrameReader, FrameWriter, Listener, ListenerOptions, Options, ReadError,
    Stream, handshake,
};
use vaccel_wire::{FrameBuffer, Limits, Welcome};

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let mut args = std::env::args().skip(1);
    match args.next().as_deref() {
        Some("serve") => serve(&args.next().ok_or("serve needs a path")?),
        rounds => measure(rounds.unwrap_or("20").parse()?),
    }
}

/// The other process: first connection raw, second one frames.
fn serve(path: &str) -> Outcome<()> {
    let listener = Listener::bind(&Address::unix(path), &ListenerOptions::default())?;
    let raw = std::os::unix::net::UnixStream::from(std::os::fd::OwnedFd::from(listener.accept()?));
    std::thread::spawn(move || raw_echo(&raw));
    let stream = Arc::new(listener.accept()?);
    handshake::receive_hello(&stream, Duration::from_secs(5))?;
    let welcome = Welcome {
        in_flight: 16,
        max_frame: 1 << 30,
        ..Welcome::refusal(0, "")
    };
    handshake::send_welcome(&stream, &welcome, Duration::from_secs(5))?;
    frames(stream)
}

fn raw_echo(mut stream: &std::os::unix::net::UnixStream) {
    use std::io::{Read, Write};
    let mut message = [0; 64];
    while stream.read_exact(&mut message).is_ok() && stream.write_all(&message).is_ok() {}
}

fn frames(stream: Arc<Stream>) -> Outcome<()> {
    let limits = Limits::default();
    let mut reader = FrameReader::new(limits);
    let writer = FrameWriter::new(Arc::clone(&stream));
    let mut buffer = FrameBuffer::new();
    loop {
        let message = match reader.read(&stream) {
            Ok(message) => message,
            Err(ReadError::Closed) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        message.args(&limits)?;
        writer.send(&buffer.reply(&message.header).finish()?, None)?;
    }
}

fn measure(rounds: usize) -> Outcome<()> {
    let path = std::env::temp_dir().join(format!("pingpong-{}", std::process::id()));
    let path = path.to_str().ok_or("the temporary folder is not UTF-8")?;
    let mut child = std::process::Command::new(std::env::current_exe()?)
        .args(["serve", path])
        .spawn()?;
    let address = Address::unix(path);
    let give_up = Instant::now() + Duration::from_secs(5);
    let raw = loop {
        match Stream::connect(&address, Duration::from_secs(1)) {
            Ok(stream) => break stream,
            Err(error) if Instant::now() > give_up => return Err(error.into()),
            Err(_) => std::thread::yield_now(),
        }
    };
    let raw = std::os::unix::net::UnixStream::from(raw.as_fd().try_clone_to_owned()?);
    let connection = Connection::connect(&address, &Options::default())?;
    let mut buffer = FrameBuffer::new();

    // In turns, so that whatever else the machine does meets both.
    let mut plain = Vec::new();
    let mut calls = Vec::new();
    for _ in 0..rounds {
        for _ in 0..2000 {
            plain.push(timed(|| raw_call(&raw))?);
        }
        for _ in 0..2000 {
            calls.push(timed(|| {
                let mut frame = buffer.request(0).finish()?;
                Ok(connection.call(&mut frame, 1, None, &mut ())?)
            })?);
        }
    }
    let (plain, calls) = (median(&mut plain), median(&mut calls));
    println!("raw 64 bytes there and back: {plain:.2} us");
    println!("noop request and reply:      {calls:.2} us");
    println!("ratio:                       {:.3}", calls / plain);
    drop(connection);
    drop(raw);
    child.wait()?;
    Ok(())
}

fn raw_call(mut stream: &std::os::unix::net::UnixStream) -> Outcome<()> {
    use std::io::{Read, Write};
    let mut message = [0; 64];
    stream.write_all(&message)?;
    stream.read_exact(&mut message)?;
    Ok(())
}

fn timed(f: impl FnOnce() -> Outcome<()>) -> Outcome<f64> {
    let start = Instant::now();
    f()?;
    Ok(start.elapsed().as_nanos() as f64 / 1000.0)
}

fn median(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
