//! What the suite checks of a case: value, gradients against differences, strides, NaN, leaks.

use super::input::{Array, Stride, numbers, random_array, strided, tensor, tensors};
use super::{Case, Cell, Coverage};
use crate::autograd::{self, Options};
use crate::dtype::DType;
use crate::error::Result;
use crate::ops;
use crate::random::Philox;
use crate::scope;
use crate::tensor::Tensor;
use std::collections::{BTreeMap, BTreeSet};

pub(super) type Outcome = std::result::Result<(), String>;

/// As `ensure!`, with a plain text.
macro_rules! demand {
    ($condition:expr, $($text:tt)*) => { if !$condition { return Err(format!($($text)*)) } };
}

impl Case {
    pub(super) fn check(&self, row: &mut Coverage) -> Outcome {
        row.looks_at_gpu = true;
        self.check_sizes(&|label| label, row, true)?;
        let labels: BTreeSet<usize> = self.inputs.iter().flat_map(|i| i.labels()).filter(|&s| s > 1).collect();
        for &chosen in &labels {
            for size in [0, 1] {
                // Each size is a kernel to compile: empty axes, and one choice of random sizes below.
                row.looks_at_gpu = size == 0;
                self.check_sizes(&move |label| if label == chosen { size } else { label }, row, false)
                    .map_err(|e| format!("with axes of size {chosen} made {size}: {e}"))?;
            }
        }
        for seed in 0..4 {
            row.looks_at_gpu = seed == 0;
            let mut random = Philox::new(7, seed);
            let sizes: BTreeMap<usize, usize> = labels.iter().map(|&s| (s, random.below(6) as usize)).collect();
            self.check_sizes(&|label| *sizes.get(&label).unwrap_or(&label), row, false)
                .map_err(|e| format!("with sizes {sizes:?}: {e}"))?;
        }
        Ok(())
    }

    /// All checks at one choice of sizes. Only the sizes as written must be accepted; others may be refused.
    fn check_sizes(&self, resize: &dyn Fn(usize) -> usize, row: &mut Coverage, must: bool) -> Outcome {
        let mut random = Philox::new(1234, 0);
        let arrays: Vec<Array> = self.inputs.iter().map(|input| input.make(resize, &mut random)).collect();
        let is_empty = arrays.iter().any(|a| a.values.is_empty());
        let depth = scope::enter();
        let outcome = (|| {
            let inputs = tensors(&arrays, DType::F64);
            let result = match (self.run)(&inputs) {
                Ok(result) => result,
                Err(error) => {
                    demand!(error.code() != "ERR_INTERNAL" && !must, "{error}");
                    if is_empty {
                        row.empty.raise(Cell::Refused);
                    }
                    return Ok(());
                }
            };
            let shape = result.shape().to_vec();
            let result = numbers(&result);
            drop(inputs);
            self.check_value(&arrays, &shape, &result, row)?;
            if is_empty {
                row.empty.raise(Cell::Checked);
            }
            let float = (self.run)(&tensors(&arrays, DType::F64)).map_err(|e| e.to_string())?.dtype().is_float();
            if float && self.gradient {
                self.check_gradient(&arrays, row)?;
            }
            self.check_strided(&arrays, &result, float, row)?;
            #[cfg(feature = "gpu")]
            if row.looks_at_gpu
                && let Some(device) = super::gpu::device()
            {
                self.check_gpu(device, &arrays, must, row)?;
            }
            if must {
                self.check_half(&arrays)?;
                self.check_nan(&arrays, row)
            } else {
                Ok(())
            }
        })();
        let alive = scope::alive();
        scope::exit(depth, &[]).map_err(|e| e.to_string())?;
        outcome?;
        demand!(alive == 0, "{alive} tensors still live after everything was dropped: the graph holds itself");
        Ok(())
    }

    fn check_value(&self, arrays: &[Array], shape: &[usize], result: &[f64], row: &mut Coverage) -> Outcome {
        if let Some(reference) = &self.reference {
            compare("value against the reference", result, &reference(arrays), 1e-9)?;
            row.value.raise(Cell::Checked);
        }
        let inputs = tensors(arrays, DType::F32);
        let before: Vec<Vec<f64>> = inputs.iter().map(numbers).collect();
        let single = (self.run)(&inputs).map_err(|e| format!("float32: {e}"))?;
        demand!(single.shape() == shape, "float32 gave shape {:?}, float64 {shape:?}", single.shape());
        compare("float32 against float64", &numbers(&single), result, self.tolerance)?;
        let after: Vec<Vec<f64>> = inputs.iter().map(numbers).collect();
        demand!(before == after, "an input was modified");
        row.value.raise(Cell::Agrees);
        Ok(())
    }

    /// Backward with a random cotangent against central differences, in float64; float32 against float64; and the
    /// gradient of the gradient where there is one.
    fn check_gradient(&self, arrays: &[Array], row: &mut Coverage) -> Outcome {
        let wanted: Vec<usize> = (0..arrays.len()).filter(|&i| self.differentiates(i, arrays)).collect();
        let forward = |arrays: &[Array]| (self.run)(&tensors(arrays, DType::F64)).map_err(|e| e.to_string());
        let result = forward(arrays)?;
        let cotangent = random_array(result.shape(), 77);
        let gradients = self.gradients(&tensors(arrays, DType::F64), &cotangent, DType::F64)?;
        let score = |arrays: &[Array]| Ok(dot(&numbers(&forward(arrays)?), &cotangent.values));
        for &i in &wanted {
            let name = format!("gradient of input {i}");
            compare_differences(&name, &gradients[i], arrays, i, &score, 2e-6)?;
        }
        let single = self.gradients(&tensors(arrays, DType::F32), &cotangent, DType::F32)?;
        for &i in &wanted {
            compare("gradient in float32 against float64", &single[i], &gradients[i], self.tolerance * 10.0)?;
        }
        if !wanted.is_empty() {
            row.gradient.raise(Cell::Checked);
        }
        // Second: d/dx of Σ (weight · gradient), the weights random.
        let inputs = self.leaves(arrays, DType::F64)?;
        let weights: Vec<Array> = arrays.iter().zip(0..).map(|(a, i)| random_array(&a.shape, 99 + i)).collect();
        let weighted =
            |gradients: &[Vec<f64>]| wanted.iter().map(|&i| dot(&gradients[i], &weights[i].values)).sum::<f64>();
        let total = match second(&inputs, &wanted, &weights, || (self.run)(&inputs), &cotangent) {
            Ok(total) => total,
            Err(error) => {
                demand!(error.code() == "ERR_UNSUPPORTED", "second gradient: {error}");
                row.second.raise(Cell::Refused);
                return Ok(());
            }
        };
        let score =
            |arrays: &[Array]| Ok(weighted(&self.gradients(&tensors(arrays, DType::F64), &cotangent, DType::F64)?));
        let computed =
            if total { take_gradients(&inputs) } else { arrays.iter().map(|a| vec![0.0; a.values.len()]).collect() };
        for &i in &wanted {
            compare_differences(&format!("second gradient of input {i}"), &computed[i], arrays, i, &score, 2e-5)?;
        }
        row.second.raise(if wanted.is_empty() { Cell::None } else { Cell::Checked });
        Ok(())
    }

    fn differentiates(&self, input: usize, arrays: &[Array]) -> bool {
        self.inputs[input].differentiable && arrays[input].dtype.is_float()
    }

    fn leaves(&self, arrays: &[Array], dtype: DType) -> std::result::Result<Vec<Tensor>, String> {
        let inputs = tensors(arrays, dtype);
        for (i, input) in inputs.iter().enumerate().filter(|(i, _)| self.differentiates(*i, arrays)) {
            input.set_requires_grad(true).map_err(|e| format!("input {i}: {e}"))?;
        }
        Ok(inputs)
    }

    /// The gradient of every input (zeros where nothing arrived) as seen through copies `views` of the inputs.
    pub(super) fn gradients(
        &self,
        views: &[Tensor],
        cotangent: &Array,
        dtype: DType,
    ) -> std::result::Result<Vec<Vec<f64>>, String> {
        for (view, input) in views.iter().zip(&self.inputs) {
            if input.differentiable && view.dtype().is_float() {
                view.set_requires_grad(true).map_err(|e| e.to_string())?;
            }
        }
        let result = (self.run)(views).map_err(|e| e.to_string())?;
        if result.requires_grad() {
            // A cotangent with holes in memory: backward passes must not rely on its strides.
            let cotangent = tensor(cotangent, dtype);
            let cotangent = strided(&cotangent, Stride::Sliced).unwrap_or(cotangent);
            let device = result.device().map_err(|e| e.to_string())?;
            let cotangent = ops::transfer::to_device(&cotangent, &device).map_err(|e| e.to_string())?;
            autograd::backward(&result, Some(&cotangent), Options::default()).map_err(|e| format!("backward: {e}"))?;
        }
        Ok(take_gradients(views))
    }

    /// Every way of lying in memory gives the same values and gradients.
    fn check_strided(&self, arrays: &[Array], expected: &[f64], float: bool, row: &mut Coverage) -> Outcome {
        for (dtype, tolerance) in [(DType::F64, 1e-10), (DType::F32, self.tolerance)] {
            for stride in [Stride::Transposed, Stride::Sliced, Stride::ChannelsLast, Stride::Offset] {
                let views = || -> Vec<Tensor> {
                    tensors(arrays, dtype).iter().map(|t| strided(t, stride).unwrap_or_else(|| t.clone())).collect()
                };
                let context = |e: String| format!("inputs {} in memory, {}: {e}", stride.name(), dtype.name());
                let result = (self.run)(&views()).map_err(|e| context(e.to_string()))?;
                compare("value", &numbers(&result), expected, tolerance).map_err(context)?;
                if float && self.gradient {
                    let cotangent = random_array(result.shape(), 77);
                    let expected = self.gradients(&tensors(arrays, dtype), &cotangent, dtype)?;
                    let found = self.gradients(&views(), &cotangent, dtype).map_err(context)?;
                    for (found, expected) in found.iter().zip(&expected) {
                        compare("gradient", found, expected, tolerance * 10.0).map_err(context)?;
                    }
                }
            }
            // Broadcast in memory: the first axis of each input holds one line repeated.
            let repeated: Vec<Array> = arrays.iter().map(Array::repeated).collect();
            let context = |e: String| format!("inputs broadcast in memory, {}: {e}", dtype.name());
            let views: Vec<Tensor> = tensors(&repeated, dtype)
                .iter()
                .map(|t| strided(t, Stride::Broadcast).unwrap_or_else(|| t.clone()))
                .collect();
            match ((self.run)(&views), (self.run)(&tensors(&repeated, dtype))) {
                (Ok(a), Ok(b)) => compare("value", &numbers(&a), &numbers(&b), tolerance).map_err(context)?,
                (a, b) => demand!(
                    a.as_ref().err().map(|e| e.code()) == b.as_ref().err().map(|e| e.code()),
                    "broadcast in memory: {a:?}, as a copy: {b:?}"
                ),
            }
        }
        row.strided.raise(Cell::Checked);
        Ok(())
    }

    /// 16-bit inputs give what float32 gives for the same numbers, rounded once an operation, and gradients likewise; or
    /// ERR_DTYPE.
    fn check_half(&self, arrays: &[Array]) -> Outcome {
        for (dtype, tolerance) in [(DType::BF16, 0.03), (DType::F16, 0.004)] {
            let narrow = || tensors(arrays, dtype);
            let wide = || -> Vec<Tensor> {
                let widen =
                    |t: Tensor| if t.dtype() == dtype { ops::movement::to_dtype(&t, DType::F32) } else { Ok(t) };
                narrow().into_iter().map(|t| widen(t).expect("a cast")).collect()
            };
            let context = |e: String| format!("{}: {e}", dtype.name());
            let found = match ((self.run)(&narrow()), (self.run)(&wide())) {
                (Ok(found), Ok(expected)) => {
                    compare("value", &numbers(&found), &numbers(&expected), tolerance).map_err(context)?;
                    found
                }
                (Err(error), _) if error.code() == "ERR_DTYPE" => continue,
                (found, expected) => return Err(context(format!("{found:?}, in float32 {expected:?}"))),
            };
            let differentiable = found.dtype().is_float() && self.gradient;
            if !found.requires_grad() && !differentiable {
                continue;
            }
            let cotangent = random_array(found.shape(), 77);
            let found = self.gradients(&narrow(), &cotangent, found.dtype()).map_err(context)?;
            let expected = self.gradients(&wide(), &cotangent, DType::F32).map_err(context)?;
            for (found, expected) in found.iter().zip(&expected) {
                compare("gradient", found, expected, tolerance * 2.0).map_err(context)?;
            }
        }
        Ok(())
    }

    /// A NaN in any float input comes out, at the same places in float32 and float64; infinity gives the same kinds
    /// of numbers in both. Neither is an error that names a bug.
    fn check_nan(&self, arrays: &[Array], row: &mut Coverage) -> Outcome {
        for i in 0..arrays.len() {
            if !arrays[i].dtype.is_float() || arrays[i].values.is_empty() {
                continue;
            }
            for special in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
                let mut arrays = arrays.to_vec();
                let middle = arrays[i].values.len() / 2;
                arrays[i].values[middle] = special;
                let run = |dtype| (self.run)(&tensors(&arrays, dtype));
                let (double, single) = match (run(DType::F64), run(DType::F32)) {
                    (Ok(double), Ok(single)) => (numbers(&double), numbers(&single)),
                    (Err(a), Err(b)) => {
                        demand!(a.code() == b.code() && a.code() != "ERR_INTERNAL", "{special} in input {i}: {a}");
                        continue;
                    }
                    (a, b) => return Err(format!("{special} in input {i}: float64 {a:?}, float32 {b:?}")),
                };
                let kinds = |values: &[f64]| -> Vec<f64> {
                    values.iter().map(|v| if v.is_finite() { 0.0 } else { *v }).collect()
                };
                demand!(
                    kinds(&double).iter().zip(&kinds(&single)).all(|(a, b)| a == b || (a.is_nan() && b.is_nan())),
                    "{special} in input {i}: float64 gave {double:?}, float32 {single:?}"
                );
                if special.is_nan() && self.nan && !double.is_empty() {
                    demand!(double.iter().any(|v| v.is_nan()), "a NaN in input {i} does not come out: {double:?}");
                    row.nan.raise(Cell::Checked);
                }
                if !self.gradient {
                    continue;
                }
                self.gradients(&tensors(&arrays, DType::F64), &random_array_like(&arrays, &self.run), DType::F64)
                    .map_err(|e| format!("{special} in input {i}: {e}"))?;
            }
        }
        Ok(())
    }
}

/// Runs the function and its backward pass with a graph, then backward from the weighted sum of the gradients.
/// False: the gradients do not depend on any input.
fn second(
    inputs: &[Tensor],
    wanted: &[usize],
    weights: &[Array],
    run: impl Fn() -> Result<Tensor>,
    cotangent: &Array,
) -> Result<bool> {
    let result = run()?;
    if !result.requires_grad() {
        return Ok(false);
    }
    let graph = Options { create_graph: true, retain_graph: true };
    autograd::backward(&result, Some(&tensor(cotangent, DType::F64)), graph)?;
    let mut total: Option<Tensor> = None;
    for &i in wanted {
        let Some(gradient) = inputs[i].grad() else { continue };
        inputs[i].set_grad(None)?;
        let term = ops::reduce::sum(&ops::elementwise::mul(&gradient, &tensor(&weights[i], DType::F64))?, None, false)?;
        total = Some(match total {
            Some(sum) => ops::elementwise::add(&sum, &term)?,
            None => term,
        });
    }
    match total {
        Some(total) if total.requires_grad() => autograd::backward(&total, None, Options::default()).map(|_| true),
        _ => Ok(false),
    }
}

fn take_gradients(inputs: &[Tensor]) -> Vec<Vec<f64>> {
    let take = |t: &Tensor| match t.grad() {
        Some(gradient) => {
            t.set_grad(None).expect("removing a gradient");
            numbers(&gradient)
        }
        None => vec![0.0; t.numel()],
    };
    inputs.iter().map(take).collect()
}

/// Central differences of `score` in each element of input `i` (at most 40 of them, evenly spread).
fn compare_differences(
    name: &str,
    gradient: &[f64],
    arrays: &[Array],
    i: usize,
    score: &dyn Fn(&[Array]) -> std::result::Result<f64, String>,
    tolerance: f64,
) -> Outcome {
    let mut arrays = arrays.to_vec();
    let n = arrays[i].values.len();
    let places: Vec<usize> = (0..n).step_by(n.div_ceil(40).max(1)).collect();
    let mut differences = Vec::new();
    for &place in &places {
        let center = arrays[i].values[place];
        let step = 1e-5 * center.abs().max(1.0);
        arrays[i].values[place] = center + step;
        let above = score(&arrays)?;
        arrays[i].values[place] = center - step;
        let below = score(&arrays)?;
        arrays[i].values[place] = center;
        differences.push((above - below) / (2.0 * step));
    }
    let found: Vec<f64> = places.iter().map(|&p| gradient[p]).collect();
    compare(&format!("{name} against central differences"), &found, &differences, tolerance)
}

/// Equal up to `tolerance` times the largest expected value (at least 1); NaN and infinity must match.
pub(super) fn compare(what: &str, found: &[f64], expected: &[f64], tolerance: f64) -> Outcome {
    demand!(found.len() == expected.len(), "{what}: {} numbers instead of {}", found.len(), expected.len());
    let scale = expected.iter().filter(|v| v.is_finite()).fold(1.0f64, |m, v| m.max(v.abs()));
    for (k, (f, e)) in found.iter().zip(expected).enumerate() {
        let equal = f == e || (f.is_nan() && e.is_nan()) || (f - e).abs() <= tolerance * scale;
        demand!(equal, "{what}: element {k} is {f}, expected {e}\n  found    {found:?}\n  expected {expected:?}");
    }
    Ok(())
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn random_array_like(arrays: &[Array], run: &dyn Fn(&[Tensor]) -> Result<Tensor>) -> Array {
    let shape = run(&tensors(arrays, DType::F64)).map(|t| t.shape().to_vec()).unwrap_or_default();
    random_array(&shape, 77)
}
