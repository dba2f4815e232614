//! The steps of an augmentation: their arguments, what they record, what they leave. Arguments and defaults are those of
//! torchvision's transforms of the same name. What a step draws for an image is said in `plan`.

use super::draw::Range;
use super::geometry::Padding;
use super::operation::Operation;
use super::record::{Extent, Record};
use super::resample::{Interpolation, edge_size};
use crate::ensure;
use crate::error::Result;

/// One step. `p` is the probability that it is done at all. Sizes are (height, width).
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// A window of random area (a part of the image in `scale`) and width/height (log-uniform in `ratio`), resized.
    RandomResizedCrop {
        size: (usize, usize),
        scale: Range,
        ratio: Range,
        interpolation: Interpolation,
        antialias: bool,
    },
    /// Resized to a size.
    Resize {
        size: (usize, usize),
        interpolation: Interpolation,
        antialias: bool,
    },
    /// Resized until the shorter edge is `size` and the longer one at most `max_size`.
    ResizeEdge {
        size: usize,
        max_size: Option<usize>,
        interpolation: Interpolation,
        antialias: bool,
    },
    /// The middle; what the image lacks is 0.
    CenterCrop {
        size: (usize, usize),
    },
    /// A window at a random place, after padding by left, top, right, bottom.
    RandomCrop {
        size: (usize, usize),
        padding: [usize; 4],
        pad_if_needed: bool,
        mode: Padding,
    },
    RandomHorizontalFlip {
        p: f64,
    },
    RandomVerticalFlip {
        p: f64,
    },
    /// Factors in a random order; `None` leaves that aspect alone.
    ColorJitter {
        brightness: Option<Range>,
        contrast: Option<Range>,
        saturation: Option<Range>,
        hue: Option<Range>,
        p: f64,
    },
    RandomGrayscale {
        p: f64,
    },
    /// Kernel (x, y), one sigma for both axes.
    GaussianBlur {
        size: [usize; 2],
        sigma: Range,
        p: f64,
    },
    RandomSolarize {
        threshold: f64,
        p: f64,
    },
    RandomInvert {
        p: f64,
    },
    RandomPosterize {
        bits: u32,
        p: f64,
    },
    RandomEqualize {
        p: f64,
    },
    RandomAutocontrast {
        p: f64,
    },
    RandomAdjustSharpness {
        factor: f64,
        p: f64,
    },
    /// A window of random area and height/width (log-uniform) takes a value a channel, or normal numbers where `None`.
    RandomErasing {
        scale: Range,
        ratio: Range,
        value: Option<[f64; 3]>,
        p: f64,
    },
    /// Turned by an angle in degrees, counter-clockwise; `expand` shows all of the result. `center` is (x, y) in pixels.
    RandomRotation {
        degrees: Range,
        expand: bool,
        center: Option<[f64; 2]>,
        bilinear: bool,
        fill: Option<[f64; 3]>,
    },
    /// Turned (degrees, clockwise), moved by at most a part of (width, height), scaled, sheared along x and y (degrees).
    RandomAffine {
        degrees: Range,
        translate: Option<(f64, f64)>,
        scale: Option<Range>,
        shear: Option<[Range; 2]>,
        center: Option<[f64; 2]>,
        bilinear: bool,
        fill: Option<[f64; 3]>,
    },
    /// Seen at a slant: each corner moves inwards by at most half of `distortion` of the side.
    RandomPerspective {
        distortion: f64,
        bilinear: bool,
        fill: Option<[f64; 3]>,
        p: f64,
    },
    /// Pillow's blur of a deviation drawn from a range.
    BoxBlur {
        sigma: Range,
        p: f64,
    },
    /// Normal noise, mean and deviation in parts of the image's bound; bytes and clipped floats stay in range.
    GaussianNoise {
        mean: f64,
        sigma: f64,
        clip: bool,
        p: f64,
    },
    /// As GaussianNoise with mean 0 and no clipping of floats, recorded as done or not.
    AdditiveGaussian {
        sigma: f64,
        p: f64,
    },
    RandomChannelPermutation,
    /// `floor(patches · ratio)` of the patches of `side` pixels, drawn at random, take a value.
    PatchMasking {
        side: usize,
        ratio: f64,
        value: f64,
    },
    /// Pixels added at the left, top, right and bottom.
    Pad {
        sides: [usize; 4],
        mode: Padding,
    },
    /// As RandomAffine with every number given; the shift in pixels.
    Affine {
        angle: f64,
        translate: [f64; 2],
        scale: f64,
        shear: [f64; 2],
        center: Option<[f64; 2]>,
        bilinear: bool,
        fill: Option<[f64; 3]>,
    },
    /// As RandomPerspective with its coefficients given.
    Perspective {
        coefficients: [f64; 8],
        bilinear: bool,
        fill: Option<[f64; 3]>,
    },
    /// One operation with every number given.
    Fixed(Operation),
    /// Grey images become RGB.
    Rgb,
    /// Bytes become floats 0..=1.
    ToImage,
    /// (x - mean) / std of each channel.
    Normalize {
        mean: [f64; 3],
        std: [f64; 3],
    },
}

impl Step {
    /// The name users know it by.
    pub fn name(&self) -> &'static str {
        match self {
            Self::RandomResizedCrop { .. } => "RandomResizedCrop",
            Self::Resize { .. } | Self::ResizeEdge { .. } => "Resize",
            Self::CenterCrop { .. } => "CenterCrop",
            Self::RandomCrop { .. } => "RandomCrop",
            Self::RandomHorizontalFlip { .. } => "RandomHorizontalFlip",
            Self::RandomVerticalFlip { .. } => "RandomVerticalFlip",
            Self::ColorJitter { .. } => "ColorJitter",
            Self::RandomGrayscale { .. } => "RandomGrayscale",
            Self::GaussianBlur { .. } => "GaussianBlur",
            Self::RandomSolarize { .. } => "RandomSolarize",
            Self::RandomInvert { .. } => "RandomInvert",
            Self::RandomPosterize { .. } => "RandomPosterize",
            Self::RandomEqualize { .. } => "RandomEqualize",
            Self::RandomAutocontrast { .. } => "RandomAutocontrast",
            Self::RandomAdjustSharpness { .. } => "RandomAdjustSharpness",
            Self::RandomErasing { .. } => "RandomErasing",
            Self::RandomRotation { .. } => "RandomRotation",
            Self::RandomAffine { .. } => "RandomAffine",
            Self::RandomPerspective { .. } => "RandomPerspective",
            Self::BoxBlur { .. } => "PILGaussianBlur",
            Self::GaussianNoise { .. } => "GaussianNoise",
            Self::AdditiveGaussian { .. } => "AdditiveGaussian",
            Self::RandomChannelPermutation => "RandomChannelPermutation",
            Self::PatchMasking { .. } => "PatchMasking",
            Self::Pad { .. } => "Pad",
            Self::Affine { .. } => "affine",
            Self::Perspective { .. } => "perspective",
            Self::Fixed(_) => "fixed",
            Self::Rgb => "RGB",
            Self::ToImage => "ToImage",
            Self::Normalize { .. } => "Normalize",
        }
    }

    /// What it records for each image: what was drawn, 0 where the step was left out.
    ///
    /// RandomResizedCrop top, left, height, width; RandomCrop whether it cuts, top, left (after padding), height, width,
    /// whether it pads, left, top, right, bottom; flips, grey, solarize, invert, equalize, autocontrast, AdditiveGaussian
    /// whether done; ColorJitter the factors of brightness, contrast, saturation, hue and the four places of the order
    /// (0 brightness … 3 hue); GaussianBlur sigma x, sigma y; PILGaussianBlur sigma; posterize bits; sharpness the factor;
    /// RandomErasing top, left, height, width; rotation the angle; affine angle, shift x, shift y, scale, shear x, shear y;
    /// perspective its eight coefficients; noise mean, deviation; the order of channels; which patches stayed.
    pub fn record(&self, extent: Extent) -> Record {
        match self {
            Self::RandomResizedCrop { .. } | Self::RandomErasing { .. } => Record::Numbers(4),
            Self::RandomCrop { .. } => Record::Numbers(10),
            Self::GaussianBlur { .. } | Self::GaussianNoise { .. } => Record::Numbers(2),
            Self::ColorJitter { .. } | Self::RandomPerspective { .. } => Record::Numbers(8),
            Self::RandomAffine { .. } => Record::Numbers(6),
            Self::RandomChannelPermutation => Record::Numbers(3),
            Self::RandomPosterize { .. } | Self::RandomAdjustSharpness { .. } => Record::Number,
            Self::RandomRotation { .. } | Self::BoxBlur { .. } => Record::Number,
            Self::PatchMasking { side, .. } => Record::Flags([extent.height / side, extent.width / side]),
            Self::Resize { .. } | Self::ResizeEdge { .. } | Self::CenterCrop { .. } | Self::Fixed(_) => Record::Nothing,
            Self::Rgb | Self::ToImage | Self::Normalize { .. } | Self::Pad { .. } => Record::Nothing,
            Self::Affine { .. } | Self::Perspective { .. } => Record::Nothing,
            _ => Record::Flag,
        }
    }

    /// Whether all arguments are in range; messages name the argument and its value.
    pub fn check(&self) -> Result<()> {
        let name = self.name();
        let probability = |p: f64| {
            ensure!((0.0..=1.0).contains(&p), Argument, "{name}: p = {p} is not a probability in 0..=1");
            Ok(())
        };
        let range = |what: &str, (low, high): Range, least: f64, most: f64| {
            ensure!(
                least <= low && low <= high && high <= most,
                Argument,
                "{name}: {what} ({low}, {high}) must be an ascending pair in {least}..={most}"
            );
            Ok(())
        };
        let size = |(height, width): (usize, usize)| {
            let sides = 1..=65_535;
            let fits = sides.contains(&height) && sides.contains(&width);
            ensure!(fits, Argument, "{name}: a size of {height}x{width} (height x width); each must be 1 to 65535");
            Ok(())
        };
        match *self {
            Self::RandomResizedCrop { size: (height, width), scale, ratio, .. } => {
                size((height, width))?;
                range("scale", scale, f64::MIN_POSITIVE, 1.0)?;
                range("ratio", ratio, f64::MIN_POSITIVE, f64::MAX)
            }
            Self::Resize { size: sides, .. } | Self::CenterCrop { size: sides } => size(sides),
            Self::RandomCrop { size: sides, .. } => size(sides),
            Self::ResizeEdge { size: edge, max_size, .. } => {
                size((edge, max_size.unwrap_or(edge)))?;
                edge_size(1, 1, edge, max_size).map(|_| ())
            }
            Self::ColorJitter { brightness, contrast, saturation, hue, p } => {
                for (what, factors) in [("brightness", brightness), ("contrast", contrast), ("saturation", saturation)]
                {
                    factors.map_or(Ok(()), |factors| range(what, factors, 0.0, f64::MAX))?;
                }
                hue.map_or(Ok(()), |turns| range("hue", turns, -0.5, 0.5))?;
                probability(p)
            }
            Self::GaussianBlur { size, sigma, p } => {
                for side in size {
                    ensure!(side % 2 == 1, Argument, "{name}: a kernel of {side}; its size must be odd");
                }
                range("sigma", sigma, f64::MIN_POSITIVE, f64::MAX)?;
                probability(p)
            }
            Self::RandomPosterize { bits, p } => {
                ensure!(bits <= 8, Argument, "{name}: {bits} bits of 8");
                probability(p)
            }
            Self::RandomAdjustSharpness { factor, p } => {
                ensure!(factor >= 0.0, Argument, "{name}: a factor of {factor}; it must be at least 0");
                probability(p)
            }
            Self::RandomErasing { scale, ratio, p, .. } => {
                range("scale", scale, 0.0, 1.0)?;
                range("ratio", ratio, f64::MIN_POSITIVE, f64::MAX)?;
                probability(p)
            }
            Self::RandomRotation { degrees, .. } => range("degrees", degrees, f64::MIN, f64::MAX),
            Self::RandomAffine { degrees, translate, scale, shear, .. } => {
                range("degrees", degrees, f64::MIN, f64::MAX)?;
                for part in translate.map_or([0.0; 2], |(across, down)| [across, down]) {
                    ensure!((0.0..=1.0).contains(&part), Argument, "{name}: translate {part} is not a part in 0..=1");
                }
                scale.map_or(Ok(()), |factors| range("scale", factors, f64::MIN_POSITIVE, f64::MAX))?;
                shear.map_or(Ok(()), |axes| axes.into_iter().try_for_each(|axis| range("shear", axis, -89.9, 89.9)))
            }
            Self::RandomPerspective { distortion, p, .. } => {
                ensure!((0.0..=1.0).contains(&distortion), Argument, "{name}: distortion {distortion} is not in 0..=1");
                probability(p)
            }
            Self::BoxBlur { sigma, p } => {
                range("sigma", sigma, 0.0, f64::MAX)?;
                probability(p)
            }
            Self::GaussianNoise { sigma, p, .. } | Self::AdditiveGaussian { sigma, p } => {
                ensure!(sigma >= 0.0, Argument, "{name}: sigma {sigma}; it must be at least 0");
                probability(p)
            }
            Self::PatchMasking { side, ratio, .. } => {
                ensure!(side > 0, Argument, "{name}: patches of {side} pixels a side");
                ensure!((0.0..=1.0).contains(&ratio), Argument, "{name}: a ratio of {ratio}; it is a part in 0..=1");
                Ok(())
            }
            Self::Normalize { std, .. } => {
                ensure!(std.iter().all(|&std| std > 0.0), Argument, "{name}: std {std:?} must be above 0");
                Ok(())
            }
            Self::RandomHorizontalFlip { p }
            | Self::RandomVerticalFlip { p }
            | Self::RandomGrayscale { p }
            | Self::RandomSolarize { p, .. }
            | Self::RandomInvert { p }
            | Self::RandomEqualize { p }
            | Self::RandomAutocontrast { p } => probability(p),
            Self::Affine { scale, shear, .. } => {
                ensure!(scale > 0.0, Argument, "{name}: a scale of {scale}; it must be above 0");
                shear.into_iter().try_for_each(|angle| range("shear", (angle, angle), -89.9, 89.9))
            }
            Self::Rgb | Self::ToImage | Self::RandomChannelPermutation | Self::Fixed(_) => Ok(()),
            Self::Pad { .. } | Self::Perspective { .. } => Ok(()),
        }
    }

    /// What an image of `extent` is after the step, where that does not depend on what is drawn.
    ///
    /// # Errors
    /// `Error::Argument` where the step cannot be done to such an image.
    pub fn leaves(&self, extent: Extent) -> Result<Extent> {
        Ok(match *self {
            Self::RandomResizedCrop { size: (height, width), .. }
            | Self::Resize { size: (height, width), .. }
            | Self::RandomCrop { size: (height, width), .. }
            | Self::CenterCrop { size: (height, width) } => Extent { height, width, ..extent },
            Self::ResizeEdge { size, max_size, .. } => {
                let (height, width) = edge_size(extent.height, extent.width, size, max_size)?;
                ensure!(height > 0 && width > 0, Argument, "Resize: {extent:?} would become {height}x{width}");
                Extent { height, width, ..extent }
            }
            Self::Rgb => Extent { channels: 3, ..extent },
            Self::Pad { sides: [left, top, right, bottom], .. } => {
                Extent { height: extent.height + top + bottom, width: extent.width + left + right, ..extent }
            }
            Self::Fixed(operation) => operation.leaves(extent),
            _ => extent,
        })
    }
}
