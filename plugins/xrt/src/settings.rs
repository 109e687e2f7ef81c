//! What variables say.

use crate::mapping::Mapping;
use std::path::PathBuf;
use vaccel_plugin::{Result, Variable, bail, err};

/// How long a kernel may run where nothing is said, in milliseconds.
const LIMIT: u32 = 60_000;

/// Variables that the plugin reads.
pub(crate) const VARIABLES: &[Variable] = &[
    Variable {
        name: "VACCEL_XRT_XCLBIN",
        meaning: "File with the kernels of the FPGA operations; without it these are ENOTSUP",
    },
    Variable {
        name: "VACCEL_XRT_VECTORADD",
        meaning: "Kernel and parameters of `fpga_vectoradd`; default: `vadd(a, b, c, n)`",
    },
    Variable {
        name: "VACCEL_XRT_MMULT",
        meaning: "Kernel and parameters of `fpga_mmult`, n is the number of rows; default: `mmult(a, b, c, n)`",
    },
    Variable {
        name: "VACCEL_XRT_PARALLEL",
        meaning: "Kernel and parameters of `fpga_parallel`; default: `parallel(a, b, add, mult, n)`",
    },
    Variable {
        name: "VACCEL_XRT_ARRAYCOPY",
        meaning: "Kernel and parameters of `fpga_arraycopy`; default: `arraycopy(a, out, n)`",
    },
    Variable {
        name: "VACCEL_XRT_DEVICE",
        meaning: "Number of the device; default: 0",
    },
    Variable {
        name: "VACCEL_XRT_TIMEOUT_MS",
        meaning: "Longest that a kernel may run, in milliseconds; default: 60000",
    },
    Variable {
        name: "VACCEL_XRT_KERNELS",
        meaning: "`deny` refuses xclbins of the caller's own; default: `allow`",
    },
    crate::library::SPEC.variable,
];

/// The settings of a process.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) xclbin: Option<PathBuf>,
    pub(crate) vectoradd: Mapping,
    pub(crate) mmult: Mapping,
    pub(crate) parallel: Mapping,
    pub(crate) arraycopy: Mapping,
    pub(crate) device: u32,
    pub(crate) limit: u32,
    pub(crate) kernels: bool,
}

impl Settings {
    /// Reads the variables.
    ///
    /// # Errors
    /// `EINVAL` with the name of one that makes no sense.
    pub(crate) fn read() -> Result<Self> {
        let mapping = |name: &str, default: &str, arrays: &[&str]| {
            let text = said(name)?;
            Mapping::parse(text.as_deref().unwrap_or(default), arrays)
                .map_err(|error| error.context(name))
        };
        let kernels = match said("VACCEL_XRT_KERNELS")?.as_deref() {
            None | Some("allow") => true,
            Some("deny") => false,
            Some(other) => bail!(
                EINVAL,
                "VACCEL_XRT_KERNELS is `{other}`; there are: allow, deny"
            ),
        };
        Ok(Self {
            xclbin: said("VACCEL_XRT_XCLBIN")?.map(PathBuf::from),
            vectoradd: mapping("VACCEL_XRT_VECTORADD", "vadd(a, b, c, n)", &["a", "b", "c"])?,
            mmult: mapping("VACCEL_XRT_MMULT", "mmult(a, b, c, n)", &["a", "b", "c"])?,
            parallel: mapping(
                "VACCEL_XRT_PARALLEL",
                "parallel(a, b, add, mult, n)",
                &["a", "b", "add", "mult"],
            )?,
            arraycopy: mapping(
                "VACCEL_XRT_ARRAYCOPY",
                "arraycopy(a, out, n)",
                &["a", "out"],
            )?,
            device: number("VACCEL_XRT_DEVICE", 0)?,
            limit: number("VACCEL_XRT_TIMEOUT_MS", LIMIT)?,
            kernels,
        })
    }
}

/// A variable that is set to something.
fn said(name: &str) -> Result<Option<String>> {
    match std::env::var(name) {
        Ok(text) if text.is_empty() => Ok(None),
        Ok(text) => Ok(Some(text)),
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(std::env::VarError::NotUnicode(_)) => bail!(EINVAL, "{name} is not UTF-8"),
    }
}

fn number(name: &str, default: u32) -> Result<u32> {
    said(name)?.map_or(Ok(default), |text| {
        text.trim()
            .parse()
            .map_err(|_| err!(EINVAL, "{name} is `{text}`, which is no number"))
    })
}
