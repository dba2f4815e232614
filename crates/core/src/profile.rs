//! Where time goes: calls, seconds, arithmetic and bytes of each operation, forward and backward, while it is on.
//! Off, it costs an operation one look at a flag of its thread. It knows no operation.
//!
//! Time is counted once: what an operation runs inside of it (a product in the backward pass of a linear layer) has an
//! entry of its own, `within` the outer one, whose own seconds are what is left.

use crate::tensor::Tensor;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Instant;

/// When an operation runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    Forward,
    Backward,
    /// Optimizers, averages of weights, clipping.
    Update,
}

impl Phase {
    pub fn name(self) -> &'static str {
        match self {
            Phase::Forward => "forward",
            Phase::Backward => "backward",
            Phase::Update => "update",
        }
    }
}

/// All calls of one operation with one set of shapes, in one phase, from one place.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    pub name: &'static str,
    pub phase: Phase,
    /// The outermost operation it ran in, if it is not that itself.
    pub within: Option<&'static str>,
    /// Of the inputs, such as `64x64x32x32 64x64x3x3`; in the backward pass those of the forward inputs.
    pub shapes: String,
}

/// What is counted.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Counts {
    pub calls: u64,
    /// Without those of operations that ran inside.
    pub seconds: f64,
    /// Multiplications and additions of the definition, where the operation tells.
    pub operations: u64,
    /// Elements read and written at least once, in bytes; 0 for a view.
    pub bytes: u64,
}

#[derive(Default)]
struct Profile {
    entries: HashMap<Key, Counts>,
    /// One a running operation, the outermost first.
    frames: Vec<Frame>,
}

struct Frame {
    name: &'static str,
    inner_seconds: f64,
    operations: u64,
}

thread_local! {
    static ON: Cell<bool> = const { Cell::new(false) };
    static BACKWARD: Cell<bool> = const { Cell::new(false) };
    static PROFILE: RefCell<Profile> = RefCell::default();
}

/// Whether this thread's operations are counted.
#[inline]
pub fn is_on() -> bool {
    ON.get()
}

/// Switches counting on or off for this thread; returns what it was. What was counted stays until it is taken.
pub fn set_on(on: bool) -> bool {
    ON.replace(on)
}

/// What was counted since the last call, the longest first.
pub fn take() -> Vec<(Key, Counts)> {
    let entries = PROFILE.with_borrow_mut(|profile| std::mem::take(&mut profile.entries));
    let mut entries: Vec<_> = entries.into_iter().collect();
    entries.sort_by(|(a, x), (b, y)| y.seconds.total_cmp(&x.seconds).then_with(|| a.shapes.cmp(&b.shapes)));
    entries
}

/// Runs a backward pass: operations in it count as backward.
pub(crate) fn backward<R>(run: impl FnOnce() -> R) -> R {
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            BACKWARD.set(self.0);
        }
    }
    let _restore = Restore(BACKWARD.replace(true));
    run()
}

/// The phase that operations are in now.
pub(crate) fn phase() -> Phase {
    if BACKWARD.get() { Phase::Backward } else { Phase::Forward }
}

/// Adds to the arithmetic of the running operation.
pub(crate) fn count_operations(operations: u64) {
    if is_on() {
        PROFILE.with_borrow_mut(|profile| {
            if let Some(frame) = profile.frames.last_mut() {
                frame.operations += operations;
            }
        });
    }
}

/// Times `run` as a call of `name`. `shapes` writes those of its inputs, `traffic` says how many bytes it moved.
pub(crate) fn time<R>(
    name: &'static str,
    phase: Phase,
    shapes: impl FnOnce(&mut String),
    run: impl FnOnce() -> R,
    traffic: impl FnOnce(&R) -> u64,
) -> R {
    if !is_on() {
        return run();
    }
    PROFILE.with_borrow_mut(|profile| profile.frames.push(Frame { name, inner_seconds: 0.0, operations: 0 }));
    let start = Instant::now();
    // An operation that panics is caught inside `run`.
    let result = run();
    let elapsed = start.elapsed().as_secs_f64();
    let bytes = traffic(&result);
    let mut text = String::new();
    shapes(&mut text);
    PROFILE.with_borrow_mut(|profile| {
        let Some(frame) = profile.frames.pop() else { return };
        if let Some(outer) = profile.frames.last_mut() {
            outer.inner_seconds += elapsed;
        }
        let within = profile.frames.first().map(|outermost| outermost.name);
        let counts = profile.entries.entry(Key { name, phase, within, shapes: text }).or_default();
        counts.calls += 1;
        counts.seconds += (elapsed - frame.inner_seconds).max(0.0);
        counts.operations += frame.operations;
        counts.bytes += bytes;
    });
    result
}

/// Appends a shape: `64x3x32x32`, `-` for a number.
pub(crate) fn write_shape(text: &mut String, shape: &[usize]) {
    if !text.is_empty() {
        text.push(' ');
    }
    if shape.is_empty() {
        text.push('-');
    }
    for (i, size) in shape.iter().enumerate() {
        let _ = write!(text, "{}{size}", if i == 0 { "" } else { "x" });
    }
}

/// Bytes of the elements of all inputs and of those results that are no views of an input.
pub(crate) fn bytes_of<'a>(inputs: &[&Tensor], results: impl IntoIterator<Item = &'a Tensor>) -> u64 {
    let own = |result: &Tensor| {
        let Ok(storage) = result.storage() else { return true };
        inputs.iter().all(|input| input.storage().map_or(true, |other| !Arc::ptr_eq(&storage, &other)))
    };
    let written: Vec<&Tensor> = results.into_iter().filter(|result| own(result)).collect();
    if written.is_empty() {
        return 0;
    }
    inputs.iter().copied().chain(written).map(size).sum()
}

fn size(tensor: &Tensor) -> u64 {
    (tensor.numel() * tensor.dtype().size()) as u64
}

/// 2·∏ sizes: a multiplication and an addition for each combination of indices.
pub(crate) fn product_operations(sizes: &[usize]) -> u64 {
    2 * sizes.iter().map(|&s| s as u64).product::<u64>()
}

#[cfg(test)]
mod tests;
