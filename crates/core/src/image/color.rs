//! Colour operations that look at one pixel at a time, equal to torchvision's, and a pass that runs several of them at once.
//! Blurring and resizing, which look at neighbours, live elsewhere.
//!
//! A pass cuts the image into chunks that stay in the first-level cache, brings them to float32, applies every operation
//! and stores once. For 8-bit images each operation clamps to 0..=255 and drops the fraction as torchvision's uint8
//! kernels do, so a pass of several equals several passes of one. Multiply-adds are fused, as in PyTorch's kernels.

use super::planes::{Planes, Sample};
use crate::cpu::dispatch::{Kernel, dispatch};

/// Weights of red, green and blue in the grey value (ITU-R BT.601).
const GREY: [f32; 3] = [0.2989, 0.587, 0.114];
/// torchvision's factor from 0..=1 to bytes: 1.0 becomes 255 without rounding, after the fraction is dropped.
const TO_BYTES: f32 = 255.999;
const FROM_BYTES: f32 = 1.0 / 255.0;
/// Pixels of a chunk: three planes of 4 KiB.
const CHUNK: usize = 1024;

/// One operation, with its factors drawn. `Level` says what a pixel is at that point: bytes 0..=255 or floats.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum PixelOp {
    /// Times a factor >= 0.
    Brightness(f32),
    /// Blend with a grey level, the mean of the grey image: factor, mean.
    Contrast(f64, f32),
    /// Blend with the grey image.
    Saturation(f64),
    /// Turns the hue by this part of a circle, -0.5..=0.5.
    Hue(f32),
    /// Every channel becomes the grey value.
    Grey,
    /// RGB becomes one channel, the grey value.
    ToGrey,
    /// One channel becomes RGB by repetition.
    ToRgb,
    /// Values at or above the threshold are inverted.
    Solarize(f32),
    Invert,
    /// Keeps so many upper bits.
    Posterize(u32),
    /// gain · x^gamma.
    Gamma(f32, f32),
    /// (x - minimum) / scale, each channel its own.
    Stretch([f32; 3], [f32; 3]),
    /// Bytes → 0..=1.
    ToFloats,
    /// 0..=1 → bytes.
    ToBytes,
    /// (x - mean) / standard deviation, each channel its own. Floats only.
    Normalize([f32; 3], [f32; 3]),
}

/// Where a pass puts its pixels.
pub enum Sink<'a> {
    /// Nowhere: only the grey mean is wanted.
    Nothing,
    Bytes(&'a mut Planes<u8>),
    Floats(&'a mut Planes<f32>),
    /// `[height, width, channels]`.
    Interleaved(&'a mut [f32]),
}

/// Applies `ops` to every pixel of `input`, in order, and stores the result. What the values are after the last operation
/// (bytes or floats, of `channels` channels) must fit the sink.
///
/// Returns the mean grey value after the last operation (fractions dropped for bytes), which a contrast needs, if `mean`.
pub fn run<T: Sample>(input: &Planes<T>, ops: &[PixelOp], channels: usize, mean: bool, sink: Sink<'_>) -> f32 {
    let area = input.area();
    let sink = match sink {
        Sink::Bytes(planes) => {
            planes.resize(input.width, input.height, channels);
            Sink::Bytes(planes)
        }
        Sink::Floats(planes) => {
            planes.resize(input.width, input.height, channels);
            Sink::Floats(planes)
        }
        other => other,
    };
    let sum = dispatch(Pass { input, ops, channels, mean, sink });
    (sum as f32) / area as f32
}

struct Pass<'a, T> {
    input: &'a Planes<T>,
    ops: &'a [PixelOp],
    channels: usize,
    mean: bool,
    sink: Sink<'a>,
}

impl<T: Sample> Kernel for Pass<'_, T> {
    type Output = f64;

    #[inline(always)]
    fn run(self) -> f64 {
        let Self { input, ops, channels, mean, mut sink } = self;
        let area = input.area();
        let mut chunk = [[0f32; CHUNK]; 3];
        let mut sum = 0.0;
        let mut start = 0;
        while start < area {
            let count = CHUNK.min(area - start);
            for channel in 0..input.channels {
                let samples = &input.data[channel * area + start..channel * area + start + count];
                for (value, sample) in chunk[channel].iter_mut().zip(samples) {
                    *value = sample.value();
                }
            }
            let [red, green, blue] = &mut chunk;
            let mut pixels = Pixels {
                planes: [&mut red[..count], &mut green[..count], &mut blue[..count]],
                channels: input.channels,
                whole: T::WHOLE,
            };
            for op in ops {
                pixels.apply(op);
            }
            if mean {
                sum += pixels.grey_sum();
            }
            let planes = pixels.planes;
            match &mut sink {
                Sink::Nothing => {}
                Sink::Bytes(out) => store(&planes[..channels], &mut out.data, area, start),
                Sink::Floats(out) => store(&planes[..channels], &mut out.data, area, start),
                Sink::Interleaved(out) if channels == 3 => {
                    let out = &mut out[3 * start..3 * (start + count)];
                    let [red, green, blue] = planes;
                    for (((pixel, r), g), b) in out.chunks_exact_mut(3).zip(red).zip(green).zip(blue) {
                        (pixel[0], pixel[1], pixel[2]) = (*r, *g, *b);
                    }
                }
                Sink::Interleaved(out) => out[start..start + count].copy_from_slice(planes[0]),
            }
            start += count;
        }
        sum
    }
}

#[inline(always)]
fn store<U: Sample>(planes: &[&mut [f32]], out: &mut [U], area: usize, start: usize) {
    for (channel, plane) in planes.iter().enumerate() {
        let out = &mut out[channel * area + start..channel * area + start + plane.len()];
        for (sample, value) in out.iter_mut().zip(plane.iter()) {
            *sample = U::stored(*value);
        }
    }
}

/// A chunk of pixels as floats, channels apart.
struct Pixels<'a> {
    planes: [&'a mut [f32]; 3],
    channels: usize,
    /// Whether the values are bytes: whole numbers in 0..=255.
    whole: bool,
}

impl Pixels<'_> {
    #[inline(always)]
    fn apply(&mut self, op: &PixelOp) {
        match (self.whole, *op) {
            (_, PixelOp::ToFloats) => {
                if self.whole {
                    self.each(|value| value * FROM_BYTES);
                }
                self.whole = false;
            }
            (_, PixelOp::ToBytes) => {
                if !self.whole {
                    self.each(|value| (value * TO_BYTES).clamp(0.0, 255.0).floor());
                }
                self.whole = true;
            }
            (_, PixelOp::ToRgb) => {
                if self.channels == 1 {
                    let [grey, green, blue] = &mut self.planes;
                    green.copy_from_slice(grey);
                    blue.copy_from_slice(grey);
                }
                self.channels = 3;
            }
            (true, PixelOp::Posterize(bits)) => {
                let step = (1u32 << (8 - bits.min(8))) as f32;
                let inverse = 1.0 / step;
                self.each(|value| (value * inverse).floor() * step);
            }
            (false, PixelOp::Posterize(bits)) => {
                let levels = (1u32 << bits) as f32;
                self.each(|value| (value * levels).floor().clamp(0.0, levels - 1.0) * (1.0 / levels));
            }
            (_, PixelOp::Normalize(mean, deviation)) => {
                for channel in 0..self.channels {
                    let (mean, scale) = (mean[channel], 1.0 / deviation[channel]);
                    self.planes[channel].iter_mut().for_each(|value| *value = (*value - mean) * scale);
                }
            }
            (true, op) => self.shade::<u8>(op),
            (false, op) => self.shade::<f32>(op),
        }
    }

    /// Operations that are written once for both kinds of values.
    #[inline(always)]
    fn shade<T: Sample>(&mut self, op: PixelOp) {
        match op {
            PixelOp::Brightness(factor) => self.each(|value| level::<T>(value * factor)),
            PixelOp::Contrast(factor, mean) => {
                let (factor, rest) = (factor as f32, (1.0 - factor) as f32);
                self.each(|value| blend::<T>(value, mean, factor, rest));
            }
            PixelOp::Saturation(factor) if self.channels == 3 => {
                let (factor, rest) = (factor as f32, (1.0 - factor) as f32);
                self.each_pixel(|[r, g, b]| {
                    let grey = grey::<T>([r, g, b]);
                    [r, g, b].map(|value| blend::<T>(value, grey, factor, rest))
                });
            }
            PixelOp::Hue(turn) if self.channels == 3 => {
                // A loop of its own: as a closure the body is too large to be inlined, and would run without wide registers.
                let [red, green, blue] = &mut self.planes;
                for ((r, g), b) in red.iter_mut().zip(green.iter_mut()).zip(blue.iter_mut()) {
                    [*r, *g, *b] = turned::<T>([*r, *g, *b], turn);
                }
            }
            PixelOp::Grey if self.channels == 3 => self.each_pixel(|rgb| [grey::<T>(rgb); 3]),
            PixelOp::ToGrey => {
                if self.channels == 3 {
                    let [red, green, blue] = &mut self.planes;
                    for ((r, g), b) in red.iter_mut().zip(green.iter()).zip(blue.iter()) {
                        *r = grey::<T>([*r, *g, *b]);
                    }
                }
                self.channels = 1;
            }
            PixelOp::Solarize(threshold) => {
                self.each(|value| if value >= threshold { T::BOUND - value } else { value });
            }
            PixelOp::Invert => self.each(|value| T::BOUND - value),
            PixelOp::Gamma(gamma, gain) => self.each(|value| {
                let unit = if T::WHOLE { value * FROM_BYTES } else { value };
                let mut unit = unit.powf(gamma);
                if gain != 1.0 {
                    unit = (unit * gain).clamp(0.0, 1.0);
                }
                if T::WHOLE { (unit * TO_BYTES).clamp(0.0, 255.0).floor() } else { unit }
            }),
            PixelOp::Stretch(minimum, scale) => {
                for channel in 0..self.channels {
                    let (minimum, scale) = (minimum[channel], scale[channel]);
                    self.planes[channel].iter_mut().for_each(|value| *value = level::<T>((*value - minimum) / scale));
                }
            }
            // A grey image has neither hue nor saturation.
            _ => {}
        }
    }

    #[inline(always)]
    fn each(&mut self, change: impl Fn(f32) -> f32) {
        for plane in &mut self.planes[..self.channels] {
            plane.iter_mut().for_each(|value| *value = change(*value));
        }
    }

    #[inline(always)]
    fn each_pixel(&mut self, change: impl Fn([f32; 3]) -> [f32; 3]) {
        let [red, green, blue] = &mut self.planes;
        for ((r, g), b) in red.iter_mut().zip(green.iter_mut()).zip(blue.iter_mut()) {
            [*r, *g, *b] = change([*r, *g, *b]);
        }
    }

    #[inline(always)]
    fn grey_sum(&self) -> f64 {
        let [red, green, blue] = &self.planes;
        match (self.channels, self.whole) {
            (3, true) => lane_sum(red, green, blue, grey::<u8>),
            (3, false) => lane_sum(red, green, blue, grey::<f32>),
            _ => lane_sum(red, red, red, |[value, ..]| value),
        }
    }
}

/// Σ grey(pixel), in lanes so that it vectorises: sums of bytes over a chunk are exact in float32, whatever the order.
#[inline(always)]
fn lane_sum(red: &[f32], green: &[f32], blue: &[f32], grey: impl Fn([f32; 3]) -> f32) -> f64 {
    const LANES: usize = 16;
    let mut lanes = [0f32; LANES];
    let (mut reds, mut greens, mut blues) =
        (red.chunks_exact(LANES), green.chunks_exact(LANES), blue.chunks_exact(LANES));
    for ((r, g), b) in (&mut reds).zip(&mut greens).zip(&mut blues) {
        for lane in 0..LANES {
            lanes[lane] += grey([r[lane], g[lane], b[lane]]);
        }
    }
    let rest = reds.remainder().iter().zip(greens.remainder()).zip(blues.remainder());
    for (lane, ((&r, &g), &b)) in lanes.iter_mut().zip(rest) {
        *lane += grey([r, g, b]);
    }
    lanes.iter().map(|&lane| f64::from(lane)).sum()
}

/// Into 0..=bound; for bytes the fraction is dropped.
#[inline(always)]
fn level<T: Sample>(value: f32) -> f32 {
    let value = value.clamp(0.0, T::BOUND);
    if T::WHOLE { value.floor() } else { value }
}

/// value · factor + other · rest with rest = 1 - factor (in float64), the second product fused with the sum.
#[inline(always)]
fn blend<T: Sample>(value: f32, other: f32, factor: f32, rest: f32) -> f32 {
    level::<T>(other.mul_add(rest, value * factor))
}

/// Weighted mean of the channels; for bytes the fraction is dropped.
#[inline(always)]
fn grey<T: Sample>([r, g, b]: [f32; 3]) -> f32 {
    let grey = b.mul_add(GREY[2], g.mul_add(GREY[1], r * GREY[0]));
    if T::WHOLE { grey.floor() } else { grey }
}

/// RGB → HSV, hue + turn, HSV → RGB, without branches. Nothing in it is a call that could stay outside the loop.
#[inline(always)]
fn turned<T: Sample>([r, g, b]: [f32; 3], turn: f32) -> [f32; 3] {
    let scale = if T::WHOLE { FROM_BYTES } else { 1.0 };
    let (r, g, b) = (r * scale, g * scale, b * scale);
    let value = larger(larger(r, g), b);
    let range = value - smaller(smaller(r, g), b);
    let is_grey = range == 0.0;
    let saturation = range / if is_grey { 1.0 } else { value };
    let divisor = if is_grey { 1.0 } else { range };
    let (rc, gc, bc) = ((value - r) / divisor, (value - g) / divisor, (value - b) / divisor);
    let from_green = if value == g { rc + 2.0 - bc } else { gc + 4.0 - rc };
    let sector = if value == r { bc - gc } else { from_green };
    let hue = sector * (1.0 / 6.0) + 1.0;
    let hue = hue - hue.floor() + turn;
    let sixths = (hue - hue.floor()) * 6.0;
    // Rounding may bring sixths to 6, which is sector 0 again, with the fraction 0.
    let index = if sixths >= 6.0 { 0.0 } else { sixths.floor() };
    let fraction = if sixths >= 6.0 { 0.0 } else { sixths - index };
    let part = saturation * fraction;
    let p = unit((1.0 - saturation) * value);
    let q = unit((1.0 - part) * value);
    let t = unit((part + (1.0 - saturation)) * value);
    let red = pick(index, [value, q, p, p, t, value]);
    let green = pick(index, [t, value, value, q, p, p]);
    let blue = pick(index, [p, p, t, value, value, q]);
    if T::WHOLE {
        [(red * TO_BYTES).floor(), (green * TO_BYTES).floor(), (blue * TO_BYTES).floor()]
    } else {
        [red, green, blue]
    }
}

#[inline(always)]
fn larger(a: f32, b: f32) -> f32 {
    if a > b { a } else { b }
}

#[inline(always)]
fn smaller(a: f32, b: f32) -> f32 {
    if a < b { a } else { b }
}

#[inline(always)]
fn unit(value: f32) -> f32 {
    value.clamp(0.0, 1.0)
}

/// `at[index]` for a whole index in 0..6, by comparisons.
#[inline(always)]
fn pick(index: f32, at: [f32; 6]) -> f32 {
    let low = if index < 1.0 { at[0] } else { at[1] };
    let middle = if index < 3.0 { at[2] } else { at[3] };
    let high = if index < 5.0 { at[4] } else { at[5] };
    let rest = if index < 4.0 { middle } else { high };
    if index < 2.0 { low } else { rest }
}
