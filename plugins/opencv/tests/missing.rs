//! Without OpenCV the plugin loads all the same, and says what to install.
#![allow(clippy::unwrap_used)]

use vaccel_plugin::abi::op::OpencvFn;
use vaccel_plugin::testing::{Loaded, TestSession};
use vaccel_plugin::{Op, code};

// One test: the variables are set before the process has a second thread of ours.
#[test]
fn missing_headers_are_an_error_of_the_operation_and_are_explained() {
    let cache = tempfile::tempdir().unwrap();
    // SAFETY: nothing else of this process reads the environment meanwhile.
    unsafe {
        std::env::set_var("VACCEL_OPENCV_INCLUDE", "/nonexistent");
        std::env::set_var("XDG_CACHE_HOME", cache.path());
        std::env::remove_var("VACCEL_OPENCV_SHIM");
    }
    let plugin = Loaded::built("vaccel_opencv");
    let about = plugin.describe();
    assert_eq!(about["ready"], false);
    assert!(about["missing"].as_str().unwrap().contains("headers"));
    assert!(
        about["remedy"]
            .as_str()
            .unwrap()
            .contains("apt-get install")
    );
    let opencv: OpencvFn = plugin.op(Op::Opencv);
    let session = TestSession::new(1);
    let none = std::ptr::null_mut();
    // SAFETY: a live session; no arguments.
    let code = unsafe { opencv(session.as_ptr(), none, 0, none, 0) };
    assert_eq!(code, code::ENOENT);
}
