//! Images as bytes: decoding, resampling, augmentation. No file access.

pub mod augment;
pub mod blur;
mod bmp;
pub mod color;
pub mod decode;
pub mod draw;
pub mod encode;
pub mod exif;
pub mod geometry;
pub mod histogram;
pub mod noise;
pub mod operation;
pub mod plan;
pub mod planes;
pub mod record;
pub mod resample;
pub mod step;
pub mod warp;

pub use decode::{DecodeOptions, Format, decode, decode_into, image_size};
pub use encode::encode_png;

use planes::{Layout, Source};

/// 8-bit RGB pixels in rows: `data[3 * (y * width + x) + channel]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image {
    pub width: usize,
    pub height: usize,
    pub data: Vec<u8>,
}

impl Image {
    /// The image as augmentation reads it.
    pub fn as_source(&self) -> Source<'_, u8> {
        Source { data: &self.data, width: self.width, height: self.height, channels: 3, layout: Layout::Interleaved }
    }

    /// Takes a size and as many bytes, keeping its memory where it is large enough. The pixels are unspecified.
    fn resize(&mut self, width: usize, height: usize) {
        (self.width, self.height) = (width, height);
        self.data.resize(width * height * 3, 0);
    }
}
