//! Generic calls: counts, types, sizes and texts that a client chose.

use std::ffi::c_void;
use vaccel_abi::arg::vaccel_arg;
use vaccel_abi::session::vaccel_session;
use vaccel_core::ptr::Ptr;

/// Calls `vaccel_genop` with arguments made of the bytes. No session is open: what is
/// fuzzed is what happens before a plugin is called.
///
/// Each argument is 4 bytes (type, flags, size as u16) and its bytes.
pub fn genop(data: &[u8]) {
    let Some((&[code, count], mut rest)) = data.split_first_chunk() else {
        return;
    };
    // Memory of its own for each argument, of exactly its size, so that a sanitizer sees
    // every byte that is read beyond it.
    let mut buffers: Vec<Option<Box<[u64]>>> = Vec::new();
    let mut args = vec![arg(vaccel_abi::arg::ARG_UINT8, 1)];
    buffers.push(Some(vec![u64::from(code)].into()));
    while let Some((&[type_, flags, low, high], after)) = rest.split_first_chunk() {
        if args.len() > 24 {
            break;
        }
        let size = usize::from(u16::from_le_bytes([low, high])) % 512;
        let bytes = &after[..size.min(after.len())];
        rest = &after[bytes.len()..];
        let null = flags & 1 != 0;
        let mut words = vec![0_u64; bytes.len().div_ceil(8)];
        for (word, chunk) in words.iter_mut().zip(bytes.chunks(8)) {
            let mut whole = [0; 8];
            whole[..chunk.len()].copy_from_slice(chunk);
            *word = u64::from_le_bytes(whole);
        }
        buffers.push((!null).then(|| words.into()));
        args.push(arg(
            u32::from(type_ % 32),
            if null { 0 } else { bytes.len() },
        ));
    }
    for (arg, buffer) in args.iter_mut().zip(&mut buffers) {
        if let Some(words) = buffer {
            arg.buf = words.as_mut_ptr().cast::<c_void>();
        }
    }
    let reads = 1 + usize::from(count) % args.len();
    let (read, write) = args.split_at_mut(reads);
    // SAFETY: a session of zeros is one that is not open; the structure has no invalid value.
    let mut session: vaccel_session = unsafe { std::mem::zeroed() };
    // SAFETY: it lives until the end of the call.
    let Ok(session) = (unsafe { Ptr::new(&raw mut session, "sess") }) else {
        return;
    };
    let (nr_read, nr_write) = (read.len() as i32, write.len() as i32);
    let result = vaccel_core::genop::genop(
        session,
        read.as_mut_ptr(),
        nr_read,
        write.as_mut_ptr(),
        nr_write,
    );
    // Nothing can succeed without a session.
    let error = result.expect_err("no session is open");
    assert!(!error.message().is_empty());
}

fn arg(type_: u32, size: usize) -> vaccel_arg {
    vaccel_arg {
        buf: std::ptr::null_mut(),
        size,
        type_,
        custom_type_id: if type_ == vaccel_abi::arg::ARG_CUSTOM {
            vaccel_abi::arg::CUSTOM_TENSOR
        } else {
            0
        },
        owned: false,
    }
}
