//! Code of the messages and of the service, from `proto/`; needs no protoc.

use std::path::PathBuf;
use ttrpc_codegen::Codegen;

fn main() -> std::io::Result<()> {
    println!("cargo::rerun-if-changed=proto");
    let out = PathBuf::from(std::env::var_os("OUT_DIR").unwrap_or_default());
    Codegen::new()
        .out_dir(&out)
        .inputs(["proto/vaccel.proto"])
        .include("proto")
        .rust_protobuf()
        .run()?;
    // `include!` takes no inner attributes.
    for file in ["vaccel.rs", "vaccel_ttrpc.rs"] {
        let text = std::fs::read_to_string(out.join(file))?;
        let kept = text
            .lines()
            .filter(|line| !line.starts_with("#![") && !line.starts_with("//!"));
        let kept: Vec<&str> = kept.collect();
        std::fs::write(out.join(file), kept.join("\n"))?;
    }
    Ok(())
}
