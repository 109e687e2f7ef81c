//! What takes long, or much.

use crate::arguments::exec;
use crate::case::{Case, expect};
use serde_json::json;
use std::time::{Duration, Instant};
use vaccel::{Input, Output};

/// One argument of 1 GiB each way.
pub(crate) fn huge() -> Vec<Case> {
    const SIZE: usize = 1 << 30;
    vec![
        Case::new("huge/in", |s| {
            // Zeros but for the ends: what is cut or shifted shows.
            let mut data = vec![0u8; SIZE];
            (data[0], data[SIZE - 1]) = (3, 7);
            let mut seen = [0u8; 64];
            let used = {
                let mut write = [Output::buffer(&mut seen)];
                exec(s, "kinds", &[Input::buffer(&data)], &mut write)?;
                write[0].size()
            };
            Ok(json!(seen[..used].to_vec()))
        }),
        Case::new("huge/out", |s| {
            let mut data = vec![0u8; SIZE];
            exec(
                s,
                "fill",
                &[Input::scalar(&9u8)],
                &mut [Output::buffer(&mut data)],
            )?;
            expect(&data.iter().all(|&b| b == 9), &true)?;
            Ok(json!(SIZE))
        }),
    ]
}

/// A call that takes longer than the environment allows; for transports only.
pub(crate) fn deadline() -> Vec<Case> {
    vec![
        Case::new("deadline/passed", |s| {
            let begin = Instant::now();
            let result = exec(s, "wait", &[Input::scalar(&20_000u32)], &mut []);
            expect(&(begin.elapsed() < Duration::from_secs(5)), &true)?;
            let code = result.map_err(|error| error.name).err();
            Ok(json!(code))
        }),
        Case::new("deadline/the session works after it", |s| {
            let mut back = [0u8; 3];
            exec(
                s,
                "echo",
                &[Input::buffer(b"abc")],
                &mut [Output::buffer(&mut back)],
            )?;
            Ok(json!(back))
        }),
    ]
}
