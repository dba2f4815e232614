//! Loops of normalisation: moments, application and gradients, over channels (batch norm) and over rows (layer norm).
//! Each reads memory once: a block is summed and centred while it is in cache, blocks are merged in float64.
//! The file is long because the two kinds share their loops.

use super::dispatch::{Kernel, dispatch};
use super::threads::{SharedPointer, parallel_ranges, range_chunk};
use crate::dtype::{DType, Float};
use crate::half::Bf16;
use std::ops::Range;

/// Elements a task, at least.
const GRAIN: usize = 16384;

/// Elements summed in one go; a block of them (twice, with its gradient) fits the first cache.
const BLOCK: usize = 4096;

/// Memory [outer, channels, inner]. Channels-last images and matrices have `inner` 1.
#[derive(Debug, Clone, Copy)]
pub struct Channels {
    pub outer: usize,
    pub channels: usize,
    pub inner: usize,
}

impl Channels {
    /// Elements a channel.
    pub fn count(&self) -> usize {
        self.outer * self.inner
    }

    /// Outer indices worked on as one block.
    fn rows(&self) -> usize {
        if self.inner == 1 { (BLOCK / self.channels).clamp(8, 1024) } else { 1 }
    }

    fn blocks(&self) -> usize {
        self.outer.div_ceil(self.rows())
    }

    fn elements(&self, block: usize) -> Range<usize> {
        let step = self.channels * self.inner;
        block * self.rows() * step..((block + 1) * self.rows()).min(self.outer) * step
    }

    fn grain(&self) -> usize {
        GRAIN.div_ceil(self.rows() * self.channels * self.inner)
    }
}

/// Numbers that are read: as they are computed with, or in bfloat16, which is widened a block at a time in the first cache.
#[derive(Clone, Copy)]
pub enum Source<'a, T> {
    Wide(&'a [T]),
    Narrow(&'a [Bf16]),
}

impl<'a, T: Float> Source<'a, T> {
    fn len(&self) -> usize {
        match self {
            Source::Wide(values) => values.len(),
            Source::Narrow(values) => values.len(),
        }
    }

    /// Those of a range; `room` holds them where they have to be widened.
    fn part<'b>(&self, range: Range<usize>, room: &'b mut Vec<T>) -> &'b [T]
    where
        'a: 'b,
    {
        match self {
            Source::Wide(values) => &values[range],
            Source::Narrow(values) => {
                room.resize(range.len(), T::ZERO);
                wide::<T, _>(Convert { from: &values[range], to: room, f: |v: Bf16| T::from_f64(v.to_f32().into()) });
                room
            }
        }
    }
}

/// Numbers that are written: as they were computed, or rounded to bfloat16.
pub enum Sink<'a, T> {
    Wide(&'a mut [T]),
    Narrow(&'a mut [Bf16]),
}

impl<T> Sink<'_, T> {
    fn len(&self) -> usize {
        match self {
            Sink::Wide(values) => values.len(),
            Sink::Narrow(values) => values.len(),
        }
    }
}

struct Convert<'a, A, B, F> {
    from: &'a [A],
    to: &'a mut [B],
    f: F,
}

impl<A: Copy, B, F: Fn(A) -> B> Kernel for Convert<'_, A, B, F> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        for (to, from) in self.to.iter_mut().zip(self.from) {
            *to = (self.f)(*from);
        }
    }
}

/// Mean and sum of squared distances from it, of each channel. In one pass over the memory, without the cancellation
/// of E[x²] − E[x]²: blocks in two steps, merged by the rule of Chan, Golub and LeVeque (1979).
pub fn channel_moments<T: Float>(x: Source<T>, shape: Channels) -> (Vec<f64>, Vec<f64>) {
    assert_eq!(x.len(), shape.count() * shape.channels);
    let merged = reduce_blocks(shape, |blocks, [mean, squares]| {
        let (mut sum, mut square) = (vec![T::ZERO; shape.channels], vec![T::ZERO; shape.channels]);
        let (mut count, mut room) = (0.0, Vec::new());
        for block in blocks {
            let part = x.part(shape.elements(block), &mut room);
            wide::<T, _>(Moments { x: part, inner: shape.inner, mean: &mut sum, squares: &mut square });
            let added = (part.len() / shape.channels) as f64;
            for c in 0..shape.channels {
                merge((count, &mut mean[c], &mut squares[c]), (added, sum[c].to_f64(), square[c].to_f64()));
            }
            count += added;
        }
        count
    });
    let (mut mean, mut squares) = (vec![0.0; shape.channels], vec![0.0; shape.channels]);
    let mut count = 0.0;
    for (added, [part_mean, part_squares]) in merged {
        for c in 0..shape.channels {
            merge((count, &mut mean[c], &mut squares[c]), (added, part_mean[c], part_squares[c]));
        }
        count += added;
    }
    (mean, squares)
}

/// Adds the moments (count, mean, squared distances) of some elements to those of others.
fn merge((count, mean, squares): (f64, &mut f64, &mut f64), (added, part_mean, part_squares): (f64, f64, f64)) {
    let delta = part_mean - *mean;
    let weight = added / (count + added);
    *mean += delta * weight;
    *squares += part_squares + delta * delta * count * weight;
}

/// Runs `reduce` on each range of blocks with two zeroed rows of one number a channel; what it returned and wrote, in
/// the order of the blocks.
fn reduce_blocks<R: Send + Default + Copy>(
    shape: Channels,
    reduce: impl Fn(Range<usize>, [&mut [f64]; 2]) -> R + Sync,
) -> Vec<(R, [Vec<f64>; 2])> {
    let chunk = range_chunk(shape.blocks(), shape.grain());
    let mut slots = Vec::new();
    slots.resize_with(shape.blocks().div_ceil(chunk), || {
        (R::default(), [vec![0.0; shape.channels], vec![0.0; shape.channels]])
    });
    let shared = SharedPointer::new(&mut slots);
    parallel_ranges(shape.blocks(), shape.grain(), |blocks| {
        let slot = blocks.start / chunk;
        // SAFETY: each range has a slot of its own.
        let (result, [a, b]) = &mut unsafe { shared.slice(slot..slot + 1) }[0];
        *result = reduce(blocks, [a, b]);
    });
    slots
}

/// float64 is for gradient checks: one compilation of its loops is enough.
fn wide<T: Float, K: Kernel>(kernel: K) -> K::Output {
    if T::DTYPE == DType::F32 { dispatch(kernel) } else { kernel.run() }
}

struct Moments<'a, T> {
    x: &'a [T],
    inner: usize,
    mean: &'a mut [T],
    squares: &'a mut [T],
}

impl<T: Float> Kernel for Moments<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let Moments { x, inner, mean, squares } = self;
        if inner > 1 {
            for (c, plane) in x.chunks_exact(inner).enumerate() {
                let center = T::from_f64(sum_of([plane], |[x]| x) / inner as f64);
                mean[c] = center;
                squares[c] = T::from_f64(sum_of([plane], |[x]| (x - center) * (x - center)));
            }
            return;
        }
        let channels = mean.len();
        let scale = T::ONE / T::from_f64((x.len() / channels) as f64);
        sum_columns([x], mean, |[x], _| x);
        for m in mean.iter_mut() {
            *m *= scale;
        }
        let mean = &mean[..channels];
        sum_columns([x], squares, |[x], c| (x - mean[c]) * (x - mean[c]));
    }
}

/// out[c] = Σ over rows of f(inputs[row, c], c); four rows at a time, so that the sums are loaded and stored less often.
#[inline(always)]
fn sum_columns<T: Float, const N: usize>(inputs: [&[T]; N], out: &mut [T], f: impl Fn([T; N], usize) -> T) {
    let channels = out.len();
    out.fill(T::ZERO);
    let rows = inputs[0].len() / channels;
    let row = |r: usize| -> [&[T]; N] { inputs.map(|x| &x[r * channels..(r + 1) * channels]) };
    let mut r = 0;
    while r + 4 <= rows {
        let [a, b, c, d] = [row(r), row(r + 1), row(r + 2), row(r + 3)];
        for i in 0..channels {
            let at = |x: &[&[T]; N]| f(std::array::from_fn(|k| x[k][i]), i);
            out[i] += (at(&a) + at(&b)) + (at(&c) + at(&d));
        }
        r += 4;
    }
    for r in r..rows {
        let a = row(r);
        for i in 0..channels {
            out[i] += f(std::array::from_fn(|k| a[k][i]), i);
        }
    }
}

/// Σ f over the elements of slices of one length: lanes side by side, blocks in float64.
#[inline(always)]
fn sum_of<T: Float, const N: usize>(inputs: [&[T]; N], f: impl Fn([T; N]) -> T) -> f64 {
    const LANES: usize = 32;
    let length = inputs[0].len();
    let mut total = 0.0;
    for start in (0..length).step_by(BLOCK) {
        let end = (start + BLOCK).min(length);
        let block: [&[T]; N] = inputs.map(|x| &x[start..end]);
        let whole = (end - start) / LANES * LANES;
        let mut lanes = [T::ZERO; LANES];
        for at in (0..whole).step_by(LANES) {
            let part: [&[T]; N] = block.map(|x| &x[at..at + LANES]);
            for l in 0..LANES {
                lanes[l] += f(std::array::from_fn(|k| part[k][l]));
            }
        }
        for i in whole..end - start {
            lanes[i - whole] += f(std::array::from_fn(|k| block[k][i]));
        }
        let mut width = LANES / 2;
        while width > 0 {
            for l in 0..width {
                lanes[l] += lanes[l + width];
            }
            width /= 2;
        }
        total += lanes[0].to_f64();
    }
    total
}

/// y = (x − mean)·scale + shift, one of each a channel.
pub fn channel_apply<T: Float>(x: Source<T>, shape: Channels, mean: &[T], scale: &[T], shift: &[T], y: Sink<T>) {
    apply([x], shape, [mean, scale, shift], y, |[x], [mean, scale, shift]| (x - mean) * scale + shift);
}

/// y = max((x − mean)·scale + shift + residual, 0).
pub fn channel_apply_relu<T: Float>(
    x: Source<T>,
    residual: Option<&[T]>,
    shape: Channels,
    mean: &[T],
    scale: &[T],
    shift: &[T],
    y: &mut [T],
) {
    let (constants, y) = ([mean, scale, shift], Sink::Wide(y));
    match residual {
        Some(residual) => {
            apply([x, Source::Wide(residual)], shape, constants, y, |[x, residual], [mean, scale, shift]| {
                rectified((x - mean) * scale + shift + residual)
            })
        }
        None => apply([x], shape, constants, y, |[x], [mean, scale, shift]| rectified((x - mean) * scale + shift)),
    }
}

/// max(x, 0); NaN stays.
#[inline(always)]
fn rectified<T: Float>(x: T) -> T {
    if x <= T::ZERO { T::ZERO } else { x }
}

/// y = f(inputs, constants of the channel), block by block.
fn apply<T: Float, F: Fn([T; N], [T; K]) -> T + Copy + Sync, const N: usize, const K: usize>(
    x: [Source<T>; N],
    shape: Channels,
    constants: [&[T]; K],
    y: Sink<T>,
    f: F,
) {
    assert!(y.len() == shape.count() * shape.channels && x.iter().all(|x| x.len() == y.len()));
    let (to, to_narrow) = match y {
        Sink::Wide(y) => (SharedPointer::new(y), None),
        Sink::Narrow(y) => (SharedPointer::new(&mut []), Some(SharedPointer::new(y))),
    };
    parallel_ranges(shape.blocks(), shape.grain(), |blocks| {
        let (mut rooms, mut result) = ([const { Vec::new() }; N], Vec::new());
        for block in blocks {
            let range = shape.elements(block);
            let mut rooms = rooms.iter_mut();
            let x = x.map(|x| x.part(range.clone(), rooms.next().expect("room for each input")));
            let y = if to_narrow.is_some() {
                result.resize(range.len(), T::ZERO);
                &mut result[..]
            } else {
                // SAFETY: blocks are disjoint.
                unsafe { to.slice(range.clone()) }
            };
            wide::<T, _>(Apply { x, y, inner: shape.inner, constants, f });
            if let Some(to) = &to_narrow {
                // SAFETY: as above.
                let to = unsafe { to.slice(range) };
                wide::<T, _>(Convert { from: &result, to, f: |v: T| Bf16::from_f32(v.to_f64() as f32) });
            }
        }
    });
}

/// The rectifier behind a normalisation without residual: the gradient passes where (x − mean)·scale + shift > 0.
#[derive(Clone, Copy)]
pub struct Rectifier<'a, T> {
    pub scale: &'a [T],
    pub shift: &'a [T],
}

/// The gradient in front of the rectifier.
#[inline(always)]
fn passed<T: Float>(x: T, gradient: T, mean: T, scale: T, shift: T) -> T {
    if (x - mean) * scale + shift > T::ZERO { gradient } else { T::ZERO }
}

/// 1 where the rectifier passes the gradient, else 0.
pub fn channel_passes<T: Float>(x: &[T], shape: Channels, mean: &[T], rectifier: Rectifier<T>, y: &mut [T]) {
    let (x, y, constants) = (Source::Wide(x), Sink::Wide(y), [mean, rectifier.scale, rectifier.shift]);
    apply([x], shape, constants, y, |[x], [mean, scale, shift]| passed(x, T::ONE, mean, scale, shift));
}

/// Of each channel: Σ gradient, and Σ gradient·(x − mean), of the gradient in front of the rectifier if there is one.
pub fn channel_gradient_sums<T: Float>(
    x: Source<T>,
    gradient: &[T],
    shape: Channels,
    mean: &[T],
    rectifier: Option<Rectifier<T>>,
) -> (Vec<f64>, Vec<f64>) {
    assert!(x.len() == gradient.len() && x.len() == shape.count() * shape.channels);
    let parts = reduce_blocks(shape, |blocks, [sums, products]| {
        let (mut sum, mut product) = (vec![T::ZERO; shape.channels], vec![T::ZERO; shape.channels]);
        let mut room = Vec::new();
        for block in blocks {
            let range = shape.elements(block);
            wide::<T, _>(GradientSums {
                x: x.part(range.clone(), &mut room),
                gradient: &gradient[range],
                inner: shape.inner,
                mean,
                rectifier,
                sum: &mut sum,
                product: &mut product,
            });
            for c in 0..shape.channels {
                sums[c] += sum[c].to_f64();
                products[c] += product[c].to_f64();
            }
        }
    });
    let (mut sums, mut products) = (vec![0.0; shape.channels], vec![0.0; shape.channels]);
    for (_, [sum, product]) in parts {
        for c in 0..shape.channels {
            sums[c] += sum[c];
            products[c] += product[c];
        }
    }
    (sums, products)
}

struct GradientSums<'a, T> {
    x: &'a [T],
    gradient: &'a [T],
    inner: usize,
    mean: &'a [T],
    rectifier: Option<Rectifier<'a, T>>,
    sum: &'a mut [T],
    product: &'a mut [T],
}

impl<T: Float> Kernel for GradientSums<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let GradientSums { x, gradient, inner, mean, rectifier, sum, product } = self;
        if inner > 1 {
            for (c, (x, g)) in x.chunks_exact(inner).zip(gradient.chunks_exact(inner)).enumerate() {
                let m = mean[c];
                let [total, weighted] = match rectifier {
                    Some(Rectifier { scale, shift }) => {
                        let (a, b) = (scale[c], shift[c]);
                        [
                            sum_of([x, g], |[x, g]| passed(x, g, m, a, b)),
                            sum_of([x, g], |[x, g]| passed(x, g, m, a, b) * (x - m)),
                        ]
                    }
                    None => [sum_of([g], |[g]| g), sum_of([x, g], |[x, g]| g * (x - m))],
                };
                (sum[c], product[c]) = (T::from_f64(total), T::from_f64(weighted));
            }
            return;
        }
        let mean = &mean[..sum.len()];
        if let Some(Rectifier { scale, shift }) = rectifier {
            let (scale, shift) = (&scale[..sum.len()], &shift[..sum.len()]);
            sum_columns([x, gradient], sum, |[x, g], c| passed(x, g, mean[c], scale[c], shift[c]));
            sum_columns([x, gradient], product, |[x, g], c| passed(x, g, mean[c], scale[c], shift[c]) * (x - mean[c]));
        } else {
            sum_columns([gradient], sum, |[g], _| g);
            sum_columns([x, gradient], product, |[x, g], c| g * (x - mean[c]));
        }
    }
}

/// out = a·gradient + b·(x − mean) + c, one of each a channel: the gradient of x through batch statistics. With `shift` the
/// gradient is that behind a rectifier of scale `a`.
pub fn channel_gradient<T: Float>(
    x: Source<T>,
    gradient: &[T],
    shape: Channels,
    [mean, a, b, c]: [&[T]; 4],
    shift: Option<&[T]>,
    out: Sink<T>,
) {
    let gradient = Source::Wide(gradient);
    match shift {
        Some(shift) => {
            apply([x, gradient], shape, [mean, a, b, c, shift], out, |[x, g], [mean, a, b, c, shift]| {
                a * passed(x, g, mean, a, shift) + (b * (x - mean) + c)
            });
        }
        None => {
            apply([x, gradient], shape, [mean, a, b, c], out, |[x, g], [mean, a, b, c]| a * g + (b * (x - mean) + c))
        }
    }
}

/// out = scale·gradient, of the gradient in front of the rectifier: the gradient of x through given statistics.
pub fn channel_gradient_passed<T: Float>(
    x: Source<T>,
    gradient: &[T],
    shape: Channels,
    mean: &[T],
    Rectifier { scale, shift }: Rectifier<T>,
    out: Sink<T>,
) {
    apply([x, Source::Wide(gradient)], shape, [mean, scale, shift], out, |[x, g], [mean, scale, shift]| {
        scale * passed(x, g, mean, scale, shift)
    });
}

/// y = f(inputs, constants of the channel).
struct Apply<'a, T, F, const N: usize, const K: usize> {
    x: [&'a [T]; N],
    y: &'a mut [T],
    inner: usize,
    constants: [&'a [T]; K],
    f: F,
}

impl<T: Float, F: Fn([T; N], [T; K]) -> T, const N: usize, const K: usize> Kernel for Apply<'_, T, F, N, K> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let Apply { x, y, inner, constants, f } = self;
        let channels = constants[0].len();
        if inner > 1 {
            for (p, y) in y.chunks_exact_mut(inner).enumerate() {
                let constants: [T; K] = std::array::from_fn(|k| constants[k][p % channels]);
                let x: [&[T]; N] = x.map(|x| &x[p * inner..(p + 1) * inner]);
                for i in 0..inner {
                    y[i] = f(std::array::from_fn(|k| x[k][i]), constants);
                }
            }
            return;
        }
        let constants = constants.map(|c| &c[..channels]);
        for (r, y) in y.chunks_exact_mut(channels).enumerate() {
            let x: [&[T]; N] = x.map(|x| &x[r * channels..(r + 1) * channels]);
            for i in 0..channels {
                y[i] = f(std::array::from_fn(|k| x[k][i]), std::array::from_fn(|k| constants[k][i]));
            }
        }
    }
}

/// Each row of `inner` elements to mean 0 (if `centered`) and mean square 1, then times weight plus bias, one of each an
/// element of the row. Leaves the mean of each row (0 if not centered) and 1/√(mean square + epsilon).
#[derive(Clone, Copy)]
pub struct Rows<'a, T> {
    pub x: &'a [T],
    pub inner: usize,
    pub centered: bool,
    pub epsilon: f64,
    pub weight: Option<&'a [T]>,
    pub bias: Option<&'a [T]>,
}

pub fn row_normalize<T: Float>(rows: Rows<T>, y: &mut [T], mean: &mut [T], inverse: &mut [T]) {
    let Rows { x, inner, .. } = rows;
    assert!(x.len() == y.len() && mean.len() * inner == x.len() && inverse.len() == mean.len());
    let (y, shared_mean, shared_inverse) =
        (SharedPointer::new(y), SharedPointer::new(mean), SharedPointer::new(inverse));
    parallel_ranges(mean.len(), GRAIN.div_ceil(inner), |range| {
        // SAFETY: each range of rows has parts of its own.
        let (y, mean, inverse) = unsafe {
            let elements = range.start * inner..range.end * inner;
            (y.slice(elements), shared_mean.slice(range.clone()), shared_inverse.slice(range.clone()))
        };
        wide::<T, _>(NormalizeRows {
            rows: Rows { x: &x[range.start * inner..range.end * inner], ..rows },
            y,
            mean,
            inverse,
        });
    });
}

struct NormalizeRows<'a, T> {
    rows: Rows<'a, T>,
    y: &'a mut [T],
    mean: &'a mut [T],
    inverse: &'a mut [T],
}

impl<T: Float> Kernel for NormalizeRows<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let Rows { x, inner, centered, epsilon, weight, bias } = self.rows;
        let count = inner as f64;
        for (r, (x, y)) in x.chunks_exact(inner).zip(self.y.chunks_exact_mut(inner)).enumerate() {
            let mean = if centered { T::from_f64(sum_of([x], |[x]| x) / count) } else { T::ZERO };
            let square = sum_of([x], |[x]| (x - mean) * (x - mean)) / count;
            let inverse = T::from_f64(1.0 / (square + epsilon).sqrt());
            (self.mean[r], self.inverse[r]) = (mean, inverse);
            match (weight, bias) {
                (Some(w), Some(b)) => {
                    let (w, b) = (&w[..inner], &b[..inner]);
                    for i in 0..inner {
                        y[i] = (x[i] - mean) * inverse * w[i] + b[i];
                    }
                }
                (Some(w), None) => {
                    let w = &w[..inner];
                    for i in 0..inner {
                        y[i] = (x[i] - mean) * inverse * w[i];
                    }
                }
                (None, bias) => {
                    for i in 0..inner {
                        y[i] = (x[i] - mean) * inverse + bias.map_or(T::ZERO, |b| b[i]);
                    }
                }
            }
        }
    }
}

/// The way back through [`row_normalize`], from what it left (`bias` of `rows` is not read).
/// Returns the gradients of weight and bias: Σ over rows of gradient·x̂ and of gradient.
pub fn row_gradient<T: Float>(
    rows: Rows<T>,
    [gradient, mean, inverse]: [&[T]; 3],
    out: &mut [T],
) -> (Vec<f64>, Vec<f64>) {
    let Rows { x, inner, .. } = rows;
    assert!(x.len() == out.len() && gradient.len() == x.len() && mean.len() * inner == x.len());
    let shape = Channels { outer: mean.len(), channels: inner, inner: 1 };
    let out = SharedPointer::new(out);
    let parts = reduce_blocks(shape, |blocks, [weight_sums, bias_sums]| {
        let (mut weight_sum, mut bias_sum) = (vec![T::ZERO; inner], vec![T::ZERO; inner]);
        for block in blocks {
            let elements = shape.elements(block);
            let lines = elements.start / inner..elements.end / inner;
            wide::<T, _>(RowsGradient {
                rows: Rows { x: &x[elements.clone()], ..rows },
                gradient: &gradient[elements.clone()],
                mean: &mean[lines.clone()],
                inverse: &inverse[lines],
                // SAFETY: blocks are disjoint.
                out: unsafe { out.slice(elements) },
                weight_sum: &mut weight_sum,
                bias_sum: &mut bias_sum,
            });
            for i in 0..inner {
                weight_sums[i] += weight_sum[i].to_f64();
                bias_sums[i] += bias_sum[i].to_f64();
            }
        }
    });
    let (mut weight, mut bias) = (vec![0.0; inner], vec![0.0; inner]);
    for (_, [weight_part, bias_part]) in parts {
        for i in 0..inner {
            weight[i] += weight_part[i];
            bias[i] += bias_part[i];
        }
    }
    (weight, bias)
}

struct RowsGradient<'a, T> {
    rows: Rows<'a, T>,
    gradient: &'a [T],
    mean: &'a [T],
    inverse: &'a [T],
    out: &'a mut [T],
    weight_sum: &'a mut [T],
    bias_sum: &'a mut [T],
}

impl<T: Float> Kernel for RowsGradient<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let Rows { x, inner, centered, weight, .. } = self.rows;
        self.weight_sum.fill(T::ZERO);
        self.bias_sum.fill(T::ZERO);
        let (weight_sum, bias_sum) = (&mut self.weight_sum[..inner], &mut self.bias_sum[..inner]);
        let count = inner as f64;
        for (r, out) in self.out.chunks_exact_mut(inner).enumerate() {
            let x = &x[r * inner..(r + 1) * inner];
            let g = &self.gradient[r * inner..(r + 1) * inner];
            let (m, s) = (self.mean[r], self.inverse[r]);
            for i in 0..inner {
                bias_sum[i] += g[i];
                weight_sum[i] += g[i] * ((x[i] - m) * s);
            }
            // Before the weight: gradient·weight is the gradient of x̂.
            let [sum, product] = match weight {
                Some(w) => [
                    if centered { sum_of([g, w], |[g, w]| g * w) } else { 0.0 },
                    sum_of([x, g, w], |[x, g, w]| g * w * (x - m)),
                ],
                None => [if centered { sum_of([g], |[g]| g) } else { 0.0 }, sum_of([x, g], |[x, g]| g * (x - m))],
            };
            let scale = s.to_f64();
            let shift = T::from_f64(sum / count * scale);
            let slope = T::from_f64(product / count * scale * scale * scale);
            match weight {
                Some(w) => {
                    let w = &w[..inner];
                    for i in 0..inner {
                        out[i] = g[i] * w[i] * s - shift - (x[i] - m) * slope;
                    }
                }
                None => {
                    for i in 0..inner {
                        out[i] = g[i] * s - shift - (x[i] - m) * slope;
                    }
                }
            }
        }
    }
}
