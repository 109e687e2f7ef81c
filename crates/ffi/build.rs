//! Builds the variadic C function and gives the library its name.

fn main() {
    println!("cargo:rerun-if-changed=csrc/slog.c");
    cc::Build::new()
        .file("csrc/slog.c")
        .std("c11")
        .warnings(true)
        .compile("vaccel_slog");
    println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libvaccel.so.0");
    // Programs and plugins hold pointers into this library, and threads of
    // plugins may still run in it: it stays until the process ends.
    println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
}
