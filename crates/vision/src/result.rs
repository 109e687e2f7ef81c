//! The structured answer, its JSON and its text.

use std::fmt::Write as _;

use serde::Serialize;

use crate::words::Task;

/// The answer to one picture; serialises to the JSON of `docs/model-description.md`.
///
/// Coordinates are pixels of the original picture, origin top left.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Outcome {
    /// What was done.
    pub task: Task,
    /// Name of the model.
    pub model: String,
    /// Size of the original picture.
    pub image: Size,
    /// What was found.
    #[serde(flatten)]
    pub findings: Findings,
}

/// Width and height in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Size {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
}

/// What was found; one variant for each task.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Findings {
    /// Classify.
    Classify {
        /// The most probable classes, best first.
        classes: Vec<Class>,
    },
    /// Detect.
    Detect {
        /// What was found where, best first.
        boxes: Vec<Detection>,
    },
    /// Segment.
    Segment {
        /// The classes that have pixels, largest first.
        classes: Vec<Area>,
        /// Single things, for models that tell them apart, best first.
        objects: Vec<Object>,
    },
    /// Pose.
    Pose {
        /// People, or whatever has the points, best first.
        people: Vec<Person>,
    },
    /// Depth.
    Depth {
        /// Smallest value.
        min: f32,
        /// Largest value.
        max: f32,
        /// Mean of the values.
        mean: f32,
        /// Unit of the values, where they have one.
        unit: Option<String>,
    },
}

/// A class and its score.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Class {
    /// Number of the class.
    pub index: usize,
    /// Its name, or its number where it has none.
    pub label: String,
    /// 0 to 1 for models that give probabilities.
    pub score: f32,
}

/// Something with a box around it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Detection {
    /// Left edge.
    pub x: f32,
    /// Top edge.
    pub y: f32,
    /// Width of the box.
    pub width: f32,
    /// Height of the box.
    pub height: f32,
    /// Number of the class.
    pub index: usize,
    /// Its name, or its number where it has none.
    pub label: String,
    /// 0 to 1.
    pub score: f32,
}

/// A class of a segmented picture.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Area {
    /// Number of the class.
    pub index: usize,
    /// Its name, or its number where it has none.
    pub label: String,
    /// Pixels of the picture that are of the class.
    pub pixels: u64,
    /// Their share of all pixels of the picture, 0 to 1.
    pub share: f32,
}

/// Something with a box around it and a mask in it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Object {
    /// Where it is and what it is.
    #[serde(flatten)]
    pub detection: Detection,
    /// Pixels of the picture in its mask.
    pub pixels: u64,
}

/// A set of points that belong together.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Person {
    /// The box around it, for models that give one.
    #[serde(rename = "box")]
    pub bounds: Option<Bounds>,
    /// Score of the box, or the mean of the points' scores.
    pub score: f32,
    /// Always all points of the model, in its order.
    pub points: Vec<Point>,
}

/// A box without a class.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Bounds {
    /// Left edge.
    pub x: f32,
    /// Top edge.
    pub y: f32,
    /// Width of the box.
    pub width: f32,
    /// Height of the box.
    pub height: f32,
}

/// A point of a body.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Point {
    /// Its name, or its number where it has none.
    pub name: String,
    /// Horizontal position.
    pub x: f32,
    /// Vertical position.
    pub y: f32,
    /// How sure the model is of it; 0 where it gave nothing usable.
    pub score: f32,
}

impl Outcome {
    /// The structured result: one JSON object in one line.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Serialising structs of numbers and strings to memory cannot fail; an empty
        // object would be the visible sign if that ever changed.
        serde_json::to_string(self).unwrap_or_else(|_| "{}".to_owned())
    }

    /// Lines for people, each ended by a line break.
    ///
    /// - classify: `tabby: 97.3 %`
    /// - detect: `dog: 90.0 % at 12,40 300x200`, the numbers are x,y widthxheight
    /// - segment: `road: 34.5 % of the picture`, objects as in detect and `, 1200 pixels`
    /// - pose: `person 1: 90.0 %`, with ` at` and the box where there is one, then
    ///   `  nose: 90.0 % at 12,40` for each point
    /// - depth: `depth: 0.50 to 9.80 m, mean 3.10 m`
    ///
    /// Where a picture shows nothing, the text says `nothing found`.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        self.write_text(&mut text).unwrap_or_default(); // writing to a string cannot fail
        if text.is_empty() {
            text.push_str("nothing found\n");
        }
        text
    }

    fn write_text(&self, text: &mut String) -> std::fmt::Result {
        match &self.findings {
            Findings::Classify { classes } => {
                for class in classes {
                    writeln!(text, "{}: {:.1} %", class.label, class.score * 100.0)?;
                }
            }
            Findings::Detect { boxes } => {
                for found in boxes {
                    writeln!(text, "{}", found.line())?;
                }
            }
            Findings::Segment { classes, objects } => {
                for class in classes {
                    writeln!(
                        text,
                        "{}: {:.1} % of the picture",
                        class.label,
                        class.share * 100.0
                    )?;
                }
                for object in objects {
                    writeln!(
                        text,
                        "{}, {} pixels",
                        object.detection.line(),
                        object.pixels
                    )?;
                }
            }
            Findings::Pose { people } => {
                for (number, person) in (1..).zip(people) {
                    write!(text, "person {number}: {:.1} %", person.score * 100.0)?;
                    if let Some(b) = &person.bounds {
                        write!(
                            text,
                            " at {:.0},{:.0} {:.0}x{:.0}",
                            b.x, b.y, b.width, b.height
                        )?;
                    }
                    text.push('\n');
                    for p in &person.points {
                        writeln!(
                            text,
                            "  {}: {:.1} % at {:.0},{:.0}",
                            p.name,
                            p.score * 100.0,
                            p.x,
                            p.y
                        )?;
                    }
                }
            }
            Findings::Depth {
                min,
                max,
                mean,
                unit,
            } => {
                let unit = unit
                    .as_ref()
                    .map(|unit| format!(" {unit}"))
                    .unwrap_or_default();
                writeln!(
                    text,
                    "depth: {min:.2} to {max:.2}{unit}, mean {mean:.2}{unit}"
                )?;
            }
        }
        Ok(())
    }
}

impl Detection {
    fn line(&self) -> String {
        format!(
            "{}: {:.1} % at {:.0},{:.0} {:.0}x{:.0}",
            self.label,
            self.score * 100.0,
            self.x,
            self.y,
            self.width,
            self.height
        )
    }
}
