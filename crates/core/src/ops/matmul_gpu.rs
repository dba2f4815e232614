//! Products of matrices on a GPU, for any strides and batches.

use crate::dtype::DType;
use crate::error::Result;
use crate::ops::kernel::{self, Kernel, gpu_of};
use crate::ops::product_gpu::{Factor, Kind, Plan, Product, Target};
use crate::ops::{movement, reduce_gpu};
use crate::shape::{Dims, Layout};
use crate::tensor::Tensor;

/// [..., m, k] · [..., k, n] with equal leading dimensions, any strides; with `bias`, [n] is added to each row. float32, or
/// float16 from at least one factor that is.
pub fn matmul(a: &Tensor, b: &Tensor, bias: Option<&Tensor>, dtype: DType) -> Result<Tensor> {
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
        return kernel::output_of(&gpu, &shape, dtype);
    }
    // A bias would be added to every part.
    let plan = Plan::new(gpu.lanes(), [m, n, k], count, bias.is_none());
    let whole = [&[plan.parts][..], &shape].concat();
    // Parts are added up, and columns that do not come four by four written, in float32.
    let half = dtype == DType::F16 && plan.parts == 1 && n % 4 == 0;
    let target = Target { quads: n % 4 == 0, half };
    let written = if half { DType::F16 } else { DType::F32 };
    let out = kernel::output_of(&gpu, if plan.parts == 1 { &shape } else { &whole }, written)?;
    let wide = |bias: &Tensor| movement::to_dtype(&movement::contiguous(&bias.detach()?)?, DType::F32);
    let bias = bias.map(wide).transpose()?;
    let strides = |t: &Tensor| *t.strides().last_chunk::<2>().expect("two dimensions");
    let ([a_row, a_column], [b_row, b_column]) = (strides(a), strides(b));
    let [kind_a, kind_b] = Kind::of([a.dtype(), b.dtype()]);
    let mut factors = [
        factor(a_column, a_row, [k, m], &batch[0].strides, true, kind_a),
        factor(b_row, b_column, [k, n], &batch[1].strides, false, kind_b),
    ];
    for first in (0..count).step_by(plan.most_batches(&gpu)) {
        let some = (count - first).min(plan.most_batches(&gpu));
        let mut launch = Kernel::new(&gpu);
        let places = [launch.read(a)?, launch.read(b)?, launch.write(&out)?].map(|place| place as usize);
        let at_bias = bias.as_ref().map_or(Ok(0), |bias| launch.read(bias))? as usize;
        let [at_a, at_b, to] = places;
        factors[0].quads &= at_a % 4 == 0;
        factors[1].quads &= at_b % 4 == 0;
        launch.set_sizes(&[m, n, k, at_a, a_row, a_column, at_b, b_row, b_column, to, at_bias, first]);
        launch.set_sizes(&[plan.parts, plan.part, count, batch[0].ndim()]);
        for axis in 0..batch[0].ndim() {
            launch.set_sizes(&[batch[0].shape[axis], batch[0].strides[axis], batch[1].strides[axis]]);
        }
        let bias = match bias.is_some() {
            true => {
                "@group(0) @binding(4) var<storage, read> bias: array<f32>;
fn bias_of(n: u32) -> f32 { return bias[p(10u) + n]; }\n"
            }
            false => "fn bias_of(n: u32) -> f32 { return 0.0; }\n",
        };
        let text = || format!("{bias}{}", include_str!("matmul.wgsl"));
        let key = format!("{}", bias.len() > 60);
        Product { name: "matmul", key: &key, factors, target, own: &text }.run(launch, &gpu, &plan, some)?;
    }
    let out = match plan.parts {
        1 => out,
        _ => reduce_gpu::fold(&reduce_gpu::SUM, &out, &[0])?.alias(Layout::contiguous(&shape))?,
    };
    movement::to_dtype(&out, dtype)
}

/// How a factor with these strides along the inner and the other dimension lies; if both are equal, `prefers_inner` says so.
fn factor(
    inner: usize,
    other: usize,
    [k, n]: [usize; 2],
    batches: &[usize],
    prefers_inner: bool,
    kind: Kind,
) -> Factor {
    let is_inner = inner < other || (inner == other && prefers_inner);
    let (step, far, length) = if is_inner { (inner, other, k) } else { (other, inner, n) };
    let whole = far % 4 == 0 && length % 4 == 0 && batches.iter().all(|stride| stride % 4 == 0);
    Factor { inner: is_inner, quads: step == 1 && whole, kind }
}
