//! Products of matrices on the GPU: one tiled kernel for any strides and batches, cut along the inner dimension where
//! there are too few tiles to fill the device.

use crate::error::Result;
use crate::gpu::Gpu;
use crate::ops::kernel::{self, Kernel, gpu_of};
use crate::ops::{movement, reduce_gpu};
use crate::shape::{Dims, Layout};
use crate::tensor::Tensor;
use std::sync::Arc;

/// Workgroups that are worth starting.
const ENOUGH: usize = 128;
/// Length of a part of the inner dimension, at least.
const PART: usize = 256;

/// [..., m, k] · [..., k, n] with equal leading dimensions, any strides; with `bias`, [n] is added to each row.
pub fn matmul(a: &Tensor, b: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let lead = a.ndim() - 2;
    let [m, k, n] = [a.shape()[lead], a.shape()[lead + 1], b.shape()[lead + 1]];
    let mut shape = Dims::from_slice(a.shape());
    shape[lead + 1] = n;
    let gpu = gpu_of(a)?;
    let mut batch = [a.layout(), b.layout()].map(|layout| Layout {
        shape: Dims::from_slice(&layout.shape[..lead]),
        strides: Dims::from_slice(&layout.strides[..lead]),
        offset: 0,
    });
    Layout::collapse(&mut batch);
    let count = batch[0].numel();
    if count * m * n == 0 {
        return kernel::output_of(&gpu, &shape, a.dtype());
    }
    let tile = if m.min(n) <= 32 || count * m.div_ceil(64) * n.div_ceil(64) < ENOUGH / 2 { 32 } else { 64 };
    let tiles = count * m.div_ceil(tile) * n.div_ceil(tile);
    // A bias would be added to every part.
    let parts = if bias.is_some() { 1 } else { (ENOUGH / tiles.max(1)).min(k / PART).max(1) };
    let part = k.div_ceil(parts).next_multiple_of(16).max(16);
    let parts = k.div_ceil(part).max(1);
    let out = if parts == 1 {
        kernel::output_of(&gpu, &shape, a.dtype())?
    } else {
        kernel::output_of(&gpu, &[parts, count * m * n], a.dtype())?
    };
    // The third dimension of a launch holds the batch and the parts.
    let most = gpu.limits().workgroups as usize / parts;
    for first in (0..count).step_by(most.max(1)) {
        let some = (count - first).min(most);
        launch(&gpu, a, b, bias, &out, [m, k, n], &batch, [first, some, count], tile, [parts, part])?;
    }
    if parts == 1 {
        return Ok(out);
    }
    reduce_gpu::fold(&reduce_gpu::SUM, &out, &[0])?.alias(Layout::contiguous(&shape))
}

fn launch(
    gpu: &Arc<Gpu>,
    a: &Tensor,
    b: &Tensor,
    bias: Option<&Tensor>,
    out: &Tensor,
    [m, k, n]: [usize; 3],
    batch: &[Layout; 2],
    [first, some, count]: [usize; 3],
    tile: usize,
    [parts, part]: [usize; 2],
) -> Result<()> {
    let bias = bias.map(|bias| movement::contiguous(&bias.detach()?)).transpose()?;
    let mut launch = Kernel::new(gpu);
    let at_a = launch.read(a)? as usize;
    let at_b = launch.read(b)? as usize;
    let to = launch.write(out)? as usize;
    let at_bias = bias.as_ref().map_or(Ok(0), |bias| launch.read(bias))? as usize;
    let strides = |t: &Tensor| *t.strides().last_chunk::<2>().expect("two dimensions");
    let ([a_row, a_column], [b_row, b_column]) = (strides(a), strides(b));
    launch.set_sizes(&[m, n, k, at_a, a_row, a_column, at_b, b_row, b_column, to, at_bias, first, parts, part]);
    launch.set_sizes(&[batch[0].ndim()]);
    for axis in 0..batch[0].ndim() {
        launch.set_sizes(&[batch[0].shape[axis], batch[0].strides[axis], batch[1].strides[axis]]);
    }
    launch.set_sizes(&[count]);
    let (a_inner, b_inner, with_bias) = (a_column == 1, b_row == 1 && b_column != 1, bias.is_some());
    let key = format!("matmul {tile} {a_inner} {b_inner} {with_bias}");
    let text = || {
        let bias = match with_bias {
            true => {
                "@group(0) @binding(4) var<storage, read> bias: array<f32>;
fn bias_of(n: u32) -> f32 { return bias[p(10u) + n]; }"
            }
            false => "fn bias_of(n: u32) -> f32 { return 0.0; }",
        };
        let each = tile / 16;
        format!(
            "const TILE = {tile}u;\nconst EACH = {each}u;\nconst A_ALONG_INNER = {a_inner};\nconst B_ALONG_INNER = {b_inner};\n{bias}\n{}",
            include_str!("matmul.wgsl")
        )
    };
    let workgroups = [n.div_ceil(tile), m.div_ceil(tile), some * parts].map(|n| n as u32);
    launch.run(&key, &text, workgroups)
}
