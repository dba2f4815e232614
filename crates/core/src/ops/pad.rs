//! Operations that read each axis in another order: padding, flipping, rolling. One table of places an axis says where
//! an output comes from; the gradient is the same tables read the other way.

use crate::cpu::threads::{SharedPointer, parallel_ranges};
use crate::dtype::Element;
use crate::error::Result;
use crate::op::{Context, Op, Pass, apply_one};
#[cfg(feature = "gpu")]
use crate::ops::axes_gpu::{self, Axis};
use crate::ops::movement;
use crate::shape::{Dims, resolve_dim, resolve_dims};
use crate::storage::Buffer;
use crate::tensor::Tensor;
use crate::{dispatch_all, ensure};
use std::rc::Rc;

/// What stands beyond the edges.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Padding {
    Constant(f64),
    /// Mirrored, the edge not repeated: needs more elements than it adds.
    Reflect,
    /// The edge itself.
    Replicate,
    /// From the other side.
    Circular,
}

/// Elements added (or, if negative, cut off) around each axis, the last axis first: [left, right, top, bottom, …].
pub fn pad(x: &Tensor, amounts: &[i64], padding: Padding) -> Result<Tensor> {
    ensure!(
        amounts.len() % 2 == 0 && amounts.len() / 2 <= x.ndim(),
        Argument,
        "pad: {amounts:?} are not pairs for up to {} dimensions (shape {:?})",
        x.ndim(),
        x.shape()
    );
    let mut axes = vec![None; x.ndim()];
    for (k, pair) in amounts.chunks_exact(2).enumerate() {
        let d = x.ndim() - 1 - k;
        if pair != [0, 0] {
            axes[d] = Some(padded(x.shape(), d, pair[0], pair[1], padding)?);
        }
    }
    let fill = if let Padding::Constant(value) = padding { value } else { 0.0 };
    apply_one(Rearrange { name: "pad", axes, fill }, &[x])
}

fn padded(shape: &[usize], d: usize, before: i64, behind: i64, padding: Padding) -> Result<Table> {
    let n = shape[d] as i64;
    let length = n + before + behind;
    let fits = match padding {
        Padding::Constant(_) => length >= 0,
        Padding::Reflect => before < n && behind < n && length >= 0,
        Padding::Replicate => n > 0 && length >= 0,
        Padding::Circular => before <= n && behind <= n && length >= 0,
    };
    ensure!(
        fits,
        Argument,
        "pad: [{before}, {behind}] around dimension {d} of {shape:?} is not possible ({padding:?})"
    );
    let place = |i: i64| match padding {
        Padding::Constant(_) => (0..n).contains(&i).then_some(i as usize),
        Padding::Reflect => Some(if i < 0 {
            -i
        } else if i >= n {
            2 * (n - 1) - i
        } else {
            i
        } as usize),
        Padding::Replicate => Some(i.clamp(0, n - 1) as usize),
        Padding::Circular => Some(i.rem_euclid(n) as usize),
    };
    Ok((0..length).map(|i| place(i - before)).collect())
}

/// The axes in reverse order.
pub fn flip(x: &Tensor, dims: &[i64]) -> Result<Tensor> {
    let mut axes = vec![None; x.ndim()];
    for d in resolve_dims("flip", Some(dims), x.ndim())? {
        axes[d] = Some((0..x.shape()[d]).rev().map(Some).collect());
    }
    apply_one(Rearrange { name: "flip", axes, fill: 0.0 }, &[x])
}

/// Elements moved by `shifts[k]` along axis `dims[k]`; what leaves at the end comes in at the start. Without axes the
/// tensor is rolled as one long line.
pub fn roll(x: &Tensor, shifts: &[i64], dims: Option<&[i64]>) -> Result<Tensor> {
    let Some(dims) = dims else {
        ensure!(
            shifts.len() == 1,
            Argument,
            "roll: {} shifts and no dimensions; give one shift or the dimensions",
            shifts.len()
        );
        let flat = roll(&movement::reshape(x, &[-1])?, shifts, Some(&[0]))?;
        return movement::reshape_to(&flat, x.shape());
    };
    ensure!(shifts.len() == dims.len(), Argument, "roll: shifts {shifts:?} for dimensions {dims:?}");
    let mut total = vec![0i64; x.ndim()];
    for (&shift, &dim) in shifts.iter().zip(dims) {
        let d = resolve_dim("roll", dim, x.ndim())?;
        total[d] += shift % (x.shape()[d] as i64).max(1);
    }
    let axis = |d: usize| -> Option<Table> {
        let n = x.shape()[d] as i64;
        (total[d] != 0).then(|| (0..n).map(|i| Some((i - total[d]).rem_euclid(n) as usize)).collect())
    };
    let axes = (0..x.ndim()).map(axis).collect();
    apply_one(Rearrange { name: "roll", axes, fill: 0.0 }, &[x])
}

/// For each place along an axis of the result, the place in the source; None where the fill value stands.
type Table = Rc<[Option<usize>]>;

#[derive(Clone)]
struct Rearrange {
    name: &'static str,
    /// None: as it is.
    axes: Vec<Option<Table>>,
    fill: f64,
}

impl Op for Rearrange {
    fn name(&self) -> &'static str {
        self.name
    }

    fn forward(&self, inputs: &[&Tensor], context: &mut Context) -> Result<Vec<Tensor>> {
        let x = movement::dense(&inputs[0].detach()?)?;
        movement::save_shape(&x, context)?;
        let shape: Dims = (0..x.ndim()).map(|d| self.axes[d].as_ref().map_or(x.shape()[d], |t| t.len())).collect();
        let walk = Walk::new(&self.axes, x.strides(), &shape);
        Ok(vec![dispatch_all!(x.dtype(), T => {
            let fill = T::from_f64(self.fill);
            let values = x.slice::<T>();
            let mut out = Buffer::<T>::filled(shape.iter().product(), fill)?;
            let shared = SharedPointer::new(&mut out);
            parallel_ranges(walk.rows(), 16384usize.div_ceil(walk.length.max(1)), |range| {
                walk.each(range, |row, source| {
                    // SAFETY: each row of the result is written by one task.
                    let out = unsafe { shared.slice(row * walk.length..(row + 1) * walk.length) };
                    for run in &walk.runs {
                        run.copy(&values[source..], out);
                    }
                });
            });
            Tensor::from_buffer_strided(out, &shape, walk.strides.clone(), x.dtype())
        })])
    }

    #[cfg(feature = "gpu")]
    fn forward_gpu(&self, inputs: &[&Tensor], context: &mut Context) -> Result<Vec<Tensor>> {
        let x = inputs[0];
        movement::save_shape(x, context)?;
        let shape: Dims = (0..x.ndim()).map(|d| self.axes[d].as_ref().map_or(x.shape()[d], |t| t.len())).collect();
        let axes: Vec<Axis> = self
            .tables()
            .map(|(dim, table)| Axis {
                dim,
                taps: table.iter().map(|p| p.map(|p| (p, 1.0)).into_iter().collect()).collect(),
            })
            .collect();
        Ok(vec![axes_gpu::apply(x, &axes, &axes_gpu::order_like(x, &shape), self.fill)?])
    }

    fn backward(&self, pass: &Pass) -> Result<Vec<Option<Tensor>>> {
        let op = RearrangeGrad { forward: self.clone(), shape: Dims::from_slice(pass.saved[0].shape()) };
        Ok(vec![Some(apply_one(op, &[pass.grad()])?)])
    }
}

#[cfg(feature = "gpu")]
impl Rearrange {
    /// The axes that are read in another order.
    fn tables(&self) -> impl Iterator<Item = (usize, &Table)> {
        self.axes.iter().enumerate().filter_map(|(dim, table)| Some((dim, table.as_ref()?)))
    }
}

/// Adds each place of the result back to where it came from.
struct RearrangeGrad {
    forward: Rearrange,
    shape: Dims,
}

impl Op for RearrangeGrad {
    fn name(&self) -> &'static str {
        self.forward.name
    }

    fn forward(&self, inputs: &[&Tensor], _: &mut Context) -> Result<Vec<Tensor>> {
        let grad = movement::dense(&inputs[0].detach()?)?;
        // The source lies in memory in the order of the gradient.
        let ordered = crate::shape::Layout { shape: self.shape.clone(), ..grad.layout().clone() };
        let strides = ordered.dense_strides();
        let walk = Walk::new(&self.forward.axes, &strides, grad.shape());
        let grad = if walk.strides[..] == grad.strides()[..] { grad } else { walk.reorder(&grad)? };
        Ok(vec![crate::dispatch_float!(grad.dtype(), self.forward.name, T => {
            let values = grad.slice::<T>();
            let mut out = Buffer::<T>::zeroed(self.shape.iter().product())?;
            // Several places may come from one: each task takes whole slices of the outermost axis, if that one is kept.
            let tasks = if walk.keeps_outermost() { walk.outer[0].0.len() } else { 1 };
            let rows = walk.rows() / tasks.max(1);
            let shared = SharedPointer::new(&mut out);
            let total = self.shape.iter().product();
            parallel_ranges(tasks, 16384usize.div_ceil((rows * walk.length).max(1)), |range| {
                // SAFETY: slices of a kept outermost axis do not meet; otherwise there is one task.
                let out = unsafe { shared.slice(0..total) };
                walk.each(range.start * rows..range.end * rows, |row, source| {
                    let values = &values[row * walk.length..(row + 1) * walk.length];
                    for run in &walk.runs {
                        run.add(values, &mut out[source..]);
                    }
                });
            });
            Tensor::from_buffer_strided(out, &self.shape, strides, grad.dtype())
        })])
    }

    #[cfg(feature = "gpu")]
    fn forward_gpu(&self, inputs: &[&Tensor], _: &mut Context) -> Result<Vec<Tensor>> {
        let grad = inputs[0];
        let transposed = |(dim, table): (usize, &Table)| {
            let mut taps = vec![Vec::new(); self.shape[dim]];
            for (place, source) in table.iter().enumerate() {
                source.iter().for_each(|&source| taps[source].push((place, 1.0)));
            }
            Axis { dim, taps }
        };
        let axes: Vec<Axis> = self.forward.tables().map(transposed).collect();
        Ok(vec![axes_gpu::apply(grad, &axes, &axes_gpu::order_like(grad, &self.shape), 0.0)?])
    }

    fn backward(&self, pass: &Pass) -> Result<Vec<Option<Tensor>>> {
        Ok(vec![Some(apply_one(Rearrange { fill: 0.0, ..self.forward.clone() }, &[pass.grad()])?)])
    }
}

/// The rows of a result in the order of its memory, each with where its source begins.
struct Walk {
    /// Offsets in the source along the outer axes, outermost first; None for fill; and whether the axis is kept.
    outer: Vec<(Vec<Option<usize>>, bool)>,
    /// The innermost axis.
    runs: Vec<Run>,
    length: usize,
    /// Of the result.
    strides: Dims,
}

/// Elements of a row whose places in the source go up by a fixed step.
struct Run {
    to: usize,
    from: usize,
    length: usize,
    /// In elements of the source; may be negative.
    step: isize,
}

impl Run {
    fn copy<T: Copy>(&self, source: &[T], out: &mut [T]) {
        let out = &mut out[self.to..self.to + self.length];
        if self.step == 1 {
            out.copy_from_slice(&source[self.from..self.from + self.length]);
        } else {
            for (k, o) in out.iter_mut().enumerate() {
                *o = source[(self.from as isize + k as isize * self.step) as usize];
            }
        }
    }

    fn add<T: Copy + std::ops::AddAssign>(&self, values: &[T], out: &mut [T]) {
        for (k, v) in values[self.to..self.to + self.length].iter().enumerate() {
            out[(self.from as isize + k as isize * self.step) as usize] += *v;
        }
    }
}

impl Walk {
    /// `source` are the strides of the dense source; the result lies in the same order of axes.
    fn new(axes: &[Option<Table>], source: &[usize], shape: &[usize]) -> Walk {
        let n = shape.len();
        let mut order: Vec<usize> = (0..n).collect();
        // Stable: axes of equal strides (size 1) stay in row-major order.
        order.sort_by_key(|&d| std::cmp::Reverse(source[d]));
        let mut strides = Dims::from_elem(1, n);
        let mut step = 1;
        for &d in order.iter().rev() {
            strides[d] = step;
            step *= shape[d].max(1);
        }
        let offsets = |d: usize| -> Vec<Option<usize>> {
            let place = |i: usize| axes[d].as_ref().map_or(Some(i), |table| table[i]);
            (0..shape[d]).map(|i| place(i).map(|p| p * source[d])).collect()
        };
        let inner = order.pop();
        let last = inner.map_or(vec![Some(0)], offsets);
        let outer = order.iter().map(|&d| (offsets(d), axes[d].is_none())).collect();
        Walk { outer, runs: runs(&last), length: last.len(), strides }
    }

    fn rows(&self) -> usize {
        self.outer.iter().map(|(axis, _)| axis.len()).product()
    }

    fn keeps_outermost(&self) -> bool {
        self.outer.first().is_some_and(|(_, kept)| *kept)
    }

    /// Visits those rows whose source is not fill.
    fn each(&self, rows: std::ops::Range<usize>, mut visit: impl FnMut(usize, usize)) {
        for row in rows {
            let mut rest = row;
            let mut source = Some(0);
            for (axis, _) in self.outer.iter().rev() {
                source = source.zip(axis[rest % axis.len()]).map(|(a, b)| a + b);
                rest /= axis.len();
            }
            if let Some(source) = source {
                visit(row, source);
            }
        }
    }

    /// The same values in the memory order of the result.
    fn reorder(&self, grad: &Tensor) -> Result<Tensor> {
        let layout = crate::shape::Layout { strides: self.strides.clone(), offset: 0, ..grad.layout().clone() };
        Ok(dispatch_all!(grad.dtype(), T => {
            let mut out = Buffer::<T>::new(grad.numel())?;
            movement::copy_strided(grad.storage_slice::<T>(), grad.layout(), &mut out, &layout);
            Tensor::from_buffer_strided(out, grad.shape(), self.strides.clone(), grad.dtype())
        }))
    }
}

fn runs(places: &[Option<usize>]) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for (to, place) in places.iter().enumerate() {
        let Some(from) = *place else { continue };
        if let Some(run) = runs.last_mut()
            && run.to + run.length == to
        {
            let step = from as isize - (run.from as isize + (run.length as isize - 1) * run.step);
            if run.length == 1 || step == run.step {
                run.step = from as isize - (run.from as isize + (run.length as isize - 1) * run.step);
                run.length += 1;
                continue;
            }
        }
        runs.push(Run { to, from, length: 1, step: 1 });
    }
    runs
}

#[cfg(feature = "node")]
mod node {
    use super::*;
    use crate::bail;
    use crate::node::dims;
    use napi::bindgen_prelude::Either;
    use napi_derive::napi;

    #[napi]
    impl Tensor {
        /// Elements added (or, if negative, cut off) around each axis, the last axis first: [left, right, top, bottom, …].
        /// What stands there: `value` (default 0), the mirrored inside, the edge, or the other side.
        #[napi(js_name = "pad")]
        pub fn js_pad(
            &self,
            amounts: Vec<i64>,
            #[napi(ts_arg_type = "'constant' | 'reflect' | 'replicate' | 'circular'")] mode: Option<String>,
            value: Option<f64>,
        ) -> Result<Tensor> {
            let padding = match mode.as_deref() {
                None | Some("constant") => Padding::Constant(value.unwrap_or(0.0)),
                Some("reflect") => Padding::Reflect,
                Some("replicate") => Padding::Replicate,
                Some("circular") => Padding::Circular,
                Some(other) => {
                    bail!(Argument, "pad: mode \"{other}\"; there are constant, reflect, replicate and circular")
                }
            };
            pad(self, &amounts, padding)
        }

        /// These axes in reverse order.
        #[napi(js_name = "flip")]
        pub fn js_flip(&self, dim: Either<i64, Vec<i64>>) -> Result<Tensor> {
            flip(self, &dims(Some(dim)).unwrap_or_default())
        }

        /// Moved by `shifts` along `dims`, around the end; without `dims` as one long line.
        #[napi(js_name = "roll")]
        pub fn js_roll(&self, shifts: Either<i64, Vec<i64>>, dim: Option<Either<i64, Vec<i64>>>) -> Result<Tensor> {
            roll(self, &dims(Some(shifts)).unwrap_or_default(), dims(dim).as_deref())
        }
    }
}

#[cfg(test)]
pub fn cases() -> Vec<crate::ops::suite::Case> {
    use crate::ops::suite::*;
    let images: &[usize] = &[2, 3, 5, 4];
    let both = |mode| move |t: &[Tensor]| pad(&t[0], &[1, 2, 3, 1], mode);
    fn reversed(x: &[f64]) -> Vec<f64> {
        x.iter().rev().copied().collect()
    }
    vec![
        case("pad", "constant", [normal(images)], both(Padding::Constant(0.5))),
        case("pad", "reflect", [normal(images)], both(Padding::Reflect)),
        case("pad", "replicate", [normal(images)], both(Padding::Replicate)),
        case("pad", "circular", [normal(images)], both(Padding::Circular)),
        case("pad", "cut", [normal(&[2, 5, 6])], |t| pad(&t[0], &[-1, 2, 1, -2], Padding::Constant(0.0))).drops_nan(),
        case("pad", "constant row", [normal(&[3, 4])], |t| pad(&t[0], &[1, 2], Padding::Constant(7.0)))
            .equals(along(1, |x| [&[7.0], x, &[7.0, 7.0]].concat())),
        case("pad", "reflected row", [normal(&[3, 4])], |t| pad(&t[0], &[2, 3], Padding::Reflect)),
        case("pad", "all axes", [normal(&[2, 3, 4])], |t| pad(&t[0], &[0, 1, 1, 1, 2, 0], Padding::Constant(1.0))),
        case("flip", "rows", [normal(&[4, 3])], |t| flip(&t[0], &[1])).equals(along(1, reversed)),
        case("flip", "images", [normal(images)], |t| flip(&t[0], &[1, -1])),
        case("roll", "rows", [normal(&[4, 6])], |t| roll(&t[0], &[2], Some(&[1]))).equals(along(1, |x| {
            (0..x.len()).map(|i| x[(i as i64 - 2).rem_euclid(x.len() as i64) as usize]).collect()
        })),
        case("roll", "two axes", [normal(images)], |t| roll(&t[0], &[-1, 7], Some(&[0, 2]))),
        case("roll", "one line", [normal(&[5, 3])], |t| roll(&t[0], &[4], None)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dtype::DType;

    #[test]
    fn values_beyond_the_edges() {
        let x = Tensor::from_slice(&[1i64, 2, 3], &[3]).unwrap();
        let padded = |amounts, padding| pad(&x, amounts, padding).unwrap().to_vec::<i64>().unwrap();
        assert_eq!(padded(&[2, 2], Padding::Reflect), [3, 2, 1, 2, 3, 2, 1]);
        assert_eq!(padded(&[2, 1], Padding::Replicate), [1, 1, 1, 2, 3, 3]);
        assert_eq!(padded(&[3, 1], Padding::Circular), [1, 2, 3, 1, 2, 3, 1]);
        assert_eq!(padded(&[-1, 1], Padding::Constant(9.0)), [2, 3, 9]);
        for (amounts, padding) in
            [(&[3, 0][..], Padding::Reflect), (&[4, 0], Padding::Circular), (&[1], Padding::Reflect)]
        {
            assert_eq!(pad(&x, amounts, padding).unwrap_err().code(), "ERR_ARGUMENT");
        }
        assert_eq!(pad(&x, &[-2, -2], Padding::Constant(0.0)).unwrap_err().code(), "ERR_ARGUMENT");
    }

    #[test]
    fn channels_last_stays() {
        let x = movement::channels_last(&Tensor::zeros(&[2, 3, 5, 4], DType::F32).unwrap()).unwrap();
        assert!(pad(&x, &[1, 1, 1, 1], Padding::Reflect).unwrap().is_channels_last());
        assert!(flip(&x, &[3]).unwrap().is_channels_last());
    }
}
