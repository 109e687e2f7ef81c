//! HELLO: what the client says first.

use crate::bytes::{u16_at, u32_at, u64_at};
use crate::{MAGIC, Progress, VERSION, WireError};

/// Bytes of HELLO without its extra.
pub const HELLO_LEN: usize = 32;

/// The most extra bytes HELLO has.
pub const MAX_EXTRA: usize = 4096;

/// Feature bit: the client sends SHARE after WELCOME; see [`Share`](crate::Share).
pub const FEATURE_SHARED_MEMORY: u32 = 1;

/// Feature bit: the agent keeps tensors.
pub const FEATURE_KEPT_TENSORS: u32 = 2;

/// Feature bit: requests may carry the context of a [`Trace`](crate::Trace).
pub const FEATURE_TRACES: u32 = 4;

/// Feature bit: the client takes large replies in pieces; see
/// [`Kind::ReplyInPieces`](crate::Kind::ReplyInPieces).
pub const FEATURE_PIECES: u32 = 8;

/// Feature bit: the client brings a second Unix socket, and all that the agent sends after
/// WELCOME goes there.
pub const FEATURE_SECOND_SOCKET: u32 = 16;

const TAG_TOKEN: u16 = 1;
const TAG_CLIENT: u16 = 2;

/// What the client says first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hello<'a> {
    /// Lowest version it speaks.
    pub lowest: u16,
    /// Highest version it speaks.
    pub highest: u16,
    /// `FEATURE_*` bits it would like.
    pub features: u32,
    /// Largest frame it takes, in bytes.
    pub max_frame: u64,
    /// Bearer token, when it has one.
    pub token: Option<&'a [u8]>,
    /// What it calls itself, for logs.
    pub client: Option<&'a str>,
}

impl<'a> Hello<'a> {
    /// HELLO of this crate's version, without token and name.
    #[must_use]
    pub fn new(max_frame: u64) -> Self {
        Self {
            lowest: VERSION,
            highest: VERSION,
            features: 0,
            max_frame,
            token: None,
            client: None,
        }
    }

    /// The version that both sides speak.
    ///
    /// # Errors
    /// [`WireError::Version`] when there is none.
    pub fn version(&self) -> Result<u16, WireError> {
        if self.lowest <= VERSION && VERSION <= self.highest {
            return Ok(VERSION);
        }
        Err(WireError::Version {
            lowest: self.lowest,
            highest: self.highest,
            ours: VERSION,
        })
    }

    /// Appends HELLO to `out`.
    ///
    /// # Errors
    /// [`WireError::TooLarge`] when token and name are longer than
    /// [`MAX_EXTRA`] with their tags; `out` is as before then.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), WireError> {
        let entries = [
            (TAG_TOKEN, self.token),
            (TAG_CLIENT, self.client.map(str::as_bytes)),
        ];
        let extra: usize = entries
            .iter()
            .filter_map(|e| e.1)
            .map(|b| b.len() + 4)
            .sum();
        if extra > MAX_EXTRA {
            return Err(WireError::TooLarge {
                what: "token and name of the client in HELLO",
                size: extra as u64,
                limit: MAX_EXTRA as u64,
            });
        }
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&self.lowest.to_le_bytes());
        out.extend_from_slice(&self.highest.to_le_bytes());
        out.extend_from_slice(&self.features.to_le_bytes());
        out.extend_from_slice(&self.max_frame.to_le_bytes());
        // Both casts: at most MAX_EXTRA, checked above.
        out.extend_from_slice(&(extra as u32).to_le_bytes());
        out.extend_from_slice(&0_u32.to_le_bytes());
        for (tag, bytes) in entries {
            if let Some(bytes) = bytes {
                out.extend_from_slice(&tag.to_le_bytes());
                out.extend_from_slice(&(bytes.len() as u16).to_le_bytes());
                out.extend_from_slice(bytes);
            }
        }
        Ok(())
    }

    /// Reads HELLO from the bytes that have arrived so far.
    ///
    /// # Errors
    /// [`WireError::Magic`] as soon as a byte differs; other errors for fields
    /// and entries that are not valid.
    pub fn decode(bytes: &'a [u8]) -> Result<Progress<Self>, WireError> {
        check_magic(bytes)?;
        if bytes.len() < HELLO_LEN {
            return Ok(Progress::More(HELLO_LEN));
        }
        let lowest = u16_at(bytes, 8);
        let highest = u16_at(bytes, 10);
        if lowest > highest {
            return Err(WireError::field("HELLO", "lowest version", lowest.into()));
        }
        let extra_len = u32_at(bytes, 24) as usize;
        if extra_len > MAX_EXTRA {
            return Err(WireError::TooLarge {
                what: "the extra of HELLO",
                size: extra_len as u64,
                limit: MAX_EXTRA as u64,
            });
        }
        let total = HELLO_LEN + extra_len;
        if bytes.len() < total {
            return Ok(Progress::More(total));
        }
        let mut hello = Self {
            lowest,
            highest,
            features: u32_at(bytes, 12),
            max_frame: u64_at(bytes, 16),
            token: None,
            client: None,
        };
        hello.read_extra(&bytes[HELLO_LEN..total])?;
        Ok(Progress::Done(hello, total))
    }

    fn read_extra(&mut self, mut extra: &'a [u8]) -> Result<(), WireError> {
        while !extra.is_empty() {
            let needed = if extra.len() < 4 {
                4
            } else {
                4 + usize::from(u16_at(extra, 2))
            };
            if extra.len() < needed {
                return Err(WireError::Length {
                    what: "an entry in the extra of HELLO",
                    needed: needed as u64,
                    given: extra.len() as u64,
                });
            }
            let (entry, rest) = extra.split_at(needed);
            extra = rest;
            let tag = u16_at(entry, 0);
            let value = &entry[4..];
            let again = match tag {
                TAG_TOKEN => self.token.replace(value).is_some(),
                TAG_CLIENT => {
                    let name = std::str::from_utf8(value)
                        .map_err(|_| WireError::Utf8("the name of the client in HELLO"))?;
                    self.client.replace(name).is_some()
                }
                _ => false,
            };
            if again {
                return Err(WireError::field(
                    "HELLO",
                    "second entry with tag",
                    tag.into(),
                ));
            }
        }
        Ok(())
    }
}

/// Refuses bytes that cannot become the magic any more.
pub(crate) fn check_magic(bytes: &[u8]) -> Result<(), WireError> {
    let n = bytes.len().min(MAGIC.len());
    if bytes[..n] == MAGIC[..n] {
        return Ok(());
    }
    let mut first = [0; 8];
    first[..n].copy_from_slice(&bytes[..n]);
    Err(WireError::Magic(first))
}
