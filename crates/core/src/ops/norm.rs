//! Normalisation over rows: layer norm, RMS norm, group norm. Mean and 1/σ are kept for the way back, the normalised
//! values are not: they are computed again.

use crate::autograd;
use crate::cpu::norm::{Rows, row_gradient, row_normalize};
use crate::dtype::{DType, Float};
use crate::error::Result;
use crate::op::{Context, Op, Pass, apply_one};
use crate::ops::elementwise::{add, add_scalar, mul, rsqrt, square, sub};
use crate::ops::movement::{self, reshape_to};
#[cfg(feature = "gpu")]
use crate::ops::norm_gpu;
use crate::ops::reduce::{mean, sum_to};
use crate::shape::Dims;
use crate::storage::Buffer;
use crate::tensor::Tensor;
use crate::{dispatch_float, ensure};

/// Each sample's last dimensions (`normalized_shape`) to mean 0 and variance 1, times weight plus bias of that shape
/// (Ba, Kiros & Hinton 2016).
pub fn layer_norm(
    x: &Tensor,
    normalized_shape: &[usize],
    weight: Option<&Tensor>,
    bias: Option<&Tensor>,
    epsilon: f64,
) -> Result<Tensor> {
    rows_of("layerNorm", x, normalized_shape, [weight, bias], true, epsilon)
}

/// x/√(mean of x² + ε) · weight over the last dimensions (Zhang & Sennrich 2019). ε None: the type's own epsilon.
pub fn rms_norm(
    x: &Tensor,
    normalized_shape: &[usize],
    weight: Option<&Tensor>,
    epsilon: Option<f64>,
) -> Result<Tensor> {
    let of_type = if x.dtype() == DType::F64 { f64::EPSILON } else { f32::EPSILON as f64 };
    rows_of("rmsNorm", x, normalized_shape, [weight, None], false, epsilon.unwrap_or(of_type))
}

fn rows_of(
    op: &'static str,
    x: &Tensor,
    normalized_shape: &[usize],
    [weight, bias]: [Option<&Tensor>; 2],
    centered: bool,
    epsilon: f64,
) -> Result<Tensor> {
    ensure!(
        !normalized_shape.is_empty() && x.shape().ends_with(normalized_shape),
        Shape,
        "{op}: the input {:?} does not end with the normalised shape {normalized_shape:?}",
        x.shape()
    );
    check_parameter(op, "weight", weight, normalized_shape, x)?;
    check_parameter(op, "bias", bias, normalized_shape, x)?;
    let inner: usize = normalized_shape.iter().product();
    let outer: usize = x.shape()[..x.ndim() - normalized_shape.len()].iter().product();
    let rows = reshape_to(x, &[outer, inner])?;
    let weight = weight.map(|w| reshape_to(w, &[inner])).transpose()?;
    let bias = bias.map(|b| reshape_to(b, &[inner])).transpose()?;
    reshape_to(&normalize_rows(&rows, [weight.as_ref(), bias.as_ref()], centered, epsilon)?, x.shape())
}

fn normalize_rows(x: &Tensor, [weight, bias]: [Option<&Tensor>; 2], centered: bool, epsilon: f64) -> Result<Tensor> {
    let x = movement::contiguous(x)?;
    let inputs: Vec<&Tensor> = [&x].into_iter().chain(weight).chain(bias).collect();
    apply_one(RowNorm { centered, epsilon, has: [weight.is_some(), bias.is_some()] }, &inputs)
}

/// Groups of channels of each sample of [B, C, …] to mean 0 and variance 1, times weight plus bias, [C] each
/// (Wu & He 2018).
pub fn group_norm(
    x: &Tensor,
    groups: usize,
    weight: Option<&Tensor>,
    bias: Option<&Tensor>,
    epsilon: f64,
) -> Result<Tensor> {
    ensure!(x.ndim() >= 2, Shape, "groupNorm: needs [batch, channel, …], not shape {:?}", x.shape());
    let channels = x.shape()[1];
    ensure!(
        groups > 0 && channels % groups == 0,
        Shape,
        "groupNorm: {groups} groups do not divide the {channels} channels of {:?}",
        x.shape()
    );
    check_parameter("groupNorm", "weight", weight, &[channels], x)?;
    check_parameter("groupNorm", "bias", bias, &[channels], x)?;
    let inner: usize = channels / groups * x.shape()[2..].iter().product::<usize>();
    ensure!(
        inner != 1,
        Shape,
        "groupNorm: needs more than one value per group, the input is {:?} in {groups} groups",
        x.shape()
    );
    let rows = reshape_to(x, &[x.shape()[0] * groups, inner])?;
    let mut y = reshape_to(&normalize_rows(&rows, [None, None], true, epsilon)?, x.shape())?;
    let mut along: Dims = Dims::from_elem(1, x.ndim());
    along[1] = channels;
    if let Some(weight) = weight {
        y = mul(&y, &reshape_to(weight, &along)?)?;
    }
    if let Some(bias) = bias {
        y = add(&y, &reshape_to(bias, &along)?)?;
    }
    Ok(y)
}

/// Inputs: contiguous [rows, inner], then weight [inner] and bias [inner] if `has` them.
struct RowNorm {
    centered: bool,
    epsilon: f64,
    has: [bool; 2],
}

impl Op for RowNorm {
    fn name(&self) -> &'static str {
        "layerNorm"
    }

    fn forward(&self, inputs: &[&Tensor], context: &mut Context) -> Result<Vec<Tensor>> {
        let x = inputs[0];
        let weight = self.has[0].then(|| movement::contiguous(&inputs[1].detach()?)).transpose()?;
        let bias = self.has[1].then(|| movement::contiguous(&inputs[inputs.len() - 1].detach()?)).transpose()?;
        let rows = x.shape()[0];
        Ok(vec![dispatch_float!(x.dtype(), "layerNorm", T => {
            let mut y = Buffer::<T>::new(x.numel())?;
            let (mut mean, mut inverse) = (Buffer::<T>::zeroed(rows)?, Buffer::<T>::zeroed(rows)?);
            if x.numel() > 0 {
                let parameters = [&weight, &bias].map(|p| p.as_ref().map(|p| p.slice::<T>()));
                row_normalize(self.rows(x, parameters), &mut y, &mut mean, &mut inverse);
            }
            context.save(x)?;
            context.save(&Tensor::from_buffer(mean, &[rows]))?;
            context.save(&Tensor::from_buffer(inverse, &[rows]))?;
            if self.has[0] {
                context.save(inputs[1])?;
            }
            Tensor::from_buffer(y, x.shape())
        })])
    }

    #[cfg(feature = "gpu")]
    fn forward_gpu(&self, inputs: &[&Tensor], context: &mut Context) -> Result<Vec<Tensor>> {
        let x = inputs[0];
        let weight = self.has[0].then(|| movement::contiguous(&inputs[1].detach()?)).transpose()?;
        let bias = self.has[1].then(|| movement::contiguous(&inputs[inputs.len() - 1].detach()?)).transpose()?;
        let [y, mean, inverse] = norm_gpu::forward(x, weight.as_ref(), bias.as_ref(), self.centered, self.epsilon)?;
        context.save(x)?;
        context.save(&mean)?;
        context.save(&inverse)?;
        if self.has[0] {
            context.save(inputs[1])?;
        }
        Ok(vec![y])
    }

    fn backward(&self, pass: &Pass) -> Result<Vec<Option<Tensor>>> {
        let (x, weight, gradient) = (&pass.saved[0], pass.saved.get(3), pass.grad());
        #[cfg(feature = "gpu")]
        if !x.is_host() && !autograd::is_enabled() {
            return self.backward_gpu(pass);
        }
        let inner = &x.shape()[1..];
        let [dx, dweight, dbias] = if autograd::is_enabled() {
            let statistics = Statistics::Own { centered: self.centered };
            let (dx, normalized) = differentiable(x, gradient, weight, statistics, &[1], self.epsilon)?;
            [dx, sum_to(&mul(gradient, &normalized)?, inner)?, sum_to(gradient, inner)?]
        } else if x.numel() == 0 {
            [x.zeros_like()?, Tensor::zeros(inner, x.dtype())?, Tensor::zeros(inner, x.dtype())?]
        } else {
            let gradient = movement::contiguous(gradient)?;
            let weight = weight.map(movement::contiguous).transpose()?;
            dispatch_float!(x.dtype(), "layerNorm", T => {
                let mut out = Buffer::<T>::new(x.numel())?;
                let rows = self.rows(x, [weight.as_ref().map(|w| w.slice::<T>()), None]);
                let kept = [&gradient, &pass.saved[1], &pass.saved[2]].map(|t| t.slice::<T>());
                let (dweight, dbias) = row_gradient(rows, kept, &mut out);
                [Tensor::from_buffer(out, x.shape()), vector::<T>(dweight)?, vector::<T>(dbias)?]
            })
        };
        let mut gradients = vec![Some(dx)];
        gradients.extend(self.has[0].then_some(Some(dweight)));
        gradients.extend(self.has[1].then_some(Some(dbias)));
        Ok(gradients)
    }
}

impl RowNorm {
    #[cfg(feature = "gpu")]
    fn backward_gpu(&self, pass: &Pass) -> Result<Vec<Option<Tensor>>> {
        let (x, statistics) = (&pass.saved[0], [&pass.saved[1], &pass.saved[2]]);
        let gradient = movement::contiguous(pass.grad())?;
        let weight = pass.saved.get(3).map(movement::contiguous).transpose()?;
        let to_x = match pass.needs(0) {
            true => Some(norm_gpu::gradient(x, &gradient, statistics, weight.as_ref(), self.centered)?),
            false => None,
        };
        let mut gradients = vec![to_x];
        if self.has.contains(&true) {
            let [to_weight, to_bias] = norm_gpu::parameter_gradients(x, &gradient, statistics)?;
            gradients.extend(self.has[0].then_some(Some(to_weight)));
            gradients.extend(self.has[1].then_some(Some(to_bias)));
        }
        Ok(gradients)
    }

    fn rows<'a, T: Float>(&self, x: &'a Tensor, [weight, bias]: [Option<&'a [T]>; 2]) -> Rows<'a, T> {
        Rows { x: x.slice::<T>(), inner: x.shape()[1], centered: self.centered, epsilon: self.epsilon, weight, bias }
    }
}

pub(crate) fn check_parameter(
    op: &str,
    name: &str,
    tensor: Option<&Tensor>,
    shape: &[usize],
    x: &Tensor,
) -> Result<()> {
    let Some(tensor) = tensor else { return Ok(()) };
    ensure!(
        tensor.shape() == shape,
        Shape,
        "{op}: {name} {:?} does not fit input {:?}: it must have shape {shape:?}",
        tensor.shape(),
        x.shape()
    );
    ensure!(
        tensor.dtype() == x.dtype() || (x.dtype().is_half() && tensor.dtype() == DType::F32),
        Dtype,
        "{op}: {name} is {}, the input {}; convert one with .to(…)",
        tensor.dtype().name(),
        x.dtype().name()
    );
    Ok(())
}

pub(crate) fn vector<T: Float>(values: impl IntoIterator<Item = f64>) -> Result<Tensor> {
    let values: Vec<T> = values.into_iter().map(T::from_f64).collect();
    Tensor::from_slice(&values, &[values.len()])
}

/// What a normalisation divides by.
pub(crate) enum Statistics {
    /// The input's own; without the mean if not centered.
    Own { centered: bool },
    /// Fixed mean and 1/σ.
    Given(Tensor, Tensor),
}

/// The gradient of x through a normalisation over some dimensions, and the normalised x, in operations: for gradients of
/// gradients.
pub(crate) fn differentiable(
    x: &Tensor,
    gradient: &Tensor,
    weight: Option<&Tensor>,
    statistics: Statistics,
    over: &[i64],
    epsilon: f64,
) -> Result<(Tensor, Tensor)> {
    let gradient = weight.map_or_else(|| Ok(gradient.clone()), |weight| mul(gradient, weight))?;
    let average = |t: &Tensor| mean(t, Some(over), true);
    let centered = match &statistics {
        Statistics::Own { centered: true } => sub(x, &average(x)?)?,
        Statistics::Own { centered: false } => x.clone(),
        Statistics::Given(mean, _) => sub(x, mean)?,
    };
    let inverse = match &statistics {
        Statistics::Given(_, inverse) => inverse.clone(),
        _ => rsqrt(&add_scalar(&average(&square(&centered)?)?, epsilon)?)?,
    };
    let normalized = mul(&centered, &inverse)?;
    let own = match &statistics {
        Statistics::Given(..) => gradient,
        Statistics::Own { centered } => {
            let shift = mul(&normalized, &average(&mul(&gradient, &normalized)?)?)?;
            let rest = sub(&gradient, &shift)?;
            if *centered { sub(&rest, &average(&gradient)?)? } else { rest }
        }
    };
    Ok((mul(&own, &inverse)?, normalized))
}

#[cfg_attr(feature = "node", napi_derive::napi)]
impl Tensor {
    /// The last dimensions (`normalizedShape`) of each sample to mean 0 and variance 1, times weight plus bias of that
    /// shape; eps defaults to 1e-5.
    #[cfg_attr(feature = "node", napi_derive::napi)]
    pub fn layer_norm(
        &self,
        normalized_shape: Vec<u32>,
        weight: Option<&Tensor>,
        bias: Option<&Tensor>,
        eps: Option<f64>,
    ) -> Result<Tensor> {
        let shape: Vec<usize> = normalized_shape.iter().map(|&s| s as usize).collect();
        layer_norm(self, &shape, weight, bias, eps.unwrap_or(1e-5))
    }

    /// x/√(mean of x² + eps) · weight over the last dimensions (`normalizedShape`); eps defaults to the type's own.
    #[cfg_attr(feature = "node", napi_derive::napi)]
    pub fn rms_norm(&self, normalized_shape: Vec<u32>, weight: Option<&Tensor>, eps: Option<f64>) -> Result<Tensor> {
        let shape: Vec<usize> = normalized_shape.iter().map(|&s| s as usize).collect();
        rms_norm(self, &shape, weight, eps)
    }

    /// Groups of channels of each sample of [B, C, …] to mean 0 and variance 1, times weight plus bias ([C]); eps defaults
    /// to 1e-5.
    #[cfg_attr(feature = "node", napi_derive::napi)]
    pub fn group_norm(
        &self,
        num_groups: u32,
        weight: Option<&Tensor>,
        bias: Option<&Tensor>,
        eps: Option<f64>,
    ) -> Result<Tensor> {
        group_norm(self, num_groups as usize, weight, bias, eps.unwrap_or(1e-5))
    }
}

#[cfg(test)]
pub fn cases() -> Vec<crate::ops::suite::Case> {
    use crate::ops::suite::*;
    vec![
        case("layerNorm", "last axis", [normal(&[2, 3, 7]), normal(&[7]), normal(&[7])], |t| {
            layer_norm(&t[0], &[7], t.get(1), t.get(2), 1e-3)
        })
        .equals(|a| reference(a, true, 1e-3, |i| i[0] * 100 + i[1], |i| i[2])),
        case("layerNorm", "plain", [normal(&[3, 7])], |t| layer_norm(&t[0], &[7], None, None, 1e-5))
            .equals(|a| reference(a, true, 1e-5, |i| i[0], |_| 0)),
        case("layerNorm", "only weight", [normal(&[3, 7]), normal(&[7])], |t| {
            layer_norm(&t[0], &[7], t.get(1), None, 1e-5)
        }),
        case("layerNorm", "two axes", [normal(&[3, 4, 5]), normal(&[4, 5]), normal(&[4, 5])], |t| {
            layer_norm(&t[0], &[4, 5], t.get(1), t.get(2), 1e-3)
        })
        .equals(|a| reference(a, true, 1e-3, |i| i[0], |i| i[1] * 5 + i[2])),
        case("layerNorm", "long rows", [normal(&[2, 70]), normal(&[70]), normal(&[70])], |t| {
            layer_norm(&t[0], &[70], t.get(1), t.get(2), 1e-3)
        }),
        case("layerNorm", "root mean square", [normal(&[2, 3, 7]), normal(&[7])], |t| {
            rms_norm(&t[0], &[7], t.get(1), Some(1e-3))
        })
        .equals(|a| reference(a, false, 1e-3, |i| i[0] * 100 + i[1], |i| i[2])),
        case("layerNorm", "groups", [normal(&[2, 6, 3, 5]), normal(&[6]), normal(&[6])], |t| {
            group_norm(&t[0], 3, t.get(1), t.get(2), 1e-3)
        })
        .equals(|a| reference(a, true, 1e-3, |i| i[0] * 100 + i[1] * 3 / a[0].shape[1], |i| i[1])),
        case("layerNorm", "groups, plain", [normal(&[3, 4])], |t| group_norm(&t[0], 2, None, None, 1e-3)),
    ]
}

/// Normalises the elements of the first input that share a group, then applies the parameters found at `place`.
#[cfg(test)]
pub(crate) fn reference(
    a: &[crate::ops::suite::Array],
    centered: bool,
    epsilon: f64,
    group: impl Fn(&[usize]) -> usize,
    place: impl Fn(&[usize]) -> usize,
) -> Vec<f64> {
    let (mut groups, mut places) = (Vec::new(), Vec::new());
    crate::ops::suite::each_index(&a[0].shape, |index| {
        groups.push(group(index));
        places.push(place(index));
    });
    let average = |g: usize, f: &dyn Fn(f64) -> f64| {
        let values: Vec<f64> = groups.iter().zip(&a[0].values).filter(|(h, _)| **h == g).map(|(_, v)| f(*v)).collect();
        values.iter().sum::<f64>() / values.len() as f64
    };
    let parameter = |i: usize, k: usize, otherwise: f64| a.get(i).map_or(otherwise, |p| p.values[places[k]]);
    (0..groups.len())
        .map(|k| {
            let mean = if centered { average(groups[k], &|v| v) } else { 0.0 };
            let variance = average(groups[k], &|v| (v - mean) * (v - mean));
            (a[0].values[k] - mean) / (variance + epsilon).sqrt() * parameter(1, k, 1.0) + parameter(2, k, 0.0)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_and_groups_that_do_not_fit_are_errors() {
        let x = Tensor::zeros(&[1, 3], DType::F32).unwrap();
        let weight = Tensor::zeros(&[4], DType::F32).unwrap();
        let error = layer_norm(&x, &[3], Some(&weight), None, 1e-5).unwrap_err();
        assert!(error.message().contains("[4]") && error.message().contains("[1, 3]"));
        assert_eq!(group_norm(&x, 2, None, None, 1e-5).unwrap_err().code(), "ERR_SHAPE");
        assert_eq!(group_norm(&x, 3, None, None, 1e-5).unwrap_err().code(), "ERR_SHAPE");
        assert_eq!(layer_norm(&x, &[4], None, None, 1e-5).unwrap_err().code(), "ERR_SHAPE");
    }
}
