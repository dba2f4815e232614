//! The rules against plain loops, at the ends of blocks and chunks, on any number of threads; and what is refused.

use super::*;

fn parameter(values: &[f32], gradient: &[f32]) -> Tensor {
    let p = Tensor::from_slice(values, &[values.len()]).unwrap();
    p.set_grad(Some(Tensor::from_slice(gradient, &[gradient.len()]).unwrap())).unwrap();
    p
}

fn ramp(length: usize, scale: f32) -> Vec<f32> {
    (0..length).map(|i| scale * ((i % 17) as f32 - 7.5)).collect()
}

const SGD: SgdStep =
    SgdStep { lr: 0.1, momentum: 0.9, dampening: 0.25, weight_decay: 0.01, nesterov: true, maximize: false };

#[test]
fn sgd_follows_the_plain_loop_over_block_and_chunk_ends() {
    for length in [0, 1, 63, 64, 65, CHUNK, CHUNK + 3] {
        let (start, gradient) = (ramp(length, 0.5), ramp(length, -0.25));
        let p = parameter(&start, &gradient);
        let b = p.zeros_like().unwrap();
        let (mut expected, mut momentum) = (start.clone(), vec![0.0f32; length]);
        for step in 1..=3u32 {
            sgd(&[&p], &[&b], &[step], &SGD).unwrap();
            for i in 0..length {
                let g = gradient[i] + 0.01 * expected[i];
                momentum[i] = if step == 1 { g } else { 0.9 * momentum[i] + 0.75 * g };
                expected[i] -= 0.1 * (g + 0.9 * momentum[i]);
            }
        }
        for (got, want) in p.slice::<f32>().iter().zip(&expected) {
            assert!((got - want).abs() <= 1e-5 * want.abs().max(1.0), "{got} {want}");
        }
    }
}

#[test]
fn climbing_turns_the_gradient_and_not_the_weight_decay() {
    let p = parameter(&[1.0], &[1.0]);
    let options = SgdStep { momentum: 0.0, weight_decay: 0.5, nesterov: false, maximize: true, ..SGD };
    sgd(&[&p], &[], &[1], &options).unwrap();
    // 1 − 0.1 · (−1 + 0.5 · 1), as torch has it.
    assert!((p.slice::<f32>()[0] - 1.05).abs() < 1e-6);
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let before = crate::cpu::threads::num_threads();
    let results: Vec<Vec<u32>> = [1, 2, 5]
        .map(|threads| {
            crate::cpu::threads::set_num_threads(threads);
            let p = parameter(&ramp(100_003, 0.3), &ramp(100_003, 0.7));
            let b = p.zeros_like().unwrap();
            let options = LarsStep {
                lr: 0.1,
                momentum: 0.9,
                dampening: 0.0,
                weight_decay: 1e-4,
                nesterov: false,
                eta: 0.02,
                eps: 1e-8,
                clip_lr: true,
                exclude_bias_n_norm: false,
            };
            lars(&[&p], &[&b], &[1], &options).unwrap();
            lars(&[&p], &[&b], &[2], &options).unwrap();
            p.slice::<f32>().iter().map(|v| v.to_bits()).collect()
        })
        .into();
    crate::cpu::threads::set_num_threads(before);
    assert_eq!(results[0], results[1]);
    assert_eq!(results[0], results[2]);
}

#[test]
fn what_cannot_be_updated_is_refused() {
    let p = parameter(&[1.0, 2.0], &[0.5, 0.5]);
    let bare = Tensor::from_slice(&[1.0f32], &[1]).unwrap();
    let narrow = Tensor::from_slice(&[0.0f32], &[1]).unwrap();
    let cases = [
        (sgd(&[&bare], &[&narrow], &[2], &SGD), "no gradient"),
        (sgd(&[&p], &[&narrow], &[2], &SGD), "state 0 is [1]"),
        (sgd(&[&p], &[&p], &[2], &SGD), "shares memory"),
        (sgd(&[&p], &[], &[2], &SGD), "0 momentum buffers for 1"),
        (sgd(&[&p], &[&p], &[], &SGD), "0 steps for 1"),
    ];
    for (result, part) in cases {
        let message = result.expect_err(part).to_string();
        assert!(message.contains(part), "{message}");
    }
    assert_eq!(p.slice::<f32>(), [1.0, 2.0]);
}

#[test]
fn gradients_in_another_memory_order_are_brought_to_the_parameters() {
    let values: Vec<f32> = (0..24).map(|i| i as f32).collect();
    let p = Tensor::zeros(&[2, 3, 2, 2], DType::F32).unwrap();
    let g = Tensor::from_slice(&values, &[2, 3, 2, 2]).unwrap();
    p.set_grad(Some(g.channels_last().unwrap())).unwrap();
    let plain = SgdStep { momentum: 0.0, nesterov: false, weight_decay: 0.0, lr: 1.0, ..SGD };
    sgd(&[&p], &[], &[1], &plain).unwrap();
    let negative: Vec<f32> = values.iter().map(|v| -v).collect();
    assert_eq!(p.slice::<f32>(), negative);
}

#[test]
fn clipping_scales_to_the_limit_and_leaves_small_gradients_alone() {
    let (a, b) = (parameter(&[0.0], &[3.0]), parameter(&[0.0], &[4.0]));
    assert_eq!(clip_gradient_norm(&[&a, &b], 10.0).unwrap(), 5.0);
    assert_eq!(a.grad().unwrap().slice::<f32>(), [3.0]);
    assert_eq!(clip_gradient_norm(&[&a, &b], 1.0).unwrap(), 5.0);
    assert!((gradient_norm(&[&a, &b]).unwrap() - 1.0).abs() < 1e-5);
    clip_gradient_values(&[&a, &b], 0.7).unwrap();
    assert_eq!(b.grad().unwrap().slice::<f32>(), [0.7]);
}

#[test]
fn averages_of_integers_cut_the_coefficient() {
    let (target, source) = (Tensor::scalar(5i64).unwrap(), Tensor::scalar(9i64).unwrap());
    ema(&[&target], &[&source], 0.996).unwrap();
    assert_eq!(target.slice::<i64>(), [0]);
}
