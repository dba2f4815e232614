//! How an operation runs: check and compute, then record it if a gradient will be wanted. Only this file knows.

use crate::autocast;
use crate::autograd::{self, Edge, Node, Saved};
use crate::bail;
use crate::device::Device;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::ops::{movement, transfer};
use crate::profile;
use crate::tensor::Tensor;
use smallvec::SmallVec;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// One differentiable operation: its arguments that are not tensors are its fields.
pub trait Op: 'static {
    /// The name in messages, graphs and profiles.
    fn name(&self) -> &'static str;

    /// Checks the inputs (this is the only place that does) and computes the results.
    /// What the backward pass needs goes into the context.
    fn forward(&self, inputs: &[&Tensor], context: &mut Context) -> Result<Vec<Tensor>>;

    /// As `forward`, recording kernels instead of running loops. All inputs are on one GPU.
    #[cfg(feature = "gpu")]
    fn forward_gpu(&self, _: &[&Tensor], _: &mut Context) -> Result<Vec<Tensor>> {
        bail!(Unsupported, "{}: has no GPU path yet; run it on the CPU: .to('cpu')", self.name())
    }

    /// Whether tensors of a GPU are taken to the CPU for this operation, and its results back: for what a GPU would not do
    /// faster. The device's statistics count it.
    fn runs_on_cpu(&self) -> bool {
        false
    }

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

    /// Whether `forward` and `backward` take these inputs, some of which are 16-bit floats, as they are. Otherwise
    /// [`apply`] brings them to float32 and the results back.
    fn takes_half(&self, _inputs: &[&Tensor]) -> bool {
        false
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
    let (device, moved) = common_device(op.name(), inputs)?;
    if let Some(moved) = moved {
        return apply_boxed(op, &moved.iter().collect::<Vec<_>>());
    }
    if inputs.iter().any(|t| t.dtype().is_half()) && !op.takes_half(inputs) {
        return through_float32(op, inputs);
    }
    if !device.is_cpu() && op.runs_on_cpu() {
        let name = op.name();
        return through_cpu(name, inputs, |inputs| apply_boxed(op, inputs));
    }
    let needs: SmallVec<[bool; 4]> = inputs.iter().map(|t| t.requires_grad()).collect();
    let recording = autograd::is_enabled() && needs.contains(&true);
    let mut context = Context { recording, needs, saved: Vec::new(), constant: SmallVec::new() };
    let outputs = timed(op.name(), inputs, || {
        count(inputs, |shapes| op.operations(shapes));
        run_on(device, op.name(), |on_gpu| match on_gpu {
            #[cfg(feature = "gpu")]
            true => op.forward_gpu(inputs, &mut context),
            _ => op.forward(inputs, &mut context),
        })
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

/// The device on which all inputs lie; and the inputs once more, where scalars of the CPU had to be taken to the others.
pub(crate) fn common_device(name: &str, inputs: &[&Tensor]) -> Result<(Device, Option<Vec<Tensor>>)> {
    let mut device = Device::Cpu;
    let mut hosts = 0;
    for input in inputs {
        let own = input.device()?;
        if own.is_cpu() {
            hosts += 1;
        } else if device.is_cpu() {
            device = own;
        } else if own != device {
            bail!(Device, "{name}: its inputs are on {device:?} and {own:?}; move one with .to('{}')", device.name());
        }
    }
    if hosts == 0 || hosts == inputs.len() {
        return Ok((device, None));
    }
    let mut moved = Vec::with_capacity(inputs.len());
    for input in inputs {
        if input.is_host() && input.ndim() > 0 {
            bail!(
                Device,
                "{name}: its inputs are on cpu (shape {:?}) and {device:?}; move one with .to('{}')",
                input.shape(),
                device.name()
            );
        }
        moved.push(transfer::to_device(input, &device)?);
    }
    Ok((device, Some(moved)))
}

/// Runs with this as the device of new tensors, panics made errors.
fn run_on<R>(device: Device, name: &'static str, run: impl FnOnce(bool) -> Result<R>) -> Result<R> {
    let on_gpu = !device.is_cpu();
    device.scoped(|| guard(name, || run(on_gpu)))
}

/// Computes in float32: 16-bit inputs are widened, which is exact, and float32 results rounded to the inputs' type, if all
/// float inputs have one and autocast, which leaves them in float32, is off. Both steps are recorded as casts, so that
/// gradients take the same way back.
fn through_float32(op: Box<dyn Op>, inputs: &[&Tensor]) -> Result<Vec<Tensor>> {
    let float = inputs.iter().map(|t| t.dtype()).filter(|dtype| dtype.is_float()).reduce(DType::promote);
    let widened = |t: &&Tensor| if t.dtype().is_half() { movement::to_dtype(t, DType::F32) } else { Ok((*t).clone()) };
    let wide: Vec<Tensor> = inputs.iter().map(widened).collect::<Result<_>>()?;
    let results = apply_boxed(op, &wide.iter().collect::<Vec<_>>())?;
    match float {
        Some(half) if half.is_half() && autocast::dtype().is_none() => {
            let narrowed = |t: Tensor| if t.dtype() == DType::F32 { movement::to_dtype(&t, half) } else { Ok(t) };
            results.into_iter().map(narrowed).collect()
        }
        _ => Ok(results),
    }
}

/// Runs on the CPU with copies of tensors of a GPU, and takes the results there. Both ways are recorded, so that gradients
/// take them too; reading waits for the GPU.
pub(crate) fn through_cpu(
    name: &str,
    inputs: &[&Tensor],
    run: impl FnOnce(&[&Tensor]) -> Result<Vec<Tensor>>,
) -> Result<Vec<Tensor>> {
    let (device, moved) = common_device(name, inputs)?;
    if let Some(moved) = moved {
        return through_cpu(name, &moved.iter().collect::<Vec<_>>(), run);
    }
    #[cfg(feature = "gpu")]
    if let Device::Gpu(gpu) = &device {
        gpu.count_cpu_operation();
    }
    let here: Vec<Tensor> = inputs.iter().map(|t| transfer::to_device(t, &Device::Cpu)).collect::<Result<_>>()?;
    let results = Device::Cpu.scoped(|| run(&here.iter().collect::<Vec<_>>()))?;
    results.iter().map(|t| transfer::to_device(t, &device)).collect()
}

/// As [`through_cpu`], for one result.
pub(crate) fn through_cpu_one(
    name: &str,
    inputs: &[&Tensor],
    run: impl FnOnce(&[&Tensor]) -> Result<Tensor>,
) -> Result<Tensor> {
    let mut results = through_cpu(name, inputs, |inputs| Ok(vec![run(inputs)?]))?;
    Ok(results.pop().expect("one result"))
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
    let (device, moved) = common_device(name, inputs)?;
    if let Some(moved) = moved {
        return once(name, &moved.iter().collect::<Vec<_>>(), kernel);
    }
    let needs: SmallVec<[bool; 4]> = inputs.iter().map(|t| t.requires_grad()).collect();
    let recording = autograd::is_enabled() && needs.contains(&true);
    let outputs = timed(name, inputs, || autograd::no_grad(|| run_on(device, name, |_| kernel(inputs))))?;
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

thread_local! {
    static RUNNING: Cell<&'static str> = const { Cell::new("tensor") };
}

/// The operation that runs on this thread, for messages.
#[cfg(feature = "gpu")]
pub(crate) fn running() -> &'static str {
    RUNNING.get()
}

/// A panic inside an operation is a broken invariant of ours: it becomes an error and the process lives.
pub(crate) fn guard<R>(name: &'static str, run: impl FnOnce() -> Result<R>) -> Result<R> {
    let outer = RUNNING.replace(name);
    let outcome = catch_unwind(AssertUnwindSafe(run));
    RUNNING.set(outer);
    outcome.unwrap_or_else(|panic| {
        let panic = match panic.downcast::<Error>() {
            // A kernel of the CPU met memory of a GPU (see `storage`).
            Ok(error) => bail!(Unsupported, "{name}: {}; run it on the CPU: .to('cpu')", error.message()),
            Err(panic) => panic,
        };
        let text = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("no message");
        Err(Error::Internal(format!("{name} panicked: {text}. This is a bug of stable-pretraining, please report it")))
    })
}
