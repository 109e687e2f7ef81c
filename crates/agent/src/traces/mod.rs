//! Traces: what becomes of a request that belongs to one, for OpenTelemetry.
//!
//! A worker tells its agent of each such request when it has answered it; a worker has no
//! network, and whatever it says is bounded: a span that is lost is no harm. The agent makes
//! spans of it and sends them on, see [`Exporter`]. Nothing of this happens unless an endpoint
//! is configured: then requests without a context cost one comparison more.

mod exporter;
mod otlp;

pub use exporter::{Exporter, endpoint};

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use vaccel_wire::{Header, Trace};

use crate::counts;

/// Bytes of one as a worker sends it, without the name of the plugin.
const LEN: usize = 16 + 8 + 1 + 2 + 4 + 8 + 8 + 7 * 8;

/// A request that was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// The span that asked, and its trace.
    pub parent: Trace,
    /// Code of the operation.
    pub operation: u16,
    /// Code of its error; 0 for none.
    pub error: i32,
    /// The session; 0 for none.
    pub session: i64,
    /// Number of the request.
    pub request: u64,
    /// When it had been answered, in nanoseconds since 1970.
    pub end: u64,
    /// Its parts in nanoseconds: transfer in, queue, compute, transfer out.
    pub parts: [u64; 4],
    /// Bytes of the request.
    pub received: u64,
    /// Bytes of the reply.
    pub sent: u64,
    /// The plugin that it was for; empty for none.
    pub plugin: String,
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

impl Span {
    /// A request that has been answered just now.
    #[must_use]
    pub fn new(parent: Trace, header: &Header, counted: counts::Request) -> Self {
        let end = SystemTime::now().duration_since(UNIX_EPOCH);
        Self {
            parent,
            operation: header.operation,
            error: counted.error,
            session: header.session,
            request: header.request,
            end: nanos(end.unwrap_or_default()),
            parts: [
                counted.transfer_in,
                counted.queue,
                counted.compute,
                counted.transfer_out,
            ]
            .map(nanos),
            received: counted.bytes_in,
            sent: counted.bytes_out,
            plugin: counts::mine().plugin_name(counted.plugin),
        }
    }

    /// For the agent.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(LEN + self.plugin.len());
        bytes.extend_from_slice(&self.parent.trace);
        bytes.extend_from_slice(&self.parent.span);
        bytes.push(self.parent.flags);
        bytes.extend_from_slice(&self.operation.to_le_bytes());
        bytes.extend_from_slice(&self.error.to_le_bytes());
        bytes.extend_from_slice(&self.session.to_le_bytes());
        bytes.extend_from_slice(&self.request.to_le_bytes());
        for word in [self.end]
            .into_iter()
            .chain(self.parts)
            .chain([self.received, self.sent])
        {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        bytes.extend_from_slice(self.plugin.as_bytes());
        bytes
    }

    /// What a worker sent; `None` where that is something else.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (&trace, rest) = bytes.split_first_chunk::<16>()?;
        let (&span, rest) = rest.split_first_chunk::<8>()?;
        let (&[flags], rest) = rest.split_first_chunk::<1>()?;
        let (&operation, rest) = rest.split_first_chunk::<2>()?;
        let (&error, rest) = rest.split_first_chunk::<4>()?;
        let (&session, rest) = rest.split_first_chunk::<8>()?;
        let (&request, mut rest) = rest.split_first_chunk::<8>()?;
        let mut words = [0; 7];
        for word in &mut words {
            let (bytes, after) = rest.split_first_chunk::<8>()?;
            (*word, rest) = (u64::from_le_bytes(*bytes), after);
        }
        let [end, one, two, three, four, received, sent] = words;
        // It is a label of somebody's, as on the metrics page.
        let plain = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
        let plugin = match rest.len() <= 32 && rest.iter().all(plain) {
            true => String::from_utf8_lossy(rest).into_owned(),
            false => "?".to_owned(),
        };
        Some(Self {
            parent: Trace { trace, span, flags },
            operation: u16::from_le_bytes(operation),
            error: i32::from_le_bytes(error),
            session: i64::from_le_bytes(session),
            request: u64::from_le_bytes(request),
            end,
            parts: [one, two, three, four],
            received,
            sent,
            plugin,
        })
    }

    /// One for tests.
    #[cfg(test)]
    pub(crate) fn example() -> Self {
        Self {
            parent: Trace {
                trace: [3; 16],
                span: [4; 8],
                flags: 1,
            },
            operation: 7,
            error: -5,
            session: i64::MAX,
            request: 9,
            end: 1_000_000,
            parts: [1, 20, 300, 4000],
            received: 11,
            sent: 12,
            plugin: "noop".into(),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_span_arrives_as_it_was_sent_and_what_is_cut_or_odd_does_no_harm() {
        let span = Span::example();
        let bytes = span.encode();
        assert_eq!(bytes.len(), LEN + 4);
        assert_eq!(Span::decode(&bytes), Some(span));
        for cut in 0..LEN {
            assert_eq!(Span::decode(&bytes[..cut]), None);
        }
        for name in [&b"a\"b"[..], &[0xff; 8], &[b'x'; 33]] {
            let odd = [&bytes[..LEN], name].concat();
            assert_eq!(Span::decode(&odd).unwrap().plugin, "?");
        }
    }
}
