//! The calls of TensorFlow, TFLite and Torch, by their C functions.

use crate::case::{Case, expect, noise, summary};
use libloading::os::unix::Library;
use serde_json::{Value, json};
use std::ffi::c_int;
use std::mem::zeroed;
use std::ptr::{null, null_mut};
use std::sync::OnceLock;
use vaccel::{Resource, ResourceType, Result, Session};
use vaccel_abi::op::{
    ModelFn, TfModelFn, TfModelRunFn, TfliteModelRunFn, TorchModelRunFn, TorchSgemmFn,
};
use vaccel_abi::tensor::{
    vaccel_tf_node, vaccel_tf_status, vaccel_tf_tensor, vaccel_tflite_tensor, vaccel_torch_tensor,
};

pub(crate) fn cases() -> Vec<Case> {
    // Bytes of an element by number of its type; 0: not one that has a fixed size.
    const TF: [usize; 24] = [
        0, 4, 8, 4, 1, 2, 1, 0, 8, 8, 1, 1, 1, 4, 2, 2, 2, 2, 16, 2, 0, 0, 4, 8,
    ];
    const TFLITE: [usize; 18] = [0, 4, 4, 1, 8, 0, 1, 2, 8, 1, 2, 8, 16, 8, 0, 0, 4, 2];
    const TORCH: [usize; 8] = [0, 1, 1, 2, 4, 8, 2, 4];
    let mut cases = Vec::new();
    // Only types that a neutral tensor has, too: a model sees those.
    for (number, &size) in TF
        .iter()
        .enumerate()
        .filter(|(n, s)| **s > 0 && neutral_tf(*n))
    {
        cases.push(Case::new(format!("tf/type {number}"), move |s| {
            tf(s, number as u32, size)
        }));
    }
    for (number, &size) in TFLITE
        .iter()
        .enumerate()
        .filter(|(n, s)| **s > 0 && *n != 8 && *n != 12)
    {
        cases.push(Case::new(format!("tflite/type {number}"), move |s| {
            tflite(s, number as u32, size)
        }));
    }
    for (number, &size) in TORCH.iter().enumerate().filter(|(_, s)| **s > 0) {
        cases.push(Case::new(format!("torch/type {number}"), move |s| {
            torch(s, number as u32, size)
        }));
    }
    cases.push(Case::new("tf/complex numbers are refused", |s| tf(s, 8, 8)));
    cases.push(Case::new("torch/sgemm", torch_sgemm));
    cases
}

fn neutral_tf(number: usize) -> bool {
    // Complex numbers are none; quantised ones travel as integers where at all.
    ![8, 11, 12, 13, 15, 16, 18].contains(&number)
}

/// A function of the library that the Rust API has opened.
fn function<T: Copy>(name: &str) -> T {
    static LIBRARY: OnceLock<Library> = OnceLock::new();
    let library = LIBRARY.get_or_init(|| {
        // SAFETY: it is loaded already; nothing runs.
        let opened =
            unsafe { Library::open(Some("libvaccel.so.0"), libc::RTLD_LAZY | libc::RTLD_NOLOAD) };
        opened.unwrap_or_else(|error| panic!("{error}"))
    });
    // SAFETY: the callers name the type that the function has by the ABI.
    let symbol = unsafe { library.get::<T>(name.as_bytes()) };
    *symbol.unwrap_or_else(|error| panic!("{error}"))
}

/// The error of a code, with the text of the library.
fn check(what: &str, code: c_int) -> Result<()> {
    if code == 0 {
        return Ok(());
    }
    Err(vaccel::Error::new(code, what))
}

fn model(session: &Session) -> Result<Resource> {
    let made = Resource::from_bytes(b"file".to_vec(), ResourceType::Model, "model")?;
    made.register(session)?;
    Ok(made)
}

/// Freed as the plugin allocated it.
fn free<T>(tensor: *mut T, name: &str) {
    let delete: unsafe extern "C" fn(*mut T) -> c_int = function(name);
    // SAFETY: an output of an operation, freed once.
    unsafe { delete(tensor) };
}

fn bytes_of<'a>(data: *const std::ffi::c_void, size: usize) -> &'a [u8] {
    if data.is_null() {
        return &[];
    }
    // SAFETY: an output of an operation has as many bytes as it says.
    unsafe { std::slice::from_raw_parts(data.cast(), size) }
}

fn tf(session: &Session, data_type: u32, element: usize) -> Result<Value> {
    let (load, run): (TfModelFn, TfModelRunFn) = (
        function("vaccel_tf_model_load"),
        function("vaccel_tf_model_run"),
    );
    let unload: TfModelFn = function("vaccel_tf_model_unload");
    let model = model(session)?;
    let (s, r) = (session.as_ptr(), model.as_ptr());
    // SAFETY: zeros are an empty status.
    let mut status: vaccel_tf_status = unsafe { zeroed() };
    // SAFETY: session, resource and status live.
    check("tf load", unsafe { load(s, r, &raw mut status) })?;
    let mut dims = [2i64, 3];
    let mut data = bools(data_type == 10, noise(6 * element, 1));
    let mut input = vaccel_tf_tensor {
        data: data.as_mut_ptr().cast(),
        size: data.len(),
        owned: false,
        nr_dims: 2,
        dims: dims.as_mut_ptr(),
        data_type,
    };
    let inputs = [&raw mut input];
    let node = vaccel_tf_node {
        name: c"t0".as_ptr().cast_mut(),
        id: 0,
    };
    let mut outputs = [null_mut::<vaccel_tf_tensor>()];
    // SAFETY: all live, and the counts are those of the arrays.
    let code = unsafe {
        run(
            s,
            r,
            null(),
            &raw const node,
            inputs.as_ptr(),
            1,
            &raw const node,
            outputs.as_mut_ptr(),
            1,
            &raw mut status,
        )
    };
    let result = check("tf run", code).and_then(|()| {
        // SAFETY: the run succeeded and made it.
        let out = unsafe { &*outputs[0] };
        expect(&(out.nr_dims, out.data_type), &(2, data_type))?;
        // SAFETY: as many dimensions as it says.
        expect(&unsafe { [*out.dims, *out.dims.add(1)] }, &dims)?;
        expect(&bytes_of(out.data, out.size), &data.as_slice())?;
        Ok(json!([status.code, out.size]))
    });
    if code == 0 {
        free(outputs[0], "vaccel_tf_tensor_delete");
    }
    // SAFETY: as for load.
    let unloaded = check("tf unload", unsafe { unload(s, r, &raw mut status) });
    result.and_then(|value| unloaded.map(|()| value))
}

/// Truth values are 0 and 1.
fn bools(truth: bool, mut bytes: Vec<u8>) -> Vec<u8> {
    if truth {
        bytes.iter_mut().for_each(|b| *b &= 1);
    }
    bytes
}

fn tflite(session: &Session, data_type: u32, element: usize) -> Result<Value> {
    let (load, unload): (ModelFn, ModelFn) = (
        function("vaccel_tflite_model_load"),
        function("vaccel_tflite_model_unload"),
    );
    let run: TfliteModelRunFn = function("vaccel_tflite_model_run");
    let model = model(session)?;
    let (s, r) = (session.as_ptr(), model.as_ptr());
    // SAFETY: session and resource live.
    check("tflite load", unsafe { load(s, r) })?;
    let mut dims = [3i32, 1, 2];
    let mut data = bools(data_type == 6, noise(6 * element, 2));
    let mut input = vaccel_tflite_tensor {
        data: data.as_mut_ptr().cast(),
        size: data.len(),
        owned: false,
        nr_dims: 3,
        dims: dims.as_mut_ptr(),
        data_type,
    };
    let inputs = [&raw mut input];
    let mut outputs = [null_mut::<vaccel_tflite_tensor>()];
    let mut status = 255u8;
    // SAFETY: all live, and the counts are those of the arrays.
    let code = unsafe {
        run(
            s,
            r,
            inputs.as_ptr(),
            1,
            outputs.as_mut_ptr(),
            1,
            &raw mut status,
        )
    };
    check("tflite run", code)?;
    // SAFETY: the run succeeded and made it.
    let out = unsafe { &*outputs[0] };
    let came = (out.nr_dims, out.data_type, bytes_of(out.data, out.size));
    let result = expect(&came, &(3, data_type, data.as_slice()));
    free(outputs[0], "vaccel_tflite_tensor_delete");
    // SAFETY: session and resource live.
    check("tflite unload", unsafe { unload(s, r) })?;
    result?;
    Ok(json!(status))
}

fn torch_tensor(data: &mut [u8], dims: &mut [i64], data_type: u32) -> vaccel_torch_tensor {
    vaccel_torch_tensor {
        data: data.as_mut_ptr().cast(),
        size: data.len(),
        owned: false,
        nr_dims: dims.len() as i64,
        dims: dims.as_mut_ptr(),
        data_type,
    }
}

fn torch(session: &Session, data_type: u32, element: usize) -> Result<Value> {
    let (load, run): (ModelFn, TorchModelRunFn) = (
        function("vaccel_torch_model_load"),
        function("vaccel_torch_model_run"),
    );
    let model = model(session)?;
    let (s, r) = (session.as_ptr(), model.as_ptr());
    // SAFETY: session and resource live.
    check("torch load", unsafe { load(s, r) })?;
    let mut dims = [6i64];
    let mut data = noise(6 * element, 3);
    let mut input = torch_tensor(&mut data, &mut dims, data_type);
    let inputs = [&raw mut input];
    let mut outputs = [null_mut::<vaccel_torch_tensor>()];
    // SAFETY: all live, and the counts are those of the arrays.
    let code = unsafe { run(s, r, null(), inputs.as_ptr(), 1, outputs.as_mut_ptr(), 1) };
    check("torch run", code)?;
    // SAFETY: the run succeeded and made it.
    let out = unsafe { &*outputs[0] };
    let came = (out.nr_dims, out.data_type, bytes_of(out.data, out.size));
    let result = expect(&came, &(1, data_type, data.as_slice()));
    free(outputs[0], "vaccel_torch_tensor_delete");
    result?;
    Ok(json!(data.len()))
}

fn torch_sgemm(session: &Session) -> Result<Value> {
    let sgemm: TorchSgemmFn = function("vaccel_torch_sgemm");
    let numbers = |len: usize, seed| -> Vec<u8> {
        let values = noise(len, seed);
        values
            .iter()
            .flat_map(|&b| f32::from(b % 8).to_le_bytes())
            .collect()
    };
    let (mut a, mut b, mut c) = (numbers(6, 1), numbers(12, 2), numbers(8, 3));
    let (mut da, mut db, mut dc) = ([2, 3], [3, 4], [2, 4]);
    let (mut a, mut b, mut c) = (
        torch_tensor(&mut a, &mut da, 7),
        torch_tensor(&mut b, &mut db, 7),
        torch_tensor(&mut c, &mut dc, 7),
    );
    let (mut a, mut b, mut c) = (&raw mut a, &raw mut b, &raw mut c);
    let mut out = null_mut();
    // SAFETY: three tensors of the sizes given.
    let code = unsafe {
        sgemm(
            session.as_ptr(),
            &raw mut a,
            &raw mut b,
            &raw mut c,
            2,
            4,
            3,
            &raw mut out,
        )
    };
    check("torch sgemm", code)?;
    // SAFETY: the call succeeded and made it.
    let value = unsafe { summary(bytes_of((*out).data, (*out).size)) };
    free(out, "vaccel_torch_tensor_delete");
    Ok(value)
}
