//! What operations that multiply 16-bit floats share: their operands, results and the gradient of a bias. It has no operation of
//! its own.

use crate::autocast;
use crate::cpu::half::{Matrix16, Values, ValuesMut};
use crate::dtype::DType;
use crate::error::Result;
use crate::half::Bf16;
use crate::ops::{movement, reduce};
use crate::storage::Buffer;
use crate::tensor::Tensor;

/// Whether some of these are of the 16-bit type that their device multiplies and the others float32: what the kernels of mixed
/// precision take.
pub(crate) fn products_of_half(inputs: &[&Tensor]) -> bool {
    let half = autocast::half_of(inputs[0]);
    inputs.iter().all(|t| t.dtype() == half || t.dtype() == DType::F32) && inputs.iter().any(|t| t.dtype() == half)
}

/// The numbers of a storage from `start` elements behind a tensor's first on.
pub(crate) fn values(tensor: &Tensor, start: usize) -> Values<'_> {
    let first = tensor.layout().offset + start;
    // An empty tensor may begin behind the end of its storage.
    match tensor.dtype() {
        DType::BF16 => Values::Narrow(tensor.storage_slice::<Bf16>().get(first..).unwrap_or(&[])),
        _ => Values::Wide(tensor.storage_slice::<f32>().get(first..).unwrap_or(&[])),
    }
}

/// The matrix of the last two dimensions that begins `start` elements behind the first.
pub(crate) fn half_matrix(tensor: &Tensor, start: usize) -> Matrix16<'_> {
    let [row_stride, column_stride] = *tensor.strides().last_chunk().expect("two dimensions");
    Matrix16 { values: values(tensor, start), row_stride, column_stride }
}

/// A result in the making: float32 or bfloat16.
pub(crate) enum Product {
    Wide(Buffer<f32>),
    Narrow(Buffer<Bf16>),
}

impl Product {
    pub(crate) fn new(dtype: DType, shape: &[usize]) -> Result<Product> {
        let length = shape.iter().product();
        Ok(match dtype {
            DType::BF16 => Product::Narrow(Buffer::new(length)?),
            _ => Product::Wide(Buffer::new(length)?),
        })
    }

    /// Its numbers from `start` on.
    pub(crate) fn from(&mut self, start: usize) -> ValuesMut<'_> {
        match self {
            Product::Wide(values) => ValuesMut::Wide(&mut values[start..]),
            Product::Narrow(values) => ValuesMut::Narrow(&mut values[start..]),
        }
    }

    pub(crate) fn into_tensor(self, shape: &[usize]) -> Tensor {
        self.into_strided(shape, crate::shape::contiguous_strides(shape))
    }

    pub(crate) fn into_strided(self, shape: &[usize], strides: crate::shape::Dims) -> Tensor {
        match self {
            Product::Wide(values) => Tensor::from_buffer_strided(values, shape, strides, DType::F32),
            Product::Narrow(values) => Tensor::from_buffer_strided(values, shape, strides, DType::BF16),
        }
    }
}

/// The sum of a result's gradient over `dims`, in the type of the bias; 16-bit floats are summed in float32.
pub(crate) fn bias_gradient(gradient: &Tensor, dims: &[i64], bias: &Tensor) -> Result<Tensor> {
    let wide = if gradient.dtype().is_half() { movement::to_dtype(gradient, DType::F32)? } else { gradient.clone() };
    movement::to_dtype(&reduce::sum(&wide, Some(dims), false)?, bias.dtype())
}
