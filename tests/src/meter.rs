//! Counts the bytes between a client and an agent.

use anyhow::{Context, Result};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A TCP address that leads to another one; what passes is counted.
pub struct Meter {
    address: String,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    sent: AtomicU64,
    received: AtomicU64,
}

impl Meter {
    /// Listens, and forwards each connection to `address`, a `tcp://` address.
    ///
    /// # Errors
    /// When nothing can be listened on.
    pub fn start(address: &str) -> Result<Self> {
        let to = address
            .strip_prefix("tcp://")
            .context("not a TCP address")?
            .to_owned();
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let own = format!("tcp://{}", listener.local_addr()?);
        let counts = Arc::new(Counts::default());
        let all = Arc::clone(&counts);
        // Ends with the process: it waits for the next connection.
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(agent) = TcpStream::connect(&to) else {
                    continue;
                };
                let ends = (client.try_clone(), agent.try_clone());
                if let (Ok(client_too), Ok(agent_too)) = ends {
                    let (up, down) = (Arc::clone(&all), Arc::clone(&all));
                    std::thread::spawn(move || copy(client, agent, &up.sent));
                    std::thread::spawn(move || copy(agent_too, client_too, &down.received));
                }
            }
        });
        Ok(Self {
            address: own,
            counts,
        })
    }

    /// Where clients connect.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Bytes from clients to the agent so far.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.counts.sent.load(Ordering::SeqCst)
    }

    /// Bytes from the agent to clients so far.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.counts.received.load(Ordering::SeqCst)
    }
}

fn copy(mut from: TcpStream, mut to: TcpStream, count: &AtomicU64) {
    let mut space = vec![0; 64 << 10];
    while let Ok(bytes @ 1..) = from.read(&mut space) {
        // Counted before it arrives, so that whoever has an answer finds all of it counted.
        count.fetch_add(bytes as u64, Ordering::SeqCst);
        if to.write_all(&space[..bytes]).is_err() {
            break;
        }
    }
    // The other direction may have ended already.
    let _ = to.shutdown(Shutdown::Write);
}
