//! Mixed precision: a switch that linear layers, convolutions and attention read. While it is on they take float32 operands
//! rounded to 16 bits, sum in float32 and give 16 bits: bfloat16 on CPUs, float16 on GPUs. Every other operation keeps computing
//! in float32. That is the rule of PyTorch's autocast on CPUs, but for products of two float32 matrices, which stay float32 (see
//! `ops::matmul`). Parameters stay float32: a product rounds them as it packs them.

use crate::dtype::DType;
use crate::ensure;
use crate::error::Result;
use crate::ops::movement;
use crate::tensor::Tensor;
use std::cell::Cell;

thread_local! {
    static DTYPE: Cell<Option<DType>> = const { Cell::new(None) };
}

/// What float32 operands are rounded to; None: nothing.
pub fn dtype() -> Option<DType> {
    DTYPE.get()
}

/// Switches it on or off; returns what it was.
pub fn set(dtype: Option<DType>) -> Result<Option<DType>> {
    ensure!(
        dtype.is_none_or(DType::is_half),
        Unsupported,
        "autocast: products are computed in bfloat16, float16 or float32, not {}",
        dtype.map_or("", DType::name)
    );
    Ok(DTYPE.replace(dtype))
}

/// Runs with the switch off.
pub(crate) fn off<R>(run: impl FnOnce() -> R) -> R {
    struct Restore(Option<DType>);
    impl Drop for Restore {
        fn drop(&mut self) {
            DTYPE.set(self.0);
        }
    }
    let _restore = Restore(DTYPE.replace(None));
    run()
}

/// The 16-bit type in which the device of a tensor multiplies.
pub(crate) fn half_of(x: &Tensor) -> DType {
    if x.is_host() { DType::BF16 } else { DType::F16 }
}

/// Whether a product takes operands of these two types: one type, or under autocast float32 beside a 16-bit one.
pub(crate) fn mixes(a: DType, b: DType) -> bool {
    a == b || (dtype().is_some() && matches!((a, b), (DType::F32, x) | (x, DType::F32) if x.is_half()))
}

/// What a product gives of this operand while the switch is on: None where it computes in float32, as a device does that has
/// no products of the type asked for.
pub(crate) fn rounds(x: &Tensor) -> Option<DType> {
    dtype().filter(|dtype| *dtype == half_of(x))
}

/// The operand of a product as the switch wants it; a recorded cast.
pub(crate) fn operand(x: &Tensor) -> Result<Tensor> {
    match rounds(x) {
        Some(dtype) if x.dtype() == DType::F32 => movement::to_dtype(x, dtype),
        _ => Ok(x.clone()),
    }
}
