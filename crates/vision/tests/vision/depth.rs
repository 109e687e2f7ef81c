//! Depth maps, worked out by hand.

use vaccel_vision::{Findings, MapData, TensorView};

use crate::common::{Model, close};

fn depth(more: &str, resize: &str, picture: (u32, u32)) -> Model {
    let input = format!("resize = '{resize}'");
    Model::new(
        "depth",
        &input,
        &format!("format = 'depth-map'\n{more}"),
        (8, 8),
        picture,
    )
}

fn range(model: &Model, output: TensorView<'_>) -> (f32, f32, f32, Option<String>) {
    match model.findings(&[output]) {
        Findings::Depth {
            min,
            max,
            mean,
            unit,
        } => (min, max, mean, unit),
        other => panic!("{other:?}"),
    }
}

fn map(model: &Model, output: TensorView<'_>) -> Vec<f32> {
    let map = model.answer(&[output]).unwrap().map().unwrap().unwrap();
    assert_eq!((map.width, map.height), model.picture);
    match map.data {
        MapData::F32(values) => values,
        other => panic!("{other:?}"),
    }
}

#[test]
fn values_are_counted_and_spread_over_the_picture() {
    let model = depth("unit = 'm'", "stretch", (4, 2));
    let values = [1.0, 3.0, 5.0, 7.0];
    for shape in [&[1, 2, 2][..], &[1, 1, 2, 2]] {
        let view = TensorView::f32("t", shape, &values);
        assert_eq!(range(&model, view), (1.0, 7.0, 4.0, Some("m".to_owned())));
        // Columns at -0.25 (held at 0), 0.25, 0.75 and 1.25 (held at 1) of the cells.
        assert_eq!(map(&model, view), [1.0, 1.5, 2.5, 3.0, 5.0, 5.5, 6.5, 7.0]);
    }
    let nhwc = depth("layout = 'nhwc'", "stretch", (4, 2));
    assert_eq!(
        range(&nhwc, TensorView::f32("t", &[1, 2, 2, 1], &values)).3,
        None
    );
}

#[test]
fn the_filling_of_a_letterbox_does_not_count_and_does_not_bleed_in() {
    // 16 x 8 in 8 x 8: rows 2..6 of 8.
    let model = depth("", "letterbox", (16, 8));
    let values: Vec<f32> = (0..64)
        .map(|cell| if (16..48).contains(&cell) { 2.0 } else { 100.0 })
        .collect();
    let view = TensorView::f32("t", &[1, 8, 8], &values);
    assert_eq!(range(&model, view), (2.0, 2.0, 2.0, None));
    assert!(map(&model, view).iter().all(|&v| v == 2.0));
}

#[test]
fn what_a_crop_cut_off_is_not_known() {
    let model = depth("", "center-crop", (16, 8));
    let values = map(&model, TensorView::f32("t", &[1, 8, 8], &[3.0; 64]));
    for (at, value) in values.iter().enumerate() {
        let seen = (4..12).contains(&(at % 16));
        assert!(
            if seen { *value == 3.0 } else { value.is_nan() },
            "{at} {value}"
        );
    }
}

#[test]
fn values_that_are_no_numbers_do_not_count() {
    let model = depth("", "stretch", (8, 8));
    let mut values = [4.0; 64];
    values[0] = f32::NAN;
    values[1] = f32::INFINITY;
    values[63] = 8.0;
    let (min, max, mean, _) = range(&model, TensorView::f32("t", &[1, 8, 8], &values));
    assert_eq!((min, max), (4.0, 8.0));
    assert!(close(mean, (61.0 * 4.0 + 8.0) / 62.0, 1e-6));
    let out = map(&model, TensorView::f32("t", &[1, 8, 8], &values));
    assert!(out[0].is_nan() && out[2] == 4.0 && out[63] == 8.0);
    let nothing = model.error(&[TensorView::f32("t", &[1, 8, 8], &[f32::NAN; 64])]);
    assert!(nothing.contains("no finite value"), "{nothing}");
}

#[test]
fn wrong_shapes_are_told() {
    let model = depth("", "stretch", (8, 8));
    let error = |shape: &[usize]| model.error(&[TensorView::f32("t", shape, &[0.0; 12])]);
    assert!(error(&[1, 3, 2, 2]).contains("expects [1, H, W] or [1, 1, H, W], got [1, 3, 2, 2]"));
    assert!(error(&[3, 4]).contains("expects [1, H, W]"));
    assert!(error(&[2, 2, 3]).contains("expects [1, H, W]"));
}
