//! Descriptions, addresses, pictures and arrays.

use vaccel::Tensor;
use vaccel_transport::Address;
use vaccel_vision::{Description, Labels, Limits};

/// Addresses of agents and paths of resources.
pub fn address(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Ok(address) = text.parse::<Address>() {
        let written = address.to_string();
        let again: Address = written.parse().expect("what was written can be read");
        assert_eq!(again, address, "{written}");
    }
    let _ = vaccel_core::url::parse(text);
    let _ = vaccel_fetch::Address::parse(text);
}

/// `model.toml` and label files.
pub fn model_toml(data: &[u8]) {
    let _ = Labels::from_bytes(data, "labels.txt");
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let _ = Description::task_alone(text);
    match Description::parse(text, "model.toml") {
        Ok(mut description) => {
            let _ = (description.output.tensor_names(), description.model_file());
            if description.label_file().is_some() {
                let _ = description.set_labels(b"one\ntwo\n");
            }
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// Encoded pictures.
pub fn image(data: &[u8]) {
    let limits = Limits {
        side: 512,
        pixels: 1 << 17,
    };
    if let Ok(picture) = vaccel_vision::decode(data, &limits) {
        let (width, height) = (u64::from(picture.width()), u64::from(picture.height()));
        assert!(width * height <= limits.pixels && width * height > 0);
        assert_eq!(picture.rgb().len() as u64, 3 * width * height);
    }
}

/// Arrays in NumPy's format.
pub fn npy(data: &[u8]) {
    let Ok(tensor) = Tensor::read_npy(data) else {
        return;
    };
    assert!(tensor.bytes().len() <= data.len());
    let mut again = Vec::new();
    tensor.write_npy(&mut again).expect("it has been read");
    let read = Tensor::read_npy(&again[..]).expect("what was written can be read");
    assert_eq!(
        (read.dtype(), read.shape()),
        (tensor.dtype(), tensor.shape())
    );
    assert_eq!(read.bytes(), tensor.bytes());
}
