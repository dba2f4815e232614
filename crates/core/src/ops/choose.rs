//! One tensor or another at each place: by a mask, or by where the place lies in its matrix.

#[cfg(feature = "gpu")]
use crate::device::Device;
use crate::dtype::DType;
use crate::error::Result;
use crate::op::{Context, Op, Pass, apply_one};
#[cfg(feature = "gpu")]
use crate::ops::elementwise::Comparison;
use crate::ops::elementwise::map_tensors;
#[cfg(feature = "gpu")]
use crate::ops::elementwise_gpu;
use crate::ops::movement::{copy_strided, save_shape, to_dtype};
use crate::ops::reduce::sum_to;
use crate::shape::{Layout, broadcast};
use crate::storage::Buffer;
use crate::tensor::Tensor;
use crate::{bail, dispatch_all};

/// `a` where the condition holds, `b` elsewhere, with broadcasting.
pub fn where_(condition: &Tensor, a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let condition = to_dtype(&condition.detach()?, DType::Bool)?;
    let dtype = a.dtype().promote(b.dtype());
    apply_one(Where, &[&condition, &to_dtype(a, dtype)?, &to_dtype(b, dtype)?])
}

/// `value` where the mask holds, the tensor's own elements elsewhere.
pub fn masked_fill(x: &Tensor, mask: &Tensor, value: f64) -> Result<Tensor> {
    broadcast("maskedFill", x.shape(), mask.shape())?;
    where_(mask, &Tensor::full_on(&x.device()?, &[], value, x.dtype())?, x)
}

/// The lower triangle of the last two dimensions, 0 above diagonal number `diagonal` (0 the main one, 1 above it).
pub fn tril(x: &Tensor, diagonal: i64) -> Result<Tensor> {
    apply_one(Triangle { name: "tril", diagonal, upper: false }, &[x])
}

/// The upper triangle of the last two dimensions, 0 below diagonal number `diagonal` (0 the main one, 1 above it).
pub fn triu(x: &Tensor, diagonal: i64) -> Result<Tensor> {
    apply_one(Triangle { name: "triu", diagonal, upper: true }, &[x])
}

struct Where;

impl Op for Where {
    fn name(&self) -> &'static str {
        "where"
    }

    fn forward(&self, inputs: &[&Tensor], context: &mut Context) -> Result<Vec<Tensor>> {
        let [condition, a, b] = [inputs[0], inputs[1], inputs[2]];
        let values = broadcast("where", a.shape(), b.shape())?;
        let shape = broadcast("where", condition.shape(), &values)?;
        context.save(condition)?;
        save_shape(a, context)?;
        save_shape(b, context)?;
        let dtype = a.dtype();
        // The mask as the type of the values (in its own, often smaller shape): then one loop does.
        let mask = to_dtype(condition, if dtype == DType::Bool { DType::U8 } else { dtype })?;
        let covers = |x: &Tensor| broadcast("where", condition.shape(), x.shape()).is_ok_and(|s| s == shape);
        Ok(vec![dispatch_all!(dtype, T => {
            let (zero, first) = (T::default(), |x: &Tensor| x.storage_slice::<T>()[x.layout().offset]);
            if b.numel() == 1 && covers(a) {
                let other = first(b);
                map_tensors::<T, T, 2, true>([a, &mask], dtype, move |[a, m]| if m != zero { a } else { other })?
            } else if a.numel() == 1 && covers(b) {
                let chosen = first(a);
                map_tensors::<T, T, 2, true>([b, &mask], dtype, move |[b, m]| if m != zero { chosen } else { b })?
            } else {
                map_tensors::<T, T, 3, true>([a, b, &mask], dtype, move |[a, b, m]| if m != zero { a } else { b })?
            }
        })])
    }

    #[cfg(feature = "gpu")]
    fn forward_gpu(&self, inputs: &[&Tensor], context: &mut Context) -> Result<Vec<Tensor>> {
        let [condition, a, b] = [inputs[0], inputs[1], inputs[2]];
        broadcast("where", condition.shape(), &broadcast("where", a.shape(), b.shape())?)?;
        context.save(condition)?;
        save_shape(a, context)?;
        save_shape(b, context)?;
        Ok(vec![crate::ops::elementwise_gpu::choose(condition, a, b)?])
    }

    fn backward(&self, pass: &Pass) -> Result<Vec<Option<Tensor>>> {
        let condition = &pass.saved[0];
        let zero = Tensor::full_on(&pass.grad().device()?, &[], 0.0, pass.grad().dtype())?;
        let (to_a, to_b) = (where_(condition, pass.grad(), &zero), where_(condition, &zero, pass.grad()));
        let a = if pass.needs(1) { Some(sum_to(&to_a?, pass.saved[1].shape())?) } else { None };
        let b = if pass.needs(2) { Some(sum_to(&to_b?, pass.saved[2].shape())?) } else { None };
        Ok(vec![None, a, b])
    }
}

struct Triangle {
    name: &'static str,
    diagonal: i64,
    upper: bool,
}

impl Op for Triangle {
    fn name(&self) -> &'static str {
        self.name
    }

    fn forward(&self, inputs: &[&Tensor], _: &mut Context) -> Result<Vec<Tensor>> {
        let x = inputs[0];
        let [.., rows, columns] = x.shape() else {
            bail!(Shape, "{}: needs a matrix or several, not shape {:?}", self.name, x.shape())
        };
        let strides = crate::shape::contiguous_strides(x.shape());
        let target = Layout { shape: x.layout().shape.clone(), strides: strides.clone(), offset: 0 };
        Ok(vec![dispatch_all!(x.dtype(), T => {
            let mut out = Buffer::<T>::new(x.numel())?;
            copy_strided(x.storage_slice::<T>(), x.layout(), &mut out, &target);
            for (k, row) in out.chunks_mut((*columns).max(1)).enumerate() {
                // The first column right of the diagonal.
                let behind = ((k % rows) as i64).saturating_add(self.diagonal).saturating_add(1);
                if self.upper {
                    row[..(behind - 1).clamp(0, *columns as i64) as usize].fill(T::default());
                } else {
                    row[behind.clamp(0, *columns as i64) as usize..].fill(T::default());
                }
            }
            Tensor::from_buffer_strided(out, x.shape(), strides, x.dtype())
        })])
    }

    #[cfg(feature = "gpu")]
    fn forward_gpu(&self, inputs: &[&Tensor], _: &mut Context) -> Result<Vec<Tensor>> {
        let x = inputs[0];
        let [.., rows, columns] = x.shape() else {
            bail!(Shape, "{}: needs a matrix or several, not shape {:?}", self.name, x.shape())
        };
        // A column of row numbers, moved by the diagonal, and a row of column numbers: exact as floats.
        let numbers = |shape: &[usize], count: usize, shift: f64| -> Result<Tensor> {
            let numbers: Vec<f32> = (0..count).map(|i| (i as f64 + shift) as f32).collect();
            let host = Device::Cpu.scoped(|| Tensor::from_slice(&numbers, shape))?;
            crate::ops::transfer::to_device(&host, &x.device()?)
        };
        let shift = self.diagonal.clamp(-(*rows as i64) - 1, *columns as i64 + 1);
        let edge = numbers(&[*rows, 1], *rows, shift as f64)?;
        let own = numbers(&[*columns], *columns, 0.0)?;
        let comparison = if self.upper { Comparison::GreaterEqual } else { Comparison::LessEqual };
        let inside = elementwise_gpu::compare(comparison, &own, &edge)?;
        let zero = Tensor::full_on(&x.device()?, &[], 0.0, x.dtype())?;
        Ok(vec![elementwise_gpu::choose(&inside, &x.detach()?, &zero)?])
    }

    fn backward(&self, pass: &Pass) -> Result<Vec<Option<Tensor>>> {
        Ok(vec![Some(apply_one(Triangle { ..*self }, &[pass.grad()])?)])
    }
}

#[cfg_attr(feature = "node", napi_derive::napi)]
impl Tensor {
    /// `value` where the mask (bool or uint8, broadcast) holds.
    #[cfg_attr(feature = "node", napi_derive::napi)]
    pub fn masked_fill(&self, mask: &Tensor, value: f64) -> Result<Tensor> {
        masked_fill(self, mask, value)
    }

    /// The lower triangle of the last two dimensions: 0 above diagonal number `diagonal` (default 0, the main one).
    #[cfg_attr(feature = "node", napi_derive::napi)]
    pub fn tril(&self, diagonal: Option<i64>) -> Result<Tensor> {
        tril(self, diagonal.unwrap_or(0))
    }

    /// The upper triangle of the last two dimensions: 0 below diagonal number `diagonal` (default 0, the main one).
    #[cfg_attr(feature = "node", napi_derive::napi)]
    pub fn triu(&self, diagonal: Option<i64>) -> Result<Tensor> {
        triu(self, diagonal.unwrap_or(0))
    }
}

#[cfg(test)]
pub fn cases() -> Vec<crate::ops::suite::Case> {
    use crate::ops::suite::*;
    let chosen = |x: &[f64]| if x[0] != 0.0 { x[1] } else { x[2] };
    fn triangle(keeps: fn(i64, i64) -> bool) -> impl Fn(&[Array]) -> Vec<f64> {
        move |a| {
            let mut out = Vec::new();
            each_index(&a[0].shape, |index| {
                let [.., row, column] = index else { unreachable!() };
                out.push(if keeps(*row as i64, *column as i64) { a[0].at(index) } else { 0.0 });
            });
            out
        }
    }
    vec![
        case("where", "", [mask(&[4, 3]), normal(&[4, 3]), normal(&[4, 3])], |t| where_(&t[0], &t[1], &t[2]))
            .equals(each(chosen))
            .drops_nan(),
        case("where", "broadcast", [mask(&[4, 1]), normal(&[3]), normal(&[2, 1, 1])], |t| where_(&t[0], &t[1], &t[2]))
            .equals(each(chosen))
            .drops_nan(),
        case("where", "fill", [normal(&[4, 3]), mask(&[3])], |t| masked_fill(&t[0], &t[1], -2.5))
            .equals(each(|x| if x[1] != 0.0 { -2.5 } else { x[0] }))
            .drops_nan(),
        case("where", "an image and a number", [mask(&[2, 3, 4, 5]), normal(&[2, 3, 4, 5]), normal(&[])], |t| {
            where_(&t[0], &t[1], &t[2])
        })
        .equals(each(chosen))
        .drops_nan(),
        case("tril", "", [normal(&[4, 4])], |t| tril(&t[0], 0)).equals(triangle(|r, c| c <= r)),
        case("tril", "wide, below", [normal(&[2, 4, 6])], |t| tril(&t[0], -1))
            .equals(triangle(|r, c| c < r))
            .drops_nan(),
        case("triu", "", [normal(&[3, 5])], |t| triu(&t[0], 0)).equals(triangle(|r, c| c >= r)),
        case("triu", "above", [normal(&[2, 5, 3])], |t| triu(&t[0], 1)).equals(triangle(|r, c| c > r)).drops_nan(),
    ]
}
