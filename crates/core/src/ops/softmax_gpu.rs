//! Softmax, its logarithm, logsumexp and the cross-entropy on a GPU: a workgroup a row, forward and back.

use crate::dtype::DType;
use crate::error::Result;
use crate::ops::elementwise_gpu::MATH;
use crate::ops::kernel::{self, Kernel, MAIN, gpu_of};
use crate::tensor::Tensor;

/// The pieces that the kernels of this file are put together from, and an entry point around `body`.
fn wgsl(size: u32, bindings: &str, body: &str) -> String {
    format!(
        "const SIZE = {size}u;
{MATH}
{}
{}
{bindings}
@compute @workgroup_size({size})
{MAIN} {{
let r = group.y * groups.x + group.x;
let inside = r < p(0u);
{body}
}}
",
        include_str!("rows.wgsl"),
        include_str!("softmax.wgsl")
    )
}

/// Invocations for a row of that length.
fn size_for(columns: usize) -> u32 {
    if columns <= 128 { 32 } else { 256 }
}

/// Rows and columns of a contiguous tensor whose last axis is a row.
fn extents(x: &Tensor) -> (usize, usize) {
    let columns = x.shape().last().copied().unwrap_or(1);
    (x.numel() / columns.max(1), columns)
}

fn run(name: &str, launch: Kernel, x: &Tensor, bindings: &str, body: &str) -> Result<()> {
    let (rows, columns) = extents(x);
    let size = size_for(columns);
    let workgroups = gpu_of(x)?.workgroups(rows, 1)?;
    launch.run(&format!("{name} {size}"), &|| wgsl(size, bindings, body), workgroups)
}

/// eˣ / Σ eˣ of each row, or its logarithm.
pub fn softmax(x: &Tensor, log: bool) -> Result<Tensor> {
    let gpu = gpu_of(x)?;
    let out = kernel::output_of(&gpu, x.shape(), DType::F32)?;
    if out.numel() == 0 {
        return Ok(out);
    }
    let (rows, columns) = extents(x);
    let mut launch = Kernel::new(&gpu);
    let places = [launch.read(x)?, launch.write(&out)?];
    launch.set_sizes(&[rows, columns]);
    launch.set(&places);
    let bindings = "@group(0) @binding(2) var<storage, read_write> out: array<f32>;";
    let value = if log {
        "x[row.start + c] - (m_log(row.total) + row.shift)"
    } else {
        "m_exp(x[row.start + c] - row.shift) / row.total"
    };
    let body = format!(
        "let row = row_of(r, local);
for (var c = local; inside && c < p(1u); c += SIZE) {{ out[p(3u) + r * p(1u) + c] = {value}; }}"
    );
    run(if log { "log_softmax" } else { "softmax" }, launch, x, bindings, &body)?;
    Ok(out)
}

/// From the result y and its gradient g: y·(g − Σ g·y), or g − e^y·Σ g for the logarithm.
pub fn softmax_gradient(y: &Tensor, g: &Tensor, log: bool) -> Result<Tensor> {
    let gpu = gpu_of(y)?;
    let out = kernel::output_of(&gpu, y.shape(), DType::F32)?;
    if out.numel() == 0 {
        return Ok(out);
    }
    let (rows, columns) = extents(y);
    let mut launch = Kernel::new(&gpu);
    let places = [launch.read(y)?, launch.read(g)?, launch.write(&out)?];
    launch.set_sizes(&[rows, columns]);
    launch.set(&places);
    let bindings = "@group(0) @binding(2) var<storage, read> g: array<f32>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;";
    let (term, value) = if log {
        ("g[at + c]", "g[at + c] - m_exp(x[start + c]) * total")
    } else {
        ("g[at + c] * x[start + c]", "x[start + c] * (g[at + c] - total)")
    };
    let body = format!(
        "let own = min(r, p(0u) - 1u) * p(1u);
let start = p(2u) + own;
let at = p(3u) + own;
var part = 0.0;
for (var c = local; c < p(1u); c += SIZE) {{ part += {term}; }}
let total = sum_of(local, part);
for (var c = local; inside && c < p(1u); c += SIZE) {{ out[p(4u) + own + c] = {value}; }}"
    );
    run(if log { "log_softmax gradient" } else { "softmax gradient" }, launch, y, bindings, &body)?;
    Ok(out)
}

/// Where the largest value is infinite, the row is not shifted: ∞ − ∞ is NaN.
const LOG_SUM: &str = "let row = row_of(r, local);
let infinite = (bitcast<u32>(row.shift) & 0x7fffffffu) == 0x7f800000u;
var plain = 0.0;
for (var c = local; infinite && c < p(1u); c += SIZE) { plain += m_exp(x[row.start + c]); }
let unshifted = sum_of(local, plain);
let log_sum = select(m_log(row.total) + row.shift, m_log(unshifted), infinite);
";

/// ln Σ eˣ of each row of a contiguous matrix: [rows].
pub fn logsumexp(x: &Tensor) -> Result<Tensor> {
    let gpu = gpu_of(x)?;
    let rows = x.shape()[0];
    if x.numel() == 0 {
        return Tensor::full_on(&x.device()?, &[rows], f64::NEG_INFINITY, DType::F32);
    }
    let out = kernel::output_of(&gpu, &[rows], DType::F32)?;
    let mut launch = Kernel::new(&gpu);
    let places = [launch.read(x)?, launch.write(&out)?];
    launch.set_sizes(&[rows, x.shape()[1]]);
    launch.set(&places);
    let bindings = "@group(0) @binding(2) var<storage, read_write> out: array<f32>;";
    let body = format!("{LOG_SUM}if (local == 0u && inside) {{ out[p(3u) + r] = log_sum; }}");
    run("logsumexp", launch, x, bindings, &body)?;
    Ok(out)
}

/// What a row is compared with; see `Goal` in `softmax`.
pub struct Goal<'a> {
    /// Class numbers [rows] or probabilities [rows, classes].
    pub target: &'a Tensor,
    pub weight: &'a Tensor,
    pub smoothing: f64,
    pub ignore_index: i64,
}

impl Goal<'_> {
    fn is_index(&self) -> bool {
        self.target.dtype() == DType::I64
    }

    /// Bindings 2 and 3 (the target, the weights) and `goal(r, c)`, q_c·w_c of a row.
    fn text(&self) -> &'static str {
        if self.is_index() {
            "@group(0) @binding(2) var<storage, read> classes: array<vec2<u32>>;
@group(0) @binding(3) var<storage, read> weights: array<f32>;
fn ignored(r: u32) -> bool { return all(classes[p(3u) + r] == vec2<u32>(p(5u), p(6u))); }
// A class that is none is not seen before the loss is read: it is NaN then.
fn valid(r: u32) -> bool { return ignored(r) || (classes[p(3u) + r].y == 0u && classes[p(3u) + r].x < p(1u)); }
fn goal(r: u32, c: u32) -> f32 {
    if (ignored(r)) { return 0.0; }
    return (select(0.0, pf(8u), classes[p(3u) + r].x == c) + pf(7u)) * weights[p(4u) + c];
}"
        } else {
            "@group(0) @binding(2) var<storage, read> chances: array<f32>;
@group(0) @binding(3) var<storage, read> weights: array<f32>;
fn valid(r: u32) -> bool { return true; }
fn goal(r: u32, c: u32) -> f32 {
    return (pf(8u) * chances[p(3u) + r * p(1u) + c] + pf(7u)) * weights[p(4u) + c];
}"
        }
    }

    /// Binds x, target and weights and sets parameters 0 to 8; further ones are the caller's.
    fn begin(&self, x: &Tensor) -> Result<Kernel> {
        let (rows, columns) = extents(x);
        let mut launch = Kernel::new(&gpu_of(x)?);
        let places = [launch.read(x)?, launch.read(self.target)?, launch.read(self.weight)?];
        launch.set_sizes(&[rows, columns]);
        launch.set(&places);
        launch.set(&[self.ignore_index as u32, (self.ignore_index >> 32) as u32]);
        launch.set_floats(&[(self.smoothing / columns as f64) as f32, (1.0 - self.smoothing) as f32]);
        Ok(launch)
    }
}

/// Losses [rows] and the logarithms of the rows' sums [rows].
pub fn cross_entropy(x: &Tensor, goal: &Goal) -> Result<(Tensor, Tensor)> {
    let gpu = gpu_of(x)?;
    let rows = x.shape()[0];
    if x.numel() == 0 {
        let device = x.device()?;
        let sums = Tensor::full_on(&device, &[rows], f64::NEG_INFINITY, DType::F32)?;
        return Ok((Tensor::full_on(&device, &[rows], 0.0, DType::F32)?, sums));
    }
    let (losses, sums) = (kernel::output_of(&gpu, &[rows], DType::F32)?, kernel::output_of(&gpu, &[rows], DType::F32)?);
    let mut launch = goal.begin(x)?;
    let places = [launch.write(&losses)?, launch.write(&sums)?];
    launch.set(&places);
    let bindings = format!(
        "{}
@group(0) @binding(4) var<storage, read_write> losses: array<f32>;
@group(0) @binding(5) var<storage, read_write> sums: array<f32>;",
        goal.text()
    );
    let body = format!(
        "{LOG_SUM}let own = min(r, p(0u) - 1u);
var part = 0.0;
for (var c = local; c < p(1u); c += SIZE) {{
    let q = goal(own, c);
    // 0 · ∞ would be NaN where a class is impossible and not asked for.
    if (!(q == 0.0)) {{ part += q * (log_sum - x[row.start + c]); }}
}}
let loss = sum_of(local, part);
if (local == 0u && inside) {{
    losses[p(9u) + r] = select(nan(), loss, valid(r));
    sums[p(10u) + r] = log_sum;
}}"
    );
    run(if goal.is_index() { "cross_entropy" } else { "cross_entropy of chances" }, launch, x, &bindings, &body)?;
    Ok((losses, sums))
}

/// g·(softmax(x)·Σ q − q), row by row.
pub fn cross_entropy_gradient(x: &Tensor, goal: &Goal, sums: &Tensor, grad: &Tensor) -> Result<Tensor> {
    let gpu = gpu_of(x)?;
    let out = kernel::output_of(&gpu, x.shape(), DType::F32)?;
    if out.numel() == 0 {
        return Ok(out);
    }
    let mut launch = goal.begin(x)?;
    let places = [launch.read(sums)?, launch.read(grad)?, launch.write(&out)?];
    launch.set(&places);
    let bindings = format!(
        "{}
@group(0) @binding(4) var<storage, read> sums: array<f32>;
@group(0) @binding(5) var<storage, read> grad: array<f32>;
@group(0) @binding(6) var<storage, read_write> out: array<f32>;",
        goal.text()
    );
    let body = "let own = min(r, p(0u) - 1u);
var part = 0.0;
for (var c = local; c < p(1u); c += SIZE) { part += goal(own, c); }
let total = sum_of(local, part);
let g = grad[p(10u) + own];
for (var c = local; inside && c < p(1u); c += SIZE) {
    let e = m_exp(x[p(2u) + own * p(1u) + c] - sums[p(9u) + own]);
    out[p(11u) + own * p(1u) + c] = e * (total * g) - goal(own, c) * g;
}";
    let name = if goal.is_index() { "cross_entropy gradient" } else { "cross_entropy of chances gradient" };
    run(name, launch, x, &bindings, body)?;
    Ok(out)
}

/// The weight of each row's class [rows], 0 where it is ignored: what a mean divides by.
pub fn row_weights(goal: &Goal, classes: usize) -> Result<Tensor> {
    let gpu = gpu_of(goal.target)?;
    let rows = goal.target.numel();
    let out = kernel::output_of(&gpu, &[rows], DType::F32)?;
    let mut launch = Kernel::new(&gpu);
    let places = [launch.read(goal.target)?, launch.read(goal.weight)?, launch.write(&out)?];
    launch.set_sizes(&[rows, classes]);
    launch.set(&places);
    launch.set(&[goal.ignore_index as u32, (goal.ignore_index >> 32) as u32]);
    let text = "@group(0) @binding(1) var<storage, read> classes: array<vec2<u32>>;
@group(0) @binding(2) var<storage, read> weights: array<f32>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;
fn each(i: u32) {
    if (i >= p(0u)) { return; }
    let chosen = classes[p(2u) + i];
    let counts = !all(chosen == vec2<u32>(p(5u), p(6u))) && chosen.y == 0u && chosen.x < p(1u);
    out[p(4u) + i] = select(0.0, weights[p(3u) + min(chosen.x, p(1u) - 1u)], counts);
}
";
    launch.run_each("row weights", &|| text.to_string(), rows)?;
    Ok(out)
}
