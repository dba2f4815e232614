//! Random tensors made on a GPU: uniform numbers with the bits of the CPU's, normal ones equal to them within rounding.

use crate::dtype::DType;
use crate::error::Result;
use crate::gpu::Gpu;
use crate::ops::elementwise_gpu::MATH;
use crate::ops::kernel::{self, Kernel};
use crate::shape::{Dims, Layout};
use crate::tensor::Tensor;
use std::sync::Arc;

/// Philox and the numbers it becomes; needs [`MATH`].
pub const PHILOX: &str = include_str!("philox.wgsl");

/// Four words an invocation.
const UNIFORM: &str = "
fn each(block: u32) {
    if (4u * block >= p(2u) + p(0u)) { return; }
    let found = words(block);
    for (var lane = 0u; lane < 4u; lane += 1u) {
        let i = 4u * block + lane - p(2u);
        if (4u * block + lane >= p(2u) && i < p(0u)) { out[p(1u) + i] = uniform_from(found[lane]); }
    }
}
";

/// One number an invocation, of two words that may lie in two blocks.
const NORMAL: &str = "
fn each(i: u32) {
    if (i >= p(0u)) { return; }
    let at = p(2u) + 2u * i;
    let found = words(at / 4u);
    var second = found[(at + 1u) % 4u];
    if (at % 4u == 3u) { second = words(at / 4u + 1u).x; }
    out[p(1u) + i] = normal_from(found[at % 4u], second);
}
";

fn wgsl(normal: bool) -> String {
    let main = if normal { NORMAL } else { UNIFORM };
    [MATH, PHILOX, include_str!("random.wgsl"), main].concat()
}

/// Uniform (a word an element) or normal (two words) float32 numbers from word `position` of a sequence on.
pub fn fill(gpu: &Arc<Gpu>, shape: &[usize], normal: bool, state: (u64, u64, u64)) -> Result<Tensor> {
    let (seed, stream, position) = state;
    let out = kernel::output_of(gpu, shape, DType::F32)?;
    let words = if normal { 2 } else { 1 };
    // Windows of what may be bound; 2^28 numbers keep every place in 32 bits.
    let most = (gpu.limits().binding as usize / 1024 * 256).min(1 << 28);
    for start in (0..out.numel()).step_by(most.max(1)) {
        let count = (out.numel() - start).min(most);
        let from = position.wrapping_add((words * start) as u64);
        let skip = (from % 4) as usize;
        let mut launch = Kernel::new(gpu);
        let window = Layout { shape: Dims::from_slice(&[count]), strides: Dims::from_slice(&[1]), offset: start };
        let place = launch.bind(&out, &window, true)?;
        launch.set(&[count as u32, place, skip as u32]);
        for long in [seed, stream, from / 4] {
            launch.set(&[long as u32, (long >> 32) as u32]);
        }
        let invocations = if normal { count } else { (skip + count).div_ceil(4) };
        launch.run_each(if normal { "randn" } else { "rand" }, &|| wgsl(normal), invocations)?;
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Device;
    use crate::ops::kernel::validation;
    use crate::ops::random::{rand_on, randn_on};
    use crate::ops::transfer::to_device;
    use crate::random::Philox;

    #[test]
    fn kernels_are_valid_without_a_driver() {
        validation::check("rand", &wgsl(false));
        validation::check("randn", &wgsl(true));
    }

    #[test]
    fn the_numbers_are_those_of_the_cpu() {
        let Some(gpu) = crate::gpu::tests::device() else { return };
        let gpu = Device::Gpu(gpu);
        let numbers = |t: Tensor| to_device(&t, &Device::Cpu).unwrap().to_vec::<f32>().unwrap();
        // Positions that begin within a block and one whose block number has more than 32 bits; seeds of more than 32.
        for (seed, stream, position) in [(0, 0, 0), (7, 1 << 40, 3), (u64::MAX - 5, 9, (1 << 34) + 2), (3, 2, 1)] {
            for n in [0, 1, 5, 1027, 70_001] {
                let start = || {
                    let mut philox = Philox::new(seed, stream);
                    philox.set_position(position);
                    philox
                };
                let (mut host, mut other) = (start(), start());
                let found = numbers(rand_on(&gpu, &[n], DType::F32, &mut other).unwrap());
                assert!(found == numbers(rand_on(&Device::Cpu, &[n], DType::F32, &mut host).unwrap()), "{n}");
                assert_eq!(host.state(), other.state());
                let found = numbers(randn_on(&gpu, &[n], DType::F32, &mut other).unwrap());
                let normal = numbers(randn_on(&Device::Cpu, &[n], DType::F32, &mut host).unwrap());
                assert_eq!(host.state(), other.state());
                for (a, b) in found.iter().zip(&normal) {
                    assert!((a - b).abs() <= 4e-6, "{a} on the GPU, {b} on the CPU");
                }
            }
        }
    }
}
