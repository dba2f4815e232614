//! Largest and smallest elements over dimensions, and where they lie. A NaN is larger and smaller than everything.

use crate::cpu::dispatch::{Kernel, dispatch};
use crate::cpu::threads::{SharedPointer, parallel_ranges};
use crate::dtype::Element;
use crate::error::Result;
use crate::op::{Context, Op, Pass, apply_one};
use crate::ops::elementwise::{Comparison, compare, div, mul};
use crate::ops::lines::Lines;
use crate::ops::movement;
use crate::ops::reduce::{drop_dims, sum};
use crate::ops::scatter::gather;
use crate::shape::{Dims, resolve_dim, resolve_dims};
use crate::storage::Buffer;
use crate::tensor::Tensor;
use crate::{dispatch_all, ensure};

/// The largest element over dimensions (all if None). Elements that tie share the gradient evenly.
pub fn amax(x: &Tensor, dims: Option<&[i64]>, keepdim: bool) -> Result<Tensor> {
    extreme(x, dims, keepdim, true)
}

/// The smallest element over dimensions (all if None). Elements that tie share the gradient evenly.
pub fn amin(x: &Tensor, dims: Option<&[i64]>, keepdim: bool) -> Result<Tensor> {
    extreme(x, dims, keepdim, false)
}

/// The largest elements along a dimension and their indices (the first of those that tie; it gets the gradient).
pub fn max_along(x: &Tensor, dim: i64, keepdim: bool) -> Result<(Tensor, Tensor)> {
    extreme_along(x, dim, keepdim, true)
}

/// The smallest elements along a dimension and their indices (the first of those that tie; it gets the gradient).
pub fn min_along(x: &Tensor, dim: i64, keepdim: bool) -> Result<(Tensor, Tensor)> {
    extreme_along(x, dim, keepdim, false)
}

/// Where the largest element lies along a dimension (in row-major order if None), int64; the first of those that tie.
pub fn argmax(x: &Tensor, dim: Option<i64>, keepdim: bool) -> Result<Tensor> {
    arg(x, dim, keepdim, true)
}

/// Where the smallest element lies along a dimension (in row-major order if None), int64; the first of those that tie.
pub fn argmin(x: &Tensor, dim: Option<i64>, keepdim: bool) -> Result<Tensor> {
    arg(x, dim, keepdim, false)
}

fn extreme(x: &Tensor, dims: Option<&[i64]>, keepdim: bool, largest: bool) -> Result<Tensor> {
    let name = if largest { "amax" } else { "amin" };
    let dims = resolve_dims(name, dims, x.ndim())?;
    let result = apply_one(Extreme { dims: dims.clone(), largest }, &[x])?;
    if keepdim { Ok(result) } else { drop_dims(&result, &dims) }
}

fn extreme_along(x: &Tensor, dim: i64, keepdim: bool, largest: bool) -> Result<(Tensor, Tensor)> {
    let indices = arg(x, Some(dim), true, largest)?;
    let values = gather(x, dim, &indices)?;
    if keepdim || x.ndim() == 0 {
        return Ok((values, indices));
    }
    Ok((movement::squeeze(&values, Some(dim))?, movement::squeeze(&indices, Some(dim))?))
}

fn arg(x: &Tensor, dim: Option<i64>, keepdim: bool, largest: bool) -> Result<Tensor> {
    let name = if largest { "argmax" } else { "argmin" };
    let Some(dim) = dim else {
        let flat = arg(&movement::reshape(&x.detach()?, &[-1])?, Some(0), false, largest)?;
        let shape = Dims::from_elem(1, if keepdim { x.ndim() } else { 0 });
        return movement::reshape_to(&flat, &shape);
    };
    let indices = apply_one(Place { name, dim, largest }, &[x])?;
    if keepdim || x.ndim() == 0 { Ok(indices) } else { movement::squeeze(&indices, Some(dim)) }
}

/// Keeps the reduced dimensions with size 1.
struct Extreme {
    dims: Vec<usize>,
    largest: bool,
}

impl Op for Extreme {
    fn name(&self) -> &'static str {
        if self.largest { "amax" } else { "amin" }
    }

    fn forward(&self, inputs: &[&Tensor], context: &mut Context) -> Result<Vec<Tensor>> {
        let x = inputs[0];
        let mut shape = Dims::from_slice(x.shape());
        for &d in &self.dims {
            ensure!(shape[d] > 0, Shape, "{}: dimension {d} of shape {:?} has no elements", self.name(), x.shape());
            shape[d] = 1;
        }
        // [kept, reduced] in memory; if everything is reduced, the order does not matter.
        let kept = (0..x.ndim()).filter(|d| !self.dims.contains(d));
        let order: Vec<i64> = kept.chain(self.dims.iter().copied()).map(|d| d as i64).collect();
        let detached = x.detach()?;
        let source = if self.dims.len() == x.ndim() {
            movement::dense(&detached)?
        } else {
            movement::contiguous(&movement::permute(&detached, &order)?)?
        };
        let count: usize = shape.iter().product();
        let result = dispatch_all!(x.dtype(), T => {
            let values = source.slice::<T>();
            let mut out = Buffer::<T>::new(count)?;
            let length = values.len() / count.max(1);
            let shared = SharedPointer::new(&mut out);
            parallel_ranges(count, 16384usize.div_ceil(length.max(1)), |range| {
                for row in range {
                    let best = dispatch(Best { row: &values[row * length..(row + 1) * length], largest: self.largest });
                    // SAFETY: each row writes its own slot.
                    unsafe { shared.slice(row..row + 1)[0] = best };
                }
            });
            let strides = crate::shape::contiguous_strides(&shape);
            Tensor::from_buffer_strided(out, &shape, strides, x.dtype())
        });
        context.save(x)?;
        context.save_result(0, &result)?;
        Ok(vec![result])
    }

    #[cfg(feature = "gpu")]
    fn forward_gpu(&self, inputs: &[&Tensor], context: &mut Context) -> Result<Vec<Tensor>> {
        let x = inputs[0];
        for &d in &self.dims {
            ensure!(x.shape()[d] > 0, Shape, "{}: dimension {d} of {:?} has no elements", self.name(), x.shape());
        }
        let result = crate::ops::reduce_gpu::extreme(x, &self.dims, self.largest)?;
        context.save(x)?;
        context.save_result(0, &result)?;
        Ok(vec![result])
    }

    fn backward(&self, pass: &Pass) -> Result<Vec<Option<Tensor>>> {
        let (x, best, grad) = (&pass.saved[0], &pass.saved[1], pass.grad());
        let dims: Vec<i64> = self.dims.iter().map(|&d| d as i64).collect();
        let tied = movement::to_dtype(&compare(Comparison::Equal, x, best)?, x.dtype())?;
        let count = sum(&tied, Some(&dims), true)?;
        Ok(vec![Some(mul(&tied, &div(grad, &count)?)?)])
    }
}

struct Best<'a, T> {
    row: &'a [T],
    largest: bool,
}

impl<T: Element> Kernel for Best<'_, T> {
    type Output = T;

    #[inline(always)]
    fn run(self) -> T {
        let Best { row, largest } = self;
        // A NaN beats everything and nothing beats it.
        let larger = |best: T, v: T| if v > best || is_nan(v) { v } else { best };
        let smaller = |best: T, v: T| if v < best || is_nan(v) { v } else { best };
        if largest { fold(row, larger) } else { fold(row, smaller) }
    }
}

/// Sixteen lanes side by side, then across.
#[inline(always)]
fn fold<T: Element>(row: &[T], better: impl Fn(T, T) -> T) -> T {
    let mut lanes = [row[0]; 16];
    let mut parts = row.chunks_exact(16);
    for part in &mut parts {
        for (lane, &v) in lanes.iter_mut().zip(part) {
            *lane = better(*lane, v);
        }
    }
    let rest = parts.remainder().iter().copied();
    lanes.into_iter().chain(rest).fold(row[0], better)
}

#[inline(always)]
#[expect(clippy::eq_op, reason = "only a NaN differs from itself; integers have none")]
fn is_nan<T: Element>(v: T) -> bool {
    v != v
}

struct Place {
    name: &'static str,
    dim: i64,
    largest: bool,
}

impl Op for Place {
    fn name(&self) -> &'static str {
        self.name
    }

    fn forward(&self, inputs: &[&Tensor], _: &mut Context) -> Result<Vec<Tensor>> {
        let x = inputs[0];
        let dim = resolve_dim(self.name, self.dim, x.ndim().max(1))?;
        let lines = Lines::of(self.name, x, self.dim)?;
        let (count, length) = (lines.count(), lines.length());
        let empty = length == 0 && count > 0;
        ensure!(!empty, Shape, "{}: dimension {dim} of shape {:?} has no elements", self.name, x.shape());
        let mut out = Buffer::<i64>::new(count)?;
        let shared = SharedPointer::new(&mut out);
        dispatch_all!(x.dtype(), T => {
            let values = lines.values::<T>();
            parallel_ranges(count, 8192usize.div_ceil(length.max(1)), |range| {
                for row in range {
                    let place = place(&values[row * length..(row + 1) * length], self.largest);
                    // SAFETY: each row writes its own slot.
                    unsafe { shared.slice(row..row + 1)[0] = place as i64 };
                }
            });
        });
        Ok(vec![lines.replaced(out, 1, crate::dtype::DType::I64)?])
    }

    #[cfg(feature = "gpu")]
    fn forward_gpu(&self, inputs: &[&Tensor], _: &mut Context) -> Result<Vec<Tensor>> {
        let x = inputs[0];
        let dim = resolve_dim(self.name, self.dim, x.ndim().max(1))?;
        if x.ndim() == 0 {
            return Ok(vec![Tensor::full_on(&x.device()?, &[], 0.0, crate::dtype::DType::I64)?]);
        }
        let empty = x.shape()[dim] == 0 && x.shape().iter().enumerate().all(|(d, &n)| d == dim || n > 0);
        ensure!(!empty, Shape, "{}: dimension {dim} of shape {:?} has no elements", self.name, x.shape());
        Ok(vec![crate::ops::reduce_gpu::place(x, dim, self.largest)?])
    }

    fn backward(&self, _: &Pass) -> Result<Vec<Option<Tensor>>> {
        Ok(vec![None])
    }
}

fn place<T: Element>(row: &[T], largest: bool) -> usize {
    // The value in a loop that vectorises, then its first place.
    let best = dispatch(Best { row, largest });
    let found = row.iter().position(|&v| v == best || (is_nan(best) && is_nan(v)));
    found.expect("the best element is one of the row")
}

#[cfg(feature = "node")]
mod node {
    use super::*;
    use crate::node::dims;
    use napi::bindgen_prelude::Either;
    use napi_derive::napi;

    #[napi]
    impl Tensor {
        /// The largest element over dimensions (default: all). Elements that tie share the gradient evenly; a NaN wins.
        #[napi(js_name = "amax")]
        pub fn js_amax(&self, dim: Option<Either<i64, Vec<i64>>>, keepdim: Option<bool>) -> Result<Tensor> {
            amax(self, dims(dim).as_deref(), keepdim.unwrap_or(false))
        }

        /// The smallest element over dimensions (default: all). Elements that tie share the gradient evenly; a NaN wins.
        #[napi(js_name = "amin")]
        pub fn js_amin(&self, dim: Option<Either<i64, Vec<i64>>>, keepdim: Option<bool>) -> Result<Tensor> {
            amin(self, dims(dim).as_deref(), keepdim.unwrap_or(false))
        }

        /// Where the largest element lies along a dimension (default: in row-major order), int64.
        #[napi(js_name = "argmax")]
        pub fn js_argmax(&self, dim: Option<i64>, keepdim: Option<bool>) -> Result<Tensor> {
            argmax(self, dim, keepdim.unwrap_or(false))
        }

        /// Where the smallest element lies along a dimension (default: in row-major order), int64.
        #[napi(js_name = "argmin")]
        pub fn js_argmin(&self, dim: Option<i64>, keepdim: Option<bool>) -> Result<Tensor> {
            argmin(self, dim, keepdim.unwrap_or(false))
        }

        /// The largest element; or, along a dimension, `[values, indices]`. A NaN wins.
        #[napi(
            js_name = "max",
            ts_generic_types = "D extends number | undefined = undefined",
            ts_args_type = "dim?: D, keepdim?: boolean",
            ts_return_type = "D extends number ? [values: Tensor, indices: Tensor] : Tensor"
        )]
        pub fn js_max(&self, dim: Option<i64>, keepdim: Option<bool>) -> Result<Either<Tensor, Vec<Tensor>>> {
            let Some(dim) = dim else { return Ok(Either::A(amax(self, None, false)?)) };
            let (values, indices) = max_along(self, dim, keepdim.unwrap_or(false))?;
            Ok(Either::B(vec![values, indices]))
        }

        /// The smallest element; or, along a dimension, `[values, indices]`. A NaN wins.
        #[napi(
            js_name = "min",
            ts_generic_types = "D extends number | undefined = undefined",
            ts_args_type = "dim?: D, keepdim?: boolean",
            ts_return_type = "D extends number ? [values: Tensor, indices: Tensor] : Tensor"
        )]
        pub fn js_min(&self, dim: Option<i64>, keepdim: Option<bool>) -> Result<Either<Tensor, Vec<Tensor>>> {
            let Some(dim) = dim else { return Ok(Either::A(amin(self, None, false)?)) };
            let (values, indices) = min_along(self, dim, keepdim.unwrap_or(false))?;
            Ok(Either::B(vec![values, indices]))
        }
    }
}

#[cfg(test)]
pub fn cases() -> Vec<crate::ops::suite::Case> {
    use crate::ops::suite::*;
    fn largest(x: &[f64]) -> Vec<f64> {
        vec![x.iter().copied().fold(f64::NEG_INFINITY, f64::max)]
    }
    fn smallest(x: &[f64]) -> Vec<f64> {
        vec![x.iter().copied().fold(f64::INFINITY, f64::min)]
    }
    fn place_of(best: fn(&[f64]) -> Vec<f64>) -> impl Fn(&[f64]) -> Vec<f64> {
        move |x| vec![x.iter().position(|v| *v == best(x)[0]).unwrap_or(0) as f64]
    }
    let s: &[usize] = &[3, 5, 7];
    vec![
        case("amax", "everything", [distinct(s)], |t| amax(&t[0], None, false)).equals(|a| largest(&a[0].values)),
        case("amax", "the middle", [distinct(s)], |t| amax(&t[0], Some(&[1]), true)).equals(along(1, largest)),
        case("amax", "pixels", [distinct(&[2, 3, 4, 5])], |t| amax(&t[0], Some(&[2, -1]), false)),
        case("amax", "a long row", [distinct(&[2, 99])], |t| amax(&t[0], Some(&[1]), false)).equals(along(1, largest)),
        case("amax", "integers", [index(9, &[4, 6])], |t| amax(&t[0], Some(&[1]), false)).equals(along(1, largest)),
        case("amin", "everything", [distinct(s)], |t| amin(&t[0], None, true)).equals(|a| smallest(&a[0].values)),
        case("amin", "outer and inner", [distinct(s)], |t| amin(&t[0], Some(&[0, 2]), false)),
        case("amin", "a row", [distinct(&[2, 99])], |t| amin(&t[0], Some(&[1]), false)).equals(along(1, smallest)),
        case("argmax", "rows", [distinct(&[3, 70])], |t| argmax(&t[0], Some(-1), false))
            .equals(along(1, place_of(largest)))
            .drops_nan(),
        case("argmax", "the middle", [distinct(s)], |t| argmax(&t[0], Some(1), true))
            .equals(along(1, place_of(largest)))
            .drops_nan(),
        case("argmax", "ties", [index(3, &[6, 4])], |t| argmax(&t[0], Some(0), false))
            .equals(along(0, place_of(largest))),
        case("argmax", "everything", [distinct(s)], |t| argmax(&t[0], None, false))
            .equals(|a| place_of(largest)(&a[0].values))
            .drops_nan(),
        case("argmin", "columns", [distinct(s)], |t| argmin(&t[0], Some(0), false))
            .equals(along(0, place_of(smallest)))
            .drops_nan(),
        case("amax", "with indices: values", [distinct(s)], |t| Ok(max_along(&t[0], 1, false)?.0))
            .equals(along(1, largest)),
        case("argmax", "with indices: indices", [distinct(s)], |t| Ok(max_along(&t[0], 1, true)?.1))
            .equals(along(1, place_of(largest)))
            .drops_nan(),
        case("amin", "with indices: values", [distinct(s)], |t| Ok(min_along(&t[0], -1, true)?.0))
            .equals(along(2, smallest)),
        case("amax", "with indices: of a scalar", [normal(&[])], |t| Ok(max_along(&t[0], 0, false)?.0))
            .equals(|a| a[0].values.clone()),
    ]
}
