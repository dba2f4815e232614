//! Affine and perspective maps of an image, equal to torchvision's `affine`, `rotate` and `perspective`. Resizing, which is
//! separable, lives in `resample`.
//!
//! Coordinates are float32 and in the order of PyTorch's `grid_sample`, so that ties of the nearest mode fall as there.

use super::planes::{Planes, Sample};
use crate::ensure;
use crate::error::Result;

/// Which place of the input each pixel of the result shows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Map {
    /// a, b, c, d, e, f: x = a·X + b·Y + c, y = d·X + e·Y + f, in pixels from the middle of each image.
    Affine([f64; 6]),
    /// a … h: x = (a·X + b·Y + c) / (g·X + h·Y + 1), y likewise with d, e, f, in pixels from the corner.
    Perspective([f64; 8]),
}

/// Everything a warp is told.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Warp {
    pub map: Map,
    /// Size of the result.
    pub height: usize,
    pub width: usize,
    /// Whether the four pixels around a place are blended; else the nearest is taken (halves to even).
    pub bilinear: bool,
    /// What lies outside, a value a channel in the image's own units. `None` is zeros, blended as pixels are.
    pub fill: Option<[f32; 3]>,
}

/// The map of a rotation by `angle` degrees with scale and shear (degrees), then a shift, about `center` (pixels from the
/// middle), from the result back to the input: the inverse of T·C·R·S·Shear·C⁻¹.
pub fn inverse_affine(center: [f64; 2], angle: f64, translate: [f64; 2], scale: f64, shear: [f64; 2]) -> [f64; 6] {
    let (rotation, [shear_x, shear_y]) = (angle.to_radians(), shear.map(f64::to_radians));
    let ([cx, cy], [tx, ty]) = (center, translate);
    let a = (rotation - shear_y).cos() / shear_y.cos();
    let b = -(a * shear_x.tan() + rotation.sin());
    let c = (rotation - shear_y).sin() / shear_y.cos();
    let d = rotation.cos() - c * shear_x.tan();
    let [a, b, c, d] = [d / scale, -b / scale, -c / scale, a / scale];
    [a, b, cx - a * (cx + tx) - b * (cy + ty), c, d, cy - c * (cx + tx) - d * (cy + ty)]
}

/// (height, width) of the smallest image that shows all of a rotated one (`matrix` as [`inverse_affine`] gives).
pub fn expanded_size(matrix: [f64; 6], height: usize, width: usize) -> (usize, usize) {
    let m = matrix.map(|value| value as f32);
    let (half_width, half_height) = (0.5 * width as f32, 0.5 * height as f32);
    let corners = [(-1.0, -1.0), (-1.0, 1.0), (1.0, 1.0), (1.0, -1.0)];
    let extent = |row: [f32; 3], half: f32| {
        let place = |(x, y): (f32, f32)| x * half_width * row[0] + y * half_height * row[1] + row[2] + half;
        let places = corners.map(place);
        let low = places.iter().copied().fold(f32::INFINITY, f32::min);
        let high = places.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        // Rounding must not add a pixel: places count to 1e-4 of one.
        let cut = |value: f32| (value * 1e4).trunc() * 1e-4;
        (cut(high).ceil() - cut(low).floor()) as usize
    };
    (extent([m[3], m[4], m[5]], half_height), extent([m[0], m[1], m[2]], half_width))
}

/// The eight coefficients of the perspective that takes `ends` (corners in the result) back to `starts` (in the input).
///
/// # Errors
/// `Error::Argument` where three of the corners lie on a line.
pub fn perspective_coefficients(starts: [[f64; 2]; 4], ends: [[f64; 2]; 4]) -> Result<[f64; 8]> {
    let mut rows = [[0.0; 9]; 8];
    for (i, ([sx, sy], [ex, ey])) in starts.into_iter().zip(ends).enumerate() {
        rows[2 * i] = [ex, ey, 1.0, 0.0, 0.0, 0.0, -sx * ex, -sx * ey, sx];
        rows[2 * i + 1] = [0.0, 0.0, 0.0, ex, ey, 1.0, -sy * ex, -sy * ey, sy];
    }
    // Gauss–Jordan with the largest pivot of each column.
    for column in 0..8 {
        let pivot = (column..8).max_by(|&a, &b| rows[a][column].abs().total_cmp(&rows[b][column].abs())).unwrap_or(0);
        ensure!(
            rows[pivot][column].abs() > 1e-9,
            Argument,
            "perspective: the corners {ends:?} enclose no area; three of them lie on a line"
        );
        rows.swap(column, pivot);
        let head = rows[column].map(|value| value / rows[column][column]);
        rows[column] = head;
        for (i, row) in rows.iter_mut().enumerate() {
            let factor = row[column];
            if i != column && factor != 0.0 {
                row.iter_mut().zip(head).for_each(|(value, head)| *value -= factor * head);
            }
        }
    }
    Ok(rows.map(|row| row[8]))
}

/// Maps `input` into `out`.
///
/// # Errors
/// `Error::Argument` where the result would be empty.
pub fn warp<T: Sample>(input: &Planes<T>, warp: &Warp, out: &mut Planes<T>) -> Result<()> {
    ensure!(
        warp.height > 0 && warp.width > 0,
        Argument,
        "affine: the result would be {}x{} (height x width)",
        warp.height,
        warp.width
    );
    out.resize(warp.width, warp.height, input.channels);
    let mut places = vec![[0.0; 2]; warp.width];
    for y in 0..warp.height {
        row_places(warp, y, input.height, input.width, &mut places);
        for (x, &place) in places.iter().enumerate() {
            let pixel = if warp.bilinear { blended(input, place, warp.fill) } else { nearest(input, place, warp.fill) };
            for (channel, value) in pixel.into_iter().enumerate().take(input.channels) {
                let rounded = if T::WHOLE { value.round_ties_even().clamp(0.0, T::BOUND) } else { value };
                out.row_mut(channel, y)[x] = T::stored(rounded);
            }
        }
    }
    Ok(())
}

/// Places (x, y) in pixels of the input for row `y` of the result, 0 at the middle of the first pixel.
fn row_places(warp: &Warp, y: usize, height: usize, width: usize, places: &mut [[f32; 2]]) {
    let (half_height, half_width) = (0.5 * height as f32, 0.5 * width as f32);
    let line = |row: [f32; 3], x: f32, y: f32| y.mul_add(row[1], x * row[0]) + row[2];
    // A place in -1..1 over the input, back to pixels.
    let pixels = |part: f32, half: f32| (part + 1.0) * half - 0.5;
    match warp.map {
        Map::Affine(matrix) => {
            let m = matrix.map(|value| value as f32);
            let across = [m[0], m[1], m[2]].map(|value| value / half_width);
            let down = [m[3], m[4], m[5]].map(|value| value / half_height);
            let y = (1.0 - warp.height as f32) * 0.5 + y as f32;
            for (x, place) in places.iter_mut().enumerate() {
                let x = (1.0 - warp.width as f32) * 0.5 + x as f32;
                *place = [pixels(line(across, x, y), half_width), pixels(line(down, x, y), half_height)];
            }
        }
        Map::Perspective(coefficients) => {
            let c = coefficients.map(|value| value as f32);
            let across = [c[0], c[1], c[2]].map(|value| value / (0.5 * warp.width as f32));
            let down = [c[3], c[4], c[5]].map(|value| value / (0.5 * warp.height as f32));
            let below = [c[6], c[7], 1.0];
            let y = 0.5 + y as f32;
            for (x, place) in places.iter_mut().enumerate() {
                let x = 0.5 + x as f32;
                let depth = line(below, x, y);
                let part = |row| line(row, x, y) / depth - 1.0;
                *place = [pixels(part(across), half_width), pixels(part(down), half_height)];
            }
        }
    }
}

fn nearest<T: Sample>(input: &Planes<T>, [x, y]: [f32; 2], fill: Option<[f32; 3]>) -> [f32; 3] {
    match inside(input, x.round_ties_even(), y.round_ties_even()) {
        Some(at) => pixel(input, at),
        None => fill.unwrap_or_default(),
    }
}

fn blended<T: Sample>(input: &Planes<T>, [x, y]: [f32; 2], fill: Option<[f32; 3]>) -> [f32; 3] {
    let (left, top) = (x.floor(), y.floor());
    let (right_part, bottom_part) = (x - left, y - top);
    let (left_part, top_part) = (1.0 - right_part, 1.0 - bottom_part);
    let corners = [
        (left, top, left_part * top_part),
        (left + 1.0, top, right_part * top_part),
        (left, top + 1.0, left_part * bottom_part),
        (left + 1.0, top + 1.0, right_part * bottom_part),
    ];
    let (mut sum, mut shown) = ([0.0; 3], 0.0);
    for (x, y, weight) in corners {
        if let Some(at) = inside(input, x, y) {
            shown += weight;
            sum.iter_mut().zip(pixel(input, at)).for_each(|(sum, value)| *sum += value * weight);
        }
    }
    // The part that lies outside fades the pixels as well as the fill, as torchvision does it.
    fill.map_or(sum, |fill| std::array::from_fn(|c| (sum[c] - fill[c]) * shown + fill[c]))
}

/// Place in a plane of pixel (x, y), whole numbers, if there is one.
fn inside<T: Sample>(input: &Planes<T>, x: f32, y: f32) -> Option<usize> {
    let fits = x >= 0.0 && x < input.width as f32 && y >= 0.0 && y < input.height as f32;
    fits.then(|| y as usize * input.width + x as usize)
}

fn pixel<T: Sample>(input: &Planes<T>, at: usize) -> [f32; 3] {
    let area = input.area();
    std::array::from_fn(|channel| if channel < input.channels { input.data[channel * area + at].value() } else { 0.0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_identity_changes_nothing() {
        let data: Vec<u8> = (0..4 * 5 * 3).collect();
        let image = Planes { width: 5, height: 4, channels: 3, data };
        let mut out = Planes::default();
        let whole = [[0.0, 0.0], [4.0, 0.0], [4.0, 3.0], [0.0, 3.0]];
        let maps = [
            Map::Affine(inverse_affine([0.0; 2], 0.0, [0.0; 2], 1.0, [0.0; 2])),
            Map::Perspective(perspective_coefficients(whole, whole).unwrap()),
        ];
        for map in maps {
            for bilinear in [false, true] {
                let map = Warp { map, height: 4, width: 5, bilinear, fill: Some([9.0; 3]) };
                warp(&image, &map, &mut out).unwrap();
                assert_eq!(out, image);
            }
        }
    }

    #[test]
    fn corners_on_a_line_are_refused() {
        let whole = [[0.0, 0.0], [4.0, 0.0], [4.0, 3.0], [0.0, 3.0]];
        assert!(perspective_coefficients(whole, [[0.0, 0.0], [1.0, 0.0], [2.0, 0.0], [3.0, 0.0]]).is_err());
    }

    #[test]
    fn an_eighth_of_a_turn_needs_the_diagonal() {
        let matrix = inverse_affine([0.0; 2], 45.0, [0.0; 2], 1.0, [0.0; 2]);
        assert_eq!(expanded_size(matrix, 32, 24), (40, 40));
    }
}
