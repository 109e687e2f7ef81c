//! One value for each pixel of the picture.

/// Depth values or class numbers at the size of the picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Map {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// The values, row after row.
    pub data: MapData,
}

/// The values of a map, `width * height` of them.
#[derive(Debug, Clone, PartialEq)]
pub enum MapData {
    /// Depth values.
    F32(Vec<f32>),
    /// Class numbers.
    U8(Vec<u8>),
}
