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
