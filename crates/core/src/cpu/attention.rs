//! Attention in blocks: scores of some queries with some keys, their softmax carried along (Milakov & Gimelshein 2018,
//! Dao et al. 2022), so that the matrix of all scores never exists. Way back: the scores are computed again.

use super::dispatch::{Kernel, dispatch};
use super::gemm::{Matrix, Update, gemm};
use super::math::{Math, exp, log, max};
use super::scratch::with_scratch;
use super::threads::{SharedPointer, parallel_for};
use super::vector::Real;
use crate::dtype::{DType, Float};
use crate::random::fill_uniform;
use std::ops::Range;

/// Most queries of a block; blocks are of equal size, so that 64 patches and a class token are one.
const QUERIES: usize = 96;

/// Keys a block: the scores of a block (192 KiB in float32) stay in the second cache.
const KEYS: usize = 512;

/// Matrices of one size in a slice, one a batch index: element (i, j) of matrix b at
/// `starts[b] + i * row_stride + j * column_stride`.
#[derive(Clone, Copy)]
pub struct Matrices<'a, T> {
    pub data: &'a [T],
    pub starts: &'a [usize],
    pub row_stride: usize,
    pub column_stride: usize,
}

impl<'a, T: Copy> Matrices<'a, T> {
    /// Matrix b from row `row` on.
    fn from(&self, b: usize, row: usize) -> Matrix<'a, T> {
        let data = self.data.get(self.starts[b] + row * self.row_stride..).unwrap_or(&[]);
        Matrix { data, row_stride: self.row_stride, column_stride: self.column_stride }
    }

    /// Row i of matrix b, where its `length` numbers lie one behind the other.
    fn line(&self, b: usize, i: usize, length: usize) -> Option<&'a [T]> {
        let start = self.starts[b] + i * self.row_stride;
        (self.column_stride == 1).then(|| &self.data[start..start + length])
    }

    fn at(&self, b: usize, i: usize, j: usize) -> T {
        self.data[self.starts[b] + i * self.row_stride + j * self.column_stride]
    }
}

/// Which keys a query sees, [queries, keys].
#[derive(Clone, Copy)]
pub enum Mask<'a, T> {
    /// Those with a byte other than 0.
    Truth(Matrices<'a, u8>),
    /// All; this is added to their scores.
    Added(Matrices<'a, T>),
}

/// Weights that are set to 0 with probability `p`, the others divided by 1 − p. The weight of query i and key j at batch
/// index b draws word `position + (b · queries + i) · keys + j` of the sequence, so that the way back finds it again.
#[derive(Clone, Copy)]
pub struct Dropout {
    pub p: f64,
    pub seed: u64,
    pub stream: u64,
    pub position: u64,
}

impl Dropout {
    /// Multiplies consecutive weights, the first of which draws word `position + first`.
    pub fn apply<T: Real + Float>(&self, first: usize, weights: &mut [T]) {
        let (mut draws, keep) = ([0.0f32; KEYS], <T as Real>::from_f64(1.0 / (1.0 - self.p)));
        let mut position = self.position.wrapping_add(first as u64);
        for part in weights.chunks_mut(KEYS) {
            let draws = &mut draws[..part.len()];
            fill_uniform(draws, self.seed, self.stream, position);
            for (weight, &draw) in part.iter_mut().zip(&*draws) {
                *weight = if f64::from(draw) < self.p { <T as Float>::ZERO } else { *weight * keep };
            }
            position = position.wrapping_add(part.len() as u64);
        }
    }
}

/// softmax(scale · q · kᵀ + mask) · v for each batch index.
#[derive(Clone, Copy)]
pub struct Attention<'a, T> {
    /// [queries, width]
    pub q: Matrices<'a, T>,
    /// [keys, width]
    pub k: Matrices<'a, T>,
    /// [keys, values]
    pub v: Matrices<'a, T>,
    pub mask: Option<Mask<'a, T>>,
    /// Query i sees keys 0..=i only.
    pub causal: bool,
    pub dropout: Option<Dropout>,
    pub scale: f64,
    pub queries: usize,
    pub keys: usize,
    pub width: usize,
    pub values: usize,
}

/// A result in a buffer of its own; rows are contiguous.
pub struct Output<'a, T> {
    pub data: &'a mut [T],
    pub starts: &'a [usize],
    pub row_stride: usize,
}

impl<T: Real + Math> Attention<'_, T> {
    /// Writes the result, and ln Σ e^score of each query ([batch, queries]) for the way back. A query that sees no key
    /// (−∞ there) gets zeros.
    pub fn forward(&self, out: Output<T>, log_sums: &mut [T]) {
        let (blocks, step) = self.blocks();
        assert_eq!(log_sums.len(), self.q.starts.len() * self.queries);
        if self.values == 0 {
            return log_sums.fill(<T as Float>::ZERO);
        }
        for &start in out.starts {
            let end = start + self.queries.saturating_sub(1) * out.row_stride + self.values;
            assert!(self.queries == 0 || end <= out.data.len(), "an attention result of {} elements", out.data.len());
        }
        let (shared, log_sums) = (SharedPointer::new(out.data), SharedPointer::new(log_sums));
        parallel_for(self.q.starts.len() * blocks, |task| {
            let (b, first) = (task / blocks, task % blocks * step);
            let rows = first..(first + step).min(self.queries);
            let n = rows.len();
            with_scratch(n * (KEYS + self.values + 2), |scratch: &mut [T]| {
                let (scores, rest) = scratch.split_at_mut(n * KEYS);
                let (sums, rest) = rest.split_at_mut(n);
                let (tops, total) = rest.split_at_mut(n);
                tops.fill(<T as Float>::NEG_INFINITY);
                sums.fill(<T as Float>::ZERO);
                total.fill(<T as Float>::ZERO);
                for keys in self.tiles(&rows) {
                    let width = keys.len();
                    let scores = &mut scores[..n * width];
                    self.scores(b, rows.clone(), keys.clone(), scores);
                    wide::<T, _>(Advance {
                        scores: &mut *scores,
                        width,
                        tops: &mut *tops,
                        sums: &mut *sums,
                        total: &mut *total,
                    });
                    self.drop(b, &rows, &keys, scores);
                    let weights = Matrix::row_major(scores, width);
                    let values = self.v.from(b, keys.start);
                    gemm(
                        [n, self.values, width],
                        <T as Real>::ONE,
                        weights,
                        values,
                        Update::Accumulate,
                        total,
                        self.values,
                    );
                }
                // SAFETY: each task has its own queries: rows of its own, which lie within the buffers as checked above.
                let log_sums = unsafe { log_sums.slice(b * self.queries + rows.start..b * self.queries + rows.end) };
                for (r, row) in rows.clone().enumerate() {
                    let start = out.starts[b] + row * out.row_stride;
                    // SAFETY: as above.
                    let out = unsafe { shared.slice(start..start + self.values) };
                    // Nothing seen: zeros, whatever the (empty) total is.
                    let seen = !(sums[r] == <T as Float>::ZERO);
                    let scale = if seen { <T as Float>::ONE / sums[r] } else { <T as Float>::ZERO };
                    for (out, total) in out.iter_mut().zip(&total[r * self.values..]) {
                        *out = *total * scale;
                    }
                    log_sums[r] = if seen { tops[r] + log(sums[r]) } else { <T as Float>::NEG_INFINITY };
                }
            });
        });
    }

    /// Gradients of q, k and v ([queries or keys, width or values] each), from that of the result, the result itself and
    /// what [`Attention::forward`] left.
    pub fn backward(&self, result: Matrices<T>, gradient: Matrices<T>, log_sums: &[T], outs: [Output<T>; 3]) {
        let sizes = [(self.queries, self.width), (self.keys, self.width), (self.keys, self.values)];
        for (out, (rows, columns)) in outs.iter().zip(sizes) {
            let reach = rows.saturating_sub(1) * out.row_stride + columns;
            let fits = out.starts.iter().all(|start| rows * columns == 0 || start + reach <= out.data.len());
            assert!(fits && out.starts.len() == self.q.starts.len(), "a gradient of {} elements", out.data.len());
        }
        let outs = outs.map(|out| (SharedPointer::new(out.data), out.starts, out.row_stride));
        let lengths = sizes.map(|(rows, columns)| rows * columns);
        let (_, step) = self.blocks();
        parallel_for(self.q.starts.len(), |b| {
            with_scratch(lengths.iter().sum::<usize>() + step * (2 * KEYS + 1), |scratch: &mut [T]| {
                let (dq, rest) = scratch.split_at_mut(lengths[0]);
                let (dk, rest) = rest.split_at_mut(lengths[1]);
                let (dv, rest) = rest.split_at_mut(lengths[2]);
                for sums in [&mut *dq, &mut *dk, &mut *dv] {
                    sums.fill(<T as Float>::ZERO);
                }
                if self.values > 0 {
                    self.gradients(b, [result, gradient], log_sums, [&mut *dq, &mut *dk, &mut *dv], rest);
                }
                for ((sums, (rows, columns)), (out, starts, stride)) in [&*dq, &*dk, &*dv].iter().zip(sizes).zip(&outs)
                {
                    for row in 0..if columns > 0 { rows } else { 0 } {
                        let start = starts[b] + row * stride;
                        // SAFETY: each batch index has rows of its own, which lie within the buffers as checked above.
                        let out = unsafe { out.slice(start..start + columns) };
                        out.copy_from_slice(&sums[row * columns..(row + 1) * columns]);
                    }
                }
            });
        });
    }

    /// Adds the gradients of batch index b to zeroed [queries, width], [keys, width] and [keys, values].
    fn gradients(
        &self,
        b: usize,
        [result, gradient]: [Matrices<T>; 2],
        log_sums: &[T],
        [dq, dk, dv]: [&mut [T]; 3],
        scratch: &mut [T],
    ) {
        let (_, step) = self.blocks();
        let (scores, rest) = scratch.split_at_mut(step * KEYS);
        let (slopes, products) = rest.split_at_mut(step * KEYS);
        let (one, scale, add) = (<T as Real>::ONE, <T as Real>::from_f64(self.scale), Update::Accumulate);
        for first in (0..self.queries).step_by(step) {
            let rows = first..(first + step).min(self.queries);
            let n = rows.len();
            let log_sums = &log_sums[b * self.queries + rows.start..b * self.queries + rows.end];
            for (product, i) in products.iter_mut().zip(rows.clone()) {
                *product = match [result.line(b, i, self.values), gradient.line(b, i, self.values)] {
                    [Some(a), Some(b)] => wide::<T, _>(Dot(a, b)),
                    _ => (0..self.values)
                        .map(|j| result.at(b, i, j) * gradient.at(b, i, j))
                        .fold(<T as Float>::ZERO, |a, t| a + t),
                };
            }
            let (upstream, q) = (gradient.from(b, rows.start), self.q.from(b, rows.start));
            for keys in self.tiles(&rows) {
                let width = keys.len();
                let (scores, slopes) = (&mut scores[..n * width], &mut slopes[..n * width]);
                self.scores(b, rows.clone(), keys.clone(), scores);
                let (k, values) = (self.k.from(b, keys.start), self.v.from(b, keys.start).transposed());
                gemm([n, width, self.values], one, upstream, values, Update::Overwrite, slopes, width);
                self.drop(b, &rows, &keys, slopes);
                let products = &products[..n];
                wide::<T, _>(Retreat { scores: &mut *scores, slopes: &mut *slopes, width, log_sums, products, scale });
                self.drop(b, &rows, &keys, scores);
                let (weights, slopes) = (Matrix::row_major(scores, width), Matrix::row_major(slopes, width));
                let dv = &mut dv[keys.start * self.values..keys.end * self.values];
                gemm([width, self.values, n], one, weights.transposed(), upstream, add, dv, self.values);
                let dk = &mut dk[keys.start * self.width..keys.end * self.width];
                gemm([width, self.width, n], one, slopes.transposed(), q, add, dk, self.width);
                let dq = &mut dq[rows.start * self.width..rows.end * self.width];
                gemm([n, self.width, width], one, slopes, k, add, dq, self.width);
            }
        }
    }

    /// How many blocks of queries there are, and the queries of one (the last may have fewer).
    fn blocks(&self) -> (usize, usize) {
        let blocks = self.queries.div_ceil(QUERIES);
        (blocks, self.queries.div_ceil(blocks.max(1)).max(1))
    }

    /// Blocks of the keys that some of these queries see.
    fn tiles(&self, rows: &Range<usize>) -> impl Iterator<Item = Range<usize>> + use<T> {
        let end = if self.causal { self.keys.min(rows.end) } else { self.keys };
        (0..end).step_by(KEYS).map(move |start| start..(start + KEYS).min(end))
    }

    /// Drops some of the weights (or their gradients) [rows, keys].
    fn drop(&self, b: usize, rows: &Range<usize>, keys: &Range<usize>, weights: &mut [T]) {
        let Some(dropout) = self.dropout else { return };
        for (line, i) in weights.chunks_exact_mut(keys.len()).zip(rows.clone()) {
            dropout.apply((b * self.queries + i) * self.keys + keys.start, line);
        }
    }

    /// Scores [rows, keys], −∞ where the query does not see the key.
    fn scores(&self, b: usize, rows: Range<usize>, keys: Range<usize>, out: &mut [T]) {
        let (n, width) = (rows.len(), keys.len());
        let (q, k) = (self.q.from(b, rows.start), self.k.from(b, keys.start).transposed());
        gemm([n, width, self.width], <T as Real>::from_f64(self.scale), q, k, Update::Overwrite, out, width);
        for (line, i) in out.chunks_exact_mut(width).zip(rows) {
            match self.mask {
                Some(Mask::Truth(mask)) => {
                    for (score, j) in line.iter_mut().zip(keys.clone()) {
                        if mask.at(b, i, j) == 0 {
                            *score = <T as Float>::NEG_INFINITY;
                        }
                    }
                }
                Some(Mask::Added(mask)) => {
                    for (score, j) in line.iter_mut().zip(keys.clone()) {
                        *score += mask.at(b, i, j);
                    }
                }
                None => {}
            }
            if self.causal {
                let seen = (i + 1).saturating_sub(keys.start).min(width);
                line[seen..].fill(<T as Float>::NEG_INFINITY);
            }
        }
    }
}

/// float64 is for gradient checks: one compilation of its loops is enough.
fn wide<T: Float, K: Kernel>(kernel: K) -> K::Output {
    if T::DTYPE == DType::F32 { dispatch(kernel) } else { kernel.run() }
}

/// Scores become e^(score − top); sums and totals so far are brought to the new top.
struct Advance<'a, T> {
    scores: &'a mut [T],
    width: usize,
    tops: &'a mut [T],
    sums: &'a mut [T],
    /// [queries, values]
    total: &'a mut [T],
}

impl<T: Math> Kernel for Advance<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let values = self.total.len() / self.tops.len();
        for (r, line) in self.scores.chunks_exact_mut(self.width).enumerate() {
            let top = max(self.tops[r], largest(line));
            // Nothing seen so far: −∞ − −∞ would be NaN.
            let shift = if top == T::NEG_INFINITY { T::ZERO } else { top };
            for score in line.iter_mut() {
                *score = exp(*score - shift);
            }
            let keep = exp(self.tops[r] - shift);
            self.sums[r] = self.sums[r] * keep + sum(line);
            for total in &mut self.total[r * values..(r + 1) * values] {
                *total *= keep;
            }
            self.tops[r] = top;
        }
    }
}

/// Scores become weights e^(score − log sum); slopes (gradients of the weights) become gradients of q·k.
struct Retreat<'a, T> {
    scores: &'a mut [T],
    slopes: &'a mut [T],
    width: usize,
    log_sums: &'a [T],
    /// Σ result·gradient of each query.
    products: &'a [T],
    scale: T,
}

impl<T: Math> Kernel for Retreat<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let lines = self.scores.chunks_exact_mut(self.width).zip(self.slopes.chunks_exact_mut(self.width));
        for (r, (line, slopes)) in lines.enumerate() {
            let shift = if self.log_sums[r] == T::NEG_INFINITY { T::ZERO } else { self.log_sums[r] };
            let product = self.products[r];
            let slopes = &mut slopes[..line.len()];
            for i in 0..line.len() {
                line[i] = exp(line[i] - shift);
                slopes[i] = line[i] * (slopes[i] - product) * self.scale;
            }
        }
    }
}

/// The dot product of two slices of one length.
struct Dot<'a, T>(&'a [T], &'a [T]);

impl<T: Math> Kernel for Dot<'_, T> {
    type Output = T;
    #[inline(always)]
    fn run(self) -> T {
        let (a, b) = (self.0, &self.1[..self.0.len()]);
        let mut lanes = [T::ZERO; 16];
        let whole = a.len() / 16 * 16;
        for at in (0..whole).step_by(16) {
            for i in 0..16 {
                lanes[i] += a[at + i] * b[at + i];
            }
        }
        for i in whole..a.len() {
            lanes[i - whole] += a[i] * b[i];
        }
        folded(lanes)
    }
}

/// The largest element; NaN if there is one.
#[inline(always)]
fn largest<T: Math>(x: &[T]) -> T {
    let mut lanes = [T::NEG_INFINITY; 16];
    let mut parts = x.chunks_exact(16);
    for part in &mut parts {
        for i in 0..16 {
            lanes[i] = max(lanes[i], part[i]);
        }
    }
    parts.remainder().iter().chain(&lanes).fold(T::NEG_INFINITY, |a, &b| max(a, b))
}

#[inline(always)]
fn sum<T: Math>(x: &[T]) -> T {
    let mut lanes = [T::ZERO; 16];
    let mut parts = x.chunks_exact(16);
    for part in &mut parts {
        for i in 0..16 {
            lanes[i] += part[i];
        }
    }
    for (lane, &value) in lanes.iter_mut().zip(parts.remainder()) {
        *lane += value;
    }
    folded(lanes)
}

/// The sum of all lanes, half to half.
#[inline(always)]
fn folded<T: Math>(mut lanes: [T; 16]) -> T {
    let mut width = 8;
    while width > 0 {
        for i in 0..width {
            lanes[i] += lanes[i + width];
        }
        width /= 2;
    }
    lanes[0]
}
