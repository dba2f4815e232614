//! The orientation tag of EXIF data, and turning an image upright by it. No other tag is read.

use super::Image;

/// How a stored image must be turned to stand upright: first mirrored left to right, then turned clockwise by quarters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Orientation {
    mirrored: bool,
    quarter_turns: u8,
}

impl Orientation {
    pub const UPRIGHT: Self = Self { mirrored: false, quarter_turns: 0 };

    /// From the value of tag 0x0112 (1 to 8); anything else counts as upright.
    fn from_tag(value: u16) -> Self {
        let (mirrored, quarter_turns) = match value {
            2 => (true, 0),
            3 => (false, 2),
            4 => (true, 2),
            5 => (true, 3),
            6 => (false, 1),
            7 => (true, 1),
            8 => (false, 3),
            _ => (false, 0),
        };
        Self { mirrored, quarter_turns }
    }

    pub fn swaps_sides(self) -> bool {
        self.quarter_turns % 2 == 1
    }

    /// Turns `image` upright; free where it already is.
    pub fn apply(self, image: &mut Image) {
        if self == Self::UPRIGHT {
            return;
        }
        let (width, height) = (image.width, image.height);
        let (new_width, new_height) = if self.swaps_sides() { (height, width) } else { (width, height) };
        let mut turned = vec![0; image.data.len()];
        for y in 0..new_height {
            for x in 0..new_width {
                // The pixel of the mirrored image that a clockwise turn brings to (x, y).
                let (column, row) = match self.quarter_turns {
                    0 => (x, y),
                    1 => (y, height - 1 - x),
                    2 => (width - 1 - x, height - 1 - y),
                    _ => (width - 1 - y, x),
                };
                let column = if self.mirrored { width - 1 - column } else { column };
                let (to, from) = (3 * (y * new_width + x), 3 * (row * width + column));
                turned[to..to + 3].copy_from_slice(&image.data[from..from + 3]);
            }
        }
        *image = Image { width: new_width, height: new_height, data: turned };
    }
}

/// Orientation by EXIF data: a TIFF header and its first directory, with or without the `Exif\0\0` before it.
/// Data that cannot be read counts as upright, as in other readers.
pub fn orientation(tags: &[u8]) -> Orientation {
    read_orientation(tags.strip_prefix(b"Exif\0\0").unwrap_or(tags)).map_or(Orientation::UPRIGHT, Orientation::from_tag)
}

fn read_orientation(tiff: &[u8]) -> Option<u16> {
    let little = match tiff.get(..4)? {
        b"II*\0" => true,
        b"MM\0*" => false,
        _ => return None,
    };
    let u16_at = |at: usize| -> Option<u16> {
        let pair = [*tiff.get(at)?, *tiff.get(at + 1)?];
        Some(if little { u16::from_le_bytes(pair) } else { u16::from_be_bytes(pair) })
    };
    let (first, second) = (u16_at(4)?, u16_at(6)?);
    let (low, high) = if little { (first, second) } else { (second, first) };
    let directory = usize::from(high) << 16 | usize::from(low);
    let entries = u16_at(directory)?;
    (0..usize::from(entries))
        .map(|entry| directory + 2 + 12 * entry)
        .find(|&at| u16_at(at) == Some(0x0112))
        .and_then(|at| u16_at(at + 8))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(value: u8, little: bool) -> Vec<u8> {
        if little {
            let mut bytes = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0".to_vec();
            bytes.extend([value, 0, 0, 0]);
            bytes
        } else {
            let mut bytes = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01".to_vec();
            bytes.extend([0, value, 0, 0]);
            bytes
        }
    }

    #[test]
    fn each_orientation_turns_as_the_standard_says() {
        // 3 x 2 pixels: a b c / d e f. The upright pictures by the EXIF standard.
        let upright = ["abcdef", "cbafed", "fedcba", "defabc", "adbecf", "daebfc", "fcebda", "cfbead"];
        for (index, expected) in upright.iter().enumerate() {
            for little in [true, false] {
                let data = b"abcdef".iter().flat_map(|&letter| [letter; 3]).collect();
                let mut image = Image { width: 3, height: 2, data };
                orientation(&tags(index as u8 + 1, little)).apply(&mut image);
                let letters: Vec<u8> = image.data.chunks(3).map(|pixel| pixel[0]).collect();
                assert_eq!(std::str::from_utf8(&letters), Ok(*expected), "orientation {}", index + 1);
                assert_eq!((image.width, image.height), if index < 4 { (3, 2) } else { (2, 3) });
            }
        }
    }

    #[test]
    fn unreadable_tags_count_as_upright() {
        let whole = tags(6, true);
        for length in 0..whole.len() - 2 {
            assert_eq!(orientation(&whole[..length.min(17)]), Orientation::UPRIGHT);
        }
        assert_eq!(orientation(&tags(9, false)), Orientation::UPRIGHT);
        assert_eq!(orientation(b"II*\0\xff\xff\xff\xff"), Orientation::UPRIGHT);
    }
}
