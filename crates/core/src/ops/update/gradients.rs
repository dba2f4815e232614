//! All gradients together: their norm, clipping, scaling.

use super::*;

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
            let clipped = update_gpu::clipped(&gradients, &total, limit)?;
            with.iter().zip(clipped).try_for_each(|((p, _), gradient)| p.set_grad(Some(gradient)))
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
        #[cfg(feature = "gpu")]
        let mut there: (Vec<&Tensor>, Vec<Tensor>) = Default::default();
        for parameter in parameters {
            let Some(gradient) = parameter.grad() else { continue };
            #[cfg(feature = "gpu")]
            if !gradient.is_host() {
                there.0.push(parameter);
                there.1.push(gradient);
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
        #[cfg(feature = "gpu")]
        if !there.1.is_empty() {
            crate::op::common_device("changeGradients", &there.1.iter().collect::<Vec<_>>())?;
            let changed =
                crate::op::guard("changeGradients", || update_gpu::changed(&there.1, text[0], text[1], value))?;
            there.0.iter().zip(changed).try_for_each(|(parameter, gradient)| parameter.set_grad(Some(gradient)))?;
        }
        Ok(())
    })
}

/// Σx², summed in float64 over fixed pieces, so that it does not depend on threads.
pub(super) fn squared_norm(x: &Tensor) -> Result<f64> {
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
