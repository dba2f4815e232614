//! What the steps of an augmentation draw for an image, and which operations follow. Distributions are torchvision's.
//! Pixels are touched by `operation` only.

use super::color::PixelOp;
use super::draw::{erased_window, flag, jitter, random_corners, random_window};
use super::geometry::{Padding, central};
use super::noise::{Key, visible_patches};
use super::operation::Operation;
use super::record::Extent;
use super::step::Step;
use super::warp::{Map, Warp, expanded_size, inverse_affine, perspective_coefficients};
use crate::ensure;
use crate::error::Result;
use crate::random::Philox;

/// What follows for an image: operations with every number fixed, and what is recorded of them.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    pub operations: Vec<Operation>,
    pub record: Vec<f64>,
}

impl Plan {
    pub fn clear(&mut self) {
        self.operations.clear();
        self.record.clear();
    }
}

impl Step {
    /// Draws from `random` and appends to `plan`. `extent` is the image that the step meets; returns the one it leaves.
    ///
    /// # Errors
    /// `Error::Argument` where the step cannot be done to such an image.
    pub fn plan(&self, extent: Extent, random: &mut Philox, plan: &mut Plan) -> Result<Extent> {
        let after = plan.record.len() + self.record(extent).count();
        let left = self.draw(extent, random, plan)?;
        debug_assert!(plan.record.len() == after || plan.record.len() == after - self.record(extent).count());
        plan.record.resize(after, 0.0);
        Ok(left)
    }

    /// As `plan`; records nothing where the step is left out.
    fn draw(&self, extent: Extent, random: &mut Philox, plan: &mut Plan) -> Result<Extent> {
        let Plan { operations, record } = plan;
        match *self {
            Self::RandomResizedCrop { size: (height, width), scale, ratio, interpolation, antialias } => {
                let window = random_window(extent, scale, ratio, random);
                operations.push(Operation::Resize { window: Some(window), height, width, interpolation, antialias });
                record.extend([window.top, window.left, window.height, window.width].map(|number| number as f64));
            }
            Self::Resize { interpolation, antialias, .. } | Self::ResizeEdge { interpolation, antialias, .. } => {
                let Extent { height, width, .. } = self.leaves(extent)?;
                if (height, width) != (extent.height, extent.width) {
                    operations.push(Operation::Resize { window: None, height, width, interpolation, antialias });
                }
            }
            Self::CenterCrop { size: (height, width) } => {
                let (top, left) = (central(extent.height, height), central(extent.width, width));
                operations.push(Operation::Crop { top, left, height, width, padding: Padding::Constant(0.0) });
            }
            Self::RandomCrop { size: (height, width), padding, mode, .. } => {
                let Room { places, sides } = self.room(extent)?;
                let (top, left) = (random.below(places[0] as u64), random.below(places[1] as u64));
                operations.push(Operation::Crop {
                    top: top as i64 - sides[1] as i64,
                    left: left as i64 - sides[0] as i64,
                    height,
                    width,
                    padding: mode,
                });
                let cuts = f64::from(u8::from(places != [1, 1]));
                let pads = f64::from(u8::from(sides != [0; 4] || padding != [0; 4]));
                record.extend([cuts, top as f64, left as f64, height as f64, width as f64, pads]);
                record.extend(sides.map(|side| side as f64));
            }
            Self::RandomHorizontalFlip { p } => flag(p, random, plan, Operation::FlipHorizontal),
            Self::RandomVerticalFlip { p } => flag(p, random, plan, Operation::FlipVertical),
            Self::RandomGrayscale { p } => flag(p, random, plan, Operation::Pixel(PixelOp::Grey)),
            Self::RandomInvert { p } => flag(p, random, plan, Operation::Pixel(PixelOp::Invert)),
            Self::RandomEqualize { p } => flag(p, random, plan, Operation::Equalize),
            Self::RandomAutocontrast { p } => flag(p, random, plan, Operation::Autocontrast),
            Self::RandomSolarize { threshold, p } => {
                flag(p, random, plan, Operation::Pixel(PixelOp::Solarize(threshold as f32)));
            }
            Self::RandomPosterize { bits, p } => {
                if random.chance(p) {
                    operations.push(Operation::Pixel(PixelOp::Posterize(bits)));
                    record.push(f64::from(bits));
                }
            }
            Self::RandomAdjustSharpness { factor, p } => {
                if random.chance(p) {
                    operations.push(Operation::Sharpen(factor));
                    record.push(factor);
                }
            }
            Self::GaussianBlur { size, sigma: (low, high), p } => {
                if random.chance(p) {
                    let sigma = [random.uniform_between(low, high); 2];
                    operations.push(Operation::Blur { size, sigma });
                    record.extend(sigma);
                }
            }
            Self::BoxBlur { sigma: (low, high), p } => {
                if random.chance(p) {
                    let sigma = random.uniform_between(low, high);
                    operations.push(Operation::BoxBlur(sigma));
                    record.push(sigma);
                }
            }
            Self::ColorJitter { brightness, contrast, saturation, hue, p } => {
                if random.chance(p) {
                    jitter([brightness, contrast, saturation, hue], random, operations, record);
                }
            }
            Self::RandomErasing { scale, ratio, value, p } => {
                let window = if random.chance(p) { erased_window(extent, scale, ratio, random) } else { None };
                if let Some(window) = window {
                    operations.push(match value {
                        Some(value) => Operation::Erase { window, value: value.map(|value| value as f32) },
                        None => Operation::EraseWithNoise { window, key: Key::drawn(random) },
                    });
                    record.extend([window.top, window.left, window.height, window.width].map(|number| number as f64));
                }
            }
            Self::RandomRotation { degrees: (low, high), expand, center, bilinear, fill } => {
                let angle = random.uniform_between(low, high);
                record.push(angle);
                let operation = rotation(extent, angle, expand, center, bilinear, fill);
                operations.push(operation);
                return Ok(operation.leaves(extent));
            }
            Self::RandomAffine { degrees, translate, scale, shear, center, bilinear, fill } => {
                let Extent { height, width, .. } = extent;
                let mut between = |(low, high): (f64, f64)| random.uniform_between(low, high);
                let angle = between(degrees);
                let shift = translate.map_or([0.0; 2], |(across, down)| {
                    let most = [across * width as f64, down * height as f64];
                    most.map(|most| between((-most, most)).round_ties_even())
                });
                let scale = scale.map_or(1.0, &mut between);
                let shear = shear.map_or([0.0; 2], |axes| axes.map(&mut between));
                record.extend([angle, shift[0], shift[1], scale, shear[0], shear[1]]);
                operations.push(affine(extent, [angle, scale], shift, shear, center, bilinear, fill));
            }
            Self::RandomPerspective { distortion, bilinear, fill, p } => {
                if random.chance(p) {
                    let Extent { height, width, .. } = extent;
                    let (starts, ends) = random_corners(extent, distortion, random);
                    let coefficients = perspective_coefficients(starts, ends)?;
                    record.extend(coefficients);
                    let (map, fill) = (Map::Perspective(coefficients), fill.map(|fill| fill.map(|value| value as f32)));
                    operations.push(Operation::Warp(Warp { map, height, width, bilinear, fill }));
                }
            }
            Self::GaussianNoise { mean, sigma, clip, p } => {
                if random.chance(p) {
                    record.extend([mean, sigma]);
                    let (mean, sigma, key) = (mean as f32, sigma as f32, Key::drawn(random));
                    operations.push(Operation::Noise { mean, sigma, clip, key });
                }
            }
            Self::AdditiveGaussian { sigma, p } => {
                if random.chance(p) {
                    record.push(1.0);
                    let (sigma, key) = (sigma as f32, Key::drawn(random));
                    operations.push(Operation::Noise { mean: 0.0, sigma, clip: false, key });
                }
            }
            Self::RandomChannelPermutation => {
                let mut order = [0, 1, 2];
                if extent.channels == 3 {
                    random.shuffle(&mut order);
                }
                record.extend(order.map(|channel| channel as f64));
                operations.push(Operation::PermuteChannels(order));
            }
            Self::PatchMasking { side, ratio, value } => {
                let count = (extent.height / side) * (extent.width / side);
                ensure!(
                    count > 0,
                    Argument,
                    "PatchMasking: an image of {}x{} (height x width) has no whole patch of {side} pixels a side",
                    extent.height,
                    extent.width
                );
                let (hidden, key) = ((count as f64 * ratio) as usize, Key::drawn(random));
                record.extend(visible_patches(count, hidden, key).into_iter().map(|kept| f64::from(u8::from(kept))));
                operations.push(Operation::HidePatches { side, hidden, value: value as f32, key });
            }
            Self::Rgb => {
                if extent.channels == 1 {
                    operations.push(Operation::Pixel(PixelOp::ToRgb));
                }
            }
            Self::ToImage => operations.push(Operation::Pixel(PixelOp::ToFloats)),
            Self::Normalize { mean, std } => {
                let (mean, std) = (mean.map(|mean| mean as f32), std.map(|std| std as f32));
                operations.push(Operation::Pixel(PixelOp::Normalize(mean, std)));
            }
            Self::Pad { sides: [left, top, ..], mode } => {
                let Extent { height, width, .. } = self.leaves(extent)?;
                let (top, left) = (-(top as i64), -(left as i64));
                operations.push(Operation::Crop { top, left, height, width, padding: mode });
            }
            Self::Affine { angle, translate, scale, shear, center, bilinear, fill } => {
                operations.push(affine(extent, [angle, scale], translate, shear, center, bilinear, fill));
            }
            Self::Perspective { coefficients, bilinear, fill } => {
                let Extent { height, width, .. } = extent;
                let (map, fill) = (Map::Perspective(coefficients), fill.map(|fill| fill.map(|value| value as f32)));
                operations.push(Operation::Warp(Warp { map, height, width, bilinear, fill }));
            }
            Self::Fixed(operation) => operations.push(operation),
        }
        self.leaves(extent)
    }

    /// Of a RandomCrop in an image of `extent`.
    fn room(&self, extent: Extent) -> Result<Room> {
        let Self::RandomCrop { size: (height, width), padding: [left, top, right, bottom], pad_if_needed, .. } = *self
        else {
            return Ok(Room { places: [1, 1], sides: [0; 4] });
        };
        let (high, wide) = (extent.height + top + bottom, extent.width + left + right);
        let lack = [height.saturating_sub(high), width.saturating_sub(wide)];
        ensure!(
            pad_if_needed || lack == [0, 0],
            Argument,
            "RandomCrop: {height}x{width} from an image of {high}x{wide} (height x width, with padding); set padIfNeeded"
        );
        // torchvision pads by the whole lack on both sides.
        Ok(Room {
            places: [high + 2 * lack[0] - height + 1, wide + 2 * lack[1] - width + 1],
            sides: [left + lack[1], top + lack[0], right + lack[1], bottom + lack[0]],
        })
    }
}

/// Places that a window can take along (height, width), and the pixels added at the left, top, right and bottom.
struct Room {
    places: [usize; 2],
    sides: [usize; 4],
}

/// `center` (x, y) in pixels from the corner, as pixels from the middle; the middle itself where there is none.
fn from_middle(Extent { height, width, .. }: Extent, center: Option<[f64; 2]>) -> [f64; 2] {
    center.map_or([0.0; 2], |[x, y]| [x - width as f64 * 0.5, y - height as f64 * 0.5])
}

/// An image turned counter-clockwise by `angle` degrees. Whole quarter turns about the middle move pixels and blend none.
pub fn rotation(
    extent: Extent,
    angle: f64,
    expand: bool,
    center: Option<[f64; 2]>,
    bilinear: bool,
    fill: Option<[f64; 3]>,
) -> Operation {
    let Extent { height, width, .. } = extent;
    let angle = angle.rem_euclid(360.0);
    let quarters = (angle / 90.0) as usize;
    let whole = angle % 90.0 == 0.0 && center.is_none();
    if whole && (quarters.is_multiple_of(2) || expand || height == width) {
        return Operation::RotateQuarters(quarters);
    }
    let matrix = inverse_affine(from_middle(extent, center), -angle, [0.0; 2], 1.0, [0.0; 2]);
    let (height, width) = if expand { expanded_size(matrix, height, width) } else { (height, width) };
    let fill = fill.map(|fill| fill.map(|value| value as f32));
    Operation::Warp(Warp { map: Map::Affine(matrix), height, width, bilinear, fill })
}

/// An image mapped with every number given; `center` as for [`rotation`].
pub fn affine(
    extent: Extent,
    [angle, scale]: [f64; 2],
    translate: [f64; 2],
    shear: [f64; 2],
    center: Option<[f64; 2]>,
    bilinear: bool,
    fill: Option<[f64; 3]>,
) -> Operation {
    let Extent { height, width, .. } = extent;
    let map = Map::Affine(inverse_affine(from_middle(extent, center), angle, translate, scale, shear));
    Operation::Warp(Warp { map, height, width, bilinear, fill: fill.map(|fill| fill.map(|value| value as f32)) })
}
