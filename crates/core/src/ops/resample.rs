//! Resizing images and sequences: nearest, linear and cubic interpolation, with or without a filter against aliasing.
//! Each axis by itself is a sparse matrix: a few weights for each new place. Its transpose is the gradient.

use crate::cpu::dispatch::{Kernel, dispatch};
use crate::cpu::threads::{SharedPointer, parallel_ranges};
use crate::dtype::Float;
use crate::error::Result;
use crate::op::{Context, Op, Pass, apply_one};
#[cfg(feature = "gpu")]
use crate::ops::axes_gpu::{self, Axis};
use crate::ops::movement;
use crate::shape::Dims;
use crate::storage::Buffer;
use crate::tensor::Tensor;
use crate::{bail, dispatch_float, ensure};
use std::rc::Rc;

/// How values between pixels are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The pixel whose area the left edge of the new one falls into (as PyTorch's, and OpenCV's).
    Nearest,
    /// The pixel whose area the centre of the new one falls into (as Pillow's and scikit-image's).
    NearestExact,
    /// Between two neighbours an axis: linear, bilinear, trilinear.
    Linear,
    /// Between four neighbours an axis (Keys 1981), for images.
    Cubic,
    /// The mean of the pixels that a new one covers.
    Area,
}

impl Mode {
    /// PyTorch's names.
    pub fn parse(name: &str) -> Result<Mode> {
        Ok(match name {
            "nearest" => Mode::Nearest,
            "nearest-exact" => Mode::NearestExact,
            "linear" | "bilinear" | "trilinear" => Mode::Linear,
            "bicubic" => Mode::Cubic,
            "area" => Mode::Area,
            _ => bail!(
                Argument,
                "interpolate: mode \"{name}\"; there are nearest, nearest-exact, area, linear, bilinear, trilinear and bicubic"
            ),
        })
    }
}

/// What is asked of [`interpolate`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    pub mode: Mode,
    /// Places the centres of the corner pixels, not their outer edges, on each other.
    pub align_corners: bool,
    /// Widens the filter when it shrinks, so that every pixel counts (linear and cubic only).
    pub antialias: bool,
}

/// [B, C, spatial…] resized to `size` along its spatial axes. `scales` (new size / old, one an axis) maps coordinates
/// instead of the sizes, if it is given.
pub fn interpolate(x: &Tensor, size: &[usize], scales: Option<&[f64]>, options: Options) -> Result<Tensor> {
    let Options { mode, align_corners, antialias } = options;
    let spatial = x.ndim().saturating_sub(2);
    ensure!(
        (1..=3).contains(&spatial) && size.len() == spatial,
        Shape,
        "interpolate: needs [batch, channel] and one to three sizes, not {:?} to {size:?}",
        x.shape()
    );
    ensure!(
        scales.is_none_or(|s| s.len() == spatial && s.iter().all(|f| *f > 0.0 && f.is_finite())),
        Argument,
        "interpolate: scale factors {scales:?} for shape {:?}; one positive number for each axis behind the channels",
        x.shape()
    );
    let smooth = matches!(mode, Mode::Linear | Mode::Cubic);
    ensure!(
        smooth || !align_corners,
        Argument,
        "interpolate: alignCorners needs linear or cubic interpolation, not {mode:?}"
    );
    ensure!(smooth || !antialias, Argument, "interpolate: antialias needs linear or cubic interpolation, not {mode:?}");
    ensure!(
        spatial == 2 || !(mode == Mode::Cubic || antialias),
        Unsupported,
        "interpolate: cubic interpolation and antialias are for images [batch, channel, height, width], not {:?}",
        x.shape()
    );
    let mut axes = vec![None; x.ndim()];
    for s in 0..spatial {
        let (from, to) = (x.shape()[2 + s], size[s]);
        ensure!(from > 0 && to > 0, Shape, "interpolate: {:?} to {size:?}: sizes are at least 1", x.shape());
        // PyTorch leaves such an axis alone, whatever the scale says; only its cubic and nearest-exact do not.
        if from == to && !align_corners && (antialias || matches!(mode, Mode::Nearest | Mode::Linear | Mode::Area)) {
            continue;
        }
        let scale = scales.map(|scales| scales[s]);
        let taps = if antialias { filtered(from, to, scale, options) } else { between(from, to, scale, options) };
        axes[2 + s] = Some(Rc::new(Matrix::of(from, taps)));
    }
    apply_one(Resample { axes }, &[x])
}

/// The new sizes that scale factors make.
pub fn scaled_size(x: &Tensor, factors: &[f64]) -> Result<Vec<usize>> {
    let spatial = x.ndim().saturating_sub(2);
    ensure!(
        factors.len() == spatial && factors.iter().all(|f| *f > 0.0 && f.is_finite()),
        Argument,
        "interpolate: scale factors {factors:?} for shape {:?}; one positive number for each axis behind the channels",
        x.shape()
    );
    Ok(x.shape()[2..].iter().zip(factors).map(|(&n, f)| (n as f64 * f).floor() as usize).collect())
}

/// (place, weight) pairs for each new place.
type Taps = Vec<Vec<(usize, f64)>>;

/// Old pixels a new one.
fn step(from: usize, to: usize, scale: Option<f64>, align_corners: bool) -> f64 {
    match scale {
        _ if align_corners => {
            if to > 1 {
                (from - 1) as f64 / (to - 1) as f64
            } else {
                0.0
            }
        }
        Some(scale) => 1.0 / scale,
        None => from as f64 / to as f64,
    }
}

fn between(from: usize, to: usize, scale: Option<f64>, options: Options) -> Taps {
    let step = step(from, to, scale, options.align_corners);
    let last = from - 1;
    let center = |i: usize| if options.align_corners { step * i as f64 } else { step * (i as f64 + 0.5) - 0.5 };
    let taps = |i: usize| -> Vec<(usize, f64)> {
        match options.mode {
            Mode::Nearest if to == 2 * from => vec![(i / 2, 1.0)],
            // In float32, as PyTorch does: the product may fall on either side of a whole number.
            Mode::Nearest => vec![(((i as f32 * step as f32).floor() as usize).min(last), 1.0)],
            Mode::NearestExact => vec![((((i as f32 + 0.5) * step as f32).floor() as usize).min(last), 1.0)],
            Mode::Area => {
                let (first, behind) = (i * from / to, ((i + 1) * from).div_ceil(to));
                (first..behind).map(|p| (p, 1.0 / (behind - first) as f64)).collect()
            }
            Mode::Linear => {
                let place = center(i).max(0.0);
                let low = (place.floor() as usize).min(last);
                let weight = (place - low as f64).clamp(0.0, 1.0);
                vec![(low, 1.0 - weight), ((low + 1).min(last), weight)]
            }
            Mode::Cubic => {
                let place = center(i);
                let (low, t) = (place.floor(), place - place.floor());
                let neighbour = |k: i64| (low as i64 + k).clamp(0, last as i64) as usize;
                [(-1, t + 1.0), (0, t), (1, 1.0 - t), (2, 2.0 - t)]
                    .map(|(k, d)| (neighbour(k), cubic(d, -0.75)))
                    .to_vec()
            }
        }
    };
    (0..to).map(taps).collect()
}

/// Every pixel under a triangle or a cubic (Keys' with a = −½) as wide as the new pixel, as Pillow's filters.
fn filtered(from: usize, to: usize, scale: Option<f64>, options: Options) -> Taps {
    let step = step(from, to, scale, options.align_corners);
    let (radius, cubic_filter) = if options.mode == Mode::Cubic { (2.0, true) } else { (1.0, false) };
    let width = step.max(1.0);
    let weigh = |d: f64| {
        let d = (d / width).abs();
        if cubic_filter { cubic(d, -0.5) } else { (1.0 - d).max(0.0) }
    };
    let taps = |i: usize| -> Vec<(usize, f64)> {
        let center = step * (i as f64 + 0.5);
        let first = ((center - radius * width + 0.5) as i64).max(0) as usize;
        let behind = ((center + radius * width + 0.5) as i64).clamp(0, from as i64) as usize;
        let weights: Vec<f64> = (first..behind).map(|p| weigh(p as f64 + 0.5 - center)).collect();
        let total: f64 = weights.iter().sum();
        let share = if total != 0.0 { 1.0 / total } else { 0.0 };
        (first..behind).zip(weights).map(|(p, w)| (p, w * share)).collect()
    };
    (0..to).map(taps).collect()
}

/// The cubic convolution kernel at distance d ≥ 0 (Keys 1981).
fn cubic(d: f64, a: f64) -> f64 {
    if d <= 1.0 {
        ((a + 2.0) * d - (a + 3.0)) * d * d + 1.0
    } else if d < 2.0 {
        (((d - 5.0) * d + 8.0) * d - 4.0) * a
    } else {
        0.0
    }
}

/// A sparse matrix and its transpose, row by row.
struct Matrix {
    rows: Taps,
    transpose: Taps,
}

impl Matrix {
    fn of(columns: usize, taps: Taps) -> Matrix {
        let mut transpose = vec![Vec::new(); columns];
        for (row, taps) in taps.iter().enumerate() {
            for &(column, weight) in taps {
                transpose[column].push((row, weight));
            }
        }
        Matrix { rows: taps, transpose }
    }
}

/// One matrix an axis; None leaves it.
#[derive(Clone)]
struct Resample {
    axes: Vec<Option<Rc<Matrix>>>,
}

impl Op for Resample {
    fn name(&self) -> &'static str {
        "interpolate"
    }

    fn forward(&self, inputs: &[&Tensor], _: &mut Context) -> Result<Vec<Tensor>> {
        Ok(vec![self.run(inputs[0], false)?])
    }

    #[cfg(feature = "gpu")]
    fn forward_gpu(&self, inputs: &[&Tensor], context: &mut Context) -> Result<Vec<Tensor>> {
        self.forward(inputs, context)
    }

    fn backward(&self, pass: &Pass) -> Result<Vec<Option<Tensor>>> {
        Ok(vec![Some(apply_one(Transpose(self.clone()), &[pass.grad()])?)])
    }
}

struct Transpose(Resample);

impl Op for Transpose {
    fn name(&self) -> &'static str {
        "interpolate"
    }

    fn forward(&self, inputs: &[&Tensor], _: &mut Context) -> Result<Vec<Tensor>> {
        Ok(vec![self.0.run(inputs[0], true)?])
    }

    #[cfg(feature = "gpu")]
    fn forward_gpu(&self, inputs: &[&Tensor], context: &mut Context) -> Result<Vec<Tensor>> {
        self.forward(inputs, context)
    }

    fn backward(&self, pass: &Pass) -> Result<Vec<Option<Tensor>>> {
        Ok(vec![Some(apply_one(self.0.clone(), &[pass.grad()])?)])
    }
}

impl Resample {
    /// Axis by axis, those that shrink most first. Images that lie channels last stay so.
    fn run(&self, x: &Tensor, transpose: bool) -> Result<Tensor> {
        let matrix = |axis: &Rc<Matrix>| if transpose { axis.transpose.clone() } else { axis.rows.clone() };
        let mut axes: Vec<(usize, Taps)> =
            self.axes.iter().enumerate().filter_map(|(d, axis)| Some((d, matrix(axis.as_ref()?)))).collect();
        axes.sort_by(|(d, a), (e, b)| (a.len() * x.shape()[*e]).cmp(&(b.len() * x.shape()[*d])));
        #[cfg(feature = "gpu")]
        if !x.is_host() {
            return on_gpu(x, axes);
        }
        let last = x.is_channels_last() && !x.is_contiguous();
        let mut x = x.detach()?;
        if axes.is_empty() {
            return movement::copy(&x);
        }
        x = if last { movement::channels_last(&x)? } else { movement::contiguous(&x)? };
        for (d, taps) in axes {
            x = along(&x, d, &taps, last)?;
        }
        Ok(x)
    }
}

/// Elements that one invocation may read where several axes are done at once.
#[cfg(feature = "gpu")]
const AT_ONCE: usize = 16;

/// A few taps an axis (linear, nearest): all axes in one pass; else one after the other.
#[cfg(feature = "gpu")]
fn on_gpu(x: &Tensor, axes: Vec<(usize, Taps)>) -> Result<Tensor> {
    let used = |taps: &Vec<(usize, f64)>| taps.iter().filter(|(_, w)| *w != 0.0).map(|&(p, w)| (p, w as f32)).collect();
    let axes: Vec<Axis> =
        axes.iter().map(|(dim, taps)| Axis { dim: *dim, taps: taps.iter().map(used).collect() }).collect();
    let longest = |axis: &Axis| axis.taps.iter().map(Vec::len).max().unwrap_or(0);
    let at_once = if axes.iter().map(longest).product::<usize>() <= AT_ONCE { axes.len() } else { 1 };
    if axes.is_empty() {
        return movement::copy(&x.detach()?);
    }
    let mut x = x.detach()?;
    for axes in axes.chunks(at_once) {
        let mut shape = Dims::from_slice(x.shape());
        axes.iter().for_each(|axis| shape[axis.dim] = axis.taps.len());
        x = axes_gpu::apply(&x, axes, &axes_gpu::order_like(&x, &shape), 0.0)?;
    }
    Ok(x)
}

/// A matrix applied along one axis.
fn along(x: &Tensor, d: usize, taps: &Taps, last: bool) -> Result<Tensor> {
    let mut shape = Dims::from_slice(x.shape());
    shape[d] = taps.len();
    // In memory: [outer, this axis, inner].
    let (length, inner) = (x.shape()[d], Tensor::strides_for(x.shape(), last)[d]);
    let outer = if x.numel() == 0 { 0 } else { x.numel() / (inner * length) };
    Ok(dispatch_float!(x.dtype(), "interpolate", T => {
        let used = |t: &Vec<(usize, f64)>| t.iter().filter(|(_, w)| *w != 0.0).map(|&(p, w)| (p, w as T)).collect();
        let taps: Vec<Vec<(usize, T)>> = taps.iter().map(used).collect();
        let values = x.slice::<T>();
        let mut out = Buffer::<T>::new(shape.iter().product())?;
        let shared = SharedPointer::new(&mut out);
        let size = taps.len() * inner;
        parallel_ranges(outer, 8192usize.div_ceil(size.max(1)), |range| {
            for part in range {
                // SAFETY: each part is written by one task.
                let out = unsafe { shared.slice(part * size..(part + 1) * size) };
                dispatch(Part { source: &values[part * length * inner..(part + 1) * length * inner], taps: &taps, out });
            }
        });
        Tensor::from_buffer_strided(out, &shape, Tensor::strides_for(&shape, last), x.dtype())
    }))
}

/// out[i, :] = Σ weight · source[place, :]
struct Part<'a, T> {
    source: &'a [T],
    taps: &'a [Vec<(usize, T)>],
    out: &'a mut [T],
}

impl<T: Float> Kernel for Part<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let inner = self.out.len() / self.taps.len();
        if inner == 1 {
            for (o, taps) in self.out.iter_mut().zip(self.taps) {
                let mut sum = T::ZERO;
                for &(place, weight) in taps {
                    sum += weight * self.source[place];
                }
                *o = sum;
            }
            return;
        }
        for (line, taps) in self.out.chunks_exact_mut(inner).zip(self.taps) {
            line.fill(T::ZERO);
            for &(place, weight) in taps {
                for (o, v) in line.iter_mut().zip(&self.source[place * inner..(place + 1) * inner]) {
                    *o += weight * *v;
                }
            }
        }
    }
}

#[cfg(feature = "node")]
mod node {
    use super::*;
    use napi::bindgen_prelude::Either;
    use napi_derive::napi;

    /// What an image or a sequence is resized to, and how.
    #[napi(object)]
    pub struct InterpolateOptions {
        /// The new sizes of the axes behind the channels; one number for all. Either this or `scaleFactor`.
        pub size: Option<Either<u32, Vec<u32>>>,
        /// New size / old, rounded down; one number for all.
        pub scale_factor: Option<Either<f64, Vec<f64>>>,
        /// Default "nearest".
        #[napi(ts_type = "'nearest' | 'nearest-exact' | 'area' | 'linear' | 'bilinear' | 'trilinear' | 'bicubic'")]
        pub mode: Option<String>,
        /// Centres of corner pixels on each other. Default false.
        pub align_corners: Option<bool>,
        /// Maps coordinates by new size / old instead of by `scaleFactor` itself. Default false.
        pub recompute_scale_factor: Option<bool>,
        /// A wider filter when it shrinks (bilinear and bicubic). Default false.
        pub antialias: Option<bool>,
    }

    #[napi]
    impl Tensor {
        /// [B, C, spatial…] resized: [B, C, new sizes].
        #[napi(js_name = "interpolate")]
        pub fn js_interpolate(&self, options: InterpolateOptions) -> Result<Tensor> {
            let spatial = self.ndim().saturating_sub(2);
            let mode = Mode::parse(options.mode.as_deref().unwrap_or("nearest"))?;
            let how = Options {
                mode,
                align_corners: options.align_corners.unwrap_or(false),
                antialias: options.antialias.unwrap_or(false),
            };
            let factors = match options.scale_factor {
                None => None,
                Some(Either::A(one)) => Some(vec![one; spatial]),
                Some(Either::B(many)) => Some(many),
            };
            match (options.size, factors) {
                (Some(size), None) => {
                    let size = match size {
                        Either::A(one) => vec![one as usize; spatial],
                        Either::B(many) => many.iter().map(|&s| s as usize).collect(),
                    };
                    interpolate(self, &size, None, how)
                }
                (None, Some(factors)) => {
                    let size = scaled_size(self, &factors)?;
                    let given = !options.recompute_scale_factor.unwrap_or(false);
                    interpolate(self, &size, given.then_some(&factors[..]), how)
                }
                _ => bail!(Argument, "interpolate: give either size or scaleFactor"),
            }
        }
    }
}

#[cfg(test)]
pub fn cases() -> Vec<crate::ops::suite::Case> {
    use crate::ops::suite::*;
    let to = |size: &'static [usize], mode, align_corners, antialias| {
        move |t: &[Tensor]| interpolate(&t[0], size, None, Options { mode, align_corners, antialias })
    };
    let images = || [normal(&[2, 3, 5, 7])];
    /// Weights of a kernel of that reach around the place of each of nine by four new pixels, edges repeated.
    fn sums(reach: i64, kernel: fn(f64) -> f64) -> impl Fn(&[Array]) -> Vec<f64> {
        move |a| {
            let (x, mut out) = (&a[0], Vec::new());
            let (height, width) = (x.shape[2], x.shape[3]);
            each_index(&[x.shape[0], x.shape[1], 9, 4], |i| {
                let (v, h) =
                    ((i[2] as f64 + 0.5) * height as f64 / 9.0 - 0.5, (i[3] as f64 + 0.5) * width as f64 / 4.0 - 0.5);
                let mut sum = 0.0;
                for (dv, dh) in (1 - reach..=reach).flat_map(|dv| (1 - reach..=reach).map(move |dh| (dv, dh))) {
                    let (row, column) = (v.floor() as i64 + dv, h.floor() as i64 + dh);
                    let inside = |k: i64, n: usize| k.clamp(0, n as i64 - 1) as usize;
                    let value = x.at(&[i[0], i[1], inside(row, height), inside(column, width)]);
                    sum += value * kernel((v - row as f64).abs()) * kernel((h - column as f64).abs());
                }
                out.push(sum);
            });
            out
        }
    }
    let triangle = |d: f64| 1.0 - d;
    // Keys' kernel, a = −¾, written out.
    let keys = |d: f64| match d {
        d if d <= 1.0 => 1.25 * d.powi(3) - 2.25 * d.powi(2) + 1.0,
        d => -0.75 * d.powi(3) + 3.75 * d.powi(2) - 6.0 * d + 3.0,
    };
    vec![
        case("interpolate", "nearest", images(), to(&[9, 4], Mode::Nearest, false, false)).drops_nan(),
        case("interpolate", "nearest, exact", images(), to(&[9, 4], Mode::NearestExact, false, false)).drops_nan(),
        case("interpolate", "bilinear", images(), to(&[9, 4], Mode::Linear, false, false)).equals(sums(1, triangle)),
        case("interpolate", "bilinear, corners aligned", images(), to(&[9, 4], Mode::Linear, true, false)).drops_nan(),
        case("interpolate", "bicubic", images(), to(&[9, 4], Mode::Cubic, false, false)).equals(sums(2, keys)),
        case("interpolate", "area", images(), to(&[3, 9], Mode::Area, false, false)),
        case("interpolate", "halves by area", [normal(&[2, 3, 6])], to(&[2], Mode::Area, false, false)).equals(|a| {
            let n = a[0].shape[2];
            let mean = |line: &[f64], k: usize| {
                let part = &line[k * n / 2..((k + 1) * n).div_ceil(2)];
                part.iter().sum::<f64>() / part.len() as f64
            };
            a[0].values.chunks(n.max(1)).flat_map(|line| [mean(line, 0), mean(line, 1)]).collect()
        }),
        case("interpolate", "bicubic, corners aligned", images(), to(&[3, 3], Mode::Cubic, true, false)).drops_nan(),
        case("interpolate", "bilinear, filtered", images(), to(&[3, 4], Mode::Linear, false, true)),
        case("interpolate", "bicubic, filtered", images(), to(&[3, 9], Mode::Cubic, false, true)),
        case("interpolate", "a sequence", [normal(&[2, 3, 5])], to(&[8], Mode::Linear, false, false)),
        case("interpolate", "twice as long", [normal(&[2, 3, 5])], to(&[10], Mode::Nearest, false, false)).equals(
            |a| {
                let n = a[0].shape[2];
                (0..a[0].values.len() * 10 / n.max(1)).map(|k| a[0].values[k / 10 * n + k % 10 * n / 10]).collect()
            },
        ),
        case("interpolate", "a volume", [normal(&[1, 2, 3, 4, 2])], to(&[4, 3, 5], Mode::Linear, false, false)),
        case("interpolate", "by a factor", images(), |t| {
            let factors = [1.5, 0.7];
            let how = Options { mode: Mode::Linear, align_corners: false, antialias: false };
            interpolate(&t[0], &scaled_size(&t[0], &factors)?, Some(&factors), how)
        }),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dtype::DType;

    fn row(values: &[f32], size: usize, options: Options) -> Vec<f32> {
        let x = Tensor::from_slice(values, &[1, 1, 1, values.len()]).unwrap();
        interpolate(&x, &[1, size], None, options).unwrap().to_vec().unwrap()
    }

    #[test]
    fn known_rows() {
        let linear = Options { mode: Mode::Linear, align_corners: false, antialias: false };
        assert_eq!(row(&[0.0, 4.0], 4, linear), [0.0, 1.0, 3.0, 4.0]);
        assert_eq!(row(&[0.0, 3.0], 4, Options { align_corners: true, ..linear }), [0.0, 1.0, 2.0, 3.0]);
        assert_eq!(row(&[0.0, 4.0], 1, Options { align_corners: true, ..linear }), [0.0]);
        // A filter twice as wide: weights 1 : 3 : 3 : 1 around the middle, cut at the edge.
        let filtered = row(&[0.0, 0.0, 8.0, 0.0, 0.0, 0.0], 3, Options { antialias: true, ..linear });
        assert!(filtered.iter().zip([8.0 / 7.0, 3.0, 0.0]).all(|(f, e)| (f - e).abs() < 1e-6), "{filtered:?}");
        let nearest = Options { mode: Mode::Nearest, ..linear };
        assert_eq!(row(&[0.0, 1.0, 2.0], 5, nearest), [0.0, 0.0, 1.0, 1.0, 2.0]);
        assert_eq!(
            row(&[0.0, 1.0, 2.0], 5, Options { mode: Mode::NearestExact, ..nearest }),
            [0.0, 0.0, 1.0, 2.0, 2.0]
        );
    }

    #[test]
    fn constant_images_stay_constant_and_lie_as_they_did() {
        let x = Tensor::full(&[2, 3, 6, 5], 2.5, DType::F64).unwrap();
        for (mode, antialias) in
            [(Mode::Linear, true), (Mode::Cubic, true), (Mode::Cubic, false), (Mode::Nearest, false)]
        {
            let options = Options { mode, align_corners: false, antialias };
            for x in [x.clone(), movement::channels_last(&x).unwrap()] {
                let y = interpolate(&x, &[4, 9], None, options).unwrap();
                assert_eq!(y.is_channels_last(), x.is_channels_last());
                assert!(y.to_vec::<f64>().unwrap().iter().all(|v| (v - 2.5).abs() < 1e-12), "{mode:?}");
            }
        }
    }

    #[test]
    fn an_axis_of_the_same_size_is_left_alone_whatever_the_scale() {
        let x = Tensor::from_slice(&[1.0, 2.0, 4.0, 8.0, 16.0], &[1, 1, 1, 5]).unwrap();
        for (mode, antialias) in
            [(Mode::Nearest, false), (Mode::Linear, false), (Mode::Linear, true), (Mode::Cubic, true)]
        {
            let options = Options { mode, align_corners: false, antialias };
            let y = interpolate(&x, &[1, 5], Some(&[1.0, 1.16]), options).unwrap();
            assert_eq!(y.to_vec::<f64>().unwrap(), x.to_vec::<f64>().unwrap(), "{mode:?}");
        }
    }

    #[test]
    fn impossible_requests_are_refused() {
        let x = Tensor::zeros(&[1, 1, 4, 4], DType::F32).unwrap();
        let nearest = Options { mode: Mode::Nearest, align_corners: true, antialias: false };
        assert_eq!(interpolate(&x, &[2, 2], None, nearest).unwrap_err().code(), "ERR_ARGUMENT");
        let linear = Options { mode: Mode::Linear, align_corners: false, antialias: false };
        assert_eq!(interpolate(&x, &[2], None, linear).unwrap_err().code(), "ERR_SHAPE");
        assert_eq!(interpolate(&x, &[0, 2], None, linear).unwrap_err().code(), "ERR_SHAPE");
        assert_eq!(Mode::parse("lanczos").unwrap_err().code(), "ERR_ARGUMENT");
    }
}
