//! The protocol of guests of the C implementation.

use vaccel_compat::message::{
    Blob, CreateSessionRequest, CreateSessionResponse, DestroySessionRequest, GenopRequest,
    GenopResponse, GetProfilerResponse, ImageClassificationRequest, ModelRequest,
    RegisterResourceRequest, SyncResourceResponse, TensorflowLiteModelRunRequest,
    TensorflowLiteModelRunResponse, TensorflowModelRunRequest, TensorflowModelRunResponse,
    TorchModelRunRequest, TorchModelRunResponse, UpdateSessionRequest,
};
use vaccel_compat::{
    FrameDecoder, Kind, Message, Method, Request, Response, check_new_stream, decode,
    decode_with_tensors, encode_frame,
};

/// Frames as they arrive, in pieces, and what they carry.
pub fn compatible(data: &[u8]) {
    let Some((step, bytes)) = data.split_first() else {
        return;
    };
    let mut decoder = FrameDecoder::new(1 << 16);
    let mut previous = 0;
    for mut piece in bytes.chunks(usize::from(*step).max(1)) {
        while !piece.is_empty() {
            let frame = match decoder.take(&mut piece) {
                Ok(Some(frame)) => frame,
                Ok(None) => break,
                Err(_) => return,
            };
            assert_eq!(frame.header.len as usize, frame.body.len());
            if check_new_stream(frame.header.stream, previous).is_ok() {
                previous = frame.header.stream;
            }
            if frame.header.kind == Kind::Response {
                if let Ok(response) = decode::<Response>(frame.body) {
                    message::<GenopResponse>(&response.payload, None);
                }
                continue;
            }
            let Ok(request) = decode::<Request>(frame.body) else {
                continue;
            };
            let again = encode_frame(Kind::Request, 1, 0, &request).expect("it has been read");
            assert!(again.len() <= (1 << 16) * 2);
            if let Some((_, method)) = Method::find(&request.service, &request.method) {
                body(method, &request.payload);
            }
        }
    }
}

/// Bodies of requests and responses; the first byte says of which method.
pub fn messages(data: &[u8]) {
    let Some((which, bytes)) = data.split_first() else {
        return;
    };
    let which = usize::from(*which);
    match Method::ALL.get(which) {
        Some(method) => body(*method, bytes),
        None => match which % 8 {
            0 => message::<Response>(bytes, None),
            1 => message::<TensorflowModelRunResponse>(bytes, Some(1)),
            2 => message::<TensorflowLiteModelRunResponse>(bytes, Some(1)),
            3 => message::<TorchModelRunResponse>(bytes, Some(1)),
            4 => message::<SyncResourceResponse>(bytes, None),
            5 => message::<GetProfilerResponse>(bytes, None),
            6 => message::<CreateSessionResponse>(bytes, None),
            _ => message::<Request>(bytes, None),
        },
    }
}

fn body(method: Method, bytes: &[u8]) {
    match method {
        Method::CreateSession => message::<CreateSessionRequest>(bytes, None),
        Method::UpdateSession => message::<UpdateSessionRequest>(bytes, None),
        Method::DestroySession => message::<DestroySessionRequest>(bytes, None),
        Method::RegisterResource => message::<RegisterResourceRequest>(bytes, None),
        Method::ImageClassification => message::<ImageClassificationRequest>(bytes, None),
        Method::TensorflowModelRun => message::<TensorflowModelRunRequest>(bytes, Some(6)),
        Method::TensorflowLiteModelRun => message::<TensorflowLiteModelRunRequest>(bytes, Some(3)),
        Method::TorchModelRun => message::<TorchModelRunRequest>(bytes, Some(4)),
        Method::Genop => message::<GenopRequest>(bytes, None),
        Method::SyncResource => message::<Blob>(bytes, None),
        _ => message::<ModelRequest>(bytes, None),
    }
}

/// Reads a message as the agent does; what can be read comes back the same.
fn message<M: Message + Default + PartialEq>(bytes: &[u8], tensors: Option<u32>) {
    let bytes = bytes.to_vec();
    let read: Result<M, _> = match tensors {
        Some(tag) => decode_with_tensors(bytes, tag),
        None => decode(bytes),
    };
    match read {
        Ok(message) => {
            let again = message.encode_to_vec();
            let same = M::decode(&again[..]).expect("what was written can be read");
            // NaN never equals itself, and maps have no order; the length tells enough then.
            assert!(same == message || same.encoded_len() == again.len());
        }
        Err(error) => {
            assert!(!error.to_string().is_empty());
        }
    }
}
