//! The built library with the OpenCV that is installed.
#![allow(clippy::unwrap_used)]

use std::ffi::{CString, c_int, c_void};
use std::sync::LazyLock;
use vaccel_plugin::abi::arg::{
    ARG_BUFFER, ARG_FLOAT64, ARG_FLOAT64_ARRAY, ARG_INT32, ARG_INT32_ARRAY, ARG_STRING,
    ARG_UINT8_ARRAY, ArgType, vaccel_arg,
};
use vaccel_plugin::abi::op::OpencvFn;
use vaccel_plugin::testing::{Loaded, Missing, TestSession, skipped};
use vaccel_plugin::{Op, code};

static PLUGIN: LazyLock<Loaded> = LazyLock::new(|| Loaded::built("vaccel_opencv"));

/// True when there is OpenCV.
fn ready() -> bool {
    PLUGIN.is_ready(Missing::FailsWhereAllIsTested)
}

/// One argument of a function, with its memory.
struct Value(Vec<u64>, usize, ArgType);

impl Value {
    fn of(bytes: &[u8], type_: ArgType) -> Self {
        // Aligned for any number.
        let mut memory = vec![0_u64; bytes.len().div_ceil(8).max(1)];
        // SAFETY: at least as many bytes.
        unsafe {
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), memory.as_mut_ptr().cast(), bytes.len());
        }
        Self(memory, bytes.len(), type_)
    }

    fn bytes(&self) -> &[u8] {
        // SAFETY: as many bytes are there.
        unsafe { std::slice::from_raw_parts(self.0.as_ptr().cast(), self.1) }
    }

    fn arg(&mut self) -> vaccel_arg {
        vaccel_arg {
            buf: self.0.as_mut_ptr().cast::<c_void>(),
            size: self.1,
            type_: self.2,
            custom_type_id: 0,
            owned: false,
        }
    }
}

fn text(text: &str) -> Value {
    Value::of(CString::new(text).unwrap().as_bytes_with_nul(), ARG_STRING)
}

fn int(value: i32) -> Value {
    Value::of(&value.to_ne_bytes(), ARG_INT32)
}

fn double(value: f64) -> Value {
    Value::of(&value.to_ne_bytes(), ARG_FLOAT64)
}

fn doubles(values: &[f64]) -> Value {
    let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_ne_bytes()).collect();
    Value::of(&bytes, ARG_FLOAT64_ARRAY)
}

fn shape(values: &[i32]) -> Value {
    let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_ne_bytes()).collect();
    Value::of(&bytes, ARG_INT32_ARRAY)
}

fn pixels(bytes: &[u8]) -> Value {
    Value::of(bytes, ARG_UINT8_ARRAY)
}

/// Bytes and shape that a function gives, or its code.
fn call(name: &str, mut values: Vec<Value>) -> Result<(Vec<u8>, Vec<i32>), c_int> {
    let opencv: OpencvFn = PLUGIN.op(Op::Opencv);
    let session = TestSession::new(1);
    let mut first = text(name);
    let mut read = vec![first.arg()];
    read.extend(values.iter_mut().map(Value::arg));
    let (mut out, mut shape) = (pixels(&vec![0; 1 << 20]), shape(&[0; 4]));
    let mut write = [out.arg(), shape.arg()];
    // SAFETY: live session and arguments.
    let code = unsafe {
        opencv(
            session.as_ptr(),
            read.as_mut_ptr(),
            read.len() as c_int,
            write.as_mut_ptr(),
            2,
        )
    };
    if code != 0 {
        return Err(code);
    }
    (out.1, shape.1) = (write[0].size, write[1].size);
    let shape = shape.bytes().chunks_exact(4);
    let shape = shape
        .map(|c| i32::from_ne_bytes(c.try_into().unwrap()))
        .collect();
    Ok((out.bytes().to_vec(), shape))
}

/// A grey picture with a bright square of `side` at `x`, `y`.
fn square(width: usize, height: usize, x: usize, y: usize, side: usize) -> Vec<u8> {
    let inside = |at: usize, from: usize| (from..from + side).contains(&at);
    (0..width * height)
        .map(|at| {
            if inside(at % width, x) && inside(at / width, y) {
                220
            } else {
                20
            }
        })
        .collect()
}

#[test]
fn pictures_go_through_a_file_unchanged() {
    if !ready() {
        return;
    }
    let original: Vec<u8> = (0..20 * 10 * 3).map(|i| (i * 7 % 256) as u8).collect();
    let given = vec![shape(&[10, 20, 3]), pixels(&original), text(".png")];
    let (png, _) = call("encode", given).unwrap();
    assert!(png.starts_with(b"\x89PNG"));
    let (bytes, shape) = call("decode", vec![Value::of(&png, ARG_BUFFER)]).unwrap();
    assert_eq!((bytes, shape), (original, vec![10, 20, 3, 1]));
}

#[test]
fn functions_do_what_their_names_say() {
    if !ready() {
        return;
    }
    let (width, height) = (40_usize, 30_usize);
    let picture = square(width, height, 10, 8, 12);
    let with = |more: Vec<Value>| {
        let mut all = vec![shape(&[height as i32, width as i32]), pixels(&picture)];
        all.extend(more);
        all
    };
    let at = |bytes: &[u8], x: usize, y: usize| bytes[y * width + x];

    let (small, size) = call("resize", with(vec![int(20), int(15), text("nearest")])).unwrap();
    assert_eq!(size, [15, 20, 1, 1]);
    assert_eq!((small[5 * 20 + 8], small[0]), (220, 20));

    let (edges, _) = call("canny", with(vec![double(50.0), double(150.0)])).unwrap();
    let count = edges.iter().filter(|e| **e == 255).count();
    assert!(
        (36..=60).contains(&count),
        "{count} pixels of a border of 44"
    );
    assert_eq!(at(&edges, 16, 14), 0, "the inside has no edges");

    let (blurred, _) = call("blur", with(vec![int(9), double(3.0)])).unwrap();
    assert!(
        (60..180).contains(&at(&blurred, 10, 14)),
        "{}",
        at(&blurred, 10, 14)
    );
    assert_eq!(at(&blurred, 35, 2), 20);

    let (sharp, _) = call("threshold", with(vec![double(100.0), double(255.0)])).unwrap();
    assert_eq!((at(&sharp, 12, 10), at(&sharp, 2, 2)), (255, 0));
    let (otsu, _) = call(
        "threshold",
        with(vec![double(0.0), double(255.0), text("otsu")]),
    )
    .unwrap();
    assert_eq!(otsu, sharp);

    // Shifted right by 5 and down by 3.
    let shift = doubles(&[1.0, 0.0, 5.0, 0.0, 1.0, 3.0]);
    let (moved, _) = call("warp", with(vec![int(40), int(30), shift])).unwrap();
    assert_eq!((at(&moved, 15, 11), at(&moved, 14, 10)), (220, 20));

    let (median, _) = call("median", with(vec![int(3)])).unwrap();
    assert_eq!(at(&median, 16, 14), 220);

    let colours: Vec<u8> = [10, 20, 30].repeat(4);
    let (grey, size) = call(
        "color",
        vec![shape(&[2, 2, 3]), pixels(&colours), text("gray")],
    )
    .unwrap();
    // 0.114 B + 0.587 G + 0.299 R (ITU-R BT.601).
    assert_eq!((grey, size), (vec![22; 4], vec![2, 2, 1, 1]));
}

#[test]
fn optical_flow_sees_what_moves() {
    if !ready() {
        return;
    }
    let noise = |dx: usize| -> Vec<u8> {
        (0..64 * 64)
            .map(|at| {
                let (x, y) = ((at % 64 + 64 - dx) as f64, (at / 64) as f64);
                (128.0 + 60.0 * (x / 5.0).sin() + 60.0 * (y / 4.0).cos()) as u8
            })
            .collect()
    };
    let (a, b) = (noise(0), noise(2));
    let given = vec![shape(&[64, 64]), pixels(&a), shape(&[64, 64]), pixels(&b)];
    let (bytes, size) = call("flow", given).unwrap();
    assert_eq!(size, [64, 64, 2, 4]);
    let flow: Vec<f32> = bytes
        .chunks_exact(4)
        .map(|c| f32::from_ne_bytes(c.try_into().unwrap()))
        .collect();
    let middle = (32 * 64 + 32) * 2;
    assert!((flow[middle] - 2.0).abs() < 0.5, "{}", flow[middle]);
    assert!(flow[middle + 1].abs() < 0.5, "{}", flow[middle + 1]);
}

/// Finds a bright middle in a window of 24: one feature, the window less nine times the
/// middle third, which has the ninth part of its area.
const CASCADE: &str = r#"<?xml version="1.0"?>
<opencv_storage><cascade type_id="opencv-cascade-classifier">
<stageType>BOOST</stageType><featureType>HAAR</featureType>
<height>24</height><width>24</width>
<stageParams><maxWeakCount>1</maxWeakCount></stageParams>
<featureParams><maxCatCount>0</maxCatCount></featureParams>
<stageNum>1</stageNum>
<stages><_><maxWeakCount>1</maxWeakCount><stageThreshold>0.5</stageThreshold>
<weakClassifiers><_><internalNodes>0 -1 0 -1.0</internalNodes><leafValues>1. -1.</leafValues></_></weakClassifiers></_></stages>
<features><_><rects><_>0 0 24 24 1.</_><_>8 8 8 8 -9.</_></rects></_></features>
</cascade></opencv_storage>"#;

#[test]
fn a_cascade_finds_what_it_looks_for_and_nothing_elsewhere() {
    if !ready() {
        return;
    }
    let picture = square(120, 90, 60, 40, 16);
    let given = vec![
        shape(&[90, 120]),
        pixels(&picture),
        text(CASCADE),
        doubles(&[1.1, 3.0]),
    ];
    let (bytes, size) = call("cascade", given).unwrap();
    assert!(size[0] >= 1, "nothing found: {size:?}");
    let boxes: Vec<f32> = bytes
        .chunks_exact(4)
        .map(|c| f32::from_ne_bytes(c.try_into().unwrap()))
        .collect();
    for b in boxes.chunks_exact(4) {
        let (x, y) = (b[0] + b[2] / 2.0, b[1] + b[3] / 2.0);
        assert!((x - 68.0).abs() < 14.0 && (y - 48.0).abs() < 14.0, "{b:?}");
    }
    let flat = vec![shape(&[90, 120]), pixels(&[50; 90 * 120]), text(CASCADE)];
    assert_eq!(call("cascade", flat).unwrap().1[0], 0);
}

#[test]
fn the_cascades_of_debian_are_read_where_they_are() {
    let file = "haarcascade_frontalface_default.xml";
    if !ready() {
        return;
    }
    if !std::path::Path::new("/usr/share/opencv4/haarcascades")
        .join(file)
        .exists()
    {
        skipped("opencv", &format!("{file} is not installed (opencv-data)"));
        return;
    }
    let given = vec![shape(&[90, 120]), pixels(&[50; 90 * 120]), text(file)];
    let (bytes, size) = call("cascade", given).unwrap();
    assert_eq!((bytes.len(), size[0]), (0, 0), "there is no face in a wall");
}

#[test]
fn what_is_wrong_is_refused() {
    if !ready() {
        return;
    }
    let grey = || vec![shape(&[4, 4]), pixels(&[7; 16])];
    let with = |more: Vec<Value>| grey().into_iter().chain(more).collect::<Vec<_>>();
    for (name, given) in [
        ("nonsense", grey()),
        ("resize", vec![int(4), int(4)]),
        ("resize", with(vec![int(0), int(4)])),
        ("resize", with(vec![int(65_536), int(65_536)])),
        ("resize", with(vec![double(1.5), int(4)])),
        ("blur", with(vec![int(4)])),
        ("median", with(vec![int(2)])),
        ("color", grey()),
        (
            "threshold",
            with(vec![double(1.0), double(2.0), text("up")]),
        ),
        ("warp", with(vec![int(4), int(4), doubles(&[1.0; 5])])),
        ("flow", grey()),
        ("decode", vec![Value::of(b"no picture", ARG_BUFFER)]),
        ("decode", vec![Value::of(b"", ARG_BUFFER)]),
        ("decode", vec![shape(&[4, 4]), pixels(&[7; 15])]),
        ("decode", vec![shape(&[-4, -4]), pixels(&[7; 16])]),
        ("decode", vec![shape(&[4, 4])]),
        ("cascade", grey()),
        ("cascade", with(vec![text("../../../etc/passwd")])),
        ("cascade", with(vec![text("<xml/>")])),
    ] {
        let what = format!("{name} with {}", given.len());
        assert_eq!(call(name, given), Err(code::EINVAL), "{what}");
    }
    let missing = call("cascade", with(vec![text("no-such.xml")]));
    assert_eq!(missing, Err(code::ENOENT));
    // More than the caller has room for.
    let large = call("resize", with(vec![int(2000), int(2000)]));
    assert_eq!(large, Err(code::ERANGE));
}
