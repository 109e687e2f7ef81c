//! `cargo xtask models`: evaluates the shipped models on their test sets, through
//! the library and the embedded backend, the way a program uses them.

use crate::demo::truth::{Box, matches};
use crate::process::{OWN, command, root, run as run_command, target_dir};
use crate::stage;
use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::Value;
use std::collections::HashMap;
use std::fs::File;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use vaccel::{Config, Dtype, Model, Resource, ResourceType, Session, Tensor};
use vaccel_vision::f16_value;

#[derive(clap::Args)]
#[command(
    after_help = "To train the models again: python models/train/train.py all, see models/README.md."
)]
pub(crate) struct Options {
    /// Evaluate, and fail below the recorded accuracy.
    #[arg(long, required = true)]
    check: bool,
    /// Use this staged installation instead of building one.
    #[arg(long, value_name = "DIR")]
    prefix: Option<PathBuf>,
}

/// `metrics.json` beside a model.
#[derive(Deserialize)]
struct Metrics {
    metric: String,
    value: f64,
    threshold: f64,
    lower_is_better: bool,
    test_set: String,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    debug_assert!(options.check);
    let prefix = match &options.prefix {
        Some(prefix) => prefix.clone(),
        None => {
            let prefix = target_dir().join("stage/release");
            stage::install(&prefix, "release")?;
            prefix
        }
    };
    // SAFETY: called before this program has a second thread.
    unsafe {
        std::env::set_var(
            "VACCEL_LIBRARY",
            std::fs::canonicalize(prefix)?.join("lib/libvaccel.so.0"),
        );
        std::env::set_var("VACCEL_BOOTSTRAP_ENABLED", "0");
    }
    vaccel::bootstrap_with(&Config {
        plugins: vec!["onnx".into()],
        ..Config::default()
    })?;
    let session = Session::new()?;
    let mut folders: Vec<PathBuf> = std::fs::read_dir(root().join("models"))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.join("metrics.json").exists())
        .collect();
    folders.sort();
    if folders.is_empty() {
        bail!("there is no models/*/metrics.json");
    }
    println!(
        "{:<12} {:<14} {:>8} {:>8} {:>8}",
        "model", "metric", "value", "recorded", "needed"
    );
    let mut failed = Vec::new();
    for folder in folders {
        let name = folder
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let metrics: Metrics = serde_json::from_slice(&std::fs::read(folder.join("metrics.json"))?)
            .with_context(|| format!("in {name}/metrics.json"))?;
        let value = evaluate(&session, &folder, &metrics).with_context(|| name.clone())?;
        let passed = if metrics.lower_is_better {
            value <= metrics.threshold
        } else {
            value >= metrics.threshold
        };
        println!(
            "{name:<12} {:<14} {value:>8.4} {:>8.4} {:>8.4}  {}",
            metrics.metric,
            metrics.value,
            metrics.threshold,
            if passed { "ok" } else { "MISSED" }
        );
        if !passed {
            failed.push(name);
        }
    }
    if !failed.is_empty() {
        bail!("below the recorded accuracy: {}", failed.join(", "));
    }
    Ok(())
}

/// Checks with a staged installation, in a process of its own: a process has one library.
pub(crate) fn check_staged(prefix: &Path) -> Result<()> {
    run_command(
        command(OWN)
            .args(["models", "--check", "--prefix"])
            .arg(prefix),
    )
}

fn evaluate(session: &Session, folder: &Path, metrics: &Metrics) -> Result<f64> {
    let set = read_npz(&folder.join(&metrics.test_set))?;
    let images = set.get("images").context("the test set has no `images`")?;
    let &[count, height, width, 3] = images.shape() else {
        bail!(
            "`images` has the shape {:?}, not [N, H, W, 3]",
            images.shape()
        );
    };
    let resource = Resource::open(folder, ResourceType::Model)?;
    let model = Model::load(session, &resource, "")?;
    let pixels = images.as_slice::<u8>()?;
    let (mut got, mut possible) = (0.0, 0.0);
    let mut overlap = Overlap::new();
    for i in 0..count {
        let size = height * width * 3;
        let png = encode(&pixels[i * size..][..size], width, height)?;
        let input = Tensor::from_slice(&[png.len()], &png)?;
        let (a, b) = match metrics.metric.as_str() {
            "accuracy" => accuracy(&model, &input, &set, i)?,
            "f1@iou0.5" => f1(&model, &input, &set, i)?,
            "miou" => {
                // Not a mean over pictures: the last value is that of the whole set.
                (got, possible) = (0.0, 0.0);
                miou(&model, &input, &set, i, width * height, &mut overlap)?
            }
            "pck@0.05" => pck(&model, &input, &set, i, width as f64, height as f64)?,
            "abs_rel" => abs_rel(&model, &input, &set, i, width * height)?,
            other => bail!("`{other}` is not a metric"),
        };
        got += a;
        possible += b;
    }
    Ok(got / possible)
}

type Set = HashMap<String, Tensor>;

fn accuracy(model: &Model, input: &Tensor, set: &Set, i: usize) -> Result<(f64, f64)> {
    let truth = array::<i64>(set, "labels")?[i];
    let found = result(model, input)?["classes"][0]["index"].as_i64();
    Ok((f64::from(u8::from(found == Some(truth))), 1.0))
}

fn f1(model: &Model, input: &Tensor, set: &Set, i: usize) -> Result<(f64, f64)> {
    let truth: Vec<Box> = array::<f32>(set, "boxes")?
        .chunks_exact(6)
        .filter(|row| row[0] as usize == i)
        .map(|row| Box {
            x: row[2].into(),
            y: row[3].into(),
            width: row[4].into(),
            height: row[5].into(),
            label: (row[1] as i64).to_string(),
        })
        .collect();
    let answer = result(model, input)?;
    let number = |b: &Value, key: &str| b[key].as_f64().unwrap_or(f64::NAN);
    let found: Vec<Box> = answer["boxes"]
        .as_array()
        .context("no boxes")?
        .iter()
        .map(|b| Box {
            x: number(b, "x"),
            y: number(b, "y"),
            width: number(b, "width"),
            height: number(b, "height"),
            label: b["index"].to_string(),
        })
        .collect();
    let matched = matches(&truth, &found);
    Ok((2.0 * matched as f64, (truth.len() + found.len()) as f64))
}

/// Counts one picture; what all of them come to is asked for at the end.
fn miou(
    model: &Model,
    input: &Tensor,
    set: &Set,
    i: usize,
    pixels: usize,
    overlap: &mut Overlap,
) -> Result<(f64, f64)> {
    let map = output(model, input, "vaccel.map")?;
    let truth = &array::<u8>(set, "masks")?[i * pixels..][..pixels];
    overlap.add(truth, map.as_slice::<u8>()?);
    Ok((overlap.mean(), 1.0))
}

/// Pixels of each class in the truth and in answers, over all pictures of a set.
pub(crate) struct Overlap {
    both: [u64; 256],
    either: [u64; 256],
}

impl Overlap {
    pub(crate) fn new() -> Self {
        Self {
            both: [0; 256],
            either: [0; 256],
        }
    }

    /// Counts the pixels of one picture.
    pub(crate) fn add(&mut self, truth: &[u8], found: &[u8]) {
        for (&t, &f) in truth.iter().zip(found) {
            self.either[t as usize] += 1;
            if t == f {
                self.both[t as usize] += 1;
            } else {
                self.either[f as usize] += 1;
            }
        }
    }

    /// Intersection over union, mean of the classes that either side names.
    pub(crate) fn mean(&self) -> f64 {
        let ious: Vec<f64> = self
            .both
            .iter()
            .zip(self.either)
            .filter(|&(_, either)| either > 0)
            .map(|(&both, either)| both as f64 / either as f64)
            .collect();
        ious.iter().sum::<f64>() / ious.len() as f64
    }
}

fn pck(
    model: &Model,
    input: &Tensor,
    set: &Set,
    i: usize,
    width: f64,
    height: f64,
) -> Result<(f64, f64)> {
    let points = set.get("points").context("no `points`")?;
    let count = points.shape().get(1).copied().unwrap_or(0);
    let truth = &array::<f32>(set, "points")?[i * count * 2..][..count * 2];
    let found = result(model, input)?["people"][0]["points"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let near = width.hypot(height) * 0.05;
    let right = truth
        .chunks_exact(2)
        .zip(&found)
        .filter(|(t, f)| {
            let at = |key: &str| f[key].as_f64().unwrap_or(f64::NAN);
            (at("x") - f64::from(t[0])).hypot(at("y") - f64::from(t[1])) <= near
        })
        .count();
    Ok((right as f64, count as f64))
}

fn abs_rel(
    model: &Model,
    input: &Tensor,
    set: &Set,
    i: usize,
    pixels: usize,
) -> Result<(f64, f64)> {
    let map = output(model, input, "vaccel.map")?;
    let depth = set.get("depth").context("the test set has no `depth`")?;
    if depth.dtype() != Dtype::F16 {
        bail!("`depth` is {}, not f16", depth.dtype().name());
    }
    let truth: Vec<f32> = depth
        .bytes()
        .chunks_exact(2)
        .skip(i * pixels)
        .take(pixels)
        .map(|b| f16_value(u16::from_ne_bytes([b[0], b[1]])))
        .collect();
    Ok((mean_relative_error(&truth, map.as_slice::<f32>()?), 1.0))
}

/// Mean of |found - true| / true.
pub(crate) fn mean_relative_error(truth: &[f32], found: &[f32]) -> f64 {
    let sum: f64 = truth
        .iter()
        .zip(found)
        .map(|(&t, &f)| f64::from((f - t).abs() / t.max(1e-6)))
        .sum();
    sum / truth.len() as f64
}

fn array<'a, T: vaccel::Number>(set: &'a Set, name: &str) -> Result<&'a [T]> {
    let tensor = set
        .get(name)
        .with_context(|| format!("the test set has no `{name}`"))?;
    Ok(tensor.as_slice()?)
}

fn output(model: &Model, input: &Tensor, name: &str) -> Result<Tensor> {
    model
        .run_named(&[("vaccel.image", input)], &[name])?
        .pop()
        .with_context(|| format!("no output `{name}`"))
}

fn result(model: &Model, input: &Tensor) -> Result<Value> {
    Ok(serde_json::from_slice(
        output(model, input, "vaccel.result")?.bytes(),
    )?)
}

fn encode(pixels: &[u8], width: usize, height: usize) -> Result<Vec<u8>> {
    let mut png = Cursor::new(Vec::new());
    let (width, height) = (u32::try_from(width)?, u32::try_from(height)?);
    image::RgbImage::from_raw(width, height, pixels.to_vec())
        .context("the picture has too few pixels")?
        .write_to(&mut png, image::ImageFormat::Png)?;
    Ok(png.into_inner())
}

/// Arrays of a file of NumPy's `.npz` format: a ZIP archive of `.npy` files.
fn read_npz(path: &Path) -> Result<Set> {
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut archive = zip::ZipArchive::new(file)?;
    let mut set = Set::new();
    for i in 0..archive.len() {
        let entry = archive.by_index(i)?;
        let name = entry.name()?.trim_end_matches(".npy").to_string();
        set.insert(name, Tensor::read_npy(entry)?);
    }
    Ok(set)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn overlap_counts_every_class_that_either_side_names() {
        let mut overlap = Overlap::new();
        overlap.add(&[0, 0, 1, 1], &[0, 0, 1, 1]);
        assert_eq!(overlap.mean(), 1.0);
        // Class 0: 3 of 4, class 1: 4 of 4, class 2: 0 of 1.
        overlap.add(&[0, 0, 1, 1], &[0, 2, 1, 1]);
        assert!((overlap.mean() - 1.75 / 3.0).abs() < 1e-12);
    }

    #[test]
    fn the_relative_error_is_relative_to_the_truth() {
        assert!((mean_relative_error(&[2.0, 4.0], &[1.0, 4.0]) - 0.25).abs() < 1e-9);
    }
}
