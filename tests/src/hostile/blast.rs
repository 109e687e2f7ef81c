//! As many mutated frames as an agent can take.

use super::frames::{Ids, TEMPLATES, request};
use super::{Host, Random, Raw, Scanner, mutate};
use anyhow::{Context, Result};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// Frames that are made ahead; each is changed anew whenever it is sent.
const STOCK: usize = 512;
/// Bytes that one write sends, about.
const BATCH: usize = 48 << 10;

/// What a blast has done.
#[derive(Debug, Default, Clone, Copy)]
pub struct Blasted {
    /// Frames that were sent whole.
    pub frames: u64,
    /// Connections that they needed: a frame whose lengths are wrong ends one.
    pub connections: u64,
    /// Bytes that came back, all of them searched.
    pub searched: u64,
    /// Markers of others in them.
    pub foreign: u64,
    /// How long it took.
    pub time: Duration,
}

/// Sends `count` mutated frames. `calm` is how many of 1000 batches change headers too, so that
/// their connection ends.
///
/// # Errors
/// When the agent lets nobody in any more.
pub fn blast(
    host: &Host,
    tenant: usize,
    count: u64,
    seed: u64,
    mut progress: impl FnMut(u64),
) -> Result<Blasted> {
    let begin = Instant::now();
    let mut random = Random(seed);
    let mut scanner = Scanner::new(tenant, 3);
    let mut done = Blasted::default();
    while done.frames < count {
        let mut raw = Raw::open(host, false, false).context("the agent lets nobody in")?;
        // Most frames should get as far as the operation: they name a session that exists.
        raw.open_session(tenant)?;
        done.connections += 1;
        let ids = Ids {
            tenant,
            session: raw.session,
            resource: 1,
            shared: false,
        };
        let stock: Vec<Vec<u8>> = (0..STOCK)
            .map(|i| request(kind(i), 0, ids, &mut random))
            .filter(|bytes| bytes.len() > 40)
            .collect();
        let stream = raw.stream().try_clone()?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        stream.set_write_timeout(Some(Duration::from_secs(10)))?;
        let reader = std::thread::spawn({
            let stream = stream.try_clone()?;
            move || read_all(stream, Scanner::new(tenant, 3))
        });
        done.frames += send_until_it_ends(&stream, &stock, count - done.frames, &mut random);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        if let Ok(read) = reader.join() {
            scanner.searched += read.searched;
            scanner.found += read.found;
        }
        progress(done.frames);
    }
    (done.searched, done.foreign) = (scanner.searched, scanner.found);
    done.time = begin.elapsed();
    Ok(done)
}

/// Requests that neither wait nor fill the agent: what is left out here is for the model.
fn kind(i: usize) -> usize {
    let which = i % TEMPLATES;
    // Sessions that nobody closes are counted by other tests.
    if which == 1 { 0 } else { which }
}

/// Sends frames until so many have been sent or the agent has hung up; how many.
fn send_until_it_ends(
    mut stream: &UnixStream,
    stock: &[Vec<u8>],
    most: u64,
    random: &mut Random,
) -> u64 {
    let mut batch = Vec::with_capacity(2 * BATCH);
    let (mut sent, mut number) = (0, 0_u64);
    while sent < most {
        batch.clear();
        let mut frames = 0;
        while batch.len() < BATCH && sent + frames < most {
            let from = batch.len();
            batch.extend_from_slice(&stock[random.below(stock.len())]);
            let frame = &mut batch[from..];
            number += 1;
            frame[8..16].copy_from_slice(&number.to_le_bytes());
            if random.below(2000) == 0 {
                // Anything, the header included: most of these end the connection.
                mutate(frame, random);
            } else {
                // The header's lengths stay, so that the next frame is found.
                match random.below(8) {
                    0 => frame[2] = random.number() as u8,
                    1 => frame[16..24].copy_from_slice(&random.number().to_le_bytes()),
                    _ => {}
                }
                mutate(&mut frame[40..], random);
            }
            frames += 1;
        }
        if stream.write_all(&batch).is_err() {
            break;
        }
        sent += frames;
    }
    sent
}

fn read_all(mut stream: UnixStream, mut scanner: Scanner) -> Scanner {
    let mut buffer = vec![0; 256 << 10];
    while let Ok(n @ 1..) = stream.read(&mut buffer) {
        scanner.take(&buffer[..n]);
    }
    scanner
}
