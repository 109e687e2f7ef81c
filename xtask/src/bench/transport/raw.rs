//! A connection as the wire sees it: a socket and a session, without a library around it, so that
//! one process can hold thousands.

use anyhow::{Context, Result, bail, ensure};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;
use vaccel_abi::arg::ARG_INT64;
use vaccel_abi::op::OP_NOOP;
use vaccel_wire::control::SESSION_OPEN;
use vaccel_wire::{FrameBuffer, HEADER_LEN, Header, Hello, Kind, Progress, Welcome};

/// Longest wait for the agent.
const LIMIT: Duration = Duration::from_secs(20);
/// Largest answer that is expected here.
const LARGEST: u64 = 1 << 16;

/// A connection with one session.
pub(super) struct RawConnection {
    stream: UnixStream,
    session: i64,
}

impl RawConnection {
    /// Connects, says hello, opens a session.
    pub(super) fn open(socket: &Path) -> Result<Self> {
        let stream = UnixStream::connect(socket).context("cannot connect")?;
        stream.set_read_timeout(Some(LIMIT))?;
        stream.set_write_timeout(Some(LIMIT))?;
        let mut connection = Self { stream, session: 0 };
        connection.hello().context("no welcome")?;
        connection.session = connection.session().context("no session")?;
        Ok(connection)
    }

    fn hello(&mut self) -> Result<()> {
        let mut hello = Vec::new();
        Hello::new(LARGEST).encode(&mut hello)?;
        self.stream.write_all(&hello)?;
        let mut bytes = Vec::new();
        loop {
            match Welcome::decode(&bytes)? {
                Progress::More(wanted) => {
                    let have = bytes.len();
                    bytes.resize(wanted, 0);
                    self.stream.read_exact(&mut bytes[have..])?;
                }
                Progress::Done(welcome, _) => {
                    ensure!(
                        welcome.status == 0,
                        "refused with {}: {}",
                        welcome.status,
                        welcome.text
                    );
                    return Ok(());
                }
            }
        }
    }

    fn session(&mut self) -> Result<i64> {
        let mut buffer = FrameBuffer::new();
        let mut builder = buffer.request(SESSION_OPEN);
        builder.read_scalar(0_u32);
        builder.write_capacity(ARG_INT64, 0, size_of::<i64>());
        let mut frame = builder.finish()?;
        frame.address(1, 0, 0);
        let mut bytes = Vec::new();
        for slice in frame.slices() {
            bytes.extend_from_slice(slice);
        }
        self.stream.write_all(&bytes)?;
        let (header, rest) = self.answer()?;
        // The only output is a number; the payload is what ends the frame.
        let payload = rest
            .get(header.meta_len as usize..)
            .and_then(|payload| payload.get(..size_of::<i64>()))
            .context("the answer has no number")?;
        Ok(i64::from_le_bytes(payload.try_into()?))
    }

    /// Makes an empty call, as a client does.
    pub(super) fn noop(&mut self) -> Result<()> {
        let header = Header::bare(Kind::Request, OP_NOOP as u16, 2, self.session);
        self.stream.write_all(&header.encode())?;
        self.answer().map(drop)
    }

    fn answer(&mut self) -> Result<(Header, Vec<u8>)> {
        let mut header = [0; HEADER_LEN];
        self.stream.read_exact(&mut header)?;
        let header = Header::decode(&header)?;
        if header.frame_len() > LARGEST {
            bail!("an answer of {} bytes", header.frame_len());
        }
        let mut rest = vec![0; header.frame_len() as usize - HEADER_LEN];
        self.stream.read_exact(&mut rest)?;
        ensure!(
            header.status() == 0,
            "the agent answers {}",
            header.status()
        );
        Ok((header, rest))
    }
}
