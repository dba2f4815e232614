//! Sums over dimensions, and what is made of them. Sums of float32 are accumulated pairwise or in float64 blocks.

use crate::cpu::dispatch::{Kernel, dispatch};
use crate::cpu::threads::{SharedPointer, parallel_ranges};
use crate::dtype::{DType, Float};
use crate::error::Result;
use crate::op::{Context, Op, Pass, apply_one};
use crate::ops::elementwise::{mul_scalar, not_float};
use crate::ops::movement::{self, save_shape};
use crate::shape::{Dims, resolve_dims};
use crate::storage::Buffer;
use crate::tensor::Tensor;

/// Sum over dimensions (all if None). Integers and bool sum as int64.
pub fn sum(x: &Tensor, dims: Option<&[i64]>, keepdim: bool) -> Result<Tensor> {
    let dims = resolve_dims("sum", dims, x.ndim())?;
    let x = if x.dtype().is_float() { x.clone() } else { movement::to_dtype(x, DType::I64)? };
    let total = apply_one(Sum { dims: dims.clone() }, &[&x])?;
    if keepdim { Ok(total) } else { drop_dims(&total, &dims) }
}

/// Mean over dimensions (all if None).
pub fn mean(x: &Tensor, dims: Option<&[i64]>, keepdim: bool) -> Result<Tensor> {
    if !x.dtype().is_float() {
        return Err(not_float("mean", x.dtype()));
    }
    let count: usize = resolve_dims("mean", dims, x.ndim())?.iter().map(|&d| x.shape()[d]).product();
    mul_scalar(&sum(x, dims, keepdim)?, 1.0 / count as f64)
}

/// Summed down to a shape that broadcasts to this one: the transpose of `expand`.
pub fn sum_to(x: &Tensor, shape: &[usize]) -> Result<Tensor> {
    if x.shape() == shape {
        return Ok(x.clone());
    }
    let lead = x.ndim() - shape.len();
    let dims: Vec<i64> =
        (0..x.ndim()).filter(|&d| d < lead || (shape[d - lead] == 1 && x.shape()[d] != 1)).map(|d| d as i64).collect();
    movement::reshape_to(&sum(x, Some(&dims), true)?, shape)
}

/// The same tensor without dimensions of size 1 that a reduction left.
pub(crate) fn drop_dims(x: &Tensor, dims: &[usize]) -> Result<Tensor> {
    let shape: Dims = (0..x.ndim()).filter(|d| !dims.contains(d)).map(|d| x.shape()[d]).collect();
    movement::reshape_to(x, &shape)
}

/// Keeps the reduced dimensions with size 1.
struct Sum {
    dims: Vec<usize>,
}

impl Op for Sum {
    fn name(&self) -> &'static str {
        "sum"
    }
    fn forward(&self, inputs: &[&Tensor], context: &mut Context) -> Result<Vec<Tensor>> {
        let x = inputs[0];
        save_shape(x, context)?;
        let mut shape = Dims::from_slice(x.shape());
        for &d in &self.dims {
            shape[d] = 1;
        }
        // Kept dimensions first, then the reduced ones, each group in memory order: [outer, inner] after a copy
        // only where the memory is laid otherwise.
        let kept: Vec<usize> = (0..x.ndim()).filter(|d| !self.dims.contains(d)).collect();
        let by_stride = |mut dims: Vec<usize>| {
            dims.sort_by_key(|&d| std::cmp::Reverse((x.strides()[d], x.shape()[d])));
            dims
        };
        let inner: usize = self.dims.iter().map(|&d| x.shape()[d]).product();
        let outer: usize = kept.iter().map(|&d| x.shape()[d]).product();
        let rows: Vec<i64> = kept.iter().copied().chain(by_stride(self.dims.clone())).map(|d| d as i64).collect();
        let columns: Vec<i64> =
            by_stride(self.dims.clone()).into_iter().chain(kept.clone()).map(|d| d as i64).collect();
        let x = x.detach()?;
        let as_columns = movement::permute(&x, &columns)?;
        let along_columns = as_columns.is_contiguous() && outer > 1;
        let source = if along_columns { as_columns } else { movement::contiguous(&movement::permute(&x, &rows)?)? };
        let out = match x.dtype() {
            DType::F32 => sum_float::<f32>(&source, outer, inner, along_columns, &shape)?,
            DType::F64 => sum_float::<f64>(&source, outer, inner, along_columns, &shape)?,
            other if other != DType::I64 => return Err(not_float("sum", other)),
            _ => {
                let mut out = Buffer::<i64>::zeroed(outer)?;
                let values = source.slice::<i64>();
                for o in 0..outer {
                    out[o] = (0..inner)
                        .map(|i| if along_columns { values[i * outer + o] } else { values[o * inner + i] })
                        .fold(0, i64::wrapping_add);
                }
                Tensor::from_buffer(out, &shape)
            }
        };
        Ok(vec![out])
    }
    #[cfg(feature = "gpu")]
    fn forward_gpu(&self, inputs: &[&Tensor], context: &mut Context) -> Result<Vec<Tensor>> {
        save_shape(inputs[0], context)?;
        Ok(vec![crate::ops::reduce_gpu::sum(inputs[0], &self.dims)?])
    }
    fn backward(&self, pass: &Pass) -> Result<Vec<Option<Tensor>>> {
        Ok(vec![Some(movement::expand(pass.grad(), pass.saved[0].shape())?)])
    }
}

fn sum_float<T: Float>(x: &Tensor, outer: usize, inner: usize, along_columns: bool, shape: &[usize]) -> Result<Tensor> {
    let values = x.slice::<T>();
    let mut out = Buffer::<T>::zeroed(outer)?;
    if inner > 0 && outer > 0 {
        if along_columns {
            sum_columns(values, &mut out, outer);
        } else {
            sum_rows(values, &mut out, inner);
        }
    }
    Ok(Tensor::from_buffer(out, shape))
}

/// out[o] = Σᵢ x[o, i]
fn sum_rows<T: Float>(x: &[T], out: &mut [T], inner: usize) {
    if out.len() == 1 {
        // One long sum: pieces of fixed length in parallel, combined in order.
        const PIECE: usize = 16384;
        let mut partial = vec![T::ZERO; x.len().div_ceil(PIECE)];
        let shared = SharedPointer::new(&mut partial);
        parallel_ranges(x.len().div_ceil(PIECE), 1, |range| {
            for p in range {
                let total = dispatch(Total(&x[p * PIECE..((p + 1) * PIECE).min(x.len())]));
                // SAFETY: each piece writes its own slot.
                unsafe { shared.slice(p..p + 1)[0] = total };
            }
        });
        out[0] = pairwise(&partial);
        return;
    }
    let shared = SharedPointer::new(out);
    let rows = x.len() / inner;
    parallel_ranges(rows, 16384usize.div_ceil(inner), |range| {
        for row in range {
            let total = dispatch(Total(&x[row * inner..(row + 1) * inner]));
            // SAFETY: each row writes its own slot.
            unsafe { shared.slice(row..row + 1)[0] = total };
        }
    });
}

/// out[o] = Σᵢ x[i, o]: blocks of rows first, so that rounding grows slowly.
fn sum_columns<T: Float>(x: &[T], out: &mut [T], outer: usize) {
    const BLOCK: usize = 64;
    let rows = x.len() / outer;
    let blocks = rows.div_ceil(BLOCK);
    let mut partial = vec![T::ZERO; blocks * outer];
    let shared = SharedPointer::new(&mut partial);
    parallel_ranges(blocks, 16384usize.div_ceil(BLOCK * outer), |range| {
        for b in range {
            // SAFETY: each block of rows writes its own row of partial sums.
            let row = unsafe { shared.slice(b * outer..(b + 1) * outer) };
            dispatch(Columns { x: &x[b * BLOCK * outer..((b + 1) * BLOCK * outer).min(x.len())], out: row });
        }
    });
    // The partial sums pairwise: half of the rows are added to the other half until one is left.
    let mut left = blocks;
    while left > 1 {
        let half = left.div_ceil(2);
        let (low, high) = partial.split_at_mut(half * outer);
        for (a, b) in low.iter_mut().zip(&high[..(left - half) * outer]) {
            *a += *b;
        }
        left = half;
    }
    out.copy_from_slice(&partial[..outer]);
}

struct Columns<'a, T> {
    x: &'a [T],
    out: &'a mut [T],
}

impl<T: Float> Kernel for Columns<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        for row in self.x.chunks_exact(self.out.len()) {
            for (sum, value) in self.out.iter_mut().zip(row) {
                *sum += *value;
            }
        }
    }
}

struct Total<'a, T>(&'a [T]);

impl<T: Float> Kernel for Total<'_, T> {
    type Output = T;
    #[inline(always)]
    fn run(self) -> T {
        // 64 lanes side by side, blocks of 4096 elements, then pairwise.
        let mut blocks = [T::ZERO; 64];
        let mut used = 0;
        let mut total = T::ZERO;
        for block in self.0.chunks(4096) {
            let mut lanes = [T::ZERO; 64];
            let mut parts = block.chunks_exact(64);
            for part in &mut parts {
                for (lane, value) in lanes.iter_mut().zip(part) {
                    *lane += *value;
                }
            }
            for (lane, value) in lanes.iter_mut().zip(parts.remainder()) {
                *lane += *value;
            }
            blocks[used] = pairwise(&lanes);
            used += 1;
            if used == 64 {
                total += pairwise(&blocks);
                used = 0;
            }
        }
        total + pairwise(&blocks[..used])
    }
}

fn pairwise<T: Float>(values: &[T]) -> T {
    match values {
        [] => T::ZERO,
        [one] => *one,
        _ => {
            let (a, b) = values.split_at(values.len() / 2);
            pairwise(a) + pairwise(b)
        }
    }
}

#[cfg(test)]
pub fn cases() -> Vec<crate::ops::suite::Case> {
    use crate::ops::suite::*;
    let total = |x: &[f64]| vec![x.iter().sum::<f64>()];
    vec![
        case("sum", "everything", [normal(&[2, 3, 4])], |t| sum(&t[0], None, false))
            .equals(|a| vec![a[0].values.iter().sum()]),
        case("sum", "of a scalar", [normal(&[])], |t| sum(&t[0], None, false)).equals(|a| a[0].values.clone()),
        case("sum", "rows", [normal(&[2, 3, 4])], |t| sum(&t[0], Some(&[-1]), false)).equals(along(2, total)),
        case("sum", "columns", [normal(&[70, 5])], |t| sum(&t[0], Some(&[0]), true)).equals(along(0, total)),
        case("sum", "the middle", [normal(&[2, 3, 4])], |t| sum(&t[0], Some(&[1]), false)).equals(along(1, total)),
        case("sum", "all but channels", [normal(&[2, 3, 4, 5])], |t| sum(&t[0], Some(&[0, 2, 3]), false)),
        case("sum", "outer and inner", [normal(&[2, 3, 4])], |t| sum(&t[0], Some(&[0, 2]), true)),
        case("sum", "long", [normal(&[5000])], |t| sum(&t[0], None, false)).equals(|a| vec![a[0].values.iter().sum()]),
        case("sum", "integers", [index(9, &[2, 3])], |t| sum(&t[0], Some(&[1]), false)).equals(along(1, total)),
        case("sum", "mean", [normal(&[2, 3, 4])], |t| mean(&t[0], Some(&[0, 2]), true)),
        case("sum", "mean of rows", [normal(&[3, 4])], |t| mean(&t[0], Some(&[1]), false))
            .equals(along(1, |x| vec![x.iter().sum::<f64>() / x.len() as f64])),
    ]
}
