//! Random tensors: element i depends on (seed, stream, position + i) alone, never on threads.

use crate::cpu::threads::parallel_chunks;
use crate::device::Device;
use crate::dtype::DType;
use crate::error::Result;
use crate::op::through_cpu_one;
#[cfg(feature = "gpu")]
use crate::ops::random_gpu;
use crate::ops::{movement, transfer};
use crate::random::{self, Philox};
use crate::storage::Buffer;
use crate::tensor::Tensor;
use crate::{bail, ensure};

/// As [`rand`], on a device: the same bits everywhere.
pub fn rand_on(device: &Device, shape: &[usize], dtype: DType, generator: &mut Philox) -> Result<Tensor> {
    #[cfg(feature = "gpu")]
    if let (Device::Gpu(gpu), DType::F32) = (device, dtype) {
        return drawn(generator, shape, 1, |state| random_gpu::fill(gpu, shape, false, state));
    }
    transfer::to_device(&rand(shape, dtype, generator)?, device)
}

/// As [`randn`], on a device: equal within 4e-6, since the last bits of a logarithm differ between processors.
pub fn randn_on(device: &Device, shape: &[usize], dtype: DType, generator: &mut Philox) -> Result<Tensor> {
    #[cfg(feature = "gpu")]
    if let (Device::Gpu(gpu), DType::F32) = (device, dtype) {
        return drawn(generator, shape, 2, |state| random_gpu::fill(gpu, shape, true, state));
    }
    transfer::to_device(&randn(shape, dtype, generator)?, device)
}

/// Makes numbers of the generator's state and advances it by `words` each.
#[cfg(feature = "gpu")]
fn drawn(
    generator: &mut Philox,
    shape: &[usize],
    words: usize,
    make: impl FnOnce((u64, u64, u64)) -> Result<Tensor>,
) -> Result<Tensor> {
    let made = crate::op::guard("rand", || make(generator.state()))?;
    let count = (words * shape.iter().product::<usize>()) as u64;
    generator.set_position(generator.position().wrapping_add(count));
    Ok(made)
}

/// Uniform numbers in [0, 1); advances the generator.
pub fn rand(shape: &[usize], dtype: DType, generator: &mut Philox) -> Result<Tensor> {
    let n: usize = shape.iter().product();
    let (seed, stream, position) = generator.state();
    let words = match dtype {
        DType::F32 => 1,
        DType::F64 => 2,
        other => bail!(Dtype, "rand: makes float32 or float64, not {}", other.name()),
    };
    let tensor = if dtype == DType::F32 {
        let mut out = Buffer::<f32>::new(n)?;
        parallel_chunks(&mut out, 65536, |start, chunk| {
            random::fill_uniform(chunk, seed, stream, position.wrapping_add(start as u64));
        });
        Tensor::from_buffer(out, shape)
    } else {
        let mut out = Buffer::<f64>::new(n)?;
        random::fill_uniform_f64(&mut out, seed, stream, position);
        Tensor::from_buffer(out, shape)
    };
    generator.set_position(position.wrapping_add((n * words) as u64));
    Ok(tensor)
}

/// Normal numbers with mean 0 and variance 1; advances the generator.
pub fn randn(shape: &[usize], dtype: DType, generator: &mut Philox) -> Result<Tensor> {
    ensure!(dtype.is_float(), Dtype, "randn: makes float32 or float64, not {}", dtype.name());
    let n: usize = shape.iter().product();
    let (seed, stream, position) = generator.state();
    let mut out = Buffer::<f32>::new(n)?;
    parallel_chunks(&mut out, 32768, |start, chunk| {
        random::fill_normal(chunk, seed, stream, position.wrapping_add(2 * start as u64));
    });
    generator.set_position(position.wrapping_add(2 * n as u64));
    movement::to_dtype(&Tensor::from_buffer(out, shape), dtype)
}

/// Integers in [low, high); advances the generator.
pub fn randint(low: i64, high: i64, shape: &[usize], generator: &mut Philox) -> Result<Tensor> {
    ensure!(low < high, Argument, "randint: no integer lies in [{low}, {high})");
    let mut out = Buffer::<i64>::new(shape.iter().product())?;
    let span = high.abs_diff(low);
    out.iter_mut().for_each(|v| *v = low.wrapping_add(generator.below(span) as i64));
    Ok(Tensor::from_buffer(out, shape))
}

/// 0..n in a random order, int64 [n]; advances the generator.
pub fn randperm(n: usize, generator: &mut Philox) -> Result<Tensor> {
    let order: Vec<i64> = generator.permutation(n).into_iter().map(|i| i as i64).collect();
    Tensor::from_slice(&order, &[n])
}

/// Indices drawn with probabilities in proportion to the weights, of each line [.., n]: int64 [.., count]. Advances the
/// generator by two words a draw.
pub fn multinomial(weights: &Tensor, count: usize, replacement: bool, generator: &mut Philox) -> Result<Tensor> {
    let shape = weights.shape();
    ensure!(
        matches!(shape.len(), 1 | 2) && weights.dtype().is_float(),
        Shape,
        "multinomial: weights are floats [n] or [lines, n], not {shape:?} {}",
        weights.dtype().name()
    );
    if !weights.is_host() {
        return through_cpu_one("multinomial", &[&weights.detach()?], |inputs| {
            multinomial(inputs[0], count, replacement, generator)
        });
    }
    let n = shape[shape.len() - 1];
    let values = movement::to_dtype(&weights.detach()?, DType::F64)?.to_vec::<f64>()?;
    let mut out = Vec::new();
    for (line, weights) in values.chunks(n.max(1)).enumerate() {
        if let Some(wrong) = weights.iter().find(|w| !(w.is_finite() && **w >= 0.0)) {
            bail!(Argument, "multinomial: a weight {wrong} in line {line}; weights are finite and not below 0");
        }
        let possible = weights.iter().filter(|w| **w > 0.0).count();
        let needed = if replacement { count.min(1) } else { count };
        ensure!(
            possible >= needed,
            Argument,
            "multinomial: {count} draws from line {line}, which has {possible} weights above 0"
        );
        let mut left = weights.to_vec();
        let mut sums: Vec<f64> = running(&left);
        for _ in 0..count {
            let total = sums.last().copied().unwrap_or(0.0);
            let at = generator.uniform_f64() * total;
            // The first sum above it; rounding must not reach a weight 0 behind the last one.
            let chosen = sums.partition_point(|s| *s <= at).min(left.iter().rposition(|w| *w > 0.0).unwrap_or(0));
            out.push(chosen as i64);
            if !replacement {
                left[chosen] = 0.0;
                sums = running(&left);
            }
        }
    }
    Tensor::from_slice(&out, &[&shape[..shape.len() - 1], &[count]].concat())
}

fn running(weights: &[f64]) -> Vec<f64> {
    weights
        .iter()
        .scan(0.0, |sum, w| {
            *sum += w;
            Some(*sum)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(t: Tensor) -> Vec<f64> {
        crate::ops::movement::to_dtype(&t, DType::F64).unwrap().to_vec().unwrap()
    }

    #[test]
    fn two_draws_are_one_longer_draw() {
        type Draw = fn(usize, &mut Philox) -> Tensor;
        let draws: [Draw; 4] = [
            |n, g| rand(&[n], DType::F32, g).unwrap(),
            |n, g| rand(&[n], DType::F64, g).unwrap(),
            |n, g| randn(&[n], DType::F32, g).unwrap(),
            |n, g| randint(-3, 1 << 40, &[n], g).unwrap(),
        ];
        for draw in draws {
            let mut once = Philox::new(3, 1);
            let mut twice = once.clone();
            let whole = numbers(draw(100_003, &mut once));
            let mut parts = numbers(draw(70_001, &mut twice));
            parts.extend(numbers(draw(30_002, &mut twice)));
            assert_eq!(whole, parts);
            assert_eq!(once.state(), twice.state());
        }
    }

    #[test]
    fn values_lie_where_they_should() {
        let mut g = Philox::new(0, 0);
        assert!(numbers(rand(&[10_000], DType::F32, &mut g).unwrap()).iter().all(|v| (0.0..1.0).contains(v)));
        let mut seen = numbers(randint(2, 5, &[1000], &mut g).unwrap());
        seen.sort_by(f64::total_cmp);
        seen.dedup();
        assert_eq!(seen, [2.0, 3.0, 4.0]);
        let mut order = numbers(randperm(1000, &mut g).unwrap());
        order.sort_by(f64::total_cmp);
        assert!(order.iter().enumerate().all(|(i, v)| *v == i as f64));
        assert_eq!(randperm(0, &mut g).unwrap().shape(), [0]);
        assert_eq!(randint(5, 5, &[1], &mut g).unwrap_err().code(), "ERR_ARGUMENT");
        assert_eq!(rand(&[1], DType::I64, &mut g).unwrap_err().code(), "ERR_DTYPE");
    }

    #[test]
    fn indices_by_weight() {
        let weights = Tensor::from_slice(&[0.0, 1.0, 3.0, 0.0, 4.0, 2.0, 2.0, 0.0], &[2, 4]).unwrap();
        let mut g = Philox::new(4, 0);
        let drawn = multinomial(&weights, 20_000, true, &mut g).unwrap();
        assert_eq!(drawn.shape(), [2, 20_000]);
        let shares = [[0.0, 0.25, 0.75, 0.0], [0.5, 0.25, 0.25, 0.0]];
        for (line, shares) in drawn.to_vec::<i64>().unwrap().chunks(20_000).zip(shares) {
            for (k, share) in shares.iter().enumerate() {
                let found = line.iter().filter(|i| **i == k as i64).count() as f64 / 20_000.0;
                // Five standard deviations.
                assert!((found - share).abs() <= 5.0 * (share * (1.0 - share) / 20_000.0f64).sqrt(), "{k}: {found}");
            }
        }
        let mut once = multinomial(&weights, 2, false, &mut g).unwrap().to_vec::<i64>().unwrap();
        once[..2].sort();
        assert_eq!(once[..2], [1, 2]);
        assert_ne!(once[2], once[3]);
    }

    #[test]
    fn weights_that_are_none_are_refused() {
        let mut g = Philox::new(4, 0);
        let mut code = |weights: &[f64], count, replacement| {
            let weights = Tensor::from_slice(weights, &[weights.len()]).unwrap();
            multinomial(&weights, count, replacement, &mut g).err().map(|e| e.code())
        };
        assert_eq!(code(&[1.0, -1.0], 1, true), Some("ERR_ARGUMENT"));
        assert_eq!(code(&[1.0, f64::NAN], 1, true), Some("ERR_ARGUMENT"));
        assert_eq!(code(&[0.0, 0.0], 1, true), Some("ERR_ARGUMENT"));
        assert_eq!(code(&[1.0, 0.0], 2, false), Some("ERR_ARGUMENT"));
        assert_eq!(code(&[1.0, 0.0], 0, false), None);
    }
}
