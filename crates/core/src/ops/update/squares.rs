//! Updates divided by sums or means of squared gradients: Adagrad, Adadelta, RMSprop.

use super::*;

/// Options of the steps that divide by sums of squares; those a rule does not name are ignored by it.
#[cfg_attr(feature = "node", napi_derive::napi(object))]
#[derive(Debug, Clone, Copy)]
pub struct SquaresStep {
    pub lr: f64,
    pub eps: f64,
    pub weight_decay: f64,
    pub maximize: bool,
    /// Share of the past in the running mean of squares (RMSprop's alpha, Adadelta's rho).
    pub decay: f64,
    /// Adagrad: the rate of step t is lr / (1 + (t − 1)·lr_decay).
    pub lr_decay: f64,
    /// RMSprop.
    pub momentum: f64,
}

rule!(Adagrad [1] { decay: Decay, eps: f64, size: f64 }, |r, p, g, [sum], c| {
    let (_, g) = r.decay.apply(p, g);
    let sum = sum + g * g;
    (p - c(r.size) * g / (sum.sqrt() + c(r.eps)), [sum])
});

/// Adagrad (Duchi et al. 2011).
pub fn adagrad(parameters: &[&Tensor], sums: &[&Tensor], steps: &[u32], o: &SquaresStep) -> Result<()> {
    check_count("adagradStep", "steps", steps.len(), parameters.len())?;
    let decay = Decay::new(0.0, o.weight_decay, o.maximize, false);
    update("adagradStep", parameters, [sums], |i, _, _| {
        Ok(Adagrad { decay, eps: o.eps, size: o.lr / (1.0 + (steps[i] as f64 - 1.0) * o.lr_decay) })
    })
}

rule!(Adadelta [2] { decay: Decay, rho: f64, eps: f64, lr: f64 }, |r, p, g, [squares, changes], c| {
    let (_, g) = r.decay.apply(p, g);
    let squares = c(r.rho) * squares + c(1.0 - r.rho) * g * g;
    let change = (changes + c(r.eps)).sqrt() / (squares + c(r.eps)).sqrt() * g;
    (p - c(r.lr) * change, [squares, c(r.rho) * changes + c(1.0 - r.rho) * change * change])
});

/// Adadelta (Zeiler 2012, arXiv:1212.5701).
pub fn adadelta(parameters: &[&Tensor], squares: &[&Tensor], changes: &[&Tensor], o: &SquaresStep) -> Result<()> {
    let decay = Decay::new(0.0, o.weight_decay, o.maximize, false);
    update("adadeltaStep", parameters, [squares, changes], |_, _, _| {
        Ok(Adadelta { decay, rho: o.decay, eps: o.eps, lr: o.lr })
    })
}

rule!(RmsProp [1] { decay: Decay, alpha: f64, eps: f64, lr: f64 }, |r, p, g, [v], c| {
    let (_, g) = r.decay.apply(p, g);
    let v = c(r.alpha) * v + c(1.0 - r.alpha) * g * g;
    (p - c(r.lr) * g / (v.sqrt() + c(r.eps)), [v])
});
rule!(RmsPropMomentum [2] { rms: RmsProp, momentum: f64 }, |r, p, g, [v, b], c| {
    let (_, g) = r.rms.decay.apply(p, g);
    let v = c(r.rms.alpha) * v + c(1.0 - r.rms.alpha) * g * g;
    let b = c(r.momentum) * b + g / (v.sqrt() + c(r.rms.eps));
    (p - c(r.rms.lr) * b, [v, b])
});
rule!(RmsPropCentered [2] { rms: RmsProp }, |r, p, g, [v, mean], c| {
    let (_, g) = r.rms.decay.apply(p, g);
    let v = c(r.rms.alpha) * v + c(1.0 - r.rms.alpha) * g * g;
    let mean = mean + c(1.0 - r.rms.alpha) * (g - mean);
    (p - c(r.rms.lr) * g / ((v - mean * mean).sqrt() + c(r.rms.eps)), [v, mean])
});
rule!(RmsPropFull [3] { rms: RmsProp, momentum: f64 }, |r, p, g, [v, b, mean], c| {
    let (_, g) = r.rms.decay.apply(p, g);
    let v = c(r.rms.alpha) * v + c(1.0 - r.rms.alpha) * g * g;
    let mean = mean + c(1.0 - r.rms.alpha) * (g - mean);
    let b = c(r.momentum) * b + g / ((v - mean * mean).sqrt() + c(r.rms.eps));
    (p - c(r.rms.lr) * b, [v, b, mean])
});

/// RMSprop (Hinton 2012), with momentum where `buffers` is not empty, centred (Graves 2013) where `means` is not.
pub fn rmsprop(
    parameters: &[&Tensor],
    squares: &[&Tensor],
    buffers: &[&Tensor],
    means: &[&Tensor],
    o: &SquaresStep,
) -> Result<()> {
    let decay = Decay::new(0.0, o.weight_decay, o.maximize, false);
    let rms = RmsProp { decay, alpha: o.decay, eps: o.eps, lr: o.lr };
    let (name, momentum) = ("rmspropStep", o.momentum);
    match (buffers.is_empty(), means.is_empty()) {
        (true, true) => update(name, parameters, [squares], |_, _, _| Ok(rms)),
        (false, true) => update(name, parameters, [squares, buffers], |_, _, _| Ok(RmsPropMomentum { rms, momentum })),
        (true, false) => update(name, parameters, [squares, means], |_, _, _| Ok(RmsPropCentered { rms })),
        (false, false) => {
            update(name, parameters, [squares, buffers, means], |_, _, _| Ok(RmsPropFull { rms, momentum }))
        }
    }
}

#[cfg(feature = "gpu")]
impl Constants for RmsProp {
    fn push_to(&self, out: &mut Vec<f64>) {
        out.extend(self.constants());
    }
}
