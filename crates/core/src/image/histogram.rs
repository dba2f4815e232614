//! Colour operations that look at the whole image first: stretching and equalising its levels, equal to torchvision's.

use super::color::PixelOp;
use super::planes::{Planes, Sample};

/// The operation that brings each channel's darkest value to 0 and its brightest to the bound. A channel of one value stays.
pub fn autocontrast<T: Sample>(image: &Planes<T>) -> PixelOp {
    let (mut minimum, mut scale) = ([0.0; 3], [1.0; 3]);
    for (channel, plane) in image.data.chunks_exact(image.area()).enumerate() {
        let (mut low, mut high) = (f32::INFINITY, f32::NEG_INFINITY);
        for sample in plane {
            low = low.min(sample.value());
            high = high.max(sample.value());
        }
        if high > low {
            (minimum[channel], scale[channel]) = (low, (high - low) * (1.0 / T::BOUND));
        }
    }
    PixelOp::Stretch(minimum, scale)
}

/// Spreads the levels of each channel so that each takes about as many pixels (Pillow's scheme). Floats go through bytes.
pub fn equalize<T: Sample>(image: &mut Planes<T>) {
    let area = image.area();
    let byte = |sample: &T| {
        let value = sample.value();
        (if T::WHOLE { value } else { (value * 255.999).clamp(0.0, 255.0) }) as usize
    };
    for plane in image.data.chunks_exact_mut(area) {
        let mut counts = [0usize; 256];
        plane.iter().for_each(|sample| counts[byte(sample)] += 1);
        let brightest = counts.iter().rposition(|&count| count > 0).unwrap_or(0);
        let step = (area - counts[brightest]) / 255;
        if step == 0 && T::WHOLE {
            continue;
        }
        let mut table = [0usize; 256];
        let mut below = step / 2;
        for (level, count) in counts.iter().enumerate() {
            table[level] = below.checked_div(step).map_or(level, |spread| spread.min(255));
            below += count;
        }
        for sample in plane {
            let level = table[byte(sample)] as f32;
            *sample = T::stored(if T::WHOLE { level } else { level * (1.0 / 255.0) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flat_channels_stay_as_they_are() {
        let mut image = Planes { width: 4, height: 4, channels: 3, data: vec![77u8; 48] };
        assert_eq!(autocontrast(&image), PixelOp::Stretch([0.0; 3], [1.0; 3]));
        equalize(&mut image);
        assert!(image.data.iter().all(|&level| level == 77));
    }
}
