//! Operations as lists of arguments.

use vaccel_abi::arg::{ARG_BUFFER, ARG_STRING, ARG_UCHAR_ARRAY, ArgType};
use vaccel_abi::op::OP_IMAGE_CLASSIFY;
use vaccel_abi::table::{self, Direction};
use vaccel_compat::Message;
use vaccel_compat::message::{
    Arg, GenopRequest, GenopResponse, ImageClassificationRequest, ImageClassificationResponse,
};
use vaccel_wire::{FrameBuffer, TENSOR};

use super::super::generic::Call;
use super::connection::Connection;
use super::fault::{Fault, Result};
use super::frames::Request;

/// Room for the text of a classification.
const TAGS: usize = 4096;

impl Connection {
    pub(super) fn genop(&self, request: GenopRequest, call: &mut Call) -> Result<Vec<u8>> {
        let GenopRequest {
            session_id,
            read_args,
            write_args,
        } = request;
        let code = match read_args.first() {
            Some(arg) if arg.buf.len() == 1 => arg.buf[0],
            _ => {
                let text = "the first argument must be one byte, the code of the operation";
                return Err(Fault::invalid(text));
            }
        };
        let spec = table::find(code.into())
            .ok_or_else(|| Fault::unsupported(format!("the agent knows no operation {code}")))?;
        let texts: Vec<Option<Vec<u8>>> = read_args[1..].iter().map(ended).collect();
        let mut buffer = FrameBuffer::new();
        let mut builder = buffer.request(code.into());
        for ((arg, text), index) in read_args[1..].iter().zip(&texts).zip(0..) {
            let (type_, size) = check(arg, index)?;
            match text {
                Some(text) => builder.read_bytes(type_, arg.custom_type_id, text),
                None if size == 0 => builder.read_null(type_),
                None if arg.buf.len() == size => {
                    builder.read_bytes(type_, arg.custom_type_id, &arg.buf)
                }
                None => return Err(short(arg, index)),
            };
        }
        for (arg, index) in write_args.iter().zip(0..) {
            let (type_, size) = check(arg, index)?;
            let param = spec.write.get(index);
            let update = param.is_some_and(|param| param.direction == Direction::InOut);
            if size == 0 {
                builder.write_null(type_);
            } else if !update {
                // Clients send what was in the memory; it means nothing.
                builder.write_capacity(type_, arg.custom_type_id, size);
            } else if arg.buf.len() == size {
                builder.write_bytes(type_, arg.custom_type_id, &arg.buf);
            } else {
                return Err(short(arg, index));
            }
        }
        let request = Request::new(&builder.finish()?, &self.pool)?;
        let outputs = self.operate(session_id, request, call)?;
        let write_args = write_args.into_iter().zip(outputs);
        let write_args = write_args.map(|(arg, output)| filled(arg, output.bytes));
        let write_args = write_args.collect::<Result<_>>()?;
        Ok(GenopResponse { write_args }.encode_to_vec())
    }

    pub(super) fn classify(
        &self,
        request: ImageClassificationRequest,
        call: &mut Call,
    ) -> Result<Vec<u8>> {
        let mut buffer = FrameBuffer::new();
        // Codes of operations are below 256.
        let mut builder = buffer.request(OP_IMAGE_CLASSIFY as u16);
        builder
            .read_bytes(ARG_BUFFER, 0, &request.image)
            .write_null(ARG_UCHAR_ARRAY)
            .write_capacity(ARG_UCHAR_ARRAY, 0, TAGS);
        let frame = Request::new(&builder.finish()?, &self.pool)?;
        let mut outputs = self.operate(request.session_id, frame, call)?;
        let text = outputs.pop().map(|output| output.bytes).unwrap_or_default();
        // With its zero, as C reads it.
        let end = text.iter().position(|&b| b == 0);
        let tags = text.slice(..end.map_or(text.len(), |at| at + 1));
        Ok(ImageClassificationResponse { tags }.encode_to_vec())
    }
}

/// Type and size of an argument.
fn check(arg: &Arg, index: usize) -> Result<(ArgType, usize)> {
    if arg.parts > 1 || arg.part_no > 1 {
        return Err(Fault::unsupported(format!(
            "argument {index} comes in {} parts: send it as a whole",
            arg.parts
        )));
    }
    let type_ = u32::try_from(arg.arg_type).ok().filter(|&t| t < TENSOR);
    let type_ = type_
        .ok_or_else(|| Fault::invalid(format!("argument {index} has the type {}", arg.arg_type)))?;
    match usize::try_from(arg.size) {
        Ok(size) => Ok((type_, size)),
        Err(_) => Err(short(arg, index)),
    }
}

fn short(arg: &Arg, index: usize) -> Fault {
    Fault::invalid(format!(
        "argument {index} should have {} bytes and comes with {}",
        arg.size,
        arg.buf.len()
    ))
}

/// A string with its zero, where the client has left it out.
fn ended(arg: &Arg) -> Option<Vec<u8>> {
    let is_text = u32::try_from(arg.arg_type) == Ok(ARG_STRING);
    let whole = usize::try_from(arg.size) == Ok(arg.buf.len());
    if !is_text || !whole || arg.buf.is_empty() || arg.buf.last() == Some(&0) {
        return None;
    }
    let mut text = Vec::with_capacity(arg.buf.len() + 1);
    text.extend_from_slice(&arg.buf);
    text.push(0);
    Some(text)
}

/// An output for a client that reads as many bytes as it has room for: what was written,
/// then zeros; `size` has the bytes that were written.
fn filled(arg: Arg, bytes: vaccel_compat::Bytes) -> Result<Arg> {
    let room = usize::try_from(arg.size).unwrap_or(usize::MAX);
    let size = bytes.len();
    if size > room {
        return Err(super::super::failure::Failure::new(
            vaccel_abi::error::ERANGE,
            format!("an output needs {size} bytes; there is room for {room}"),
        )
        .into());
    }
    let buf = if size == room {
        bytes
    } else {
        let mut all = bytes.to_vec();
        all.resize(room, 0);
        all.into()
    };
    Ok(Arg {
        buf,
        // At most the room, which is a u32.
        size: size as u32,
        ..arg
    })
}
