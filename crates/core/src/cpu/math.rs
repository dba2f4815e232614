//! Functions of one number, written so that a loop over them becomes vector code: no branch, no float-to-int cast.
//! Their names and argument orders are WGSL's, so that one expression serves both. NaN always propagates.

#![allow(clippy::excessive_precision, reason = "polynomials as published; the digits beyond float32 do no harm")]

/// Floating point types the functions below take; the float32 ones are vectorisable, float64 (gradient checks) is exact.
pub trait Math: crate::dtype::Float {
    fn exp_(self) -> Self;
    fn log_(self) -> Self;
    fn expm1_(self) -> Self;
    fn log1p_(self) -> Self;
    fn tanh_(self) -> Self;
    fn erf_(self) -> Self;
    fn sin_(self) -> Self;
    fn cos_(self) -> Self;
    fn floor_(self) -> Self;
    fn ceil_(self) -> Self;
    fn round_(self) -> Self;
    fn atan2_(self, x: Self) -> Self;
}

macro_rules! names {
    ($($name:ident => $method:ident),*) => {$(
        #[inline(always)]
        pub fn $name<T: Math>(x: T) -> T { x.$method() }
    )*};
}
names!(exp => exp_, log => log_, expm1 => expm1_, log1p => log1p_, tanh => tanh_, erf => erf_, sin => sin_, cos => cos_,
       floor => floor_, ceil => ceil_, round => round_);

#[inline(always)]
pub fn sqrt<T: Math>(x: T) -> T {
    x.sqrt()
}

#[inline(always)]
pub fn abs<T: Math>(x: T) -> T {
    x.abs()
}

#[inline(always)]
pub fn pow<T: Math>(x: T, y: T) -> T {
    x.powf(y)
}

#[inline(always)]
pub fn atan2<T: Math>(y: T, x: T) -> T {
    y.atan2_(x)
}

/// WGSL's order: the value if false comes first.
#[inline(always)]
pub fn select<T: Copy>(if_false: T, if_true: T, condition: bool) -> T {
    if condition { if_true } else { if_false }
}

/// The larger of both; NaN if either is.
#[inline(always)]
pub fn max<T: Math>(x: T, y: T) -> T {
    select(select(x + y, y, y >= x), x, x > y)
}

/// The smaller of both; NaN if either is.
#[inline(always)]
pub fn min<T: Math>(x: T, y: T) -> T {
    select(select(x + y, y, y <= x), x, x < y)
}

/// -1, 0 or 1; NaN stays.
#[inline(always)]
#[allow(clippy::eq_op, reason = "x - x is 0, and NaN for NaN")]
pub fn sign<T: Math>(x: T) -> T {
    select(select(x - x, -T::ONE, x < T::ZERO), T::ONE, x > T::ZERO)
}

/// The order of numbers, a NaN after all others and equal to its like.
#[inline(always)]
pub fn nan_last<T: PartialOrd>(a: T, b: T) -> std::cmp::Ordering {
    a.partial_cmp(&b).unwrap_or_else(|| a.partial_cmp(&a).is_none().cmp(&b.partial_cmp(&b).is_none()))
}

impl Math for f32 {
    /// exp(n·ln 2 + r) = 2ⁿ·p(r) with |r| ≤ ln 2 / 2 (Cephes' polynomial, Moshier 1989). Below -87.3 the result is 0.
    #[inline(always)]
    fn exp_(self) -> f32 {
        // Adding 1.5·2²³ rounds to an integer, which then stands in the lowest bits.
        const ROUND: f32 = 12_582_912.0;
        let x = select(select(self, 88.8, self > 88.8), -87.5, self < -87.5);
        let t = x * std::f32::consts::LOG2_E + ROUND;
        let n = t - ROUND;
        let r = (x - n * 0.693_359_4) + n * 2.121_944_4e-4;
        let p = ((((1.987_569_1e-4 * r + 1.398_199_9e-3) * r + 8.333_452e-3) * r + 4.166_579_6e-2) * r
            + 1.666_666_5e-1)
            * r
            + 5.0e-1;
        let y = p * r * r + r + 1.0;
        // 2ⁿ in two factors, since n may be 128 and 2¹²⁸ is no float32.
        let n = (t.to_bits() as i32).wrapping_sub(0x4b40_0000);
        let power = |n: i32| f32::from_bits(((n.wrapping_add(127)) << 23) as u32);
        let y = y * power(n >> 1) * power(n.wrapping_sub(n >> 1));
        let y = select(y, f32::INFINITY, self > 88.722_84);
        let y = select(y, 0.0, self < -87.336_54);
        select(y, self, self.is_nan())
    }

    /// ln(m·2ᵉ) with m in [√½, √2) (Cephes' polynomial, Moshier 1989).
    #[inline(always)]
    fn log_(self) -> f32 {
        let small = self < f32::MIN_POSITIVE;
        let x = select(self, self * 8_388_608.0, small);
        let bits = x.to_bits();
        let shifted = bits.wrapping_sub(0x3f35_04f3);
        let e = ((shifted as i32) >> 23) as f32 - select(0.0, 23.0, small);
        let m = f32::from_bits((shifted & 0x007f_ffff).wrapping_add(0x3f35_04f3)) - 1.0;
        let z = m * m;
        let p = ((((((((7.037_683_6e-2 * m - 1.151_461e-1) * m + 1.167_699_9e-1) * m - 1.242_014_1e-1) * m
            + 1.424_932_3e-1)
            * m
            - 1.666_805_8e-1)
            * m
            + 2.000_071_5e-1)
            * m
            - 2.499_999_4e-1)
            * m
            + 3.333_333e-1)
            * m
            * z;
        let y = (p - e * 2.121_944_4e-4) - 0.5 * z;
        let y = m + y + e * 0.693_359_4;
        let y = select(y, f32::NEG_INFINITY, self == 0.0);
        let y = select(y, f32::NAN, self < 0.0);
        select(select(y, self, self == f32::INFINITY), self, self.is_nan())
    }

    #[inline(always)]
    fn expm1_(self) -> f32 {
        let x = self;
        let p = x
            * (1.0
                + x * (0.5
                    + x * (1.666_666_7e-1
                        + x * (4.166_666_8e-2
                            + x * (8.333_333e-3 + x * (1.388_889e-3 + x * (1.984_127e-4 + x * 2.480_158_7e-5)))))));
        select(x.exp_() - 1.0, p, x.abs() < 0.5)
    }

    /// ln(1+x) = ln(u)·x/(u-1) with u = 1+x rounded (Goldberg 1991, theorem 4).
    #[inline(always)]
    fn log1p_(self) -> f32 {
        let u = 1.0 + self;
        let y = u.log_() * (self / (u - 1.0));
        let y = select(y, self, u == 1.0);
        select(y, u.log_(), u == f32::INFINITY || u <= 0.0)
    }

    #[inline(always)]
    fn tanh_(self) -> f32 {
        let x = self;
        let z = x * x;
        let p = ((((-5.704_988_7e-3 * z + 2.063_908_9e-2) * z - 5.373_971_6e-2) * z + 1.333_144_2e-1) * z
            - 3.333_328e-1)
            * z
            * x
            + x;
        let e = (2.0 * x.abs()).exp_();
        let t = 1.0 - 2.0 / (e + 1.0);
        select(select(t, -t, x < 0.0), p, x.abs() < 0.625)
    }

    /// A rational minimax approximation in x² on [-4, 4], beyond which erf is ±1 in float32.
    #[inline(always)]
    fn erf_(self) -> f32 {
        let x = select(select(self, 4.0, self > 4.0), -4.0, self < -4.0);
        let z = x * x;
        let p = ((((((-2.726_142_3e-10 * z + 2.770_681_4e-8) * z - 2.101_024e-6) * z - 5.692_507e-5) * z
            - 7.349_906_3e-4)
            * z
            - 2.954_6e-3)
            * z
            - 1.609_603_3e-2)
            * x;
        let q = (((-1.456_607_2e-5 * z - 2.133_740_6e-4) * z - 1.682_827e-3) * z - 7.373_329_2e-3) * z - 1.426_473_9e-2;
        p / q
    }

    #[inline(always)]
    fn sin_(self) -> f32 {
        self.sin()
    }
    #[inline(always)]
    fn cos_(self) -> f32 {
        self.cos()
    }
    #[inline(always)]
    fn floor_(self) -> f32 {
        self.floor()
    }
    #[inline(always)]
    fn ceil_(self) -> f32 {
        self.ceil()
    }
    #[inline(always)]
    fn round_(self) -> f32 {
        self.round_ties_even()
    }
    #[inline(always)]
    fn atan2_(self, x: f32) -> f32 {
        self.atan2(x)
    }
}

impl Math for f64 {
    fn exp_(self) -> f64 {
        self.exp()
    }
    fn log_(self) -> f64 {
        self.ln()
    }
    fn expm1_(self) -> f64 {
        self.exp_m1()
    }
    fn log1p_(self) -> f64 {
        self.ln_1p()
    }
    fn tanh_(self) -> f64 {
        self.tanh()
    }
    fn erf_(self) -> f64 {
        libm::erf(self)
    }
    fn sin_(self) -> f64 {
        self.sin()
    }
    fn cos_(self) -> f64 {
        self.cos()
    }
    fn floor_(self) -> f64 {
        self.floor()
    }
    fn ceil_(self) -> f64 {
        self.ceil()
    }
    fn round_(self) -> f64 {
        self.round_ties_even()
    }
    fn atan2_(self, x: f64) -> f64 {
        self.atan2(x)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The largest error over `[low, high]`, relative where the value is above 1e-3 of `scale`.
    fn worst(f: impl Fn(f32) -> f32, exact: impl Fn(f64) -> f64, low: f32, high: f32, scale: f64) -> f64 {
        let n = 200_001;
        (0..n)
            .map(|i| {
                let x = low + (high - low) * i as f32 / (n - 1) as f32;
                let (got, want) = (f(x) as f64, exact(x as f64));
                (got - want).abs() / want.abs().max(1e-3 * scale)
            })
            .fold(0.0, f64::max)
    }

    #[test]
    fn within_a_few_units_in_the_last_place() {
        let cases: [(&str, f64); 8] = [
            ("exp", worst(f32::exp_, f64::exp, -87.0, 88.7, 0.0)),
            ("log", worst(f32::log_, f64::ln, 1e-6, 50.0, 1.0)),
            ("log near 1e38", worst(f32::log_, f64::ln, 1e30, 3e38, 1.0)),
            ("expm1", worst(f32::expm1_, f64::exp_m1, -5.0, 5.0, 0.01)),
            ("log1p", worst(f32::log1p_, f64::ln_1p, -0.9, 5.0, 0.01)),
            ("tanh", worst(f32::tanh_, f64::tanh, -10.0, 10.0, 0.01)),
            ("erf", worst(f32::erf_, libm::erf, -5.0, 5.0, 0.1)),
            ("erf near 0", worst(f32::erf_, libm::erf, -0.1, 0.1, 0.001)),
        ];
        for (name, error) in cases {
            assert!(error < 6e-7, "{name}: relative error {error:e}");
        }
    }

    #[test]
    fn special_values() {
        let inf = f32::INFINITY;
        assert_eq!((f32::NEG_INFINITY.exp_(), inf.exp_(), 0f32.exp_(), 89f32.exp_()), (0.0, inf, 1.0, inf));
        assert_eq!((0f32.log_(), inf.log_(), 1f32.log_()), (-inf, inf, 0.0));
        assert!((1e-40f32.log_() - 1e-40f32.ln()).abs() < 1e-4);
        assert!((-1f32).log_().is_nan());
        assert_eq!((inf.tanh_(), (-inf).tanh_(), inf.erf_().round(), inf.log1p_()), (1.0, -1.0, 1.0, inf));
        assert_eq!(((-1f32).log1p_(), (-inf).expm1_(), inf.expm1_()), (-inf, -1.0, inf));
        for f in [f32::exp_, f32::log_, f32::expm1_, f32::log1p_, f32::tanh_, f32::erf_] {
            assert!(f(f32::NAN).is_nan());
        }
        assert!(max(f32::NAN, 0.0).is_nan() && max(0.0, f32::NAN).is_nan() && min(f32::NAN, 0.0).is_nan());
        assert!(sign(f32::NAN).is_nan() && sign(-0.0f32) == 0.0);
    }
}
