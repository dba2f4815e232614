//! Choosing and adding rows by integer indices, embeddings, counts, one-hot vectors, masks; single elements are in
//! `scatter`. Every index is checked; gradients of what is chosen twice add up, in the order of the indices on any
//! thread count.

use crate::cpu::threads::{SharedPointer, parallel_ranges};
use crate::dtype::{DType, Element};
use crate::error::Result;
use crate::op::{Context, Op, Pass, apply_one, through_cpu_one};
use crate::ops::movement::{self, save_shape};
use crate::ops::scatter::scatter;
#[cfg(feature = "gpu")]
use crate::ops::scatter_gpu::{self, Meeting};
#[cfg(feature = "gpu")]
use crate::shape::Layout;
use crate::shape::{Dims, broadcast, resolve_dim};
use crate::storage::Buffer;
use crate::tensor::Tensor;
use crate::{bail, dispatch_all, ensure};

/// Rows (along `dim`) of those indices (int64 [n]), in that order.
pub fn index_select(x: &Tensor, dim: i64, index: &Tensor) -> Result<Tensor> {
    let dim = resolve_dim("indexSelect", dim, x.ndim())?;
    apply_one(IndexSelect { dim }, &[x, index])
}

/// x with row i of `source` added to its row `index[i]`, along `dim`.
pub fn index_add(x: &Tensor, dim: i64, index: &Tensor, source: &Tensor) -> Result<Tensor> {
    let dim = resolve_dim("indexAdd", dim, x.ndim())?;
    apply_one(IndexAdd { dim }, &[x, index, source])
}

/// Rows of a weight [entries, dim] by indices of any shape: [..index, dim].
pub fn embedding(weight: &Tensor, index: &Tensor) -> Result<Tensor> {
    ensure!(weight.ndim() == 2, Shape, "embedding: the weight is [entries, dim], not {:?}", weight.shape());
    let rows = index_select(weight, 0, &movement::reshape_to(index, &[index.numel()])?)?;
    let mut shape = Dims::from_slice(index.shape());
    shape.push(weight.shape()[1]);
    movement::reshape_to(&rows, &shape)
}

/// int64 [..index, classes]: 1 at each index, else 0. None takes one class more than the largest index.
pub fn one_hot(index: &Tensor, classes: Option<usize>) -> Result<Tensor> {
    integers("oneHot", index)?;
    if !index.is_host() {
        let Some(classes) = classes else {
            return through_cpu_one("oneHot", &[index], |inputs| one_hot(inputs[0], None));
        };
        let column = movement::unsqueeze(&index.detach()?, -1)?;
        let ones = Tensor::full_on(&index.device()?, column.shape(), 1.0, DType::I64)?;
        let shape = Dims::from_iter(index.shape().iter().copied().chain([classes]));
        return scatter(&Tensor::full_on(&index.device()?, &shape, 0.0, DType::I64)?, -1, &column, &ones);
    }
    let index = movement::contiguous(&index.detach()?)?;
    let values = index.slice::<i64>();
    let classes = match classes {
        Some(classes) => classes,
        None => match values.iter().max() {
            Some(&largest) => largest.max(0) as usize + 1,
            None => bail!(Argument, "oneHot: no indices to count classes from; give the number of classes"),
        },
    };
    let mut out = Buffer::<i64>::zeroed(values.len() * classes)?;
    for (row, &i) in values.iter().enumerate() {
        out[row * classes + checked("oneHot", i, classes)?] = 1;
    }
    let mut shape = Dims::from_slice(index.shape());
    shape.push(classes);
    Ok(Tensor::from_buffer(out, &shape))
}

/// How often each number occurs among indices [n], or the sum of their weights [n]: as many as the largest index + 1, and
/// at least `minimum`.
pub fn bincount(index: &Tensor, weights: Option<&Tensor>, minimum: usize) -> Result<Tensor> {
    integers("bincount", index)?;
    ensure!(index.ndim() == 1, Shape, "bincount: indices [n], not {:?}", index.shape());
    if !index.is_host() {
        let inputs: Vec<&Tensor> = [index].into_iter().chain(weights).collect();
        return through_cpu_one("bincount", &inputs, |inputs| bincount(inputs[0], inputs.get(1).copied(), minimum));
    }
    let index = movement::contiguous(&index.detach()?)?;
    let values = index.slice::<i64>();
    let count = values.iter().max().map_or(0, |&v| v.max(-1) + 1) as usize;
    let count = count.max(minimum);
    checked_all("bincount", values, count)?;
    let Some(weights) = weights else {
        let mut out = Buffer::<i64>::zeroed(count)?;
        values.iter().for_each(|&i| out[i as usize] += 1);
        return Ok(Tensor::from_buffer(out, &[count]));
    };
    index_add(&Tensor::zeros(&[count], weights.dtype())?, 0, &index, weights)
}

/// Indices of the elements that are not 0, in row-major order: int64 [n, dimensions].
pub fn nonzero(x: &Tensor) -> Result<Tensor> {
    if !x.is_host() {
        return through_cpu_one("nonzero", &[&x.detach()?], |inputs| nonzero(inputs[0]));
    }
    let x = movement::contiguous(&x.detach()?)?;
    let places: Vec<usize> = dispatch_all!(x.dtype(), T => places(x.slice::<T>()));
    let mut out = Buffer::<i64>::new(places.len() * x.ndim())?;
    for (row, mut place) in places.iter().copied().enumerate() {
        for d in (0..x.ndim()).rev() {
            out[row * x.ndim() + d] = (place % x.shape()[d]) as i64;
            place /= x.shape()[d];
        }
    }
    Ok(Tensor::from_buffer(out, &[places.len(), x.ndim()]))
}

/// The elements where the mask holds (both broadcast), in row-major order: [n].
pub fn masked_select(x: &Tensor, mask: &Tensor) -> Result<Tensor> {
    let shape = broadcast("maskedSelect", x.shape(), mask.shape())?;
    let flat = movement::reshape(&movement::expand(x, &shape)?, &[-1])?;
    let mask = movement::expand(&mask.detach()?, &shape)?;
    index_select(&flat, 0, &where_true(&mask)?)
}

/// The places of the elements that are not 0, counted in row-major order: int64 [n].
fn where_true(mask: &Tensor) -> Result<Tensor> {
    if !mask.is_host() {
        return through_cpu_one("maskedSelect", &[mask], |inputs| where_true(inputs[0]));
    }
    let mask = movement::contiguous(mask)?;
    let places: Vec<i64> =
        dispatch_all!(mask.dtype(), T => places(mask.slice::<T>())).into_iter().map(|p| p as i64).collect();
    Tensor::from_slice(&places, &[places.len()])
}

fn places<T: Element>(values: &[T]) -> Vec<usize> {
    (0..values.len()).filter(|&i| values[i] != T::default()).collect()
}

pub(super) fn integers(op: &str, index: &Tensor) -> Result<()> {
    ensure!(index.dtype() == DType::I64, Dtype, "{op}: indices are int64, not {}", index.dtype().name());
    Ok(())
}

/// An index inside 0..size.
fn checked(op: &str, index: i64, size: usize) -> Result<usize> {
    ensure!(index >= 0 && (index as u64) < size as u64, Argument, "{op}: index {index} does not lie in 0..{size}");
    Ok(index as usize)
}

pub(super) fn checked_all(op: &str, index: &[i64], size: usize) -> Result<()> {
    match index.iter().find(|&&i| i < 0 || i as u64 >= size as u64) {
        Some(&wrong) => checked(op, wrong, size).map(|_| ()),
        None => Ok(()),
    }
}

/// (elements before, along, behind) a dimension.
fn around(shape: &[usize], dim: usize) -> (usize, usize, usize) {
    (shape[..dim].iter().product(), shape[dim], shape[dim + 1..].iter().product())
}

/// A list of indices [n] along one dimension of a tensor of that shape, the same everywhere else.
#[cfg(feature = "gpu")]
fn along(index: &Tensor, dim: usize, shape: &[usize]) -> Layout {
    let mut strides = Dims::from_elem(0, shape.len());
    strides[dim] = index.strides().first().copied().unwrap_or(0);
    Layout { shape: Dims::from_slice(shape), strides, offset: index.layout().offset }
}

struct IndexSelect {
    dim: usize,
}

impl Op for IndexSelect {
    fn name(&self) -> &'static str {
        "index_select"
    }

    fn forward(&self, inputs: &[&Tensor], context: &mut Context) -> Result<Vec<Tensor>> {
        let [x, index] = [inputs[0], inputs[1]];
        integers("indexSelect", index)?;
        ensure!(index.ndim() <= 1, Shape, "indexSelect: indices [n], not {:?}", index.shape());
        save_shape(x, context)?;
        context.save(index)?;
        let (x, index) = (movement::contiguous(&x.detach()?)?, movement::contiguous(index)?);
        let rows = index.slice::<i64>();
        let (outer, size, inner) = around(x.shape(), self.dim);
        checked_all("indexSelect", rows, size)?;
        let mut shape = Dims::from_slice(x.shape());
        shape[self.dim] = rows.len();
        Ok(vec![dispatch_all!(x.dtype(), T => {
            let values = x.slice::<T>();
            let mut out = Buffer::<T>::new(outer * rows.len() * inner)?;
            let shared = SharedPointer::new(&mut out);
            parallel_ranges(outer * rows.len(), 16384usize.div_ceil(inner.max(1)), |range| {
                for place in range {
                    let from = (place / rows.len() * size + rows[place % rows.len()] as usize) * inner;
                    // SAFETY: each place writes its own row.
                    let row = unsafe { shared.slice(place * inner..(place + 1) * inner) };
                    row.copy_from_slice(&values[from..from + inner]);
                }
            });
            Tensor::from_buffer_strided(out, &shape, crate::shape::contiguous_strides(&shape), x.dtype())
        })])
    }

    #[cfg(feature = "gpu")]
    fn forward_gpu(&self, inputs: &[&Tensor], context: &mut Context) -> Result<Vec<Tensor>> {
        let [x, index] = [inputs[0], inputs[1]];
        integers("indexSelect", index)?;
        ensure!(index.ndim() <= 1, Shape, "indexSelect: indices [n], not {:?}", index.shape());
        save_shape(x, context)?;
        context.save(index)?;
        let mut shape = Dims::from_slice(x.shape());
        shape[self.dim] = index.numel();
        Ok(vec![scatter_gpu::gather(x, self.dim, index, &along(index, self.dim, &shape))?])
    }

    fn backward(&self, pass: &Pass) -> Result<Vec<Option<Tensor>>> {
        let zeros = Tensor::zeros(pass.saved[0].shape(), pass.grad().dtype())?;
        Ok(vec![Some(index_add(&zeros, self.dim as i64, &pass.saved[1], pass.grad())?), None])
    }
}

struct IndexAdd {
    dim: usize,
}

impl IndexAdd {
    fn check_source(&self, x: &Tensor, index: &Tensor, source: &Tensor) -> Result<()> {
        let mut expected = Dims::from_slice(x.shape());
        expected[self.dim] = index.numel();
        ensure!(
            index.ndim() <= 1 && source.shape() == &expected[..],
            Shape,
            "indexAdd: {:?} indices and a source {:?} do not fit dimension {} of {:?}; the source must be {:?}",
            index.shape(),
            source.shape(),
            self.dim,
            x.shape(),
            &expected[..]
        );
        Ok(())
    }
}

impl Op for IndexAdd {
    fn name(&self) -> &'static str {
        "index_add"
    }

    fn forward(&self, inputs: &[&Tensor], context: &mut Context) -> Result<Vec<Tensor>> {
        let [x, index, source] = [inputs[0], inputs[1], inputs[2]];
        integers("indexAdd", index)?;
        same_dtype("indexAdd", x, source)?;
        self.check_source(x, index, source)?;
        context.save(index)?;
        let (index, source) = (movement::contiguous(index)?, movement::contiguous(&source.detach()?)?);
        let rows = index.slice::<i64>();
        let (outer, size, inner) = around(x.shape(), self.dim);
        checked_all("indexAdd", rows, size)?;
        let sum = fresh(x)?;
        dispatch_all!(x.dtype(), T => {
            let values = source.slice::<T>();
            sum.update::<T, _>(|out| {
                let shared = SharedPointer::new(out);
                // Tasks share out the columns: every row index may meet every other one.
                parallel_ranges(outer * inner, 16384usize.div_ceil(rows.len().max(1)), |range| {
                    for o in range.start / inner..range.end.div_ceil(inner) {
                        let columns = range.start.max(o * inner) - o * inner..range.end.min((o + 1) * inner) - o * inner;
                        for (k, &row) in rows.iter().enumerate() {
                            let to = (o * size + row as usize) * inner;
                            let from = (o * rows.len() + k) * inner;
                            // SAFETY: this task alone writes these columns, row after row.
                            let target = unsafe { shared.slice(to + columns.start..to + columns.end) };
                            for (t, s) in target.iter_mut().zip(&values[from + columns.start..from + columns.end]) {
                                *t = plus(*t, *s);
                            }
                        }
                    }
                });
            })?;
        });
        Ok(vec![sum])
    }

    #[cfg(feature = "gpu")]
    fn forward_gpu(&self, inputs: &[&Tensor], context: &mut Context) -> Result<Vec<Tensor>> {
        let [x, index, source] = [inputs[0], inputs[1], inputs[2]];
        integers("indexAdd", index)?;
        same_dtype("indexAdd", x, source)?;
        self.check_source(x, index, source)?;
        context.save(index)?;
        let places = along(index, self.dim, source.shape());
        let source = (source, source.layout());
        Ok(vec![scatter_gpu::scatter(x, self.dim, (index, &places), source, Meeting::Add)?])
    }

    fn backward(&self, pass: &Pass) -> Result<Vec<Option<Tensor>>> {
        let source = pass.needs(2).then(|| index_select(pass.grad(), self.dim as i64, &pass.saved[0])).transpose()?;
        Ok(vec![Some(pass.grad().clone()), None, source])
    }
}

/// A row-major copy of its own, outside the graph.
pub(super) fn fresh(x: &Tensor) -> Result<Tensor> {
    let x = x.detach()?;
    if x.is_contiguous() { movement::copy(&x) } else { movement::contiguous(&x) }
}

pub(super) fn same_dtype(op: &str, x: &Tensor, source: &Tensor) -> Result<()> {
    ensure!(
        x.dtype() == source.dtype() && x.dtype() != DType::Bool,
        Dtype,
        "{op}: adds tensors of one number type, not {} to {}",
        source.dtype().name(),
        x.dtype().name()
    );
    Ok(())
}

/// A sum in the element's own type; integers wrap around.
#[inline(always)]
pub(super) fn plus<T: Element>(a: T, b: T) -> T {
    if T::DTYPE.is_float() {
        T::from_f64(a.to_f64() + b.to_f64())
    } else {
        T::from_i64(a.to_i64().wrapping_add(b.to_i64()))
    }
}

#[cfg_attr(feature = "node", napi_derive::napi)]
impl Tensor {
    /// Rows (along `dim`) of those indices (int64 [n]), in that order.
    #[cfg_attr(feature = "node", napi_derive::napi)]
    pub fn index_select(&self, dim: i64, index: &Tensor) -> Result<Tensor> {
        index_select(self, dim, index)
    }

    /// This with row i of `source` added to row `index[i]`, along `dim`.
    #[cfg_attr(feature = "node", napi_derive::napi)]
    pub fn index_add(&self, dim: i64, index: &Tensor, source: &Tensor) -> Result<Tensor> {
        index_add(self, dim, index, source)
    }

    /// Rows of this weight [entries, dim] by indices (int64) of any shape: [..index, dim].
    #[cfg_attr(feature = "node", napi_derive::napi)]
    pub fn embedding(&self, index: &Tensor) -> Result<Tensor> {
        embedding(self, index)
    }

    /// int64 [..this, classes]: 1 at each index, else 0. By default one class more than the largest index.
    #[cfg_attr(feature = "node", napi_derive::napi)]
    pub fn one_hot(&self, classes: Option<u32>) -> Result<Tensor> {
        one_hot(self, classes.map(|c| c as usize))
    }

    /// How often each number occurs among these indices (int64 [n]), or the sum of their weights [n]; as many as the
    /// largest index + 1, and at least `minlength`.
    #[cfg_attr(feature = "node", napi_derive::napi)]
    pub fn bincount(&self, weights: Option<&Tensor>, minlength: Option<u32>) -> Result<Tensor> {
        bincount(self, weights, minlength.unwrap_or(0) as usize)
    }

    /// Indices of the elements that are not 0, in row-major order: int64 [n, dimensions].
    #[cfg_attr(feature = "node", napi_derive::napi)]
    pub fn nonzero(&self) -> Result<Tensor> {
        nonzero(self)
    }

    /// The elements where the mask holds (both broadcast), in row-major order: [n].
    #[cfg_attr(feature = "node", napi_derive::napi)]
    pub fn masked_select(&self, mask: &Tensor) -> Result<Tensor> {
        masked_select(self, mask)
    }
}

#[cfg(test)]
pub fn cases() -> Vec<crate::ops::suite::Case> {
    use crate::ops::suite::*;
    fn selected(a: &[Array]) -> Vec<f64> {
        let columns = a[0].shape[1];
        a[1].values
            .iter()
            .flat_map(|&i| a[0].values[i as usize * columns..(i as usize + 1) * columns].to_vec())
            .collect()
    }
    fn added(a: &[Array]) -> Vec<f64> {
        let columns = a[0].shape[1];
        let mut out = a[0].values.clone();
        for (k, &i) in a[1].values.iter().enumerate() {
            for c in 0..columns {
                out[i as usize * columns + c] += a[2].values[k * columns + c];
            }
        }
        out
    }
    vec![
        case("index_select", "rows", [normal(&[4, 3]), index(4, &[6])], |t| index_select(&t[0], 0, &t[1]))
            .equals(selected),
        case("index_select", "the middle", [normal(&[2, 5, 4]), index(5, &[7])], |t| index_select(&t[0], 1, &t[1])),
        case("index_select", "integers", [index(9, &[4, 3]), index(4, &[6])], |t| index_select(&t[0], 0, &t[1])),
        case("index_select", "embedding", [normal(&[4, 3]), index(4, &[2, 5])], |t| embedding(&t[0], &t[1]))
            .equals(selected),
        case("index_select", "by a mask", [normal(&[4, 3]), mask(&[4, 3])], |t| masked_select(&t[0], &t[1]))
            .equals(|a| (0..a[0].values.len()).filter(|&i| a[1].values[i] != 0.0).map(|i| a[0].values[i]).collect()),
        case("index_add", "rows", [normal(&[4, 3]), index(4, &[6]), normal(&[6, 3])], |t| {
            index_add(&t[0], 0, &t[1], &t[2])
        })
        .equals(added),
        case("index_add", "counts", [index(4, &[6]), normal(&[6])], |t| bincount(&t[0], Some(&t[1]), 9)).equals(|a| {
            let mut out = vec![0.0; 9];
            a[0].values.iter().zip(&a[1].values).for_each(|(&i, w)| out[i as usize] += w);
            out
        }),
        case("index_add", "the middle", [normal(&[2, 5, 4]), index(5, &[7]), normal(&[2, 7, 4])], |t| {
            index_add(&t[0], 1, &t[1], &t[2])
        }),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indices_outside_are_named() {
        let x = Tensor::from_slice(&[1.0f32, 2.0, 3.0], &[3]).unwrap();
        for wrong in [3i64, -1] {
            let index = Tensor::from_slice(&[0, wrong], &[2]).unwrap();
            for error in [
                index_select(&x, 0, &index).unwrap_err(),
                index_add(&x, 0, &index, &Tensor::zeros(&[2], DType::F32).unwrap()).unwrap_err(),
                one_hot(&index, Some(3)).unwrap_err(),
            ] {
                assert_eq!(error.code(), "ERR_ARGUMENT");
                assert!(error.message().contains(&format!("index {wrong} does not lie in 0..3")), "{error}");
            }
        }
        assert_eq!(index_select(&x, 0, &x).unwrap_err().code(), "ERR_DTYPE");
    }

    #[test]
    fn counts() {
        let count = |values: &[i64], minimum| {
            bincount(&Tensor::from_slice(values, &[values.len()])?, None, minimum)?.to_vec::<i64>()
        };
        assert_eq!(count(&[3, 0, 3], 0).unwrap(), [1, 0, 0, 2]);
        assert_eq!(count(&[1], 3).unwrap(), [0, 1, 0]);
        assert_eq!(count(&[], 0).unwrap(), [0; 0]);
        assert_eq!(count(&[-2, 1], 5).unwrap_err().code(), "ERR_ARGUMENT");
        assert_eq!(count(&[-1], 0).unwrap_err().code(), "ERR_ARGUMENT");
    }

    #[test]
    fn one_hot_and_nonzero() {
        let index = Tensor::from_slice(&[2i64, 0], &[2]).unwrap();
        assert_eq!(one_hot(&index, None).unwrap().to_vec::<i64>().unwrap(), [0, 0, 1, 1, 0, 0]);
        assert_eq!(one_hot(&index, Some(4)).unwrap().shape(), [2, 4]);
        let x = Tensor::from_slice(&[0.0f32, 3.0, -1.0, 0.0], &[2, 2]).unwrap();
        assert_eq!(nonzero(&x).unwrap().to_vec::<i64>().unwrap(), [0, 1, 1, 0]);
    }
}
