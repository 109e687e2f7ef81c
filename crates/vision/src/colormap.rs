//! Colours for depth values and for classes.

use crate::words::Colormap;

/// An RGB colour.
pub(crate) type Colour = [u8; 3];

// 33 evenly spaced colours of matplotlib's maps (viridis, magma, inferno: CC0; turbo:
// Apache-2.0, Google); between them a straight line is at most 2 of 255 off.
const INFERNO: [u32; 33] = [
    0x000004, 0x040312, 0x0b0724, 0x150b37, 0x210c4a, 0x2e0a5a, 0x3c0965, 0x4a0c6b, 0x57106d,
    0x63146e, 0x70196e, 0x7d1e6d, 0x89226a, 0x962766, 0xa32b61, 0xaf315c, 0xbb3755, 0xc63e4d,
    0xd14644, 0xdb4f3b, 0xe35932, 0xeb6528, 0xf1711e, 0xf67f14, 0xf98d0a, 0xfb9c06, 0xfcab0f,
    0xfbba1f, 0xf9ca32, 0xf5d949, 0xf2e865, 0xf3f586, 0xfcffa4,
];
const MAGMA: [u32; 33] = [
    0x000004, 0x030311, 0x0a0822, 0x130d33, 0x1d1146, 0x28115a, 0x36106a, 0x430f76, 0x50127c,
    0x5d177f, 0x691c81, 0x762181, 0x822681, 0x8f2a81, 0x9c2e7f, 0xa9327d, 0xb63779, 0xc33b75,
    0xcf4170, 0xdb486a, 0xe65163, 0xee5c5e, 0xf5695c, 0xf9785d, 0xfb8761, 0xfd9668, 0xfea571,
    0xfeb47b, 0xfec387, 0xfed194, 0xfde0a2, 0xfceeb0, 0xfcfdbf,
];
const VIRIDIS: [u32; 33] = [
    0x440154, 0x470d60, 0x48186a, 0x482374, 0x472d7b, 0x453681, 0x424086, 0x3f4989, 0x3b528b,
    0x375a8d, 0x33638d, 0x2f6a8e, 0x2c728e, 0x297a8e, 0x26818e, 0x23898e, 0x21908c, 0x1f988b,
    0x1f9f88, 0x21a685, 0x28ae80, 0x31b57b, 0x3ebc74, 0x4cc26c, 0x5dc963, 0x6ece58, 0x82d34c,
    0x96d83f, 0xabdc32, 0xc0df24, 0xd5e21a, 0xeae51a, 0xfde725,
];
const TURBO: [u32; 33] = [
    0x30123b, 0x392a73, 0x4040a1, 0x4456c7, 0x466be3, 0x467ff6, 0x4293ff, 0x37a7fa, 0x29bbec,
    0x1dcdd8, 0x18dcc3, 0x1ee8b0, 0x31f299, 0x4cf97e, 0x6bfd64, 0x8aff4d, 0xa3fd3c, 0xb8f735,
    0xcced34, 0xdee037, 0xedd03a, 0xf8c03a, 0xfdae35, 0xfe982c, 0xfb8022, 0xf56817, 0xec520f,
    0xe04009, 0xd23105, 0xc02302, 0xac1701, 0x950d01, 0x7a0403,
];
const GRAY: [u32; 2] = [0x000000, 0xffffff];

impl Colormap {
    /// The map in 256 steps.
    pub(crate) fn colours(self) -> [Colour; 256] {
        let anchors: &[u32] = match self {
            Self::Inferno => &INFERNO,
            Self::Magma => &MAGMA,
            Self::Viridis => &VIRIDIS,
            Self::Turbo => &TURBO,
            Self::Gray => &GRAY,
        };
        std::array::from_fn(|step| {
            let at = step as f32 / 255.0 * (anchors.len() - 1) as f32;
            let low = (at as usize).min(anchors.len() - 2);
            let share = at - low as f32;
            let channel = |shift: u32| {
                let value = |anchor: u32| (anchor >> shift & 0xff) as f32;
                let (from, to) = (value(anchors[low]), value(anchors[low + 1]));
                (from + (to - from) * share).round() as u8
            };
            [channel(16), channel(8), channel(0)]
        })
    }
}

/// A colour for a class: neighbouring numbers get hues that are far apart.
pub(crate) fn of_class(index: usize) -> Colour {
    // Steps of the golden ratio come close to a hue again after 8, 13, 21... steps only;
    // of those, brightness tells apart what is not a multiple of four.
    let hue = (index % 1024) as f32 * 0.618_034 % 1.0 * 6.0;
    let brightness = [1.0, 0.6, 0.8, 0.7][index % 4];
    let channel = |offset: f32| {
        let distance = ((hue + offset) % 6.0 - 3.0).abs();
        (((distance - 1.0).clamp(0.0, 1.0) * 215.0 + 40.0) * brightness) as u8
    };
    [channel(0.0), channel(4.0), channel(2.0)]
}

/// Black or white, whichever can be read on the colour.
pub(crate) fn readable_on([red, green, blue]: Colour) -> Colour {
    let brightness = 299 * u32::from(red) + 587 * u32::from(green) + 114 * u32::from(blue);
    if brightness > 140_000 {
        [0; 3]
    } else {
        [255; 3]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_begin_and_end_with_their_colours_and_pass_through_the_middle() {
        // Entries 0, 127 and 255 of matplotlib's tables, as bytes.
        let expected = [
            (
                Colormap::Inferno,
                [[0, 0, 4], [186, 54, 85], [252, 255, 164]],
            ),
            (
                Colormap::Magma,
                [[0, 0, 4], [181, 54, 122], [252, 253, 191]],
            ),
            (
                Colormap::Viridis,
                [[68, 1, 84], [33, 145, 140], [253, 231, 37]],
            ),
            (Colormap::Turbo, [[48, 18, 59], [162, 252, 60], [122, 4, 3]]),
            (
                Colormap::Gray,
                [[0, 0, 0], [127, 127, 127], [255, 255, 255]],
            ),
        ];
        for (map, colours) in expected {
            let table = map.colours();
            for (step, colour) in [0, 127, 255].into_iter().zip(colours) {
                for (got, want) in table[step].into_iter().zip(colour) {
                    assert!(got.abs_diff(want) <= 2, "{map:?} {step}: {:?}", table[step]);
                }
            }
        }
    }

    #[test]
    fn the_first_classes_can_be_told_apart() {
        for a in 0..24 {
            for b in 0..a {
                let pairs = of_class(a).into_iter().zip(of_class(b));
                let distance: u32 = pairs.map(|(x, y)| u32::from(x.abs_diff(y))).sum();
                assert!(distance > 30, "{a} {b}");
            }
        }
    }
}
