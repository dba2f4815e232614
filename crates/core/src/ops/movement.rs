//! Operations that only look at elements differently, copy them or change their type: views, memory orders, casts.

use crate::cpu::threads::{SharedPointer, parallel_ranges};
use crate::device::Device;
use crate::dtype::DType;
use crate::error::Result;
use crate::half::{Bf16, F16};
use crate::op::{Context, Op, Pass, apply_one};
use crate::ops::elementwise::map_tensors;
use crate::ops::reduce::sum_to;
use crate::ops::transfer;
use crate::shape::{Dims, Layout, contiguous_strides, resolve_dim, resolve_shape};
use crate::storage::Buffer;
use crate::tensor::Tensor;
use crate::{dispatch_all, ensure};
use std::sync::Arc;

#[cfg(feature = "gpu")]
use crate::ops::{kernel, movement_gpu};

pub use crate::ops::choose::{masked_fill, where_};
pub use crate::ops::join::{cat, stack};

/// The same elements in another shape; a view where the strides allow it, else a copy. One size may be -1.
pub fn reshape(x: &Tensor, shape: &[i64]) -> Result<Tensor> {
    let shape = resolve_shape("reshape", shape, x.numel())?;
    reshape_to(x, &shape)
}

/// As [`reshape`], with every size given.
pub fn reshape_to(x: &Tensor, shape: &[usize]) -> Result<Tensor> {
    if x.shape() == shape {
        return Ok(x.clone());
    }
    let x = if x.layout().reshape(shape).is_some() { x.clone() } else { contiguous(x)? };
    apply_one(Reshape { shape: Dims::from_slice(shape) }, &[&x])
}

struct Reshape {
    shape: Dims,
}

impl Op for Reshape {
    fn name(&self) -> &'static str {
        "reshape"
    }
    fn forward(&self, inputs: &[&Tensor], context: &mut Context) -> Result<Vec<Tensor>> {
        let x = inputs[0];
        save_shape(x, context)?;
        let layout = x.layout().reshape(&self.shape).expect("reshape_to copies where a view cannot be");
        Ok(vec![x.alias(layout)?])
    }
    #[cfg(feature = "gpu")]
    fn forward_gpu(&self, inputs: &[&Tensor], context: &mut Context) -> Result<Vec<Tensor>> {
        self.forward(inputs, context)
    }
    fn backward(&self, pass: &Pass) -> Result<Vec<Option<Tensor>>> {
        Ok(vec![Some(reshape_to(pass.grad(), pass.saved[0].shape())?)])
    }
    fn takes_half(&self, _: &[&Tensor]) -> bool {
        true
    }
}

/// Keeps the shape of an input for the backward pass, not its memory.
pub(crate) fn save_shape(x: &Tensor, context: &mut Context) -> Result<()> {
    if !context.recording() {
        return Ok(());
    }
    let zero = Tensor::full_on(&Device::Cpu, &[], 0.0, x.dtype())?;
    context.save(&zero.alias(zero.layout().expand(x.shape())?)?)
}

/// The dimensions in another order; a view.
pub fn permute(x: &Tensor, dims: &[i64]) -> Result<Tensor> {
    ensure!(
        dims.len() == x.ndim(),
        Shape,
        "permute: {} dimensions named for a tensor with {} (shape {:?})",
        dims.len(),
        x.ndim(),
        x.shape()
    );
    let order = dims.iter().map(|&d| resolve_dim("permute", d, x.ndim())).collect::<Result<Vec<_>>>()?;
    let mut sorted = order.clone();
    sorted.sort_unstable();
    ensure!(sorted.iter().enumerate().all(|(i, &d)| i == d), Argument, "permute: {dims:?} is not each dimension once");
    apply_one(Permute { order }, &[x])
}

struct Permute {
    order: Vec<usize>,
}

impl Op for Permute {
    fn name(&self) -> &'static str {
        "permute"
    }
    fn forward(&self, inputs: &[&Tensor], _: &mut Context) -> Result<Vec<Tensor>> {
        Ok(vec![inputs[0].alias(inputs[0].layout().permute(&self.order))?])
    }
    #[cfg(feature = "gpu")]
    fn forward_gpu(&self, inputs: &[&Tensor], context: &mut Context) -> Result<Vec<Tensor>> {
        self.forward(inputs, context)
    }
    fn backward(&self, pass: &Pass) -> Result<Vec<Option<Tensor>>> {
        let mut inverse = vec![0i64; self.order.len()];
        for (to, &from) in self.order.iter().enumerate() {
            inverse[from] = to as i64;
        }
        Ok(vec![Some(permute(pass.grad(), &inverse)?)])
    }
    fn takes_half(&self, _: &[&Tensor]) -> bool {
        true
    }
}

/// Two dimensions exchanged; a view.
pub fn transpose(x: &Tensor, a: i64, b: i64) -> Result<Tensor> {
    let (a, b) = (resolve_dim("transpose", a, x.ndim())?, resolve_dim("transpose", b, x.ndim())?);
    let mut order: Vec<i64> = (0..x.ndim() as i64).collect();
    order.swap(a, b);
    permute(x, &order)
}

/// Dimensions of size 1 (and new leading ones) repeated to that shape; a view.
pub fn expand(x: &Tensor, shape: &[usize]) -> Result<Tensor> {
    if x.shape() == shape {
        return Ok(x.clone());
    }
    apply_one(Expand { shape: Dims::from_slice(shape) }, &[x])
}

struct Expand {
    shape: Dims,
}

impl Op for Expand {
    fn name(&self) -> &'static str {
        "expand"
    }
    fn forward(&self, inputs: &[&Tensor], context: &mut Context) -> Result<Vec<Tensor>> {
        save_shape(inputs[0], context)?;
        Ok(vec![inputs[0].alias(inputs[0].layout().expand(&self.shape)?)?])
    }
    #[cfg(feature = "gpu")]
    fn forward_gpu(&self, inputs: &[&Tensor], context: &mut Context) -> Result<Vec<Tensor>> {
        self.forward(inputs, context)
    }
    fn backward(&self, pass: &Pass) -> Result<Vec<Option<Tensor>>> {
        Ok(vec![Some(sum_to(pass.grad(), pass.saved[0].shape())?)])
    }
    fn takes_half(&self, _: &[&Tensor]) -> bool {
        true
    }
}

/// `length` elements of a dimension from `start` on, every `step`-th; a view.
pub fn slice(x: &Tensor, dim: i64, start: i64, length: usize, step: usize) -> Result<Tensor> {
    let d = resolve_dim("slice", dim, x.ndim())?;
    let size = x.shape()[d] as i64;
    let from = if start < 0 { start + size } else { start };
    let fits = from >= 0 && step >= 1 && (length == 0 || from + (((length - 1) * step) as i64) < size) && from <= size;
    ensure!(
        fits,
        Argument,
        "slice: {length} elements from {start} in steps of {step} do not lie in dimension {d} of shape {:?}",
        x.shape()
    );
    apply_one(Slice { dim: d, start: from as usize, length, step }, &[x])
}

struct Slice {
    dim: usize,
    start: usize,
    length: usize,
    step: usize,
}

impl Op for Slice {
    fn name(&self) -> &'static str {
        "slice"
    }
    fn forward(&self, inputs: &[&Tensor], context: &mut Context) -> Result<Vec<Tensor>> {
        let x = inputs[0];
        save_shape(x, context)?;
        let mut layout = x.layout().clone();
        if self.length > 0 {
            layout.offset += self.start * layout.strides[self.dim];
        }
        layout.shape[self.dim] = self.length;
        layout.strides[self.dim] *= self.step;
        Ok(vec![x.alias(layout)?])
    }
    #[cfg(feature = "gpu")]
    fn forward_gpu(&self, inputs: &[&Tensor], context: &mut Context) -> Result<Vec<Tensor>> {
        self.forward(inputs, context)
    }
    fn backward(&self, pass: &Pass) -> Result<Vec<Option<Tensor>>> {
        let op = SliceGrad {
            shape: Dims::from_slice(pass.saved[0].shape()),
            part: Slice { dim: self.dim, start: self.start, length: self.length, step: self.step },
        };
        Ok(vec![Some(apply_one(op, &[pass.grad()])?)])
    }
    fn takes_half(&self, _: &[&Tensor]) -> bool {
        true
    }
}

/// Zeros of the whole shape with a slice filled in.
struct SliceGrad {
    shape: Dims,
    part: Slice,
}

impl SliceGrad {
    /// Strides of the whole, and the layout of the slice in it.
    fn target(&self, grad: &Tensor) -> (Dims, Layout) {
        let Slice { dim, start, length, step } = self.part;
        let last = grad.is_channels_last() && !grad.is_contiguous();
        let strides = Tensor::strides_for(&self.shape, last);
        let mut target = Layout { shape: self.shape.clone(), strides: strides.clone(), offset: 0 };
        if length > 0 {
            target.offset = start * strides[dim];
        }
        target.shape[dim] = length;
        target.strides[dim] *= step;
        (strides, target)
    }
}

impl Op for SliceGrad {
    fn name(&self) -> &'static str {
        "slice"
    }
    fn forward(&self, inputs: &[&Tensor], _: &mut Context) -> Result<Vec<Tensor>> {
        let grad = inputs[0];
        let (strides, target) = self.target(grad);
        Ok(vec![dispatch_all!(grad.dtype(), T => {
            let mut out = Buffer::<T>::zeroed(self.shape.iter().product())?;
            copy_strided(grad.storage_slice::<T>(), grad.layout(), &mut out, &target);
            Tensor::from_buffer_strided(out, &self.shape, strides, grad.dtype())
        })])
    }
    #[cfg(feature = "gpu")]
    fn forward_gpu(&self, inputs: &[&Tensor], _: &mut Context) -> Result<Vec<Tensor>> {
        let (strides, target) = self.target(inputs[0]);
        let whole = Layout { shape: self.shape.clone(), strides, offset: 0 };
        let out = movement_gpu::full(&kernel::gpu_of(inputs[0])?, whole, 0.0, inputs[0].dtype())?;
        movement_gpu::copy_into(inputs[0], &out, &target)?;
        Ok(vec![out])
    }
    fn backward(&self, pass: &Pass) -> Result<Vec<Option<Tensor>>> {
        let Slice { dim, start, length, step } = self.part;
        Ok(vec![Some(slice(pass.grad(), dim as i64, start as i64, length, step)?)])
    }
    /// Two elements share a word of a GPU: a part of a tensor is written in float32.
    fn takes_half(&self, inputs: &[&Tensor]) -> bool {
        inputs[0].is_host()
    }
}

/// One index of a dimension, which goes away; a view.
pub fn select(x: &Tensor, dim: i64, index: i64) -> Result<Tensor> {
    let d = resolve_dim("select", dim, x.ndim())?;
    let one = slice(x, dim, index, 1, 1)?;
    let shape: Dims = x.shape().iter().enumerate().filter(|(k, _)| *k != d).map(|(_, s)| *s).collect();
    reshape_to(&one, &shape)
}

/// A new dimension of size 1 before `dim`.
pub fn unsqueeze(x: &Tensor, dim: i64) -> Result<Tensor> {
    let d = resolve_dim("unsqueeze", dim, x.ndim() + 1)?;
    let mut shape = Dims::from_slice(x.shape());
    shape.insert(d, 1);
    reshape_to(x, &shape)
}

/// Without dimension `dim`, if its size is 1; without every dimension of size 1, if none is named.
pub fn squeeze(x: &Tensor, dim: Option<i64>) -> Result<Tensor> {
    let only = dim.map(|d| resolve_dim("squeeze", d, x.ndim())).transpose()?;
    let shape: Dims =
        (0..x.ndim()).filter(|&d| x.shape()[d] != 1 || only.is_some_and(|o| o != d)).map(|d| x.shape()[d]).collect();
    reshape_to(x, &shape)
}

/// Dimensions start..=end as one.
pub fn flatten(x: &Tensor, start: i64, end: i64) -> Result<Tensor> {
    if x.ndim() == 0 {
        return reshape_to(x, &[1]);
    }
    let (s, e) = (resolve_dim("flatten", start, x.ndim())?, resolve_dim("flatten", end, x.ndim())?);
    ensure!(s <= e, Argument, "flatten: start {start} lies behind end {end}");
    let mut shape = Dims::from_slice(&x.shape()[..s]);
    shape.push(x.shape()[s..=e].iter().product());
    shape.extend_from_slice(&x.shape()[e + 1..]);
    reshape_to(x, &shape)
}

/// How a copy lies in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    RowMajor,
    /// [B, C, H, W] stored as [B, H, W, C].
    ChannelsLast,
    /// As the source does, without gaps.
    Preserve,
}

/// Row-major: itself if it is, else a copy.
pub fn contiguous(x: &Tensor) -> Result<Tensor> {
    if x.is_contiguous() { Ok(x.clone()) } else { apply_one(Copy(Format::RowMajor), &[x]) }
}

/// [B, C, H, W] stored as [B, H, W, C]: itself if it is, else a copy.
pub fn channels_last(x: &Tensor) -> Result<Tensor> {
    ensure!(x.ndim() == 4, Shape, "channelsLast: needs [batch, channel, height, width], not {:?}", x.shape());
    if x.is_channels_last() { Ok(x.clone()) } else { apply_one(Copy(Format::ChannelsLast), &[x]) }
}

/// Without gaps in memory, in whatever order: itself if it is, else a copy.
pub fn dense(x: &Tensor) -> Result<Tensor> {
    if x.layout().is_dense() { Ok(x.clone()) } else { copy(x) }
}

/// A copy of its own, in the same order of memory.
pub fn copy(x: &Tensor) -> Result<Tensor> {
    apply_one(Copy(Format::Preserve), &[x])
}

/// A copy outside the graph with the memory order of a dense tensor of the same shape.
pub(crate) fn copy_like(x: &Tensor, model: &Tensor) -> Result<Tensor> {
    let target = Layout { offset: 0, ..model.layout().clone() };
    Ok(dispatch_all!(x.dtype(), T => {
        let mut out = Buffer::<T>::new(x.numel())?;
        copy_strided(x.storage_slice::<T>(), x.layout(), &mut out, &target);
        Tensor::from_buffer_strided(out, x.shape(), target.strides, x.dtype())
    }))
}

/// Overwrites a dense tensor with the elements of `source` (broadcast, converted, from whatever device).
pub fn copy_in_place(x: &Tensor, source: &Tensor) -> Result<()> {
    let source = transfer::to_device(&to_dtype(source, x.dtype())?, &x.device()?)?;
    let source = expand(&source, x.shape())?;
    // Overlapping memory would be read after it was written: copy first.
    let source = if Arc::ptr_eq(&source.storage()?, &x.storage()?) { copy(&source)? } else { source };
    #[cfg(feature = "gpu")]
    if !x.is_host() {
        ensure!(
            x.layout().is_dense(),
            Unsupported,
            "copy_: writing in place needs a dense tensor, not {:?}",
            x.strides()
        );
        x.storage()?.raise_version();
        return movement_gpu::copy_into(&source, x, x.layout());
    }
    let target = Layout { offset: 0, ..x.layout().clone() };
    dispatch_all!(x.dtype(), T => {
        x.update::<T, _>(|out| copy_strided(source.storage_slice::<T>(), source.layout(), out, &target))
    })
}

struct Copy(Format);

impl Copy {
    fn target(&self, x: &Tensor) -> Layout {
        let strides = match self.0 {
            Format::RowMajor => contiguous_strides(x.shape()),
            Format::ChannelsLast => Tensor::strides_for(x.shape(), true),
            Format::Preserve => x.layout().dense_strides(),
        };
        Layout { shape: x.layout().shape.clone(), strides, offset: 0 }
    }
}

impl Op for Copy {
    fn name(&self) -> &'static str {
        "copy"
    }
    fn forward(&self, inputs: &[&Tensor], _: &mut Context) -> Result<Vec<Tensor>> {
        let x = inputs[0];
        let target = self.target(x);
        Ok(vec![dispatch_all!(x.dtype(), T => {
            let mut out = Buffer::<T>::new(x.numel())?;
            copy_strided(x.storage_slice::<T>(), x.layout(), &mut out, &target);
            Tensor::from_buffer_strided(out, x.shape(), target.strides, x.dtype())
        })])
    }
    #[cfg(feature = "gpu")]
    fn forward_gpu(&self, inputs: &[&Tensor], _: &mut Context) -> Result<Vec<Tensor>> {
        Ok(vec![movement_gpu::copy(inputs[0], self.target(inputs[0]))?])
    }
    fn backward(&self, pass: &Pass) -> Result<Vec<Option<Tensor>>> {
        Ok(vec![Some(pass.grad().clone())])
    }
    fn takes_half(&self, _: &[&Tensor]) -> bool {
        true
    }
}

/// Copies elements between two layouts of one shape, walking the target's memory in order.
pub(crate) fn copy_strided<T: std::marker::Copy + Send + Sync>(
    source: &[T],
    from: &Layout,
    out: &mut [T],
    to: &Layout,
) {
    if from.numel() == 0 {
        return;
    }
    let [from, to] = walk_of(from, to);
    let last = |l: &Layout| l.offset + l.shape.iter().zip(&l.strides).map(|(n, s)| (n - 1) * s).sum::<usize>();
    assert!(last(&from) < source.len() && last(&to) < out.len(), "a layout reaches beyond its storage");
    let n = to.ndim();
    if n == 0 {
        out[to.offset] = source[from.offset];
        return;
    }
    // The last two dimensions as a block: a transposition (unit stride on different sides) goes tile by tile.
    let (rows, columns) = (if n > 1 { to.shape[n - 2] } else { 1 }, to.shape[n - 1]);
    let (row_from, row_to) = if n > 1 { (from.strides[n - 2], to.strides[n - 2]) } else { (0, 0) };
    let (column_from, column_to) = (from.strides[n - 1], to.strides[n - 1]);
    let outer = &to.shape[..n.saturating_sub(2)];
    let blocks: usize = outer.iter().product();
    const TILE: usize = 32;
    let row_tiles = rows.div_ceil(TILE);
    let shared = SharedPointer::new(out);
    parallel_ranges(blocks * row_tiles, (16384 / (TILE * columns)).max(1), |range| {
        for task in range {
            let (block, tile) = (task / row_tiles, task % row_tiles);
            let (mut f, mut t, mut rest) = (from.offset, to.offset, block);
            for d in (0..outer.len()).rev() {
                let i = rest % outer[d];
                rest /= outer[d];
                f += i * from.strides[d];
                t += i * to.strides[d];
            }
            let row_range = tile * TILE..((tile + 1) * TILE).min(rows);
            let contiguous = column_from == 1 && column_to == 1;
            for c0 in (0..columns).step_by(if contiguous { columns } else { TILE }) {
                let c1 = if contiguous { columns } else { (c0 + TILE).min(columns) };
                for r in row_range.clone() {
                    let (f, t) = (f + r * row_from, t + r * row_to);
                    // SAFETY: bounds were asserted above for the whole layout; a target layout names each element once.
                    unsafe {
                        let target = shared.get();
                        if contiguous {
                            std::ptr::copy_nonoverlapping(source.as_ptr().add(f), target.add(t), columns);
                        } else {
                            for c in c0..c1 {
                                *target.add(t + c * column_to) = *source.get_unchecked(f + c * column_from);
                            }
                        }
                    }
                }
            }
        }
    });
}

/// Both layouts with dimensions in the order of the target's memory, merged where possible.
fn walk_of(from: &Layout, to: &Layout) -> [Layout; 2] {
    let mut order: Vec<usize> = (0..to.ndim()).collect();
    order.sort_by_key(|&d| std::cmp::Reverse((to.strides[d], to.shape[d])));
    let mut pair = [from.permute(&order), to.permute(&order)];
    Layout::collapse(&mut pair);
    pair
}

/// The same values as another type: floats are cut to integers towards zero, and rounded to the nearest (halves to even)
/// where the type is narrower; bool is "not 0".
pub fn to_dtype(x: &Tensor, dtype: DType) -> Result<Tensor> {
    if x.dtype() == dtype {
        return Ok(x.clone());
    }
    apply_one(Cast { from: x.dtype(), to: dtype }, &[x])
}

struct Cast {
    from: DType,
    to: DType,
}

impl Op for Cast {
    fn name(&self) -> &'static str {
        "to"
    }
    fn forward(&self, inputs: &[&Tensor], _: &mut Context) -> Result<Vec<Tensor>> {
        use crate::dtype::Element;
        let x = inputs[0];
        // The two casts of mixed precision, compiled for each instruction set.
        match (self.from, self.to) {
            (DType::F32, DType::BF16) => {
                return Ok(vec![map_tensors::<_, _, 1, true>([x], self.to, |[v]: [f32; 1]| Bf16::from_f32(v))?]);
            }
            (DType::BF16, DType::F32) => {
                return Ok(vec![map_tensors::<_, _, 1, true>([x], self.to, |[v]: [Bf16; 1]| v.to_f32())?]);
            }
            _ => {}
        }
        Ok(vec![dispatch_all!(self.from, T => match self.to {
            DType::BF16 => map_tensors::<_, _, 1, false>([x], self.to, |[v]: [T; 1]| Bf16::from_f64(v.to_f64()))?,
            DType::F16 => map_tensors::<_, _, 1, false>([x], self.to, |[v]: [T; 1]| F16::from_f64(v.to_f64()))?,
            DType::F32 => map_tensors::<_, _, 1, false>([x], self.to, |[v]: [T; 1]| v.to_f64() as f32)?,
            DType::F64 => map_tensors::<_, _, 1, false>([x], self.to, |[v]: [T; 1]| v.to_f64())?,
            DType::I64 => map_tensors::<_, _, 1, false>([x], self.to, |[v]: [T; 1]| v.to_i64())?,
            DType::U8 => map_tensors::<_, _, 1, false>([x], self.to, |[v]: [T; 1]| v.to_i64() as u8)?,
            DType::Bool => map_tensors::<_, _, 1, false>([x], self.to, |[v]: [T; 1]| (v != T::default()) as u8)?,
        })])
    }
    #[cfg(feature = "gpu")]
    fn forward_gpu(&self, inputs: &[&Tensor], _: &mut Context) -> Result<Vec<Tensor>> {
        Ok(vec![movement_gpu::cast(inputs[0], self.to)?])
    }
    fn backward(&self, pass: &Pass) -> Result<Vec<Option<Tensor>>> {
        Ok(vec![Some(to_dtype(pass.grad(), self.from)?)])
    }
    fn takes_half(&self, _: &[&Tensor]) -> bool {
        true
    }
}

#[cfg_attr(feature = "node", napi_derive::napi)]
impl Tensor {
    /// Two dimensions exchanged; a view.
    #[cfg_attr(feature = "node", napi_derive::napi)]
    pub fn transpose(&self, a: i64, b: i64) -> Result<Tensor> {
        transpose(self, a, b)
    }

    /// The transpose of a matrix; a view.
    #[cfg_attr(feature = "node", napi_derive::napi)]
    pub fn t(&self) -> Result<Tensor> {
        ensure!(self.ndim() == 2, Shape, "t: needs a matrix, not shape {:?}", self.shape());
        transpose(self, 0, 1)
    }

    /// `length` elements of dimension `dim` from `start` on, every `step`-th (default 1); a view.
    #[cfg_attr(feature = "node", napi_derive::napi)]
    pub fn narrow(&self, dim: i64, start: i64, length: u32, step: Option<u32>) -> Result<Tensor> {
        slice(self, dim, start, length as usize, step.unwrap_or(1) as usize)
    }

    /// One index of a dimension, which goes away; a view.
    #[cfg_attr(feature = "node", napi_derive::napi)]
    pub fn select(&self, dim: i64, index: i64) -> Result<Tensor> {
        select(self, dim, index)
    }

    /// A new dimension of size 1 before `dim`; a view.
    #[cfg_attr(feature = "node", napi_derive::napi)]
    pub fn unsqueeze(&self, dim: i64) -> Result<Tensor> {
        unsqueeze(self, dim)
    }

    /// Without dimension `dim` if its size is 1 (without every dimension of size 1 if none is named); a view.
    #[cfg_attr(feature = "node", napi_derive::napi)]
    pub fn squeeze(&self, dim: Option<i64>) -> Result<Tensor> {
        squeeze(self, dim)
    }

    /// Dimensions start..=end (default: all) as one.
    #[cfg_attr(feature = "node", napi_derive::napi)]
    pub fn flatten(&self, start: Option<i64>, end: Option<i64>) -> Result<Tensor> {
        flatten(self, start.unwrap_or(0), end.unwrap_or(-1))
    }

    /// Row-major in memory: itself if it is, else a copy.
    #[cfg_attr(feature = "node", napi_derive::napi)]
    pub fn contiguous(&self) -> Result<Tensor> {
        contiguous(self)
    }

    /// [batch, channel, height, width] stored with channels innermost: itself if it is, else a copy.
    #[cfg_attr(feature = "node", napi_derive::napi)]
    pub fn channels_last(&self) -> Result<Tensor> {
        channels_last(self)
    }

    /// A copy with memory of its own; gradients flow through.
    #[cfg_attr(feature = "node", napi_derive::napi(js_name = "clone"))]
    pub fn copied(&self) -> Result<Tensor> {
        copy(self)
    }
}

#[cfg(test)]
pub fn cases() -> Vec<crate::ops::suite::Case> {
    use crate::ops::suite::*;
    vec![
        case("reshape", "a view", [normal(&[2, 3, 4])], |t| reshape(&t[0], &[6, -1])).equals(|a| a[0].values.clone()),
        case("reshape", "after a permutation", [normal(&[2, 3, 4])], |t| {
            reshape(&permute(&t[0], &[2, 0, 1])?, &[-1, 2])
        }),
        case("reshape", "flatten", [normal(&[2, 3, 4, 5])], |t| flatten(&t[0], 1, -1)).equals(|a| a[0].values.clone()),
        case("reshape", "squeeze and unsqueeze", [normal(&[2, 1, 4])], |t| unsqueeze(&squeeze(&t[0], Some(1))?, -1))
            .equals(|a| a[0].values.clone()),
        case("permute", "", [normal(&[2, 3, 4, 5])], |t| permute(&t[0], &[2, 0, -1, 1])),
        case("permute", "transpose", [normal(&[3, 4])], |t| transpose(&t[0], 0, -1)).equals(|a| {
            let [rows, columns] = [a[0].shape[0], a[0].shape[1]];
            (0..columns)
                .flat_map(|c| (0..rows).map(move |r| (r, c)))
                .map(|(r, c)| a[0].values[r * columns + c])
                .collect()
        }),
        case("expand", "", [normal(&[3, 1])], |t| expand(&t[0], &[2, t[0].shape()[0], 4]))
            .equals(|a| [&a[0].values[..]; 2].concat().iter().flat_map(|v| [*v; 4]).collect()),
        case("slice", "every second", [normal(&[3, 5])], |t| slice(&t[0], 1, 0, 3, 2))
            .equals(along(1, |x| vec![x[0], x[2], x[4]])),
        case("slice", "nothing", [normal(&[3, 5])], |t| slice(&t[0], 0, 3, 0, 1)),
        case("slice", "channels of images", [normal(&[2, 3, 4, 5])], |t| slice(&t[0], 1, 0, 2, 1)),
        case("slice", "select", [normal(&[3, 5])], |t| select(&t[0], 0, -2)),
        case("copy", "", [normal(&[2, 3, 4, 5])], |t| copy(&t[0])).equals(|a| a[0].values.clone()),
        case("copy", "row-major", [normal(&[2, 3, 4, 5])], |t| contiguous(&t[0])).equals(|a| a[0].values.clone()),
        case("copy", "channels last", [normal(&[2, 3, 4, 5])], |t| channels_last(&t[0]))
            .equals(|a| a[0].values.clone()),
        case("copy", "a long transposition", [normal(&[40, 70])], |t| contiguous(&transpose(&t[0], 0, 1)?)),
        case("to", "float to float", [normal(&[3, 5])], |t| to_dtype(&t[0], DType::F32))
            .tolerance(1e-6)
            .without_gradient(),
        case("to", "float to integer", [nonzero(&[3, 5])], |t| to_dtype(&t[0], DType::I64))
            .equals(each(|x| x[0].trunc()))
            .drops_nan(),
        case("to", "float to truth", [nonzero(&[3, 5])], |t| to_dtype(&t[0], DType::Bool))
            .equals(each(|_| 1.0))
            .drops_nan(),
    ]
}
