//! Batch norm on a GPU: sums over everything but the channel, then one pass over the elements.

use crate::dtype::DType;
use crate::error::Result;
use crate::ops::elementwise_gpu::{Expression, map};
use crate::ops::reduce_gpu::{Beside, Fold, SUM, fold, fold_beside};
use crate::shape::{Dims, Layout};
use crate::tensor::Tensor;

const CENTERED: Fold = Fold { name: "centered squares", value: "(x - v) * (x - v)", identity: "0.0", combine: "a + b" };
const PRODUCTS: Fold = Fold { name: "centered products", value: "y * (x - v)", identity: "0.0", combine: "a + b" };

/// Mean, variance, 1/σ and the normalised x.
pub struct Forward {
    pub mean: Tensor,
    pub variance: Tensor,
    pub inverse: Tensor,
    pub y: Tensor,
}

fn dims_but_channel(x: &Tensor) -> Vec<usize> {
    (0..x.ndim()).filter(|&d| d != 1).collect()
}

/// A vector [C] as it broadcasts over the channels of x.
fn along(vector: &Tensor, x: &Tensor) -> Result<Tensor> {
    let mut shape = Dims::from_elem(1, x.ndim());
    shape[1] = x.shape()[1];
    let mut strides = Dims::from_elem(0, x.ndim());
    strides[1] = vector.strides()[0];
    vector.alias(Layout { shape, strides, offset: vector.layout().offset })
}

fn flat(x: &Tensor) -> Result<Tensor> {
    x.alias(Layout { offset: x.layout().offset, ..Layout::contiguous(&[x.numel()]) })
}

fn of_one(name: &str, text: &str, constants: &[&str], values: &[f32], x: &Tensor) -> Result<Tensor> {
    map(&Expression { name, inputs: &["x"], constants, text }, values, &[x], DType::F32)
}

/// `given`: mean and variance to use instead of the batch's own.
pub fn forward(
    x: &Tensor,
    given: Option<(&Tensor, &Tensor)>,
    weight: Option<&Tensor>,
    bias: Option<&Tensor>,
    epsilon: f64,
) -> Result<Forward> {
    let (mean, variance) = match given {
        Some((mean, variance)) => {
            (crate::ops::movement::contiguous(mean)?, crate::ops::movement::contiguous(variance)?)
        }
        None => {
            let dims = dims_but_channel(x);
            let share = 1.0 / (x.numel() / x.shape()[1]) as f32;
            let scaled = |sum: &Tensor| of_one("scaled", "x * c", &["c"], &[share], &flat(sum)?);
            let mean = scaled(&fold(&SUM, x, &dims)?)?;
            let squares = fold_beside(&CENTERED, x, Beside { other: None, vector: Some(&mean) }, &dims)?;
            (mean, scaled(&squares)?)
        }
    };
    let inverse = of_one("inverse deviation", "1.0 / sqrt(x + e)", &["e"], &[epsilon as f32], &variance)?;
    let (m, i) = (along(&mean, x)?, along(&inverse, x)?);
    let w = weight.map(|w| along(w, x)).transpose()?;
    let b = bias.map(|b| along(b, x)).transpose()?;
    let (names, text): (&[&str], &str) = match (&w, &b) {
        (Some(_), Some(_)) => (&["x", "m", "i", "w", "b"], "(x - m) * (i * w) + b"),
        (Some(_), None) => (&["x", "m", "i", "w"], "(x - m) * (i * w)"),
        (None, Some(_)) => (&["x", "m", "i", "b"], "(x - m) * i + b"),
        (None, None) => (&["x", "m", "i"], "(x - m) * i"),
    };
    let inputs: Vec<&Tensor> = [x, &m, &i].into_iter().chain(&w).chain(&b).collect();
    let name = format!("normalised {}{}", w.is_some(), b.is_some());
    let y = map(&Expression { name: &name, inputs: names, constants: &[], text }, &[], &inputs, DType::F32)?;
    Ok(Forward { mean, variance, inverse, y })
}

/// Gradients of x, weight and bias. `own`: the batch's own statistics normalised, which the gradient goes through.
pub fn gradient(
    x: &Tensor,
    gradient: &Tensor,
    [mean, inverse]: [&Tensor; 2],
    weight: Option<&Tensor>,
    own: bool,
    needs: [bool; 3],
) -> Result<[Option<Tensor>; 3]> {
    let dims = dims_but_channel(x);
    let sums = if own || needs[2] { Some(flat(&fold(&SUM, gradient, &dims)?)?) } else { None };
    let products = if own || needs[1] {
        let beside = Beside { other: Some(gradient), vector: Some(mean) };
        Some(flat(&fold_beside(&PRODUCTS, x, beside, &dims)?)?)
    } else {
        None
    };
    let dx = match (needs[0], &sums, &products) {
        (false, ..) => None,
        (true, Some(sums), Some(products)) if own => {
            let share = 1.0 / (x.numel() / x.shape()[1]) as f32;
            let (m, i, s, q) = (along(mean, x)?, along(inverse, x)?, along(sums, x)?, along(products, x)?);
            let w = weight.map(|w| along(w, x)).transpose()?;
            let inputs: Vec<&Tensor> = [gradient, x, &m, &i, &s, &q].into_iter().chain(&w).collect();
            let (names, text): (&[&str], &str) = if w.is_some() {
                (&["g", "x", "m", "i", "s", "q", "w"], "(g - n * s - (x - m) * i * i * n * q) * (i * w)")
            } else {
                (&["g", "x", "m", "i", "s", "q"], "(g - n * s - (x - m) * i * i * n * q) * i")
            };
            let name = format!("gradient of normalised {}", w.is_some());
            Some(map(
                &Expression { name: &name, inputs: names, constants: &["n"], text },
                &[share],
                &inputs,
                DType::F32,
            )?)
        }
        _ => {
            let i = along(inverse, x)?;
            let w = weight.map(|w| along(w, x)).transpose()?;
            let inputs: Vec<&Tensor> = [gradient, &i].into_iter().chain(&w).collect();
            let (names, text): (&[&str], &str) =
                if w.is_some() { (&["g", "i", "w"], "g * (i * w)") } else { (&["g", "i"], "g * i") };
            let name = format!("scaled by channel {}", w.is_some());
            Some(map(&Expression { name: &name, inputs: names, constants: &[], text }, &[], &inputs, DType::F32)?)
        }
    };
    let dweight = match products {
        Some(products) if needs[1] => {
            let product = Expression { name: "mul", inputs: &["a", "b"], constants: &[], text: "a * b" };
            Some(map(&product, &[], &[&products, inverse], DType::F32)?)
        }
        _ => None,
    };
    Ok([dx, dweight, sums.filter(|_| needs[2])])
}

/// running ← (1 − momentum)·running + take·batch
pub fn update_running(running: &Tensor, batch: &Tensor, keep: f64, take: f64) -> Result<()> {
    crate::ops::update_gpu::change(running, batch, &[keep as f32, take as f32])
}
