//! Tensors whose axes are made of those of another on a GPU, a sparse matrix an axis: padding, flips, rolls, resizing and
//! their gradients. An invocation an element of the result, so that sums come in one order.

use crate::dtype::DType;
use crate::error::Result;
use crate::ops::kernel::{self, Kernel, element, gpu_of};
use crate::shape::{Dims, Layout};
use crate::tensor::Tensor;
use std::fmt::Write;

/// For each place along an axis of the result, the places of the source it is the sum of, and their weights.
pub struct Axis {
    pub dim: usize,
    pub taps: Vec<Vec<(usize, f32)>>,
}

/// No place: the fill value stands there.
const NONE: u32 = u32::MAX;

/// How an axis is read.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    /// As it is.
    Kept,
    /// A place each, or none.
    Single,
    /// A list of places each.
    Many,
    /// And a weight for each of those.
    Weighted,
}

struct Dimension {
    size: usize,
    stride: usize,
    kind: Kind,
    /// Words of the table before its own.
    table: usize,
    /// Words from a place to its weight.
    weights: usize,
}

/// Elements without any place are `fill`. The result lies in memory in the order of `order`'s strides (a layout of its
/// shape). Sums and weights need float32.
pub fn apply(x: &Tensor, axes: &[Axis], order: &Layout, fill: f64) -> Result<Tensor> {
    let gpu = gpu_of(x)?;
    let shape = order.shape.clone();
    let strides = order.dense_strides();
    let out = kernel::output(&gpu, Layout { shape: shape.clone(), strides: strides.clone(), offset: 0 }, x.dtype())?;
    if out.numel() == 0 {
        return Ok(out);
    }
    // Along the memory of the result, so that writes run along.
    let mut along: Vec<usize> = (0..shape.len()).collect();
    along.sort_by_key(|&d| std::cmp::Reverse((strides[d], shape[d])));
    let (mut words, mut dimensions): (Vec<u32>, Vec<Dimension>) = (Vec::new(), Vec::new());
    for d in along {
        let (size, stride) = (shape[d], x.strides()[d]);
        let Some(axis) = axes.iter().find(|axis| axis.dim == d) else {
            match dimensions.last_mut() {
                Some(last) if last.kind == Kind::Kept && last.stride == stride * size => {
                    (last.size, last.stride) = (last.size * size, stride);
                }
                _ if size == 1 => {}
                _ => dimensions.push(Dimension { size, stride, kind: Kind::Kept, table: 0, weights: 0 }),
            }
            continue;
        };
        let table = words.len();
        let (kind, weights) = write_table(axis, &mut words);
        dimensions.push(Dimension { size, stride, kind, table, weights });
    }
    crate::ensure!(
        dimensions.len() <= 8,
        Unsupported,
        "{}: {} dimensions; GPUs take 8",
        crate::op::running(),
        dimensions.len()
    );
    let table = kernel::table(&gpu, &words)?;
    let mut launch = Kernel::new(&gpu);
    let [from, at, to] = [launch.read(x)?, launch.read(&table)?, launch.write(&out)?];
    let bits = match x.dtype() {
        DType::F32 => [(fill as f32).to_bits(), 0],
        DType::I64 => [fill as i64 as u32, (fill as i64 >> 32) as u32],
        DType::Bool => [u32::from(fill != 0.0), 0],
        _ => [u32::from(fill as u8), 0],
    };
    launch.set(&[out.numel() as u32, from, to, bits[0], bits[1]]);
    for dimension in &dimensions {
        launch.set_sizes(&[dimension.size, dimension.stride, at as usize + dimension.table, dimension.weights]);
    }
    let kinds: Vec<Kind> = dimensions.iter().map(|dimension| dimension.kind).collect();
    let dtype = x.dtype();
    let invocations = kernel::stores(dtype, out.numel());
    launch.run_each(&format!("axes {} {kinds:?}", dtype.name()), &|| wgsl(&kinds, dtype), invocations)?;
    Ok(out)
}

/// Appends what the kernel reads of an axis: places; or where each list begins, places, and perhaps weights.
fn write_table(axis: &Axis, words: &mut Vec<u32>) -> (Kind, usize) {
    let count: usize = axis.taps.iter().map(Vec::len).sum();
    let plain = axis.taps.iter().flatten().all(|(_, weight)| *weight == 1.0);
    if plain && axis.taps.iter().all(|taps| taps.len() <= 1) {
        words.extend(axis.taps.iter().map(|taps| taps.first().map_or(NONE, |(place, _)| *place as u32)));
        return (Kind::Single, 0);
    }
    // Counted from the beginning of this axis' words.
    let mut start = axis.taps.len() as u32 + 1;
    for taps in &axis.taps {
        words.push(start);
        start += taps.len() as u32;
    }
    words.push(start);
    words.extend(axis.taps.iter().flatten().map(|(place, _)| *place as u32));
    if plain {
        return (Kind::Many, 0);
    }
    words.extend(axis.taps.iter().flatten().map(|(_, weight)| weight.to_bits()));
    (Kind::Weighted, count)
}

fn wgsl(kinds: &[Kind], dtype: DType) -> String {
    let kind = element(dtype);
    let fill = match dtype {
        DType::F32 => "pf(3u)",
        DType::I64 => "vec2<u32>(p(3u), p(4u))",
        _ => "p(3u)",
    };
    let mut text = format!(
        "@group(0) @binding(1) var<storage, read> x: array<{kind}>;
@group(0) @binding(2) var<storage, read> table: array<u32>;
@group(0) @binding(3) var<storage, read_write> out: array<{kind}>;
fn value(i: u32) -> {kind} {{
var rest = i;
var place = p(1u);
"
    );
    let parameter = |d: usize, k: usize| format!("p({}u)", 5 + 4 * d + k);
    for d in (0..kinds.len()).rev() {
        let [size, stride, table] = [0, 1, 2].map(|k| parameter(d, k));
        writeln!(text, "let i{d} = rest % {size};\nrest = rest / {size};").expect("text");
        match kinds[d] {
            Kind::Kept => writeln!(text, "place += i{d} * {stride};"),
            Kind::Single => writeln!(
                text,
                "let c{d} = table[{table} + i{d}];\nif (c{d} == {NONE}u) {{ return {fill}; }}\nplace += c{d} * {stride};"
            ),
            Kind::Many | Kind::Weighted => Ok(()),
        }
        .expect("text");
    }
    let lists: Vec<usize> = (0..kinds.len()).filter(|&d| matches!(kinds[d], Kind::Many | Kind::Weighted)).collect();
    let at = kernel::load(dtype, "x", "place");
    if lists.is_empty() {
        writeln!(text, "return {at};\n}}").expect("text");
    } else {
        text += "var sum = 0.0;\n";
        let (mut inner, mut weight) = (String::from("place"), String::new());
        for &d in &lists {
            let [stride, table, weights] = [1, 2, 3].map(|k| parameter(d, k));
            writeln!(text, "for (var k{d} = table[{table} + i{d}]; k{d} < table[{table} + i{d} + 1u]; k{d} += 1u) {{")
                .expect("text");
            write!(inner, " + table[{table} + k{d}] * {stride}").expect("text");
            if kinds[d] == Kind::Weighted {
                write!(weight, "bitcast<f32>(table[{table} + k{d} + {weights}]) * ").expect("text");
            }
        }
        writeln!(text, "sum += {weight}x[{inner}];{}\nreturn sum;\n}}", "\n}".repeat(lists.len())).expect("text");
    }
    text + &kernel::store_each(dtype, 2)
}

/// The shape of a result, and the order in memory of its source.
pub fn order_like(x: &Tensor, shape: &[usize]) -> Layout {
    Layout { shape: Dims::from_slice(shape), strides: x.layout().dense_strides(), offset: 0 }
}
