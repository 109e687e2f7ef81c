//! Where a model may come from, what belongs to it, and that it is loaded once.
#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::path::Path;

use support::{Session, Tensor, data, loaded, trained};
use vaccel_plugin::code::{EINVAL, ENOENT, ENOTSUP};

fn sum_of_64(session: &Session) -> f32 {
    let y = session
        .run(0, &[Tensor::of("x", &[64], &[1.0_f32; 64])], &["y"])
        .unwrap();
    y[0].values::<f32>().iter().sum()
}

/// 0 + 1 + ... + 63, and one for each.
const SUM: f32 = 2080.0;

#[test]
fn weights_in_a_file_of_their_own_are_found_beside_the_model_or_in_the_resource() {
    assert_eq!(sum_of_64(&loaded("external.onnx")), SUM);
    // Two files of one resource that are not in the same folder.
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("renamed");
    fs::copy(data("external.onnx"), &model).unwrap();
    let mut session = Session::new();
    session.add_files(&[&model, &data("external.onnx.data")]);
    session.load(0, "").unwrap();
    assert_eq!(sum_of_64(&session), SUM);
}

#[test]
fn weights_that_are_not_there_are_named() {
    let mut session = Session::new();
    session.add_memory(&fs::read(data("external.onnx")).unwrap());
    let (code, text) = session.load(0, "").unwrap_err();
    assert_eq!(code, ENOENT);
    assert!(
        text.contains("`external.onnx.data`, which is not beside it"),
        "{text}"
    );
}

#[test]
fn weights_cannot_be_read_from_outside_the_folder() {
    let bytes = fs::read(data("external.onnx")).unwrap();
    let name = b"external.onnx.data";
    let at = bytes.windows(name.len()).position(|w| w == name).unwrap();
    for evil in [
        b"/etc/secret.data.1",
        b"../../secrets.data",
        b"secrets/passwd.txt",
    ] {
        let mut bytes = bytes.clone();
        bytes[at..at + name.len()].copy_from_slice(evil);
        let mut session = Session::new();
        session.add_memory(&bytes);
        let (code, text) = session.load(0, "").unwrap_err();
        assert_eq!(code, ENOTSUP, "{text}");
    }
}

#[test]
fn a_model_in_memory_runs_like_one_in_a_file() {
    let mut session = Session::new();
    session.add_memory(&fs::read(data("many.onnx")).unwrap());
    session.load(0, "").unwrap();
    let inputs = [
        Tensor::of("left", &[1, 3], &[1.0_f32; 3]),
        Tensor::of("right", &[3, 1], &[2.0_f32; 3]),
    ];
    assert_eq!(
        session.run(0, &inputs, &["product"]).unwrap()[0].values::<f32>(),
        [6.0]
    );
}

#[test]
fn the_name_of_a_file_does_not_matter_and_other_formats_are_called_by_theirs() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    let mut session = Session::new();
    session.add_files(&[&file("net.pt", &fs::read(data("many.onnx")).unwrap())]);
    session.load(0, "").unwrap();
    for (name, bytes, wanted) in [
        ("a.onnx", &b"\x1c\0\0\0TFL3"[..], "TensorFlow Lite"),
        (
            "b.onnx",
            b"PK\x03\x04............m/constants.pkl",
            "TorchScript",
        ),
        ("c.onnx", b"RTEN", "RTen"),
    ] {
        let mut session = Session::new();
        session.add_files(&[&file(name, bytes)]);
        let (code, text) = session.load(0, "").unwrap_err();
        assert_eq!(code, ENOTSUP);
        assert!(text.contains(wanted) && text.contains(name), "{text}");
    }
}

#[test]
fn a_folder_is_its_description_or_its_only_model() {
    let folder = tempfile::tempdir().unwrap();
    let load = || {
        let mut session = Session::new();
        session.add_folder(folder.path());
        session.load(0, "").map(|()| session)
    };
    let put = |from: &str, to: &str| fs::copy(data(from), folder.path().join(to)).unwrap();
    let (code, text) = load().err().unwrap();
    assert_eq!(code, EINVAL);
    assert!(text.contains("holds 0 ONNX files"), "{text}");
    fs::write(folder.path().join("saved_model.pb"), b"").unwrap();
    assert!(load().err().unwrap().1.contains("SavedModel"));
    fs::remove_file(folder.path().join("saved_model.pb")).unwrap();
    put("midas.onnx", "one.onnx");
    assert_eq!(
        load().unwrap().info(0).unwrap().outputs,
        ["depth: f32 [1, 8, 8]"]
    );
    put("deeplab.onnx", "two.onnx");
    assert!(load().err().unwrap().1.contains("holds 2 ONNX files"));
    let describe = |file: &str| {
        let text = fs::read_to_string(data("deeplab.toml")).unwrap();
        let text = text.replace("task =", &format!("file = \"{file}\"\ntask ="));
        fs::write(folder.path().join("model.toml"), text).unwrap();
    };
    describe("two.onnx");
    let info = load().unwrap().info(0).unwrap();
    assert_eq!(info.metadata["description"]["name"], "road");
    describe("three.onnx");
    let (code, text) = load().err().unwrap();
    assert_eq!(code, ENOENT);
    assert!(text.contains("three.onnx"), "{text}");
}

#[test]
fn a_description_of_a_neighbour_is_not_taken_for_the_models_own() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::copy(data("deeplab.onnx"), path("ours.onnx")).unwrap();
    let text = fs::read_to_string(data("deeplab.toml")).unwrap();
    fs::write(
        path("model.toml"),
        text.replace("task =", "file = \"other.onnx\"\ntask ="),
    )
    .unwrap();
    let name = |model: &Path| {
        let mut session = Session::new();
        session.add_files(&[model]);
        session.load(0, "").unwrap();
        session.info(0).unwrap().metadata["description"]["name"].clone()
    };
    assert!(name(&path("ours.onnx")).is_null());
    fs::write(path("ours.toml"), text).unwrap();
    assert_eq!(name(&path("ours.onnx")), "road");
}

#[test]
fn a_description_among_the_files_of_a_resource_is_used() {
    // All from different folders, as an agent may have received them.
    let (a, b, c) = (
        tempfile::tempdir().unwrap(),
        tempfile::tempdir().unwrap(),
        tempfile::tempdir().unwrap(),
    );
    let digits = trained("digits-8x8");
    let copy = |name: &str, to: &Path| {
        fs::copy(digits.join(name), to).unwrap();
    };
    copy("model.onnx", &a.path().join("model.onnx"));
    let text = fs::read_to_string(digits.join("model.toml")).unwrap();
    let labels = text.find("labels =").unwrap();
    let end = labels + text[labels..].find('\n').unwrap();
    let text = format!("{}labels = \"names.txt\"{}", &text[..labels], &text[end..]);
    fs::write(b.path().join("model.toml"), text).unwrap();
    fs::write(
        c.path().join("names.txt"),
        "zero\none\ntwo\nthree\nfour\nfive\nsix\nseven\neight\nnine\n",
    )
    .unwrap();
    let files = [
        b.path().join("model.toml"),
        a.path().join("model.onnx"),
        c.path().join("names.txt"),
    ];
    let mut session = Session::new();
    session.add_files(&files.iter().map(|p| p.as_path()).collect::<Vec<_>>());
    session.load(0, "").unwrap();
    let picture = support::picture(8, 8, |_, _| [0, 0, 0]);
    let image = Tensor::of("vaccel.image", &[picture.len() as i64], &picture);
    let text = session.run(0, &[image], &["vaccel.text"]).unwrap();
    assert!(
        [
            "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"
        ]
        .iter()
        .any(|name| text[0].text().starts_with(&format!("{name}: "))),
        "{}",
        text[0].text()
    );
}

#[test]
fn files_go_by_their_names_in_the_resource_whatever_they_are_called_on_disk() {
    // As a store has them that names files by their content.
    let store = tempfile::tempdir().unwrap();
    let names = ["model.toml", "deeplab.onnx"];
    let text = fs::read_to_string(data("deeplab.toml")).unwrap();
    let text = text.replace("task =", "file = \"deeplab.onnx\"\ntask =");
    fs::write(store.path().join("0000"), text).unwrap();
    fs::copy(data("deeplab.onnx"), store.path().join("0001")).unwrap();
    let mut session = Session::new();
    session.add_files(&[&store.path().join("0000"), &store.path().join("0001")]);
    for (at, name) in names.iter().enumerate() {
        session.rename(0, at, name);
    }
    session.load(0, "").unwrap();
    let info = session.info(0).unwrap();
    assert_eq!(info.metadata["description"]["name"], "road");
}

#[test]
fn a_description_with_a_mistake_spoils_the_picture_but_not_the_tensors() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("m.onnx");
    fs::copy(data("midas.onnx"), &model).unwrap();
    fs::write(
        folder.path().join("m.toml"),
        "[model]\nname = \"m\"\ntask = \"dance\"\n",
    )
    .unwrap();
    let mut session = Session::new();
    session.add_files(&[&model]);
    session.load(0, "").unwrap();
    let error = session.info(0).unwrap().metadata["description_error"].to_string();
    assert!(
        error.contains("m.toml") && error.contains("dance"),
        "{error}"
    );
    let image = Tensor::of("image", &[1, 3, 32, 32], &[0.0_f32; 3072]);
    assert_eq!(
        session.run(0, &[image], &["depth"]).unwrap()[0].shape,
        [1, 8, 8]
    );
    let picture = Tensor::of("vaccel.image", &[1], &[0_u8]);
    let (code, text) = session.run(0, &[picture], &["vaccel.result"]).unwrap_err();
    assert_eq!(code, EINVAL);
    assert!(text.contains("dance"), "{text}");
}

#[test]
fn a_file_that_is_gone_or_no_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    for (path, wanted) in [
        (folder.path().join("gone.onnx"), ENOENT),
        (folder.path().to_owned(), EINVAL),
    ] {
        let mut session = Session::new();
        session.add_files(&[&path]);
        let (code, text) = session.load(0, "").unwrap_err();
        assert_eq!(code, wanted, "{text}");
        assert!(text.contains(path.to_str().unwrap()), "{text}");
    }
}

#[test]
fn many_sessions_share_one_copy_and_a_changed_file_is_read_anew() {
    // 8 MiB of weights, so that copies would show.
    let folder = tempfile::tempdir().unwrap();
    let (model, weights) = (folder.path().join("m.onnx"), folder.path().join("big.data"));
    support::builder::write_big_model(&model, "big.data", 2 << 20);
    fs::write(&weights, vec![0_u8; 8 << 20]).unwrap();
    let open = || {
        let mut session = Session::new();
        session.add_files(&[&model]);
        session.load(0, "").unwrap();
        session
    };
    let first = open();
    let before = support::resident();
    let sessions: Vec<Session> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..16)
            .map(|_| scope.spawn(|| support::Sent(open())))
            .collect();
        threads.into_iter().map(|t| t.join().unwrap().0).collect()
    });
    let grown = support::resident().saturating_sub(before);
    assert!(grown < 32 << 20, "16 more sessions took {grown} bytes");
    let at = |session: &Session| {
        let y = session
            .run(0, &[Tensor::of("x", &[1], &[0_i64])], &["y"])
            .unwrap();
        y[0].values::<f32>()[0]
    };
    assert_eq!(at(&first), 0.0);
    let mut changed = vec![0_u8; 8 << 20];
    changed[..4].copy_from_slice(&7.0_f32.to_le_bytes());
    fs::remove_file(&weights).unwrap();
    fs::write(&weights, changed).unwrap();
    assert_eq!(at(&open()), 7.0);
    assert_eq!((at(&first), at(&sessions[15])), (0.0, 0.0));
}
