//! Models of TensorFlow, TensorFlow Lite and Torch.

use vaccel_abi::arg::{ARG_BUFFER, ARG_CHAR_ARRAY, ARG_UINT8};
use vaccel_abi::op::{
    OP_TF_MODEL_LOAD, OP_TF_MODEL_RUN, OP_TF_MODEL_UNLOAD, OP_TFLITE_MODEL_LOAD,
    OP_TFLITE_MODEL_RUN, OP_TFLITE_MODEL_UNLOAD, OP_TORCH_MODEL_LOAD, OP_TORCH_MODEL_RUN,
};
use vaccel_compat::message::{
    Empty, ModelRequest, Node, Tensor, TensorflowLiteModelRunRequest,
    TensorflowLiteModelRunResponse, TensorflowModelLoadResponse, TensorflowModelRunRequest,
    TensorflowModelRunResponse, TensorflowModelUnloadResponse, TfliteTensor, TorchModelRunRequest,
    TorchModelRunResponse,
};
use vaccel_compat::{
    Bytes, FrameworkStatus, Message, Method, decode, decode_with_tensors, tflite_from_wire,
    tflite_to_wire,
};
use vaccel_wire::{FrameBuffer, FrameBuilder, Header, TensorMeta};

use super::super::failure::Failure;
use super::super::generic::Call;
use super::connection::Connection;
use super::fault::{Fault, Result};
use super::frames::{Output, Request};

/// Room for the text of a status.
const STATUS_MESSAGE: usize = 1024;
/// Outputs that one run may have.
const MAX_OUTPUTS: u64 = 4096;

impl Connection {
    pub(super) fn model(&self, method: Method, payload: Bytes, call: &mut Call) -> Result<Vec<u8>> {
        match method {
            Method::TensorflowModelLoad => {
                let status = Some(self.tf_status(OP_TF_MODEL_LOAD, decode(payload)?, call)?);
                let graph_def = Bytes::new();
                Ok(TensorflowModelLoadResponse { graph_def, status }.encode_to_vec())
            }
            Method::TensorflowModelUnload => {
                let status = Some(self.tf_status(OP_TF_MODEL_UNLOAD, decode(payload)?, call)?);
                Ok(TensorflowModelUnloadResponse { status }.encode_to_vec())
            }
            Method::TensorflowLiteModelLoad => {
                self.on_model(OP_TFLITE_MODEL_LOAD, decode(payload)?, call)
            }
            Method::TensorflowLiteModelUnload => {
                self.on_model(OP_TFLITE_MODEL_UNLOAD, decode(payload)?, call)
            }
            Method::TorchModelLoad => self.on_model(OP_TORCH_MODEL_LOAD, decode(payload)?, call),
            Method::TensorflowModelRun => self.tf_run(decode_with_tensors(payload, 6)?, call),
            Method::TensorflowLiteModelRun => {
                self.tflite_run(decode_with_tensors(payload, 3)?, call)
            }
            Method::TorchModelRun => self.torch_run(decode_with_tensors(payload, 4)?, call),
            other => Err(Fault::unsupported(format!(
                "{} does nothing with models",
                other.name()
            ))),
        }
    }

    fn tf_status(&self, code: u32, on: ModelRequest, call: &mut Call) -> Result<FrameworkStatus> {
        let mut buffer = FrameBuffer::new();
        let mut builder = request(&mut buffer, code);
        builder.read_scalar(on.model_id);
        add_status(&mut builder);
        let request = Request::new(&builder.finish()?, &self.pool)?;
        let outputs = self.operate(on.session_id, request, call)?;
        Ok(tf_status_of(&outputs))
    }

    fn on_model(&self, code: u32, on: ModelRequest, call: &mut Call) -> Result<Vec<u8>> {
        let mut buffer = FrameBuffer::new();
        let mut builder = request(&mut buffer, code);
        builder.read_scalar(on.model_id);
        let request = Request::new(&builder.finish()?, &self.pool)?;
        self.operate(on.session_id, request, call)?;
        Ok(Empty {}.encode_to_vec())
    }

    fn tf_run(&self, run: TensorflowModelRunRequest, call: &mut Call) -> Result<Vec<u8>> {
        if run.in_nodes.len() != run.in_tensors.len() {
            return Err(Fault::invalid(format!(
                "{} input nodes come with {} tensors",
                run.in_nodes.len(),
                run.in_tensors.len()
            )));
        }
        let mut buffer = FrameBuffer::new();
        let mut builder = request(&mut buffer, OP_TF_MODEL_RUN);
        builder.read_scalar(run.model_id);
        add_options(&mut builder, run.run_options.as_ref());
        for (node, tensor) in run.in_nodes.iter().zip(&run.in_tensors) {
            let name = name_of(node);
            add_tensor(&mut builder, Some(&name), tensor)?;
        }
        add_status(&mut builder);
        for node in &run.out_nodes {
            add_output(&mut builder, Some(&name_of(node)));
        }
        let request = Request::new(&builder.finish()?, &self.pool)?;
        let outputs = self.operate(run.session_id, request, call)?;
        let status = Some(tf_status_of(&outputs));
        let out_tensors = outputs.into_iter().skip(2).map(tensor).collect();
        let response = TensorflowModelRunResponse {
            out_tensors,
            status,
        };
        Ok(response.encode_to_vec())
    }

    fn tflite_run(&self, run: TensorflowLiteModelRunRequest, call: &mut Call) -> Result<Vec<u8>> {
        let mut buffer = FrameBuffer::new();
        let mut builder = request(&mut buffer, OP_TFLITE_MODEL_RUN);
        builder.read_scalar(run.model_id);
        for input in &run.in_tensors {
            let dtype = tflite_from_wire(input.r#type);
            let dims: Vec<i64> = input.dims.iter().map(|&d| d.into()).collect();
            add(&mut builder, None, &input.data, &dims, dtype)?;
        }
        builder.write_capacity(ARG_UINT8, 0, 1);
        add_outputs(&mut builder, run.nr_out_tensors)?;
        let request = Request::new(&builder.finish()?, &self.pool)?;
        let outputs = self.operate(run.session_id, request, call)?;
        let status = Some(FrameworkStatus {
            code: first_byte(&outputs),
            message: String::new(),
        });
        let out_tensors = outputs.into_iter().skip(1).map(tflite_tensor);
        let response = TensorflowLiteModelRunResponse {
            out_tensors: out_tensors.collect::<Result<_>>()?,
            status,
        };
        Ok(response.encode_to_vec())
    }

    fn torch_run(&self, run: TorchModelRunRequest, call: &mut Call) -> Result<Vec<u8>> {
        let mut buffer = FrameBuffer::new();
        let mut builder = request(&mut buffer, OP_TORCH_MODEL_RUN);
        builder.read_scalar(run.model_id);
        add_options(&mut builder, run.run_options.as_ref());
        for input in &run.in_tensors {
            add_tensor(&mut builder, None, input)?;
        }
        add_outputs(&mut builder, run.nr_out_tensors)?;
        let request = Request::new(&builder.finish()?, &self.pool)?;
        let outputs = self.operate(run.session_id, request, call)?;
        let out_tensors = outputs.into_iter().map(tensor).collect();
        Ok(TorchModelRunResponse { out_tensors }.encode_to_vec())
    }
}

/// The status in the reply to a run that failed, where the operation has one.
pub(super) fn status(header: &Header, outputs: &[Output]) -> Option<FrameworkStatus> {
    match u32::from(header.operation) {
        OP_TF_MODEL_LOAD | OP_TF_MODEL_UNLOAD | OP_TF_MODEL_RUN => Some(tf_status_of(outputs)),
        OP_TFLITE_MODEL_RUN => Some(FrameworkStatus {
            code: first_byte(outputs),
            message: String::new(),
        }),
        _ => None,
    }
}

fn request<'b, 'a>(buffer: &'b mut FrameBuffer, code: u32) -> FrameBuilder<'b, 'a> {
    // Codes of operations are below 256.
    buffer.request(code as u16)
}

fn add_status(builder: &mut FrameBuilder<'_, '_>) {
    builder
        .write_capacity(ARG_UINT8, 0, 1)
        .write_capacity(ARG_CHAR_ARRAY, 0, STATUS_MESSAGE);
}

fn add_options<'a>(builder: &mut FrameBuilder<'_, 'a>, options: Option<&'a Bytes>) {
    match options {
        Some(options) if !options.is_empty() => builder.read_buffer(options),
        _ => builder.read_null(ARG_BUFFER),
    };
}

/// `node:index`, as tensors are named in generic calls.
fn name_of(node: &Node) -> Vec<u8> {
    format!("{}:{}", node.name, node.id).into_bytes()
}

fn add_tensor<'a>(
    builder: &mut FrameBuilder<'_, 'a>,
    name: Option<&[u8]>,
    tensor: &'a Tensor,
) -> Result<()> {
    let dtype = u32::try_from(tensor.r#type).ok();
    add(builder, name, &tensor.data, &tensor.dims, dtype)
}

fn add<'a>(
    builder: &mut FrameBuilder<'_, 'a>,
    name: Option<&[u8]>,
    data: &'a Bytes,
    dims: &[i64],
    dtype: Option<u32>,
) -> Result<()> {
    let dtype = dtype.and_then(|dtype| u16::try_from(dtype).ok());
    let dtype = dtype.ok_or_else(|| Fault::invalid("a tensor has a type that does not exist"))?;
    if dims.iter().any(|&d| d < 0) {
        return Err(Fault::invalid("an input tensor has a negative dimension"));
    }
    builder.read_tensor(&TensorMeta { dtype, dims, name }, data);
    Ok(())
}

fn add_output(builder: &mut FrameBuilder<'_, '_>, name: Option<&[u8]>) {
    let meta = TensorMeta {
        dtype: 0,
        dims: &[],
        name,
    };
    builder.write_tensor(&meta, None);
}

fn add_outputs(builder: &mut FrameBuilder<'_, '_>, count: u64) -> Result<()> {
    if count > MAX_OUTPUTS {
        return Err(Fault::invalid(format!(
            "{count} outputs are wanted; a run has at most {MAX_OUTPUTS}"
        )));
    }
    for _ in 0..count {
        add_output(builder, None);
    }
    Ok(())
}

fn first_byte(outputs: &[Output]) -> u32 {
    let byte = outputs.first().and_then(|output| output.bytes.first());
    byte.copied().unwrap_or_default().into()
}

fn tf_status_of(outputs: &[Output]) -> FrameworkStatus {
    let message = outputs.get(1).map_or(&[][..], |output| &output.bytes);
    let message = message.split(|&b| b == 0).next().unwrap_or_default();
    FrameworkStatus {
        code: first_byte(outputs),
        message: String::from_utf8_lossy(message).into_owned(),
    }
}

fn tensor(output: Output) -> Tensor {
    Tensor {
        data: output.bytes,
        dims: output.dims,
        // From 16 bits.
        r#type: output.dtype.cast_signed(),
    }
}

fn tflite_tensor(output: Output) -> Result<TfliteTensor> {
    let odd = || {
        let text = "an output has a shape or a type that this protocol cannot carry";
        Fault::from(Failure::new(vaccel_abi::error::ENOTSUP, text))
    };
    let dims = output.dims.iter().map(|&d| i32::try_from(d));
    Ok(TfliteTensor {
        dims: dims.collect::<Result<_, _>>().map_err(|_| odd())?,
        r#type: tflite_to_wire(output.dtype).ok_or_else(odd)?,
        data: output.bytes,
    })
}
