//! Optimizer updates: each changes all parameters of a group and their state in one call. No gradients of its own.
//! A rule says what happens to one element; everything else (checks, threads, vectors) is shared here. The rules lie by
//! family in `update/`.

use crate::cpu::dispatch::{Kernel, dispatch};
use crate::cpu::threads::parallel_for;
use crate::dispatch_float;
use crate::dtype::{DType, Element, Float};
use crate::ensure;
use crate::error::Result;
#[cfg(feature = "gpu")]
use crate::ops::update_gpu;
use crate::profile;
use crate::tensor::Tensor;
use std::collections::HashSet;

/// How one element of a parameter, and of its `S` state tensors, changes by its gradient.
trait Rule<const S: usize>: Copy + Sync {
    /// Of its function in `update.wgsl`.
    #[cfg(feature = "gpu")]
    const NAME: &'static str;
    /// Its fields as numbers, in their order.
    #[cfg(feature = "gpu")]
    fn constants(&self) -> Vec<f64>;
    fn run<T: Float>(self, p: T, g: T, state: [T; S]) -> (T, [T; S]);
}

/// Writes a rule: its constants, then the change. Inside, `c(x)` is a constant in the element's type.
macro_rules! rule {
    ($name:ident [$states:literal] { $($field:ident: $type:ty),* }, |$this:ident, $p:ident, $g:ident, $s:pat_param, $c:ident| $body:expr) => {
        #[derive(Clone, Copy)]
        struct $name { $($field: $type),* }

        impl Rule<$states> for $name {
            #[cfg(feature = "gpu")]
            const NAME: &'static str = stringify!($name);
            #[cfg(feature = "gpu")]
            fn constants(&self) -> Vec<f64> {
                let mut out = Vec::new();
                $(self.$field.push_to(&mut out);)*
                out
            }
            #[inline(always)]
            fn run<T: Float>(self, $p: T, $g: T, state: [T; $states]) -> (T, [T; $states]) {
                let $this = self;
                #[allow(unused_variables)]
                let $c = T::from_f64;
                let $s = state;
                $body
            }
        }
    };
}

/// What a rule's field is as numbers.
#[cfg(feature = "gpu")]
trait Constants {
    fn push_to(&self, out: &mut Vec<f64>);
}

#[cfg(feature = "gpu")]
mod constants {
    use super::*;
    impl Constants for f64 {
        fn push_to(&self, out: &mut Vec<f64>) {
            out.push(*self);
        }
    }
    impl Constants for bool {
        fn push_to(&self, out: &mut Vec<f64>) {
            out.push(f64::from(u8::from(*self)));
        }
    }
}

mod adam;
mod average;
mod descent;
mod gradients;
mod sign;
mod squares;
#[cfg(test)]
mod tests;

pub use adam::{AdamStep, adam, adamax, nadam, radam};
pub use average::ema;
pub use descent::{LarsStep, SgdStep, asgd, lars, sgd};
pub use gradients::{
    clip_gradient_norm, clip_gradient_values, gradient_norm, have_gradients, limit_gradient_norm, scale_gradients,
};
pub use sign::{RpropStep, lion, rprop};
pub use squares::{SquaresStep, adadelta, adagrad, rmsprop};

/// (scale, decay) of gradients that a kernel measured [.., 2], and the row of each parameter: on a GPU alone, where nothing
/// is read back.
#[derive(Default)]
struct Measured {
    values: Option<Tensor>,
    rows: Vec<Option<u32>>,
}

/// What all of them do first: the gradient's sign, and weight decay of either kind.
#[derive(Clone, Copy)]
struct Decay {
    sign: f64,
    coupled: f64,
    keep: f64,
}

impl Decay {
    fn new(lr: f64, weight_decay: f64, maximize: bool, decoupled: bool) -> Decay {
        let (coupled, keep) = if decoupled { (0.0, 1.0 - lr * weight_decay) } else { (weight_decay, 1.0) };
        Decay { sign: sign(maximize), coupled, keep }
    }

    /// The decayed parameter and the gradient to use.
    #[inline(always)]
    fn apply<T: Float>(self, p: T, g: T) -> (T, T) {
        (T::from_f64(self.keep) * p, T::from_f64(self.sign) * g + T::from_f64(self.coupled) * p)
    }
}

#[cfg(feature = "gpu")]
impl Constants for Decay {
    fn push_to(&self, out: &mut Vec<f64>) {
        out.extend([self.sign, self.coupled, self.keep]);
    }
}

/// Lets the profile see an update of tensors, whose elements it reads or writes `passes` times.
fn timed<R>(name: &'static str, tensors: &[&Tensor], passes: usize, run: impl FnOnce() -> Result<R>) -> Result<R> {
    let shapes = |text: &mut String| text.push_str(&format!("{} tensors", tensors.len()));
    let traffic = |_: &Result<R>| tensors.iter().map(|t| (passes * t.numel() * t.dtype().size()) as u64).sum();
    profile::time(name, profile::Phase::Update, shapes, run, traffic)
}

/// Elements a task.
const CHUNK: usize = 16384;

/// Applies `rule(i, parameter i, its gradient)` to every element of every parameter and of its `S` state tensors.
fn update<R: Rule<S>, const S: usize>(
    name: &'static str,
    parameters: &[&Tensor],
    states: [&[&Tensor]; S],
    rule: impl Fn(usize, &Tensor, &Tensor) -> Result<R>,
) -> Result<()> {
    update_measured(name, parameters, states, &Measured::default(), rule)
}

fn update_measured<R: Rule<S>, const S: usize>(
    name: &'static str,
    parameters: &[&Tensor],
    states: [&[&Tensor]; S],
    measured: &Measured,
    rule: impl Fn(usize, &Tensor, &Tensor) -> Result<R>,
) -> Result<()> {
    // Parameters and states are read and written, gradients read.
    timed(name, parameters, 3 + 2 * S, || update_all(name, parameters, states, measured, rule))
}

fn update_all<R: Rule<S>, const S: usize>(
    name: &'static str,
    parameters: &[&Tensor],
    states: [&[&Tensor]; S],
    measured: &Measured,
    rule: impl Fn(usize, &Tensor, &Tensor) -> Result<R>,
) -> Result<()> {
    for state in states {
        check_count(name, "state tensors", state.len(), parameters.len())?;
    }
    let mut gradients = Vec::with_capacity(parameters.len());
    let mut rules = Vec::with_capacity(parameters.len());
    let mut written = HashSet::new();
    for (i, parameter) in parameters.iter().enumerate() {
        let Some(gradient) = parameter.grad() else {
            crate::bail!(Argument, "{name}: parameter {i} of shape {:?} has no gradient", parameter.shape())
        };
        for (what, tensor) in std::iter::once(("parameter", *parameter)).chain(states.iter().map(|s| ("state", s[i]))) {
            ensure!(
                tensor.shape() == parameter.shape() && tensor.dtype() == parameter.dtype(),
                Shape,
                "{name}: {what} {i} is {:?} {}, its parameter {:?} {}",
                tensor.shape(),
                tensor.dtype().name(),
                parameter.shape(),
                parameter.dtype().name()
            );
            ensure!(
                same_order(tensor, parameter),
                Unsupported,
                "{name}: {what} {i} of shape {:?} lies differently in memory than its parameter ({:?}, {:?})",
                tensor.shape(),
                tensor.strides(),
                parameter.strides()
            );
            let address = std::sync::Arc::as_ptr(&tensor.storage()?) as usize;
            ensure!(written.insert(address), Argument, "{name}: {what} {i} shares memory with another one");
        }
        let all: Vec<&Tensor> = states.iter().map(|s| s[i]).chain([*parameter, &gradient]).collect();
        if let (_, Some(_)) = crate::op::common_device(name, &all)? {
            crate::bail!(Device, "{name}: parameter {i} and its state are on different devices");
        }
        let gradient = like(&gradient, parameter)?;
        let address = std::sync::Arc::as_ptr(&gradient.storage()?) as usize;
        ensure!(!written.contains(&address), Argument, "{name}: gradient {i} shares memory with what is updated");
        rules.push(rule(i, parameter, &gradient)?);
        gradients.push(gradient);
    }
    let dtype = parameters.first().map_or(DType::F32, |p| p.dtype());
    ensure!(
        parameters.iter().all(|p| p.dtype() == dtype),
        Dtype,
        "{name}: parameters of one call have one type, not {} and others",
        dtype.name()
    );
    #[cfg(feature = "gpu")]
    if parameters.iter().any(|p| !p.is_host()) {
        let step = |(i, rule): (usize, &R)| update_gpu::Step {
            constants: rule.constants(),
            measured: measured.rows.get(i).copied().flatten(),
        };
        let steps: Vec<update_gpu::Step> = rules.iter().enumerate().map(step).collect();
        crate::op::common_device(name, parameters)?;
        let values = measured.values.as_ref();
        return crate::op::guard(name, || update_gpu::run(R::NAME, parameters, &gradients, &states, &steps, values));
    }
    debug_assert!(measured.rows.iter().all(Option::is_none), "measured on a GPU alone");
    dispatch_float!(dtype, name, T => run::<T, R, S>(parameters, &gradients, states, &rules))
}

/// The parts of one parameter that tasks share.
struct Parts<T, const S: usize> {
    parameter: *mut T,
    gradient: *const T,
    states: [*mut T; S],
}

// SAFETY: the pointers are used only inside `run`, each element by one task.
unsafe impl<T: Send, const S: usize> Sync for Parts<T, S> {}

fn run<T: Float, R: Rule<S>, const S: usize>(
    parameters: &[&Tensor],
    gradients: &[Tensor],
    states: [&[&Tensor]; S],
    rules: &[R],
) -> Result<()> {
    let mut parts = Vec::with_capacity(parameters.len());
    let mut tasks = Vec::new();
    for (i, parameter) in parameters.iter().enumerate() {
        let pointer = |tensor: &Tensor| tensor.update::<T, _>(|values| values.as_mut_ptr());
        let mut pointers = [std::ptr::null_mut(); S];
        for (slot, state) in pointers.iter_mut().zip(states) {
            *slot = pointer(state[i])?;
        }
        let gradient = gradients[i].slice::<T>().as_ptr();
        parts.push(Parts { parameter: pointer(parameter)?, gradient, states: pointers });
        let numel = parameter.numel();
        tasks.extend((0..numel).step_by(CHUNK).map(|start| (i, start, CHUNK.min(numel - start))));
    }
    parallel_for(tasks.len(), |task| {
        let (i, start, length) = tasks[task];
        let part: &Parts<T, S> = &parts[i];
        // SAFETY: `update` checked that all these are dense, as long as the parameter, and in different storages; the
        // tasks of one parameter cover it without overlap; the tensors live until all tasks have ended.
        let piece = unsafe {
            Piece {
                parameter: std::slice::from_raw_parts_mut(part.parameter.add(start), length),
                gradient: std::slice::from_raw_parts(part.gradient.add(start), length),
                states: part.states.map(|s| std::slice::from_raw_parts_mut(s.add(start), length)),
                rule: rules[i],
            }
        };
        dispatch(piece);
    });
    Ok(())
}

struct Piece<'a, T, R, const S: usize> {
    parameter: &'a mut [T],
    gradient: &'a [T],
    states: [&'a mut [T]; S],
    rule: R,
}

impl<T: Float, R: Rule<S>, const S: usize> Kernel for Piece<'_, T, R, S> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        // Results go through the stack: the compiler sees that nothing overlaps, and the loop becomes vectors.
        const BLOCK: usize = 64;
        let Piece { parameter, gradient, states, rule } = self;
        let length = parameter.len();
        let mut start = 0;
        while start + BLOCK <= length {
            let range = start..start + BLOCK;
            let mut p = [T::ZERO; BLOCK];
            let mut g = [T::ZERO; BLOCK];
            let mut s = [[T::ZERO; BLOCK]; S];
            p.copy_from_slice(&parameter[range.clone()]);
            g.copy_from_slice(&gradient[range.clone()]);
            for k in 0..S {
                s[k].copy_from_slice(&states[k][range.clone()]);
            }
            for i in 0..BLOCK {
                let (new, state) = rule.run(p[i], g[i], std::array::from_fn(|k| s[k][i]));
                p[i] = new;
                for k in 0..S {
                    s[k][i] = state[k];
                }
            }
            parameter[range.clone()].copy_from_slice(&p);
            for k in 0..S {
                states[k][range.clone()].copy_from_slice(&s[k]);
            }
            start += BLOCK;
        }
        for i in start..length {
            let (new, state) = rule.run(parameter[i], gradient[i], std::array::from_fn(|k| states[k][i]));
            parameter[i] = new;
            for k in 0..S {
                states[k][i] = state[k];
            }
        }
    }
}

/// A tensor in the memory order of another of the same shape.
fn like(x: &Tensor, model: &Tensor) -> Result<Tensor> {
    let x = x.detach()?;
    if same_order(&x, model) {
        return Ok(x);
    }
    let arranged = if model.is_contiguous() { x.contiguous()? } else { x.channels_last()? };
    ensure!(
        same_order(&arranged, model),
        Unsupported,
        "a parameter of shape {:?} with strides {:?} is neither row-major nor channels-last",
        model.shape(),
        model.strides()
    );
    Ok(arranged)
}

/// Whether two dense tensors of one shape store their elements in the same order (strides of axes of size 1 say nothing).
fn same_order(a: &Tensor, b: &Tensor) -> bool {
    (a.is_contiguous() && b.is_contiguous())
        || (a.is_channels_last() && b.is_channels_last())
        || (a.strides() == b.strides() && a.layout().is_dense())
}

fn check_count(name: &str, what: &str, got: usize, expected: usize) -> Result<()> {
    ensure!(got == expected, Argument, "{name}: {got} {what} for {expected} parameters");
    Ok(())
}

fn sign(maximize: bool) -> f64 {
    if maximize { -1.0 } else { 1.0 }
}

#[inline(always)]
fn signum<T: Float>(x: T) -> T {
    if x > T::ZERO {
        T::ONE
    } else if x < T::ZERO {
        -T::ONE
    } else {
        T::ZERO
    }
}
