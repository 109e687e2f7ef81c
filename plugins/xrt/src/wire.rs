//! What goes between the plugin and the process in which XRT runs: requests and replies,
//! each behind its length. Data goes through memory that both map.

use std::io::{self, Read, Write};
use vaccel_plugin::abi::CResult;

/// The longest request or reply; data is not among it.
const LONGEST: usize = 1 << 20;

/// What the process is asked for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Request {
    /// Opens the device.
    Open,
    /// Loads the xclbin of so many bytes at the beginning of the memory.
    Load(u64),
    /// Runs a kernel of the xclbin.
    Run(Run),
}

/// A run of a kernel.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Run {
    pub(crate) kernel: String,
    /// How long it may take, in milliseconds.
    pub(crate) limit: u32,
    /// Its parameters, in order.
    pub(crate) arguments: Vec<Argument>,
}

/// A parameter of a kernel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Argument {
    /// Memory of the device, filled with so many bytes from there on; these come back
    /// when `back` says so.
    Memory { at: u64, size: u64, back: bool },
    /// 32 bits.
    Word(u32),
    /// 64 bits.
    Long(u64),
    /// C passes it as a double.
    Float(f32),
    /// As it is.
    Double(f64),
}

impl Request {
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut put = |value: u64| bytes.extend(value.to_ne_bytes());
        match self {
            Self::Open => put(0),
            Self::Load(size) => [1, *size].into_iter().for_each(put),
            Self::Run(run) => {
                put(2);
                put(u64::from(run.limit));
                put(run.arguments.len() as u64);
                for argument in &run.arguments {
                    let words = match *argument {
                        Argument::Memory { at, size, back } => [u64::from(back), at, size],
                        Argument::Word(value) => [2, u64::from(value), 0],
                        Argument::Long(value) => [3, value, 0],
                        Argument::Float(value) => [4, u64::from(value.to_bits()), 0],
                        Argument::Double(value) => [5, value.to_bits(), 0],
                    };
                    words.into_iter().for_each(&mut put);
                }
                bytes.extend(run.kernel.as_bytes());
            }
        }
        bytes
    }

    /// `None` for what [`Request::to_bytes`] has not made.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes;
        let mut take = || {
            let (word, after) = rest.split_first_chunk()?;
            rest = after;
            Some(u64::from_ne_bytes(*word))
        };
        match take()? {
            0 => Some(Self::Open),
            1 => Some(Self::Load(take()?)),
            2 => {
                let limit = u32::try_from(take()?).ok()?;
                let count = usize::try_from(take()?).ok()?;
                let mut arguments = Vec::new();
                for _ in 0..count {
                    let (kind, first, second) = (take()?, take()?, take()?);
                    arguments.push(match kind {
                        0 | 1 => Argument::Memory {
                            at: first,
                            size: second,
                            back: kind == 1,
                        },
                        2 => Argument::Word(u32::try_from(first).ok()?),
                        3 => Argument::Long(first),
                        4 => Argument::Float(f32::from_bits(u32::try_from(first).ok()?)),
                        5 => Argument::Double(f64::from_bits(first)),
                        _ => return None,
                    });
                }
                Some(Self::Run(Run {
                    kernel: String::from_utf8(rest.to_vec()).ok()?,
                    limit,
                    arguments,
                }))
            }
            _ => None,
        }
    }
}

/// What came of a request: a code, 0 for success, and a text.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) code: CResult,
    pub(crate) text: String,
}

impl Reply {
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.code.to_ne_bytes().to_vec();
        bytes.extend(self.text.as_bytes());
        bytes
    }

    /// XRT may have written anywhere in its process: nothing is believed of what it sends.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let (code, text) = bytes.split_first_chunk()?;
        Some(Self {
            code: CResult::from_ne_bytes(*code),
            text: String::from_utf8_lossy(text).into_owned(),
        })
    }
}

/// Writes bytes behind their length.
pub(crate) fn send(to: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    let length = u32::try_from(bytes.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    if bytes.len() > LONGEST {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    to.write_all(&length.to_ne_bytes())?;
    to.write_all(bytes)
}

/// Reads bytes behind their length.
pub(crate) fn receive(from: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let length = u32::from_ne_bytes(length) as usize;
    if length > LONGEST {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut bytes = vec![0; length];
    from.read_exact(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn requests_and_replies_come_out_as_they_went_in() {
        let run = Request::Run(Run {
            kernel: "vadd:{vadd_1}".to_owned(),
            limit: 1000,
            arguments: vec![
                Argument::Memory {
                    at: 64,
                    size: 4,
                    back: true,
                },
                Argument::Word(7),
                Argument::Long(1 << 40),
                Argument::Float(0.5),
                Argument::Double(-0.0),
            ],
        });
        for request in [Request::Open, Request::Load(1 << 33), run] {
            let bytes = request.to_bytes();
            let mut sent = Vec::new();
            send(&mut sent, &bytes).unwrap();
            let received = receive(&mut sent.as_slice()).unwrap();
            assert_eq!(Request::parse(&received), Some(request));
            for length in 0..8 {
                assert_eq!(Request::parse(&bytes[..length]), None);
            }
        }
        let reply = Reply {
            code: 22,
            text: "no such kernel".into(),
        };
        assert_eq!(Reply::parse(&reply.to_bytes()), Some(reply));
        assert_eq!(Reply::parse(&[1, 2]), None);
    }

    #[test]
    fn a_length_out_of_a_damaged_process_takes_no_memory() {
        let error = receive(&mut [0xff; 16].as_slice()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
}
