//! Random tensors: element i depends on (seed, stream, position + i) alone, never on threads.

use crate::cpu::threads::parallel_chunks;
use crate::dtype::DType;
use crate::error::Result;
use crate::random::{self, Philox};
use crate::storage::Buffer;
use crate::tensor::Tensor;
use crate::{bail, ensure};

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
    crate::ops::movement::to_dtype(&Tensor::from_buffer(out, shape), dtype)
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
}
