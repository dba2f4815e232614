//! Variances and norms over dimensions, and what is measured with them: unit vectors, cosines.

use crate::error::Result;
use crate::op::{Context, Op, Pass, apply_one};
use crate::ops::elementwise::*;
use crate::ops::extreme::{amax, amin};
use crate::ops::movement;
use crate::ops::reduce::{drop_dims, mean, sum};
use crate::shape::resolve_dims;
use crate::tensor::Tensor;

/// Variance over dimensions (all if None): Σ(x − mean)² / (n − correction).
pub fn variance(x: &Tensor, dims: Option<&[i64]>, correction: f64, keepdim: bool) -> Result<Tensor> {
    spread("var", x, dims, correction, keepdim)
}

/// Standard deviation over dimensions (all if None): the root of [`variance`]. Its gradient at 0 is 0.
pub fn deviation(x: &Tensor, dims: Option<&[i64]>, correction: f64, keepdim: bool) -> Result<Tensor> {
    spread("std", x, dims, correction, keepdim)
}

fn spread(name: &'static str, x: &Tensor, dims: Option<&[i64]>, correction: f64, keepdim: bool) -> Result<Tensor> {
    let dims = resolve_dims(name, dims, x.ndim())?;
    let result = apply_one(Spread { name, dims: dims.clone(), correction }, &[x])?;
    if keepdim { Ok(result) } else { drop_dims(&result, &dims) }
}

/// Variance or its root; keeps the reduced dimensions with size 1.
struct Spread {
    name: &'static str,
    dims: Vec<usize>,
    correction: f64,
}

impl Spread {
    /// n − correction, at least 0.
    fn freedom(&self, x: &Tensor) -> f64 {
        let n: usize = self.dims.iter().map(|&d| x.shape()[d]).product();
        (n as f64 - self.correction).max(0.0)
    }

    fn dims(&self) -> Vec<i64> {
        self.dims.iter().map(|&d| d as i64).collect()
    }
}

impl Op for Spread {
    fn name(&self) -> &'static str {
        self.name
    }

    fn forward(&self, inputs: &[&Tensor], context: &mut Context) -> Result<Vec<Tensor>> {
        let x = inputs[0].detach()?;
        let centered = sub(&x, &mean(&x, Some(&self.dims()), true)?)?;
        let squares = sum(&square(&centered)?, Some(&self.dims()), true)?;
        // 0 / 0 where there is nothing to vary.
        let variance = div_scalar(&squares, self.freedom(&x))?;
        context.save(inputs[0])?;
        if self.name == "var" {
            return Ok(vec![variance]);
        }
        let result = sqrt_(&variance)?;
        context.save_result(0, &result)?;
        Ok(vec![result])
    }

    #[cfg(feature = "gpu")]
    fn forward_gpu(&self, inputs: &[&Tensor], context: &mut Context) -> Result<Vec<Tensor>> {
        self.forward(inputs, context)
    }

    fn backward(&self, pass: &Pass) -> Result<Vec<Option<Tensor>>> {
        let x = &pass.saved[0];
        let mut grad = pass.grad().clone();
        if let Some(result) = pass.saved.get(1) {
            let zero = compare(Comparison::Equal, result, &Tensor::full(&[], 0.0, x.dtype())?)?;
            grad = movement::masked_fill(&div(&grad, &mul_scalar(result, 2.0)?)?, &zero, 0.0)?;
        }
        let centered = sub(x, &mean(x, Some(&self.dims()), true)?)?;
        Ok(vec![Some(mul(&centered, &mul_scalar(&grad, 2.0 / self.freedom(x))?)?)])
    }
}

/// (Σ|x|ᵖ)^(1/p) over dimensions (all if None); p may be infinite (the largest |x|), −∞ (the smallest) or 0 (how many
/// are not 0). Its gradient at 0 is 0.
pub fn norm(x: &Tensor, p: f64, dims: Option<&[i64]>, keepdim: bool) -> Result<Tensor> {
    if p == f64::INFINITY {
        return amax(&abs_(x)?, dims, keepdim);
    }
    if p == f64::NEG_INFINITY {
        return amin(&abs_(x)?, dims, keepdim);
    }
    if p == 1.0 {
        return sum(&abs_(x)?, dims, keepdim);
    }
    if p == 0.0 {
        let nonzero = compare(Comparison::NotEqual, x, &Tensor::full(&[], 0.0, x.dtype())?)?;
        return sum(&movement::to_dtype(&nonzero, x.dtype())?, dims, keepdim);
    }
    let dims = resolve_dims("norm", dims, x.ndim())?;
    let result = apply_one(Norm { p, dims: dims.clone() }, &[x])?;
    if keepdim { Ok(result) } else { drop_dims(&result, &dims) }
}

/// Keeps the reduced dimensions with size 1.
struct Norm {
    p: f64,
    dims: Vec<usize>,
}

impl Op for Norm {
    fn name(&self) -> &'static str {
        "norm"
    }

    fn forward(&self, inputs: &[&Tensor], context: &mut Context) -> Result<Vec<Tensor>> {
        let x = inputs[0].detach()?;
        let dims: Vec<i64> = self.dims.iter().map(|&d| d as i64).collect();
        let result = if self.p == 2.0 {
            sqrt_(&sum(&square(&x)?, Some(&dims), true)?)?
        } else {
            pow_scalar(&sum(&pow_scalar(&abs_(&x)?, self.p)?, Some(&dims), true)?, 1.0 / self.p)?
        };
        context.save(inputs[0])?;
        context.save_result(0, &result)?;
        Ok(vec![result])
    }

    #[cfg(feature = "gpu")]
    fn forward_gpu(&self, inputs: &[&Tensor], context: &mut Context) -> Result<Vec<Tensor>> {
        self.forward(inputs, context)
    }

    fn backward(&self, pass: &Pass) -> Result<Vec<Option<Tensor>>> {
        let (x, norm, grad) = (&pass.saved[0], &pass.saved[1], pass.grad());
        let zero = Tensor::full(&[], 0.0, x.dtype())?;
        let is_zero = compare(Comparison::Equal, norm, &zero)?;
        let (value, scale) = if self.p == 2.0 {
            (x.clone(), div(grad, norm)?)
        } else {
            // x·|x|^(p−2), with the limit 0 at 0.
            let size = movement::masked_fill(&abs_(x)?, &compare(Comparison::Equal, x, &zero)?, 1.0)?;
            (mul(x, &pow_scalar(&size, self.p - 2.0)?)?, div(grad, &pow_scalar(norm, self.p - 1.0)?)?)
        };
        Ok(vec![Some(mul(&value, &movement::masked_fill(&scale, &is_zero, 0.0)?)?)])
    }
}

/// x / max(norm over `dim`, eps)
pub fn normalize(x: &Tensor, p: f64, dim: i64, eps: f64) -> Result<Tensor> {
    div(x, &clamp_both(&norm(x, p, Some(&[dim]), true)?, eps, f64::INFINITY)?)
}

/// Cosine of the angle between vectors along `dim` of the broadcast shape: a·b / (max(|a|, eps)·max(|b|, eps)).
pub fn cosine_similarity(a: &Tensor, b: &Tensor, dim: i64, eps: f64) -> Result<Tensor> {
    let shape = crate::shape::broadcast("cosineSimilarity", a.shape(), b.shape())?;
    let dim = crate::shape::resolve_dim("cosineSimilarity", dim, shape.len())? as i64 - shape.len() as i64;
    let unit = |x: &Tensor| {
        // A vector may itself be broadcast along `dim`: its length counts the repeats.
        let at = x.ndim() as i64 + dim;
        let full = shape[(shape.len() as i64 + dim) as usize];
        if at >= 0 && x.shape()[at as usize] == full {
            normalize(x, 2.0, dim, eps)
        } else {
            normalize(&movement::expand(x, &shape)?, 2.0, dim, eps)
        }
    };
    sum(&mul(&unit(a)?, &unit(b)?)?, Some(&[dim]), false)
}

#[cfg(feature = "node")]
mod node {
    use super::*;
    use crate::node::dims;
    use napi::bindgen_prelude::Either;
    use napi_derive::napi;

    #[napi]
    impl Tensor {
        /// Variance over dimensions (default: all): Σ(x − mean)² / (n − correction); correction 1 by default.
        #[napi(js_name = "var")]
        pub fn js_var(
            &self,
            dim: Option<Either<i64, Vec<i64>>>,
            correction: Option<f64>,
            keepdim: Option<bool>,
        ) -> Result<Tensor> {
            variance(self, dims(dim).as_deref(), correction.unwrap_or(1.0), keepdim.unwrap_or(false))
        }

        /// Standard deviation over dimensions (default: all), correction 1 by default. Its gradient at 0 is 0.
        #[napi(js_name = "std")]
        pub fn js_std(
            &self,
            dim: Option<Either<i64, Vec<i64>>>,
            correction: Option<f64>,
            keepdim: Option<bool>,
        ) -> Result<Tensor> {
            deviation(self, dims(dim).as_deref(), correction.unwrap_or(1.0), keepdim.unwrap_or(false))
        }

        /// (Σ|x|ᵖ)^(1/p) over dimensions (default: all); p is 2 by default and may be ±Infinity or 0.
        #[napi(js_name = "norm")]
        pub fn js_norm(
            &self,
            p: Option<f64>,
            dim: Option<Either<i64, Vec<i64>>>,
            keepdim: Option<bool>,
        ) -> Result<Tensor> {
            norm(self, p.unwrap_or(2.0), dims(dim).as_deref(), keepdim.unwrap_or(false))
        }

        /// x / max(p-norm over `dim`, eps); by default p 2, dim 1, eps 1e-12.
        #[napi(js_name = "normalize")]
        pub fn js_normalize(&self, p: Option<f64>, dim: Option<i64>, eps: Option<f64>) -> Result<Tensor> {
            normalize(self, p.unwrap_or(2.0), dim.unwrap_or(1), eps.unwrap_or(1e-12))
        }

        /// Cosine between vectors along `dim` (default 1) of the broadcast shape; norms are at least eps (default 1e-8).
        #[napi(js_name = "cosineSimilarity")]
        pub fn js_cosine_similarity(&self, other: &Tensor, dim: Option<i64>, eps: Option<f64>) -> Result<Tensor> {
            cosine_similarity(self, other, dim.unwrap_or(1), eps.unwrap_or(1e-8))
        }
    }
}

#[cfg(test)]
pub fn cases() -> Vec<crate::ops::suite::Case> {
    use crate::ops::suite::*;
    fn var(x: &[f64], correction: f64) -> f64 {
        let mean = x.iter().sum::<f64>() / x.len() as f64;
        x.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (x.len() as f64 - correction).max(0.0)
    }
    fn length(x: &[f64], p: f64) -> f64 {
        x.iter().map(|v| v.abs().powf(p)).sum::<f64>().powf(1.0 / p)
    }
    let s: &[usize] = &[3, 5, 7];
    vec![
        case("var", "everything", [normal(s)], |t| variance(&t[0], None, 1.0, false))
            .equals(|a| vec![var(&a[0].values, 1.0)]),
        case("var", "the middle", [normal(s)], |t| variance(&t[0], Some(&[1]), 0.0, true))
            .equals(along(1, |x| vec![var(x, 0.0)])),
        case("var", "outer and inner", [normal(s)], |t| variance(&t[0], Some(&[0, -1]), 1.0, false)),
        case("std", "columns", [normal(s)], |t| deviation(&t[0], Some(&[0]), 1.0, false))
            .equals(along(0, |x| vec![var(x, 1.0).sqrt()])),
        case("std", "pixels", [normal(&[2, 3, 4, 5])], |t| deviation(&t[0], Some(&[2, 3]), 0.0, true)),
        case("norm", "p 2", [normal(s)], |t| norm(&t[0], 2.0, Some(&[1]), false))
            .equals(along(1, |x| vec![length(x, 2.0)])),
        case("norm", "p 2 of everything", [normal(s)], |t| norm(&t[0], 2.0, None, false))
            .equals(|a| vec![length(&a[0].values, 2.0)]),
        case("norm", "p 1", [nonzero(s)], |t| norm(&t[0], 1.0, Some(&[-1]), true))
            .equals(along(2, |x| vec![length(x, 1.0)])),
        case("norm", "p 3.5", [nonzero(s)], |t| norm(&t[0], 3.5, Some(&[0]), false))
            .equals(along(0, |x| vec![length(x, 3.5)])),
        case("norm", "p 1.5", [nonzero(s)], |t| norm(&t[0], 1.5, Some(&[0]), false))
            .equals(along(0, |x| vec![length(x, 1.5)])),
        case("norm", "p infinite", [distinct(s)], |t| norm(&t[0], f64::INFINITY, Some(&[1]), false))
            .equals(along(1, |x| vec![x.iter().fold(0.0, |m, v| f64::max(m, v.abs()))])),
        case("norm", "p 0", [nonzero(&[4, 6])], |t| norm(&t[0], 0.0, Some(&[1]), false))
            .equals(along(1, |x| vec![x.len() as f64]))
            .drops_nan()
            .without_gradient(),
        case("norm", "unit vectors", [normal(&[4, 6])], |t| normalize(&t[0], 2.0, 1, 1e-12))
            .equals(along(1, |x| x.iter().map(|v| v / length(x, 2.0).max(1e-12)).collect())),
        case("norm", "unit vectors of p 1", [nonzero(&[4, 6])], |t| normalize(&t[0], 1.0, 0, 1e-12)),
        case("norm", "cosines", [normal(&[4, 6]), normal(&[4, 6])], |t| cosine_similarity(&t[0], &t[1], 1, 1e-8)),
        case("norm", "cosines of all pairs", [normal(&[4, 1, 6]), normal(&[5, 6])], |t| {
            cosine_similarity(&t[0], &t[1], 2, 1e-8)
        }),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::autograd::backward;
    use crate::dtype::DType;

    #[test]
    fn gradients_at_zero_are_zero() {
        for f in [
            |x: &Tensor| norm(x, 2.0, None, false),
            |x: &Tensor| norm(x, 3.0, None, false),
            |x: &Tensor| norm(x, 1.0, None, false),
            |x: &Tensor| deviation(x, None, 1.0, false),
            |x: &Tensor| sum(&normalize(x, 2.0, 0, 1e-12)?, None, false),
        ] {
            let x = Tensor::zeros(&[3], DType::F64).unwrap();
            x.set_requires_grad(true).unwrap();
            backward(&f(&x).unwrap(), None, Default::default()).unwrap();
            let gradient = x.grad().unwrap().to_vec::<f64>().unwrap();
            assert!(gradient.iter().all(|g| g.is_finite()), "{gradient:?}");
        }
    }

    #[test]
    fn one_sample_has_no_corrected_variance() {
        let x = Tensor::full(&[1, 2], 3.0, DType::F32).unwrap();
        assert!(variance(&x, Some(&[0]), 1.0, false).unwrap().to_vec::<f32>().unwrap().iter().all(|v| v.is_nan()));
        assert_eq!(variance(&x, Some(&[0]), 0.0, false).unwrap().to_vec::<f32>().unwrap(), [0.0, 0.0]);
        // Far from 0 the two passes lose nothing.
        let far = Tensor::from_slice(&[1e4f32, 1e4 + 1.0, 1e4 + 2.0], &[3]).unwrap();
        assert_eq!(variance(&far, None, 1.0, false).unwrap().to_vec::<f32>().unwrap(), [1.0]);
    }
}
