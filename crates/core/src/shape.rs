//! Shapes, strides and the arithmetic on them: broadcasting, views, iteration order. No memory is touched here.

use crate::error::{Error, Result};
use crate::{bail, ensure};
use smallvec::SmallVec;

/// Sizes or strides, one a dimension.
pub type Dims = SmallVec<[usize; 6]>;

/// Where the elements of a tensor lie in its storage: element `i` is at `offset + Σ i[d]·strides[d]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    pub shape: Dims,
    /// In elements; 0 where the dimension is broadcast.
    pub strides: Dims,
    pub offset: usize,
}

/// Row-major strides of a shape.
pub fn contiguous_strides(shape: &[usize]) -> Dims {
    let mut strides: Dims = SmallVec::from_elem(1, shape.len());
    for d in (0..shape.len().saturating_sub(1)).rev() {
        strides[d] = strides[d + 1] * shape[d + 1].max(1);
    }
    strides
}

/// Strides of [batch, channel, height, width] stored as [batch, height, width, channel].
pub fn channels_last_strides(shape: &[usize]) -> Dims {
    let [_, c, h, w] = [shape[0], shape[1].max(1), shape[2].max(1), shape[3].max(1)];
    Dims::from_slice(&[h * w * c, 1, w * c, c])
}

impl Layout {
    pub fn contiguous(shape: &[usize]) -> Layout {
        Layout { shape: Dims::from_slice(shape), strides: contiguous_strides(shape), offset: 0 }
    }

    pub fn ndim(&self) -> usize {
        self.shape.len()
    }

    pub fn numel(&self) -> usize {
        self.shape.iter().product()
    }

    /// Row-major without gaps. Strides of dimensions of size 1 do not matter.
    pub fn is_contiguous(&self) -> bool {
        self.has_order((0..self.ndim()).rev())
    }

    /// [B, C, H, W] stored as [B, H, W, C] without gaps.
    pub fn is_channels_last(&self) -> bool {
        self.ndim() == 4 && self.has_order([1, 3, 2, 0].into_iter())
    }

    fn has_order(&self, innermost_first: impl Iterator<Item = usize>) -> bool {
        let mut expected = 1;
        for d in innermost_first {
            if self.shape[d] == 0 {
                return true;
            }
            if self.shape[d] != 1 {
                if self.strides[d] != expected {
                    return false;
                }
                expected *= self.shape[d];
            }
        }
        true
    }

    /// Whether the elements fill one unbroken run of storage, in whatever order of dimensions.
    pub fn is_dense(&self) -> bool {
        if self.is_contiguous() || self.numel() == 0 {
            return true;
        }
        let mut order: SmallVec<[usize; 6]> = (0..self.ndim()).collect();
        order.sort_by_key(|&d| self.strides[d]);
        self.has_order(order.into_iter())
    }

    /// Strides of a fresh dense tensor whose dimensions lie in the same order as here.
    pub fn dense_strides(&self) -> Dims {
        if self.strides.contains(&0) || self.is_contiguous() {
            return contiguous_strides(&self.shape);
        }
        let mut order: SmallVec<[usize; 6]> = (0..self.ndim()).collect();
        // Stable, so that equal strides (dimensions of size 1) stay in row-major order.
        order.sort_by_key(|&d| std::cmp::Reverse(self.strides[d]));
        let mut strides: Dims = SmallVec::from_elem(1, self.ndim());
        let mut step = 1;
        for &d in order.iter().rev() {
            strides[d] = step;
            step *= self.shape[d].max(1);
        }
        strides
    }

    pub fn permute(&self, dims: &[usize]) -> Layout {
        Layout {
            shape: dims.iter().map(|&d| self.shape[d]).collect(),
            strides: dims.iter().map(|&d| self.strides[d]).collect(),
            offset: self.offset,
        }
    }

    /// The same elements seen in another (broadcast-compatible) shape.
    pub fn expand(&self, shape: &[usize]) -> Result<Layout> {
        ensure!(
            shape.len() >= self.ndim(),
            Shape,
            "expand: {:?} has more dimensions than {:?}",
            &self.shape[..],
            shape
        );
        let lead = shape.len() - self.ndim();
        let mut strides: Dims = SmallVec::from_elem(0, shape.len());
        for (d, &size) in self.shape.iter().enumerate() {
            if size == shape[lead + d] {
                strides[lead + d] = self.strides[d];
            } else if size != 1 {
                bail!(
                    Shape,
                    "expand: {:?} does not broadcast to {:?} (dimension {d} is {size}, not 1)",
                    &self.shape[..],
                    shape
                );
            }
        }
        Ok(Layout { shape: Dims::from_slice(shape), strides, offset: self.offset })
    }

    /// The same elements in another shape without copying, if the strides allow it.
    pub fn reshape(&self, shape: &[usize]) -> Option<Layout> {
        if self.is_contiguous() {
            return Some(Layout { offset: self.offset, ..Layout::contiguous(shape) });
        }
        if self.numel() == 0 {
            return Some(Layout { offset: self.offset, ..Layout::contiguous(shape) });
        }
        // Walk both shapes from the back, matching groups of dimensions with equal products.
        let old: SmallVec<[(usize, usize); 6]> =
            self.shape.iter().zip(&self.strides).filter(|(s, _)| **s != 1).map(|(s, t)| (*s, *t)).collect();
        let mut strides: Dims = SmallVec::from_elem(1, shape.len());
        let mut o = old.len();
        let mut d = shape.len();
        while o > 0 {
            let mut group = old[o - 1].0;
            let base = old[o - 1].1;
            let mut first = o - 1;
            let start = d;
            let mut filled = 1;
            let mut step = base;
            loop {
                while filled < group && d > 0 {
                    d -= 1;
                    strides[d] = step;
                    step *= shape[d];
                    filled *= shape[d];
                }
                if filled == group {
                    break;
                }
                // The new dimension spans more than this old one: the next old one must continue it without a gap.
                if first == 0 || old[first - 1].1 != old[first].0 * old[first].1 {
                    return None;
                }
                first -= 1;
                group *= old[first].0;
            }
            if start == d && group != 1 {
                return None;
            }
            o = first;
        }
        for (k, stride) in strides.iter_mut().enumerate().take(d) {
            debug_assert_eq!(shape[k], 1);
            *stride = 1;
        }
        Some(Layout { shape: Dims::from_slice(shape), strides, offset: self.offset })
    }

    /// Merges dimensions that lie one behind the other; drops those of size 1. Iteration order is kept.
    pub fn collapse(layouts: &mut [Layout]) {
        let Some(first) = layouts.first() else { return };
        let n = first.ndim();
        let shape = first.shape.clone();
        let mut merged: Dims = SmallVec::new();
        let mut strides: Vec<Dims> = vec![SmallVec::new(); layouts.len()];
        for d in 0..n {
            if shape[d] == 1 {
                continue;
            }
            let joins = !merged.is_empty()
                && layouts.iter().zip(&strides).all(|(l, s)| s[s.len() - 1] == l.strides[d] * shape[d]);
            if joins {
                *merged.last_mut().unwrap() *= shape[d];
                for (l, s) in layouts.iter().zip(&mut strides) {
                    *s.last_mut().unwrap() = l.strides[d];
                }
            } else {
                merged.push(shape[d]);
                for (l, s) in layouts.iter().zip(&mut strides) {
                    s.push(l.strides[d]);
                }
            }
        }
        for (l, s) in layouts.iter_mut().zip(strides) {
            l.shape = merged.clone();
            l.strides = s;
        }
    }
}

/// The shape both broadcast to (NumPy's rule), or ERR_SHAPE with both shapes.
pub fn broadcast(op: &str, a: &[usize], b: &[usize]) -> Result<Dims> {
    let n = a.len().max(b.len());
    let mut out: Dims = SmallVec::from_elem(1, n);
    for k in 0..n {
        let x = if k < a.len() { a[a.len() - 1 - k] } else { 1 };
        let y = if k < b.len() { b[b.len() - 1 - k] } else { 1 };
        out[n - 1 - k] = match (x, y) {
            _ if x == y => x,
            (1, _) => y,
            (_, 1) => x,
            _ => bail!(
                Shape,
                "{op}: shapes {a:?} and {b:?} do not broadcast: dimension {} is {x} in the first and {y} in the second",
                n - 1 - k
            ),
        };
    }
    Ok(out)
}

/// A dimension that may be negative (counted from the back), checked.
pub fn resolve_dim(op: &str, dim: i64, ndim: usize) -> Result<usize> {
    let n = ndim as i64;
    let d = if dim < 0 { dim + n } else { dim };
    if d < 0 || d >= n {
        return Err(Error::Argument(format!("{op}: dimension {dim} of a tensor with {ndim} dimensions")));
    }
    Ok(d as usize)
}

/// Dimensions, checked, sorted and without repeats; none given means all.
pub fn resolve_dims(op: &str, dims: Option<&[i64]>, ndim: usize) -> Result<Vec<usize>> {
    let Some(dims) = dims else { return Ok((0..ndim).collect()) };
    let mut out = dims.iter().map(|&d| resolve_dim(op, d, ndim)).collect::<Result<Vec<_>>>()?;
    out.sort_unstable();
    let before = out.len();
    out.dedup();
    ensure!(out.len() == before, Argument, "{op}: dimensions {dims:?} name one twice");
    Ok(out)
}

/// A shape in which one size may be -1 (inferred), for `numel` elements.
pub fn resolve_shape(op: &str, shape: &[i64], numel: usize) -> Result<Dims> {
    let mut known = 1usize;
    let mut hole = None;
    for (d, &size) in shape.iter().enumerate() {
        match size {
            -1 if hole.is_none() => hole = Some(d),
            s if s >= 0 => known *= s as usize,
            s => bail!(Argument, "{op}: size {s} in {shape:?}; one size may be -1, the others are 0 or more"),
        }
    }
    let mut out: Dims = shape.iter().map(|&s| s.max(0) as usize).collect();
    if let Some(d) = hole {
        ensure!(
            known != 0 && numel % known == 0,
            Shape,
            "{op}: {numel} elements cannot fill {shape:?}: they do not divide by {known}"
        );
        out[d] = numel / known;
    } else {
        ensure!(known == numel, Shape, "{op}: {numel} elements do not fill {shape:?}, which has {known}");
    }
    Ok(out)
}

/// Calls with every index of a shape, in row-major order.
pub fn each_index(shape: &[usize], mut visit: impl FnMut(&[usize])) {
    if shape.contains(&0) {
        return;
    }
    let mut index: Dims = SmallVec::from_elem(0, shape.len());
    loop {
        visit(&index);
        let mut d = shape.len();
        loop {
            if d == 0 {
                return;
            }
            d -= 1;
            index[d] += 1;
            if index[d] < shape[d] {
                break;
            }
            index[d] = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reshape_of_views_copies_only_when_it_must() {
        let t = Layout::contiguous(&[2, 3, 4]);
        assert!(t.permute(&[1, 0, 2]).reshape(&[6, 4]).is_none());
        let sliced = Layout { shape: Dims::from_slice(&[2, 3, 4]), strides: Dims::from_slice(&[24, 8, 1]), offset: 5 };
        let joined = sliced.reshape(&[6, 2, 2]).expect("the first two dimensions lie one behind the other");
        assert_eq!((&joined.strides[..], joined.offset), (&[8, 2, 1][..], 5));
        assert!(sliced.reshape(&[3, 8]).is_none());
        let scalar = Layout::contiguous(&[1, 1]).reshape(&[]).unwrap();
        assert_eq!(scalar.numel(), 1);
        let expanded = Layout::contiguous(&[1, 3]).expand(&[4, 3]).unwrap();
        assert!(expanded.reshape(&[12]).is_none());
        assert_eq!(&expanded.reshape(&[2, 2, 3]).unwrap().strides[..], &[0, 0, 1]);
    }

    #[test]
    fn dense_strides_keep_the_order_of_dimensions() {
        let nhwc =
            Layout { shape: Dims::from_slice(&[2, 3, 4, 5]), strides: channels_last_strides(&[2, 3, 4, 5]), offset: 0 };
        assert!(nhwc.is_dense() && nhwc.is_channels_last() && !nhwc.is_contiguous());
        assert_eq!(nhwc.dense_strides(), nhwc.strides);
    }

    #[test]
    fn broadcasting_names_the_dimension() {
        assert_eq!(&broadcast("add", &[3, 1], &[2]).unwrap()[..], &[3, 2]);
        let error = broadcast("add", &[2, 3], &[2, 4]).unwrap_err();
        assert!(error.message().contains("[2, 3] and [2, 4]") && error.message().contains("dimension 1"));
    }

    #[test]
    fn inferred_sizes() {
        assert_eq!(&resolve_shape("reshape", &[2, -1], 6).unwrap()[..], &[2, 3]);
        assert!(resolve_shape("reshape", &[4, -1], 6).is_err());
        assert!(resolve_shape("reshape", &[-1, -1], 6).is_err());
        assert!(resolve_shape("reshape", &[5], 6).is_err());
    }
}
