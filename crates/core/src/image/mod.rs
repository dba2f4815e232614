//! Images as bytes: decoding, resampling, augmentation. No file access.

pub mod decode;
pub mod encode;
pub mod exif;

pub use decode::{DecodeOptions, Format, decode, decode_into, image_size};
pub use encode::encode_png;

/// 8-bit RGB pixels in rows: `data[3 * (y * width + x) + channel]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image {
    pub width: usize,
    pub height: usize,
    pub data: Vec<u8>,
}

impl Image {
    /// Takes a size and as many bytes, keeping its memory where it is large enough. The pixels are unspecified.
    fn resize(&mut self, width: usize, height: usize) {
        (self.width, self.height) = (width, height);
        self.data.resize(width * height * 3, 0);
    }
}
