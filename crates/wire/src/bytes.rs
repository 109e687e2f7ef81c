//! Little-endian numbers at an offset. Callers have checked the length.

macro_rules! at {
    ($($name:ident: $t:ty;)*) => {
        $(pub(crate) fn $name(bytes: &[u8], at: usize) -> $t {
            let mut raw = [0; size_of::<$t>()];
            raw.copy_from_slice(&bytes[at..at + size_of::<$t>()]);
            <$t>::from_le_bytes(raw)
        })*
    };
}

at! {
    u16_at: u16;
    u32_at: u32;
    u64_at: u64;
    i64_at: i64;
}
