//! How an operation runs: check and compute, then record it if a gradient will be wanted. Only this file knows.

use crate::autograd::{self, Edge, Node, Saved};
use crate::error::{Error, Result};
use crate::profile;
use crate::tensor::Tensor;
use smallvec::SmallVec;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// One differentiable operation: its arguments that are not tensors are its fields.
pub trait Op: 'static {
    /// The name in messages, graphs and profiles.
    fn name(&self) -> &'static str;

    /// Checks the inputs (this is the only place that does) and computes the results.
    /// What the backward pass needs goes into the context.
    fn forward(&self, inputs: &[&Tensor], context: &mut Context) -> Result<Vec<Tensor>>;

    /// Gradients of the inputs (None where none is needed), from those of the results.
    /// Written in operations, so that it runs on every device and can itself be differentiated where they can.
    fn backward(&self, pass: &Pass) -> Result<Vec<Option<Tensor>>>;

    /// Multiplications and additions of the forward pass for inputs of these shapes, whatever way is taken; 0 where they
    /// say little about the time.
    fn operations(&self, _shapes: &[&[usize]]) -> u64 {
        0
    }

    /// Those of the backward pass, except for what it leaves to other operations: they tell of their own.
    fn backward_operations(&self, _shapes: &[&[usize]]) -> u64 {
        0
    }
}

/// What a forward pass may ask and leave behind.
pub struct Context {
    recording: bool,
    needs: SmallVec<[bool; 4]>,
    saved: Vec<Saved>,
    constant: SmallVec<[usize; 2]>,
}

impl Context {
    /// Whether a backward pass may come: nothing needs to be saved otherwise.
    pub fn recording(&self) -> bool {
        self.recording
    }

    /// Whether input `i` will want a gradient.
    pub fn needs(&self, input: usize) -> bool {
        self.recording && self.needs[input]
    }

    /// Keeps an input, or something computed aside, for the backward pass.
    pub fn save(&mut self, tensor: &Tensor) -> Result<()> {
        self.keep(tensor.clone(), None)
    }

    /// Keeps result number `index` for the backward pass (detached: a graph must not hold itself).
    pub fn save_result(&mut self, index: usize, tensor: &Tensor) -> Result<()> {
        if !self.recording {
            return Ok(());
        }
        self.keep(tensor.detach()?, Some(index))
    }

    /// Result number `index` carries no gradient (indices, statistics).
    pub fn mark_constant(&mut self, index: usize) {
        self.constant.push(index);
    }

    fn keep(&mut self, tensor: Tensor, result: Option<usize>) -> Result<()> {
        if self.recording {
            let version = tensor.storage()?.version();
            self.saved.push(Saved { tensor, result, version });
        }
        Ok(())
    }
}

/// What a backward pass sees.
pub struct Pass<'a> {
    /// What the forward pass saved, in that order.
    pub saved: &'a [Tensor],
    /// The gradient of each result; None where nothing depends on it.
    pub grads: &'a [Option<Tensor>],
    pub(crate) edges: &'a [Edge],
}

impl Pass<'_> {
    /// The gradient of the only result.
    pub fn grad(&self) -> &Tensor {
        self.grads[0].as_ref().expect("an operation with one result is visited only if that has a gradient")
    }

    /// Whether input `i` wants a gradient.
    pub fn needs(&self, input: usize) -> bool {
        !matches!(self.edges[input], Edge::None)
    }
}

/// Runs an operation and records it if gradients are on and an input requires one.
pub fn apply(op: impl Op, inputs: &[&Tensor]) -> Result<Vec<Tensor>> {
    // Behind the box this is compiled once, not once an operation.
    apply_boxed(Box::new(op), inputs)
}

fn apply_boxed(op: Box<dyn Op>, inputs: &[&Tensor]) -> Result<Vec<Tensor>> {
    for input in inputs {
        input.storage()?;
    }
    let needs: SmallVec<[bool; 4]> = inputs.iter().map(|t| t.requires_grad()).collect();
    let recording = autograd::is_enabled() && needs.contains(&true);
    let mut context = Context { recording, needs, saved: Vec::new(), constant: SmallVec::new() };
    let outputs = timed(op.name(), inputs, || {
        count(inputs, |shapes| op.operations(shapes));
        guard(op.name(), || op.forward(inputs, &mut context))
    })?;
    if recording {
        record(op, inputs, &outputs, context);
    }
    Ok(outputs)
}

/// Lets the profile see a forward pass.
fn timed(name: &'static str, inputs: &[&Tensor], run: impl FnOnce() -> Result<Vec<Tensor>>) -> Result<Vec<Tensor>> {
    let shapes = |text: &mut String| inputs.iter().for_each(|input| profile::write_shape(text, input.shape()));
    let traffic = |outputs: &Result<Vec<Tensor>>| outputs.as_ref().map_or(0, |o| profile::bytes_of(inputs, o));
    profile::time(name, profile::phase(), shapes, run, traffic)
}

/// Tells the profile of the arithmetic that is being done.
fn count(inputs: &[&Tensor], operations: impl FnOnce(&[&[usize]]) -> u64) {
    if profile::is_on() {
        let shapes: SmallVec<[&[usize]; 4]> = inputs.iter().map(|input| input.shape()).collect();
        profile::count_operations(operations(&shapes));
    }
}

fn record(op: Box<dyn Op>, inputs: &[&Tensor], outputs: &[Tensor], context: Context) {
    let edges = inputs.iter().map(|t| Edge::to(t)).collect();
    let shapes = outputs.iter().map(|t| (t.layout().shape.clone(), t.dtype())).collect();
    let node = Node::new(op, edges, context.saved, shapes);
    for (index, output) in outputs.iter().enumerate() {
        if output.dtype().is_float() && !context.constant.contains(&index) {
            *output.inner.origin.borrow_mut() = Some((node.clone(), index));
            output.inner.requires_grad.set(true);
        }
    }
}

/// Runs a kernel that has no derivative of its own: what a backward pass calls for the gradients of its inputs.
/// It is recorded, so that a second derivative through it is ERR_UNSUPPORTED instead of silently zero.
pub fn once(
    name: &'static str,
    inputs: &[&Tensor],
    kernel: impl FnOnce(&[&Tensor]) -> Result<Vec<Tensor>>,
) -> Result<Vec<Tensor>> {
    for input in inputs {
        input.storage()?;
    }
    let needs: SmallVec<[bool; 4]> = inputs.iter().map(|t| t.requires_grad()).collect();
    let recording = autograd::is_enabled() && needs.contains(&true);
    let outputs = timed(name, inputs, || autograd::no_grad(|| guard(name, || kernel(inputs))))?;
    if recording {
        let context = Context { recording, needs, saved: Vec::new(), constant: SmallVec::new() };
        record(Box::new(Once(name)), inputs, &outputs, context);
    }
    Ok(outputs)
}

/// As [`once`], for a kernel with one result.
pub fn once_one(
    name: &'static str,
    inputs: &[&Tensor],
    kernel: impl FnOnce(&[&Tensor]) -> Result<Tensor>,
) -> Result<Tensor> {
    let mut outputs = once(name, inputs, |inputs| Ok(vec![kernel(inputs)?]))?;
    Ok(outputs.pop().expect("one result"))
}

/// The record of a kernel that cannot be differentiated again.
struct Once(&'static str);

impl Op for Once {
    fn name(&self) -> &'static str {
        self.0
    }

    fn forward(&self, _: &[&Tensor], _: &mut Context) -> Result<Vec<Tensor>> {
        Err(Error::Internal(format!("{}: recorded after it ran, never run", self.0)))
    }

    fn backward(&self, _: &Pass) -> Result<Vec<Option<Tensor>>> {
        Err(Error::Unsupported(format!(
            "{}: its second derivative is not available; write it with add, mul, exp and other operations that have one",
            self.0
        )))
    }
}

/// As [`apply`], for an operation with one result.
pub fn apply_one(op: impl Op, inputs: &[&Tensor]) -> Result<Tensor> {
    let mut outputs = apply(op, inputs)?;
    debug_assert_eq!(outputs.len(), 1);
    Ok(outputs.pop().expect("one result"))
}

/// A panic inside an operation is a broken invariant of ours: it becomes an error and the process lives.
pub(crate) fn guard<R>(name: &str, run: impl FnOnce() -> Result<R>) -> Result<R> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let text = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("no message");
        Err(Error::Internal(format!("{name} panicked: {text}. This is a bug of stable-pretraining, please report it")))
    })
}
