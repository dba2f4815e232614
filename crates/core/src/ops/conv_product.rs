//! The three products of an image, a filter and the gradient of a convolution's result: each gives one of them from the
//! two others, and each is the gradient of the others, so that gradients of gradients come for free. Images lie channels
//! last.

use crate::cpu::conv::Conv2d;
use crate::cpu::conv_bf16;
use crate::cpu::half::Values;
use crate::dispatch_float;
use crate::dtype::{DType, Element};
use crate::error::Result;
use crate::op::{Context, Op, Pass, apply_one};
#[cfg(feature = "gpu")]
use crate::ops::conv_gpu;
use crate::ops::half::{Product, bias_gradient, products_of_half, values};
use crate::ops::movement;
use crate::profile::product_operations;
use crate::storage::Buffer;
use crate::tensor::Tensor;

/// What is the same in the three operations.
#[derive(Clone, Copy)]
pub(crate) struct Filter {
    pub stride: [usize; 2],
    pub padding: [usize; 2],
    pub dilation: [usize; 2],
    pub groups: usize,
}

impl Filter {
    /// Multiplications and additions of the product: each pixel of the result (or of its gradient) meets the filter.
    fn operations(self, result: &[usize], weight: &[usize]) -> u64 {
        product_operations(weight) * (result[0] * result[2] * result[3]) as u64
    }

    /// For images [B, C, H, W] and filters [out, C / groups, kernel height, kernel width].
    fn sizes(self, image: &[usize], weight: &[usize]) -> Conv2d {
        Conv2d {
            batch: image[0],
            in_channels: image[1],
            out_channels: weight[0],
            height: image[2],
            width: image[3],
            kernel: [weight[2], weight[3]],
            stride: self.stride,
            padding: self.padding,
            dilation: self.dilation,
            groups: self.groups,
        }
    }
}

/// Saves what the gradient of the other input is made of; of the rest only the shape.
fn save_pair(inputs: &[&Tensor], context: &mut Context) -> Result<()> {
    for (input, other) in [(inputs[0], 1), (inputs[1], 0)] {
        if context.needs(other) { context.save(input)? } else { movement::save_shape(input, context)? }
    }
    Ok(())
}

#[cfg(feature = "gpu")]
fn float_of_gpu(x: &Tensor) -> Result<()> {
    if !matches!(x.dtype(), DType::F32 | DType::F16) {
        return Err(crate::ops::elementwise::not_float("conv2d", x.dtype()));
    }
    Ok(())
}

/// All numbers of a dense tensor.
fn dense(tensor: &Tensor) -> Values<'_> {
    match values(tensor, 0) {
        Values::Wide(all) => Values::Wide(&all[..tensor.numel()]),
        Values::Narrow(all) => Values::Narrow(&all[..tensor.numel()]),
    }
}

fn image(buffer: Buffer<impl Element>, shape: [usize; 4], like: &Tensor) -> Tensor {
    Tensor::from_buffer_strided(buffer, &shape, Tensor::strides_for(&shape, true), like.dtype())
}

/// Inputs: an image (channels last), a filter (row-major), perhaps a bias. Result: the image's cross-correlation.
pub(crate) struct Convolution {
    pub filter: Filter,
    pub bias: bool,
}

impl Op for Convolution {
    fn name(&self) -> &'static str {
        "conv2d"
    }

    fn forward(&self, inputs: &[&Tensor], context: &mut Context) -> Result<Vec<Tensor>> {
        let [x, weight] = [inputs[0], inputs[1]];
        save_pair(inputs, context)?;
        if self.bias {
            movement::save_shape(inputs[2], context)?;
        }
        let sizes = self.filter.sizes(x.shape(), weight.shape());
        let [height, width] = sizes.output_size();
        let bias = self.bias.then(|| movement::contiguous(&inputs[2].detach()?)).transpose()?;
        if self.takes_half(inputs) {
            let shape = [sizes.batch, sizes.out_channels, height, width];
            let bias = bias.map(|bias| movement::to_dtype(&bias, DType::F32)).transpose()?;
            let mut y = Product::new(x.dtype(), &shape)?;
            conv_bf16::forward(&sizes, dense(x), dense(weight), bias.as_ref().map(|b| b.slice::<f32>()), y.from(0));
            return Ok(vec![y.into_strided(&shape, Tensor::strides_for(&shape, true))]);
        }
        Ok(vec![dispatch_float!(x.dtype(), "conv2d", T => {
            let mut y = Buffer::<T>::new(sizes.output_len())?;
            sizes.forward(x.slice::<T>(), weight.slice::<T>(), bias.as_ref().map(|b| b.slice::<T>()), &mut y);
            image(y, [sizes.batch, sizes.out_channels, height, width], x)
        })])
    }

    #[cfg(feature = "gpu")]
    fn forward_gpu(&self, inputs: &[&Tensor], context: &mut Context) -> Result<Vec<Tensor>> {
        float_of_gpu(inputs[0])?;
        save_pair(inputs, context)?;
        if self.bias {
            movement::save_shape(inputs[2], context)?;
        }
        Ok(vec![conv_gpu::forward(self.filter, inputs[0], inputs[1], inputs.get(2).copied())?])
    }

    fn takes_half(&self, inputs: &[&Tensor]) -> bool {
        products_of_half(inputs)
    }

    fn backward(&self, pass: &Pass) -> Result<Vec<Option<Tensor>>> {
        let [x, weight] = [&pass.saved[0], &pass.saved[1]];
        let gradient = movement::channels_last(pass.grad())?;
        let size = [x.shape()[2], x.shape()[3]];
        let dx = || apply_one(TransposedConvolution::of(self.filter, size, x), &[&gradient, weight]);
        let dw = || apply_one(FilterGradient::of(self.filter, weight), &[x, &gradient]);
        let mut gradients = vec![pass.needs(0).then(dx).transpose()?, pass.needs(1).then(dw).transpose()?];
        if self.bias {
            gradients.push(
                pass.needs(2)
                    .then(|| bias_gradient(&gradient, &[0, 2, 3], pass.saved.get(2).unwrap_or(&gradient)))
                    .transpose()?,
            );
        }
        Ok(gradients)
    }

    fn operations(&self, shapes: &[&[usize]]) -> u64 {
        let [height, width] = self.filter.sizes(shapes[0], shapes[1]).output_size();
        self.filter.operations(&[shapes[0][0], shapes[1][0], height, width], shapes[1])
    }
}

/// Inputs: the gradient of a convolution's result (channels last), its filter (row-major). Result: that of its image.
pub(crate) struct TransposedConvolution {
    pub filter: Filter,
    /// Height and width of the image.
    pub size: [usize; 2],
    /// The type of the result: that of the inputs, where none is a 16-bit float.
    pub result: DType,
}

impl TransposedConvolution {
    /// The result has the type of `image`.
    pub(crate) fn of(filter: Filter, size: [usize; 2], image: &Tensor) -> TransposedConvolution {
        TransposedConvolution { filter, size, result: image.dtype() }
    }
}

impl Op for TransposedConvolution {
    fn name(&self) -> &'static str {
        "convTranspose2d"
    }

    fn forward(&self, inputs: &[&Tensor], context: &mut Context) -> Result<Vec<Tensor>> {
        let [dy, weight] = [inputs[0], inputs[1]];
        save_pair(inputs, context)?;
        let shape = [dy.shape()[0], weight.shape()[1] * self.filter.groups, self.size[0], self.size[1]];
        let sizes = self.filter.sizes(&shape, weight.shape());
        if self.takes_half(inputs) {
            let mut dx = Product::new(self.result, &shape)?;
            conv_bf16::input_gradient(&sizes, dense(dy), dense(weight), dx.from(0));
            return Ok(vec![dx.into_strided(&shape, Tensor::strides_for(&shape, true))]);
        }
        Ok(vec![dispatch_float!(dy.dtype(), "convTranspose2d", T => {
            let mut dx = Buffer::<T>::new(sizes.input_len())?;
            sizes.input_gradient(dy.slice::<T>(), weight.slice::<T>(), &mut dx);
            image(dx, shape, dy)
        })])
    }

    #[cfg(feature = "gpu")]
    fn forward_gpu(&self, inputs: &[&Tensor], context: &mut Context) -> Result<Vec<Tensor>> {
        float_of_gpu(inputs[0])?;
        save_pair(inputs, context)?;
        Ok(vec![conv_gpu::image_gradient(self.filter, inputs[0], inputs[1], self.size, self.result)?])
    }

    fn takes_half(&self, inputs: &[&Tensor]) -> bool {
        products_of_half(inputs)
    }

    fn backward(&self, pass: &Pass) -> Result<Vec<Option<Tensor>>> {
        let [dy, weight] = [&pass.saved[0], &pass.saved[1]];
        let gradient = movement::channels_last(pass.grad())?;
        let d_dy = || apply_one(Convolution { filter: self.filter, bias: false }, &[&gradient, weight]);
        let dw = || apply_one(FilterGradient::of(self.filter, weight), &[&gradient, dy]);
        Ok(vec![pass.needs(0).then(d_dy).transpose()?, pass.needs(1).then(dw).transpose()?])
    }

    fn operations(&self, shapes: &[&[usize]]) -> u64 {
        self.filter.operations(shapes[0], shapes[1])
    }
}

/// Inputs: a convolution's image and the gradient of its result (both channels last). Result: that of its filter.
struct FilterGradient {
    filter: Filter,
    shape: [usize; 4],
    /// As in [`TransposedConvolution`].
    result: DType,
}

impl FilterGradient {
    fn of(filter: Filter, weight: &Tensor) -> FilterGradient {
        let shape = weight.shape().try_into().expect("a filter has four dimensions");
        FilterGradient { filter, shape, result: weight.dtype() }
    }
}

impl Op for FilterGradient {
    fn name(&self) -> &'static str {
        "conv2dFilterGradient"
    }

    fn forward(&self, inputs: &[&Tensor], context: &mut Context) -> Result<Vec<Tensor>> {
        let [x, dy] = [inputs[0], inputs[1]];
        save_pair(inputs, context)?;
        let sizes = self.filter.sizes(x.shape(), &self.shape);
        if self.takes_half(inputs) {
            let mut dw = Buffer::<f32>::new(sizes.weight_len())?;
            conv_bf16::weight_gradient(&sizes, dense(x), dense(dy), &mut dw);
            return Ok(vec![movement::to_dtype(&Tensor::from_buffer(dw, &self.shape), self.result)?]);
        }
        Ok(vec![dispatch_float!(x.dtype(), "conv2d", T => {
            let mut dw = Buffer::<T>::new(sizes.weight_len())?;
            sizes.weight_gradient(x.slice::<T>(), dy.slice::<T>(), &mut dw);
            Tensor::from_buffer(dw, &self.shape)
        })])
    }

    #[cfg(feature = "gpu")]
    fn forward_gpu(&self, inputs: &[&Tensor], context: &mut Context) -> Result<Vec<Tensor>> {
        float_of_gpu(inputs[0])?;
        save_pair(inputs, context)?;
        let dw = conv_gpu::filter_gradient(self.filter, inputs[0], inputs[1], self.shape)?;
        Ok(vec![movement::to_dtype(&dw, self.result)?])
    }

    fn takes_half(&self, inputs: &[&Tensor]) -> bool {
        products_of_half(inputs)
    }

    fn backward(&self, pass: &Pass) -> Result<Vec<Option<Tensor>>> {
        let [x, dy] = [&pass.saved[0], &pass.saved[1]];
        let gradient = movement::contiguous(pass.grad())?;
        let size = [x.shape()[2], x.shape()[3]];
        let dx = || apply_one(TransposedConvolution::of(self.filter, size, x), &[dy, &gradient]);
        let d_dy = || apply_one(Convolution { filter: self.filter, bias: false }, &[x, &gradient]);
        Ok(vec![pass.needs(0).then(dx).transpose()?, pass.needs(1).then(d_dy).transpose()?])
    }

    fn operations(&self, shapes: &[&[usize]]) -> u64 {
        self.filter.operations(shapes[1], &self.shape)
    }
}

#[cfg(test)]
pub fn cases() -> Vec<crate::ops::suite::Case> {
    use crate::ops::suite::*;
    vec![
        case("conv2dFilterGradient", "", [normal(&[2, 3, 6, 7]), normal(&[2, 4, 4, 5])], |t| {
            let filter = Filter { stride: [1, 1], padding: [0, 0], dilation: [1, 1], groups: 1 };
            let [x, dy] = [movement::channels_last(&t[0])?, movement::channels_last(&t[1])?];
            let fits = x.shape()[0] == dy.shape()[0] && (0..2).all(|d| x.shape()[2 + d] == dy.shape()[2 + d] + 2);
            crate::ensure!(fits, Shape, "the result of a 3×3 filter, not {:?} from {:?}", dy.shape(), x.shape());
            apply_one(
                FilterGradient { filter, shape: [dy.shape()[1], x.shape()[1], 3, 3], result: x.dtype() },
                &[&x, &dy],
            )
        })
        .equals(|a| {
            let (dy, mut out) = (&a[1], Vec::new());
            each_index(&[dy.shape[1], a[0].shape[1], 3, 3], |w| {
                let mut sum = 0.0;
                each_index(&[dy.shape[0], dy.shape[2], dy.shape[3]], |i| {
                    sum += dy.at(&[i[0], w[0], i[1], i[2]]) * a[0].at(&[i[0], w[1], i[1] + w[2], i[2] + w[3]]);
                });
                out.push(sum);
            });
            out
        }),
    ]
}
