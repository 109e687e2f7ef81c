//! Detection with cascades, and where these come from.

use crate::shim::{Input, Shim};
use std::ffi::CString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use vaccel_plugin::{Picture, ResourceType, Result, Session, bail, err};

/// Debian's package opencv-data has them here.
const FOLDER: &str = "/usr/share/opencv4/haarcascades";
const DEFAULT: &str = "haarcascade_frontalface_default.xml";
/// The largest cascade of OpenCV has 4 MB.
const MAX_BYTES: u64 = 64 << 20;

/// Draws a box around everything that the session's cascade finds: the first model that
/// is registered with the session, else the one that `VACCEL_OPENCV_CASCADE` names.
pub(crate) fn detect(shim: &Shim, session: &Session<'_>, image: &[u8]) -> Result<Picture> {
    let text = match session.resource(ResourceType::Model)? {
        Some(model) => xml(&model.first_blob()?.bytes()?)?,
        None => {
            let name = std::env::var("VACCEL_OPENCV_CASCADE").unwrap_or_default();
            load(if name.is_empty() { DEFAULT } else { &name })?
        }
    };
    let mut input = Input::default();
    input.encoded(image)?;
    input.texts.push(text);
    let png = shim.call(c"annotate", &input)?;
    let Some(folder) = session.rundir() else {
        bail!(EINVAL, "the session has no folder for the picture");
    };
    write(folder, png.bytes()).map(Picture::at)
}

fn write(folder: &Path, png: &[u8]) -> Result<String> {
    static NUMBER: AtomicU64 = AtomicU64::new(1);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let path = folder.join(format!("opencv-{number}.png"));
    let failed = |e| err!(EIO, "cannot write the picture {} ({e})", path.display());
    let mut file = std::fs::File::create_new(&path).map_err(failed)?;
    if let Err(error) = file.write_all(png) {
        let _ = std::fs::remove_file(&path);
        return Err(failed(error));
    }
    match path.to_str() {
        Some(text) => Ok(text.to_owned()),
        None => bail!(EINVAL, "the session's folder is not UTF-8"),
    }
}

/// Text of a cascade in the folder of cascades. A name alone: callers may be others than
/// who owns the files of this machine.
pub(crate) fn load(name: &str) -> Result<CString> {
    if name.contains('/') || name.starts_with('.') || name.is_empty() {
        bail!(
            EINVAL,
            "`{name}` is not the name of a file in the folder of cascades"
        );
    }
    let folder = std::env::var_os("VACCEL_OPENCV_CASCADES")
        .filter(|value| !value.is_empty())
        .map_or_else(|| PathBuf::from(FOLDER), PathBuf::from);
    let path = folder.join(name);
    let failed = |e: std::io::Error| {
        err!(
            ENOENT,
            "no cascade {} ({e}); `apt-get install opencv-data` has those of OpenCV",
            path.display()
        )
    };
    let about = std::fs::metadata(&path).map_err(failed)?;
    if !about.is_file() || about.len() > MAX_BYTES {
        bail!(EINVAL, "{} is no file of a cascade", path.display());
    }
    xml(&std::fs::read(&path).map_err(failed)?)
}

fn xml(bytes: &[u8]) -> Result<CString> {
    CString::new(bytes).map_err(|_| err!(EINVAL, "the cascade is not XML: it has zeros"))
}
