//! Without XRT the plugin loads all the same, and says what to install.
#![allow(clippy::unwrap_used)]

use vaccel_plugin::abi::op::FpgaArraycopyFn;
use vaccel_plugin::testing::{Loaded, TestSession};
use vaccel_plugin::{Op, code};

// One test: the variables are set before the process has a second thread of ours.
#[test]
fn without_xrt_an_operation_is_enotsup_and_says_what_to_install() {
    let none = tempfile::tempdir().unwrap();
    let xclbin = none.path().join("own.xclbin");
    std::fs::write(&xclbin, "").unwrap();
    // SAFETY: nothing else of this process reads the environment meanwhile.
    unsafe {
        std::env::set_var("VACCEL_XRT_LIB", none.path());
        std::env::set_var("VACCEL_XRT_XCLBIN", &xclbin);
    };
    let plugin = Loaded::built("vaccel_xrt");
    assert_eq!(plugin.name(), "xrt");
    let about = plugin.describe();
    assert_eq!(about["ready"], false);
    let missing = about["missing"].as_str().unwrap();
    assert!(missing.contains("libxrt_coreutil.so.2"), "{missing}");
    let remedy = about["remedy"].as_str().unwrap();
    assert!(remedy.contains("cargo xtask runtimes xrt"), "{remedy}");
    let copy: FpgaArraycopyFn = plugin.op(Op::FpgaArraycopy);
    let (s, mut from, mut to) = (TestSession::new(1), [1], [0]);
    // SAFETY: live arrays of one.
    let code = unsafe { copy(s.as_ptr(), from.as_mut_ptr(), to.as_mut_ptr(), 1) };
    assert_eq!((code, to), (code::ENOTSUP, [0]));
}
