//! Buffers of the application in memory that it shares with a worker.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::Agent;
use std::path::Path;
use vaccel::{Config, Session, hint};

#[test]
fn buffers_of_a_session_are_arguments_as_they_lie() {
    common::build_library();
    let folder = Path::new(common::AGENT).parent().unwrap();
    let agent = Agent::start(&[]);
    // SAFETY: the only test of this program, before anything reads the environment.
    unsafe {
        std::env::set_var("VACCEL_LIBRARY", folder.join("libvaccel.so"));
        std::env::set_var("VACCEL_BOOTSTRAP_ENABLED", "0");
        std::env::set_var("VACCEL_RPC_ADDRESS", agent.address().to_string());
    }
    vaccel::bootstrap_with(&Config {
        plugins: vec![folder.join("libvaccel_rpc.so").to_str().unwrap().into()],
        ..Config::default()
    })
    .unwrap();
    let session = Session::with_hint(hint::REMOTE).unwrap();
    let size = 1 << 20;
    let mut input = session.buffer(size).unwrap();
    assert!(is_shared(input.as_ptr().addr()), "nobody else sees it");
    for (i, b) in input.iter_mut().enumerate() {
        *b = (i % 251) as u8;
    }
    // SAFETY: every bit pattern is a number.
    let (_, numbers, _) = unsafe { input.align_to::<i32>() };
    assert_eq!(numbers.len(), size / 4);
    assert!(session.fpga_arraycopy(numbers).unwrap() == numbers);
    // The place of a freed buffer is the next one's.
    let at = input.as_ptr().addr();
    drop(input);
    assert_eq!(session.buffer(size).unwrap().as_ptr().addr(), at);
    // More than the first region has, and nothing at all.
    drop(session.buffer(100 << 20).unwrap());
    assert!(session.buffer(0).is_err());
}

/// True for an address in a memfd of the project.
fn is_shared(address: usize) -> bool {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    maps.lines()
        .filter(|line| line.contains("memfd:vaccel"))
        .any(|line| {
            let (start, rest) = line.split_once('-').unwrap();
            let end = rest.split(' ').next().unwrap();
            let number = |hex| usize::from_str_radix(hex, 16).unwrap();
            (number(start)..number(end)).contains(&address)
        })
}
