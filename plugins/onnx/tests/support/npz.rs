//! Reads the arrays of bytes, i64 and f32 in a NumPy `.npz`: the test pictures of the
//! trained models.

use std::collections::HashMap;
use std::io::Read;
use std::path::Path;

/// An array: its shape and its bytes.
pub struct Array {
    pub shape: Vec<usize>,
    pub bytes: Vec<u8>,
}

impl Array {
    pub fn f32s(&self) -> Vec<f32> {
        let elements = self.bytes.as_chunks().0.iter();
        elements.map(|&b| f32::from_le_bytes(b)).collect()
    }

    pub fn i64s(&self) -> Vec<i64> {
        let elements = self.bytes.as_chunks().0.iter();
        elements.map(|&b| i64::from_le_bytes(b)).collect()
    }
}

fn number<const N: usize>(bytes: &[u8], at: usize) -> usize {
    let mut wide = [0; 8];
    wide[..N].copy_from_slice(&bytes[at..at + N]);
    u64::from_le_bytes(wide).try_into().unwrap()
}

/// The arrays of a file by name.
pub fn read(path: &Path) -> HashMap<String, Array> {
    let zip = std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let end = zip.windows(4).rposition(|w| w == b"PK\x05\x06").unwrap();
    let (count, mut at) = (number::<2>(&zip, end + 10), number::<4>(&zip, end + 16));
    let mut arrays = HashMap::new();
    for _ in 0..count {
        assert_eq!(&zip[at..at + 4], b"PK\x01\x02");
        let (method, packed) = (number::<2>(&zip, at + 10), number::<4>(&zip, at + 20));
        let lengths = [28, 30, 32].map(|offset| number::<2>(&zip, at + offset));
        let name = std::str::from_utf8(&zip[at + 46..at + 46 + lengths[0]]).unwrap();
        let local = number::<4>(&zip, at + 42);
        let start = local + 30 + number::<2>(&zip, local + 26) + number::<2>(&zip, local + 28);
        let data = &zip[start..start + packed];
        let mut npy = Vec::new();
        match method {
            0 => npy.extend_from_slice(data),
            8 => {
                flate2::read::DeflateDecoder::new(data)
                    .read_to_end(&mut npy)
                    .unwrap();
            }
            other => panic!("zip method {other}"),
        }
        arrays.insert(name.trim_end_matches(".npy").to_owned(), array(&npy));
        at += 46 + lengths.iter().sum::<usize>();
    }
    arrays
}

fn array(npy: &[u8]) -> Array {
    assert!(npy.starts_with(b"\x93NUMPY\x01"));
    let start = 10 + number::<2>(npy, 8);
    let header = std::str::from_utf8(&npy[10..start]).unwrap();
    assert!(header.contains("'fortran_order': False"), "{header}");
    let shape = header.split(['(', ')']).nth(1).unwrap();
    Array {
        shape: shape
            .split(',')
            .filter_map(|n| n.trim().parse().ok())
            .collect(),
        bytes: npy[start..].to_vec(),
    }
}
