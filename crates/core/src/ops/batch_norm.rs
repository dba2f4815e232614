//! Batch norm: normalisation of each channel over the batch, with running statistics; alone, or with what follows it in a
//! residual network: a sum and a rectifier, which then read and write memory no time of their own. Row-major or channels
//! innermost in memory, as the input is. (It is long because forward and backward have a form for each of the three, and one to
//! differentiate again.)

use crate::autocast;
use crate::autograd;
use crate::cpu::norm::{
    Channels, Rectifier, Sink, Source, channel_apply, channel_apply_relu, channel_gradient, channel_gradient_passed,
    channel_gradient_sums, channel_moments, channel_passes,
};
use crate::dtype::{DType, Float};
use crate::error::Result;
use crate::half::Bf16;
use crate::op::{Context, Op, Pass, apply};
use crate::ops::elementwise::{map_same, mul};
use crate::ops::movement::{self, reshape_to};
use crate::ops::norm::{Statistics, check_parameter, differentiable, vector};
use crate::ops::reduce::sum_to;
#[cfg(feature = "gpu")]
use crate::ops::{batch_norm_gpu, update_gpu};
use crate::shape::{Dims, Layout};
use crate::storage::Buffer;
use crate::tensor::Tensor;
use crate::{dispatch_float, ensure};

/// What batch norm does besides normalising.
#[derive(Clone, Copy)]
pub struct BatchNormOptions<'a> {
    /// Running mean and (unbiased) variance, [C] each: updated in training, used otherwise.
    pub running: Option<(&'a Tensor, &'a Tensor)>,
    pub weight: Option<&'a Tensor>,
    pub bias: Option<&'a Tensor>,
    /// Normalise with the batch's own statistics.
    pub training: bool,
    /// Share of the batch in the new running statistics.
    pub momentum: f64,
    pub epsilon: f64,
}

/// (x − mean)/√(variance + ε) · weight + bias for each channel of [B, C] or [B, C, …] (Ioffe & Szegedy 2015). In training
/// the biased variance of the batch normalises, the unbiased one goes into the running variance.
pub fn batch_norm(x: &Tensor, options: BatchNormOptions) -> Result<Tensor> {
    normalize(x, options, Then::Nothing)
}

/// max([`batch_norm`] + residual, 0), bit for bit; the residual has the shape of x.
pub fn batch_norm_relu(x: &Tensor, residual: Option<&Tensor>, options: BatchNormOptions) -> Result<Tensor> {
    normalize(x, options, residual.map_or(Then::Relu, Then::AddRelu))
}

/// What follows the normalisation in the same operation.
#[derive(Clone, Copy)]
enum Then<R> {
    Nothing,
    Relu,
    AddRelu(R),
}

/// 16-bit floats are normalised in float32, widened as they are read. Under autocast the result stays float32 on a CPU; a GPU
/// rounds it as it writes, as PyTorch's do.
fn normalize(x: &Tensor, options: BatchNormOptions, then: Then<&Tensor>) -> Result<Tensor> {
    let residual = match then {
        Then::AddRelu(residual) => Some(residual),
        _ => None,
    };
    let half = |t: &&Tensor| t.dtype().is_half();
    if ![Some(x), residual, options.weight, options.bias].iter().flatten().any(half) {
        return normalize_wide(x, options, then);
    }
    let wide = |t: &Tensor| if t.dtype().is_half() { movement::to_dtype(t, DType::F32) } else { Ok(t.clone()) };
    let [weight, bias] = [options.weight.map(wide).transpose()?, options.bias.map(wide).transpose()?];
    let native = x.dtype() == autocast::half_of(x);
    let beside = |t: &Tensor| movement::to_dtype(t, if native { result_of(x) } else { DType::F32 });
    let residual = residual.map(beside).transpose()?;
    let then = match (then, &residual) {
        (Then::Nothing, _) => Then::Nothing,
        (Then::AddRelu(_), Some(residual)) => Then::AddRelu(residual),
        _ => Then::Relu,
    };
    let options = BatchNormOptions { weight: weight.as_ref(), bias: bias.as_ref(), ..options };
    let y = normalize_wide(&if native { x.clone() } else { wide(x)? }, options, then)?;
    if autocast::dtype().is_some() { Ok(y) } else { movement::to_dtype(&y, x.dtype()) }
}

/// The type that numbers of this type are normalised in.
fn computed(dtype: DType) -> DType {
    if dtype.is_half() { DType::F32 } else { dtype }
}

/// The type of the result, and of a residual.
fn result_of(x: &Tensor) -> DType {
    if x.is_host() { computed(x.dtype()) } else { x.dtype() }
}

/// The numbers of a dense tensor of type T or bfloat16.
fn source<T: Float>(x: &Tensor) -> Source<'_, T> {
    if x.dtype() == DType::BF16 { Source::Narrow(x.slice::<Bf16>()) } else { Source::Wide(x.slice::<T>()) }
}

fn normalize_wide(x: &Tensor, options: BatchNormOptions, then: Then<&Tensor>) -> Result<Tensor> {
    ensure!(x.ndim() >= 2, Shape, "batchNorm: needs [batch, channel, …], not shape {:?}", x.shape());
    let channels = x.shape()[1];
    let BatchNormOptions { running, weight, bias, .. } = options;
    let (running_mean, running_var) = running.unzip();
    for (name, tensor) in
        [("weight", weight), ("bias", bias), ("running mean", running_mean), ("running variance", running_var)]
    {
        check_parameter("batchNorm", name, tensor, &[channels], x)?;
        let wide = tensor.is_none_or(|tensor| tensor.dtype() == computed(x.dtype()));
        ensure!(wide, Dtype, "batchNorm: {name} in bfloat16; convert it with .to('float32')");
    }
    let count = x.numel().checked_div(channels).unwrap_or(0);
    ensure!(
        !options.training || count != 1,
        Shape,
        "batchNorm: training needs more than one value per channel, the input is {:?}; use a larger batch, or eval()",
        x.shape()
    );
    ensure!(
        options.training || running.is_some(),
        Argument,
        "batchNorm: outside training it needs the running mean and variance"
    );
    let x = in_known_order(x)?;
    let residual = match then {
        Then::AddRelu(residual) => {
            ensure!(
                residual.shape() == x.shape() && residual.dtype() == result_of(&x),
                Shape,
                "batchNorm: the residual is {:?} {}, the input {:?} {}",
                residual.shape(),
                residual.dtype().name(),
                x.shape(),
                x.dtype().name()
            );
            Some(residual)
        }
        _ => None,
    };
    let inputs: Vec<&Tensor> = [&x].into_iter().chain(weight).chain(bias).chain(residual).collect();
    let statistics = match running {
        Some((mean, variance)) if !options.training => Some((mean.detach()?, variance.detach()?)),
        _ => None,
    };
    let then = match then {
        Then::Nothing => Then::Nothing,
        Then::Relu => Then::Relu,
        Then::AddRelu(_) => Then::AddRelu(()),
    };
    let op = BatchNorm { statistics, epsilon: options.epsilon, has: [weight.is_some(), bias.is_some()], then };
    let [y, batch_mean, batch_variance] = three(apply(op, &inputs)?);
    if let Some((mean, variance)) = running
        && options.training
        && x.numel() > 0
    {
        let unbiased = count as f64 / (count - 1) as f64;
        let pairs = [(mean, &batch_mean, 1.0), (variance, &batch_variance, unbiased)];
        #[cfg(feature = "gpu")]
        if !mean.is_host() {
            let take = options.momentum;
            let pairs = pairs.map(|(to, of, factor)| (to, of, [(1.0 - take) as f32, (take * factor) as f32]));
            crate::op::guard("batchNorm", || update_gpu::change(&pairs))?;
            return Ok(y);
        }
        for (running, batch, factor) in pairs {
            dispatch_float!(running.dtype(), "batchNorm", T => running.update(|running: &mut [T]| {
                let (keep, take) = ((1.0 - options.momentum) as T, (options.momentum * factor) as T);
                for (running, batch) in running.iter_mut().zip(batch.slice::<T>()) {
                    *running = keep * *running + take * batch;
                }
            }))?;
        }
    }
    Ok(y)
}

fn three(tensors: Vec<Tensor>) -> [Tensor; 3] {
    tensors.try_into().expect("an operation with three results")
}

/// Row-major or with channels innermost; as it is, if it is one of them.
fn in_known_order(x: &Tensor) -> Result<Tensor> {
    if x.is_contiguous() || innermost_channels(x).is_contiguous() {
        return Ok(x.clone());
    }
    if x.ndim() == 4 { movement::channels_last(x) } else { movement::contiguous(x) }
}

/// The layout with the channel behind all other dimensions.
fn innermost_channels(x: &Tensor) -> Layout {
    let order: Vec<usize> = [0].into_iter().chain(2..x.ndim()).chain([1]).collect();
    x.layout().permute(&order)
}

/// How the channels of a tensor in known order lie, and whether they are innermost.
pub(super) fn channels_of(x: &Tensor) -> (Channels, bool) {
    let [batch, channels] = [x.shape()[0], x.shape()[1]];
    let inner: usize = x.shape()[2..].iter().product();
    if inner > 1 && (channels == 1 || !innermost_channels(x).is_contiguous()) {
        (Channels { outer: batch, channels, inner }, false)
    } else {
        (Channels { outer: batch * inner, channels, inner: 1 }, true)
    }
}

/// A tensor of the shape of the (dense) value x, in the same order of memory.
fn arranged_as(other: &Tensor, x: &Tensor) -> Result<Tensor> {
    let other = other.detach()?;
    if !channels_of(x).1 {
        return movement::contiguous(&other);
    }
    let n = x.ndim() as i64;
    let inward: Vec<i64> = [0].into_iter().chain(2..n).chain([1]).collect();
    let outward: Vec<i64> = [0, n - 1].into_iter().chain(1..n - 1).collect();
    movement::permute(&movement::contiguous(&movement::permute(&other, &inward)?)?, &outward)
}

/// Inputs: x in known order, then weight and bias if `has` them, then the residual if `then` has one. Results: y, mean and
/// biased variance of the batch. Of the rectifier nothing is kept but y, and that only behind a residual: before, its sign
/// follows from x.
struct BatchNorm {
    /// Mean and variance to use instead of the batch's own.
    statistics: Option<(Tensor, Tensor)>,
    epsilon: f64,
    has: [bool; 2],
    then: Then<()>,
}

impl Op for BatchNorm {
    fn name(&self) -> &'static str {
        match self.then {
            Then::Nothing => "batchNorm",
            _ => "batchNormRelu",
        }
    }

    fn forward(&self, inputs: &[&Tensor], context: &mut Context) -> Result<Vec<Tensor>> {
        let x = inputs[0];
        let at_bias = 1 + usize::from(self.has[0]);
        let weight = self.has[0].then(|| movement::contiguous(&inputs[1].detach()?)).transpose()?;
        let bias = self.has[1].then(|| movement::contiguous(&inputs[at_bias].detach()?)).transpose()?;
        let residual = match self.then {
            Then::AddRelu(()) => Some(arranged_as(inputs[inputs.len() - 1], x)?),
            _ => None,
        };
        context.mark_constant(1);
        context.mark_constant(2);
        let (shape, _) = channels_of(x);
        let strides = x.layout().dense_strides();
        let dtype = computed(x.dtype());
        dispatch_float!(dtype, self.name(), T => {
            let (mean, variance) = match &self.statistics {
                Some((mean, variance)) => (as_f64::<T>(mean)?, as_f64::<T>(variance)?),
                None if x.numel() == 0 => (vec![0.0; shape.channels], vec![1.0; shape.channels]),
                None => {
                    let (mean, squares) = channel_moments(source::<T>(x), shape);
                    let count = shape.count() as f64;
                    (mean, squares.into_iter().map(|s| s / count).collect())
                }
            };
            let inverse = vector::<T>(variance.iter().map(|v| 1.0 / (v + self.epsilon).sqrt()))?;
            let (mean, variance) = (vector::<T>(mean)?, vector::<T>(variance)?);
            let (scale, shift) = (scales::<T>(&inverse, weight.as_ref()), shifts::<T>(bias.as_ref(), shape));
            let mut y = Buffer::<T>::new(x.numel())?;
            if x.numel() > 0 {
                let (x, mean) = (source::<T>(x), mean.slice::<T>());
                match self.then {
                    Then::Nothing => channel_apply(x, shape, mean, &scale, &shift, Sink::Wide(&mut y)),
                    _ => {
                        let residual = residual.as_ref().map(|residual| residual.slice::<T>());
                        channel_apply_relu(x, residual, shape, mean, &scale, &shift, &mut y);
                    }
                }
            }
            let y = Tensor::from_buffer_strided(y, x.shape(), strides, dtype);
            context.save(x)?;
            context.save(&mean.detach()?)?;
            context.save(&inverse)?;
            if self.has[0] {
                context.save(inputs[1])?;
            }
            match self.then {
                Then::Relu if self.has[1] => context.save(inputs[at_bias])?,
                Then::AddRelu(()) => context.save_result(0, &y)?,
                _ => {}
            }
            Ok(vec![y, mean, variance])
        })
    }

    #[cfg(feature = "gpu")]
    fn forward_gpu(&self, inputs: &[&Tensor], context: &mut Context) -> Result<Vec<Tensor>> {
        let x = inputs[0];
        if computed(x.dtype()) != DType::F32 {
            return Err(crate::ops::elementwise::not_float("batchNorm", x.dtype()));
        }
        let part = |there: bool, i: usize| there.then(|| movement::contiguous(&inputs[i].detach()?)).transpose();
        let at_bias = 1 + usize::from(self.has[0]);
        let (weight, bias) = (part(self.has[0], 1)?, part(self.has[1], at_bias)?);
        let behind = batch_norm_gpu::Behind {
            residual: matches!(self.then, Then::AddRelu(())).then(|| inputs[inputs.len() - 1]),
            rectified: !matches!(self.then, Then::Nothing),
        };
        let device = x.device()?;
        let empty = |value: f64| Tensor::full_on(&device, &x.shape()[1..2], value, DType::F32);
        // Statistics of nothing.
        let none = if x.numel() == 0 { Some((empty(0.0)?, empty(1.0)?)) } else { None };
        let given = self.statistics.as_ref().or(none.as_ref()).map(|(mean, variance)| (mean, variance));
        if let Some((mean, variance)) = given {
            crate::op::common_device("batchNorm", &[x, mean, variance])?;
        }
        let done = batch_norm_gpu::forward(x, given, weight.as_ref(), bias.as_ref(), self.epsilon, behind)?;
        context.mark_constant(1);
        context.mark_constant(2);
        context.save(x)?;
        context.save(&done.mean.detach()?)?;
        context.save(&done.inverse)?;
        if self.has[0] {
            context.save(inputs[1])?;
        }
        match self.then {
            Then::Relu if self.has[1] => context.save(inputs[at_bias])?,
            Then::AddRelu(()) => context.save_result(0, &done.y)?,
            _ => {}
        }
        Ok(vec![done.y, done.mean, done.variance])
    }

    /// `normalize` brings all inputs but x, which may be a 16-bit float, to float32.
    fn takes_half(&self, _: &[&Tensor]) -> bool {
        true
    }

    fn backward(&self, pass: &Pass) -> Result<Vec<Option<Tensor>>> {
        let [x, mean, inverse] = [&pass.saved[0], &pass.saved[1], &pass.saved[2]];
        let weight = self.has[0].then(|| &pass.saved[3]);
        let bias = 1 + usize::from(self.has[0]);
        let residual = bias + usize::from(self.has[1]);
        let has_residual = matches!(self.then, Then::AddRelu(()));
        let needs = [pass.needs(0), self.has[0] && pass.needs(1), self.has[1] && pass.needs(bias)];
        let Some(gradient) = &pass.grads[0] else {
            return Ok(vec![None; residual + usize::from(has_residual)]);
        };
        let before_sum = match self.then {
            Then::AddRelu(()) => Some(passed_where_positive(&pass.saved[pass.saved.len() - 1], gradient)?),
            _ => None,
        };
        let gradient = before_sum.as_ref().unwrap_or(gradient);
        // The last saved, if anything of the rectifier was.
        let shift = match self.then {
            Then::Relu if self.has[1] => Some(&pass.saved[pass.saved.len() - 1]),
            _ => None,
        };
        let results = if autograd::is_enabled() {
            let dtype = x.dtype();
            let x = &movement::to_dtype(x, computed(dtype))?;
            let gradient = &match self.then {
                Then::Relu => mul(gradient, &self.passes(x, [mean, inverse], weight, shift)?)?,
                _ => gradient.clone(),
            };
            let mut along: Dims = Dims::from_elem(1, x.ndim());
            along[1] = x.shape()[1];
            let over: Vec<i64> = (0..x.ndim() as i64).filter(|&d| d != 1).collect();
            let statistics = if self.statistics.is_some() {
                Statistics::Given(reshape_to(mean, &along)?, reshape_to(inverse, &along)?)
            } else {
                Statistics::Own { centered: true }
            };
            let weight = weight.map(|w| reshape_to(w, &along)).transpose()?;
            let (dx, normalized) = differentiable(x, gradient, weight.as_ref(), statistics, &over, self.epsilon)?;
            let flat = |t: &Tensor| reshape_to(&sum_to(t, &along)?, &x.shape()[1..2]);
            let dx = movement::to_dtype(&dx, dtype)?;
            [Some(dx), Some(flat(&mul(gradient, &normalized)?)?), Some(flat(gradient)?)]
        } else {
            let gradient = arranged_as(gradient, x)?;
            #[cfg(feature = "gpu")]
            if !x.is_host() && x.numel() > 0 {
                let weight = weight.map(|w| movement::contiguous(&w.detach()?)).transpose()?;
                let shift = shift.map(|b| movement::contiguous(&b.detach()?)).transpose()?;
                let through = batch_norm_gpu::Through {
                    weight: weight.as_ref(),
                    rectifier: matches!(self.then, Then::Relu).then_some(shift.as_ref()),
                    own: self.statistics.is_none(),
                };
                let found = batch_norm_gpu::gradient(x, &gradient, [mean, inverse], through, needs)?;
                let mut gradients = self.listed(found, needs);
                gradients.extend(has_residual.then(|| before_sum.filter(|_| pass.needs(residual))));
                return Ok(gradients);
            }
            dispatch_float!(computed(x.dtype()), self.name(), T => {
                let [weight, shift] = [weight, shift].map(|t| t.map(movement::contiguous).transpose());
                self.kernels::<T>(x, &gradient, [mean, inverse], weight?.as_ref(), shift?.as_ref(), needs)?
            })
        };
        let mut gradients = self.listed(results, needs);
        gradients.extend(has_residual.then(|| before_sum.filter(|_| pass.needs(residual))));
        Ok(gradients)
    }
}

/// The gradient in front of a rectifier of result y: where y > 0. In operations that can be differentiated, if they are to be.
fn passed_where_positive(y: &Tensor, gradient: &Tensor) -> Result<Tensor> {
    let y = y.detach()?;
    #[cfg(feature = "gpu")]
    if !y.is_host() {
        let one = || Tensor::full_on(&y.device()?, &[1], 1.0, y.dtype());
        return if autograd::is_enabled() {
            mul(gradient, &batch_norm_gpu::passed_where_positive(&y, &one()?)?)
        } else {
            batch_norm_gpu::passed_where_positive(&y, gradient)
        };
    }
    if autograd::is_enabled() {
        let positive = dispatch_float!(y.dtype(), "batchNormRelu", T => map_same::<T, 1, true>(&[&y], #[inline(always)] |[y]| {
            if y > 0.0 { 1.0 } else { 0.0 }
        }))?;
        return mul(gradient, &positive);
    }
    let gradient = arranged_as(gradient, &y)?;
    dispatch_float!(y.dtype(), "batchNormRelu", T => map_same::<T, 2, true>(&[&y, &gradient], #[inline(always)] |[y, g]| {
        if y > 0.0 { g } else { 0.0 }
    }))
}

impl BatchNorm {
    /// Gradients of x, weight and bias as those of the inputs.
    fn listed(&self, [x, weight, bias]: [Option<Tensor>; 3], needs: [bool; 3]) -> Vec<Option<Tensor>> {
        let mut gradients = vec![x.filter(|_| needs[0])];
        gradients.extend(self.has[0].then(|| weight.filter(|_| needs[1])));
        gradients.extend(self.has[1].then(|| bias.filter(|_| needs[2])));
        gradients
    }

    /// 1 where the rectifier behind the normalisation (without residual) passes the gradient, else 0.
    fn passes(
        &self,
        x: &Tensor,
        [mean, inverse]: [&Tensor; 2],
        weight: Option<&Tensor>,
        bias: Option<&Tensor>,
    ) -> Result<Tensor> {
        let x = x.detach()?;
        let (shape, _) = channels_of(&x);
        let [weight, bias] = [weight, bias].map(|t| t.map(|t| movement::contiguous(&t.detach()?)).transpose());
        #[cfg(feature = "gpu")]
        if !x.is_host() {
            return batch_norm_gpu::passes(&x, [mean, inverse], weight?.as_ref(), bias?.as_ref());
        }
        dispatch_float!(x.dtype(), "batchNormRelu", T => {
            let (scale, shift) = (scales::<T>(inverse, weight?.as_ref()), shifts::<T>(bias?.as_ref(), shape));
            let mut out = Buffer::<T>::new(x.numel())?;
            if x.numel() > 0 {
                let rectifier = Rectifier { scale: &scale, shift: &shift };
                channel_passes(x.slice::<T>(), shape, mean.slice::<T>(), rectifier, &mut out);
            }
            Ok(Tensor::from_buffer_strided(out, x.shape(), x.layout().dense_strides(), x.dtype()))
        })
    }

    fn kernels<T: Float>(
        &self,
        x: &Tensor,
        gradient: &Tensor,
        [mean, inverse]: [&Tensor; 2],
        weight: Option<&Tensor>,
        bias: Option<&Tensor>,
        needs: [bool; 3],
    ) -> Result<[Option<Tensor>; 3]> {
        if x.numel() == 0 {
            let zeros = || Tensor::full_on(&x.device()?, &x.shape()[1..2], 0.0, computed(x.dtype())).map(Some);
            return Ok([Some(x.zeros_like()?), zeros()?, zeros()?]);
        }
        let (shape, _) = channels_of(x);
        let (x_values, g_values) = (source::<T>(x), gradient.slice::<T>());
        let mean = mean.slice::<T>();
        let own = self.statistics.is_none();
        let (scale, shift) = (scales::<T>(inverse, weight), shifts::<T>(bias, shape));
        let rectifier = match self.then {
            Then::Relu => Some(Rectifier { scale: &scale[..], shift: &shift[..] }),
            _ => None,
        };
        let (sums, products) = if own || needs[1] || needs[2] {
            channel_gradient_sums(x_values, g_values, shape, mean, rectifier)
        } else {
            (vec![0.0; shape.channels], vec![0.0; shape.channels])
        };
        let inverses = inverse.slice::<T>();
        let into = |out: Sink<T>| {
            if own {
                let count = shape.count() as f64;
                let of =
                    |f: &dyn Fn(usize) -> f64| -> Vec<T> { (0..shape.channels).map(|c| T::from_f64(f(c))).collect() };
                let slope = of(&|c| -scale[c].to_f64() * inverses[c].to_f64().powi(2) * products[c] / count);
                let offset = of(&|c| -scale[c].to_f64() * sums[c] / count);
                let constants = [mean, &scale, &slope, &offset];
                channel_gradient(x_values, g_values, shape, constants, rectifier.map(|r| r.shift), out);
            } else if let Some(rectifier) = rectifier {
                channel_gradient_passed(x_values, g_values, shape, mean, rectifier, out);
            } else {
                let zero = vec![T::ZERO; shape.channels];
                channel_apply(Source::Wide(g_values), shape, &zero, &scale, &zero, out);
            }
        };
        let strides = x.layout().dense_strides();
        let dx = if !needs[0] {
            None
        } else if x.dtype() == DType::BF16 {
            let mut out = Buffer::<Bf16>::new(x.numel())?;
            into(Sink::Narrow(&mut out));
            Some(Tensor::from_buffer_strided(out, x.shape(), strides, DType::BF16))
        } else {
            let mut out = Buffer::<T>::new(x.numel())?;
            into(Sink::Wide(&mut out));
            Some(Tensor::from_buffer_strided(out, x.shape(), strides, x.dtype()))
        };
        let dweight = vector::<T>(products.iter().zip(inverses).map(|(p, s)| p * s.to_f64()))?;
        Ok([dx, Some(dweight), Some(vector::<T>(sums)?)])
    }
}

fn as_f64<T: Float>(t: &Tensor) -> Result<Vec<f64>> {
    Ok(t.to_vec::<T>()?.into_iter().map(|v| v.to_f64()).collect())
}

/// 1/σ · weight
fn scales<T: Float>(inverse: &Tensor, weight: Option<&Tensor>) -> Vec<T> {
    let inverse = inverse.slice::<T>();
    match weight {
        Some(weight) => inverse.iter().zip(weight.slice::<T>()).map(|(s, w)| *s * *w).collect(),
        None => inverse.to_vec(),
    }
}

/// The bias, or zeros.
fn shifts<T: Float>(bias: Option<&Tensor>, shape: Channels) -> Vec<T> {
    bias.map_or_else(|| vec![T::ZERO; shape.channels], |bias| bias.slice::<T>().to_vec())
}

#[cfg_attr(feature = "node", napi_derive::napi)]
impl Tensor {
    /// (x − mean)/√(variance + eps) · weight + bias for each channel of [B, C] or [B, C, …]; all of shape [C]. In training
    /// with the batch's own statistics, of which `momentum` (default 0.1) goes into the running ones; eps defaults to 1e-5.
    #[cfg_attr(feature = "node", napi_derive::napi)]
    pub fn batch_norm(
        &self,
        running_mean: Option<&Tensor>,
        running_var: Option<&Tensor>,
        weight: Option<&Tensor>,
        bias: Option<&Tensor>,
        training: Option<bool>,
        momentum: Option<f64>,
        eps: Option<f64>,
    ) -> Result<Tensor> {
        batch_norm(self, options_of([running_mean, running_var, weight, bias], training, momentum, eps)?)
    }

    /// max(batchNorm + residual, 0) in one operation, bit for bit what the three give; the residual has this shape. The
    /// other arguments are those of batchNorm.
    #[cfg_attr(feature = "node", napi_derive::napi)]
    pub fn batch_norm_relu(
        &self,
        residual: Option<&Tensor>,
        running_mean: Option<&Tensor>,
        running_var: Option<&Tensor>,
        weight: Option<&Tensor>,
        bias: Option<&Tensor>,
        training: Option<bool>,
        momentum: Option<f64>,
        eps: Option<f64>,
    ) -> Result<Tensor> {
        let options = options_of([running_mean, running_var, weight, bias], training, momentum, eps)?;
        batch_norm_relu(self, residual, options)
    }
}

fn options_of<'a>(
    [running_mean, running_var, weight, bias]: [Option<&'a Tensor>; 4],
    training: Option<bool>,
    momentum: Option<f64>,
    eps: Option<f64>,
) -> Result<BatchNormOptions<'a>> {
    ensure!(
        running_mean.is_some() == running_var.is_some(),
        Argument,
        "batchNorm: running mean and running variance come together"
    );
    Ok(BatchNormOptions {
        running: running_mean.zip(running_var),
        weight,
        bias,
        training: training.unwrap_or(false),
        momentum: momentum.unwrap_or(0.1),
        epsilon: eps.unwrap_or(1e-5),
    })
}

#[cfg(test)]
mod tests;
#[cfg(test)]
pub use tests::cases;
