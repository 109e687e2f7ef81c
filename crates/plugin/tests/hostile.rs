//! Operations called as a careless or hostile C program would.
#![allow(clippy::unwrap_used)]

use std::ptr::{null, null_mut};
use std::sync::LazyLock;
use vaccel_plugin::abi::arg::{ARG_RAW, vaccel_arg};
use vaccel_plugin::abi::op::{
    ExecFn, FpgaMmultFn, FpgaParallelFn, FpgaVectoraddFn, ImageClassifyFn, ImageFn, MinmaxFn,
    OpencvFn, SgemmFn,
};
use vaccel_plugin::testing::{Loaded, TestSession, built_example};
use vaccel_plugin::{Op, code};

static PLUGIN: LazyLock<Loaded> = LazyLock::new(|| {
    let plugin = Loaded::open(&built_example("misbehaves"));
    assert_eq!(plugin.init(), 0);
    plugin
});

fn raw<T>(values: &mut [T]) -> vaccel_arg {
    vaccel_arg {
        buf: values.as_mut_ptr().cast(),
        size: size_of_val(values),
        type_: ARG_RAW,
        custom_type_id: 0,
        owned: false,
    }
}

#[test]
fn exec_refuses_null_strings_null_lists_and_impossible_sizes() {
    let exec: ExecFn = PLUGIN.op(Op::Exec);
    let s = TestSession::new(1);
    let (lib, sym) = (c"lib".as_ptr(), c"sym".as_ptr());
    let mut data = [1_u8, 2, 3];
    let mut read = [raw(&mut data)];
    let mut out = [0_u8; 2];
    let mut write = [raw(&mut out)];
    let (r, w) = (read.as_mut_ptr(), write.as_mut_ptr());
    // SAFETY: every bad pointer is null or comes with a length that is refused.
    unsafe {
        assert_eq!(exec(s.as_ptr(), null(), sym, r, 1, w, 1), code::EINVAL);
        assert_eq!(exec(s.as_ptr(), lib, null(), r, 1, w, 1), code::EINVAL);
        assert_eq!(exec(null_mut(), lib, sym, r, 1, w, 1), code::EINVAL);
        assert_eq!(
            exec(s.as_ptr(), lib, sym, null_mut(), 1, w, 1),
            code::EINVAL
        );
        assert_eq!(
            exec(s.as_ptr(), lib, sym, r, 1, null_mut(), 1),
            code::EINVAL
        );
        assert_eq!(
            exec(s.as_ptr(), lib, sym, r, usize::MAX, w, 1),
            code::EINVAL
        );
        let odd = r.cast::<u8>().add(1).cast();
        assert_eq!(exec(s.as_ptr(), lib, sym, odd, 1, w, 1), code::EINVAL);
        assert_eq!(exec(s.as_ptr(), lib, sym, null_mut(), 0, null_mut(), 0), 0);
        (*r).size = usize::MAX;
        assert_eq!(exec(s.as_ptr(), lib, sym, r, 1, w, 1), code::EINVAL);
        (*r).size = 3;
        assert_eq!(exec(s.as_ptr(), lib, sym, r, 1, w, 1), 0);
    }
    assert_eq!(out, [6, 6]);
}

#[test]
fn arguments_that_share_memory_are_an_error_and_not_undefined() {
    let exec: ExecFn = PLUGIN.op(Op::Exec);
    let s = TestSession::new(1);
    let mut data = [1_u8; 8];
    let mut list = [raw(&mut data)];
    let l = list.as_mut_ptr();
    // SAFETY: live arguments; the same list twice is what is tested.
    let code = unsafe { exec(s.as_ptr(), c"l".as_ptr(), c"s".as_ptr(), l, 1, l, 1) };
    assert_eq!(code, code::EINVAL);
    assert_eq!(data, [1; 8]);
}

#[test]
fn opencv_refuses_negative_counts() {
    let opencv: OpencvFn = PLUGIN.op(Op::Opencv);
    let s = TestSession::new(1);
    // SAFETY: nothing is behind the null pointers, and nothing is looked at.
    unsafe {
        assert_eq!(
            opencv(s.as_ptr(), null_mut(), -1, null_mut(), 0),
            code::EINVAL
        );
        assert_eq!(
            opencv(s.as_ptr(), null_mut(), 0, null_mut(), i32::MIN),
            code::EINVAL
        );
        // Listed but without a body.
        assert_eq!(
            opencv(s.as_ptr(), null_mut(), 0, null_mut(), 0),
            code::ENOTSUP
        );
    }
}

#[test]
fn texts_are_cut_and_paths_are_not() {
    let classify: ImageClassifyFn = PLUGIN.op(Op::ImageClassify);
    let s = TestSession::new(1);
    let image = [7_u8; 4];
    let mut text = [9_u8; 5];
    let mut path = [9_u8; 9];
    let img = image.as_ptr().cast();
    // SAFETY: live buffers with the lengths they have, or null.
    unsafe {
        let (t, p) = (text.as_mut_ptr(), path.as_mut_ptr());
        assert_eq!(classify(s.as_ptr(), img, t, p, 4, 5, 9), 0);
        assert_eq!(&text, b"4 by\0");
        assert_eq!(&path, b"/x/x/x/x\0");
        path = [9; 9];
        assert_eq!(classify(s.as_ptr(), img, t, p, 4, 5, 8), code::ERANGE);
        assert_eq!(path, [9; 9], "nothing of a path that does not fit");
        assert_eq!(
            classify(s.as_ptr(), img, null_mut(), null_mut(), 4, 5, 8),
            0
        );
        assert_eq!(classify(s.as_ptr(), img, t, p, 4, 0, 0), 0);
        assert_eq!(classify(s.as_ptr(), null(), t, p, 4, 5, 9), code::EINVAL);
        assert_eq!(classify(s.as_ptr(), null(), t, p, 0, 5, 9), 0);
        assert_eq!(
            classify(s.as_ptr(), img, t, p, usize::MAX, 5, 9),
            code::EINVAL
        );
        assert_eq!(
            classify(s.as_ptr(), img, t, p, 4, usize::MAX, 9),
            code::EINVAL
        );
        let detect: ImageFn = PLUGIN.op(Op::ImageDetect);
        assert_eq!(detect(s.as_ptr(), img, p, 4, 9), code::ENOTSUP);
    }
}

#[test]
fn sgemm_refuses_what_no_matrix_is() {
    let sgemm: SgemmFn = PLUGIN.op(Op::Sgemm);
    let s = TestSession::new(1);
    let mut a = [1.0_f32, 2.0, 3.0, 4.0, 5.0, 6.0];
    let mut b = [1.0_f32; 6];
    let mut c = [0.0_f32; 4];
    let (a, b, c) = (a.as_mut_ptr(), b.as_mut_ptr(), c.as_mut_ptr());
    // SAFETY: live matrices of the sizes that are accepted; the others are
    // refused before they are looked at.
    let call = |m, n, k, a, lda, b, ldb, c, ldc| unsafe {
        sgemm(s.as_ptr(), m, n, k, 1.0, a, lda, b, ldb, 0.0, c, ldc)
    };
    assert_eq!(call(2, 2, 3, a, 3, b, 2, c, 2), 0);
    assert_eq!(call(-1, 2, 3, a, 3, b, 2, c, 2), code::EINVAL);
    assert_eq!(call(2, 2, 3, a, 2, b, 2, c, 2), code::EINVAL);
    assert_eq!(call(2, 2, 3, a, 3, b, 1, c, 2), code::EINVAL);
    assert_eq!(call(2, 2, 3, a, 3, b, 2, c, 1), code::EINVAL);
    assert_eq!(call(2, 2, 3, a, -3, b, 2, c, 2), code::EINVAL);
    assert_eq!(call(2, 2, 3, null_mut(), 3, b, 2, c, 2), code::EINVAL);
    assert_eq!(call(2, 2, 3, a, 3, b, 2, null_mut(), 2), code::EINVAL);
    assert_eq!(
        call(
            i64::MAX,
            i64::MAX,
            i64::MAX,
            a,
            i64::MAX,
            b,
            i64::MAX,
            c,
            i64::MAX
        ),
        code::EINVAL
    );
    assert_eq!(
        call(0, 0, 0, null_mut(), 0, null_mut(), 0, null_mut(), 0),
        0
    );
}

#[test]
fn an_in_place_sum_works_though_rust_would_not_allow_it() {
    let vadd: FpgaVectoraddFn = PLUGIN.op(Op::FpgaVectoradd);
    let s = TestSession::new(1);
    let mut a = [1.0_f32, 2.0, 3.0];
    let mut b = [10.0_f32; 2];
    // SAFETY: live arrays.
    unsafe {
        let p = a.as_mut_ptr();
        assert_eq!(vadd(s.as_ptr(), p, p, p, 3, 3), 0);
        assert_eq!(a, [2.0, 4.0, 6.0]);
        // Shorter b: the plugin indexes past its end, which is its panic.
        let p = a.as_mut_ptr();
        assert_eq!(vadd(s.as_ptr(), p, b.as_mut_ptr(), p, 3, 2), code::EFAULT);
    }
}

#[test]
fn fpga_operations_refuse_matrices_that_are_not_square_and_shared_outputs() {
    let s = TestSession::new(1);
    let mut x = [1.0_f32; 8];
    let p = x.as_mut_ptr();
    let mmult: FpgaMmultFn = PLUGIN.op(Op::FpgaMmult);
    let parallel: FpgaParallelFn = PLUGIN.op(Op::FpgaParallel);
    // SAFETY: live memory; refused before it is looked at.
    unsafe {
        assert_eq!(mmult(s.as_ptr(), p, p, p, 8), code::EINVAL);
        assert_eq!(parallel(s.as_ptr(), p, p, p, p.add(3), 4), code::EINVAL);
        assert_eq!(parallel(s.as_ptr(), p, p, p, p.add(4), 4), code::ENOTSUP);
    }
}

#[test]
fn minmax_refuses_negative_counts_and_missing_results() {
    let minmax: MinmaxFn = PLUGIN.op(Op::Minmax);
    let s = TestSession::new(1);
    let (input, mut out) = ([1.0_f64; 4], [0.0_f64; 4]);
    let (mut min, mut max) = (0.0, 0.0);
    let (i, o) = (input.as_ptr(), out.as_mut_ptr());
    // SAFETY: live arrays, or null.
    unsafe {
        assert_eq!(
            minmax(s.as_ptr(), i, -4, 0, 1, o, &raw mut min, &raw mut max),
            code::EINVAL
        );
        assert_eq!(
            minmax(s.as_ptr(), i, 4, 0, 1, o, null_mut(), &raw mut max),
            code::EINVAL
        );
        assert_eq!(
            minmax(
                s.as_ptr(),
                i,
                4,
                0,
                1,
                null_mut(),
                &raw mut min,
                &raw mut max
            ),
            code::EINVAL
        );
        assert_eq!(
            minmax(s.as_ptr(), null(), 4, 0, 1, o, &raw mut min, &raw mut max),
            code::EINVAL
        );
    }
}
