//! Loops over up to three strided inputs and one dense output: broadcasting without copies, in parallel, dispatched to
//! the machine's vectors. What is computed an element comes from above.

use super::dispatch::{Kernel, dispatch};
use super::threads::{SharedPointer, parallel_ranges};

/// Elements a task, at least: below this a second thread costs more than it brings.
const GRAIN: usize = 8192;

/// Strides of one input, outermost dimension first, in the order of the output's memory; and its first element.
pub struct Operand<'a, T> {
    pub data: &'a [T],
    pub offset: usize,
    pub strides: &'a [usize],
}

/// `out[i] = f([a[i], b[i], …])` with `out` dense in the order of `shape` (all strides in elements, 0 to broadcast).
/// Merge dimensions beforehand: the innermost one is the vector loop.
///
/// `WIDE` compiles the loop for each instruction set: for float32 arithmetic. It multiplies the code, so that
/// everything else (float64, integers, comparisons, casts) goes without. Mark a closure that does much `#[inline(always)]`:
/// where it stays a call, it is compiled for the least machine and the loop goes number by number.
pub fn map<T: Copy + Sync, R: Send, const N: usize, const WIDE: bool>(
    shape: &[usize],
    inputs: [Operand<T>; N],
    out: &mut [R],
    f: impl Fn([T; N]) -> R + Copy + Sync,
) {
    let numel: usize = shape.iter().product();
    assert_eq!(numel, out.len());
    if numel == 0 {
        return;
    }
    let (outer, inner) = match shape.split_last() {
        Some((&inner, outer)) => (outer, inner),
        None => (&[][..], 1),
    };
    for input in &inputs {
        let last = input.offset + shape.iter().zip(input.strides).map(|(n, s)| (n - 1) * s).sum::<usize>();
        assert!(last < input.data.len(), "an operand reaches element {last} of {}", input.data.len());
    }
    let steps: [usize; N] = std::array::from_fn(|k| inputs[k].strides.last().copied().unwrap_or(0));
    let shared = SharedPointer::new(out);
    let run_row = |starts: [usize; N], at: usize, length: usize| {
        // SAFETY: each row of the output is visited by one task only.
        let out = unsafe { shared.slice(at..at + length) };
        run_wide::<_, WIDE>(Row { data: std::array::from_fn(|k| &inputs[k].data[starts[k]..]), steps, out, f });
    };
    let rows = numel / inner;
    if rows == 1 {
        let start: [usize; N] = std::array::from_fn(|k| inputs[k].offset);
        parallel_ranges(inner, GRAIN, |range| {
            run_row(std::array::from_fn(|k| start[k] + range.start * steps[k]), range.start, range.len());
        });
        return;
    }
    parallel_ranges(rows, GRAIN.div_ceil(inner), |range| {
        let mut index = [0usize; 16];
        let mut rest = range.start;
        for (d, &size) in outer.iter().enumerate().rev() {
            index[d] = rest % size;
            rest /= size;
        }
        let mut starts: [usize; N] = std::array::from_fn(|k| {
            inputs[k].offset + outer.iter().enumerate().map(|(d, _)| index[d] * inputs[k].strides[d]).sum::<usize>()
        });
        for row in range {
            run_row(starts, row * inner, inner);
            for d in (0..outer.len()).rev() {
                index[d] += 1;
                for k in 0..N {
                    starts[k] += inputs[k].strides[d];
                }
                if index[d] < outer[d] {
                    break;
                }
                for k in 0..N {
                    starts[k] -= index[d] * inputs[k].strides[d];
                }
                index[d] = 0;
            }
        }
    });
}

/// As [`map`] where every input has the length and the order of the output: one loop, and the least code.
pub fn map_dense<T: Copy + Sync, R: Send, const N: usize, const WIDE: bool>(
    inputs: [&[T]; N],
    out: &mut [R],
    f: impl Fn([T; N]) -> R + Copy + Sync,
) {
    assert!(inputs.iter().all(|input| input.len() == out.len()));
    let shared = SharedPointer::new(out);
    parallel_ranges(inputs[0].len(), GRAIN, |range| {
        // SAFETY: the ranges are disjoint parts of the output.
        let out = unsafe { shared.slice(range.clone()) };
        run_wide::<_, WIDE>(Run { data: inputs.map(|input| &input[range.clone()]), out, f });
    });
}

#[inline(always)]
fn run_wide<K: Kernel, const WIDE: bool>(kernel: K) -> K::Output {
    if WIDE { dispatch(kernel) } else { kernel.run() }
}

struct Run<'a, T, R, F, const N: usize> {
    data: [&'a [T]; N],
    out: &'a mut [R],
    f: F,
}

impl<T: Copy, R, F: Fn([T; N]) -> R + Copy, const N: usize> Kernel for Run<'_, T, R, F, N> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let n = self.out.len();
        let data: [&[T]; N] = std::array::from_fn(|k| &self.data[k][..n]);
        for i in 0..n {
            self.out[i] = (self.f)(std::array::from_fn(|k| data[k][i]));
        }
    }
}

struct Row<'a, T, R, F, const N: usize> {
    data: [&'a [T]; N],
    steps: [usize; N],
    out: &'a mut [R],
    f: F,
}

impl<T: Copy, R, F: Fn([T; N]) -> R + Copy, const N: usize> Kernel for Row<'_, T, R, F, N> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Row { data, steps, out, f } = self;
        let n = out.len();
        // The common cases in a form that vectorises: every operand runs along, or one of two stands still.
        if steps.iter().all(|&s| s == 1) {
            let data: [&[T]; N] = std::array::from_fn(|k| &data[k][..n]);
            for i in 0..n {
                out[i] = f(std::array::from_fn(|k| data[k][i]));
            }
        } else if N == 2 && steps[0] == 1 && steps[1] == 0 {
            let (a, b) = (&data[0][..n], data[1][0]);
            for i in 0..n {
                out[i] = f(std::array::from_fn(|k| if k == 0 { a[i] } else { b }));
            }
        } else if N == 2 && steps[0] == 0 && steps[1] == 1 {
            let (a, b) = (data[0][0], &data[1][..n]);
            for i in 0..n {
                out[i] = f(std::array::from_fn(|k| if k == 0 { a } else { b[i] }));
            }
        } else {
            for i in 0..n {
                out[i] = f(std::array::from_fn(|k| data[k][i * steps[k]]));
            }
        }
    }
}
