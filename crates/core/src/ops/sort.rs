//! Sorting along a dimension and the largest or smallest few. Always stable: elements that tie keep their order, and a
//! NaN counts as larger than every number. Gradients go to the elements chosen.

use crate::cpu::math::nan_last;
use crate::cpu::threads::{SharedPointer, parallel_ranges};
use crate::dtype::{DType, Element};
use crate::error::Result;
use crate::op::{Context, Op, Pass, apply_one};
use crate::ops::lines::Lines;
use crate::ops::scatter::gather;
use crate::storage::Buffer;
use crate::tensor::Tensor;
use crate::{dispatch_all, ensure};
use std::cmp::Ordering;

/// The elements in order along a dimension, and their indices (int64).
pub fn sort(x: &Tensor, dim: i64, descending: bool) -> Result<(Tensor, Tensor)> {
    let indices = argsort(x, dim, descending)?;
    Ok((gather(x, dim, &indices)?, indices))
}

/// The indices that sort along a dimension, int64.
pub fn argsort(x: &Tensor, dim: i64, descending: bool) -> Result<Tensor> {
    apply_one(Argsort { name: "argsort", dim, descending, only: None }, &[x])
}

/// The k largest (or smallest) elements along a dimension, best first, and their indices (int64).
pub fn topk(x: &Tensor, k: usize, dim: i64, largest: bool) -> Result<(Tensor, Tensor)> {
    let indices = apply_one(Argsort { name: "topk", dim, descending: largest, only: Some(k) }, &[x])?;
    Ok((gather(x, dim, &indices)?, indices))
}

struct Argsort {
    name: &'static str,
    dim: i64,
    descending: bool,
    /// Only the first few.
    only: Option<usize>,
}

impl Argsort {
    /// How many indices a line of that length has in the result.
    fn count(&self, x: &Tensor, length: usize) -> Result<usize> {
        let k = self.only.unwrap_or(length);
        ensure!(
            k <= length,
            Argument,
            "topk: {k} of the {length} elements along dimension {} of {:?}",
            self.dim,
            x.shape()
        );
        Ok(k)
    }
}

impl Op for Argsort {
    fn name(&self) -> &'static str {
        self.name
    }

    fn forward(&self, inputs: &[&Tensor], _: &mut Context) -> Result<Vec<Tensor>> {
        let x = inputs[0];
        let lines = Lines::of(self.name, x, self.dim)?;
        let (count, length) = (lines.count(), lines.length());
        let k = self.count(x, length)?;
        let mut out = Buffer::<i64>::new(count * k)?;
        let shared = SharedPointer::new(&mut out);
        dispatch_all!(x.dtype(), T => {
            let values = lines.values::<T>();
            parallel_ranges(count, 2048usize.div_ceil(length.max(1)), |range| {
                for row in range {
                    // SAFETY: each row writes its own indices.
                    let out = unsafe { shared.slice(row * k..(row + 1) * k) };
                    let line = &values[row * length..(row + 1) * length];
                    if self.descending { first(line, |a, b| nan_last(b, a), out) } else { first(line, nan_last, out) }
                }
            });
        });
        Ok(vec![lines.replaced(out, k, DType::I64)?])
    }

    #[cfg(feature = "gpu")]
    fn forward_gpu(&self, inputs: &[&Tensor], _: &mut Context) -> Result<Vec<Tensor>> {
        let x = inputs[0];
        let dim = crate::shape::resolve_dim(self.name, self.dim, x.ndim().max(1))?;
        let k = self.count(x, x.shape().get(dim).copied().unwrap_or(1))?;
        Ok(vec![crate::ops::sort_gpu::argsort(x, dim, self.descending, Some(k))?])
    }

    fn backward(&self, _: &Pass) -> Result<Vec<Option<Tensor>>> {
        Ok(vec![None])
    }
}

/// Indices of the first `out.len()` elements in that order; those that tie in order of index.
fn first<T: Element>(line: &[T], order: impl Fn(T, T) -> Ordering, out: &mut [i64]) {
    let (n, k) = (line.len(), out.len());
    if k == 0 {
        return;
    }
    if k <= 64 && k * 4 <= n {
        // The best so far, in order; most elements only meet the last of them.
        let mut best: Vec<(T, usize)> = Vec::with_capacity(k + 1);
        for (i, &v) in line.iter().enumerate() {
            if best.len() == k && order(v, best[k - 1].0) != Ordering::Less {
                continue;
            }
            let at = best.partition_point(|(b, _)| order(*b, v) != Ordering::Greater);
            best.insert(at, (v, i));
            best.truncate(k);
        }
        out.iter_mut().zip(best).for_each(|(o, (_, i))| *o = i as i64);
        return;
    }
    let mut indices: Vec<usize> = (0..n).collect();
    let by_value = |a: &usize, b: &usize| order(line[*a], line[*b]).then(a.cmp(b));
    if k < n {
        indices.select_nth_unstable_by(k - 1, by_value);
        indices.truncate(k);
    }
    indices.sort_unstable_by(by_value);
    out.iter_mut().zip(indices).for_each(|(o, i)| *o = i as i64);
}

#[cfg(feature = "node")]
mod node {
    use super::*;
    use napi_derive::napi;

    #[napi]
    impl Tensor {
        /// `[values, indices]` in ascending order along `dim` (default the last), stable; NaN counts as largest.
        #[napi(js_name = "sort", ts_return_type = "[values: Tensor, indices: Tensor]")]
        pub fn js_sort(&self, dim: Option<i64>, descending: Option<bool>) -> Result<Vec<Tensor>> {
            let (values, indices) = sort(self, dim.unwrap_or(-1), descending.unwrap_or(false))?;
            Ok(vec![values, indices])
        }

        /// The indices (int64) that sort along `dim` (default the last), stable; NaN counts as largest.
        #[napi(js_name = "argsort")]
        pub fn js_argsort(&self, dim: Option<i64>, descending: Option<bool>) -> Result<Tensor> {
            argsort(self, dim.unwrap_or(-1), descending.unwrap_or(false))
        }

        /// `[values, indices]` of the k largest (or smallest) elements along `dim` (default the last), best first.
        #[napi(js_name = "topk", ts_return_type = "[values: Tensor, indices: Tensor]")]
        pub fn js_topk(&self, k: u32, dim: Option<i64>, largest: Option<bool>) -> Result<Vec<Tensor>> {
            let (values, indices) = topk(self, k as usize, dim.unwrap_or(-1), largest.unwrap_or(true))?;
            Ok(vec![values, indices])
        }
    }
}

#[cfg(test)]
pub fn cases() -> Vec<crate::ops::suite::Case> {
    use crate::ops::suite::*;
    fn sorted(x: &[f64]) -> Vec<f64> {
        let mut x = x.to_vec();
        x.sort_by(f64::total_cmp);
        x
    }
    fn descending(x: &[f64]) -> Vec<f64> {
        sorted(x).into_iter().rev().collect()
    }
    fn indices(x: &[f64]) -> Vec<f64> {
        let mut order: Vec<usize> = (0..x.len()).collect();
        order.sort_by(|a, b| x[*a].total_cmp(&x[*b]));
        order.into_iter().map(|i| i as f64).collect()
    }
    vec![
        case("argsort", "rows", [distinct(&[4, 5])], |t| argsort(&t[0], 1, false))
            .equals(along(1, indices))
            .drops_nan(),
        case("argsort", "ties keep their order", [index(3, &[20, 4])], |t| argsort(&t[0], 0, false))
            .equals(along(0, indices)),
        case("argsort", "values", [distinct(&[2, 5, 4])], |t| Ok(sort(&t[0], 1, false)?.0)).equals(along(1, sorted)),
        case("argsort", "descending values", [distinct(&[2, 5, 4])], |t| Ok(sort(&t[0], -1, true)?.0))
            .equals(along(2, descending)),
        case("argsort", "of a scalar", [normal(&[])], |t| Ok(sort(&t[0], 0, false)?.0)).equals(|a| a[0].values.clone()),
        case("topk", "few of many", [distinct(&[2, 70])], |t| Ok(topk(&t[0], 3, 1, true)?.0))
            .equals(along(1, |x| descending(x)[..3].to_vec())),
        case("topk", "few of many: indices", [distinct(&[2, 70])], |t| Ok(topk(&t[0], 3, 1, false)?.1))
            .equals(along(1, |x| indices(x)[..3].to_vec()))
            .drops_nan(),
        case("topk", "many of few", [distinct(&[5, 4])], |t| Ok(topk(&t[0], 3, 0, true)?.0))
            .equals(along(0, |x| descending(x)[..3].to_vec())),
        case("topk", "all", [distinct(&[3, 5])], |t| Ok(topk(&t[0], t[0].shape()[1], 1, false)?.0))
            .equals(along(1, sorted)),
        case("topk", "none", [distinct(&[3, 5])], |t| Ok(topk(&t[0], 0, 1, true)?.0)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nan_is_largest_and_ties_keep_their_order() {
        let x = Tensor::from_slice(&[2.0f32, f32::NAN, 1.0, 2.0, f32::NEG_INFINITY, f32::NAN], &[6]).unwrap();
        assert_eq!(argsort(&x, 0, false).unwrap().to_vec::<i64>().unwrap(), [4, 2, 0, 3, 1, 5]);
        assert_eq!(argsort(&x, 0, true).unwrap().to_vec::<i64>().unwrap(), [1, 5, 0, 3, 2, 4]);
        assert_eq!(topk(&x, 3, 0, true).unwrap().1.to_vec::<i64>().unwrap(), [1, 5, 0]);
        let long: Vec<f32> = (0..300).map(|i| if i % 7 == 3 { f32::NAN } else { (i % 5) as f32 }).collect();
        let long = Tensor::from_slice(&long, &[300]).unwrap();
        for largest in [true, false] {
            let all = argsort(&long, 0, largest).unwrap().to_vec::<i64>().unwrap();
            for k in [1, 10, 64, 65, 200, 300] {
                assert_eq!(topk(&long, k, 0, largest).unwrap().1.to_vec::<i64>().unwrap(), all[..k], "{k}");
            }
        }
    }

    #[test]
    fn more_than_there_are_is_refused() {
        let error = topk(&Tensor::zeros(&[2, 3], DType::F32).unwrap(), 4, 1, true).unwrap_err();
        assert_eq!(error.code(), "ERR_ARGUMENT");
        assert!(error.message().contains("4 of the 3"), "{error}");
    }
}
