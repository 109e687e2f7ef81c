//! Sends spans to a collector: OTLP over HTTP, as protobuf.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use prost::Message;

use super::{Span, otlp};
use crate::{info, warn};

/// Requests that wait to be sent; further ones are lost, and counted.
const ROOM: usize = 4096;
/// The most that are sent at once.
const BATCH: usize = 512;
/// How long the first of them waits for others.
const GATHER: Duration = Duration::from_millis(500);
/// How long a collector may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often a failure is told.
const QUIET: Duration = Duration::from_secs(60);

/// A request that was answered, and for whom.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) connection: u64,
    pub(super) tenant: Option<String>,
    pub(super) span: Span,
}

/// Sends spans, on a thread of its own. What waits is sent when it goes.
#[derive(Debug)]
pub struct Exporter {
    queue: Option<SyncSender<Told>>,
    thread: Option<JoinHandle<()>>,
    lost: Arc<AtomicU64>,
}

/// The URL of a collector, checked.
///
/// # Errors
/// What a URL looks like.
pub fn endpoint(text: &str) -> Result<String, String> {
    let url = text.trim_end_matches('/');
    let host = url
        .strip_prefix("http://")
        .or_else(|| url.strip_prefix("https://"));
    match host {
        Some(host) if !host.is_empty() && !host.starts_with('/') => Ok(url.to_owned()),
        _ => Err(format!(
            "`{text}` is not the URL of a collector; an example: http://127.0.0.1:4318"
        )),
    }
}

impl Exporter {
    /// One for the collector at a URL.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub fn start(endpoint: &str) -> Result<Self> {
        let (queue, spans) = sync_channel(ROOM);
        let lost = Arc::new(AtomicU64::new(0));
        let sender = Sender {
            url: format!("{endpoint}/v1/traces"),
            agent: ureq::Agent::config_builder()
                .timeout_global(Some(PATIENCE))
                .build()
                .into(),
            lost: Arc::clone(&lost),
            told: None,
        };
        info!("spans go to {}", sender.url);
        let thread = std::thread::Builder::new().name("traces".into());
        let thread = thread
            .spawn(move || sender.work(&spans))
            .context("cannot start a thread for traces")?;
        Ok(Self {
            queue: Some(queue),
            thread: Some(thread),
            lost,
        })
    }

    /// Takes the span of a request, without waiting.
    pub(crate) fn take(&self, connection: u64, tenant: Option<String>, span: Span) {
        let told = Told {
            connection,
            tenant,
            span,
        };
        let taken = self
            .queue
            .as_ref()
            .is_some_and(|queue| queue.try_send(told).is_ok());
        if !taken {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            // It ends with what waits, and no request of it takes longer than PATIENCE.
            let _ = thread.join();
        }
    }
}

/// What the thread has.
struct Sender {
    url: String,
    agent: ureq::Agent,
    lost: Arc<AtomicU64>,
    /// When a failure was told last.
    told: Option<Instant>,
}

impl Sender {
    fn work(mut self, spans: &Receiver<Told>) {
        while let Ok(first) = spans.recv() {
            let until = Instant::now() + GATHER;
            let mut batch = vec![first];
            let mut over = false;
            while batch.len() < BATCH && !over {
                let left = until.saturating_duration_since(Instant::now());
                match spans.recv_timeout(left) {
                    Ok(next) => batch.push(next),
                    Err(RecvTimeoutError::Timeout) => break,
                    Err(RecvTimeoutError::Disconnected) => over = true,
                }
            }
            if let Err(e) = self.send(&batch) {
                let lost = self.lost.fetch_add(batch.len() as u64, Ordering::Relaxed);
                self.complain(&e, lost + batch.len() as u64);
                if over {
                    // The agent ends; there is no time to try with the rest.
                    return;
                }
            }
        }
    }

    fn send(&self, batch: &[Told]) -> io::Result<()> {
        let bytes = otlp::message(batch).encode_to_vec();
        let request = self
            .agent
            .post(&self.url)
            .header("Content-Type", "application/x-protobuf");
        // Any status but one of success is an error.
        request.send(&bytes[..]).map_err(io::Error::other)?;
        Ok(())
    }

    fn complain(&mut self, e: &io::Error, lost: u64) {
        if self.told.is_some_and(|at| at.elapsed() < QUIET) {
            return;
        }
        self.told = Some(Instant::now());
        warn!(
            "{}: {e}; spans of {lost} requests are lost so far",
            self.url
        );
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_url_of_a_collector_is_checked() {
        assert_eq!(
            endpoint("http://[::1]:4318/"),
            Ok("http://[::1]:4318".into())
        );
        assert!(endpoint("https://collector/otlp").is_ok());
        for wrong in ["", "localhost:4318", "grpc://x", "http://", "http:///v1"] {
            let error = endpoint(wrong).unwrap_err();
            assert!(error.contains("http://127.0.0.1:4318"), "{error}");
        }
    }
}
