//! Answers of the service as native replies.

use super::request::{Failure, Result};
use super::uploads::Uploads;
use vaccel_compat::message::{
    CreateSessionResponse, GenopResponse, ImageClassificationResponse, RegisterResourceResponse,
    SyncResourceResponse, Tensor, TensorflowLiteModelRunResponse, TensorflowModelLoadResponse,
    TensorflowModelRunResponse, TensorflowModelUnloadResponse, TorchModelRunResponse,
};
use vaccel_compat::{
    Bytes, Code, CompatError, ErrorKind, Failure as Told, FrameworkStatus, Response, Status,
    decode, decode_with_tensors, tflite_from_wire,
};
use vaccel_plugin::abi::arg::{ARG_BUFFER, ARG_CHAR_ARRAY};
use vaccel_plugin::abi::error::{
    ECANCELED, EINVAL, EIO, ENOMEM, ENOTSUP, ERANGE, EREMOTEIO, ETIMEDOUT, is_known,
};
use vaccel_wire::{Arg, FrameBuilder, Header, TensorMeta};

/// What is said of an agent that cannot say anything of itself.
const DESCRIPTION: &str = r#"{"protocol":"ttrpc"}"#;

/// What the answer to a call is.
#[derive(Debug)]
pub(super) enum What {
    Session,
    Nothing,
    /// The agent's number for the resource that has this one here.
    Registered(i64),
    Content,
    Outputs(Vec<Slot>),
    /// The text of a classification, for the last of these.
    Tags(Vec<Slot>),
    TfLoaded,
    TfUnloaded,
    TfRun(usize),
    TfliteRun(usize),
    TorchRun(usize),
}

/// An output of a request.
#[derive(Debug)]
pub(super) struct Slot {
    type_: u32,
    custom_type: u32,
    room: usize,
    null: bool,
}

impl Slot {
    pub(super) fn of(arg: &Arg<'_>) -> Self {
        Self {
            type_: arg.type_,
            custom_type: arg.custom_type,
            room: arg.size,
            null: arg.is_null(),
        }
    }
}

/// A reply that succeeds.
#[derive(Debug)]
pub(super) enum Reply {
    Nothing,
    Described,
    Session(i64),
    /// Number of a resource, and whether it is complete.
    Begun(i64, bool),
    Content(Bytes),
    /// Bytes for each output; `None` for a null pointer.
    Outputs(Vec<(u32, u32, Option<Bytes>)>),
    /// Status where there is one, then tensors with types of C.
    Tensors(Option<StatusOut>, Vec<Tensor>),
}

/// A status as operations give it.
#[derive(Debug)]
pub(super) enum StatusOut {
    Code(u8),
    Text(u8, Vec<u8>),
}

impl Reply {
    pub(super) fn write<'a>(&'a self, builder: &mut FrameBuilder<'_, 'a>) {
        match self {
            Self::Nothing => {}
            Self::Described => {
                builder.write_bytes(ARG_BUFFER, 0, DESCRIPTION.as_bytes());
            }
            Self::Session(number) => {
                builder.write_scalar(*number);
            }
            Self::Begun(number, complete) => {
                builder
                    .write_scalar(*number)
                    .write_scalar(u8::from(*complete));
            }
            Self::Content(bytes) => {
                builder.write_bytes(ARG_BUFFER, 0, bytes);
            }
            Self::Outputs(outputs) => {
                for (type_, custom_type, bytes) in outputs {
                    match bytes {
                        Some(bytes) => builder.write_bytes(*type_, *custom_type, bytes),
                        None => builder.write_null(*type_),
                    };
                }
            }
            Self::Tensors(status, tensors) => {
                match status {
                    None => {}
                    Some(StatusOut::Code(code)) => {
                        builder.write_scalar(*code);
                    }
                    Some(StatusOut::Text(code, text)) => {
                        builder
                            .write_scalar(*code)
                            .write_bytes(ARG_CHAR_ARRAY, 0, text);
                    }
                }
                for tensor in tensors {
                    let meta = TensorMeta {
                        // A type that nobody knows stays one.
                        dtype: u16::try_from(tensor.r#type).unwrap_or(u16::MAX),
                        dims: &tensor.dims,
                        name: None,
                    };
                    builder.write_tensor_data(&meta, &tensor.data);
                }
            }
        }
    }
}

impl What {
    /// The outputs of a call that failed and has a status.
    pub(super) fn write_failure(
        &self,
        status: &FrameworkStatus,
        builder: &mut FrameBuilder<'_, '_>,
    ) {
        let outputs = match self {
            Self::TfLoaded | Self::TfUnloaded => 0,
            Self::TfRun(count) => *count,
            Self::TfliteRun(count) => {
                builder.write_scalar(code_of(status));
                return unwritten(*count, builder);
            }
            _ => return,
        };
        let text = message_of(status);
        builder
            .write_scalar(code_of(status))
            .write_copy(ARG_CHAR_ARRAY, 0, &text);
        unwritten(outputs, builder);
    }

    /// True when a failure has outputs.
    pub(super) fn has_status(&self) -> bool {
        matches!(
            self,
            Self::TfLoaded | Self::TfUnloaded | Self::TfRun(_) | Self::TfliteRun(_)
        )
    }
}

/// Outputs of a call that failed: nothing is in them.
fn unwritten(count: usize, builder: &mut FrameBuilder<'_, '_>) {
    let meta = TensorMeta {
        dtype: 0,
        dims: &[],
        name: None,
    };
    for _ in 0..count {
        builder.write_tensor(&meta, Some(0));
    }
}

pub(super) fn translate(
    header: &Header,
    what: &What,
    response: Response,
    uploads: &mut Uploads,
) -> Result<Reply> {
    if let Some(status) = response
        .status
        .filter(|status| status.code != Code::Ok as i32)
    {
        return Err(failure(&status));
    }
    let payload = response.payload;
    match what {
        What::Nothing => Ok(Reply::Nothing),
        What::Session => {
            let CreateSessionResponse { session_id } = decode(payload).map_err(odd)?;
            Ok(Reply::Session(session_id))
        }
        What::Registered(number) => {
            let RegisterResourceResponse { resource_id } = decode(payload).map_err(odd)?;
            uploads.learn(*number, resource_id, header.session);
            Ok(Reply::Nothing)
        }
        What::Content => {
            let SyncResourceResponse { blobs } = decode(payload).map_err(odd)?;
            let first = blobs.into_iter().next();
            let first = first.ok_or_else(|| wrong("no content of the resource"))?;
            Ok(Reply::Content(first.data))
        }
        What::Outputs(slots) => {
            let GenopResponse { write_args } = decode(payload).map_err(odd)?;
            if write_args.len() != slots.len() {
                let text = format!("{} outputs, not {}", write_args.len(), slots.len());
                return Err(wrong(&text));
            }
            let outputs = slots.iter().zip(write_args).map(|(slot, arg)| {
                let size = usize::try_from(arg.size).unwrap_or(usize::MAX);
                slot.filled(arg.buf.slice(..size.min(arg.buf.len())))
            });
            Ok(Reply::Outputs(outputs.collect::<Result<_>>()?))
        }
        What::Tags(slots) => {
            let ImageClassificationResponse { tags } = decode(payload).map_err(odd)?;
            let last = slots.len().saturating_sub(1);
            let outputs = slots.iter().enumerate().map(|(i, slot)| {
                let text = if i == last {
                    tags.clone()
                } else {
                    Bytes::new()
                };
                slot.filled(text)
            });
            Ok(Reply::Outputs(outputs.collect::<Result<_>>()?))
        }
        What::TfLoaded => {
            let TensorflowModelLoadResponse { status, .. } = decode(payload).map_err(odd)?;
            Ok(Reply::Tensors(
                Some(text_of(&status.unwrap_or_default())),
                Vec::new(),
            ))
        }
        What::TfUnloaded => {
            let TensorflowModelUnloadResponse { status } = decode(payload).map_err(odd)?;
            Ok(Reply::Tensors(
                Some(text_of(&status.unwrap_or_default())),
                Vec::new(),
            ))
        }
        What::TfRun(count) => {
            let run: TensorflowModelRunResponse = decode_with_tensors(payload, 1).map_err(odd)?;
            let status = text_of(&run.status.unwrap_or_default());
            Ok(Reply::Tensors(
                Some(status),
                counted(run.out_tensors, *count)?,
            ))
        }
        What::TfliteRun(count) => {
            let run: TensorflowLiteModelRunResponse =
                decode_with_tensors(payload, 1).map_err(odd)?;
            let tensors = run.out_tensors.into_iter().map(|tensor| {
                let dtype = tflite_from_wire(tensor.r#type);
                let dtype = dtype.and_then(|dtype| i32::try_from(dtype).ok());
                Ok(Tensor {
                    data: tensor.data,
                    dims: tensor.dims.into_iter().map(i64::from).collect(),
                    r#type: dtype.ok_or_else(|| wrong("a tensor of no type"))?,
                })
            });
            let tensors = counted(tensors.collect::<Result<_>>()?, *count)?;
            let code = code_of(&run.status.unwrap_or_default());
            Ok(Reply::Tensors(Some(StatusOut::Code(code)), tensors))
        }
        What::TorchRun(count) => {
            let run: TorchModelRunResponse = decode_with_tensors(payload, 1).map_err(odd)?;
            Ok(Reply::Tensors(None, counted(run.out_tensors, *count)?))
        }
    }
}

impl Slot {
    fn filled(&self, bytes: Bytes) -> Result<(u32, u32, Option<Bytes>)> {
        if self.null {
            return Ok((self.type_, self.custom_type, None));
        }
        if bytes.len() > self.room {
            let text = format!(
                "an output needs {} bytes; there is room for {}",
                bytes.len(),
                self.room
            );
            return Err(Failure::new(ERANGE, text));
        }
        Ok((self.type_, self.custom_type, Some(bytes)))
    }
}

fn counted(tensors: Vec<Tensor>, count: usize) -> Result<Vec<Tensor>> {
    if tensors.len() == count {
        return Ok(tensors);
    }
    Err(wrong(&format!("{} tensors, not {count}", tensors.len())))
}

fn code_of(status: &FrameworkStatus) -> u8 {
    u8::try_from(status.code).unwrap_or(u8::MAX)
}

fn text_of(status: &FrameworkStatus) -> StatusOut {
    StatusOut::Text(code_of(status), message_of(status))
}

/// The text of a status, with its zero.
fn message_of(status: &FrameworkStatus) -> Vec<u8> {
    let mut text = status.message.replace('\0', " ").into_bytes();
    text.truncate(crate::outputs::STATUS_MESSAGE - 1);
    text.push(0);
    text
}

/// The error in a status.
fn failure(status: &Status) -> Failure {
    let known = |code: u32| i32::try_from(code).ok().filter(|&code| is_known(code));
    if let Some(told) = Told::from_status(status) {
        let kind = ErrorKind::try_from(told.error.r#type);
        let code = match (told.error.ffi_error.and_then(known), kind) {
            (Some(code), _) if code != 0 => code,
            (_, Ok(ErrorKind::Ffi | ErrorKind::FfiWithStatus) | Err(_)) => EIO,
            (_, Ok(_)) => EINVAL,
        };
        return Failure {
            code,
            message: told.message,
            status: told.error.status,
        };
    }
    let is = |code: Code| status.code == code as i32;
    let code = if is(Code::InvalidArgument) {
        EINVAL
    } else if is(Code::Unimplemented) || is(Code::NotFound) {
        ENOTSUP
    } else if is(Code::DeadlineExceeded) {
        ETIMEDOUT
    } else if is(Code::Cancelled) {
        ECANCELED
    } else if is(Code::ResourceExhausted) {
        ENOMEM
    } else {
        EREMOTEIO
    };
    Failure::new(code, status.message.clone())
}

fn odd(error: CompatError) -> Failure {
    wrong(&format!("an answer that cannot be read: {error}"))
}

fn wrong(what: &str) -> Failure {
    Failure::new(EREMOTEIO, format!("the agent sent {what}"))
}
