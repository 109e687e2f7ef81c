//! noop, exec, minmax and opencv.

use super::{Exported, call};
use crate::arg::with_args;
use crate::memory;
use crate::plugin::Minmax;
use crate::resource::{Resource, ResourceType};
use libc::{c_char, c_double, c_int, size_t};
use vaccel_abi::CResult;
use vaccel_abi::arg::vaccel_arg;
use vaccel_abi::resource::vaccel_resource;
use vaccel_abi::session::vaccel_session;

pub(crate) unsafe extern "C" fn noop<P: Exported>(session: *mut vaccel_session) -> CResult {
    call::<P>("noop", |this| {
        // SAFETY: the library passes a live session.
        let session = unsafe { this.session(session) }?;
        this.plugin.noop(&session)
    })
}

pub(crate) unsafe extern "C" fn exec<P: Exported>(
    session: *mut vaccel_session,
    library: *const c_char,
    symbol: *const c_char,
    read: *mut vaccel_arg,
    nr_read: size_t,
    write: *mut vaccel_arg,
    nr_write: size_t,
) -> CResult {
    call::<P>("exec", |this| {
        // SAFETY: the library passes a live session and what its caller gave:
        // C strings and lists of arguments of the lengths that it says.
        unsafe {
            let session = this.session(session)?;
            let library = memory::text(library, "the library")?;
            let symbol = memory::text(symbol, "the symbol")?;
            with_args((read, nr_read), (write, nr_write), |read, write| {
                this.plugin.exec(&session, library, symbol, read, write)
            })
        }
    })
}

pub(crate) unsafe extern "C" fn exec_with_resource<P: Exported>(
    session: *mut vaccel_session,
    library: *mut vaccel_resource,
    symbol: *const c_char,
    read: *mut vaccel_arg,
    nr_read: size_t,
    write: *mut vaccel_arg,
    nr_write: size_t,
) -> CResult {
    call::<P>("exec_with_resource", |this| {
        // SAFETY: as in `exec`; the resource is registered with the session.
        unsafe {
            let session = this.session(session)?;
            let library = Resource::from_raw(library)?;
            library.expect(ResourceType::Library)?;
            let symbol = memory::text(symbol, "the symbol")?;
            with_args((read, nr_read), (write, nr_write), |read, write| {
                this.plugin
                    .exec_with_resource(&session, &library, symbol, read, write)
            })
        }
    })
}

pub(crate) unsafe extern "C" fn opencv<P: Exported>(
    session: *mut vaccel_session,
    read: *mut vaccel_arg,
    nr_read: c_int,
    write: *mut vaccel_arg,
    nr_write: c_int,
) -> CResult {
    call::<P>("opencv", |this| {
        let nr_read = memory::count(nr_read, "nr_read")?;
        let nr_write = memory::count(nr_write, "nr_write")?;
        // SAFETY: as in `exec`.
        unsafe {
            let session = this.session(session)?;
            with_args((read, nr_read), (write, nr_write), |read, write| {
                this.plugin.opencv(&session, read, write)
            })
        }
    })
}

#[allow(clippy::too_many_arguments)]
pub(crate) unsafe extern "C" fn minmax<P: Exported>(
    session: *mut vaccel_session,
    indata: *const c_double,
    ndata: c_int,
    low_threshold: c_int,
    high_threshold: c_int,
    outdata: *mut c_double,
    min: *mut c_double,
    max: *mut c_double,
) -> CResult {
    call::<P>("minmax", |this| {
        let n = memory::count(ndata, "ndata")?;
        let outputs = [
            memory::span(outdata, n),
            memory::span(min, 1),
            memory::span(max, 1),
        ];
        // SAFETY: the library passes a live session and arrays of `ndata`
        // elements; an input that lies over an output is copied.
        unsafe {
            let session = this.session(session)?;
            let input = memory::input(indata, n, "indata", &outputs)?;
            let clipped = memory::slice_mut(outdata, n, "outdata")?;
            // Checked now, so that nothing is written when they are wrong.
            memory::check(min, 1, "min")?;
            memory::check(max, 1, "max")?;
            let found = this.plugin.minmax(
                &session,
                Minmax {
                    input: &input,
                    low: low_threshold,
                    high: high_threshold,
                    clipped,
                },
            )?;
            // Written through the pointers, after the last use of the slices,
            // for a caller may have placed them in one another.
            min.write(found.0);
            max.write(found.1);
        }
        Ok(())
    })
}
