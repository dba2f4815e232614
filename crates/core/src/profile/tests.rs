//! What the profile counts: every operation once, with its arithmetic, in the phase it ran in.

use super::*;
use crate::autograd;
use crate::dtype::DType;
use crate::ops::conv::{ConvOptions, Padding, conv2d};
use crate::ops::matmul::{linear, matmul};
use crate::ops::movement::transpose;
use crate::ops::reduce::sum;
use crate::ops::update::{SgdStep, sgd};

fn ones(shape: &[usize], requires_grad: bool) -> Tensor {
    let tensor = Tensor::full(shape, 1.0, DType::F32).unwrap();
    tensor.set_requires_grad(requires_grad).unwrap();
    tensor
}

/// What `run` left in the profile, and the seconds it took.
fn profiled(run: impl FnOnce()) -> (Vec<(Key, Counts)>, f64) {
    take();
    set_on(true);
    let start = Instant::now();
    run();
    let wall = start.elapsed().as_secs_f64();
    assert!(set_on(false));
    (take(), wall)
}

fn find<'a>(entries: &'a [(Key, Counts)], name: &str, phase: Phase, within: Option<&str>) -> &'a (Key, Counts) {
    let wanted = |key: &Key| key.name == name && key.phase == phase && key.within == within;
    entries.iter().find(|(key, _)| wanted(key)).unwrap_or_else(|| panic!("{name} {phase:?} {within:?} in {entries:?}"))
}

#[test]
fn nothing_is_counted_while_it_is_off() {
    take();
    matmul(&ones(&[2, 3], false), &ones(&[3, 4], false)).unwrap();
    assert_eq!(take(), []);
}

#[test]
fn a_linear_layer_forward_backward_and_its_update() {
    let (x, w) = (ones(&[5, 3], true), ones(&[4, 3], true));
    let (entries, wall) = profiled(|| {
        let loss = sum(&linear(&x, &w, None).unwrap(), None, false).unwrap();
        autograd::backward(&loss, None, autograd::Options::default()).unwrap();
        let o = SgdStep { lr: 0.1, momentum: 0.0, dampening: 0.0, weight_decay: 0.0, nesterov: false, maximize: false };
        sgd(&[&w], &[], &[1], &o).unwrap();
    });
    let (key, forward) = find(&entries, "linear", Phase::Forward, None);
    assert_eq!(key.shapes, "5x3 4x3");
    assert_eq!((forward.calls, forward.operations), (1, 2 * 5 * 3 * 4));
    assert_eq!(forward.bytes, 4 * (5 * 3 + 4 * 3 + 5 * 4));
    // Both gradients are products, counted as such and not a second time in the layer's own backward pass.
    let products: Vec<_> =
        entries.iter().filter(|(key, _)| key.name == "matmul" && key.within == Some("linear")).collect();
    assert_eq!(products.iter().map(|(_, counts)| counts.operations).sum::<u64>(), 2 * 2 * 5 * 3 * 4);
    assert!(products.iter().all(|(key, _)| key.phase == Phase::Backward));
    assert_eq!(find(&entries, "linear", Phase::Backward, None).1.operations, 0);
    let (key, update) = find(&entries, "sgdStep", Phase::Update, None);
    assert_eq!((key.shapes.as_str(), update.calls, update.bytes), ("1 tensors", 1, 4 * 3 * 12));
    let total: f64 = entries.iter().map(|(_, counts)| counts.seconds).sum();
    assert!(total > 0.0 && total <= wall, "{total} of {wall}");
}

#[test]
fn a_convolution_meets_the_filter_at_each_pixel_of_its_result() {
    let (x, w) = (ones(&[2, 3, 8, 8], true), ones(&[4, 3, 3, 3], true));
    let options = ConvOptions { stride: [2, 2], padding: Padding::Both([1, 1]), ..ConvOptions::default() };
    let (entries, _) = profiled(|| {
        let loss = sum(&conv2d(&x, &w, None, options).unwrap(), None, false).unwrap();
        autograd::backward(&loss, None, autograd::Options::default()).unwrap();
    });
    let once = 2 * (2 * 4 * 4) * 4 * (3 * 9);
    assert_eq!(find(&entries, "conv2d", Phase::Forward, None).1.operations, once);
    for gradient in ["convTranspose2d", "conv2dFilterGradient"] {
        assert_eq!(find(&entries, gradient, Phase::Backward, Some("conv2d")).1.operations, once);
    }
}

#[test]
fn a_view_moves_no_bytes_and_an_error_is_counted_as_a_call() {
    let x = ones(&[2, 3], false);
    let (entries, _) = profiled(|| {
        transpose(&x, 0, 1).unwrap();
        autograd::backward(&x, None, autograd::Options::default()).unwrap_err();
        matmul(&x, &x).unwrap_err();
    });
    assert!(entries.iter().all(|(_, counts)| counts.bytes == 0), "{entries:?}");
    // Whatever failed has left no frame open: the next operation is an outermost one.
    let (entries, _) = profiled(|| drop(matmul(&x, &ones(&[3, 2], false)).unwrap()));
    assert_eq!(entries.iter().map(|(key, _)| key.within).collect::<Vec<_>>(), vec![None; entries.len()]);
}
