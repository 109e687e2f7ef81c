//! Gives the library a name of its own.
fn main() {
    println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libvaccel-reference.so.0");
    println!("cargo::rerun-if-changed=build.rs");
}
