//! The library closes the plugin while threads of the engine still sleep.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::ptr;

use vaccel_plugin::ResourceType;
use vaccel_plugin::abi::model::vaccel_tensor;
use vaccel_plugin::testing::{Loaded, TestResource, TestSession};

#[test]
fn a_plugin_that_was_closed_stays_mapped_and_can_be_opened_again() {
    let model = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/identity-f32.onnx");
    for round in 0..3 {
        let plugin = Loaded::built("vaccel_onnx");
        let session = TestSession::new(1);
        let resource = TestResource::from_files(7, ResourceType::Model, &[model.as_ref()]);
        let ext = plugin.ext();
        let (values, mut out) = ([1.0_f32, 2.0], vaccel_tensor::empty());
        let mut input = vaccel_tensor::empty();
        (input.dtype, input.rank, input.size) = (1, 2, 8);
        input.dims[..2].copy_from_slice(&[1, 2]);
        input.data = values.as_ptr().cast_mut().cast();
        // SAFETY: live session, resource and tensors; the output is freed with free.
        unsafe {
            let (session, resource) = (session.as_ptr(), resource.as_ptr());
            assert_eq!(ext.model_load.unwrap()(session, resource, ptr::null()), 0);
            let run = ext.model_run.unwrap();
            assert_eq!(
                run(session, resource, &raw const input, 1, &raw mut out, 1),
                0
            );
            assert_eq!(out.data.cast::<[f32; 2]>().read(), values, "round {round}");
            libc::free(out.data);
        }
    }
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    assert!(
        maps.contains("libvaccel_onnx.so"),
        "threads sleep in code that is gone"
    );
}
