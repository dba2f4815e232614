//! Convolution and its transpose, as PyTorch has them: arguments, checks, shapes. The products themselves are in
//! `conv_product`.

use crate::autocast;
use crate::error::Result;
use crate::op::apply_one;
use crate::ops::conv_product::{Convolution, Filter, TransposedConvolution};
use crate::ops::elementwise::add;
use crate::ops::movement;
use crate::tensor::Tensor;
use crate::{bail, ensure};

/// How a filter moves; pairs are (vertical, horizontal).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvOptions {
    pub stride: [usize; 2],
    pub padding: Padding,
    pub dilation: [usize; 2],
    pub groups: usize,
}

/// Zeros around the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Padding {
    /// That many on both sides.
    Both([usize; 2]),
    /// As many as keep the size, with stride 1; the odd one goes below and to the right.
    Same,
}

impl Default for ConvOptions {
    fn default() -> Self {
        ConvOptions { stride: [1, 1], padding: Padding::Both([0, 0]), dilation: [1, 1], groups: 1 }
    }
}

/// Cross-correlation of images [B, C, H, W] (or one [C, H, W]) with filters [out, C / groups, kernel height, kernel width],
/// plus a bias [out]: [B, out, H', W'] with H' = ⌊(H + 2·padding − dilation·(kernel − 1) − 1)/stride⌋ + 1, channels last.
pub fn conv2d(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, options: ConvOptions) -> Result<Tensor> {
    if x.ndim() == 3 {
        return movement::squeeze(&conv2d(&movement::unsqueeze(x, 0)?, weight, bias, options)?, Some(0));
    }
    check("conv2d", x, weight, bias, &options, 2, 0)?;
    let (kernel, dilation) = ([weight.shape()[2], weight.shape()[3]], options.dilation);
    let (padding, surplus) = match options.padding {
        Padding::Both(padding) => (padding, [0, 0]),
        Padding::Same => {
            ensure!(
                options.stride == [1, 1],
                Argument,
                "conv2d: padding 'same' goes with stride 1 only, not {:?}",
                options.stride
            );
            let total = [0, 1].map(|d| dilation[d] * (kernel[d] - 1));
            (total.map(|t| t.div_ceil(2)), total.map(|t| t % 2))
        }
    };
    let filter = Filter { stride: options.stride, padding, dilation, groups: options.groups };
    let [height, width] = [x.shape()[2], x.shape()[3]];
    for d in 0..2 {
        let (size, reach) = ([height, width][d] + 2 * padding[d], dilation[d] * (kernel[d] - 1) + 1);
        ensure!(
            size >= reach,
            Shape,
            "conv2d: the filter {:?} with dilation {dilation:?} is larger than the input {:?} with padding {padding:?}",
            weight.shape(),
            x.shape()
        );
    }
    let (x, weight) = (movement::channels_last(&autocast::operand(x)?)?, movement::contiguous(weight)?);
    let inputs: Vec<&Tensor> = [&x, &weight].into_iter().chain(bias).collect();
    let mut y = apply_one(Convolution { filter, bias: bias.is_some() }, &inputs)?;
    // An even filter pads one more before than after; the first row or column is then one too many.
    for d in 0..2 {
        if surplus[d] > 0 {
            y = movement::slice(&y, 2 + d as i64, 1, [height, width][d], 1)?;
        }
    }
    Ok(y)
}

/// [`conv2d`] of [B, C, L] (or [C, L]) with filters [out, C / groups, kernel].
pub fn conv1d(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    [stride, padding, dilation, groups]: [usize; 4],
) -> Result<Tensor> {
    if x.ndim() == 2 {
        let options = [stride, padding, dilation, groups];
        return movement::squeeze(&conv1d(&movement::unsqueeze(x, 0)?, weight, bias, options)?, Some(0));
    }
    let options =
        ConvOptions { stride: [1, stride], padding: Padding::Both([0, padding]), dilation: [1, dilation], groups };
    check("conv1d", x, weight, bias, &options, 1, 0)?;
    let (x, weight) = (movement::unsqueeze(x, 2)?, movement::unsqueeze(weight, 2)?);
    movement::squeeze(&conv2d(&x, &weight, bias, options)?, Some(2))
}

/// The transpose of [`conv2d`] (its gradient of the input): images [B, C, H, W] with filters
/// [C, out / groups, kernel height, kernel width] give [B, out, H', W'] with
/// H' = (H − 1)·stride − 2·padding + dilation·(kernel − 1) + output padding + 1.
pub fn conv_transpose2d(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    options: ConvOptions,
    output_padding: [usize; 2],
) -> Result<Tensor> {
    if x.ndim() == 3 {
        let batch = movement::unsqueeze(x, 0)?;
        return movement::squeeze(&conv_transpose2d(&batch, weight, bias, options, output_padding)?, Some(0));
    }
    check("convTranspose2d", x, weight, bias, &options, 2, 1)?;
    let Padding::Both(padding) = options.padding else {
        bail!(Argument, "convTranspose2d: padding 'same' is not defined for it")
    };
    let ConvOptions { stride, dilation, groups, .. } = options;
    let mut x = movement::channels_last(&autocast::operand(x)?)?;
    let mut size = [0; 2];
    for d in 0..2 {
        ensure!(
            output_padding[d] < stride[d].max(dilation[d]),
            Argument,
            "convTranspose2d: output padding {output_padding:?} must be smaller than stride {stride:?} or dilation {dilation:?}"
        );
        ensure!(x.shape()[2 + d] > 0, Shape, "convTranspose2d: the input {:?} has no pixels", x.shape());
        let full =
            (x.shape()[2 + d] - 1) * stride[d] + dilation[d] * (weight.shape()[2 + d] - 1) + output_padding[d] + 1;
        ensure!(
            full > 2 * padding[d],
            Shape,
            "convTranspose2d: padding {padding:?} leaves nothing of input {:?} with filter {:?}",
            x.shape(),
            weight.shape()
        );
        size[d] = full - 2 * padding[d];
        // The convolution of that size has more output pixels than the input here: they are zeros.
        let more = output_padding[d] / stride[d];
        if more > 0 {
            let mut shape = x.shape().to_vec();
            shape[2 + d] = more;
            let zeros = Tensor::full_on(&x.device()?, &shape, 0.0, x.dtype())?;
            x = movement::channels_last(&movement::cat(&[&x, &zeros], 2 + d as i64)?)?;
        }
    }
    let filter = Filter { stride, padding, dilation, groups };
    let y = apply_one(TransposedConvolution::of(filter, size, &x), &[&x, &movement::contiguous(weight)?])?;
    match bias {
        Some(bias) => {
            let sum = add(&y, &movement::reshape_to(bias, &[1, bias.numel(), 1, 1])?)?;
            movement::to_dtype(&sum, y.dtype())
        }
        None => Ok(y),
    }
}

/// `dims` spatial dimensions; the weight has its input channels (all groups') in dimension `1 - output`.
fn check(
    op: &str,
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    options: &ConvOptions,
    dims: usize,
    output: usize,
) -> Result<()> {
    let layout = ["", "[batch, channel, length]", "[batch, channel, height, width]"][dims];
    ensure!(
        x.ndim() == dims + 2 && weight.ndim() == dims + 2,
        Shape,
        "{op}: needs an input {layout} and as many dimensions of the weight, not {:?} and {:?}",
        x.shape(),
        weight.shape()
    );
    let ConvOptions { stride, dilation, groups, .. } = *options;
    let positive = stride.iter().chain(&dilation).chain([&groups]).all(|&v| v > 0);
    ensure!(
        positive && weight.shape()[2..].iter().all(|&k| k > 0),
        Argument,
        "{op}: stride {stride:?}, dilation {dilation:?}, groups {groups} and kernel {:?} must be at least 1",
        &weight.shape()[2..]
    );
    let (channels, grouped) = (x.shape()[1], weight.shape()[1]);
    let fits = weight.shape()[0].is_multiple_of(groups)
        && if output == 0 { channels == grouped * groups } else { channels == weight.shape()[0] };
    let expected = if output == 0 { "[out, in / groups, …]" } else { "[in, out / groups, …]" };
    ensure!(
        fits,
        Shape,
        "{op}: input {:?} ({channels} channels) does not fit weight {:?} in {groups} groups, which is {expected}",
        x.shape(),
        weight.shape()
    );
    let outputs = if output == 0 { weight.shape()[0] } else { grouped * groups };
    for (name, tensor) in [("weight", Some(weight)), ("bias", bias)] {
        let Some(tensor) = tensor else { continue };
        ensure!(
            autocast::mixes(tensor.dtype(), x.dtype()),
            Dtype,
            "{op}: {name} is {}, the input {}; convert one with .to(…)",
            tensor.dtype().name(),
            x.dtype().name()
        );
    }
    if let Some(bias) = bias {
        ensure!(
            bias.shape() == [outputs],
            Shape,
            "{op}: bias {:?} does not fit weight {:?}: it needs one value for each of the {outputs} output channels",
            bias.shape(),
            weight.shape()
        );
    }
    Ok(())
}

/// A number for both directions, or [vertical, horizontal], as JavaScript gives it.
#[cfg(feature = "node")]
pub(crate) type Pair = napi::bindgen_prelude::Either<i64, Vec<i64>>;

/// The two numbers of a pair, `default` if it is not given.
#[cfg(feature = "node")]
pub(crate) fn pair(op: &str, name: &str, value: Option<Pair>, default: [usize; 2]) -> Result<[usize; 2]> {
    use napi::bindgen_prelude::Either;
    let given = match value {
        None => return Ok(default),
        Some(Either::A(one)) => vec![one, one],
        Some(Either::B(many)) => many,
    };
    match given[..] {
        [vertical, horizontal] if vertical >= 0 && horizontal >= 0 => Ok([vertical as usize, horizontal as usize]),
        _ => bail!(Argument, "{op}: {name} must be a number ≥ 0 or two of them, not {given:?}"),
    }
}

#[cfg(feature = "node")]
fn count(op: &str, name: &str, value: Option<i64>, default: usize) -> Result<usize> {
    let value = value.unwrap_or(default as i64);
    ensure!(value >= 0, Argument, "{op}: {name} must be a number ≥ 0, not {value}");
    Ok(value as usize)
}

#[cfg(feature = "node")]
#[napi_derive::napi]
impl Tensor {
    /// Cross-correlation of images [B, C, H, W] with filters [out, C / groups, kernel height, kernel width], plus a bias
    /// [out]. stride (1), padding (0, or 'same' or 'valid') and dilation (1): a number or [vertical, horizontal].
    #[napi(
        js_name = "conv2d",
        ts_args_type = "weight: Tensor, bias?: Tensor | undefined | null, stride?: number | Array<number>, padding?: number | Array<number> | 'same' | 'valid', dilation?: number | Array<number>, groups?: number"
    )]
    pub fn js_conv2d(
        &self,
        weight: &Tensor,
        bias: Option<&Tensor>,
        stride: Option<Pair>,
        padding: Option<napi::bindgen_prelude::Either<Pair, String>>,
        dilation: Option<Pair>,
        groups: Option<i64>,
    ) -> Result<Tensor> {
        use napi::bindgen_prelude::Either;
        let padding = match padding {
            Some(Either::B(name)) if name == "same" => Padding::Same,
            Some(Either::B(name)) if name == "valid" => Padding::Both([0, 0]),
            Some(Either::B(name)) => {
                bail!(Argument, "conv2d: padding \"{name}\" is not known; there are 'same', 'valid' and numbers")
            }
            Some(Either::A(numbers)) => Padding::Both(pair("conv2d", "padding", Some(numbers), [0, 0])?),
            None => Padding::Both([0, 0]),
        };
        let options = ConvOptions {
            stride: pair("conv2d", "stride", stride, [1, 1])?,
            padding,
            dilation: pair("conv2d", "dilation", dilation, [1, 1])?,
            groups: count("conv2d", "groups", groups, 1)?,
        };
        conv2d(self, weight, bias, options)
    }

    /// Cross-correlation of [B, C, L] with filters [out, C / groups, kernel], plus a bias [out].
    #[napi(js_name = "conv1d")]
    pub fn js_conv1d(
        &self,
        weight: &Tensor,
        bias: Option<&Tensor>,
        stride: Option<i64>,
        padding: Option<i64>,
        dilation: Option<i64>,
        groups: Option<i64>,
    ) -> Result<Tensor> {
        let options = [
            count("conv1d", "stride", stride, 1)?,
            count("conv1d", "padding", padding, 0)?,
            count("conv1d", "dilation", dilation, 1)?,
            count("conv1d", "groups", groups, 1)?,
        ];
        conv1d(self, weight, bias, options)
    }

    /// The transpose of `conv2d`: [B, C, H, W] with filters [C, out / groups, kernel height, kernel width] gives
    /// [B, out, (H − 1)·stride − 2·padding + dilation·(kernel − 1) + outputPadding + 1, …].
    #[napi(js_name = "convTranspose2d")]
    pub fn js_conv_transpose2d(
        &self,
        weight: &Tensor,
        bias: Option<&Tensor>,
        stride: Option<Pair>,
        padding: Option<Pair>,
        output_padding: Option<Pair>,
        groups: Option<i64>,
        dilation: Option<Pair>,
    ) -> Result<Tensor> {
        let op = "convTranspose2d";
        let options = ConvOptions {
            stride: pair(op, "stride", stride, [1, 1])?,
            padding: Padding::Both(pair(op, "padding", padding, [0, 0])?),
            dilation: pair(op, "dilation", dilation, [1, 1])?,
            groups: count(op, "groups", groups, 1)?,
        };
        conv_transpose2d(self, weight, bias, options, pair(op, "outputPadding", output_padding, [0, 0])?)
    }
}

#[cfg(test)]
pub fn cases() -> Vec<crate::ops::suite::Case> {
    use crate::ops::suite::*;
    let base = ConvOptions::default();
    let padded = move |padding: [usize; 2]| ConvOptions { padding: Padding::Both(padding), ..base };
    /// Plain loops over input and filter; `transposed` exchanges the roles of image and result.
    fn reference(a: &[Array], options: ConvOptions, transposed: bool, output_padding: [usize; 2]) -> Vec<f64> {
        let ConvOptions { stride, dilation, groups, padding } = options;
        let Padding::Both(padding) = padding else { unreachable!("not referenced") };
        let [x, w] = [&a[0], &a[1]];
        let (batch, channels) = (x.shape[0], x.shape[1]);
        let outputs = if transposed { w.shape[1] * groups } else { w.shape[0] };
        let size = [0, 1].map(|d| {
            let (n, reach) = (x.shape[2 + d], dilation[d] * (w.shape[2 + d] - 1));
            if transposed {
                (n - 1) * stride[d] + reach + output_padding[d] + 1 - 2 * padding[d]
            } else {
                (n + 2 * padding[d] - reach - 1) / stride[d] + 1
            }
        });
        let mut y = vec![0.0; batch * outputs * size[0] * size[1]];
        let place = |b: usize, c: usize, h: usize, w: usize| ((b * outputs + c) * size[0] + h) * size[1] + w;
        each_index(&[batch, outputs, channels / groups, w.shape[2], w.shape[3]], |index| {
            let [b, o, i, r, s] = [index[0], index[1], index[2], index[3], index[4]];
            let group = o / (outputs / groups);
            let c = group * (channels / groups) + i;
            let weight = if transposed { w.at(&[c, o % (outputs / groups), r, s]) } else { w.at(&[o, i, r, s]) };
            each_index(&if transposed { [x.shape[2], x.shape[3]] } else { size }, |p| {
                let far = [(0, r), (1, s)].map(|(d, k)| (p[d] * stride[d] + k * dilation[d]).wrapping_sub(padding[d]));
                let inside = if transposed { size } else { [x.shape[2], x.shape[3]] };
                if far[0] < inside[0] && far[1] < inside[1] {
                    let (from, to) = if transposed { ([p[0], p[1]], far) } else { (far, [p[0], p[1]]) };
                    y[place(b, o, to[0], to[1])] += weight * x.at(&[b, c, from[0], from[1]]);
                }
            });
        });
        if let Some(bias) = a.get(2) {
            let pixels = size[0] * size[1];
            y.iter_mut().enumerate().for_each(|(k, y)| *y += bias.values[k / pixels % outputs]);
        }
        y
    }
    let forward = |variant, shapes: [&[usize]; 2], bias: bool, options: ConvOptions| {
        let mut inputs = vec![normal(shapes[0]), normal(shapes[1])];
        inputs.extend(bias.then(|| normal(&shapes[1][..1])));
        case("conv2d", variant, inputs, move |t| conv2d(&t[0], &t[1], t.get(2), options))
            .equals(move |a| reference(a, options, false, [0, 0]))
    };
    let transposed = |variant, shapes: [&[usize]; 2], bias: bool, options: ConvOptions, extra: [usize; 2]| {
        let mut inputs = vec![normal(shapes[0]), normal(shapes[1])];
        inputs.extend(bias.then(|| normal(&[shapes[1][1] * options.groups])));
        case("convTranspose2d", variant, inputs, move |t| conv_transpose2d(&t[0], &t[1], t.get(2), options, extra))
            .equals(move |a| reference(a, options, true, extra))
    };
    vec![
        forward("3×3", [&[2, 3, 6, 7], &[4, 3, 3, 3]], true, padded([1, 1])),
        forward("1×1", [&[2, 3, 6, 7], &[4, 3, 1, 1]], true, base),
        forward("1×1 with stride", [&[2, 3, 6, 7], &[4, 3, 1, 1]], false, ConvOptions { stride: [2, 2], ..base }),
        forward(
            "5×2 with stride",
            [&[2, 3, 9, 7], &[4, 3, 5, 2]],
            false,
            ConvOptions { stride: [2, 3], ..padded([2, 1]) },
        ),
        forward(
            "with dilation",
            [&[1, 2, 9, 8], &[4, 2, 3, 3]],
            true,
            ConvOptions { dilation: [2, 3], ..padded([2, 3]) },
        ),
        forward("in groups", [&[2, 6, 5, 4], &[9, 2, 3, 3]], true, ConvOptions { groups: 3, ..padded([1, 1]) }),
        forward("of each channel", [&[2, 6, 5, 4], &[6, 1, 3, 3]], true, ConvOptions { groups: 6, ..padded([1, 1]) }),
        forward("of patches", [&[2, 3, 8, 12], &[5, 3, 4, 4]], true, ConvOptions { stride: [4, 4], ..base }),
        case("conv2d", "that keeps the size", [normal(&[2, 3, 6, 7]), normal(&[4, 3, 4, 3])], move |t| {
            conv2d(&t[0], &t[1], None, ConvOptions { padding: Padding::Same, ..base })
        })
        .equals(|a| {
            // Padded on both sides by the larger half, without the surplus first rows and columns.
            let total = [a[1].shape[2] - 1, a[1].shape[3] - 1];
            let both = Padding::Both(total.map(|t| t.div_ceil(2)));
            let all = reference(a, ConvOptions { padding: both, ..ConvOptions::default() }, false, [0, 0]);
            let [height, width] = [a[0].shape[2], a[0].shape[3]];
            let (rows, columns) = (height + total[0] % 2, width + total[1] % 2);
            let kept = |k: &usize| k / columns % rows >= total[0] % 2 && k % columns >= total[1] % 2;
            (0..all.len()).filter(kept).map(|k| all[k]).collect()
        }),
        case("conv2d", "one image", [normal(&[3, 6, 7]), normal(&[4, 3, 3, 3])], move |t| {
            conv2d(&t[0], &t[1], None, base)
        }),
        case("conv2d", "of sequences", [normal(&[2, 4, 9]), normal(&[6, 2, 3]), normal(&[6])], |t| {
            conv1d(&t[0], &t[1], t.get(2), [2, 2, 2, 2])
        }),
        case("conv2d", "channels last", [normal(&[2, 3, 6, 7]), normal(&[4, 3, 3, 3])], move |t| {
            conv2d(&movement::channels_last(&t[0])?, &t[1], None, padded([1, 1]))
        })
        .equals(move |a| reference(a, padded([1, 1]), false, [0, 0])),
        transposed("", [&[2, 3, 5, 6], &[3, 4, 3, 3]], true, padded([1, 1]), [0, 0]),
        transposed(
            "with stride",
            [&[2, 3, 4, 3], &[3, 4, 3, 4]],
            false,
            ConvOptions { stride: [2, 3], ..padded([1, 0]) },
            [1, 2],
        ),
        transposed(
            "in groups",
            [&[1, 6, 4, 5], &[6, 2, 2, 2]],
            true,
            ConvOptions { stride: [2, 2], groups: 3, ..base },
            [0, 0],
        ),
        transposed(
            "with dilation",
            [&[1, 3, 4, 5], &[3, 2, 3, 3]],
            true,
            ConvOptions { dilation: [2, 3], ..base },
            [1, 2],
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dtype::DType;

    #[test]
    fn results_are_channels_last_and_errors_name_both_shapes() {
        let zeros = |shape: &[usize]| Tensor::zeros(shape, DType::F32).unwrap();
        let options = ConvOptions::default();
        assert!(conv2d(&zeros(&[2, 3, 5, 5]), &zeros(&[4, 3, 3, 3]), None, options).unwrap().is_channels_last());
        let failure = |x: &[usize], w: &[usize], bias: Option<&[usize]>, options| {
            let bias = bias.map(zeros);
            let error = conv2d(&zeros(x), &zeros(w), bias.as_ref(), options).unwrap_err();
            assert!(error.message().contains(&format!("{w:?}")), "{}", error.message());
            error.code()
        };
        assert_eq!(failure(&[2, 3, 5, 5], &[4, 2, 3, 3], None, options), "ERR_SHAPE");
        assert_eq!(failure(&[2, 3, 2, 5], &[4, 3, 3, 3], None, options), "ERR_SHAPE");
        assert_eq!(failure(&[2, 3, 5, 5], &[4, 3, 3, 3], Some(&[3]), options), "ERR_SHAPE");
        assert_eq!(failure(&[2, 3, 5, 5], &[4, 3, 3], None, options), "ERR_SHAPE");
        let strided = ConvOptions { stride: [0, 1], ..options };
        assert_eq!(
            conv2d(&zeros(&[2, 3, 5, 5]), &zeros(&[4, 3, 3, 3]), None, strided).unwrap_err().code(),
            "ERR_ARGUMENT"
        );
        let same = ConvOptions { stride: [2, 1], padding: Padding::Same, ..options };
        assert_eq!(
            conv2d(&zeros(&[2, 3, 5, 5]), &zeros(&[4, 3, 3, 3]), None, same).unwrap_err().code(),
            "ERR_ARGUMENT"
        );
        let weight = zeros(&[3, 4, 3, 3]);
        assert_eq!(
            conv_transpose2d(&zeros(&[2, 3, 5, 5]), &weight, None, options, [1, 0]).unwrap_err().code(),
            "ERR_ARGUMENT"
        );
    }
}
