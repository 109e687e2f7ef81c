//! Operations on pictures.

use std::ffi::{c_uchar, c_void};
use vaccel_abi::op::{OP_IMAGE_DEPTH, OP_IMAGE_DETECT, OP_IMAGE_POSE, OP_IMAGE_SEGMENT};
use vaccel_abi::session::vaccel_session;
use vaccel_core::image::{self, Image, Text};

export! {
    /// Names what a picture shows.
    fn vaccel_image_classification(
        sess: *mut vaccel_session,
        img: *const c_void,
        out_text: *mut c_uchar,
        out_imgname: *mut c_uchar,
        len_img: usize,
        len_out_text: usize,
        len_out_imgname: usize,
    ) {
        let image = Image { data: img, size: len_img };
        let text = Text { buffer: out_text, size: len_out_text };
        let name = Text { buffer: out_imgname, size: len_out_imgname };
        image::classify(ptr!(sess), image, text, name)
    }
}

/// The operations that give nothing but an annotated picture.
macro_rules! annotations {
    ($($(#[$doc:meta])* $name:ident = $op:ident;)*) => {
        export! {$(
            $(#[$doc])*
            fn $name(
                sess: *mut vaccel_session,
                img: *const c_void,
                out_imgname: *mut c_uchar,
                len_img: usize,
                len_out_imgname: usize,
            ) {
                let image = Image { data: img, size: len_img };
                let name = Text { buffer: out_imgname, size: len_out_imgname };
                image::process(ptr!(sess), $op, image, name)
            }
        )*}
    };
}

annotations! {
    /// Finds the objects in a picture.
    vaccel_image_detection = OP_IMAGE_DETECT;
    /// Tells the class of every pixel of a picture.
    vaccel_image_segmentation = OP_IMAGE_SEGMENT;
    /// Finds the key points of figures in a picture.
    vaccel_image_pose = OP_IMAGE_POSE;
    /// Estimates the distance of every pixel of a picture.
    vaccel_image_depth = OP_IMAGE_DEPTH;
}
