//! BMP files → 8-bit RGB pixels: Windows and OS/2 headers, 1 to 32 bits a pixel, bit fields, run lengths of 4 and 8 bits.
//! Embedded JPEG and PNG are refused, alpha is dropped.
//!
//! Written here because the crates for it read zeros where a file ends too early. Source of the layout: Microsoft,
//! "Bitmap Storage" and "BITMAPINFOHEADER" of the Windows documentation.

use crate::error::{Error, Result};
use crate::{bail, ensure};

/// What the headers say.
pub(super) struct Bmp<'a> {
    bytes: &'a [u8],
    pub width: usize,
    pub height: usize,
    /// Rows from the top; most files begin with the lowest.
    top_down: bool,
    bits: usize,
    coding: Coding,
    palette: Vec<[u8; 3]>,
    /// Where the pixels begin.
    start: usize,
}

enum Coding {
    /// Indices into the palette, 1 to 8 bits each.
    Indexed,
    /// Indices by run lengths.
    RunLengths,
    /// Blue, green, red bytes.
    Bytes,
    /// Bits of red, green and blue in words of 16 or 32 bits.
    Masked([u32; 3]),
}

impl<'a> Bmp<'a> {
    pub fn read(bytes: &'a [u8]) -> Result<Self> {
        let start = u32_at(bytes, 10)? as usize;
        let header = u32_at(bytes, 14)? as usize;
        let old = header == 12;
        ensure!(old || (40..=124).contains(&header), Data, "BMP image: a header of {header} bytes is of no known kind");
        let (width, height) = if old {
            (i64::from(u16_at(bytes, 18)?), i64::from(u16_at(bytes, 20)?))
        } else {
            (i64::from(u32_at(bytes, 18)? as i32), i64::from(u32_at(bytes, 22)? as i32))
        };
        ensure!(width > 0 && height != 0, Data, "BMP image: its size is {width}x{height}");
        let bits = usize::from(u16_at(bytes, if old { 24 } else { 28 })?);
        let compression = if old { 0 } else { u32_at(bytes, 30)? };
        // Masks lie in longer headers, or between a short one and the palette.
        let masks_after = match (header, compression) {
            (40, 3) => 12,
            (40, 6) => 16,
            _ => 0,
        };
        let masks = || -> Result<[u32; 3]> { Ok([u32_at(bytes, 54)?, u32_at(bytes, 58)?, u32_at(bytes, 62)?]) };
        let coding = match (compression, bits) {
            (0, 1 | 2 | 4 | 8) => Coding::Indexed,
            (1, 8) | (2, 4) => Coding::RunLengths,
            (0, 24) => Coding::Bytes,
            (0, 16) => Coding::Masked([0x7C00, 0x03E0, 0x001F]),
            (0, 32) => Coding::Masked([0xFF_0000, 0xFF00, 0xFF]),
            (3 | 6, 16 | 32) => Coding::Masked(masks()?),
            _ => bail!(Data, "BMP image: compression {compression} with {bits} bits a pixel cannot be read"),
        };
        let indexed = matches!(coding, Coding::Indexed | Coding::RunLengths);
        let used = if old { 0 } else { u32_at(bytes, 46)? as usize };
        let colors = if indexed { if used == 0 { 1 << bits } else { used.min(256) } } else { 0 };
        let palette = read_palette(bytes, 14 + header + masks_after, colors, if old { 3 } else { 4 }, start)?;
        let (width, top_down, height) = (width as usize, height < 0, height.unsigned_abs() as usize);
        Ok(Self { bytes, width, height, top_down, bits, coding, palette, start })
    }

    /// Into `rgb`, `3 * width * height` bytes from the top.
    pub fn decode(&self, rgb: &mut [u8]) -> Result<()> {
        if matches!(self.coding, Coding::RunLengths) {
            let indices = self.run_lengths()?;
            for (pixel, &index) in rgb.chunks_exact_mut(3).zip(&indices) {
                pixel.copy_from_slice(&self.color(index));
            }
            return Ok(());
        }
        // Rows are padded to 4 bytes; the padding of the last one may be missing.
        let (stride, used) = ((self.width * self.bits).div_ceil(32) * 4, (self.width * self.bits).div_ceil(8));
        let end = self.start.saturating_add(stride.saturating_mul(self.height - 1)).saturating_add(used);
        ensure!(
            end <= self.bytes.len(),
            Data,
            "BMP image: truncated, its {}x{} pixels end at byte {end} and there are {}",
            self.width,
            self.height,
            self.bytes.len()
        );
        for (y, row) in rgb.chunks_exact_mut(3 * self.width).enumerate() {
            let line = if self.top_down { y } else { self.height - 1 - y };
            let at = self.start + line * stride;
            self.decode_row(&self.bytes[at..at + used], row);
        }
        Ok(())
    }

    fn decode_row(&self, line: &[u8], row: &mut [u8]) {
        let pixels = row.chunks_exact_mut(3);
        match self.coding {
            Coding::Indexed | Coding::RunLengths => {
                let per_byte = 8 / self.bits;
                for (x, pixel) in pixels.enumerate() {
                    let shift = 8 - self.bits * (x % per_byte + 1);
                    let index = line[x / per_byte] >> shift & (0xFFu16 >> (8 - self.bits)) as u8;
                    pixel.copy_from_slice(&self.color(index));
                }
            }
            Coding::Bytes => {
                for (pixel, bgr) in pixels.zip(line.chunks_exact(3)) {
                    pixel.copy_from_slice(&[bgr[2], bgr[1], bgr[0]]);
                }
            }
            Coding::Masked(masks) => {
                for (pixel, word) in pixels.zip(line.chunks_exact(self.bits / 8)) {
                    let value = word.iter().rev().fold(0, |value, &byte| value << 8 | u32::from(byte));
                    for (channel, mask) in pixel.iter_mut().zip(masks) {
                        *channel = scaled(value, mask);
                    }
                }
            }
        }
    }

    /// Indices in rows from the top; what no run covers is 0.
    fn run_lengths(&self) -> Result<Vec<u8>> {
        let (width, height) = (self.width, self.height);
        let mut indices = vec![0; width * height];
        let mut input = self.bytes.get(self.start..).unwrap_or_default().iter().copied();
        let mut next = || input.next().ok_or_else(|| Error::Data("BMP image: truncated within its run lengths".into()));
        let nibbles = self.bits == 4;
        let (mut x, mut y) = (0, 0);
        loop {
            let (first, second) = (usize::from(next()?), next()?);
            // Runs past the end of a row or below the last are cut, as other readers do.
            let mut put = |x: usize, index: u8| {
                if x < width && y < height {
                    indices[(height - 1 - y) * width + x] = index;
                }
            };
            match (first, second) {
                (0, 0) => (x, y) = (0, y + 1),
                (0, 1) => return Ok(indices),
                (0, 2) => (x, y) = (x + usize::from(next()?), y + usize::from(next()?)),
                (0, literal) => {
                    let count = usize::from(literal);
                    let bytes = if nibbles { count.div_ceil(2) } else { count };
                    for i in 0..bytes {
                        let byte = next()?;
                        if !nibbles {
                            put(x + i, byte);
                            continue;
                        }
                        put(x + 2 * i, byte >> 4);
                        if 2 * i + 1 < count {
                            put(x + 2 * i + 1, byte & 15);
                        }
                    }
                    x += count;
                    if bytes % 2 == 1 {
                        next()?;
                    }
                }
                (count, value) => {
                    for i in 0..count {
                        put(x + i, if !nibbles { value } else { value >> (4 - 4 * (i % 2)) & 15 });
                    }
                    x += count;
                }
            }
        }
    }

    /// Black where the palette is too short.
    fn color(&self, index: u8) -> [u8; 3] {
        self.palette.get(usize::from(index)).copied().unwrap_or_default()
    }
}

fn read_palette(bytes: &[u8], at: usize, colors: usize, size: usize, end: usize) -> Result<Vec<[u8; 3]>> {
    // The pixels may begin before the palette is full.
    let colors = colors.min(end.saturating_sub(at) / size);
    let entries = bytes.get(at..at + colors * size).ok_or_else(truncated)?;
    Ok(entries.chunks_exact(size).map(|bgr| [bgr[2], bgr[1], bgr[0]]).collect())
}

/// The bits of `value` under `mask`, stretched to 0..255 and rounded down.
fn scaled(value: u32, mask: u32) -> u8 {
    if mask == 0 {
        return 0;
    }
    let (bits, most) = ((value & mask) >> mask.trailing_zeros(), mask >> mask.trailing_zeros());
    (u64::from(bits) * 255 / u64::from(most)) as u8
}

fn truncated() -> Error {
    Error::Data("BMP image: truncated within its headers".into())
}

fn u16_at(bytes: &[u8], at: usize) -> Result<u16> {
    let pair = bytes.get(at..at + 2).ok_or_else(truncated)?;
    Ok(u16::from_le_bytes([pair[0], pair[1]]))
}

fn u32_at(bytes: &[u8], at: usize) -> Result<u32> {
    let word = bytes.get(at..at + 4).ok_or_else(truncated)?;
    Ok(u32::from_le_bytes([word[0], word[1], word[2], word[3]]))
}
