//! One figure, beside its floor and what is wanted of it.

use serde::{Deserialize, Serialize};

/// One figure.
#[derive(Serialize, Deserialize, Clone, Debug)]
pub(crate) struct Figure {
    pub(crate) name: String,
    /// NaN (`null` in JSON) when it could not be measured; then `note` says why.
    #[serde(deserialize_with = "null_is_nan")]
    pub(crate) value: f64,
    pub(crate) unit: String,
    /// What it cannot be better than, measured in the same run.
    pub(crate) floor: Option<f64>,
    /// `value / floor`.
    pub(crate) ratio: Option<f64>,
    /// What is wanted, in words.
    pub(crate) target: Option<String>,
    pub(crate) ok: bool,
    /// 99 of 100 took at most so long, in the same unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) p99: Option<f64>,
    /// What a reader must know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) note: Option<String>,
}

/// What another library takes for the same call.
#[derive(Serialize, Deserialize, Clone, Debug)]
pub(crate) struct PeerFigure {
    pub(crate) name: String,
    pub(crate) peer: String,
    pub(crate) value: f64,
    pub(crate) unit: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) p99: Option<f64>,
}

/// A line of a file of figures.
#[derive(Serialize, Deserialize, Clone, Debug)]
#[serde(untagged)]
pub(crate) enum Line {
    // First: a figure has no peer, so that what has one is never read as a figure.
    Peer(PeerFigure),
    Figure(Figure),
}

fn null_is_nan<'de, D: serde::Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or(f64::NAN))
}

impl Figure {
    /// A figure to know, without a target.
    pub(crate) fn plain(name: &str, value: f64, unit: &str) -> Self {
        Self {
            name: name.into(),
            value,
            unit: unit.into(),
            floor: None,
            ratio: None,
            target: None,
            ok: true,
            p99: None,
            note: None,
        }
    }

    /// A figure that may be at most `limit`.
    pub(crate) fn at_most(name: &str, value: f64, unit: &str, limit: f64) -> Self {
        Self::plain(name, value, unit).wanted(format!("<= {limit} {unit}"), value <= limit)
    }

    /// A figure that may be at most `limit` times its floor.
    pub(crate) fn ratio(name: &str, value: f64, unit: &str, floor: f64, limit: f64) -> Self {
        Self::plain(name, value, unit)
            .with_floor(floor)
            .wanted(format!("<= {limit} x floor"), value / floor <= limit)
    }

    /// A figure that could not be measured: a target that is not known to be met is missed.
    pub(crate) fn missing(name: &str, unit: &str, why: impl ToString) -> Self {
        Self {
            ok: false,
            note: Some(why.to_string()),
            ..Self::plain(name, f64::NAN, unit)
        }
    }

    /// A figure of something that is not installed here: nothing is known, and nothing missed.
    pub(crate) fn skipped(name: &str, unit: &str, why: impl ToString) -> Self {
        Self {
            note: Some(why.to_string()),
            ..Self::plain(name, f64::NAN, unit)
        }
    }

    /// Says what is wanted, and whether it is so. Several targets must all be met.
    pub(crate) fn wanted(mut self, target: String, ok: bool) -> Self {
        self.target = Some(match self.target {
            Some(first) => format!("{first}, {target}"),
            None => target,
        });
        self.ok &= ok;
        self
    }

    pub(crate) fn with_floor(mut self, floor: f64) -> Self {
        self.floor = Some(floor);
        self.ratio = Some(self.value / floor);
        self
    }

    pub(crate) fn with_p99(mut self, p99: f64) -> Self {
        self.p99 = Some(p99);
        self
    }

    pub(crate) fn with_note(mut self, note: impl Into<String>) -> Self {
        self.note = Some(note.into());
        self
    }
}

/// Prints a table.
pub(crate) fn print(lines: &[Line]) {
    println!(
        "{:<52} {:>11} {:<5} {:>11} {:>11} {:>7}  target",
        "figure", "value", "", "p99", "floor", "ratio"
    );
    let number = |value: Option<f64>| value.map_or_else(|| "-".into(), |v| format!("{v:.2}"));
    for line in lines {
        match line {
            Line::Figure(f) => {
                println!(
                    "{:<52} {:>11.2} {:<5} {:>11} {:>11} {:>7}  {}{}",
                    f.name,
                    f.value,
                    f.unit,
                    number(f.p99),
                    number(f.floor),
                    number(f.ratio),
                    f.target.as_deref().unwrap_or("-"),
                    if f.ok { "" } else { "  MISSED" },
                );
                if let Some(note) = &f.note {
                    println!("    {note}");
                }
            }
            Line::Peer(p) => println!(
                "{:<52} {:>11.2} {:<5} {:>11} {:>11} {:>7}  -",
                format!("{}: {}", p.peer, p.name),
                p.value,
                p.unit,
                number(p.p99),
                "-",
                "-"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_ratio_is_the_value_over_its_floor() {
        let figure = Figure::ratio("a", 12.0, "us", 10.0, 1.15);
        assert_eq!(figure.ratio, Some(1.2));
        assert!(!figure.ok);
        assert!(Figure::ratio("a", 11.0, "us", 10.0, 1.15).ok);
    }

    #[test]
    fn of_several_targets_all_must_be_met() {
        let figure = Figure::at_most("a", 1.5, "us", 2.0).wanted("<= 8 x floor".into(), false);
        assert!(!figure.ok);
        assert_eq!(figure.target.as_deref(), Some("<= 2 us, <= 8 x floor"));
    }

    #[test]
    fn what_could_not_be_measured_is_null_and_missed() {
        let figure = Figure::missing("a", "us", "no strace");
        let text = serde_json::to_string(&figure).unwrap();
        assert!(text.contains("\"value\":null"), "{text}");
        let back: Figure = serde_json::from_str(&text).unwrap();
        assert!(back.value.is_nan() && !back.ok);
    }

    #[test]
    fn figures_and_peers_are_told_apart_in_a_file() {
        let lines = vec![
            Line::Figure(Figure::plain("a", 1.0, "us").with_p99(2.0)),
            Line::Peer(PeerFigure {
                name: "a".into(),
                peer: "tonic".into(),
                value: 3.0,
                unit: "us".into(),
                p99: None,
            }),
        ];
        let text = serde_json::to_string(&lines).unwrap();
        let back: Vec<Line> = serde_json::from_str(&text).unwrap();
        assert!(matches!(&back[..], [Line::Figure(f), Line::Peer(p)]
            if f.p99 == Some(2.0) && p.peer == "tonic"));
    }
}
