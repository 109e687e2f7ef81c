//! Where XRT is. It is never opened in this process: what it does not like, it throws.

use std::env;
use std::path::{Path, PathBuf};
use vaccel_inference::runtime::Spec;
use vaccel_plugin::{Result, Variable, bail, err};

const REMEDY: &str = "install XRT of Xilinx, or Debian's package of it with `apt-get install libxrt1` or `cargo xtask runtimes xrt`";

/// What is looked for, as every runtime is.
pub(crate) const SPEC: Spec = Spec {
    name: "xrt",
    title: "XRT",
    variable: Variable {
        name: "VACCEL_XRT_LIB",
        meaning: "libxrt_coreutil.so.2, or the folder that it is in",
    },
    files: &["libxrt_coreutil.so.2"],
    remedy: REMEDY,
};

/// Where XRT installs itself, and where systems put libraries.
const FOLDERS: &[&str] = &[
    "/opt/xilinx/xrt/lib",
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/usr/lib/arm-linux-gnueabihf",
    "/usr/lib64",
    "/usr/lib",
    "/usr/local/lib",
];

/// An XRT that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    /// `libxrt_coreutil.so.2`.
    pub(crate) file: PathBuf,
    /// What `XILINX_XRT` is set to for it, unless it is.
    pub(crate) root: Option<PathBuf>,
}

/// Looks for XRT.
///
/// # Errors
/// `ENOTSUP` with the places and what to do.
pub(crate) fn find() -> Result<Found> {
    let mut places: Vec<PathBuf> = SPEC.candidates()?;
    let root = env::var_os("XILINX_XRT").filter(|root| !root.is_empty());
    if let Some(root) = &root {
        places.insert(0, Path::new(root).join("lib").join(SPEC.files[0]));
    }
    let path = env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain(FOLDERS.iter().map(PathBuf::from));
    places.extend(folders.map(|folder| folder.join(SPEC.files[0])));
    // Names without a folder are the loader's business, which is not asked.
    places.retain(|place| place.is_absolute());
    let file = places.iter().find(|place| place.is_file());
    let file = file.ok_or_else(|| {
        err!(
            ENOTSUP,
            "XRT is not installed: {} not found; {REMEDY}",
            SPEC.files[0]
        )
    })?;
    if let Some(root) = root {
        return Ok(Found {
            file: file.clone(),
            root: Some(checked(PathBuf::from(root))?),
        });
    }
    // As XRT wants it: a folder with a folder `lib`.
    let folder = file.parent().unwrap_or(Path::new("/"));
    let root = folder.parent().filter(|_| folder.ends_with("lib"));
    Ok(Found {
        file: file.clone(),
        root: root.map(Path::to_owned),
    })
}

/// `XILINX_XRT`, where that is what XRT wants.
fn checked(root: PathBuf) -> Result<PathBuf> {
    let driver = match env::var("XCL_EMULATION_MODE").as_deref() {
        Ok("noop") => "libxrt_noop.so.2",
        Ok("hw_emu") => "libxrt_hwemu.so.2",
        Ok("sw_emu") => "libxrt_swemu.so.2",
        _ => "libxrt_core.so.2",
    };
    let file = root.join("lib").join(driver);
    if !file.is_file() {
        bail!(
            ENOTSUP,
            "XILINX_XRT is {}, where there is no lib/{driver}; set it to the folder that XRT is installed in, or unset it",
            root.display()
        );
    }
    Ok(root)
}

/// The version that the name of the file ends with, `2.13.0`.
pub(crate) fn version(file: &Path) -> Option<String> {
    let real = file.canonicalize().ok()?;
    let name = real.file_name()?.to_str()?;
    Some(name.split_once(".so.")?.1.to_owned())
}
