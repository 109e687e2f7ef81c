//! Tensors as this crate sees them: shapes of a model, inputs it makes, views of outputs it reads.

use crate::error::{Error, Result};

/// The element types that matter to an image operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ElementType {
    /// 32 bit floating point.
    F32,
    /// 16 bit floating point (IEEE 754 binary16).
    F16,
    /// Unsigned bytes.
    U8,
    /// Anything else; no picture can be written into it.
    Other,
}

/// What a model says of one of its tensors before it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorShape {
    /// Name of the tensor in the model.
    pub name: String,
    /// Dimensions; `None` where the model leaves one open.
    pub dims: Vec<Option<usize>>,
    /// Type of the elements.
    pub element: ElementType,
}

impl TensorShape {
    /// Describes a tensor of 32 bit floating point whose dimensions are all fixed.
    #[must_use]
    pub fn f32(name: &str, dims: &[usize]) -> Self {
        Self {
            name: name.to_owned(),
            dims: dims.iter().copied().map(Some).collect(),
            element: ElementType::F32,
        }
    }
}

/// The tensor that is given to the model, made from a picture.
#[derive(Debug, Clone, PartialEq)]
pub struct InputTensor {
    /// Name of the tensor that takes it; `None` means the model's first input.
    pub name: Option<String>,
    /// Its shape, such as `[1, 3, 224, 224]`.
    pub shape: Vec<usize>,
    /// Its elements, row-major.
    pub data: InputData,
}

/// Elements of an input tensor, in the type that the model takes.
#[derive(Debug, Clone, PartialEq)]
pub enum InputData {
    /// 32 bit floating point.
    F32(Vec<f32>),
    /// Bits of 16 bit floating point values.
    F16(Vec<u16>),
    /// Bytes.
    U8(Vec<u8>),
}

/// An output tensor of the model, borrowed from the backend.
///
/// Backends turn other floating point and quantised types into `f32` first.
#[derive(Debug, Clone, Copy)]
pub struct TensorView<'a> {
    /// Name of the tensor in the model.
    pub name: &'a str,
    /// Its dimensions.
    pub shape: &'a [usize],
    /// Its elements, row-major; as many as the product of the dimensions.
    pub data: TensorData<'a>,
}

/// Elements of an output tensor.
#[derive(Debug, Clone, Copy)]
pub enum TensorData<'a> {
    /// Floating point values.
    F32(&'a [f32]),
    /// Integers, as class maps have them.
    I64(&'a [i64]),
}

impl<'a> TensorView<'a> {
    /// Borrows floating point values.
    #[must_use]
    pub fn f32(name: &'a str, shape: &'a [usize], data: &'a [f32]) -> Self {
        Self {
            name,
            shape,
            data: TensorData::F32(data),
        }
    }

    /// Borrows integers.
    #[must_use]
    pub fn i64(name: &'a str, shape: &'a [usize], data: &'a [i64]) -> Self {
        Self {
            name,
            shape,
            data: TensorData::I64(data),
        }
    }

    /// Checks that there are as many elements as the shape says, and at least one.
    pub(crate) fn check(&self) -> Result<()> {
        let elements = match self.data {
            TensorData::F32(d) => d.len(),
            TensorData::I64(d) => d.len(),
        };
        let wanted = self
            .shape
            .iter()
            .try_fold(1_usize, |product, &dim| product.checked_mul(dim));
        if wanted == Some(elements) && elements > 0 {
            return Ok(());
        }
        Err(Error::Elements {
            tensor: self.name.to_owned(),
            shape: self.shape.to_vec(),
            elements,
        })
    }
}

/// Rounds a value to the nearest 16 bit floating point number (ties to even) and gives its bits.
#[must_use]
pub fn f16_bits(value: f32) -> u16 {
    let bits = value.to_bits();
    let sign = ((bits >> 16) & 0x8000) as u16;
    let magnitude = bits & 0x7fff_ffff;
    if magnitude > 0x7f80_0000 {
        return sign | 0x7e00; // NaN stays NaN, payload dropped
    }
    if magnitude >= 0x4780_0000 {
        return sign | 0x7c00; // 65536 and above, infinity
    }
    if magnitude < 0x3880_0000 {
        // Below 2^-14 a binary16 counts units of 2^-24. The product is exact: a power of two.
        let units = f32::from_bits(magnitude) * 16_777_216.0;
        return sign | units.round_ties_even() as u16;
    }
    let rebiased = magnitude - 0x3800_0000;
    let odd = (rebiased >> 13) & 1;
    sign | ((rebiased + 0x0fff + odd) >> 13) as u16
}

/// Gives the value of a 16 bit floating point number, exactly.
#[must_use]
pub fn f16_value(bits: u16) -> f32 {
    let sign = u32::from(bits & 0x8000) << 16;
    let exponent = u32::from(bits >> 10) & 0x1f;
    let mantissa = u32::from(bits & 0x03ff);
    let magnitude = match exponent {
        0 => (mantissa as f32 / 16_777_216.0).to_bits(),
        0x1f => 0x7f80_0000 | (mantissa << 13),
        _ => ((exponent + 112) << 23) | (mantissa << 13),
    };
    f32::from_bits(sign | magnitude)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_half_precision_number_survives_the_way_there_and_back() {
        for bits in 0..=u16::MAX {
            let value = f16_value(bits);
            if value.is_nan() {
                assert!(f16_value(f16_bits(value)).is_nan());
            } else {
                assert_eq!(f16_bits(value), bits, "{value}");
            }
        }
    }

    #[test]
    fn rounding_to_half_precision_takes_the_nearest_and_the_even_on_a_tie() {
        for bits in 0..0x7bff_u16 {
            let (low, high) = (f16_value(bits), f16_value(bits + 1));
            let middle = (low + high) / 2.0; // exact in f32
            let even = if bits % 2 == 0 { bits } else { bits + 1 };
            assert_eq!(f16_bits(middle), even, "{middle}");
            assert_eq!(f16_bits(middle.next_down()), bits);
            assert_eq!(f16_bits(middle.next_up()), bits + 1);
        }
        assert_eq!(f16_bits(65519.9), 0x7bff);
        assert_eq!(f16_bits(65520.0), 0x7c00);
        assert_eq!(f16_bits(f32::NEG_INFINITY), 0xfc00);
        assert_eq!(f16_bits(1.0), 0x3c00);
    }

    #[test]
    fn a_tensor_whose_data_does_not_fill_its_shape_is_refused() {
        let data = [0.0_f32; 6];
        assert!(TensorView::f32("t", &[1, 6], &data).check().is_ok());
        for shape in [&[1, 7][..], &[0], &[usize::MAX, 3], &[]] {
            assert!(TensorView::f32("t", shape, &data).check().is_err());
        }
    }
}
