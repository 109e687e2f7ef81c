//! Labels meet the classes that a model has.

use crate::common::Model;
use vaccel_vision::{Findings, TensorView};

/// Label of the class `index` of a model that has `classes` classes.
fn label(labels: &str, classes: usize, index: usize) -> Result<String, String> {
    let output = format!("format = 'probabilities'\ntop_k = 1\nlabels = {labels}");
    let model = Model::new("classify", "", &output, (8, 8), (8, 8));
    let mut scores = vec![0.0; classes];
    scores[index] = 1.0;
    let answer = model.answer(&[TensorView::f32("p", &[1, classes], &scores)]);
    match &answer.map_err(|e| e.to_string())?.outcome().findings {
        Findings::Classify { classes } => Ok(classes[0].label.clone()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn built_in_sets_take_the_form_that_fits_the_model() {
    let cases = [
        ("'imagenet'", 1000, 0, "tench"),
        ("'imagenet'", 1000, 281, "tabby"),
        ("'imagenet'", 1000, 999, "toilet tissue"),
        ("'imagenet'", 1001, 0, "__background__"),
        ("'imagenet'", 1001, 282, "tabby"),
        ("'coco'", 80, 0, "person"),
        ("'coco'", 80, 11, "stop sign"),
        ("'coco'", 80, 79, "toothbrush"),
        ("'coco'", 91, 1, "person"),
        ("'coco'", 91, 90, "toothbrush"),
        ("'voc'", 21, 15, "person"),
        ("'voc'", 20, 14, "person"),
    ];
    for (set, classes, index, name) in cases {
        assert_eq!(
            label(set, classes, index),
            Ok(name.to_owned()),
            "{set} {classes}"
        );
    }
}

#[test]
fn labels_for_another_number_of_classes_are_refused() {
    let message = label("['a', 'b']", 3, 0).unwrap_err();
    assert!(
        message.contains("the model has 3 classes") && message.contains('2'),
        "{message}"
    );
    let message = label("'coco'", 81, 0).unwrap_err();
    assert!(
        message.contains("81") && message.contains("80 or 91"),
        "{message}"
    );
}

#[test]
fn a_class_without_a_name_is_called_by_its_number() {
    assert_eq!(label("['a', '', 'c']", 3, 1), Ok("1".to_owned()));
    assert_eq!(label("['a', \"b\\nc\"]", 2, 1), Ok("b c".to_owned()));
}
