//! Native requests as calls of the service.

use super::response::{Reply, Slot, What};
use super::uploads::{Uploads, not_carried};
use vaccel_compat::message::{
    Arg as SentArg, CreateSessionRequest, DestroySessionRequest, GenopRequest,
    ImageClassificationRequest, ModelRequest, Node, RegisterResourceRequest, SyncResourceRequest,
    Tensor as SentTensor, TensorflowLiteModelRunRequest, TensorflowModelRunRequest, TfliteTensor,
    TorchModelRunRequest, UnregisterResourceRequest, UpdateSessionRequest,
};
use vaccel_compat::{Bytes, FrameworkStatus, Message, Method, tflite_to_wire};
use vaccel_plugin::abi::arg::ARG_UINT8;
use vaccel_plugin::abi::error::{EINVAL, ENOTSUP};
use vaccel_plugin::abi::op;
use vaccel_plugin::abi::table::{self, Kind, OpSpec};
use vaccel_wire::control::{
    DESCRIBE, RESOURCE_ATTACH, RESOURCE_BEGIN, RESOURCE_COMMIT, RESOURCE_DATA, RESOURCE_DETACH,
    RESOURCE_SYNC, ResourceBegin, ResourceData, SESSION_CLOSE, SESSION_OPEN, SESSION_UPDATE,
    TENSOR_FETCH, TENSOR_FREE, TENSOR_KEEP, only,
};
use vaccel_wire::{Arg, Args, Header, Tensor, WireError};

/// Why a request fails.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) code: i32,
    pub(super) message: String,
    /// What the framework of a model says of it.
    pub(super) status: Option<FrameworkStatus>,
}

pub(super) type Result<T, E = Failure> = std::result::Result<T, E>;

impl Failure {
    pub(super) fn new(code: i32, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            status: None,
        }
    }
}

impl From<WireError> for Failure {
    fn from(e: WireError) -> Self {
        Self::new(e.code(), e.to_string())
    }
}

/// What is to be done for a request.
pub(super) enum Translated {
    /// A call, and what its answer is.
    Call {
        method: Method,
        payload: Vec<u8>,
        what: What,
    },
    /// Nothing: this is the reply.
    Done(Reply),
}

pub(super) fn translate(
    header: &Header,
    args: &Args<'_>,
    payload: &[u8],
    uploads: &mut Uploads,
) -> Result<Translated> {
    let session_id = header.session;
    let call = |method, payload, what| {
        Ok(Translated::Call {
            method,
            payload,
            what,
        })
    };
    match header.operation {
        SESSION_OPEN => {
            let flags = only(args, payload)?;
            let request = CreateSessionRequest { flags };
            call(
                Method::CreateSession,
                request.encode_to_vec(),
                What::Session,
            )
        }
        SESSION_UPDATE => {
            let flags = only(args, payload)?;
            let request = UpdateSessionRequest { session_id, flags };
            call(
                Method::UpdateSession,
                request.encode_to_vec(),
                What::Nothing,
            )
        }
        SESSION_CLOSE => {
            let request = DestroySessionRequest { session_id };
            uploads.forget_session(session_id);
            call(
                Method::DestroySession,
                request.encode_to_vec(),
                What::Nothing,
            )
        }
        RESOURCE_BEGIN => {
            let begin = ResourceBegin::decode(args, payload)?;
            let (number, complete) = uploads.begin(&begin)?;
            Ok(Translated::Done(Reply::Begun(number, complete)))
        }
        RESOURCE_DATA => {
            uploads.write(&ResourceData::decode(args, payload)?)?;
            Ok(Translated::Done(Reply::Nothing))
        }
        RESOURCE_COMMIT => {
            let number = only(args, payload)?;
            let request = uploads.commit(number, session_id)?;
            let what = What::Registered(number);
            call(Method::RegisterResource, request.encode_to_vec(), what)
        }
        RESOURCE_ATTACH => {
            let number = only(args, payload)?;
            let request = RegisterResourceRequest {
                resource_id: uploads.id(number)?,
                session_id,
                ..RegisterResourceRequest::default()
            };
            let what = What::Registered(number);
            call(Method::RegisterResource, request.encode_to_vec(), what)
        }
        RESOURCE_DETACH => {
            let number = only(args, payload)?;
            if uploads.abandon(number) {
                return Ok(Translated::Done(Reply::Nothing));
            }
            let request = UnregisterResourceRequest {
                resource_id: uploads.id(number)?,
                session_id,
            };
            uploads.forget(number, session_id);
            let payload = request.encode_to_vec();
            call(Method::UnregisterResource, payload, What::Nothing)
        }
        RESOURCE_SYNC => {
            let resource_id = uploads.id(only(args, payload)?)?;
            let request = SyncResourceRequest { resource_id };
            call(Method::SyncResource, request.encode_to_vec(), What::Content)
        }
        DESCRIBE => Ok(Translated::Done(Reply::Described)),
        TENSOR_KEEP | TENSOR_FETCH | TENSOR_FREE => Err(not_carried("tensors that stay there")),
        code => {
            let spec = table::find(code.into()).ok_or_else(|| {
                Failure::new(ENOTSUP, format!("the agent knows no operation {code}"))
            })?;
            let operation = Operation {
                spec,
                session_id,
                args,
                payload,
            };
            let (method, payload, what) = operation.translate(uploads)?;
            call(method, payload, what)
        }
    }
}

/// An operation of the library.
struct Operation<'r, 'm> {
    spec: &'static OpSpec,
    session_id: i64,
    args: &'r Args<'m>,
    payload: &'r [u8],
}

impl Operation<'_, '_> {
    fn translate(&self, uploads: &Uploads) -> Result<(Method, Vec<u8>, What)> {
        let text_only = || {
            let mut writes = self.args.writes();
            writes.next().is_none_or(|arg| arg.is_null()) && writes.len() == 1
        };
        match self.spec.code {
            op::OP_TF_MODEL_LOAD => self.model(Method::TensorflowModelLoad, uploads),
            op::OP_TF_MODEL_UNLOAD => self.model(Method::TensorflowModelUnload, uploads),
            op::OP_TFLITE_MODEL_LOAD => self.model(Method::TensorflowLiteModelLoad, uploads),
            op::OP_TFLITE_MODEL_UNLOAD => self.model(Method::TensorflowLiteModelUnload, uploads),
            op::OP_TORCH_MODEL_LOAD => self.model(Method::TorchModelLoad, uploads),
            op::OP_TF_MODEL_RUN => self.tf_run(uploads),
            op::OP_TFLITE_MODEL_RUN => self.tflite_run(uploads),
            op::OP_TORCH_MODEL_RUN => self.torch_run(uploads),
            op::OP_IMAGE_CLASSIFY if text_only() => self.classify(),
            _ => self.genop(uploads),
        }
    }

    /// The bytes of a read argument; none for a null pointer.
    fn bytes(&self, arg: &Arg<'_>) -> Bytes {
        Bytes::copy_from_slice(arg.bytes(self.payload))
    }

    fn model_id(&self, uploads: &Uploads) -> Result<i64> {
        let arg = self.args.reads().next();
        let bytes = arg.as_ref().map_or(&[][..], |arg| arg.bytes(self.payload));
        let bytes = bytes
            .try_into()
            .map_err(|_| Failure::new(EINVAL, "the first argument must be a resource"))?;
        uploads.id(i64::from_le_bytes(bytes))
    }

    fn model(&self, method: Method, uploads: &Uploads) -> Result<(Method, Vec<u8>, What)> {
        let request = ModelRequest {
            session_id: self.session_id,
            model_id: self.model_id(uploads)?,
        };
        let what = match method {
            Method::TensorflowModelLoad => What::TfLoaded,
            Method::TensorflowModelUnload => What::TfUnloaded,
            _ => What::Nothing,
        };
        Ok((method, request.encode_to_vec(), what))
    }

    /// Options of a run, the second argument.
    fn options(&self) -> Option<Bytes> {
        let arg = self.args.reads().nth(1)?;
        (!arg.is_null()).then(|| self.bytes(&arg))
    }

    /// Tensors among the arguments.
    fn tensors<'a>(&'a self) -> impl Iterator<Item = (Arg<'a>, Tensor<'a>)> + 'a {
        let reads = self.args.reads();
        reads.filter_map(|arg| Some((arg.clone(), arg.tensor?)))
    }

    fn sent_tensors(&self) -> Vec<SentTensor> {
        let sent = self.tensors().map(|(arg, tensor)| SentTensor {
            data: self.bytes(&arg),
            dims: tensor.dims().collect(),
            r#type: tensor.dtype.into(),
        });
        sent.collect()
    }

    /// How many outputs are tensors.
    fn nr_outputs(&self) -> usize {
        self.args
            .writes()
            .filter(|arg| arg.tensor.is_some())
            .count()
    }

    fn tf_run(&self, uploads: &Uploads) -> Result<(Method, Vec<u8>, What)> {
        let outputs = self.args.writes().filter_map(|arg| arg.tensor);
        let request = TensorflowModelRunRequest {
            session_id: self.session_id,
            model_id: self.model_id(uploads)?,
            run_options: self.options(),
            in_nodes: self
                .tensors()
                .map(|(_, t)| node(&t))
                .collect::<Result<_>>()?,
            out_nodes: outputs.map(|t| node(&t)).collect::<Result<_>>()?,
            in_tensors: self.sent_tensors(),
        };
        let what = What::TfRun(self.nr_outputs());
        Ok((Method::TensorflowModelRun, request.encode_to_vec(), what))
    }

    fn tflite_run(&self, uploads: &Uploads) -> Result<(Method, Vec<u8>, What)> {
        let tensors = self.tensors().map(|(arg, tensor)| {
            let dims = tensor.dims().map(i32::try_from);
            let dims = dims.collect::<Result<Vec<_>, _>>();
            Ok(TfliteTensor {
                data: self.bytes(&arg),
                dims: dims.map_err(|_| not_carried("a dimension of more than 31 bits"))?,
                r#type: tflite_to_wire(tensor.dtype.into())
                    .ok_or_else(|| Failure::new(EINVAL, "a tensor has an odd type"))?,
            })
        });
        let request = TensorflowLiteModelRunRequest {
            session_id: self.session_id,
            model_id: self.model_id(uploads)?,
            in_tensors: tensors.collect::<Result<_>>()?,
            nr_out_tensors: self.nr_outputs() as u64,
        };
        let what = What::TfliteRun(self.nr_outputs());
        Ok((
            Method::TensorflowLiteModelRun,
            request.encode_to_vec(),
            what,
        ))
    }

    fn torch_run(&self, uploads: &Uploads) -> Result<(Method, Vec<u8>, What)> {
        let request = TorchModelRunRequest {
            session_id: self.session_id,
            model_id: self.model_id(uploads)?,
            run_options: self.options(),
            in_tensors: self.sent_tensors(),
            nr_out_tensors: self.nr_outputs() as u64,
        };
        let what = What::TorchRun(self.nr_outputs());
        Ok((Method::TorchModelRun, request.encode_to_vec(), what))
    }

    fn classify(&self) -> Result<(Method, Vec<u8>, What)> {
        let image = self.args.reads().next();
        let request = ImageClassificationRequest {
            session_id: self.session_id,
            image: image.map(|arg| self.bytes(&arg)).unwrap_or_default(),
        };
        let slots = self.args.writes().map(|arg| Slot::of(&arg)).collect();
        let what = What::Tags(slots);
        Ok((Method::ImageClassification, request.encode_to_vec(), what))
    }

    fn genop(&self, uploads: &Uploads) -> Result<(Method, Vec<u8>, What)> {
        let name = self.spec.name;
        // Codes of the table are below 256.
        let mut read_args = vec![sent(ARG_UINT8, 0, vec![self.spec.code as u8].into())?];
        for arg in self.args.reads() {
            if arg.tensor.is_some() {
                return Err(not_carried(&format!("the tensors of {name}")));
            }
            let param = self.spec.read.get(arg.index);
            let bytes = match param.map(|param| param.kind) {
                Some(Kind::Resource) => {
                    let number = arg.bytes(self.payload).try_into().map_err(|_| {
                        Failure::new(EINVAL, format!("argument {} is no resource", arg.index))
                    })?;
                    let id = uploads.id(i64::from_le_bytes(number))?;
                    Bytes::copy_from_slice(&id.to_le_bytes())
                }
                _ => self.bytes(&arg),
            };
            read_args.push(sent(arg.type_, arg.custom_type, bytes)?);
        }
        if matches!(
            self.spec.code,
            op::OP_MODEL_LOAD | op::OP_MODEL_UNLOAD | op::OP_MODEL_RUN | op::OP_MODEL_INFO
        ) {
            return Err(not_carried(&format!(
                "{name}, only models of TensorFlow, TFLite and Torch"
            )));
        }
        let mut write_args = Vec::new();
        let mut slots = Vec::new();
        for arg in self.args.writes() {
            if arg.tensor.is_some() || arg.is_allocate() {
                let text = format!("outputs of {name} whose size the agent decides");
                return Err(not_carried(&text));
            }
            // Where the operation reads what is there.
            let bytes = if arg.has_data() {
                self.bytes(&arg)
            } else {
                // These agents write to what was sent to them.
                zeros(arg.size)?
            };
            write_args.push(sent(arg.type_, arg.custom_type, bytes)?);
            slots.push(Slot::of(&arg));
        }
        let request = GenopRequest {
            session_id: self.session_id,
            read_args,
            write_args,
        };
        Ok((Method::Genop, request.encode_to_vec(), What::Outputs(slots)))
    }
}

fn zeros(size: usize) -> Result<Bytes> {
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(size).map_err(|_| {
        let text = format!("no memory for an output of {size} bytes");
        Failure::new(vaccel_plugin::abi::error::ENOMEM, text)
    })?;
    bytes.resize(size, 0);
    Ok(bytes.into())
}

fn sent(type_: u32, custom_type_id: u32, buf: Bytes) -> Result<SentArg> {
    let size = u32::try_from(buf.len())
        .map_err(|_| not_carried(&format!("an argument of {} bytes", buf.len())))?;
    Ok(SentArg {
        buf,
        size,
        // Types are small numbers.
        arg_type: type_.cast_signed(),
        custom_type_id,
        parts: 0,
        part_no: 0,
    })
}

/// A node from the name of its tensor, `node:index`.
fn node(tensor: &Tensor<'_>) -> Result<Node> {
    let name = String::from_utf8_lossy(tensor.name.unwrap_or_default());
    let parts = name.rsplit_once(':');
    let parsed = parts.and_then(|(name, id)| Some((name, id.parse().ok()?)));
    let (name, id) = parsed
        .ok_or_else(|| Failure::new(EINVAL, format!("{name:?} is not of the form node:index")))?;
    Ok(Node {
        name: name.to_owned(),
        id,
    })
}
