//! The table on the terminal and the HTML page.

use super::{Row, Score};
use anyhow::Result;
use std::fmt::Write;
use std::io::IsTerminal;
use std::path::Path;

/// Prints one line a picture; wrong answers in red on a terminal.
pub(crate) fn table(rows: &[Row], scores: &[Score]) {
    let colour = std::io::stdout().is_terminal();
    println!(
        "{:<9} {:<16} {:<18} {:<18} {:>6} {:>10} {:>10} {:>9}",
        "task", "picture", "truth", "answer", "conf.", "local ms", "remote ms", "overhead"
    );
    for row in rows {
        let (on, off) = if colour && !row.correct {
            ("\x1b[31m", "\x1b[0m")
        } else {
            ("", "")
        };
        println!(
            "{on}{:<9} {:<16} {:<18} {:<18} {:>6} {:>10.3} {:>10.3} {:>+8.1}%{off}",
            row.task,
            row.file,
            row.truth,
            row.answer,
            confidence(row),
            row.local_ms,
            row.remote_ms,
            overhead(row),
        );
    }
    println!();
    for score in scores {
        println!(
            "{:<9} {:<12} {:.3} (needs {:.3}) on {} pictures: {}",
            score.task,
            score.metric,
            score.value,
            score.threshold,
            score.pictures,
            if score.passed { "ok" } else { "MISSED" },
        );
    }
}

/// Writes a page with the same table and every annotated picture.
pub(crate) fn html(rows: &[Row], scores: &[Score], path: &Path) -> Result<()> {
    let mut page = String::from(
        "<!doctype html><html lang=en><meta charset=utf-8><title>vaccel demo</title><style>\
         body{font:15px/1.4 system-ui,sans-serif;margin:2rem auto;max-width:75rem;padding:0 1rem;color:#222}\
         table{border-collapse:collapse;width:100%}td,th{padding:.3rem .6rem;text-align:left;border-bottom:1px solid #ddd}\
         td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}.wrong{color:#b00020}\
         .grid{display:flex;flex-wrap:wrap;gap:.6rem}figure{margin:0}figure img{height:11rem;border-radius:4px}\
         figcaption{font-size:.8rem;color:#555}</style>\
         <h1>vaccel demo</h1><p>Every picture was handed to a program in a sandbox, which has a socket and nothing else; \
         the answer came from the agent on the host. Times are medians: the same program in process, and through the agent.</p>",
    );
    page.push_str("<h2>Scores</h2><table><tr><th>task<th>metric<th class=n>value<th class=n>needed<th class=n>pictures</tr>");
    for s in scores {
        let class = if s.passed { "" } else { " class=wrong" };
        write!(
            page,
            "<tr{class}><td>{}<td>{}<td class=n>{:.3}<td class=n>{:.3}<td class=n>{}</tr>",
            s.task,
            escape(&s.metric),
            s.value,
            s.threshold,
            s.pictures
        )?;
    }
    page.push_str("</table>");
    for &task in super::TASKS {
        write!(page, "<h2>{task}</h2><div class=grid>")?;
        for row in rows.iter().filter(|row| row.task == task) {
            let class = if row.correct { "" } else { " class=wrong" };
            write!(
                page,
                "<figure><img src=\"{}\" alt=\"{}\"><figcaption{class}>{}: {} ({})</figcaption></figure>",
                escape(&relative(&row.picture, path)),
                escape(&row.file),
                escape(&row.truth),
                escape(&row.answer),
                confidence(row),
            )?;
        }
        page.push_str("</div><table><tr><th>picture<th>truth<th>answer<th class=n>confidence<th class=n>local ms<th class=n>remote ms<th class=n>overhead</tr>");
        for row in rows.iter().filter(|row| row.task == task) {
            let class = if row.correct { "" } else { " class=wrong" };
            write!(
                page,
                "<tr{class}><td>{}<td>{}<td>{}<td class=n>{}<td class=n>{:.3}<td class=n>{:.3}<td class=n>{:+.1} %</tr>",
                escape(&row.file),
                escape(&row.truth),
                escape(&row.answer),
                confidence(row),
                row.local_ms,
                row.remote_ms,
                overhead(row),
            )?;
        }
        page.push_str("</table>");
    }
    std::fs::write(path, page)?;
    Ok(())
}

/// Path of a picture as the page links to it.
fn relative(picture: &Path, page: &Path) -> String {
    page.parent()
        .and_then(|folder| picture.strip_prefix(folder).ok())
        .unwrap_or(picture)
        .display()
        .to_string()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('"', "&quot;")
}

fn confidence(row: &Row) -> String {
    row.confidence
        .map_or_else(|| "-".into(), |c| format!("{:.1}%", c * 100.0))
}

fn overhead(row: &Row) -> f64 {
    (row.remote_ms / row.local_ms - 1.0) * 100.0
}
