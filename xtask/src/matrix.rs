//! The conformance matrix of docs/backends.md, from what the suite left in
//! `target/conformance`.

use crate::process::{root, target_dir};
use anyhow::{Context, Result};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fmt::Write;

const PAGE: &str = "docs/backends.md";
const BEGIN: &str = "<!-- matrix: made by `cargo xtask docs` -->\n";
const END: &str = "<!-- end of the matrix -->\n";

/// Puts the matrix into the page; what a machine did not test keeps its old row.
pub(crate) fn write() -> Result<()> {
    let folder = target_dir().join("conformance");
    let Ok(entries) = std::fs::read_dir(&folder) else {
        return Ok(());
    };
    let mut reports = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "json") {
            let report: Value = serde_json::from_slice(&std::fs::read(&path)?)
                .with_context(|| format!("in {}", path.display()))?;
            reports.push(report);
        }
    }
    if reports.is_empty() {
        return Ok(());
    }
    let path = root().join(PAGE);
    let page = std::fs::read_to_string(&path).with_context(|| format!("cannot read {PAGE}"))?;
    let (before, rest) = page
        .split_once(BEGIN)
        .with_context(|| format!("{PAGE} has no place for the matrix: {BEGIN}"))?;
    let (old, after) = rest
        .split_once(END)
        .with_context(|| format!("{PAGE} has no end of the matrix: {END}"))?;
    let page = format!("{before}{BEGIN}{}{END}{after}", table(&reports, old)?);
    std::fs::write(&path, page).with_context(|| format!("cannot write {PAGE}"))
}

const MODELS: [&str; 6] = [
    "digits-8x8",
    "classify",
    "detect",
    "segment",
    "pose",
    "depth",
];

fn table(reports: &[Value], old: &str) -> Result<String> {
    let mut rows: BTreeSet<String> = BTreeSet::new();
    for report in reports {
        let backend = report["backend"].as_str().unwrap_or("?");
        let cells = &report["cells"];
        let models = cells.as_object();
        let forms: BTreeSet<&String> = models
            .into_iter()
            .flat_map(|models| models.values())
            .filter_map(Value::as_object)
            .flat_map(|row| row.keys())
            .collect();
        for form in forms {
            let mut row = format!("| {backend} | {form} |");
            for model in MODELS {
                let cell = cells[model][form.as_str()].as_str().unwrap_or("");
                write!(row, " {cell} |")?;
            }
            rows.insert(row);
        }
    }
    let tested: Vec<&str> = reports
        .iter()
        .filter_map(|report| report["backend"].as_str())
        .collect();
    for line in old.lines().skip(2) {
        let backend = line.split('|').nth(1).unwrap_or_default().trim();
        if !backend.is_empty() && !tested.contains(&backend) {
            rows.insert(line.to_owned());
        }
    }
    let mut text = format!("| backend | format | {} |\n", MODELS.join(" | "));
    writeln!(text, "|{}", " --- |".repeat(MODELS.len() + 2))?;
    for row in rows {
        writeln!(text, "{row}")?;
    }
    Ok(text)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_backend_that_was_not_tested_keeps_its_rows() {
        let report = serde_json::json!({
            "backend": "onnx",
            "cells": {"digits-8x8": {"ONNX": "360/360"}, "depth": {"ONNX": "3 pictures"}},
        });
        let old = "| a | b |\n| --- | --- |\n| onnx | ONNX | old |\n| far | TFLite | kept |\n";
        let new = table(&[report], old).unwrap();
        assert!(
            new.contains("| onnx | ONNX | 360/360 |  |  |  |  | 3 pictures |"),
            "{new}"
        );
        assert!(
            new.contains("| far | TFLite | kept |") && !new.contains("old"),
            "{new}"
        );
    }
}
