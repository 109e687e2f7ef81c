//! The opencv plugin: functions of OpenCV on pictures, and detection with cascades.
//!
//! OpenCV speaks C++ alone: a shim of one file, which is built where OpenCV is installed
//! and opened by the first operation, has the few functions in C.

mod build;
mod cascade;
mod function;
mod shim;

use crate::shim::Shim;
use std::ffi::CStr;
use std::sync::OnceLock;
use vaccel_plugin::abi::plugin::{PLUGIN_CPU, PLUGIN_SOFTWARE, PluginType};
use vaccel_plugin::{
    Args, ArgsMut, Description, Device, Op, Picture, Plugin, Result, Session, Variable,
};

const VARIABLES: &[Variable] = &[
    Variable {
        name: "VACCEL_OPENCV_SHIM",
        meaning: "A shim that was built before; default: libvaccel-opencv-shim.so where libraries are, else one built in the user's cache by the first operation",
    },
    Variable {
        name: "VACCEL_OPENCV_INCLUDE",
        meaning: "Folder with opencv2/core.hpp that the shim is built with; default: /usr/include/opencv4 or /usr/local/include/opencv4",
    },
    Variable {
        name: "VACCEL_OPENCV_CASCADES",
        meaning: "Folder of cascades; default: /usr/share/opencv4/haarcascades",
    },
    Variable {
        name: "VACCEL_OPENCV_CASCADE",
        meaning: "What detection looks for when a session brings no model: a file of that folder; default: haarcascade_frontalface_default.xml",
    },
];

/// The shim, once for the process.
static SHIM: OnceLock<Result<Shim>> = OnceLock::new();

fn shim() -> Result<&'static Shim> {
    SHIM.get_or_init(Shim::open).as_ref().map_err(Clone::clone)
}

struct OpenCv;

impl Plugin for OpenCv {
    const NAME: &'static CStr = c"opencv";
    const VERSION: &'static CStr = vaccel_plugin::version!();
    const TYPES: PluginType = PLUGIN_CPU | PLUGIN_SOFTWARE;
    const OPS: &'static [Op] = &[Op::Noop, Op::ImageDetect, Op::Opencv];

    fn new() -> Result<Self> {
        Ok(Self)
    }

    fn describe(&self) -> Description {
        const SUMMARY: &str = "Functions of OpenCV on pictures, and detection with cascades";
        // Building takes a quarter of a minute: the first operation does it, not a question.
        let runtime = match SHIM.get() {
            None if !Shim::is_built() => build::possible(),
            _ => shim().map(|shim| format!("OpenCV {}", shim.version())),
        };
        let about = match runtime {
            Ok(runtime) => Description {
                runtime: Some(runtime),
                formats: vec!["opencv-cascade".into()],
                devices: vec![Device {
                    id: "cpu".into(),
                    name: "the processor".into(),
                    memory: None,
                }],
                ..Description::ready(SUMMARY)
            },
            Err(error) => Description::missing(SUMMARY, error.message(), build::REMEDY),
        };
        Description {
            environment: VARIABLES.to_vec(),
            ..about
        }
    }

    fn noop(&self, _: &Session<'_>) -> Result<()> {
        Ok(())
    }

    fn image_detect(&self, session: &Session<'_>, image: &[u8]) -> Result<Picture> {
        cascade::detect(shim()?, session, image)
    }

    fn opencv(&self, _: &Session<'_>, read: &Args<'_>, write: &mut ArgsMut<'_>) -> Result<()> {
        function::call(shim()?, read, write)
    }
}

vaccel_plugin::export_plugin!(OpenCv);
