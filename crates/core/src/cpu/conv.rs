//! Two-dimensional convolution, channels last: images are [batch, height, width, channels], filters PyTorch's
//! [out, in / groups, kernel height, kernel width], both contiguous. This file chooses the algorithm; it computes little.
//!
//! Promise: the choice and the order of every sum depend on the shape alone, so all results have the same bits for every
//! thread count. Only the instruction set can change them. (Its tests, against plain loops over many shapes, make it long.)

use super::dispatch::isa;
use super::gemm::{Matrix, Update, gemm};
use super::implicit::Tap;
use super::scratch::with_scratch;
use super::threads::{SharedPointer, parallel_for};
use super::tile::Tiled;
use super::vector::Real;
use super::winograd::{Filters, Winograd};
use super::{depthwise, implicit};

/// The sizes of a convolution, as `torch.nn.Conv2d` names them. Pairs are (vertical, horizontal).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Conv2d {
    pub batch: usize,
    pub in_channels: usize,
    pub out_channels: usize,
    pub height: usize,
    pub width: usize,
    pub kernel: [usize; 2],
    pub stride: [usize; 2],
    pub padding: [usize; 2],
    pub dilation: [usize; 2],
    pub groups: usize,
}

impl Conv2d {
    /// Height and width of the output; 0 where the kernel is larger than the padded image.
    pub fn output_size(&self) -> [usize; 2] {
        let along = |size: usize, d: usize| {
            let reach = self.dilation[d] * self.kernel[d].saturating_sub(1) + 1;
            (size + 2 * self.padding[d]).checked_sub(reach).map_or(0, |free| free / self.stride[d] + 1)
        };
        [along(self.height, 0), along(self.width, 1)]
    }

    /// Elements of the input, [batch, height, width, in].
    pub fn input_len(&self) -> usize {
        self.batch * self.height * self.width * self.in_channels
    }

    /// Elements of the output, [batch, output height, output width, out].
    pub fn output_len(&self) -> usize {
        self.pixels() * self.out_channels
    }

    /// Elements of the weight, [out, in / groups, kernel height, kernel width].
    pub fn weight_len(&self) -> usize {
        self.out_channels * self.in_group() * self.kernel[0] * self.kernel[1]
    }

    /// y = x ∗ weight + bias (one value an output channel). `y` is overwritten.
    ///
    /// # Panics
    /// If a slice has not the length the sizes say, or the sizes make no convolution (groups must divide both channel
    /// counts; kernel, stride and dilation are at least 1).
    pub fn forward<T: Real>(&self, x: &[T], weight: &[T], bias: Option<&[T]>, y: &mut [T]) {
        self.check(&[("x", x.len(), self.input_len()), ("y", y.len(), self.output_len())], weight.len());
        if let Some(bias) = bias {
            assert_eq!(bias.len(), self.out_channels, "bias of {self:?}");
        }
        if y.is_empty() {
            return;
        }
        if self.is_product() {
            let [m, n, k] = [self.pixels(), self.out_channels, self.in_channels];
            let update = bias.map_or(Update::Overwrite, Update::Bias);
            let weight = Matrix::row_major(weight, k).transposed();
            gemm([m, n, k], T::ONE, Matrix::row_major(x, k), weight, update, y, n);
        } else if let (Some((winograd, filters)), Some(x), Some(weight), Some(y)) =
            (self.winograd_forward().filter(paying), T::as_f32(x), T::as_f32(weight), T::as_f32_mut(y))
        {
            let bias = bias.and_then(T::as_f32);
            winograd.run(isa(), f32::tile(isa()), x, weight, filters, bias, y);
        } else if self.is_depthwise() {
            depthwise::forward(self, x, weight, bias, y);
        } else {
            implicit::forward(T::tile(isa()), self, x, weight, bias, y);
        }
    }

    /// The gradient of x from that of y. `dx` is overwritten.
    ///
    /// # Panics
    /// As [`Conv2d::forward`].
    pub fn input_gradient<T: Real>(&self, dy: &[T], weight: &[T], dx: &mut [T]) {
        self.check(&[("dy", dy.len(), self.output_len()), ("dx", dx.len(), self.input_len())], weight.len());
        if dx.is_empty() {
            return;
        }
        if self.is_product() {
            let [m, n, k] = [self.pixels(), self.in_channels, self.out_channels];
            let (dy, weight) = (Matrix::row_major(dy, k), Matrix::row_major(weight, n));
            gemm([m, n, k], T::ONE, dy, weight, Update::Overwrite, dx, n);
        } else if let (Some((winograd, filters)), Some(dy), Some(weight), Some(dx)) =
            (self.winograd_input_gradient().filter(paying), T::as_f32(dy), T::as_f32(weight), T::as_f32_mut(dx))
        {
            winograd.run(isa(), f32::tile(isa()), dy, weight, filters, None, dx);
        } else if self.is_depthwise() {
            depthwise::input_gradient(self, dy, weight, dx);
        } else {
            implicit::input_gradient(T::tile(isa()), self, dy, weight, dx);
        }
    }

    /// The gradient of the weight from x and the gradient of y. `dw` is overwritten.
    ///
    /// # Panics
    /// As [`Conv2d::forward`].
    pub fn weight_gradient<T: Real>(&self, x: &[T], dy: &[T], dw: &mut [T]) {
        self.check(&[("x", x.len(), self.input_len()), ("dy", dy.len(), self.output_len())], dw.len());
        if dw.is_empty() {
            return;
        }
        if let (Some((winograd, _)), Some(x), Some(dy), Some(dw)) =
            (self.winograd_forward().filter(paying), T::as_f32(x), T::as_f32(dy), T::as_f32_mut(dw))
        {
            winograd.weight_gradient(isa(), f32::tile(isa()), x, dy, dw);
        } else if self.is_depthwise() {
            depthwise::weight_gradient(self, x, dy, dw);
        } else {
            implicit::weight_gradient(T::tile(isa()), self, x, dy, dw);
        }
    }

    /// The gradient of the bias: dy summed over batch and pixels. `db` [out] is overwritten.
    ///
    /// # Panics
    /// If a slice has not the length the sizes say.
    pub fn bias_gradient<T: Real>(&self, dy: &[T], db: &mut [T]) {
        assert_eq!(dy.len(), self.output_len(), "dy of {self:?}");
        assert_eq!(db.len(), self.out_channels, "bias gradient of {self:?}");
        sum_rows(dy, db);
    }

    /// Input channels that an output channel sees.
    pub fn in_group(&self) -> usize {
        self.in_channels / self.groups
    }

    /// Output channels of a group.
    pub fn out_group(&self) -> usize {
        self.out_channels / self.groups
    }

    /// Output pixels of the batch.
    fn pixels(&self) -> usize {
        let [height, width] = self.output_size();
        self.batch * height * width
    }

    /// Where each tap of the filter looks, relative to stride × output position.
    pub(super) fn taps(&self) -> Vec<Tap> {
        (0..self.kernel[0] * self.kernel[1])
            .map(|i| {
                let position = [i / self.kernel[1], i % self.kernel[1]];
                let offset = |d: usize| (position[d] * self.dilation[d]) as isize - self.padding[d] as isize;
                Tap { row: offset(0), column: offset(1), weight: i }
            })
            .collect()
    }

    /// Every output pixel sees just its own input pixel: a plain matrix product.
    fn is_product(&self) -> bool {
        self.groups == 1 && self.kernel == [1, 1] && self.stride == [1, 1] && self.padding == [0, 0]
    }

    /// The forward pass by Winograd, where it is a 3×3 of stride 1.
    pub(super) fn winograd_forward(&self) -> Option<(Winograd, Filters)> {
        let fits = self.kernel == [3, 3] && self.stride == [1, 1] && self.dilation == [1, 1] && self.groups == 1;
        let winograd = Winograd {
            batch: self.batch,
            source: [self.height, self.width],
            channels: self.in_channels,
            padding: self.padding,
            target: self.output_size(),
            columns: self.out_channels,
        };
        fits.then_some((winograd, Filters { column: self.in_channels * 9, channel: 9, backwards: false }))
    }

    /// The gradient of the input is the convolution of dy with the filters turned round.
    pub(super) fn winograd_input_gradient(&self) -> Option<(Winograd, Filters)> {
        let (forward, filters) = self.winograd_forward()?;
        let turned = Winograd {
            source: forward.target,
            channels: forward.columns,
            padding: [2usize.checked_sub(self.padding[0])?, 2usize.checked_sub(self.padding[1])?],
            target: forward.source,
            columns: forward.channels,
            ..forward
        };
        Some((turned, Filters { column: filters.channel, channel: filters.column, backwards: true }))
    }

    /// Panics unless input, weight and output have the lengths of these sizes.
    pub(super) fn check_lengths(&self, input: usize, weight: usize, output: usize) {
        self.check(&[("input", input, self.input_len()), ("output", output, self.output_len())], weight);
    }

    pub(super) fn is_depthwise(&self) -> bool {
        self.groups > 1 && self.groups == self.in_channels && self.groups == self.out_channels
    }

    fn check(&self, slices: &[(&str, usize, usize)], weight: usize) {
        let positive = self.kernel.iter().chain(&self.stride).chain(&self.dilation).chain([&self.groups]);
        assert!(positive.into_iter().all(|&size| size > 0), "no convolution has a size of 0: {self:?}");
        let divides = self.in_channels.is_multiple_of(self.groups) && self.out_channels.is_multiple_of(self.groups);
        assert!(divides, "groups divide the channels: {self:?}");
        for &(name, len, want) in slices.iter().chain([&("weight", weight, self.weight_len())]) {
            assert_eq!(len, want, "length of {name} of {self:?}");
        }
    }
}

pub(super) fn paying((winograd, _): &(Winograd, Filters)) -> bool {
    winograd.pays()
}

/// Sums the rows of [rows, sums.len()]; blocks of rows in parallel, cut by the shape alone and added in order.
fn sum_rows<T: Real>(rows: &[T], sums: &mut [T]) {
    let columns = sums.len();
    if columns == 0 {
        return;
    }
    let count = rows.len() / columns;
    let parts = (rows.len() >> 14).clamp(1, 64).min(count.max(1));
    with_scratch(parts * columns, |partial: &mut [T]| {
        let shared = SharedPointer::new(partial);
        parallel_for(parts, |part| {
            // SAFETY: each task has its own part.
            let sums = unsafe { shared.slice(part * columns..(part + 1) * columns) };
            sums.fill(T::ZERO);
            let range = count * part / parts..count * (part + 1) / parts;
            for row in rows[range.start * columns..range.end * columns].chunks_exact(columns) {
                for (sum, &value) in sums.iter_mut().zip(row) {
                    *sum += value;
                }
            }
        });
        sums.fill(T::ZERO);
        for part in partial.chunks_exact(columns) {
            for (sum, &value) in sums.iter_mut().zip(part) {
                *sum += value;
            }
        }
    });
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::cases::{Random, assert_close, with_threads};
    use super::super::dispatch::{available_isas, force_isa};
    use super::super::tile::{Tile, Tiled, wide_tile};
    use super::*;

    /// Plain loops in f64: y, dx, dw, db.
    pub fn reference<T: Real>(conv: &Conv2d, x: &[T], w: &[T], bias: &[T], dy: &[T]) -> [Vec<f64>; 4] {
        let [height, width] = conv.output_size();
        let [mut y, mut dx, mut dw, mut db] = [dy.len(), x.len(), w.len(), bias.len()].map(|len| vec![0.0f64; len]);
        let (ig, og) = (conv.in_group(), conv.out_group());
        for b in 0..conv.batch {
            for (oh, ow, o) in
                (0..height).flat_map(|h| (0..width).flat_map(move |w| (0..conv.out_channels).map(move |o| (h, w, o))))
            {
                let at = ((b * height + oh) * width + ow) * conv.out_channels + o;
                y[at] += bias[o].to_f64();
                db[o] += dy[at].to_f64();
                for (r, s, c) in (0..conv.kernel[0])
                    .flat_map(|r| (0..conv.kernel[1]).flat_map(move |s| (0..ig).map(move |c| (r, s, c))))
                {
                    let ih = (oh * conv.stride[0] + r * conv.dilation[0]).wrapping_sub(conv.padding[0]);
                    let iw = (ow * conv.stride[1] + s * conv.dilation[1]).wrapping_sub(conv.padding[1]);
                    if ih >= conv.height || iw >= conv.width {
                        continue;
                    }
                    let xi = ((b * conv.height + ih) * conv.width + iw) * conv.in_channels + o / og * ig + c;
                    let wi = ((o * ig + c) * conv.kernel[0] + r) * conv.kernel[1] + s;
                    y[at] += x[xi].to_f64() * w[wi].to_f64();
                    dx[xi] += dy[at].to_f64() * w[wi].to_f64();
                    dw[wi] += dy[at].to_f64() * x[xi].to_f64();
                }
            }
        }
        [y, dx, dw, db]
    }

    pub fn random_conv(random: &mut Random) -> Conv2d {
        let groups = random.pick(&[1, 1, 1, 2, 3]);
        Conv2d {
            batch: random.below(4),
            in_channels: groups * (1 + random.below(20)),
            out_channels: groups * (1 + random.below(20)),
            height: 1 + random.below(12),
            width: 1 + random.below(12),
            kernel: [1 + random.below(4), 1 + random.below(4)],
            stride: [1 + random.below(3), 1 + random.below(3)],
            padding: [random.below(4), random.below(4)],
            dilation: [random.pick(&[1, 1, 2, 3]), random.pick(&[1, 1, 2])],
            groups,
        }
    }

    pub fn chosen_shapes() -> Vec<Conv2d> {
        let base = Conv2d {
            batch: 2,
            in_channels: 16,
            out_channels: 24,
            height: 9,
            width: 7,
            kernel: [3, 3],
            stride: [1, 1],
            padding: [1, 1],
            dilation: [1, 1],
            groups: 1,
        };
        vec![
            base,
            Conv2d { in_channels: 64, out_channels: 64, height: 10, width: 12, ..base },
            Conv2d { in_channels: 130, out_channels: 40, height: 6, width: 6, ..base },
            Conv2d { stride: [2, 2], in_channels: 40, ..base },
            Conv2d { kernel: [1, 1], padding: [0, 0], ..base },
            Conv2d { kernel: [1, 1], padding: [0, 0], stride: [2, 2], in_channels: 300, ..base },
            Conv2d { kernel: [7, 7], padding: [3, 3], stride: [2, 2], in_channels: 3, height: 20, width: 21, ..base },
            Conv2d { kernel: [4, 4], padding: [0, 0], stride: [4, 4], in_channels: 3, height: 16, width: 16, ..base },
            Conv2d { kernel: [2, 3], stride: [3, 4], padding: [0, 5], ..base },
            Conv2d { padding: [9, 8], ..base },
            Conv2d { kernel: [5, 1], dilation: [2, 1], padding: [4, 0], ..base },
            Conv2d { groups: 16, in_channels: 16, out_channels: 16, ..base },
            Conv2d {
                groups: 70,
                in_channels: 70,
                out_channels: 70,
                stride: [2, 1],
                kernel: [3, 5],
                padding: [2, 2],
                ..base
            },
            Conv2d { groups: 8, in_channels: 32, out_channels: 16, ..base },
            Conv2d { groups: 4, in_channels: 4, out_channels: 8, ..base },
            Conv2d { batch: 0, ..base },
            Conv2d { height: 1, width: 1, padding: [0, 0], ..base },
            Conv2d { batch: 40, height: 8, width: 8, in_channels: 5, out_channels: 6, ..base },
        ]
    }

    /// All four results of the public functions against plain loops, the same bits with other numbers of threads.
    fn check<T: Real>(conv: &Conv2d, random: &mut Random, tolerance: f64) {
        let x: Vec<T> = random.numbers(conv.input_len());
        let w: Vec<T> = random.numbers(conv.weight_len());
        let bias: Vec<T> = random.numbers(conv.out_channels);
        let dy: Vec<T> = random.numbers(conv.output_len());
        let nan = T::from_f64(f64::NAN);
        let run = |threads: usize| {
            let [mut y, mut dx, mut dw, mut db] = [dy.len(), x.len(), w.len(), bias.len()].map(|len| vec![nan; len]);
            with_threads(threads, || {
                conv.forward(&x, &w, Some(&bias), &mut y);
                conv.input_gradient(&dy, &w, &mut dx);
                conv.weight_gradient(&x, &dy, &mut dw);
                conv.bias_gradient(&dy, &mut db);
            });
            [y, dx, dw, db]
        };
        let got = run(1);
        let want = reference(conv, &x, &w, &bias, &dy);
        for (name, (got, want)) in ["y", "dx", "dw", "db"].iter().zip(got.iter().zip(&want)) {
            assert_close(got, want, tolerance, &(name, conv));
        }
        for threads in [2, 5] {
            for (first, again) in got.iter().zip(&run(threads)) {
                let same = first.iter().zip(again).all(|(x, y)| x.to_f64().to_bits() == y.to_f64().to_bits());
                assert!(same, "{conv:?} with {threads} threads has other bits");
            }
        }
    }

    #[test]
    fn convolutions_match_plain_loops() {
        let mut random = Random(3);
        let mut shapes = chosen_shapes();
        shapes.extend((0..60).map(|_| random_conv(&mut random)));
        for conv in &shapes {
            check::<f32>(conv, &mut random, 1e-5);
            check::<f64>(conv, &mut random, 1e-13);
        }
        // No other test forces an instruction set.
        for &isa in available_isas() {
            assert!(force_isa(Some(isa)));
            for conv in &chosen_shapes() {
                check::<f32>(conv, &mut random, 1e-5);
                check::<f64>(conv, &mut random, 1e-13);
            }
        }
        assert!(force_isa(None));
    }

    #[test]
    fn implicit_products_match_plain_loops_with_every_tile() {
        let mut random = Random(5);
        let mut shapes = chosen_shapes();
        shapes.extend((0..20).map(|_| random_conv(&mut random)));
        let tiles: Vec<&'static Tile<f32>> = available_isas().iter().map(|&isa| f32::tile(isa)).collect();
        for tile in tiles.into_iter().chain([wide_tile()]) {
            for conv in shapes.iter().filter(|conv| conv.output_len() > 0) {
                let x: Vec<f32> = random.numbers(conv.input_len());
                let w: Vec<f32> = random.numbers(conv.weight_len());
                let bias: Vec<f32> = random.numbers(conv.out_channels);
                let dy: Vec<f32> = random.numbers(conv.output_len());
                let [mut y, mut dx, mut dw] = [dy.len(), x.len(), w.len()].map(|len| vec![f32::NAN; len]);
                implicit::forward(tile, conv, &x, &w, Some(&bias), &mut y);
                implicit::input_gradient(tile, conv, &dy, &w, &mut dx);
                implicit::weight_gradient(tile, conv, &x, &dy, &mut dw);
                let want = reference(conv, &x, &w, &bias, &dy);
                assert_close(&y, &want[0], 1e-5, &("y", conv));
                assert_close(&dx, &want[1], 1e-5, &("dx", conv));
                assert_close(&dw, &want[2], 1e-5, &("dw", conv));
            }
        }
    }

    #[test]
    #[should_panic(expected = "length of weight")]
    fn a_weight_of_another_size_is_refused() {
        let conv = chosen_shapes()[0];
        let x = vec![0.0f32; conv.input_len()];
        let mut y = vec![0.0; conv.output_len()];
        conv.forward(&x, &[0.0; 5], None, &mut y);
    }
}
