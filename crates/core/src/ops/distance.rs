//! Distances between all pairs of two sets of vectors.

use crate::cpu::dispatch::{Kernel, dispatch};
use crate::cpu::math::{Math, select};
use crate::cpu::threads::{SharedPointer, parallel_ranges};
use crate::error::Result;
use crate::op::{Context, Op, Pass, apply_one, once_one};
#[cfg(feature = "gpu")]
use crate::ops::distance_gpu;
use crate::ops::linalg::transposed;
use crate::ops::movement;
use crate::shape::{Dims, broadcast};
use crate::storage::Buffer;
use crate::tensor::Tensor;
use crate::{dispatch_float, ensure};

/// p-norms of aᵢ − bⱼ for vectors [.., n, d] and [.., m, d]: [.., n, m], batch dimensions broadcast. Each difference is
/// taken by itself (no |a|² + |b|² − 2ab, which loses what is close together). The gradient of a distance 0 is 0.
pub fn cdist(a: &Tensor, b: &Tensor, p: f64) -> Result<Tensor> {
    ensure!(p >= 0.0, Argument, "cdist: p is {p}, not 0 or more");
    ensure!(
        a.ndim() >= 2 && b.ndim() >= 2 && a.shape()[a.ndim() - 1] == b.shape()[b.ndim() - 1],
        Shape,
        "cdist: needs vectors [.., n, d] and [.., m, d], not {:?} and {:?}",
        a.shape(),
        b.shape()
    );
    ensure!(a.dtype() == b.dtype(), Dtype, "cdist: {} and {} do not mix", a.dtype().name(), b.dtype().name());
    let batch = broadcast("cdist", &a.shape()[..a.ndim() - 2], &b.shape()[..b.ndim() - 2])?;
    let shaped = |t: &Tensor| -> Result<Tensor> {
        movement::expand(t, &Dims::from_iter(batch.iter().chain(&t.shape()[t.ndim() - 2..]).copied()))
    };
    apply_one(Distances { p }, &[&shaped(a)?, &shaped(b)?])
}

struct Distances {
    p: f64,
}

impl Op for Distances {
    fn name(&self) -> &'static str {
        "cdist"
    }

    fn forward(&self, inputs: &[&Tensor], context: &mut Context) -> Result<Vec<Tensor>> {
        let (a, b) = (movement::contiguous(&inputs[0].detach()?)?, movement::contiguous(&inputs[1].detach()?)?);
        let last = |t: &Tensor, k: usize| t.shape()[t.ndim() - k];
        let (n, m, d) = (last(&a, 2), last(&b, 2), last(&a, 1));
        let mut shape = Dims::from_slice(a.shape());
        *shape.last_mut().expect("two dimensions") = m;
        let result = dispatch_float!(a.dtype(), "cdist", T => {
            let (from, to) = (a.slice::<T>(), b.slice::<T>());
            let mut out = Buffer::<T>::new(shape.iter().product())?;
            let shared = SharedPointer::new(&mut out);
            parallel_ranges(out_rows(&shape), 8192usize.div_ceil((m * d).max(1)), |range| {
                for row in range {
                    // SAFETY: each row is written by one task.
                    let out = unsafe { shared.slice(row * m..(row + 1) * m) };
                    let (a, first) = (&from[row * d..(row + 1) * d], row / n * m);
                    for (j, distance) in out.iter_mut().enumerate() {
                        let b = &to[(first + j) * d..(first + j + 1) * d];
                        *distance = between(a, b, self.p);
                    }
                }
            });
            Tensor::from_buffer(out, &shape)
        });
        context.save(inputs[0])?;
        context.save(inputs[1])?;
        context.save_result(0, &result)?;
        Ok(vec![result])
    }

    #[cfg(feature = "gpu")]
    fn forward_gpu(&self, inputs: &[&Tensor], context: &mut Context) -> Result<Vec<Tensor>> {
        let [a, b] = [inputs[0], inputs[1]];
        ensure!(a.dtype().is_float(), Dtype, "cdist: takes float32 or float64, not {}", a.dtype().name());
        let mut shape = Dims::from_slice(a.shape());
        *shape.last_mut().expect("two dimensions") = b.shape()[b.ndim() - 2];
        let result = distance_gpu::forward(a, b, &shape, self.p)?;
        context.save(a)?;
        context.save(b)?;
        context.save_result(0, &result)?;
        Ok(vec![result])
    }

    fn backward(&self, pass: &Pass) -> Result<Vec<Option<Tensor>>> {
        let [a, b, distances] = pass.saved else { unreachable!("forward saves three") };
        let grad = pass.grad();
        let to_a =
            pass.needs(0).then(|| once_one("cdist", &[a, b, distances, grad], |t| self.gradient(t))).transpose()?;
        let to_b = if pass.needs(1) {
            let (distances, grad) = (transposed(distances)?, transposed(grad)?);
            Some(once_one("cdist", &[b, a, &distances, &grad], |t| self.gradient(t))?)
        } else {
            None
        };
        Ok(vec![to_a, to_b])
    }
}

impl Distances {
    /// Of the first vectors: Σⱼ gᵢⱼ·sign(δ)·|δ|^(p−1)·distᵢⱼ^(1−p), δ = aᵢ − bⱼ.
    fn gradient(&self, inputs: &[&Tensor]) -> Result<Tensor> {
        #[cfg(feature = "gpu")]
        if !inputs[0].is_host() {
            return distance_gpu::gradient(inputs[0], inputs[1], inputs[2], inputs[3], self.p);
        }
        let contiguous: Vec<Tensor> = inputs.iter().map(|t| movement::contiguous(t)).collect::<Result<_>>()?;
        let [a, b, distances, grad] = &contiguous[..] else { unreachable!("backward gives four") };
        let last = |t: &Tensor, k: usize| t.shape()[t.ndim() - k];
        let (n, m, d) = (last(a, 2), last(b, 2), last(a, 1));
        let p = self.p;
        Ok(dispatch_float!(a.dtype(), "cdist", T => {
            let (from, to) = (a.slice::<T>(), b.slice::<T>());
            let (distances, grad) = (distances.slice::<T>(), grad.slice::<T>());
            let mut out = Buffer::<T>::zeroed(a.numel())?;
            let shared = SharedPointer::new(&mut out);
            parallel_ranges(out_rows(a.shape()), 8192usize.div_ceil((m * d).max(1)), |range| {
                for row in range {
                    // SAFETY: each row is written by one task.
                    let out = unsafe { shared.slice(row * d..(row + 1) * d) };
                    let (a, first) = (&from[row * d..(row + 1) * d], row / n * m);
                    for j in 0..m {
                        let b = &to[(first + j) * d..(first + j + 1) * d];
                        let (distance, g) = (distances[row * m + j], grad[row * m + j]);
                        if distance != 0.0 {
                            dispatch(Add { a, b, out, distance, g, p });
                        }
                    }
                }
            });
            Tensor::from_buffer(out, a.shape())
        }))
    }
}

fn out_rows(shape: &[usize]) -> usize {
    shape[..shape.len() - 1].iter().product()
}

/// The p-norm of a − b.
fn between<T: Math>(a: &[T], b: &[T], p: f64) -> T {
    let total = dispatch(Accumulate { a, b, p });
    if p == 2.0 {
        total.sqrt()
    } else if p == 0.0 || p == 1.0 || p == f64::INFINITY {
        total
    } else {
        total.powf(T::from_f64(1.0 / p))
    }
}

/// Σ|a − b|ᵖ; for p = 0 how many differ, for p = ∞ the largest.
struct Accumulate<'a, T> {
    a: &'a [T],
    b: &'a [T],
    p: f64,
}

impl<T: Math> Kernel for Accumulate<'_, T> {
    type Output = T;

    #[inline(always)]
    fn run(self) -> T {
        let Accumulate { a, b, p } = self;
        let add = |sum: T, v: T| sum + v;
        if p == 2.0 {
            lanes(a, b, |d| d * d, add)
        } else if p == 1.0 {
            lanes(a, b, |d| d.abs(), add)
        } else if p == f64::INFINITY {
            lanes(a, b, |d| d.abs(), crate::cpu::math::max)
        } else if p == 0.0 {
            lanes(a, b, |d| select(select(d, T::ONE, d != T::ZERO), d, d.is_nan()), add)
        } else {
            let p = T::from_f64(p);
            lanes(a, b, |d| d.abs().powf(p), add)
        }
    }
}

/// Sixteen lanes side by side, then across.
#[inline(always)]
fn lanes<T: Math>(a: &[T], b: &[T], f: impl Fn(T) -> T, join: impl Fn(T, T) -> T) -> T {
    let mut lanes = [T::ZERO; 16];
    let (mut left, mut right) = (a.chunks_exact(16), b.chunks_exact(16));
    for (a, b) in (&mut left).zip(&mut right) {
        for k in 0..16 {
            lanes[k] = join(lanes[k], f(a[k] - b[k]));
        }
    }
    for (k, (a, b)) in left.remainder().iter().zip(right.remainder()).enumerate() {
        lanes[k] = join(lanes[k], f(*a - *b));
    }
    for half in [8, 4, 2, 1] {
        for k in 0..half {
            lanes[k] = join(lanes[k], lanes[k + half]);
        }
    }
    lanes[0]
}

/// Adds the gradient that one distance sends to a.
struct Add<'a, T> {
    a: &'a [T],
    b: &'a [T],
    out: &'a mut [T],
    distance: T,
    g: T,
    p: f64,
}

impl<T: Math> Kernel for Add<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Add { a, b, out, distance, g, p } = self;
        let each = |out: &mut [T], f: &dyn Fn(T) -> T| {
            out.iter_mut().zip(a.iter().zip(b)).for_each(|(o, (a, b))| *o += f(*a - *b))
        };
        if p == 2.0 {
            let scale = g / distance;
            out.iter_mut().zip(a.iter().zip(b)).for_each(|(o, (a, b))| *o += scale * (*a - *b));
        } else if p == 1.0 {
            each(out, &|d| g * crate::cpu::math::sign(d));
        } else if p == f64::INFINITY {
            each(out, &|d| if d.abs() == distance { g * crate::cpu::math::sign(d) } else { T::ZERO });
        } else if p != 0.0 {
            let exponent = T::from_f64(p - 1.0);
            let scale = g / distance.powf(exponent);
            each(out, &|d| {
                if d == T::ZERO { T::ZERO } else { scale * crate::cpu::math::sign(d) * d.abs().powf(exponent) }
            });
        }
    }
}

#[cfg_attr(feature = "node", napi_derive::napi)]
impl Tensor {
    /// p-norms (default 2) of aᵢ − bⱼ for vectors [.., n, d] (this) and [.., m, d]: [.., n, m].
    #[cfg_attr(feature = "node", napi_derive::napi)]
    pub fn cdist(&self, other: &Tensor, p: Option<f64>) -> Result<Tensor> {
        cdist(self, other, p.unwrap_or(2.0))
    }
}

#[cfg(test)]
pub fn cases() -> Vec<crate::ops::suite::Case> {
    use crate::ops::suite::*;
    let reference = |p: f64| {
        move |a: &[Array]| {
            let mut out = Vec::new();
            each_index(&[a[0].shape[0], a[1].shape[0]], |i| {
                let differences = (0..a[0].shape[1]).map(|k| (a[0].at(&[i[0], k]) - a[1].at(&[i[1], k])).abs());
                out.push(match p {
                    f64::INFINITY => differences.fold(0.0, f64::max),
                    0.0 => differences.filter(|d| *d != 0.0).count() as f64,
                    p => differences.map(|d| d.powf(p)).sum::<f64>().powf(1.0 / p),
                });
            });
            out
        }
    };
    let vectors = || [distinct(&[5, 3]), distinct(&[4, 3])];
    vec![
        case("cdist", "p 2", [normal(&[5, 20]), normal(&[4, 20])], |t| cdist(&t[0], &t[1], 2.0)).equals(reference(2.0)),
        case("cdist", "p 1", vectors(), |t| cdist(&t[0], &t[1], 1.0)).equals(reference(1.0)),
        case("cdist", "p 3", vectors(), |t| cdist(&t[0], &t[1], 3.0)).equals(reference(3.0)),
        case("cdist", "p 0", vectors(), |t| cdist(&t[0], &t[1], 0.0)).equals(reference(0.0)),
        case("cdist", "p infinite", [distinct(&[5, 20]), distinct(&[4, 20])], |t| cdist(&t[0], &t[1], f64::INFINITY))
            .equals(reference(f64::INFINITY)),
        case("cdist", "batches", [normal(&[2, 3, 4]), normal(&[2, 6, 4])], |t| cdist(&t[0], &t[1], 2.0)),
        case("cdist", "one batch for all", [normal(&[2, 3, 4]), normal(&[6, 4])], |t| cdist(&t[0], &t[1], 2.0)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dtype::DType;

    #[test]
    fn vectors_that_coincide_send_no_gradient() {
        for p in [0.0, 0.5, 1.0, 2.0, 3.0, f64::INFINITY] {
            let a = Tensor::from_slice(&[1.0, 2.0, 3.0, 4.0], &[2, 2]).unwrap();
            a.set_requires_grad(true).unwrap();
            let distances = cdist(&a, &a.detach().unwrap(), p).unwrap();
            let values = distances.to_vec::<f64>().unwrap();
            assert_eq!((values[0], values[3]), (0.0, 0.0), "p {p}");
            let eye = Tensor::from_slice(&[1.0, 0.0, 0.0, 1.0], &[2, 2]).unwrap();
            crate::autograd::backward(&distances, Some(&eye), Default::default()).unwrap();
            assert_eq!(a.grad().unwrap().to_vec::<f64>().unwrap(), [0.0; 4], "p {p}");
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let zeros = |shape: &[usize], dtype| Tensor::zeros(shape, dtype).unwrap();
        let a = zeros(&[2, 3], DType::F32);
        assert_eq!(cdist(&a, &zeros(&[2, 4], DType::F32), 2.0).unwrap_err().code(), "ERR_SHAPE");
        assert_eq!(cdist(&a, &zeros(&[3], DType::F32), 2.0).unwrap_err().code(), "ERR_SHAPE");
        assert_eq!(cdist(&a, &zeros(&[2, 3], DType::F64), 2.0).unwrap_err().code(), "ERR_DTYPE");
        for p in [-1.0, f64::NAN] {
            assert_eq!(cdist(&a, &a, p).unwrap_err().code(), "ERR_ARGUMENT");
        }
    }
}
