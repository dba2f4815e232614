//! A tensor seen as lines along one of its dimensions, one behind the other in memory: for operations that work on a
//! whole line at once (sorting, running sums, largest elements). It is no operation itself.

use crate::dtype::{DType, Element};
use crate::error::Result;
use crate::ops::movement;
use crate::shape::{Dims, resolve_dim};
use crate::storage::Buffer;
use crate::tensor::Tensor;

/// The lines of a tensor, outside the graph.
pub(crate) struct Lines {
    source: Tensor,
    /// Shape of the tensor and the dimension of the lines.
    shape: Dims,
    dim: usize,
}

impl Lines {
    /// The lines along `dim`; a scalar is one line of one element.
    pub fn of(op: &str, x: &Tensor, dim: i64) -> Result<Lines> {
        let dim = resolve_dim(op, dim, x.ndim().max(1))?;
        let shape = Dims::from_slice(x.shape());
        let source = movement::contiguous(&to_last(&x.detach()?, dim)?)?;
        Ok(Lines { source, shape, dim })
    }

    /// Elements of a line.
    pub fn length(&self) -> usize {
        self.shape.get(self.dim).copied().unwrap_or(1)
    }

    pub fn count(&self) -> usize {
        self.shape.iter().enumerate().filter(|(d, _)| *d != self.dim).map(|(_, s)| s).product()
    }

    pub fn values<T: Element>(&self) -> &[T] {
        self.source.slice::<T>()
    }

    /// A tensor of these new lines (each of `length` elements) in place of the old.
    pub fn replaced<T: Element>(&self, lines: Buffer<T>, length: usize, dtype: DType) -> Result<Tensor> {
        if self.shape.is_empty() {
            return Ok(Tensor::from_buffer_strided(lines, &[], Dims::new(), dtype));
        }
        let mut shape = self.shape.clone();
        shape.remove(self.dim);
        shape.push(length);
        let strides = crate::shape::contiguous_strides(&shape);
        let last = Tensor::from_buffer_strided(lines, &shape, strides, dtype);
        let mut order: Vec<i64> = (0..shape.len() as i64 - 1).collect();
        order.insert(self.dim, shape.len() as i64 - 1);
        movement::permute(&last, &order)
    }
}

fn to_last(x: &Tensor, dim: usize) -> Result<Tensor> {
    let mut order: Vec<i64> = (0..x.ndim() as i64).filter(|&d| d != dim as i64).collect();
    order.extend((x.ndim() > 0).then_some(dim as i64));
    movement::permute(x, &order)
}
