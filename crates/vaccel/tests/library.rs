//! The API on the real library with the noop plugin.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use vaccel::{
    Config, Dtype, Input, Library, Model, Output, Resource, ResourceType, Session, Sgemm, Tensor,
    code,
};

/// Starts the library with the noop plugin, once for all tests of this process. What is
/// missing in cargo's target folder is built first.
fn start() {
    static STARTED: OnceLock<()> = OnceLock::new();
    STARTED.get_or_init(|| {
        let executable = std::env::current_exe().unwrap();
        // target/debug/deps/this-test
        let folder = executable.parent().unwrap().parent().unwrap();
        let files = ["libvaccel.so", "libvaccel_noop.so"];
        if !files.iter().all(|file| folder.join(file).exists()) {
            let mut cargo = Command::new(env!("CARGO"));
            cargo.args([
                "build",
                "--quiet",
                "-p",
                "vaccel-ffi",
                "-p",
                "vaccel-plugin-noop",
            ]);
            if folder.ends_with("release") {
                cargo.arg("--release");
            }
            assert!(
                cargo.status().unwrap().success(),
                "{files:?} cannot be built"
            );
        }
        vaccel::bootstrap_with(&Config {
            plugins: vec!["noop".into()],
            ..Config::default()
        })
        .unwrap();
    });
}

fn model_file() -> (tempfile::TempDir, std::path::PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.onnx");
    std::fs::write(&path, "any bytes will do for noop").unwrap();
    (dir, path)
}

#[test]
fn the_library_tells_its_version_and_what_it_loaded() {
    start();
    let library = Library::get().unwrap();
    assert_eq!(library.version(), Some(env!("CARGO_PKG_VERSION")));
    assert!(library.path().to_str().unwrap().contains("libvaccel.so"));
    let about = vaccel::describe().unwrap();
    let plugins = about["plugins"].as_array().unwrap();
    assert!(plugins.iter().any(|p| p["name"] == "noop"), "{about}");
}

#[test]
fn a_session_runs_operations_from_many_threads() {
    start();
    let session = Session::new().unwrap();
    assert!(session.id() > 0 && !session.is_remote());
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| (0..1000).for_each(|_| session.noop().unwrap()));
        }
    });
    let clone = session.clone();
    drop(session);
    clone.noop().unwrap();
}

#[test]
fn operations_give_their_results() {
    start();
    let session = Session::new().unwrap();
    let found = session.minmax(&[1.0, 2.0, 3.0], -5, 5).unwrap();
    assert_eq!(found.clipped, [1.0, 2.0, 3.0]);
    assert_eq!((found.min, found.max), (-5.0, 5.0));
    let mut c = [f32::NAN; 4];
    session
        .sgemm(&Sgemm::new(2, 2, 2), &[1.0; 4], &[1.0; 4], &mut c)
        .unwrap();
    assert_eq!(c, [0.0; 4]);
    assert_eq!(session.fpga_arraycopy(&[1, 2, 3]).unwrap(), [1, 2, 3]);
    assert_eq!(session.fpga_vadd(&[1.0; 3], &[2.0; 3]).unwrap().len(), 3);
    assert_eq!(
        session.fpga_mmult(2, &[1.0; 4], &[2.0; 4]).unwrap().len(),
        4
    );
    let (sums, products) = session.fpga_parallel(&[1.0; 3], &[2.0; 3]).unwrap();
    assert_eq!((sums.len(), products.len()), (3, 3));

    let answer = session.image_classify(b"no picture").unwrap();
    assert!(answer.text.contains("classification tag"), "{answer:?}");
    assert!(!answer.picture.is_empty() && answer.labels.is_empty());
    for annotated in [
        session.image_detect(b"x").unwrap(),
        session.image_segment(b"x").unwrap(),
        session.image_pose(b"x").unwrap(),
        session.image_depth(b"x").unwrap(),
    ] {
        assert!(!annotated.picture.is_empty());
    }
}

#[test]
fn what_is_wrong_is_an_error_with_code_name_and_words() {
    start();
    let session = Session::new().unwrap();
    let error = session
        .sgemm(&Sgemm::new(2, 2, 2), &[1.0; 3], &[1.0; 4], &mut [0.0; 4])
        .unwrap_err();
    assert_eq!((error.code, error.name), (code::EINVAL, "VACCEL_EINVAL"));
    assert!(error.message.contains("A needs 2 rows"), "{error}");
    let error = Resource::open("/no/such/file", ResourceType::Model).unwrap_err();
    assert_eq!(error.code, code::ENOENT, "{error}");
    assert!(error.message.contains("/no/such/file"), "{error}");
    let error = session.image_classify(b"").unwrap_err();
    assert_eq!(error.code, code::EINVAL, "{error}");
    assert!(Resource::open("a\0b", ResourceType::Model).is_err());
}

#[test]
fn exec_passes_arguments_both_ways() {
    start();
    let session = Session::new().unwrap();
    let numbers = [1i32, 2, 3];
    let mut out = [0u8; 16];
    let mut outputs = [Output::buffer(&mut out)];
    let inputs = [Input::array(&numbers), Input::string(c"text")];
    // SAFETY: the noop plugin calls nothing.
    unsafe { session.exec("/any/library.so", "symbol", &inputs, &mut outputs) }.unwrap();
    assert_eq!(outputs[0].size(), 16);
    let library = Resource::from_bytes(vec![1, 2, 3], ResourceType::Library, "library.so").unwrap();
    // SAFETY: as above.
    let call = || unsafe { session.exec_with_resource(&library, "symbol", &[], &mut []) };
    assert_eq!(call().unwrap_err().code, code::EPERM, "not registered yet");
    library.register(&session).unwrap();
    call().unwrap();
}

#[test]
fn resources_are_registered_and_taken_back() {
    start();
    let (_dir, path) = model_file();
    let session = Session::new().unwrap();
    let resource = Resource::open(&path, ResourceType::Model).unwrap();
    assert!(!session.has_resource(&resource));
    resource.register(&session).unwrap();
    resource.register(&session).unwrap();
    assert!(session.has_resource(&resource));
    resource.unregister(&session).unwrap();
    assert!(!session.has_resource(&resource));
    assert!(resource.unregister(&session).is_err());
    // Either may go first.
    resource.register(&session).unwrap();
    drop(session);
    let session = Session::new().unwrap();
    resource.register(&session).unwrap();
    drop(resource);
    session.noop().unwrap();
}

#[test]
fn resources_are_made_of_files_folders_and_memory() {
    start();
    let (dir, path) = model_file();
    let second = dir.path().join("model.bin");
    std::fs::write(&second, "weights").unwrap();
    let session = Session::new().unwrap();
    let pieces = vec![("a".to_owned(), vec![1, 2, 3]), ("b".to_owned(), vec![4])];
    for resource in [
        Resource::open(dir.path(), ResourceType::Model).unwrap(),
        Resource::open_all(&[&path, &second], ResourceType::Model).unwrap(),
        Resource::from_pieces(pieces, ResourceType::Data).unwrap(),
        Resource::from_bytes(vec![5; 1000], ResourceType::Data, "data").unwrap(),
    ] {
        resource.register(&session).unwrap();
        assert!(session.has_resource(&resource));
    }
    let empty: [&Path; 0] = [];
    assert!(Resource::open_all(&empty, ResourceType::Model).is_err());
    assert!(Resource::from_bytes(vec![1], ResourceType::Data, "../x").is_err());
}

#[test]
fn a_model_gives_back_tensors() {
    start();
    let (_dir, path) = model_file();
    let session = Session::new().unwrap();
    let resource = Resource::open(&path, ResourceType::Model).unwrap();
    let model = Model::load(&session, &resource, "").unwrap();
    let info = model.info().unwrap();
    assert_eq!(
        (info.format.as_str(), info.backend.as_str()),
        ("noop", "noop")
    );
    let input = Tensor::new(&[2, 3], vec![1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0]).unwrap();
    let outputs = model
        .run_named(&[("x", &input)], &["first", "second"])
        .unwrap();
    assert_eq!(outputs, [input.clone(), input.clone()]);
    let half = Tensor::from_f16_bits(&[1], vec![0x3c00]).unwrap();
    let echo = model.run_named(&[("", half)], &[""]).unwrap();
    assert_eq!(echo[0].dtype(), Dtype::F16);
    // The model keeps what it needs.
    drop((session, resource));
    model.run_named(&[("x", &input)], &["y"]).unwrap();
}

#[test]
fn a_library_that_is_not_there_is_an_error_that_says_what_to_do() {
    const CHILD: &str = "VACCEL_TEST_CHILD";
    if std::env::var_os(CHILD).is_some() {
        let error = Session::new().unwrap_err();
        assert_eq!(error.code, code::ENOENT);
        assert!(
            error
                .message
                .contains("VACCEL_LIBRARY=/nowhere/libvaccel.so.0: "),
            "{error}"
        );
        // What the loader says, not only that it failed.
        assert!(error.message.contains("No such file"), "{error}");
        return;
    }
    let child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "a_library_that_is_not_there_is_an_error_that_says_what_to_do",
        ])
        .env(CHILD, "1")
        .env("VACCEL_LIBRARY", "/nowhere/libvaccel.so.0")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout);
    assert!(
        child.status.success() && said.contains("1 passed"),
        "{said}"
    );
}

#[test]
fn a_file_that_is_not_the_library_is_named() {
    const CHILD: &str = "VACCEL_TEST_CHILD_OTHER";
    if std::env::var_os(CHILD).is_some() {
        let error = Session::new().unwrap_err();
        assert_eq!(error.code, code::ELIBBAD);
        assert!(error.message.contains("is not a libvaccel"), "{error}");
        return;
    }
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_file_that_is_not_the_library_is_named"])
        .env(CHILD, "1")
        .env("VACCEL_LIBRARY", "libc.so.6")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout);
    assert!(
        child.status.success() && said.contains("1 passed"),
        "{said}"
    );
}
