//! Agents of the C implementation, which speak ttrpc.
//!
//! A gateway in this process is their client, and an agent of the native protocol to the rest
//! of the plugin, over a pair of sockets. So deadlines, cancelling, reconnecting and what
//! happens after fork are the same for both. What the old protocol cannot carry fails with
//! `ENOTSUP` and a text that names it.
//!
//! * `gateway`: two threads, one for each direction. `probe`: whether ttrpc is spoken.
//! * `request`: native requests as calls. `response`: their answers as native replies.
//! * `uploads`: resources, which are sent as a whole there.

mod gateway;
mod probe;
mod request;
mod response;
mod uploads;

pub(crate) use gateway::Gateway;

use crate::settings::Protocol;
use std::time::{Duration, Instant};
use vaccel_transport::{Address, ConnectError, Connection, Options, Stream};
use vaccel_wire::WireError;

/// How long an agent that did not take HELLO may take to answer a call.
const PROBE: Duration = Duration::from_secs(1);

/// Connects in the protocol of the settings. `compatible` says, and is told, whether
/// the agent at this address has been found to speak ttrpc only.
pub(crate) fn connect(
    address: &Address,
    options: &Options,
    protocol: Protocol,
    compatible: &mut bool,
) -> Result<(Connection, Option<Gateway>), ConnectError> {
    let native = |options: &Options| Ok((Connection::connect(address, options)?, None));
    let old = |time: Duration| {
        let (connection, gateway) = open(address, options, time)?;
        Ok((connection, Some(gateway)))
    };
    match protocol {
        Protocol::Native => native(options),
        Protocol::Ttrpc => old(options.connect_timeout),
        Protocol::Auto => {
            let probe = options.connect_timeout.min(PROBE);
            if *compatible && let Ok(found) = old(probe) {
                return Ok(found);
            }
            *compatible = false;
            let refused = match native(options) {
                Err(e) if may_be_old(&e) => e,
                result => return result,
            };
            // The refusal of HELLO says more about what is there.
            let found = old(probe).map_err(|_| refused)?;
            *compatible = true;
            Ok(found)
        }
    }
}

/// True when an agent of the C implementation could have been there: it takes HELLO for the
/// beginning of a long message, and waits for the rest, hangs up, or answers in ttrpc.
fn may_be_old(error: &ConnectError) -> bool {
    matches!(
        error,
        ConnectError::HungUp { .. }
            | ConnectError::TimedOut { .. }
            | ConnectError::Protocol {
                error: WireError::Magic([0, ..]),
                ..
            }
    )
}

fn open(
    address: &Address,
    options: &Options,
    time: Duration,
) -> Result<(Connection, Gateway), ConnectError> {
    let end = Instant::now() + time;
    let name = address.to_string();
    let stream = Stream::connect_with(address, time, &options.security)?;
    let late = |e: std::io::Error| match e.kind() {
        std::io::ErrorKind::TimedOut => ConnectError::TimedOut {
            address: name.clone(),
            after: time,
        },
        _ => ConnectError::Unreachable {
            address: name.clone(),
            reason: format!("what is there does not speak ttrpc: {e}"),
        },
    };
    probe::ask(&stream, end).map_err(late)?;
    let here = |e: std::io::Error| ConnectError::Unreachable {
        address: name.clone(),
        reason: format!("the gateway to it cannot be made: {e}"),
    };
    let (far, near) = Stream::pair().map_err(here)?;
    let gateway = Gateway::start(stream, near).map_err(here)?;
    let options = Options {
        share_memory: false,
        ..options.clone()
    };
    let connection = Connection::open(far, &name, &options)?;
    Ok((connection, gateway))
}
