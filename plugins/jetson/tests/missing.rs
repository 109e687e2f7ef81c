//! Without a shim the plugin loads all the same, and says what it is and what to do.
#![allow(clippy::unwrap_used)]

use vaccel_plugin::abi::op::ImageFn;
use vaccel_plugin::testing::{Loaded, TestSession};
use vaccel_plugin::{Op, code};

// One test: the variable is set before the process has a second thread of ours.
#[test]
fn without_a_shim_an_operation_is_enotsup_and_the_plugin_says_that_it_is_untested() {
    let none = tempfile::tempdir().unwrap();
    // SAFETY: nothing else of this process reads the environment meanwhile.
    unsafe { std::env::set_var("VACCEL_JETSON_LIB", none.path()) };
    let plugin = Loaded::built("vaccel_jetson");
    let about = plugin.describe();
    assert_eq!(about["ready"], false);
    assert!(about["summary"].as_str().unwrap().contains("UNTESTED"));
    let remedy = about["remedy"].as_str().unwrap();
    assert!(remedy.contains("jetson-inference"), "{remedy}");
    let detect: ImageFn = plugin.op(Op::ImageDetect);
    let (s, image, mut out) = (TestSession::new(1), [0_u8; 4], [0_u8; 64]);
    // SAFETY: live buffers of the lengths that are given.
    let code = unsafe {
        detect(
            s.as_ptr(),
            image.as_ptr().cast(),
            out.as_mut_ptr(),
            image.len(),
            out.len(),
        )
    };
    assert_eq!(code, code::ENOTSUP);
}
