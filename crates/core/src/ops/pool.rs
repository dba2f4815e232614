//! Pooling of images: maxima and averages over windows that move, or that divide the image (adaptive). Channels last.

use crate::cpu::pool::{Span, Windows, average_backward, average_forward, gather, max_forward, scatter};
use crate::dtype::DType;
use crate::error::Result;
use crate::op::{Context, Op, Pass, apply, apply_one};
use crate::ops::movement;
#[cfg(feature = "gpu")]
use crate::ops::pool_gpu;
use crate::storage::Buffer;
use crate::tensor::Tensor;
use crate::{dispatch_float, ensure};

/// How a window moves; pairs are (vertical, horizontal).
#[derive(Clone, Copy, Debug)]
pub struct PoolOptions {
    pub kernel: [usize; 2],
    /// None: as the kernel.
    pub stride: Option<[usize; 2]>,
    pub padding: [usize; 2],
    pub dilation: [usize; 2],
    /// Windows that begin inside may reach over the edge.
    pub ceil: bool,
}

impl PoolOptions {
    pub fn of(kernel: [usize; 2]) -> PoolOptions {
        PoolOptions { kernel, stride: None, padding: [0, 0], dilation: [1, 1], ceil: false }
    }
}

/// The largest element of each window of [B, C, H, W] (or [C, H, W]), and its place row · W + column in the image (int64).
/// Padding counts as −∞; a NaN wins; of equal elements the first.
pub fn max_pool2d(x: &Tensor, options: PoolOptions) -> Result<(Tensor, Tensor)> {
    on_batch(x, "maxPool2d", |x| {
        let windows = moving("maxPool2d", x, options, true, None)?;
        max_over(x, windows)
    })
}

/// The average of each window of [B, C, H, W] (or [C, H, W]). Zeros of the padding count, if `include_padding`; `divisor`
/// divides the sums instead of the number of elements.
pub fn avg_pool2d(x: &Tensor, options: PoolOptions, include_padding: bool, divisor: Option<f64>) -> Result<Tensor> {
    ensure!(
        divisor != Some(0.0),
        Argument,
        "avgPool2d: the divisor must not be 0; leave it out to divide by the number of elements"
    );
    let run = |x: &Tensor| {
        let mut windows = moving("avgPool2d", x, options, include_padding, divisor)?;
        windows.divisor = divisor;
        Ok((apply_one(Average { windows }, &[x])?, x.clone()))
    };
    Ok(on_batch(x, "avgPool2d", run)?.0)
}

/// The average of each of `size` parts of the image that overlap by at most one row or column.
pub fn adaptive_avg_pool2d(x: &Tensor, size: [usize; 2]) -> Result<Tensor> {
    let run =
        |x: &Tensor| Ok((apply_one(Average { windows: dividing("adaptiveAvgPool2d", x, size)? }, &[x])?, x.clone()));
    Ok(on_batch(x, "adaptiveAvgPool2d", run)?.0)
}

/// The largest element of each of `size` parts of the image, and its place.
pub fn adaptive_max_pool2d(x: &Tensor, size: [usize; 2]) -> Result<(Tensor, Tensor)> {
    on_batch(x, "adaptiveMaxPool2d", |x| max_over(x, dividing("adaptiveMaxPool2d", x, size)?))
}

fn max_over(x: &Tensor, windows: Windows) -> Result<(Tensor, Tensor)> {
    let [y, places] = apply(Max { windows }, &[x])?.try_into().ok().expect("an operation with two results");
    Ok((y, places))
}

/// Runs on a batch of images, channels last; a single image becomes one of one.
fn on_batch(x: &Tensor, op: &str, run: impl Fn(&Tensor) -> Result<(Tensor, Tensor)>) -> Result<(Tensor, Tensor)> {
    ensure!(
        x.ndim() == 3 || x.ndim() == 4,
        Shape,
        "{op}: needs [batch, channel, height, width] or [channel, height, width], not {:?}",
        x.shape()
    );
    let one = x.ndim() == 3;
    let batch = if one { movement::unsqueeze(x, 0)? } else { x.clone() };
    ensure!(
        batch.shape()[1..].iter().all(|&size| size > 0),
        Shape,
        "{op}: the images of {:?} have no pixels or no channels",
        x.shape()
    );
    let (a, b) = run(&movement::channels_last(&batch)?)?;
    if one { Ok((movement::squeeze(&a, Some(0))?, movement::squeeze(&b, Some(0))?)) } else { Ok((a, b)) }
}

fn moving(op: &str, x: &Tensor, options: PoolOptions, include_padding: bool, divisor: Option<f64>) -> Result<Windows> {
    let PoolOptions { kernel, padding, dilation, ceil, .. } = options;
    let stride = options.stride.unwrap_or(kernel);
    ensure!(
        kernel.iter().chain(&stride).chain(&dilation).all(|&v| v > 0),
        Argument,
        "{op}: kernel {kernel:?}, stride {stride:?} and dilation {dilation:?} must be at least 1"
    );
    let size = [x.shape()[2], x.shape()[3]];
    let mut spans = [Vec::new(), Vec::new()];
    for d in 0..2 {
        let reach = dilation[d] * (kernel[d] - 1) + 1;
        ensure!(
            padding[d] <= reach / 2,
            Argument,
            "{op}: padding {padding:?} must be at most half of the kernel {kernel:?} (with dilation {dilation:?})"
        );
        let free = (size[d] + 2 * padding[d]).checked_sub(reach);
        let Some(free) = free else {
            crate::bail!(
                Shape,
                "{op}: the kernel {kernel:?} with dilation {dilation:?} is larger than the input {:?} with padding {padding:?}",
                x.shape()
            )
        };
        let mut count = if ceil { free.div_ceil(stride[d]) } else { free / stride[d] } + 1;
        // A window that begins in the padding behind the image is none.
        if ceil && (count - 1) * stride[d] >= size[d] + padding[d] {
            count -= 1;
        }
        for i in 0..count {
            // Positions counted from the first pixel of the padding.
            let begin = i * stride[d];
            let end = (begin + reach).min(size[d] + 2 * padding[d]);
            let skipped = padding[d].saturating_sub(begin).div_ceil(dilation[d]);
            let start = (begin + skipped * dilation[d]) as isize - padding[d] as isize;
            let inside =
                (0..kernel[d] - skipped).filter(|k| start + ((k * dilation[d]) as isize) < size[d] as isize).count();
            let divisor = if include_padding { end - begin } else { inside };
            spans[d].push(Span { start: start.max(0) as usize, count: inside, divisor });
        }
    }
    Ok(Windows { size, spans, step: dilation, divisor })
}

fn dividing(op: &str, x: &Tensor, outputs: [usize; 2]) -> Result<Windows> {
    ensure!(outputs[0] > 0 && outputs[1] > 0, Argument, "{op}: the output size {outputs:?} must be at least 1");
    let size = [x.shape()[2], x.shape()[3]];
    let spans = [0, 1].map(|d| {
        (0..outputs[d])
            .map(|i| {
                let start = i * size[d] / outputs[d];
                let count = ((i + 1) * size[d]).div_ceil(outputs[d]) - start;
                Span { start, count, divisor: count }
            })
            .collect()
    });
    Ok(Windows { size, spans, step: [1, 1], divisor: None })
}

#[cfg(feature = "gpu")]
fn float32(op: &str, x: &Tensor) -> Result<()> {
    if x.dtype() != DType::F32 {
        return Err(crate::ops::elementwise::not_float(op, x.dtype()));
    }
    Ok(())
}

/// An image [B, C, H, W], channels last.
fn image<T: crate::dtype::Element>(buffer: Buffer<T>, shape: [usize; 4], dtype: DType) -> Tensor {
    Tensor::from_buffer_strided(buffer, &shape, Tensor::strides_for(&shape, true), dtype)
}

fn output_shape(x: &Tensor, windows: &Windows) -> [usize; 4] {
    [x.shape()[0], x.shape()[1], windows.spans[0].len(), windows.spans[1].len()]
}

fn input_shape(y: &Tensor, size: [usize; 2]) -> [usize; 4] {
    [y.shape()[0], y.shape()[1], size[0], size[1]]
}

/// Results: the maxima and their places.
struct Max {
    windows: Windows,
}

impl Op for Max {
    fn name(&self) -> &'static str {
        "maxPool2d"
    }

    fn forward(&self, inputs: &[&Tensor], context: &mut Context) -> Result<Vec<Tensor>> {
        let x = inputs[0];
        let shape = output_shape(x, &self.windows);
        dispatch_float!(x.dtype(), "maxPool2d", T => {
            let mut y = Buffer::<T>::new(shape.iter().product())?;
            let mut places = Buffer::<i64>::new(y.len())?;
            if !y.is_empty() {
                max_forward(x.slice::<T>(), shape[1], &self.windows, &mut y, &mut places);
            }
            let places = image(places, shape, DType::I64);
            context.save(&places.detach()?)?;
            Ok(vec![image(y, shape, x.dtype()), places])
        })
    }

    #[cfg(feature = "gpu")]
    fn forward_gpu(&self, inputs: &[&Tensor], context: &mut Context) -> Result<Vec<Tensor>> {
        float32("maxPool2d", inputs[0])?;
        let [y, places] = pool_gpu::max_forward(inputs[0], output_shape(inputs[0], &self.windows), &self.windows)?;
        context.save(&places.detach()?)?;
        Ok(vec![y, places])
    }

    fn backward(&self, pass: &Pass) -> Result<Vec<Option<Tensor>>> {
        let scatter = Scatter { windows: self.windows.clone() };
        Ok(vec![Some(apply_one(scatter, &[pass.grad(), &pass.saved[0]])?)])
    }
}

/// Inputs: values and their places. Result: images with each value at its place, zero elsewhere.
struct Scatter {
    windows: Windows,
}

impl Op for Scatter {
    fn name(&self) -> &'static str {
        "maxPool2d"
    }

    fn forward(&self, inputs: &[&Tensor], context: &mut Context) -> Result<Vec<Tensor>> {
        let (values, places) = (movement::channels_last(&inputs[0].detach()?)?, inputs[1]);
        context.save(places)?;
        let shape = input_shape(&values, self.windows.size);
        Ok(vec![dispatch_float!(values.dtype(), "maxPool2d", T => {
            let mut out = Buffer::<T>::new(shape.iter().product())?;
            if !out.is_empty() {
                scatter(values.slice::<T>(), places.slice::<i64>(), shape[1], shape[2] * shape[3], &mut out);
            }
            image(out, shape, values.dtype())
        })])
    }

    #[cfg(feature = "gpu")]
    fn forward_gpu(&self, inputs: &[&Tensor], context: &mut Context) -> Result<Vec<Tensor>> {
        let (values, places) = (movement::channels_last(&inputs[0].detach()?)?, inputs[1]);
        context.save(places)?;
        let shape = input_shape(&values, self.windows.size);
        Ok(vec![pool_gpu::max_backward(&values, places, shape, &self.windows)?])
    }

    fn backward(&self, pass: &Pass) -> Result<Vec<Option<Tensor>>> {
        Ok(vec![Some(apply_one(Gather { windows: self.windows.clone() }, &[pass.grad(), &pass.saved[0]])?), None])
    }
}

/// Inputs: images and places in them. Result: the values there.
struct Gather {
    windows: Windows,
}

impl Op for Gather {
    fn name(&self) -> &'static str {
        "maxPool2d"
    }

    fn forward(&self, inputs: &[&Tensor], context: &mut Context) -> Result<Vec<Tensor>> {
        let (x, places) = (movement::channels_last(&inputs[0].detach()?)?, inputs[1]);
        context.save(places)?;
        let shape: [usize; 4] = places.shape().try_into().expect("places of images");
        Ok(vec![dispatch_float!(x.dtype(), "maxPool2d", T => {
            let mut out = Buffer::<T>::new(places.numel())?;
            if !out.is_empty() {
                gather(x.slice::<T>(), places.slice::<i64>(), shape[1], x.shape()[2] * x.shape()[3], &mut out);
            }
            image(out, shape, x.dtype())
        })])
    }

    #[cfg(feature = "gpu")]
    fn forward_gpu(&self, inputs: &[&Tensor], context: &mut Context) -> Result<Vec<Tensor>> {
        let (x, places) = (movement::channels_last(&inputs[0].detach()?)?, inputs[1]);
        context.save(places)?;
        Ok(vec![pool_gpu::gather(&x, places, places.shape().try_into().expect("places of images"))?])
    }

    fn backward(&self, pass: &Pass) -> Result<Vec<Option<Tensor>>> {
        Ok(vec![Some(apply_one(Scatter { windows: self.windows.clone() }, &[pass.grad(), &pass.saved[0]])?), None])
    }
}

struct Average {
    windows: Windows,
}

impl Op for Average {
    fn name(&self) -> &'static str {
        "avgPool2d"
    }

    fn forward(&self, inputs: &[&Tensor], _: &mut Context) -> Result<Vec<Tensor>> {
        let x = movement::channels_last(&inputs[0].detach()?)?;
        let shape = output_shape(&x, &self.windows);
        Ok(vec![dispatch_float!(x.dtype(), "avgPool2d", T => {
            let mut y = Buffer::<T>::new(shape.iter().product())?;
            if !y.is_empty() {
                average_forward(x.slice::<T>(), shape[1], &self.windows, &mut y);
            }
            image(y, shape, x.dtype())
        })])
    }

    #[cfg(feature = "gpu")]
    fn forward_gpu(&self, inputs: &[&Tensor], _: &mut Context) -> Result<Vec<Tensor>> {
        float32("avgPool2d", inputs[0])?;
        let x = movement::channels_last(&inputs[0].detach()?)?;
        Ok(vec![pool_gpu::average(&x, output_shape(&x, &self.windows), &self.windows, false)?])
    }

    fn backward(&self, pass: &Pass) -> Result<Vec<Option<Tensor>>> {
        Ok(vec![Some(apply_one(Spread { windows: self.windows.clone() }, &[pass.grad()])?)])
    }
}

/// The transpose of [`Average`].
struct Spread {
    windows: Windows,
}

impl Op for Spread {
    fn name(&self) -> &'static str {
        "avgPool2d"
    }

    fn forward(&self, inputs: &[&Tensor], _: &mut Context) -> Result<Vec<Tensor>> {
        let dy = movement::channels_last(&inputs[0].detach()?)?;
        let shape = input_shape(&dy, self.windows.size);
        Ok(vec![dispatch_float!(dy.dtype(), "avgPool2d", T => {
            let mut dx = Buffer::<T>::new(shape.iter().product())?;
            if !dx.is_empty() {
                average_backward(dy.slice::<T>(), shape[1], &self.windows, &mut dx);
            }
            image(dx, shape, dy.dtype())
        })])
    }

    #[cfg(feature = "gpu")]
    fn forward_gpu(&self, inputs: &[&Tensor], _: &mut Context) -> Result<Vec<Tensor>> {
        float32("avgPool2d", inputs[0])?;
        let x = movement::channels_last(&inputs[0].detach()?)?;
        Ok(vec![pool_gpu::average(&x, input_shape(&x, self.windows.size), &self.windows, true)?])
    }

    fn backward(&self, pass: &Pass) -> Result<Vec<Option<Tensor>>> {
        Ok(vec![Some(apply_one(Average { windows: self.windows.clone() }, &[pass.grad()])?)])
    }
}

#[cfg(feature = "node")]
mod border {
    use super::*;
    use crate::ops::conv::{Pair, pair};

    fn options(
        op: &str,
        kernel: Pair,
        stride: Option<Pair>,
        padding: Option<Pair>,
        dilation: Option<Pair>,
        ceil: Option<bool>,
    ) -> Result<PoolOptions> {
        let kernel = pair(op, "kernelSize", Some(kernel), [1, 1])?;
        Ok(PoolOptions {
            kernel,
            stride: Some(pair(op, "stride", stride, kernel)?),
            padding: pair(op, "padding", padding, [0, 0])?,
            dilation: pair(op, "dilation", dilation, [1, 1])?,
            ceil: ceil.unwrap_or(false),
        })
    }

    #[napi_derive::napi]
    impl Tensor {
        /// The largest element of each window of [B, C, H, W]; sizes are numbers or [vertical, horizontal], stride defaults
        /// to the kernel's size. A NaN wins.
        #[napi(js_name = "maxPool2d")]
        pub fn js_max_pool2d(
            &self,
            kernel_size: Pair,
            stride: Option<Pair>,
            padding: Option<Pair>,
            dilation: Option<Pair>,
            ceil_mode: Option<bool>,
        ) -> Result<Tensor> {
            Ok(max_pool2d(self, options("maxPool2d", kernel_size, stride, padding, dilation, ceil_mode)?)?.0)
        }

        /// As `maxPool2d`, with the place row · W + column of each maximum in its image (int64).
        #[napi(js_name = "maxPool2dWithIndices", ts_return_type = "[values: Tensor, indices: Tensor]")]
        pub fn js_max_pool2d_with_indices(
            &self,
            kernel_size: Pair,
            stride: Option<Pair>,
            padding: Option<Pair>,
            dilation: Option<Pair>,
            ceil_mode: Option<bool>,
        ) -> Result<Vec<Tensor>> {
            let options = options("maxPool2d", kernel_size, stride, padding, dilation, ceil_mode)?;
            let (values, indices) = max_pool2d(self, options)?;
            Ok(vec![values, indices])
        }

        /// The average of each window of [B, C, H, W]; sizes are numbers or [vertical, horizontal], stride defaults to the
        /// kernel's size. Zeros of the padding count unless `countIncludePad` is false.
        #[napi(js_name = "avgPool2d")]
        pub fn js_avg_pool2d(
            &self,
            kernel_size: Pair,
            stride: Option<Pair>,
            padding: Option<Pair>,
            ceil_mode: Option<bool>,
            count_include_pad: Option<bool>,
            divisor_override: Option<f64>,
        ) -> Result<Tensor> {
            let options = options("avgPool2d", kernel_size, stride, padding, None, ceil_mode)?;
            avg_pool2d(self, options, count_include_pad.unwrap_or(true), divisor_override)
        }

        /// Averages over parts that divide the image into `outputSize`, a number or [rows, columns].
        #[napi(js_name = "adaptiveAvgPool2d")]
        pub fn js_adaptive_avg_pool2d(&self, output_size: Pair) -> Result<Tensor> {
            adaptive_avg_pool2d(self, pair("adaptiveAvgPool2d", "outputSize", Some(output_size), [1, 1])?)
        }

        /// Maxima over parts that divide the image into `outputSize`, a number or [rows, columns].
        #[napi(js_name = "adaptiveMaxPool2d")]
        pub fn js_adaptive_max_pool2d(&self, output_size: Pair) -> Result<Tensor> {
            Ok(adaptive_max_pool2d(self, pair("adaptiveMaxPool2d", "outputSize", Some(output_size), [1, 1])?)?.0)
        }
    }
}

#[cfg(test)]
pub fn cases() -> Vec<crate::ops::suite::Case> {
    use crate::ops::suite::*;
    /// Windows as lists of (position, inside?) for each output, by PyTorch's definition.
    fn windows(
        size: usize,
        kernel: usize,
        stride: usize,
        padding: usize,
        dilation: usize,
        ceil: bool,
    ) -> Vec<Vec<isize>> {
        let reach = dilation * (kernel - 1) + 1;
        let mut out = Vec::new();
        loop {
            let begin = out.len() * stride;
            let fits = begin + reach <= size + 2 * padding;
            // With ceil, a last window may reach over the edge, if the one before does not end there.
            let last = ceil && !fits && begin < size + padding && begin + reach < size + 2 * padding + stride;
            if !fits && !last {
                return out;
            }
            let ends = |p: &isize| ceil as usize == 0 || *p < (size + padding) as isize;
            out.push((0..kernel).map(|k| (begin + k * dilation) as isize - padding as isize).filter(ends).collect());
        }
    }
    fn reduce(a: &Array, rows: &[Vec<isize>], columns: &[Vec<isize>], f: &dyn Fn(&[Option<f64>]) -> f64) -> Vec<f64> {
        let [height, width] = [a.shape[2], a.shape[3]];
        let mut out = Vec::new();
        for plane in a.values.chunks(height * width) {
            for row in rows {
                for column in columns {
                    let at = |r: isize, c: isize| {
                        let inside = r >= 0 && c >= 0 && (r as usize) < height && (c as usize) < width;
                        inside.then(|| plane[r as usize * width + c as usize])
                    };
                    let window: Vec<_> = row.iter().flat_map(|&r| column.iter().map(move |&c| at(r, c))).collect();
                    out.push(f(&window));
                }
            }
        }
        out
    }
    fn largest(window: &[Option<f64>]) -> f64 {
        window.iter().flatten().copied().fold(f64::NEG_INFINITY, f64::max)
    }
    fn inside(window: &[Option<f64>]) -> f64 {
        window.iter().flatten().sum::<f64>() / window.iter().flatten().count() as f64
    }
    fn all(window: &[Option<f64>]) -> f64 {
        window.iter().flatten().sum::<f64>() / window.len() as f64
    }
    type Reduction = fn(&[Option<f64>]) -> f64;
    let reference = |o: PoolOptions, f: Reduction| {
        move |a: &[Array]| {
            let stride = o.stride.unwrap_or(o.kernel);
            let [rows, columns] =
                [0, 1].map(|d| windows(a[0].shape[2 + d], o.kernel[d], stride[d], o.padding[d], o.dilation[d], o.ceil));
            reduce(&a[0], &rows, &columns, &f)
        }
    };
    let parts = |n: [usize; 2], f: Reduction| {
        move |a: &[Array]| {
            let [rows, columns] = [0, 1].map(|d| {
                let size = a[0].shape[2 + d];
                let part = |i: usize| (i * size / n[d]) as isize..(((i + 1) * size).div_ceil(n[d])) as isize;
                (0..n[d]).map(|i| part(i).collect()).collect::<Vec<Vec<isize>>>()
            });
            reduce(&a[0], &rows, &columns, &f)
        }
    };
    let max = |variant, shape: &[usize], o: PoolOptions| {
        case("maxPool2d", variant, [distinct(shape)], move |t| Ok(max_pool2d(&t[0], o)?.0))
            .equals(reference(o, largest))
    };
    let average = |variant, shape: &[usize], o: PoolOptions, padding: bool| {
        case("avgPool2d", variant, [normal(shape)], move |t| avg_pool2d(&t[0], o, padding, None))
            .equals(reference(o, if padding { all } else { inside }))
    };
    let two = PoolOptions::of([2, 2]);
    let three = PoolOptions { stride: Some([2, 2]), padding: [1, 1], ..PoolOptions::of([3, 3]) };
    vec![
        max("2×2", &[2, 3, 6, 8], two),
        max("3×3, overlapping", &[2, 3, 9, 7], three),
        max(
            "3×2, to the edge",
            &[2, 3, 8, 10],
            PoolOptions { ceil: true, stride: Some([2, 3]), ..PoolOptions::of([3, 2]) },
        ),
        max("with dilation", &[2, 3, 9, 8], PoolOptions { dilation: [2, 1], ..three })
            // A window with gaps may step over it.
            .drops_nan(),
        case("maxPool2d", "places", [distinct(&[2, 3, 9, 7])], move |t| Ok(max_pool2d(&t[0], three)?.1)).drops_nan(),
        case("maxPool2d", "one image", [distinct(&[3, 6, 8])], move |t| Ok(max_pool2d(&t[0], two)?.0)),
        case("maxPool2d", "in parts", [distinct(&[2, 3, 7, 5])], |t| Ok(adaptive_max_pool2d(&t[0], [3, 2])?.0))
            .equals(parts([3, 2], largest)),
        average("2×2", &[2, 3, 6, 8], two, true),
        average("3×3, overlapping", &[2, 3, 9, 7], three, true),
        average("without the padding", &[2, 3, 9, 7], three, false),
        average("to the edge, without the padding", &[2, 3, 8, 10], PoolOptions { ceil: true, ..three }, false),
        case("avgPool2d", "with a divisor", [normal(&[2, 3, 9, 7])], move |t| {
            avg_pool2d(&t[0], three, true, Some(5.0))
        }),
        case("avgPool2d", "one image", [normal(&[3, 6, 8])], move |t| avg_pool2d(&t[0], two, true, None)),
        case("avgPool2d", "everything", [normal(&[2, 3, 7, 5])], |t| adaptive_avg_pool2d(&t[0], [1, 1]))
            .equals(parts([1, 1], inside)),
        case("avgPool2d", "in parts", [normal(&[2, 3, 7, 5])], |t| adaptive_avg_pool2d(&t[0], [3, 2]))
            .equals(parts([3, 2], inside)),
        case("avgPool2d", "in more parts than pixels", [normal(&[2, 3, 4, 5])], |t| adaptive_avg_pool2d(&t[0], [6, 7])),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_over_the_edge_divide_as_pytorch_does() {
        // Size 6, kernel 3, stride 2, padding 1, ceil: positions −1, 1, 3, 5; the last window holds 5 and one padding.
        let x = Tensor::from_slice(&[1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0], &[1, 1, 1, 6]).unwrap();
        let options = PoolOptions {
            kernel: [1, 3],
            stride: Some([1, 2]),
            padding: [0, 1],
            ceil: true,
            ..PoolOptions::of([1, 3])
        };
        let y = avg_pool2d(&x, options, true, None).unwrap().to_vec::<f32>().unwrap();
        assert_eq!(y, [1.0, 3.0, 5.0, 3.0]);
        let y = avg_pool2d(&x, options, false, None).unwrap().to_vec::<f32>().unwrap();
        assert_eq!(y, [1.5, 3.0, 5.0, 6.0]);
    }

    #[test]
    fn wrong_windows_are_errors() {
        let x = Tensor::zeros(&[1, 2, 3, 3], DType::F32).unwrap();
        let code = |options| max_pool2d(&x, options).unwrap_err().code();
        assert_eq!(code(PoolOptions::of([4, 4])), "ERR_SHAPE");
        assert_eq!(code(PoolOptions::of([0, 1])), "ERR_ARGUMENT");
        assert_eq!(code(PoolOptions { padding: [2, 0], ..PoolOptions::of([2, 2]) }), "ERR_ARGUMENT");
        assert_eq!(adaptive_avg_pool2d(&x, [0, 1]).unwrap_err().code(), "ERR_ARGUMENT");
        let error = avg_pool2d(&Tensor::zeros(&[3, 3], DType::F32).unwrap(), PoolOptions::of([1, 1]), true, None);
        assert!(error.unwrap_err().message().contains("[3, 3]"));
    }

    #[test]
    fn of_equal_elements_the_first_and_before_all_a_nan() {
        let x = Tensor::from_slice(&[2.0f32, 2.0, 1.0, f32::NAN, f32::NEG_INFINITY, 0.0], &[1, 1, 1, 6]).unwrap();
        let (y, places) = max_pool2d(&x, PoolOptions::of([1, 2])).unwrap();
        let y = y.to_vec::<f32>().unwrap();
        assert!(y[0] == 2.0 && y[1].is_nan() && y[2] == 0.0);
        assert_eq!(places.to_vec::<i64>().unwrap(), [0, 3, 5]);
    }
}
