//! Fits the arguments of a generic call to the parameters of the operation.

use crate::arg::is_terminated;
use crate::exec::Args;
use crate::image::{Image, Text};
use crate::ptr::Ptr;
use crate::{Error, Result, err, fail, get};
use std::ffi::{CStr, c_void};
use std::mem::MaybeUninit;
use vaccel_abi::arg::{ARG_CUSTOM, ARG_STRING, CUSTOM_TENSOR, element_size, name, vaccel_arg};
use vaccel_abi::table::{Kind, Param};

/// More parameters than any row of the table has.
const MAX: usize = 12;

/// One argument: where its bytes are. Null when an optional one was left out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Value {
    pub(crate) buf: *mut c_void,
    pub(crate) size: usize,
}

const ABSENT: Value = Value {
    buf: std::ptr::null_mut(),
    size: 0,
};

/// The arguments of one side of a call, checked against the table.
#[derive(Debug)]
pub(crate) struct Bound {
    /// Of these, `count` have been written.
    values: [MaybeUninit<Value>; MAX],
    count: usize,
    /// What the last, open-ended parameter takes.
    pub(crate) rest: Args,
}

/// The argument at an index.
pub(crate) fn at(args: Args, index: usize) -> Result<Ptr<vaccel_arg>> {
    debug_assert!(index < args.count);
    // SAFETY: the caller of `vaccel_genop` vouches for as many arguments.
    unsafe { Ptr::new(args.first.wrapping_add(index), "argument") }
}

/// Checks arguments against parameters and fills `bound`, which is empty.
///
/// # Errors
/// `EINVAL`, naming the parameter, for missing and surplus arguments, other types
/// (unless `untyped`), sizes that do not fit, null pointers, bytes that are not
/// aligned for their type, and strings without end.
pub(crate) fn bind(
    bound: &mut Bound,
    side: &str,
    params: &[Param],
    args: Args,
    untyped: bool,
) -> Result {
    let mut next = 0;
    for (slot, param) in bound.values.iter_mut().zip(params) {
        let slot = slot.write(ABSENT);
        bound.count += 1;
        let open_ended = matches!(param.kind, Kind::Tensors | Kind::Rest);
        if next == args.count {
            if !param.optional {
                fail!(
                    EINVAL,
                    "{side} argument {next} (`{}`) is missing",
                    param.name
                );
            }
            continue;
        }
        if open_ended {
            bound.rest = Args {
                first: args.first.wrapping_add(next),
                count: args.count - next,
            };
            check_rest(side, bound.rest, next)?;
            next = args.count;
            continue;
        }
        let arg = at(args, next)?;
        if param.optional && is_tensor(arg) {
            // Left out, and what follows are the tensors.
            continue;
        }
        *slot = check(param, arg, untyped)
            .map_err(|e| e.context(format!("{side} argument {next} (`{}`)", param.name)))?;
        next += 1;
    }
    if next < args.count {
        fail!(
            EINVAL,
            "{} {side} arguments are too many, {next} were expected",
            args.count
        );
    }
    Ok(())
}

/// True for an argument that holds one tensor structure.
pub(crate) fn is_tensor(arg: Ptr<vaccel_arg>) -> bool {
    get!(arg.type_) == ARG_CUSTOM && get!(arg.custom_type_id) == CUSTOM_TENSOR
}

fn check(param: &Param, arg: Ptr<vaccel_arg>, untyped: bool) -> Result<Value> {
    let value = Value {
        buf: get!(arg.buf),
        size: get!(arg.size),
    };
    if value.buf.is_null() || value.size == 0 {
        if param.optional {
            return Ok(ABSENT);
        }
        fail!(EINVAL, "it has no data");
    }
    if isize::try_from(value.size).is_err() {
        fail!(EINVAL, "{} bytes are too many", value.size);
    }
    let Some(wanted) = param.kind.arg_type() else {
        return Ok(value);
    };
    let type_ = get!(arg.type_);
    if !untyped && type_ != wanted {
        fail!(EINVAL, "it is {}, not {}", name(type_), name(wanted));
    }
    let element = element_size(wanted);
    match param.kind {
        Kind::Scalar(_) | Kind::Resource => {
            let fits = if untyped {
                value.size >= element
            } else {
                value.size == element
            };
            if !fits {
                fail!(EINVAL, "it has {} bytes, {element} are needed", value.size);
            }
        }
        Kind::Array(_) => {
            if value.size < element || (!untyped && !value.size.is_multiple_of(element)) {
                fail!(
                    EINVAL,
                    "its {} bytes are no elements of {element}",
                    value.size
                );
            }
            if !value.buf.addr().is_multiple_of(element) {
                fail!(EINVAL, "its address is not a multiple of {element}");
            }
        }
        Kind::Text => {
            // SAFETY: the caller vouches for `size` bytes.
            if !unsafe { is_terminated(value.buf, value.size) } {
                fail!(EINVAL, "the string has no terminating zero");
            }
        }
        Kind::Bytes | Kind::Tensors | Kind::Rest => {}
    }
    Ok(value)
}

fn check_rest(side: &str, rest: Args, first: usize) -> Result {
    let read = side == "read";
    // Of most there is nothing to say: one pass without branches finds that out. When the
    // first is aligned all are.
    at(rest, 0)?;
    let mut odd = false;
    for i in 0..rest.count {
        // SAFETY: the caller of `vaccel_genop` vouches for as many arguments.
        let (buf, size, type_) = unsafe {
            let arg = rest.first.add(i);
            ((*arg).buf, (*arg).size, (*arg).type_)
        };
        odd |= (buf.is_null() & (size != 0))
            | (size > isize::MAX as usize)
            | (read & (type_ == ARG_STRING));
    }
    if !odd {
        return Ok(());
    }
    for i in 0..rest.count {
        let arg = at(rest, i)?;
        let (buf, size) = (get!(arg.buf), get!(arg.size));
        let fits = (!buf.is_null() || size == 0) && isize::try_from(size).is_ok();
        // SAFETY: the caller vouches for `size` bytes.
        let ends = || unsafe { is_terminated(buf, size) };
        if !fits || (read && get!(arg.type_) == ARG_STRING && !ends()) {
            return Err(unfit(side, first + i, buf, size));
        }
    }
    Ok(())
}

/// What is wrong with an argument of an open-ended parameter.
#[cold]
#[inline(never)]
fn unfit(side: &str, i: usize, buf: *const c_void, size: usize) -> Error {
    if isize::try_from(size).is_err() {
        err!(EINVAL, "{side} argument {i} has too many bytes: {size}")
    } else if buf.is_null() && size > 0 {
        err!(
            EINVAL,
            "{side} argument {i} has {size} bytes at a null pointer"
        )
    } else {
        err!(
            EINVAL,
            "{side} argument {i}: the string has no terminating zero"
        )
    }
}

impl Bound {
    /// Nothing bound. Filled in place: it is too large to be moved about.
    pub(crate) const EMPTY: Self = Self {
        values: [MaybeUninit::uninit(); MAX],
        count: 0,
        rest: Args {
            first: std::ptr::null_mut(),
            count: 0,
        },
    };

    /// A parameter by its place in the table.
    pub(crate) fn value(&self, i: usize) -> Value {
        assert!(i < self.count, "the operation has no parameter {i}");
        // SAFETY: `bind` has written as many.
        unsafe { self.values[i].assume_init() }
    }

    fn read<T: Copy>(&self, i: usize) -> T {
        let value = self.value(i);
        assert!(!value.buf.is_null() && value.size >= size_of::<T>());
        // SAFETY: as many bytes are there, maybe not aligned; used with numbers only.
        unsafe { value.buf.cast::<T>().read_unaligned() }
    }

    /// An `INT64`.
    pub(crate) fn i64(&self, i: usize) -> i64 {
        self.read(i)
    }

    /// A `FLOAT32`.
    pub(crate) fn f32(&self, i: usize) -> f32 {
        self.read(i)
    }

    /// An `INT32`; where types are not enforced it may have come as an `INT64`.
    pub(crate) fn i32(&self, i: usize) -> Result<i32> {
        if self.value(i).size >= size_of::<i64>() {
            let wide: i64 = self.read(i);
            return i32::try_from(wide).map_err(|_| err!(EINVAL, "{wide} is no 32-bit number"));
        }
        Ok(self.read(i))
    }

    /// An array: its first element, and how many there are.
    pub(crate) fn array<T>(&self, i: usize) -> Result<(Ptr<T>, usize)> {
        let value = self.value(i);
        // SAFETY: checked by `bind`: `size` bytes, aligned.
        let first = unsafe { Ptr::new(value.buf.cast::<T>(), "array")? };
        Ok((first, value.size / size_of::<T>()))
    }

    /// A string.
    pub(crate) fn text(&self, i: usize) -> Option<&CStr> {
        let value = self.value(i);
        if value.buf.is_null() {
            return None;
        }
        // SAFETY: checked by `bind`: it ends within its size.
        Some(unsafe { CStr::from_ptr(value.buf.cast()) })
    }

    /// A string that was not left out.
    pub(crate) fn required_text(&self, i: usize) -> Result<&CStr> {
        self.text(i)
            .ok_or_else(|| err!(EINVAL, "a string is missing"))
    }

    /// A picture.
    pub(crate) fn image(&self, i: usize) -> Image {
        let value = self.value(i);
        Image {
            data: value.buf,
            size: value.size,
        }
    }

    /// A buffer for text.
    pub(crate) fn out_text(&self, i: usize) -> Text {
        let value = self.value(i);
        Text {
            buffer: value.buf.cast(),
            size: value.size,
        }
    }
}
