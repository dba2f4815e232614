//! Pooling of images [batch, height, width, channels]: maxima with their places, averages, and the way back.
//! A window is a product of two spans; who cuts them (stride, padding, adaptive) is not known here.

use super::dispatch::{Kernel, dispatch};
use super::threads::{SharedPointer, parallel_ranges};
use crate::dtype::{DType, Float};

/// Elements a task, at least.
const GRAIN: usize = 16384;

/// What an output position sees along one axis: `count` pixels from `start` on, `step` apart, and what an average
/// divides by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub start: usize,
    pub count: usize,
    pub divisor: usize,
}

/// The windows of a pooling: [vertical, horizontal].
#[derive(Clone, Debug)]
pub struct Windows {
    /// Height and width of the image.
    pub size: [usize; 2],
    /// One span an output row, one an output column.
    pub spans: [Vec<Span>; 2],
    /// From one pixel of a window to the next.
    pub step: [usize; 2],
    /// Divides averages instead of the spans' divisors.
    pub divisor: Option<f64>,
}

impl Windows {
    /// Pixels of an output image.
    fn outputs(&self) -> usize {
        self.spans[0].len() * self.spans[1].len()
    }

    fn pixels(&self) -> usize {
        self.size[0] * self.size[1]
    }

    fn scale(&self, row: &Span, column: &Span) -> f64 {
        1.0 / self.divisor.unwrap_or((row.divisor * column.divisor) as f64)
    }

    /// Places (row · width + column) of a window.
    #[inline(always)]
    fn places(&self, row: Span, column: Span) -> impl Iterator<Item = usize> + use<> {
        let ([down, right], width) = (self.step, self.size[1]);
        (0..row.count).flat_map(move |r| {
            (0..column.count).map(move |c| (row.start + r * down) * width + column.start + c * right)
        })
    }
}

/// float64 is for gradient checks: one compilation of its loops is enough.
fn wide<T: Float, K: Kernel>(kernel: K) -> K::Output {
    if T::DTYPE == DType::F32 { dispatch(kernel) } else { kernel.run() }
}

/// The largest element of each window and its place in the image, channel by channel; the first of equal ones, a NaN
/// before all. An empty window gives −∞ and −1.
pub fn max_forward<T: Float>(x: &[T], channels: usize, windows: &Windows, y: &mut [T], places: &mut [i64]) {
    assert!(y.len() == places.len() && x.len() * windows.outputs() == y.len() * windows.pixels());
    let columns = windows.spans[1].len();
    let rows = y.len() / (columns * channels);
    let (y, places) = (SharedPointer::new(y), SharedPointer::new(places));
    parallel_ranges(rows, GRAIN.div_ceil(columns * channels), |range| {
        for row in range {
            let (image, span) = (row / windows.spans[0].len(), row % windows.spans[0].len());
            let out = row * columns * channels..(row + 1) * columns * channels;
            // SAFETY: each output row has a part of its own.
            let (y, places) = unsafe { (y.slice(out.clone()), places.slice(out)) };
            let x = &x[image * windows.pixels() * channels..(image + 1) * windows.pixels() * channels];
            wide::<T, _>(MaxRow { x, channels, windows, span: windows.spans[0][span], y, places });
        }
    });
}

struct MaxRow<'a, T> {
    x: &'a [T],
    channels: usize,
    windows: &'a Windows,
    span: Span,
    y: &'a mut [T],
    places: &'a mut [i64],
}

impl<T: Float> Kernel for MaxRow<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let channels = self.channels;
        for (column, span) in self.windows.spans[1].iter().enumerate() {
            let at = column * channels..(column + 1) * channels;
            let (best, places) = (&mut self.y[at.clone()], &mut self.places[at]);
            best.fill(T::NEG_INFINITY);
            places.fill(-1);
            for place in self.windows.places(self.span, *span) {
                let x = &self.x[place * channels..(place + 1) * channels];
                let (best, places) = (&mut best[..channels], &mut places[..channels]);
                for c in 0..channels {
                    let take = x[c] > best[c] || x[c].is_nan() || places[c] < 0;
                    best[c] = if take { x[c] } else { best[c] };
                    places[c] = if take { place as i64 } else { places[c] };
                }
            }
        }
    }
}

/// out[image, place] = Σ of the values whose place that is; `pixels` an image of `out`.
pub fn scatter<T: Float>(values: &[T], places: &[i64], channels: usize, pixels: usize, out: &mut [T]) {
    assert_eq!(values.len(), places.len());
    let images = out.len() / (pixels * channels);
    let step = values.len() / images;
    let out = SharedPointer::new(out);
    parallel_ranges(images, GRAIN.div_ceil(pixels * channels), |range| {
        for image in range {
            // SAFETY: each image has a part of its own.
            let out = unsafe { out.slice(image * pixels * channels..(image + 1) * pixels * channels) };
            out.fill(T::ZERO);
            let part = image * step..(image + 1) * step;
            for (i, (value, place)) in values[part.clone()].iter().zip(&places[part]).enumerate() {
                if *place >= 0 {
                    out[*place as usize * channels + i % channels] += *value;
                }
            }
        }
    });
}

/// out[i] = the value at place[i] of its image and channel: the transpose of [`scatter`].
pub fn gather<T: Float>(values: &[T], places: &[i64], channels: usize, pixels: usize, out: &mut [T]) {
    assert_eq!(out.len(), places.len());
    let images = values.len() / (pixels * channels);
    let step = out.len() / images;
    for (i, (out, place)) in out.iter_mut().zip(places).enumerate() {
        let start = i / step * pixels * channels;
        *out = if *place < 0 { T::ZERO } else { values[start + *place as usize * channels + i % channels] };
    }
}

/// The average of each window: the sum, rows first so that rounding grows slowly, times 1/divisor.
pub fn average_forward<T: Float>(x: &[T], channels: usize, windows: &Windows, y: &mut [T]) {
    assert_eq!(x.len() * windows.outputs(), y.len() * windows.pixels());
    let columns = windows.spans[1].len();
    let rows = y.len() / (columns * channels);
    let y = SharedPointer::new(y);
    parallel_ranges(rows, GRAIN.div_ceil(columns * channels), |range| {
        let mut line = vec![T::ZERO; channels];
        for row in range {
            let (image, span) = (row / windows.spans[0].len(), row % windows.spans[0].len());
            // SAFETY: each output row has a part of its own.
            let y = unsafe { y.slice(row * columns * channels..(row + 1) * columns * channels) };
            let x = &x[image * windows.pixels() * channels..(image + 1) * windows.pixels() * channels];
            wide::<T, _>(AverageRow { x, channels, windows, span: windows.spans[0][span], y, line: &mut line });
        }
    });
}

struct AverageRow<'a, T> {
    x: &'a [T],
    channels: usize,
    windows: &'a Windows,
    span: Span,
    y: &'a mut [T],
    line: &'a mut [T],
}

impl<T: Float> Kernel for AverageRow<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let AverageRow { x, channels, windows, span, y, line } = self;
        let line = &mut line[..channels];
        for (column, across) in windows.spans[1].iter().enumerate() {
            let y = &mut y[column * channels..(column + 1) * channels];
            y.fill(T::ZERO);
            for r in 0..span.count {
                line.fill(T::ZERO);
                for place in windows.places(Span { start: span.start + r * windows.step[0], count: 1, ..span }, *across)
                {
                    let x = &x[place * channels..(place + 1) * channels];
                    for c in 0..channels {
                        line[c] += x[c];
                    }
                }
                for c in 0..channels {
                    y[c] += line[c];
                }
            }
            let scale = T::from_f64(windows.scale(&span, across));
            for c in 0..channels {
                y[c] *= scale;
            }
        }
    }
}

/// The transpose of [`average_forward`]: each value, divided, is added to all pixels of its window.
pub fn average_backward<T: Float>(dy: &[T], channels: usize, windows: &Windows, dx: &mut [T]) {
    assert_eq!(dx.len() * windows.outputs(), dy.len() * windows.pixels());
    let (pixels, outputs) = (windows.pixels() * channels, windows.outputs() * channels);
    let images = dx.len() / pixels;
    let dx = SharedPointer::new(dx);
    parallel_ranges(images, GRAIN.div_ceil(pixels), |range| {
        for image in range {
            // SAFETY: each image has a part of its own.
            let dx = unsafe { dx.slice(image * pixels..(image + 1) * pixels) };
            wide::<T, _>(SpreadImage { dy: &dy[image * outputs..(image + 1) * outputs], channels, windows, dx });
        }
    });
}

struct SpreadImage<'a, T> {
    dy: &'a [T],
    channels: usize,
    windows: &'a Windows,
    dx: &'a mut [T],
}

impl<T: Float> Kernel for SpreadImage<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let SpreadImage { dy, channels, windows, dx } = self;
        dx.fill(T::ZERO);
        let mut dy = dy.chunks_exact(channels);
        for row in &windows.spans[0] {
            for column in &windows.spans[1] {
                let dy = dy.next().expect("a value an output pixel");
                let scale = T::from_f64(windows.scale(row, column));
                for place in windows.places(*row, *column) {
                    let dx = &mut dx[place * channels..(place + 1) * channels];
                    for c in 0..channels {
                        dx[c] += dy[c] * scale;
                    }
                }
            }
        }
    }
}
