//! WELCOME: what the agent answers to HELLO.

use crate::bytes::{u16_at, u32_at, u64_at};
use crate::hello::check_magic;
use crate::{MAGIC, Progress, VERSION, WireError};

/// Bytes of WELCOME without its text.
pub const WELCOME_LEN: usize = 48;

/// The most text WELCOME has, in bytes.
pub const MAX_TEXT: usize = 4096;

/// What the agent answers to HELLO.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Welcome<'a> {
    /// 0, or an error code; then the text says why.
    pub status: i32,
    /// The version in use.
    pub version: u16,
    /// Requests the client may have in flight.
    pub in_flight: u16,
    /// `FEATURE_*` bits in use.
    pub features: u32,
    /// Deadline of a request that names none, in milliseconds.
    pub default_deadline_ms: u32,
    /// Largest frame the agent takes, in bytes.
    pub max_frame: u64,
    /// Number of the connection, for logs.
    pub connection: u64,
    /// What went wrong, or a greeting.
    pub text: &'a str,
}

impl<'a> Welcome<'a> {
    /// The answer to a client that is refused.
    #[must_use]
    pub fn refusal(status: i32, text: &'a str) -> Self {
        Self {
            status,
            version: VERSION,
            in_flight: 0,
            features: 0,
            default_deadline_ms: 0,
            max_frame: 0,
            connection: 0,
            text,
        }
    }

    /// Appends WELCOME to `out`. Text beyond [`MAX_TEXT`] is cut at a
    /// character.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let text = cut(self.text, MAX_TEXT);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&self.status.to_le_bytes());
        out.extend_from_slice(&self.version.to_le_bytes());
        out.extend_from_slice(&self.in_flight.to_le_bytes());
        out.extend_from_slice(&self.features.to_le_bytes());
        out.extend_from_slice(&self.default_deadline_ms.to_le_bytes());
        out.extend_from_slice(&self.max_frame.to_le_bytes());
        out.extend_from_slice(&self.connection.to_le_bytes());
        // At most MAX_TEXT.
        out.extend_from_slice(&(text.len() as u32).to_le_bytes());
        out.extend_from_slice(&0_u32.to_le_bytes());
        out.extend_from_slice(text.as_bytes());
    }

    /// Reads WELCOME from the bytes that have arrived so far.
    ///
    /// # Errors
    /// [`WireError::Magic`] as soon as a byte differs; other errors for fields
    /// that are not valid.
    pub fn decode(bytes: &'a [u8]) -> Result<Progress<Self>, WireError> {
        check_magic(bytes)?;
        if bytes.len() < WELCOME_LEN {
            return Ok(Progress::More(WELCOME_LEN));
        }
        let text_len = u32_at(bytes, 40) as usize;
        if text_len > MAX_TEXT {
            return Err(WireError::TooLarge {
                what: "the text of WELCOME",
                size: text_len as u64,
                limit: MAX_TEXT as u64,
            });
        }
        let total = WELCOME_LEN + text_len;
        if bytes.len() < total {
            return Ok(Progress::More(total));
        }
        let welcome = Self {
            status: u32_at(bytes, 8).cast_signed(),
            version: u16_at(bytes, 12),
            in_flight: u16_at(bytes, 14),
            features: u32_at(bytes, 16),
            default_deadline_ms: u32_at(bytes, 20),
            max_frame: u64_at(bytes, 24),
            connection: u64_at(bytes, 32),
            text: std::str::from_utf8(&bytes[WELCOME_LEN..total])
                .map_err(|_| WireError::Utf8("the text of WELCOME"))?,
        };
        if welcome.status == 0 {
            if welcome.version != VERSION {
                return Err(WireError::field(
                    "WELCOME",
                    "version",
                    welcome.version.into(),
                ));
            }
            if welcome.in_flight == 0 {
                return Err(WireError::field("WELCOME", "requests in flight", 0));
            }
        }
        Ok(Progress::Done(welcome, total))
    }
}

/// The beginning of `text` that fits in `max` bytes, cut at a character.
pub(crate) fn cut(text: &str, max: usize) -> &str {
    let mut end = text.len().min(max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
