//! Element types: what the file declares, what the engine computes with, and
//! the way from one to the other.
//!
//! The engine has f32, i32, i8 and u8. A program gives and gets the types that
//! the file declares; the difference is made up here:
//!
//! | declared | computed as | in | out |
//! | --- | --- | --- | --- |
//! | f32, i32, i8, u8 | the same | borrowed, no copy | copied once |
//! | i64 | i32 | a value that does not fit is `ERANGE` | widened |
//! | bool | i32 | not 0 is true | 0 or 1 |
//! | f16 | f32 | exact | rounded to nearest even |
//! | f64 | f32 | rounded; beyond the range of f32 is `ERANGE` | widened |

use rten::{Value, ValueOrView, ValueView};
use rten_tensor::prelude::*;
use rten_tensor::{Tensor, TensorView};
use vaccel_plugin::{Dtype, Result, err};
use vaccel_vision::{f16_bits, f16_value};

/// Element type that a file declares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Elem {
    /// One of the tensor types of the C interface.
    Known(Dtype),
    /// Something that no tensor of the C interface holds.
    Other(&'static str),
}

impl Elem {
    /// The type of a number of `TensorProto.DataType`; `None` for 0, "undefined".
    pub(crate) fn from_onnx(number: u64) -> Option<Self> {
        Some(Self::Known(match number {
            0 => return None,
            1 => Dtype::F32,
            2 => Dtype::U8,
            3 => Dtype::I8,
            4 => Dtype::U16,
            5 => Dtype::I16,
            6 => Dtype::I32,
            7 => Dtype::I64,
            8 => return Some(Self::Other("string")),
            9 => Dtype::Bool,
            10 => Dtype::F16,
            11 => Dtype::F64,
            12 => Dtype::U32,
            13 => Dtype::U64,
            14 | 15 => return Some(Self::Other("complex")),
            16 => Dtype::Bf16,
            17..=20 | 24 => return Some(Self::Other("float8")),
            21 => Dtype::U4,
            22 => Dtype::I4,
            23 => return Some(Self::Other("float4")),
            _ => return Some(Self::Other("unknown")),
        }))
    }

    /// Its name in errors.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Known(dtype) => dtype.name(),
            Self::Other(name) => name,
        }
    }

    /// The type, where the engine can compute with it.
    pub(crate) fn computable(self) -> Option<Dtype> {
        match self {
            Self::Known(
                dtype @ (Dtype::F32
                | Dtype::F64
                | Dtype::F16
                | Dtype::I8
                | Dtype::U8
                | Dtype::I32
                | Dtype::I64
                | Dtype::Bool),
            ) => Some(dtype),
            _ => None,
        }
    }
}

/// Makes a tensor of the engine from a program's bytes, without copying where
/// type and alignment allow. The caller has checked that `bytes` has the size of
/// `shape` and that the type is computable.
///
/// # Errors
/// `ERANGE` for an i64 or f64 that does not fit, with name and position.
pub(crate) fn to_engine<'a>(
    name: &str,
    dtype: Dtype,
    shape: &[usize],
    bytes: &'a [u8],
) -> Result<ValueOrView<'a>> {
    Ok(match dtype {
        Dtype::F32 => borrow::<f32>(shape, bytes, f32::from_ne_bytes),
        Dtype::I32 => borrow::<i32>(shape, bytes, i32::from_ne_bytes),
        Dtype::U8 => ValueView::from(TensorView::from_data(shape, bytes)).into(),
        Dtype::I8 => {
            // SAFETY: i8 has the size and alignment of u8, and every byte is one.
            let data =
                unsafe { std::slice::from_raw_parts(bytes.as_ptr().cast::<i8>(), bytes.len()) };
            ValueView::from(TensorView::from_data(shape, data)).into()
        }
        Dtype::Bool => convert(shape, bytes, |[byte]| Ok(i32::from(byte != 0)))?,
        Dtype::F16 => convert(shape, bytes, |b| Ok(f16_value(u16::from_ne_bytes(b))))?,
        Dtype::I64 => convert_at(shape, bytes, |at, b| {
            let value = i64::from_ne_bytes(b);
            i32::try_from(value).map_err(|_| {
                err!(
                    ERANGE,
                    "input `{name}`: element {at} is {value}; this backend computes i64 as i32 \
                     and takes -2147483648 to 2147483647"
                )
            })
        })?,
        Dtype::F64 => convert_at(shape, bytes, |at, b| {
            let value = f64::from_ne_bytes(b);
            let narrow = value as f32;
            if narrow.is_infinite() && value.is_finite() {
                return Err(err!(
                    ERANGE,
                    "input `{name}`: element {at} is {value:e}; this backend computes f64 as f32 \
                     and takes up to 3.4e38"
                ));
            }
            Ok(narrow)
        })?,
        _ => {
            return Err(err!(
                ENOTSUP,
                "input `{name}`: its type cannot be computed with"
            ));
        }
    })
}

/// Borrows the bytes as elements, or copies them where they are not aligned.
fn borrow<'a, T>(shape: &[usize], bytes: &'a [u8], read: fn([u8; 4]) -> T) -> ValueOrView<'a>
where
    T: Copy + 'static,
    ValueView<'a>: From<TensorView<'a, T>>,
    Value: From<Tensor<T>>,
{
    const { assert!(size_of::<T>() == 4) }
    // SAFETY: used with f32 and i32 only, for which every four bytes are a value.
    let (before, data, after) = unsafe { bytes.align_to::<T>() };
    if before.is_empty() && after.is_empty() {
        return ValueView::from(TensorView::from_data(shape, data)).into();
    }
    let data: Vec<T> = bytes.as_chunks::<4>().0.iter().map(|&b| read(b)).collect();
    Value::from(Tensor::from_data(shape, data)).into()
}

fn convert<'a, const N: usize, T>(
    shape: &[usize],
    bytes: &[u8],
    read: impl Fn([u8; N]) -> Result<T>,
) -> Result<ValueOrView<'a>>
where
    Value: From<Tensor<T>>,
{
    convert_at(shape, bytes, |_, b| read(b))
}

fn convert_at<'a, const N: usize, T>(
    shape: &[usize],
    bytes: &[u8],
    read: impl Fn(usize, [u8; N]) -> Result<T>,
) -> Result<ValueOrView<'a>>
where
    Value: From<Tensor<T>>,
{
    let elements = bytes.as_chunks::<N>().0;
    let mut data = Vec::new();
    data.try_reserve_exact(elements.len())?;
    for (at, &b) in elements.iter().enumerate() {
        data.push(read(at, b)?);
    }
    Ok(Value::from(Tensor::from_data(shape, data)).into())
}

/// The type a program sees of an output: the declared one, else the engine's.
pub(crate) fn of_output(declared: Option<Dtype>, value: &Value) -> Option<Dtype> {
    declared.or(match value {
        Value::FloatTensor(_) => Some(Dtype::F32),
        Value::Int32Tensor(_) => Some(Dtype::I32),
        Value::Int8Tensor(_) => Some(Dtype::I8),
        Value::UInt8Tensor(_) => Some(Dtype::U8),
        _ => None,
    })
}

/// Writes an output of the engine into `out` as elements of `dtype`; `out` has the
/// size of the value's shape in that type.
///
/// # Errors
/// `ENOTSUP` when the engine's result is of another kind than declared.
pub(crate) fn from_engine(name: &str, value: &Value, dtype: Dtype, out: &mut [u8]) -> Result<()> {
    match (value, dtype) {
        (Value::FloatTensor(t), Dtype::F32) => write(&t.view(), out, f32::to_ne_bytes),
        (Value::FloatTensor(t), Dtype::F64) => {
            write(&t.view(), out, |v| f64::from(v).to_ne_bytes())
        }
        (Value::FloatTensor(t), Dtype::F16) => write(&t.view(), out, |v| f16_bits(v).to_ne_bytes()),
        (Value::Int32Tensor(t), Dtype::I32) => write(&t.view(), out, i32::to_ne_bytes),
        (Value::Int32Tensor(t), Dtype::I64) => {
            write(&t.view(), out, |v| i64::from(v).to_ne_bytes())
        }
        (Value::Int32Tensor(t), Dtype::Bool) => write(&t.view(), out, |v| [u8::from(v != 0)]),
        (Value::Int8Tensor(t), Dtype::I8) => write(&t.view(), out, i8::to_ne_bytes),
        (Value::UInt8Tensor(t), Dtype::U8) => write(&t.view(), out, u8::to_ne_bytes),
        _ => {
            return Err(err!(
                ENOTSUP,
                "output `{name}` is declared {dtype}, and this backend computed {}",
                value.dtype()
            ));
        }
    }
    Ok(())
}

fn write<T: Copy, const N: usize>(
    tensor: &TensorView<T>,
    out: &mut [u8],
    bytes: impl Fn(T) -> [u8; N],
) {
    let out = out.as_chunks_mut::<N>().0;
    // A tensor that was transposed or sliced last is not in one piece.
    match tensor.data() {
        Some(data) => {
            for (to, &from) in out.iter_mut().zip(data) {
                *to = bytes(from);
            }
        }
        None => {
            for (to, &from) in out.iter_mut().zip(tensor.iter()) {
                *to = bytes(from);
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use vaccel_plugin::code::ERANGE;

    fn round_trip(dtype: Dtype, shape: &[usize], bytes: &[u8]) -> Vec<u8> {
        let value = to_engine("x", dtype, shape, bytes).unwrap().into_owned();
        let mut out = vec![0xee; bytes.len()];
        from_engine("y", &value, dtype, &mut out).unwrap();
        out
    }

    fn bytes<T: Copy, const N: usize>(values: &[T], f: fn(T) -> [u8; N]) -> Vec<u8> {
        values.iter().flat_map(|&v| f(v)).collect()
    }

    #[test]
    fn every_type_survives_the_engine() {
        let f32s = bytes(&[1.5, -0.0, f32::INFINITY, 1e-40], f32::to_ne_bytes);
        let cases = [
            (Dtype::F32, f32s),
            (
                Dtype::F64,
                bytes(&[1.5, -2.0, f64::INFINITY, 0.25], f64::to_ne_bytes),
            ),
            (
                Dtype::F16,
                bytes(&[0x3c00, 0xfc00, 1, 0x7bff], u16::to_ne_bytes),
            ),
            (
                Dtype::I32,
                bytes(&[1, -1, i32::MIN, i32::MAX], i32::to_ne_bytes),
            ),
            (
                Dtype::I64,
                bytes(&[1, -1, -0x8000_0000, 0x7fff_ffff], i64::to_ne_bytes),
            ),
            (Dtype::I8, vec![0, 1, 0x80, 0xff]),
            (Dtype::U8, vec![0, 1, 0x80, 0xff]),
            (Dtype::Bool, vec![0, 1, 1, 0]),
        ];
        for (dtype, data) in cases {
            assert_eq!(round_trip(dtype, &[2, 2], &data), data, "{dtype}");
        }
        assert_eq!(round_trip(Dtype::Bool, &[2], &[2, 0xff]), [1, 1]);
        assert!(round_trip(Dtype::I64, &[0], &[]).is_empty());
    }

    #[test]
    fn a_number_that_does_not_fit_is_named_with_its_place() {
        let data = bytes(&[0, 1 << 31], i64::to_ne_bytes);
        let error = to_engine("ids", Dtype::I64, &[2], &data).unwrap_err();
        assert_eq!(error.code(), ERANGE);
        assert!(
            error.message().contains("`ids`: element 1 is 2147483648"),
            "{error}"
        );
        let data = bytes(&[1e300], f64::to_ne_bytes);
        let error = to_engine("x", Dtype::F64, &[1], &data).unwrap_err();
        assert_eq!(error.code(), ERANGE);
    }

    #[test]
    fn bytes_at_an_odd_address_are_copied_and_aligned_ones_are_not() {
        let data = bytes(&[7.0, 8.0, 9.0], f32::to_ne_bytes);
        let mut shifted = vec![0_u8; data.len() + 8];
        let start = shifted.as_ptr().align_offset(4);
        shifted[start..start + 12].copy_from_slice(&data);
        let aligned = to_engine("x", Dtype::F32, &[3], &shifted[start..start + 12]).unwrap();
        assert!(matches!(aligned, ValueOrView::View(_)));
        shifted.copy_within(start..start + 12, start + 1);
        let odd = to_engine("x", Dtype::F32, &[3], &shifted[start + 1..start + 13]).unwrap();
        assert!(matches!(odd, ValueOrView::Value(_)));
        let mut out = vec![0; 12];
        from_engine("x", &odd.into_owned(), Dtype::F32, &mut out).unwrap();
        assert_eq!(out, data);
    }

    #[test]
    fn a_transposed_result_is_written_in_row_major_order() {
        let mut tensor = Tensor::from_data(&[2, 3], vec![1, 2, 3, 4, 5, 6]);
        tensor.permute(&[1, 0]);
        let mut out = vec![0; 24];
        from_engine("y", &Value::from(tensor), Dtype::I32, &mut out).unwrap();
        assert_eq!(out, bytes(&[1, 4, 2, 5, 3, 6], i32::to_ne_bytes));
    }
}
