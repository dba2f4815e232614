//! Convolutions with one filter a channel: no sums over channels, so no matrix product; loops over channels vectorise.

use super::conv::Conv2d;
use super::dispatch::{Kernel, dispatch};
use super::implicit::Tap;
use super::scratch::with_scratch;
use super::threads::{SharedPointer, parallel_for};
use super::vector::Real;

/// Channels whose sums stay in registers.
const CHANNELS: usize = 64;

/// y = x ∗ weight + bias, channel by channel.
pub fn forward<T: Real>(conv: &Conv2d, x: &[T], weight: &[T], bias: Option<&[T]>, y: &mut [T]) {
    let size = conv.output_size();
    let taps = conv.taps();
    with_filters(conv, weight, |filters| {
        lines(conv.batch * size[0], size[1] * conv.in_channels, y, |line, y| {
            let (image, row) = (line / size[0], line % size[0]);
            dispatch(Line {
                source: x,
                source_size: [conv.height, conv.width],
                image,
                filters,
                bias,
                channels: conv.in_channels,
                // The position that a tap reads for pixel `column` of this line.
                position: |tap: &Tap, column: usize| {
                    let y = (row * conv.stride[0]) as isize + tap.row;
                    let x = (column * conv.stride[1]) as isize + tap.column;
                    Some([y, x])
                },
                taps: &taps,
                to: y,
            });
        });
    });
}

/// dx = dy ∗ᵀ weight, channel by channel.
pub fn input_gradient<T: Real>(conv: &Conv2d, dy: &[T], weight: &[T], dx: &mut [T]) {
    let taps = conv.taps();
    let [vertical, horizontal] = conv.stride.map(|stride| stride as isize);
    with_filters(conv, weight, |filters| {
        lines(conv.batch * conv.height, conv.width * conv.in_channels, dx, |line, dx| {
            let (image, row) = (line / conv.height, line % conv.height);
            dispatch(Line {
                source: dy,
                source_size: conv.output_size(),
                image,
                filters,
                bias: None,
                channels: conv.in_channels,
                // Output y met input y·stride + tap: only where that divides.
                position: |tap: &Tap, column: usize| {
                    let (y, x) = (row as isize - tap.row, column as isize - tap.column);
                    (y % vertical == 0 && x % horizontal == 0).then(|| [y / vertical, x / horizontal])
                },
                taps: &taps,
                to: dx,
            });
        });
    });
}

/// dw = Σ over pixels of dy · x at each tap, channel by channel.
pub fn weight_gradient<T: Real>(conv: &Conv2d, x: &[T], dy: &[T], dw: &mut [T]) {
    let size = conv.output_size();
    let (taps, channels) = (conv.taps(), conv.in_channels);
    let lines = conv.batch * size[0];
    // Lines are cut by the shape alone, so that the sums keep their order for any number of threads.
    let parts = (lines / 16).clamp(1, 16);
    let sums = taps.len() * channels;
    with_scratch(parts * sums, |partial: &mut [T]| {
        let shared = SharedPointer::new(partial);
        parallel_for(parts, |part| {
            // SAFETY: each task has its own part.
            let sums = unsafe { shared.slice(part * sums..(part + 1) * sums) };
            sums.fill(T::ZERO);
            for line in lines * part / parts..lines * (part + 1) / parts {
                dispatch(WeightLine { conv, x, dy, taps: &taps, line, size, sums });
            }
        });
        for channel in 0..channels {
            for tap in &taps {
                let at = tap.weight * channels + channel;
                let mut sum = partial[at];
                for part in 1..parts {
                    sum += partial[part * sums + at];
                }
                dw[channel * taps.len() + tap.weight] = sum;
            }
        }
    });
}

/// Runs with the filters as [tap, channel].
fn with_filters<T: Real>(conv: &Conv2d, weight: &[T], run: impl FnOnce(&[T])) {
    let taps = conv.kernel[0] * conv.kernel[1];
    with_scratch(weight.len(), |filters: &mut [T]| {
        for (channel, filter) in weight.chunks_exact(taps).enumerate() {
            for (tap, &value) in filter.iter().enumerate() {
                filters[tap * conv.in_channels + channel] = value;
            }
        }
        run(filters);
    });
}

/// Runs each line of an image batch, a task for about 16 thousand numbers.
fn lines<T: Real>(count: usize, len: usize, image: &mut [T], run: impl Fn(usize, &mut [T]) + Sync) {
    let image = SharedPointer::new(image);
    let group = ((1 << 14) / len.max(1)).max(1);
    parallel_for(count.div_ceil(group), |task| {
        for line in task * group..((task + 1) * group).min(count) {
            // SAFETY: each line belongs to one task.
            run(line, unsafe { image.slice(line * len..(line + 1) * len) });
        }
    });
}

/// One line of pixels: each the sum over taps of a source pixel times the tap's filter.
struct Line<'a, T, P> {
    source: &'a [T],
    source_size: [usize; 2],
    image: usize,
    filters: &'a [T],
    bias: Option<&'a [T]>,
    channels: usize,
    position: P,
    taps: &'a [Tap],
    to: &'a mut [T],
}

impl<T: Real, P: Fn(&Tap, usize) -> Option<[isize; 2]>> Kernel for Line<'_, T, P> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let [height, width] = self.source_size;
        for (column, to) in self.to.chunks_exact_mut(self.channels).enumerate() {
            match self.bias {
                Some(bias) => to.copy_from_slice(bias),
                None => to.fill(T::ZERO),
            }
            for tap in self.taps {
                let Some([y, x]) = (self.position)(tap, column) else { continue };
                if y < 0 || x < 0 || y as usize >= height || x as usize >= width {
                    continue;
                }
                let pixel = (self.image * height + y as usize) * width + x as usize;
                let from = &self.source[pixel * self.channels..(pixel + 1) * self.channels];
                let filter = &self.filters[tap.weight * self.channels..(tap.weight + 1) * self.channels];
                for ((to, &from), &factor) in to.iter_mut().zip(from).zip(filter) {
                    *to += from * factor;
                }
            }
        }
    }
}

/// Adds one line of dy to the sums [tap, channel] of the weight gradient.
struct WeightLine<'a, T> {
    conv: &'a Conv2d,
    x: &'a [T],
    dy: &'a [T],
    taps: &'a [Tap],
    line: usize,
    size: [usize; 2],
    sums: &'a mut [T],
}

impl<T: Real> Kernel for WeightLine<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let (conv, channels) = (self.conv, self.conv.in_channels);
        let (image, row) = (self.line / self.size[0], self.line % self.size[0]);
        for tap in self.taps {
            let y = (row * conv.stride[0]) as isize + tap.row;
            if y < 0 || y as usize >= conv.height {
                continue;
            }
            // Channels outside, pixels inside: the sums of a block of channels stay in registers.
            for first in (0..channels).step_by(CHANNELS) {
                let count = CHANNELS.min(channels - first);
                let mut sums = [T::ZERO; CHANNELS];
                for column in 0..self.size[1] {
                    let x = (column * conv.stride[1]) as isize + tap.column;
                    if x < 0 || x as usize >= conv.width {
                        continue;
                    }
                    let pixel = (image * conv.height + y as usize) * conv.width + x as usize;
                    let x = &self.x[pixel * channels + first..][..count];
                    let dy = &self.dy[(self.line * self.size[1] + column) * channels + first..][..count];
                    for ((sum, &x), &dy) in sums.iter_mut().zip(x).zip(dy) {
                        *sum += x * dy;
                    }
                }
                let to = &mut self.sums[tap.weight * channels + first..][..count];
                for (to, sum) in to.iter_mut().zip(sums) {
                    *to += sum;
                }
            }
        }
    }
}
