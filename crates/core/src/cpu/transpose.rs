//! Lines that lie along memory into the panels of a matrix product, where each step holds one number of every line:
//! 16×16 numbers at a time in registers. Machines without AVX-512 pack number by number (`gemm::pack_panel`).

/// Packs 12, 16 or 32 whole lines of `depth` numbers into a panel; false, and nothing is done, where this machine or this
/// width has no kernel.
///
/// # Safety
/// Line i can be read at `i * line_stride` for `depth` numbers; `to` holds `width * depth`.
#[cfg(target_arch = "x86_64")]
pub unsafe fn pack_lines(from: *const f32, line_stride: usize, depth: usize, width: usize, to: &mut [f32]) -> bool {
    use super::dispatch::{Isa, isa};
    if isa() != Isa::Avx512 {
        return false;
    }
    // SAFETY: the instruction set is there; the rest is passed on.
    unsafe {
        match width {
            12 => x86::pack::<12>(from, line_stride, depth, to),
            16 => x86::pack::<16>(from, line_stride, depth, to),
            32 => x86::pack::<32>(from, line_stride, depth, to),
            _ => return false,
        }
    }
    true
}

#[cfg(not(target_arch = "x86_64"))]
pub unsafe fn pack_lines(_: *const f32, _: usize, _: usize, _: usize, _: &mut [f32]) -> bool {
    false
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    #[target_feature(enable = "avx512f")]
    pub unsafe fn pack<const WIDTH: usize>(from: *const f32, line_stride: usize, depth: usize, to: &mut [f32]) {
        debug_assert_eq!(to.len(), WIDTH * depth);
        let to = to.as_mut_ptr();
        for first in (0..depth).step_by(16) {
            let count = (depth - first).min(16);
            for half in (0..WIDTH).step_by(16) {
                // SAFETY: the lines and steps lie in the source.
                let steps = unsafe { transposed::<WIDTH>(from.add(half * line_stride + first), line_stride, count) };
                for (step, &values) in steps.iter().enumerate().take(count) {
                    // SAFETY: the step lies in the panel.
                    unsafe {
                        let to = to.add((first + step) * WIDTH + half);
                        // A step of 12 is stored as 16: the next step's store overwrites the surplus. None follows the last.
                        if WIDTH < 16 && step + 1 == count {
                            _mm512_mask_storeu_ps(to, (1 << WIDTH) - 1, values);
                        } else {
                            _mm512_storeu_ps(to, values);
                        }
                    }
                }
            }
        }
    }

    /// Up to sixteen numbers of up to 16 of `WIDTH` lines: element [step][line].
    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn transposed<const WIDTH: usize>(from: *const f32, line_stride: usize, count: usize) -> [__m512; 16] {
        let zero = _mm512_setzero_ps();
        let mut lines = [zero; 16];
        let present = u16::MAX >> (16 - count);
        for i in 0..16 {
            if i < WIDTH {
                // SAFETY: the caller promises that many numbers of each line.
                lines[i] = unsafe { _mm512_maskz_loadu_ps(present, from.add(i * line_stride)) };
            }
        }
        // Within each 128 bits: pairs of lines, then four lines at one step each.
        let mut fours = [zero; 16];
        for g in (0..16).step_by(4) {
            let (low, high) = (pair(lines[g], lines[g + 1]), pair(lines[g + 2], lines[g + 3]));
            for k in 0..2 {
                let (a, b) = (_mm512_castps_pd(low[k]), _mm512_castps_pd(high[k]));
                fours[g + 2 * k] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, b));
                fours[g + 2 * k + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, b));
            }
        }
        // fours[g + c] holds, in its quarter q, step 4·q + c of lines g..g + 4: quarters change places.
        let mut steps = [zero; 16];
        for c in 0..4 {
            let (a, b, d, e) = (fours[c], fours[4 + c], fours[8 + c], fours[12 + c]);
            let (first, second) = (_mm512_shuffle_f32x4::<0x44>(a, b), _mm512_shuffle_f32x4::<0x44>(d, e));
            steps[c] = _mm512_shuffle_f32x4::<0x88>(first, second);
            steps[4 + c] = _mm512_shuffle_f32x4::<0xdd>(first, second);
            let (first, second) = (_mm512_shuffle_f32x4::<0xee>(a, b), _mm512_shuffle_f32x4::<0xee>(d, e));
            steps[8 + c] = _mm512_shuffle_f32x4::<0x88>(first, second);
            steps[12 + c] = _mm512_shuffle_f32x4::<0xdd>(first, second);
        }
        steps
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn pair(a: __m512, b: __m512) -> [__m512; 2] {
        [_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panels_hold_one_number_of_every_line_a_step() {
        for width in [6, 12, 16, 32] {
            for depth in [1, 9, 15, 16, 17, 48, 100] {
                let stride = depth + 3;
                let from: Vec<f32> = (0..width * stride).map(|i| i as f32).collect();
                // Beyond the panel nothing is written.
                let mut to = vec![-1.0; width * depth + 16];
                // SAFETY: the source holds `width` lines of `stride` numbers, the panel is as long as it should be.
                let done = unsafe { pack_lines(from.as_ptr(), stride, depth, width, &mut to[..width * depth]) };
                if done {
                    let want = (0..width * depth).map(|i| (i % width * stride + i / width) as f32);
                    assert!(to.iter().zip(want).all(|(&got, want)| got == want), "{width} × {depth}");
                }
                assert!(to[if done { width * depth } else { 0 }..].iter().all(|&x| x == -1.0));
            }
        }
    }
}
