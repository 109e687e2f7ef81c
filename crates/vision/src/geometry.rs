//! Where a pixel of the picture lies in the input tensor, and the way back.
//!
//! All coordinates are continuous: a picture of width `w` reaches from 0 to `w`, and
//! the centre of its first pixel is at 0.5.

use crate::words::Resize;

/// Maps coordinates of the picture to coordinates of the input tensor: `x * scale + offset`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Transform {
    /// Horizontal scale.
    pub scale_x: f64,
    /// Vertical scale.
    pub scale_y: f64,
    /// Horizontal offset in pixels of the input tensor.
    pub offset_x: f64,
    /// Vertical offset in pixels of the input tensor.
    pub offset_y: f64,
}

impl Transform {
    /// A point of the picture in the input tensor.
    #[must_use]
    pub fn to_input(&self, x: f64, y: f64) -> (f64, f64) {
        (
            x * self.scale_x + self.offset_x,
            y * self.scale_y + self.offset_y,
        )
    }

    /// A point of the input tensor in the picture; may lie outside of it.
    #[must_use]
    pub fn to_picture(&self, x: f64, y: f64) -> (f64, f64) {
        (
            (x - self.offset_x) / self.scale_x,
            (y - self.offset_y) / self.scale_y,
        )
    }
}

/// Sizes of the steps between a picture and the input tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fit {
    /// Size that the whole picture is resized to.
    pub(crate) resized: (u32, u32),
    /// Where the resized picture begins in the input tensor; negative: it is cut.
    pub(crate) left: i64,
    pub(crate) top: i64,
}

impl Fit {
    /// Sizes for a picture of `(width, height)` and an input tensor of `input`.
    ///
    /// The roundings are those of Ultralytics' letterbox and of torchvision's `Resize`
    /// and `CenterCrop`, so that models see what they were trained on.
    pub(crate) fn new(
        resize: Resize,
        picture: (u32, u32),
        input: (u32, u32),
        resize_to: u32,
    ) -> Self {
        let (width, height) = (f64::from(picture.0), f64::from(picture.1));
        match resize {
            Resize::Stretch => Self {
                resized: input,
                left: 0,
                top: 0,
            },
            Resize::Letterbox => {
                let scale = (f64::from(input.0) / width).min(f64::from(input.1) / height);
                let side = |length: f64, most: u32| {
                    ((length * scale).round_ties_even() as u32).clamp(1, most)
                };
                let resized = (side(width, input.0), side(height, input.1));
                Self {
                    resized,
                    left: i64::from((input.0 - resized.0) / 2),
                    top: i64::from((input.1 - resized.1) / 2),
                }
            }
            Resize::CenterCrop => {
                let longer = |long: u32, short: u32| {
                    let length = u64::from(resize_to) * u64::from(long) / u64::from(short);
                    u32::try_from(length).unwrap_or(u32::MAX)
                };
                let resized = if picture.0 <= picture.1 {
                    (resize_to, longer(picture.1, picture.0))
                } else {
                    (longer(picture.0, picture.1), resize_to)
                };
                let start = |whole: u32, part: u32| {
                    -((f64::from(whole) - f64::from(part)) / 2.0).round_ties_even() as i64
                };
                Self {
                    resized,
                    left: start(resized.0, input.0),
                    top: start(resized.1, input.1),
                }
            }
        }
    }

    pub(crate) fn transform(&self, picture: (u32, u32)) -> Transform {
        Transform {
            scale_x: f64::from(self.resized.0) / f64::from(picture.0),
            scale_y: f64::from(self.resized.1) / f64::from(picture.1),
            offset_x: self.left as f64,
            offset_y: self.top as f64,
        }
    }
}

/// How one axis of a model's map (class map, depth map, mask) lies over the picture.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Axis {
    /// Length of the picture in pixels.
    pub(crate) picture: u32,
    /// Number of cells of the map.
    pub(crate) cells: usize,
    /// Cells for each pixel of the picture.
    scale: f64,
    /// Cell coordinate of the picture's edge.
    offset: f64,
}

impl Axis {
    /// Lays `cells` cells over an input of `input` pixels, and that over the picture.
    pub(crate) fn new(picture: u32, input: u32, cells: usize, scale: f64, offset: f64) -> Self {
        let cells_per_pixel = cells as f64 / f64::from(input);
        Self {
            picture,
            cells,
            scale: scale * cells_per_pixel,
            offset: offset * cells_per_pixel,
        }
    }

    /// Position of a picture coordinate in cells.
    pub(crate) fn cell(&self, at: f64) -> f64 {
        at * self.scale + self.offset
    }

    /// For each pixel of the picture the cell that its centre lies in, `None` outside of the map.
    pub(crate) fn nearest(&self) -> impl Iterator<Item = Option<usize>> + '_ {
        (0..self.picture).map(|pixel| {
            let cell = self.cell(f64::from(pixel) + 0.5).floor();
            (cell >= 0.0 && cell < self.cells as f64).then_some(cell as usize)
        })
    }

    /// The cells whose centres show something of the picture: first and last.
    pub(crate) fn covered(&self) -> (usize, usize) {
        let last = self.cells.saturating_sub(1);
        let clamp = |cell: f64| cell.clamp(0.0, last as f64) as usize;
        let first = clamp((self.cell(0.0) - 0.5).ceil());
        let end = clamp((self.cell(f64::from(self.picture)) - 0.5).floor());
        // A picture narrower than a cell covers no centre; the cell it lies in counts then.
        if first <= end {
            (first, end)
        } else {
            (end, end)
        }
    }

    /// For each pixel of `from..to` the two cells around its centre and the share of the second.
    ///
    /// Only covered cells are used, so that the filling of a letterbox does not bleed in.
    /// `None` for pixels that the map does not show.
    pub(crate) fn linear(&self, from: u32, to: u32) -> impl Iterator<Item = Option<Tap>> + '_ {
        let (first, last) = self.covered();
        (from..to).map(move |pixel| {
            let cell = self.cell(f64::from(pixel) + 0.5);
            if cell < 0.0 || cell > self.cells as f64 {
                return None;
            }
            let at = (cell - 0.5).clamp(first as f64, last as f64);
            let low = at as usize; // `at` is not negative
            Some(Tap {
                low,
                high: (low + 1).min(last),
                share: (at - low as f64) as f32,
            })
        })
    }
}

/// Two neighbouring cells and how much the second counts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Tap {
    pub(crate) low: usize,
    pub(crate) high: usize,
    pub(crate) share: f32,
}

impl Tap {
    /// The value between two. A neighbour that does not count cannot turn it into NaN.
    pub(crate) fn mix(self, low: f32, high: f32) -> f32 {
        if self.share == 0.0 {
            low
        } else {
            low + (high - low) * self.share
        }
    }
}

/// A box by its edges, in any coordinates.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Edges {
    pub(crate) left: f32,
    pub(crate) top: f32,
    pub(crate) right: f32,
    pub(crate) bottom: f32,
}

impl Edges {
    pub(crate) fn from_centre(x: f32, y: f32, width: f32, height: f32) -> Self {
        Self {
            left: x - width / 2.0,
            top: y - height / 2.0,
            right: x + width / 2.0,
            bottom: y + height / 2.0,
        }
    }

    /// Finite edges in the right order; NaN fails both.
    pub(crate) fn is_sound(&self) -> bool {
        let finite = [self.left, self.top, self.right, self.bottom]
            .iter()
            .all(|v| v.is_finite());
        finite && self.right > self.left && self.bottom > self.top
    }

    fn area(&self) -> f32 {
        (self.right - self.left) * (self.bottom - self.top)
    }

    /// Intersection over union, 0 to 1.
    pub(crate) fn overlap(&self, other: &Self) -> f32 {
        let width = self.right.min(other.right) - self.left.max(other.left);
        let height = self.bottom.min(other.bottom) - self.top.max(other.top);
        if width <= 0.0 || height <= 0.0 {
            return 0.0;
        }
        let shared = width * height;
        shared / (self.area() + other.area() - shared)
    }
}
