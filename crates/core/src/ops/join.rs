//! Tensors joined into one and cut into several, along a dimension.

use crate::device::Device;
use crate::error::Result;
use crate::op::{Context, Op, Pass, apply, apply_one};
use crate::ops::movement::{self, save_shape};
use crate::shape::{Dims, Layout, resolve_dim};
use crate::storage::Buffer;
use crate::tensor::Tensor;
use crate::{bail, dispatch_all, ensure};

/// Tensors joined along a dimension that exists.
pub fn cat(tensors: &[&Tensor], dim: i64) -> Result<Tensor> {
    let Some(first) = tensors.first() else { bail!(Argument, "cat: no tensors given") };
    let d = resolve_dim("cat", dim, first.ndim())?;
    let dtype = tensors.iter().fold(first.dtype(), |t, x| t.promote(x.dtype()));
    let cast = tensors.iter().map(|t| movement::to_dtype(t, dtype)).collect::<Result<Vec<_>>>()?;
    apply_one(Cat { dim: d }, &cast.iter().collect::<Vec<_>>())
}

struct Cat {
    dim: usize,
}

impl Cat {
    /// Checks that the inputs fit, and says shape and order in memory of the result.
    fn joined(&self, inputs: &[&Tensor], context: &mut Context) -> Result<Layout> {
        let first = inputs[0];
        let mut shape = Dims::from_slice(first.shape());
        shape[self.dim] = 0;
        for x in inputs {
            let fits = x.ndim() == first.ndim()
                && (0..first.ndim()).all(|d| d == self.dim || x.shape()[d] == first.shape()[d]);
            ensure!(
                fits,
                Shape,
                "cat: {:?} and {:?} differ in a dimension other than {}",
                first.shape(),
                x.shape(),
                self.dim
            );
            shape[self.dim] += x.shape()[self.dim];
            save_shape(x, context)?;
        }
        let strides = Tensor::strides_for(&shape, first.is_channels_last() && !first.is_contiguous());
        Ok(Layout { shape, strides, offset: 0 })
    }
}

impl Op for Cat {
    fn name(&self) -> &'static str {
        "cat"
    }
    fn forward(&self, inputs: &[&Tensor], context: &mut Context) -> Result<Vec<Tensor>> {
        let first = inputs[0];
        let Layout { shape, strides, .. } = self.joined(inputs, context)?;
        Ok(vec![dispatch_all!(first.dtype(), T => {
            let mut out = Buffer::<T>::new(shape.iter().product())?;
            let mut at = 0;
            for x in inputs {
                let part = Layout { shape: x.layout().shape.clone(), strides: strides.clone(), offset: at * strides[self.dim] };
                movement::copy_strided(x.storage_slice::<T>(), x.layout(), &mut out, &part);
                at += x.shape()[self.dim];
            }
            Tensor::from_buffer_strided(out, &shape, strides, first.dtype())
        })])
    }
    #[cfg(feature = "gpu")]
    fn forward_gpu(&self, inputs: &[&Tensor], context: &mut Context) -> Result<Vec<Tensor>> {
        let whole = self.joined(inputs, context)?;
        Ok(vec![crate::ops::movement_gpu::cat(inputs, self.dim, whole)?])
    }
    fn backward(&self, pass: &Pass) -> Result<Vec<Option<Tensor>>> {
        let mut at = 0;
        pass.saved
            .iter()
            .enumerate()
            .map(|(i, x)| {
                let length = x.shape()[self.dim];
                let part = pass
                    .needs(i)
                    .then(|| movement::slice(pass.grad(), self.dim as i64, at as i64, length, 1))
                    .transpose();
                at += length;
                part
            })
            .collect()
    }
}

/// Tensors of one shape joined along a new dimension before `dim`.
pub fn stack(tensors: &[&Tensor], dim: i64) -> Result<Tensor> {
    let Some(first) = tensors.first() else { bail!(Argument, "stack: no tensors given") };
    for t in tensors {
        ensure!(t.shape() == first.shape(), Shape, "stack: shapes {:?} and {:?} differ", first.shape(), t.shape());
    }
    let d = resolve_dim("stack", dim, first.ndim() + 1)? as i64;
    let parts = tensors.iter().map(|t| movement::unsqueeze(t, d)).collect::<Result<Vec<_>>>()?;
    cat(&parts.iter().collect::<Vec<_>>(), d)
}

/// Consecutive parts of those sizes along a dimension; views.
pub fn split(x: &Tensor, sizes: &[usize], dim: i64) -> Result<Vec<Tensor>> {
    let d = resolve_dim("split", dim, x.ndim())?;
    let total: usize = sizes.iter().sum();
    ensure!(
        total == x.shape()[d],
        Shape,
        "split: sizes {sizes:?} sum to {total}, dimension {d} of {:?} is {}",
        x.shape(),
        x.shape()[d]
    );
    apply(Split { dim: d, sizes: sizes.to_vec() }, &[x])
}

/// Consecutive parts of `size` (the last may be smaller) along a dimension; views.
pub fn split_by(x: &Tensor, size: usize, dim: i64) -> Result<Vec<Tensor>> {
    let length = x.shape()[resolve_dim("split", dim, x.ndim())?];
    ensure!(size > 0 || length == 0, Argument, "split: parts of size 0 never fill {length}");
    let mut sizes = vec![size; length / size.max(1)];
    if length == 0 || length % size != 0 {
        sizes.push(length % size.max(1));
    }
    split(x, &sizes, dim)
}

/// `count` parts of equal size (the last may be smaller, and there may be fewer) along a dimension; views.
pub fn chunk(x: &Tensor, count: usize, dim: i64) -> Result<Vec<Tensor>> {
    ensure!(count > 0, Argument, "chunk: at least 1 part, not 0");
    let length = x.shape()[resolve_dim("chunk", dim, x.ndim())?];
    if length == 0 {
        return split(x, &vec![0; count], dim);
    }
    split_by(x, length.div_ceil(count), dim)
}

struct Split {
    dim: usize,
    sizes: Vec<usize>,
}

impl Op for Split {
    fn name(&self) -> &'static str {
        "split"
    }
    fn forward(&self, inputs: &[&Tensor], context: &mut Context) -> Result<Vec<Tensor>> {
        let x = inputs[0];
        save_shape(x, context)?;
        let mut start = 0;
        let part = |&size: &usize| {
            let mut layout = x.layout().clone();
            layout.offset += if size > 0 { start * layout.strides[self.dim] } else { 0 };
            layout.shape[self.dim] = size;
            start += size;
            x.alias(layout)
        };
        self.sizes.iter().map(part).collect()
    }
    #[cfg(feature = "gpu")]
    fn forward_gpu(&self, inputs: &[&Tensor], context: &mut Context) -> Result<Vec<Tensor>> {
        self.forward(inputs, context)
    }
    fn backward(&self, pass: &Pass) -> Result<Vec<Option<Tensor>>> {
        // One copy of all parts, not a whole gradient a part.
        let device = pass.grads.iter().flatten().next().map_or(Ok(Device::Cpu), Tensor::device)?;
        let parts = pass.grads.iter().zip(&self.sizes).map(|(grad, &size)| match grad {
            Some(grad) => Ok(grad.clone()),
            None => {
                let mut shape = Dims::from_slice(pass.saved[0].shape());
                shape[self.dim] = size;
                Tensor::full_on(&device, &shape, 0.0, pass.saved[0].dtype())
            }
        });
        let parts = parts.collect::<Result<Vec<_>>>()?;
        Ok(vec![Some(cat(&parts.iter().collect::<Vec<_>>(), self.dim as i64)?)])
    }
}

/// The tensor joined with itself `times[d]` times along each dimension (new leading dimensions as needed).
pub fn repeat(x: &Tensor, times: &[usize]) -> Result<Tensor> {
    ensure!(
        times.len() >= x.ndim(),
        Shape,
        "repeat: {} counts {times:?} for a tensor with {} dimensions (shape {:?})",
        times.len(),
        x.ndim(),
        x.shape()
    );
    // [1, s₀, 1, s₁, …] expanded to [t₀, s₀, t₁, s₁, …]
    let lead = times.len() - x.ndim();
    let sizes: Dims = (0..times.len()).map(|d| if d < lead { 1 } else { x.shape()[d - lead] }).collect();
    let spread: Dims = sizes.iter().flat_map(|&s| [1, s]).collect();
    let wide: Dims = sizes.iter().zip(times).flat_map(|(&s, &t)| [t, s]).collect();
    let joined: Dims = sizes.iter().zip(times).map(|(s, t)| s * t).collect();
    movement::reshape_to(&movement::expand(&movement::reshape_to(x, &spread)?, &wide)?, &joined)
}

/// Each element `times` times in a row along a dimension.
pub fn repeat_interleave(x: &Tensor, times: usize, dim: i64) -> Result<Tensor> {
    let d = resolve_dim("repeatInterleave", dim, x.ndim())?;
    let mut wide = Dims::from_slice(x.shape());
    wide.insert(d + 1, times);
    let mut joined = Dims::from_slice(x.shape());
    joined[d] *= times;
    movement::reshape_to(&movement::expand(&movement::unsqueeze(x, d as i64 + 1)?, &wide)?, &joined)
}

#[cfg(feature = "node")]
mod node {
    use super::*;
    use napi_derive::napi;

    #[napi]
    impl Tensor {
        /// Consecutive parts of those sizes along `dim`; views, whose gradients are joined in one go.
        #[napi(js_name = "splitSizes")]
        pub fn js_split_sizes(&self, sizes: Vec<u32>, dim: i64) -> Result<Vec<Tensor>> {
            split(self, &sizes.iter().map(|&s| s as usize).collect::<Vec<_>>(), dim)
        }

        /// This joined with itself `times[d]` times along each dimension (new leading dimensions as needed).
        #[napi(js_name = "repeat")]
        pub fn js_repeat(&self, times: Vec<u32>) -> Result<Tensor> {
            repeat(self, &times.iter().map(|&t| t as usize).collect::<Vec<_>>())
        }

        /// Each element `times` times in a row along `dim`.
        #[napi(js_name = "repeatInterleave")]
        pub fn js_repeat_interleave(&self, times: u32, dim: i64) -> Result<Tensor> {
            repeat_interleave(self, times as usize, dim)
        }
    }
}

#[cfg(test)]
pub fn cases() -> Vec<crate::ops::suite::Case> {
    use crate::ops::suite::*;
    let joined = |dim: usize| {
        move |arrays: &[Array]| {
            let mut out = Vec::new();
            let outer: usize = arrays[0].shape[..dim].iter().product();
            for o in 0..outer {
                for a in arrays {
                    let inner: usize = a.shape[dim..].iter().product();
                    out.extend_from_slice(&a.values[o * inner..(o + 1) * inner]);
                }
            }
            out
        }
    };
    vec![
        case("cat", "rows", [normal(&[2, 3]), normal(&[4, 3]), normal(&[2, 3])], |t| cat(&[&t[0], &t[1], &t[2]], 0))
            .equals(joined(0)),
        case("cat", "channels of images", [normal(&[2, 3, 4, 5]), normal(&[2, 6, 4, 5])], |t| cat(&[&t[0], &t[1]], 1))
            .equals(joined(1)),
        case("cat", "twice the same", [normal(&[2, 3])], |t| cat(&[&t[0], &t[0]], -1)),
        case("cat", "stack", [normal(&[2, 3]), normal(&[2, 3])], |t| stack(&[&t[0], &t[1]], 1)),
        case("split", "the middle part", [normal(&[3, 5])], |t| Ok(split(&t[0], &[1, 3, 1], 1)?[1].clone()))
            .equals(along(1, |x| x[1..4].to_vec())),
        case("split", "parts used twice", [normal(&[6, 3])], |t| {
            let parts = split_by(&t[0], 2, 0)?;
            cat(&[&parts[parts.len() - 1], &parts[parts.len() / 2], &parts[parts.len() - 1]], 0)
        }),
        case("split", "chunks of channels", [normal(&[2, 7, 4, 5])], |t| {
            cat(&chunk(&t[0], 3, 1)?.iter().rev().collect::<Vec<_>>(), 1)
        }),
        case("reshape", "repeat", [normal(&[2, 3])], |t| repeat(&t[0], &[2, 1, 3])),
        case("reshape", "repeat each", [normal(&[4, 3])], |t| repeat_interleave(&t[0], 2, 1))
            .equals(along(1, |x| x.iter().flat_map(|v| [*v, *v]).collect())),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dtype::DType;

    #[test]
    fn parts_are_as_many_and_as_large_as_pytorch_makes_them() {
        let shapes = |x: &[usize], parts: fn(&Tensor) -> Result<Vec<Tensor>>| -> Vec<usize> {
            parts(&Tensor::zeros(x, DType::F32).unwrap()).unwrap().iter().map(|p| p.shape()[0]).collect()
        };
        assert_eq!(shapes(&[7, 3], |x| chunk(x, 3, 0)), [3, 3, 1]);
        assert_eq!(shapes(&[6], |x| chunk(x, 4, 0)), [2, 2, 2]);
        assert_eq!(shapes(&[0], |x| chunk(x, 2, 0)), [0, 0]);
        assert_eq!(shapes(&[0], |x| split_by(x, 2, 0)), [0]);
        assert_eq!(shapes(&[5], |x| split_by(x, 2, 0)), [2, 2, 1]);
        let x = Tensor::from_slice(&[1.0f32, 2.0, 3.0], &[3]).unwrap();
        assert_eq!(repeat(&x, &[2, 2]).unwrap().to_vec::<f32>().unwrap(), [1.0, 2.0, 3.0].repeat(4));
        assert_eq!(split(&x, &[1, 1], 0).unwrap_err().code(), "ERR_SHAPE");
        assert_eq!(split_by(&x, 0, 0).unwrap_err().code(), "ERR_ARGUMENT");
        assert_eq!(repeat(&x, &[]).unwrap_err().code(), "ERR_SHAPE");
    }
}
