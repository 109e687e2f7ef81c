//! The table of speeds in `docs/backends.md`.

use crate::bench::figure::Figure;
use crate::bench::overhead::machine;
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

const PAGE: &str = "backends.md";
const BEGIN: &str = "<!-- speed: made by `cargo xtask bench backends --write docs` -->\n";
const END: &str = "<!-- end of the speed -->\n";

/// Puts the figures into the page; rows that were not measured now keep what they say.
pub(crate) fn write(folder: &Path, figures: &[Figure]) -> Result<()> {
    let path = folder.join(PAGE);
    let page = std::fs::read_to_string(&path)
        .with_context(|| format!("cannot read {}", path.display()))?;
    let page =
        replaced(&page, figures, &machine()).with_context(|| format!("in {}", path.display()))?;
    std::fs::write(&path, page).with_context(|| format!("cannot write {}", path.display()))
}

fn replaced(page: &str, figures: &[Figure], machine: &str) -> Result<String> {
    let (before, rest) = page.split_once(BEGIN).context("no place for the speed")?;
    let (old, after) = rest.split_once(END).context("no end of the speed")?;
    Ok(format!(
        "{before}{BEGIN}{}{END}{after}",
        table(figures, old, machine)?
    ))
}

fn table(figures: &[Figure], old: &str, machine: &str) -> Result<String> {
    // In the order in which they were first written.
    let mut order: Vec<String> = Vec::new();
    let mut rows: BTreeMap<String, String> = BTreeMap::new();
    let kept = old.lines().filter(|line| line.starts_with("| ")).skip(2);
    let kept = kept.map(|line| {
        let name = line.split('|').nth(1).unwrap_or_default().trim();
        (name.to_owned(), line.to_owned())
    });
    let mut new = Vec::new();
    for figure in figures.iter().filter(|figure| figure.value.is_finite()) {
        new.push((figure.name.clone(), row(figure)));
    }
    for (name, row) in kept.chain(new) {
        if rows.insert(name.clone(), row).is_none() {
            order.push(name);
        }
    }
    let mut text = format!(
        "Machine: {machine}.\n\n\
         | figure | through vaccel | floor | ratio | target | with |\n| --- | --- | --- | --- | --- | --- |\n"
    );
    for name in order {
        writeln!(text, "{}", rows.get(&name).map_or("", String::as_str))?;
    }
    Ok(text)
}

fn row(figure: &Figure) -> String {
    let digits = |value: f64| match value.abs() {
        100.0.. => format!("{value:.1}"),
        1.0.. => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    };
    let number = |value: Option<f64>| value.map(digits).unwrap_or_default();
    let ratio = figure.ratio.map(|r| format!("{r:.3}")).unwrap_or_default();
    let target = match (&figure.target, figure.ok) {
        (Some(target), true) => target.clone(),
        (Some(target), false) => format!("{target}: **missed**"),
        (None, _) => String::new(),
    };
    // A path of this machine tells nobody anything.
    let note = figure.note.as_deref().unwrap_or_default();
    let note = match (note.find(" (/"), note.find("), ")) {
        (Some(from), Some(to)) if from < to => format!("{}{}", &note[..from], &note[to + 1..]),
        _ => note.to_owned(),
    };
    format!(
        "| {} | {} {} | {} | {ratio} | {target} | {note} |",
        figure.name,
        digits(figure.value),
        figure.unit,
        number(figure.floor),
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_measured_keeps_its_row_and_paths_are_left_out() {
        let page = format!(
            "a\n{BEGIN}| figure | x |\n| --- | --- |\n| far | kept |\n| near | old |\n{END}b\n"
        );
        let figures = [
            Figure::ratio("near", 1.0, "ms", 1.0, 1.01).with_note("R 1 (/x/libr.so), 2 threads"),
            Figure::skipped("gone", "ms", "skipped: not installed"),
        ];
        let page = replaced(&page, &figures, "one").unwrap();
        assert!(page.contains("| far | kept |\n"), "{page}");
        assert!(
            page.contains("| near | 1.00 ms | 1.00 | 1.000 | <= 1.01 x floor | R 1, 2 threads |"),
            "{page}"
        );
        assert!(!page.contains("old") && !page.contains("gone"), "{page}");
        assert!(page.starts_with("a\n") && page.ends_with("b\n"));
        let again = replaced(&page, &figures, "one").unwrap();
        assert_eq!(again, page);
    }
}
