//! The table for people: `docs/performance.md`, with a drawing.

use super::{Row, Times};
use crate::process::{command, output};
use anyhow::{Context, Result};
use std::fmt::Write;
use std::path::Path;

/// Writes `performance.md` and `performance.svg` into a folder.
pub(crate) fn write(folder: &Path, rows: &[Row], iterations: usize) -> Result<()> {
    let save = |name: &str, text: String| {
        let path = folder.join(name);
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    };
    save("performance.svg", drawing(rows)?)?;
    save("performance.md", page(rows, iterations)?)
}

/// What way costs over native, percent of the median.
fn over(native: &Times, way: &Times) -> f64 {
    (way.p50 / native.p50 - 1.0) * 100.0
}

fn page(rows: &[Row], iterations: usize) -> Result<String> {
    let mut text = format!(
        "# What vaccel costs\n\n\
         Written by `cargo xtask bench overhead --write docs`; run it to have the figures of your machine.\n\n\
         A picture is classified in three ways that take turns, picture by picture: *native* (the same\n\
         decoder, preprocessing and engine, called directly by the program), *in process* (vaccel with\n\
         the `onnx` plugin), and through an agent with a worker process of its own. Times are in milliseconds,\n\
         {iterations} iterations of each, nothing left out. Percent are of the medians, over native in the same run.\n\
         ResNet-50 and MobileNetV2 have random weights from a seed; `classify` is the digit net of this repository.\n\n\
         Machine: {}.\n\n\
         ![overhead over native](performance.svg)\n\n\
         | model | picture | way | mean | p50 | p99 | over native |\n| --- | --- | --- | --- | --- | --- | --- |\n",
        machine()
    );
    for row in rows {
        let m = &row.times;
        let remote = format!("agent over {}", row.transport);
        let ways = [
            ("native", &m.native),
            ("in process", &m.local),
            (remote.as_str(), &m.remote),
        ];
        for (way, times) in ways {
            let percent = if way == "native" {
                String::new()
            } else {
                format!("{:+.2} %", over(&m.native, times))
            };
            writeln!(
                text,
                "| {} | {} KB | {way} | {:.3} | {:.3} | {:.3} | {percent} |",
                row.net, row.picture.kilobytes, times.mean, times.p50, times.p99
            )?;
        }
    }
    Ok(text)
}

fn machine() -> String {
    let cpus = std::thread::available_parallelism().map_or(0, usize::from);
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("unknown processor", |(_, name)| name);
    let kernel = output(command("uname").arg("-r")).unwrap_or_default();
    format!("{cpus} CPUs, {model}, Linux {}", kernel.trim())
}

/// Bars: percent over native, a group for each row.
fn drawing(rows: &[Row]) -> Result<String> {
    const LEFT: f64 = 250.0;
    const LINE: f64 = 18.0;
    const SCALE_WIDTH: f64 = 420.0;
    let bars: Vec<(String, &str, f64)> = rows
        .iter()
        .flat_map(|row| {
            let name = format!("{}, {} KB", row.net, row.picture.kilobytes);
            let m = &row.times;
            [
                (
                    format!("{name}, in process"),
                    "#7a9cc6",
                    over(&m.native, &m.local),
                ),
                (
                    format!("{name}, {}", row.transport),
                    "#2f5d8a",
                    over(&m.native, &m.remote),
                ),
            ]
        })
        .collect();
    let largest = bars.iter().map(|bar| bar.2.abs()).fold(1.0, f64::max);
    let height = LINE * bars.len() as f64 + 40.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"760\" height=\"{height}\" \
         font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"760\" height=\"{height}\" fill=\"white\"/>\n\
         <text x=\"{LEFT}\" y=\"16\">median over native, percent</text>\n"
    );
    for (i, (name, colour, percent)) in bars.iter().enumerate() {
        let y = 26.0 + LINE * i as f64;
        let width = (percent.max(0.0) / largest * SCALE_WIDTH).max(1.0);
        writeln!(
            svg,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{name}</text>\
             <rect x=\"{LEFT}\" y=\"{y}\" width=\"{width:.1}\" height=\"{}\" fill=\"{colour}\"/>\
             <text x=\"{:.1}\" y=\"{}\">{percent:+.2}</text>",
            LEFT - 6.0,
            y + 10.0,
            LINE - 5.0,
            LEFT + width + 5.0,
            y + 10.0,
        )?;
    }
    svg.push_str("</svg>\n");
    Ok(svg)
}
