//! Functions of JavaScript that update parameters: optimizers, averages, gradient clipping. The rules are in `ops::update`.

use super::Result;
use crate::ops::update::{self, AdamStep, LarsStep, RpropStep, SgdStep, SquaresStep};
use crate::tensor::Tensor;
use napi::bindgen_prelude::ClassInstance;
use napi_derive::napi;

fn list<'a>(tensors: &'a [ClassInstance<'a, Tensor>]) -> Vec<&'a Tensor> {
    tensors.iter().map(|tensor| &**tensor).collect()
}

/// One step of SGD for all parameters; `momenta` is empty without momentum, `steps` counts from 1.
#[napi]
pub fn sgd_step(
    parameters: Vec<ClassInstance<Tensor>>,
    momenta: Vec<ClassInstance<Tensor>>,
    steps: Vec<u32>,
    options: SgdStep,
) -> Result<()> {
    update::sgd(&list(&parameters), &list(&momenta), &steps, &options)
}

/// One step of LARS for all parameters; `momenta` is empty without momentum, `steps` counts from 1.
#[napi]
pub fn lars_step(
    parameters: Vec<ClassInstance<Tensor>>,
    momenta: Vec<ClassInstance<Tensor>>,
    steps: Vec<u32>,
    options: LarsStep,
) -> Result<()> {
    update::lars(&list(&parameters), &list(&momenta), &steps, &options)
}

/// One step of Adam or AdamW for all parameters; `largest` is empty without AMSGrad.
#[napi]
pub fn adam_step(
    parameters: Vec<ClassInstance<Tensor>>,
    means: Vec<ClassInstance<Tensor>>,
    squares: Vec<ClassInstance<Tensor>>,
    largest: Vec<ClassInstance<Tensor>>,
    steps: Vec<u32>,
    options: AdamStep,
) -> Result<()> {
    update::adam(&list(&parameters), &list(&means), &list(&squares), &list(&largest), &steps, &options)
}

/// One step of Adamax for all parameters.
#[napi]
pub fn adamax_step(
    parameters: Vec<ClassInstance<Tensor>>,
    means: Vec<ClassInstance<Tensor>>,
    largest: Vec<ClassInstance<Tensor>>,
    steps: Vec<u32>,
    options: AdamStep,
) -> Result<()> {
    update::adamax(&list(&parameters), &list(&means), &list(&largest), &steps, &options)
}

/// One step of NAdam for all parameters; `momenta` holds μ of this step, of the next, and the product up to this one.
#[napi]
pub fn nadam_step(
    parameters: Vec<ClassInstance<Tensor>>,
    means: Vec<ClassInstance<Tensor>>,
    squares: Vec<ClassInstance<Tensor>>,
    steps: Vec<u32>,
    momenta: Vec<Vec<f64>>,
    options: AdamStep,
) -> Result<()> {
    let [current, next, product] = &momenta[..] else {
        crate::bail!(Argument, "nadamStep: {} lists of momenta, not 3", momenta.len())
    };
    let momenta = [&current[..], &next[..], &product[..]];
    update::nadam(&list(&parameters), &list(&means), &list(&squares), &steps, momenta, &options)
}

/// One step of RAdam for all parameters.
#[napi]
pub fn radam_step(
    parameters: Vec<ClassInstance<Tensor>>,
    means: Vec<ClassInstance<Tensor>>,
    squares: Vec<ClassInstance<Tensor>>,
    steps: Vec<u32>,
    options: AdamStep,
) -> Result<()> {
    update::radam(&list(&parameters), &list(&means), &list(&squares), &steps, &options)
}

/// One step of Lion for all parameters.
#[napi]
pub fn lion_step(
    parameters: Vec<ClassInstance<Tensor>>,
    means: Vec<ClassInstance<Tensor>>,
    options: AdamStep,
) -> Result<()> {
    update::lion(&list(&parameters), &list(&means), &options)
}

/// One step of Adagrad for all parameters.
#[napi]
pub fn adagrad_step(
    parameters: Vec<ClassInstance<Tensor>>,
    sums: Vec<ClassInstance<Tensor>>,
    steps: Vec<u32>,
    options: SquaresStep,
) -> Result<()> {
    update::adagrad(&list(&parameters), &list(&sums), &steps, &options)
}

/// One step of Adadelta for all parameters.
#[napi]
pub fn adadelta_step(
    parameters: Vec<ClassInstance<Tensor>>,
    squares: Vec<ClassInstance<Tensor>>,
    changes: Vec<ClassInstance<Tensor>>,
    options: SquaresStep,
) -> Result<()> {
    update::adadelta(&list(&parameters), &list(&squares), &list(&changes), &options)
}

/// One step of RMSprop for all parameters; `buffers` is empty without momentum, `means` unless centred.
#[napi]
pub fn rmsprop_step(
    parameters: Vec<ClassInstance<Tensor>>,
    squares: Vec<ClassInstance<Tensor>>,
    buffers: Vec<ClassInstance<Tensor>>,
    means: Vec<ClassInstance<Tensor>>,
    options: SquaresStep,
) -> Result<()> {
    update::rmsprop(&list(&parameters), &list(&squares), &list(&buffers), &list(&means), &options)
}

/// One step of averaged SGD for all parameters, with a rate and an averaging weight each.
#[napi]
pub fn asgd_step(
    parameters: Vec<ClassInstance<Tensor>>,
    means: Vec<ClassInstance<Tensor>>,
    etas: Vec<f64>,
    mus: Vec<f64>,
    lambda: f64,
    weight_decay: f64,
    maximize: bool,
) -> Result<()> {
    update::asgd(&list(&parameters), &list(&means), [&etas, &mus], lambda, weight_decay, maximize)
}

/// One step of Rprop for all parameters.
#[napi]
pub fn rprop_step(
    parameters: Vec<ClassInstance<Tensor>>,
    previous: Vec<ClassInstance<Tensor>>,
    sizes: Vec<ClassInstance<Tensor>>,
    options: RpropStep,
) -> Result<()> {
    update::rprop(&list(&parameters), &list(&previous), &list(&sizes), &options)
}

/// target ← c·target + (1 − c)·source for every pair, in place.
#[napi]
pub fn ema_update(
    targets: Vec<ClassInstance<Tensor>>,
    sources: Vec<ClassInstance<Tensor>>,
    coefficient: f64,
) -> Result<()> {
    update::ema(&list(&targets), &list(&sources), coefficient)
}

/// Which of these have a gradient.
#[napi]
pub fn have_gradients(parameters: Vec<ClassInstance<Tensor>>) -> Vec<bool> {
    update::have_gradients(&list(&parameters))
}

/// Forgets the gradients of all of these.
#[napi]
pub fn clear_gradients(parameters: Vec<ClassInstance<Tensor>>) -> Result<()> {
    parameters.iter().try_for_each(|parameter| parameter.set_grad(None))
}

/// The 2-norm of all gradients together.
#[napi]
pub fn gradient_norm(parameters: Vec<ClassInstance<Tensor>>) -> Result<f64> {
    update::gradient_norm(&list(&parameters))
}

/// Multiplies all gradients by a number, in place.
#[napi]
pub fn scale_gradients(parameters: Vec<ClassInstance<Tensor>>, factor: f64) -> Result<()> {
    update::scale_gradients(&list(&parameters), factor)
}

/// Scales all gradients so that their common 2-norm is at most `limit`; returns the norm before.
#[napi]
pub fn clip_grad_norm(parameters: Vec<ClassInstance<Tensor>>, limit: f64) -> Result<f64> {
    update::clip_gradient_norm(&list(&parameters), limit)
}

/// As `clipGradNorm`, without telling the norm: a GPU is not waited for.
#[napi]
pub fn limit_grad_norm(parameters: Vec<ClassInstance<Tensor>>, limit: f64) -> Result<()> {
    update::limit_gradient_norm(&list(&parameters), limit)
}

/// Limits every element of every gradient to ±`limit`, in place.
#[napi]
pub fn clip_grad_value(parameters: Vec<ClassInstance<Tensor>>, limit: f64) -> Result<()> {
    update::clip_gradient_values(&list(&parameters), limit)
}
