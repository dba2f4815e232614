//! Running sums, products and first-order recurrences on a GPU: many lines an invocation each, or a workgroup a piece of a
//! line with the totals of the pieces scanned in turn.

use crate::dtype::DType;
use crate::error::Result;
use crate::ops::elementwise_gpu::{Expression, map};
use crate::ops::kernel::{self, Kernel, MAIN, element, gpu_of};
use crate::shape::Layout;
use crate::tensor::Tensor;
use std::fmt::Write;

/// What is carried along a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Carry {
    Sum,
    Product,
    /// s ← b + a·s for the pairs (a, b) of each place: from two tensors.
    Recurrence,
}

#[derive(Debug, Clone, Copy)]
struct Scan {
    carry: Carry,
    /// From the last element to the first.
    backwards: bool,
    /// Without the element itself: the first result is the identity.
    exclusive: bool,
}

/// Elements of a line that one workgroup scans; longer lines are cut.
const PIECE: usize = 8192;
/// Lines that are enough for an invocation each.
const MANY: usize = 4096;

/// Σ of all elements up to each one, or from each one on.
pub fn cumsum(x: &Tensor, dim: usize, backwards: bool) -> Result<Tensor> {
    scan(Scan { carry: Carry::Sum, backwards, exclusive: false }, x, x, dim)
}

/// Π of all elements up to each one.
pub fn cumprod(x: &Tensor, dim: usize) -> Result<Tensor> {
    scan(Scan { carry: Carry::Product, backwards: false, exclusive: false }, x, x, dim)
}

/// The product of all others on its line for each element: of those before and of those behind.
pub fn products_of_others(x: &Tensor, dim: usize) -> Result<Tensor> {
    let side = |backwards| scan(Scan { carry: Carry::Product, backwards, exclusive: true }, x, x, dim);
    multiply(&side(false)?, &side(true)?)
}

/// Gradient of the running products: Σ over i ≥ k of gᵢ·Π of xⱼ, j ≤ i, j ≠ k. That is the product of those before k, times
/// sₖ = gₖ + xₖ₊₁·sₖ₊₁: no division, so zeros need no case of their own.
pub fn cumprod_gradient(x: &Tensor, gradient: &Tensor, dim: usize) -> Result<Tensor> {
    let before = scan(Scan { carry: Carry::Product, backwards: false, exclusive: true }, x, x, dim)?;
    let behind = scan(Scan { carry: Carry::Recurrence, backwards: true, exclusive: false }, x, gradient, dim)?;
    multiply(&before, &behind)
}

fn multiply(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let product = Expression { name: "mul", inputs: &["a", "b"], constants: &[], text: "a * b" };
    map(&product, &[], &[a, b], DType::F32)
}

/// Scans `x` along `dim` (a recurrence: factors `x`, summands `y`). Row-major.
fn scan(scan: Scan, x: &Tensor, y: &Tensor, dim: usize) -> Result<Tensor> {
    let gpu = gpu_of(x)?;
    let out = kernel::output_of(&gpu, x.shape(), x.dtype())?;
    if out.numel() == 0 {
        return Ok(out);
    }
    let length = x.shape().get(dim).copied().unwrap_or(1);
    let lines = out.numel() / length;
    let recurs = scan.carry == Carry::Recurrence;
    let step = |t: &Tensor| t.strides().get(dim).copied().unwrap_or(0);
    // Neighbouring invocations have neighbouring lines, which lie side by side unless the dimension is the innermost.
    let alone = lines >= MANY || length <= 32 || (step(&out) > 1 && lines >= 256 && length <= 1024);
    let pieces = if alone || recurs { 1 } else { length.div_ceil(PIECE) };
    let piece = length.div_ceil(pieces);
    let mut outer: Vec<Layout> = [x, y, &out]
        .map(|t| {
            let rest: Vec<usize> = (0..t.ndim()).filter(|&d| d != dim).collect();
            Layout { offset: 0, ..t.layout().permute(&rest) }
        })
        .to_vec();
    Layout::collapse(&mut outer);
    let axes = outer[0].ndim();
    crate::ensure!(axes <= 8, Unsupported, "{}: {axes} dimensions; GPUs take 8", crate::op::running());
    let totals = if pieces > 1 { Some(kernel::output_of(&gpu, &[lines, pieces], x.dtype())?) } else { None };
    let mut launch = Kernel::new(&gpu);
    let mut at = vec![launch.read(x)?];
    at.push(if recurs { launch.read(y)? } else { 0 });
    at.push(launch.write(&out)?);
    at.push(totals.as_ref().map_or(Ok(0), |totals| launch.write(totals))?);
    launch.set_sizes(&[lines, length, piece, pieces, step(x), step(y), step(&out)]);
    launch.set(&at);
    launch.set_sizes(&outer[0].shape);
    outer.iter().for_each(|layout| launch.set_sizes(&layout.strides));
    let (dtype, whole) = (x.dtype(), pieces == 1);
    let Scan { carry, backwards, exclusive } = scan;
    let key = format!("scan {carry:?} {backwards} {exclusive} {} {axes} {alone} {whole}", dtype.name());
    let text = || wgsl(scan, dtype, axes, alone, whole);
    if alone {
        launch.run_each(&key, &text, lines)?;
        return Ok(out);
    }
    launch.run(&key, &text, gpu.workgroups(lines * pieces, 1)?)?;
    let Some(totals) = totals else { return Ok(out) };
    // What stands before each piece.
    let before = self::scan(Scan { exclusive: true, backwards: false, ..scan }, &totals, &totals, 1)?;
    carry_over(scan, &out, &before, dim, piece)?;
    Ok(out)
}

/// Brings what stands before each piece into its elements, in place.
fn carry_over(scan: Scan, out: &Tensor, before: &Tensor, dim: usize, piece: usize) -> Result<()> {
    let gpu = gpu_of(out)?;
    let mut launch = Kernel::new(&gpu);
    let at = [launch.write(out)?, launch.read(before)?];
    let inner: usize = out.shape()[dim + 1..].iter().product();
    launch.set_sizes(&[out.numel(), out.shape()[dim], inner, piece, before.shape()[1]]);
    launch.set(&at);
    let (dtype, backwards) = (out.dtype(), scan.backwards);
    let kind = element(dtype);
    let text = || {
        let k = if backwards { "p(1u) - 1u - along" } else { "along" };
        format!(
            "@group(0) @binding(1) var<storage, read_write> out: array<{kind}>;
@group(0) @binding(2) var<storage, read> before: array<{kind}>;
fn join(a: {kind}, b: {kind}) -> {kind} {{ return {}; }}
fn each(i: u32) {{
    if (i >= p(0u)) {{ return; }}
    let along = i / p(2u) % p(1u);
    let line = i / p(2u) / p(1u) * p(2u) + i % p(2u);
    let piece = ({k}) / p(3u);
    out[p(5u) + i] = join(before[p(6u) + line * p(4u) + piece], out[p(5u) + i]);
}}
",
            joined(scan.carry, dtype)
        )
    };
    let key = format!("carry over {:?} {backwards} {}", scan.carry, dtype.name());
    launch.run_each(&key, &text, out.numel())
}

/// What a place adds to what was before it.
fn joined(carry: Carry, dtype: DType) -> &'static str {
    match (carry, dtype) {
        (Carry::Recurrence, _) => "vec2<f32>(b.x * a.x, b.y + b.x * a.y)",
        (Carry::Sum, DType::I64) => "long_add(a, b)",
        (Carry::Sum, _) => "a + b",
        (Carry::Product, DType::I64) => "long_mul(a, b)",
        (Carry::Product, _) => "a * b",
    }
}

/// p: 0 lines, 1 length, 2 elements a piece, 3 pieces a line, 4 to 6 steps of x, y and the result along the line, 7 to 10
/// where x, y, result and totals begin, then sizes of the lines and their strides in the three.
fn wgsl(scan: Scan, dtype: DType, axes: usize, alone: bool, whole: bool) -> String {
    let Scan { carry, backwards, exclusive } = scan;
    let (kind, recurs) = (element(dtype), carry == Carry::Recurrence);
    let (state, identity) = match (carry, dtype) {
        (Carry::Recurrence, _) => ("vec2<f32>", "vec2<f32>(1.0, 0.0)"),
        (Carry::Sum, DType::I64) => ("vec2<u32>", "vec2<u32>(0u, 0u)"),
        (Carry::Product, DType::I64) => ("vec2<u32>", "vec2<u32>(1u, 0u)"),
        (Carry::Sum, _) => ("f32", "0.0"),
        (Carry::Product, _) => ("f32", "1.0"),
    };
    let mut text = format!("@group(0) @binding(1) var<storage, read> x: array<{kind}>;\n");
    let mut binding = 2;
    for (name, access, there) in [("y", "read", recurs), ("out", "read_write", true), ("totals", "read_write", !whole)]
    {
        if there {
            writeln!(text, "@group(0) @binding({binding}) var<storage, {access}> {name}: array<{kind}>;")
                .expect("text");
            binding += 1;
        }
    }
    let index = |t: &str| if backwards { format!("(p(1u) - 1u - ({t}))") } else { format!("({t})") };
    // The place whose element counts at place t.
    let counted = if exclusive { "t - 1u" } else { "t" };
    let load = if recurs {
        // xₖ₊₁ belongs to sₖ: what was one place before on the way back; nothing precedes the first.
        format!(
            "var factor = 0.0;
if (t > 0u) {{ factor = x[start.x + {} * p(4u)]; }}
return vec2<f32>(factor, y[start.y + {} * p(5u)]);",
            index("t - 1u"),
            index("t")
        )
    } else if exclusive {
        format!("if (t == 0u) {{ return {identity}; }}\nreturn x[start.x + {} * p(4u)];", index(counted))
    } else {
        format!("return x[start.x + {} * p(4u)];", index(counted))
    };
    let result = if recurs { "state.y" } else { "state" };
    write!(
        text,
        "fn join(a: {state}, b: {state}) -> {state} {{ return {}; }}
fn load(start: vec3<u32>, t: u32) -> {state} {{
{load}
}}
fn store(start: vec3<u32>, t: u32, state: {state}) {{ out[start.z + {} * p(6u)] = {result}; }}
fn start_of(line: u32) -> vec3<u32> {{
var rest = line;
var start = vec3<u32>(p(7u), p(8u), p(9u));
",
        joined(carry, dtype),
        index("t")
    )
    .expect("text");
    for d in (0..axes).rev() {
        let strides = [1, 2, 3].map(|k| format!("p({}u)", 11 + k * axes + d)).join(", ");
        writeln!(text, "start += (rest % p({0}u)) * vec3<u32>({strides});\nrest = rest / p({0}u);", 11 + d)
            .expect("text");
    }
    text += "return start;\n}\n";
    text += &if alone {
        format!(
            "fn each(i: u32) {{
if (i >= p(0u)) {{ return; }}
let start = start_of(i);
var state = {identity};
for (var t = 0u; t < p(1u); t += 1u) {{
    state = join(state, load(start, t));
    store(start, t, state);
}}
}}
"
        )
    } else {
        let total = if whole {
            ""
        } else {
            "if (local == 0u && number < p(0u) * p(3u)) { totals[p(10u) + number] = carried; }\n"
        };
        format!(
            "var<workgroup> lanes: array<{state}, 256>;
@compute @workgroup_size(256)
{MAIN} {{
let number = group.y * groups.x + group.x;
let start = start_of(min(number / p(3u), p(0u) - 1u));
let first = (number % p(3u)) * p(2u);
let end = select(first, min(first + p(2u), p(1u)), number < p(0u) * p(3u));
var carried = {identity};
for (var block = first; block < end; block += 256u) {{
    let t = block + local;
    var own = {identity};
    if (t < end) {{ own = load(start, t); }}
    lanes[local] = own;
    for (var gap = 1u; gap < 256u; gap = gap * 2u) {{
        workgroupBarrier();
        var before = {identity};
        if (local >= gap) {{ before = lanes[local - gap]; }}
        workgroupBarrier();
        own = join(before, own);
        lanes[local] = own;
    }}
    workgroupBarrier();
    if (t < end) {{ store(start, t, join(carried, own)); }}
    carried = join(carried, lanes[255]);
    workgroupBarrier();
}}
{total}}}
"
        )
    };
    text
}
