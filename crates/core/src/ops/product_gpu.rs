//! The engine of products on a GPU: what `product.wgsl` describes, put together for a form and for factors given by their
//! WGSL functions. Matrix products, and convolutions as implicit ones, are made of it.

use crate::dtype::DType;
use crate::error::Result;
use crate::gpu::Gpu;
use crate::ops::kernel::{self, Kernel};
use std::fmt::Write;

/// Workgroups that are worth starting; with fewer tiles the inner dimension is cut into parts.
const ENOUGH: usize = 128;
/// Length of a part of the inner dimension, at least.
const PART: usize = 256;
/// Steps of the inner dimension that lie in workgroup memory at a time.
const DEPTH: usize = 16;

/// How a workgroup makes its tile of the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// For hardware: a square, 4 × 4 of its sums an invocation, both factors by way of workgroup memory.
    Square(usize),
    /// For drivers that run on the CPU, where a subgroup is one SIMD register, and memory, workgroup memory too, is read one
    /// invocation after the other: a workgroup is one subgroup of `size`, every invocation holds the sums of four columns in
    /// all rows, and the left factor's values, which lie spread over the invocations, are broadcast from register to register.
    Lanes { size: usize, rows: usize },
}

impl Form {
    /// Rows and columns of a tile.
    fn tile(self) -> [usize; 2] {
        match self {
            Form::Square(side) => [side, side],
            Form::Lanes { size, rows } => [rows, 4 * size],
        }
    }
}

/// How a product of [rows, inner] and [inner, columns], `batches` times, is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    pub rows: usize,
    pub columns: usize,
    pub inner: usize,
    pub batches: usize,
    form: Form,
    /// Parts of the inner dimension, each a result of its own, to be added up; and the length of one.
    pub parts: usize,
    pub part: usize,
}

impl Plan {
    /// `lanes`: see [`Gpu::lanes`]. `divisible`: the result may be made of parts.
    pub fn new(lanes: Option<usize>, [rows, columns, inner]: [usize; 3], batches: usize, divisible: bool) -> Plan {
        let tiles = |form: Form| {
            let [down, across] = form.tile();
            batches * rows.div_ceil(down) * columns.div_ceil(across)
        };
        let short = rows.min(columns);
        let form = match lanes {
            Some(size) => Form::Lanes { size, rows: rows.next_multiple_of(size).min(32) },
            None if short <= 16 => Form::Square(16),
            None if short <= 32 || tiles(Form::Square(64)) < ENOUGH / 2 => Form::Square(32),
            None => Form::Square(64),
        };
        let parts = if divisible { (ENOUGH / tiles(form).max(1)).min(inner / PART).max(1) } else { 1 };
        let part = inner.div_ceil(parts).next_multiple_of(DEPTH).max(DEPTH);
        Plan { rows, columns, inner, batches, form, parts: inner.div_ceil(part).max(1), part }
    }

    /// Workgroups for `some` of the batches; their third dimension counts batches and, fastest, parts.
    fn workgroups(&self, gpu: &Gpu, some: usize) -> Result<[u32; 3]> {
        let [down, across] = self.form.tile();
        let [x, y, _] = gpu.workgroups(self.rows.div_ceil(down) * self.columns.div_ceil(across), 1)?;
        Ok([x, y, (some * self.parts) as u32])
    }

    /// Batches that one launch can take.
    pub fn most_batches(&self, gpu: &Gpu) -> usize {
        (gpu.limits().workgroups as usize / self.parts).max(1)
    }
}

/// How a factor lies in memory: the invocations that load it follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Factor {
    /// It is contiguous along the inner dimension, not along its rows or columns.
    pub inner: bool,
    /// Along the dimension in which it is contiguous, and in the buffer, four by four lie side by side from the first element on.
    pub quads: bool,
    pub kind: Kind,
}

/// A factor's elements, and what is multiplied of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Float,
    Half,
    /// float32 beside float16: rounded to it.
    Rounded,
}

impl Kind {
    /// Of two factors.
    pub fn of(dtypes: [DType; 2]) -> [Kind; 2] {
        let half = dtypes.contains(&DType::F16);
        dtypes.map(|dtype| match dtype {
            DType::F16 => Kind::Half,
            _ if half => Kind::Rounded,
            _ => Kind::Float,
        })
    }
}

/// How the result lies in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// Columns come four by four, side by side, from the first element on.
    pub quads: bool,
    /// float16, which is possible with quads; else float32.
    pub half: bool,
}

/// Records a product of `some` batches of these factors. `own`: the functions that `product.wgsl` names and the buffers
/// behind the first three; p(0) and p(1) are rows and columns.
pub fn run(
    launch: Kernel,
    gpu: &Gpu,
    key: &str,
    plan: &Plan,
    some: usize,
    factors: [Factor; 2],
    target: Target,
    own: &dyn Fn() -> String,
) -> Result<()> {
    let form = plan.form;
    let key = format!("{key} {form:?} {factors:?} {target:?}");
    launch.run(&key, &|| wgsl(form, factors, target, &own()), plan.workgroups(gpu, some)?)
}

fn wgsl(form: Form, factors: [Factor; 2], target: Target, own: &str) -> String {
    // The square form takes single elements.
    let factors = factors.map(|factor| Factor { quads: factor.quads && matches!(form, Form::Lanes { .. }), ..factor });
    let bound = |name: &str, capital: &str, binding: usize, factor: Factor| {
        let dtype = if factor.kind == Kind::Half { DType::F16 } else { DType::F32 };
        let (stored, value, read, rounded) = match factor.quads {
            true => (kernel::quad(dtype), "vec4<f32>", kernel::load_quad(dtype, name, "i"), "through_halves"),
            false => (kernel::element(dtype), "f32", kernel::load(dtype, name, "i"), "through_half"),
        };
        let load = if factor.kind == Kind::Rounded { format!("{rounded}({read})") } else { read };
        format!(
            "@group(0) @binding({binding}) var<storage, read> {name}: array<{stored}>;
alias {capital} = {value};
fn at_{name}(i: u32) -> {value} {{ return {load}; }}\n"
        )
    };
    let [left, right] = [bound("a", "A", 1, factors[0]), bound("b", "B", 2, factors[1])];
    let (stored, four) = if target.quads {
        let dtype = if target.half { DType::F16 } else { DType::F32 };
        let all = [0, 1, 2, 3].map(|i| format!("finished(n + {i}u, sums[{i}])"));
        (kernel::quad(dtype), format!("out[place(m, n) / 4u] = {};", kernel::quad_of(dtype, all)))
    } else {
        let one = |i| format!("if (n + {i}u < p(1u)) {{ out[place(m, n + {i}u)] = finished(n + {i}u, sums[{i}]); }}");
        ("f32", [0, 1, 2, 3].map(one).join("\n    "))
    };
    let loops = match form {
        Form::Square(side) => square(side, factors),
        Form::Lanes { size, rows } => lanes(size, rows, factors),
    };
    format!(
        "{left}{right}@group(0) @binding(3) var<storage, read_write> out: array<{stored}>;
{}
{own}
// Four columns of row m from n on.
fn store(m: u32, n: u32, sums: vec4<f32>) {{
    if (m >= p(0u) || n >= p(1u)) {{ return; }}
    {four}
}}
{loops}",
        include_str!("product.wgsl")
    )
}

fn square(tile: usize, [a, b]: [Factor; 2]) -> String {
    let side = tile / 4;
    let threads = side * side;
    let loads = (DEPTH * side).div_ceil(threads);
    let mut text = format!(
        "const DEPTH = {DEPTH}u;
const SIDE = {side}u;
var<workgroup> tile_a: array<vec4<f32>, DEPTH * SIDE>;
var<workgroup> tile_b: array<vec4<f32>, DEPTH * SIDE>;
@compute @workgroup_size({threads})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) local: u32) {{
begin(group.z);
let at = corner(group, groups, {tile}u, {tile}u);
"
    );
    // Where each invocation loads: a place of the inner dimension, and four rows or columns.
    for load in 0..loads {
        for (name, inner) in [("a", a.inner), ("b", b.inner)] {
            let index = format!("(local + {}u)", load * threads);
            let (k, q) = if inner {
                (format!("{index} % DEPTH"), format!("{index} / DEPTH"))
            } else {
                (format!("{index} / SIDE"), format!("{index} % SIDE"))
            };
            writeln!(text, "let k{name}{load} = {k};\nlet q{name}{load} = {q};").expect("text");
            let (start, function) = if name == "a" { ("at.x", "row_a") } else { ("at.y", "column_b") };
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
            let guard = if DEPTH * side % threads == 0 { "" } else { &format!("if (k{name}{load} < DEPTH) ") };
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
        writeln!(text, "store(at.x + ty * 4u + {r}u, at.y + tx * 4u, sum{r});").expect("text");
    }
    text + "}\n"
}

/// Four steps of the inner dimension at a time. `size` is a multiple of 4, `rows` one of `size`.
fn lanes(size: usize, rows: usize, [a, b]: [Factor; 2]) -> String {
    let mut text = format!(
        "@compute @workgroup_size({size})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(subgroup_invocation_id) lane: u32) {{
begin(group.z);
let at = corner(group, groups, {rows}u, {}u);
",
        4 * size
    );
    // A load of the left factor is `size` rows in four steps: along the inner dimension an invocation has a row, along the
    // rows it has one step and four of the rows. Of the right factor each invocation has its four columns.
    let quarter = ["at.x + lane", "at.x + lane / 4u * 4u"][usize::from(!a.inner)];
    let four = |f: &dyn Fn(usize) -> String| format!("vec4<f32>({})", [0, 1, 2, 3].map(f).join(", "));
    // Which rows and columns an invocation loads.
    for q in 0..rows / size {
        for i in 0..if a.inner || a.quads { 1 } else { 4 } {
            text += &format!("let ra{q}{i} = row_a({quarter} + {}u);\n", q * size + i);
        }
    }
    for i in 0..if b.quads && !b.inner { 1 } else { 4 } {
        text += &format!("let cb{i} = column_b(at.y + lane * 4u + {i}u);\n");
    }
    for r in 0..rows {
        text += &format!("var sum{r} = vec4<f32>();\n");
    }
    text += "for (var k = first_inner; k < end_inner; k += 4u) {\n";
    for (name, own, own_step) in [("a", a, !a.inner), ("b", b, false)] {
        let steps = if own_step || (own.quads && own.inner) { 1 } else { 4 };
        for step in 0..steps {
            let offset = if own_step { "lane % 4u".to_string() } else { format!("{step}u") };
            text += &format!("let i{name}{step} = inner_{name}(k + {offset});\n");
        }
    }
    for q in 0..rows / size {
        let value = match (a.quads, a.inner) {
            (true, _) => format!("value_a(ra{q}0, ia0)"),
            (false, true) => four(&|step| format!("value_a(ra{q}0, ia{step})")),
            (false, false) => four(&|i| format!("value_a(ra{q}{i}, ia0)")),
        };
        text += &format!("let a{q} = {value};\n");
    }
    if b.quads && b.inner {
        for i in 0..4 {
            text += &format!("let c{i} = value_b(cb{i}, ib0);\n");
        }
    }
    for step in 0..4 {
        let value = match (b.quads, b.inner) {
            (true, true) => four(&|i| format!("c{i}[{step}]")),
            (true, false) => format!("value_b(cb0, ib{step})"),
            (false, _) => four(&|i| format!("value_b(cb{i}, ib{step})")),
        };
        text += &format!("let b{step} = {value};\n");
    }
    for step in 0..4 {
        for r in 0..rows {
            let (load, row) = (r / size, r % size);
            let (part, from) = if a.inner { (step, row) } else { (row % 4, row / 4 * 4 + step) };
            text += &format!("sum{r} += subgroupBroadcast(a{load}[{part}], {from}u) * b{step};\n");
        }
    }
    text += "}\n";
    for r in 0..rows {
        text += &format!("store(at.x + {r}u, at.y + lane * 4u, sum{r});\n");
    }
    text + "}\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_valid_without_a_driver_and_within_webgpus_limits() {
        let own = format!("fn bias_of(n: u32) -> f32 {{ return 0.0; }}\n{}", include_str!("matmul.wgsl"));
        let squares = [16, 32, 64].map(Form::Square);
        let lanes = [(4, 4), (8, 32), (16, 16), (16, 32)].map(|(size, rows)| Form::Lanes { size, rows });
        for form in squares.into_iter().chain(lanes) {
            for [inner, quads, half] in (0..8).map(|bits| [1, 2, 4].map(|bit| bits & bit > 0)) {
                let [a, b] = Kind::of(if half { [DType::F16, DType::F32] } else { [DType::F32; 2] });
                for other in [inner, !inner] {
                    let factors = [Factor { inner, quads, kind: a }, Factor { inner: other, quads: !quads, kind: b }];
                    for factors in [factors, [factors[1], factors[0]]] {
                        let target = Target { quads, half: half && quads };
                        crate::ops::kernel::validation::check("product", &wgsl(form, factors, target, &own));
                    }
                }
            }
            if let Form::Square(side) = form {
                assert!(2 * DEPTH * (side / 4) * 16 <= 16384 && (side / 4).pow(2) <= 256);
            }
        }
    }

    #[test]
    fn long_sums_are_cut_into_parts_that_cover_them() {
        for sizes in [[64, 576, 65536], [1, 1, 1], [10, 10, 1000], [512, 4608, 256], [2000, 2000, 2000]] {
            for lanes in [None, Some(8)] {
                let plan = Plan::new(lanes, sizes, 1, true);
                assert!(plan.parts * plan.part >= sizes[2] && (plan.parts - 1) * plan.part < sizes[2], "{plan:?}");
                assert_eq!(Plan::new(lanes, sizes, 1, false).parts, 1);
            }
        }
    }
}
