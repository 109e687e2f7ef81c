//! Image operations and virtual tensors: from an encoded picture to the answer.
#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::path::Path;
use std::sync::Mutex;

use serde_json::Value as Json;
use support::{Fault, Out, Session, Tensor, data, loaded, picture, trained};
use vaccel_plugin::code::{EINVAL, ENOENT, ERANGE};
use vaccel_plugin::{Dtype, Op};

fn grey(side: u32) -> Vec<u8> {
    picture(side, side, |_, _| [128; 3])
}

fn image(bytes: &[u8]) -> Tensor {
    Tensor::of("vaccel.image", &[bytes.len() as i64], bytes)
}

fn result(session: &Session, bytes: &[u8]) -> Json {
    let out = session.run(0, &[image(bytes)], &["vaccel.result"]).unwrap();
    serde_json::from_str(out[0].text()).unwrap()
}

/// The RGB pixels of a picture that an operation made.
fn pixels(path: &str) -> vaccel_vision::Picture {
    let bytes = fs::read(path).unwrap();
    assert!(bytes.starts_with(b"\x89PNG"));
    vaccel_vision::decode(&bytes, &vaccel_vision::Limits::default()).unwrap()
}

#[test]
fn classification_writes_whole_lines_and_draws_only_when_asked() {
    let mut session = Session::new();
    session.add_folder(&trained("digits-8x8"));
    let (text, name) = session.classify(&grey(20), (1000, 4096)).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 5);
    for line in &lines {
        let (label, share) = line.split_once(": ").unwrap();
        let share: f32 = share.strip_suffix(" %").unwrap().parse().unwrap();
        assert!(
            label.parse::<u8>().unwrap() < 10 && (0.0..=100.0).contains(&share),
            "{line}"
        );
    }
    assert!(
        name.starts_with(session.rundir.path().to_str().unwrap()),
        "{name}"
    );
    assert_eq!((pixels(&name).width(), pixels(&name).height()), (20, 20));
    let pictures = || fs::read_dir(session.rundir.path()).unwrap().count();
    assert_eq!(pictures(), 1);
    let first = lines[0].len() + 1;
    for room in [first + 1, first + lines[1].len()] {
        let (cut, _) = session.classify(&grey(20), (room, 0)).unwrap();
        assert_eq!(cut, format!("{}\n", lines[0]));
    }
    assert_eq!(pictures(), 1, "a picture was drawn that nobody wanted");
    let (code, text) = session.classify(&grey(20), (100, 10)).unwrap_err();
    assert_eq!(code, ERANGE, "{text}");
}

#[test]
fn detections_of_a_model_that_describes_itself_are_at_the_right_pixels() {
    let session = loaded("yolov8-detect.onnx");
    assert_eq!(
        session.info(0).unwrap().metadata["description"]["format"],
        "yolov8"
    );
    // 64 x 32 is shown at half size with 8 rows of padding above and below.
    let answer = result(&session, &picture(64, 32, |_, _| [9; 3]));
    let boxes = answer["boxes"].as_array().unwrap();
    assert_eq!(boxes.len(), 2, "{answer}");
    assert_eq!(boxes[0]["label"], "dog");
    let number = |at: usize, key: &str| boxes[at][key].as_f64().unwrap();
    // Centre 8, 8 and size 8 x 8 in the tensor: 4..12, less 8 above, times 2; cut at the edge.
    assert_eq!(
        [
            number(0, "x"),
            number(0, "y"),
            number(0, "width"),
            number(0, "height")
        ],
        [8.0, 0.0, 16.0, 8.0]
    );
    assert_eq!(boxes[1]["label"], "cat");
    assert_eq!(
        [
            number(1, "x"),
            number(1, "y"),
            number(1, "width"),
            number(1, "height")
        ],
        [36.0, 8.0, 24.0, 24.0]
    );
}

#[test]
fn masks_key_points_class_maps_and_depth_are_read_from_their_usual_layouts() {
    let answer = result(&loaded("yolov8-segment.onnx"), &grey(32));
    let objects = answer["objects"].as_array().unwrap();
    assert_eq!(objects.len(), 2, "{answer}");
    assert_eq!(
        (&objects[0]["label"], &objects[0]["pixels"]),
        (&Json::from("dog"), &Json::from(64))
    );
    assert_eq!(
        (&objects[1]["label"], &objects[1]["pixels"]),
        (&Json::from("cat"), &Json::from(192))
    );

    let answer = result(&loaded("yolov8-pose.onnx"), &grey(32));
    let people = answer["people"].as_array().unwrap();
    assert_eq!(people.len(), 1, "{answer}");
    let points: Vec<_> = (0..3)
        .map(|i| {
            (
                people[0]["points"][i]["x"].as_f64().unwrap(),
                people[0]["points"][i]["y"].as_f64().unwrap(),
            )
        })
        .collect();
    assert_eq!(points, [(16.0, 6.0), (10.0, 20.0), (22.0, 20.0)]);

    for model in ["deeplab.onnx", "class-numbers.onnx"] {
        let session = loaded(model);
        let out = session
            .run(0, &[image(&grey(8))], &["vaccel.map", "vaccel.result"])
            .unwrap();
        assert_eq!((out[0].dtype, &out[0].shape), (Dtype::U8, &vec![8, 8]));
        let row = |y: usize| &out[0].bytes[8 * y..8 * y + 8];
        assert_eq!((row(3), row(4)), (&[0; 8][..], &[1; 8][..]), "{model}");
        assert_eq!(row(5), [1, 1, 2, 2, 1, 1, 1, 1], "{model}");
        let answer: Json = serde_json::from_str(out[1].text()).unwrap();
        assert_eq!(answer["classes"][1]["label"], "road");
        assert_eq!(answer["classes"][1]["pixels"], 28);
    }

    let session = loaded("midas.onnx");
    let out = session
        .run(
            0,
            &[image(&grey(8))],
            &["vaccel.map", "vaccel.text", "depth"],
        )
        .unwrap();
    assert_eq!((out[0].dtype, &out[0].shape), (Dtype::F32, &vec![8, 8]));
    assert_eq!(
        out[0].values::<f32>()[..9],
        [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 2.0]
    );
    assert!(
        out[1].text().starts_with("depth: 1.00 to 8.00"),
        "{}",
        out[1].text()
    );
    assert_eq!(out[2].shape, [1, 8, 8]);
}

#[test]
fn pictures_go_into_tensors_of_bytes_and_halves_too() {
    for model in ["bytes-in.onnx", "halves-in.onnx", "yolov8-classify.onnx"] {
        let answer = result(&loaded(model), &grey(50));
        assert_eq!(answer["classes"][0]["label"], "dog", "{model}");
        assert_eq!(answer["classes"][0]["score"], 0.75, "{model}");
    }
}

#[test]
fn each_operation_draws_its_picture_into_the_sessions_folder() {
    for (model, op) in [
        ("yolov8-detect.onnx", Op::ImageDetect),
        ("yolov8-segment.onnx", Op::ImageSegment),
        ("deeplab.onnx", Op::ImageSegment),
        ("yolov8-pose.onnx", Op::ImagePose),
        ("midas.onnx", Op::ImageDepth),
    ] {
        let mut session = Session::new();
        session.add_files(&[&data(model)]);
        let path = session.picture(op, &grey(64)).unwrap();
        assert_eq!(Path::new(&path).parent().unwrap(), session.rundir.path());
        let drawn = pixels(&path);
        assert_eq!((drawn.width(), drawn.height()), (64, 64));
        assert!(
            drawn.rgb().iter().any(|v| *v != 128),
            "{model}: nothing was drawn"
        );
        assert_ne!(
            session.picture(op, &grey(64)).unwrap(),
            path,
            "names are used once"
        );
    }
}

#[test]
fn a_model_of_another_task_is_refused_and_the_right_one_of_several_is_taken() {
    let mut session = Session::new();
    session.add_files(&[&data("yolov8-pose.onnx")]);
    let (code, text) = session.picture(Op::ImageDetect, &grey(32)).unwrap_err();
    assert_eq!(code, EINVAL);
    assert!(
        text.contains("yolov8-pose.onnx is a model for pose, not for detect"),
        "{text}"
    );
    session.add_files(&[&data("yolov8-detect.onnx")]);
    session.picture(Op::ImageDetect, &grey(32)).unwrap();
    session.picture(Op::ImagePose, &grey(32)).unwrap();
    let mut session = Session::new();
    session.add_files(&[&data("many.onnx")]);
    let (code, text) = session.classify(&grey(32), (100, 0)).unwrap_err();
    assert_eq!(code, EINVAL);
    assert!(
        text.contains("many.onnx has no description") && text.contains("model.toml"),
        "{text}"
    );
}

#[test]
fn wrong_uses_of_virtual_tensors_are_explained() {
    let session = loaded("yolov8-detect.onnx");
    let own = || Tensor::of("image", &[1, 3, 32, 32], &[0.0_f32; 3072]);
    let file = grey(32);
    let cases: [(Vec<Tensor>, &str, &str); 8] = [
        (
            vec![own()],
            "vaccel.result",
            "need the input `vaccel.image`",
        ),
        (
            vec![image(&file), image(&file)],
            "vaccel.result",
            "`vaccel.image` is given twice",
        ),
        (
            vec![image(&file), own()],
            "vaccel.result",
            "`image` is given beside",
        ),
        (
            vec![image(&file)],
            "vaccel.mask",
            "there is no output `vaccel.mask`",
        ),
        (vec![image(&file)], "vaccel.map", "detect has none"),
        (vec![image(b"no picture")], "vaccel.result", "not a JPEG"),
        (vec![image(b"")], "vaccel.result", "no data"),
        (
            vec![Tensor::of("vaccel.image", &[1], &[0_i8])],
            "vaccel.result",
            "u8 is needed",
        ),
    ];
    for (inputs, output, wanted) in cases {
        let (code, text) = session.run(0, &inputs, &[output]).unwrap_err();
        assert_eq!(code, EINVAL, "{text}");
        assert!(text.contains(wanted), "{text} / {wanted}");
    }
    let mut out = [Out::with_room("vaccel.result", 10)];
    let (code, _) = session.run_into(0, &[image(&file)], &mut out).unwrap_err();
    assert_eq!(code, ERANGE);
    assert!(out[0].raw.size > 100);
    // The model's own outputs and the virtual ones in one run.
    let out = session
        .run(
            0,
            &[image(&file)],
            &["output0", "vaccel.picture", "vaccel.text"],
        )
        .unwrap();
    assert_eq!(out[0].shape, [1, 6, 21]);
    assert!(out[1].bytes.starts_with(b"\x89PNG"));
    assert!(out[2].text().starts_with("dog: 90.0 %"));
}

/// Tests that set `VACCEL_MODELS` run one at a time, and no other test of this
/// program has a session without a model.
static ENVIRONMENT: Mutex<()> = Mutex::new(());

fn with_models<T>(folders: &str, f: impl FnOnce() -> T) -> T {
    let _guard = ENVIRONMENT.lock().unwrap_or_else(|e| e.into_inner());
    // SAFETY: the plugin reads this variable through the same C library while this
    // thread calls it; other tests do not touch the environment.
    unsafe { std::env::set_var("VACCEL_MODELS", folders) };
    let result = f();
    // SAFETY: as above.
    unsafe { std::env::remove_var("VACCEL_MODELS") };
    result
}

#[test]
fn a_session_without_a_model_uses_the_default_one_and_follows_its_changes() {
    let (empty, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let task = folder.path().join("classify");
    fs::create_dir(&task).unwrap();
    let digits = trained("digits-8x8");
    fs::copy(digits.join("model.onnx"), task.join("model.onnx")).unwrap();
    let text = fs::read_to_string(digits.join("model.toml")).unwrap();
    fs::write(task.join("model.toml"), &text).unwrap();
    let folders = format!("{}:{}", empty.path().display(), folder.path().display());
    let lines = |session: &Session| {
        session
            .classify(&grey(8), (1000, 0))
            .map(|(text, _)| text.lines().count())
    };
    let session = Session::new();
    with_models(&folders, || {
        assert_eq!(lines(&session).unwrap(), 5);
        // Sixteen sessions at once, one model.
        std::thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| assert_eq!(lines(&Session::new()).unwrap(), 5));
            }
        });
        fs::write(
            task.join("model.toml"),
            text.replace("top_k = 5", "top_k = 2"),
        )
        .unwrap();
        assert_eq!(lines(&session).unwrap(), 2);
        fs::remove_file(task.join("model.onnx")).unwrap();
        let (code, text) = lines(&session).unwrap_err();
        assert_eq!(code, ENOENT, "{text}");
        let (code, text) = session.picture(Op::ImageDepth, &grey(8)).unwrap_err();
        assert_eq!(code, ENOENT);
        assert!(
            text.contains("no model for depth") && text.contains(empty.path().to_str().unwrap()),
            "{text}"
        );
    });
}

#[test]
fn the_plugin_says_which_tasks_have_no_default_model_and_what_to_do() {
    with_models(trained(".").to_str().unwrap(), || {
        let json = support::PLUGIN.describe();
        assert_eq!(json["formats"], serde_json::json!(["onnx"]));
        assert_eq!(json["devices"][0]["id"], "cpu");
        assert_eq!(json["ready"], true);
        let models = json["default_models"].as_array().unwrap();
        let classify = models.iter().find(|m| m["task"] == "classify").unwrap();
        assert_eq!(classify["name"], "digits-224");
        assert!(
            classify["path"]
                .as_str()
                .unwrap()
                .ends_with("classify/model.toml")
        );
    });
    with_models("/nonexistent", || {
        let json = support::PLUGIN.describe();
        assert!(
            json["missing"]
                .as_str()
                .unwrap()
                .contains("classify, detect, segment, pose, depth")
        );
        assert!(json["remedy"].as_str().unwrap().contains("VACCEL_MODELS"));
    });
}

#[test]
fn pictures_go_away_with_their_session() {
    let mut session = Session::new();
    session.add_files(&[&data("midas.onnx")]);
    let path = session.picture(Op::ImageDepth, &grey(8)).unwrap();
    let folder = std::mem::replace(&mut session.rundir, tempfile::tempdir().unwrap());
    assert!(Path::new(&path).exists());
    drop(session);
    assert!(!Path::new(&path).exists());
    drop(folder);
}

#[test]
fn a_folder_that_cannot_be_written_to_is_an_error_with_its_path() -> Result<(), Fault> {
    let mut session = Session::new();
    session.add_files(&[&data("yolov8-classify.onnx")]);
    fs::remove_dir_all(session.rundir.path()).unwrap();
    let (code, text) = session.classify(&grey(8), (100, 1000)).unwrap_err();
    assert_eq!(code, ENOENT);
    assert!(
        text.contains(session.rundir.path().to_str().unwrap()),
        "{text}"
    );
    // The text alone needs no folder.
    assert!(
        session
            .classify(&grey(8), (100, 0))?
            .0
            .starts_with("dog: 75.0 %")
    );
    Ok(())
}
