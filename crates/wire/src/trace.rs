//! The context of a trace that a request belongs to: W3C Trace Context on the wire.

use crate::WireError;

/// Bytes of a context at the end of a request's meta.
pub const TRACE_LEN: usize = 32;

/// What the bytes begin with: further extensions of the meta would begin otherwise.
const TAG: u16 = 1;

/// A place in a distributed trace: the span that a request was made in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trace {
    /// Number of the trace, not 0.
    pub trace: [u8; 16],
    /// Number of the span that asks, not 0.
    pub span: [u8; 8],
    /// Bits of the specification; bit 0: the spans of this trace are recorded.
    pub flags: u8,
}

impl Trace {
    /// Reads a `traceparent`, such as
    /// `00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01`. `None` for what the
    /// specification says is to be ignored. Of versions to come, what this one has is read.
    ///
    /// Source: <https://www.w3.org/TR/trace-context/#traceparent-header>.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let version = hex::<1>(parts.next()?)?;
        let trace = Self {
            trace: hex(parts.next()?)?,
            span: hex(parts.next()?)?,
            flags: hex::<1>(parts.next()?)?[0],
        };
        let known = version != [0xff] && (version != [0] || parts.next().is_none());
        (known && trace.is_valid()).then_some(trace)
    }

    /// True where whoever asks records the trace: then others should, too.
    #[must_use]
    pub fn is_sampled(&self) -> bool {
        self.flags & 1 != 0
    }

    fn is_valid(&self) -> bool {
        self.trace != [0; 16] && self.span != [0; 8]
    }

    pub(crate) fn encode(&self) -> [u8; TRACE_LEN] {
        let mut bytes = [0; TRACE_LEN];
        bytes[..2].copy_from_slice(&TAG.to_le_bytes());
        bytes[2] = self.flags;
        bytes[8..24].copy_from_slice(&self.trace);
        bytes[24..].copy_from_slice(&self.span);
        bytes
    }

    /// The context in what is left of a meta after its arguments; `None` where nothing is.
    pub(crate) fn decode(rest: &[u8]) -> Result<Option<Self>, WireError> {
        let wrong = |field, value| WireError::Field {
            message: "the context of a trace",
            field,
            value,
        };
        let Some(bytes) = rest.first_chunk::<TRACE_LEN>() else {
            return match rest.len() {
                0 => Ok(None),
                length => Err(wrong("length", length as u64)),
            };
        };
        if rest.len() != TRACE_LEN {
            return Err(wrong("length", rest.len() as u64));
        }
        let tag = u16::from_le_bytes([bytes[0], bytes[1]]);
        if tag != TAG {
            return Err(wrong("tag", tag.into()));
        }
        let mut trace = Self {
            trace: [0; 16],
            span: [0; 8],
            flags: bytes[2],
        };
        trace.trace.copy_from_slice(&bytes[8..24]);
        trace.span.copy_from_slice(&bytes[24..]);
        match trace.is_valid() {
            true => Ok(Some(trace)),
            false => Err(wrong("number", 0)),
        }
    }
}

/// Lower-case hexadecimal digits, exactly as many as there are bytes.
fn hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digit = |d: u8| match d {
        b'0'..=b'9' => Some(d - b'0'),
        b'a'..=b'f' => Some(d - b'a' + 10),
        _ => None,
    };
    let text = text.as_bytes();
    if text.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::{Args, FrameBuffer, HEADER_LEN, Header, Limits};

    const TEXT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_traceparent_is_read_as_the_specification_says() {
        let trace = Trace::parse(TEXT).unwrap();
        assert_eq!(trace.trace[..2], [0x4b, 0xf9]);
        assert_eq!((trace.span[7], trace.is_sampled()), (0xb7, true));
        let later = TEXT.replacen("00", "cc", 1) + "-what-comes-then";
        assert_eq!(Trace::parse(&later), Some(trace));
        for wrong in [
            "",
            "00",
            &TEXT[..54],
            &TEXT.to_uppercase(),
            &TEXT.replacen("00", "ff", 1),
            &format!("{TEXT}-00"),
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902bü-01",
        ] {
            assert_eq!(Trace::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_context_travels_with_a_request_and_changes_nothing_else_of_it() {
        let trace = Trace::parse(TEXT).unwrap();
        let large = vec![5; 100_000];
        let build = |traces: usize| {
            let mut buffer = FrameBuffer::new();
            let mut builder = buffer.request(7);
            builder.read_text("a").read_buffer(&large).read_scalar(9u32);
            builder.write_capacity(vaccel_abi::arg::ARG_BUFFER, 0, 10);
            let mut frame = builder.finish().unwrap();
            (0..traces).for_each(|_| frame.trace(&trace));
            let bytes: Vec<u8> = frame.slices().flatten().copied().collect();
            assert_eq!(bytes.len() as u64, frame.frame_len());
            bytes
        };
        let (without, with) = (build(0), build(1));
        assert_eq!(with.len(), without.len() + TRACE_LEN);
        assert_eq!(build(2), with, "a frame that is sent again has it once");
        let limits = Limits::default();
        let read = |bytes: &[u8]| {
            let header = Header::decode(bytes.first_chunk().unwrap()).unwrap();
            header.check(&limits).unwrap();
            let (meta, payload) = bytes[HEADER_LEN..].split_at(header.meta_len as usize);
            let args = Args::decode(&header, meta, &limits).unwrap();
            let all: Vec<Vec<u8>> = args.reads().map(|a| a.bytes(payload).to_vec()).collect();
            (args.trace(), all, args.capacity())
        };
        let ((none, before, room), (some, after, same)) = (read(&without), read(&with));
        assert_eq!((none, some), (None, Some(trace)));
        assert_eq!((before, room), (after, same));
        let header = Header::decode(with.first_chunk().unwrap()).unwrap();
        let meta = &with[HEADER_LEN..HEADER_LEN + header.meta_len as usize];
        for (at, byte) in [(0, 2), (1, 1)] {
            let mut other = meta.to_vec();
            let place = other.len() - TRACE_LEN + at;
            other[place] = byte;
            assert!(Args::decode(&header, &other, &limits).is_err());
        }
        // Replies have none.
        let reply = Header {
            kind: crate::Kind::Reply,
            ..header
        };
        assert!(Args::decode(&reply, meta, &limits).is_err());
    }
}
