//! Scores of classes.

use vaccel_vision::{Class, Findings, TensorView};

use crate::common::{Model, close};

fn model(output: &str) -> Model {
    Model::new("classify", "", output, (4, 4), (4, 4))
}

fn classes(output: &str, shape: &[usize], scores: &[f32]) -> Vec<Class> {
    match model(output).findings(&[TensorView::f32("t", shape, scores)]) {
        Findings::Classify { classes } => classes,
        other => panic!("{other:?}"),
    }
}

#[test]
fn logits_become_probabilities_best_first() {
    let found = classes(
        "format = 'logits'\nlabels = ['a', 'b', 'c']\ntop_k = 2",
        &[1, 3],
        &[1.0, 3.0, 2.0],
    );
    // e^3 / (e^1 + e^2 + e^3) = 0.66524, e^2 / ... = 0.24473
    assert_eq!(
        found
            .iter()
            .map(|c| (c.index, c.label.as_str()))
            .collect::<Vec<_>>(),
        [(1, "b"), (2, "c")]
    );
    assert!(close(found[0].score, 0.66524, 1e-5) && close(found[1].score, 0.24473, 1e-5));
}

#[test]
fn large_logits_do_not_overflow() {
    let found = classes("format = 'logits'", &[1, 2], &[3e38, -3e38]);
    assert_eq!((found[0].score, found[1].score), (1.0, 0.0));
    let even = classes("format = 'logits'", &[1, 4], &[1e30; 4]);
    assert!(even.iter().all(|c| c.score == 0.25));
}

#[test]
fn probabilities_stay_as_they_are_and_ties_go_to_the_lower_number() {
    let found = classes("format = 'probabilities'", &[1, 3], &[0.2, 0.4, 0.4]);
    let pairs: Vec<_> = found.iter().map(|c| (c.index, c.score)).collect();
    assert_eq!(pairs, [(1, 0.4), (2, 0.4), (0, 0.2)]);
}

#[test]
fn dimensions_of_one_do_not_matter_and_two_long_ones_do() {
    for shape in [&[3][..], &[1, 3], &[1, 3, 1, 1], &[1, 1, 1, 3]] {
        assert_eq!(
            classes("format = 'logits'", shape, &[0.0, 1.0, 2.0])[0].index,
            2
        );
    }
    assert_eq!(classes("format = 'logits'", &[1, 1], &[7.0])[0].score, 1.0);
    let message = model("format = 'logits'").error(&[TensorView::f32("t", &[2, 3], &[0.0; 6])]);
    assert_eq!(
        message,
        "tensor `t`: format `logits` expects [1, C] or [1, C, 1, 1], got [2, 3]"
    );
}

#[test]
fn values_that_are_no_numbers_are_no_answers() {
    let odd = [f32::NAN, 1.0, f32::INFINITY, 1.0, f32::NEG_INFINITY];
    let found = classes("format = 'logits'", &[1, 5], &odd);
    assert_eq!(
        found.iter().map(|c| (c.index, c.score)).collect::<Vec<_>>(),
        [(1, 0.5), (3, 0.5)]
    );
    let nothing =
        model("format = 'logits'").error(&[TensorView::f32("t", &[1, 2], &[f32::NAN; 2])]);
    assert!(nothing.contains("`t` has no finite value"), "{nothing}");
}

#[test]
fn tensors_that_are_not_what_they_say_are_refused() {
    let model = model("format = 'logits'\nname = 'scores'");
    let wrong = model.error(&[TensorView::f32("scores", &[1, 3], &[0.0; 2])]);
    assert_eq!(wrong, "tensor `scores` of shape [1, 3] holds 2 elements");
    let integers = model.error(&[TensorView::i64("scores", &[1, 3], &[0; 3])]);
    assert!(integers.contains("got integers"), "{integers}");
    let missing = model.error(&[TensorView::f32("other", &[1, 3], &[0.0; 3])]);
    assert_eq!(
        missing,
        "format `logits` needs output tensor `scores`, the model gave: `other` [1, 3]"
    );
    assert!(model.error(&[]).ends_with("the model gave: nothing"));
    assert!(
        model
            .error(&[TensorView::f32("scores", &[1, 0], &[])])
            .contains("holds 0 elements")
    );
}
