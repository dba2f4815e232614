//! The steps of an augmentation: each draws its numbers at random and says which operations follow. Distributions,
//! arguments and defaults are those of torchvision's transforms of the same name. Pixels are touched by `operation` only.

use super::color::PixelOp;
use super::draw::{Range, erased_window, flag, jitter, random_window};
use super::geometry::{Padding, central};
use super::operation::Operation;
use super::resample::{Interpolation, edge_size};
use crate::ensure;
use crate::error::Result;
use crate::random::Philox;

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
    /// A window of random area and height/width (log-uniform) takes one value.
    RandomErasing {
        scale: Range,
        ratio: Range,
        value: f64,
        p: f64,
    },
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

/// What a step meets and leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    pub height: usize,
    pub width: usize,
    pub channels: usize,
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
            Self::Rgb => "RGB",
            Self::ToImage => "ToImage",
            Self::Normalize { .. } => "Normalize",
        }
    }

    /// How many numbers it records for each image: those that `plan` drew, 0 where the step was left out.
    ///
    /// RandomResizedCrop top, left, height, width; RandomCrop top, left (after padding); flips, grey, solarize, invert,
    /// equalize, autocontrast 0 or 1; ColorJitter the factors of brightness, contrast, saturation, hue and the four
    /// places of the order (0 brightness … 3 hue); GaussianBlur sigma x, sigma y; posterize bits; sharpness the factor;
    /// RandomErasing top, left, height, width.
    pub fn recorded(&self) -> usize {
        match self {
            Self::RandomResizedCrop { .. } | Self::RandomErasing { .. } => 4,
            Self::RandomCrop { .. } | Self::GaussianBlur { .. } => 2,
            Self::ColorJitter { .. } => 8,
            Self::Resize { .. } | Self::ResizeEdge { .. } | Self::CenterCrop { .. } => 0,
            Self::Rgb | Self::ToImage | Self::Normalize { .. } => 0,
            _ => 1,
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
            Self::Rgb | Self::ToImage => Ok(()),
        }
    }

    /// What an image of `extent` is after the step, whatever is drawn.
    ///
    /// # Errors
    /// `Error::Argument` where the step cannot be done to such an image.
    pub fn leaves(&self, extent: Extent) -> Result<Extent> {
        Ok(match *self {
            Self::RandomResizedCrop { size: (height, width), .. }
            | Self::Resize { size: (height, width), .. }
            | Self::CenterCrop { size: (height, width) } => Extent { height, width, ..extent },
            Self::RandomCrop { size: (height, width), .. } => {
                self.room(extent)?;
                Extent { height, width, ..extent }
            }
            Self::ResizeEdge { size, max_size, .. } => {
                let (height, width) = edge_size(extent.height, extent.width, size, max_size)?;
                ensure!(height > 0 && width > 0, Argument, "Resize: {extent:?} would become {height}x{width}");
                Extent { height, width, ..extent }
            }
            Self::Rgb => Extent { channels: 3, ..extent },
            _ => extent,
        })
    }

    /// Draws from `random`, appends the operations that follow to `operations` and what was drawn to `record`.
    /// `extent` is the image that the step meets.
    pub fn plan(
        &self,
        extent: Extent,
        random: &mut Philox,
        operations: &mut Vec<Operation>,
        record: &mut Vec<f64>,
    ) -> Result<()> {
        let recorded = record.len();
        let done = match *self {
            Self::RandomResizedCrop { size: (height, width), scale, ratio, interpolation, antialias } => {
                let window = random_window(extent, scale, ratio, random);
                operations.push(Operation::Resize { window: Some(window), height, width, interpolation, antialias });
                record.extend([window.top, window.left, window.height, window.width].map(|number| number as f64));
                true
            }
            Self::Resize { interpolation, antialias, .. } | Self::ResizeEdge { interpolation, antialias, .. } => {
                let Extent { height, width, .. } = self.leaves(extent)?;
                if (height, width) != (extent.height, extent.width) {
                    operations.push(Operation::Resize { window: None, height, width, interpolation, antialias });
                }
                true
            }
            Self::CenterCrop { size: (height, width) } => {
                let (top, left) = (central(extent.height, height), central(extent.width, width));
                operations.push(Operation::Crop { top, left, height, width, padding: Padding::Constant(0.0) });
                true
            }
            Self::RandomCrop { size: (height, width), padding, mode, .. } => {
                let (room, [before_left, before_top]) = self.room(extent)?;
                let (top, left) = (random.below(room[0] as u64 + 1), random.below(room[1] as u64 + 1));
                operations.push(Operation::Crop {
                    top: top as i64 - (padding[1] + before_top) as i64,
                    left: left as i64 - (padding[0] + before_left) as i64,
                    height,
                    width,
                    padding: mode,
                });
                record.extend([top as f64, left as f64]);
                true
            }
            Self::RandomHorizontalFlip { p } => flag(p, random, operations, record, Operation::FlipHorizontal),
            Self::RandomVerticalFlip { p } => flag(p, random, operations, record, Operation::FlipVertical),
            Self::RandomGrayscale { p } => flag(p, random, operations, record, Operation::Pixel(PixelOp::Grey)),
            Self::RandomInvert { p } => flag(p, random, operations, record, Operation::Pixel(PixelOp::Invert)),
            Self::RandomEqualize { p } => flag(p, random, operations, record, Operation::Equalize),
            Self::RandomAutocontrast { p } => flag(p, random, operations, record, Operation::Autocontrast),
            Self::RandomSolarize { threshold, p } => {
                flag(p, random, operations, record, Operation::Pixel(PixelOp::Solarize(threshold as f32)))
            }
            Self::RandomPosterize { bits, p } => {
                let done = random.chance(p);
                if done {
                    operations.push(Operation::Pixel(PixelOp::Posterize(bits)));
                    record.push(f64::from(bits));
                }
                done
            }
            Self::RandomAdjustSharpness { factor, p } => {
                let done = random.chance(p);
                if done {
                    operations.push(Operation::Sharpen(factor));
                    record.push(factor);
                }
                done
            }
            Self::GaussianBlur { size, sigma: (low, high), p } => {
                let done = random.chance(p);
                if done {
                    let sigma = [random.uniform_between(low, high); 2];
                    operations.push(Operation::Blur { size, sigma });
                    record.extend(sigma);
                }
                done
            }
            Self::ColorJitter { brightness, contrast, saturation, hue, p } => {
                let done = random.chance(p);
                if done {
                    jitter([brightness, contrast, saturation, hue], random, operations, record);
                }
                done
            }
            Self::RandomErasing { scale, ratio, value, p } => {
                let window = if random.chance(p) { erased_window(extent, scale, ratio, random) } else { None };
                if let Some(window) = window {
                    operations.push(Operation::Erase { window, value: value as f32 });
                    record.extend([window.top, window.left, window.height, window.width].map(|number| number as f64));
                }
                window.is_some()
            }
            Self::Rgb => {
                if extent.channels == 1 {
                    operations.push(Operation::Pixel(PixelOp::ToRgb));
                }
                true
            }
            Self::ToImage => {
                operations.push(Operation::Pixel(PixelOp::ToFloats));
                true
            }
            Self::Normalize { mean, std } => {
                let (mean, std) = (mean.map(|mean| mean as f32), std.map(|std| std as f32));
                operations.push(Operation::Pixel(PixelOp::Normalize(mean, std)));
                true
            }
        };
        if !done {
            record.resize(recorded + self.recorded(), 0.0);
        }
        Ok(())
    }

    /// Of a RandomCrop: places it can take along (height, width) less one, and pixels that `pad_if_needed` puts before
    /// (left, top) in addition to the padding.
    fn room(&self, extent: Extent) -> Result<([usize; 2], [usize; 2])> {
        let Self::RandomCrop { size: (height, width), padding: [left, top, right, bottom], pad_if_needed, .. } = *self
        else {
            return Ok(([0; 2], [0; 2]));
        };
        let (high, wide) = (extent.height + top + bottom, extent.width + left + right);
        let lack = [height.saturating_sub(high), width.saturating_sub(wide)];
        ensure!(
            pad_if_needed || lack == [0, 0],
            Argument,
            "RandomCrop: {height}x{width} from an image of {high}x{wide} (height x width, with padding); set padIfNeeded"
        );
        // torchvision pads by the whole lack on both sides.
        let room = [high + 2 * lack[0] - height, wide + 2 * lack[1] - width];
        Ok((room, [lack[1], lack[0]]))
    }
}
