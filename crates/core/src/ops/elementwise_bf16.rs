//! The rows of `elementwise` that training in mixed precision spends time on, over bfloat16 in memory: computed in float32 and
//! rounded once, without float32 copies in between. All other rows go by way of `op::apply`.

use crate::dtype::DType;
use crate::error::Result;
use crate::half::Bf16;
use crate::ops::elementwise::{
    Add, Binary, GeluExact, GeluTanh, Mul, MulScalar, Relu, Silu, Unary, map_same, map_tensors, not_float,
};
use crate::tensor::Tensor;

/// Whether the row of that name has a loop here, and all its inputs are bfloat16.
pub(crate) fn is_native(name: &str, inputs: &[&Tensor]) -> bool {
    let here = matches!(name, "relu" | "gelu_exact" | "gelu_tanh" | "silu" | "mul_scalar" | "add" | "mul");
    here && inputs.iter().all(|t| t.dtype() == DType::BF16)
}

pub(crate) fn unary(name: &str, x: &Tensor, constants: [f64; 2]) -> Result<Tensor> {
    match name {
        "relu" => forward::<Relu>(x, constants),
        "gelu_exact" => forward::<GeluExact>(x, constants),
        "gelu_tanh" => forward::<GeluTanh>(x, constants),
        "silu" => forward::<Silu>(x, constants),
        "mul_scalar" => forward::<MulScalar>(x, constants),
        other => Err(not_float(other, DType::BF16)),
    }
}

/// Inputs: what the row keeps, then the gradient.
pub(crate) fn gradient(name: &str, inputs: &[&Tensor], constants: [f64; 2]) -> Result<Tensor> {
    match name {
        "relu" => of_result::<Relu>(inputs, constants),
        "gelu_exact" => of_input::<GeluExact>(inputs, constants),
        "gelu_tanh" => of_input::<GeluTanh>(inputs, constants),
        "silu" => of_input::<Silu>(inputs, constants),
        "mul_scalar" => forward::<MulScalar>(inputs[0], constants),
        other => Err(not_float(other, DType::BF16)),
    }
}

pub(crate) fn binary(name: &str, a: &Tensor, b: &Tensor) -> Result<Tensor> {
    match name {
        "add" => both::<Add>(a, b),
        "mul" => both::<Mul>(a, b),
        other => Err(not_float(other, DType::BF16)),
    }
}

fn forward<F: Unary>(x: &Tensor, constants: [f64; 2]) -> Result<Tensor> {
    let c = constants.map(|v| v as f32);
    map_same::<Bf16, 1, true>(
        &[x],
        #[inline(always)]
        move |[x]| Bf16::from_f32(F::f32(x.to_f32(), c)),
    )
}

/// For rows that keep their result.
fn of_result<F: Unary>(inputs: &[&Tensor], constants: [f64; 2]) -> Result<Tensor> {
    let c = constants.map(|v| v as f32);
    map_same::<Bf16, 2, true>(
        inputs,
        #[inline(always)]
        move |[y, g]| Bf16::from_f32(F::grad_f32(0.0, y.to_f32(), g.to_f32(), c)),
    )
}

/// For rows that keep their input.
fn of_input<F: Unary>(inputs: &[&Tensor], constants: [f64; 2]) -> Result<Tensor> {
    let c = constants.map(|v| v as f32);
    map_same::<Bf16, 2, true>(
        inputs,
        #[inline(always)]
        move |[x, g]| Bf16::from_f32(F::grad_f32(x.to_f32(), 0.0, g.to_f32(), c)),
    )
}

fn both<F: Binary>(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    map_tensors::<_, _, 2, true>(
        [a, b],
        DType::BF16,
        #[inline(always)]
        |[a, b]: [Bf16; 2]| Bf16::from_f32(F::f32(a.to_f32(), b.to_f32())),
    )
}
