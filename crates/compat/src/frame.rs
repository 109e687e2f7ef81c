//! Frames: ten bytes of header, big-endian, then the body.

use prost::Message;
use prost::bytes::Bytes;

use crate::CompatError;

/// Bytes of a header.
pub const HEADER_LEN: usize = 10;

/// The most bytes of a message unless told otherwise: what clients of the C
/// implementation send at most.
pub const DEFAULT_MAX_MESSAGE: u32 = 1 << 30;

/// The sender sends no more on this stream.
pub const FLAG_REMOTE_CLOSED: u8 = 1;
/// The sender goes on to send data on this stream.
pub const FLAG_REMOTE_OPEN: u8 = 2;
/// The frame carries no message.
pub const FLAG_NO_DATA: u8 = 4;

/// The least room that is made at once for a body that is still to come.
const STEP: usize = 64 << 10;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A call, from the client.
    Request = 1,
    /// The answer to a call.
    Response = 2,
    /// A message of a stream.
    Data = 3,
}

/// Begins every frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Bytes of the body.
    pub len: u32,
    /// Which call the frame belongs to.
    pub stream: u32,
    /// What the frame is.
    pub kind: Kind,
    /// `FLAG_*`, or'ed.
    pub flags: u8,
}

impl Header {
    /// The header as bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        bytes[..4].copy_from_slice(&self.len.to_be_bytes());
        bytes[4..8].copy_from_slice(&self.stream.to_be_bytes());
        bytes[8] = self.kind as u8;
        bytes[9] = self.flags;
        bytes
    }

    /// Reads a header; the length is not checked.
    ///
    /// # Errors
    /// [`CompatError::Kind`] for a type that does not exist.
    pub fn decode(bytes: [u8; HEADER_LEN]) -> Result<Self, CompatError> {
        let [a, b, c, d, e, f, g, h, kind, flags] = bytes;
        Ok(Self {
            len: u32::from_be_bytes([a, b, c, d]),
            stream: u32::from_be_bytes([e, f, g, h]),
            kind: match kind {
                1 => Kind::Request,
                2 => Kind::Response,
                3 => Kind::Data,
                other => return Err(CompatError::Kind(other)),
            },
            flags,
        })
    }
}

/// A frame that has arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Its header.
    pub header: Header,
    /// Its body, as many bytes as the header says.
    pub body: Bytes,
}

/// Checks the stream id of a request against the greatest one before it.
///
/// # Errors
/// [`CompatError::Stream`] for an even id and for one that does not grow.
pub fn check_new_stream(id: u32, previous: u32) -> Result<(), CompatError> {
    if id % 2 == 1 && id > previous {
        return Ok(());
    }
    Err(CompatError::Stream { id, previous })
}

/// Writes a frame with this message as its body.
///
/// # Errors
/// [`CompatError::TooLarge`] when a header cannot say the message's length;
/// [`CompatError::NoMemory`].
pub fn encode_frame(
    kind: Kind,
    stream: u32,
    flags: u8,
    message: &impl Message,
) -> Result<Vec<u8>, CompatError> {
    let size = message.encoded_len();
    let len = u32::try_from(size).map_err(|_| CompatError::TooLarge {
        size: size as u64,
        limit: u32::MAX,
    })?;
    let mut bytes = Vec::new();
    size.checked_add(HEADER_LEN)
        .and_then(|all| bytes.try_reserve_exact(all).ok())
        .ok_or(CompatError::NoMemory(size as u64))?;
    let header = Header {
        len,
        stream,
        kind,
        flags,
    };
    bytes.extend_from_slice(&header.encode());
    // Fails only where a buffer is too short, and a Vec grows.
    message
        .encode(&mut bytes)
        .map_err(|e| CompatError::Message(e.to_string()))?;
    Ok(bytes)
}

/// Makes frames of bytes as they arrive.
///
/// After an error the connection is of no more use: where the next frame begins
/// is not known.
#[derive(Debug)]
pub struct FrameDecoder {
    limit: u32,
    head: [u8; HEADER_LEN],
    head_len: usize,
    header: Option<Header>,
    body: Vec<u8>,
}

impl Default for FrameDecoder {
    fn default() -> Self {
        Self::new(DEFAULT_MAX_MESSAGE)
    }
}

impl FrameDecoder {
    /// A decoder that takes messages of at most this many bytes.
    #[must_use]
    pub fn new(limit: u32) -> Self {
        Self {
            limit,
            head: [0; HEADER_LEN],
            head_len: 0,
            header: None,
            body: Vec::new(),
        }
    }

    /// Whether a frame has begun and not ended.
    #[must_use]
    pub fn is_mid_frame(&self) -> bool {
        self.head_len > 0
    }

    /// The header of the frame that has begun, also of one that was refused; `None`
    /// before all of it is there.
    #[must_use]
    pub fn header(&self) -> Option<Header> {
        let whole = self.head_len == HEADER_LEN;
        whole.then(|| Header::decode(self.head).ok()).flatten()
    }

    /// Takes bytes from the front of `bytes` up to the end of a frame.
    ///
    /// `None` when all were taken and the frame needs more.
    ///
    /// # Errors
    /// [`CompatError::Kind`], [`CompatError::TooLarge`] as soon as the header is
    /// there, [`CompatError::NoMemory`].
    pub fn take(&mut self, bytes: &mut &[u8]) -> Result<Option<Frame>, CompatError> {
        let header = match self.header {
            Some(header) => header,
            None => {
                let front = split(bytes, HEADER_LEN - self.head_len);
                self.head[self.head_len..][..front.len()].copy_from_slice(front);
                self.head_len += front.len();
                if self.head_len < HEADER_LEN {
                    return Ok(None);
                }
                let header = Header::decode(self.head)?;
                if header.len > self.limit {
                    return Err(CompatError::TooLarge {
                        size: header.len.into(),
                        limit: self.limit,
                    });
                }
                self.header = Some(header);
                header
            }
        };
        let no_memory = || CompatError::NoMemory(header.len.into());
        let len = usize::try_from(header.len).map_err(|_| no_memory())?;
        let front = split(bytes, len - self.body.len());
        if self.body.capacity() - self.body.len() < front.len() {
            // Room for what is there and as much again, not for what the header
            // promises: a frame that is never finished holds little.
            let room = self.body.len().max(front.len()).max(STEP);
            self.body
                .try_reserve_exact(room.min(len - self.body.len()))
                .map_err(|_| no_memory())?;
        }
        self.body.extend_from_slice(front);
        if self.body.len() < len {
            return Ok(None);
        }
        self.head_len = 0;
        self.header = None;
        Ok(Some(Frame {
            header,
            body: std::mem::take(&mut self.body).into(),
        }))
    }
}

/// Cuts at most `len` bytes off the front.
fn split<'a>(bytes: &mut &'a [u8], len: usize) -> &'a [u8] {
    let (front, rest) = bytes.split_at(len.min(bytes.len()));
    *bytes = rest;
    front
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::message::CreateSessionRequest;

    const BYTES: [u8; 12] = [0, 0, 0, 2, 0, 0, 1, 3, 1, 0, 8, 7];

    #[test]
    fn a_frame_has_the_bytes_of_the_protocol() {
        let message = CreateSessionRequest { flags: 7 };
        let bytes = encode_frame(Kind::Request, 0x103, 0, &message).unwrap();
        assert_eq!(bytes, BYTES);
    }

    #[test]
    fn frames_arrive_however_they_are_cut() {
        let twice = [BYTES, BYTES].concat();
        for size in 1..=twice.len() {
            let mut decoder = FrameDecoder::default();
            let mut frames = Vec::new();
            for mut piece in twice.chunks(size) {
                while !piece.is_empty() {
                    frames.extend(decoder.take(&mut piece).unwrap());
                }
            }
            assert!(!decoder.is_mid_frame());
            assert_eq!(frames.len(), 2, "in pieces of {size}");
            for frame in frames {
                assert_eq!(frame.header.stream, 0x103);
                assert_eq!(frame.header.kind, Kind::Request);
                assert_eq!(&frame.body[..], [8, 7]);
            }
        }
    }

    #[test]
    fn an_empty_body_is_a_frame_at_once() {
        let mut bytes = &[0, 0, 0, 0, 0, 0, 0, 1, 3, 5][..];
        let frame = FrameDecoder::default().take(&mut bytes).unwrap().unwrap();
        assert_eq!(frame.header.flags, FLAG_REMOTE_CLOSED | FLAG_NO_DATA);
        assert!(frame.body.is_empty());
    }

    #[test]
    fn a_giant_length_is_refused_before_any_body_comes() {
        let mut bytes = &[255, 255, 255, 255, 0, 0, 0, 1, 1, 0][..];
        let mut decoder = FrameDecoder::default();
        let error = decoder.take(&mut bytes).unwrap_err();
        let limit = DEFAULT_MAX_MESSAGE;
        let size = u32::MAX.into();
        assert_eq!(error, CompatError::TooLarge { size, limit });
        assert_eq!(decoder.body.capacity(), 0);
    }

    #[test]
    fn the_limit_is_the_last_length_that_is_taken() {
        assert!(FrameDecoder::new(2).take(&mut &BYTES[..]).is_ok());
        assert!(FrameDecoder::new(1).take(&mut &BYTES[..]).is_err());
    }

    #[test]
    fn a_half_sent_frame_holds_no_more_than_twice_what_came() {
        let mut decoder = FrameDecoder::default();
        let header = Header {
            len: DEFAULT_MAX_MESSAGE,
            stream: 1,
            kind: Kind::Request,
            flags: 0,
        };
        assert!(decoder.take(&mut &header.encode()[..]).unwrap().is_none());
        assert!(decoder.is_mid_frame());
        let piece = [0; 1000];
        for sent in (1..=500).map(|n| n * piece.len()) {
            assert!(decoder.take(&mut &piece[..]).unwrap().is_none());
            let most = (2 * sent).max(STEP);
            assert!(decoder.body.capacity() <= most, "{sent} bytes were sent");
        }
    }

    #[test]
    fn unknown_types_and_bad_stream_ids_are_refused() {
        for kind in [0, 4, 255] {
            let mut bytes = BYTES;
            bytes[8] = kind;
            let error = FrameDecoder::default().take(&mut &bytes[..]).unwrap_err();
            assert_eq!(error, CompatError::Kind(kind));
        }
        assert!(check_new_stream(1, 0).is_ok());
        assert!(check_new_stream(5, 1).is_ok());
        for (id, previous) in [(0, 0), (2, 1), (1, 1), (3, 5)] {
            assert!(check_new_stream(id, previous).is_err(), "{id}");
        }
    }
}
