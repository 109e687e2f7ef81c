//! Times the way of a picture to a tensor, step by step, on one core.
//!
//! `cargo run --release -p vaccel-vision --example preprocess_bench [PICTURE [SIDE]]`
//! prints medians. Without a picture it makes one of 920 x 920 pixels with the
//! statistics of a photo: smooth shapes, some texture, some noise.

mod photo;

use std::hint::black_box;
use std::time::{Duration, Instant};

use vaccel_vision::{Description, Limits, TensorShape, TensorView, Vision, decode};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let encoded = match arguments.next() {
        Some(path) => std::fs::read(path)?,
        None => photo::jpeg(920, 920)?,
    };
    let side = match arguments.next() {
        Some(side) => side.parse()?,
        None => 224,
    };
    let picture = decode(&encoded, &Limits::default())?;
    println!(
        "{} x {}, {} bytes, to {side} x {side}",
        picture.width(),
        picture.height(),
        encoded.len()
    );

    time("decode", || decode(&encoded, &Limits::default()));
    for layout in ["nchw", "nhwc"] {
        for resize in ["stretch", "letterbox", "center-crop"] {
            let vision = classifier(layout, resize, side)?;
            let mut out = vec![0.0; vision.preprocess().elements()];
            time(&format!("resize and normalise, {layout}, {resize}"), || {
                vision.preprocess().run_into(&picture, &mut out)
            });
        }
    }
    // A picture of the tensor's own size is only normalised.
    let small = {
        let square = image::RgbImage::from_fn(side, side, |x, y| image::Rgb([x as u8, y as u8, 7]));
        vaccel_vision::Picture::new(side, side, square.into_raw())?
    };
    for layout in ["nchw", "nhwc"] {
        let vision = classifier(layout, "stretch", side)?;
        let mut out = vec![0.0; vision.preprocess().elements()];
        time(&format!("normalise alone, {layout}"), || {
            vision.preprocess().run_into(&small, &mut out)
        });
    }
    let vision = classifier("nchw", "stretch", side)?;
    time("all: file to tensor", || vision.prepare(&encoded));

    let scores = [0.1_f32; 1000];
    let outputs = [TensorView::f32("scores", &[1, 1000], &scores)];
    let answer = vision.finish(vision.prepare(&encoded)?.frame, &outputs)?;
    time("annotated picture as PNG", || answer.picture_png());
    println!("{:>10} bytes of PNG", answer.picture_png()?.len());
    Ok(())
}

fn classifier(layout: &str, resize: &str, side: u32) -> Result<Vision, vaccel_vision::Error> {
    let description: Description = format!(
        "[model]
         name = 'bench'
         task = 'classify'
         [input]
         layout = '{layout}'
         resize = '{resize}'
         mean = [0.485, 0.456, 0.406]
         std = [0.229, 0.224, 0.225]
         [output]
         format = 'logits'"
    )
    .parse()?;
    let side = side as usize;
    let dims = match layout {
        "nchw" => [1, 3, side, side],
        _ => [1, side, side, 3],
    };
    Vision::new(description, &[TensorShape::f32("input", &dims)])
}

/// Prints the median of as many runs as two seconds hold.
fn time<T>(what: &str, mut run: impl FnMut() -> T) {
    black_box(run());
    let begin = Instant::now();
    let mut times = Vec::new();
    while begin.elapsed() < Duration::from_secs(2) && times.len() < 5000 {
        let start = Instant::now();
        black_box(run());
        times.push(start.elapsed());
    }
    times.sort();
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    println!(
        "{:>10.3} ms  (best {:.3}, {} runs)  {what}",
        ms(times[times.len() / 2]),
        ms(times[0]),
        times.len()
    );
}
