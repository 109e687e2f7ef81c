//! The text of the last failed call of each thread, as `vaccel_error_message` gives it.

use crate::Error;
use std::cell::RefCell;
use std::ffi::{CStr, CString, c_char};
use std::sync::atomic::{AtomicU32, Ordering};

#[derive(Default)]
struct Last {
    text: CString,
    /// Set by a plugin during the call that is under way.
    from_plugin: bool,
}

/// How many threads keep a text that no failure has taken yet: calls look here
/// first, so that they touch no thread-local state in the common case.
static WAITING: AtomicU32 = AtomicU32::new(0);

impl Last {
    fn mark(&mut self, from_plugin: bool) {
        match (self.from_plugin, from_plugin) {
            (false, true) => {
                WAITING.fetch_add(1, Ordering::Relaxed);
            }
            (true, false) => {
                WAITING.fetch_sub(1, Ordering::Relaxed);
            }
            _ => {}
        }
        self.from_plugin = from_plugin;
    }
}

impl Drop for Last {
    fn drop(&mut self) {
        self.mark(false);
    }
}

thread_local! {
    static LAST: RefCell<Last> = RefCell::default();
}

/// A zero-terminated copy; zeros inside are dropped.
fn c_string(text: &str) -> CString {
    CString::new(text).unwrap_or_else(|_| {
        let bytes: Vec<u8> = text.bytes().filter(|&b| b != 0).collect();
        CString::new(bytes).unwrap_or_default()
    })
}

fn with(f: impl FnOnce(&mut Last)) {
    // A thread that is ending has no message any more.
    let _ = LAST.try_with(|last| {
        if let Ok(mut last) = last.try_borrow_mut() {
            f(&mut last);
        }
    });
}

/// Keeps the message of a failed call.
pub fn record(error: &Error) {
    with(|last| {
        last.text = c_string(error.message());
        last.mark(false);
    });
}

/// True when some thread has a text that no failure has taken yet.
#[inline(always)]
#[must_use]
pub fn waiting() -> bool {
    WAITING.load(Ordering::Relaxed) != 0
}

/// A plugin is about to be called: what was said before is not about this call.
#[inline]
pub fn begin_call() {
    if waiting() {
        with(|last| last.mark(false));
    }
}

/// Keeps what a plugin says about the call it is about to fail.
pub fn set_by_plugin(text: &CStr) {
    with(|last| {
        last.text = text.to_owned();
        last.mark(true);
    });
}

/// What the plugin said since the last failure, once.
#[must_use]
pub fn take_from_plugin() -> Option<String> {
    let mut taken = None;
    with(|last| {
        if last.from_plugin {
            last.mark(false);
            taken = Some(last.text.to_string_lossy().into_owned());
        }
    });
    taken
}

/// The message, "" when no call failed; valid until the next failure on this thread.
#[must_use]
pub fn message() -> *const c_char {
    LAST.try_with(|last| match last.try_borrow() {
        Ok(last) => last.text.as_ptr(),
        Err(_) => c"".as_ptr(),
    })
    .unwrap_or(c"".as_ptr())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text() -> String {
        // SAFETY: a valid C string until the next failure of this thread.
        unsafe { CStr::from_ptr(message()) }
            .to_string_lossy()
            .into_owned()
    }

    #[test]
    fn a_thread_starts_without_a_message_and_keeps_its_own() {
        record(&crate::err!(EINVAL, "mine"));
        let other = std::thread::spawn(text).join();
        assert_eq!(other.ok().as_deref(), Some(""));
        assert_eq!(text(), "mine");
    }

    #[test]
    fn a_plugin_text_is_taken_once() {
        set_by_plugin(c"the disk is on fire");
        assert_eq!(take_from_plugin().as_deref(), Some("the disk is on fire"));
        assert_eq!(take_from_plugin(), None);
    }

    #[test]
    fn a_text_of_an_earlier_call_is_not_about_this_one() {
        set_by_plugin(c"long ago");
        assert!(waiting());
        begin_call();
        assert_eq!(take_from_plugin(), None);
        assert_eq!(text(), "long ago", "the program can still read it");
    }

    #[test]
    fn zeros_inside_a_message_do_not_cut_it() {
        record(&crate::err!(EINVAL, "a\0b"));
        assert_eq!(text(), "ab");
    }
}
