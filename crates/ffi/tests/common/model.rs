//! A model that is registered with a session, and its tensors.

use super::{
    expect, garbage, load, plugin, session, vaccel_resource_init_from_buf,
    vaccel_resource_register, vaccel_resource_release, vaccel_session_release,
};
use std::ffi::CStr;
use std::sync::Once;
use vaccel_abi::error::OK;
use vaccel_abi::model::{DTYPE_F32, TENSOR_MAX_RANK, vaccel_tensor};
use vaccel_abi::plugin::{PLUGIN_CPU, PLUGIN_GPU};
use vaccel_abi::resource::{RESOURCE_MODEL, vaccel_resource};
use vaccel_abi::session::vaccel_session;

/// A session and a model that is registered with it.
pub struct Fixture {
    /// Open.
    pub sess: Box<vaccel_session>,
    /// Registered.
    pub model: Box<vaccel_resource>,
}

/// What the model holds.
pub static CONTENT: [u8; 4] = *b"copy";

impl Fixture {
    /// With the plugin that offers the neutral calls.
    pub fn neutral() -> Self {
        Self::new(PLUGIN_CPU, c"good")
    }

    /// With the plugin that offers TensorFlow's and Torch's own calls.
    pub fn typed() -> Self {
        Self::new(PLUGIN_GPU, c"good")
    }

    pub fn new(flags: u32, name: &CStr) -> Self {
        static LOADED: Once = Once::new();
        LOADED.call_once(|| {
            load(&plugin("neutral", &["-DNEUTRAL"]));
            load(&plugin("typed", &["-DTYPE=VACCEL_PLUGIN_GPU"]));
        });
        let mut sess = session(flags);
        let mut model = garbage::<vaccel_resource>();
        let data = CONTENT.as_ptr().cast();
        expect(
            OK,
            vaccel_resource_init_from_buf(
                &mut *model,
                data,
                4,
                RESOURCE_MODEL,
                name.as_ptr(),
                true,
            ),
        );
        expect(OK, vaccel_resource_register(&mut *model, &mut *sess));
        Self { sess, model }
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        expect(OK, vaccel_resource_release(&mut *self.model));
        expect(OK, vaccel_session_release(&mut *self.sess));
    }
}

/// A tensor of one dimension that refers to these numbers.
pub fn tensor(data: &mut [f32]) -> vaccel_tensor {
    let mut dims = [0; TENSOR_MAX_RANK];
    dims[0] = data.len() as i64;
    vaccel_tensor {
        dtype: DTYPE_F32,
        rank: 1,
        dims,
        data: data.as_mut_ptr().cast(),
        size: size_of_val(data),
        ..vaccel_tensor::empty()
    }
}

/// The numbers of an output.
#[track_caller]
pub fn floats(tensor: &vaccel_tensor) -> Vec<f32> {
    assert_eq!(tensor.size % 4, 0);
    // SAFETY: an output of the library has `size` bytes.
    unsafe { std::slice::from_raw_parts(tensor.data.cast::<f32>(), tensor.size / 4) }.to_vec()
}
