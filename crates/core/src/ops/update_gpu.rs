//! Optimizer updates, averages and clipping on a GPU: a few kernels for all parameters and their state, and no number read
//! back, not even a norm that decides how far a step goes.

use crate::dtype::DType;
use crate::error::Result;
use crate::ops::kernel::{self, Kernel, gpu_of};
use crate::ops::many_gpu::{self, Row, Work};
use crate::ops::reduce_gpu;
use crate::tensor::Tensor;
use std::fmt::Write;

/// What a rule for a GPU needs of a parameter.
pub struct Step {
    /// Constants of its function in `update.wgsl`, in the order said there.
    pub constants: Vec<f64>,
    /// Where (scale, decay) of the gradient lie among the measured values, if a kernel computed them; otherwise they are
    /// constants 1 and 2.
    pub measured: Option<u32>,
}

/// Changes parameters and their state in place by the rule of that name. All tensors of a parameter are dense, in one order
/// of memory.
pub fn run(
    name: &'static str,
    parameters: &[&Tensor],
    gradients: &[Tensor],
    states: &[&[&Tensor]],
    steps: &[Step],
    measured: Option<&Tensor>,
) -> Result<()> {
    let mut rows = Vec::with_capacity(parameters.len());
    for (i, parameter) in parameters.iter().enumerate().filter(|(_, parameter)| parameter.numel() > 0) {
        crate::ensure!(
            parameter.dtype() == DType::F32,
            Unsupported,
            "{name}: updates {} on a GPU; float32 is what there is",
            parameter.dtype().name()
        );
        let tensors = [*parameter].into_iter().chain(states.iter().map(|s| s[i])).chain([&gradients[i]]).collect();
        let mut constants: Vec<f32> = steps[i].constants.iter().flat_map(|c| [*c as f32, (1.0 - c) as f32]).collect();
        constants.push(f32::from_bits(steps[i].measured.map_or(0, |place| place + 1)));
        rows.push(Row { tensors, constants });
    }
    let numbers = rows.first().map_or(0, |row| row.constants.len());
    let (functions, body) = rule(name, states.len(), numbers, measured.is_some());
    let mut written = vec![true; states.len() + 1];
    written.push(false);
    let work = Work {
        key: &format!("update {name} {}", measured.is_some()),
        element: "f32",
        written: &written,
        functions: &functions,
        body: &body,
        sum: false,
    };
    many_gpu::run(&work, &rows, measured)
}

/// Functions and body of a kernel for a rule with that many states, of rows with that many constants.
fn rule(name: &str, states: usize, numbers: usize, measured: bool) -> (String, String) {
    let mut functions = String::from(include_str!("update.wgsl"));
    // After two words of the row, its tensors and the other constants; not as a float, which a driver may call 0.
    let place = format!("entry({}u)", 2 + states + 2 + numbers.saturating_sub(1));
    for (function, k) in [("scale", 1), ("decay", 2)] {
        let value = if measured {
            format!("let place = {place}; if (place > 0u) {{ return beside[p(4u) + 2u * place - {}u]; }} ", 3 - k)
        } else {
            String::new()
        };
        writeln!(functions, "fn {function}() -> f32 {{ {value}return c({k}u); }}").expect("text");
    }
    let state = |k: usize| if k < states { format!("get{}(i)", k + 1) } else { "0.0".to_string() };
    let before = (0..3).map(state).collect::<Vec<_>>().join(", ");
    let mut body =
        format!("let change = {name}(get0(i), get{}(i), vec3<f32>({before})); put0(i, change.p);", states + 1);
    for (k, lane) in ["x", "y", "z"].iter().enumerate().take(states) {
        write!(body, " put{}(i, change.s.{lane});", k + 1).expect("text");
    }
    (functions, body)
}

const SQUARES: Work =
    Work { key: "squares", element: "f32", written: &[false], functions: "", body: "get0(i) * get0(i)", sum: true };

/// Sums of squares of pieces of all these tensors, those of a tensor one after the other, and how many each has.
fn partial_squares(tensors: &[Tensor]) -> Result<(Tensor, Vec<usize>)> {
    let counts: Vec<usize> = tensors.iter().map(|tensor| many_gpu::groups(tensor, true)).collect();
    let gpu = gpu_of(&tensors[0])?;
    let out = kernel::output_of(&gpu, &[counts.iter().sum()], DType::F32)?;
    let rows: Vec<Row> = tensors.iter().map(|t| Row { tensors: vec![t], constants: Vec::new() }).collect();
    many_gpu::run(&SQUARES, &rows, Some(&out))?;
    Ok((out, counts))
}

/// target <- factors[0]*target + factors[1]*source for each, of one order in memory.
pub fn change(pairs: &[(&Tensor, &Tensor, [f32; 2])]) -> Result<()> {
    let some = pairs.iter().filter(|(target, ..)| target.numel() > 0);
    let rows = some.map(|(target, source, factors)| Row { tensors: vec![target, source], constants: factors.to_vec() });
    many_gpu::run(&MIX, &rows.collect::<Vec<_>>(), None)
}

/// LARS' (scale, decay) of the gradient of each parameter [n, 2]: the trust ratio and its share of the weight decay, (1, 0)
/// where a norm is 0.
pub fn trust(pairs: &[(Tensor, Tensor)], eta: f64, decay: f64, eps: f64, limit: Option<f64>) -> Result<Tensor> {
    let both = pairs.iter().flat_map(|(p, g)| [p, g]);
    let tensors: Vec<Tensor> = both.map(dense).collect::<Result<_>>()?;
    let (squares, counts) = partial_squares(&tensors)?;
    let gpu = gpu_of(&squares)?;
    let mut starts = vec![0u32];
    starts.extend(counts.iter().scan(0, |sum, n| {
        *sum += *n as u32;
        Some(*sum)
    }));
    let starts = kernel::table(&gpu, &starts)?;
    let out = kernel::output_of(&gpu, &[pairs.len(), 2], DType::F32)?;
    let mut launch = Kernel::new(&gpu);
    let places = [launch.read(&squares)?, launch.read(&starts)?, launch.write(&out)?];
    launch.set(&[pairs.len() as u32]);
    launch.set(&places);
    launch.set_floats(&[eta as f32, decay as f32, eps as f32, limit.unwrap_or(-1.0) as f32]);
    launch.run_each("LARS trust", &|| TRUST.to_string(), pairs.len())?;
    Ok(out)
}

const TRUST: &str = "@group(0) @binding(1) var<storage, read> squares: array<f32>;
@group(0) @binding(2) var<storage, read> starts: array<u32>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;
fn norm(k: u32) -> f32 {
    var sum = 0.0;
    for (var i = starts[p(2u) + k]; i < starts[p(2u) + k + 1u]; i += 1u) { sum += squares[p(1u) + i]; }
    return sqrt(sum);
}
fn each(k: u32) {
    if (k >= p(0u)) { return; }
    let size = norm(2u * k);
    let slope = norm(2u * k + 1u);
    var trust = pf(4u) * size / (slope + pf(5u) * size + pf(6u));
    if (pf(7u) > 0.0) { trust = min(trust / pf(7u), 1.0); }
    let still = size == 0.0 || slope == 0.0;
    out[p(3u) + 2u * k] = select(trust, 1.0, still);
    out[p(3u) + 2u * k + 1u] = select(trust * pf(5u), 0.0, still);
}
";

/// target <- c*target + (1 - c)*source for pairs of one order in memory; whole numbers become 0, as c is cut for them.
pub fn ema(pairs: &[(&Tensor, Tensor)], coefficient: f64) -> Result<()> {
    let factors = [coefficient as f32, (1.0 - coefficient) as f32];
    let (floats, others): (Vec<_>, Vec<_>) =
        pairs.iter().filter(|(t, _)| t.numel() > 0).partition(|(t, _)| t.dtype() == DType::F32);
    let rows: Vec<Row> =
        floats.iter().map(|(t, s)| Row { tensors: vec![*t, s], constants: factors.to_vec() }).collect();
    many_gpu::run(&MIX, &rows, None)?;
    let counts: Vec<_> = others.iter().filter(|(t, _)| t.dtype() == DType::I64).collect();
    for (target, source) in others.iter().filter(|(t, _)| t.dtype() != DType::I64).copied() {
        mix_whole(target, source, coefficient)?;
    }
    match (coefficient as i64, (1.0 - coefficient) as i64) {
        (0, 0) => {
            let rows: Vec<Row> = counts.iter().map(|(t, _)| Row { tensors: vec![*t], constants: Vec::new() }).collect();
            many_gpu::run(&ZERO, &rows, None)
        }
        _ => counts.iter().try_for_each(|(target, source)| mix_whole(target, source, coefficient)),
    }
}

const MIX: Work = Work {
    key: "ema",
    element: "f32",
    written: &[true, false],
    functions: "",
    body: "put0(i, constant(0u) * get0(i) + constant(1u) * get1(i));",
    sum: false,
};
const ZERO: Work = Work {
    key: "zero",
    element: "vec2<u32>",
    written: &[true],
    functions: "",
    body: "put0(i, vec2<u32>(0u, 0u));",
    sum: false,
};

/// Whole numbers: c cut to a whole number, as on the CPU.
fn mix_whole(target: &Tensor, source: &Tensor, coefficient: f64) -> Result<()> {
    match (coefficient as i64, (1.0 - coefficient) as i64) {
        (1, 0) => Ok(()),
        (0, 1) => crate::ops::movement::copy_in_place(target, source),
        _ => {
            let zero = Tensor::full_on(&target.device()?, &[], 0.0, target.dtype())?;
            crate::ops::movement::copy_in_place(target, &zero)
        }
    }
}

/// The sum of the squares of all gradients, as a tensor [1] on their GPU.
pub fn total_squares(gradients: &[Tensor]) -> Result<Option<Tensor>> {
    let gradients: Vec<Tensor> = gradients.iter().filter(|g| g.numel() > 0).map(dense).collect::<Result<_>>()?;
    if gradients.is_empty() {
        return Ok(None);
    }
    let (squares, _) = partial_squares(&gradients)?;
    let total = reduce_gpu::fold(&reduce_gpu::SUM, &squares, &[0])?;
    Ok(Some(total.alias(crate::shape::Layout::contiguous(&[1]))?))
}

fn dense(x: &Tensor) -> Result<Tensor> {
    let x = x.detach()?;
    if x.layout().is_dense() { Ok(x) } else { crate::ops::movement::contiguous(&x) }
}

/// Gradients scaled so that their common 2-norm, whose square is `total`, is at most `limit`: fresh tensors.
pub fn clipped(gradients: &[Tensor], total: &Tensor, limit: f64) -> Result<Vec<Tensor>> {
    let body = "put0(i, get1(i) * min(1.0, constant(0u) / (sqrt(beside[p(4u)]) + 0.000001)));";
    mapped("clip", body, gradients, Some(total), limit)
}

/// Every element `g` of these gradients changed by `text`, an expression in `g` and `value`: fresh tensors.
pub fn changed(gradients: &[Tensor], name: &str, text: &str, value: f64) -> Result<Vec<Tensor>> {
    let body = format!("let g = get1(i); let value = constant(0u); put0(i, {text});");
    mapped(name, &body, gradients, None, value)
}

/// A gradient may be a view of something else, or that of two parameters: its memory stays as it is.
fn mapped(name: &str, body: &str, gradients: &[Tensor], beside: Option<&Tensor>, value: f64) -> Result<Vec<Tensor>> {
    let gradients: Vec<Tensor> = gradients.iter().map(dense).collect::<Result<_>>()?;
    let fresh = |g: &Tensor| {
        let layout = crate::shape::Layout { offset: 0, ..g.layout().clone() };
        kernel::output(&gpu_of(g)?, layout, DType::F32)
    };
    let made: Vec<Tensor> = gradients.iter().map(fresh).collect::<Result<_>>()?;
    let pairs = made.iter().zip(&gradients).filter(|(_, g)| g.numel() > 0);
    let rows: Vec<Row> = pairs.map(|(out, g)| Row { tensors: vec![out, g], constants: vec![value as f32] }).collect();
    let key = format!("gradients {name}");
    let work = Work { key: &key, element: "f32", written: &[true, false], functions: "", body, sum: false };
    many_gpu::run(&work, &rows, beside)?;
    Ok(made)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::kernel::validation::check;
    use crate::ops::many_gpu::Cut;

    #[test]
    fn every_rule_is_valid_without_a_driver() {
        let rules: Vec<&str> = include_str!("update.wgsl")
            .lines()
            .filter(|line| line.contains("-> Change"))
            .filter_map(|line| line.strip_prefix("fn ")?.split('(').next())
            .collect();
        assert!(rules.len() >= 15, "{rules:?}");
        for rule in rules {
            for (states, measured, rows) in [(0, true, 21), (3, false, 1), (3, false, 12)] {
                let (functions, body) = super::rule(rule, states, 27, measured);
                let written: Vec<bool> = (0..states + 2).map(|k| k <= states).collect();
                let work = Work {
                    key: rule,
                    element: "f32",
                    written: &written,
                    functions: &functions,
                    body: &body,
                    sum: false,
                };
                for quads in [false, true] {
                    let cut = Cut { rows, constants: 27, beside: measured, quads };
                    check(rule, &many_gpu::wgsl(&work, &cut));
                }
            }
        }
        for (work, beside) in [(SQUARES, true), (MIX, false), (ZERO, false)] {
            check(work.key, &many_gpu::wgsl(&work, &Cut { rows: 9, constants: 2, beside, quads: false }));
        }
        check("LARS trust", TRUST);
    }
}
