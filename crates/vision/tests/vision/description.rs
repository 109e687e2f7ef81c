//! Reading and checking `model.toml`.

use std::fs;

use crate::common::text;
use vaccel_vision::{
    Channels, Colormap, Coordinates, Description, Filter, Format, Labels, Layout, PerChannel,
    Resize, Task,
};

fn error(text: &str) -> String {
    Description::parse(text, "some/model.toml")
        .unwrap_err()
        .to_string()
}

#[test]
fn every_key_of_the_reference_is_read() {
    let description: Description = r#"
        [model]
        name = "digits-224"
        task = "classify"
        file = "model.onnx"
        description = "Handwritten digits"
        license = "Apache-2.0"
        [input]
        name = "input"
        width = 224
        height = 200
        layout = "nhwc"
        channels = "bgr"
        resize = "center-crop"
        resize_to = 256
        filter = "lanczos"
        scale = 0.5
        mean = [0.485, 0.456, 0.406]
        std = 2
        [output]
        names = ["logits"]
        format = "logits"
        layout = "nchw"
        coordinates = "relative"
        labels = "labels.txt"
        top_k = 3
        score_threshold = 0.3
        iou_threshold = 1
        max_detections = 7
        background = -1
        point_threshold = 0
        skeleton = [[0, 1], [1, 2]]
        point_names = ["a", "b", "c"]
        colormap = "turbo"
        inverse = true
        unit = "m"
    "#
    .parse()
    .unwrap();
    assert_eq!(description.model.name, "digits-224");
    assert_eq!(description.model.task, Task::Classify);
    assert_eq!(description.model.license.as_deref(), Some("Apache-2.0"));
    let input = &description.input;
    assert_eq!(
        (input.width, input.height, input.resize_to),
        (Some(224), Some(200), Some(256))
    );
    assert_eq!(
        (input.layout, input.channels),
        (Some(Layout::Nhwc), Channels::Bgr)
    );
    assert_eq!(
        (input.resize, input.filter),
        (Resize::CenterCrop, Filter::Lanczos)
    );
    assert_eq!(input.mean, Some(PerChannel(vec![0.485, 0.456, 0.406])));
    assert_eq!(input.std, Some(PerChannel(vec![2.0])));
    let output = &description.output;
    assert_eq!(output.tensor_names(), ["logits"]);
    assert_eq!(
        (output.format, output.layout),
        (Format::Logits, Some(Layout::Nchw))
    );
    assert_eq!(output.coordinates, Some(Coordinates::Relative));
    assert_eq!(output.labels, Some(Labels::File("labels.txt".to_owned())));
    assert_eq!(
        (output.top_k, output.max_detections, output.background),
        (3, 7, Some(-1))
    );
    assert_eq!(
        (
            output.score_threshold,
            output.iou_threshold,
            output.point_threshold
        ),
        (0.3, 1.0, 0.0)
    );
    assert_eq!(output.skeleton, [[0, 1], [1, 2]]);
    assert_eq!(output.point_names, ["a", "b", "c"]);
    assert_eq!((output.colormap, output.inverse), (Colormap::Turbo, true));
    assert_eq!(output.unit.as_deref(), Some("m"));
}

#[test]
fn what_is_left_out_has_the_default_of_the_reference() {
    let text = "[model]\nname = 'x'\ntask = 'depth'\n[output]\nformat = 'depth-map'\n";
    let description: Description = text.parse().unwrap();
    let input = &description.input;
    assert_eq!(
        (input.width, input.layout, input.pad, input.scale),
        (None, None, None, None)
    );
    assert_eq!(
        (input.channels, input.resize, input.filter),
        (Channels::Rgb, Resize::Stretch, Filter::Bilinear)
    );
    let output = &description.output;
    assert_eq!((output.top_k, output.max_detections), (5, 300));
    assert_eq!(
        (
            output.score_threshold,
            output.iou_threshold,
            output.point_threshold
        ),
        (0.25, 0.45, 0.5)
    );
    assert_eq!(
        (output.colormap, output.inverse),
        (Colormap::Inferno, false)
    );
    assert!(output.tensor_names().is_empty());
}

#[test]
fn errors_of_the_text_name_file_line_and_key() {
    let unknown = error(&text("classify", "widht = 224", "format = 'logits'"));
    assert!(
        unknown.starts_with("some/model.toml:5: unknown field `widht`"),
        "{unknown}"
    );
    let kind = error(&text("classify", "width = 'wide'", "format = 'logits'"));
    assert!(
        kind.contains("model.toml:5:") && kind.contains("`width = 'wide'`"),
        "{kind}"
    );
    let word = error(&text("classify", "resize = 'squash'", "format = 'logits'"));
    assert!(
        word.contains("squash") && word.contains("center-crop"),
        "{word}"
    );
    let missing = error("[model]\nname = 'x'\n[output]\nformat = 'logits'\n");
    assert!(missing.contains("task"), "{missing}");
    let section = error("[model]\nname = 'x'\ntask = 'depth'\n[outputs]\nformat = 'logits'\n");
    assert!(section.contains("outputs"), "{section}");
    let mean = error(&text("classify", "mean = 'dark'", "format = 'logits'"));
    assert!(mean.contains("a number or a list of numbers"), "{mean}");
    assert!(error("not toml").starts_with("some/model.toml:1:"));
    assert!(error("").contains("model"));
}

#[test]
fn values_out_of_range_are_refused_with_their_key() {
    let crop = "resize = 'center-crop'\n";
    let cases = [
        ("input.width", "width = 0"),
        ("input.height", "height = 8193"),
        ("input.resize_to", "resize_to = 256"),
        ("input.resize_to", &format!("{crop}resize_to = 0")),
        (
            "input.resize_to",
            &format!("{crop}resize_to = 200\nwidth = 100\nheight = 224"),
        ),
        ("input.pad", "pad = 0"),
        ("input.scale", "scale = 0"),
        ("input.scale", "scale = nan"),
        ("input.mean", "mean = [0.1, 0.2]"),
        ("input.mean", "mean = []"),
        ("input.mean", "mean = [0.1, inf, 0.2]"),
        ("input.mean", "channels = 'gray'\nmean = [0.1, 0.2, 0.3]"),
        ("input.std", "std = 0"),
        ("input.std", "std = [1, 1, -1]"),
    ];
    for (key, input) in cases {
        let message = error(&text("classify", input, "format = 'logits'"));
        assert!(
            message.starts_with(&format!("some/model.toml: `{key}` ")),
            "{input}: {message}"
        );
    }
    let cases = [
        ("output.format", "format = 'yolov8'"),
        (
            "output.names",
            "format = 'logits'\nname = 'a'\nnames = ['a']",
        ),
        ("output.names", "format = 'logits'\nnames = []"),
        ("output.names", "format = 'logits'\nnames = ['a', 'b']"),
        ("output.top_k", "format = 'logits'\ntop_k = 0"),
        (
            "output.max_detections",
            "format = 'logits'\nmax_detections = 0",
        ),
        (
            "output.max_detections",
            "format = 'logits'\nmax_detections = 10001",
        ),
        (
            "output.score_threshold",
            "format = 'logits'\nscore_threshold = 1.5",
        ),
        (
            "output.iou_threshold",
            "format = 'logits'\niou_threshold = -0.1",
        ),
        (
            "output.point_threshold",
            "format = 'logits'\npoint_threshold = nan",
        ),
        ("output.background", "format = 'logits'\nbackground = -2"),
        (
            "output.skeleton",
            "format = 'logits'\nskeleton = [[0, 1000]]",
        ),
        (
            "output.skeleton",
            "format = 'logits'\npoint_names = ['a']\nskeleton = [[0, 1]]",
        ),
        ("output.labels", "format = 'logits'\nlabels = []"),
    ];
    for (key, output) in cases {
        let message = error(&text("classify", "", output));
        assert!(
            message.starts_with(&format!("some/model.toml: `{key}` ")),
            "{output}: {message}"
        );
    }
    let two = error(&text("detect", "", "format = 'boxes-scores'\nname = 'a'"));
    assert!(
        two.contains("`output.names` must name 2 tensor(s)"),
        "{two}"
    );
}

#[test]
fn files_outside_of_the_folder_are_refused() {
    for path in [
        "../model.onnx",
        "/etc/passwd",
        "a/../../b",
        "..",
        "",
        "a\\u0000b",
    ] {
        let labels = format!("format = 'logits'\nlabels = \"{path}\"");
        let message = error(&text("classify", "", &labels));
        assert!(message.contains("`output.labels` is"), "{path}: {message}");
        let model = format!(
            "[model]\nname = 'x'\ntask = 'depth'\nfile = \"{path}\"\n[output]\nformat = 'depth-map'\n"
        );
        assert!(error(&model).contains("`model.file` is"), "{path}");
    }
    let inside = "[model]\nname = 'x'\ntask = 'depth'\nfile = './sub/model.onnx'\n[output]\nformat = 'depth-map'\n";
    assert!(inside.parse::<Description>().is_ok());
}

#[test]
fn a_description_on_disk_brings_its_labels_and_knows_its_model() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.toml");
    let keys = "[model]\nname = 'x'\ntask = 'classify'\nfile = 'net.onnx'\n[output]\nformat = 'logits'\nlabels = 'l.txt'\n";
    fs::write(&path, keys).unwrap();
    let missing = Description::from_file(&path).unwrap_err().to_string();
    assert!(missing.contains("l.txt"), "{missing}");

    fs::write(
        folder.path().join("l.txt"),
        "\u{feff}cat \r\n\r\nsea\tlion\r\n\r\n\r\n",
    )
    .unwrap();
    let description = Description::from_file(&path).unwrap();
    let list = ["cat", "", "sea lion"].map(str::to_owned).to_vec();
    assert_eq!(description.output.labels, Some(Labels::List(list)));
    assert_eq!(
        description.model_file(),
        Some(folder.path().join("net.onnx"))
    );
    assert_eq!(description.label_file(), None);

    fs::write(folder.path().join("l.txt"), b"cat\n\xff\xfe\n").unwrap();
    assert!(Description::from_file(&path).is_err());
    fs::write(folder.path().join("l.txt"), "\n \n").unwrap();
    assert!(
        Description::from_file(&path)
            .unwrap_err()
            .to_string()
            .contains("no label")
    );
    assert!(Description::from_file(folder.path().join("none.toml")).is_err());
    fs::write(&path, vec![b'#'; (1 << 20) + 1]).unwrap();
    assert!(
        Description::from_file(&path)
            .unwrap_err()
            .to_string()
            .contains("longer than")
    );
}

#[test]
fn labels_can_be_given_from_memory() {
    let mut description =
        crate::common::describe("classify", "", "format = 'logits'\nlabels = 'l.txt'");
    assert_eq!(description.label_file(), Some("l.txt"));
    assert!(description.set_labels(b"\xff").is_err());
    description.set_labels(b"a\nb\n").unwrap();
    let list = ["a", "b"].map(str::to_owned).to_vec();
    assert_eq!(description.output.labels, Some(Labels::List(list)));
}
