//! Matrix products of bfloat16 summed in float32: packed in pairs of k for `vdpbf16ps`, blocked and parallel. Operands may be
//! float32 in memory and are rounded as they are packed. Elsewhere than on processors with AVX512_BF16 the operands are
//! rounded and multiplied in float32: the same numbers up to the order of sums.
//!
//! Promise: as for products of float32 (`gemm`), an element is summed over k in an order that depends on k alone.
//!
//! The instruction takes denormal numbers for zeros and gives none; two products are added to a sum in two steps.

#[cfg(target_arch = "x86_64")]
use super::dispatch::has_bfloat16;
use super::gemm::{Batch, Matrix, Update, gemm_batched};
use super::half::{Matrix16, ValuesMut, with_rounded, with_widened};

/// C [m, n] = A [m, k] · B [k, n] + bias (one a column) for each matrix of a batch. Element (i, j) of a C is at
/// `i * c_row_stride + j`. C is not read.
///
/// # Panics
/// If a slice is too short for its sizes and strides, or matrices or rows of C overlap.
pub fn gemm_bf16(
    batch: Batch,
    [m, n, k]: [usize; 3],
    a: Matrix16,
    b: Matrix16,
    bias: Option<&[f32]>,
    c: ValuesMut,
    c_row_stride: usize,
) {
    #[cfg(target_arch = "x86_64")]
    if has_bfloat16() {
        return super::gemm_avx512_bf16::multiply(batch, [m, n, k], a, b, bias, c, c_row_stride);
    }
    let update = bias.map_or(Update::Overwrite, Update::Bias);
    with_rounded(a.values, |a_values| {
        with_rounded(b.values, |b_values| {
            let a = Matrix { data: a_values, row_stride: a.row_stride, column_stride: a.column_stride };
            let b = Matrix { data: b_values, row_stride: b.row_stride, column_stride: b.column_stride };
            with_widened(c, |c| gemm_batched(batch, [m, n, k], 1.0, a, b, update, c, c_row_stride));
        })
    })
}

#[cfg(test)]
mod tests {
    use super::super::cases::{Random, assert_close, with_threads};
    use super::super::half::{Values, narrow};
    use super::*;
    use crate::half::Bf16;

    fn narrowed(values: &[f32]) -> Vec<Bf16> {
        let mut to = vec![Bf16(0); values.len()];
        narrow(values, &mut to);
        to
    }

    /// A random product against plain loops over rounded operands in float64: both types of each operand and of C, random
    /// strides, the same bits for one and three threads.
    fn check([m, n, k]: [usize; 3], random: &mut Random) {
        let matrix = |rows: usize, columns: usize, random: &mut Random| {
            let extra = random.below(3);
            let (row_stride, column_stride) = match random.below(4) {
                0 => (1, rows + extra),
                1 => (columns * 2 + extra, 2),
                _ => (columns + extra, 1),
            };
            let len = row_stride * rows.saturating_sub(1) + column_stride * columns.saturating_sub(1) + 1;
            let wide = random.numbers::<f32>(len);
            (narrowed(&wide), wide, [row_stride, column_stride])
        };
        let (a_narrow, a_wide, a_strides) = matrix(m, k, random);
        let (b_narrow, b_wide, b_strides) = matrix(k, n, random);
        let bias = random.numbers::<f32>(n);
        let c_stride = n + random.below(3);
        let len = if m == 0 { 0 } else { (m - 1) * c_stride + n };
        let mut want = Vec::new();
        for (i, j) in (0..m).flat_map(|i| (0..n).map(move |j| (i, j))) {
            let term = |p: usize| {
                f64::from(a_narrow[i * a_strides[0] + p * a_strides[1]].to_f32())
                    * f64::from(b_narrow[p * b_strides[0] + j * b_strides[1]].to_f32())
            };
            want.push((0..k).map(term).sum::<f64>());
        }
        for choice in 0..8 {
            let values = |narrow: bool, a: bool| match (narrow, a) {
                (true, true) => Values::Narrow(&a_narrow),
                (false, true) => Values::Wide(&a_wide),
                (true, false) => Values::Narrow(&b_narrow),
                (false, false) => Values::Wide(&b_wide),
            };
            let a = Matrix16 {
                values: values(choice & 1 > 0, true),
                row_stride: a_strides[0],
                column_stride: a_strides[1],
            };
            let b = Matrix16 {
                values: values(choice & 2 > 0, false),
                row_stride: b_strides[0],
                column_stride: b_strides[1],
            };
            let with_bias = choice & 4 > 0;
            let run = |threads| {
                let (mut wide, mut narrow) = (vec![7.0f32; len], vec![Bf16::from_f32(7.0); len]);
                with_threads(threads, || {
                    let bias = with_bias.then_some(&bias[..]);
                    gemm_bf16(Batch::ONE, [m, n, k], a, b, bias, ValuesMut::Wide(&mut wide), c_stride);
                    gemm_bf16(Batch::ONE, [m, n, k], a, b, bias, ValuesMut::Narrow(&mut narrow), c_stride);
                });
                (wide, narrow)
            };
            let (wide, narrow) = run(1);
            let pick = |i: usize, j: usize| i * c_stride + j;
            let places = || (0..m).flat_map(|i| (0..n).map(move |j| (i, j)));
            let want: Vec<f64> = want
                .iter()
                .zip(places())
                .map(|(w, (_, j))| w + if with_bias { f64::from(bias[j]) } else { 0.0 })
                .collect();
            let got: Vec<f32> = places().map(|(i, j)| wide[pick(i, j)]).collect();
            assert_close(&got, &want, 2e-6 * (1.0 + k as f64 / 64.0), &([m, n, k], a_strides, b_strides, choice));
            for (i, j) in places() {
                assert_eq!(narrow[pick(i, j)].0, Bf16::from_f32(wide[pick(i, j)]).0, "({i}, {j}) of {m}×{n}×{k}");
            }
            for i in 0..m.saturating_sub(1) {
                assert!((n..c_stride).all(|j| wide[pick(i, j)] == 7.0 && narrow[pick(i, j)].to_f32() == 7.0));
            }
            let again = run(3);
            let same = wide.iter().zip(&again.0).all(|(a, b)| a.to_bits() == b.to_bits());
            assert!(same && narrow.iter().zip(&again.1).all(|(a, b)| a.0 == b.0), "{m}×{n}×{k} with three threads");
        }
    }

    fn shapes(random: &mut Random) -> Vec<[usize; 3]> {
        let mut shapes = vec![[0, 3, 4], [3, 0, 4], [3, 4, 0], [1, 1, 1], [1, 70, 33], [70, 1, 300], [25, 65, 2100]];
        shapes.extend([[130, 150, 70], [64, 65, 1], [257, 96, 129], [5, 700, 260], [13, 33, 1025]]);
        shapes.extend((0..20).map(|_| [1 + random.below(60), 1 + random.below(60), 1 + random.below(60)]));
        shapes
    }

    #[test]
    fn products_match_plain_loops_over_rounded_numbers() {
        let mut random = Random(7);
        shapes(&mut random).into_iter().for_each(|sizes| check(sizes, &mut random));
    }

    #[test]
    fn batches_interleave_and_repeat() {
        let (batch, heads, m, n, k) = (3, 4, 17, 19, 6);
        let mut random = Random(11);
        let a_data = narrowed(&random.numbers::<f32>(batch * m * heads * k));
        let b_data = narrowed(&random.numbers::<f32>(n * heads * k));
        let sizes = Batch {
            counts: [batch, heads],
            a_strides: [m * heads * k, k],
            b_strides: [0, k],
            c_strides: [m * heads * n, n],
        };
        let a = Matrix16 { values: Values::Narrow(&a_data), row_stride: heads * k, column_stride: 1 };
        let b = Matrix16 { values: Values::Narrow(&b_data), row_stride: 1, column_stride: heads * k };
        let mut c = vec![f32::NAN; batch * m * heads * n];
        gemm_bf16(sizes, [m, n, k], a, b, None, ValuesMut::Wide(&mut c), heads * n);
        for (x, h, i, j) in
            (0..batch * heads * m * n).map(|at| (at / (heads * m * n), at / (m * n) % heads, at / n % m, at % n))
        {
            let term = |p: usize| {
                a_data[((x * m + i) * heads + h) * k + p].to_f32() * b_data[(j * heads + h) * k + p].to_f32()
            };
            let want: f32 = (0..k).map(term).sum();
            assert!((c[((x * m + i) * heads + h) * n + j] - want).abs() < 1e-5);
        }
    }

    #[test]
    fn nan_and_infinity_reach_their_rows_and_columns_only() {
        let (m, n, k) = (20, 40, 30);
        let (mut a, mut b) = (vec![1.0f32; m * k], vec![1.0f32; k * n]);
        a[3 * k + 5] = f32::NAN;
        b[7 * n + 9] = f32::INFINITY;
        let mut c = vec![Bf16(0); m * n];
        let a = Matrix16 { values: Values::Wide(&a), row_stride: k, column_stride: 1 };
        let b = Matrix16 { values: Values::Wide(&b), row_stride: n, column_stride: 1 };
        gemm_bf16(Batch::ONE, [m, n, k], a, b, None, ValuesMut::Narrow(&mut c), n);
        for (at, value) in c.iter().enumerate() {
            match (at / n, at % n) {
                (3, _) => assert!(value.to_f32().is_nan()),
                (_, 9) => assert_eq!(value.to_f32(), f32::INFINITY),
                _ => assert_eq!(value.to_f32(), 30.0),
            }
        }
    }

    #[test]
    #[should_panic(expected = "elements, its sizes and strides")]
    fn a_short_slice_is_refused() {
        let (a, b, mut c) = ([0.0f32; 11], [0.0f32; 12], [0.0f32; 9]);
        let a = Matrix16 { values: Values::Wide(&a), row_stride: 4, column_stride: 1 };
        let b = Matrix16 { values: Values::Wide(&b), row_stride: 3, column_stride: 1 };
        gemm_bf16(Batch::ONE, [3, 3, 4], a, b, None, ValuesMut::Wide(&mut c), 3);
    }
}
