//! Gradient descent: SGD, LARS, averaged SGD.

use super::gradients::squared_norm;
use super::*;

/// Options of [`sgd_step`].
#[cfg_attr(feature = "node", napi_derive::napi(object))]
#[derive(Debug, Clone, Copy)]
pub struct SgdStep {
    pub lr: f64,
    pub momentum: f64,
    pub dampening: f64,
    pub weight_decay: f64,
    pub nesterov: bool,
    pub maximize: bool,
}

/// g ← g + wd·p; b ← μ·b + (1 − dampening)·g (b = g at step 1); p ← p − lr·b, or g + μ·b with `nesterov`.
/// Without momentum `momenta` is empty.
pub fn sgd(parameters: &[&Tensor], momenta: &[&Tensor], steps: &[u32], o: &SgdStep) -> Result<()> {
    descend("sgdStep", parameters, momenta, steps, o, &Measured::default(), |_, _| {
        Ok((sign(o.maximize), o.weight_decay))
    })
}

/// Options of [`lars_step`].
#[cfg_attr(feature = "node", napi_derive::napi(object))]
#[derive(Debug, Clone, Copy)]
pub struct LarsStep {
    pub lr: f64,
    pub momentum: f64,
    pub dampening: f64,
    pub weight_decay: f64,
    pub nesterov: bool,
    /// Trust coefficient.
    pub eta: f64,
    pub eps: f64,
    /// Limits the trust ratio to lr.
    pub clip_lr: bool,
    /// Leaves tensors of one axis alone.
    #[cfg_attr(feature = "node", napi(js_name = "excludeBiasNNorm"))]
    pub exclude_bias_n_norm: bool,
}

/// LARS (You et al. 2017, arXiv:1708.03888): the gradient is scaled by η‖p‖ / (‖g‖ + wd‖p‖ + ε), then as [`sgd`].
pub fn lars(parameters: &[&Tensor], momenta: &[&Tensor], steps: &[u32], o: &LarsStep) -> Result<()> {
    let descent = SgdStep {
        lr: o.lr,
        momentum: o.momentum,
        dampening: o.dampening,
        weight_decay: o.weight_decay,
        nesterov: o.nesterov,
        maximize: false,
    };
    let untouched = |parameter: &Tensor| o.exclude_bias_n_norm && parameter.ndim() == 1;
    #[cfg(feature = "gpu")]
    let measured = measure(parameters, o, untouched)?;
    #[cfg(not(feature = "gpu"))]
    let measured = Measured::default();
    descend("larsStep", parameters, momenta, steps, &descent, &measured, |parameter, gradient| {
        if untouched(parameter) || !parameter.is_host() {
            return Ok((1.0, 0.0));
        }
        let (p, g) = (squared_norm(parameter)?.sqrt(), squared_norm(gradient)?.sqrt());
        if p == 0.0 || g == 0.0 {
            return Ok((1.0, 0.0));
        }
        let trust = o.eta * p / (g + o.weight_decay * p + o.eps);
        let trust = if o.clip_lr { (trust / o.lr).min(1.0) } else { trust };
        Ok((trust, trust * o.weight_decay))
    })
}

/// The trust ratios of all parameters on a GPU that are not left alone.
#[cfg(feature = "gpu")]
fn measure(parameters: &[&Tensor], o: &LarsStep, untouched: impl Fn(&Tensor) -> bool) -> Result<Measured> {
    let mut pairs = Vec::new();
    let mut rows = Vec::with_capacity(parameters.len());
    for parameter in parameters {
        let gradient = parameter.grad().filter(|gradient| !gradient.is_host());
        rows.push(match gradient {
            Some(gradient) if !parameter.is_host() && !untouched(parameter) => {
                pairs.push(((*parameter).clone(), gradient));
                Some(pairs.len() as u32 - 1)
            }
            _ => None,
        });
    }
    if pairs.is_empty() {
        return Ok(Measured::default());
    }
    crate::op::common_device("larsStep", &pairs.iter().flat_map(|(p, g)| [p, g]).collect::<Vec<_>>())?;
    let limit = o.clip_lr.then_some(o.lr);
    let values = crate::op::guard("larsStep", || update_gpu::trust(&pairs, o.eta, o.weight_decay, o.eps, limit))?;
    Ok(Measured { values: Some(values), rows })
}

rule!(Plain [0] { lr: f64, scale: f64, decay: f64 }, |r, p, g, [], c| {
    (p - c(r.lr) * (c(r.scale) * g + c(r.decay) * p), [])
});
rule!(FirstMomentum [1] { lr: f64, scale: f64, decay: f64, lead: f64 }, |r, p, g, [_], c| {
    let g = c(r.scale) * g + c(r.decay) * p;
    (p - c(r.lr) * c(r.lead) * g, [g])
});
rule!(Momentum [1] { lr: f64, scale: f64, decay: f64, momentum: f64, fresh: f64, nesterov: bool }, |r, p, g, [b], c| {
    let g = c(r.scale) * g + c(r.decay) * p;
    let b = c(r.momentum) * b + c(r.fresh) * g;
    let step = if r.nesterov { g + c(r.momentum) * b } else { b };
    (p - c(r.lr) * step, [b])
});

/// Gradient descent on scale·g + decay·p, where `coefficients` gives (scale, decay) of a parameter and its gradient.
fn descend(
    name: &'static str,
    parameters: &[&Tensor],
    momenta: &[&Tensor],
    steps: &[u32],
    o: &SgdStep,
    measured: &Measured,
    coefficients: impl Fn(&Tensor, &Tensor) -> Result<(f64, f64)>,
) -> Result<()> {
    if o.momentum == 0.0 {
        return update_measured(name, parameters, [], measured, |_, p, g| {
            let (scale, decay) = coefficients(p, g)?;
            Ok(Plain { lr: o.lr, scale, decay })
        });
    }
    check_count(name, "steps", steps.len(), parameters.len())?;
    // A parameter that was added later is at its first step while others are not.
    for first in [true, false] {
        let chosen: Vec<usize> = (0..steps.len()).filter(|&i| (steps[i] == 1) == first).collect();
        if chosen.is_empty() {
            continue;
        }
        check_count(name, "momentum buffers", momenta.len(), parameters.len())?;
        let some: Vec<&Tensor> = chosen.iter().map(|&i| parameters[i]).collect();
        let buffers: Vec<&Tensor> = chosen.iter().map(|&i| momenta[i]).collect();
        let rows = chosen.iter().map(|&i| measured.rows.get(i).copied().flatten()).collect();
        let measured = Measured { values: measured.values.clone(), rows };
        if first {
            let lead = if o.nesterov { 1.0 + o.momentum } else { 1.0 };
            update_measured(name, &some, [&buffers], &measured, |_, p, g| {
                let (scale, decay) = coefficients(p, g)?;
                Ok(FirstMomentum { lr: o.lr, scale, decay, lead })
            })?;
        } else {
            let (momentum, fresh, nesterov) = (o.momentum, 1.0 - o.dampening, o.nesterov);
            update_measured(name, &some, [&buffers], &measured, |_, p, g| {
                let (scale, decay) = coefficients(p, g)?;
                Ok(Momentum { lr: o.lr, scale, decay, momentum, fresh, nesterov })
            })?;
        }
    }
    Ok(())
}

rule!(Asgd [1] { decay: Decay, lambda: f64, eta: f64, mu: f64 }, |r, p, g, [mean], c| {
    let (_, g) = r.decay.apply(p, g);
    let p = c(1.0 - r.lambda * r.eta) * p - c(r.eta) * g;
    (p, [if r.mu == 1.0 { p } else { mean + c(r.mu) * (p - mean) }])
});

/// Averaged SGD (Polyak & Juditsky 1992) with the rates `etas` and averaging weights `mus`, a parameter each.
pub fn asgd(
    parameters: &[&Tensor],
    means: &[&Tensor],
    [etas, mus]: [&[f64]; 2],
    lambda: f64,
    weight_decay: f64,
    maximize: bool,
) -> Result<()> {
    check_count("asgdStep", "rates", etas.len(), parameters.len())?;
    check_count("asgdStep", "averaging weights", mus.len(), parameters.len())?;
    let decay = Decay::new(0.0, weight_decay, maximize, false);
    update("asgdStep", parameters, [means], |i, _, _| Ok(Asgd { decay, lambda, eta: etas[i], mu: mus[i] }))
}
