//! Further steps of a pipeline at the border: geometry, noise, masks, and operations with every number given.

use super::Result;
use super::image::{JsPipeline, interpolation, padding_mode, pair, size};
use crate::image::color::PixelOp;
use crate::image::operation::Operation;
use crate::image::resample::{Interpolation, Window};
use crate::image::step::Step;
use napi_derive::napi;

fn numbers<const N: usize>(name: &str, values: &[f64]) -> Result<[f64; N]> {
    match values.try_into() {
        Ok(numbers) => Ok(numbers),
        Err(_) => crate::bail!(Argument, "{name}: expected {N} numbers, got {values:?}"),
    }
}

/// One value for all channels, or a value a channel.
fn channels(name: &str, values: Vec<f64>) -> Result<[f64; 3]> {
    match values[..] {
        [one] => Ok([one; 3]),
        _ => numbers(name, &values),
    }
}

fn optional<const N: usize>(name: &str, values: Option<Vec<f64>>) -> Result<Option<[f64; N]>> {
    values.map(|values| numbers(name, &values)).transpose()
}

/// Maps blend four pixels or take the nearest.
fn is_bilinear(name: &str, method: &str) -> Result<bool> {
    match interpolation(method)? {
        Interpolation::Nearest => Ok(false),
        Interpolation::Bilinear => Ok(true),
        _ => crate::bail!(Argument, "{name}: \"{method}\"; it interpolates nearest or bilinear"),
    }
}

fn window(top: u32, left: u32, height: u32, width: u32) -> Window {
    let [top, left, height, width] = [top, left, height, width].map(|pixels| pixels as usize);
    Window { top, left, height, width }
}

#[napi]
impl JsPipeline {
    /// Turned counter-clockwise by degrees from a range; `expand` shows all of the result. Center [x, y] in pixels, the
    /// middle where null; fill one value or a value a channel, null blends towards zeros.
    #[napi]
    pub fn random_rotation(
        &self,
        degrees: Vec<f64>,
        expand: bool,
        center: Option<Vec<f64>>,
        method: String,
        fill: Option<Vec<f64>>,
    ) -> Result<()> {
        self.push(Step::RandomRotation {
            degrees: pair("randomRotation: degrees", &degrees)?,
            expand,
            center: optional("randomRotation: center", center)?,
            bilinear: is_bilinear("randomRotation", &method)?,
            fill: fill.map(|fill| channels("randomRotation: fill", fill)).transpose()?,
        })
    }

    /// Turned clockwise, moved by at most [part of the width, of the height], scaled, sheared by degrees
    /// [x low, x high, y low, y high]; null leaves an aspect alone.
    #[napi]
    pub fn random_affine(
        &self,
        degrees: Vec<f64>,
        translate: Option<Vec<f64>>,
        scale: Option<Vec<f64>>,
        shear: Option<Vec<f64>>,
        center: Option<Vec<f64>>,
        method: String,
        fill: Option<Vec<f64>>,
    ) -> Result<()> {
        let shear = optional::<4>("randomAffine: shear", shear)?;
        self.push(Step::RandomAffine {
            degrees: pair("randomAffine: degrees", &degrees)?,
            translate: translate.map(|parts| pair("randomAffine: translate", &parts)).transpose()?,
            scale: scale.map(|factors| pair("randomAffine: scale", &factors)).transpose()?,
            shear: shear.map(|[x_low, x_high, y_low, y_high]| [(x_low, x_high), (y_low, y_high)]),
            center: optional("randomAffine: center", center)?,
            bilinear: is_bilinear("randomAffine", &method)?,
            fill: fill.map(|fill| channels("randomAffine: fill", fill)).transpose()?,
        })
    }

    /// Seen at a slant, corners moved inwards by at most `distortion` of half a side, with probability `p`.
    #[napi]
    pub fn random_perspective(&self, distortion: f64, method: String, fill: Option<Vec<f64>>, p: f64) -> Result<()> {
        let fill = fill.map(|fill| channels("randomPerspective: fill", fill)).transpose()?;
        self.push(Step::RandomPerspective { distortion, bilinear: is_bilinear("randomPerspective", &method)?, fill, p })
    }

    /// Dark becomes bright, with probability `p`.
    #[napi]
    pub fn random_invert(&self, p: f64) -> Result<()> {
        self.push(Step::RandomInvert { p })
    }

    /// The upper `bits` of each value are kept, with probability `p`.
    #[napi]
    pub fn random_posterize(&self, bits: u32, p: f64) -> Result<()> {
        self.push(Step::RandomPosterize { bits, p })
    }

    /// Levels spread so that each takes as many pixels, with probability `p`.
    #[napi]
    pub fn random_equalize(&self, p: f64) -> Result<()> {
        self.push(Step::RandomEqualize { p })
    }

    /// Levels stretched to the whole range, with probability `p`.
    #[napi]
    pub fn random_autocontrast(&self, p: f64) -> Result<()> {
        self.push(Step::RandomAutocontrast { p })
    }

    /// Sharper (factor above 1) or softer, with probability `p`.
    #[napi]
    pub fn random_adjust_sharpness(&self, factor: f64, p: f64) -> Result<()> {
        self.push(Step::RandomAdjustSharpness { factor, p })
    }

    /// A window of random area (a share in `scale`) and height / width (`ratio`) takes one value, a value a channel, or
    /// normal numbers where null, with probability `p`.
    #[napi]
    pub fn random_erasing(&self, scale: Vec<f64>, ratio: Vec<f64>, value: Option<Vec<f64>>, p: f64) -> Result<()> {
        self.push(Step::RandomErasing {
            scale: pair("randomErasing: scale", &scale)?,
            ratio: pair("randomErasing: ratio", &ratio)?,
            value: value.map(|value| channels("randomErasing: value", value)).transpose()?,
            p,
        })
    }

    /// Pillow's blur by a sigma from a range, with probability `p`.
    #[napi]
    pub fn pil_gaussian_blur(&self, sigma: Vec<f64>, p: f64) -> Result<()> {
        self.push(Step::BoxBlur { sigma: pair("pilGaussianBlur: sigma", &sigma)?, p })
    }

    /// Normal noise, mean and deviation in parts of the range of the image, kept in range if `clip`, with probability `p`.
    #[napi]
    pub fn gaussian_noise(&self, mean: f64, sigma: f64, clip: bool, p: f64) -> Result<()> {
        self.push(Step::GaussianNoise { mean, sigma, clip, p })
    }

    /// Normal noise of mean 0, not clipped where the image is floats, with probability `p`.
    #[napi]
    pub fn additive_gaussian(&self, sigma: f64, p: f64) -> Result<()> {
        self.push(Step::AdditiveGaussian { sigma, p })
    }

    /// Channels in a random order.
    #[napi]
    pub fn random_channel_permutation(&self) -> Result<()> {
        self.push(Step::RandomChannelPermutation)
    }

    /// A share `ratio` of the patches of `side` pixels, drawn at random, takes a value.
    #[napi]
    pub fn patch_masking(&self, side: u32, ratio: f64, value: f64) -> Result<()> {
        self.push(Step::PatchMasking { side: side as usize, ratio, value })
    }

    /// The window from row `top`, column `left`, which may be outside the image; black there.
    #[napi]
    pub fn crop(&self, top: i32, left: i32, height: u32, width: u32) -> Result<()> {
        let padding = padding_mode("constant", 0.0)?;
        let (top, left) = (i64::from(top), i64::from(left));
        let (height, width) = (height as usize, width as usize);
        self.push(Step::Fixed(Operation::Crop { top, left, height, width, padding }))
    }

    /// [left, top, right, bottom] pixels added: constant (of `fill`), edge, reflect or symmetric.
    #[napi]
    pub fn pad(&self, sides: Vec<u32>, mode: String, fill: f64) -> Result<()> {
        let sides: Vec<f64> = sides.into_iter().map(f64::from).collect();
        let sides = numbers::<4>("pad", &sides)?.map(|pixels| pixels as usize);
        self.push(Step::Pad { sides, mode: padding_mode(&mode, fill)? })
    }

    /// The window `height` x `width` from (top, left), resized to [height, width].
    #[napi]
    pub fn resized_crop(
        &self,
        top: u32,
        left: u32,
        height: u32,
        width: u32,
        to: Vec<u32>,
        method: String,
        antialias: bool,
    ) -> Result<()> {
        let window = Some(window(top, left, height, width));
        let (height, width) = size("resizedCrop", &to)?;
        let interpolation = interpolation(&method)?;
        self.push(Step::Fixed(Operation::Resize { window, height, width, interpolation, antialias }))
    }

    /// Turned clockwise (degrees), moved (pixels), scaled, sheared (degrees).
    #[napi]
    pub fn affine(
        &self,
        angle: f64,
        translate: Vec<f64>,
        scale: f64,
        shear: Vec<f64>,
        center: Option<Vec<f64>>,
        method: String,
        fill: Option<Vec<f64>>,
    ) -> Result<()> {
        self.push(Step::Affine {
            angle,
            translate: numbers("affine: translate", &translate)?,
            scale,
            shear: numbers("affine: shear", &shear)?,
            center: optional("affine: center", center)?,
            bilinear: is_bilinear("affine", &method)?,
            fill: fill.map(|fill| channels("affine: fill", fill)).transpose()?,
        })
    }

    /// Corners [x, y] of the image, four times, brought to others.
    #[napi]
    pub fn perspective(&self, starts: Vec<f64>, ends: Vec<f64>, method: String, fill: Option<Vec<f64>>) -> Result<()> {
        let corners = |[a, b, c, d, e, f, g, h]: [f64; 8]| [[a, b], [c, d], [e, f], [g, h]];
        let starts = corners(numbers("perspective: start points", &starts)?);
        let ends = corners(numbers("perspective: end points", &ends)?);
        self.push(Step::Perspective {
            coefficients: crate::image::warp::perspective_coefficients(starts, ends)?,
            bilinear: is_bilinear("perspective", &method)?,
            fill: fill.map(|fill| channels("perspective: fill", fill)).transpose()?,
        })
    }

    /// Blurred by a kernel [across, down] (odd) of deviations [across, down].
    #[napi]
    pub fn blur(&self, kernel: Vec<u32>, sigma: Vec<f64>) -> Result<()> {
        let (across, down) = size("blur: kernel", &kernel)?;
        self.push(Step::Fixed(Operation::Blur { size: [across, down], sigma: numbers("blur: sigma", &sigma)? }))
    }

    /// A window takes a value, or a value a channel.
    #[napi]
    pub fn erase(&self, top: u32, left: u32, height: u32, width: u32, value: Vec<f64>) -> Result<()> {
        let value = channels("erase: value", value)?.map(|value| value as f32);
        self.push(Step::Fixed(Operation::Erase { window: window(top, left, height, width), value }))
    }

    /// A change of colour by `factor`: brightness, contrast, saturation, or hue (in turns).
    #[napi]
    pub fn adjust(
        &self,
        #[napi(ts_arg_type = "'brightness' | 'contrast' | 'saturation' | 'hue'")] aspect: String,
        factor: f64,
    ) -> Result<()> {
        let operation = match aspect.as_str() {
            "brightness" => Operation::Pixel(PixelOp::Brightness(factor as f32)),
            "contrast" => Operation::Contrast(factor),
            "saturation" => Operation::Pixel(PixelOp::Saturation(factor)),
            "hue" => Operation::Pixel(PixelOp::Hue(factor as f32)),
            other => crate::bail!(Argument, "adjust: \"{other}\" is no aspect of colour"),
        };
        let (least, most) = if aspect == "hue" { (-0.5, 0.5) } else { (0.0, f64::MAX) };
        crate::ensure!(
            (least..=most).contains(&factor),
            Argument,
            "adjust {aspect}: a factor of {factor}; it must be in {least}..={most}"
        );
        self.push(Step::Fixed(operation))
    }

    /// gain · x ^ gamma on values of 0..1.
    #[napi]
    pub fn adjust_gamma(&self, gamma: f64, gain: f64) -> Result<()> {
        crate::ensure!(gamma >= 0.0, Argument, "adjustGamma: a gamma of {gamma}; it must be at least 0");
        self.push(Step::Fixed(Operation::Pixel(PixelOp::Gamma(gamma as f32, gain as f32))))
    }

    /// Grey in one channel, or in three.
    #[napi]
    pub fn to_grayscale(&self, channels: u32) -> Result<()> {
        match channels {
            1 => self.push(Step::Fixed(Operation::Pixel(PixelOp::ToGrey))),
            3 => {
                self.push(Step::Rgb)?;
                self.push(Step::Fixed(Operation::Pixel(PixelOp::Grey)))
            }
            other => crate::bail!(Argument, "toGrayscale: {other} channels; a grey image has 1 or 3"),
        }
    }

    /// Floats 0..1 become bytes; only at the end of a pipeline of floats.
    #[napi]
    pub fn to_bytes(&self) -> Result<()> {
        self.steps.borrow_mut().to_bytes()
    }
}
