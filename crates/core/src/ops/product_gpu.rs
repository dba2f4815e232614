//! The engine of products on a GPU: what `product.wgsl` describes, put together for a tile's size and for factors given
//! by their WGSL functions. Matrix products, and convolutions as implicit ones, are made of it.

use crate::error::Result;
use crate::gpu::Gpu;
use crate::ops::kernel::Kernel;
use std::fmt::Write;

/// Workgroups that are worth starting; with fewer tiles the inner dimension is cut into parts.
const ENOUGH: usize = 128;
/// Length of a part of the inner dimension, at least.
const PART: usize = 256;

/// How a product of [rows, inner] and [inner, columns], `batches` times, is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    pub rows: usize,
    pub columns: usize,
    pub inner: usize,
    pub batches: usize,
    /// Side of a workgroup's square.
    pub tile: usize,
    /// Parts of the inner dimension, each a result of its own, to be added up; and the length of one.
    pub parts: usize,
    pub part: usize,
}

impl Plan {
    /// `divisible`: the result may be made of parts.
    pub fn new([rows, columns, inner]: [usize; 3], batches: usize, divisible: bool) -> Plan {
        let tiles = |tile: usize| batches * rows.div_ceil(tile) * columns.div_ceil(tile);
        let short = rows.min(columns);
        let tile = if short <= 16 {
            16
        } else if short <= 32 || tiles(64) < ENOUGH / 2 {
            32
        } else {
            64
        };
        let parts = if divisible { (ENOUGH / tiles(tile).max(1)).min(inner / PART).max(1) } else { 1 };
        let part = inner.div_ceil(parts).next_multiple_of(16).max(16);
        Plan { rows, columns, inner, batches, tile, parts: inner.div_ceil(part).max(1), part }
    }

    /// Workgroups for `some` of the batches; their third dimension counts batches and, fastest, parts.
    fn workgroups(&self, gpu: &Gpu, some: usize) -> Result<[u32; 3]> {
        let tiles = self.rows.div_ceil(self.tile) * self.columns.div_ceil(self.tile);
        let [x, y, _] = gpu.workgroups(tiles, 1)?;
        Ok([x, y, (some * self.parts) as u32])
    }

    /// Batches that one launch can take.
    pub fn most_batches(&self, gpu: &Gpu) -> usize {
        (gpu.limits().workgroups as usize / self.parts).max(1)
    }
}

/// Which way factors run in memory: the invocations that load them follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Along {
    /// The left factor is contiguous along the inner dimension, not along its rows.
    pub a_inner: bool,
    /// The right factor is contiguous along the inner dimension, not along its columns.
    pub b_inner: bool,
}

/// Records a product of `some` batches. `factors`: the functions that `product.wgsl` names; p(0) and p(1) are rows and columns.
pub fn run(
    launch: Kernel,
    gpu: &Gpu,
    key: &str,
    plan: &Plan,
    some: usize,
    along: Along,
    factors: &dyn Fn() -> String,
) -> Result<()> {
    let key = format!("{key} {} {} {}", plan.tile, along.a_inner, along.b_inner);
    let tile = plan.tile;
    launch.run(&key, &|| wgsl(tile, along, &factors()), plan.workgroups(gpu, some)?)
}

fn wgsl(tile: usize, along: Along, factors: &str) -> String {
    let (depth, side) = (16, tile / 4);
    let threads = side * side;
    let loads = (depth * side).div_ceil(threads);
    let mut text = format!("const TILE = {tile}u;\n{}\n{factors}\n", include_str!("product.wgsl"));
    write!(
        text,
        "@compute @workgroup_size({threads})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) local: u32) {{
begin(group.z);
let columns = (p(1u) + TILE - 1u) / TILE;
let number = group.y * groups.x + group.x;
let row = (number / columns) * TILE;
let column = (number % columns) * TILE;
"
    )
    .expect("text");
    // Where each invocation loads: a place of the inner dimension, and four rows or columns.
    for load in 0..loads {
        for (name, inner) in [("a", along.a_inner), ("b", along.b_inner)] {
            let index = format!("(local + {}u)", load * threads);
            let (k, q) = if inner {
                (format!("{index} % DEPTH"), format!("{index} / DEPTH"))
            } else {
                (format!("{index} / SIDE"), format!("{index} % SIDE"))
            };
            writeln!(text, "let k{name}{load} = {k};\nlet q{name}{load} = {q};").expect("text");
            let (start, function) = if name == "a" { ("row", "row_a") } else { ("column", "column_b") };
            for i in 0..4 {
                writeln!(text, "let r{name}{load}{i} = {function}({start} + q{name}{load} * 4u + {i}u);")
                    .expect("text");
            }
        }
    }
    text += "let tx = local % SIDE;\nlet ty = local / SIDE;\n";
    for r in 0..4 {
        writeln!(text, "var sum{r} = vec4<f32>(0.0);").expect("text");
    }
    text += "for (var k0 = first_inner; k0 < end_inner; k0 += DEPTH) {\n";
    for load in 0..loads {
        for name in ["a", "b"] {
            let guard = if depth * side % threads == 0 { "" } else { &format!("if (k{name}{load} < DEPTH) ") };
            writeln!(text, "let i{name}{load} = inner_{name}(k0 + k{name}{load});").expect("text");
            let values: Vec<String> =
                (0..4).map(|i| format!("value_{name}(r{name}{load}{i}, i{name}{load})")).collect();
            writeln!(
                text,
                "{guard}{{ tile_{name}[k{name}{load} * SIDE + q{name}{load}] = vec4<f32>({}); }}",
                values.join(", ")
            )
            .expect("text");
        }
    }
    text += "workgroupBarrier();\nfor (var k = 0u; k < DEPTH; k += 1u) {
let a = tile_a[k * SIDE + ty];
let b = tile_b[k * SIDE + tx];
sum0 += a.x * b;\nsum1 += a.y * b;\nsum2 += a.z * b;\nsum3 += a.w * b;
}
workgroupBarrier();\n}\n";
    for r in 0..4 {
        for (c, lane) in ["x", "y", "z", "w"].iter().enumerate() {
            writeln!(text, "store(row + ty * 4u + {r}u, column + tx * 4u + {c}u, sum{r}.{lane});").expect("text");
        }
    }
    text + "}\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tile_is_valid_without_a_driver_and_within_webgpus_limits() {
        let factors = format!("fn bias_of(n: u32) -> f32 {{ return 0.0; }}\n{}", include_str!("matmul.wgsl"));
        for tile in [16, 32, 64] {
            for a_inner in [true, false] {
                for b_inner in [true, false] {
                    let text = wgsl(tile, Along { a_inner, b_inner }, &factors);
                    crate::ops::kernel::validation::check("product", &text);
                }
            }
            assert!(2 * 16 * (tile / 4) * 16 <= 16384 && (tile / 4).pow(2) <= 256);
        }
    }

    #[test]
    fn long_sums_are_cut_into_parts_that_cover_them() {
        for sizes in [[64, 576, 65536], [1, 1, 1], [10, 10, 1000], [512, 4608, 256], [2000, 2000, 2000]] {
            let plan = Plan::new(sizes, 1, true);
            assert!(plan.parts * plan.part >= sizes[2] && (plan.parts - 1) * plan.part < sizes[2], "{plan:?}");
            assert_eq!(Plan::new(sizes, 1, false).parts, 1);
        }
    }
}
