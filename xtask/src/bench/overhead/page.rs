//! The page for people: `docs/performance.md`, with drawings.

use super::{Page, Row, Times};
use crate::bench::figure::{Figure, Line, PeerFigure};
use crate::process::{command, output};
use anyhow::{Context, Result};
use std::fmt::Write;

const VACCEL: &str = "#2f5d8a";
const LIGHT: &str = "#7a9cc6";
const OTHER: &str = "#b0aa9f";

/// Writes `performance.md` and its drawings into the folder.
pub(super) fn write(
    page: &Page<'_>,
    rows: &[Row],
    iterations: usize,
    no_vsock: Option<&str>,
) -> Result<()> {
    let save = |name: &str, text: String| {
        let path = page.folder.join(name);
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    };
    let mut text = overhead(rows, iterations, no_vsock)?;
    text.push_str(&transport(page.transport)?);
    save(
        "performance.svg",
        bars("median over native, percent", &over_all(rows))?,
    )?;
    save(
        "transport.svg",
        bars(
            "empty call, microseconds (median)",
            &calls(page.transport, "empty op, "),
        )?,
    )?;
    save(
        "transport-1mb.svg",
        bars(
            "1 MB in, microseconds (median)",
            &calls(page.transport, "1 MB in, "),
        )?,
    )?;
    save("performance.md", text)
}

/// What a way costs over native, percent of the median.
fn over(native: &Times, way: &Times) -> f64 {
    (way.p50 / native.p50 - 1.0) * 100.0
}

fn overhead(rows: &[Row], iterations: usize, no_vsock: Option<&str>) -> Result<String> {
    let mut text = format!(
        "# What vaccel costs\n\n\
         Written by `cargo xtask bench overhead --write docs`; run it to have the figures of your machine.\n\n\
         Machine: {}.\n\n\
         ## Beside a model\n\n\
         A picture is classified in several ways that take turns, picture by picture, each in processes of its own:\n\
         *native* (the same decoder, preprocessing and engine, called directly), *in process* (vaccel with\n\
         the `onnx` plugin), and through an agent with a worker process of its own, over each transport. Times are in\n\
         milliseconds, {iterations} iterations of each, nothing left out. Percent are of the medians, over native in the same run.\n\
         ResNet-50 and MobileNetV2 have random weights from a seed; `classify` is the digit net of this repository.\n\
         Where the p99 of *native* is far above its p50, the machine had other work: then a few percent say nothing.\n\n",
        machine()
    );
    if let Some(why) = no_vsock {
        writeln!(text, "There are no rows for vsock: {why}.\n")?;
    }
    text.push_str(
        "![overhead over native](performance.svg)\n\n\
         | model | picture | way | mean | p50 | p99 | over native |\n\
         | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    for row in rows {
        for (i, times) in row.ways.iter().enumerate() {
            let percent = match i {
                0 => String::new(),
                _ => format!("{:+.2} %", over(&row.ways[0], times)),
            };
            writeln!(
                text,
                "| {} | {} KB | {} | {:.3} | {:.3} | {:.3} | {percent} |",
                row.net, row.kilobytes, times.way, times.mean, times.p50, times.p99
            )?;
        }
    }
    Ok(text)
}

fn transport(lines: &[Line]) -> Result<String> {
    let mut text = String::from(
        "\n## The transport\n\n\
         Figures of `cargo xtask bench transport --peers`: medians of 5 rounds, each beside a floor that was measured in the same\n\
         run with the same placement (a bare round trip over the same kind of socket, or through bare shared memory; a copy).\n\
         A target that is missed is marked; [profiles](profiles.md) say why.\n\n\
         ![empty calls](transport.svg)\n\n![1 MB in](transport-1mb.svg)\n\n\
         | figure | value | p99 | floor | ratio | target |\n| --- | --- | --- | --- | --- | --- |\n",
    );
    let number = |value: Option<f64>| match value {
        Some(value) if value.is_finite() => format!("{value:.2}"),
        _ => String::new(),
    };
    for line in lines {
        if let Line::Figure(f) = line {
            let target = match (&f.target, f.ok) {
                (Some(target), true) => target.clone(),
                (Some(target), false) => format!("{target}: **missed**"),
                (None, true) => String::new(),
                (None, false) => "**not measured**".into(),
            };
            writeln!(
                text,
                "| {} | {} {} | {} | {} | {} | {target} |",
                f.name,
                number(Some(f.value)),
                f.unit,
                number(f.p99),
                number(f.floor),
                number(f.ratio),
            )?;
        }
    }
    let peers: Vec<&PeerFigure> = lines.iter().filter_map(peer).collect();
    if peers.is_empty() {
        text.push_str("\nThe other libraries were not measured in this run.\n");
        return Ok(text);
    }
    text.push_str(
        "\nOther libraries, in the same run ([benches/peers](../benches/peers)):\n\n\
         | library | figure | value | p99 |\n| --- | --- | --- | --- |\n",
    );
    for p in peers {
        writeln!(
            text,
            "| {} | {} | {:.2} {} | {} |",
            p.peer,
            p.name,
            p.value,
            p.unit,
            number(p.p99)
        )?;
    }
    Ok(text)
}

fn peer(line: &Line) -> Option<&PeerFigure> {
    match line {
        Line::Peer(peer) => Some(peer),
        Line::Figure(_) => None,
    }
}

/// What the figures were measured on.
pub(crate) fn machine() -> String {
    let cpus = std::thread::available_parallelism().map_or(0, usize::from);
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("unknown processor", |(_, name)| name);
    let kernel = output(command("uname").arg("-r")).unwrap_or_default();
    format!("{cpus} CPUs, {model}, Linux {}", kernel.trim())
}

/// A bar: name, colour, value.
type Bar = (String, &'static str, f64);

fn over_all(rows: &[Row]) -> Vec<Bar> {
    let mut bars = Vec::new();
    for row in rows {
        let [native, others @ ..] = &row.ways[..] else {
            continue;
        };
        for times in others {
            let colour = match times.way.as_str() {
                "in process" => LIGHT,
                _ => VACCEL,
            };
            let name = format!("{}, {} KB, {}", row.net, row.kilobytes, times.way);
            bars.push((name, colour, over(native, times)));
        }
    }
    bars
}

/// The calls whose names begin so, vaccel's and others', with the floors of vaccel's.
fn calls(lines: &[Line], prefix: &str) -> Vec<Bar> {
    let mut bars = Vec::new();
    for line in lines {
        match line {
            Line::Figure(Figure {
                name,
                value,
                floor,
                unit,
                ..
            }) if name.starts_with(prefix) && unit == "us" && value.is_finite() => {
                let name = &name[prefix.len()..];
                bars.push((name.to_string(), VACCEL, *value));
                if let Some(floor) = floor {
                    bars.push((format!("floor of {name}"), LIGHT, *floor));
                }
            }
            Line::Peer(p) if p.name.starts_with(prefix) => {
                let name = format!("{}: {}", p.peer, &p.name[prefix.len()..]);
                bars.push((name, OTHER, p.value));
            }
            _ => {}
        }
    }
    bars
}

/// Horizontal bars, one below the other.
fn bars(title: &str, bars: &[Bar]) -> Result<String> {
    const LEFT: f64 = 310.0;
    const LINE: f64 = 18.0;
    const SCALE_WIDTH: f64 = 400.0;
    let largest = bars.iter().map(|bar| bar.2.abs()).fold(1.0, f64::max);
    let height = LINE * bars.len() as f64 + 40.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"800\" height=\"{height}\" \
         font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"800\" height=\"{height}\" fill=\"white\"/>\n\
         <text x=\"{LEFT}\" y=\"16\">{title}</text>\n"
    );
    for (i, (name, colour, value)) in bars.iter().enumerate() {
        let y = 26.0 + LINE * i as f64;
        let width = (value.max(0.0) / largest * SCALE_WIDTH).max(1.0);
        writeln!(
            svg,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{name}</text>\
             <rect x=\"{LEFT}\" y=\"{y}\" width=\"{width:.1}\" height=\"{}\" fill=\"{colour}\"/>\
             <text x=\"{:.1}\" y=\"{}\">{value:.2}</text>",
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_every_figure_and_marks_what_was_missed() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let times = |way: &str, p50| Times {
            way: way.into(),
            mean: p50,
            p50,
            p99: 2.0 * p50,
        };
        let rows = [Row {
            net: "resnet50".into(),
            kilobytes: 40,
            ways: vec![
                times("native", 50.0),
                times("in process", 50.1),
                times("unix", 50.4),
            ],
        }];
        let lines = [
            Line::Figure(Figure::ratio("empty op, unix", 13.0, "us", 10.0, 1.15)),
            Line::Figure(Figure::ratio("1 MB in, tcp", 12.0, "us", 10.0, 1.3)),
            Line::Figure(Figure::missing("system calls", "", "no strace")),
            Line::Peer(PeerFigure {
                name: "empty op, unix".into(),
                peer: "tonic".into(),
                value: 99.5,
                unit: "us".into(),
                p99: None,
            }),
        ];
        let page = Page {
            folder: folder.path(),
            transport: &lines,
        };
        write(&page, &rows, 1000, Some("no vsock"))?;
        let text = std::fs::read_to_string(folder.path().join("performance.md"))?;
        for part in [
            "| resnet50 | 40 KB | unix | 50.400 | 50.400 | 100.800 | +0.80 % |",
            "no rows for vsock: no vsock",
            "| empty op, unix | 13.00 us |  | 10.00 | 1.30 | <= 1.15 x floor: **missed** |",
            "<= 1.3 x floor |",
            "**not measured**",
            "| tonic | empty op, unix | 99.50 us |",
        ] {
            assert!(text.contains(part), "`{part}` is not in\n{text}");
        }
        let drawing = std::fs::read_to_string(folder.path().join("transport.svg"))?;
        assert!(drawing.contains("tonic: unix") && drawing.contains("floor of unix"));
        Ok(())
    }
}
