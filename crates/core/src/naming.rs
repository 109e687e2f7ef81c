//! What blobs made from memory are called.

use crate::ptr::Ptr;
use crate::{Result, alloc, fail};
use std::cell::Cell;
use std::ffi::{CStr, c_char};
use std::sync::atomic::{AtomicU32, Ordering};

/// What a blob made from memory is called, and where it goes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Naming<'a> {
    /// File name; `None` for `file` and six random characters.
    pub name: Option<&'a CStr>,
    /// Folder for a file; `None` to stay in memory.
    pub folder: Option<&'a CStr>,
    /// Append six random characters to the name.
    pub randomize: bool,
    /// Where a short name is kept, instead of in memory of its own. Who gives
    /// this takes the name out of the blob before releasing it.
    pub room: Option<Ptr<[c_char; NAME]>>,
}

/// Bytes of [`Naming::room`].
pub const NAME: usize = 32;

/// The plain file name that a blob gets, in its room or malloc'ed: no folder in
/// it, nothing special.
///
/// # Errors
/// `EINVAL` for an empty name, `.`, `..`, and names with `/`; `ENAMETOOLONG`;
/// `ENOMEM`.
pub(crate) fn compose(naming: Naming<'_>) -> Result<*mut c_char> {
    let given = match naming.name {
        None => &b"file"[..],
        Some(name) => plain(name)?,
    };
    let random = naming.randomize || naming.name.is_none();
    let length = given.len() + if random { SUFFIX } else { 0 } + 1;
    if length > 256 {
        fail!(ENAMETOOLONG, "the file name is longer than 255 bytes");
    }
    let name = match naming.room {
        Some(room) if length <= NAME => room.as_ptr().cast::<c_char>(),
        _ => alloc::array::<c_char>(length)?,
    };
    let bytes = name.cast::<u8>();
    // SAFETY: room for both parts and the zero.
    unsafe {
        bytes.copy_from_nonoverlapping(given.as_ptr(), given.len());
        if random {
            bytes
                .add(given.len())
                .cast::<[u8; SUFFIX]>()
                .write(suffix());
        }
        bytes.add(length - 1).write(0);
    }
    Ok(name)
}

/// A name that names a file and no folder.
fn plain(name: &CStr) -> Result<&[u8]> {
    let bytes = name.to_bytes();
    if bytes.is_empty() || bytes == b"." || bytes == b".." || bytes.contains(&b'/') {
        fail!(
            EINVAL,
            "`{}` is not a plain file name",
            String::from_utf8_lossy(bytes)
        );
    }
    Ok(bytes)
}

/// Bytes that make a name differ from all others.
const SUFFIX: usize = 7;

/// `_` and six characters that no other blob of this process has; files are created
/// exclusively in private folders, so they need not be hard to guess.
fn suffix() -> [u8; SUFFIX] {
    const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz012345";
    // Multiplying by an odd number permutes the 30-bit numbers.
    let mut n = number().wrapping_mul(0x2545_f491);
    std::array::from_fn(|i| {
        if i == 0 {
            return b'_';
        }
        let letter = LETTERS[(n % 32) as usize];
        n /= 32;
        letter
    })
}

/// A number that was not given out before. Threads take them in blocks: adding to what
/// all of them share costs as much as a lock.
fn number() -> u32 {
    const BLOCK: u32 = 64;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    thread_local!(static LAST: Cell<u32> = const { Cell::new(BLOCK - 1) });
    LAST.with(|last| {
        let mut number = last.get().wrapping_add(1);
        if number.is_multiple_of(BLOCK) {
            number = NEXT.fetch_add(BLOCK, Ordering::Relaxed);
        }
        last.set(number);
        number
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn random_names_differ_in_one_thread_and_between_threads() {
        let thread = || (0..1000).map(|_| suffix()).collect::<Vec<_>>();
        let threads: Vec<_> = (0..4).map(|_| std::thread::spawn(thread)).collect();
        let mut names: Vec<_> = threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap())
            .collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), 4000);
    }
}
