//! Memory for pixels that is used again.
//!
//! A picture is megabytes that live for milliseconds. Fresh memory for each costs more than the
//! copying of its pixels: the system clears it page by page. So every thread keeps the memory of
//! its last picture for the next one, which gets it cleared.

use std::cell::RefCell;

/// The most bytes that a thread keeps.
const MOST: usize = 16 << 20;

thread_local! {
    static SPARE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// So many bytes, all 0.
pub(crate) fn zeros(len: usize) -> Vec<u8> {
    // Not while the thread ends.
    let mut bytes = SPARE.try_with(RefCell::take).unwrap_or_default();
    if bytes.capacity() < len {
        return vec![0; len];
    }
    bytes.clear();
    bytes.resize(len, 0);
    bytes
}

/// Keeps memory for [`zeros`], unless there is more already.
pub(crate) fn keep(bytes: Vec<u8>) {
    let _ = SPARE.try_with(|spare| {
        let mut spare = spare.borrow_mut();
        if (spare.capacity() + 1..=MOST).contains(&bytes.capacity()) {
            *spare = bytes;
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept() -> usize {
        SPARE.with_borrow(Vec::capacity)
    }

    #[test]
    fn memory_is_used_again_and_nothing_of_what_was_in_it_is_seen() {
        let mut first = zeros(5000);
        assert!(first.iter().all(|&byte| byte == 0));
        first.fill(7);
        let at = first.as_ptr();
        keep(first);
        let second = zeros(4000);
        assert_eq!(second.as_ptr(), at);
        assert!(second.len() == 4000 && second.iter().all(|&byte| byte == 0));
        assert_eq!(kept(), 0);
    }

    #[test]
    fn the_largest_is_kept_but_none_beyond_the_bound() {
        keep(vec![1; 2000]);
        keep(vec![1; 1000]);
        assert_eq!(kept(), 2000);
        keep(vec![1; MOST + 1]);
        assert_eq!(kept(), 2000);
        // One that does not fit goes, for one that does.
        assert_eq!(zeros(3000).len(), 3000);
        assert_eq!(kept(), 0);
    }
}
