//! A client as guests of the C implementation have it.

use crate::vaccel::{Arg, ProtoError};
use crate::vaccel_ttrpc::AgentServiceClient;
use anyhow::{Context, Result};
use protobuf::Message;
use std::net::TcpStream;
use std::os::fd::IntoRawFd;
use ttrpc::context::{self, Context as Deadline};
use vaccel_abi::arg::{ARG_BUFFER, ARG_UINT8};

/// A client of an agent, with a session.
pub struct Client {
    /// Its methods.
    pub service: AgentServiceClient,
    /// Its session.
    pub session: i64,
}

impl Client {
    /// Connects to `unix://PATH` or `tcp://HOST:PORT` and opens a session.
    ///
    /// # Errors
    /// When there is no agent that answers.
    pub fn new(address: &str) -> Result<Self> {
        let client = match address.strip_prefix("tcp://") {
            Some(host) => {
                let stream = TcpStream::connect(host).context("cannot connect")?;
                ttrpc::Client::new(stream.into_raw_fd())?
            }
            None => ttrpc::Client::connect(address)?,
        };
        let service = AgentServiceClient::new(client);
        let opened = service.create_session(Self::time(), &Default::default())?;
        Ok(Self {
            service,
            session: opened.session_id,
        })
    }

    /// What existing clients say: no deadline.
    #[must_use]
    pub fn time() -> Deadline {
        context::with_timeout(0)
    }

    /// Runs an operation; its outputs.
    ///
    /// # Errors
    /// What the agent says.
    pub fn genop(&self, code: u8, read: Vec<Arg>, write: Vec<Arg>) -> ttrpc::Result<Vec<Vec<u8>>> {
        let mut read_args = vec![arg(ARG_UINT8, vec![code])];
        read_args.extend(read);
        let request = crate::vaccel::GenopRequest {
            session_id: self.session,
            read_args,
            write_args: write,
            ..Default::default()
        };
        let response = self.service.genop(Self::time(), &request)?;
        Ok(response.write_args.into_iter().map(|arg| arg.buf).collect())
    }
}

/// An argument with these bytes.
#[must_use]
pub fn arg(type_: u32, buf: Vec<u8>) -> Arg {
    Arg {
        size: u32::try_from(buf.len()).unwrap_or(u32::MAX),
        buf,
        arg_type: type_.cast_signed(),
        ..Default::default()
    }
}

/// An argument of plain bytes.
#[must_use]
pub fn buffer(buf: &[u8]) -> Arg {
    arg(ARG_BUFFER, buf.to_vec())
}

/// Room for an output of plain bytes, with what was in it before, as existing clients send it.
#[must_use]
pub fn room(size: usize) -> Arg {
    arg(ARG_BUFFER, vec![0xa5; size])
}

/// The ttrpc status code of an error; `None` when it is none of the agent's.
#[must_use]
pub fn code_of(error: &ttrpc::Error) -> Option<i32> {
    match error {
        ttrpc::Error::RpcStatus(status) => Some(status.code.value()),
        _ => None,
    }
}

/// The error number that an agent gives with an error.
#[must_use]
pub fn errno_of(error: &ttrpc::Error) -> Option<u32> {
    let ttrpc::Error::RpcStatus(status) = error else {
        return None;
    };
    let detail = status.details.first()?;
    if detail.type_url != "type.googleapis.com/vaccel.ProtoError" {
        return None;
    }
    ProtoError::parse_from_bytes(&detail.value).ok()?.ffi_error
}
