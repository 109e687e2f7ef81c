#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| vaccel_fuzz_targets::genop(data));
