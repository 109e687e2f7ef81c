//! Whether a shared library is whole: opening one that is cut short ends the process.

use vaccel_plugin::{Result, bail, err};

/// Bytes of the head of a file, of a description of a segment, and of a section.
const HEAD: usize = 64;
const SEGMENT: u64 = 56;
const SECTION: u64 = 64;
/// `ET_DYN`.
const SHARED: u64 = 3;

/// Numbers of machines, `e_machine`: this one's.
const MACHINE: u64 = if cfg!(target_arch = "x86_64") {
    62
} else if cfg!(target_arch = "aarch64") {
    183
} else {
    0
};

/// A number of so many bytes, least first.
fn number(bytes: &[u8], at: usize, size: usize) -> Option<u64> {
    let bytes = bytes.get(at..at.checked_add(size)?)?;
    let shift = |sum, byte: &u8| (sum << 8) | u64::from(*byte);
    Some(bytes.iter().rev().fold(0, shift))
}

/// Checks that a library is one of this machine, and that all that it says it has is there.
///
/// # Errors
/// `EINVAL` with what is wrong; `ENOTSUP` for a library of another machine.
pub(crate) fn check(bytes: &[u8]) -> Result<()> {
    if bytes.len() < HEAD || !bytes.starts_with(b"\x7fELF\x02\x01") {
        bail!(EINVAL, "it is no shared library of 64 bits");
    }
    let field = |at, size| number(bytes, at, size).unwrap_or(0);
    if field(16, 2) != SHARED {
        bail!(EINVAL, "it is no shared library");
    }
    if field(18, 2) != MACHINE {
        bail!(ENOTSUP, "it was compiled for another processor");
    }
    let cut = || err!(EINVAL, "the file is cut short");
    let whole = |begin: u64, size: u64| {
        let end = begin.checked_add(size).ok_or_else(cut)?;
        if end > bytes.len() as u64 {
            Err(cut())
        } else {
            Ok(())
        }
    };
    let (segments, sections) = (field(56, 2), field(60, 2));
    if segments == 0 {
        bail!(EINVAL, "there is nothing to load in it");
    }
    whole(field(32, 8), segments * SEGMENT)?;
    whole(field(40, 8), sections * SECTION)?;
    for i in 0..segments {
        let at = usize::try_from(field(32, 8) + i * SEGMENT).map_err(|_| cut())?;
        whole(field(at + 8, 8), field(at + 32, 8))?;
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_library_is_whole_and_none_of_its_beginnings_is() {
        let own = std::env::current_exe().unwrap();
        let mut bytes = std::fs::read(own).unwrap();
        // Programs that can be anywhere are libraries by their head.
        check(&bytes).unwrap();
        for length in [0, 10, HEAD, 4096, bytes.len() / 2, bytes.len() - 1] {
            assert!(check(&bytes[..length]).is_err(), "{length}");
        }
        bytes[18] ^= 0xff;
        assert!(check(&bytes).unwrap_err().message().contains("processor"));
    }
}
