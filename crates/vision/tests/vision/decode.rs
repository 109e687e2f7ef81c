//! Real files, and files that mean harm.

use std::io::Cursor;

use image::codecs::jpeg::JpegEncoder;
use image::{
    DynamicImage, GrayImage, ImageBuffer, ImageFormat, Luma, Rgb, RgbImage, Rgba, RgbaImage,
};
use vaccel_vision::{Limits, Picture, decode};

use crate::common::Random;

const PROGRESSIVE: &[u8] = include_bytes!("../data/progressive.jpg");
const RESTART: &[u8] = include_bytes!("../data/restart.jpg");
const CMYK: &[u8] = include_bytes!("../data/cmyk.jpg");

fn open(file: &[u8]) -> Picture {
    decode(file, &Limits::default()).unwrap()
}

fn error(file: &[u8]) -> String {
    decode(file, &Limits::default()).unwrap_err().to_string()
}

fn encode(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut file = Cursor::new(Vec::new());
    image.write_to(&mut file, format).unwrap();
    file.into_inner()
}

fn jpeg(image: &DynamicImage) -> Vec<u8> {
    let mut file = Vec::new();
    image
        .write_with_encoder(JpegEncoder::new_with_quality(&mut file, 95))
        .unwrap();
    file
}

/// A soft picture, which JPEG keeps well.
fn gradient(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        Rgb([
            (x * 255 / width) as u8,
            (y * 255 / height) as u8,
            ((x + y) * 255 / (width + height)) as u8,
        ])
    })
}

fn assert_near(picture: &Picture, wanted: &RgbImage, tolerance: u8) {
    assert_eq!((picture.width(), picture.height()), wanted.dimensions());
    for (got, want) in picture.rgb().iter().zip(wanted.as_raw()) {
        assert!(got.abs_diff(*want) <= tolerance, "{got} {want}");
    }
}

#[test]
fn lossless_files_give_their_pixels_back() {
    let pixels = gradient(37, 23);
    let image = DynamicImage::ImageRgb8(pixels.clone());
    for format in [
        ImageFormat::Png,
        ImageFormat::Bmp,
        ImageFormat::Pnm,
        ImageFormat::WebP,
    ] {
        assert_eq!(
            open(&encode(&image, format)).rgb(),
            pixels.as_raw(),
            "{format:?}"
        );
    }
}

#[test]
fn jpeg_files_of_all_kinds_are_read() {
    let pixels = gradient(80, 64);
    assert_near(
        &open(&jpeg(&DynamicImage::ImageRgb8(pixels.clone()))),
        &pixels,
        6,
    );
    let gray = DynamicImage::ImageRgb8(pixels).into_luma8();
    let wanted = DynamicImage::ImageLuma8(gray.clone()).into_rgb8();
    assert_near(&open(&jpeg(&DynamicImage::ImageLuma8(gray))), &wanted, 4);

    let soft = RgbImage::from_fn(80, 64, |x, y| {
        Rgb([(x * 3) as u8, (y * 4) as u8, ((x + y) as f32 * 1.7) as u8])
    });
    assert_near(&open(PROGRESSIVE), &soft, 24);
    assert_near(&open(RESTART), &soft, 24);
    assert!(
        open(PROGRESSIVE)
            .rgb()
            .iter()
            .zip(open(RESTART).rgb())
            .all(|(a, b)| a.abs_diff(*b) < 24)
    );

    // Left half red, right half green and a fifth darker.
    let cmyk = open(CMYK);
    let pixel = |x: usize| &cmyk.rgb()[(8 * 16 + x) * 3..][..3];
    assert_eq!((pixel(2), pixel(13)), (&[255, 0, 0][..], &[0, 204, 0][..]));
}

#[test]
fn deeper_and_other_pixels_become_eight_bit_rgb() {
    let wide: ImageBuffer<Rgb<u16>, Vec<u16>> = ImageBuffer::from_fn(5, 4, |x, y| {
        Rgb([(x * 257 * 50) as u16, (y * 257 * 60) as u16, 65535])
    });
    let wanted: Vec<u8> = (0..20)
        .flat_map(|i| [(i % 5 * 50) as u8, (i / 5 * 60) as u8, 255])
        .collect();
    assert_eq!(
        open(&encode(&DynamicImage::ImageRgb16(wide), ImageFormat::Png)).rgb(),
        wanted
    );

    let gray = GrayImage::from_fn(3, 2, |x, y| Luma([(x * 80 + y) as u8]));
    let wanted: Vec<u8> = gray.iter().flat_map(|&v| [v; 3]).collect();
    assert_eq!(
        open(&encode(&DynamicImage::ImageLuma8(gray), ImageFormat::Png)).rgb(),
        wanted
    );

    // Transparency is dropped, colours under it stay.
    let glass = RgbaImage::from_fn(2, 1, |x, _| Rgba([10, 20, 30, (x * 255) as u8]));
    assert_eq!(
        open(&encode(&DynamicImage::ImageRgba8(glass), ImageFormat::Png)).rgb(),
        [10, 20, 30, 10, 20, 30]
    );
}

/// Puts an EXIF segment with an orientation behind the start-of-image marker.
fn with_orientation(file: &[u8], orientation: u8, big_endian: bool) -> Vec<u8> {
    let mut exif = b"\xff\xe1\x00\x22Exif\0\0".to_vec();
    if big_endian {
        exif.extend(b"MM\x00\x2a\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01");
        exif.extend([0, orientation, 0, 0, 0, 0, 0, 0]);
    } else {
        exif.extend(b"II\x2a\x00\x08\x00\x00\x00\x01\x00\x12\x01\x03\x00\x01\x00\x00\x00");
        exif.extend([orientation, 0, 0, 0, 0, 0, 0, 0]);
    }
    [&file[..2], &exif, &file[2..]].concat()
}

#[test]
fn pictures_are_turned_as_exif_says() {
    let pixels = gradient(48, 32);
    let file = jpeg(&DynamicImage::ImageRgb8(pixels.clone()));
    let plain = open(&file);
    let (w, h) = (48, 32);
    // Where the pixel at column x, row y of the shown picture comes from.
    type Source = fn(u32, u32, u32, u32) -> (u32, u32);
    let cases: [(u8, bool, Source); 8] = [
        (1, false, |x, y, _, _| (x, y)),
        (2, false, |x, y, w, _| (w - 1 - x, y)),
        (3, false, |x, y, w, h| (w - 1 - x, h - 1 - y)),
        (4, false, |x, y, _, h| (x, h - 1 - y)),
        (5, true, |x, y, _, _| (y, x)),
        (6, true, |x, y, _, h| (y, h - 1 - x)),
        (7, true, |x, y, w, h| (w - 1 - y, h - 1 - x)),
        (8, true, |x, y, w, _| (w - 1 - y, x)),
    ];
    for (orientation, swapped, source) in cases {
        for big_endian in [false, true] {
            let turned = open(&with_orientation(&file, orientation, big_endian));
            let size = if swapped { (h, w) } else { (w, h) };
            assert_eq!((turned.width(), turned.height()), size, "{orientation}");
            for (index, pixel) in turned.rgb().chunks_exact(3).enumerate() {
                let (x, y) = (index as u32 % size.0, index as u32 / size.0);
                let (sx, sy) = source(x, y, w, h);
                let at = (sy * w + sx) as usize * 3;
                assert_eq!(pixel, &plain.rgb()[at..at + 3], "{orientation} {x} {y}");
            }
        }
    }
    for nonsense in [0, 9, 255] {
        assert_eq!(open(&with_orientation(&file, nonsense, true)), plain);
    }
}

#[test]
fn a_jpeg_file_without_its_end_is_an_error_wherever_it_breaks_off() {
    let baseline = jpeg(&DynamicImage::ImageRgb8(gradient(24, 24)));
    for file in [&baseline[..], PROGRESSIVE, RESTART, CMYK] {
        for length in 0..file.len() {
            assert!(
                decode(&file[..length], &Limits::default()).is_err(),
                "{length} of {}",
                file.len()
            );
        }
        // What follows the end does not matter.
        assert_eq!(open(&[file, b"trailing bytes"].concat()), open(file));
        assert_eq!(open(&[file, file].concat()), open(file));
    }
    assert!(error(&baseline[..baseline.len() - 1]).contains("truncated"));
}

#[test]
fn other_files_that_break_off_are_an_error_or_whole() {
    let image = DynamicImage::ImageRgb8(gradient(24, 24));
    for format in [
        ImageFormat::Png,
        ImageFormat::Bmp,
        ImageFormat::Pnm,
        ImageFormat::WebP,
    ] {
        let file = encode(&image, format);
        let whole = open(&file);
        for length in 0..file.len() {
            if let Ok(picture) = decode(&file[..length], &Limits::default()) {
                assert_eq!(picture, whole, "{format:?} {length} of {}", file.len());
            }
        }
        assert!(decode(&file[..file.len() / 2], &Limits::default()).is_err());
    }
}

#[test]
fn damaged_files_give_an_error_or_a_picture_within_the_limits() {
    let image = DynamicImage::ImageRgb8(gradient(40, 30));
    let mut files: Vec<Vec<u8>> = [
        ImageFormat::Png,
        ImageFormat::Bmp,
        ImageFormat::Pnm,
        ImageFormat::WebP,
    ]
    .map(|format| encode(&image, format))
    .to_vec();
    files.extend([jpeg(&image), with_orientation(&jpeg(&image), 6, true)]);
    files.extend([PROGRESSIVE, RESTART, CMYK].map(<[u8]>::to_vec));
    let limits = Limits {
        side: 1000,
        pixels: 200_000,
    };
    let mut random = Random::new(7);
    let (mut errors, mut pictures) = (0, 0);
    for round in 0..6000 {
        let mut file = files[round % files.len()].clone();
        for _ in 0..1 + random.below(4) {
            let near = [file.len(), file.len().min(200)][random.below(2)];
            file[random.below(near)] = [random.bits() as u8, 0, 255][random.below(3)];
        }
        match decode(&file, &limits) {
            Ok(picture) => {
                assert!(picture.width() <= 1000 && picture.height() <= 1000);
                assert!(u64::from(picture.width()) * u64::from(picture.height()) <= 200_000);
                pictures += 1;
            }
            Err(_) => errors += 1,
        }
    }
    assert!(errors > 500 && pictures > 500, "{errors} {pictures}");
}

#[test]
fn what_is_no_picture_is_refused_by_its_first_bytes() {
    assert!(error(b"").contains("no data"));
    assert!(
        error(b"GIF89a\x01\x00")
            .contains("not a JPEG, PNG, WebP, BMP or PNM file; it begins with \"GIF89a")
    );
    assert!(error(b"\x7fELF").contains("\\x7fELF"));
    assert!(error(&[0xff, 0xd8, 0xff]).contains("damaged JPEG"));
    assert!(error(b"\x89PNG\r\n\x1a\n").contains("damaged PNG"));
    assert!(error(b"P6 ").contains("damaged PNM"));
}

/// A JPEG file of a few bytes that says it is of any size.
fn jpeg_header(width: u16, height: u16) -> Vec<u8> {
    let mut file = b"\xff\xd8\xff\xc0\x00\x0b\x08".to_vec();
    file.extend(height.to_be_bytes());
    file.extend(width.to_be_bytes());
    file.extend(b"\x01\x01\x11\x00\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00\x00\xff\xd9");
    file
}

#[test]
fn too_large_pictures_are_refused_by_what_their_header_says() {
    assert!(error(&jpeg_header(65535, 65535)).contains("65535 x 65535 is too large"));
    assert!(error(&jpeg_header(16385, 1)).contains("too large"));
    assert!(error(&jpeg_header(9000, 9000)).contains("64000000"));
    assert!(error(&jpeg_header(100, 0)).contains("no pixels"));

    let mut png = encode(&DynamicImage::ImageRgb8(gradient(4, 4)), ImageFormat::Png);
    png[16..24].copy_from_slice(&[0x7f, 0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff]);
    let mut digest = 0xffff_ffff_u32; // PNG checks its header with CRC-32
    for &byte in &png[12..29] {
        digest ^= u32::from(byte);
        for _ in 0..8 {
            digest = if digest & 1 == 1 {
                digest >> 1 ^ 0xedb8_8320
            } else {
                digest >> 1
            };
        }
    }
    png[29..33].copy_from_slice(&(!digest).to_be_bytes());
    assert!(decode(&png, &Limits::default()).is_err());

    assert!(decode(b"P6 4000000000 4000000000 255\n", &Limits::default()).is_err());
    assert!(decode(b"P6 16000 16000 255\n", &Limits::default()).is_err());

    let file = encode(&DynamicImage::ImageRgb8(gradient(20, 10)), ImageFormat::Png);
    let limits = |side, pixels| Limits { side, pixels };
    assert!(decode(&file, &limits(20, 200)).is_ok());
    assert!(decode(&file, &limits(19, 200)).is_err());
    assert!(decode(&file, &limits(20, 199)).is_err());
}

#[test]
fn a_second_frame_header_does_not_slip_past_the_limits() {
    let small = jpeg_header(8, 8);
    let mut file = jpeg_header(16000, 16000);
    let scan = file
        .windows(2)
        .position(|pair| pair == [0xff, 0xda])
        .unwrap();
    file.splice(scan..scan, small[2..15].iter().copied());
    for limits in [
        Limits::default(),
        Limits {
            side: 20_000,
            pixels: 1000,
        },
    ] {
        assert!(decode(&file, &limits).is_err());
    }
}
