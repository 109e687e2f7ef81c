//! The messages as bytes.

use super::{Content, ToAgent, ToWorker, Wanted};
use crate::traces::Span;

/// The longest message; texts are cut to fit, but for [`ToWorker::Tenant`], whose text is bounded.
pub(super) const MAX: usize = 64 << 10;

impl ToWorker {
    pub(super) fn encode(&self) -> Vec<u8> {
        match self {
            Self::Connection {
                number,
                tenant,
                origin,
            } => {
                let fields = [&tenant.to_le_bytes()[..], origin.as_bytes()].concat();
                packet_of(1, Some(*number), &fields)
            }
            Self::Tenant { tenant, row, terms } => {
                let fields = [&row.to_le_bytes()[..], terms.as_bytes()].concat();
                packet_of(4, Some(*tenant), &fields)
            }
            Self::Drain => packet(2, None, ""),
            Self::Leave => packet(5, None, ""),
            Self::Content { request, content } => {
                let (which, value, text) = match content {
                    Content::Here => (0, 0, ""),
                    Content::Send { offset } => (1, *offset, ""),
                    Content::NotKept => (2, 0, ""),
                    // The bits of a code, not its value, and back below.
                    Content::Failed { code, reason } => {
                        (3, u64::from(code.cast_unsigned()), &reason[..])
                    }
                };
                let fields = [&[which], &value.to_le_bytes()[..], text.as_bytes()].concat();
                packet_of(3, Some(*request), &fields)
            }
        }
    }

    /// A descriptor belongs to it.
    pub(super) fn has_descriptor(&self) -> bool {
        match self {
            Self::Connection { .. } | Self::Tenant { .. } => true,
            Self::Leave | Self::Drain => false,
            Self::Content { content, .. } => {
                matches!(content, Content::Here | Content::Send { .. })
            }
        }
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (&kind, rest) = bytes.split_first()?;
        match kind {
            1 => {
                let (number, rest) = rest.split_first_chunk::<8>()?;
                let (tenant, origin) = numbered(rest)?;
                Some(Self::Connection {
                    number: u64::from_le_bytes(*number),
                    tenant,
                    origin,
                })
            }
            4 => {
                let (tenant, rest) = rest.split_first_chunk::<8>()?;
                let (row, rest) = rest.split_first_chunk::<4>()?;
                Some(Self::Tenant {
                    tenant: u64::from_le_bytes(*tenant),
                    row: u32::from_le_bytes(*row),
                    terms: text(rest),
                })
            }
            2 if rest.is_empty() => Some(Self::Drain),
            5 if rest.is_empty() => Some(Self::Leave),
            3 => {
                let (request, rest) = rest.split_first_chunk::<8>()?;
                let (which, rest) = rest.split_first()?;
                let (value, rest) = rest.split_first_chunk::<8>()?;
                let value = u64::from_le_bytes(*value);
                let content = match which {
                    0 => Content::Here,
                    1 => Content::Send { offset: value },
                    2 => Content::NotKept,
                    3 => Content::Failed {
                        code: u32::try_from(value).ok()?.cast_signed(),
                        reason: text(rest),
                    },
                    _ => return None,
                };
                let request = u64::from_le_bytes(*request);
                Some(Self::Content { request, content })
            }
            _ => None,
        }
    }
}

impl ToAgent {
    pub(super) fn encode(&self) -> Vec<u8> {
        match self {
            Self::Ready { about } => packet(1, None, about),
            Self::Failed { reason } => packet(2, None, reason),
            Self::Taken { number } => packet(3, Some(*number), ""),
            Self::Opened { number } => packet(9, Some(*number), ""),
            Self::Span { number, span } => packet_of(10, Some(*number), &span.encode()),
            Self::Ended { number, reason } => packet(4, Some(*number), reason),
            Self::Stuck { number, reason } => packet(8, Some(*number), reason),
            Self::Content { number, wanted } => {
                let (kind, request, hash, size) = match wanted {
                    Wanted::Find {
                        request,
                        hash,
                        size,
                    } => (5, *request, hash, *size),
                    Wanted::Keep { request, hash } => (6, *request, hash, 0),
                    Wanted::Release { hash } => (7, 0, hash, 0),
                };
                let fields = [&request.to_le_bytes()[..], hash, &size.to_le_bytes()].concat();
                packet_of(kind, Some(*number), &fields)
            }
        }
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (&kind, rest) = bytes.split_first()?;
        match kind {
            1 => Some(Self::Ready { about: text(rest) }),
            2 => Some(Self::Failed { reason: text(rest) }),
            3 => Some(Self::Taken {
                number: numbered(rest)?.0,
            }),
            4 => {
                let (number, reason) = numbered(rest)?;
                Some(Self::Ended { number, reason })
            }
            10 => {
                let (number, rest) = rest.split_first_chunk::<8>()?;
                Some(Self::Span {
                    number: u64::from_le_bytes(*number),
                    span: Span::decode(rest)?,
                })
            }
            9 => Some(Self::Opened {
                number: numbered(rest)?.0,
            }),
            8 => {
                let (number, reason) = numbered(rest)?;
                Some(Self::Stuck { number, reason })
            }
            5..=7 => {
                let (number, rest) = rest.split_first_chunk::<8>()?;
                let (request, rest) = rest.split_first_chunk::<8>()?;
                let (hash, rest) = rest.split_first_chunk::<32>()?;
                let size = u64::from_le_bytes(rest.try_into().ok()?);
                let (request, hash) = (u64::from_le_bytes(*request), *hash);
                let wanted = match kind {
                    5 => Wanted::Find {
                        request,
                        hash,
                        size,
                    },
                    6 => Wanted::Keep { request, hash },
                    _ => Wanted::Release { hash },
                };
                let number = u64::from_le_bytes(*number);
                Some(Self::Content { number, wanted })
            }
            _ => None,
        }
    }
}

fn packet(kind: u8, number: Option<u64>, text: &str) -> Vec<u8> {
    packet_of(kind, number, text.as_bytes())
}

fn packet_of(kind: u8, number: Option<u64>, fields: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind];
    if let Some(number) = number {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    bytes.extend_from_slice(fields);
    bytes.truncate(MAX);
    bytes
}

fn numbered(bytes: &[u8]) -> Option<(u64, String)> {
    let (number, rest) = bytes.split_first_chunk::<8>()?;
    Some((u64::from_le_bytes(*number), text(rest)))
}

/// A text that may have been cut in the middle of a character.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
