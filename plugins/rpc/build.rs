//! Gives the library its name: programs look for the plugin by it.
fn main() {
    println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libvaccel-rpc.so.0");
    // The tests stand in for the library: the plugin looks its functions up among
    // the symbols of the program.
    println!("cargo::rustc-link-arg-tests=-Wl,--export-dynamic");
    println!("cargo::rerun-if-changed=build.rs");
}
