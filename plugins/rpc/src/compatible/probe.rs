//! Finds out whether ttrpc is spoken at the other end.

use std::io::{Error, ErrorKind, Result};
use std::time::Instant;
use vaccel_compat::{FrameDecoder, Kind, Request, Response, SYNC_SERVICE, decode, encode_frame};
use vaccel_transport::Stream;

/// The first stream id, for the question below.
const STREAM: u32 = 1;
/// The first stream id after it.
pub(super) const NEXT_STREAM: u32 = 3;
/// What the answer may have at most.
const MOST: u32 = 64 << 10;

/// Calls a method that no agent has, which changes nothing and is refused.
///
/// # Errors
/// `TimedOut`; `InvalidData` when what comes is no answer; what the system says.
pub(super) fn ask(stream: &Stream, end: Instant) -> Result<()> {
    let odd = |what: String| Error::new(ErrorKind::InvalidData, what);
    let request = Request {
        service: SYNC_SERVICE.to_owned(),
        method: "Hello".to_owned(),
        ..Request::default()
    };
    let bytes = encode_frame(Kind::Request, STREAM, 0, &request).map_err(|e| odd(e.to_string()))?;
    stream.send_until(&bytes, end)?;
    let mut decoder = FrameDecoder::new(MOST);
    let mut buffer = [0; 4096];
    loop {
        let n = stream.recv_until(&mut buffer, end)?;
        if n == 0 {
            return Err(odd("it hung up".to_owned()));
        }
        let mut rest = &buffer[..n];
        let frame = decoder.take(&mut rest).map_err(|e| odd(e.to_string()))?;
        let Some(frame) = frame else {
            continue;
        };
        if frame.header.kind != Kind::Response || frame.header.stream != STREAM || !rest.is_empty()
        {
            return Err(odd("it answers what was not asked".to_owned()));
        }
        let _: Response = decode(frame.body).map_err(|e| odd(e.to_string()))?;
        return Ok(());
    }
}
