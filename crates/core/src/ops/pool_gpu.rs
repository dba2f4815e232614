//! Pooling on a GPU: an invocation an element of the result, forward and back; no two write to one place, so that sums
//! come in one order. Channels last.

use crate::cpu::pool::{Span, Windows};
use crate::dtype::DType;
use crate::error::Result;
use crate::ops::kernel::{self, Kernel, gpu_of};
use crate::shape::Layout;
use crate::tensor::Tensor;

fn image(shape: [usize; 4]) -> Layout {
    Layout { shape: shape.as_slice().into(), strides: Tensor::strides_for(&shape, true), offset: 0 }
}

/// The spans of both directions as words: start, count and divisor of each output row, then of each column.
fn forward_table(x: &Tensor, windows: &Windows) -> Result<Tensor> {
    let words: Vec<u32> =
        windows.spans.iter().flatten().flat_map(|s| [s.start as u32, s.count as u32, s.divisor as u32]).collect();
    kernel::table(&gpu_of(x)?, &words)
}

/// As [`forward_table`], and behind it the first output and the one behind the last that may see each pixel row, then column.
fn backward_table(x: &Tensor, windows: &Windows) -> Result<Tensor> {
    let mut words: Vec<u32> =
        windows.spans.iter().flatten().flat_map(|s| [s.start as u32, s.count as u32, s.divisor as u32]).collect();
    for d in 0..2 {
        for place in 0..windows.size[d] {
            let sees = |span: &Span| {
                span.count > 0 && span.start <= place && place <= span.start + (span.count - 1) * windows.step[d]
            };
            let first = windows.spans[d].iter().position(sees).unwrap_or(0);
            let end = windows.spans[d].iter().rposition(sees).map_or(first, |last| last + 1);
            words.extend([first as u32, end as u32]);
        }
    }
    kernel::table(&gpu_of(x)?, &words)
}

/// p: 0 elements, 1 channels, 2, 3 rows and columns of the image, 4, 5 of the result, 6, 7 steps, 8 table, then places.
fn launch(table: &Tensor, elements: usize, channels: usize, windows: &Windows) -> Result<Kernel> {
    let mut launch = Kernel::new(&gpu_of(table)?);
    let at = launch.read(table)?;
    launch.set_sizes(&[elements, channels, windows.size[0], windows.size[1]]);
    launch.set_sizes(&[windows.spans[0].len(), windows.spans[1].len(), windows.step[0], windows.step[1]]);
    launch.set(&[at]);
    Ok(launch)
}

const HEAD: &str = "@group(0) @binding(1) var<storage, read> table: array<u32>;
// (start, count, divisor) of an output row or column.
fn row_span(y: u32) -> vec3<u32> { let t = p(8u) + 3u * y; return vec3<u32>(table[t], table[t + 1u], table[t + 2u]); }
fn column_span(x: u32) -> vec3<u32> { return row_span(p(4u) + x); }
// The first output row or column that may see a pixel's, and the one behind the last.
fn rows_over(y: u32) -> vec2<u32> { let t = p(8u) + 3u * (p(4u) + p(5u)) + 2u * y; return vec2<u32>(table[t], table[t + 1u]); }
fn columns_over(x: u32) -> vec2<u32> { return rows_over(p(2u) + x); }
fn covers(span: vec3<u32>, place: u32, step: u32) -> bool {
    return place >= span.x && (place - span.x) % step == 0u && (place - span.x) / step < span.y;
}
";
const EACH: &str = "fn each(i: u32) {
if (i >= p(0u)) { return; }
let c = i % p(1u);
";
/// Element i of the result, or of the image: its column, row and image.
const OF_RESULT: &str =
    "let ox = (i / p(1u)) % p(5u);\nlet oy = (i / p(1u) / p(5u)) % p(4u);\nlet image = i / p(1u) / p(5u) / p(4u);\n";
const OF_IMAGE: &str =
    "let ix = (i / p(1u)) % p(3u);\nlet iy = (i / p(1u) / p(3u)) % p(2u);\nlet image = i / p(1u) / p(3u) / p(2u);\n";

/// The maxima and their places (int64). Of equal elements the first; a NaN wins.
pub fn max_forward(x: &Tensor, shape: [usize; 4], windows: &Windows) -> Result<[Tensor; 2]> {
    let gpu = gpu_of(x)?;
    let (y, places) =
        (kernel::output(&gpu, image(shape), DType::F32)?, kernel::output(&gpu, image(shape), DType::I64)?);
    if y.numel() == 0 {
        return Ok([y, places]);
    }
    let mut launch = launch(&forward_table(x, windows)?, y.numel(), shape[1], windows)?;
    let at = [launch.read(x)?, launch.write(&y)?, launch.write(&places)?];
    launch.set(&at);
    let text = || {
        format!(
            "{HEAD}@group(0) @binding(2) var<storage, read> x: array<f32>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;
@group(0) @binding(4) var<storage, read_write> places: array<vec2<u32>>;
{EACH}{OF_RESULT}
let rows = row_span(oy);
let columns = column_span(ox);
var best = -infinity();
var place = rows.x * p(3u) + columns.x;
for (var r = 0u; r < rows.y; r += 1u) {{
    for (var k = 0u; k < columns.y; k += 1u) {{
        let here = (rows.x + r * p(6u)) * p(3u) + columns.x + k * p(7u);
        let value = x[p(9u) + (image * p(2u) * p(3u) + here) * p(1u) + c];
        if (value > best || (is_nan(value) && !is_nan(best))) {{ best = value; place = here; }}
    }}
}}
out[p(10u) + i] = best;
places[p(11u) + i] = vec2<u32>(place, 0u);
}}
"
        )
    };
    launch.run_each("max pool", &text, y.numel())?;
    Ok([y, places])
}

/// Images with each value at its place, zero elsewhere: every pixel gathers from the windows that see it.
pub fn max_backward(values: &Tensor, places: &Tensor, shape: [usize; 4], windows: &Windows) -> Result<Tensor> {
    let out = kernel::output(&gpu_of(values)?, image(shape), DType::F32)?;
    if out.numel() == 0 {
        return Ok(out);
    }
    let mut launch = launch(&backward_table(values, windows)?, out.numel(), shape[1], windows)?;
    let at = [launch.read(values)?, launch.read(places)?, launch.write(&out)?];
    launch.set(&at);
    let text = || {
        format!(
            "{HEAD}@group(0) @binding(2) var<storage, read> values: array<f32>;
@group(0) @binding(3) var<storage, read> places: array<vec2<u32>>;
@group(0) @binding(4) var<storage, read_write> out: array<f32>;
{EACH}{OF_IMAGE}
let rows = rows_over(iy);
let columns = columns_over(ix);
var sum = 0.0;
for (var oy = rows.x; oy < rows.y; oy += 1u) {{
    for (var ox = columns.x; ox < columns.y; ox += 1u) {{
        let source = ((image * p(4u) + oy) * p(5u) + ox) * p(1u) + c;
        if (places[p(10u) + source].x == iy * p(3u) + ix) {{ sum += values[p(9u) + source]; }}
    }}
}}
out[p(11u) + i] = sum;
}}
"
        )
    };
    launch.run_each("max pool gradient", &text, out.numel())?;
    Ok(out)
}

/// The values of images at places.
pub fn gather(x: &Tensor, places: &Tensor, shape: [usize; 4]) -> Result<Tensor> {
    let out = kernel::output(&gpu_of(x)?, image(shape), DType::F32)?;
    if out.numel() == 0 {
        return Ok(out);
    }
    let mut launch = Kernel::new(&gpu_of(x)?);
    let at = [launch.read(x)?, launch.read(places)?, launch.write(&out)?];
    launch.set_sizes(&[out.numel(), shape[1], shape[2] * shape[3], x.shape()[2] * x.shape()[3]]);
    launch.set(&at);
    let text = "@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> places: array<vec2<u32>>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;
fn each(i: u32) {
    if (i >= p(0u)) { return; }
    let image = i / p(1u) / p(2u);
    out[p(6u) + i] = x[p(4u) + (image * p(3u) + places[p(5u) + i].x) * p(1u) + i % p(1u)];
}
";
    launch.run_each("max pool gather", &|| text.to_string(), out.numel())?;
    Ok(out)
}

/// The average of each window; or, from gradients of averages, that of the image.
pub fn average(x: &Tensor, shape: [usize; 4], windows: &Windows, back: bool) -> Result<Tensor> {
    let out = kernel::output(&gpu_of(x)?, image(shape), DType::F32)?;
    if out.numel() == 0 {
        return Ok(out);
    }
    let table = if back { backward_table(x, windows)? } else { forward_table(x, windows)? };
    let mut launch = launch(&table, out.numel(), shape[1], windows)?;
    let at = [launch.read(x)?, launch.write(&out)?];
    launch.set(&at);
    launch.set_floats(&[windows.divisor.unwrap_or(0.0) as f32]);
    let text = || {
        let body = if back {
            format!(
                "{OF_IMAGE}let rows = rows_over(iy);
let columns = columns_over(ix);
var sum = 0.0;
for (var oy = rows.x; oy < rows.y; oy += 1u) {{
    let down = row_span(oy);
    if (!covers(down, iy, p(6u))) {{ continue; }}
    for (var ox = columns.x; ox < columns.y; ox += 1u) {{
        let right = column_span(ox);
        if (!covers(right, ix, p(7u))) {{ continue; }}
        sum += x[p(9u) + ((image * p(4u) + oy) * p(5u) + ox) * p(1u) + c] / divisor(down, right);
    }}
}}
out[p(10u) + i] = sum;
}}
"
            )
        } else {
            format!(
                "{OF_RESULT}let rows = row_span(oy);
let columns = column_span(ox);
var sum = 0.0;
for (var r = 0u; r < rows.y; r += 1u) {{
    var line = 0.0;
    for (var k = 0u; k < columns.y; k += 1u) {{
        let here = (rows.x + r * p(6u)) * p(3u) + columns.x + k * p(7u);
        line += x[p(9u) + (image * p(2u) * p(3u) + here) * p(1u) + c];
    }}
    sum += line;
}}
out[p(10u) + i] = sum / divisor(rows, columns);
}}
"
            )
        };
        format!(
            "{HEAD}@group(0) @binding(2) var<storage, read> x: array<f32>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;
fn divisor(down: vec3<u32>, right: vec3<u32>) -> f32 {{
    return select(f32(down.z * right.z), pf(11u), pf(11u) != 0.0);
}}
{EACH}{body}"
        )
    };
    launch.run_each(if back { "average pool gradient" } else { "average pool" }, &text, out.numel())?;
    Ok(out)
}
