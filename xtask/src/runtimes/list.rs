//! The runtimes that there are packages for, pinned.

/// Where a package comes from.
#[derive(Clone, Copy)]
pub(super) enum Client {
    Pip,
    Npm,
    /// Debian's, unpacked: nothing is installed, and nobody has to be root.
    Deb,
}

/// A package of one version, and what is kept of it.
pub(super) struct Package {
    pub(super) client: Client,
    /// As the client wants it: `name==version`, `name@version`, `name=version`.
    pub(super) what: &'static str,
    /// SHA-256 of the archive for x86-64.
    pub(super) sha256: &'static str,
    /// File names that are kept (those that begin so), from these folders of the archive.
    /// Of Debian's packages the folder is kept whole, and put where the second says.
    pub(super) keep: &'static [(&'static str, &'static str)],
}

/// What a runtime without a C interface is called through, built of C++ beside it.
pub(super) struct Shim {
    /// In the source tree.
    pub(super) source: &'static str,
    pub(super) file: &'static str,
    /// Where the headers are in the first package. They are kept aside, so that another
    /// source of the shim needs no other download.
    pub(super) headers: &'static str,
    /// Folders among them that the compiler looks into.
    pub(super) include: &'static [&'static str],
    pub(super) libraries: &'static [&'static str],
}

pub(super) struct Runtime {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    pub(super) packages: &'static [Package],
    pub(super) shim: Option<Shim>,
    /// Libraries that the system's loader has to know (the beginning of its line), or files, and the
    /// Debian package of each: `--system` installs them.
    pub(super) system: &'static [(&'static str, &'static str)],
    /// Free space that the installation needs for a while, in MiB.
    pub(super) room: u64,
}

pub(super) const RUNTIMES: &[Runtime] = &[
    Runtime {
        name: "onnxruntime",
        about: "ONNX Runtime 1.31.1 for the processor",
        packages: &[Package {
            client: Client::Pip,
            what: "onnxruntime==1.31.1",
            sha256: "5752bd508126ae7c49894d3b9d2e83f0c3d487319246d04c444b393308d7ad7f",
            keep: &[
                ("onnxruntime/capi/", "libonnxruntime.so."),
                ("onnxruntime/", "LICENSE"),
            ],
        }],
        shim: None,
        system: &[],
        room: 200,
    },
    Runtime {
        name: "tflite",
        about: "TensorFlow Lite 2.9 with XNNPACK and its C interface",
        packages: &[Package {
            client: Client::Npm,
            what: "tfjs-tflite-node@0.0.2",
            sha256: "3be1632328a76a2475e5b6833253763c802c859433becb4d879ee1860e3b5284",
            keep: &[(
                if cfg!(target_arch = "aarch64") {
                    "package/cc_deps/linux_arm64/"
                } else {
                    "package/cc_deps/linux_amd64/"
                },
                "lib",
            )],
        }],
        shim: None,
        system: &[],
        room: 100,
    },
    Runtime {
        name: "openvino",
        about: "OpenVINO 2026.4.1 with its C interface, devices CPU, GPU, NPU, AUTO",
        packages: &[Package {
            client: Client::Pip,
            what: "openvino==2026.4.1",
            sha256: "2d22b1da03f7caf74df30e9f6417d0ab2f637e4a38e08e1dcd294d2c37407aaf",
            keep: &[
                ("openvino/libs/", ""),
                ("openvino-2026.4.1.dist-info/licenses/", "LICENSE"),
            ],
        }],
        shim: None,
        system: &[],
        room: 400,
    },
    Runtime {
        name: "tf",
        about: "TensorFlow 2.21 for the processor, with its C interface",
        packages: &[Package {
            client: Client::Pip,
            what: "tensorflow-cpu==2.21.0",
            sha256: "2b847d217b02ee7731ed91431daf3250daa0196c3c94614d23be27232e6e5b6c",
            keep: &[
                ("tensorflow/", "libtensorflow_cc.so."),
                ("tensorflow/", "libtensorflow_framework.so."),
            ],
        }],
        shim: None,
        system: &[],
        room: 1600,
    },
    Runtime {
        name: "torch",
        about: "libtorch 2.7 for the processor, with the shim that it is called through",
        packages: &[
            Package {
                client: Client::Pip,
                what: "torch==2.7.1",
                sha256: "06eea61f859436622e78dd0cdd51dbc8f8c6d76917a9cf0555a333f9eac31ec1",
                keep: &[
                    ("torch/lib/", "libtorch_cpu.so"),
                    ("torch/lib/", "libc10.so"),
                    ("torch/lib/", "libgomp"),
                ],
            },
            // Needed by what is linked, also where there is no GPU.
            Package {
                client: Client::Pip,
                what: "nvidia-cuda-runtime-cu12==12.6.77",
                sha256: "ba3b56a4f896141e25e19ab287cd71e52a6a0f4b29d0d31609f60e3b4d5219b7",
                keep: &[("nvidia/cuda_runtime/lib/", "libcudart.so.")],
            },
            Package {
                client: Client::Pip,
                what: "nvidia-cuda-cupti-cu12==12.6.80",
                sha256: "6768bad6cab4f19e8292125e5f1ac8aa7d1718704012a0e3272a6f61c4bce132",
                keep: &[("nvidia/cuda_cupti/lib/", "libcupti.so.")],
            },
        ],
        shim: Some(Shim {
            source: "plugins/torch/shim/torch.cpp",
            file: "libvaccel-torch-shim.so",
            headers: "torch/include/",
            include: &["", "torch/csrc/api/include"],
            libraries: &["torch_cpu", "c10"],
        }),
        system: &[],
        room: 2600,
    },
    Runtime {
        name: "tvm",
        about: "TVM 0.27, the runtime of models that it has compiled",
        packages: &[
            Package {
                client: Client::Pip,
                what: "apache-tvm==0.27.0",
                sha256: "c119f33459a098e87022b10b90e0bf83dadaf240c03091dbc84c211e96d38f7b",
                keep: &[
                    ("tvm/lib/", "libtvm_runtime.so"),
                    ("tvm/lib/", "libtvm_runtime_extra.so"),
                ],
            },
            Package {
                client: Client::Pip,
                what: "apache-tvm-ffi==0.1.15.post2",
                sha256: "8ecebe749834f6ac0f2693d5964acf9ac75d0bc26e6ba64c46eb7ab00ea50fac",
                keep: &[("tvm_ffi/lib/", "libtvm_ffi.so")],
            },
        ],
        shim: None,
        system: &[],
        room: 150,
    },
    Runtime {
        name: "xrt",
        about: "XRT 2.13, Xilinx' runtime, with the device that does nothing",
        packages: &[
            Package {
                client: Client::Deb,
                what: "libxrt1=202210.2.13.466+dfsg-8",
                sha256: "55ade0fb2c8346c89756df7511eb08e29858224f92fe1c25435b6890a04f66df",
                keep: &[("./usr/lib/x86_64-linux-gnu/", "lib")],
            },
            Package {
                client: Client::Deb,
                what: "libboost-filesystem1.74.0=1.74.0+ds1-21",
                sha256: "3e80caec26a4ee663dc2e4fdaf10b0f03308284f7e44248290b8dd18de4ca237",
                keep: &[("./usr/lib/x86_64-linux-gnu/", "lib")],
            },
        ],
        shim: None,
        system: &[],
        room: 50,
    },
    Runtime {
        name: "opencl",
        about: "the OpenCL loader, and PoCL, for which the processor is a device",
        packages: &[],
        shim: None,
        system: &[
            ("libOpenCL.so.1", "ocl-icd-libopencl1"),
            ("libpocl.so.2", "pocl-opencl-icd"),
        ],
        room: 300,
    },
    Runtime {
        name: "opencv",
        about: "OpenCV with what its shim is built with, and its cascades",
        packages: &[],
        shim: None,
        system: &[
            ("libopencv_objdetect.so ", "libopencv-objdetect-dev"),
            ("libopencv_video.so ", "libopencv-video-dev"),
            ("libopencv_imgcodecs.so ", "libopencv-imgcodecs-dev"),
            ("/usr/share/opencv4/haarcascades", "opencv-data"),
        ],
        room: 700,
    },
    Runtime {
        name: "blas",
        about: "OpenBLAS and BLIS, beside the product of matrices that is built in",
        packages: &[],
        shim: None,
        system: &[
            ("libopenblas.so.0", "libopenblas0-pthread"),
            ("libblis.so.4", "libblis4-pthread"),
        ],
        room: 100,
    },
];
