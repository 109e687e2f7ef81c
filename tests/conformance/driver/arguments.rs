//! Arguments of every type, number and size, through exec.

use crate::case::{Case, expect, noise, summary};
use serde_json::{Value, json};
use vaccel::{Input, Output, Result, Session};

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = vec![
        Case::new("exec/types", types),
        Case::new("exec/no arguments", |s| {
            exec(s, "wait-not-there", &[], &mut [])?;
            Ok(json!(null))
        }),
        Case::new("exec/empty buffers", empty),
        Case::new("exec/library", |s| {
            let mut sum = [0u8; 8];
            exec(s, "library", &[], &mut [Output::buffer(&mut sum)])?;
            Ok(json!(u64::from_le_bytes(sum)))
        }),
        Case::new("exec/an output shorter than the answer", |s| {
            let mut short = [0u8; 10];
            exec(
                s,
                "echo",
                &[Input::buffer(&[7; 11])],
                &mut [Output::buffer(&mut short)],
            )?;
            Ok(json!(short))
        }),
        Case::new("exec/outputs say how much was written", sizes),
        Case::new("exec/panic", |s| {
            exec(s, "panic", &[], &mut [])?;
            Ok(json!(null))
        }),
    ];
    for size in [
        0,
        1,
        63,
        64,
        65,
        4095,
        4096,
        65_536,
        1 << 20,
        (16 << 20) + 1,
    ] {
        cases.push(Case::new(format!("exec/echo {size}"), move |s| {
            echo(s, size)
        }));
    }
    for count in [2, 16, 64, 200] {
        cases.push(Case::new(format!("exec/reverse {count}"), move |s| {
            reverse(s, count)
        }));
    }
    for code in [1, 2, 5, 12, 22, 34, 95, 110, 121] {
        cases.push(Case::new(format!("exec/fail {code}"), move |s| {
            exec(
                s,
                "fail",
                &[
                    Input::scalar(&code),
                    Input::string(c"na\xc3\xafve: `\xe2\x82\xac` text"),
                ],
                &mut [],
            )?;
            Ok(json!(null))
        }));
    }
    cases
}

pub(crate) fn exec(
    session: &Session,
    function: &str,
    read: &[Input<'_>],
    write: &mut [Output<'_>],
) -> Result<()> {
    // SAFETY: the functions of the reference plugin keep to the sizes of the arguments.
    unsafe { session.exec("/reference/library", function, read, write) }
}

fn types(session: &Session) -> Result<Value> {
    let mut seen = vec![0u8; 4096];
    let mut outputs = (1i8, [2u16; 3], [3f64; 2], [4u8; 9], [5u8; 10]);
    let read = [
        Input::scalar(&-1i8),
        Input::array(&[-2i8, 3]),
        Input::scalar(&-300i16),
        Input::array(&[1i16; 5]),
        Input::scalar(&7i32),
        Input::array(&[8i32; 4]),
        Input::scalar(&-9i64),
        Input::array(&[10i64; 2]),
        Input::scalar(&11u8),
        Input::array(&[12u8; 3]),
        Input::scalar(&13u16),
        Input::array(&[14u16; 3]),
        Input::scalar(&15u32),
        Input::array(&[16u32; 3]),
        Input::scalar(&17u64),
        Input::array(&[18u64; 3]),
        Input::scalar(&19.5f32),
        Input::array(&[20.5f32; 3]),
        Input::scalar(&21.5f64),
        Input::array(&[22.5f64; 3]),
        Input::string(c"text"),
        Input::string(c""),
        Input::buffer(b"buffer"),
        Input::raw(b"raw"),
        Input::custom(77, b"custom"),
    ];
    let used = {
        let mut write = [
            Output::buffer(&mut seen),
            Output::scalar(&mut outputs.0),
            Output::array(&mut outputs.1),
            Output::array(&mut outputs.2),
            Output::raw(&mut outputs.3),
            Output::custom(5, &mut outputs.4),
        ];
        exec(session, "kinds", &read, &mut write)?;
        write[0].size()
    };
    let pairs: Vec<u32> = seen[..used]
        .chunks_exact(4)
        .filter_map(|c| Some(u32::from_le_bytes(c.try_into().ok()?)))
        .collect();
    expect(&pairs.len(), &(2 * (read.len() + 5)))?;
    Ok(json!(pairs))
}

fn empty(session: &Session) -> Result<Value> {
    let mut nothing = [0u8; 0];
    let mut write = [Output::buffer(&mut nothing)];
    exec(session, "echo", &[Input::buffer(&[])], &mut write)?;
    Ok(json!(write[0].size()))
}

fn sizes(session: &Session) -> Result<Value> {
    let (mut a, mut b) = ([0xEEu8; 100], [0xEEu8; 10]);
    let written = {
        let mut write = [Output::buffer(&mut a), Output::buffer(&mut b)];
        exec(
            session,
            "echo",
            &[Input::buffer(b"short"), Input::buffer(b"0123456789")],
            &mut write,
        )?;
        [write[0].size(), write[1].size()]
    };
    expect(&written, &[5, 10])?;
    expect(&&a[..5], &b"short".as_slice())?;
    Ok(json!(written))
}

fn echo(session: &Session, size: usize) -> Result<Value> {
    let data = noise(size, 8);
    let mut back = vec![0xEE; size];
    exec(
        session,
        "echo",
        &[Input::buffer(&data)],
        &mut [Output::buffer(&mut back)],
    )?;
    expect(&(back == data), &true)?;
    Ok(summary(&back))
}

fn reverse(session: &Session, count: usize) -> Result<Value> {
    let data: Vec<Vec<u8>> = (0..count).map(|i| noise(i * 97, i as u64)).collect();
    let mut back: Vec<Vec<u8>> = data.iter().rev().map(|d| vec![0; d.len()]).collect();
    let read: Vec<Input<'_>> = data.iter().map(|d| Input::buffer(d)).collect();
    let mut write: Vec<Output<'_>> = back.iter_mut().map(|b| Output::buffer(b)).collect();
    exec(session, "reverse", &read, &mut write)?;
    for (sent, came) in data.iter().rev().zip(&back) {
        let sent: Vec<u8> = sent.iter().rev().copied().collect();
        expect(came, &sent)?;
    }
    Ok(summary(&back.concat()))
}
