//! What the tests of this room share: reproducible random numbers and thread counts. Not compiled into the library.

use super::threads::{num_threads, set_num_threads};
use super::vector::Real;
use std::sync::Mutex;

/// xorshift64.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() >> 16) as usize % bound
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// Uniform in -1..1.
    pub fn numbers<T: Real>(&mut self, len: usize) -> Vec<T> {
        (0..len).map(|_| T::from_f64((self.next() >> 40) as f64 / (1u64 << 23) as f64 - 1.0)).collect()
    }
}

static THREADS: Mutex<()> = Mutex::new(());

/// Runs with a number of threads that no other test changes meanwhile.
pub fn with_threads<R>(threads: usize, run: impl FnOnce() -> R) -> R {
    let _guard = THREADS.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let before = num_threads();
    set_num_threads(threads);
    let result = run();
    set_num_threads(before);
    result
}

/// Asserts that `got` is within `tolerance` of `want`, relative to the largest value of `want`.
pub fn assert_close<T: Real>(got: &[T], want: &[f64], tolerance: f64, what: &dyn std::fmt::Debug) {
    assert_eq!(got.len(), want.len());
    let scale = want.iter().fold(1e-30f64, |largest, x| largest.max(x.abs()));
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        let error = (got.to_f64() - want).abs() / scale;
        assert!(error <= tolerance, "{what:?}, element {i}: {got:?} ≠ {want} (error {error:.1e} of the largest)");
    }
}
