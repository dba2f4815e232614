//! The rows of a set that lie nearest to other rows: the search behind a classification by neighbours.

use crate::cpu::nearest;
use crate::error::Result;
use crate::op::{Context, Op, Pass, apply};
use crate::ops::elementwise::{add, clamp_both, mul, mul_scalar, neg, square, sub};
use crate::ops::index::{index_add, index_select};
use crate::ops::linalg::transposed;
use crate::ops::matmul::matmul;
use crate::ops::movement;
use crate::ops::reduce::sum;
use crate::ops::sort::topk;
use crate::profile::product_operations;
use crate::storage::Buffer;
use crate::tensor::Tensor;
use crate::{dispatch_float, ensure};

/// For each query [n, dim] the k nearest rows of `set` [m, dim]: squared Euclidean distances [n, k] in ascending order and
/// their places [n, k] (int64). Rows equally far are in order of place, and a NaN is farther than every number. Distances are
/// |q|² + |s|² − 2 q·s: quick, and less exact than `cdist` where both rows are long and close together.
pub fn nearest(queries: &Tensor, set: &Tensor, k: usize) -> Result<(Tensor, Tensor)> {
    let dtype = queries.dtype().promote(set.dtype());
    let (queries, set) = (movement::to_dtype(queries, dtype)?, movement::to_dtype(set, dtype)?);
    let mut results = apply(Nearest { k }, &[&queries, &set])?.into_iter();
    let [squared, indices] = [results.next(), results.next()].map(|result| result.expect("two results"));
    Ok((squared, indices))
}

struct Nearest {
    k: usize,
}

impl Nearest {
    fn check(&self, queries: &Tensor, set: &Tensor) -> Result<()> {
        ensure!(
            queries.ndim() == 2 && set.ndim() == 2 && queries.shape()[1] == set.shape()[1],
            Shape,
            "nearest: needs rows [n, dim] and [m, dim], not {:?} and {:?}",
            queries.shape(),
            set.shape()
        );
        ensure!(self.k <= set.shape()[0], Argument, "nearest: {} of the {} rows of the set", self.k, set.shape()[0]);
        Ok(())
    }

    fn keep(&self, inputs: &[&Tensor], [squared, indices]: [Tensor; 2], context: &mut Context) -> Result<Vec<Tensor>> {
        context.save(inputs[0])?;
        context.save(inputs[1])?;
        context.save_result(1, &indices)?;
        Ok(vec![squared, indices])
    }

    /// By way of the matrix of all distances.
    fn of_all(&self, queries: &Tensor, set: &Tensor) -> Result<[Tensor; 2]> {
        let (queries, set) = (queries.detach()?, set.detach()?);
        let products = matmul(&mul_scalar(&queries, -2.0)?, &transposed(&set)?)?;
        let parts = add(&products, &sum(&square(&set)?, Some(&[1]), false)?)?;
        let (values, indices) = topk(&parts, self.k, 1, false)?;
        let squared = add(&values, &sum(&square(&queries)?, Some(&[1]), true)?)?;
        Ok([clamp_both(&squared, 0.0, f64::INFINITY)?, indices])
    }
}

impl Op for Nearest {
    fn name(&self) -> &'static str {
        "nearest"
    }

    fn forward(&self, inputs: &[&Tensor], context: &mut Context) -> Result<Vec<Tensor>> {
        let [queries, set] = [inputs[0], inputs[1]];
        self.check(queries, set)?;
        let [count, dim] = [queries.shape()[0], queries.shape()[1]];
        if dim == 0 {
            return self.keep(inputs, self.of_all(queries, set)?, context);
        }
        let (queries, set) = (movement::contiguous(&queries.detach()?)?, movement::contiguous(&set.detach()?)?);
        let mut indices = Buffer::<i64>::new(count * self.k)?;
        let squared = dispatch_float!(queries.dtype(), "nearest", T => {
            let mut squared = Buffer::<T>::new(count * self.k)?;
            let found = nearest::nearest(queries.slice::<T>(), set.slice::<T>(), dim, self.k);
            for ((squared, index), found) in squared.iter_mut().zip(indices.iter_mut()).zip(found.iter().flatten()) {
                *squared = found.squared;
                *index = found.index as i64;
            }
            Tensor::from_buffer(squared, &[count, self.k])
        });
        self.keep(inputs, [squared, Tensor::from_buffer(indices, &[count, self.k])], context)
    }

    #[cfg(feature = "gpu")]
    fn forward_gpu(&self, inputs: &[&Tensor], context: &mut Context) -> Result<Vec<Tensor>> {
        self.check(inputs[0], inputs[1])?;
        self.keep(inputs, self.of_all(inputs[0], inputs[1])?, context)
    }

    /// Of |q − s|² towards q: 2 (q − s); towards s the opposite.
    fn backward(&self, pass: &Pass) -> Result<Vec<Option<Tensor>>> {
        let [queries, set, indices] = pass.saved else { unreachable!("forward saves three") };
        let [count, dim] = [queries.shape()[0], queries.shape()[1]];
        let places = movement::reshape_to(indices, &[count * self.k])?;
        let chosen = movement::reshape_to(&index_select(set, 0, &places)?, &[count, self.k, dim])?;
        let between = sub(&movement::unsqueeze(queries, 1)?, &chosen)?;
        let part = mul(&between, &mul_scalar(&movement::unsqueeze(pass.grad(), 2)?, 2.0)?)?;
        let to_queries = pass.needs(0).then(|| sum(&part, Some(&[1]), false)).transpose()?;
        let to_set = if pass.needs(1) {
            let flat = movement::reshape_to(&neg(&part)?, &[count * self.k, dim])?;
            Some(index_add(&set.zeros_like()?, 0, &places, &flat)?)
        } else {
            None
        };
        Ok(vec![to_queries, to_set])
    }

    fn operations(&self, shapes: &[&[usize]]) -> u64 {
        product_operations(shapes[0]) * shapes[1][0] as u64
    }
}

#[cfg(feature = "node")]
mod node {
    use super::*;
    use napi_derive::napi;

    #[napi]
    impl Tensor {
        /// The k nearest rows of `set` [m, dim] for each row of this [n, dim]: `[squared, indices]`, squared Euclidean
        /// distances [n, k] in ascending order and their places [n, k]. All distances are never in memory together.
        #[napi(js_name = "nearest", ts_return_type = "[squared: Tensor, indices: Tensor]")]
        pub fn js_nearest(&self, set: &Tensor, k: u32) -> Result<Vec<Tensor>> {
            let (squared, indices) = nearest(self, set, k as usize)?;
            Ok(vec![squared, indices])
        }
    }
}

#[cfg(test)]
pub fn cases() -> Vec<crate::ops::suite::Case> {
    use crate::ops::suite::*;
    /// (distance, place) of all rows for each query, nearest first.
    fn plain(a: &[Array]) -> Vec<Vec<(f64, usize)>> {
        let [n, m, dim] = [a[0].shape[0], a[1].shape[0], a[0].shape[1]];
        let distance = |i: usize, j: usize| (0..dim).map(|p| (a[0].at(&[i, p]) - a[1].at(&[j, p])).powi(2)).sum();
        let row = |i| {
            let mut row: Vec<(f64, usize)> = (0..m).map(|j| (distance(i, j), j)).collect();
            row.sort_by(|a, b| a.0.total_cmp(&b.0));
            row
        };
        (0..n).map(row).collect()
    }
    let half = |t: &[Tensor]| t[1].shape()[0] / 2;
    let rows = || [normal(&[5, 3]), normal(&[7, 3])];
    let first = |a: &[Array]| a[1].shape[0] / 2;
    vec![
        case("nearest", "distances", rows(), move |t| Ok(nearest(&t[0], &t[1], half(t))?.0))
            .equals(move |a| {
                plain(a).iter().flat_map(|row| row[..first(a)].iter().map(|r| r.0).collect::<Vec<_>>()).collect()
            })
            .drops_nan(),
        case("nearest", "places", rows(), move |t| Ok(nearest(&t[0], &t[1], half(t))?.1))
            .equals(move |a| {
                plain(a).iter().flat_map(|row| row[..first(a)].iter().map(|r| r.1 as f64).collect::<Vec<_>>()).collect()
            })
            .drops_nan(),
        case("nearest", "all", [normal(&[4, 3]), normal(&[6, 3])], |t| Ok(nearest(&t[0], &t[1], t[1].shape()[0])?.0)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dtype::DType;

    #[test]
    fn what_does_not_fit_is_refused() {
        let zeros = |shape: &[usize]| Tensor::zeros(shape, DType::F32).unwrap();
        let code = |a: &[usize], b: &[usize], k| nearest(&zeros(a), &zeros(b), k).unwrap_err().code();
        assert_eq!(code(&[2, 3], &[4, 2], 1), "ERR_SHAPE");
        assert_eq!(code(&[3], &[4, 3], 1), "ERR_SHAPE");
        assert_eq!(code(&[2, 3], &[4, 3], 5), "ERR_ARGUMENT");
        let whole = Tensor::zeros(&[2, 3], DType::I64).unwrap();
        assert_eq!(nearest(&whole, &whole, 1).unwrap_err().code(), "ERR_DTYPE");
    }

    #[test]
    fn the_way_over_all_distances_finds_the_same() {
        let numbers = |n: usize| (0..n * 6).map(|i| ((i * 37 + 11) % 101) as f32 / 50.0 - 1.0).collect::<Vec<f32>>();
        let [a, b] = [9, 40].map(|n| Tensor::from_slice(&numbers(n), &[n, 6]).unwrap());
        let [squared, indices] = Nearest { k: 5 }.of_all(&a, &b).unwrap();
        let found = nearest(&a, &b, 5).unwrap();
        assert_eq!(found.1.to_vec::<i64>().unwrap(), indices.to_vec::<i64>().unwrap());
        for (a, b) in found.0.to_vec::<f32>().unwrap().iter().zip(squared.to_vec::<f32>().unwrap()) {
            assert!((a - b).abs() < 1e-5, "{a} {b}");
        }
    }
}
