//! What the operations of the tests' agent compute.

use super::agent::{Failure, Out, World, fail, wire};
use vaccel_plugin::abi::arg::{ARG_CHAR_ARRAY, ARG_UCHAR_ARRAY};
use vaccel_plugin::abi::op as ops;
use vaccel_plugin::code;
use vaccel_wire::{ArgReader, Args, Header, Scalar};

fn numbers<T: Scalar>(bytes: &[u8]) -> Vec<T> {
    bytes
        .chunks(T::SIZE)
        .map(|c| T::from_bytes(c).unwrap())
        .collect()
}

fn bytes<T: Scalar>(numbers: impl IntoIterator<Item = T>) -> Vec<u8> {
    let pieces = numbers
        .into_iter()
        .map(|n| n.to_bytes()[..T::SIZE].to_vec());
    pieces.flatten().collect()
}

pub(crate) fn operate(
    header: &Header,
    args: &Args<'_>,
    payload: &[u8],
    world: &World,
    out: &mut Vec<Out>,
) -> Result<(), Failure> {
    let operation = u32::from(header.operation);
    let mut read = ArgReader::new(args.reads(), payload);
    let mut writes = args.writes();
    let arrays = |i: usize| args.reads().nth(i).unwrap().bytes(payload).to_vec();
    let f32s = |i: usize| numbers::<f32>(&arrays(i));
    match operation {
        ops::OP_NOOP => {}
        ops::OP_EXEC => exec(args, payload, world, out)?,
        ops::OP_EXEC_WITH_RESOURCE => {
            let id = read.scalar::<i64>().map_err(wire)?;
            let resources = world.resources.lock().unwrap();
            let Some(stored) = resources.get(&id) else {
                return fail(code::ENOENT, "there is no such library");
            };
            // The "function" is the library's first byte, added to each argument.
            let add = stored.blobs[0].2[0];
            for arg in args.reads().skip(2) {
                let sum = arg.bytes(payload).iter().map(|b| b.wrapping_add(add));
                out.push(Out::Bytes(arg.type_, sum.collect()));
            }
        }
        ops::OP_OPENCV => {
            for arg in args.reads() {
                out.push(Out::Bytes(arg.type_, arg.bytes(payload).to_vec()));
            }
        }
        ops::OP_IMAGE_CLASSIFY..=ops::OP_IMAGE_DEPTH => {
            let image = read.buffer().map_err(wire)?;
            let sum: u64 = image.iter().map(|&b| u64::from(b)).sum();
            for (i, text) in [format!("image-{operation}"), format!("sum {sum}")]
                .iter()
                .enumerate()
            {
                let Some(write) = writes.next() else { break };
                if write.is_null() {
                    out.push(Out::Null(ARG_UCHAR_ARRAY));
                    continue;
                }
                let mut text = text.clone().into_bytes();
                text.push(0);
                if text.len() > write.size {
                    return fail(code::ERANGE, format!("text {i} needs {} bytes", text.len()));
                }
                text.resize(write.size, 0);
                out.push(Out::Bytes(ARG_UCHAR_ARRAY, text));
            }
        }
        ops::OP_BLAS_SGEMM => {
            let [m, n, k] = [0; 3].map(|_: i32| read.scalar::<i64>().unwrap() as usize);
            let alpha = read.scalar::<f32>().map_err(wire)?;
            let a = f32s(4);
            let b = f32s(6);
            let scalar = |i: usize| numbers::<i64>(&arrays(i))[0] as usize;
            let (lda, ldb, ldc) = (scalar(5), scalar(7), scalar(9));
            let beta = f32s(8)[0];
            let write = writes.next().unwrap();
            let mut c = if write.has_data() {
                numbers::<f32>(write.bytes(payload))
            } else {
                assert_eq!(beta, 0.0);
                vec![0.0; write.size / 4]
            };
            for i in 0..m {
                for j in 0..n {
                    let sum: f32 = (0..k).map(|l| a[i * lda + l] * b[l * ldb + j]).sum();
                    c[i * ldc + j] = alpha * sum
                        + if beta == 0.0 {
                            0.0
                        } else {
                            beta * c[i * ldc + j]
                        };
                }
            }
            out.push(Out::Bytes(write.type_, bytes(c)));
        }
        ops::OP_FPGA_ARRAYCOPY => out.push(Out::Bytes(writes.next().unwrap().type_, arrays(0))),
        ops::OP_FPGA_MMULT => {
            let (a, b) = (f32s(0), f32s(1));
            let n = a.len().isqrt();
            let c = (0..n * n).map(|i| {
                (0..n)
                    .map(|l| a[i / n * n + l] * b[l * n + i % n])
                    .sum::<f32>()
            });
            out.push(Out::Bytes(18, bytes(c)));
        }
        ops::OP_FPGA_PARALLEL => {
            let (a, b) = (f32s(0), f32s(1));
            out.push(Out::Bytes(18, bytes(a.iter().zip(&b).map(|(x, y)| x + y))));
            out.push(Out::Bytes(18, bytes(a.iter().zip(&b).map(|(x, y)| x * y))));
        }
        ops::OP_FPGA_VECTORADD => {
            let (a, b) = (f32s(0), f32s(1));
            out.push(Out::Bytes(18, bytes(a.iter().zip(&b).map(|(x, y)| x + y))));
        }
        ops::OP_MINMAX => {
            let data = numbers::<f64>(&arrays(0));
            let [n, low, high] = [1, 2, 3].map(|i| numbers::<i32>(&arrays(i))[0]);
            assert_eq!(n as usize, data.len());
            out.push(Out::Bytes(
                20,
                bytes(data.iter().map(|x| x.clamp(low.into(), high.into()))),
            ));
            out.push(Out::scalar(
                data.iter().copied().fold(f64::INFINITY, f64::min),
            ));
            out.push(Out::scalar(
                data.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            ));
        }
        _ => return model(header, args, payload, world, out),
    }
    Ok(())
}

fn exec(args: &Args<'_>, payload: &[u8], world: &World, out: &mut Vec<Out>) -> Result<(), Failure> {
    let mut read = ArgReader::new(args.reads(), payload);
    let library = read.text().map_err(wire)?;
    let symbol = read.text().map_err(wire)?.to_str().unwrap();
    assert_eq!(library, c"/lib/math.so");
    match symbol {
        "gate" => world.wait_at_gate(),
        "fail" => return fail(code::ENOEXEC, "the function failed: no luck"),
        "echo" | "short" => {
            for (arg, write) in args.reads().skip(2).zip(args.writes()) {
                let mut bytes = arg.bytes(payload).to_vec();
                if symbol == "short" {
                    bytes.truncate(bytes.len() / 2);
                }
                out.push(Out::Bytes(write.type_, bytes));
            }
        }
        "count" => {
            let flags: Vec<u8> = args.reads().chain(args.writes()).map(|a| a.flags).collect();
            out.push(Out::Bytes(args.writes().next().unwrap().type_, flags));
        }
        other => return fail(code::ENOENT, format!("there is no function {other}")),
    }
    Ok(())
}

/// Models: run gives every input back, numbers doubled.
fn model(
    header: &Header,
    args: &Args<'_>,
    payload: &[u8],
    world: &World,
    out: &mut Vec<Out>,
) -> Result<(), Failure> {
    let operation = u32::from(header.operation);
    if operation == ops::OP_TORCH_SGEMM {
        return torch_sgemm(args, payload, out);
    }
    let id = ArgReader::new(args.reads(), payload)
        .scalar::<i64>()
        .map_err(wire)?;
    let resources = world.resources.lock().unwrap();
    let Some(stored) = resources
        .get(&id)
        .filter(|r| r.sessions.contains(&header.session))
    else {
        return fail(
            code::EPERM,
            format!("no resource {id} in session {}", header.session),
        );
    };
    let broken = stored.blobs[0].2.starts_with(b"broken");
    let tf = (ops::OP_TF_MODEL_LOAD..=ops::OP_TF_MODEL_RUN).contains(&operation);
    if tf && broken {
        out.push(Out::scalar(3_u8));
        out.push(Out::Bytes(ARG_CHAR_ARRAY, b"bad graph\0".to_vec()));
        for _ in args.writes().skip(2) {
            out.push(Out::Needs(0, vec![], 0));
        }
        return fail(code::EIO, "TensorFlow says no");
    }
    if broken {
        return fail(code::EINVAL, "the model is broken");
    }
    if tf {
        out.push(Out::scalar(0_u8));
        out.push(Out::Bytes(ARG_CHAR_ARRAY, b"fine\0".to_vec()));
    }
    match operation {
        ops::OP_TFLITE_MODEL_RUN => out.push(Out::scalar(7_u8)),
        ops::OP_MODEL_INFO => {
            let json = br#"{"format":"onnx","backend":"test","metadata":{"a":1},
                "inputs":[{"name":"x","dtype":"f32","dims":[-1,3]}],
                "outputs":[{"name":"y","dtype":"i64","dims":[]},{"name":null,"dtype":"odd","dims":[2]}]}"#;
            out.push(Out::Tensor(6, vec![json.len() as i64], json.to_vec()));
            return Ok(());
        }
        ops::OP_MODEL_LOAD => {
            let mut read = ArgReader::new(args.reads(), payload);
            read.any().map_err(wire)?;
            if read.left() > 0 && read.text().map_err(wire)? != c"device=cpu" {
                return fail(code::EINVAL, "unknown option");
            }
        }
        _ => {}
    }
    run_model(args, payload, out)
}

fn run_model(args: &Args<'_>, payload: &[u8], out: &mut Vec<Out>) -> Result<(), Failure> {
    let inputs: Vec<_> = args.reads().filter(|a| a.tensor.is_some()).collect();
    let outputs: Vec<_> = args.writes().filter(|a| a.tensor.is_some()).collect();
    let mut short = false;
    for (i, write) in outputs.iter().enumerate() {
        let name = write.tensor.unwrap().name;
        // A name chooses the input, else the position does.
        let chosen =
            name.and_then(|name| inputs.iter().find(|a| a.tensor.unwrap().name == Some(name)));
        let Some(input) = chosen.or_else(|| inputs.get(i)) else {
            return fail(code::EINVAL, format!("there is no output {i}"));
        };
        let tensor = input.tensor.unwrap();
        let doubled = bytes(
            numbers::<f32>(input.bytes(payload))
                .into_iter()
                .map(|x| 2.0 * x),
        );
        short |= !write.is_allocate() && doubled.len() > write.size;
        out.push(Out::Tensor(tensor.dtype, tensor.dims().collect(), doubled));
    }
    if short {
        for o in out.iter_mut() {
            if let Out::Tensor(dtype, dims, bytes) = o {
                *o = Out::Needs(*dtype, dims.clone(), bytes.len());
            }
        }
        return fail(code::ERANGE, "an output does not fit");
    }
    Ok(())
}

fn torch_sgemm(args: &Args<'_>, payload: &[u8], out: &mut Vec<Out>) -> Result<(), Failure> {
    let mut read = ArgReader::new(args.reads(), payload);
    let [m, n, k] = [0; 3].map(|_: i32| read.scalar::<i32>().unwrap() as usize);
    let [a, b, c] = [3, 4, 5].map(|i| numbers::<f32>(args.reads().nth(i).unwrap().bytes(payload)));
    let result = (0..m * n).map(|i| {
        c[i] + (0..k)
            .map(|l| a[i / n * k + l] * b[l * n + i % n])
            .sum::<f32>()
    });
    let dtype = args.reads().nth(3).unwrap().tensor.unwrap().dtype;
    out.push(Out::Tensor(dtype, vec![m as i64, n as i64], bytes(result)));
    Ok(())
}
