//! Inputs of test cases: how they are made, how they lie in memory, and slow references for what is made of them.

use crate::dtype::{DType, Element};
use crate::random::Philox;
use crate::shape::{Dims, Layout};
use crate::storage::Buffer;
use crate::tensor::Tensor;

pub use crate::shape::each_index;

/// How one input is made.
#[derive(Clone)]
pub struct Input {
    shape: Vec<usize>,
    values: Values,
    pub(super) differentiable: bool,
}

#[derive(Clone, Copy)]
pub(super) enum Values {
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
    pub(super) dtype: DType,
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

impl Input {
    pub(super) fn labels(&self) -> Vec<usize> {
        let mut labels = self.shape.clone();
        labels.extend(if let Values::Index(n) = self.values { Some(n) } else { None });
        labels
    }

    pub(super) fn make(&self, resize: &dyn Fn(usize) -> usize, random: &mut Philox) -> Array {
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
    pub(super) fn repeated(&self) -> Array {
        let mut array = self.clone();
        let line = self.values.len() / self.shape.first().copied().unwrap_or(1).max(1);
        for k in line..array.values.len() {
            array.values[k] = array.values[k % line];
        }
        array
    }
}

pub(super) fn random_array(shape: &[usize], seed: u64) -> Array {
    normal(shape).make(&|s| s, &mut Philox::new(seed, 5))
}

pub(super) fn tensors(arrays: &[Array], dtype: DType) -> Vec<Tensor> {
    arrays.iter().map(|a| tensor(a, dtype)).collect()
}

/// A fresh row-major tensor; floats as `dtype`, indices and masks as they are.
pub(super) fn tensor(array: &Array, dtype: DType) -> Tensor {
    let dtype = if array.dtype.is_float() { dtype } else { array.dtype };
    crate::dispatch_all!(dtype, T => {
        let mut out = Buffer::<T>::new(array.values.len()).expect("memory");
        out.iter_mut().zip(&array.values).for_each(|(o, v)| *o = T::from_f64(*v));
        let strides = crate::shape::contiguous_strides(&array.shape);
        Tensor::from_buffer_strided(out, &array.shape, strides, dtype)
    })
}

pub(super) fn numbers(t: &Tensor) -> Vec<f64> {
    let t = t.detach().expect("a live tensor");
    crate::dispatch_all!(t.dtype(), T => t.to_vec::<T>().expect("a live tensor").iter().map(|v| v.to_f64()).collect())
}

/// Ways to lie in memory other than row-major from the start of the storage.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Stride {
    Transposed,
    Sliced,
    ChannelsLast,
    Offset,
    /// Axis 0 with stride 0 (the values must be repeated along it).
    Broadcast,
}

impl Stride {
    pub(super) fn name(self) -> &'static str {
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
pub(super) fn strided(t: &Tensor, stride: Stride) -> Option<Tensor> {
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
    let device = t.device().expect("a live tensor");
    let laid = crate::dispatch_all!(t.dtype(), T => {
        let mut out = Buffer::<T>::filled(last + 4, T::from_f64(63.0)).expect("memory");
        let values = t.to_vec::<T>().expect("a live tensor");
        let mut next = values.iter();
        each_index(shape, |index| {
            let place = layout.offset + index.iter().zip(&layout.strides).map(|(i, s)| i * s).sum::<usize>();
            out[place] = *next.next().expect("as many values as places");
        });
        Tensor::new(std::sync::Arc::new(out.into_storage()), layout.clone(), t.dtype())
    });
    // The whole storage goes along, and the same view is taken of it there.
    Some(if device.is_cpu() {
        laid
    } else {
        let whole = Layout::contiguous(&[last + 4]);
        let there = crate::ops::transfer::to_device(&laid.alias(whole).expect("a live tensor"), &device);
        there.and_then(|t| t.alias(layout)).expect("a device")
    })
}
