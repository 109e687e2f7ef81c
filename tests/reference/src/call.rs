//! The functions that exec can call.

use crate::digest;
use std::collections::HashSet;
use std::ffi::CStr;
use std::sync::{Condvar, LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};
use vaccel_plugin::{Args, ArgsMut, ResourceType, Result, Session, bail};

/// A picture that begins with this is refused, with a text that names its size.
const POISON: &[u8] = b"poison";

pub(crate) fn refuse_poison(image: &[u8]) -> Result<()> {
    if image.starts_with(POISON) {
        bail!(EINVAL, "a picture of {} bytes is poison", image.len());
    }
    Ok(())
}

/// Calls a function by name. `library` is the path, or the content, of its library.
pub(crate) fn function(
    session: &Session<'_>,
    library: &[u8],
    symbol: &CStr,
    read: &Args<'_>,
    write: &mut ArgsMut<'_>,
) -> Result<()> {
    match symbol.to_bytes() {
        b"echo" => echo(read, write),
        b"reverse" => reverse(read, write),
        b"digest" => digests(read, write),
        b"fill" => fill(read, write),
        b"kinds" => kinds(read, write),
        b"library" => put(write, 0, &digest(library).to_le_bytes()),
        b"resources" => resources(session, write),
        b"wait" => wait(read),
        b"hold" => hold(read),
        b"held" => held(read),
        b"release" => release(read),
        b"fail" => fail(read),
        b"panic" => panic!("asked to"),
        other => bail!(
            ENOENT,
            "there is no function `{}`",
            String::from_utf8_lossy(other)
        ),
    }
}

/// Writes an output and says how much of it is used.
fn put(write: &mut ArgsMut<'_>, i: usize, bytes: &[u8]) -> Result<()> {
    write.write(i, bytes)?;
    write.shrink(i, bytes.len())
}

/// Output i is input i, as long as it is.
fn echo(read: &Args<'_>, write: &mut ArgsMut<'_>) -> Result<()> {
    for i in 0..write.len() {
        put(write, i, read.bytes(i)?)?;
    }
    Ok(())
}

/// Outputs are inputs, the last one first, each filling its buffer from the end of the input.
fn reverse(read: &Args<'_>, write: &mut ArgsMut<'_>) -> Result<()> {
    let count = write.len();
    for i in 0..count {
        let bytes: Vec<u8> = read.bytes(count - 1 - i)?.iter().rev().copied().collect();
        put(write, i, &bytes)?;
    }
    Ok(())
}

/// Output i is the 8-byte sum of input i.
fn digests(read: &Args<'_>, write: &mut ArgsMut<'_>) -> Result<()> {
    for i in 0..write.len() {
        put(write, i, &digest(read.bytes(i)?).to_le_bytes())?;
    }
    Ok(())
}

/// Fills output 0 to its capacity with the byte that input 0 is.
fn fill(read: &Args<'_>, write: &mut ArgsMut<'_>) -> Result<()> {
    let byte: u8 = read.scalar(0)?;
    write.bytes_mut(0)?.fill(byte);
    Ok(())
}

/// Output 0 takes types and sizes of all other arguments, as pairs of u32.
fn kinds(read: &Args<'_>, write: &mut ArgsMut<'_>) -> Result<()> {
    let mut seen = Vec::new();
    for i in 0..read.len() {
        seen.extend([read.arg_type(i)?, read.bytes(i)?.len() as u32]);
    }
    for i in 1..write.len() {
        seen.extend([write.arg_type(i)?, write.capacity(i)? as u32]);
    }
    let bytes: Vec<u8> = seen.iter().flat_map(|n| n.to_le_bytes()).collect();
    put(write, 0, &bytes)?;
    for i in 1..write.len() {
        write.shrink(i, 0)?;
    }
    Ok(())
}

/// Names, sizes and sums of all blobs of the session's resources, as lines of text.
fn resources(session: &Session<'_>, write: &mut ArgsMut<'_>) -> Result<()> {
    let mut lines = Vec::new();
    for type_ in [
        ResourceType::Library,
        ResourceType::Data,
        ResourceType::Model,
    ] {
        for resource in session.resources(type_)? {
            for blob in resource.blobs() {
                let bytes = blob.bytes()?;
                lines.push(format!(
                    "{type_:?} {} {} {:016x}",
                    blob.name().unwrap_or_default(),
                    bytes.len(),
                    digest(&bytes)
                ));
            }
        }
    }
    lines.sort();
    put(write, 0, lines.join("\n").as_bytes())
}

/// Waits for the milliseconds that input 0 says.
fn wait(read: &Args<'_>) -> Result<()> {
    let limit = Duration::from_millis(u64::from(read.scalar::<u32>(0)?));
    let begin = Instant::now();
    while let Some(left) = limit.checked_sub(begin.elapsed()) {
        std::thread::sleep(left);
    }
    Ok(())
}

/// Numbers of calls that are held, and of those that may go on.
#[derive(Default)]
struct Calls {
    held: HashSet<u32>,
    released: HashSet<u32>,
}

static CALLS: LazyLock<Mutex<Calls>> = LazyLock::new(Mutex::default);
static CHANGED: Condvar = Condvar::new();
/// How long a call waits for another one.
const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until something is so, of calls that this process runs.
fn wait_until(what: &str, mut is_so: impl FnMut(&mut Calls) -> bool) -> Result<()> {
    let calls = CALLS.lock().unwrap_or_else(PoisonError::into_inner);
    let waited = CHANGED.wait_timeout_while(calls, PATIENCE, |calls| !is_so(calls));
    let (calls, over) = waited.unwrap_or_else(PoisonError::into_inner);
    drop(calls);
    if over.timed_out() {
        bail!(ETIMEDOUT, "{what} in vain");
    }
    Ok(())
}

fn change<T>(change: impl FnOnce(&mut Calls) -> T) {
    change(&mut CALLS.lock().unwrap_or_else(PoisonError::into_inner));
    CHANGED.notify_all();
}

/// Waits until another call releases the number of input 0.
fn hold(read: &Args<'_>) -> Result<()> {
    let number: u32 = read.scalar(0)?;
    change(|calls| calls.held.insert(number));
    let released = wait_until("waited to be released", |calls| {
        calls.released.remove(&number)
    });
    change(|calls| calls.held.remove(&number));
    released
}

/// Lets the call go on that holds the number of input 0, once it does.
fn release(read: &Args<'_>) -> Result<()> {
    let number: u32 = read.scalar(0)?;
    wait_until("waited for a call to release", |calls| {
        calls.held.contains(&number)
    })?;
    change(|calls| calls.released.insert(number));
    Ok(())
}

/// Waits until another call holds the number of input 0.
fn held(read: &Args<'_>) -> Result<()> {
    let number: u32 = read.scalar(0)?;
    wait_until("waited for a call that holds", |calls| {
        calls.held.contains(&number)
    })
}

/// Fails with the code of input 0 and the text of input 1.
fn fail(read: &Args<'_>) -> Result<()> {
    let code: i32 = read.scalar(0)?;
    let text = read.text(1)?.to_string_lossy().into_owned();
    Err(vaccel_plugin::Error::new(code, text))
}
