//! `VACCEL_TRACE=FILE`: every call with its thread, for chrome://tracing or Perfetto.
//!
//! Events are kept in memory, so many at most, and written when the library
//! ends; writing while operations run would show in their times.

use crate::histogram::Call;
use crate::{env, flags, lock, log_error, log_info, log_warn};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Mutex;
use vaccel_abi::table::OPS;

/// Events that are kept, 48 bytes each.
const MAX_EVENTS: usize = 1 << 20;

struct Trace {
    file: PathBuf,
    /// Of the process that began: a child has the memory, too, and writes nothing.
    process: u32,
    events: Vec<Event>,
    dropped: u64,
}

struct Event {
    start: u64,
    call: Call,
    session: i64,
    thread: u32,
    operation: u16,
}

static TRACE: Mutex<Option<Trace>> = Mutex::new(None);

/// Begins when the environment asks for it. `%p` in the name becomes the number
/// of the process, so that several do not write one file.
pub(crate) fn begin() {
    let Some(name) = env::var("VACCEL_TRACE", None).filter(|name| !name.is_empty()) else {
        return;
    };
    let process = std::process::id();
    let name = match name.to_str() {
        Some(text) => PathBuf::from(text.replace("%p", &process.to_string())),
        None => PathBuf::from(name),
    };
    // Programs change their folder.
    let file = std::path::absolute(&name).unwrap_or(name);
    *lock(&TRACE) = Some(Trace {
        file,
        process,
        events: Vec::new(),
        dropped: 0,
    });
    flags::set(flags::TRACE, flags::TRACE);
}

/// Keeps one call of the operation at an index of the table.
pub(crate) fn add(session: i64, index: usize, start: u64, call: &Call) {
    let mut trace = lock(&TRACE);
    let Some(trace) = trace.as_mut() else { return };
    if trace.events.len() >= MAX_EVENTS {
        trace.dropped += 1;
        return;
    }
    // SAFETY: no arguments, cannot fail.
    let thread = unsafe { libc::gettid() }.cast_unsigned();
    trace.events.push(Event {
        start,
        call: *call,
        session,
        thread,
        operation: index as u16,
    });
}

/// Writes the file; the end of the library.
pub(crate) fn end() {
    flags::set(flags::TRACE, 0);
    let Some(trace) = lock(&TRACE).take() else {
        return;
    };
    if trace.process != std::process::id() {
        return;
    }
    if trace.dropped > 0 {
        log_warn!(
            "VACCEL_TRACE: the first {MAX_EVENTS} calls are in the file, {} later ones are not",
            trace.dropped
        );
    }
    // Beside it first: a reader finds all of it or what was there before.
    let mut part = trace.file.clone().into_os_string();
    part.push(format!(".{}.part", trace.process));
    let written =
        std::fs::write(&part, json(&trace)).and_then(|()| std::fs::rename(&part, &trace.file));
    match written {
        Ok(()) => log_info!(
            "{} calls are in {}; open it with Perfetto or chrome://tracing",
            trace.events.len(),
            trace.file.display()
        ),
        Err(error) => {
            let _ = std::fs::remove_file(&part);
            log_error!(
                "VACCEL_TRACE: cannot write {}: {error}",
                trace.file.display()
            );
        }
    }
}

/// The trace event format: complete events, times in microseconds.
fn json(trace: &Trace) -> String {
    let mut text = String::with_capacity(trace.events.len() * 160 + 200);
    let _ = write!(
        text,
        "{{\"displayTimeUnit\":\"ns\",\"otherData\":{{\"dropped\":{}}},\"traceEvents\":[\n\
         {{\"ph\":\"M\",\"name\":\"process_name\",\"pid\":{},\"tid\":0,\"args\":{{\"name\":\"vaccel\"}}}}",
        trace.dropped, trace.process
    );
    for event in &trace.events {
        let name = OPS
            .get(usize::from(event.operation))
            .map_or("?", |o| o.name);
        let call = &event.call;
        // Names of operations are plain words: nothing to escape.
        let _ = write!(
            text,
            ",\n{{\"ph\":\"X\",\"cat\":\"op\",\"name\":\"{name}\",\"pid\":{},\"tid\":{},\
             \"ts\":{}.{:03},\"dur\":{}.{:03},\"args\":{{\"session\":{},\"bytes_in\":{},\
             \"bytes_out\":{},\"failed\":{}}}}}",
            trace.process,
            event.thread,
            event.start / 1000,
            event.start % 1000,
            call.nanoseconds / 1000,
            call.nanoseconds % 1000,
            event.session,
            call.bytes_in,
            call.bytes_out,
            call.failed
        );
    }
    text.push_str("\n]}\n");
    text
}
