// One of Pillow's box blurs along one axis, in whole levels of 0..255 and 24-bit fixed point, as in image/blur.rs: edges repeated.
// Table: whether an image is blurred, whole pixels of the radius, weight of those inside and of the two beyond. Parameters: 15 along
// columns; 16 the image comes as it was, not in levels; 17 it leaves so.

fn level(v: f32) -> u32 {
    if (p(16u) == 1u) { return u32(clamp(v * 255.999, 0.0, 255.0)); }
    return u32(v);
}
fn levels(image: u32, place: i32, other: u32) -> vec3<u32> {
    let at = u32(clamp(place, 0, i32(select(p(6u), p(5u), p(15u) == 1u)) - 1));
    let v = pixel(image, select(other, at, p(15u) == 1u), select(at, other, p(15u) == 1u));
    return vec3<u32>(level(v.x), level(v.y), level(v.z));
}
fn boxed(image: u32, row: u32, column: u32) -> vec3<f32> {
    let at = 4u * (p(4u) + image);
    if (t(at) == 0u) { return pixel(image, row, column); }
    let reach = i32(t(at + 1u));
    let down = p(15u) == 1u;
    let place = i32(select(column, row, down));
    let other = select(row, column, down);
    var sum = vec3<u32>(0u);
    for (var shift = -reach; shift <= reach; shift += 1) { sum += levels(image, place + shift, other); }
    let ends = levels(image, place - reach - 1, other) + levels(image, place + reach + 1, other);
    let made = vec3<f32>((sum * t(at + 2u) + ends * t(at + 3u) + vec3<u32>(8388608u)) >> vec3<u32>(24u));
    return select(made, made * (1.0 / 255.0), p(17u) == 1u);
}
