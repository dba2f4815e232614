//! Decompositions of matrices [.., m, n]: eigenvalues, singular values, orthogonal factors. Computed in float64, so that
//! float32 results are as exact as float32 can be. A matrix with a NaN or an infinity in it has NaN for results.

use crate::cpu::decompose::{orthogonal_triangular, singular_values, symmetric_eigen, transposed as transposed_values};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::op::{Context, Op, Pass, apply, apply_one, once_one};
use crate::ops::choose::{masked_fill, tril};
use crate::ops::diagonal::{diagonal, diagonal_embed};
use crate::ops::elementwise::{add, div, mul, sub};
use crate::ops::linalg::{Triangular, matrices, of_matrices, solve_triangular, square, transposed};
use crate::ops::matmul::matmul;
use crate::ops::movement::{self, slice, unsqueeze};
use crate::tensor::Tensor;

/// Singular values of each matrix, largest first: [.., min(m, n)].
pub fn svdvals(a: &Tensor) -> Result<Tensor> {
    apply_one(SingularValues, &[a])
}

/// Eigenvalues in ascending order [.., n] and unit eigenvectors as columns [.., n, n] of symmetric matrices (only the
/// lower triangle is read). The signs of the vectors are free; a gradient through them must not depend on these signs.
pub fn eigh(a: &Tensor) -> Result<(Tensor, Tensor)> {
    let mut results = apply(Eigen, &[a])?;
    let vectors = results.pop().expect("two results");
    Ok((results.pop().expect("two results"), vectors))
}

/// Q [.., m, k] with orthonormal columns and upper triangular R [.., k, n], Q·R = A, k = min(m, n), and a diagonal of R
/// that is not negative (which makes both unique; LAPACK leaves the signs to chance).
pub fn qr(a: &Tensor) -> Result<(Tensor, Tensor)> {
    let mut results = apply(Orthogonal, &[a])?;
    let upper = results.pop().expect("two results");
    Ok((results.pop().expect("two results"), upper))
}

fn no_convergence(op: &str, a: &Tensor) -> Error {
    Error::Argument(format!("{op}: the iteration does not end for a matrix of shape {:?}", a.shape()))
}

/// Each matrix of the tensor.
fn each(values: &[f64], rows: usize, columns: usize) -> impl Iterator<Item = &[f64]> {
    // A matrix without elements has no values to find.
    values.chunks((rows * columns).max(1))
}

fn is_finite(matrix: &[f64]) -> bool {
    matrix.iter().all(|v| v.is_finite())
}

fn nans(count: usize) -> Vec<f64> {
    vec![f64::NAN; count]
}

struct SingularValues;

impl Op for SingularValues {
    fn name(&self) -> &'static str {
        "svdvals"
    }

    fn forward(&self, inputs: &[&Tensor], context: &mut Context) -> Result<Vec<Tensor>> {
        let a = inputs[0];
        let (rows, columns, values) = matrices("svdvals", a)?;
        let k = rows.min(columns);
        if !context.recording() && a.dtype() == DType::F32 {
            return Ok(vec![from_products(a)?]);
        }
        let (mut singular, mut left, mut right) = (Vec::new(), Vec::new(), Vec::new());
        for matrix in each(&values, rows, columns) {
            let found = match is_finite(matrix) {
                true => singular_values(matrix, rows, columns).ok_or_else(|| no_convergence("svdvals", a))?,
                false => (nans(k), nans(k * rows), nans(k * columns)),
            };
            singular.extend(found.0);
            left.extend(transposed_values(&found.1, k, rows));
            right.extend(found.2);
        }
        context.save(a)?;
        if context.recording() {
            context.save(&of_matrices(a, &[rows, k], &left)?)?;
            context.save(&of_matrices(a, &[k, columns], &right)?)?;
        }
        Ok(vec![of_matrices(a, &[k], &singular)?])
    }

    fn runs_on_cpu(&self) -> bool {
        true
    }

    /// U·diag(g)·Vᵀ
    fn backward(&self, pass: &Pass) -> Result<Vec<Option<Tensor>>> {
        let [a, left, right] = pass.saved else { unreachable!("forward saves three") };
        let gradient =
            once_one("svdvals", &[a, pass.grad()], |inputs| matmul(&mul(left, &unsqueeze(inputs[1], -2)?)?, right))?;
        Ok(vec![Some(gradient)])
    }
}

/// Roots of the eigenvalues of AᵀA (or A·Aᵀ): several times faster. In float64 the squaring costs at most 1e-8 of the
/// largest singular value, which is less than float32 resolves.
fn from_products(a: &Tensor) -> Result<Tensor> {
    let a64 = movement::to_dtype(&a.detach()?, DType::F64)?;
    let flipped = transposed(&a64)?;
    let tall = a.shape()[a.ndim() - 2] >= a.shape()[a.ndim() - 1];
    let products = if tall { matmul(&flipped, &a64)? } else { matmul(&a64, &flipped)? };
    let (k, _, values) = matrices("svdvals", &products)?;
    let mut singular = Vec::new();
    for matrix in each(&values, k, k) {
        let squares = match is_finite(matrix) {
            true => symmetric_eigen(matrix.to_vec(), k, false).ok_or_else(|| no_convergence("svdvals", a))?.0,
            false => nans(k),
        };
        singular.extend(squares.iter().rev().map(|v| if v.is_nan() { *v } else { v.max(0.0).sqrt() }));
    }
    of_matrices(a, &[k], &singular)
}

struct Eigen;

impl Op for Eigen {
    fn name(&self) -> &'static str {
        "eigh"
    }

    fn forward(&self, inputs: &[&Tensor], context: &mut Context) -> Result<Vec<Tensor>> {
        square("eigh", inputs[0])?;
        let (n, _, numbers) = matrices("eigh", inputs[0])?;
        let (mut values, mut vectors) = (Vec::new(), Vec::new());
        for matrix in each(&numbers, n, n) {
            let lower: Vec<f64> =
                (0..n * n).map(|p| if p % n > p / n { matrix[p % n * n + p / n] } else { matrix[p] }).collect();
            let found = match is_finite(&lower) {
                true => symmetric_eigen(lower, n, true).ok_or_else(|| no_convergence("eigh", inputs[0]))?,
                false => (nans(n), nans(n * n)),
            };
            values.extend(found.0);
            vectors.extend(found.1);
        }
        let values = of_matrices(inputs[0], &[n], &values)?;
        let vectors = of_matrices(inputs[0], &[n, n], &vectors)?;
        context.save_result(0, &values)?;
        context.save_result(1, &vectors)?;
        Ok(vec![values, vectors])
    }

    fn runs_on_cpu(&self) -> bool {
        true
    }

    /// V·(diag(g) + (Vᵀ·G) / (wⱼ − wᵢ))·Vᵀ, g and G the gradients of values and vectors.
    fn backward(&self, pass: &Pass) -> Result<Vec<Option<Tensor>>> {
        let (values, vectors) = (&pass.saved[0], &pass.saved[1]);
        let mut inner = pass.grads[0].as_ref().map(|g| diagonal_embed(g, 0)).transpose()?;
        if let Some(grad) = &pass.grads[1] {
            let n = values.shape()[values.ndim() - 1];
            let same = diagonal_embed(&Tensor::full(&[n], 1.0, DType::Bool)?, 0)?;
            let gaps = sub(&unsqueeze(values, -2)?, &unsqueeze(values, -1)?)?;
            let turned = div(&matmul(&transposed(vectors)?, grad)?, &masked_fill(&gaps, &same, 1.0)?)?;
            let turned = masked_fill(&turned, &same, 0.0)?;
            inner = Some(match inner {
                Some(inner) => add(&inner, &turned)?,
                None => turned,
            });
        }
        let Some(inner) = inner else { return Ok(vec![None]) };
        Ok(vec![Some(matmul(&matmul(vectors, &inner)?, &transposed(vectors)?)?)])
    }
}

struct Orthogonal;

impl Op for Orthogonal {
    fn name(&self) -> &'static str {
        "qr"
    }

    fn forward(&self, inputs: &[&Tensor], context: &mut Context) -> Result<Vec<Tensor>> {
        let a = inputs[0];
        let (rows, columns, values) = matrices("qr", a)?;
        let k = rows.min(columns);
        let (mut q_values, mut r_values) = (Vec::new(), Vec::new());
        for matrix in each(&values, rows, columns) {
            let (q, r) = match is_finite(matrix) {
                true => orthogonal_triangular(matrix.to_vec(), rows, columns),
                false => (nans(rows * k), nans(k * columns)),
            };
            q_values.extend(q);
            r_values.extend(r);
        }
        let q = of_matrices(a, &[rows, k], &q_values)?;
        let r = of_matrices(a, &[k, columns], &r_values)?;
        context.save(a)?;
        context.save_result(0, &q)?;
        context.save_result(1, &r)?;
        Ok(vec![q, r])
    }

    fn runs_on_cpu(&self) -> bool {
        true
    }

    fn backward(&self, pass: &Pass) -> Result<Vec<Option<Tensor>>> {
        let [a, q, r] = pass.saved else { unreachable!("forward saves three") };
        let grad_of = |index: usize, like: &Tensor| match &pass.grads[index] {
            Some(grad) => Ok(grad.clone()),
            None => Tensor::zeros(like.shape(), like.dtype()),
        };
        let (to_q, to_r) = (grad_of(0, q)?, grad_of(1, r)?);
        let (k, columns) = (r.shape()[r.ndim() - 2], r.shape()[r.ndim() - 1]);
        if k == columns {
            return Ok(vec![Some(tall(q, r, &to_q, &to_r)?)]);
        }
        // A = [X, Y] with X square: X = Q·U and Y = Q·V, where R = [U, V].
        let last = |t: &Tensor, start: usize, length: usize| slice(t, -1, start as i64, length, 1);
        let (rest, to_v) = (last(a, k, columns - k)?, last(&to_r, k, columns - k)?);
        let to_q = add(&to_q, &matmul(&rest, &transposed(&to_v)?)?)?;
        let first = tall(q, &last(r, 0, k)?, &to_q, &last(&to_r, 0, k)?)?;
        Ok(vec![Some(movement::cat(&[&first, &matmul(q, &to_v)?], -1)?)])
    }
}

/// The gradient for m ≥ n: [G_Q + Q·copyltu(R·G_Rᵀ − G_Qᵀ·Q)]·R⁻ᵀ, copyltu mirroring the lower triangle upwards
/// (Walter & Lehmann 2010).
fn tall(q: &Tensor, r: &Tensor, to_q: &Tensor, to_r: &Tensor) -> Result<Tensor> {
    let m = sub(&matmul(r, &transposed(to_r)?)?, &matmul(&transposed(to_q)?, q)?)?;
    let lower = tril(&m, 0)?;
    let mirrored = sub(&add(&lower, &transposed(&lower)?)?, &diagonal_embed(&diagonal(&m, 0, -2, -1)?, 0)?)?;
    let numerator = add(to_q, &matmul(q, &mirrored)?)?;
    solve_triangular(&transposed(r)?, &numerator, Triangular { upper: false, right: true, unit: false })
}

#[cfg(feature = "node")]
mod node {
    use super::*;
    use napi_derive::napi;

    #[napi]
    impl Tensor {
        /// Singular values of each matrix [.., m, n], largest first: [.., min(m, n)].
        #[napi(js_name = "svdvals")]
        pub fn js_svdvals(&self) -> Result<Tensor> {
            svdvals(self)
        }

        /// `[values, vectors]` of symmetric matrices [.., n, n] (only the lower triangle is read): eigenvalues in
        /// ascending order, eigenvectors as columns.
        #[napi(js_name = "eigh", ts_return_type = "[eigenvalues: Tensor, eigenvectors: Tensor]")]
        pub fn js_eigh(&self) -> Result<Vec<Tensor>> {
            let (values, vectors) = eigh(self)?;
            Ok(vec![values, vectors])
        }

        /// `[q, r]` with q·r = this: orthonormal columns [.., m, k] and an upper triangle [.., k, n], k = min(m, n). The
        /// diagonal of r is not negative.
        #[napi(js_name = "qr", ts_return_type = "[q: Tensor, r: Tensor]")]
        pub fn js_qr(&self) -> Result<Vec<Tensor>> {
            let (q, r) = qr(self)?;
            Ok(vec![q, r])
        }
    }
}

#[cfg(test)]
pub fn cases() -> Vec<crate::ops::suite::Case> {
    use crate::ops::suite::*;
    /// Eigenvalues about 1, 2, …: far from each other.
    fn apart(shape: &[usize], random: &mut crate::random::Philox) -> Vec<f64> {
        let n = shape[shape.len() - 1].max(1);
        let near = |k: usize| if k % n == k / n % n { 1.0 + (k % n) as f64 } else { 0.0 };
        (0..shape.iter().product()).map(|k| near(k) + 0.15 * random.normal() as f64).collect()
    }
    fn symmetric(x: &Tensor) -> Result<Tensor> {
        crate::ops::elementwise::mul_scalar(&add(x, &transposed(x)?)?, 0.5)
    }
    fn inverse_root(x: &Tensor) -> Result<Tensor> {
        let (values, vectors) = eigh(&symmetric(x)?)?;
        let scaled = mul(&vectors, &unsqueeze(&crate::ops::elementwise::rsqrt(&values)?, -2)?)?;
        matmul(&scaled, &transposed(&vectors)?)
    }
    /// Lengths of the columns once pairs of them were turned until all are orthogonal (one-sided Jacobi).
    fn lengths(a: &[Array]) -> Vec<f64> {
        let (last, values) = (a[0].shape.len() - 1, &a[0].values);
        let (rows, columns) = (a[0].shape[last - 1], a[0].shape[last]);
        let mut out = Vec::new();
        for part in values.chunks((rows * columns).max(1)) {
            let at = |i: usize, j: usize| part[i * columns + j];
            let mut vectors: Vec<Vec<f64>> = match rows >= columns {
                true => (0..columns).map(|j| (0..rows).map(|i| at(i, j)).collect()).collect(),
                false => (0..rows).map(|i| (0..columns).map(|j| at(i, j)).collect()).collect(),
            };
            let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
            for _ in 0..40 {
                for (j, k) in (0..vectors.len()).flat_map(|k| (0..k).map(move |j| (j, k))) {
                    let (a, b) = (vectors[j].clone(), vectors[k].clone());
                    let angle = 0.5 * f64::atan2(2.0 * dot(&a, &b), dot(&a, &a) - dot(&b, &b));
                    let (sin, cos) = angle.sin_cos();
                    vectors[j] = a.iter().zip(&b).map(|(a, b)| cos * a + sin * b).collect();
                    vectors[k] = a.iter().zip(&b).map(|(a, b)| cos * b - sin * a).collect();
                }
            }
            let mut lengths: Vec<f64> = vectors.iter().map(|v| dot(v, v).sqrt()).collect();
            lengths.sort_by(|a, b| b.total_cmp(a));
            out.extend(lengths);
        }
        out
    }
    let one: &[usize] = &[4, 4];
    let many: &[usize] = &[2, 3, 3];
    vec![
        case("svdvals", "square", [made(one, apart)], |t| svdvals(&t[0])).equals(lengths),
        case("svdvals", "wide", [made(&[2, 3, 5], apart)], |t| svdvals(&t[0])).equals(lengths),
        case("svdvals", "tall", [made(&[9, 4], apart)], |t| svdvals(&t[0])).equals(lengths),
        case("eigh", "values", [made(one, apart)], |t| Ok(eigh(&symmetric(&t[0])?)?.0)),
        case("eigh", "inverse root", [made(one, apart)], |t| inverse_root(&t[0])),
        case("eigh", "inverse roots", [made(many, apart)], |t| inverse_root(&t[0])),
        case("eigh", "and back", [made(one, apart)], |t| {
            let (values, vectors) = eigh(&symmetric(&t[0])?)?;
            matmul(&mul(&vectors, &unsqueeze(&values, -2)?)?, &transposed(&vectors)?)
        })
        .equals(|a| {
            let n = a[0].shape[0];
            (0..n * n).map(|k| 0.5 * (a[0].values[k] + a[0].values[k % n * n + k / n])).collect()
        }),
        case("qr", "q of a square", [made(one, apart)], |t| Ok(qr(&t[0])?.0)),
        case("qr", "r of a square", [made(one, apart)], |t| Ok(qr(&t[0])?.1)),
        case("qr", "tall", [made(&[2, 5, 3], apart)], |t| {
            let (q, r) = qr(&t[0])?;
            matmul(&r, &transposed(&mul(&q, &q)?)?)
        }),
        case("qr", "wide", [made(&[3, 5], apart)], |t| {
            let (q, r) = qr(&t[0])?;
            matmul(&mul(&q, &q)?, &r)
        }),
        case("qr", "and back", [made(&[5, 3], apart)], |t| {
            let (q, r) = qr(&t[0])?;
            matmul(&q, &r)
        })
        .equals(|a| a[0].values.clone()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Philox;

    #[test]
    fn singular_values_of_a_product_of_known_ones() {
        // A = Q₁·diag(s)·Q₂ᵀ, with values that repeat and that are 0.
        let mut random = Philox::new(3, 0);
        let mut orthogonal = |m: usize, n: usize| {
            let x = crate::ops::random::randn(&[m, n], DType::F64, &mut random).unwrap();
            qr(&x).unwrap().0
        };
        let wanted = [9.0, 4.0, 4.0, 1.0, 1e-3, 0.0, 0.0];
        let (left, right) = (orthogonal(30, 7), orthogonal(7, 7));
        let s = Tensor::from_slice(&wanted, &[7]).unwrap();
        let a = matmul(&mul(&left, &s).unwrap(), &transposed(&right).unwrap()).unwrap();
        for (t, error) in
            [(a.clone(), 1e-13), (transposed(&a).unwrap(), 1e-13), (movement::to_dtype(&a, DType::F32).unwrap(), 2e-6)]
        {
            let found = movement::to_dtype(&svdvals(&t).unwrap(), DType::F64).unwrap().to_vec::<f64>().unwrap();
            assert!(found.iter().zip(&wanted).all(|(f, w)| (f - w).abs() <= 9.0 * error), "{found:?}");
        }
    }

    #[test]
    fn degenerate_matrices() {
        let zero = Tensor::zeros(&[3, 3], DType::F64).unwrap();
        assert_eq!(svdvals(&zero).unwrap().to_vec::<f64>().unwrap(), [0.0; 3]);
        assert_eq!(eigh(&zero).unwrap().0.to_vec::<f64>().unwrap(), [0.0; 3]);
        let nothing = Tensor::zeros(&[2, 0, 3], DType::F32).unwrap();
        assert_eq!(svdvals(&nothing).unwrap().shape(), [2, 0]);
        assert_eq!(qr(&nothing).unwrap().1.shape(), [2, 0, 3]);
        assert_eq!(svdvals(&Tensor::zeros(&[3], DType::F32).unwrap()).unwrap_err().code(), "ERR_SHAPE");
    }
}
