//! Filters over neighbouring pixels: Gaussian blur and sharpness, equal to torchvision's. Edges are reflected.

use super::planes::{Planes, Sample};
use super::record::Extent;
use crate::cpu::dispatch::{Kernel, dispatch};
use crate::ensure;
use crate::error::Result;

/// Weights below this part of the largest are left out: together they move no value by 10^-6 of its range.
const NEGLIGIBLE: f64 = 1e-8;
/// Columns that are summed in registers.
const LANES: usize = 32;

/// Memory that blurring uses again from image to image.
#[derive(Debug, Default)]
pub struct BlurScratch {
    row: Vec<f32>,
    /// A plane after the pass along rows.
    across: Vec<f32>,
}

/// Gaussian blur by a kernel of `size` (x, y), odd numbers, and standard deviations `sigma` (x, y) in pixels.
/// Bytes are rounded to the nearest, ties to even.
///
/// # Errors
/// `Error::Argument` where a size is even or reaches past the reflected image (size / 2 >= width or height), or sigma <= 0.
pub fn gaussian_blur<T: Sample>(
    input: &Planes<T>,
    size: [usize; 2],
    sigma: [f64; 2],
    scratch: &mut BlurScratch,
    out: &mut Planes<T>,
) -> Result<()> {
    let Planes { width, height, channels, .. } = *input;
    check_blur(size, sigma, Extent { height, width, channels })?;
    out.resize(input.width, input.height, input.channels);
    let kernel_x = gaussian_kernel(size[0], sigma[0]);
    let kernel_y = gaussian_kernel(size[1], sigma[1]);
    scratch.row.resize(input.width + kernel_x.len() - 1, 0.0);
    scratch.across.resize(input.area(), 0.0);
    dispatch(Blur { input, kernel_x: &kernel_x, kernel_y: &kernel_y, scratch, out });
    Ok(())
}

/// Whether an image can be blurred so; errors as for [`gaussian_blur`].
pub fn check_blur(size: [usize; 2], sigma: [f64; 2], extent: Extent) -> Result<()> {
    for (axis, extent) in [extent.width, extent.height].into_iter().enumerate() {
        let (size, sigma) = (size[axis], sigma[axis]);
        ensure!(size % 2 == 1, Argument, "gaussianBlur: the kernel size {size} is even; it must be odd");
        ensure!(sigma > 0.0, Argument, "gaussianBlur: sigma {sigma} must be above 0");
        ensure!(
            size / 2 < extent,
            Argument,
            "gaussianBlur: a kernel of {size} needs more than {} pixels to reflect, the image has {extent}",
            size / 2
        );
    }
    Ok(())
}

/// Odd number of weights that sum to 1, the middle of a kernel of `size` without its negligible ends.
pub fn gaussian_kernel(size: usize, sigma: f64) -> Vec<f32> {
    let radius = (size / 2) as i64;
    let weight = |x: i64| (-0.5 * (x as f64 / sigma).powi(2)).exp();
    let total: f64 = (-radius..=radius).map(weight).sum();
    let kept = (0..=radius).rev().find(|&x| weight(x) > NEGLIGIBLE).unwrap_or(0);
    (-kept..=kept).map(|x| (weight(x) / total) as f32).collect()
}

/// Index of `place` in 0..extent with the image reflected at its edge pixels.
fn reflected(place: i64, extent: usize) -> usize {
    let last = extent as i64 - 1;
    let place = place.abs();
    (if place > last { 2 * last - place } else { place }) as usize
}

struct Blur<'a, T> {
    input: &'a Planes<T>,
    kernel_x: &'a [f32],
    kernel_y: &'a [f32],
    scratch: &'a mut BlurScratch,
    out: &'a mut Planes<T>,
}

impl<T: Sample> Kernel for Blur<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { input, kernel_x, kernel_y, scratch: BlurScratch { row: padded, across }, out } = self;
        let (width, height) = (input.width, input.height);
        let (radius_x, radius_y) = (kernel_x.len() / 2, kernel_y.len() / 2);
        for channel in 0..input.channels {
            for y in 0..height {
                let row = input.row(channel, y);
                for (value, sample) in padded[radius_x..].iter_mut().zip(row) {
                    *value = sample.value();
                }
                for i in 0..radius_x {
                    padded[i] = row[reflected(i as i64 - radius_x as i64, width)].value();
                    padded[radius_x + width + i] = row[reflected((width + i) as i64, width)].value();
                }
                let start = |tap: usize| tap;
                weighted_sum(padded, kernel_x, start, &mut across[y * width..(y + 1) * width], |value| value);
            }
            for y in 0..height {
                let start = |tap: usize| reflected((y + tap) as i64 - radius_y as i64, height) * width;
                weighted_sum(across, kernel_y, start, out.row_mut(channel, y), rounded::<T>);
            }
        }
    }
}

#[inline(always)]
fn rounded<T: Sample>(value: f32) -> T {
    T::stored(if T::WHOLE { value.clamp(0.0, T::BOUND).round_ties_even() } else { value })
}

/// `out[x]` = finish(Σ over taps of kernel[tap] · values[start(tap) + x]).
#[inline(always)]
fn weighted_sum<T>(
    values: &[f32],
    kernel: &[f32],
    start: impl Fn(usize) -> usize,
    out: &mut [T],
    finish: impl Fn(f32) -> T,
) {
    let mut blocks = out.chunks_exact_mut(LANES);
    let mut column = 0;
    for block in &mut blocks {
        let mut sum = [0f32; LANES];
        for (tap, &weight) in kernel.iter().enumerate() {
            let at = start(tap) + column;
            let values = &values[at..at + LANES];
            for lane in 0..LANES {
                sum[lane] = values[lane].mul_add(weight, sum[lane]);
            }
        }
        for lane in 0..LANES {
            block[lane] = finish(sum[lane]);
        }
        column += LANES;
    }
    for (offset, out) in blocks.into_remainder().iter_mut().enumerate() {
        let mut sum = 0f32;
        for (tap, &weight) in kernel.iter().enumerate() {
            sum = values[start(tap) + column + offset].mul_add(weight, sum);
        }
        *out = finish(sum);
    }
}

/// Pillow's `GaussianBlur`: three box blurs along rows, then three along columns, in 24-bit fixed point, with edges repeated.
/// Floats are blurred through bytes, as an image goes through Pillow.
pub fn box_blur<T: Sample>(image: &mut Planes<T>, sigma: f64) {
    let weights = box_weights(sigma);
    let (width, height) = (image.width, image.height);
    let mut lines: Vec<u8> = image.data.iter().map(|sample| as_byte(*sample)).collect();
    let mut line = vec![0u8; width.max(height)];
    for channel in lines.chunks_exact_mut(width * height) {
        for row in channel.chunks_exact_mut(width) {
            (0..BOXES).for_each(|_| box_line(row, weights, &mut line));
        }
        let mut column = vec![0u8; height];
        for x in 0..width {
            (0..height).for_each(|y| column[y] = channel[y * width + x]);
            (0..BOXES).for_each(|_| box_line(&mut column, weights, &mut line));
            (0..height).for_each(|y| channel[y * width + x] = column[y]);
        }
    }
    for (sample, byte) in image.data.iter_mut().zip(lines) {
        *sample = T::stored(if T::WHOLE { f32::from(byte) } else { f32::from(byte) * (1.0 / 255.0) });
    }
}

const BOXES: usize = 3;

fn as_byte<T: Sample>(sample: T) -> u8 {
    let value = sample.value();
    (if T::WHOLE { value } else { (value * 255.999).clamp(0.0, 255.0) }) as u8
}

/// Radius, with a fraction, of the box that three times over has the deviation `sigma` (Gwosdek et al. 2011, eq. 7, 11, 14).
fn box_radius(sigma: f32) -> f32 {
    let variance = sigma * sigma / BOXES as f32;
    let length = (12.0 * f64::from(variance) + 1.0).sqrt() as f32;
    let whole = ((length - 1.0) / 2.0).floor();
    let above = (2.0 * whole + 1.0) * (whole * (whole + 1.0) - 3.0 * variance);
    whole + above / (6.0 * (variance - (whole + 1.0) * (whole + 1.0)))
}

/// Of the box for a deviation: whole pixels of its radius, weight of those inside and of the two beyond, in 2^-24.
pub fn box_weights(sigma: f64) -> [u32; 3] {
    let radius = box_radius(sigma as f32);
    let whole = radius as u32;
    // Pillow divides in float32.
    let inner = ((1u32 << 24) as f32 / (radius * 2.0 + 1.0)) as u32;
    [whole, inner, ((1u32 << 24) - (whole * 2 + 1) * inner) / 2]
}

/// One box blur of a line: whole pixels inside the radius, a fraction of the two beyond.
fn box_line(line: &mut [u8], weights: [u32; 3], before: &mut [u8]) {
    let count = line.len();
    let before = &mut before[..count];
    before.copy_from_slice(line);
    let [whole, inner, outer] = weights;
    let at = |place: usize, shift: isize| {
        let place = place as isize + shift;
        u32::from(before[place.clamp(0, count as isize - 1) as usize])
    };
    let reach = whole as isize;
    let mut sum: u32 = (-reach..=reach).map(|shift| at(0, shift)).sum();
    for (place, out) in line.iter_mut().enumerate() {
        let ends = at(place, -reach - 1) + at(place, reach + 1);
        *out = ((sum * inner + ends * outer + (1 << 23)) >> 24) as u8;
        sum = sum + at(place, reach + 1) - at(place, -reach);
    }
}

/// Away from (factor > 1) or towards (factor < 1) a mean of each pixel (weight 5) and its eight neighbours (weight 1).
/// Pixels at the edge stay as they are; so does an image with a side of at most 2 pixels.
pub fn sharpen<T: Sample>(input: &Planes<T>, factor: f64, out: &mut Planes<T>) {
    out.resize(input.width, input.height, input.channels);
    out.data.copy_from_slice(&input.data);
    if input.width > 2 && input.height > 2 {
        dispatch(Sharpen { input, rest: (1.0 - factor) as f32, out });
    }
}

struct Sharpen<'a, T> {
    input: &'a Planes<T>,
    rest: f32,
    out: &'a mut Planes<T>,
}

impl<T: Sample> Kernel for Sharpen<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { input, rest, out } = self;
        for channel in 0..input.channels {
            for y in 1..input.height - 1 {
                let rows = [y - 1, y, y + 1].map(|y| input.row(channel, y));
                let out = &mut out.row_mut(channel, y)[1..input.width - 1];
                for (x, out) in out.iter_mut().enumerate() {
                    let mut sum = 4.0 * rows[1][x + 1].value();
                    for row in rows {
                        sum += row[x].value() + row[x + 1].value() + row[x + 2].value();
                    }
                    let mut mean = sum / 13.0;
                    if T::WHOLE {
                        mean = mean.round_ties_even();
                    }
                    let value = rows[1][x + 1].value();
                    let sharp = (mean - value).mul_add(rest, value).clamp(0.0, T::BOUND);
                    *out = T::stored(if T::WHOLE { sharp.floor() } else { sharp });
                }
            }
        }
    }
}
