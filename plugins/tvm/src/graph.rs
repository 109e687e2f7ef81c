//! A compiled model.

use std::ptr::null_mut;
use std::slice;
use std::sync::{Mutex, PoisonError};

use serde_json::{Value as Json, json};
use vaccel_inference::{Graph, Input, Output, Port, Settings, Source};
use vaccel_plugin::{Error, Result, TensorOut, bail, err};

use crate::api::{ARRAY, Any, Api, DlTensor, Managed, Value};
use crate::place::Place;
use crate::{dtype, elf};

/// `kDLCPU`, and the number of the processor among its like.
const CPU: [i64; 2] = [1, 0];
/// TVM's allocator that keeps what is freed for the next run.
const POOLED: i64 = 2;
/// TVM reads and writes tensors at multiples of it.
const ALIGNMENT: usize = 64;
/// More inputs or outputs than this are a mistake.
const MOST: i64 = 4096;

/// A loaded model. TVM's virtual machine runs one call at a time.
pub struct TvmGraph {
    api: &'static Api,
    main: Mutex<Value>,
    inputs: Vec<Port>,
    outputs: Vec<Port>,
    name: String,
    /// Behind `main`: what that calls is in them.
    _machine: Value,
    _module: Value,
}

impl TvmGraph {
    /// Loads a model.
    ///
    /// # Errors
    /// `EINVAL` for what is no library that TVM has compiled, `ENOTSUP` for one of another
    /// processor, and for options that compiled models do not have.
    pub(crate) fn load(
        api: &'static Api,
        source: &Source<'_>,
        settings: &Settings,
    ) -> Result<Self> {
        let name = source.model.name.clone();
        if settings.batch > 0 {
            bail!(
                ENOTSUP,
                "option `batch`: compiled models do not say what their inputs look like"
            );
        }
        let failed = |e: Error| e.context(format_args!("{name} cannot be loaded"));
        let bytes = source.model.bytes()?;
        elf::check(&bytes).map_err(failed)?;
        let place = match source.model.path() {
            Some(path) if path.is_file() => Place::of_file(path)?,
            _ => Place::of_bytes(&bytes)?,
        };
        let path = place.path();
        let path = path
            .to_str()
            .ok_or_else(|| err!(EINVAL, "{} is not UTF-8", path.display()))?;
        let module = api.module(path).map_err(failed)?;
        let load = api.function(&module, "vm_load_executable");
        let load =
            load.map_err(|e| failed(e.context("it is no model that `relax.build` has compiled")))?;
        let machine = load.call(&[]).map_err(failed)?;
        let begin = api
            .function(&machine, "vm_initialization")
            .map_err(failed)?;
        // The device of the model, and that of the program itself.
        let device = [CPU[0], CPU[1], POOLED].map(Any::number);
        begin.call(&[device, device].concat()).map_err(failed)?;
        let main = api.function(&machine, "main").map_err(failed)?;
        let inputs = inputs(api, &machine).map_err(failed)?;
        let outputs = match settings.get("outputs") {
            None => 1,
            Some(text) => match text.parse::<i64>() {
                Ok(count @ 1..=MOST) => count,
                _ => bail!(
                    EINVAL,
                    "option `outputs`: `{text}` is no number from 1 to {MOST}"
                ),
            },
        };
        Ok(Self {
            api,
            main: Mutex::new(main),
            inputs,
            outputs: (0..outputs).map(|i| port(format!("output{i}"))).collect(),
            name,
            _machine: machine,
            _module: module,
        })
    }
}

/// What the function `main` takes: names alone.
fn inputs(api: &'static Api, machine: &Value) -> Result<Vec<Port>> {
    let arity = api.function(machine, "get_function_arity")?;
    let name = api.function(machine, "get_function_param_name")?;
    let main = c"main".to_bytes_with_nul();
    let count = arity.call(&[Any::text(main)])?.number()?;
    if !(0..=MOST).contains(&count) {
        bail!(EINVAL, "`main` takes {count} tensors");
    }
    let input = |at| {
        let text = name.call(&[Any::text(main), Any::number(at)])?.text()?;
        Ok(port(text))
    };
    (0..count).map(input).collect()
}

fn port(name: String) -> Port {
    Port {
        name,
        dtype: None,
        type_name: "a tensor".into(),
        dims: None,
        symbols: Vec::new(),
        optional: false,
    }
}

/// A tensor of the caller's for TVM, which it may read during the call.
struct Lent {
    /// The elements, where theirs lie at an odd address.
    _copy: Vec<[u64; 8]>,
    _dims: Vec<i64>,
    managed: Box<Managed>,
}

impl Lent {
    fn new(input: &Input<'_>) -> Result<Self> {
        let Some((code, bits)) = dtype::to_dl(input.dtype) else {
            bail!(ENOTSUP, "TVM has no tensors of {}", input.dtype);
        };
        let mut copy = Vec::new();
        let mut data = input.bytes.as_ptr();
        if !data.addr().is_multiple_of(ALIGNMENT) {
            // Vectors of u64 lie at multiples of 8: one piece more, to begin within it.
            copy = vec![[0_u64; 8]; input.bytes.len().div_ceil(ALIGNMENT) + 1];
            let begin = copy.as_mut_ptr().cast::<u8>();
            // SAFETY: within the first piece; all bytes fit behind it.
            unsafe {
                let begin = begin.add(begin.align_offset(ALIGNMENT));
                begin.copy_from_nonoverlapping(data, input.bytes.len());
                data = begin;
            }
        }
        let mut dims = input.shape.dims().to_vec();
        let managed = Box::new(Managed {
            tensor: DlTensor {
                // Only read: a compiled function does not change what it is given.
                data: data.cast_mut().cast(),
                device: [1, 0],
                rank: i32::try_from(dims.len()).map_err(|_| err!(EINVAL, "too many dimensions"))?,
                code,
                bits,
                lanes: 1,
                shape: dims.as_mut_ptr(),
                strides: null_mut(),
                offset: 0,
            },
            context: null_mut(),
            deleter: Some(nothing),
        });
        Ok(Self {
            _copy: copy,
            _dims: dims,
            managed,
        })
    }
}

/// The memory is the caller's.
unsafe extern "C" fn nothing(_: *mut Managed) {}

/// Copies a result to where it is wanted.
fn copy_out(value: &Value, port: &Port, to: &mut TensorOut<'_>) -> Result<()> {
    value.with_tensor(|tensor| {
        let Some(dtype) = dtype::from_dl(tensor.code, tensor.bits).filter(|_| tensor.lanes == 1)
        else {
            bail!(
                ENOTSUP,
                "output `{}` is of a type that no tensor has",
                port.name
            );
        };
        let rank = usize::try_from(tensor.rank).unwrap_or(0);
        let dims: &[i64] = match rank {
            0 => &[],
            // SAFETY: as many lengths as the rank says; a rank of 0 may come with null.
            rank => unsafe { slice::from_raw_parts(tensor.shape, rank) },
        };
        let odd = || err!(EIO, "output `{}` has the shape {dims:?}", port.name);
        let mut count = 1_usize;
        for (i, &dim) in dims.iter().enumerate().rev() {
            // SAFETY: as many as lengths, where there are any.
            let stride = (!tensor.strides.is_null()).then(|| unsafe { *tensor.strides.add(i) });
            if dim > 1 && stride.is_some_and(|stride| stride != count as i64) {
                bail!(ENOTSUP, "output `{}` does not lie in one piece", port.name);
            }
            let dim = usize::try_from(dim).map_err(|_| odd())?;
            count = count.checked_mul(dim).ok_or_else(odd)?;
        }
        let size = count
            .checked_mul(usize::from(tensor.bits / 8))
            .ok_or_else(odd)?;
        let bytes: &[u8] = match size {
            0 => &[],
            // SAFETY: a tensor in one piece of that many elements, on the processor.
            size => unsafe {
                let begin = tensor.data.cast::<u8>().add(tensor.offset as usize);
                slice::from_raw_parts(begin, size)
            },
        };
        to.write(dtype, dims, bytes)
    })
}

impl Graph for TvmGraph {
    fn inputs(&self) -> &[Port] {
        &self.inputs
    }

    fn outputs(&self) -> &[Port] {
        &self.outputs
    }

    fn run(&self, inputs: &[Input<'_>], outputs: &mut [Output<'_, '_>]) -> Result<()> {
        // In the order of the arguments; all of them are there.
        let mut ordered: Vec<&Input<'_>> = inputs.iter().collect();
        ordered.sort_by_key(|input| input.port);
        let mut lent = ordered
            .into_iter()
            .map(Lent::new)
            .collect::<Result<Vec<_>>>()?;
        let tensors = lent
            .iter_mut()
            // SAFETY: `lent` lives longer than the tensors, which nothing keeps beyond the run.
            .map(|lent| unsafe { self.api.tensor(&raw mut *lent.managed) })
            .collect::<Result<Vec<_>>>()?;
        let arguments: Vec<Any> = tensors.iter().map(Value::any).collect();
        let result = {
            let main = self.main.lock().unwrap_or_else(PoisonError::into_inner);
            main.call(&arguments).map_err(|e| e.context(&self.name))?
        };
        let results = match result.kind() {
            ARRAY => self.api.items(&result)?,
            _ => vec![result],
        };
        if results.len() != self.outputs.len() {
            bail!(
                EINVAL,
                "{} gives {} tensors; say so with the option `outputs={}`",
                self.name,
                results.len(),
                results.len()
            );
        }
        for output in outputs {
            let port = &self.outputs[output.port];
            copy_out(&results[output.port], port, output.to)?;
        }
        Ok(())
    }

    fn format(&self) -> &'static str {
        "tvm"
    }

    fn facts(&self) -> Json {
        json!({
            "runtime": format!("TVM {}", self.api.version()),
            "device": "cpu",
        })
    }
}
