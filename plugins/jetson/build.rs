//! Gives the library the name that loaders ask for.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libvaccel-jetson.so.0");
}
