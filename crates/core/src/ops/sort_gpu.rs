//! Sorting on a GPU: chunks of a line in workgroup memory (a bitonic network), then merges of two runs at a time, in which
//! each element finds its place by halving. Elements that tie keep their order. Of the largest few, runs keep only those.

use crate::dtype::DType;
use crate::error::Result;
use crate::gpu::Gpu;
use crate::ops::kernel::{self, Kernel, MAIN, element, gpu_of};
use crate::shape::{Dims, Layout};
use crate::tensor::Tensor;
use std::fmt::Write;
use std::sync::Arc;

/// What is sorted: a key whose order as whole numbers is that of the elements, then the place, which settles ties.
#[derive(Clone, Copy)]
struct Item {
    dtype: DType,
    descending: bool,
}

impl Item {
    fn long(self) -> bool {
        self.dtype == DType::I64
    }

    /// Elements that a workgroup sorts at most, within WebGPU's 16 KiB.
    fn most(self) -> usize {
        if self.long() { 512 } else { 1024 }
    }

    /// 32-bit words an item.
    fn words(self) -> usize {
        if self.long() { 4 } else { 2 }
    }

    fn wgsl(self) -> String {
        let turned = if self.descending { "~" } else { "" };
        let (kind, less, place, last) = if self.long() {
            (
                "vec4<u32>",
                "if (a.x != b.x) { return a.x < b.x; }\nif (a.y != b.y) { return a.y < b.y; }\nreturn a.z < b.z;",
                "z",
                "vec4<u32>(0xffffffffu)",
            )
        } else {
            ("vec2<u32>", "return a.x < b.x || (a.x == b.x && a.y < b.y);", "y", "vec2<u32>(0xffffffffu)")
        };
        let item = match self.dtype {
            DType::I64 => format!("return vec4<u32>({turned}(value.y ^ 0x80000000u), {turned}value.x, place, 0u);"),
            // Bits of floats go up with size, and down where negative; both zeros are one, and every NaN the largest.
            DType::F32 => format!(
                "let bits = bitcast<u32>(value);
var key = select(bits | 0x80000000u, ~bits, (bits >> 31u) == 1u);
key = select(key, 0x80000000u, (bits << 1u) == 0u);
key = select(key, 0xffffffffu, (bits & 0x7fffffffu) > 0x7f800000u);
return vec2<u32>({turned}key, place);"
            ),
            _ => format!("return vec2<u32>({turned}value, place);"),
        };
        format!(
            "alias Item = {kind};
const LAST = {last};
fn less(a: Item, b: Item) -> bool {{ {less} }}
fn place_of(item: Item) -> u32 {{ return item.{place}; }}
fn item(value: {}, place: u32) -> Item {{ {item} }}
",
            element(self.dtype)
        )
    }
}

/// The indices (int64) that sort along `dim`, all or only the first few.
pub fn argsort(x: &Tensor, dim: usize, descending: bool, only: Option<usize>) -> Result<Tensor> {
    let gpu = gpu_of(x)?;
    let length = x.shape().get(dim).copied().unwrap_or(1);
    let keep = only.unwrap_or(length);
    let rest: Vec<usize> = (0..x.ndim()).filter(|&d| d != dim).collect();
    // [.., keep], the sorted dimension last in memory.
    let mut shape: Dims = rest.iter().map(|&d| x.shape()[d]).collect();
    let lines: usize = shape.iter().product();
    shape.extend((x.ndim() > 0).then_some(keep));
    let out = kernel::output_of(&gpu, &shape, DType::I64)?;
    if out.numel() > 0 {
        run(x, dim, &rest, &out, [lines, length, keep], Item { dtype: x.dtype(), descending })?;
    }
    if x.ndim() == 0 {
        return Ok(out);
    }
    let mut order: Vec<usize> = (0..x.ndim() - 1).collect();
    order.insert(dim, x.ndim() - 1);
    out.alias(out.layout().permute(&order))
}

fn run(
    x: &Tensor,
    dim: usize,
    rest: &[usize],
    out: &Tensor,
    [lines, length, keep]: [usize; 3],
    item: Item,
) -> Result<()> {
    let gpu = gpu_of(x)?;
    let size = length.next_power_of_two().clamp(2, item.most());
    let chunks = length.div_ceil(size);
    // Items of a line that are kept after this step, in runs of `run` (the last may be shorter).
    let mut run = size.min(keep);
    let mut kept = (chunks - 1) * run + (length - (chunks - 1) * size).min(keep);
    let mut items = if chunks > 1 { Some(buffer(&gpu, lines * kept, item)?) } else { None };
    let mut outer = [x.layout().permute(rest)];
    Layout::collapse(&mut outer);
    let [outer] = outer;
    crate::ensure!(
        outer.ndim() <= 8,
        Unsupported,
        "{}: {} dimensions; GPUs take 8",
        crate::op::running(),
        outer.ndim()
    );
    let mut launch = Kernel::new(&gpu);
    let from = launch.read(x)?;
    let to = launch.write(items.as_ref().unwrap_or(out))?;
    launch.set_sizes(&[lines, length, chunks, kept, run, x.strides().get(dim).copied().unwrap_or(0)]);
    launch.set(&[from, to]);
    launch.set_sizes(&outer.shape);
    launch.set_sizes(&outer.strides);
    let (axes, last) = (outer.ndim(), chunks == 1);
    let key = format!("sort {} {} {size} {axes} {last}", item.dtype.name(), item.descending);
    launch.run(&key, &|| chunk_wgsl(item, size, axes, last), gpu.workgroups(lines * chunks, 1)?)?;
    while let Some(sorted) = items.take() {
        let pairs = kept.div_ceil(2 * run);
        let next = (2 * run).min(keep);
        let next_kept = (pairs - 1) * next + (kept - (pairs - 1) * 2 * run).min(next);
        let last = pairs == 1;
        let target = if last { None } else { Some(buffer(&gpu, lines * next_kept, item)?) };
        let mut launch = Kernel::new(&gpu);
        let from = launch.read(&sorted)?;
        let to = launch.write(target.as_ref().unwrap_or(out))?;
        launch.set_sizes(&[lines * kept, kept, run, next, next_kept]);
        launch.set(&[from / item.words() as u32, to]);
        let key = format!("merge {} {} {last}", item.dtype.name(), item.descending);
        launch.run_each(&key, &|| merge_wgsl(item, last), lines * kept)?;
        (run, kept, items) = (next, next_kept, target);
    }
    Ok(())
}

/// Memory for items, as words.
fn buffer(gpu: &Arc<Gpu>, items: usize, item: Item) -> Result<Tensor> {
    kernel::output_of(gpu, &[items * item.words()], DType::F32)
}

fn out_kind(last: bool) -> &'static str {
    if last { "vec2<u32>" } else { "Item" }
}

/// What is written of an item: its place at the end, itself before.
fn written(last: bool, item: &str) -> String {
    if last { format!("vec2<u32>(place_of({item}), 0u)") } else { item.to_string() }
}

/// A chunk of a line a workgroup. p: 0 lines, 1 length, 2 chunks a line, 3 items kept a line, 4 a chunk, 5 step along the line,
/// 6, 7 where the buffers begin, then sizes and strides of the lines.
fn chunk_wgsl(item: Item, size: usize, axes: usize, last: bool) -> String {
    let threads = (size / 2).clamp(32, 256);
    let bytes = item.dtype.size() == 1;
    let mut text = item.wgsl();
    write!(
        text,
        "const SIZE = {size}u;
const THREADS = {threads}u;
@group(0) @binding(1) var<storage, read> x: array<{}>;
@group(0) @binding(2) var<storage, read_write> out: array<{}>;
var<workgroup> items: array<Item, SIZE>;
@compute @workgroup_size({threads})
{MAIN} {{
let number = group.y * groups.x + group.x;
let inside = number < p(0u) * p(2u);
let line = min(number / p(2u), p(0u) - 1u);
let first = (number % p(2u)) * SIZE;
var rest = line;
var start = p(6u);
",
        element(item.dtype),
        out_kind(last)
    )
    .expect("text");
    for d in (0..axes).rev() {
        let (size, step) = (8 + d, 8 + axes + d);
        writeln!(text, "start += (rest % p({size}u)) * p({step}u);\nrest = rest / p({size}u);").expect("text");
    }
    let load = if bytes { "(x[at / 4u] >> (at % 4u * 8u)) & 0xffu" } else { "x[at]" };
    write!(
        text,
        "for (var k = local; k < SIZE; k += THREADS) {{
    items[k] = LAST;
    if (first + k < p(1u)) {{
        let at = start + (first + k) * p(5u);
        items[k] = item({load}, first + k);
    }}
}}
for (var width = 2u; width <= SIZE; width = width * 2u) {{
    for (var gap = width / 2u; gap > 0u; gap = gap / 2u) {{
        workgroupBarrier();
        for (var t = local; t < SIZE / 2u; t += THREADS) {{
            let a = (t / gap) * 2u * gap + t % gap;
            let left = items[a];
            let right = items[a + gap];
            if (less(right, left) == ((a & width) == 0u)) {{
                items[a] = right;
                items[a + gap] = left;
            }}
        }}
    }}
}}
workgroupBarrier();
let count = min(p(4u), p(1u) - min(first, p(1u)));
let to = p(7u) + line * p(3u) + (first / SIZE) * p(4u);
for (var k = local; inside && k < count; k += THREADS) {{
    let sorted = items[k];
    out[to + k] = {};
}}
}}
",
        written(last, "sorted")
    )
    .expect("text");
    text
}

/// p: 0 items of all lines, 1 items a line, 2 a run, 3 a run of the result, 4 items a line of the result, 5, 6 beginnings.
fn merge_wgsl(item: Item, last: bool) -> String {
    format!(
        "{}
@group(0) @binding(1) var<storage, read> items: array<Item>;
@group(0) @binding(2) var<storage, read_write> out: array<{}>;
fn each(i: u32) {{
if (i >= p(0u)) {{ return; }}
let line = i / p(1u);
let at = i % p(1u);
let run = at / p(2u);
let own = items[p(5u) + i];
// Those of the other run that come before.
let other = min((run ^ 1u) * p(2u), p(1u));
let start = p(5u) + line * p(1u) + other;
var low = 0u;
var high = min(p(1u) - other, p(2u));
while (low < high) {{
    let middle = (low + high) / 2u;
    if (less(items[start + middle], own)) {{ low = middle + 1u; }} else {{ high = middle; }}
}}
let rank = at % p(2u) + low;
if (rank < p(3u)) {{ out[p(6u) + line * p(4u) + (run / 2u) * p(3u) + rank] = {}; }}
}}
",
        item.wgsl(),
        out_kind(last),
        written(last, "own")
    )
}
