//! The suite every operation goes through: value, gradient, second gradient, strides, empty axes, NaN, leaks.
//! It holds no case of its own: an operation's cases stand at the foot of its file, and one without any fails here.
//!
//! Sizes are labels: axes of the same size (above 1) belong together, so that the suite can run a case again with each
//! size replaced by 0, by 1 and by random ones. Give axes that may differ different sizes. A closure that fixes a size
//! then meets shapes it does not fit, and must answer with an error of its own (ERR_INTERNAL fails).

use crate::autograd::{self, Options};
use crate::dtype::{DType, Element};
use crate::error::Result;
use crate::ops;
use crate::random::Philox;
use crate::scope;
use crate::shape::{Dims, Layout};
use crate::storage::Buffer;
use crate::tensor::Tensor;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// One row a family of operations: the name of its file, whose `cases()` are run by a test of that name.
macro_rules! families {
    ($($family:ident)*) => {
        mod family { $(#[test] fn $family() { super::check(stringify!($family), crate::ops::$family::cases()); })* }
        fn all_cases() -> Vec<Case> { [$(ops::$family::cases()),*].into_iter().flatten().collect() }
    };
}

families! {
    attention
    batch_norm
    choose
    conv
    conv_product
    diagonal
    elementwise
    extreme
    index
    join
    matmul
    movement
    norm
    pool
    pad
    reduce
    scan
    softmax
    sort
    statistics
    unfold
}

/// A call of an operation on generated inputs.
pub struct Case {
    /// As `Op::name` says it: the row in the table.
    op: &'static str,
    variant: &'static str,
    inputs: Vec<Input>,
    run: Box<dyn Fn(&[Tensor]) -> Result<Tensor>>,
    reference: Option<Box<dyn Fn(&[Array]) -> Vec<f64>>>,
    tolerance: f64,
    gradient: bool,
    nan: bool,
}

/// A case. All float inputs are differentiated unless [`Input::constant`]; results of other types are only compared.
pub fn case(
    op: &'static str,
    variant: &'static str,
    inputs: impl Into<Vec<Input>>,
    run: impl Fn(&[Tensor]) -> Result<Tensor> + 'static,
) -> Case {
    let run = Box::new(run);
    Case { op, variant, inputs: inputs.into(), run, reference: None, tolerance: 1e-5, gradient: true, nan: true }
}

impl Case {
    /// Compares with this slow computation of all results in row-major order, on every shape that is tried.
    pub fn equals(mut self, reference: impl Fn(&[Array]) -> Vec<f64> + 'static) -> Case {
        self.reference = Some(Box::new(reference));
        self
    }
    /// Largest error of float32, relative to the largest result (default 1e-5; gradients ten times that).
    pub fn tolerance(mut self, tolerance: f64) -> Case {
        self.tolerance = tolerance;
        self
    }
    /// A NaN that goes in need not come out (comparisons, masks, sorting).
    pub fn drops_nan(mut self) -> Case {
        self.nan = false;
        self
    }
    /// The result is a float without gradient.
    pub fn without_gradient(mut self) -> Case {
        self.gradient = false;
        self
    }
}

/// How one input is made.
#[derive(Clone)]
pub struct Input {
    shape: Vec<usize>,
    values: Values,
    differentiable: bool,
}

#[derive(Clone, Copy)]
enum Values {
    Between(f64, f64),
    Normal,
    Nonzero,
    Fraction,
    Distinct,
    Index(usize),
    Mask,
    Made(fn(&[usize], &mut Philox) -> Vec<f64>),
}

impl Input {
    fn new(shape: &[usize], values: Values) -> Input {
        let differentiable = !matches!(values, Values::Index(_) | Values::Mask);
        Input { shape: shape.to_vec(), values, differentiable }
    }
    /// Not differentiated.
    pub fn constant(mut self) -> Input {
        self.differentiable = false;
        self
    }
}

/// Normal numbers.
pub fn normal(shape: &[usize]) -> Input {
    Input::new(shape, Values::Normal)
}
/// Uniform numbers.
pub fn between(low: f64, high: f64, shape: &[usize]) -> Input {
    Input::new(shape, Values::Between(low, high))
}
/// 0.5 to 2.
pub fn positive(shape: &[usize]) -> Input {
    between(0.5, 2.0, shape)
}
/// Of either sign, at least 0.2 and at most 1.6 away from 0.
pub fn nonzero(shape: &[usize]) -> Input {
    Input::new(shape, Values::Nonzero)
}
/// At least 0.1 away from every multiple of one half.
pub fn fraction(shape: &[usize]) -> Input {
    Input::new(shape, Values::Fraction)
}
/// Any two differ by at least 0.1: for maxima and sorting.
pub fn distinct(shape: &[usize]) -> Input {
    Input::new(shape, Values::Distinct)
}
/// int64 in 0..n, where n is a size label too.
pub fn index(n: usize, shape: &[usize]) -> Input {
    Input::new(shape, Values::Index(n))
}
/// bool, half of them true.
pub fn mask(shape: &[usize]) -> Input {
    Input::new(shape, Values::Mask)
}
/// Values in row-major order from a function of shape and random numbers.
pub fn made(shape: &[usize], make: fn(&[usize], &mut Philox) -> Vec<f64>) -> Input {
    Input::new(shape, Values::Made(make))
}

/// An input in row-major order, for references in plain loops.
#[derive(Clone, Debug)]
pub struct Array {
    pub shape: Vec<usize>,
    pub values: Vec<f64>,
    dtype: DType,
}

impl Array {
    /// The element at an index of a shape this one broadcasts to.
    pub fn at(&self, index: &[usize]) -> f64 {
        let lead = index.len() - self.shape.len();
        let mut place = 0;
        for (d, &size) in self.shape.iter().enumerate() {
            place = place * size + if size == 1 { 0 } else { index[lead + d] };
        }
        self.values[place]
    }
}

/// A reference for [`Case::equals`]: a function of the elements at one place, all inputs broadcast.
pub fn each(f: impl Fn(&[f64]) -> f64 + 'static) -> impl Fn(&[Array]) -> Vec<f64> {
    move |arrays| {
        let mut shape = Dims::new();
        for array in arrays {
            shape = crate::shape::broadcast("reference", &shape, &array.shape).expect("shapes that broadcast");
        }
        let mut out = Vec::new();
        each_index(&shape, |index| out.push(f(&arrays.iter().map(|a| a.at(index)).collect::<Vec<_>>())));
        out
    }
}

/// A reference for [`Case::equals`]: lines of the first input along `dim`, each replaced by what `f` makes of it
/// (all of one length), in row-major order.
pub fn along(dim: usize, f: impl Fn(&[f64]) -> Vec<f64> + 'static) -> impl Fn(&[Array]) -> Vec<f64> {
    move |arrays| {
        let Array { shape, values, .. } = &arrays[0];
        let (outer, n, inner) =
            (shape[..dim].iter().product::<usize>(), shape[dim], shape[dim + 1..].iter().product::<usize>());
        let mut out = Vec::new();
        for o in 0..outer {
            let lines: Vec<Vec<f64>> =
                (0..inner).map(|i| f(&(0..n).map(|k| values[(o * n + k) * inner + i]).collect::<Vec<_>>())).collect();
            for k in 0..lines.first().map_or(0, Vec::len) {
                out.extend(lines.iter().map(|line| line[k]));
            }
        }
        out
    }
}

/// Calls with every index of a shape, in row-major order.
pub fn each_index(shape: &[usize], mut visit: impl FnMut(&[usize])) {
    let numel: usize = shape.iter().product();
    let mut index = vec![0; shape.len()];
    for mut place in 0..numel {
        for d in (0..shape.len()).rev() {
            index[d] = place % shape[d];
            place /= shape[d];
        }
        visit(&index);
    }
}

/// What was seen of an operation: the cells of the coverage table.
#[derive(Default)]
struct Coverage {
    value: Cell,
    gradient: Cell,
    second: Cell,
    strided: Cell,
    empty: Cell,
    nan: Cell,
}

#[derive(Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Cell {
    /// Does not apply.
    #[default]
    None,
    /// Refused with a clear error.
    Refused,
    /// Value: float32 agrees with float64.
    Agrees,
    Checked,
}

impl Cell {
    fn raise(&mut self, to: Cell) {
        *self = (*self).max(to);
    }
    fn text(self) -> &'static str {
        match self {
            Cell::None => "-",
            Cell::Refused => "error",
            Cell::Agrees => "f32=f64",
            Cell::Checked => "yes",
        }
    }
}

/// Runs the cases of a family and prints its part of the coverage table; panics with a list of what failed.
pub fn check(family: &str, cases: Vec<Case>) {
    let mut rows: BTreeMap<&str, Coverage> = BTreeMap::new();
    let mut failures = Vec::new();
    for case in &cases {
        let row = rows.entry(case.op).or_default();
        let outcome = catch_unwind(AssertUnwindSafe(|| case.check(row))).unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().cloned();
            Err(format!(
                "panicked: {}",
                text.or(panic.downcast_ref::<&str>().map(|s| s.to_string())).unwrap_or_default()
            ))
        });
        if let Err(message) = outcome {
            failures.push(format!("{} ({}): {message}", case.op, case.variant));
        }
    }
    let mut table = format!(
        "\n{family:<24} {:<8} {:<8} {:<8} {:<8} {:<8} {:<8}\n",
        "value", "gradient", "second", "strided", "empty", "NaN"
    );
    for (op, row) in rows {
        let cells = [row.value, row.gradient, row.second, row.strided, row.empty, row.nan];
        table += &format!("{op:<24}");
        cells.iter().for_each(|cell| table += &format!(" {:<8}", cell.text()));
        table += "\n";
    }
    eprintln!("{table}");
    assert!(failures.is_empty(), "{} of {} cases failed:\n{}", failures.len(), cases.len(), failures.join("\n"));
}

type Outcome = std::result::Result<(), String>;

/// As `ensure!`, with a plain text.
macro_rules! demand {
    ($condition:expr, $($text:tt)*) => { if !$condition { return Err(format!($($text)*)) } };
}

impl Case {
    fn check(&self, row: &mut Coverage) -> Outcome {
        self.check_sizes(&|label| label, row, true)?;
        let labels: BTreeSet<usize> = self.inputs.iter().flat_map(|i| i.labels()).filter(|&s| s > 1).collect();
        for &chosen in &labels {
            for size in [0, 1] {
                self.check_sizes(&move |label| if label == chosen { size } else { label }, row, false)
                    .map_err(|e| format!("with axes of size {chosen} made {size}: {e}"))?;
            }
        }
        for seed in 0..4 {
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
            if must { self.check_nan(&arrays, row) } else { Ok(()) }
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
    fn gradients(
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
fn compare(what: &str, found: &[f64], expected: &[f64], tolerance: f64) -> Outcome {
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

fn random_array(shape: &[usize], seed: u64) -> Array {
    normal(shape).make(&|s| s, &mut Philox::new(seed, 5))
}

fn random_array_like(arrays: &[Array], run: &dyn Fn(&[Tensor]) -> Result<Tensor>) -> Array {
    let shape = run(&tensors(arrays, DType::F64)).map(|t| t.shape().to_vec()).unwrap_or_default();
    random_array(&shape, 77)
}

impl Input {
    fn labels(&self) -> Vec<usize> {
        let mut labels = self.shape.clone();
        labels.extend(if let Values::Index(n) = self.values { Some(n) } else { None });
        labels
    }

    fn make(&self, resize: &dyn Fn(usize) -> usize, random: &mut Philox) -> Array {
        let shape: Vec<usize> = self.shape.iter().map(|&s| resize(s)).collect();
        let n: usize = shape.iter().product();
        let mut uniform = |low: f64, high: f64| random.uniform_between(low, high);
        let mut draw = |make: &mut dyn FnMut(&mut dyn FnMut(f64, f64) -> f64) -> f64| -> Vec<f64> {
            // Values that float32 holds exactly, so that both types compute with the same numbers.
            (0..n).map(|_| make(&mut uniform) as f32 as f64).collect()
        };
        let values = match self.values {
            Values::Between(low, high) => draw(&mut |u| u(low, high)),
            Values::Nonzero => draw(&mut |u| u(0.2, 1.6) * if u(0.0, 1.0) < 0.5 { -1.0 } else { 1.0 }),
            Values::Fraction => {
                draw(&mut |u| (u(-3.0, 3.0).floor()) + u(0.1, 0.4) + if u(0.0, 1.0) < 0.5 { 0.5 } else { 0.0 })
            }
            Values::Index(labels) => draw(&mut |u| u(0.0, resize(labels).max(1) as f64).floor()),
            Values::Mask => draw(&mut |u| f64::from(u(0.0, 1.0) < 0.5)),
            Values::Normal => (0..n).map(|_| random.normal() as f64).collect(),
            Values::Distinct => {
                let places = random.permutation(n);
                places
                    .iter()
                    .map(|&p| (p as f64 - n as f64 / 2.0 + random.uniform_between(0.1, 0.4)) as f32 as f64 * 0.25)
                    .collect()
            }
            Values::Made(make) => make(&shape, random).into_iter().map(|v| v as f32 as f64).collect(),
        };
        let dtype = match self.values {
            Values::Index(_) => DType::I64,
            Values::Mask => DType::Bool,
            _ => DType::F64,
        };
        Array { shape, values, dtype }
    }
}

impl Array {
    /// The first line along axis 0 everywhere.
    fn repeated(&self) -> Array {
        let mut array = self.clone();
        let line = self.values.len() / self.shape.first().copied().unwrap_or(1).max(1);
        for k in line..array.values.len() {
            array.values[k] = array.values[k % line];
        }
        array
    }
}

fn tensors(arrays: &[Array], dtype: DType) -> Vec<Tensor> {
    arrays.iter().map(|a| tensor(a, dtype)).collect()
}

/// A fresh row-major tensor; floats as `dtype`, indices and masks as they are.
fn tensor(array: &Array, dtype: DType) -> Tensor {
    let dtype = if array.dtype.is_float() { dtype } else { array.dtype };
    crate::dispatch_all!(dtype, T => {
        let mut out = Buffer::<T>::new(array.values.len()).expect("memory");
        out.iter_mut().zip(&array.values).for_each(|(o, v)| *o = T::from_f64(*v));
        let strides = crate::shape::contiguous_strides(&array.shape);
        Tensor::from_buffer_strided(out, &array.shape, strides, dtype)
    })
}

fn numbers(t: &Tensor) -> Vec<f64> {
    let t = t.detach().expect("a live tensor");
    crate::dispatch_all!(t.dtype(), T => t.to_vec::<T>().expect("a live tensor").iter().map(|v| v.to_f64()).collect())
}

/// Ways to lie in memory other than row-major from the start of the storage.
#[derive(Clone, Copy, PartialEq)]
enum Stride {
    Transposed,
    Sliced,
    ChannelsLast,
    Offset,
    /// Axis 0 with stride 0 (the values must be repeated along it).
    Broadcast,
}

impl Stride {
    fn name(self) -> &'static str {
        match self {
            Stride::Transposed => "transposed",
            Stride::Sliced => "sliced",
            Stride::ChannelsLast => "channels last",
            Stride::Offset => "at an offset",
            Stride::Broadcast => "broadcast",
        }
    }
}

/// The same values lying in another way, between other values (a leaf: no operation made it).
fn strided(t: &Tensor, stride: Stride) -> Option<Tensor> {
    let shape = t.shape();
    let n = shape.len();
    let (strides, offset): (Dims, usize) = match stride {
        Stride::Transposed if n > 1 => {
            let reversed: Vec<usize> = shape.iter().rev().copied().collect();
            (crate::shape::contiguous_strides(&reversed).into_iter().rev().collect(), 0)
        }
        Stride::Sliced if n > 0 => {
            let doubled: Vec<usize> = shape.iter().map(|s| 2 * s + 1).collect();
            (crate::shape::contiguous_strides(&doubled).into_iter().map(|s| 2 * s).collect(), 3)
        }
        Stride::ChannelsLast if n == 4 => (crate::shape::channels_last_strides(shape), 0),
        Stride::Offset => (crate::shape::contiguous_strides(shape), 5),
        Stride::Broadcast if n > 0 && shape[0] > 1 => {
            let mut strides = crate::shape::contiguous_strides(shape);
            strides[0] = 0;
            (strides, 0)
        }
        _ => return None,
    };
    let layout = Layout { shape: Dims::from_slice(shape), strides, offset };
    let last =
        layout.offset + shape.iter().zip(&layout.strides).map(|(s, t)| s.max(&1).saturating_sub(1) * t).sum::<usize>();
    Some(crate::dispatch_all!(t.dtype(), T => {
        let mut out = Buffer::<T>::filled(last + 4, T::from_f64(63.0)).expect("memory");
        let values = t.to_vec::<T>().expect("a live tensor");
        let mut next = values.iter();
        each_index(shape, |index| {
            let place = layout.offset + index.iter().zip(&layout.strides).map(|(i, s)| i * s).sum::<usize>();
            out[place] = *next.next().expect("as many values as places");
        });
        Tensor::new(std::sync::Arc::new(out.into_storage()), layout, t.dtype())
    }))
}

/// Every `impl Op` in this folder answers to a name that some case tests.
#[test]
fn every_operation_has_cases() {
    let tested: BTreeSet<&str> = all_cases().iter().map(|case| case.op).collect();
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/ops");
    let mut missing = Vec::new();
    let mut names: Vec<String> = ops::elementwise::names().iter().map(|n| n.to_string()).collect();
    for entry in std::fs::read_dir(folder).expect("the folder of operations") {
        let path = entry.expect("an entry").path();
        if path.ends_with("suite.rs") {
            continue;
        }
        let text = std::fs::read_to_string(path).expect("a source file");
        names.extend(text.split("fn name(&self) -> &'static str {").skip(1).filter_map(|rest| {
            let literal = rest.trim_start().strip_prefix('"')?;
            Some(literal[..literal.find('"')?].to_string())
        }));
    }
    for name in names {
        if !tested.contains(&name[..]) {
            missing.push(name);
        }
    }
    assert!(missing.is_empty(), "no cases for {missing:?}: write them in cases() of the operation's file");
}
