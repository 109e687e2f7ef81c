//! Calling a function of a shared library.

use std::ffi::{CString, c_char};
use std::path::Path;

use crate::arg::{self, Input, Output};
use crate::argument::Argument;
use crate::error::{Error, Result};
use crate::pending::{self, Pending};
use crate::resource::Resource;
use crate::session::{Session, pointer};
use vaccel_abi::CResult;
use vaccel_abi::arg::vaccel_arg;
use vaccel_abi::completion::{vaccel_async_options, vaccel_completion};
use vaccel_abi::session::vaccel_session;

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
        let library = c_library(library.as_ref())?;
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

/// What a call under way owns.
struct Owned<L> {
    /// The path of the library, or the resource.
    library: L,
    symbol: CString,
    read: Vec<Argument>,
    write: Vec<Argument>,
    reads: Vec<vaccel_arg>,
    writes: Vec<vaccel_arg>,
}

// SAFETY: the pointers of the C structures are to the arguments beside them.
unsafe impl<L: Send> Send for Owned<L> {}

/// The C function that submits a call, given its library as a pointer.
type Submit<P> = unsafe extern "C" fn(
    *mut vaccel_session,
    P,
    *const c_char,
    *mut vaccel_arg,
    usize,
    *mut vaccel_arg,
    usize,
    *const vaccel_async_options,
    *mut *mut vaccel_completion,
) -> CResult;

impl<L: Send + 'static> Owned<L> {
    fn new(
        library: L,
        symbol: &str,
        mut read: Vec<Argument>,
        mut write: Vec<Argument>,
    ) -> Result<Self> {
        Ok(Self {
            library,
            symbol: c_symbol(symbol)?,
            reads: read.iter_mut().map(Argument::as_c).collect(),
            writes: write.iter_mut().map(Argument::as_c).collect(),
            read,
            write,
        })
    }

    /// Submits it; `library` is what the function is given.
    ///
    /// # Safety
    /// `library` must be valid as long as `self.library` lives, and the function called must
    /// keep to the sizes of the arguments.
    unsafe fn submit<P>(
        mut self,
        session: &Session,
        what: &'static str,
        submit: Submit<P>,
        library: P,
    ) -> Result<Pending<Vec<Argument>>> {
        let symbol = self.symbol.as_ptr();
        let (reads, nr_read) = (pointer(&mut self.reads), self.reads.len());
        let (writes, nr_write) = (pointer(&mut self.writes), self.writes.len());
        let finish = move || Ok(self.finish());
        // SAFETY: strings, structures and arguments stay where they are when `self` moves; the
        // caller vouches for the rest.
        unsafe {
            pending::start(session, what, finish, |options, out| {
                submit(
                    session.as_ptr(),
                    library,
                    symbol,
                    reads,
                    nr_read,
                    writes,
                    nr_write,
                    options,
                    out,
                )
            })
        }
    }

    /// The outputs as they were written.
    fn finish(mut self) -> Vec<Argument> {
        for (argument, written) in self.write.iter_mut().zip(&self.writes) {
            argument.take_size(written);
        }
        drop((self.library, self.symbol, self.read));
        self.write
    }
}

impl Session {
    /// Submits [`exec`](Self::exec); the result is `write` as the function has written it.
    ///
    /// # Errors
    /// `ENOTSUP` when the library is too old; what is wrong with the call is its result.
    ///
    /// # Safety
    /// As for [`exec`](Self::exec).
    pub unsafe fn exec_async(
        &self,
        library: impl AsRef<Path>,
        symbol: &str,
        read: Vec<Argument>,
        write: Vec<Argument>,
    ) -> Result<Pending<Vec<Argument>>> {
        let functions = self.library().functions();
        let exec = self
            .library()
            .extension(functions.exec_async, "vaccel_exec_async")?;
        let call = Owned::new(c_library(library.as_ref())?, symbol, read, write)?;
        let path = call.library.as_ptr();
        // SAFETY: the text stays where it is when the call moves; the caller vouches for the
        // function.
        unsafe { call.submit(self, "exec", exec, path) }
    }

    /// Submits [`exec_with_resource`](Self::exec_with_resource); the result is as that of
    /// [`exec_async`](Self::exec_async).
    ///
    /// # Errors
    /// As [`exec_async`](Self::exec_async).
    ///
    /// # Safety
    /// As for [`exec`](Self::exec).
    pub unsafe fn exec_with_resource_async(
        &self,
        library: &Resource,
        symbol: &str,
        read: Vec<Argument>,
        write: Vec<Argument>,
    ) -> Result<Pending<Vec<Argument>>> {
        let functions = self.library().functions();
        let exec = self.library().extension(
            functions.exec_with_resource_async,
            "vaccel_exec_with_resource_async",
        )?;
        let call = Owned::new(library.clone(), symbol, read, write)?;
        // SAFETY: the resource lives with the call; the caller vouches for the function.
        unsafe { call.submit(self, "exec_with_resource", exec, library.as_ptr()) }
    }
}

fn c_library(path: &Path) -> Result<CString> {
    CString::new(path.as_os_str().as_encoded_bytes())
        .map_err(|_| Error::invalid("the path of the library contains a zero byte"))
}

fn c_symbol(symbol: &str) -> Result<CString> {
    CString::new(symbol).map_err(|_| Error::invalid("the symbol contains a zero byte"))
}
