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

    /// Finds the objects in a picture.
    fn vaccel_image_detection(
        sess: *mut vaccel_session,
        img: *const c_void,
        out_imgname: *mut c_uchar,
        len_img: usize,
        len_out_imgname: usize,
    ) {
        let image = Image { data: img, size: len_img };
        let name = Text { buffer: out_imgname, size: len_out_imgname };
        image::process(ptr!(sess), OP_IMAGE_DETECT, image, name)
    }

    /// Tells the class of every pixel of a picture.
    fn vaccel_image_segmentation(
        sess: *mut vaccel_session,
        img: *const c_void,
        out_imgname: *mut c_uchar,
        len_img: usize,
        len_out_imgname: usize,
    ) {
        let image = Image { data: img, size: len_img };
        let name = Text { buffer: out_imgname, size: len_out_imgname };
        image::process(ptr!(sess), OP_IMAGE_SEGMENT, image, name)
    }

    /// Finds the key points of figures in a picture.
    fn vaccel_image_pose(
        sess: *mut vaccel_session,
        img: *const c_void,
        out_imgname: *mut c_uchar,
        len_img: usize,
        len_out_imgname: usize,
    ) {
        let image = Image { data: img, size: len_img };
        let name = Text { buffer: out_imgname, size: len_out_imgname };
        image::process(ptr!(sess), OP_IMAGE_POSE, image, name)
    }

    /// Estimates the distance of every pixel of a picture.
    fn vaccel_image_depth(
        sess: *mut vaccel_session,
        img: *const c_void,
        out_imgname: *mut c_uchar,
        len_img: usize,
        len_out_imgname: usize,
    ) {
        let image = Image { data: img, size: len_img };
        let name = Text { buffer: out_imgname, size: len_out_imgname };
        image::process(ptr!(sess), OP_IMAGE_DEPTH, image, name)
    }
}
