//! Operations without tensors, called as C would, against an agent that computes.
#![allow(clippy::unwrap_used)]

mod common;
use common::fixture::{Fixture, arg, no_arg};
use common::{SOON, last_error, remote_id, until};
use std::ffi::{CStr, c_void};
use std::ptr::{null, null_mut};
use std::time::Instant;
use vaccel_plugin::abi::arg::{
    ARG_BUFFER, ARG_CUSTOM, ARG_INT32, ARG_STRING, ARG_UINT8_ARRAY, vaccel_arg,
};
use vaccel_plugin::abi::op::*;
use vaccel_plugin::testing::TestResource;
use vaccel_plugin::{Op, ResourceType, code};

fn text(buf: &[u8]) -> &str {
    CStr::from_bytes_until_nul(buf).unwrap().to_str().unwrap()
}

#[test]
fn exec_passes_arguments_of_all_types_both_ways() {
    let f = Fixture::new();
    let s = f.rpc.session();
    let mut number = 7_i32.to_le_bytes();
    let mut string = *b"text\0";
    let mut large: Vec<u8> = (0..300_000).map(|i| (i % 251) as u8).collect();
    let expected = large.clone();
    let mut custom = [9; 10];
    let mut read = [
        arg(ARG_INT32, &mut number),
        arg(ARG_STRING, &mut string),
        arg(ARG_UINT8_ARRAY, &mut large),
        vaccel_arg {
            custom_type_id: 77,
            ..arg(ARG_CUSTOM, &mut custom)
        },
    ];
    let (mut a, mut b, mut c, mut d) = ([0; 4], [0; 5], vec![0; 300_000], [0; 10]);
    let mut write = [
        arg(ARG_INT32, &mut a),
        arg(ARG_STRING, &mut b),
        arg(ARG_UINT8_ARRAY, &mut c),
        vaccel_arg {
            custom_type_id: 77,
            ..arg(ARG_CUSTOM, &mut d)
        },
    ];
    assert_eq!(
        f.exec(&s, c"echo", &mut read, &mut write),
        0,
        "{}",
        last_error()
    );
    assert_eq!((a, &b, d), (7_i32.to_le_bytes(), b"text\0", [9; 10]));
    assert!(c == expected);
    // A function that writes less says so in the size.
    assert_eq!(f.exec(&s, c"short", &mut read, &mut write), 0);
    assert_eq!([write[0].size, write[3].size], [2, 5]);
}

#[test]
fn exec_allocates_outputs_that_have_no_memory() {
    let f = Fixture::new();
    let s = f.rpc.session();
    let mut data = *b"made for you";
    let mut read = [arg(ARG_BUFFER, &mut data), no_arg(ARG_BUFFER)];
    let mut write = [no_arg(ARG_BUFFER), no_arg(ARG_BUFFER)];
    assert_eq!(
        f.exec(&s, c"echo", &mut read, &mut write),
        0,
        "{}",
        last_error()
    );
    assert!(write[0].owned && write[0].size == 12);
    // SAFETY: as many bytes as the argument says, from malloc.
    unsafe {
        assert_eq!(
            std::slice::from_raw_parts(write[0].buf.cast::<u8>(), 12),
            b"made for you"
        );
        libc::free(write[0].buf);
    }
    assert!(write[1].buf.is_null() && !write[1].owned && write[1].size == 0);
}

#[test]
fn exec_uploads_no_outputs() {
    let f = Fixture::new();
    let s = f.rpc.session();
    let mut flags = [0; 2];
    let mut out = [3; 8];
    let mut write = [arg(ARG_BUFFER, &mut flags), arg(ARG_BUFFER, &mut out)];
    // Flags of each argument: DATA for the two strings, none for outputs. The
    // agent answers with one output where two were asked for.
    assert_eq!(f.exec(&s, c"count", &mut [], &mut write), code::EREMOTEIO);
    assert_eq!(out, [3; 8]);
    let mut flags = [9; 3];
    let mut write = [arg(ARG_BUFFER, &mut flags)];
    assert_eq!(f.exec(&s, c"count", &mut [], &mut write), 0);
    assert_eq!(flags, [2, 2, 0]);
}

#[test]
fn a_function_that_fails_tells_why() {
    let f = Fixture::new();
    let s = f.rpc.session();
    assert_eq!(f.exec(&s, c"fail", &mut [], &mut []), code::ENOEXEC);
    let error = last_error();
    assert!(error.contains("the function failed: no luck"), "{error}");
    assert_eq!(f.exec(&s, c"none", &mut [], &mut []), code::ENOENT);
}

#[test]
fn wrong_arguments_are_refused_before_anything_is_sent() {
    let f = Fixture::new();
    let s = f.rpc.session();
    let mut unended = *b"text";
    assert_eq!(
        f.exec(&s, c"echo", &mut [arg(ARG_STRING, &mut unended)], &mut []),
        code::EINVAL
    );
    assert_eq!(
        f.exec(&s, c"echo", &mut [no_arg(99)], &mut []),
        code::EINVAL
    );
    let sized = vaccel_arg {
        size: 5,
        ..no_arg(ARG_BUFFER)
    };
    assert_eq!(f.exec(&s, c"echo", &mut [sized], &mut []), code::EINVAL);
    assert_eq!(f.exec(&s, c"echo", &mut [], &mut [sized]), code::EINVAL);
    let exec: ExecFn = f.rpc.plugin.op(Op::Exec);
    let minmax: MinmaxFn = f.rpc.plugin.op(Op::Minmax);
    let sgemm: SgemmFn = f.rpc.plugin.op(Op::Sgemm);
    let classify: ImageClassifyFn = f.rpc.plugin.op(Op::ImageClassify);
    let copy: FpgaArraycopyFn = f.rpc.plugin.op(Op::FpgaArraycopy);
    let mut x = [1.0_f32; 4];
    let p = x.as_mut_ptr();
    // SAFETY: what is null or negative must be refused before it is used.
    unsafe {
        let (lib, none) = (c"l".as_ptr(), null_mut::<vaccel_arg>());
        assert_eq!(
            exec(s.as_ptr(), lib, null(), none, 0, none, 0),
            code::EINVAL
        );
        assert_eq!(exec(s.as_ptr(), lib, lib, none, 1, none, 0), code::EINVAL);
        assert_eq!(
            exec(s.as_ptr(), lib, lib, none, usize::MAX, none, 0),
            code::EINVAL
        );
        let d = null_mut();
        assert_eq!(minmax(s.as_ptr(), null(), -1, 0, 0, d, d, d), code::EINVAL);
        assert_eq!(minmax(s.as_ptr(), null(), 3, 0, 0, d, d, d), code::EINVAL);
        assert_eq!(
            sgemm(s.as_ptr(), -2, 2, 2, 1.0, p, 2, p, 2, 0.0, p, 2),
            code::EINVAL
        );
        assert_eq!(
            sgemm(s.as_ptr(), 2, 2, 2, 1.0, null_mut(), 2, p, 2, 0.0, p, 2),
            code::EINVAL
        );
        assert_eq!(
            copy(s.as_ptr(), null_mut(), null_mut(), usize::MAX / 2),
            code::EINVAL
        );
        let t = null_mut();
        assert_eq!(classify(s.as_ptr(), null(), t, t, 5, 0, 0), code::EINVAL);
    }
    assert_eq!(s.noop(), 0);
    let sent: usize = f.agent.world.requests.lock().unwrap().values().sum();
    assert_eq!(sent, 2, "SESSION_OPEN and NOOP");
}

#[test]
fn an_echo_of_64_mib_comes_back() {
    let f = Fixture::new();
    let s = f.rpc.session();
    let mut data: Vec<u8> = (0..64_usize << 20)
        .map(|i| (i * 13 + i / 257) as u8)
        .collect();
    let mut out = vec![0; data.len()];
    let expected = data.clone();
    let start = Instant::now();
    let code = f.exec(
        &s,
        c"echo",
        &mut [arg(ARG_BUFFER, &mut data)],
        &mut [arg(ARG_BUFFER, &mut out)],
    );
    println!("64 MiB there and back over TCP: {:?}", start.elapsed());
    assert_eq!(code, 0);
    assert!(out == expected);
}

#[test]
fn eight_threads_share_the_connection_and_a_slow_one_holds_up_none() {
    let f = Fixture::new();
    let s = f.rpc.session();
    std::thread::scope(|scope| {
        let (f, s) = (&f, &s);
        let slow = scope.spawn(move || f.exec(s, c"gate", &mut [], &mut []));
        until("the slow call arrives", || {
            f.agent.world.count(OP_EXEC) == 1
        });
        let start = Instant::now();
        let fast: Vec<_> = (0..8_usize)
            .map(|thread| {
                scope.spawn(move || {
                    for round in 0..100 {
                        let mut data = vec![(thread * 31 + round) as u8; thread * 3000 + round];
                        let mut out = vec![0; data.len()];
                        let expected = data.clone();
                        let code = f.exec(
                            s,
                            c"echo",
                            &mut [arg(ARG_BUFFER, &mut data)],
                            &mut [arg(ARG_BUFFER, &mut out)],
                        );
                        assert!(code == 0 && out == expected);
                    }
                })
            })
            .collect();
        for thread in fast {
            thread.join().unwrap();
        }
        assert!(start.elapsed() < SOON && !slow.is_finished());
        f.agent.world.open_gate();
        assert_eq!(slow.join().unwrap(), 0);
    });
}

#[test]
fn opencv_passes_arguments_on() {
    let f = Fixture::new();
    let s = f.rpc.session();
    let opencv: OpencvFn = f.rpc.plugin.op(Op::Opencv);
    let (mut data, mut out) = (*b"frame", [0; 5]);
    let (mut read, mut write) = (arg(ARG_BUFFER, &mut data), arg(ARG_BUFFER, &mut out));
    // SAFETY: one live argument each.
    let code = unsafe { opencv(s.as_ptr(), &raw mut read, 1, &raw mut write, 1) };
    assert_eq!((code, &out), (0, b"frame"));
    // SAFETY: a negative number must be refused.
    let code = unsafe { opencv(s.as_ptr(), &raw mut read, -1, null_mut(), 0) };
    assert_eq!(code, code::EINVAL);
}

#[test]
fn pictures_travel_and_texts_come_back() {
    let f = Fixture::new();
    let s = f.rpc.session();
    let image = vec![2_u8; 100_000];
    let img: *const c_void = image.as_ptr().cast();
    let classify: ImageClassifyFn = f.rpc.plugin.op(Op::ImageClassify);
    let (mut out_text, mut name) = ([1; 64], [1; 32]);
    let (t, n) = (out_text.as_mut_ptr(), name.as_mut_ptr());
    // SAFETY: buffers of the sizes given.
    let code = unsafe { classify(s.as_ptr(), img, t, n, image.len(), 64, 32) };
    assert_eq!(code, 0, "{}", last_error());
    assert_eq!((text(&out_text), text(&name)), ("sum 200000", "image-3"));
    out_text.fill(1);
    // SAFETY: as above; the name is not wanted.
    let code = unsafe { classify(s.as_ptr(), img, t, null_mut(), image.len(), 64, 0) };
    assert_eq!((code, text(&out_text)), (0, "sum 200000"));
    // SAFETY: as above; too little room.
    let code = unsafe { classify(s.as_ptr(), img, t, n, image.len(), 64, 3) };
    assert_eq!(code, code::ERANGE);
    for (op, number) in [
        (Op::ImageDetect, 4),
        (Op::ImageSegment, 5),
        (Op::ImagePose, 6),
        (Op::ImageDepth, 7),
    ] {
        let image_op: ImageFn = f.rpc.plugin.op(op);
        // SAFETY: as above.
        let code = unsafe { image_op(s.as_ptr(), img, n, image.len(), 32) };
        assert_eq!((code, text(&name)), (0, format!("image-{number}").as_str()));
    }
}

#[test]
fn sgemm_computes_and_keeps_what_lies_between_rows() {
    let f = Fixture::new();
    let s = f.rpc.session();
    let sgemm: SgemmFn = f.rpc.plugin.op(Op::Sgemm);
    let mut a = [1.0_f32, 2.0, 3.0, 4.0, 5.0, 6.0];
    let mut b = [1.0_f32, 0.0, 0.0, 1.0, 1.0, 1.0];
    // 2x3 times 3x2; C has rows 3 apart.
    for (beta, expected) in [
        (0.0, [4.0_f32, 5.0, -7.0, 10.0, 11.0, -9.0]),
        (2.0, [14.0, 25.0, -7.0, 40.0, 51.0, -9.0]),
    ] {
        let mut c = [5.0_f32, 10.0, -7.0, 15.0, 20.0, -9.0];
        let (pa, pb, pc) = (a.as_mut_ptr(), b.as_mut_ptr(), c.as_mut_ptr());
        // SAFETY: matrices of the sizes given.
        let code = unsafe { sgemm(s.as_ptr(), 2, 2, 3, 1.0, pa, 3, pb, 2, beta, pc, 3) };
        assert_eq!((code, c), (0, expected), "{}", last_error());
    }
    let n = 128;
    let mut a = vec![0.5_f32; n * n];
    let mut c = vec![f32::NAN; n * n];
    let (pa, pc, l) = (a.as_mut_ptr(), c.as_mut_ptr(), n as i64);
    // SAFETY: as above.
    let code = unsafe { sgemm(s.as_ptr(), l, l, l, 2.0, pa, l, pa, l, 0.0, pc, l) };
    assert_eq!(code, 0);
    assert!(c.iter().all(|&x| x == 64.0));
}

#[test]
fn arrays_are_computed_on() {
    let f = Fixture::new();
    let s = f.rpc.session();
    let copy: FpgaArraycopyFn = f.rpc.plugin.op(Op::FpgaArraycopy);
    let mmult: FpgaMmultFn = f.rpc.plugin.op(Op::FpgaMmult);
    let parallel: FpgaParallelFn = f.rpc.plugin.op(Op::FpgaParallel);
    let vadd: FpgaVectoraddFn = f.rpc.plugin.op(Op::FpgaVectoradd);
    let minmax: MinmaxFn = f.rpc.plugin.op(Op::Minmax);
    let mut ints = [1, -2, 3];
    let mut copied = [0; 3];
    let mut a = [1.0_f32, 2.0, 3.0, 4.0];
    let mut b = [5.0_f32, 6.0, 7.0, 8.0];
    let (mut c, mut d) = ([0.0_f32; 4], [0.0_f32; 4]);
    let (pa, pb, pc, pd) = (
        a.as_mut_ptr(),
        b.as_mut_ptr(),
        c.as_mut_ptr(),
        d.as_mut_ptr(),
    );
    let data = [3.0, -8.0, 100.0];
    let (mut out, mut min, mut max) = ([0.0; 3], 0.0, 0.0);
    // SAFETY: arrays of the lengths given.
    unsafe {
        assert_eq!(
            copy(s.as_ptr(), ints.as_mut_ptr(), copied.as_mut_ptr(), 3),
            0
        );
        assert_eq!(copied, ints);
        assert_eq!(mmult(s.as_ptr(), pa, pb, pc, 4), 0);
        assert_eq!(c, [19.0, 22.0, 43.0, 50.0]);
        assert_eq!(parallel(s.as_ptr(), pa, pb, pc, pd, 4), 0);
        assert_eq!((c, d), ([6.0, 8.0, 10.0, 12.0], [5.0, 12.0, 21.0, 32.0]));
        c.fill(0.0);
        assert_eq!(vadd(s.as_ptr(), pa, pb, pc, 4, 4), 0);
        assert_eq!(c, [6.0, 8.0, 10.0, 12.0]);
        let (po, p) = (out.as_mut_ptr(), data.as_ptr());
        assert_eq!(
            minmax(s.as_ptr(), p, 3, -5, 50, po, &raw mut min, &raw mut max),
            0
        );
    }
    assert_eq!((out, min, max), ([3.0, -5.0, 50.0], -8.0, 100.0));
}

#[test]
fn a_library_that_is_a_resource_is_named_by_the_agents_number() {
    let f = Fixture::new();
    let s = f.rpc.session();
    let exec: ExecWithResourceFn = f.rpc.plugin.op(Op::ExecWithResource);
    let library = TestResource::from_memory(4, ResourceType::Library, "l.so", &[10, 0]);
    let (mut data, mut out) = ([1, 2, 3], [0; 3]);
    let (mut read, mut write) = (arg(ARG_BUFFER, &mut data), arg(ARG_BUFFER, &mut out));
    let mut call = || {
        let (symbol, r, w) = (c"add".as_ptr(), &raw mut read, &raw mut write);
        // SAFETY: a live resource, a C string, one argument each.
        unsafe { exec(s.as_ptr(), library.as_ptr(), symbol, r, 1, w, 1) }
    };
    assert_eq!(call(), code::EPERM);
    assert!(
        last_error().contains("resource 4 is not registered"),
        "{}",
        last_error()
    );
    assert_eq!(s.register(&library), 0);
    assert!(remote_id(&library) > 0);
    assert_eq!(call(), 0);
    assert_eq!(out, [11, 12, 13]);
}
