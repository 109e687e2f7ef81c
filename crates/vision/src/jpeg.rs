//! The markers of a JPEG file: size, orientation, and whether the file is whole.
//!
//! The decoder fills what is missing at the end of a file with grey. A picture that
//! lost its end in transit must not be answered for, hence this walk over the markers.

use image::metadata::Orientation;

/// What the headers say.
#[derive(Debug)]
pub(crate) struct Header {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) orientation: Option<Orientation>,
}

const END_OF_IMAGE: u8 = 0xd9;
const START_OF_SCAN: u8 = 0xda;
const APP1: u8 = 0xe1;

/// Reads the headers and makes sure that the end-of-image marker is there.
pub(crate) fn scan(file: &[u8]) -> Result<Header, String> {
    let mut size = None;
    let mut orientation = None;
    let mut at = 2; // after the start-of-image marker
    loop {
        let marker = next_marker(file, &mut at).ok_or("the file is truncated")?;
        match marker {
            END_OF_IMAGE => return Err("no picture in it".to_owned()),
            // Markers that stand alone: temporary, restart, start of image.
            0x01 | 0xd0..=0xd8 => continue,
            _ => {}
        }
        let segment = segment(file, &mut at)?;
        match marker {
            APP1 if orientation.is_none() => orientation = exif_orientation(segment),
            // Header headers are C0..CF, without the tables DHT (C4), JPG (C8) and DAC (CC).
            0xc0..=0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf => {
                size = Some(dimensions(segment)?)
            }
            START_OF_SCAN => break,
            _ => {}
        }
    }
    let (width, height) = size.ok_or("no frame header before the pixels")?;
    // Entropy-coded data never holds this pair, so at the end it is the marker. Most files
    // end with it exactly, and the pixels need not be searched.
    let whole = file[at..].ends_with(&[0xff, END_OF_IMAGE]) || reaches_end(file, at);
    if !whole {
        return Err("the file is truncated".to_owned());
    }
    Ok(Header {
        width,
        height,
        orientation,
    })
}

/// Moves behind the next marker and gives its second byte.
fn next_marker(file: &[u8], at: &mut usize) -> Option<u8> {
    loop {
        *at += file.get(*at..)?.iter().position(|&byte| byte == 0xff)? + 1;
        // Any number of FF may precede the second byte; 00 means that FF was data.
        while file.get(*at) == Some(&0xff) {
            *at += 1;
        }
        let marker = *file.get(*at)?;
        *at += 1;
        if marker != 0 {
            return Some(marker);
        }
    }
}

/// Moves behind a segment and gives its content without the length.
fn segment<'a>(file: &'a [u8], at: &mut usize) -> Result<&'a [u8], String> {
    let rest = &file[*at..];
    let &[high, low, ..] = rest else {
        return Err("the file is truncated".to_owned());
    };
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length < 2 {
        return Err(format!("a segment of {length} bytes"));
    }
    let content = rest.get(2..length).ok_or("the file is truncated")?;
    *at += length;
    Ok(content)
}

fn dimensions(frame_header: &[u8]) -> Result<(u32, u32), String> {
    let &[_, h1, h0, w1, w0, ..] = frame_header else {
        return Err("a frame header that is too short".to_owned());
    };
    let side = |high, low| u32::from(u16::from_be_bytes([high, low]));
    Ok((side(w1, w0), side(h1, h0)))
}

fn exif_orientation(segment: &[u8]) -> Option<Orientation> {
    Orientation::from_exif_chunk(segment.strip_prefix(b"Exif\0\0")?)
}

/// Walks over scans and the tables between them.
fn reaches_end(file: &[u8], mut at: usize) -> bool {
    while let Some(marker) = next_marker(file, &mut at) {
        match marker {
            END_OF_IMAGE => return true,
            0x01 | 0xd0..=0xd8 => {}
            _ if segment(file, &mut at).is_err() => return false,
            _ => {}
        }
    }
    false
}
