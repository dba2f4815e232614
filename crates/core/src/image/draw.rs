//! What the steps of an augmentation draw: windows, factors and their order. Distributions are torchvision's.

use super::color::PixelOp;
use super::operation::Operation;
use super::plan::Plan;
use super::record::Extent;
use super::resample::Window;
use crate::random::Philox;

/// A range numbers are drawn from, uniformly: low, high.
pub type Range = (f64, f64);

/// With probability `p` appends `operation`; records that it did.
pub(super) fn flag(p: f64, random: &mut Philox, plan: &mut Plan, operation: Operation) {
    if random.chance(p) {
        plan.operations.push(operation);
        plan.record.push(1.0);
    }
}

/// Order first, then the factor of each aspect that has a range.
pub(super) fn jitter(
    ranges: [Option<Range>; 4],
    random: &mut Philox,
    operations: &mut Vec<Operation>,
    record: &mut Vec<f64>,
) {
    let mut order = [0usize, 1, 2, 3];
    random.shuffle(&mut order);
    let factors = ranges.map(|range| range.map(|(low, high)| random.uniform_between(low, high)));
    for aspect in order {
        let Some(factor) = factors[aspect] else { continue };
        operations.push(match aspect {
            0 => Operation::Pixel(PixelOp::Brightness(factor as f32)),
            1 => Operation::Contrast(factor),
            2 => Operation::Pixel(PixelOp::Saturation(factor)),
            _ => Operation::Pixel(PixelOp::Hue(factor as f32)),
        });
    }
    record.extend(factors.map(|factor| factor.unwrap_or(0.0)));
    record.extend(order.map(|aspect| aspect as f64));
}

/// Ten tries at a window of random area and aspect; else the largest central one of an allowed aspect.
pub(super) fn random_window(extent: Extent, scale: Range, ratio: Range, random: &mut Philox) -> Window {
    let Extent { height, width, .. } = extent;
    let area = (height * width) as f64;
    for _ in 0..10 {
        let target = area * random.uniform_between(scale.0, scale.1);
        let aspect = random.uniform_between(ratio.0.ln(), ratio.1.ln()).exp();
        let wide = (target * aspect).sqrt().round_ties_even() as usize;
        let high = (target / aspect).sqrt().round_ties_even() as usize;
        if (1..=width).contains(&wide) && (1..=height).contains(&high) {
            let top = random.below((height - high) as u64 + 1) as usize;
            let left = random.below((width - wide) as u64 + 1) as usize;
            return Window { top, left, height: high, width: wide };
        }
    }
    let aspect = width as f64 / height as f64;
    let (high, wide) = if aspect < ratio.0 {
        ((width as f64 / ratio.0).round_ties_even() as usize, width)
    } else if aspect > ratio.1 {
        (height, (height as f64 * ratio.1).round_ties_even() as usize)
    } else {
        (height, width)
    };
    let (high, wide) = (high.clamp(1, height), wide.clamp(1, width));
    Window { top: (height - high) / 2, left: (width - wide) / 2, height: high, width: wide }
}

/// Ten tries at a window smaller than the image; none is erased where all fail.
pub(super) fn erased_window(extent: Extent, scale: Range, ratio: Range, random: &mut Philox) -> Option<Window> {
    let Extent { height, width, .. } = extent;
    let area = (height * width) as f64;
    (0..10).find_map(|_| {
        let target = area * random.uniform_between(scale.0, scale.1);
        let aspect = random.uniform_between(ratio.0.ln(), ratio.1.ln()).exp();
        let high = (target * aspect).sqrt().round_ties_even() as usize;
        let wide = (target / aspect).sqrt().round_ties_even() as usize;
        (high < height && wide < width).then(|| Window {
            top: random.below((height - high) as u64 + 1) as usize,
            left: random.below((width - wide) as u64 + 1) as usize,
            height: high,
            width: wide,
        })
    })
}

/// Corners (x, y) of an image, from the top left clockwise, and where a random perspective puts them.
pub(super) fn random_corners(
    Extent { height, width, .. }: Extent,
    distortion: f64,
    random: &mut Philox,
) -> ([[f64; 2]; 4], [[f64; 2]; 4]) {
    let most = |side: usize| (distortion * (side / 2) as f64) as u64;
    let (right, bottom) = ((width - 1) as f64, (height - 1) as f64);
    let mut inwards = |side: usize| random.below(most(side) + 1) as f64;
    let top_left = [inwards(width), inwards(height)];
    let top_right = [right - inwards(width), inwards(height)];
    let bottom_right = [right - inwards(width), bottom - inwards(height)];
    let bottom_left = [inwards(width), bottom - inwards(height)];
    let corners = [[0.0, 0.0], [right, 0.0], [right, bottom], [0.0, bottom]];
    (corners, [top_left, top_right, bottom_right, bottom_left])
}
