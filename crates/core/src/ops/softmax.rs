//! Softmax and its relatives along one axis, and the cross-entropy made of them: each one pass over rows, forward and
//! back. Every row is shifted by its largest value first, so that no exponential overflows.

use crate::autograd;
use crate::cpu::dispatch::{Kernel, dispatch};
use crate::cpu::math::{Math, exp, log, max};
use crate::cpu::threads::{SharedPointer, parallel_ranges};
use crate::dtype::{DType, Float};
use crate::error::Result;
use crate::op::{Context, Op, Pass, apply_one};
use crate::ops::reduce::drop_dims;
#[cfg(feature = "gpu")]
use crate::ops::softmax_gpu;
use crate::ops::{elementwise, movement, reduce};
use crate::shape::{resolve_dim, resolve_dims};
use crate::storage::Buffer;
use crate::tensor::Tensor;
use crate::{bail, dispatch_float, ensure};

/// eˣ / Σ eˣ along a dimension.
pub fn softmax(x: &Tensor, dim: i64) -> Result<Tensor> {
    along_last(x, dim, "softmax", |rows| apply_one(Softmax { log: false }, &[rows]))
}

/// ln softmax along a dimension.
pub fn log_softmax(x: &Tensor, dim: i64) -> Result<Tensor> {
    along_last(x, dim, "log_softmax", |rows| apply_one(Softmax { log: true }, &[rows]))
}

/// ln Σ eˣ over dimensions (all if None).
pub fn logsumexp(x: &Tensor, dims: Option<&[i64]>, keepdim: bool) -> Result<Tensor> {
    let dims = resolve_dims("logsumexp", dims, x.ndim())?;
    let kept: Vec<usize> = (0..x.ndim()).filter(|d| !dims.contains(d)).collect();
    let order: Vec<i64> = kept.iter().chain(&dims).map(|&d| d as i64).collect();
    let outer: Vec<usize> = kept.iter().map(|&d| x.shape()[d]).collect();
    let inner: usize = dims.iter().map(|&d| x.shape()[d]).product();
    let rows = outer.iter().product();
    let matrix = movement::reshape_to(&movement::permute(x, &order)?, &[rows, inner])?;
    let total = apply_one(LogSumExp, &[&matrix])?;
    let one = |d: usize| if dims.contains(&d) { 1 } else { x.shape()[d] };
    let shape: Vec<usize> = (0..x.ndim()).map(one).collect();
    let total = movement::reshape_to(&total, &shape)?;
    if keepdim { Ok(total) } else { drop_dims(&total, &dims) }
}

/// How the losses of single rows become one result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reduction {
    None,
    Mean,
    Sum,
}

impl Reduction {
    pub fn parse(name: &str) -> Result<Reduction> {
        Ok(match name {
            "none" => Reduction::None,
            "mean" => Reduction::Mean,
            "sum" => Reduction::Sum,
            other => bail!(Argument, "reduction \"{other}\" is none of \"mean\", \"sum\" and \"none\""),
        })
    }
}

/// Arguments of [`cross_entropy`] besides the tensors; the defaults are PyTorch's.
#[derive(Debug, Clone, Copy)]
pub struct CrossEntropyOptions {
    /// Rows with this class count as if they were not there.
    pub ignore_index: i64,
    /// Share of the target that is spread over all classes, in [0, 1].
    pub label_smoothing: f64,
    pub reduction: Reduction,
}

impl Default for CrossEntropyOptions {
    fn default() -> Self {
        CrossEntropyOptions { ignore_index: -100, label_smoothing: 0.0, reduction: Reduction::Mean }
    }
}

/// −Σ_c q_c·w_c·ln softmax(x)_c, for logits [N, C], [N, C, …] or [C]; the target is class numbers (int64, without the
/// class axis) or probabilities (the shape of x). With class numbers the mean is weighted by the weights of the targets,
/// with probabilities it is over rows, as in PyTorch.
pub fn cross_entropy(
    x: &Tensor,
    target: &Tensor,
    weight: Option<&Tensor>,
    options: CrossEntropyOptions,
) -> Result<Tensor> {
    ensure!(x.ndim() >= 1, Shape, "cross_entropy: logits need a class axis, got a scalar");
    let smoothing = options.label_smoothing;
    ensure!((0.0..=1.0).contains(&smoothing), Argument, "cross_entropy: label_smoothing {smoothing} is not in [0, 1]");
    let class_axis = if x.ndim() == 1 { 0 } else { 1 };
    let classes = x.shape()[class_axis];
    let without: Vec<usize> = (0..x.ndim()).filter(|&d| d != class_axis).map(|d| x.shape()[d]).collect();
    let probabilities = target.dtype().is_float();
    let expected = if probabilities { x.shape() } else { &without[..] };
    ensure!(
        target.shape() == expected,
        Shape,
        "cross_entropy: logits {:?} want {} of shape {expected:?}, got {:?}",
        x.shape(),
        if probabilities { "probabilities" } else { "class numbers" },
        target.shape()
    );
    if let Some(weight) = weight {
        ensure!(
            weight.shape() == [classes],
            Shape,
            "cross_entropy: {classes} classes want weights [{classes}], got {:?}",
            weight.shape()
        );
    }
    let to_rows = |t: &Tensor| {
        let mut order: Vec<i64> = (0..t.ndim() as i64).filter(|&d| d != class_axis as i64).collect();
        order.push(class_axis as i64);
        movement::reshape_to(&movement::permute(t, &order)?, &[without.iter().product(), classes])
    };
    let rows = movement::contiguous(&to_rows(x)?)?;
    let goal = if probabilities {
        movement::to_dtype(&to_rows(&target.detach()?)?, x.dtype())?
    } else {
        movement::to_dtype(&movement::reshape_to(&target.detach()?, &[without.iter().product()])?, DType::I64)?
    };
    let ones = Tensor::full_on(&x.device()?, &[classes], 1.0, x.dtype())?;
    let goal = movement::contiguous(&goal)?;
    let weight = match weight {
        Some(weight) => movement::contiguous(&movement::to_dtype(&weight.detach()?, x.dtype())?)?,
        None => ones,
    };
    let losses = if probabilities && target.requires_grad() {
        let target = movement::to_dtype(&to_rows(target)?, x.dtype())?;
        let spread = smoothing / classes as f64;
        let smoothed = elementwise::add_scalar(&elementwise::mul_scalar(&target, 1.0 - smoothing)?, spread)?;
        let terms = elementwise::mul(&elementwise::mul(&log_softmax(&rows, -1)?, &smoothed)?, &weight)?;
        elementwise::neg(&reduce::sum(&terms, Some(&[-1]), false)?)?
    } else {
        let op = CrossEntropy { ignore_index: options.ignore_index, smoothing };
        apply_one(op, &[&rows, &goal, &weight])?
    };
    match options.reduction {
        Reduction::None => movement::reshape_to(&losses, &without),
        Reduction::Sum => reduce::sum(&losses, None, false),
        #[cfg(feature = "gpu")]
        Reduction::Mean if !losses.is_host() && !probabilities => {
            let CrossEntropyOptions { ignore_index, .. } = options;
            let goal = softmax_gpu::Goal { target: &goal, weight: &weight, smoothing, ignore_index };
            let weights = crate::op::guard("cross_entropy", || softmax_gpu::row_weights(&goal, classes))?;
            elementwise::div(&reduce::sum(&losses, None, false)?, &reduce::sum(&weights, None, false)?)
        }
        Reduction::Mean => {
            let count = if probabilities {
                without.iter().product::<usize>() as f64
            } else {
                let weights = movement::to_dtype(&weight, DType::F64)?.to_vec::<f64>()?;
                goal.slice::<i64>().iter().filter(|&&c| c != options.ignore_index).map(|&c| weights[c as usize]).sum()
            };
            elementwise::mul_scalar(&reduce::sum(&losses, None, false)?, 1.0 / count)
        }
    }
}

#[cfg(feature = "gpu")]
fn float32(op: &str, x: &Tensor) -> Result<()> {
    if x.dtype() != DType::F32 {
        return Err(elementwise::not_float(op, x.dtype()));
    }
    Ok(())
}

/// Runs on a contiguous tensor whose last axis is `dim`, and puts the axis back.
fn along_last(x: &Tensor, dim: i64, op: &str, run: impl FnOnce(&Tensor) -> Result<Tensor>) -> Result<Tensor> {
    if x.ndim() == 0 {
        ensure!(dim == 0 || dim == -1, Argument, "{op}: dimension {dim} of a scalar");
        return movement::reshape_to(&run(&movement::reshape_to(x, &[1])?)?, &[]);
    }
    let last = x.ndim() - 1;
    let d = resolve_dim(op, dim, x.ndim())?;
    if d == last {
        return run(&movement::contiguous(x)?);
    }
    let swapped = movement::contiguous(&movement::transpose(x, d as i64, last as i64)?)?;
    movement::transpose(&run(&swapped)?, d as i64, last as i64)
}

struct Softmax {
    log: bool,
}

impl Op for Softmax {
    fn name(&self) -> &'static str {
        if self.log { "log_softmax" } else { "softmax" }
    }

    fn forward(&self, inputs: &[&Tensor], context: &mut Context) -> Result<Vec<Tensor>> {
        let x = inputs[0];
        let y = dispatch_float!(x.dtype(), self.name(), T => {
            let mut out = Buffer::<T>::new(x.numel())?;
            let log = self.log;
            each_row([x.slice::<T>()], &mut out, row_length(x), |[x], y| dispatch(Forward { x, y, log }));
            Tensor::from_buffer(out, x.shape())
        });
        context.save_result(0, &y)?;
        Ok(vec![y])
    }

    #[cfg(feature = "gpu")]
    fn forward_gpu(&self, inputs: &[&Tensor], context: &mut Context) -> Result<Vec<Tensor>> {
        float32(self.name(), inputs[0])?;
        let y = softmax_gpu::softmax(inputs[0], self.log)?;
        context.save_result(0, &y)?;
        Ok(vec![y])
    }

    fn backward(&self, pass: &Pass) -> Result<Vec<Option<Tensor>>> {
        Ok(vec![Some(apply_one(
            SoftmaxGrad { log: self.log },
            &[&pass.saved[0], &movement::contiguous(pass.grad())?],
        )?)])
    }
}

/// From the result y and its gradient g: y·(g − Σ g·y), or g − e^y·Σ g for the logarithm.
struct SoftmaxGrad {
    log: bool,
}

impl Op for SoftmaxGrad {
    fn name(&self) -> &'static str {
        if self.log { "log_softmax" } else { "softmax" }
    }

    fn forward(&self, inputs: &[&Tensor], context: &mut Context) -> Result<Vec<Tensor>> {
        let [y, g] = [inputs[0], inputs[1]];
        context.save(y)?;
        context.save(g)?;
        Ok(vec![dispatch_float!(y.dtype(), self.name(), T => {
            let mut out = Buffer::<T>::new(y.numel())?;
            let log = self.log;
            each_row([y.slice::<T>(), g.slice::<T>()], &mut out, row_length(y), |[y, g], dx| {
                dispatch(Backward { y, g, dx, log });
            });
            Tensor::from_buffer(out, y.shape())
        })])
    }

    #[cfg(feature = "gpu")]
    fn forward_gpu(&self, inputs: &[&Tensor], context: &mut Context) -> Result<Vec<Tensor>> {
        context.save(inputs[0])?;
        context.save(inputs[1])?;
        Ok(vec![softmax_gpu::softmax_gradient(inputs[0], inputs[1], self.log)?])
    }

    /// The same formula in operations, so that it can be differentiated.
    fn backward(&self, pass: &Pass) -> Result<Vec<Option<Tensor>>> {
        let [y, g, d] = [&pass.saved[0], &pass.saved[1], pass.grad()];
        let last = |t: &Tensor| reduce::sum(t, Some(&[-1]), true);
        let (dy, dg);
        if self.log {
            // dx = g − e^y·s(g): ∂/∂y = −e^y·s(g), ∂/∂g = 1 − s(e^y·).
            let p = elementwise::exp_(y)?;
            let weighted = elementwise::mul(d, &p)?;
            dy = elementwise::neg(&elementwise::mul(&weighted, &last(g)?)?)?;
            dg = elementwise::sub(d, &last(&weighted)?)?;
        } else {
            // dx = y·(g − s(g·y)).
            let inner = last(&elementwise::mul(g, y)?)?;
            let outer = last(&elementwise::mul(d, y)?)?;
            dy = elementwise::sub(&elementwise::mul(d, &elementwise::sub(g, &inner)?)?, &elementwise::mul(&outer, g)?)?;
            dg = elementwise::mul(y, &elementwise::sub(d, &outer)?)?;
        }
        Ok(vec![Some(dy), Some(dg)])
    }
}

/// Of the rows of a matrix.
struct LogSumExp;

impl Op for LogSumExp {
    fn name(&self) -> &'static str {
        "logsumexp"
    }

    fn forward(&self, inputs: &[&Tensor], context: &mut Context) -> Result<Vec<Tensor>> {
        let x = movement::contiguous(&inputs[0].detach()?)?;
        let y = dispatch_float!(x.dtype(), "logsumexp", T => Tensor::from_buffer(log_sums::<T>(&x)?, &[x.shape()[0]]));
        context.save(inputs[0])?;
        context.save_result(0, &y)?;
        Ok(vec![y])
    }

    #[cfg(feature = "gpu")]
    fn forward_gpu(&self, inputs: &[&Tensor], context: &mut Context) -> Result<Vec<Tensor>> {
        float32("logsumexp", inputs[0])?;
        let y = softmax_gpu::logsumexp(&movement::contiguous(&inputs[0].detach()?)?)?;
        context.save(inputs[0])?;
        context.save_result(0, &y)?;
        Ok(vec![y])
    }

    fn backward(&self, pass: &Pass) -> Result<Vec<Option<Tensor>>> {
        let [x, y] = [&pass.saved[0], &pass.saved[1]];
        // A row of −∞ alone has no direction to grow in: its gradient is NaN·0 otherwise.
        let share = elementwise::exp_(&elementwise::sub(x, &movement::unsqueeze(y, 1)?)?)?;
        Ok(vec![Some(elementwise::mul(&share, &movement::unsqueeze(pass.grad(), 1)?)?)])
    }
}

/// Rows [R, C], targets [R] or [R, C], weights [C] to losses [R].
struct CrossEntropy {
    ignore_index: i64,
    smoothing: f64,
}

impl Op for CrossEntropy {
    fn name(&self) -> &'static str {
        "cross_entropy"
    }

    fn forward(&self, inputs: &[&Tensor], context: &mut Context) -> Result<Vec<Tensor>> {
        let [x, target, weight] = [inputs[0], inputs[1], inputs[2]];
        let (rows, classes) = (x.shape()[0], x.shape()[1]);
        self.check_classes(target, classes)?;
        let (losses, sums) = dispatch_float!(x.dtype(), "cross_entropy", T => {
            let sums = log_sums::<T>(x)?;
            let goal = Goal::<T>::new(self, target, weight.slice::<T>());
            let values = x.slice::<T>();
            let mut out = Buffer::<T>::new(rows)?;
            for r in 0..rows {
                let mut loss = T::ZERO;
                goal.each(r, classes, |c, q| {
                    // 0 · ∞ would be NaN where a class is impossible and not asked for.
                    if q != T::ZERO { loss += q * (sums[r] - values[r * classes + c]) }
                });
                out[r] = loss;
            }
            (Tensor::from_buffer(out, &[rows]), Tensor::from_buffer(sums, &[rows]))
        });
        context.save(x)?;
        context.save(target)?;
        context.save(weight)?;
        context.save(&sums)?;
        Ok(vec![losses])
    }

    /// A class that does not exist makes the loss NaN: to refuse it, numbers would have to be read.
    #[cfg(feature = "gpu")]
    fn forward_gpu(&self, inputs: &[&Tensor], context: &mut Context) -> Result<Vec<Tensor>> {
        float32("cross_entropy", inputs[0])?;
        let (losses, sums) = softmax_gpu::cross_entropy(inputs[0], &self.goal(inputs[1], inputs[2]))?;
        inputs.iter().copied().chain([&sums]).try_for_each(|kept| context.save(kept))?;
        Ok(vec![losses])
    }

    fn backward(&self, pass: &Pass) -> Result<Vec<Option<Tensor>>> {
        let [x, target, weight, sums] = [&pass.saved[0], &pass.saved[1], &pass.saved[2], &pass.saved[3]];
        if autograd::is_enabled() {
            // The same in operations, so that it can be differentiated again.
            let goal = self.matrix(target, weight, x.shape()[1])?;
            let scaled = elementwise::mul(&softmax(x, -1)?, &reduce::sum(&goal, Some(&[-1]), true)?)?;
            let dx = elementwise::mul(&elementwise::sub(&scaled, &goal)?, &movement::unsqueeze(pass.grad(), -1)?)?;
            return Ok(vec![Some(dx), None, None]);
        }
        let grad = movement::contiguous(pass.grad())?;
        let op = CrossEntropyGrad(CrossEntropy { ..*self });
        Ok(vec![Some(apply_one(op, &[x, target, weight, sums, &grad])?), None, None])
    }
}

impl CrossEntropy {
    #[cfg(feature = "gpu")]
    fn goal<'a>(&self, target: &'a Tensor, weight: &'a Tensor) -> softmax_gpu::Goal<'a> {
        softmax_gpu::Goal { target, weight, smoothing: self.smoothing, ignore_index: self.ignore_index }
    }

    /// q_c·w_c of each row, [rows, classes].
    fn matrix(&self, target: &Tensor, weight: &Tensor, classes: usize) -> Result<Tensor> {
        let rows = target.shape()[0];
        dispatch_float!(weight.dtype(), "cross_entropy", T => {
            let goal = Goal::<T>::new(self, target, weight.slice::<T>());
            let mut out = Buffer::<T>::zeroed(rows * classes)?;
            for r in 0..rows {
                goal.each(r, classes, |c, q| out[r * classes + c] += q);
            }
            Ok(Tensor::from_buffer(out, &[rows, classes]))
        })
    }

    fn check_classes(&self, target: &Tensor, classes: usize) -> Result<()> {
        if target.dtype() != DType::I64 {
            return Ok(());
        }
        for (row, &class) in target.slice::<i64>().iter().enumerate() {
            ensure!(
                class == self.ignore_index || (0..classes as i64).contains(&class),
                Argument,
                "cross_entropy: the target of row {row} is class {class}; there are classes 0 to {}",
                classes as i64 - 1
            );
        }
        Ok(())
    }
}

/// Row by row: g·(softmax(x)·Σ q − q).
struct CrossEntropyGrad(CrossEntropy);

impl Op for CrossEntropyGrad {
    fn name(&self) -> &'static str {
        "cross_entropy"
    }

    fn forward(&self, inputs: &[&Tensor], _: &mut Context) -> Result<Vec<Tensor>> {
        let [x, target, weight, sums, grad] = [inputs[0], inputs[1], inputs[2], inputs[3], inputs[4]];
        let classes = x.shape()[1];
        Ok(vec![dispatch_float!(x.dtype(), "cross_entropy", T => {
            let goal = Goal::<T>::new(&self.0, target, weight.slice::<T>());
            let (values, sums, grad) = (x.slice::<T>(), sums.slice::<T>(), grad.slice::<T>());
            let mut out = Buffer::<T>::new(x.numel())?;
            if classes > 0 {
                let shared = SharedPointer::new(&mut out);
                parallel_ranges(x.shape()[0], 16384usize.div_ceil(classes), |range| {
                    for r in range {
                        // SAFETY: each row is written by one task.
                        let dx = unsafe { shared.slice(r * classes..(r + 1) * classes) };
                        let mut total = T::ZERO;
                        goal.each(r, classes, |_, q| total += q);
                        dispatch(Scaled { x: &values[r * classes..(r + 1) * classes], shift: sums[r], factor: total * grad[r], dx });
                        goal.each(r, classes, |c, q| dx[c] -= q * grad[r]);
                    }
                });
            }
            Tensor::from_buffer(out, x.shape())
        })])
    }

    #[cfg(feature = "gpu")]
    fn forward_gpu(&self, inputs: &[&Tensor], _: &mut Context) -> Result<Vec<Tensor>> {
        let goal = self.0.goal(inputs[1], inputs[2]);
        Ok(vec![softmax_gpu::cross_entropy_gradient(inputs[0], &goal, inputs[3], inputs[4])?])
    }

    fn backward(&self, _: &Pass) -> Result<Vec<Option<Tensor>>> {
        bail!(Internal, "cross_entropy: this runs without recording only")
    }
}

/// What a row is compared with: weighted probabilities, most of them 0 for class numbers without smoothing.
struct Goal<'a, T> {
    classes: Option<&'a [i64]>,
    probabilities: &'a [T],
    weight: &'a [T],
    smoothing: f64,
    ignore_index: i64,
}

impl<'a, T: Float> Goal<'a, T> {
    fn new(op: &CrossEntropy, target: &'a Tensor, weight: &'a [T]) -> Self {
        let indices = target.dtype() == DType::I64;
        Goal {
            classes: indices.then(|| target.slice::<i64>()),
            probabilities: if indices { &[] } else { target.slice::<T>() },
            weight,
            smoothing: op.smoothing,
            ignore_index: op.ignore_index,
        }
    }

    /// Calls with each class that counts in a row, and q_c·w_c.
    #[inline]
    fn each(&self, row: usize, count: usize, mut visit: impl FnMut(usize, T)) {
        let spread = T::from_f64(self.smoothing / count as f64);
        let rest = T::from_f64(1.0 - self.smoothing);
        match self.classes {
            Some(classes) => {
                let class = classes[row];
                if class == self.ignore_index {
                    return;
                }
                if self.smoothing > 0.0 {
                    (0..count).for_each(|c| visit(c, spread * self.weight[c]));
                }
                visit(class as usize, rest * self.weight[class as usize]);
            }
            None => {
                let row = &self.probabilities[row * count..(row + 1) * count];
                (0..count).for_each(|c| visit(c, (rest * row[c] + spread) * self.weight[c]));
            }
        }
    }
}

fn row_length(x: &Tensor) -> usize {
    x.shape().last().copied().unwrap_or(1)
}

/// Runs on each row of inputs of one shape, in parallel.
fn each_row<T: Sync + Send, const N: usize>(
    inputs: [&[T]; N],
    out: &mut [T],
    length: usize,
    run: impl Fn([&[T]; N], &mut [T]) + Sync,
) {
    if out.is_empty() {
        return;
    }
    let rows = out.len() / length;
    let shared = SharedPointer::new(out);
    parallel_ranges(rows, 8192usize.div_ceil(length), |range| {
        for row in range {
            let span = row * length..(row + 1) * length;
            // SAFETY: each row is written by one task.
            run(inputs.map(|input| &input[span.clone()]), unsafe { shared.slice(span.clone()) });
        }
    });
}

/// ln Σ eˣ of each row of a contiguous matrix.
fn log_sums<T: Math>(x: &Tensor) -> Result<Buffer<T>> {
    let (rows, length) = (x.shape()[0], x.shape()[1]);
    let values = x.slice::<T>();
    let mut out = Buffer::<T>::new(rows)?;
    let shared = SharedPointer::new(&mut out);
    parallel_ranges(rows, 8192usize.div_ceil(length.max(1)), |range| {
        for row in range {
            let total = dispatch(LogSum { x: &values[row * length..(row + 1) * length] });
            // SAFETY: each row writes its own slot.
            unsafe { shared.slice(row..row + 1)[0] = total };
        }
    });
    Ok(out)
}

/// The largest element, NaN if there is one.
#[inline(always)]
fn largest<T: Math>(x: &[T]) -> T {
    let mut lanes = [T::NEG_INFINITY; 16];
    let mut parts = x.chunks_exact(16);
    for part in &mut parts {
        for i in 0..16 {
            lanes[i] = max(lanes[i], part[i]);
        }
    }
    parts.remainder().iter().chain(&lanes).fold(T::NEG_INFINITY, |a, &b| max(a, b))
}

#[inline(always)]
fn total<T: Math>(x: &[T], f: impl Fn(usize, T) -> T) -> T {
    let mut lanes = [T::ZERO; 16];
    let whole = x.len() / 16 * 16;
    for at in (0..whole).step_by(16) {
        for i in 0..16 {
            lanes[i] += f(at + i, x[at + i]);
        }
    }
    for i in whole..x.len() {
        lanes[i - whole] += f(i, x[i]);
    }
    let mut width = 8;
    while width > 0 {
        for i in 0..width {
            lanes[i] += lanes[i + width];
        }
        width /= 2;
    }
    lanes[0]
}

struct LogSum<'a, T> {
    x: &'a [T],
}

impl<T: Math> Kernel for LogSum<'_, T> {
    type Output = T;
    #[inline(always)]
    fn run(self) -> T {
        let top = largest(self.x);
        // ∞ − ∞ is NaN: a row whose largest value is infinite is not shifted.
        let shift = if top.is_finite() { top } else { T::ZERO };
        log(total(self.x, |_, value| exp(value - shift))) + shift
    }
}

struct Forward<'a, T> {
    x: &'a [T],
    y: &'a mut [T],
    log: bool,
}

impl<T: Math> Kernel for Forward<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let Forward { x, y, log: logarithm } = self;
        let n = x.len();
        let y = &mut y[..n];
        let shift = largest(x);
        for i in 0..n {
            y[i] = exp(x[i] - shift);
        }
        let sum = total(y, |_, value| value);
        if logarithm {
            let offset = log(sum) + shift;
            for i in 0..n {
                y[i] = x[i] - offset;
            }
        } else {
            let scale = T::ONE / sum;
            for i in 0..n {
                y[i] *= scale;
            }
        }
    }
}

struct Backward<'a, T> {
    y: &'a [T],
    g: &'a [T],
    dx: &'a mut [T],
    log: bool,
}

impl<T: Math> Kernel for Backward<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let Backward { y, g, dx, log: logarithm } = self;
        let n = y.len();
        let (g, dx) = (&g[..n], &mut dx[..n]);
        if logarithm {
            let sum = total(g, |_, value| value);
            for i in 0..n {
                dx[i] = g[i] - exp(y[i]) * sum;
            }
        } else {
            let sum = total(g, |i, value| value * y[i]);
            for i in 0..n {
                dx[i] = y[i] * (g[i] - sum);
            }
        }
    }
}

/// dx = factor·e^(x − shift)
struct Scaled<'a, T> {
    x: &'a [T],
    shift: T,
    factor: T,
    dx: &'a mut [T],
}

impl<T: Math> Kernel for Scaled<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        for (d, &value) in self.dx.iter_mut().zip(self.x) {
            *d = exp(value - self.shift) * self.factor;
        }
    }
}

#[cfg_attr(feature = "node", napi_derive::napi)]
impl Tensor {
    /// eˣ / Σ eˣ along a dimension.
    #[cfg_attr(feature = "node", napi_derive::napi)]
    pub fn softmax(&self, dim: i64) -> Result<Tensor> {
        softmax(self, dim)
    }

    /// The natural logarithm of softmax along a dimension.
    #[cfg_attr(feature = "node", napi_derive::napi)]
    pub fn log_softmax(&self, dim: i64) -> Result<Tensor> {
        log_softmax(self, dim)
    }
}

#[cfg(feature = "node")]
mod node {
    use super::*;
    use napi::bindgen_prelude::{ClassInstance, Either, FromNapiValue, Object};
    use napi_derive::napi;

    #[napi]
    impl Tensor {
        /// ln Σ eˣ over dimensions (default: all).
        #[napi(js_name = "logsumexp")]
        pub fn js_logsumexp(
            &self,
            #[napi(ts_arg_type = "number | Array<number>")] dims: Option<Either<i64, Vec<i64>>>,
            keepdim: Option<bool>,
        ) -> Result<Tensor> {
            let dims = dims.map(|d| match d {
                Either::A(one) => vec![one],
                Either::B(many) => many,
            });
            logsumexp(self, dims.as_deref(), keepdim.unwrap_or(false))
        }

        /// Cross-entropy of logits [N, C], [N, C, …] or [C] with class numbers (int64) or probabilities (of the logits'
        /// shape). ERR_ARGUMENT for a class that does not exist, ERR_SHAPE where shapes do not fit.
        #[napi(js_name = "crossEntropy")]
        pub fn js_cross_entropy(
            &self,
            target: &Tensor,
            #[napi(
                ts_arg_type = "{ weight?: Tensor | null, ignoreIndex?: number, reduction?: 'mean' | 'sum' | 'none', labelSmoothing?: number }"
            )]
            options: Option<Object>,
        ) -> Result<Tensor> {
            let mut chosen = CrossEntropyOptions::default();
            let Some(given) = options else { return cross_entropy(self, target, None, chosen) };
            chosen.ignore_index = field(&given, "ignoreIndex")?.unwrap_or(chosen.ignore_index);
            chosen.label_smoothing = field(&given, "labelSmoothing")?.unwrap_or(chosen.label_smoothing);
            if let Some(name) = field::<String>(&given, "reduction")? {
                chosen.reduction = Reduction::parse(&name)?;
            }
            let weight: Option<ClassInstance<Tensor>> = field(&given, "weight")?;
            cross_entropy(self, target, weight.as_deref(), chosen)
        }
    }

    fn field<T: FromNapiValue>(options: &Object, name: &str) -> Result<Option<T>> {
        let value: Option<Option<T>> = options.get(name).map_err(crate::node::border)?;
        Ok(value.flatten())
    }
}

#[cfg(test)]
pub fn cases() -> Vec<crate::ops::suite::Case> {
    use crate::ops::suite::{Array, along, case, index, normal};
    fn rows(a: &Array, f: impl Fn(&[f64]) -> Vec<f64>) -> Vec<f64> {
        let length = a.shape.last().copied().unwrap_or(1).max(1);
        a.values.chunks(length).flat_map(f).collect()
    }
    let log_sum = |row: &[f64]| row.iter().map(|v| v.exp()).sum::<f64>().ln();
    vec![
        case("softmax", "", [normal(&[3, 5])], |t| softmax(&t[0], -1))
            .equals(move |a| rows(&a[0], |r| r.iter().map(|v| (v - log_sum(r)).exp()).collect())),
        case("softmax", "long rows", [normal(&[3, 37])], |t| softmax(&t[0], 1)),
        case("softmax", "of the middle axis", [normal(&[2, 5, 3])], |t| softmax(&t[0], 1)),
        case("log_softmax", "", [normal(&[3, 5])], |t| log_softmax(&t[0], -1))
            .equals(move |a| rows(&a[0], |r| r.iter().map(|v| v - log_sum(r)).collect())),
        case("log_softmax", "of channels", [normal(&[2, 5, 3, 4])], |t| log_softmax(&t[0], 1)),
        case("logsumexp", "", [normal(&[3, 5])], |t| logsumexp(&t[0], Some(&[1]), false))
            .equals(along(1, move |row| vec![log_sum(row)])),
        case("logsumexp", "of two axes", [normal(&[2, 5, 3])], |t| logsumexp(&t[0], Some(&[0, 2]), true)),
        case("logsumexp", "of all", [normal(&[3, 5])], |t| logsumexp(&t[0], None, false)),
        case("cross_entropy", "class numbers", [normal(&[6, 5]), index(5, &[6])], |t| {
            cross_entropy(&t[0], &t[1], None, CrossEntropyOptions::default())
        })
        .equals(move |a| {
            let (count, classes) = (a[0].shape[0], a[0].shape[1]);
            let row = |k: usize| &a[0].values[k * classes..(k + 1) * classes];
            let loss = |k: usize| log_sum(row(k)) - row(k)[a[1].values[k] as usize];
            vec![(0..count).map(loss).sum::<f64>() / count as f64]
        }),
        case(
            "cross_entropy",
            "smoothed and weighted",
            [normal(&[6, 5]), index(5, &[6]), normal(&[5]).constant()],
            |t| {
                let options =
                    CrossEntropyOptions { label_smoothing: 0.1, reduction: Reduction::Sum, ..Default::default() };
                cross_entropy(&t[0], &t[1], Some(&elementwise::square(&t[2])?), options)
            },
        ),
        case("cross_entropy", "an ignored class", [normal(&[6, 5]), index(5, &[6])], |t| {
            let options = CrossEntropyOptions { ignore_index: 2, reduction: Reduction::None, ..Default::default() };
            cross_entropy(&t[0], &t[1], None, options)
        })
        .drops_nan(),
        case("cross_entropy", "probabilities with a gradient", [normal(&[6, 5]), normal(&[6, 5])], |t| {
            let options = CrossEntropyOptions { label_smoothing: 0.1, ..Default::default() };
            cross_entropy(&t[0], &softmax(&t[1], 1)?, None, options)
        }),
        case("cross_entropy", "probabilities of images", [normal(&[2, 5, 3]), normal(&[2, 5, 3]).constant()], |t| {
            cross_entropy(&t[0], &softmax(&t[1].detach()?, 1)?, None, CrossEntropyOptions::default())
        }),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_logits_do_not_overflow_and_infinite_ones_say_so() {
        let x = Tensor::from_slice(&[1000f32, 1000.0, -1000.0], &[1, 3]).unwrap();
        assert_eq!(softmax(&x, 1).unwrap().to_vec::<f32>().unwrap(), [0.5, 0.5, 0.0]);
        let nothing = Tensor::from_slice(&[f32::NEG_INFINITY; 2], &[1, 2]).unwrap();
        assert_eq!(logsumexp(&nothing, Some(&[1]), false).unwrap().to_vec::<f32>().unwrap(), [f32::NEG_INFINITY]);
        let masked = Tensor::from_slice(&[0f32, f32::NEG_INFINITY], &[1, 2]).unwrap();
        let target = Tensor::from_slice(&[0i64], &[1]).unwrap();
        let loss = cross_entropy(&masked, &target, None, CrossEntropyOptions::default()).unwrap();
        assert_eq!(loss.to_scalar().unwrap(), 0.0);
    }

    #[test]
    fn a_class_that_does_not_exist_is_named() {
        let x = Tensor::zeros(&[2, 3], DType::F32).unwrap();
        let target = Tensor::from_slice(&[0i64, 3], &[2]).unwrap();
        let error = cross_entropy(&x, &target, None, CrossEntropyOptions::default()).unwrap_err();
        assert!(error.code() == "ERR_ARGUMENT" && error.message().contains("class 3"), "{error}");
        let target = Tensor::from_slice(&[0i64; 3], &[3]).unwrap();
        let error = cross_entropy(&x, &target, None, CrossEntropyOptions::default()).unwrap_err();
        assert!(error.message().contains("[2, 3]") && error.message().contains("[3]"), "{error}");
    }
}
