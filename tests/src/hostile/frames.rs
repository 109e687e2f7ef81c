//! Requests as clients make them, to be sent as they are or changed.

use super::scan::marker;
use super::{Random, library};
use vaccel_abi::arg::{ARG_BUFFER, ARG_FLOAT32_ARRAY, ARG_INT64, ARG_UINT8};
use vaccel_abi::op::{OP_BLAS_SGEMM, OP_EXEC, OP_IMAGE_CLASSIFY, OP_MINMAX, OP_MODEL_RUN, OP_NOOP};
use vaccel_wire::{Frame, FrameBuffer, Kind, Place, TensorMeta, WireError, control};

/// How many kinds of requests [`request`] makes.
pub const TEMPLATES: usize = 20;

/// Functions of the test library that end, and end no process.
pub const FUNCTIONS: [&str; 3] = ["transform", "nothing", "overclaim"];

/// Numbers that a request names.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ids {
    /// Who sends it.
    pub tenant: usize,
    /// Session.
    pub session: i64,
    /// Resource, or kept tensor.
    pub resource: i64,
    /// Shared memory may be named.
    pub shared: bool,
}

/// The bytes of one of [`TEMPLATES`] requests, with data of the tenant.
#[must_use]
pub fn request(which: usize, number: u64, ids: Ids, random: &mut Random) -> Vec<u8> {
    let data: Vec<u8> = marker(ids.tenant).repeat(1 + random.below(16));
    let mut buffer = FrameBuffer::new();
    let frame = build(which % TEMPLATES, &mut buffer, &data, ids, random);
    match frame {
        Ok(mut frame) => {
            let deadline = [0, 0, 1, 2000][random.below(4)];
            frame.address(number, ids.session, deadline);
            frame.slices().flatten().copied().collect()
        }
        // None of them is wrong; an empty request would be noticed as one.
        Err(_) => Vec::new(),
    }
}

fn build<'b, 'd>(
    which: usize,
    buffer: &'b mut FrameBuffer,
    data: &'d [u8],
    ids: Ids,
    random: &mut Random,
) -> Result<Frame<'b, 'd>, WireError> {
    let place = Place {
        region: (random.below(8) == 0).into(),
        offset: [12288, 12288 + 64, 16384, 1 << 20, (1 << 48) - 64, 4096, 0][random.below(7)],
    };
    let tensor = TensorMeta {
        dtype: 1,
        dims: &[1, 4],
        name: Some(b"input"),
    };
    match which {
        0 => buffer.request(OP_NOOP as u16).finish(),
        1 => {
            let mut b = buffer.request(control::SESSION_OPEN);
            b.read_scalar(vaccel_abi::plugin::PLUGIN_GENERIC)
                .write_capacity(ARG_INT64, 0, 8);
            b.finish()
        }
        2 => {
            let mut b = buffer.request(control::SESSION_UPDATE);
            b.read_scalar(0_u32);
            b.finish()
        }
        3 if random.below(4) == 0 => buffer.request(control::SESSION_CLOSE).finish(),
        3 | 4 => {
            let mut b = buffer.request(control::RESOURCE_BEGIN);
            b.read_scalar(vaccel_abi::resource::RESOURCE_DATA)
                .read_scalar(vaccel_abi::resource::PATH_MAX);
            let head = control::BlobHead {
                type_: vaccel_abi::blob::BLOB_BUFFER,
                name: c"data",
                size: data.len() as u64,
                hash: &[],
            };
            head.encode(&mut b);
            b.write_capacity(ARG_INT64, 0, 8)
                .write_capacity(ARG_UINT8, 0, 1);
            b.finish()
        }
        5 => {
            let mut b = buffer.request(control::RESOURCE_DATA);
            control::ResourceData {
                resource: ids.resource,
                blob: 0,
                offset: 0,
                bytes: data,
            }
            .encode(&mut b);
            b.finish()
        }
        6 => one(buffer, control::RESOURCE_COMMIT, ids.resource),
        7 => one(buffer, control::RESOURCE_ATTACH, ids.resource),
        8 => one(buffer, control::RESOURCE_DETACH, ids.resource),
        9 => {
            let mut b = buffer.request(control::RESOURCE_SYNC);
            b.read_scalar(ids.resource).write_allocate(ARG_BUFFER);
            b.finish()
        }
        10 => {
            let mut b = buffer.request(control::DESCRIBE);
            b.write_allocate(ARG_BUFFER);
            b.finish()
        }
        11 => {
            let mut b = buffer.request(control::TENSOR_KEEP);
            b.read_tensor(&tensor, &data[..16])
                .write_tensor_keep(&tensor);
            b.finish()
        }
        12 => {
            let mut b = buffer.request(control::TENSOR_FETCH);
            b.read_scalar(ids.resource).write_tensor(&tensor, None);
            b.finish()
        }
        13 => exec(buffer, data, random),
        14 => {
            // An output that nothing is written to: what is in it must be zeros.
            let mut b = buffer.request(OP_EXEC as u16);
            b.read_text(path()).read_text("nothing");
            b.write_capacity(ARG_BUFFER, 0, 1 << (6 + random.below(12)));
            b.finish()
        }
        15 if ids.shared => {
            let mut b = buffer.request(OP_EXEC as u16);
            b.read_text(path()).read_text("transform");
            b.read_shared(ARG_BUFFER, 0, 1 << random.below(16), place);
            b.write_capacity_shared(ARG_BUFFER, 0, 1 << random.below(16), place);
            b.finish()
        }
        16 if ids.shared => {
            let mut b = buffer.request(control::REGION_ADD);
            b.read_scalar(1_u64 << random.below(40)).write_capacity(
                vaccel_abi::arg::ARG_UINT32,
                0,
                4,
            );
            b.finish()
        }
        15 | 16 => {
            let mut b = buffer.request(OP_MINMAX as u16);
            b.read_bytes(vaccel_abi::arg::ARG_FLOAT64_ARRAY, 0, &data[..16])
                .read_scalar(2_i32)
                .read_scalar(0_i32)
                .read_scalar(9_i32);
            for _ in 0..3 {
                b.write_capacity(vaccel_abi::arg::ARG_FLOAT64_ARRAY, 0, 16);
            }
            b.finish()
        }
        17 => {
            let mut b = buffer.request(OP_BLAS_SGEMM as u16);
            b.read_scalar(2_i64).read_scalar(2_i64).read_scalar(2_i64);
            b.read_scalar(1_f32);
            b.read_bytes(ARG_FLOAT32_ARRAY, 0, &data[..16]);
            b.read_scalar(2_i64);
            b.read_bytes(ARG_FLOAT32_ARRAY, 0, &data[..16]);
            b.read_scalar(2_i64).read_scalar(0_f32).read_scalar(2_i64);
            b.write_capacity(ARG_FLOAT32_ARRAY, 0, 16);
            b.finish()
        }
        18 => {
            let mut b = buffer.request(OP_MODEL_RUN as u16);
            b.read_scalar(ids.resource)
                .read_tensor(&tensor, &data[..16]);
            b.write_tensor(&tensor, None);
            b.finish()
        }
        _ => match random.below(4) {
            0 => Ok(buffer.bare(Kind::Cancel, random.number() % 8)),
            1 => Ok(buffer.bare(Kind::Ping, random.number())),
            2 => Ok(buffer.bare(Kind::Pong, random.number())),
            _ => {
                let mut b = buffer.request(OP_IMAGE_CLASSIFY as u16);
                b.read_bytes(vaccel_abi::arg::ARG_UCHAR_ARRAY, 0, data);
                b.write_capacity(vaccel_abi::arg::ARG_CHAR_ARRAY, 0, 100);
                b.finish()
            }
        },
    }
}

fn path() -> &'static str {
    library().ok().and_then(|path| path.to_str()).unwrap_or("/")
}

fn one<'b, 'd>(
    buffer: &'b mut FrameBuffer,
    operation: u16,
    resource: i64,
) -> Result<Frame<'b, 'd>, WireError> {
    let mut b = buffer.request(operation);
    b.read_scalar(resource);
    b.finish()
}

fn exec<'b, 'd>(
    buffer: &'b mut FrameBuffer,
    data: &'d [u8],
    random: &mut Random,
) -> Result<Frame<'b, 'd>, WireError> {
    let mut b = buffer.request(OP_EXEC as u16);
    b.read_text(path())
        .read_text(FUNCTIONS[random.below(FUNCTIONS.len())])
        .read_buffer(data);
    match random.below(3) {
        0 => b.write_allocate(ARG_BUFFER),
        _ => b.write_capacity(ARG_BUFFER, 0, data.len() + random.below(1 << 14)),
    };
    b.finish()
}
