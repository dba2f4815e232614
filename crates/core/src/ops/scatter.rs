//! Elements by integer indices along a dimension: read (gather), overwritten (scatter) or added to (scatter_add).
//! Where an index repeats, the last element wins; gradients and sums follow the order of the indices on any thread count.

use crate::cpu::threads::SharedPointer;
use crate::cpu::threads::parallel_ranges;
use crate::dispatch_all;
use crate::dtype::DType;
use crate::ensure;
use crate::error::Result;
use crate::op::{Context, Op, Pass, apply_one};
use crate::ops::elementwise::{Comparison, compare};
use crate::ops::index::{checked_all, fresh, integers, plus, same_dtype};
use crate::ops::movement::{self, save_shape};
#[cfg(feature = "gpu")]
use crate::ops::scatter_gpu::{self, Meeting};
use crate::ops::transfer::to_device;
#[cfg(feature = "gpu")]
use crate::shape::Layout;
use crate::shape::{Dims, resolve_dim};
use crate::storage::Buffer;
use crate::tensor::Tensor;

/// Element [.., index[.., i, ..], ..] of x (along `dim`) at each place [.., i, ..] of the index.
pub fn gather(x: &Tensor, dim: i64, index: &Tensor) -> Result<Tensor> {
    let dim = resolve_dim("gather", dim, x.ndim().max(1))?;
    apply_one(Gather { dim }, &[x, index])
}

/// x with each element of `source` added at the place that the index (of its shape) names along `dim`.
pub fn scatter_add(x: &Tensor, dim: i64, index: &Tensor, source: &Tensor) -> Result<Tensor> {
    let dim = resolve_dim("scatterAdd", dim, x.ndim().max(1))?;
    apply_one(ScatterAdd { dim }, &[x, index, source])
}

/// x with each element of `source` at the place that the index names along `dim`.
pub fn scatter(x: &Tensor, dim: i64, index: &Tensor, source: &Tensor) -> Result<Tensor> {
    let dim = resolve_dim("scatter", dim, x.ndim().max(1))?;
    apply_one(Scatter { dim }, &[x, index, source])
}

/// For each place of an index of this shape: where along the others of `x` it lies, as (place, offset in x without `dim`).
struct Walk<'a> {
    index: &'a [usize],
    /// Strides of the row-major tensor that is read or written.
    strides: Dims,
    dim: usize,
}

impl Walk<'_> {
    fn each(&self, range: std::ops::Range<usize>, mut visit: impl FnMut(usize, usize)) {
        let n = self.index.len();
        let mut at: Dims = Dims::from_elem(0, n);
        let mut rest = range.start;
        for d in (0..n).rev() {
            at[d] = rest % self.index[d];
            rest /= self.index[d];
        }
        let step = |d: usize| if d == self.dim { 0 } else { self.strides[d] };
        let mut offset: usize = (0..n).map(|d| at[d] * step(d)).sum();
        for place in range {
            visit(place, offset);
            for d in (0..n).rev() {
                at[d] += 1;
                offset += step(d);
                if at[d] < self.index[d] {
                    break;
                }
                offset -= at[d] * step(d);
                at[d] = 0;
            }
        }
    }
}

/// The index must have the dimensions of x and, but for `dim`, sizes no larger.
fn check_index(op: &str, x: &Tensor, dim: usize, index: &Tensor) -> Result<()> {
    integers(op, index)?;
    let fits = index.ndim() == x.ndim() && (0..x.ndim()).all(|d| d == dim || index.shape()[d] <= x.shape()[d]);
    ensure!(
        fits || index.numel() == 0,
        Shape,
        "{op}: an index {:?} does not fit {:?} along dimension {dim}",
        index.shape(),
        x.shape()
    );
    Ok(())
}

/// The source must reach as far as the index.
fn check_source(op: &str, index: &Tensor, source: &Tensor) -> Result<()> {
    let fits = source.ndim() == index.ndim() && index.shape().iter().zip(source.shape()).all(|(i, s)| i <= s);
    ensure!(
        fits || index.numel() == 0,
        Shape,
        "{op}: an index {:?} reaches beyond the source {:?}",
        index.shape(),
        source.shape()
    );
    Ok(())
}

struct Gather {
    dim: usize,
}

impl Op for Gather {
    fn name(&self) -> &'static str {
        "gather"
    }

    fn forward(&self, inputs: &[&Tensor], context: &mut Context) -> Result<Vec<Tensor>> {
        let [x, index] = [inputs[0], inputs[1]];
        check_index("gather", x, self.dim, index)?;
        save_shape(x, context)?;
        context.save(index)?;
        let (x, index) = (movement::contiguous(&x.detach()?)?, movement::contiguous(index)?);
        let chosen = index.slice::<i64>();
        checked_all("gather", chosen, x.shape().get(self.dim).copied().unwrap_or(1))?;
        let strides = crate::shape::contiguous_strides(x.shape());
        let step = strides.get(self.dim).copied().unwrap_or(0);
        let walk = Walk { index: index.shape(), strides, dim: self.dim };
        Ok(vec![dispatch_all!(x.dtype(), T => {
            let values = x.slice::<T>();
            let mut out = Buffer::<T>::new(chosen.len())?;
            let shared = SharedPointer::new(&mut out);
            parallel_ranges(chosen.len(), 8192, |range| {
                // SAFETY: the ranges of the tasks do not meet.
                let out = unsafe { shared.slice(range.clone()) };
                let start = range.start;
                walk.each(range, |place, offset| out[place - start] = values[offset + chosen[place] as usize * step]);
            });
            let strides = crate::shape::contiguous_strides(index.shape());
            Tensor::from_buffer_strided(out, index.shape(), strides, x.dtype())
        })])
    }

    #[cfg(feature = "gpu")]
    fn forward_gpu(&self, inputs: &[&Tensor], context: &mut Context) -> Result<Vec<Tensor>> {
        let [x, index] = [inputs[0], inputs[1]];
        check_index("gather", x, self.dim, index)?;
        save_shape(x, context)?;
        context.save(index)?;
        Ok(vec![scatter_gpu::gather(x, self.dim, index, index.layout())?])
    }

    fn backward(&self, pass: &Pass) -> Result<Vec<Option<Tensor>>> {
        let zeros = Tensor::zeros(pass.saved[0].shape(), pass.grad().dtype())?;
        Ok(vec![Some(scatter_add(&zeros, self.dim as i64, &pass.saved[1], pass.grad())?), None])
    }
}

struct ScatterAdd {
    dim: usize,
}

impl ScatterAdd {
    /// The inputs, of sizes and types that fit; what the gradient needs is kept.
    fn checked<'a>(&self, inputs: &[&'a Tensor], context: &mut Context) -> Result<[&'a Tensor; 3]> {
        let [x, index, source] = [inputs[0], inputs[1], inputs[2]];
        check_index("scatterAdd", x, self.dim, index)?;
        same_dtype("scatterAdd", x, source)?;
        check_source("scatterAdd", index, source)?;
        save_shape(source, context)?;
        context.save(index)?;
        Ok([x, index, source])
    }
}

impl Op for ScatterAdd {
    fn name(&self) -> &'static str {
        "scatter_add"
    }

    fn forward(&self, inputs: &[&Tensor], context: &mut Context) -> Result<Vec<Tensor>> {
        let [x, index, source] = self.checked(inputs, context)?;
        let sum = fresh(x)?;
        let (index, source) = (movement::contiguous(index)?, source.detach()?);
        let chosen = index.slice::<i64>();
        checked_all("scatterAdd", chosen, x.shape().get(self.dim).copied().unwrap_or(1))?;
        if chosen.is_empty() {
            return Ok(vec![sum]);
        }
        let source = cut(source, index.shape())?;
        let strides = crate::shape::contiguous_strides(x.shape());
        let step = strides.get(self.dim).copied().unwrap_or(0);
        let walk = Walk { index: index.shape(), strides, dim: self.dim };
        dispatch_all!(x.dtype(), T => {
            let values = source.slice::<T>();
            // One thread, in the order of the indices: places may repeat, and sums must not depend on threads.
            sum.update::<T, _>(|out| walk.each(0..chosen.len(), |place, offset| {
                let target = &mut out[offset + chosen[place] as usize * step];
                *target = plus(*target, values[place]);
            }))?;
        });
        Ok(vec![sum])
    }

    #[cfg(feature = "gpu")]
    fn forward_gpu(&self, inputs: &[&Tensor], context: &mut Context) -> Result<Vec<Tensor>> {
        let [x, index, source] = self.checked(inputs, context)?;
        Ok(vec![on_gpu(x, self.dim, index, source, Meeting::Add)?])
    }

    fn backward(&self, pass: &Pass) -> Result<Vec<Option<Tensor>>> {
        let source = if pass.needs(2) {
            let chosen = gather(pass.grad(), self.dim as i64, &pass.saved[1])?;
            Some(grown(&chosen, pass.saved[0].shape())?)
        } else {
            None
        };
        Ok(vec![Some(pass.grad().clone()), None, source])
    }
}

fn same_type(x: &Tensor, source: &Tensor) -> Result<()> {
    ensure!(
        x.dtype() == source.dtype(),
        Dtype,
        "scatter: puts {} among {}; convert one of them",
        source.dtype().name(),
        x.dtype().name()
    );
    Ok(())
}

/// The source is cut to the shape of the index.
#[cfg(feature = "gpu")]
fn on_gpu(x: &Tensor, dim: usize, index: &Tensor, source: &Tensor, meeting: Meeting) -> Result<Tensor> {
    let sources = Layout { shape: index.layout().shape.clone(), ..source.layout().clone() };
    scatter_gpu::scatter(x, dim, (index, index.layout()), (source, &sources), meeting)
}

struct Scatter {
    dim: usize,
}

impl Scatter {
    /// The inputs, of sizes and types that fit; what the gradient needs is kept.
    fn checked<'a>(&self, inputs: &[&'a Tensor], context: &mut Context) -> Result<[&'a Tensor; 3]> {
        let [x, index, source] = [inputs[0], inputs[1], inputs[2]];
        check_index("scatter", x, self.dim, index)?;
        same_type(x, source)?;
        check_source("scatter", index, source)?;
        save_shape(source, context)?;
        context.save(index)?;
        Ok([x, index, source])
    }
}

impl Op for Scatter {
    fn name(&self) -> &'static str {
        "scatter"
    }

    fn forward(&self, inputs: &[&Tensor], context: &mut Context) -> Result<Vec<Tensor>> {
        let [x, index, source] = self.checked(inputs, context)?;
        let result = fresh(x)?;
        let (index, source) = (movement::contiguous(index)?, source.detach()?);
        let chosen = index.slice::<i64>();
        checked_all("scatter", chosen, x.shape().get(self.dim).copied().unwrap_or(1))?;
        if chosen.is_empty() {
            return Ok(vec![result]);
        }
        let source = cut(source, index.shape())?;
        let strides = crate::shape::contiguous_strides(x.shape());
        let step = strides.get(self.dim).copied().unwrap_or(0);
        let walk = Walk { index: index.shape(), strides, dim: self.dim };
        dispatch_all!(x.dtype(), T => {
            let values = source.slice::<T>();
            // One thread, in the order of the indices, so that the last one wins.
            result.update::<T, _>(|out| walk.each(0..chosen.len(), |place, offset| {
                out[offset + chosen[place] as usize * step] = values[place];
            }))?;
        });
        Ok(vec![result])
    }

    #[cfg(feature = "gpu")]
    fn forward_gpu(&self, inputs: &[&Tensor], context: &mut Context) -> Result<Vec<Tensor>> {
        let [x, index, source] = self.checked(inputs, context)?;
        Ok(vec![on_gpu(x, self.dim, index, source, Meeting::Last)?])
    }

    fn backward(&self, pass: &Pass) -> Result<Vec<Option<Tensor>>> {
        let (index, grad, dim) = (&pass.saved[1], pass.grad(), self.dim as i64);
        let zeros = Tensor::zeros(index.shape(), grad.dtype())?;
        let to_x = pass.needs(0).then(|| scatter(grad, dim, index, &zeros)).transpose()?;
        let to_source = if pass.needs(2) {
            // Those that were overwritten by a later one get nothing.
            let places: Vec<i64> = (0..index.numel() as i64).collect();
            let places = to_device(&Tensor::from_slice(&places, index.shape())?, &grad.device()?)?;
            let owners = scatter(&Tensor::zeros(grad.shape(), DType::I64)?, dim, index, &places)?;
            let lost = compare(Comparison::NotEqual, &gather(&owners, dim, index)?, &places)?;
            let kept = movement::masked_fill(&gather(grad, dim, index)?, &lost, 0.0)?;
            Some(grown(&kept, pass.saved[0].shape())?)
        } else {
            None
        };
        Ok(vec![to_x, None, to_source])
    }
}

/// The leading corner of that shape, row-major.
fn cut(x: Tensor, shape: &[usize]) -> Result<Tensor> {
    let mut x = x;
    for (d, &size) in shape.iter().enumerate() {
        x = movement::slice(&x, d as i64, 0, size, 1)?;
    }
    movement::contiguous(&x)
}

/// With zeros appended to reach that shape: the transpose of `cut`.
fn grown(x: &Tensor, shape: &[usize]) -> Result<Tensor> {
    let mut x = x.clone();
    for (d, &size) in shape.iter().enumerate() {
        if x.shape()[d] < size {
            let mut missing = Dims::from_slice(x.shape());
            missing[d] = size - x.shape()[d];
            x = movement::cat(&[&x, &Tensor::zeros(&missing, x.dtype())?], d as i64)?;
        }
    }
    Ok(x)
}

#[cfg_attr(feature = "node", napi_derive::napi)]
impl Tensor {
    /// The element that the index (int64) names along `dim`, at each place of the index.
    #[cfg_attr(feature = "node", napi_derive::napi)]
    pub fn gather(&self, dim: i64, index: &Tensor) -> Result<Tensor> {
        gather(self, dim, index)
    }

    /// This with each element of `source` added at the place that the index (int64, of its shape) names along `dim`.
    #[cfg_attr(feature = "node", napi_derive::napi)]
    pub fn scatter_add(&self, dim: i64, index: &Tensor, source: &Tensor) -> Result<Tensor> {
        scatter_add(self, dim, index, source)
    }

    /// This with each element of `source` (or this number) at the place that the index (int64) names along `dim`; where
    /// an index repeats, the last one wins.
    #[cfg(feature = "node")]
    #[napi_derive::napi(js_name = "scatter")]
    pub fn js_scatter(
        &self,
        dim: i64,
        index: &Tensor,
        source: napi::Either<napi::bindgen_prelude::ClassInstance<Tensor>, f64>,
    ) -> Result<Tensor> {
        match source {
            napi::Either::A(source) => scatter(self, dim, index, &source),
            napi::Either::B(value) => {
                scatter(self, dim, index, &Tensor::full_on(&self.device()?, index.shape(), value, self.dtype())?)
            }
        }
    }
}

#[cfg(test)]
pub fn cases() -> Vec<crate::ops::suite::Case> {
    use crate::ops::suite::*;
    fn gathered(a: &[Array]) -> Vec<f64> {
        let (columns, width) = (a[0].shape[1], a[1].shape[1]);
        a[1].values.iter().enumerate().map(|(k, &i)| a[0].values[k / width.max(1) * columns + i as usize]).collect()
    }
    fn scattered(a: &[Array]) -> Vec<f64> {
        let (columns, width) = (a[0].shape[1], a[1].shape[1]);
        let mut out = a[0].values.clone();
        for (k, &i) in a[1].values.iter().enumerate() {
            out[k / width * columns + i as usize] += a[2].values[k];
        }
        out
    }
    fn overwritten(a: &[Array]) -> Vec<f64> {
        let (columns, width) = (a[0].shape[1], a[1].shape[1]);
        let mut out = a[0].values.clone();
        for (k, &i) in a[1].values.iter().enumerate() {
            out[k / width * columns + i as usize] = a[2].values[k];
        }
        out
    }
    vec![
        case("gather", "along rows", [normal(&[4, 6]), index(6, &[4, 3])], |t| gather(&t[0], 1, &t[1]))
            .equals(gathered),
        case("gather", "along columns", [normal(&[5, 3]), index(5, &[8, 3])], |t| gather(&t[0], 0, &t[1])),
        case("gather", "fewer elsewhere", [normal(&[5, 4, 3]), index(4, &[2, 6, 3])], |t| gather(&t[0], 1, &t[1]))
            .drops_nan(),
        case("scatter_add", "along rows", [normal(&[4, 6]), index(6, &[4, 3]), normal(&[4, 3])], |t| {
            scatter_add(&t[0], 1, &t[1], &t[2])
        })
        .equals(scattered),
        case("scatter_add", "a larger source", [normal(&[5, 3]), index(5, &[2, 3]), normal(&[7, 4])], |t| {
            scatter_add(&t[0], 0, &t[1], &t[2])
        })
        .drops_nan(),
        case("scatter", "along rows", [normal(&[4, 6]), index(6, &[4, 3]), normal(&[4, 3])], |t| {
            scatter(&t[0], 1, &t[1], &t[2])
        })
        .equals(overwritten)
        .drops_nan(),
        case("scatter", "a larger source", [normal(&[5, 3]), index(5, &[2, 3]), normal(&[7, 4])], |t| {
            scatter(&t[0], 0, &t[1], &t[2])
        })
        .drops_nan(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indices_outside_are_named() {
        let x = Tensor::from_slice(&[1.0f32, 2.0, 3.0], &[3]).unwrap();
        let zeros = Tensor::zeros(&[2], DType::F32).unwrap();
        for wrong in [3i64, -1] {
            let index = Tensor::from_slice(&[0, wrong], &[2]).unwrap();
            for error in [
                gather(&x, 0, &index).unwrap_err(),
                scatter_add(&x, 0, &index, &zeros).unwrap_err(),
                scatter(&x, 0, &index, &zeros).unwrap_err(),
            ] {
                assert_eq!(error.code(), "ERR_ARGUMENT");
                assert!(error.message().contains(&format!("index {wrong} does not lie in 0..3")), "{error}");
            }
        }
        assert_eq!(gather(&x, 0, &x).unwrap_err().code(), "ERR_DTYPE");
        let index = Tensor::from_slice(&[0i64, 1], &[2]).unwrap();
        assert_eq!(scatter(&x, 0, &index, &index).unwrap_err().code(), "ERR_DTYPE");
        assert_eq!(scatter(&x, 0, &index, &Tensor::zeros(&[1], DType::F32).unwrap()).unwrap_err().code(), "ERR_SHAPE");
    }

    #[test]
    fn whole_numbers_and_truth_values_are_scattered_too() {
        let index = Tensor::from_slice(&[2i64, 0, 2], &[3]).unwrap();
        for dtype in [DType::I64, DType::U8, DType::Bool] {
            let source = movement::to_dtype(&Tensor::from_slice(&[1.0, 1.0, 0.0], &[3]).unwrap(), dtype).unwrap();
            let out = scatter(&Tensor::zeros(&[4], dtype).unwrap(), 0, &index, &source).unwrap();
            let out = movement::to_dtype(&out, DType::I64).unwrap();
            assert_eq!(out.to_vec::<i64>().unwrap(), [1, 0, 0, 0], "{dtype:?}");
        }
    }
}
