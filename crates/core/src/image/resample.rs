//! Resizing a window of an image, equal to torchvision's `resize` and `resized_crop`. Rotation and shear live elsewhere.
//!
//! Bytes: weights as 16-bit fixed-point numbers, first along rows, then along columns, rounded to bytes between; the
//! arithmetic of PyTorch's uint8 kernels, so results are equal and not merely close. Floats: the same weights in float32.
//! With antialias a filter of support s covers s·scale input pixels where the image shrinks (as in Pillow).

use super::geometry::nearest_places;
use super::planes::{Planes, Sample, Source};
use crate::cpu::dispatch::{Kernel, dispatch};
use crate::ensure;
use crate::error::Result;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interpolation {
    /// The pixel at floor(i · scale).
    Nearest,
    /// The pixel at floor((i + 0.5) · scale).
    NearestExact,
    Bilinear,
    Bicubic,
}

/// A rectangle of pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    pub top: usize,
    pub left: usize,
    pub height: usize,
    pub width: usize,
}

impl Window {
    pub fn whole(width: usize, height: usize) -> Self {
        Self { top: 0, left: 0, height, width }
    }
}

/// Everything a resize is told.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Resampling {
    /// What is read: nothing outside takes part, as if it had been cut out first.
    pub window: Window,
    /// Size of the result.
    pub height: usize,
    pub width: usize,
    pub interpolation: Interpolation,
    /// Filter wide enough not to skip pixels where the image shrinks; without meaning for the nearest modes.
    pub antialias: bool,
    /// Mirrors the result left to right, at no cost.
    pub mirrored: bool,
}

/// Size for which the shorter edge is `size` (the longer one floored), and the longer at most `max_size`.
/// Returns (height, width).
///
/// # Errors
/// `Error::Argument` where `max_size` is not above `size`.
pub fn edge_size(height: usize, width: usize, size: usize, max_size: Option<usize>) -> Result<(usize, usize)> {
    let (short, long) = if width <= height { (width, height) } else { (height, width) };
    // Python divides floats and truncates.
    let mut new_short = size;
    let mut new_long = ((size * long) as f64 / short as f64) as usize;
    if let Some(most) = max_size {
        ensure!(most > size, Argument, "resize: max_size {most} must be above the size {size} of the shorter edge");
        if new_long > most {
            new_short = ((most * new_short) as f64 / new_long as f64) as usize;
            new_long = most;
        }
    }
    Ok(if width <= height { (new_long, new_short) } else { (new_short, new_long) })
}

/// Memory that resizing uses again from image to image.
#[derive(Debug, Default)]
pub struct ResampleScratch<T> {
    row: Vec<T>,
    /// `TILE` rows of the window, turned: all rows of a sample lie together. Then those rows narrowed.
    tile: Vec<[T; TILE]>,
    narrow: Vec<[T; TILE]>,
    /// Rows of the window after the pass along rows: `[channels, window height, width]`.
    narrowed: Vec<T>,
}

/// Rows that are narrowed together, one a lane.
const TILE: usize = 16;

/// Samples that can be resized.
pub trait Resample: Sample {
    type Weight: Copy + Default + Send + Sync;
    type Sum: Copy;
    /// Weights that sum to 1 → stored weights, and the number of fraction bits they have.
    fn weights(weights: &[f64]) -> (Vec<Self::Weight>, u32);
    fn start(bits: u32) -> Self::Sum;
    fn add(sum: Self::Sum, sample: Self, weight: Self::Weight) -> Self::Sum;
    fn finish(sum: Self::Sum, bits: u32) -> Self;
}

impl Resample for u8 {
    type Weight = i32;
    type Sum = i32;

    /// The most fraction bits for which the largest weight stays below 2^15.
    fn weights(weights: &[f64]) -> (Vec<i32>, u32) {
        let largest = weights.iter().copied().fold(0.0, f64::max);
        let mut bits = 0;
        while bits < 22 && 0.5 + largest * f64::from(1u32 << (bits + 1)) < 32_768.0 {
            bits += 1;
        }
        let unit = f64::from(1u32 << bits);
        let stored = weights.iter().map(|weight| (weight * unit + 0.5f64.copysign(*weight)) as i32).collect();
        (stored, bits)
    }

    #[inline(always)]
    fn start(bits: u32) -> i32 {
        1 << (bits - 1)
    }

    #[inline(always)]
    fn add(sum: i32, sample: u8, weight: i32) -> i32 {
        sum + i32::from(sample) * weight
    }

    #[inline(always)]
    fn finish(sum: i32, bits: u32) -> u8 {
        (sum >> bits).clamp(0, 255) as u8
    }
}

impl Resample for f32 {
    type Weight = f32;
    type Sum = f32;

    fn weights(weights: &[f64]) -> (Vec<f32>, u32) {
        (weights.iter().map(|&weight| weight as f32).collect(), 0)
    }

    #[inline(always)]
    fn start(_: u32) -> f32 {
        0.0
    }

    #[inline(always)]
    fn add(sum: f32, sample: f32, weight: f32) -> f32 {
        sum + sample * weight
    }

    #[inline(always)]
    fn finish(sum: f32, _: u32) -> f32 {
        sum
    }
}

/// Resizes `resampling.window` of `source` into `out`.
///
/// # Errors
/// `Error::Argument` where the window is empty or leaves the image, or the result would be empty.
pub fn resample<T: Resample>(
    source: &Source<'_, T>,
    resampling: &Resampling,
    scratch: &mut ResampleScratch<T>,
    out: &mut Planes<T>,
) -> Result<()> {
    let Resampling { window, height, width, interpolation, antialias, mirrored } = *resampling;
    ensure!(
        window.height > 0
            && window.width > 0
            && window.top + window.height <= source.height
            && window.left + window.width <= source.width,
        Argument,
        "resize: a window of {}x{} at row {}, column {} in an image of {}x{} (height x width)",
        window.height,
        window.width,
        window.top,
        window.left,
        source.height,
        source.width
    );
    ensure!(height > 0 && width > 0, Argument, "resize: the result would be {height}x{width}");
    out.resize(width, height, source.channels);
    scratch.row.clear();
    scratch.row.resize(window.width * source.channels, T::default());
    let filter = match interpolation {
        Interpolation::Nearest | Interpolation::NearestExact => {
            pick_nearest(source, resampling, scratch, out);
            return Ok(());
        }
        Interpolation::Bilinear => Filter::TRIANGLE,
        Interpolation::Bicubic => Filter::cubic(antialias),
    };
    let mut across = Taps::<T::Weight>::new::<T>(window.width, width, filter, antialias);
    if mirrored {
        across.mirror();
    }
    let down = Taps::<T::Weight>::new::<T>(window.height, height, filter, antialias);
    scratch.narrowed.resize(source.channels * window.height * width, T::default());
    dispatch(Passes { source, window, across, down, scratch, out });
    Ok(())
}

/// Input pixels and weights of each output pixel along one axis.
struct Taps<W> {
    /// First input pixel of each output pixel.
    first: Vec<usize>,
    /// `weights[output * taps + tap]`; unused taps at the end have weight 0 and are never past the input.
    weights: Vec<W>,
    taps: usize,
    bits: u32,
}

impl<W: Copy> Taps<W> {
    fn new<T: Resample<Weight = W>>(input: usize, output: usize, filter: Filter, antialias: bool) -> Self {
        let scale = input as f64 / output as f64;
        let stretch = if antialias && scale > 1.0 { scale } else { 1.0 };
        let support = filter.support * stretch;
        let taps = (support.ceil() as usize * 2 + 1).min(input);
        let mut first = Vec::with_capacity(output);
        let mut weights = vec![0.0; output * taps];
        for (i, weights) in weights.chunks_exact_mut(taps).enumerate() {
            let center = scale * (i as f64 + 0.5);
            let low = (center - support + 0.5) as i64;
            let start = (low.max(0) as usize).min(input - taps);
            let from = if antialias { low.max(0) } else { (center - support + 0.5).floor() as i64 };
            let to = if antialias { (center + support + 0.5).min(input as f64) } else { center + support + 0.5 } as i64;
            for tap in from..to {
                // Without antialias a tap outside the image counts for the pixel at its edge.
                let place = (tap.clamp(0, input as i64 - 1) as usize).saturating_sub(start);
                if let Some(weight) = weights.get_mut(place) {
                    *weight += (filter.weight)((tap as f64 - center + 0.5) / stretch);
                }
            }
            let total: f64 = weights.iter().sum();
            weights.iter_mut().for_each(|weight| *weight /= total);
            first.push(start);
        }
        let (weights, bits) = T::weights(&weights);
        Self { first, weights, taps, bits }
    }

    fn mirror(&mut self) {
        self.first.reverse();
        let rows: Vec<W> = self.weights.chunks_exact(self.taps).rev().flatten().copied().collect();
        self.weights = rows;
    }
}

/// A symmetric filter: weight by distance in input pixels (after stretching), zero from `support` on.
#[derive(Clone, Copy)]
struct Filter {
    support: f64,
    weight: fn(f64) -> f64,
}

impl Filter {
    const TRIANGLE: Self = Self { support: 1.0, weight: |x| (1.0 - x.abs()).max(0.0) };

    /// Keys 1981 with a = -0.5 (as Pillow) where antialiased, else a = -0.75 (as OpenCV); PyTorch has both.
    fn cubic(antialias: bool) -> Self {
        Self { support: 2.0, weight: if antialias { |x| keys(x, -0.5) } else { |x| keys(x, -0.75) } }
    }
}

fn keys(x: f64, a: f64) -> f64 {
    let x = x.abs();
    if x < 1.0 {
        ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * a
    } else {
        0.0
    }
}

/// Both passes, compiled for each instruction set.
struct Passes<'a, 'b, T: Resample> {
    source: &'a Source<'b, T>,
    window: Window,
    across: Taps<T::Weight>,
    down: Taps<T::Weight>,
    scratch: &'a mut ResampleScratch<T>,
    out: &'a mut Planes<T>,
}

impl<T: Resample> Kernel for Passes<'_, '_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { source, window, across, down, scratch, out } = self;
        let ResampleScratch { row, tile, narrow, narrowed } = scratch;
        let (width, plane, channels) = (out.width, window.height * out.width, source.channels);
        tile.resize(window.width * channels, [T::default(); TILE]);
        narrow.resize(width * channels, [T::default(); TILE]);
        for top in (0..window.height).step_by(TILE) {
            let rows = TILE.min(window.height - top);
            for lane in 0..rows {
                source.read_row(window.top + top + lane, window.left, row);
                for (samples, &sample) in tile.iter_mut().zip(row.iter()) {
                    samples[lane] = sample;
                }
            }
            narrow_tile(tile, &across, channels, narrow);
            for lane in 0..rows {
                for channel in 0..channels {
                    let start = channel * plane + (top + lane) * width;
                    let samples = narrow[channel * width..(channel + 1) * width].iter();
                    for (out, samples) in narrowed[start..start + width].iter_mut().zip(samples) {
                        *out = samples[lane];
                    }
                }
            }
        }
        for channel in 0..out.channels {
            let rows = &narrowed[channel * plane..(channel + 1) * plane];
            for y in 0..out.height {
                shorten(rows, &down, y, out.row_mut(channel, y));
            }
        }
    }
}

/// A tile of `[pixel, channel]` samples → `[channel, output pixel]`, each of `TILE` rows.
#[inline(always)]
fn narrow_tile<T: Resample>(tile: &[[T; TILE]], taps: &Taps<T::Weight>, channels: usize, narrow: &mut [[T; TILE]]) {
    let width = narrow.len() / channels;
    let weights = taps.weights.chunks_exact(taps.taps);
    for (x, (&first, weights)) in taps.first.iter().zip(weights).enumerate() {
        let pixels = &tile[first * channels..(first + taps.taps) * channels];
        for channel in 0..channels {
            let mut sum = [T::start(taps.bits); TILE];
            for (pixel, &weight) in pixels.chunks_exact(channels).zip(weights) {
                let samples = &pixel[channel];
                for lane in 0..TILE {
                    sum[lane] = T::add(sum[lane], samples[lane], weight);
                }
            }
            let out = &mut narrow[channel * width + x];
            for lane in 0..TILE {
                out[lane] = T::finish(sum[lane], taps.bits);
            }
        }
    }
}

/// Output row `y`: a weighted sum of rows, `LANES` columns at a time in registers.
#[inline(always)]
fn shorten<T: Resample>(rows: &[T], taps: &Taps<T::Weight>, y: usize, out: &mut [T]) {
    const LANES: usize = 32;
    let width = out.len();
    let weights = &taps.weights[y * taps.taps..(y + 1) * taps.taps];
    let start = taps.first[y] * width;
    let rows = &rows[start..start + taps.taps * width];
    let mut blocks = out.chunks_exact_mut(LANES);
    let mut column = 0;
    for block in &mut blocks {
        let mut sum = [T::start(taps.bits); LANES];
        for (tap, &weight) in weights.iter().enumerate() {
            let samples = &rows[tap * width + column..tap * width + column + LANES];
            for lane in 0..LANES {
                sum[lane] = T::add(sum[lane], samples[lane], weight);
            }
        }
        for lane in 0..LANES {
            block[lane] = T::finish(sum[lane], taps.bits);
        }
        column += LANES;
    }
    for (offset, out) in blocks.into_remainder().iter_mut().enumerate() {
        let mut sum = T::start(taps.bits);
        for (tap, &weight) in weights.iter().enumerate() {
            sum = T::add(sum, rows[tap * width + column + offset], weight);
        }
        *out = T::finish(sum, taps.bits);
    }
}

fn pick_nearest<T: Resample>(
    source: &Source<'_, T>,
    resampling: &Resampling,
    scratch: &mut ResampleScratch<T>,
    out: &mut Planes<T>,
) {
    let window = resampling.window;
    let shift = if resampling.interpolation == Interpolation::NearestExact { 0.5 } else { 0.0 };
    let mut columns = nearest_places(window.width, out.width, shift);
    if resampling.mirrored {
        columns.reverse();
    }
    let rows = nearest_places(window.height, out.height, shift);
    let channels = source.channels;
    for (y, &from) in rows.iter().enumerate() {
        source.read_row(window.top + from, window.left, &mut scratch.row[..window.width * channels]);
        for channel in 0..channels {
            for (out, &column) in out.row_mut(channel, y).iter_mut().zip(&columns) {
                *out = scratch.row[column * channels + channel];
            }
        }
    }
}
