//! What backends need.

use std::path::PathBuf;

use crate::calls::Calls;

/// What a backend needs beyond what every process does.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Profile {
    /// Kinds of system calls.
    pub calls: Calls,
    /// Devices. A name may end with `*`.
    pub devices: Vec<&'static str>,
    /// Files and folders to be read.
    pub read: Vec<&'static str>,
}

/// Accelerators that are reached by a render node or a driver of NVIDIA or AMD.
const GPU: &[&str] = &["/dev/nvidia*", "/dev/dri", "/dev/kfd", "/dev/nvidia-caps"];
const FPGA: &[&str] = &["/dev/dri", "/dev/xclmgmt*", "/dev/xfpga"];
/// Where drivers say what there is.
const DRIVERS: &[&str] = &[
    "/proc/driver/nvidia",
    "/proc/devices",
    "/sys/bus/pci",
    "/sys/class/drm",
    "/sys/class/kfd",
    "/sys/devices",
    "/sys/dev/char",
    "/sys/module",
    "/etc/OpenCL",
    "/etc/vulkan",
    "/opt",
];

/// What `auto` may choose from; see `choice/table.rs` of the library.
const BACKENDS: &[&str] = &[
    "onnx",
    "onnxruntime",
    "openvino",
    "tf",
    "tflite",
    "torch",
    "blas",
    "cuda",
    "opencl",
    "opencv",
    "exec",
    "xrt",
    "jetson",
    "tvm",
];

const NONE: Calls = Calls {
    network: false,
    spawn: false,
    jit: false,
};
const JIT: Calls = Calls { jit: true, ..NONE };
const REMOTE: Calls = Calls {
    network: true,
    ..NONE
};
/// Compilers of kernels are programs.
const COMPILER: Calls = Calls { spawn: true, ..JIT };
/// What does not survive its own mistakes has a process of its own.
const HELPER: Calls = COMPILER;

impl Profile {
    /// That of a plugin, by its name; that of `auto` is all that any backend needs. One that is not known may make executable memory, and
    /// no more: what else it needs is to be said in the options.
    #[must_use]
    pub fn of(plugin: &str) -> Self {
        // Which of them will be chosen is known when models come, and then it is too late.
        if plugin == "auto" {
            let all = BACKENDS.iter().map(|backend| Self::of(backend));
            return all.fold(Self::default(), Self::and);
        }
        let (calls, devices, read): (Calls, &[&str], &[&str]) = match plugin {
            "noop" | "mbench" | "exec" | "onnx" | "blas" => (NONE, &[], &[]),
            "rpc" => (
                REMOTE,
                &[],
                &[
                    "/etc/hosts",
                    "/etc/resolv.conf",
                    "/etc/nsswitch.conf",
                    "/etc/ssl",
                ],
            ),
            "opencl" => (COMPILER, GPU, DRIVERS),
            "cuda" | "jetson" | "torch" | "tvm" | "tf" | "tflite" | "onnxruntime" | "openvino"
            | "opencv" => (JIT, GPU, DRIVERS),
            "xrt" => (HELPER, FPGA, DRIVERS),
            _ => (JIT, &[], &[]),
        };
        Self {
            calls,
            devices: devices.to_vec(),
            read: read.to_vec(),
        }
    }

    /// What both need.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.calls.network |= other.calls.network;
        self.calls.spawn |= other.calls.spawn;
        self.calls.jit |= other.calls.jit;
        self.devices.extend(other.devices);
        self.read.extend(other.read);
        self
    }

    /// The devices that are there.
    #[must_use]
    pub fn present_devices(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for name in &self.devices {
            let Some(start) = name.strip_suffix('*') else {
                found.push(PathBuf::from(name));
                continue;
            };
            let (folder, start) = start.rsplit_once('/').unwrap_or(("/", start));
            let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
            let named = entries.filter(|e| {
                e.file_name()
                    .as_encoded_bytes()
                    .starts_with(start.as_bytes())
            });
            found.extend(named.map(|entry| entry.path()));
        }
        found.sort();
        found.dedup();
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_with_auto_may_what_each_backend_may_and_has_no_network() {
        let auto = Profile::of("auto");
        assert!(auto.calls.jit && auto.calls.spawn && !auto.calls.network);
        for backend in BACKENDS {
            let one = Profile::of(backend);
            assert!(one.devices.iter().all(|d| auto.devices.contains(d)));
            assert!(one.read.iter().all(|r| auto.read.contains(r)));
        }
    }
}
