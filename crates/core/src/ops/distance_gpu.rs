//! Distances between all pairs of two sets of vectors on a GPU: a square of pairs a workgroup, both sets by way of its memory.

use crate::dtype::DType;
use crate::error::Result;
use crate::ops::elementwise_gpu::MATH;
use crate::ops::kernel::{self, Kernel, MAIN, gpu_of};
use crate::shape::Layout;
use crate::tensor::Tensor;

/// Which p-norm: those with a loop of their own, or any.
fn kind(p: f64) -> &'static str {
    if p == 2.0 {
        "2"
    } else if p == 1.0 {
        "1"
    } else if p == 0.0 {
        "0"
    } else if p == f64::INFINITY {
        "infinite"
    } else {
        "any"
    }
}

/// Appends size and strides of the batch dimensions of these tensors, collapsed; returns how many there are.
fn set_batches(launch: &mut Kernel, tensors: &[&Tensor]) -> Result<usize> {
    let lead = tensors[0].ndim() - 2;
    let outer: Vec<usize> = (0..lead).collect();
    let mut layouts: Vec<Layout> = tensors.iter().map(|t| t.layout().permute(&outer)).collect();
    Layout::collapse(&mut layouts);
    let axes = layouts[0].ndim();
    crate::ensure!(axes <= 6, Unsupported, "{}: {axes} batch dimensions; GPUs take 6", crate::op::running());
    launch.set_sizes(&layouts[0].shape);
    layouts.iter().for_each(|layout| launch.set_sizes(&layout.strides));
    Ok(axes)
}

/// `start_k += …` for each tensor, from the number of a batch; sizes and strides begin at parameter `first`.
fn batch_starts(axes: usize, tensors: usize, first: usize) -> String {
    let mut text = String::new();
    for d in (0..axes).rev() {
        for k in 0..tensors {
            let stride = first + (1 + k) * axes + d;
            text += &format!("start{k} += (rest % p({}u)) * p({stride}u);\n", first + d);
        }
        text += &format!("rest = rest / p({}u);\n", first + d);
    }
    text
}

/// [.., n, m] for vectors [.., n, d] and [.., m, d] with the same leading dimensions, however they lie in memory.
pub fn forward(a: &Tensor, b: &Tensor, shape: &[usize], p: f64) -> Result<Tensor> {
    let gpu = gpu_of(a)?;
    let out = kernel::output_of(&gpu, shape, DType::F32)?;
    if out.numel() == 0 {
        return Ok(out);
    }
    let [n, m] = *shape.last_chunk().expect("two dimensions");
    let batches = out.numel() / (n * m);
    let last = |t: &Tensor| *t.strides().last_chunk::<2>().expect("two dimensions");
    let ([a_row, a_column], [b_row, b_column]) = (last(a), last(b));
    let mut launch = Kernel::new(&gpu);
    let at = [launch.read(a)?, launch.read(b)?, launch.write(&out)?];
    launch.set_sizes(&[batches, n, m, a.shape()[a.ndim() - 1], a_row, a_column, b_row, b_column]);
    launch.set(&at);
    launch.set_floats(&[p as f32, (1.0 / p) as f32]);
    let axes = set_batches(&mut launch, &[a, b])?;
    let kind = kind(p);
    let text = || {
        let (term, join, done) = match kind {
            "2" => ("d * d", "sum + t", "sqrt(sum)"),
            "1" => ("m_abs(d)", "sum + t", "sum"),
            "0" => ("select(select(1.0, 0.0, d == 0.0), d, is_nan(d))", "sum + t", "sum"),
            "infinite" => ("m_abs(d)", "m_max(sum, t)", "sum"),
            _ => ("m_pow(m_abs(d), pf(11u))", "sum + t", "m_pow(sum, pf(12u))"),
        };
        format!(
            "{MATH}
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;
var<workgroup> left: array<f32, 272>;
var<workgroup> right: array<f32, 272>;
@compute @workgroup_size(256)
{MAIN} {{
let columns = (p(2u) + 15u) / 16u;
let tiles = columns * ((p(1u) + 15u) / 16u);
let number = group.y * groups.x + group.x;
let inside = number < tiles * p(0u);
let batch = min(number / tiles, p(0u) - 1u);
let first_row = (number % tiles) / columns * 16u;
let first_column = (number % tiles) % columns * 16u;
var rest = batch;
var start0 = p(8u);
var start1 = p(9u);
{}
let y = local / 16u;
let x = local % 16u;
// Beyond the ends the last vectors are read once more, and nothing is written.
let row = start0 + min(first_row + y, p(1u) - 1u) * p(4u);
let column = start1 + min(first_column + y, p(2u) - 1u) * p(6u);
var sum = 0.0;
for (var depth = 0u; depth < p(3u); depth += 16u) {{
    if (depth + x < p(3u)) {{
        left[y * 17u + x] = a[row + (depth + x) * p(5u)];
        right[y * 17u + x] = b[column + (depth + x) * p(7u)];
    }}
    workgroupBarrier();
    let count = min(p(3u) - depth, 16u);
    for (var k = 0u; k < count; k += 1u) {{
        let d = left[y * 17u + k] - right[x * 17u + k];
        let t = {term};
        sum = {join};
    }}
    workgroupBarrier();
}}
if (inside && first_row + y < p(1u) && first_column + x < p(2u)) {{
    out[p(10u) + (batch * p(1u) + first_row + y) * p(2u) + first_column + x] = {done};
}}
}}
",
            batch_starts(axes, 2, 13)
        )
    };
    let tiles = n.div_ceil(16) * m.div_ceil(16);
    launch.run(&format!("distances {kind} {axes}"), &text, gpu.workgroups(batches * tiles, 1)?)?;
    Ok(out)
}

/// The gradient of the first vectors: Σⱼ gᵢⱼ·sign(δ)·|δ|^(p−1)·distᵢⱼ^(1−p), δ = aᵢ − bⱼ; nothing from a distance 0.
pub fn gradient(a: &Tensor, b: &Tensor, distances: &Tensor, gradient: &Tensor, p: f64) -> Result<Tensor> {
    let gpu = gpu_of(a)?;
    let out = kernel::output_of(&gpu, a.shape(), DType::F32)?;
    if out.numel() == 0 {
        return Ok(out);
    }
    let mut launch = Kernel::new(&gpu);
    let tensors = [a, b, distances, gradient];
    let mut at = Vec::new();
    for tensor in tensors {
        at.push(launch.read(tensor)?);
    }
    at.push(launch.write(&out)?);
    let last = |t: &Tensor| *t.shape().last_chunk::<2>().expect("two dimensions");
    let ([n, d], [m, _]) = (last(a), last(b));
    launch.set_sizes(&[out.numel(), n, m, d]);
    launch.set(&at);
    for tensor in tensors {
        launch.set_sizes(tensor.strides().last_chunk::<2>().expect("two dimensions"));
    }
    launch.set_floats(&[(p - 1.0) as f32]);
    let axes = set_batches(&mut launch, &tensors)?;
    let kind = kind(p);
    let text = || {
        let term = match kind {
            "2" => "g / distance * d",
            "1" => "g * m_sign(d)",
            "0" => "0.0",
            "infinite" => "select(0.0, g * m_sign(d), m_abs(d) == distance)",
            _ => "select(g / m_pow(distance, pf(17u)) * m_sign(d) * m_pow(m_abs(d), pf(17u)), 0.0, d == 0.0)",
        };
        format!(
            "{MATH}
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read> distances: array<f32>;
@group(0) @binding(4) var<storage, read> slopes: array<f32>;
@group(0) @binding(5) var<storage, read_write> out: array<f32>;
fn each(i: u32) {{
if (i >= p(0u)) {{ return; }}
let k = i % p(3u);
let row = i / p(3u) % p(1u);
var rest = i / p(3u) / p(1u);
var start0 = p(4u);
var start1 = p(5u);
var start2 = p(6u);
var start3 = p(7u);
{}
let own = a[start0 + row * p(9u) + k * p(10u)];
var sum = 0.0;
for (var j = 0u; j < p(2u); j += 1u) {{
    let distance = distances[start2 + row * p(13u) + j * p(14u)];
    let g = slopes[start3 + row * p(15u) + j * p(16u)];
    let d = own - b[start1 + j * p(11u) + k * p(12u)];
    if (distance != 0.0 || is_nan(distance)) {{ sum += {term}; }}
}}
out[p(8u) + i] = sum;
}}
",
            batch_starts(axes, 4, 18)
        )
    };
    launch.run_each(&format!("distances gradient {kind} {axes}"), &text, out.numel())?;
    Ok(out)
}
