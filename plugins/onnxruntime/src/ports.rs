//! What a model says of itself: inputs, outputs, metadata.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ffi::{CStr, c_char};
use std::ptr;

use ort_sys::{OrtTensorTypeAndShapeInfo, OrtTypeInfo};
use vaccel_inference::Port;
use vaccel_plugin::{Dtype, Result, bail};

use crate::api::{Api, c_string};
use crate::dtype;
use crate::graph::OrtGraph;

impl OrtGraph {
    pub(crate) fn read_ports(&mut self, batch: usize) -> Result<()> {
        let table = self.api.table;
        let (mut inputs, mut outputs) = (0, 0);
        // SAFETY: a live session, live places.
        unsafe {
            self.api
                .check((table.SessionGetInputCount)(self.session, &raw mut inputs))?;
            self.api.check((table.SessionGetOutputCount)(
                self.session,
                &raw mut outputs,
            ))?;
        }
        for (count, is_input) in [(inputs, true), (outputs, false)] {
            for at in 0..count {
                let mut port = self.read_port(at, is_input)?;
                if is_input && port.dtype.is_none() {
                    bail!(
                        ENOTSUP,
                        "input `{}` is {}, which no tensor holds",
                        port.name,
                        port.type_name
                    );
                }
                port.set_batch(batch);
                let name = c_string(&port.name)?;
                if is_input {
                    self.inputs.push(port);
                    self.input_names.push(name);
                } else {
                    self.outputs.push(port);
                    self.output_names.push(name);
                }
            }
        }
        Ok(())
    }

    fn read_port(&self, at: usize, is_input: bool) -> Result<Port> {
        let (api, table) = (self.api, self.api.table);
        let mut name: *mut c_char = ptr::null_mut();
        let mut info: *mut OrtTypeInfo = ptr::null_mut();
        let (get_name, get_info) = if is_input {
            (table.SessionGetInputName, table.SessionGetInputTypeInfo)
        } else {
            (table.SessionGetOutputName, table.SessionGetOutputTypeInfo)
        };
        // SAFETY: a live session, an index in range, live places. The information on the
        // type is released after the last look at it.
        unsafe {
            api.check(get_name(self.session, at, api.allocator, &raw mut name))?;
            let name = api.take_text(name);
            api.check(get_info(self.session, at, &raw mut info))?;
            let mut tensor: *const OrtTensorTypeAndShapeInfo = ptr::null();
            let read = api
                .check((table.CastTypeInfoToTensorInfo)(info, &raw mut tensor))
                .and_then(|()| match tensor.is_null() {
                    true => Ok(None),
                    false => read_shape(api, tensor).map(Some),
                });
            (table.ReleaseTypeInfo)(info);
            let (number, dims, symbols) = match read? {
                Some(read) => read,
                None => {
                    return Ok(Port {
                        name,
                        dtype: None,
                        type_name: "not a tensor".into(),
                        dims: None,
                        symbols: Vec::new(),
                        optional: false,
                    });
                }
            };
            let dtype = dtype::from_number(number);
            let port = Port {
                name,
                dtype,
                type_name: Cow::Borrowed(dtype.map_or(dtype::name_of(number), Dtype::name)),
                dims: Some(dims.iter().map(|&d| usize::try_from(d).ok()).collect()),
                symbols,
                optional: false,
            };
            port.check_rank()?;
            Ok(port)
        }
    }

    /// The metadata that the exporter wrote into the file.
    pub(crate) fn read_properties(&self) -> Result<BTreeMap<String, String>> {
        let (api, table) = (self.api, self.api.table);
        let mut properties = BTreeMap::new();
        let mut metadata = ptr::null_mut();
        let mut keys: *mut *mut c_char = ptr::null_mut();
        let mut count = 0_i64;
        // SAFETY: a live session and live places; the list and its texts are the default
        // allocator's, freed once each.
        unsafe {
            api.check((table.SessionGetModelMetadata)(
                self.session,
                &raw mut metadata,
            ))?;
            let got = api.check((table.ModelMetadataGetCustomMetadataMapKeys)(
                metadata,
                api.allocator,
                &raw mut keys,
                &raw mut count,
            ));
            if got.is_ok() && !keys.is_null() {
                for at in 0..usize::try_from(count).unwrap_or(0) {
                    let key = *keys.add(at);
                    let mut value: *mut c_char = ptr::null_mut();
                    let found = api.check((table.ModelMetadataLookupCustomMetadataMap)(
                        metadata,
                        api.allocator,
                        key,
                        &raw mut value,
                    ));
                    let key = api.take_text(key);
                    if found.is_ok() && !value.is_null() {
                        properties.insert(key, api.take_text(value));
                    }
                }
                let _ = api.check((table.AllocatorFree)(api.allocator, keys.cast()));
            }
            (table.ReleaseModelMetadata)(metadata);
            got?;
        }
        Ok(properties)
    }
}

/// Number of the type, lengths, names of open lengths.
type TypeAndShape = (i32, Vec<i64>, Vec<Option<String>>);

/// # Safety
/// Live information on a tensor.
pub(crate) unsafe fn read_shape(
    api: &Api,
    info: *const OrtTensorTypeAndShapeInfo,
) -> Result<TypeAndShape> {
    let table = api.table;
    let (mut number, mut rank) = (0_i32, 0);
    // SAFETY: promised by the caller. The type is read as a number: a newer runtime may
    // have types of its own. The names live as long as the information.
    unsafe {
        api.check((table.GetTensorElementType)(info, (&raw mut number).cast()))?;
        api.check((table.GetDimensionsCount)(info, &raw mut rank))?;
        let mut dims = vec![0_i64; rank];
        api.check((table.GetDimensions)(info, dims.as_mut_ptr(), rank))?;
        let mut names: Vec<*const c_char> = vec![ptr::null(); rank];
        api.check((table.GetSymbolicDimensions)(
            info,
            names.as_mut_ptr(),
            rank,
        ))?;
        let symbols = names
            .into_iter()
            .map(|name| {
                let name = (!name.is_null()).then(|| CStr::from_ptr(name).to_string_lossy());
                name.filter(|name| !name.is_empty()).map(Cow::into_owned)
            })
            .collect();
        Ok((number, dims, symbols))
    }
}
