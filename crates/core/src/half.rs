//! The two 16-bit floats as stored values, and their conversions. There is no arithmetic on them here: operations compute in
//! float32, products of matrices have kernels of their own (`cpu::gemm_bf16`).

use crate::dtype::{DType, Element};
use std::cmp::Ordering;

/// bfloat16: the upper half of a float32 (1 sign, 8 exponent and 7 mantissa bits).
#[derive(Clone, Copy, Default)]
#[repr(transparent)]
pub struct Bf16(pub u16);

/// IEEE binary16: 1 sign, 5 exponent and 10 mantissa bits.
#[derive(Clone, Copy, Default)]
#[repr(transparent)]
pub struct F16(pub u16);

impl Bf16 {
    /// The nearest one, halves to even; what is too large becomes infinity, and every NaN the quiet one of its sign.
    #[inline(always)]
    pub fn from_f32(value: f32) -> Bf16 {
        let bits = value.to_bits();
        let rounded = bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) >> 16;
        let nan = (bits >> 16 & 0x8000) | 0x7fc0;
        Bf16(if bits & 0x7fff_ffff > 0x7f80_0000 { nan } else { rounded } as u16)
    }

    /// Exact.
    #[inline(always)]
    pub fn to_f32(self) -> f32 {
        f32::from_bits((self.0 as u32) << 16)
    }
}

impl F16 {
    /// The nearest one, halves to even; what is too large becomes infinity, and every NaN the quiet one of its sign.
    #[inline(always)]
    pub fn from_f32(value: f32) -> F16 {
        let bits = value.to_bits();
        let (sign, magnitude) = ((bits >> 16 & 0x8000) as u16, bits & 0x7fff_ffff);
        let rest = if magnitude > 0x7f80_0000 {
            0x7e00
        } else if magnitude >= 0x477f_f000 {
            // 65520 and above round to infinity.
            0x7c00
        } else if magnitude >= 0x3880_0000 {
            // Normal: the exponent moves from bias 127 to 15.
            (magnitude - 0x3800_0000 + 0x0fff + ((magnitude >> 13) & 1)) >> 13
        } else {
            // Subnormal, in units of 2⁻²⁴: adding ½ aligns the last place of the float32 with that unit.
            (f32::from_bits(magnitude) + 0.5).to_bits() - 0.5f32.to_bits()
        };
        F16(sign | rest as u16)
    }

    /// Exact.
    #[inline(always)]
    pub fn to_f32(self) -> f32 {
        let sign = (self.0 as u32 & 0x8000) << 16;
        let (exponent, mantissa) = (self.0 as u32 >> 10 & 0x1f, self.0 as u32 & 0x3ff);
        let magnitude = match exponent {
            // 2⁻²⁴ a unit.
            0 => (mantissa as f32 * 5.960_464_5e-8).to_bits(),
            31 => 0x7f80_0000 | mantissa << 13,
            _ => (exponent + 112) << 23 | mantissa << 13,
        };
        f32::from_bits(sign | magnitude)
    }
}

macro_rules! half {
    ($($t:ident, $d:ident);*) => {$(
        impl Element for $t {
            const DTYPE: DType = DType::$d;
            /// By way of float32, as PyTorch converts.
            #[inline(always)] fn from_f64(value: f64) -> Self { $t::from_f32(value as f32) }
            #[inline(always)] fn to_f64(self) -> f64 { self.to_f32() as f64 }
            #[inline(always)] fn from_i64(value: i64) -> Self { $t::from_f32(value as f32) }
            #[inline(always)] fn to_i64(self) -> i64 { self.to_f32() as i64 }
        }
        impl PartialEq for $t {
            #[inline(always)] fn eq(&self, other: &Self) -> bool { self.to_f32() == other.to_f32() }
        }
        impl PartialOrd for $t {
            #[inline(always)] fn partial_cmp(&self, other: &Self) -> Option<Ordering> { self.to_f32().partial_cmp(&other.to_f32()) }
        }
        impl std::fmt::Debug for $t {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { self.to_f32().fmt(f) }
        }
    )*};
}
half!(Bf16, BF16; F16, F16);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bfloat16_survives_and_every_float32_between_two_goes_to_the_nearest() {
        for bits in 0..=u16::MAX {
            let value = Bf16(bits).to_f32();
            let back = Bf16::from_f32(value);
            assert!(back.0 == bits || (value.is_nan() && back.to_f32().is_nan()), "{bits:#x} became {:#x}", back.0);
            if bits & 0x7fff >= 0x7f7f {
                continue;
            }
            // The next one away from zero, and places between them: a tie goes to the even one.
            let low = (bits as u32) << 16;
            for (between, up) in [(1, 0), (0x7fff, 0), (0x8000, bits & 1), (0x8001, 1), (0xffff, 1)] {
                assert_eq!(Bf16::from_f32(f32::from_bits(low + between)).0, bits + up, "{bits:#x} + {between:#x}");
            }
        }
        assert_eq!(Bf16::from_f32(f32::MAX).to_f32(), f32::INFINITY);
        assert_eq!(Bf16::from_f32(f32::MIN).to_f32(), f32::NEG_INFINITY);
        assert_eq!(Bf16::from_f32(-0.0).0, 0x8000);
        // A NaN whose payload lies in the lower half must not become infinity.
        assert_eq!(Bf16::from_f32(f32::from_bits(0xff80_0001)).0, 0xffc0);
    }

    #[test]
    fn every_float16_survives_and_every_float32_between_two_goes_to_the_nearest() {
        for bits in 0..=u16::MAX {
            let value = F16(bits).to_f32();
            let back = F16::from_f32(value);
            assert!(back.0 == bits || (value.is_nan() && back.to_f32().is_nan()), "{bits:#x} became {:#x}", back.0);
            if bits & 0x7fff >= 0x7bff {
                continue;
            }
            let next = F16(bits + 1).to_f32();
            // float32 has 13 bits more, so that all of these are exact; float64 to be safe below 2⁻¹⁴.
            let at = |part: f64| (f64::from(value) + (f64::from(next) - f64::from(value)) * part) as f32;
            for (part, up) in [(0.25, 0), (0.499, 0), (0.5, bits & 1), (0.501, 1), (0.75, 1)] {
                assert_eq!(F16::from_f32(at(part)).0, bits + up, "{value} + {part} of the way to {next}");
            }
        }
        assert_eq!(F16::from_f32(65519.996).0, 0x7bff);
        assert_eq!(F16::from_f32(65520.0).0, 0x7c00);
        assert_eq!(F16::from_f32(-1e-8).0, 0x8000);
        assert!(F16::from_f32(f32::from_bits(0x7f80_0001)).to_f32().is_nan());
    }
}
