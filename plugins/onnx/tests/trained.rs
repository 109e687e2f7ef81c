//! The repository's trained models, on the pictures they were tested with: what
//! comes out of `vaccel.image` must be as good as what their training measured.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::HashMap;
use std::fs;

use serde_json::Value as Json;
use support::npz::{self, Array};
use support::{Session, Tensor, trained};
use vaccel_plugin::Op;

/// A trained model, loaded, and its test pictures as files.
struct Trained {
    session: Session,
    arrays: HashMap<String, Array>,
    metrics: Json,
    pictures: Vec<Vec<u8>>,
    /// Width and height of a picture.
    size: (f64, f64),
}

impl Trained {
    fn open(name: &str) -> Self {
        let folder = trained(name);
        let arrays = npz::read(&folder.join("test.npz"));
        let mut session = Session::new();
        session.add_folder(&folder);
        session.load(0, "").unwrap();
        let [_, height, width, 3] = arrays["images"].shape[..] else {
            panic!("{:?}", arrays["images"].shape)
        };
        let header = format!("P6\n{width} {height}\n255\n");
        let pictures = arrays["images"]
            .bytes
            .chunks_exact(height * width * 3)
            .map(|rgb| [header.as_bytes(), rgb].concat())
            .collect();
        Self {
            session,
            arrays,
            metrics: serde_json::from_slice(&fs::read(folder.join("metrics.json")).unwrap())
                .unwrap(),
            pictures,
            size: (width as f64, height as f64),
        }
    }

    fn ask(&self, picture: &[u8], wanted: &str) -> Tensor {
        let image = Tensor::of("vaccel.image", &[picture.len() as i64], picture);
        self.session.run(0, &[image], &[wanted]).unwrap().remove(0)
    }

    fn result(&self, picture: &[u8]) -> Json {
        serde_json::from_str(self.ask(picture, "vaccel.result").text()).unwrap()
    }

    fn floats(&self, name: &str) -> Vec<f64> {
        let bytes = &self.arrays[name].bytes;
        let read = |b: &[u8; 4]| f64::from(f32::from_le_bytes(*b));
        bytes.as_chunks().0.iter().map(read).collect()
    }

    /// Compares with the value that the training script promises.
    fn check(&self, value: f64) {
        let (metric, threshold) = (
            &self.metrics["metric"],
            self.metrics["threshold"].as_f64().unwrap(),
        );
        println!(
            "{metric}: {value:.5}, threshold {threshold}, trained {}",
            self.metrics["value"]
        );
        let good = match self.metrics["lower_is_better"] == true {
            true => value <= threshold,
            false => value >= threshold,
        };
        assert!(good, "{metric} is {value}, the threshold {threshold}");
    }
}

fn accuracy(name: &str) {
    let model = Trained::open(name);
    let labels = model.arrays["labels"].bytes.as_chunks().0;
    let right = model
        .pictures
        .iter()
        .zip(labels)
        .filter(|(picture, label)| {
            model.result(picture)["classes"][0]["index"] == i64::from_le_bytes(**label)
        });
    model.check(right.count() as f64 / model.pictures.len() as f64);
}

#[test]
fn small_digits_are_named() {
    accuracy("digits-8x8");
}

#[test]
fn digits_on_photographs_are_named() {
    accuracy("classify");
}

#[test]
fn digits_are_found_with_their_boxes() {
    let model = Trained::open("detect");
    let truth: Vec<[f64; 6]> = model.floats("boxes").as_chunks().0.to_vec();
    let (mut hits, mut found) = (0, 0);
    for (index, picture) in model.pictures.iter().enumerate() {
        let mut open: Vec<[f64; 6]> = truth
            .iter()
            .filter(|row| row[0] == index as f64)
            .copied()
            .collect();
        let answer = model.result(picture);
        for detection in answer["boxes"].as_array().unwrap() {
            found += 1;
            let number = |key: &str| detection[key].as_f64().unwrap();
            let own = ["x", "y", "width", "height"].map(number);
            let same_class = |row: &[f64; 6]| row[1] == number("index");
            let overlaps = open.iter().map(|row| {
                if same_class(row) {
                    overlap(own, [row[2], row[3], row[4], row[5]])
                } else {
                    0.0
                }
            });
            let best = overlaps.enumerate().max_by(|a, b| a.1.total_cmp(&b.1));
            if let Some((at, share)) = best
                && share >= 0.5
            {
                hits += 1;
                open.remove(at);
            }
        }
    }
    model.check(2.0 * f64::from(hits) / (f64::from(found) + truth.len() as f64));
}

/// Intersection over union of boxes x, y, width, height.
fn overlap(a: [f64; 4], b: [f64; 4]) -> f64 {
    let side = |at: usize| ((a[at] + a[at + 2]).min(b[at] + b[at + 2]) - a[at].max(b[at])).max(0.0);
    let shared = side(0) * side(1);
    shared / (a[2] * a[3] + b[2] * b[3] - shared)
}

#[test]
fn pixels_of_digits_are_told_from_the_ground() {
    let model = Trained::open("segment");
    let pixels = (model.size.0 * model.size.1) as usize;
    let mut table = vec![[0_u64; 11]; 11];
    for (picture, mask) in model
        .pictures
        .iter()
        .zip(model.arrays["masks"].bytes.chunks_exact(pixels))
    {
        let map = model.ask(picture, "vaccel.map");
        assert_eq!(map.bytes.len(), pixels);
        for (wanted, found) in mask.iter().zip(&map.bytes) {
            table[usize::from(*wanted)][usize::from(*found)] += 1;
        }
    }
    let shares: Vec<f64> = (0..11)
        .filter_map(|class| {
            let rows: u64 = table[class].iter().sum();
            let columns: u64 = table.iter().map(|row| row[class]).sum();
            let whole = rows + columns - table[class][class];
            (whole > 0).then(|| table[class][class] as f64 / whole as f64)
        })
        .collect();
    model.check(shares.iter().sum::<f64>() / shares.len() as f64);
}

#[test]
fn points_of_a_figure_are_near_the_true_ones() {
    let model = Trained::open("pose");
    let truth: Vec<[f64; 2]> = model.floats("points").as_chunks().0.to_vec();
    let each = truth.len() / model.pictures.len();
    let limit = 0.05 * model.size.0.hypot(model.size.1);
    let mut near = 0;
    for (picture, truth) in model.pictures.iter().zip(truth.chunks_exact(each)) {
        let answer = model.result(picture);
        let points = answer["people"][0]["points"].as_array().unwrap();
        assert_eq!(points.len(), each);
        for (point, [x, y]) in points.iter().zip(truth) {
            let (dx, dy) = (
                point["x"].as_f64().unwrap() - x,
                point["y"].as_f64().unwrap() - y,
            );
            near += u32::from(dx.hypot(dy) <= limit);
        }
    }
    model.check(f64::from(near) / truth.len() as f64);
}

#[test]
fn distances_are_near_the_true_ones() {
    let model = Trained::open("depth");
    let pixels = (model.size.0 * model.size.1) as usize;
    let truth = model.arrays["depth"].bytes.as_chunks().0;
    let mut sum = 0.0;
    for (picture, truth) in model.pictures.iter().zip(truth.chunks_exact(pixels)) {
        let map = model.ask(picture, "vaccel.map").values::<f32>();
        assert_eq!(map.len(), pixels);
        let errors = map.iter().zip(truth).map(|(found, truth)| {
            let truth = f64::from(vaccel_vision::f16_value(u16::from_le_bytes(*truth)));
            (f64::from(*found) - truth).abs() / truth
        });
        sum += errors.sum::<f64>() / pixels as f64;
    }
    model.check(sum / model.pictures.len() as f64);
}

#[test]
fn the_operations_draw_on_every_sample_picture() {
    for (name, op) in [
        ("detect", Op::ImageDetect),
        ("segment", Op::ImageSegment),
        ("pose", Op::ImagePose),
        ("depth", Op::ImageDepth),
    ] {
        let mut session = Session::new();
        session.add_folder(&trained(name));
        let mut samples = 0;
        for entry in fs::read_dir(trained(name).join("samples")).unwrap() {
            let path = entry.unwrap().path();
            let file = path.file_name().unwrap().to_str().unwrap();
            if file.contains('-') || !(file.ends_with(".jpg") || file.ends_with(".png")) {
                continue;
            }
            samples += 1;
            let drawn = session.picture(op, &fs::read(&path).unwrap()).unwrap();
            assert!(fs::read(drawn).unwrap().starts_with(b"\x89PNG"), "{file}");
        }
        assert!(samples > 0, "{name} has no samples");
    }
}
