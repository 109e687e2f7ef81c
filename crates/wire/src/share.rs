//! SHARE and SHARED: how a client offers memory, and what the worker says to it.

use crate::bytes::{u32_at, u64_at};
use crate::welcome::cut;
use crate::{MAX_TEXT, Progress, WireError};

/// First bytes of SHARE and SHARED.
const MAGIC: [u8; 8] = *b"vaccel/m";

/// Bytes of SHARE.
pub const SHARE_LEN: usize = 32;

/// Bytes of SHARED without its text.
pub const SHARED_LEN: usize = 32;

/// The offer of a region of memory, whose descriptor comes with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// Bytes of the region.
    pub size: u64,
    /// Bytes of each of the two rings, a power of two; 0 for none.
    pub ring: u32,
    /// Where arguments may lie: from here to the end of the region.
    pub arena: u32,
}

impl Share {
    /// As bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; SHARE_LEN] {
        let mut out = [0; SHARE_LEN];
        out[..8].copy_from_slice(&MAGIC);
        out[8..16].copy_from_slice(&self.size.to_le_bytes());
        out[16..20].copy_from_slice(&self.ring.to_le_bytes());
        out[20..24].copy_from_slice(&self.arena.to_le_bytes());
        out
    }

    /// From bytes.
    ///
    /// # Errors
    /// [`WireError::Magic`], or [`WireError::Field`] for a ring that is no power of two
    /// from 4 KiB to 16 MiB, or an arena that begins inside it.
    pub fn decode(bytes: &[u8; SHARE_LEN]) -> Result<Self, WireError> {
        check(bytes)?;
        let share = Self {
            size: u64_at(bytes, 8),
            ring: u32_at(bytes, 16),
            arena: u32_at(bytes, 20),
        };
        let field = |name, value| Err(WireError::field("SHARE", name, value));
        let ring = share.ring;
        if ring != 0 && !(ring.is_power_of_two() && (4096..=16 << 20).contains(&ring)) {
            return field("size of the rings", ring.into());
        }
        let arena = u64::from(share.arena);
        if arena < 4096 + 2 * u64::from(ring) || arena % 4096 != 0 || arena > share.size {
            return field("beginning of the arena", arena);
        }
        Ok(share)
    }
}

/// What the worker answers to [`Share`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shared {
    /// 0, or an error code; then text says why, and the connection goes on without
    /// shared memory.
    pub status: i32,
    /// Bytes that all regions of the connection may have together.
    pub limit: u64,
    /// Why not.
    pub text: String,
}

impl Shared {
    /// Appends it to `out`. Text beyond [`MAX_TEXT`] is cut at a character.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let text = cut(&self.text, MAX_TEXT);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&self.status.to_le_bytes());
        // At most MAX_TEXT.
        out.extend_from_slice(&(text.len() as u32).to_le_bytes());
        out.extend_from_slice(&self.limit.to_le_bytes());
        out.extend_from_slice(&[0; 8]);
        out.extend_from_slice(text.as_bytes());
    }

    /// Reads it from the bytes that have arrived so far.
    ///
    /// # Errors
    /// [`WireError::Magic`], or what is wrong with the text.
    pub fn decode(bytes: &[u8]) -> Result<Progress<Self>, WireError> {
        let Some(head) = bytes.first_chunk::<SHARED_LEN>() else {
            return Ok(Progress::More(SHARED_LEN));
        };
        check(head)?;
        let text_len = u32_at(head, 12) as usize;
        if text_len > MAX_TEXT {
            return Err(WireError::TooLarge {
                what: "the text of SHARED",
                size: text_len as u64,
                limit: MAX_TEXT as u64,
            });
        }
        let total = SHARED_LEN + text_len;
        let Some(text) = bytes.get(SHARED_LEN..total) else {
            return Ok(Progress::More(total));
        };
        let shared = Self {
            status: u32_at(head, 8).cast_signed(),
            limit: u64_at(head, 16),
            text: std::str::from_utf8(text)
                .map_err(|_| WireError::Utf8("the text of SHARED"))?
                .to_owned(),
        };
        Ok(Progress::Done(shared, total))
    }
}

fn check(head: &[u8; 32]) -> Result<(), WireError> {
    match head.first_chunk::<8>() {
        Some(magic) if *magic == MAGIC => Ok(()),
        Some(other) => Err(WireError::Magic(*other)),
        None => Err(WireError::Magic([0; 8])),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_offer_and_its_answer_come_back_as_they_were_written() {
        let share = Share {
            size: 1 << 20,
            ring: 1 << 16,
            arena: 4096 + (2 << 16),
        };
        assert_eq!(Share::decode(&share.encode()).unwrap(), share);
        let shared = Shared {
            status: 12,
            limit: 1 << 30,
            text: "no memory is shared here".into(),
        };
        let mut bytes = Vec::new();
        shared.encode(&mut bytes);
        for n in 0..bytes.len() {
            let Progress::More(needed) = Shared::decode(&bytes[..n]).unwrap() else {
                panic!("{n} bytes are not all");
            };
            assert!(needed > n && needed <= bytes.len());
        }
        let all = bytes.len();
        assert_eq!(Shared::decode(&bytes).unwrap(), Progress::Done(shared, all));
    }

    #[test]
    fn rings_and_arenas_that_do_not_fit_are_refused() {
        let good = Share {
            size: 1 << 20,
            ring: 1 << 16,
            arena: 4096 + (2 << 16),
        };
        for bad in [
            Share { ring: 5000, ..good },
            Share { ring: 2048, ..good },
            Share {
                ring: 1 << 31,
                ..good
            },
            Share { arena: 0, ..good },
            Share {
                arena: 1 << 16,
                ..good
            },
            Share {
                arena: good.arena + 1,
                ..good
            },
            Share { size: 4096, ..good },
        ] {
            assert!(Share::decode(&bad.encode()).is_err(), "{bad:?}");
        }
        let mut bytes = good.encode();
        bytes[0] = b'x';
        assert!(matches!(Share::decode(&bytes), Err(WireError::Magic(_))));
    }
}
