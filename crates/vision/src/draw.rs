//! The annotated picture.

use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder};

use crate::canvas::Canvas;
use crate::colormap::{Colour, of_class};
use crate::description::OutputSection;
use crate::error::{Error, Result};
use crate::picture::Picture;
use crate::postprocess::{ClassGrid, DepthGrid, Layer};
use crate::result::{Area, Detection, Findings, Outcome, Person};

/// Colour of the bars behind text that belongs to no class.
const DARK: Colour = [32; 3];

/// Draws the findings on a copy of the picture.
pub(crate) fn annotate(
    picture: &Picture,
    outcome: &Outcome,
    layer: &Layer,
    style: &OutputSection,
) -> Picture {
    if let Layer::Depth(grid) = layer {
        return paint_depth(grid, style);
    }
    let mut canvas = Canvas::new(picture.clone());
    match layer {
        Layer::Classes(grid) => paint_classes(&mut canvas, grid, style),
        Layer::Masks { masks, .. } => {
            for mask in masks {
                let colour = of_class(mask.class);
                mask.for_each(|x, y| canvas.blend(x, y, colour));
            }
        }
        Layer::Nothing | Layer::Depth(_) => {}
    }
    match &outcome.findings {
        Findings::Classify { classes } => {
            let lines = classes
                .iter()
                .map(|c| (format!("{} {:.1} %", c.label, c.score * 100.0), DARK));
            list(&mut canvas, lines);
        }
        Findings::Detect { boxes } => boxes
            .iter()
            .rev()
            .for_each(|found| draw_box(&mut canvas, found)),
        Findings::Segment { classes, objects } if objects.is_empty() => {
            let painted = |area: &&Area| is_painted(area.index, style);
            let line = |area: &Area| {
                (
                    format!("{} {:.1} %", area.label, area.share * 100.0),
                    of_class(area.index),
                )
            };
            list(&mut canvas, classes.iter().filter(painted).map(line));
        }
        Findings::Segment { objects, .. } => {
            objects
                .iter()
                .rev()
                .for_each(|object| draw_box(&mut canvas, &object.detection));
        }
        Findings::Pose { people } => {
            for (number, person) in people.iter().enumerate() {
                draw_person(&mut canvas, person, of_class(number), style);
            }
        }
        Findings::Depth { .. } => {}
    }
    canvas.finish()
}

/// Encodes a picture as PNG, for speed rather than size.
pub(crate) fn encode_png(picture: &Picture) -> Result<Vec<u8>> {
    let mut png = Vec::new();
    PngEncoder::new_with_quality(&mut png, CompressionType::Fast, FilterType::Up)
        .write_image(
            picture.rgb(),
            picture.width(),
            picture.height(),
            ExtendedColorType::Rgb8,
        )
        .map_err(|e| Error::Encode(e.to_string()))?;
    Ok(png)
}

fn is_painted(class: usize, style: &OutputSection) -> bool {
    i64::try_from(class).is_ok_and(|class| class != i64::from(style.background.unwrap_or(0)))
}

fn paint_classes(canvas: &mut Canvas, grid: &ClassGrid, style: &OutputSection) {
    let (width, _) = grid.picture();
    let colours: [Option<Colour>; 256] =
        std::array::from_fn(|class| is_painted(class, style).then(|| of_class(class)));
    for (y, row) in (0..).zip(grid.at_picture().chunks_exact(width as usize)) {
        canvas.blend_row(y, row.iter().map(|&class| colours[usize::from(class)]));
    }
}

/// Near is bright. What the model did not see is black.
fn paint_depth(grid: &DepthGrid, style: &OutputSection) -> Picture {
    let colours = style.colormap.colours();
    let (min, max) = grid.range;
    // Halves, so that the range of two finite values is finite.
    let range = max / 2.0 - min / 2.0;
    let step = if range > 0.0 { 127.5 / range } else { 0.0 };
    let mut picture = Picture::black(grid.picture());
    let mut pixels = picture.rgb_mut().as_chunks_mut::<3>().0.iter_mut();
    grid.for_each_row(|row| {
        // Rows come in order, as many as the picture has.
        for (&value, pixel) in row.iter().zip(&mut pixels) {
            if value.is_finite() {
                let index = ((value - min) * step + 0.5) as u8; // saturates
                *pixel = colours[usize::from(if style.inverse { index } else { 255 - index })];
            }
        }
    });
    picture
}

/// Lines of text from the top left corner down.
fn list(canvas: &mut Canvas, lines: impl Iterator<Item = (String, Colour)>) {
    let mut top = 0;
    for (line, colour) in lines {
        canvas.text(0, top, &line, colour);
        top += canvas.line_height();
    }
}

fn draw_box(canvas: &mut Canvas, found: &Detection) {
    let colour = of_class(found.index);
    let edge = |value: f32| value.round() as i64;
    let (left, top) = (edge(found.x), edge(found.y));
    canvas.frame(
        left,
        top,
        edge(found.x + found.width),
        edge(found.y + found.height),
        colour,
    );
    // Above the box where there is room, else inside.
    let above = top - canvas.line_height();
    let text = format!("{} {:.0} %", found.label, found.score * 100.0);
    canvas.text(left, if above < 0 { top } else { above }, &text, colour);
}

fn draw_person(canvas: &mut Canvas, person: &Person, colour: Colour, style: &OutputSection) {
    if let Some(b) = &person.bounds {
        let edge = |value: f32| value.round() as i64;
        canvas.frame(
            edge(b.x),
            edge(b.y),
            edge(b.x + b.width),
            edge(b.y + b.height),
            colour,
        );
    }
    let at = |index: usize| {
        let point = person.points.get(index)?;
        (point.score >= style.point_threshold).then_some((point.x as i64, point.y as i64))
    };
    for &[from, to] in &style.skeleton {
        if let (Some(from), Some(to)) = (at(from), at(to)) {
            canvas.line(from, to, colour);
        }
    }
    let radius = i64::from(canvas.thickness) * 2 + 1;
    for (x, y) in (0..person.points.len()).filter_map(at) {
        canvas.disc(x, y, radius, [255; 3]);
        canvas.disc(x, y, radius - 1, colour);
    }
}
