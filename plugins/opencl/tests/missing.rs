//! Without a loader the plugin loads all the same, and says what to install.
#![allow(clippy::unwrap_used)]

use vaccel_plugin::abi::op::FpgaArraycopyFn;
use vaccel_plugin::testing::{Loaded, TestSession};
use vaccel_plugin::{Op, code};

// One test: the variable is set before the process has a second thread of ours.
#[test]
fn a_missing_loader_is_an_error_of_the_operation_and_is_explained() {
    // SAFETY: nothing else of this process reads the environment meanwhile.
    unsafe { std::env::set_var("VACCEL_OPENCL_LIBRARY", "/nonexistent/libOpenCL.so") };
    let plugin = Loaded::built("vaccel_opencl");
    let about = plugin.describe();
    assert_eq!(about["ready"], false);
    assert!(
        about["missing"]
            .as_str()
            .unwrap()
            .contains("/nonexistent/libOpenCL.so")
    );
    assert!(
        about["remedy"]
            .as_str()
            .unwrap()
            .contains("apt-get install ocl-icd-libopencl1")
    );
    let copy: FpgaArraycopyFn = plugin.op(Op::FpgaArraycopy);
    let (s, mut from, mut to) = (TestSession::new(1), [1], [0]);
    // SAFETY: live arrays of one.
    let code = unsafe { copy(s.as_ptr(), from.as_mut_ptr(), to.as_mut_ptr(), 1) };
    assert_eq!((code, to), (code::ENOENT, [0]));
}
