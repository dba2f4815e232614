//! Fills, copies between layouts and casts on the GPU.

use crate::dtype::DType;
use crate::error::Result;
use crate::gpu::Gpu;
use crate::op;
use crate::ops::elementwise_gpu::{Expression, map};
use crate::ops::kernel::{self, Kernel, element, extent, gpu_of};
use crate::shape::{Dims, Layout};
use crate::tensor::Tensor;
use std::fmt::Write;
use std::sync::Arc;

/// A tensor of one value; `layout` says shape and order in memory.
pub fn full(gpu: &Arc<Gpu>, layout: Layout, value: f64, dtype: DType) -> Result<Tensor> {
    let out = kernel::output(gpu, layout, dtype)?;
    fill(&out, value)?;
    Ok(out)
}

/// Writes one value into every element of a dense tensor that starts its storage.
fn fill(out: &Tensor, value: f64) -> Result<()> {
    let words = match out.dtype() {
        DType::F32 => [(value as f32).to_bits(); 2],
        DType::I64 => [value as i64 as u32, (value as i64 >> 32) as u32],
        DType::Bool => [u32::from(value != 0.0) * 0x0101_0101; 2],
        DType::F16 => [u32::from(<crate::half::F16 as crate::dtype::Element>::from_f64(value).0) * 0x0001_0001; 2],
        _ => [u32::from(value as i64 as u8) * 0x0101_0101; 2],
    };
    let count = (out.numel() * out.dtype().size()).div_ceil(4);
    let gpu = gpu_of(out)?;
    let most = gpu.limits().binding as usize / 1024 * 256;
    for start in (0..count).step_by(most.max(1)) {
        let mut launch = Kernel::new(&gpu);
        let window = (count - start).min(most);
        let layout = Layout {
            shape: Dims::from_slice(&[window * 4 / out.dtype().size()]),
            strides: Dims::from_slice(&[1]),
            offset: start * 4 / out.dtype().size(),
        };
        launch.bind(out, &layout, true)?;
        launch.set(&[window as u32, words[0], words[1]]);
        launch.run_each("fill", &|| include_str!("fill.wgsl").to_string(), window)?;
    }
    Ok(())
}

/// Another layout of the same elements in fresh memory; `target` is dense with offset 0.
pub fn copy(x: &Tensor, target: Layout) -> Result<Tensor> {
    let out = kernel::output(&gpu_of(x)?, target.clone(), x.dtype())?;
    copy_into(x, &out, &target)?;
    Ok(out)
}

/// Copies elements into those that `target` names in the memory of `out`, which is not that of `x`.
pub fn copy_into(x: &Tensor, out: &Tensor, target: &Layout) -> Result<()> {
    let numel = target.numel();
    if numel == 0 {
        return Ok(());
    }
    let gpu = gpu_of(x)?;
    let source = x.layout();
    let dense = |l: &Layout| l.is_dense() && l.offset * x.dtype().size() % 4 == 0;
    let size = x.dtype().size();
    if source.strides == target.strides && dense(source) && dense(target) && (size == 4 || size == 8) {
        let (from, to) = (x.storage()?, out.storage()?);
        let (from, to) = (from.gpu().expect("of a GPU"), to.gpu().expect("of a GPU"));
        let bytes = (numel * size) as u64;
        return gpu.copy((from, (source.offset * size) as u64), (to, (target.offset * size) as u64), bytes);
    }
    // Walks the target's memory in its order, so that writes run along.
    let mut order: Vec<usize> = (0..target.ndim()).collect();
    order.sort_by_key(|&d| std::cmp::Reverse((target.strides[d], target.shape[d])));
    let mut pair = [source.permute(&order), target.permute(&order)];
    Layout::collapse(&mut pair);
    // Where elements share words, a window might begin within one.
    let most = if size < 4 { usize::MAX } else { (gpu.limits().binding as usize - 512) / size };
    windows(pair, most).into_iter().try_for_each(|pair| copy_window(&gpu, x, out, pair))
}

/// Pairs of layouts, each within a binding, that together are this pair.
fn windows(pair: [Layout; 2], most: usize) -> Vec<[Layout; 2]> {
    let (mut done, mut open) = (Vec::new(), vec![pair]);
    while let Some(pair) = open.pop() {
        let Some(large) = pair.iter().max_by_key(|layout| extent(layout)).filter(|layout| extent(layout) > most) else {
            done.push(pair);
            continue;
        };
        // The dimension along which it reaches furthest.
        let reach = |d: &usize| (large.shape[*d] - 1) * large.strides[*d];
        let cut = (0..large.ndim()).max_by_key(reach).expect("one element is no window");
        let half = large.shape[cut] / 2;
        let part = |from: usize, count: usize| {
            pair.each_ref().map(|layout| {
                let mut layout = layout.clone();
                layout.offset += from * layout.strides[cut];
                layout.shape[cut] = count;
                layout
            })
        };
        open.extend([part(half, large.shape[cut] - half), part(0, half)]);
    }
    done
}

fn copy_window(gpu: &Arc<Gpu>, x: &Tensor, out: &Tensor, [from, to]: [Layout; 2]) -> Result<()> {
    let (numel, size) = (to.numel(), x.dtype().size());
    crate::ensure!(to.ndim() <= 8, Unsupported, "{}: {} dimensions; GPUs take 8", op::running(), to.ndim());
    let mut launch = Kernel::new(gpu);
    let from_at = launch.bind(x, &from, false)?;
    let to_at = launch.bind(out, &to, true)?;
    // Where elements share words one invocation writes a word, so the target must have no gaps.
    let together = kernel::a_word(x.dtype());
    crate::ensure!(
        together == 1 || (to.is_dense() && to_at as usize % together == 0 && extent(&to) == numel),
        Unsupported,
        "{}: writing elements of {} into a part of a tensor on {}",
        op::running(),
        x.dtype().name(),
        gpu.name()
    );
    // Four places that lie side by side in the target are computed, and written, at once.
    let quads = size == 4
        && to_at % 4 == 0
        && to.strides.split_last().is_some_and(|(last, outer)| *last == 1 && outer.iter().all(|s| s % 4 == 0))
        && to.shape.last().is_some_and(|n| n % 4 == 0);
    launch.set(&[numel as u32, from_at, to_at]);
    launch.set_sizes(&to.shape);
    launch.set_sizes(&from.strides);
    launch.set_sizes(&to.strides);
    let (n, kind) = (to.ndim(), element(x.dtype()));
    let invocations = if quads { numel / 4 } else { numel.div_ceil(together) };
    let key = format!("copy {kind} {together} {n} {quads}");
    launch.run_each(&key, &|| wgsl(kind, together, n, quads), invocations)
}

/// Tensors one behind the other along `dim`, in a tensor of that layout.
pub fn cat(inputs: &[&Tensor], dim: usize, whole: Layout) -> Result<Tensor> {
    let dtype = inputs[0].dtype();
    if dtype.size() == 1 {
        // Bytes of two tensors would share a word: by way of int64.
        let wide = inputs.iter().map(|x| cast(x, DType::I64)).collect::<Result<Vec<_>>>()?;
        return cast(&cat(&wide.iter().collect::<Vec<_>>(), dim, whole)?, dtype);
    }
    let out = kernel::output(&gpu_of(inputs[0])?, whole.clone(), dtype)?;
    let mut at = 0;
    for x in inputs {
        let mut part = Layout { shape: x.layout().shape.clone(), strides: whole.strides.clone(), offset: 0 };
        part.offset = at * whole.strides[dim];
        copy_into(x, &out, &part)?;
        at += x.shape()[dim];
    }
    Ok(out)
}

fn wgsl(kind: &str, together: usize, dimensions: usize, quads: bool) -> String {
    let target = if quads { format!("vec4<{kind}>") } else { kind.to_string() };
    let mut text = format!(
        "@group(0) @binding(1) var<storage, read> a: array<{kind}>;
@group(0) @binding(2) var<storage, read_write> out: array<{target}>;
fn places(i: u32) -> vec2<u32> {{
var rest = i;
var place = vec2<u32>(p(1u), p(2u));
"
    );
    for d in (0..dimensions).rev() {
        let index = if d == 0 { "rest".to_string() } else { format!("i{d}") };
        if d > 0 {
            writeln!(text, "let i{d} = rest % p({0}u); rest = rest / p({0}u);", 3 + d).expect("text");
        }
        let (from, to) = (3 + dimensions + d, 3 + 2 * dimensions + d);
        writeln!(text, "place += {index} * vec2<u32>(p({from}u), p({to}u));").expect("text");
    }
    text += "return place;
}
fn each(i: u32) {
";
    if together > 1 {
        let bits = 32 / together;
        return text
            + &format!(
                "if (i * {together}u >= p(0u)) {{ return; }}
var word = 0u;
for (var k = 0u; k < {together}u; k += 1u) {{
    if (i * {together}u + k < p(0u)) {{
        let place = places(i * {together}u + k).x;
        word |= ((a[place / {together}u] >> (place % {together}u * {bits}u)) & {}u) << (k * {bits}u);
    }}
}}
out[p(2u) / {together}u + i] = word;\n}}\n",
                (1u32 << bits) - 1
            );
    }
    if quads {
        let step = 2 + 2 * dimensions;
        return text
            + &format!(
                "if (i * 4u >= p(0u)) {{ return; }}
let place = places(i * 4u);
let step = p({step}u);
out[place.y / 4u] = {target}(a[place.x], a[place.x + step], a[place.x + 2u * step], a[place.x + 3u * step]);\n}}\n"
            );
    }
    text + "if (i >= p(0u)) { return; }\nlet place = places(i);\nout[place.y] = a[place.x];\n}\n"
}

/// The same values as another type, with Rust's rules.
pub fn cast(x: &Tensor, to: DType) -> Result<Tensor> {
    kernel::supported(to)?;
    let from = x.dtype();
    let text = match (from, to) {
        (DType::F32 | DType::F16, DType::I64) => "long_from_f32(x)",
        // By way of int64, as in Rust: 300.5 is 300, and its low byte 44.
        (DType::F32 | DType::F16, DType::U8) => "long_from_f32(x).x & 0xffu",
        (DType::F32 | DType::F16, DType::Bool) => "select(0u, 1u, x != 0.0 || is_nan(x))",
        (DType::I64, DType::F32 | DType::F16) => "long_to_f32(x)",
        (DType::I64, DType::U8) => "x.x & 0xffu",
        (DType::I64, DType::Bool) => "select(0u, 1u, any(x != vec2<u32>(0u, 0u)))",
        (_, DType::F32 | DType::F16) => "f32(x)",
        (_, DType::I64) => "vec2<u32>(x, 0u)",
        (_, DType::Bool) => "select(0u, 1u, x != 0u)",
        _ => "x",
    };
    map(&Expression { name: "cast", inputs: &["x"], constants: &[], text }, &[], &[x], to)
}
