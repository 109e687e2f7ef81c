//! The jetson plugin: the image operations by jetson-inference on NVIDIA Jetson.
//!
//! jetson-inference speaks C++ alone: a shim of one file, which is built where it is
//! installed and opened by the first operation, has one function in C. **Untested**: no
//! Jetson was at hand.

use std::ffi::{CStr, CString, c_char, c_int};
use std::ptr::{null, null_mut};
use std::sync::atomic::{AtomicU64, Ordering};

use vaccel_inference::runtime::{Once, Runtime, Spec};
use vaccel_plugin::abi::plugin::{PLUGIN_GPU, PluginType};
use vaccel_plugin::{
    Classified, Description, Op, Picture, Plugin, Result, Session, Variable, bail, err,
};
use vaccel_vision::{Limits, decode};

vaccel_inference::functions! {
    /// The shim's function: see `shim/jetson.cpp`.
    struct Shim {
        vaccel_jetson_shim_run: fn(
            c_int,
            *const c_char,
            *const u8,
            u32,
            u32,
            *const c_char,
            *mut *mut c_char,
        ) -> *mut c_char;
    }
    optional {}
}

static SHIM: Once<Shim> = Once::new();

const SPEC: Spec = Spec {
    name: "jetson",
    title: "jetson-inference",
    variable: Variable {
        name: "VACCEL_JETSON_LIB",
        meaning: "libvaccel-jetson-shim.so, or the folder it is in; nothing else is then looked for",
    },
    files: &["libvaccel-jetson-shim.so"],
    remedy: "on a Jetson, install jetson-inference, build plugins/jetson/shim/jetson.cpp as its \
             README.md says, and set VACCEL_JETSON_LIB to it",
};

/// A task of the shim: its number, the variable that names its network, and the default.
struct Task {
    number: c_int,
    variable: Variable,
    network: &'static str,
}

macro_rules! task {
    ($name:ident, $number:literal, $variable:literal, $network:literal) => {
        const $name: Task = Task {
            number: $number,
            variable: Variable {
                name: $variable,
                meaning: concat!("Network of jetson-inference; default: ", $network),
            },
            network: $network,
        };
    };
}

task!(CLASSIFY, 0, "VACCEL_JETSON_CLASSIFY", "googlenet");
task!(DETECT, 1, "VACCEL_JETSON_DETECT", "ssd-mobilenet-v2");
task!(SEGMENT, 2, "VACCEL_JETSON_SEGMENT", "fcn-resnet18-voc");
task!(POSE, 3, "VACCEL_JETSON_POSE", "resnet18-body");
task!(DEPTH, 4, "VACCEL_JETSON_DEPTH", "fcn-mobilenet");

fn shim() -> Result<&'static Runtime<Shim>> {
    SHIM.get(&SPEC, Shim::bind)
}

/// A text of the shim's, released.
///
/// # Safety
/// Null, or a text from `malloc` that nobody else releases.
unsafe fn taken(text: *mut c_char) -> Option<String> {
    if text.is_null() {
        return None;
    }
    // SAFETY: promised by the caller.
    unsafe {
        let said = CStr::from_ptr(text).to_string_lossy().into_owned();
        libc::free(text.cast());
        Some(said)
    }
}

/// Runs a task; gives what a classification says, and the annotated picture.
fn run(task: &Task, session: &Session<'_>, image: &[u8]) -> Result<(String, Picture)> {
    static NUMBER: AtomicU64 = AtomicU64::new(1);
    let shim = &shim()?.api;
    let network = std::env::var(task.variable.name).unwrap_or_default();
    let network = if network.is_empty() {
        task.network
    } else {
        &network
    };
    let network = CString::new(network)
        .map_err(|_| err!(EINVAL, "{}: a zero in the name", task.variable.name))?;
    let picture = decode(image, &Limits::default())
        .map_err(|error| err!(EINVAL, "the picture cannot be read: {error}"))?;
    // Where there is no folder for it, nothing is drawn; detection and the like then say nothing.
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let folder = session.rundir();
    let path = folder.map(|folder| folder.join(format!("jetson-{number}.png")));
    let path = match path.as_deref().map(|path| path.to_str()) {
        Some(Some(path)) => Some(path.to_owned()),
        Some(None) => bail!(EINVAL, "the session's folder is not UTF-8"),
        None => None,
    };
    let output = path.as_deref().map(CString::new).transpose();
    let output = output.map_err(|_| err!(EINVAL, "the session's folder has a zero in its name"))?;
    let mut text = null_mut();
    // SAFETY: live texts, a picture of width times height pixels of three bytes, a live
    // place; the texts that come back are ours.
    let (failed, text) = unsafe {
        let failed = (shim.vaccel_jetson_shim_run)(
            task.number,
            network.as_ptr(),
            picture.rgb().as_ptr(),
            picture.width(),
            picture.height(),
            output.as_ref().map_or(null(), |path| path.as_ptr()),
            &raw mut text,
        );
        (taken(failed), taken(text))
    };
    if let Some(failed) = failed {
        bail!(EIO, "jetson-inference: {failed}");
    }
    let picture = path.map_or_else(Picture::none, Picture::at);
    Ok((text.unwrap_or_default(), picture))
}

struct Jetson;

impl Plugin for Jetson {
    const NAME: &'static CStr = c"jetson";
    const VERSION: &'static CStr = vaccel_plugin::version!();
    const TYPES: PluginType = PLUGIN_GPU;
    const OPS: &'static [Op] = &[
        Op::Noop,
        Op::ImageClassify,
        Op::ImageDetect,
        Op::ImageSegment,
        Op::ImagePose,
        Op::ImageDepth,
    ];

    fn new() -> Result<Self> {
        Ok(Self)
    }

    fn describe(&self) -> Description {
        let summary = "Image operations by jetson-inference on NVIDIA Jetson (UNTESTED: it has run on none yet)";
        let shim = shim();
        let mut description = SPEC.describe(summary, &[], &shim, |_| "by a shim".to_owned());
        description.environment = [CLASSIFY, DETECT, SEGMENT, POSE, DEPTH]
            .map(|task| task.variable)
            .into_iter()
            .chain([SPEC.variable])
            .collect();
        description
    }

    fn noop(&self, _: &Session<'_>) -> Result<()> {
        Ok(())
    }

    fn image_classify(&self, session: &Session<'_>, image: &[u8]) -> Result<Classified> {
        let (text, picture) = run(&CLASSIFY, session, image)?;
        Ok(Classified { text, picture })
    }

    fn image_detect(&self, session: &Session<'_>, image: &[u8]) -> Result<Picture> {
        run(&DETECT, session, image).map(|(_, picture)| picture)
    }

    fn image_segment(&self, session: &Session<'_>, image: &[u8]) -> Result<Picture> {
        run(&SEGMENT, session, image).map(|(_, picture)| picture)
    }

    fn image_pose(&self, session: &Session<'_>, image: &[u8]) -> Result<Picture> {
        run(&POSE, session, image).map(|(_, picture)| picture)
    }

    fn image_depth(&self, session: &Session<'_>, image: &[u8]) -> Result<Picture> {
        run(&DEPTH, session, image).map(|(_, picture)| picture)
    }
}

vaccel_plugin::export_plugin!(Jetson);
