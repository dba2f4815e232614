//! Batch norm: normalisation of each channel over the batch, with running statistics. Row-major or channels innermost
//! in memory, as the input is.

use crate::autograd;
use crate::cpu::norm::{Channels, channel_apply, channel_gradient, channel_gradient_sums, channel_moments};
use crate::dtype::Float;
use crate::error::Result;
use crate::op::{Context, Op, Pass, apply};
#[cfg(feature = "gpu")]
use crate::ops::batch_norm_gpu;
use crate::ops::elementwise::mul;
use crate::ops::movement::{self, reshape_to};
use crate::ops::norm::{Statistics, check_parameter, differentiable, vector};
use crate::ops::reduce::sum_to;
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
    ensure!(x.ndim() >= 2, Shape, "batchNorm: needs [batch, channel, …], not shape {:?}", x.shape());
    let channels = x.shape()[1];
    let BatchNormOptions { running, weight, bias, .. } = options;
    let (running_mean, running_var) = running.unzip();
    for (name, tensor) in
        [("weight", weight), ("bias", bias), ("running mean", running_mean), ("running variance", running_var)]
    {
        check_parameter("batchNorm", name, tensor, &[channels], x)?;
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
    let inputs: Vec<&Tensor> = [&x].into_iter().chain(weight).chain(bias).collect();
    let statistics = match running {
        Some((mean, variance)) if !options.training => Some((mean.detach()?, variance.detach()?)),
        _ => None,
    };
    let op = BatchNorm { statistics, epsilon: options.epsilon, has: [weight.is_some(), bias.is_some()] };
    let [y, batch_mean, batch_variance] = three(apply(op, &inputs)?);
    if let Some((mean, variance)) = running
        && options.training
        && x.numel() > 0
    {
        let unbiased = count as f64 / (count - 1) as f64;
        for (running, batch, factor) in [(mean, &batch_mean, 1.0), (variance, &batch_variance, unbiased)] {
            #[cfg(feature = "gpu")]
            if !running.is_host() {
                let (keep, take) = (1.0 - options.momentum, options.momentum * factor);
                crate::op::guard("batchNorm", || batch_norm_gpu::update_running(running, batch, keep, take))?;
                continue;
            }
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
fn channels_of(x: &Tensor) -> (Channels, bool) {
    let [batch, channels] = [x.shape()[0], x.shape()[1]];
    let inner: usize = x.shape()[2..].iter().product();
    if inner > 1 && (channels == 1 || !innermost_channels(x).is_contiguous()) {
        (Channels { outer: batch, channels, inner }, false)
    } else {
        (Channels { outer: batch * inner, channels, inner: 1 }, true)
    }
}

/// A gradient in the same order of memory as the (dense) value it belongs to.
fn arranged_as(gradient: &Tensor, x: &Tensor) -> Result<Tensor> {
    let gradient = gradient.detach()?;
    if !channels_of(x).1 {
        return movement::contiguous(&gradient);
    }
    let n = x.ndim() as i64;
    let inward: Vec<i64> = [0].into_iter().chain(2..n).chain([1]).collect();
    let outward: Vec<i64> = [0, n - 1].into_iter().chain(1..n - 1).collect();
    movement::permute(&movement::contiguous(&movement::permute(&gradient, &inward)?)?, &outward)
}

/// Inputs: x in known order, then weight and bias if `has` them. Results: y, mean and biased variance of the batch.
struct BatchNorm {
    /// Mean and variance to use instead of the batch's own.
    statistics: Option<(Tensor, Tensor)>,
    epsilon: f64,
    has: [bool; 2],
}

impl Op for BatchNorm {
    fn name(&self) -> &'static str {
        "batchNorm"
    }

    fn forward(&self, inputs: &[&Tensor], context: &mut Context) -> Result<Vec<Tensor>> {
        let x = inputs[0];
        let weight = self.has[0].then(|| movement::contiguous(&inputs[1].detach()?)).transpose()?;
        let bias = self.has[1].then(|| movement::contiguous(&inputs[inputs.len() - 1].detach()?)).transpose()?;
        context.mark_constant(1);
        context.mark_constant(2);
        let (shape, _) = channels_of(x);
        let strides = x.layout().dense_strides();
        dispatch_float!(x.dtype(), "batchNorm", T => {
            let (mean, variance) = match &self.statistics {
                Some((mean, variance)) => (as_f64::<T>(mean)?, as_f64::<T>(variance)?),
                None if x.numel() == 0 => (vec![0.0; shape.channels], vec![1.0; shape.channels]),
                None => {
                    let (mean, squares) = channel_moments(x.slice::<T>(), shape);
                    let count = shape.count() as f64;
                    (mean, squares.into_iter().map(|s| s / count).collect())
                }
            };
            let inverse = vector::<T>(variance.iter().map(|v| 1.0 / (v + self.epsilon).sqrt()))?;
            let (mean, variance) = (vector::<T>(mean)?, vector::<T>(variance)?);
            let scale = scales::<T>(&inverse, weight.as_ref());
            let shift = bias.as_ref().map_or_else(|| vec![0.0; shape.channels], |b| b.slice::<T>().to_vec());
            let mut y = Buffer::<T>::new(x.numel())?;
            if x.numel() > 0 {
                channel_apply(x.slice::<T>(), shape, mean.slice::<T>(), &scale, &shift, &mut y);
            }
            context.save(x)?;
            context.save(&mean.detach()?)?;
            context.save(&inverse)?;
            if self.has[0] {
                context.save(inputs[1])?;
            }
            Ok(vec![Tensor::from_buffer_strided(y, x.shape(), strides, x.dtype()), mean, variance])
        })
    }

    #[cfg(feature = "gpu")]
    fn forward_gpu(&self, inputs: &[&Tensor], context: &mut Context) -> Result<Vec<Tensor>> {
        let x = inputs[0];
        if x.dtype() != crate::dtype::DType::F32 {
            return Err(crate::ops::elementwise::not_float("batchNorm", x.dtype()));
        }
        let part = |there: bool, i: usize| there.then(|| movement::contiguous(&inputs[i].detach()?)).transpose();
        let (weight, bias) = (part(self.has[0], 1)?, part(self.has[1], inputs.len() - 1)?);
        let device = x.device()?;
        let empty = |value: f64| Tensor::full_on(&device, &x.shape()[1..2], value, x.dtype());
        // Statistics of nothing.
        let none = if x.numel() == 0 { Some((empty(0.0)?, empty(1.0)?)) } else { None };
        let given = self.statistics.as_ref().or(none.as_ref()).map(|(mean, variance)| (mean, variance));
        if let Some((mean, variance)) = given {
            crate::op::common_device("batchNorm", &[x, mean, variance])?;
        }
        let done = batch_norm_gpu::forward(x, given, weight.as_ref(), bias.as_ref(), self.epsilon)?;
        context.mark_constant(1);
        context.mark_constant(2);
        context.save(x)?;
        context.save(&done.mean.detach()?)?;
        context.save(&done.inverse)?;
        if self.has[0] {
            context.save(inputs[1])?;
        }
        Ok(vec![done.y, done.mean, done.variance])
    }

    fn backward(&self, pass: &Pass) -> Result<Vec<Option<Tensor>>> {
        let [x, mean, inverse] = [&pass.saved[0], &pass.saved[1], &pass.saved[2]];
        let weight = pass.saved.get(3);
        let bias = 1 + self.has[0] as usize;
        let needs = [pass.needs(0), self.has[0] && pass.needs(1), self.has[1] && pass.needs(bias)];
        let Some(gradient) = &pass.grads[0] else { return Ok(vec![None; bias + self.has[1] as usize]) };
        let results = if autograd::is_enabled() {
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
            [Some(dx), Some(flat(&mul(gradient, &normalized)?)?), Some(flat(gradient)?)]
        } else {
            let gradient = arranged_as(gradient, x)?;
            #[cfg(feature = "gpu")]
            if !x.is_host() && x.numel() > 0 {
                let weight = weight.map(|w| movement::contiguous(&w.detach()?)).transpose()?;
                let own = self.statistics.is_none();
                let found = batch_norm_gpu::gradient(x, &gradient, [mean, inverse], weight.as_ref(), own, needs)?;
                return Ok(self.listed(found, needs));
            }
            dispatch_float!(x.dtype(), "batchNorm", T => {
                let weight = weight.map(movement::contiguous).transpose()?;
                self.kernels::<T>(x, &gradient, [mean, inverse], weight.as_ref(), needs)?
            })
        };
        Ok(self.listed(results, needs))
    }
}

impl BatchNorm {
    /// Gradients of x, weight and bias as those of the inputs.
    fn listed(&self, [x, weight, bias]: [Option<Tensor>; 3], needs: [bool; 3]) -> Vec<Option<Tensor>> {
        let mut gradients = vec![x.filter(|_| needs[0])];
        gradients.extend(self.has[0].then(|| weight.filter(|_| needs[1])));
        gradients.extend(self.has[1].then(|| bias.filter(|_| needs[2])));
        gradients
    }

    fn kernels<T: Float>(
        &self,
        x: &Tensor,
        gradient: &Tensor,
        [mean, inverse]: [&Tensor; 2],
        weight: Option<&Tensor>,
        needs: [bool; 3],
    ) -> Result<[Option<Tensor>; 3]> {
        if x.numel() == 0 {
            let zeros = || Tensor::full_on(&x.device()?, &x.shape()[1..2], 0.0, x.dtype()).map(Some);
            return Ok([Some(x.zeros_like()?), zeros()?, zeros()?]);
        }
        let (shape, _) = channels_of(x);
        let (x_values, g_values) = (x.slice::<T>(), gradient.slice::<T>());
        let own = self.statistics.is_none();
        let (sums, products) = if own || needs[1] || needs[2] {
            channel_gradient_sums(x_values, g_values, shape, mean.slice::<T>())
        } else {
            (vec![0.0; shape.channels], vec![0.0; shape.channels])
        };
        let inverses = inverse.slice::<T>();
        let dx = needs[0]
            .then(|| {
                let mut out = Buffer::<T>::new(x.numel())?;
                let scale = scales::<T>(inverse, weight);
                let zero = vec![T::ZERO; shape.channels];
                if own {
                    let count = shape.count() as f64;
                    let of = |f: &dyn Fn(usize) -> f64| -> Vec<T> {
                        (0..shape.channels).map(|c| T::from_f64(f(c))).collect()
                    };
                    let slope = of(&|c| -scale[c].to_f64() * inverses[c].to_f64().powi(2) * products[c] / count);
                    let shift = of(&|c| -scale[c].to_f64() * sums[c] / count);
                    channel_gradient(x_values, g_values, shape, [mean.slice::<T>(), &scale, &slope, &shift], &mut out);
                } else {
                    channel_apply(g_values, shape, &zero, &scale, &zero, &mut out);
                }
                Ok(Tensor::from_buffer_strided(out, x.shape(), x.layout().dense_strides(), x.dtype()))
            })
            .transpose()?;
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
        ensure!(
            running_mean.is_some() == running_var.is_some(),
            Argument,
            "batchNorm: running mean and running variance come together"
        );
        let options = BatchNormOptions {
            running: running_mean.zip(running_var),
            weight,
            bias,
            training: training.unwrap_or(false),
            momentum: momentum.unwrap_or(0.1),
            epsilon: eps.unwrap_or(1e-5),
        };
        batch_norm(self, options)
    }
}

#[cfg(test)]
pub fn cases() -> Vec<crate::ops::suite::Case> {
    use crate::ops::norm::reference;
    use crate::ops::suite::*;
    fn options<'a>(weight: Option<&'a Tensor>, bias: Option<&'a Tensor>) -> BatchNormOptions<'a> {
        BatchNormOptions { running: None, weight, bias, training: true, momentum: 0.1, epsilon: 1e-3 }
    }
    let train = |t: &[Tensor]| batch_norm(&t[0], options(t.get(1), t.get(2)));
    let eval = |t: &[Tensor]| {
        let running = Some((&t[1], &t[2]));
        batch_norm(&t[0], BatchNormOptions { running, training: false, ..options(t.get(3), t.get(4)) })
    };
    let batch = |a: &[Array]| reference(a, true, 1e-3, |i| i[1], |i| i[1]);
    vec![
        case("batchNorm", "of features", [normal(&[7, 3]), normal(&[3]), normal(&[3])], train).equals(batch),
        case("batchNorm", "of features, plain", [normal(&[7, 3])], train).equals(batch),
        case("batchNorm", "of sequences", [normal(&[2, 3, 4]), normal(&[3]), normal(&[3])], train).equals(batch),
        case("batchNorm", "of images", [normal(&[2, 3, 4, 5]), normal(&[3]), normal(&[3])], train).equals(batch),
        case("batchNorm", "of images, channels last", [normal(&[2, 3, 4, 5]), normal(&[3]), normal(&[3])], |t| {
            batch_norm(&movement::channels_last(&t[0])?, options(t.get(1), t.get(2)))
        })
        .equals(batch),
        case("batchNorm", "without bias", [normal(&[7, 3]), normal(&[3])], train).equals(batch),
        case("batchNorm", "without weight", [normal(&[7, 3]), normal(&[3])], |t| {
            batch_norm(&t[0], options(None, t.get(1)))
        }),
        case("batchNorm", "many rows", [normal(&[1500, 3])], train).equals(batch),
        case(
            "batchNorm",
            "eval",
            [normal(&[2, 3, 4]), normal(&[3]).constant(), positive(&[3]).constant(), normal(&[3]), normal(&[3])],
            eval,
        )
        .equals(|a| {
            let one = |k: usize, c: usize| {
                (a[0].values[k] - a[1].values[c]) / (a[2].values[c] + 1e-3).sqrt() * a[3].values[c] + a[4].values[c]
            };
            let inner = a[0].shape[2];
            (0..a[0].values.len()).map(|k| one(k, k / inner % a[0].shape[1])).collect()
        }),
        case("batchNorm", "eval, plain", [normal(&[2, 3]), normal(&[3]).constant(), positive(&[3]).constant()], eval),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dtype::DType;

    fn options<'a>(running: Option<(&'a Tensor, &'a Tensor)>, training: bool) -> BatchNormOptions<'a> {
        BatchNormOptions { running, weight: None, bias: None, training, momentum: 0.25, epsilon: 1e-5 }
    }

    #[test]
    fn running_statistics_take_the_unbiased_variance() {
        let x = Tensor::from_slice(&[1.0f64, 10.0, 3.0, 10.0, 5.0, 16.0], &[3, 2]).unwrap();
        let mean = Tensor::from_slice(&[4.0f64, 0.0], &[2]).unwrap();
        let variance = Tensor::from_slice(&[1.0f64, 2.0], &[2]).unwrap();
        batch_norm(&x, options(Some((&mean, &variance)), true)).unwrap();
        assert_eq!(mean.to_vec::<f64>().unwrap(), [0.75 * 4.0 + 0.25 * 3.0, 0.25 * 12.0]);
        assert_eq!(variance.to_vec::<f64>().unwrap(), [0.75 + 0.25 * 4.0, 1.5 + 0.25 * 12.0]);
        let before = variance.to_vec::<f64>().unwrap();
        batch_norm(&x, options(Some((&mean, &variance)), false)).unwrap();
        batch_norm(&Tensor::zeros(&[0, 2], DType::F64).unwrap(), options(Some((&mean, &variance)), true)).unwrap();
        assert_eq!(variance.to_vec::<f64>().unwrap(), before);
    }

    #[test]
    fn a_large_mean_does_not_eat_the_variance() {
        // E[x²] − E[x]² in float32 would give garbage here: 10⁸ ± 1.
        for shape in [&[4096, 3][..], &[16, 3, 256]] {
            let n: usize = shape.iter().product();
            let values: Vec<f32> = (0..n).map(|i| 10_000.0 + (i * 7919 % 1000) as f32 / 1000.0).collect();
            let y = batch_norm(&Tensor::from_slice(&values, shape).unwrap(), options(None, true)).unwrap();
            let y = y.to_vec::<f32>().unwrap();
            let square: f64 = y.iter().map(|&v| v as f64 * v as f64).sum::<f64>() / n as f64;
            assert!((square - 1.0).abs() < 1e-3, "variance {square}");
        }
    }

    #[test]
    fn channels_last_stays_and_equals_row_major() {
        let values: Vec<f32> = (0..2 * 5 * 3 * 4).map(|i| (i as f32 * 0.7).sin()).collect();
        let x = Tensor::from_slice(&values, &[2, 5, 3, 4]).unwrap();
        let plain = batch_norm(&x, options(None, true)).unwrap();
        let last = batch_norm(&movement::channels_last(&x).unwrap(), options(None, true)).unwrap();
        assert!(last.is_channels_last() && plain.is_contiguous());
        for (a, b) in plain.to_vec::<f32>().unwrap().iter().zip(last.to_vec::<f32>().unwrap()) {
            assert!((a - b).abs() < 1e-5);
        }
    }

    #[test]
    fn one_value_a_channel_and_missing_statistics_are_errors() {
        let x = Tensor::zeros(&[1, 3], DType::F32).unwrap();
        let error = batch_norm(&x, options(None, true)).unwrap_err();
        assert_eq!(error.code(), "ERR_SHAPE");
        assert!(error.message().contains("[1, 3]"));
        assert_eq!(batch_norm(&x, options(None, false)).unwrap_err().code(), "ERR_ARGUMENT");
    }
}
