//! Values of the tensor, worked out by hand.

use vaccel_vision::{
    ElementType, Frame, InputData, InputTensor, Picture, Prepared, TensorShape, Vision, f16_bits,
};

use crate::common::{Random, describe, gray};

const LOGITS: &str = "format = 'logits'";

fn prepare(input: &str, picture: Picture) -> (InputTensor, Frame) {
    let vision = Vision::new(describe("classify", input, LOGITS), &[]).unwrap();
    let Prepared { input, frame } = vision.prepare_picture(picture).unwrap();
    (input, frame)
}

fn values(input: &str, picture: Picture) -> Vec<f32> {
    match prepare(input, picture).0.data {
        InputData::F32(values) => values,
        other => panic!("{other:?}"),
    }
}

/// 2 x 1: one pixel of (10, 20, 30), one of (200, 150, 100).
fn two() -> Picture {
    Picture::new(2, 1, vec![10, 20, 30, 200, 150, 100]).unwrap()
}

fn noise(width: u32, height: u32, seed: u64) -> Picture {
    let mut random = Random::new(seed);
    let bytes = (0..width * height * 3)
        .map(|_| random.bits() as u8)
        .collect();
    Picture::new(width, height, bytes).unwrap()
}

#[test]
fn layout_and_channels_order_the_values() {
    let keys = |more| format!("width = 2\nheight = 1\nscale = 1\n{more}");
    let cases = [
        ("layout = 'nchw'", vec![10, 200, 20, 150, 30, 100]),
        ("layout = 'nhwc'", vec![10, 20, 30, 200, 150, 100]),
        (
            "layout = 'nchw'\nchannels = 'bgr'",
            vec![30, 100, 20, 150, 10, 200],
        ),
        (
            "layout = 'nhwc'\nchannels = 'bgr'",
            vec![30, 20, 10, 100, 150, 200],
        ),
        // 0.299 * 10 + 0.587 * 20 + 0.114 * 30 = 18.15; 0.299 * 200 + 0.587 * 150 + 0.114 * 100 = 159.25
        ("layout = 'nchw'\nchannels = 'gray'", vec![18, 159]),
        ("layout = 'nhwc'\nchannels = 'gray'", vec![18, 159]),
    ];
    for (more, wanted) in cases {
        let wanted: Vec<f32> = wanted.into_iter().map(|v: u8| f32::from(v)).collect();
        assert_eq!(values(&keys(more), two()), wanted, "{more}");
    }
}

#[test]
fn values_are_scaled_then_moved_then_divided_in_the_order_of_the_channels() {
    let keys =
        "width = 2\nheight = 1\nmean = [0.1, 0.2, 0.3]\nstd = [0.5, 0.25, 2]\nchannels = 'bgr'";
    let expected: Vec<f32> = [
        (30.0, 0.1, 0.5),
        (100.0, 0.1, 0.5),
        (20.0, 0.2, 0.25),
        (150.0, 0.2, 0.25),
        (10.0, 0.3, 2.0),
        (200.0, 0.3, 2.0),
    ]
    .map(|(pixel, mean, std): (f64, f64, f64)| ((pixel / 255.0 - mean) / std) as f32)
    .to_vec();
    for (got, want) in values(keys, two()).iter().zip(expected) {
        assert!((got - want).abs() < 1e-6, "{got} {want}");
    }
    assert_eq!(
        values("width = 2\nheight = 1\nscale = 0.0078125\nmean = 1", two())[..2],
        [10.0 / 128.0 - 1.0, 200.0 / 128.0 - 1.0]
    );
}

#[test]
fn upscaling_is_bilinear_to_the_rounding() {
    let (width, height) = (7, 5);
    let picture = noise(width, height, 3);
    for (w, h) in [(14, 10), (23, 17), (7, 40), (64, 5)] {
        let keys = format!("width = {w}\nheight = {h}\nscale = 1\nlayout = 'nhwc'");
        let got = values(&keys, picture.clone());
        // The textbook: centres of pixels line up, edges repeat.
        let tap = |at: u32, to: u32, from: u32| {
            let position = (f64::from(at) + 0.5) * f64::from(from) / f64::from(to) - 0.5;
            let low = position.floor();
            let clamp = |v: f64| v.clamp(0.0, f64::from(from - 1)) as usize;
            (clamp(low), clamp(low + 1.0), position - low)
        };
        let pixel = |x: usize, y: usize, c: usize| {
            f64::from(picture.rgb()[(y * width as usize + x) * 3 + c])
        };
        for y in 0..h {
            for x in 0..w {
                let ((x0, x1, fx), (y0, y1, fy)) = (tap(x, w, width), tap(y, h, height));
                for c in 0..3 {
                    let mix = |y| pixel(x0, y, c) * (1.0 - fx) + pixel(x1, y, c) * fx;
                    let want = mix(y0) * (1.0 - fy) + mix(y1) * fy;
                    let got = f64::from(got[((y * w + x) * 3) as usize + c]);
                    // Two passes round to bytes, so up to 1 beside the rounding itself.
                    assert!(
                        (got - want).abs() <= 1.01,
                        "{w}x{h} at {x},{y}: {got} {want}"
                    );
                }
            }
        }
    }
}

#[test]
fn shrinking_averages_what_it_leaves_out() {
    // Halving with a triangle of width 4 weighs 1 3 3 1; over a checkerboard that is the mean.
    let board = |x: u32, y: u32| if (x + y).is_multiple_of(2) { 200 } else { 100 };
    let bytes = (0..16 * 16)
        .flat_map(|i| [board(i % 16, i / 16); 3])
        .collect();
    let picture = Picture::new(16, 16, bytes).unwrap();
    let keys = "width = 8\nheight = 8\nscale = 1\nlayout = 'nhwc'";
    let got = values(keys, picture.clone());
    for y in 1..7 {
        for x in 1..7 {
            assert_eq!(got[(y * 8 + x) * 3], 150.0);
        }
    }
    let nearest = values(&format!("{keys}\nfilter = 'nearest'"), picture);
    assert!(nearest.iter().all(|&v| v == 100.0 || v == 200.0));
}

#[test]
fn an_even_picture_stays_even_under_every_filter() {
    for filter in ["nearest", "bilinear", "bicubic", "lanczos"] {
        for size in ["width = 31\nheight = 9", "width = 5\nheight = 50"] {
            let got = values(
                &format!("{size}\nfilter = '{filter}'\nscale = 1"),
                gray(20, 20),
            );
            assert!(got.iter().all(|&v| v == 128.0), "{filter}");
        }
    }
}

#[test]
fn a_letterbox_keeps_the_shape_and_fills_the_rest() {
    // 40 x 20 into 64 x 64: 64 x 32 with 16 rows above and below.
    for (layout, pad, fill) in [("nchw", "", 114.0), ("nhwc", "pad = 0", 0.0)] {
        let keys = format!(
            "width = 64\nheight = 64\nscale = 1\nlayout = '{layout}'\nresize = 'letterbox'\n{pad}"
        );
        let (tensor, frame) = prepare(&keys, gray(40, 20));
        let InputData::F32(got) = tensor.data else {
            panic!()
        };
        for (index, &value) in got.iter().enumerate() {
            let row = if layout == "nchw" {
                index % 4096 / 64
            } else {
                index / 192
            };
            let wanted = if (16..48).contains(&row) { 128.0 } else { fill };
            assert_eq!(value, wanted, "{layout} row {row}");
        }
        let transform = frame.transform();
        assert_eq!(transform.to_input(0.0, 0.0), (0.0, 16.0));
        assert_eq!(transform.to_input(40.0, 20.0), (64.0, 48.0));
    }
    // 20 x 41 into 64 x 64: 31 x 64, an odd rest goes right: 16 left, 17 right.
    let keys = "width = 64\nheight = 64\nscale = 1\nresize = 'letterbox'";
    let row: Vec<f32> = values(keys, gray(20, 41))[..64].to_vec();
    assert!(row[..16].iter().chain(&row[47..]).all(|&v| v == 114.0));
    assert!(row[16..47].iter().all(|&v| v == 128.0));
}

#[test]
fn a_center_crop_takes_the_middle_of_the_resized_picture() {
    // 300 x 100, shorter side to 100: nothing is resized, columns 118..182 and rows 18..82 stay.
    let bytes = (0..300 * 100)
        .flat_map(|i: u32| [(i % 300 / 2) as u8, (i / 300) as u8, 0])
        .collect();
    let picture = Picture::new(300, 100, bytes).unwrap();
    let keys = "width = 64\nheight = 64\nscale = 1\nresize = 'center-crop'\nresize_to = 100\nlayout = 'nhwc'";
    let (tensor, frame) = prepare(keys, picture);
    let InputData::F32(got) = tensor.data else {
        panic!()
    };
    for y in 0..64 {
        for x in 0..64 {
            let at = (y * 64 + x) * 3;
            assert_eq!(got[at..at + 2], [((x + 118) / 2) as f32, (y + 18) as f32]);
        }
    }
    assert_eq!(frame.transform().to_picture(0.0, 0.0), (118.0, 18.0));
    // A strip that would be resized to 1.6 million pixels a row is cut first.
    let strip = gray(16000, 1);
    let got = values(
        "width = 100\nheight = 100\nscale = 1\nresize = 'center-crop'\nresize_to = 8000",
        strip,
    );
    assert!(got.iter().all(|&v| v == 128.0));
}

#[test]
fn coordinates_survive_the_way_there_and_back() {
    let mut random = Random::new(11);
    for _ in 0..300 {
        let (width, height) = (1 + random.below(900) as u32, 1 + random.below(900) as u32);
        let (w, h) = (1 + random.below(300), 1 + random.below(300));
        let resize = ["stretch", "letterbox", "center-crop"][random.below(3)];
        let keys = format!("width = {w}\nheight = {h}\nresize = '{resize}'\nfilter = 'nearest'");
        let (tensor, frame) = prepare(&keys, gray(width, height));
        assert_eq!(tensor.shape, [1, 3, h, w]);
        let t = frame.transform();
        let (x, y) = (f64::from(width) * 0.3, f64::from(height) * 0.9);
        let (u, v) = t.to_input(x, y);
        let (back_x, back_y) = t.to_picture(u, v);
        assert!((back_x - x).abs() < 1e-9 && (back_y - y).abs() < 1e-9);
        // Inside for a letterbox and stretch, covering for a crop; the two scales agree to a pixel.
        let (left, top) = t.to_input(0.0, 0.0);
        let (right, bottom) = t.to_input(f64::from(width), f64::from(height));
        let (w, h) = (w as f64, h as f64);
        match resize {
            "center-crop" => {
                assert!(left <= 0.0 && top <= 0.0 && right >= w - 1e-9 && bottom >= h - 1e-9)
            }
            _ => assert!(left >= 0.0 && top >= 0.0 && right <= w + 1e-9 && bottom <= h + 1e-9),
        }
        if resize == "letterbox" {
            assert!((right - left - w).abs() < 1e-6 || (bottom - top - h).abs() < 1e-6);
            let ideal = (w / f64::from(width)).min(h / f64::from(height));
            assert!((t.scale_x - ideal).abs() * f64::from(width) <= 1.0);
            assert!((t.scale_y - ideal).abs() * f64::from(height) <= 1.0);
        }
    }
}

#[test]
fn tensors_of_bytes_and_half_precision_are_made_in_their_type() {
    let shape = |element| TensorShape {
        element,
        ..TensorShape::f32("image", &[1, 1, 2, 3])
    };
    let data = |input: &str, element| {
        let vision = Vision::new(describe("classify", input, LOGITS), &[shape(element)]).unwrap();
        vision.prepare_picture(two()).unwrap().input
    };
    // Bytes are pixels unless the description says otherwise; the layout is told by the shape.
    let bytes = data("", ElementType::U8);
    assert_eq!(bytes.data, InputData::U8(vec![10, 20, 30, 200, 150, 100]));
    assert_eq!(
        (bytes.name.as_deref(), bytes.shape),
        (Some("image"), vec![1, 1, 2, 3])
    );
    // Out of range saturates, halves go to even.
    let moved = data("scale = 2\nmean = 60.5", ElementType::U8);
    assert_eq!(moved.data, InputData::U8(vec![0, 0, 0, 255, 240, 140]));
    let half = data("", ElementType::F16);
    let wanted = [10, 20, 30, 200, 150, 100].map(|v: u8| f16_bits((f64::from(v) / 255.0) as f32));
    assert_eq!(half.data, InputData::F16(wanted.to_vec()));
}

#[test]
fn the_callers_memory_gets_the_same_values() {
    let vision = Vision::new(describe("classify", "width = 20\nheight = 10", LOGITS), &[]).unwrap();
    let picture = noise(33, 21, 5);
    let mut out = vec![f32::NAN; 600];
    vision.preprocess().run_into(&picture, &mut out).unwrap();
    assert_eq!(
        vision.prepare_picture(picture.clone()).unwrap().input.data,
        InputData::F32(out)
    );
    assert!(
        vision
            .preprocess()
            .run_into(&picture, &mut [0.0; 599])
            .is_err()
    );
}
