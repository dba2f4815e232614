//! The few vector operations that kernels are written in, for each instruction set: one kernel source, many widths.

use super::dispatch::Isa;
use crate::half::Bf16;
use std::ops::{Add, AddAssign, Mul, Neg, Sub};

/// `Real::with_vectors` for the vectors of each instruction set.
macro_rules! with_vectors {
    ($baseline:ty, $avx2:ident, $avx512:ident) => {
        unsafe fn with_vectors<K: VectorKernel<Self>>(isa: Isa, kernel: K) -> K::Output {
            match isa {
                #[cfg(target_arch = "x86_64")]
                // SAFETY: the caller promises that the instruction set is available.
                Isa::Avx512 => unsafe { x86::run_avx512::<Self, std::arch::x86_64::$avx512, K>(kernel) },
                #[cfg(target_arch = "x86_64")]
                // SAFETY: as above.
                Isa::Avx2 => unsafe { x86::run_avx2::<Self, std::arch::x86_64::$avx2, K>(kernel) },
                // SAFETY: the baseline is always available.
                _ => unsafe { kernel.run::<$baseline>() },
            }
        }
    };
}

/// The number types that kernels compute in: `f32` and `f64`.
pub trait Real:
    Copy
    + Default
    + PartialEq
    + PartialOrd
    + Send
    + Sync
    + std::fmt::Debug
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Neg<Output = Self>
    + AddAssign
    + super::tile::Tiled
    + 'static
{
    const ZERO: Self;
    const ONE: Self;
    fn to_f64(self) -> f64;
    fn from_f64(value: f64) -> Self;
    /// The slice, if its numbers are f32: for algorithms that exist in float32 only.
    fn as_f32(values: &[Self]) -> Option<&[f32]>;
    fn as_f32_mut(values: &mut [Self]) -> Option<&mut [f32]>;
    /// See [`with_vectors`].
    ///
    /// # Safety
    /// `isa` is available on this machine.
    unsafe fn with_vectors<K: VectorKernel<Self>>(isa: Isa, kernel: K) -> K::Output;
}

impl Real for f32 {
    const ZERO: f32 = 0.0;
    const ONE: f32 = 1.0;
    fn to_f64(self) -> f64 {
        self.into()
    }
    fn from_f64(value: f64) -> f32 {
        value as f32
    }
    fn as_f32(values: &[f32]) -> Option<&[f32]> {
        Some(values)
    }
    fn as_f32_mut(values: &mut [f32]) -> Option<&mut [f32]> {
        Some(values)
    }
    with_vectors!(Baseline32, __m256, __m512);
}

impl Real for f64 {
    const ZERO: f64 = 0.0;
    const ONE: f64 = 1.0;
    fn to_f64(self) -> f64 {
        self
    }
    fn from_f64(value: f64) -> f64 {
        value
    }
    fn as_f32(_: &[f64]) -> Option<&[f32]> {
        None
    }
    fn as_f32_mut(_: &mut [f64]) -> Option<&mut [f32]> {
        None
    }
    with_vectors!(Baseline64, __m256d, __m512d);
}

/// A register full of numbers. Its methods inline to single instructions where the caller is compiled with the features
/// of the instruction set.
///
/// # Safety
/// Every method requires that the processor has the instruction set of the type; `load` and `store` require
/// [`Vector::LANES`] valid elements at the pointer, at any alignment.
pub trait Vector: Copy {
    type Scalar: Real;
    const LANES: usize;
    unsafe fn splat(value: Self::Scalar) -> Self;
    unsafe fn load(from: *const Self::Scalar) -> Self;
    unsafe fn store(self, to: *mut Self::Scalar);
    unsafe fn add(self, other: Self) -> Self;
    unsafe fn sub(self, other: Self) -> Self;
    unsafe fn mul(self, other: Self) -> Self;
    /// `self * factor + addend`: rounded once where the instruction set has it, else twice.
    unsafe fn mul_add(self, factor: Self, addend: Self) -> Self;
    /// Loads numbers that are bfloat16 in memory.
    #[inline(always)]
    unsafe fn load_bf16(from: *const Bf16) -> Self {
        let mut lanes = [Self::Scalar::ZERO; 16];
        // SAFETY: the caller promises the elements; no vector is wider than 16.
        unsafe {
            for i in 0..Self::LANES {
                lanes[i] = Self::Scalar::from_f64((*from.add(i)).to_f32().into());
            }
            Self::load(lanes.as_ptr())
        }
    }
    /// Stores numbers rounded to bfloat16.
    #[inline(always)]
    unsafe fn store_bf16(self, to: *mut Bf16) {
        let mut lanes = [Self::Scalar::ZERO; 16];
        // SAFETY: as above.
        unsafe {
            self.store(lanes.as_mut_ptr());
            for i in 0..Self::LANES {
                *to.add(i) = Bf16::from_f32(lanes[i].to_f64() as f32);
            }
        }
    }
    /// Asks for the cache line at any address, valid or not, where the processor can be asked.
    #[inline(always)]
    unsafe fn prefetch(at: *const Self::Scalar) {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: part of the baseline; a prefetch never faults.
        unsafe {
            std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(at.cast())
        };
        #[cfg(not(target_arch = "x86_64"))]
        let _ = at;
    }
}

/// A number of an image in memory: float32, or bfloat16 that is widened on the way in and rounded on the way out.
pub trait Pixel: Copy + Send + Sync {
    /// # Safety
    /// As [`Vector::load`].
    unsafe fn load<V: Vector<Scalar = f32>>(from: *const Self) -> V;
    /// # Safety
    /// As [`Vector::store`].
    unsafe fn store<V: Vector<Scalar = f32>>(value: V, to: *mut Self);
}

impl Pixel for f32 {
    #[inline(always)]
    unsafe fn load<V: Vector<Scalar = f32>>(from: *const f32) -> V {
        // SAFETY: passed on.
        unsafe { V::load(from) }
    }
    #[inline(always)]
    unsafe fn store<V: Vector<Scalar = f32>>(value: V, to: *mut f32) {
        // SAFETY: passed on.
        unsafe { value.store(to) }
    }
}

impl Pixel for Bf16 {
    #[inline(always)]
    unsafe fn load<V: Vector<Scalar = f32>>(from: *const Bf16) -> V {
        // SAFETY: passed on.
        unsafe { V::load_bf16(from) }
    }
    #[inline(always)]
    unsafe fn store<V: Vector<Scalar = f32>>(value: V, to: *mut Bf16) {
        // SAFETY: passed on.
        unsafe { value.store_bf16(to) }
    }
}

/// A kernel written in [`Vector`] operations; `run` must be `#[inline(always)]` and use no closures, which would be
/// compiled without the instruction set.
pub trait VectorKernel<T: Real> {
    type Output;
    /// # Safety
    /// The processor has the instruction set of `V`.
    unsafe fn run<V: Vector<Scalar = T>>(self) -> Self::Output;
}

/// Runs the kernel with the vectors of `isa`.
///
/// # Safety
/// `isa` is available on this machine.
pub unsafe fn with_vectors<T: Real, K: VectorKernel<T>>(isa: Isa, kernel: K) -> K::Output {
    // SAFETY: passed on.
    unsafe { T::with_vectors(isa, kernel) }
}

/// Fixed-width arrays left to the autovectoriser: the vectors of machines without intrinsics here, and a stand-in of any
/// width in tests.
#[cfg(any(test, not(any(target_arch = "x86_64", target_arch = "aarch64"))))]
#[derive(Clone, Copy)]
pub struct Lanes<T, const N: usize>([T; N]);

#[cfg(any(test, not(any(target_arch = "x86_64", target_arch = "aarch64"))))]
impl<T: Real, const N: usize> Vector for Lanes<T, N> {
    type Scalar = T;
    const LANES: usize = N;
    #[inline(always)]
    unsafe fn splat(value: T) -> Self {
        Lanes([value; N])
    }
    #[inline(always)]
    unsafe fn load(from: *const T) -> Self {
        // SAFETY: the caller promises N elements; an array of T has the alignment of T.
        Lanes(unsafe { from.cast::<[T; N]>().read() })
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut T) {
        // SAFETY: as for load.
        unsafe { to.cast::<[T; N]>().write(self.0) }
    }
    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        Lanes(std::array::from_fn(|i| self.0[i] + other.0[i]))
    }
    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        Lanes(std::array::from_fn(|i| self.0[i] - other.0[i]))
    }
    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        Lanes(std::array::from_fn(|i| self.0[i] * other.0[i]))
    }
    #[inline(always)]
    unsafe fn mul_add(self, factor: Self, addend: Self) -> Self {
        Lanes(std::array::from_fn(|i| self.0[i] * factor.0[i] + addend.0[i]))
    }
}

#[cfg(target_arch = "x86_64")]
pub use x86::{Baseline32, Baseline64};

#[cfg(target_arch = "aarch64")]
pub use arm::{Baseline32, Baseline64};

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
pub type Baseline32 = Lanes<f32, 4>;
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
pub type Baseline64 = Lanes<f64, 2>;

/// `impl Vector` from the names of intrinsics.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
macro_rules! vector {
    ($vector:ty, $scalar:ty, $lanes:literal, $splat:ident, $load:ident, $store:ident, $add:ident, $sub:ident, $mul:ident,
     |$a:ident, $b:ident, $c:ident| $mul_add:expr $(; $($own:item)*)?) => {
        impl Vector for $vector {
            type Scalar = $scalar;
            const LANES: usize = $lanes;
            #[inline(always)]
            unsafe fn splat(value: $scalar) -> Self {
                // SAFETY: the caller promises the instruction set.
                unsafe { $splat(value) }
            }
            #[inline(always)]
            unsafe fn load(from: *const $scalar) -> Self {
                // SAFETY: the caller promises the instruction set and the elements.
                unsafe { $load(from) }
            }
            #[inline(always)]
            unsafe fn store(self, to: *mut $scalar) {
                // SAFETY: the caller promises the instruction set and the elements.
                unsafe { $store(to, self) }
            }
            #[inline(always)]
            unsafe fn add(self, other: Self) -> Self {
                // SAFETY: the caller promises the instruction set.
                unsafe { $add(self, other) }
            }
            #[inline(always)]
            unsafe fn sub(self, other: Self) -> Self {
                // SAFETY: the caller promises the instruction set.
                unsafe { $sub(self, other) }
            }
            #[inline(always)]
            unsafe fn mul(self, other: Self) -> Self {
                // SAFETY: the caller promises the instruction set.
                unsafe { $mul(self, other) }
            }
            #[inline(always)]
            unsafe fn mul_add(self, factor: Self, addend: Self) -> Self {
                let ($a, $b, $c) = (self, factor, addend);
                // SAFETY: the caller promises the instruction set.
                unsafe { $mul_add }
            }
            $($($own)*)?
        }
    };
}

#[cfg(target_arch = "x86_64")]
#[rustfmt::skip]
mod x86 {
    use super::{Real, Vector, VectorKernel};
    use crate::half::Bf16;
    use std::arch::x86_64::*;

    pub type Baseline32 = __m128;
    pub type Baseline64 = __m128d;

    vector!(__m128, f32, 4, _mm_set1_ps, _mm_loadu_ps, _mm_storeu_ps, _mm_add_ps, _mm_sub_ps, _mm_mul_ps,
        |a, b, c| _mm_add_ps(_mm_mul_ps(a, b), c));
    vector!(__m128d, f64, 2, _mm_set1_pd, _mm_loadu_pd, _mm_storeu_pd, _mm_add_pd, _mm_sub_pd, _mm_mul_pd,
        |a, b, c| _mm_add_pd(_mm_mul_pd(a, b), c));
    vector!(__m256, f32, 8, _mm256_set1_ps, _mm256_loadu_ps, _mm256_storeu_ps, _mm256_add_ps, _mm256_sub_ps,
        _mm256_mul_ps, |a, b, c| _mm256_fmadd_ps(a, b, c));
    vector!(__m256d, f64, 4, _mm256_set1_pd, _mm256_loadu_pd, _mm256_storeu_pd, _mm256_add_pd, _mm256_sub_pd,
        _mm256_mul_pd, |a, b, c| _mm256_fmadd_pd(a, b, c));
    vector!(__m512, f32, 16, _mm512_set1_ps, _mm512_loadu_ps, _mm512_storeu_ps, _mm512_add_ps, _mm512_sub_ps,
        _mm512_mul_ps, |a, b, c| _mm512_fmadd_ps(a, b, c);
        #[inline(always)]
        unsafe fn load_bf16(from: *const Bf16) -> Self {
            // SAFETY: the caller promises AVX-512 and sixteen elements.
            unsafe { _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(_mm256_loadu_si256(from.cast())))) }
        }
        #[inline(always)]
        unsafe fn store_bf16(self, to: *mut Bf16) {
            // SAFETY: the caller promises AVX-512 and room for sixteen elements.
            unsafe {
                let bits = _mm512_castps_si512(self);
                let odd = _mm512_and_si512(_mm512_srli_epi32::<16>(bits), _mm512_set1_epi32(1));
                let nearest = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
                // A NaN keeps its upper half, made quiet.
                let quiet = _mm512_or_si512(bits, _mm512_set1_epi32(0x7fc0_0000));
                let nan = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(self, self);
                let rounded = _mm512_srli_epi32::<16>(_mm512_mask_mov_epi32(nearest, nan, quiet));
                _mm256_storeu_si256(to.cast(), _mm512_cvtepi32_epi16(rounded));
            }
        });
    vector!(__m512d, f64, 8, _mm512_set1_pd, _mm512_loadu_pd, _mm512_storeu_pd, _mm512_add_pd, _mm512_sub_pd,
        _mm512_mul_pd, |a, b, c| _mm512_fmadd_pd(a, b, c));

    #[target_feature(enable = "avx2,fma")]
    pub unsafe fn run_avx2<T: Real, V: Vector<Scalar = T>, K: VectorKernel<T>>(kernel: K) -> K::Output {
        // SAFETY: the caller promises AVX2 and FMA.
        unsafe { kernel.run::<V>() }
    }

    #[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl")]
    pub unsafe fn run_avx512<T: Real, V: Vector<Scalar = T>, K: VectorKernel<T>>(kernel: K) -> K::Output {
        // SAFETY: the caller promises AVX-512.
        unsafe { kernel.run::<V>() }
    }
}

#[cfg(target_arch = "aarch64")]
#[rustfmt::skip]
mod arm {
    use super::Vector;
    use std::arch::aarch64::*;

    pub type Baseline32 = float32x4_t;
    pub type Baseline64 = float64x2_t;

    vector!(float32x4_t, f32, 4, vdupq_n_f32, vld1q_f32, vst1q_f32, vaddq_f32, vsubq_f32, vmulq_f32,
        |a, b, c| vfmaq_f32(c, a, b));
    vector!(float64x2_t, f64, 2, vdupq_n_f64, vld1q_f64, vst1q_f64, vaddq_f64, vsubq_f64, vmulq_f64,
        |a, b, c| vfmaq_f64(c, a, b));
}
