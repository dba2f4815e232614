//! Batch norm beyond its cases: running statistics, orders of memory, errors, and that the rectified form changes no bit.

use super::*;
use crate::dtype::DType;
use crate::ops::elementwise;

pub fn cases() -> Vec<crate::ops::suite::Case> {
    use crate::ops::norm::reference;
    use crate::ops::suite::*;
    fn options<'a>(weight: Option<&'a Tensor>, bias: Option<&'a Tensor>) -> BatchNormOptions<'a> {
        BatchNormOptions { running: None, weight, bias, training: true, momentum: 0.1, epsilon: 1e-3 }
    }
    let train = |t: &[Tensor]| batch_norm(&t[0], options(t.get(1), t.get(2)));
    let eval = |t: &[Tensor]| {
        let running = Some((&t[1], &t[2]));
        batch_norm(&t[0], BatchNormOptions { running, training: false, ..options(t.get(3), t.get(4)) })
    };
    let batch = |a: &[Array]| reference(a, true, 1e-3, |i| i[1], |i| i[1]);
    vec![
        case("batchNorm", "of features", [normal(&[7, 3]), normal(&[3]), normal(&[3])], train).equals(batch),
        case("batchNorm", "of features, plain", [normal(&[7, 3])], train).equals(batch),
        case("batchNorm", "of sequences", [normal(&[2, 3, 4]), normal(&[3]), normal(&[3])], train).equals(batch),
        case("batchNorm", "of images", [normal(&[2, 3, 4, 5]), normal(&[3]), normal(&[3])], train).equals(batch),
        case("batchNorm", "of images, channels last", [normal(&[2, 3, 4, 5]), normal(&[3]), normal(&[3])], |t| {
            batch_norm(&movement::channels_last(&t[0])?, options(t.get(1), t.get(2)))
        })
        .equals(batch),
        case("batchNorm", "without bias", [normal(&[7, 3]), normal(&[3])], train).equals(batch),
        case("batchNorm", "without weight", [normal(&[7, 3]), normal(&[3])], |t| {
            batch_norm(&t[0], options(None, t.get(1)))
        }),
        case("batchNorm", "many rows", [normal(&[1500, 3])], train).equals(batch),
        case(
            "batchNorm",
            "eval",
            [normal(&[2, 3, 4]), normal(&[3]).constant(), positive(&[3]).constant(), normal(&[3]), normal(&[3])],
            eval,
        )
        .equals(|a| {
            let one = |k: usize, c: usize| {
                (a[0].values[k] - a[1].values[c]) / (a[2].values[c] + 1e-3).sqrt() * a[3].values[c] + a[4].values[c]
            };
            let inner = a[0].shape[2];
            (0..a[0].values.len()).map(|k| one(k, k / inner % a[0].shape[1])).collect()
        }),
        case("batchNormRelu", "of images", [normal(&[2, 3, 4, 5]), normal(&[3]), normal(&[3])], |t| {
            batch_norm_relu(&t[0], None, options(t.get(1), t.get(2)))
        })
        .equals(move |a| batch(a).into_iter().map(|y| y.max(0.0)).collect()),
        case("batchNormRelu", "plain", [normal(&[7, 3])], |t| batch_norm_relu(&t[0], None, options(None, None)))
            .equals(move |a| batch(a).into_iter().map(|y| y.max(0.0)).collect()),
        case(
            "batchNormRelu",
            "channels last with a residual",
            [normal(&[2, 3, 4, 5]), normal(&[3]), normal(&[3]), normal(&[2, 3, 4, 5])],
            |t| batch_norm_relu(&movement::channels_last(&t[0])?, Some(&t[3]), options(t.get(1), t.get(2))),
        )
        .equals(move |a| batch(&a[..3]).into_iter().zip(&a[3].values).map(|(y, r)| (y + r).max(0.0)).collect()),
        case(
            "batchNormRelu",
            "eval",
            [normal(&[2, 3, 4]), normal(&[3]).constant(), positive(&[3]).constant(), normal(&[3]), normal(&[3])],
            |t| {
                let running = Some((&t[1], &t[2]));
                let options = BatchNormOptions { running, training: false, ..options(t.get(3), t.get(4)) };
                batch_norm_relu(&t[0], None, options)
            },
        ),
        case("batchNorm", "eval, plain", [normal(&[2, 3]), normal(&[3]).constant(), positive(&[3]).constant()], eval),
    ]
}

fn options<'a>(running: Option<(&'a Tensor, &'a Tensor)>, training: bool) -> BatchNormOptions<'a> {
    BatchNormOptions { running, weight: None, bias: None, training, momentum: 0.25, epsilon: 1e-5 }
}

#[test]
fn running_statistics_take_the_unbiased_variance() {
    let x = Tensor::from_slice(&[1.0f64, 10.0, 3.0, 10.0, 5.0, 16.0], &[3, 2]).unwrap();
    let mean = Tensor::from_slice(&[4.0f64, 0.0], &[2]).unwrap();
    let variance = Tensor::from_slice(&[1.0f64, 2.0], &[2]).unwrap();
    batch_norm(&x, options(Some((&mean, &variance)), true)).unwrap();
    assert_eq!(mean.to_vec::<f64>().unwrap(), [0.75 * 4.0 + 0.25 * 3.0, 0.25 * 12.0]);
    assert_eq!(variance.to_vec::<f64>().unwrap(), [0.75 + 0.25 * 4.0, 1.5 + 0.25 * 12.0]);
    let before = variance.to_vec::<f64>().unwrap();
    batch_norm(&x, options(Some((&mean, &variance)), false)).unwrap();
    batch_norm(&Tensor::zeros(&[0, 2], DType::F64).unwrap(), options(Some((&mean, &variance)), true)).unwrap();
    assert_eq!(variance.to_vec::<f64>().unwrap(), before);
}

#[test]
fn a_large_mean_does_not_eat_the_variance() {
    // E[x²] − E[x]² in float32 would give garbage here: 10⁸ ± 1.
    for shape in [&[4096, 3][..], &[16, 3, 256]] {
        let n: usize = shape.iter().product();
        let values: Vec<f32> = (0..n).map(|i| 10_000.0 + (i * 7919 % 1000) as f32 / 1000.0).collect();
        let y = batch_norm(&Tensor::from_slice(&values, shape).unwrap(), options(None, true)).unwrap();
        let y = y.to_vec::<f32>().unwrap();
        let square: f64 = y.iter().map(|&v| v as f64 * v as f64).sum::<f64>() / n as f64;
        assert!((square - 1.0).abs() < 1e-3, "variance {square}");
    }
}

#[test]
fn channels_last_stays_and_equals_row_major() {
    let values: Vec<f32> = (0..2 * 5 * 3 * 4).map(|i| (i as f32 * 0.7).sin()).collect();
    let x = Tensor::from_slice(&values, &[2, 5, 3, 4]).unwrap();
    let plain = batch_norm(&x, options(None, true)).unwrap();
    let last = batch_norm(&movement::channels_last(&x).unwrap(), options(None, true)).unwrap();
    assert!(last.is_channels_last() && plain.is_contiguous());
    for (a, b) in plain.to_vec::<f32>().unwrap().iter().zip(last.to_vec::<f32>().unwrap()) {
        assert!((a - b).abs() < 1e-5);
    }
}

#[test]
fn one_value_a_channel_and_missing_statistics_are_errors() {
    let x = Tensor::zeros(&[1, 3], DType::F32).unwrap();
    let error = batch_norm(&x, options(None, true)).unwrap_err();
    assert_eq!(error.code(), "ERR_SHAPE");
    assert!(error.message().contains("[1, 3]"));
    assert_eq!(batch_norm(&x, options(None, false)).unwrap_err().code(), "ERR_ARGUMENT");
}

/// Values and gradients of the operation and of its three parts; a rectified one is made of them where it is watched.
#[test]
fn rectified_is_bit_for_bit_the_composition() {
    let numbers = |shape: &[usize], seed: f32| {
        let n: usize = shape.iter().product();
        let values: Vec<f32> = (0..n).map(|i| ((i as f32 + seed) * 0.7).sin()).collect();
        let t = Tensor::from_slice(&values, shape).unwrap();
        t.set_requires_grad(true).unwrap();
        t
    };
    for last in [false, true] {
        for (with_residual, training) in [(false, true), (true, true), (false, false), (true, false)] {
            let run = |fused: bool| -> Vec<Vec<f32>> {
                let [x, residual] = [1.0, 2.0].map(|seed| numbers(&[3, 16, 5, 4], seed));
                let [weight, bias] = [3.0, 4.0].map(|seed| numbers(&[16], seed));
                let [mean, variance] = [5.0, 6.0].map(|seed| numbers(&[16], seed).detach().unwrap());
                let variance = elementwise::square(&variance).unwrap();
                let arranged = if last { movement::channels_last(&x).unwrap() } else { x.clone() };
                let options = BatchNormOptions {
                    weight: Some(&weight),
                    bias: Some(&bias),
                    ..options(Some((&mean, &variance)), training)
                };
                let added = with_residual.then_some(&residual);
                let y = if fused {
                    batch_norm_relu(&arranged, added, options).unwrap()
                } else {
                    let y = batch_norm(&arranged, options).unwrap();
                    let y = added.map_or_else(|| Ok(y.clone()), |r| elementwise::add(&y, r)).unwrap();
                    elementwise::relu(&y).unwrap()
                };
                let upstream = numbers(&[3, 16, 5, 4], 9.0).detach().unwrap();
                autograd::backward(&y, Some(&upstream), autograd::Options::default()).unwrap();
                let gradients = [&x, &weight, &bias].into_iter().chain(added).map(|t| t.grad().unwrap());
                gradients.chain([y, mean, variance]).map(|t| t.to_vec::<f32>().unwrap()).collect()
            };
            assert_eq!(run(true), run(false), "channels last {last}, residual {with_residual}, training {training}");
        }
    }
}

#[test]
fn a_residual_of_another_shape_is_an_error() {
    let [x, residual] = [[2, 3, 4, 4], [2, 3, 4, 1]].map(|shape| Tensor::zeros(&shape, DType::F32).unwrap());
    let error = batch_norm_relu(&x, Some(&residual), options(None, true)).unwrap_err();
    assert_eq!(error.code(), "ERR_SHAPE");
    assert!(error.message().contains("[2, 3, 4, 1]") && error.message().contains("[2, 3, 4, 4]"));
}

#[test]
fn bfloat16_is_widened_as_it_is_read_and_its_gradient_rounded_as_it_is_written() {
    let wide = |t: &Tensor| movement::to_dtype(&t.detach().unwrap(), DType::F32).unwrap();
    let number = |i: usize| ((i * 37 + 11) % 101) as f32 / 16.0 - 3.0;
    let numbers = |n: usize| (0..n).map(number).collect::<Vec<f32>>();
    let (weight, bias) =
        (Tensor::from_slice(&numbers(19), &[19]).unwrap(), Tensor::full(&[19], 0.5, DType::F32).unwrap());
    let running = (Tensor::full(&[19], 0.25, DType::F32).unwrap(), Tensor::full(&[19], 2.0, DType::F32).unwrap());
    let shape = [6, 19, 9, 7];
    let all: Vec<f32> = numbers(6 * 19 * 63);
    for (channels_last, training, residual, rectified) in [
        (true, true, false, true),
        (true, true, true, true),
        (false, true, false, false),
        (true, false, false, true),
        (false, false, false, false),
    ] {
        let narrow = movement::to_dtype(&Tensor::from_slice(&all, &shape).unwrap(), DType::BF16).unwrap();
        let narrow = if channels_last { movement::channels_last(&narrow).unwrap() } else { narrow };
        let residual = residual.then(|| Tensor::from_slice(&numbers(all.len()), &shape).unwrap());
        let run = |x: &Tensor| {
            let (x, weight, bias) = (x.detach().unwrap(), weight.detach().unwrap(), bias.detach().unwrap());
            [&x, &weight, &bias].iter().for_each(|t| t.set_requires_grad(true).unwrap());
            let running = (movement::copy(&running.0).unwrap(), movement::copy(&running.1).unwrap());
            let options = BatchNormOptions {
                running: Some((&running.0, &running.1)),
                weight: Some(&weight),
                bias: Some(&bias),
                training,
                momentum: 0.1,
                epsilon: 1e-5,
            };
            let before = autocast::set(Some(DType::BF16)).unwrap();
            let y = if rectified { batch_norm_relu(&x, residual.as_ref(), options) } else { batch_norm(&x, options) };
            autocast::set(before).unwrap();
            let y = y.unwrap();
            autograd::backward(&y, Some(&mul(&y.detach().unwrap(), &y.detach().unwrap()).unwrap()), Default::default())
                .unwrap();
            let [dx, dw, db] = [x, weight, bias].map(|t| t.grad().unwrap());
            (y.detach().unwrap(), dx, [dw, db, running.0, running.1].map(|t| t.to_vec::<f32>().unwrap()))
        };
        let (found, expected) = (run(&narrow), run(&wide(&narrow)));
        assert_eq!((found.0.dtype(), found.1.dtype()), (DType::F32, DType::BF16));
        assert_eq!(found.0.to_vec::<f32>().unwrap(), expected.0.to_vec::<f32>().unwrap());
        let rounded = movement::to_dtype(&expected.1, DType::BF16).unwrap();
        assert_eq!(wide(&found.1).to_vec::<f32>().unwrap(), wide(&rounded).to_vec::<f32>().unwrap());
        assert_eq!(found.2, expected.2);
    }
    let half = Tensor::full(&[3], 1.0, DType::BF16).unwrap();
    let x = Tensor::full(&[4, 3], 1.0, DType::BF16).unwrap();
    let options = BatchNormOptions { weight: None, bias: None, ..options(Some((&half, &half)), true) };
    assert_eq!(batch_norm(&x, options).unwrap_err().code(), "ERR_DTYPE");
}
