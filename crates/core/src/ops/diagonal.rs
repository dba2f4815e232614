//! Diagonals of matrices as views, and matrices made of diagonals.

#[cfg(feature = "gpu")]
use crate::dtype::DType;
use crate::error::Result;
use crate::op::{Context, Op, Pass, apply_one};
#[cfg(feature = "gpu")]
use crate::ops::kernel::gpu_of;
use crate::ops::movement::{self, copy_strided, save_shape};
#[cfg(feature = "gpu")]
use crate::ops::movement_gpu;
use crate::shape::{Dims, Layout, contiguous_strides, resolve_dim};
use crate::storage::Buffer;
use crate::tensor::Tensor;
use crate::{dispatch_all, ensure};

/// Diagonal number `offset` (0 the main one, 1 above it) of dimensions `a` and `b`, which become the last one; a view.
pub fn diagonal(x: &Tensor, offset: i64, a: i64, b: i64) -> Result<Tensor> {
    let (a, b) = (resolve_dim("diagonal", a, x.ndim())?, resolve_dim("diagonal", b, x.ndim())?);
    ensure!(a != b, Argument, "diagonal: dimension {a} with itself");
    apply_one(Diagonal { offset, a, b }, &[x])
}

/// Vectors along the last dimension as diagonal number `offset` of square matrices, 0 elsewhere.
pub fn diagonal_embed(x: &Tensor, offset: i64) -> Result<Tensor> {
    ensure!(x.ndim() > 0, Shape, "diagonalEmbed: needs a vector or several, not a scalar");
    let n = x.shape()[x.ndim() - 1] + offset.unsigned_abs() as usize;
    let mut shape = Dims::from_slice(&x.shape()[..x.ndim() - 1]);
    shape.extend([n, n]);
    let (a, b) = (x.ndim() - 1, x.ndim());
    apply_one(Embed { part: Diagonal { offset, a, b }, shape }, &[x])
}

/// The matrix with this vector as a diagonal, or the diagonal of this matrix.
pub fn diag(x: &Tensor, offset: i64) -> Result<Tensor> {
    ensure!(x.ndim() == 1 || x.ndim() == 2, Shape, "diag: needs a vector or a matrix, not shape {:?}", x.shape());
    if x.ndim() == 1 { diagonal_embed(x, offset) } else { diagonal(x, offset, 0, 1) }
}

#[derive(Clone, Copy)]
struct Diagonal {
    offset: i64,
    a: usize,
    b: usize,
}

impl Diagonal {
    /// Where the diagonal of a layout lies.
    fn of(self, layout: &Layout) -> Layout {
        let Diagonal { offset, a, b } = self;
        let [rows, columns] = [layout.shape[a] as i64, layout.shape[b] as i64];
        let length = (rows - (-offset).max(0)).min(columns - offset.max(0)).max(0) as usize;
        let mut part = layout.clone();
        if length > 0 {
            let skipped = if offset > 0 { layout.strides[b] } else { layout.strides[a] };
            part.offset += skipped * offset.unsigned_abs() as usize;
        }
        for d in [a.max(b), a.min(b)] {
            part.shape.remove(d);
            part.strides.remove(d);
        }
        part.shape.push(length);
        part.strides.push(layout.strides[a] + layout.strides[b]);
        part
    }
}

impl Op for Diagonal {
    fn name(&self) -> &'static str {
        "diagonal"
    }

    fn forward(&self, inputs: &[&Tensor], context: &mut Context) -> Result<Vec<Tensor>> {
        save_shape(inputs[0], context)?;
        Ok(vec![inputs[0].alias(self.of(inputs[0].layout()))?])
    }

    #[cfg(feature = "gpu")]
    fn forward_gpu(&self, inputs: &[&Tensor], context: &mut Context) -> Result<Vec<Tensor>> {
        self.forward(inputs, context)
    }

    fn backward(&self, pass: &Pass) -> Result<Vec<Option<Tensor>>> {
        let op = Embed { part: *self, shape: Dims::from_slice(pass.saved[0].shape()) };
        Ok(vec![Some(apply_one(op, &[pass.grad()])?)])
    }
}

/// Zeros of that shape with a diagonal filled in.
struct Embed {
    part: Diagonal,
    shape: Dims,
}

impl Op for Embed {
    fn name(&self) -> &'static str {
        "diagonal_embed"
    }

    fn forward(&self, inputs: &[&Tensor], _: &mut Context) -> Result<Vec<Tensor>> {
        let x = inputs[0];
        let target = self.part.of(&Layout::contiguous(&self.shape));
        Ok(vec![dispatch_all!(x.dtype(), T => {
            let mut out = Buffer::<T>::zeroed(self.shape.iter().product())?;
            copy_strided(x.storage_slice::<T>(), x.layout(), &mut out, &target);
            Tensor::from_buffer_strided(out, &self.shape, contiguous_strides(&self.shape), x.dtype())
        })])
    }

    #[cfg(feature = "gpu")]
    fn forward_gpu(&self, inputs: &[&Tensor], _: &mut Context) -> Result<Vec<Tensor>> {
        let (x, whole) = (inputs[0], Layout::contiguous(&self.shape));
        // Bytes share words, and a diagonal has gaps: by way of int64.
        let wide = if x.dtype().size() == 1 { &movement_gpu::cast(x, DType::I64)? } else { x };
        let out = movement_gpu::full(&gpu_of(x)?, whole.clone(), 0.0, wide.dtype())?;
        movement_gpu::copy_into(wide, &out, &self.part.of(&whole))?;
        Ok(vec![if wide.dtype() == x.dtype() { out } else { movement_gpu::cast(&out, x.dtype())? }])
    }

    fn backward(&self, pass: &Pass) -> Result<Vec<Option<Tensor>>> {
        let Diagonal { offset, a, b } = self.part;
        Ok(vec![Some(diagonal(&movement::dense(pass.grad())?, offset, a as i64, b as i64)?)])
    }
}

#[cfg_attr(feature = "node", napi_derive::napi)]
impl Tensor {
    /// Diagonal number `offset` (default 0, the main one) of dimensions `a` and `b` (default the first two), which
    /// become the last one; a view.
    #[cfg_attr(feature = "node", napi_derive::napi)]
    pub fn diagonal(&self, offset: Option<i64>, a: Option<i64>, b: Option<i64>) -> Result<Tensor> {
        diagonal(self, offset.unwrap_or(0), a.unwrap_or(0), b.unwrap_or(1))
    }

    /// Vectors along the last dimension as diagonal number `offset` (default 0) of square matrices, 0 elsewhere.
    #[cfg_attr(feature = "node", napi_derive::napi)]
    pub fn diag_embed(&self, offset: Option<i64>) -> Result<Tensor> {
        diagonal_embed(self, offset.unwrap_or(0))
    }

    /// The matrix with this vector as diagonal number `offset` (default 0), or that diagonal of this matrix.
    #[cfg_attr(feature = "node", napi_derive::napi)]
    pub fn diag(&self, offset: Option<i64>) -> Result<Tensor> {
        diag(self, offset.unwrap_or(0))
    }
}

#[cfg(test)]
pub fn cases() -> Vec<crate::ops::suite::Case> {
    use crate::ops::suite::*;
    vec![
        case("diagonal", "of a matrix", [normal(&[5, 5])], |t| diag(&t[0], 0))
            .equals(|a| (0..a[0].shape[0]).map(|i| a[0].at(&[i, i])).collect()),
        case("diagonal", "below the middle", [normal(&[5, 3])], |t| diag(&t[0], -1)).drops_nan(),
        case("diagonal", "of many", [normal(&[4, 2, 6, 3])], |t| diagonal(&t[0], 1, 2, 0)).drops_nan(),
        case("diagonal_embed", "above", [normal(&[4])], |t| diag(&t[0], 2)),
        case("diagonal_embed", "many", [normal(&[2, 3])], |t| diagonal_embed(&t[0], 0)).equals(|a| {
            let n = a[0].shape[1];
            let mut out = Vec::new();
            each_index(&[a[0].shape[0], n, n], |i| out.push(if i[1] == i[2] { a[0].at(&i[..2]) } else { 0.0 }));
            out
        }),
        case("diagonal_embed", "below", [normal(&[3])], |t| diag(&t[0], -1)),
    ]
}
