//! Updates by the sign alone: Lion, Rprop.

use super::*;

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

#[cfg(feature = "gpu")]
impl Constants for RpropStep {
    fn push_to(&self, out: &mut Vec<f64>) {
        out.extend([self.eta_minus, self.eta_plus, self.smallest_step, self.largest_step, sign(self.maximize)]);
    }
}
