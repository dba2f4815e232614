//! Pixels as augmentation works on them: channels apart, whole levels (8-bit) or floats; and the arrays they come from.

use super::record::Extent;
use crate::cpu::dispatch::{Kernel, dispatch};

/// A pixel value: `u8` in 0..=255, or `f32` that is usually in 0..=1.
pub trait Sample: Copy + Default + PartialOrd + Send + Sync + 'static {
    /// The largest value of an image.
    const BOUND: f32;
    /// Whether only whole numbers can be stored.
    const WHOLE: bool;

    fn value(self) -> f32;
    /// Stores `value`, which must be whole and in 0..=255 for bytes. Never saturates, so that loops vectorise.
    fn stored(value: f32) -> Self;
}

impl Sample for u8 {
    const BOUND: f32 = 255.0;
    const WHOLE: bool = true;

    #[inline(always)]
    fn value(self) -> f32 {
        f32::from(self)
    }

    #[inline(always)]
    fn stored(value: f32) -> Self {
        // Adding 2^23 moves the whole number into the low bits of the mantissa: a saturating cast would not vectorise.
        (value + 8_388_608.0).to_bits() as u8
    }
}

impl Sample for f32 {
    const BOUND: f32 = 1.0;
    const WHOLE: bool = false;

    #[inline(always)]
    fn value(self) -> f32 {
        self
    }

    #[inline(always)]
    fn stored(value: f32) -> Self {
        value
    }
}

/// One image, channels apart: `data[(channel * height + y) * width + x]`. One channel (grey) or three (RGB).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Planes<T> {
    pub width: usize,
    pub height: usize,
    pub channels: usize,
    pub data: Vec<T>,
}

impl<T: Sample> Planes<T> {
    /// Takes a size, keeping its memory where it is large enough. The pixels are unspecified.
    pub fn resize(&mut self, width: usize, height: usize, channels: usize) {
        (self.width, self.height, self.channels) = (width, height, channels);
        self.data.resize(width * height * channels, T::default());
    }

    /// Pixels of a channel.
    pub fn area(&self) -> usize {
        self.width * self.height
    }

    pub fn row(&self, channel: usize, y: usize) -> &[T] {
        let start = (channel * self.height + y) * self.width;
        &self.data[start..start + self.width]
    }

    pub fn row_mut(&mut self, channel: usize, y: usize) -> &mut [T] {
        let start = (channel * self.height + y) * self.width;
        &mut self.data[start..start + self.width]
    }

    pub fn as_source(&self) -> Source<'_, T> {
        Source {
            data: &self.data,
            width: self.width,
            height: self.height,
            channels: self.channels,
            layout: Layout::Planar,
        }
    }
}

/// How the samples of an image follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// `[height, width, channels]`, as decoders give.
    Interleaved,
    /// `[channels, height, width]`, as in CIFAR's files.
    Planar,
}

/// An image that is read where it lies.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a, T> {
    pub data: &'a [T],
    pub width: usize,
    pub height: usize,
    /// 1 or 3.
    pub channels: usize,
    pub layout: Layout,
}

impl<T> Source<'_, T> {
    pub fn extent(&self) -> Extent {
        Extent { height: self.height, width: self.width, channels: self.channels }
    }
}

impl<T: Sample> Source<'_, T> {
    /// Pixels `left .. left + row.len() / channels` of row `y`, interleaved.
    pub fn read_row(&self, y: usize, left: usize, row: &mut [T]) {
        let count = row.len() / self.channels;
        if self.layout == Layout::Interleaved || self.channels == 1 {
            let start = (y * self.width + left) * self.channels;
            row.copy_from_slice(&self.data[start..start + row.len()]);
            return;
        }
        let area = self.width * self.height;
        let start = y * self.width + left;
        let [red, green, blue] = [0, 1, 2].map(|c| &self.data[c * area + start..c * area + start + count]);
        for (((pixel, &r), &g), &b) in row.chunks_exact_mut(3).zip(red).zip(green).zip(blue) {
            pixel.copy_from_slice(&[r, g, b]);
        }
    }

    /// All pixels, channels apart.
    pub fn read_into(&self, out: &mut Planes<T>) {
        out.resize(self.width, self.height, self.channels);
        if self.layout == Layout::Planar || self.channels == 1 {
            let size = out.data.len();
            out.data.copy_from_slice(&self.data[..size]);
            return;
        }
        let area = out.area();
        let (red, rest) = out.data.split_at_mut(area);
        let (green, blue) = rest.split_at_mut(area);
        dispatch(Separate { pixels: &self.data[..3 * area], planes: [red, green, blue] });
    }
}

/// Interleaved → planar.
struct Separate<'a, T> {
    pixels: &'a [T],
    planes: [&'a mut [T]; 3],
}

impl<T: Sample> Kernel for Separate<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let [red, green, blue] = self.planes;
        for (((pixel, r), g), b) in self.pixels.chunks_exact(3).zip(red).zip(green).zip(blue) {
            (*r, *g, *b) = (pixel[0], pixel[1], pixel[2]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_hold_the_same_pixels() {
        let interleaved: Vec<u8> = (0..5 * 4 * 3).collect();
        let source = Source { data: &interleaved, width: 5, height: 4, channels: 3, layout: Layout::Interleaved };
        let mut planes = Planes::default();
        source.read_into(&mut planes);
        assert_eq!(planes.data[20 + 5 + 2], interleaved[3 * (5 + 2) + 1]);
        let (mut first, mut second) = ([0; 9], [0; 9]);
        source.read_row(2, 1, &mut first);
        planes.as_source().read_row(2, 1, &mut second);
        assert_eq!(first, second);
        let mut again = Planes::default();
        planes.as_source().read_into(&mut again);
        assert_eq!(again, planes);
    }

    #[test]
    fn every_level_is_stored_as_itself() {
        assert!((0..=255u8).all(|level| u8::stored(level.value()) == level));
    }
}
