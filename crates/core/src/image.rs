//! Operations on pictures.

use crate::ptr::Ptr;
use crate::{Result, call_op, fail};
use std::ffi::{c_uchar, c_void};
use vaccel_abi::op::{ImageClassifyFn, ImageFn, OP_IMAGE_CLASSIFY, OpType};
use vaccel_abi::session::vaccel_session;

/// A buffer for text: where, and how many bytes; null when it is not wanted.
#[derive(Debug, Clone, Copy)]
pub struct Text {
    /// `size` bytes, or null.
    pub buffer: *mut c_uchar,
    /// Bytes at `buffer`.
    pub size: usize,
}

impl Text {
    /// Not wanted.
    pub const NONE: Self = Self {
        buffer: std::ptr::null_mut(),
        size: 0,
    };

    fn or_none(self) -> Self {
        if self.buffer.is_null() {
            Self::NONE
        } else {
            self
        }
    }
}

/// A picture: an image file in memory.
#[derive(Debug, Clone, Copy)]
pub struct Image {
    /// `size` bytes.
    pub data: *const c_void,
    /// Bytes at `data`.
    pub size: usize,
}

impl Image {
    fn check(self) -> Result<Self> {
        if self.data.is_null() || self.size == 0 {
            fail!(EINVAL, "there is no picture: `img` is null or empty");
        }
        Ok(self)
    }
}

/// `vaccel_image_classification`.
///
/// # Errors
/// `EINVAL` without a picture; those of the plugin.
pub fn classify(sess: Ptr<vaccel_session>, image: Image, text: Text, name: Text) -> Result {
    let (image, text, name) = (image.check()?, text.or_none(), name.or_none());
    call_op!(
        sess,
        OP_IMAGE_CLASSIFY,
        ImageClassifyFn,
        image.data,
        text.buffer,
        name.buffer,
        image.size,
        text.size,
        name.size;
        (image.size, text.size + name.size)
    )
}

/// `vaccel_image_detection`, `_segmentation`, `_pose` and `_depth`, by code.
///
/// # Errors
/// `EINVAL` without a picture; those of the plugin.
pub fn process(sess: Ptr<vaccel_session>, op: OpType, image: Image, name: Text) -> Result {
    let (image, name) = (image.check()?, name.or_none());
    call_op!(
        sess,
        op,
        ImageFn,
        image.data,
        name.buffer,
        image.size,
        name.size;
        (image.size, name.size)
    )
}
