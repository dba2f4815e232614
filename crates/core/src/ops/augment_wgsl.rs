//! The texts of the kernels of augmentation: functions of a pixel of the result, behind [`super::augment_launch_gpu::HEAD`].

pub const FILTER: &str = include_str!("augment_resize.wgsl");
pub const CUT: &str = include_str!("augment_cut.wgsl");
pub const BLUR: &str = include_str!("augment_blur.wgsl");
pub const WARP: &str = include_str!("augment_warp.wgsl");
pub const SUMS: &str = include_str!("augment_sums.wgsl");
pub const NOISE: &str = include_str!("augment_noise.wgsl");
pub const BOX: &str = include_str!("augment_box.wgsl");
pub const RANGE: &str = include_str!("augment_range.wgsl");
pub const HISTOGRAM: &str = include_str!("augment_histogram.wgsl");

/// By the range of its channels.
pub const STRETCH: &str = "fn changed(image: u32, v: vec3<f32>) -> vec3<f32> {
    let low = vec3<f32>(sums[6u * image], sums[6u * image + 1u], sums[6u * image + 2u]);
    let range = vec3<f32>(sums[6u * image + 3u], sums[6u * image + 4u], sums[6u * image + 5u]);
    return clamp((v - low) / range, vec3<f32>(0.0), vec3<f32>(1.0));
}
";

/// By what becomes of each level.
pub const SPREAD: &str = "fn level(image: u32, channel: u32, v: f32) -> f32 {
    return sums[(image * p(7u) + channel) * 256u + u32(clamp(v * 255.999, 0.0, 255.0))];
}
fn changed(image: u32, v: vec3<f32>) -> vec3<f32> {
    if (p(7u) == 1u) { return vec3<f32>(level(image, 0u, v.x)); }
    return vec3<f32>(level(image, 0u, v.x), level(image, 1u, v.y), level(image, 2u, v.z));
}
";

/// Away from or towards a mean of the pixel (weight 5) and its neighbours; the edge stays.
pub const SHARPEN: &str = "fn sharpened(image: u32, row: u32, column: u32) -> vec3<f32> {
    let v = pixel(image, row, column);
    let at = 2u * (p(4u) + image);
    let edge = row == 0u || column == 0u || row + 1u >= p(5u) || column + 1u >= p(6u);
    if (t(at) == 0u || edge) { return v; }
    var sum = 4.0 * v;
    for (var y = row - 1u; y <= row + 1u; y += 1u) {
        for (var x = column - 1u; x <= column + 1u; x += 1u) { sum += pixel(image, y, x); }
    }
    return clamp(fma(sum / 13.0 - v, vec3<f32>(tf(at + 1u)), v), vec3<f32>(0.0), vec3<f32>(1.0));
}
";

/// The mean of an image out of its sums: 16 pixels of each, 17 how many.
pub const MEAN: &str = "var mean = 0.0;
for (var piece = 0u; piece < p(17u); piece += 1u) { mean += sums[(p(4u) + image) * p(17u) + piece]; }
mean = mean / f32(p(5u) * p(6u));
";

/// Table: top, left, height, width, old pixels a new one down and across.
pub const NEAREST: &str = "fn resized(image: u32, row: u32, column: u32) -> vec3<f32> {
    let at = 6u * (p(4u) + image);
    let y = min(u32((f32(row) + SHIFT) * tf(at + 4u)), t(at + 2u) - 1u);
    let x = min(u32((f32(column) + SHIFT) * tf(at + 5u)), t(at + 3u) - 1u);
    return pixel(image, t(at) + y, t(at + 1u) + x);
}
";

pub const TRIANGLE: &str = "fn weigh(distance: f32) -> f32 { return max(1.0 - abs(distance), 0.0); }
";

/// Keys 1981.
pub const KEYS: &str = "fn weigh(distance: f32) -> f32 {
    let d = abs(distance);
    if (d < 1.0) { return ((KEY + 2.0) * d - (KEY + 3.0)) * d * d + 1.0; }
    if (d < 2.0) { return ((KEY * d - 5.0 * KEY) * d + 8.0 * KEY) * d - 4.0 * KEY; }
    return 0.0;
}
";

/// Parameters: 15 side of a patch, 16, 17 rows and columns of patches, 18 what hidden ones show.
pub const HIDE: &str = "fn hidden(image: u32, row: u32, column: u32) -> vec3<f32> {
    let y = row / p(15u);
    let x = column / p(15u);
    if (y < p(16u) && x < p(17u)) {
        if (t(((p(4u) + image) * p(16u) + y) * p(17u) + x) == 1u) { return vec3<f32>(pf(18u)); }
    }
    return pixel(image, row, column);
}
";
