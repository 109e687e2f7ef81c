//! Descriptions that stand for the backend's own model.

use vaccel_vision::{Description, Task};

#[test]
fn only_a_task_and_a_name_stand_for_the_default_model() {
    let task = Description::task_alone;
    assert_eq!(task("[model]\ntask = \"detect\"\n"), Some(Task::Detect));
    assert_eq!(
        task("[model]\nname = \"default\"\ntask = \"depth\""),
        Some(Task::Depth)
    );
    for other in [
        "",
        "[model]\nname = \"x\"",
        "[model]\ntask = \"paint\"",
        "[model]\ntask = \"detect\"\nfile = \"m.onnx\"",
        "[model]\ntask = \"detect\"\n[output]\nformat = \"yolov8\"",
    ] {
        assert_eq!(task(other), None, "{other}");
    }
}
