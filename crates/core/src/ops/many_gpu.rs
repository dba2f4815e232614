//! One kernel for the elements of many tensors: optimizers, averages and clipping touch hundreds, most of them small.
//! As many tensors as the adapter has bindings for go into a dispatch; a table says where each begins.

use crate::error::Result;
use crate::gpu::{BINDINGS, Gpu};
use crate::ops::kernel::{self, GROUP, Kernel, gpu_of};
use crate::tensor::Tensor;
use std::fmt::Write;
use std::sync::Arc;

/// Elements that a workgroup goes through at a time, and times that it does: more where what it found is put together behind it.
const CHUNK: usize = 4 * GROUP as usize;
const ROUNDS: [usize; 2] = [1, 16];
/// Elements from which on a row is worth a dispatch of its own, where cases cost.
const ALONE: usize = 1 << 14;

/// What a kernel does to the tensors of a row, element by element, in WGSL.
pub struct Work<'a> {
    /// Tells this text from others.
    pub key: &'a str,
    /// WGSL type of an element.
    pub element: &'a str,
    /// A column a tensor of a row: whether it is written. `get0(i)`, `put0(i, value)` access that of the first column.
    pub written: &'a [bool],
    /// Functions that `body` uses; `constant(k)` is the k-th of the row.
    pub functions: &'a str,
    /// What happens to element `i` (of whichever four an invocation has at hand); with `sum` an expression, whose total a
    /// workgroup puts into the tensor beside.
    pub body: &'a str,
    pub sum: bool,
}

/// The tensors that a kernel handles together, all dense and of one length, and their numbers.
pub struct Row<'a> {
    pub tensors: Vec<&'a Tensor>,
    pub constants: Vec<f32>,
}

/// What a kernel's text depends on besides its work.
pub struct Cut {
    pub rows: usize,
    /// Numbers a row.
    pub constants: usize,
    pub beside: bool,
    /// All tensors consist of four elements side by side: an invocation reads and writes them as one.
    pub quads: bool,
}

/// Workgroups that a tensor takes: with sums, the partial ones it leaves.
pub fn groups(tensor: &Tensor, sum: bool) -> usize {
    tensor.numel().div_ceil(CHUNK * ROUNDS[usize::from(sum)])
}

/// Runs it for all rows. `beside` is one more tensor, `beside[p(4u) + i]` in the text: read, or written by sums, those of a
/// row one after the other and rows in their order.
pub fn run(work: &Work, rows: &[Row], beside: Option<&Tensor>) -> Result<()> {
    let Some(first) = rows.first() else { return Ok(()) };
    let gpu = gpu_of(first.tensors[0])?;
    let most = rows_a_dispatch(&gpu, work.written.len(), beside.is_some());
    let (mut before, mut rest) = (0, rows);
    while !rest.is_empty() {
        // A driver on the CPU goes through the cases of every row for every element.
        let alone = |row: &Row| gpu.lanes().is_some() && row.tensors[0].numel() >= ALONE;
        let together = rest.iter().take(most).take_while(|row| !alone(row)).count().max(1);
        let (now, later) = rest.split_at(together);
        before += dispatch(&gpu, work, now, beside, before)?;
        rest = later;
    }
    Ok(())
}

/// One binding is the table's.
fn rows_a_dispatch(gpu: &Gpu, columns: usize, beside: bool) -> usize {
    let bindings = (gpu.limits().bindings as usize).min(BINDINGS);
    ((bindings - 1 - usize::from(beside)) / columns).max(1)
}

/// `before`: workgroups of earlier dispatches. Returns those of this one.
fn dispatch(gpu: &Arc<Gpu>, work: &Work, rows: &[Row], beside: Option<&Tensor>, before: usize) -> Result<usize> {
    let mut launch = Kernel::new(gpu);
    let mut table = Vec::new();
    let mut total = 0;
    let mut quads = work.element == "f32";
    for row in rows {
        table.push(total as u32);
        table.push(row.tensors[0].numel() as u32);
        for (tensor, written) in row.tensors.iter().zip(work.written) {
            crate::ensure!(
                tensor.numel() == row.tensors[0].numel() && tensor.layout().is_dense(),
                Internal,
                "{}: tensors of one row differ",
                work.key
            );
            let own = tensor.device()?;
            crate::ensure!(
                matches!(&own, crate::device::Device::Gpu(other) if Arc::ptr_eq(other, gpu)),
                Device,
                "{}: tensors of one call are on {} and {own:?}",
                crate::op::running(),
                gpu.name()
            );
            if *written {
                tensor.storage()?.raise_version();
            }
            let place = launch.bind(tensor, tensor.layout(), *written)?;
            quads &= place % 4 == 0 && tensor.numel() % 4 == 0;
            table.push(place);
        }
        table.extend(row.constants.iter().map(|value| value.to_bits()));
        total += groups(row.tensors[0], work.sum);
    }
    if total == 0 {
        return Ok(0);
    }
    let words = table.len() / rows.len();
    let table = kernel::table(gpu, &table)?;
    launch.read(&table)?;
    let place = match beside {
        Some(tensor) => launch.bind(tensor, tensor.layout(), work.sum)?,
        None => 0,
    };
    launch.set_sizes(&[rows.len(), words, total, before]);
    launch.set(&[place]);
    let cut = Cut { rows: rows.len(), constants: rows[0].constants.len(), beside: beside.is_some(), quads };
    let key = format!("{} {} {} {} {quads}", work.key, cut.rows, cut.constants, cut.beside);
    launch.run(&key, &|| wgsl(work, &cut), gpu.workgroups(total, 1)?)?;
    Ok(total)
}

/// The kernel. An invocation has four elements at a time.
pub fn wgsl(work: &Work, cut: &Cut) -> String {
    let Cut { rows, constants, beside, quads } = *cut;
    let Work { element, written, functions, body, sum, .. } = work;
    let columns = written.len();
    let kind = if quads { format!("vec4<{element}>") } else { element.to_string() };
    let mut text = String::new();
    let mut line = |args: std::fmt::Arguments| writeln!(text, "{args}").expect("text");
    for row in 0..rows {
        for (column, written) in written.iter().enumerate() {
            let access = if *written { "read_write" } else { "read" };
            let binding = row * columns + column + 1;
            line(format_args!("@group(0) @binding({binding}) var<storage, {access}> t{row}_{column}: array<{kind}>;"));
        }
    }
    let next = rows * columns + 1;
    line(format_args!("@group(0) @binding({next}) var<storage, read> table: array<u32>;"));
    if beside {
        let access = if *sum { "read_write" } else { "read" };
        line(format_args!("@group(0) @binding({}) var<storage, {access}> beside: array<f32>;", next + 1));
    }
    line(format_args!(
        "var<private> own: u32;
fn entry(k: u32) -> u32 {{ return table[own * p(1u) + k]; }}
var<private> constants: array<f32, {}>;
fn constant(k: u32) -> f32 {{ return constants[k]; }}",
        constants.max(1)
    ));
    // load and store: what lies at `place` of a buffer; get and put: element i of the tensor, or of the four at hand.
    for (column, written) in written.iter().enumerate() {
        line(format_args!("fn load{column}(place: u32) -> {kind} {{ switch (own) {{"));
        for row in 1..rows {
            line(format_args!("case {row}u: {{ return t{row}_{column}[place]; }}"));
        }
        line(format_args!("default: {{ return t0_{column}[place]; }} }} }}"));
        if *written {
            line(format_args!("fn store{column}(place: u32, value: {kind}) {{ switch (own) {{"));
            for row in 1..rows {
                line(format_args!("case {row}u: {{ t{row}_{column}[place] = value; }}"));
            }
            line(format_args!("default: {{ t0_{column}[place] = value; }} }} }}"));
        }
        match quads {
            true => line(format_args!(
                "var<private> four{column}: {kind};
fn get{column}(i: u32) -> {element} {{ return four{column}[i]; }}
fn put{column}(i: u32, value: {element}) {{ four{column}[i] = value; }}"
            )),
            false => {
                line(format_args!(
                    "fn get{column}(i: u32) -> {element} {{ return load{column}(entry({}u) + i); }}",
                    2 + column
                ));
                if *written {
                    line(format_args!(
                        "fn put{column}(i: u32, value: {element}) {{ store{column}(entry({}u) + i, value); }}",
                        2 + column
                    ));
                }
            }
        }
    }
    line(format_args!("{functions}"));
    let each = if *sum { format!("total += {body};") } else { body.to_string() };
    let workgroup = if *sum { "var<workgroup> sums: array<f32, 256>;\n" } else { "" };
    let end = if *sum {
        "sums[local] = total;
    workgroupBarrier();
    for (var half = 128u; half > 0u; half = half / 2u) {
        if (local < half) { sums[local] += sums[local + half]; }
        workgroupBarrier();
    }
    if (local == 0u && there) { beside[p(4u) + p(3u) + group] = sums[0]; }"
    } else {
        ""
    };
    let held: String =
        (0..constants).map(|k| format!("constants[{k}] = bitcast<f32>(entry({}u));\n", 2 + columns + k)).collect();
    let rounds = ROUNDS[usize::from(*sum)];
    let chunk = if quads {
        let move_all = |what: &dyn Fn(usize) -> String| (0..columns).map(what).collect::<String>();
        let loads = move_all(&|c| format!("four{c} = load{c}(entry({}u) / 4u + first);\n", 2 + c));
        let stores = move_all(&|c| match written[c] {
            true => format!("store{c}(entry({}u) / 4u + first, four{c});\n", 2 + c),
            false => String::new(),
        });
        let bodies: String = (0..4).map(|i| format!("{{ const i = {i}u; {each} }}\n")).collect();
        let first = format!("(group - entry(0u)) * {}u + k * 256u + local", 256 * rounds);
        format!(
            "for (var k = 0u; k < {rounds}u; k += 1u) {{
let first = {first};
if (there && first < entry(1u) / 4u) {{\n{loads}{bodies}{stores}}}
}}"
        )
    } else {
        format!(
            "for (var k = 0u; k < {}u; k += 1u) {{
        let i = (group - entry(0u)) * {}u + k * 256u + local;
        if (there && i < entry(1u)) {{ {each} }}
    }}",
            4 * rounds,
            1024 * rounds
        )
    };
    line(format_args!(
        "{workgroup}@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) local: u32) {{
    let group = id.y * groups.x + id.x;
    let there = group < p(2u);
    // The last row that begins at or before this workgroup and has elements: rows without any begin where the next does.
    own = 0u;
    for (var k = 1u; k < p(0u); k += 1u) {{ if (table[k * p(1u)] <= group) {{ own = k; }} }}
    {held}var total = 0.0;
    {chunk}
    {end}
}}"
    ));
    text
}
