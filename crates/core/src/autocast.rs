//! Mixed precision: a switch that linear layers, convolutions and attention read. While it is on they take float32 operands
//! rounded to bfloat16, sum in float32 and give bfloat16; every other operation keeps computing in float32. That is the rule
//! of PyTorch's autocast on CPUs, but for products of two float32 matrices, which stay float32 (see `ops::matmul`).
//! Parameters stay float32: a product rounds them as it packs them.

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
        matches!(dtype, None | Some(DType::BF16)),
        Unsupported,
        "autocast: products are computed in bfloat16 or float32, not {}",
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

/// Whether a product takes operands of these two types: one type, or under autocast float32 beside bfloat16.
pub(crate) fn mixes(a: DType, b: DType) -> bool {
    let narrow = |dtype| matches!(dtype, DType::F32 | DType::BF16);
    a == b || (dtype().is_some() && narrow(a) && narrow(b))
}

/// The operand of a product as the switch wants it; a recorded cast. GPUs have no bfloat16: theirs stay float32.
pub(crate) fn operand(x: &Tensor) -> Result<Tensor> {
    match dtype() {
        Some(dtype) if x.dtype() == DType::F32 && x.is_host() => movement::to_dtype(x, dtype),
        _ => Ok(x.clone()),
    }
}
