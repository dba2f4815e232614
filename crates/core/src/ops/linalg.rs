//! Systems of linear equations: Cholesky factors, triangular solves, inverses and determinants of [.., n, n].
//! All are computed in float64 whatever the type, since a small matrix may be badly conditioned; gradients are written
//! in operations and can be differentiated again. Decompositions into eigenvectors and the like are in `spectral`.

use crate::dtype::DType;
use crate::error::Result;
use crate::op::{Context, Op, Pass, apply, apply_one};
use crate::ops::choose::{tril, triu};
use crate::ops::diagonal::{diagonal, diagonal_embed};
use crate::ops::elementwise::{add, mul, mul_scalar, neg, sub};
use crate::ops::matmul::matmul;
use crate::ops::movement;
use crate::shape::{Dims, broadcast};
use crate::tensor::Tensor;
use crate::{bail, ensure};

/// The lower triangular L with L·Lᵀ = A, for symmetric positive definite A (only the lower triangle is read).
pub fn cholesky(a: &Tensor) -> Result<Tensor> {
    apply_one(Cholesky, &[a])
}

/// Which triangle of A a solve reads, and on which side A stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Triangular {
    /// The upper triangle; otherwise the lower. The other one is ignored.
    pub upper: bool,
    /// X·A = B instead of A·X = B.
    pub right: bool,
    /// The diagonal is taken to be 1.
    pub unit: bool,
}

/// X with A·X = B (or X·A = B) for triangular A [.., n, n] and B [.., n, k] (or [.., k, n]).
pub fn solve_triangular(a: &Tensor, b: &Tensor, how: Triangular) -> Result<Tensor> {
    if how.right {
        let how = Triangular { upper: !how.upper, right: false, unit: how.unit };
        return transposed(&solve_triangular(&transposed(a)?, &transposed(b)?, how)?);
    }
    square("solveTriangular", a)?;
    ensure!(
        b.ndim() >= 2 && b.shape()[b.ndim() - 2] == a.shape()[a.ndim() - 1],
        Shape,
        "solveTriangular: matrices {:?} do not fit right-hand sides {:?}",
        a.shape(),
        b.shape()
    );
    let batch = broadcast("solveTriangular", &a.shape()[..a.ndim() - 2], &b.shape()[..b.ndim() - 2])?;
    let shaped = |t: &Tensor| -> Result<Tensor> {
        movement::expand(t, &Dims::from_iter(batch.iter().chain(&t.shape()[t.ndim() - 2..]).copied()))
    };
    apply_one(Solve { upper: how.upper, unit: how.unit }, &[&shaped(a)?, &shaped(b)?])
}

/// The inverse of each matrix. ERR_ARGUMENT if one is singular.
pub fn inv(a: &Tensor) -> Result<Tensor> {
    apply_one(Inverse, &[a])
}

/// Sign and natural logarithm of the absolute value of each determinant (0 and −∞ for a singular matrix).
pub fn slogdet(a: &Tensor) -> Result<(Tensor, Tensor)> {
    let mut results = apply(LogDeterminant, &[a])?;
    let logarithm = results.pop().expect("two results");
    Ok((results.pop().expect("two results"), logarithm))
}

/// The last two dimensions exchanged.
pub(crate) fn transposed(a: &Tensor) -> Result<Tensor> {
    movement::transpose(a, -2, -1)
}

pub(crate) fn square(op: &str, a: &Tensor) -> Result<()> {
    let n = a.ndim();
    ensure!(
        n >= 2 && a.shape()[n - 1] == a.shape()[n - 2],
        Shape,
        "{op}: needs square matrices [.., n, n], not shape {:?}",
        a.shape()
    );
    Ok(())
}

/// Rows and columns of the matrices, and all their elements in float64, row-major.
pub(crate) fn matrices(op: &str, a: &Tensor) -> Result<(usize, usize, Vec<f64>)> {
    ensure!(a.ndim() >= 2, Shape, "{op}: needs a matrix or several, not shape {:?}", a.shape());
    ensure!(a.dtype().is_float(), Dtype, "{op}: takes float32 or float64, not {}", a.dtype().name());
    let values = movement::to_dtype(&a.detach()?, DType::F64)?.to_vec::<f64>()?;
    Ok((a.shape()[a.ndim() - 2], a.shape()[a.ndim() - 1], values))
}

/// A tensor of these values in the type of `like`, its batch dimensions followed by `last`.
pub(crate) fn of_matrices(like: &Tensor, last: &[usize], values: &[f64]) -> Result<Tensor> {
    let shape = Dims::from_iter(like.shape()[..like.ndim() - 2].iter().chain(last).copied());
    movement::to_dtype(&Tensor::from_slice(values, &shape)?, like.dtype())
}

struct Cholesky;

impl Op for Cholesky {
    fn name(&self) -> &'static str {
        "cholesky"
    }

    fn forward(&self, inputs: &[&Tensor], context: &mut Context) -> Result<Vec<Tensor>> {
        square("cholesky", inputs[0])?;
        let (n, _, mut values) = matrices("cholesky", inputs[0])?;
        for (k, a) in values.chunks_mut((n * n).max(1)).enumerate() {
            for j in 0..n {
                for i in j..n {
                    let sum = a[i * n + j] - (0..j).map(|l| a[i * n + l] * a[j * n + l]).sum::<f64>();
                    if i == j {
                        ensure!(
                            sum > 0.0,
                            Argument,
                            "cholesky: matrix {k} of shape {:?} is not positive definite (pivot {j} is {sum})",
                            inputs[0].shape()
                        );
                        a[j * n + j] = sum.sqrt();
                    } else {
                        a[i * n + j] = sum / a[j * n + j];
                    }
                }
                a[j * n + j + 1..(j + 1) * n].fill(0.0);
            }
        }
        let result = of_matrices(inputs[0], &[n, n], &values)?;
        context.save_result(0, &result)?;
        Ok(vec![result])
    }

    fn runs_on_cpu(&self) -> bool {
        true
    }

    /// L⁻ᵀ·Φ(Lᵀ·G)·L⁻¹ made symmetric, Φ the lower triangle with half the diagonal (Murray 2016, arXiv:1602.07527).
    fn backward(&self, pass: &Pass) -> Result<Vec<Option<Tensor>>> {
        let factor = &pass.saved[0];
        let product = tril(&matmul(&transposed(factor)?, pass.grad())?, 0)?;
        let half = mul_scalar(&diagonal_embed(&diagonal(&product, 0, -2, -1)?, 0)?, 0.5)?;
        let above = Triangular { upper: true, ..Triangular::default() };
        let left = solve_triangular(&transposed(factor)?, &sub(&product, &half)?, above)?;
        let both = solve_triangular(factor, &left, Triangular { right: true, ..Triangular::default() })?;
        Ok(vec![Some(mul_scalar(&add(&both, &transposed(&both)?)?, 0.5)?)])
    }
}

struct Solve {
    upper: bool,
    unit: bool,
}

impl Op for Solve {
    fn name(&self) -> &'static str {
        "solve_triangular"
    }

    fn forward(&self, inputs: &[&Tensor], context: &mut Context) -> Result<Vec<Tensor>> {
        ensure!(inputs[0].dtype() == inputs[1].dtype(), Dtype, "solveTriangular: two types of tensor");
        let (n, _, a) = matrices("solveTriangular", inputs[0])?;
        let (_, columns, mut x) = matrices("solveTriangular", inputs[1])?;
        if n > 0 && columns > 0 {
            for (a, x) in a.chunks(n * n).zip(x.chunks_mut(n * columns)) {
                substitute(a, x, n, columns, self.upper, self.unit);
            }
        }
        let result = of_matrices(inputs[1], &[n, columns], &x)?;
        context.save(inputs[0])?;
        context.save_result(0, &result)?;
        Ok(vec![result])
    }

    fn runs_on_cpu(&self) -> bool {
        true
    }

    fn backward(&self, pass: &Pass) -> Result<Vec<Option<Tensor>>> {
        let (a, x) = (&pass.saved[0], &pass.saved[1]);
        let how = Triangular { upper: !self.upper, right: false, unit: self.unit };
        let to_b = solve_triangular(&transposed(a)?, pass.grad(), how)?;
        let to_a = if pass.needs(0) {
            let full = neg(&matmul(&to_b, &transposed(x)?)?)?;
            let skipped = i64::from(self.unit);
            Some(if self.upper { triu(&full, skipped)? } else { tril(&full, -skipped)? })
        } else {
            None
        };
        Ok(vec![to_a, Some(to_b)])
    }
}

/// Forward (or, for an upper triangle, backward) substitution, in place of the right-hand sides.
fn substitute(a: &[f64], x: &mut [f64], n: usize, columns: usize, upper: bool, unit: bool) {
    for k in 0..n {
        let i = if upper { n - 1 - k } else { k };
        let known = if upper { i + 1..n } else { 0..i };
        for j in known {
            let factor = a[i * n + j];
            let (from, to) = if j < i { x.split_at_mut(i * columns) } else { x.split_at_mut(j * columns) };
            let (row, other) =
                if j < i { (&mut to[..columns], &from[j * columns..]) } else { (&mut from[i * columns..], &to[..]) };
            for (r, o) in row[..columns].iter_mut().zip(&other[..columns]) {
                *r -= factor * o;
            }
        }
        if !unit {
            x[i * columns..(i + 1) * columns].iter_mut().for_each(|v| *v /= a[i * n + i]);
        }
    }
}

/// A = P⁻¹·L·U with row pivots: L and U in one matrix, the row that stands at each place, and the sign of the order.
/// A column without a pivot leaves a 0 on the diagonal of U.
fn lu(a: &mut [f64], n: usize) -> (Vec<usize>, f64) {
    let (mut order, mut sign): (Vec<usize>, f64) = ((0..n).collect(), 1.0);
    for k in 0..n {
        let best = (k..n).fold(k, |b, i| if a[i * n + k].abs() > a[b * n + k].abs() { i } else { b });
        if best != k {
            (0..n).for_each(|j| a.swap(k * n + j, best * n + j));
            order.swap(k, best);
            sign = -sign;
        }
        let pivot = a[k * n + k];
        if pivot == 0.0 {
            continue;
        }
        for i in k + 1..n {
            let factor = a[i * n + k] / pivot;
            a[i * n + k] = factor;
            for j in k + 1..n {
                a[i * n + j] -= factor * a[k * n + j];
            }
        }
    }
    (order, sign)
}

struct Inverse;

impl Op for Inverse {
    fn name(&self) -> &'static str {
        "inv"
    }

    fn forward(&self, inputs: &[&Tensor], context: &mut Context) -> Result<Vec<Tensor>> {
        square("inv", inputs[0])?;
        let (n, _, mut values) = matrices("inv", inputs[0])?;
        for (k, a) in values.chunks_mut((n * n).max(1)).enumerate() {
            let (order, _) = lu(a, n);
            if let Some(i) = (0..n).find(|i| a[i * n + i] == 0.0) {
                bail!(Argument, "inv: matrix {k} of shape {:?} is singular (pivot {i} is 0)", inputs[0].shape());
            }
            let mut inverse = vec![0.0; n * n];
            order.iter().enumerate().for_each(|(row, &column)| inverse[row * n + column] = 1.0);
            substitute(a, &mut inverse, n, n, false, true);
            substitute(a, &mut inverse, n, n, true, false);
            a.copy_from_slice(&inverse);
        }
        let result = of_matrices(inputs[0], &[n, n], &values)?;
        context.save_result(0, &result)?;
        Ok(vec![result])
    }

    fn runs_on_cpu(&self) -> bool {
        true
    }

    fn backward(&self, pass: &Pass) -> Result<Vec<Option<Tensor>>> {
        let inverse = transposed(&pass.saved[0])?;
        Ok(vec![Some(neg(&matmul(&matmul(&inverse, pass.grad())?, &inverse)?)?)])
    }
}

struct LogDeterminant;

impl Op for LogDeterminant {
    fn name(&self) -> &'static str {
        "slogdet"
    }

    fn forward(&self, inputs: &[&Tensor], context: &mut Context) -> Result<Vec<Tensor>> {
        square("slogdet", inputs[0])?;
        let (n, _, mut values) = matrices("slogdet", inputs[0])?;
        let (mut signs, mut logarithms) = (Vec::new(), Vec::new());
        for k in 0..inputs[0].shape()[..inputs[0].ndim() - 2].iter().product() {
            let a = &mut values[k * n * n..(k + 1) * n * n];
            let (_, sign) = lu(a, n);
            let pivots = || (0..n).map(|i| a[i * n + i]);
            // A pivot 0 makes the sign 0.
            signs.push(pivots().fold(sign, |s, p| if p == 0.0 { 0.0 } else { s * p.signum() }));
            logarithms.push(pivots().map(|p| p.abs().ln()).sum());
        }
        context.save(inputs[0])?;
        context.mark_constant(0);
        Ok(vec![of_matrices(inputs[0], &[], &signs)?, of_matrices(inputs[0], &[], &logarithms)?])
    }

    fn runs_on_cpu(&self) -> bool {
        true
    }

    fn backward(&self, pass: &Pass) -> Result<Vec<Option<Tensor>>> {
        let Some(grad) = &pass.grads[1] else { return Ok(vec![None]) };
        let grad = movement::unsqueeze(&movement::unsqueeze(grad, -1)?, -1)?;
        Ok(vec![Some(mul(&grad, &transposed(&inv(&pass.saved[0])?)?)?)])
    }
}

#[cfg(feature = "node")]
mod node {
    use super::*;
    use napi_derive::napi;

    /// How a triangular system is to be read.
    #[napi(object)]
    pub struct TriangularOptions {
        /// The upper triangle of A; the other one is ignored.
        pub upper: bool,
        /// A·X = B (default) or X·A = B.
        pub left: Option<bool>,
        /// The diagonal is taken to be 1. Default false.
        pub unitriangular: Option<bool>,
    }

    #[napi]
    impl Tensor {
        /// The lower triangular L with L·Lᵀ = this, for symmetric positive definite [.., n, n].
        #[napi(js_name = "cholesky")]
        pub fn js_cholesky(&self) -> Result<Tensor> {
            cholesky(self)
        }

        /// X with this·X = b (or X·this = b), this triangular.
        #[napi(js_name = "solveTriangular")]
        pub fn js_solve_triangular(&self, b: &Tensor, options: TriangularOptions) -> Result<Tensor> {
            let how = Triangular {
                upper: options.upper,
                right: !options.left.unwrap_or(true),
                unit: options.unitriangular.unwrap_or(false),
            };
            solve_triangular(self, b, how)
        }

        /// The inverse of each matrix [.., n, n].
        #[napi(js_name = "inv")]
        pub fn js_inv(&self) -> Result<Tensor> {
            inv(self)
        }

        /// `[sign, logarithm of the absolute value]` of each determinant.
        #[napi(js_name = "slogdet", ts_return_type = "[sign: Tensor, logabsdet: Tensor]")]
        pub fn js_slogdet(&self) -> Result<Vec<Tensor>> {
            let (sign, logarithm) = slogdet(self)?;
            Ok(vec![sign, logarithm])
        }
    }
}

#[cfg(test)]
pub fn cases() -> Vec<crate::ops::suite::Case> {
    use crate::ops::suite::*;
    /// Far from singular: a strong diagonal.
    fn regular(shape: &[usize], random: &mut crate::random::Philox) -> Vec<f64> {
        let n = shape[shape.len() - 1].max(1);
        let near = |k: usize| if k % n == k / n % n { 3.0 } else { 0.0 };
        (0..shape.iter().product()).map(|k| near(k) + 0.5 * random.normal() as f64).collect()
    }
    fn definite(x: &Tensor) -> Result<Tensor> {
        mul_scalar(&add(x, &transposed(x)?)?, 0.5)
    }
    let solve =
        |upper, right, unit| move |t: &[Tensor]| solve_triangular(&t[0], &t[1], Triangular { upper, right, unit });
    let one: &[usize] = &[4, 4];
    let many: &[usize] = &[2, 3, 3];
    let inverse = |a: &[Array]| {
        let n = a[0].shape[1];
        // Newton's iteration, from a start that converges.
        let product = |a: &[f64], b: &[f64]| -> Vec<f64> {
            (0..n * n).map(|k| (0..n).map(|j| a[k / n * n + j] * b[j * n + k % n]).sum()).collect()
        };
        let transpose: Vec<f64> = (0..n * n).map(|k| a[0].values[k % n * n + k / n]).collect();
        let scale = a[0].values.iter().map(|v| v * v).sum::<f64>();
        let mut x: Vec<f64> = transpose.iter().map(|v| v / scale).collect();
        for _ in 0..200 {
            let twice = product(&x, &product(&a[0].values, &x));
            x = x.iter().zip(twice).map(|(x, t)| 2.0 * x - t).collect();
        }
        x
    };
    // The part beside the diagonal is nilpotent: n rounds of x ← (b − N·x) / diagonal end exactly.
    let substitution = |upper: bool, right: bool, unit: bool| {
        move |a: &[Array]| {
            let (n, b) = (a[0].shape[0], &a[1]);
            let kept = |i: usize, j: usize| if upper { i < j } else { i > j };
            let mut x = b.values.clone();
            for _ in 0..n {
                let before = x.clone();
                each_index(&b.shape, |i| {
                    let columns = b.shape[1];
                    let this = if right { i[1] } else { i[0] };
                    let known: f64 = (0..n)
                        .filter(|&k| if right { kept(k, this) } else { kept(this, k) })
                        .map(|k| match right {
                            true => before[i[0] * columns + k] * a[0].at(&[k, this]),
                            false => before[k * columns + i[1]] * a[0].at(&[this, k]),
                        })
                        .sum();
                    let diagonal = if unit { 1.0 } else { a[0].at(&[this, this]) };
                    x[i[0] * columns + i[1]] = (b.at(i) - known) / diagonal;
                });
            }
            x
        }
    };
    fn determinant(a: &Array, row: usize, columns: &[usize]) -> f64 {
        let without =
            |k: usize| columns.iter().enumerate().filter(|(j, _)| *j != k).map(|(_, c)| *c).collect::<Vec<_>>();
        let minor = |k: usize| determinant(a, row + 1, &without(k)) * if k % 2 == 0 { 1.0 } else { -1.0 };
        if columns.is_empty() { 1.0 } else { (0..columns.len()).map(|k| a.at(&[row, columns[k]]) * minor(k)).sum() }
    }
    let whole = |a: &[Array]| determinant(&a[0], 0, &(0..a[0].shape[0]).collect::<Vec<_>>());
    vec![
        case("cholesky", "one", [made(one, regular)], |t| cholesky(&definite(&t[0])?)).drops_nan(),
        case("cholesky", "many", [made(many, regular)], |t| cholesky(&definite(&t[0])?)).drops_nan(),
        case("cholesky", "and back", [made(one, regular)], |t| {
            let factor = cholesky(&definite(&t[0])?)?;
            matmul(&factor, &transposed(&factor)?)
        })
        .equals(|a| {
            let n = a[0].shape[0];
            (0..n * n).map(|k| 0.5 * (a[0].values[k] + a[0].values[k % n * n + k / n])).collect()
        })
        .drops_nan(),
        case("solve_triangular", "lower", [made(one, regular), normal(&[4, 3])], solve(false, false, false))
            .equals(substitution(false, false, false)),
        case("solve_triangular", "upper", [made(one, regular), normal(&[4, 3])], solve(true, false, false))
            .equals(substitution(true, false, false))
            .drops_nan(),
        case("solve_triangular", "lower unit", [made(one, regular), normal(&[4, 3])], solve(false, false, true))
            .equals(substitution(false, false, true))
            .drops_nan(),
        case("solve_triangular", "upper right", [made(one, regular), normal(&[3, 4])], solve(true, true, false))
            .equals(substitution(true, true, false))
            .drops_nan(),
        case("solve_triangular", "lower right unit", [made(one, regular), normal(&[3, 4])], solve(false, true, true))
            .equals(substitution(false, true, true))
            .drops_nan(),
        case("solve_triangular", "broadcast", [made(many, regular), normal(&[3, 5])], solve(false, false, false)),
        case("inv", "one", [made(one, regular)], |t| inv(&t[0])).equals(inverse),
        case("inv", "many", [made(many, regular)], |t| inv(&t[0])),
        case("slogdet", "logarithm", [made(one, regular)], |t| Ok(slogdet(&t[0])?.1))
            .equals(move |a| vec![whole(a).abs().ln()]),
        case("slogdet", "sign of one", [normal(one)], |t| Ok(slogdet(&t[0])?.0))
            .equals(move |a| vec![whole(a).signum()])
            .without_gradient()
            .drops_nan(),
        case("slogdet", "logarithms", [made(many, regular)], |t| Ok(slogdet(&t[0])?.1)),
        case("slogdet", "sign", [made(many, regular)], |t| Ok(slogdet(&t[0])?.0)).without_gradient().drops_nan(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matrix(values: &[f64]) -> Tensor {
        Tensor::from_slice(values, &[2, 2]).unwrap()
    }

    #[test]
    fn matrices_that_cannot_be_factored_are_named() {
        let error = cholesky(&matrix(&[1.0, 2.0, 2.0, 1.0])).unwrap_err();
        assert_eq!(error.code(), "ERR_ARGUMENT");
        assert!(error.message().contains("pivot 1 is -3"), "{error}");
        assert_eq!(inv(&matrix(&[1.0, 2.0, 2.0, 4.0])).unwrap_err().code(), "ERR_ARGUMENT");
        assert_eq!(inv(&Tensor::zeros(&[2, 3], DType::F32).unwrap()).unwrap_err().code(), "ERR_SHAPE");
    }

    #[test]
    fn determinants() {
        for (values, sign, size) in
            [([0.0, 2.0, 3.0, 0.0], -1.0, 6.0), ([1.0, 2.0, 3.0, 4.0], -1.0, 2.0), ([2.0, 0.0, 0.0, 2.0], 1.0, 4.0)]
        {
            let (s, l) = slogdet(&matrix(&values)).unwrap();
            assert_eq!(s.to_scalar().unwrap(), sign);
            assert!((l.to_scalar().unwrap() - f64::ln(size)).abs() < 1e-14);
        }
        let (s, l) = slogdet(&matrix(&[1.0, 2.0, 2.0, 4.0])).unwrap();
        assert_eq!((s.to_scalar().unwrap(), l.to_scalar().unwrap()), (0.0, f64::NEG_INFINITY));
    }
}
