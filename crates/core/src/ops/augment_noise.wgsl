// Normal numbers added to an image, or a window of it replaced by them, as in image/noise.rs: one sequence an image, channel after
// channel. Table: 0 as it is, 1 added, 2 replaced; seed, stream (two words each); mean, deviation, whether clipped; or top, left,
// height and width of the window within the image.

fn normal_at(at: u32, i: u32) -> f32 {
    let found = philox(vec2<u32>(t(at + 1u), t(at + 2u)), vec2<u32>(t(at + 3u), t(at + 4u)), vec2<u32>(i / 2u, 0u));
    if (i % 2u == 0u) { return normal_from(found.x, found.y); }
    return normal_from(found.z, found.w);
}
fn noisy(image: u32, row: u32, column: u32) -> vec3<f32> {
    let v = pixel(image, row, column);
    let at = 9u * (p(4u) + image);
    if (t(at) == 0u) { return v; }
    if (t(at) == 1u) {
        let area = p(5u) * p(6u);
        let i = row * p(6u) + column;
        var noise = vec3<f32>(normal_at(at, i));
        if (p(7u) == 3u) { noise = vec3<f32>(noise.x, normal_at(at, area + i), normal_at(at, 2u * area + i)); }
        let moved = v + (noise * tf(at + 6u) + tf(at + 5u));
        return select(moved, clamp(moved, vec3<f32>(0.0), vec3<f32>(1.0)), t(at + 7u) == 1u);
    }
    let y = row - t(at + 5u);
    let x = column - t(at + 6u);
    if (row < t(at + 5u) || column < t(at + 6u) || y >= t(at + 7u) || x >= t(at + 8u)) { return v; }
    let area = t(at + 7u) * t(at + 8u);
    let i = y * t(at + 8u) + x;
    if (p(7u) == 1u) { return vec3<f32>(normal_at(at, i)); }
    return vec3<f32>(normal_at(at, i), normal_at(at, area + i), normal_at(at, 2u * area + i));
}
