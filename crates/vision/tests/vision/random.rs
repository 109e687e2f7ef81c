//! Random tensors against the plainest way to read them.

use vaccel_vision::{Detection, Findings, TensorView};

use crate::common::{Model, Random, close};

/// A box of the reference: edges in the input, class, score.
type Plain = ([f32; 4], usize, f32);

fn overlap(a: [f32; 4], b: [f32; 4]) -> f32 {
    let width = (a[2].min(b[2]) - a[0].max(b[0])).max(0.0);
    let height = (a[3].min(b[3]) - a[1].max(b[1])).max(0.0);
    let area = |c: [f32; 4]| (c[2] - c[0]) * (c[3] - c[1]);
    width * height / (area(a) + area(b) - width * height)
}

/// Takes the best box, strikes out what it hides, and so on.
fn suppress(mut boxes: Vec<Plain>, threshold: f32) -> Vec<Plain> {
    let mut kept = Vec::new();
    while !boxes.is_empty() {
        let mut best = 0;
        for (at, candidate) in boxes.iter().enumerate() {
            if candidate.2 > boxes[best].2 {
                best = at;
            }
        }
        let best = boxes.remove(best);
        boxes.retain(|other| other.1 != best.1 || overlap(best.0, other.0) <= threshold);
        kept.push(best);
    }
    kept
}

fn compare(found: &[Detection], wanted: &[Plain], scale: f32, round: usize) {
    assert_eq!(found.len(), wanted.len(), "round {round}");
    for (found, (edges, class, score)) in found.iter().zip(wanted) {
        assert_eq!(
            (found.index, found.score),
            (*class, *score),
            "round {round}"
        );
        let got = [
            found.x,
            found.y,
            found.x + found.width,
            found.y + found.height,
        ];
        for (got, edge) in got.into_iter().zip(edges) {
            assert!(
                close(got, edge.clamp(0.0, 100.0) * scale, 1e-2),
                "round {round}: {got} {edge}"
            );
        }
    }
}

#[test]
fn yolo_boxes_agree_with_the_plain_way() {
    let mut random = Random::new(1);
    let mut seen = 0;
    for round in 0..300 {
        let (classes, n) = (1 + random.below(5), 1 + random.below(60));
        let rows: Vec<Vec<f32>> = (0..n)
            .map(|_| {
                let mut row = vec![
                    random.between(10.0, 90.0),
                    random.between(10.0, 90.0),
                    random.between(1.0, 40.0),
                    random.between(1.0, 40.0),
                ];
                row.extend((0..classes).map(|_| random.unit()));
                if random.below(15) == 0 {
                    let at = random.below(4 + classes);
                    row[at] = f32::NAN;
                }
                row
            })
            .collect();
        let plain = rows.iter().filter_map(|row| {
            let mut best = (0, f32::MIN);
            for (class, &score) in row[4..].iter().enumerate() {
                if score > best.1 {
                    best = (class, score);
                }
            }
            let (x, y, w, h) = (row[0], row[1], row[2], row[3]);
            let sound = row[..4].iter().all(|v| v.is_finite()) && best.1 >= 0.4;
            sound.then_some((
                [x - w / 2.0, y - h / 2.0, x + w / 2.0, y + h / 2.0],
                best.0,
                best.1,
            ))
        });
        let wanted = suppress(plain.collect(), 0.3);
        let output = "format = 'yolov8'\nscore_threshold = 0.4\niou_threshold = 0.3";
        let model = Model::new("detect", "", output, (100, 100), (200, 200));
        let data: Vec<f32> = (0..4 + classes)
            .flat_map(|at| rows.iter().map(move |row| row[at]))
            .collect();
        let shape = [1, 4 + classes, n];
        let view = TensorView::f32("t", &shape, &data);
        let Findings::Detect { boxes } = model.findings(&[view]) else {
            panic!()
        };
        compare(&boxes, &wanted, 2.0, round);
        seen += boxes.len();
    }
    assert!(seen > 3000, "{seen}");
}

#[test]
fn class_maps_agree_with_the_plain_way() {
    let mut random = Random::new(2);
    let mut compared = 0;
    'rounds: for round in 0..200 {
        let (classes, height, width) = (
            2 + random.below(6),
            1 + random.below(12),
            1 + random.below(12),
        );
        let picture = (1 + random.below(40) as u32, 1 + random.below(40) as u32);
        let resize = ["stretch", "letterbox", "center-crop"][random.below(3)];
        let layout = ["nchw", "nhwc"][random.below(2)];
        let output = format!("format = 'class-map'\nlayout = '{layout}'\nbackground = 1");
        let model = Model::new(
            "segment",
            &format!("resize = '{resize}'"),
            &output,
            (24, 16),
            picture,
        );
        let data: Vec<f32> = (0..classes * height * width)
            .map(|_| random.wild())
            .collect();
        let at = |class: usize, y: usize, x: usize| match layout {
            "nchw" => data[(class * height + y) * width + x],
            _ => data[(y * width + x) * classes + class],
        };
        let shape = match layout {
            "nchw" => [1, classes, height, width],
            _ => [1, height, width, classes],
        };
        let answer = model
            .answer(&[TensorView::f32("t", &shape, &data)])
            .unwrap();
        let map = answer.map().unwrap().unwrap();
        let vaccel_vision::MapData::U8(map) = map.data else {
            panic!()
        };
        let gray = crate::common::gray(picture.0, picture.1);
        let transform = model
            .vision
            .prepare_picture(gray)
            .unwrap()
            .frame
            .transform();
        let mut counts = vec![0_u64; 256];
        for (pixel, &got) in map.iter().enumerate() {
            let (x, y) = (pixel as u32 % picture.0, pixel as u32 / picture.0);
            let (u, v) = transform.to_input(f64::from(x) + 0.5, f64::from(y) + 0.5);
            let (u, v) = (u / 24.0 * width as f64, v / 16.0 * height as f64);
            // On the line between two cells the last bit decides, and either is right.
            if [u, v].iter().any(|at| (at - at.round()).abs() < 1e-9) {
                continue 'rounds;
            }
            let (cx, cy) = (u.floor(), v.floor());
            let inside = cx >= 0.0 && cy >= 0.0 && cx < width as f64 && cy < height as f64;
            let mut best = (1, f32::NEG_INFINITY);
            for class in (0..classes).filter(|_| inside) {
                let score = at(class, cy as usize, cx as usize);
                if score > best.1 {
                    best = (class, score);
                }
            }
            assert_eq!(usize::from(got), best.0, "round {round} {resize} {x},{y}");
            counts[best.0] += u64::from(inside);
        }
        let Findings::Segment { classes, .. } = &answer.outcome().findings else {
            panic!()
        };
        for area in classes {
            assert_eq!(area.pixels, counts[area.index], "round {round}");
        }
        assert_eq!(
            classes.iter().map(|a| a.pixels).sum::<u64>(),
            counts.iter().sum::<u64>(),
            "round {round}"
        );
        compared += 1;
    }
    assert!(compared > 100, "{compared}");
}

#[test]
fn softmax_agrees_with_the_plain_way() {
    let mut random = Random::new(4);
    for _ in 0..200 {
        let logits: Vec<f32> = (0..2 + random.below(50))
            .map(|_| random.between(-20.0, 20.0))
            .collect();
        let model = Model::new(
            "classify",
            "",
            "format = 'logits'\ntop_k = 1000",
            (4, 4),
            (4, 4),
        );
        let Findings::Classify { classes } =
            model.findings(&[TensorView::f32("t", &[1, logits.len()], &logits)])
        else {
            panic!()
        };
        let sum: f64 = logits.iter().map(|&v| f64::from(v).exp()).sum();
        assert_eq!(classes.len(), logits.len());
        assert!(
            classes
                .windows(2)
                .all(|pair| pair[0].score >= pair[1].score)
        );
        for class in classes {
            let wanted = f64::from(logits[class.index]).exp() / sum;
            assert!((f64::from(class.score) - wanted).abs() < 1e-6);
        }
    }
}

/// Shapes that the format has.
fn likely_shapes(random: &mut Random, format: &str, layout: &str) -> Vec<Vec<usize>> {
    let n = 1 + random.below(12);
    let classes = 1 + random.below(4);
    let (h, w, planes) = (
        1 + random.below(9),
        1 + random.below(9),
        2 + random.below(4),
    );
    let maps = match layout {
        "nchw" => vec![1, planes, h, w],
        _ => vec![1, h, w, planes],
    };
    match format {
        "logits" | "probabilities" => vec![vec![1, n]],
        "yolov8" => vec![vec![1, 4 + classes, n]],
        "yolov5" => vec![vec![1, n, 5 + classes]],
        "boxes-scores" => vec![vec![1, n, 4], vec![1, n, classes]],
        "end2end" => vec![vec![1, n, 6]],
        "yolov8-seg" => vec![vec![1, 4 + classes + planes, n], maps],
        "yolov8-pose" => vec![vec![1, 5 + 3 * classes, n]],
        "depth-map" => vec![vec![1, h, w]],
        _ => vec![maps],
    }
}

/// Any number of tensors of any shape, empty ones too.
fn odd_shapes(random: &mut Random) -> Vec<Vec<usize>> {
    let sides = [0, 1, 1, 1, 2, 4, 6, 8, 11];
    let mut shape = || {
        (0..random.below(5))
            .map(|_| sides[random.below(sides.len())])
            .collect()
    };
    let mut shapes = [shape(), shape(), shape()].to_vec();
    shapes.truncate(random.below(4));
    shapes
}

#[test]
fn no_tensor_breaks_any_format() {
    let formats = [
        ("classify", "logits"),
        ("classify", "probabilities"),
        ("detect", "yolov8"),
        ("detect", "yolov5"),
        ("detect", "boxes-scores"),
        ("detect", "end2end"),
        ("segment", "class-map"),
        ("segment", "yolov8-seg"),
        ("pose", "heatmap"),
        ("pose", "yolov8-pose"),
        ("depth", "depth-map"),
    ];
    let mut random = Random::new(5);
    let (mut answers, mut errors) = (vec![0; formats.len()], 0);
    for round in 0..6000 {
        let at = round % formats.len();
        let (task, format) = formats[at];
        let resize = ["stretch", "letterbox", "center-crop"][random.below(3)];
        let layout = ["nchw", "nhwc"][random.below(2)];
        let output = format!(
            "format = '{format}'\nlayout = '{layout}'\nscore_threshold = 0\nskeleton = [[0, 3]]"
        );
        let size = (1 + random.below(20), 1 + random.below(20));
        let picture = (1 + random.below(30) as u32, 1 + random.below(30) as u32);
        let model = Model::new(
            task,
            &format!("resize = '{resize}'"),
            &output,
            size,
            picture,
        );
        let shapes = if random.below(3) > 0 {
            likely_shapes(&mut random, format, layout)
        } else {
            odd_shapes(&mut random)
        };
        let tensors: Vec<(Vec<usize>, Vec<f32>)> = shapes
            .into_iter()
            .map(|shape| {
                let length = shape.iter().product::<usize>() + usize::from(random.below(50) == 0);
                let data = (0..length).map(|_| random.wild()).collect();
                (shape, data)
            })
            .collect();
        let views: Vec<_> = tensors
            .iter()
            .map(|(shape, data)| TensorView::f32("t", shape, data))
            .collect();
        match model.answer(&views) {
            Ok(answer) => {
                answers[at] += 1;
                let json = answer.outcome().to_json();
                assert!(json.len() > 40 && !json.contains("NaN"), "{json}");
                assert!(!answer.outcome().to_text().is_empty());
                assert_eq!(answer.picture().width(), picture.0);
                if let Ok(Some(map)) = answer.map() {
                    assert_eq!((map.width, map.height), picture);
                }
            }
            Err(error) => {
                assert!(!error.to_string().is_empty());
                errors += 1;
            }
        }
    }
    assert!(errors > 1000, "{errors}");
    assert!(answers.iter().all(|&count| count > 100), "{answers:?}");
}
