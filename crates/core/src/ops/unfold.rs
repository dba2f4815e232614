//! Sliding windows as columns, and columns added back to images: each is the gradient of the other.

use crate::cpu::threads::{SharedPointer, parallel_ranges};
use crate::error::Result;
use crate::op::{Context, Op, Pass, apply_one};
use crate::ops::movement;
#[cfg(feature = "gpu")]
use crate::ops::pad::{Padding, pad};
#[cfg(feature = "gpu")]
use crate::shape::{Dims, Layout};
use crate::storage::Buffer;
use crate::tensor::Tensor;
use crate::{dispatch_float, ensure};

/// Which places of an image the windows cover, in pixels: (vertical, horizontal).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Windows {
    pub kernel: [usize; 2],
    pub stride: [usize; 2],
    pub padding: [usize; 2],
    pub dilation: [usize; 2],
}

impl Windows {
    /// How many windows fit along each side.
    fn count(&self, op: &str, size: [usize; 2]) -> Result<[usize; 2]> {
        let mut count = [0; 2];
        for s in 0..2 {
            let all_positive = self.kernel[s] > 0 && self.stride[s] > 0 && self.dilation[s] > 0;
            ensure!(all_positive, Argument, "{op}: kernel, stride and dilation are at least 1, not {self:?}");
            let span = self.dilation[s] * (self.kernel[s] - 1) + 1;
            let room = size[s] + 2 * self.padding[s];
            ensure!(
                span <= room,
                Shape,
                "{op}: windows of {span} pixels do not fit into {room} ({size:?} and padding)"
            );
            count[s] = (room - span) / self.stride[s] + 1;
        }
        Ok(count)
    }

    /// The pixel that tap `tap` of window `window` sees along side `s`, if it lies inside.
    fn pixel(&self, s: usize, window: usize, tap: usize, size: usize) -> Option<usize> {
        (window * self.stride[s] + tap * self.dilation[s]).checked_sub(self.padding[s]).filter(|&p| p < size)
    }
}

/// Windows of images [B, C, H, W] as columns [B, C·kernel, windows], channel first, then row and column of the window.
pub fn unfold(x: &Tensor, windows: Windows) -> Result<Tensor> {
    apply_one(Unfold { windows }, &[x])
}

/// Columns [B, C·kernel, windows] added up to images [B, C, H, W] of that size: the transpose of [`unfold`].
pub fn fold(x: &Tensor, size: [usize; 2], windows: Windows) -> Result<Tensor> {
    apply_one(Fold { windows, size }, &[x])
}

struct Unfold {
    windows: Windows,
}

impl Op for Unfold {
    fn name(&self) -> &'static str {
        "unfold"
    }

    fn forward(&self, inputs: &[&Tensor], context: &mut Context) -> Result<Vec<Tensor>> {
        let x = inputs[0];
        ensure!(x.ndim() == 4, Shape, "unfold: needs [batch, channel, height, width], not {:?}", x.shape());
        movement::save_shape(x, context)?;
        let x = movement::contiguous(&x.detach()?)?;
        let [batch, channels, height, width] = [x.shape()[0], x.shape()[1], x.shape()[2], x.shape()[3]];
        let w = self.windows;
        let [rows, columns] = w.count("unfold", [height, width])?;
        let taps = w.kernel[0] * w.kernel[1];
        let shape = [batch, channels * taps, rows * columns];
        Ok(vec![dispatch_float!(x.dtype(), "unfold", T => {
            let pixels = x.slice::<T>();
            let mut out = Buffer::<T>::zeroed(shape.iter().product())?;
            let shared = SharedPointer::new(&mut out);
            // One line of windows for each image, channel and tap.
            parallel_ranges(batch * channels * taps, 16384usize.div_ceil(shape[2].max(1)), |range| {
                for line in range {
                    // SAFETY: each line is written by one task.
                    let out = unsafe { shared.slice(line * shape[2]..(line + 1) * shape[2]) };
                    let (plane, tap) = (line / taps * height * width, [line % taps / w.kernel[1], line % w.kernel[1]]);
                    for r in 0..rows {
                        let Some(y) = w.pixel(0, r, tap[0], height) else { continue };
                        for c in 0..columns {
                            if let Some(x) = w.pixel(1, c, tap[1], width) {
                                out[r * columns + c] = pixels[plane + y * width + x];
                            }
                        }
                    }
                }
            });
            Tensor::from_buffer(out, &shape)
        })])
    }

    /// Overlapping windows are a view of the padded image: one copy.
    #[cfg(feature = "gpu")]
    fn forward_gpu(&self, inputs: &[&Tensor], context: &mut Context) -> Result<Vec<Tensor>> {
        let x = inputs[0];
        ensure!(x.ndim() == 4, Shape, "unfold: needs [batch, channel, height, width], not {:?}", x.shape());
        movement::save_shape(x, context)?;
        let w = self.windows;
        let [batch, channels] = [x.shape()[0], x.shape()[1]];
        let [rows, columns] = w.count("unfold", [x.shape()[2], x.shape()[3]])?;
        let mut x = x.detach()?;
        if w.padding != [0, 0] {
            let [y_pad, x_pad] = w.padding.map(|p| p as i64);
            x = pad(&x, &[x_pad, x_pad, y_pad, y_pad], Padding::Constant(0.0))?;
        }
        let [b, c, down, right] = [x.strides()[0], x.strides()[1], x.strides()[2], x.strides()[3]];
        let strides = [b, c, w.dilation[0] * down, w.dilation[1] * right, w.stride[0] * down, w.stride[1] * right];
        let shape = [batch, channels, w.kernel[0], w.kernel[1], rows, columns];
        let layout =
            Layout { shape: Dims::from_slice(&shape), strides: Dims::from_slice(&strides), offset: x.layout().offset };
        let windows = movement::contiguous(&x.alias(layout)?)?;
        let whole = [batch, channels * w.kernel[0] * w.kernel[1], rows * columns];
        Ok(vec![windows.alias(Layout { offset: windows.layout().offset, ..Layout::contiguous(&whole) })?])
    }

    fn backward(&self, pass: &Pass) -> Result<Vec<Option<Tensor>>> {
        let shape = pass.saved[0].shape();
        Ok(vec![Some(fold(pass.grad(), [shape[2], shape[3]], self.windows)?)])
    }
}

struct Fold {
    windows: Windows,
    size: [usize; 2],
}

impl Fold {
    /// The shape of the images, and how many windows there are along each side.
    fn shape(&self, x: &Tensor) -> Result<([usize; 4], [usize; 2])> {
        let w = self.windows;
        let [rows, columns] = w.count("fold", self.size)?;
        let taps = w.kernel[0] * w.kernel[1];
        ensure!(
            x.ndim() == 3 && x.shape()[1] % taps == 0 && x.shape()[2] == rows * columns,
            Shape,
            "fold: columns [batch, channels · {taps}, {}] make images of {:?}, not {:?}",
            rows * columns,
            self.size,
            x.shape()
        );
        Ok(([x.shape()[0], x.shape()[1] / taps, self.size[0], self.size[1]], [rows, columns]))
    }
}

impl Op for Fold {
    fn name(&self) -> &'static str {
        "fold"
    }

    fn forward(&self, inputs: &[&Tensor], _: &mut Context) -> Result<Vec<Tensor>> {
        let w = self.windows;
        let (shape, [rows, columns]) = self.shape(inputs[0])?;
        let [batch, channels, height, width] = shape;
        let taps = w.kernel[0] * w.kernel[1];
        let x = movement::contiguous(&inputs[0].detach()?)?;
        Ok(vec![dispatch_float!(x.dtype(), "fold", T => {
            let values = x.slice::<T>();
            let mut out = Buffer::<T>::zeroed(shape.iter().product())?;
            let shared = SharedPointer::new(&mut out);
            parallel_ranges(batch * channels, 16384usize.div_ceil((taps * rows * columns).max(1)), |range| {
                for plane in range {
                    // SAFETY: each plane is written by one task.
                    let out = unsafe { shared.slice(plane * height * width..(plane + 1) * height * width) };
                    for tap in 0..taps {
                        let line = &values[(plane * taps + tap) * rows * columns..];
                        for r in 0..rows {
                            let Some(y) = w.pixel(0, r, tap / w.kernel[1], height) else { continue };
                            for c in 0..columns {
                                if let Some(x) = w.pixel(1, c, tap % w.kernel[1], width) {
                                    out[y * width + x] += line[r * columns + c];
                                }
                            }
                        }
                    }
                }
            });
            Tensor::from_buffer(out, &shape)
        })])
    }

    #[cfg(feature = "gpu")]
    fn forward_gpu(&self, inputs: &[&Tensor], _: &mut Context) -> Result<Vec<Tensor>> {
        let (shape, count) = self.shape(inputs[0])?;
        Ok(vec![crate::ops::unfold_gpu::fold(inputs[0], shape, count, &self.windows)?])
    }

    fn backward(&self, pass: &Pass) -> Result<Vec<Option<Tensor>>> {
        Ok(vec![Some(unfold(pass.grad(), self.windows)?)])
    }
}

#[cfg(feature = "node")]
mod node {
    use super::*;
    use napi::bindgen_prelude::Either;
    use napi_derive::napi;

    type Pair = Either<u32, (u32, u32)>;

    fn pair(value: Option<Pair>, default: u32) -> [usize; 2] {
        match value.unwrap_or(Either::A(default)) {
            Either::A(both) => [both as usize; 2],
            Either::B((vertical, horizontal)) => [vertical as usize, horizontal as usize],
        }
    }

    /// Which places the windows cover.
    #[napi(object)]
    pub struct UnfoldOptions {
        /// Default 1.
        pub stride: Option<Either<u32, (u32, u32)>>,
        /// Default 0.
        pub padding: Option<Either<u32, (u32, u32)>>,
        /// Default 1.
        pub dilation: Option<Either<u32, (u32, u32)>>,
    }

    fn windows(kernel: Pair, options: Option<UnfoldOptions>) -> Windows {
        let (stride, padding, dilation) = options.map_or((None, None, None), |o| (o.stride, o.padding, o.dilation));
        Windows {
            kernel: pair(Some(kernel), 1),
            stride: pair(stride, 1),
            padding: pair(padding, 0),
            dilation: pair(dilation, 1),
        }
    }

    #[napi]
    impl Tensor {
        /// Windows of images [B, C, H, W] as columns [B, C·kernel, windows].
        #[napi(js_name = "unfold")]
        pub fn js_unfold(
            &self,
            kernel_size: Either<u32, (u32, u32)>,
            options: Option<UnfoldOptions>,
        ) -> Result<Tensor> {
            unfold(self, windows(kernel_size, options))
        }

        /// Columns [B, C·kernel, windows] added up to images [B, C, H, W] of that size.
        #[napi(js_name = "fold")]
        pub fn js_fold(
            &self,
            output_size: Either<u32, (u32, u32)>,
            kernel_size: Either<u32, (u32, u32)>,
            options: Option<UnfoldOptions>,
        ) -> Result<Tensor> {
            fold(self, pair(Some(output_size), 0), windows(kernel_size, options))
        }
    }
}

#[cfg(test)]
pub fn cases() -> Vec<crate::ops::suite::Case> {
    use crate::ops::suite::*;
    let wide = Windows { kernel: [3, 2], stride: [2, 1], padding: [1, 0], dilation: [1, 2] };
    let patches = Windows { kernel: [2, 2], stride: [2, 2], padding: [0, 0], dilation: [1, 1] };
    vec![
        case("unfold", "overlapping", [normal(&[2, 3, 6, 7])], move |t| unfold(&t[0], wide)),
        case("unfold", "patches", [normal(&[2, 3, 4, 4])], move |t| unfold(&t[0], patches)).equals(move |a| {
            let [b, c, h, w] = a[0].shape[..] else { unreachable!() };
            let (rows, columns) = (h / 2, w / 2);
            let mut out = Vec::new();
            each_index(&[b, c, 2, 2, rows, columns], |i| {
                out.push(a[0].at(&[i[0], i[1], 2 * i[4] + i[2], 2 * i[5] + i[3]]));
            });
            out
        }),
        case("fold", "overlapping", [normal(&[2, 18, 15])], move |t| fold(&t[0], [6, 7], wide)).drops_nan(),
        case("fold", "patches", [normal(&[2, 12, 4])], move |t| fold(&t[0], [4, 4], patches)).equals(|a| {
            let mut out = Vec::new();
            each_index(&[a[0].shape[0], a[0].shape[1] / 4, 4, 4], |i| {
                let (inside, window) = (i[2] % 2 * 2 + i[3] % 2, i[2] / 2 * 2 + i[3] / 2);
                out.push(a[0].at(&[i[0], i[1] * 4 + inside, window]));
            });
            out
        }),
    ]
}
