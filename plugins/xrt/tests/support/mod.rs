//! Makes an xclbin without any hardware behind it: enough for XRT to load it, to open its
//! kernels and to run them on a device that computes nothing.
//!
//! The layout is that of `struct axlf` and its sections in XRT's `xclbin.h`.

/// Kinds of sections.
const BITSTREAM: u32 = 0;
const EMBEDDED_METADATA: u32 = 2;
const MEM_TOPOLOGY: u32 = 6;
const CONNECTIVITY: u32 = 7;
const IP_LAYOUT: u32 = 8;

/// Bytes of the head before the first section.
const HEAD: usize = 456;
/// Bytes of the description of a section.
const SECTION: usize = 40;

/// A parameter of a kernel.
pub(crate) enum Parameter {
    /// Memory of the device.
    Memory,
    /// A number of so many bytes, of a type of C.
    Number(usize, &'static str),
}

/// A kernel and its parameters.
pub(crate) struct Kernel {
    pub(crate) name: &'static str,
    pub(crate) parameters: Vec<Parameter>,
}

/// An xclbin with these kernels, known by `uuid`.
pub(crate) fn xclbin(uuid: u8, kernels: &[Kernel]) -> Vec<u8> {
    let sections = [
        (EMBEDDED_METADATA, metadata(kernels).into_bytes()),
        (MEM_TOPOLOGY, memories()),
        (CONNECTIVITY, connections(kernels)),
        (IP_LAYOUT, units(kernels)),
        (BITSTREAM, vec![0; 64]),
    ];
    let mut described = Vec::new();
    let mut data = Vec::new();
    let begin = HEAD + sections.len() * SECTION;
    for (kind, content) in &sections {
        described.extend(kind.to_le_bytes());
        described.extend([0; 20]); // name, padding
        described.extend(((begin + data.len()) as u64).to_le_bytes());
        described.extend((content.len() as u64).to_le_bytes());
        data.extend(content);
        data.resize(data.len().next_multiple_of(8), 0);
    }
    let mut file = b"xclbin2\0".to_vec();
    file.extend((-1_i32).to_le_bytes()); // not signed
    file.extend([0xff; 28 + 256]);
    file.extend(1_u64.to_le_bytes()); // uniqueId
    file.extend(((begin + data.len()) as u64).to_le_bytes());
    file.extend([0; 16]); // times
    file.extend([0, 0, 2, 1]); // version
    file.extend([0; 4 + 16 + 64]); // mode, platform and its name
    file.extend([uuid; 16]);
    file.extend([0; 16]);
    file.extend((sections.len() as u64).to_le_bytes()); // with padding
    assert_eq!(file.len(), HEAD);
    file.extend(described);
    file.extend(data);
    file
}

/// A bank of 1 GiB.
fn memories() -> Vec<u8> {
    let mut bytes = 1_u64.to_le_bytes().to_vec();
    bytes.extend([1, 1, 0, 0, 0, 0, 0, 0]);
    bytes.extend((1_u64 << 20).to_le_bytes());
    bytes.extend([0; 8]);
    bytes.extend(b"bank0\0\0\0\0\0\0\0\0\0\0\0");
    bytes
}

fn connections(kernels: &[Kernel]) -> Vec<u8> {
    let mut list = Vec::new();
    for (unit, kernel) in kernels.iter().enumerate() {
        for (i, parameter) in kernel.parameters.iter().enumerate() {
            if matches!(parameter, Parameter::Memory) {
                list.push([i as i32, unit as i32, 0]);
            }
        }
    }
    let mut bytes = (list.len() as i32).to_le_bytes().to_vec();
    for number in list.concat() {
        bytes.extend(number.to_le_bytes());
    }
    bytes
}

fn units(kernels: &[Kernel]) -> Vec<u8> {
    let mut bytes = (kernels.len() as u64).to_le_bytes().to_vec();
    for (i, kernel) in kernels.iter().enumerate() {
        bytes.extend(1_u32.to_le_bytes()); // IP_KERNEL
        bytes.extend(1_u32.to_le_bytes());
        bytes.extend(base(i).to_le_bytes());
        let mut name = format!("{0}:{0}_1", kernel.name).into_bytes();
        name.resize(64, 0);
        bytes.extend(name);
    }
    bytes
}

fn base(unit: usize) -> u64 {
    0x180_0000 + 0x1_0000 * unit as u64
}

fn metadata(kernels: &[Kernel]) -> String {
    let kernel = |(unit, kernel): (usize, &Kernel)| {
        let arguments: String = kernel.parameters.iter().enumerate().map(argument).collect();
        format!(
            r#"<kernel name="{0}" language="c" vlnv="x:x:{0}:1.0" attributes="" preferredWorkGroupSizeMultiple="0" workGroupSize="1" interrupt="true" hwControlProtocol="ap_ctrl_hs">
            <port name="M_AXI_GMEM" mode="master" range="0xFFFFFFFF" dataWidth="32" portType="addressable" base="0x0"/>
            <port name="S_AXI_CONTROL" mode="slave" range="0x1000" dataWidth="32" portType="addressable" base="0x0"/>
            {arguments}
            <instance name="{0}_1"><addrRemap base="{1:#x}" port="S_AXI_CONTROL"/></instance></kernel>"#,
            kernel.name,
            base(unit)
        )
    };
    let kernels: String = kernels.iter().enumerate().map(kernel).collect();
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
        <project name="none"><platform vendor="none" boardid="none" name="none" featureRomTime="0">
        <version major="1" minor="0"/><description/>
        <device name="fpga0" fpgaDevice="none" addrWidth="0">
        <core name="OCL_REGION_0" target="bitstream" type="clc_region" clockFreq="0MHz" numComputeUnits="60">
        <kernelClocks/>{kernels}</core></device></platform></project>"#
    )
}

fn argument((i, parameter): (usize, &Parameter)) -> String {
    let (qualifier, port, size, type_) = match parameter {
        Parameter::Memory => (1, "M_AXI_GMEM", 8, "float*"),
        Parameter::Number(size, type_) => (0, "S_AXI_CONTROL", *size, *type_),
    };
    format!(
        r#"<arg name="p{i}" addressQualifier="{qualifier}" id="{i}" port="{port}" size="{size:#x}" offset="{:#x}" hostOffset="0x0" hostSize="{size:#x}" type="{type_}"/>"#,
        0x10 + 12 * i
    )
}
