//! Adam and its family: AdamW, AMSGrad, Adamax, NAdam, RAdam.

use super::*;

/// Options of the steps of Adam's family.
#[cfg_attr(feature = "node", napi_derive::napi(object))]
#[derive(Debug, Clone, Copy)]
pub struct AdamStep {
    pub lr: f64,
    pub beta1: f64,
    pub beta2: f64,
    pub eps: f64,
    pub weight_decay: f64,
    pub maximize: bool,
    /// Weight decay shrinks the parameter by lr·wd instead of adding to the gradient.
    pub decoupled: bool,
}

rule!(Adam [2] { decay: Decay, beta1: f64, beta2: f64, eps: f64, size: f64, root: f64 }, |r, p, g, [m, v], c| {
    let (p, g) = r.decay.apply(p, g);
    let m = m + c(1.0 - r.beta1) * (g - m);
    let v = c(r.beta2) * v + c(1.0 - r.beta2) * g * g;
    (p - c(r.size) * m / (v.sqrt() * c(r.root) + c(r.eps)), [m, v])
});
rule!(AmsGrad [3] { adam: Adam }, |r, p, g, [m, v, largest], c| {
    let a = r.adam;
    let (p, g) = a.decay.apply(p, g);
    let m = m + c(1.0 - a.beta1) * (g - m);
    let v = c(a.beta2) * v + c(1.0 - a.beta2) * g * g;
    let largest = if v > largest { v } else { largest };
    (p - c(a.size) * m / (largest.sqrt() * c(a.root) + c(a.eps)), [m, v, largest])
});

#[cfg(feature = "gpu")]
impl Constants for Adam {
    fn push_to(&self, out: &mut Vec<f64>) {
        out.extend(self.constants());
    }
}

/// Adam (Kingma & Ba 2015, arXiv:1412.6980, Algorithm 1), AdamW when `decoupled`, AMSGrad when `largest` is not empty.
pub fn adam(
    parameters: &[&Tensor],
    means: &[&Tensor],
    squares: &[&Tensor],
    largest: &[&Tensor],
    steps: &[u32],
    o: &AdamStep,
) -> Result<()> {
    check_count("adamStep", "steps", steps.len(), parameters.len())?;
    let rule = |i: usize| {
        let [first, second] = [o.beta1, o.beta2].map(|beta| 1.0 - beta.powi(steps[i] as i32));
        Adam {
            decay: Decay::new(o.lr, o.weight_decay, o.maximize, o.decoupled),
            beta1: o.beta1,
            beta2: o.beta2,
            eps: o.eps,
            size: o.lr / first,
            root: 1.0 / second.sqrt(),
        }
    };
    if largest.is_empty() {
        update("adamStep", parameters, [means, squares], |i, _, _| Ok(rule(i)))
    } else {
        update("adamStep", parameters, [means, squares, largest], |i, _, _| Ok(AmsGrad { adam: rule(i) }))
    }
}

rule!(Adamax [2] { decay: Decay, beta1: f64, beta2: f64, eps: f64, size: f64 }, |r, p, g, [m, u], c| {
    let (p, g) = r.decay.apply(p, g);
    let m = m + c(1.0 - r.beta1) * (g - m);
    let (old, new) = (c(r.beta2) * u, g.abs() + c(r.eps));
    let u = if new > old { new } else { old };
    (p - c(r.size) * m / u, [m, u])
});

/// Adamax (Kingma & Ba 2015, §7.1).
pub fn adamax(
    parameters: &[&Tensor],
    means: &[&Tensor],
    largest: &[&Tensor],
    steps: &[u32],
    o: &AdamStep,
) -> Result<()> {
    check_count("adamaxStep", "steps", steps.len(), parameters.len())?;
    update("adamaxStep", parameters, [means, largest], |i, _, _| {
        let decay = Decay::new(o.lr, o.weight_decay, o.maximize, o.decoupled);
        let size = o.lr / (1.0 - o.beta1.powi(steps[i] as i32));
        Ok(Adamax { decay, beta1: o.beta1, beta2: o.beta2, eps: o.eps, size })
    })
}

rule!(NAdam [2] { decay: Decay, beta1: f64, beta2: f64, eps: f64, second: f64, now: f64, ahead: f64 },
    |r, p, g, [m, v], c| {
    let (p, g) = r.decay.apply(p, g);
    let m = m + c(1.0 - r.beta1) * (g - m);
    let v = c(r.beta2) * v + c(1.0 - r.beta2) * g * g;
    let denominator = (v / c(r.second)).sqrt() + c(r.eps);
    (p - c(r.now) * g / denominator - c(r.ahead) * m / denominator, [m, v])
});

/// NAdam (Dozat 2016). `momenta` holds μ of this step and of the next, and the product of all up to this one, a
/// parameter each.
pub fn nadam(
    parameters: &[&Tensor],
    means: &[&Tensor],
    squares: &[&Tensor],
    steps: &[u32],
    momenta: [&[f64]; 3],
    o: &AdamStep,
) -> Result<()> {
    for values in momenta {
        check_count("nadamStep", "momenta", values.len(), parameters.len())?;
    }
    check_count("nadamStep", "steps", steps.len(), parameters.len())?;
    update("nadamStep", parameters, [means, squares], |i, _, _| {
        let [current, next, product] = momenta.map(|values| values[i]);
        Ok(NAdam {
            decay: Decay::new(o.lr, o.weight_decay, o.maximize, o.decoupled),
            beta1: o.beta1,
            beta2: o.beta2,
            eps: o.eps,
            second: 1.0 - o.beta2.powi(steps[i] as i32),
            now: o.lr * (1.0 - current) / (1.0 - product),
            ahead: o.lr * next / (1.0 - product * next),
        })
    })
}

rule!(RAdam [2] { decay: Decay, beta1: f64, beta2: f64, eps: f64, size: f64, rectified: f64, adaptive: bool },
    |r, p, g, [m, v], c| {
    let (p, g) = r.decay.apply(p, g);
    let m = m + c(1.0 - r.beta1) * (g - m);
    let v = c(r.beta2) * v + c(1.0 - r.beta2) * g * g;
    let scale = if r.adaptive { c(r.rectified) / (v.sqrt() + c(r.eps)) } else { T::ONE };
    (p - c(r.size) * m * scale, [m, v])
});

/// RAdam (Liu et al. 2020, arXiv:1908.03265, Algorithm 2).
pub fn radam(
    parameters: &[&Tensor],
    means: &[&Tensor],
    squares: &[&Tensor],
    steps: &[u32],
    o: &AdamStep,
) -> Result<()> {
    check_count("radamStep", "steps", steps.len(), parameters.len())?;
    update("radamStep", parameters, [means, squares], |i, _, _| {
        let t = steps[i] as i32;
        let second = 1.0 - o.beta2.powi(t);
        let longest = 2.0 / (1.0 - o.beta2) - 1.0;
        let length = longest - 2.0 * t as f64 * o.beta2.powi(t) / second;
        let adaptive = length > 5.0;
        let rectification = (length - 4.0) * (length - 2.0) * longest / ((longest - 4.0) * (longest - 2.0) * length);
        Ok(RAdam {
            decay: Decay::new(o.lr, o.weight_decay, o.maximize, o.decoupled),
            beta1: o.beta1,
            beta2: o.beta2,
            eps: o.eps,
            size: o.lr / (1.0 - o.beta1.powi(t)),
            rectified: if adaptive { (rectification * second).sqrt() } else { 0.0 },
            adaptive,
        })
    })
}
