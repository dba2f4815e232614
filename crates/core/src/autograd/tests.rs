//! Gradients through graphs: order, accumulation, versions, second gradients, memory.

use super::*;
use crate::ops::elementwise::{add, add_scalar, exp_, mul, mul_scalar, square};
use crate::ops::movement::{expand, reshape, to_dtype};
use crate::ops::reduce::sum;

fn leaf(values: &[f64]) -> Tensor {
    let x = Tensor::from_slice(values, &[values.len()]).unwrap();
    x.set_requires_grad(true).unwrap();
    x
}

fn grad(x: &Tensor) -> Vec<f64> {
    x.grad().expect("a gradient").to_vec().unwrap()
}

fn total(x: &Tensor) -> Tensor {
    sum(x, None, false).unwrap()
}

#[test]
fn a_value_used_twice_gets_both_gradients() {
    let x = leaf(&[2.0, 3.0]);
    let y = square(&x).unwrap();
    backward(&total(&mul(&y, &add(&y, &x).unwrap()).unwrap()), None, Options::default()).unwrap();
    // d/dx (x⁴ + x³)
    assert_eq!(grad(&x), [4.0 * 8.0 + 3.0 * 4.0, 4.0 * 27.0 + 3.0 * 9.0]);
}

#[test]
fn gradients_accumulate_until_they_are_taken_away() {
    let x = leaf(&[1.0, 2.0]);
    for _ in 0..3 {
        backward(&total(&mul_scalar(&x, 2.0).unwrap()), None, Options::default()).unwrap();
    }
    assert_eq!(grad(&x), [6.0, 6.0]);
    x.set_grad(None).unwrap();
    assert!(x.grad().is_none());
}

#[test]
fn stored_gradients_share_memory_with_nothing() {
    let (a, b) = (leaf(&[1.0, 2.0]), leaf(&[3.0, 4.0]));
    let seed = Tensor::from_slice(&[1.0, 1.0], &[2]).unwrap();
    backward(&add(&a, &b).unwrap(), Some(&seed), Options::default()).unwrap();
    let c = leaf(&[5.0, 6.0]);
    backward(&c, Some(&seed), Options::default()).unwrap();
    let d = leaf(&[5.0, 6.0]);
    backward(&total(&reshape(&expand(&d, &[3, 2]).unwrap(), &[-1]).unwrap()), None, Options::default()).unwrap();
    a.grad().unwrap().update::<f64, _>(|g| g.fill(100.0)).unwrap();
    assert_eq!((grad(&b), grad(&c), grad(&d)), (vec![1.0, 1.0], vec![1.0, 1.0], vec![3.0, 3.0]));
    assert_eq!(seed.to_vec::<f64>().unwrap(), [1.0, 1.0]);
    d.grad().unwrap().update::<f64, _>(|g| g.fill(7.0)).unwrap();
}

#[test]
fn nothing_is_recorded_without_gradients() {
    let x = leaf(&[1.0]);
    let y = no_grad(|| square(&x).unwrap());
    assert!(!y.requires_grad() && is_enabled());
    assert!(!square(&x.detach().unwrap()).unwrap().requires_grad());
    let error = backward(&y, None, Options::default()).unwrap_err();
    assert_eq!(error.code(), "ERR_AUTOGRAD");
    // Recording comes back after a panic too.
    let _ = std::panic::catch_unwind(|| no_grad(|| panic!("on purpose")));
    assert!(is_enabled());
}

#[test]
fn a_second_walk_needs_the_graph_to_be_kept() {
    let x = leaf(&[2.0]);
    let y = square(&x).unwrap();
    let keep = Options { retain_graph: true, create_graph: false };
    backward(&y, None, keep).unwrap();
    backward(&y, None, Options::default()).unwrap();
    assert_eq!(grad(&x), [8.0]);
    let error = backward(&y, None, Options::default()).unwrap_err();
    assert_eq!(error.code(), "ERR_AUTOGRAD");
    assert!(error.message().contains("square") && error.message().contains("retainGraph"), "{error}");
}

#[test]
fn a_saved_value_that_was_overwritten_is_noticed() {
    let x = leaf(&[2.0]);
    let y = mul(&x, &x).unwrap();
    x.update::<f64, _>(|v| v[0] = 5.0).unwrap();
    let error = backward(&y, None, Options::default()).unwrap_err();
    assert_eq!(error.code(), "ERR_AUTOGRAD");
    assert!(error.message().contains("in place"), "{error}");
    // A view has the storage, hence the version, of what it looks at.
    let x = leaf(&[2.0, 3.0]);
    let y = exp_(&reshape(&x, &[2, 1]).unwrap()).unwrap();
    let z = square(&reshape(&x, &[2, 1]).unwrap()).unwrap();
    x.update::<f64, _>(|v| v[0] = 5.0).unwrap();
    assert!(backward(&total(&y), None, Options::default()).is_ok(), "exp needs its result only");
    assert!(backward(&total(&z), None, Options::default()).is_err());
}

#[test]
fn gradients_of_gradients() {
    let x = leaf(&[2.0, -1.0]);
    let y = mul(&mul(&x, &x).unwrap(), &x).unwrap();
    let graph = Options { create_graph: true, ..Options::default() };
    backward(&total(&y), None, graph).unwrap();
    let first = x.grad().unwrap();
    x.set_grad(None).unwrap();
    assert_eq!(first.to_vec::<f64>().unwrap(), [12.0, 3.0]);
    // Third: 6x, then 6.
    backward(&total(&first), None, graph).unwrap();
    let second = x.grad().unwrap();
    x.set_grad(None).unwrap();
    assert_eq!(second.to_vec::<f64>().unwrap(), [12.0, -6.0]);
    backward(&total(&second), None, Options::default()).unwrap();
    assert_eq!(grad(&x), [6.0, 6.0]);
}

#[test]
fn gradients_go_through_conversions() {
    let x = leaf(&[2.0, 3.0]);
    let y = to_dtype(&square(&to_dtype(&x, DType::F32).unwrap()).unwrap(), DType::F64).unwrap();
    backward(&total(&y), None, Options::default()).unwrap();
    assert_eq!(grad(&x), [4.0, 6.0]);
    let integers = to_dtype(&x, DType::I64).unwrap();
    assert!(!integers.requires_grad());
    assert_eq!(integers.set_requires_grad(true).unwrap_err().code(), "ERR_AUTOGRAD");
}

#[test]
fn a_chain_of_many_operations_is_walked_and_freed_in_a_loop() {
    let x = leaf(&[1.0]);
    let run = || {
        let mut y = x.clone();
        for k in 0..100_000 {
            // Every other operation saves its input, so that both ways of holding the chain are met.
            y = if k % 2 == 0 { add_scalar(&y, 0.0).unwrap() } else { mul(&y, &y).unwrap() };
        }
        y
    };
    // A test's stack is 2 MiB: one frame a link would overflow it.
    drop(run());
    backward(&run(), None, Options::default()).unwrap();
    assert!(grad(&x)[0].is_infinite());
    let depth = crate::scope::enter();
    let y = run();
    crate::scope::exit(depth, std::slice::from_ref(&y)).unwrap();
    assert_eq!(y.to_scalar().unwrap(), 1.0);
}

#[test]
fn wrong_seeds_are_refused() {
    let x = leaf(&[1.0, 2.0]);
    let y = square(&x).unwrap();
    assert_eq!(backward(&y, None, Options::default()).unwrap_err().code(), "ERR_SHAPE");
    let wrong = Tensor::zeros(&[3], DType::F64).unwrap();
    assert_eq!(backward(&y, Some(&wrong), Options::default()).unwrap_err().code(), "ERR_SHAPE");
    let wrong = Tensor::zeros(&[2], DType::F32).unwrap();
    assert_eq!(backward(&y, Some(&wrong), Options::default()).unwrap_err().code(), "ERR_SHAPE");
}

#[test]
fn a_kernel_run_once_refuses_a_second_derivative() {
    let x = leaf(&[2.0]);
    let y = crate::op::once_one("kernel", &[&x], |inputs| square(inputs[0])).unwrap();
    assert!(y.requires_grad());
    let error = backward(&y, None, Options::default()).unwrap_err();
    assert_eq!(error.code(), "ERR_UNSUPPORTED");
    assert!(error.message().contains("kernel"));
}
