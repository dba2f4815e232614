//! Reductions on the GPU: sums, extremes and the like over any dimensions of any layout, without copies, in one pass or two.

use crate::dtype::DType;
use crate::error::Result;
use crate::ops::kernel::{self, GROUP, Kernel, MAIN, element, gpu_of};
use crate::shape::{Dims, Layout};
use crate::tensor::Tensor;
use std::fmt::Write;

/// What is folded: `value` is made of each element `x`, `combine` of two such (`a`, `b`), in any order.
pub struct Fold<'a> {
    pub name: &'a str,
    pub value: &'a str,
    pub identity: &'a str,
    pub combine: &'a str,
}

pub const SUM: Fold = Fold { name: "sum", value: "x", identity: "0.0", combine: "a + b" };
pub const SUM_LONG: Fold = Fold { name: "sum", value: "x", identity: "vec2<u32>(0u, 0u)", combine: "long_add(a, b)" };

/// A NaN is larger and smaller than everything.
pub const LARGEST: Fold = Fold {
    name: "largest",
    value: "x",
    identity: "-infinity()",
    combine: "select(select(b, a, a > b || is_nan(a)), b, is_nan(b))",
};
pub const SMALLEST: Fold = Fold {
    name: "smallest",
    value: "x",
    identity: "infinity()",
    combine: "select(select(b, a, a < b || is_nan(a)), b, is_nan(b))",
};
const LARGEST_LONG: Fold = Fold {
    name: "largest",
    value: "x",
    identity: "vec2<u32>(0u, 0x80000000u)",
    combine: "select(a, b, long_less(a, b))",
};
const SMALLEST_LONG: Fold = Fold {
    name: "smallest",
    value: "x",
    identity: "vec2<u32>(0xffffffffu, 0x7fffffffu)",
    combine: "select(a, b, long_less(b, a))",
};

/// Invocations that are worth starting; fewer outputs than that are cut along what is reduced.
const ENOUGH: usize = 1 << 15;
/// Elements that one invocation adds one after the other, at least.
const RUN: usize = 64;

/// Folds over `dims`, which stay with size 1; row-major. Accumulates pairwise enough for float32: runs, then a tree.
pub fn fold(fold: &Fold, x: &Tensor, dims: &[usize]) -> Result<Tensor> {
    fold_beside(fold, x, Beside::default(), dims)
}

/// What else `Fold::value` may read.
#[derive(Default, Clone, Copy)]
pub struct Beside<'a> {
    /// `y`: a tensor of the same shape.
    pub other: Option<&'a Tensor>,
    /// `v`: one value an output, contiguous, in the order of the outputs.
    pub vector: Option<&'a Tensor>,
}

/// As [`fold`], of values that are made of more than one tensor.
pub fn fold_beside(fold: &Fold, x: &Tensor, beside: Beside, dims: &[usize]) -> Result<Tensor> {
    let mut shape = Dims::from_slice(x.shape());
    for &d in dims {
        shape[d] = 1;
    }
    let sources: Vec<&Tensor> = [x].into_iter().chain(beside.other).collect();
    let part = |keep: bool| -> Vec<Layout> {
        let mut chosen: Vec<usize> = (0..x.ndim()).filter(|d| dims.contains(d) != keep).collect();
        if !keep {
            // The order of what is reduced does not matter: as it lies in memory.
            chosen.sort_by_key(|&d| std::cmp::Reverse((x.strides()[d], x.shape()[d])));
        }
        let mut layouts: Vec<Layout> = sources.iter().map(|t| t.layout().permute(&chosen)).collect();
        Layout::collapse(&mut layouts);
        layouts
    };
    let (outer, inner) = (part(true), part(false));
    let gpu = gpu_of(x)?;
    let (rows, count) = (outer[0].numel(), inner[0].numel());
    let smallest = |l: &Layout| l.strides.iter().copied().filter(|&s| s > 0).min().unwrap_or(usize::MAX);
    let along_columns = rows >= 32 && smallest(&outer[0]) < smallest(&inner[0]);
    // Pieces of what is reduced, each with a partial result.
    let unit = if along_columns { RUN } else { RUN * GROUP as usize };
    let enough = if along_columns { ENOUGH } else { ENOUGH / GROUP as usize };
    let pieces = count.div_ceil(unit).min(enough.div_ceil(rows.max(1))).max(1);
    let piece = count.div_ceil(pieces).max(1);
    let target = match (pieces, along_columns) {
        (1, _) => kernel::output_of(&gpu, &shape, x.dtype())?,
        (_, true) => kernel::output_of(&gpu, &[pieces, rows], x.dtype())?,
        (_, false) => kernel::output_of(&gpu, &[rows, pieces], x.dtype())?,
    };
    let mut launch = Kernel::new(&gpu);
    let from = launch.read(x)?;
    let to = launch.write(&target)?;
    let other = beside.other.map_or(Ok(0), |y| launch.read(y))?;
    let vector = beside.vector.map_or(Ok(0), |v| launch.read(v))?;
    launch.set_sizes(&[rows, count, piece, pieces]);
    launch.set(&[from, to, other, vector]);
    for layouts in [&outer, &inner] {
        launch.set_sizes(&layouts[0].shape);
        layouts.iter().for_each(|layout| launch.set_sizes(&layout.strides));
    }
    let (o, i) = (outer[0].ndim(), inner[0].ndim());
    crate::ensure!((o + i) * (1 + sources.len()) <= 54, Unsupported, "{}: {} dimensions on a GPU", fold.name, o + i);
    let has = [beside.other.is_some(), beside.vector.is_some()];
    let dtype = x.dtype();
    let key = format!("fold {} {} {o} {i} {along_columns} {has:?}", fold.name, dtype.name());
    let text = || wgsl(fold, dtype, [o, i], along_columns, has);
    if along_columns {
        launch.run_each(&key, &text, rows * pieces)?;
    } else {
        launch.run(&key, &text, gpu.workgroups(rows * pieces, 1)?)?;
    }
    if pieces == 1 {
        return Ok(target);
    }
    // The partial results are values already.
    let again = Fold { value: "x", name: &format!("{} of parts", fold.name), ..*fold };
    let done = self::fold(&again, &target, &[usize::from(!along_columns)])?;
    done.alias(Layout::contiguous(&shape))
}

fn wgsl(fold: &Fold, dtype: DType, [outer, inner]: [usize; 2], along_columns: bool, has: [bool; 2]) -> String {
    let kind = element(dtype);
    let Fold { value, identity, combine, .. } = fold;
    let mut text = format!(
        "@group(0) @binding(1) var<storage, read> source: array<{kind}>;
@group(0) @binding(2) var<storage, read_write> out: array<{kind}>;
fn combine(a: {kind}, b: {kind}) -> {kind} {{ return {combine}; }}
"
    );
    let mut binding = 3;
    for (name, there) in [("beside", has[0]), ("vector", has[1])] {
        if there {
            writeln!(text, "@group(0) @binding({binding}) var<storage, read> {name}: array<f32>;").expect("text");
            binding += 1;
        }
    }
    // Where element `index` of a group of dimensions lies in both sources.
    let sources = 1 + usize::from(has[0]);
    let mut place = |name: &str, dimensions: usize, sizes: usize| {
        writeln!(text, "fn {name}(index: u32) -> vec2<u32> {{\nvar rest = index;\nvar place = vec2<u32>(0u);")
            .expect("text");
        for d in (0..dimensions).rev() {
            let size = sizes + d;
            let index = if d == 0 { "rest" } else { &format!("rest % p({size}u)") };
            let second = if sources == 2 { format!("p({}u)", sizes + 2 * dimensions + d) } else { "0u".to_string() };
            writeln!(text, "place += ({index}) * vec2<u32>(p({}u), {second});", sizes + dimensions + d).expect("text");
            if d > 0 {
                writeln!(text, "rest = rest / p({size}u);").expect("text");
            }
        }
        text += "return place;\n}\n";
    };
    place("outer_place", outer, 8);
    place("inner_place", inner, 8 + outer * (1 + sources));
    let y = if has[0] { "beside[at.y]" } else { "x" };
    let v = if has[1] { "vector[p(7u) + row]" } else { "x" };
    writeln!(
        text,
        "fn value(start: vec2<u32>, i: u32, row: u32) -> {kind} {{
let at = start + inner_place(i);
let x = source[at.x];
let y = {y};
let v = {v};
return {value};
}}"
    )
    .expect("text");
    text += &if along_columns {
        format!(
            "fn each(t: u32) {{
if (t >= p(0u) * p(3u)) {{ return; }}
let row = t % p(0u);
let start = vec2<u32>(p(4u), p(6u)) + outer_place(row);
let first = (t / p(0u)) * p(2u);
let end = min(first + p(2u), p(1u));
var total = {identity};
for (var i = first; i < end; i += 1u) {{ total = combine(total, value(start, i, row)); }}
out[p(5u) + t] = total;
}}
"
        )
    } else {
        format!(
            "@compute @workgroup_size(256)
{MAIN} {{
let g = group.y * groups.x + group.x;
let row = min(g / p(3u), p(0u) - 1u);
let start = vec2<u32>(p(4u), p(6u)) + outer_place(row);
let first = (g % p(3u)) * p(2u);
let end = min(first + p(2u), p(1u));
var total = {identity};
for (var i = first + local; i < end; i += 256u) {{ total = combine(total, value(start, i, row)); }}
shared_total[local] = total;
for (var half = 128u; half > 0u; half = half / 2u) {{
    workgroupBarrier();
    if (local < half) {{ shared_total[local] = combine(shared_total[local], shared_total[local + half]); }}
}}
if (local == 0u && g < p(0u) * p(3u)) {{ out[p(5u) + g] = shared_total[0]; }}
}}
var<workgroup> shared_total: array<{kind}, 256>;
"
        )
    };
    text
}

/// As `Sum` in `reduce`.
pub fn sum(x: &Tensor, dims: &[usize]) -> Result<Tensor> {
    fold(if x.dtype() == DType::I64 { &SUM_LONG } else { &SUM }, x, dims)
}

/// The largest or smallest elements over dimensions, which stay with size 1.
pub fn extreme(x: &Tensor, dims: &[usize], largest: bool) -> Result<Tensor> {
    if x.dtype().size() == 1 {
        let wide = crate::ops::movement_gpu::cast(x, DType::I64)?;
        return crate::ops::movement_gpu::cast(&extreme(&wide, dims, largest)?, x.dtype());
    }
    let kinds = [[&SMALLEST, &LARGEST], [&SMALLEST_LONG, &LARGEST_LONG]];
    fold(kinds[usize::from(x.dtype() == DType::I64)][usize::from(largest)], x, dims)
}

/// Where the largest (or smallest) element lies along a dimension, the first of those that tie; it stays with size 1.
pub fn place(x: &Tensor, dim: usize, largest: bool) -> Result<Tensor> {
    let x = if x.dtype().size() == 1 { &crate::ops::movement_gpu::cast(x, DType::I64)? } else { x };
    let gpu = gpu_of(x)?;
    let mut shape = Dims::from_slice(x.shape());
    let (length, stride) = (shape[dim], x.strides()[dim]);
    shape[dim] = 1;
    let out = kernel::output_of(&gpu, &shape, DType::I64)?;
    let rest: Vec<usize> = (0..x.ndim()).filter(|&d| d != dim).collect();
    let mut outer = [x.layout().permute(&rest)];
    Layout::collapse(&mut outer);
    let [outer] = outer;
    let rows = outer.numel();
    if rows == 0 {
        return Ok(out);
    }
    let mut launch = Kernel::new(&gpu);
    let places = [launch.read(x)?, launch.write(&out)?];
    launch.set_sizes(&[rows, length, stride]);
    launch.set(&places);
    launch.set_sizes(&outer.shape);
    launch.set_sizes(&outer.strides);
    let (axes, dtype) = (outer.ndim(), x.dtype());
    let text = || {
        let kind = element(dtype);
        let better = match (dtype, largest) {
            (DType::I64, true) => "long_less(b, a)",
            (DType::I64, false) => "long_less(a, b)",
            (_, true) => "a > b || (is_nan(a) && !is_nan(b))",
            _ => "a < b || (is_nan(a) && !is_nan(b))",
        };
        let mut at = String::new();
        for d in (0..axes).rev() {
            let (size, step) = (5 + d, 5 + axes + d);
            writeln!(at, "start += (rest % p({size}u)) * p({step}u); rest = rest / p({size}u);").expect("text");
        }
        format!(
            "@group(0) @binding(1) var<storage, read> x: array<{kind}>;
@group(0) @binding(2) var<storage, read_write> out: array<vec2<u32>>;
fn better(a: {kind}, b: {kind}) -> bool {{ return {better}; }}
var<workgroup> values: array<{kind}, 64>;
var<workgroup> indices: array<u32, 64>;
@compute @workgroup_size(64)
{MAIN} {{
let r = group.y * groups.x + group.x;
var rest = min(r, p(0u) - 1u);
var start = p(3u);
{at}
// Beyond the end a lane holds the first element, which loses every tie against itself.
var index = select(0u, local, local < p(1u));
var best = x[start + index * p(2u)];
for (var i = local + 64u; i < p(1u); i += 64u) {{
    let value = x[start + i * p(2u)];
    if (better(value, best)) {{ best = value; index = i; }}
}}
values[local] = best;
indices[local] = index;
for (var half = 32u; half > 0u; half = half / 2u) {{
    workgroupBarrier();
    if (local < half) {{
        let other = values[local + half];
        let own = values[local];
        let first = !better(own, other) && indices[local + half] < indices[local];
        if (better(other, own) || first) {{ values[local] = other; indices[local] = indices[local + half]; }}
    }}
}}
if (local == 0u && r < p(0u)) {{ out[p(4u) + r] = vec2<u32>(indices[0], 0u); }}
}}
"
        )
    };
    launch.run(&format!("place {} {largest} {axes}", dtype.name()), &text, gpu.workgroups(rows, 1)?)?;
    Ok(out)
}
