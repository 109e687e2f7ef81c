//! A drawing of the figures, as PNG; the letters come with the program.

use super::report::{Report, Scaling, Throughput, size};
use anyhow::{Result, anyhow};
use image::{ImageFormat, RgbImage};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::{FontStyle, register_font};
use std::path::Path;

const SIZE: (u32, u32) = (1200, 520);
const FONT: &str = "sans-serif";
const COLOUR: RGBColor = RGBColor(47, 93, 138);

type Area<'a> = DrawingArea<BitMapBackend<'a>, Shift>;

/// Draws throughput and scaling side by side.
pub(super) fn write(file: &Path, report: &Report) -> Result<()> {
    register_font(FONT, FontStyle::Normal, epaint_default_fonts::UBUNTU_LIGHT)
        .map_err(|_| anyhow!("the letters cannot be read"))?;
    let mut pixels = vec![255; SIZE.0 as usize * SIZE.1 as usize * 3];
    {
        let root = BitMapBackend::with_buffer(&mut pixels, SIZE).into_drawing_area();
        let failed = |e: &dyn std::fmt::Display| anyhow!("{e}");
        root.fill(&WHITE).map_err(|e| failed(&e))?;
        let title = format!(
            "{}: empty call {:.2} us (p99 {:.2} us)",
            report.title(),
            report.latency.p50,
            report.latency.p99
        );
        let root = root
            .margin(8, 4, 4, 4)
            .titled(&title, (FONT, 22))
            .map_err(|e| failed(&e))?;
        let (left, right) = root.split_horizontally(SIZE.0 / 2);
        throughput(&left, report.operation, &report.throughput)?;
        scaling(&right, &report.scaling)?;
        root.present().map_err(|e| failed(&e))?;
    }
    let picture = RgbImage::from_raw(SIZE.0, SIZE.1, pixels)
        .ok_or_else(|| anyhow!("the picture has another size"))?;
    Ok(picture.save_with_format(file, ImageFormat::Png)?)
}

fn throughput(area: &Area<'_>, operation: &str, rows: &[Throughput]) -> Result<()> {
    let points: Vec<(f64, f64)> = rows.iter().map(|r| (r.bytes as f64, r.rate)).collect();
    let names = |x: &f64| size(x.round() as usize);
    let title = format!("{operation} in, MB/s by bytes a call");
    chart(area, &title, &points, 2.0, &names)
}

fn scaling(area: &Area<'_>, rows: &[Scaling]) -> Result<()> {
    let points: Vec<(f64, f64)> = rows
        .iter()
        .map(|r| (f64::from(r.clients), r.rate))
        .collect();
    let names = |x: &f64| format!("{x:.0}");
    chart(
        area,
        "empty calls a second by client processes",
        &points,
        2.0,
        &names,
    )
}

/// One line with its points; the horizontal axis is logarithmic.
fn chart(
    area: &Area<'_>,
    title: &str,
    points: &[(f64, f64)],
    base: f64,
    names: &dyn Fn(&f64) -> String,
) -> Result<()> {
    let failed = |e: &dyn std::fmt::Display| anyhow!("{e}");
    let mut points = points.to_vec();
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (Some(first), Some(last)) = (points.first(), points.last()) else {
        return Ok(());
    };
    // Something to the left and to the right, also of a single point.
    let across = (first.0 / 1.3)..(last.0 * 1.3);
    let highest = points.iter().map(|p| p.1).fold(f64::MIN_POSITIVE, f64::max);
    let mut chart = ChartBuilder::on(area)
        .caption(title, (FONT, 18))
        .margin(14)
        .x_label_area_size(34)
        .y_label_area_size(78)
        .build_cartesian_2d(across.log_scale().base(base), 0.0..highest * 1.15)
        .map_err(|e| failed(&e))?;
    chart
        .configure_mesh()
        .x_labels(0)
        .x_label_formatter(&|_| String::new())
        .y_label_formatter(&|y| format!("{y:.0}"))
        .label_style((FONT, 14))
        .light_line_style(WHITE)
        .bold_line_style(RGBColor(225, 225, 225))
        .disable_x_mesh()
        .draw()
        .map_err(|e| failed(&e))?;
    chart
        .draw_series(LineSeries::new(
            points.iter().copied(),
            COLOUR.stroke_width(2),
        ))
        .map_err(|e| failed(&e))?;
    // The axis is named at the points themselves: ticks of a logarithmic axis fall elsewhere.
    let marks = points.iter().map(|&(x, y)| {
        EmptyElement::at((x, y))
            + Circle::new((0, 0), 4, COLOUR.filled())
            + Text::new(format!("{y:.0}"), (-14, -20), (FONT, 14))
    });
    chart.draw_series(marks).map_err(|e| failed(&e))?;
    let labels = points
        .iter()
        .map(|&(x, _)| EmptyElement::at((x, 0.0)) + Text::new(names(&x), (-10, 8), (FONT, 14)));
    chart.draw_series(labels).map_err(|e| failed(&e))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::bench::measure::Times;

    fn report(points: usize) -> Report {
        Report {
            address: Some("unix:///run/vaccel/agent.sock".into()),
            latency: Times {
                calls: 10,
                p50: 1.5,
                p99: 9.0,
            },
            operation: "tensor",
            throughput: (0..points)
                .map(|i| Throughput {
                    bytes: 1024 << (2 * i),
                    p50: 1.0,
                    p99: 2.0,
                    rate: 1000.0 * (i + 1) as f64,
                })
                .collect(),
            scaling: (0..points)
                .map(|i| Scaling {
                    clients: 1 << (2 * i),
                    rate: 50_000.0 * (i + 1) as f64,
                })
                .collect(),
        }
    }

    #[test]
    fn a_drawing_has_lines_and_letters_without_fonts_of_the_system() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("bench.png");
        write(&file, &report(4)).unwrap();
        let picture = image::open(&file).unwrap().to_rgb8();
        assert_eq!(picture.dimensions(), SIZE);
        let lines = picture
            .pixels()
            .filter(|p| p.0 == [COLOUR.0, COLOUR.1, COLOUR.2])
            .count();
        assert!(lines > 500, "{lines} pixels of lines");
        // The title is all that is drawn at the top.
        let letters = picture
            .rows()
            .take(24)
            .flatten()
            .filter(|p| p.0[0] < 100)
            .count();
        assert!(letters > 100, "{letters} pixels of letters");
    }

    #[test]
    fn a_single_point_and_no_point_can_be_drawn() {
        let folder = tempfile::tempdir().unwrap();
        for points in [0, 1] {
            write(&folder.path().join("bench.png"), &report(points)).unwrap();
        }
    }
}
