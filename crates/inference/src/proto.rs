//! Protocol Buffers, as much of it as is needed to walk through a message.
//!
//! Nothing is copied or allocated: fields are slices of the message. Every
//! length is checked against what is there.

/// What a message is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// A field says that it is longer than what is left of its message.
    #[error("a field of {wanted} bytes where {left} are left")]
    Truncated {
        /// Length of the field.
        wanted: u64,
        /// Bytes left.
        left: usize,
    },
    /// The message ends inside of a number.
    #[error("the end inside of a number")]
    End,
    /// A number longer than ten bytes, or a tag that does not exist.
    #[error("a field that no such message has")]
    Malformed,
}

/// The value of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value<'a> {
    /// An integer, a boolean or an enum; signed ones as their two's complement.
    Number(u64),
    /// A string, bytes, a message, or packed numbers.
    Bytes(&'a [u8]),
    /// Eight or four bytes of floating point.
    Fixed,
}

/// Fields of a message, one after the other.
#[derive(Debug, Clone)]
pub struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    /// Begins at the start of a message.
    pub fn new(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    fn take(&mut self, count: u64) -> Result<&'a [u8], Damage> {
        let left = self.rest.len();
        match usize::try_from(count).ok().filter(|&count| count <= left) {
            Some(count) => {
                let (taken, rest) = self.rest.split_at(count);
                self.rest = rest;
                Ok(taken)
            }
            None => Err(Damage::Truncated {
                wanted: count,
                left,
            }),
        }
    }

    fn read(&mut self) -> Result<(u64, Value<'a>), Damage> {
        let tag = varint(&mut self.rest)?;
        let value = match tag & 7 {
            0 => Value::Number(varint(&mut self.rest)?),
            1 => {
                self.take(8)?;
                Value::Fixed
            }
            2 => {
                let length = varint(&mut self.rest)?;
                Value::Bytes(self.take(length)?)
            }
            5 => {
                self.take(4)?;
                Value::Fixed
            }
            _ => return Err(Damage::Malformed),
        };
        // Field numbers are 1 to 2^29 - 1.
        match tag >> 3 {
            number @ 1..0x2000_0000 => Ok((number, value)),
            _ => Err(Damage::Malformed),
        }
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, Value<'a>), Damage>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.read();
        if field.is_err() {
            self.rest = &[];
        }
        Some(field)
    }
}

/// Takes a number of at most ten bytes, seven bits in each, from the front.
pub fn varint(bytes: &mut &[u8]) -> Result<u64, Damage> {
    let mut value = 0_u64;
    for (index, &byte) in bytes.iter().take(10).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte < 0x80 {
            *bytes = &bytes[index + 1..];
            return Ok(value);
        }
    }
    Err(if bytes.len() < 10 {
        Damage::End
    } else {
        Damage::Malformed
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn fields_come_out_with_number_and_value() {
        let message = [
            0x08, 0x96, 0x01, 0x12, 2, b'h', b'i', 0x1d, 0, 0, 0x80, 0x3f,
        ];
        let fields: Result<Vec<_>, _> = Fields::new(&message).collect();
        assert_eq!(
            fields.unwrap(),
            [
                (1, Value::Number(150)),
                (2, Value::Bytes(b"hi")),
                (3, Value::Fixed)
            ]
        );
    }

    #[test]
    fn a_length_beyond_the_message_is_told_with_both_numbers() {
        let error = Fields::new(&[0x12, 0xff, 0xff, 0x03, b'h']).next().unwrap();
        assert_eq!(
            error,
            Err(Damage::Truncated {
                wanted: 65535,
                left: 1
            })
        );
        let huge = [
            0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1,
        ];
        assert!(matches!(
            Fields::new(&huge).next(),
            Some(Err(Damage::Truncated { .. }))
        ));
    }

    #[test]
    fn no_bytes_make_the_walk_run_on_for_ever() {
        for start in 0..=255_u8 {
            for fill in [0, 1, 0x7f, 0x80, 0xff] {
                let mut message = vec![fill; 64];
                message[0] = start;
                assert!(Fields::new(&message).count() <= 64);
            }
        }
    }
}
