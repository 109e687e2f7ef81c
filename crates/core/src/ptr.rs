//! Pointers that came from C.

use crate::{Error, Result, err, fail};
use std::ffi::{CStr, c_char};
use std::ptr::NonNull;

/// A pointer that is not null, is aligned, and is vouched for by the C caller.
///
/// Two threads may hold the same one, so it is not a reference: its fields are
/// read and written one by one ([`get!`](crate::get), [`set!`](crate::set)).
#[derive(Debug)]
pub struct Ptr<T>(NonNull<T>);

impl<T> Clone for Ptr<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Ptr<T> {}

impl<T> Ptr<T> {
    /// Checks a pointer for null and alignment; `name` is the C parameter.
    ///
    /// # Errors
    /// `EINVAL` when it is null or not aligned.
    ///
    /// # Safety
    /// When not null, it points at a `T` that may be read and written in the way
    /// the C API says, for as long as the result is used.
    #[inline]
    pub unsafe fn new(pointer: *const T, name: &'static str) -> Result<Self> {
        match NonNull::new(pointer.cast_mut()) {
            Some(p) if p.is_aligned() => Ok(Self(p)),
            unusable => Err(bad(name, unusable.is_none())),
        }
    }

    /// The raw pointer.
    #[inline]
    #[must_use]
    pub const fn as_ptr(self) -> *mut T {
        self.0.as_ptr()
    }

    /// The same pointer to its bytes.
    #[must_use]
    pub fn cast(self) -> Ptr<u8> {
        Ptr(self.0.cast())
    }

    /// Writes the whole thing without looking at what was there: the memory may
    /// be uninitialised.
    #[inline]
    pub fn write(self, value: T) {
        // SAFETY: the contract of `new`.
        unsafe { self.0.write(value) }
    }

    /// Reads the whole thing.
    #[inline]
    #[must_use]
    pub fn read(self) -> T
    where
        T: Copy,
    {
        // SAFETY: the contract of `new`.
        unsafe { self.0.read() }
    }
}

#[cold]
#[inline(never)]
fn bad(name: &'static str, null: bool) -> Error {
    let why = if null { "null" } else { "not aligned" };
    err!(EINVAL, "`{name}` is {why}")
}

/// Reads a field behind a [`Ptr`](crate::ptr::Ptr): `get!(sess.id)`.
#[macro_export]
macro_rules! get {
    ($p:ident . $($field:tt)+) => {{
        #[allow(unused_unsafe)]
        // SAFETY: a `Ptr` is valid for reads of its fields.
        let value = unsafe { (*$p.as_ptr()).$($field)+ };
        value
    }};
}

/// Reads a `bool` field behind a [`Ptr`](crate::ptr::Ptr); any byte but 0 is
/// true, because nothing keeps C from writing one.
#[macro_export]
macro_rules! get_bool {
    ($p:ident . $field:ident) => {{
        #[allow(unused_unsafe)]
        // SAFETY: a `Ptr` is valid for reads of its fields, and a `bool` is a byte.
        let byte = unsafe { (&raw const (*$p.as_ptr()).$field).cast::<u8>().read() };
        byte != 0
    }};
}

/// Writes a field behind a [`Ptr`](crate::ptr::Ptr), without reading the old
/// value: `set!(sess.id = 1)`.
#[macro_export]
macro_rules! set {
    ($p:ident . $field:ident = $value:expr) => {{
        let value = $value;
        #[allow(unused_unsafe)]
        // SAFETY: a `Ptr` is valid for writes of its fields; none has a destructor.
        unsafe {
            (&raw mut (*$p.as_ptr()).$field).write(value);
        }
    }};
}

/// A C string.
///
/// # Errors
/// `EINVAL` when it is null.
///
/// # Safety
/// When not null, it is zero-terminated and stays as it is for `'a`.
pub unsafe fn text<'a>(pointer: *const c_char, name: &'static str) -> Result<&'a CStr> {
    // SAFETY: the contract of this function.
    match unsafe { optional_text(pointer) } {
        Some(text) => Ok(text),
        None => fail!(EINVAL, "`{name}` is null"),
    }
}

/// A C string, or `None` for null.
///
/// # Safety
/// As [`text`].
#[must_use]
pub unsafe fn optional_text<'a>(pointer: *const c_char) -> Option<&'a CStr> {
    if pointer.is_null() {
        return None;
    }
    // SAFETY: not null, and zero-terminated by contract.
    Some(unsafe { CStr::from_ptr(pointer) })
}
