//! `vaccel_genop`: every operation in generic form, and everything that can be
//! wrong with its arguments.
#![allow(clippy::unwrap_used)]

mod common;

use common::*;
use std::sync::Once;
use vaccel_abi::arg::*;
use vaccel_abi::error::*;
use vaccel_abi::op::*;
use vaccel_abi::resource::{RESOURCE_LIB, vaccel_resource};
use vaccel_abi::session::vaccel_session;

/// A session with the test plugin.
fn open() -> Box<vaccel_session> {
    static LOADED: Once = Once::new();
    LOADED.call_once(|| load(&plugin("genop", &[])));
    session(0)
}

#[test]
fn noop_works() {
    let mut sess = open();
    expect(OK, genop(&mut *sess, OP_NOOP, &[], &mut []));
    let mut surplus = 1i32;
    expect(
        EINVAL,
        genop(
            &mut *sess,
            OP_NOOP,
            &[arg(ARG_INT32, &mut surplus)],
            &mut [],
        ),
    );
    expect(OK, vaccel_session_release(&mut *sess));
}

#[test]
fn the_code_must_be_one_byte_of_a_known_operation() {
    let mut sess = open();
    let null = std::ptr::null_mut();
    expect(EINVAL, vaccel_genop(&mut *sess, null, 0, null, 0));
    expect(EINVAL, vaccel_genop(&mut *sess, null, 1, null, 0));
    expect(EINVAL, vaccel_genop(&mut *sess, null, -1, null, 0));
    let mut wide = 0u32;
    expect(
        EINVAL,
        vaccel_genop(&mut *sess, &mut arg(ARG_UINT32, &mut wide), 1, null, 0),
    );
    expect(
        EINVAL,
        vaccel_genop(&mut *sess, &mut arg(ARG_UINT8, &mut wide), 1, null, 0),
    );
    let mut code = 0u8;
    expect(
        EINVAL,
        vaccel_genop(&mut *sess, &mut arg(ARG_INT8, &mut code), 1, null, 0),
    );
    let mut nowhere = arg(ARG_UINT8, &mut code);
    nowhere.buf = null.cast();
    expect(EINVAL, vaccel_genop(&mut *sess, &mut nowhere, 1, null, 0));
    for unknown in [24, 100, 127, 132, 255] {
        expect(EINVAL, genop(&mut *sess, unknown, &[], &mut []));
    }
    expect(OK, vaccel_session_release(&mut *sess));
}

#[test]
fn classify_fills_both_texts_in_the_order_name_then_text() {
    let mut sess = open();
    let mut image = [1u8; 10];
    let read = [arg(ARG_BUFFER, &mut image)];
    let (mut name, mut text) = ([0u8; 32], [0u8; 64]);
    let mut write = [
        arg(ARG_UCHAR_ARRAY, &mut name),
        arg(ARG_UCHAR_ARRAY, &mut text),
    ];
    expect(OK, genop(&mut *sess, OP_IMAGE_CLASSIFY, &read, &mut write));
    assert!(name.starts_with(b"image 10 64 32\0"), "{name:?}");
    assert!(text.starts_with(b"text 10 64 32\0"), "{text:?}");
    // The types are enforced, and a picture is needed.
    expect(
        EINVAL,
        genop(&mut *sess, OP_IMAGE_CLASSIFY, &[], &mut write),
    );
    let wrong = [arg(ARG_UINT8_ARRAY, &mut image)];
    expect(
        EINVAL,
        genop(&mut *sess, OP_IMAGE_CLASSIFY, &wrong, &mut write),
    );
    let mut wrong = [arg(ARG_BUFFER, &mut name), arg(ARG_UCHAR_ARRAY, &mut text)];
    expect(
        EINVAL,
        genop(&mut *sess, OP_IMAGE_CLASSIFY, &read, &mut wrong),
    );
    // The name may be left empty.
    let mut empty = [
        arg(ARG_UCHAR_ARRAY, &mut name),
        arg(ARG_UCHAR_ARRAY, &mut text),
    ];
    empty[0].buf = std::ptr::null_mut();
    empty[0].size = 0;
    expect(OK, genop(&mut *sess, OP_IMAGE_CLASSIFY, &read, &mut empty));
    assert!(text.starts_with(b"text 10 64 0\0"), "{text:?}");
    // Not offered by this plugin: the message names the operation.
    expect(
        ENOTSUP,
        genop(&mut *sess, OP_IMAGE_POSE, &read, &mut write[..1]),
    );
    assert!(message().contains("image_pose"), "{}", message());
    expect(OK, vaccel_session_release(&mut *sess));
}

/// Sizes and arrays of a product of 2 x 3 and 3 x 2 matrices.
struct Product {
    numbers: [i64; 6],
    factors: [f32; 2],
    a: Vec<f32>,
    b: Vec<f32>,
    c: Vec<f32>,
}

impl Product {
    fn new() -> Self {
        Self {
            numbers: [2, 2, 3, 3, 2, 2],
            factors: [1.0, 0.0],
            a: vec![1., 2., 3., 4., 5., 6.],
            b: vec![1., 0., 0., 1., 1., 1.],
            c: vec![9.; 4],
        }
    }

    fn run(&mut self) -> i32 {
        let mut sess = open();
        let [m, n, k, lda, ldb, ldc] = &mut self.numbers;
        let [alpha, beta] = &mut self.factors;
        let read = [
            arg(ARG_INT64, m),
            arg(ARG_INT64, n),
            arg(ARG_INT64, k),
            arg(ARG_FLOAT32, alpha),
            arg(ARG_FLOAT32_ARRAY, self.a.as_mut_slice()),
            arg(ARG_INT64, lda),
            arg(ARG_FLOAT32_ARRAY, self.b.as_mut_slice()),
            arg(ARG_INT64, ldb),
            arg(ARG_FLOAT32, beta),
            arg(ARG_INT64, ldc),
        ];
        let mut write = [arg(ARG_FLOAT32_ARRAY, self.c.as_mut_slice())];
        let result = genop(&mut *sess, OP_BLAS_SGEMM, &read, &mut write);
        expect(
            EINVAL,
            genop(&mut *sess, OP_BLAS_SGEMM, &read[..9], &mut write),
        );
        expect(EINVAL, genop(&mut *sess, OP_BLAS_SGEMM, &read, &mut []));
        expect(OK, vaccel_session_release(&mut *sess));
        result
    }
}

#[test]
fn sgemm_multiplies() {
    let mut product = Product::new();
    expect(OK, product.run());
    assert_eq!(product.c, [4., 5., 10., 11.]);
}

#[test]
fn sgemm_never_reaches_past_its_matrices() {
    type Change = fn(&mut Product);
    let changes: [Change; 12] = [
        |p| p.numbers[0] = 3,
        |p| p.numbers[1] = 3,
        |p| p.numbers[2] = 4,
        |p| p.numbers[0] = -1,
        |p| p.numbers[3] = 4,
        |p| p.numbers[3] = i64::MAX,
        |p| p.numbers[4] = i64::MAX / 2,
        |p| p.numbers[5] = 3,
        |p| p.numbers = [i64::MAX; 6],
        |p| p.a.truncate(p.a.len() - 1),
        |p| p.b.truncate(p.b.len() - 1),
        |p| p.c.truncate(p.c.len() - 1),
    ];
    for (i, change) in changes.into_iter().enumerate() {
        let mut product = Product::new();
        change(&mut product);
        let result = product.run();
        assert_eq!(result, EINVAL, "change {i}: {}", message());
        assert!(product.c.iter().all(|&c| c == 9.), "change {i}");
    }
}

#[test]
fn vector_operations_work_with_any_argument_type() {
    let mut sess = open();
    let (mut a, mut b) = ([1f32, 2., 3.], [10f32, 20., 30.]);
    let (mut x, mut y) = ([0f32; 3], [0f32; 3]);
    for type_ in [ARG_RAW, ARG_BUFFER, ARG_FLOAT32_ARRAY] {
        let read = [arg(type_, &mut a), arg(type_, &mut b)];
        let mut write = [arg(type_, &mut x), arg(type_, &mut y)];
        expect(OK, genop(&mut *sess, OP_FPGA_PARALLEL, &read, &mut write));
        assert_eq!((x, y), ([11., 22., 33.], [10., 40., 90.]));
        expect(
            OK,
            genop(&mut *sess, OP_FPGA_VECTORADD, &read, &mut write[..1]),
        );
        expect(OK, genop(&mut *sess, OP_FPGA_MMULT, &read, &mut write[..1]));
        assert_eq!(x, [10., 40., 90.]);
    }
    let (mut from, mut to) = ([1i32, 2, 3], [0i32; 4]);
    let read = [arg(ARG_RAW, &mut from)];
    expect(
        OK,
        genop(
            &mut *sess,
            OP_FPGA_ARRAYCOPY,
            &read,
            &mut [arg(ARG_RAW, &mut to)],
        ),
    );
    assert_eq!(to, [1, 2, 3, 0]);
    expect(OK, vaccel_session_release(&mut *sess));
}

#[test]
fn vector_operations_write_nothing_when_a_buffer_is_short() {
    let mut sess = open();
    let (mut a, mut b) = ([1f32, 2., 3.], [10f32, 20., 30.]);
    let (mut x, mut y) = ([7f32; 3], [7f32; 3]);
    for op in [OP_FPGA_MMULT, OP_FPGA_PARALLEL, OP_FPGA_VECTORADD] {
        let outputs = if op == OP_FPGA_PARALLEL { 2 } else { 1 };
        let good = [arg(ARG_RAW, &mut a), arg(ARG_RAW, &mut b)];
        for short in 0..outputs {
            let mut write = [arg(ARG_RAW, &mut x), arg(ARG_RAW, &mut y)];
            write[short].size -= 1;
            expect(EINVAL, genop(&mut *sess, op, &good, &mut write[..outputs]));
        }
        let mut write = [arg(ARG_RAW, &mut x), arg(ARG_RAW, &mut y)];
        let mut read = good;
        read[1].size -= 4;
        expect(EINVAL, genop(&mut *sess, op, &read, &mut write[..outputs]));
        expect(
            EINVAL,
            genop(&mut *sess, op, &good[..1], &mut write[..outputs]),
        );
        expect(
            EINVAL,
            genop(&mut *sess, op, &good, &mut write[..outputs - 1]),
        );
        expect(EINVAL, genop(&mut *sess, op, &good, &mut []));
        read[1].size = 12;
        read[1].buf = read[1].buf.wrapping_byte_add(1);
        expect(EINVAL, genop(&mut *sess, op, &read, &mut write[..outputs]));
    }
    let mut from = [1i32, 2, 3];
    let mut to = [7i32; 2];
    let read = [arg(ARG_RAW, &mut from)];
    expect(
        EINVAL,
        genop(
            &mut *sess,
            OP_FPGA_ARRAYCOPY,
            &read,
            &mut [arg(ARG_RAW, &mut to)],
        ),
    );
    assert_eq!((x, y, to), ([7.; 3], [7.; 3], [7; 2]));
    expect(OK, vaccel_session_release(&mut *sess));
}

#[test]
fn minmax_checks_its_count_and_every_buffer() {
    let mut sess = open();
    let mut numbers = [3f64, -5., 8.];
    let (mut count, mut low, mut high) = (3i32, -1i32, 5i32);
    let (mut out, mut min, mut max) = ([0f64; 3], 0f64, 0f64);
    let mut run = |count: &mut i32, skip: Option<usize>, short: Option<usize>| {
        let mut all = vec![
            arg(ARG_RAW, &mut numbers),
            arg(ARG_RAW, count),
            arg(ARG_RAW, &mut low),
            arg(ARG_RAW, &mut high),
            arg(ARG_RAW, &mut out),
            arg(ARG_RAW, &mut min),
            arg(ARG_RAW, &mut max),
        ];
        if let Some(i) = short {
            all[i].size -= 1;
        }
        let mut write = all.split_off(4);
        if let Some(i) = skip {
            if i < 4 {
                all.remove(i);
            } else {
                write.remove(i - 4);
            }
        }
        genop(&mut *sess, OP_MINMAX, &all, &mut write)
    };
    expect(OK, run(&mut count, None, None));
    for i in 0..7 {
        expect(EINVAL, run(&mut count, None, Some(i)));
        expect(EINVAL, run(&mut count, Some(i), None));
    }
    for mut bad in [4, -1, i32::MAX, i32::MIN] {
        expect(EINVAL, run(&mut bad, None, None));
    }
    assert_eq!((out, min, max), ([3., -1., 5.], -5., 8.));
    expect(OK, vaccel_session_release(&mut *sess));
}

#[test]
fn opencv_needs_an_argument() {
    let mut sess = open();
    expect(EINVAL, genop(&mut *sess, OP_OPENCV, &[], &mut []));
    let mut what = [1u8; 4];
    let mut nowhere = arg(ARG_RAW, &mut what);
    nowhere.buf = std::ptr::null_mut();
    expect(EINVAL, genop(&mut *sess, OP_OPENCV, &[nowhere], &mut []));
    expect(
        OK,
        genop(&mut *sess, OP_OPENCV, &[arg(ARG_RAW, &mut what)], &mut []),
    );
    expect(OK, vaccel_session_release(&mut *sess));
}

#[test]
fn exec_hands_on_its_arguments() {
    let mut sess = open();
    let library = compile("library.c", "libtwice.so", &["-shared", "-fPIC"]);
    let mut path = library.to_str().unwrap().as_bytes().to_vec();
    path.push(0);
    let mut symbol = *b"twice\0";
    let (mut number, mut result) = (21i32, 0i32);
    let read = [
        arg(ARG_STRING, path.as_mut_slice()),
        arg(ARG_STRING, &mut symbol),
        arg(ARG_INT32, &mut number),
    ];
    let mut write = [arg(ARG_INT32, &mut result)];
    expect(OK, genop(&mut *sess, OP_EXEC, &read, &mut write));
    assert_eq!(result, 42);
    // Without a terminating zero nothing is looked for.
    let mut endless = read;
    endless[0].size -= 1;
    expect(EINVAL, genop(&mut *sess, OP_EXEC, &endless, &mut write));
    endless = read;
    endless[1].size -= 1;
    expect(EINVAL, genop(&mut *sess, OP_EXEC, &endless, &mut write));
    expect(EINVAL, genop(&mut *sess, OP_EXEC, &read[..1], &mut write));
    // What the plugin says about a failure gets through.
    let mut nowhere = *b"/no/such/library.so\0";
    endless = read;
    endless[0] = arg(ARG_STRING, &mut nowhere);
    expect(ENOENT, genop(&mut *sess, OP_EXEC, &endless, &mut write));
    assert!(
        message().contains("/no/such/library.so: cannot open"),
        "{}",
        message()
    );
    expect(OK, vaccel_session_release(&mut *sess));
}

#[test]
fn exec_with_resource_wants_a_registered_library() {
    let mut sess = open();
    let library = compile("library.c", "libtwice2.so", &["-shared", "-fPIC"]);
    let path = std::ffi::CString::new(library.to_str().unwrap()).unwrap();
    let mut res = garbage::<vaccel_resource>();
    expect(
        OK,
        vaccel_resource_init(&mut *res, path.as_ptr(), RESOURCE_LIB),
    );
    let mut id = res.id;
    let mut symbol = *b"twice\0";
    let (mut number, mut result) = (21i32, 0i32);
    let read = [
        arg(ARG_INT64, &mut id),
        arg(ARG_STRING, &mut symbol),
        arg(ARG_INT32, &mut number),
    ];
    let mut write = [arg(ARG_INT32, &mut result)];
    let op = OP_EXEC_WITH_RESOURCE;
    expect(EPERM, genop(&mut *sess, op, &read, &mut write));
    expect(OK, vaccel_resource_register(&mut *res, &mut *sess));
    expect(OK, genop(&mut *sess, op, &read, &mut write));
    assert_eq!(result, 42);
    for mut bad in [0, -1, i64::MAX, i64::MIN, 1 << 19] {
        let mut read = read;
        read[0] = arg(ARG_INT64, &mut bad);
        expect(EINVAL, genop(&mut *sess, op, &read, &mut write));
    }
    expect(OK, vaccel_resource_release(&mut *res));
    expect(OK, vaccel_session_release(&mut *sess));
}

#[test]
fn random_arguments_get_an_answer_and_touch_nothing_else() {
    let mut sess = open();
    let mut seed = 0x1234_5678_u64;
    let mut random = move |n: u64| {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % n
    };
    let guard = [0x5au8; 64];
    for _ in 0..30_000 {
        let mut memory = vec![guard; 8];
        let mut args: Vec<vaccel_arg> = Vec::new();
        for (i, block) in memory.iter_mut().enumerate() {
            // The first half is for the call, the rest must stay as it is.
            for byte in &mut block[..32] {
                *byte = if random(3) == 0 { random(256) as u8 } else { 0 };
            }
            let size = [0, 1, 2, 4, 8, 8, 12, 16, 32][random(9) as usize];
            let mut one = arg(random(31) as u32, &mut block[..size]);
            if random(10) == 0 {
                one.buf = std::ptr::null_mut();
            }
            if i == 0 {
                block[0] = random(30) as u8;
            }
            args.push(one);
        }
        args[0].type_ = ARG_UINT8;
        args[0].size = 1;
        if args[0].buf.is_null() {
            continue;
        }
        let nr_read = 1 + random(5) as i32;
        let (read, write) = args.split_at_mut(nr_read as usize);
        let nr_write = random(write.len() as u64 + 1) as i32;
        let result = vaccel_genop(
            &mut *sess,
            read.as_mut_ptr(),
            nr_read,
            write.as_mut_ptr(),
            nr_write,
        );
        assert!(is_known(result), "{result}");
        for block in &memory {
            assert_eq!(block[32..], guard[32..], "a call wrote past its buffers");
        }
    }
    expect(OK, vaccel_session_release(&mut *sess));
}
