//! Names of what is counted, and their places.

use vaccel_abi::table;
use vaccel_wire::control;

use super::NAME_WORDS;

/// Places for operations: those of the C interface, those added to it, those that manage
/// sessions and resources, and one for codes that nobody knows.
pub const OPS: usize = 32 + 16 + 32 + 1;

/// The place of an operation's counts.
#[must_use]
pub(super) fn place(code: u16) -> usize {
    let code = usize::from(code);
    match code {
        0..32 => code,
        128..144 => code - 128 + 32,
        256..288 => code - 256 + 48,
        _ => OPS - 1,
    }
}

/// The name of the operation at a place, for labels; `unknown` for codes without one.
#[must_use]
pub fn op_name(place: usize) -> &'static str {
    let code = match place {
        0..32 => place,
        32..48 => place - 32 + 128,
        48..80 => place - 48 + 256,
        _ => return "unknown",
    };
    // Below 288.
    let code = code as u16;
    if code >= 256 {
        return control::name(code).unwrap_or("unknown");
    }
    table::find(code.into()).map_or("unknown", |spec| spec.name)
}

/// The name of an operation; `unknown` for codes without one.
#[must_use]
pub fn name_of(code: u16) -> &'static str {
    op_name(place(code))
}

/// A plugin's name as words; what is too long is cut.
pub(super) fn pack(name: &str) -> [u64; NAME_WORDS] {
    let mut bytes = [0; NAME_WORDS * 8];
    let name = if name.is_empty() { "?" } else { name };
    let length = name.len().min(bytes.len());
    bytes[..length].copy_from_slice(&name.as_bytes()[..length]);
    std::array::from_fn(|i| {
        let mut word = [0; 8];
        word.copy_from_slice(&bytes[i * 8..i * 8 + 8]);
        u64::from_ne_bytes(word)
    })
}

/// The name that words hold; one that no plugin would have is `?`.
pub(super) fn unpack(words: [u64; NAME_WORDS]) -> String {
    let bytes: Vec<u8> = words.into_iter().flat_map(u64::to_ne_bytes).collect();
    let end = bytes.iter().position(|&b| b == 0).unwrap_or(bytes.len());
    let plain = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
    let name = &bytes[..end];
    match std::str::from_utf8(name) {
        Ok(text) if name.iter().all(plain) => text.to_owned(),
        _ => "?".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_has_a_place_of_its_own_and_its_name_there() {
        let mut places = std::collections::HashSet::new();
        for spec in table::OPS {
            let code = u16::try_from(spec.code).unwrap_or(u16::MAX);
            assert_eq!(op_name(place(code)), spec.name);
            assert!(places.insert(place(code)), "{}", spec.name);
        }
        assert_eq!(op_name(place(control::SESSION_OPEN)), "session_open");
        assert!(places.insert(place(control::SESSION_OPEN)));
        assert_eq!((place(u16::MAX), place(100)), (OPS - 1, OPS - 1));
    }

    #[test]
    fn what_is_no_name_of_a_plugin_does_not_become_a_label() {
        assert_eq!(unpack(pack("onnx-rt_2.0")), "onnx-rt_2.0");
        assert_eq!(unpack(pack(&"x".repeat(99))), "x".repeat(32));
        for bad in ["a\"b", "a\nb", "a{b", "", "ü"] {
            assert_eq!(unpack(pack(bad)), "?", "{bad:?}");
        }
        assert_eq!(unpack([u64::MAX; NAME_WORDS]), "?");
    }
}
