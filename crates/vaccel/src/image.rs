//! Operations on pictures.

use vaccel_abi::CResult;
use vaccel_abi::op::ImageFn;

use crate::error::Result;
use crate::library::ImageAsyncFn;
use crate::pending::{Pending, start};
use crate::session::Session;

/// Room for the text of a classification, bytes.
pub(crate) const TEXT_ROOM: usize = 4096;
/// Room for the name of a picture, bytes.
pub(crate) const NAME_ROOM: usize = 4096;

/// One line of a classification.
#[derive(Debug, Clone, PartialEq)]
pub struct Label {
    /// What the picture shows.
    pub name: String,
    /// How likely, 0 to 1.
    pub score: f32,
}

/// What a picture shows.
#[derive(Debug, Clone, PartialEq)]
pub struct Classification {
    /// The plugin's text as it is.
    pub text: String,
    /// The lines of the text that have the form "name: 97.3 %", in order.
    pub labels: Vec<Label>,
    /// Name of the annotated picture on the machine that ran the
    /// operation; empty when there is none.
    pub picture: String,
}

/// Where the answer of the other operations is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Annotated {
    /// Name of the annotated picture on the machine that ran the
    /// operation; empty when there is none.
    pub picture: String,
}

impl Classification {
    /// From the two texts of the operation.
    pub(crate) fn new(text: &[u8], picture: &[u8]) -> Self {
        let text = until_zero(text);
        Self {
            labels: labels(&text),
            text,
            picture: until_zero(picture),
        }
    }
}

impl Session {
    /// Tells what a picture (JPEG or PNG) shows.
    ///
    /// The model is the session's `Model` resource, or the plugin's default.
    /// For results as data rather than text, see [`Model::answer`](crate::Model::answer).
    ///
    /// # Errors
    /// `EINVAL` for bytes that are not a picture; `ENOTSUP` when the plugin has no
    /// such operation; `ENOENT` when it has no model.
    pub fn image_classify(&self, image: &[u8]) -> Result<Classification> {
        self.classify(image, NAME_ROOM)
    }

    /// As [`image_classify`](Self::image_classify), without an annotated picture: drawing
    /// and compressing one often takes longer than the model.
    ///
    /// # Errors
    /// As [`Session::image_classify`].
    pub fn image_labels(&self, image: &[u8]) -> Result<Classification> {
        self.classify(image, 0)
    }

    fn classify(&self, image: &[u8], name_room: usize) -> Result<Classification> {
        let mut text = vec![0; TEXT_ROOM];
        let mut picture = vec![0; name_room];
        // SAFETY: the session is open and every length is that of its buffer.
        let code = unsafe {
            (self.library().functions().image_classification)(
                self.as_ptr(),
                image.as_ptr().cast(),
                text.as_mut_ptr(),
                match name_room {
                    0 => std::ptr::null_mut(),
                    _ => picture.as_mut_ptr(),
                },
                image.len(),
                text.len(),
                picture.len(),
            )
        };
        self.library().check("image classification", code)?;
        Ok(Classification::new(&text, &picture))
    }

    /// Finds the objects in a picture.
    ///
    /// # Errors
    /// As [`Session::image_classify`].
    pub fn image_detect(&self, image: &[u8]) -> Result<Annotated> {
        let function = self.library().functions().image_detection;
        self.image("image detection", function, image)
    }

    /// Tells the class of every pixel.
    ///
    /// # Errors
    /// As [`Session::image_classify`].
    pub fn image_segment(&self, image: &[u8]) -> Result<Annotated> {
        let function = self.library().functions().image_segmentation;
        self.image("image segmentation", function, image)
    }

    /// Finds the key points of figures.
    ///
    /// # Errors
    /// As [`Session::image_classify`].
    pub fn image_pose(&self, image: &[u8]) -> Result<Annotated> {
        let function = self.library().functions().image_pose;
        self.image("image pose", function, image)
    }

    /// Estimates the distance of every pixel.
    ///
    /// # Errors
    /// As [`Session::image_classify`].
    pub fn image_depth(&self, image: &[u8]) -> Result<Annotated> {
        let function = self.library().functions().image_depth;
        self.image("image depth", function, image)
    }

    /// Submits [`image_classify`](Self::image_classify).
    ///
    /// # Errors
    /// As [`noop_async`](Self::noop_async): what is wrong with the picture is the call's result.
    pub fn image_classify_async(&self, image: Vec<u8>) -> Result<Pending<Classification>> {
        let library = self.library();
        let classify = library.extension(
            library.functions().image_classification_async,
            "vaccel_image_classification_async",
        )?;
        let (mut text, mut name) = (vec![0; TEXT_ROOM], vec![0; NAME_ROOM]);
        let (from, len) = (image.as_ptr(), image.len());
        let (at_text, at_name) = (text.as_mut_ptr(), name.as_mut_ptr());
        let finish = move || {
            drop(image);
            Ok(Classification::new(&text, &name))
        };
        // SAFETY: the bytes of vectors stay where they are when the vectors move.
        unsafe {
            start(self, "image classification", finish, |options, out| {
                classify(
                    self.as_ptr(),
                    from.cast(),
                    at_text,
                    at_name,
                    len,
                    TEXT_ROOM,
                    NAME_ROOM,
                    options,
                    out,
                )
            })
        }
    }

    /// Submits [`image_detect`](Self::image_detect).
    ///
    /// # Errors
    /// As [`image_classify_async`](Self::image_classify_async).
    pub fn image_detect_async(&self, image: Vec<u8>) -> Result<Pending<Annotated>> {
        let function = self.library().functions().image_detection_async;
        self.image_async(
            ("image detection", "vaccel_image_detection_async"),
            function,
            image,
        )
    }

    /// Submits [`image_segment`](Self::image_segment).
    ///
    /// # Errors
    /// As [`image_classify_async`](Self::image_classify_async).
    pub fn image_segment_async(&self, image: Vec<u8>) -> Result<Pending<Annotated>> {
        let function = self.library().functions().image_segmentation_async;
        self.image_async(
            ("image segmentation", "vaccel_image_segmentation_async"),
            function,
            image,
        )
    }

    /// Submits [`image_pose`](Self::image_pose).
    ///
    /// # Errors
    /// As [`image_classify_async`](Self::image_classify_async).
    pub fn image_pose_async(&self, image: Vec<u8>) -> Result<Pending<Annotated>> {
        let function = self.library().functions().image_pose_async;
        self.image_async(("image pose", "vaccel_image_pose_async"), function, image)
    }

    /// Submits [`image_depth`](Self::image_depth).
    ///
    /// # Errors
    /// As [`image_classify_async`](Self::image_classify_async).
    pub fn image_depth_async(&self, image: Vec<u8>) -> Result<Pending<Annotated>> {
        let function = self.library().functions().image_depth_async;
        self.image_async(("image depth", "vaccel_image_depth_async"), function, image)
    }

    fn image_async(
        &self,
        (what, symbol): (&'static str, &'static str),
        function: Option<ImageAsyncFn>,
        image: Vec<u8>,
    ) -> Result<Pending<Annotated>> {
        let submit = self.library().extension(function, symbol)?;
        let mut picture = vec![0; NAME_ROOM];
        let (from, len, at) = (image.as_ptr(), image.len(), picture.as_mut_ptr());
        let finish = move || {
            drop(image);
            Ok(Annotated {
                picture: until_zero(&picture),
            })
        };
        // SAFETY: as in `image_classify_async`.
        unsafe {
            start(self, what, finish, |options, out| {
                submit(self.as_ptr(), from.cast(), at, len, NAME_ROOM, options, out)
            })
        }
    }

    fn image(&self, what: &str, function: ImageFn, image: &[u8]) -> Result<Annotated> {
        let mut picture = vec![0; NAME_ROOM];
        // SAFETY: the session is open and every length is that of its buffer.
        let code: CResult = unsafe {
            function(
                self.as_ptr(),
                image.as_ptr().cast(),
                picture.as_mut_ptr(),
                image.len(),
                picture.len(),
            )
        };
        self.library().check(what, code)?;
        Ok(Annotated {
            picture: until_zero(&picture),
        })
    }
}

fn until_zero(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|&b| b == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

/// The lines "name: 97.3 %" of a text.
fn labels(text: &str) -> Vec<Label> {
    let parse = |line: &str| {
        let (name, percent) = line.rsplit_once(": ")?;
        let percent: f32 = percent.trim().strip_suffix('%')?.trim().parse().ok()?;
        Some(Label {
            name: name.trim().to_owned(),
            score: percent / 100.0,
        })
    };
    text.lines().filter_map(parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_with_a_percentage_become_labels() {
        let found = labels("tabby: 97.3 %\nnote\ncat: big: 1%\n");
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].name, "tabby");
        assert!((found[0].score - 0.973).abs() < 1e-6);
        assert_eq!(found[1].name, "cat: big");
    }

    #[test]
    fn text_ends_at_the_first_zero_or_with_the_buffer() {
        assert_eq!(until_zero(b"ab\0cd"), "ab");
        assert_eq!(until_zero(b"ab"), "ab");
    }
}
