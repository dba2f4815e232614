//! Element types: which there are, and the traits kernels are generic over.

use crate::error::{Error, Result};

/// The type of a tensor's elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DType {
    F32,
    /// Half the size of float32 at its range: for storage, and for products of matrices.
    BF16,
    /// Half the size of float32, up to 65504: for storage.
    F16,
    F64,
    I64,
    U8,
    /// Truth values, stored as bytes 0 and 1.
    Bool,
}

impl DType {
    /// Bytes an element.
    pub fn size(self) -> usize {
        match self {
            DType::F32 => 4,
            DType::BF16 | DType::F16 => 2,
            DType::F64 | DType::I64 => 8,
            DType::U8 | DType::Bool => 1,
        }
    }

    pub fn is_float(self) -> bool {
        matches!(self, DType::F32 | DType::F64) || self.is_half()
    }

    /// One of the two 16-bit floats. Operations without a path of their own for them compute in float32 (see `op::apply`).
    pub fn is_half(self) -> bool {
        matches!(self, DType::BF16 | DType::F16)
    }

    /// PyTorch's name.
    pub fn name(self) -> &'static str {
        match self {
            DType::F32 => "float32",
            DType::BF16 => "bfloat16",
            DType::F16 => "float16",
            DType::F64 => "float64",
            DType::I64 => "int64",
            DType::U8 => "uint8",
            DType::Bool => "bool",
        }
    }

    pub fn parse(name: &str) -> Result<DType> {
        Ok(match name {
            "float32" => DType::F32,
            "bfloat16" => DType::BF16,
            "float16" => DType::F16,
            "float64" => DType::F64,
            "int64" => DType::I64,
            "uint8" => DType::U8,
            "bool" => DType::Bool,
            other => {
                return Err(Error::Dtype(format!(
                    "unknown dtype \"{other}\"; there are float32, float64, bfloat16, float16, int64, uint8 and bool"
                )));
            }
        })
    }

    /// The type that holds both: bool < uint8 < int64 < float16, bfloat16 < float32 < float64, and float32 where the two
    /// 16-bit ones meet (PyTorch's promotion for these types).
    pub fn promote(self, other: DType) -> DType {
        if self.is_half() && other.is_half() && self != other {
            return DType::F32;
        }
        let rank = |d| match d {
            DType::Bool => 0,
            DType::U8 => 1,
            DType::I64 => 2,
            DType::BF16 | DType::F16 => 3,
            DType::F32 => 4,
            DType::F64 => 5,
        };
        if rank(self) >= rank(other) { self } else { other }
    }
}

/// A Rust type that is stored in tensors. Every bit pattern must be a value.
pub trait Element: Copy + Send + Sync + PartialOrd + Default + std::fmt::Debug + 'static {
    const DTYPE: DType;
    /// Whether tensors of `dtype` are stored as this type (`u8` also stores bool).
    fn stores(dtype: DType) -> bool {
        dtype == Self::DTYPE
    }
    fn from_f64(value: f64) -> Self;
    fn to_f64(self) -> f64;
    fn from_i64(value: i64) -> Self;
    fn to_i64(self) -> i64;
}

macro_rules! element {
    ($($t:ty, $d:ident);*) => {$(
        impl Element for $t {
            const DTYPE: DType = DType::$d;
            fn stores(dtype: DType) -> bool { dtype == DType::$d || (dtype == DType::Bool && DType::$d == DType::U8) }
            #[inline(always)] fn from_f64(value: f64) -> Self { value as $t }
            #[inline(always)] fn to_f64(self) -> f64 { self as f64 }
            #[inline(always)] fn from_i64(value: i64) -> Self { value as $t }
            #[inline(always)] fn to_i64(self) -> i64 { self as i64 }
        }
    )*};
}
element!(f32, F32; f64, F64; i64, I64; u8, U8);

/// Elements with arithmetic of floating point: f32, and f64 for gradient checks.
pub trait Float:
    Element
    + std::ops::Add<Output = Self>
    + std::ops::Sub<Output = Self>
    + std::ops::Mul<Output = Self>
    + std::ops::Div<Output = Self>
    + std::ops::Neg<Output = Self>
    + std::ops::AddAssign
    + std::ops::SubAssign
    + std::ops::MulAssign
    + std::ops::DivAssign
    + std::iter::Sum
{
    const ZERO: Self;
    const ONE: Self;
    const INFINITY: Self;
    const NEG_INFINITY: Self;
    const NAN: Self;
    fn sqrt(self) -> Self;
    fn exp(self) -> Self;
    fn ln(self) -> Self;
    fn abs(self) -> Self;
    fn powf(self, exponent: Self) -> Self;
    fn is_nan(self) -> bool;
    fn is_finite(self) -> bool;
}

macro_rules! float {
    ($($t:ident),*) => {$(
        impl Float for $t {
            const ZERO: Self = 0.0;
            const ONE: Self = 1.0;
            const INFINITY: Self = $t::INFINITY;
            const NEG_INFINITY: Self = $t::NEG_INFINITY;
            const NAN: Self = $t::NAN;
            #[inline(always)] fn sqrt(self) -> Self { $t::sqrt(self) }
            #[inline(always)] fn exp(self) -> Self { $t::exp(self) }
            #[inline(always)] fn ln(self) -> Self { $t::ln(self) }
            #[inline(always)] fn abs(self) -> Self { $t::abs(self) }
            #[inline(always)] fn powf(self, exponent: Self) -> Self { $t::powf(self, exponent) }
            #[inline(always)] fn is_nan(self) -> bool { $t::is_nan(self) }
            #[inline(always)] fn is_finite(self) -> bool { $t::is_finite(self) }
        }
    )*};
}
float!(f32, f64);

/// Runs the body with `$T` bound to f32 or f64; any other dtype is an ERR_DTYPE of the named op.
#[macro_export]
macro_rules! dispatch_float {
    ($dtype:expr, $op:expr, $T:ident => $body:expr) => {
        match $dtype {
            $crate::dtype::DType::F32 => {
                type $T = f32;
                $body
            }
            $crate::dtype::DType::F64 => {
                type $T = f64;
                $body
            }
            other => {
                return Err($crate::error::Error::Dtype(format!(
                    "{}: takes float32 or float64, got {}; convert with .to('float32')",
                    $op,
                    other.name()
                )))
            }
        }
    };
}

/// Runs the body with `$T` bound to the type which stores the dtype (bool: u8).
#[macro_export]
macro_rules! dispatch_all {
    ($dtype:expr, $T:ident => $body:expr) => {
        match $dtype {
            $crate::dtype::DType::F32 => {
                type $T = f32;
                $body
            }
            $crate::dtype::DType::F64 => {
                type $T = f64;
                $body
            }
            $crate::dtype::DType::BF16 => {
                type $T = $crate::half::Bf16;
                $body
            }
            $crate::dtype::DType::F16 => {
                type $T = $crate::half::F16;
                $body
            }
            $crate::dtype::DType::I64 => {
                type $T = i64;
                $body
            }
            $crate::dtype::DType::U8 | $crate::dtype::DType::Bool => {
                type $T = u8;
                $body
            }
        }
    };
}
