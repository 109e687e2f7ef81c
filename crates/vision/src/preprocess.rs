//! A picture becomes the input tensor: resize, then normalise.

use std::borrow::Cow;

use fast_image_resize as fir;

use crate::description::{Description, PerChannel};
use crate::error::{Error, Result};
use crate::geometry::{Fit, Transform};
use crate::picture::Picture;
use crate::tensor::{ElementType, InputData, f16_bits};
use crate::words::{Channels, Filter, Layout, Resize};

/// A resized picture larger than this is not made only to be cropped.
const MAX_RESIZED_PIXELS: u64 = 16_000_000;

/// Everything that is needed to turn a picture into a tensor, with no key left open.
#[derive(Debug, Clone)]
pub struct Preprocess {
    /// Width of the tensor.
    pub(crate) width: u32,
    /// Height of the tensor.
    pub(crate) height: u32,
    pub(crate) layout: Layout,
    pub(crate) element: ElementType,
    channels: Channels,
    resize: Resize,
    resize_to: u32,
    filter: Filter,
    pad: u8,
    /// For each channel the value of each of the 256 pixel values.
    values: Vec<[f32; 256]>,
}

impl Preprocess {
    /// Takes the keys of `[input]` for a tensor of the given size and type.
    pub(crate) fn new(
        description: &Description,
        (width, height): (u32, u32),
        layout: Layout,
        element: ElementType,
    ) -> Self {
        let input = &description.input;
        let scale = input.scale.unwrap_or(match element {
            ElementType::U8 => 1.0,
            _ => 1.0 / 255.0,
        });
        let of = |values: &Option<PerChannel>, channel, default| {
            values
                .as_ref()
                .map_or(default, |values| values.get(channel))
        };
        let values = (0..input.channels.count())
            .map(|channel| {
                let (mean, std) = (of(&input.mean, channel, 0.0), of(&input.std, channel, 1.0));
                std::array::from_fn(|pixel| ((pixel as f64 * scale - mean) / std) as f32)
            })
            .collect();
        Self {
            width,
            height,
            layout,
            element,
            channels: input.channels,
            resize: input.resize,
            resize_to: input.resize_to.unwrap_or(width.max(height)),
            filter: input.filter,
            pad: input.pad.unwrap_or(114),
            values,
        }
    }

    /// Number of elements of the tensor.
    #[must_use]
    pub fn elements(&self) -> usize {
        self.width as usize * self.height as usize * self.channels.count()
    }

    /// Makes the tensor in the type that the model takes.
    ///
    /// # Errors
    /// A picture that cannot be resized.
    pub fn run(&self, picture: &Picture) -> Result<(InputData, Transform)> {
        let n = self.elements();
        Ok(match self.element {
            ElementType::F32 | ElementType::Other => {
                let mut out = vec![0.0; n];
                let transform = self.fill(picture, &mut out, |value| value)?;
                (InputData::F32(out), transform)
            }
            ElementType::F16 => {
                let mut out = vec![0; n];
                let transform = self.fill(picture, &mut out, f16_bits)?;
                (InputData::F16(out), transform)
            }
            ElementType::U8 => {
                let mut out = vec![0; n];
                // `as` saturates, and the values are finite.
                let transform = self.fill(picture, &mut out, |v| v.round_ties_even() as u8)?;
                (InputData::U8(out), transform)
            }
        })
    }

    /// Makes a tensor of `f32` in the caller's own memory.
    ///
    /// # Errors
    /// `out` not exactly [`elements`](Self::elements) long, or a picture that cannot be resized.
    pub fn run_into(&self, picture: &Picture, out: &mut [f32]) -> Result<Transform> {
        if out.len() != self.elements() {
            return Err(Error::Input(format!(
                "{} x {} x {} takes {} values, got room for {}",
                self.channels.count(),
                self.height,
                self.width,
                self.elements(),
                out.len()
            )));
        }
        self.fill(picture, out, |value| value)
    }

    fn fill<T: Copy>(
        &self,
        picture: &Picture,
        out: &mut [T],
        convert: impl Fn(f32) -> T,
    ) -> Result<Transform> {
        let size = (picture.width(), picture.height());
        let fit = Fit::new(self.resize, size, (self.width, self.height), self.resize_to);
        let tables: Vec<[T; 256]> = self
            .values
            .iter()
            .map(|values| values.map(&convert))
            .collect();
        let window = self.window(picture, &fit)?;
        let writer = Writer {
            width: self.width as usize,
            height: self.height as usize,
            channels: self.channels,
            tables: &tables,
            pad: self.pad,
        };
        match self.layout {
            Layout::Nchw => writer.planes(&window, out),
            Layout::Nhwc => writer.pixels(&window, out),
        }
        Ok(fit.transform(size))
    }

    /// Resizes the picture and keeps what lies inside the tensor.
    fn window<'a>(&self, picture: &'a Picture, fit: &Fit) -> Result<Window<'a>> {
        let (width, height) = fit.resized;
        let place = |start: i64| usize::try_from(start).unwrap_or(0); // negative: cut at 0
        let cut = |start: i64| usize::try_from(-start).unwrap_or(0);
        let pixels = u64::from(width) * u64::from(height);
        if self.resize == Resize::CenterCrop && pixels > MAX_RESIZED_PIXELS {
            // A strip thousands of times longer than wide: resize only the part that is
            // kept. Its outermost pixels miss their neighbours, nothing else differs.
            let source = self.cropped_source(picture, fit);
            let size = (self.width, self.height);
            return Ok(Window {
                rgb: Cow::Owned(resize(picture, Some(source), size, self.filter)?),
                stride: self.width as usize,
                cut: (0, 0),
                place: (0, 0),
                size: (self.width as usize, self.height as usize),
            });
        }
        let rgb = if (width, height) == (picture.width(), picture.height()) {
            Cow::Borrowed(picture.rgb())
        } else {
            Cow::Owned(resize(picture, None, (width, height), self.filter)?)
        };
        Ok(Window {
            rgb,
            stride: width as usize,
            cut: (cut(fit.left), cut(fit.top)),
            place: (place(fit.left), place(fit.top)),
            size: (
                width.min(self.width) as usize,
                height.min(self.height) as usize,
            ),
        })
    }

    /// Left, top, width and height of the part of the picture that the tensor shows.
    fn cropped_source(&self, picture: &Picture, fit: &Fit) -> [f64; 4] {
        let transform = fit.transform((picture.width(), picture.height()));
        let (left, top) = transform.to_picture(0.0, 0.0);
        let (right, bottom) = transform.to_picture(f64::from(self.width), f64::from(self.height));
        let (left, top) = (left.max(0.0), top.max(0.0));
        [
            left,
            top,
            right.min(f64::from(picture.width())) - left,
            bottom.min(f64::from(picture.height())) - top,
        ]
    }
}

fn resize(
    picture: &Picture,
    crop: Option<[f64; 4]>,
    (width, height): (u32, u32),
    filter: Filter,
) -> Result<Vec<u8>> {
    let failed = |e: &dyn std::fmt::Display| {
        Error::Picture(format!(
            "cannot resize {} x {} to {width} x {height}: {e}",
            picture.width(),
            picture.height()
        ))
    };
    let source = fir::images::ImageRef::new(
        picture.width(),
        picture.height(),
        picture.rgb(),
        fir::PixelType::U8x3,
    )
    .map_err(|e| failed(&e))?;
    let mut resized = fir::images::Image::new(width, height, fir::PixelType::U8x3);
    let algorithm = match filter {
        Filter::Nearest => fir::ResizeAlg::Nearest,
        Filter::Bilinear => fir::ResizeAlg::Convolution(fir::FilterType::Bilinear),
        Filter::Bicubic => fir::ResizeAlg::Convolution(fir::FilterType::CatmullRom),
        Filter::Lanczos => fir::ResizeAlg::Convolution(fir::FilterType::Lanczos3),
    };
    let mut options = fir::ResizeOptions::new().resize_alg(algorithm);
    if let Some([left, top, width, height]) = crop {
        options = options.crop(left, top, width, height);
    }
    fir::Resizer::new()
        .resize(&source, &mut resized, &options)
        .map_err(|e| failed(&e))?;
    Ok(resized.into_vec())
}

/// The part of a resized picture that goes into the tensor, and where.
struct Window<'a> {
    rgb: Cow<'a, [u8]>,
    /// Pixels from one row to the next.
    stride: usize,
    /// First column and row that are used.
    cut: (usize, usize),
    /// Where they go in the tensor.
    place: (usize, usize),
    /// How many columns and rows.
    size: (usize, usize),
}

impl Window<'_> {
    /// The used pixels of the row that goes into row `y` of the tensor.
    fn row(&self, y: usize) -> Option<&[u8]> {
        let row = y
            .checked_sub(self.place.1)
            .filter(|&row| row < self.size.1)?;
        let start = ((row + self.cut.1) * self.stride + self.cut.0) * 3;
        Some(&self.rgb[start..start + self.size.0 * 3])
    }
}

/// Writes rows of pixels as values of the model.
struct Writer<'a, T> {
    width: usize,
    height: usize,
    channels: Channels,
    /// One table for each channel of the tensor.
    tables: &'a [[T; 256]],
    pad: u8,
}

impl<T: Copy> Writer<'_, T> {
    /// One plane after the other: nchw.
    fn planes(&self, window: &Window<'_>, out: &mut [T]) {
        let plane = self.width * self.height;
        let (from, to) = (window.place.0, window.place.0 + window.size.0);
        for (channel, (out, table)) in out.chunks_exact_mut(plane).zip(self.tables).enumerate() {
            let pad = table[usize::from(self.pad)];
            for (y, out) in out.chunks_exact_mut(self.width).enumerate() {
                let Some(row) = window.row(y) else {
                    out.fill(pad);
                    continue;
                };
                out[..from].fill(pad);
                out[to..].fill(pad);
                let row = row.as_chunks::<3>().0;
                let out = &mut out[from..to];
                match (self.channels, channel) {
                    (Channels::Gray, _) => fill_row(out, row, |p| table[usize::from(luma(p))]),
                    (Channels::Rgb, 0) | (Channels::Bgr, 2) => {
                        fill_row(out, row, |p| table[usize::from(p[0])])
                    }
                    (_, 1) => fill_row(out, row, |p| table[usize::from(p[1])]),
                    _ => fill_row(out, row, |p| table[usize::from(p[2])]),
                }
            }
        }
    }

    /// All channels of a pixel together: nhwc.
    fn pixels(&self, window: &Window<'_>, out: &mut [T]) {
        let count = self.channels.count();
        let (from, to) = (
            window.place.0 * count,
            (window.place.0 + window.size.0) * count,
        );
        let pad: Vec<T> = self
            .tables
            .iter()
            .map(|table| table[usize::from(self.pad)])
            .collect();
        let fill = |out: &mut [T]| {
            out.chunks_exact_mut(count)
                .for_each(|pixel| pixel.copy_from_slice(&pad))
        };
        for (y, out) in out.chunks_exact_mut(self.width * count).enumerate() {
            let Some(row) = window.row(y) else {
                fill(out);
                continue;
            };
            fill(&mut out[..from]);
            fill(&mut out[to..]);
            let (row, out) = (row.as_chunks::<3>().0, &mut out[from..to]);
            match (self.channels, self.tables) {
                (Channels::Gray, [gray]) => fill_row(out, row, |p| gray[usize::from(luma(p))]),
                (Channels::Rgb, [a, b, c]) => {
                    fill_row(out.as_chunks_mut::<3>().0, row, |p| {
                        [
                            a[usize::from(p[0])],
                            b[usize::from(p[1])],
                            c[usize::from(p[2])],
                        ]
                    });
                }
                (_, [a, b, c]) => {
                    fill_row(out.as_chunks_mut::<3>().0, row, |p| {
                        [
                            a[usize::from(p[2])],
                            b[usize::from(p[1])],
                            c[usize::from(p[0])],
                        ]
                    });
                }
                _ => unreachable!("there are as many tables as channels"),
            }
        }
    }
}

fn fill_row<T>(out: &mut [T], row: &[[u8; 3]], value: impl Fn(&[u8; 3]) -> T) {
    for (out, pixel) in out.iter_mut().zip(row) {
        *out = value(pixel);
    }
}

/// Brightness as ITU-R BT.601 weighs it, in the fixed point arithmetic of PIL's mode `L`.
fn luma(&[red, green, blue]: &[u8; 3]) -> u8 {
    let sum = 19595 * u32::from(red) + 38470 * u32::from(green) + 7471 * u32::from(blue);
    ((sum + 0x8000) >> 16) as u8
}
