//! Pipelines of steps at the border. Those with fewer users are in `image_steps`, what runs them in `image_batch`.

use super::Result;
use crate::error::Error;
use crate::image::augment::Pipeline as Steps;
use crate::image::geometry::Padding;
use crate::image::resample::Interpolation;
use crate::image::step::Step;
use napi_derive::napi;
use std::cell::RefCell;

pub(super) fn pair(name: &str, values: &[f64]) -> Result<(f64, f64)> {
    match values {
        &[low, high] => Ok((low, high)),
        _ => crate::bail!(Argument, "{name}: expected two numbers, got {values:?}"),
    }
}

pub(super) fn size(name: &str, values: &[u32]) -> Result<(usize, usize)> {
    match values {
        &[height, width] => Ok((height as usize, width as usize)),
        _ => crate::bail!(Argument, "{name}: expected a size [height, width], got {values:?}"),
    }
}

pub(super) fn interpolation(name: &str) -> Result<Interpolation> {
    Ok(match name {
        "nearest" => Interpolation::Nearest,
        "nearest-exact" => Interpolation::NearestExact,
        "bilinear" => Interpolation::Bilinear,
        "bicubic" => Interpolation::Bicubic,
        other => crate::bail!(
            Argument,
            "\"{other}\" is no interpolation; there are nearest, nearest-exact, bilinear and bicubic"
        ),
    })
}

pub(super) fn padding_mode(name: &str, fill: f64) -> Result<Padding> {
    Ok(match name {
        "constant" => Padding::Constant(fill as f32),
        "edge" => Padding::Edge,
        "reflect" => Padding::Reflect,
        "symmetric" => Padding::Symmetric,
        other => {
            crate::bail!(Argument, "\"{other}\" is no way to pad; there are constant, edge, reflect and symmetric")
        }
    })
}

/// Steps that make a view of an image: bytes first, then `toImage`, then `normalize`. Each method appends one and returns
/// nothing; ERR_ARGUMENT where an argument is out of range or a step does not fit those before it.
#[napi(js_name = "Pipeline")]
pub struct JsPipeline {
    pub(super) steps: RefCell<Steps>,
}

impl JsPipeline {
    pub(super) fn push(&self, step: Step) -> Result<()> {
        self.steps.borrow_mut().push(step)
    }
}

#[napi]
impl JsPipeline {
    /// Without steps; for images of bytes, or of floats where `floats`.
    #[napi(constructor)]
    pub fn new(floats: Option<bool>) -> JsPipeline {
        let steps = if floats.unwrap_or(false) { Steps::of_floats() } else { Steps::new() };
        JsPipeline { steps: RefCell::new(steps) }
    }

    /// A window of random area (a share of the image in `scale`) and width / height (`ratio`), resized to [height, width].
    #[napi]
    pub fn random_resized_crop(
        &self,
        to: Vec<u32>,
        scale: Vec<f64>,
        ratio: Vec<f64>,
        method: String,
        antialias: bool,
    ) -> Result<()> {
        self.push(Step::RandomResizedCrop {
            size: size("randomResizedCrop", &to)?,
            scale: pair("randomResizedCrop: scale", &scale)?,
            ratio: pair("randomResizedCrop: ratio", &ratio)?,
            interpolation: interpolation(&method)?,
            antialias,
        })
    }

    /// Resized to [height, width].
    #[napi]
    pub fn resize(&self, to: Vec<u32>, method: String, antialias: bool) -> Result<()> {
        self.push(Step::Resize { size: size("resize", &to)?, interpolation: interpolation(&method)?, antialias })
    }

    /// Resized until the shorter edge is `edge` pixels, and the longer one at most `longest`.
    #[napi]
    pub fn resize_edge(&self, edge: u32, longest: Option<u32>, method: String, antialias: bool) -> Result<()> {
        let max_size = longest.map(|pixels| pixels as usize);
        self.push(Step::ResizeEdge { size: edge as usize, max_size, interpolation: interpolation(&method)?, antialias })
    }

    /// The middle, [height, width]; what the image lacks is black.
    #[napi]
    pub fn center_crop(&self, to: Vec<u32>) -> Result<()> {
        self.push(Step::CenterCrop { size: size("centerCrop", &to)? })
    }

    /// A window [height, width] at a random place, after padding by [left, top, right, bottom] pixels.
    #[napi]
    pub fn random_crop(
        &self,
        to: Vec<u32>,
        padding: Vec<u32>,
        pad_if_needed: bool,
        #[napi(ts_arg_type = "'constant' | 'edge' | 'reflect' | 'symmetric'")] mode: String,
        fill: f64,
    ) -> Result<()> {
        let sides: [u32; 4] = match padding.try_into() {
            Ok(sides) => sides,
            Err(other) => crate::bail!(Argument, "randomCrop: padding {other:?}; expected left, top, right, bottom"),
        };
        let mode = padding_mode(&mode, fill)?;
        let padding = sides.map(|pixels| pixels as usize);
        self.push(Step::RandomCrop { size: size("randomCrop", &to)?, padding, pad_if_needed, mode })
    }

    /// Mirrored left to right with probability `p`.
    #[napi]
    pub fn random_horizontal_flip(&self, p: f64) -> Result<()> {
        self.push(Step::RandomHorizontalFlip { p })
    }

    /// Mirrored top to bottom with probability `p`.
    #[napi]
    pub fn random_vertical_flip(&self, p: f64) -> Result<()> {
        self.push(Step::RandomVerticalFlip { p })
    }

    /// Factors from ranges, in a random order, with probability `p`; null leaves an aspect alone. Hue in turns (-0.5..0.5).
    #[napi]
    pub fn color_jitter(
        &self,
        brightness: Option<Vec<f64>>,
        contrast: Option<Vec<f64>>,
        saturation: Option<Vec<f64>>,
        hue: Option<Vec<f64>>,
        p: f64,
    ) -> Result<()> {
        let range = |name: &str, values: Option<Vec<f64>>| values.map(|v| pair(name, &v)).transpose();
        self.push(Step::ColorJitter {
            brightness: range("colorJitter: brightness", brightness)?,
            contrast: range("colorJitter: contrast", contrast)?,
            saturation: range("colorJitter: saturation", saturation)?,
            hue: range("colorJitter: hue", hue)?,
            p,
        })
    }

    /// Grey in all channels, with probability `p`.
    #[napi]
    pub fn random_grayscale(&self, p: f64) -> Result<()> {
        self.push(Step::RandomGrayscale { p })
    }

    /// Blurred by a Gaussian kernel of [across, down] pixels (odd) and a sigma from a range, with probability `p`.
    #[napi]
    pub fn gaussian_blur(&self, kernel: Vec<u32>, sigma: Vec<f64>, p: f64) -> Result<()> {
        let (across, down) = size("gaussianBlur: kernel", &kernel)?;
        self.push(Step::GaussianBlur { size: [across, down], sigma: pair("gaussianBlur: sigma", &sigma)?, p })
    }

    /// Pixels from the threshold (0..255) up are inverted, with probability `p`.
    #[napi]
    pub fn random_solarize(&self, threshold: f64, p: f64) -> Result<()> {
        self.push(Step::RandomSolarize { threshold, p })
    }

    /// Grey images become RGB.
    #[napi]
    pub fn rgb(&self) -> Result<()> {
        self.push(Step::Rgb)
    }

    /// Bytes become floats 0..1.
    #[napi]
    pub fn to_image(&self) -> Result<()> {
        self.push(Step::ToImage)
    }

    /// (x − mean) / std of each channel; one value serves all three.
    #[napi]
    pub fn normalize(&self, mean: Vec<f64>, std: Vec<f64>) -> Result<()> {
        let three = |name: &str, values: Vec<f64>| match values[..] {
            [one] => Ok([one; 3]),
            [a, b, c] => Ok([a, b, c]),
            _ => Err(Error::Argument(format!("normalize: {name} {values:?}; expected one value or three"))),
        };
        self.push(Step::Normalize { mean: three("mean", mean)?, std: three("std", std)? })
    }
}
