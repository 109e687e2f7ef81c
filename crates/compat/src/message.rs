//! What each method takes and gives.
//!
//! Methods that are not named here give [`Empty`].

use crate::FrameworkStatus;
use prost::Message;
use prost::bytes::Bytes;
use std::collections::HashMap;

/// Nothing.
#[derive(Clone, PartialEq, Message)]
pub struct Empty {}

/// Takes a session.
#[derive(Clone, PartialEq, Message)]
pub struct CreateSessionRequest {
    /// Which plugins are wanted.
    #[prost(uint32, tag = "1")]
    pub flags: u32,
}

/// The session that was made.
#[derive(Clone, PartialEq, Message)]
pub struct CreateSessionResponse {
    /// The session.
    #[prost(int64, tag = "1")]
    pub session_id: i64,
}

/// Changes a session.
#[derive(Clone, PartialEq, Message)]
pub struct UpdateSessionRequest {
    /// The session.
    #[prost(int64, tag = "1")]
    pub session_id: i64,
    /// Which plugins are wanted.
    #[prost(uint32, tag = "2")]
    pub flags: u32,
}

/// Ends a session.
#[derive(Clone, PartialEq, Message)]
pub struct DestroySessionRequest {
    /// The session.
    #[prost(int64, tag = "1")]
    pub session_id: i64,
}

/// What a resource is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum ResourceKind {
    /// A shared object.
    Lib = 0,
    /// Data.
    Data = 1,
    /// A model.
    Model = 2,
}

/// Where a blob lies on the side that sends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum BlobKind {
    /// In a file.
    File = 0,
    /// In memory.
    Buffer = 1,
    /// In a mapped file.
    Mapped = 2,
}

/// A file of a resource.
#[derive(Clone, PartialEq, Message)]
pub struct Blob {
    /// One of [`BlobKind`].
    #[prost(enumeration = "BlobKind", tag = "1")]
    pub kind: i32,
    /// Its name, which may be hostile.
    #[prost(string, tag = "2")]
    pub name: String,
    /// Its bytes.
    #[prost(bytes = "bytes", tag = "3")]
    pub data: Bytes,
    /// How many bytes it has.
    #[prost(uint32, tag = "4")]
    pub size: u32,
}

/// Makes a resource, or attaches one to a session.
#[derive(Clone, PartialEq, Message)]
pub struct RegisterResourceRequest {
    /// Paths or addresses.
    #[prost(string, repeated, tag = "1")]
    pub paths: Vec<String>,
    /// Files that are sent along.
    #[prost(message, repeated, tag = "2")]
    pub blobs: Vec<Blob>,
    /// One of [`ResourceKind`].
    #[prost(enumeration = "ResourceKind", tag = "3")]
    pub resource_type: i32,
    /// 0 to make one, else which one to attach.
    #[prost(int64, tag = "4")]
    pub resource_id: i64,
    /// The session.
    #[prost(int64, tag = "5")]
    pub session_id: i64,
}

/// The resource.
#[derive(Clone, PartialEq, Message)]
pub struct RegisterResourceResponse {
    /// Its number.
    #[prost(int64, tag = "1")]
    pub resource_id: i64,
}

/// Takes a resource from a session.
#[derive(Clone, PartialEq, Message)]
pub struct UnregisterResourceRequest {
    /// The resource.
    #[prost(int64, tag = "1")]
    pub resource_id: i64,
    /// The session.
    #[prost(int64, tag = "2")]
    pub session_id: i64,
}

/// Asks what a resource has now.
#[derive(Clone, PartialEq, Message)]
pub struct SyncResourceRequest {
    /// The resource.
    #[prost(int64, tag = "1")]
    pub resource_id: i64,
}

/// What a resource has now.
#[derive(Clone, PartialEq, Message)]
pub struct SyncResourceResponse {
    /// Its files.
    #[prost(message, repeated, tag = "1")]
    pub blobs: Vec<Blob>,
}

/// Takes a picture to classify.
#[derive(Clone, PartialEq, Message)]
pub struct ImageClassificationRequest {
    /// The session.
    #[prost(int64, tag = "1")]
    pub session_id: i64,
    /// The picture, encoded.
    #[prost(bytes = "bytes", tag = "2")]
    pub image: Bytes,
}

/// What the picture shows.
#[derive(Clone, PartialEq, Message)]
pub struct ImageClassificationResponse {
    /// The classes, as a text.
    #[prost(bytes = "bytes", tag = "1")]
    pub tags: Bytes,
}

/// Loads or unloads a model of any framework.
#[derive(Clone, PartialEq, Message)]
pub struct ModelRequest {
    /// The session.
    #[prost(int64, tag = "1")]
    pub session_id: i64,
    /// The resource of the model.
    #[prost(int64, tag = "2")]
    pub model_id: i64,
}

/// A TensorFlow model that was loaded.
#[derive(Clone, PartialEq, Message)]
pub struct TensorflowModelLoadResponse {
    /// Its graph, encoded.
    #[prost(bytes = "bytes", tag = "1")]
    pub graph_def: Bytes,
    /// How it ended.
    #[prost(message, optional, tag = "2")]
    pub status: Option<FrameworkStatus>,
}

/// A TensorFlow model that was unloaded.
#[derive(Clone, PartialEq, Message)]
pub struct TensorflowModelUnloadResponse {
    /// How it ended.
    #[prost(message, optional, tag = "1")]
    pub status: Option<FrameworkStatus>,
}

/// A node of a TensorFlow graph.
#[derive(Clone, PartialEq, Message)]
pub struct Node {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Which of its outputs.
    #[prost(int32, tag = "2")]
    pub id: i32,
}

/// A tensor of TensorFlow and Torch.
#[derive(Clone, PartialEq, Message)]
pub struct Tensor {
    /// The elements, row by row.
    #[prost(bytes = "bytes", tag = "1")]
    pub data: Bytes,
    /// The shape.
    #[prost(int64, repeated, tag = "2")]
    pub dims: Vec<i64>,
    /// Element type, as in C.
    #[prost(int32, tag = "3")]
    pub r#type: i32,
}

/// A tensor of TensorFlow Lite.
#[derive(Clone, PartialEq, Message)]
pub struct TfliteTensor {
    /// The elements, row by row.
    #[prost(bytes = "bytes", tag = "1")]
    pub data: Bytes,
    /// The shape.
    #[prost(int32, repeated, tag = "2")]
    pub dims: Vec<i32>,
    /// Element type: see [`tflite_from_wire`](crate::tflite_from_wire).
    #[prost(int32, tag = "3")]
    pub r#type: i32,
}

/// Runs a TensorFlow model.
#[derive(Clone, PartialEq, Message)]
pub struct TensorflowModelRunRequest {
    /// The session.
    #[prost(int64, tag = "1")]
    pub session_id: i64,
    /// The resource of the model.
    #[prost(int64, tag = "2")]
    pub model_id: i64,
    /// Options of the framework, encoded.
    #[prost(bytes = "bytes", optional, tag = "3")]
    pub run_options: Option<Bytes>,
    /// Where tensors go in.
    #[prost(message, repeated, tag = "4")]
    pub in_nodes: Vec<Node>,
    /// Where tensors come out.
    #[prost(message, repeated, tag = "5")]
    pub out_nodes: Vec<Node>,
    /// One for each node they go in at.
    #[prost(message, repeated, tag = "6")]
    pub in_tensors: Vec<Tensor>,
}

/// What a TensorFlow model made.
#[derive(Clone, PartialEq, Message)]
pub struct TensorflowModelRunResponse {
    /// One for each node they come out of.
    #[prost(message, repeated, tag = "1")]
    pub out_tensors: Vec<Tensor>,
    /// How it ended.
    #[prost(message, optional, tag = "2")]
    pub status: Option<FrameworkStatus>,
}

/// Runs a TensorFlow Lite model.
#[derive(Clone, PartialEq, Message)]
pub struct TensorflowLiteModelRunRequest {
    /// The session.
    #[prost(int64, tag = "1")]
    pub session_id: i64,
    /// The resource of the model.
    #[prost(int64, tag = "2")]
    pub model_id: i64,
    /// The inputs.
    #[prost(message, repeated, tag = "3")]
    pub in_tensors: Vec<TfliteTensor>,
    /// How many tensors are wanted back.
    #[prost(uint64, tag = "4")]
    pub nr_out_tensors: u64,
}

/// What a TensorFlow Lite model made.
#[derive(Clone, PartialEq, Message)]
pub struct TensorflowLiteModelRunResponse {
    /// The outputs.
    #[prost(message, repeated, tag = "1")]
    pub out_tensors: Vec<TfliteTensor>,
    /// How it ended.
    #[prost(message, optional, tag = "2")]
    pub status: Option<FrameworkStatus>,
}

/// Runs a Torch model.
#[derive(Clone, PartialEq, Message)]
pub struct TorchModelRunRequest {
    /// The session.
    #[prost(int64, tag = "1")]
    pub session_id: i64,
    /// The resource of the model.
    #[prost(int64, tag = "2")]
    pub model_id: i64,
    /// Options of the framework, encoded.
    #[prost(bytes = "bytes", optional, tag = "3")]
    pub run_options: Option<Bytes>,
    /// The inputs.
    #[prost(message, repeated, tag = "4")]
    pub in_tensors: Vec<Tensor>,
    /// How many tensors are wanted back.
    #[prost(uint64, tag = "5")]
    pub nr_out_tensors: u64,
}

/// What a Torch model made.
#[derive(Clone, PartialEq, Message)]
pub struct TorchModelRunResponse {
    /// The outputs.
    #[prost(message, repeated, tag = "1")]
    pub out_tensors: Vec<Tensor>,
}

/// An argument of a generic operation.
#[derive(Clone, PartialEq, Message)]
pub struct Arg {
    /// Its bytes, or those of a part of it.
    #[prost(bytes = "bytes", tag = "1")]
    pub buf: Bytes,
    /// How many bytes it has.
    #[prost(uint32, tag = "2")]
    pub size: u32,
    /// Its type, as in C.
    #[prost(int32, tag = "3")]
    pub arg_type: i32,
    /// Which type of the application it has.
    #[prost(uint32, tag = "4")]
    pub custom_type_id: u32,
    /// How many parts it was cut into.
    #[prost(uint32, tag = "5")]
    pub parts: u32,
    /// Which part this is.
    #[prost(uint32, tag = "6")]
    pub part_no: u32,
}

/// Runs any operation.
#[derive(Clone, PartialEq, Message)]
pub struct GenopRequest {
    /// The session.
    #[prost(int64, tag = "1")]
    pub session_id: i64,
    /// Inputs; the first is the operation.
    #[prost(message, repeated, tag = "2")]
    pub read_args: Vec<Arg>,
    /// Outputs; their content means nothing.
    #[prost(message, repeated, tag = "3")]
    pub write_args: Vec<Arg>,
}

/// What an operation made.
#[derive(Clone, PartialEq, Message)]
pub struct GenopResponse {
    /// The outputs.
    #[prost(message, repeated, tag = "1")]
    pub write_args: Vec<Arg>,
}

/// Asks for the times of a session.
#[derive(Clone, PartialEq, Message)]
pub struct GetProfilerRequest {
    /// The session.
    #[prost(int64, tag = "1")]
    pub session_id: i64,
}

/// One time that was taken.
#[derive(Clone, PartialEq, Message)]
pub struct Sample {
    /// When it began, in nanoseconds.
    #[prost(uint64, tag = "1")]
    pub start: u64,
    /// How long it took, in nanoseconds.
    #[prost(uint64, tag = "2")]
    pub time: u64,
}

/// The times of one region.
#[derive(Clone, PartialEq, Message)]
pub struct Region {
    /// In the order they were taken.
    #[prost(message, repeated, tag = "1")]
    pub samples: Vec<Sample>,
}

/// The times of one component.
#[derive(Clone, PartialEq, Message)]
pub struct Profiler {
    /// The component.
    #[prost(string, tag = "1")]
    pub component_name: String,
    /// By name.
    #[prost(map = "string, message", tag = "2")]
    pub regions: HashMap<String, Region>,
}

/// The times of a session.
#[derive(Clone, PartialEq, Message)]
pub struct GetProfilerResponse {
    /// The times.
    #[prost(message, optional, tag = "1")]
    pub profiler: Option<Profiler>,
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::decode;

    #[test]
    fn an_argument_has_the_bytes_of_the_protocol() {
        let arg = Arg {
            buf: vec![17].into(),
            size: 1,
            arg_type: 3,
            custom_type_id: 4,
            parts: 2,
            part_no: 1,
        };
        let bytes = b"\x0a\x01\x11\x10\x01\x18\x03\x20\x04\x28\x02\x30\x01";
        assert_eq!(arg.encode_to_vec(), bytes);
        assert_eq!(decode::<Arg>(&bytes[..]).unwrap(), arg);
    }

    #[test]
    fn a_status_of_a_framework_begins_at_field_three() {
        let bytes = b"\x18\x05\x22\x02no";
        let status: FrameworkStatus = decode(&bytes[..]).unwrap();
        assert_eq!((status.code, status.message.as_str()), (5, "no"));
        assert_eq!(status.encode_to_vec(), bytes);
    }

    #[test]
    fn a_shape_is_packed_and_is_read_either_way() {
        let tensor = Tensor {
            data: vec![9].into(),
            dims: vec![1, -1],
            r#type: 1,
        };
        let packed = b"\x0a\x01\x09\x12\x0b\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x18\x01";
        assert_eq!(tensor.encode_to_vec(), packed);
        let apart = b"\x10\x01\x10\x02";
        assert_eq!(decode::<Tensor>(&apart[..]).unwrap().dims, [1, 2]);
    }

    #[test]
    fn a_resource_has_the_bytes_of_the_protocol() {
        let request = RegisterResourceRequest {
            paths: vec!["p".into()],
            blobs: vec![Blob {
                kind: BlobKind::Mapped as i32,
                name: "n".into(),
                data: vec![1].into(),
                size: 1,
            }],
            resource_type: ResourceKind::Model as i32,
            resource_id: 0,
            session_id: 3,
        };
        let bytes = b"\x0a\x01p\x12\x0a\x08\x02\x12\x01n\x1a\x01\x01\x20\x01\x18\x02\x28\x03";
        assert_eq!(request.encode_to_vec(), bytes);
        assert_eq!(
            decode::<RegisterResourceRequest>(&bytes[..]).unwrap(),
            request
        );
    }

    #[test]
    fn times_come_by_the_name_of_their_region() {
        let bytes = b"\x0a\x10\x0a\x01c\x12\x0b\x0a\x01r\x12\x06\x0a\x04\x08\x07\x10\x09";
        let response: GetProfilerResponse = decode(&bytes[..]).unwrap();
        let profiler = response.profiler.clone().unwrap();
        assert_eq!(profiler.component_name, "c");
        assert_eq!(
            profiler.regions["r"].samples,
            [Sample { start: 7, time: 9 }]
        );
        assert_eq!(response.encode_to_vec(), bytes);
    }

    #[test]
    fn options_that_are_empty_differ_from_none() {
        let none: TorchModelRunRequest = decode(&b""[..]).unwrap();
        let empty: TorchModelRunRequest = decode(&b"\x1a\x00"[..]).unwrap();
        assert_eq!(none.run_options, None);
        assert_eq!(empty.run_options, Some(Bytes::new()));
    }
}
