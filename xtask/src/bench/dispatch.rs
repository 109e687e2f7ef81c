//! What a call costs inside one process.

use super::Figure;
use super::sample::{median, nanoseconds};
use anyhow::Result;
use vaccel::{Config, Resource, ResourceType, Session};

const ROUNDS: usize = 31;

pub(crate) fn run() -> Result<Vec<Figure>> {
    vaccel::bootstrap_with(&Config {
        plugins: vec!["noop".into()],
        ..Config::default()
    })?;
    let session = Session::new()?;
    let pointer = session.as_ptr();

    // The plugin's own function, called through its pointer: what no library can be faster than.
    // SAFETY: the session is open and served by a plugin that stays loaded.
    let function = unsafe {
        let plugin = (*pointer).plugin;
        let op = (*plugin).ops[vaccel_abi::op::OP_NOOP as usize];
        let function = (*op).func;
        std::mem::transmute::<*mut libc::c_void, vaccel_abi::op::NoopFn>(function)
    };
    let noop = vaccel::Library::get()?.functions().noop;
    let (mut floors, mut calls) = (Vec::new(), Vec::new());
    for _ in 0..5 {
        // SAFETY: signature of the operation, with an open session.
        floors.push(nanoseconds(ROUNDS, 100_000, || unsafe {
            std::hint::black_box(function(std::hint::black_box(pointer)));
        }));
        // SAFETY: as above.
        calls.push(nanoseconds(ROUNDS, 100_000, || unsafe {
            std::hint::black_box(noop(std::hint::black_box(pointer)));
        }));
    }
    let floor = median(&mut floors);
    let mut figures =
        vec![Figure::at_most("noop in process", median(&mut calls), "ns", 15.0).with_floor(floor)];

    let open = nanoseconds(ROUNDS, 200, || {
        let _ = std::hint::black_box(Session::new());
    });
    figures.push(Figure::at_most(
        "session opened and released",
        open / 1e3,
        "us",
        8.0,
    ));

    let resource = Resource::from_bytes(vec![0; 1 << 20], ResourceType::Data, "megabyte")?;
    let register = nanoseconds(ROUNDS, 10_000, || {
        let _ = std::hint::black_box(resource.register(&session));
        let _ = std::hint::black_box(resource.unregister(&session));
    });
    figures.push(Figure::plain(
        "1 MB resource registered and unregistered",
        register,
        "ns",
    ));
    Ok(figures)
}
