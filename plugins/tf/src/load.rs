//! From files to a session: the graph, its inputs and outputs.

use std::ffi::{CStr, CString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr;

use vaccel_inference::{Port, Settings, Source};
use vaccel_plugin::{Result, bail, err};

use crate::api::{self, Api, Node, Operation};
use crate::dtype::TYPES;
use crate::signature::{self, Entry};

/// Kinds of nodes at the end of a graph that compute nothing of interest.
const NO_RESULTS: &[&str] = &["Const", "Placeholder", "NoOp", "Assert", "VarHandleOp"];

/// A graph and its session; released with this.
pub(crate) struct Session {
    pub(crate) api: &'static Api,
    pub(crate) raw: *mut api::Session,
    graph: *mut api::Graph,
}

// SAFETY: a session is not tied to a thread.
unsafe impl Send for Session {}
// SAFETY: runs may overlap by the runtime's contract, and the graph is not changed any more.
unsafe impl Sync for Session {}

impl Drop for Session {
    fn drop(&mut self) {
        let f = &self.api.f;
        // SAFETY: made by the runtime, released once, the session before its graph.
        unsafe {
            if !self.raw.is_null() {
                // Nothing can be done about a session that does not close.
                let _ = self.api.with_status(|s| (f.TF_CloseSession)(self.raw, s));
                let _ = self.api.with_status(|s| (f.TF_DeleteSession)(self.raw, s));
            }
            (f.TF_DeleteGraph)(self.graph);
        }
    }
}

/// An input or output: how programs see it, its other name, and where it is.
pub(crate) struct Place {
    pub(crate) port: Port,
    /// `node:0`, as the typed calls name it.
    pub(crate) tensor: String,
    pub(crate) node: Node,
}

// SAFETY: nodes belong to the graph, which lives beside them and is not changed any more.
unsafe impl Send for Place {}
// SAFETY: as above.
unsafe impl Sync for Place {}

/// What a file was loaded into.
pub(crate) struct Loaded {
    pub(crate) session: Session,
    pub(crate) inputs: Vec<Place>,
    pub(crate) outputs: Vec<Place>,
    pub(crate) format: &'static str,
}

/// Loads a SavedModel or a frozen graph.
///
/// # Errors
/// `EINVAL` for what the runtime finds wrong with it, `ENODEV` for a device that is not there.
pub(crate) fn load(
    api: &'static Api,
    source: &Source<'_>,
    settings: &Settings,
    config: &[u8],
) -> Result<Loaded> {
    let options = SessionOptions::new(api, config)?;
    let loaded = match saved_model(source.model.path()) {
        Some(folder) => {
            let name = settings.get("signature").unwrap_or("serving_default");
            load_saved_model(api, folder, name, &options)?
        }
        None => load_graph(api, &source.model.bytes()?, &options)?,
    };
    if settings.device.starts_with("gpu") || settings.device.starts_with("cuda") {
        loaded.session.expect_gpu()?;
    }
    Ok(loaded)
}

/// The folder of a SavedModel, whichever way it is named.
fn saved_model(path: Option<&Path>) -> Option<&Path> {
    let path = path?;
    if path.is_dir() {
        return Some(path);
    }
    path.parent().filter(|_| {
        path.file_name()
            .is_some_and(|name| name == "saved_model.pb")
    })
}

/// Options of a session; released with this.
struct SessionOptions(&'static Api, *mut api::SessionOptions);

impl Drop for SessionOptions {
    fn drop(&mut self) {
        // SAFETY: made by the runtime, released once.
        unsafe { (self.0.f.TF_DeleteSessionOptions)(self.1) }
    }
}

impl SessionOptions {
    fn new(api: &'static Api, config: &[u8]) -> Result<Self> {
        // SAFETY: no arguments.
        let options = Self(api, unsafe { (api.f.TF_NewSessionOptions)() });
        // SAFETY: live options, live bytes.
        api.with_status(|status| unsafe {
            (api.f.TF_SetConfig)(options.1, config.as_ptr().cast(), config.len(), status);
        })?;
        Ok(options)
    }
}

fn load_saved_model(
    api: &'static Api,
    folder: &Path,
    name: &str,
    options: &SessionOptions,
) -> Result<Loaded> {
    let folder = CString::new(folder.as_os_str().as_bytes())
        .map_err(|_| err!(EINVAL, "a zero byte in the path"))?;
    let tag = c"serve".as_ptr();
    let meta = api.empty();
    let mut session = Session::new(api);
    // SAFETY: live options, texts and graph; one tag; a buffer to be filled.
    session.raw = api.with_status(|status| unsafe {
        (api.f.TF_LoadSessionFromSavedModel)(
            options.1,
            ptr::null(),
            folder.as_ptr(),
            &raw const tag,
            1,
            session.graph,
            meta.1,
            status,
        )
    })?;
    let signature = signature::find(meta.get(), name)?;
    let places = |entries: Vec<Entry>, input: bool| -> Result<Vec<Place>> {
        let mut places = Vec::with_capacity(entries.len());
        for entry in entries {
            let node = session.node(&entry.tensor)?;
            let dims = entry.dims.as_deref().map(lengths);
            let port = TYPES.port(entry.name, entry.number, dims, input)?;
            places.push(Place {
                port,
                tensor: entry.tensor,
                node,
            });
        }
        Ok(places)
    };
    let inputs = places(signature.inputs, true)?;
    let outputs = places(signature.outputs, false)?;
    Ok(Loaded {
        session,
        inputs,
        outputs,
        format: "savedmodel",
    })
}

fn load_graph(api: &'static Api, bytes: &[u8], options: &SessionOptions) -> Result<Loaded> {
    let mut session = Session::new(api);
    let definition = api.bytes(bytes);
    // SAFETY: a live graph and definition; options that are released after use.
    unsafe {
        let import = (api.f.TF_NewImportGraphDefOptions)();
        let imported = api.with_status(|status| {
            (api.f.TF_GraphImportGraphDef)(session.graph, definition.1, import, status);
        });
        (api.f.TF_DeleteImportGraphDefOptions)(import);
        imported?;
    }
    // SAFETY: a live graph and options.
    session.raw = api
        .with_status(|status| unsafe { (api.f.TF_NewSession)(session.graph, options.1, status) })?;
    let (inputs, outputs) = session.ends()?;
    if outputs.is_empty() {
        bail!(EINVAL, "it is no graph: nothing in it is a result");
    }
    Ok(Loaded {
        session,
        inputs,
        outputs,
        format: "graphdef",
    })
}

impl Session {
    /// An empty graph; the session comes when the graph is full.
    fn new(api: &'static Api) -> Self {
        Self {
            api,
            raw: ptr::null_mut(),
            // SAFETY: no arguments.
            graph: unsafe { (api.f.TF_NewGraph)() },
        }
    }

    /// The tensor of a name such as `node:0`.
    fn node(&self, tensor: &str) -> Result<Node> {
        let (name, index) = tensor.rsplit_once(':').unwrap_or((tensor, "0"));
        let missing = || {
            err!(
                EINVAL,
                "its signature names `{tensor}`, which is not in the graph"
            )
        };
        let index = index.parse().map_err(|_| missing())?;
        let name = CString::new(name).map_err(|_| missing())?;
        // SAFETY: a live graph and text.
        let operation = unsafe { (self.api.f.TF_GraphOperationByName)(self.graph, name.as_ptr()) };
        if operation.is_null() {
            return Err(missing());
        }
        // SAFETY: a node of the graph.
        let count = unsafe { (self.api.f.TF_OperationNumOutputs)(operation) };
        if !(0..count).contains(&index) {
            return Err(missing());
        }
        Ok(Node { operation, index })
    }

    /// Placeholders, and results that nothing in the graph takes.
    fn ends(&self) -> Result<(Vec<Place>, Vec<Place>)> {
        let f = &self.api.f;
        let (mut inputs, mut outputs) = (Vec::new(), Vec::new());
        let mut position = 0;
        loop {
            // SAFETY: a live graph, and the place where the last call left off.
            let operation = unsafe { (f.TF_GraphNextOperation)(self.graph, &raw mut position) };
            if operation.is_null() {
                return Ok((inputs, outputs));
            }
            // SAFETY: a node of the graph; its texts live as long.
            let (kind, name, count) = unsafe {
                (
                    CStr::from_ptr((f.TF_OperationOpType)(operation)).to_string_lossy(),
                    CStr::from_ptr((f.TF_OperationName)(operation)).to_string_lossy(),
                    (f.TF_OperationNumOutputs)(operation),
                )
            };
            if kind == "Placeholder" && count > 0 {
                inputs.push(self.place(operation, 0, &name, true)?);
            } else if !NO_RESULTS.contains(&kind.as_ref()) {
                for index in 0..count {
                    let node = Node { operation, index };
                    // SAFETY: an output of a node of the graph.
                    if unsafe { (f.TF_OperationOutputNumConsumers)(node) } == 0 {
                        outputs.push(self.place(operation, index, &name, false)?);
                    }
                }
            }
        }
    }

    fn place(
        &self,
        operation: *mut Operation,
        index: i32,
        name: &str,
        input: bool,
    ) -> Result<Place> {
        let (api, f) = (self.api, &self.api.f);
        let node = Node { operation, index };
        // SAFETY: a live graph and a node of it; room for as many lengths as are asked for.
        let (number, dims) = unsafe {
            let rank =
                api.with_status(|status| (f.TF_GraphGetTensorNumDims)(self.graph, node, status))?;
            let dims = match usize::try_from(rank) {
                Ok(length) => {
                    let mut dims = vec![0_i64; length];
                    api.with_status(|status| {
                        (f.TF_GraphGetTensorShape)(
                            self.graph,
                            node,
                            dims.as_mut_ptr(),
                            rank,
                            status,
                        );
                    })?;
                    Some(dims)
                }
                Err(_) => None,
            };
            ((f.TF_OperationOutputType)(node), dims)
        };
        let tensor = format!("{name}:{index}");
        let shown = if index == 0 { name } else { &tensor };
        Ok(Place {
            port: TYPES.port(
                shown.to_owned(),
                number,
                dims.as_deref().map(lengths),
                input,
            )?,
            tensor,
            node,
        })
    }

    /// `ENODEV` when there is no GPU.
    fn expect_gpu(&self) -> Result<()> {
        let (api, f) = (self.api, &self.api.f);
        // SAFETY: a live session; the list is released after the last look at it.
        unsafe {
            let list = api.with_status(|status| (f.TF_SessionListDevices)(self.raw, status))?;
            let is_gpu = |at| {
                let kind = api.with_status(|status| (f.TF_DeviceListType)(list, at, status));
                kind.is_ok_and(|kind| !kind.is_null() && CStr::from_ptr(kind) == c"GPU")
            };
            let found = (0..(f.TF_DeviceListCount)(list)).any(is_gpu);
            (f.TF_DeleteDeviceList)(list);
            if !found {
                bail!(ENODEV, "option `device`: TensorFlow finds no GPU");
            }
        }
        Ok(())
    }
}

/// Lengths of dimensions; negative ones are open.
fn lengths(dims: &[i64]) -> Vec<Option<usize>> {
    dims.iter().map(|&d| usize::try_from(d).ok()).collect()
}
