//! Running sums and products, and products of whole lines.

use crate::cpu::threads::{SharedPointer, parallel_ranges};
use crate::dispatch_float;
use crate::dtype::{DType, Element, Float};
#[cfg(feature = "gpu")]
use crate::ensure;
use crate::error::Result;
use crate::op::{Context, Op, Pass, apply_one, once_one};
use crate::ops::elementwise::{div, mul};
use crate::ops::lines::Lines;
use crate::ops::movement;
#[cfg(feature = "gpu")]
use crate::ops::reduce_gpu::{Fold, fold};
#[cfg(feature = "gpu")]
use crate::ops::scan_gpu;
use crate::shape::resolve_dim;
use crate::storage::Buffer;
use crate::tensor::Tensor;

/// Sum of all elements up to each one, along a dimension. Integers and bool sum as int64.
pub fn cumsum(x: &Tensor, dim: i64) -> Result<Tensor> {
    let x = if x.dtype().is_float() { x.clone() } else { movement::to_dtype(x, DType::I64)? };
    apply_one(Cumsum { dim, backwards: false }, &[&x])
}

/// Product of all elements up to each one, along a dimension. Integers and bool multiply as int64.
pub fn cumprod(x: &Tensor, dim: i64) -> Result<Tensor> {
    let x = if x.dtype().is_float() { x.clone() } else { movement::to_dtype(x, DType::I64)? };
    apply_one(Cumprod { dim }, &[&x])
}

/// Product over a dimension (of everything if None).
pub fn prod(x: &Tensor, dim: Option<i64>, keepdim: bool) -> Result<Tensor> {
    let Some(dim) = dim else {
        let flat = prod(&movement::reshape(x, &[-1])?, Some(0), false)?;
        return if keepdim { movement::reshape_to(&flat, &vec![1; x.ndim()]) } else { Ok(flat) };
    };
    let result = apply_one(Product { dim }, &[x])?;
    if keepdim || x.ndim() == 0 { Ok(result) } else { movement::squeeze(&result, Some(dim)) }
}

struct Cumsum {
    dim: i64,
    /// From the last element to the first: its gradient.
    backwards: bool,
}

impl Op for Cumsum {
    fn name(&self) -> &'static str {
        "cumsum"
    }

    fn forward(&self, inputs: &[&Tensor], _: &mut Context) -> Result<Vec<Tensor>> {
        let x = inputs[0];
        let lines = Lines::of("cumsum", x, self.dim)?;
        if x.dtype() == DType::I64 {
            let mut out = Buffer::<i64>::new(x.numel())?;
            scan(
                lines.values::<i64>(),
                &mut out,
                lines.length(),
                self.backwards,
                0i64,
                |sum, v| sum.wrapping_add(v),
                |s| s,
            );
            return Ok(vec![lines.replaced(out, lines.length(), DType::I64)?]);
        }
        Ok(vec![dispatch_float!(x.dtype(), "cumsum", T => {
            let mut out = Buffer::<T>::new(x.numel())?;
            // A long chain of additions: in float64.
            let (add, cut) = (|sum: f64, v: T| sum + v.to_f64(), |sum: f64| T::from_f64(sum));
            scan(lines.values::<T>(), &mut out, lines.length(), self.backwards, 0.0f64, add, cut);
            lines.replaced(out, lines.length(), x.dtype())?
        })])
    }

    #[cfg(feature = "gpu")]
    fn forward_gpu(&self, inputs: &[&Tensor], _: &mut Context) -> Result<Vec<Tensor>> {
        let x = inputs[0];
        Ok(vec![scan_gpu::cumsum(x, resolve_dim("cumsum", self.dim, x.ndim().max(1))?, self.backwards)?])
    }

    fn backward(&self, pass: &Pass) -> Result<Vec<Option<Tensor>>> {
        Ok(vec![Some(apply_one(Cumsum { dim: self.dim, backwards: !self.backwards }, &[pass.grad()])?)])
    }
}

struct Cumprod {
    dim: i64,
}

impl Op for Cumprod {
    fn name(&self) -> &'static str {
        "cumprod"
    }

    fn forward(&self, inputs: &[&Tensor], context: &mut Context) -> Result<Vec<Tensor>> {
        let x = inputs[0];
        let lines = Lines::of("cumprod", x, self.dim)?;
        let length = lines.length();
        let result = if x.dtype() == DType::I64 {
            let mut out = Buffer::<i64>::new(x.numel())?;
            scan(lines.values::<i64>(), &mut out, length, false, 1i64, |p, v| p.wrapping_mul(v), |p| p);
            lines.replaced(out, length, DType::I64)?
        } else {
            dispatch_float!(x.dtype(), "cumprod", T => {
                let mut out = Buffer::<T>::new(x.numel())?;
                let (multiply, cut) = (|p: f64, v: T| p * v.to_f64(), |p: f64| T::from_f64(p));
                scan(lines.values::<T>(), &mut out, length, false, 1.0f64, multiply, cut);
                lines.replaced(out, length, x.dtype())?
            })
        };
        context.save(x)?;
        context.save_result(0, &result)?;
        Ok(vec![result])
    }

    #[cfg(feature = "gpu")]
    fn forward_gpu(&self, inputs: &[&Tensor], context: &mut Context) -> Result<Vec<Tensor>> {
        let x = inputs[0];
        let result = scan_gpu::cumprod(x, resolve_dim("cumprod", self.dim, x.ndim().max(1))?)?;
        context.save(x)?;
        context.save_result(0, &result)?;
        Ok(vec![result])
    }

    /// Σ over i ≥ k of gᵢ·yᵢ/xₖ; where something is 0, of gᵢ times the product of the others.
    fn backward(&self, pass: &Pass) -> Result<Vec<Option<Tensor>>> {
        let [x, result] = pass.saved else { unreachable!("forward saves two") };
        #[cfg(feature = "gpu")]
        if !x.is_host() {
            let dim = resolve_dim("cumprod", self.dim, x.ndim().max(1))?;
            let gradient = once_one("cumprod", &[x, pass.grad()], |t| scan_gpu::cumprod_gradient(t[0], t[1], dim))?;
            return Ok(vec![Some(gradient)]);
        }
        let has_zero = dispatch_float!(x.dtype(), "cumprod", T => {
            movement::contiguous(&x.detach()?)?.slice::<T>().contains(&T::ZERO)
        });
        if !has_zero {
            let sums = apply_one(Cumsum { dim: self.dim, backwards: true }, &[&mul(pass.grad(), result)?])?;
            return Ok(vec![Some(div(&sums, x)?)]);
        }
        let gradient = once_one("cumprod", &[x, pass.grad()], |inputs| {
            let (lines, grads) =
                (Lines::of("cumprod", inputs[0], self.dim)?, Lines::of("cumprod", inputs[1], self.dim)?);
            let length = lines.length();
            Ok(dispatch_float!(x.dtype(), "cumprod", T => {
                let mut out = Buffer::<T>::new(x.numel())?;
                let (values, grads) = (lines.values::<T>(), grads.values::<T>());
                for (row, out) in out.chunks_mut(length).enumerate() {
                    let (x, g) = (&values[row * length..][..length], &grads[row * length..][..length]);
                    let mut before = 1.0;
                    for k in 0..length {
                        let (mut product, mut sum) = (before, 0.0);
                        for i in k..length {
                            product *= if i > k { x[i].to_f64() } else { 1.0 };
                            sum += g[i].to_f64() * product;
                        }
                        out[k] = T::from_f64(sum);
                        before *= x[k].to_f64();
                    }
                }
                lines.replaced(out, length, x.dtype())?
            }))
        })?;
        Ok(vec![Some(gradient)])
    }
}

fn scan<T: Copy + Sync + Send, S: Copy + Sync>(
    values: &[T],
    out: &mut [T],
    length: usize,
    backwards: bool,
    start: S,
    add: impl Fn(S, T) -> S + Sync,
    result: impl Fn(S) -> T + Sync,
) {
    if out.is_empty() {
        return;
    }
    let shared = SharedPointer::new(out);
    parallel_ranges(values.len() / length, 16384usize.div_ceil(length), |range| {
        for row in range {
            let line = &values[row * length..(row + 1) * length];
            // SAFETY: each row writes its own line.
            let out = unsafe { shared.slice(row * length..(row + 1) * length) };
            let mut sum = start;
            for k in 0..length {
                let i = if backwards { length - 1 - k } else { k };
                sum = add(sum, line[i]);
                out[i] = result(sum);
            }
        }
    });
}

/// Keeps the reduced dimension with size 1.
struct Product {
    dim: i64,
}

impl Op for Product {
    fn name(&self) -> &'static str {
        "prod"
    }

    fn forward(&self, inputs: &[&Tensor], context: &mut Context) -> Result<Vec<Tensor>> {
        let x = inputs[0];
        resolve_dim("prod", self.dim, x.ndim().max(1))?;
        let lines = Lines::of("prod", x, self.dim)?;
        let result = dispatch_float!(x.dtype(), "prod", T => {
            let (values, length) = (lines.values::<T>(), lines.length());
            let mut out = Buffer::<T>::filled(lines.count(), T::ONE)?;
            for (row, product) in out.iter_mut().enumerate() {
                *product = values[row * length..(row + 1) * length].iter().fold(T::ONE, |p, v| p * *v);
            }
            lines.replaced(out, 1, x.dtype())?
        });
        context.save(x)?;
        context.save_result(0, &result)?;
        Ok(vec![result])
    }

    #[cfg(feature = "gpu")]
    fn forward_gpu(&self, inputs: &[&Tensor], context: &mut Context) -> Result<Vec<Tensor>> {
        let x = inputs[0];
        ensure!(x.dtype().is_float(), Dtype, "prod: takes float32 or float64, not {}", x.dtype().name());
        let dim = resolve_dim("prod", self.dim, x.ndim().max(1))?;
        let dims = if x.ndim() == 0 { &[][..] } else { &[dim] };
        let product = Fold { name: "product", value: "x", identity: "1.0", combine: "a * b" };
        let result = fold(&product, x, dims)?;
        context.save(x)?;
        context.save_result(0, &result)?;
        Ok(vec![result])
    }

    fn backward(&self, pass: &Pass) -> Result<Vec<Option<Tensor>>> {
        let (x, product) = (&pass.saved[0], &pass.saved[1]);
        #[cfg(feature = "gpu")]
        if !x.is_host() {
            let dim = resolve_dim("prod", self.dim, x.ndim().max(1))?;
            let others = once_one("prod", &[x], |inputs| scan_gpu::products_of_others(inputs[0], dim))?;
            return Ok(vec![Some(mul(pass.grad(), &others)?)]);
        }
        let has_zero = dispatch_float!(x.dtype(), "prod", T => {
            movement::contiguous(&x.detach()?)?.slice::<T>().contains(&T::ZERO)
        });
        if !has_zero {
            return Ok(vec![Some(div(&mul(pass.grad(), product)?, x)?)]);
        }
        // Where an element is 0 the product of the others is not product / x: from both sides instead.
        let others = once_one("prod", &[x], |inputs| {
            let lines = Lines::of("prod", inputs[0], self.dim)?;
            let length = lines.length();
            Ok(dispatch_float!(x.dtype(), "prod", T => {
                let mut out = Buffer::<T>::new(x.numel())?;
                for (line, out) in lines.values::<T>().chunks(length).zip(out.chunks_mut(length)) {
                    products_of_others(line, out);
                }
                lines.replaced(out, length, x.dtype())?
            }))
        })?;
        Ok(vec![Some(mul(pass.grad(), &others)?)])
    }
}

fn products_of_others<T: Float>(line: &[T], out: &mut [T]) {
    let mut before = T::ONE;
    for (o, v) in out.iter_mut().zip(line) {
        *o = before;
        before *= *v;
    }
    let mut behind = T::ONE;
    for (o, v) in out.iter_mut().zip(line).rev() {
        *o *= behind;
        behind *= *v;
    }
}

#[cfg(feature = "node")]
mod node {
    use super::*;
    use napi_derive::napi;

    #[napi]
    impl Tensor {
        /// Sum of all elements up to each one, along a dimension; integers sum as int64.
        #[napi(js_name = "cumsum")]
        pub fn js_cumsum(&self, dim: i64) -> Result<Tensor> {
            cumsum(self, dim)
        }

        /// Product of all elements up to each one, along a dimension; integers multiply as int64.
        #[napi(js_name = "cumprod")]
        pub fn js_cumprod(&self, dim: i64) -> Result<Tensor> {
            cumprod(self, dim)
        }

        /// Product over a dimension (default: of everything).
        #[napi(js_name = "prod")]
        pub fn js_prod(&self, dim: Option<i64>, keepdim: Option<bool>) -> Result<Tensor> {
            prod(self, dim, keepdim.unwrap_or(false))
        }
    }
}

#[cfg(test)]
pub fn cases() -> Vec<crate::ops::suite::Case> {
    use crate::ops::suite::*;
    fn running(x: &[f64]) -> Vec<f64> {
        (1..=x.len()).map(|n| x[..n].iter().sum()).collect()
    }
    fn running_product(x: &[f64]) -> Vec<f64> {
        (1..=x.len()).map(|n| x[..n].iter().product()).collect()
    }
    vec![
        case("cumprod", "rows", [nonzero(&[4, 5])], |t| cumprod(&t[0], 1)).equals(along(1, running_product)),
        case("cumprod", "columns", [nonzero(&[4, 5])], |t| cumprod(&t[0], 0)).equals(along(0, running_product)),
        case("cumprod", "integers", [index(4, &[7, 2])], |t| cumprod(&t[0], 0)).equals(along(0, running_product)),
        case(
            "cumprod",
            "with zeros",
            [made(&[5, 4], |shape, random| {
                (0..shape.iter().product()).map(|k| if k % 3 == 0 { 0.0 } else { random.normal() as f64 }).collect()
            })],
            |t| cumprod(&t[0], 1),
        ),
        case("cumsum", "rows", [normal(&[4, 5])], |t| cumsum(&t[0], 1)).equals(along(1, running)),
        case("cumsum", "the middle", [normal(&[2, 3, 4])], |t| cumsum(&t[0], 1)).equals(along(1, running)),
        case("cumsum", "integers", [index(9, &[7, 2])], |t| cumsum(&t[0], 0)).equals(along(0, running)),
        case("prod", "rows", [nonzero(&[4, 5])], |t| prod(&t[0], Some(1), false))
            .equals(along(1, |x| vec![x.iter().product()])),
        case("prod", "columns", [nonzero(&[4, 5])], |t| prod(&t[0], Some(0), true))
            .equals(along(0, |x| vec![x.iter().product()])),
        case("prod", "everything", [nonzero(&[2, 3])], |t| prod(&t[0], None, false))
            .equals(|a| vec![a[0].values.iter().product()]),
        case(
            "prod",
            "with zeros",
            [made(&[5, 4], |shape, random| {
                (0..shape.iter().product()).map(|k| if k % 3 == 0 { 0.0 } else { random.normal() as f64 }).collect()
            })],
            |t| prod(&t[0], Some(1), false),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_sums_of_float32_stay_exact() {
        let x = Tensor::full(&[3_000_000], 0.1, DType::F32).unwrap();
        let last = cumsum(&x, 0).unwrap().to_vec::<f32>().unwrap()[2_999_999];
        assert!((last - 300_000.0).abs() < 0.05, "{last}");
    }

    #[test]
    fn gradients_reach_a_zero_and_no_other() {
        let x = Tensor::from_slice(&[2.0, 0.0, 5.0], &[3]).unwrap();
        x.set_requires_grad(true).unwrap();
        crate::autograd::backward(&prod(&x, None, false).unwrap(), None, Default::default()).unwrap();
        assert_eq!(x.grad().unwrap().to_vec::<f64>().unwrap(), [0.0, 10.0, 0.0]);
        let empty = prod(&Tensor::zeros(&[2, 0], DType::F32).unwrap(), Some(1), false).unwrap();
        assert_eq!(empty.to_vec::<f32>().unwrap(), [1.0, 1.0]);
    }
}
