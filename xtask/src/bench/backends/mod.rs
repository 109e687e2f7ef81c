//! What vaccel adds to the runtimes of its backends: models through the library, in turns with the same
//! runtime called directly; products of matrices beside the processor's peak; pictures made ready.
//!
//! Each backend is measured in processes of its own, several for each model: where a model comes to
//! lie in memory changes its speed by a percent or two, and neither side may have all the luck.

mod clients;
mod direct;
mod job;
mod page;
mod pair;
mod products;

pub(crate) use job::{Job, child};
pub(super) use page::write;

use super::figure::Figure;
use super::sample::{median, quantile};
use crate::nets;
use crate::process::{root, target_dir};
use anyhow::{Context, Result};
use job::Outcome;
use pair::Times;
use std::path::{Path, PathBuf};
use std::time::Instant;
use vaccel_vision::{Description, TensorShape, Vision};

#[path = "../../../../crates/vision/examples/preprocess_bench/photo.rs"]
mod photo;

/// Most that a run through vaccel may take of one without it.
const LIMIT: f64 = 1.01;
/// Most that the built-in engine may take of ONNX Runtime, ResNet-50.
const BUILT_IN_LIMIT: f64 = 1.6;
/// Share of the processor's peak that large products must reach.
const PEAK_SHARE: f64 = 0.9;
/// Products from this size on are large.
const LARGE: usize = 1024;
/// Most that a picture of 920 x 920 may take from file to tensor, milliseconds.
const PICTURE_LIMIT: f64 = 2.2;
/// Processes for each model, half of which load it directly first.
const STARTS: usize = 4;

/// A model in a format.
struct Case {
    net: &'static str,
    /// As figures call it, where a backend reads several.
    format: &'static str,
    model: PathBuf,
    shape: &'static [usize],
    /// Seconds of each process.
    seconds: f64,
    /// Whether the limit is meant for it: for ResNet-50, of which a percent is more than a copy of a
    /// tensor.
    limited: bool,
}

/// What is measured with a backend.
struct Backend {
    name: &'static str,
    cases: Vec<Case>,
}

/// Measures; `only` names backends, all when it is empty.
pub(super) fn run(prefix: &Path, only: &[String]) -> Result<Vec<Figure>> {
    let wanted = |name: &str| only.is_empty() || only.iter().any(|n| n == name);
    let mut figures = Vec::new();
    for backend in backends()? {
        if wanted(backend.name) {
            for case in &backend.cases {
                eprintln!("{}, {}", backend.name, case.net);
                figures.push(case.figure(backend.name, prefix));
            }
        }
    }
    if wanted("onnx") {
        eprintln!("onnx beside onnxruntime");
        figures.push(beside(prefix)?);
    }
    if wanted("batching") {
        for (net, folder) in [("digits", "digits-8x8"), ("classify", "classify")] {
            eprintln!("batching, {net}");
            let shape: &[usize] = match net {
                "digits" => &[1, 1, 8, 8],
                _ => &[1, 3, 224, 224],
            };
            let model = root().join("models").join(folder).join("model.onnx");
            figures.extend(clients::run(prefix, net, &model, shape)?);
        }
    }
    if wanted("blas") {
        for engine in ["gemm", "openblas"] {
            eprintln!("blas, {engine}");
            figures.extend(rates(engine, prefix));
        }
    }
    if wanted("vision") {
        eprintln!("pictures");
        figures.push(picture()?);
    }
    Ok(figures)
}

/// Backends and their models.
fn backends() -> Result<Vec<Backend>> {
    let folder = target_dir().join("bench");
    // Pictures have their channels first or last.
    let (first, last): (&[usize], &[usize]) = (&[1, 3, 224, 224], &[1, 224, 224, 3]);
    let large = |format, shape, file: fn(&Path, &str) -> Result<PathBuf>| -> Result<Vec<Case>> {
        let case = |net, seconds| -> Result<Case> {
            Ok(Case {
                net,
                format,
                model: file(&folder, net)?,
                shape,
                seconds,
                limited: net == "resnet50",
            })
        };
        Ok(vec![case("resnet50", 6.0)?, case("mobilenetv2", 3.0)?])
    };
    let digits = |format, file: &str| Case {
        net: "digits",
        format,
        model: root().join("models/digits-8x8").join(file),
        shape: &[1, 1, 8, 8],
        seconds: 1.0,
        limited: false,
    };
    let onnx = |folder: &Path, net: &str| Ok(nets::folder(folder, net)?.join("model.onnx"));
    let backend = |name, mut cases: Vec<Case>, small| {
        cases.push(small);
        Backend { name, cases }
    };
    let of_onnx = |name| -> Result<Backend> {
        let small = digits("onnx", "model.onnx");
        Ok(backend(name, large("onnx", first, onnx)?, small))
    };
    Ok(vec![
        of_onnx("onnxruntime")?,
        of_onnx("openvino")?,
        of_onnx("onnx")?,
        backend(
            "tflite",
            large("tflite", last, nets::tflite)?,
            digits("tflite", "tflite/model.tflite"),
        ),
        backend(
            "tf",
            large("frozen graph", last, nets::frozen_graph)?,
            digits("frozen graph", "graphdef/model.pb"),
        ),
        backend(
            "torch",
            large("torchscript", first, nets::torchscript)?,
            digits("torchscript", "torchscript/model.pt"),
        ),
    ])
}

impl Case {
    fn figure(&self, backend: &str, prefix: &Path) -> Figure {
        let job = Job {
            model: Some(self.model.clone()),
            shape: self.shape.to_vec(),
            seconds: self.seconds,
            ..Job::new(backend, prefix)
        };
        let name = format!("{backend}, {}, {}", self.net, self.format);
        let limit = self.limited.then_some(LIMIT);
        pooled(&name, &job, limit)
    }
}

/// The figure of several processes that do the same.
fn pooled(name: &str, job: &Job, limit: Option<f64>) -> Figure {
    let mut all: Option<Times> = None;
    for start in 0..STARTS {
        let job = Job {
            direct_first: start % 2 == 1,
            ..job.clone()
        };
        match job.start(&[]) {
            Ok(Outcome::Pair(times)) => match &mut all {
                None => all = Some(times),
                Some(all) => {
                    all.through.extend(times.through);
                    all.direct.extend(times.direct);
                }
            },
            Ok(Outcome::Skipped(why)) => return Figure::skipped(name, "ms", why),
            Ok(_) => return Figure::missing(name, "ms", "no model was run"),
            Err(error) => return Figure::missing(name, "ms", format!("{error:#}")),
        }
    }
    match all {
        Some(times) => figure(name, times, limit),
        None => Figure::missing(name, "ms", "nothing was measured"),
    }
}

fn figure(name: &str, mut times: Times, limit: Option<f64>) -> Figure {
    // What slows the machine down for a while slows two turns in a row: their ratio is steadier than
    // that of the medians.
    let pairs = times.through.iter().zip(&times.direct);
    let factor = median(&mut pairs.map(|(a, b)| a / b).collect::<Vec<_>>());
    let (through, direct) = (median(&mut times.through), median(&mut times.direct));
    let mut figure = Figure::plain(name, through, "ms").with_floor(direct);
    if let Some(limit) = limit {
        figure = figure.wanted(format!("<= {limit} x floor, pairs"), factor <= limit);
    }
    // Sorted by the median above.
    figure
        .with_p99(quantile(&times.through, 0.99))
        .with_note(format!(
            "{}, {} threads; median of {} pairs of turns {factor:.3}",
            times.runtime,
            times.threads,
            times.through.len()
        ))
}

/// The built-in engine through vaccel beside ONNX Runtime called directly.
fn beside(prefix: &Path) -> Result<Figure> {
    let model = nets::folder(&target_dir().join("bench"), "resnet50")?.join("model.onnx");
    let job = Job {
        model: Some(model),
        shape: vec![1, 3, 224, 224],
        beside: Some("onnxruntime".into()),
        seconds: 6.0,
        ..Job::new("onnx", prefix)
    };
    let name = "onnx beside ONNX Runtime, resnet50";
    Ok(pooled(name, &job, Some(BUILT_IN_LIMIT)))
}

/// Products with one engine of the plugin `blas`.
fn rates(engine: &str, prefix: &Path) -> Vec<Figure> {
    let name = |size: usize| format!("sgemm {size}, {engine}");
    let failed = |why: &dyn Fn(&str) -> Figure| products::SIZES.map(|s| why(&name(s))).to_vec();
    match Job::new("blas", prefix).start(&[("VACCEL_BLAS", engine)]) {
        Ok(Outcome::Products(rates)) => {
            let note = format!("{}, {} threads", rates.engine, rates.threads);
            let sizes = products::SIZES.into_iter().zip(rates.rates);
            sizes
                .map(|(size, (rate, peak))| {
                    let figure = Figure::plain(&name(size), rate, "GF/s").with_floor(peak);
                    let figure = match size {
                        LARGE.. => figure
                            .wanted(format!(">= {PEAK_SHARE} x peak"), rate / peak >= PEAK_SHARE),
                        _ => figure,
                    };
                    figure.with_note(&note)
                })
                .collect()
        }
        // One line says it for all sizes.
        Ok(Outcome::Skipped(why)) => {
            vec![Figure::skipped(&format!("sgemm, {engine}"), "GF/s", why)]
        }
        Ok(_) => failed(&|name| Figure::missing(name, "GF/s", "no product")),
        Err(error) => failed(&|name| Figure::missing(name, "GF/s", format!("{error:#}"))),
    }
}

/// From a JPEG file of 920 x 920 pixels to the tensor of a classifier, on one core.
fn picture() -> Result<Figure> {
    const SECONDS: f64 = 3.0;
    let jpeg = photo::jpeg(920, 920)?;
    let description: Description = "[model]\nname = 'bench'\ntask = 'classify'\n\
         [input]\nlayout = 'nchw'\nresize = 'stretch'\n\
         mean = [0.485, 0.456, 0.406]\nstd = [0.229, 0.224, 0.225]\n\
         [output]\nformat = 'logits'"
        .parse()?;
    let vision = Vision::new(description, &[TensorShape::f32("input", &[1, 3, 224, 224])])?;
    let mut times = Vec::new();
    let begun = Instant::now();
    while begun.elapsed().as_secs_f64() < SECONDS {
        let begin = Instant::now();
        vision.prepare(&jpeg).context("the picture")?;
        times.push(begin.elapsed().as_secs_f64() * 1e3);
    }
    let median = median(&mut times);
    Ok(
        Figure::at_most("JPEG 920 x 920 to tensor", median, "ms", PICTURE_LIMIT)
            .with_p99(quantile(&times, 0.99))
            .with_note(format!("{} bytes, one thread", jpeg.len())),
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn times(through: f64, direct: f64) -> Times {
        Times {
            runtime: "R 1".into(),
            threads: 2,
            through: vec![through; 5],
            direct: vec![direct; 5],
        }
    }

    #[test]
    fn a_run_may_take_a_percent_more_than_one_without_vaccel() {
        assert!(figure("a", times(10.0, 10.0), Some(LIMIT)).ok);
        let slow = figure("a", times(10.2, 10.0), Some(LIMIT));
        assert!(
            !slow.ok
                && slow
                    .note
                    .unwrap()
                    .contains("R 1, 2 threads; median of 5 pairs of turns 1.020")
        );
        // Where a percent is a few instructions it is a figure to know.
        assert!(figure("a", times(10.2, 10.0), None).ok);
    }

    #[test]
    fn every_model_of_the_repository_that_is_measured_is_there() {
        for backend in backends().unwrap() {
            for case in backend.cases {
                assert!(case.model.exists(), "{}", case.model.display());
                assert!(case.shape.iter().product::<usize>() > 0);
            }
        }
    }
}
