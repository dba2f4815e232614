//! Convolutions with one filter a channel: no sums over channels, so no matrix product; loops over channels vectorise.

use super::conv::Conv2d;
use super::dispatch::isa;
use super::implicit::Tap;
use super::scratch::with_scratch;
use super::threads::{SharedPointer, parallel_for};
use super::vector::{Real, Vector, VectorKernel, with_vectors};

/// y = x ∗ weight + bias, channel by channel.
pub fn forward<T: Real>(conv: &Conv2d, x: &[T], weight: &[T], bias: Option<&[T]>, y: &mut [T]) {
    let size = conv.output_size();
    let taps = conv.taps();
    with_filters(conv, weight, |filters| {
        lines(conv.batch * size[0], size[1] * conv.in_channels, y, |line, y| {
            let (image, row) = (line / size[0], line % size[0]);
            let kernel = Line {
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
            };
            // SAFETY: the chosen instruction set is available.
            unsafe { with_vectors(isa(), kernel) };
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
            let kernel = Line {
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
            };
            // SAFETY: the chosen instruction set is available.
            unsafe { with_vectors(isa(), kernel) };
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
                let kernel = WeightLine { conv, x, dy, taps: &taps, line, size, sums };
                // SAFETY: the chosen instruction set is available.
                unsafe { with_vectors(isa(), kernel) };
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

impl<T: Real, P: Fn(&Tap, usize) -> Option<[isize; 2]>> VectorKernel<T> for Line<'_, T, P> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<V: Vector<Scalar = T>>(self) {
        let [height, width] = self.source_size;
        let channels = self.channels;
        assert!(self.bias.is_none_or(|bias| bias.len() == channels));
        // Where the taps that lie inside the image begin, in the source and in the filters.
        let mut inside: Vec<[*const T; 2]> = Vec::with_capacity(self.taps.len());
        for (column, to) in self.to.chunks_exact_mut(channels).enumerate() {
            inside.clear();
            for tap in self.taps {
                let Some([y, x]) = (self.position)(tap, column) else { continue };
                if y >= 0 && x >= 0 && (y as usize) < height && (x as usize) < width {
                    let pixel = (self.image * height + y as usize) * width + x as usize;
                    let source = &self.source[pixel * channels..][..channels];
                    let filter = &self.filters[tap.weight * channels..][..channels];
                    inside.push([source.as_ptr(), filter.as_ptr()]);
                }
            }
            let bias = self.bias.map_or(std::ptr::null(), |bias| bias.as_ptr());
            let mut first = 0;
            // SAFETY: all pointers have `channels` numbers from here on, and each block lies within them.
            unsafe {
                while first + 4 * V::LANES <= channels {
                    sum_taps::<V, 4>(&inside, bias, first, to.as_mut_ptr());
                    first += 4 * V::LANES;
                }
                while first + V::LANES <= channels {
                    sum_taps::<V, 1>(&inside, bias, first, to.as_mut_ptr());
                    first += V::LANES;
                }
                for channel in first..channels {
                    let mut sum = if bias.is_null() { T::ZERO } else { *bias.add(channel) };
                    for &[source, filter] in &inside {
                        sum += *source.add(channel) * *filter.add(channel);
                    }
                    to[channel] = sum;
                }
            }
        }
    }
}

/// Some vectors of channels of one pixel.
#[inline(always)]
unsafe fn sum_taps<V: Vector, const VECTORS: usize>(
    inside: &[[*const V::Scalar; 2]],
    bias: *const V::Scalar,
    first: usize,
    to: *mut V::Scalar,
) {
    // SAFETY: the caller promises the channels and the instruction set.
    unsafe {
        let mut sums = [V::splat(V::Scalar::ZERO); VECTORS];
        if !bias.is_null() {
            for i in 0..VECTORS {
                sums[i] = V::load(bias.add(first + i * V::LANES));
            }
        }
        for &[source, filter] in inside {
            for i in 0..VECTORS {
                let at = first + i * V::LANES;
                sums[i] = V::load(source.add(at)).mul_add(V::load(filter.add(at)), sums[i]);
            }
        }
        for i in 0..VECTORS {
            sums[i].store(to.add(first + i * V::LANES));
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

impl<T: Real> VectorKernel<T> for WeightLine<'_, T> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<V: Vector<Scalar = T>>(self) {
        let (conv, channels) = (self.conv, self.conv.in_channels);
        let (image, row) = (self.line / self.size[0], self.line % self.size[0]);
        for tap in self.taps {
            let y = (row * conv.stride[0]) as isize + tap.row;
            if y < 0 || y as usize >= conv.height {
                continue;
            }
            // The output columns whose input column, stride · column + tap, lies inside.
            let stride = conv.stride[1] as isize;
            let first = ((-tap.column).max(0) as usize).div_ceil(conv.stride[1]);
            let inside = ((conv.width as isize - tap.column).max(0) as usize).div_ceil(conv.stride[1]);
            let count = inside.min(self.size[1]).saturating_sub(first);
            if count == 0 {
                continue;
            }
            let column = (first as isize * stride + tap.column) as usize;
            let x = &self.x[((image * conv.height + y as usize) * conv.width + column) * channels..];
            let dy = &self.dy[(self.line * self.size[1] + first) * channels..];
            let step = conv.stride[1] * channels;
            assert!(x.len() >= (count - 1) * step + channels && dy.len() >= count * channels);
            let sums = &mut self.sums[tap.weight * channels..][..channels];
            let mut channel = 0;
            // SAFETY: the pixels of the line lie within the slices, as asserted, and each block within their channels.
            unsafe {
                while channel + 4 * V::LANES <= channels {
                    sum_pixels::<V, 4>(x.as_ptr(), step, dy.as_ptr(), channels, count, channel, sums.as_mut_ptr());
                    channel += 4 * V::LANES;
                }
                while channel + V::LANES <= channels {
                    sum_pixels::<V, 1>(x.as_ptr(), step, dy.as_ptr(), channels, count, channel, sums.as_mut_ptr());
                    channel += V::LANES;
                }
                for channel in channel..channels {
                    for pixel in 0..count {
                        sums[channel] += x[pixel * step + channel] * dy[pixel * channels + channel];
                    }
                }
            }
        }
    }
}

/// Some vectors of channels of one tap, over the pixels of a line.
#[inline(always)]
unsafe fn sum_pixels<V: Vector, const VECTORS: usize>(
    x: *const V::Scalar,
    x_step: usize,
    dy: *const V::Scalar,
    dy_step: usize,
    count: usize,
    first: usize,
    sums: *mut V::Scalar,
) {
    // SAFETY: the caller promises the pixels, the channels and the instruction set.
    unsafe {
        let mut totals = [V::splat(V::Scalar::ZERO); VECTORS];
        for i in 0..VECTORS {
            totals[i] = V::load(sums.add(first + i * V::LANES));
        }
        for pixel in 0..count {
            for i in 0..VECTORS {
                let at = first + i * V::LANES;
                let (x, dy) = (V::load(x.add(pixel * x_step + at)), V::load(dy.add(pixel * dy_step + at)));
                totals[i] = x.mul_add(dy, totals[i]);
            }
        }
        for i in 0..VECTORS {
            totals[i].store(sums.add(first + i * V::LANES));
        }
    }
}
