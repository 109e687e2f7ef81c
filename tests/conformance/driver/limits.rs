//! What takes long, or much.

use crate::arguments::exec;
use crate::case::{Case, expect};
use serde_json::json;
use std::time::{Duration, Instant};
use vaccel::{Input, Output, Session};

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

/// Calls that their caller gives up and the agent cancels, beside others; for transports only.
pub(crate) fn given_up() -> Vec<Case> {
    vec![
        Case::new("given up/beside others", |s| {
            let other = Session::new()?;
            std::thread::scope(|scope| {
                let waits =
                    scope.spawn(|| exec(&other, "wait", &[Input::scalar(&3_000u32)], &mut []));
                let mut done = 0;
                for i in 0..50u8 {
                    let mut back = [0u8; 1];
                    exec(
                        s,
                        "echo",
                        &[Input::buffer(&[i])],
                        &mut [Output::buffer(&mut back)],
                    )?;
                    expect(&back, &[i])?;
                    done += 1;
                }
                let given_up = waits.join().is_ok_and(|result| result.is_err());
                expect(&given_up, &true)?;
                Ok(json!(done))
            })
        }),
        Case::new("given up/more than may be in flight", |s| {
            // Each gives up while the agent works on; 80 are more than the agent takes at once.
            let codes: Vec<_> = std::thread::scope(|scope| {
                let calls: Vec<_> = (0..80)
                    .map(|_| scope.spawn(|| exec(s, "wait", &[Input::scalar(&1_500u32)], &mut [])))
                    .collect();
                calls
                    .into_iter()
                    .filter_map(|call| call.join().ok()?.err())
                    .map(|error| error.name)
                    .collect()
            });
            let all = codes.len() == 80 && codes.iter().all(|name| *name == "VACCEL_ETIMEDOUT");
            expect(&(all, codes.len()), &(true, 80))?;
            // Until the agent has noticed that nobody wants them, there may be no room.
            let end = Instant::now() + Duration::from_secs(30);
            loop {
                let mut back = [0u8; 1];
                let read = [Input::buffer(&[7])];
                match exec(s, "echo", &read, &mut [Output::buffer(&mut back)]) {
                    Ok(()) => return Ok(json!("all")),
                    Err(error) if Instant::now() > end => return Err(error),
                    Err(_) => {}
                }
            }
        }),
    ]
}
