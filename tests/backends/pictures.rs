//! The models of pictures: their numbers are those of the ONNX file, and they find what there is.

use std::path::{Path, PathBuf};

use serde_json::Value as Json;

use super::models::{MODELS, forms, loaded, ports};
use super::support::npz;
use super::support::{Session, Tensor, trained};
use super::{ready, record};

/// Pictures of each model that are asked about.
const ASKED: usize = 3;

#[test]
fn every_task_is_answered_as_well_as_it_was_trained_with_the_numbers_of_the_onnx_file() {
    if !ready() {
        return;
    }
    for model in MODELS.iter().filter(|model| **model != "digits-8x8") {
        for (form, path) in forms(model) {
            let session = loaded(&path);
            let asked = ask(&session, model);
            let off = off(&session, model);
            println!("{model}, {}: off by {off:.1e} of the largest", form.shown);
            assert!(off <= form.off, "{model}, {}: {off}", form.shown);
            record(model, form.shown, &format!("{asked} pictures, {off:.0e}"));
        }
    }
}

/// Shows it its sample pictures and compares the answers with what is on them; how many.
fn ask(session: &Session, model: &str) -> usize {
    let samples = trained(model).join("samples");
    let mut pictures: Vec<PathBuf> = std::fs::read_dir(&samples)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|p| p.extension().is_some_and(|e| e == "jpg"))
        .collect();
    pictures.sort();
    pictures.truncate(ASKED);
    let truth = std::fs::read(samples.join("truth.json")).unwrap();
    let truth = serde_json::from_slice(&truth).unwrap();
    for picture in &pictures {
        let bytes = std::fs::read(picture).unwrap();
        let image = Tensor::of("vaccel.image", &[bytes.len() as i64], &bytes);
        let answer = session.run(0, &[image], &["vaccel.result"]);
        let answer = answer.unwrap_or_else(|e| panic!("{}: {e:?}", picture.display()));
        let answer: Json = serde_json::from_str(answer[0].text()).unwrap();
        check_against_truth(model, picture, &answer, &truth);
    }
    assert_eq!(pictures.len(), ASKED, "{}", samples.display());
    ASKED
}

/// How far its numbers are from those of the ONNX file at most, as a part of the largest, for the first
/// picture of the test set: `models/train/formats.py` has the same computation.
fn off(session: &Session, model: &str) -> f32 {
    let (first, out) = ports(session);
    let arrays = npz::read(&trained(model).join("test.npz"));
    let images = &arrays["images"];
    let (side, [height, width]) = (224, [images.shape[1], images.shape[2]]);
    let last = first.channels_last();
    let mut values = Vec::with_capacity(3 * side * side);
    let file = format!("../../tests/backends/reference-{model}.npz");
    let reference = npz::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join(file));
    let (mean, std) = (reference["mean"].f32s(), reference["std"].f32s());
    let value = |y: usize, x: usize, channel: usize| {
        let at = ((y * height / side) * width + x * width / side) * 3 + channel;
        (f32::from(images.bytes[at]) / 255.0 - mean[channel]) / std[channel]
    };
    // The index that changes fastest is the last one.
    let places = (0..side).flat_map(|y| (0..side).map(move |x| (y, x)));
    let shape = if last {
        values.extend(places.flat_map(|(y, x)| (0..3).map(move |c| value(y, x, c))));
        [1, side, side, 3]
    } else {
        values.extend((0..3).flat_map(|c| places.clone().map(move |(y, x)| value(y, x, c))));
        [1, 3, side, side]
    };
    let input = Tensor::of(&first.name, &shape.map(|d| d as i64), &values);
    let got = session.run(0, &[input], &[&out.name]).unwrap().remove(0);
    let values: Vec<f32> = match (last, &got.shape[..]) {
        (true, &[1, height, width, channels]) => {
            let values = got.values::<f32>();
            let (cells, channels) = ((height * width) as usize, channels as usize);
            let cell = |c: usize| (0..cells).map(move |cell| cell * channels + c);
            (0..channels).flat_map(cell).map(|at| values[at]).collect()
        }
        _ => got.values(),
    };
    let stride = reference["stride"].i64s()[0] as usize;
    let expected = reference["values"].f32s();
    let got: Vec<f32> = values.into_iter().step_by(stride).collect();
    assert_eq!(got.len(), expected.len(), "{model}");
    let largest = expected.iter().fold(0.0_f32, |most, v| most.max(v.abs()));
    let apart = got.iter().zip(&expected).map(|(a, b)| (a - b).abs());
    let worst = apart.fold(0.0, f32::max);
    assert!(
        largest > 0.1 && worst.is_finite(),
        "{model}: {largest} {worst}"
    );
    worst / largest
}

/// The embedded backend's tests measure accuracy on the whole test sets; here it matters
/// that another runtime finds the same things.
fn check_against_truth(model: &str, picture: &Path, answer: &Json, truth: &Json) {
    let name = picture.file_name().unwrap().to_str().unwrap();
    let text = format!("{model}/{name}: {answer}");
    match model {
        "classify" => {
            let label = &find(truth, name).unwrap()["label"];
            assert_eq!(answer["classes"][0]["label"], *label, "{text}");
        }
        "detect" => {
            let boxes = find(truth, name).unwrap()["boxes"]
                .as_array()
                .unwrap()
                .len();
            let found = answer["boxes"].as_array().unwrap().len();
            assert!(found.abs_diff(boxes) <= 1, "{boxes} boxes; {text}");
        }
        "segment" => assert!(answer["classes"].as_array().unwrap().len() > 1, "{text}"),
        "pose" => {
            let points = answer["people"][0]["points"].as_array().unwrap();
            let sure = points.iter().filter(|p| p["score"].as_f64() > Some(0.3));
            assert!(sure.count() * 2 > points.len(), "{text}");
        }
        "depth" => assert!(answer["max"].as_f64() > answer["min"].as_f64(), "{text}"),
        _ => {}
    }
}

fn find<'a>(truth: &'a Json, name: &str) -> Option<&'a Json> {
    truth["files"]
        .as_array()?
        .iter()
        .find(|e| e["file"] == name)
}
