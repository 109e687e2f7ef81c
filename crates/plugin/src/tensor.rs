//! Tensors as a model sees them: what it reads, and where it writes.

use crate::dtype::{Dtype, Shape};
use crate::error::Result;
use crate::memory::{self, CBuffer, Element};
use std::borrow::Cow;

/// An input: name, type, shape and row-major bytes, checked against each other.
#[derive(Debug, Clone)]
pub struct TensorView<'a> {
    name: Option<Cow<'a, str>>,
    dtype: Dtype,
    shape: Shape,
    bytes: Cow<'a, [u8]>,
}

impl<'a> TensorView<'a> {
    /// A tensor over `bytes`. `EINVAL` when their number is not what type and
    /// shape ask for (not checked for [`Dtype::Native`]).
    pub fn new(
        name: Option<&'a str>,
        dtype: Dtype,
        shape: &[i64],
        bytes: &'a [u8],
    ) -> Result<Self> {
        Self::from_parts(
            name.map(Cow::Borrowed),
            dtype,
            Shape::new(shape)?,
            Cow::Borrowed(bytes),
        )
    }

    /// A tensor over numbers.
    pub fn from_slice<T: Element>(
        name: Option<&'a str>,
        shape: &[i64],
        values: &'a [T],
    ) -> Result<Self> {
        Self::new(name, T::DTYPE, shape, memory::bytes_of(values))
    }

    pub(crate) fn from_parts(
        name: Option<Cow<'a, str>>,
        dtype: Dtype,
        shape: Shape,
        bytes: Cow<'a, [u8]>,
    ) -> Result<Self> {
        let view = Self {
            name,
            dtype,
            shape,
            bytes,
        };
        if matches!(dtype, Dtype::Native(_)) {
            return Ok(view);
        }
        match dtype.bytes_for(view.shape()) {
            Some(needed) if needed == view.bytes.len() => Ok(view),
            Some(needed) => Err(crate::err!(
                EINVAL,
                "{}: {dtype} of shape {:?} is {needed} bytes, but {} are given",
                view.label(),
                view.shape(),
                view.bytes.len()
            )),
            None => Err(crate::err!(
                EINVAL,
                "{}: shape {:?} is larger than any memory",
                view.label(),
                view.shape()
            )),
        }
    }

    /// Name of the model's input it is meant for; `None`: its position counts.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Type of the elements.
    #[must_use]
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// Lengths of the dimensions.
    #[must_use]
    pub fn shape(&self) -> &[i64] {
        self.shape.dims()
    }

    /// The elements, row-major, in the machine's byte order.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The elements as numbers. `EINVAL` when the tensor is of another type or
    /// its memory is not aligned for it ([`to_vec`](Self::to_vec) takes any).
    pub fn as_slice<T: Element>(&self) -> Result<&[T]> {
        self.expect(T::DTYPE)?;
        memory::cast(&self.bytes, &self.label())
    }

    /// A copy of the elements, whatever their alignment. `EINVAL` when the
    /// tensor is of another type.
    pub fn to_vec<T: Element>(&self) -> Result<Vec<T>> {
        self.expect(T::DTYPE)?;
        let mut values = Vec::new();
        values.try_reserve_exact(self.bytes.len() / size_of::<T>())?;
        values.resize(self.bytes.len() / size_of::<T>(), T::default());
        memory::cast_mut::<u8>(as_bytes_mut(&mut values), "copy")?.copy_from_slice(&self.bytes);
        Ok(values)
    }

    /// `EINVAL` unless the elements are of this type.
    pub fn expect(&self, dtype: Dtype) -> Result<()> {
        if self.dtype == dtype {
            return Ok(());
        }
        Err(crate::err!(
            EINVAL,
            "{} is {}, but {dtype} is needed",
            self.label(),
            self.dtype
        ))
    }

    fn label(&self) -> String {
        label("input", self.name())
    }
}

fn as_bytes_mut<T: Element>(values: &mut [T]) -> &mut [u8] {
    // SAFETY: numbers without padding, every bit pattern a value; exclusively
    // borrowed for as long.
    unsafe { std::slice::from_raw_parts_mut(values.as_mut_ptr().cast(), size_of_val(values)) }
}

fn label(kind: &str, name: Option<&str>) -> String {
    name.map_or_else(
        || format!("{kind} without a name"),
        |name| format!("{kind} `{name}`"),
    )
}

/// Where an output goes: the caller's buffer, or memory that the call allocates.
///
/// A model writes each output once, with [`write`](Self::write) or
/// [`reserve`](Self::reserve). An output that is not written is an error.
#[derive(Debug)]
pub struct TensorOut<'a> {
    name: Option<Cow<'a, str>>,
    wanted: Option<Dtype>,
    target: Target<'a>,
    state: State,
}

#[derive(Debug)]
enum Target<'a> {
    Caller(&'a mut [u8]),
    Library(Option<CBuffer>),
}

#[derive(Debug, Clone, Copy)]
enum State {
    Empty,
    TooSmall(Written),
    Written(Written),
}

/// What was written, or would have been had there been room.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Written {
    pub(crate) dtype: Dtype,
    pub(crate) shape: Shape,
    pub(crate) size: usize,
}

impl<'a> TensorOut<'a> {
    /// An output into a buffer of the caller's, whose length is its capacity.
    #[must_use]
    pub fn to_buffer(name: Option<&'a str>, buffer: &'a mut [u8]) -> Self {
        Self::from_parts(name.map(Cow::Borrowed), None, Some(buffer))
    }

    /// An output into memory that is allocated when it is written.
    #[must_use]
    pub fn allocating(name: Option<&'a str>) -> Self {
        Self::from_parts(name.map(Cow::Borrowed), None, None)
    }

    pub(crate) fn from_parts(
        name: Option<Cow<'a, str>>,
        wanted: Option<Dtype>,
        buffer: Option<&'a mut [u8]>,
    ) -> Self {
        Self {
            name,
            wanted,
            target: buffer.map_or(Target::Library(None), Target::Caller),
            state: State::Empty,
        }
    }

    /// Name of the model's output that is asked for; `None`: its position counts.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Type that the caller asked for; `None`: the model's own. Writing another
    /// type is `EINVAL`; a model that can convert looks here first.
    #[must_use]
    pub fn wanted_dtype(&self) -> Option<Dtype> {
        self.wanted
    }

    /// Bytes of room in the caller's buffer; `None` when memory is allocated.
    #[must_use]
    pub fn capacity(&self) -> Option<usize> {
        match &self.target {
            Target::Caller(buffer) => Some(buffer.len()),
            Target::Library(_) => None,
        }
    }

    /// Writes the output. `ERANGE` when the caller's buffer is too small (the
    /// caller then learns the size), `EINVAL` when bytes and shape disagree or
    /// another type was asked for.
    pub fn write(&mut self, dtype: Dtype, shape: &[i64], bytes: &[u8]) -> Result<()> {
        let shape = Shape::new(shape)?;
        if !matches!(dtype, Dtype::Native(_)) && self.needed(dtype, &shape)? != bytes.len() {
            crate::bail!(
                EINVAL,
                "{}: {} bytes do not make {dtype} of shape {shape:?}",
                self.label(),
                bytes.len()
            );
        }
        let size = bytes.len();
        let written = Written { dtype, shape, size };
        if let Target::Library(buffer) = &mut self.target {
            check_wanted(self.wanted, dtype, self.name.as_deref())?;
            *buffer = Some(CBuffer::copy_of(bytes)?);
            self.state = State::Written(written);
            return Ok(());
        }
        self.room(written)?.copy_from_slice(bytes);
        Ok(())
    }

    /// [`write`](Self::write) for numbers.
    pub fn write_slice<T: Element>(&mut self, shape: &[i64], values: &[T]) -> Result<()> {
        self.write(T::DTYPE, shape, memory::bytes_of(values))
    }

    /// The bytes of the output, to be filled in place; those of allocated
    /// memory are zero. Errors as [`write`](Self::write).
    pub fn reserve(&mut self, dtype: Dtype, shape: &[i64]) -> Result<&mut [u8]> {
        let shape = Shape::new(shape)?;
        let size = self.needed(dtype, &shape)?;
        self.room(Written { dtype, shape, size })
    }

    /// [`reserve`](Self::reserve) for numbers. Also `EINVAL` when the caller's
    /// buffer is not aligned for the type.
    pub fn reserve_slice<T: Element>(&mut self, shape: &[i64]) -> Result<&mut [T]> {
        let label = self.label();
        memory::cast_mut(self.reserve(T::DTYPE, shape)?, &label)
    }

    /// Type of what was written; `None` before.
    #[must_use]
    pub fn dtype(&self) -> Option<Dtype> {
        self.written().map(|w| w.dtype)
    }

    /// Shape of what was written; empty before.
    #[must_use]
    pub fn shape(&self) -> &[i64] {
        match &self.state {
            State::Written(w) => w.shape.dims(),
            _ => &[],
        }
    }

    /// What was written; empty before.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        let State::Written(w) = &self.state else {
            return &[];
        };
        match &self.target {
            Target::Caller(buffer) => &buffer[..w.size],
            Target::Library(Some(buffer)) => &buffer.bytes()[..w.size],
            Target::Library(None) => &[],
        }
    }

    /// What was written as an input: for chaining models.
    pub fn view(&self) -> Result<TensorView<'_>> {
        let written = self.finished()?;
        TensorView::new(self.name(), written.dtype, self.shape(), self.bytes())
    }

    pub(crate) fn written(&self) -> Option<Written> {
        match self.state {
            State::Written(w) => Some(w),
            _ => None,
        }
    }

    /// What was written; `EIO` when the model forgot.
    pub(crate) fn finished(&self) -> Result<Written> {
        self.written()
            .ok_or_else(|| crate::err!(EIO, "the model did not write {}", self.label()))
    }

    /// What did not fit.
    pub(crate) fn too_large(&self) -> Option<Written> {
        match self.state {
            State::TooSmall(w) => Some(w),
            _ => None,
        }
    }

    /// The allocated memory; `None` for a caller's buffer.
    pub(crate) fn into_allocated(self) -> Option<CBuffer> {
        match self.target {
            Target::Caller(_) => None,
            Target::Library(buffer) => buffer,
        }
    }

    fn needed(&self, dtype: Dtype, shape: &Shape) -> Result<usize> {
        dtype.bytes_for(shape.dims()).ok_or_else(|| {
            crate::err!(
                EINVAL,
                "{}: the size of {dtype} of shape {shape:?} is not known or too large",
                self.label()
            )
        })
    }

    fn room(&mut self, written: Written) -> Result<&mut [u8]> {
        let name = self.name.as_deref();
        check_wanted(self.wanted, written.dtype, name)?;
        match &mut self.target {
            Target::Caller(buffer) => {
                let capacity = buffer.len();
                let Some(room) = buffer.get_mut(..written.size) else {
                    self.state = State::TooSmall(written);
                    return Err(crate::err!(
                        ERANGE,
                        "{} needs {} bytes, but its buffer has {capacity}",
                        label("output", name),
                        written.size
                    ));
                };
                self.state = State::Written(written);
                Ok(room)
            }
            Target::Library(buffer) => {
                let buffer = buffer.insert(CBuffer::zeroed(written.size)?);
                self.state = State::Written(written);
                Ok(buffer.bytes_mut())
            }
        }
    }

    fn label(&self) -> String {
        label("output", self.name())
    }
}

fn check_wanted(wanted: Option<Dtype>, dtype: Dtype, name: Option<&str>) -> Result<()> {
    match wanted {
        Some(wanted) if wanted != dtype => Err(crate::err!(
            EINVAL,
            "{} is {dtype}, but the caller asked for {wanted}",
            label("output", name)
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::code;

    #[test]
    fn a_view_holds_exactly_the_bytes_of_its_shape() {
        let bytes = [0_u8; 24];
        assert!(TensorView::new(None, Dtype::F32, &[2, 3], &bytes).is_ok());
        for shape in [&[2, 2][..], &[i64::MAX, i64::MAX], &[-1], &[1; 9]] {
            let e = TensorView::new(Some("x"), Dtype::F32, shape, &bytes).unwrap_err();
            assert_eq!(e.code(), code::EINVAL);
        }
        assert!(TensorView::new(None, Dtype::U4, &[3], &bytes[..2]).is_ok());
        assert!(TensorView::new(None, Dtype::Native(7), &[99], &bytes).is_ok());
    }

    #[test]
    fn numbers_come_back_as_they_went_in_and_only_as_their_own_type() {
        let values = [1.0_f32, -2.5];
        let view = TensorView::from_slice(None, &[2], &values).unwrap();
        assert_eq!(view.as_slice::<f32>().unwrap(), &values);
        assert_eq!(view.to_vec::<f32>().unwrap(), &values);
        assert!(view.as_slice::<i32>().is_err());
        let mut shifted = vec![0];
        shifted.extend_from_slice(memory::bytes_of(&values));
        let odd = (1..=1).find(|i| shifted[*i..].as_ptr().addr() % 4 != 0);
        if let Some(i) = odd {
            let view = TensorView::new(None, Dtype::F32, &[2], &shifted[i..]).unwrap();
            assert!(view.as_slice::<f32>().is_err());
            assert_eq!(view.to_vec::<f32>().unwrap(), &values);
        }
    }

    #[test]
    fn a_buffer_too_small_is_erange_and_the_size_is_remembered() {
        let mut buffer = [0_u8; 7];
        let mut out = TensorOut::to_buffer(Some("y"), &mut buffer);
        let e = out.write_slice(&[2], &[1.0_f32, 2.0]).unwrap_err();
        assert_eq!(e.code(), code::ERANGE);
        assert_eq!(out.too_large().unwrap().size, 8);
        assert!(out.written().is_none());
        out.write_slice(&[1], &[1.0_f32]).unwrap();
        assert_eq!(out.bytes(), 1.0_f32.to_ne_bytes());
    }

    #[test]
    fn allocated_memory_can_be_filled_in_place_and_read_back() {
        let mut out = TensorOut::allocating(None);
        out.reserve_slice::<i64>(&[2, 2]).unwrap()[3] = 9;
        let view = out.view().unwrap();
        assert_eq!(view.as_slice::<i64>().unwrap(), &[0, 0, 0, 9]);
        assert_eq!(view.shape(), &[2, 2]);
    }

    #[test]
    fn an_output_that_was_not_written_is_an_error() {
        let out = TensorOut::allocating(Some("z"));
        assert_eq!(out.finished().unwrap_err().code(), code::EIO);
    }

    #[test]
    fn a_type_other_than_the_wanted_one_is_refused() {
        let mut out = TensorOut::from_parts(None, Some(Dtype::U8), None);
        assert!(out.write_slice(&[1], &[1_i8]).is_err());
        assert!(out.write_slice(&[1], &[1_u8]).is_ok());
    }
}
