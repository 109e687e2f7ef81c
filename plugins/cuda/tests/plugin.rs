//! The built library on a real GPU; where there is none, that this is said.
#![allow(clippy::unwrap_used)]

use std::sync::LazyLock;
use vaccel_plugin::abi::op::FpgaArraycopyFn;
use vaccel_plugin::testing::{Loaded, Missing, TestSession, compute, skipped};
use vaccel_plugin::{Op, code};

static PLUGIN: LazyLock<Loaded> = LazyLock::new(|| Loaded::built("vaccel_cuda"));

/// True when there is a GPU: no machine has to have one.
fn ready() -> bool {
    PLUGIN.is_ready(Missing::MayBe)
}

#[test]
fn the_plugin_offers_what_it_says_and_names_its_devices() {
    assert_eq!(PLUGIN.name(), "cuda");
    for op in [Op::Sgemm, Op::FpgaMmult, Op::Minmax] {
        assert!(PLUGIN.offers(op));
    }
    if ready() {
        let about = PLUGIN.describe();
        assert!(!about["devices"].as_array().unwrap().is_empty());
        assert!(about["runtime"].as_str().unwrap().starts_with("CUDA"));
    }
}

#[test]
fn products_equal_their_definition_for_all_sizes_strides_and_factors() {
    if ready() {
        compute::check_sgemm(&PLUGIN);
    }
}

#[test]
fn vector_operations_give_what_they_say() {
    if ready() {
        compute::check_vectors(&PLUGIN);
    }
}

#[test]
fn square_matrices_are_multiplied_and_others_refused() {
    if ready() {
        compute::check_mmult(&PLUGIN);
    }
}

#[test]
fn minmax_finds_the_extremes_and_clips() {
    if ready() {
        compute::check_minmax(&PLUGIN);
    }
}

#[test]
fn without_a_gpu_an_operation_fails_and_says_what_to_install() {
    if PLUGIN.describe()["ready"] == true {
        skipped("cuda", "there is a GPU");
        return;
    }
    let about = PLUGIN.describe();
    assert!(!about["missing"].as_str().unwrap().is_empty());
    let copy: FpgaArraycopyFn = PLUGIN.op(Op::FpgaArraycopy);
    let (s, mut from, mut to) = (TestSession::new(9), [1], [0]);
    // SAFETY: live arrays of one.
    let code = unsafe { copy(s.as_ptr(), from.as_mut_ptr(), to.as_mut_ptr(), 1) };
    assert!([code::ENOENT, code::ENODEV].contains(&code), "{code}");
    assert_eq!(to, [0]);
}
