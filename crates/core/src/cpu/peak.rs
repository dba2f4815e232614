//! What this machine can do at most, measured: multiply-adds from registers, and numbers through memory. The lines that the
//! speed of kernels is compared with (Williams, Waterman & Patterson 2009); no kernel itself.

use super::dispatch::{has_bfloat16, isa};
use super::threads::{SharedPointer, num_threads, parallel_for};
use super::vector::{Real, Vector, VectorKernel, with_vectors};
use std::time::Instant;

/// Of all threads together.
#[derive(Clone, Copy, Debug)]
pub struct Peak {
    /// Multiplications and additions a second, in float32.
    pub float32: f64,
    /// The same for products of bfloat16 summed in float32, where the processor has them.
    pub bfloat16: Option<f64>,
    /// Bytes a second read and written by `a = b + s·c` over arrays that no cache holds.
    pub bytes: f64,
}

/// Registers that hold sums: enough for the latency of a multiply-add on every machine.
const SUMS: usize = 12;
/// Multiply-adds of each register in one timed loop: half a millisecond, so that some run undisturbed.
const ROUNDS: usize = 1 << 17;
/// Elements an array of the memory loop.
const ELEMENTS: usize = 16 << 20;
/// The best of so many loops counts (a tenth of that for memory): other programs only make one slower.
const TRIALS: usize = 60;

/// Measures with the threads and the instruction set in use; about a quarter of a second.
pub fn measure() -> Peak {
    let threads = num_threads();
    let best = |work: f64, run: &(dyn Fn() + Sync)| {
        let rate = || {
            let start = Instant::now();
            run();
            work / start.elapsed().as_secs_f64()
        };
        (0..TRIALS).map(|_| rate()).fold(0.0, f64::max)
    };
    let each = |run: &(dyn Fn() -> f32 + Sync)| {
        parallel_for(threads, |_| {
            std::hint::black_box(run());
        })
    };
    let lanes = {
        // SAFETY: the instruction set in use is available.
        unsafe { with_vectors(isa(), Lanes) }
    };
    let work = |lanes: usize| (2 * lanes * SUMS * ROUNDS * threads) as f64;
    // SAFETY: the instruction set in use is available.
    let float32 = best(work(lanes), &|| each(&|| unsafe { with_vectors(isa(), MultiplyAdd) }));
    let bfloat16 = bfloat16_loop().map(|run| best(work(32), &|| each(&run)));
    Peak { float32, bfloat16, bytes: memory() }
}

/// The loop of multiply-adds of pairs, where `has_bfloat16`.
fn bfloat16_loop() -> Option<fn() -> f32> {
    #[cfg(target_arch = "x86_64")]
    if has_bfloat16() {
        // SAFETY: the processor has AVX512_BF16.
        return Some(|| unsafe { pairs() });
    }
    debug_assert!(!has_bfloat16());
    None
}

struct Lanes;

impl VectorKernel<f32> for Lanes {
    type Output = usize;
    #[inline(always)]
    unsafe fn run<V: Vector<Scalar = f32>>(self) -> usize {
        V::LANES
    }
}

/// Multiply-adds that wait for nothing but their own register.
struct MultiplyAdd;

impl VectorKernel<f32> for MultiplyAdd {
    type Output = f32;
    #[inline(always)]
    unsafe fn run<V: Vector<Scalar = f32>>(self) -> f32 {
        // SAFETY: the caller promises the instruction set; the array has room for any vector.
        unsafe {
            // Numbers that the compiler does not know, near a fixed point of s ← s·f + a.
            let [factor, addend] = std::hint::black_box([0.999_f32, 0.001]);
            let (factor, addend) = (V::splat(factor), V::splat(addend));
            let mut sums = [V::splat(f32::ONE); SUMS];
            for _ in 0..ROUNDS {
                for i in 0..SUMS {
                    sums[i] = sums[i].mul_add(factor, addend);
                }
            }
            let mut total = sums[0];
            for i in 1..SUMS {
                total = total.add(sums[i]);
            }
            let mut lanes = [0.0; 16];
            total.store(lanes.as_mut_ptr());
            lanes[0]
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
unsafe fn pairs() -> f32 {
    use std::arch::x86_64::*;
    // Two bfloat16 of 2⁻⁷ each: sums grow by 2⁻¹³ a step.
    let factor = _mm512_set1_epi32(std::hint::black_box(0x3c00_3c00));
    // SAFETY: both are 512 bits; any are bfloat16.
    let factor = unsafe { std::mem::transmute::<__m512i, __m512bh>(factor) };
    let mut sums = [_mm512_setzero_ps(); SUMS];
    for _ in 0..ROUNDS {
        for i in 0..SUMS {
            sums[i] = _mm512_dpbf16_ps(sums[i], factor, factor);
        }
    }
    sums.iter().map(|&sum| _mm512_reduce_add_ps(sum)).sum()
}

/// Bytes a second of the memory loop.
fn memory() -> f64 {
    let (b, c) = (vec![1.0f32; ELEMENTS], vec![2.0f32; ELEMENTS]);
    let mut a = vec![0.5f32; ELEMENTS];
    let shared = SharedPointer::new(&mut a);
    let threads = num_threads();
    let rate = || {
        let start = Instant::now();
        parallel_for(threads, |task| {
            let part = ELEMENTS * task / threads..ELEMENTS * (task + 1) / threads;
            // SAFETY: each task has a part of its own.
            let a = unsafe { shared.slice(part.clone()) };
            for ((a, b), c) in a.iter_mut().zip(&b[part.clone()]).zip(&c[part]) {
                *a = *b + 0.5 * *c;
            }
        });
        (3 * ELEMENTS * size_of::<f32>()) as f64 / start.elapsed().as_secs_f64()
    };
    let best = (0..TRIALS / 10).map(|_| rate()).fold(0.0, f64::max);
    std::hint::black_box(&a);
    best
}

#[cfg(test)]
mod tests {
    use super::super::cases::with_threads;
    use super::super::gemm::{Matrix, Update, gemm};
    use super::*;

    /// A kernel cannot be faster than the peak, whatever else the machine does meanwhile: both have their best moments.
    #[test]
    fn a_product_is_no_faster_than_the_peak() {
        let n = 192;
        let [a, b] = [0.5f32, 0.25].map(|x| vec![x; n * n]);
        let mut c = vec![0.0; n * n];
        let mut product = || {
            let start = Instant::now();
            gemm([n; 3], 1.0, Matrix::row_major(&a, n), Matrix::row_major(&b, n), Update::Overwrite, &mut c, n);
            (2 * n * n * n) as f64 / start.elapsed().as_secs_f64()
        };
        let (rate, peak) = with_threads(1, || ((0..TRIALS).map(|_| product()).fold(0.0, f64::max), measure()));
        assert!(rate < 1.5 * peak.float32, "{rate:e} beside {peak:?}");
        assert!(peak.bytes > 0.0 && peak.bytes < 1e13, "{peak:?}");
        assert_eq!(peak.bfloat16.is_some(), has_bfloat16());
    }
}
