//! Moving whole rows and columns: crop, pad, flip, nearest neighbours; and erasing a window. Nothing is interpolated.

use super::planes::{Planes, Sample, Source};
use super::resample::Window;
use crate::ensure;
use crate::error::Result;

/// What lies outside an image that is padded (names as in torchvision).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Padding {
    /// One value for all channels, 0..=255 for bytes.
    Constant(f32),
    /// The pixel at the edge again and again.
    Edge,
    /// Mirrored at the edge pixel, which is not repeated.
    Reflect,
    /// Mirrored behind the edge pixel, which is repeated.
    Symmetric,
}

/// Input place of each output place along one axis; `None` lies outside and takes the fill value.
pub type Places = Vec<Option<usize>>;

/// Output places `start..start + count` of an axis of `extent` pixels, filled outside by `padding`.
///
/// # Errors
/// `Error::Argument` where mirroring would reach past the other edge, or an edge of nothing is asked for.
pub fn places(extent: usize, start: i64, count: usize, padding: Padding) -> Result<Places> {
    let (last, end) = (extent as i64 - 1, start + count as i64);
    let reach = match padding {
        Padding::Constant(_) => i64::MAX,
        Padding::Edge => {
            ensure!(extent > 0, Argument, "pad: an empty image has no edge to repeat");
            i64::MAX
        }
        Padding::Reflect => last,
        Padding::Symmetric => last + 1,
    };
    ensure!(
        -start <= reach && end - 1 - last <= reach,
        Argument,
        "pad: mirroring {} pixels before and {} after needs an image larger than the {extent} it has",
        (-start).max(0),
        (end - 1 - last).max(0)
    );
    let place = |i: i64| match padding {
        _ if (0..=last).contains(&i) => Some(i as usize),
        Padding::Constant(_) => None,
        Padding::Edge => Some(i.clamp(0, last) as usize),
        Padding::Reflect => Some(if i < 0 { -i } else { 2 * last - i } as usize),
        Padding::Symmetric => Some(if i < 0 { -i - 1 } else { 2 * last + 1 - i } as usize),
    };
    Ok((start..end).map(place).collect())
}

/// All places of an axis, in order or turned round.
pub fn flipped_places(extent: usize, flipped: bool) -> Places {
    if flipped { (0..extent).rev().map(Some).collect() } else { (0..extent).map(Some).collect() }
}

/// Start and count along an axis of a central crop of `size`, as torchvision: what the image lacks is added around it
/// first (one more after than before), then the middle is taken (halves rounded to even).
pub fn central(extent: usize, size: usize) -> i64 {
    let added_before = size.saturating_sub(extent) / 2;
    let spare = extent.max(size) - size;
    (spare as f64 / 2.0).round_ties_even() as i64 - added_before as i64
}

/// Input pixel floor((i + shift) · scale) of each output pixel i; PyTorch computes the place in float32.
pub(super) fn nearest_places(input: usize, output: usize, shift: f32) -> Vec<usize> {
    let scale = input as f32 / output as f32;
    (0..output).map(|i| (((i as f32 + shift) * scale) as usize).min(input - 1)).collect()
}

/// A quarter turn counter-clockwise, `turns` times.
pub fn rotate_quarters<T: Sample>(input: &Planes<T>, turns: usize, out: &mut Planes<T>) {
    let (height, width) = (input.height, input.width);
    let (new_height, new_width) = if turns % 2 == 1 { (width, height) } else { (height, width) };
    out.resize(new_width, new_height, input.channels);
    for channel in 0..input.channels {
        for y in 0..new_height {
            for x in 0..new_width {
                let (from_y, from_x) = match turns % 4 {
                    0 => (y, x),
                    1 => (x, width - 1 - y),
                    2 => (height - 1 - y, width - 1 - x),
                    _ => (height - 1 - x, y),
                };
                let value = input.row(channel, from_y)[from_x];
                out.row_mut(channel, y)[x] = value;
            }
        }
    }
}

/// `out[y][x]` = source pixel (rows[y], columns[x]), or `fill` where either is outside.
pub fn gather<T: Sample>(
    source: &Source<'_, T>,
    rows: &[Option<usize>],
    columns: &[Option<usize>],
    fill: T,
    out: &mut Planes<T>,
) {
    let channels = source.channels;
    out.resize(columns.len(), rows.len(), channels);
    let (Some(low), Some(high)) = (columns.iter().flatten().min(), columns.iter().flatten().max()) else {
        out.data.fill(fill);
        return;
    };
    let (low, count) = (*low, high - low + 1);
    let mut row = vec![T::default(); count * channels];
    for (y, place) in rows.iter().enumerate() {
        let Some(place) = place else {
            (0..channels).for_each(|channel| out.row_mut(channel, y).fill(fill));
            continue;
        };
        source.read_row(*place, low, &mut row);
        for channel in 0..channels {
            for (out, column) in out.row_mut(channel, y).iter_mut().zip(columns) {
                *out = column.map_or(fill, |column| row[(column - low) * channels + channel]);
            }
        }
    }
}

/// Fills the part of `window` that lies in the image with a value a channel (in the image's own units; bytes drop fractions).
pub fn erase<T: Sample>(image: &mut Planes<T>, window: Window, value: [f32; 3]) {
    let right = (window.left + window.width).min(image.width);
    for channel in 0..image.channels {
        let value = if T::WHOLE { value[channel].clamp(0.0, T::BOUND).trunc() } else { value[channel] };
        for y in window.top..(window.top + window.height).min(image.height) {
            image.row_mut(channel, y)[window.left.min(right)..right].fill(T::stored(value));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn padded(padding: Padding) -> Vec<u8> {
        let planes = Planes { width: 3, height: 1, channels: 1, data: vec![10u8, 20, 30] };
        let mut out = Planes::default();
        let columns = places(3, -2, 7, padding).unwrap();
        gather(&planes.as_source(), &flipped_places(1, false), &columns, 9, &mut out);
        out.data
    }

    #[test]
    fn padding_modes_continue_the_row() {
        assert_eq!(padded(Padding::Constant(9.0)), [9, 9, 10, 20, 30, 9, 9]);
        assert_eq!(padded(Padding::Edge), [10, 10, 10, 20, 30, 30, 30]);
        assert_eq!(padded(Padding::Reflect), [30, 20, 10, 20, 30, 20, 10]);
        assert_eq!(padded(Padding::Symmetric), [20, 10, 10, 20, 30, 30, 20]);
    }

    #[test]
    fn mirrors_reach_no_further_than_the_image() {
        assert!(places(3, -3, 6, Padding::Reflect).is_err());
        assert!(places(3, -3, 9, Padding::Symmetric).is_ok());
        assert!(places(3, 0, 7, Padding::Symmetric).is_err());
        assert!(places(0, 0, 1, Padding::Edge).is_err());
        assert_eq!(places(0, 0, 1, Padding::Constant(0.0)), Ok(vec![None]));
    }

    #[test]
    fn erasing_stays_inside() {
        let mut image = Planes { width: 3, height: 2, channels: 1, data: vec![1u8; 6] };
        erase(&mut image, Window { top: 1, left: 1, height: 5, width: 5 }, [7.0; 3]);
        assert_eq!(image.data, [1, 1, 1, 1, 7, 7]);
        erase(&mut image, Window { top: 0, left: 9, height: 1, width: 1 }, [7.0; 3]);
        assert_eq!(image.data, [1, 1, 1, 1, 7, 7]);
    }
}
