//! A client whose answers are known beforehand.

use super::scan::marker;
use super::{Random, library};
use anyhow::{Context, Result, bail, ensure};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use vaccel_abi::arg::{ARG_BUFFER, ARG_INT64, ARG_UINT8};
use vaccel_abi::blob::{BLOB_BUFFER, BLOB_FILE};
use vaccel_abi::op::OP_EXEC;
use vaccel_abi::resource::{PATH_LOCAL_FILE, PATH_MAX, RESOURCE_DATA};
use vaccel_transport::{Address, CallError, Collect, Connection, Options};
use vaccel_wire::{FrameBuffer, control};

/// A client that behaves, with a session in which the exec plugin serves.
pub struct Honest {
    connection: Connection,
    session: i64,
    tenant: usize,
}

impl Honest {
    /// Connects and opens a session; data of `tenant` is made of its marker.
    ///
    /// # Errors
    /// When the agent does not let it.
    pub fn connect(address: &Address, tenant: usize, share_memory: bool) -> Result<Self> {
        let options = Options {
            connect_timeout: Duration::from_secs(20),
            timeout: Duration::from_secs(20),
            share_memory,
            ..Options::default()
        };
        let connection = Connection::connect(address, &options)?;
        let mut honest = Self {
            connection,
            session: 0,
            tenant,
        };
        honest.session = honest.open_session()?;
        Ok(honest)
    }

    /// Opens one more session; its number.
    ///
    /// # Errors
    /// When the agent does not let it.
    pub fn open_session(&self) -> Result<i64> {
        let mut buffer = FrameBuffer::new();
        let mut builder = buffer.request(control::SESSION_OPEN);
        builder
            .read_scalar(vaccel_abi::plugin::PLUGIN_GENERIC)
            .write_capacity(ARG_INT64, 0, 8);
        let mut outputs = Collect::default();
        let mut frame = builder.finish()?;
        self.connection.call(&mut frame, 0, None, &mut outputs)?;
        let bytes = outputs.outputs.first().context("no session came")?;
        Ok(i64::from_le_bytes(bytes[..].try_into()?))
    }

    /// Closes a session.
    ///
    /// # Errors
    /// When the call fails.
    pub fn close_session(&self, session: i64) -> Result<()> {
        let mut buffer = FrameBuffer::new();
        let mut frame = buffer.request(control::SESSION_CLOSE).finish()?;
        Ok(self.connection.call(&mut frame, session, None, &mut ())?)
    }

    /// The number of its session: what nobody else should be able to use.
    #[must_use]
    pub fn session(&self) -> i64 {
        self.session
    }

    /// Number of its connection.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.connection.granted().connection
    }

    /// Its empty call.
    ///
    /// # Errors
    /// When the call fails.
    pub fn noop(&self) -> Result<(), CallError> {
        let mut buffer = FrameBuffer::new();
        let mut frame = buffer.request(0).finish().map_err(CallError::from)?;
        self.connection
            .call(&mut frame, self.session, None, &mut ())
    }

    /// Calls a function of the test library.
    ///
    /// # Errors
    /// When the call fails.
    pub fn exec(
        &self,
        function: &str,
        input: &[u8],
        room: usize,
        timeout: Option<Duration>,
    ) -> Result<Vec<u8>> {
        let library = library()?.to_str().context("a strange path")?;
        let mut buffer = FrameBuffer::new();
        let mut builder = buffer.request(OP_EXEC as u16);
        builder.read_text(library).read_text(function);
        builder.read_buffer(input);
        builder.write_capacity(ARG_BUFFER, 0, room);
        let mut outputs = Collect::default();
        let mut frame = builder.finish()?;
        self.connection
            .call(&mut frame, self.session, timeout, &mut outputs)?;
        Ok(outputs.outputs.into_iter().next().unwrap_or_default())
    }

    /// A call whose result is checked: `len` bytes of the tenant's, transformed.
    ///
    /// # Errors
    /// When the call fails or its result is wrong.
    pub fn check(&self, len: usize, random: &mut Random) -> Result<()> {
        let mut input: Vec<u8> = marker(self.tenant)
            .iter()
            .copied()
            .cycle()
            .take(len)
            .collect();
        if let Some(at) = input.len().checked_sub(8) {
            // So that no answer is right for another call.
            input[at..].copy_from_slice(&random.number().to_le_bytes());
        }
        let output = self.exec("transform", &input, len, None)?;
        ensure!(
            output.len() == len,
            "{} bytes instead of {len}",
            output.len()
        );
        let wrong = output
            .iter()
            .zip(&input)
            .position(|(out, sent)| *out != sent ^ 0x5a);
        match wrong {
            None => Ok(()),
            Some(at) => bail!("wrong result: byte {at} of {len} is {:#x}", output[at]),
        }
    }

    /// Sends a buffer as a resource, fetches it again, and gives it back.
    ///
    /// # Errors
    /// When a call fails or what comes back is not what was sent.
    pub fn check_resource(&self, len: usize) -> Result<()> {
        let (resource, bytes) = self.send(len, BLOB_BUFFER, PATH_MAX)?;
        let mut buffer = FrameBuffer::new();
        let mut builder = buffer.request(control::RESOURCE_SYNC);
        builder.read_scalar(resource).write_allocate(ARG_BUFFER);
        let mut outputs = Collect::default();
        let mut frame = builder.finish()?;
        self.connection
            .call(&mut frame, self.session, None, &mut outputs)?;
        ensure!(
            outputs.outputs.first() == Some(&bytes),
            "another buffer came back"
        );
        self.of(control::RESOURCE_DETACH, resource)
    }

    /// Sends a file, which the agent keeps on its disk, and gives it back.
    ///
    /// # Errors
    /// When a call fails.
    pub fn check_file(&self, len: usize) -> Result<()> {
        let (resource, _) = self.send(len, BLOB_FILE, PATH_LOCAL_FILE)?;
        self.of(control::RESOURCE_DETACH, resource)
    }

    /// Sends a file, which the agent keeps as long as this client is there.
    ///
    /// # Errors
    /// When a call fails.
    pub fn leave_file(&self, len: usize) -> Result<()> {
        self.send(len, BLOB_FILE, PATH_LOCAL_FILE).map(drop)
    }

    /// Sends a resource of one blob; its number and its bytes.
    fn send(&self, len: usize, type_: u32, path_type: u32) -> Result<(i64, Vec<u8>)> {
        let bytes: Vec<u8> = marker(self.tenant)
            .iter()
            .copied()
            .cycle()
            .take(len)
            .collect();
        let mut buffer = FrameBuffer::new();
        let mut builder = buffer.request(control::RESOURCE_BEGIN);
        builder.read_scalar(RESOURCE_DATA).read_scalar(path_type);
        control::BlobHead {
            type_,
            name: c"data",
            size: len as u64,
            hash: &[],
        }
        .encode(&mut builder);
        builder
            .write_capacity(ARG_INT64, 0, 8)
            .write_capacity(ARG_UINT8, 0, 1);
        let mut outputs = Collect::default();
        let mut frame = builder.finish()?;
        self.connection
            .call(&mut frame, self.session, None, &mut outputs)?;
        let number = outputs.outputs.first().context("no resource came")?;
        let resource = i64::from_le_bytes(number[..].try_into()?);
        for (i, piece) in bytes.chunks(control::MAX_PIECE).enumerate() {
            let mut builder = buffer.request(control::RESOURCE_DATA);
            control::ResourceData {
                resource,
                blob: 0,
                offset: (i * control::MAX_PIECE) as u64,
                bytes: piece,
            }
            .encode(&mut builder);
            let mut frame = builder.finish()?;
            self.connection
                .call(&mut frame, self.session, None, &mut ())?;
        }
        self.of(control::RESOURCE_COMMIT, resource)?;
        Ok((resource, bytes))
    }

    fn of(&self, operation: u16, resource: i64) -> Result<()> {
        let mut buffer = FrameBuffer::new();
        let mut builder = buffer.request(operation);
        builder.read_scalar(resource);
        let mut frame = builder.finish()?;
        Ok(self
            .connection
            .call(&mut frame, self.session, None, &mut ())?)
    }
}

/// An honest client that calls all the time, in a thread.
pub struct Watch {
    stop: Arc<AtomicBool>,
    calls: Arc<AtomicU64>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Watch {
    /// Begins; returns once a first call was right.
    ///
    /// # Errors
    /// When it does not come that far.
    pub fn start(address: &Address, tenant: usize) -> Result<Self> {
        let honest = Honest::connect(address, tenant, tenant.is_multiple_of(2))?;
        let mut random = Random(tenant as u64);
        honest.check(4000, &mut random)?;
        let stop = Arc::new(AtomicBool::new(false));
        let calls = Arc::new(AtomicU64::new(1));
        let (told, counted) = (Arc::clone(&stop), Arc::clone(&calls));
        let thread = std::thread::spawn(move || {
            let mut longest = Duration::ZERO;
            while !told.load(Ordering::Relaxed) {
                let begin = Instant::now();
                let len = [64, 4000, 70_000][random.below(3)];
                let n = counted.load(Ordering::Relaxed);
                honest
                    .check(len, &mut random)
                    .with_context(|| format!("call {n}, longest before {longest:?}"))?;
                longest = longest.max(begin.elapsed());
                counted.fetch_add(1, Ordering::Relaxed);
                // Others need the processor too.
                std::thread::sleep(Duration::from_millis(1));
            }
            Ok(())
        });
        Ok(Self {
            stop,
            calls,
            thread: Some(thread),
        })
    }

    /// Calls that were right so far.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    /// Ends; the number of calls, all of them right.
    ///
    /// # Errors
    /// The first call that failed or was wrong.
    pub fn finish(mut self) -> Result<u64> {
        self.stop.store(true, Ordering::Relaxed);
        let Some(thread) = self.thread.take() else {
            bail!("it has ended before");
        };
        match thread.join() {
            Ok(result) => result.context("the honest tenant").map(|()| self.calls()),
            Err(_) => bail!("the honest tenant panicked"),
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}
