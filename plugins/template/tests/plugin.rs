//! The built library, called as C calls it.
#![allow(clippy::unwrap_used)]

use std::ffi::CString;
use std::sync::LazyLock;
use vaccel_plugin::abi::model::{DTYPE_F32, vaccel_tensor};
use vaccel_plugin::abi::op::{MinmaxFn, NoopFn};
use vaccel_plugin::testing::{Loaded, TestResource, TestSession};
use vaccel_plugin::{Op, ResourceType, code};

static PLUGIN: LazyLock<Loaded> = LazyLock::new(|| Loaded::built("vaccel_template"));

#[test]
fn the_library_is_a_plugin_and_offers_what_it_says() {
    assert_eq!(PLUGIN.name(), "template");
    let offered: Vec<&Op> = Op::ALL.iter().filter(|op| PLUGIN.offers(**op)).collect();
    assert_eq!(offered, [&Op::Noop, &Op::Minmax]);
    assert_eq!(PLUGIN.describe()["formats"][0], "template-line");
    let noop: NoopFn = PLUGIN.op(Op::Noop);
    // SAFETY: a live session.
    assert_eq!(unsafe { noop(TestSession::new(1).as_ptr()) }, 0);
}

#[test]
fn minmax_finds_the_extremes_and_clips() {
    let minmax: MinmaxFn = PLUGIN.op(Op::Minmax);
    let s = TestSession::new(1);
    let input = [3.0_f64, -7.5, 12.0, 0.5];
    let mut clipped = [0.0_f64; 4];
    let (mut min, mut max) = (0.0, 0.0);
    let mut call = |low, high| {
        let (o, a, b) = (clipped.as_mut_ptr(), &raw mut min, &raw mut max);
        // SAFETY: live arrays of four.
        unsafe { minmax(s.as_ptr(), input.as_ptr(), 4, low, high, o, a, b) }
    };
    assert_eq!(call(5, -5), code::EINVAL);
    assert_eq!(call(-5, 5), 0);
    assert_eq!((min, max), (-7.5, 12.0));
    assert_eq!(clipped, [3.0, -5.0, 5.0, 0.5]);
}

/// Loads a model of this text, runs it on `x`, and returns `y` or the code.
fn run(
    id: i64,
    text: &str,
    options: &str,
    x: &[f32],
    output: Option<&str>,
) -> Result<Vec<f32>, i32> {
    let s = TestSession::new(id);
    let m = TestResource::from_memory(id, ResourceType::Model, "line.txt", text.as_bytes());
    let options = CString::new(options).unwrap();
    let output = output.map(|name| CString::new(name).unwrap());
    let ext = PLUGIN.ext();
    // SAFETY: live session, resource, tensors and strings.
    unsafe {
        match ext.model_load.unwrap()(s.as_ptr(), m.as_ptr(), options.as_ptr()) {
            0 => {}
            code => return Err(code),
        }
        let mut input = vaccel_tensor::empty();
        input.dtype = DTYPE_F32;
        input.rank = 1;
        input.dims[0] = x.len() as i64;
        input.data = x.as_ptr().cast_mut().cast();
        input.size = size_of_val(x);
        let mut out = vaccel_tensor::empty();
        if let Some(name) = &output {
            out.name = name.as_ptr();
        }
        let run = ext.model_run.unwrap();
        let code = run(s.as_ptr(), m.as_ptr(), &raw const input, 1, &raw mut out, 1);
        assert_eq!(ext.model_unload.unwrap()(s.as_ptr(), m.as_ptr()), 0);
        if code != 0 {
            return Err(code);
        }
        assert_eq!(out.shape(), &[x.len() as i64]);
        let y = std::slice::from_raw_parts(out.data.cast::<f32>(), x.len()).to_vec();
        libc::free(out.data);
        Ok(y)
    }
}

#[test]
fn a_model_computes_its_line() {
    let text = "scale = 2\nbias = -1\n";
    assert_eq!(run(10, text, "", &[1.0, 0.0], None), Ok(vec![1.0, -1.0]));
    assert_eq!(run(11, text, "gain=3", &[1.0], Some("y")), Ok(vec![5.0]));
}

#[test]
fn what_is_wrong_is_refused() {
    let text = "scale = 2\nbias = -1\n";
    assert_eq!(run(20, text, "", &[1.0], Some("z")), Err(code::EINVAL));
    assert_eq!(run(21, text, "gian=3", &[1.0], None), Err(code::EINVAL));
    assert_eq!(run(22, text, "gain=x", &[1.0], None), Err(code::EINVAL));
    for bad in [
        "",
        "scale = 2",
        "scale = two\nbias = 1",
        "tilt = 1",
        "\u{fffd}",
    ] {
        assert_eq!(run(23, bad, "", &[1.0], None), Err(code::EINVAL), "{bad}");
    }
}
