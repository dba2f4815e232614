//! Working memory of kernels, kept by each thread between calls: fresh pages cost more than the work done in them.
//! It is not the storage of tensors.

use super::vector::Real;
use std::cell::RefCell;

/// Buffers above this size go back to the system after use.
const KEEP_BYTES: usize = 64 << 20;

/// A cache line, and the alignment of every buffer.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([u8; 64]);

thread_local! {
    static FREE: RefCell<Vec<Vec<Line>>> = const { RefCell::new(Vec::new()) };
}

/// Lends `run` a 64-byte aligned buffer of `len` numbers of unspecified value. Calls may nest; each gets its own buffer.
pub fn with_scratch<T: Real, R>(len: usize, run: impl FnOnce(&mut [T]) -> R) -> R {
    let lines = (len * size_of::<T>()).div_ceil(size_of::<Line>());
    let mut buffer = take(lines);
    if buffer.len() < lines {
        // The old buffer is dropped first: a growing one never holds both.
        drop(buffer);
        buffer = vec![Line([0; 64]); lines];
    }
    // SAFETY: the buffer holds at least `len` numbers, is aligned to 64 bytes and initialised, and every bit pattern is
    // a valid f32 or f64.
    let result = run(unsafe { std::slice::from_raw_parts_mut(buffer.as_mut_ptr().cast::<T>(), len) });
    if buffer.len() * size_of::<Line>() <= KEEP_BYTES {
        FREE.with_borrow_mut(|free| free.push(buffer));
    }
    result
}

/// The smallest free buffer that is large enough, else the largest one.
fn take(lines: usize) -> Vec<Line> {
    FREE.with_borrow_mut(|free| {
        let fits = |buffer: &Vec<Line>| buffer.len() >= lines;
        let best = (0..free.len()).min_by_key(|&i| {
            let len = free[i].len();
            if fits(&free[i]) { (0, len) } else { (1, usize::MAX - len) }
        });
        best.map(|i| free.swap_remove(i)).unwrap_or_default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_aligned_distinct_and_reused() {
        let first = with_scratch::<f32, _>(100, |outer| {
            outer.fill(1.0);
            with_scratch::<f64, _>(500, |inner| {
                inner.fill(2.0);
                assert_eq!(inner.as_ptr() as usize % 64, 0);
            });
            assert!(outer.iter().all(|&x| x == 1.0));
            assert_eq!(outer.len(), 100);
            outer.as_ptr() as usize
        });
        let again = with_scratch::<f32, _>(100, |buffer| buffer.as_ptr() as usize);
        assert_eq!(first, again);
        with_scratch::<f32, _>(0, |buffer| assert!(buffer.is_empty()));
    }
}
