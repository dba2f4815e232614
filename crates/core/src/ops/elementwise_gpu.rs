//! Elementwise kernels for the GPU, generated from the text of an expression: any strides, broadcasting, 1 to 3 inputs.

use crate::dtype::DType;
use crate::error::Result;
use crate::gpu::Gpu;
use crate::op;
use crate::ops::elementwise::{Comparison, Plan, plan};
use crate::ops::kernel::{self, Kernel, element, extent, gpu_of, value_type};
use crate::shape::{Dims, Layout};
use crate::tensor::Tensor;
use std::fmt::Write;

/// Functions of `cpu::math`, as WGSL functions with `m_` before their names.
pub const MATH: &str = include_str!("elementwise.wgsl");

/// What is computed of each place: `text` is an expression in the names of the inputs and of the constants.
pub struct Expression<'a> {
    /// Tells this expression from all others, together with the types of its inputs.
    pub name: &'a str,
    pub inputs: &'a [&'a str],
    pub constants: &'a [&'a str],
    pub text: &'a str,
}

/// `out = expression(inputs)` with broadcasting; the order in memory is that of `cpu`'s `map_tensors`.
/// Elements of int64 inputs are vec2<u32>, of uint8 and bool u32; `text` must give what `dtype` stores.
pub fn map(expression: &Expression, values: &[f32], inputs: &[&Tensor], dtype: DType) -> Result<Tensor> {
    let gpu = gpu_of(inputs[0])?;
    let Plan { shape, strides, layouts } = plan(inputs)?;
    let out = kernel::output(&gpu, Layout { shape, strides, offset: 0 }, dtype)?;
    let numel = out.numel();
    if numel == 0 {
        return Ok(out);
    }
    // One window covers everything, unless a tensor is larger than a binding may be.
    let size = inputs.iter().map(|t| t.dtype().size()).chain([dtype.size()]).max().unwrap_or(8);
    let whole = layouts.iter().map(extent).chain([numel]).max().unwrap_or(0) * size;
    let most = gpu.limits().binding as usize - 512;
    if whole <= most {
        launch(&gpu, expression, values, inputs, &layouts, &out, 0, numel)?;
    } else {
        for piece in pieces(&layouts, most / size) {
            launch(&gpu, expression, values, inputs, &piece.layouts, &out, piece.start, piece.count)?;
        }
    }
    Ok(out)
}

/// A part of the output and what it is made of.
struct Piece {
    start: usize,
    count: usize,
    layouts: Vec<Layout>,
}

/// Cuts along the outermost dimension until no window is larger than `most` elements.
fn pieces(layouts: &[Layout], most: usize) -> Vec<Piece> {
    let mut done = Vec::new();
    let mut open = vec![(0, layouts.to_vec())];
    while let Some((start, layouts)) = open.pop() {
        let count = layouts[0].numel();
        let largest = layouts.iter().map(extent).chain([count]).max().unwrap_or(0);
        let Some(cut) = layouts[0].shape.iter().position(|&n| n > 1).filter(|_| largest > most) else {
            done.push(Piece { start, count, layouts });
            continue;
        };
        // Multiples of 1024 elements keep the vector path and whole words of bytes.
        let rows = layouts[0].shape[cut];
        let inner = count / rows;
        let half = if inner % 1024 == 0 { rows / 2 } else { (rows / 2).next_multiple_of(1024).min(rows - 1) };
        let part = |from: usize, rows: usize| -> Vec<Layout> {
            let take = |layout: &Layout| {
                let mut layout = layout.clone();
                layout.offset += from * layout.strides[cut];
                layout.shape[cut] = rows;
                layout
            };
            layouts.iter().map(take).collect()
        };
        open.push((start + half * inner, part(half, rows - half)));
        open.push((start, part(0, half)));
    }
    done
}

fn launch(
    gpu: &std::sync::Arc<Gpu>,
    expression: &Expression,
    values: &[f32],
    inputs: &[&Tensor],
    layouts: &[Layout],
    out: &Tensor,
    start: usize,
    count: usize,
) -> Result<()> {
    let mut launch = Kernel::new(gpu);
    let mut offsets = Dims::new();
    for (input, layout) in inputs.iter().zip(layouts) {
        offsets.push(launch.bind(input, layout, false)? as usize);
    }
    let target = Layout { shape: Dims::from_slice(&[count]), strides: Dims::from_slice(&[1]), offset: start };
    let to = launch.bind(out, &target, true)? as usize;
    let mut sizes = layouts[0].shape.clone();
    let mut strides: Vec<Dims> = layouts.iter().map(|layout| layout.strides.clone()).collect();
    let dtypes: Vec<DType> = inputs.iter().map(|t| t.dtype()).collect();
    let dtype = out.dtype();
    let float = |dtype: &DType| matches!(dtype, DType::F32 | DType::F16);
    // What stands still along the innermost dimension, if everything else runs along it four by four.
    let still: Option<Vec<bool>> = layouts
        .iter()
        .zip(&offsets)
        .map(|(layout, offset)| {
            let (inner, outer) = layout.strides.split_last().unwrap_or((&0, &[]));
            let quads = *inner == 1 && offset % 4 == 0 && outer.iter().all(|stride| stride % 4 == 0);
            (*inner == 0 || quads).then_some(*inner == 0)
        })
        .collect();
    let whole = sizes.len() <= 1 || sizes.last().is_some_and(|size| size % 4 == 0);
    let still = still.filter(|_| whole && to % 4 == 0 && dtypes.iter().chain([&dtype]).all(float));
    crate::ensure!(sizes.len() <= 8, Unsupported, "{}: {} dimensions; GPUs take 8", op::running(), sizes.len());
    if still.is_some() && !sizes.is_empty() {
        let last = sizes.len() - 1;
        sizes[last] = sizes[last].div_ceil(4);
        strides.iter_mut().for_each(|strides| strides[last] *= 4);
    }
    launch.set_sizes(&[count, to]);
    launch.set_sizes(&offsets);
    launch.set_floats(values);
    launch.set_sizes(&sizes);
    strides.iter().for_each(|strides| launch.set_sizes(strides));
    let mut key = expression.name.to_string();
    for dtype in dtypes.iter().chain([&dtype]) {
        write!(key, " {}", dtype.name()).expect("text");
    }
    let dimensions = sizes.len();
    write!(key, " {dimensions} {still:?}").expect("text");
    let invocations = if still.is_some() { count.div_ceil(4) } else { kernel::stores(dtype, count) };
    launch.run_each(&key, &|| wgsl(expression, &dtypes, dtype, dimensions, still.as_deref()), invocations)
}

/// The expression as the function `f`, and the place of each input's element: one an invocation (as many as share a word), or
/// four where `still` says which inputs have one for all four.
fn wgsl(expression: &Expression, dtypes: &[DType], out: DType, dimensions: usize, still: Option<&[bool]>) -> String {
    let n = dtypes.len();
    let mut text = String::from(MATH);
    for (k, dtype) in dtypes.iter().enumerate() {
        let kind = if still.is_some_and(|still| !still[k]) { kernel::quad(*dtype) } else { element(*dtype) };
        writeln!(text, "@group(0) @binding({}) var<storage, read> a{k}: array<{kind}>;", k + 1).expect("text");
    }
    let kind = if still.is_some() { kernel::quad(out) } else { element(out) };
    writeln!(text, "@group(0) @binding({}) var<storage, read_write> out: array<{kind}>;", n + 1).expect("text");
    let arguments: Vec<String> =
        expression.inputs.iter().zip(dtypes).map(|(name, dtype)| format!("{name}: {}", value_type(*dtype))).collect();
    writeln!(text, "fn f({}) -> {} {{", arguments.join(", "), value_type(out)).expect("text");
    for (k, name) in expression.constants.iter().enumerate() {
        writeln!(text, "let {name} = pf({}u);", 2 + n + k).expect("text");
    }
    writeln!(text, "return {};\n}}", in_wgsl(expression.text)).expect("text");
    let places = places(n, expression.constants.len(), dimensions);
    let Some(still) = still else {
        let load = |k: usize| kernel::load(dtypes[k], &format!("a{k}"), &format!("o{k}"));
        let values = (0..n).map(load).collect::<Vec<_>>().join(", ");
        writeln!(text, "fn value(i: u32) -> {} {{\n{places}return f({values});\n}}", value_type(out)).expect("text");
        return text + &kernel::store_each(out, 1);
    };
    write!(text, "fn each(i: u32) {{\nif (i * 4u >= p(0u)) {{ return; }}\n{places}").expect("text");
    for k in 0..n {
        let [buffer, place] = [format!("a{k}"), format!("o{k}")];
        let value = match still[k] {
            true => format!("vec4<f32>({})", kernel::load(dtypes[k], &buffer, &place)),
            false => kernel::load_quad(dtypes[k], &buffer, &place),
        };
        writeln!(text, "let x{k} = {value};").expect("text");
    }
    let four = ["x", "y", "z", "w"].map(|lane| {
        let values: Vec<String> = (0..n).map(|k| format!("x{k}.{lane}")).collect();
        format!("f({})", values.join(", "))
    });
    writeln!(text, "out[p(1u) / 4u + i] = {};\n}}", kernel::quad_of(out, four)).expect("text");
    text
}

/// The places `o0`, … in the inputs of element `i`, from sizes and strides.
fn places(n: usize, constants: usize, dimensions: usize) -> String {
    let sizes = 2 + n + constants;
    let mut text = String::from("var rest = i;\n");
    for k in 0..n {
        writeln!(text, "var o{k} = p({}u);", 2 + k).expect("text");
    }
    for d in (0..dimensions).rev() {
        let index = if d == 0 {
            "rest".to_string()
        } else {
            writeln!(text, "let i{d} = rest % p({0}u); rest = rest / p({0}u);", sizes + d).expect("text");
            format!("i{d}")
        };
        for k in 0..n {
            writeln!(text, "o{k} += {index} * p({}u);", sizes + dimensions * (k + 1) + d).expect("text");
        }
    }
    text
}

/// Rust's tokens as WGSL: names of `cpu::math` get the prefix of their twins in `elementwise.wgsl`.
fn in_wgsl(text: &str) -> String {
    const TWINS: [&str; 18] = [
        "exp", "log", "expm1", "log1p", "tanh", "erf", "sin", "cos", "floor", "ceil", "round", "sqrt", "abs", "pow",
        "atan2", "max", "min", "sign",
    ];
    let mut out = String::with_capacity(text.len() + 16);
    let mut word = String::new();
    for c in text.chars().chain([' ']) {
        if c.is_alphanumeric() || c == '_' {
            word.push(c);
            continue;
        }
        if TWINS.contains(&&word[..]) {
            out += "m_";
        }
        out += &word;
        word.clear();
        out.push(c);
    }
    out
}

/// What a row says of itself; see `elementwise`.
pub struct UnaryText {
    pub name: &'static str,
    pub constants: &'static [&'static str],
    pub value: (&'static str, &'static str),
    /// Names of x, y and g, then the expression.
    pub gradient: ([&'static str; 3], &'static str),
}

pub fn unary(row: &UnaryText, values: [f64; 2], x: &Tensor) -> Result<Tensor> {
    let expression = Expression { name: row.name, inputs: &[row.value.0], constants: row.constants, text: row.value.1 };
    map(&expression, &constants(row, values), &[x], DType::F32)
}

/// Inputs are what the row keeps of x and y, then the gradient.
pub fn unary_gradient(row: &UnaryText, keeps: (bool, bool), values: [f64; 2], inputs: &[&Tensor]) -> Result<Tensor> {
    let ([x, y, g], text) = row.gradient;
    let names: Vec<&str> = [(keeps.0, x), (keeps.1, y), (true, g)].iter().filter(|n| n.0).map(|n| n.1).collect();
    let name = format!("gradient of {}", row.name);
    let expression = Expression { name: &name, inputs: &names, constants: row.constants, text };
    map(&expression, &constants(row, values), inputs, DType::F32)
}

fn constants(row: &UnaryText, values: [f64; 2]) -> Vec<f32> {
    values[..row.constants.len()].iter().map(|v| *v as f32).collect()
}

/// A row of two inputs; `text` is for floats, integers have their own.
pub fn binary(name: &'static str, names: [&str; 2], text: &str, a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let long = match name {
        "add" => "long_add(a, b)",
        "sub" => "long_sub(a, b)",
        "mul" => "long_mul(a, b)",
        "maximum" => "select(a, b, long_less(a, b))",
        _ => "select(a, b, long_less(b, a))",
    };
    let byte = match name {
        "add" => "a + b",
        "sub" => "a - b",
        "mul" => "a * b",
        "maximum" => "select(a, b, a < b)",
        _ => "select(a, b, b < a)",
    };
    let dtype = if a.dtype() == DType::Bool { DType::U8 } else { a.dtype() };
    let (names, text) = match dtype {
        DType::F32 => (names, text),
        DType::I64 => (["a", "b"], long),
        _ => (["a", "b"], byte),
    };
    map(&Expression { name, inputs: &names, constants: &[], text }, &[], &[a, b], dtype)
}

/// As `elementwise::compare`, of tensors of one type.
pub fn compare(comparison: Comparison, a: &Tensor, b: &Tensor) -> Result<Tensor> {
    use Comparison::*;
    let (plain, long) = match comparison {
        Equal => ("a == b", "long_equal(a, b)"),
        // A NaN differs from everything; WGSL's != is false where drivers order it.
        NotEqual => ("!(a == b)", "!long_equal(a, b)"),
        Less => ("a < b", "long_less(a, b)"),
        LessEqual => ("a <= b", "!long_less(b, a)"),
        Greater => ("a > b", "long_less(b, a)"),
        GreaterEqual => ("a >= b", "!long_less(a, b)"),
    };
    let text = format!("select(0u, 1u, {})", if a.dtype() == DType::I64 { long } else { plain });
    let name = format!("compare {comparison:?}");
    map(&Expression { name: &name, inputs: &["a", "b"], constants: &[], text: &text }, &[], &[a, b], DType::Bool)
}

/// 1 where a > b, ½ where equal, else 0.
pub fn share(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let text = "select(select(0.0, 0.5, a == b), 1.0, a > b)";
    map(&Expression { name: "share", inputs: &["a", "b"], constants: &[], text }, &[], &[a, b], DType::F32)
}

/// `a` where the condition (bool) holds, `b` elsewhere.
pub fn choose(condition: &Tensor, a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let choice = Expression { name: "where", inputs: &["c", "a", "b"], constants: &[], text: "select(b, a, c != 0u)" };
    map(&choice, &[], &[condition, a, b], a.dtype())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::elementwise::{BINARY_TEXTS, UNARY_TEXTS};
    use crate::ops::kernel::validation::check;

    fn valid(name: &str, inputs: &[&str], constants: &[&str], text: &str) {
        let expression = Expression { name, inputs, constants, text };
        for dtype in [DType::F32, DType::F16] {
            let floats = vec![dtype; inputs.len()];
            for dimensions in [0, 1, 2, 5] {
                check(name, &wgsl(&expression, &floats, dtype, dimensions, None));
                for still in [true, false] {
                    check(name, &wgsl(&expression, &floats, dtype, dimensions, Some(&vec![still; inputs.len()])));
                }
            }
        }
    }

    #[test]
    fn every_row_and_its_gradient_is_valid_without_a_driver() {
        for (keeps, row) in UNARY_TEXTS {
            valid(row.name, &[row.value.0], row.constants, row.value.1);
            let ([x, y, g], text) = row.gradient;
            let names: Vec<&str> =
                [(keeps.0, x), (keeps.1, y), (true, g)].iter().filter(|n| n.0).map(|n| n.1).collect();
            valid(row.name, &names, row.constants, text);
        }
        for (names, text) in BINARY_TEXTS {
            valid(text, names, &[], text);
        }
    }

    #[test]
    fn rust_tokens_become_wgsl() {
        assert_eq!(
            in_wgsl("x / (1.0 + exp(- x)) + explain(max(x, y))"),
            "x / (1.0 + m_exp(- x)) + explain(m_max(x, y)) "
        );
    }
}
