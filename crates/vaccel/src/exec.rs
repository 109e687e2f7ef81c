//! Calling a function of a shared library.

use std::ffi::CString;
use std::path::Path;

use crate::arg::{self, Input, Output};
use crate::error::{Error, Result};
use crate::resource::Resource;
use crate::session::{Session, pointer};

impl Session {
    /// Calls `symbol` of a shared library that is named by its path where the plugin runs.
    ///
    /// The function has the C signature `int symbol(struct vaccel_arg *read, size_t nr_read,
    /// struct vaccel_arg *write, size_t nr_write)`.
    ///
    /// # Errors
    /// `ENOENT` or `ELIBBAD` when the library cannot be loaded or has no such
    /// function; what the function returns.
    ///
    /// # Safety
    /// On a local session the function runs in this process: it must have the
    /// signature above, and keep to the sizes of the arguments.
    pub unsafe fn exec(
        &self,
        library: impl AsRef<Path>,
        symbol: &str,
        read: &[Input<'_>],
        write: &mut [Output<'_>],
    ) -> Result<()> {
        let library = CString::new(library.as_ref().as_os_str().as_encoded_bytes())
            .map_err(|_| Error::invalid("the path of the library contains a zero byte"))?;
        let symbol = c_symbol(symbol)?;
        let (mut reads, mut writes) = (arg::inputs(read), arg::outputs(write));
        // SAFETY: the session is open, strings and arguments outlive the call; the
        // caller vouches for the function.
        let code = unsafe {
            (self.library().functions().exec)(
                self.as_ptr(),
                library.as_ptr(),
                symbol.as_ptr(),
                pointer(&mut reads),
                reads.len(),
                pointer(&mut writes),
                writes.len(),
            )
        };
        self.library().check("exec", code)?;
        arg::take_sizes(write, &writes);
        Ok(())
    }

    /// Calls `symbol` of a shared library that is a resource of this session.
    ///
    /// # Errors
    /// `EPERM` when the resource is not registered with the session; else as [`Session::exec`].
    ///
    /// # Safety
    /// As for [`Session::exec`].
    pub unsafe fn exec_with_resource(
        &self,
        library: &Resource,
        symbol: &str,
        read: &[Input<'_>],
        write: &mut [Output<'_>],
    ) -> Result<()> {
        let symbol = c_symbol(symbol)?;
        let (mut reads, mut writes) = (arg::inputs(read), arg::outputs(write));
        // SAFETY: session and resource live, symbol and arguments outlive the call;
        // the caller vouches for the function.
        let code = unsafe {
            (self.library().functions().exec_with_resource)(
                self.as_ptr(),
                library.as_ptr(),
                symbol.as_ptr(),
                pointer(&mut reads),
                reads.len(),
                pointer(&mut writes),
                writes.len(),
            )
        };
        self.library().check("exec_with_resource", code)?;
        arg::take_sizes(write, &writes);
        Ok(())
    }
}

fn c_symbol(symbol: &str) -> Result<CString> {
    CString::new(symbol).map_err(|_| Error::invalid("the symbol contains a zero byte"))
}
