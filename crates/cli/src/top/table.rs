//! A view as plain text.

use super::rates::View;
use std::fmt::Write;

/// Lines without colours, for files and pipes.
pub(super) fn text(view: &View) -> String {
    let mut text = String::new();
    for line in &view.head {
        push(&mut text, line);
    }
    for section in &view.sections {
        text.push('\n');
        let widths = widths(section.columns, &section.rows);
        let head = section.columns.iter().map(|c| (*c).to_owned()).collect();
        for row in std::iter::once(&head).chain(&section.rows) {
            push(&mut text, &line(row, &widths));
        }
    }
    text
}

/// How wide columns must be.
pub(super) fn widths(columns: &[&str], rows: &[Vec<String>]) -> Vec<usize> {
    let wide = |i: usize, title: &str| {
        let cells = rows.iter().filter_map(|row| row.get(i));
        let cells = cells.map(|cell| shown(cell).chars().count());
        cells.chain([title.len()]).max().unwrap_or(0)
    };
    columns
        .iter()
        .enumerate()
        .map(|(i, c)| wide(i, c))
        .collect()
}

/// One row: the first column to the left, figures to the right.
fn line(row: &[String], widths: &[usize]) -> String {
    let mut line = String::new();
    for (i, (cell, &width)) in row.iter().zip(widths).enumerate() {
        let cell = shown(cell);
        // Writing to a string cannot fail.
        let _ = match i {
            0 => write!(line, "{cell:width$}"),
            _ => write!(line, "  {cell:>width$}"),
        };
    }
    line
}

/// Text as a terminal may be given it: names come from elsewhere.
pub(super) fn shown(text: &str) -> String {
    let plain = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    text.chars().map(plain).take(60).collect()
}

fn push(text: &mut String, line: &str) {
    text.extend(
        line.chars()
            .map(|c| if c.is_control() { '\u{fffd}' } else { c }),
    );
    text.push('\n');
}
