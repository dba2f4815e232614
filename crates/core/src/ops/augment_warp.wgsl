// Affine and perspective maps, as in image/warp.rs.
// Table: 0 as it is, 1 affine, 2 perspective; then eight numbers. Parameters: 15 blended, 16 filled, from 17 the fill.

fn line(a: f32, b: f32, c: f32, x: f32, y: f32) -> f32 { return fma(y, b, x * a) + c; }
fn shown(image: u32, x: f32, y: f32) -> bool { return x >= 0.0 && x < f32(p(6u)) && y >= 0.0 && y < f32(p(5u)); }
fn warped(image: u32, row: u32, column: u32) -> vec3<f32> {
    let at = 9u * (p(4u) + image);
    if (t(at) == 0u) { return pixel(image, row, column); }
    let half = vec2<f32>(0.5 * f32(p(6u)), 0.5 * f32(p(5u)));
    var part: vec2<f32>;
    if (t(at) == 1u) {
        let x = (1.0 - f32(p(9u))) * 0.5 + f32(column);
        let y = (1.0 - f32(p(8u))) * 0.5 + f32(row);
        part.x = line(tf(at + 1u) / half.x, tf(at + 2u) / half.x, tf(at + 3u) / half.x, x, y);
        part.y = line(tf(at + 4u) / half.y, tf(at + 5u) / half.y, tf(at + 6u) / half.y, x, y);
    } else {
        let x = 0.5 + f32(column);
        let y = 0.5 + f32(row);
        let size = vec2<f32>(0.5 * f32(p(9u)), 0.5 * f32(p(8u)));
        let depth = line(tf(at + 7u), tf(at + 8u), 1.0, x, y);
        part.x = line(tf(at + 1u) / size.x, tf(at + 2u) / size.x, tf(at + 3u) / size.x, x, y) / depth - 1.0;
        part.y = line(tf(at + 4u) / size.y, tf(at + 5u) / size.y, tf(at + 6u) / size.y, x, y) / depth - 1.0;
    }
    let place = (part + 1.0) * half - 0.5;
    let filled = p(16u) == 1u;
    let fill = select(vec3<f32>(0.0), vec3<f32>(pf(17u), pf(18u), pf(19u)), filled);
    if (p(15u) == 0u) {
        let nearest = round(place);
        if (!shown(image, nearest.x, nearest.y)) { return fill; }
        return pixel(image, u32(nearest.y), u32(nearest.x));
    }
    let corner = floor(place);
    let after = place - corner;
    var sum = vec3<f32>(0.0);
    var inside = 0.0;
    for (var k = 0u; k < 4u; k += 1u) {
        let right = (k & 1u) == 1u;
        let below = (k & 2u) == 2u;
        let x = corner.x + select(0.0, 1.0, right);
        let y = corner.y + select(0.0, 1.0, below);
        let weight = select(1.0 - after.x, after.x, right) * select(1.0 - after.y, after.y, below);
        if (shown(image, x, y)) {
            inside += weight;
            sum += pixel(image, u32(y), u32(x)) * weight;
        }
    }
    if (!filled) { return sum; }
    return (sum - fill) * inside + fill;
}
