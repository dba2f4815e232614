//! Training steps leave memory as they found it. A process of its own: the counters count every tensor in it.

use stable_pretraining_core::autograd::{Options, backward};
use stable_pretraining_core::dtype::DType;
use stable_pretraining_core::ops::elementwise::{add, exp_, mul, mul_scalar};
use stable_pretraining_core::ops::reduce::sum;
use stable_pretraining_core::storage::{memory_statistics, release_pool, reset_peak};
use stable_pretraining_core::tensor::Tensor;
use stable_pretraining_core::{autograd, scope};

fn step(weight: &Tensor, rows: usize) {
    let depth = scope::enter();
    let x = Tensor::full(&[rows, 300], 0.5, DType::F32).unwrap();
    let y = exp_(&mul(&x, weight).unwrap()).unwrap();
    let loss = sum(&add(&y, &x).unwrap(), None, false).unwrap();
    backward(&loss, None, Options::default()).unwrap();
    let gradient = weight.grad().unwrap();
    let change = autograd::no_grad(|| mul_scalar(&gradient, 1e-6)).unwrap().to_vec::<f32>().unwrap();
    weight.update::<f32, _>(|w| w.iter_mut().zip(&change).for_each(|(w, c)| *w -= c)).unwrap();
    weight.set_grad(None).unwrap();
    scope::exit(depth, &[]).unwrap();
}

#[test]
fn a_thousand_steps_leave_live_memory_flat() {
    let weight = Tensor::full(&[300], 0.1, DType::F32).unwrap();
    weight.set_requires_grad(true).unwrap();
    step(&weight, 64);
    let before = memory_statistics();
    for k in 0..1000 {
        step(&weight, 1 + k % 64);
    }
    let after = memory_statistics();
    assert_eq!((after.live_buffers, after.live_bytes), (before.live_buffers, before.live_bytes));
    assert!(after.pooled_bytes <= after.peak_bytes.max(1 << 20), "{after:?}");

    // What waits is used again: the same step needs no more than it held at once.
    reset_peak();
    step(&weight, 64);
    assert!(memory_statistics().peak_bytes <= before.peak_bytes);
    release_pool();
    assert_eq!(memory_statistics().pooled_bytes, 0);
    drop(weight);
    assert_eq!(memory_statistics().live_buffers, 0);
}
