//! The operation `opencv`: a function by name, on pictures, numbers and texts.

use crate::cascade;
use crate::shim::{Input, Shim};
use std::ffi::{CStr, CString};
use vaccel_plugin::abi::arg;
use vaccel_plugin::{Args, ArgsMut, Result, bail};

/// Calls the function that the first argument names; see the table in the README.
pub(crate) fn call(shim: &Shim, read: &Args<'_>, write: &mut ArgsMut<'_>) -> Result<()> {
    let function = name(read)?;
    let mut input = Input::default();
    let mut shape: Option<&[i32]> = None;
    for i in 1..read.len() {
        match read.arg_type(i)? {
            arg::ARG_STRING => input.texts.push(read.text(i)?.to_owned()),
            arg::ARG_INT32 => input.numbers.push(read.scalar::<i32>(i)?.into()),
            arg::ARG_UINT32 => input.numbers.push(read.scalar::<u32>(i)?.into()),
            arg::ARG_INT64 => input.numbers.push(read.scalar::<i64>(i)? as f64),
            arg::ARG_UINT64 => input.numbers.push(read.scalar::<u64>(i)? as f64),
            arg::ARG_FLOAT32 => input.numbers.push(read.scalar::<f32>(i)?.into()),
            arg::ARG_FLOAT64 => input.numbers.push(read.scalar::<f64>(i)?),
            arg::ARG_FLOAT64_ARRAY => input.numbers.extend(read.slice::<f64>(i)?),
            arg::ARG_INT32_ARRAY => shape = Some(read.slice::<i32>(i)?),
            arg::ARG_RAW
            | arg::ARG_BUFFER
            | arg::ARG_UINT8_ARRAY
            | arg::ARG_UCHAR_ARRAY
            | arg::ARG_CHAR_ARRAY
            | arg::ARG_FLOAT32_ARRAY => match shape.take() {
                Some(shape) => input.pixels(shape, read.bytes(i)?)?,
                None => input.encoded(read.bytes(i)?)?,
            },
            other => bail!(
                EINVAL,
                "argument {i} is a {}: pictures, numbers and texts can be given",
                arg::name(other)
            ),
        }
    }
    if shape.is_some() {
        bail!(EINVAL, "a shape is not followed by its pixels");
    }
    if function == c"cascade" {
        resolve(&mut input)?;
    }
    let output = shim.call(function, &input)?;
    if write.is_empty() {
        bail!(EINVAL, "there is no argument to write the result to");
    }
    // The shape first: a caller whose buffer is too short learns what it needs.
    let shape = output.shape();
    if write.len() > 1 {
        let room = write.capacity(1)? / size_of::<i32>();
        let count = room.min(shape.len());
        write.write_slice(1, &shape[..count])?;
        write.shrink(1, count * size_of::<i32>())?;
    }
    write.write(0, output.bytes())?;
    write.shrink(0, output.bytes().len())
}

/// The name, given as a string or, as C's generic call does, as bytes with a zero.
fn name<'a>(read: &Args<'a>) -> Result<&'a CStr> {
    let bytes = read
        .bytes(0)
        .map_err(|error| error.context("the name of the function"))?;
    match CStr::from_bytes_until_nul(bytes) {
        Ok(name) => Ok(name),
        Err(_) => bail!(EINVAL, "the name of the function has no zero at its end"),
    }
}

/// A cascade is given by the name of its file, or as its XML.
fn resolve(input: &mut Input<'_>) -> Result<()> {
    let Some(text) = input.texts.first_mut() else {
        bail!(
            EINVAL,
            "a cascade is needed: the name of its file, or its XML"
        );
    };
    if text.to_bytes().trim_ascii_start().starts_with(b"<") {
        return Ok(());
    }
    let loaded: CString = cascade::load(&text.to_string_lossy())?;
    *text = loaded;
    Ok(())
}
