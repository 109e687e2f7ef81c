//! TensorFlow's `ConfigProto`: threads and devices of a session.

use vaccel_inference::Settings;
use vaccel_plugin::{Result, bail};

/// The message for these settings.
///
/// # Errors
/// `ENOTSUP` for a device that this backend does not know.
pub(crate) fn encode(settings: &Settings) -> Result<Vec<u8>> {
    let mut message = Vec::new();
    let (device, number) = match settings.device.split_once(':') {
        Some((device, number)) => (device, number),
        None => (settings.device.as_str(), ""),
    };
    let plain = number.len() < 10 && number.bytes().all(|b| b.is_ascii_digit());
    match (device, number) {
        ("", "") => {}
        // device_count = 1, a map: {"GPU": 0}.
        ("cpu", "") => bytes(&mut message, 1, b"\x0a\x03GPU\x10\x00"),
        ("gpu" | "cuda", "") => {}
        // gpu_options = 6: visible_device_list = 5.
        ("gpu" | "cuda", number) if plain => {
            let mut options = Vec::new();
            bytes(&mut options, 5, number.as_bytes());
            bytes(&mut message, 6, &options);
        }
        _ => bail!(
            ENOTSUP,
            "option `device`: this backend runs on cpu and gpu[:N], not on `{}`",
            settings.device
        ),
    }
    // intra_op_parallelism_threads = 2, inter_op_parallelism_threads = 5.
    number_field(&mut message, 2, settings.threads as u64);
    number_field(&mut message, 5, 1);
    // use_per_session_threads = 9: otherwise the first session decides for all.
    number_field(&mut message, 9, 1);
    Ok(message)
}

/// Appends a field that is a number.
fn number_field(message: &mut Vec<u8>, field: u8, value: u64) {
    message.push(field << 3);
    varint(message, value);
}

/// Appends a field that is bytes.
fn bytes(message: &mut Vec<u8>, field: u8, value: &[u8]) {
    message.push(field << 3 | 2);
    varint(message, value.len() as u64);
    message.extend_from_slice(value);
}

fn varint(message: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        message.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    message.push(value as u8);
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use vaccel_plugin::Options;

    fn settings(device: &str, threads: usize) -> Settings {
        let call = format!("threads={threads},device={device}");
        Settings::read("none", &[], &Options::parse(&call).unwrap(), None).unwrap()
    }

    #[test]
    fn threads_and_devices_are_written_as_tensorflow_reads_them() {
        let plain = encode(&settings("", 200)).unwrap();
        assert_eq!(plain, [0x10, 0xc8, 0x01, 0x28, 1, 0x48, 1]);
        let cpu = encode(&settings("cpu", 1)).unwrap();
        assert_eq!(cpu[..9], *b"\x0a\x07\x0a\x03GPU\x10\x00");
        let second = encode(&settings("gpu:1", 1)).unwrap();
        assert_eq!(second[..5], *b"\x32\x03\x2a\x011");
        assert!(encode(&settings("moon", 1)).is_err());
        assert!(encode(&settings("gpu:x", 1)).is_err());
    }
}
