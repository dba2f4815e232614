//! Operations whose pixels are drawn at random: noise, and patches that are hidden. The numbers follow from a key that the
//! plan of the image holds, so an operation stays a value that can be repeated.

use super::planes::{Planes, Sample};
use super::resample::Window;
use crate::random::Philox;

/// A sequence of random numbers, named by seed and stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    seed: u64,
    stream: u64,
}

impl Key {
    /// A sequence of its own, drawn from another.
    pub fn drawn(random: &mut Philox) -> Self {
        Self { seed: random.next_u64(), stream: random.next_u64() }
    }

    /// Seed and stream, low words first.
    pub fn words(self) -> [u32; 4] {
        [self.seed as u32, (self.seed >> 32) as u32, self.stream as u32, (self.stream >> 32) as u32]
    }

    fn sequence(self) -> Philox {
        Philox::new(self.seed, self.stream)
    }
}

/// Adds normal numbers of that mean and deviation, in units of the image's bound (1.0 is 255 for bytes). Bytes are moved by
/// whole levels, the fraction of the noise dropped, and stay in 0..=255; floats are clamped to 0..=1 if `clip`.
pub fn add_noise<T: Sample>(image: &mut Planes<T>, mean: f32, sigma: f32, clip: bool, key: Key) {
    let mut noise = vec![0.0; image.data.len()];
    key.sequence().fill_normal(&mut noise);
    let (mean, sigma) = (mean * T::BOUND, sigma * T::BOUND);
    for (sample, noise) in image.data.iter_mut().zip(noise) {
        let moved = noise * sigma + mean;
        let value = sample.value() + if T::WHOLE { moved.trunc() } else { moved };
        *sample = T::stored(if clip || T::WHOLE { value.clamp(0.0, T::BOUND) } else { value });
    }
}

/// Fills the part of `window` that lies in the image with normal numbers of mean 0 and deviation 1.
pub fn erase_with_noise<T: Sample>(image: &mut Planes<T>, window: Window, key: Key) {
    let mut random = key.sequence();
    let right = (window.left + window.width).min(image.width);
    for channel in 0..image.channels {
        for y in window.top..(window.top + window.height).min(image.height) {
            for sample in &mut image.row_mut(channel, y)[window.left.min(right)..right] {
                let value = random.normal();
                *sample = T::stored(if T::WHOLE { value.clamp(0.0, T::BOUND).trunc() } else { value });
            }
        }
    }
}

/// Which of `count` patches stay visible when `hidden` of them, drawn by `key`, are not.
pub fn visible_patches(count: usize, hidden: usize, key: Key) -> Vec<bool> {
    let order = key.sequence().permutation(count);
    let mut visible = vec![true; count];
    order[..hidden.min(count)].iter().for_each(|&patch| visible[patch] = false);
    visible
}

/// Fills hidden patches of `side` pixels a side with `value` (in the image's own units); what does not make a whole patch at
/// the right and the bottom stays.
pub fn hide_patches<T: Sample>(image: &mut Planes<T>, side: usize, hidden: usize, value: f32, key: Key) {
    let (rows, columns) = (image.height / side, image.width / side);
    let visible = visible_patches(rows * columns, hidden, key);
    for (patch, _) in visible.iter().enumerate().filter(|(_, visible)| !**visible) {
        let (top, left) = (patch / columns * side, patch % columns * side);
        super::geometry::erase(image, Window { top, left, height: side, width: side }, [value; 3]);
    }
}

/// `out[channel]` = `image[order[channel]]`.
pub fn permute_channels<T: Sample>(image: &Planes<T>, order: [usize; 3], out: &mut Planes<T>) {
    out.resize(image.width, image.height, image.channels);
    for channel in 0..image.channels {
        let from = if image.channels == 3 { order[channel] } else { channel };
        for y in 0..image.height {
            out.row_mut(channel, y).copy_from_slice(image.row(from, y));
        }
    }
}
