//! Builds the variadic C function and gives the library its name.
//!
//! The package `vaccel-static` is built by this file too, so paths are from here.

fn main() {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/../ffi/csrc/slog.c");
    println!("cargo:rerun-if-changed={source}");
    cc::Build::new()
        .file(source)
        .std("c11")
        .warnings(true)
        .compile("vaccel_slog");
    if env!("CARGO_PKG_NAME") != "vaccel-ffi" {
        return; // no shared library is made
    }
    println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libvaccel.so.0");
    // Programs and plugins hold pointers into this library, and threads of
    // plugins may still run in it: it stays until the process ends.
    println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
}
