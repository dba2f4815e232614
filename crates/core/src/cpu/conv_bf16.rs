//! Convolutions of bfloat16, summed in float32; sizes and layouts are those of `conv`. Which shapes go which way depends on
//! the shape alone: a 3×3 of stride 1 that pays by Winograd multiplies in float32 (more exact than bfloat16 and, with a
//! quarter of the multiplications, faster), everything else multiplies rounded numbers.

use super::conv::{Conv2d, paying};
use super::dispatch::isa;
use super::half::{Values, ValuesMut, with_rounded, with_wide, with_widened};
use super::tile::Tiled;
#[cfg(target_arch = "x86_64")]
use super::{dispatch::has_bfloat16, implicit_avx512_bf16 as implicit};

/// y = x ∗ weight + bias.
///
/// # Panics
/// As [`Conv2d::forward`].
pub fn forward(conv: &Conv2d, x: Values, weight: Values, bias: Option<&[f32]>, y: ValuesMut) {
    conv.check_lengths(x.len(), weight.len(), y.len());
    let winograd = conv.winograd_forward().filter(paying);
    match (winograd, x, y) {
        _ if conv.output_len() == 0 => {}
        (Some((winograd, filters)), Values::Narrow(x), ValuesMut::Narrow(y)) => {
            with_wide(weight, |weight| winograd.run(isa(), f32::tile(isa()), x, weight, filters, bias, y));
        }
        #[cfg(target_arch = "x86_64")]
        (None, Values::Narrow(x), y) if implicitly(conv) => implicit::forward(conv, x, weight, bias, y),
        (winograd, x, y) => with_operands(winograd.is_some(), x, weight, |x, weight| {
            with_widened(y, |y| conv.forward(x, weight, bias, y));
        }),
    }
}

/// The gradient of x from that of y.
///
/// # Panics
/// As [`Conv2d::forward`].
pub fn input_gradient(conv: &Conv2d, dy: Values, weight: Values, dx: ValuesMut) {
    conv.check_lengths(dx.len(), weight.len(), dy.len());
    let winograd = conv.winograd_input_gradient().filter(paying);
    match (winograd, dy, dx) {
        _ if conv.input_len() == 0 => {}
        (Some((winograd, filters)), Values::Narrow(dy), ValuesMut::Narrow(dx)) => {
            with_wide(weight, |weight| winograd.run(isa(), f32::tile(isa()), dy, weight, filters, None, dx));
        }
        #[cfg(target_arch = "x86_64")]
        (None, Values::Narrow(dy), dx) if implicitly(conv) => implicit::input_gradient(conv, dy, weight, dx),
        (winograd, dy, dx) => with_operands(winograd.is_some(), dy, weight, |dy, weight| {
            with_widened(dx, |dx| conv.input_gradient(dy, weight, dx));
        }),
    }
}

/// The gradient of the weight from x and the gradient of y.
///
/// # Panics
/// As [`Conv2d::forward`].
pub fn weight_gradient(conv: &Conv2d, x: Values, dy: Values, dw: &mut [f32]) {
    conv.check_lengths(x.len(), dw.len(), dy.len());
    match (conv.winograd_forward().filter(paying), x, dy) {
        _ if conv.weight_len() == 0 => {}
        (Some((winograd, _)), Values::Narrow(x), Values::Narrow(dy)) => {
            winograd.weight_gradient(isa(), f32::tile(isa()), x, dy, dw);
        }
        #[cfg(target_arch = "x86_64")]
        (None, Values::Narrow(x), Values::Narrow(dy)) if implicitly(conv) => {
            implicit::weight_gradient(conv, x, dy, dw);
        }
        (winograd, x, dy) => with_operands(winograd.is_some(), x, dy, |x, dy| conv.weight_gradient(x, dy, dw)),
    }
}

/// Whether it is a product by AVX512_BF16; groups of few channels have kernels of their own in float32.
#[cfg(target_arch = "x86_64")]
fn implicitly(conv: &Conv2d) -> bool {
    has_bfloat16() && !conv.is_depthwise()
}

/// Both operands in float32, rounded to bfloat16 unless the product is one in float32.
fn with_operands<R>(exact: bool, a: Values, b: Values, run: impl FnOnce(&[f32], &[f32]) -> R) -> R {
    if exact {
        with_wide(a, |a| with_wide(b, |b| run(a, b)))
    } else {
        with_rounded(a, |a| with_rounded(b, |b| run(a, b)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::cases::{Random, assert_close, with_threads};
    use super::super::conv::tests::{chosen_shapes, random_conv, reference};
    use super::super::half::{narrow, widen};
    use super::*;
    use crate::half::Bf16;

    fn narrowed(values: &[f32]) -> Vec<Bf16> {
        let mut to = vec![Bf16(0); values.len()];
        narrow(values, &mut to);
        to
    }

    fn widened(values: &[Bf16]) -> Vec<f32> {
        let mut to = vec![0.0; values.len()];
        widen(values, &mut to);
        to
    }

    /// All three products against plain loops in float64 over the rounded numbers, with results of both types; the same bits
    /// for one and three threads.
    fn check(conv: &Conv2d, random: &mut Random) {
        let [x, dy] = [conv.input_len(), conv.output_len()].map(|len| narrowed(&random.numbers::<f32>(len)));
        let weight = narrowed(&random.numbers::<f32>(conv.weight_len()));
        let bias = random.numbers::<f32>(conv.out_channels);
        let [wide_x, wide_w, wide_dy] = [&x, &weight, &dy].map(|values| widened(values));
        let [want_y, want_dx, want_dw, _] = reference(conv, &wide_x, &wide_w, &bias, &wide_dy);
        let run = |threads: usize| {
            let [mut y, mut dx, mut dw] = [dy.len(), x.len(), weight.len()].map(|len| vec![f32::NAN; len]);
            let [mut narrow_y, mut narrow_dx] = [dy.len(), x.len()].map(|len| vec![Bf16(0x7fc0); len]);
            with_threads(threads, || {
                let (x, dy, w) = (Values::Narrow(&x), Values::Narrow(&dy), Values::Wide(&wide_w));
                forward(conv, x, w, Some(&bias), ValuesMut::Wide(&mut y));
                forward(conv, x, Values::Narrow(&weight), Some(&bias), ValuesMut::Narrow(&mut narrow_y));
                input_gradient(conv, dy, w, ValuesMut::Wide(&mut dx));
                input_gradient(conv, dy, Values::Narrow(&weight), ValuesMut::Narrow(&mut narrow_dx));
                weight_gradient(conv, x, dy, &mut dw);
            });
            [y, dx, dw, widened(&narrow_y), widened(&narrow_dx)]
        };
        let got = run(1);
        for (got, want) in got.iter().zip([&want_y, &want_dx, &want_dw]) {
            assert_close(got, want, 1e-5, conv);
        }
        assert_close(&got[3], &want_y, 0.005, conv);
        assert_close(&got[4], &want_dx, 0.005, conv);
        for (first, again) in got.iter().zip(&run(3)) {
            let same = first.iter().zip(again).all(|(a, b)| a.to_bits() == b.to_bits());
            assert!(same, "{conv:?} with three threads has other bits");
        }
    }

    #[test]
    fn products_match_plain_loops() {
        let mut random = Random(5);
        chosen_shapes().iter().for_each(|conv| check(conv, &mut random));
        for _ in 0..30 {
            check(&random_conv(&mut random), &mut random);
        }
    }
}
