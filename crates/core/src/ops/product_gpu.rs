//! The engine of products on a GPU: what `product.wgsl` describes, put together for a form and for factors given by their
//! WGSL functions. Matrix products, and convolutions as implicit ones, are made of it.

use crate::dtype::DType;
use crate::error::Result;
use crate::gpu::Gpu;
use crate::ops::kernel::{self, Kernel, MAIN};

/// Workgroups that are worth starting; with fewer tiles the inner dimension is cut into parts.
const ENOUGH: usize = 128;
/// Length of a part of the inner dimension, at least.
const PART: usize = 256;
/// Parts of the inner dimension are multiples of this.
const STEP: usize = 16;
/// Multiplications from which on the forms that a GPU may take are tried.
const WORTH_TRYING: usize = 1 << 27;

/// How a workgroup makes its tile of the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// For hardware: a square, `each` × `each` of its sums an invocation, both factors by way of workgroup memory. `each` is 4 or
    /// 8: with 8 a number read from there serves twice as many sums, and half as many invocations hide the waiting.
    Square { side: usize, each: usize },
    /// For drivers that run on the CPU, where a subgroup is one SIMD register, and memory, workgroup memory too, is read one
    /// invocation after the other: a workgroup is one subgroup of `size`, every invocation holds the sums of four columns in
    /// all rows, and the left factor's values, which lie spread over the invocations, are broadcast from register to register.
    Lanes { size: usize, rows: usize },
}

/// What hardware may run fastest. All add up in the same order: the result does not depend on the choice.
const FORMS: [Form; 4] = [
    Form::Square { side: 64, each: 4 },
    Form::Square { side: 32, each: 4 },
    Form::Square { side: 64, each: 8 },
    Form::Square { side: 128, each: 8 },
];

impl Form {
    /// Rows and columns of a tile.
    fn tile(self) -> [usize; 2] {
        match self {
            Form::Square { side, .. } => [side, side],
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
        let [large, middle, ..] = FORMS;
        let form = match lanes {
            Some(size) => Form::Lanes { size, rows: rows.next_multiple_of(size).min(32) },
            None if short <= 16 => Form::Square { side: 16, each: 4 },
            None if short <= 32 || tiles(large) < ENOUGH / 2 => middle,
            None => large,
        };
        let parts = if divisible { (ENOUGH / tiles(form).max(1)).min(inner / PART).max(1) } else { 1 };
        let part = inner.div_ceil(parts).next_multiple_of(STEP).max(STEP);
        Plan { rows, columns, inner, batches, form, parts: inner.div_ceil(part).max(1), part }
    }

    /// Whether other forms than this one are worth a trial.
    fn is_open(&self, some: usize) -> bool {
        FORMS[0] == self.form && some * self.rows * self.columns * self.inner >= WORTH_TRYING
    }

    /// Workgroups for `some` of the batches; their third dimension counts batches and, fastest, parts.
    fn workgroups(&self, gpu: &Gpu, form: Form, some: usize) -> Result<[u32; 3]> {
        let [down, across] = form.tile();
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

    /// What lies in memory.
    pub fn dtype(self) -> DType {
        if self == Kind::Half { DType::F16 } else { DType::F32 }
    }

    /// Element `index` of a buffer as it is multiplied, in WGSL.
    pub fn load(self, buffer: &str, index: &str) -> String {
        let value = kernel::load(self.dtype(), buffer, index);
        if self == Kind::Rounded { format!("through_half({value})") } else { value }
    }

    /// As [`Kind::load`] four that lie side by side, of a buffer of [`kernel::quad`]s.
    fn load_quad(self, buffer: &str, index: &str) -> String {
        let value = kernel::load_quad(self.dtype(), buffer, index);
        if self == Kind::Rounded { format!("through_halves({value})") } else { value }
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

/// A kind of product: whatever its text depends on but the plan's form.
pub struct Product<'a> {
    /// Of the family; with the sizes and the factors it decides which form is tried out.
    pub name: &'a str,
    /// What else distinguishes texts.
    pub key: &'a str,
    pub factors: [Factor; 2],
    pub target: Target,
    /// The functions that `product.wgsl` names and the buffers behind the first three; p(0) and p(1) are rows and columns.
    pub own: &'a dyn Fn() -> String,
}

impl Product<'_> {
    /// Records the product of `some` batches.
    pub fn run(&self, launch: Kernel, gpu: &Gpu, plan: &Plan, some: usize) -> Result<()> {
        let Product { name, key, factors, target, own } = self;
        let record = |form: Form| {
            let key = format!("{name} {key} {form:?} {factors:?} {target:?}");
            launch.run(&key, &|| wgsl(form, *factors, *target, &own()), plan.workgroups(gpu, form, some)?)
        };
        #[cfg(test)]
        if let Some(number) = tests::FORM.get() {
            return record(FORMS[number]);
        }
        if !plan.is_open(some) {
            return record(plan.form);
        }
        // Sizes of one power of two are alike.
        let sizes = [plan.rows, plan.columns, plan.part, some * plan.parts].map(usize::ilog2);
        let class = format!("{name} {sizes:?} {factors:?} {target:?}");
        record(FORMS[gpu.fastest(&class, FORMS.len(), &|candidate| record(FORMS[candidate]))?])
    }
}

fn wgsl(form: Form, factors: [Factor; 2], target: Target, own: &str) -> String {
    let bound = |name: &str, capital: &str, binding: usize, factor: Factor| {
        let (dtype, kind) = (factor.kind.dtype(), factor.kind);
        let (stored, value, load) = match factor.quads {
            true => (kernel::quad(dtype), "vec4<f32>", kind.load_quad(name, "i")),
            false => (kernel::element(dtype), "f32", kind.load(name, "i")),
        };
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
        Form::Square { side, each } => square(side, each, factors),
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

fn square(tile: usize, each: usize, [a, b]: [Factor; 2]) -> String {
    let side = tile / 4;
    let threads = (tile / each).pow(2);
    let depth = depth(tile);
    // One quad more a step of the inner dimension: invocations that write one quad of different steps meet different banks.
    let row = side + 1;
    let mut text = format!(
        "var<workgroup> tile_a: array<vec4<f32>, {size}>;
var<workgroup> tile_b: array<vec4<f32>, {size}>;
@compute @workgroup_size({threads})
{MAIN} {{
begin(group.z);
let at = corner(group, groups, {tile}u, {tile}u);
",
        size = depth * row
    );
    // Where each invocation loads: four rows or columns, and one place of the inner dimension or, of four that lie side by side
    // along it, those.
    let names = [("a", a, "at.x", "row_a"), ("b", b, "at.y", "column_b")];
    let along = |factor: Factor| if factor.quads && factor.inner { 4 } else { 1 };
    let blocks = |factor: Factor| depth / along(factor) * side;
    for (name, factor, start, function) in names {
        for load in 0..blocks(factor).div_ceil(threads) {
            let steps = depth / along(factor);
            let (k, q) = if factor.inner { ("%", "/") } else { ("/", "%") };
            let (each_k, each_q) = if factor.inner { (steps, steps) } else { (side, side) };
            text += &format!(
                "let k{name}{load} = (local + {from}u) {k} {each_k}u * {along}u;
let q{name}{load} = (local + {from}u) {q} {each_q}u;\n",
                from = load * threads,
                along = along(factor)
            );
            for i in 0..if factor.quads && !factor.inner { 1 } else { 4 } {
                text += &format!("let r{name}{load}{i} = {function}({start} + q{name}{load} * 4u + {i}u);\n");
            }
        }
    }
    text += &format!("let tx = local % {0}u;\nlet ty = local / {0}u;\n", tile / each);
    for r in 0..each {
        for c in 0..each / 4 {
            text += &format!("var sum{r}{c} = vec4<f32>();\n");
        }
    }
    text += &format!("for (var k0 = first_inner; k0 < end_inner; k0 += {depth}u) {{\n");
    for (name, factor, ..) in names {
        for load in 0..blocks(factor).div_ceil(threads) {
            let value = |i: usize| format!("value_{name}(r{name}{load}{i}, i)");
            let four = |f: &dyn Fn(usize) -> String| format!("vec4<f32>({})", [0, 1, 2, 3].map(f).join(", "));
            let place = format!("tile_{name}[(k{name}{load}");
            let stored = match (factor.quads, factor.inner) {
                (true, true) => {
                    let loads: String = (0..4).map(|i| format!("let v{i} = {};\n", value(i))).collect();
                    let step = |s: usize| {
                        format!("{place} + {s}u) * {row}u + q{name}{load}] = {};\n", four(&|i| format!("v{i}[{s}]")))
                    };
                    loads + &(0..4).map(step).collect::<String>()
                }
                (true, false) => format!("{place}) * {row}u + q{name}{load}] = {};\n", value(0)),
                (false, _) => format!("{place}) * {row}u + q{name}{load}] = {};\n", four(&value)),
            };
            // The last invocations may have nothing to load.
            let guard = match (load + 1) * threads > blocks(factor) {
                true => format!("if (local < {}u) ", blocks(factor) - load * threads),
                false => String::new(),
            };
            text += &format!("{guard}{{\nlet i = inner_{name}(k0 + k{name}{load});\n{stored}}}\n");
        }
    }
    text += &format!("workgroupBarrier();\nfor (var k = 0u; k < {depth}u; k += 1u) {{\n");
    // With eight sums each way an invocation has four in each half of the tile: neighbours read neighbours.
    for half in 0..each / 4 {
        text += &format!("let a{half} = tile_a[k * {row}u + ty + {}u];\n", half * side / 2);
        text += &format!("let b{half} = tile_b[k * {row}u + tx + {}u];\n", half * side / 2);
    }
    for r in 0..each {
        for c in 0..each / 4 {
            text += &format!("sum{r}{c} += a{}[{}] * b{c};\n", r / 4, r % 4);
        }
    }
    text += "}\nworkgroupBarrier();\n}\n";
    for r in 0..each {
        for c in 0..each / 4 {
            let down = r / 4 * tile / 2 + r % 4;
            text += &format!("store(at.x + ty * 4u + {down}u, at.y + tx * 4u + {}u, sum{r}{c});\n", c * tile / 2);
        }
    }
    text + "}\n"
}

/// Steps of the inner dimension that lie in workgroup memory at a time: two tiles in the 16 KiB that every adapter has.
fn depth(tile: usize) -> usize {
    if tile > 64 { 8 } else { 16 }
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
pub(crate) mod tests {
    use super::*;
    use std::cell::Cell;

    /// How many forms hardware may choose from.
    pub const CHOICES: usize = FORMS.len();
    thread_local! {
        /// The number of the form that every product of this thread takes.
        pub static FORM: Cell<Option<usize>> = const { Cell::new(None) };
    }

    #[test]
    fn every_form_is_valid_without_a_driver_and_within_webgpus_limits() {
        let own = format!("fn bias_of(n: u32) -> f32 {{ return 0.0; }}\n{}", include_str!("matmul.wgsl"));
        let squares = FORMS.into_iter().chain([Form::Square { side: 16, each: 4 }]);
        let lanes = [(4, 4), (8, 32), (16, 16), (16, 32)].map(|(size, rows)| Form::Lanes { size, rows });
        for form in squares.chain(lanes) {
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
            if let Form::Square { side, each } = form {
                assert!(2 * depth(side) * (side / 4 + 1) * 16 <= 16384 && (side / each).pow(2) <= 256);
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
