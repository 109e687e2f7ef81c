//! Gives the library its name: programs look for the plugin by it.
fn main() {
    println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libvaccel-mbench.so.0");
    println!("cargo::rerun-if-changed=build.rs");
}
