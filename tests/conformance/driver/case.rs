//! One case: a name, and what to do.

use serde_json::{Value, json};
use vaccel::{Result, Session};

type Work = Box<dyn Fn(&Session) -> Result<Value>>;

pub(crate) struct Case {
    name: String,
    work: Work,
}

impl Case {
    pub(crate) fn new(
        name: impl Into<String>,
        work: impl Fn(&Session) -> Result<Value> + 'static,
    ) -> Self {
        Self {
            name: name.into(),
            work: Box::new(work),
        }
    }

    /// Does the work and says what came of it.
    pub(crate) fn line(&self, session: &Session) -> Value {
        match (self.work)(session) {
            Ok(value) => json!({ "case": self.name, "value": value }),
            Err(error) => json!({
                "case": self.name,
                "error": error.name,
                "message": error.message,
            }),
        }
    }
}

/// Bytes that look random and are the same each time.
pub(crate) fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        // xorshift64*
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        bytes.extend(state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// An answer that would be long, as length and sum.
pub(crate) fn summary(bytes: &[u8]) -> Value {
    json!([
        bytes.len(),
        format!("{:016x}", vaccel_reference::digest(bytes))
    ])
}

/// What a call must have given; else the error says both.
pub(crate) fn expect<T: PartialEq + std::fmt::Debug>(got: &T, wanted: &T) -> Result<()> {
    if got == wanted {
        return Ok(());
    }
    let text = |value: &T| {
        let text = format!("{value:?}");
        text.chars().take(200).collect::<String>()
    };
    Err(vaccel::Error::new(
        vaccel::code::EIO,
        format!("WRONG: got {}, wanted {}", text(got), text(wanted)),
    ))
}
