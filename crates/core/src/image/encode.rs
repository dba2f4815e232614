//! Pixels → PNG bytes, for pictures of results. No other format is written.

use crate::ensure;
use crate::error::{Error, Result};

/// A PNG file of 8-bit samples in rows: 1 channel grey, 3 RGB, 4 RGBA.
///
/// # Errors
/// `Error::Argument` where the channels are none of these or `data` is not `width * height * channels` bytes.
pub fn encode_png(data: &[u8], width: usize, height: usize, channels: usize) -> Result<Vec<u8>> {
    let color = match channels {
        1 => png::ColorType::Grayscale,
        3 => png::ColorType::Rgb,
        4 => png::ColorType::Rgba,
        _ => return Err(Error::Argument(format!("encodePng: {channels} channels; 1, 3 or 4 can be written"))),
    };
    let expected = width.checked_mul(height).and_then(|pixels| pixels.checked_mul(channels));
    ensure!(
        expected == Some(data.len()),
        Argument,
        "encodePng: {} bytes for {width}x{height} pixels of {channels} channels",
        data.len()
    );
    let (Ok(columns), Ok(rows)) = (u32::try_from(width), u32::try_from(height)) else {
        return Err(Error::Argument(format!("encodePng: {width}x{height} is larger than a PNG can be")));
    };
    ensure!(columns > 0 && rows > 0, Argument, "encodePng: an image of {width}x{height} has no pixels");
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, columns, rows);
    encoder.set_color(color);
    encoder.set_depth(png::BitDepth::Eight);
    let failed = |cause: png::EncodingError| Error::Internal(format!("encodePng: {cause}"));
    let mut writer = encoder.write_header().map_err(failed)?;
    writer.write_image_data(data).map_err(failed)?;
    writer.finish().map_err(failed)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::{DecodeOptions, decode};

    #[test]
    fn what_is_written_reads_back() {
        let data: Vec<u8> = (0..5 * 4 * 4).map(|i| (i * 37 % 251) as u8).collect();
        for channels in [1, 3, 4] {
            let data = &data[..5 * 4 * channels];
            let image = decode(&encode_png(data, 5, 4, channels).unwrap(), &DecodeOptions::default()).unwrap();
            assert_eq!((image.width, image.height), (5, 4));
            for (pixel, sample) in image.data.chunks(3).zip(data.chunks(channels)) {
                let expected = if channels == 1 { [sample[0]; 3] } else { [sample[0], sample[1], sample[2]] };
                assert_eq!(pixel, expected);
            }
        }
    }

    #[test]
    fn bad_arguments_are_named() {
        for (length, width, height, channels) in [(4, 2, 2, 2), (11, 2, 2, 3), (0, 0, 5, 1), (1, usize::MAX, 2, 3)] {
            let error = encode_png(&vec![0; length], width, height, channels).unwrap_err();
            assert_eq!(error.code(), "ERR_ARGUMENT", "{error}");
        }
    }
}
