//! `vaccel exec`: calls a function of a shared library.

use crate::connect;
use crate::options::{Exec, Options};
use anyhow::{Context, Result, bail};
use std::ffi::CString;
use std::io::Write;
use vaccel::{Input, Output, Resource, ResourceType};

/// Largest result buffer that is accepted, bytes.
const LARGEST: usize = 1 << 30;

/// An argument as the command line gives it.
#[derive(Debug, PartialEq)]
enum Value {
    I32(i32),
    I64(i64),
    U32(u32),
    U64(u64),
    F32(f32),
    F64(f64),
    Text(CString),
    Bytes(Vec<u8>),
}

impl Value {
    fn parse(text: &str) -> Result<Self> {
        let Some((kind, value)) = text.split_once(':') else {
            bail!("`{text}` is not TYPE:VALUE, for example i32:10");
        };
        let parsed = match kind {
            "i32" => value.parse().map(Self::I32).ok(),
            "i64" => value.parse().map(Self::I64).ok(),
            "u32" => value.parse().map(Self::U32).ok(),
            "u64" => value.parse().map(Self::U64).ok(),
            "f32" => value.parse().map(Self::F32).ok(),
            "f64" => value.parse().map(Self::F64).ok(),
            "str" => CString::new(value).map(Self::Text).ok(),
            "file" => Some(Self::Bytes(
                std::fs::read(value).with_context(|| format!("cannot read {value}"))?,
            )),
            _ => bail!(
                "`{kind}` is not a type; there are i32, i64, u32, u64, f32, f64, str and file"
            ),
        };
        parsed.with_context(|| format!("`{value}` is not a value of type {kind}"))
    }

    fn as_input(&self) -> Input<'_> {
        match self {
            Self::I32(v) => Input::scalar(v),
            Self::I64(v) => Input::scalar(v),
            Self::U32(v) => Input::scalar(v),
            Self::U64(v) => Input::scalar(v),
            Self::F32(v) => Input::scalar(v),
            Self::F64(v) => Input::scalar(v),
            Self::Text(v) => Input::string(v),
            Self::Bytes(v) => Input::buffer(v),
        }
    }
}

/// A result as the command line asks for it.
#[derive(Debug)]
enum Answer {
    I32(i32),
    I64(i64),
    U32(u32),
    U64(u64),
    F32(f32),
    F64(f64),
    Bytes(Vec<u8>),
}

impl Answer {
    fn parse(text: &str) -> Result<Self> {
        Ok(match text {
            "i32" => Self::I32(0),
            "i64" => Self::I64(0),
            "u32" => Self::U32(0),
            "u64" => Self::U64(0),
            "f32" => Self::F32(0.0),
            "f64" => Self::F64(0.0),
            size => match size.parse() {
                Ok(size @ 1..=LARGEST) => Self::Bytes(vec![0; size]),
                _ => bail!(
                    "`{text}` is no result; give i32, i64, u32, u64, f32, f64 or a size of 1 to {LARGEST} bytes"
                ),
            },
        })
    }

    fn as_output(&mut self) -> Output<'_> {
        match self {
            Self::I32(v) => Output::scalar(v),
            Self::I64(v) => Output::scalar(v),
            Self::U32(v) => Output::scalar(v),
            Self::U64(v) => Output::scalar(v),
            Self::F32(v) => Output::scalar(v),
            Self::F64(v) => Output::scalar(v),
            Self::Bytes(v) => Output::buffer(v),
        }
    }

    /// Numbers as such; bytes as text where they are, else in hexadecimal digits.
    fn show(&self, out: &mut impl Write) -> Result<()> {
        match self {
            Self::I32(v) => writeln!(out, "{v}")?,
            Self::I64(v) => writeln!(out, "{v}")?,
            Self::U32(v) => writeln!(out, "{v}")?,
            Self::U64(v) => writeln!(out, "{v}")?,
            Self::F32(v) => writeln!(out, "{v}")?,
            Self::F64(v) => writeln!(out, "{v}")?,
            Self::Bytes(bytes) => {
                let text = bytes.split(|&b| b == 0).next().unwrap_or_default();
                let padded = bytes[text.len()..].iter().all(|&b| b == 0);
                let printable = |b: &u8| !b.is_ascii_control() || *b == b'\n';
                match std::str::from_utf8(text) {
                    Ok(words) if padded && !text.is_empty() && text.iter().all(printable) => {
                        writeln!(out, "{words}")?;
                    }
                    _ => {
                        for byte in bytes {
                            write!(out, "{byte:02x}")?;
                        }
                        writeln!(out)?;
                    }
                }
            }
        }
        Ok(())
    }
}

pub(crate) fn run(options: &Options, exec: &Exec) -> Result<()> {
    let values = exec
        .arg
        .iter()
        .map(|text| Value::parse(text))
        .collect::<Result<Vec<_>>>()?;
    let mut results = exec
        .out
        .iter()
        .map(|text| Answer::parse(text))
        .collect::<Result<Vec<_>>>()?;
    let session = connect::session_with(options, "exec")?;
    let read: Vec<Input<'_>> = values.iter().map(Value::as_input).collect();
    let mut write: Vec<Output<'_>> = results.iter_mut().map(Answer::as_output).collect();
    if exec.upload {
        let library = Resource::open(&exec.library, ResourceType::Library)?;
        crate::progress::of_transfers(false, || library.register(&session))?;
        // SAFETY: the user names a function of the documented signature; it is run as asked.
        unsafe { session.exec_with_resource(&library, &exec.symbol, &read, &mut write) }?;
    } else {
        // SAFETY: as above.
        unsafe { session.exec(&exec.library, &exec.symbol, &read, &mut write) }?;
    }
    drop(write);
    let mut out = std::io::stdout().lock();
    for result in &results {
        result.show(&mut out)?;
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn arguments_have_a_type_and_a_value_of_it() {
        assert_eq!(Value::parse("i32:-5").unwrap(), Value::I32(-5));
        assert_eq!(Value::parse("str:a:b").unwrap(), Value::Text(c"a:b".into()));
        for wrong in ["", "0", "i8", "-1", "99999999999999"] {
            assert!(Answer::parse(wrong).is_err(), "{wrong}");
        }
        for wrong in ["5", "i32:x", "u32:-1", "i8:1", "file:/nowhere/at/all"] {
            assert!(Value::parse(wrong).is_err(), "{wrong}");
        }
    }
}
