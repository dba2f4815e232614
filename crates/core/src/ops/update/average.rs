//! Exponential moving averages of parameters.

use super::*;

/// target ← c·target + (1 − c)·source for every pair; integer targets are set to c·target + (1 − c)·source with c cut
/// to an integer first, as upstream does.
pub fn ema(targets: &[&Tensor], sources: &[&Tensor], coefficient: f64) -> Result<()> {
    timed("emaUpdate", targets, 3, || ema_all(targets, sources, coefficient))
}

fn ema_all(targets: &[&Tensor], sources: &[&Tensor], coefficient: f64) -> Result<()> {
    check_count("emaUpdate", "sources", sources.len(), targets.len())?;
    #[cfg(feature = "gpu")]
    let mut there = Vec::new();
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
            there.push((*target, source));
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
    #[cfg(feature = "gpu")]
    crate::op::guard("emaUpdate", || update_gpu::ema(&there, coefficient))?;
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
