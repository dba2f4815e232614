//! Numbers that are float32 or bfloat16 in memory, and the conversions between them over whole slices.

use super::dispatch::{Kernel, dispatch};
use super::scratch::with_scratch;
use super::threads::parallel_chunks;
use crate::half::Bf16;

/// A slice of either.
#[derive(Clone, Copy)]
pub enum Values<'a> {
    Wide(&'a [f32]),
    Narrow(&'a [Bf16]),
}

/// A slice of either, to be written.
pub enum ValuesMut<'a> {
    Wide(&'a mut [f32]),
    Narrow(&'a mut [Bf16]),
}

impl Values<'_> {
    pub fn len(&self) -> usize {
        match self {
            Values::Wide(values) => values.len(),
            Values::Narrow(values) => values.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number `index`, rounded to bfloat16.
    #[inline(always)]
    pub fn narrow(&self, index: usize) -> Bf16 {
        match self {
            Values::Wide(values) => Bf16::from_f32(values[index]),
            Values::Narrow(values) => values[index],
        }
    }
}

impl ValuesMut<'_> {
    pub fn len(&self) -> usize {
        match self {
            ValuesMut::Wide(values) => values.len(),
            ValuesMut::Narrow(values) => values.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A matrix of either: element (i, j) at `i * row_stride + j * column_stride`.
#[derive(Clone, Copy)]
pub struct Matrix16<'a> {
    pub values: Values<'a>,
    pub row_stride: usize,
    pub column_stride: usize,
}

impl Matrix16<'_> {
    /// The same data with rows and columns exchanged.
    pub fn transposed(self) -> Self {
        Matrix16 { values: self.values, row_stride: self.column_stride, column_stride: self.row_stride }
    }
}

/// Numbers a task, at least.
const GRAIN: usize = 16384;

/// `to[i]` is `from[i]`, exactly.
pub fn widen(from: &[Bf16], to: &mut [f32]) {
    assert_eq!(from.len(), to.len());
    parallel_chunks(to, GRAIN, |start, to| dispatch(Widen { from: &from[start..start + to.len()], to }));
}

/// `to[i]` is `from[i]` rounded.
pub fn narrow(from: &[f32], to: &mut [Bf16]) {
    assert_eq!(from.len(), to.len());
    parallel_chunks(to, GRAIN, |start, to| dispatch(Narrow { from: &from[start..start + to.len()], to }));
}

/// [`narrow`] for a short slice, on this thread.
#[cfg(target_arch = "x86_64")]
pub(super) fn narrow_row(from: &[f32], to: &mut [Bf16]) {
    dispatch(Narrow { from, to });
}

/// `to[i]` is `from[i]` as a product sees it: rounded to bfloat16.
fn round(from: &[f32], to: &mut [f32]) {
    parallel_chunks(to, GRAIN, |start, to| dispatch(Round { from: &from[start..start + to.len()], to }));
}

/// Lends `run` the numbers in float32, each one that bfloat16 has: what a product in float32 needs to round as one of
/// bfloat16 does.
pub fn with_rounded<R>(values: Values, run: impl FnOnce(&[f32]) -> R) -> R {
    with_scratch(values.len(), |wide: &mut [f32]| {
        match values {
            Values::Wide(values) => round(values, wide),
            Values::Narrow(values) => widen(values, wide),
        }
        run(wide)
    })
}

/// Lends `run` the numbers in float32, exactly.
pub fn with_wide<R>(values: Values, run: impl FnOnce(&[f32]) -> R) -> R {
    match values {
        Values::Wide(values) => run(values),
        Values::Narrow(values) => with_scratch(values.len(), |wide: &mut [f32]| {
            widen(values, wide);
            run(wide)
        }),
    }
}

/// Lends `run` float32 numbers to write, and stores them; what it does not write keeps its value.
pub fn with_widened<R>(values: ValuesMut, run: impl FnOnce(&mut [f32]) -> R) -> R {
    match values {
        ValuesMut::Wide(values) => run(values),
        ValuesMut::Narrow(values) => with_scratch(values.len(), |wide: &mut [f32]| {
            widen(values, wide);
            let result = run(wide);
            narrow(wide, values);
            result
        }),
    }
}

struct Widen<'a> {
    from: &'a [Bf16],
    to: &'a mut [f32],
}

impl Kernel for Widen<'_> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        for (to, from) in self.to.iter_mut().zip(self.from) {
            *to = from.to_f32();
        }
    }
}

struct Narrow<'a> {
    from: &'a [f32],
    to: &'a mut [Bf16],
}

impl Kernel for Narrow<'_> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        for (to, from) in self.to.iter_mut().zip(self.from) {
            *to = Bf16::from_f32(*from);
        }
    }
}

struct Round<'a> {
    from: &'a [f32],
    to: &'a mut [f32],
}

impl Kernel for Round<'_> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        for (to, from) in self.to.iter_mut().zip(self.from) {
            *to = Bf16::from_f32(*from).to_f32();
        }
    }
}
