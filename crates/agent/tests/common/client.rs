//! A client with one call for everything.

use std::fs::File;
use std::time::Duration;

use tempfile::TempDir;
use vaccel_transport::tls::Security;
use vaccel_transport::{Address, CallError, Collect, ConnectError, Connection, Options};
use vaccel_wire::{FrameBuffer, FrameBuilder, control};

use super::{PATIENCE, helper, number, wait_until};

/// A connection with one call for everything.
pub struct Client {
    pub connection: Connection,
}

impl Client {
    pub fn to(address: &Address) -> Result<Self, ConnectError> {
        Self::with(address, Security::default())
    }

    /// With certificates.
    pub fn with(address: &Address, security: Security) -> Result<Self, ConnectError> {
        let options = Options {
            connect_timeout: PATIENCE,
            timeout: PATIENCE,
            client: Some("test".into()),
            security,
            ..Options::default()
        };
        Connection::connect(address, &options).map(|connection| Self { connection })
    }

    pub fn call<'a>(
        &self,
        operation: u16,
        session: i64,
        build: impl FnOnce(&mut FrameBuilder<'_, 'a>),
    ) -> Result<Vec<Vec<u8>>, CallError> {
        let mut buffer = FrameBuffer::new();
        let mut builder = buffer.request(operation);
        build(&mut builder);
        let mut frame = builder.finish().unwrap();
        let mut outputs = Collect::default();
        self.connection
            .call(&mut frame, session, None, &mut outputs)?;
        Ok(outputs.outputs)
    }

    /// The status of a call that fails.
    pub fn fails<'a>(
        &self,
        operation: u16,
        session: i64,
        build: impl FnOnce(&mut FrameBuilder<'_, 'a>),
    ) -> (i32, String) {
        match self.call(operation, session, build) {
            Err(CallError::Remote { status, message }) => (status, message),
            other => panic!("{other:?}"),
        }
    }

    pub fn open_session(&self, flags: u32) -> i64 {
        let outputs = self.call(control::SESSION_OPEN, 0, |b| {
            b.read_scalar(flags)
                .write_capacity(vaccel_abi::arg::ARG_INT64, 0, 8);
        });
        number(&outputs.unwrap()[0])
    }

    pub fn noop(&self, session: i64) -> Result<(), CallError> {
        self.call(0, session, |_| {}).map(drop)
    }

    /// Sends a resource of the given blobs (type, name, bytes); not yet committed.
    pub fn begin_resource(
        &self,
        session: i64,
        path_type: u32,
        blobs: &[(u32, &str, &[u8])],
    ) -> Result<i64, CallError> {
        let resource = self.announce_resource(session, path_type, blobs)?;
        for (i, (_, _, bytes)) in blobs.iter().enumerate() {
            self.send_piece(session, resource, i, 0, bytes)?;
        }
        Ok(resource)
    }

    /// Announces a resource; its bytes are still to come.
    pub fn announce_resource(
        &self,
        session: i64,
        path_type: u32,
        blobs: &[(u32, &str, &[u8])],
    ) -> Result<i64, CallError> {
        let names: Vec<_> = blobs
            .iter()
            .map(|(_, name, _)| std::ffi::CString::new(*name).unwrap())
            .collect();
        let mut buffer = FrameBuffer::new();
        let mut builder = buffer.request(control::RESOURCE_BEGIN);
        builder
            .read_scalar(vaccel_abi::resource::RESOURCE_MODEL)
            .read_scalar(path_type);
        for ((type_, _, bytes), name) in blobs.iter().zip(&names) {
            control::BlobHead {
                type_: *type_,
                name,
                size: bytes.len() as u64,
                hash: &[],
            }
            .encode(&mut builder);
        }
        builder
            .write_capacity(vaccel_abi::arg::ARG_INT64, 0, 8)
            .write_capacity(vaccel_abi::arg::ARG_UINT8, 0, 1);
        let mut outputs = Collect::default();
        let mut frame = builder.finish().unwrap();
        self.connection
            .call(&mut frame, session, None, &mut outputs)?;
        Ok(number(&outputs.outputs[0]))
    }

    pub fn send_piece(
        &self,
        session: i64,
        resource: i64,
        blob: usize,
        offset: u64,
        bytes: &[u8],
    ) -> Result<(), CallError> {
        let mut buffer = FrameBuffer::new();
        let mut builder = buffer.request(control::RESOURCE_DATA);
        control::ResourceData {
            resource,
            blob: u32::try_from(blob).unwrap(),
            offset,
            bytes,
        }
        .encode(&mut builder);
        let mut frame = builder.finish().unwrap();
        self.connection.call(&mut frame, session, None, &mut ())
    }

    /// Sends and commits a resource.
    pub fn resource(
        &self,
        session: i64,
        path_type: u32,
        blobs: &[(u32, &str, &[u8])],
    ) -> Result<i64, CallError> {
        let resource = self.begin_resource(session, path_type, blobs)?;
        self.of_resource(control::RESOURCE_COMMIT, session, resource)?;
        Ok(resource)
    }

    /// COMMIT, ATTACH or DETACH.
    pub fn of_resource(
        &self,
        operation: u16,
        session: i64,
        resource: i64,
    ) -> Result<(), CallError> {
        self.call(operation, session, |b| {
            b.read_scalar(resource);
        })
        .map(drop)
    }

    /// Calls a function of `helper.c` with strings, and with room for an output.
    pub fn exec(
        &self,
        session: i64,
        function: &str,
        strings: &[&str],
        room: Option<usize>,
        timeout: Option<Duration>,
    ) -> Result<Vec<Vec<u8>>, CallError> {
        let mut buffer = FrameBuffer::new();
        let mut builder = buffer.request(u16::try_from(vaccel_abi::op::OP_EXEC).unwrap());
        builder
            .read_text(helper().to_str().unwrap())
            .read_text(function);
        for text in strings {
            builder.read_text(text);
        }
        match room {
            Some(0) => {
                builder.write_allocate(vaccel_abi::arg::ARG_BUFFER);
            }
            Some(room) => {
                builder.write_capacity(vaccel_abi::arg::ARG_BUFFER, 0, room);
            }
            None => {}
        }
        let mut frame = builder.finish().unwrap();
        let mut outputs = Collect::default();
        self.connection
            .call(&mut frame, session, timeout, &mut outputs)?;
        Ok(outputs.outputs)
    }
}

/// An operation that runs until it is released.
pub struct Hold {
    dir: TempDir,
}

impl Hold {
    pub fn new() -> Self {
        Self {
            dir: tempfile::tempdir_in(super::OPEN).unwrap(),
        }
    }

    /// What it takes.
    pub fn names(&self) -> [String; 2] {
        ["begun", "released"].map(|name| self.dir.path().join(name).to_str().unwrap().to_owned())
    }

    /// Calls it; returns when it has been released, or the time is over.
    pub fn run(
        &self,
        client: &Client,
        session: i64,
        timeout: Option<Duration>,
    ) -> Result<(), CallError> {
        let names = ["begun", "released"].map(|name| self.dir.path().join(name));
        let names = names.each_ref().map(|name| name.to_str().unwrap());
        client
            .exec(session, "hold", &names, None, timeout)
            .map(drop)
    }

    /// As [`run`](Self::run), with bytes that take up memory meanwhile.
    pub fn run_with(&self, client: &Client, session: i64, bytes: &[u8]) -> Result<(), CallError> {
        let mut buffer = FrameBuffer::new();
        let mut builder = buffer.request(u16::try_from(vaccel_abi::op::OP_EXEC).unwrap());
        builder
            .read_text(helper().to_str().unwrap())
            .read_text("hold");
        for name in ["begun", "released"] {
            builder.read_text(self.dir.path().join(name).to_str().unwrap());
        }
        builder.read_buffer(bytes);
        let mut frame = builder.finish().unwrap();
        client.connection.call(&mut frame, session, None, &mut ())
    }

    pub fn wait_until_begun(&self) {
        wait_until("the operation begins", || {
            self.dir.path().join("begun").exists()
        });
    }

    pub fn release(&self) {
        File::create(self.dir.path().join("released")).unwrap();
    }
}
