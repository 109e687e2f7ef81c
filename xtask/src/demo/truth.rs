//! Ground truth of the sample pictures, and how an answer is judged by it.

use super::{Answer, Score, file_name};
use crate::models::{Overlap, mean_relative_error};
use anyhow::{Context, Result, bail};
use serde::Deserialize;

use std::path::{Path, PathBuf};

/// `samples/truth.json`.
#[derive(Deserialize)]
pub(crate) struct Truth {
    metric: String,
    threshold: f64,
    #[serde(default)]
    lower_is_better: bool,
    files: Vec<Entry>,
    #[serde(skip)]
    folder: PathBuf,
}

#[derive(Deserialize)]
struct Entry {
    file: String,
    label: Option<String>,
    boxes: Option<Vec<Box>>,
    mask: Option<String>,
    points: Option<Vec<[f64; 2]>>,
    depth: Option<String>,
}

/// A box of the truth or of an answer, in pixels of the picture.
#[derive(Deserialize, Clone)]
pub(crate) struct Box {
    pub(crate) x: f64,
    pub(crate) y: f64,
    pub(crate) width: f64,
    pub(crate) height: f64,
    pub(crate) label: String,
}

impl Box {
    /// Intersection over union with another box.
    pub(crate) fn iou(&self, other: &Self) -> f64 {
        let w = (self.x + self.width).min(other.x + other.width) - self.x.max(other.x);
        let h = (self.y + self.height).min(other.y + other.height) - self.y.max(other.y);
        if w <= 0.0 || h <= 0.0 {
            return 0.0;
        }
        let both = w * h;
        both / (self.width * self.height + other.width * other.height - both)
    }
}

/// What the table says of one picture.
pub(crate) struct Judgement {
    pub(crate) truth: String,
    pub(crate) answer: String,
    pub(crate) confidence: Option<f64>,
    pub(crate) correct: bool,
    /// What the score is made of: right answers and their possible number.
    points: (f64, f64),
}

impl Truth {
    /// Reads the truth of the samples in a folder.
    pub(crate) fn read(samples: &Path) -> Result<Self> {
        let path = samples.join("truth.json");
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        let mut truth: Self =
            serde_json::from_str(&text).with_context(|| format!("in {}", path.display()))?;
        truth.folder = samples.to_path_buf();
        Ok(truth)
    }

    /// Names of the pictures.
    pub(crate) fn files(&self) -> Vec<String> {
        self.files.iter().map(|entry| entry.file.clone()).collect()
    }

    /// Judges every answer, and the whole.
    pub(crate) fn judge(
        &self,
        task: &'static str,
        answers: &[Answer],
    ) -> Result<(Score, Vec<Judgement>)> {
        if answers.len() != self.files.len() {
            bail!(
                "{task}: {} answers to {} pictures",
                answers.len(),
                self.files.len()
            );
        }
        let mut judged = Vec::new();
        let mut overlap = Overlap::new();
        for (entry, answer) in self.files.iter().zip(answers) {
            if file_name(&answer.file) != entry.file {
                bail!(
                    "{task}: an answer to {} instead of {}",
                    answer.file.display(),
                    entry.file
                );
            }
            let judgement = match task {
                "classify" => classify(entry, answer),
                "detect" => detect(entry, answer),
                "segment" => self.segment(entry, answer, &mut overlap),
                "pose" => self.pose(entry, answer),
                _ => self.depth(entry, answer),
            };
            judged.push(judgement.with_context(|| format!("{task}: {}", entry.file))?);
        }
        let (got, possible) = judged
            .iter()
            .fold((0.0, 0.0), |(a, b), j| (a + j.points.0, b + j.points.1));
        // Overlap is that of all pictures together, as for the test set.
        let value = if task == "segment" {
            overlap.mean()
        } else {
            got / possible
        };
        let passed = if self.lower_is_better {
            value <= self.threshold
        } else {
            value >= self.threshold
        };
        Ok((
            Score {
                task,
                metric: self.metric.clone(),
                value,
                threshold: self.threshold,
                passed,
                pictures: judged.len(),
            },
            judged,
        ))
    }

    /// Mean intersection over union of the classes that the truth or the answer names.
    fn segment(&self, entry: &Entry, answer: &Answer, overlap: &mut Overlap) -> Result<Judgement> {
        let mask = entry.mask.as_ref().context("the truth has no mask")?;
        let truth = image::open(self.folder.join(mask))?.to_luma8();
        let map = read_map(answer)?;
        let found = map.as_slice::<u8>().context("the map is not u8")?;
        let truth = truth.as_raw();
        if truth.len() != found.len() {
            bail!(
                "the map has {} pixels, the truth {}",
                found.len(),
                truth.len()
            );
        }
        overlap.add(truth, found);
        let mut own = Overlap::new();
        own.add(truth, found);
        let mean = own.mean();
        let classes = |present: &dyn Fn(u8) -> bool| -> String {
            (1..=u8::MAX)
                .filter(|&class| present(class))
                .map(|class| (class - 1).to_string())
                .collect::<Vec<_>>()
                .join(" ")
        };
        Ok(Judgement {
            truth: classes(&|class| truth.contains(&class)),
            answer: classes(&|class| {
                found.iter().filter(|&&f| f == class).count() > truth.len() / 1000
            }),
            confidence: Some(mean),
            correct: mean >= self.threshold,
            points: (mean, 1.0),
        })
    }

    /// Share of the points that are within 5 % of the picture's diagonal.
    fn pose(&self, entry: &Entry, answer: &Answer) -> Result<Judgement> {
        let truth = entry.points.as_ref().context("the truth has no points")?;
        let side = |key: &str| {
            answer.result["image"][key]
                .as_f64()
                .context("no image size")
        };
        let near = side("width")?.hypot(side("height")?) * 0.05;
        let found = answer.result["people"][0]["points"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let right = truth
            .iter()
            .zip(&found)
            .filter(|([x, y], found)| {
                let at = |key: &str| found[key].as_f64().unwrap_or(f64::NAN);
                (at("x") - x).hypot(at("y") - y) <= near
            })
            .count();
        let scores: Vec<f64> = found.iter().filter_map(|p| p["score"].as_f64()).collect();
        Ok(Judgement {
            truth: format!("{} points", truth.len()),
            answer: format!("{right} within 5 %"),
            confidence: (!scores.is_empty())
                .then(|| scores.iter().sum::<f64>() / scores.len() as f64),
            correct: right as f64 >= self.threshold * truth.len() as f64,
            points: (right as f64, truth.len() as f64),
        })
    }

    /// Mean of |found - true| / true over all pixels.
    fn depth(&self, entry: &Entry, answer: &Answer) -> Result<Judgement> {
        let depth = entry.depth.as_ref().context("the truth has no depth")?;
        let truth = read_npy(&self.folder.join(depth))?;
        let truth = truth.as_slice::<f32>().context("the truth is not f32")?;
        let map = read_map(answer)?;
        let found = map.as_slice::<f32>().context("the map is not f32")?;
        if truth.len() != found.len() {
            bail!(
                "the map has {} pixels, the truth {}",
                found.len(),
                truth.len()
            );
        }
        let mean = mean_relative_error(truth, found);
        let range = |values: &[f32]| {
            let (low, high) = values
                .iter()
                .fold((f32::MAX, f32::MIN), |(l, h), &v| (l.min(v), h.max(v)));
            format!("{low:.1} to {high:.1} m")
        };
        Ok(Judgement {
            truth: range(truth),
            answer: range(found),
            confidence: Some((1.0 - mean).max(0.0)),
            correct: mean <= self.threshold,
            points: (mean, 1.0),
        })
    }
}

fn classify(entry: &Entry, answer: &Answer) -> Result<Judgement> {
    let truth = entry.label.clone().context("the truth has no label")?;
    let best = &answer.result["classes"][0];
    let label = best["label"].as_str().unwrap_or("nothing").to_string();
    let correct = label == truth;
    Ok(Judgement {
        truth,
        answer: label,
        confidence: best["score"].as_f64(),
        correct,
        points: (f64::from(u8::from(correct)), 1.0),
    })
}

/// F1 at an overlap of one half: every true box takes the best free answer of its label.
fn detect(entry: &Entry, answer: &Answer) -> Result<Judgement> {
    let truth = entry.boxes.as_ref().context("the truth has no boxes")?;
    let found: Vec<Box> = serde_json::from_value(answer.result["boxes"].clone())
        .context("the answer has no boxes")?;
    let scores: Vec<f64> = answer.result["boxes"]
        .as_array()
        .map(|boxes| boxes.iter().filter_map(|b| b["score"].as_f64()).collect())
        .unwrap_or_default();
    let matched = matches(truth, &found);
    let labels = |boxes: &[Box]| {
        let mut labels: Vec<&str> = boxes.iter().map(|b| b.label.as_str()).collect();
        labels.sort_unstable();
        labels.join(" ")
    };
    Ok(Judgement {
        truth: labels(truth),
        answer: labels(&found),
        confidence: (!scores.is_empty()).then(|| scores.iter().sum::<f64>() / scores.len() as f64),
        correct: matched == truth.len() && matched == found.len(),
        points: (2.0 * matched as f64, (truth.len() + found.len()) as f64),
    })
}

/// How many true boxes have an answer of their own.
pub(crate) fn matches(truth: &[Box], found: &[Box]) -> usize {
    let mut free: Vec<&Box> = found.iter().collect();
    let mut matched = 0;
    for wanted in truth {
        let best = free
            .iter()
            .enumerate()
            .filter(|(_, b)| b.label == wanted.label)
            .map(|(i, b)| (i, wanted.iou(b)))
            .max_by(|a, b| a.1.total_cmp(&b.1));
        if let Some((i, iou)) = best
            && iou >= 0.5
        {
            free.swap_remove(i);
            matched += 1;
        }
    }
    matched
}

fn read_map(answer: &Answer) -> Result<vaccel::Tensor> {
    let path = answer.map.as_ref().context("the answer has no map")?;
    read_npy(path)
}

fn read_npy(path: &Path) -> Result<vaccel::Tensor> {
    let file =
        std::fs::File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    vaccel::Tensor::read_npy(std::io::BufReader::new(file))
        .with_context(|| path.display().to_string())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn square(x: f64, label: &str) -> Box {
        Box {
            x,
            y: 0.0,
            width: 10.0,
            height: 10.0,
            label: label.into(),
        }
    }

    #[test]
    fn overlap_is_shared_area_over_joint_area() {
        assert!((square(0.0, "a").iou(&square(5.0, "a")) - 50.0 / 150.0).abs() < 1e-12);
        assert_eq!(square(0.0, "a").iou(&square(10.0, "a")), 0.0);
    }

    #[test]
    fn an_answer_serves_one_true_box_only() {
        let truth = [square(0.0, "1"), square(1.0, "1")];
        assert_eq!(matches(&truth, &[square(0.0, "1")]), 1);
        assert_eq!(matches(&truth, &[square(0.0, "2")]), 0);
    }

    #[test]
    fn a_wrong_label_is_not_correct() {
        let entry = Entry {
            file: "a".into(),
            label: Some("7".into()),
            boxes: None,
            mask: None,
            points: None,
            depth: None,
        };
        let answer = |label: &str| Answer {
            file: "a".into(),
            result: serde_json::json!({"classes": [{"label": label, "score": 0.9}]}),
            ms: vec![1.0],
            picture: None,
            map: None,
        };
        assert!(classify(&entry, &answer("7")).unwrap().correct);
        assert!(!classify(&entry, &answer("1")).unwrap().correct);
        let none = Answer {
            result: serde_json::Value::Null,
            ..answer("7")
        };
        assert!(!classify(&entry, &none).unwrap().correct);
    }
}
