//! The rules of a description that its types do not express.

use std::path::{Component, Path};

use crate::description::{Description, PerChannel};
use crate::error::{Error, Result};
use crate::labels::Labels;
use crate::words::Resize;

/// Longest side of an input tensor in pixels; 3 channels of f32 at this size are 768 MiB.
pub(crate) const MAX_SIDE: u32 = 8192;
/// More boxes than this are no answer, and would make NMS slow.
const MAX_DETECTIONS: usize = 10_000;
/// More points than this are no skeleton.
const MAX_POINTS: usize = 1000;

impl Description {
    /// Checks ranges, lengths and paths; `file` is what errors call the description.
    ///
    /// Reading does this; only a description that was made or changed in memory needs it.
    ///
    /// # Errors
    /// The first key with a value that makes no sense.
    pub fn validate(&self, file: &str) -> Result<()> {
        let checks = [self.check_model(), self.check_input(), self.check_output()];
        for check in checks {
            check.map_err(|(key, reason)| Error::Key {
                file: file.to_owned(),
                key,
                reason,
            })?;
        }
        Ok(())
    }

    fn check_model(&self) -> Check {
        let model = &self.model;
        require("model.name", !model.name.trim().is_empty(), "is empty")?;
        if let Some(path) = &model.file {
            stays_inside("model.file", path)?;
        }
        Ok(())
    }

    fn check_input(&self) -> Check {
        let input = &self.input;
        side("input.width", input.width)?;
        side("input.height", input.height)?;
        side("input.resize_to", input.resize_to)?;
        if let Some(to) = input.resize_to {
            require(
                "input.resize_to",
                input.resize == Resize::CenterCrop,
                "goes with resize = \"center-crop\" only",
            )?;
            let larger = input.width.max(input.height).unwrap_or(0);
            require(
                "input.resize_to",
                to >= larger,
                &format!("is {to}, smaller than the {larger} pixels that are cut out"),
            )?;
        }
        require(
            "input.pad",
            input.pad.is_none() || input.resize == Resize::Letterbox,
            "goes with resize = \"letterbox\" only",
        )?;
        if let Some(scale) = input.scale {
            require(
                "input.scale",
                scale.is_finite() && scale != 0.0,
                "must be finite and not 0",
            )?;
        }
        let channels = input.channels.count();
        per_channel("input.mean", input.mean.as_ref(), channels, f64::is_finite)?;
        per_channel("input.std", input.std.as_ref(), channels, |v| {
            v.is_finite() && v > 0.0
        })
    }

    fn check_output(&self) -> Check {
        let output = &self.output;
        let (task, format) = (self.model.task, output.format);
        require(
            "output.format",
            format.task() == task,
            &format!(
                "\"{}\" is a format of {}, the task is {task}",
                format.as_str(),
                format.task()
            ),
        )?;
        require(
            "output.names",
            output.name.is_none() || output.names.is_none(),
            "and `output.name` exclude each other",
        )?;
        let names = output.tensor_names();
        require(
            "output.names",
            output.names.is_none() && (names.is_empty() || format.tensors() == 1)
                || names.len() == format.tensors(),
            &format!(
                "must name {} tensor(s) for format \"{}\"",
                format.tensors(),
                format.as_str()
            ),
        )?;
        match &output.labels {
            Some(Labels::File(path)) => stays_inside("output.labels", path)?,
            Some(Labels::List(list)) => require("output.labels", !list.is_empty(), "is empty")?,
            _ => {}
        }
        within("output.top_k", output.top_k, 1, usize::MAX)?;
        within(
            "output.max_detections",
            output.max_detections,
            1,
            MAX_DETECTIONS,
        )?;
        unit_interval("output.score_threshold", output.score_threshold)?;
        unit_interval("output.iou_threshold", output.iou_threshold)?;
        unit_interval("output.point_threshold", output.point_threshold)?;
        require(
            "output.background",
            output.background.is_none_or(|class| class >= -1),
            "must be a class number, or -1",
        )?;
        within(
            "output.point_names",
            output.point_names.len(),
            0,
            MAX_POINTS,
        )?;
        let points = match output.point_names.len() {
            0 => MAX_POINTS,
            count => count,
        };
        let ends = output.skeleton.iter().flatten();
        require(
            "output.skeleton",
            ends.clone().all(|&point| point < points),
            &format!(
                "joins point {}, the last is {}",
                ends.max().unwrap_or(&0),
                points - 1
            ),
        )?;
        require(
            "output.skeleton",
            output.skeleton.len() <= MAX_POINTS,
            "has too many lines",
        )
    }
}

/// A key and what is wrong with it.
type Check = Result<(), (&'static str, String)>;

fn require(key: &'static str, holds: bool, reason: &str) -> Check {
    if holds {
        Ok(())
    } else {
        Err((key, reason.to_owned()))
    }
}

fn within(key: &'static str, value: usize, low: usize, high: usize) -> Check {
    require(
        key,
        (low..=high).contains(&value),
        &format!("is {value}, must be {low} or more, and {high} or less"),
    )
}

fn side(key: &'static str, value: Option<u32>) -> Check {
    let value = value.unwrap_or(1);
    require(
        key,
        (1..=MAX_SIDE).contains(&value),
        &format!("is {value}, must be 1 to {MAX_SIDE} pixels"),
    )
}

fn unit_interval(key: &'static str, value: f32) -> Check {
    require(
        key,
        (0.0..=1.0).contains(&value),
        &format!("is {value}, must be 0 to 1"),
    )
}

fn per_channel(
    key: &'static str,
    values: Option<&PerChannel>,
    channels: usize,
    good: impl Fn(f64) -> bool,
) -> Check {
    let Some(PerChannel(values)) = values else {
        return Ok(());
    };
    require(
        key,
        values.len() == 1 || values.len() == channels,
        &format!("has {} numbers, must have 1 or {channels}", values.len()),
    )?;
    match values.iter().find(|&&value| !good(value)) {
        Some(bad) => Err((key, format!("cannot be {bad}"))),
        None => Ok(()),
    }
}

/// A description may come from a stranger: it must not name files outside of its folder.
fn stays_inside(key: &'static str, path: &str) -> Check {
    let only_names = Path::new(path)
        .components()
        .all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    require(
        key,
        !path.is_empty() && !path.contains('\0') && only_names,
        &format!(
            "is \"{}\", must be a path inside the folder of the description",
            path.escape_default()
        ),
    )
}
