//! Which variables a worker is given.

use std::ffi::OsString;

/// Variables that a worker is given, by name.
const PASSED: &[&str] = &[
    "PATH",
    "LD_LIBRARY_PATH",
    "HOME",
    "TMPDIR",
    "LANG",
    "TZ",
    "RUST_BACKTRACE",
    "XILINX_XRT",
    "TENSORFLOW_DIR",
];
/// Variables that a worker is given, by how they begin: those that the library and the
/// runtimes of backends read.
const PASSED_PREFIXES: &[&str] = &[
    "VACCEL_",
    "OMP_",
    "KMP_",
    "MKL_",
    "OPENBLAS_",
    "BLIS_",
    "GOTO_",
    "CUDA_",
    "CUBLAS_",
    "CUDNN_",
    "NVIDIA_",
    "ORT_",
    "OV_",
    "OPENVINO_",
    "TF_",
    "XLA_",
    "TORCH_",
    "PYTORCH_",
    "ATEN_",
    "OCL_",
    "OPENCL_",
    "POCL_",
    "XCL_",
    "ROCR_",
    "HIP_",
    "ONEAPI_",
    "SYCL_",
    "RTEN_",
];
/// And those that are the agent's own business, or would make a worker differ from what
/// its command line says.
const WITHHELD: &[&str] = &[
    "VACCEL_PLUGINS",
    "VACCEL_BACKENDS",
    "VACCEL_BOOTSTRAP_ENABLED",
    "VACCEL_AGENT_PLUGINS",
    "VACCEL_AGENT_LOG_LEVEL",
];

/// The variables of this process that a worker is given; `further` names more of them.
pub fn environment(further: &[String]) -> impl Iterator<Item = (OsString, OsString)> + '_ {
    std::env::vars_os().filter(|(name, _)| {
        let Some(name) = name.to_str() else {
            return false;
        };
        further.iter().any(|further| further == name)
            || !WITHHELD.contains(&name)
                && (PASSED.contains(&name)
                    || PASSED_PREFIXES
                        .iter()
                        .any(|prefix| name.starts_with(prefix)))
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn secrets_in_the_environment_of_the_agent_do_not_reach_a_worker() {
        let names: Vec<_> = environment(&[]).map(|(name, _)| name).collect();
        assert!(names.iter().all(|name| name != "CARGO_MANIFEST_DIR"));
        let passed: Vec<_> = environment(&["CARGO_MANIFEST_DIR".into()])
            .map(|(name, _)| name)
            .collect();
        assert!(passed.iter().any(|name| name == "CARGO_MANIFEST_DIR"));
    }
}
