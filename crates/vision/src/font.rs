//! Letters of 8 x 8 pixels, from the public domain font of the `font8x8` crate.

use font8x8::{BASIC_FONTS, LATIN_FONTS, UnicodeFonts};

/// Width and height of a letter in its own pixels.
pub(crate) const SIDE: u32 = 8;

/// The rows of a letter; the lowest bit is the leftmost pixel. What the font lacks is a `?`.
pub(crate) fn glyph(letter: char) -> [u8; 8] {
    BASIC_FONTS
        .get(letter)
        .or_else(|| LATIN_FONTS.get(letter))
        .or_else(|| BASIC_FONTS.get('?'))
        .unwrap_or([0; 8])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_have_their_shape_and_unknown_ones_are_question_marks() {
        let art = |letter| {
            let row = |bits: u8| (0..8).map(move |x| if bits >> x & 1 == 1 { '#' } else { '.' });
            glyph(letter)
                .map(|bits| row(bits).collect::<String>())
                .join("\n")
        };
        assert_eq!(
            art('L'),
            "####....\n.##.....\n.##.....\n.##.....\n.##...#.\n.##..##.\n#######.\n........"
        );
        assert_eq!(glyph(' '), [0; 8]);
        assert_ne!(glyph('\u{e9}'), glyph('?'));
        assert_eq!(glyph('\u{4e2d}'), glyph('?'));
    }
}
