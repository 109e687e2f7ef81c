//! Tensors in files of NumPy's `.npy` format, versions 1 to 3.
//!
//! Format: <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>.

use std::io::{self, Read, Write};

use vaccel_abi::error;

use crate::error::{Error, Result};
use crate::tensor::{Dtype, Tensor};

const MAGIC: &[u8; 6] = b"\x93NUMPY";
/// A header longer than this is not one.
const MAX_HEADER: usize = 64 * 1024;
/// The data begins at a multiple of this.
const ALIGNMENT: usize = 64;

impl Tensor {
    /// Reads a tensor from a `.npy` file, up to the end of the array.
    ///
    /// # Errors
    /// `EIO` when reading fails or ends early; `EINVAL` for bytes that are not a `.npy`
    /// file; `ENOTSUP` for element types a tensor cannot hold and for column-major arrays.
    pub fn read_npy(mut reader: impl Read) -> Result<Self> {
        let header = read_header(&mut reader)?;
        let Header { descr, shape, .. } = &header;
        if header.fortran_order {
            return Err(Error::new(
                error::ENOTSUP,
                "the array is column-major; save it with numpy.ascontiguousarray(array)",
            ));
        }
        let (dtype, swap) = dtype(descr)?;
        let size = dtype
            .bytes(shape)
            .ok_or_else(|| Error::invalid(format!("an array of {descr} {shape:?} is too large")))?;
        // Room is made as bytes arrive: the header alone may claim anything.
        let mut bytes = Vec::new();
        let wanted = u64::try_from(size).unwrap_or(u64::MAX);
        reader
            .take(wanted)
            .read_to_end(&mut bytes)
            .map_err(broken)?;
        if bytes.len() != size {
            return Err(Error::new(
                error::EIO,
                format!(
                    "the file ends after {} of {size} bytes of the array",
                    bytes.len()
                ),
            ));
        }
        if swap {
            bytes
                .chunks_exact_mut(dtype.alignment())
                .for_each(<[u8]>::reverse);
        }
        Self::from_bytes(dtype, shape, bytes)
    }

    /// Writes the tensor as a `.npy` file, version 1.
    ///
    /// # Errors
    /// `ENOTSUP` for `bf16`, `i4` and `u4`, which the format does not know; `EIO`
    /// when writing fails.
    pub fn write_npy(&self, mut writer: impl Write) -> Result<()> {
        let kind = match self.dtype() {
            Dtype::F32 => "f4",
            Dtype::F64 => "f8",
            Dtype::F16 => "f2",
            Dtype::I8 => "i1",
            Dtype::U8 => "u1",
            Dtype::I16 => "i2",
            Dtype::U16 => "u2",
            Dtype::I32 => "i4",
            Dtype::U32 => "u4",
            Dtype::I64 => "i8",
            Dtype::U64 => "u8",
            Dtype::Bool => "b1",
            other @ (Dtype::Bf16 | Dtype::I4 | Dtype::U4) => {
                return Err(Error::new(
                    error::ENOTSUP,
                    format!("a .npy file cannot hold {other}"),
                ));
            }
        };
        let order = match (self.dtype().alignment(), cfg!(target_endian = "big")) {
            (1, _) => '|',
            (_, true) => '>',
            (_, false) => '<',
        };
        let mut dims: String = self.shape().iter().map(|n| format!("{n}, ")).collect();
        if self.shape().len() > 1 {
            dims.truncate(dims.len() - 2);
        } else {
            // One dimension keeps its comma: (3,)
            dims.truncate(dims.trim_end().len());
        }
        let mut header =
            format!("{{'descr': '{order}{kind}', 'fortran_order': False, 'shape': ({dims}), }}");
        // Magic, version and length take 10 bytes; spaces and a newline fill up.
        let total = (10 + header.len() + 1).next_multiple_of(ALIGNMENT);
        header.extend(std::iter::repeat_n(' ', total - 11 - header.len()));
        header.push('\n');
        // At most 8 dimensions of 20 digits: far below 65535.
        let length = u16::try_from(header.len()).map_err(|_| Error::invalid("shape too long"))?;
        let mut write = |bytes: &[u8]| writer.write_all(bytes).map_err(broken);
        write(MAGIC)?;
        write(&[1, 0])?;
        write(&length.to_le_bytes())?;
        write(header.as_bytes())?;
        write(self.bytes())
    }
}

#[derive(Debug, Default)]
struct Header {
    descr: String,
    fortran_order: bool,
    shape: Vec<usize>,
}

fn read_header(reader: &mut impl Read) -> Result<Header> {
    let mut start = [0; 8];
    reader.read_exact(&mut start).map_err(broken)?;
    if &start[..6] != MAGIC {
        return Err(Error::invalid(
            "not a .npy file: it does not begin with \\x93NUMPY",
        ));
    }
    let length = match start[6] {
        1 => {
            let mut length = [0; 2];
            reader.read_exact(&mut length).map_err(broken)?;
            usize::from(u16::from_le_bytes(length))
        }
        2 | 3 => {
            let mut length = [0; 4];
            reader.read_exact(&mut length).map_err(broken)?;
            usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX)
        }
        other => {
            return Err(Error::new(
                error::ENOTSUP,
                format!(".npy version {other} is not known"),
            ));
        }
    };
    if length > MAX_HEADER {
        return Err(Error::invalid(format!(
            "the .npy header has {length} bytes"
        )));
    }
    let mut text = vec![0; length];
    reader.read_exact(&mut text).map_err(broken)?;
    let text =
        String::from_utf8(text).map_err(|_| Error::invalid("the .npy header is not text"))?;
    parse_header(&text).ok_or_else(|| {
        Error::invalid(format!(
            "the .npy header cannot be understood: {}",
            text.trim()
        ))
    })
}

/// Reads the Python dictionary of the header: three known keys, in any order.
fn parse_header(text: &str) -> Option<Header> {
    let mut rest = text.trim().strip_prefix('{')?.strip_suffix('}')?.trim();
    let mut header = Header::default();
    let mut seen = [false; 3];
    while !rest.is_empty() {
        let (key, after) = quoted(rest)?;
        rest = after.trim_start().strip_prefix(':')?.trim_start();
        match key {
            "descr" => {
                let (descr, after) = quoted(rest)?;
                header.descr = descr.to_owned();
                rest = after;
                seen[0] = true;
            }
            "fortran_order" => {
                (header.fortran_order, rest) = match rest.strip_prefix("False") {
                    Some(after) => (false, after),
                    None => (true, rest.strip_prefix("True")?),
                };
                seen[1] = true;
            }
            "shape" => {
                let (dims, after) = rest.strip_prefix('(')?.split_once(')')?;
                header.shape = dims
                    .split(',')
                    .map(str::trim)
                    .filter(|dim| !dim.is_empty())
                    .map(|dim| dim.parse().ok())
                    .collect::<Option<_>>()?;
                rest = after;
                seen[2] = true;
            }
            _ => return None,
        }
        rest = rest.trim_start();
        rest = match rest.strip_prefix(',') {
            Some(after) => after.trim_start(),
            None if rest.is_empty() => rest,
            None => return None,
        };
    }
    (seen == [true; 3]).then_some(header)
}

/// A Python string at the beginning of `text`, and what follows it.
fn quoted(text: &str) -> Option<(&str, &str)> {
    let quote = text.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
    text[1..].split_once(quote)
}

/// The type of a `descr`, and whether its bytes must be turned round.
fn dtype(descr: &str) -> Result<(Dtype, bool)> {
    let unknown = || {
        Error::new(
            error::ENOTSUP,
            format!("a tensor cannot hold elements of NumPy type {descr:?}"),
        )
    };
    let order = descr.chars().next().ok_or_else(unknown)?;
    let swap = match order {
        '|' | '=' => false,
        '<' => cfg!(target_endian = "big"),
        '>' => cfg!(target_endian = "little"),
        _ => return Err(unknown()),
    };
    let dtype = match &descr[1..] {
        "f4" => Dtype::F32,
        "f8" => Dtype::F64,
        "f2" => Dtype::F16,
        "i1" => Dtype::I8,
        "u1" => Dtype::U8,
        "i2" => Dtype::I16,
        "u2" => Dtype::U16,
        "i4" => Dtype::I32,
        "u4" => Dtype::U32,
        "i8" => Dtype::I64,
        "u8" => Dtype::U64,
        "b1" => Dtype::Bool,
        _ => return Err(unknown()),
    };
    Ok((dtype, swap))
}

#[allow(clippy::needless_pass_by_value)] // as `map_err` hands it over
fn broken(e: io::Error) -> Error {
    Error::new(
        error::EIO,
        format!("the .npy file cannot be read or written: {e}"),
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn file(header: &str, data: &[u8]) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend([1, 0]);
        bytes.extend(u16::try_from(header.len()).unwrap().to_le_bytes());
        bytes.extend(header.as_bytes());
        bytes.extend(data);
        bytes
    }

    fn round_trip(tensor: &Tensor) {
        let mut bytes = Vec::new();
        tensor.write_npy(&mut bytes).unwrap();
        let data_at = bytes.len() - tensor.bytes().len();
        assert_eq!(data_at % ALIGNMENT, 0);
        assert_eq!(bytes[data_at - 1], b'\n');
        assert_eq!(&Tensor::read_npy(&bytes[..]).unwrap(), tensor);
    }

    #[test]
    fn every_type_of_the_format_comes_back_as_it_was_written() {
        round_trip(&Tensor::new(&[2, 3], vec![1.0f32; 6]).unwrap());
        round_trip(&Tensor::new(&[3], vec![1.0f64; 3]).unwrap());
        round_trip(&Tensor::new(&[], vec![-1i64]).unwrap());
        round_trip(&Tensor::new(&[1, 0, 2], Vec::<u32>::new()).unwrap());
        round_trip(&Tensor::from_f16_bits(&[2], vec![0x3c00, 0xc000]).unwrap());
        round_trip(&Tensor::from_bools(&[2], &[true, false]).unwrap());
        for (dtype, size) in [
            (Dtype::I8, 1),
            (Dtype::U8, 1),
            (Dtype::I16, 2),
            (Dtype::U16, 2),
            (Dtype::I32, 4),
            (Dtype::U64, 8),
        ] {
            round_trip(&Tensor::from_bytes(dtype, &[2], vec![0x81; 2 * size]).unwrap());
        }
    }

    #[test]
    fn a_file_as_numpy_writes_it_is_read() {
        let header = "{'descr': '<i2', 'fortran_order': False, 'shape': (2,), }          \n";
        let tensor = Tensor::read_npy(&file(header, &[1, 0, 2, 0])[..]).unwrap();
        assert_eq!(tensor.dtype(), Dtype::I16);
        assert_eq!(
            tensor.bytes(),
            [1i16.to_le_bytes(), 2i16.to_le_bytes()].concat()
        );
    }

    #[test]
    fn the_other_byte_order_is_turned_round() {
        let header = "{'descr': '>i4', 'fortran_order': False, 'shape': (1,), }\n";
        let tensor = Tensor::read_npy(&file(header, &5i32.to_be_bytes())[..]).unwrap();
        assert_eq!(tensor.as_slice::<i32>().unwrap(), [5]);
    }

    #[test]
    fn column_major_arrays_are_refused_with_the_way_out() {
        let header = "{'descr': '<f4', 'fortran_order': True, 'shape': (1, 1), }\n";
        let error = Tensor::read_npy(&file(header, &[0; 4])[..]).unwrap_err();
        assert!(error.message.contains("ascontiguousarray"), "{error}");
    }

    #[test]
    fn a_header_that_claims_more_than_the_file_holds_is_an_error_and_no_allocation() {
        let header = "{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,), }\n";
        let result = Tensor::read_npy(&file(header, &[0; 4])[..]);
        if usize::BITS == 64 {
            assert_eq!(result.unwrap_err().code, error::EIO);
        } else {
            assert!(result.is_err());
        }
    }

    #[test]
    fn what_is_not_the_format_is_an_error() {
        for header in [
            "{'descr': '<f4', 'fortran_order': False}",
            "{'descr': '<c8', 'fortran_order': False, 'shape': (1,)}",
            "{'descr': '<f4', 'fortran_order': 1, 'shape': (1,)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}",
            "{'descr': '', 'fortran_order': False, 'shape': (1,)}",
            "{'other': 1}",
            "",
            "{",
        ] {
            assert!(
                Tensor::read_npy(&file(header, &[0; 8])[..]).is_err(),
                "{header}"
            );
        }
        assert!(Tensor::read_npy(&b"PK\x03\x04 not numpy"[..]).is_err());
        assert!(Tensor::read_npy(&b"\x93NUMPY\x02\0\xff\xff\xff\xff"[..]).is_err());
        assert!(Tensor::read_npy(&b""[..]).is_err());
    }

    #[test]
    fn types_the_format_does_not_know_are_refused() {
        let tensor = Tensor::from_bytes(Dtype::Bf16, &[1], vec![0, 0]).unwrap();
        assert_eq!(
            tensor.write_npy(Vec::new()).unwrap_err().code,
            error::ENOTSUP
        );
    }
}
