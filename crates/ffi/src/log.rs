//! Log lines, and the logger's own interface (`slog.h`).

use std::ffi::{c_char, c_int};
use vaccel_abi::log::{SLogConfig, SlogFlag};
use vaccel_core::config::Config;
use vaccel_core::log;

#[repr(C)]
struct Sink {
    enabled: extern "C" fn(SlogFlag) -> c_int,
    write: unsafe extern "C" fn(SlogFlag, u8, *const c_char, usize),
}

unsafe extern "C" {
    fn vaccel_slog_set_sink(sink: Sink);
    fn vaccel_slog_print(flag: SlogFlag, newline: u8, format: *const c_char, ...);
}

extern "C" fn enabled(flag: SlogFlag) -> c_int {
    c_int::from(log::enabled(flag))
}

unsafe extern "C" fn write(flag: SlogFlag, newline: u8, text: *const c_char, length: usize) {
    crate::guard::code("slog_print", || {
        // SAFETY: `csrc/slog.c` passes as many bytes as it says.
        let text = unsafe { std::slice::from_raw_parts(text.cast::<u8>(), length) };
        log::write(flag, newline != 0, text);
        Ok(())
    });
}

/// Connects the variadic C function with the log.
pub(crate) fn install() {
    // SAFETY: the functions live as long as the library.
    unsafe { vaccel_slog_set_sink(Sink { enabled, write }) };
}

/// `void slog_print(SLOG_FLAGS_E flag, uint8_t newline, const char *format, ...)`:
/// jumps to the C function, so that the symbol is exported like all others.
///
/// # Safety
/// As `printf`.
#[unsafe(no_mangle)]
#[unsafe(naked)]
pub unsafe extern "C" fn slog_print() {
    #[cfg(any(target_arch = "x86_64", target_arch = "x86"))]
    std::arch::naked_asm!("jmp {}", sym vaccel_slog_print);
    #[cfg(any(target_arch = "aarch64", target_arch = "arm"))]
    std::arch::naked_asm!("b {}", sym vaccel_slog_print);
    #[cfg(any(target_arch = "riscv64", target_arch = "riscv32"))]
    std::arch::naked_asm!("tail {}", sym vaccel_slog_print);
}

export! {
    /// Sets level and place as the configuration of the environment says.
    fn vaccel_log_init() {
        install();
        let config = Config::from_env();
        log::configure(config.log_level, config.log_file.as_deref())
    }

    /// Back to standard output with errors only.
    fn vaccel_log_shutdown() {
        log::shutdown();
        Ok(())
    }

    /// Reads the logger's settings.
    fn slog_config_get(config: *mut SLogConfig) -> (), (); {
        ptr!(config).write(log::config());
        Ok(())
    }

    /// Changes the logger's settings.
    fn slog_config_set(config: *mut SLogConfig) -> (), (); {
        log::set_config(&ptr!(config).read());
        Ok(())
    }

    /// Starts the logger: name of the log file, kinds of lines.
    fn slog_init(name: *const c_char, flags: u16, _thread_safe: u8) -> (), (); {
        install();
        log::init(optional_text!(name).unwrap_or(c""), flags);
        Ok(())
    }

    /// Ends the logger.
    fn slog_destroy() -> (), (); {
        log::shutdown();
        Ok(())
    }

    /// Turns kinds of lines on.
    fn slog_enable(flag: SlogFlag) -> (), (); {
        log::enable(flag);
        Ok(())
    }

    /// Turns kinds of lines off.
    fn slog_disable(flag: SlogFlag) -> (), (); {
        log::disable(flag);
        Ok(())
    }

    /// The version of the logger, which is that of the library.
    fn slog_version(short: u8) -> *const c_char, std::ptr::null(); {
        Ok(if short == 0 {
            concat!("vaccel ", env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
        } else {
            concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
        })
    }
}
