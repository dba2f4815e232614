//! Optimizer updates: each changes all parameters of a group and their state in one call. No gradients of its own.
//! A rule says what happens to one element; everything else (checks, threads, vectors) is shared below.

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
    impl Constants for Decay {
        fn push_to(&self, out: &mut Vec<f64>) {
            out.extend([self.sign, self.coupled, self.keep]);
        }
    }
    impl Constants for Adam {
        fn push_to(&self, out: &mut Vec<f64>) {
            out.extend(self.constants());
        }
    }
    impl Constants for RmsProp {
        fn push_to(&self, out: &mut Vec<f64>) {
            out.extend(self.constants());
        }
    }
    impl Constants for RpropStep {
        fn push_to(&self, out: &mut Vec<f64>) {
            out.extend([self.eta_minus, self.eta_plus, self.smallest_step, self.largest_step, sign(self.maximize)]);
        }
    }
}

/// (scale, decay) of a parameter that a kernel measured, by its number: on a GPU alone, where nothing is read back.
type Measured = Vec<Option<Tensor>>;

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
    descend("sgdStep", parameters, momenta, steps, o, &vec![None; parameters.len()], |_, _| {
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
    #[cfg_attr(not(feature = "gpu"), expect(unused_variables, reason = "nothing is measured on the CPU"))]
    let measure = |parameter: &&Tensor| -> Result<Option<Tensor>> {
        #[cfg(feature = "gpu")]
        if let Some(gradient) = parameter.grad()
            && !parameter.is_host()
            && !untouched(parameter)
        {
            let limit = o.clip_lr.then_some(o.lr);
            return Ok(Some(update_gpu::trust(parameter, &gradient, o.eta, o.weight_decay, o.eps, limit)?));
        }
        Ok(None)
    };
    let measured: Measured = parameters.iter().map(measure).collect::<Result<_>>()?;
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
        let measured: Measured = chosen.iter().map(|&i| measured[i].clone()).collect();
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

rule!(Lion [1] { decay: Decay, beta1: f64, beta2: f64, lr: f64 }, |r, p, g, [m], c| {
    let (p, g) = r.decay.apply(p, g);
    let direction = c(r.beta1) * m + c(1.0 - r.beta1) * g;
    (p - c(r.lr) * signum(direction), [c(r.beta2) * m + c(1.0 - r.beta2) * g])
});

/// Lion (Chen et al. 2023, arXiv:2302.06675, Algorithm 2); eps of the options is not used.
pub fn lion(parameters: &[&Tensor], means: &[&Tensor], o: &AdamStep) -> Result<()> {
    let decay = Decay::new(o.lr, o.weight_decay, o.maximize, true);
    update("lionStep", parameters, [means], |_, _, _| Ok(Lion { decay, beta1: o.beta1, beta2: o.beta2, lr: o.lr }))
}

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

/// Options of [`rprop`].
#[cfg_attr(feature = "node", napi_derive::napi(object))]
#[derive(Debug, Clone, Copy)]
pub struct RpropStep {
    pub eta_minus: f64,
    pub eta_plus: f64,
    pub smallest_step: f64,
    pub largest_step: f64,
    pub maximize: bool,
}

rule!(Rprop [2] { o: RpropStep }, |r, p, g, [previous, size], c| {
    let g = c(sign(r.o.maximize)) * g;
    let agreement = g * previous;
    let factor = if agreement > T::ZERO { c(r.o.eta_plus) } else if agreement < T::ZERO { c(r.o.eta_minus) } else { T::ONE };
    let size = size * factor;
    let size = if size < c(r.o.smallest_step) { c(r.o.smallest_step) } else { size };
    let size = if size > c(r.o.largest_step) { c(r.o.largest_step) } else { size };
    // After a change of sign the step is taken back: no move now, and no memory of this gradient.
    let g = if agreement < T::ZERO { T::ZERO } else { g };
    (p - signum(g) * size, [g, size])
});

/// Rprop (Riedmiller & Braun 1993).
pub fn rprop(parameters: &[&Tensor], previous: &[&Tensor], sizes: &[&Tensor], o: &RpropStep) -> Result<()> {
    update("rpropStep", parameters, [previous, sizes], |_, _, _| Ok(Rprop { o: *o }))
}

/// target ← c·target + (1 − c)·source for every pair; integer targets are set to c·target + (1 − c)·source with c cut
/// to an integer first, as upstream does.
pub fn ema(targets: &[&Tensor], sources: &[&Tensor], coefficient: f64) -> Result<()> {
    timed("emaUpdate", targets, 3, || ema_all(targets, sources, coefficient))
}

fn ema_all(targets: &[&Tensor], sources: &[&Tensor], coefficient: f64) -> Result<()> {
    check_count("emaUpdate", "sources", sources.len(), targets.len())?;
    for (target, source) in targets.iter().zip(sources) {
        ensure!(
            target.shape() == source.shape() && target.dtype() == source.dtype(),
            Shape,
            "emaUpdate: target {:?} {} and source {:?} {} differ",
            target.shape(),
            target.dtype().name(),
            source.shape(),
            source.dtype().name()
        );
        crate::op::common_device("emaUpdate", &[target, source])?;
        let source = like(source, target)?;
        #[cfg(feature = "gpu")]
        if !target.is_host() {
            crate::op::guard("emaUpdate", || update_gpu::ema(target, &source, coefficient))?;
            continue;
        }
        match target.dtype() {
            DType::F32 => ema_float::<f32>(target, &source, coefficient)?,
            DType::F64 => ema_float::<f64>(target, &source, coefficient)?,
            dtype => crate::dispatch_all!(dtype, T => target.update::<T, _>(|values| {
                let keep = coefficient as i64;
                for (value, &new) in values.iter_mut().zip(source.slice::<T>()) {
                    *value = T::from_i64(keep * value.to_i64() + (1.0 - coefficient) as i64 * new.to_i64());
                }
            })?),
        }
    }
    Ok(())
}

fn ema_float<T: Float>(target: &Tensor, source: &Tensor, coefficient: f64) -> Result<()> {
    let (keep, fresh) = (T::from_f64(coefficient), T::from_f64(1.0 - coefficient));
    let new = source.slice::<T>();
    target.update::<T, _>(|values| {
        crate::cpu::threads::parallel_chunks(values, CHUNK, |start, part| {
            for (value, &new) in part.iter_mut().zip(&new[start..]) {
                *value = keep * *value + fresh * new;
            }
        });
    })
}

/// Which of these have a gradient.
pub fn have_gradients(parameters: &[&Tensor]) -> Vec<bool> {
    parameters.iter().map(|p| p.inner.grad.borrow().is_some()).collect()
}

/// The 2-norm of all gradients together, in float64; parameters without one count 0.
pub fn gradient_norm(parameters: &[&Tensor]) -> Result<f64> {
    timed("gradientNorm", parameters, 1, || {
        let mut sum = 0.0;
        #[cfg(feature = "gpu")]
        {
            let there: Vec<Tensor> = parameters.iter().filter_map(|p| p.grad()).filter(|g| !g.is_host()).collect();
            if let Some(squares) = crate::op::guard("gradientNorm", || update_gpu::total_squares(&there))? {
                sum += squares.to_scalar()?;
            }
        }
        for parameter in parameters {
            if let Some(gradient) = parameter.grad().filter(|gradient| gradient.is_host()) {
                sum += squared_norm(&gradient)?;
            }
        }
        Ok(sum.sqrt())
    })
}

/// Multiplies all gradients by a number.
pub fn scale_gradients(parameters: &[&Tensor], factor: f64) -> Result<()> {
    change_gradients(parameters, ["scale", "g * value"], factor, |g| g * factor)
}

/// Limits every element of every gradient to ±`limit`.
pub fn clip_gradient_values(parameters: &[&Tensor], limit: f64) -> Result<()> {
    ensure!(limit >= 0.0, Argument, "clipGradValue: the limit is {limit}, not 0 or more");
    change_gradients(parameters, ["limit", "select(min(max(g, -value), value), g, is_nan(g))"], limit, |g| {
        g.clamp(-limit, limit)
    })
}

/// Scales all gradients so that their common 2-norm is at most `limit`; returns the norm before.
pub fn clip_gradient_norm(parameters: &[&Tensor], limit: f64) -> Result<f64> {
    ensure!(limit >= 0.0, Argument, "clipGradNorm: the limit is {limit}, not 0 or more");
    let norm = gradient_norm(parameters)?;
    // PyTorch's rule, ε included.
    let factor = limit / (norm + 1e-6);
    if factor < 1.0 {
        scale_gradients(parameters, factor)?;
    }
    Ok(norm)
}

/// As [`clip_gradient_norm`], without telling the norm: on a GPU nothing is read back.
pub fn limit_gradient_norm(parameters: &[&Tensor], limit: f64) -> Result<()> {
    #[cfg(feature = "gpu")]
    if parameters.iter().any(|p| !p.is_host()) {
        ensure!(limit >= 0.0, Argument, "clipGradNorm: the limit is {limit}, not 0 or more");
        let with: Vec<(&&Tensor, Tensor)> = parameters.iter().filter_map(|p| p.grad().map(|g| (p, g))).collect();
        let gradients: Vec<Tensor> = with.iter().map(|(_, g)| g.clone()).collect();
        crate::op::common_device("clipGradNorm", &gradients.iter().collect::<Vec<_>>())?;
        return crate::op::guard("clipGradNorm", || {
            let Some(total) = update_gpu::total_squares(&gradients)? else { return Ok(()) };
            with.iter().try_for_each(|(p, g)| p.set_grad(Some(update_gpu::clipped(&g.detach()?, &total, limit)?)))
        });
    }
    clip_gradient_norm(parameters, limit).map(|_| ())
}

/// `text`: a name and what happens to `g` by `value`, for a GPU.
fn change_gradients(
    parameters: &[&Tensor],
    text: [&str; 2],
    value: f64,
    change: impl Fn(f64) -> f64 + Sync,
) -> Result<()> {
    timed("changeGradients", parameters, 2, || {
        for parameter in parameters {
            let Some(gradient) = parameter.grad() else { continue };
            #[cfg(feature = "gpu")]
            if !gradient.is_host() {
                let changed =
                    crate::op::guard("gradient", || update_gpu::changed(&gradient.detach()?, text[0], text[1], value))?;
                parameter.set_grad(Some(changed))?;
                continue;
            }
            #[cfg(not(feature = "gpu"))]
            let _ = (text, value);
            // A gradient that is a view of something else must not be written through.
            let own = if gradient.layout().is_dense() { gradient } else { crate::ops::movement::copy(&gradient)? };
            dispatch_float!(own.dtype(), "gradient", T => own.update::<T, _>(|values| {
            crate::cpu::threads::parallel_chunks(values, CHUNK, |_, part| {
                part.iter_mut().for_each(|g| *g = T::from_f64(change(g.to_f64())));
            });
        })?);
            parameter.set_grad(Some(own))?;
        }
        Ok(())
    })
}

/// Lets the profile see an update of tensors, whose elements it reads or writes `passes` times.
fn timed<R>(name: &'static str, tensors: &[&Tensor], passes: usize, run: impl FnOnce() -> Result<R>) -> Result<R> {
    let shapes = |text: &mut String| text.push_str(&format!("{} tensors", tensors.len()));
    let traffic = |_: &Result<R>| tensors.iter().map(|t| (passes * t.numel() * t.dtype().size()) as u64).sum();
    profile::time(name, profile::Phase::Update, shapes, run, traffic)
}

/// Σx², summed in float64 over fixed pieces, so that it does not depend on threads.
fn squared_norm(x: &Tensor) -> Result<f64> {
    let x = if x.layout().is_dense() { x.clone() } else { x.contiguous()? };
    Ok(dispatch_float!(x.dtype(), "norm", T => {
        let values = x.slice::<T>();
        let mut pieces = vec![0.0f64; values.len().div_ceil(CHUNK)];
        crate::cpu::threads::parallel_chunks(&mut pieces, 1, |start, part| {
            for (i, sum) in part.iter_mut().enumerate() {
                let from = (start + i) * CHUNK;
                *sum = dispatch(SquareSum(&values[from..values.len().min(from + CHUNK)]));
            }
        });
        pieces.iter().sum()
    }))
}

struct SquareSum<'a, T>(&'a [T]);

impl<T: Float> Kernel for SquareSum<'_, T> {
    type Output = f64;
    #[inline(always)]
    fn run(self) -> f64 {
        // Eight sums, so that additions do not wait for each other.
        let mut sums = [0.0f64; 8];
        let blocks = self.0.chunks_exact(8);
        let rest: f64 = blocks.remainder().iter().map(|v| v.to_f64() * v.to_f64()).sum();
        for block in blocks {
            for (sum, value) in sums.iter_mut().zip(block) {
                *sum += value.to_f64() * value.to_f64();
            }
        }
        sums.iter().sum::<f64>() + rest
    }
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
    update_measured(name, parameters, states, &vec![None; parameters.len()], rule)
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
        return crate::op::guard(name, || {
            for (i, parameter) in parameters.iter().enumerate() {
                let own = states.map(|state| state[i]);
                let constants = rules[i].constants();
                let rule = update_gpu::Rule { name: R::NAME, constants, measured: measured[i].clone() };
                update_gpu::run(parameter, &gradients[i], &own, &rule)?;
            }
            Ok(())
        });
    }
    debug_assert!(measured.iter().all(|m| m.is_none()), "measured on a GPU alone");
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

#[cfg(test)]
mod tests {
    use super::*;

    fn parameter(values: &[f32], gradient: &[f32]) -> Tensor {
        let p = Tensor::from_slice(values, &[values.len()]).unwrap();
        p.set_grad(Some(Tensor::from_slice(gradient, &[gradient.len()]).unwrap())).unwrap();
        p
    }

    fn ramp(length: usize, scale: f32) -> Vec<f32> {
        (0..length).map(|i| scale * ((i % 17) as f32 - 7.5)).collect()
    }

    const SGD: SgdStep =
        SgdStep { lr: 0.1, momentum: 0.9, dampening: 0.25, weight_decay: 0.01, nesterov: true, maximize: false };

    #[test]
    fn sgd_follows_the_plain_loop_over_block_and_chunk_ends() {
        for length in [0, 1, 63, 64, 65, CHUNK, CHUNK + 3] {
            let (start, gradient) = (ramp(length, 0.5), ramp(length, -0.25));
            let p = parameter(&start, &gradient);
            let b = p.zeros_like().unwrap();
            let (mut expected, mut momentum) = (start.clone(), vec![0.0f32; length]);
            for step in 1..=3u32 {
                sgd(&[&p], &[&b], &[step], &SGD).unwrap();
                for i in 0..length {
                    let g = gradient[i] + 0.01 * expected[i];
                    momentum[i] = if step == 1 { g } else { 0.9 * momentum[i] + 0.75 * g };
                    expected[i] -= 0.1 * (g + 0.9 * momentum[i]);
                }
            }
            for (got, want) in p.slice::<f32>().iter().zip(&expected) {
                assert!((got - want).abs() <= 1e-5 * want.abs().max(1.0), "{got} {want}");
            }
        }
    }

    #[test]
    fn climbing_turns_the_gradient_and_not_the_weight_decay() {
        let p = parameter(&[1.0], &[1.0]);
        let options = SgdStep { momentum: 0.0, weight_decay: 0.5, nesterov: false, maximize: true, ..SGD };
        sgd(&[&p], &[], &[1], &options).unwrap();
        // 1 − 0.1 · (−1 + 0.5 · 1), as torch has it.
        assert!((p.slice::<f32>()[0] - 1.05).abs() < 1e-6);
    }

    #[test]
    fn the_number_of_threads_changes_no_bit() {
        let before = crate::cpu::threads::num_threads();
        let results: Vec<Vec<u32>> = [1, 2, 5]
            .map(|threads| {
                crate::cpu::threads::set_num_threads(threads);
                let p = parameter(&ramp(100_003, 0.3), &ramp(100_003, 0.7));
                let b = p.zeros_like().unwrap();
                let options = LarsStep {
                    lr: 0.1,
                    momentum: 0.9,
                    dampening: 0.0,
                    weight_decay: 1e-4,
                    nesterov: false,
                    eta: 0.02,
                    eps: 1e-8,
                    clip_lr: true,
                    exclude_bias_n_norm: false,
                };
                lars(&[&p], &[&b], &[1], &options).unwrap();
                lars(&[&p], &[&b], &[2], &options).unwrap();
                p.slice::<f32>().iter().map(|v| v.to_bits()).collect()
            })
            .into();
        crate::cpu::threads::set_num_threads(before);
        assert_eq!(results[0], results[1]);
        assert_eq!(results[0], results[2]);
    }

    #[test]
    fn what_cannot_be_updated_is_refused() {
        let p = parameter(&[1.0, 2.0], &[0.5, 0.5]);
        let bare = Tensor::from_slice(&[1.0f32], &[1]).unwrap();
        let narrow = Tensor::from_slice(&[0.0f32], &[1]).unwrap();
        let cases = [
            (sgd(&[&bare], &[&narrow], &[2], &SGD), "no gradient"),
            (sgd(&[&p], &[&narrow], &[2], &SGD), "state 0 is [1]"),
            (sgd(&[&p], &[&p], &[2], &SGD), "shares memory"),
            (sgd(&[&p], &[], &[2], &SGD), "0 momentum buffers for 1"),
            (sgd(&[&p], &[&p], &[], &SGD), "0 steps for 1"),
        ];
        for (result, part) in cases {
            let message = result.expect_err(part).to_string();
            assert!(message.contains(part), "{message}");
        }
        assert_eq!(p.slice::<f32>(), [1.0, 2.0]);
    }

    #[test]
    fn gradients_in_another_memory_order_are_brought_to_the_parameters() {
        let values: Vec<f32> = (0..24).map(|i| i as f32).collect();
        let p = Tensor::zeros(&[2, 3, 2, 2], DType::F32).unwrap();
        let g = Tensor::from_slice(&values, &[2, 3, 2, 2]).unwrap();
        p.set_grad(Some(g.channels_last().unwrap())).unwrap();
        let plain = SgdStep { momentum: 0.0, nesterov: false, weight_decay: 0.0, lr: 1.0, ..SGD };
        sgd(&[&p], &[], &[1], &plain).unwrap();
        let negative: Vec<f32> = values.iter().map(|v| -v).collect();
        assert_eq!(p.slice::<f32>(), negative);
    }

    #[test]
    fn clipping_scales_to_the_limit_and_leaves_small_gradients_alone() {
        let (a, b) = (parameter(&[0.0], &[3.0]), parameter(&[0.0], &[4.0]));
        assert_eq!(clip_gradient_norm(&[&a, &b], 10.0).unwrap(), 5.0);
        assert_eq!(a.grad().unwrap().slice::<f32>(), [3.0]);
        assert_eq!(clip_gradient_norm(&[&a, &b], 1.0).unwrap(), 5.0);
        assert!((gradient_norm(&[&a, &b]).unwrap() - 1.0).abs() < 1e-5);
        clip_gradient_values(&[&a, &b], 0.7).unwrap();
        assert_eq!(b.grad().unwrap().slice::<f32>(), [0.7]);
    }

    #[test]
    fn averages_of_integers_cut_the_coefficient() {
        let (target, source) = (Tensor::scalar(5i64).unwrap(), Tensor::scalar(9i64).unwrap());
        ema(&[&target], &[&source], 0.996).unwrap();
        assert_eq!(target.slice::<i64>(), [0]);
    }
}
