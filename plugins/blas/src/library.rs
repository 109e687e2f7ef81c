//! An installed BLAS, opened by name: its `cblas_sgemm` and its number of threads.

use crate::settings::Choice;
use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
use std::ffi::c_int;
use std::mem::ManuallyDrop;
use vaccel_plugin::{Result, Sgemm, bail, cause, err};

/// `CblasRowMajor` and `CblasNoTrans` of cblas.h.
const ROW_MAJOR: c_int = 101;
const NO_TRANSPOSE: c_int = 111;

/// `cblas_sgemm` with 32-bit sizes (LP64), as all three libraries have it by default.
type CblasSgemm = unsafe extern "C" fn(
    c_int,
    c_int,
    c_int,
    c_int,
    c_int,
    c_int,
    f32,
    *const f32,
    c_int,
    *const f32,
    c_int,
    f32,
    *mut f32,
    c_int,
);

/// A BLAS in memory.
#[derive(Debug)]
pub(crate) struct Cblas {
    sgemm: CblasSgemm,
    file: String,
    /// Never unloaded: its threads would run on in code that is gone.
    _library: ManuallyDrop<Library>,
}

impl Cblas {
    /// Opens the first file of a choice that is there, and sets its threads.
    ///
    /// `ENOENT` when none is, with what the loader said and what to install.
    pub(crate) fn open(choice: &Choice, threads: Option<usize>) -> Result<Self> {
        let mut said = Vec::new();
        for file in choice.files() {
            // SAFETY: constructors of a BLAS make its threads and nothing else; a path
            // is the choice of who runs this process.
            match unsafe { Library::open(Some(file), RTLD_NOW | RTLD_LOCAL) } {
                Ok(library) => return Self::of(library, file, threads),
                Err(error) => said.push(cause(&error)),
            }
        }
        bail!(
            ENOENT,
            "cannot open the BLAS `{}` ({}); {}",
            choice.name(),
            said.join("; "),
            choice
                .remedy()
                .unwrap_or_else(|| "VACCEL_BLAS must name a library that exists".into())
        )
    }

    fn of(library: Library, file: &str, threads: Option<usize>) -> Result<Self> {
        // SAFETY: the type is that of cblas.h.
        let sgemm = match unsafe { library.get::<CblasSgemm>(b"cblas_sgemm\0") } {
            Ok(symbol) => *symbol,
            Err(error) => bail!(
                ENOENT,
                "`{file}` has no cblas_sgemm ({}); it must be built with CBLAS",
                cause(&error)
            ),
        };
        if let Some(count) = threads {
            set_threads(&library, count);
        }
        Ok(Self {
            sgemm,
            file: file.into(),
            _library: ManuallyDrop::new(library),
        })
    }

    /// The file that was opened.
    pub(crate) fn file(&self) -> &str {
        &self.file
    }

    /// C = alpha A B + beta C of matrices that lie within their slices, none empty.
    ///
    /// `ERANGE` for sizes beyond 32 bits.
    pub(crate) fn multiply(&self, call: Sgemm<'_>) -> Result<()> {
        let size = |value: usize, what: &str| {
            c_int::try_from(value).map_err(|_| {
                err!(
                    ERANGE,
                    "{what} is {value}, but `{}` counts in 32 bits; unset VACCEL_BLAS",
                    self.file
                )
            })
        };
        let (m, n, k) = (size(call.m, "m")?, size(call.n, "n")?, size(call.k, "k")?);
        let (lda, ldb, ldc) = (
            size(call.lda, "lda")?,
            size(call.ldb, "ldb")?,
            size(call.ldc, "ldc")?,
        );
        // SAFETY: the caller checked that every element lies within its slice; leading
        // dimensions are at least the lengths of the rows; C is borrowed exclusively.
        unsafe {
            (self.sgemm)(
                ROW_MAJOR,
                NO_TRANSPOSE,
                NO_TRANSPOSE,
                m,
                n,
                k,
                call.alpha,
                call.a.as_ptr(),
                lda,
                call.b.as_ptr(),
                ldb,
                call.beta,
                call.c.as_mut_ptr(),
                ldc,
            );
        }
        Ok(())
    }
}

/// Tells whichever library it is how many threads to use; one that has none of these
/// functions has no threads.
fn set_threads(library: &Library, count: usize) {
    let count = c_int::try_from(count).unwrap_or(c_int::MAX);
    // SAFETY: the types are those of the libraries' headers: an int, and BLIS's dim_t,
    // which is as wide as a pointer.
    unsafe {
        for name in [
            &b"openblas_set_num_threads\0"[..],
            &b"MKL_Set_Num_Threads\0"[..],
        ] {
            if let Ok(f) = library.get::<unsafe extern "C" fn(c_int)>(name) {
                f(count);
                return;
            }
        }
        if let Ok(f) = library.get::<unsafe extern "C" fn(isize)>(b"bli_thread_set_num_threads\0") {
            f(count as isize);
        }
    }
}
