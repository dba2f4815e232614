//! Optimizer updates, averages and clipping on a GPU: a kernel a parameter for the parameter and all its state, and no
//! number read back, not even a norm that decides how far a step goes.

use crate::dtype::DType;
use crate::error::Result;
use crate::ops::elementwise_gpu::{Expression, map};
use crate::ops::kernel::{self, Kernel, gpu_of};
use crate::ops::reduce_gpu;
use crate::tensor::Tensor;
use std::fmt::Write;

/// A rule for a GPU: the name of its function in `update.wgsl`, and its constants in the order said there.
pub struct Rule {
    pub name: &'static str,
    pub constants: Vec<f64>,
    /// (scale, decay) [2] of the gradient, where a kernel computed them; otherwise constants 1 and 2.
    pub measured: Option<Tensor>,
}

/// Changes a parameter and its state in place. All are dense, in one order of memory.
pub fn run(parameter: &Tensor, gradient: &Tensor, states: &[&Tensor], rule: &Rule) -> Result<()> {
    let numel = parameter.numel();
    if numel == 0 {
        return Ok(());
    }
    crate::ensure!(
        parameter.dtype() == DType::F32,
        Unsupported,
        "{}: updates {} on a GPU; float32 is what there is",
        rule.name,
        parameter.dtype().name()
    );
    let mut launch = Kernel::new(&gpu_of(parameter)?);
    let mut places = [0u32; 7];
    for (place, tensor) in places.iter_mut().zip([parameter].iter().chain(states)) {
        tensor.storage()?.raise_version();
        *place = launch.write(tensor)?;
    }
    places[5] = launch.read(gradient)?;
    if let Some(measured) = &rule.measured {
        places[6] = launch.read(measured)?;
    }
    launch.set(&[numel as u32]);
    launch.set(&places);
    for value in &rule.constants {
        launch.set_floats(&[*value as f32, (1.0 - value) as f32]);
    }
    let (count, measured) = (states.len(), rule.measured.is_some());
    launch.run_each(&format!("update {} {count} {measured}", rule.name), &|| wgsl(rule.name, count, measured), numel)
}

fn wgsl(rule: &str, states: usize, measured: bool) -> String {
    let mut text = String::from(include_str!("update.wgsl"));
    for k in 0..=states {
        writeln!(text, "@group(0) @binding({}) var<storage, read_write> a{k}: array<f32>;", k + 1).expect("text");
    }
    writeln!(text, "@group(0) @binding({}) var<storage, read> gradient: array<f32>;", states + 2).expect("text");
    if measured {
        writeln!(text, "@group(0) @binding({}) var<storage, read> measured: array<f32>;", states + 3).expect("text");
        text += "fn scale() -> f32 { return measured[p(7u)]; }\nfn decay() -> f32 { return measured[p(7u) + 1u]; }\n";
    } else {
        text += "fn scale() -> f32 { return c(1u); }\nfn decay() -> f32 { return c(2u); }\n";
    }
    text += "@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) local: u32) {
let i = invocation(group, groups, local, 256u);
if (i >= p(0u)) { return; }
";
    let state = |k: usize| if k < states { format!("a{0}[p({1}u) + i]", k + 1, k + 2) } else { "0.0".to_string() };
    let before = (0..3).map(state).collect::<Vec<_>>().join(", ");
    writeln!(text, "let change = {rule}(a0[p(1u) + i], gradient[p(6u) + i], vec3<f32>({before}));").expect("text");
    text += "a0[p(1u) + i] = change.p;\n";
    for (k, lane) in ["x", "y", "z"].iter().enumerate().take(states) {
        writeln!(text, "{} = change.s.{lane};", state(k)).expect("text");
    }
    text + "}\n"
}

const SQUARES: reduce_gpu::Fold =
    reduce_gpu::Fold { name: "squares", value: "x * x", identity: "0.0", combine: "a + b" };

/// Σx² as a tensor [1].
fn squared_norm(x: &Tensor) -> Result<Tensor> {
    let dims: Vec<usize> = (0..x.ndim()).collect();
    let total = reduce_gpu::fold(&SQUARES, x, &dims)?;
    total.alias(crate::shape::Layout::contiguous(&[1]))
}

/// LARS' (scale, decay) of a gradient [2]: the trust ratio and its share of the weight decay, (1, 0) where a norm is 0.
pub fn trust(
    parameter: &Tensor,
    gradient: &Tensor,
    eta: f64,
    decay: f64,
    eps: f64,
    limit: Option<f64>,
) -> Result<Tensor> {
    let (p, g) = (squared_norm(parameter)?, squared_norm(gradient)?);
    let mut launch = Kernel::new(&gpu_of(parameter)?);
    let out = kernel::output_of(&gpu_of(parameter)?, &[2], DType::F32)?;
    let places = [launch.read(&p)?, launch.read(&g)?, launch.write(&out)?];
    launch.set(&places);
    launch.set_floats(&[eta as f32, decay as f32, eps as f32, limit.unwrap_or(-1.0) as f32]);
    let text = "@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;
@compute @workgroup_size(1)
fn main() {
    let size = sqrt(a[p(0u)]);
    let slope = sqrt(b[p(1u)]);
    var trust = pf(3u) * size / (slope + pf(4u) * size + pf(5u));
    if (pf(6u) > 0.0) { trust = min(trust / pf(6u), 1.0); }
    let still = size == 0.0 || slope == 0.0;
    out[p(2u)] = select(trust, 1.0, still);
    out[p(2u) + 1u] = select(trust * pf(4u), 0.0, still);
}
";
    launch.run("LARS trust", &|| text.to_string(), [1, 1, 1])?;
    Ok(out)
}

/// target ← c·target + (1 − c)·source, of one order in memory.
pub fn ema(target: &Tensor, source: &Tensor, coefficient: f64) -> Result<()> {
    if target.dtype() == DType::F32 {
        return change("ema", target, source, &[coefficient as f32, (1.0 - coefficient) as f32]);
    }
    let keep = coefficient as i64;
    // Whole numbers: c cut to a whole number, as on the CPU.
    match (keep, (1.0 - coefficient) as i64) {
        (1, 0) => Ok(()),
        (0, 1) => crate::ops::movement::copy_in_place(target, source),
        _ => {
            let zero = Tensor::full_on(&target.device()?, &[], 0.0, target.dtype())?;
            crate::ops::movement::copy_in_place(target, &zero)
        }
    }
}

/// target ← factors[0]·target + factors[1]·source, of one order in memory.
pub fn change(key: &str, target: &Tensor, source: &Tensor, factors: &[f32; 2]) -> Result<()> {
    if target.numel() == 0 {
        return Ok(());
    }
    let mut launch = Kernel::new(&gpu_of(target)?);
    target.storage()?.raise_version();
    let places = [launch.write(target)?, launch.read(source)?];
    launch.set(&[target.numel() as u32]);
    launch.set(&places);
    launch.set_floats(factors);
    let text = "@group(0) @binding(1) var<storage, read_write> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) local: u32) {
    let i = invocation(group, groups, local, 256u);
    if (i < p(0u)) { a[p(1u) + i] = pf(3u) * a[p(1u) + i] + pf(4u) * b[p(2u) + i]; }
}
";
    launch.run_each(key, &|| text.to_string(), target.numel())
}

/// Σ of the squares of all gradients, as a tensor [1] on their GPU.
pub fn total_squares(gradients: &[Tensor]) -> Result<Option<Tensor>> {
    let mut total: Option<Tensor> = None;
    for gradient in gradients {
        let squares = squared_norm(gradient)?;
        total = Some(match total {
            Some(sum) => crate::ops::elementwise::add(&sum, &squares)?,
            None => squares,
        });
    }
    Ok(total)
}

/// Gradients scaled so that their common 2-norm, whose square is `total`, is at most `limit`: fresh tensors.
pub fn clipped(gradient: &Tensor, total: &Tensor, limit: f64) -> Result<Tensor> {
    let text = "g * min(1.0, limit / (sqrt(total) + 0.000001))";
    let clip = Expression { name: "clip", inputs: &["g", "total"], constants: &["limit"], text };
    map(&clip, &[limit as f32], &[gradient, total], DType::F32)
}

/// Every element of a gradient multiplied by `factor`, or held within ±`limit`: a fresh tensor.
pub fn changed(gradient: &Tensor, name: &str, text: &str, value: f64) -> Result<Tensor> {
    let expression = Expression { name, inputs: &["g"], constants: &["value"], text };
    map(&expression, &[value as f32], &[gradient], DType::F32)
}

#[cfg(test)]
mod tests {
    use super::wgsl;

    #[test]
    fn every_rule_is_valid_without_a_driver() {
        let rules: Vec<&str> = include_str!("update.wgsl")
            .lines()
            .filter(|line| line.contains("-> Change"))
            .filter_map(|line| line.strip_prefix("fn ")?.split('(').next())
            .collect();
        assert!(rules.len() >= 15, "{rules:?}");
        for rule in rules {
            for (states, measured) in [(0, true), (3, false)] {
                crate::ops::kernel::validation::check(rule, &wgsl(rule, states, measured));
            }
        }
    }
}
