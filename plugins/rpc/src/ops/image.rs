//! Operations on pictures.

use crate::call::op;
use libc::{c_uchar, c_void, size_t};
use vaccel_plugin::abi::CResult;
use vaccel_plugin::abi::arg::ARG_UCHAR_ARRAY;
use vaccel_plugin::abi::op::{
    OP_IMAGE_CLASSIFY, OP_IMAGE_DEPTH, OP_IMAGE_DETECT, OP_IMAGE_POSE, OP_IMAGE_SEGMENT,
};
use vaccel_plugin::abi::session::vaccel_session;

pub(crate) unsafe extern "C" fn classify(
    session: *mut vaccel_session,
    img: *const c_void,
    out_text: *mut c_uchar,
    out_imgname: *mut c_uchar,
    len_img: size_t,
    len_out_text: size_t,
    len_out_imgname: size_t,
) -> CResult {
    op("image_classify", session, OP_IMAGE_CLASSIFY, |call| {
        // SAFETY: a picture of that many bytes, by the ABI.
        unsafe { call.buffer(img, len_img, "img") }?;
        // In generic form the name of the picture comes first.
        call.out_text(ARG_UCHAR_ARRAY, out_imgname, len_out_imgname);
        call.out_text(ARG_UCHAR_ARRAY, out_text, len_out_text);
        Ok(())
    })
}

macro_rules! picture {
    ($($function:ident = $code:ident, $name:literal;)*) => {
        $(pub(crate) unsafe extern "C" fn $function(
            session: *mut vaccel_session,
            img: *const c_void,
            out_imgname: *mut c_uchar,
            len_img: size_t,
            len_out_imgname: size_t,
        ) -> CResult {
            op($name, session, $code, |call| {
                // SAFETY: a picture of that many bytes, by the ABI.
                unsafe { call.buffer(img, len_img, "img") }?;
                call.out_text(ARG_UCHAR_ARRAY, out_imgname, len_out_imgname);
                Ok(())
            })
        })*
    };
}

picture! {
    detect = OP_IMAGE_DETECT, "image_detect";
    segment = OP_IMAGE_SEGMENT, "image_segment";
    pose = OP_IMAGE_POSE, "image_pose";
    depth = OP_IMAGE_DEPTH, "image_depth";
}
