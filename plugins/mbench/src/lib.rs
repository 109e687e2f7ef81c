//! The mbench plugin: keeps a processor busy for a given time.
//!
//! It stands for an operation that takes exactly so long, for measuring what a
//! transport, a scheduler or a quota does to it. The README says how to call it.

use std::ffi::CStr;
use std::hint::black_box;
use std::time::{Duration, Instant};
use vaccel_plugin::abi::arg::{
    ARG_INT32, ARG_INT64, ARG_STRING, ARG_UINT32, ARG_UINT64, name as type_name,
};
use vaccel_plugin::{
    Args, ArgsMut, Description, Op, Plugin, Resource, Result, Session, abi, bail, err,
};

/// The only library there is.
const LIBRARY: &CStr = c"mbench";
/// Longest time of one call.
const MAX_MS: u64 = 60_000;

struct Mbench;

impl Plugin for Mbench {
    const NAME: &'static CStr = c"mbench";
    const VERSION: &'static CStr = vaccel_plugin::version!();
    const TYPES: u32 = abi::plugin::PLUGIN_DEBUG | abi::plugin::PLUGIN_CPU;
    const OPS: &'static [Op] = &[Op::Noop, Op::Exec, Op::ExecWithResource];

    fn new() -> Result<Self> {
        Ok(Self)
    }

    fn describe(&self) -> Description {
        Description::ready("Keeps a processor busy for a given number of milliseconds.")
    }

    fn noop(&self, _: &Session<'_>) -> Result<()> {
        Ok(())
    }

    fn exec(
        &self,
        _: &Session<'_>,
        library: &CStr,
        symbol: &CStr,
        read: &Args<'_>,
        write: &mut ArgsMut<'_>,
    ) -> Result<()> {
        if library != LIBRARY {
            bail!(
                EINVAL,
                "library `{}`: this plugin has only the library `mbench`",
                library.to_string_lossy()
            );
        }
        bench(symbol, read, write)
    }

    /// The resource is not looked at: what counts is that it took the way there.
    fn exec_with_resource(
        &self,
        _: &Session<'_>,
        _: &Resource<'_>,
        symbol: &CStr,
        read: &Args<'_>,
        write: &mut ArgsMut<'_>,
    ) -> Result<()> {
        bench(symbol, read, write)
    }
}

fn bench(symbol: &CStr, read: &Args<'_>, write: &mut ArgsMut<'_>) -> Result<()> {
    let wanted = Duration::from_millis(milliseconds(symbol, read)?);
    // Checked before the time is spent.
    check_result(write)?;
    let elapsed = spin(wanted);
    if write.is_empty() {
        return Ok(());
    }
    let nanoseconds = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX);
    // As signed and as unsigned number the same bytes: it is far from 2^63.
    write.write_slice(0, &[nanoseconds])
}

/// The first read argument, or without one the symbol.
fn milliseconds(symbol: &CStr, read: &Args<'_>) -> Result<u64> {
    let parse = |text: &CStr| {
        let text = text.to_string_lossy();
        let number = text.trim().parse::<u64>();
        number.map_err(|_| err!(EINVAL, "`{text}` is not a number of milliseconds"))
    };
    let signed = |ms: i64| {
        u64::try_from(ms).map_err(|_| err!(EINVAL, "{ms} milliseconds: that is in the past"))
    };
    let ms = if read.is_empty() {
        parse(symbol)?
    } else {
        match read.arg_type(0)? {
            ARG_INT32 => signed(read.scalar::<i32>(0)?.into())?,
            ARG_INT64 => signed(read.scalar::<i64>(0)?)?,
            ARG_UINT32 => read.scalar::<u32>(0)?.into(),
            ARG_UINT64 => read.scalar::<u64>(0)?,
            ARG_STRING => parse(read.text(0)?)?,
            other => bail!(
                EINVAL,
                "read argument 0 is a {}: give the milliseconds as an integer of 32 or 64 bits or \
                 as a string",
                type_name(other)
            ),
        }
    };
    if ms > MAX_MS {
        bail!(EINVAL, "{ms} milliseconds: at most {MAX_MS} are allowed");
    }
    Ok(ms)
}

fn check_result(write: &ArgsMut<'_>) -> Result<()> {
    if write.is_empty() {
        return Ok(());
    }
    let (type_, size) = (write.arg_type(0)?, write.capacity(0)?);
    if !matches!(type_, ARG_INT64 | ARG_UINT64) || size != size_of::<u64>() {
        bail!(
            EINVAL,
            "write argument 0 is a {} of {size} bytes: the elapsed nanoseconds need a 64-bit integer",
            type_name(type_)
        );
    }
    Ok(())
}

/// Computes until the time is over; returns how long it took.
fn spin(wanted: Duration) -> Duration {
    let start = Instant::now();
    let mut value = 1_u64;
    loop {
        let elapsed = start.elapsed();
        if elapsed >= wanted {
            return elapsed;
        }
        // Work between two looks at the clock: about a tenth of a microsecond.
        for _ in 0..64 {
            value = black_box(
                value
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1),
            );
        }
    }
}

vaccel_plugin::export_plugin!(Mbench);
