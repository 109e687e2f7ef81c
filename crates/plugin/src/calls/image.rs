//! The image operations.

use super::{Exported, Instance, call};
use crate::error::Result;
use crate::image::{Picture, write_path, write_text};
use crate::memory;
use crate::session::Session;
use libc::{c_uchar, c_void, size_t};
use vaccel_abi::CResult;
use vaccel_abi::session::vaccel_session;

/// A buffer for text that the caller may leave out.
///
/// # Safety
/// As [`memory::slice_mut`].
unsafe fn optional<'a>(at: *mut c_uchar, len: size_t, what: &str) -> Result<&'a mut [u8]> {
    if at.is_null() {
        return Ok(&mut []);
    }
    // SAFETY: promised by the caller.
    unsafe { memory::slice_mut(at, len, what) }
}

pub(crate) unsafe extern "C" fn classify<P: Exported>(
    session: *mut vaccel_session,
    img: *const c_void,
    out_text: *mut c_uchar,
    out_imgname: *mut c_uchar,
    len_img: size_t,
    len_out_text: size_t,
    len_out_imgname: size_t,
) -> CResult {
    call::<P>("image_classify", |this| {
        // SAFETY: the library passes a live session and buffers of these
        // lengths; outputs are written after the last use of the image, one
        // after the other.
        unsafe {
            let session = this.session(session)?;
            optional(out_text, len_out_text, "out_text")?;
            optional(out_imgname, len_out_imgname, "out_imgname")?;
            let image = memory::slice(img.cast::<u8>(), len_img, "the image")?;
            let found = this.plugin.image_classify(&session, image)?;
            write_path(
                found.picture,
                optional(out_imgname, len_out_imgname, "out_imgname")?,
            )?;
            write_text(&found.text, optional(out_text, len_out_text, "out_text")?);
        }
        Ok(())
    })
}

/// # Safety
/// As the operations.
unsafe fn picture<P: Exported>(
    this: &Instance<P>,
    session: *mut vaccel_session,
    image: (*const c_void, size_t),
    out: (*mut c_uchar, size_t),
    f: impl FnOnce(&P, &Session<'_>, &[u8]) -> Result<Picture>,
) -> Result<()> {
    // SAFETY: as in `classify`.
    unsafe {
        let session = this.session(session)?;
        optional(out.0, out.1, "out_imgname")?;
        let bytes = memory::slice(image.0.cast::<u8>(), image.1, "the image")?;
        let found = f(&this.plugin, &session, bytes)?;
        write_path(found, optional(out.0, out.1, "out_imgname")?)
    }
}

macro_rules! pictures {
    ($($function:ident = $method:ident, $name:literal;)*) => {
        $(pub(crate) unsafe extern "C" fn $function<P: Exported>(
            session: *mut vaccel_session,
            img: *const c_void,
            out_imgname: *mut c_uchar,
            len_img: size_t,
            len_out_imgname: size_t,
        ) -> CResult {
            call::<P>($name, |this| {
                // SAFETY: the library passes a live session and buffers of
                // these lengths.
                unsafe {
                    picture(this, session, (img, len_img), (out_imgname, len_out_imgname),
                        |plugin, session, image| plugin.$method(session, image))
                }
            })
        })*
    };
}

pictures! {
    detect = image_detect, "image_detect";
    segment = image_segment, "image_segment";
    pose = image_pose, "image_pose";
    depth = image_depth, "image_depth";
}
