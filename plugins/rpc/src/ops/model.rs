//! Models through the neutral interface.

use super::note;
use crate::NAME;
use crate::call::{op, run_on};
use crate::held::Load;
use libc::{c_char, size_t};
use serde_json::Value;
use std::ffi::CStr;
use vaccel_plugin::abi::CResult;
use vaccel_plugin::abi::model::{
    DTYPE_UNDEFINED, TENSOR_MAX_RANK, dtype_from_name, vaccel_model_info, vaccel_tensor,
    vaccel_tensor_info,
};
use vaccel_plugin::abi::op::{OP_MODEL_INFO, OP_MODEL_LOAD, OP_MODEL_RUN, OP_MODEL_UNLOAD};
use vaccel_plugin::abi::resource::vaccel_resource;
use vaccel_plugin::abi::session::vaccel_session;
use vaccel_plugin::raw::guard;
use vaccel_plugin::{Result, bail, err};

pub(crate) unsafe extern "C" fn load(
    session: *mut vaccel_session,
    resource: *mut vaccel_resource,
    options: *const c_char,
) -> CResult {
    let code = op("model_load", session, OP_MODEL_LOAD, |call| {
        call.resource(resource)?;
        if options.is_null() {
            return Ok(());
        }
        // SAFETY: a C string, by the ABI.
        unsafe { call.text(options, "options") }
    });
    // SAFETY: as above.
    let options = (!options.is_null()).then(|| unsafe { CStr::from_ptr(options) }.to_owned());
    note(session, resource, code, || {
        Some(Load::new(OP_MODEL_LOAD, options))
    })
}

pub(crate) unsafe extern "C" fn unload(
    session: *mut vaccel_session,
    resource: *mut vaccel_resource,
) -> CResult {
    let code = op("model_unload", session, OP_MODEL_UNLOAD, |call| {
        call.resource(resource)
    });
    note(session, resource, code, || None)
}

pub(crate) unsafe extern "C" fn run(
    session: *mut vaccel_session,
    resource: *mut vaccel_resource,
    inputs: *const vaccel_tensor,
    nr_inputs: size_t,
    outputs: *mut vaccel_tensor,
    nr_outputs: size_t,
) -> CResult {
    op("model_run", session, OP_MODEL_RUN, |call| {
        call.resource(resource)?;
        for (list, n, name) in [
            (inputs, nr_inputs, "inputs"),
            (outputs.cast_const(), nr_outputs, "outputs"),
        ] {
            if n > usize::from(u16::MAX) || (n > 0 && list.is_null()) {
                bail!(EINVAL, "`{name}` is null, or {n} tensors are too many");
            }
        }
        // SAFETY: lists of that many tensors, by the ABI.
        unsafe {
            for i in 0..nr_inputs {
                call.neutral_tensor(&inputs.add(i).read())?;
            }
            for i in 0..nr_outputs {
                call.out_neutral_tensor(outputs.add(i))?;
            }
        }
        Ok(())
    })
}

pub(crate) unsafe extern "C" fn info(
    session: *mut vaccel_session,
    resource: *mut vaccel_resource,
    info: *mut vaccel_model_info,
) -> CResult {
    guard(NAME, "model_info", || {
        if info.is_null() {
            bail!(EINVAL, "the place for the facts is null");
        }
        let mut text = Vec::new();
        run_on(session, OP_MODEL_INFO, |call| {
            call.resource(resource)?;
            call.out_collected(&mut text);
            Ok(())
        })?;
        let json: Value = serde_json::from_slice(&text)
            .map_err(|e| err!(EREMOTEIO, "the agent describes a model in bad JSON: {e}"))?;
        let mut made = Made(vaccel_model_info::empty());
        made.fill(&json)?;
        let done = std::mem::replace(&mut made.0, vaccel_model_info::empty());
        // SAFETY: the caller's structure.
        unsafe { info.write(done) };
        Ok(())
    })
}

/// Facts in C memory; freed unless handed on.
struct Made(vaccel_model_info);

impl Made {
    fn fill(&mut self, json: &Value) -> Result<()> {
        self.0.format = text(&json["format"])?;
        self.0.backend = text(&json["backend"])?;
        self.0.metadata = match &json["metadata"] {
            Value::Null => std::ptr::null_mut(),
            Value::String(metadata) => strdup(metadata)?,
            other => strdup(&other.to_string())?,
        };
        (self.0.inputs, self.0.nr_inputs) = tensors(&json["inputs"])?;
        (self.0.outputs, self.0.nr_outputs) = tensors(&json["outputs"])?;
        Ok(())
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        // SAFETY: all from malloc or null, and nobody else knows them.
        unsafe {
            libc::free(self.0.format.cast());
            libc::free(self.0.backend.cast());
            libc::free(self.0.metadata.cast());
            for (list, n) in [
                (self.0.inputs, self.0.nr_inputs),
                (self.0.outputs, self.0.nr_outputs),
            ] {
                free_tensors(list, n);
            }
        }
    }
}

/// # Safety
/// A list that [`tensors`] has made, or null and 0.
unsafe fn free_tensors(list: *mut vaccel_tensor_info, n: usize) {
    // SAFETY: as promised by the caller.
    unsafe {
        for i in 0..n {
            libc::free((*list.add(i)).name.cast());
        }
        libc::free(list.cast());
    }
}

fn text(value: &Value) -> Result<*mut c_char> {
    value.as_str().map_or(Ok(std::ptr::null_mut()), strdup)
}

fn strdup(text: &str) -> Result<*mut c_char> {
    let text = std::ffi::CString::new(text).map_err(|_| {
        err!(
            EREMOTEIO,
            "the agent describes a model with a zero in a text"
        )
    })?;
    // SAFETY: a C string; strdup allocates with malloc.
    let copy = unsafe { libc::strdup(text.as_ptr()) };
    if copy.is_null() {
        bail!(ENOMEM, "no memory for the facts of a model");
    }
    Ok(copy)
}

fn tensors(list: &Value) -> Result<(*mut vaccel_tensor_info, usize)> {
    let Some(list) = list.as_array().filter(|list| !list.is_empty()) else {
        return Ok((std::ptr::null_mut(), 0));
    };
    // SAFETY: calloc takes any numbers; null names are as good as none.
    let at: *mut vaccel_tensor_info =
        unsafe { libc::calloc(list.len(), size_of::<vaccel_tensor_info>()) }.cast();
    if at.is_null() {
        bail!(ENOMEM, "no memory for the facts of a model");
    }
    for (i, value) in list.iter().enumerate() {
        match tensor(value) {
            // SAFETY: room for as many as the list has.
            Ok(info) => unsafe { at.add(i).write(info) },
            Err(e) => {
                // SAFETY: made above; the rest is zeros.
                unsafe { free_tensors(at, list.len()) };
                return Err(e);
            }
        }
    }
    Ok((at, list.len()))
}

fn tensor(value: &Value) -> Result<vaccel_tensor_info> {
    let mut dims = [0; TENSOR_MAX_RANK];
    let given = value["dims"].as_array().map_or(&[][..], Vec::as_slice);
    if given.len() > TENSOR_MAX_RANK {
        bail!(
            EREMOTEIO,
            "the agent describes a tensor of {} dimensions",
            given.len()
        );
    }
    for (dim, value) in dims.iter_mut().zip(given) {
        *dim = value.as_i64().unwrap_or(-1);
    }
    Ok(vaccel_tensor_info {
        name: text(&value["name"])?,
        dtype: value["dtype"]
            .as_str()
            .and_then(dtype_from_name)
            .unwrap_or(DTYPE_UNDEFINED),
        // At most 8.
        rank: given.len() as u32,
        dims,
    })
}
