//! The contact sheet: every annotated picture, one row a task or more.

use super::Row;
use anyhow::Result;
use image::imageops::{self, FilterType};
use image::{Rgb, RgbImage};
use std::path::Path;

const CELL: u32 = 160;
const GAP: u32 = 6;
const COLUMNS: u32 = 10;
const RIGHT: Rgb<u8> = Rgb([46, 125, 50]);
const WRONG: Rgb<u8> = Rgb([198, 40, 40]);

/// Draws all pictures with a green or red frame into one PNG.
pub(crate) fn contact_sheet(rows: &[Row], path: &Path) -> Result<()> {
    // Each task begins a line of its own.
    let mut places = Vec::new();
    let (mut column, mut line) = (0, 0);
    let mut task = rows.first().map_or("", |row| row.task);
    for row in rows {
        if column == COLUMNS || row.task != task {
            (column, line, task) = (0, line + 1, row.task);
        }
        places.push((column, line));
        column += 1;
    }
    let step = CELL + GAP;
    let mut sheet = RgbImage::from_pixel(
        COLUMNS * step + GAP,
        (line + 1) * step + GAP,
        Rgb([250, 250, 250]),
    );
    for (row, (column, line)) in rows.iter().zip(places) {
        let picture = image::open(&row.picture)?.to_rgb8();
        let (x, y) = (GAP + column * step, GAP + line * step);
        let frame = if row.correct { RIGHT } else { WRONG };
        imageops::overlay(
            &mut sheet,
            &RgbImage::from_pixel(CELL, CELL, frame),
            x.into(),
            y.into(),
        );
        let inner = CELL - 6;
        let scale = f64::from(inner) / f64::from(picture.width().max(picture.height()));
        let side = |length: u32| ((f64::from(length) * scale) as u32).clamp(1, inner);
        let (width, height) = (side(picture.width()), side(picture.height()));
        let small = imageops::resize(&picture, width, height, FilterType::Triangle);
        imageops::overlay(
            &mut sheet,
            &small,
            (x + (CELL - width) / 2).into(),
            (y + (CELL - height) / 2).into(),
        );
    }
    sheet.save(path)?;
    Ok(())
}
