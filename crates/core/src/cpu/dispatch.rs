//! Run-time choice of the instruction set: one binary runs everywhere and uses what the machine has.
//! Detection asks the processor only; a choice from above (tests, benches) arrives through [`force_isa`].

use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

/// An instruction set that kernels are compiled for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Isa {
    /// What the compiler's baseline has (SSE2 on x86-64), left to the autovectoriser.
    Portable = 1,
    /// x86-64 with AVX2 and FMA: 8 float32 lanes.
    Avx2 = 2,
    /// x86-64 with AVX-512 F, BW, DQ and VL: 16 float32 lanes.
    Avx512 = 3,
    /// AArch64 with NEON: 4 float32 lanes.
    Neon = 4,
}

impl Isa {
    /// The name users see: `portable`, `avx2`, `avx512`, `neon`.
    pub fn name(self) -> &'static str {
        match self {
            Isa::Portable => "portable",
            Isa::Avx2 => "avx2",
            Isa::Avx512 => "avx512",
            Isa::Neon => "neon",
        }
    }

    /// The instruction set of that name, if there is one.
    pub fn from_name(name: &str) -> Option<Isa> {
        [Isa::Portable, Isa::Avx2, Isa::Avx512, Isa::Neon].into_iter().find(|isa| isa.name() == name)
    }

    /// Whether this machine can run it.
    pub fn is_available(self) -> bool {
        available_isas().contains(&self)
    }
}

/// All instruction sets this machine can run, slowest first; [`Isa::Portable`] is always there.
pub fn available_isas() -> &'static [Isa] {
    #[cfg(target_arch = "x86_64")]
    {
        let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
        let avx512 = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl");
        match (avx2, avx512) {
            (true, true) => &[Isa::Portable, Isa::Avx2, Isa::Avx512],
            (true, false) => &[Isa::Portable, Isa::Avx2],
            _ => &[Isa::Portable],
        }
    }
    #[cfg(target_arch = "aarch64")]
    {
        // NEON is part of the AArch64 baseline.
        &[Isa::Portable, Isa::Neon]
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    {
        &[Isa::Portable]
    }
}

/// 0: not asked yet.
static CHOSEN: AtomicU8 = AtomicU8::new(0);

/// The instruction set in use: the best available, or the one forced.
#[inline]
pub fn isa() -> Isa {
    match CHOSEN.load(Relaxed) {
        1 => Isa::Portable,
        2 => Isa::Avx2,
        3 => Isa::Avx512,
        4 => Isa::Neon,
        _ => {
            let best = *available_isas().last().unwrap_or(&Isa::Portable);
            CHOSEN.store(best as u8, Relaxed);
            best
        }
    }
}

/// Whether the instruction set in use comes with products of bfloat16 (AVX512_BF16). Elsewhere they are emulated: the same
/// rounding, at the speed of float32.
pub fn has_bfloat16() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        isa() == Isa::Avx512 && is_x86_feature_detected!("avx512bf16")
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        false
    }
}

/// Makes every later kernel use this instruction set; `None` returns to the best available. False, and nothing
/// changes, when the machine cannot run it.
#[must_use]
pub fn force_isa(choice: Option<Isa>) -> bool {
    match choice {
        None => CHOSEN.store(0, Relaxed),
        Some(isa) if isa.is_available() => CHOSEN.store(isa as u8, Relaxed),
        Some(_) => return false,
    }
    true
}

/// A loop that [`dispatch`] compiles once for each instruction set. Mark `run` `#[inline(always)]`, and everything it
/// calls in its inner loop too: only what is inlined is compiled with the wider instructions. Contraction to fused
/// multiply-add never happens by itself, so the result is the same on all of them unless the body asks [`isa`].
pub trait Kernel {
    type Output;
    fn run(self) -> Self::Output;
}

/// Runs the kernel as compiled for [`isa`].
#[inline]
pub fn dispatch<K: Kernel>(kernel: K) -> K::Output {
    run_as(isa(), kernel)
}

/// Runs the kernel as compiled for `isa`.
///
/// # Panics
/// If this machine cannot run `isa`.
pub fn dispatch_to<K: Kernel>(isa: Isa, kernel: K) -> K::Output {
    assert!(isa.is_available(), "this machine cannot run {}", isa.name());
    run_as(isa, kernel)
}

#[inline]
fn run_as<K: Kernel>(isa: Isa, kernel: K) -> K::Output {
    match isa {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: only an available instruction set is ever chosen or passed.
        Isa::Avx512 => unsafe { run_avx512(kernel) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Isa::Avx2 => unsafe { run_avx2(kernel) },
        // On AArch64 NEON is the baseline: the plain compilation already uses it.
        _ => kernel.run(),
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn run_avx2<K: Kernel>(kernel: K) -> K::Output {
    kernel.run()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl")]
unsafe fn run_avx512<K: Kernel>(kernel: K) -> K::Output {
    kernel.run()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Sum<'a>(&'a [f32]);

    impl Kernel for Sum<'_> {
        type Output = f32;
        #[inline(always)]
        fn run(self) -> f32 {
            self.0.iter().sum()
        }
    }

    #[test]
    fn every_available_isa_runs_a_kernel() {
        let values: Vec<f32> = (0..100).map(|i| i as f32).collect();
        for &isa in available_isas() {
            assert_eq!(dispatch_to(isa, Sum(&values)), 4950.0, "{isa:?}");
        }
        assert_eq!(dispatch(Sum(&values)), 4950.0);
    }

    #[test]
    fn names_round_trip_and_absent_isas_are_refused() {
        for isa in [Isa::Portable, Isa::Avx2, Isa::Avx512, Isa::Neon] {
            assert_eq!(Isa::from_name(isa.name()), Some(isa));
            if !isa.is_available() {
                assert!(!force_isa(Some(isa)));
            }
        }
        assert_eq!(Isa::from_name("mmx"), None);
        assert!(available_isas().contains(&isa()));
    }
}
