//! Elements and rows by integer indices on a GPU. Reading is an invocation an element of the result; so is adding and
//! overwriting: each place looks for the elements that go there, in the order of the indices, so that sums have the same
//! bits each time. Long lists of indices are sorted for that. An index outside is told of by the next read.

use crate::dtype::DType;
use crate::error::Result;
use crate::ops::kernel::{self, Kernel, element, faults_wgsl, gpu_of};
use crate::ops::movement_gpu::cast;
use crate::ops::sort_gpu;
use crate::shape::{Dims, Layout};
use crate::tensor::Tensor;
use crate::{ensure, op};
use std::fmt::Write;

fn few_dimensions(n: usize) -> Result<()> {
    ensure!(n <= 8, Unsupported, "{}: {n} dimensions; GPUs take 8", op::running());
    Ok(())
}

/// Element [.., index[.., i, ..], ..] of x along `dim` at each place [.., i, ..] of the index (a layout of the result's
/// shape; its strides may be 0).
pub fn gather(x: &Tensor, dim: usize, index: &Tensor, places: &Layout) -> Result<Tensor> {
    let gpu = gpu_of(x)?;
    let out = kernel::output_of(&gpu, &places.shape, x.dtype())?;
    if out.numel() == 0 {
        return Ok(out);
    }
    // Where x lies but for the dimension that is looked up. A scalar is one line of one element.
    let mut lines = Layout { shape: places.shape.clone(), strides: Dims::from_slice(x.strides()), offset: 0 };
    let (size, stride) = (x.shape().get(dim).copied().unwrap_or(1), x.strides().get(dim).copied().unwrap_or(0));
    if let Some(along) = lines.strides.get_mut(dim) {
        *along = 0;
    }
    let mut both = [lines, places.clone()];
    Layout::collapse(&mut both);
    let [lines, places] = both;
    few_dimensions(lines.ndim())?;
    let mut launch = Kernel::new(&gpu);
    let at = [launch.read(x)?, launch.bind(index, &places, false)?, launch.write(&out)?];
    let number = launch.tell_faults();
    launch.set_sizes(&[out.numel()]);
    launch.set(&at);
    launch.set_sizes(&[size, stride]);
    launch.set(&[number]);
    for layout in [&lines.shape, &lines.strides, &places.strides] {
        launch.set_sizes(layout);
    }
    let (n, dtype) = (lines.ndim(), x.dtype());
    let text = || {
        let kind = element(dtype);
        let mut text = format!(
            "@group(0) @binding(1) var<storage, read> x: array<{kind}>;
@group(0) @binding(2) var<storage, read> index: array<vec2<u32>>;
@group(0) @binding(3) var<storage, read_write> out: array<{kind}>;
{}
fn value(i: u32) -> {kind} {{
var rest = i;
var own = p(1u);
var at = p(2u);
",
            faults_wgsl(4, "p(6u)")
        );
        for d in (0..n).rev() {
            let size = 7 + d;
            writeln!(text, "let i{d} = rest % p({size}u);\nrest = rest / p({size}u);").expect("text");
            writeln!(text, "own += i{d} * p({}u);\nat += i{d} * p({}u);", size + n, size + 2 * n).expect("text");
        }
        let missing = match dtype {
            DType::F32 => "nan()",
            DType::I64 => "vec2<u32>(0u, 0u)",
            _ => "0u",
        };
        let load = kernel::load(dtype, "x", "place");
        write!(
            text,
            "let chosen = index_in(index[at], p(4u));
if (chosen == 0xffffffffu) {{ return {missing}; }}
let place = own + chosen * p(5u);
return {load};
}}
"
        )
        .expect("text");
        text + &kernel::store_each(dtype, 3)
    };
    let invocations = kernel::stores(dtype, out.numel());
    launch.run_each(&format!("gather {} {n}", dtype.name()), &text, invocations)?;
    Ok(out)
}

/// What happens to the elements that meet at one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meeting {
    /// They are added to what is there.
    Add,
    /// The last one replaces it.
    Last,
}

/// Indices a line up to which every place reads all of them; longer lines are sorted.
const SHORT: usize = 32;

/// x with each element of `source` (in `sources`, a layout of the index's shape) put at the place that the index (in `places`)
/// names along `dim`. The index reaches no further than x in other dimensions.
pub fn scatter(
    x: &Tensor,
    dim: usize,
    (index, places): (&Tensor, &Layout),
    (source, sources): (&Tensor, &Layout),
    meeting: Meeting,
) -> Result<Tensor> {
    if x.dtype().size() == 1 {
        // Bytes of several places share a word: by way of int64.
        let (wide, wide_source) = (cast(x, DType::I64)?, cast(&source.alias(sources.clone())?, DType::I64)?);
        let sources = wide_source.layout().clone();
        return cast(&scatter(&wide, dim, (index, places), (&wide_source, &sources), meeting)?, x.dtype());
    }
    let gpu = gpu_of(x)?;
    let n = places.shape.get(dim).copied().unwrap_or(1);
    let size = x.shape().get(dim).copied().unwrap_or(1);
    ensure!(
        size > 0 || places.numel() == 0,
        Argument,
        "{}: {} indices do not lie in 0..0",
        op::running(),
        places.numel()
    );
    let out = kernel::output_of(&gpu, x.shape(), x.dtype())?;
    if out.numel() == 0 {
        return Ok(out);
    }
    if places.numel() == 0 {
        return crate::ops::movement_gpu::copy(x, Layout::contiguous(x.shape()));
    }
    few_dimensions(x.ndim())?;
    let sorted = if n > SHORT { Some(order(index, places, dim)?) } else { None };
    let mut launch = Kernel::new(&gpu);
    let mut at = vec![launch.read(x)?, launch.bind(index, places, false)?, launch.bind(source, sources, false)?];
    at.push(launch.write(&out)?);
    at.push(sorted.as_ref().map_or(Ok(0), |sorted| launch.read(sorted))?);
    let number = launch.tell_faults();
    launch.set_sizes(&[out.numel()]);
    launch.set(&at);
    launch.set_sizes(&[n, size]);
    launch.set(&[number]);
    for d in 0..x.ndim() {
        let order = sorted.as_ref().map_or(0, |sorted| sorted.strides()[d]);
        let bound = if d == dim { x.shape()[d] } else { places.shape[d] };
        launch.set_sizes(&[x.shape()[d], x.strides()[d], bound, places.strides[d], sources.strides[d], order]);
    }
    let (dimensions, dtype, is_sorted) = (x.ndim(), x.dtype(), sorted.is_some());
    let text = || scatter_wgsl(dimensions, dim, dtype, meeting, is_sorted);
    launch.run_each(
        &format!("scatter {dimensions} {dim} {} {meeting:?} {is_sorted}", dtype.name()),
        &text,
        out.numel(),
    )?;
    Ok(out)
}

/// The order that sorts each line of an index, int64, in its shape; its strides are 0 where all lines are the same.
fn order(index: &Tensor, places: &Layout, dim: usize) -> Result<Tensor> {
    let mut once = places.clone();
    for d in (0..once.ndim()).filter(|&d| d != dim && places.strides[d] == 0) {
        once.shape[d] = 1;
    }
    let sorted = sort_gpu::argsort(&index.alias(once)?, dim, false, None)?;
    sorted.alias(sorted.layout().expand(&places.shape)?)
}

/// p: 0 elements, 1 to 5 where x, index, source, result and order begin, 6 indices a line, 7 places a line, 8 the operation's
/// number, then for each dimension: size, stride of x, how far the index reaches, strides of index, source and order.
fn scatter_wgsl(n: usize, dim: usize, dtype: DType, meeting: Meeting, sorted: bool) -> String {
    let kind = element(dtype);
    let mut text = format!(
        "@group(0) @binding(1) var<storage, read> x: array<{kind}>;
@group(0) @binding(2) var<storage, read> index: array<vec2<u32>>;
@group(0) @binding(3) var<storage, read> source: array<{kind}>;
@group(0) @binding(4) var<storage, read_write> out: array<{kind}>;
"
    );
    let last = if sorted {
        text += "@group(0) @binding(5) var<storage, read> order: array<vec2<u32>>;\n";
        6
    } else {
        5
    };
    text += &faults_wgsl(last, "p(8u)");
    text += "fn each(i: u32) {
if (i >= p(0u)) { return; }
var rest = i;
var own = p(1u);
var line = p(2u);
var supply = p(3u);
var sequence = p(5u);
var place = 0u;
var reached = true;
";
    for d in (0..n).rev() {
        let at = 9 + 6 * d;
        writeln!(text, "let i{d} = rest % p({at}u);\nrest = rest / p({at}u);\nown += i{d} * p({}u);", at + 1)
            .expect("text");
        if d == dim {
            writeln!(text, "place = i{d};").expect("text");
        } else {
            writeln!(
                text,
                "reached = reached && i{d} < p({}u);\nline += i{d} * p({}u);\nsupply += i{d} * p({}u);\nsequence += i{d} * p({}u);",
                at + 2,
                at + 3,
                at + 4,
                at + 5
            )
            .expect("text");
        }
    }
    let [step, supply_step, order_step] = match n {
        0 => ["0u".to_string(), "0u".to_string(), "0u".to_string()],
        _ => [3, 4, 5].map(|k| format!("p({}u)", 9 + 6 * dim + k)),
    };
    let meet = match (meeting, dtype) {
        (Meeting::Last, _) => "value = source[from_source];",
        (_, DType::I64) => "value = long_add(value, source[from_source]);",
        _ => "value += source[from_source];",
    };
    text += "var value = x[own];\nif (reached) {\n";
    text += &if sorted {
        format!(
            "// The first of those that belong here, by halving; what is outside stands at the ends.
if (place == 0u) {{
    let first = index_in(index[line + order[sequence].x * {step}], p(7u));
    let final_one = index_in(index[line + order[sequence + (p(6u) - 1u) * {order_step}].x * {step}], p(7u));
}}
var low = 0u;
var high = p(6u);
let wanted = vec2<u32>(place, 0u);
while (low < high) {{
    let middle = (low + high) / 2u;
    if (long_less(index[line + order[sequence + middle * {order_step}].x * {step}], wanted)) {{ low = middle + 1u; }}
    else {{ high = middle; }}
}}
for (var k = low; k < p(6u); k += 1u) {{
    let chosen = order[sequence + k * {order_step}].x;
    if (any(index[line + chosen * {step}] != wanted)) {{ break; }}
    let from_source = supply + chosen * {supply_step};
    {meet}
}}
"
        )
    } else {
        format!(
            "for (var k = 0u; k < p(6u); k += 1u) {{
    let chosen = index[line + k * {step}];
    if (place == 0u && index_in(chosen, p(7u)) == 0xffffffffu) {{ continue; }}
    if (chosen.x != place || chosen.y != 0u) {{ continue; }}
    let from_source = supply + k * {supply_step};
    {meet}
}}
"
        )
    };
    text + "}\nout[p(4u) + i] = value;\n}\n"
}
