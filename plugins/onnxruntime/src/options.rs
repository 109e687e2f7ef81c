//! How a session of the runtime is to run: threads and device.

use std::ptr;

use ort_sys::OrtSessionOptions;
use vaccel_inference::Settings;
use vaccel_plugin::{Error, Result, bail, err};

use crate::api::{Api, c_string};

/// Options of a session, released with it.
pub(crate) struct SessionOptions<'a>(&'a Api, pub(crate) *mut OrtSessionOptions);

impl Drop for SessionOptions<'_> {
    fn drop(&mut self) {
        // SAFETY: made by CreateSessionOptions.
        unsafe { (self.0.table.ReleaseSessionOptions)(self.1) }
    }
}

pub(crate) fn session_options<'a>(api: &'a Api, settings: &Settings) -> Result<SessionOptions<'a>> {
    let table = api.table;
    let mut raw = ptr::null_mut();
    // SAFETY: a live place.
    api.check(unsafe { (table.CreateSessionOptions)(&raw mut raw) })?;
    let options = SessionOptions(api, raw);
    let threads = i32::try_from(settings.threads).unwrap_or(i32::MAX);
    // SAFETY: live options.
    unsafe {
        api.check((table.SetIntraOpNumThreads)(raw, threads))?;
        api.check((table.SetInterOpNumThreads)(raw, 1))?;
    }
    let (device, number) = match settings.device.split_once(':') {
        Some((device, number)) => (device, number),
        None => (settings.device.as_str(), "0"),
    };
    if !number.bytes().all(|b| b.is_ascii_digit()) {
        bail!(EINVAL, "option `device`: `{number}` is not a number");
    }
    match device {
        "" | "cpu" => {}
        "cuda" | "gpu" => append_cuda(api, raw, number)?,
        "tensorrt" => append_tensorrt(api, raw, number)?,
        other => bail!(
            ENOTSUP,
            "option `device`: this backend runs on cpu, cuda and tensorrt, not on `{other}`"
        ),
    }
    Ok(options)
}

fn append_cuda(api: &Api, options: *mut OrtSessionOptions, number: &str) -> Result<()> {
    let table = api.table;
    let mut cuda = ptr::null_mut();
    let (key, value) = (c"device_id".as_ptr(), c_string(number)?);
    let value = value.as_ptr();
    // SAFETY: live options; the provider's are released after they were copied.
    let appended = unsafe {
        api.check((table.CreateCUDAProviderOptions)(&raw mut cuda))
            .map_err(no_provider)?;
        let appended = api
            .check((table.UpdateCUDAProviderOptions)(
                cuda,
                &raw const key,
                &raw const value,
                1,
            ))
            .and_then(|()| {
                api.check((table.SessionOptionsAppendExecutionProvider_CUDA_V2)(
                    options, cuda,
                ))
            });
        (table.ReleaseCUDAProviderOptions)(cuda);
        appended
    };
    appended.map_err(no_provider)
}

fn append_tensorrt(api: &Api, options: *mut OrtSessionOptions, number: &str) -> Result<()> {
    let table = api.table;
    let mut tensorrt = ptr::null_mut();
    let (key, value) = (c"device_id".as_ptr(), c_string(number)?);
    let value = value.as_ptr();
    // SAFETY: as in `append_cuda`.
    let appended = unsafe {
        api.check((table.CreateTensorRTProviderOptions)(&raw mut tensorrt))
            .map_err(no_provider)?;
        let appended = api
            .check((table.UpdateTensorRTProviderOptions)(
                tensorrt,
                &raw const key,
                &raw const value,
                1,
            ))
            .and_then(|()| {
                api.check((table.SessionOptionsAppendExecutionProvider_TensorRT_V2)(
                    options, tensorrt,
                ))
            });
        (table.ReleaseTensorRTProviderOptions)(tensorrt);
        appended
    };
    appended.map_err(no_provider)?;
    // What TensorRT does not take runs on CUDA.
    append_cuda(api, options, number)
}

/// A device that this build of the runtime, or this machine, does not have.
fn no_provider(e: Error) -> Error {
    err!(
        ENOTSUP,
        "option `device`: {}; use device=cpu, or set VACCEL_ONNXRUNTIME_LIB to the runtime of the \
         pip package `onnxruntime-gpu`",
        e.message()
    )
}
