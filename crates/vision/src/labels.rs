//! Names of classes: a file, a list, or a set that everybody uses.

use std::fmt;
use std::path::Path;

use serde::{Deserialize, Deserializer, de};

use crate::description::read_text;
use crate::error::{Error, Result};

/// A label file longer than this is not one.
const MAX_BYTES: u64 = 4 << 20;

// The names are those of torchvision's `models/_meta.py`; its licence lies beside them.
const IMAGENET: &str = include_str!("labels/imagenet.txt");
const COCO: &str = include_str!("labels/coco.txt");
const VOC: &str = include_str!("labels/voc.txt");

/// Class 0 of models that have a class for "nothing".
const BACKGROUND: &str = "__background__";
/// Numbers that COCO never gave to anything.
const UNUSED: &str = "N/A";

/// Where the names of the classes come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Labels {
    /// A file beside the description, not read yet.
    File(String),
    /// One name for each class.
    List(Vec<String>),
    /// The 1000 classes of ImageNet; 1001 with a background class in front.
    Imagenet,
    /// The 80 classes of COCO; 91 with background and the unused numbers.
    Coco,
    /// The 20 classes of Pascal VOC; 21 with background.
    Voc,
}

impl Labels {
    /// Reads a file of one label a line.
    ///
    /// # Errors
    /// A file that cannot be read, is not UTF-8, or has no label in it.
    pub fn from_file(path: &Path) -> Result<Self> {
        let text = read_text(path, MAX_BYTES)?;
        Self::from_bytes(text.as_bytes(), &path.display().to_string())
    }

    /// Reads labels from the content of a file; `file` is what errors call it.
    ///
    /// # Errors
    /// Bytes that are not UTF-8, or no label in them.
    pub fn from_bytes(content: &[u8], file: &str) -> Result<Self> {
        if content.len() as u64 > MAX_BYTES {
            return Err(Error::Labels(format!(
                "{file} is longer than {MAX_BYTES} bytes"
            )));
        }
        let text = std::str::from_utf8(content)
            .map_err(|e| Error::Labels(format!("{file} is not UTF-8: {e}")))?;
        let text = text.trim_start_matches('\u{feff}');
        // Empty lines inside keep the numbers of the lines below; those at the end are an accident.
        let labels: Vec<_> = text.trim_end().lines().map(clean).collect();
        if labels.iter().all(String::is_empty) {
            return Err(Error::Labels(format!("{file} has no label in it")));
        }
        Ok(Self::List(labels))
    }

    /// The names for a model of `classes` classes, or of a number that nothing tells.
    ///
    /// A built-in set takes the variant that has as many classes; where the number is
    /// not known, the one with a background class if `background` is set.
    ///
    /// # Errors
    /// A file that was not read yet, or a set that has another number of classes.
    pub(crate) fn names(&self, classes: Option<usize>, background: bool) -> Result<Vec<&str>> {
        let (set, text) = match self {
            Self::File(file) => {
                return Err(Error::Labels(format!(
                    "{file} was not read; use Description::from_file or set_labels"
                )));
            }
            Self::List(list) => {
                let names: Vec<_> = list.iter().map(String::as_str).collect();
                return match classes {
                    Some(count) if count != names.len() => Err(wrong_count(count, &names.len())),
                    _ => Ok(names),
                };
            }
            Self::Imagenet => ("imagenet", IMAGENET),
            Self::Coco => ("coco", COCO),
            Self::Voc => ("voc", VOC),
        };
        let is_class = |name: &&str| *name != BACKGROUND && *name != UNUSED;
        let plain: Vec<_> = text.lines().filter(is_class).collect();
        let mut full: Vec<_> = text.lines().collect();
        if full[0] != BACKGROUND {
            full.insert(0, BACKGROUND);
        }
        match classes {
            Some(count) if count == plain.len() => Ok(plain),
            Some(count) if count == full.len() => Ok(full),
            Some(count) => Err(wrong_count(
                count,
                &format!("set \"{set}\" has {} or {}", plain.len(), full.len()),
            )),
            None if background && *self != Self::Imagenet => Ok(full),
            None => Ok(plain),
        }
    }
}

fn wrong_count(classes: usize, labels: &dyn fmt::Display) -> Error {
    Error::Labels(format!(
        "the model has {classes} classes, the labels are for another number: {labels}"
    ))
}

/// Labels end up in lines of text: no line breaks or other control characters in them.
fn clean(label: &str) -> String {
    label.trim().replace(char::is_control, " ")
}

impl<'de> Deserialize<'de> for Labels {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Source;
        impl<'de> de::Visitor<'de> for Source {
            type Value = Labels;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a file name, \"imagenet\", \"coco\", \"voc\", or a list of labels")
            }
            fn visit_str<E: de::Error>(self, value: &str) -> Result<Labels, E> {
                Ok(match value {
                    "imagenet" => Labels::Imagenet,
                    "coco" => Labels::Coco,
                    "voc" => Labels::Voc,
                    file => Labels::File(file.to_owned()),
                })
            }
            fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<Labels, A::Error> {
                let mut list = Vec::new();
                while let Some(label) = seq.next_element::<String>()? {
                    list.push(clean(&label));
                }
                Ok(Labels::List(list))
            }
        }
        deserializer.deserialize_any(Source)
    }
}
