//! Clients of the C implementation, which speak ttrpc.
//!
//! They come to the same addresses; the first byte tells them apart, see [`is_spoken`].
//! Each call becomes a request as the native protocol has it, so that what is
//! checked there is checked here.
//!
//! * [`connection`]: reads requests, has them run, sends answers.
//! * `service`: sessions and resources. `genop`, `models`: operations.
//! * `frames`: native requests in memory. `fault`: errors. `times`: profiling.

pub mod connection;
mod fault;
mod frames;
mod genop;
mod models;
mod service;
mod times;

use std::time::Duration;

use vaccel_transport::Stream;

/// True when the client begins to speak ttrpc: its first byte is the highest of a length
/// of at most 1 GiB, while HELLO begins with a letter.
///
/// Waits for that byte and leaves it where it is.
///
/// # Errors
/// `TimedOut` when it does not come, or what the system says.
pub fn is_spoken(stream: &Stream, timeout: Duration) -> std::io::Result<bool> {
    let mut first = [0];
    Ok(stream.peek(&mut first, timeout)? == 1 && first[0] <= 0x40)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::time::Instant;
    use vaccel_compat::{Kind, Request, encode_frame};

    #[test]
    fn the_first_byte_tells_the_protocols_apart_and_stays() {
        let mut hello = Vec::new();
        vaccel_wire::Hello::new(1 << 20).encode(&mut hello).unwrap();
        let request = encode_frame(Kind::Request, 1, 0, &Request::default()).unwrap();
        for (bytes, spoken) in [(hello, false), (request, true)] {
            let (client, server) = Stream::pair().unwrap();
            let end = Instant::now() + Duration::from_secs(10);
            client.send_until(&bytes, end).unwrap();
            let time = Duration::from_secs(10);
            assert_eq!(is_spoken(&server, time).unwrap(), spoken);
            let mut first = [0];
            assert_eq!(server.recv_until(&mut first, end).unwrap(), 1);
            assert_eq!(first[0], bytes[0]);
        }
    }

    #[test]
    fn a_client_that_hangs_up_or_stays_silent_speaks_neither() {
        let (client, server) = Stream::pair().unwrap();
        let e = is_spoken(&server, Duration::from_millis(20)).unwrap_err();
        assert_eq!(e.kind(), std::io::ErrorKind::TimedOut);
        drop(client);
        assert!(!is_spoken(&server, Duration::from_secs(10)).unwrap());
    }
}
