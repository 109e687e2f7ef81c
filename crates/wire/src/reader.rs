//! Typed values out of a list of arguments, one after the other.

use crate::{Arg, ArgIter, Scalar, WireError};
use std::ffi::CStr;
use vaccel_abi::arg::{ARG_BUFFER, ARG_STRING, ArgType, name as type_name};

/// Takes typed values out of a list of arguments, one after the other.
#[derive(Debug, Clone)]
pub struct ArgReader<'m, 'p> {
    args: ArgIter<'m>,
    payload: &'p [u8],
    taken: usize,
}

impl<'m, 'p> ArgReader<'m, 'p> {
    /// Reads from a list and the payload of its frame.
    #[must_use]
    pub fn new(args: ArgIter<'m>, payload: &'p [u8]) -> Self {
        Self {
            args,
            payload,
            taken: 0,
        }
    }

    /// How many arguments are left.
    #[must_use]
    pub fn left(&self) -> usize {
        self.args.len()
    }

    /// The next argument, whatever it is.
    ///
    /// # Errors
    /// [`WireError::Missing`] after the last.
    pub fn any(&mut self) -> Result<Arg<'m>, WireError> {
        let arg = self.args.next().ok_or(WireError::Missing(self.taken))?;
        self.taken += 1;
        Ok(arg)
    }

    fn typed(&mut self, wanted: ArgType, size: Option<usize>) -> Result<Arg<'m>, WireError> {
        let arg = self.any()?;
        if arg.type_ == wanted && arg.has_data() && size.is_none_or(|s| s == arg.size) {
            return Ok(arg);
        }
        Err(WireError::Type {
            index: arg.index,
            wanted: type_name(wanted),
            found: arg.type_name(),
            size: arg.size,
        })
    }

    /// The next argument as a number of exactly this type.
    ///
    /// # Errors
    /// [`WireError::Type`] for any other.
    pub fn scalar<T: Scalar>(&mut self) -> Result<T, WireError> {
        let arg = self.typed(T::TYPE, Some(T::SIZE))?;
        T::from_bytes(arg.bytes(self.payload)).ok_or(WireError::Missing(arg.index))
    }

    /// The next argument as a string.
    ///
    /// # Errors
    /// [`WireError::Type`] for another type, [`WireError::Text`] unless there
    /// is exactly one zero, at the end.
    pub fn text(&mut self) -> Result<&'p CStr, WireError> {
        let arg = self.typed(ARG_STRING, None)?;
        CStr::from_bytes_with_nul(arg.bytes(self.payload)).map_err(|_| WireError::Text(arg.index))
    }

    /// The next argument as bytes.
    ///
    /// # Errors
    /// [`WireError::Type`] unless it is a BUFFER.
    pub fn buffer(&mut self) -> Result<&'p [u8], WireError> {
        let arg = self.typed(ARG_BUFFER, None)?;
        Ok(arg.bytes(self.payload))
    }

    /// Checks that nothing is left.
    ///
    /// # Errors
    /// [`WireError::Extra`] when there is.
    pub fn finish(self) -> Result<(), WireError> {
        if self.left() == 0 {
            Ok(())
        } else {
            Err(WireError::Extra(self.taken))
        }
    }
}
