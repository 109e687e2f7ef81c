//! Linker arguments of the plugin and of its tests.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // Threads of the engine's pool sleep in this library's code: it must stay
    // mapped when the library that loaded it closes it.
    println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete");
    // Tests stand in for the library, whose functions plugins look up by name.
    println!("cargo::rustc-link-arg-tests=-rdynamic");
}
