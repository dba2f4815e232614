//! Layer norm, RMS norm and group norm on a GPU: a workgroup a row, forward and back.

use crate::dtype::DType;
use crate::error::Result;
use crate::ops::kernel::{self, Kernel, MAIN, gpu_of};
use crate::ops::reduce_gpu;
use crate::shape::Layout;
use crate::tensor::Tensor;

/// Invocations for a row of that length.
fn size_for(columns: usize) -> u32 {
    if columns <= 128 { 32 } else { 256 }
}

fn wgsl(size: u32, bindings: &str, body: &str) -> String {
    format!(
        "const SIZE = {size}u;
{}
{bindings}
@compute @workgroup_size({size})
{MAIN} {{
let r = group.y * groups.x + group.x;
let inside = r < p(0u);
let row = min(r, p(0u) - 1u);
let columns = p(1u);
{body}
}}
",
        include_str!("rows.wgsl")
    )
}

/// The normalised rows of a contiguous [rows, columns], their means (0 if not centered) and 1/σ, [rows] each.
pub fn forward(
    x: &Tensor,
    weight: Option<&Tensor>,
    bias: Option<&Tensor>,
    centered: bool,
    epsilon: f64,
) -> Result<[Tensor; 3]> {
    let gpu = gpu_of(x)?;
    let [rows, columns] = [x.shape()[0], x.shape()[1]];
    if x.numel() == 0 {
        let zeros = || Tensor::full_on(&x.device()?, &[rows], 0.0, DType::F32);
        return Ok([kernel::output_of(&gpu, x.shape(), DType::F32)?, zeros()?, zeros()?]);
    }
    let [y, mean, inverse] =
        [kernel::output_of(&gpu, x.shape(), DType::F32)?, statistic(x, rows)?, statistic(x, rows)?];
    let mut launch = Kernel::new(&gpu);
    launch.set_sizes(&[rows, columns]);
    launch.set_floats(&[epsilon as f32, 1.0 / columns as f32]);
    let mut bindings = String::from(
        "@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(3) var<storage, read_write> means: array<f32>;
@group(0) @binding(4) var<storage, read_write> inverses: array<f32>;\n",
    );
    let mut places = vec![launch.read(x)?];
    for out in [&y, &mean, &inverse] {
        places.push(launch.write(out)?);
    }
    let mut value = String::from("(x[start + c] - mean) * inverse");
    for (tensor, name, sign) in [(weight, "weight", "*"), (bias, "bias", "+")] {
        let Some(tensor) = tensor else { continue };
        bindings += &format!("@group(0) @binding({}) var<storage, read> {name}: array<f32>;\n", places.len() + 1);
        value += &format!(" {sign} {name}[p({}u) + c]", 4 + places.len());
        places.push(launch.read(tensor)?);
    }
    launch.set(&places);
    let mean_of = if centered {
        "var part = 0.0;
for (var c = local; c < columns; c += SIZE) { part += x[start + c]; }
let mean = sum_of(local, part) * pf(3u);"
    } else {
        "let mean = 0.0;"
    };
    let body = format!(
        "let start = p(4u) + row * columns;
{mean_of}
var squares = 0.0;
for (var c = local; c < columns; c += SIZE) {{ let d = x[start + c] - mean; squares += d * d; }}
let inverse = 1.0 / sqrt(sum_of(local, squares) * pf(3u) + pf(2u));
if (inside) {{
    for (var c = local; c < columns; c += SIZE) {{ y[p(5u) + row * columns + c] = {value}; }}
    if (local == 0u) {{ means[p(6u) + row] = mean; inverses[p(7u) + row] = inverse; }}
}}"
    );
    let size = size_for(columns);
    let key = format!("layer norm {size} {centered} {} {}", weight.is_some(), bias.is_some());
    launch.run(&key, &|| wgsl(size, &bindings, &body), gpu.workgroups(rows, 1)?)?;
    Ok([y, mean, inverse])
}

fn statistic(x: &Tensor, rows: usize) -> Result<Tensor> {
    kernel::output_of(&gpu_of(x)?, &[rows], DType::F32)
}

/// The gradient of x, from that of the result and the statistics of the rows; all contiguous.
pub fn gradient(
    x: &Tensor,
    gradient: &Tensor,
    [mean, inverse]: [&Tensor; 2],
    weight: Option<&Tensor>,
    centered: bool,
) -> Result<Tensor> {
    let gpu = gpu_of(x)?;
    let out = kernel::output_of(&gpu, x.shape(), DType::F32)?;
    if out.numel() == 0 {
        return Ok(out);
    }
    let [rows, columns] = [x.shape()[0], x.shape()[1]];
    let mut launch = Kernel::new(&gpu);
    launch.set_sizes(&[rows, columns]);
    launch.set_floats(&[1.0 / columns as f32]);
    let mut places = Vec::new();
    for tensor in [x, gradient, mean, inverse] {
        places.push(launch.read(tensor)?);
    }
    places.push(launch.write(&out)?);
    let mut bindings = String::from(
        "@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> g: array<f32>;
@group(0) @binding(3) var<storage, read> means: array<f32>;
@group(0) @binding(4) var<storage, read> inverses: array<f32>;
@group(0) @binding(5) var<storage, read_write> out: array<f32>;\n",
    );
    let mut slope = "g[at + c]";
    if let Some(weight) = weight {
        bindings += "@group(0) @binding(6) var<storage, read> weight: array<f32>;\n";
        slope = "g[at + c] * weight[p(8u) + c]";
        places.push(launch.read(weight)?);
    }
    launch.set(&places);
    let plain = if centered { "sum_of(local, plain) * pf(2u)" } else { "0.0" };
    let body = format!(
        "let start = p(3u) + row * columns;
let at = p(4u) + row * columns;
let mean = means[p(5u) + row];
let inverse = inverses[p(6u) + row];
var plain = 0.0;
var products = 0.0;
for (var c = local; c < columns; c += SIZE) {{
    let slope = {slope};
    plain += slope;
    products += slope * (x[start + c] - mean) * inverse;
}}
let shift = {plain};
let share = sum_of(local, products) * pf(2u);
for (var c = local; inside && c < columns; c += SIZE) {{
    out[p(7u) + row * columns + c] = ({slope} - (x[start + c] - mean) * inverse * share - shift) * inverse;
}}"
    );
    let size = size_for(columns);
    let key = format!("layer norm gradient {size} {centered} {}", weight.is_some());
    launch.run(&key, &|| wgsl(size, &bindings, &body), gpu.workgroups(rows, 1)?)?;
    Ok(out)
}

/// Invocations that are worth starting, and rows that one of them adds up, at least.
const ENOUGH: usize = 1 << 15;
const RUN: usize = 32;

/// Gradients of weight and bias, [columns] each: sums over the rows, along the columns in memory.
pub fn parameter_gradients(x: &Tensor, gradient: &Tensor, [mean, inverse]: [&Tensor; 2]) -> Result<[Tensor; 2]> {
    let gpu = gpu_of(x)?;
    let [rows, columns] = [x.shape()[0], x.shape()[1]];
    if x.numel() == 0 {
        let zeros = || Tensor::full_on(&x.device()?, &[columns], 0.0, DType::F32);
        return Ok([zeros()?, zeros()?]);
    }
    let pieces = rows.div_ceil(RUN).min(ENOUGH.div_ceil(columns)).max(1);
    let piece = rows.div_ceil(pieces);
    let sums = kernel::output_of(&gpu, &[pieces, 2, columns], DType::F32)?;
    let mut launch = Kernel::new(&gpu);
    launch.set_sizes(&[pieces * columns, rows, columns, piece]);
    let places = [launch.read(x)?, launch.read(gradient)?, launch.read(mean)?, launch.read(inverse)?];
    launch.set(&places);
    let to = launch.write(&sums)?;
    launch.set(&[to]);
    let text = "@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> g: array<f32>;
@group(0) @binding(3) var<storage, read> means: array<f32>;
@group(0) @binding(4) var<storage, read> inverses: array<f32>;
@group(0) @binding(5) var<storage, read_write> sums: array<f32>;
fn each(i: u32) {
    if (i >= p(0u)) { return; }
    let c = i % p(2u);
    let first = (i / p(2u)) * p(3u);
    let end = min(first + p(3u), p(1u));
    var products = 0.0;
    var plain = 0.0;
    for (var r = first; r < end; r += 1u) {
        let slope = g[p(5u) + r * p(2u) + c];
        plain += slope;
        products += slope * (x[p(4u) + r * p(2u) + c] - means[p(6u) + r]) * inverses[p(7u) + r];
    }
    let to = p(8u) + (i / p(2u)) * 2u * p(2u) + c;
    sums[to] = products;
    sums[to + p(2u)] = plain;
}
";
    launch.run_each("layer norm parameters", &|| text.to_string(), pieces * columns)?;
    let sums = if pieces == 1 { sums } else { reduce_gpu::fold(&reduce_gpu::SUM, &sums, &[0])? };
    let half = |offset: usize| sums.alias(Layout { offset, ..Layout::contiguous(&[columns]) });
    Ok([half(0)?, half(columns)?])
}
